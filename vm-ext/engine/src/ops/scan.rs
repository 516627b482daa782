//! A body of nodes that runs again and again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::block::Block;
use crate::graph::{Op, State, ValueId};
use crate::infer::{Inferred, ValueType};
use crate::kernels::Kernels;
use crate::limits::Limits;
use crate::ops::movement;
use crate::plan::{Plan, Room};
use crate::shape;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// A Scan ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    count: usize,
    states: Vec<State>,
    slices: Vec<Slices>,
    captured: Vec<ValueId>,
    /// Its first values: states, slices, captured operands.
    body: Block,
    collected: Vec<ValueId>,
}

/// An operand that is taken apart.
#[derive(Clone, Debug)]
struct Slices {
    x: ValueId,
    /// Of its shape, around the axis.
    around: [usize; 3],
    reverse: bool,
}

/// Scratch space: all that the body takes, and the states between two times.
pub(crate) fn scratch(plan: &Plan, state_elements: u64) -> Room {
    Room {
        i16: plan.narrow.saturating_add(plan.scratch.i16),
        i32: plan
            .wide
            .saturating_add(plan.scratch.i32)
            .saturating_add(state_elements),
        i64: plan.scratch.i64,
    }
}

impl Scan {
    /// Of an operation that inference took; none of any other than a Scan.
    pub fn new(op: Op, values: &[ValueType], inferred: Inferred, plan: Plan, limits: &Limits) -> Option<Self> {
        let Op::Scan {
            count,
            states,
            scanned,
            captured,
            body,
            collected,
        } = op
        else {
            return None;
        };
        let slices = scanned.iter().map(|scanned| Slices {
            x: scanned.x,
            around: shape::around(&values[scanned.x as usize].shape, scanned.axis as usize),
            reverse: scanned.reverse,
        });
        Some(Scan {
            count: count as usize,
            slices: slices.collect(),
            states,
            captured,
            body: Block::new(body, inferred, plan, BTreeMap::new(), limits),
            collected,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.states.len() * size_of::<State>()
            + self.slices.len() * size_of::<Slices>()
            + 4 * (self.captured.len() + self.collected.len())
            + self.body.bytes()
    }

    /// Runs the body, with `operand` giving the operands.
    #[inline(never)]
    pub fn run<'a>(
        &self,
        operand: impl Fn(&ValueId) -> View<'a>,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
        scratch: &mut Scratch<'_>,
    ) {
        let body = &self.body;
        let elements = |value: usize| body.values[value].elements();
        let all_states = (0..self.states.len()).map(elements).sum();
        let (mut space, between) = scratch.space(&body.plan, all_states);
        let mut rest = &mut *between;
        for (value, state) in self.states.iter().enumerate() {
            let (now, others) = rest.split_at_mut(elements(value));
            operand(&state.initial).load(0, now);
            rest = others;
        }
        let first_captured = self.states.len() + self.slices.len();
        for (i, x) in self.captured.iter().enumerate() {
            body.place(&mut space, first_captured + i).copy(0, operand(x));
        }
        // Collected values follow the kept states, each with those of all times together.
        let kept = self.states.iter().enumerate().filter(|(_, state)| state.kept);
        let collected_from: usize = kept.map(|(value, _)| elements(value)).sum();
        for time in 0..self.count {
            let mut rest = &*between;
            for value in 0..self.states.len() {
                let (now, others) = rest.split_at(elements(value));
                body.place(&mut space, value).store(0, now);
                rest = others;
            }
            for (i, Slices { x, around, reverse }) in self.slices.iter().enumerate() {
                let at = if *reverse { self.count - 1 - time } else { time };
                let place = &mut body.place(&mut space, self.states.len() + i);
                movement::slice(operand(x), *around, at, 1, 1, place);
            }
            body.compute(&mut space, kernels, None);
            let mut rest = &mut *between;
            for state in &self.states {
                let result = body.view(space.values(), state.result);
                let (next, others) = rest.split_at_mut(result.len());
                result.load(0, next);
                rest = others;
            }
            let mut from = collected_from;
            for id in &self.collected {
                let value = body.view(space.values(), *id);
                out.copy(from + time * value.len(), value);
                from += self.count * value.len();
            }
        }
        let (mut rest, mut at) = (&*between, 0);
        for (value, state) in self.states.iter().enumerate() {
            let (last, others) = rest.split_at(elements(value));
            if state.kept {
                out.store(at, last);
                at += last.len();
            }
            rest = others;
        }
    }
}
