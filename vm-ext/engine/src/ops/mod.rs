//! What each operation computes. `docs/spec/ops.md` states them by formula; the functions here assume what
//! [`crate::infer`] has proven, and say so where a proof is needed.
//!
//! What is large is never inlined: compiled to Wasm, a VM may cap the locals of one function (CosmWasm's at 100).

pub(crate) mod batch;
pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod exp2;
pub(crate) mod layer_norm;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod root;
pub(crate) mod scan;
pub(crate) mod softmax;
pub(crate) mod top_k;
pub(crate) mod trees;
pub(crate) mod windows;

use alloc::vec::Vec;

use crate::graph;
use crate::infer::pick;
use crate::kernels::{Channel, Lanes, WIDE};

/// Biases and rescaling of the channels of a weighted sum.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub bias: Vec<i64>,
    pub rescale: graph::Rescale,
}

impl Scale {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        8 * self.bias.len() + 4 * self.rescale.multipliers.len() + self.rescale.shifts.len()
    }

    /// Whether all channels are rescaled alike.
    pub fn alike(&self) -> bool {
        self.bias.len() <= 1 && self.rescale.multipliers.len() <= 1
    }

    /// A channel's bias, multiplier and shift. Lists have one entry per channel or one for all; no bias is 0.
    #[inline]
    pub fn of(&self, channel: usize) -> (i64, i32, u8) {
        (
            pick(&self.bias, channel).unwrap_or(0),
            pick(&self.rescale.multipliers, channel).unwrap_or(0),
            pick(&self.rescale.shifts, channel).unwrap_or(0),
        )
    }

    /// A channel for the kernels, whose sums take 32 bits.
    pub fn channel(&self, channel: usize) -> Channel<i32> {
        let (bias, multiplier, shift) = self.of(channel);
        // It fits (the certificate).
        Channel::new(bias as i32, multiplier, shift)
    }

    /// The same of sums of 64 bits.
    pub fn wide_channel(&self, channel: usize) -> Channel<i64> {
        let (bias, multiplier, shift) = self.of(channel);
        Channel {
            bias,
            multiplier,
            shift,
            high: None,
        }
    }

    /// 16 neighbouring channels, those from `end` on being zeros.
    pub fn lanes<B: Copy + Default>(&self, first: usize, end: usize, bias_as: impl Fn(i64) -> B) -> Lanes<B> {
        let mut lanes = Lanes::default();
        for i in 0..WIDE.min(end - first) {
            let (bias, multiplier, shift) = self.of(first + i);
            lanes.bias[i] = bias_as(bias);
            lanes.multiplier[i] = multiplier;
            lanes.shift[i] = shift;
        }
        lanes
    }

    /// Rescales elements in place, each with a channel of its own from `first` on.
    pub fn apply_neighbours(&self, first: usize, x: &mut [i32]) {
        let (multipliers, shifts) = (&self.rescale.multipliers, &self.rescale.shifts);
        let (low, high) = (self.rescale.low, self.rescale.high);
        let each = first..first + x.len();
        // Whole lists of one length need no choice for every element.
        match (
            self.bias.get(each.clone()),
            multipliers.get(each.clone()),
            shifts.get(each),
        ) {
            (Some(bias), Some(multipliers), Some(shifts)) => {
                for (((x, bias), multiplier), shift) in x.iter_mut().zip(bias).zip(multipliers).zip(shifts) {
                    let sum = i64::from(*x).wrapping_add(*bias);
                    *x = crate::kernels::rescale(sum, *multiplier, *shift, low, high);
                }
            }
            _ => {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = self.apply(first + i, i64::from(*x));
                }
            }
        }
    }

    /// Rescales an exact sum without its bias.
    #[inline]
    pub fn apply(&self, channel: usize, sum: i64) -> i32 {
        let (bias, multiplier, shift) = self.of(channel);
        // Sum and bias together are below 2^46.
        crate::kernels::rescale(
            sum.wrapping_add(bias),
            multiplier,
            shift,
            self.rescale.low,
            self.rescale.high,
        )
    }
}
