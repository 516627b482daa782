//! ONNX models built in memory, and data for them.
#![allow(dead_code)]

use aiinference_convert::proto::*;
use aiinference_convert::{Dataset, NamedArray};
use prost::Message;

/// A graph under construction.
pub struct Builder {
    graph: GraphProto,
    opset: i64,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            graph: GraphProto::default(),
            opset: 13,
        }
    }
}

fn value(name: &str, data_type: DataType, shape: &[i64]) -> ValueInfoProto {
    // -1 is the open batch axis.
    let dim = |d: &i64| Dimension {
        value: Some(match d {
            -1 => Extent::DimParam("N".into()),
            n => Extent::DimValue(*n),
        }),
    };
    let tensor = TensorTypeProto {
        elem_type: data_type as i32,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor),
            ..Default::default()
        }),
    }
}

fn container(of: Option<TypeProto>) -> Option<Box<ContainerTypeProto>> {
    Some(Box::new(ContainerTypeProto {
        elem_type: of.map(Box::new),
    }))
}

impl Builder {
    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    pub fn input(mut self, name: &str, shape: &[i64]) -> Self {
        self.graph.input.push(value(name, DataType::Float, shape));
        self
    }

    pub fn typed_input(mut self, name: &str, data_type: DataType, shape: &[i64]) -> Self {
        self.graph.input.push(value(name, data_type, shape));
        self
    }

    /// A sequence of float tensors of this shape.
    pub fn sequence_input(mut self, name: &str, shape: &[i64]) -> Self {
        let mut input = value(name, DataType::Float, shape);
        let sequence_type = container(input.r#type.take());
        input.r#type = Some(TypeProto {
            sequence_type,
            ..Default::default()
        });
        self.graph.input.push(input);
        self
    }

    /// A float tensor of this shape that may be given or not.
    pub fn optional_input(mut self, name: &str, shape: &[i64]) -> Self {
        let mut input = value(name, DataType::Float, shape);
        let optional_type = container(input.r#type.take());
        input.r#type = Some(TypeProto {
            optional_type,
            ..Default::default()
        });
        self.graph.input.push(input);
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(value(name, DataType::Float, &[]));
        // Shape unknown.
        if let Some(t) = self.last_output() {
            t.shape = None;
        }
        self
    }

    pub fn int_output(mut self, name: &str) -> Self {
        self = self.output(name);
        if let Some(t) = self.last_output() {
            t.elem_type = DataType::Int64 as i32;
        }
        self
    }

    fn last_output(&mut self) -> Option<&mut TensorTypeProto> {
        let output = self.graph.output.last_mut()?;
        output.r#type.as_mut()?.tensor_type.as_mut()
    }

    pub fn constant(mut self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.to_vec(),
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    pub fn ints(mut self, name: &str, shape: &[i64], values: &[i64]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.to_vec(),
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> Self {
        self.node_in("", op, inputs, outputs, attributes)
    }

    pub fn node_in(
        mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Self {
        self.graph.node.push(NodeProto {
            name: format!("{op}_{}", self.graph.node.len()),
            op_type: op.into(),
            domain: domain.into(),
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: outputs.iter().map(|s| s.to_string()).collect(),
            attribute,
        });
        self
    }

    /// A stored tensor as it is.
    pub fn stored(mut self, t: TensorProto) -> Self {
        self.graph.initializer.push(t);
        self
    }

    /// The graph by itself: a body.
    pub fn graph(self) -> GraphProto {
        self.graph
    }

    pub fn build(self) -> Vec<u8> {
        self.model().encode_to_vec()
    }

    pub fn model(self) -> ModelProto {
        ModelProto {
            ir_version: 8,
            opset_import: vec![
                OperatorSetIdProto {
                    domain: "".into(),
                    version: self.opset,
                },
                OperatorSetIdProto {
                    domain: "ai.onnx.ml".into(),
                    version: 3,
                },
            ],
            graph: Some(self.graph),
            ..Default::default()
        }
    }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: r#type as i32,
        ..Default::default()
    }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i,
        ..attribute(name, AttributeType::Int)
    }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: ints.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto {
        floats: floats.to_vec(),
        ..attribute(name, AttributeType::Floats)
    }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        s: s.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

pub fn strings(name: &str, list: &[&str]) -> AttributeProto {
    let strings = list.iter().map(|s| s.as_bytes().to_vec()).collect();
    AttributeProto {
        strings,
        ..attribute(name, AttributeType::Strings)
    }
}

pub fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        g: Some(graph),
        ..attribute(name, AttributeType::Graph)
    }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto {
        t: Some(t),
        ..attribute(name, AttributeType::Tensor)
    }
}

/// A tensor of which most elements are zero, by the places of the others in the flattened whole.
pub fn sparse(name: &str, dims: &[i64], values: &[f32], indices: &[i64]) -> SparseTensorProto {
    SparseTensorProto {
        dims: dims.to_vec(),
        values: Some(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        }),
        indices: Some(TensorProto {
            dims: vec![indices.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: indices.to_vec(),
            ..Default::default()
        }),
    }
}

/// Numbers in -1..1 from a fixed sequence.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }

    pub fn take(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * scale).collect()
    }
}

/// `samples` samples of a shape, in `-scale..scale`.
pub fn array(name: &str, samples: usize, shape: &[usize], scale: f32, seed: u64) -> NamedArray {
    let size: usize = shape.iter().product();
    let values = Numbers::new(seed).take(samples * size, scale);
    let mut full = vec![samples];
    full.extend_from_slice(shape);
    NamedArray {
        name: name.into(),
        shape: full,
        values: values.into_iter().map(f64::from).collect(),
    }
}

pub fn data(arrays: Vec<NamedArray>) -> Dataset {
    Dataset { arrays, tabular: false }
}
