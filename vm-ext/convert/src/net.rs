//! The float model between import and quantisation: few operations, constant shapes, batch 1.
//!
//! Both front ends write it, [`crate::fuse`] simplifies it, [`crate::eval`] computes it in doubles, and
//! [`crate::quantise`] turns it into integers.

use aiinference_engine::graph::Window;

use crate::expr::Expr;
use crate::trees::FloatTrees;

/// Number of a node, which is its value's number too.
pub type Id = usize;

/// A float model. Operands precede the nodes that read them.
#[derive(Clone, Debug, Default)]
pub struct Net {
    /// Nodes in the order in which they run.
    pub nodes: Vec<Node>,
    /// The nodes that are inputs, in the model's order.
    pub inputs: Vec<Id>,
    /// What the model returns.
    pub outputs: Vec<NetOutput>,
}

/// One operation and its value.
#[derive(Clone, Debug)]
pub struct Node {
    /// From the ONNX file.
    pub name: String,
    /// What is computed.
    pub kind: Kind,
    /// Shape of the value.
    pub shape: Vec<usize>,
    /// What its elements are.
    pub of: Elements,
}

/// What the elements of a value are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Elements {
    /// Reals, which integers may approximate.
    #[default]
    Real,
    /// Integers within limits, which stay exact.
    Integer(f64, f64),
    /// 0 or 1.
    Bool,
}

/// A named output.
#[derive(Clone, Debug)]
pub struct NetOutput {
    /// Name in the ONNX file.
    pub name: String,
    /// Which value.
    pub value: Id,
    /// Class names, where the value is an index into them.
    pub labels: Vec<String>,
}

/// What the model declares of an input's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Declared {
    /// Reals.
    Real,
    /// Integers of any size.
    Integer,
    /// Integers within limits (u8, i8, bool).
    Within(i32, i32),
}

/// Operations. Shapes are row-major; images are NCHW.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value from outside.
    Input(Declared),
    /// A stored tensor.
    Const(Vec<f64>),
    /// `y[.., n] = bias[n] + sum over k of x[.., k] * weights[n, k]`.
    Linear {
        /// `[.., K]`
        x: Id,
        /// `[N, K]`
        weights: Vec<f64>,
        /// N.
        bias: Vec<f64>,
    },
    /// Cross-correlation.
    Conv {
        /// `[B, C, H, W]`
        x: Id,
        /// `[O, C / groups, KH, KW]`
        weights: Vec<f64>,
        /// O.
        bias: Vec<f64>,
        /// Kernel and steps.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// `x * scale[c] + offset[c]` with c the index along `axis`.
    Affine {
        /// Any shape.
        x: Id,
        /// Axis of the channels.
        axis: usize,
        /// Per channel.
        scale: Vec<f64>,
        /// Per channel.
        offset: Vec<f64>,
    },
    /// A function of every element.
    Map {
        /// Any shape.
        x: Id,
        /// The function.
        f: Expr,
    },
    /// `a + sign * b`, broadcast.
    Add {
        /// First term.
        a: Id,
        /// Second term.
        b: Id,
        /// 1 or -1.
        sign: f64,
    },
    /// `a * b`, broadcast.
    Mul {
        /// First factor.
        a: Id,
        /// Second factor.
        b: Id,
    },
    /// Products of matrices: `[.., M, K]` times `[.., K, N]`, the axes before broadcast.
    BatchMatMul {
        /// Left.
        a: Id,
        /// Right.
        b: Id,
    },
    /// `a / b`, broadcast.
    Div {
        /// Dividend.
        a: Id,
        /// Divisor.
        b: Id,
    },
    /// The lesser, broadcast.
    Min {
        /// One.
        a: Id,
        /// The other.
        b: Id,
    },
    /// The greater, broadcast.
    Max {
        /// One.
        a: Id,
        /// The other.
        b: Id,
    },
    /// 1 where the comparison holds, else 0, broadcast.
    Compare {
        /// Left.
        a: Id,
        /// Right.
        b: Id,
        /// Which comparison.
        by: Comparison,
    },
    /// `a` where the condition is not 0, else `b`, broadcast.
    Select {
        /// 0 or not.
        condition: Id,
        /// Where it is not 0.
        a: Id,
        /// Where it is 0.
        b: Id,
    },
    /// Rows along the last axis, less their mean where `center` says so, divided by the root of their mean square plus
    /// `epsilon`, times `gamma` plus `beta` per column.
    LayerNorm {
        /// `[.., N]`
        x: Id,
        /// N.
        gamma: Vec<f64>,
        /// N.
        beta: Vec<f64>,
        /// Keeps the divisor from 0.
        epsilon: f64,
        /// False for RMS normalisation.
        center: bool,
    },
    /// `factor` times the sum along an axis, which goes.
    ReduceSum {
        /// Any shape.
        x: Id,
        /// Which axis.
        axis: usize,
        /// 1 for sums, 1/N for means.
        factor: f64,
    },
    /// The largest along an axis, which goes.
    ReduceMax {
        /// Any shape.
        x: Id,
        /// Which axis.
        axis: usize,
    },
    /// x with an axis replaced by the axes of the indices, which count along it.
    Gather {
        /// Any shape.
        x: Id,
        /// Whole numbers from 0 to below the axis's extent.
        indices: Id,
        /// Which axis.
        axis: usize,
    },
    /// `y[.., j] = x[.., indices[.., j]]`; the axes before are equal.
    GatherElements {
        /// `[.., N]`
        x: Id,
        /// `[.., M]`, from 0 to below N.
        indices: Id,
    },
    /// Indices of the k largest along the last axis, largest first, ties by lower index.
    TopK {
        /// `[.., N]`
        x: Id,
        /// How many.
        k: usize,
    },
    /// A constant around x.
    Pad {
        /// Any shape.
        x: Id,
        /// Elements before, per axis.
        before: Vec<usize>,
        /// Elements after, per axis.
        after: Vec<usize>,
        /// The constant.
        value: f64,
    },
    /// x repeated along axes of extent 1 (or missing in front) up to this node's shape.
    Broadcast {
        /// Any shape.
        x: Id,
    },
    /// A net run several times. The value is flat: the final states, then what was collected.
    Scan(Box<Scan>),
    /// Over the last axis.
    Softmax {
        /// `[.., N]`
        x: Id,
    },
    /// Largest of each window.
    MaxPool {
        /// `[B, C, H, W]`
        x: Id,
        /// Kernel and steps.
        window: Window,
    },
    /// Mean of each window.
    AvgPool {
        /// `[B, C, H, W]`
        x: Id,
        /// Kernel and steps.
        window: Window,
        /// Whether padding counts.
        count_padding: bool,
    },
    /// Every element repeated along the last two axes.
    Upsample {
        /// `[.., H, W]`
        x: Id,
        /// Factors.
        factors: [usize; 2],
    },
    /// The same elements in this node's shape.
    Reshape {
        /// Any shape.
        x: Id,
    },
    /// Axis i of y is axis `axes[i]` of x.
    Transpose {
        /// Any shape.
        x: Id,
        /// A permutation.
        axes: Vec<usize>,
    },
    /// Side by side.
    Concat {
        /// Operands.
        xs: Vec<Id>,
        /// Along which axis.
        axis: usize,
    },
    /// Elements `start, start + step, ..` along an axis.
    Slice {
        /// Any shape.
        x: Id,
        /// Which axis.
        axis: usize,
        /// First index.
        start: usize,
        /// Step.
        step: usize,
        /// How many.
        length: usize,
    },
    /// Index of the largest along the last axis, which goes.
    ArgMax {
        /// `[.., N]`
        x: Id,
    },
    /// Sums of leaves.
    Trees {
        /// `[.., F]`
        x: Id,
        /// The ensemble.
        trees: FloatTrees,
    },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Less,
    LessEqual,
    Equal,
}

/// A net that is run `count` times, each time on the states that the last time left.
///
/// The body's inputs are the states, a slice of every scanned value and the captured values; its outputs the next states
/// and what is collected.
#[derive(Clone, Debug)]
pub struct Scan {
    /// How often.
    pub count: usize,
    /// First states.
    pub states: Vec<Id>,
    /// Values of which the body gets one slice along the first axis each time, the last one first where the flag says so.
    pub scanned: Vec<(Id, bool)>,
    /// Values that the body reads each time.
    pub captured: Vec<Id>,
    /// What is run.
    pub body: Net,
}

impl Kind {
    /// The operands.
    pub fn operands(&self) -> Vec<Id> {
        match self {
            Kind::Input(_) | Kind::Const(_) => vec![],
            Kind::Linear { x, .. }
            | Kind::Conv { x, .. }
            | Kind::Affine { x, .. }
            | Kind::Map { x, .. }
            | Kind::Softmax { x }
            | Kind::MaxPool { x, .. }
            | Kind::AvgPool { x, .. }
            | Kind::Upsample { x, .. }
            | Kind::Reshape { x }
            | Kind::Transpose { x, .. }
            | Kind::Slice { x, .. }
            | Kind::ArgMax { x }
            | Kind::LayerNorm { x, .. }
            | Kind::ReduceSum { x, .. }
            | Kind::ReduceMax { x, .. }
            | Kind::TopK { x, .. }
            | Kind::Pad { x, .. }
            | Kind::Broadcast { x }
            | Kind::Trees { x, .. } => vec![*x],
            Kind::Add { a, b, .. }
            | Kind::Mul { a, b }
            | Kind::Div { a, b }
            | Kind::Min { a, b }
            | Kind::Max { a, b }
            | Kind::Compare { a, b, .. }
            | Kind::BatchMatMul { a, b } => vec![*a, *b],
            Kind::Gather { x, indices, .. } | Kind::GatherElements { x, indices } => vec![*x, *indices],
            Kind::Select { condition, a, b } => vec![*condition, *a, *b],
            Kind::Concat { xs, .. } => xs.clone(),
            Kind::Scan(scan) => {
                let scanned = scan.scanned.iter().map(|s| s.0);
                let states = scan.states.iter().copied();
                states.chain(scanned).chain(scan.captured.iter().copied()).collect()
            }
        }
    }

    /// Renames the operands.
    pub fn rename(&mut self, to: &dyn Fn(Id) -> Id) {
        match self {
            Kind::Input(_) | Kind::Const(_) => {}
            Kind::Linear { x, .. }
            | Kind::Conv { x, .. }
            | Kind::Affine { x, .. }
            | Kind::Map { x, .. }
            | Kind::Softmax { x }
            | Kind::MaxPool { x, .. }
            | Kind::AvgPool { x, .. }
            | Kind::Upsample { x, .. }
            | Kind::Reshape { x }
            | Kind::Transpose { x, .. }
            | Kind::Slice { x, .. }
            | Kind::ArgMax { x }
            | Kind::LayerNorm { x, .. }
            | Kind::ReduceSum { x, .. }
            | Kind::ReduceMax { x, .. }
            | Kind::TopK { x, .. }
            | Kind::Pad { x, .. }
            | Kind::Broadcast { x }
            | Kind::Trees { x, .. } => *x = to(*x),
            Kind::Add { a, b, .. }
            | Kind::Mul { a, b }
            | Kind::Div { a, b }
            | Kind::Min { a, b }
            | Kind::Max { a, b }
            | Kind::Compare { a, b, .. }
            | Kind::BatchMatMul { a, b } => {
                *a = to(*a);
                *b = to(*b);
            }
            Kind::Gather { x, indices, .. } | Kind::GatherElements { x, indices } => {
                *x = to(*x);
                *indices = to(*indices);
            }
            Kind::Select { condition, a, b } => {
                *condition = to(*condition);
                *a = to(*a);
                *b = to(*b);
            }
            Kind::Concat { xs, .. } => xs.iter_mut().for_each(|x| *x = to(*x)),
            Kind::Scan(scan) => {
                let scanned = scan.scanned.iter_mut().map(|s| &mut s.0);
                let states = scan.states.iter_mut();
                states
                    .chain(scanned)
                    .chain(&mut scan.captured)
                    .for_each(|x| *x = to(*x));
            }
        }
    }

    /// Name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Input(_) => "Input",
            Kind::Const(_) => "Constant",
            Kind::Linear { .. } => "MatMul",
            Kind::Conv { .. } => "Conv",
            Kind::Affine { .. } => "Affine",
            Kind::Map { .. } => "Map",
            Kind::Add { .. } => "Add",
            Kind::Mul { .. } => "Mul",
            Kind::Softmax { .. } => "Softmax",
            Kind::MaxPool { .. } => "MaxPool",
            Kind::AvgPool { .. } => "AveragePool",
            Kind::Upsample { .. } => "Upsample",
            Kind::Reshape { .. } => "Reshape",
            Kind::Transpose { .. } => "Transpose",
            Kind::Concat { .. } => "Concat",
            Kind::Slice { .. } => "Slice",
            Kind::ArgMax { .. } => "ArgMax",
            Kind::Trees { .. } => "TreeEnsemble",
            Kind::BatchMatMul { .. } => "BatchMatMul",
            Kind::Div { .. } => "Div",
            Kind::Min { .. } => "Min",
            Kind::Max { .. } => "Max",
            Kind::Compare { by, .. } => match by {
                Comparison::Less => "Less",
                Comparison::LessEqual => "LessOrEqual",
                Comparison::Equal => "Equal",
            },
            Kind::Select { .. } => "Where",
            Kind::LayerNorm { .. } => "LayerNormalization",
            Kind::ReduceSum { .. } => "ReduceSum",
            Kind::ReduceMax { .. } => "ReduceMax",
            Kind::Gather { .. } => "Gather",
            Kind::GatherElements { .. } => "GatherElements",
            Kind::TopK { .. } => "TopK",
            Kind::Pad { .. } => "Pad",
            Kind::Broadcast { .. } => "Expand",
            Kind::Scan(_) => "Scan",
        }
    }

    /// Whether elements are only moved, so that the value may keep its operand's number format.
    pub fn moves_only(&self) -> bool {
        matches!(
            self,
            Kind::Reshape { .. }
                | Kind::Transpose { .. }
                | Kind::Concat { .. }
                | Kind::Slice { .. }
                | Kind::Upsample { .. }
        )
    }
}

impl Net {
    /// Adds a node.
    pub fn push(&mut self, name: &str, kind: Kind, shape: Vec<usize>) -> Id {
        self.nodes.push(Node {
            name: name.to_string(),
            kind,
            shape,
            of: Elements::Real,
        });
        self.nodes.len() - 1
    }

    /// Shape of a value.
    pub fn shape(&self, id: Id) -> &[usize] {
        &self.nodes[id].shape
    }

    /// The elements, where the value is stored.
    pub fn constant(&self, id: Id) -> Option<&[f64]> {
        match &self.nodes[id].kind {
            Kind::Const(values) => Some(values),
            _ => None,
        }
    }

    /// Adds a reshape, unless the shape is right already.
    pub fn reshape(&mut self, name: &str, x: Id, shape: Vec<usize>) -> Id {
        if self.shape(x) == shape {
            return x;
        }
        if let Some(values) = self.constant(x) {
            let values = values.to_vec();
            return self.push(name, Kind::Const(values), shape);
        }
        let of = self.nodes[x].of;
        let id = self.push(name, Kind::Reshape { x }, shape);
        self.nodes[id].of = of;
        id
    }

    /// Adds a transposition: a reshape where only axes of length 1 move.
    pub fn transpose(&mut self, name: &str, x: Id, axes: Vec<usize>) -> Id {
        let from = self.shape(x).to_vec();
        let shape: Vec<usize> = axes.iter().map(|&a| from[a]).collect();
        let long: Vec<usize> = axes.iter().copied().filter(|&a| from[a] != 1).collect();
        if long.windows(2).all(|w| w[0] < w[1]) {
            return self.reshape(name, x, shape);
        }
        if let Some(values) = self.constant(x) {
            let values = crate::eval::transpose(values, &from, &axes);
            return self.push(name, Kind::Const(values), shape);
        }
        let of = self.nodes[x].of;
        let id = self.push(name, Kind::Transpose { x, axes }, shape);
        self.nodes[id].of = of;
        id
    }

    /// Adds an elementwise function.
    pub fn map(&mut self, name: &str, x: Id, f: Expr) -> Id {
        let shape = self.shape(x).to_vec();
        self.push(name, Kind::Map { x, f }, shape)
    }

    /// Puts every operation right before what reads it first, so that few values wait at the same time, and drops what no
    /// output depends on. Inputs come first and stay.
    pub fn arrange(&mut self) {
        let mut place: Vec<Option<Id>> = vec![None; self.nodes.len()];
        let mut order = self.inputs.clone();
        order.iter().enumerate().for_each(|(i, id)| place[*id] = Some(i));
        for output in &self.outputs {
            // A node and those of its operands that have not been seen to.
            let open = |id: Id| (id, self.nodes[id].kind.operands().into_iter());
            let mut stack = vec![open(output.value)];
            while let Some((id, rest)) = stack.last_mut() {
                let id = *id;
                // Values that are placed are not opened again: many may read one that has many operands.
                match rest.find(|operand| place[*operand].is_none()) {
                    Some(operand) if place[id].is_none() => stack.push(open(operand)),
                    _ => {
                        stack.pop();
                        if place[id].is_none() {
                            place[id] = Some(order.len());
                            order.push(id);
                        }
                    }
                }
            }
        }
        let mut old: Vec<Option<Node>> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        let place = |id: Id| place[id].unwrap_or(0);
        self.nodes = order.iter().filter_map(|id| old[*id].take()).collect();
        self.nodes.iter_mut().for_each(|node| node.kind.rename(&place));
        self.inputs.iter_mut().for_each(|i| *i = place(*i));
        self.outputs.iter_mut().for_each(|o| o.value = place(o.value));
    }

    /// How often each value is read, outputs included.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        for node in &self.nodes {
            for x in node.kind.operands() {
                uses[x] += 1;
            }
        }
        for output in &self.outputs {
            uses[output.value] += 1;
        }
        uses
    }
}

/// Shape of two operands broadcast as in NumPy.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |s: &[usize], i: usize| {
        let missing = rank - s.len();
        if i < missing {
            1
        } else {
            s[i - missing]
        }
    };
    (0..rank)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Extents of what a window gives, per axis.
pub fn window_extents(input: [usize; 2], window: &Window) -> Option<[usize; 2]> {
    let mut out = [0; 2];
    for i in 0..2 {
        let kernel = (window.kernel[i] as usize).checked_sub(1)? * window.dilations[i] as usize + 1;
        let padded = input[i] + window.pads[i] as usize + window.pads[i + 2] as usize;
        out[i] = padded.checked_sub(kernel)? / window.strides[i] as usize + 1;
    }
    Some(out)
}
