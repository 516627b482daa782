//! Bias correction: what rounding weights and values shifts the mean of a channel by goes into its bias.
//!
//! Layer by layer in the order in which they run, since what is corrected shifts what follows; a correction is kept
//! where it lessens the error at the outputs. (Nagel et al., "Data-free quantization through weight equalization and
//! bias correction", 2019, section 4.2, with means measured instead of derived.)

use aiinference_engine::graph::Op;

use super::knobs::target;
use super::{Bench, Context, Precisions, Tell};
use crate::error::Result;
use crate::eval;
use crate::net::{Id, Kind, Net};
use crate::quantise::scale::pow2;
use crate::quantise::Quantised;
use crate::samples::Samples;

/// A clamp hides what happens beyond it: channels of which less than this share is within are left alone.
const LEAST_WITHIN: f64 = 0.05;

/// Mean of every channel of a value.
struct Means {
    sums: Vec<f64>,
    within: Vec<u64>,
    count: u64,
}

impl Means {
    fn of(channels: usize) -> Means {
        Means {
            sums: vec![0.0; channels],
            within: vec![0; channels],
            count: 0,
        }
    }
}

/// A layer that can be corrected.
struct Layer {
    /// The node with the bias.
    id: Id,
    /// The node whose value is seen: itself, or the clamp after it.
    seen: Id,
    channels: usize,
    /// Elements that follow one another in one channel.
    inner: usize,
    /// The float model's mean of each channel.
    float: Vec<f64>,
}

/// The net with corrected biases.
pub fn correct(context: &Context, samples: &Samples, precisions: &Precisions, tell: Tell) -> Result<Net> {
    let net = context.net;
    let first = context.quantised(net, precisions)?;
    let mut layers: Vec<Layer> = (0..net.nodes.len()).filter_map(|id| layer(net, &first, id)).collect();
    let gas = super::program(&first)?.run_gas();
    let mut bench = Bench::new(net, samples, layers.len() + 1, gas);
    let count = bench.samples().len() as f64;
    for sample in bench.samples() {
        let values = eval::run(net, sample);
        for layer in &mut layers {
            let value = eval::of(net, &values, layer.seen);
            let elements = (value.len() / layer.channels.max(1)).max(1) as f64;
            for (i, v) in value.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                layer.float[i / layer.inner % layer.channels] += v / elements / count;
            }
        }
    }
    let mut best = net.clone();
    let mut means = vec![];
    let mut least = observe(&mut bench, &first, &layers, &mut means)?;
    let most = layers.len();
    for (l, layer) in layers.iter().enumerate() {
        tell(l, most);
        let mut tried = best.clone();
        if !shift(&mut tried, layer, &means[l]) {
            continue;
        }
        let quantised = context.quantised(&tried, precisions)?;
        let mut after = vec![];
        let error = observe(&mut bench, &quantised, &layers, &mut after)?;
        if error < least {
            (best, least, means) = (tried, error, after);
        }
    }
    tell(most, most);
    Ok(best)
}

fn layer(net: &Net, quantised: &Quantised, id: Id) -> Option<Layer> {
    let shape = net.shape(id);
    let (channels, inner) = match &net.nodes[id].kind {
        Kind::Linear { bias, .. } => (bias.len(), 1),
        Kind::Conv { bias, .. } => (bias.len(), shape.iter().skip(2).product()),
        _ => return None,
    };
    let seen = target(net, quantised, id)?.node;
    // A clamp keeps the shape.
    if channels == 0 || inner == 0 || net.shape(seen) != shape {
        return None;
    }
    Some(Layer {
        id,
        seen,
        channels,
        inner,
        float: vec![0.0; channels],
    })
}

/// Means of the integer model's channels, and its error at the outputs.
fn observe(bench: &mut Bench, quantised: &Quantised, layers: &[Layer], means: &mut Vec<Means>) -> Result<f64> {
    *means = layers.iter().map(|l| Means::of(l.channels)).collect();
    let inputs = quantised.graph.inputs.len();
    // Per layer of the report: which of ours it shows, its unit, and what it is clamped to.
    let shown: Vec<Option<(usize, f64, i32, i32)>> = quantised
        .layers
        .iter()
        .map(|shown| {
            let l = layers.iter().position(|l| l.seen == shown.node)?;
            let node = (shown.value as usize).checked_sub(inputs)?;
            let (Op::MatMul { rescale, .. } | Op::Conv2d { rescale, .. }) = &quantised.graph.nodes[node] else {
                return None;
            };
            Some((l, pow2(-shown.fraction_bits), rescale.low, rescale.high))
        })
        .collect();
    let trial = bench.watch(quantised, &mut |place, value| {
        let Some((l, unit, low, high)) = shown[place] else {
            return;
        };
        let (layer, means) = (&layers[l], &mut means[l]);
        for (i, q) in value.iter().enumerate() {
            let channel = i / layer.inner % layer.channels;
            means.sums[channel] += f64::from(*q) * unit;
            means.within[channel] += u64::from(*q > low && *q < high);
        }
        means.count += (value.len() / layer.channels) as u64;
    })?;
    Ok(trial.error)
}

/// Moves the biases of a layer by what its channels are off; whether any moved.
fn shift(net: &mut Net, layer: &Layer, means: &Means) -> bool {
    let (Kind::Linear { bias, .. } | Kind::Conv { bias, .. }) = &mut net.nodes[layer.id].kind else {
        return false;
    };
    let count = means.count.max(1) as f64;
    let mut moved = false;
    for (c, bias) in bias.iter_mut().enumerate() {
        let within = means.within[c] as f64 / count;
        let off = means.sums[c] / count - layer.float[c];
        if means.count > 0 && within >= LEAST_WITHIN && off != 0.0 && off.is_finite() {
            *bias -= off / within;
            moved = true;
        }
    }
    moved
}
