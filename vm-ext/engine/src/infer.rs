//! Types, ranges and the range certificate: what every value can be, proven from the graph alone.
//!
//! A value's range is an interval of i32 computed by exact interval arithmetic. Every accumulator is bounded before
//! anything runs, so that no sum in any kernel, in any order, can overflow. Takes time linear in the model's bytes.

mod certificate;
mod elementwise;
mod forest;
mod movement;
mod product;
mod rows;
mod scan;
mod window;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(crate) use forest::forest_work;
pub(crate) use product::{matrices, ConvShape};

use crate::error::{LoadError, NodeProblem, PortProblem};
use crate::graph::{Graph, Op, Rescale, ValueId};
use crate::limits::Limits;
use crate::shape;

/// Bound of accumulators.
const ACCUMULATOR_BOUND: i128 = 1 << 46;
/// Bound of accumulator times multiplier.
const PRODUCT_BOUND: i128 = 1 << 62;
/// Fraction bits of inputs and outputs.
const FRACTION_BITS: core::ops::RangeInclusive<i32> = -32..=30;

/// Shape and range of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    /// Row-major extents.
    pub shape: Vec<u32>,
    /// No element is less.
    pub low: i32,
    /// No element is larger.
    pub high: i32,
}

/// How elements are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 16 bits.
    I16,
    /// 32 bits.
    I32,
}

impl Storage {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Storage::I16 => 2,
            Storage::I32 => 4,
        }
    }
}

impl ValueType {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        shape::elements(&self.shape)
    }

    /// 16 bits where the range fits.
    pub fn storage(&self) -> Storage {
        if self.low >= i32::from(i16::MIN) && self.high <= i32::from(i16::MAX) {
            Storage::I16
        } else {
            Storage::I32
        }
    }

    /// Bytes of the tensor.
    pub fn bytes(&self) -> usize {
        self.elements() * self.storage().bytes()
    }

    /// The same range in another shape.
    fn shaped(&self, shape: Vec<u32>) -> Self {
        ValueType {
            shape,
            low: self.low,
            high: self.high,
        }
    }

    /// Largest magnitude.
    fn magnitude(&self) -> i128 {
        i128::from(self.low).abs().max(i128::from(self.high).abs())
    }

    /// Extent of the last axis and number of rows before it.
    pub(crate) fn rows(&self) -> (usize, usize) {
        let columns = self.shape.last().map_or(1, |e| *e as usize);
        (
            shape::elements(&self.shape[..self.shape.len().saturating_sub(1)]),
            columns,
        )
    }
}

/// In what width the products of a MatMul, Conv2d or BatchMatMul may be summed without overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Every partial sum in any order, bias included, fits 32 bits.
    I32,
    /// Sums over this many consecutive k (a power of two, at least 2), aligned, fit 32 bits; the whole takes 64.
    Blocks(u32),
    /// 64 bits throughout.
    I64,
}

/// What inference found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// Per value.
    pub values: Vec<ValueType>,
    /// Per node; meaningful for MatMul, Conv2d and BatchMatMul.
    pub sums: Vec<Sums>,
    /// Of the nodes that have one, the body, whose inputs are the first of its values.
    pub bodies: BTreeMap<usize, Inferred>,
    /// Of the values that have one, a bound of the magnitudes of each row (along the last axis) added up.
    pub row_sums: BTreeMap<ValueId, u64>,
}

/// A node that breaks the rules: its index and operation, and what is wrong.
type Refusal = (u32, &'static str, NodeProblem);

impl Inferred {
    /// Of values that are given, and nodes that follow them.
    fn new(values: Vec<ValueType>, nodes: &[Op], limits: &Limits, outermost: bool) -> Result<Self, Refusal> {
        let mut inferred = Inferred {
            values,
            sums: Vec::with_capacity(nodes.len()),
            bodies: BTreeMap::new(),
            row_sums: BTreeMap::new(),
        };
        for (node, op) in nodes.iter().enumerate() {
            let context = Context {
                values: &inferred.values,
                row_sums: &inferred.row_sums,
                limits,
            };
            let found = match op {
                Op::Scan { .. } if !outermost => Err(NodeProblem::Nested),
                Op::Scan { .. } => context.scan(op).map(|(value, body)| (value, Sums::I64, Some(body))),
                _ => context.node(op).map(|(value, sums)| (value, sums, None)),
            };
            let checked = found.and_then(|found| Ok(shape::check(&found.0.shape, limits).map(|()| found)?));
            let (value, sums, body) = checked.map_err(|problem| (node as u32, op.name(), problem))?;
            if let Some(bound) = context.row_sum(op, &value) {
                inferred.row_sums.insert(inferred.values.len() as ValueId, bound);
            }
            inferred.values.push(value);
            inferred.sums.push(sums);
            if let Some(body) = body {
                inferred.bodies.insert(node, body);
            }
        }
        Ok(inferred)
    }
}

/// Types and ranges of every value of a graph, or why it is not a model.
pub fn infer(graph: &Graph, limits: &Limits) -> Result<Inferred, LoadError> {
    let nodes = graph.nodes.iter().map(|op| 1 + op.body().len()).sum();
    bounded("nodes", nodes, limits.max_nodes)?;
    bounded("inputs", graph.inputs.len(), limits.max_ports)?;
    bounded("outputs", graph.outputs.len(), limits.max_ports)?;
    let mut values = Vec::with_capacity(graph.inputs.len() + graph.nodes.len());
    for (index, input) in graph.inputs.iter().enumerate() {
        let earlier = graph.inputs[..index].iter().map(|i| i.name.as_str());
        let checked = check_name(&input.name, earlier, limits)
            .and_then(|()| check_fraction_bits(input.fraction_bits))
            .and_then(|()| shape::check(&input.shape, limits).map_err(PortProblem::from))
            .and_then(|()| check_range(input.low, input.high));
        checked.map_err(|problem| LoadError::Input {
            index: index as u32,
            problem,
        })?;
        values.push(ValueType {
            shape: input.shape.clone(),
            low: input.low,
            high: input.high,
        });
    }
    let inferred = Inferred::new(values, &graph.nodes, limits, true);
    let inferred = inferred.map_err(|(node, op, problem)| LoadError::Node { node, op, problem })?;
    if graph.outputs.is_empty() {
        return Err(LoadError::NoOutputs);
    }
    let labels: usize = graph.outputs.iter().map(|o| o.labels.len()).sum();
    bounded("labels", labels, limits.max_labels)?;
    for (index, output) in graph.outputs.iter().enumerate() {
        let earlier = graph.outputs[..index].iter().map(|o| o.name.as_str());
        check_output(output, earlier, &inferred.values, limits).map_err(|problem| LoadError::Output {
            index: index as u32,
            problem,
        })?;
    }
    Ok(inferred)
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), LoadError> {
    if found > limit {
        return Err(LoadError::Limit {
            what,
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

fn check_name<'a>(name: &str, mut earlier: impl Iterator<Item = &'a str>, limits: &Limits) -> Result<(), PortProblem> {
    if name.is_empty() || name.len() > limits.max_name_bytes {
        return Err(PortProblem::Name {
            found: name.len(),
            limit: limits.max_name_bytes,
        });
    }
    if earlier.any(|other| other == name) {
        return Err(PortProblem::Duplicate { name: name.into() });
    }
    Ok(())
}

fn check_range(low: i32, high: i32) -> Result<(), PortProblem> {
    if low > high {
        return Err(PortProblem::EmptyRange { low, high });
    }
    Ok(())
}

fn check_fraction_bits(found: i32) -> Result<(), PortProblem> {
    if FRACTION_BITS.contains(&found) {
        Ok(())
    } else {
        Err(PortProblem::FractionBits { found })
    }
}

fn check_output<'a>(
    output: &crate::graph::Output,
    earlier: impl Iterator<Item = &'a str>,
    values: &[ValueType],
    limits: &Limits,
) -> Result<(), PortProblem> {
    check_name(&output.name, earlier, limits)?;
    check_fraction_bits(output.fraction_bits)?;
    let unknown = PortProblem::UnknownValue {
        value: output.value,
        known: values.len() as u32,
    };
    let value = values.get(output.value as usize).ok_or(unknown)?;
    let labels = output.labels.len();
    if labels > 0 && (value.low < 0 || value.high as usize >= labels) {
        return Err(PortProblem::Labels {
            labels,
            low: value.low,
            high: value.high,
        });
    }
    for label in &output.labels {
        check_name(label, core::iter::empty(), limits)?;
    }
    Ok(())
}

struct Context<'a> {
    values: &'a [ValueType],
    row_sums: &'a BTreeMap<ValueId, u64>,
    limits: &'a Limits,
}

impl Context<'_> {
    fn operand(&self, id: ValueId) -> Result<&ValueType, NodeProblem> {
        let known = self.values.len() as u32;
        self.values
            .get(id as usize)
            .ok_or(NodeProblem::Operand { value: id, known })
    }

    fn node(&self, op: &Op) -> Result<(ValueType, Sums), NodeProblem> {
        let plain = |value: ValueType| Ok((value, Sums::I64));
        match op {
            Op::Constant { shape, data } => plain(self.constant(shape, data)?),
            Op::MatMul {
                x,
                weights,
                bias,
                rescale,
            } => self.mat_mul(*x, weights, bias, rescale),
            Op::Conv2d {
                x,
                weights,
                channels,
                bias,
                window,
                groups,
                rescale,
            } => {
                let x = self.operand(*x)?;
                let shape = ConvShape::new(x, *channels, window, *groups, self.limits)?;
                product::conv2d(x, &shape, weights, bias, rescale)
            }
            Op::BatchMatMul {
                a,
                b,
                transposed,
                multiplier,
                shift,
                low,
                high,
            } => self.batch_mat_mul(*a, *b, *transposed, Ending::new(*multiplier, *shift, *low, *high)?),
            Op::Rescale { x, axis, bias, rescale } => plain(self.rescale(*x, *axis, bias, rescale)?),
            Op::Add {
                a,
                b,
                multipliers,
                shift,
                low,
                high,
            } => plain(self.add(*a, *b, *multipliers, Ending::new(1, *shift, *low, *high)?)?),
            Op::Mul {
                a,
                b,
                multiplier,
                shift,
                low,
                high,
            } => plain(self.mul(*a, *b, Ending::new(*multiplier, *shift, *low, *high)?)?),
            Op::Div { a, b, shift, low, high } => plain(self.div(*a, *b, Ending::new(1, *shift, *low, *high)?)?),
            Op::Sqrt { x, shift, low, high } => plain(self.sqrt(*x, Ending::new(1, *shift, *low, *high)?)?),
            Op::Min { a, b } => plain(self.min(*a, *b)?),
            Op::Max { a, b } => plain(self.max(*a, *b)?),
            Op::Compare { a, b, kind } => plain(self.compare(*a, *b, *kind)?),
            Op::Select { condition, a, b } => plain(self.select(*condition, *a, *b)?),
            Op::Clamp { x, low, high } => plain(self.clamp(*x, *low, *high)?),
            Op::Table { x, table } => plain(self.table(*x, table)?),
            Op::Softmax { x, multiplier, shift } => plain(self.softmax(*x, *multiplier, *shift)?),
            Op::LayerNorm {
                x,
                epsilon,
                center,
                bias,
                rescale,
            } => plain(self.layer_norm(*x, *epsilon, *center, bias, rescale)?),
            Op::ReduceSum {
                x,
                axis,
                multiplier,
                shift,
                low,
                high,
            } => plain(self.reduce_sum(*x, *axis, Ending::new(*multiplier, *shift, *low, *high)?)?),
            Op::ReduceMax { x, axis } => plain(self.reduce_max(*x, *axis)?),
            Op::ArgMax { x } => plain(self.arg_max(*x)?),
            Op::TopK { x, k } => plain(self.top_k(*x, *k)?),
            Op::TreeEnsemble { x, trees, rescale } => plain(self.trees(*x, trees, rescale)?),
            Op::MaxPool2d { x, window } => plain(self.max_pool(*x, window)?),
            Op::AvgPool2d {
                x,
                window,
                count_padding,
            } => plain(self.avg_pool(*x, window, *count_padding)?),
            Op::Upsample2d { x, factors } => plain(self.upsample(*x, *factors)?),
            Op::Reshape { x, shape } => plain(self.reshape(*x, shape)?),
            Op::Transpose { x, axes } => plain(self.transpose(*x, axes)?),
            Op::Concat { xs, axis } => plain(self.concat(xs, *axis)?),
            Op::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => plain(self.slice(*x, *axis, [*start, *step, *length])?),
            Op::Gather { x, indices, axis } => plain(self.gather(*x, *indices, *axis)?),
            Op::GatherElements { x, indices } => plain(self.gather_elements(*x, *indices)?),
            Op::Pad {
                x,
                before,
                after,
                value,
            } => plain(self.pad(*x, before, after, *value)?),
            Op::Broadcast { x, shape } => plain(self.broadcast(*x, shape)?),
            // Those have more to tell than their value: see [`Inferred::new`].
            Op::Scan { .. } => Err(NodeProblem::Nested),
        }
    }
}

/// How an exact number becomes an output integer: `clamp((acc * multiplier + r) >> shift, low, high)`.
#[derive(Clone, Copy)]
struct Ending {
    multiplier: i128,
    shift: u8,
    low: i32,
    high: i32,
}

impl Ending {
    /// Checked.
    fn new(multiplier: i32, shift: u8, low: i32, high: i32) -> Result<Self, NodeProblem> {
        check_shift(shift)?;
        check_clamp(low, high)?;
        Ok(Ending {
            multiplier: multiplier.into(),
            shift,
            low,
            high,
        })
    }

    /// The outputs' range for accumulators in `low..=high`, if their products stay below 2^62.
    fn range(self, low: i128, high: i128) -> Result<(i32, i32), NodeProblem> {
        let (low, high) = scaled(low, high, self.multiplier);
        if low.abs().max(high.abs()) >= PRODUCT_BOUND {
            return Err(NodeProblem::Product { channel: 0 });
        }
        let round = |v| rounded(v, self.shift, self.low, self.high);
        Ok((round(low), round(high)))
    }
}

fn extremes(values: impl Iterator<Item = i32>) -> (i32, i32) {
    values.fold((i32::MAX, i32::MIN), |(low, high), v| (low.min(v), high.max(v)))
}

fn check_clamp(low: i32, high: i32) -> Result<(), NodeProblem> {
    if low > high {
        return Err(NodeProblem::Parameter {
            what: "the output range",
        });
    }
    Ok(())
}

fn check_shift(shift: u8) -> Result<(), NodeProblem> {
    if shift > 62 {
        return Err(NodeProblem::Parameter {
            what: "the shift (0 to 62)",
        });
    }
    Ok(())
}

/// One, or one per channel, or (if allowed) none.
fn check_channels(what: &'static str, found: usize, channels: u64, none: bool) -> Result<(), NodeProblem> {
    let found = found as u64;
    if found == channels || found == 1 || (none && found == 0) {
        return Ok(());
    }
    Err(NodeProblem::Length {
        what,
        found,
        want: channels,
    })
}

fn check_rescale(rescale: &Rescale, channels: u64) -> Result<(), NodeProblem> {
    check_channels("the multipliers", rescale.multipliers.len(), channels, false)?;
    let (found, want) = (rescale.shifts.len() as u64, rescale.multipliers.len() as u64);
    if found != want {
        return Err(NodeProblem::Length {
            what: "the shifts",
            found,
            want,
        });
    }
    rescale.shifts.iter().try_for_each(|s| check_shift(*s))?;
    check_clamp(rescale.low, rescale.high)
}

/// Element i of a list that has one per channel or one for all; none of an empty list.
pub(crate) fn pick<T: Copy>(list: &[T], channel: usize) -> Option<T> {
    match list {
        [one] => Some(*one),
        _ => list.get(channel).copied(),
    }
}

/// The interval `low..=high` times a factor.
fn scaled(low: i128, high: i128, factor: i128) -> (i128, i128) {
    let (a, b) = (low * factor, high * factor);
    (a.min(b), a.max(b))
}

/// The interval of the products of two intervals.
fn products(a: &ValueType, b: &ValueType) -> (i128, i128) {
    let (l, h) = scaled(a.low.into(), a.high.into(), b.low.into());
    let (l2, h2) = scaled(a.low.into(), a.high.into(), b.high.into());
    (l.min(l2), h.max(h2))
}

/// `clamp((v + r) >> shift, low, high)`, the one rounding of the format.
fn rounded(v: i128, shift: u8, low: i32, high: i32) -> i32 {
    let half = (1i128 << shift) >> 1;
    // The result lies between two i32s.
    ((v + half) >> shift).clamp(low.into(), high.into()) as i32
}
