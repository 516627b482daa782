//! What both front ends read off the protobuf: inputs, outputs, attributes, stored tensors.

use std::collections::BTreeSet;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;

use crate::error::{ConvertError, Result};
use crate::net::Declared;

/// An input as declared, with batch 1.
#[derive(Clone, Debug)]
pub struct OnnxInput {
    /// Name.
    pub name: String,
    /// Extents; an open first one is 1.
    pub shape: Vec<usize>,
    /// Element type.
    pub data_type: DataType,
}

impl OnnxInput {
    /// What the type says of the values.
    pub fn declared(&self) -> Declared {
        match self.data_type {
            DataType::Uint8 => Declared::Within(0, 255),
            DataType::Int8 => Declared::Within(-128, 127),
            DataType::Bool => Declared::Within(0, 1),
            DataType::Uint16 => Declared::Within(0, 65535),
            DataType::Int16 => Declared::Within(-32768, 32767),
            DataType::Int32 | DataType::Int64 | DataType::Uint32 | DataType::Uint64 => Declared::Integer,
            _ => Declared::Real,
        }
    }
}

/// Parses the file.
pub fn decode(bytes: &[u8]) -> Result<pb::ModelProto> {
    let parse = |reason: String| ConvertError::Parse { reason };
    let model = pb::ModelProto::decode(bytes).map_err(|e| parse(e.to_string()))?;
    match &model.graph {
        None => Err(parse("it holds no graph".into())),
        Some(g) if g.output.is_empty() => Err(parse("the graph has no outputs".into())),
        Some(_) => Ok(model),
    }
}

/// Makes the named values the outputs, and drops the nodes that no output needs any more. Nothing where none is named.
pub fn end_at(model: &mut pb::ModelProto, names: &[String]) -> Result<()> {
    let Some(graph) = model.graph.as_mut().filter(|_| !names.is_empty()) else {
        return Ok(());
    };
    for name in names {
        if !graph.node.iter().any(|node| node.output.contains(name)) {
            let given = graph.node.iter().rev().flat_map(|node| &node.output);
            let known: Vec<String> = given.take(8).map(|name| format!("{name:?}")).collect();
            return Err(ConvertError::NoSuchValue {
                name: name.clone(),
                known: known.join(", "),
            });
        }
    }
    let mut needed: BTreeSet<String> = names.iter().cloned().collect();
    let mut kept: Vec<pb::NodeProto> = Vec::new();
    // Nodes stand before their readers.
    for node in graph.node.drain(..).rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    let output = |name: &String| pb::ValueInfoProto {
        name: name.clone(),
        ..Default::default()
    };
    graph.output = names.iter().map(output).collect();
    Ok(())
}

/// The graph's inputs, initialisers left out.
pub fn inputs(graph: &pb::GraphProto) -> Result<Vec<OnnxInput>> {
    let stored = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    let values = graph.input.iter().filter(|i| !stored(&i.name));
    values.map(input).collect()
}

fn input(value: &pb::ValueInfoProto) -> Result<OnnxInput> {
    let fail = |reason: String, advice: &str| ConvertError::Input {
        input: value.name.clone(),
        reason,
        advice: advice.into(),
    };
    let Some(pb::type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(fail("it is no tensor".into(), "export the model with tensor inputs"));
    };
    let data_type = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
    if matches!(
        data_type,
        DataType::Undefined | DataType::String | DataType::Complex64 | DataType::Complex128
    ) {
        return Err(fail(
            format!("its elements are {}", data_type.as_str_name()),
            "encode strings as integer codes before the model and export it again",
        ));
    }
    let Some(dims) = &tensor.shape else {
        return Err(fail(
            "its shape is unknown".into(),
            "export the model with a fixed shape",
        ));
    };
    let mut shape = Vec::new();
    for (axis, dim) in dims.dim.iter().enumerate() {
        match &dim.value {
            Some(Dim::DimValue(n)) if *n > 0 && *n <= i64::from(i32::MAX) => shape.push(*n as usize),
            // Some exporters write an open batch axis as 0 or -1.
            _ if axis == 0 => shape.push(1),
            other => {
                let extent = match other {
                    Some(Dim::DimParam(name)) => format!("open ({name})"),
                    Some(Dim::DimValue(n)) => n.to_string(),
                    None => "open".into(),
                };
                return Err(fail(
                    format!("the extent of axis {axis} is {extent}"),
                    "only the first axis (the batch) may be open: export the model with that axis fixed",
                ));
            }
        }
    }
    Ok(OnnxInput {
        name: value.name.clone(),
        shape,
        data_type,
    })
}

/// A named attribute of a node.
pub fn attribute<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a pb::AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// Integers of an attribute; empty if missing.
pub fn ints(node: &pb::NodeProto, name: &str) -> Vec<i64> {
    attribute(node, name).map(|a| a.ints.clone()).unwrap_or_default()
}

/// Floats of an attribute, or of its twin `<name>_as_tensor`; empty if missing.
pub fn floats(node: &pb::NodeProto, name: &str) -> Vec<f64> {
    if let Some(a) = attribute(node, name) {
        return a.floats.iter().map(|f| f64::from(*f)).collect();
    }
    let twin = attribute(node, &format!("{name}_as_tensor"));
    twin.and_then(|a| a.t.as_ref()).and_then(tensor).unwrap_or_default()
}

/// Strings of an attribute; empty if missing.
pub fn strings(node: &pb::NodeProto, name: &str) -> Vec<String> {
    let list = attribute(node, name).map(|a| a.strings.as_slice()).unwrap_or_default();
    list.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

/// One integer of an attribute.
pub fn int(node: &pb::NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|a| a.i)
}

/// One string of an attribute.
pub fn string(node: &pb::NodeProto, name: &str) -> Option<String> {
    attribute(node, name).map(|a| String::from_utf8_lossy(&a.s).into_owned())
}

/// The elements of a stored tensor of numbers; none for other types.
pub fn tensor(t: &pb::TensorProto) -> Option<Vec<f64>> {
    fn raw<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let chunks = bytes.chunks_exact(N);
        chunks.map(|c| f(c.try_into().unwrap_or([0; N]))).collect()
    }
    let bytes = t.raw_data.as_slice();
    let has_raw = !bytes.is_empty();
    Some(match DataType::try_from(t.data_type).ok()? {
        DataType::Float if has_raw => raw(bytes, |b| f64::from(f32::from_le_bytes(b))),
        DataType::Float => t.float_data.iter().map(|f| f64::from(*f)).collect(),
        DataType::Double if has_raw => raw(bytes, f64::from_le_bytes),
        DataType::Double => t.double_data.clone(),
        DataType::Int64 if has_raw => raw(bytes, |b| i64::from_le_bytes(b) as f64),
        DataType::Int64 => t.int64_data.iter().map(|i| *i as f64).collect(),
        DataType::Int32 if has_raw => raw(bytes, |b| f64::from(i32::from_le_bytes(b))),
        DataType::Int32 => t.int32_data.iter().map(|i| f64::from(*i)).collect(),
        _ => return None,
    })
}
