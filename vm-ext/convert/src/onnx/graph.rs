//! What a graph is given and gives: inputs, outputs, and where it ends.

use std::collections::BTreeSet;

use prost::Message;

use super::proto::{
    ContainerTypeProto, DataType, Dimension, Extent, GraphProto, ModelProto, NodeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
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
    /// The input of the file that it is an element of, where that is a sequence; elements come in their order.
    pub sequence: Option<String>,
}

/// How an input holds its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holds<'a> {
    /// Whether it may be given or not.
    pub optional: bool,
    /// Whether it is any number of tensors.
    pub sequence: bool,
    /// What each of them is.
    pub tensor: &'a TensorTypeProto,
}

/// How a value of the file holds its tensors; none where it holds others.
pub fn holds(value: &ValueInfoProto) -> Option<Holds<'_>> {
    let outer = value.r#type.as_ref()?;
    let given = held(&outer.optional_type);
    let single = given.unwrap_or(outer);
    let listed = held(&single.sequence_type);
    Some(Holds {
        optional: given.is_some(),
        sequence: listed.is_some(),
        tensor: listed.unwrap_or(single).tensor_type.as_ref()?,
    })
}

fn held(container: &Option<Box<ContainerTypeProto>>) -> Option<&TypeProto> {
    container.as_ref()?.elem_type.as_deref()
}

/// Name of an element of a sequence, as an input or output by itself.
pub fn element(sequence: &str, i: usize) -> String {
    format!("{sequence}.{i}")
}

/// How many elements of a sequence the options give shapes.
fn length(sequence: &str, options: &ImportOptions) -> usize {
    let given = |i: &usize| options.shapes.contains_key(&element(sequence, *i));
    (0..).take_while(given).count()
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

/// The graph's inputs, initialisers left out; one per element of a sequence, none for an optional that is not given.
///
/// Open axes get their extents from the options, and sequences as many elements as those give shapes.
pub fn inputs(graph: &GraphProto, options: &ImportOptions) -> Result<Vec<OnnxInput>> {
    let dense = graph.initializer.iter().map(|t| t.name.as_str());
    let sparse = graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref());
    let stored: BTreeSet<&str> = dense.chain(sparse.map(|t| t.name.as_str())).collect();
    let open = graph.input.iter().filter(|i| !stored.contains(i.name.as_str()));
    let values: Vec<&ValueInfoProto> = open.collect();
    named(&values, options)?;
    let mut inputs = Vec::with_capacity(values.len());
    for value in values {
        read(value, options, &mut inputs)?;
    }
    let mut names = BTreeSet::new();
    match inputs.iter().find(|i| !names.insert(i.name.as_str())) {
        Some(twice) => Err(ConvertError::Input {
            input: twice.name.clone(),
            reason: "two inputs, or elements of sequences, have this name".into(),
            advice: "give the model's inputs other names and export it again".into(),
        }),
        None => Ok(inputs),
    }
}

/// Checks that what the options name exists, and that extents are given.
fn named(values: &[&ValueInfoProto], options: &ImportOptions) -> Result<()> {
    let mut elements = vec![];
    for sequence in values.iter().filter(|v| holds(v).is_some_and(|h| h.sequence)) {
        // Beyond those that have a shape, the one that may be given next.
        elements.extend((0..=length(&sequence.name, options)).map(|i| element(&sequence.name, i)));
    }
    let mut inputs: BTreeSet<&str> = values.iter().map(|v| v.name.as_str()).collect();
    inputs.extend(elements.iter().map(String::as_str));
    let dims = |v: &&ValueInfoProto| holds(v)?.tensor.shape.as_ref().map(|s| s.dim.clone());
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

/// Adds an input of the file, or the elements that it has.
fn read(value: &ValueInfoProto, options: &ImportOptions, inputs: &mut Vec<OnnxInput>) -> Result<()> {
    let name = &value.name;
    let fail = |reason: &str, advice: String| ConvertError::Input {
        input: name.clone(),
        reason: reason.into(),
        advice,
    };
    let Some(holds) = holds(value) else {
        return Err(fail(
            "it is neither a tensor, nor a sequence or optional of tensors",
            "export the model with tensor inputs".into(),
        ));
    };
    let fixed = options.fixed.get(name);
    if !holds.sequence {
        // Nothing is what an optional is fixed to where it is not given.
        if !(holds.optional && fixed.is_some_and(Vec::is_empty)) {
            inputs.push(tensor(name, holds.tensor, options)?);
        }
        return Ok(());
    }
    if options.shapes.contains_key(name) {
        return Err(fail(
            "it is a sequence and has no shape of its own",
            format!("give its elements shapes (--shape {}=EXTENTS, ..)", element(name, 0)),
        ));
    }
    let length = length(name, options);
    match fixed {
        Some(values) if !values.is_empty() || length > 0 => {
            return Err(fail(
                "it is a sequence, which can be fixed to nothing only, and then has no elements",
                format!("fix its elements one by one (--fix {}=VALUES)", element(name, 0)),
            ))
        }
        None if length == 0 => {
            return Err(fail(
                "it is a sequence of any number of tensors",
                format!(
                    "give each a shape (--shape {}=EXTENTS, ..), or none at all (--fix {name}=)",
                    element(name, 0)
                ),
            ))
        }
        _ => {}
    }
    for i in 0..length {
        inputs.push(OnnxInput {
            sequence: Some(name.clone()),
            ..tensor(&element(name, i), holds.tensor, options)?
        });
    }
    Ok(())
}

fn tensor(name: &str, tensor: &TensorTypeProto, options: &ImportOptions) -> Result<OnnxInput> {
    let fail = |reason: String, advice: &str| ConvertError::Input {
        input: name.into(),
        reason,
        advice: advice.into(),
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
    if let Some(shape) = options.shapes.get(name) {
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
            name: name.into(),
            shape: shape.clone(),
            data_type,
            sequence: None,
        });
    }
    let Some(dims) = &tensor.shape else {
        return Err(fail(
            "its shape is unknown".into(),
            &format!("give it one (--shape {name}=EXTENTS), or export the model with a fixed shape"),
        ));
    };
    let mut shape = Vec::new();
    for (axis, dim) in dims.dim.iter().enumerate() {
        match &dim.value {
            Some(Extent::DimValue(n)) if *n > 0 && *n <= i64::from(i32::MAX) => shape.push(*n as usize),
            // Nothing comes in here; what reads it reads a constant.
            Some(Extent::DimValue(0)) if axis > 0 => shape.push(0),
            Some(Extent::DimParam(axis)) if options.extents.contains_key(axis) => {
                shape.push(options.extents.get(axis).copied().unwrap_or(1));
            }
            // Some exporters write an open batch axis as 0 or -1.
            _ if axis == 0 => shape.push(1),
            other => {
                let (extent, advice) = match other {
                    Some(Extent::DimParam(axis)) => (
                        format!("open ({axis})"),
                        format!("give it one (--dim {axis}=EXTENT), or export the model with that axis fixed"),
                    ),
                    Some(Extent::DimValue(n)) => (n.to_string(), "export the model with that axis fixed".into()),
                    None => (
                        "open".into(),
                        format!("give a shape (--shape {name}=EXTENTS), or export the model with that axis fixed"),
                    ),
                };
                return Err(fail(format!("the extent of axis {axis} is {extent}"), &advice));
            }
        }
    }
    Ok(OnnxInput {
        name: name.into(),
        shape,
        data_type,
        sequence: None,
    })
}
