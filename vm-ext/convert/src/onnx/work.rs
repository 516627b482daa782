//! What an operation costs before it is done: elementary operations, and numbers that it keeps.
//!
//! Estimates from shapes, never too low by more than a small factor: they bound the time and memory that a model can ask
//! for, whatever it says.

use crate::net::{Id, Kind, Net, Node};

fn product(extents: &[usize]) -> u64 {
    extents.iter().fold(1, |n, e| n.saturating_mul(*e as u64))
}

/// Elementary operations of an operation whose value has the given shape, by the shapes of its operands.
pub fn operations<'a>(kind: &Kind, shape: &[usize], of: &dyn Fn(Id) -> &'a [usize]) -> u64 {
    let count = product(shape);
    let size = |x: &Id| product(of(*x));
    let last = |x: &Id| of(*x).last().copied().unwrap_or(1) as u64;
    let own = match kind {
        Kind::Input(_) | Kind::Const(_) => 0,
        Kind::Linear { x, .. } => count.saturating_mul(last(x)),
        Kind::Conv { weights, bias, .. } => count.saturating_mul((weights.len() / bias.len().max(1)) as u64),
        Kind::BatchMatMul { a, .. } => count.saturating_mul(last(a)),
        Kind::Map { f, .. } => count.saturating_mul(1 + f.size() as u64),
        Kind::MaxPool { window, .. } | Kind::AvgPool { window, .. } => {
            let [h, w] = window.kernel.map(u64::from);
            count.saturating_mul(h.saturating_mul(w))
        }
        // Sorting a row takes its length times the logarithm of it.
        Kind::TopK { x, .. } => size(x).saturating_mul(64 - u64::from(last(x).leading_zeros())),
        Kind::Trees { x, trees } => {
            let rows = size(x) / last(x).max(1);
            rows.saturating_mul((trees.roots.len() + trees.branches.len() + trees.base.len()) as u64)
        }
        Kind::Scan(scan) => (scan.count as u64).saturating_mul(of_net(&scan.body)),
        _ => 0,
    };
    let read = match kind {
        // Only what is picked is read.
        Kind::Slice { .. } | Kind::Gather { .. } => 0,
        _ => kind.operands().iter().map(size).fold(0, u64::saturating_add),
    };
    own.saturating_add(count).saturating_add(read)
}

/// Elementary operations of a net.
fn of_net(net: &Net) -> u64 {
    let one = |node: &Node| operations(&node.kind, &node.shape, &|x| net.shape(x));
    net.nodes.iter().map(one).fold(0, u64::saturating_add)
}

/// Numbers that an operation keeps with it: constants, weights, tables, operands.
pub fn stored(kind: &Kind) -> u64 {
    let count = match kind {
        Kind::Const(values) => values.len(),
        Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. } => weights.len() + bias.len(),
        Kind::Affine { scale, offset, .. } => scale.len() + offset.len(),
        Kind::LayerNorm { gamma, beta, .. } => gamma.len() + beta.len(),
        Kind::Map { f, .. } => f.size(),
        Kind::Concat { xs, .. } => xs.len(),
        Kind::Trees { trees, .. } => {
            // Five words to a branch, at least three to a leaf.
            let leaves: usize = trees.leaves.iter().map(|l| 3 + 2 * l.len()).sum();
            5 * trees.branches.len() + leaves + trees.roots.len() + trees.base.len()
        }
        Kind::Scan(scan) => {
            let inner = scan.body.nodes.iter().map(|node| stored(&node.kind));
            return inner.fold(0, u64::saturating_add);
        }
        _ => 0,
    };
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Declared, NetOutput, Scan};

    #[test]
    fn products_pools_and_loops_count_what_they_do() {
        let mut net = Net::default();
        let x = net.push("x", Kind::Input(Declared::Real), vec![4, 8]);
        let linear = Kind::Linear {
            x,
            weights: vec![0.0; 24],
            bias: vec![0.0; 3],
        };
        let of = |_| &[4usize, 8][..];
        assert_eq!(stored(&linear), 27);
        assert_eq!(operations(&linear, &[4, 3], &of), 12 * 8 + 12 + 32);
        let pool = Kind::MaxPool {
            x,
            window: super::super::build::whole([1 << 20, 1 << 20]),
        };
        assert!(operations(&pool, &[1, 1, 1, 1], &of) > 1 << 40);
        let y = net.push("y", linear, vec![4, 3]);
        net.inputs = vec![x];
        net.outputs = vec![NetOutput {
            name: "y".into(),
            value: y,
            labels: vec![],
        }];
        let once = of_net(&net);
        let scan = Scan {
            count: 1000,
            states: vec![],
            scanned: vec![],
            captured: vec![],
            body: net,
        };
        let scan = Kind::Scan(Box::new(scan));
        assert_eq!(stored(&scan), 27);
        assert!(operations(&scan, &[1], &of) > 1000 * once);
    }
}
