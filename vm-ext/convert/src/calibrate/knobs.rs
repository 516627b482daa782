//! What a search may turn: the bits of a layer's weights, and those of the values that layers multiply.

use aiinference_engine::graph::{Array, Op};
use aiinference_engine::Program;

use super::Precisions;
use crate::net::{Id, Kind, Net};
use crate::quantise::Quantised;

/// Bits that are tried.
pub const LADDER: [u32; 5] = [8, 10, 12, 14, 16];
/// Bits that are tried where there are many knobs.
pub const SHORT_LADDER: [u32; 3] = [8, 12, 16];

/// Which bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of the weights that make a value.
    Weights,
    /// Of the value.
    Value,
}

/// Bits that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Whose.
    pub id: Id,
    /// Which.
    pub part: Part,
    /// How many by default.
    pub bits: u32,
}

impl Knob {
    /// Turns it.
    pub fn set(&self, bits: u32, precisions: &mut Precisions) {
        let chosen = precisions.entry(self.id).or_default();
        let bits = (bits != self.bits).then_some(bits);
        match self.part {
            Part::Weights => chosen.weights = bits,
            Part::Value => chosen.value = bits,
        }
        if *chosen == Default::default() {
            precisions.remove(&self.id);
        }
    }
}

/// The knobs of a net as it is quantised by default, at most `most` of them, those of the dearest layers; in the order in
/// which they run. Layers in the bodies of loops have none.
pub fn knobs(net: &Net, quantised: &Quantised, program: &Program, most: usize) -> Vec<Knob> {
    let mut found: Vec<(Knob, u64)> = vec![];
    let mut note = |knob: Knob, gas: u64| match found.iter_mut().find(|(k, _)| *k == knob) {
        Some((_, sum)) => *sum = sum.saturating_add(gas),
        None => found.push((knob, gas)),
    };
    for (id, node) in net.nodes.iter().enumerate() {
        let Some((weights, gas)) = layer(net, quantised, program, id) else {
            continue;
        };
        if let Some(bits) = weights {
            let part = Part::Weights;
            note(Knob { id, part, bits }, gas);
        }
        for x in node.kind.operands() {
            let id = source(net, x);
            if !matches!(net.nodes[id].kind, Kind::Input(_) | Kind::Const(_)) {
                let (part, bits) = (Part::Value, value_bits(net, quantised, program, id));
                note(Knob { id, part, bits }, gas);
            }
        }
    }
    let mut order: Vec<usize> = (0..found.len()).collect();
    // Stable: equal ones stay in their order.
    order.sort_by_key(|i| std::cmp::Reverse(found[*i].1));
    order.truncate(most);
    order.sort_unstable();
    order.into_iter().map(|i| found[i].0).collect()
}

/// Bits of the weights of a product of matrices or a convolution, if it has any, and its gas.
fn layer(net: &Net, quantised: &Quantised, program: &Program, id: Id) -> Option<(Option<u32>, u64)> {
    let inputs = quantised.graph.inputs.len();
    let is_layer = matches!(
        net.nodes[id].kind,
        Kind::Linear { .. } | Kind::Conv { .. } | Kind::BatchMatMul { .. }
    );
    if !is_layer {
        return None;
    }
    let node = (target(net, quantised, id)?.value as usize).checked_sub(inputs)?;
    let gas = program.nodes()[node].cost.gas;
    match &quantised.graph.nodes[node] {
        Op::MatMul { weights, .. } | Op::Conv2d { weights, .. } => Some((Some(bits(weights)), gas)),
        Op::BatchMatMul { .. } => Some((None, gas)),
        _ => None,
    }
}

/// Bits of a value and its sign as far as a choice may go: 16 where it takes 32.
fn value_bits(net: &Net, quantised: &Quantised, program: &Program, id: Id) -> u32 {
    let place = target(net, quantised, id).and_then(|l| (l.value as usize).checked_sub(quantised.graph.inputs.len()));
    place.map_or(16, |node| {
        let value = &program.nodes()[node].value;
        let magnitude = value.low.unsigned_abs().max(value.high.unsigned_abs());
        (u32::BITS - magnitude.leading_zeros() + 1).clamp(2, 16)
    })
}

/// The layer of the report that shows the value of a node, or of the clamp that became part of it.
pub fn target<'a>(net: &Net, quantised: &'a Quantised, id: Id) -> Option<&'a crate::quantise::Layer> {
    let shown = |id: Id| quantised.layers.iter().rev().find(|l| l.node == id);
    shown(id).or_else(|| {
        let mut readers = (id + 1..net.nodes.len()).filter(|r| net.nodes[*r].kind.operands().contains(&id));
        let reader = readers.next()?;
        readers.next().is_none().then(|| shown(reader))?
    })
}

/// Bits of the largest weight and its sign: 8 at least, since none is stored in less.
fn bits(weights: &Array) -> u32 {
    let of = |magnitude: u32| (u32::BITS - magnitude.leading_zeros() + 1).clamp(8, 16);
    match weights {
        Array::I8(_) => 8,
        Array::I16(w) => of(w.iter().map(|w| u32::from(w.unsigned_abs())).max().unwrap_or(0)),
        Array::I32(_) | Array::I64(_) => 16,
    }
}

/// Where the format of a value is chosen: operations that only move elements have that of their operand.
fn source(net: &Net, mut id: Id) -> Id {
    loop {
        id = match net.nodes[id].kind {
            Kind::Reshape { x } | Kind::Transpose { x, .. } | Kind::Slice { x, .. } | Kind::Upsample { x, .. } => x,
            Kind::MaxPool { x, .. } | Kind::Broadcast { x } => x,
            _ => return id,
        }
    }
}
