//! Tree ensembles in floats: from the parallel arrays of ai.onnx.ml to nodes in order.

use std::collections::BTreeMap;

/// Decision trees whose leaves are summed.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTrees {
    /// A child in the sense of [`Branch`].
    pub roots: Vec<i32>,
    /// Parents before their children.
    pub branches: Vec<Branch>,
    /// Per leaf: (target, weight).
    pub leaves: Vec<Vec<(usize, f64)>>,
    /// Per target: what its sum starts from.
    pub base: Vec<f64>,
}

/// A question. A child is the index of a branch, or `-1 - leaf`.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Which column.
    pub feature: usize,
    /// Compared with what.
    pub threshold: f64,
    /// `x < threshold` instead of `x <= threshold`.
    pub strict: bool,
    /// Child where the comparison holds.
    pub left: i32,
    /// Child otherwise.
    pub right: i32,
}

/// The node arrays of TreeEnsembleClassifier and TreeEnsembleRegressor. All of one length.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct NodeArrays {
    pub tree_ids: Vec<i64>,
    pub node_ids: Vec<i64>,
    pub features: Vec<i64>,
    pub values: Vec<f64>,
    pub modes: Vec<String>,
    pub true_ids: Vec<i64>,
    pub false_ids: Vec<i64>,
}

/// The leaf arrays. All of one length.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct LeafArrays {
    pub tree_ids: Vec<i64>,
    pub node_ids: Vec<i64>,
    pub targets: Vec<i64>,
    pub weights: Vec<f64>,
}

impl FloatTrees {
    /// Builds the ensemble; the error says what is wrong with the arrays.
    pub fn build(nodes: &NodeArrays, leaves: &LeafArrays, base: Vec<f64>, features: usize) -> Result<Self, String> {
        let count = nodes.node_ids.len();
        let lengths = [
            ("nodes_treeids", nodes.tree_ids.len()),
            ("nodes_featureids", nodes.features.len()),
            ("nodes_values", nodes.values.len()),
            ("nodes_modes", nodes.modes.len()),
            ("nodes_truenodeids", nodes.true_ids.len()),
            ("nodes_falsenodeids", nodes.false_ids.len()),
        ];
        if let Some((name, length)) = lengths.iter().find(|(_, length)| *length != count) {
            return Err(format!("{name} has {length} elements, nodes_nodeids {count}"));
        }
        let entries = leaves.weights.len();
        if [leaves.tree_ids.len(), leaves.node_ids.len(), leaves.targets.len()] != [entries; 3] {
            return Err("the arrays of the leaves differ in length".into());
        }
        let mut index = BTreeMap::new();
        let mut roots = Vec::new();
        for i in 0..count {
            if index.insert((nodes.tree_ids[i], nodes.node_ids[i]), i).is_some() {
                return Err(format!(
                    "tree {} has node {} twice",
                    nodes.tree_ids[i], nodes.node_ids[i]
                ));
            }
            if i == 0 || nodes.tree_ids[i] != nodes.tree_ids[i - 1] {
                roots.push(i);
            }
        }
        let mut weights: BTreeMap<(i64, i64), Vec<(usize, f64)>> = BTreeMap::new();
        for i in 0..entries {
            let target = usize::try_from(leaves.targets[i]).ok().filter(|t| *t < base.len());
            let target =
                target.ok_or_else(|| format!("a leaf adds to target {} of {}", leaves.targets[i], base.len()))?;
            if !leaves.weights[i].is_finite() {
                return Err("a leaf's weight is not finite".into());
            }
            let key = (leaves.tree_ids[i], leaves.node_ids[i]);
            weights.entry(key).or_default().push((target, leaves.weights[i]));
        }

        let mut out = FloatTrees {
            roots: vec![],
            branches: vec![],
            leaves: vec![],
            base,
        };
        let mut seen = vec![false; count];
        for root in roots {
            // Depth first; each entry says which link to set: none for a root, or (branch, is it the left child).
            let mut stack: Vec<(usize, Option<(usize, bool)>)> = vec![(root, None)];
            while let Some((i, link)) = stack.pop() {
                let (tree, id) = (nodes.tree_ids[i], nodes.node_ids[i]);
                if std::mem::replace(&mut seen[i], true) {
                    return Err(format!("node {id} of tree {tree} has two parents"));
                }
                let child = if nodes.modes[i] == "LEAF" {
                    out.leaves.push(weights.remove(&(tree, id)).unwrap_or_default());
                    -(out.leaves.len() as i32)
                } else {
                    let (strict, swap) = match nodes.modes[i].as_str() {
                        "BRANCH_LEQ" => (false, false),
                        "BRANCH_LT" => (true, false),
                        "BRANCH_GT" => (false, true),
                        "BRANCH_GTE" => (true, true),
                        mode => return Err(format!("node {id} of tree {tree} compares by {mode}")),
                    };
                    let feature = usize::try_from(nodes.features[i]).ok().filter(|f| *f < features);
                    let feature = feature.ok_or_else(|| {
                        format!(
                            "node {id} of tree {tree} reads column {} of {features}",
                            nodes.features[i]
                        )
                    })?;
                    if nodes.values[i].is_nan() {
                        return Err(format!("the threshold of node {id} of tree {tree} is NaN"));
                    }
                    out.branches.push(Branch {
                        feature,
                        threshold: nodes.values[i],
                        strict,
                        left: 0,
                        right: 0,
                    });
                    let branch = out.branches.len() - 1;
                    for (child, holds) in [(nodes.false_ids[i], false), (nodes.true_ids[i], true)] {
                        let target = index.get(&(tree, child));
                        let target = *target
                            .ok_or_else(|| format!("node {id} of tree {tree} leads to {child}, which is missing"))?;
                        stack.push((target, Some((branch, holds != swap))));
                    }
                    branch as i32
                };
                match link {
                    None => out.roots.push(child),
                    Some((branch, true)) => out.branches[branch].left = child,
                    Some((branch, false)) => out.branches[branch].right = child,
                }
            }
        }
        Ok(out)
    }

    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.base.len()
    }

    /// The sums for one row.
    pub fn eval(&self, row: &[f64]) -> Vec<f64> {
        let mut sums = self.base.clone();
        for &root in &self.roots {
            let mut at = root;
            while at >= 0 {
                let b = &self.branches[at as usize];
                let x = row[b.feature];
                let left = if b.strict { x < b.threshold } else { x <= b.threshold };
                at = if left { b.left } else { b.right };
            }
            for &(target, weight) in &self.leaves[(-1 - at) as usize] {
                sums[target] += weight;
            }
        }
        sums
    }
}
