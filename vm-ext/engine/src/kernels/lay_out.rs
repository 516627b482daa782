//! Computed matrices laid out for the kernels, in scratch space: the panels of [`super::pack`], made anew in every run.

use super::pack::Split;
use super::WIDE;

/// A matrix of n columns of k elements in panels.
#[derive(Clone, Copy)]
pub(crate) struct LaidOut<'a> {
    pub split: Split,
    k: usize,
    data: &'a [i16],
}

/// Elements that a matrix takes, saturated.
pub(crate) fn elements(n: u64, k: u64) -> u64 {
    let split = Split::new(n as usize);
    let tiled = (WIDE * split.panels) as u64;
    let even = k.next_multiple_of(2);
    even.saturating_mul(tiled)
        .saturating_add(k.saturating_mul(split.single as u64))
}

impl<'a> LaidOut<'a> {
    /// Lays out n columns of k elements in `data`, which has [`elements`]. Element k of column c is `b[c * k + at]`
    /// where transposed, else `b[at * n + c]`.
    pub fn new(n: usize, k: usize, transposed: bool, b: &[i16], data: &'a mut [i16]) -> Self {
        let split = Split::new(n);
        let even = k.next_multiple_of(2);
        let (tiled, single) = data.split_at_mut(even * WIDE * split.panels);
        for (p, panel) in tiled.chunks_mut(even * WIDE).enumerate() {
            let first = p * WIDE;
            let count = WIDE.min(n - first);
            if count < WIDE || k < even {
                panel.fill(0);
            }
            if transposed {
                for (c, column) in b[first * k..(first + count) * k].chunks_exact(k).enumerate() {
                    let pairs = panel.chunks_exact_mut(2 * WIDE).zip(column.chunks(2));
                    for (place, pair) in pairs {
                        place[2 * c..][..pair.len()].copy_from_slice(pair);
                    }
                }
            } else {
                for (place, rows) in panel.chunks_exact_mut(2 * WIDE).zip(b.chunks(2 * n)) {
                    for (half, row) in rows.chunks_exact(n).enumerate() {
                        for (b, place) in row[first..first + count]
                            .iter()
                            .zip(place[half..].iter_mut().step_by(2))
                        {
                            *place = *b;
                        }
                    }
                }
            }
        }
        for (i, column) in single.chunks_exact_mut(k).enumerate() {
            let c = n - split.single + i;
            if transposed {
                column.copy_from_slice(&b[c * k..(c + 1) * k]);
            } else {
                for (place, b) in column.iter_mut().zip(b[c..].iter().step_by(n)) {
                    *place = *b;
                }
            }
        }
        LaidOut { split, k, data }
    }

    /// The panels from `first` on, and the elements from one to the next.
    pub fn panels(&self, first: usize) -> (&'a [i16], usize) {
        let length = self.k.next_multiple_of(2) * WIDE;
        (&self.data[first * length..self.split.panels * length], length)
    }

    /// Single column i.
    pub fn single(&self, i: usize) -> &'a [i16] {
        let start = self.data.len() - (self.split.single - i) * self.k;
        &self.data[start..start + self.k]
    }
}
