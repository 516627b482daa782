//! Folding an axis away.

use super::elementwise::CHUNK;
use crate::kernels::portable::End;
use crate::kernels::{rescale, Folds, Kernels};
use crate::tensor::{View, ViewMut};

/// Rows that are folded at once: few enough that a cache holds what neighbouring columns read again, and that sums of elements of 16 bits
/// fit 32.
const ROWS: usize = 64;

/// Rescaled sums over the middle axis of `[outer, extent, inner]`; they stay below 2^46.
#[inline(never)]
pub(crate) fn sum(
    x: View<'_>,
    around: [usize; 3],
    multiplier: i32,
    end: End,
    out: &mut ViewMut<'_>,
    kernels: &Kernels,
) {
    let finish = |sum: i64| rescale(sum, multiplier, end.shift, end.low, end.high);
    match x {
        View::I16(x) => {
            let Folds {
                totals_down, total_of, ..
            } = kernels.folds;
            let mut results = [0i32; CHUNK];
            narrow(
                x,
                around,
                0i64,
                (totals_down, total_of),
                i64::wrapping_add,
                |at, sums| {
                    if let [sum] = sums {
                        return out.store(at, &[finish(*sum)]);
                    }
                    let results = &mut results[..sums.len()];
                    for (y, sum) in results.iter_mut().zip(sums) {
                        *y = finish(*sum);
                    }
                    out.store(at, results);
                },
            );
        }
        View::I32(x) => wide(x, around, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), finish),
    }
}

/// Largest elements over the middle axis of `[outer, extent, inner]`.
#[inline(never)]
pub(crate) fn max(x: View<'_>, around: [usize; 3], out: &mut ViewMut<'_>, kernels: &Kernels) {
    match x {
        View::I16(x) => {
            let Folds {
                largest_down,
                largest_of,
                ..
            } = kernels.folds;
            narrow(x, around, i16::MIN, (largest_down, largest_of), i16::max, |at, best| {
                out.part(at, best.len()).copy(0, View::I16(best));
            });
        }
        View::I32(x) => wide(x, around, out, i32::MIN, i32::max, |best| best),
    }
}

/// Loops that fold columns of rows, and neighbours.
type Loops<P, A> = (fn(&mut [P], &[i16], usize, usize), fn(&[i16]) -> A);

/// Of elements of 16 bits: folds some rows at a time to parts P, and those together; gives runs of folds and where they belong.
#[inline(always)]
fn narrow<P: Copy + Default, A: Copy + From<P>>(
    x: &[i16],
    [_, extent, inner]: [usize; 3],
    start: A,
    (down, of): Loops<P, A>,
    join: impl Fn(A, A) -> A,
    mut finish: impl FnMut(usize, &[A]),
) {
    if inner == 1 {
        for (row, x) in x.chunks_exact(extent).enumerate() {
            finish(row, &[of(x)]);
        }
        return;
    }
    let (mut parts, mut folded) = ([P::default(); CHUNK], [start; CHUNK]);
    for (block, x) in x.chunks_exact(extent * inner).enumerate() {
        for from in (0..inner).step_by(CHUNK) {
            let count = CHUNK.min(inner - from);
            let (parts, folded) = (&mut parts[..count], &mut folded[..count]);
            for (i, rows) in x.chunks(ROWS * inner).enumerate() {
                down(parts, &rows[from..], inner, rows.len() / inner);
                for (all, part) in folded.iter_mut().zip(&*parts) {
                    let part = A::from(*part);
                    *all = if i == 0 { part } else { join(*all, part) };
                }
            }
            finish(block * inner + from, folded);
        }
    }
}

/// Of elements of 32 bits.
#[inline(always)]
fn wide<A: Copy>(
    x: &[i32],
    [_, extent, inner]: [usize; 3],
    out: &mut ViewMut<'_>,
    start: A,
    step: impl Fn(A, i32) -> A,
    finish: impl Fn(A) -> i32,
) {
    if inner == 1 {
        for (row, x) in x.chunks_exact(extent).enumerate() {
            let folded = x.iter().fold(start, |acc, x| step(acc, *x));
            out.store(row, &[finish(folded)]);
        }
        return;
    }
    let (mut results, mut folded) = ([0i32; CHUNK], [start; CHUNK]);
    for (block, x) in x.chunks_exact(extent * inner).enumerate() {
        for from in (0..inner).step_by(CHUNK) {
            let count = CHUNK.min(inner - from);
            folded[..count].fill(start);
            for row in x.chunks_exact(inner) {
                for (acc, x) in folded[..count].iter_mut().zip(&row[from..from + count]) {
                    *acc = step(*acc, *x);
                }
            }
            for (y, acc) in results.iter_mut().zip(&folded[..count]) {
                *y = finish(*acc);
            }
            out.store(block * inner + from, &results[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{max, sum};
    use crate::kernels::portable::End;
    use crate::kernels::Kernels;
    use crate::tensor::{View, ViewMut};
    use alloc::vec;
    use alloc::vec::Vec;

    /// More rows and columns than are folded at once, at both ends of the range.
    #[test]
    fn elements_of_16_and_of_32_bits_fold_to_the_same() {
        let end = End {
            shift: 3,
            low: -(1 << 30),
            high: 1 << 30,
        };
        for around in [
            [3, 1, 5],
            [2, 70, 1],
            [1, 70_000, 1],
            [2, 200, 3],
            [2, 65, 300],
            [1, 64, 17],
            [3, 2, 256],
        ] {
            let [outer, extent, inner] = around;
            let count = outer * extent * inner;
            let x: Vec<i16> = (0..count as i32)
                .map(|i| if i % 11 < 9 { -32768 + i % 5 } else { i.wrapping_mul(i) >> 3 } as i16)
                .collect();
            let x32: Vec<i32> = x.iter().map(|x| i32::from(*x)).collect();
            for kernels in Kernels::available() {
                let [mut narrow, mut wide] = [vec![7; outer * inner], vec![9; outer * inner]];
                sum(View::I16(&x), around, 5, end, &mut ViewMut::I32(&mut narrow), &kernels);
                sum(View::I32(&x32), around, 5, end, &mut ViewMut::I32(&mut wide), &kernels);
                assert_eq!(narrow, wide, "{around:?} {kernels:?}");
                let mut best = vec![7i16; outer * inner];
                max(View::I16(&x), around, &mut ViewMut::I16(&mut best), &kernels);
                max(View::I32(&x32), around, &mut ViewMut::I32(&mut wide), &kernels);
                let best: Vec<i32> = best.into_iter().map(i32::from).collect();
                assert_eq!(best, wide, "{around:?} {kernels:?}");
            }
        }
    }
}
