//! Sums, means, extremes and the places of extremes along axes.

use super::import::{one, several, Importer};
use super::op::{axes, axis, malformed, room, Op, Outcome, Value};
use super::proto::DataType;
use crate::expr::{Expr, Unary};
use crate::net::{Id, Kind};

impl<'a> Importer<'a> {
    pub(super) fn reductions(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => self.reduce(op),
            "ArgMax" | "ArgMin" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let a = axis(op.int("axis").unwrap_or(0), rank)?;
                let x = if op.kind() == "ArgMin" {
                    self.build.line(t.id, -1.0, 0.0)?
                } else {
                    t.id
                };
                let y = self.build.arg_max(x, a, op.flag("select_last_index", false))?;
                let y = if op.flag("keepdims", true) {
                    self.build.unsqueeze(y, &[a])?
                } else {
                    y
                };
                one(y, DataType::Int64)
            }
            "Softmax" | "LogSoftmax" | "Hardmax" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let from_13 = op.opset >= 13 || op.node.domain == "ai.onnx.ml";
                let a = axis(op.int("axis").unwrap_or(if from_13 { -1 } else { 1 }), rank.max(1))?;
                let over: Vec<usize> = if from_13 { vec![a] } else { (a..rank).collect() };
                let y = match op.kind() {
                    "Softmax" => self.build.softmax(t.id, &over)?,
                    "LogSoftmax" => self.log_softmax(t.id, &over)?,
                    _ => self.hardmax(t.id, &over)?,
                };
                one(y, t.data_type)
            }
            "CumSum" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let given = self.build.known_ints(op.tensor(1)?.id, "its axis")?;
                let a = axis(given.first().copied().unwrap_or(0), rank)?;
                let n = self.build.shape(t.id)[a];
                room(&[n, n])?;
                let (exclusive, reverse) = (op.flag("exclusive", false), op.flag("reverse", false));
                let counts = |i: usize, j: usize| {
                    let (i, j) = if reverse { (j, i) } else { (i, j) };
                    f64::from(u8::from(if exclusive { j < i } else { j <= i }))
                };
                let matrix = (0..n).flat_map(|i| (0..n).map(move |j| counts(i, j))).collect();
                one(self.build.along(t.id, a, matrix, n)?, t.data_type)
            }
            "TopK" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let a = axis(op.int("axis").unwrap_or(-1), rank)?;
                let k = match op.int("k").filter(|_| op.opset < 10) {
                    Some(k) => k,
                    None => {
                        let k = self.build.known_ints(op.tensor(1)?.id, "how many it gives")?;
                        k.first().copied().unwrap_or(0)
                    }
                };
                let n = self.build.shape(t.id)[a];
                let Some(k) = usize::try_from(k).ok().filter(|k| *k <= n) else {
                    return malformed(format!("it asks for {k} of {n}"));
                };
                let (x, back) = self.build.last_axis(t.id, a)?;
                let mut shape = self.build.shape(x);
                shape[rank - 1] = k;
                let sorted = if op.flag("largest", true) {
                    x
                } else {
                    self.build.line(x, -1.0, 0.0)?
                };
                let indices = self.build.push(Kind::TopK { x: sorted, k }, shape.clone())?;
                let values = self.build.push(Kind::GatherElements { x, indices }, shape)?;
                let values = self.build.transpose(values, &back)?;
                let indices = self.build.transpose(indices, &back)?;
                several([(values, t.data_type), (indices, DataType::Int64)])
            }
            _ => Ok(None),
        }
    }

    fn reduce(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let rank = self.build.rank(t.id);
        let since = if op.kind() == "ReduceSum" { 13 } else { 18 };
        let list = match self.axes_of(op, 1, since)? {
            Some(list) if !list.is_empty() => axes(&list, rank)?,
            _ if op.flag("noop_with_empty_axes", false) => return one(t.id, t.data_type),
            _ => (0..rank).collect(),
        };
        let mut list = list;
        list.sort_unstable();
        list.dedup();
        let keep = op.flag("keepdims", true);
        let y = if matches!(op.kind(), "ReduceMean" | "ReduceSum") {
            self.of_integers(t.id, |this, x| this.reduced(op.kind(), x, &list, keep))?
        } else {
            self.reduced(op.kind(), t.id, &list, keep)?
        };
        one(y, t.data_type)
    }

    fn reduced(&mut self, kind: &str, x: Id, list: &[usize], keep: bool) -> Outcome<Id> {
        let build = &mut self.build;
        match kind {
            "ReduceSum" => build.sum(x, list, Some(1.0), keep),
            "ReduceMean" => build.sum(x, list, None, keep),
            "ReduceMax" => build.largest(x, list, keep),
            "ReduceMin" => build.least(x, list, keep),
            "ReduceProd" => build.product(x, list, keep),
            "ReduceL1" => {
                let x = build.map(x, Expr::unary(Unary::Abs, Expr::X))?;
                build.sum(x, list, Some(1.0), keep)
            }
            "ReduceL2" | "ReduceSumSquare" => {
                let x = build.map(x, Expr::unary(Unary::Square, Expr::X))?;
                let y = build.sum(x, list, Some(1.0), keep)?;
                if kind == "ReduceL2" {
                    build.sqrt(y)
                } else {
                    Ok(y)
                }
            }
            "ReduceLogSum" => {
                let y = build.sum(x, list, Some(1.0), keep)?;
                build.map(y, Expr::unary(Unary::Ln, Expr::X))
            }
            _ => self.log_sum_exp(x, list, keep),
        }
    }

    /// `ln(sum of e^x)`, the largest taken out first.
    pub(super) fn log_sum_exp(&mut self, x: Id, list: &[usize], keep: bool) -> Outcome<Id> {
        let build = &mut self.build;
        let top = build.largest(x, list, true)?;
        // An infinity is no offset.
        let top = build.clamp(top, -1e300, 1e300)?;
        let rest = build.sub(x, top)?;
        let powers = build.map(rest, Expr::unary(Unary::Exp, Expr::X))?;
        let sum = build.sum(powers, list, Some(1.0), true)?;
        let log = build.map(sum, Expr::unary(Unary::Ln, Expr::X))?;
        let y = build.add(log, top)?;
        if keep {
            Ok(y)
        } else {
            build.squeeze(y, list)
        }
    }

    /// `x - ln(sum of e^x)`: exact where probabilities are too small for fixed point.
    pub(super) fn log_softmax(&mut self, x: Id, over: &[usize]) -> Outcome<Id> {
        let sum = self.log_sum_exp(x, over, true)?;
        self.build.sub(x, sum)
    }

    /// 1 at the first of the largest, 0 elsewhere.
    fn hardmax(&mut self, x: Id, over: &[usize]) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let keep: Vec<usize> = (0..shape.len()).filter(|a| !over.contains(a)).collect();
        let order: Vec<usize> = keep.iter().chain(over).copied().collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, a)| back[*a] = i);
        let moved = self.build.transpose(x, &order)?;
        let moved_shape = self.build.shape(moved);
        let n: usize = over.iter().map(|a| shape[*a]).product();
        let rows: usize = keep.iter().map(|a| shape[*a]).product();
        let flat = self.build.reshape(moved, &[rows, n])?;
        let best = self.build.arg_max(flat, 1, false)?;
        let best = self.build.reshape(best, &[rows, 1])?;
        let numbers = self.build.constant((0..n).map(|i| i as f64).collect(), &[n])?;
        let y = self.build.binary(crate::expr::Binary::Equal, best, numbers)?;
        let y = self.build.reshape(y, &moved_shape)?;
        self.build.transpose(y, &back)
    }
}
