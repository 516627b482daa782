//! Writing.

use alloc::vec::Vec;

use super::{comparison, element, tag, Encoded, ALIGNMENT, FORMAT_VERSION, MAGIC};
use crate::graph::{Array, Comparison, Graph, Op, Rescale, ValueId, Window};

/// The bytes of a graph. What is out of order in it (header keys, say) is written as it is, and refused by [`decode`].
pub fn encode(graph: &Graph) -> Encoded {
    let mut w = Writer {
        graph: Vec::new(),
        weights: Vec::new(),
    };
    w.graph.extend_from_slice(&MAGIC);
    w.unsigned(FORMAT_VERSION.into());
    w.unsigned(graph.op_set.into());
    w.count(graph.header.len());
    for entry in &graph.header {
        w.unsigned(entry.key.into());
        w.flag(entry.critical);
        w.bytes(&entry.value);
    }
    w.count(graph.inputs.len());
    for input in &graph.inputs {
        w.bytes(input.name.as_bytes());
        w.extents(&input.shape);
        w.signed(input.fraction_bits);
        w.signed(input.low);
        w.signed(input.high);
        w.flag(input.saturate);
    }
    w.count(graph.nodes.len());
    for node in &graph.nodes {
        w.node(node);
    }
    w.count(graph.outputs.len());
    for output in &graph.outputs {
        w.bytes(output.name.as_bytes());
        w.unsigned(output.value.into());
        w.signed(output.fraction_bits);
        w.count(output.labels.len());
        for label in &output.labels {
            w.bytes(label.as_bytes());
        }
    }
    Encoded {
        graph: w.graph,
        weights: w.weights,
    }
}

struct Writer {
    graph: Vec<u8>,
    weights: Vec<u8>,
}

impl Writer {
    fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.graph.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.graph.push(value as u8);
    }

    fn signed(&mut self, value: i32) {
        self.unsigned(((value << 1) ^ (value >> 31)) as u32 as u64);
    }

    fn count(&mut self, count: usize) {
        self.unsigned(count as u64);
    }

    fn flag(&mut self, flag: bool) {
        self.graph.push(u8::from(flag));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.graph.extend_from_slice(bytes);
    }

    fn extents(&mut self, values: &[u32]) {
        self.count(values.len());
        for &value in values {
            self.unsigned(value.into());
        }
    }

    /// An array's numbers; its count goes to the graph.
    fn numbers<const SIZE: usize>(&mut self, count: usize, numbers: impl Iterator<Item = [u8; SIZE]>) {
        self.count(count);
        if count > 0 {
            self.weights.resize(self.weights.len().next_multiple_of(ALIGNMENT), 0);
        }
        for number in numbers {
            self.weights.extend_from_slice(&number);
        }
    }

    fn i32s(&mut self, v: &[i32]) {
        self.numbers(v.len(), v.iter().map(|x| x.to_le_bytes()));
    }

    fn i64s(&mut self, v: &[i64]) {
        self.numbers(v.len(), v.iter().map(|x| x.to_le_bytes()));
    }

    fn array(&mut self, array: &Array) {
        match array {
            Array::I8(v) => {
                self.graph.push(element::I8);
                self.numbers(v.len(), v.iter().map(|x| x.to_le_bytes()));
            }
            Array::I16(v) => {
                self.graph.push(element::I16);
                self.numbers(v.len(), v.iter().map(|x| x.to_le_bytes()));
            }
            Array::I32(v) => {
                self.graph.push(element::I32);
                self.i32s(v);
            }
            Array::I64(v) => {
                self.graph.push(element::I64);
                self.i64s(v);
            }
        }
    }

    fn rescale(&mut self, rescale: &Rescale) {
        self.i32s(&rescale.multipliers);
        self.numbers(rescale.shifts.len(), rescale.shifts.iter().map(|x| [*x]));
        self.signed(rescale.low);
        self.signed(rescale.high);
    }

    fn window(&mut self, window: &Window) {
        let parts: [&[u32]; 4] = [&window.kernel, &window.strides, &window.dilations, &window.pads];
        for &value in parts.iter().copied().flatten() {
            self.unsigned(value.into());
        }
    }

    fn operands(&mut self, tag: u64, operands: &[ValueId]) {
        self.unsigned(tag);
        for &operand in operands {
            self.unsigned(operand.into());
        }
    }

    fn ending(&mut self, shift: u8, low: i32, high: i32) {
        self.graph.push(shift);
        self.signed(low);
        self.signed(high);
    }

    fn node(&mut self, op: &Op) {
        match op {
            Op::Constant { shape, data } => {
                self.unsigned(tag::CONSTANT);
                self.extents(shape);
                self.array(data);
            }
            Op::MatMul {
                x,
                weights,
                bias,
                rescale,
            } => {
                self.unsigned(tag::MAT_MUL);
                self.unsigned((*x).into());
                self.array(weights);
                self.i64s(bias);
                self.rescale(rescale);
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
                self.unsigned(tag::CONV_2D);
                self.unsigned((*x).into());
                self.array(weights);
                self.unsigned((*channels).into());
                self.i64s(bias);
                self.window(window);
                self.unsigned((*groups).into());
                self.rescale(rescale);
            }
            Op::Rescale { x, axis, bias, rescale } => {
                self.unsigned(tag::RESCALE);
                self.unsigned((*x).into());
                self.unsigned((*axis).into());
                self.i64s(bias);
                self.rescale(rescale);
            }
            Op::Add {
                a,
                b,
                multipliers,
                shift,
                low,
                high,
            } => {
                self.unsigned(tag::ADD);
                self.unsigned((*a).into());
                self.unsigned((*b).into());
                self.signed(multipliers[0]);
                self.signed(multipliers[1]);
                self.graph.push(*shift);
                self.signed(*low);
                self.signed(*high);
            }
            Op::Mul {
                a,
                b,
                multiplier,
                shift,
                low,
                high,
            } => {
                self.unsigned(tag::MUL);
                self.unsigned((*a).into());
                self.unsigned((*b).into());
                self.signed(*multiplier);
                self.graph.push(*shift);
                self.signed(*low);
                self.signed(*high);
            }
            Op::Clamp { x, low, high } => {
                self.unsigned(tag::CLAMP);
                self.unsigned((*x).into());
                self.signed(*low);
                self.signed(*high);
            }
            Op::Table { x, table } => {
                self.unsigned(tag::TABLE);
                self.unsigned((*x).into());
                self.numbers(table.len(), table.iter().map(|x| x.to_le_bytes()));
            }
            Op::Softmax { x, multiplier, shift } => {
                self.unsigned(tag::SOFTMAX);
                self.unsigned((*x).into());
                self.signed(*multiplier);
                self.graph.push(*shift);
            }
            Op::MaxPool2d { x, window } => {
                self.unsigned(tag::MAX_POOL_2D);
                self.unsigned((*x).into());
                self.window(window);
            }
            Op::AvgPool2d {
                x,
                window,
                count_padding,
            } => {
                self.unsigned(tag::AVG_POOL_2D);
                self.unsigned((*x).into());
                self.window(window);
                self.flag(*count_padding);
            }
            Op::Upsample2d { x, factors } => {
                self.unsigned(tag::UPSAMPLE_2D);
                self.unsigned((*x).into());
                self.unsigned(factors[0].into());
                self.unsigned(factors[1].into());
            }
            Op::Reshape { x, shape } => {
                self.unsigned(tag::RESHAPE);
                self.unsigned((*x).into());
                self.extents(shape);
            }
            Op::Transpose { x, axes } => {
                self.unsigned(tag::TRANSPOSE);
                self.unsigned((*x).into());
                self.extents(axes);
            }
            Op::Concat { xs, axis } => {
                self.unsigned(tag::CONCAT);
                self.extents(xs);
                self.unsigned((*axis).into());
            }
            Op::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => {
                self.unsigned(tag::SLICE);
                for &value in [x, axis, start, step, length] {
                    self.unsigned(value.into());
                }
            }
            Op::ArgMax { x } => {
                self.unsigned(tag::ARG_MAX);
                self.unsigned((*x).into());
            }
            Op::TreeEnsemble { x, trees, rescale } => {
                self.unsigned(tag::TREE_ENSEMBLE);
                self.unsigned((*x).into());
                for list in [
                    &trees.roots,
                    &trees.features,
                    &trees.thresholds,
                    &trees.left,
                    &trees.right,
                    &trees.leaf_starts,
                    &trees.targets,
                    &trees.weights,
                ] {
                    self.i32s(list);
                }
                self.i64s(&trees.base);
                self.rescale(rescale);
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
                self.operands(tag::BATCH_MAT_MUL, &[*a, *b]);
                self.flag(*transposed);
                self.signed(*multiplier);
                self.ending(*shift, *low, *high);
            }
            Op::Min { a, b } => self.operands(tag::MIN, &[*a, *b]),
            Op::Max { a, b } => self.operands(tag::MAX, &[*a, *b]),
            Op::Compare { a, b, kind } => {
                self.operands(tag::COMPARE, &[*a, *b]);
                self.graph.push(match kind {
                    Comparison::Less => comparison::LESS,
                    Comparison::LessEqual => comparison::LESS_EQUAL,
                    Comparison::Equal => comparison::EQUAL,
                });
            }
            Op::Select { condition, a, b } => self.operands(tag::SELECT, &[*condition, *a, *b]),
            Op::Div { a, b, shift, low, high } => {
                self.operands(tag::DIV, &[*a, *b]);
                self.ending(*shift, *low, *high);
            }
            Op::Sqrt { x, shift, low, high } => {
                self.operands(tag::SQRT, &[*x]);
                self.ending(*shift, *low, *high);
            }
            Op::LayerNorm {
                x,
                epsilon,
                center,
                bias,
                rescale,
            } => {
                self.operands(tag::LAYER_NORM, &[*x]);
                self.unsigned(*epsilon);
                self.flag(*center);
                self.i64s(bias);
                self.rescale(rescale);
            }
            Op::ReduceSum {
                x,
                axis,
                multiplier,
                shift,
                low,
                high,
            } => {
                self.operands(tag::REDUCE_SUM, &[*x]);
                self.unsigned((*axis).into());
                self.signed(*multiplier);
                self.ending(*shift, *low, *high);
            }
            Op::ReduceMax { x, axis } => {
                self.operands(tag::REDUCE_MAX, &[*x]);
                self.unsigned((*axis).into());
            }
            Op::Gather { x, indices, axis } => {
                self.operands(tag::GATHER, &[*x, *indices]);
                self.unsigned((*axis).into());
            }
            Op::GatherElements { x, indices } => self.operands(tag::GATHER_ELEMENTS, &[*x, *indices]),
            Op::TopK { x, k } => {
                self.operands(tag::TOP_K, &[*x]);
                self.unsigned((*k).into());
            }
            Op::Pad {
                x,
                before,
                after,
                value,
            } => {
                self.operands(tag::PAD, &[*x]);
                self.extents(before);
                self.extents(after);
                self.signed(*value);
            }
            Op::Broadcast { x, shape } => {
                self.operands(tag::BROADCAST, &[*x]);
                self.extents(shape);
            }
            Op::Scan {
                count,
                states,
                scanned,
                captured,
                body,
                collected,
            } => {
                self.unsigned(tag::SCAN);
                self.unsigned((*count).into());
                self.count(states.len());
                for state in states {
                    self.unsigned(state.initial.into());
                    self.signed(state.low);
                    self.signed(state.high);
                    self.unsigned(state.result.into());
                    self.flag(state.kept);
                }
                self.count(scanned.len());
                for scanned in scanned {
                    self.unsigned(scanned.x.into());
                    self.unsigned(scanned.axis.into());
                    self.flag(scanned.reverse);
                }
                self.extents(captured);
                self.count(body.len());
                for node in body {
                    self.node(node);
                }
                self.extents(collected);
            }
        }
    }
}
