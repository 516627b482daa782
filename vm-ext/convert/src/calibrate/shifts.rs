//! Shifts of provable layers.
//!
//! A provable layer requantises by a plain shift, so that the scale of its weights is a power of two: the least with
//! which they fit their bits, which wastes up to one of them. Here every layer is tried with the next finer power of
//! two, its weights as much larger, and with one more fraction bit of its value, whose rarest elements then saturate.

use super::{Bench, Context, Precisions, Tell};
use crate::error::Result;
use crate::net::{Id, Kind};
use crate::options::Weights;
use crate::provable;
use crate::quantise::precision::Precision;
use crate::samples::Samples;

/// How often all layers are gone through at most.
const ROUNDS: usize = 2;
/// A change must leave at most this share of the squared error.
const WORTHWHILE: f64 = 0.98;

/// Betters precisions layer by layer.
pub fn tune(context: &Context, samples: &Samples, from: Precisions, tell: Tell) -> Result<Precisions> {
    let net = context.net;
    let weighted = |id: &Id| matches!(net.nodes[*id].kind, Kind::Linear { .. } | Kind::Conv { .. });
    let layers: Vec<Id> = (0..net.nodes.len()).filter(weighted).collect();
    // Weights that were to have 8 bits shall stay in their bytes.
    let (default, widest) = match context.options.weights {
        Weights::I8 => (8, 8),
        Weights::I16 => (16, 16),
        Weights::Auto => (provable::WEIGHT_BITS, provable::WEIGHT_BITS + 1),
    };
    let most = layers.len() * 3 * ROUNDS + 1;
    let first = context.quantised(net, &from)?;
    let mut bench = Bench::new(net, samples, most, super::program(&first)?.run_gas());
    let (mut best, mut least) = (from, bench.run(&first)?.error);
    let mut done = 0;
    for _ in 0..ROUNDS {
        let before = least;
        for &id in &layers {
            let value = clamp_of(context, id);
            let now = |precisions: &Precisions, id: Id| precisions.get(&id).copied().unwrap_or_default();
            let weights = now(&best, id).weights.unwrap_or(default);
            let finer = now(&best, value).finer;
            let (start, mut chosen) = (best.clone(), None);
            for (more, shift) in [(1, 0), (0, 1), (1, 1)] {
                done += 1;
                tell(done.min(most), most);
                if weights + more > widest || finer + shift > 1 {
                    continue;
                }
                let mut tried = start.clone();
                change(&mut tried, id, |p| p.weights = Some(weights + more));
                change(&mut tried, value, |p| p.finer = finer + shift);
                let error = bench.run(&context.quantised(net, &tried)?)?.error;
                if error < least * WORTHWHILE {
                    least = error;
                    chosen = Some(tried);
                }
            }
            if let Some(chosen) = chosen {
                best = chosen;
            }
        }
        if least >= before {
            break;
        }
    }
    Ok(best)
}

fn change(precisions: &mut Precisions, id: Id, how: impl FnOnce(&mut Precision)) {
    how(precisions.entry(id).or_default());
}

/// Whose range decides the format of a layer's value: the clamp's that alone reads it, or its own.
fn clamp_of(context: &Context, id: Id) -> Id {
    let nodes = &context.net.nodes;
    let mut readers = (id + 1..nodes.len()).filter(|r| nodes[*r].kind.operands().contains(&id));
    let returned = context.net.outputs.iter().any(|o| o.value == id);
    match (readers.next(), readers.next()) {
        (Some(reader), None) if !returned => match &nodes[reader].kind {
            Kind::Map { f, .. } if f.clamped().is_some_and(|c| c.keeps_scale()) => reader,
            _ => id,
        },
        _ => id,
    }
}
