//! Pixels laid out for the tiled kernels: sixteen of four taps, or of two, at a time.

use core::arch::x86_64::*;

use super::super::{Width, QUAD, QUAD_WORDS, WIDE};

/// Panics unless from every offset after `start` on `source` has 16 elements.
#[inline(always)]
fn check(source: &[i16], start: usize, offsets: &[i32]) {
    let (least, most) = offsets.iter().fold((0, 0), |(least, most): (i32, i32), offset| {
        (least.min(*offset), most.max(*offset))
    });
    assert!(least >= 0 && source[start..].len() >= most as usize + WIDE);
}

/// See [`super::super::Bytes::pack_pixels`].
pub(in super::super) fn pack_pixels(
    source: &[i16],
    start: usize,
    offsets: &[i32],
    _: Width,
    from: usize,
    words: &mut [i32],
) {
    check(source, start, offsets);
    let words = &mut words[from * WIDE * QUAD_WORDS..][..offsets.len().div_ceil(QUAD) * WIDE * QUAD_WORDS];
    // SAFETY: the machine has AVX2; the extents have just been measured.
    unsafe { quads(source.as_ptr().add(start), offsets, words.as_mut_ptr().cast()) };
}

/// See [`super::super::Words::pack_pairs`].
pub(in super::super) fn pack_pairs(source: &[i16], start: usize, offsets: &[i32], panel: &mut [i16]) {
    check(source, start, offsets);
    let pairs = offsets.len().div_ceil(2).min(panel.len() / (2 * WIDE));
    let offsets = &offsets[..offsets.len().min(2 * pairs)];
    // SAFETY: the machine has AVX2; the panel holds so many pairs, and the other extents have just been measured.
    unsafe { pairs_of(source.as_ptr().add(start), offsets, panel.as_mut_ptr().cast()) };
}

/// # Safety
/// AVX2; from every offset on `source` is readable for 16 elements; `out` is writable for four vectors for every four offsets.
#[target_feature(enable = "avx2")]
unsafe fn quads(source: *const i16, offsets: &[i32], mut out: *mut __m256i) {
    for quad in offsets.chunks(QUAD) {
        let mut x = [_mm256_setzero_si256(); QUAD];
        for (x, offset) in x.iter_mut().zip(quad) {
            *x = _mm256_loadu_si256(source.add(*offset as usize).cast());
        }
        let [a, b, c, d] = x;
        // Pixels 0 to 3 and 8 to 11, and the others.
        for (i, [ab, cd]) in [
            [_mm256_unpacklo_epi16(a, b), _mm256_unpacklo_epi16(c, d)],
            [_mm256_unpackhi_epi16(a, b), _mm256_unpackhi_epi16(c, d)],
        ]
        .into_iter()
        .enumerate()
        {
            let (first, second) = (_mm256_unpacklo_epi32(ab, cd), _mm256_unpackhi_epi32(ab, cd));
            _mm256_storeu_si256(out.add(i), _mm256_permute2x128_si256::<0x20>(first, second));
            _mm256_storeu_si256(out.add(i + 2), _mm256_permute2x128_si256::<0x31>(first, second));
        }
        out = out.add(QUAD);
    }
}

/// # Safety
/// As for `quads`, with two vectors for every two offsets.
#[target_feature(enable = "avx2")]
unsafe fn pairs_of(source: *const i16, offsets: &[i32], mut out: *mut __m256i) {
    for pair in offsets.chunks(2) {
        let line = |offset: i32| _mm256_loadu_si256(source.add(offset as usize).cast());
        // The last of an odd number stands beside itself: its neighbour meets no weight.
        let (first, second) = (line(pair[0]), line(pair[pair.len() - 1]));
        let (low, high) = (
            _mm256_unpacklo_epi16(first, second),
            _mm256_unpackhi_epi16(first, second),
        );
        _mm256_storeu_si256(out, _mm256_permute2x128_si256::<0x20>(low, high));
        _mm256_storeu_si256(out.add(1), _mm256_permute2x128_si256::<0x31>(low, high));
        out = out.add(2);
    }
}
