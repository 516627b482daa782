//! Operations on single elements.

use aiinference_engine::graph::{Comparison, Op};

use super::plan::factor_limit;
use super::scale::{fraction_bits, multiplier, pow2, quantise, reach, round, QMAX};
use super::{table, Quantiser, Target, Q};
use crate::error::Result;
use crate::expr::Expr;
use crate::net::{self, Id, Kind};

impl Quantiser<'_> {
    pub(super) fn clamp(&mut self, id: Id, x: Id, low: f64, high: f64) -> Result<()> {
        let mut q = self.value(x)?;
        let lost = |bound: f64| {
            let kept = f64::from(quantise(bound, q.k)) * pow2(-q.k);
            bound.is_finite()
                && bound.abs() <= q.magnitude() * pow2(-q.k)
                && (kept - bound).abs() > self.seen[id].largest() * pow2(-13)
        };
        if !self.plan.whole[id] && !self.options.provable && (lost(low) || lost(high)) {
            q = self.fractions(id, x)?;
        }
        let low = quantise(low, q.k).max(q.low);
        let high = quantise(high, q.k).min(q.high).max(low);
        let q = self.push(Op::Clamp { x: q.id, low, high }, q.k, low, high);
        self.set(id, q);
        Ok(())
    }

    pub(super) fn table(&mut self, id: Id, x: Id, f: &Expr) -> Result<()> {
        let seen = self.seen[x];
        let mut plan = table::plan(f, seen.low, seen.high, self.seen[id].largest());
        if let (Some(share), None) = (self.plan.share[id], self.chosen(id).value) {
            plan.narrow(f, share.k, share.most);
        }
        let q = self.at(x, plan.input_bits)?;
        let low = plan.entries.iter().copied().min().unwrap_or(0).into();
        let high = plan.entries.iter().copied().max().unwrap_or(0).into();
        let op = Op::Table {
            x: q.id,
            table: plan.entries,
        };
        let q = self.push(op, plan.output_bits, low, high);
        self.set(id, q);
        Ok(())
    }

    pub(super) fn add(&mut self, id: Id, a: Id, b: Id, sign: f64) -> Result<()> {
        let (qa, qb) = (self.value(a)?, self.value(b)?);
        let target = self.target(id);
        let image = qa.magnitude() * pow2(-qa.k) + qb.magnitude() * pow2(-qb.k);
        let (k, qmax) = self.format(&target, image);
        // Factors are powers of two; terms far below the result's unit lose bits before far larger ones overflow.
        let shift = (qa.k - k).max(qb.k - k).clamp(0, 30);
        let factor = |q: Q| round(pow2((k - q.k + shift).min(30))) as i32;
        let (low, high) = self.limits(&target, k, qmax);
        let multipliers = [factor(qa), if sign < 0.0 { -factor(qb) } else { factor(qb) }];
        let op = Op::Add {
            a: qa.id,
            b: qb.id,
            multipliers,
            shift: shift as u8,
            low,
            high,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    pub(super) fn mul(&mut self, id: Id, a: Id, b: Id) -> Result<()> {
        let (mut qa, mut qb) = (self.value(a)?, self.value(b)?);
        let target = self.target(id);
        // 32 bits where every bit counts, as far as the product of the integers allows.
        let wide = self.plan.fine[target.id]
            || (self.plan.whole[a] && !qa.fits(QMAX))
            || (self.plan.whole[b] && !qb.fits(QMAX));
        if !wide || qa.magnitude() * qb.magnitude() >= pow2(61) {
            (qa, qb) = (self.narrow(a)?, self.narrow(b)?);
        }
        let image = qa.magnitude() * pow2(-qa.k) * qb.magnitude() * pow2(-qb.k);
        let (k, qmax) = self.format(&target, image);
        // No more bits than the product has.
        let k = if wide { k.min(qa.k + qb.k) } else { k };
        let Some((m, s)) = multiplier(pow2(k - qa.k - qb.k), 31) else {
            return self.range_error(id, "its factors are too coarse for its product".into());
        };
        let (low, high) = self.limits(&target, k, qmax);
        let op = Op::Mul {
            a: qa.id,
            b: qb.id,
            multiplier: m,
            shift: s,
            low,
            high,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    pub(super) fn div(&mut self, id: Id, a: Id, b: Id) -> Result<()> {
        let (qa, qb) = (self.value(a)?, self.value(b)?);
        let target = self.target(id);
        let (k, qmax) = self.format(&target, f64::INFINITY);
        let y = self.quotient(id, qa, qb, k, qmax)?;
        let (low, high) = self.limits(&target, y.k, qmax);
        let y = if (y.low, y.high) == (low, high) || target.id == id {
            y
        } else {
            self.push(Op::Clamp { x: y.id, low, high }, y.k, low, high)
        };
        if qa.k == 0 && qb.k == 0 && self.plan.whole[a] && self.plan.whole[b] {
            self.quotients.insert(y.id, (qa, qb));
        }
        self.finish(id, &target, y);
        Ok(())
    }

    /// The lesser or the greater.
    pub(super) fn extreme(&mut self, id: Id, a: Id, b: Id, op: impl FnOnce(u32, u32) -> Op) -> Result<()> {
        let (a, b) = (self.value(a)?, self.value(b)?);
        let (a, b) = self.paired(id, a, b)?;
        let op = op(a.id, b.id);
        let (low, high) = match op {
            Op::Min { .. } => (a.low.min(b.low), a.high.min(b.high)),
            _ => (a.low.max(b.low), a.high.max(b.high)),
        };
        let y = self.push(op, a.k, low, high);
        self.set(id, y);
        Ok(())
    }

    pub(super) fn compare(&mut self, id: Id, a: Id, b: Id, by: net::Comparison) -> Result<()> {
        let (a, b) = (self.value(a)?, self.value(b)?);
        let (a, b) = self.aligned(id, a, b)?;
        let kind = match by {
            net::Comparison::Less => Comparison::Less,
            net::Comparison::LessEqual => Comparison::LessEqual,
            net::Comparison::Equal => Comparison::Equal,
        };
        let y = self.push(Op::Compare { a: a.id, b: b.id, kind }, 0, 0, 1);
        self.set(id, y);
        Ok(())
    }

    pub(super) fn select(&mut self, id: Id, condition: Id, a: Id, b: Id) -> Result<()> {
        let condition = self.value(condition)?;
        let (a, b) = (self.value(a)?, self.value(b)?);
        let (a, b) = self.paired(id, a, b)?;
        let op = Op::Select {
            condition: condition.id,
            a: a.id,
            b: b.id,
        };
        let y = self.push(op, a.k, a.low.min(b.low), a.high.max(b.high));
        self.set(id, y);
        Ok(())
    }

    /// Two operands in the format of the node that chooses between them.
    fn paired(&mut self, id: Id, a: Q, b: Q) -> Result<(Q, Q)> {
        if a.k == b.k {
            return Ok((a, b));
        }
        if self.plan.whole[id] {
            return Ok((self.rescaled(id, a, 0, 0)?, self.rescaled(id, b, 0, 0)?));
        }
        let target = super::Target {
            id,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        };
        let (k, qmax) = self.format(&target, f64::INFINITY);
        let k = k.min(a.k.max(b.k));
        let mut one = |q: Q| {
            if q.k == k {
                Ok(q)
            } else {
                self.requantise(id, q, k, -qmax, qmax)
            }
        };
        Ok((one(a)?, one(b)?))
    }

    /// Where a product goes: through the factor that alone reads it (an attention's `1 / sqrt(size)`), if there is one.
    fn scaled_target(&self, id: Id) -> (Target, f64) {
        let target = self.target(id);
        let [reader] = self.plan.readers[id][..] else {
            return (target, 1.0);
        };
        let kept = target.id != id || self.plan.returned[id] || self.plan.whole[reader] || self.options.provable;
        match &self.net.nodes[reader].kind {
            Kind::Map { f, .. } if !kept => match f.clamped() {
                Some(c) if c.unbounded() && c.offset == 0.0 && c.scale > 0.0 && c.scale <= 1.0 => {
                    (Target { id: reader, ..target }, c.scale)
                }
                _ => (target, 1.0),
            },
            _ => (target, 1.0),
        }
    }

    pub(super) fn batch_matmul(&mut self, id: Id, a: Id, b: Id) -> Result<()> {
        let (mut qa, mut qb) = (self.narrow(a)?, self.narrow(b)?);
        if let Some(most) = factor_limit(self.net, a, b) {
            for (x, q) in [(a, &mut qa), (b, &mut qb)] {
                if !q.fits(most) {
                    let k = fraction_bits(reach(self.seen[x].largest()), most).min(q.k);
                    *q = self.requantise(id, *q, k, -most, most)?;
                }
            }
        }
        let inner = self.net.shape(a).last().copied().unwrap_or(1) as f64;
        let (target, scale) = self.scaled_target(id);
        let (mut k, qmax) = self.format(&target, f64::INFINITY);
        let bits = libm::frexp(inner * qa.magnitude() * qb.magnitude()).1;
        // A power of two: one bit is enough for it, and the sum may take the others.
        k = k.min(qa.k + qb.k + (60 - bits).clamp(0, 30));
        let Some((m, s)) = multiplier(scale * pow2(k - qa.k - qb.k), (61 - bits).clamp(15, 31) as u32) else {
            return self.range_error(id, "its factors are too coarse for its product".into());
        };
        let (low, high) = self.limits(&target, k, qmax);
        let op = Op::BatchMatMul {
            a: qa.id,
            b: qb.id,
            transposed: false,
            multiplier: m,
            shift: s,
            low,
            high,
        };
        let y = self.push(op, k, low, high);
        self.finish(id, &target, y);
        Ok(())
    }
}
