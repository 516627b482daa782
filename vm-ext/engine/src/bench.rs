//! For benches alone: products without what a model does around them.

use alloc::{vec, vec::Vec};

use crate::infer::Sums;
use crate::kernels::pack::BytePanels;
use crate::kernels::{Kernels, Width, QUAD, QUAD_WORDS, WIDE};
use crate::ops::matmul::{ROW_BLOCK, SUMS};

/// A product `[rows, k] x [n, k]` with 8-bit weights, whose sums fit 32 bits and n a multiple of 16.
#[derive(Debug)]
pub struct Products {
    weights: BytePanels,
    k: usize,
    width: Width,
    words: Vec<i32>,
    sums: Vec<i32>,
}

impl Products {
    /// Activations lie within `low..=high`.
    pub fn new(rows: usize, k: usize, weights: &[i8], low: i32, high: i32) -> Self {
        Products {
            weights: BytePanels::new(weights, k, Sums::I32),
            k,
            width: Width::of(low, high),
            words: vec![0; ROW_BLOCK * k.div_ceil(QUAD) * QUAD_WORDS],
            sums: vec![0; rows * weights.len() / k],
        }
    }

    /// All sums, in blocks of 48 rows, and in each in the order of panels of 16 columns. Laying out the activations is part of it.
    pub fn run(&mut self, x: &[i16], kernels: &Kernels) -> &[i32] {
        let (k, panels) = (self.k, self.weights.panels.split.panels);
        let blocks = self.sums.chunks_mut(ROW_BLOCK * panels * WIDE);
        for (x, sums) in x.chunks(ROW_BLOCK * k).zip(blocks) {
            let rows = x.len() / k;
            (kernels.bytes.pack_rows)(x, k, rows, k, self.width, &mut self.words);
            let at_once = SUMS / (rows * WIDE);
            for (i, sums) in sums.chunks_mut(at_once * rows * WIDE).enumerate() {
                let weights = self.weights.of(i * at_once, 0);
                (kernels.bytes.columns)(&self.words, rows, k.div_ceil(QUAD), self.width, weights, sums);
            }
        }
        &self.sums
    }
}
