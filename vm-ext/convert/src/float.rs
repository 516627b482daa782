//! The float model by itself: what the integer model is made from and compared with.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ConvertError, Result};
use crate::net::{Kind, Net, Node};
use crate::onnx::{self, OnnxInput};
use crate::{eval, fuse};

/// What is known of a model beyond its file.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Extents of open axes, by the names that the file gives them. An open first axis is 1 otherwise.
    pub extents: BTreeMap<String, usize>,
    /// Whole shapes of inputs, by their names. An input that is a sequence has as many elements as `NAME.0`, `NAME.1` and
    /// so on are given shapes here: each is an input by itself.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that always have the same value: those that decide shapes, for example. No numbers stand for an optional that
    /// is not given, and for a sequence without elements.
    pub fixed: BTreeMap<String, Vec<f64>>,
    /// Values at which the model ends, instead of at its outputs.
    pub ends: Vec<String>,
}

/// A float model, computed in doubles: the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct FloatModel {
    pub(crate) net: Net,
    pub(crate) inputs: Vec<OnnxInput>,
}

/// An output of a float model.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatOutput {
    /// Name in the file.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub values: Vec<f64>,
    /// Class names, where the elements are indices into them.
    pub labels: Vec<String>,
}

impl FloatModel {
    /// Reads an ONNX file. Options that name no input, or no open axis, of the model are errors.
    pub fn read(onnx: &[u8], options: &ImportOptions) -> Result<Self> {
        let mut model = onnx::decode(onnx)?;
        onnx::end_at(&mut model, &options.ends)?;
        let inputs = match &model.graph {
            Some(graph) => onnx::inputs(graph, options)?,
            None => vec![],
        };
        let mut net = onnx::import(&model, &inputs, &options.fixed)?;
        let names: BTreeSet<&str> = net.inputs.iter().map(|i| net.nodes[*i].name.as_str()).collect();
        let inputs = inputs
            .iter()
            .filter(|i| names.contains(i.name.as_str()))
            .cloned()
            .collect();
        fuse::fuse(&mut net);
        numbers(&net)?;
        Ok(FloatModel { net, inputs })
    }

    /// Names and shapes of the inputs that are not fixed.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.inputs.iter().map(|i| (i.name.as_str(), i.shape.as_slice()))
    }

    /// How many operations it has.
    pub fn operations(&self) -> usize {
        self.net.nodes.iter().filter(|n| !n.kind.operands().is_empty()).count()
    }

    /// How many elements all its values have together, over all times of its loops.
    pub fn elements(&self) -> usize {
        elements(&self.net)
    }

    /// The outputs for one value per input, in their order. Values that are too short are filled up with zeros.
    pub fn run(&self, inputs: &[Vec<f64>]) -> Vec<FloatOutput> {
        let sized: Vec<Vec<f64>> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let mut values = inputs.get(i).cloned().unwrap_or_default();
                values.resize(input.shape.iter().product(), 0.0);
                values
            })
            .collect();
        let values = eval::run(&self.net, &sized);
        let output = |o: &crate::net::NetOutput| FloatOutput {
            name: o.name.clone(),
            shape: self.net.shape(o.value).to_vec(),
            values: eval::of(&self.net, &values, o.value).to_vec(),
            labels: o.labels.clone(),
        };
        self.net.outputs.iter().map(output).collect()
    }
}

/// Checks that weights are numbers, and factors finite: no integers stand for others. An infinite term (a mask) has its
/// meaning.
fn numbers(net: &Net) -> Result<()> {
    let number = |list: &[f64]| list.iter().all(|v| !v.is_nan());
    let finite = |list: &[f64]| list.iter().all(|v| v.is_finite());
    for node in &net.nodes {
        let fine = match &node.kind {
            Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. } => finite(weights) && number(bias),
            Kind::Affine { scale, offset, .. }
            | Kind::LayerNorm {
                gamma: scale,
                beta: offset,
                ..
            } => finite(scale) && number(offset),
            Kind::Scan(scan) => {
                numbers(&scan.body)?;
                true
            }
            _ => true,
        };
        if !fine {
            return Err(ConvertError::Unsupported {
                node: node.name.clone(),
                op: node.kind.name().into(),
                reason: "its weights hold NaN or infinities".into(),
                advice: "train or export the model again".into(),
            });
        }
    }
    Ok(())
}

fn elements(net: &Net) -> usize {
    let of = |node: &Node| {
        let own: usize = node.shape.iter().product();
        match &node.kind {
            Kind::Scan(scan) => own.saturating_add(scan.count.saturating_mul(elements(&scan.body))),
            _ => own,
        }
    };
    net.nodes.iter().map(of).fold(0, usize::saturating_add)
}
