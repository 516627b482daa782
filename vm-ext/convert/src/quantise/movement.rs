//! Operations that move elements.

use aiinference_engine::graph::Op;

use super::scale::{fraction_bits, pow2, quantise, reach, QMAX, WIDE_MAX};
use super::{extents, seen, Quantiser, Q};
use crate::error::Result;
use crate::net::{Id, Kind};

impl Quantiser<'_> {
    /// An operation that keeps its operand's format.
    pub(super) fn moved(&mut self, id: Id, op: Op, q: Q) -> Result<()> {
        let q = self.push(op, q.k, q.low, q.high);
        self.set(id, q);
        Ok(())
    }

    pub(super) fn concat(&mut self, id: Id, xs: &[Id], axis: usize) -> Result<()> {
        let wide = self.plan.wide[id] || self.plan.finer[id].is_some();
        let mut qs = xs.iter().map(|x| self.value(*x)).collect::<Result<Vec<_>>>()?;
        let k = if qs.windows(2).all(|w| w[0].k == w[1].k) {
            qs[0].k
        } else {
            let finest = qs.iter().map(|q| q.k).max().unwrap_or(0);
            // Integers beside reals, both exact, need no more bits than their operands have.
            let largest = qs.iter().map(|q| q.magnitude() * pow2(-q.k)).fold(0.0, f64::max);
            let qmax = if wide { WIDE_MAX - 1 } else { QMAX };
            let room = reach(self.seen[id].largest()).min(largest);
            let k = fraction_bits(room, qmax).min(finest);
            match (wide, self.plan.share[id]) {
                (false, Some(share)) => k.min(share.k),
                _ => k,
            }
        };
        let limit = if wide { WIDE_MAX } else { QMAX };
        for q in &mut qs {
            if q.k != k {
                *q = self.requantise(id, *q, k, -limit, limit)?;
            }
        }
        let low = qs.iter().map(|q| q.low).min().unwrap_or(0);
        let high = qs.iter().map(|q| q.high).max().unwrap_or(0);
        let op = Op::Concat {
            xs: qs.iter().map(|q| q.id).collect(),
            axis: axis as u32,
        };
        let q = self.push(op, k, low, high);
        self.set(id, q);
        Ok(())
    }

    pub(super) fn slice(&mut self, id: Id, x: Id, axis: usize, [start, step, length]: [usize; 3]) -> Result<()> {
        let (q, start) = match axis {
            0 if step == 1 => self.piece(x, start, length)?,
            _ => (self.value(x)?, start),
        };
        let op = Op::Slice {
            x: q.id,
            axis: axis as u32,
            start: start as u32,
            step: step as u32,
            length: length as u32,
        };
        let mut y = self.push(op, q.k, q.low, q.high);
        if matches!(self.net.nodes[x].kind, Kind::Scan(_)) {
            // The pieces of a Scan have ranges of their own.
            let op = Op::Clamp {
                x: y.id,
                low: q.low,
                high: q.high,
            };
            y = self.push(op, q.k, q.low, q.high);
        }
        self.set(id, y);
        Ok(())
    }

    pub(super) fn pad(&mut self, id: Id, x: Id, before: &[usize], after: &[usize], value: f64) -> Result<()> {
        let mut q = self.value(x)?;
        if value.is_finite() && !self.plan.whole[id] {
            // Room for the padding, and bits for its fraction.
            let most = self.seen[x].largest();
            // A mask only has to be less than everything else.
            let mask = seen::is_mask(value, most);
            let room = reach(most.max(if mask { self.seen[id].largest() } else { value.abs() }));
            let value = value.clamp(-room, room);
            let exact = quantise(value, q.k);
            let lost = (f64::from(exact) * pow2(-q.k) - value).abs() > room * pow2(-14);
            if !q.fits(WIDE_MAX) || lost || (q.fits(QMAX) && exact.unsigned_abs() > QMAX as u32) {
                q = self.requantise(id, q, fraction_bits(room, QMAX), -QMAX, QMAX)?;
            }
        }
        let limit = if q.fits(QMAX) { QMAX } else { WIDE_MAX };
        let value = quantise(value, q.k).clamp(-limit, limit);
        let op = Op::Pad {
            x: q.id,
            before: extents(before),
            after: extents(after),
            value,
        };
        let y = self.push(op, q.k, q.low.min(value), q.high.max(value));
        self.set(id, y);
        Ok(())
    }

    pub(super) fn gather(&mut self, id: Id, x: Id, indices: Id, axis: usize) -> Result<()> {
        let q = self.value(x)?;
        let indices = self.indices(id, indices, self.net.shape(x)[axis])?;
        let op = Op::Gather {
            x: q.id,
            indices: indices.id,
            axis: axis as u32,
        };
        self.moved(id, op, q)
    }

    pub(super) fn gather_elements(&mut self, id: Id, x: Id, indices: Id) -> Result<()> {
        let q = self.value(x)?;
        let extent = self.net.shape(x).last().copied().unwrap_or(1);
        let indices = self.indices(id, indices, extent)?;
        let op = Op::GatherElements {
            x: q.id,
            indices: indices.id,
        };
        self.moved(id, op, q)
    }

    /// Indices as whole numbers within an axis.
    fn indices(&mut self, id: Id, indices: Id, extent: usize) -> Result<Q> {
        let q = self.value(indices)?;
        let q = self.rescaled(id, q, 0, 0)?;
        let most = extent as i32 - 1;
        if q.low >= 0 && q.high <= most {
            return Ok(q);
        }
        let op = Op::Clamp {
            x: q.id,
            low: 0,
            high: most,
        };
        Ok(self.push(op, 0, q.low.clamp(0, most), q.high.clamp(0, most)))
    }

    /// A value with the fraction bits that a mean of it needs.
    pub(super) fn fractions(&mut self, id: Id, x: Id) -> Result<Q> {
        let q = self.value(x)?;
        let k = fraction_bits(reach(self.seen[x].largest()), QMAX);
        // A few bits less than there is room for lose nothing to speak of.
        if q.k + 3 < k && !self.options.provable {
            return self.requantise(id, q, k, -QMAX, QMAX);
        }
        Ok(q)
    }
}
