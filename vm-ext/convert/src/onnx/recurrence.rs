//! LSTM, GRU and RNN: products with the inputs at once, then a scan over time.

use super::build::Build;
use super::elementwise::{activation, parameters};
use super::import::{several, Importer};
use super::op::{malformed, no, Op, Outcome, Value};
use crate::expr::{Binary, Expr};
use crate::net::{Declared, Id, Kind, NetOutput, Scan};

/// A cell's parameters in one direction.
struct Cell {
    kind: Gates,
    hidden: usize,
    /// `[gates * H, H]`
    recurrent: Vec<f64>,
    /// `gates * H`, for what is added to the product with the state.
    bias: Vec<f64>,
    /// LSTM: factors of the cell state in the gates i, o and f.
    peepholes: Option<[Vec<f64>; 3]>,
    activations: Vec<Expr>,
    clip: Option<f64>,
    /// GRU: reset after the product. LSTM: the forget gate is one less the input gate.
    variant: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Gates {
    Lstm,
    Gru,
    Rnn,
}

impl<'a> Importer<'a> {
    pub(super) fn recurrences(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let (kind, gates, defaults): (Gates, usize, &[&str]) = match op.kind() {
            "LSTM" => (Gates::Lstm, 4, &["Sigmoid", "Tanh", "Tanh"]),
            "GRU" => (Gates::Gru, 3, &["Sigmoid", "Tanh"]),
            "RNN" => (Gates::Rnn, 1, &["Tanh"]),
            _ => return Ok(None),
        };
        let t = op.tensor(0)?;
        let batch_first = op.flag("layout", false);
        let x = if batch_first {
            self.build.transpose(t.id, &[1, 0, 2])?
        } else {
            t.id
        };
        let &[time, batch, width] = &self.build.shape(x)[..] else {
            return malformed("its operand is no sequence");
        };
        let w = op.tensor(1)?.id;
        let &[directions, rows, k] = &self.build.shape(w)[..] else {
            return malformed("its weights have other than three axes");
        };
        let hidden = rows / gates;
        if hidden == 0 || rows != hidden * gates || k != width || time == 0 {
            return malformed(format!("weights of {rows} x {k} do not fit {width} inputs"));
        }
        let weights = self.build.known(w, "the weights of a recurrence")?;
        let recurrent = self.build.known(op.tensor(2)?.id, "the weights of a recurrence")?;
        let bias = match op.optional(3)? {
            Some(b) => self.build.known(b.id, "the biases of a recurrence")?,
            None => vec![0.0; directions * 2 * rows],
        };
        let peepholes = match op.optional(7)? {
            Some(p) if kind == Gates::Lstm => Some(self.build.known(p.id, "the peepholes of a recurrence")?),
            _ => None,
        };
        if recurrent.len() != directions * rows * hidden
            || bias.len() != directions * 2 * rows
            || peepholes.as_ref().is_some_and(|p| p.len() != directions * 3 * hidden)
        {
            return malformed("its weights differ in size");
        }
        let lengths = match op.optional(4)? {
            Some(l) => Some(self.build.known_ints(l.id, "the lengths of the sequences")?),
            None => None,
        };
        if lengths.as_ref().is_some_and(|l| l.len() != batch) {
            return malformed(format!("its lengths are not those of {batch} sequences"));
        }
        if directions != if op.text("direction") == "bidirectional" { 2 } else { 1 } {
            return malformed(format!("weights for {directions} directions do not fit the direction"));
        }
        let lengths = lengths.filter(|l| l.iter().any(|n| *n < time as i64));
        let reversed = |d: usize| match op.text("direction").as_str() {
            "reverse" => true,
            "bidirectional" => d == 1,
            _ => false,
        };
        let names = op.texts("activations");
        // Each is taken by the next activation that has such a parameter, not by the one at its place.
        let mut alphas = op.floats("activation_alpha").into_iter();
        let mut betas = op.floats("activation_beta").into_iter();
        let variant = match kind {
            Gates::Lstm => op.flag("input_forget", false),
            _ => op.flag("linear_before_reset", false),
        };
        let per = defaults.len();
        let mut all = Vec::new();
        let mut last: Vec<Vec<Id>> = vec![vec![]; if kind == Gates::Lstm { 2 } else { 1 }];
        for d in 0..directions {
            let mut activations = Vec::new();
            for (i, default) in defaults.iter().enumerate() {
                let at = d * per + i;
                let name = names.get(at).map_or(*default, String::as_str);
                let (has_alpha, has_beta) = parameters(name);
                let alpha = has_alpha.then(|| alphas.next()).flatten();
                let beta = has_beta.then(|| betas.next()).flatten();
                let Some(f) = activation(name, alpha, beta) else {
                    return no(format!("its activation {name} is unknown"), "use Sigmoid, Tanh or Relu");
                };
                activations.push(f);
            }
            let own = |v: &[f64], size: usize| v[d * size..(d + 1) * size].to_vec();
            let both = own(&bias, 2 * rows);
            let (input_bias, state_bias) = both.split_at(rows);
            // A GRU that resets after the product needs the state's bias there; otherwise biases join.
            let apart = kind == Gates::Gru && variant;
            let joined: Vec<f64> = if apart {
                input_bias.to_vec()
            } else {
                input_bias.iter().zip(state_bias).map(|(a, b)| a + b).collect()
            };
            let cell = Cell {
                kind,
                hidden,
                recurrent: own(&recurrent, rows * hidden),
                bias: if apart { state_bias.to_vec() } else { vec![0.0; rows] },
                peepholes: peepholes.as_ref().map(|p| {
                    let p = own(p, 3 * hidden);
                    [0, 1, 2].map(|i| p[i * hidden..(i + 1) * hidden].to_vec())
                }),
                activations,
                clip: op.attribute("clip").map(|c| f64::from(c.f)),
                variant,
            };
            let inputs = self.build.linear(x, own(&weights, rows * width), joined)?;
            let mut states = Vec::new();
            for i in 0..last.len() {
                states.push(match op.optional(5 + i)? {
                    Some(s) => {
                        let s = if batch_first {
                            self.build.transpose(s.id, &[1, 0, 2])?
                        } else {
                            s.id
                        };
                        let s = self.build.slice(s, 0, d, 1, 1)?;
                        self.build.reshape(s, &[batch, hidden])?
                    }
                    None => self.build.constant(vec![0.0; batch * hidden], &[batch, hidden])?,
                });
            }
            let mask = match &lengths {
                None => None,
                Some(lengths) => {
                    let inside = |t: usize, n: &i64| f64::from(u8::from((t as i64) < *n));
                    let mask: Vec<f64> = (0..time)
                        .flat_map(|t| lengths.iter().map(move |n| inside(t, n)))
                        .collect();
                    Some(self.build.constant(mask, &[time, batch, 1])?)
                }
            };
            let (states, y) = self.over_time(&cell, inputs, states, mask, reversed(d))?;
            all.push(self.build.reshape(y, &[time, 1, batch, hidden])?);
            for (list, s) in last.iter_mut().zip(states) {
                list.push(self.build.reshape(s, &[1, batch, hidden])?);
            }
        }
        let mut y = self.build.concat(all, 1)?;
        if batch_first {
            y = self.build.transpose(y, &[2, 0, 1, 3])?;
        }
        let mut outputs = vec![(y, t.data_type)];
        for list in last {
            let mut s = self.build.concat(list, 0)?;
            if batch_first {
                s = self.build.transpose(s, &[1, 0, 2])?;
            }
            outputs.push((s, t.data_type));
        }
        several(outputs)
    }

    /// Runs a cell over `[T, B, gates * H]`: the last states, and the hidden state of every step.
    fn over_time(
        &mut self,
        cell: &Cell,
        inputs: Id,
        states: Vec<Id>,
        mask: Option<Id>,
        reverse: bool,
    ) -> Outcome<(Vec<Id>, Id)> {
        let shape = self.build.shape(inputs);
        let (time, batch, rows) = (shape[0], shape[1], shape[2]);
        let hidden = cell.hidden;
        if time == 1 {
            let x = self.build.reshape(inputs, &[batch, rows])?;
            let mask = match mask {
                Some(m) => Some(self.build.reshape(m, &[batch, 1])?),
                None => None,
            };
            let (states, y) = step(&mut self.build, cell, x, &states, mask)?;
            return Ok((states, y));
        }
        let mut body = Build::named(&self.build.name);
        let mut input = |shape: Vec<usize>| {
            let id = body.net.push("state", Kind::Input(Declared::Real), shape);
            body.net.inputs.push(id);
            id
        };
        let inner: Vec<Id> = states.iter().map(|_| input(vec![batch, hidden])).collect();
        let x = input(vec![batch, rows]);
        let inner_mask = mask.map(|_| input(vec![batch, 1]));
        let (next, y) = step(&mut body, cell, x, &inner, inner_mask)?;
        for value in next.into_iter().chain([y]) {
            body.net.outputs.push(NetOutput {
                name: String::new(),
                value,
                labels: vec![],
            });
        }
        let count = states.len();
        let scan = Scan {
            count: time,
            states,
            scanned: [Some(inputs), mask]
                .into_iter()
                .flatten()
                .map(|x| (x, reverse))
                .collect(),
            captured: vec![],
            body: body.net,
        };
        let size = batch * hidden;
        let value = self
            .build
            .push(Kind::Scan(Box::new(scan)), vec![(count + time) * size])?;
        let mut finals = Vec::new();
        for i in 0..count {
            let part = self.build.slice(value, 0, i * size, 1, size)?;
            finals.push(self.build.reshape(part, &[batch, hidden])?);
        }
        let y = self.build.slice(value, 0, count * size, 1, time * size)?;
        let mut y = self.build.reshape(y, &[time, batch, hidden])?;
        if reverse {
            let order: Vec<usize> = (0..time).rev().collect();
            y = self.build.take(y, 0, &order)?;
        }
        Ok((finals, y))
    }
}

/// One step of a cell: the next states, and what the step gives.
fn step(build: &mut Build, cell: &Cell, x: Id, states: &[Id], mask: Option<Id>) -> Outcome<(Vec<Id>, Id)> {
    let (next, y) = gates(build, cell, x, states)?;
    let Some(mask) = mask else { return Ok((next, y)) };
    // After its end a sequence keeps its state and gives zeros.
    let mut kept = Vec::new();
    for (new, old) in next.iter().zip(states) {
        kept.push(build.select(mask, *new, *old)?);
    }
    let zero = build.scalar(0.0)?;
    let y = build.select(mask, y, zero)?;
    Ok((kept, y))
}

fn gates(build: &mut Build, cell: &Cell, x: Id, states: &[Id]) -> Outcome<(Vec<Id>, Id)> {
    let n = cell.hidden;
    let h = states[0];
    let part = |build: &mut Build, v: Id, gate: usize| build.slice(v, 1, gate * n, 1, n);
    let act = |build: &mut Build, v: Id, which: usize| {
        let v = match cell.clip {
            Some(c) => build.clamp(v, -c, c)?,
            None => v,
        };
        build.map(v, cell.activations[which].clone())
    };
    match cell.kind {
        Gates::Rnn => {
            let product = build.linear(h, cell.recurrent.clone(), cell.bias.clone())?;
            let sum = build.add(x, product)?;
            let y = act(build, sum, 0)?;
            Ok((vec![y], y))
        }
        Gates::Lstm => {
            let c = states[1];
            let product = build.linear(h, cell.recurrent.clone(), cell.bias.clone())?;
            let sum = build.add(x, product)?;
            let peep = |build: &mut Build, v: Id, c: Id, which: usize| match &cell.peepholes {
                Some(p) if p[which].iter().any(|w| *w != 0.0) => {
                    let seen = build.per_channel(c, 1, p[which].clone(), vec![0.0; n])?;
                    build.add(v, seen)
                }
                _ => Ok(v),
            };
            let i = part(build, sum, 0)?;
            let i = peep(build, i, c, 0)?;
            let i = act(build, i, 0)?;
            let f = if cell.variant {
                build.not(i)?
            } else {
                let f = part(build, sum, 2)?;
                let f = peep(build, f, c, 2)?;
                act(build, f, 0)?
            };
            let g = part(build, sum, 3)?;
            let g = act(build, g, 1)?;
            let kept = build.mul(f, c)?;
            let new = build.mul(i, g)?;
            let next = build.add(kept, new)?;
            let o = part(build, sum, 1)?;
            let o = peep(build, o, next, 1)?;
            let o = act(build, o, 0)?;
            let shown = build.map(next, cell.activations[2].clone())?;
            let y = build.mul(o, shown)?;
            Ok((vec![y, next], y))
        }
        Gates::Gru => {
            let two = 2 * n * n;
            let (zr, rest) = cell.recurrent.split_at(two);
            let (zr_bias, rest_bias) = cell.bias.split_at(2 * n);
            let product = build.linear(h, zr.to_vec(), zr_bias.to_vec())?;
            let first = build.slice(x, 1, 0, 1, 2 * n)?;
            let sum = build.add(first, product)?;
            let z = part(build, sum, 0)?;
            let z = act(build, z, 0)?;
            let r = part(build, sum, 1)?;
            let r = act(build, r, 0)?;
            let own = part(build, x, 2)?;
            let seen = if cell.variant {
                let product = build.linear(h, rest.to_vec(), rest_bias.to_vec())?;
                build.mul(r, product)?
            } else {
                let reset = build.mul(r, h)?;
                build.linear(reset, rest.to_vec(), rest_bias.to_vec())?
            };
            let new = build.add(own, seen)?;
            let new = act(build, new, 1)?;
            // (1 - z) * new + z * h = new + z * (h - new)
            let difference = build.binary(Binary::Sub, h, new)?;
            let turned = build.mul(z, difference)?;
            let y = build.add(new, turned)?;
            Ok((vec![y], y))
        }
    }
}
