//! Bodies of the kernels in plain Rust, compiled once for every machine and again for machines with wider vectors.
//!
//! Wrapping arithmetic stands where the caller's certificate rules an overflow out; it never wraps.

use super::{rescale as rescale_one, Channel};

/// How a product or sum ends: shift and output range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub shift: u8,
    pub low: i32,
    pub high: i32,
}

/// `clamp((a * m + b * n + r) >> shift, low, high)`, into a; the sum is below 2^62.
#[inline(always)]
pub(super) fn add(a: &mut [i32], b: &[i32], [m, n]: [i32; 2], end: End) {
    let (m, n) = (i64::from(m), i64::from(n));
    for (a, b) in a.iter_mut().zip(b) {
        let sum = i64::from(*a)
            .wrapping_mul(m)
            .wrapping_add(i64::from(*b).wrapping_mul(n));
        *a = rescale_one(sum, 1, end.shift, end.low, end.high);
    }
}

/// `clamp((a * b * multiplier + r) >> shift, low, high)`, into a; the product is below 2^62.
#[inline(always)]
pub(super) fn mul(a: &mut [i32], b: &[i32], multiplier: i32, end: End) {
    for (a, b) in a.iter_mut().zip(b) {
        let product = i64::from(*a).wrapping_mul(i64::from(*b));
        *a = rescale_one(product, multiplier, end.shift, end.low, end.high);
    }
}

/// `clamp(((x + bias) * multiplier + r) >> shift, low, high)`; the product is below 2^62.
#[inline(always)]
pub(super) fn rescale(x: &mut [i32], bias: i64, multiplier: i32, end: End) {
    for x in x {
        *x = rescale_one(
            i64::from(*x).wrapping_add(bias),
            multiplier,
            end.shift,
            end.low,
            end.high,
        );
    }
}

/// The same for sums of 32 bits.
#[inline(always)]
pub(super) fn rescale_row(acc: &mut [i32], channel: Channel, low: i32, high: i32) {
    let end = End {
        shift: channel.shift,
        low,
        high,
    };
    rescale(acc, channel.bias.into(), channel.multiplier, end);
}

/// How a row is normalised: `((factor * x - sum) * inverse + 2^(shift - 1)) >> shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normal {
    pub factor: i32,
    pub sum: i32,
    pub inverse: i32,
    /// 11 to 41.
    pub shift: u32,
}

/// Subtracts `origin` from every element; then their sum, and the sum of their squares. All fit (the loader's bound).
#[inline(always)]
pub(super) fn sums(x: &mut [i32], origin: i32) -> (i64, i64) {
    let (mut sum, mut squares) = (0i64, 0i64);
    for x in x {
        *x = x.wrapping_sub(origin);
        let wide = i64::from(*x);
        sum = sum.wrapping_add(wide);
        squares = squares.wrapping_add(wide.wrapping_mul(wide));
    }
    (sum, squares)
}

/// Normalises a row in place; `factor * x - sum` and the results fit 32 bits.
#[inline(always)]
pub(super) fn normalise(x: &mut [i32], normal: Normal) {
    let (inverse, half) = (i64::from(normal.inverse), (1i64 << (normal.shift & 63)) >> 1);
    for x in x {
        let distance = x.wrapping_mul(normal.factor).wrapping_sub(normal.sum);
        // Below 2^62.
        *x = (i64::from(distance).wrapping_mul(inverse).wrapping_add(half) >> (normal.shift & 63)) as i32;
    }
}

/// Interpolates between 513 knots; x lies in -32768..=32767.
#[inline(always)]
pub(super) fn table(x: &mut [i32], table: &[i16; 513]) {
    for x in x {
        let u = (*x + 32768) as u32 & 0xffff;
        let (i, f) = ((u >> 7) as usize, (u & 127) as i32);
        let (y0, y1) = (i32::from(table[i]), i32::from(table[i + 1]));
        *x = (y0 * (128 - f) + y1 * f + 64) >> 7;
    }
}
