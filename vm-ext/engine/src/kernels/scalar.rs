//! The portable kernels: what the others must equal. Plain loops over arrays, left to the compiler to vectorise.
//!
//! Wrapping arithmetic stands where the caller's certificate rules an overflow out; it never wraps.

use super::{
    folds, portable, Arithmetic, Bytes, Ends, Folds, Kernels, PanelsOf8, RowsOf8, Width, Words, QUAD, QUAD_WORDS, WIDE,
};

pub(super) const KERNELS: Kernels = Kernels {
    name: "scalar",
    bytes: Bytes {
        pack_rows,
        columns,
        pack_pixels,
        rows,
        dot: dot::<i8>,
    },
    words: Words {
        pack_pairs: portable::pack_pairs,
        tile,
        blocks,
        dot: dot::<i16>,
    },
    depthwise: portable::depthwise,
    depthwise_wide: portable::depthwise_wide,
    depthwise_to: portable::depthwise_rows,
    ends: Ends {
        columns: portable::columns,
        rows: portable::rows,
        wide_columns: portable::wide_columns,
        wide_rows: portable::wide_rows,
        widen: portable::widen,
        narrow: portable::narrow,
        narrow_columns: portable::narrow_columns,
        columns_to: portable::columns_to,
        rows_to: portable::rows_to,
    },
    arithmetic: Arithmetic {
        add: portable::add,
        mul: portable::mul,
        rescale: portable::rescale,
        add_short: portable::add_short,
        mul_short: portable::mul_short,
        rescale_short: portable::rescale_short,
        add_narrow: portable::add_narrow,
        mul_narrow: portable::mul_narrow,
        rescale_narrow: portable::rescale_narrow,
        rescale_neighbours: portable::rescale_neighbours,
        clamp_narrow: portable::clamp_narrow,
        min_narrow: portable::min_narrow,
        max_narrow: portable::max_narrow,
        compare_narrow: portable::compare_narrow,
        select_narrow: portable::select_narrow,
        table: portable::table,
        roots: portable::roots,
        exponentials: portable::exponentials,
        shares: portable::shares,
        sums: portable::sums,
        normalise: portable::normalise,
        min: portable::min,
        max: portable::max,
        compare: portable::compare,
        select: portable::select,
    },
    folds: Folds {
        largest_down: folds::largest_down,
        totals_down: folds::totals_down,
        largest_along: folds::largest_along,
        totals_along: folds::totals_along,
        largest_of: folds::largest_of,
        total_of: folds::total_of,
    },
};

/// Two elements in a word, the first in its low half.
fn word(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

/// The four elements of two words.
fn quad(words: &[i32]) -> [i32; QUAD] {
    let half = |word: i32, high: bool| i32::from(if high { word >> 16 } else { word } as i16);
    [
        half(words[0], false),
        half(words[0], true),
        half(words[1], false),
        half(words[1], true),
    ]
}

/// A quad of a row: its elements in order.
fn pack_rows(x: &[i16], stride: usize, rows: usize, k: usize, _: Width, words: &mut [i32]) {
    let row_words = k.div_ceil(QUAD) * QUAD_WORDS;
    for (r, words) in words.chunks_exact_mut(row_words).take(rows).enumerate() {
        let row = &x[r * stride..r * stride + k];
        let at = |i: usize| row.get(i).copied().unwrap_or(0);
        for (i, w) in words.iter_mut().enumerate() {
            *w = word(at(2 * i), at(2 * i + 1));
        }
    }
}

fn columns(words: &[i32], rows: usize, quads: usize, _: Width, panels: PanelsOf8<'_>, out: &mut [i32]) {
    for (p, out) in out.chunks_exact_mut(rows * WIDE).enumerate() {
        let panel = &panels.data[p * panels.stride..][..quads * QUAD * WIDE];
        for (row, out) in words.chunks_exact(quads * QUAD_WORDS).zip(out.chunks_exact_mut(WIDE)) {
            let mut sums = [0i32; WIDE];
            for (x, w) in row.chunks_exact(QUAD_WORDS).zip(panel.chunks_exact(QUAD * WIDE)) {
                let x = quad(x);
                for (sum, w) in sums.iter_mut().zip(w.chunks_exact(QUAD)) {
                    *sum = sum.wrapping_add(product(x, w));
                }
            }
            out.copy_from_slice(&sums);
        }
    }
}

/// Below 2^25.
fn product(x: [i32; QUAD], w: &[i8]) -> i32 {
    x.iter()
        .zip(w)
        .fold(0i32, |sum, (x, w)| sum.wrapping_add(x.wrapping_mul(i32::from(*w))))
}

/// A quad: 16 times its four elements.
fn pack_pixels(source: &[i16], start: usize, offsets: &[i32], _: Width, from: usize, words: &mut [i32]) {
    let words = words.chunks_exact_mut(WIDE * QUAD_WORDS).skip(from);
    for (quad, words) in offsets.chunks(QUAD).zip(words) {
        let lines: [Option<&[i16]>; QUAD] = core::array::from_fn(|i| {
            let offset = quad.get(i)?;
            Some(&source[start + *offset as usize..][..WIDE])
        });
        for (c, words) in words.chunks_exact_mut(QUAD_WORDS).enumerate() {
            let x = lines.map(|line| line.map_or(0, |line| line[c]));
            words.copy_from_slice(&[word(x[0], x[1]), word(x[2], x[3])]);
        }
    }
}

fn rows(weights: RowsOf8<'_>, pixels: &[i32], stride: usize, quads: usize, _: Width, out: &mut [i32]) {
    let rows = weights.sums.len();
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        let pixels = &pixels[p * stride..][..quads * WIDE * QUAD_WORDS];
        for (r, sums) in out.chunks_exact_mut(WIDE).enumerate() {
            let row = &weights.data[r * weights.stride..][..quads * QUAD];
            sums.fill(0);
            for (w, x) in row.chunks_exact(QUAD).zip(pixels.chunks_exact(WIDE * QUAD_WORDS)) {
                for (sum, x) in sums.iter_mut().zip(x.chunks_exact(QUAD_WORDS)) {
                    *sum = sum.wrapping_add(product(quad(x), w));
                }
            }
        }
    }
}

fn tile(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], stride: usize, out: &mut [i32]) {
    for (p, out) in out.chunks_exact_mut((rows * WIDE).max(1)).enumerate() {
        panel(a, lda, rows, k, &b[p * stride..], out);
    }
}

fn panel(a: &[i16], lda: usize, rows: usize, k: usize, b: &[i16], out: &mut [i32]) {
    for (r, out) in out.chunks_exact_mut(WIDE).take(rows).enumerate() {
        let row = &a[r * lda..r * lda + k];
        let mut sums = [0i32; WIDE];
        let pairs = row.chunks_exact(2);
        let odd = pairs.remainder().first().copied();
        let mut panel = b.chunks_exact(2 * WIDE);
        for (pair, b) in pairs.zip(&mut panel) {
            let (x, y) = (i32::from(pair[0]), i32::from(pair[1]));
            for c in 0..WIDE {
                let products = x
                    .wrapping_mul(b[2 * c].into())
                    .wrapping_add(y.wrapping_mul(b[2 * c + 1].into()));
                sums[c] = sums[c].wrapping_add(products);
            }
        }
        if let (Some(x), Some(b)) = (odd, panel.next()) {
            for c in 0..WIDE {
                sums[c] = sums[c].wrapping_add(i32::from(x).wrapping_mul(b[2 * c].into()));
            }
        }
        out.copy_from_slice(&sums);
    }
}

fn blocks(a: &[i16], lda: usize, rows: usize, k: usize, block: usize, b: &[i16], out: &mut [i64]) {
    for (r, out) in out.chunks_exact_mut(WIDE).take(rows).enumerate() {
        out.fill(0);
        let mut part = [0i32; WIDE];
        for from in (0..k).step_by(block) {
            let row = &a[r * lda + from..];
            panel(row, lda, 1, block.min(k - from), &b[from * WIDE..], &mut part);
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
