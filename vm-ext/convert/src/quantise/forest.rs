//! Decision trees.

use std::collections::BTreeMap;

use aiinference_engine::graph::{Op, Rescale, Trees};

use super::linear::MULTIPLIER_BITS;
use super::plan::is_table;
use super::scale::{fraction_bits, multiplier, pow2, quantise, reach, round, WIDE_MAX};
use super::Quantiser;
use crate::error::Result;
use crate::net::Id;
use crate::trees::FloatTrees;

/// Fraction bits of sums of leaves at most.
const LEAF_BITS: i32 = 20;

impl Quantiser<'_> {
    /// Thresholds are rounded by the rule that rounds inputs; `x < t` is `q <= t' - 1`.
    pub(super) fn trees(&mut self, id: Id, x: Id, trees: &FloatTrees) -> Result<()> {
        let q = self.value(x)?;
        let target = self.target(id);
        // A table reads 16 bits; anything else may as well have 32.
        let tabled = self.plan.readers[target.id]
            .iter()
            .any(|r| is_table(&self.net.nodes[*r].kind));
        let (k, qmax) = if tabled {
            self.format(&target, f64::INFINITY)
        } else {
            let room = reach(self.seen[target.id].largest());
            (fraction_bits(room, WIDE_MAX - 1).min(LEAF_BITS), WIDE_MAX)
        };
        // Weights as fine as 30 bits and the bound of the sums allow.
        let mut largest = 0.0f64;
        let mut sums: Vec<f64> = trees.base.iter().map(|b| b.abs()).collect();
        for leaf in &trees.leaves {
            for (target, weight) in leaf {
                largest = largest.max(weight.abs());
                sums[*target] += weight.abs();
            }
        }
        let bound = sums.iter().copied().fold(0.0, f64::max);
        let mut bits = 40;
        while bits > k && (largest * pow2(bits) >= pow2(30) || bound * pow2(bits) >= pow2(45)) {
            bits -= 1;
        }
        if largest * pow2(bits) >= pow2(31) {
            return self.range_error(
                id,
                format!("a leaf adds {largest}, the sums are about {}", self.seen[id].largest()),
            );
        }
        let scale = pow2(bits);
        let mut leaf_starts = vec![0];
        let mut targets = Vec::new();
        let mut weights = Vec::new();
        for leaf in &trees.leaves {
            let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
            leaf.iter()
                .for_each(|(target, weight)| *sums.entry(*target).or_default() += weight);
            for (target, weight) in sums {
                targets.push(target as i32);
                weights.push(round(weight * scale).clamp(i32::MIN.into(), i32::MAX.into()) as i32);
            }
            leaf_starts.push(targets.len() as i32);
        }
        let threshold = |b: &crate::trees::Branch| {
            let t = quantise(b.threshold, q.k);
            if b.strict {
                t.saturating_sub(1)
            } else {
                t
            }
        };
        let ensemble = Trees {
            roots: trees.roots.clone(),
            features: trees.branches.iter().map(|b| b.feature as i32).collect(),
            thresholds: trees.branches.iter().map(threshold).collect(),
            left: trees.branches.iter().map(|b| b.left).collect(),
            right: trees.branches.iter().map(|b| b.right).collect(),
            leaf_starts,
            targets,
            weights,
            base: trees.base.iter().map(|b| round(b * scale)).collect(),
        };
        let (low, high) = self.limits(&target, k, qmax);
        let Some((m, s)) = multiplier(pow2(k - bits), MULTIPLIER_BITS) else {
            return self.range_error(id, "its leaves are too coarse".into());
        };
        let op = Op::TreeEnsemble {
            x: q.id,
            trees: ensemble,
            rescale: Rescale {
                multipliers: vec![m],
                shifts: vec![s],
                low,
                high,
            },
        };
        let q = self.push(op, k, low, high);
        self.finish(id, &target, q);
        Ok(())
    }
}
