//! Constants, and operations that move elements.

use alloc::vec::Vec;

use super::{extremes, Context, ValueType};
use crate::error::NodeProblem;
use crate::graph::{Array, ValueId};
use crate::shape;

impl Context<'_> {
    pub(super) fn constant(&self, shape: &[u32], data: &Array) -> Result<ValueType, NodeProblem> {
        shape::check(shape, self.limits)?;
        let (found, want) = (data.len() as u64, shape::elements(shape) as u64);
        if found != want {
            return Err(NodeProblem::Length {
                what: "the data",
                found,
                want,
            });
        }
        let (low, high) = match data {
            Array::I8(v) => extremes(v.iter().map(|x| i32::from(*x))),
            Array::I16(v) => extremes(v.iter().map(|x| i32::from(*x))),
            Array::I32(v) => extremes(v.iter().copied()),
            Array::I64(_) => return Err(NodeProblem::ElementType { what: "the data" }),
        };
        Ok(ValueType {
            shape: shape.to_vec(),
            low,
            high,
        })
    }

    pub(super) fn reshape(&self, x: ValueId, shape: &[u32]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        shape::check(shape, self.limits)?;
        let (found, want) = (shape::elements(shape) as u64, x.elements() as u64);
        if found != want {
            return Err(NodeProblem::Length {
                what: "the new shape",
                found,
                want,
            });
        }
        Ok(x.shaped(shape.to_vec()))
    }

    pub(super) fn transpose(&self, x: ValueId, axes: &[u32]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        if axes.len() != x.shape.len() {
            return Err(NodeProblem::Rank {
                found: x.shape.len(),
                want: axes.len(),
            });
        }
        let mut shape = Vec::with_capacity(axes.len());
        for (i, &axis) in axes.iter().enumerate() {
            let extent = x.shape.get(axis as usize).filter(|_| !axes[..i].contains(&axis));
            shape.push(*extent.ok_or(NodeProblem::Axis { axis })?);
        }
        Ok(x.shaped(shape))
    }

    pub(super) fn concat(&self, xs: &[ValueId], axis: u32) -> Result<ValueType, NodeProblem> {
        let (first, others) = xs.split_first().ok_or(NodeProblem::Parameter {
            what: "the number of operands",
        })?;
        let mut joined = self.operand(*first)?.clone();
        let at = axis as usize;
        if at >= joined.shape.len() {
            return Err(NodeProblem::Axis { axis });
        }
        for x in others {
            let x = self.operand(*x)?;
            if x.shape.len() != joined.shape.len() {
                return Err(NodeProblem::Rank {
                    found: x.shape.len(),
                    want: joined.shape.len(),
                });
            }
            for (i, (mine, other)) in joined.shape.iter_mut().zip(&x.shape).enumerate() {
                if i == at {
                    let sum = mine.checked_add(*other);
                    *mine = sum.ok_or(NodeProblem::Parameter {
                        what: "the joined extent",
                    })?;
                } else if mine != other {
                    return Err(NodeProblem::Mismatch { axis: i });
                }
            }
            joined.low = joined.low.min(x.low);
            joined.high = joined.high.max(x.high);
        }
        Ok(joined)
    }

    pub(super) fn slice(
        &self,
        x: ValueId,
        axis: u32,
        [start, step, length]: [u32; 3],
    ) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let extent = *x.shape.get(axis as usize).ok_or(NodeProblem::Axis { axis })?;
        if step == 0 || length == 0 {
            return Err(NodeProblem::Parameter {
                what: "the step or length",
            });
        }
        // Below 2^64: each factor is below 2^32.
        let last = u64::from(start) + u64::from(length - 1) * u64::from(step);
        if last >= u64::from(extent) {
            return Err(NodeProblem::Parameter { what: "the last index" });
        }
        let mut shape = x.shape.clone();
        shape[axis as usize] = length;
        Ok(x.shaped(shape))
    }

    /// Values that number the elements of an axis.
    fn indices(&self, indices: ValueId, extent: u32) -> Result<&ValueType, NodeProblem> {
        let indices = self.operand(indices)?;
        if indices.low < 0 || i64::from(indices.high) >= i64::from(extent) {
            return Err(NodeProblem::Range {
                low: indices.low,
                high: indices.high,
            });
        }
        Ok(indices)
    }

    pub(super) fn gather(&self, x: ValueId, indices: ValueId, axis: u32) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let at = axis as usize;
        let extent = *x.shape.get(at).ok_or(NodeProblem::Axis { axis })?;
        let indices = self.indices(indices, extent)?;
        Ok(x.shaped([&x.shape[..at], &indices.shape, &x.shape[at + 1..]].concat()))
    }

    pub(super) fn gather_elements(&self, x: ValueId, indices: ValueId) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let (extent, rows) = x.shape.split_last().ok_or(NodeProblem::Rank { found: 0, want: 1 })?;
        let indices = self.indices(indices, *extent)?;
        if indices.shape.len() != x.shape.len() {
            return Err(NodeProblem::Rank {
                found: indices.shape.len(),
                want: x.shape.len(),
            });
        }
        if let Some(axis) = rows.iter().zip(&indices.shape).position(|(x, i)| x != i) {
            return Err(NodeProblem::Mismatch { axis });
        }
        Ok(x.shaped(indices.shape.clone()))
    }

    pub(super) fn pad(&self, x: ValueId, before: &[u32], after: &[u32], value: i32) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        for (what, list) in [("the padding before", before), ("the padding after", after)] {
            if list.len() != x.shape.len() {
                return Err(NodeProblem::Length {
                    what,
                    found: list.len() as u64,
                    want: x.shape.len() as u64,
                });
            }
        }
        let extents = x.shape.iter().zip(before).zip(after);
        let shape = extents.map(|((extent, before), after)| extent.checked_add(*before)?.checked_add(*after));
        let shape: Vec<u32> = shape.collect::<Option<_>>().ok_or(NodeProblem::Parameter {
            what: "the padded extent",
        })?;
        Ok(match shape == x.shape {
            true => x.clone(),
            false => ValueType {
                shape,
                low: x.low.min(value),
                high: x.high.max(value),
            },
        })
    }

    pub(super) fn broadcast(&self, x: ValueId, shape: &[u32]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let joined = shape::broadcast(&x.shape, shape)?;
        if let Some(axis) = joined.iter().enumerate().position(|(i, e)| shape.get(i) != Some(e)) {
            return Err(NodeProblem::Mismatch { axis });
        }
        Ok(x.shaped(joined))
    }
}
