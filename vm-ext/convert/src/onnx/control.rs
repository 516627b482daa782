//! Branches, loops, sequences and optionals: resolved while importing.

use std::rc::Rc;

use super::import::Importer;
use super::op::{axis, malformed, no, Fault, Op, Outcome, Tensor, Value};
use super::proto::DataType;
use crate::net::Id;

/// Most passes of a loop.
const MAX_PASSES: i64 = 1 << 14;

impl<'a> Importer<'a> {
    pub(super) fn control(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "If" => self.branch(op).map(Some),
            "Loop" => self.repeated(op).map(Some),
            "Scan" => self.scanned(op).map(Some),
            "SequenceEmpty" => Ok(Some(vec![Value::Sequence(Rc::new(vec![]))])),
            "SequenceConstruct" => {
                let values = op.inputs.iter().flatten().cloned().collect();
                self.list(values).map(|list| Some(vec![list]))
            }
            "SequenceInsert" => {
                self.build.store(3 * sequence(op, 0)?.len() as u64)?;
                let mut list = sequence(op, 0)?.to_vec();
                let at = self.position(op, 2, list.len() + 1, list.len())?;
                list.insert(at, Value::Tensor(op.tensor(1)?));
                Ok(Some(vec![Value::Sequence(Rc::new(list))]))
            }
            "SequenceErase" => {
                self.build.store(3 * sequence(op, 0)?.len() as u64)?;
                let mut list = sequence(op, 0)?.to_vec();
                let last = list.len().saturating_sub(1);
                let at = self.position(op, 1, list.len(), last)?;
                list.remove(at);
                Ok(Some(vec![Value::Sequence(Rc::new(list))]))
            }
            "SequenceAt" => {
                let list = sequence(op, 0)?;
                let at = self.position(op, 1, list.len(), 0)?;
                Ok(Some(vec![list[at].clone()]))
            }
            "SequenceLength" => {
                let n = sequence(op, 0)?.len();
                let t = self.constant(vec![n as f64], &[], DataType::Int64)?;
                Ok(Some(vec![Value::Tensor(t)]))
            }
            "SequenceMap" => {
                let list = sequence(op, 0)?.to_vec();
                let graph = op.graph("body")?;
                let mut results: Vec<Vec<Value>> = vec![vec![]; graph.output.len()];
                for (i, item) in list.into_iter().enumerate() {
                    let mut inputs = vec![item];
                    for other in op.inputs[1..].iter().flatten() {
                        inputs.push(match other {
                            Value::Sequence(list) => match list.get(i) {
                                Some(item) => item.clone(),
                                None => return malformed("its sequences differ in length"),
                            },
                            other => other.clone(),
                        });
                    }
                    let outputs = self.body(graph, inputs)?;
                    results.iter_mut().zip(outputs).for_each(|(list, v)| list.push(v));
                }
                let lists = results.into_iter().map(|list| self.list(list));
                lists.collect::<Outcome<Vec<Value>>>().map(Some)
            }
            "SplitToSequence" => self.split_to_sequence(op).map(Some),
            "ConcatFromSequence" => {
                let mut ids = Vec::new();
                let mut data_type = DataType::Float;
                self.build.fold(sequence(op, 0)?.len() as u64)?;
                for value in sequence(op, 0)?.iter() {
                    if let Value::Tensor(t) = value {
                        ids.push(t.id);
                        data_type = t.data_type;
                    }
                }
                let new = op.flag("new_axis", false);
                let rank = ids.first().map_or(0, |i| self.build.rank(*i)) + usize::from(new);
                let a = axis(op.int("axis").unwrap_or(0), rank)?;
                if new {
                    for id in &mut ids {
                        *id = self.build.unsqueeze(*id, &[a])?;
                    }
                }
                let id = self.build.concat(ids, a)?;
                Ok(Some(vec![Value::Tensor(Tensor { id, data_type })]))
            }
            "Optional" => Ok(Some(vec![op.maybe(0).cloned().unwrap_or(Value::Nothing)])),
            "OptionalGetElement" => match op.maybe(0) {
                Some(Value::Nothing) | None => malformed("its optional is empty"),
                Some(value) => Ok(Some(vec![value.clone()])),
            },
            "OptionalHasElement" => {
                let has = !matches!(op.maybe(0), None | Some(Value::Nothing));
                let t = self.constant(vec![f64::from(u8::from(has))], &[], DataType::Bool)?;
                Ok(Some(vec![Value::Tensor(t)]))
            }
            _ => Ok(None),
        }
    }

    /// A sequence. Its elements are tensors: ONNX has no sequences of sequences.
    fn list(&mut self, values: Vec<Value>) -> Outcome<Value> {
        if !values.iter().all(|v| matches!(v, Value::Tensor(_) | Value::Text(_))) {
            return malformed("it makes a sequence of other than tensors");
        }
        self.build.store(3 * values.len() as u64)?;
        Ok(Value::Sequence(Rc::new(values)))
    }

    /// A place in a sequence of `n`, counted from the end where it is negative.
    fn position(&mut self, op: &Op<'a>, i: usize, n: usize, default: usize) -> Outcome<usize> {
        let Some(t) = op.optional(i)? else {
            return if default < n {
                Ok(default)
            } else {
                malformed("its sequence is empty")
            };
        };
        let given = self.build.known_ints(t.id, "a place in a sequence")?;
        axis(given.first().copied().unwrap_or(0), n)
    }

    fn split_to_sequence(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let t = op.tensor(0)?;
        let shape = self.build.shape(t.id);
        let a = axis(op.int("axis").unwrap_or(0), shape.len())?;
        let mut keep = true;
        let lengths: Vec<usize> = match op.optional(1)? {
            None => {
                keep = op.flag("keepdims", true);
                vec![1; shape[a]]
            }
            Some(split) => {
                let list = self.build.known_ints(split.id, "how it splits")?;
                if self.build.rank(split.id) == 0 {
                    let part = list.first().copied().unwrap_or(1).max(1) as usize;
                    (0..shape[a].div_ceil(part))
                        .map(|i| part.min(shape[a] - i * part))
                        .collect()
                } else {
                    list.iter().map(|n| (*n).max(0) as usize).collect()
                }
            }
        };
        if lengths.iter().try_fold(0usize, |n, l| n.checked_add(*l)) != Some(shape[a]) {
            return malformed("its parts are not the whole");
        }
        let mut start = 0;
        let mut parts = Vec::new();
        for n in lengths {
            let mut id = self.build.slice(t.id, a, start, 1, n)?;
            if !keep {
                id = self.build.squeeze(id, &[a])?;
            }
            parts.push(Value::Tensor(Tensor {
                id,
                data_type: t.data_type,
            }));
            start += n;
        }
        Ok(vec![Value::Sequence(Rc::new(parts))])
    }

    /// A known condition takes its branch; an open one computes both and selects.
    fn branch(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let condition = op.tensor(0)?;
        if let Some(values) = self.build.net.constant(condition.id) {
            let holds = values.first().is_some_and(|v| *v != 0.0);
            let name = if holds { "then_branch" } else { "else_branch" };
            return self.body(op.graph(name)?, vec![]);
        }
        let first = self.body(op.graph("then_branch")?, vec![])?;
        let second = self.body(op.graph("else_branch")?, vec![])?;
        let mut outputs = Vec::new();
        for pair in first.into_iter().zip(second) {
            match pair {
                (Value::Tensor(a), Value::Tensor(b)) if self.build.shape(a.id) == self.build.shape(b.id) => {
                    let chosen = self.choose(condition.id, a.id, b.id)?;
                    outputs.push(Value::Tensor(Tensor { id: chosen, ..a }));
                }
                _ => {
                    return Err(Fault::Unknown {
                        value: condition.id,
                        what: "which branch it takes, as the two differ in shape,".into(),
                    })
                }
            }
        }
        Ok(outputs)
    }

    /// One of two values of one shape by a condition of one element.
    fn choose(&mut self, condition: Id, a: Id, b: Id) -> Outcome<Id> {
        let condition = self.build.reshape(condition, &[])?;
        self.build.select(condition, a, b)
    }

    /// A loop of a known number of passes, written out; a condition that is open keeps the states of its last pass.
    fn repeated(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let graph = op.graph("body")?;
        let limit = match op.optional(0)? {
            Some(t) => Some(
                self.build
                    .known_ints(t.id, "how often it loops")?
                    .first()
                    .copied()
                    .unwrap_or(0),
            ),
            None => None,
        };
        let mut going = op.optional(1)?;
        let mut states: Vec<Value> = Vec::new();
        for value in op.inputs.iter().skip(2) {
            states.push(value.clone().unwrap_or(Value::Nothing));
        }
        let mut collected: Vec<Vec<Tensor>> = vec![vec![]; graph.output.len().saturating_sub(states.len() + 1)];
        let mut pass = 0i64;
        loop {
            if limit.is_some_and(|l| pass >= l) {
                break;
            }
            let known = match going {
                None => Some(true),
                Some(t) => self
                    .build
                    .net
                    .constant(t.id)
                    .map(|v| v.first().is_some_and(|c| *c != 0.0)),
            };
            if known == Some(false) {
                break;
            }
            if limit.is_none() && known.is_none() {
                if let Some(t) = going {
                    return Err(Fault::Unknown {
                        value: t.id,
                        what: "how often it loops".into(),
                    });
                }
            }
            if pass >= MAX_PASSES {
                return no(format!("it loops more than {MAX_PASSES} times"), "loop less often");
            }
            let number = self.constant(vec![pass as f64], &[], DataType::Int64)?;
            let condition = match going {
                Some(t) => t,
                None => self.constant(vec![1.0], &[], DataType::Bool)?,
            };
            let mut inputs = vec![Value::Tensor(number), Value::Tensor(condition)];
            inputs.extend(states.iter().cloned());
            let mut outputs = self.body(graph, inputs)?.into_iter();
            let next = match outputs.next() {
                Some(Value::Tensor(t)) => t,
                _ => return malformed("its body gives no condition"),
            };
            let mut new_states = Vec::new();
            for old in &states {
                let new = outputs.next();
                new_states.push(match (known, old, new) {
                    (None, Value::Tensor(old), Some(Value::Tensor(new))) => {
                        let id = self.choose(condition.id, new.id, old.id)?;
                        Value::Tensor(Tensor { id, ..new })
                    }
                    (Some(_), _, Some(new)) => new,
                    // Of tensors one is selected.
                    (None, _, Some(_)) => {
                        return Err(Fault::Unknown {
                            value: condition.id,
                            what: "whether it goes on, as it keeps other than tensors,".into(),
                        })
                    }
                    _ => return malformed("its body gives too few values"),
                });
            }
            for (list, value) in collected.iter_mut().zip(outputs) {
                match value {
                    Value::Tensor(t) if known.is_some() => list.push(t),
                    _ => {
                        return Err(Fault::Unknown {
                            value: condition.id,
                            what: "how many values it collects".into(),
                        })
                    }
                }
            }
            going = Some(match known {
                Some(_) => next,
                None => {
                    let id = self.build.mul(next.id, condition.id)?;
                    Tensor { id, ..next }
                }
            });
            states = new_states;
            pass += 1;
        }
        for list in collected {
            let t = self.stacked(&list, 0, false)?;
            states.push(Value::Tensor(t));
        }
        Ok(states)
    }

    /// Values side by side along a new axis.
    fn stacked(&mut self, list: &[Tensor], axis: usize, reverse: bool) -> Outcome<Tensor> {
        let Some(first) = list.first() else {
            return self.constant(vec![], &[0], DataType::Float);
        };
        let mut ids = Vec::new();
        for t in list {
            ids.push(self.build.unsqueeze(t.id, &[axis])?);
        }
        if reverse {
            ids.reverse();
        }
        Ok(Tensor {
            id: self.build.concat(ids, axis)?,
            data_type: first.data_type,
        })
    }

    /// A body run along axes, written out.
    fn scanned(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let graph = op.graph("body")?;
        // Before version 9 there were lengths in front and a batch axis.
        let old = op.opset < 9;
        let Some(operands) = op.inputs.get(usize::from(old)..) else {
            return malformed("it has no operands");
        };
        let scans = op.int("num_scan_inputs").unwrap_or(0).max(0) as usize;
        let Some(count) = operands.len().checked_sub(scans) else {
            return malformed("it scans more values than it has");
        };
        let tensor = |value: &Option<Value>| match value {
            Some(Value::Tensor(t)) => Ok(*t),
            _ => malformed("an operand is missing"),
        };
        let all = operands.iter().map(tensor).collect::<Outcome<Vec<Tensor>>>()?;
        if old {
            return self.scanned_by_batch(op, &all, count);
        }
        self.scanned_once(op, graph, &all, count)
    }

    /// Version 8: every sample of the batch by itself.
    fn scanned_by_batch(&mut self, op: &Op<'a>, all: &[Tensor], count: usize) -> Outcome<Vec<Value>> {
        let graph = op.graph("body")?;
        let Some(batch) = all
            .first()
            .map(|t| self.build.shape(t.id).first().copied().unwrap_or(1))
        else {
            return malformed("it scans nothing");
        };
        let mut results: Vec<Vec<Tensor>> = vec![vec![]; graph.output.len()];
        for b in 0..batch {
            let mut own = Vec::new();
            for t in all {
                let id = self.build.slice(t.id, 0, b, 1, 1)?;
                let id = self.build.squeeze(id, &[0])?;
                own.push(Tensor { id, ..*t });
            }
            let outputs = self.scanned_once(op, graph, &own, count)?;
            for (list, value) in results.iter_mut().zip(outputs) {
                if let Value::Tensor(t) = value {
                    list.push(t);
                }
            }
        }
        let mut stacked = Vec::new();
        for list in results {
            stacked.push(Value::Tensor(self.stacked(&list, 0, false)?));
        }
        Ok(stacked)
    }

    fn scanned_once(
        &mut self,
        op: &Op<'a>,
        graph: &'a super::proto::GraphProto,
        all: &[Tensor],
        count: usize,
    ) -> Outcome<Vec<Value>> {
        let (states, scans) = all.split_at(count);
        let list = |name: &str| op.ints(name).unwrap_or_default();
        let (in_axes, in_directions) = (list("scan_input_axes"), list("scan_input_directions"));
        let (out_axes, out_directions) = (list("scan_output_axes"), list("scan_output_directions"));
        let mut passes = None;
        let mut axes_of = Vec::new();
        for (i, t) in scans.iter().enumerate() {
            let shape = self.build.shape(t.id);
            let a = axis(in_axes.get(i).copied().unwrap_or(0), shape.len())?;
            if *passes.get_or_insert(shape[a]) != shape[a] {
                return malformed("its scanned values differ in length");
            }
            axes_of.push(a);
        }
        let passes = passes.unwrap_or(0);
        if passes as i64 > MAX_PASSES {
            return no(
                format!("it loops more than {MAX_PASSES} times"),
                "scan a shorter sequence",
            );
        }
        let mut states: Vec<Value> = states.iter().map(|t| Value::Tensor(*t)).collect();
        let mut collected: Vec<Vec<Tensor>> = vec![vec![]; graph.output.len().saturating_sub(count)];
        for pass in 0..passes {
            let mut inputs = states.clone();
            for (i, t) in scans.iter().enumerate() {
                let at = if in_directions.get(i) == Some(&1) {
                    passes - 1 - pass
                } else {
                    pass
                };
                let part = self.build.slice(t.id, axes_of[i], at, 1, 1)?;
                let id = self.build.squeeze(part, &[axes_of[i]])?;
                inputs.push(Value::Tensor(Tensor { id, ..*t }));
            }
            let mut outputs = self.body(graph, inputs)?.into_iter();
            states = outputs.by_ref().take(count).collect();
            for (list, value) in collected.iter_mut().zip(outputs) {
                match value {
                    Value::Tensor(t) => list.push(t),
                    _ => return malformed("its body gives no tensor"),
                }
            }
        }
        for (i, list) in collected.iter().enumerate() {
            let rank = list.first().map_or(0, |t| self.build.rank(t.id)) + 1;
            let a = axis(out_axes.get(i).copied().unwrap_or(0), rank)?;
            let t = self.stacked(list, a, out_directions.get(i) == Some(&1))?;
            states.push(Value::Tensor(t));
        }
        Ok(states)
    }
}

/// A sequence operand.
fn sequence<'v>(op: &'v Op, i: usize) -> Outcome<&'v Rc<Vec<Value>>> {
    match op.maybe(i) {
        Some(Value::Sequence(list)) => Ok(list),
        _ => malformed(format!("its operand {i} is no sequence")),
    }
}
