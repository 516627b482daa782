//! Square roots of four elements at a time: [`crate::ops::root::floor_sqrt`] step by step.

use core::arch::x86_64::*;

use super::portable::{self, End};
use crate::ops::root::INVERSE_ROOTS;

/// As [`portable::roots`].
#[target_feature(enable = "avx2")]
pub(super) fn roots(x: &mut [i32], end: End) {
    // Clamped as numbers without a sign, which roots and what they are clamped to are, unless all of them become `high`.
    if end.high < 0 {
        return x.fill(end.high);
    }
    let shift = _mm_cvtsi32_si128(i32::from(end.shift & 63));
    let (low, high) = (_mm_set1_epi32(end.low.max(0)), _mm_set1_epi32(end.high));
    let mut fours = x.chunks_exact_mut(4);
    for x in &mut fours {
        // SAFETY: 4 elements.
        unsafe {
            let at = x.as_mut_ptr().cast::<__m128i>();
            let x = _mm_max_epi32(_mm_loadu_si128(at), _mm_setzero_si128());
            let root = nearest_root(_mm256_sll_epi64(_mm256_cvtepu32_epi64(x), shift));
            // The low halves.
            let root = _mm256_permutevar8x32_epi32(root, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
            let root = _mm256_castsi256_si128(root);
            _mm_storeu_si128(at, _mm_max_epu32(_mm_min_epu32(root, high), low));
        }
    }
    portable::roots(fours.into_remainder(), end);
}

/// Shifted by S places more, and how far it is shifted, unless it would leave 62 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn raised<const S: i32>((w, up): (__m256i, __m256i)) -> (__m256i, __m256i) {
    let small = _mm256_cmpgt_epi64(_mm256_set1_epi64x(1 << (62 - S)), w);
    let by = _mm256_and_si256(small, _mm256_set1_epi64x(S.into()));
    (_mm256_sllv_epi64(w, by), _mm256_add_epi64(up, by))
}

/// The square roots of numbers below 2^62, rounded to the nearest integer.
#[inline]
#[target_feature(enable = "avx2")]
fn nearest_root(v: __m256i) -> __m256i {
    let zero = _mm256_cmpeq_epi64(v, _mm256_setzero_si256());
    // An even shift that brings it to 2^60 .. 2^62. The root of 0 is found as that of 1.
    let one = (_mm256_sub_epi64(v, zero), _mm256_setzero_si256());
    let (w, up) = raised::<2>(raised::<4>(raised::<8>(raised::<16>(raised::<32>(one)))));
    let z = _mm256_srli_epi64::<30>(w);
    let knots = INVERSE_ROOTS.as_ptr().cast();
    // Of 62 bits the upper 8.
    let index = _mm256_and_si256(_mm256_srli_epi64::<54>(w), _mm256_set1_epi64x(0xff));
    // SAFETY: an index into the table, which has 256 entries.
    let y = unsafe { _mm256_i64gather_epi32::<4>(knots, index) };
    let mut y = _mm256_cvtepu32_epi64(y);
    for _ in 0..2 {
        let square = _mm256_srli_epi64::<30>(_mm256_mul_epu32(y, y));
        let product = _mm256_srli_epi64::<32>(_mm256_mul_epu32(z, square));
        let wanting = _mm256_sub_epi64(_mm256_set1_epi64x(3 << 30), product);
        y = _mm256_srli_epi64::<31>(_mm256_mul_epu32(y, wanting));
    }
    let root = _mm256_srli_epi64::<31>(_mm256_mul_epu32(z, y));
    // What the square lacks is below 2^35 in magnitude: 2^36 more is positive, and 2^28 * y too much when it is brought to 27 bits and
    // multiplied; with 2^62 for the sign of what comes out, 2^8 too much in the end.
    let rest = _mm256_sub_epi64(w, _mm256_mul_epu32(root, root));
    let rest = _mm256_srli_epi64::<8>(_mm256_add_epi64(rest, _mm256_set1_epi64x(1 << 36)));
    let lacking = _mm256_sub_epi64(_mm256_mul_epu32(rest, y), _mm256_slli_epi64::<28>(y));
    let lacking = _mm256_srli_epi64::<54>(_mm256_add_epi64(lacking, _mm256_set1_epi64x(1 << 62)));
    let root = _mm256_sub_epi64(_mm256_add_epi64(root, lacking), _mm256_set1_epi64x(1 << 8));
    // One too much or too little: comparisons give -1 where they hold.
    let root = _mm256_add_epi64(root, _mm256_cmpgt_epi64(_mm256_mul_epu32(root, root), w));
    let next = _mm256_add_epi64(root, _mm256_set1_epi64x(1));
    let root = _mm256_add_epi64(next, _mm256_cmpgt_epi64(_mm256_mul_epu32(next, next), w));
    let root = _mm256_add_epi64(_mm256_srlv_epi64(root, _mm256_srli_epi64::<1>(up)), zero);
    // Half a unit more than the root has the square root^2 + root + 1/4.
    let rest = _mm256_sub_epi64(v, _mm256_mul_epu32(root, root));
    _mm256_sub_epi64(root, _mm256_cmpgt_epi64(rest, root))
}

#[cfg(test)]
mod tests {
    use crate::kernels::portable::End;
    use crate::kernels::Kernels;
    use alloc::vec::Vec;

    /// All small elements, those around squares, and some everywhere, with every shift that they allow.
    #[test]
    fn roots_are_those_of_the_standard_library_rounded() {
        let mut seed = 1u64;
        let mut all: Vec<i32> = (-3..3000).chain(i32::MAX - 300..=i32::MAX).collect();
        all.push(i32::MIN);
        for i in 0..60_000u32 {
            seed = seed
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            let x = (seed >> 33) as i32 >> (i % 31);
            let square = (i64::from(x).isqrt() as i32).pow(2);
            all.extend([x, square, square - 1, square + 1]);
        }
        for shift in 0..=62 {
            let fits =
                |x: &&i32| i64::from(**x) << shift >> shift == i64::from(**x) && (i64::from(**x) << shift) < 1 << 62;
            let some: Vec<i32> = all.iter().filter(fits).copied().collect();
            let (low, high) = (9 * (shift % 3) - 5, i32::MAX - 1000 * (shift % 7));
            let shift = shift as u8;
            for kernels in Kernels::available() {
                let mut found = some.clone();
                (kernels.arithmetic.roots)(&mut found, End { shift, low, high });
                for (x, y) in some.iter().zip(found) {
                    let v = (i64::from(*x).max(0) as u64) << shift;
                    let root = v.isqrt();
                    let nearest = (root + u64::from(v - root * root > root)) as i64;
                    assert_eq!(
                        i64::from(y),
                        nearest.clamp(low.into(), high.into()),
                        "{x} {shift} {kernels:?}"
                    );
                }
            }
        }
    }
}
