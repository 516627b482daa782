//! What a graph is given and gives: inputs, outputs, and where it ends.

use std::collections::BTreeSet;

use prost::Message;

use super::proto::{DataType, Dimension, Extent, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::error::{ConvertError, Result};
use crate::float::ImportOptions;
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
            DataType::Uint4 => Declared::Within(0, 15),
            DataType::Int4 => Declared::Within(-8, 7),
            DataType::Int32 | DataType::Int64 | DataType::Uint32 | DataType::Uint64 => Declared::Integer,
            _ => Declared::Real,
        }
    }
}

/// Parses the file.
pub fn decode(bytes: &[u8]) -> Result<ModelProto> {
    let parse = |reason: String| ConvertError::Parse { reason };
    let model = ModelProto::decode(bytes).map_err(|e| parse(e.to_string()))?;
    match &model.graph {
        None => Err(parse("it holds no graph".into())),
        Some(g) if g.output.is_empty() => Err(parse("the graph has no outputs".into())),
        Some(_) => Ok(model),
    }
}

/// Makes the named values the outputs, and drops the nodes that no output needs any more. Nothing where none is named.
pub fn end_at(model: &mut ModelProto, names: &[String]) -> Result<()> {
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
    let mut kept: Vec<NodeProto> = Vec::new();
    // Nodes stand before their readers.
    for node in graph.node.drain(..).rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            read_by(&node, &mut needed);
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    let output = |name: &String| ValueInfoProto {
        name: name.clone(),
        ..Default::default()
    };
    graph.output = names.iter().map(output).collect();
    Ok(())
}

/// Names that a node reads, and those that its branches and loops read from around them.
fn read_by(node: &NodeProto, names: &mut BTreeSet<String>) {
    names.extend(node.input.iter().cloned());
    for body in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        names.extend(body.output.iter().map(|o| o.name.clone()));
        body.node.iter().for_each(|node| read_by(node, names));
    }
}

/// The graph's inputs, initialisers left out.
///
/// Open axes get their extents from the options.
pub fn inputs(graph: &GraphProto, options: &ImportOptions) -> Result<Vec<OnnxInput>> {
    let dense = graph.initializer.iter().map(|t| t.name.as_str());
    let sparse = graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref());
    let stored: BTreeSet<&str> = dense.chain(sparse.map(|t| t.name.as_str())).collect();
    let open = graph.input.iter().filter(|i| !stored.contains(i.name.as_str()));
    let values: Vec<&ValueInfoProto> = open.collect();
    named(&values, options)?;
    values.into_iter().map(|value| input(value, options)).collect()
}

/// Checks that what the options name exists, and that extents are given.
fn named(values: &[&ValueInfoProto], options: &ImportOptions) -> Result<()> {
    let inputs: BTreeSet<&str> = values.iter().map(|v| v.name.as_str()).collect();
    let dims = |v: &&ValueInfoProto| {
        v.r#type
            .as_ref()?
            .tensor_type
            .as_ref()?
            .shape
            .as_ref()
            .map(|s| s.dim.clone())
    };
    let all: Vec<Dimension> = values.iter().filter_map(dims).flatten().collect();
    let axes: BTreeSet<&str> = all
        .iter()
        .filter_map(|d| match &d.value {
            Some(Extent::DimParam(name)) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut given: Vec<(&str, &str, &BTreeSet<&str>)> = vec![];
    given.extend(options.fixed.keys().map(|name| ("fix", name.as_str(), &inputs)));
    given.extend(options.shapes.keys().map(|name| ("shape", name.as_str(), &inputs)));
    given.extend(options.extents.keys().map(|name| ("dim", name.as_str(), &axes)));
    for (option, name, known) in given {
        if !known.contains(name) {
            let list: Vec<String> = known.iter().take(16).map(|name| format!("{name:?}")).collect();
            return Err(ConvertError::NoSuchName {
                option,
                name: name.into(),
                known: if list.is_empty() {
                    "none".into()
                } else {
                    list.join(", ")
                },
            });
        }
    }
    match options.extents.iter().find(|(_, extent)| **extent == 0) {
        Some((name, _)) => Err(ConvertError::EmptyAxis { name: name.clone() }),
        None => Ok(()),
    }
}

fn input(value: &ValueInfoProto, options: &ImportOptions) -> Result<OnnxInput> {
    let fail = |reason: String, advice: &str| ConvertError::Input {
        input: value.name.clone(),
        reason,
        advice: advice.into(),
    };
    let Some(tensor) = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(fail("it is no tensor".into(), "export the model with tensor inputs"));
    };
    let data_type = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
    if matches!(
        data_type,
        DataType::Undefined | DataType::String | DataType::Complex64 | DataType::Complex128
    ) {
        return Err(fail(
            format!("its elements are {}", data_type.label()),
            "encode strings as integer codes before the model and export it again",
        ));
    }
    if let Some(shape) = options.shapes.get(&value.name) {
        let rank = tensor.shape.as_ref().map_or(shape.len(), |s| s.dim.len());
        if rank != shape.len() {
            return Err(fail(
                format!("the shape {shape:?} is given for {rank} axes"),
                "give one extent per axis",
            ));
        }
        // An extent of 0 is one that the file has.
        let empty = |axis: usize| {
            let dim = tensor.shape.as_ref().and_then(|s| s.dim.get(axis));
            dim.is_some_and(|d| matches!(d.value, Some(Extent::DimValue(0))))
        };
        if let Some(axis) = (0..rank).find(|axis| shape[*axis] == 0 && !empty(*axis)) {
            return Err(fail(
                format!("the extent of axis {axis} is given as 0"),
                "give extents of 1 or more",
            ));
        }
        return Ok(OnnxInput {
            name: value.name.clone(),
            shape: shape.clone(),
            data_type,
        });
    }
    let Some(dims) = &tensor.shape else {
        return Err(fail(
            "its shape is unknown".into(),
            &format!(
                "give it one (--shape {}=EXTENTS), or export the model with a fixed shape",
                value.name
            ),
        ));
    };
    let mut shape = Vec::new();
    for (axis, dim) in dims.dim.iter().enumerate() {
        match &dim.value {
            Some(Extent::DimValue(n)) if *n > 0 && *n <= i64::from(i32::MAX) => shape.push(*n as usize),
            // Nothing comes in here; what reads it reads a constant.
            Some(Extent::DimValue(0)) if axis > 0 => shape.push(0),
            Some(Extent::DimParam(name)) if options.extents.contains_key(name) => {
                shape.push(options.extents.get(name).copied().unwrap_or(1));
            }
            // Some exporters write an open batch axis as 0 or -1.
            _ if axis == 0 => shape.push(1),
            other => {
                let (extent, advice) = match other {
                    Some(Extent::DimParam(name)) => (
                        format!("open ({name})"),
                        format!("give it one (--dim {name}=EXTENT), or export the model with that axis fixed"),
                    ),
                    Some(Extent::DimValue(n)) => (n.to_string(), "export the model with that axis fixed".into()),
                    None => (
                        "open".into(),
                        format!(
                            "give a shape (--shape {}=EXTENTS), or export the model with that axis fixed",
                            value.name
                        ),
                    ),
                };
                return Err(fail(format!("the extent of axis {axis} is {extent}"), &advice));
            }
        }
    }
    Ok(OnnxInput {
        name: value.name.clone(),
        shape,
        data_type,
    })
}
