//! The largest elements of rows.

use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Scratch space: a key for each element kept.
pub(crate) fn scratch(k: u32) -> Room {
    Room {
        i64: k.into(),
        ..Room::default()
    }
}

/// Indices of the k largest elements of each row, in descending order; of equals the first comes first.
#[inline(never)]
pub(crate) fn top_k(x: View<'_>, columns: usize, k: usize, out: &mut ViewMut<'_>, scratch: &mut Scratch<'_>) {
    // Keys in ascending order are elements in descending order, no two alike.
    let keys = &mut scratch.i64[..k];
    for (row, start) in (0..x.len()).step_by(columns).enumerate() {
        let key = |i: usize| i64::from(!x.get(start + i)) << 32 | i as i64;
        for (i, slot) in keys.iter_mut().enumerate() {
            *slot = key(i);
        }
        // A heap of the least keys so far, the largest on top.
        for root in (0..k / 2).rev() {
            sink(keys, root);
        }
        for i in k..columns {
            let key = key(i);
            if key < keys[0] {
                keys[0] = key;
                sink(keys, 0);
            }
        }
        // Taken apart from the top, it becomes a sorted list.
        for last in (1..k).rev() {
            keys.swap(0, last);
            sink(&mut keys[..last], 0);
        }
        for (i, key) in keys.iter().enumerate() {
            // The lower half is the index, below 2^31.
            out.store(row * k + i, &[*key as i32]);
        }
    }
}

/// Restores the order of a heap (no parent less than its children) in which the key at `at` may be too small.
fn sink(heap: &mut [i64], mut at: usize) {
    loop {
        let left = 2 * at + 1;
        let Some(mut largest) = heap.get(left) else { return };
        let mut child = left;
        if let Some(right) = heap.get(left + 1).filter(|right| *right > largest) {
            (largest, child) = (right, left + 1);
        }
        if *largest <= heap[at] {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}
