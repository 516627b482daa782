//! Operations on whole rows or axes.

use alloc::vec::Vec;

use super::certificate::Range;
use super::forest::forest_bounds;
use super::{
    check_channels, check_rescale, check_shift, pick, Context, Ending, ValueType, ACCUMULATOR_BOUND, PRODUCT_BOUND,
};
use crate::error::NodeProblem;
use crate::graph::{Op, Rescale, Trees, ValueId};
use crate::ops::layer_norm::{FRACTION_BITS, MAX_COLUMNS};

/// Bound of a row's length times the spread of its elements: 2^62 holds its square.
const ROW_BOUND: i128 = 1 << 31;

impl Context<'_> {
    /// A tensor with rows: the last axis and the axes before it.
    fn rows(&self, x: ValueId) -> Result<(&ValueType, u32, &[u32]), NodeProblem> {
        let x = self.operand(x)?;
        let (columns, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        Ok((x, *columns, rows))
    }

    /// A tensor, the extent of one axis, and its shape without it.
    pub(super) fn reduced(&self, x: ValueId, axis: u32) -> Result<(&ValueType, u32, Vec<u32>), NodeProblem> {
        let x = self.operand(x)?;
        let extent = *x.shape.get(axis as usize).ok_or(NodeProblem::Axis { axis })?;
        let mut shape = x.shape.clone();
        shape.remove(axis as usize);
        Ok((x, extent, shape))
    }

    pub(super) fn softmax(&self, x: ValueId, multiplier: i32, shift: u8) -> Result<ValueType, NodeProblem> {
        let (x, _, _) = self.rows(x)?;
        check_shift(shift)?;
        if multiplier < 1 {
            return Err(NodeProblem::Parameter {
                what: "the multiplier (1 to 2^31 - 1)",
            });
        }
        Ok(ValueType {
            shape: x.shape.clone(),
            low: 0,
            high: i16::MAX.into(),
        })
    }

    /// A bound of the magnitudes of each row of a node's value added up, where one is known: rows of a Softmax come to little
    /// more than one, and keep doing so while they stay whole or lose elements.
    pub(super) fn row_sum(&self, op: &Op, value: &ValueType) -> Option<u64> {
        let of = |x: &ValueId| self.row_sums.get(x).copied();
        let columns = |value: &ValueType| value.shape.last().copied();
        match op {
            // Each of N elements is rounded up by half a unit at most.
            Op::Softmax { .. } => columns(value).map(|n| (1 << 15) + u64::from(n) / 2),
            Op::Reshape { x, .. } | Op::Broadcast { x, .. } => {
                of(x).filter(|_| self.values.get(*x as usize).and_then(columns) == columns(value))
            }
            Op::Transpose { x, axes } => {
                of(x).filter(|_| axes.last().is_some_and(|last| *last as usize + 1 == axes.len()))
            }
            Op::Slice { x, .. } => of(x),
            Op::Clamp { x, low, high } => of(x).filter(|_| *low <= 0 && *high >= 0),
            _ => None,
        }
    }

    pub(super) fn arg_max(&self, x: ValueId) -> Result<ValueType, NodeProblem> {
        let (_, columns, rows) = self.rows(x)?;
        Ok(ValueType {
            shape: rows.to_vec(),
            low: 0,
            // Extents are below 2^31, as the number of elements is.
            high: (columns - 1) as i32,
        })
    }

    pub(super) fn top_k(&self, x: ValueId, k: u32) -> Result<ValueType, NodeProblem> {
        let (_, columns, rows) = self.rows(x)?;
        if k == 0 || k > columns {
            return Err(NodeProblem::Parameter {
                what: "k (1 to the length of a row)",
            });
        }
        Ok(ValueType {
            shape: [rows, &[k]].concat(),
            low: 0,
            high: (columns - 1) as i32,
        })
    }

    pub(super) fn reduce_sum(&self, x: ValueId, axis: u32, ending: Ending) -> Result<ValueType, NodeProblem> {
        let (x, extent, shape) = self.reduced(x, axis)?;
        let extent = i128::from(extent);
        if extent * x.magnitude() >= ACCUMULATOR_BOUND {
            return Err(NodeProblem::Accumulator { channel: 0 });
        }
        let (low, high) = ending.range(extent * i128::from(x.low), extent * i128::from(x.high))?;
        Ok(ValueType { shape, low, high })
    }

    pub(super) fn reduce_max(&self, x: ValueId, axis: u32) -> Result<ValueType, NodeProblem> {
        let (x, _, shape) = self.reduced(x, axis)?;
        Ok(x.shaped(shape))
    }

    pub(super) fn layer_norm(
        &self,
        x: ValueId,
        epsilon: u64,
        center: bool,
        bias: &[i64],
        rescale: &Rescale,
    ) -> Result<ValueType, NodeProblem> {
        let (x, columns, _) = self.rows(x)?;
        if columns > MAX_COLUMNS {
            return Err(NodeProblem::Parameter {
                what: "the length of a row (1 to 65536)",
            });
        }
        check_channels("the biases", bias.len(), columns.into(), true)?;
        check_rescale(rescale, columns.into())?;
        let n = i128::from(columns);
        let spread = match center {
            true => i128::from(x.high) - i128::from(x.low),
            false => x.magnitude(),
        };
        // N * sum x^2 - S^2 is largest where half of the elements lie at either end.
        let most = match center {
            true => (n / 2) * (n - n / 2) * spread * spread,
            false => n * n * spread * spread,
        };
        if n * spread >= ROW_BOUND || most + i128::from(epsilon) >= PRODUCT_BOUND {
            return Err(NodeProblem::Row);
        }
        // |z| <= sqrt(N - 1), or sqrt(N) where not centred, but for rounding: see the spec.
        let degrees = u64::from(columns - u32::from(center));
        let bound = i128::from((degrees << (2 * FRACTION_BITS)).isqrt()) + 2;
        let low = if !center && x.low >= 0 { 0 } else { -bound };
        let high = if !center && x.high <= 0 { 0 } else { bound };
        let mut range = Range::new(rescale);
        for column in 0..bias.len().max(rescale.multipliers.len()).max(1) {
            let bias = i128::from(pick(bias, column).unwrap_or(0));
            let (low, high) = (low + bias, high + bias);
            if low.abs().max(high.abs()) >= ACCUMULATOR_BOUND {
                return Err(NodeProblem::Accumulator { channel: column as u64 });
            }
            range.include(column, low, high)?;
        }
        Ok(ValueType {
            shape: x.shape.clone(),
            low: range.low,
            high: range.high,
        })
    }

    pub(super) fn trees(&self, x: ValueId, trees: &Trees, rescale: &Rescale) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let (&features, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        let bounds = forest_bounds(trees, features)?;
        check_rescale(rescale, bounds.len() as u64)?;
        let mut range = Range::new(rescale);
        for (target, bound) in bounds.iter().enumerate() {
            if bound.magnitude >= ACCUMULATOR_BOUND {
                return Err(NodeProblem::Accumulator { channel: target as u64 });
            }
            range.include(target, bound.low, bound.high)?;
        }
        let mut shape = rows.to_vec();
        shape.push(u32::try_from(bounds.len()).map_err(|_| NodeProblem::Parameter {
            what: "the number of targets",
        })?);
        Ok(ValueType {
            shape,
            low: range.low,
            high: range.high,
        })
    }
}
