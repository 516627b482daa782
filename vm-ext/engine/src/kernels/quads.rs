//! Products with 8-bit weights on machines that multiply pairs of 16 bits: four k of a column are two neighbouring lanes of a
//! vector, which are added once at the end. Written once, for vectors of any width.

/// `tile::<R, V>`: R rows (words or weights, broadcast) against V vectors of columns (weights or pixels).
macro_rules! quad_tile {
    ($name:ident, $features:literal, $lanes:literal, $zero:expr, $step:expr, $store:expr,
     $a:ty, $load_a:expr, $b:ty, $load_b:expr) => {
        /// # Safety
        /// The features; `a` is readable for `quads` quads at each of R rows `stride` apart, `b` for each quad's V vectors, quads
        /// being 16 columns apart; `out` is writable for V vectors of results at each of R rows of 16.
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const V: usize>(
            quads: usize,
            a: *const $a,
            stride: usize,
            b: *const $b,
            out: *mut i32,
        ) -> usize {
            // Elements of a quad of one row, and of a quad of one column.
            const A: usize = if size_of::<$a>() == 1 { QUAD } else { QUAD_WORDS };
            const B: usize = if size_of::<$b>() == 1 { QUAD } else { QUAD_WORDS };
            let mut sums = [[$zero; V]; R];
            let (mut a, mut b) = (a, b);
            for _ in 0..quads {
                let mut columns = [$zero; V];
                for (v, columns) in columns.iter_mut().enumerate() {
                    *columns = $load_b(b.add(v * $lanes * B));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = $load_a(a.add(r.wrapping_mul(stride)));
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = $step(*sum, x, columns);
                    }
                }
                (a, b) = (a.add(A), b.add(WIDE * B));
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, pair) in sums.chunks_exact(2).enumerate() {
                    $store(pair[0], pair[1], out.add(r * WIDE + v * 2 * $lanes));
                }
            }
            R
        }
    };
}
pub(super) use quad_tile;

/// The tiles for one kind of machine. `$store` adds neighbouring lanes of two vectors and stores the results.
macro_rules! quad_products {
    ($features:literal, lanes $lanes:literal, rows $many:literal, $zero:expr,
     weights $weights:expr, pixels $pixels:expr, activation $activation:expr, weight $weight:expr,
     step $step:expr, store $store:expr $(,)?) => {
        mod quads {
            use super::super::quads::quad_tile;
            use super::super::{PanelsOf8, RowsOf8, Width, QUAD, QUAD_WORDS, WIDE};
            use super::*;

            quad_tile!(
                column_tile,
                $features,
                $lanes,
                $zero,
                $step,
                $store,
                i32,
                $activation,
                i8,
                $weights
            );
            quad_tile!(row_tile, $features, $lanes, $zero, $step, $store, i8, $weight, i32, $pixels);
            quad_tile!(
                widened_tile,
                $features,
                $lanes,
                $zero,
                $step,
                $store,
                i32,
                $activation,
                i32,
                $pixels
            );

            /// All vectors of a panel.
            const ALL: usize = WIDE / $lanes;

            pub fn columns(words: &[i32], rows: usize, quads: usize, _: Width, panels: PanelsOf8<'_>, out: &mut [i32]) {
                assert!(words.len() >= rows * quads * QUAD_WORDS);
                for (p, out) in out.chunks_exact_mut(rows * WIDE).enumerate() {
                    let panel = &panels.data[p * panels.stride..][..quads * QUAD * WIDE];
                    let (a, stride, b) = (words.as_ptr(), quads * QUAD_WORDS, panel.as_ptr());
                    // SAFETY: the machine has the features; words and panel have been measured, and so has out: rows times 16.
                    unsafe {
                        let tiles = Tiles {
                            quads,
                            a,
                            stride,
                            b,
                            column: QUAD,
                            out: out.as_mut_ptr(),
                        };
                        tiles.run(
                            rows,
                            column_tile::<$many, 2>,
                            column_tile::<2, 2>,
                            column_tile::<1, ALL>,
                        );
                    }
                }
            }

            /// Quads of a row that are widened at once.
            const QUADS: usize = 128;

            /// Weights become 16 bits for a few rows and all pixels at once: in the tile they would again for every vector of pixels.
            pub fn rows(weights: RowsOf8<'_>, pixels: &[i32], stride: usize, quads: usize, _: Width, out: &mut [i32]) {
                let rows = weights.sums.len();
                let panels = out.len() / (rows * WIDE).max(1);
                if panels == 1 {
                    return single(weights, pixels, quads, out);
                }
                let mut widened = [0i16; $many * QUADS * QUAD];
                for first in (0..rows).step_by($many) {
                    let count = (rows - first).min($many);
                    for from in (0..quads).step_by(QUADS) {
                        let some = (quads - from).min(QUADS);
                        for (r, words) in widened.chunks_exact_mut(some * QUAD).take(count).enumerate() {
                            let row = &weights.data[(first + r) * weights.stride + from * QUAD..][..some * QUAD];
                            // SAFETY: the machine has the features.
                            unsafe { widen(row, words) };
                        }
                        for p in 0..panels {
                            let pixels = &pixels[p * stride + from * QUAD_WORDS * WIDE..][..some * QUAD_WORDS * WIDE];
                            let out = &mut out[(p * rows + first) * WIDE..][..count * WIDE];
                            let mut part = [0i32; $many * WIDE];
                            let sums = if from == 0 {
                                &mut *out
                            } else {
                                &mut part[..count * WIDE]
                            };
                            // SAFETY: as above; pixels have been measured, words are of as many quads, and sums 16 for each row.
                            unsafe {
                                let tiles = Tiles {
                                    quads: some,
                                    a: widened.as_ptr().cast::<i32>(),
                                    stride: some * QUAD_WORDS,
                                    b: pixels.as_ptr(),
                                    column: QUAD_WORDS,
                                    out: sums.as_mut_ptr(),
                                };
                                tiles.run(
                                    count,
                                    widened_tile::<$many, 2>,
                                    widened_tile::<2, 2>,
                                    widened_tile::<1, ALL>,
                                );
                            }
                            if from > 0 {
                                for (sum, part) in out.iter_mut().zip(part) {
                                    *sum = sum.wrapping_add(part);
                                }
                            }
                        }
                    }
                }
            }

            /// Against 16 pixels alone, widened in the tile.
            fn single(weights: RowsOf8<'_>, pixels: &[i32], quads: usize, out: &mut [i32]) {
                let rows = weights.sums.len();
                assert!(rows == 0 || weights.data.len() >= (rows - 1) * weights.stride + quads * QUAD);
                assert!(out.len() >= rows * WIDE);
                let pixels = &pixels[..quads * QUAD_WORDS * WIDE];
                // SAFETY: the machine has the features; weights, pixels and out have been measured.
                unsafe {
                    let tiles = Tiles {
                        quads,
                        a: weights.data.as_ptr(),
                        stride: weights.stride,
                        b: pixels.as_ptr(),
                        column: QUAD_WORDS,
                        out: out.as_mut_ptr(),
                    };
                    tiles.run(rows, row_tile::<$many, 2>, row_tile::<2, 2>, row_tile::<1, ALL>);
                }
            }

            #[target_feature(enable = $features)]
            fn widen(row: &[i8], words: &mut [i16]) {
                for (word, w) in words.iter_mut().zip(row) {
                    *word = i16::from(*w);
                }
            }

            type Tile<A, B> = unsafe fn(usize, *const A, usize, *const B, *mut i32) -> usize;

            /// Rows of 16 columns.
            struct Tiles<A, B> {
                quads: usize,
                a: *const A,
                stride: usize,
                b: *const B,
                /// Elements of b that a quad of one column takes.
                column: usize,
                out: *mut i32,
            }

            impl<A, B> Tiles<A, B> {
                /// # Safety
                /// What the tiles ask for, for `rows` rows and 16 columns.
                unsafe fn run(&self, rows: usize, many: Tile<A, B>, two: Tile<A, B>, one: Tile<A, B>) {
                    let mut r = 0;
                    while r < rows {
                        let (a, out) = (self.a.add(r * self.stride), self.out.add(r * WIDE));
                        let tile = match rows - r {
                            $many.. => many,
                            2.. => two,
                            _ => {
                                one(self.quads, a, self.stride, self.b, out);
                                return;
                            }
                        };
                        let mut done = 0;
                        for first in (0..WIDE).step_by(2 * $lanes) {
                            done = tile(
                                self.quads,
                                a,
                                self.stride,
                                self.b.add(first * self.column),
                                out.add(first),
                            );
                        }
                        r += done;
                    }
                }
            }
        }
    };
}
pub(super) use quad_products;
