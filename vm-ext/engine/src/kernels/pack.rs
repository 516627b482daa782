//! Weights laid out for the kernels: once, when a model is loaded.

use alloc::vec::Vec;

use super::{PanelsOf8, RowsOf8, LINE, QUAD, WIDE};
use crate::graph::Array;
use crate::infer::Sums;

/// How N columns are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Columns.
    pub columns: usize,
    /// Panels of 16; the last may be padded.
    pub panels: usize,
    /// Single columns (0 to 3), too few for a panel.
    pub single: usize,
}

impl Split {
    pub fn new(columns: usize) -> Self {
        let (full, rest) = (columns / WIDE, columns % WIDE);
        let (panels, single) = if rest < 4 { (full, rest) } else { (full + 1, 0) };
        Split {
            columns,
            panels,
            single,
        }
    }

    /// Columns that are in panels.
    pub fn in_panels(&self) -> usize {
        self.columns - self.single
    }
}

/// Columns of a matrix `[N, K]` in panels of 16, k in groups, then up to three single columns.
#[derive(Clone, Debug)]
pub(crate) struct Panels<B> {
    pub split: Split,
    k: usize,
    group: usize,
    data: Vec<B>,
    /// Where the first panel begins: on a cache line (as long as the data stay where they are; results do not depend on it).
    start: usize,
    single: Vec<B>,
}

impl<B: Copy + Default> Panels<B> {
    fn new(weights: &[B], k: usize, group: usize) -> Self {
        let split = Split::new(weights.len() / k);
        let groups = k.div_ceil(group);
        let line = size_of::<[i32; LINE]>();
        let mut data = alloc::vec![B::default(); group * groups * WIDE * split.panels + line];
        let start = data.as_ptr().align_offset(line).min(line);
        let (in_panels, single) = weights.split_at(split.in_panels() * k);
        let panels = data[start..].chunks_exact_mut(groups * WIDE * group);
        for (panel, columns) in panels.zip(in_panels.chunks(WIDE * k)) {
            for (column, weights) in columns.chunks_exact(k).enumerate() {
                if k <= group {
                    for (place, w) in panel[column * group..].iter_mut().zip(weights) {
                        *place = *w;
                    }
                    continue;
                }
                let rows = panel.chunks_exact_mut(WIDE * group);
                for (weights, row) in weights.chunks(group).zip(rows) {
                    row[column * group..][..weights.len()].copy_from_slice(weights);
                }
            }
        }
        Panels {
            split,
            k,
            group,
            data,
            start,
            single: single.to_vec(),
        }
    }

    /// Elements of a panel.
    fn length(&self) -> usize {
        self.k.next_multiple_of(self.group) * WIDE
    }

    /// Panel p: `[k / group][16][group]`, what is beyond k being 0.
    pub fn panel(&self, p: usize) -> &[B] {
        let length = self.length();
        &self.data[self.start + p * length..][..length]
    }

    /// The panels from `first` on, and the elements from one to the next.
    pub fn panels(&self, first: usize) -> (&[B], usize) {
        let length = self.length();
        (&self.data[self.start + first * length..], length)
    }

    /// Single column i.
    pub fn single(&self, i: usize) -> &[B] {
        &self.single[i * self.k..(i + 1) * self.k]
    }

    /// How many k stand together.
    pub fn group(&self) -> usize {
        self.group
    }

    fn elements(&self) -> usize {
        self.data.len() + self.single.len()
    }
}

/// Panels of 8-bit weights and the sums of their columns, over each block of k.
#[derive(Clone, Debug)]
pub(crate) struct BytePanels {
    pub panels: Panels<i8>,
    /// k of a block, a multiple of 4, or all.
    pub block: usize,
    sums: Vec<i32>,
}

impl BytePanels {
    pub fn new(weights: &[i8], k: usize, sums: Sums) -> Self {
        let panels = Panels::new(weights, k, QUAD);
        let block = block_of(sums, k);
        let columns = weights.chunks_exact(k).take(panels.split.in_panels());
        let padded = panels.split.panels * WIDE;
        let sums = block_sums(columns, k, block, padded);
        BytePanels { panels, block, sums }
    }

    /// The panels from `first` on, over the block of k that starts at `from`.
    pub fn of(&self, first: usize, from: usize) -> PanelsOf8<'_> {
        let stride = self.panels.length();
        let start = from / self.block * self.panels.split.panels * WIDE;
        PanelsOf8 {
            data: &self.panels.data[self.panels.start + first * stride + from * WIDE..],
            stride,
            sums: &self.sums[start + first * WIDE..],
        }
    }
}

/// Rows of 8-bit weights `[O, taps]`, padded to whole quads, and their sums over each block of taps.
#[derive(Clone, Debug)]
pub(crate) struct ByteRows {
    data: Vec<i8>,
    /// Elements of a row.
    pub stride: usize,
    /// Taps of a block, a multiple of 4, or all.
    pub block: usize,
    channels: usize,
    sums: Vec<i32>,
}

impl ByteRows {
    fn new(weights: &[i8], taps: usize, sums: Sums) -> Self {
        let (channels, stride) = (weights.len() / taps, taps.next_multiple_of(QUAD));
        let mut data = alloc::vec![0; channels * stride];
        for (row, weights) in data.chunks_exact_mut(stride).zip(weights.chunks_exact(taps)) {
            row[..taps].copy_from_slice(weights);
        }
        let block = block_of(sums, taps);
        let sums = block_sums(weights.chunks_exact(taps), taps, block, channels);
        ByteRows {
            data,
            stride,
            block,
            channels,
            sums,
        }
    }

    /// `count` rows from `first` on, over the block that starts at tap `from`.
    pub fn of(&self, first: usize, count: usize, from: usize) -> RowsOf8<'_> {
        let start = from / self.block * self.channels + first;
        RowsOf8 {
            data: &self.data[first * self.stride + from..],
            stride: self.stride,
            sums: &self.sums[start..start + count],
        }
    }

    /// Row i.
    pub fn row(&self, i: usize) -> &[i8] {
        &self.data[i * self.stride..(i + 1) * self.stride]
    }
}

/// k of a block. With 8-bit weights a block that fits 32 bits has at least 256, or holds all.
fn block_of(sums: Sums, k: usize) -> usize {
    match sums {
        Sums::Blocks(block) => (block as usize).min(k.next_multiple_of(QUAD)),
        Sums::I32 | Sums::I64 => k.next_multiple_of(QUAD),
    }
}

/// `[block][row]`, rows padded with zeros to `padded` of them.
fn block_sums<'a>(rows: impl Iterator<Item = &'a [i8]>, k: usize, block: usize, padded: usize) -> Vec<i32> {
    let mut sums = alloc::vec![0; k.div_ceil(block) * padded];
    for (i, row) in rows.enumerate() {
        for (b, part) in row.chunks(block).enumerate() {
            // At most 2^31 terms of at most 2^7 could pass 32 bits; then the kernels' sums wrap by as much.
            sums[b * padded + i] = part.iter().fold(0i32, |sum, w| sum.wrapping_add(i32::from(*w)));
        }
    }
    sums
}

/// 8-bit weights too few to fill a quad, and to pay for a sum beside it, are held as 16-bit ones.
fn widened(weights: &[i8]) -> Vec<i16> {
    weights.iter().map(|w| i16::from(*w)).collect()
}

/// Weights of a MatMul.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    I8(BytePanels),
    I16(Panels<i16>),
}

impl Columns {
    /// Of I8 or I16 weights.
    pub fn new(weights: &Array, k: usize, sums: Sums) -> Self {
        match weights {
            Array::I8(w) if k < QUAD => Columns::I16(Panels::new(&widened(w), k, 2)),
            Array::I8(w) => Columns::I8(BytePanels::new(w, k, sums)),
            Array::I16(w) => Columns::I16(Panels::new(w, k, 2)),
            // Inference takes no other types; an empty matrix computes nothing.
            _ => Columns::I16(Panels::new(&[], k, 2)),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Columns::I8(p) => p.panels.elements() + 4 * p.sums.len(),
            Columns::I16(p) => p.elements() * 2,
        }
    }
}

/// Weights of a Conv2d.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    I8(ByteRows),
    /// As they are.
    I16(Vec<i16>),
}

impl Rows {
    /// Of I8 or I16 weights.
    pub fn new(weights: Array, taps: usize, sums: Sums) -> Self {
        match weights {
            Array::I8(w) if taps < QUAD => Rows::I16(widened(&w)),
            Array::I8(w) => Rows::I8(ByteRows::new(&w, taps, sums)),
            Array::I16(w) => Rows::I16(w),
            // Inference takes no other types.
            _ => Rows::I16(Vec::new()),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Rows::I8(rows) => rows.data.len() + 4 * rows.sums.len(),
            Rows::I16(rows) => 2 * rows.len(),
        }
    }
}
