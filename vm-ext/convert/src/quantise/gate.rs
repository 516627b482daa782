//! Gates: `x * g(x)` with g between fixed limits, as in hard-swish, SiLU and GELU, and lines of them.
//!
//! Over a wide range of x a table's knots lie too far apart for the bend near 0. g saturates there, so that a table of g
//! may be finer, or it is a clamped line that needs none; the product with x is exact.

use aiinference_engine::graph::{Op, Rescale};

use super::linear::MULTIPLIER_BITS;
use super::scale::{fraction_bits, multiplier, pow2, reach, round, QMAX};
use super::{table, Quantiser, Target};
use crate::error::Result;
use crate::expr::{Binary, Clamped, Expr};
use crate::net::Id;

/// Error of a table, in units of its output, from which on a gate does better.
const COARSE_UNITS: f64 = 1.5;
/// Points at which a gate is looked at.
const PROBES: i32 = 256;

/// g and c of `x * g(x) + c`.
pub(super) fn of(f: &Expr) -> Option<(Expr, f64)> {
    let (scale, offset, product) = f.outer_line();
    let g = factor(product)?;
    Some(match scale {
        1.0 => (g, offset),
        _ => (Expr::binary(Binary::Mul, g, Expr::Const(scale)), offset),
    })
}

/// The g of `x * g(x)`.
fn factor(f: &Expr) -> Option<Expr> {
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
        let Some((g, offset)) = of(f) else { return Ok(false) };
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
        let (low, high) = self.limits(&target, k, qmax);
        // An offset is added to the product, which then has room for both.
        let product = match offset {
            0.0 => k,
            _ => fraction_bits(reach(self.seen[id].largest()) + offset.abs(), QMAX),
        };
        let Some((m, s)) = multiplier(pow2(product - x.k - gate.k), 31) else {
            return self.range_error(id, "its factors are too coarse for its product".into());
        };
        let (least, most) = if offset == 0.0 { (low, high) } else { (-QMAX, QMAX) };
        let op = Op::Mul {
            a: x.id,
            b: gate.id,
            multiplier: m,
            shift: s,
            low: least,
            high: most,
        };
        let mut y = self.push(op, product, least, most);
        if offset != 0.0 {
            y = self.moved_by(id, y, offset, k, (low, high))?;
        }
        self.finish(id, &target, y);
        Ok(true)
    }

    /// `x + offset` with other fraction bits and limits.
    fn moved_by(&mut self, id: Id, x: super::Q, offset: f64, k: i32, (low, high): (i32, i32)) -> Result<super::Q> {
        let Some((m, s)) = multiplier(pow2(k - x.k), MULTIPLIER_BITS) else {
            return self.range_error(id, format!("it would be shifted by {} bits", k - x.k));
        };
        let op = Op::Rescale {
            x: x.id,
            axis: 0,
            bias: vec![round(offset * pow2(x.k))],
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        Ok(self.push(op, k, low, high))
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
        let Some((m, s)) = multiplier(line.scale * pow2(k - x.k), MULTIPLIER_BITS).filter(|_| bias.abs() < pow2(28))
        else {
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
        let (g, none) = of(&swish).unwrap();
        let c = g.clamped().unwrap();
        assert_eq!(none, 0.0);
        assert!((c.scale - 1.0 / 6.0).abs() < 1e-12 && (c.high - 1.0).abs() < 1e-12 && c.low == 0.0);

        let sum = Expr::binary(
            Binary::Add,
            Expr::Const(1.0),
            Expr::unary(Unary::Exp, Expr::unary(Unary::Neg, Expr::X)),
        );
        let learned = Expr::affine(0.5, -0.25).of(&swish);
        let (g, offset) = of(&learned).unwrap();
        assert!((2.0 * g.eval(2.0) + offset - learned.eval(2.0)).abs() < 1e-12);
        assert_eq!(offset, -0.25);

        let (g, _) = of(&Expr::binary(Binary::Div, Expr::X, sum)).unwrap();
        assert!((g.eval(0.0) - 0.5).abs() < 1e-12 && (g.eval(30.0) - 1.0).abs() < 1e-9);

        assert!(of(&Expr::unary(Unary::Tanh, Expr::X)).is_none());
        let square = Expr::binary(Binary::Mul, Expr::X, Expr::X);
        assert!(of(&Expr::binary(Binary::Mul, square, Expr::unary(Unary::Tanh, Expr::X))).is_none());
    }
}
