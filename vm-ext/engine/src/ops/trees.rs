//! Decision trees.

use alloc::vec::Vec;

use crate::graph::{Rescale, Trees};
use crate::infer::pick;
use crate::kernels::rescale;
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// A node as it is walked.
#[derive(Clone, Copy, Debug)]
struct Node {
    feature: u32,
    threshold: i32,
    /// Where to go if `x <= threshold`, and otherwise: a node, or -1 - leaf.
    children: [i32; 2],
}

/// An ensemble ready to run. The loader has checked that it is a forest within its arrays.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    roots: Vec<i32>,
    nodes: Vec<Node>,
    leaf_starts: Vec<i32>,
    targets: Vec<i32>,
    weights: Vec<i32>,
    base: Vec<i64>,
    rescale: Rescale,
}

/// Bytes of a node as it is walked, by which forests are priced.
pub(crate) const NODE_BYTES: u64 = 16;
const _: () = assert!(size_of::<Node>() == NODE_BYTES as usize);

/// Scratch space: a row of features, the targets' sums and results.
pub(crate) fn scratch(features: usize, targets: usize) -> Room {
    Room {
        i32: features as u64 + targets as u64,
        i64: targets as u64,
        ..Room::default()
    }
}

impl Forest {
    pub fn new(trees: Trees, rescale: Rescale) -> Self {
        let nodes = (0..trees.features.len())
            .map(|i| Node {
                feature: trees.features[i] as u32,
                threshold: trees.thresholds[i],
                children: [trees.left[i], trees.right[i]],
            })
            .collect();
        let Trees {
            roots,
            leaf_starts,
            targets,
            weights,
            base,
            ..
        } = trees;
        Forest {
            roots,
            nodes,
            leaf_starts,
            targets,
            weights,
            base,
            rescale,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let words = self.roots.len() + 4 * self.nodes.len() + self.leaf_starts.len() + 2 * self.targets.len();
        4 * words + 8 * self.base.len() + 5 * self.rescale.multipliers.len()
    }

    pub fn run(&self, x: View<'_>, features: usize, out: &mut ViewMut<'_>, scratch: &mut Scratch<'_>) {
        let targets = self.base.len();
        let (row, result) = scratch.i32[..features + targets].split_at_mut(features);
        let sums = &mut scratch.i64[..targets];
        for (r, start) in (0..x.len()).step_by(features).enumerate() {
            x.load(start, row);
            sums.copy_from_slice(&self.base);
            for root in &self.roots {
                let mut child = *root;
                // Children come after their parents, so this ends.
                while child >= 0 {
                    let node = &self.nodes[child as usize];
                    child = node.children[usize::from(row[node.feature as usize] > node.threshold)];
                }
                let leaf = (-1 - child) as usize;
                let entries = self.leaf_starts[leaf] as usize..self.leaf_starts[leaf + 1] as usize;
                for (target, weight) in self.targets[entries.clone()].iter().zip(&self.weights[entries]) {
                    // Below 2^46 (the certificate).
                    let sum = &mut sums[*target as usize];
                    *sum = sum.wrapping_add(i64::from(*weight));
                }
            }
            let s = &self.rescale;
            for (target, (y, sum)) in result.iter_mut().zip(sums.iter()).enumerate() {
                let multiplier = pick(&s.multipliers, target).unwrap_or(0);
                let shift = pick(&s.shifts, target).unwrap_or(0);
                *y = rescale(*sum, multiplier, shift, s.low, s.high);
            }
            out.store(r * targets, result);
        }
    }
}
