//! NEON, which every 64-bit ARM has: `smlal` on quads of k. Where the machine has the dot product instructions, `sdot` takes
//! four bytes at a time: activations of 16 bits as a high byte and a low one less 128, those of 8 bits without a sign less 128;
//! what this takes from a sum is known from the sum of its weights and added again, modulo 2^32, in which the result fits (the
//! caller's certificate).
//!
//! Every function checks its slices before it takes pointers into them; the second set is handed out only where the machine has
//! what it needs.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{scalar, Bytes, Kernels, PanelsOf8, RowsOf8, Width, Words, QUAD, QUAD_WORDS, WIDE};

pub(super) const KERNELS: Kernels = Kernels {
    name: "neon",
    bytes: Bytes {
        columns,
        rows,
        ..scalar::KERNELS.bytes
    },
    words: Words {
        tile,
        blocks,
        ..scalar::KERNELS.words
    },
    ..scalar::KERNELS
};

/// The set with dot products, where the machine has them.
pub(super) fn dot_kernels() -> Option<Kernels> {
    has_dot_products().then_some(DOT_KERNELS)
}

/// Only the operating system can tell; others than Linux run on machines that are known to have them, or are taken not to.
#[cfg(target_os = "linux")]
fn has_dot_products() -> bool {
    // SAFETY: reads a number that the kernel has put there.
    unsafe { libc::getauxval(libc::AT_HWCAP) & libc::HWCAP_ASIMDDP != 0 }
}

#[cfg(not(target_os = "linux"))]
fn has_dot_products() -> bool {
    cfg!(target_feature = "dotprod")
}

const DOT_KERNELS: Kernels = Kernels {
    name: "dotprod",
    bytes: Bytes {
        pack_rows: dot::pack_rows,
        columns: dot::columns,
        pack_pixels: dot::pack_pixels,
        rows: dot::rows,
        ..scalar::KERNELS.bytes
    },
    ..KERNELS
};

/// Sums of 16 columns.
type Sums = [int32x4_t; 4];

/// # Safety
/// `out` is writable for 16 elements.
#[inline]
unsafe fn store(sums: Sums, out: *mut i32) {
    for (i, sums) in sums.into_iter().enumerate() {
        vst1q_s32(out.add(4 * i), sums);
    }
}

/// Adds `x * w` of 16 columns, w a lane of their weights for one k each.
macro_rules! multiply {
    ($sums:expr, $columns:expr, $k:literal, $x:expr) => {
        for (half, columns) in $columns[$k].iter().enumerate() {
            $sums[2 * half] = vmlal_lane_s16::<$k>($sums[2 * half], vget_low_s16(*columns), $x);
            $sums[2 * half + 1] = vmlal_lane_s16::<$k>($sums[2 * half + 1], vget_high_s16(*columns), $x);
        }
    };
}

/// A quad of a row times that of 16 columns, given k by k.
#[inline]
#[target_feature(enable = "neon")]
fn quad(sums: &mut Sums, columns: &[[int16x8_t; 2]; QUAD], x: int16x4_t) {
    multiply!(sums, columns, 0, x);
    multiply!(sums, columns, 1, x);
    multiply!(sums, columns, 2, x);
    multiply!(sums, columns, 3, x);
}

/// The weights `[16][4]` of a quad, k by k.
///
/// # Safety
/// `p` is readable for 64 elements.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn weights(p: *const i8) -> [[int16x8_t; 2]; QUAD] {
    let int8x16x4_t(a, b, c, d) = vld4q_s8(p);
    [a, b, c, d].map(|k| [vmovl_s8(vget_low_s8(k)), vmovl_high_s8(k)])
}

/// The activations `[16][4]` of a quad, k by k.
///
/// # Safety
/// `p` is readable for 64 elements.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pixels(p: *const i16) -> [[int16x8_t; 2]; QUAD] {
    let (first, second) = (vld4q_s16(p), vld4q_s16(p.add(32)));
    [
        [first.0, second.0],
        [first.1, second.1],
        [first.2, second.2],
        [first.3, second.3],
    ]
}

/// R rows, whose quads `$quad` reads, against 16 columns, whose quads `$columns` reads.
macro_rules! tile {
    ($name:ident, $a:ty, $step_a:expr, $quad:expr, $b:ty, $columns:expr) => {
        /// # Safety
        /// `a` is readable for `quads` quads at each of R rows `stride` apart, `b` for as many of 16 columns; `out` is writable for
        /// 16 elements a row.
        #[target_feature(enable = "neon")]
        unsafe fn $name<const R: usize>(quads: usize, a: *const $a, stride: usize, b: *const $b, out: *mut i32) {
            let mut sums = [[vdupq_n_s32(0); 4]; R];
            for q in 0..quads {
                let columns = $columns(b.add(q.wrapping_mul(WIDE * QUAD)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = $quad(a.add(r.wrapping_mul(stride).wrapping_add(q.wrapping_mul($step_a))));
                    quad(sums, &columns, x);
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                store(sums, out.add(r * WIDE));
            }
        }
    };
}

tile!(
    column_tile,
    i32,
    QUAD_WORDS,
    |p: *const i32| vld1_s16(p.cast()),
    i8,
    weights
);
tile!(
    row_tile,
    i8,
    QUAD,
    |p: *const i8| vget_low_s16(vmovl_s8(vcreate_s8(u64::from(p.cast::<u32>().read_unaligned())))),
    i16,
    pixels
);

fn columns(words: &[i32], rows: usize, quads: usize, _: Width, panels: PanelsOf8<'_>, out: &mut [i32]) {
    assert!(words.len() >= rows * quads * QUAD_WORDS);
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        let panel = &panels.data[p * panels.stride..][..quads * QUAD * WIDE];
        let stride = quads * QUAD_WORDS;
        let mut r = 0;
        while r < rows {
            // SAFETY: words and panel have been measured, and out has 16 elements for every row.
            unsafe {
                let (a, out) = (words.as_ptr().add(r * stride), out.as_mut_ptr().add(r * WIDE));
                match rows - r {
                    3.. => column_tile::<3>(quads, a, stride, panel.as_ptr(), out),
                    _ => column_tile::<1>(quads, a, stride, panel.as_ptr(), out),
                }
            }
            r += if rows - r >= 3 { 3 } else { 1 };
        }
    }
}

fn rows(weights: RowsOf8<'_>, pixels: &[i32], stride: usize, quads: usize, _: Width, out: &mut [i32]) {
    let rows = weights.sums.len();
    assert!(rows == 0 || weights.data.len() >= (rows - 1) * weights.stride + quads * QUAD);
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        let pixels = &pixels[p * stride..][..quads * QUAD_WORDS * WIDE];
        let pixels = pixels.as_ptr().cast();
        let mut r = 0;
        while r < rows {
            // SAFETY: as above.
            unsafe {
                let a = weights.data.as_ptr().add(r * weights.stride);
                let out = out.as_mut_ptr().add(r * WIDE);
                match rows - r {
                    3.. => row_tile::<3>(quads, a, weights.stride, pixels, out),
                    _ => row_tile::<1>(quads, a, weights.stride, pixels, out),
                }
            }
            r += if rows - r >= 3 { 3 } else { 1 };
        }
    }
}

/// 16-bit weights: sums over k in `from..end` (`from` even) of one row against a panel.
///
/// # Safety
/// `a` is readable up to `end`, `b` for 32 elements per pair of k (an odd `end` rounded up).
#[target_feature(enable = "neon")]
unsafe fn sums(a: *const i16, from: usize, end: usize, b: *const i16) -> Sums {
    let mut sums = [vdupq_n_s32(0); 4];
    let mut k = from;
    while k < end {
        let x = *a.add(k);
        // What the panel holds beside an odd last k does not matter.
        let y = if k + 1 < end { *a.add(k + 1) } else { 0 };
        for half in 0..2 {
            let w = vld2q_s16(b.add(k * WIDE + 16 * half));
            let (low, high) = (2 * half, 2 * half + 1);
            sums[low] = vmlal_n_s16(sums[low], vget_low_s16(w.0), x);
            sums[high] = vmlal_high_n_s16(sums[high], w.0, x);
            sums[low] = vmlal_n_s16(sums[low], vget_low_s16(w.1), y);
            sums[high] = vmlal_high_n_s16(sums[high], w.1, y);
        }
        k += 2;
    }
    sums
}

/// Panics unless `a` holds `rows` rows of k elements, lda apart, `b` a panel of k, and `out` the results.
fn check(a: usize, lda: usize, rows: usize, k: usize, b: usize, out: usize) {
    assert!(rows == 0 || (rows - 1) * lda + k <= a);
    assert!(k.next_multiple_of(2) * WIDE <= b && rows * WIDE <= out);
}

fn tile(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], stride: usize, out: &mut [i32]) {
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        panel(a, lda, rows, k, &b[p * stride..], out);
    }
}

fn panel(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], out: &mut [i32]) {
    check(a.len(), lda, rows, k, b.len(), out.len());
    for r in 0..rows {
        // SAFETY: `check` has proven the extents.
        unsafe {
            let sums = sums(a.as_ptr().add(r * lda), 0, k, b.as_ptr());
            store(sums, out.as_mut_ptr().add(r * WIDE));
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
                let sums = sums(a.as_ptr().add(r * lda), from, from + block.min(k - from), b.as_ptr());
                store(sums, part.as_mut_ptr());
            }
            for (total, part) in totals.iter_mut().zip(part) {
                *total = total.wrapping_add(i64::from(part));
            }
        }
    }
}

/// Dot products of four bytes.
mod dot {
    use super::*;

    /// How many bytes an activation takes.
    fn planes(width: Width) -> usize {
        match width {
            Width::I8 | Width::U8 => 1,
            Width::I16 => 2,
        }
    }

    /// What a sum lacks for each unit of its weights.
    fn lack(width: Width) -> i32 {
        match width {
            Width::I8 => 0,
            Width::U8 | Width::I16 => 128,
        }
    }

    /// The low bytes of four activations, and the high ones: each in a word, the first in its lowest byte.
    fn words_of(x: [i16; QUAD], width: Width) -> [i32; 2] {
        let flip = if width == Width::I8 { 0 } else { 0x80 };
        let low = x.map(|x| x as u8 ^ flip);
        let high = x.map(|x| (x >> 8) as u8);
        [i32::from_le_bytes(low), i32::from_le_bytes(high)]
    }

    pub fn pack_rows(x: &[i16], stride: usize, rows: usize, k: usize, width: Width, words: &mut [i32]) {
        let planes = planes(width);
        for (r, words) in words.chunks_exact_mut(k.div_ceil(QUAD) * planes).take(rows).enumerate() {
            let row = &x[r * stride..r * stride + k];
            for (x, words) in row.chunks(QUAD).zip(words.chunks_exact_mut(planes)) {
                let quad = core::array::from_fn(|i| x.get(i).copied().unwrap_or(0));
                words.copy_from_slice(&words_of(quad, width)[..planes]);
            }
        }
    }

    pub fn pack_pixels(source: &[i16], start: usize, offsets: &[i32], width: Width, from: usize, words: &mut [i32]) {
        let planes = planes(width);
        let words = words.chunks_exact_mut(WIDE * planes).skip(from);
        for (quad, words) in offsets.chunks(QUAD).zip(words) {
            let lines: [Option<&[i16]>; QUAD] = core::array::from_fn(|i| {
                let offset = quad.get(i)?;
                Some(&source[start + *offset as usize..][..WIDE])
            });
            for c in 0..WIDE {
                let x = lines.map(|line| line.map_or(0, |line| line[c]));
                for (plane, word) in words_of(x, width)[..planes].iter().enumerate() {
                    words[plane * WIDE + c] = *word;
                }
            }
        }
    }

    /// `sum + a . b` for each lane of four bytes.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the function has the feature; no memory is touched.
        unsafe {
            asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }

    /// One row of A planes against 16 columns of B planes.
    ///
    /// # Safety
    /// `a` is readable for A words a quad, `b` for B times 16.
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn sums<const A: usize, const B: usize>(quads: usize, a: *const i32, b: *const i32) -> Sums {
        let mut planes = [[vdupq_n_s32(0); 4]; 2];
        for q in 0..quads {
            for i in 0..A {
                let x = vreinterpretq_s8_s32(vdupq_n_s32(a.add(q.wrapping_mul(A).wrapping_add(i)).read_unaligned()));
                for j in 0..B {
                    let b = b.add(q.wrapping_mul(B).wrapping_add(j).wrapping_mul(WIDE));
                    for (c, sum) in planes[i + j].iter_mut().enumerate() {
                        *sum = dot(*sum, x, vreinterpretq_s8_s32(vld1q_s32(b.add(4 * c))));
                    }
                }
            }
        }
        let [mut low, high] = planes;
        if A * B > 1 {
            for (low, high) in low.iter_mut().zip(high) {
                *low = vaddq_s32(*low, vshlq_n_s32::<8>(high));
            }
        }
        low
    }

    pub fn columns(words: &[i32], rows: usize, quads: usize, width: Width, panels: PanelsOf8<'_>, out: &mut [i32]) {
        let planes = planes(width);
        assert!(words.len() >= rows * quads * planes);
        for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
            let panel = &panels.data[p * panels.stride..][..quads * QUAD * WIDE];
            let of_weights = &panels.sums[p * WIDE..][..WIDE];
            for (r, out) in out.chunks_exact_mut(WIDE).enumerate() {
                // SAFETY: the machine has dot products; words and panel have been measured, and out is 16 elements.
                unsafe {
                    let a = words.as_ptr().add(r * quads * planes);
                    let sums = match planes {
                        1 => sums::<1, 1>(quads, a, panel.as_ptr().cast()),
                        _ => sums::<2, 1>(quads, a, panel.as_ptr().cast()),
                    };
                    store(sums, out.as_mut_ptr());
                }
                for (out, of_weights) in out.iter_mut().zip(of_weights) {
                    *out = out.wrapping_add(of_weights.wrapping_mul(lack(width)));
                }
            }
        }
    }

    pub fn rows(weights: RowsOf8<'_>, pixels: &[i32], stride: usize, quads: usize, width: Width, out: &mut [i32]) {
        let (planes, rows) = (planes(width), weights.sums.len());
        assert!(rows == 0 || weights.data.len() >= (rows - 1) * weights.stride + quads * QUAD);
        for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
            let pixels = &pixels[p * stride..][..quads * planes * WIDE];
            for (r, out) in out.chunks_exact_mut(WIDE).enumerate() {
                // SAFETY: as above.
                unsafe {
                    let a = weights.data.as_ptr().add(r * weights.stride).cast();
                    let sums = match planes {
                        1 => sums::<1, 1>(quads, a, pixels.as_ptr()),
                        _ => sums::<1, 2>(quads, a, pixels.as_ptr()),
                    };
                    store(sums, out.as_mut_ptr());
                }
                let lacking = weights.sums[r].wrapping_mul(lack(width));
                for out in out {
                    *out = out.wrapping_add(lacking);
                }
            }
        }
    }
}
