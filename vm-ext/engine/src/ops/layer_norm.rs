//! Normalisation of rows.

use alloc::vec::Vec;

use super::root::floor_sqrt;
use super::Scale;
use crate::kernels::portable::{End, Normal};
use crate::kernels::{Kernels, Lanes, WIDE};
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Longest row.
pub(crate) const MAX_COLUMNS: u32 = 1 << 16;
/// Fraction bits of a normalised element before it is rescaled.
pub(crate) const FRACTION_BITS: u32 = 20;
/// A normalised element, and its bias where that is smaller than this, fit 32 bits together.
const NARROW_BIAS: u64 = 1 << 30;

/// Scratch space: a row.
pub(crate) fn scratch(columns: usize) -> Room {
    Room {
        i32: columns as u64,
        ..Room::default()
    }
}

/// LayerNorm, or RMSNorm where the mean is not subtracted.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    epsilon: u64,
    center: bool,
    /// What is subtracted from every element first, so that sums of squares fit 64 bits: the least element where the
    /// mean is subtracted anyway, else 0.
    origin: i32,
    scale: Scale,
    lanes: Vec<Lanes<i32>>,
}

impl LayerNorm {
    /// For elements of which none is less than `least`.
    pub fn new(epsilon: u64, center: bool, least: i32, scale: Scale, columns: usize) -> Self {
        let per_column = scale.bias.len() > 1 || scale.rescale.multipliers.len() > 1;
        let narrow = scale.bias.iter().all(|bias| bias.unsigned_abs() < NARROW_BIAS);
        // Of a known length, so that no more memory is taken than is declared.
        let first_columns = (0..if per_column && narrow { columns } else { 0 }).step_by(WIDE);
        let lanes = first_columns.map(|first| scale.lanes(first, columns, |bias| bias as i32));
        LayerNorm {
            epsilon,
            center,
            origin: if center { least } else { 0 },
            lanes: lanes.collect(),
            scale,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.scale.bytes() + self.lanes.len() * size_of::<Lanes<i32>>()
    }

    #[inline(never)]
    pub fn run(
        &self,
        x: View<'_>,
        columns: usize,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
        scratch: &mut Scratch<'_>,
    ) {
        let row = &mut scratch.i32[..columns];
        for start in (0..x.len()).step_by(columns) {
            x.load_run(start, row, kernels);
            let (sum, squares) = (kernels.arithmetic.sums)(row, self.origin);
            let sum = if self.center { sum } else { 0 };
            // Each is below 2^62 (the loader's bound), and so is what they come to.
            let spread = (columns as i64 * squares - sum * sum) as u64 + self.epsilon;
            let (inverse, shift) = inverse_root(spread);
            let normal = Normal {
                // Below 2^31 each.
                factor: columns as i32,
                sum: sum as i32,
                inverse,
                shift,
            };
            (kernels.arithmetic.normalise)(row, normal);
            self.finish(row, kernels);
            out.store_run(start, row, kernels);
        }
    }

    /// Rescales normalised elements.
    fn finish(&self, row: &mut [i32], kernels: &Kernels) {
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        if self.scale.bias.len().max(self.scale.rescale.multipliers.len()) <= 1 {
            let (bias, multiplier, shift) = self.scale.of(0);
            return (kernels.arithmetic.rescale)(row, bias, multiplier, End { shift, low, high });
        }
        let panels = self.lanes.len().min(row.len() / WIDE);
        let (in_panels, rest) = row.split_at_mut(panels * WIDE);
        (kernels.ends.columns)(in_panels, &self.lanes[..panels], low, high);
        for (i, x) in rest.iter_mut().enumerate() {
            *x = self.scale.apply(panels * WIDE + i, i64::from(*x));
        }
    }
}

/// `(inverse, shift)` such that `inverse / 2^shift` is `2^20 / sqrt(w)`, but for less than one part in 2^29. For w = 0
/// the inverse is 0.
fn inverse_root(w: u64) -> (i32, u32) {
    if w == 0 {
        return (0, 41);
    }
    // An even shift that brings w to 2^60 .. 2^62, so the root to 2^30 .. 2^31.
    let up = (w.leading_zeros() - 2) & !1;
    let root = u64::from(floor_sqrt(w << up));
    ((((1u64 << 61) - 1) / root) as i32, 41 - up / 2)
}

#[cfg(test)]
mod tests {
    use super::inverse_root;

    /// `inverse / 2^shift` against `2^20 / sqrt(w)`: squared and cross-multiplied, in exact integers.
    #[test]
    fn the_inverse_is_right_to_one_part_in_2_29() {
        let mut w = 1u64;
        let mut seen = 0;
        while w < 1 << 62 {
            for w in [w, w + 1, 2 * w - 1, w + w / 3] {
                let (inverse, shift) = inverse_root(w.min((1 << 62) - 1));
                assert!((11..=41).contains(&shift) && inverse >= 1 << 30);
                // (inverse^2 * w) / 2^(2 * shift + 40) is 1, but for two parts in 2^29.
                let square = (inverse as u128).pow(2) * u128::from(w.min((1 << 62) - 1));
                let one = 1u128 << (2 * shift + 40);
                assert!(square.abs_diff(one) <= one >> 28, "{w}: {square} {one}");
                seen += 1;
            }
            w *= 2;
        }
        assert_eq!(seen, 62 * 4);
        assert_eq!(inverse_root(0).0, 0);
    }
}
