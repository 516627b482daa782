//! SSE2, which every x86-64 machine has: `pmaddwd` on pairs of k, exact in 32 bits by the caller's certificate. Also how the
//! x86 sets lay out activations.
//!
//! Every function checks its slices before it takes pointers into them.

use core::arch::x86_64::*;

use super::quads::quad_products;
use super::{scalar, Bytes, Kernels, Width, Words, QUAD, QUAD_WORDS, WIDE};

pub(super) const KERNELS: Kernels = Kernels {
    name: "sse2",
    bytes: Bytes {
        pack_rows,
        columns: quads::columns,
        pack_pixels,
        rows: quads::rows,
        dot: dot_i8,
    },
    words: Words {
        tile,
        blocks,
        dot: dot_i16,
        ..scalar::KERNELS.words
    },
    ..scalar::KERNELS
};

quad_products!(
    "sse2", lanes 2, rows 4, _mm_setzero_si128(),
    weights |p: *const i8| extended(_mm_loadl_epi64(p.cast())),
    pixels |p: *const i32| _mm_loadu_si128(p.cast()),
    activation |p: *const i32| {
        let quad = _mm_loadl_epi64(p.cast());
        _mm_unpacklo_epi64(quad, quad)
    },
    weight |p: *const i8| {
        let quad = extended(_mm_cvtsi32_si128(p.cast::<i32>().read_unaligned()));
        _mm_unpacklo_epi64(quad, quad)
    },
    step |sum, x, w| _mm_add_epi32(sum, _mm_madd_epi16(x, w)),
    store |a, b, out: *mut i32| {
        let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
        let even = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(a, b));
        let odd = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b));
        _mm_storeu_si128(out.cast(), _mm_add_epi32(even, odd));
    },
);

/// The eight low bytes in 16 bits each.
#[inline]
#[target_feature(enable = "sse2")]
fn extended(bytes: __m128i) -> __m128i {
    _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes))
}

/// A quad of a row: its elements in order.
pub(super) fn pack_rows(x: &[i16], stride: usize, rows: usize, k: usize, _: Width, words: &mut [i32]) {
    let row_words = k.div_ceil(QUAD) * QUAD_WORDS;
    for (r, words) in words.chunks_exact_mut(row_words).take(rows).enumerate() {
        let row = &x[r * stride..r * stride + k];
        if let Some(last) = words.last_chunk_mut::<QUAD_WORDS>() {
            last.fill(0);
        }
        // SAFETY: a row of words has room for k elements of half their size; x86 keeps the first in the low half.
        unsafe { row.as_ptr().copy_to_nonoverlapping(words.as_mut_ptr().cast(), k) };
    }
}

/// A quad: 16 times its four elements.
pub(super) fn pack_pixels(source: &[i16], start: usize, offsets: &[i32], _: Width, from: usize, words: &mut [i32]) {
    let zeros = [0i16; WIDE];
    let words = words.chunks_exact_mut(WIDE * QUAD_WORDS).skip(from);
    for (quad, words) in offsets.chunks(QUAD).zip(words) {
        let line = |i: usize| match quad.get(i) {
            Some(offset) => &source[start + *offset as usize..][..WIDE],
            None => &zeros,
        };
        let lines = [line(0), line(1), line(2), line(3)];
        // SAFETY: every line has 16 elements, and so has each half of 8; a quad of 16 has 32 words.
        unsafe {
            for half in 0..2 {
                let [a, b, c, d] = lines.map(|line| _mm_loadu_si128(line.as_ptr().add(8 * half).cast()));
                let out = words.as_mut_ptr().add(16 * half).cast::<__m128i>();
                let (ab, cd) = (_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d));
                _mm_storeu_si128(out, _mm_unpacklo_epi32(ab, cd));
                _mm_storeu_si128(out.add(1), _mm_unpackhi_epi32(ab, cd));
                let (ab, cd) = (_mm_unpackhi_epi16(a, b), _mm_unpackhi_epi16(c, d));
                _mm_storeu_si128(out.add(2), _mm_unpacklo_epi32(ab, cd));
                _mm_storeu_si128(out.add(3), _mm_unpackhi_epi32(ab, cd));
            }
        }
    }
}

/// Panics unless `a` holds `rows` rows of k elements, lda apart, `b` a panel of k, and `out` the results.
#[inline]
pub(super) fn check(a: usize, lda: usize, rows: usize, k: usize, b: usize, out: usize) {
    let rows_end = rows
        .checked_sub(1)
        .and_then(|r| r.checked_mul(lda))
        .and_then(|r| r.checked_add(k));
    let panel = k.div_ceil(2).checked_mul(2 * WIDE);
    let results = rows.checked_mul(WIDE);
    assert!(rows_end.is_some_and(|end| end <= a) || rows == 0);
    assert!(panel.is_some_and(|end| end <= b) && results.is_some_and(|end| end <= out));
}

/// A pair of neighbouring k, or an odd last one beside 0: what the panel holds there does not matter.
///
/// # Safety
/// `a` is readable from `at` up to `end`.
#[inline(always)]
pub(super) unsafe fn pair(a: *const i16, at: usize, end: usize) -> i32 {
    match at + 1 < end {
        true => a.add(at).cast::<i32>().read_unaligned(),
        false => i32::from(*a.add(at) as u16),
    }
}

/// Panics unless there are panels for all of `out`: its rows of k, and those of a, like [`check`].
#[inline]
pub(super) fn check_panels(
    (a, lda): (usize, usize),
    rows: usize,
    k: usize,
    (b, stride): (usize, usize),
    out: usize,
) -> usize {
    let panels = out / (rows * WIDE).max(1);
    if panels == 0 {
        return 0;
    }
    let last = panels.saturating_sub(1).checked_mul(stride);
    let left = last.and_then(|last| b.checked_sub(last));
    check(a, lda, rows, k, left.unwrap_or(0), out);
    panels
}

fn tile(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], stride: usize, out: &mut [i32]) {
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        panel(a, lda, rows, k, &b[p * stride..], out);
    }
}

fn panel(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], out: &mut [i32]) {
    check(a.len(), lda, rows, k, b.len(), out.len());
    for r in 0..rows {
        // SAFETY: `check` has proven the extents that `sums` asks for and that out has 16 elements for every row.
        unsafe {
            for (v, sum) in sums(a.as_ptr().add(r * lda), 0, k, b.as_ptr()).iter().enumerate() {
                _mm_storeu_si128(out.as_mut_ptr().add(r * WIDE + 4 * v).cast(), *sum);
            }
        }
    }
}

fn blocks(a: &[i16], lda: usize, rows: usize, k: usize, block: usize, b: &[i16], out: &mut [i64]) {
    check(a.len(), lda, rows, k, b.len(), out.len());
    assert!(block >= 2 && block.is_multiple_of(2));
    for (r, totals) in out.chunks_exact_mut(WIDE).take(rows).enumerate() {
        totals.fill(0);
        for from in (0..k).step_by(block) {
            let mut part = [0i32; WIDE];
            // SAFETY: as in `panel`; part has 16 elements.
            unsafe {
                let end = from + block.min(k - from);
                for (v, sum) in sums(a.as_ptr().add(r * lda), from, end, b.as_ptr()).iter().enumerate() {
                    _mm_storeu_si128(part.as_mut_ptr().add(4 * v).cast(), *sum);
                }
            }
            for (total, part) in totals.iter_mut().zip(part) {
                *total = total.wrapping_add(i64::from(part));
            }
        }
    }
}

/// Sums over k in `from..end` (`from` even) of one row against a panel.
///
/// # Safety
/// `a` is readable up to `end`, `b` for 32 elements per pair of k (an odd `end` rounded up).
#[inline]
unsafe fn sums(a: *const i16, from: usize, end: usize, b: *const i16) -> [__m128i; 4] {
    let mut sums = [_mm_setzero_si128(); 4];
    for k in (from..end).step_by(2) {
        let x = _mm_set1_epi32(pair(a, k, end));
        for (v, sum) in sums.iter_mut().enumerate() {
            let w = _mm_loadu_si128(b.add(k * WIDE + 8 * v).cast());
            *sum = _mm_add_epi32(*sum, _mm_madd_epi16(x, w));
        }
    }
    sums
}

/// Eight elements at a time, `$load` reading the weights.
macro_rules! dot {
    ($name:ident, $weight:ty, $load:expr) => {
        fn $name(a: &[i16], b: &[$weight]) -> i32 {
            // SAFETY: every x86-64 machine has SSE2.
            let mut sum = unsafe { _mm_setzero_si128() };
            let (x, w) = (a.chunks_exact(8), b.chunks_exact(8));
            let rest = x.remainder().iter().zip(w.remainder());
            let rest = rest.fold(0i32, |sum, (x, w)| {
                sum.wrapping_add(i32::from(*x).wrapping_mul(i32::from(*w)))
            });
            for (x, w) in x.zip(w) {
                // SAFETY: chunks of 8 elements.
                unsafe {
                    let x = _mm_loadu_si128(x.as_ptr().cast());
                    sum = _mm_add_epi32(sum, _mm_madd_epi16(x, $load(w.as_ptr())));
                }
            }
            let mut lanes = [0i32; 4];
            // SAFETY: room for 4 lanes.
            unsafe { _mm_storeu_si128(lanes.as_mut_ptr().cast(), sum) };
            lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
        }
    };
}

dot!(dot_i8, i8, |p: *const i8| extended(_mm_loadl_epi64(p.cast())));
dot!(dot_i16, i16, |p: *const i16| _mm_loadu_si128(p.cast()));
