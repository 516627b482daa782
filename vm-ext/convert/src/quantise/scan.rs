//! Bodies that run again and again: states get a format of their own, the body is quantised as a net of its own.

use aiinference_engine::graph::{Input, Op, Scanned, State};

use super::scale::{fraction_bits, quantise, reach, QMAX, WIDE_MAX};
use super::seen::Seen;
use super::{Quantiser, Q};
use crate::error::Result;
use crate::net::{Id, Kind, Scan};

/// A piece of a Scan's value: a last state, or what was collected.
pub(super) struct Part {
    /// Where it starts in the net's value.
    start: usize,
    /// How long it is.
    length: usize,
    /// Where it starts in the graph's value, if it is there.
    place: Option<usize>,
    /// Its format.
    q: Q,
}

impl Quantiser<'_> {
    pub(super) fn scan(&mut self, id: Id, scan: &Scan) -> Result<()> {
        let Some(ranges) = self.bodies.get(&id) else {
            return self.range_error(id, "calibration did not run its body".into());
        };
        let body = &scan.body;
        let states = scan.states.len();
        let operands: Vec<Id> = self.net.nodes[id].kind.operands();
        let mut given: Vec<bool> = operands.iter().map(|x| self.plan.whole[*x]).collect();
        // A state is whole if the body makes it whole again.
        let mut inner = loop {
            let inner = Quantiser::new(body, ranges, self.options, Some(&given));
            let broken = (0..states).find(|s| given[*s] && !inner.plan.whole[body.outputs[*s].value]);
            match broken {
                Some(state) => given[state] = false,
                None => break inner,
            }
        };
        // The body numbers its values from its inputs on.
        for _ in &operands {
            inner.graph.input(Input {
                name: String::new(),
                shape: vec![],
                fraction_bits: 0,
                low: 0,
                high: 0,
                saturate: true,
            });
        }
        let mut formats = Vec::with_capacity(states);
        let mut initial = Vec::with_capacity(states);
        for s in 0..states {
            let (from, to) = (body.inputs[s], body.outputs[s].value);
            let seen = joined(&inner, from).joined(joined(&inner, to));
            let (k, low, high) = if given[s] {
                let bound = |v: f64| quantise(v * 2.0, 0).clamp(-WIDE_MAX, WIDE_MAX);
                (0, bound(seen.low.min(0.0)), bound(seen.high.max(0.0)))
            } else {
                (fraction_bits(reach(seen.largest()), QMAX), -QMAX, QMAX)
            };
            let q = self.value(scan.states[s])?;
            let q = self.within(id, q, k, low, high)?;
            initial.push(q);
            formats.push(Q {
                id: s as u32,
                k,
                low,
                high,
            });
            inner.values[from] = Some(formats[s]);
        }
        for (i, x) in operands.iter().enumerate().skip(states) {
            let q = self.value(*x)?;
            inner.values[body.inputs[i]] = Some(Q { id: i as u32, ..q });
        }
        inner.nodes()?;
        let mut results = Vec::new();
        for (s, format) in formats.iter().enumerate() {
            let q = inner.value(body.outputs[s].value)?;
            results.push(inner.within(body.outputs[s].value, q, format.k, format.low, format.high)?);
        }
        let mut collected = Vec::new();
        for output in body.outputs.iter().skip(states) {
            collected.push(inner.value(output.value)?);
        }
        // One format, where somebody reads more than one piece at once.
        let sizes: Vec<usize> = body
            .outputs
            .iter()
            .enumerate()
            .map(|(i, o)| body.shape(o.value).iter().product::<usize>() * if i < states { 1 } else { scan.count })
            .collect();
        let mut start = 0;
        let mut parts = Vec::new();
        for (i, length) in sizes.iter().enumerate() {
            let q = if i < states { results[i] } else { collected[i - states] };
            parts.push(Part {
                start,
                length: *length,
                place: None,
                q,
            });
            start += length;
        }
        let readers = self.plan.readers[id].clone();
        let cut = |r: &Id| match &self.net.nodes[*r].kind {
            Kind::Slice {
                axis: 0,
                start,
                step: 1,
                length,
                ..
            } => Some((*start, *length)),
            _ => None,
        };
        let pieces: Option<Vec<(usize, usize)>> = readers.iter().map(cut).collect();
        let one = |(start, length): &(usize, usize)| {
            let holds = |p: &Part| p.start <= *start && start + length <= p.start + p.length;
            parts.iter().any(holds)
        };
        let apart = pieces.filter(|list| !self.plan.returned[id] && list.iter().all(one));
        let kept: Vec<bool> = (0..states)
            .map(|s| match &apart {
                Some(list) => list
                    .iter()
                    .any(|(start, _)| (parts[s].start..parts[s].start + parts[s].length).contains(start)),
                None => true,
            })
            .collect();
        if apart.is_none() {
            let k = parts.iter().map(|p| p.q.k).min().unwrap_or(0);
            if formats.iter().any(|f| f.k != k) && states > 0 {
                return self.range_error(id, "its last states and what it collects are read together".into());
            }
            for (i, q) in collected.iter_mut().enumerate() {
                *q = inner.rescaled(id, *q, 0, k)?;
                parts[states + i].q = *q;
            }
        }
        let mut place = 0;
        for (i, part) in parts.iter_mut().enumerate() {
            if i >= states || kept[i] {
                part.place = Some(place);
                place += part.length;
            }
        }
        let there = || parts.iter().filter(|p| p.place.is_some()).map(|p| p.q);
        let low = there().map(|q| q.low).min().unwrap_or(0);
        let high = there().map(|q| q.high).max().unwrap_or(0);
        let k = there().map(|q| q.k).min().unwrap_or(0);
        let op = Op::Scan {
            count: scan.count as u32,
            states: (0..states)
                .map(|s| State {
                    initial: initial[s].id,
                    low: formats[s].low,
                    high: formats[s].high,
                    result: results[s].id,
                    kept: kept[s],
                })
                .collect(),
            scanned: scan
                .scanned
                .iter()
                .zip(operands.iter().skip(states))
                .map(|((_, reverse), x)| Scanned {
                    x: self.values[*x].map_or(0, |q| q.id),
                    axis: 0,
                    reverse: *reverse,
                })
                .collect(),
            captured: operands
                .iter()
                .skip(states + scan.scanned.len())
                .map(|x| self.values[*x].map_or(0, |q| q.id))
                .collect(),
            body: inner.graph.nodes,
            collected: collected.iter().map(|q| q.id).collect(),
        };
        let q = self.push(op, k, low, high);
        // Several formats have no value in common that a report could show.
        self.values[id] = Some(q);
        self.parts.insert(id, parts);
        Ok(())
    }

    /// A value in a format and within limits.
    fn within(&mut self, id: Id, q: Q, k: i32, low: i32, high: i32) -> Result<Q> {
        let q = self.rescaled(id, q, 0, k)?;
        if q.low >= low && q.high <= high {
            return Ok(q);
        }
        let op = Op::Clamp { x: q.id, low, high };
        Ok(self.push(op, k, q.low.clamp(low, high), q.high.clamp(low, high)))
    }

    /// Where elements of a value are in the graph, and their format.
    pub(super) fn piece(&mut self, x: Id, start: usize, length: usize) -> Result<(Q, usize)> {
        let q = self.value(x)?;
        let Some(parts) = self.parts.get(&x) else {
            return Ok((q, start));
        };
        let holds = |p: &&Part| p.start <= start && start + length <= p.start + p.length;
        match parts.iter().find(holds) {
            Some(Part {
                start: first,
                place: Some(place),
                q: own,
                ..
            }) => Ok((Q { id: q.id, ..*own }, place + start - first)),
            _ => Ok((q, start)),
        }
    }
}

/// What calibration saw of a value of a body.
fn joined(inner: &Quantiser, id: Id) -> Seen {
    inner.seen[id]
}
