//! Pooling and upsampling.

use alloc::vec::Vec;

use super::{Context, ValueType};
use crate::error::NodeProblem;
use crate::graph::{ValueId, Window};
use crate::shape::Slide;

impl Context<'_> {
    fn pool(&self, x: ValueId, window: &Window) -> Result<(&ValueType, Slide), NodeProblem> {
        let x = self.operand(x)?;
        let &[_, _, height, width] = x.shape.as_slice() else {
            return Err(NodeProblem::Rank {
                found: x.shape.len(),
                want: 4,
            });
        };
        let slide = Slide::new(height, width, window)?;
        for axis in 0..2 {
            // Otherwise a window might jump over the whole image and hold nothing.
            if slide.padded[axis] != slide.image[axis] && slide.dilations[axis] > slide.image[axis] {
                return Err(NodeProblem::Parameter {
                    what: "the dilation (no larger than a padded axis)",
                });
            }
        }
        Ok((x, slide))
    }

    pub(super) fn max_pool(&self, x: ValueId, window: &Window) -> Result<ValueType, NodeProblem> {
        let (x, slide) = self.pool(x, window)?;
        Ok(x.shaped(pooled(&x.shape, &slide)?))
    }

    pub(super) fn avg_pool(&self, x: ValueId, window: &Window, count_padding: bool) -> Result<ValueType, NodeProblem> {
        let (x, slide) = self.pool(x, window)?;
        let zero = count_padding && slide.pads();
        Ok(ValueType {
            shape: pooled(&x.shape, &slide)?,
            low: if zero { x.low.min(0) } else { x.low },
            high: if zero { x.high.max(0) } else { x.high },
        })
    }

    pub(super) fn upsample(&self, x: ValueId, factors: [u32; 2]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let rank = x.shape.len();
        if rank < 2 {
            return Err(NodeProblem::Rank { found: rank, want: 2 });
        }
        let mut shape = x.shape.clone();
        for (extent, factor) in shape[rank - 2..].iter_mut().zip(factors) {
            let product = extent.checked_mul(factor).filter(|_| factor > 0);
            *extent = product.ok_or(NodeProblem::Parameter { what: "a factor" })?;
        }
        Ok(x.shaped(shape))
    }
}

fn pooled(shape: &[u32], slide: &Slide) -> Result<Vec<u32>, NodeProblem> {
    let mut out = shape.to_vec();
    for (axis, extent) in out[2..].iter_mut().enumerate() {
        *extent = u32::try_from(slide.out[axis]).map_err(|_| NodeProblem::Window { axis })?;
    }
    Ok(out)
}
