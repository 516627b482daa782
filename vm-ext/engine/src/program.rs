//! A model that has passed every check and is ready to run.

use alloc::{string::String, vec::Vec};

use crate::cost::{costs, Cost};
use crate::error::LoadError;
use crate::format;
use crate::graph::{Array, Graph, HeaderEntry, Input, Op, ValueId};
use crate::infer::{infer, ConvShape, Storage, Sums, ValueType};
use crate::kernels::pack::{widened, Columns};
use crate::kernels::portable::End;
use crate::limits::Limits;
use crate::ops::conv::Conv;
use crate::ops::elementwise::{Joined, Pair};
use crate::ops::matmul::MatMul;
use crate::ops::trees::Forest;
use crate::ops::Scale;
use crate::plan::{Place, Plan};
use crate::shape::{self, BroadcastPlan, Slide};
use crate::tensor::Tensor;

/// A loaded model. Immutable: any number of threads may run it at once.
#[derive(Clone, Debug)]
pub struct Program {
    op_set: u32,
    header: Vec<HeaderEntry>,
    inputs: Vec<Input>,
    outputs: Vec<OutputInfo>,
    nodes: Vec<NodeInfo>,
    total: Cost,
    parameters: u64,
    resident_bytes: u64,
    pub(crate) values: Vec<ValueType>,
    pub(crate) steps: Vec<Step>,
    pub(crate) constants: Vec<Option<Tensor>>,
    pub(crate) plan: Plan,
}

/// What a model returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputInfo {
    /// Unique among the outputs.
    pub name: String,
    /// Which value it is.
    pub value: ValueId,
    /// Row-major extents.
    pub shape: Vec<u32>,
    /// An integer q stands for `q * 2^-fraction_bits`.
    pub fraction_bits: i32,
    /// No element is less.
    pub low: i32,
    /// No element is larger.
    pub high: i32,
    /// Names of the classes, where the elements are class indices.
    pub labels: Vec<String>,
}

/// A node for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Name of the operation.
    pub op: &'static str,
    /// Shape and range of its value.
    pub value: ValueType,
    /// What it costs.
    pub cost: Cost,
}

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

impl Program {
    /// Reads, checks and prepares a model from its two sections.
    pub fn load(graph: &[u8], weights: &[u8], limits: &Limits) -> Result<Program, LoadError> {
        Program::new(format::decode(graph, weights, limits)?, limits)
    }

    /// Checks and prepares a graph.
    pub fn new(graph: Graph, limits: &Limits) -> Result<Program, LoadError> {
        if graph.op_set > crate::graph::OP_SET {
            return Err(LoadError::OpSet {
                found: graph.op_set,
                known: crate::graph::OP_SET,
            });
        }
        let inferred = infer(&graph, limits)?;
        let costs = costs(&graph, &inferred, limits);
        // Where memory is measured in fewer bits, a model may be too large whatever the limit says.
        if costs.total.peak_bytes > limits.max_peak_bytes.min(isize::MAX as u64) {
            return Err(LoadError::Limit {
                what: "bytes of memory while it runs",
                found: costs.total.peak_bytes,
                limit: limits.max_peak_bytes.min(isize::MAX as u64),
            });
        }
        let parameters = graph.nodes.iter().map(parameters).sum();
        let Graph {
            op_set,
            header,
            inputs,
            nodes: ops,
            outputs,
        } = graph;
        let values = inferred.values;
        let infos = ops.iter().zip(&values[inputs.len()..]).zip(&costs.nodes);
        let nodes = infos.map(|((op, value), cost)| NodeInfo {
            op: op.name(),
            value: value.clone(),
            cost: *cost,
        });
        let nodes = nodes.collect();
        let outputs = outputs
            .into_iter()
            .map(|output| {
                let value = &values[output.value as usize];
                OutputInfo {
                    name: output.name,
                    value: output.value,
                    shape: value.shape.clone(),
                    fraction_bits: output.fraction_bits,
                    low: value.low,
                    high: value.high,
                    labels: output.labels,
                }
            })
            .collect();
        let mut constants = alloc::vec![None; inputs.len()];
        let mut steps = Vec::with_capacity(ops.len());
        for (i, op) in ops.into_iter().enumerate() {
            let out = &values[inputs.len() + i];
            let mut constant = None;
            let step = match op {
                Op::Constant { data, .. } => {
                    constant = Some(stored(data, out.storage()));
                    Step::Nothing
                }
                op => prepare(op, &values, out, inferred.sums[i], limits),
            };
            constants.push(constant);
            steps.push(step);
        }
        let mut program = Program {
            op_set,
            header,
            inputs,
            outputs,
            nodes,
            total: costs.total,
            parameters,
            resident_bytes: 0,
            values,
            steps,
            constants,
            plan: costs.plan,
        };
        program.resident_bytes = program.measure();
        Ok(program)
    }

    /// Version of the operations' semantics that the model was made for.
    pub fn op_set(&self) -> u32 {
        self.op_set
    }

    /// Facts beside the computation.
    pub fn header(&self) -> &[HeaderEntry] {
        &self.header
    }

    /// What a run takes, in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What a run returns, in order.
    pub fn outputs(&self) -> &[OutputInfo] {
        &self.outputs
    }

    /// The nodes, in the order in which they run.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// Stored numbers: weights, biases, tables, trees.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Gas of one run, the same whatever the inputs.
    pub fn run_gas(&self) -> u64 {
        self.total.gas
    }

    /// Products in one run.
    pub fn macs(&self) -> u64 {
        self.total.macs
    }

    /// Bytes that a run takes: the arena that its tensors share, scratch space and the results, which is what a
    /// [`crate::Workspace`] holds after it. The caller's inputs are not counted.
    pub fn peak_bytes(&self) -> u64 {
        self.total.peak_bytes
    }

    /// Bytes that the loaded model holds (allocators' overhead not counted).
    pub fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    fn measure(&self) -> u64 {
        let names = |labels: &[String]| labels.iter().map(|l| l.len() + size_of::<String>()).sum::<usize>();
        let mut bytes = size_of::<Program>();
        bytes += self
            .header
            .iter()
            .map(|h| size_of::<HeaderEntry>() + h.value.len())
            .sum::<usize>();
        bytes += self
            .inputs
            .iter()
            .map(|i| size_of::<Input>() + i.name.len() + 4 * i.shape.len())
            .sum::<usize>();
        for output in &self.outputs {
            bytes += size_of::<OutputInfo>() + output.name.len() + 4 * output.shape.len() + names(&output.labels);
        }
        // Each value is described twice: for the run and for people.
        for value in &self.values {
            bytes += 2 * (size_of::<ValueType>() + 4 * value.shape.len()) + size_of::<Option<Tensor>>();
            bytes += size_of::<Place>();
        }
        bytes += self.nodes.len() * (size_of::<Cost>() + size_of::<&str>());
        bytes += self.steps.iter().map(|s| size_of::<Step>() + s.bytes()).sum::<usize>();
        for constant in self.constants.iter().flatten() {
            bytes += match constant {
                Tensor::I16(v) => 2 * v.len(),
                Tensor::I32(v) => 4 * v.len(),
            };
        }
        bytes as u64
    }
}

impl Step {
    /// Bytes held beside the step itself.
    fn bytes(&self) -> usize {
        match self {
            Step::MatMul { product, .. } => product.weights.bytes() + product.scale.bytes(),
            Step::Conv { conv, .. } => 2 * conv.weights.len() + conv.scale.bytes(),
            Step::Rescale { scale, .. } => scale.bytes(),
            Step::Join { joined, .. } => joined.plan.loops.len() * size_of::<[usize; 3]>(),
            Step::Table { table, .. } => 2 * table.len(),
            Step::Transpose { plan, .. } => plan.len() * size_of::<[usize; 2]>(),
            Step::Concat { xs, .. } => 4 * xs.len(),
            Step::Trees { forest, .. } => forest.bytes(),
            _ => 0,
        }
    }
}

/// Stored numbers of a node.
fn parameters(op: &Op) -> u64 {
    let count = match op {
        Op::Constant { data, .. } => data.len(),
        Op::MatMul { weights, bias, .. } | Op::Conv2d { weights, bias, .. } => weights.len() + bias.len(),
        Op::Rescale { bias, .. } => bias.len(),
        Op::Table { table, .. } => table.len(),
        Op::TreeEnsemble { trees, .. } => trees.thresholds.len() + trees.weights.len() + trees.base.len(),
        _ => 0,
    };
    count as u64
}

/// A constant in the storage of its range.
fn stored(data: Array, storage: Storage) -> Tensor {
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
fn prepare(op: Op, values: &[ValueType], out: &ValueType, sums: Sums, limits: &Limits) -> Step {
    // Inference has seen every operand.
    let value = |id: ValueId| &values[id as usize];
    let slide = |x: ValueId, window: &crate::graph::Window| match value(x).shape.as_slice() {
        [_, _, height, width] => Slide::new(*height, *width, window).ok(),
        _ => None,
    };
    // Inference has built the same slides and shapes, so the `Nothing`s below are never taken.
    match op {
        Op::Constant { .. } | Op::Reshape { .. } => Step::Nothing,
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
                product: MatMul {
                    weights: Columns::new(&weights, k),
                    k,
                    scale,
                    sums,
                },
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
            shape.map_or(Step::Nothing, |shape| Step::Conv {
                x,
                conv: Conv {
                    shape,
                    weights: widened(weights),
                    scale,
                    sums,
                },
            })
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
        Op::Add {
            a,
            b,
            multipliers,
            shift,
            low,
            high,
        } => {
            let plan = BroadcastPlan::new(&value(a).shape, &value(b).shape, &out.shape);
            Step::Join {
                a,
                b,
                joined: Joined {
                    pair: Pair::Add { multipliers },
                    end: End { shift, low, high },
                    plan,
                },
            }
        }
        Op::Mul {
            a,
            b,
            multiplier,
            shift,
            low,
            high,
        } => {
            let plan = BroadcastPlan::new(&value(a).shape, &value(b).shape, &out.shape);
            Step::Join {
                a,
                b,
                joined: Joined {
                    pair: Pair::Mul { multiplier },
                    end: End { shift, low, high },
                    plan,
                },
            }
        }
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
