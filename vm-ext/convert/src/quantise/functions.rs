//! Functions of one variable that a table does not give well: made of several operations, each of them exact or finer
//! than 16 bits.

use aiinference_engine::graph::{Array, Comparison, Op, Rescale};

use super::exact::is_factor;
use super::plan::is_whole;
use super::scale::{bits_needed, dyadic, fraction_bits, multiplier, pow2, quantise, reach, round, QMAX, WIDE_MAX};
use super::seen::Seen;
use super::{table, Quantiser, Target, Q};
use crate::error::{ConvertError, Result};
use crate::expr::{Binary, Clamped, Expr, Narrow, Unary};
use crate::net::Id;

/// Error of a table beside the largest value of its function from which on the function is composed.
const COARSE: f64 = 1e-3;
/// Points at which functions are looked at.
const PROBES: i32 = 1024;
/// What the upper one of two tables of 16 bits counts.
const UPPER: f64 = 32768.0;
/// Magnitude of values within a function.
const INNER: i32 = 1 << 24;
/// How often the distance of two values is halved to tell a step from a steep place.
const HALVINGS: u32 = 16;
/// Fraction bits from which on a tie between two whole numbers is no matter of the format.
const TIE_BITS: i32 = 16;
/// Fraction bits that a shift takes away at most.
const MOST_BITS: i32 = 44;
/// Whole numbers up to this divide exactly: twice two of them together fit.
const MOST_DIVIDED: f64 = 268435456.0;
/// Powers of whole numbers up to this are products.
const MAX_POWER: f64 = 16.0;

/// Whether a table of a function would be coarse and operations would do better.
pub(super) fn is_steep(f: &Expr, x: &Seen, largest: f64) -> bool {
    if x.low > x.high {
        return false;
    }
    jumps(f) && !continuous(f, x.low, x.high)
        || composable(f) && largest > 0.0 && table::plan(f, x.low, x.high, largest).error > COARSE * largest
}

/// Whether nothing but whole numbers can come of it.
pub(super) fn gives_whole(f: &Expr, x: bool) -> bool {
    match f {
        Expr::X => x,
        Expr::Const(c) => is_factor(*c),
        Expr::Unary(f, e) => match f {
            Unary::Floor | Unary::Ceil | Unary::RoundEven | Unary::Sign => true,
            Unary::Neg | Unary::Abs | Unary::Square => gives_whole(e, x),
            _ => false,
        },
        Expr::Binary(op, a, b) => match op {
            Binary::Less | Binary::LessEqual | Binary::Equal => true,
            Binary::Pow => {
                let power = b
                    .constant()
                    .is_some_and(|c| is_whole(c) && (0.0..=MAX_POWER).contains(&c));
                power && gives_whole(a, x)
            }
            Binary::Div => false,
            _ => gives_whole(a, x) && gives_whole(b, x),
        },
        Expr::Select(e) => gives_whole(&e[1], x) && gives_whole(&e[2], x),
    }
}

/// Whether a function is made of steps.
fn jumps(f: &Expr) -> bool {
    match f {
        Expr::X | Expr::Const(_) => false,
        Expr::Unary(f, e) => matches!(f, Unary::Floor | Unary::Ceil | Unary::RoundEven | Unary::Sign) || jumps(e),
        Expr::Binary(op, a, b) => {
            matches!(op, Binary::Less | Binary::LessEqual | Binary::Equal) || jumps(a) || jumps(b)
        }
        Expr::Select(e) => e.iter().any(jumps),
    }
}

/// Whether neighbouring values are neighbours: a choice between two branches that meet is no step.
fn continuous(f: &Expr, low: f64, high: f64) -> bool {
    let step = (high - low) / f64::from(PROBES * 8);
    let values: Vec<f64> = (0..=PROBES * 8).map(|i| f.eval(low + step * f64::from(i))).collect();
    let finite = values.iter().filter(|v| v.is_finite());
    let (least, most) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    // A large difference that halving the distance does not make smaller is a step.
    let large = (most - least) / f64::from(PROBES);
    values.windows(2).enumerate().all(|(i, w)| {
        let whole = (w[1] - w[0]).abs();
        if whole.is_nan() || whole <= large {
            return true;
        }
        let mut from = low + step * i as f64;
        let mut length = step;
        for _ in 0..HALVINGS {
            length /= 2.0;
            let [a, b, c] = [0.0, 1.0, 2.0].map(|n| f.eval(from + n * length));
            if (c - b).abs() > (b - a).abs() {
                from += length;
            }
        }
        (f.eval(from + length) - f.eval(from)).abs() < whole / 2.0
    })
}

/// Whether a function has parts that operations compute better than a table.
fn composable(f: &Expr) -> bool {
    match f {
        Expr::X | Expr::Const(_) => false,
        Expr::Unary(f, e) => {
            matches!(
                f,
                Unary::Sqrt
                    | Unary::Rsqrt
                    | Unary::Recip
                    | Unary::Ln
                    | Unary::Tan
                    | Unary::Atanh
                    | Unary::Acosh
                    | Unary::Narrow(..)
            ) || composable(e)
        }
        Expr::Binary(Binary::Div, _, b) if b.constant().is_none() => true,
        Expr::Binary(Binary::Pow, a, b) => b.constant().is_some_and(is_root) || composable(a),
        Expr::Binary(_, a, b) => composable(a) || composable(b),
        Expr::Select(e) => e.iter().any(composable),
    }
}

/// Whether operations give a function more exactly than a table can.
pub(super) fn is_exact(f: &Expr) -> bool {
    match f {
        Expr::X | Expr::Const(_) => true,
        Expr::Unary(f, e) => {
            matches!(
                f,
                Unary::Neg | Unary::Abs | Unary::Square | Unary::Sqrt | Unary::Rsqrt | Unary::Recip
            ) && is_exact(e)
        }
        Expr::Binary(Binary::Pow, a, b) => {
            let power = |c: f64| is_whole(c) && (1.0..=MAX_POWER).contains(&c);
            b.constant().is_some_and(power) && is_exact(a)
        }
        Expr::Binary(op, a, b) => {
            matches!(
                op,
                Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Min | Binary::Max
            ) && is_exact(a)
                && is_exact(b)
        }
        Expr::Select(_) => false,
    }
}

/// Whether a power is steep at 0.
fn is_root(power: f64) -> bool {
    power > 0.0 && power < 1.0
}

/// A function with steep ends in terms of others.
fn spelt_out(f: Unary, e: &Expr) -> Option<Expr> {
    let (x, one) = (e.clone(), Expr::Const(1.0));
    match f {
        Unary::Tan => Some(Expr::binary(
            Binary::Div,
            Expr::unary(Unary::Sin, x.clone()),
            Expr::unary(Unary::Cos, x),
        )),
        Unary::Atanh => {
            let ratio = Expr::binary(
                Binary::Div,
                Expr::binary(Binary::Add, x.clone(), one.clone()),
                Expr::binary(Binary::Sub, one, x),
            );
            Some(Expr::affine(0.5, 0.0).of(&Expr::unary(Unary::Ln, ratio)))
        }
        Unary::Acosh => {
            let square = Expr::binary(Binary::Sub, Expr::unary(Unary::Square, x.clone()), one);
            let sum = Expr::binary(Binary::Add, x, Expr::unary(Unary::Sqrt, square));
            Some(Expr::unary(Unary::Ln, sum))
        }
        _ => None,
    }
}

impl Quantiser<'_> {
    /// A function as operations, in its node's format.
    pub(super) fn composed(&mut self, id: Id, x: Id, f: &Expr) -> Result<()> {
        let q = self.value(x)?;
        let probes = self.probes(x);
        let mut y = self.compose(id, f, q, &probes)?;
        if f.constant().is_some() {
            let shape = super::extents(&self.net.nodes[id].shape);
            y = self.push(Op::Broadcast { x: y.id, shape }, y.k, y.low, y.high);
        }
        let y = if self.plan.whole[id] {
            self.rescaled(id, y, 0, 0)?
        } else {
            let target = Target {
                id,
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
            };
            let (k, limit) = self.format(&target, f64::INFINITY);
            if y.k > k || !y.fits(limit) {
                self.requantise(id, y, k.min(y.k), -limit, limit)?
            } else {
                y
            }
        };
        self.set(id, y);
        Ok(())
    }

    /// Points over what calibration saw of a value and a little beyond.
    pub(super) fn probes(&self, x: Id) -> Vec<f64> {
        let seen = self.seen[x];
        if seen.low > seen.high {
            return vec![0.0];
        }
        let more = (seen.high - seen.low) / 16.0;
        let (mut low, mut high) = (seen.low - more, seen.high + more);
        // A sign that calibration saw is kept.
        if seen.low >= 0.0 {
            low = low.max(seen.low.min(seen.high / 4096.0));
        }
        if seen.high <= 0.0 {
            high = high.min(seen.high.max(seen.low / 4096.0));
        }
        let step = (high - low) / f64::from(PROBES);
        let points = (0..=PROBES).map(|i| low + step * f64::from(i));
        points
            .chain(table::near_zero(low, high))
            .chain([seen.low, seen.high])
            .map(|v| if self.plan.whole[x] { libm::rint(v) } else { v })
            .collect()
    }

    /// The value of an expression of x.
    pub(super) fn compose(&mut self, id: Id, f: &Expr, x: Q, probes: &[f64]) -> Result<Q> {
        if let Some(c) = f.constant() {
            return Ok(self.number(c));
        }
        let values = values_of(f, probes);
        let bound = values.iter().fold(0.0f64, |b, v| b.max(v.abs()));
        // At most 256 whole numbers: a table of them all.
        if x.k == 0 && i64::from(x.high) - i64::from(x.low) < 256 && f.clamped().is_none() && f.size() > 1 {
            return self.bytes(id, f, x);
        }
        let smooth = !jumps(f) || values.len() > 1 && continuous(f, least(probes), most(probes));
        if smooth && !gives_whole(f, x.k == 0) && f.clamped().is_none() && !is_exact(f) {
            let plan = table::plan(f, least(probes), most(probes), bound);
            if !composable(f) || plan.error <= COARSE * bound {
                return self.tabled(id, plan, x);
            }
        }
        let y = match f {
            Expr::X => x,
            Expr::Const(c) => self.number(*c),
            _ if f.clamped().is_some() => match f.clamped() {
                Some(line) => self.line(id, x, line, bound)?,
                None => x,
            },
            Expr::Unary(g, e) => {
                if matches!(g, Unary::Floor | Unary::Ceil | Unary::RoundEven) {
                    if let Some(y) = self.whole_quotient(*g, e, x)? {
                        return Ok(y);
                    }
                }
                if let Some(spelt) = spelt_out(*g, e) {
                    return self.compose(id, &spelt, x, probes);
                }
                let inner = self.compose(id, e, x, probes)?;
                if let Some((a, b)) = self.quotients.get(&inner.id).copied() {
                    if let Some(y) = self.whole_part(id, *g, a, b)? {
                        return Ok(y);
                    }
                }
                match g {
                    Unary::Neg => self.negated(inner),
                    Unary::Abs => {
                        let other = self.negated(inner);
                        let high = inner.high.max(other.high);
                        let op = Op::Max {
                            a: inner.id,
                            b: other.id,
                        };
                        let y = self.push(op, inner.k, inner.low.max(other.low), high);
                        if let Some((a, b)) = self.quotients.get(&inner.id).copied() {
                            let quotient = (self.absolute(a), self.absolute(b));
                            self.quotients.insert(y.id, quotient);
                        }
                        y
                    }
                    Unary::Sign => {
                        let (low, high) = (inner.low.clamp(-1, 1), inner.high.clamp(-1, 1));
                        let op = Op::Clamp {
                            x: inner.id,
                            low: -1,
                            high: 1,
                        };
                        self.push(op, 0, low, high)
                    }
                    Unary::Floor | Unary::Ceil | Unary::RoundEven => self.rounded(id, *g, inner)?,
                    Unary::Square => self.product(id, inner, inner, bound)?,
                    Unary::Sqrt => self.root(id, inner, bound)?,
                    Unary::Rsqrt => {
                        let largest = most_of(e, probes);
                        let root = self.root(id, inner, libm::sqrt(largest))?;
                        let one = self.number(1.0);
                        self.ratio(id, one, root, bound)?
                    }
                    Unary::Recip => {
                        let one = self.number(1.0);
                        self.ratio(id, one, inner, bound)?
                    }
                    Unary::Ln => self.logarithm(id, inner, e, probes)?,
                    Unary::Narrow(format, _) if format.is_byte() => self.nearest(*format, inner),
                    _ => {
                        let inside = values_of(e, probes);
                        let outer = Expr::unary(*g, Expr::X);
                        let plan = table::plan(&outer, least(&inside), most(&inside), bound);
                        self.tabled(id, plan, inner)?
                    }
                }
            }
            Expr::Binary(Binary::Pow, a, b) => match b.constant() {
                Some(c) if is_whole(c) && (1.0..=MAX_POWER).contains(&c) => {
                    let base = self.compose(id, a, x, probes)?;
                    let largest = most_of(a, probes);
                    let mut y = base;
                    let mut reached = largest;
                    for _ in 1..c as i32 {
                        reached *= largest;
                        y = self.product(id, y, base, reached)?;
                    }
                    y
                }
                Some(c) if is_root(c) => {
                    let base = self.compose(id, a, x, probes)?;
                    let inside = values_of(a, probes);
                    self.fraction_power(id, base, c, &inside)?
                }
                _ => {
                    let plan = table::plan(f, least(probes), most(probes), bound);
                    self.tabled(id, plan, x)?
                }
            },
            Expr::Binary(op, a, b) => {
                if matches!(op, Binary::Less | Binary::LessEqual | Binary::Equal) {
                    if let Some(y) = self.threshold(id, *op, a, b, x, probes)? {
                        return Ok(y);
                    }
                }
                if matches!(op, Binary::Min | Binary::Max) {
                    if let Some(y) = self.never_reached(id, *op, a, b, x, probes)? {
                        return Ok(y);
                    }
                }
                let (a, b) = (self.compose(id, a, x, probes)?, self.compose(id, b, x, probes)?);
                self.combined(id, *op, a, b, bound)?
            }
            Expr::Select(e) => {
                let condition = self.compose(id, &e[0], x, probes)?;
                let (a, b) = (self.compose(id, &e[1], x, probes)?, self.compose(id, &e[2], x, probes)?);
                let (a, b) = self.aligned(id, a, b)?;
                let op = Op::Select {
                    condition: condition.id,
                    a: a.id,
                    b: b.id,
                };
                self.push(op, a.k, a.low.min(b.low), a.high.max(b.high))
            }
        };
        Ok(y)
    }

    /// An operation on two values of one format or of two.
    fn combined(&mut self, id: Id, op: Binary, a: Q, b: Q, bound: f64) -> Result<Q> {
        Ok(match op {
            Binary::Mul => self.product(id, a, b, bound)?,
            Binary::Div => self.ratio(id, a, b, bound)?,
            Binary::Add | Binary::Sub => {
                let (a, b) = self.aligned(id, a, b)?;
                self.exact_sum(id, a, b, if op == Binary::Add { 1.0 } else { -1.0 })?
            }
            Binary::Min | Binary::Max => {
                let (a, b) = self.aligned(id, a, b)?;
                let (op, low, high) = if op == Binary::Min {
                    (Op::Min { a: a.id, b: b.id }, a.low.min(b.low), a.high.min(b.high))
                } else {
                    (Op::Max { a: a.id, b: b.id }, a.low.max(b.low), a.high.max(b.high))
                };
                self.push(op, a.k, low, high)
            }
            Binary::Less | Binary::LessEqual | Binary::Equal => {
                let (a, b) = self.aligned(id, a, b)?;
                let kind = comparison(op);
                self.push(Op::Compare { a: a.id, b: b.id, kind }, 0, 0, 1)
            }
            Binary::Pow | Binary::BitAnd | Binary::BitOr | Binary::BitXor => {
                return Err(ConvertError::Unsupported {
                    node: self.net.nodes[id].name.clone(),
                    op: self.net.nodes[id].kind.name().into(),
                    reason: "it is a function of more than 256 different whole numbers that no operation gives".into(),
                    advice: "clamp its operand to 8 bits, or compute it outside of the model".into(),
                })
            }
        })
    }

    /// An expression that never reaches a number which bounds it: aligned with that one (3.4e38, say), it would lose its
    /// fraction.
    fn never_reached(&mut self, id: Id, op: Binary, a: &Expr, b: &Expr, x: Q, probes: &[f64]) -> Result<Option<Q>> {
        let (e, c) = match (a.constant(), b.constant()) {
            (None, Some(c)) => (a, c),
            (Some(c), None) => (b, c),
            _ => return Ok(None),
        };
        let values = values_of(e, probes);
        let beyond = if op == Binary::Min {
            c >= f64::from(WIDE_MAX) && c > most(&values)
        } else {
            c <= -f64::from(WIDE_MAX) && c < least(&values)
        };
        Ok(if beyond {
            Some(self.compose(id, e, x, probes)?)
        } else {
            None
        })
    }

    /// A comparison of an expression with a number, which is rounded so that whole numbers compare exactly.
    fn threshold(&mut self, id: Id, op: Binary, a: &Expr, b: &Expr, x: Q, probes: &[f64]) -> Result<Option<Q>> {
        let (e, c, left) = match (a.constant(), b.constant()) {
            (None, Some(c)) => (a, c, false),
            (Some(c), None) => (b, c, true),
            _ => return Ok(None),
        };
        let q = self.compose(id, e, x, probes)?;
        let scaled = c * pow2(q.k);
        let t = if gives_whole(e, x.k == 0) && op != Binary::Equal {
            // x < 2.5 where x < 3, x <= 2.5 where x <= 2; 2.5 < x where 2 < x, 2.5 <= x where 3 <= x.
            if (op == Binary::Less) != left {
                libm::ceil(scaled)
            } else {
                libm::floor(scaled)
            }
        } else if op == Binary::Equal && gives_whole(e, x.k == 0) && !is_whole(c) {
            // Out of reach: it never holds.
            f64::from(i32::MAX)
        } else {
            f64::from(quantise(c, q.k))
        };
        let t = round(t).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let number = self.stored(t, q.k);
        let (a, b) = if left { (number, q) } else { (q, number) };
        let kind = comparison(op);
        Ok(Some(self.push(Op::Compare { a: a.id, b: b.id, kind }, 0, 0, 1)))
    }

    /// A number, exactly where it has few bits.
    pub(super) fn number(&mut self, c: f64) -> Q {
        if !c.is_finite() || c.abs() > f64::from(WIDE_MAX) {
            return self.stored(if c < 0.0 { -WIDE_MAX } else { WIDE_MAX }, 0);
        }
        let (mantissa, exponent) = dyadic(c);
        let exact = if mantissa == 0 { 0 } else { (-exponent).max(0) };
        let k = fraction_bits(c.abs(), INNER).min(exact);
        self.stored(quantise(c, k), k)
    }

    fn stored(&mut self, value: i32, k: i32) -> Q {
        let op = Op::Constant {
            shape: vec![],
            data: Array::I32(vec![value]),
        };
        self.push(op, k, value, value)
    }

    /// Every whole number's value in a table of 256.
    fn bytes(&mut self, id: Id, f: &Expr, x: Q) -> Result<Q> {
        let centre = if x.low >= -128 && x.high <= 127 { 0 } else { x.low + 128 };
        let at = |i: i32| f.eval(f64::from(centre) + f64::from(i));
        let inside = |i: &i32| *i + centre >= x.low && *i + centre <= x.high;
        let bound = (-128..128).filter(inside).map(at).filter(|v| v.is_finite());
        let bound = bound.fold(0.0f64, |b, v| b.max(v.abs()));
        let whole = gives_whole(f, true) || (-128..128).filter(inside).map(at).all(is_whole);
        if whole && bound >= f64::from(WIDE_MAX) {
            return self.range_error(
                id,
                format!("a function of whole numbers reaches {bound}, beyond 30 bits"),
            );
        }
        let k = if whole { 0 } else { fraction_bits(bound, QMAX) };
        let x = if centre == 0 {
            x
        } else {
            let op = Op::Rescale {
                x: x.id,
                axis: 0,
                bias: vec![-i64::from(centre)],
                rescale: Rescale {
                    multipliers: vec![1],
                    shifts: vec![0],
                    low: -128,
                    high: 127,
                },
            };
            self.push(op, 0, x.low - centre, x.high - centre)
        };
        if whole && bound > f64::from(QMAX) {
            // What 16 bits do not hold comes from two tables.
            let upper = self.entries(x, 0, |i| libm::floor(at(i) / UPPER));
            let lower = self.entries(x, 0, |i| at(i) - libm::floor(at(i) / UPPER) * UPPER);
            let upper = self.scaled(upper, 0, (UPPER as i32, 0), 0);
            return self.exact_sum(id, upper, lower, 1.0);
        }
        Ok(self.entries(x, k, at))
    }

    /// A table of 256 entries for whole numbers from -128 to 127.
    fn entries(&mut self, x: Q, k: i32, at: impl Fn(i32) -> f64) -> Q {
        let entry = |i: i32| round(at(i) * pow2(k)).clamp((-QMAX).into(), QMAX.into()) as i16;
        let table: Vec<i16> = (-128..128).map(entry).collect();
        let used = (-128..128).zip(&table).filter(|(i, _)| (x.low..=x.high).contains(i));
        let used: Vec<i32> = used.map(|(_, y)| i32::from(*y)).collect();
        let low = used.iter().copied().min().unwrap_or(0);
        let high = used.iter().copied().max().unwrap_or(0);
        self.push(Op::Table { x: x.id, table }, k, low, high)
    }

    /// A planned table of x.
    pub(super) fn tabled(&mut self, id: Id, plan: table::Table, x: Q) -> Result<Q> {
        let x = if x.k == plan.input_bits && x.fits(QMAX) {
            x
        } else {
            self.requantise(id, x, plan.input_bits, -QMAX, QMAX)?
        };
        let low = plan.entries.iter().copied().min().unwrap_or(0).into();
        let high = plan.entries.iter().copied().max().unwrap_or(0).into();
        let op = Op::Table {
            x: x.id,
            table: plan.entries,
        };
        Ok(self.push(op, plan.output_bits, low, high))
    }

    /// `((x + bias) * m + half) >> s` in another format, with the range that x allows.
    fn scaled(&mut self, x: Q, bias: i64, (m, s): (i32, u8), k: i32) -> Q {
        let end = |v: i32| {
            let acc = (i128::from(v) + i128::from(bias)) * i128::from(m);
            let half = if s == 0 { 0 } else { 1i128 << (s - 1) };
            ((acc + half) >> s).clamp((-WIDE_MAX).into(), WIDE_MAX.into()) as i32
        };
        let ends = [end(x.low), end(x.high)];
        let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        let op = Op::Rescale {
            x: x.id,
            axis: 0,
            bias: if bias == 0 { vec![] } else { vec![bias] },
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        self.push(op, k, low, high)
    }

    /// x with k fraction bits, `bias` added first.
    pub(super) fn rescaled(&mut self, id: Id, x: Q, bias: i64, k: i32) -> Result<Q> {
        if x.k == k && bias == 0 {
            return Ok(x);
        }
        match multiplier(pow2(k - x.k), 31) {
            Some(ms) => Ok(self.scaled(x, bias, ms, k)),
            None => self.range_error(id, format!("it would be shifted by {} bits", k - x.k)),
        }
    }

    /// Two values in one format that loses as little as possible.
    pub(super) fn aligned(&mut self, id: Id, a: Q, b: Q) -> Result<(Q, Q)> {
        if a.k == b.k {
            return Ok((a, b));
        }
        let mut k = a.k.max(b.k);
        let fits = |q: Q, k: i32| q.magnitude() * pow2(k - q.k) <= f64::from(WIDE_MAX);
        while k > a.k.min(b.k) && !(fits(a, k) && fits(b, k)) {
            k -= 1;
        }
        Ok((self.rescaled(id, a, 0, k)?, self.rescaled(id, b, 0, k)?))
    }

    fn negated(&mut self, x: Q) -> Q {
        self.scaled(x, 0, (-1, 0), x.k)
    }

    /// `clamp(scale * x + offset)`.
    fn line(&mut self, id: Id, x: Q, line: Clamped, bound: f64) -> Result<Q> {
        if x.k == 0 && is_whole(line.scale) && is_whole(line.offset) {
            return self.whole_line(id, x, line);
        }
        let (mantissa, exponent) = dyadic(line.scale);
        let mut y = if mantissa == 1 && (0..=MOST_BITS).contains(&(x.k - exponent)) {
            // A power of two moves the point, nothing else.
            Q { k: x.k - exponent, ..x }
        } else {
            let image = x.magnitude() * pow2(-x.k) * line.scale.abs();
            let k = fraction_bits(
                reach(bound.max(line.offset.abs()) * 2.0).min(reach(image)),
                WIDE_MAX - 1,
            );
            // No more bits than x has, and what a factor adds.
            let Some(ms) = multiplier(line.scale * pow2(k - x.k), 30) else {
                return self.range_error(id, format!("the factor {} is too large", line.scale));
            };
            self.scaled(x, 0, ms, k)
        };
        if line.offset != 0.0 {
            let exact = line.offset * pow2(y.k);
            if exact != libm::rint(exact) && y.magnitude() < f64::from(INNER) {
                let room = libm::frexp(f64::from(INNER) / y.magnitude().max(1.0)).1 - 1;
                y = self.rescaled(id, y, 0, (y.k + room).min(30))?;
            }
            let term = round(line.offset * pow2(y.k));
            if term.unsigned_abs() >= 1 << 45 {
                return self.range_error(id, format!("the offset {} is too large", line.offset));
            }
            y = self.scaled(y, term, (1, 0), y.k);
        }
        let (low, high) = (quantise(line.low, y.k), quantise(line.high, y.k));
        if y.low < low || y.high > high {
            let op = Op::Clamp { x: y.id, low, high };
            y = self.push(op, y.k, y.low.clamp(low, high), y.high.clamp(low, high));
        }
        Ok(y)
    }

    /// A quotient of whole numbers, rounded: exact where a number divides. None if it is none.
    fn whole_quotient(&mut self, how: Unary, e: &Expr, x: Q) -> Result<Option<Q>> {
        let Some(line) = e.clamped().filter(|c| c.unbounded() && x.k == 0 && c.scale > 0.0) else {
            return Ok(None);
        };
        let n = libm::rint(1.0 / line.scale);
        let power = libm::frexp(n).0 == 0.5;
        let near = (1.0 / line.scale - n).abs() < 1e-9 * n;
        let term = libm::rint(line.offset * n);
        if !near || power || !(2.0..1e6).contains(&n) || (line.offset * n - term).abs() > 1e-6 {
            return Ok(None);
        }
        if x.magnitude() > f64::from(1 << 29) || term.abs() > f64::from(1 << 28) {
            return Ok(None);
        }
        // floor(t / n) = floor((2 t - n) / (2 n) + 1/2), ceil(t / n) = floor((2 t + n - 2 + 1) / (2 n) + 1/2) for whole t.
        let (twice, more, by) = match how {
            Unary::Floor => (2, -n, 2.0 * n),
            Unary::Ceil => (2, n - 2.0, 2.0 * n),
            _ => (1, 0.0, n),
        };
        let factor = f64::from(twice);
        let t = self.scaled(x, 0, (twice, 0), 0);
        let t = self.scaled(t, round(term * factor + more), (1, 0), 0);
        let n = self.stored(by as i32, 0);
        let end = |v: i32| libm::floor(f64::from(v) / by + 0.5) as i32;
        let (low, high) = (end(t.low), end(t.high));
        let op = Op::Div {
            a: t.id,
            b: n.id,
            shift: 0,
            low,
            high,
        };
        Ok(Some(self.push(op, 0, low, high)))
    }

    /// The quotient of two whole numbers towards minus or plus infinity, exactly. None for other roundings, and for large
    /// numbers.
    fn whole_part(&mut self, id: Id, how: Unary, a: Q, b: Q) -> Result<Option<Q>> {
        if a.magnitude() > MOST_DIVIDED || b.magnitude() > MOST_DIVIDED {
            return Ok(None);
        }
        let (a, up) = match how {
            Unary::Floor => (a, false),
            // ceil(a / b) = -floor(-a / b)
            Unary::Ceil => (self.negated(a), true),
            _ => return Ok(None),
        };
        // floor(a / b) = floor((2 a - b) / (2 b) + 1/2)
        let twice = self.scaled(a, 0, (2, 0), 0);
        let dividend = self.exact_sum(id, twice, b, -1.0)?;
        let divisor = self.scaled(b, 0, (2, 0), 0);
        let most = a.magnitude() as i32 + 1;
        let low = if a.low >= 0 && b.low >= 0 { 0 } else { -most };
        let op = Op::Div {
            a: dividend.id,
            b: divisor.id,
            shift: 0,
            low,
            high: most,
        };
        let y = self.push(op, 0, low, most);
        Ok(Some(if up { self.negated(y) } else { y }))
    }

    fn absolute(&mut self, x: Q) -> Q {
        if x.low >= 0 {
            return x;
        }
        let other = self.negated(x);
        let op = Op::Max { a: x.id, b: other.id };
        self.push(op, x.k, x.low.max(other.low), x.high.max(other.high))
    }

    /// Towards minus infinity, plus infinity, or the nearest whole number, of two the even one.
    fn rounded(&mut self, id: Id, how: Unary, x: Q) -> Result<Q> {
        if x.k <= 0 {
            return self.rescaled(id, x, 0, 0);
        }
        let half = 1i64 << (x.k - 1).min(62);
        match how {
            Unary::Floor => self.rescaled(id, x, -half, 0),
            Unary::Ceil => self.rescaled(id, x, half - 1, 0),
            // Of what was computed to so many bits, a tie says nothing.
            _ if x.k > TIE_BITS && !self.is_given(x) => self.rescaled(id, x, 0, 0),
            _ => {
                // A half less a unit is added, and a unit more where the whole part is odd.
                let down = self.rescaled(id, x, -half, 0)?;
                let halves = Q { k: 1, ..down };
                let pairs = self.rescaled(id, halves, -1, 0)?;
                let pairs = self.scaled(pairs, 0, (2, 0), 0);
                let odd = self.exact_sum(id, down, pairs, -1.0)?;
                let (low, high) = (0, 1);
                let odd = self.push(Op::Clamp { x: odd.id, low, high }, x.k, low, high);
                let x = self.exact_sum(id, x, odd, 1.0)?;
                self.rescaled(id, x, -1, 0)
            }
        }
    }

    /// Whether a value is an input as it comes, whose every bit counts.
    fn is_given(&self, x: Q) -> bool {
        (x.id as usize) < self.graph.inputs.len()
    }

    /// `a * b`, as finely as 30 bits hold a magnitude of `bound`.
    fn product(&mut self, id: Id, a: Q, b: Q, bound: f64) -> Result<Q> {
        if a.k == 0 && b.k == 0 {
            return self.exact_product(id, a, b);
        }
        let k = fraction_bits(reach(bound), WIDE_MAX - 1).min(a.k + b.k);
        let shift = a.k + b.k - k;
        if shift > 62 || a.magnitude() * b.magnitude() >= pow2(61) {
            return self.range_error(id, "its factors are too fine for its product".into());
        }
        let op = Op::Mul {
            a: a.id,
            b: b.id,
            multiplier: 1,
            shift: shift as u8,
            low: -WIDE_MAX,
            high: WIDE_MAX,
        };
        Ok(self.push(op, k, -WIDE_MAX, WIDE_MAX))
    }

    /// `a / b`, as finely as 30 bits hold a magnitude of `bound`.
    pub(super) fn ratio(&mut self, id: Id, a: Q, b: Q, bound: f64) -> Result<Q> {
        let k = fraction_bits(reach(bound), WIDE_MAX - 1);
        self.quotient(id, a, b, k, WIDE_MAX)
    }

    /// `a / b` with at most k fraction bits.
    pub(super) fn quotient(&mut self, id: Id, mut a: Q, mut b: Q, mut k: i32, limit: i32) -> Result<Q> {
        let bits = |q: Q| libm::frexp(q.magnitude()).1;
        let shift = |a: Q, b: Q, k: i32| k - a.k + b.k;
        if shift(a, b, k) < 0 {
            // A dividend finer than the result needs.
            let to = (k + b.k).max(-32);
            a = self.rescaled(id, a, 0, to)?;
        }
        while shift(a, b, k) + bits(a) > 61 && k > -30 {
            k -= 1;
        }
        if shift(a, b, k) < 0 {
            let to = a.k - k;
            b = self.rescaled(id, b, 0, to)?;
        }
        let shift = shift(a, b, k).clamp(0, 62) as u8;
        let op = Op::Div {
            a: a.id,
            b: b.id,
            shift,
            low: -limit,
            high: limit,
        };
        Ok(self.push(op, k, -limit, limit))
    }

    /// The square root of x.
    fn root(&mut self, id: Id, x: Q, bound: f64) -> Result<Q> {
        let mut k = fraction_bits(reach(bound), INNER).min(30);
        let bits = libm::frexp(x.magnitude()).1;
        while 2 * k - x.k + bits > 61 {
            k -= 1;
        }
        let mut x = x;
        if 2 * k < x.k {
            x = self.rescaled(id, x, 0, 2 * k)?;
        }
        let shift = (2 * k - x.k).clamp(0, 62) as u8;
        let op = Op::Sqrt {
            x: x.id,
            shift,
            low: 0,
            high: WIDE_MAX,
        };
        Ok(self.push(op, k, 0, WIDE_MAX))
    }

    /// The nearest number of a float format of 8 bits, found among all of them by halving.
    fn nearest(&mut self, format: Narrow, x: Q) -> Q {
        let mut values: Vec<f64> = (0..256).map(|b| format.decode(b)).filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        // The least x that belongs to each; what lies between two goes to the one that the format's rounding names.
        let mut least = vec![i32::MIN];
        for pair in values.windows(2) {
            let middle = (pair[0] + pair[1]) / 2.0;
            let scaled = middle * pow2(x.k);
            let up = format.round(middle, true) == pair[1];
            let q = if up {
                libm::ceil(scaled)
            } else {
                libm::floor(scaled) + 1.0
            };
            least.push(q.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        }
        least.resize(256, i32::MAX);
        let shape = vec![256];
        let data = Array::I32(least);
        let least = self.push(Op::Constant { shape, data }, x.k, i32::MIN, i32::MAX);
        let (low, high) = (0, 0);
        let mut place = self.push(Op::Clamp { x: x.id, low, high }, 0, low, high);
        for step in [128, 64, 32, 16, 8, 4, 2, 1] {
            let ahead = self.scaled(place, step.into(), (1, 0), 0);
            let op = Op::Gather {
                x: least.id,
                indices: ahead.id,
                axis: 0,
            };
            let bound = self.push(op, x.k, i32::MIN, i32::MAX);
            let op = Op::Compare {
                a: bound.id,
                b: x.id,
                kind: Comparison::LessEqual,
            };
            let reached = self.push(op, 0, 0, 1);
            let high = place.high + step;
            let op = Op::Add {
                a: place.id,
                b: reached.id,
                multipliers: [1, step],
                shift: 0,
                low: 0,
                high,
            };
            place = self.push(op, 0, 0, high);
        }
        let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let needed = values.iter().map(|v| bits_needed(*v)).max().unwrap_or(0);
        let k = fraction_bits(largest, WIDE_MAX - 1).min(needed);
        let mut numbers: Vec<i32> = values.iter().map(|v| quantise(*v, k)).collect();
        let (low, high) = (numbers[0], numbers[numbers.len() - 1]);
        numbers.resize(256, high);
        let shape = vec![256];
        let data = Array::I32(numbers);
        let numbers = self.push(Op::Constant { shape, data }, k, low, high);
        let op = Op::Gather {
            x: numbers.id,
            indices: place.id,
            axis: 0,
        };
        self.push(op, k, low, high)
    }

    /// `x^c = (x^(1/2^r))^(2^r c)` with as many roots as make the power at least 1: that is no longer steep at 0.
    fn fraction_power(&mut self, id: Id, x: Q, mut power: f64, inside: &[f64]) -> Result<Q> {
        let mut inside: Vec<f64> = inside.iter().map(|v| v.max(0.0)).collect();
        let mut y = x;
        while power < 1.0 {
            inside.iter_mut().for_each(|v| *v = libm::sqrt(*v));
            y = self.root(id, y, most(&inside))?;
            power *= 2.0;
        }
        if power == 1.0 {
            return Ok(y);
        }
        let f = Expr::binary(Binary::Pow, Expr::X, Expr::Const(power));
        let bound = libm::pow(most(&inside), power);
        let plan = table::plan(&f, least(&inside), most(&inside), bound);
        self.tabled(id, plan, y)
    }

    /// `ln x = 8 ln(x^(1/8))`: three roots take the steepness away.
    fn logarithm(&mut self, id: Id, x: Q, e: &Expr, probes: &[f64]) -> Result<Q> {
        let mut inside = values_of(e, probes);
        inside.retain(|v| *v > 0.0);
        let mut y = x;
        for _ in 0..3 {
            inside.iter_mut().for_each(|v| *v = libm::sqrt(*v));
            y = self.root(id, y, most(&inside))?;
        }
        let f = Expr::affine(8.0, 0.0).of(&Expr::unary(Unary::Ln, Expr::X));
        let bound = inside.iter().fold(0.0f64, |b, v| b.max(f.eval(*v).abs()));
        let plan = table::plan(&f, least(&inside), most(&inside), bound);
        self.tabled(id, plan, y)
    }
}

fn comparison(op: Binary) -> Comparison {
    match op {
        Binary::Less => Comparison::Less,
        Binary::LessEqual => Comparison::LessEqual,
        _ => Comparison::Equal,
    }
}

fn least(list: &[f64]) -> f64 {
    let found = list.iter().copied().fold(f64::INFINITY, f64::min);
    if found.is_finite() {
        found
    } else {
        0.0
    }
}

fn most(list: &[f64]) -> f64 {
    let found = list.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if found.is_finite() {
        found
    } else {
        0.0
    }
}

/// What an expression gives at the probes, where that is finite.
fn values_of(e: &Expr, probes: &[f64]) -> Vec<f64> {
    probes.iter().map(|p| e.eval(*p)).filter(|v| v.is_finite()).collect()
}

/// Largest magnitude of an expression.
fn most_of(e: &Expr, probes: &[f64]) -> f64 {
    values_of(e, probes).into_iter().fold(0.0, |m, v| m.max(v.abs()))
}
