//! Operations and what they are made of.

use alloc::vec::Vec;

use super::{Array, ValueId};

/// How an exact accumulator becomes an output integer, per channel or once for all:
/// `y = clamp((acc * m + r) >> s, low, high)` with `r = 2^(s-1)`, or 0 where `s = 0`; `>>` rounds down.
///
/// The loader proves `|acc * m| < 2^62` for every channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// `m`; one, or one per channel.
    pub multipliers: Vec<i32>,
    /// `s`, 0 to 62; as many as multipliers.
    pub shifts: Vec<u8>,
    /// Least output.
    pub low: i32,
    /// Largest output.
    pub high: i32,
}

/// A window sliding over the last two axes (height, width).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extents, each at least 1.
    pub kernel: [u32; 2],
    /// Steps, each at least 1.
    pub strides: [u32; 2],
    /// Distances between taps, each at least 1.
    pub dilations: [u32; 2],
    /// Padding: top, left, bottom, right; each smaller than the dilated kernel.
    pub pads: [u32; 4],
}

/// Decision trees whose leaves are summed. A tree node sends a row left where `x[feature] <= threshold`.
///
/// A child is the index of a tree node greater than its parent's, or `-1 - leaf`. Every tree node and every leaf is
/// named exactly once, by one root or one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    /// Where each tree starts: a child in the sense above.
    pub roots: Vec<i32>,
    /// Per tree node: which column is compared.
    pub features: Vec<i32>,
    /// Per tree node: with what.
    pub thresholds: Vec<i32>,
    /// Per tree node: child for `x <= threshold`.
    pub left: Vec<i32>,
    /// Per tree node: child otherwise.
    pub right: Vec<i32>,
    /// Leaf l adds entries `leaf_starts[l] .. leaf_starts[l + 1]`; one more than leaves, from 0, ascending.
    pub leaf_starts: Vec<i32>,
    /// Per entry: which target; ascending within a leaf, none twice.
    pub targets: Vec<i32>,
    /// Per entry: what is added to it.
    pub weights: Vec<i32>,
    /// Per target: what the sum starts from. Its length is the number of targets.
    pub base: Vec<i64>,
}

/// What a Scan carries from one time to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it starts from.
    pub initial: ValueId,
    /// It is never less.
    pub low: i32,
    /// It is never larger.
    pub high: i32,
    /// Value of the body that it becomes; of the same shape.
    pub result: ValueId,
    /// Whether what it is in the end is among the Scan's results.
    pub kept: bool,
}

/// An operand of a Scan that is taken apart, one slice at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The operand.
    pub x: ValueId,
    /// Which axis is taken apart; its extent is the number of times. Slices lack it.
    pub axis: u32,
    /// Whether the last slice comes first.
    pub reverse: bool,
}

/// One operation. Operands are named by their value numbers. Shapes are row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A stored tensor.
    Constant {
        /// Extents.
        shape: Vec<u32>,
        /// I8, I16 or I32 elements.
        data: Array,
    },
    /// `acc[m, n] = bias[n] + sum over k of x[m, k] * weights[n, k]`, rescaled per n. All but the last axis of x count
    /// as rows.
    MatMul {
        /// `[.., K]`
        x: ValueId,
        /// `[N, K]`, I8 or I16.
        weights: Array,
        /// N of them, or none.
        bias: Vec<i64>,
        /// Per n, or one.
        rescale: Rescale,
    },
    /// 2-d cross-correlation, zero padded, rescaled per output channel.
    Conv2d {
        /// `[B, C, H, W]`
        x: ValueId,
        /// `[O, C / groups, kernel height, kernel width]`, I8 or I16.
        weights: Array,
        /// Number of output channels O.
        channels: u32,
        /// O of them, or none.
        bias: Vec<i64>,
        /// Kernel, strides, dilations, padding.
        window: Window,
        /// Divides C and O.
        groups: u32,
        /// Per output channel, or one.
        rescale: Rescale,
    },
    /// `acc = x + bias[c]`, rescaled; c is the index along `axis`.
    Rescale {
        /// Any shape.
        x: ValueId,
        /// The axis of the channels; not read where bias and rescale have length 1 or 0.
        axis: u32,
        /// One, or one per channel, or none.
        bias: Vec<i64>,
        /// One, or one per channel. The multipliers may differ in sign.
        rescale: Rescale,
    },
    /// `clamp((a * multipliers[0] + b * multipliers[1] + r) >> shift, low, high)`, shapes broadcast as in NumPy.
    Add {
        /// First term.
        a: ValueId,
        /// Second term.
        b: ValueId,
        /// Their factors.
        multipliers: [i32; 2],
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// `clamp((a * b * multiplier + r) >> shift, low, high)`, shapes broadcast as in NumPy.
    Mul {
        /// First factor.
        a: ValueId,
        /// Second factor.
        b: ValueId,
        /// Third factor.
        multiplier: i32,
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// `clamp(x, low, high)`; a ReLU is a clamp at 0.
    Clamp {
        /// Any shape.
        x: ValueId,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// A function by its table: 256 entries for x in -128..=127 (`table[x + 128]`), or 513 knots for x in
    /// -32768..=32767, between which it is interpolated: with `u = x + 32768`, `i = u >> 7`, `f = u & 127`,
    /// `y = (table[i] * (128 - f) + table[i + 1] * f + 64) >> 7`.
    Table {
        /// Any shape, within the range that the table covers.
        x: ValueId,
        /// 256 or 513 entries.
        table: Vec<i16>,
    },
    /// Softmax over the last axis; the output counts units of 2^-15. `multiplier / 2^shift` turns a difference of x
    /// into units of 2^-16 of a binary exponent.
    Softmax {
        /// `[.., N]`
        x: ValueId,
        /// 1 to 2^31 - 1.
        multiplier: i32,
        /// 0 to 62.
        shift: u8,
    },
    /// Largest value in each window; padding never wins.
    MaxPool2d {
        /// `[B, C, H, W]`
        x: ValueId,
        /// Kernel, strides, dilations, padding.
        window: Window,
    },
    /// Mean of each window, rounded half up: `floor((2 * sum + n) / (2 * n))`.
    AvgPool2d {
        /// `[B, C, H, W]`
        x: ValueId,
        /// Kernel, strides, dilations, padding.
        window: Window,
        /// Whether n counts padding.
        count_padding: bool,
    },
    /// Every element repeated: `y[.., h, w] = x[.., h / factors[0], w / factors[1]]`.
    Upsample2d {
        /// `[.., H, W]`
        x: ValueId,
        /// Each at least 1.
        factors: [u32; 2],
    },
    /// The same elements in another shape.
    Reshape {
        /// Any shape.
        x: ValueId,
        /// As many elements as x.
        shape: Vec<u32>,
    },
    /// Axes in another order: axis i of y is axis `axes[i]` of x.
    Transpose {
        /// Any shape.
        x: ValueId,
        /// A permutation.
        axes: Vec<u32>,
    },
    /// Operands side by side along an axis.
    Concat {
        /// At least one; equal but for that axis.
        xs: Vec<ValueId>,
        /// Which.
        axis: u32,
    },
    /// Elements `start, start + step, ..` along an axis, `length` of them.
    Slice {
        /// Any shape.
        x: ValueId,
        /// Which axis.
        axis: u32,
        /// First index.
        start: u32,
        /// At least 1.
        step: u32,
        /// At least 1.
        length: u32,
    },
    /// Index of the largest element along the last axis, which goes; the first of equals.
    ArgMax {
        /// `[.., N]`
        x: ValueId,
    },
    /// Sums of leaves: `[.., F]` to `[.., targets]`, rescaled per target.
    TreeEnsemble {
        /// `[.., F]`
        x: ValueId,
        /// The trees.
        trees: Trees,
        /// Per target, or one.
        rescale: Rescale,
    },
    /// Products of two computed tensors: `acc[.., m, n] = sum over k of a[.., m, k] * b[.., k, n]`, rescaled; the axes
    /// before the last two broadcast as in NumPy. Both operands' ranges fit 16 bits.
    BatchMatMul {
        /// `[.., M, K]`
        a: ValueId,
        /// `[.., K, N]`, or `[.., N, K]` where transposed.
        b: ValueId,
        /// Whether the rows of b are the columns of the result.
        transposed: bool,
        /// One for all.
        multiplier: i32,
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// The lesser of two elements, shapes broadcast as in NumPy.
    Min {
        /// One.
        a: ValueId,
        /// The other.
        b: ValueId,
    },
    /// The larger of two elements, shapes broadcast as in NumPy.
    Max {
        /// One.
        a: ValueId,
        /// The other.
        b: ValueId,
    },
    /// 1 where a compares so to b, else 0; shapes broadcast as in NumPy.
    Compare {
        /// Left.
        a: ValueId,
        /// Right.
        b: ValueId,
        /// How.
        kind: Comparison,
    },
    /// `condition != 0 ? a : b`, all three shapes broadcast as in NumPy.
    Select {
        /// What decides.
        condition: ValueId,
        /// Taken where it is not 0.
        a: ValueId,
        /// Taken where it is 0.
        b: ValueId,
    },
    /// `clamp(floor(a * 2^shift / b + 1/2), low, high)`, shapes broadcast as in NumPy. Where b is 0: high for a > 0, low
    /// for a < 0, `clamp(0, low, high)` for a = 0.
    Div {
        /// Dividend.
        a: ValueId,
        /// Divisor.
        b: ValueId,
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// `clamp(sqrt(max(x, 0) * 2^shift), low, high)`, the root rounded to the nearest integer.
    Sqrt {
        /// Any shape.
        x: ValueId,
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// Normalisation of every row: over the last axis of N elements, with `S = sum x` (0 where not centred),
    /// `W = N * sum x^2 - S^2 + epsilon`: `z = (N * x - S) / sqrt(W)` in units of 2^-20 (`docs/spec/ops.md` has its
    /// rounding), `acc = z + bias[c]`, rescaled per column c.
    LayerNorm {
        /// `[.., N]`
        x: ValueId,
        /// Added to W, so it counts squares of x's unit times N^2.
        epsilon: u64,
        /// Whether the mean is subtracted.
        center: bool,
        /// One, or one per column, or none; units of 2^-20.
        bias: Vec<i64>,
        /// One, or one per column.
        rescale: Rescale,
    },
    /// `acc = sum of x along the axis`, which goes; rescaled.
    ReduceSum {
        /// Any shape.
        x: ValueId,
        /// Which axis.
        axis: u32,
        /// One for all.
        multiplier: i32,
        /// 0 to 62.
        shift: u8,
        /// Least output.
        low: i32,
        /// Largest output.
        high: i32,
    },
    /// The largest element along the axis, which goes.
    ReduceMax {
        /// Any shape.
        x: ValueId,
        /// Which axis.
        axis: u32,
    },
    /// Slices of x by number: x with `axis` replaced by the axes of indices.
    Gather {
        /// Any shape.
        x: ValueId,
        /// Any shape; its range lies within the axis.
        indices: ValueId,
        /// Which axis of x.
        axis: u32,
    },
    /// `y[.., j] = x[.., indices[.., j]]`.
    GatherElements {
        /// `[.., N]`
        x: ValueId,
        /// `[.., M]`, equal to x before the last axis; its range lies within 0..N.
        indices: ValueId,
    },
    /// Indices of the k largest elements of each row, the largest first, of equals the first first.
    TopK {
        /// `[.., N]`
        x: ValueId,
        /// 1 to N.
        k: u32,
    },
    /// x in a larger tensor of one value.
    Pad {
        /// Any shape.
        x: ValueId,
        /// Per axis: elements before x.
        before: Vec<u32>,
        /// Per axis: elements after x.
        after: Vec<u32>,
        /// What they are.
        value: i32,
    },
    /// x repeated to a shape that it broadcasts to as in NumPy.
    Broadcast {
        /// Any shape.
        x: ValueId,
        /// The result's.
        shape: Vec<u32>,
    },
    /// Nodes that run again and again. The body's values are numbered by themselves: the states, a slice of every scanned
    /// operand, the captured operands, then one per node. The result has one axis: the kept states as they are in the
    /// end, then every collected value of all times, in their order; each row-major.
    Scan {
        /// How often; at least 1.
        count: u32,
        /// What is carried on.
        states: Vec<State>,
        /// What is taken apart.
        scanned: Vec<Scanned>,
        /// What is the same every time.
        captured: Vec<ValueId>,
        /// What runs. No Scan is among it.
        body: Vec<Op>,
        /// Values of the body that are kept every time.
        collected: Vec<ValueId>,
    },
}

/// How two elements are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `a < b`
    Less,
    /// `a <= b`
    LessEqual,
    /// `a = b`
    Equal,
}

impl Op {
    /// The nodes inside of it.
    pub fn body(&self) -> &[Op] {
        match self {
            Op::Scan { body, .. } => body,
            _ => &[],
        }
    }

    /// Calls `each` with every operand.
    pub fn operands(&self, mut each: impl FnMut(ValueId)) {
        match self {
            Op::Constant { .. } => {}
            Op::Add { a, b, .. }
            | Op::Mul { a, b, .. }
            | Op::BatchMatMul { a, b, .. }
            | Op::Min { a, b }
            | Op::Max { a, b }
            | Op::Compare { a, b, .. }
            | Op::Div { a, b, .. } => {
                each(*a);
                each(*b);
            }
            Op::Gather { x, indices, .. } | Op::GatherElements { x, indices } => {
                each(*x);
                each(*indices);
            }
            Op::Select { condition, a, b } => {
                each(*condition);
                each(*a);
                each(*b);
            }
            Op::Scan {
                states,
                scanned,
                captured,
                ..
            } => {
                let initial = states.iter().map(|state| state.initial);
                let taken_apart = scanned.iter().map(|scanned| scanned.x);
                initial
                    .chain(taken_apart)
                    .chain(captured.iter().copied())
                    .for_each(each);
            }
            Op::Concat { xs, .. } => xs.iter().copied().for_each(each),
            Op::MatMul { x, .. }
            | Op::Conv2d { x, .. }
            | Op::Rescale { x, .. }
            | Op::Clamp { x, .. }
            | Op::Table { x, .. }
            | Op::Softmax { x, .. }
            | Op::MaxPool2d { x, .. }
            | Op::AvgPool2d { x, .. }
            | Op::Upsample2d { x, .. }
            | Op::Reshape { x, .. }
            | Op::Transpose { x, .. }
            | Op::Slice { x, .. }
            | Op::ArgMax { x }
            | Op::TreeEnsemble { x, .. }
            | Op::Sqrt { x, .. }
            | Op::LayerNorm { x, .. }
            | Op::ReduceSum { x, .. }
            | Op::ReduceMax { x, .. }
            | Op::TopK { x, .. }
            | Op::Pad { x, .. }
            | Op::Broadcast { x, .. } => each(*x),
        }
    }
}

/// From one list: the names of all operations, and the name of each.
macro_rules! names {
    ($($op:ident),+ $(,)?) => {
        impl Op {
            /// The names of all operations, in the order of their tags.
            pub const NAMES: &[&str] = &[$(stringify!($op)),+];

            /// The operation's name, as in the spec and in error messages.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Op::$op { .. } => stringify!($op),)+
                }
            }
        }
    };
}

names!(
    Constant,
    MatMul,
    Conv2d,
    Rescale,
    Add,
    Mul,
    Clamp,
    Table,
    Softmax,
    MaxPool2d,
    AvgPool2d,
    Upsample2d,
    Reshape,
    Transpose,
    Concat,
    Slice,
    ArgMax,
    TreeEnsemble,
    BatchMatMul,
    Min,
    Max,
    Compare,
    Select,
    Div,
    Sqrt,
    LayerNorm,
    ReduceSum,
    ReduceMax,
    Gather,
    GatherElements,
    TopK,
    Pad,
    Broadcast,
    Scan,
);
