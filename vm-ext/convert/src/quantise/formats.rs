//! Number formats: which fraction bits and limits values get, and how they change.

use aiinference_engine::graph::{Array, Op, Rescale};

use super::plan::is_table;
use super::scale::{fraction_bits, multiplier, pow2, quantise, reach, QMAX, WIDE_MAX};
use super::seen::Seen;
use super::{extents, table, Quantiser, Target, Q, WIDE_BITS};
use crate::error::Result;
use crate::net::{Id, Kind};

/// How far beyond calibration values of 32 bits may go.
const HEADROOM: f64 = 8.0;

impl Quantiser<'_> {
    /// The value of a node; constants are stored on demand.
    pub(super) fn value(&mut self, id: Id) -> Result<Q> {
        if let Some(q) = self.values[id] {
            return Ok(q);
        }
        let Some(values) = self.net.constant(id) else {
            return self.range_error(id, "its value was read before it was computed".into());
        };
        let mut seen = Seen::NOTHING;
        seen.add(values, true);
        seen.settle();
        let k = fraction_bits(seen.largest(), QMAX).min(seen.bits);
        let large = f64::from(QMAX) < seen.largest() && seen.largest() <= f64::from(i32::MAX) && seen.bits == 0;
        if (large && !self.options.provable) || self.plan.fine[id] {
            return Ok(self.wide_constant(id, values, seen));
        }
        let data: Vec<i16> = values
            .iter()
            .map(|v| quantise(*v, k).clamp(-QMAX, QMAX) as i16)
            .collect();
        let low = data.iter().copied().min().unwrap_or(0).into();
        let high = data.iter().copied().max().unwrap_or(0).into();
        let op = Op::Constant {
            shape: extents(self.net.shape(id)),
            data: Array::I16(data),
        };
        let q = self.push(op, k, low, high);
        self.values[id] = Some(q);
        Ok(q)
    }

    /// A stored tensor in 32 bits: large whole numbers, and what every bit counts of.
    fn wide_constant(&mut self, id: Id, values: &[f64], seen: Seen) -> Q {
        let k = fraction_bits(seen.largest(), WIDE_MAX - 1).min(seen.bits);
        let k = if seen.bits == 0 { k.max(0) } else { k };
        let data: Vec<i32> = values.iter().map(|v| quantise(*v, k)).collect();
        let low = data.iter().copied().min().unwrap_or(0);
        let high = data.iter().copied().max().unwrap_or(0);
        let op = Op::Constant {
            shape: extents(self.net.shape(id)),
            data: Array::I32(data),
        };
        let q = self.push(op, k, low, high);
        self.values[id] = Some(q);
        q
    }

    /// The value within 16 bits.
    pub(super) fn narrow(&mut self, id: Id) -> Result<Q> {
        let q = self.value(id)?;
        if q.fits(QMAX) {
            return Ok(q);
        }
        let k = fraction_bits(reach(self.seen[id].largest()), QMAX).min(q.k);
        self.at(id, k)
    }

    /// The value with other fraction bits, within 16 bits.
    pub(super) fn at(&mut self, id: Id, k: i32) -> Result<Q> {
        let q = self.value(id)?;
        if q.k == k && q.fits(QMAX) {
            return Ok(q);
        }
        if let Some(variant) = self.variants.get(&(id, k)) {
            return Ok(*variant);
        }
        let variant = self.requantise(id, q, k, -QMAX, QMAX)?;
        self.variants.insert((id, k), variant);
        Ok(variant)
    }

    /// Other fraction bits and limits: one shift.
    pub(super) fn requantise(&mut self, node: Id, q: Q, k: i32, low: i32, high: i32) -> Result<Q> {
        if q.k == k {
            return Ok(if q.low >= low && q.high <= high {
                q
            } else {
                self.push(Op::Clamp { x: q.id, low, high }, k, low.max(q.low), high.min(q.high))
            });
        }
        let Some((m, s)) = multiplier(pow2(k - q.k), 31) else {
            return self.range_error(node, format!("it would be shifted by {} bits", k - q.k));
        };
        let op = Op::Rescale {
            x: q.id,
            axis: 0,
            bias: vec![],
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        Ok(self.push(op, k, low, high))
    }

    /// Where the result of a node that rescales goes: into the clamp that alone reads it, if there is one.
    pub(super) fn target(&self, id: Id) -> Target {
        let free = Target {
            id,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        };
        let [reader] = self.plan.readers[id][..] else {
            return free;
        };
        if self.plan.returned[id] || self.plan.whole[reader] != self.plan.whole[id] {
            return free;
        }
        match &self.net.nodes[reader].kind {
            Kind::Map { f, .. } => match f.clamped().filter(|c| c.keeps_scale()) {
                Some(c) => Target {
                    id: reader,
                    low: c.low,
                    high: c.high,
                },
                None => free,
            },
            _ => free,
        }
    }

    /// Fraction bits for a target, and its largest magnitude as an integer.
    pub(super) fn format(&self, target: &Target, bound: f64) -> (i32, i32) {
        let seen = self.seen[target.id];
        let limit = target.low.abs().max(target.high.abs()).min(bound);
        let room = reach(seen.largest()).min(limit);
        if self.plan.wide[target.id] {
            return (fraction_bits(room, WIDE_MAX - 1).min(WIDE_BITS), WIDE_MAX);
        }
        if self.plan.fine[target.id] {
            // 32 bits have room for what calibration did not see.
            let room = (room * HEADROOM).min(limit);
            return (fraction_bits(room, WIDE_MAX - 1), WIDE_MAX);
        }
        if let Some(k) = self.plan.finer[target.id] {
            return (fraction_bits(room, WIDE_MAX - 1).min(k), WIDE_MAX);
        }
        // The only reader is a table: its input scale.
        let readers = &self.plan.readers[target.id];
        let tables: Vec<i32> = readers
            .iter()
            .filter_map(|r| match &self.net.nodes[*r].kind {
                Kind::Map { f, .. } if is_table(&self.net.nodes[*r].kind) => {
                    Some(table::plan(f, seen.low, seen.high, self.seen[*r].largest()).input_bits)
                }
                _ => None,
            })
            .collect();
        if !self.plan.returned[target.id] && tables.len() == readers.len() && tables.windows(2).all(|w| w[0] == w[1]) {
            if let Some(k) = tables.first() {
                return (*k, QMAX);
            }
        }
        let chosen = self.chosen(target.id);
        if let (Some(share), None) = (self.plan.share[target.id], chosen.value) {
            let qmax = share.most.min(self.plan.factor[target.id]);
            return (chosen.fraction_bits(fraction_bits(room, qmax).min(share.k)), qmax);
        }
        let qmax = chosen.value_max().min(self.plan.factor[target.id]);
        (chosen.fraction_bits(fraction_bits(room, qmax)), qmax)
    }

    /// A target's limits as integers.
    pub(super) fn limits(&self, target: &Target, k: i32, qmax: i32) -> (i32, i32) {
        let bound = |x: f64| quantise(x, k).clamp(-qmax, qmax);
        (bound(target.low), bound(target.high))
    }

    /// Stores what a producer gave for its target.
    pub(super) fn finish(&mut self, id: Id, target: &Target, q: Q) {
        if target.id != id {
            self.values[id] = Some(q);
        }
        self.set(target.id, q);
    }
}
