//! From floats to integers: formats for every value, integer weights, the engine's graph.
//!
//! Activations are i16 with a power-of-two scale chosen from the calibrated range; weights are i8 or i16 with a real
//! scale per output channel, which the requantisation absorbs; trees and scalers may keep their operands in 32 bits.

pub mod scale;
pub mod table;

use std::collections::BTreeMap;

use aiinference_engine::graph::{Array, Graph, Input, Op, Output, Rescale, Trees, ValueId};

use crate::error::{ConvertError, Result};
use crate::expr::Expr;
use crate::net::{Declared, Id, Kind, Net};
use crate::options::{Options, OutOfRange, Weights};
use crate::provable;
use crate::trees::FloatTrees;
use scale::{bits_needed, fraction_bits, multiplier, pow2, quantise, reach, round, QMAX, WIDE_MAX};

/// Fraction bits that a scaler or tree gets at most.
const WIDE_BITS: i32 = 24;
/// Fraction bits of sums of leaves at most.
const LEAF_BITS: i32 = 20;
/// Bits of a multiplier after a MatMul or Conv.
const MULTIPLIER_BITS: u32 = 15;
/// Layers with fewer multiplications than this get 16-bit weights by default.
const SMALL_LAYER: u64 = 2_000_000;
/// The last layers before the outputs get 16 bits up to this: nothing after them averages their errors away.
const SMALL_LAST_LAYER: u64 = 16_000_000;
/// By how many fraction bits 32-bit terms of a sum must be finer than 16-bit ones to be worth their cost.
const WORTHWHILE_BITS: i32 = 4;
/// Accumulators stay below, as the loader demands.
const ACCUMULATOR: f64 = (1u64 << 46) as f64;

/// What calibration saw of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Least.
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Fraction bits that hold every element exactly.
    pub bits: i32,
}

impl Seen {
    /// Nothing yet.
    pub const NOTHING: Seen = Seen {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
        bits: 0,
    };

    /// Takes in elements.
    pub fn add(&mut self, values: &[f64], count_bits: bool) {
        for &v in values.iter().filter(|v| v.is_finite()) {
            self.low = self.low.min(v);
            self.high = self.high.max(v);
            if count_bits {
                self.bits = self.bits.max(bits_needed(v));
            }
        }
    }

    /// Largest magnitude.
    pub fn largest(&self) -> f64 {
        if self.low > self.high {
            0.0
        } else {
            self.low.abs().max(self.high.abs())
        }
    }
}

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
pub fn quantise_net(net: &Net, seen: &[Seen], options: &Options) -> Result<Quantised> {
    let mut readers = vec![vec![]; net.nodes.len()];
    for (id, node) in net.nodes.iter().enumerate() {
        for x in node.kind.operands() {
            readers[x].push(id);
        }
    }
    let mut returned = vec![false; net.nodes.len()];
    net.outputs.iter().for_each(|o| returned[o.value] = true);
    let mut wide = vec![false; net.nodes.len()];
    for id in (0..net.nodes.len()).rev() {
        wide[id] = readers[id].iter().any(|r| {
            let kind = &net.nodes[*r].kind;
            matches!(kind, Kind::Trees { .. }) || (wide[*r] && (kind.moves_only() || is_clamp(kind)))
        });
    }
    let mut last = vec![true; net.nodes.len()];
    for id in (0..net.nodes.len()).rev() {
        let weighted = |r: &Id| matches!(net.nodes[*r].kind, Kind::Linear { .. } | Kind::Conv { .. });
        last[id] = readers[id].iter().all(|r| !weighted(r) && last[*r]);
    }
    let finer = finer_terms(net, seen, &readers, &returned);
    let mut q = Quantiser {
        net,
        seen,
        options,
        readers,
        returned,
        wide,
        finer,
        last,
        graph: Graph::new(),
        values: vec![None; net.nodes.len()],
        variants: BTreeMap::new(),
        layers: vec![],
    };
    for (place, &id) in net.inputs.iter().enumerate() {
        q.input(place, id)?;
    }
    for id in 0..net.nodes.len() {
        if q.values[id].is_none() && !matches!(net.nodes[id].kind, Kind::Const(_)) {
            q.node(id)?;
        }
    }
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

/// Terms of a sum whose result is much smaller than they are (a mask clipped from steep ramps): which values are read by
/// sums, clamps and scalings only, and how many fraction bits those have. They get 32 bits.
fn finer_terms(net: &Net, seen: &[Seen], readers: &[Vec<Id>], returned: &[bool]) -> Vec<Option<i32>> {
    let bits =
        |id: Id, low: f64, high: f64| fraction_bits(reach(seen[id].largest()).min(low.abs().max(high.abs())), QMAX);
    let mut finer: Vec<Option<i32>> = vec![None; net.nodes.len()];
    for id in (0..net.nodes.len()).rev() {
        if returned[id] {
            continue;
        }
        let wanted: Option<Vec<i32>> = readers[id]
            .iter()
            .map(|&r| match &net.nodes[r].kind {
                Kind::Map { f, .. } => f.clamped().map(|c| bits(r, c.low, c.high)),
                Kind::Add { .. } => Some(match (finer[r], &readers[r][..]) {
                    (Some(k), _) => k,
                    // The clamp that follows becomes part of the sum.
                    (None, [reader]) if is_clamp(&net.nodes[*reader].kind) && !returned[r] => {
                        match &net.nodes[*reader].kind {
                            Kind::Map { f, .. } => f.clamped().map_or(0, |c| bits(*reader, c.low, c.high)),
                            _ => 0,
                        }
                    }
                    _ => bits(r, f64::INFINITY, f64::INFINITY),
                }),
                kind if kind.moves_only() => Some(finer[r].unwrap_or(i32::MIN)),
                _ => None,
            })
            .collect();
        let wanted = wanted.and_then(|w| w.into_iter().max());
        let own = bits(id, f64::INFINITY, f64::INFINITY);
        // 32 bits cost memory and time: they must bring something.
        finer[id] = wanted.filter(|k| *k > own + WORTHWHILE_BITS);
    }
    finer
}

/// Whether a node only clamps.
fn is_clamp(kind: &Kind) -> bool {
    matches!(kind, Kind::Map { f, .. } if f.clamped().is_some_and(|c| c.keeps_scale()))
}

/// Whether a node is read through a table.
fn is_table(kind: &Kind) -> bool {
    matches!(kind, Kind::Map { f, .. } if f.clamped().is_none())
}

struct Quantiser<'a> {
    net: &'a Net,
    seen: &'a [Seen],
    options: &'a Options,
    readers: Vec<Vec<Id>>,
    returned: Vec<bool>,
    /// Whether trees read the value, so that it deserves 32 bits.
    wide: Vec<bool>,
    /// Fraction bits of values that sums want finer than 16 bits hold them.
    finer: Vec<Option<i32>>,
    /// Whether no layer with weights follows.
    last: Vec<bool>,
    graph: Graph,
    values: Vec<Option<Q>>,
    variants: BTreeMap<(Id, i32), Q>,
    layers: Vec<Layer>,
}

/// Where a producer's result goes and how it is limited.
struct Target {
    id: Id,
    low: f64,
    high: f64,
}

impl Quantiser<'_> {
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

    /// The value of a node; constants are stored on demand.
    fn value(&mut self, id: Id) -> Result<Q> {
        if let Some(q) = self.values[id] {
            return Ok(q);
        }
        let Some(values) = self.net.constant(id) else {
            return self.range_error(id, "its value was read before it was computed".into());
        };
        let mut seen = Seen::NOTHING;
        seen.add(values, true);
        let k = fraction_bits(seen.largest(), QMAX).min(seen.bits);
        let data: Vec<i16> = values
            .iter()
            .map(|v| quantise(*v, k).clamp(-QMAX, QMAX) as i16)
            .collect();
        let low = data.iter().copied().min().unwrap_or(0).into();
        let high = data.iter().copied().max().unwrap_or(0).into();
        let op = Op::Constant {
            shape: extents(self.net.shape(id)),
            data: Array::I16(data),
        };
        let q = self.push(op, k, low, high);
        self.values[id] = Some(q);
        Ok(q)
    }

    /// The value within 16 bits.
    fn narrow(&mut self, id: Id) -> Result<Q> {
        let q = self.value(id)?;
        if q.fits(QMAX) {
            return Ok(q);
        }
        let k = fraction_bits(reach(self.seen[id].largest()), QMAX).min(q.k);
        self.at(id, k)
    }

    /// The value with other fraction bits, within 16 bits.
    fn at(&mut self, id: Id, k: i32) -> Result<Q> {
        let q = self.value(id)?;
        if q.k == k && q.fits(QMAX) {
            return Ok(q);
        }
        if let Some(variant) = self.variants.get(&(id, k)) {
            return Ok(*variant);
        }
        let variant = self.requantise(id, q, k, -QMAX, QMAX)?;
        self.variants.insert((id, k), variant);
        Ok(variant)
    }

    /// Other fraction bits and limits: one shift.
    fn requantise(&mut self, node: Id, q: Q, k: i32, low: i32, high: i32) -> Result<Q> {
        if q.k == k {
            return Ok(if q.low >= low && q.high <= high {
                q
            } else {
                self.push(Op::Clamp { x: q.id, low, high }, k, low.max(q.low), high.min(q.high))
            });
        }
        let Some((m, s)) = multiplier(pow2(k - q.k), 31) else {
            return self.range_error(node, format!("it would be shifted by {} bits", k - q.k));
        };
        let op = Op::Rescale {
            x: q.id,
            axis: 0,
            bias: vec![],
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        Ok(self.push(op, k, low, high))
    }

    fn input(&mut self, place: usize, id: Id) -> Result<()> {
        let Kind::Input(declared) = &self.net.nodes[id].kind else {
            return self.range_error(id, "it is no input".into());
        };
        let seen = self.seen[id];
        let name = self.net.nodes[id].name.clone();
        if seen.low > seen.high {
            return self.range_error(id, "the calibration data holds no finite value for it".into());
        }
        // Twice the calibrated range costs nothing: it is the room that the storage has anyway.
        let (low, high) = (seen.low.min(0.0) * 2.0, seen.high.max(0.0) * 2.0);
        let scaled = self.readers[id].iter().all(|r| {
            let kind = &self.net.nodes[*r].kind;
            matches!(kind, Kind::Affine { .. } | Kind::Trees { .. })
                || (kind.moves_only() && self.wide[*r])
                || is_clamp(kind)
        });
        let thresholds = self.threshold_bits(id);
        let needed = seen.bits.max(thresholds);
        let widest = if self.options.provable {
            provable::INPUT_MAX
        } else {
            WIDE_MAX
        };
        let largest = low.abs().max(high.abs());
        let (k, qmax) = if !matches!(declared, Declared::Real) {
            (0, widest)
        } else if needed == 0 && seen.largest() <= f64::from(widest) {
            (0, if largest <= f64::from(QMAX) { QMAX } else { widest })
        } else if self.wide[id] || scaled {
            (fraction_bits(largest, widest - 1).min(WIDE_BITS).min(needed), widest)
        } else {
            (fraction_bits(reach(seen.largest()), QMAX), QMAX)
        };
        let bound = |x: f64| quantise(x, k).clamp(-qmax, qmax);
        let (low, high) = match declared {
            Declared::Within(low, high) => (*low, *high),
            _ => (bound(low), bound(high)),
        };
        debug_assert_eq!(place, self.graph.inputs.len());
        let value = self.graph.input(Input {
            name,
            shape: extents(self.net.shape(id)),
            fraction_bits: k,
            low,
            high,
            saturate: self.options.out_of_range == OutOfRange::Saturate,
        });
        let q = Q {
            id: value,
            k,
            low,
            high,
        };
        self.values[id] = Some(q);
        Ok(())
    }

    /// Fraction bits that hold every threshold of the trees that read a value directly.
    fn threshold_bits(&self, id: Id) -> i32 {
        let trees = self.readers[id].iter().filter_map(|r| match &self.net.nodes[*r].kind {
            Kind::Trees { trees, .. } => Some(trees),
            _ => None,
        });
        trees
            .flat_map(|t| &t.branches)
            .map(|b| bits_needed(b.threshold))
            .max()
            .unwrap_or(0)
    }

    /// Where the result of a node that rescales goes: into the clamp that alone reads it, if there is one.
    fn target(&self, id: Id) -> Target {
        let free = Target {
            id,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        };
        let [reader] = self.readers[id][..] else { return free };
        if self.returned[id] {
            return free;
        }
        match &self.net.nodes[reader].kind {
            Kind::Map { f, .. } => match f.clamped().filter(|c| c.keeps_scale()) {
                Some(c) => Target {
                    id: reader,
                    low: c.low,
                    high: c.high,
                },
                None => free,
            },
            _ => free,
        }
    }

    /// Fraction bits for a target, and its largest magnitude as an integer.
    fn format(&self, target: &Target, bound: f64) -> (i32, i32) {
        let seen = self.seen[target.id];
        let limit = target.low.abs().max(target.high.abs()).min(bound);
        let room = reach(seen.largest()).min(limit);
        if self.wide[target.id] {
            return (fraction_bits(room, WIDE_MAX - 1).min(WIDE_BITS), WIDE_MAX);
        }
        if let Some(k) = self.finer[target.id] {
            return (fraction_bits(room, WIDE_MAX - 1).min(k), WIDE_MAX);
        }
        // The only reader is a table: its input scale.
        let readers = &self.readers[target.id];
        let tables: Vec<i32> = readers
            .iter()
            .filter_map(|r| match &self.net.nodes[*r].kind {
                Kind::Map { f, .. } if is_table(&self.net.nodes[*r].kind) => {
                    Some(table::plan(f, seen.low, seen.high, self.seen[*r].largest()).input_bits)
                }
                _ => None,
            })
            .collect();
        if !self.returned[target.id] && tables.len() == readers.len() && tables.windows(2).all(|w| w[0] == w[1]) {
            if let Some(k) = tables.first() {
                return (*k, QMAX);
            }
        }
        (fraction_bits(room, QMAX), QMAX)
    }

    /// A target's limits as integers.
    fn limits(&self, target: &Target, k: i32, qmax: i32) -> (i32, i32) {
        let bound = |x: f64| quantise(x, k).clamp(-qmax, qmax);
        (bound(target.low), bound(target.high))
    }

    /// Stores what a producer gave for its target.
    fn finish(&mut self, id: Id, target: &Target, q: Q) {
        if target.id != id {
            self.values[id] = Some(q);
        }
        self.set(target.id, q);
    }

    fn node(&mut self, id: Id) -> Result<()> {
        let net = self.net;
        let node = &net.nodes[id];
        let shape = extents(&node.shape);
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
            Kind::Map { x, f } => match f.clamped() {
                Some(c) if c.keeps_scale() => self.clamp(id, *x, c.low, c.high),
                Some(c) => self.affine(id, *x, 0, &[c.scale], &[c.offset], Some((c.low, c.high))),
                None => self.table(id, *x, f),
            },
            Kind::Add { a, b, sign } => self.add(id, *a, *b, *sign),
            Kind::Mul { a, b } => self.mul(id, *a, *b),
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
                let q = self.value(*x)?;
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
            Kind::Slice {
                x,
                axis,
                start,
                step,
                length,
            } => {
                let q = self.value(*x)?;
                let [axis, start, step, length] = [*axis, *start, *step, *length].map(|v| v as u32);
                let op = Op::Slice {
                    x: q.id,
                    axis,
                    start,
                    step,
                    length,
                };
                self.moved(id, op, q)
            }
            Kind::Concat { xs, axis } => self.concat(id, xs, *axis),
            Kind::ArgMax { x } => {
                let q = self.value(*x)?;
                let classes = net.shape(*x).last().copied().unwrap_or(1);
                let q = self.push(Op::ArgMax { x: q.id }, 0, 0, classes as i32 - 1);
                self.set(id, q);
                Ok(())
            }
            Kind::Trees { x, trees } => self.trees(id, *x, trees),
            other => {
                let (reason, advice) = match other {
                    Kind::BatchMatMul { .. } => (
                        "it multiplies two activations",
                        "one operand of a MatMul must be constant (weights); attention between activations is not quantised yet",
                    ),
                    Kind::Compare { .. } => (
                        "it compares two different values",
                        "comparisons work between one value and constants; between two values use Sub and a clamp",
                    ),
                    Kind::Gather { .. } | Kind::GatherElements { .. } => (
                        "its indices are computed",
                        "gather by constants; for an embedding give the one-hot vector and use MatMul",
                    ),
                    Kind::Scan(_) => (
                        "it carries a state over time",
                        "give the state as input and output, and call the model once per step",
                    ),
                    _ => (
                        "the integer engine has no such operation yet",
                        "convertible are MatMul, Gemm, Conv, elementwise functions, Softmax, pooling, Resize, reshapes, Concat, Slice, ArgMax and tree ensembles",
                    ),
                };
                Err(ConvertError::Unsupported {
                    node: node.name.clone(),
                    op: node.kind.name().into(),
                    reason: reason.into(),
                    advice: advice.into(),
                })
            }
        }
    }

    /// An operation that keeps its operand's format.
    fn moved(&mut self, id: Id, op: Op, q: Q) -> Result<()> {
        let q = self.push(op, q.k, q.low, q.high);
        self.set(id, q);
        Ok(())
    }

    /// MatMul and Conv: integer weights per output channel, bias in the accumulator's scale, requantisation.
    fn weighted(
        &mut self,
        id: Id,
        x: Id,
        weights: &[f64],
        bias: &[f64],
        op: impl FnOnce(ValueId, Array, Vec<i64>, Rescale) -> Op,
    ) -> Result<()> {
        let x = self.narrow(x)?;
        let target = self.target(id);
        let (mut k, qmax) = self.format(&target, f64::INFINITY);
        let taps = weights.len() / bias.len().max(1);
        let size: usize = self.net.shape(id).iter().product();
        let wmax = match self.options.weights {
            Weights::I8 => 127,
            Weights::I16 => QMAX,
            Weights::Auto if self.options.provable => provable::WEIGHT_MAX,
            Weights::Auto => {
                let small = if self.last[id] { SMALL_LAST_LAYER } else { SMALL_LAYER };
                if (size as u64) * (taps as u64) < small {
                    QMAX
                } else {
                    127
                }
            }
        };
        let mut integers: Vec<i32> = Vec::with_capacity(weights.len());
        let mut biases = Vec::with_capacity(bias.len());
        let mut scales = Vec::with_capacity(bias.len());
        let mut sums = 1.0f64;
        // A provable layer shifts all its channels alike.
        let least = if self.options.provable {
            let scale_of = |(row, b): (&[f64], &f64)| quantise_channel(row, *b, x.k, x.magnitude(), wmax, 0.0).2;
            scale::power_of_two(weights.chunks(taps).zip(bias).map(scale_of).fold(0.0, f64::max))
        } else {
            0.0
        };
        for (row, &b) in weights.chunks(taps).zip(bias) {
            let (row, b, scale) = quantise_channel(row, b, x.k, x.magnitude(), wmax, least);
            let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
            sums = sums.max(sum * x.magnitude() + b.unsigned_abs() as f64);
            integers.extend(row);
            biases.push(b);
            scales.push(scale);
        }
        let largest = scales.iter().copied().fold(0.0, f64::max);
        // Results of 32 bits deserve multipliers of more than 15, as far as products allow.
        let bits = if qmax > QMAX {
            (61 - libm::frexp(sums).1).clamp(15, 30) as u32
        } else {
            MULTIPLIER_BITS
        };
        while largest * pow2(k - x.k) >= pow2(bits as i32) && k > scale::FRACTION_BITS.0 {
            k -= 1;
        }
        let mut multipliers = Vec::with_capacity(bias.len());
        let mut shifts = Vec::with_capacity(bias.len());
        for scale in scales {
            let Some((m, s)) = multiplier(scale * pow2(k - x.k), bits) else {
                return self.range_error(id, format!("a weight scale of {scale} is too large"));
            };
            multipliers.push(m);
            shifts.push(s);
        }
        if self.options.provable {
            biases
                .iter_mut()
                .zip(&shifts)
                .for_each(|(b, s)| *b = provable::bias(*b, *s));
        }
        let (low, high) = self.limits(&target, k, qmax);
        let weights = if wmax <= 127 {
            Array::I8(integers.iter().map(|w| *w as i8).collect())
        } else {
            Array::I16(integers.iter().map(|w| *w as i16).collect())
        };
        if biases.iter().all(|b| *b == 0) {
            biases.clear();
        }
        let rescale = Rescale {
            multipliers,
            shifts,
            low,
            high,
        };
        let q = self.push(op(x.id, weights, biases, rescale), k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    /// `clamp(x * scale[c] + offset[c])`.
    fn affine(
        &mut self,
        id: Id,
        source: Id,
        axis: usize,
        scale: &[f64],
        offset: &[f64],
        clamp: Option<(f64, f64)>,
    ) -> Result<()> {
        let mut x = self.value(source)?;
        let target = match clamp {
            Some((low, high)) => Target { id, low, high },
            None => self.target(id),
        };
        // What the operand's integers allow bounds the result as well.
        let unit = pow2(-x.k);
        let image = scale.iter().zip(offset).map(|(a, b)| {
            let ends = [f64::from(x.low) * unit * a + b, f64::from(x.high) * unit * a + b];
            ends[0].abs().max(ends[1].abs())
        });
        let (k, qmax) = self.format(&target, image.fold(0.0, f64::max));
        let (low, high) = self.limits(&target, k, qmax);
        // Offsets are added before scaling, in units of x. Where those are too coarse, x gets more fraction bits first.
        let coarse = |k: i32| {
            scale.iter().zip(offset).any(|(a, b)| {
                let exact = b / a * pow2(k);
                *a != 0.0 && (exact - libm::rint(exact)).abs() > 1e-9
            })
        };
        let steepest = scale.iter().map(|a| a.abs()).fold(0.0, f64::max);
        let mut finer = x.k;
        while coarse(finer)
            && steepest * pow2(k - finer) > 0.125
            && x.magnitude() * pow2(finer + 1 - x.k) < f64::from(WIDE_MAX)
        {
            finer += 1;
        }
        x = self.requantise(id, x, finer, -WIDE_MAX, WIDE_MAX)?;
        let mut bias = Vec::new();
        let mut multipliers = Vec::new();
        let mut shifts = Vec::new();
        for (a, b) in scale.iter().zip(offset) {
            if *a == 0.0 {
                // A constant: so large a bias that x does not count beside it.
                bias.push(1 << 45);
                multipliers.push(quantise(*b, k).clamp(low, high));
                shifts.push(45);
                continue;
            }
            let term = b / a * pow2(x.k);
            if term.abs() >= ACCUMULATOR / 4.0 {
                return self.range_error(id, format!("the offset {b} is too large beside the factor {a}"));
            }
            let term = round(term);
            let (_, bits) = libm::frexp(x.magnitude() + term.unsigned_abs() as f64 + 1.0);
            let room = (61 - bits).min(30) as u32;
            let Some((m, s)) = multiplier(a * pow2(k - x.k), room) else {
                return self.range_error(id, format!("the factor {a} is too large"));
            };
            bias.push(term);
            multipliers.push(m);
            shifts.push(s);
        }
        if bias.iter().all(|b| *b == 0) {
            bias.clear();
        }
        let rescale = Rescale {
            multipliers,
            shifts,
            low,
            high,
        };
        let axis = axis as u32;
        let op = Op::Rescale {
            x: x.id,
            axis,
            bias,
            rescale,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    fn clamp(&mut self, id: Id, x: Id, low: f64, high: f64) -> Result<()> {
        let q = self.value(x)?;
        let low = quantise(low, q.k).max(q.low);
        let high = quantise(high, q.k).min(q.high).max(low);
        let q = self.push(Op::Clamp { x: q.id, low, high }, q.k, low, high);
        self.set(id, q);
        Ok(())
    }

    fn table(&mut self, id: Id, x: Id, f: &Expr) -> Result<()> {
        let seen = self.seen[x];
        let plan = table::plan(f, seen.low, seen.high, self.seen[id].largest());
        let q = self.at(x, plan.input_bits)?;
        let low = plan.entries.iter().copied().min().unwrap_or(0).into();
        let high = plan.entries.iter().copied().max().unwrap_or(0).into();
        let op = Op::Table {
            x: q.id,
            table: plan.entries,
        };
        let q = self.push(op, plan.output_bits, low, high);
        self.set(id, q);
        Ok(())
    }

    fn add(&mut self, id: Id, a: Id, b: Id, sign: f64) -> Result<()> {
        let (qa, qb) = (self.value(a)?, self.value(b)?);
        let target = self.target(id);
        let image = qa.magnitude() * pow2(-qa.k) + qb.magnitude() * pow2(-qb.k);
        let (k, qmax) = self.format(&target, image);
        // Factors are powers of two; terms far below the result's unit lose bits before far larger ones overflow.
        let shift = (qa.k - k).max(qb.k - k).clamp(0, 30);
        let factor = |q: Q| round(pow2((k - q.k + shift).min(30))) as i32;
        let (low, high) = self.limits(&target, k, qmax);
        let multipliers = [factor(qa), if sign < 0.0 { -factor(qb) } else { factor(qb) }];
        let op = Op::Add {
            a: qa.id,
            b: qb.id,
            multipliers,
            shift: shift as u8,
            low,
            high,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    fn mul(&mut self, id: Id, a: Id, b: Id) -> Result<()> {
        let (qa, qb) = (self.narrow(a)?, self.narrow(b)?);
        let target = self.target(id);
        let image = qa.magnitude() * pow2(-qa.k) * qb.magnitude() * pow2(-qb.k);
        let (k, qmax) = self.format(&target, image);
        let Some((m, s)) = multiplier(pow2(k - qa.k - qb.k), 31) else {
            return self.range_error(id, "its factors are too coarse for its product".into());
        };
        let (low, high) = self.limits(&target, k, qmax);
        let op = Op::Mul {
            a: qa.id,
            b: qb.id,
            multiplier: m,
            shift: s,
            low,
            high,
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }

    fn softmax(&mut self, id: Id, x: Id) -> Result<()> {
        let q = self.value(x)?;
        // Units of 2^-16 of a binary exponent per unit of x.
        let factor = std::f64::consts::LOG2_E * pow2(16 - q.k);
        let Some((m, s)) = multiplier(factor, 31).filter(|(m, _)| *m > 0) else {
            return self.range_error(id, format!("its input counts units of 2^{}", -q.k));
        };
        let op = Op::Softmax {
            x: q.id,
            multiplier: m,
            shift: s,
        };
        let q = self.push(op, 15, 0, QMAX);
        self.set(id, q);
        Ok(())
    }

    fn concat(&mut self, id: Id, xs: &[Id], axis: usize) -> Result<()> {
        let wide = self.wide[id] || self.finer[id].is_some();
        let mut qs = xs.iter().map(|x| self.value(*x)).collect::<Result<Vec<_>>>()?;
        let k = if qs.windows(2).all(|w| w[0].k == w[1].k) {
            qs[0].k
        } else {
            let finest = qs.iter().map(|q| q.k).max().unwrap_or(0);
            // Integers beside reals, both exact, need no more bits than their operands have.
            let largest = qs.iter().map(|q| q.magnitude() * pow2(-q.k)).fold(0.0, f64::max);
            let qmax = if wide { WIDE_MAX - 1 } else { QMAX };
            let room = reach(self.seen[id].largest()).min(largest);
            fraction_bits(room, qmax).min(finest)
        };
        let limit = if wide { WIDE_MAX } else { QMAX };
        for q in &mut qs {
            if q.k != k {
                *q = self.requantise(id, *q, k, -limit, limit)?;
            }
        }
        let low = qs.iter().map(|q| q.low).min().unwrap_or(0);
        let high = qs.iter().map(|q| q.high).max().unwrap_or(0);
        let op = Op::Concat {
            xs: qs.iter().map(|q| q.id).collect(),
            axis: axis as u32,
        };
        let q = self.push(op, k, low, high);
        self.set(id, q);
        Ok(())
    }

    /// Thresholds are rounded by the rule that rounds inputs; `x < t` is `q <= t' - 1`.
    fn trees(&mut self, id: Id, x: Id, trees: &FloatTrees) -> Result<()> {
        let q = self.value(x)?;
        let target = self.target(id);
        // A table reads 16 bits; anything else may as well have 32.
        let tabled = self.readers[target.id]
            .iter()
            .any(|r| is_table(&self.net.nodes[*r].kind));
        let (k, qmax) = if tabled {
            self.format(&target, f64::INFINITY)
        } else {
            let room = reach(self.seen[target.id].largest());
            (fraction_bits(room, WIDE_MAX - 1).min(LEAF_BITS), WIDE_MAX)
        };
        // Weights as fine as 30 bits and the bound of the sums allow.
        let mut largest = 0.0f64;
        let mut sums: Vec<f64> = trees.base.iter().map(|b| b.abs()).collect();
        for leaf in &trees.leaves {
            for (target, weight) in leaf {
                largest = largest.max(weight.abs());
                sums[*target] += weight.abs();
            }
        }
        let bound = sums.iter().copied().fold(0.0, f64::max);
        let mut bits = 40;
        while bits > k && (largest * pow2(bits) >= pow2(30) || bound * pow2(bits) >= pow2(45)) {
            bits -= 1;
        }
        if largest * pow2(bits) >= pow2(31) {
            return self.range_error(
                id,
                format!("a leaf adds {largest}, the sums are about {}", self.seen[id].largest()),
            );
        }
        let scale = pow2(bits);
        let mut leaf_starts = vec![0];
        let mut targets = Vec::new();
        let mut weights = Vec::new();
        for leaf in &trees.leaves {
            let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
            leaf.iter()
                .for_each(|(target, weight)| *sums.entry(*target).or_default() += weight);
            for (target, weight) in sums {
                targets.push(target as i32);
                weights.push(round(weight * scale).clamp(i32::MIN.into(), i32::MAX.into()) as i32);
            }
            leaf_starts.push(targets.len() as i32);
        }
        let threshold = |b: &crate::trees::Branch| {
            let t = quantise(b.threshold, q.k);
            if b.strict {
                t.saturating_sub(1)
            } else {
                t
            }
        };
        let ensemble = Trees {
            roots: trees.roots.clone(),
            features: trees.branches.iter().map(|b| b.feature as i32).collect(),
            thresholds: trees.branches.iter().map(threshold).collect(),
            left: trees.branches.iter().map(|b| b.left).collect(),
            right: trees.branches.iter().map(|b| b.right).collect(),
            leaf_starts,
            targets,
            weights,
            base: trees.base.iter().map(|b| round(b * scale)).collect(),
        };
        let (low, high) = self.limits(&target, k, qmax);
        let Some((m, s)) = multiplier(pow2(k - bits), MULTIPLIER_BITS) else {
            return self.range_error(id, "its leaves are too coarse".into());
        };
        let op = Op::TreeEnsemble {
            x: q.id,
            trees: ensemble,
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }
}

/// Integers for one output channel: weights, bias in units of the accumulator, and the scale of a weight.
///
/// The scale is the finest with which weights fit `wmax` and the accumulator its bound, and no finer than `least`.
fn quantise_channel(row: &[f64], bias: f64, k: i32, xmax: f64, wmax: i32, least: f64) -> (Vec<i32>, i64, f64) {
    let largest = row.iter().map(|w| w.abs()).fold(0.0, f64::max);
    let mut scale = (largest / f64::from(wmax))
        .max(bias.abs() * pow2(k) / pow2(40))
        .max(least);
    if scale == 0.0 {
        scale = pow2(-k);
    }
    loop {
        let limit = i64::from(wmax);
        let row: Vec<i32> = row
            .iter()
            .map(|w| round(w / scale).clamp(-limit, limit) as i32)
            .collect();
        let term = round(bias / scale * pow2(k));
        let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
        if sum * xmax.max(1.0) + term.unsigned_abs() as f64 <= ACCUMULATOR / 2.0 {
            return (row, term, scale);
        }
        scale *= 2.0;
    }
}

/// Extents in the engine's type.
fn extents(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|e| *e as u32).collect()
}
