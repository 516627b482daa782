//! Simplifications of the float model that leave what it computes as it is.

use crate::exponentials::stabilise;
use crate::expr::{Binary, Clamped, Expr, Unary};
use crate::net::{Elements, Id, Kind, Net};

/// Expressions beyond this size stay apart.
const MAX_EXPR: usize = 64;

/// What simplifying a net may cost, in weights scaled; looking at a node counts as [`VISIT`] of them.
const EFFORT: usize = 1 << 32;
const VISIT: usize = 64;

/// Simplifies until nothing changes or the effort is spent, then drops what nothing reads.
pub fn fuse(net: &mut Net) {
    for node in &mut net.nodes {
        if let Kind::Scan(scan) = &mut node.kind {
            fuse(&mut scan.body);
        }
    }
    let mut left = EFFORT;
    while compose(net)
        | fold_into_linear(net, &mut left)
        | move_functions_up(net)
        | normalise(net)
        | stabilise(net)
        | add_slopes(net)
        | move_lines_down(net, &mut left)
    {
        drop_dead(net);
        left = left.saturating_sub(net.nodes.len() * VISIT);
        if left == 0 {
            return;
        }
    }
}

/// A choice between `x` and `x * slope[c]` by the sign of x (PRelu) becomes `x + max(x * (slope[c] - 1), 0)`, or
/// `x + min(x, 0) * (slope[c] - 1)` where slopes lie on both sides of 1: no comparison, which would want every bit of x.
fn add_slopes(net: &mut Net) -> bool {
    let uses = net.uses();
    let mut changed = false;
    for id in 0..net.nodes.len() {
        let Kind::Select { condition, a, b: x } = net.nodes[id].kind else {
            continue;
        };
        let Kind::Affine {
            x: sloped,
            axis,
            scale,
            offset,
        } = &net.nodes[a].kind
        else {
            continue;
        };
        let below =
            matches!(&net.nodes[condition].kind, Kind::Map { x: tested, f } if *tested == x && is_below_zero(f));
        let own = uses[a] == 1 && uses[condition] == 1 && [a, condition].iter().all(|i| net.shape(*i) == net.shape(id));
        let real = matches!(net.nodes[x].of, Elements::Real) && matches!(net.nodes[a].of, Elements::Real);
        if *sloped != x || !below || !own || !real || net.shape(x) != net.shape(id) || offset.iter().any(|o| *o != 0.0)
        {
            continue;
        }
        let axis = *axis;
        let less: Vec<f64> = scale.iter().map(|s| s - 1.0).collect();
        let zeros = vec![0.0; less.len()];
        let line = |x: Id| Kind::Affine {
            x,
            axis,
            scale: less.clone(),
            offset: zeros.clone(),
        };
        let clamp = |x: Id, low: f64, high: f64| Kind::Map {
            x,
            f: Expr::clamp(low, high),
        };
        let (first, second) = (a.min(condition), a.max(condition));
        let (inner, outer) = if less.iter().all(|s| *s <= 0.0) {
            (line(x), clamp(first, 0.0, f64::INFINITY))
        } else if less.iter().all(|s| *s >= 0.0) {
            (line(x), clamp(first, f64::NEG_INFINITY, 0.0))
        } else {
            (clamp(x, f64::NEG_INFINITY, 0.0), line(first))
        };
        for (at, kind) in [(first, inner), (second, outer)] {
            net.nodes[at].kind = kind;
            net.nodes[at].of = Elements::Real;
        }
        net.nodes[id].kind = Kind::Add {
            a: x,
            b: second,
            sign: 1.0,
        };
        changed = true;
    }
    changed
}

/// `x < 0` or `x <= 0`
fn is_below_zero(f: &Expr) -> bool {
    match f {
        Expr::Binary(Binary::Less | Binary::LessEqual, x, zero) => **x == Expr::X && zero.constant() == Some(0.0),
        _ => false,
    }
}

/// A value as a function of another value.
fn as_function(net: &Net, id: Id) -> (Id, &Expr) {
    match &net.nodes[id].kind {
        Kind::Map { x, f } => (*x, f),
        _ => (id, &Expr::X),
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
                // Compositions beyond the limit are not even made: they can be of any size.
                Kind::Map { x: source, f: inner } if f.size_of(inner) <= MAX_EXPR => Some((*source, f.of(inner))),
                _ => None,
            },
            Kind::Add { a, b, sign } => {
                let op = if *sign > 0.0 { Binary::Add } else { Binary::Sub };
                of_one_value(net, *a, *b, op)
            }
            Kind::Mul { a, b } => of_one_value(net, *a, *b, Binary::Mul),
            _ => None,
        };
        if let Some((x, f)) = joined {
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
    let fits = x == y && net.shape(a) == net.shape(b) && f.size() + g.size() < MAX_EXPR;
    fits.then(|| (x, Expr::binary(op, f.clone(), g.clone())))
}

/// Which value is read instead of another one, while a pass walks over the nodes in their order.
struct Redirects(Vec<Id>);

impl Redirects {
    fn new(net: &Net) -> Self {
        Redirects((0..net.nodes.len()).collect())
    }

    /// Lets a node, whose operands have not been looked at, read what is to be read now.
    fn apply(&self, net: &mut Net, id: Id) {
        net.nodes[id].kind.rename(&|x| self.0[x]);
    }

    /// Whoever reads `from` from now on reads `to`, an operand of it. Counts who reads what.
    fn redirect(&mut self, from: Id, to: Id, uses: &mut [usize]) {
        self.0[from] = to;
        uses[to] = uses[to] + uses[from] - 1;
        uses[from] = 0;
    }

    fn finish(&self, net: &mut Net) {
        net.outputs.iter_mut().for_each(|o| o.value = self.0[o.value]);
    }
}

/// A function after a reshape, transposition or enlargement that only it reads goes before it, nearer to what it can
/// fuse with; reshapes of reshapes become one.
fn move_functions_up(net: &mut Net) -> bool {
    let mut uses = net.uses();
    let mut redirects = Redirects::new(net);
    let mut changed = false;
    for id in 0..net.nodes.len() {
        redirects.apply(net, id);
        if let Kind::Reshape { x: over } = net.nodes[id].kind {
            let mut x = over;
            if let Kind::Reshape { x: source } = net.nodes[over].kind {
                net.nodes[id].kind = Kind::Reshape { x: source };
                uses[over] -= 1;
                // The one that nothing reads any more goes, and reads nothing.
                uses[source] += usize::from(uses[over] > 0);
                x = source;
                changed = true;
            }
            if net.shape(x) == net.shape(id) {
                redirects.redirect(id, x, &mut uses);
                changed = true;
            }
        }
        let mut at = id;
        while let Some(x) = movable(net, at, &uses) {
            // The two change places: x becomes the function, and the movement reads it.
            let function = std::mem::replace(&mut net.nodes[at].kind, Kind::Const(vec![]));
            let mut moved = std::mem::replace(&mut net.nodes[x].kind, function);
            let source = moved.operands()[0];
            moved.rename(&|_| x);
            net.nodes[x].kind.rename(&|_| source);
            let shape = net.shape(source).to_vec();
            net.nodes[x].shape = shape;
            net.nodes[x].of = net.nodes[at].of;
            net.nodes[at].kind = moved;
            let name = std::mem::take(&mut net.nodes[x].name);
            net.nodes[x].name = std::mem::replace(&mut net.nodes[at].name, name);
            changed = true;
            at = x;
        }
    }
    redirects.finish(net);
    changed
}

/// The movement that a function is after, where only the function reads it.
fn movable(net: &Net, id: Id, uses: &[usize]) -> Option<Id> {
    let Kind::Map { x, .. } = net.nodes[id].kind else {
        return None;
    };
    let moves = matches!(
        net.nodes[x].kind,
        Kind::Reshape { .. } | Kind::Transpose { .. } | Kind::Upsample { .. }
    );
    (moves && uses[x] == 1).then_some(x)
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
fn fold_into_linear(net: &mut Net, left: &mut usize) -> bool {
    let mut uses = net.uses();
    let mut redirects = Redirects::new(net);
    let mut changed = false;
    for id in 0..net.nodes.len() {
        redirects.apply(net, id);
        let (source, scale, offset, rest) = match &net.nodes[id].kind {
            Kind::Map { x, f } => {
                let Some(line) = f.clamped() else { continue };
                if line.keeps_scale() {
                    if line.unbounded() {
                        // The identity: readers take the operand itself.
                        redirects.redirect(id, *x, &mut uses);
                        changed = true;
                    }
                    continue;
                }
                (*x, vec![line.scale], vec![line.offset], Some(line))
            }
            Kind::Affine { x, axis, scale, offset } => {
                // Not copied in vain.
                if uses[*x] != 1 || !channels_match(net, *x, *axis) {
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
        *left = left.saturating_sub(weights(net, source) + scale.len());
        if *left == 0 || !scale_channels(net, source, &scale, &offset) {
            continue;
        }
        match rest {
            Some(Clamped { low, high, .. }) if low.is_finite() || high.is_finite() => {
                net.nodes[id].kind = Kind::Map {
                    x: source,
                    f: Expr::clamp(low, high),
                };
            }
            _ => redirects.redirect(id, source, &mut uses),
        }
        changed = true;
    }
    redirects.finish(net);
    changed
}

/// How many numbers [`scale_channels`] changes.
fn weights(net: &Net, id: Id) -> usize {
    match &net.nodes[id].kind {
        Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. } => weights.len() + bias.len(),
        Kind::Affine { scale, .. } | Kind::LayerNorm { gamma: scale, .. } => 2 * scale.len(),
        _ => 0,
    }
}

/// The line around a function that only layers with weights and without padding read (a learned scale and offset of an activation)
/// moves into their weights.
fn move_lines_down(net: &mut Net, left: &mut usize) -> bool {
    let mut readers = vec![vec![]; net.nodes.len()];
    for (id, node) in net.nodes.iter().enumerate() {
        node.kind.operands().into_iter().for_each(|x| readers[x].push(id));
    }
    let mut returned = vec![false; net.nodes.len()];
    net.outputs.iter().for_each(|o| returned[o.value] = true);
    let mut changed = false;
    for id in 0..net.nodes.len() {
        let Kind::Map { f, .. } = &net.nodes[id].kind else {
            continue;
        };
        let (scale, offset, inner) = f.outer_line();
        if (scale, offset) == (1.0, 0.0)
            || *inner == Expr::X
            || f.clamped().is_some()
            || returned[id]
            || matches!(net.nodes[id].of, Elements::Integer(..))
        {
            continue;
        }
        let takes = |reader: &Id| {
            let reader = &net.nodes[*reader];
            let layer = match &reader.kind {
                Kind::Linear { .. } => true,
                Kind::Conv { window, .. } => window.pads == [0; 4],
                _ => false,
            };
            layer && !matches!(reader.of, Elements::Integer(..))
        };
        let effort: usize = readers[id].iter().map(|r| weights(net, *r)).sum();
        if !readers[id].iter().all(takes) || effort > *left {
            continue;
        }
        *left -= effort;
        let inner = inner.clone();
        for reader in &readers[id] {
            if let Kind::Linear { weights, bias, .. } | Kind::Conv { weights, bias, .. } = &mut net.nodes[*reader].kind
            {
                let taps = (weights.len() / bias.len().max(1)).max(1);
                for (row, b) in weights.chunks_mut(taps).zip(bias) {
                    *b += offset * row.iter().sum::<f64>();
                    row.iter_mut().for_each(|w| *w *= scale);
                }
            }
        }
        if let Kind::Map { f, .. } = &mut net.nodes[id].kind {
            *f = inner;
        }
        changed = true;
    }
    changed
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use crate::net::{Declared, NetOutput};

    /// What a net gives before and after, and what is left of it.
    fn fused(mut net: Net, output: Id, input: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<&'static str>) {
        net.outputs = vec![NetOutput {
            name: "y".into(),
            value: output,
            labels: vec![],
        }];
        let answer = |net: &Net| {
            let values = eval::run(net, &[input.to_vec()]);
            eval::of(net, &values, net.outputs[0].value).to_vec()
        };
        let before = answer(&net);
        fuse(&mut net);
        let after = answer(&net);
        (before, after, net.nodes.iter().map(|n| n.kind.name()).collect())
    }

    #[test]
    fn a_choice_between_a_value_and_its_multiple_becomes_a_sum() {
        for (slopes, kinds) in [
            ([0.25, -1.0], ["Input", "Affine", "Map", "Add"]),
            ([2.0, 1.5], ["Input", "Affine", "Map", "Add"]),
            ([0.5, 1.5], ["Input", "Map", "Affine", "Add"]),
        ] {
            let mut net = Net::default();
            let x = net.push("x", Kind::Input(Declared::Real), vec![2, 3]);
            let affine = Kind::Affine {
                x,
                axis: 0,
                scale: slopes.to_vec(),
                offset: vec![0.0; 2],
            };
            let a = net.push("a", affine, vec![2, 3]);
            let condition = net.map("c", x, Expr::binary(Binary::Less, Expr::X, Expr::Const(0.0)));
            let y = net.push("y", Kind::Select { condition, a, b: x }, vec![2, 3]);
            net.inputs = vec![x];
            let (before, after, left) = fused(net, y, &[-3.0, 0.0, 2.0, -1.0, 4.0, -0.5]);
            assert_eq!(before, after, "{slopes:?}");
            assert_eq!(left, kinds, "{slopes:?}");
        }
    }

    #[test]
    fn a_line_that_something_else_reads_stays() {
        for returned in [false, true] {
            let mut net = Net::default();
            let x = net.push("x", Kind::Input(Declared::Real), vec![1, 2]);
            let line = Expr::affine(0.5, -1.0).of(&Expr::unary(Unary::Tanh, Expr::X));
            let t = net.map("t", x, line.clone());
            let linear = Kind::Linear {
                x: t,
                weights: vec![1.0, 2.0],
                bias: vec![3.0],
            };
            let y = net.push("y", linear, vec![1, 1]);
            let sum = if returned {
                net.push("s", Kind::Add { a: y, b: t, sign: 1.0 }, vec![1, 2])
            } else {
                y
            };
            net.inputs = vec![x];
            let mut probe = net.clone();
            let (before, after, _) = fused(net, sum, &[0.3, -0.8]);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-12));
            probe.outputs = vec![NetOutput {
                name: "y".into(),
                value: sum,
                labels: vec![],
            }];
            fuse(&mut probe);
            let Kind::Map { f, .. } = &probe.nodes[1].kind else {
                panic!("{:?}", probe.nodes[1]);
            };
            let want = if returned {
                line
            } else {
                Expr::unary(Unary::Tanh, Expr::X)
            };
            assert_eq!(*f, want);
        }
    }
}
