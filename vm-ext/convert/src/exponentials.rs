//! Sums of exponentials: `ln(sum(e^x))` becomes `m + ln(sum(e^(x - m)))` with m the largest x.
//!
//! That is the same number, and none on the way is larger than the number of terms: e^60 fits no integer.

use crate::expr::{Expr, Unary};
use crate::net::{Id, Kind, Net};

/// Rewrites every such sum; true where there was one.
pub fn stabilise(net: &mut Net) -> bool {
    if !(0..net.nodes.len()).any(|id| sum_of(net, id).is_some()) {
        return false;
    }
    let old = std::mem::take(net);
    let mut place = Vec::with_capacity(old.nodes.len());
    for (id, node) in old.nodes.iter().enumerate() {
        let new = match sum_of(&old, id) {
            Some(sum) => rewrite(net, &old, id, &sum, &place),
            None => {
                let mut kind = node.kind.clone();
                kind.rename(&|x| place[x]);
                let new = net.push(&node.name, kind, node.shape.clone());
                net.nodes[new].of = node.of;
                new
            }
        };
        place.push(new);
    }
    net.inputs = old.inputs.iter().map(|i| place[*i]).collect();
    net.outputs = old.outputs;
    net.outputs.iter_mut().for_each(|o| o.value = place[o.value]);
    true
}

/// Exponentials are looked for behind so many movements.
const MAX_MOVES: usize = 16;

/// A logarithm of a sum of exponentials.
struct Sum {
    /// What is added up.
    terms: Id,
    /// Along which axis.
    axis: usize,
    /// And multiplied by.
    factor: f64,
    /// How the exponentials got from where they were computed to where they are added: the last movement first.
    moves: Vec<Id>,
    /// Of which value they are.
    x: Id,
    /// And of what function of it.
    exponent: Expr,
}

fn sum_of(net: &Net, id: Id) -> Option<Sum> {
    let logarithm = Expr::unary(Unary::Ln, Expr::X);
    let reduced = match &net.nodes[id].kind {
        Kind::Map { x, f } if f.without_storage() == logarithm => *x,
        _ => return None,
    };
    let Kind::ReduceSum { x: terms, axis, factor } = net.nodes[reduced].kind else {
        return None;
    };
    let mut moves = vec![];
    let mut from = terms;
    loop {
        match &net.nodes[from].kind {
            Kind::Reshape { x } | Kind::Transpose { x, .. } if moves.len() < MAX_MOVES => {
                moves.push(from);
                from = *x;
            }
            Kind::Map { x, f } => {
                let Expr::Unary(Unary::Exp, exponent) = f.without_storage() else {
                    return None;
                };
                let done = *exponent == Expr::X && is_less_largest(net, *x);
                return (factor > 0.0 && !done).then_some(Sum {
                    terms,
                    axis,
                    factor,
                    moves,
                    x: *x,
                    exponent: *exponent,
                });
            }
            _ => return None,
        }
    }
}

/// Whether the largest of it was taken off already.
fn is_less_largest(net: &Net, x: Id) -> bool {
    let Kind::Add { b, sign, .. } = &net.nodes[x].kind else {
        return false;
    };
    let largest = match &net.nodes[*b].kind {
        Kind::Reshape { x } => *x,
        _ => *b,
    };
    *sign < 0.0 && matches!(net.nodes[largest].kind, Kind::ReduceMax { .. })
}

fn rewrite(net: &mut Net, old: &Net, id: Id, sum: &Sum, place: &[Id]) -> Id {
    let name = &old.nodes[id].name;
    let shape = old.shape(id).to_vec();
    let mut z = place[sum.x];
    if sum.exponent != Expr::X {
        z = net.map(name, z, sum.exponent.clone());
    }
    for step in sum.moves.iter().rev() {
        let mut kind = old.nodes[*step].kind.clone();
        kind.rename(&|_| z);
        z = net.push(name, kind, old.shape(*step).to_vec());
    }
    let (axis, whole) = (sum.axis, old.shape(sum.terms).to_vec());
    let mut kept = whole.clone();
    kept[axis] = 1;
    let largest = net.push(name, Kind::ReduceMax { x: z, axis }, shape.clone());
    let along = net.push(name, Kind::Reshape { x: largest }, kept);
    let (a, b) = (z, along);
    let less = net.push(name, Kind::Add { a, b, sign: -1.0 }, whole);
    let powers = net.map(name, less, Expr::unary(Unary::Exp, Expr::X));
    let (x, factor) = (powers, sum.factor);
    let total = net.push(name, Kind::ReduceSum { x, axis, factor }, shape.clone());
    let logarithm = net.map(name, total, Expr::unary(Unary::Ln, Expr::X));
    let (a, b) = (logarithm, largest);
    net.push(name, Kind::Add { a, b, sign: 1.0 }, shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use crate::net::{Declared, NetOutput};

    #[test]
    fn a_sum_of_large_powers_is_what_it_was_and_none_of_them_is_large() {
        let mut net = Net::default();
        let x = net.push("x", Kind::Input(Declared::Real), vec![2, 3]);
        let e = net.map("e", x, Expr::unary(Unary::Exp, Expr::affine(2.0, 1.0)));
        let t = net.transpose("t", e, vec![1, 0]);
        let kind = Kind::ReduceSum {
            x: t,
            axis: 0,
            factor: 0.5,
        };
        let s = net.push("s", kind, vec![2]);
        let y = net.map("y", s, Expr::unary(Unary::Ln, Expr::X));
        net.inputs = vec![x];
        net.outputs = vec![NetOutput {
            name: "y".into(),
            value: y,
            labels: vec![],
        }];
        let inputs = [vec![1.0, 20.0, 30.0, -5.0, 0.0, 4.0]];
        let answer = |net: &Net| {
            let values = eval::run(net, &inputs);
            let largest = values.iter().flatten().fold(0.0f64, |m, v| m.max(v.abs()));
            (eval::of(net, &values, net.outputs[0].value).to_vec(), largest)
        };
        let (want, _) = answer(&net);
        crate::fuse::fuse(&mut net);
        let (found, largest) = answer(&net);
        assert!(
            want.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-9),
            "{want:?} {found:?}"
        );
        assert!(largest < 100.0, "{largest}");
        assert!(!stabilise(&mut net), "once is enough");
    }
}
