//! Layers with weights, and lines.

use aiinference_engine::graph::{Array, Op, Rescale, ValueId};

use super::scale::{self, multiplier, pow2, quantise, round, QMAX, WIDE_MAX};
use super::{Quantiser, Target};
use crate::error::Result;
use crate::net::Id;
use crate::options::Weights;
use crate::provable;

/// Bits of a multiplier after a MatMul or Conv.
pub(super) const MULTIPLIER_BITS: u32 = 15;
/// Layers with fewer multiplications than this get 16-bit weights by default.
const SMALL_LAYER: u64 = 2_000_000;
/// The last layers before the outputs get 16 bits up to this: nothing after them averages their errors away.
const SMALL_LAST_LAYER: u64 = 16_000_000;
/// Accumulators stay below, as the loader demands.
const ACCUMULATOR: f64 = (1u64 << 46) as f64;

impl Quantiser<'_> {
    /// MatMul and Conv: integer weights per output channel, bias in the accumulator's scale, requantisation.
    pub(super) fn weighted(
        &mut self,
        id: Id,
        x: Id,
        weights: &[f64],
        bias: &[f64],
        op: impl FnOnce(ValueId, Array, Vec<i64>, Rescale) -> Op,
    ) -> Result<()> {
        let x = self.narrow(x)?;
        let target = self.target(id);
        let (mut k, qmax) = self.format(&target, f64::INFINITY);
        let taps = weights.len() / bias.len().max(1);
        let size: usize = self.net.shape(id).iter().product();
        let wmax = match self.options.weights {
            Weights::I8 => 127,
            Weights::I16 => QMAX,
            Weights::Auto if self.options.provable => provable::WEIGHT_MAX,
            Weights::Auto => {
                let small = if self.plan.last[id] {
                    SMALL_LAST_LAYER
                } else {
                    SMALL_LAYER
                };
                if (size as u64) * (taps as u64) < small {
                    QMAX
                } else {
                    127
                }
            }
        };
        let mut integers: Vec<i32> = Vec::with_capacity(weights.len());
        let mut biases = Vec::with_capacity(bias.len());
        let mut scales = Vec::with_capacity(bias.len());
        let mut sums = 1.0f64;
        // A provable layer shifts all its channels alike.
        let least = if self.options.provable {
            let scale_of = |(row, b): (&[f64], &f64)| quantise_channel(row, *b, x.k, x.magnitude(), wmax, 0.0).2;
            scale::power_of_two(weights.chunks(taps).zip(bias).map(scale_of).fold(0.0, f64::max))
        } else {
            0.0
        };
        for (row, &b) in weights.chunks(taps).zip(bias) {
            let (row, b, scale) = quantise_channel(row, b, x.k, x.magnitude(), wmax, least);
            let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
            sums = sums.max(sum * x.magnitude() + b.unsigned_abs() as f64);
            integers.extend(row);
            biases.push(b);
            scales.push(scale);
        }
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
            let room = (61 - bits).min(30) as u32;
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

/// Integers for one output channel: weights, bias in units of the accumulator, and the scale of a weight.
///
/// The scale is the finest with which weights fit `wmax` and the accumulator its bound, and no finer than `least`.
fn quantise_channel(row: &[f64], bias: f64, k: i32, xmax: f64, wmax: i32, least: f64) -> (Vec<i32>, i64, f64) {
    let largest = row.iter().map(|w| w.abs()).fold(0.0, f64::max);
    let mut scale = (largest / f64::from(wmax))
        .max(bias.abs() * pow2(k) / pow2(40))
        .max(least);
    if scale == 0.0 {
        scale = pow2(-k);
    }
    loop {
        let limit = i64::from(wmax);
        let row: Vec<i32> = row
            .iter()
            .map(|w| round(w / scale).clamp(-limit, limit) as i32)
            .collect();
        let term = round(bias / scale * pow2(k));
        let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
        if sum * xmax.max(1.0) + term.unsigned_abs() as f64 <= ACCUMULATOR / 2.0 {
            return (row, term, scale);
        }
        scale *= 2.0;
    }
}
