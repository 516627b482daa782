//! Products of two computed tensors: each matrix of b is laid out for the kernels before it is used.

use super::elementwise::CHUNK;
use super::matmul::{ROW_BLOCK, SUMS};
use crate::infer::Sums;
use crate::kernels::lay_out::{self, LaidOut};
use crate::kernels::portable::End;
use crate::kernels::{aligned_short_mut, rescale, Kernels, Lanes, SHORT_LINE, WIDE};
use crate::plan::Room;
use crate::shape::{BroadcastPlan, Loop};
use crate::tensor::{Rows, View, ViewMut};
use crate::workspace::Scratch;

/// Panels at once.
const PANELS: usize = SUMS / (ROW_BLOCK * WIDE);

/// `y[.., m, n] = rescale(sum over k of a[.., m, k] * b[.., k, n])`.
#[derive(Clone, Debug)]
pub(crate) struct BatchMatMul {
    /// Over the batch axes; steps count matrices.
    pub plan: BroadcastPlan<2>,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Whether b holds rows of k elements.
    pub transposed: bool,
    pub multiplier: i32,
    pub end: End,
    pub sums: Sums,
}

/// Scratch space: one matrix, laid out, and sums.
pub(crate) fn scratch(k: u64, n: u64, sums: Sums) -> Room {
    match sums {
        Sums::I64 => Room::default(),
        _ => Room {
            i16: lay_out::elements(n, k).saturating_add(SHORT_LINE as u64),
            i32: SUMS as u64,
            i64: if sums == Sums::I32 { 0 } else { SUMS as u64 },
        },
    }
}

/// How many products a run of matrices comes to, and of how many rows each: one matrix of b that meets many of a which
/// follow one another meets one with all their rows.
pub(crate) fn products(inner: Loop<2>, m: usize) -> (usize, usize) {
    match inner.steps {
        [1, 0] => (1, inner.extent * m),
        _ => (inner.extent, m),
    }
}

impl BatchMatMul {
    #[inline(never)]
    pub fn run(&self, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        // Inference takes operands of 16 bits only.
        let (View::I16(a), View::I16(b)) = (a, b) else {
            debug_assert!(false, "operands of 16 bits");
            return;
        };
        let (k, n) = (self.k, self.n);
        let mut at = 0;
        self.plan.runs(|[first_a, first_b], inner| {
            let [step_a, step_b] = inner.steps;
            let (count, rows) = products(inner, self.m);
            for i in 0..count {
                let a = &a[(first_a + i * step_a) * self.m * k..][..rows * k];
                let b = &b[(first_b + i * step_b) * k * n..][..k * n];
                self.matrices(a, b, &mut out.part(at, rows * n), kernels, scratch);
                at += rows * n;
            }
        });
    }

    #[inline(never)]
    fn matrices(&self, a: &[i16], b: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        let (k, n) = (self.k, self.n);
        if self.sums == Sums::I64 {
            return self.exact(a, b, out);
        }
        let data = &mut aligned_short_mut(scratch.i16)[..lay_out::elements(n as u64, k as u64) as usize];
        let b = LaidOut::new(n, k, self.transposed, b, data);
        let (low, high) = (self.end.low, self.end.high);
        let lanes = [Lanes::alike(0, self.multiplier, self.end.shift); PANELS];
        let lanes_of_64 = Lanes::alike(0, self.multiplier, self.end.shift);
        for (chunk, a) in a.chunks(ROW_BLOCK * k).enumerate() {
            let rows = a.len() / k;
            let start = chunk * ROW_BLOCK * n;
            for first in (0..b.split.panels).step_by(PANELS) {
                let count = PANELS.min(b.split.panels - first);
                let sums = &mut scratch.i32[..count * rows * WIDE];
                let to = Rows {
                    start: start + first * WIDE,
                    stride: n,
                    columns: (count * WIDE).min(b.split.in_panels() - first * WIDE),
                };
                let (panels, stride) = b.panels(first);
                match self.sums {
                    Sums::Blocks(block) => {
                        let totals = &mut scratch.i64[..sums.len()];
                        for (p, totals) in totals.chunks_exact_mut(rows * WIDE).enumerate() {
                            (kernels.words.blocks)(a, k, rows, k, block as usize, &panels[p * stride..], totals);
                        }
                        (kernels.ends.wide_columns)(totals, &lanes_of_64, low, high, sums);
                        out.store_panels(sums, rows, to, kernels);
                    }
                    _ => {
                        (kernels.words.tile)(a, k, rows, k, panels, stride, sums);
                        out.store_columns(sums, &lanes[..count], (low, high), to, kernels);
                    }
                }
            }
            let block = match self.sums {
                Sums::Blocks(block) => block as usize,
                _ => k,
            };
            for i in 0..b.split.single {
                for (r, a) in a.chunks_exact(k).enumerate() {
                    let pieces = a.chunks(block).zip(b.single(i).chunks(block));
                    let sum = pieces.fold(0i64, |sum, (a, b)| sum.wrapping_add((kernels.words.dot)(a, b).into()));
                    out.store(start + r * n + b.split.in_panels() + i, &[self.finish(sum)]);
                }
            }
        }
    }

    fn finish(&self, sum: i64) -> i32 {
        rescale(sum, self.multiplier, self.end.shift, self.end.low, self.end.high)
    }

    /// Sums in 64 bits, which only pairs of -32768 need.
    #[inline(never)]
    fn exact(&self, a: &[i16], b: &[i16], out: &mut ViewMut<'_>) {
        let (k, n) = (self.k, self.n);
        let mut sums = [0i64; CHUNK];
        for (r, a) in a.chunks_exact(k).enumerate() {
            // A matrix of one column is its own transpose.
            if self.transposed || n == 1 {
                for (column, b) in b.chunks_exact(k).enumerate() {
                    let sum = a.iter().zip(b).map(|(a, b)| product(a, b)).sum();
                    out.store(r * n + column, &[self.finish(sum)]);
                }
                continue;
            }
            if n < WIDE {
                for column in 0..n {
                    let b = b[column..].iter().step_by(n);
                    let sum = a.iter().zip(b).map(|(a, b)| product(a, b)).sum();
                    out.store(r * n + column, &[self.finish(sum)]);
                }
                continue;
            }
            for from in (0..n).step_by(CHUNK) {
                let sums = &mut sums[..CHUNK.min(n - from)];
                sums.fill(0);
                for (a, row) in a.iter().zip(b.chunks_exact(n)) {
                    for (sum, b) in sums.iter_mut().zip(&row[from..]) {
                        *sum += product(a, b);
                    }
                }
                for (i, sum) in sums.iter().enumerate() {
                    out.store(r * n + from + i, &[self.finish(*sum)]);
                }
            }
        }
    }
}

/// At most 2^30.
fn product(a: &i16, b: &i16) -> i64 {
    i64::from(i32::from(*a) * i32::from(*b))
}
