//! Products with stored matrices.

use super::Scale;
use crate::infer::Sums;
use crate::kernels::pack::{Columns, Panels};
use crate::kernels::{BlockTile, Kernels, Products, Tile, NARROW, WIDE};
use crate::tensor::{View, ViewMut};

/// Rows that go through all panels before the next ones: they stay in the cache meanwhile.
pub(crate) const ROW_BLOCK: usize = 48;

/// `y[m, n] = rescale(sum over k of x[m, k] * w[n, k] + bias[n])`.
#[derive(Clone, Debug)]
pub(crate) struct MatMul {
    pub weights: Columns,
    pub k: usize,
    pub scale: Scale,
    pub sums: Sums,
}

impl MatMul {
    #[inline(never)]
    pub fn run(&self, x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels) {
        match &self.weights {
            Columns::I8(panels) => self.columns(panels, &kernels.i8, x, out, kernels),
            Columns::I16(panels) => self.columns(panels, &kernels.i16, x, out, kernels),
        }
    }

    fn columns<B>(
        &self,
        panels: &Panels<B>,
        products: &Products<B>,
        x: View<'_>,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
    ) where
        B: Copy + Default + Into<i64>,
    {
        match (x, self.sums) {
            (View::I16(x), Sums::I32) => self.narrow(panels, products, x, out, kernels),
            (View::I16(x), Sums::Blocks(block)) => self.blocks(panels, products, x, block as usize, out),
            (View::I16(x), Sums::I64) => self.wide(panels, x, out),
            (View::I32(x), _) => self.wide(panels, x, out),
        }
    }

    /// Sums in 32 bits.
    fn narrow<B>(&self, panels: &Panels<B>, products: &Products<B>, x: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels)
    where
        B: Copy + Default,
    {
        let (k, split) = (self.k, panels.split);
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let mut acc = [0i32; ROW_BLOCK * WIDE];
        for (block, x) in x.chunks(ROW_BLOCK * k).enumerate() {
            let rows = x.len() / k;
            let base = block * ROW_BLOCK * split.columns;
            let mut column = 0;
            let mut panel = |width: usize, tile: Tile<B>, b: &[B]| {
                let count = width.min(split.columns - column);
                let lanes = self.scale.lanes(column, count);
                let acc = &mut acc[..rows * width];
                tile(x, k, rows, k, b, acc);
                (kernels.rescale_columns)(acc, width, &lanes, low, high);
                for (r, acc) in acc.chunks_exact(width).enumerate() {
                    out.store(base + r * split.columns + column, &acc[..count]);
                }
                column += count;
            };
            for p in 0..split.wide {
                panel(WIDE, products.wide, panels.wide(p));
            }
            if split.narrow > 0 {
                panel(NARROW, products.narrow, panels.narrow());
            }
            for i in 0..split.single {
                for (r, x) in x.chunks_exact(k).enumerate() {
                    let sum = (products.dot)(x, panels.single(i));
                    let y = self.scale.apply(column + i, sum.into());
                    out.store(base + r * split.columns + column + i, &[y]);
                }
            }
        }
    }

    /// Sums over blocks of k in 32 bits, of blocks in 64.
    fn blocks<B>(&self, panels: &Panels<B>, products: &Products<B>, x: &[i16], block: usize, out: &mut ViewMut<'_>)
    where
        B: Copy + Default,
    {
        let (k, split) = (self.k, panels.split);
        let mut sums = [0i64; ROW_BLOCK * WIDE];
        for (chunk, x) in x.chunks(ROW_BLOCK * k).enumerate() {
            let rows = x.len() / k;
            let base = chunk * ROW_BLOCK * split.columns;
            let mut column = 0;
            let mut panel = |width: usize, tile: BlockTile<B>, b: &[B]| {
                let count = width.min(split.columns - column);
                let sums = &mut sums[..rows * width];
                tile(x, k, rows, k, block, b, sums);
                let mut row = [0i32; WIDE];
                for (r, sums) in sums.chunks_exact(width).enumerate() {
                    for (c, (y, sum)) in row.iter_mut().zip(&sums[..count]).enumerate() {
                        *y = self.scale.apply(column + c, *sum);
                    }
                    out.store(base + r * split.columns + column, &row[..count]);
                }
                column += count;
            };
            for p in 0..split.wide {
                panel(WIDE, products.wide_blocks, panels.wide(p));
            }
            if split.narrow > 0 {
                panel(NARROW, products.narrow_blocks, panels.narrow());
            }
            for i in 0..split.single {
                for (r, x) in x.chunks_exact(k).enumerate() {
                    let pieces = x.chunks(block).zip(panels.single(i).chunks(block));
                    let sum = pieces.fold(0i64, |sum, (x, w)| sum.wrapping_add((products.dot)(x, w).into()));
                    let y = self.scale.apply(column + i, sum);
                    out.store(base + r * split.columns + column + i, &[y]);
                }
            }
        }
    }

    /// Sums in 64 bits.
    fn wide<B, X>(&self, panels: &Panels<B>, x: &[X], out: &mut ViewMut<'_>)
    where
        B: Copy + Default + Into<i64>,
        X: Copy + Into<i64>,
    {
        let (k, split) = (self.k, panels.split);
        for (r, x) in x.chunks_exact(k).enumerate() {
            let mut column = 0;
            let mut finish = |sums: &[i64]| {
                let count = sums.len().min(split.columns - column);
                for (c, sum) in sums[..count].iter().enumerate() {
                    out.store(r * split.columns + column + c, &[self.scale.apply(column + c, *sum)]);
                }
                column += count;
            };
            for p in 0..split.wide {
                finish(&wide_row::<B, X, WIDE>(x, panels.wide(p)));
            }
            if split.narrow > 0 {
                finish(&wide_row::<B, X, NARROW>(x, panels.narrow()));
            }
            for i in 0..split.single {
                let products = x.iter().zip(panels.single(i));
                let sum = products.fold(0i64, |sum, (x, w)| {
                    sum.wrapping_add((*x).into().wrapping_mul((*w).into()))
                });
                finish(&[sum]);
            }
        }
    }
}

/// One row against one panel. Every partial sum is below 2^46 (the certificate).
fn wide_row<B: Copy + Into<i64>, X: Copy + Into<i64>, const W: usize>(x: &[X], b: &[B]) -> [i64; W] {
    let mut sums = [0i64; W];
    for (pair, b) in x.chunks(2).zip(b.chunks_exact(2 * W)) {
        for (half, x) in pair.iter().enumerate() {
            let x: i64 = (*x).into();
            for c in 0..W {
                sums[c] = sums[c].wrapping_add(x.wrapping_mul(b[2 * c + half].into()));
            }
        }
    }
    sums
}
