//! Computed matrices laid out for the kernels, in scratch space: the panels of [`super::pack`], made anew in every run.

use super::pack::Split;
use super::{NARROW, WIDE};

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
    let tiled = (WIDE * split.wide + NARROW * split.narrow) as u64;
    let even = k.next_multiple_of(2);
    even.saturating_mul(tiled)
        .saturating_add(k.saturating_mul(split.single as u64))
}

impl<'a> LaidOut<'a> {
    /// Lays out n columns of k elements each, `element(column, at)`, in `data`, which has [`elements`].
    pub fn new(n: usize, k: usize, data: &'a mut [i16], element: impl Fn(usize, usize) -> i16) -> Self {
        let split = Split::new(n);
        let even = k.next_multiple_of(2);
        let (tiled, single) = data.split_at_mut(even * (WIDE * split.wide + NARROW * split.narrow));
        for (p, panel) in tiled.chunks_mut(even * WIDE).enumerate() {
            let (first, width) = (p * WIDE, if p < split.wide { WIDE } else { NARROW });
            let count = width.min(n - first);
            for (pair, block) in panel.chunks_exact_mut(2 * width).enumerate() {
                let (used, padding) = block.split_at_mut(2 * count);
                for (i, b) in used.chunks_exact_mut(2).enumerate() {
                    b[0] = element(first + i, 2 * pair);
                    b[1] = if 2 * pair + 1 < k {
                        element(first + i, 2 * pair + 1)
                    } else {
                        0
                    };
                }
                padding.fill(0);
            }
        }
        for (i, row) in single.chunks_exact_mut(k).enumerate() {
            for (at, b) in row.iter_mut().enumerate() {
                *b = element(n - split.single + i, at);
            }
        }
        LaidOut { split, k, data }
    }

    /// Panel p: the wide ones, then the narrow one.
    pub fn panel(&self, p: usize) -> &'a [i16] {
        let even = self.k.next_multiple_of(2);
        let width = if p < self.split.wide { WIDE } else { NARROW };
        &self.data[p * even * WIDE..][..even * width]
    }

    /// Single column i.
    pub fn single(&self, i: usize) -> &'a [i16] {
        let start = self.data.len() - (self.split.single - i) * self.k;
        &self.data[start..start + self.k]
    }
}
