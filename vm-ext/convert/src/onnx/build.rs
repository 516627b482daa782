//! Writing a net: operations on values, computed at once where every operand is stored.

use std::cell::Cell;

use aiinference_engine::graph::Window;

use super::op::{malformed, no, room, Fault, Outcome};
use super::{tensor, work};
use crate::eval;
use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, window_extents, Comparison, Elements, Id, Kind, Net};

/// Most nodes of a net, loops written out.
const MAX_NODES: usize = 1 << 18;
/// Most numbers of everything that is stored or computed while importing, weights of operations included.
const MAX_STORED: u64 = 1 << 28;
/// Most elements of all values that are computed when the model runs.
const MAX_VALUES: u64 = 1 << 28;
/// Most elementary operations of a run.
const MAX_RUN: u64 = 1 << 38;
/// Most elementary operations on stored values while importing: some ten seconds.
const MAX_FOLDED: u64 = 1 << 31;
/// Names of nodes are for messages: longer ones are cut.
const MAX_NAME: usize = 256;
/// Expressions beyond this size are not nested further.
const MAX_EXPR: usize = 64;
/// The largest magnitude of a byte less another one's zero point.
const BYTE: f64 = 512.0;
/// A constant operand of at most so many different values is taken apart by them.
const MAX_DIFFERENT: usize = 16;

/// A net under construction.
#[derive(Default)]
pub struct Build {
    /// What is written.
    pub net: Net,
    /// Name of the node that is translated.
    pub name: String,
    stored: u64,
    values: u64,
    run: u64,
    /// Reading stored values counts, too.
    folded: Cell<u64>,
}

impl Build {
    /// An empty net whose operations are named after a node.
    pub fn named(name: &str) -> Build {
        Build {
            name: name.into(),
            ..Build::default()
        }
    }

    /// Adds an operation, or its value where every operand is stored.
    pub fn push(&mut self, kind: Kind, shape: Vec<usize>) -> Outcome<Id> {
        let Some(count) = tensor::count(&shape) else {
            return no(
                format!("a value of shape {shape:?} is too large"),
                "make the model smaller",
            );
        };
        if self.net.nodes.len() >= MAX_NODES {
            return no(
                format!("the model has more than {MAX_NODES} operations, loops written out"),
                "make it smaller",
            );
        }
        let operands = kind.operands();
        let fixed = operands.iter().all(|x| self.net.constant(*x).is_some());
        let of = self.elements(&kind);
        if matches!(&kind, Kind::Const(values) if values.len() != count) {
            return malformed(format!("a tensor of shape {shape:?} holds another number of elements"));
        }
        let operations = work::operations(&kind, &shape, &|x| self.net.shape(x));
        let kind = if count == 0 {
            Kind::Const(vec![])
        } else if fixed && !matches!(kind, Kind::Input(_) | Kind::Const(_)) {
            self.fold(operations)?;
            // Room for the result before it is computed.
            self.store(count as u64)?;
            let net = &self.net;
            let operand = |x| (net.constant(x).unwrap_or_default(), net.shape(x));
            let values = eval::compute(&kind, &shape, &operand);
            if values.len() != count {
                return malformed(format!("it does not give the {count} elements of {shape:?}"));
            }
            Kind::Const(values)
        } else {
            self.store(work::stored(&kind))?;
            kind
        };
        if !matches!(kind, Kind::Const(_)) {
            self.values = self.values.saturating_add(count as u64);
            self.run = self.run.saturating_add(operations);
            if self.values > MAX_VALUES || self.run > MAX_RUN {
                return no(
                    format!("a run has more than {MAX_VALUES} elements or {MAX_RUN} operations"),
                    "make the model or its inputs smaller",
                );
            }
        }
        let name = std::mem::take(&mut self.name);
        let id = self.net.push(&name, kind, shape);
        self.name = name;
        self.net.nodes[id].of = of;
        Ok(id)
    }

    /// Counts numbers that are kept, before they are made.
    pub fn store(&mut self, count: u64) -> Outcome<()> {
        self.stored = self.stored.saturating_add(count);
        if self.stored > MAX_STORED {
            return no(
                format!("more than {MAX_STORED} numbers are stored or computed from stored ones"),
                "make the model smaller",
            );
        }
        Ok(())
    }

    /// Counts elementary operations on stored values, before they are done.
    pub fn fold(&self, operations: u64) -> Outcome<()> {
        self.folded.set(self.folded.get().saturating_add(operations));
        if self.folded.get() > MAX_FOLDED {
            return no(
                format!("more than {MAX_FOLDED} operations on stored values are to be done"),
                "simplify the model before it is converted",
            );
        }
        Ok(())
    }

    /// The name of the node that is translated from now on; gives the one before.
    pub fn rename(&mut self, name: &str) -> String {
        let mut end = name.len().min(MAX_NAME);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        std::mem::replace(&mut self.name, name[..end].to_string())
    }

    /// What the elements of an operation's value are, as far as its operands tell.
    fn elements(&self, kind: &Kind) -> Elements {
        let of = |x: &Id| self.net.nodes[*x].of;
        match kind {
            Kind::Compare { .. } => Elements::Bool,
            Kind::ArgMax { x } | Kind::TopK { x, .. } => {
                let n = self.net.shape(*x).last().copied().unwrap_or(1).max(1);
                Elements::Integer(0.0, (n - 1) as f64)
            }
            Kind::Gather { x, .. }
            | Kind::GatherElements { x, .. }
            | Kind::Broadcast { x }
            | Kind::ReduceMax { x, .. }
            | Kind::MaxPool { x, .. } => of(x),
            Kind::Concat { xs, .. } if xs.windows(2).all(|w| of(&w[0]) == of(&w[1])) => of(&xs[0]),
            Kind::Select { a, b, .. } | Kind::Min { a, b } | Kind::Max { a, b } if of(a) == of(b) => of(a),
            Kind::Map { x, f } => match (of(x), f.clamped()) {
                (Elements::Integer(low, high), Some(line)) if line.scale.abs() == 1.0 && whole_number(line.offset) => {
                    // Not f64::clamp: limits may be no numbers.
                    let ends = [low, high].map(|v| (v * line.scale + line.offset).max(line.low).min(line.high));
                    Elements::Integer(ends[0].min(ends[1]), ends[0].max(ends[1]))
                }
                _ => Elements::Real,
            },
            Kind::Linear { x, weights, bias } | Kind::Conv { x, weights, bias, .. } => {
                let Elements::Integer(low, high) = of(x) else {
                    return Elements::Real;
                };
                if !weights.iter().chain(bias).all(|w| whole_number(*w)) {
                    return Elements::Real;
                }
                let largest = low.abs().max(high.abs());
                let rows = weights.chunks((weights.len() / bias.len().max(1)).max(1)).zip(bias);
                let sums = rows.map(|(row, b)| row.iter().map(|w| w.abs()).sum::<f64>() * largest + b.abs());
                let bound = sums.fold(0.0, f64::max);
                Elements::Integer(-bound, bound)
            }
            Kind::BatchMatMul { a, b } => match (of(a), of(b)) {
                (Elements::Integer(al, ah), Elements::Integer(bl, bh)) => {
                    let k = self.net.shape(*a).last().copied().unwrap_or(1) as f64;
                    let bound = k * al.abs().max(ah.abs()) * bl.abs().max(bh.abs());
                    Elements::Integer(-bound, bound)
                }
                _ => Elements::Real,
            },
            // A quantised operand less its zero points.
            Kind::Add { a, b, sign } => match (self.whole_numbers(*a), self.whole_numbers(*b)) {
                (Some((al, ah)), Some((bl, bh))) => {
                    let ends = [sign * bl, sign * bh];
                    Elements::Integer(al + ends[0].min(ends[1]), ah + ends[0].max(ends[1]))
                }
                _ => Elements::Real,
            },
            kind if kind.moves_only() => kind.operands().first().map_or(Elements::Real, of),
            _ => Elements::Real,
        }
    }

    /// Between which bytes a value's elements are, where they are bytes: by kind, or stored.
    fn whole_numbers(&self, id: Id) -> Option<(f64, f64)> {
        let (low, high) = match (self.net.nodes[id].of, self.net.constant(id)) {
            (Elements::Integer(low, high), _) => (low, high),
            (_, Some(values)) if values.iter().all(|v| whole_number(*v)) => values
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                    (low.min(*v), high.max(*v))
                }),
            _ => return None,
        };
        (low <= high && low >= -BYTE && high <= BYTE).then_some((low, high))
    }

    /// Shape of a value.
    pub fn shape(&self, id: Id) -> Vec<usize> {
        self.net.shape(id).to_vec()
    }

    /// Number of axes of a value.
    pub fn rank(&self, id: Id) -> usize {
        self.net.shape(id).len()
    }

    /// Number of elements of a value.
    pub fn size(&self, id: Id) -> usize {
        self.net.shape(id).iter().product()
    }

    /// Stores a tensor.
    pub fn constant(&mut self, values: Vec<f64>, shape: &[usize]) -> Outcome<Id> {
        self.push(Kind::Const(values), shape.to_vec())
    }

    /// Stores a number.
    pub fn scalar(&mut self, value: f64) -> Outcome<Id> {
        self.constant(vec![value], &[])
    }

    /// The elements of a value, which must be stored; `what` it decides is for the message.
    pub fn known(&self, id: Id, what: &str) -> Outcome<Vec<f64>> {
        match self.net.constant(id) {
            Some(values) => {
                self.fold(values.len() as u64)?;
                Ok(values.to_vec())
            }
            None => Err(Fault::Unknown {
                value: id,
                what: what.into(),
            }),
        }
    }

    /// The whole numbers of a value, which must be stored.
    pub fn known_ints(&self, id: Id, what: &str) -> Outcome<Vec<i64>> {
        Ok(self.known(id, what)?.into_iter().map(|v| v as i64).collect())
    }

    /// The value of an input that everything about `id` comes from: the first that it depends on.
    pub fn source(&self, id: Id) -> Option<Id> {
        let mut seen = vec![false; id + 1];
        let mut stack = vec![id];
        let mut first: Option<Id> = None;
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            if matches!(self.net.nodes[id].kind, Kind::Input(_)) {
                first = Some(first.map_or(id, |f| f.min(id)));
            }
            stack.extend(self.net.nodes[id].kind.operands());
        }
        first
    }

    /// A function of every element.
    pub fn map(&mut self, x: Id, f: Expr) -> Outcome<Id> {
        let shape = self.shape(x);
        self.push(Kind::Map { x, f }, shape)
    }

    /// `clamp(x, low, high)`.
    pub fn clamp(&mut self, x: Id, low: f64, high: f64) -> Outcome<Id> {
        self.map(x, Expr::clamp(low, high))
    }

    /// `scale * x + offset`.
    pub fn line(&mut self, x: Id, scale: f64, offset: f64) -> Outcome<Id> {
        self.map(x, Expr::affine(scale, offset))
    }

    /// 1 - x, for booleans.
    pub fn not(&mut self, x: Id) -> Outcome<Id> {
        let id = self.map(x, Expr::binary(Binary::Sub, Expr::Const(1.0), Expr::X))?;
        self.net.nodes[id].of = Elements::Bool;
        Ok(id)
    }

    /// Shape of two values broadcast.
    pub fn common(&self, a: Id, b: Id) -> Outcome<Vec<usize>> {
        match broadcast(self.net.shape(a), self.net.shape(b)) {
            Some(shape) => {
                room(&shape)?;
                Ok(shape)
            }
            None => malformed(format!(
                "its operands have shapes {:?} and {:?}, which do not broadcast",
                self.net.shape(a),
                self.net.shape(b)
            )),
        }
    }

    /// `a + b`
    pub fn add(&mut self, a: Id, b: Id) -> Outcome<Id> {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`
    pub fn sub(&mut self, a: Id, b: Id) -> Outcome<Id> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`
    pub fn mul(&mut self, a: Id, b: Id) -> Outcome<Id> {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`
    pub fn div(&mut self, a: Id, b: Id) -> Outcome<Id> {
        self.binary(Binary::Div, a, b)
    }

    /// The quotient as it is, not as a product with a reciprocal: for whole numbers, of which it must be exact.
    pub fn quotient(&mut self, a: Id, b: Id) -> Outcome<Id> {
        let shape = self.common(a, b)?;
        self.push(Kind::Div { a, b }, shape)
    }

    /// A value as a function of another one.
    fn as_function(&self, id: Id) -> (Option<Id>, Expr) {
        match &self.net.nodes[id].kind {
            Kind::Const(v) if !v.is_empty() && v.iter().all(|x| *x == v[0]) => (None, Expr::Const(v[0])),
            Kind::Map { x, f } if f.size() < MAX_EXPR => (Some(*x), f.clone()),
            _ => (Some(id), Expr::X),
        }
    }

    /// An operation on two values, broadcast.
    pub fn binary(&mut self, op: Binary, a: Id, b: Id) -> Outcome<Id> {
        let shape = self.common(a, b)?;
        let (ca, cb) = (self.net.constant(a).is_some(), self.net.constant(b).is_some());
        if ca && cb {
            return self.stored_binary(op, a, b, shape);
        }
        let ((xa, fa), (xb, fb)) = (self.as_function(a), self.as_function(b));
        let source = match (xa, xb) {
            (Some(x), None) if self.net.shape(a) == shape => Some(x),
            (None, Some(x)) if self.net.shape(b) == shape => Some(x),
            (Some(x), Some(y)) if x == y && self.net.shape(x) == shape => Some(x),
            _ => None,
        };
        let source = source.filter(|x| self.net.shape(*x) == shape && self.net.constant(*x).is_none());
        if let Some(x) = source.filter(|_| fa.size() + fb.size() < MAX_EXPR) {
            let id = self.push(
                Kind::Map {
                    x,
                    f: Expr::binary(op, fa, fb),
                },
                shape,
            )?;
            if matches!(op, Binary::Less | Binary::LessEqual | Binary::Equal) {
                self.net.nodes[id].of = Elements::Bool;
            }
            return Ok(id);
        }
        match op {
            Binary::Add | Binary::Sub => {
                let sign = if op == Binary::Add { 1.0 } else { -1.0 };
                if cb {
                    let offsets = self.map(b, Expr::binary(Binary::Mul, Expr::X, Expr::Const(sign)))?;
                    if let Some(id) = self.affine(a, None, Some(offsets), &shape)? {
                        return Ok(id);
                    }
                }
                if ca {
                    let x = if sign < 0.0 { self.line(b, -1.0, 0.0)? } else { b };
                    if let Some(id) = self.affine(x, None, Some(a), &shape)? {
                        return Ok(id);
                    }
                }
                self.push(Kind::Add { a, b, sign }, shape)
            }
            Binary::Mul => {
                if cb {
                    if let Some(id) = self.affine(a, Some(b), None, &shape)? {
                        return Ok(id);
                    }
                }
                if ca {
                    if let Some(id) = self.affine(b, Some(a), None, &shape)? {
                        return Ok(id);
                    }
                }
                self.push(Kind::Mul { a, b }, shape)
            }
            Binary::Div if cb => {
                let b = self.map(b, Expr::binary(Binary::Div, Expr::Const(1.0), Expr::X))?;
                self.mul(a, b)
            }
            Binary::Div => self.push(Kind::Div { a, b }, shape),
            Binary::Min => self.push(Kind::Min { a, b }, shape),
            Binary::Max => self.push(Kind::Max { a, b }, shape),
            Binary::Less => self.compare(Comparison::Less, a, b, shape),
            Binary::LessEqual => self.compare(Comparison::LessEqual, a, b, shape),
            Binary::Equal => self.compare(Comparison::Equal, a, b, shape),
            Binary::Pow | Binary::BitAnd | Binary::BitOr | Binary::BitXor => self.by_values(op, a, b, shape),
        }
    }

    fn compare(&mut self, by: Comparison, a: Id, b: Id, shape: Vec<usize>) -> Outcome<Id> {
        self.push(Kind::Compare { a, b, by }, shape)
    }

    fn stored_binary(&mut self, op: Binary, a: Id, b: Id, shape: Vec<usize>) -> Outcome<Id> {
        self.fold(3 * room(&shape)? as u64)?;
        let [x, y] = [a, b].map(|id| self.spread(id, &shape));
        let values = x?.into_iter().zip(y?).map(|(x, y)| op.eval(x, y)).collect();
        self.constant(values, &shape)
    }

    /// The elements of a stored value, broadcast.
    fn spread(&self, id: Id, shape: &[usize]) -> Outcome<Vec<f64>> {
        let values = self.known(id, "an operand")?;
        if values.is_empty() || shape.contains(&0) {
            return Ok(vec![]);
        }
        let from = self.net.shape(id);
        Ok(eval::compute(&Kind::Broadcast { x: 0 }, shape, &|_| (&values, from)))
    }

    /// An operation that the engine knows between a value and a number only: number by number.
    fn by_values(&mut self, op: Binary, a: Id, b: Id, shape: Vec<usize>) -> Outcome<Id> {
        let (numbers, first) = match (self.net.constant(a), self.net.constant(b)) {
            (_, Some(values)) => (values, false),
            (Some(values), _) => (values, true),
            _ => {
                return Err(Fault::Unknown {
                    value: b,
                    what: "the second operand".into(),
                })
            }
        };
        let mut different: Vec<f64> = vec![];
        for v in numbers {
            if !different.iter().any(|d| d.to_bits() == v.to_bits()) {
                different.push(*v);
            }
            if different.len() > MAX_DIFFERENT {
                return Err(Fault::Unknown {
                    value: if first { b } else { a },
                    what: format!("an operand, the other having more than {MAX_DIFFERENT} different values,"),
                });
            }
        }
        let (x, numbers) = if first { (b, a) } else { (a, b) };
        let mut y = None;
        for v in different {
            let f = if first {
                Expr::binary(op, Expr::Const(v), Expr::X)
            } else {
                Expr::binary(op, Expr::X, Expr::Const(v))
            };
            let part = self.map(x, f)?;
            y = Some(match y {
                None => self.broadcast(part, &shape)?,
                Some(y) => {
                    let here = self.map(numbers, Expr::binary(Binary::Equal, Expr::X, Expr::Const(v)))?;
                    self.select(here, part, y)?
                }
            });
        }
        match y {
            Some(y) => Ok(y),
            None => self.constant(vec![], &shape),
        }
    }

    /// `x * scale + offset` where the constants vary along one axis of x at most.
    fn affine(&mut self, x: Id, scale: Option<Id>, offset: Option<Id>, shape: &[usize]) -> Outcome<Option<Id>> {
        if self.net.shape(x) != shape || self.net.constant(x).is_some() {
            return Ok(None);
        }
        let Some(constant) = scale.or(offset) else {
            return Ok(None);
        };
        let from = self.net.shape(constant);
        let Some(missing) = shape.len().checked_sub(from.len()) else {
            return Ok(None);
        };
        let mut long = (0..from.len()).filter(|i| from[*i] != 1);
        let (Some(axis), None) = (long.next(), long.next()) else {
            return Ok(None);
        };
        let axis = missing + axis;
        let channels = shape[axis];
        let values = |id: Option<Id>, default: f64| match id.and_then(|i| self.net.constant(i)) {
            Some(v) => v.to_vec(),
            None => vec![default; channels],
        };
        let (scale, offset) = (values(scale, 1.0), values(offset, 0.0));
        self.push(Kind::Affine { x, axis, scale, offset }, shape.to_vec())
            .map(Some)
    }

    /// `x * scale[c] + offset[c]` along an axis.
    pub fn per_channel(&mut self, x: Id, axis: usize, scale: Vec<f64>, offset: Vec<f64>) -> Outcome<Id> {
        let shape = self.shape(x);
        let n = shape.get(axis).copied();
        if Some(scale.len()) != n || Some(offset.len()) != n {
            return malformed(format!(
                "{} factors and {} terms are given for axis {axis} of {shape:?}",
                scale.len(),
                offset.len()
            ));
        }
        self.push(Kind::Affine { x, axis, scale, offset }, shape)
    }

    /// `condition ? a : b`, broadcast: between functions of one value it is a function.
    pub fn select(&mut self, condition: Id, a: Id, b: Id) -> Outcome<Id> {
        let inner = self.common(a, b)?;
        let Some(shape) = broadcast(self.net.shape(condition), &inner) else {
            return malformed("its operands do not broadcast");
        };
        room(&shape)?;
        let parts = [condition, a, b].map(|i| self.as_function(i));
        let mut sources = parts.iter().filter_map(|(x, _)| *x);
        let size: usize = parts.iter().map(|(_, f)| f.size()).sum();
        let first = sources.next();
        let one = first.filter(|x| sources.all(|y| y == *x) && self.net.shape(*x) == shape);
        if let Some(x) = one.filter(|x| size < MAX_EXPR && self.net.constant(*x).is_none()) {
            let f = Expr::Select(Box::new(parts.map(|(_, f)| f)));
            return self.push(Kind::Map { x, f }, shape);
        }
        self.push(Kind::Select { condition, a, b }, shape)
    }

    /// Other extents for the same elements.
    pub fn reshape(&mut self, x: Id, shape: &[usize]) -> Outcome<Id> {
        if self.net.shape(x) == shape {
            return Ok(x);
        }
        if tensor::count(shape) != Some(self.size(x)) {
            return malformed(format!("{:?} does not become {shape:?}", self.net.shape(x)));
        }
        self.push(Kind::Reshape { x }, shape.to_vec())
    }

    /// Axis i of the result is axis `axes[i]` of x: a reshape where only axes of length 1 move.
    pub fn transpose(&mut self, x: Id, axes: &[usize]) -> Outcome<Id> {
        let from = self.shape(x);
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted.len() != from.len() || sorted.iter().enumerate().any(|(i, a)| i != *a) {
            return malformed(format!("{axes:?} is no order of {} axes", from.len()));
        }
        let shape: Vec<usize> = axes.iter().map(|&a| from[a]).collect();
        let long: Vec<usize> = axes.iter().copied().filter(|&a| from[a] != 1).collect();
        if long.windows(2).all(|w| w[0] < w[1]) {
            return self.reshape(x, &shape);
        }
        let axes = axes.to_vec();
        self.push(Kind::Transpose { x, axes }, shape)
    }

    /// Moves an axis to the end; gives the order that moves it back, too.
    pub fn last_axis(&mut self, x: Id, axis: usize) -> Outcome<(Id, Vec<usize>)> {
        let rank = self.rank(x);
        if axis >= rank {
            return malformed(format!("its axis {axis} is none of {rank}"));
        }
        let order: Vec<usize> = (0..rank).filter(|a| *a != axis).chain([axis]).collect();
        let mut back = vec![0; rank];
        order.iter().enumerate().for_each(|(i, a)| back[*a] = i);
        Ok((self.transpose(x, &order)?, back))
    }

    /// Elements `start, start + step, ..` along an axis.
    pub fn slice(&mut self, x: Id, axis: usize, start: usize, step: usize, length: usize) -> Outcome<Id> {
        let mut shape = self.shape(x);
        let last = length
            .saturating_sub(1)
            .checked_mul(step)
            .and_then(|way| way.checked_add(start));
        match shape.get(axis) {
            Some(n) if *n == length && start == 0 && step == 1 => return Ok(x),
            Some(n) if length == 0 || last.is_some_and(|last| last < *n) => {}
            _ => return malformed(format!("it cuts {length} elements from {start} on out of {shape:?}")),
        }
        shape[axis] = length;
        let kind = Kind::Slice {
            x,
            axis,
            start,
            step,
            length,
        };
        self.push(kind, shape)
    }

    /// The elements at some indices along an axis.
    pub fn take(&mut self, x: Id, axis: usize, indices: &[usize]) -> Outcome<Id> {
        let extent = self.net.shape(x).get(axis).copied().unwrap_or(0);
        if indices.iter().any(|i| *i >= extent) {
            return malformed(format!("it reads beyond {extent} elements"));
        }
        let step = match indices {
            [first, second, ..] => second.wrapping_sub(*first),
            _ => 1,
        };
        if indices.windows(2).all(|w| w[1] > w[0] && w[1] - w[0] == step) {
            let start = indices.first().copied().unwrap_or(0);
            return self.slice(x, axis, start, step, indices.len());
        }
        let mut shape = self.shape(x);
        // Whole enlargements have an operation of their own.
        let factor = indices.len() / shape[axis].max(1);
        if axis + 2 >= shape.len()
            && indices.len() == shape[axis] * factor
            && indices.iter().enumerate().all(|(i, s)| *s == i / factor)
        {
            let last = axis + 1 == shape.len();
            return self.upsample(x, if last { [1, factor] } else { [factor, 1] });
        }
        let list = indices.iter().map(|i| *i as f64).collect();
        let list = self.constant(list, &[indices.len()])?;
        shape[axis] = indices.len();
        self.push(Kind::Gather { x, indices: list, axis }, shape)
    }

    /// Every element repeated along the last two axes.
    pub fn upsample(&mut self, x: Id, factors: [usize; 2]) -> Outcome<Id> {
        let mut shape = self.shape(x);
        let rank = shape.len();
        if rank == 1 {
            let x = self.reshape(x, &[1, shape[0]])?;
            let y = self.push(Kind::Upsample { x, factors }, vec![factors[0], shape[0] * factors[1]])?;
            return self.reshape(y, &[shape[0] * factors[1]]);
        }
        shape[rank - 2] *= factors[0];
        shape[rank - 1] *= factors[1];
        self.push(Kind::Upsample { x, factors }, shape)
    }

    /// Side by side.
    pub fn concat(&mut self, xs: Vec<Id>, axis: usize) -> Outcome<Id> {
        let Some(first) = xs.first() else {
            return malformed("it joins nothing");
        };
        let mut shape = self.shape(*first);
        let fits = |s: &[usize]| s.len() == shape.len() && (0..s.len()).all(|i| i == axis || s[i] == shape[i]);
        if axis >= shape.len() || !xs.iter().all(|x| fits(self.net.shape(*x))) {
            return malformed("its operands differ in more than one axis");
        }
        let extents = xs.iter().map(|x| self.net.shape(*x)[axis]);
        shape[axis] = extents.fold(0, usize::saturating_add);
        let mut xs: Vec<Id> = if shape.contains(&0) {
            xs
        } else {
            xs.into_iter().filter(|x| self.net.shape(*x)[axis] > 0).collect()
        };
        if xs.len() == 1 {
            return Ok(xs.remove(0));
        }
        self.push(Kind::Concat { xs, axis }, shape)
    }

    /// A constant around x.
    pub fn pad(&mut self, x: Id, before: Vec<usize>, after: Vec<usize>, value: f64) -> Outcome<Id> {
        if before.iter().chain(&after).all(|n| *n == 0) {
            return Ok(x);
        }
        let shape: Option<Vec<usize>> = self
            .net
            .shape(x)
            .iter()
            .zip(before.iter().zip(&after))
            .map(|(n, (b, a))| n.checked_add(*b)?.checked_add(*a))
            .collect();
        let Some(shape) = shape else {
            return malformed("its padding is too large");
        };
        let kind = Kind::Pad {
            x,
            before,
            after,
            value,
        };
        if self.size(x) == 0 && !shape.contains(&0) {
            return self.constant(vec![value; tensor::count(&shape).unwrap_or(0)], &shape);
        }
        self.push(kind, shape)
    }

    /// Pads along one axis.
    pub fn pad_axis(&mut self, x: Id, axis: usize, before: usize, after: usize, value: f64) -> Outcome<Id> {
        let rank = self.rank(x);
        let at = |n: usize| (0..rank).map(|a| if a == axis { n } else { 0 }).collect();
        self.pad(x, at(before), at(after), value)
    }

    /// NumPy's broadcast_to.
    pub fn broadcast(&mut self, x: Id, shape: &[usize]) -> Outcome<Id> {
        if self.net.shape(x) == shape {
            return Ok(x);
        }
        if broadcast(self.net.shape(x), shape).as_deref() != Some(shape) {
            return malformed(format!("{:?} does not broadcast to {shape:?}", self.net.shape(x)));
        }
        self.push(Kind::Broadcast { x }, shape.to_vec())
    }

    /// Axes of extent 1 at these places of the result.
    pub fn unsqueeze(&mut self, x: Id, axes: &[usize]) -> Outcome<Id> {
        let mut from = self.shape(x).into_iter();
        let rank = self.rank(x) + axes.len();
        if rank > tensor::MAX_RANK {
            return malformed(format!("its result has {rank} axes"));
        }
        let shape: Vec<usize> = (0..rank)
            .map(|a| if axes.contains(&a) { 1 } else { from.next().unwrap_or(1) })
            .collect();
        self.reshape(x, &shape)
    }

    /// x with axes of extent 1 left out.
    pub fn squeeze(&mut self, x: Id, axes: &[usize]) -> Outcome<Id> {
        let shape: Vec<usize> = self.shape(x);
        let kept: Vec<usize> = (0..shape.len())
            .filter(|a| !axes.contains(a))
            .map(|a| shape[a])
            .collect();
        self.reshape(x, &kept)
    }

    /// NumPy's matmul: with stored weights a Linear, else a BatchMatMul.
    pub fn matmul(&mut self, a: Id, b: Id) -> Outcome<Id> {
        let (sa, sb) = (self.shape(a), self.shape(b));
        if sa.is_empty() || sb.is_empty() {
            return malformed("it multiplies a scalar");
        }
        let (ra, rb) = (sa.len(), sb.len());
        let k = sa[ra - 1];
        if sb[rb.saturating_sub(2)] != k {
            return malformed(format!("it multiplies {sa:?} by {sb:?}"));
        }
        let (ca, cb) = (self.net.constant(a).is_some(), self.net.constant(b).is_some());
        let matrix = |s: &[usize]| s.iter().rev().skip(2).all(|e| *e == 1);
        let out = |batch: Vec<usize>| -> Vec<usize> {
            let rows = (ra > 1).then(|| sa[ra - 2]);
            let columns = (rb > 1).then(|| sb[rb - 1]);
            batch.into_iter().chain(rows).chain(columns).collect()
        };
        if cb && !ca && matrix(&sb) && rb <= ra.max(2) {
            let n = if rb > 1 { sb[rb - 1] } else { 1 };
            let values = self.known(b, "the weights")?;
            let weights = eval::transpose(&values, &[k, n], &[1, 0]);
            let y = self.linear(a, weights, vec![0.0; n])?;
            return self.reshape(y, &out(sa[..ra.saturating_sub(2)].to_vec()));
        }
        if ca && !cb && matrix(&sa) && ra <= rb.max(2) {
            // W x = (x^T W^T)^T
            let m = if ra > 1 { sa[ra - 2] } else { 1 };
            let weights = self.known(a, "the weights")?;
            let x = if rb > 1 { self.last_axis(b, rb - 2)?.0 } else { b };
            let y = self.linear(x, weights, vec![0.0; m])?;
            let rank = self.rank(y);
            let y = if rb > 1 { self.last_axis(y, rank - 2)?.0 } else { y };
            return self.reshape(y, &out(sb[..rb.saturating_sub(2)].to_vec()));
        }
        let a = if ra == 1 { self.reshape(a, &[1, k])? } else { a };
        let b = if rb == 1 { self.reshape(b, &[k, 1])? } else { b };
        let (sa2, sb2) = (self.shape(a), self.shape(b));
        let Some(batch) = broadcast(&sa2[..sa2.len() - 2], &sb2[..sb2.len() - 2]) else {
            return malformed(format!("it multiplies {sa:?} by {sb:?}"));
        };
        let mut shape = batch.clone();
        shape.extend([sa2[sa2.len() - 2], sb2[sb2.len() - 1]]);
        let y = if k == 0 {
            self.constant(vec![0.0; tensor::count(&shape).unwrap_or(0)], &shape)?
        } else {
            self.push(Kind::BatchMatMul { a, b }, shape)?
        };
        self.reshape(y, &out(batch))
    }

    /// `y[.., n] = bias[n] + sum over k of x[.., k] * weights[n, k]`.
    pub fn linear(&mut self, x: Id, weights: Vec<f64>, bias: Vec<f64>) -> Outcome<Id> {
        let mut shape = self.shape(x);
        match shape.last_mut() {
            Some(k) if *k * bias.len() == weights.len() => *k = bias.len(),
            _ => return malformed(format!("{} weights do not fit {:?}", weights.len(), self.net.shape(x))),
        }
        self.push(Kind::Linear { x, weights, bias }, shape)
    }

    /// Every row along an axis times a matrix: `y[i] = sum over j of matrix[i][j] * x[j]`.
    pub fn along(&mut self, x: Id, axis: usize, matrix: Vec<f64>, rows: usize) -> Outcome<Id> {
        let (x, back) = self.last_axis(x, axis)?;
        let y = self.linear(x, matrix, vec![0.0; rows])?;
        self.transpose(y, &back)
    }

    /// Moves axes to the end as one: `[.., product]`. Gives the shape before it, too.
    fn gather_axes(&mut self, x: Id, axes: &[usize]) -> Outcome<(Id, Vec<usize>)> {
        let from = self.shape(x);
        let keep: Vec<usize> = (0..from.len()).filter(|a| !axes.contains(a)).collect();
        let order: Vec<usize> = keep.iter().chain(axes).copied().collect();
        let x = self.transpose(x, &order)?;
        let kept: Vec<usize> = keep.iter().map(|a| from[*a]).collect();
        let shape = [kept.clone(), vec![axes.iter().map(|a| from[*a]).product()]].concat();
        Ok((self.reshape(x, &shape)?, kept))
    }

    /// Shape of x with axes left out or, where they are kept, of extent 1.
    fn reduced(&self, x: Id, axes: &[usize], keep: bool) -> Vec<usize> {
        let from = self.net.shape(x);
        (0..from.len())
            .filter(|a| keep || !axes.contains(a))
            .map(|a| if axes.contains(&a) { 1 } else { from[a] })
            .collect()
    }

    /// `factor` times the sum over axes; a mean where there is no factor.
    pub fn sum(&mut self, x: Id, axes: &[usize], factor: Option<f64>, keep: bool) -> Outcome<Id> {
        let shape = self.reduced(x, axes, keep);
        let count: usize = axes.iter().map(|a| self.net.shape(x)[*a]).product();
        if count == 0 {
            return self.constant(vec![0.0; shape.iter().product()], &shape);
        }
        let factor = factor.unwrap_or(1.0 / count as f64);
        if count == 1 {
            let y = self.reshape(x, &shape)?;
            return if factor == 1.0 {
                Ok(y)
            } else {
                self.line(y, factor, 0.0)
            };
        }
        // The mean of an image is a pooling.
        let from = self.shape(x);
        if from.len() == 4 && axes == [2, 3] && factor == 1.0 / count as f64 {
            let window = whole([from[2], from[3]]);
            let kind = Kind::AvgPool {
                x,
                window,
                count_padding: false,
            };
            let y = self.push(kind, vec![from[0], from[1], 1, 1])?;
            return self.reshape(y, &shape);
        }
        let (x, kept) = self.gather_axes(x, axes)?;
        let axis = kept.len();
        let y = self.push(Kind::ReduceSum { x, axis, factor }, kept)?;
        self.reshape(y, &shape)
    }

    /// The largest over axes.
    pub fn largest(&mut self, x: Id, axes: &[usize], keep: bool) -> Outcome<Id> {
        let shape = self.reduced(x, axes, keep);
        let (x, kept) = self.gather_axes(x, axes)?;
        let axis = kept.len();
        if self.net.shape(x)[axis] == 0 {
            return self.constant(vec![f64::NEG_INFINITY; shape.iter().product()], &shape);
        }
        let y = self.push(Kind::ReduceMax { x, axis }, kept)?;
        self.reshape(y, &shape)
    }

    /// The least over axes.
    pub fn least(&mut self, x: Id, axes: &[usize], keep: bool) -> Outcome<Id> {
        let x = self.line(x, -1.0, 0.0)?;
        let y = self.largest(x, axes, keep)?;
        self.line(y, -1.0, 0.0)
    }

    /// The product over axes: halves multiplied until one is left.
    pub fn product(&mut self, x: Id, axes: &[usize], keep: bool) -> Outcome<Id> {
        let shape = self.reduced(x, axes, keep);
        let (mut x, kept) = self.gather_axes(x, axes)?;
        let axis = kept.len();
        if self.net.shape(x)[axis] == 0 {
            return self.constant(vec![1.0; shape.iter().product()], &shape);
        }
        // Halves are multiplied; what is left over waits, since it is of another size than products.
        let mut rest = Vec::new();
        while self.net.shape(x)[axis] > 1 {
            let n = self.net.shape(x)[axis];
            if n % 2 == 1 {
                rest.push(self.slice(x, axis, n - 1, 1, 1)?);
            }
            let half = n / 2;
            let a = self.slice(x, axis, 0, 1, half)?;
            let b = self.slice(x, axis, half, 1, half)?;
            x = self.mul(a, b)?;
        }
        for one in rest {
            x = self.mul(x, one)?;
        }
        self.reshape(x, &shape)
    }

    /// Over axes that are next to each other in the given order.
    pub fn softmax(&mut self, x: Id, axes: &[usize]) -> Outcome<Id> {
        let from = self.shape(x);
        let keep: Vec<usize> = (0..from.len()).filter(|a| !axes.contains(a)).collect();
        let order: Vec<usize> = keep.iter().chain(axes).copied().collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, a)| back[*a] = i);
        let moved = self.transpose(x, &order)?;
        let moved_shape = self.shape(moved);
        let x = if axes.len() == 1 {
            moved
        } else {
            let inner: usize = axes.iter().map(|a| from[*a]).product();
            let rows: usize = keep.iter().map(|a| from[*a]).product();
            self.reshape(moved, &[rows, inner])?
        };
        let within = self.shape(x);
        let y = self.push(Kind::Softmax { x }, within)?;
        let y = self.reshape(y, &moved_shape)?;
        self.transpose(y, &back)
    }

    /// Indices of the first (or last) of the largest along an axis, which goes.
    pub fn arg_max(&mut self, x: Id, axis: usize, last: bool) -> Outcome<Id> {
        let (mut x, _) = self.last_axis(x, axis)?;
        let mut shape = self.shape(x);
        let n = shape.pop().unwrap_or(1);
        if n == 0 {
            return malformed("it looks for the largest of nothing");
        }
        if last {
            let reversed: Vec<usize> = (0..n).rev().collect();
            x = self.take(x, shape.len(), &reversed)?;
        }
        let y = self.push(Kind::ArgMax { x }, shape)?;
        if last {
            self.line(y, -1.0, (n - 1) as f64)
        } else {
            Ok(y)
        }
    }

    /// A window over `[B, C, H, W]`.
    pub fn window(&mut self, x: Id, channels: usize, window: &Window, kind: Kind) -> Outcome<Id> {
        let from = self.shape(x);
        let Some([h, w]) = window_extents([from[2], from[3]], window) else {
            return no(
                "its window is larger than the image",
                "pad the image or shrink the window",
            );
        };
        self.push(kind, vec![from[0], channels, h, w])
    }

    /// The square root of every element.
    pub fn sqrt(&mut self, x: Id) -> Outcome<Id> {
        self.map(x, Expr::unary(Unary::Sqrt, Expr::X))
    }
}

/// Whether a number is whole and exact.
fn whole_number(v: f64) -> bool {
    v == libm::trunc(v) && v.abs() < 9007199254740992.0
}

/// A window that covers an image.
pub fn whole([h, w]: [usize; 2]) -> Window {
    Window {
        kernel: [h as u32, w as u32],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_where_a_character_ends() {
        let mut build = Build::named("first");
        assert_eq!(build.rename(&format!("a{}", "\u{e9}".repeat(1000))), "first");
        assert_eq!(build.name, format!("a{}", "\u{e9}".repeat(127)));
        build.rename("short");
        assert_eq!(build.name, "short");
    }
}
