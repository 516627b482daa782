//! A second interpreter of models, written from `docs/spec/{numeric,ops,model-format,gas}.md` alone, and naively: 128-bit
//! integers, plain loops, one formula an operation, nothing shared with the engine. Where this file and the engine
//! disagree, one of the two or the specification is wrong.

// Indices say what the formulas say.
#![allow(clippy::needless_range_loop)]

mod formulas;
mod gas;
mod infer;
mod memory;
mod read;

pub use gas::table as gas_table;
pub use read::numbers;

use aiinference_engine::Limits;

/// Why a model is refused, in words.
pub type Refused = String;

/// Refuses unless the rule holds.
fn rule(holds: bool, rule: &str) -> Result<(), Refused> {
    if holds {
        Ok(())
    } else {
        Err(rule.into())
    }
}

/// What is known of a value before anything runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    pub shape: Vec<usize>,
    pub low: i128,
    pub high: i128,
    /// No row along the last axis has magnitudes that add up to more, where that is known.
    pub row_sum: Option<i128>,
}

impl PartialEq<&Type> for (&Vec<u32>, i32, i32) {
    fn eq(&self, ty: &&Type) -> bool {
        let extents = self.0.iter().map(|extent| *extent as usize);
        extents.eq(ty.shape.iter().copied()) && ty.low == self.1.into() && ty.high == self.2.into()
    }
}

/// A row-major array of integers.
#[derive(Debug, Clone)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<i128>,
}

impl Tensor {
    /// The tensor of `shape` whose element at an index is what `f` says.
    fn of(shape: &[usize], mut f: impl FnMut(&[usize]) -> i128) -> Tensor {
        let mut index = vec![0; shape.len()];
        let mut data = vec![];
        for _ in 0..shape.iter().product() {
            data.push(f(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Tensor {
            shape: shape.to_vec(),
            data,
        }
    }

    fn at(&self, index: &[usize]) -> i128 {
        assert_eq!(index.len(), self.shape.len());
        let mut place = 0;
        for (i, extent) in index.iter().zip(&self.shape) {
            assert!(i < extent);
            place = place * extent + i;
        }
        self.data[place]
    }

    /// The element that stands at `index` once this tensor is broadcast to as many axes.
    fn broadcast_at(&self, index: &[usize]) -> i128 {
        let last = &index[index.len() - self.shape.len()..];
        let index: Vec<_> = last
            .iter()
            .zip(&self.shape)
            .map(|(i, e)| if *e == 1 { 0 } else { *i })
            .collect();
        self.at(&index)
    }
}

/// `rescale` of the format: a multiplier and a shift for all channels or one each.
#[derive(Debug, Clone)]
struct Rescale {
    multipliers: Vec<i128>,
    shifts: Vec<i128>,
    low: i128,
    high: i128,
}

/// The entry of a channel in a list of one for all or one each.
fn of_channel(list: &[i128], c: usize) -> i128 {
    if list.len() == 1 {
        list[0]
    } else {
        list[c]
    }
}

impl Rescale {
    fn one(multiplier: i128, shift: i128, low: i128, high: i128) -> Rescale {
        Rescale {
            multipliers: vec![multiplier],
            shifts: vec![shift],
            low,
            high,
        }
    }

    fn apply(&self, c: usize, acc: i128) -> i128 {
        let product = acc * of_channel(&self.multipliers, c);
        shifted(product, of_channel(&self.shifts, c)).clamp(self.low, self.high)
    }
}

/// `floor(n / 2^shift + 1/2)`.
fn shifted(n: i128, shift: i128) -> i128 {
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    (n + half) >> shift
}

/// The largest q with `q * q <= v`.
fn root(v: i128) -> i128 {
    let (mut low, mut high) = (0, 1 << 63);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if middle * middle <= v {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// `floor(sqrt(max(x, 0) * 2^shift) + 1/2)`.
fn rounded_root(x: i128, shift: i128) -> i128 {
    let v = x.max(0) << shift;
    let q = root(v);
    if v - q * q > q {
        q + 1
    } else {
        q
    }
}

/// The quotient of Div, before and after its exceptions for b = 0.
fn quotient(a: i128, b: i128, shift: i128, low: i128, high: i128) -> i128 {
    match (b, a) {
        (0, 1..) => high,
        (0, ..=-1) => low,
        (0, 0) => 0.clamp(low, high),
        _ => {
            // floor(n / b + 1/2) = floor((2 n + b) / (2 b)), with a divisor above 0.
            let (n, d) = if b < 0 { (-(a << shift), -b) } else { (a << shift, b) };
            (2 * n + d).div_euclid(2 * d).clamp(low, high)
        }
    }
}

/// The ten numbers of a window.
#[derive(Debug, Clone)]
struct Window {
    kernel: [i128; 2],
    strides: [i128; 2],
    dilations: [i128; 2],
    /// Top, left, bottom, right.
    padding: [i128; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Less,
    LessEqual,
    Equal,
}

#[derive(Debug, Clone)]
struct Trees {
    x: usize,
    roots: Vec<i128>,
    features: Vec<i128>,
    thresholds: Vec<i128>,
    left: Vec<i128>,
    right: Vec<i128>,
    leaf_starts: Vec<i128>,
    targets: Vec<i128>,
    weights: Vec<i128>,
    base: Vec<i128>,
    rescale: Rescale,
}

#[derive(Debug, Clone)]
struct State {
    initial: usize,
    low: i128,
    high: i128,
    result: usize,
    kept: bool,
}

#[derive(Debug, Clone)]
struct Scanned {
    x: usize,
    axis: usize,
    reverse: bool,
}

#[derive(Debug, Clone)]
struct Scan {
    count: usize,
    states: Vec<State>,
    scanned: Vec<Scanned>,
    captured: Vec<usize>,
    body: Vec<Op>,
    collected: Vec<usize>,
}

/// An array of the weights section with the bits of its elements.
#[derive(Debug, Clone)]
struct Array {
    bits: u32,
    data: Vec<i128>,
}

#[derive(Debug, Clone)]
enum Op {
    Constant {
        shape: Vec<usize>,
        data: Array,
    },
    MatMul {
        x: usize,
        weights: Array,
        bias: Vec<i128>,
        rescale: Rescale,
    },
    Conv2d {
        x: usize,
        weights: Array,
        channels: i128,
        bias: Vec<i128>,
        window: Window,
        groups: i128,
        rescale: Rescale,
    },
    Rescale {
        x: usize,
        axis: usize,
        bias: Vec<i128>,
        rescale: Rescale,
    },
    Add {
        a: usize,
        b: usize,
        multipliers: [i128; 2],
        shift: i128,
        low: i128,
        high: i128,
    },
    Mul {
        a: usize,
        b: usize,
        multiplier: i128,
        shift: i128,
        low: i128,
        high: i128,
    },
    Clamp {
        x: usize,
        low: i128,
        high: i128,
    },
    Table {
        x: usize,
        table: Vec<i128>,
    },
    Softmax {
        x: usize,
        multiplier: i128,
        shift: i128,
    },
    MaxPool2d {
        x: usize,
        window: Window,
    },
    AvgPool2d {
        x: usize,
        window: Window,
        count_padding: bool,
    },
    Upsample2d {
        x: usize,
        factors: [usize; 2],
    },
    Reshape {
        x: usize,
        shape: Vec<usize>,
    },
    Transpose {
        x: usize,
        axes: Vec<usize>,
    },
    Concat {
        xs: Vec<usize>,
        axis: usize,
    },
    Slice {
        x: usize,
        axis: usize,
        start: usize,
        step: usize,
        length: usize,
    },
    ArgMax {
        x: usize,
    },
    TreeEnsemble(Trees),
    BatchMatMul {
        a: usize,
        b: usize,
        transposed: bool,
        rescale: Rescale,
    },
    Min {
        a: usize,
        b: usize,
    },
    Max {
        a: usize,
        b: usize,
    },
    Compare {
        a: usize,
        b: usize,
        kind: Kind,
    },
    Select {
        condition: usize,
        a: usize,
        b: usize,
    },
    Div {
        a: usize,
        b: usize,
        shift: i128,
        low: i128,
        high: i128,
    },
    Sqrt {
        x: usize,
        shift: i128,
        low: i128,
        high: i128,
    },
    LayerNorm {
        x: usize,
        epsilon: i128,
        center: bool,
        bias: Vec<i128>,
        rescale: Rescale,
    },
    ReduceSum {
        x: usize,
        axis: usize,
        rescale: Rescale,
    },
    ReduceMax {
        x: usize,
        axis: usize,
    },
    Gather {
        x: usize,
        indices: usize,
        axis: usize,
    },
    GatherElements {
        x: usize,
        indices: usize,
    },
    TopK {
        x: usize,
        k: usize,
    },
    Pad {
        x: usize,
        before: Vec<usize>,
        after: Vec<usize>,
        value: i128,
    },
    Broadcast {
        x: usize,
        shape: Vec<usize>,
    },
    Scan(Scan),
}

impl Op {
    /// The values it reads, in the order of its fields.
    fn operands(&self) -> Vec<usize> {
        use Op::*;
        match self {
            Constant { .. } => vec![],
            MatMul { x, .. }
            | Conv2d { x, .. }
            | Rescale { x, .. }
            | Clamp { x, .. }
            | Table { x, .. }
            | Softmax { x, .. }
            | MaxPool2d { x, .. }
            | AvgPool2d { x, .. }
            | Upsample2d { x, .. }
            | Reshape { x, .. }
            | Transpose { x, .. }
            | Slice { x, .. }
            | ArgMax { x }
            | TreeEnsemble(Trees { x, .. })
            | Sqrt { x, .. }
            | LayerNorm { x, .. }
            | ReduceSum { x, .. }
            | ReduceMax { x, .. }
            | TopK { x, .. }
            | Pad { x, .. }
            | Broadcast { x, .. } => vec![*x],
            Add { a, b, .. }
            | Mul { a, b, .. }
            | BatchMatMul { a, b, .. }
            | Min { a, b }
            | Max { a, b }
            | Compare { a, b, .. }
            | Div { a, b, .. } => vec![*a, *b],
            Concat { xs, .. } => xs.clone(),
            Select { condition, a, b } => vec![*condition, *a, *b],
            Gather { x, indices, .. } | GatherElements { x, indices } => vec![*x, *indices],
            Scan(scan) => {
                let states = scan.states.iter().map(|state| state.initial);
                let scanned = scan.scanned.iter().map(|scanned| scanned.x);
                states.chain(scanned).chain(scan.captured.iter().copied()).collect()
            }
        }
    }

    fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default()
            .into()
    }
}

#[derive(Debug)]
struct Input {
    name: String,
    ty: Type,
    fraction_bits: i128,
}

#[derive(Debug)]
struct Output {
    name: String,
    value: usize,
    fraction_bits: i128,
    labels: Vec<String>,
}

#[derive(Debug)]
struct Graph {
    inputs: Vec<Input>,
    nodes: Vec<Op>,
    outputs: Vec<Output>,
}

/// A model that passed every rule.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    types: Vec<Type>,
    /// The declared peak of memory, in bytes.
    pub peak_bytes: u64,
    /// The price of each node, and of a run.
    pub gas: (Vec<u64>, u64),
}

impl Model {
    pub fn load(graph: &[u8], weights: &[u8], limits: &Limits) -> Result<Model, Refused> {
        let graph = read::graph(graph, weights, limits)?;
        let types = infer::graph(&graph, limits)?;
        let peak_bytes = memory::peak(&graph, &types);
        rule(
            peak_bytes <= limits.max_peak_bytes,
            "the peak of memory is within the limit",
        )?;
        let gas = gas::run(&graph, &types);
        Ok(Model {
            graph,
            types,
            peak_bytes,
            gas,
        })
    }

    /// Shape and range of the value of each node.
    pub fn nodes(&self) -> Vec<&Type> {
        self.types[self.graph.inputs.len()..].iter().collect()
    }

    /// Shape and range of each output.
    pub fn outputs(&self) -> Vec<&Type> {
        self.graph
            .outputs
            .iter()
            .map(|output| &self.types[output.value])
            .collect()
    }

    /// The names of the operations of all nodes, those of bodies among them.
    pub fn operations(&self) -> Vec<String> {
        fn add(nodes: &[Op], names: &mut Vec<String>) {
            for op in nodes {
                names.push(op.name());
                if let Op::Scan(scan) = op {
                    add(&scan.body, names);
                }
            }
        }
        let mut names = vec![];
        add(&self.graph.nodes, &mut names);
        names
    }

    /// The values of all nodes, and the outputs, for inputs of the declared shapes and ranges.
    pub fn run(&self, inputs: &[Vec<i32>]) -> [Vec<Vec<i32>>; 2] {
        let mut values = vec![];
        for (data, ty) in inputs.iter().zip(&self.types) {
            let data: Vec<i128> = data.iter().map(|x| i128::from(*x)).collect();
            assert_eq!(data.len(), ty.shape.iter().product());
            values.push(Tensor {
                shape: ty.shape.clone(),
                data,
            });
        }
        formulas::run(&self.graph.nodes, &self.types, &mut values);
        let numbers = |value: &Tensor| value.data.iter().map(|y| i32::try_from(*y).unwrap()).collect();
        let outputs = self.graph.outputs.iter().map(|output| numbers(&values[output.value]));
        [
            values[self.graph.inputs.len()..].iter().map(numbers).collect(),
            outputs.collect(),
        ]
    }
}
