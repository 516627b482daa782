//! The portable kernels: what the others must equal. Plain loops over arrays, left to the compiler to vectorise.
//!
//! Wrapping arithmetic stands where the caller's certificate rules an overflow out; it never wraps.

use super::{portable, rescale, Arithmetic, Kernels, Lanes, Products, NARROW, WIDE};

pub(super) const KERNELS: Kernels = Kernels {
    name: "scalar",
    i8: Products {
        wide: tile::<i8, WIDE>,
        narrow: tile::<i8, NARROW>,
        wide_blocks: block_tile::<i8, WIDE>,
        narrow_blocks: block_tile::<i8, NARROW>,
        dot: dot::<i8>,
    },
    i16: Products {
        wide: tile::<i16, WIDE>,
        narrow: tile::<i16, NARROW>,
        wide_blocks: block_tile::<i16, WIDE>,
        narrow_blocks: block_tile::<i16, NARROW>,
        dot: dot::<i16>,
    },
    rescale_columns,
    rescale_row: portable::rescale_row,
    arithmetic: Arithmetic {
        add: portable::add,
        mul: portable::mul,
        rescale: portable::rescale,
        table: portable::table,
        sums: portable::sums,
        normalise: portable::normalise,
    },
};

fn tile<B: Copy + Into<i32>, const W: usize>(a: &[i16], lda: usize, rows: usize, k: usize, b: &[B], out: &mut [i32]) {
    for (r, out) in out.chunks_exact_mut(W).take(rows).enumerate() {
        let row = &a[r * lda..r * lda + k];
        let mut sums = [0i32; W];
        let pairs = row.chunks_exact(2);
        let odd = pairs.remainder().first().copied();
        let mut panel = b.chunks_exact(2 * W);
        for (pair, b) in pairs.zip(&mut panel) {
            let (x, y) = (i32::from(pair[0]), i32::from(pair[1]));
            for c in 0..W {
                let products = x
                    .wrapping_mul(b[2 * c].into())
                    .wrapping_add(y.wrapping_mul(b[2 * c + 1].into()));
                sums[c] = sums[c].wrapping_add(products);
            }
        }
        if let (Some(x), Some(b)) = (odd, panel.next()) {
            for c in 0..W {
                sums[c] = sums[c].wrapping_add(i32::from(x).wrapping_mul(b[2 * c].into()));
            }
        }
        out.copy_from_slice(&sums);
    }
}

fn block_tile<B: Copy + Into<i32>, const W: usize>(
    a: &[i16],
    lda: usize,
    rows: usize,
    k: usize,
    block: usize,
    b: &[B],
    out: &mut [i64],
) {
    for (r, out) in out.chunks_exact_mut(W).take(rows).enumerate() {
        out.fill(0);
        let mut part = [0i32; W];
        for from in (0..k).step_by(block) {
            tile::<B, W>(
                &a[r * lda + from..],
                lda,
                1,
                block.min(k - from),
                &b[from * W..],
                &mut part,
            );
            for (sum, part) in out.iter_mut().zip(part) {
                // Below 2^46 (the certificate).
                *sum = sum.wrapping_add(i64::from(part));
            }
        }
    }
}

fn dot<B: Copy + Into<i32>>(a: &[i16], b: &[B]) -> i32 {
    a.iter().zip(b).fold(0i32, |sum, (x, y)| {
        sum.wrapping_add(i32::from(*x).wrapping_mul((*y).into()))
    })
}

fn rescale_columns(acc: &mut [i32], width: usize, lanes: &Lanes, low: i32, high: i32) {
    for row in acc.chunks_exact_mut(width) {
        for (c, acc) in row.iter_mut().enumerate() {
            let sum = i64::from(*acc).wrapping_add(i64::from(lanes.bias[c]));
            *acc = rescale(sum, lanes.multiplier[c], lanes.shift[c], low, high);
        }
    }
}
