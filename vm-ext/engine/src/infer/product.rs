//! Sums of products: MatMul, Conv2d, BatchMatMul.

use alloc::vec::Vec;

use super::certificate::{batched, weighted};
use super::{products, Context, Ending, Storage, Sums, ValueType, ACCUMULATOR_BOUND};
use crate::error::NodeProblem;
use crate::graph::{Array, Rescale, ValueId, Window};
use crate::limits::Limits;
use crate::shape::{self, Slide};

impl Context<'_> {
    pub(super) fn mat_mul(
        &self,
        x: ValueId,
        weights: &Array,
        bias: &[i64],
        rescale: &Rescale,
    ) -> Result<(ValueType, Sums), NodeProblem> {
        let x = self.operand(x)?;
        let (&k, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        let k = u64::from(k);
        let channels = weights.len() as u64 / k;
        let want = channels.max(1) * k;
        if weights.len() as u64 != want {
            return Err(NodeProblem::Length {
                what: "the weights",
                found: weights.len() as u64,
                want,
            });
        }
        let (low, high, sums) = weighted(x, weights, bias, rescale, channels, k)?;
        let mut shape = rows.to_vec();
        shape.push(u32::try_from(channels).map_err(|_| NodeProblem::Parameter {
            what: "the number of columns",
        })?);
        Ok((ValueType { shape, low, high }, sums))
    }

    pub(super) fn batch_mat_mul(
        &self,
        a: ValueId,
        b: ValueId,
        transposed: bool,
        ending: Ending,
    ) -> Result<(ValueType, Sums), NodeProblem> {
        let row_sums = [a, b].map(|x| self.row_sums.get(&x).copied().map(i128::from));
        let (a, b) = (self.operand(a)?, self.operand(b)?);
        for x in [a, b] {
            if x.shape.len() < 2 {
                return Err(NodeProblem::Rank {
                    found: x.shape.len(),
                    want: 2,
                });
            }
            if x.storage() != Storage::I16 {
                return Err(NodeProblem::Range {
                    low: x.low,
                    high: x.high,
                });
            }
        }
        let (batch_a, [m, k]) = matrices(&a.shape);
        let (batch_b, [rows, columns]) = matrices(&b.shape);
        let (n, k_of_b) = if transposed { (rows, columns) } else { (columns, rows) };
        let mut shape = shape::broadcast(batch_a, batch_b)?;
        if k != k_of_b {
            return Err(NodeProblem::Mismatch { axis: shape.len() + 1 });
        }
        shape.extend([m, n]);
        // No sum of some of the products is larger, in any order.
        let largest = a.magnitude() * b.magnitude();
        let mut bound = i128::from(k) * largest;
        if let [Some(row), _] = row_sums {
            bound = bound.min(row * b.magnitude());
        }
        if let ([_, Some(row)], true) = (row_sums, transposed) {
            bound = bound.min(row * a.magnitude());
        }
        if bound >= ACCUMULATOR_BOUND {
            return Err(NodeProblem::Accumulator { channel: 0 });
        }
        let (low, high) = products(a, b);
        let (low, high) = (low * i128::from(k), high * i128::from(k));
        let (low, high) = ending.range(low.max(-bound), high.min(bound))?;
        let sums = batched(bound, largest);
        Ok((ValueType { shape, low, high }, sums))
    }
}

/// Batch axes, and the extents of the matrices; of at least two axes.
pub(crate) fn matrices(shape: &[u32]) -> (&[u32], [u32; 2]) {
    match shape {
        [batch @ .., rows, columns] => (batch, [*rows, *columns]),
        _ => (&[], [1, 1]),
    }
}

/// The certificate and the result of a convolution.
pub(super) fn conv2d(
    x: &ValueType,
    conv: &ConvShape,
    weights: &Array,
    bias: &[i64],
    rescale: &Rescale,
) -> Result<(ValueType, Sums), NodeProblem> {
    let padded = ValueType {
        shape: Vec::new(),
        low: if conv.slide.pads() { x.low.min(0) } else { x.low },
        high: if conv.slide.pads() { x.high.max(0) } else { x.high },
    };
    let (low, high, sums) = weighted(&padded, weights, bias, rescale, conv.channels as u64, conv.taps as u64)?;
    let shape = conv.shape();
    Ok((ValueType { shape, low, high }, sums))
}

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub channels: usize,
    pub groups: usize,
    /// Products per output element.
    pub taps: usize,
    pub slide: Slide,
}

impl ConvShape {
    pub fn new(
        x: &ValueType,
        channels: u32,
        window: &Window,
        groups: u32,
        limits: &Limits,
    ) -> Result<Self, NodeProblem> {
        let &[batch, in_channels, height, width] = x.shape.as_slice() else {
            return Err(NodeProblem::Rank {
                found: x.shape.len(),
                want: 4,
            });
        };
        if groups == 0 || channels == 0 || !in_channels.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
            return Err(NodeProblem::Parameter {
                what: "the number of groups or channels",
            });
        }
        let slide = Slide::new(height, width, window)?;
        let per_group = in_channels / groups;
        let extent = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        shape::check(&[per_group, extent(slide.padded[0]), extent(slide.padded[1])], limits)?;
        // Bounded like a tensor: one window's elements may repeat, but they come from as many weights.
        let taps = u64::from(per_group)
            .checked_mul(slide.taps())
            .and_then(|t| u32::try_from(t).ok());
        let taps = taps.ok_or(NodeProblem::Parameter {
            what: "the number of taps",
        })? as usize;
        Ok(ConvShape {
            batch: batch as usize,
            in_channels: in_channels as usize,
            channels: channels as usize,
            groups: groups as usize,
            taps,
            slide,
        })
    }

    pub fn shape(&self) -> Vec<u32> {
        let extent = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        [self.batch, self.channels, self.slide.out[0], self.slide.out[1]]
            .map(extent)
            .to_vec()
    }
}
