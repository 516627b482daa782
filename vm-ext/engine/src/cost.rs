//! What a model costs to run, known from its operations and shapes alone.

mod work;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::gas;
use crate::graph::{Graph, Op, Scanned, ValueId};
use crate::infer::{Inferred, ValueType};
use crate::limits::Limits;
use crate::ops::scan;
use crate::plan::Plan;
use work::{work, Work};

/// The cost of a model or node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Gas, saturated.
    pub gas: u64,
    /// Products that the formula has (not what kernels pad), saturated.
    pub macs: u64,
    /// Bytes of the arena for tensors, of scratch space and of the results. For a node: its result and scratch space.
    pub peak_bytes: u64,
}

/// Costs of a graph that inference took.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    pub total: Cost,
    pub nodes: Vec<Cost>,
    pub plan: Plan,
    /// Of the nodes that have a body, its plan.
    pub bodies: BTreeMap<usize, Plan>,
}

/// Saturating sum of products.
macro_rules! sum {
    ($($first:expr $(, $factor:expr)*);+ $(;)?) => {
        0u64$(.saturating_add(($first as u64)$(.saturating_mul($factor as u64))*))+
    };
}
use sum;

pub(crate) fn costs(graph: &Graph, inferred: &Inferred, limits: &Limits) -> Costs {
    let elements = |value: usize| inferred.values[value].elements() as u64;
    let outputs: Vec<ValueId> = graph.outputs.iter().map(|output| output.value).collect();
    let results = outputs
        .iter()
        .fold(0u64, |all, value| all.saturating_add(elements(*value as usize)));
    let mut costs = Costs::new(&graph.nodes, inferred, &outputs, results, limits);
    // Inputs are checked and copied in, outputs copied out.
    let inputs = (0..graph.inputs.len()).fold(0u64, |all, value| all.saturating_add(elements(value)));
    let arena = costs.total.peak_bytes;
    let ports = graph.inputs.len() + graph.outputs.len();
    costs.total.gas = sum!(
        costs.total.gas;
        gas::NODE;
        ports, gas::RUN;
        inputs, gas::INPUT;
        results, gas::OUTPUT;
        arena, gas::ARENA_BYTE
    );
    costs
}

impl Costs {
    /// Of nodes that inference took, with values that last to the end and elements that are copied out then.
    fn new(nodes: &[Op], inferred: &Inferred, kept: &[ValueId], results: u64, limits: &Limits) -> Self {
        let values = &inferred.values;
        let first = values.len() - nodes.len();
        let mut costs = Vec::with_capacity(nodes.len());
        let mut scratch = Vec::with_capacity(nodes.len());
        let mut bodies = BTreeMap::new();
        for (i, op) in nodes.iter().enumerate() {
            let out = &values[first + i];
            let work = match (op, inferred.bodies.get(&i)) {
                (Op::Scan { .. }, Some(body)) => {
                    let (work, plan) = scan_work(op, values, body, limits);
                    bodies.insert(i, plan);
                    work
                }
                _ => work(op, values, out, inferred.sums[i], limits),
            };
            let owned = match op {
                Op::Constant { .. } | Op::Reshape { .. } => 0,
                _ => out.bytes() as u64,
            };
            costs.push(Cost {
                gas: sum!(gas::NODE; owned, gas::RESULT_BYTE; work.gas),
                macs: work.macs,
                peak_bytes: owned.saturating_add(work.scratch.bytes()),
            });
            scratch.push(work.scratch);
        }
        let plan = Plan::new(nodes, values, &scratch, kept, results);
        let total = Cost {
            gas: costs.iter().fold(0, |all, c| all.saturating_add(c.gas)),
            macs: costs.iter().fold(0, |all, c| all.saturating_add(c.macs)),
            peak_bytes: plan.bytes(),
        };
        Costs {
            total,
            nodes: costs,
            plan,
            bodies,
        }
    }
}

/// The work of a Scan, and the plan of its body.
fn scan_work(op: &Op, values: &[ValueType], body: &Inferred, limits: &Limits) -> (Work, Plan) {
    let Op::Scan {
        count,
        states,
        scanned,
        captured,
        body: nodes,
        collected,
    } = op
    else {
        return (Work::default(), Plan::new(&[], &[], &[], &[], 0));
    };
    // What the body must not overwrite: what it is given once, and what it gives.
    let first_captured = (states.len() + scanned.len()) as ValueId;
    let mut kept: Vec<ValueId> = (first_captured..first_captured + captured.len() as ValueId).collect();
    kept.extend(states.iter().map(|state| state.result));
    kept.extend(collected);
    let Costs { total, plan, .. } = Costs::new(nodes, body, &kept, 0, limits);
    let elements = |value: usize| body.values[value].elements() as u64;
    let carried = (0..states.len()).fold(0u64, |all, value| all.saturating_add(elements(value)));
    let copied = captured
        .iter()
        .fold(0u64, |all, x| all.saturating_add(values[*x as usize].elements() as u64));
    let gathered = collected
        .iter()
        .fold(0u64, |all, id| all.saturating_add(elements(*id as usize)));
    let slices = scanned
        .iter()
        .map(|Scanned { x, axis, .. }| work::slice(&values[*x as usize], *axis));
    let once = sum!(
        gas::SCAN;
        total.gas;
        carried, gas::CARRIED;
        gathered, gas::MOVE;
        slices.fold(0u64, u64::saturating_add);
        (states.len() + scanned.len() + collected.len()), gas::RUN
    );
    let scratch = scan::scratch(&plan, carried);
    let gas = sum!(*count, once; copied, gas::MOVE; captured.len(), gas::RUN; scratch.bytes(), gas::RESULT_BYTE);
    let macs = total.macs.saturating_mul((*count).into());
    (Work { gas, macs, scratch }, plan)
}
