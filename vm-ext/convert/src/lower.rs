//! Kinds that the quantiser does not know yet, in terms of those that it knows.

use aiinference_engine::graph::Window;

use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, Elements, Id, Kind, Net, Node};

/// Leaves out roundings to float formats, in whose place integers come.
pub fn drop_storage(net: &mut Net) {
    for node in &mut net.nodes {
        match &mut node.kind {
            Kind::Map { f, .. } => *f = f.without_storage(),
            Kind::Scan(scan) => drop_storage(&mut scan.body),
            _ => {}
        }
    }
}

/// Rewrites a net node by node.
pub fn lower(net: &mut Net) {
    let old = std::mem::take(net);
    let mut place = Vec::with_capacity(old.nodes.len());
    for mut node in old.nodes {
        node.kind.rename(&|x| place[x]);
        place.push(rewrite(net, node));
    }
    net.inputs = old.inputs.into_iter().map(|i| place[i]).collect();
    net.outputs = old.outputs;
    net.outputs.iter_mut().for_each(|o| o.value = place[o.value]);
}

fn rewrite(net: &mut Net, node: Node) -> Id {
    let Node { name, kind, shape, of } = node;
    let id = match kind {
        Kind::Map { x, f } => net.push(
            &name,
            Kind::Map {
                x,
                f: f.without_storage(),
            },
            shape,
        ),
        Kind::Div { a, b } => {
            let inverse = match net.constant(b) {
                Some(values) => Kind::Const(values.iter().map(|v| 1.0 / v).collect()),
                None => Kind::Map {
                    x: b,
                    f: Expr::unary(Unary::Recip, Expr::X),
                },
            };
            let own = net.shape(b).to_vec();
            let b = net.push(&name, inverse, own);
            net.push(&name, Kind::Mul { a, b }, shape)
        }
        Kind::Min { a, b } => extreme(net, &name, Binary::Min, a, b, shape),
        Kind::Max { a, b } => extreme(net, &name, Binary::Max, a, b, shape),
        Kind::Select { condition, a, b } => {
            // b + condition * (a - b)
            let inner = broadcast(net.shape(a), net.shape(b)).unwrap_or_else(|| shape.clone());
            let gated = broadcast(net.shape(condition), &inner).unwrap_or_else(|| shape.clone());
            let difference = net.push(&name, Kind::Add { a, b, sign: -1.0 }, inner);
            let kind = Kind::Mul {
                a: condition,
                b: difference,
            };
            let gated = net.push(&name, kind, gated);
            net.push(&name, Kind::Add { a: gated, b, sign: 1.0 }, shape)
        }
        Kind::ReduceSum { x, axis, factor } => {
            let (x, window, rows) = as_pooling(net, &name, x, axis);
            let count = f64::from(window.kernel[1]);
            let kind = Kind::AvgPool {
                x,
                window,
                count_padding: false,
            };
            let mean = net.push(&name, kind, rows);
            let y = net.reshape(&name, mean, shape);
            let scale = factor * count;
            if (scale - 1.0).abs() < 1e-12 {
                y
            } else {
                net.map(&name, y, Expr::affine(scale, 0.0))
            }
        }
        Kind::ReduceMax { x, axis } => {
            let (x, window, rows) = as_pooling(net, &name, x, axis);
            let y = net.push(&name, Kind::MaxPool { x, window }, rows);
            net.reshape(&name, y, shape)
        }
        Kind::LayerNorm {
            x,
            gamma,
            beta,
            epsilon,
            center,
        } => {
            let axis = shape.len() - 1;
            let mut wide = shape.clone();
            wide[axis] = 1;
            let step = |net: &mut Net, kind: Kind, shape: &[usize]| {
                let node = Node {
                    name: name.clone(),
                    kind,
                    shape: shape.to_vec(),
                    of: Elements::Real,
                };
                rewrite(net, node)
            };
            let factor = 1.0 / shape[axis] as f64;
            let mean = |net: &mut Net, x: Id| {
                let sum = step(net, Kind::ReduceSum { x, axis, factor }, &shape[..axis]);
                net.reshape(&name, sum, wide.clone())
            };
            let d = if center {
                let m = mean(net, x);
                net.push(&name, Kind::Add { a: x, b: m, sign: -1.0 }, shape.clone())
            } else {
                x
            };
            let squares = net.map(&name, d, Expr::unary(Unary::Square, Expr::X));
            let variance = mean(net, squares);
            let inverse = net.map(&name, variance, Expr::unary(Unary::Rsqrt, Expr::affine(1.0, epsilon)));
            let y = net.push(&name, Kind::Mul { a: d, b: inverse }, shape.clone());
            let kind = Kind::Affine {
                x: y,
                axis,
                scale: gamma,
                offset: beta,
            };
            net.push(&name, kind, shape)
        }
        Kind::Pad {
            mut x,
            before,
            after,
            value,
        } => {
            for axis in 0..shape.len() {
                let mut out = net.shape(x).to_vec();
                let mut xs = vec![x];
                for (extent, front) in [(before[axis], true), (after[axis], false)] {
                    if extent == 0 {
                        continue;
                    }
                    let mut edge = net.shape(x).to_vec();
                    edge[axis] = extent;
                    let size = edge.iter().product();
                    let id = net.push(&name, Kind::Const(vec![value; size]), edge);
                    xs.insert(if front { 0 } else { xs.len() }, id);
                    out[axis] += extent;
                }
                if xs.len() > 1 {
                    x = net.push(&name, Kind::Concat { xs, axis }, out);
                }
            }
            x
        }
        Kind::Broadcast { x } => {
            let missing = shape.len() - net.shape(x).len();
            let mut aligned = vec![1; missing];
            aligned.extend_from_slice(net.shape(x));
            let mut x = net.reshape(&name, x, aligned.clone());
            for (axis, (from, to)) in aligned.iter().zip(&shape).enumerate() {
                if from != to {
                    x = repeat(net, &name, x, axis, *to);
                }
            }
            x
        }
        Kind::Gather { x, indices, axis } => match net.constant(indices).map(<[f64]>::to_vec) {
            Some(list) => {
                let mut part = net.shape(x).to_vec();
                part[axis] = 1;
                let xs = list.iter().map(|i| {
                    let kind = Kind::Slice {
                        x,
                        axis,
                        start: *i as usize,
                        step: 1,
                        length: 1,
                    };
                    net.push(&name, kind, part.clone())
                });
                let xs: Vec<Id> = xs.collect();
                part[axis] = list.len();
                let y = net.push(&name, Kind::Concat { xs, axis }, part);
                net.reshape(&name, y, shape)
            }
            None => net.push(&name, Kind::Gather { x, indices, axis }, shape),
        },
        kind => net.push(&name, kind, shape),
    };
    net.nodes[id].of = of;
    id
}

/// `b + max(a - b, 0)`, and likewise for the lesser.
fn extreme(net: &mut Net, name: &str, op: Binary, a: Id, b: Id, shape: Vec<usize>) -> Id {
    let difference = net.push(name, Kind::Add { a, b, sign: -1.0 }, shape.clone());
    let part = net.map(name, difference, Expr::binary(op, Expr::X, Expr::Const(0.0)));
    net.push(name, Kind::Add { a: part, b, sign: 1.0 }, shape)
}

/// A reduction of the last axis as a pooling of rows: the image, the window and the pooled shape.
fn as_pooling(net: &mut Net, name: &str, x: Id, axis: usize) -> (Id, Window, Vec<usize>) {
    let rank = net.shape(x).len();
    let order: Vec<usize> = (0..rank).filter(|a| *a != axis).chain([axis]).collect();
    let x = net.transpose(name, x, order);
    let inner = net.shape(x).last().copied().unwrap_or(1);
    let outer = net.shape(x).iter().product::<usize>() / inner.max(1);
    let window = Window {
        kernel: [1, inner as u32],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [0; 4],
    };
    let x = net.reshape(name, x, vec![1, outer, 1, inner]);
    (x, window, vec![1, outer, 1, 1])
}

fn repeat(net: &mut Net, name: &str, x: Id, axis: usize, times: usize) -> Id {
    let mut shape = net.shape(x).to_vec();
    shape[axis] *= times;
    // One element repeated is one element enlarged.
    let rank = shape.len();
    if axis + 2 >= rank && rank >= 2 {
        let factors = if axis + 1 == rank { [1, times] } else { [times, 1] };
        return net.push(name, Kind::Upsample { x, factors }, shape);
    }
    let xs = vec![x; times];
    net.push(name, Kind::Concat { xs, axis }, shape)
}
