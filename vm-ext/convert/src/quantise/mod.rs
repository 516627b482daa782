//! From floats to integers: formats for every value, integer weights, the engine's graph.
//!
//! Activations are i16 with a power-of-two scale chosen from the calibrated range; weights are i8 or i16 with a real
//! scale per output channel, which the requantisation absorbs; trees, scalers, divisors and what is rounded or compared
//! may keep their operands in 32 bits. Whole numbers stay what they are.

mod budget;
mod elementwise;
mod exact;
mod forest;
mod formats;
mod functions;
mod gate;
mod input;
mod linear;
mod movement;
mod plan;
pub mod precision;
mod rows;
pub mod scale;
mod scan;
pub mod seen;
pub mod table;

use std::collections::BTreeMap;

use aiinference_engine::graph::{Graph, Op, Output, ValueId};

use crate::error::{ConvertError, Result};
use crate::net::{Id, Kind, Net};
use crate::options::Options;
use plan::Plan;
use precision::Precision;
pub use seen::{Ranges, Seen};

/// Fraction bits that a scaler or tree gets at most.
const WIDE_BITS: i32 = 24;

/// The integer value that stands for a float value, to compare the two.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Value in the graph.
    pub value: ValueId,
    /// Value in the net.
    pub node: Id,
    /// Fraction bits of the former.
    pub fraction_bits: i32,
}

/// A quantised model.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// The graph, without a header.
    pub graph: Graph,
    /// Which integer values stand for which float ones.
    pub layers: Vec<Layer>,
}

impl Quantised {
    /// Which layers the value of each of the graph's nodes stands for.
    pub fn stands(&self) -> Vec<Vec<usize>> {
        let mut stands = vec![vec![]; self.graph.nodes.len()];
        for (i, layer) in self.layers.iter().enumerate() {
            if let Some(node) = (layer.value as usize).checked_sub(self.graph.inputs.len()) {
                stands[node].push(i);
            }
        }
        stands
    }
}

/// A value as integers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Q {
    id: ValueId,
    k: i32,
    low: i32,
    high: i32,
}

impl Q {
    fn fits(&self, qmax: i32) -> bool {
        self.low >= -qmax - 1 && self.high <= qmax
    }

    fn magnitude(&self) -> f64 {
        f64::from(self.low).abs().max(f64::from(self.high).abs())
    }
}

/// Quantises a fused net.
pub fn quantise_net(net: &Net, ranges: &Ranges, options: &Options) -> Result<Quantised> {
    let mut q = Quantiser::new(net, ranges, options, None);
    for (place, &id) in net.inputs.iter().enumerate() {
        q.input(place, id)?;
    }
    q.nodes()?;
    for output in &net.outputs {
        let value = q.value(output.value)?;
        q.graph.outputs.push(Output {
            name: output.name.clone(),
            value: value.id,
            fraction_bits: value.k,
            labels: output.labels.clone(),
        });
    }
    Ok(Quantised {
        graph: q.graph,
        layers: q.layers,
    })
}

struct Quantiser<'a> {
    net: &'a Net,
    seen: &'a [Seen],
    bodies: &'a BTreeMap<Id, Ranges>,
    precision: &'a BTreeMap<Id, Precision>,
    options: &'a Options,
    plan: Plan,
    graph: Graph,
    values: Vec<Option<Q>>,
    variants: BTreeMap<(Id, i32), Q>,
    /// Values as the sums of layers ask for them, where they are not so anyway.
    shared: BTreeMap<Id, Q>,
    /// What the values of Scans consist of.
    parts: BTreeMap<Id, Vec<scan::Part>>,
    /// Which values are quotients of which whole numbers.
    quotients: BTreeMap<ValueId, (Q, Q)>,
    layers: Vec<Layer>,
}

/// Where a producer's result goes and how it is limited.
struct Target {
    id: Id,
    low: f64,
    high: f64,
}

impl<'a> Quantiser<'a> {
    fn new(net: &'a Net, ranges: &'a Ranges, options: &'a Options, given: Option<&[bool]>) -> Self {
        Quantiser {
            net,
            seen: &ranges.values,
            bodies: &ranges.bodies,
            precision: &ranges.precision,
            options,
            plan: Plan::new(net, &ranges.values, options, given),
            graph: Graph::new(),
            values: vec![None; net.nodes.len()],
            variants: BTreeMap::new(),
            shared: BTreeMap::new(),
            parts: BTreeMap::new(),
            quotients: BTreeMap::new(),
            layers: vec![],
        }
    }

    /// Quantises every node that is no input; constants are stored on demand.
    fn nodes(&mut self) -> Result<()> {
        for (id, node) in self.net.nodes.iter().enumerate() {
            // Before a producer takes them for its own.
            if let Kind::Map { f, .. } = &node.kind {
                if f.clamped().is_some_and(|c| c.low.is_nan() || c.high.is_nan()) {
                    return self.range_error(id, "its limits are no numbers".into());
                }
            }
        }
        for id in 0..self.net.nodes.len() {
            if self.values[id].is_none() && !matches!(self.net.nodes[id].kind, Kind::Const(_)) {
                self.node(id)?;
            }
        }
        Ok(())
    }

    /// What was chosen for a node.
    fn chosen(&self, id: Id) -> Precision {
        self.precision.get(&id).copied().unwrap_or_default()
    }

    fn range_error<T>(&self, id: Id, reason: String) -> Result<T> {
        Err(ConvertError::Range {
            node: self.net.nodes[id].name.clone(),
            op: self.net.nodes[id].kind.name().into(),
            reason,
        })
    }

    /// Stores the value of a node and notes it for the report.
    fn set(&mut self, id: Id, value: Q) {
        self.values[id] = Some(value);
        self.layers.push(Layer {
            value: value.id,
            node: id,
            fraction_bits: value.k,
        });
    }

    fn push(&mut self, op: Op, k: i32, low: i32, high: i32) -> Q {
        let id = self.graph.push(op);
        Q { id, k, low, high }
    }

    /// Quantises a node.
    fn node(&mut self, id: Id) -> Result<()> {
        self.operation(id)?;
        match self.values[id] {
            // What is declared whole is whole, whatever it was made of.
            Some(q) if self.plan.whole[id] && q.k != 0 => {
                let q = self.rescaled(id, q, 0, 0)?;
                self.set(id, q);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn operation(&mut self, id: Id) -> Result<()> {
        let net = self.net;
        let node = &net.nodes[id];
        let shape = extents(&node.shape);
        if node.shape.contains(&0) {
            return Err(ConvertError::Unsupported {
                node: node.name.clone(),
                op: node.kind.name().into(),
                reason: "its value has no elements".into(),
                advice: "leave it out of the model".into(),
            });
        }
        if self.plan.whole[id] && self.exactly(id)? {
            return Ok(());
        }
        match &node.kind {
            Kind::Input(_) | Kind::Const(_) => Ok(()),
            Kind::Linear { x, weights, bias } => {
                self.weighted(id, *x, weights, bias, |x, weights, bias, rescale| Op::MatMul {
                    x,
                    weights,
                    bias,
                    rescale,
                })
            }
            Kind::Conv {
                x,
                weights,
                bias,
                window,
                groups,
            } => {
                let channels = bias.len() as u32;
                self.weighted(id, *x, weights, bias, |x, weights, bias, rescale| Op::Conv2d {
                    x,
                    weights,
                    channels,
                    bias,
                    window: window.clone(),
                    groups: *groups as u32,
                    rescale,
                })
            }
            Kind::Affine { x, axis, scale, offset } => self.affine(id, *x, *axis, scale, offset, None),
            Kind::Map { x, f } if self.plan.composed[id] => self.composed(id, *x, f),
            Kind::Map { x, f } => match f.clamped() {
                Some(c) if c.keeps_scale() => self.clamp(id, *x, c.low, c.high),
                Some(c) => self.affine(id, *x, 0, &[c.scale], &[c.offset], Some((c.low, c.high))),
                None if self.gated(id, *x, f)? => Ok(()),
                None => self.table(id, *x, f),
            },
            Kind::Add { a, b, sign } => self.add(id, *a, *b, *sign),
            Kind::Mul { a, b } => self.mul(id, *a, *b),
            Kind::BatchMatMul { a, b } => self.batch_matmul(id, *a, *b),
            Kind::Div { a, b } => self.div(id, *a, *b),
            Kind::Min { a, b } => self.extreme(id, *a, *b, |a, b| Op::Min { a, b }),
            Kind::Max { a, b } => self.extreme(id, *a, *b, |a, b| Op::Max { a, b }),
            Kind::Compare { a, b, by } => self.compare(id, *a, *b, *by),
            Kind::Select { condition, a, b } => self.select(id, *condition, *a, *b),
            Kind::LayerNorm {
                x,
                gamma,
                beta,
                epsilon,
                center,
            } => self.layer_norm(id, *x, gamma, beta, *epsilon, *center),
            Kind::ReduceSum { x, axis, factor } => self.reduce_sum(id, *x, *axis, *factor),
            Kind::ReduceMax { x, axis } => {
                let q = self.value(*x)?;
                let axis = *axis as u32;
                self.moved(id, Op::ReduceMax { x: q.id, axis }, q)
            }
            Kind::Softmax { x } => self.softmax(id, *x),
            Kind::MaxPool { x, window } => {
                let q = self.value(*x)?;
                let op = Op::MaxPool2d {
                    x: q.id,
                    window: window.clone(),
                };
                self.moved(id, op, q)
            }
            Kind::AvgPool {
                x,
                window,
                count_padding,
            } => {
                let q = self.fractions(id, *x)?;
                let op = Op::AvgPool2d {
                    x: q.id,
                    window: window.clone(),
                    count_padding: *count_padding,
                };
                let q = Q {
                    low: q.low.min(0),
                    high: q.high.max(0),
                    ..q
                };
                self.moved(id, op, q)
            }
            Kind::Upsample { x, factors } => {
                let q = self.value(*x)?;
                let op = Op::Upsample2d {
                    x: q.id,
                    factors: factors.map(|f| f as u32),
                };
                self.moved(id, op, q)
            }
            Kind::Reshape { x } => {
                let q = self.value(*x)?;
                self.moved(id, Op::Reshape { x: q.id, shape }, q)
            }
            Kind::Transpose { x, axes } => {
                let q = self.value(*x)?;
                let axes = extents(axes);
                self.moved(id, Op::Transpose { x: q.id, axes }, q)
            }
            Kind::Broadcast { x } => {
                let q = self.value(*x)?;
                self.moved(id, Op::Broadcast { x: q.id, shape }, q)
            }
            Kind::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => self.slice(id, *x, *axis, [*start, *step, *length]),
            Kind::Concat { xs, axis } => self.concat(id, xs, *axis),
            Kind::Pad {
                x,
                before,
                after,
                value,
            } => self.pad(id, *x, before, after, *value),
            Kind::Gather { x, indices, axis } => self.gather(id, *x, *indices, *axis),
            Kind::GatherElements { x, indices } => self.gather_elements(id, *x, *indices),
            Kind::ArgMax { x } => {
                let q = self.value(*x)?;
                let classes = net.shape(*x).last().copied().unwrap_or(1);
                let q = self.push(Op::ArgMax { x: q.id }, 0, 0, classes as i32 - 1);
                self.set(id, q);
                Ok(())
            }
            Kind::TopK { x, k } => {
                let q = self.value(*x)?;
                let columns = net.shape(*x).last().copied().unwrap_or(1);
                let op = Op::TopK { x: q.id, k: *k as u32 };
                let q = self.push(op, 0, 0, columns as i32 - 1);
                self.set(id, q);
                Ok(())
            }
            Kind::Trees { x, trees } => self.trees(id, *x, trees),
            Kind::Scan(scan) => self.scan(id, scan),
        }
    }
}

/// Extents in the engine's type.
fn extents(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|e| *e as u32).collect()
}
