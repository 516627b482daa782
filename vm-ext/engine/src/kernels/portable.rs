//! Bodies of the kernels in plain Rust, compiled once for every machine and again for machines with wider vectors.
//!
//! Wrapping arithmetic stands where the caller's certificate rules an overflow out; it never wraps.

use crate::graph::Comparison;
use crate::ops::exp2::{EXP2, KNOT_BITS};
use crate::ops::root::floor_sqrt;

use super::{rescale as rescale_one, Channel, DepthwiseRows, Lanes, Target, WIDE};

/// How a product or sum ends: shift and output range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub shift: u8,
    pub low: i32,
    pub high: i32,
}

impl End {
    /// Whether what is at most `largest` in magnitude fits 32 bits together with r.
    pub fn is_short(self, largest: u64) -> bool {
        let half = (1u64 << (self.shift & 63)) >> 1;
        self.shift < 32 && largest.saturating_add(half) <= i32::MAX as u64
    }

    /// `clamp((x + r) >> shift, low, high)` in 32 bits.
    #[inline(always)]
    fn short(self, x: i32) -> i32 {
        let half = ((1u32 << (self.shift & 31)) >> 1) as i32;
        (x.wrapping_add(half) >> (self.shift & 31)).clamp(self.low, self.high)
    }
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

/// As [`add`], where the terms and r together fit 32 bits.
#[inline(always)]
pub(super) fn add_short(a: &mut [i32], b: &[i32], [m, n]: [i32; 2], end: End) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = end.short(a.wrapping_mul(m).wrapping_add(b.wrapping_mul(n)));
    }
}

/// As [`mul`] by 1, where the product and r together fit 32 bits.
#[inline(always)]
pub(super) fn mul_short(a: &mut [i32], b: &[i32], end: End) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = end.short(a.wrapping_mul(*b));
    }
}

/// As [`rescale`], where the product and r together fit 32 bits.
#[inline(always)]
pub(super) fn rescale_short(x: &mut [i32], bias: i32, multiplier: i32, end: End) {
    for x in x {
        *x = end.short(x.wrapping_add(bias).wrapping_mul(multiplier));
    }
}

/// As [`add_short`], from and to 16 bits, which hold what `end` clamps to.
#[inline(always)]
pub(super) fn add_narrow(a: &[i16], b: &[i16], out: &mut [i16], [m, n]: [i32; 2], end: End) {
    pairs(a, b, out, |a, b| {
        let sum = i32::from(a).wrapping_mul(m).wrapping_add(i32::from(b).wrapping_mul(n));
        end.short(sum) as i16
    });
}

/// As [`mul_short`], from and to 16 bits.
#[inline(always)]
pub(super) fn mul_narrow(a: &[i16], b: &[i16], out: &mut [i16], end: End) {
    pairs(a, b, out, |a, b| {
        end.short(i32::from(a).wrapping_mul(i32::from(b))) as i16
    });
}

/// As [`rescale_short`], from and to 16 bits.
#[inline(always)]
pub(super) fn rescale_narrow(x: &[i16], out: &mut [i16], bias: i32, multiplier: i32, end: End) {
    for (y, x) in out.iter_mut().zip(x) {
        *y = end.short(i32::from(*x).wrapping_add(bias).wrapping_mul(multiplier)) as i16;
    }
}

/// A channel of [`rescale_neighbours`], for each of as many elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbours<'a> {
    pub multipliers: &'a [i32],
    /// `bias * multiplier + r`.
    pub addends: &'a [i32],
    /// Below 32.
    pub shifts: &'a [i32],
}

/// As [`rescale_narrow`], each element with a channel of its own.
#[inline(always)]
pub(super) fn rescale_neighbours(x: &[i16], out: &mut [i16], channels: Neighbours<'_>, low: i32, high: i32) {
    let factors = channels.multipliers.iter().zip(channels.addends).zip(channels.shifts);
    for ((y, x), ((multiplier, addend), shift)) in out.iter_mut().zip(x).zip(factors) {
        let product = i32::from(*x).wrapping_mul(*multiplier).wrapping_add(*addend);
        *y = (product >> (shift & 31)).clamp(low, high) as i16;
    }
}

/// `clamp(x, low, high)`.
#[inline(always)]
pub(super) fn clamp_narrow(x: &[i16], out: &mut [i16], low: i16, high: i16) {
    for (y, x) in out.iter_mut().zip(x) {
        *y = (*x).max(low).min(high);
    }
}

/// As [`min`], from and to 16 bits.
#[inline(always)]
pub(super) fn min_narrow(a: &[i16], b: &[i16], out: &mut [i16]) {
    pairs(a, b, out, i16::min);
}

/// As [`max`], from and to 16 bits.
#[inline(always)]
pub(super) fn max_narrow(a: &[i16], b: &[i16], out: &mut [i16]) {
    pairs(a, b, out, i16::max);
}

/// As [`compare`], from and to 16 bits.
#[inline(always)]
pub(super) fn compare_narrow(a: &[i16], b: &[i16], out: &mut [i16], kind: Comparison) {
    match kind {
        Comparison::Less => pairs(a, b, out, |a, b| i16::from(a < b)),
        Comparison::LessEqual => pairs(a, b, out, |a, b| i16::from(a <= b)),
        Comparison::Equal => pairs(a, b, out, |a, b| i16::from(a == b)),
    }
}

/// As [`select`], from and to 16 bits.
#[inline(always)]
pub(super) fn select_narrow(condition: &[i16], a: &[i16], b: &[i16], out: &mut [i16]) {
    for (((y, a), b), condition) in out.iter_mut().zip(a).zip(b).zip(condition) {
        // All bits or none: a choice would keep compilers from taking several at a time.
        let mask = i16::from(*condition != 0).wrapping_neg();
        *y = (*a & mask) | (*b & !mask);
    }
}

#[inline(always)]
fn pairs(a: &[i16], b: &[i16], out: &mut [i16], f: impl Fn(i16, i16) -> i16) {
    for ((y, a), b) in out.iter_mut().zip(a).zip(b) {
        *y = f(*a, *b);
    }
}

/// Panels of rows of 16 columns, lanes for each panel.
#[inline(always)]
pub(super) fn columns(acc: &mut [i32], lanes: &[Lanes<i32>], low: i32, high: i32) {
    let panel = acc.len() / lanes.len().max(1);
    for (panel, lanes) in acc.chunks_exact_mut(panel.max(1)).zip(lanes) {
        for row in panel.chunks_exact_mut(WIDE) {
            for (c, acc) in row.iter_mut().enumerate() {
                let sum = i64::from(*acc).wrapping_add(i64::from(lanes.bias[c]));
                *acc = rescale_one(sum, lanes.multiplier[c], lanes.shift[c], low, high);
            }
        }
    }
}

/// Panels of rows of 16 columns, a channel for each row.
#[inline(always)]
pub(super) fn rows(acc: &mut [i32], channels: &[Channel<i32>], low: i32, high: i32) {
    for panel in acc.chunks_exact_mut((channels.len() * WIDE).max(1)) {
        for (row, channel) in panel.chunks_exact_mut(WIDE).zip(channels) {
            let end = End {
                shift: channel.shift,
                low,
                high,
            };
            rescale(row, channel.bias.into(), channel.multiplier, end);
        }
    }
}

/// Rows of 16 columns, from 64 bits.
#[inline(always)]
pub(super) fn wide_columns(sums: &[i64], lanes: &Lanes<i64>, low: i32, high: i32, out: &mut [i32]) {
    for (out, sums) in out.chunks_exact_mut(WIDE).zip(sums.chunks_exact(WIDE)) {
        for c in 0..WIDE {
            let sum = sums[c].wrapping_add(lanes.bias[c]);
            out[c] = rescale_one(sum, lanes.multiplier[c], lanes.shift[c], low, high);
        }
    }
}

/// Panels of rows of 16 columns, a channel for each row, from 64 bits.
#[inline(always)]
pub(super) fn wide_rows(sums: &[i64], channels: &[Channel<i64>], low: i32, high: i32, out: &mut [i32]) {
    let rows = out.chunks_exact_mut(WIDE).zip(sums.chunks_exact(WIDE));
    for ((out, sums), channel) in rows.zip(channels.iter().cycle()) {
        for (out, sum) in out.iter_mut().zip(sums) {
            let sum = sum.wrapping_add(channel.bias);
            *out = rescale_one(sum, channel.multiplier, channel.shift, low, high);
        }
    }
}

/// Elements of 16 bits in 32.
#[inline(always)]
pub(super) fn widen(values: &[i16], out: &mut [i32]) {
    for (y, x) in out.iter_mut().zip(values) {
        *y = i32::from(*x);
    }
}

/// The low 16 bits, which are the value where it fits.
#[inline(always)]
pub(super) fn narrow(values: &[i32], out: &mut [i16]) {
    for (y, x) in out.iter_mut().zip(values) {
        *y = *x as i16;
    }
}

/// The same for panels of `rows` rows of 16 columns.
#[inline(always)]
pub(super) fn narrow_columns(values: &[i32], rows: usize, target: Target<'_>) {
    store(values, rows, target, |_, _, _| {});
}

/// What [`columns`] gives, stored.
#[inline(always)]
pub(super) fn columns_to(sums: &[i32], lanes: &[Lanes<i32>], low: i32, high: i32, target: Target<'_>) {
    let rows = sums.len() / WIDE / lanes.len().max(1);
    store(sums, rows, target, |row, p, _| columns(row, &lanes[p..=p], low, high));
}

/// What [`rows`] gives, stored.
#[inline(always)]
pub(super) fn rows_to(sums: &[i32], channels: &[Channel<i32>], low: i32, high: i32, target: Target<'_>) {
    store(sums, channels.len(), target, |row, _, r| {
        rows(row, &channels[r..=r], low, high)
    });
}

/// Changes rows of 16, given their panels and numbers, and stores their low halves.
#[inline(always)]
fn store(values: &[i32], rows: usize, target: Target<'_>, change: impl Fn(&mut [i32], usize, usize)) {
    for (p, panel) in values.chunks_exact((rows * WIDE).max(1)).enumerate() {
        let count = target.columns.saturating_sub(p * WIDE).min(WIDE);
        for (r, values) in panel.chunks_exact(WIDE).enumerate() {
            let mut row = [0i32; WIDE];
            row.copy_from_slice(values);
            change(&mut row, p, r);
            let at = r * target.stride + p * WIDE;
            match target.out.get_mut(at..at + WIDE).filter(|_| count == WIDE) {
                // Of a length that the compiler knows.
                Some(sixteen) => narrow(&row, sixteen),
                None => narrow(&row, &mut target.out[at..at + count]),
            }
        }
    }
}

/// Lays out 16 neighbouring pixels, taps in pairs; see [`super::Words`].
#[inline(always)]
pub(super) fn pack_pairs(source: &[i16], start: usize, offsets: &[i32], panel: &mut [i16]) {
    for (pair, panel) in offsets.chunks(2).zip(panel.chunks_exact_mut(2 * WIDE)) {
        let line = |offset: i32| &source[start + offset as usize..][..WIDE];
        // The last of an odd number stands beside itself: its neighbour meets no weight.
        let (first, second) = (line(pair[0]), line(pair[pair.len() - 1]));
        for i in 0..WIDE {
            panel[2 * i] = first[i];
            panel[2 * i + 1] = second[i];
        }
    }
}

/// Sums over taps, pixel by pixel; see [`super::Depthwise`].
#[inline(always)]
pub(super) fn depthwise(source: &[i16], start: usize, offsets: &[i32], step: usize, weights: &[i16], sums: &mut [i32]) {
    sums.fill(0);
    for (offset, w) in offsets.iter().zip(weights) {
        let w = i32::from(*w);
        let source = &source[start + *offset as usize..];
        if step == 1 {
            for (sum, x) in sums.iter_mut().zip(source) {
                *sum = sum.wrapping_add(i32::from(*x).wrapping_mul(w));
            }
        } else {
            for (sum, x) in sums.iter_mut().zip(source.iter().step_by(step)) {
                *sum = sum.wrapping_add(i32::from(*x).wrapping_mul(w));
            }
        }
    }
}

/// The same with sums of 64 bits.
#[inline(always)]
pub(super) fn depthwise_wide(
    source: &[i16],
    start: usize,
    offsets: &[i32],
    step: usize,
    weights: &[i16],
    sums: &mut [i64],
) {
    sums.fill(0);
    for (offset, w) in offsets.iter().zip(weights) {
        let w = i32::from(*w);
        let source = source[start + *offset as usize..].iter().step_by(step);
        for (sum, x) in sums.iter_mut().zip(source) {
            // At most 2^30 each; their sum is below 2^46 (the certificate).
            *sum = sum.wrapping_add(i64::from(i32::from(*x).wrapping_mul(w)));
        }
    }
}

/// The same rescaled and stored; see [`super::DepthwiseTo`].
#[inline(always)]
pub(super) fn depthwise_rows(rows: DepthwiseRows<'_>, channel: &Channel<i32>, low: i32, high: i32, out: &mut [i16]) {
    let end = End {
        shift: channel.shift,
        low,
        high,
    };
    let mut sums = [0i32; 4 * WIDE];
    for (r, out) in out.chunks_exact_mut(rows.columns.max(1)).enumerate() {
        for (i, out) in out.chunks_mut(sums.len()).enumerate() {
            let start = r * rows.pitch + i * sums.len() * rows.step;
            let sums = &mut sums[..out.len()];
            depthwise(rows.source, start, rows.offsets, rows.step, rows.weights, sums);
            rescale(sums, channel.bias.into(), channel.multiplier, end);
            narrow(sums, out);
        }
    }
}

/// The smaller of each two, into a.
#[inline(always)]
pub(super) fn min(a: &mut [i32], b: &[i32]) {
    each(a, b, |a, b| a.min(b));
}

/// The larger.
#[inline(always)]
pub(super) fn max(a: &mut [i32], b: &[i32]) {
    each(a, b, |a, b| a.max(b));
}

/// 1 where it holds, else 0, into a.
#[inline(always)]
pub(super) fn compare(a: &mut [i32], b: &[i32], kind: Comparison) {
    match kind {
        Comparison::Less => each(a, b, |a, b| i32::from(a < b)),
        Comparison::LessEqual => each(a, b, |a, b| i32::from(a <= b)),
        Comparison::Equal => each(a, b, |a, b| i32::from(a == b)),
    }
}

/// b where the condition is 0, into a.
#[inline(always)]
pub(super) fn select(a: &mut [i32], b: &[i32], condition: &[i32]) {
    for ((a, b), condition) in a.iter_mut().zip(b).zip(condition) {
        *a = if *condition != 0 { *a } else { *b };
    }
}

#[inline(always)]
fn each(a: &mut [i32], b: &[i32], f: impl Fn(i32, i32) -> i32) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, *b);
    }
}

/// `clamp(floor(sqrt(max(x, 0) * 2^shift) + 1/2), low, high)`; what the root is taken of is below 2^62.
#[inline(always)]
pub(super) fn roots(x: &mut [i32], end: End) {
    let (low, high) = (i64::from(end.low), i64::from(end.high));
    for x in x {
        let v = ((*x).max(0) as u64) << (end.shift & 63);
        let root = u64::from(floor_sqrt(v));
        // Half a unit more than the root has the square root^2 + root + 1/4.
        let nearest = root + u64::from(v - root * root > root);
        *x = (nearest as i64).clamp(low, high) as i32;
    }
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

/// Powers of two below that of the largest element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Power {
    /// No element is larger.
    pub max: i32,
    /// Not negative.
    pub multiplier: i32,
    pub shift: u8,
}

/// Largest exponent in units of 2^-16: beyond, 2^-t is 0 in Q30.
pub(super) const MAX_EXPONENT: u64 = 31 << 16;

/// `2^-t` in Q30 with `t = min((max - x) * multiplier >> shift, 31 * 2^16)` in units of 2^-16; gives their sum.
#[inline(always)]
pub(super) fn exponentials(x: &[i32], power: Power, out: &mut [i32]) -> u64 {
    let mut sum = 0u64;
    for (y, x) in out.iter_mut().zip(x) {
        // 0 to 2^32 - 1, times less than 2^31.
        let difference = u64::from(power.max.wrapping_sub(*x) as u32);
        let t = (difference.wrapping_mul(power.multiplier as u64) >> (power.shift & 63)).min(MAX_EXPONENT);
        let fraction = t & 0xffff;
        let (i, g) = ((fraction >> KNOT_BITS) as usize, fraction & ((1 << KNOT_BITS) - 1));
        let (y0, y1) = (u64::from(EXP2[i]), u64::from(EXP2[i + 1]));
        let mantissa = (y0 * (256 - g) + y1 * g + 128) >> KNOT_BITS;
        let exponential = mantissa >> (t >> 16);
        // At most 2^30, and at most 2^31 terms.
        *y = exponential as i32;
        sum = sum.wrapping_add(exponential);
    }
    sum
}

/// `min(32767, (e * 2^15 + sum / 2) / sum)` for e from 0 to 2^30 and a sum from 2^30 to 2^61.
///
/// `2^62 / sum` rounded down is less than 1 too small, so a quotient by it is less than 2^-17 too small, and rounded at most one
/// off: the remainder tells.
#[inline(always)]
pub(super) fn shares(e: &mut [i32], sum: u64) {
    let inverse = (1 << 62) / sum;
    for e in e {
        let wide = *e as u32 as u64;
        // At most 2^62 + 2^46.
        let quotient = wide.wrapping_mul(inverse).wrapping_add(1 << 46) >> 47;
        let numerator = (wide << 15).wrapping_add(sum / 2);
        let rest = numerator.wrapping_sub(quotient.wrapping_mul(sum)) as i64;
        let up = i64::from(rest >= sum as i64);
        let quotient = (quotient as i64).wrapping_add(up).wrapping_sub(i64::from(rest < 0));
        *e = quotient.min(i16::MAX.into()) as i32;
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
