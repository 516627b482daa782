//! The range certificate of sums: that no accumulator and no product with a multiplier can overflow, in any order.

use super::{check_rescale, pick, rounded, scaled, Storage, Sums, ValueType, ACCUMULATOR_BOUND, PRODUCT_BOUND};
use crate::error::NodeProblem;
use crate::graph::{Array, Rescale};

/// Bound of sums kept in 32 bits.
const NARROW_BOUND: i128 = 1 << 31;

/// Output range over channels.
pub(super) struct Range<'a> {
    rescale: &'a Rescale,
    pub(super) low: i32,
    pub(super) high: i32,
}

impl<'a> Range<'a> {
    pub(super) fn new(rescale: &'a Rescale) -> Self {
        Range {
            rescale,
            low: i32::MAX,
            high: i32::MIN,
        }
    }

    /// Adds a channel whose accumulator lies in `low..=high`.
    pub(super) fn include(&mut self, channel: usize, low: i128, high: i128) -> Result<(), NodeProblem> {
        // Lists were checked: there is an element for every channel.
        let m = i128::from(pick(&self.rescale.multipliers, channel).unwrap_or(1));
        let shift = pick(&self.rescale.shifts, channel).unwrap_or(0);
        let (low, high) = scaled(low, high, m);
        if low.abs().max(high.abs()) >= PRODUCT_BOUND {
            return Err(NodeProblem::Product {
                channel: channel as u64,
            });
        }
        let round = |v| rounded(v, shift, self.rescale.low, self.rescale.high);
        self.low = self.low.min(round(low));
        self.high = self.high.max(round(high));
        Ok(())
    }
}

/// The certificate of MatMul and Conv2d: for every channel `L1(weights) * max|x| + |bias| < 2^46`, and the exact range
/// of the accumulator, whose product with the multiplier stays below 2^62. Gives the output range.
pub(super) fn weighted(
    x: &ValueType,
    weights: &Array,
    bias: &[i64],
    rescale: &Rescale,
    channels: u64,
    taps: u64,
) -> Result<(i32, i32, Sums), NodeProblem> {
    let (found, want) = (weights.len() as u64, channels.saturating_mul(taps));
    if found != want {
        return Err(NodeProblem::Length {
            what: "the weights",
            found,
            want,
        });
    }
    if !bias.is_empty() && bias.len() as u64 != channels {
        return Err(NodeProblem::Length {
            what: "the biases",
            found: bias.len() as u64,
            want: channels,
        });
    }
    check_rescale(rescale, channels)?;
    match weights {
        Array::I8(w) => certify(x, w, bias, rescale, taps as usize),
        Array::I16(w) => certify(x, w, bias, rescale, taps as usize),
        _ => Err(NodeProblem::ElementType { what: "the weights" }),
    }
}

/// The width of sums that stay within `bound`, of products that stay within `largest`, of operands in 16 bits.
pub(super) fn batched(bound: i128, largest: i128) -> Sums {
    if bound < NARROW_BOUND {
        return Sums::I32;
    }
    let fits = |log: &u32| (1i128 << log) * largest < NARROW_BOUND;
    (1..30).rev().find(fits).map_or(Sums::I64, |log| Sums::Blocks(1 << log))
}

fn certify<W: Copy + Into<i64>>(
    x: &ValueType,
    weights: &[W],
    bias: &[i64],
    rescale: &Rescale,
    taps: usize,
) -> Result<(i32, i32, Sums), NodeProblem> {
    let (low, high) = (i128::from(x.low), i128::from(x.high));
    let mut range = Range::new(rescale);
    let mut widest = 0i128;
    let mut blocks = Blocks::new(taps);
    for (channel, row) in weights.chunks_exact(taps).enumerate() {
        let (mut positive, mut negative) = (0i64, 0i64);
        for pair in row.chunks(2) {
            let mut magnitude = 0;
            for w in pair {
                let w: i64 = (*w).into();
                // At most 2^31 terms of at most 2^15.
                positive += w.max(0);
                negative += w.min(0);
                magnitude += w.abs();
            }
            blocks.pair(magnitude);
        }
        blocks.end();
        let (positive, negative) = (i128::from(positive), i128::from(negative));
        let b = i128::from(pick(bias, channel).unwrap_or(0));
        let bound = (positive - negative) * x.magnitude() + b.abs();
        if bound >= ACCUMULATOR_BOUND {
            return Err(NodeProblem::Accumulator {
                channel: channel as u64,
            });
        }
        widest = widest.max(bound);
        range.include(
            channel,
            b + positive * low + negative * high,
            b + positive * high + negative * low,
        )?;
    }
    let sums = match x.storage() {
        Storage::I32 => Sums::I64,
        Storage::I16 if widest < NARROW_BOUND => Sums::I32,
        Storage::I16 => blocks.widest(x.magnitude()).map_or(Sums::I64, Sums::Blocks),
    };
    Ok((range.low, range.high, sums))
}

/// Largest L1 norm over aligned blocks of 2, 4, 8, .. weights, over all channels. A binary counter: constant time per
/// pair on average.
struct Blocks {
    /// Levels in use: the block of the last one holds a whole channel.
    levels: usize,
    pairs: u64,
    /// Per level l: the sum of the current block of 2^(l+1), and the largest seen.
    open: [i64; 32],
    largest: [i64; 32],
}

impl Blocks {
    /// For channels of so many weights.
    fn new(taps: usize) -> Self {
        let pairs = taps.div_ceil(2).max(1);
        let levels = pairs.next_power_of_two().ilog2() as usize + 1;
        Blocks {
            levels: levels.min(32),
            pairs: 0,
            open: [0; 32],
            largest: [0; 32],
        }
    }

    /// The next two weights' magnitudes together.
    fn pair(&mut self, magnitude: i64) {
        self.pairs += 1;
        let mut sum = magnitude;
        for level in 0..self.levels {
            sum += self.open[level];
            self.open[level] = 0;
            self.largest[level] = self.largest[level].max(sum);
            if self.pairs & ((1 << level) - 1) != 0 {
                // The block of this level goes on.
                self.open[level] = sum;
                break;
            }
        }
    }

    /// The channel is over: unfinished blocks end.
    fn end(&mut self) {
        let mut sum = 0;
        for level in 0..self.levels {
            sum += self.open[level];
            self.open[level] = 0;
            self.largest[level] = self.largest[level].max(sum);
        }
        self.pairs = 0;
    }

    /// The widest block whose sums fit 32 bits.
    fn widest(&self, magnitude: i128) -> Option<u32> {
        // Beyond the last level a block still holds one channel.
        let largest = |level: usize| self.largest[level.min(self.levels - 1)];
        let fits = |level: &usize| i128::from(largest(*level)) * magnitude < NARROW_BOUND;
        (0..30).rev().find(fits).map(|level| 2 << level)
    }
}
