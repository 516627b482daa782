//! Shapes: row-major extents, windows and broadcasting. All arithmetic is checked.

use alloc::vec::Vec;

use crate::error::{NodeProblem, ShapeProblem};
use crate::graph::Window;
use crate::limits::Limits;

/// No tensor has more elements than this, whatever the limits say: indices fit 32 bits everywhere.
const HARD_MAX_ELEMENTS: u64 = i32::MAX as u64;
/// Nor more axes: loop counters are this long.
pub const HARD_MAX_RANK: usize = 32;

/// Number of elements, for a shape that [`check`] took.
pub fn elements(shape: &[u32]) -> usize {
    shape.iter().map(|e| *e as usize).product()
}

/// Checks rank, extents and number of elements.
pub fn check(shape: &[u32], limits: &Limits) -> Result<(), ShapeProblem> {
    let limit = limits.max_rank.min(HARD_MAX_RANK);
    if shape.len() > limit {
        return Err(ShapeProblem::Rank {
            found: shape.len(),
            limit,
        });
    }
    if let Some(axis) = shape.iter().position(|e| *e == 0) {
        return Err(ShapeProblem::ZeroExtent { axis });
    }
    let limit = limits.max_elements.min(HARD_MAX_ELEMENTS);
    let count = shape.iter().try_fold(1u64, |n, e| n.checked_mul(u64::from(*e)));
    match count {
        Some(count) if count <= limit => Ok(()),
        _ => Err(ShapeProblem::Elements { limit }),
    }
}

/// `[outer, extent, inner]` of a shape around an axis that exists.
pub fn around(shape: &[u32], axis: usize) -> [usize; 3] {
    [
        elements(&shape[..axis]),
        shape[axis] as usize,
        elements(&shape[axis + 1..]),
    ]
}

/// How a window slides over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
    /// Height and width of the image.
    pub image: [usize; 2],
    /// Height and width of the zero-padded image.
    pub padded: [usize; 2],
    /// Height and width of the result.
    pub out: [usize; 2],
    /// Taps per axis.
    pub kernel: [usize; 2],
    /// Steps per axis.
    pub strides: [usize; 2],
    /// Distances between taps per axis.
    pub dilations: [usize; 2],
    /// Rows above and columns to the left that are padding.
    pub before: [usize; 2],
}

impl Slide {
    /// `out = floor((image + padding - ((kernel - 1) * dilation + 1)) / stride) + 1` per axis.
    pub fn new(height: u32, width: u32, window: &Window) -> Result<Self, NodeProblem> {
        let mut slide = Slide {
            image: [height as usize, width as usize],
            padded: [0; 2],
            out: [0; 2],
            kernel: [0; 2],
            strides: [0; 2],
            dilations: [0; 2],
            before: [0; 2],
        };
        for axis in 0..2 {
            let [kernel, stride, dilation] =
                [window.kernel[axis], window.strides[axis], window.dilations[axis]].map(u64::from);
            if kernel == 0 || stride == 0 || dilation == 0 {
                return Err(NodeProblem::Parameter {
                    what: "an extent of the window",
                });
            }
            // Below 2^64: each factor is below 2^32.
            let reach = (kernel - 1) * dilation;
            let [before, after] = [window.pads[axis], window.pads[axis + 2]].map(u64::from);
            if before > reach || after > reach {
                return Err(NodeProblem::Parameter {
                    what: "padding (it must be smaller than the dilated kernel)",
                });
            }
            let padded = slide.image[axis] as u64 + before + after;
            if padded <= reach {
                return Err(NodeProblem::Window { axis });
            }
            let narrow = |v: u64| usize::try_from(v).map_err(|_| NodeProblem::Window { axis });
            slide.padded[axis] = narrow(padded)?;
            slide.out[axis] = narrow((padded - reach - 1) / stride + 1)?;
            slide.kernel[axis] = narrow(kernel)?;
            slide.strides[axis] = narrow(stride)?;
            slide.dilations[axis] = narrow(dilation)?;
            slide.before[axis] = narrow(before)?;
        }
        Ok(slide)
    }

    /// Whether any tap can fall on padding.
    pub fn pads(&self) -> bool {
        self.padded != self.image
    }

    /// Taps of one window.
    pub fn taps(&self) -> u64 {
        (self.kernel[0] as u64).saturating_mul(self.kernel[1] as u64)
    }

    /// Along one axis: the taps `first..end` of output position `at` that fall on the image.
    pub fn inside(&self, axis: usize, at: usize) -> (usize, usize) {
        let start = at * self.strides[axis];
        let (before, dilation) = (self.before[axis], self.dilations[axis]);
        // Most windows lie on the image, and need no division.
        let after = self.image[axis] + before;
        if start >= before && start + (self.kernel[axis] - 1) * dilation < after {
            return (0, self.kernel[axis]);
        }
        let first = before.saturating_sub(start).div_ceil(dilation);
        let end = after.saturating_sub(start).div_ceil(dilation);
        (first, end.min(self.kernel[axis]))
    }
}

/// Shape of two operands broadcast as in NumPy: aligned at the last axis, extents equal or 1.
pub fn broadcast(a: &[u32], b: &[u32]) -> Result<Vec<u32>, NodeProblem> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[u32], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(NodeProblem::Mismatch { axis }),
        })
        .collect()
}

/// One loop over operands: how often, and how far each moves on with every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop<const N: usize> {
    /// Steps.
    pub extent: usize,
    /// Elements, per operand.
    pub steps: [usize; N],
}

/// N operands broadcast to one shape, as loops: adjacent axes that move alike are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastPlan<const N: usize> {
    /// Outermost first. Steps of the innermost are 0 or 1.
    pub loops: Vec<Loop<N>>,
}

impl<const N: usize> BroadcastPlan<N> {
    /// For shapes that [`broadcast`] joined to `out`.
    pub fn new(operands: [&[u32]; N], out: &[u32]) -> Self {
        let mut loops: Vec<Loop<N>> = Vec::new();
        let mut strides = [1; N];
        for back in 1..=out.len() {
            let extent_at = |shape: &[u32]| shape.len().checked_sub(back).map_or(1, |i| shape[i] as usize);
            let extent = extent_at(out);
            if extent == 1 {
                continue;
            }
            let mut steps = [0; N];
            for ((step, stride), shape) in steps.iter_mut().zip(&mut strides).zip(operands) {
                let own = extent_at(shape);
                *step = if own == 1 { 0 } else { *stride };
                *stride *= own;
            }
            match loops.last_mut() {
                Some(last) if steps == last.steps.map(|step| step * last.extent) => last.extent *= extent,
                _ => loops.push(Loop { extent, steps }),
            }
        }
        if loops.is_empty() {
            loops.push(Loop {
                extent: 1,
                steps: [0; N],
            });
        }
        loops.reverse();
        BroadcastPlan { loops }
    }

    /// Length of the innermost loop.
    pub fn run(&self) -> usize {
        self.loops.last().map_or(1, |l| l.extent)
    }

    /// Calls `each` for every run of the innermost loop: where it starts in every operand, and its length and steps.
    pub fn runs(&self, mut each: impl FnMut([usize; N], Loop<N>)) {
        if let Some((inner, outer)) = self.loops.split_last() {
            walk(outer, |at| each(at, *inner));
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.loops.len() * size_of::<Loop<N>>()
    }
}

/// Calls `each` with the operands' positions at every step of nested loops (at most [`HARD_MAX_RANK`], outermost first).
pub fn walk<const N: usize>(loops: &[Loop<N>], mut each: impl FnMut([usize; N])) {
    let mut counter = [0usize; HARD_MAX_RANK];
    let mut at = [0; N];
    let count: usize = loops.iter().map(|l| l.extent).product();
    for _ in 0..count {
        each(at);
        for (digit, Loop { extent, steps }) in counter.iter_mut().zip(loops.iter().rev()) {
            *digit += 1;
            for (at, step) in at.iter_mut().zip(steps) {
                *at += step;
            }
            if *digit < *extent {
                break;
            }
            *digit = 0;
            for (at, step) in at.iter_mut().zip(steps) {
                *at -= step * extent;
            }
        }
    }
}

/// A tensor inside a padded one, as loops: extents and steps of both, adjacent axes merged where they move alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PadPlan {
    /// Outermost first; the innermost moves by single elements.
    pub loops: Vec<Loop<2>>,
    /// Where the tensor starts in the padded one.
    pub start: usize,
}

impl PadPlan {
    /// For a tensor with so many elements before it along each axis of the padded one, `out`.
    pub fn new(shape: &[u32], before: &[u32], out: &[u32]) -> Self {
        let mut loops: Vec<Loop<2>> = Vec::new();
        let (mut own, mut padded, mut start) = (1, 1, 0);
        for ((extent, before), out) in shape.iter().zip(before).zip(out).rev() {
            let extent = *extent as usize;
            match loops.last_mut() {
                Some(last) if last.steps[1] * last.extent == padded => last.extent *= extent,
                _ => loops.push(Loop {
                    extent,
                    steps: [own, padded],
                }),
            }
            start += *before as usize * padded;
            own *= extent;
            padded *= *out as usize;
        }
        if loops.is_empty() {
            loops.push(Loop {
                extent: 1,
                steps: [1, 1],
            });
        }
        loops.reverse();
        PadPlan { loops, start }
    }

    /// Length of the innermost loop.
    pub fn run(&self) -> usize {
        self.loops.last().map_or(1, |l| l.extent)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.loops.len() * size_of::<Loop<2>>()
    }
}

/// A transposition as loops over the result: extent and step in the operand, adjacent axes merged where they move alike.
pub fn transpose_plan(shape: &[u32], axes: &[u32]) -> Vec<[usize; 2]> {
    let mut steps: Vec<usize> = alloc::vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis] as usize;
    }
    let mut loops: Vec<[usize; 2]> = Vec::new();
    for &axis in axes {
        let (extent, step) = (shape[axis as usize] as usize, steps[axis as usize]);
        if extent == 1 {
            continue;
        }
        match loops.last_mut() {
            Some([e, s]) if *s == step * extent => {
                *e *= extent;
                *s = step;
            }
            _ => loops.push([extent, step]),
        }
    }
    if loops.is_empty() {
        loops.push([1, 1]);
    }
    loops
}

/// The loop of a transposition that walks the operand by single elements, where the last one, which walks the result so, is another
/// and both are long enough to be taken by tiles.
pub fn tiles(plan: &[[usize; 2]]) -> Option<usize> {
    let (&[across, step], _) = plan.split_last()?;
    let down = plan.iter().position(|[_, step]| *step == 1)?;
    (step != 1 && across >= TILED && plan[down][0] >= TILED).then_some(down)
}

/// Extents of the last two loops of a transposition, where the last but one walks the operand by single elements, so that a few lines of
/// it are laid side by side.
pub fn turned(plan: &[[usize; 2]]) -> Option<[usize; 2]> {
    match plan {
        [.., [rows, 1], [few @ 2..TILED, _]] if *rows >= TILED => Some([*rows, *few]),
        _ => None,
    }
}

/// Least extents of what is taken by tiles.
const TILED: usize = 4;
