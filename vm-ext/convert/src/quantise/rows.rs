//! Operations on whole rows or axes.

use aiinference_engine::graph::{Op, Rescale};

use super::scale::{multiplier, pow2, quantise, round, QMAX};
use super::Quantiser;
use crate::error::Result;
use crate::net::Id;

/// Fraction bits of normalised rows.
const Z_BITS: i32 = 20;

impl Quantiser<'_> {
    pub(super) fn softmax(&mut self, id: Id, x: Id) -> Result<()> {
        let q = self.value(x)?;
        // Units of 2^-16 of a binary exponent per unit of x.
        let factor = std::f64::consts::LOG2_E * pow2(16 - q.k);
        let Some((m, s)) = multiplier(factor, 31).filter(|(m, _)| *m > 0) else {
            return self.range_error(id, format!("its input counts units of 2^{}", -q.k));
        };
        let op = Op::Softmax {
            x: q.id,
            multiplier: m,
            shift: s,
        };
        let q = self.push(op, 15, 0, QMAX);
        self.set(id, q);
        Ok(())
    }

    /// z counts units of 2^-20; gamma is the rescaling of every column, beta its bias.
    pub(super) fn layer_norm(
        &mut self,
        id: Id,
        x: Id,
        gamma: &[f64],
        beta: &[f64],
        epsilon: f64,
        center: bool,
    ) -> Result<()> {
        let mut q = self.narrow(x)?;
        let n = gamma.len() as f64;
        let spread = |q: &crate::quantise::Q| match center {
            true => f64::from(q.high) - f64::from(q.low),
            false => q.magnitude(),
        };
        let part = if center { 0.25 } else { 1.0 };
        // The squares of long rows need more than 62 bits.
        while n * spread(&q) >= pow2(31) || square(n * spread(&q)) * part + epsilon * n * n * pow2(2 * q.k) >= pow2(61)
        {
            if q.magnitude() < 16.0 {
                return self.range_error(id, format!("its rows of {n} elements are too long"));
            }
            let limit = (q.magnitude() / 2.0) as i32 + 1;
            q = self.requantise(id, q, q.k - 1, -limit, limit)?;
        }
        let target = self.target(id);
        let (k, qmax) = self.format(&target, f64::INFINITY);
        let (low, high) = self.limits(&target, k, qmax);
        let reached = libm::sqrt(n) * pow2(Z_BITS) + 2.0;
        let mut bias = Vec::with_capacity(gamma.len());
        let mut multipliers = Vec::with_capacity(gamma.len());
        let mut shifts = Vec::with_capacity(gamma.len());
        for (g, b) in gamma.iter().zip(beta) {
            let term = if *g == 0.0 { f64::INFINITY } else { b / g * pow2(Z_BITS) };
            if term.abs() >= pow2(44) {
                // The row does not count beside so large a term.
                bias.push(1 << 45);
                multipliers.push(quantise(*b, k).clamp(low, high));
                shifts.push(45);
                continue;
            }
            let room = (61 - libm::frexp(reached + term.abs()).1).min(30) as u32;
            let Some((m, s)) = multiplier(g * pow2(k - Z_BITS), room) else {
                return self.range_error(id, format!("the factor {g} is too large"));
            };
            bias.push(round(term));
            multipliers.push(m);
            shifts.push(s);
        }
        if bias.iter().all(|b| *b == 0) {
            bias.clear();
        }
        let op = Op::LayerNorm {
            x: q.id,
            epsilon: round(epsilon * n * n * pow2(2 * q.k)).max(0) as u64,
            center,
            bias,
            rescale: Rescale {
                multipliers,
                shifts,
                low,
                high,
            },
        };
        let y = self.push(op, k, low, high);
        self.finish(id, &target, y);
        Ok(())
    }

    pub(super) fn reduce_sum(&mut self, id: Id, x: Id, axis: usize, factor: f64) -> Result<()> {
        let q = self.value(x)?;
        let n = self.net.shape(x)[axis] as f64;
        let target = self.target(id);
        let image = q.magnitude() * pow2(-q.k) * n * factor.abs();
        let (k, qmax) = self.format(&target, image);
        let (low, high) = self.limits(&target, k, qmax);
        let bits = (61 - libm::frexp(n * q.magnitude()).1).clamp(1, 30) as u32;
        let Some((m, s)) = multiplier(factor * pow2(k - q.k), bits) else {
            return self.range_error(id, format!("the factor {factor} is too large"));
        };
        let op = Op::ReduceSum {
            x: q.id,
            axis: axis as u32,
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

fn square(x: f64) -> f64 {
    x * x
}
