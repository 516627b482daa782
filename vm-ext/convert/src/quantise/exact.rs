//! Whole numbers: no fraction bits, nothing rounded, as long as 32 bits hold them.

use aiinference_engine::graph::{Array, Op, Rescale, ValueId};

use super::plan::is_whole;
use super::scale::{round, QMAX};
use super::{Quantiser, Q};
use crate::error::Result;
use crate::expr::Clamped;
use crate::net::{Id, Kind};

/// Where 32 bits do not hold whole numbers, those beyond this are limited to twice what calibration saw.
const LARGE: i128 = 1 << 30;

/// Magnitude of the top bit of 32.
const WIDEST: f64 = 2147483648.0;

impl Quantiser<'_> {
    /// Quantises a node whose value is whole numbers; false where that is no matter of exactness.
    pub(super) fn exactly(&mut self, id: Id) -> Result<bool> {
        let net = self.net;
        let y = match &net.nodes[id].kind {
            Kind::Linear { x, weights, bias } if self.plan.whole[*x] && bounded(weights) => {
                self.exactly_weighted(id, *x, weights, bias, |x, weights, bias, rescale| Op::MatMul {
                    x,
                    weights,
                    bias,
                    rescale,
                })?
            }
            Kind::Conv {
                x,
                weights,
                bias,
                window,
                groups,
            } if self.plan.whole[*x] && bounded(weights) => {
                let channels = bias.len() as u32;
                self.exactly_weighted(id, *x, weights, bias, |x, weights, bias, rescale| Op::Conv2d {
                    x,
                    weights,
                    channels,
                    bias,
                    window: window.clone(),
                    groups: *groups as u32,
                    rescale,
                })?
            }
            Kind::Affine { x, axis, scale, offset } if self.plan.whole[*x] && all_whole(scale) && all_whole(offset) => {
                let x = self.value(*x)?;
                let y = self.exact_line(id, x, *axis, scale, None)?;
                self.exact_line(id, y, *axis, &vec![1.0; offset.len()], Some(offset))?
            }
            Kind::Map { x, f } => {
                let line = f
                    .clamped()
                    .filter(|c| self.plan.whole[*x] && is_factor(c.scale) && is_factor(c.offset));
                match line {
                    Some(c) => {
                        let x = self.value(*x)?;
                        self.whole_line(id, x, c)?
                    }
                    None if f.clamped().is_some() => {
                        // A scaled value that is declared whole: towards the nearest.
                        let q = self.value(*x)?;
                        let probes = self.probes(*x);
                        let y = self.compose(id, f, q, &probes)?;
                        self.rescaled(id, y, 0, 0)?
                    }
                    None => return Ok(false),
                }
            }
            Kind::Add { a, b, sign } if self.plan.whole[*a] && self.plan.whole[*b] => {
                let (a, b) = (self.value(*a)?, self.value(*b)?);
                self.exact_sum(id, a, b, *sign)?
            }
            Kind::Mul { a, b } if self.plan.whole[*a] && self.plan.whole[*b] => {
                let (a, b) = (self.value(*a)?, self.value(*b)?);
                self.exact_product(id, a, b)?
            }
            Kind::BatchMatMul { a, b } if self.plan.whole[*a] && self.plan.whole[*b] => {
                let (a, b) = (self.value(*a)?, self.value(*b)?);
                if !a.fits(QMAX) || !b.fits(QMAX) {
                    return self.range_error(id, "it multiplies whole numbers of more than 16 bits".into());
                }
                let k = match &net.nodes[id].kind {
                    Kind::BatchMatMul { a, .. } => net.shape(*a).last().copied().unwrap_or(1),
                    _ => 1,
                };
                let [low, high] = products(a, b).map(|v| v * k as i128);
                let (low, high) = self.whole_limits(id, low, high);
                let op = Op::BatchMatMul {
                    a: a.id,
                    b: b.id,
                    transposed: false,
                    multiplier: 1,
                    shift: 0,
                    low,
                    high,
                };
                self.push(op, 0, low, high)
            }
            Kind::ReduceSum { x, axis, factor } if self.plan.whole[*x] && is_whole(*factor) => {
                let n = net.shape(*x)[*axis] as i128 * *factor as i128;
                let x = self.value(*x)?;
                let ends = [i128::from(x.low) * n, i128::from(x.high) * n];
                let (low, high) = self.whole_limits(id, ends[0].min(ends[1]), ends[0].max(ends[1]));
                let op = Op::ReduceSum {
                    x: x.id,
                    axis: *axis as u32,
                    multiplier: *factor as i32,
                    shift: 0,
                    low,
                    high,
                };
                self.push(op, 0, low, high)
            }
            _ => return Ok(false),
        };
        self.set(id, y);
        Ok(true)
    }

    /// Limits that hold whole numbers of a node: what its operands allow, or twice what calibration saw where that is
    /// too much.
    pub(super) fn whole_limits(&self, id: Id, low: i128, high: i128) -> (i32, i32) {
        let seen = self.seen[id];
        if low >= i32::MIN.into() && high <= i32::MAX.into() {
            return (saturated(low), saturated(high));
        }
        let (mut low, mut high) = (low, high);
        if low < -LARGE {
            low = low.max((-LARGE).min(round(seen.low.min(0.0) * 2.0).into()));
        }
        if high > LARGE {
            high = high.min(LARGE.max(round(seen.high.max(0.0) * 2.0).into()));
        }
        (saturated(low.min(high)), saturated(high))
    }

    /// `clamp(scale * x + offset)` of whole numbers.
    pub(super) fn whole_line(&mut self, id: Id, x: Q, line: Clamped) -> Result<Q> {
        let first = line.offset / line.scale;
        let y = if line.scale != 0.0 && is_whole(first) {
            self.exact_line(id, x, 0, &[line.scale], Some(&[first]))?
        } else {
            let y = self.exact_line(id, x, 0, &[line.scale], None)?;
            self.exact_line(id, y, 0, &[1.0], Some(&[line.offset]))?
        };
        let bound = |v: f64| round(v).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let (least, most) = (bound(libm::ceil(line.low)), bound(libm::floor(line.high)));
        if y.low >= least && y.high <= most {
            return Ok(y);
        }
        let (low, high) = (
            y.low.clamp(least, most.max(least)),
            y.high.clamp(least, most.max(least)),
        );
        let op = Op::Clamp { x: y.id, low, high };
        Ok(self.push(op, 0, low, high))
    }

    /// `(x + offset[c]) * scale[c]`
    fn exact_line(&mut self, id: Id, x: Q, axis: usize, scale: &[f64], offset: Option<&[f64]>) -> Result<Q> {
        let offset = offset.unwrap_or_default();
        if scale.iter().any(|s| s.abs() > WIDEST / 2.0) {
            // The top bit of 32: too large a factor for one operation.
            let half: Vec<f64> = scale.iter().map(|s| s / 2.0).collect();
            let x = self.exact_line(id, x, axis, &half, Some(offset))?;
            return self.exact_line(id, x, axis, &vec![2.0; half.len()], None);
        }
        if scale.iter().all(|s| *s == 1.0) && offset.iter().all(|o| *o == 0.0) {
            return Ok(x);
        }
        let bias: Vec<i64> = offset.iter().map(|o| round(*o)).collect();
        let multipliers: Vec<i32> = scale.iter().map(|s| round(*s) as i32).collect();
        let (mut low, mut high) = (i128::MAX, i128::MIN);
        for (i, m) in multipliers.iter().enumerate() {
            let b = i128::from(bias.get(i).copied().unwrap_or(0));
            for v in [x.low, x.high] {
                let y = (i128::from(v) + b) * i128::from(*m);
                (low, high) = (low.min(y), high.max(y));
            }
        }
        if low.abs().max(high.abs()) >= 1 << 62 {
            return self.range_error(id, "its whole numbers need more than 62 bits".into());
        }
        let (low, high) = (saturated(low), saturated(high));
        let op = Op::Rescale {
            x: x.id,
            axis: axis as u32,
            bias,
            rescale: Rescale {
                shifts: vec![0; multipliers.len()],
                multipliers,
                low,
                high,
            },
        };
        Ok(self.push(op, x.k, low, high))
    }

    /// `a + sign * b`, of one format.
    pub(super) fn exact_sum(&mut self, id: Id, a: Q, b: Q, sign: f64) -> Result<Q> {
        let wide = |q: Q| [i128::from(q.low), i128::from(q.high)];
        let ([al, ah], [bl, bh]) = (wide(a), wide(b));
        let (low, high) = if sign < 0.0 {
            (al - bh, ah - bl)
        } else {
            (al + bl, ah + bh)
        };
        let (low, high) = self.whole_limits(id, low, high);
        let op = Op::Add {
            a: a.id,
            b: b.id,
            multipliers: [1, if sign < 0.0 { -1 } else { 1 }],
            shift: 0,
            low,
            high,
        };
        Ok(self.push(op, a.k, low, high))
    }

    /// `a * b` of whole numbers.
    pub(super) fn exact_product(&mut self, id: Id, a: Q, b: Q) -> Result<Q> {
        let [low, high] = products(a, b);
        if low.abs().max(high.abs()) >= 1 << 62 {
            return self.range_error(id, "its whole numbers need more than 62 bits".into());
        }
        let (low, high) = self.whole_limits(id, low, high);
        let op = Op::Mul {
            a: a.id,
            b: b.id,
            multiplier: 1,
            shift: 0,
            low,
            high,
        };
        Ok(self.push(op, 0, low, high))
    }

    fn exactly_weighted(
        &mut self,
        id: Id,
        x: Id,
        weights: &[f64],
        bias: &[f64],
        op: impl FnOnce(ValueId, Array, Vec<i64>, Rescale) -> Op,
    ) -> Result<Q> {
        let x = self.value(x)?;
        let taps = weights.len() / bias.len().max(1);
        let (mut low, mut high) = (0, 0);
        for (row, b) in weights.chunks(taps.max(1)).zip(bias) {
            // Padding counts as 0, which lies between what every term may be.
            let (mut least, mut most) = (*b as i128, *b as i128);
            for w in row {
                let ends = [x.low.min(0), x.high.max(0)].map(|v| i128::from(v) * *w as i128);
                least += ends[0].min(ends[1]);
                most += ends[0].max(ends[1]);
            }
            (low, high) = (low.min(least), high.max(most));
        }
        if low.abs().max(high.abs()) >= 1 << 46 {
            return self.range_error(id, "its sums of whole numbers need more than 46 bits".into());
        }
        let (low, high) = self.whole_limits(id, low, high);
        let stored = if weights.iter().all(|w| (-128.0..=127.0).contains(w)) {
            Array::I8(weights.iter().map(|w| *w as i8).collect())
        } else {
            Array::I16(weights.iter().map(|w| *w as i16).collect())
        };
        let bias = if bias.iter().all(|b| *b == 0.0) {
            vec![]
        } else {
            bias.iter().map(|b| round(*b)).collect()
        };
        let rescale = Rescale {
            multipliers: vec![1],
            shifts: vec![0],
            low,
            high,
        };
        Ok(self.push(op(x.id, stored, bias, rescale), 0, low, high))
    }
}

fn saturated(v: i128) -> i32 {
    v.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Whether whole numbers of 32 bits may be multiplied by it.
pub(super) fn is_factor(v: f64) -> bool {
    is_whole(v) || v.abs() == WIDEST
}

fn bounded(weights: &[f64]) -> bool {
    weights.iter().all(|w| is_whole(*w) && w.abs() <= f64::from(QMAX))
}

fn all_whole(list: &[f64]) -> bool {
    list.iter().all(|v| is_whole(*v))
}

/// Least and largest product.
fn products(a: Q, b: Q) -> [i128; 2] {
    let ends = [a.low, a.high].map(|v| [b.low, b.high].map(|w| i128::from(v) * i128::from(w)));
    let all = ends.as_flattened();
    let low = all.iter().copied().min().unwrap_or(0);
    [low, all.iter().copied().max().unwrap_or(0)]
}
