//! Softmax and ArgMax along the last axis.

use super::exp2::{EXP2, KNOT_BITS};
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Largest exponent in units of 2^-16: beyond, 2^-t is 0 in Q30.
const MAX_EXPONENT: u64 = 31 << 16;

/// Scratch space: a row and its exponentials.
pub(crate) fn scratch(columns: usize) -> Room {
    Room {
        i32: 2 * columns as u64,
        ..Room::default()
    }
}

/// `2^-t` in Q30, t in units of 2^-16, at most 31.
#[inline]
fn exp2(t: u64) -> u64 {
    let fraction = t & 0xffff;
    let (i, g) = ((fraction >> KNOT_BITS) as usize, fraction & ((1 << KNOT_BITS) - 1));
    let (y0, y1) = (u64::from(EXP2[i]), u64::from(EXP2[i + 1]));
    let mantissa = (y0 * (256 - g) + y1 * g + 128) >> KNOT_BITS;
    mantissa >> (t >> 16)
}

/// Per row: `t = min((max - x) * multiplier >> shift, 31 * 2^16)`, `e = 2^-t` in Q30,
/// `y = min(32767, (e * 2^15 + sum / 2) / sum)`.
pub(crate) fn softmax(
    x: View<'_>,
    columns: usize,
    multiplier: i32,
    shift: u8,
    out: &mut ViewMut<'_>,
    scratch: &mut Scratch<'_>,
) {
    let (row, exponentials) = scratch.i32[..2 * columns].split_at_mut(columns);
    for start in (0..x.len()).step_by(columns) {
        x.load(start, row);
        let max = row.iter().copied().max().unwrap_or(0);
        let mut sum = 0u64;
        for (e, x) in exponentials.iter_mut().zip(row.iter()) {
            // 0 to 2^32 - 1, times less than 2^31.
            let difference = (i64::from(max) - i64::from(*x)) as u64;
            let t = ((difference * multiplier as u64) >> shift).min(MAX_EXPONENT);
            let exponential = exp2(t);
            // At most 2^30, and at most 2^31 terms.
            *e = exponential as i32;
            sum += exponential;
        }
        // The largest element adds 2^30, so the sum is not 0.
        for (y, e) in row.iter_mut().zip(exponentials.iter()) {
            *y = ((((*e as u64) << 15) + sum / 2) / sum).min(i16::MAX as u64) as i32;
        }
        out.store(start, row);
    }
}

/// Index of the first largest element of each row.
pub(crate) fn arg_max(x: View<'_>, columns: usize, out: &mut ViewMut<'_>) {
    for (r, start) in (0..x.len()).step_by(columns).enumerate() {
        let (mut best, mut index) = (x.get(start), 0);
        for i in 1..columns {
            let value = x.get(start + i);
            if value > best {
                (best, index) = (value, i);
            }
        }
        out.store(r, &[index as i32]);
    }
}
