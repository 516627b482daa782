//! A model that has passed every check and is ready to run.

use alloc::{string::String, vec::Vec};

use crate::block::Block;
use crate::cost::{costs, Cost};
use crate::error::LoadError;
use crate::format;
use crate::graph::{Graph, HeaderEntry, Input, Op, ValueId};
use crate::infer::{infer, ValueType};
use crate::limits::Limits;

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
    pub(crate) block: Block,
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
        let values = &inferred.values;
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
        let mut program = Program {
            op_set,
            header,
            inputs,
            outputs,
            nodes,
            total: costs.total,
            parameters,
            resident_bytes: 0,
            block: Block::new(ops, inferred, costs.plan, costs.bodies, limits),
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
    /// [`crate::Workspace`] holds after it, in whole words. The caller's inputs are not counted.
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
        for node in &self.nodes {
            bytes += size_of::<NodeInfo>() + 4 * node.value.shape.len();
        }
        bytes += self.block.bytes();
        bytes as u64
    }
}

/// Stored numbers of a node.
fn parameters(op: &Op) -> u64 {
    let count = match op {
        Op::Constant { data, .. } => data.len(),
        Op::MatMul { weights, bias, .. } | Op::Conv2d { weights, bias, .. } => weights.len() + bias.len(),
        Op::Rescale { bias, .. } | Op::LayerNorm { bias, .. } => bias.len(),
        Op::Table { table, .. } => table.len(),
        Op::TreeEnsemble { trees, .. } => trees.thresholds.len() + trees.weights.len() + trees.base.len(),
        Op::Scan { body, .. } => return body.iter().map(parameters).sum(),
        _ => 0,
    };
    count as u64
}
