//! Bodies that run again and again.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{check_clamp, Context, Inferred, ValueType};
use crate::error::{NodeProblem, ShapeProblem};
use crate::graph::{Op, Scanned, ValueId};
use crate::shape;

impl Context<'_> {
    /// The value of a Scan, and those of its body.
    ///
    /// The declared ranges of the states are proven by induction: they hold what the states start from, and if they hold
    /// them once, they hold what the body makes of them.
    pub(super) fn scan(&self, op: &Op) -> Result<(ValueType, Inferred), NodeProblem> {
        let Op::Scan {
            count,
            states,
            scanned,
            captured,
            body,
            collected,
        } = op
        else {
            return Err(NodeProblem::Nested);
        };
        if *count == 0 {
            return Err(NodeProblem::Parameter { what: "the count" });
        }
        let mut values = Vec::with_capacity(states.len() + scanned.len() + captured.len() + body.len());
        for (index, state) in states.iter().enumerate() {
            check_clamp(state.low, state.high)?;
            let initial = self.operand(state.initial)?;
            within(index, [state.low, state.high], initial)?;
            values.push(ValueType {
                shape: initial.shape.clone(),
                low: state.low,
                high: state.high,
            });
        }
        for Scanned { x, axis, .. } in scanned {
            let (x, extent, shape) = self.reduced(*x, *axis)?;
            if extent != *count {
                return Err(NodeProblem::Length {
                    what: "the axis that is taken apart",
                    found: extent.into(),
                    want: (*count).into(),
                });
            }
            values.push(x.shaped(shape));
        }
        for x in captured {
            values.push(self.operand(*x)?.clone());
        }
        let body =
            Inferred::new(values, body, self.limits, false).map_err(|(node, op, problem)| NodeProblem::Body {
                node,
                op,
                problem: Box::new(problem),
            })?;
        let inside = |id: ValueId| {
            let known = body.values.len() as u32;
            let value = body.values.get(id as usize);
            value.ok_or(NodeProblem::Operand { value: id, known })
        };
        let mut elements = 0u64;
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        let mut include = |value: &ValueType, times: u32| {
            elements = elements.saturating_add((value.elements() as u64).saturating_mul(times.into()));
            (low, high) = (low.min(value.low), high.max(value.high));
        };
        for (index, state) in states.iter().enumerate() {
            let result = inside(state.result)?;
            within(index, [state.low, state.high], result)?;
            if result.shape != body.values[index].shape {
                return Err(NodeProblem::StateShape { state: index });
            }
            if state.kept {
                // After the last time it is what the body has made of it.
                include(result, 1);
            }
        }
        for id in collected {
            include(inside(*id)?, *count);
        }
        if elements == 0 {
            return Err(NodeProblem::Parameter {
                what: "the number of results",
            });
        }
        let limit = self.limits.max_elements;
        let extent = u32::try_from(elements).map_err(|_| ShapeProblem::Elements { limit })?;
        let shape = [extent].to_vec();
        shape::check(&shape, self.limits)?;
        Ok((ValueType { shape, low, high }, body))
    }
}

/// Whether a state's declared range holds a value's.
fn within(state: usize, declared: [i32; 2], value: &ValueType) -> Result<(), NodeProblem> {
    let [low, high] = declared;
    if value.low < low || value.high > high {
        return Err(NodeProblem::StateRange {
            state,
            declared,
            found: [value.low, value.high],
        });
    }
    Ok(())
}
