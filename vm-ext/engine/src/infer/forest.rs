//! Decision trees: that they are trees, what they can add up to, and how much work they are.

use alloc::vec::Vec;

use crate::error::{NodeProblem, TreeProblem};
use crate::graph::Trees;

/// Bounds of a target's sum.
#[derive(Clone, Copy)]
pub(super) struct TargetBound {
    pub(super) low: i128,
    pub(super) high: i128,
    /// Of every partial sum, in any order.
    pub(super) magnitude: i128,
}

/// Checks that the trees are trees and bounds every target's sum: per tree, the least and largest that one leaf adds.
pub(super) fn forest_bounds(trees: &Trees, features: u32) -> Result<Vec<TargetBound>, NodeProblem> {
    let nodes = trees.features.len();
    for (what, list) in [
        ("thresholds", &trees.thresholds),
        ("left children", &trees.left),
        ("right children", &trees.right),
    ] {
        if list.len() != nodes {
            return Err(NodeProblem::Length {
                what,
                found: list.len() as u64,
                want: nodes as u64,
            });
        }
    }
    if trees.targets.len() != trees.weights.len() {
        let (found, want) = (trees.weights.len() as u64, trees.targets.len() as u64);
        return Err(NodeProblem::Length {
            what: "the entries' weights",
            found,
            want,
        });
    }
    if trees.base.is_empty() {
        return Err(NodeProblem::Length {
            what: "the targets",
            found: 0,
            want: 1,
        });
    }
    let bad = |index: usize, problem| NodeProblem::Tree {
        index: index as u64,
        problem,
    };
    if let Some(i) = trees.features.iter().position(|f| *f < 0 || *f as u32 >= features) {
        return Err(bad(i, TreeProblem::Feature));
    }
    let leaves = check_leaves(trees)?;

    // Every node and leaf is reached once; children come later than parents, so this is a forest.
    let mut node_seen = alloc::vec![false; nodes];
    let mut leaf_seen = alloc::vec![false; leaves];
    let mut reach = |from: usize, child: i32, least: usize| {
        let seen = if child < 0 {
            leaf_seen.get_mut((-1 - i64::from(child)) as usize)
        } else {
            node_seen.get_mut(child as usize).filter(|_| child as usize >= least)
        };
        match seen {
            None => Err(bad(from, TreeProblem::Child)),
            Some(true) => Err(bad(from, TreeProblem::Parents)),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
        }
    };
    for (i, root) in trees.roots.iter().enumerate() {
        reach(i, *root, 0)?;
    }
    for i in 0..nodes {
        reach(i, trees.left[i], i + 1)?;
        reach(i, trees.right[i], i + 1)?;
    }
    if let Some(i) = node_seen.iter().chain(&leaf_seen).position(|seen| !seen) {
        return Err(bad(i, TreeProblem::Parents));
    }

    let mut bounds: Vec<TargetBound> = trees
        .base
        .iter()
        .map(|b| TargetBound {
            low: (*b).into(),
            high: (*b).into(),
            magnitude: i128::from(*b).abs(),
        })
        .collect();
    // Per target, within the tree at hand: how many leaves add to it, the least and the largest.
    let mut local = alloc::vec![(0usize, 0i32, 0i32); bounds.len()];
    let mut touched: Vec<usize> = Vec::new();
    let mut stack: Vec<i32> = Vec::new();
    for root in &trees.roots {
        let mut leaves_here = 0;
        stack.push(*root);
        while let Some(child) = stack.pop() {
            if child >= 0 {
                stack.push(trees.left[child as usize]);
                stack.push(trees.right[child as usize]);
                continue;
            }
            leaves_here += 1;
            let leaf = (-1 - child) as usize;
            for entry in trees.leaf_starts[leaf] as usize..trees.leaf_starts[leaf + 1] as usize {
                let (target, weight) = (trees.targets[entry] as usize, trees.weights[entry]);
                let (count, low, high) = &mut local[target];
                if *count == 0 {
                    touched.push(target);
                    (*low, *high) = (weight, weight);
                }
                *count += 1;
                *low = weight.min(*low);
                *high = weight.max(*high);
            }
        }
        for target in touched.drain(..) {
            let (count, mut low, mut high) = core::mem::take(&mut local[target]);
            if count < leaves_here {
                // Some leaf adds nothing.
                low = low.min(0);
                high = high.max(0);
            }
            let bound = &mut bounds[target];
            bound.low += i128::from(low);
            bound.high += i128::from(high);
            bound.magnitude += i128::from(low).abs().max(i128::from(high).abs());
        }
    }
    Ok(bounds)
}

/// Leaf starts ascend over all entries, targets exist and ascend within a leaf. Gives the number of leaves.
fn check_leaves(trees: &Trees) -> Result<usize, NodeProblem> {
    let bad = |index: usize, problem| NodeProblem::Tree {
        index: index as u64,
        problem,
    };
    let starts = &trees.leaf_starts;
    let ends = (starts.first().copied(), starts.last().map(|s| i64::from(*s)));
    if ends != (Some(0), Some(trees.targets.len() as i64)) {
        return Err(bad(0, TreeProblem::LeafStarts));
    }
    if let Some(leaf) = starts.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(bad(leaf, TreeProblem::LeafStarts));
    }
    // Ascending from 0 to the number of targets: all of them index it.
    for (leaf, pair) in starts.windows(2).enumerate() {
        let targets = &trees.targets[pair[0] as usize..pair[1] as usize];
        let exist = targets.iter().all(|t| *t >= 0 && (*t as usize) < trees.base.len());
        if !exist || targets.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(bad(leaf, TreeProblem::Target));
        }
    }
    // A child names leaf l by -1 - l.
    let leaves = starts.len() - 1;
    Ok(leaves)
}

/// Levels walked in the worst case, summed over the trees, and likewise leaf entries added. For checked trees.
pub(crate) fn forest_work(trees: &Trees) -> (u64, u64) {
    let nodes = trees.features.len();
    let mut depth = alloc::vec![0u32; nodes];
    let mut entries = alloc::vec![0u32; nodes];
    // Children come after parents, so going backwards meets children first.
    let below = |child: i32, depth: &[u32], entries: &[u32]| {
        if child >= 0 {
            (depth[child as usize], entries[child as usize])
        } else {
            let leaf = (-1 - child) as usize;
            (0, (trees.leaf_starts[leaf + 1] - trees.leaf_starts[leaf]) as u32)
        }
    };
    for i in (0..nodes).rev() {
        let (dl, el) = below(trees.left[i], &depth, &entries);
        let (dr, er) = below(trees.right[i], &depth, &entries);
        depth[i] = dl.max(dr) + 1;
        entries[i] = el.max(er);
    }
    trees.roots.iter().fold((0, 0), |(levels, adds), root| {
        let (d, e) = below(*root, &depth, &entries);
        (levels + u64::from(d), adds + u64::from(e))
    })
}
