//! The inner loops, chosen at run time. Every set computes the same integers: the loader proves that no sum can
//! overflow in the width it is kept in, so order and vector width change nothing.
//!
//! Products come in two families. With 8-bit weights k goes in quads: weights are panels `[k / 4][16 columns][4]` or rows,
//! activations are brought into an order of the set's own first ([`Bytes::pack_rows`], [`Bytes::pack_pixels`]), two
//! words of 32 bits a quad. With 16-bit weights k goes in pairs and activations are read where they are.

#[cfg(target_arch = "x86_64")]
mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod compiled;
pub(crate) mod folds;
pub(crate) mod lay_out;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
pub(crate) mod pack;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
mod quads;
#[cfg(target_arch = "x86_64")]
mod roots;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

use alloc::vec::Vec;

use crate::graph::Comparison;

/// Columns of a panel.
pub(crate) const WIDE: usize = 16;
/// k that products with 8-bit weights take together.
pub(crate) const QUAD: usize = 4;
/// Words of 32 bits that a quad of activations takes.
pub(crate) const QUAD_WORDS: usize = 2;

/// k whose products of any 16 bits with bytes of either sign fit 32 bits together: 256 * 2^15 * 255 is below 2^31.
pub(crate) const SPLIT: usize = 256;

/// Words of a cache line.
pub(crate) const LINE: usize = 16;
/// The same in elements of 16 bits.
pub(crate) const SHORT_LINE: usize = 2 * LINE;

/// Words from the first on that begins a cache line: vectors that straddle two take twice as long to load.
pub(crate) fn aligned_mut(words: &mut [i32]) -> &mut [i32] {
    let start = words.as_ptr().align_offset(size_of::<[i32; LINE]>()).min(LINE);
    &mut words[start..]
}

/// The same of elements of 16 bits.
pub(crate) fn aligned_short_mut(elements: &mut [i16]) -> &mut [i16] {
    let start = elements.as_ptr().align_offset(size_of::<[i32; LINE]>());
    let start = start.min(SHORT_LINE).min(elements.len());
    &mut elements[start..]
}

/// What fits the range of activations, as the loader inferred it: narrow ones have quicker products with 8-bit weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// -128 to 127.
    I8,
    /// 0 to 255.
    U8,
    I16,
}

impl Width {
    pub fn of(low: i32, high: i32) -> Self {
        match (low, high) {
            (-128.., ..=127) => Width::I8,
            (0.., ..=255) => Width::U8,
            _ => Width::I16,
        }
    }
}

/// Panels of weights `[k / 4][16][4]`, beside each other.
#[derive(Clone, Copy)]
pub(crate) struct PanelsOf8<'a> {
    pub data: &'a [i8],
    /// Elements from one panel to the next.
    pub stride: usize,
    /// The sum of each column over the k at hand.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub sums: &'a [i32],
}

/// Rows of weights, each with whole quads of k at hand.
#[derive(Clone, Copy)]
pub(crate) struct RowsOf8<'a> {
    pub data: &'a [i8],
    /// Elements from one row to the next.
    pub stride: usize,
    /// The sum of each row over the k at hand.
    pub sums: &'a [i32],
}

/// Products of activations with 8-bit weights; every sum fits 32 bits (the caller's certificate).
#[derive(Clone, Copy)]
#[allow(clippy::type_complexity)]
pub(crate) struct Bytes {
    /// Lays out rows of activations: `(x, from row to row, rows, k, width, words)`, two words a row and quad.
    pub pack_rows: fn(&[i16], usize, usize, usize, Width, &mut [i32]),
    /// `out[p][r][c] = sum over k of x[r][k] * w[p * 16 + c][k]`, for `(words of packed rows, rows, quads, width, panels,
    /// out)`: as many panels as out holds.
    pub columns: fn(&[i32], usize, usize, Width, PanelsOf8<'_>, &mut [i32]),
    /// Lays out 16 neighbouring pixels, the k-th 16 from `start + offsets[k]` on: `(source, start, offsets, width, from,
    /// words)`, 32 words a quad, beginning with quad `from`.
    pub pack_pixels: fn(&[i16], usize, &[i32], Width, usize, &mut [i32]),
    /// `out[p][r][c] = sum over k of w[r][k] * x[p][k][c]` for `(weights, packed pixels, words from 16 to 16 of them, quads,
    /// width, out)`: as many rows as the weights have sums, as many times 16 pixels as out holds.
    pub rows: fn(RowsOf8<'_>, &[i32], usize, usize, Width, &mut [i32]),
    /// `sum over k of x[k] * w[k]`.
    pub dot: Dot<i8>,
}

/// `out[(p * rows + r) * 16 + c] = sum over k of a[r * lda + k] * b[p * stride + (k / 2 * 16 + c) * 2 + k % 2]` for `rows` rows
/// and as many panels as out holds; `b` holds k in pairs, beside an odd last one anything.
///
/// Arguments: a, lda, rows, k, b, stride, out. Every partial sum fits 32 bits (the caller's certificate).
pub(crate) type Tile = fn(&[i16], usize, usize, usize, &[i16], usize, &mut [i32]);

/// The same for one panel with sums in 64 bits, of which each `block` consecutive k (even, aligned) fit 32 bits by the certificate.
/// What may be done instead: the high and the low bytes of b apart, of which [`SPLIT`] k always fit.
///
/// Arguments: a, lda, rows, k, block, b, out.
pub(crate) type BlockTile = fn(&[i16], usize, usize, usize, usize, &[i16], &mut [i64]);

/// `sum over k of a[k] * b[k]`; every partial sum fits 32 bits.
pub(crate) type Dot<B> = fn(&[i16], &[B]) -> i32;

/// Products of activations with 16-bit weights.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// Lays out 16 neighbouring pixels, the k-th 16 from `start + offsets[k]` on, for `tile`: `(source, start, offsets, panel)`.
    /// What stands beside the last of an odd number is of no value.
    pub pack_pairs: fn(&[i16], usize, &[i32], &mut [i16]),
    pub tile: Tile,
    pub blocks: BlockTile,
    pub dot: Dot<i16>,
}

/// Rescaling parameters of one channel, whose bias takes 32 or 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Channel<B> {
    pub bias: B,
    pub multiplier: i32,
    pub shift: u8,
    /// The same in another form, of 32 bits.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub high: Option<HighWord>,
}

impl Channel<i32> {
    pub fn new(bias: i32, multiplier: i32, shift: u8) -> Self {
        Channel {
            bias,
            multiplier,
            shift,
            high: HighWord::new(bias, multiplier, shift),
        }
    }
}

/// Rescaling whose result is what is left of the high word of a 64-bit product: `(acc * multiplier + addend) >> 32 >> down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HighWord {
    pub multiplier: i32,
    /// `bias * multiplier + r`.
    pub addend: i64,
    pub down: u8,
}

impl HighWord {
    /// Whether there is one.
    pub fn suits(multiplier: i32, shift: u8) -> bool {
        HighWord::new(0, multiplier, shift).is_some()
    }

    /// Where the shift is 32 or more, or the multiplier, being below half of `2^shift`, can be multiplied by what is missing: results
    /// then fit 32 bits. The product with a sum stays below 2^62 in magnitude, as it was, or as both fit 31 bits and a sign.
    pub fn new(bias: i32, multiplier: i32, shift: u8) -> Option<Self> {
        let wide = i64::from(multiplier);
        let (multiplier, down) = match shift {
            32.. => (multiplier, shift - 32),
            _ if multiplier == 0 => (0, 0),
            _ if 2 * wide.abs() < 1 << shift => ((wide << (32 - shift)) as i32, 0),
            _ => return None,
        };
        let half = (1i64 << 31) << (down & 31);
        Some(HighWord {
            multiplier,
            addend: i64::from(bias).wrapping_mul(multiplier.into()).wrapping_add(half),
            down,
        })
    }
}

/// Those of 16 neighbouring columns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lanes<B> {
    pub bias: [B; WIDE],
    pub multiplier: [i32; WIDE],
    pub shift: [u8; WIDE],
}

impl<B: Copy> Lanes<B> {
    /// The same for all columns.
    pub fn alike(bias: B, multiplier: i32, shift: u8) -> Self {
        Lanes {
            bias: [bias; WIDE],
            multiplier: [multiplier; WIDE],
            shift: [shift; WIDE],
        }
    }
}

/// Rows of 16-bit results, each a part of a longer row.
pub(crate) struct Target<'a> {
    pub out: &'a mut [i16],
    /// From row to row.
    pub stride: usize,
    /// Of one row, in all panels.
    pub columns: usize,
}

/// What sums go through: `clamp(((sum + bias) * multiplier + r) >> shift, low, high)`.
#[derive(Clone, Copy)]
#[allow(clippy::type_complexity)]
pub(crate) struct Ends {
    /// In place: panels of rows of 16 columns, as many panels as there are lanes.
    pub columns: fn(&mut [i32], &[Lanes<i32>], i32, i32),
    /// In place: panels of rows of 16 columns, as many rows as there are channels.
    pub rows: fn(&mut [i32], &[Channel<i32>], i32, i32),
    /// The same for results of 16 bits, which are stored.
    pub columns_to: fn(&[i32], &[Lanes<i32>], i32, i32, Target<'_>),
    pub rows_to: fn(&[i32], &[Channel<i32>], i32, i32, Target<'_>),
    /// Rows of 16 columns, from 64 bits.
    pub wide_columns: fn(&[i64], &Lanes<i64>, i32, i32, &mut [i32]),
    /// As `rows`, from 64 bits.
    pub wide_rows: fn(&[i64], &[Channel<i64>], i32, i32, &mut [i32]),
    /// Elements of 16 bits in 32.
    pub widen: fn(&[i16], &mut [i32]),
    /// The low 16 bits of each.
    pub narrow: fn(&[i32], &mut [i16]),
    /// The same for panels of so many rows of 16 columns.
    pub narrow_columns: fn(&[i32], usize, Target<'_>),
}

/// Sums over few taps of neighbouring pixels: `(source, start, offsets, step, weights, sums)`, where pixel p of tap t
/// is `source[start + offsets[t] + p * step]`.
pub(crate) type Depthwise<S> = fn(&[i16], usize, &[i32], usize, &[i16], &mut [S]);

/// Rows of pixels of a result, each a sum over few taps: tap t of pixel c of row r is `source[offsets[t] + r * pitch + c * step]`.
#[derive(Clone, Copy)]
pub(crate) struct DepthwiseRows<'a> {
    pub source: &'a [i16],
    pub offsets: &'a [i32],
    pub weights: &'a [i16],
    /// From pixel to pixel of a row.
    pub step: usize,
    /// From row to row.
    pub pitch: usize,
    /// Pixels of a row; there are as many rows as fill the results.
    pub columns: usize,
}

/// Rescales and stores such sums, which fit 32 bits: `(rows, channel, low, high, out)`, out holding one row after another.
pub(crate) type DepthwiseTo = fn(DepthwiseRows<'_>, &Channel<i32>, i32, i32, &mut [i16]);

/// The loops over single elements; formulas in [`portable`].
#[derive(Clone, Copy)]
#[allow(clippy::type_complexity)]
pub(crate) struct Arithmetic {
    pub add: fn(&mut [i32], &[i32], [i32; 2], portable::End),
    pub mul: fn(&mut [i32], &[i32], i32, portable::End),
    pub rescale: fn(&mut [i32], i64, i32, portable::End),
    /// The same where 32 bits suffice: [`portable::End::is_short`].
    pub add_short: fn(&mut [i32], &[i32], [i32; 2], portable::End),
    pub mul_short: fn(&mut [i32], &[i32], portable::End),
    pub rescale_short: fn(&mut [i32], i32, i32, portable::End),
    /// The same from operands to results of 16 bits.
    pub add_narrow: fn(&[i16], &[i16], &mut [i16], [i32; 2], portable::End),
    pub mul_narrow: fn(&[i16], &[i16], &mut [i16], portable::End),
    pub rescale_narrow: fn(&[i16], &mut [i16], i32, i32, portable::End),
    /// With a channel for each element.
    pub rescale_neighbours: fn(&[i16], &mut [i16], portable::Neighbours<'_>, i32, i32),
    pub clamp_narrow: fn(&[i16], &mut [i16], i16, i16),
    pub min_narrow: fn(&[i16], &[i16], &mut [i16]),
    pub max_narrow: fn(&[i16], &[i16], &mut [i16]),
    pub compare_narrow: fn(&[i16], &[i16], &mut [i16], Comparison),
    /// `(condition, a, b, out)`.
    pub select_narrow: fn(&[i16], &[i16], &[i16], &mut [i16]),
    pub table: fn(&mut [i32], &[i16; 513]),
    pub roots: fn(&mut [i32], portable::End),
    pub exponentials: fn(&[i32], portable::Power, &mut [i32]) -> u64,
    pub shares: fn(&mut [i32], u64),
    pub sums: fn(&mut [i32], i32) -> (i64, i64),
    pub normalise: fn(&mut [i32], portable::Normal),
    /// The smaller of each two, into the first.
    pub min: fn(&mut [i32], &[i32]),
    pub max: fn(&mut [i32], &[i32]),
    /// 1 where it holds, else 0, into the first.
    pub compare: fn(&mut [i32], &[i32], Comparison),
    /// `(a, b, condition)`: b where the condition is 0, into a.
    pub select: fn(&mut [i32], &[i32], &[i32]),
}

/// The loops that fold many elements into one; formulas in [`folds`].
#[derive(Clone, Copy)]
#[allow(clippy::type_complexity)]
pub(crate) struct Folds {
    /// `(out, x, from row to row, rows)`.
    pub largest_down: fn(&mut [i16], &[i16], usize, usize),
    pub totals_down: fn(&mut [i32], &[i16], usize, usize),
    pub largest_along: fn(&mut [i16], &[i16], folds::Taps),
    pub totals_along: fn(&mut [i32], &[i32], folds::Taps),
    pub largest_of: fn(&[i16]) -> i16,
    pub total_of: fn(&[i16]) -> i64,
}

/// A set of inner loops.
#[derive(Clone, Copy)]
pub struct Kernels {
    name: &'static str,
    pub(crate) bytes: Bytes,
    pub(crate) words: Words,
    pub(crate) depthwise: Depthwise<i32>,
    pub(crate) depthwise_wide: Depthwise<i64>,
    pub(crate) depthwise_to: DepthwiseTo,
    pub(crate) ends: Ends,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) folds: Folds,
}

impl Kernels {
    /// The names of all sets, those of one kind of machine from the slowest to the fastest.
    pub const NAMES: [&str; 7] = ["scalar", "sse2", "avx2", "avx512", "avx512vnni", "neon", "dotprod"];

    /// The portable set: plain Rust, the reference.
    pub fn scalar() -> Self {
        scalar::KERNELS
    }

    /// The fastest set that this machine runs.
    pub fn auto() -> Self {
        Kernels::NAMES
            .iter()
            .rev()
            .find_map(|name| Kernels::by_name(name))
            .unwrap_or(Kernels::scalar())
    }

    /// Every set that this machine runs, from the slowest to the fastest.
    pub fn available() -> Vec<Self> {
        Kernels::NAMES
            .iter()
            .filter_map(|name| Kernels::by_name(name))
            .collect()
    }

    /// One of [`Kernels::NAMES`], or "auto" for the fastest. None for another name, and where the machine lacks what the
    /// set needs.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Kernels::auto()),
            "scalar" => Some(Kernels::scalar()),
            #[cfg(target_arch = "x86_64")]
            "sse2" => Some(sse2::KERNELS),
            #[cfg(target_arch = "x86_64")]
            "avx2" => avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            "avx512" => avx512::kernels(),
            #[cfg(target_arch = "x86_64")]
            "avx512vnni" => vnni::kernels(),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            "neon" => Some(neon::KERNELS),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            "dotprod" => neon::dot_kernels(),
            _ => None,
        }
    }

    /// Its name; "auto" answers with what it chose.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl core::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Kernels({})", self.name)
    }
}

/// `clamp((acc * multiplier + r) >> shift, low, high)` with `r = 2^(shift - 1)`, or 0 where the shift is 0.
///
/// `|acc * multiplier| < 2^62` (the certificate) and `r <= 2^61`, so nothing wraps.
#[inline(always)]
pub(crate) fn rescale(acc: i64, multiplier: i32, shift: u8, low: i32, high: i32) -> i32 {
    let half = (1i64 << (shift & 63)) >> 1;
    let shifted = acc.wrapping_mul(i64::from(multiplier)).wrapping_add(half) >> (shift & 63);
    shifted.clamp(i64::from(low), i64::from(high)) as i32
}
