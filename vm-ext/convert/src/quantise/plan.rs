//! What is known of every value before the first one is quantised.

use super::budget::{self, Share};
use super::functions;
use super::scale::{fraction_bits, reach, QMAX};
use super::seen::Seen;
use crate::net::{Declared, Elements, Id, Kind, Net};
use crate::options::{Options, Weights};

/// By how many fraction bits 32-bit terms of a sum must be finer than 16-bit ones to be worth their cost.
const WORTHWHILE_BITS: i32 = 4;
/// Whole numbers stay exact up to here.
const WHOLE_MAX: f64 = 2147483647.0;
/// Products of matrices with fewer multiplications than this keep their operands' 16 bits.
const FEW_PRODUCTS: usize = 1 << 14;
/// Fewer units than this would cost accuracy.
const LEAST_UNITS: f64 = 2000.0;

/// Layers with fewer multiplications than this get 16-bit weights by default, whatever 8 bits would do.
const SMALL_LAYER: u64 = 2_000_000;
/// The last layers before the outputs get 16 bits up to this: nothing after them averages their errors away.
const SMALL_LAST_LAYER: u64 = 16_000_000;

/// Per value.
pub(super) struct Plan {
    /// Which nodes read it.
    pub readers: Vec<Vec<Id>>,
    /// Whether the model returns it.
    pub returned: Vec<bool>,
    /// Whether trees read it, so that it deserves 32 bits.
    pub wide: Vec<bool>,
    /// Fraction bits, where sums want it finer than 16 bits hold it.
    pub finer: Vec<Option<i32>>,
    /// Largest magnitude as an integer that leaves the products which it goes into sums of 32 bits.
    pub factor: Vec<i32>,
    /// The format that the sums of its readers ask of it.
    pub share: Vec<Option<Share>>,
    /// Whether no layer with weights follows.
    pub last: Vec<bool>,
    /// Whether all its elements are whole numbers, which stay exact: no fraction bits.
    pub whole: Vec<bool>,
    /// Whether it is divided by, rounded or compared, so that every bit counts.
    pub fine: Vec<bool>,
    /// Whether it is a function made of several operations instead of a table.
    pub composed: Vec<bool>,
}

impl Plan {
    /// Looks at a net. `given` says of its inputs whether they are whole, where that is not for their types to say.
    pub fn new(net: &Net, seen: &[Seen], options: &Options, given: Option<&[bool]>) -> Plan {
        let count = net.nodes.len();
        let mut readers = vec![vec![]; count];
        for (id, node) in net.nodes.iter().enumerate() {
            for x in node.kind.operands() {
                readers[x].push(id);
            }
        }
        let mut returned = vec![false; count];
        net.outputs.iter().for_each(|o| returned[o.value] = true);
        let mut wide = vec![false; count];
        for id in (0..count).rev() {
            wide[id] = readers[id].iter().any(|r| {
                let kind = &net.nodes[*r].kind;
                matches!(kind, Kind::Trees { .. }) || (wide[*r] && (kind.moves_only() || is_clamp(kind)))
            });
        }
        let mut last = vec![true; count];
        for id in (0..count).rev() {
            let weighted = |r: &Id| matches!(net.nodes[*r].kind, Kind::Linear { .. } | Kind::Conv { .. });
            last[id] = readers[id].iter().all(|r| !weighted(r) && last[*r]);
        }
        let finer = finer_terms(net, seen, &readers, &returned);
        let factor = factors(net, &readers, &returned);
        let mut plan = Plan {
            readers,
            returned,
            wide,
            finer,
            factor,
            share: vec![None; count],
            last,
            whole: vec![false; count],
            fine: vec![false; count],
            composed: vec![false; count],
        };
        // Circuits know neither whole numbers nor functions.
        if !options.provable {
            plan.whole = whole_numbers(net, given);
            let bytes = |id: Id| match options.weights {
                Weights::I8 => true,
                Weights::I16 => false,
                Weights::Auto => takes_bytes(net, id, plan.last[id]),
            };
            plan.share = budget::shares(net, seen, &plan.readers, &plan.returned, &plan.whole, bytes);
            for (id, node) in net.nodes.iter().enumerate() {
                if let Kind::Map { x, f } = &node.kind {
                    plan.composed[id] = f.clamped().is_none()
                        && (plan.whole[id] || functions::is_steep(f, &seen[*x], seen[id].largest()));
                }
            }
            for id in (0..count).rev() {
                plan.fine[id] = !plan.whole[id] && plan.readers[id].iter().any(|r| plan.needs_fine(net, id, *r));
                if let Kind::Map { f, .. } = &net.nodes[id].kind {
                    plan.composed[id] |= plan.fine[id] && f.clamped().is_none() && functions::is_exact(f);
                }
            }
        }
        plan
    }

    /// Whether a reader needs every bit of a value.
    fn needs_fine(&self, net: &Net, id: Id, reader: Id) -> bool {
        let kind = &net.nodes[reader].kind;
        match kind {
            Kind::Div { b, .. } if *b == id => true,
            Kind::Compare { .. } | Kind::TopK { .. } => true,
            Kind::Map { .. } if self.composed[reader] => true,
            Kind::Map { .. } => self.fine[reader] && !is_table(kind),
            Kind::Div { .. }
            | Kind::Mul { .. }
            | Kind::Add { .. }
            | Kind::Affine { .. }
            | Kind::AvgPool { .. }
            | Kind::ReduceSum { .. }
            | Kind::Broadcast { .. }
            | Kind::Gather { .. }
            | Kind::GatherElements { .. }
            | Kind::Pad { .. }
            | Kind::ReduceMax { .. } => self.fine[reader],
            kind => self.fine[reader] && kind.moves_only(),
        }
    }
}

/// Whether a number is whole and exact in 32 bits.
pub(super) fn is_whole(v: f64) -> bool {
    v.abs() <= WHOLE_MAX && v == libm::trunc(v)
}

/// Which values are whole numbers: by their types, or because nothing else can come of whole numbers.
fn whole_numbers(net: &Net, given: Option<&[bool]>) -> Vec<bool> {
    let mut whole = vec![false; net.nodes.len()];
    for (id, node) in net.nodes.iter().enumerate() {
        let all = |list: &[f64]| list.iter().all(|v| is_whole(*v));
        let weights = |list: &[f64]| list.iter().all(|v| is_whole(*v) && v.abs() <= f64::from(QMAX));
        let of = |x: &Id| whole[*x];
        let here = match &node.kind {
            Kind::Input(declared) => match (given, net.inputs.iter().position(|i| *i == id)) {
                (Some(given), Some(place)) => given.get(place).copied().unwrap_or(false),
                _ => !matches!(declared, Declared::Real),
            },
            Kind::Const(values) => all(values),
            Kind::Linear { x, weights: w, bias } => of(x) && weights(w) && all(bias),
            Kind::Conv {
                x, weights: w, bias, ..
            } => of(x) && weights(w) && all(bias),
            Kind::Affine { x, scale, offset, .. } => of(x) && all(scale) && all(offset),
            Kind::Map { x, f } => functions::gives_whole(f, of(x)),
            Kind::Add { a, b, .. } | Kind::Mul { a, b } | Kind::BatchMatMul { a, b } => of(a) && of(b),
            Kind::Min { a, b } | Kind::Max { a, b } | Kind::Select { a, b, .. } => of(a) && of(b),
            Kind::Compare { .. } | Kind::ArgMax { .. } | Kind::TopK { .. } => true,
            Kind::ReduceSum { x, factor, .. } => of(x) && is_whole(*factor),
            Kind::Pad { x, value, .. } => of(x) && is_whole(*value),
            Kind::ReduceMax { x, .. }
            | Kind::Gather { x, .. }
            | Kind::GatherElements { x, .. }
            | Kind::Broadcast { x }
            | Kind::MaxPool { x, .. }
            | Kind::Upsample { x, .. }
            | Kind::Reshape { x }
            | Kind::Transpose { x, .. }
            | Kind::Slice { x, .. } => of(x),
            Kind::Concat { xs, .. } => xs.iter().all(of),
            Kind::Div { .. }
            | Kind::LayerNorm { .. }
            | Kind::Softmax { .. }
            | Kind::AvgPool { .. }
            | Kind::Trees { .. }
            | Kind::Scan(_) => false,
        };
        let made = !matches!(node.kind, Kind::Const(_) | Kind::Input(_) | Kind::Scan(_));
        // What the file declares as integers is made to be.
        whole[id] = here || (made && matches!(node.of, Elements::Integer(..)));
    }
    whole
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

/// The largest magnitude of factors whose products sum up within 32 bits, where that leaves them enough units.
pub(super) fn factor_limit(net: &Net, a: Id, b: Id) -> Option<i32> {
    // A softmax's rows sum up to one: nothing overflows.
    if is_softmax(net, a) {
        return None;
    }
    let inner = net.shape(a).last().copied().unwrap_or(1).max(1);
    let columns = net.shape(b).last().copied().unwrap_or(1);
    let rows: usize = net.shape(a).iter().product::<usize>() / inner;
    // Integers of two's complement reach one unit further down.
    let most = libm::floor(libm::sqrt(WHOLE_MAX / inner as f64)) - 1.0;
    (most >= LEAST_UNITS && rows.saturating_mul(inner).saturating_mul(columns) >= FEW_PRODUCTS)
        .then_some(most.min(f64::from(QMAX)) as i32)
}

fn is_softmax(net: &Net, id: Id) -> bool {
    match &net.nodes[id].kind {
        Kind::Softmax { .. } => true,
        kind if kind.moves_only() => kind.operands().iter().all(|x| is_softmax(net, *x)),
        _ => false,
    }
}

/// `Plan::factor` of every value.
fn factors(net: &Net, readers: &[Vec<Id>], returned: &[bool]) -> Vec<i32> {
    let mut factor = vec![QMAX; net.nodes.len()];
    for id in (0..net.nodes.len()).rev().filter(|id| !returned[*id]) {
        let allowed = readers[id].iter().map(|r| match &net.nodes[*r].kind {
            Kind::BatchMatMul { a, b } => factor_limit(net, *a, *b).unwrap_or(QMAX),
            kind if kind.moves_only() => factor[*r],
            _ => QMAX,
        });
        factor[id] = allowed.max().unwrap_or(QMAX);
    }
    factor
}

/// Whether a layer is large enough for weights of 8 bits; `last`: no layer follows.
pub(super) fn takes_bytes(net: &Net, id: Id, last: bool) -> bool {
    let (weights, bias) = match &net.nodes[id].kind {
        Kind::Linear { weights, bias, .. } => (weights, bias),
        // A convolution of one or two channels a group takes as long with weights of either width.
        Kind::Conv { bias, groups, .. } if bias.len() <= 2 * groups => return false,
        Kind::Conv { weights, bias, .. } => (weights, bias),
        _ => return false,
    };
    let results = net.shape(id).iter().product::<usize>() as u64;
    let taps = (weights.len() / bias.len().max(1)) as u64;
    results.saturating_mul(taps) >= if last { SMALL_LAST_LAYER } else { SMALL_LAYER }
}

/// Whether a node only clamps.
pub(super) fn is_clamp(kind: &Kind) -> bool {
    matches!(kind, Kind::Map { f, .. } if f.clamped().is_some_and(|c| c.keeps_scale()))
}

/// Whether a node is read through a table.
pub(super) fn is_table(kind: &Kind) -> bool {
    matches!(kind, Kind::Map { f, .. } if f.clamped().is_none())
}
