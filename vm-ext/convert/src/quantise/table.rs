//! Tables of functions: which input scale, which output scale, which entries.

use super::scale::{fraction_bits, pow2, reach, round, QMAX};
use crate::expr::Expr;

/// Knots of a table over 16 bits.
const KNOTS: i32 = 513;
/// Distance between knots.
const STEP: i32 = 128;
/// How many more input fraction bits than the range asks for are tried: they cut off the ends, where functions like
/// the sigmoid are flat, and bring the knots closer in the middle.
const FINER: i32 = 6;
/// Points at which a candidate is measured.
const PROBES: i32 = 1024;

/// A table for a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Fraction bits of the input.
    pub input_bits: i32,
    /// Fraction bits of the output.
    pub output_bits: i32,
    /// 513 entries.
    pub entries: Vec<i16>,
    /// Largest error that was found, input rounding and saturation included.
    pub error: f64,
}

/// The best table for `f` on inputs in `low..=high` (as calibrated) that gives values up to `largest`.
pub fn plan(f: &Expr, low: f64, high: f64, largest: f64) -> Table {
    let room = reach(low.abs().max(high.abs()));
    let coarsest = fraction_bits(room, QMAX);
    let (low, high) = widened(low, high);
    let mut best: Option<(f64, Table)> = None;
    for input_bits in coarsest..=(coarsest + FINER).min(30) {
        let mut table = build(f, input_bits, largest);
        let error = worst(f, &table, probes(low, high));
        table.error = error.max(worst(f, &table, near_zero(low, high)));
        if best.as_ref().is_none_or(|(least, _)| error < *least * 0.999) {
            best = Some((error, table));
        }
    }
    match best {
        Some((_, table)) => table,
        None => build(f, coarsest, largest),
    }
}

/// The range with an eighth of its width added, within its sign where it has one.
fn widened(low: f64, high: f64) -> (f64, f64) {
    let more = (high - low) / 16.0;
    (low - more, high + more)
}

/// The table with a given input scale.
pub fn build(f: &Expr, input_bits: i32, largest: f64) -> Table {
    let knot = |i: i32| knot(f, input_bits, i);
    let everywhere = (0..KNOTS).map(|i| knot(i).abs()).filter(|y| y.is_finite());
    let bound = everywhere.fold(0.0, f64::max).min(reach(largest));
    let output_bits = fraction_bits(bound, QMAX);
    let scale = pow2(output_bits);
    let entry = |i: i32| round(knot(i) * scale).clamp((-QMAX).into(), QMAX.into()) as i16;
    Table {
        input_bits,
        output_bits,
        entries: (0..KNOTS).map(entry).collect(),
        error: f64::INFINITY,
    }
}

impl Table {
    /// Makes the entries coarser, where they have more than so many fraction bits, and limits them.
    pub fn narrow(&mut self, f: &Expr, output_bits: i32, most: i32) {
        if output_bits < self.output_bits {
            let scale = pow2(output_bits);
            let most = i64::from(most.min(QMAX));
            let entry = |i: i32| round(knot(f, self.input_bits, i) * scale).clamp(-most, most) as i16;
            self.entries = (0..KNOTS).map(entry).collect();
            self.output_bits = output_bits;
        }
    }
}

/// A function at a knot.
fn knot(f: &Expr, input_bits: i32, i: i32) -> f64 {
    f.eval(f64::from(i * STEP - 32768) * pow2(-input_bits))
}

/// What the engine reads from a table.
pub fn read(table: &Table, x: i32) -> i32 {
    let u = x + 32768;
    let (i, f) = ((u >> 7) as usize, u & 127);
    let (a, b) = (i32::from(table.entries[i]), i32::from(table.entries[i + 1]));
    (a * (128 - f) + b * f + 64) >> 7
}

/// Points over a range.
fn probes(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..=PROBES).map(move |i| low + (high - low) * f64::from(i) / f64::from(PROBES))
}

/// Points ever nearer to 0, as far as a range reaches there: that is where roots and reciprocals are steep.
pub fn near_zero(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let points = move |end: f64| (10..64).map(move |i| end * libm::exp2(-f64::from(i) / 4.0));
    points(low).chain(points(high)).filter(move |x| *x >= low && *x <= high)
}

/// Largest error at the given points, input rounding and saturation included.
fn worst(f: &Expr, table: &Table, probes: impl Iterator<Item = f64>) -> f64 {
    probes
        .map(|x| {
            let q = round(x * pow2(table.input_bits)).clamp((-QMAX).into(), QMAX.into()) as i32;
            let y = f64::from(read(table, q)) * pow2(-table.output_bits);
            let error = (y - f.eval(x)).abs();
            if error.is_finite() {
                error
            } else {
                0.0
            }
        })
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Binary, Unary};

    fn error(f: Expr, low: f64, high: f64) -> f64 {
        let largest = f.eval(low).abs().max(f.eval(high).abs());
        let table = plan(&f, low, high, largest);
        worst(&f, &table, probes(low, high))
    }

    #[test]
    fn smooth_functions_come_within_a_few_units_of_the_last_place() {
        assert!(error(Expr::unary(Unary::Sigmoid, Expr::X), -9.0, 12.0) < 1.5e-4);
        assert!(error(Expr::unary(Unary::Tanh, Expr::X), -3.0, 3.0) < 2e-4);
        assert!(error(Expr::unary(Unary::Exp, Expr::X), -5.0, 0.0) < 2e-4);
        let silu = Expr::binary(Binary::Mul, Expr::X, Expr::unary(Unary::Sigmoid, Expr::X));
        assert!(error(silu, -6.0, 6.0) < 6e-4);
    }

    #[test]
    fn a_sigmoid_keeps_fifteen_bits_and_its_middle() {
        let table = plan(&Expr::unary(Unary::Sigmoid, Expr::X), -40.0, 40.0, 1.0);
        assert_eq!(table.output_bits, 15);
        assert_eq!(read(&table, 0), 16384);
        assert!(table.input_bits >= 11, "{}", table.input_bits);
    }
}
