//! Folding an axis away.

use super::elementwise::CHUNK;
use crate::kernels::portable::End;
use crate::kernels::rescale;
use crate::tensor::{View, ViewMut};

/// Rescaled sums over the middle axis of `[outer, extent, inner]`; they stay below 2^46.
pub(crate) fn sum(x: View<'_>, around: [usize; 3], multiplier: i32, end: End, out: &mut ViewMut<'_>) {
    let finish = |sum: i64| rescale(sum, multiplier, end.shift, end.low, end.high);
    fold(x, around, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), finish);
}

/// Largest elements over the middle axis of `[outer, extent, inner]`.
pub(crate) fn max(x: View<'_>, around: [usize; 3], out: &mut ViewMut<'_>) {
    fold(x, around, out, i32::MIN, |best: i32, x| best.max(x), |best| best);
}

fn fold<A: Copy>(
    x: View<'_>,
    around: [usize; 3],
    out: &mut ViewMut<'_>,
    start: A,
    step: impl Fn(A, i32) -> A,
    finish: impl Fn(A) -> i32,
) {
    match x {
        View::I16(x) => fold_of(x, around, out, start, step, finish),
        View::I32(x) => fold_of(x, around, out, start, step, finish),
    }
}

#[inline(never)]
fn fold_of<T: Copy + Into<i32>, A: Copy>(
    x: &[T],
    [_, extent, inner]: [usize; 3],
    out: &mut ViewMut<'_>,
    start: A,
    step: impl Fn(A, i32) -> A,
    finish: impl Fn(A) -> i32,
) {
    if inner == 1 {
        for (row, x) in x.chunks_exact(extent).enumerate() {
            let folded = x.iter().fold(start, |acc, x| step(acc, (*x).into()));
            out.store(row, &[finish(folded)]);
        }
        return;
    }
    let mut results = [0i32; CHUNK];
    for (block, x) in x.chunks_exact(extent * inner).enumerate() {
        for from in (0..inner).step_by(CHUNK) {
            let count = CHUNK.min(inner - from);
            let mut folded = [start; CHUNK];
            for row in x.chunks_exact(inner) {
                for (acc, x) in folded[..count].iter_mut().zip(&row[from..from + count]) {
                    *acc = step(*acc, (*x).into());
                }
            }
            for (y, acc) in results.iter_mut().zip(&folded[..count]) {
                *y = finish(*acc);
            }
            out.store(block * inner + from, &results[..count]);
        }
    }
}
