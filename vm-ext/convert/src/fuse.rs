//! Simplifications of the float model that leave what it computes as it is.

use crate::exponentials::stabilise;
use crate::expr::{Binary, Clamped, Expr, Unary};
use crate::net::{Elements, Id, Kind, Net};

/// Expressions beyond this size stay apart.
const MAX_EXPR: usize = 64;

/// Simplifies until nothing changes, then drops what nothing reads.
pub fn fuse(net: &mut Net) {
    for node in &mut net.nodes {
        if let Kind::Scan(scan) = &mut node.kind {
            fuse(&mut scan.body);
        }
    }
    while compose(net) | fold_into_linear(net) | move_functions_up(net) | normalise(net) | stabilise(net) {
        drop_dead(net);
    }
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
                // Rounding happens where the model says: an integer stays one until its own function is over.
                Kind::Map { f: inner, .. } if rounds(net, *x, inner) => None,
                Kind::Map { x: source, .. } if rounds(net, id, f) && !few_integers(net, *source) => None,
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

/// Whether a function makes integers of its operand, other than by shifting and clamping integers.
fn rounds(net: &Net, id: Id, f: &Expr) -> bool {
    matches!(net.nodes[id].of, Elements::Integer(..)) && f.clamped().is_none()
}

/// Whether a value takes so few integers that a table has an entry for each.
fn few_integers(net: &Net, id: Id) -> bool {
    matches!(net.nodes[id].of, Elements::Integer(low, high) if high - low < 512.0)
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

/// Normalisations that an exporter spelt out become one operation: `(x - mean) / sqrt(mean of squares + epsilon)`.
fn normalise(net: &mut Net) -> bool {
    let mut changed = false;
    for id in 0..net.nodes.len() {
        if let Some(kind) = normalisation(net, id) {
            net.nodes[id].kind = kind;
            changed = true;
        }
    }
    changed
}

fn normalisation(net: &Net, id: Id) -> Option<Kind> {
    let kind = |id: Id| &net.nodes[id].kind;
    // The divided value, the mean of its squares, and epsilon.
    let parts = |d: Id, root: Id, inverse: bool| match kind(root) {
        Kind::Map { x: mean, f } => {
            let epsilon = root_of_sum(f, inverse)?;
            let squares = mean_of(net, *mean)?;
            match kind(squares) {
                Kind::Map { x, f } if *x == d && is_square(f) => Some((d, epsilon)),
                _ => None,
            }
        }
        _ => None,
    };
    let (d, epsilon) = match kind(id) {
        Kind::Div { a, b } => parts(*a, *b, false)?,
        Kind::Mul { a, b } => parts(*a, *b, true).or_else(|| parts(*b, *a, true))?,
        _ => return None,
    };
    if net.shape(d) != net.shape(id) {
        return None;
    }
    let (x, center) = match kind(d) {
        Kind::Add { a, b, sign } if *sign < 0.0 && mean_of(net, *b) == Some(*a) => (*a, true),
        _ => (d, false),
    };
    let n = *net.shape(x).last()?;
    Some(Kind::LayerNorm {
        x,
        gamma: vec![1.0; n],
        beta: vec![0.0; n],
        epsilon,
        center,
    })
}

/// The value of which another one is the mean along the last axis, that axis kept.
fn mean_of(net: &Net, id: Id) -> Option<Id> {
    let Kind::Reshape { x: sum } = net.nodes[id].kind else {
        return None;
    };
    let Kind::ReduceSum { x, axis, factor } = net.nodes[sum].kind else {
        return None;
    };
    let (&n, rest) = net.shape(x).split_last()?;
    let kept = [rest, &[1]].concat();
    let mean = axis == rest.len() && (factor * n as f64 - 1.0).abs() < 1e-9;
    (mean && net.shape(id) == kept).then_some(x)
}

/// Epsilon of `sqrt(x + epsilon)`, or of its reciprocal.
fn root_of_sum(f: &Expr, inverse: bool) -> Option<f64> {
    let sum = match (f, inverse) {
        (Expr::Unary(Unary::Sqrt, sum), false) | (Expr::Unary(Unary::Rsqrt, sum), true) => sum,
        (Expr::Unary(Unary::Recip, root), true) => match &**root {
            Expr::Unary(Unary::Sqrt, sum) => sum,
            _ => return None,
        },
        (Expr::Binary(Binary::Div, one, root), true) if one.constant() == Some(1.0) => match &**root {
            Expr::Unary(Unary::Sqrt, sum) => sum,
            _ => return None,
        },
        (Expr::Binary(Binary::Pow, sum, power), inverse) => {
            let wanted = if inverse { -0.5 } else { 0.5 };
            if power.constant() != Some(wanted) {
                return None;
            }
            sum
        }
        _ => return None,
    };
    let line = sum.clamped()?;
    (line.scale == 1.0 && line.unbounded() && line.offset >= 0.0).then_some(line.offset)
}

fn is_square(f: &Expr) -> bool {
    match f {
        Expr::Unary(Unary::Square, x) => **x == Expr::X,
        Expr::Binary(Binary::Mul, a, b) => **a == Expr::X && **b == Expr::X,
        Expr::Binary(Binary::Pow, x, power) => **x == Expr::X && power.constant() == Some(2.0),
        _ => false,
    }
}

/// Factors and terms after a MatMul, Conv, Affine or normalisation that nothing else reads move into its weights.
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
        // Weights that are integers stay integers.
        if uses[source] != 1 || matches!(net.nodes[source].of, Elements::Integer(..)) {
            continue;
        }
        if !scale_channels(net, source, &scale, &offset) {
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
        Kind::LayerNorm { .. } => axis + 1 == net.shape(source).len(),
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
        Kind::Affine { scale, offset, .. }
        | Kind::LayerNorm {
            gamma: scale,
            beta: offset,
            ..
        } => {
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
