//! Reading.

use alloc::{string::String, vec::Vec};

use super::{comparison, element, tag, ALIGNMENT, FORMAT_VERSION, MAGIC};
use crate::error::{FormatProblem, LoadError, WeightsProblem};
use crate::graph::{
    header_key, Array, Comparison, Graph, HeaderEntry, Input, Op, Output, Rescale, Scanned, State, Trees, Window,
    OP_SET,
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

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), LoadError> {
    if found > limit {
        return Err(LoadError::Limit {
            what,
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

struct Reader<'a> {
    graph: &'a [u8],
    at: usize,
    weights: &'a [u8],
    weights_at: usize,
    /// Nodes so far, those of bodies among them.
    all_nodes: usize,
    /// Whether the nodes being read are a body.
    inside: bool,
}

impl<'a> Reader<'a> {
    fn bad(&self, problem: FormatProblem) -> LoadError {
        LoadError::Format {
            offset: self.at as u64,
            problem,
        }
    }

    fn bad_weights(&self, problem: WeightsProblem) -> LoadError {
        LoadError::Weights {
            offset: self.weights_at as u64,
            problem,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.graph.len());
        let bytes = end
            .and_then(|end| self.graph.get(self.at..end))
            .ok_or(self.bad(FormatProblem::Truncated))?;
        self.at += count;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, LoadError> {
        let byte = self
            .graph
            .get(self.at)
            .copied()
            .ok_or(self.bad(FormatProblem::Truncated))?;
        self.at += 1;
        Ok(byte)
    }

    /// LEB128, shortest form only.
    fn unsigned(&mut self) -> Result<u64, LoadError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let last = byte & 0x80 == 0;
            if (shift == 63 && bits > 1) || (last && byte == 0 && shift > 0) {
                return Err(self.bad(FormatProblem::Number));
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(self.bad(FormatProblem::Number))
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        let value = self.unsigned()?;
        u32::try_from(value).map_err(|_| self.bad(FormatProblem::Number))
    }

    /// Zigzag.
    fn signed(&mut self) -> Result<i32, LoadError> {
        let value = self.u32()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    fn flag(&mut self) -> Result<bool, LoadError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(FormatProblem::Tag)),
        }
    }

    /// A count of things of at least `min_bytes` each, which must fit what remains of the graph.
    fn count(&mut self, min_bytes: usize) -> Result<usize, LoadError> {
        let count = self.unsigned()?;
        let room = (self.graph.len() - self.at) / min_bytes;
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= room)
            .ok_or(self.bad(FormatProblem::Count))
    }

    fn text(&mut self, max: usize) -> Result<String, LoadError> {
        let count = self.count(1)?;
        limit("bytes of a name", count, max)?;
        let bytes = self.take(count)?;
        core::str::from_utf8(bytes)
            .map(String::from)
            .map_err(|_| self.bad(FormatProblem::Text))
    }

    fn extents(&mut self, max: usize) -> Result<Vec<u32>, LoadError> {
        let count = self.count(1)?;
        limit("axes of a tensor", count, max)?;
        self.u32s(count)
    }

    fn u32s(&mut self, count: usize) -> Result<Vec<u32>, LoadError> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.u32()?);
        }
        Ok(values)
    }

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

    /// The next array's bytes in the weights section; its count stands in the graph.
    fn numbers(&mut self, size: usize) -> Result<&'a [u8], LoadError> {
        let count = self.unsigned()?;
        if count == 0 {
            return Ok(&[]);
        }
        let start = self.weights_at.next_multiple_of(ALIGNMENT);
        let room = self.weights.len().saturating_sub(start);
        let bytes = usize::try_from(count)
            .ok()
            .and_then(|n| n.checked_mul(size))
            .filter(|n| *n <= room);
        let bytes = bytes.ok_or(self.bad_weights(WeightsProblem::Truncated))?;
        // start <= weights.len() because bytes > 0 fit in the room after it.
        if self.weights[self.weights_at..start].iter().any(|b| *b != 0) {
            return Err(self.bad_weights(WeightsProblem::Padding));
        }
        self.weights_at = start + bytes;
        Ok(&self.weights[start..start + bytes])
    }

    fn i8s(&mut self) -> Result<Vec<i8>, LoadError> {
        Ok(self.numbers(1)?.iter().map(|b| *b as i8).collect())
    }

    fn i16s(&mut self) -> Result<Vec<i16>, LoadError> {
        Ok(chunks(self.numbers(2)?).map(i16::from_le_bytes).collect())
    }

    fn i32s(&mut self) -> Result<Vec<i32>, LoadError> {
        Ok(chunks(self.numbers(4)?).map(i32::from_le_bytes).collect())
    }

    fn i64s(&mut self) -> Result<Vec<i64>, LoadError> {
        Ok(chunks(self.numbers(8)?).map(i64::from_le_bytes).collect())
    }

    fn array(&mut self) -> Result<Array, LoadError> {
        match self.byte()? {
            element::I8 => self.i8s().map(Array::I8),
            element::I16 => self.i16s().map(Array::I16),
            element::I32 => self.i32s().map(Array::I32),
            element::I64 => self.i64s().map(Array::I64),
            _ => Err(self.bad(FormatProblem::Tag)),
        }
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
            tag::SCAN => Op::Scan {
                count: self.u32()?,
                states: self.states()?,
                scanned: self.scanned()?,
                captured: self.values()?,
                body: self.body(limits)?,
                collected: self.values()?,
            },
            tag => return Err(LoadError::UnknownOp { node, tag }),
        })
    }
}

/// Whole chunks of a slice whose length is a multiple of N.
fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(|chunk| {
        let mut array = [0; N];
        array.copy_from_slice(chunk);
        array
    })
}
