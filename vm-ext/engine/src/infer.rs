//! Types, ranges and the range certificate: what every value can be, proven from the graph alone.
//!
//! A value's range is an interval of i32 computed by exact interval arithmetic. Every accumulator is bounded before
//! anything runs, so that no sum in any kernel, in any order, can overflow. Takes time linear in the model's bytes.

mod certificate;
mod forest;

use alloc::vec::Vec;

use certificate::{weighted, Range};
use forest::forest_bounds;
pub(crate) use forest::forest_work;

use crate::error::{LoadError, NodeProblem, PortProblem};
use crate::graph::{Array, Graph, Op, Rescale, Trees, ValueId};
use crate::limits::Limits;
use crate::shape::{self, Slide};

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

/// In what width the products of a MatMul or Conv2d may be summed without overflow.
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
    /// Per node; meaningful for MatMul and Conv2d.
    pub sums: Vec<Sums>,
}

/// Types and ranges of every value of a graph, or why it is not a model.
pub fn infer(graph: &Graph, limits: &Limits) -> Result<Inferred, LoadError> {
    bounded("nodes", graph.nodes.len(), limits.max_nodes)?;
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
    let mut sums = Vec::with_capacity(graph.nodes.len());
    for (node, op) in graph.nodes.iter().enumerate() {
        let context = Context {
            values: &values,
            limits,
        };
        let (value, width) = context
            .node(op)
            .and_then(|(value, width)| {
                shape::check(&value.shape, limits)?;
                Ok((value, width))
            })
            .map_err(|problem| LoadError::Node {
                node: node as u32,
                op: op.name(),
                problem,
            })?;
        values.push(value);
        sums.push(width);
    }
    if graph.outputs.is_empty() {
        return Err(LoadError::NoOutputs);
    }
    let labels: usize = graph.outputs.iter().map(|o| o.labels.len()).sum();
    bounded("labels", labels, limits.max_labels)?;
    for (index, output) in graph.outputs.iter().enumerate() {
        let earlier = graph.outputs[..index].iter().map(|o| o.name.as_str());
        check_output(output, earlier, &values, limits).map_err(|problem| LoadError::Output {
            index: index as u32,
            problem,
        })?;
    }
    Ok(Inferred { values, sums })
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
                let conv = ConvShape::new(x, *channels, window, *groups, self.limits)?;
                let padded = ValueType {
                    shape: Vec::new(),
                    low: if conv.slide.pads() { x.low.min(0) } else { x.low },
                    high: if conv.slide.pads() { x.high.max(0) } else { x.high },
                };
                let (low, high, sums) =
                    weighted(&padded, weights, bias, rescale, conv.channels as u64, conv.taps as u64)?;
                Ok((
                    ValueType {
                        shape: conv.shape(),
                        low,
                        high,
                    },
                    sums,
                ))
            }
            Op::Rescale { x, axis, bias, rescale } => plain(self.rescale(*x, *axis, bias, rescale)?),
            Op::Add {
                a,
                b,
                multipliers,
                shift,
                low,
                high,
            } => {
                let (a, b) = (self.operand(*a)?, self.operand(*b)?);
                check_clamp(*low, *high)?;
                check_shift(*shift)?;
                let [m, n] = multipliers.map(i128::from);
                if a.magnitude() * m.abs() + b.magnitude() * n.abs() >= PRODUCT_BOUND {
                    return Err(NodeProblem::Product { channel: 0 });
                }
                let (al, ah) = scaled(a.low.into(), a.high.into(), m);
                let (bl, bh) = scaled(b.low.into(), b.high.into(), n);
                let round = |v: i128| rounded(v, *shift, *low, *high);
                let shape = shape::broadcast(&a.shape, &b.shape)?;
                plain(ValueType {
                    shape,
                    low: round(al + bl),
                    high: round(ah + bh),
                })
            }
            Op::Mul {
                a,
                b,
                multiplier,
                shift,
                low,
                high,
            } => {
                let (a, b) = (self.operand(*a)?, self.operand(*b)?);
                check_clamp(*low, *high)?;
                check_shift(*shift)?;
                let m = i128::from(*multiplier);
                // Below 2^93, so i128 holds it.
                if a.magnitude() * b.magnitude() * m.abs() >= PRODUCT_BOUND {
                    return Err(NodeProblem::Product { channel: 0 });
                }
                let (l, h) = scaled(a.low.into(), a.high.into(), b.low.into());
                let (l2, h2) = scaled(a.low.into(), a.high.into(), b.high.into());
                let (l, h) = scaled(l.min(l2), h.max(h2), m);
                let round = |v: i128| rounded(v, *shift, *low, *high);
                let shape = shape::broadcast(&a.shape, &b.shape)?;
                plain(ValueType {
                    shape,
                    low: round(l),
                    high: round(h),
                })
            }
            Op::Clamp { x, low, high } => {
                check_clamp(*low, *high)?;
                let x = self.operand(*x)?;
                let clamp = |v: i32| v.clamp(*low, *high);
                plain(ValueType {
                    shape: x.shape.clone(),
                    low: clamp(x.low),
                    high: clamp(x.high),
                })
            }
            Op::Table { x, table } => plain(self.table(*x, table)?),
            Op::Softmax { x, multiplier, shift } => {
                let x = self.operand(*x)?;
                check_shift(*shift)?;
                if *multiplier < 1 {
                    return Err(NodeProblem::Parameter {
                        what: "the multiplier (1 to 2^31 - 1)",
                    });
                }
                if x.shape.is_empty() {
                    return Err(NodeProblem::Rank { found: 0, want: 1 });
                }
                plain(ValueType {
                    shape: x.shape.clone(),
                    low: 0,
                    high: i16::MAX.into(),
                })
            }
            Op::MaxPool2d { x, window } => {
                let (x, slide) = self.pool(*x, window)?;
                plain(ValueType {
                    shape: pooled(&x.shape, &slide)?,
                    low: x.low,
                    high: x.high,
                })
            }
            Op::AvgPool2d {
                x,
                window,
                count_padding,
            } => {
                let (x, slide) = self.pool(*x, window)?;
                let zero = *count_padding && slide.pads();
                plain(ValueType {
                    shape: pooled(&x.shape, &slide)?,
                    low: if zero { x.low.min(0) } else { x.low },
                    high: if zero { x.high.max(0) } else { x.high },
                })
            }
            Op::Upsample2d { x, factors } => {
                let x = self.operand(*x)?;
                let rank = x.shape.len();
                if rank < 2 {
                    return Err(NodeProblem::Rank { found: rank, want: 2 });
                }
                let mut shape = x.shape.clone();
                for (extent, factor) in shape[rank - 2..].iter_mut().zip(factors) {
                    if *factor == 0 {
                        return Err(NodeProblem::Parameter { what: "a factor" });
                    }
                    *extent = extent
                        .checked_mul(*factor)
                        .ok_or(NodeProblem::Parameter { what: "a factor" })?;
                }
                plain(ValueType {
                    shape,
                    low: x.low,
                    high: x.high,
                })
            }
            Op::Reshape { x, shape } => {
                let x = self.operand(*x)?;
                shape::check(shape, self.limits)?;
                let (found, want) = (shape::elements(shape) as u64, x.elements() as u64);
                if found != want {
                    return Err(NodeProblem::Length {
                        what: "the new shape",
                        found,
                        want,
                    });
                }
                plain(ValueType {
                    shape: shape.clone(),
                    low: x.low,
                    high: x.high,
                })
            }
            Op::Transpose { x, axes } => {
                let x = self.operand(*x)?;
                if axes.len() != x.shape.len() {
                    return Err(NodeProblem::Rank {
                        found: x.shape.len(),
                        want: axes.len(),
                    });
                }
                let mut shape = Vec::with_capacity(axes.len());
                for (i, &axis) in axes.iter().enumerate() {
                    let extent = x.shape.get(axis as usize).filter(|_| !axes[..i].contains(&axis));
                    shape.push(*extent.ok_or(NodeProblem::Axis { axis })?);
                }
                plain(ValueType {
                    shape,
                    low: x.low,
                    high: x.high,
                })
            }
            Op::Concat { xs, axis } => plain(self.concat(xs, *axis)?),
            Op::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => {
                let x = self.operand(*x)?;
                let extent = *x.shape.get(*axis as usize).ok_or(NodeProblem::Axis { axis: *axis })?;
                if *step == 0 || *length == 0 {
                    return Err(NodeProblem::Parameter {
                        what: "the step or length",
                    });
                }
                // Below 2^64: each factor is below 2^32.
                let last = u64::from(*start) + u64::from(*length - 1) * u64::from(*step);
                if last >= u64::from(extent) {
                    return Err(NodeProblem::Parameter { what: "the last index" });
                }
                let mut shape = x.shape.clone();
                shape[*axis as usize] = *length;
                plain(ValueType {
                    shape,
                    low: x.low,
                    high: x.high,
                })
            }
            Op::ArgMax { x } => {
                let x = self.operand(*x)?;
                let (last, before) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
                // Extents are below 2^31, as the number of elements is.
                plain(ValueType {
                    shape: before.to_vec(),
                    low: 0,
                    high: (*last - 1) as i32,
                })
            }
            Op::TreeEnsemble { x, trees, rescale } => plain(self.trees(*x, trees, rescale)?),
        }
    }

    fn constant(&self, shape: &[u32], data: &Array) -> Result<ValueType, NodeProblem> {
        shape::check(shape, self.limits)?;
        let (found, want) = (data.len() as u64, shape::elements(shape) as u64);
        if found != want {
            return Err(NodeProblem::Length {
                what: "the data",
                found,
                want,
            });
        }
        let (low, high) = match data {
            Array::I8(v) => extremes(v.iter().map(|x| i32::from(*x))),
            Array::I16(v) => extremes(v.iter().map(|x| i32::from(*x))),
            Array::I32(v) => extremes(v.iter().copied()),
            Array::I64(_) => return Err(NodeProblem::ElementType { what: "the data" }),
        };
        Ok(ValueType {
            shape: shape.to_vec(),
            low,
            high,
        })
    }

    fn mat_mul(
        &self,
        x: ValueId,
        weights: &Array,
        bias: &[i64],
        rescale: &Rescale,
    ) -> Result<(ValueType, Sums), NodeProblem> {
        let x = self.operand(x)?;
        let (&k, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        let k = u64::from(k);
        let channels = weights.len() as u64 / k;
        let want = channels.max(1) * k;
        if weights.len() as u64 != want {
            return Err(NodeProblem::Length {
                what: "the weights",
                found: weights.len() as u64,
                want,
            });
        }
        let (low, high, sums) = weighted(x, weights, bias, rescale, channels, k)?;
        let mut shape = rows.to_vec();
        shape.push(u32::try_from(channels).map_err(|_| NodeProblem::Parameter {
            what: "the number of columns",
        })?);
        Ok((ValueType { shape, low, high }, sums))
    }

    fn rescale(&self, x: ValueId, axis: u32, bias: &[i64], rescale: &Rescale) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let per_channel = bias.len() > 1 || rescale.multipliers.len() > 1;
        let channels = match (per_channel, x.shape.get(axis as usize)) {
            (false, _) => 1,
            (true, Some(extent)) => u64::from(*extent),
            (true, None) => return Err(NodeProblem::Axis { axis }),
        };
        check_channels("the biases", bias.len(), channels, true)?;
        check_rescale(rescale, channels)?;
        let mut range = Range::new(rescale);
        for channel in 0..bias.len().max(rescale.multipliers.len()).max(1) {
            let bias = i128::from(pick(bias, channel).unwrap_or(0));
            let (low, high) = (i128::from(x.low) + bias, i128::from(x.high) + bias);
            if low.abs().max(high.abs()) >= ACCUMULATOR_BOUND {
                return Err(NodeProblem::Accumulator {
                    channel: channel as u64,
                });
            }
            range.include(channel, low, high)?;
        }
        Ok(ValueType {
            shape: x.shape.clone(),
            low: range.low,
            high: range.high,
        })
    }

    fn table(&self, x: ValueId, table: &[i16]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let (least, largest) = match table.len() {
            256 => (-128, 127),
            513 => (i32::from(i16::MIN), i32::from(i16::MAX)),
            found => {
                return Err(NodeProblem::Length {
                    what: "the table (or 256)",
                    found: found as u64,
                    want: 513,
                });
            }
        };
        if x.low < least || x.high > largest {
            return Err(NodeProblem::Range {
                low: x.low,
                high: x.high,
            });
        }
        // Non-negative and below the table's length, as x is in range.
        let [first, last] = match table.len() {
            256 => [x.low + 128, x.high + 128],
            _ => [(x.low + 32768) >> 7, ((x.high + 32768) >> 7) + 1],
        }
        .map(|i| i as usize);
        let (low, high) = extremes(table[first..=last].iter().map(|y| i32::from(*y)));
        Ok(ValueType {
            shape: x.shape.clone(),
            low,
            high,
        })
    }

    fn pool(&self, x: ValueId, window: &crate::graph::Window) -> Result<(&ValueType, Slide), NodeProblem> {
        let x = self.operand(x)?;
        let &[_, _, height, width] = x.shape.as_slice() else {
            return Err(NodeProblem::Rank {
                found: x.shape.len(),
                want: 4,
            });
        };
        let slide = Slide::new(height, width, window)?;
        for axis in 0..2 {
            // Otherwise a window might jump over the whole image and hold nothing.
            if slide.padded[axis] != slide.image[axis] && slide.dilations[axis] > slide.image[axis] {
                return Err(NodeProblem::Parameter {
                    what: "the dilation (no larger than a padded axis)",
                });
            }
        }
        Ok((x, slide))
    }

    fn concat(&self, xs: &[ValueId], axis: u32) -> Result<ValueType, NodeProblem> {
        let (first, others) = xs.split_first().ok_or(NodeProblem::Parameter {
            what: "the number of operands",
        })?;
        let mut joined = self.operand(*first)?.clone();
        let at = axis as usize;
        if at >= joined.shape.len() {
            return Err(NodeProblem::Axis { axis });
        }
        for x in others {
            let x = self.operand(*x)?;
            if x.shape.len() != joined.shape.len() {
                return Err(NodeProblem::Rank {
                    found: x.shape.len(),
                    want: joined.shape.len(),
                });
            }
            for (i, (mine, other)) in joined.shape.iter_mut().zip(&x.shape).enumerate() {
                if i == at {
                    let sum = mine.checked_add(*other);
                    *mine = sum.ok_or(NodeProblem::Parameter {
                        what: "the joined extent",
                    })?;
                } else if mine != other {
                    return Err(NodeProblem::Mismatch { axis: i });
                }
            }
            joined.low = joined.low.min(x.low);
            joined.high = joined.high.max(x.high);
        }
        Ok(joined)
    }

    fn trees(&self, x: ValueId, trees: &Trees, rescale: &Rescale) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let (&features, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        let bounds = forest_bounds(trees, features)?;
        check_rescale(rescale, bounds.len() as u64)?;
        let mut range = Range::new(rescale);
        for (target, bound) in bounds.iter().enumerate() {
            if bound.magnitude >= ACCUMULATOR_BOUND {
                return Err(NodeProblem::Accumulator { channel: target as u64 });
            }
            range.include(target, bound.low, bound.high)?;
        }
        let mut shape = rows.to_vec();
        shape.push(u32::try_from(bounds.len()).map_err(|_| NodeProblem::Parameter {
            what: "the number of targets",
        })?);
        Ok(ValueType {
            shape,
            low: range.low,
            high: range.high,
        })
    }
}

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub channels: usize,
    pub groups: usize,
    /// Products per output element.
    pub taps: usize,
    pub slide: Slide,
}

impl ConvShape {
    pub fn new(
        x: &ValueType,
        channels: u32,
        window: &crate::graph::Window,
        groups: u32,
        limits: &Limits,
    ) -> Result<Self, NodeProblem> {
        let &[batch, in_channels, height, width] = x.shape.as_slice() else {
            return Err(NodeProblem::Rank {
                found: x.shape.len(),
                want: 4,
            });
        };
        if groups == 0 || channels == 0 || !in_channels.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
            return Err(NodeProblem::Parameter {
                what: "the number of groups or channels",
            });
        }
        let slide = Slide::new(height, width, window)?;
        let per_group = in_channels / groups;
        let extent = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        shape::check(&[per_group, extent(slide.padded[0]), extent(slide.padded[1])], limits)?;
        // Bounded like a tensor: one window's elements may repeat, but they come from as many weights.
        let taps = u64::from(per_group)
            .checked_mul(slide.taps())
            .and_then(|t| u32::try_from(t).ok());
        let taps = taps.ok_or(NodeProblem::Parameter {
            what: "the number of taps",
        })? as usize;
        Ok(ConvShape {
            batch: batch as usize,
            in_channels: in_channels as usize,
            channels: channels as usize,
            groups: groups as usize,
            taps,
            slide,
        })
    }

    pub fn shape(&self) -> Vec<u32> {
        let extent = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        [self.batch, self.channels, self.slide.out[0], self.slide.out[1]]
            .map(extent)
            .to_vec()
    }
}

fn pooled(shape: &[u32], slide: &Slide) -> Result<Vec<u32>, NodeProblem> {
    let mut out = shape.to_vec();
    for (axis, extent) in out[2..].iter_mut().enumerate() {
        *extent = u32::try_from(slide.out[axis]).map_err(|_| NodeProblem::Window { axis })?;
    }
    Ok(out)
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

/// `clamp((v + r) >> shift, low, high)`, the one rounding of the format.
fn rounded(v: i128, shift: u8, low: i32, high: i32) -> i32 {
    let half = (1i128 << shift) >> 1;
    // The result lies between two i32s.
    ((v + half) >> shift).clamp(low.into(), high.into()) as i32
}
