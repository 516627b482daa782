//! Products with stored matrices.

use alloc::vec::Vec;

use super::Scale;
use crate::infer::Sums;
use crate::kernels::pack::{BytePanels, Columns, Panels, Split};
use crate::kernels::{Kernels, Lanes, Width, QUAD, QUAD_WORDS, WIDE};
use crate::plan::Room;
use crate::tensor::{Rows, View, ViewMut};
use crate::workspace::Scratch;

/// Rows that go through all panels before the next ones: they stay in the cache meanwhile.
pub(crate) const ROW_BLOCK: usize = 48;
/// Sums at once: of 48 rows in two panels, or of fewer rows in more of them.
pub(crate) const SUMS: usize = 2 * ROW_BLOCK * WIDE;

/// `y[m, n] = rescale(sum over k of x[m, k] * w[n, k] + bias[n])`.
#[derive(Clone, Debug)]
pub(crate) struct MatMul {
    weights: Columns,
    k: usize,
    scale: Scale,
    sums: Sums,
    width: Width,
    /// Per panel, where sums fit 32 bits; of as many as are taken at once where all columns are rescaled alike.
    lanes: Vec<Lanes<i32>>,
}

/// Most panels at once: those of one row.
const PANELS: usize = SUMS / WIDE;

/// Scratch space of a product of so many rows: packed rows and sums.
pub(crate) fn scratch(rows: u64, k: u64, split: Split, narrow: bool, sums: Sums) -> Room {
    let rows = rows.min(ROW_BLOCK as u64);
    let words = if narrow {
        rows * k.div_ceil(QUAD as u64) * QUAD_WORDS as u64
    } else {
        0
    };
    let most = (rows * (split.panels * WIDE) as u64).min(SUMS as u64);
    match sums {
        Sums::I32 => Room {
            i32: words + most,
            ..Room::default()
        },
        Sums::Blocks(_) => Room {
            i32: words + most,
            i64: most,
            ..Room::default()
        },
        Sums::I64 => Room::default(),
    }
}

impl MatMul {
    pub fn new(weights: Columns, k: usize, scale: Scale, sums: Sums, width: Width) -> Self {
        let panels = match (&weights, sums) {
            (Columns::I8(p), Sums::I32) => p.panels.split.panels,
            (Columns::I16(p), Sums::I32) => p.split.panels,
            _ => 0,
        };
        let columns = scale_columns(&weights);
        let lanes = if scale.alike() {
            let (bias, multiplier, shift) = scale.of(0);
            alloc::vec![Lanes::alike(bias as i32, multiplier, shift); panels.min(PANELS)]
        } else {
            let lanes = (0..panels).map(|p| scale.lanes(p * WIDE, columns, |bias| bias as i32));
            lanes.collect()
        };
        MatMul {
            weights,
            k,
            scale,
            sums,
            width,
            lanes,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.weights.bytes() + self.scale.bytes() + self.lanes.len() * size_of::<Lanes<i32>>()
    }

    #[inline(never)]
    pub fn run(&self, x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        match (x, &self.weights) {
            (View::I32(x), weights) => self.wide(weights, x, out),
            (View::I16(x), weights) if self.sums == Sums::I64 => self.wide(weights, x, out),
            (View::I16(x), Columns::I8(panels)) => self.bytes_of(panels, x, out, kernels, scratch),
            (View::I16(x), Columns::I16(panels)) => self.words_of(panels, x, out, kernels, scratch),
        }
    }

    /// 8-bit weights, sums in 32 bits or in 64 by blocks.
    #[inline(never)]
    fn bytes_of(
        &self,
        weights: &BytePanels,
        x: &[i16],
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
        scratch: &mut Scratch<'_>,
    ) {
        let (k, split) = (self.k, weights.panels.split);
        for (chunk, x) in x.chunks(ROW_BLOCK * k).enumerate() {
            let rows = x.len() / k;
            let row_words = k.div_ceil(QUAD) * QUAD_WORDS;
            let (words, sums) = scratch.i32.split_at_mut(rows * row_words);
            for from in (0..k).step_by(weights.block) {
                let words = &mut words[from / QUAD * QUAD_WORDS * rows..];
                let count = weights.block.min(k - from);
                (kernels.bytes.pack_rows)(&x[from..], k, rows, count, self.width, words);
            }
            let columns = |from: usize, first: usize, sums: &mut [i32]| {
                let words = &words[from / QUAD * QUAD_WORDS * rows..];
                let quads = weights.block.min(k - from).div_ceil(QUAD);
                (kernels.bytes.columns)(words, rows, quads, self.width, weights.of(first, from), sums);
            };
            let base = chunk * ROW_BLOCK * split.columns;
            self.panels(split, rows, base, out, kernels, sums, |first, sums| match self.sums {
                Sums::Blocks(_) => {
                    let totals = &mut scratch.i64[..sums.len()];
                    totals.fill(0);
                    for from in (0..k).step_by(weights.block) {
                        columns(from, first, sums);
                        add(totals, sums);
                    }
                    self.wide_ends(totals, rows, first, sums, kernels);
                }
                _ => columns(0, first, sums),
            });
            for i in 0..split.single {
                let w = weights.panels.single(i);
                self.single(x, w, weights.block, split, i, base, out, kernels.bytes.dot);
            }
        }
    }

    /// 16-bit weights, sums in 32 bits or in 64 by blocks.
    #[inline(never)]
    fn words_of(
        &self,
        weights: &Panels<i16>,
        x: &[i16],
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
        scratch: &mut Scratch<'_>,
    ) {
        let (k, split) = (self.k, weights.split);
        let block = match self.sums {
            Sums::Blocks(block) => block as usize,
            _ => k,
        };
        for (chunk, x) in x.chunks(ROW_BLOCK * k).enumerate() {
            let rows = x.len() / k;
            let base = chunk * ROW_BLOCK * split.columns;
            self.panels(split, rows, base, out, kernels, scratch.i32, |first, sums| {
                match self.sums {
                    Sums::Blocks(_) => {
                        let totals = &mut scratch.i64[..sums.len()];
                        for (p, totals) in totals.chunks_exact_mut(rows * WIDE).enumerate() {
                            (kernels.words.blocks)(x, k, rows, k, block, weights.panel(first + p), totals);
                        }
                        self.wide_ends(totals, rows, first, sums, kernels);
                    }
                    _ => {
                        let (panels, stride) = weights.panels(first);
                        (kernels.words.tile)(x, k, rows, k, panels, stride, sums);
                    }
                }
            });
            for i in 0..split.single {
                self.single(x, weights.single(i), block, split, i, base, out, kernels.words.dot);
            }
        }
    }

    /// Goes through the panels, as many at a time as their sums have room, and stores the rescaled sums that `products` gives:
    /// before rescaling where they fit 32 bits, and after it where not.
    #[allow(clippy::too_many_arguments)]
    fn panels(
        &self,
        split: Split,
        rows: usize,
        base: usize,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
        sums: &mut [i32],
        mut products: impl FnMut(usize, &mut [i32]),
    ) {
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let at_once = SUMS / (rows * WIDE);
        for first in (0..split.panels).step_by(at_once) {
            let count = at_once.min(split.panels - first);
            let sums = &mut sums[..count * rows * WIDE];
            products(first, sums);
            let to = Rows {
                start: base + first * WIDE,
                stride: split.columns,
                columns: (count * WIDE).min(split.in_panels() - first * WIDE),
            };
            match self.sums {
                Sums::I32 => {
                    let first = if self.scale.alike() { 0 } else { first };
                    let lanes = &self.lanes[first..first + count];
                    out.store_columns(sums, lanes, (low, high), to, kernels);
                }
                _ => out.store_panels(sums, rows, to, kernels),
            }
        }
    }

    /// Rescales sums of 64 bits of panels from `first` on.
    fn wide_ends(&self, totals: &[i64], rows: usize, first: usize, out: &mut [i32], kernels: &Kernels) {
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let columns = scale_columns(&self.weights);
        let panels = totals.chunks_exact(rows * WIDE).zip(out.chunks_exact_mut(rows * WIDE));
        for (p, (totals, out)) in panels.enumerate() {
            let lanes = self.scale.lanes((first + p) * WIDE, columns, |bias| bias);
            (kernels.ends.wide_columns)(totals, &lanes, low, high, out);
        }
    }

    /// One column after the panels.
    #[allow(clippy::too_many_arguments)]
    fn single<B>(
        &self,
        x: &[i16],
        w: &[B],
        block: usize,
        split: Split,
        i: usize,
        base: usize,
        out: &mut ViewMut<'_>,
        dot: fn(&[i16], &[B]) -> i32,
    ) {
        let column = split.in_panels() + i;
        for (r, x) in x.chunks_exact(self.k).enumerate() {
            let pieces = x.chunks(block).zip(w.chunks(block));
            // Below 2^46 (the certificate).
            let sum = pieces.fold(0i64, |sum, (x, w)| sum.wrapping_add(dot(x, w).into()));
            out.store(base + r * split.columns + column, &[self.scale.apply(column, sum)]);
        }
    }

    /// Sums in 64 bits.
    fn wide<X: Copy + Into<i64>>(&self, weights: &Columns, x: &[X], out: &mut ViewMut<'_>) {
        match weights {
            Columns::I8(weights) => self.wide_of(&weights.panels, x, out),
            Columns::I16(weights) => self.wide_of(weights, x, out),
        }
    }

    fn wide_of<B, X>(&self, weights: &Panels<B>, x: &[X], out: &mut ViewMut<'_>)
    where
        B: Copy + Default + Into<i64>,
        X: Copy + Into<i64>,
    {
        let split = weights.split;
        for (r, x) in x.chunks_exact(self.k).enumerate() {
            let mut column = 0;
            let mut finish = |sums: &[i64]| {
                let count = sums.len().min(split.columns - column);
                for (c, sum) in sums[..count].iter().enumerate() {
                    out.store(r * split.columns + column + c, &[self.scale.apply(column + c, *sum)]);
                }
                column += count;
            };
            for p in 0..split.panels {
                finish(&wide_row(x, weights.panel(p), weights.group()));
            }
            for i in 0..split.single {
                let products = x.iter().zip(weights.single(i));
                let sum = products.fold(0i64, |sum, (x, w)| {
                    sum.wrapping_add((*x).into().wrapping_mul((*w).into()))
                });
                finish(&[sum]);
            }
        }
    }
}

/// Columns in all.
fn scale_columns(weights: &Columns) -> usize {
    match weights {
        Columns::I8(p) => p.panels.split.columns,
        Columns::I16(p) => p.split.columns,
    }
}

/// Adds sums of a block.
pub(super) fn add(totals: &mut [i64], sums: &[i32]) {
    for (total, sum) in totals.iter_mut().zip(sums) {
        // Below 2^46 (the certificate).
        *total = total.wrapping_add(i64::from(*sum));
    }
}

/// One row against one panel. Every partial sum is below 2^46 (the certificate).
fn wide_row<B: Copy + Into<i64>, X: Copy + Into<i64>>(x: &[X], panel: &[B], group: usize) -> [i64; WIDE] {
    let mut sums = [0i64; WIDE];
    for (x, panel) in x.chunks(group).zip(panel.chunks_exact(group * WIDE)) {
        for (i, x) in x.iter().enumerate() {
            let x: i64 = (*x).into();
            for (sum, w) in sums.iter_mut().zip(panel.chunks_exact(group)) {
                *sum = sum.wrapping_add(x.wrapping_mul(w[i].into()));
            }
        }
    }
    sums
}
