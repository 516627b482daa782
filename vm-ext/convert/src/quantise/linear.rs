//! Layers with weights, and lines.

use aiinference_engine::graph::{Array, Op, Rescale, ValueId};

use super::budget::{Estimate, Width, BLOCK, SHORT_SUM};
use super::plan::takes_bytes;
use super::scale::{self, multiplier, pow2, quantise, round, QMAX, WIDE_MAX};
use super::{Quantiser, Target, Q};
use crate::error::Result;
use crate::net::{Id, Kind};
use crate::options::Weights;
use crate::provable;

/// Bits of a multiplier after a MatMul or Conv.
pub(super) const MULTIPLIER_BITS: u32 = 15;
/// Bits of a multiplier from which on it is fine enough for results of 16.
const SHORT_BITS: i32 = 13;
/// Accumulators stay below, as the loader demands.
const ACCUMULATOR: f64 = (1u64 << 46) as f64;

impl Quantiser<'_> {
    /// MatMul and Conv: integer weights per output channel, bias in the accumulator's scale, requantisation.
    pub(super) fn weighted(
        &mut self,
        id: Id,
        source: Id,
        weights: &[f64],
        bias: &[f64],
        op: impl FnOnce(ValueId, Array, Vec<i64>, Rescale) -> Op,
    ) -> Result<()> {
        let x = self.operand(id, source)?;
        let target = self.target(id);
        let (mut k, qmax) = self.format(&target, f64::INFINITY);
        let taps = weights.len() / bias.len().max(1);
        let layer = Layer {
            weights,
            bias,
            taps,
            k: x.k,
            xmax: x.magnitude(),
        };
        let Integers {
            weights: integers,
            mut biases,
            scales,
            wmax,
        } = self.integers(id, source, &layer);
        let sums = integers.chunks(taps).zip(&biases).map(|(row, b)| {
            let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
            sum * x.magnitude() + b.unsigned_abs() as f64
        });
        let sums = sums.fold(1.0, f64::max);
        let largest = scales.iter().copied().fold(0.0, f64::max);
        // Results of 32 bits deserve multipliers of more than 15, as far as products allow.
        let bits = if qmax > QMAX {
            (61 - libm::frexp(sums).1).clamp(15, 30) as u32
        } else {
            MULTIPLIER_BITS
        };
        while largest * pow2(k - x.k) >= pow2(bits as i32) && k > scale::FRACTION_BITS.0 {
            k -= 1;
        }
        let mut multipliers = Vec::with_capacity(bias.len());
        let mut shifts = Vec::with_capacity(bias.len());
        for scale in scales {
            let Some((m, s)) = multiplier(scale * pow2(k - x.k), bits) else {
                return self.range_error(id, format!("a weight scale of {scale} is too large"));
            };
            multipliers.push(m);
            shifts.push(s);
        }
        if self.options.provable {
            biases
                .iter_mut()
                .zip(&shifts)
                .for_each(|(b, s)| *b = provable::bias(*b, *s));
        }
        let (low, high) = self.limits(&target, k, qmax);
        let weights = if wmax <= 127 {
            Array::I8(integers.iter().map(|w| *w as i8).collect())
        } else {
            Array::I16(integers.iter().map(|w| *w as i16).collect())
        };
        if biases.iter().all(|b| *b == 0) {
            biases.clear();
        }
        let rescale = Rescale {
            multipliers,
            shifts,
            low,
            high,
        };
        let q = self.push(op(x.id, weights, biases, rescale), k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    /// `clamp(x * scale[c] + offset[c])`.
    pub(super) fn affine(
        &mut self,
        id: Id,
        source: Id,
        axis: usize,
        scale: &[f64],
        offset: &[f64],
        clamp: Option<(f64, f64)>,
    ) -> Result<()> {
        let mut x = self.value(source)?;
        let target = match clamp {
            Some((low, high)) => Target { id, low, high },
            None => self.target(id),
        };
        // What the operand's integers allow bounds the result as well.
        let unit = pow2(-x.k);
        let image = scale.iter().zip(offset).map(|(a, b)| {
            let ends = [f64::from(x.low) * unit * a + b, f64::from(x.high) * unit * a + b];
            ends[0].abs().max(ends[1].abs())
        });
        let (k, qmax) = self.format(&target, image.fold(0.0, f64::max));
        let (low, high) = self.limits(&target, k, qmax);
        // What saturates in any case need not be larger than that: neither a factor with which the first unit of x beside the
        // zero does (a mask's `-3.4e38 * (1 - m)`), nor an offset.
        let most = f64::from(qmax) * pow2(1 - k);
        let steep = 4.0 * most / unit;
        let less_steep = |(a, b): (&f64, &f64)| {
            let zero = b / a / unit;
            if a.abs() > steep && zero == libm::rint(zero) {
                let a = libm::copysign(steep, *a);
                (a, zero * unit * a)
            } else {
                (*a, *b)
            }
        };
        let (scale, offset): (Vec<f64>, Vec<f64>) = scale.iter().zip(offset).map(less_steep).unzip();
        let (scale, offset) = (&scale, &offset);
        if scale.iter().any(|a| !a.is_finite()) || offset.iter().any(|b| b.is_nan()) {
            return self.range_error(id, "a factor or an offset is no number".into());
        }
        let limited = scale.iter().zip(offset).map(|(a, b)| {
            let most = most + x.magnitude() * unit * a.abs();
            b.clamp(-most, most)
        });
        let offset: &[f64] = &limited.collect::<Vec<f64>>();
        // Offsets are added before scaling, in units of x. Where those are too coarse, x gets more fraction bits first.
        let coarse = |k: i32| {
            scale.iter().zip(offset).any(|(a, b)| {
                let exact = b / a * pow2(k);
                *a != 0.0 && (exact - libm::rint(exact)).abs() > 1e-9
            })
        };
        let steepest = scale.iter().map(|a| a.abs()).fold(0.0, f64::max);
        let mut finer = x.k;
        while coarse(finer)
            && steepest * pow2(k - finer) > 0.125
            && x.magnitude() * pow2(finer + 1 - x.k) < f64::from(WIDE_MAX)
        {
            finer += 1;
        }
        x = self.requantise(id, x, finer, -WIDE_MAX, WIDE_MAX)?;
        let mut bias = Vec::new();
        let mut multipliers = Vec::new();
        let mut shifts = Vec::new();
        for (a, b) in scale.iter().zip(offset) {
            if *a == 0.0 {
                // A constant: so large a bias that x does not count beside it.
                bias.push(1 << 45);
                multipliers.push(quantise(*b, k).clamp(low, high));
                shifts.push(45);
                continue;
            }
            let term = b / a * pow2(x.k);
            if term.abs() >= ACCUMULATOR / 4.0 {
                return self.range_error(id, format!("the offset {b} is too large beside the factor {a}"));
            }
            let term = round(term);
            let (_, bits) = libm::frexp(x.magnitude() + term.unsigned_abs() as f64 + 1.0);
            // Products of 32 bits take less time, and results of 16 no finer factor.
            let room = match 30 - bits {
                short @ SHORT_BITS.. if qmax <= QMAX => short.min(MULTIPLIER_BITS as i32),
                _ => (61 - bits).min(30),
            } as u32;
            let Some((m, s)) = multiplier(a * pow2(k - x.k), room) else {
                return self.range_error(id, format!("the factor {a} is too large"));
            };
            bias.push(term);
            multipliers.push(m);
            shifts.push(s);
        }
        if bias.iter().all(|b| *b == 0) {
            bias.clear();
        }
        let rescale = Rescale {
            multipliers,
            shifts,
            low,
            high,
        };
        let axis = axis as u32;
        let op = Op::Rescale {
            x: x.id,
            axis,
            bias,
            rescale,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }
}

/// A layer to be made of integers.
struct Layer<'a> {
    /// `[channels, taps]`
    weights: &'a [f64],
    /// Per channel.
    bias: &'a [f64],
    /// Weights of a channel.
    taps: usize,
    /// Fraction bits of the operand.
    k: i32,
    /// Its largest magnitude as an integer.
    xmax: f64,
}

/// A layer in integers.
struct Integers {
    /// `[channels, taps]`
    weights: Vec<i32>,
    /// Per channel, in units of the accumulator.
    biases: Vec<i64>,
    /// What a weight of 1 stands for, per channel.
    scales: Vec<f64>,
    /// Largest magnitude that a weight may have.
    wmax: i32,
}

/// How the sums of a layer are kept.
#[derive(Clone, Copy)]
struct Room {
    /// Largest magnitude of a weight.
    wmax: i32,
    /// So many neighbouring products of a channel stay below `sum` together.
    block: usize,
    /// Of the block.
    sum: f64,
    /// Bound of the whole sum, bias included.
    whole: f64,
    /// No scale is finer.
    least: f64,
}

impl Layer<'_> {
    fn integers(&self, room: &Room) -> Integers {
        let mut integers = Integers {
            weights: Vec::with_capacity(self.weights.len()),
            biases: Vec::with_capacity(self.bias.len()),
            scales: Vec::with_capacity(self.bias.len()),
            wmax: room.wmax,
        };
        for (row, &b) in self.weights.chunks(self.taps).zip(self.bias) {
            let (row, b, scale) = self.channel(row, b, room);
            integers.weights.extend(row);
            integers.biases.push(b);
            integers.scales.push(scale);
        }
        integers
    }

    /// Integers for one output channel: weights, bias in units of the accumulator, and the scale of a weight: the finest with which
    /// weights and sums have the room that they may take.
    fn channel(&self, row: &[f64], bias: f64, room: &Room) -> (Vec<i32>, i64, f64) {
        let largest = row.iter().map(|w| w.abs()).fold(0.0, f64::max);
        let bias = bias * pow2(self.k);
        let mut scale = (largest / f64::from(room.wmax))
            .max(bias.abs() / pow2(40))
            .max(room.least);
        if scale == 0.0 {
            scale = pow2(-self.k);
        }
        let xmax = self.xmax.max(1.0);
        loop {
            let limit = i64::from(room.wmax);
            let integers: Vec<i32> = row
                .iter()
                .map(|w| round(w / scale).clamp(-limit, limit) as i32)
                .collect();
            let term = round(bias / scale);
            let sum = |row: &[i32]| row.iter().map(|w| f64::from(w.abs())).sum::<f64>() * xmax;
            let block = integers.chunks(room.block).map(sum).fold(0.0, f64::max);
            let whole = sum(&integers) + term.unsigned_abs() as f64;
            let over = (block / room.sum).max(whole / room.whole);
            if over < 1.0 {
                return (integers, term, scale);
            }
            // A little more than it takes: rounding may add to the sum. What must be a power of two stays one.
            scale *= if room.least > 0.0 { 2.0 } else { over * (1.0 + pow2(-8)) };
        }
    }
}

impl Quantiser<'_> {
    /// A layer's operand within 16 bits: as it is or, where the layer's sums would not do with that, as they ask.
    fn operand(&mut self, id: Id, source: Id) -> Result<Q> {
        let x = self.narrow(source)?;
        let (Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. }) = &self.net.nodes[id].kind else {
            return Ok(x);
        };
        let Some(share) = self.plan.share[source] else {
            return Ok(x);
        };
        let free = self.chosen(source).value.is_none() && !self.options.provable;
        // Rescaling costs less than the blocks that it saves where it has not more elements than the result has.
        let elements = |id: Id| self.net.shape(id).iter().product::<usize>();
        if !free || x.fits(share.most) || elements(source) > elements(id) {
            return Ok(x);
        }
        let estimate = Estimate::new(
            weights,
            weights.len() / bias.len().max(1),
            &self.seen[source],
            &self.seen[id],
        );
        let k = share.k.min(x.k);
        let wanted = estimate.width(k, f64::from(share.most), false);
        if estimate.width(x.k, x.magnitude(), false) != Width::Blocks || wanted == Width::Blocks {
            return Ok(x);
        }
        if let Some(q) = self.shared.get(&source) {
            return Ok(*q);
        }
        let q = self.requantise(id, x, k, -share.most, share.most)?;
        self.shared.insert(source, q);
        Ok(q)
    }

    /// Chooses the width of a layer's weights and of its sums, and makes integers of it.
    fn integers(&self, id: Id, source: Id, layer: &Layer<'_>) -> Integers {
        let chosen = self.chosen(id);
        let free = Room {
            wmax: chosen.weight_max(QMAX),
            block: layer.taps,
            sum: ACCUMULATOR / 2.0,
            whole: ACCUMULATOR / 2.0,
            least: 0.0,
        };
        if self.options.provable {
            let wmax = match self.options.weights {
                Weights::I8 => 127,
                Weights::I16 => QMAX,
                Weights::Auto => provable::WEIGHT_MAX,
            };
            let wmax = chosen.weight_max(wmax);
            // A provable layer shifts all its channels alike.
            let own = layer.integers(&Room { wmax, ..free });
            let least = scale::power_of_two(own.scales.iter().copied().fold(0.0, f64::max));
            return layer.integers(&Room { wmax, least, ..free });
        }
        let bytes = match (chosen.weights, self.options.weights) {
            (Some(_), _) if free.wmax <= 127 => return layer.integers(&free),
            (Some(_), _) | (None, Weights::I16) => false,
            (None, Weights::I8) => return layer.integers(&Room { wmax: 127, ..free }),
            (None, Weights::Auto) => takes_bytes(self.net, id, self.plan.last[id]),
        };
        let estimate =
            Estimate::new(layer.weights, layer.taps, &self.seen[source], &self.seen[id]).exact(self.plan.whole[source]);
        let width = estimate.width(layer.k, layer.xmax, bytes);
        let short = Room {
            sum: SHORT_SUM,
            whole: SHORT_SUM,
            ..free
        };
        layer.integers(&match width {
            Width::Bytes => Room { wmax: 127, ..free },
            Width::Short => short,
            Width::Blocks => Room {
                block: BLOCK,
                whole: free.whole,
                ..short
            },
        })
    }
}
