//! Weights laid out for the kernels: once, when a model is loaded.

use alloc::vec::Vec;

use super::{NARROW, WIDE};
use crate::graph::Array;

/// Columns of a matrix `[N, K]` in panels: first those 16 wide, then at most one 8 wide, then up to three single rows.
///
/// Padding at most doubles the columns, and K to the next even number.
#[derive(Clone, Debug)]
pub(crate) struct Panels<B> {
    pub split: Split,
    k: usize,
    data: Vec<B>,
}

/// How N columns are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Columns.
    pub columns: usize,
    /// Panels of 16; the last may be padded.
    pub wide: usize,
    /// Panels of 8 (0 or 1).
    pub narrow: usize,
    /// Single rows (0 to 3).
    pub single: usize,
}

impl Split {
    pub fn new(columns: usize) -> Self {
        let (full, rest) = (columns / WIDE, columns % WIDE);
        let (wide, narrow, single) = match rest {
            0..=3 => (full, 0, rest),
            4..=8 => (full, 1, 0),
            _ => (full + 1, 0, 0),
        };
        Split {
            columns,
            wide,
            narrow,
            single,
        }
    }
}

impl<B: Copy + Default> Panels<B> {
    fn new(weights: &[B], k: usize) -> Self {
        let split = Split::new(weights.len() / k);
        let pairs = k.div_ceil(2);
        let mut data = Vec::with_capacity(2 * pairs * (WIDE * split.wide + NARROW * split.narrow) + k * split.single);
        let element = |column: usize, at: usize| match column < split.columns && at < k {
            true => weights[column * k + at],
            false => B::default(),
        };
        let mut panel = |first: usize, width: usize| {
            for pair in 0..pairs {
                for column in first..first + width {
                    data.extend([element(column, 2 * pair), element(column, 2 * pair + 1)]);
                }
            }
        };
        for p in 0..split.wide {
            panel(p * WIDE, WIDE);
        }
        if split.narrow > 0 {
            panel(split.wide * WIDE, NARROW);
        }
        data.extend_from_slice(&weights[weights.len() - split.single * k..]);
        Panels { split, k, data }
    }

    /// Wide panel p.
    pub fn wide(&self, p: usize) -> &[B] {
        let length = self.k.next_multiple_of(2) * WIDE;
        &self.data[p * length..(p + 1) * length]
    }

    /// The narrow panel.
    pub fn narrow(&self) -> &[B] {
        let even = self.k.next_multiple_of(2);
        let start = self.split.wide * even * WIDE;
        &self.data[start..start + even * NARROW]
    }

    /// Single row i.
    pub fn single(&self, i: usize) -> &[B] {
        let start = self.data.len() - (self.split.single - i) * self.k;
        &self.data[start..start + self.k]
    }
}

/// Weights of a MatMul.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    I8(Panels<i8>),
    I16(Panels<i16>),
}

impl Columns {
    /// Of I8 or I16 weights.
    pub fn new(weights: &Array, k: usize) -> Self {
        match weights {
            Array::I8(w) => Columns::I8(Panels::new(w, k)),
            Array::I16(w) => Columns::I16(Panels::new(w, k)),
            // Inference takes no other types; an empty matrix computes nothing.
            _ => Columns::I8(Panels::new(&[], k)),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Columns::I8(p) => p.data.len(),
            Columns::I16(p) => p.data.len() * 2,
        }
    }
}

/// Weights of a Conv2d: as they are, in 16 bits.
pub(crate) fn widened(weights: Array) -> Vec<i16> {
    match weights {
        Array::I8(w) => w.into_iter().map(i16::from).collect(),
        Array::I16(w) => w,
        // Inference takes no other types.
        _ => Vec::new(),
    }
}
