//! One node as its translator sees it: operands, attributes, and how to say that something does not work.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::proto::{AttributeProto, DataType, GraphProto, NodeProto};
use super::tensor;
use crate::error::ConvertError;
use crate::net::Id;

/// A numeric value: where it is in the net, and what ONNX calls its elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// In the net.
    pub id: Id,
    /// Element type.
    pub data_type: DataType,
}

/// Whatever a name stands for.
#[derive(Clone, Debug)]
pub enum Value {
    /// Numbers.
    Tensor(Tensor),
    /// Stored strings.
    Text(Rc<Text>),
    /// A list; how long it is is known while converting.
    Sequence(Rc<Vec<Value>>),
    /// An optional that holds nothing.
    Nothing,
}

/// Strings and their shape.
#[derive(Clone, Debug)]
pub struct Text {
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements.
    pub strings: Vec<String>,
}

/// Why a node was not translated; the importer adds which one.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be.
    Unsupported {
        /// What about it.
        reason: String,
        /// The nearest thing that works.
        advice: String,
    },
    /// A value must be known while converting and is computed from inputs.
    Unknown {
        /// Which.
        value: Id,
        /// What it decides.
        what: String,
    },
    /// Found in a node of a body, and complete.
    Error(Box<ConvertError>),
}

/// What a translator returns.
pub type Outcome<T> = Result<T, Fault>;

/// It cannot be translated.
pub fn no<T>(reason: impl Into<String>, advice: impl Into<String>) -> Outcome<T> {
    Err(Fault::Unsupported {
        reason: reason.into(),
        advice: advice.into(),
    })
}

/// It is not as the ONNX specification says.
pub fn malformed<T>(reason: impl Into<String>) -> Outcome<T> {
    no(
        reason,
        "check the model with onnx.checker.check_model and export it again",
    )
}

/// The product of extents of something that is about to be made, if that is not too large.
pub fn room(extents: &[usize]) -> Outcome<usize> {
    match tensor::count(extents) {
        Some(n) => Ok(n),
        None => no(
            format!("it needs more than {} elements", tensor::MAX_ELEMENTS),
            "make the model or its inputs smaller",
        ),
    }
}

/// A node with its operands looked up.
pub struct Op<'a> {
    /// As in the file.
    pub node: &'a NodeProto,
    /// Operands; none where one is left out.
    pub inputs: Vec<Option<Value>>,
    /// Version of the operator set in force.
    pub opset: i64,
    /// Attributes of the function that the node stands in.
    pub outer: Rc<BTreeMap<&'a str, &'a AttributeProto>>,
}

impl<'a> Op<'a> {
    /// Operator.
    pub fn kind(&self) -> &'a str {
        &self.node.op_type
    }

    /// Whether an output is asked for.
    pub fn wants(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|o| !o.is_empty())
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.resolved(self.node.attribute.iter().find(|a| a.name == name)?)
    }

    /// What an attribute of the node stands for: itself, or one of the function that the node stands in.
    pub fn resolved(&self, own: &'a AttributeProto) -> Option<&'a AttributeProto> {
        if own.ref_attr_name.is_empty() {
            Some(own)
        } else {
            self.outer.get(own.ref_attr_name.as_str()).copied()
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|a| a.i)
    }

    /// A flag.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name).map_or(default, |i| i != 0)
    }

    /// A float attribute.
    pub fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |a| f64::from(a.f))
    }

    /// Integers of an attribute; none if it is missing.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|a| a.ints.clone())
    }

    /// Floats of an attribute, or of its twin `<name>_as_tensor`; empty if missing.
    pub fn floats(&self, name: &str) -> Vec<f64> {
        if let Some(a) = self.attribute(name) {
            return a.floats.iter().map(|f| f64::from(*f)).collect();
        }
        let twin = self.attribute(&format!("{name}_as_tensor"));
        let tensor = twin.and_then(|a| a.t.as_ref());
        tensor
            .and_then(|t| tensor::decode(t).ok())
            .map(|t| t.1)
            .unwrap_or_default()
    }

    /// Elements of a tensor attribute; empty if missing.
    pub fn tensor_attribute(&self, name: &str) -> Vec<f64> {
        let tensor = self.attribute(name).and_then(|a| a.t.as_ref());
        tensor
            .and_then(|t| tensor::decode(t).ok())
            .map(|t| t.1)
            .unwrap_or_default()
    }

    /// A string attribute; empty if missing.
    pub fn text(&self, name: &str) -> String {
        let text = self.attribute(name).map(|a| String::from_utf8_lossy(&a.s).into_owned());
        text.unwrap_or_default()
    }

    /// Strings of an attribute; empty if missing.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.attribute(name).map(|a| a.strings.as_slice()).unwrap_or_default();
        list.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
    }

    /// A body.
    pub fn graph(&self, name: &str) -> Outcome<&'a GraphProto> {
        match self.attribute(name).and_then(|a| a.g.as_ref()) {
            Some(g) => Ok(g),
            None => malformed(format!("its attribute {name} is missing")),
        }
    }

    /// An operand, unless it is left out.
    pub fn maybe(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// A numeric operand, unless it is left out.
    pub fn optional(&self, i: usize) -> Outcome<Option<Tensor>> {
        match self.maybe(i) {
            None => Ok(None),
            Some(_) => self.tensor(i).map(Some),
        }
    }

    /// A numeric operand.
    pub fn tensor(&self, i: usize) -> Outcome<Tensor> {
        match self.maybe(i) {
            Some(Value::Tensor(t)) => Ok(*t),
            Some(Value::Text(_)) => no(
                format!("its operand {i} holds strings"),
                "encode strings as integer codes before the model and export it again",
            ),
            Some(Value::Sequence(_)) => no(format!("its operand {i} is a sequence"), "use tensors"),
            Some(Value::Nothing) => no(format!("its operand {i} is an empty optional"), "use tensors"),
            None => malformed(format!("its operand {i} is missing")),
        }
    }

    /// All numeric operands.
    pub fn tensors(&self) -> Outcome<Vec<Tensor>> {
        (0..self.inputs.len()).map(|i| self.tensor(i)).collect()
    }
}

/// An axis counted from the end where it is negative.
pub fn axis(axis: i64, rank: usize) -> Outcome<usize> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(from_start) {
        Ok(a) if a < rank => Ok(a),
        _ => malformed(format!("its axis {axis} is none of {rank}")),
    }
}

/// Axes, each counted from the end where it is negative. None may be named twice.
pub fn axes(list: &[i64], rank: usize) -> Outcome<Vec<usize>> {
    let found = list.iter().map(|a| axis(*a, rank)).collect::<Outcome<Vec<usize>>>()?;
    let mut seen = vec![false; rank];
    for a in &found {
        if std::mem::replace(&mut seen[*a], true) {
            return malformed(format!("it names axis {a} twice"));
        }
    }
    Ok(found)
}
