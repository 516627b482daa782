//! The inner loops, chosen at run time. Every set computes the same integers: the loader proves that no sum can
//! overflow in the width it is kept in, so order and vector width change nothing.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod lay_out;
pub(crate) mod pack;
pub(crate) mod portable;
mod scalar;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

/// Columns of a wide panel.
pub(crate) const WIDE: usize = 16;
/// Columns of a narrow panel.
pub(crate) const NARROW: usize = 8;

/// `out[r * W + c] = sum over k of a[r * lda + k] * b[(k / 2 * W + c) * 2 + k % 2]`, W being the panel's width, for
/// `rows` rows; `b` holds k in pairs, an odd last one with a zero.
///
/// Arguments: a, lda, rows, k, b, out. Every partial sum fits 32 bits (the caller's certificate).
pub(crate) type Tile<B> = fn(&[i16], usize, usize, usize, &[B], &mut [i32]);

/// The same with sums in 64 bits, of which each `block` consecutive k (even, aligned) fit 32 bits by the certificate.
///
/// Arguments: a, lda, rows, k, block, b, out.
pub(crate) type BlockTile<B> = fn(&[i16], usize, usize, usize, usize, &[B], &mut [i64]);

/// `sum over k of a[k] * b[k]`; every partial sum fits 32 bits.
pub(crate) type Dot<B> = fn(&[i16], &[B]) -> i32;

/// Rescaling parameters of up to 16 neighbouring columns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lanes {
    pub bias: [i32; WIDE],
    pub multiplier: [i32; WIDE],
    pub shift: [u8; WIDE],
}

/// Rescaling parameters of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub bias: i32,
    pub multiplier: i32,
    pub shift: u8,
}

/// The loops that come in several versions for weights of one type.
#[derive(Clone, Copy)]
pub(crate) struct Products<B: 'static> {
    pub wide: Tile<B>,
    pub narrow: Tile<B>,
    pub wide_blocks: BlockTile<B>,
    pub narrow_blocks: BlockTile<B>,
    pub dot: Dot<B>,
}

/// The loops over single elements; formulas in [`portable`].
#[derive(Clone, Copy)]
pub(crate) struct Arithmetic {
    pub add: fn(&mut [i32], &[i32], [i32; 2], portable::End),
    pub mul: fn(&mut [i32], &[i32], i32, portable::End),
    pub rescale: fn(&mut [i32], i64, i32, portable::End),
    pub table: fn(&mut [i32], &[i16; 513]),
    pub sums: fn(&mut [i32], i32) -> (i64, i64),
    pub normalise: fn(&mut [i32], portable::Normal),
}

/// A set of inner loops.
#[derive(Clone, Copy)]
pub struct Kernels {
    name: &'static str,
    pub(crate) i8: Products<i8>,
    pub(crate) i16: Products<i16>,
    /// In place over rows of W columns: `clamp(((acc + bias) * multiplier + r) >> shift, low, high)` per column.
    pub(crate) rescale_columns: fn(&mut [i32], usize, &Lanes, i32, i32),
    /// The same with one channel's parameters for all.
    pub(crate) rescale_row: fn(&mut [i32], Channel, i32, i32),
    pub(crate) arithmetic: Arithmetic,
}

impl Kernels {
    /// The names of all sets, from the slowest to the fastest.
    pub const NAMES: [&str; 4] = ["scalar", "avx2", "avx512", "avx512vnni"];

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
            "avx2" => avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            "avx512" => avx512::kernels(),
            #[cfg(target_arch = "x86_64")]
            "avx512vnni" => avx512::vnni_kernels(),
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
