//! Gates: `x * g(x)` with g between fixed limits, as in hard-swish, SiLU and GELU.
//!
//! Over a wide range of x a table's knots lie too far apart for the bend near 0. g saturates there, so that a table of g
//! may be finer, or it is a clamped line that needs none; the product with x is exact.

use aiinference_engine::graph::{Op, Rescale};

use super::scale::{fraction_bits, multiplier, pow2, round, QMAX};
use super::{table, Quantiser, Target};
use crate::error::Result;
use crate::expr::{Binary, Clamped, Expr};
use crate::net::Id;

/// Error of a table, in units of its output, from which on a gate does better.
const COARSE_UNITS: f64 = 1.5;
/// Points at which a gate is looked at.
const PROBES: i32 = 256;

/// The g of `x * g(x)`.
pub(super) fn of(f: &Expr) -> Option<Expr> {
    let mut factors = Factors {
        number: 1.0,
        variables: 0,
        rest: vec![],
    };
    factors.take(f, false)?;
    let mut rest = factors.rest.into_iter();
    let first = rest.next().filter(|_| factors.variables == 1)?;
    let g = rest.fold(first, |a, b| Expr::binary(Binary::Mul, a, b));
    Some(if factors.number == 1.0 {
        g
    } else {
        Expr::binary(Binary::Mul, g, Expr::Const(factors.number))
    })
}

/// The factors of a product.
struct Factors {
    number: f64,
    variables: usize,
    rest: Vec<Expr>,
}

impl Factors {
    fn take(&mut self, f: &Expr, inverse: bool) -> Option<()> {
        if let Some(c) = f.constant() {
            let c = if inverse { 1.0 / c } else { c };
            self.number *= c;
            return (c.is_finite() && c != 0.0).then_some(());
        }
        match f {
            Expr::X if !inverse => self.variables += 1,
            Expr::Binary(Binary::Mul, a, b) => {
                self.take(a, inverse)?;
                self.take(b, inverse)?;
            }
            Expr::Binary(Binary::Div, a, b) if !inverse => {
                self.take(a, false)?;
                self.take(b, true)?;
            }
            f if inverse => self.rest.push(Expr::binary(Binary::Div, Expr::Const(1.0), f.clone())),
            f => self.rest.push(f.clone()),
        }
        Some(())
    }
}

impl Quantiser<'_> {
    /// Quantises a gate whose table would be coarse; false where the function is none, or its table is good.
    pub(super) fn gated(&mut self, id: Id, source: Id, f: &Expr) -> Result<bool> {
        if self.options.provable {
            return Ok(false);
        }
        let Some(g) = of(f) else { return Ok(false) };
        let seen = self.seen[source];
        let plan = table::plan(f, seen.low, seen.high, self.seen[id].largest());
        if plan.error <= COARSE_UNITS * pow2(-plan.output_bits) {
            return Ok(false);
        }
        let step = (seen.high - seen.low) / f64::from(PROBES);
        let values = (0..=PROBES).map(|i| g.eval(seen.low + step * f64::from(i)));
        let largest = values.fold(0.0, |m: f64, v| if v.is_nan() { f64::NAN } else { m.max(v.abs()) });
        if !(largest > 0.0 && largest < f64::from(QMAX)) {
            return Ok(false);
        }
        let x = self.narrow(source)?;
        let gate = match g.clamped() {
            Some(line) if line.low.is_finite() && line.high.is_finite() => self.ramp(id, x, line)?,
            Some(_) => return Ok(false),
            None => {
                let finer = table::plan(&g, seen.low, seen.high, largest);
                // What a table of the gate is off by counts as often as x is large.
                let reached = finer.error * seen.largest();
                if reached >= plan.error {
                    return Ok(false);
                }
                self.tabled(id, finer, x)?
            }
        };
        let target = self.target(id);
        let (k, qmax) = self.format(&target, f64::INFINITY);
        let Some((m, s)) = multiplier(pow2(k - x.k - gate.k), 31) else {
            return self.range_error(id, "its factors are too coarse for its product".into());
        };
        let (low, high) = self.limits(&target, k, qmax);
        let op = Op::Mul {
            a: x.id,
            b: gate.id,
            multiplier: m,
            shift: s,
            low,
            high,
        };
        let y = self.push(op, k, low, high);
        self.finish(id, &target, y);
        Ok(true)
    }

    /// A line between two limits, in 16 bits.
    fn ramp(&mut self, id: Id, x: super::Q, line: Clamped) -> Result<super::Q> {
        let k = fraction_bits(line.low.abs().max(line.high.abs()), QMAX);
        let target = Target {
            id,
            low: line.low,
            high: line.high,
        };
        let (low, high) = self.limits(&target, k, QMAX);
        let bias = line.offset / line.scale * pow2(x.k);
        let Some((m, s)) = multiplier(line.scale * pow2(k - x.k), 30).filter(|_| bias.abs() < pow2(28)) else {
            return self.range_error(id, format!("the factor {} is too large", line.scale));
        };
        let op = Op::Rescale {
            x: x.id,
            axis: 0,
            bias: vec![round(bias)],
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        Ok(self.push(op, k, low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Unary;

    #[test]
    fn gates_are_found_in_products_and_quotients() {
        let line = Expr::clamp(0.0, 6.0).of(&Expr::affine(1.0, 3.0));
        let product = Expr::binary(Binary::Mul, Expr::X, line);
        let swish = Expr::binary(Binary::Div, product, Expr::Const(6.0));
        let c = of(&swish).unwrap().clamped().unwrap();
        assert!((c.scale - 1.0 / 6.0).abs() < 1e-12 && (c.high - 1.0).abs() < 1e-12 && c.low == 0.0);

        let sum = Expr::binary(
            Binary::Add,
            Expr::Const(1.0),
            Expr::unary(Unary::Exp, Expr::unary(Unary::Neg, Expr::X)),
        );
        let g = of(&Expr::binary(Binary::Div, Expr::X, sum)).unwrap();
        assert!((g.eval(0.0) - 0.5).abs() < 1e-12 && (g.eval(30.0) - 1.0).abs() < 1e-9);

        assert!(of(&Expr::unary(Unary::Tanh, Expr::X)).is_none());
        let square = Expr::binary(Binary::Mul, Expr::X, Expr::X);
        assert!(of(&Expr::binary(Binary::Mul, square, Expr::unary(Unary::Tanh, Expr::X))).is_none());
    }
}
