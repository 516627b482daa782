//! Bodies of the loops that fold many elements into one, in plain Rust, compiled for every machine as those of [`super::portable`] are.
//!
//! Sixteen results at a time, of a length that compilers know, so that they live in registers while everything is folded into them.

use super::WIDE;

/// Elements that a result is folded of, in lines of neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    /// At least 1.
    pub count: usize,
    /// Elements from one to the next.
    pub dilation: usize,
    /// Elements from the first of one result to the first of the next.
    pub stride: usize,
}

impl Taps {
    /// Elements that so many results read, and one beside the last.
    pub fn reach(self, results: usize) -> usize {
        match results {
            0 => 0,
            _ => (results - 1) * self.stride + (self.count - 1) * self.dilation + 2,
        }
    }
}

/// Largest elements down the rows: `out[i] = max over r < rows of x[r * step + i]`, of at least one row.
#[inline(always)]
pub(super) fn largest_down(out: &mut [i16], x: &[i16], step: usize, rows: usize) {
    down(out, x, step, rows, |x| x, i16::max);
}

/// Sums down the rows: `out[i] = sum over r < rows of x[r * step + i]`; no sum leaves 32 bits (the caller's bound on the rows).
#[inline(always)]
pub(super) fn totals_down(out: &mut [i32], x: &[i16], step: usize, rows: usize) {
    down(out, x, step, rows, i32::from, i32::wrapping_add);
}

/// Largest elements along a line: `out[i] = max over t of x[i * stride + t * dilation]`.
#[inline(always)]
pub(super) fn largest_along(out: &mut [i16], x: &[i16], taps: Taps) {
    along(out, x, taps, i16::max);
}

/// Sums along a line: `out[i] = sum over t of x[i * stride + t * dilation]`; no sum leaves 32 bits (the caller's bound).
#[inline(always)]
pub(super) fn totals_along(out: &mut [i32], x: &[i32], taps: Taps) {
    along(out, x, taps, i32::wrapping_add);
}

/// Largest of neighbours; the least number of 16 bits where there are none.
#[inline(always)]
pub(super) fn largest_of(x: &[i16]) -> i16 {
    x.iter().fold(i16::MIN, |best, x| best.max(*x))
}

/// Elements whose sum fits 32 bits.
const BLOCK: usize = 1 << 15;

/// Sum of neighbours.
#[inline(always)]
pub(super) fn total_of(x: &[i16]) -> i64 {
    let sum = |block: &[i16]| block.iter().fold(0i32, |sum, x| sum.wrapping_add((*x).into()));
    x.chunks(BLOCK).fold(0, |all, block| all + i64::from(sum(block)))
}

#[inline(always)]
fn down<A: Copy + Default>(
    out: &mut [A],
    x: &[i16],
    step: usize,
    rows: usize,
    from: impl Fn(i16) -> A,
    fold: impl Fn(A, A) -> A,
) {
    match out.len() {
        0 => {}
        WIDE.. => down_by::<WIDE, A>(out, x, step, rows, from, fold),
        8.. => down_by::<8, A>(out, x, step, rows, from, fold),
        4.. => down_by::<4, A>(out, x, step, rows, from, fold),
        _ => down_by::<1, A>(out, x, step, rows, from, fold),
    }
}

/// N results at a time, of which there are at least as many; the last ones overlap those before.
#[inline(always)]
fn down_by<const N: usize, A: Copy + Default>(
    out: &mut [A],
    x: &[i16],
    step: usize,
    rows: usize,
    from: impl Fn(i16) -> A,
    fold: impl Fn(A, A) -> A,
) {
    let last = out.len() - N;
    for at in (0..out.len()).step_by(N).map(|at| at.min(last)) {
        let mut folded = [A::default(); N];
        for (folded, x) in folded.iter_mut().zip(&x[at..at + N]) {
            *folded = from(*x);
        }
        for row in 1..rows {
            let row = &x[row * step + at..][..N];
            for (folded, x) in folded.iter_mut().zip(row) {
                *folded = fold(*folded, from(*x));
            }
        }
        out[at..at + N].copy_from_slice(&folded);
    }
}

/// Pairs of neighbours that are told apart at once.
const PAIRS: usize = 256;

#[inline(always)]
fn along<A: Copy + Default>(out: &mut [A], x: &[A], taps: Taps, fold: impl Fn(A, A) -> A) {
    let pairs = taps.reach(out.len()) / 2;
    match taps.stride {
        1 => along_by(out, taps, |at| &x[at..], fold),
        2 if pairs <= PAIRS && x.len() >= 2 * pairs => {
            // Neighbours are two apart, those between them beside: each of both as a line of its own.
            let [mut even, mut odd] = [[A::default(); PAIRS]; 2];
            for ((even, odd), x) in even.iter_mut().zip(&mut odd).zip(x[..2 * pairs].chunks_exact(2)) {
                (*even, *odd) = (x[0], x[1]);
            }
            let (even, odd) = (&even[..pairs], &odd[..pairs]);
            along_by(
                out,
                taps,
                |at| if at % 2 == 0 { &even[at / 2..] } else { &odd[at / 2..] },
                fold,
            );
        }
        _ => {
            for (i, y) in out.iter_mut().enumerate() {
                let x = &x[i * taps.stride..];
                *y = (1..taps.count).fold(x[0], |folded, tap| fold(folded, x[tap * taps.dilation]));
            }
        }
    }
}

/// Folds neighbours: `line` gives those of which the first result takes the one `at` elements from the beginning.
#[inline(always)]
fn along_by<'a, A: Copy + Default + 'a>(
    out: &mut [A],
    taps: Taps,
    line: impl Fn(usize) -> &'a [A],
    fold: impl Fn(A, A) -> A,
) {
    let mut sixteens = out.chunks_exact_mut(WIDE);
    let mut from = 0;
    for out in &mut sixteens {
        let mut folded = [A::default(); WIDE];
        folded.copy_from_slice(&line(0)[from..from + WIDE]);
        for tap in 1..taps.count {
            for (folded, x) in folded.iter_mut().zip(&line(tap * taps.dilation)[from..from + WIDE]) {
                *folded = fold(*folded, *x);
            }
        }
        out.copy_from_slice(&folded);
        from += WIDE;
    }
    for (i, y) in sixteens.into_remainder().iter_mut().enumerate() {
        let at = |tap: usize| line(tap * taps.dilation)[from + i];
        *y = (1..taps.count).fold(at(0), |folded, tap| fold(folded, at(tap)));
    }
}
