//! Simplifications of the float model that leave what it computes as it is.

use crate::expr::{Binary, Clamped, Expr};
use crate::net::{Id, Kind, Net};

/// Expressions beyond this size stay apart.
const MAX_EXPR: usize = 64;

/// Simplifies until nothing changes, then drops what nothing reads.
pub fn fuse(net: &mut Net) {
    for node in &mut net.nodes {
        if let Kind::Scan(scan) = &mut node.kind {
            fuse(&mut scan.body);
        }
    }
    while compose(net) | fold_into_linear(net) | move_functions_up(net) {
        drop_dead(net);
    }
    drop_dead(net);
}

/// A value as a function of another value.
fn as_function(net: &Net, id: Id) -> (Id, Expr) {
    match &net.nodes[id].kind {
        Kind::Map { x, f } => (*x, f.clone()),
        _ => (id, Expr::X),
    }
}

/// Functions of functions, and sums and products of two functions of one value, become one function.
fn compose(net: &mut Net) -> bool {
    let uses = net.uses();
    let mut changed = false;
    for id in 0..net.nodes.len() {
        let joined = match &net.nodes[id].kind {
            Kind::Map { x, f } => match &net.nodes[*x].kind {
                // 1 - p of a probability p that is needed anyway stays its exact complement.
                Kind::Map { f: inner, .. } if uses[*x] > 1 && f.clamped().is_some() && inner.clamped().is_none() => {
                    None
                }
                Kind::Map { x: source, f: inner } => Some((*source, f.of(inner))),
                _ => None,
            },
            Kind::Add { a, b, sign } => {
                let op = if *sign > 0.0 { Binary::Add } else { Binary::Sub };
                of_one_value(net, *a, *b, op)
            }
            Kind::Mul { a, b } => of_one_value(net, *a, *b, Binary::Mul),
            _ => None,
        };
        if let Some((x, f)) = joined.filter(|(_, f)| f.size() <= MAX_EXPR) {
            net.nodes[id].kind = Kind::Map { x, f };
            changed = true;
        }
    }
    changed
}

fn of_one_value(net: &Net, a: Id, b: Id, op: Binary) -> Option<(Id, Expr)> {
    let ((x, f), (y, g)) = (as_function(net, a), as_function(net, b));
    (x == y && net.shape(a) == net.shape(b)).then(|| (x, Expr::binary(op, f, g)))
}

/// A function after a reshape, transposition or enlargement that only it reads goes before it, nearer to what it can
/// fuse with; reshapes of reshapes become one.
fn move_functions_up(net: &mut Net) -> bool {
    let uses = net.uses();
    for id in 0..net.nodes.len() {
        match net.nodes[id].kind.clone() {
            Kind::Reshape { x } => {
                if let Kind::Reshape { x: source } = net.nodes[x].kind {
                    net.nodes[id].kind = Kind::Reshape { x: source };
                    return true;
                }
                if net.shape(x) == net.shape(id) {
                    redirect(net, id, x);
                    return true;
                }
            }
            Kind::Map { x, f } if uses[x] == 1 => {
                let mut moved = net.nodes[x].kind.clone();
                let (Kind::Reshape { x: source }
                | Kind::Transpose { x: source, .. }
                | Kind::Upsample { x: source, .. }) = moved
                else {
                    continue;
                };
                moved.rename(&|_| x);
                let shape = net.shape(source).to_vec();
                let name = net.nodes[x].name.clone();
                net.nodes[x].name = std::mem::replace(&mut net.nodes[id].name, name);
                net.nodes[x].kind = Kind::Map { x: source, f };
                net.nodes[x].shape = shape;
                net.nodes[x].of = net.nodes[id].of;
                net.nodes[id].kind = moved;
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Factors and terms after a MatMul, Conv or Affine that nothing else reads move into its weights.
fn fold_into_linear(net: &mut Net) -> bool {
    let uses = net.uses();
    for id in 0..net.nodes.len() {
        let (source, scale, offset, rest) = match &net.nodes[id].kind {
            Kind::Map { x, f } => {
                let Some(line) = f.clamped() else { continue };
                if line.keeps_scale() {
                    if line.unbounded() {
                        // The identity: readers take the operand itself.
                        let x = *x;
                        redirect(net, id, x);
                        return true;
                    }
                    continue;
                }
                (*x, vec![line.scale], vec![line.offset], Some(line))
            }
            Kind::Affine { x, axis, scale, offset } => {
                if !channels_match(net, *x, *axis) {
                    continue;
                }
                (*x, scale.clone(), offset.clone(), None)
            }
            _ => continue,
        };
        if uses[source] != 1 || !scale_channels(net, source, &scale, &offset) {
            continue;
        }
        match rest {
            Some(Clamped { low, high, .. }) if low.is_finite() || high.is_finite() => {
                net.nodes[id].kind = Kind::Map {
                    x: source,
                    f: Expr::clamp(low, high),
                };
            }
            _ => redirect(net, id, source),
        }
        // How often values are read has changed.
        return true;
    }
    false
}

/// Whether the channels of a per-channel operation after `source` are the source's own.
fn channels_match(net: &Net, source: Id, axis: usize) -> bool {
    match &net.nodes[source].kind {
        Kind::Linear { .. } => axis + 1 == net.shape(source).len(),
        Kind::Conv { .. } => axis == 1,
        Kind::Affine { axis: inner, .. } => axis == *inner,
        _ => false,
    }
}

/// Scales and shifts the channels of a linear node in place. One factor serves all channels.
fn scale_channels(net: &mut Net, id: Id, by: &[f64], plus: &[f64]) -> bool {
    let pick = |v: &[f64], c: usize| if v.len() == 1 { v[0] } else { v[c] };
    match &mut net.nodes[id].kind {
        Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. } => {
            let per_channel = weights.len() / bias.len();
            for (c, row) in weights.chunks_mut(per_channel).enumerate() {
                row.iter_mut().for_each(|w| *w *= pick(by, c));
                bias[c] = bias[c] * pick(by, c) + pick(plus, c);
            }
            true
        }
        Kind::Affine { scale, offset, .. } => {
            for c in 0..scale.len() {
                scale[c] *= pick(by, c);
                offset[c] = offset[c] * pick(by, c) + pick(plus, c);
            }
            true
        }
        _ => false,
    }
}

/// Whoever read `from` reads `to`.
fn redirect(net: &mut Net, from: Id, to: Id) {
    for node in &mut net.nodes {
        node.kind.rename(&|x| if x == from { to } else { x });
    }
    for output in &mut net.outputs {
        if output.value == from {
            output.value = to;
        }
    }
}

/// Drops nodes that no output depends on; inputs stay.
fn drop_dead(net: &mut Net) {
    let mut alive = vec![false; net.nodes.len()];
    net.inputs.iter().for_each(|i| alive[*i] = true);
    net.outputs.iter().for_each(|o| alive[o.value] = true);
    for id in (0..net.nodes.len()).rev() {
        if alive[id] {
            net.nodes[id].kind.operands().into_iter().for_each(|x| alive[x] = true);
        }
    }
    let mut place = vec![0; net.nodes.len()];
    let mut kept = 0;
    for (id, alive) in alive.iter().enumerate() {
        place[id] = kept;
        kept += usize::from(*alive);
    }
    let mut id = 0;
    net.nodes.retain(|_| {
        id += 1;
        alive[id - 1]
    });
    for node in &mut net.nodes {
        node.kind.rename(&|x| place[x]);
    }
    net.inputs.iter_mut().for_each(|i| *i = place[*i]);
    net.outputs.iter_mut().for_each(|o| o.value = place[o.value]);
}
