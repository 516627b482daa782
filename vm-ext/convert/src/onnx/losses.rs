//! Losses and optimisers: what training graphs end in is arithmetic like any other.

use super::import::{one, several, Importer};
use super::op::{malformed, Op, Outcome, Tensor, Value};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{Id, Kind};

impl<'a> Importer<'a> {
    pub(super) fn losses(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "NegativeLogLikelihoodLoss" => {
                let t = op.tensor(0)?;
                let loss = self.likelihood(op, t.id)?;
                one(loss, t.data_type)
            }
            "SoftmaxCrossEntropyLoss" => {
                let t = op.tensor(0)?;
                let log = self.log_softmax(t.id, &[1])?;
                let loss = self.likelihood(op, log)?;
                several([(loss, t.data_type), (log, t.data_type)])
            }
            "Momentum" | "Adagrad" | "Adam" => self.optimiser(op).map(Some),
            _ => Ok(None),
        }
    }

    /// Minus the weighted logarithm at each target's class.
    fn likelihood(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let target = op.tensor(1)?.id;
        let shape = self.build.shape(x);
        let rank = shape.len();
        let mut places = shape.clone();
        if rank < 2 {
            return malformed("its operand has no classes");
        }
        let classes = places.remove(1);
        if self.build.shape(target) != places {
            return malformed("its targets do not fit its operand");
        }
        let ignored = op.int("ignore_index").map(|i| i as f64);
        let (mut at, mut counts) = (target, None);
        if let Some(ignored) = ignored {
            let is = Expr::binary(Binary::Equal, Expr::X, Expr::Const(ignored));
            let zero = Expr::Select(Box::new([is.clone(), Expr::Const(0.0), Expr::X]));
            at = self.build.map(target, zero)?;
            let counted = Expr::binary(Binary::Sub, Expr::Const(1.0), is);
            counts = Some(self.build.map(target, counted)?);
        }
        let at = self.bounded(at, classes)?;
        let (rows, _) = self.build.last_axis(x, 1)?;
        let column = self.build.unsqueeze(at, &[rank - 1])?;
        let kind = Kind::GatherElements {
            x: rows,
            indices: column,
        };
        let mut column_shape = places.clone();
        column_shape.push(1);
        let picked = self.build.push(kind, column_shape)?;
        let picked = self.build.squeeze(picked, &[rank - 1])?;
        let mut loss = self.build.line(picked, -1.0, 0.0)?;
        let mut weights = counts;
        if let Some(w) = op.optional(2)? {
            if self.build.shape(w.id) != [classes] {
                return malformed("its weights do not fit its classes");
            }
            let kind = Kind::Gather {
                x: w.id,
                indices: at,
                axis: 0,
            };
            let own = self.build.push(kind, places.clone())?;
            weights = Some(match counts {
                Some(counts) => self.build.mul(own, counts)?,
                None => own,
            });
        }
        if let Some(w) = weights {
            loss = self.build.mul(loss, w)?;
        }
        let all: Vec<usize> = (0..places.len()).collect();
        match (op.text("reduction").as_str(), weights) {
            ("none", _) => Ok(loss),
            ("sum", _) => self.build.sum(loss, &all, Some(1.0), false),
            (_, None) => self.build.sum(loss, &all, None, false),
            (_, Some(w)) => {
                let sum = self.build.sum(loss, &all, Some(1.0), false)?;
                let count = self.build.sum(w, &all, Some(1.0), false)?;
                self.build.div(sum, count)
            }
        }
    }

    /// One step of an optimiser: new tensors and new states.
    fn optimiser(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let rate = op.tensor(0)?.id;
        let step = self
            .build
            .known(op.tensor(1)?.id, "the number of the step")?
            .first()
            .copied()
            .unwrap_or(0.0);
        let all = op.tensors()?;
        let states = if op.kind() == "Adam" { 2 } else { 1 };
        let n = (all.len() - 2) / (2 + states);
        let group = |g: usize, i: usize| -> Outcome<Tensor> {
            match all.get(2 + g * n + i) {
                Some(t) => Ok(*t),
                None => malformed("it has too few operands"),
            }
        };
        let decay = op.float("norm_coefficient", 0.0);
        let mut results = vec![vec![]; 1 + states];
        for i in 0..n {
            let (x, gradient, first) = (group(0, i)?, group(1, i)?, group(2, i)?);
            let build = &mut self.build;
            let pull = build.line(x.id, decay, 0.0)?;
            let g = build.add(gradient.id, pull)?;
            let (new, moved) = match op.kind() {
                "Momentum" => {
                    let alpha = op.float("alpha", 0.9);
                    let beta = if step == 0.0 { 1.0 } else { op.float("beta", 1.0) };
                    let kept = build.line(first.id, alpha, 0.0)?;
                    let added = build.line(g, beta, 0.0)?;
                    let v = build.add(kept, added)?;
                    let change = if op.text("mode") == "nesterov" {
                        let ahead = build.line(v, alpha, 0.0)?;
                        build.add(g, ahead)?
                    } else {
                        v
                    };
                    let change = build.mul(change, rate)?;
                    (build.sub(x.id, change)?, vec![v])
                }
                "Adagrad" => {
                    let slower = build.line(rate, 1.0 / (1.0 + step * op.float("decay_factor", 0.0)), 0.0)?;
                    let square = build.map(g, Expr::unary(Unary::Square, Expr::X))?;
                    let h = build.add(first.id, square)?;
                    let root = build.sqrt(h)?;
                    let root = build.line(root, 1.0, op.float("epsilon", 0.0))?;
                    let change = build.mul(g, slower)?;
                    let change = build.div(change, root)?;
                    (build.sub(x.id, change)?, vec![h])
                }
                _ => {
                    let second = group(3, i)?;
                    let build = &mut self.build;
                    let (alpha, beta) = (op.float("alpha", 0.9), op.float("beta", 0.999));
                    let kept = build.line(first.id, alpha, 0.0)?;
                    let added = build.line(g, 1.0 - alpha, 0.0)?;
                    let v = build.add(kept, added)?;
                    let square = build.map(g, Expr::unary(Unary::Square, Expr::X))?;
                    let kept = build.line(second.id, beta, 0.0)?;
                    let added = build.line(square, 1.0 - beta, 0.0)?;
                    let h = build.add(kept, added)?;
                    let root = build.sqrt(h)?;
                    let root = build.line(root, 1.0, op.float("epsilon", 0.0))?;
                    let corrected = if step > 0.0 {
                        libm::sqrt(1.0 - libm::pow(beta, step)) / (1.0 - libm::pow(alpha, step))
                    } else {
                        1.0
                    };
                    let rate = build.line(rate, corrected, 0.0)?;
                    let change = build.mul(v, rate)?;
                    let change = build.div(change, root)?;
                    let new = build.sub(x.id, change)?;
                    let after = op.float("norm_coefficient_post", 0.0);
                    (build.line(new, 1.0 - after, 0.0)?, vec![v, h])
                }
            };
            for (list, id) in results.iter_mut().zip([vec![new], moved].concat()) {
                list.push(Value::Tensor(Tensor {
                    id,
                    data_type: x.data_type,
                }));
            }
        }
        Ok(results.concat())
    }
}
