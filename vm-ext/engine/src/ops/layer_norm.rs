//! Normalisation of rows.

use super::Scale;
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Longest row.
pub(crate) const MAX_COLUMNS: u32 = 1 << 16;
/// Fraction bits of a normalised element before it is rescaled.
pub(crate) const FRACTION_BITS: u32 = 20;

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
    pub epsilon: u64,
    pub center: bool,
    /// What is subtracted from every element first, so that sums of squares fit 64 bits: the least element where the
    /// mean is subtracted anyway, else 0.
    pub origin: i32,
    pub scale: Scale,
}

impl LayerNorm {
    #[inline(never)]
    pub fn run(&self, x: View<'_>, columns: usize, out: &mut ViewMut<'_>, scratch: &mut Scratch) {
        let n = columns as i64;
        let row = &mut scratch.i32[..columns];
        for start in (0..x.len()).step_by(columns) {
            x.load(start, row);
            let (mut sum, mut squares) = (0i64, 0u64);
            for x in row.iter_mut() {
                // Below 2^31 / N in magnitude (the loader's bound), so every sum below fits.
                *x = x.wrapping_sub(self.origin);
                sum += i64::from(*x);
                squares += (i64::from(*x) * i64::from(*x)) as u64;
            }
            let sum = if self.center { sum } else { 0 };
            // Below 2^62 each.
            let spread = columns as u64 * squares - (sum * sum) as u64 + self.epsilon;
            let (inverse, shift) = inverse_root(spread);
            let half = (1i64 << shift) >> 1;
            for (column, x) in row.iter_mut().enumerate() {
                // Below 2^31 times at most 2^31.
                let z = ((n * i64::from(*x) - sum) * inverse + half) >> shift;
                *x = self.scale.apply(column, z);
            }
            out.store(start, row);
        }
    }
}

/// `(inverse, shift)` such that `inverse / 2^shift` is `2^20 / sqrt(w)`, but for less than one part in 2^29. For w = 0
/// the inverse is 0.
fn inverse_root(w: u64) -> (i64, u32) {
    if w == 0 {
        return (0, 41);
    }
    // An even shift that brings w to 2^60 .. 2^62.
    let up = (w.leading_zeros() - 2) & !1;
    let root = (w << up).isqrt();
    (((1u64 << 61) / root) as i64, 41 - up / 2)
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
                assert!((11..=41).contains(&shift) && inverse <= 1 << 31);
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
