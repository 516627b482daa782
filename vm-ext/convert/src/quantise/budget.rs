//! How the 31 bits of a sum are shared between the values and the weights that it is made of.
//!
//! A sum of K products stays in 32 bits where `L1(weights) * max |x| < 2^31`, so every bit of the values costs the weights
//! one. Rounding is taken to be independent noise of a twelfth of a squared unit: with values in units of u and weights in units
//! of s, a sum is off by `(u^2 * L2(weights)^2 + s^2 * K * mean x^2) / 12`, in the mean of its square. A value that
//! layers read gets the unit with which this, beside what the layers give, is least for all that read it.

use super::scale::{fraction_bits, pow2, reach, FRACTION_BITS, QMAX};
use super::seen::Seen;
use crate::net::{Id, Kind, Net};

/// Sums below it are kept in 32 bits.
pub(super) const SHORT_SUM: f64 = (1u64 << 31) as f64;
/// Products whose sum stays below that where a whole channel's does not: moving sums to 64 bits takes little time beside so many.
pub(super) const BLOCK: usize = 64;
/// Squared error of 8-bit weights beside the mean square of what a layer gives up to which they do.
const FINE_IN_BYTES: f64 = 1.0 / 16384.0;
/// And up to which sums of 32 bits do.
const FINE_IN_SHORT_SUMS: f64 = 1.0 / 65536.0;
/// What blocks have to leave of the squared error of sums of 32 bits to be worth their gas.
const WORTH_BLOCKS: f64 = 0.25;
/// How far a value reaches beyond what calibration saw, where sums want it small.
const HEADROOM: f64 = 2.0;
/// Units that are tried: the finest and so many coarser ones.
const UNITS: usize = 8;
/// A coarser unit has to lessen the squared error to this part of what the finest one leaves.
const WORTHWHILE: f64 = 0.9;

/// How a layer's sums are kept, and weights stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// Weights of 8 bits.
    Bytes,
    /// As many of 16 as leave whole sums 32 bits.
    Short,
    /// As many of 16 as leave blocks of a sum 32 bits.
    Blocks,
}

/// Norms of a channel's weights.
#[derive(Clone, Copy, Debug)]
struct Channel {
    largest: f64,
    sum: f64,
    squares: f64,
}

/// What is known of a layer before it is made of integers.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    channels: Vec<Channel>,
    taps: f64,
    /// Mean square of the operand.
    operand: f64,
    /// Mean square of what the layer gives, of its weights' part.
    result: f64,
    /// Whether the operand is whole numbers.
    exact: bool,
}

impl Estimate {
    /// A layer with `taps` weights a channel, by what calibration saw of its operand and result.
    pub fn new(weights: &[f64], taps: usize, operand: &Seen, result: &Seen) -> Estimate {
        let operand = operand.mean_square();
        let channel = |row: &[f64]| Channel {
            largest: row.iter().fold(0.0, |m, w| w.abs().max(m)),
            sum: row.iter().map(|w| w.abs()).sum(),
            squares: row.iter().map(|w| w * w).sum(),
        };
        let channels: Vec<Channel> = weights.chunks(taps.max(1)).map(channel).collect();
        let squares = channels.iter().map(|c| c.squares).sum::<f64>() / channels.len().max(1) as f64;
        // A bias may be most of a result and a clamp may hide most of it; neither is what weights have to be exact for.
        let result = result.mean_square().min(squares * operand);
        Estimate {
            channels,
            taps: taps as f64,
            operand,
            result,
            exact: false,
        }
    }

    /// The same of an operand that needs no rounding.
    pub fn exact(mut self, exact: bool) -> Estimate {
        self.exact = exact;
        self
    }

    /// Squared error of the sums beside the squared result, with an operand in units of `2^-k` up to `most` of them.
    pub fn error(&self, k: i32, most: f64, width: Width) -> f64 {
        let unit = if self.exact { 0.0 } else { pow2(-k) };
        let block = match width {
            Width::Blocks => (BLOCK as f64 / self.taps).min(1.0),
            _ => 1.0,
        };
        let largest = match width {
            Width::Bytes => 127.0,
            _ => f64::from(QMAX),
        };
        let noise = |c: &Channel| {
            let scale = (c.largest / largest).max(c.sum * block * most / SHORT_SUM);
            scale * scale * self.taps * self.operand + unit * unit * c.squares
        };
        let noise = self.channels.iter().map(noise).sum::<f64>() / self.channels.len().max(1) as f64 / 12.0;
        if noise == 0.0 {
            0.0
        } else {
            noise / self.result
        }
    }

    /// The narrowest width that does, with an operand of these units.
    pub fn width(&self, k: i32, most: f64, bytes: bool) -> Width {
        self.best(bytes, |width| self.error(k, most, width))
    }

    /// The narrowest width that does, by their errors.
    fn best(&self, bytes: bool, error: impl Fn(Width) -> f64) -> Width {
        if bytes && error(Width::Bytes) <= FINE_IN_BYTES {
            return Width::Bytes;
        }
        let short = error(Width::Short);
        match short > FINE_IN_SHORT_SUMS && error(Width::Blocks) < short * WORTH_BLOCKS {
            true => Width::Blocks,
            false => Width::Short,
        }
    }
}

/// The format that the sums of its readers ask of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Fraction bits at most.
    pub k: i32,
    /// Largest magnitude as an integer.
    pub most: i32,
}

/// Squared errors that units of a value cause, from the finest one on.
#[derive(Clone, Copy, Debug)]
struct Curve {
    /// Fraction bits of the finest.
    finest: i32,
    errors: [f64; UNITS],
    /// What the finest one causes with all 16 bits taken.
    unshared: f64,
}

impl Curve {
    fn at(&self, k: i32) -> f64 {
        self.errors[usize::try_from(self.finest - k).unwrap_or(0).min(UNITS - 1)]
    }
}

/// The largest integer that a value takes, with so many fraction bits.
fn most(seen: &Seen, k: i32) -> f64 {
    libm::ceil(seen.largest() * HEADROOM * pow2(k)).min(f64::from(QMAX))
}

/// What the readers of every value ask of it, but of what is `whole`; `bytes` says of a layer whether its weights may have 8 bits.
pub(super) fn shares(
    net: &Net,
    seen: &[Seen],
    readers: &[Vec<Id>],
    returned: &[bool],
    whole: &[bool],
    bytes: impl Fn(Id) -> bool,
) -> Vec<Option<Share>> {
    let count = net.nodes.len();
    let mut curves: Vec<Option<Curve>> = vec![None; count];
    let mut shares = vec![None; count];
    for id in (0..count).rev().filter(|id| !returned[*id] && !whole[*id]) {
        let finest = fraction_bits(reach(seen[id].largest()), QMAX);
        let mut curve = Curve {
            finest,
            errors: [0.0; UNITS],
            unshared: 0.0,
        };
        let units = || (0..UNITS).map(|i| (finest - i as i32).max(FRACTION_BITS.0));
        let mut asked = false;
        for &r in &readers[id] {
            if let Some(layer) = estimate(net, seen, r, id) {
                let least = |width| {
                    let errors = units().map(|k| layer.error(k, most(&seen[id], k), width));
                    errors.fold(f64::INFINITY, f64::min)
                };
                let width = layer.best(bytes(r), least);
                for (error, k) in curve.errors.iter_mut().zip(units()) {
                    *error += layer.error(k, most(&seen[id], k), width);
                }
                curve.unshared += layer.error(finest, f64::from(QMAX), width);
                asked = true;
            } else if let (true, Some(handed)) = (hands_on(&net.nodes[r].kind, id), curves[r]) {
                for (error, k) in curve.errors.iter_mut().zip(units()) {
                    *error += handed.at(k);
                }
                curve.unshared += handed.unshared;
                asked = true;
            } else {
                let square = seen[id].mean_square();
                let noise = |k: i32| {
                    if square > 0.0 {
                        pow2(-2 * k) / 12.0 / square
                    } else {
                        0.0
                    }
                };
                for (error, k) in curve.errors.iter_mut().zip(units()) {
                    *error += noise(k);
                }
                curve.unshared += noise(finest);
            }
        }
        if !asked {
            continue;
        }
        curves[id] = Some(curve);
        let mut least = (curve.unshared * WORTHWHILE, None);
        for (error, k) in curve.errors.iter().zip(units()) {
            if *error < least.0 {
                let most = most(&seen[id], k) as i32;
                least = (*error, Some(Share { k, most }));
            }
        }
        shares[id] = least.1;
    }
    shares
}

/// A layer that multiplies a value by weights.
fn estimate(net: &Net, seen: &[Seen], layer: Id, x: Id) -> Option<Estimate> {
    let (Kind::Linear {
        x: operand,
        weights,
        bias,
    }
    | Kind::Conv {
        x: operand,
        weights,
        bias,
        ..
    }) = &net.nodes[layer].kind
    else {
        return None;
    };
    let taps = weights.len() / bias.len().max(1);
    (*operand == x).then(|| Estimate::new(weights, taps, &seen[x], &seen[layer]))
}

/// Whether a node gives its operand's elements in the operand's format.
fn hands_on(kind: &Kind, operand: Id) -> bool {
    match kind {
        Kind::MaxPool { .. }
        | Kind::AvgPool { .. }
        | Kind::Broadcast { .. }
        | Kind::Pad { .. }
        | Kind::ReduceMax { .. } => true,
        Kind::Gather { x, .. } => *x == operand,
        kind => kind.moves_only() || super::plan::is_clamp(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Expr, Unary};

    /// What a value looks like that lies evenly between -`largest` and `largest`.
    fn seen(largest: f64) -> Seen {
        let mut seen = Seen::NOTHING;
        let values: Vec<f64> = (-50..=50).map(|i| largest * f64::from(i) / 50.0).collect();
        seen.add(&values, false);
        seen
    }

    /// Numbers from -1 to 1 (Knuth's linear congruential generator).
    fn noise(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / pow2(52) - 1.0
        })
    }

    /// Weights of both signs and many sizes.
    fn weights(count: usize) -> Vec<f64> {
        noise(1).take(count).map(|w| w / 10.0).collect()
    }

    /// A value that `count` layers of so many taps read, and that a sum reads besides.
    fn read_by(layers: &[usize], summed: bool) -> (Net, Vec<Seen>) {
        let mut net = Net::default();
        let taps = layers[0];
        let zero = net.push("zero", Kind::Const(vec![0.0; taps]), vec![1, taps]);
        let f = Expr::unary(Unary::Tanh, Expr::X);
        let x = net.push("x", Kind::Map { x: zero, f }, vec![1, taps]);
        let mut seen = vec![seen(0.0), seen(1.0)];
        for taps in layers {
            let kind = Kind::Linear {
                x,
                weights: weights(taps * 4),
                bias: vec![0.0; 4],
            };
            net.push("layer", kind, vec![1, 4]);
            seen.push(self::seen(1.0));
        }
        if summed {
            net.push("sum", Kind::Add { a: x, b: x, sign: 1.0 }, vec![1, taps]);
            seen.push(self::seen(2.0));
        }
        (net, seen)
    }

    /// The format that is asked of the value.
    fn share((net, seen): &(Net, Vec<Seen>)) -> Option<Share> {
        let mut readers = vec![vec![]; net.nodes.len()];
        for (id, node) in net.nodes.iter().enumerate() {
            node.kind.operands().into_iter().for_each(|x| readers[x].push(id));
        }
        let never = vec![false; net.nodes.len()];
        shares(net, seen, &readers, &never, &never, |_| false)[1]
    }

    #[test]
    fn long_sums_ask_for_coarser_values_than_short_ones() {
        assert_eq!(share(&read_by(&[8], false)), None);
        let long = share(&read_by(&[1536], false)).unwrap();
        assert!(long.k < 12 && long.most <= 1 << (long.k + 1), "{long:?}");
    }

    #[test]
    fn what_is_asked_is_the_least_of_all_units() {
        let case = read_by(&[1536], false);
        let share = share(&case).unwrap();
        let layer = estimate(&case.0, &case.1, 2, 1).unwrap();
        let error = |k: i32| layer.error(k, most(&case.1[1], k), Width::Short);
        assert!((8..=15).all(|k| error(share.k) <= error(k)));
        // Far less than with all bits of the value, and than with one bit fewer.
        assert!(error(share.k) * 8.0 < layer.error(14, f64::from(QMAX), Width::Short));
        assert!(error(share.k) * 1.05 < error(share.k - 2));
    }

    #[test]
    fn a_short_sum_that_reads_it_too_asks_for_finer_values() {
        let alone = share(&read_by(&[1536], false)).unwrap();
        let both = share(&read_by(&[1536, 8, 8, 8], false)).unwrap();
        assert!(both.k >= alone.k, "{both:?} {alone:?}");
    }

    #[test]
    fn what_no_layer_reads_is_asked_nothing() {
        let (net, seen) = read_by(&[8], true);
        let none = vec![vec![]; net.nodes.len()];
        let never = vec![false; net.nodes.len()];
        let shares = shares(&net, &seen, &none, &never, &never, |_| true);
        assert!(shares.iter().all(Option::is_none));
    }

    #[test]
    fn what_the_model_returns_keeps_its_format() {
        let (net, seen) = read_by(&[1536], false);
        let readers = vec![vec![1], vec![2], vec![]];
        let returned = [false, true, true];
        assert_eq!(
            shares(&net, &seen, &readers, &returned, &[false; 3], |_| false)[1],
            None
        );
    }

    #[test]
    fn the_estimate_is_what_rounding_does() {
        // One channel of 512 taps, values of 12 bits: rounded sums beside exact ones.
        let (taps, k) = (512, 11);
        let w = weights(taps);
        let estimate = Estimate::new(&w, taps, &seen(1.0), &seen(1e9));
        let most = pow2(k);
        let sum: f64 = w.iter().map(|w| w.abs()).sum();
        let scale = (w.iter().fold(0.0f64, |m, w| m.max(w.abs())) / 32767.0).max(sum * most / SHORT_SUM);
        let round = |v: f64, unit: f64| libm::floor(v / unit + 0.5) * unit;
        let (mut error, mut result) = (0.0, 0.0);
        for t in 2..402 {
            let x: Vec<f64> = noise(t).take(taps).collect();
            let exact: f64 = x.iter().zip(&w).map(|(x, w)| x * w).sum();
            let rounded = x.iter().zip(&w).map(|(x, w)| round(*x, pow2(-k)) * round(*w, scale));
            let off = exact - rounded.sum::<f64>();
            error += off * off;
            result += exact * exact;
        }
        let measured = error / result;
        let expected = estimate.error(k, most, Width::Short);
        assert!(
            measured < expected * 1.5 && expected < measured * 1.5,
            "{measured} {expected}"
        );
    }

    #[test]
    fn widths_follow_from_errors() {
        let even = vec![1.0; 64];
        let fine = Estimate::new(&even, 64, &seen(1.0), &seen(10.0));
        assert_eq!(fine.width(14, 16384.0, true), Width::Bytes);
        assert_eq!(fine.width(14, 16384.0, false), Width::Short);
        // One weight beside which bytes know no others.
        let mut odd = vec![0.001; 64];
        odd[0] = 1.0;
        let odd = Estimate::new(&odd, 64, &seen(1.0), &seen(0.01));
        assert_eq!(odd.width(14, 16384.0, true), Width::Short);
        // So many products that sums of 32 bits leave a weight some bits beside values of 16.
        let many = Estimate::new(&weights(1 << 14), 1 << 14, &seen(1.0), &seen(0.1));
        assert_eq!(many.width(14, 32767.0, false), Width::Blocks);
    }

    #[test]
    fn nothing_is_asked_of_what_is_no_number() {
        let mut case = read_by(&[1536], false);
        if let Kind::Linear { weights, .. } = &mut case.0.nodes[2].kind {
            weights[0] = f64::NAN;
        }
        assert_eq!(share(&case), None);
    }
}
