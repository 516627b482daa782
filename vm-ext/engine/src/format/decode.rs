//! Reading.

use alloc::vec::Vec;

use super::reader::{limit, Reader};
use super::{comparison, tag, FORMAT_VERSION, MAGIC};
use crate::error::{FormatProblem, LoadError, WeightsProblem};
use crate::graph::{
    header_key, Comparison, Graph, HeaderEntry, Input, Op, Output, Rescale, Scanned, State, Trees, Window, OP_SET,
};
use crate::limits::Limits;

/// The graph of a model's bytes. Checks the layout and the limits on counts; what the numbers mean together is checked
/// by [`crate::infer`].
pub fn decode(graph: &[u8], weights: &[u8], limits: &Limits) -> Result<Graph, LoadError> {
    let mut r = Reader {
        graph,
        at: 0,
        weights,
        weights_at: 0,
        all_nodes: 0,
        inside: false,
    };
    if r.take(MAGIC.len())? != MAGIC {
        return Err(LoadError::Format {
            offset: 0,
            problem: FormatProblem::Magic,
        });
    }
    let version = r.unsigned()?;
    if version != u64::from(FORMAT_VERSION) {
        return Err(LoadError::FormatVersion {
            found: version,
            known: FORMAT_VERSION,
        });
    }
    let op_set = r.u32()?;
    if op_set > OP_SET {
        return Err(LoadError::OpSet {
            found: op_set,
            known: OP_SET,
        });
    }
    let header = r.header(limits)?;

    let count = r.count(MIN_PORT_BYTES)?;
    limit("inputs", count, limits.max_ports)?;
    let mut inputs = Vec::with_capacity(count);
    for _ in 0..count {
        inputs.push(Input {
            name: r.text(limits.max_name_bytes)?,
            shape: r.extents(limits.max_rank)?,
            fraction_bits: r.signed()?,
            low: r.signed()?,
            high: r.signed()?,
            saturate: r.flag()?,
        });
    }

    let nodes = r.nodes(limits)?;

    let count = r.count(MIN_PORT_BYTES)?;
    limit("outputs", count, limits.max_ports)?;
    let mut outputs = Vec::with_capacity(count);
    let mut all_labels = 0usize;
    for _ in 0..count {
        let name = r.text(limits.max_name_bytes)?;
        let value = r.u32()?;
        let fraction_bits = r.signed()?;
        let count = r.count(1)?;
        all_labels = all_labels.saturating_add(count);
        limit("labels", all_labels, limits.max_labels)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            labels.push(r.text(limits.max_name_bytes)?);
        }
        outputs.push(Output {
            name,
            value,
            fraction_bits,
            labels,
        });
    }
    if r.at != graph.len() {
        return Err(r.bad(FormatProblem::Trailing));
    }
    if r.weights_at != weights.len() {
        return Err(r.bad_weights(WeightsProblem::Trailing));
    }
    Ok(Graph {
        op_set,
        header,
        inputs,
        nodes,
        outputs,
    })
}

/// An input or output takes at least this many bytes.
const MIN_PORT_BYTES: usize = 4;
/// A node takes at least this many bytes: its tag and an operand.
const MIN_NODE_BYTES: usize = 2;

impl Reader<'_> {
    fn header(&mut self, limits: &Limits) -> Result<Vec<HeaderEntry>, LoadError> {
        let count = self.count(3)?;
        limit("header entries", count, limits.max_header_entries)?;
        let mut header: Vec<HeaderEntry> = Vec::with_capacity(count);
        let mut all_bytes = 0usize;
        for _ in 0..count {
            let key = self.u32()?;
            if header.last().is_some_and(|last| last.key >= key) {
                return Err(self.bad(FormatProblem::HeaderOrder));
            }
            let critical = self.flag()?;
            if critical && !matches!(key, header_key::SOURCE_HASH | header_key::PRODUCER) {
                return Err(LoadError::UnknownCriticalHeader { key });
            }
            let length = self.count(1)?;
            all_bytes = all_bytes.saturating_add(length);
            limit("header bytes", all_bytes, limits.max_header_bytes)?;
            header.push(HeaderEntry {
                key,
                critical,
                value: self.take(length)?.to_vec(),
            });
        }
        Ok(header)
    }

    fn rescale(&mut self) -> Result<Rescale, LoadError> {
        Ok(Rescale {
            multipliers: self.i32s()?,
            shifts: self.numbers(1)?.to_vec(),
            low: self.signed()?,
            high: self.signed()?,
        })
    }

    fn comparison(&mut self) -> Result<Comparison, LoadError> {
        match self.byte()? {
            comparison::LESS => Ok(Comparison::Less),
            comparison::LESS_EQUAL => Ok(Comparison::LessEqual),
            comparison::EQUAL => Ok(Comparison::Equal),
            _ => Err(self.bad(FormatProblem::Tag)),
        }
    }

    fn window(&mut self) -> Result<Window, LoadError> {
        let mut v = [0u32; 10];
        for value in &mut v {
            *value = self.u32()?;
        }
        Ok(Window {
            kernel: [v[0], v[1]],
            strides: [v[2], v[3]],
            dilations: [v[4], v[5]],
            pads: [v[6], v[7], v[8], v[9]],
        })
    }

    fn nodes(&mut self, limits: &Limits) -> Result<Vec<Op>, LoadError> {
        let count = self.count(MIN_NODE_BYTES)?;
        self.all_nodes = self.all_nodes.saturating_add(count);
        limit("nodes", self.all_nodes, limits.max_nodes)?;
        let mut nodes = Vec::with_capacity(count);
        for node in 0..count {
            nodes.push(self.node(node as u32, limits)?);
        }
        Ok(nodes)
    }

    fn body(&mut self, limits: &Limits) -> Result<Vec<Op>, LoadError> {
        // One level, so that reading does not go deeper than the stack.
        if self.inside {
            return Err(self.bad(FormatProblem::Nested));
        }
        self.inside = true;
        let body = self.nodes(limits)?;
        self.inside = false;
        Ok(body)
    }

    /// A list of value numbers.
    fn values(&mut self) -> Result<Vec<u32>, LoadError> {
        let count = self.count(1)?;
        self.u32s(count)
    }

    fn states(&mut self) -> Result<Vec<State>, LoadError> {
        let count = self.count(5)?;
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            states.push(State {
                initial: self.u32()?,
                low: self.signed()?,
                high: self.signed()?,
                result: self.u32()?,
                kept: self.flag()?,
            });
        }
        Ok(states)
    }

    fn scanned(&mut self) -> Result<Vec<Scanned>, LoadError> {
        let count = self.count(3)?;
        let mut scanned = Vec::with_capacity(count);
        for _ in 0..count {
            scanned.push(Scanned {
                x: self.u32()?,
                axis: self.u32()?,
                reverse: self.flag()?,
            });
        }
        Ok(scanned)
    }

    fn node(&mut self, node: u32, limits: &Limits) -> Result<Op, LoadError> {
        let tag = self.unsigned()?;
        Ok(match tag {
            tag::CONSTANT => Op::Constant {
                shape: self.extents(limits.max_rank)?,
                data: self.array()?,
            },
            tag::MAT_MUL => Op::MatMul {
                x: self.u32()?,
                weights: self.array()?,
                bias: self.i64s()?,
                rescale: self.rescale()?,
            },
            tag::CONV_2D => Op::Conv2d {
                x: self.u32()?,
                weights: self.array()?,
                channels: self.u32()?,
                bias: self.i64s()?,
                window: self.window()?,
                groups: self.u32()?,
                rescale: self.rescale()?,
            },
            tag::RESCALE => Op::Rescale {
                x: self.u32()?,
                axis: self.u32()?,
                bias: self.i64s()?,
                rescale: self.rescale()?,
            },
            tag::ADD => Op::Add {
                a: self.u32()?,
                b: self.u32()?,
                multipliers: [self.signed()?, self.signed()?],
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::MUL => Op::Mul {
                a: self.u32()?,
                b: self.u32()?,
                multiplier: self.signed()?,
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::CLAMP => Op::Clamp {
                x: self.u32()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::TABLE => Op::Table {
                x: self.u32()?,
                table: self.i16s()?,
            },
            tag::SOFTMAX => Op::Softmax {
                x: self.u32()?,
                multiplier: self.signed()?,
                shift: self.byte()?,
            },
            tag::MAX_POOL_2D => Op::MaxPool2d {
                x: self.u32()?,
                window: self.window()?,
            },
            tag::AVG_POOL_2D => Op::AvgPool2d {
                x: self.u32()?,
                window: self.window()?,
                count_padding: self.flag()?,
            },
            tag::UPSAMPLE_2D => Op::Upsample2d {
                x: self.u32()?,
                factors: [self.u32()?, self.u32()?],
            },
            tag::RESHAPE => Op::Reshape {
                x: self.u32()?,
                shape: self.extents(limits.max_rank)?,
            },
            tag::TRANSPOSE => Op::Transpose {
                x: self.u32()?,
                axes: self.extents(limits.max_rank)?,
            },
            tag::CONCAT => {
                let count = self.count(1)?;
                limit("operands of a node", count, limits.max_nodes)?;
                Op::Concat {
                    xs: self.u32s(count)?,
                    axis: self.u32()?,
                }
            }
            tag::SLICE => Op::Slice {
                x: self.u32()?,
                axis: self.u32()?,
                start: self.u32()?,
                step: self.u32()?,
                length: self.u32()?,
            },
            tag::ARG_MAX => Op::ArgMax { x: self.u32()? },
            tag::TREE_ENSEMBLE => Op::TreeEnsemble {
                x: self.u32()?,
                trees: Trees {
                    roots: self.i32s()?,
                    features: self.i32s()?,
                    thresholds: self.i32s()?,
                    left: self.i32s()?,
                    right: self.i32s()?,
                    leaf_starts: self.i32s()?,
                    targets: self.i32s()?,
                    weights: self.i32s()?,
                    base: self.i64s()?,
                },
                rescale: self.rescale()?,
            },
            tag::BATCH_MAT_MUL => Op::BatchMatMul {
                a: self.u32()?,
                b: self.u32()?,
                transposed: self.flag()?,
                multiplier: self.signed()?,
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::MIN => Op::Min {
                a: self.u32()?,
                b: self.u32()?,
            },
            tag::MAX => Op::Max {
                a: self.u32()?,
                b: self.u32()?,
            },
            tag::COMPARE => Op::Compare {
                a: self.u32()?,
                b: self.u32()?,
                kind: self.comparison()?,
            },
            tag::SELECT => Op::Select {
                condition: self.u32()?,
                a: self.u32()?,
                b: self.u32()?,
            },
            tag::DIV => Op::Div {
                a: self.u32()?,
                b: self.u32()?,
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::SQRT => Op::Sqrt {
                x: self.u32()?,
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::LAYER_NORM => Op::LayerNorm {
                x: self.u32()?,
                epsilon: self.unsigned()?,
                center: self.flag()?,
                bias: self.i64s()?,
                rescale: self.rescale()?,
            },
            tag::REDUCE_SUM => Op::ReduceSum {
                x: self.u32()?,
                axis: self.u32()?,
                multiplier: self.signed()?,
                shift: self.byte()?,
                low: self.signed()?,
                high: self.signed()?,
            },
            tag::REDUCE_MAX => Op::ReduceMax {
                x: self.u32()?,
                axis: self.u32()?,
            },
            tag::GATHER => Op::Gather {
                x: self.u32()?,
                indices: self.u32()?,
                axis: self.u32()?,
            },
            tag::GATHER_ELEMENTS => Op::GatherElements {
                x: self.u32()?,
                indices: self.u32()?,
            },
            tag::TOP_K => Op::TopK {
                x: self.u32()?,
                k: self.u32()?,
            },
            tag::PAD => Op::Pad {
                x: self.u32()?,
                before: self.extents(limits.max_rank)?,
                after: self.extents(limits.max_rank)?,
                value: self.signed()?,
            },
            tag::BROADCAST => Op::Broadcast {
                x: self.u32()?,
                shape: self.extents(limits.max_rank)?,
            },
            tag::SCAN => {
                let count = self.u32()?;
                let (states, scanned, captured) = (self.states()?, self.scanned()?, self.values()?);
                let given = states.len() + scanned.len() + captured.len();
                limit("operands of a node", given, limits.max_nodes)?;
                let (body, collected) = (self.body(limits)?, self.values()?);
                limit("collected values of a node", collected.len(), limits.max_nodes)?;
                Op::Scan {
                    count,
                    states,
                    scanned,
                    captured,
                    body,
                    collected,
                }
            }
            tag => return Err(LoadError::UnknownOp { node, tag }),
        })
    }
}
