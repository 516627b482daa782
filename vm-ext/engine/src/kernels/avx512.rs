//! AVX-512: a wide panel's sixteen columns are one vector. Pairs of k are multiplied by `vpmaddwd` and added, or where
//! the machine has VNNI by `vpdpwssd`, which does both in one instruction; neither saturates. Exact in 32 bits by the
//! caller's certificate.
//!
//! What fills no such vector (narrow panels, single rows) is left to AVX2, which every machine with AVX-512 has.
//! As in [`super::avx2`], every function checks its slices before it takes pointers into them, and a set is handed out
//! only where the machine has what it needs.

use core::arch::x86_64::*;

use crate::ops::exp2::{EXP2, KNOT_BITS};

use super::ahead::Ahead;
use super::compiled::compiled_for;
use super::portable::{self, Power};
use super::quads::quad_products;
use super::roots;
use super::sse2::{check, check_panels, pair};
use super::{avx2, Arithmetic, Bytes, Depthwise, Ends, Kernels, Words, SPLIT, WIDE};

mod rescale;

use rescale::{narrow_columns, rescale_columns, rescale_columns_to, rescale_rows, rescale_rows_to};

// This looks at what the operating system keeps of the registers, too.
cpufeatures::new!(detected, "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl");

/// The set with `vpmaddwd`, where the machine has AVX-512 (F, BW, DQ and VL).
pub(super) fn kernels() -> Option<Kernels> {
    detected::get().then_some(KERNELS)
}

pub(super) const KERNELS: Kernels = Kernels {
    name: "avx512",
    bytes: Bytes {
        columns: quads::columns,
        rows: quads::rows,
        ..avx2::KERNELS.bytes
    },
    words: plain::WORDS,
    depthwise: plain::depthwise,
    depthwise_wide: avx2::depthwise_wide,
    depthwise_to: avx2::KERNELS.depthwise_to,
    ends: Ends {
        // SAFETY (all): the machine has AVX-512.
        columns: |acc, lanes, low, high| unsafe { rescale_columns(acc, lanes, low, high) },
        rows: |acc, channels, low, high| unsafe { rescale_rows(acc, channels, low, high) },
        narrow_columns: |values, rows, target| unsafe { narrow_columns(values, rows, target) },
        columns_to: |sums, lanes, low, high, target| unsafe { rescale_columns_to(sums, lanes, low, high, target) },
        rows_to: |sums, channels, low, high, target| unsafe { rescale_rows_to(sums, channels, low, high, target) },
        ..compiled::ENDS
    },
    arithmetic: Arithmetic {
        // SAFETY (all): the machine has AVX-512.
        table: |x, table| unsafe { interpolate(x, table) },
        exponentials: |x, power, out| unsafe { exponentials(x, power, out) },
        roots: |x, end| unsafe { roots::roots(x, end) },
        ..compiled::ARITHMETIC
    },
    folds: compiled::FOLDS,
};

/// Products with 16-bit weights on machines that have `vpdpwssd`.
pub(super) const VNNI_WORDS: Words = vnni::WORDS;
pub(super) const VNNI_DEPTHWISE: Depthwise<i32> = vnni::depthwise;

/// Pixels of a vector.
const PIXELS: usize = 2 * WIDE;

compiled_for!("avx512f,avx512bw,avx512dq,avx512vl");

quad_products!(
    "avx512f,avx512bw,avx512dq,avx512vl", lanes 8, rows 12, _mm512_setzero_si512(),
    weights |p: *const i8| _mm512_cvtepi8_epi16(_mm256_loadu_si256(p.cast())),
    pixels |p: *const i32| _mm512_loadu_si512(p.cast()),
    activation |p: *const i32| _mm512_set1_epi64(p.cast::<i64>().read_unaligned()),
    weight |p: *const i8| _mm512_cvtepi8_epi16(_mm256_set1_epi32(p.cast::<i32>().read_unaligned())),
    step |sum, x, w| _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)),
    store |a, b, out: *mut i32| {
        let pairs = |sums| _mm512_cvtepi64_epi32(_mm512_add_epi32(sums, _mm512_srli_epi64::<32>(sums)));
        _mm256_storeu_si256(out.cast(), pairs(a));
        _mm256_storeu_si256(out.add(8).cast(), pairs(b));
    },
);

/// Products with 16-bit weights on machines with `$features`; `$step` adds the products of pairs of lanes to a sum.
macro_rules! products {
    ($module:ident, $features:literal, $step:expr) => {
        mod $module {
            use super::*;

            pub const WORDS: Words = Words {
                tile: wide,
                blocks: wide_blocks,
                ..avx2::KERNELS.words
            };

            /// By 32 pixels and two taps at a time where the pixels are neighbours.
            pub fn depthwise(
                source: &[i16],
                start: usize,
                offsets: &[i32],
                step: usize,
                weights: &[i16],
                sums: &mut [i32],
            ) {
                let rest = |at: usize, sums: &mut [i32]| {
                    avx2::depthwise(source, start + at * step, offsets, step, weights, sums);
                };
                let count = sums.len();
                if step != 1 || count < PIXELS {
                    return rest(0, sums);
                }
                assert!(offsets.iter().all(|offset| *offset >= 0) && offsets.len() == weights.len());
                let furthest = offsets.iter().copied().max().unwrap_or(0) as usize;
                let mut at = 0;
                while at < count {
                    // The last ones overlap those before.
                    let from = at.min(count - PIXELS);
                    let many = if count - from >= 2 * PIXELS {
                        2 * PIXELS
                    } else {
                        PIXELS
                    };
                    let sums = &mut sums[from..from + many];
                    match source[start + from..].len() < furthest + many {
                        true => rest(from, sums),
                        // SAFETY: the machine has the features; from every offset on there are so many pixels, and as many sums.
                        false => unsafe {
                            let source = source.as_ptr().add(start + from);
                            match many {
                                PIXELS => neighbours::<1>(source, offsets, weights, sums.as_mut_ptr()),
                                _ => neighbours::<2>(source, offsets, weights, sums.as_mut_ptr()),
                            }
                        },
                    }
                    at = from + many;
                }
            }

            /// V times 32 pixels.
            ///
            /// # Safety
            /// The features; from every offset on `source` is readable for V * 32 elements; `sums` is writable for as many; there are
            /// as many weights as offsets.
            #[target_feature(enable = $features)]
            unsafe fn neighbours<const V: usize>(source: *const i16, offsets: &[i32], weights: &[i16], sums: *mut i32) {
                let mut parts = [[_mm512_setzero_si512(); 2]; V];
                for (offsets, weights) in offsets.chunks(2).zip(weights.chunks(2)) {
                    let (first, second, w, v) = match (offsets, weights) {
                        ([first, second], [w, v]) => (*first, *second, *w, *v),
                        _ => (offsets[0], offsets[0], weights[0], 0),
                    };
                    let both = _mm512_set1_epi32(i32::from(w as u16) | i32::from(v) << 16);
                    for (i, [low, high]) in parts.iter_mut().enumerate() {
                        let line = |offset: i32| _mm512_loadu_si512(source.add(offset as usize + i * PIXELS).cast());
                        let (first, second) = (line(first), line(second));
                        *low = $step(*low, _mm512_unpacklo_epi16(first, second), both);
                        *high = $step(*high, _mm512_unpackhi_epi16(first, second), both);
                    }
                }
                // Fours of pixels alternate between the two.
                let front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
                let back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
                for (i, [low, high]) in parts.into_iter().enumerate() {
                    let sums = sums.add(i * PIXELS);
                    _mm512_storeu_si512(sums.cast(), _mm512_permutex2var_epi64(low, front, high));
                    _mm512_storeu_si512(sums.add(WIDE).cast(), _mm512_permutex2var_epi64(low, back, high));
                }
            }

            /// A few rows go past all panels, two at a time, before the next ones.
            fn wide(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], stride: usize, out: &mut [i32]) {
                let panels = check_panels((a.len(), lda), rows, k, (b.len(), stride), out.len());
                let mut r = 0;
                while r < rows {
                    let mut done = rows;
                    let mut p = 0;
                    while p < panels {
                        // A single row reads the panels as one stream.
                        let two = panels - p >= 2 && rows - r > 1;
                        // SAFETY: the machine has the features, and `check_panels` has proven the extents that `tile` asks for.
                        unsafe {
                            let (a, b) = (a.as_ptr().add(r * lda), b.as_ptr().add(p * stride));
                            let out = out.as_mut_ptr().add((p * rows + r) * WIDE);
                            let out = (out, rows * WIDE);
                            done = match (two, rows - r) {
                                (true, 16 | 8..12) => tile::<8, 2, 1>((a, lda), k, (b, stride), out, r),
                                (true, 12..) => tile::<12, 2, 1>((a, lda), k, (b, stride), out, r),
                                (true, 4..) => tile::<4, 2, 1>((a, lda), k, (b, stride), out, r),
                                (true, _) => tile::<2, 2, 4>((a, lda), k, (b, stride), out, r),
                                (_, 16 | 8..12) => tile::<8, 1, 1>((a, lda), k, (b, stride), out, r),
                                (_, 12..) => tile::<12, 1, 1>((a, lda), k, (b, stride), out, r),
                                (_, 4..) => tile::<4, 1, 2>((a, lda), k, (b, stride), out, r),
                                (_, 2..) => tile::<2, 1, 4>((a, lda), k, (b, stride), out, r),
                                _ => tile::<1, 1, 4>((a, lda), k, (b, stride), out, r),
                            };
                        }
                        p += if two { 2 } else { 1 };
                    }
                    r += done;
                }
            }

            /// R rows, of a block those from `first` on, against P panels, whose results are `panel` apart. Gives R.
            ///
            /// # Safety
            /// As for `sums`; `out` is writable for R * 16 elements of each panel.
            #[target_feature(enable = $features)]
            unsafe fn tile<const R: usize, const P: usize, const U: usize>(
                (a, lda): (*const i16, usize),
                k: usize,
                (b, stride): (*const i16, usize),
                (out, panel): (*mut i32, usize),
                first: usize,
            ) -> usize {
                let ahead = (P == 2).then(|| Ahead::new(b, stride, first));
                let sums = sums::<R, P, U>((a, lda), k, (b, stride), ahead);
                for (r, sums) in sums.iter().enumerate() {
                    for (p, sum) in sums.iter().enumerate() {
                        _mm512_storeu_si512(out.add(p * panel + r * WIDE).cast(), *sum);
                    }
                }
                R
            }

            /// Sums over k of R rows against P panels `stride` apart. Each is taken in U parts: a single one would wait for its own last
            /// addition. Nothing in the loop is checked for overflow: such checks keep sums out of registers. What `ahead` says is
            /// brought near meanwhile.
            ///
            /// # Safety
            /// The features; `a` is readable for k elements at each of R rows lda apart, `b` for 32 elements per pair of k (an odd k
            /// rounded up) of each panel.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn sums<const R: usize, const P: usize, const U: usize>(
                (a, lda): (*const i16, usize),
                k: usize,
                (b, stride): (*const i16, usize),
                ahead: Option<Ahead<R, P>>,
            ) -> [[__m512i; P]; R] {
                let mut parts = [[[_mm512_setzero_si512(); P]; R]; U];
                let (mut a, mut b, mut ahead) = (a, b, ahead);
                for _ in 0..k / (2 * U) {
                    for sums in &mut parts {
                        let pair = |r: usize| a.add(r.wrapping_mul(lda)).cast::<i32>().read_unaligned();
                        tile_step(pair, (b, stride), sums);
                        if let Some(ahead) = &mut ahead {
                            ahead.step();
                        }
                        (a, b) = (a.add(2), b.add(2 * WIDE));
                    }
                }
                let [sums, others @ ..] = &mut parts[..] else {
                    return [[_mm512_setzero_si512(); P]; R];
                };
                let rest = k % (2 * U);
                for at in (0..rest).step_by(2) {
                    tile_step(|r| pair(a.add(r.wrapping_mul(lda)), at, rest), (b, stride), sums);
                    b = b.add(2 * WIDE);
                }
                for other in others {
                    for (sum, other) in sums.as_flattened_mut().iter_mut().zip(other.as_flattened()) {
                        *sum = _mm512_add_epi32(*sum, *other);
                    }
                }
                *sums
            }

            /// A pair of k.
            ///
            /// # Safety
            /// The features; `b` is readable for 32 elements of each of P panels `stride` apart.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile_step<const R: usize, const P: usize>(
                x: impl Fn(usize) -> i32,
                (b, stride): (*const i16, usize),
                sums: &mut [[__m512i; P]; R],
            ) {
                let mut w = [_mm512_setzero_si512(); P];
                for (p, w) in w.iter_mut().enumerate() {
                    *w = _mm512_loadu_si512(b.add(p.wrapping_mul(stride)).cast());
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(x(r));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = $step(*sum, x, w);
                    }
                }
            }

            fn wide_blocks(a: &[i16], lda: usize, rows: usize, k: usize, block: usize, b: &[i16], out: &mut [i64]) {
                check(a.len(), lda, rows, k, b.len(), out.len());
                assert!(block >= 2 && block.is_multiple_of(2));
                let mut r = 0;
                while r < rows {
                    // SAFETY: as in `wide`.
                    unsafe {
                        let (a, out) = (a.as_ptr().add(r * lda), out.as_mut_ptr().add(r * WIDE));
                        match (block < avx2::LONG, rows - r) {
                            (true, 8..) => r += split_tile::<8, 1>(a, lda, k, b.as_ptr(), out),
                            (true, 4..) => r += split_tile::<4, 1>(a, lda, k, b.as_ptr(), out),
                            (true, 2..) => r += split_tile::<2, 2>(a, lda, k, b.as_ptr(), out),
                            (true, _) => r += split_tile::<1, 2>(a, lda, k, b.as_ptr(), out),
                            (_, 8..) => r += block_tile::<8, 1>(a, lda, k, block, b.as_ptr(), out),
                            (_, 4..) => r += block_tile::<4, 2>(a, lda, k, block, b.as_ptr(), out),
                            (_, 2..) => r += block_tile::<2, 2>(a, lda, k, block, b.as_ptr(), out),
                            _ => r += block_tile::<1, 2>(a, lda, k, block, b.as_ptr(), out),
                        }
                    }
                }
            }

            /// R rows against a panel, sums of each block moved to 64 bits. Gives R.
            ///
            /// # Safety
            /// As for `sums`; `block` is even and not 0; `out` is writable for R * 16 elements.
            #[target_feature(enable = $features)]
            unsafe fn block_tile<const R: usize, const U: usize>(
                a: *const i16,
                lda: usize,
                k: usize,
                block: usize,
                b: *const i16,
                out: *mut i64,
            ) -> usize {
                // Lanes 0 to 7 and 8 to 15.
                let mut totals = [[_mm512_setzero_si512(); 2]; R];
                let mut from = 0;
                while from < k {
                    let end = from + block.min(k - from);
                    let sums = sums::<R, 1, U>((a.add(from), lda), end - from, (b.add(from * WIDE), 0), None);
                    for (total, sum) in totals.iter_mut().zip(sums.as_flattened()) {
                        let sum = *sum;
                        let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum));
                        let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(sum));
                        total[0] = _mm512_add_epi64(total[0], low);
                        total[1] = _mm512_add_epi64(total[1], high);
                    }
                    from = end;
                }
                for (i, total) in totals.iter().flatten().enumerate() {
                    _mm512_storeu_si512(out.add(i * 8).cast(), *total);
                }
                R
            }

            /// R rows against a panel, whose high and low bytes are multiplied apart. Gives R.
            ///
            /// # Safety
            /// As for `sums`; `out` is writable for R * 16 elements.
            #[target_feature(enable = $features)]
            unsafe fn split_tile<const R: usize, const U: usize>(
                a: *const i16,
                lda: usize,
                k: usize,
                b: *const i16,
                out: *mut i64,
            ) -> usize {
                let mut totals = [[_mm512_setzero_si512(); 2]; R];
                for from in (0..k).step_by(SPLIT) {
                    let [low, high] = split_sums::<R, U>(a, lda, from, from + SPLIT.min(k - from), b);
                    for ((total, low), high) in totals.iter_mut().zip(low).zip(high) {
                        let wide = |sums, half| match half {
                            0 => _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
                            _ => _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(sums)),
                        };
                        for (half, total) in total.iter_mut().enumerate() {
                            let sum = _mm512_add_epi64(wide(low, half), _mm512_slli_epi64::<8>(wide(high, half)));
                            *total = _mm512_add_epi64(*total, sum);
                        }
                    }
                }
                for (i, total) in totals.iter().flatten().enumerate() {
                    _mm512_storeu_si512(out.add(i * 8).cast(), *total);
                }
                R
            }

            /// Sums over k in `from..end` (`from` even) of R rows against the low bytes of a panel and against the high ones.
            ///
            /// # Safety
            /// As for `sums`.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn split_sums<const R: usize, const U: usize>(
                a: *const i16,
                lda: usize,
                from: usize,
                end: usize,
                b: *const i16,
            ) -> [[__m512i; R]; 2] {
                let mut parts = [[[_mm512_setzero_si512(); R]; 2]; U];
                let mut k = from;
                while k + 2 * U <= end {
                    for (u, sums) in parts.iter_mut().enumerate() {
                        let x = |r: usize| a.add(r * lda + k + 2 * u).cast::<i32>().read_unaligned();
                        split_step(x, b.add((k + 2 * u) * WIDE), sums);
                    }
                    k += 2 * U;
                }
                let [sums, others @ ..] = &mut parts[..] else {
                    return [[_mm512_setzero_si512(); R]; 2];
                };
                while k < end {
                    split_step(|r| pair(a.add(r * lda), k, end), b.add(k * WIDE), sums);
                    k += 2;
                }
                for other in others {
                    for (sum, other) in sums.as_flattened_mut().iter_mut().zip(other.as_flattened()) {
                        *sum = _mm512_add_epi32(*sum, *other);
                    }
                }
                *sums
            }

            /// A pair of k.
            ///
            /// # Safety
            /// The features; `w` is readable for 32 elements.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn split_step<const R: usize>(
                x: impl Fn(usize) -> i32,
                w: *const i16,
                sums: &mut [[__m512i; R]; 2],
            ) {
                let both = _mm512_loadu_si512(w.cast());
                let low = _mm512_and_si512(both, _mm512_set1_epi16(0xff));
                let high = _mm512_srai_epi16::<8>(both);
                for r in 0..R {
                    let x = _mm512_set1_epi32(x(r));
                    sums[0][r] = $step(sums[0][r], x, low);
                    sums[1][r] = $step(sums[1][r], x, high);
                }
            }
        }
    };
}

products!(plain, "avx512f,avx512bw,avx512dq,avx512vl", |sum, x, w| {
    _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
});
products!(
    vnni,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    |sum: __m512i, x: __m512i, w: __m512i| {
        let mut sum = sum;
        // Not the intrinsic, of which the compiler makes a product and a sum again: half as fast where sums do not wait for themselves.
        core::arch::asm!(
            "vpdpwssd {sum}, {x}, {w}",
            sum = inout(zmm_reg) sum,
            x = in(zmm_reg) x,
            w = in(zmm_reg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
        sum
    }
);

/// Interpolates between knots: two neighbours are gathered in one word of 32 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn interpolate(x: &mut [i32], table: &[i16; 513]) {
    let mut chunks = x.chunks_exact_mut(16);
    for x in &mut chunks {
        // SAFETY: 16 elements; an index is at most 511, and with its neighbour within the table.
        unsafe {
            let at = x.as_mut_ptr();
            let u = _mm512_add_epi32(_mm512_loadu_si512(at.cast()), _mm512_set1_epi32(32768));
            let index = _mm512_and_si512(_mm512_srli_epi32::<7>(u), _mm512_set1_epi32(511));
            let knots = _mm512_i32gather_epi32::<2>(index, table.as_ptr().cast());
            let f = _mm512_and_si512(u, _mm512_set1_epi32(127));
            // 128 - f beside f.
            let weights = _mm512_sub_epi32(_mm512_set1_epi32(128), f);
            let weights = _mm512_or_si512(weights, _mm512_slli_epi32::<16>(f));
            let y = _mm512_add_epi32(_mm512_madd_epi16(knots, weights), _mm512_set1_epi32(64));
            _mm512_storeu_si512(at.cast(), _mm512_srai_epi32::<7>(y));
        }
    }
    portable::table(chunks.into_remainder(), table);
}

/// Powers of two: two neighbouring knots are gathered in one word of 64 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn exponentials(x: &[i32], power: Power, out: &mut [i32]) -> u64 {
    let multiplier = _mm512_set1_epi64(power.multiplier.into());
    let shift = _mm_cvtsi32_si128(i32::from(power.shift & 63));
    let mut sums = _mm512_setzero_si512();
    let count = x.len().min(out.len()) / 8 * 8;
    for (x, out) in x[..count].chunks_exact(8).zip(out.chunks_exact_mut(8)) {
        // SAFETY: 8 elements each; an index is at most 255, and with its neighbour within the table.
        unsafe {
            let x = _mm256_loadu_si256(x.as_ptr().cast());
            let difference = _mm512_cvtepu32_epi64(_mm256_sub_epi32(_mm256_set1_epi32(power.max), x));
            let t = _mm512_srl_epi64(_mm512_mul_epu32(difference, multiplier), shift);
            let t = _mm512_min_epu64(t, _mm512_set1_epi64(portable::MAX_EXPONENT as i64));
            let index = _mm512_and_si512(_mm512_srli_epi64::<KNOT_BITS>(t), _mm512_set1_epi64(0xff));
            let knots = _mm512_i64gather_epi64::<4>(index, EXP2.as_ptr().cast());
            let g = _mm512_and_si512(t, _mm512_set1_epi64((1 << KNOT_BITS) - 1));
            let first = _mm512_mul_epu32(knots, _mm512_sub_epi64(_mm512_set1_epi64(1 << KNOT_BITS), g));
            let second = _mm512_mul_epu32(_mm512_srli_epi64::<32>(knots), g);
            let half = _mm512_set1_epi64(1 << (KNOT_BITS - 1));
            let mantissa = _mm512_add_epi64(_mm512_add_epi64(first, second), half);
            let places = _mm512_add_epi64(_mm512_srli_epi64::<16>(t), _mm512_set1_epi64(KNOT_BITS.into()));
            let y = _mm512_srlv_epi64(mantissa, places);
            sums = _mm512_add_epi64(sums, y);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(y));
        }
    }
    let rest = portable::exponentials(&x[count..], power, &mut out[count..]);
    rest.wrapping_add(_mm512_reduce_add_epi64(sums) as u64)
}
