//! From the engine's graph to exact steps.
//!
//! The engine's one rounding is `(acc * m + r) >> s` with `r = 2^(s-1)`. A circuit shifts by whole digits only, so
//! everything is multiplied by the missing power of two first: `(acc * m * 2^j + r * 2^j) >> (s + j)` is the same integer.

use aiinference_engine::graph::{Array, Graph, Op, Rescale};
use aiinference_engine::infer::{infer, Inferred};
use aiinference_engine::Limits;

use crate::{
    exact::{Exact, Step, Value, ValueId, Window},
    hidden::Hidden,
};

/// Digits from 6 to 12 bits: wider ones have tables that are larger than most circuits.
const BASE_BITS: std::ops::RangeInclusive<u32> = 6..=12;
/// ezkl reads inputs as 32-bit floats, which hold whole numbers to here.
const INPUT_BOUND: i128 = 1 << 24;
/// No number in a circuit goes beyond, far below the field's 254 bits and those of ezkl's own integers.
const BOUND: i128 = 1 << 90;
/// Weights beyond make circuits that no machine sets up.
const MAX_PRODUCTS: u64 = 1 << 21;
/// ezkl's witness of a quotient goes through 64-bit floats, which hold whole numbers to here.
const QUOTIENT_BOUND: u128 = 1 << 53;
/// A floor borrows from the digit before its last: there must be one.
const FLOOR_LEGS: u32 = 2;

/// Why a model has no exact circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProvable {
    /// The engine refuses the graph.
    #[error("restating the model for a proof: {0}")]
    Invalid(#[from] aiinference_engine::LoadError),
    /// An input goes beyond what ezkl reads exactly.
    #[error("restating the model for a proof: input {name:?} goes from {low} to {high}, and ezkl reads whole numbers up to 2^24 exactly; calibrate on values of a smaller range, or scale the input down before the model")]
    Input {
        /// Which.
        name: String,
        /// Its least value.
        low: i32,
        /// Its largest value.
        high: i32,
    },
    /// An operation outside the exact subset.
    #[error("restating the model for a proof: node {node} ({op}): {reason}; convert the model with `--provable`, which names the layer and what to do")]
    Node {
        /// Number of the node.
        node: usize,
        /// Name of the operation.
        op: &'static str,
        /// What about it cannot be proven.
        reason: String,
    },
    /// An output that is an input, or another output.
    #[error("restating the model for a proof: output {name:?} is {what}; leave it out, its value is known")]
    Output {
        /// Which.
        name: String,
        /// What it is besides.
        what: &'static str,
    },
    /// The model is too heavy.
    #[error("restating the model for a proof: it multiplies {products} times in one run, {MAX_PRODUCTS} are the most; about 100,000 are practical on a small machine")]
    TooHeavy {
        /// Products in a run.
        products: u64,
    },
}

/// Restates a graph, choosing the digits that make the smallest circuit.
pub fn lower(graph: &Graph, limits: &Limits, hidden: Hidden) -> Result<Exact, NotProvable> {
    let inferred = infer(graph, limits)?;
    for input in &graph.inputs {
        if i128::from(input.low).abs().max(i128::from(input.high).abs()) > INPUT_BOUND {
            return Err(NotProvable::Input {
                name: input.name.clone(),
                low: input.low,
                high: input.high,
            });
        }
    }
    for (index, output) in graph.outputs.iter().enumerate() {
        let twice = graph
            .outputs
            .iter()
            .take(index)
            .any(|other| other.value == output.value);
        let what = match (output.value as usize) < graph.inputs.len() {
            true => "an input",
            false if twice => "another output",
            false => continue,
        };
        let name = output.name.clone();
        return Err(NotProvable::Output { name, what });
    }
    let products = products(graph, &inferred);
    if products > MAX_PRODUCTS {
        return Err(NotProvable::TooHeavy { products });
    }
    // What one width cannot hold, another one may.
    let mut best: Result<Exact, NotProvable> = Err(NotProvable::TooHeavy { products });
    for base_bits in BASE_BITS {
        let exact = Lowering::run(graph, &inferred, base_bits, hidden);
        best = match (best, exact) {
            (Ok(best), Ok(exact)) if best.rows() <= exact.rows() => Ok(best),
            (Ok(best), Err(_)) => Ok(best),
            (_, exact) => exact,
        };
    }
    best
}

fn products(graph: &Graph, inferred: &Inferred) -> u64 {
    let mut sum = 0u64;
    for (node, op) in graph.nodes.iter().enumerate() {
        let elements = inferred.values[graph.inputs.len() + node].elements() as u64;
        let taps = match op {
            Op::MatMul { x, .. } => inferred.values[*x as usize].shape.last().copied().unwrap_or(1).into(),
            Op::Conv2d { weights, channels, .. } => weights.len() as u64 / u64::from(*channels).max(1),
            _ => 0,
        };
        sum = sum.saturating_add(elements.saturating_mul(taps));
    }
    sum
}

/// Whether a 32-bit float holds it.
fn holds(v: i128) -> bool {
    v == 0 || (v.abs() < BOUND && v.unsigned_abs() >> v.trailing_zeros() < 1 << 24)
}

/// Terms that 32-bit floats hold, the largest first; their sum is the number.
fn split(mut v: i128) -> Vec<i128> {
    let mut parts = Vec::new();
    while v != 0 {
        let bits = u128::BITS - v.unsigned_abs().leading_zeros();
        let cut = bits.saturating_sub(24);
        let magnitude = (v.unsigned_abs() >> cut << cut) as i128;
        let part = if v < 0 { -magnitude } else { magnitude };
        parts.push(part);
        v -= part;
    }
    parts
}

/// A product within bounds.
fn times(a: i128, b: i128) -> Result<i128, String> {
    let product = a.checked_mul(b).filter(|p| p.abs() < BOUND);
    product.ok_or_else(|| "its numbers grow beyond 2^90".into())
}

type Interval = (i128, i128);

fn scaled((low, high): Interval, factor: i128) -> Result<Interval, String> {
    let (a, b) = (times(low, factor)?, times(high, factor)?);
    Ok((a.min(b), a.max(b)))
}

fn union(intervals: &[Interval]) -> Interval {
    intervals.iter().fold((i128::MAX, i128::MIN), |(l, h), (low, high)| {
        (l.min(*low), h.max(*high))
    })
}

/// How accumulators become outputs: `(acc * factor + constant) >> (floors * base_bits)`, per channel.
struct Rounding {
    factors: Vec<i128>,
    constants: Vec<i128>,
    floors: u32,
}

impl Rounding {
    /// For channels with these biases; at least so many floors.
    fn new(rescale: &Rescale, biases: &[i128], base_bits: u32, least: u32) -> Result<Self, String> {
        let deepest = rescale.shifts.iter().copied().max().unwrap_or(0);
        let floors = u32::from(deepest).div_ceil(base_bits).max(least);
        let total = floors * base_bits;
        let mut rounding = Rounding {
            factors: Vec::with_capacity(biases.len()),
            constants: Vec::with_capacity(biases.len()),
            floors,
        };
        for (channel, bias) in biases.iter().enumerate() {
            // The engine has checked the lists' lengths: one, or one per channel.
            let m = i128::from(*pick(&rescale.multipliers, channel).unwrap_or(&1));
            let s = u32::from(*pick(&rescale.shifts, channel).unwrap_or(&0));
            let rest = 1i128 << (total - s);
            let half = if s == 0 { 0 } else { 1i128 << (s - 1) };
            let factor = times(m, rest)?;
            let constant = times(*bias, factor)? + times(half, rest)?;
            rounding.factors.push(factor);
            rounding.constants.push(constant);
        }
        Ok(rounding)
    }
}

fn pick<T>(list: &[T], channel: usize) -> Option<&T> {
    match list {
        [one] => Some(one),
        _ => list.get(channel),
    }
}

/// Integers of stored weights.
fn widened(weights: &Array) -> Vec<i128> {
    match weights {
        Array::I8(w) => w.iter().map(|w| i128::from(*w)).collect(),
        Array::I16(w) => w.iter().map(|w| i128::from(*w)).collect(),
        Array::I32(w) => w.iter().map(|w| i128::from(*w)).collect(),
        Array::I64(w) => w.iter().map(|w| i128::from(*w)).collect(),
    }
}

/// Interval of a row of weights times numbers of an interval.
fn sum_of(row: impl Iterator<Item = i128>, (low, high): Interval) -> Interval {
    row.fold((0, 0), |(l, h), w| {
        let (a, b) = (w * low, w * high);
        (l + a.min(b), h + a.max(b))
    })
}

struct Lowering<'a> {
    graph: &'a Graph,
    inferred: &'a Inferred,
    exact: Exact,
    /// The exact value of every engine value.
    names: Vec<ValueId>,
}

impl<'a> Lowering<'a> {
    fn run(graph: &'a Graph, inferred: &'a Inferred, base_bits: u32, hidden: Hidden) -> Result<Exact, NotProvable> {
        let inputs = graph.inputs.iter().map(|input| Value {
            shape: input.shape.clone(),
            low: input.low.into(),
            high: input.high.into(),
        });
        let mut this = Lowering {
            graph,
            inferred,
            exact: Exact {
                hidden,
                base_bits,
                legs: 1,
                inputs: graph.inputs.iter().map(|input| input.name.clone()).collect(),
                steps: Vec::new(),
                values: inputs.collect(),
                outputs: Vec::new(),
            },
            names: (0..graph.inputs.len()).collect(),
        };
        for (node, op) in graph.nodes.iter().enumerate() {
            let value = this.node(node, op).map_err(|reason| NotProvable::Node {
                node,
                op: op.name(),
                reason,
            })?;
            this.names.push(value);
        }
        let outputs = graph.outputs.iter();
        this.exact.outputs = outputs
            .map(|o| (o.name.clone(), this.names[o.value as usize]))
            .collect();
        if this.exact.count(|step| matches!(step, Step::Shift { .. })) > 0 {
            this.exact.legs = FLOOR_LEGS;
        }
        let magnitude = this.exact.magnitude();
        while magnitude >> (base_bits * this.exact.legs) != 0 {
            this.exact.legs += 1;
        }
        Ok(this.exact)
    }

    fn push(&mut self, step: Step, shape: &[u32], (low, high): Interval) -> ValueId {
        self.exact.steps.push(step);
        self.exact.values.push(Value {
            shape: shape.to_vec(),
            low,
            high,
        });
        self.exact.values.len() - 1
    }

    fn value(&self, id: ValueId) -> &Value {
        &self.exact.values[id]
    }

    fn interval(&self, id: ValueId) -> Interval {
        (self.value(id).low, self.value(id).high)
    }

    fn operand(&self, id: u32) -> ValueId {
        self.names[id as usize]
    }

    fn node(&mut self, node: usize, op: &Op) -> Result<ValueId, String> {
        let inferred = &self.inferred.values[self.graph.inputs.len() + node];
        let shape = inferred.shape.clone();
        match op {
            Op::MatMul {
                x,
                weights,
                bias,
                rescale,
            } => self.mat_mul(self.operand(*x), weights, bias, rescale, &shape),
            Op::Conv2d {
                x,
                weights,
                channels,
                bias,
                window,
                groups,
                rescale,
            } => self.conv(
                self.operand(*x),
                weights,
                *channels,
                bias,
                window,
                *groups,
                rescale,
                &shape,
            ),
            Op::Rescale { x, axis, bias, rescale } => {
                self.rescale(self.operand(*x), *axis as usize, bias, rescale, &shape)
            }
            Op::Add {
                a,
                b,
                multipliers,
                shift,
                low,
                high,
            } => {
                let terms = [self.operand(*a), self.operand(*b)];
                if terms.iter().any(|t| self.value(*t).shape != shape) {
                    return Err("its terms have different shapes".into());
                }
                let floors = u32::from(*shift).div_ceil(self.exact.base_bits);
                let rest = 1i128 << (floors * self.exact.base_bits - u32::from(*shift));
                let half = if *shift == 0 { 0 } else { 1i128 << (shift - 1) };
                let mut sides = [0; 2];
                let mut sum = (0, 0);
                for ((side, term), m) in sides.iter_mut().zip(terms).zip(multipliers) {
                    let factor = times((*m).into(), rest)?;
                    *side = self.multiply(term, &[factor], &[1])?;
                    let (low, high) = self.interval(*side);
                    sum = (sum.0 + low, sum.1 + high);
                }
                let [a, b] = sides;
                let sum = self.push(Step::Add { a, b }, &shape, sum);
                let sum = self.add(sum, &[times(half, rest)?], &[1], None)?;
                let result = self.shift(sum, floors)?;
                Ok(self.clamp(result, (*low).into(), (*high).into()))
            }
            Op::Clamp { x, low, high } => Ok(self.clamp(self.operand(*x), (*low).into(), (*high).into())),
            Op::Reshape { x, .. } => {
                let x = self.operand(*x);
                let interval = self.interval(x);
                Ok(self.push(Step::Reshape { x }, &shape, interval))
            }
            _ => Err("it is outside what can be proven exactly (MatMul, Conv2d, Rescale, Add, Clamp, Reshape)".into()),
        }
    }

    fn mat_mul(
        &mut self,
        x: ValueId,
        weights: &Array,
        bias: &[i64],
        rescale: &Rescale,
        shape: &[u32],
    ) -> Result<ValueId, String> {
        let weights = widened(weights);
        let columns = shape.last().copied().unwrap_or(1);
        let n = columns as usize;
        let k = weights.len() / n.max(1);
        let biases: Vec<i128> = (0..n).map(|c| pick(bias, c).copied().unwrap_or(0).into()).collect();
        let rounding = Rounding::new(rescale, &biases, self.exact.base_bits, 0)?;
        // Factors go into the weights where those stay exact, else after the sums.
        let rows: Vec<&[i128]> = weights.chunks(k).collect();
        let folds = |row: &&[i128], f: &i128| row.iter().all(|w| w.checked_mul(*f).is_some_and(holds));
        let folded = rows.iter().zip(&rounding.factors).all(|(row, f)| folds(row, f));
        let factor = |channel: usize| if folded { rounding.factors[channel] } else { 1 };
        let mut transposed = Vec::with_capacity(weights.len());
        for i in 0..k {
            for (channel, row) in rows.iter().enumerate() {
                transposed.push(times(row[i], factor(channel))?);
            }
        }
        let interval = self.interval(x);
        let mut sums = Vec::with_capacity(n);
        for (channel, row) in rows.iter().enumerate() {
            sums.push(scaled(sum_of(row.iter().copied(), interval), factor(channel))?);
        }
        let extents = [k as u32, columns];
        let step = Step::MatMul {
            x,
            weights: transposed,
            extents,
        };
        let mut y = self.push(step, shape, union(&sums));
        if !folded {
            for (sum, factor) in sums.iter_mut().zip(&rounding.factors) {
                *sum = scaled(*sum, *factor)?;
            }
            y = self.multiply_within(y, &rounding.factors, &[columns], union(&sums))?;
        }
        y = self.add(y, &rounding.constants, &[columns], Some(sums))?;
        y = self.shift(y, rounding.floors)?;
        Ok(self.clamp(y, rescale.low.into(), rescale.high.into()))
    }

    #[allow(clippy::too_many_arguments)]
    fn conv(
        &mut self,
        x: ValueId,
        weights: &Array,
        channels: u32,
        bias: &[i64],
        window: &Window,
        groups: u32,
        rescale: &Rescale,
        shape: &[u32],
    ) -> Result<ValueId, String> {
        if channels == 1 {
            // ONNX readers take the power of two of its shift for a factor of the channel, and round it away.
            return Err("it has one output channel; give it two or more".into());
        }
        if window.dilations.iter().any(|d| *d != 1) {
            return Err("ezkl knows no dilations".into());
        }
        let weights = widened(weights);
        let taps = weights.len() / channels.max(1) as usize;
        let n = channels as usize;
        let biases: Vec<i128> = (0..n).map(|c| pick(bias, c).copied().unwrap_or(0).into()).collect();
        // ONNX readers fold what is added to or multiplied with a Conv into it, in 32-bit floats: so both must be exact
        // there, and a floor must keep what follows apart.
        let rounding = Rounding::new(rescale, &biases, self.exact.base_bits, 1)?;
        let (mut low, mut high) = self.interval(x);
        if window.pads.iter().any(|pad| *pad > 0) {
            (low, high) = (low.min(0), high.max(0));
        }
        let mut scaled_weights = Vec::with_capacity(weights.len());
        let mut sums = Vec::with_capacity(n);
        for (row, factor) in weights.chunks(taps).zip(&rounding.factors) {
            for w in row {
                let w = times(*w, *factor)?;
                if !holds(w) {
                    return Err("a weight times its multiplier takes more than 24 bits".into());
                }
                scaled_weights.push(w);
            }
            sums.push(scaled(sum_of(row.iter().copied(), (low, high)), *factor)?);
        }
        if !rounding.constants.iter().all(|c| holds(*c)) {
            return Err("a bias takes more than 24 bits".into());
        }
        let in_group = self.value(x).shape.get(1).copied().unwrap_or(0) / groups.max(1);
        let step = Step::Conv {
            x,
            weights: scaled_weights,
            extents: [channels, in_group, window.kernel[0], window.kernel[1]],
            window: window.clone(),
            groups,
        };
        let y = self.push(step, shape, union(&sums));
        let y = self.add(y, &rounding.constants, &[1, channels, 1, 1], Some(sums))?;
        let y = self.shift(y, rounding.floors)?;
        Ok(self.clamp(y, rescale.low.into(), rescale.high.into()))
    }

    fn rescale(
        &mut self,
        x: ValueId,
        axis: usize,
        bias: &[i64],
        rescale: &Rescale,
        shape: &[u32],
    ) -> Result<ValueId, String> {
        let n = bias.len().max(rescale.multipliers.len());
        let biases: Vec<i128> = (0..n).map(|c| pick(bias, c).copied().unwrap_or(0).into()).collect();
        let rounding = Rounding::new(rescale, &biases, self.exact.base_bits, 0)?;
        let mut along = vec![1u32; shape.len().saturating_sub(axis).max(1)];
        along[0] = n as u32;
        let interval = self.interval(x);
        let mut products = Vec::with_capacity(n);
        for factor in &rounding.factors {
            products.push(scaled(interval, *factor)?);
        }
        let mut y = x;
        if rounding.factors.iter().any(|f| *f != 1) {
            y = self.multiply_within(y, &rounding.factors, &along, union(&products))?;
        }
        y = self.add(y, &rounding.constants, &along, Some(products))?;
        y = self.shift(y, rounding.floors)?;
        Ok(self.clamp(y, rescale.low.into(), rescale.high.into()))
    }

    /// `x * constant`; nothing where that is x.
    fn multiply(&mut self, x: ValueId, constant: &[i128], shape: &[u32]) -> Result<ValueId, String> {
        if constant.iter().all(|c| *c == 1) {
            return Ok(x);
        }
        let interval = self.interval(x);
        let products: Vec<Interval> = constant
            .iter()
            .map(|c| scaled(interval, *c))
            .collect::<Result<_, _>>()?;
        self.multiply_within(x, constant, shape, union(&products))
    }

    fn multiply_within(
        &mut self,
        x: ValueId,
        constant: &[i128],
        shape: &[u32],
        interval: Interval,
    ) -> Result<ValueId, String> {
        if !constant.iter().all(|c| holds(*c)) {
            return Err("a multiplier takes more than 24 bits".into());
        }
        let step = Step::MulConstant {
            x,
            constant: constant.to_vec(),
            shape: shape.to_vec(),
        };
        let of = self.value(x).shape.clone();
        Ok(self.push(step, &of, interval))
    }

    /// `x + constant` in as many terms as 32-bit floats need. The intervals are those of x, per element of the constant.
    fn add(
        &mut self,
        mut x: ValueId,
        constant: &[i128],
        shape: &[u32],
        intervals: Option<Vec<Interval>>,
    ) -> Result<ValueId, String> {
        let mut intervals = intervals.unwrap_or_else(|| vec![self.interval(x); constant.len()]);
        let mut parts: Vec<std::vec::IntoIter<i128>> = constant.iter().map(|c| split(*c).into_iter()).collect();
        loop {
            let term: Vec<i128> = parts.iter_mut().map(|p| p.next().unwrap_or(0)).collect();
            if term.iter().all(|t| *t == 0) {
                return Ok(x);
            }
            for ((low, high), t) in intervals.iter_mut().zip(&term) {
                (*low, *high) = (*low + t, *high + t);
            }
            let of = self.value(x).shape.clone();
            let interval = union(&intervals);
            if interval.0 <= -BOUND || interval.1 >= BOUND {
                return Err("its numbers grow beyond 2^90".into());
            }
            let step = Step::AddConstant {
                x,
                constant: term,
                shape: shape.to_vec(),
            };
            x = self.push(step, &of, interval);
        }
    }

    fn shift(&mut self, mut x: ValueId, floors: u32) -> Result<ValueId, String> {
        let bits = self.exact.base_bits;
        for _ in 0..floors {
            let (low, high) = self.interval(x);
            let shape = self.value(x).shape.clone();
            x = self.push(Step::Shift { x }, &shape, (low >> bits, high >> bits));
            if self.value(x).magnitude() >= QUOTIENT_BOUND {
                return Err("its numbers are not below 2^53 after a shift, and ezkl finds no proof of such".into());
            }
        }
        Ok(x)
    }

    /// `clamp(x, low, high)`; an end that cannot bind is left out.
    fn clamp(&mut self, mut x: ValueId, low: i128, high: i128) -> ValueId {
        let shape = self.value(x).shape.clone();
        let plus = |this: &mut Self, x: ValueId, c: i128| {
            let (low, high) = this.interval(x);
            let step = |x, constant| Step::AddConstant {
                x,
                constant: vec![constant],
                shape: vec![1],
            };
            // 32 bits: at most two terms.
            let (mut low, mut high, mut at) = (low, high, x);
            for part in split(c) {
                (low, high) = (low + part, high + part);
                at = this.push(step(at, part), &shape, (low, high));
            }
            at
        };
        let (least, most) = self.interval(x);
        if least < low {
            x = plus(self, x, -low);
            let above = (0, (most - low).max(0));
            x = self.push(Step::Relu { x }, &shape, above);
            x = plus(self, x, low);
        }
        let (least, most) = self.interval(x);
        if most > high {
            // high - relu(high - x)
            let below = self.below(x, high, (high - most, high - least));
            let rest = self.push(Step::Relu { x: below }, &shape, (0, (high - least).max(0)));
            x = self.below(rest, high, (least.min(high), high));
        }
        x
    }

    /// `bound - x`; a bound that no 32-bit float holds takes a second term.
    fn below(&mut self, x: ValueId, bound: i128, interval: Interval) -> ValueId {
        let shape = self.value(x).shape.clone();
        let parts = split(bound);
        let first = parts.first().copied().unwrap_or(0);
        let rest = bound - first;
        let mut y = self.push(
            Step::Below { x, bound: first },
            &shape,
            (interval.0 - rest, interval.1 - rest),
        );
        if rest != 0 {
            let step = Step::AddConstant {
                x: y,
                constant: vec![rest],
                shape: vec![1],
            };
            y = self.push(step, &shape, interval);
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_split_into_terms_that_floats_hold() {
        for v in [
            0,
            1,
            -1,
            1 << 24,
            (1 << 24) + 1,
            123_456_789_012,
            -987_654_321_098_765,
            1 << 80,
        ] {
            let parts = split(v);
            assert_eq!(parts.iter().sum::<i128>(), v);
            for part in parts {
                assert!(holds(part), "{part}");
                assert_eq!(part as f32 as i128, part);
            }
        }
        assert!(!holds((1 << 24) + 1));
    }
}
