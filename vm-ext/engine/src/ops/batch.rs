//! Products of two computed tensors: each matrix of b is laid out for the kernels before it is used.

use super::matmul::ROW_BLOCK;
use crate::infer::Sums;
use crate::kernels::lay_out::{self, LaidOut};
use crate::kernels::portable::End;
use crate::kernels::{rescale, Kernels, Lanes, NARROW, WIDE};
use crate::plan::Room;
use crate::shape::{BroadcastPlan, Loop};
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

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

/// Scratch space: one matrix, laid out.
pub(crate) fn scratch(k: u64, n: u64, sums: Sums) -> Room {
    match sums {
        Sums::I64 => Room::default(),
        _ => Room {
            i16: lay_out::elements(n, k),
            ..Room::default()
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
    pub fn run(&self, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch) {
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

    fn matrices(&self, a: &[i16], b: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch) {
        let (k, n) = (self.k, self.n);
        if self.sums == Sums::I64 {
            return self.exact(a, b, out);
        }
        let data = &mut scratch.i16[..lay_out::elements(n as u64, k as u64) as usize];
        let b = LaidOut::new(n, k, self.transposed, b, data);
        for (block, a) in a.chunks(ROW_BLOCK * k).enumerate() {
            let rows = a.len() / k;
            let out = &mut out.part(block * ROW_BLOCK * n, rows * n);
            match self.sums {
                Sums::Blocks(block) => self.wide(a, b, block as usize, out, kernels),
                _ => self.narrow(a, b, out, kernels),
            }
        }
    }

    fn finish(&self, sum: i64) -> i32 {
        rescale(sum, self.multiplier, self.end.shift, self.end.low, self.end.high)
    }

    /// Sums in 32 bits.
    fn narrow(&self, a: &[i16], b: LaidOut<'_>, out: &mut ViewMut<'_>, kernels: &Kernels) {
        let (k, n, split) = (self.k, self.n, b.split);
        let rows = a.len() / k;
        let lanes = Lanes {
            bias: [0; WIDE],
            multiplier: [self.multiplier; WIDE],
            shift: [self.end.shift; WIDE],
        };
        let mut acc = [0i32; ROW_BLOCK * WIDE];
        for p in 0..split.wide + split.narrow {
            let (width, tile) = match p < split.wide {
                true => (WIDE, kernels.i16.wide),
                false => (NARROW, kernels.i16.narrow),
            };
            let count = width.min(n - p * WIDE);
            let acc = &mut acc[..rows * width];
            tile(a, k, rows, k, b.panel(p), acc);
            (kernels.rescale_columns)(acc, width, &lanes, self.end.low, self.end.high);
            for (r, acc) in acc.chunks_exact(width).enumerate() {
                out.store(r * n + p * WIDE, &acc[..count]);
            }
        }
        for i in 0..split.single {
            for (r, a) in a.chunks_exact(k).enumerate() {
                let sum = (kernels.i16.dot)(a, b.single(i));
                out.store(r * n + n - split.single + i, &[self.finish(sum.into())]);
            }
        }
    }

    /// Sums over blocks of k in 32 bits, of blocks in 64.
    fn wide(&self, a: &[i16], b: LaidOut<'_>, block: usize, out: &mut ViewMut<'_>, kernels: &Kernels) {
        let (k, n, split) = (self.k, self.n, b.split);
        let rows = a.len() / k;
        let mut sums = [0i64; ROW_BLOCK * WIDE];
        for p in 0..split.wide + split.narrow {
            let (width, tile) = match p < split.wide {
                true => (WIDE, kernels.i16.wide_blocks),
                false => (NARROW, kernels.i16.narrow_blocks),
            };
            let count = width.min(n - p * WIDE);
            let sums = &mut sums[..rows * width];
            tile(a, k, rows, k, block, b.panel(p), sums);
            let mut row = [0i32; WIDE];
            for (r, sums) in sums.chunks_exact(width).enumerate() {
                for (y, sum) in row.iter_mut().zip(&sums[..count]) {
                    *y = self.finish(*sum);
                }
                out.store(r * n + p * WIDE, &row[..count]);
            }
        }
        for i in 0..split.single {
            for (r, a) in a.chunks_exact(k).enumerate() {
                let pieces = a.chunks(block).zip(b.single(i).chunks(block));
                let sum = pieces.fold(0i64, |sum, (a, b)| sum.wrapping_add((kernels.i16.dot)(a, b).into()));
                out.store(r * n + n - split.single + i, &[self.finish(sum)]);
            }
        }
    }

    /// Sums in 64 bits, which only pairs of -32768 need.
    fn exact(&self, a: &[i16], b: &[i16], out: &mut ViewMut<'_>) {
        let (k, n) = (self.k, self.n);
        for (r, a) in a.chunks_exact(k).enumerate() {
            for column in 0..n {
                let (first, step) = if self.transposed { (column * k, 1) } else { (column, n) };
                let column_of_b = b[first..].iter().step_by(step);
                let sum = a.iter().zip(column_of_b).fold(0i64, |sum, (a, b)| {
                    sum.wrapping_add(i64::from(*a).wrapping_mul(i64::from(*b)))
                });
                out.store(r * n + column, &[self.finish(sum)]);
            }
        }
    }
}
