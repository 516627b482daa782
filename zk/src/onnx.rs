//! An exact model as an ONNX file (ir_version 8, opset 13), the same bytes each time.
//!
//! Hidden inputs come as one tensor, since ezkl hashes each tensor by itself: all elements in order, then the salt. They are
//! checked first, as ezkl checks nothing of what it hashes. With the interval `low..=high` of each element x, the
//! sum of all `relu(low - x) + relu(x - high)`, times the least number too large for the circuit's digits, goes through
//! another `Relu`: a sum other than 0 has no digits, so there is no proof. What comes out, 0, is added to
//! every element, so that nothing can be computed without the check.

use aiinference_convert::proto::{
    AttributeProto, AttributeType, DataType, Dimension, Extent, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use prost::Message;

use crate::{
    exact::{Exact, Step, Value},
    hidden::Hidden,
};

/// Version of ONNX's file format.
const IR_VERSION: i64 = 8;
/// Version of its operators.
const OPSET: i64 = 13;
/// The tensor of hidden inputs.
const HIDDEN: &str = "hidden";
/// The power of two of a shift.
const UNIT: &str = "unit";

/// How many `Relu`s check hidden inputs.
pub(crate) fn relus_of_checks(exact: &Exact) -> usize {
    if exact.hidden == Hidden::Inputs {
        3
    } else {
        0
    }
}

/// The file.
pub fn encode(exact: &Exact) -> Vec<u8> {
    Writer {
        exact,
        graph: GraphProto {
            name: "aiinference".into(),
            ..GraphProto::default()
        },
    }
    .model()
    .encode_to_vec()
}

struct Writer<'a> {
    exact: &'a Exact,
    graph: GraphProto,
}

/// Name of a value: models' own names never meet these, nor each other.
fn name(value: usize) -> String {
    format!("v{value}")
}

fn info(name: String, shape: &[u32]) -> ValueInfoProto {
    let dim = |extent: &u32| Dimension {
        value: Some(Extent::DimValue((*extent).into())),
    };
    ValueInfoProto {
        name,
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto {
                    dim: shape.iter().map(dim).collect(),
                }),
            }),
            ..Default::default()
        }),
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: AttributeType::Int as i32,
        ..AttributeProto::default()
    }
}

fn ints(name: &str, ints: &[u32]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: ints.iter().map(|i| i64::from(*i)).collect(),
        r#type: AttributeType::Ints as i32,
        ..AttributeProto::default()
    }
}

impl Writer<'_> {
    fn model(mut self) -> ModelProto {
        match self.exact.hidden {
            Hidden::Inputs => self.checked_inputs(),
            Hidden::Nothing | Hidden::Weights => {
                for (index, value) in self.exact.values[..self.exact.inputs.len()].iter().enumerate() {
                    self.graph.input.push(info(name(index), &value.shape));
                }
            }
        }
        if self.exact.steps.iter().any(|s| matches!(s, Step::Shift { .. })) {
            let unit = (-f64::from(self.exact.base_bits)).exp2() as f32;
            self.stored(UNIT.into(), DataType::Float, vec![], unit.to_le_bytes().to_vec());
        }
        for (index, step) in self.exact.steps.iter().enumerate() {
            self.step(self.exact.inputs.len() + index, step);
        }
        for (_, value) in &self.exact.outputs {
            let info = info(name(*value), &self.exact.values[*value].shape);
            self.graph.output.push(info);
        }
        ModelProto {
            ir_version: IR_VERSION,
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            ..ModelProto::default()
        }
    }

    fn stored(&mut self, name: String, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> String {
        self.graph.initializer.push(TensorProto {
            dims,
            data_type: data_type as i32,
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// Numbers that 32-bit floats hold.
    fn constant(&mut self, value: usize, numbers: &[i128], shape: &[u32]) -> String {
        self.floats(&format!("c{value}"), numbers, shape)
    }

    fn floats(&mut self, name: &str, numbers: &[i128], shape: &[u32]) -> String {
        let raw = numbers.iter().flat_map(|n| (*n as f32).to_le_bytes()).collect();
        let dims = shape.iter().map(|extent| i64::from(*extent)).collect();
        self.stored(name.into(), DataType::Float, dims, raw)
    }

    fn node(&mut self, op: &str, operands: Vec<String>, result: String, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            input: operands,
            name: format!("{op}_{result}"),
            output: vec![result],
            op_type: op.into(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// One input for all, from which the model's are taken once they are checked.
    fn checked_inputs(&mut self) {
        let inputs = self.exact.hidden_inputs();
        let total: u64 = inputs.iter().map(|value| value.elements()).sum();
        let total = total as u32;
        self.graph.input.push(info(HIDDEN.into(), &[1, total + 1]));
        let bounds = |end: fn(&Value) -> i128| -> Vec<i128> {
            let of = |value: &Value| std::iter::repeat_n(end(value), value.elements() as usize);
            inputs.iter().flat_map(of).collect()
        };
        let row = [1, total];
        let lows = self.floats("lows", &bounds(|value| value.low), &row);
        let highs = self.floats("highs", &bounds(|value| -value.high), &row);
        let too_large = 1i128 << (self.exact.base_bits * self.exact.legs);
        let far = self.floats("far", &vec![too_large; total as usize], &[total, 1]);
        self.slice(HIDDEN, 0, total, "given");
        let two = |a: &str, b: &str| vec![a.to_string(), b.to_string()];
        self.node("Sub", two(&lows, "given"), "below".into(), vec![]);
        self.node("Relu", vec!["below".into()], "under".into(), vec![]);
        self.node("Add", two("given", &highs), "above".into(), vec![]);
        self.node("Relu", vec!["above".into()], "over".into(), vec![]);
        self.node("Add", two("under", "over"), "outside".into(), vec![]);
        self.node("MatMul", two("outside", &far), "distance".into(), vec![]);
        self.node("Relu", vec!["distance".into()], "none".into(), vec![]);
        self.node("Add", two("given", "none"), "checked".into(), vec![]);
        let mut from = 0;
        for (index, value) in inputs.iter().enumerate() {
            let to = from + value.elements() as u32;
            let part = format!("part{index}");
            self.slice("checked", from, to, &part);
            self.reshape(part, name(index), &value.shape, format!("shape{index}"));
            from = to;
        }
    }

    /// Columns `from..to` of a row.
    fn slice(&mut self, of: &str, from: u32, to: u32, result: &str) {
        let mut operands = vec![of.to_string()];
        for (what, value) in [("from", from), ("to", to), ("axis", 1)] {
            let raw = i64::from(value).to_le_bytes().to_vec();
            operands.push(self.stored(format!("{result}_{what}"), DataType::Int64, vec![1], raw));
        }
        self.node("Slice", operands, result.into(), vec![]);
    }

    fn reshape(&mut self, x: String, y: String, shape: &[u32], constant: String) {
        let raw = shape.iter().flat_map(|e| i64::from(*e).to_le_bytes()).collect();
        let c = self.stored(constant, DataType::Int64, vec![shape.len() as i64], raw);
        self.node("Reshape", vec![x, c], y, vec![]);
    }

    fn step(&mut self, value: usize, step: &Step) {
        let y = name(value);
        match step {
            Step::MatMul { x, weights, extents } => {
                let c = self.constant(value, weights, extents);
                self.node("MatMul", vec![name(*x), c], y, vec![]);
            }
            Step::Conv {
                x,
                weights,
                extents,
                window,
                groups,
            } => {
                let c = self.constant(value, weights, extents);
                let attributes = vec![
                    ints("dilations", &window.dilations),
                    int("group", (*groups).into()),
                    ints("kernel_shape", &window.kernel),
                    ints("pads", &window.pads),
                    ints("strides", &window.strides),
                ];
                self.node("Conv", vec![name(*x), c], y, attributes);
            }
            Step::AddConstant { x, constant, shape } => {
                let c = self.constant(value, constant, shape);
                self.node("Add", vec![name(*x), c], y, vec![]);
            }
            Step::MulConstant { x, constant, shape } => {
                let c = self.constant(value, constant, shape);
                self.node("Mul", vec![name(*x), c], y, vec![]);
            }
            Step::Add { a, b } => self.node("Add", vec![name(*a), name(*b)], y, vec![]),
            Step::Shift { x } => {
                let part = format!("{y}_part");
                self.node("Mul", vec![name(*x), UNIT.into()], part.clone(), vec![]);
                self.node("Floor", vec![part], y, vec![]);
            }
            Step::Relu { x } => self.node("Relu", vec![name(*x)], y, vec![]),
            Step::Below { x, bound } => {
                let c = self.constant(value, &[*bound], &[1]);
                self.node("Sub", vec![c, name(*x)], y, vec![]);
            }
            Step::Reshape { x } => {
                let shape = &self.exact.values[value].shape;
                self.reshape(name(*x), y, shape, format!("c{value}"));
            }
        }
    }
}
