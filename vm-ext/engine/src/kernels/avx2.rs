//! AVX2: `vpmaddwd` on pairs of k, exact in 32 bits by the caller's certificate.
//!
//! Every function checks its slices before it takes pointers into them; the set is handed out only where the machine has AVX2
//! ([`super::Kernels::by_name`]).

use core::arch::x86_64::*;

use crate::ops::exp2::EXP2;

use super::ahead::Ahead;
use super::compiled::compiled_for;
use super::portable::{self, Power};
use super::quads::quad_products;
use super::roots;
use super::sse2::{self, check, check_panels};
use super::{Arithmetic, Bytes, Ends, Kernels, Words, SPLIT, WIDE};

mod depthwise;
mod pack;
mod rescale;

use rescale::{rescale_columns, rescale_columns_to, rescale_rows, rescale_rows_to};

cpufeatures::new!(detected, "avx2");

/// The set, where the machine has AVX2.
pub(super) fn kernels() -> Option<Kernels> {
    detected::get().then_some(KERNELS)
}

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx2",
    bytes: Bytes {
        columns: quads::columns,
        pack_pixels: pack::pack_pixels,
        rows: quads::rows,
        dot: dot_i8::dot,
        ..sse2::KERNELS.bytes
    },
    words: Words {
        pack_pairs: pack::pack_pairs,
        tile: wide,
        blocks: wide_blocks,
        dot: dot_i16::dot,
    },
    depthwise,
    depthwise_wide,
    depthwise_to: depthwise::depthwise_rows,
    ends: Ends {
        // SAFETY (all): the machine has AVX2.
        columns: |acc, lanes, low, high| unsafe { rescale_columns(acc, lanes, low, high) },
        rows: |acc, channels, low, high| unsafe { rescale_rows(acc, channels, low, high) },
        columns_to: |sums, lanes, low, high, target| unsafe { rescale_columns_to(sums, lanes, low, high, target) },
        rows_to: |sums, channels, low, high, target| unsafe { rescale_rows_to(sums, channels, low, high, target) },
        ..compiled::ENDS
    },
    arithmetic: Arithmetic {
        // SAFETY (all): the machine has AVX2.
        table: |x, table| unsafe { interpolate(x, table) },
        exponentials: |x, power, out| unsafe { exponentials(x, power, out) },
        roots: |x, end| unsafe { roots::roots(x, end) },
        ..compiled::ARITHMETIC
    },
    folds: compiled::FOLDS,
};

compiled_for!("avx2");

quad_products!(
    "avx2", lanes 4, rows 6, _mm256_setzero_si256(),
    weights |p: *const i8| _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())),
    pixels |p: *const i32| _mm256_loadu_si256(p.cast()),
    activation |p: *const i32| _mm256_set1_epi64x(p.cast::<i64>().read_unaligned()),
    weight |p: *const i8| _mm256_cvtepi8_epi16(_mm_set1_epi32(p.cast::<i32>().read_unaligned())),
    step |sum, x, w| _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)),
    store |a, b, out: *mut i32| {
        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b));
        _mm256_storeu_si256(out.cast(), sums);
    },
);

/// By 16 pixels and two taps at a time where the pixels are neighbours.
pub(super) fn depthwise(source: &[i16], start: usize, offsets: &[i32], step: usize, weights: &[i16], sums: &mut [i32]) {
    let rest = |source: &[i16], sums: &mut [i32]| portable::depthwise(source, 0, offsets, step, weights, sums);
    // SAFETY: the machine has AVX2; from every offset on there are 16 pixels, and 16 sums.
    sixteens(&source[start..], offsets, step, sums, rest, |source, sums| unsafe {
        match step {
            1 => neighbours(source, offsets, weights, sums),
            _ => every_other(source, offsets, weights, sums),
        }
    });
}

/// The same, the weights' high and low bytes apart.
pub(super) fn depthwise_wide(
    source: &[i16],
    start: usize,
    offsets: &[i32],
    step: usize,
    weights: &[i16],
    sums: &mut [i64],
) {
    let rest = |source: &[i16], sums: &mut [i64]| portable::depthwise_wide(source, 0, offsets, step, weights, sums);
    // SAFETY: as above.
    sixteens(&source[start..], offsets, step, sums, rest, |source, sums| unsafe {
        match step {
            1 => wide_neighbours(source, offsets, weights, sums),
            _ => every_other_wide(source, offsets, weights, sums),
        }
    });
}

/// Calls `vector` for every 16 sums, from whose every offset on `source` has all 16 pixels, and `rest` for others.
#[inline(always)]
fn sixteens<S: Copy + Default>(
    source: &[i16],
    offsets: &[i32],
    step: usize,
    sums: &mut [S],
    rest: impl Fn(&[i16], &mut [S]),
    vector: impl Fn(*const i16, *mut S),
) {
    let count = sums.len();
    if step > 2 {
        return rest(source, sums);
    }
    assert!(offsets.iter().all(|offset| *offset >= 0));
    let furthest = offsets.iter().copied().max().unwrap_or(0) as usize;
    if count < WIDE {
        if source.len() < furthest + step * WIDE {
            return rest(source, sums);
        }
        let mut all = [S::default(); WIDE];
        vector(source.as_ptr(), all.as_mut_ptr());
        return sums.copy_from_slice(&all[..count]);
    }
    for at in (0..count).step_by(WIDE) {
        // The last sixteen overlap those before.
        let at = at.min(count - WIDE);
        let source = &source[at * step..];
        let sums = &mut sums[at..at + WIDE];
        match source.len() < furthest + step * WIDE {
            // A vector of every other pixel would read one too many.
            true => rest(source, sums),
            false => vector(source.as_ptr(), sums.as_mut_ptr()),
        }
    }
}

/// Two weights in a word, the first in its low half.
fn both(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

/// The low bytes of two taps' weights, and the high ones.
fn halves(first: i16, second: i16) -> [i32; 2] {
    [both(first & 0xff, second & 0xff), both(first >> 8, second >> 8)]
}

/// Calls `each` for 16 pixels of every two taps: pixels 0 to 3 and 8 to 11, the others, and the taps' weights.
///
/// # Safety
/// AVX2; from every offset on `source` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(source: *const i16, offsets: &[i32], weights: &[i16], mut each: impl FnMut([__m256i; 2], [i16; 2])) {
    for (offsets, weights) in offsets.chunks(2).zip(weights.chunks(2)) {
        let line = |offset: i32| _mm256_loadu_si256(source.add(offset as usize).cast());
        let first = line(offsets[0]);
        let (second, weights) = match (offsets, weights) {
            ([_, offset], [w, v]) => (line(*offset), [*w, *v]),
            _ => (first, [weights[0], 0]),
        };
        let (low, high) = (
            _mm256_unpacklo_epi16(first, second),
            _mm256_unpackhi_epi16(first, second),
        );
        each([low, high], weights);
    }
}

/// # Safety
/// AVX2; from every offset on `source` is readable for 16 elements; `sums` is writable for 16.
#[target_feature(enable = "avx2")]
unsafe fn neighbours(source: *const i16, offsets: &[i32], weights: &[i16], sums: *mut i32) {
    let mut parts = [_mm256_setzero_si256(); 2];
    pairs(source, offsets, weights, |pixels, [w, v]| {
        let w = _mm256_set1_epi32(both(w, v));
        for (part, pixels) in parts.iter_mut().zip(pixels) {
            *part = _mm256_add_epi32(*part, _mm256_madd_epi16(pixels, w));
        }
    });
    let [low, high] = parts;
    _mm256_storeu_si256(sums.cast(), _mm256_permute2x128_si256::<0x20>(low, high));
    _mm256_storeu_si256(sums.add(8).cast(), _mm256_permute2x128_si256::<0x31>(low, high));
}

/// # Safety
/// As for `neighbours`.
#[target_feature(enable = "avx2")]
unsafe fn wide_neighbours(source: *const i16, offsets: &[i32], weights: &[i16], sums: *mut i64) {
    let mut totals = [_mm256_setzero_si256(); 4];
    for (offsets, weights) in offsets.chunks(SPLIT).zip(weights.chunks(SPLIT)) {
        // Of low bytes and of high ones.
        let mut parts = [[_mm256_setzero_si256(); 2]; 2];
        pairs(source, offsets, weights, |pixels, [w, v]| {
            for (parts, w) in parts.iter_mut().zip(halves(w, v)) {
                let w = _mm256_set1_epi32(w);
                for (part, pixels) in parts.iter_mut().zip(pixels) {
                    *part = _mm256_add_epi32(*part, _mm256_madd_epi16(pixels, w));
                }
            }
        });
        let [low, high] = parts;
        let in_order = |[a, b]: [__m256i; 2]| {
            [
                _mm256_permute2x128_si256::<0x20>(a, b),
                _mm256_permute2x128_si256::<0x31>(a, b),
            ]
        };
        add_halves(&mut totals, in_order(low), in_order(high));
    }
    for (i, total) in totals.iter().enumerate() {
        _mm256_storeu_si256(sums.add(4 * i).cast(), *total);
    }
}

/// Adds sums of low bytes and 256 times those of high ones to 16 totals.
#[inline]
#[target_feature(enable = "avx2")]
fn add_halves(totals: &mut [__m256i; 4], low: [__m256i; 2], high: [__m256i; 2]) {
    let wide = |sums: [__m256i; 2], i: usize| match i % 2 {
        0 => _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums[i / 2])),
        _ => _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(sums[i / 2])),
    };
    for (i, total) in totals.iter_mut().enumerate() {
        let sum = _mm256_add_epi64(wide(low, i), _mm256_slli_epi64::<8>(wide(high, i)));
        *total = _mm256_add_epi64(*total, sum);
    }
}

/// # Safety
/// AVX2; from every offset on `source` is readable for 32 elements; `sums` is writable for 16.
#[target_feature(enable = "avx2")]
unsafe fn every_other(source: *const i16, offsets: &[i32], weights: &[i16], sums: *mut i32) {
    let mut parts = [_mm256_setzero_si256(); 2];
    for (offset, w) in offsets.iter().zip(weights) {
        let source = source.add(*offset as usize);
        // The pixels between have a weight of 0.
        let w = _mm256_set1_epi32(both(*w, 0));
        for (i, part) in parts.iter_mut().enumerate() {
            let x = _mm256_loadu_si256(source.add(16 * i).cast());
            *part = _mm256_add_epi32(*part, _mm256_madd_epi16(x, w));
        }
    }
    _mm256_storeu_si256(sums.cast(), parts[0]);
    _mm256_storeu_si256(sums.add(8).cast(), parts[1]);
}

/// # Safety
/// As for `every_other`.
#[target_feature(enable = "avx2")]
unsafe fn every_other_wide(source: *const i16, offsets: &[i32], weights: &[i16], sums: *mut i64) {
    let mut totals = [_mm256_setzero_si256(); 4];
    for (offsets, weights) in offsets.chunks(SPLIT).zip(weights.chunks(SPLIT)) {
        let mut parts = [[_mm256_setzero_si256(); 2]; 2];
        for (offset, w) in offsets.iter().zip(weights) {
            let source = source.add(*offset as usize);
            let w = halves(*w, 0).map(|w| _mm256_set1_epi32(w));
            for i in 0..2 {
                let x = _mm256_loadu_si256(source.add(16 * i).cast());
                for (parts, w) in parts.iter_mut().zip(w) {
                    parts[i] = _mm256_add_epi32(parts[i], _mm256_madd_epi16(x, w));
                }
            }
        }
        let [low, high] = parts;
        add_halves(&mut totals, low, high);
    }
    for (i, total) in totals.iter().enumerate() {
        _mm256_storeu_si256(sums.add(4 * i).cast(), *total);
    }
}

/// 16 weights.
///
/// # Safety
/// `p` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(p: *const i16) -> __m256i {
    _mm256_loadu_si256(p.cast())
}

/// A few rows go past all panels before the next ones: of those, and of a panel or two, a near cache holds more than of all rows.
fn wide(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], stride: usize, out: &mut [i32]) {
    let panels = check_panels((a.len(), lda), rows, k, (b.len(), stride), out.len());
    let mut r = 0;
    while r < rows {
        let mut done = rows;
        for p in 0..panels {
            // SAFETY: the machine has AVX2, and `check_panels` has proven the extents that `tile` asks for.
            unsafe {
                let (a, b) = (a.as_ptr().add(r * lda), b.as_ptr().add(p * stride));
                let out = out.as_mut_ptr().add((p * rows + r) * WIDE);
                done = match rows - r {
                    6.. => tile::<6, 2>(a, lda, k, b, out, Ahead::new(b, stride, r)),
                    4.. => tile::<4, 2>(a, lda, k, b, out, Ahead::new(b, stride, r)),
                    2.. => tile::<2, 2>(a, lda, k, b, out, Ahead::new(b, stride, r)),
                    _ => tile::<1, 2>(a, lda, k, b, out, Ahead::new(b, stride, r)),
                };
            }
        }
        r += done;
    }
}

/// R rows against a panel of V * 8 columns, bringing near what `ahead` says. Gives R.
///
/// # Safety
/// AVX2; `a` is readable for k elements at each of R rows lda apart, `b` for V * 16 elements per pair of k
/// (an odd k rounded up), `out` writable for R * V * 8.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize, const V: usize>(
    a: *const i16,
    lda: usize,
    k: usize,
    b: *const i16,
    out: *mut i32,
    mut ahead: Ahead<R, 1>,
) -> usize {
    let mut sums = [[_mm256_setzero_si256(); V]; R];
    pairs_of(k, (a, lda), b, &mut sums, || ahead.step());
    for (i, sum) in sums.iter().flatten().enumerate() {
        _mm256_storeu_si256(out.add(i * 8).cast(), *sum);
    }
    R
}

/// Adds the products of k elements of R rows and of a panel of V * 8 columns; calls `ahead` for every pair of k.
///
/// Nothing here is checked for overflow: such checks keep sums out of registers.
///
/// # Safety
/// AVX2; `a` is readable for k elements at each of R rows lda apart, `b` for V * 16 elements per pair of k (an odd k rounded up).
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs_of<const R: usize, const V: usize>(
    k: usize,
    (a, lda): (*const i16, usize),
    b: *const i16,
    sums: &mut [[__m256i; V]; R],
    mut ahead: impl FnMut(),
) {
    let (mut a, mut b) = (a, b);
    for _ in 0..k / 2 {
        ahead();
        pair_step(|r| a.add(r.wrapping_mul(lda)).cast::<i32>().read_unaligned(), b, sums);
        (a, b) = (a.add(2), b.add(16 * V));
    }
    if k % 2 == 1 {
        // The upper half is 0: what the panel holds there does not matter.
        pair_step(|r| i32::from(*a.add(r.wrapping_mul(lda)) as u16), b, sums);
    }
}

/// A pair of k.
///
/// # Safety
/// AVX2; `b` is readable for V * 16 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair_step<const R: usize, const V: usize>(
    x: impl Fn(usize) -> i32,
    b: *const i16,
    sums: &mut [[__m256i; V]; R],
) {
    let mut w = [_mm256_setzero_si256(); V];
    for (v, w) in w.iter_mut().enumerate() {
        *w = load(b.add(v * 16));
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        let x = _mm256_set1_epi32(x(r));
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
        }
    }
}

/// k of a block from which on it takes less to bring the sums of each to 64 bits than to multiply bytes apart.
pub(super) const LONG: usize = 8;

fn wide_blocks(a: &[i16], lda: usize, rows: usize, k: usize, block: usize, b: &[i16], out: &mut [i64]) {
    check(a.len(), lda, rows, k, b.len(), out.len());
    assert!(block >= 2 && block.is_multiple_of(2));
    let mut r = 0;
    while r < rows {
        // SAFETY: as in `wide`.
        unsafe {
            let (a, out) = (a.as_ptr().add(r * lda), out.as_mut_ptr().add(r * WIDE));
            match (block < LONG, rows - r) {
                (true, 2..) => r += split_tile::<2>(a, lda, k, b.as_ptr(), out),
                (true, _) => r += split_tile::<1>(a, lda, k, b.as_ptr(), out),
                (_, 2..) => r += block_tile::<2, 2>(a, lda, k, block, b.as_ptr(), out),
                _ => r += block_tile::<1, 2>(a, lda, k, block, b.as_ptr(), out),
            }
        }
    }
}

/// R rows against a panel of V * 8 columns, sums of each block moved to 64 bits. Gives R.
///
/// # Safety
/// As for `tile`; `block` is even and not 0.
#[target_feature(enable = "avx2")]
unsafe fn block_tile<const R: usize, const V: usize>(
    a: *const i16,
    lda: usize,
    k: usize,
    block: usize,
    b: *const i16,
    out: *mut i64,
) -> usize {
    // Lanes 0 to 3 and 4 to 7 of each vector.
    let mut totals = [[[_mm256_setzero_si256(); 2]; V]; R];
    let mut from = 0;
    while from < k {
        let end = from + block.min(k - from);
        let mut sums = [[_mm256_setzero_si256(); V]; R];
        pairs_of(end - from, (a.add(from), lda), b.add(from * 8 * V), &mut sums, || {});
        for (totals, sums) in totals.iter_mut().zip(&sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(*sum));
                let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(*sum));
                total[0] = _mm256_add_epi64(total[0], low);
                total[1] = _mm256_add_epi64(total[1], high);
            }
        }
        from = end;
    }
    for (i, total) in totals.iter().flatten().flatten().enumerate() {
        _mm256_storeu_si256(out.add(i * 4).cast(), *total);
    }
    R
}

/// R rows against a panel of 16 columns, whose high and low bytes are multiplied apart. Gives R.
///
/// # Safety
/// As for `tile`.
#[target_feature(enable = "avx2")]
unsafe fn split_tile<const R: usize>(a: *const i16, lda: usize, k: usize, b: *const i16, out: *mut i64) -> usize {
    let mut totals = [[_mm256_setzero_si256(); 4]; R];
    let bytes = _mm256_set1_epi16(0xff);
    for from in (0..k).step_by(SPLIT) {
        let end = from + SPLIT.min(k - from);
        // Of low bytes and of high ones.
        let mut sums = [[[_mm256_setzero_si256(); 2]; 2]; R];
        for k in (from..end).step_by(2) {
            let (first, second) = (load(b.add(k * WIDE)), load(b.add(k * WIDE + 16)));
            let w = [
                [_mm256_and_si256(first, bytes), _mm256_and_si256(second, bytes)],
                [_mm256_srai_epi16::<8>(first), _mm256_srai_epi16::<8>(second)],
            ];
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(sse2::pair(a.add(r * lda), k, end));
                for (sums, w) in sums.iter_mut().zip(w) {
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                    }
                }
            }
        }
        for (totals, [low, high]) in totals.iter_mut().zip(sums) {
            add_halves(totals, low, high);
        }
    }
    for (i, total) in totals.iter().flatten().enumerate() {
        _mm256_storeu_si256(out.add(i * 4).cast(), *total);
    }
    R
}

/// Dot products; `$load` reads 16 weights as 16-bit lanes.
macro_rules! dot {
    ($module:ident, $weight:ident, $load:expr) => {
        mod $module {
            use super::*;

            pub fn dot(a: &[i16], b: &[$weight]) -> i32 {
                assert_eq!(a.len(), b.len());
                // SAFETY: the machine has AVX2; both slices have this many elements.
                unsafe { dot_of(a.as_ptr(), b.as_ptr(), a.len()) }
            }

            /// # Safety
            /// AVX2; `a` and `b` are readable for k elements.
            #[target_feature(enable = "avx2")]
            unsafe fn dot_of(a: *const i16, b: *const $weight, k: usize) -> i32 {
                let mut sums = [_mm256_setzero_si256(); 4];
                let mut at = 0;
                while at + 64 <= k {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let x = _mm256_loadu_si256(a.add(at + 16 * i).cast());
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, $load(b.add(at + 16 * i))));
                    }
                    at += 64;
                }
                while at + 16 <= k {
                    let x = _mm256_loadu_si256(a.add(at).cast());
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, $load(b.add(at))));
                    at += 16;
                }
                let sum = _mm256_add_epi32(
                    _mm256_add_epi32(sums[0], sums[1]),
                    _mm256_add_epi32(sums[2], sums[3]),
                );
                let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
                let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
                let mut total = _mm_cvtsi128_si32(sum);
                while at < k {
                    total = total.wrapping_add(i32::from(*a.add(at)).wrapping_mul(i32::from(*b.add(at))));
                    at += 1;
                }
                total
            }
        }
    };
}

dot!(dot_i8, i8, |p: *const i8| _mm256_cvtepi8_epi16(_mm_loadu_si128(
    p.cast()
)));
dot!(dot_i16, i16, |p: *const i16| _mm256_loadu_si256(p.cast()));

/// Interpolates between knots: two neighbours are gathered in one word of 32 bits.
#[target_feature(enable = "avx2")]
fn interpolate(x: &mut [i32], table: &[i16; 513]) {
    let mut chunks = x.chunks_exact_mut(8);
    for x in &mut chunks {
        // SAFETY: 8 elements; an index is at most 511, and with its neighbour within the table.
        unsafe {
            let at = x.as_mut_ptr().cast::<__m256i>();
            let u = _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_set1_epi32(32768));
            let index = _mm256_and_si256(_mm256_srli_epi32::<7>(u), _mm256_set1_epi32(511));
            let knots = _mm256_i32gather_epi32::<2>(table.as_ptr().cast(), index);
            let f = _mm256_and_si256(u, _mm256_set1_epi32(127));
            // 128 - f beside f.
            let weights = _mm256_sub_epi32(_mm256_set1_epi32(128), f);
            let weights = _mm256_or_si256(weights, _mm256_slli_epi32::<16>(f));
            let y = _mm256_add_epi32(_mm256_madd_epi16(knots, weights), _mm256_set1_epi32(64));
            _mm256_storeu_si256(at, _mm256_srai_epi32::<7>(y));
        }
    }
    portable::table(chunks.into_remainder(), table);
}

/// Powers of two: two neighbouring knots are gathered in one word of 64 bits.
#[target_feature(enable = "avx2")]
fn exponentials(x: &[i32], power: Power, out: &mut [i32]) -> u64 {
    let multiplier = _mm256_set1_epi64x(power.multiplier.into());
    let shift = _mm_cvtsi32_si128(i32::from(power.shift & 63));
    let most = _mm256_set1_epi64x(portable::MAX_EXPONENT as i64);
    let mut sums = _mm256_setzero_si256();
    let count = x.len().min(out.len()) / 4 * 4;
    for (x, out) in x[..count].chunks_exact(4).zip(out.chunks_exact_mut(4)) {
        // SAFETY: 4 elements each; an index is at most 255, and with its neighbour within the table.
        unsafe {
            let x = _mm_loadu_si128(x.as_ptr().cast());
            let difference = _mm256_cvtepu32_epi64(_mm_sub_epi32(_mm_set1_epi32(power.max), x));
            // Below 2^63, so comparing as signed numbers is right.
            let t = _mm256_srl_epi64(_mm256_mul_epu32(difference, multiplier), shift);
            let t = _mm256_blendv_epi8(t, most, _mm256_cmpgt_epi64(t, most));
            let index = _mm256_and_si256(_mm256_srli_epi64::<8>(t), _mm256_set1_epi64x(0xff));
            let knots = _mm256_i64gather_epi64::<4>(EXP2.as_ptr().cast(), index);
            let g = _mm256_and_si256(t, _mm256_set1_epi64x(0xff));
            let first = _mm256_mul_epu32(knots, _mm256_sub_epi64(_mm256_set1_epi64x(256), g));
            let second = _mm256_mul_epu32(_mm256_srli_epi64::<32>(knots), g);
            let mantissa = _mm256_add_epi64(_mm256_add_epi64(first, second), _mm256_set1_epi64x(128));
            let places = _mm256_add_epi64(_mm256_srli_epi64::<16>(t), _mm256_set1_epi64x(8));
            let y = _mm256_srlv_epi64(mantissa, places);
            sums = _mm256_add_epi64(sums, y);
            // The low halves.
            let y = _mm256_permutevar8x32_epi32(y, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_castsi256_si128(y));
        }
    }
    let mut lanes = [0u64; 4];
    // SAFETY: room for 4 lanes.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
    let rest = portable::exponentials(&x[count..], power, &mut out[count..]);
    lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
}
