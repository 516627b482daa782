//! Softmax and ArgMax along the last axis.

use crate::kernels::portable::Power;
use crate::kernels::Kernels;
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Scratch space: a row and its exponentials.
pub(crate) fn scratch(columns: usize) -> Room {
    Room {
        i32: 2 * columns as u64,
        ..Room::default()
    }
}

/// Per row: `t = min((max - x) * multiplier >> shift, 31 * 2^16)`, `e = 2^-t` in Q30,
/// `y = min(32767, (e * 2^15 + sum / 2) / sum)`.
pub(crate) fn softmax(
    x: View<'_>,
    columns: usize,
    multiplier: i32,
    shift: u8,
    out: &mut ViewMut<'_>,
    kernels: &Kernels,
    scratch: &mut Scratch<'_>,
) {
    let (row, exponentials) = scratch.i32[..2 * columns].split_at_mut(columns);
    for start in (0..x.len()).step_by(columns) {
        x.load_run(start, row, kernels);
        let max = row.iter().copied().max().unwrap_or(0);
        let power = Power { max, multiplier, shift };
        let sum = (kernels.arithmetic.exponentials)(row, power, exponentials);
        (kernels.arithmetic.shares)(exponentials, sum);
        out.store_run(start, exponentials, kernels);
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
