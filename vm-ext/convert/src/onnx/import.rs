//! The walk over a graph: names, scopes, functions, and which translator a node goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::build::Build;
use super::domain::{canonical as domain, may_have};
use super::graph::{element, holds};
use super::op::{malformed, no, Fault, Op, Outcome, Tensor, Text, Value};
use super::proto::{
    AttributeProto, DataType, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    TensorProto,
};
use super::{tensor, OnnxInput};
use crate::error::{ConvertError, Result};
use crate::net::{Elements, Id, Kind, Net, NetOutput};

/// Functions that call functions, and branches and loops in each other, at most so deep.
const MAX_DEPTH: usize = 32;
/// Most nodes that are translated, operands, results and names in bodies counted, functions and loops written out: a file
/// of a few bytes can ask for any number.
const MAX_TRANSLATED: usize = 1 << 20;

/// A stored tensor that nobody has read yet.
#[derive(Clone, Copy)]
enum Stored<'a> {
    Dense(&'a TensorProto),
    Sparse(&'a SparseTensorProto),
}

/// Names that are visible in a graph or function.
#[derive(Default)]
struct Scope<'a> {
    values: BTreeMap<&'a str, Value>,
    /// Not read yet.
    stored: BTreeMap<&'a str, Stored<'a>>,
    /// Attributes of the function.
    attributes: Rc<BTreeMap<&'a str, &'a AttributeProto>>,
    opsets: Rc<BTreeMap<&'a str, i64>>,
    /// Whether names of the scope around it are visible: in branches and loops, not in functions.
    open: bool,
}

impl<'a> Scope<'a> {
    /// Notes the stored tensors of a graph.
    fn store(&mut self, graph: &'a GraphProto) {
        for t in &graph.initializer {
            self.stored.insert(&t.name, Stored::Dense(t));
        }
        for t in &graph.sparse_initializer {
            if let Some(values) = &t.values {
                self.stored.insert(&values.name, Stored::Sparse(t));
            }
        }
    }
}

/// Integers, and what a unit of them stands for.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// The integers, zero point taken off.
    pub integers: Id,
    /// One for all, or one per index along the axis.
    pub scales: Vec<f64>,
    /// Which axis has scales of its own.
    pub axis: usize,
}

/// Turns a graph into a net.
pub struct Importer<'a> {
    /// The net.
    pub build: Build,
    /// Class names of values that are indices into them.
    pub labels: BTreeMap<Id, Vec<String>>,
    /// Values that are integers times a scale, by the value: what models that are quantised already compute with.
    pub scaled: BTreeMap<Id, Scaled>,
    functions: BTreeMap<(&'a str, &'a str), &'a FunctionProto>,
    scopes: Vec<Scope<'a>>,
    translated: usize,
}

/// Reads a model. Inputs with a fixed value become constants.
pub fn import(model: &ModelProto, inputs: &[OnnxInput], fixed: &BTreeMap<String, Vec<f64>>) -> Result<Net> {
    let Some(graph) = &model.graph else {
        return Err(ConvertError::Parse {
            reason: "it holds no graph".into(),
        });
    };
    let functions = model
        .functions
        .iter()
        .map(|f| ((domain(&f.domain), f.name.as_str()), f));
    let mut scope = Scope {
        opsets: Rc::new(opsets(&model.opset_import)),
        ..Scope::default()
    };
    scope.store(graph);
    let mut importer = Importer {
        build: Build::default(),
        labels: BTreeMap::new(),
        scaled: BTreeMap::new(),
        functions: functions.collect(),
        scopes: vec![scope],
        translated: 0,
    };
    importer.inputs(graph, inputs, fixed)?;
    importer.nodes(&graph.node)?;
    importer.outputs(graph)?;
    importer.build.net.arrange();
    Ok(importer.build.net)
}

fn opsets(list: &[OperatorSetIdProto]) -> BTreeMap<&str, i64> {
    list.iter().map(|o| (domain(&o.domain), o.version)).collect()
}

/// Name of a node for messages.
fn name(node: &NodeProto) -> &str {
    match node.output.first() {
        Some(output) if node.name.is_empty() => output,
        _ => &node.name,
    }
}

impl<'a> Importer<'a> {
    /// Binds the names of the graph's inputs: to tensors, to sequences of them, and to nothing where an optional is not
    /// given.
    fn inputs(
        &mut self,
        graph: &'a GraphProto,
        inputs: &[OnnxInput],
        fixed: &BTreeMap<String, Vec<f64>>,
    ) -> Result<()> {
        let mut tensors: BTreeMap<&str, Value> = BTreeMap::new();
        let mut sequences: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for input in inputs {
            let id = self.input(input, fixed.get(&input.name))?;
            let value = Value::Tensor(Tensor {
                id,
                data_type: input.data_type,
            });
            match &input.sequence {
                Some(name) => sequences.entry(name).or_default().push(value),
                None => {
                    tensors.insert(&input.name, value);
                }
            }
        }
        for declared in &graph.input {
            let name = declared.name.as_str();
            let held = holds(declared).filter(|_| fixed.contains_key(name));
            let value = match (tensors.remove(name), sequences.remove(name), held) {
                (Some(tensor), _, _) => tensor,
                (None, Some(list), _) => Value::Sequence(Rc::new(list)),
                (None, None, Some(held)) if held.optional => Value::Nothing,
                (None, None, Some(held)) if held.sequence => Value::Sequence(Rc::new(vec![])),
                // It is stored.
                _ => continue,
            };
            self.bind(name, value);
        }
        Ok(())
    }

    /// The outputs: of a sequence, one per element.
    fn outputs(&mut self, graph: &GraphProto) -> Result<()> {
        let mut names = BTreeSet::new();
        for output in &graph.output {
            let list = match self.find(&output.name) {
                Ok(Some(Value::Sequence(list))) => {
                    // Many outputs may share one long sequence.
                    let size = (3 + output.name.len() as u64 / 8) * list.len() as u64;
                    let stored = self.build.store(size);
                    stored.map_err(|fault| self.explain(fault, &output.name, "Output"))?;
                    let named = |(i, value): (usize, &Value)| (element(&output.name, i), value.clone());
                    list.iter().enumerate().map(named).collect()
                }
                Ok(Some(value)) => vec![(output.name.clone(), value)],
                _ => {
                    return Err(ConvertError::Parse {
                        reason: format!("no node writes the output {:?}", output.name),
                    })
                }
            };
            for (name, value) in list {
                let unsupported = |reason: &str, advice: &str| ConvertError::Unsupported {
                    node: name.clone(),
                    op: "Output".into(),
                    reason: reason.into(),
                    advice: advice.into(),
                };
                let Value::Tensor(Tensor { id, .. }) = value else {
                    return Err(unsupported(
                        "it is no tensor of numbers",
                        "end the model at tensors of numbers",
                    ));
                };
                if !names.insert(name.clone()) {
                    return Err(unsupported(
                        "two outputs, or elements of sequences, have this name",
                        "give the model's outputs other names and export it again",
                    ));
                }
                let labels = self.labels.get(&id).map_or(&[][..], Vec::as_slice);
                let stored = self.build.store(text_size(labels));
                stored.map_err(|fault| self.explain(fault, &name, "Output"))?;
                self.build.net.outputs.push(NetOutput {
                    name,
                    value: id,
                    labels: labels.to_vec(),
                });
            }
        }
        if self.build.net.outputs.is_empty() {
            return Err(ConvertError::Parse {
                reason: "its outputs are sequences without elements".into(),
            });
        }
        Ok(())
    }

    fn input(&mut self, input: &OnnxInput, fixed: Option<&Vec<f64>>) -> Result<Id> {
        let fail = |reason: String| ConvertError::Input {
            input: input.name.clone(),
            reason,
            advice: "make the model smaller".into(),
        };
        let Some(size) = tensor::count(&input.shape) else {
            return Err(fail(format!("its shape {:?} is too large", input.shape)));
        };
        let net = &mut self.build.net;
        let kind = match fixed {
            Some(values) if values.len() == size => Kind::Const(values.clone()),
            Some(values) => {
                return Err(ConvertError::Input {
                    input: input.name.clone(),
                    reason: format!(
                        "it is fixed to {} numbers and has the shape {:?}",
                        values.len(),
                        input.shape
                    ),
                    advice: format!("give {size}"),
                })
            }
            // Nothing about it can vary.
            None if size == 0 => Kind::Const(vec![]),
            None => Kind::Input(input.declared()),
        };
        let varies = matches!(kind, Kind::Input(_));
        let id = net.push(&input.name, kind, input.shape.clone());
        net.nodes[id].of = elements(input.data_type);
        if varies {
            net.inputs.push(id);
        }
        Ok(id)
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn bind(&mut self, name: &'a str, value: Value) {
        if !name.is_empty() {
            self.scope().values.insert(name, value);
        }
    }

    /// Counts translated nodes, and what is looked up and handed over with them.
    fn count(&mut self, nodes: usize) -> Outcome<()> {
        self.translated = self.translated.saturating_add(nodes);
        if self.translated > MAX_TRANSLATED {
            return no(
                format!("the model has more than {MAX_TRANSLATED} nodes, functions, branches and loops written out"),
                "make it smaller",
            );
        }
        Ok(())
    }

    /// Names the classes that a value's elements are indices into.
    pub fn name_classes(&mut self, id: Id, names: Vec<String>) -> Outcome<()> {
        self.build.store(text_size(&names))?;
        self.labels.insert(id, names);
        Ok(())
    }

    /// Stored strings.
    pub fn text(&mut self, shape: Vec<usize>, strings: Vec<String>) -> Outcome<Value> {
        self.build.store(text_size(&strings))?;
        Ok(Value::Text(Rc::new(Text { shape, strings })))
    }

    fn written(&mut self, decoded: std::result::Result<(Vec<usize>, Vec<f64>, DataType), String>) -> Outcome<Value> {
        match decoded {
            Ok((shape, values, data_type)) => Ok(Value::Tensor(self.constant(values, &shape, data_type)?)),
            Err(reason) => no(reason, "export the model again"),
        }
    }

    /// The value of a stored tensor.
    pub fn stored(&mut self, t: &TensorProto) -> Outcome<Value> {
        if t.data_type == DataType::String as i32 {
            return match tensor::text(t) {
                Ok((shape, strings)) => self.text(shape, strings),
                Err(reason) => malformed(reason),
            };
        }
        self.written(tensor::decode(t))
    }

    /// What a name stands for.
    fn find(&mut self, name: &str) -> Outcome<Option<Value>> {
        for level in (0..self.scopes.len()).rev() {
            let scope = &mut self.scopes[level];
            if let Some(value) = scope.values.get(name) {
                return Ok(Some(value.clone()));
            }
            if let Some((name, t)) = scope.stored.remove_entry(name) {
                let before = self.build.rename(name);
                let value = match t {
                    Stored::Dense(t) => self.stored(t),
                    Stored::Sparse(t) => self.written(tensor::dense(t)),
                };
                self.build.name = before;
                let value = value?;
                self.scopes[level].values.insert(name, value.clone());
                return Ok(Some(value));
            }
            if !scope.open {
                break;
            }
        }
        Ok(None)
    }

    /// The error for a fault in a node.
    fn explain(&self, fault: Fault, node: &str, op: &str) -> ConvertError {
        let (node, op) = (node.to_string(), op.to_string());
        match fault {
            Fault::Unsupported { reason, advice } => ConvertError::Unsupported {
                node,
                op,
                reason,
                advice,
            },
            Fault::Unknown { value, what } => {
                let input = self.build.source(value).map(|id| self.build.net.nodes[id].name.clone());
                ConvertError::Unknown { node, op, what, input }
            }
            Fault::Error(e) => *e,
        }
    }

    fn nodes(&mut self, nodes: &'a [NodeProto]) -> Result<()> {
        for node in nodes {
            let before = self.build.rename(name(node));
            let done = self.node(node);
            self.build.name = before;
            done.map_err(|fault| self.explain(fault, name(node), &node.op_type))?;
        }
        Ok(())
    }

    fn node(&mut self, node: &'a NodeProto) -> Outcome<()> {
        self.count(1 + node.input.len() + node.output.len())?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for (i, name) in node.input.iter().enumerate() {
            let value = if name.is_empty() { None } else { self.find(name)? };
            if value.is_none() && !name.is_empty() {
                return malformed(format!(
                    "its operand {i} ({name:?}) is neither an input, a constant nor a value computed before"
                ));
            }
            inputs.push(value);
        }
        // Left out at the end is as left out in between.
        while let Some(None) = inputs.last() {
            inputs.pop();
        }
        let scope = self.scope();
        let op = Op {
            node,
            inputs,
            opset: scope.opsets.get(domain(&node.domain)).copied().unwrap_or(1),
            outer: scope.attributes.clone(),
        };
        let given = node.attribute.iter().filter_map(|a| op.resolved(a));
        self.build
            .fold(given.map(attribute_size).fold(0, u64::saturating_add))?;
        let first = self.build.net.nodes.len();
        let outputs = self.translate(&op)?;
        for (name, value) in node.output.iter().zip(outputs) {
            if let Value::Tensor(t) = &value {
                // A value that was there before has its type from where it was made.
                if t.id >= first {
                    let known = self.build.net.nodes[t.id].of;
                    let declared = elements(t.data_type);
                    if !matches!((known, declared), (Elements::Integer(..), Elements::Integer(..))) {
                        self.build.net.nodes[t.id].of = declared;
                    }
                }
            }
            self.bind(name, value);
        }
        Ok(())
    }

    fn translate(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let found = self.functions.get(&(domain(&op.node.domain), op.kind())).copied();
        if let Some(function) = found {
            return self.call(function, op);
        }
        let outputs = if may_have(domain(&op.node.domain), op.kind()) {
            self.family(op)?
        } else {
            None
        };
        match outputs {
            Some(outputs) => Ok(outputs),
            None => no(
                match domain(&op.node.domain) {
                    "" => "the converter does not know this operator".to_string(),
                    domain => format!("the converter does not know this operator of {domain}"),
                },
                "compose it of convertible ones (docs/onnx.md lists them), or end the model before it",
            ),
        }
    }

    fn family(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        if let Some(outputs) = self.elementwise(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.movement(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.reductions(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.products(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.windows(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.resizing(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.normalisations(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.recurrences(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.quantised(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.classical(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.control(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.signals(op)? {
            return Ok(Some(outputs));
        }
        if let Some(outputs) = self.losses(op)? {
            return Ok(Some(outputs));
        }
        self.selections(op)
    }

    /// A function of the model: its nodes in its place.
    fn call(&mut self, function: &'a FunctionProto, op: &Op<'a>) -> Outcome<Vec<Value>> {
        self.count(function.input.len() + function.output.len() + function.opset_import.len())?;
        self.count(function.attribute_proto.len() + op.node.attribute.len())?;
        let mut attributes: BTreeMap<&str, &AttributeProto> = BTreeMap::new();
        for default in &function.attribute_proto {
            attributes.insert(&default.name, default);
        }
        for given in &op.node.attribute {
            if let Some(a) = op.resolved(given) {
                attributes.insert(&given.name, a);
            }
        }
        let mut scope = Scope {
            opsets: Rc::new(opsets(&function.opset_import)),
            attributes: Rc::new(attributes),
            ..Scope::default()
        };
        for (name, value) in function.input.iter().zip(&op.inputs) {
            // What is left out is seen as left out inside.
            if let Some(value) = value {
                scope.values.insert(name, value.clone());
            }
        }
        let absent: Vec<&str> = function
            .input
            .iter()
            .enumerate()
            .filter(|(i, _)| op.maybe(*i).is_none())
            .map(|(_, name)| name.as_str())
            .collect();
        for name in absent {
            scope.values.insert(name, Value::Nothing);
        }
        self.within(scope, &function.node, &mut function.output.iter().map(String::as_str))
    }

    /// The outputs of a branch or loop body for the given inputs.
    pub fn body(&mut self, graph: &'a GraphProto, inputs: Vec<Value>) -> Outcome<Vec<Value>> {
        let stored = graph.initializer.len() + graph.sparse_initializer.len();
        self.count(1 + graph.input.len() + graph.output.len() + stored)?;
        let outer = self.scope();
        let mut scope = Scope {
            open: true,
            opsets: outer.opsets.clone(),
            attributes: outer.attributes.clone(),
            ..Scope::default()
        };
        for (info, value) in graph.input.iter().zip(inputs) {
            scope.values.insert(&info.name, value);
        }
        scope.store(graph);
        self.within(scope, &graph.node, &mut graph.output.iter().map(|o| o.name.as_str()))
    }

    fn within(
        &mut self,
        scope: Scope<'a>,
        nodes: &'a [NodeProto],
        outputs: &mut dyn Iterator<Item = &'a str>,
    ) -> Outcome<Vec<Value>> {
        if self.scopes.len() >= MAX_DEPTH {
            return no(
                format!("bodies are nested more than {MAX_DEPTH} deep"),
                "make the model flatter",
            );
        }
        self.scopes.push(scope);
        let done = self.nodes(nodes);
        let mut values = Vec::new();
        let mut missing = None;
        if done.is_ok() {
            for name in outputs {
                match self.find(name)? {
                    Some(value) => values.push(value),
                    None => missing = Some(name),
                }
            }
        }
        self.scopes.pop();
        done.map_err(|e| Fault::Error(Box::new(e)))?;
        match missing {
            Some(name) => malformed(format!("no node of its body writes {name:?}")),
            None => Ok(values),
        }
    }

    /// Stores a tensor.
    pub fn constant(&mut self, values: Vec<f64>, shape: &[usize], data_type: DataType) -> Outcome<Tensor> {
        let id = self.build.constant(values, shape)?;
        self.build.net.nodes[id].of = elements(data_type);
        Ok(Tensor { id, data_type })
    }

    /// Stores a list of whole numbers.
    pub fn int_list(&mut self, values: &[usize]) -> Outcome<Tensor> {
        let list = values.iter().map(|v| *v as f64).collect();
        self.constant(list, &[values.len()], DataType::Int64)
    }
}

/// What strings take, in numbers.
fn text_size(strings: &[String]) -> u64 {
    strings.iter().map(|s| 3 + s.len() as u64 / 8).sum()
}

/// How many numbers and strings an attribute holds.
fn attribute_size(a: &AttributeProto) -> u64 {
    let tensor = a.t.as_ref().map_or(0, |t| {
        let packed = t.raw_data.len() + t.float_data.len() + t.double_data.len() + t.string_data.len();
        packed + t.int32_data.len() + t.int64_data.len() + t.uint64_data.len()
    });
    (a.ints.len() + a.floats.len() + a.strings.len() + a.s.len() + tensor) as u64
}

/// What the elements of an ONNX type are.
pub fn elements(data_type: DataType) -> Elements {
    match data_type.limits() {
        _ if data_type == DataType::Bool => Elements::Bool,
        Some((low, high)) => Elements::Integer(low, high),
        None => Elements::Real,
    }
}

/// One output.
pub fn one(id: Id, data_type: DataType) -> Outcome<Option<Vec<Value>>> {
    Ok(Some(vec![Value::Tensor(Tensor { id, data_type })]))
}

/// Several outputs.
pub fn several(list: impl IntoIterator<Item = (Id, DataType)>) -> Outcome<Option<Vec<Value>>> {
    let value = |(id, data_type)| Value::Tensor(Tensor { id, data_type });
    Ok(Some(list.into_iter().map(value).collect()))
}
