//! Nodes laid out for running.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::graph::{Array, Op, ValueId};
use crate::infer::{matrices, ConvShape, Storage, Sums, ValueType};
use crate::kernels::pack::{Columns, Rows};
use crate::kernels::portable::End;
use crate::kernels::Width;
use crate::limits::Limits;
use crate::ops::batch::BatchMatMul;
use crate::ops::conv::Conv;
use crate::ops::elementwise::{Joined, Pair};
use crate::ops::layer_norm::LayerNorm;
use crate::ops::matmul::MatMul;
use crate::ops::scan::Scan;
use crate::ops::trees::Forest;
use crate::ops::windows::{few_pixels, Windows};
use crate::ops::Scale;
use crate::shape::{self, BroadcastPlan, PadPlan, Slide};
use crate::tensor::Tensor;

/// A node ready to run.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Its value lives elsewhere: a constant, or a reshaped operand.
    Nothing,
    MatMul {
        x: ValueId,
        product: MatMul,
    },
    Conv {
        x: ValueId,
        conv: Conv,
    },
    Windows {
        x: ValueId,
        windows: Windows,
    },
    Rescale {
        x: ValueId,
        scale: Scale,
        around: [usize; 3],
    },
    Join {
        a: ValueId,
        b: ValueId,
        joined: Joined,
    },
    BatchMatMul {
        a: ValueId,
        b: ValueId,
        product: BatchMatMul,
    },
    Select {
        /// Condition, a, b.
        operands: [ValueId; 3],
        plan: BroadcastPlan<3>,
    },
    Sqrt {
        x: ValueId,
        end: End,
    },
    LayerNorm {
        x: ValueId,
        norm: LayerNorm,
    },
    Sum {
        x: ValueId,
        around: [usize; 3],
        multiplier: i32,
        end: End,
    },
    Max {
        x: ValueId,
        around: [usize; 3],
    },
    Gather {
        x: ValueId,
        indices: ValueId,
        around: [usize; 3],
    },
    GatherElements {
        x: ValueId,
        indices: ValueId,
    },
    TopK {
        x: ValueId,
        k: usize,
    },
    Pad {
        x: ValueId,
        plan: PadPlan,
        value: i32,
    },
    Broadcast {
        x: ValueId,
        plan: BroadcastPlan<1>,
    },
    Scan(Box<Scan>),
    Clamp {
        x: ValueId,
        low: i32,
        high: i32,
    },
    Table {
        x: ValueId,
        table: Vec<i16>,
    },
    Softmax {
        x: ValueId,
        multiplier: i32,
        shift: u8,
    },
    MaxPool {
        x: ValueId,
        slide: Slide,
    },
    AvgPool {
        x: ValueId,
        slide: Slide,
        count_padding: bool,
    },
    Upsample {
        x: ValueId,
        factors: [usize; 2],
    },
    Transpose {
        x: ValueId,
        plan: Vec<[usize; 2]>,
    },
    Concat {
        xs: Vec<ValueId>,
        axis: usize,
    },
    Slice {
        x: ValueId,
        axis: usize,
        start: usize,
        step: usize,
        length: usize,
    },
    ArgMax {
        x: ValueId,
    },
    Trees {
        x: ValueId,
        forest: Forest,
    },
}

impl Step {
    /// Bytes held beside the step itself.
    pub fn bytes(&self) -> usize {
        match self {
            Step::MatMul { product, .. } => product.bytes(),
            Step::Conv { conv, .. } => conv.bytes(),
            Step::Windows { windows, .. } => windows.bytes(),
            Step::Rescale { scale, .. } => scale.bytes(),
            Step::Join { joined, .. } => joined.plan.bytes(),
            Step::BatchMatMul { product, .. } => product.plan.bytes(),
            Step::Select { plan, .. } => plan.bytes(),
            Step::Broadcast { plan, .. } => plan.bytes(),
            Step::Pad { plan, .. } => plan.bytes(),
            Step::LayerNorm { norm, .. } => norm.bytes(),
            Step::Table { table, .. } => 2 * table.len(),
            Step::Transpose { plan, .. } => plan.len() * size_of::<[usize; 2]>(),
            Step::Concat { xs, .. } => 4 * xs.len(),
            Step::Trees { forest, .. } => forest.bytes(),
            Step::Scan(scan) => size_of::<Scan>() + scan.bytes(),
            _ => 0,
        }
    }
}

/// A constant in the storage of its range.
pub(crate) fn stored(data: Array, storage: Storage) -> Tensor {
    match (data, storage) {
        (Array::I8(v), _) => Tensor::I16(v.into_iter().map(i16::from).collect()),
        (Array::I16(v), _) => Tensor::I16(v),
        (Array::I32(v), Storage::I16) => Tensor::I16(v.into_iter().map(|x| x as i16).collect()),
        (Array::I32(v), Storage::I32) => Tensor::I32(v),
        // Inference takes no constants of 64 bits.
        (Array::I64(_), _) => Tensor::I32(Vec::new()),
    }
}

/// A checked node, laid out for running.
pub(crate) fn prepare(op: Op, values: &[ValueType], out: &ValueType, sums: Sums, limits: &Limits) -> Step {
    // Inference has seen every operand.
    let value = |id: ValueId| &values[id as usize];
    let width = |x: ValueId| Width::of(value(x).low, value(x).high);
    let slide = |x: ValueId, window: &crate::graph::Window| match value(x).shape.as_slice() {
        [_, _, height, width] => Slide::new(*height, *width, window).ok(),
        _ => None,
    };
    // Inference has built the same slides and shapes, so the `Nothing`s below are never taken.
    match op {
        // A Scan is prepared together with its body ([`crate::block`]).
        Op::Constant { .. } | Op::Reshape { .. } | Op::Scan { .. } => Step::Nothing,
        Op::MatMul {
            x,
            weights,
            bias,
            rescale,
        } => {
            let (_, k) = value(x).rows();
            let scale = Scale { bias, rescale };
            Step::MatMul {
                x,
                product: MatMul::new(Columns::new(&weights, k, sums), k, scale, sums, width(x)),
            }
        }
        Op::Conv2d {
            x,
            weights,
            channels,
            bias,
            window,
            groups,
            rescale,
        } => {
            let shape = ConvShape::new(value(x), channels, &window, groups, limits);
            let scale = Scale { bias, rescale };
            shape.map_or(Step::Nothing, |shape| {
                let k = shape.taps;
                if few_pixels(&shape, sums) {
                    let product = MatMul::new(Columns::new(&weights, k, sums), k, scale, sums, width(x));
                    let windows = Windows::new(shape, product);
                    return Step::Windows { x, windows };
                }
                let conv = Conv::new(shape, Rows::new(weights, k, sums), scale, sums, width(x));
                Step::Conv { x, conv }
            })
        }
        Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier,
            shift,
            low,
            high,
        } => {
            let ((batch_a, [m, k]), (batch_b, _)) = (matrices(&value(a).shape), matrices(&value(b).shape));
            let (batch, [_, n]) = matrices(&out.shape);
            Step::BatchMatMul {
                a,
                b,
                product: BatchMatMul {
                    plan: BroadcastPlan::new([batch_a, batch_b], batch),
                    m: m as usize,
                    k: k as usize,
                    n: n as usize,
                    transposed,
                    multiplier,
                    end: End { shift, low, high },
                    sums,
                },
            }
        }
        Op::Rescale { x, axis, bias, rescale } => {
            let around = match bias.len().max(rescale.multipliers.len()) {
                0 | 1 => [1, 1, out.elements()],
                _ => shape::around(&out.shape, axis as usize),
            };
            Step::Rescale {
                x,
                scale: Scale { bias, rescale },
                around,
            }
        }
        Op::Add { a, b, .. }
        | Op::Mul { a, b, .. }
        | Op::Div { a, b, .. }
        | Op::Min { a, b }
        | Op::Max { a, b }
        | Op::Compare { a, b, .. } => Pair::of(&op).map_or(Step::Nothing, |pair| Step::Join {
            a,
            b,
            joined: Joined {
                pair,
                plan: BroadcastPlan::new([&value(a).shape, &value(b).shape], &out.shape),
            },
        }),
        Op::Select { condition, a, b } => Step::Select {
            operands: [condition, a, b],
            plan: BroadcastPlan::new([condition, a, b].map(|x| value(x).shape.as_slice()), &out.shape),
        },
        Op::Sqrt { x, shift, low, high } => Step::Sqrt {
            x,
            end: End { shift, low, high },
        },
        Op::LayerNorm {
            x,
            epsilon,
            center,
            bias,
            rescale,
        } => Step::LayerNorm {
            x,
            norm: LayerNorm::new(epsilon, center, value(x).low, Scale { bias, rescale }, out.rows().1),
        },
        Op::ReduceSum {
            x,
            axis,
            multiplier,
            shift,
            low,
            high,
        } => Step::Sum {
            x,
            around: shape::around(&value(x).shape, axis as usize),
            multiplier,
            end: End { shift, low, high },
        },
        Op::ReduceMax { x, axis } => Step::Max {
            x,
            around: shape::around(&value(x).shape, axis as usize),
        },
        Op::Gather { x, indices, axis } => Step::Gather {
            x,
            indices,
            around: shape::around(&value(x).shape, axis as usize),
        },
        Op::GatherElements { x, indices } => Step::GatherElements { x, indices },
        Op::TopK { x, k } => Step::TopK { x, k: k as usize },
        Op::Pad {
            x,
            before,
            value: filler,
            ..
        } => Step::Pad {
            x,
            plan: PadPlan::new(&value(x).shape, &before, &out.shape),
            value: filler,
        },
        Op::Broadcast { x, .. } => Step::Broadcast {
            x,
            plan: BroadcastPlan::new([&value(x).shape], &out.shape),
        },
        Op::Clamp { x, low, high } => Step::Clamp { x, low, high },
        Op::Table { x, table } => Step::Table { x, table },
        Op::Softmax { x, multiplier, shift } => Step::Softmax { x, multiplier, shift },
        Op::MaxPool2d { x, window } => slide(x, &window).map_or(Step::Nothing, |slide| Step::MaxPool { x, slide }),
        Op::AvgPool2d {
            x,
            window,
            count_padding,
        } => slide(x, &window).map_or(Step::Nothing, |slide| Step::AvgPool {
            x,
            slide,
            count_padding,
        }),
        Op::Upsample2d { x, factors } => Step::Upsample {
            x,
            factors: factors.map(|f| f as usize),
        },
        Op::Transpose { x, axes } => Step::Transpose {
            x,
            plan: shape::transpose_plan(&value(x).shape, &axes),
        },
        Op::Concat { xs, axis } => Step::Concat {
            xs,
            axis: axis as usize,
        },
        Op::Slice {
            x,
            axis,
            start,
            step,
            length,
        } => {
            let [axis, start, step, length] = [axis, start, step, length].map(|v| v as usize);
            Step::Slice {
                x,
                axis,
                start,
                step,
                length,
            }
        }
        Op::ArgMax { x } => Step::ArgMax { x },
        Op::TreeEnsemble { x, trees, rescale } => Step::Trees {
            x,
            forest: Forest::new(trees, rescale),
        },
    }
}
