//! What a model costs to run, known from its operations and shapes alone.

mod work;

use alloc::vec::Vec;

use crate::gas;
use crate::graph::{Graph, Op};
use crate::infer::Inferred;
use crate::limits::Limits;
use crate::plan::Plan;
use work::work;

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
}

/// Saturating sum of products.
macro_rules! sum {
    ($($first:expr $(, $factor:expr)*);+ $(;)?) => {
        0u64$(.saturating_add(($first as u64)$(.saturating_mul($factor as u64))*))+
    };
}
use sum;

pub(crate) fn costs(graph: &Graph, inferred: &Inferred, limits: &Limits) -> Costs {
    let first = graph.inputs.len();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let mut scratch = Vec::with_capacity(graph.nodes.len());
    for (i, op) in graph.nodes.iter().enumerate() {
        let out = &inferred.values[first + i];
        let work = work(op, &inferred.values, out, inferred.sums[i], limits);
        let owned = if matches!(op, Op::Constant { .. } | Op::Reshape { .. }) {
            0
        } else {
            out.bytes() as u64
        };
        nodes.push(Cost {
            gas: sum!(gas::NODE; owned, gas::RESULT_BYTE; work.gas),
            macs: work.macs,
            peak_bytes: owned.saturating_add(work.scratch.bytes()),
        });
        scratch.push(work.scratch);
    }
    let plan = Plan::new(graph, &inferred.values, &scratch);
    // Inputs are checked and copied in, outputs copied out.
    let input = |values: &mut dyn Iterator<Item = usize>| {
        values.fold(0u64, |all, v| all.saturating_add(inferred.values[v].elements() as u64))
    };
    let ports = sum!(input(&mut (0..first)); input(&mut graph.outputs.iter().map(|o| o.value as usize)));
    let total = Cost {
        gas: nodes
            .iter()
            .fold(sum!(gas::NODE; ports, gas::PORT), |all, c| all.saturating_add(c.gas)),
        macs: nodes.iter().fold(0, |all, c| all.saturating_add(c.macs)),
        peak_bytes: plan.bytes(),
    };
    Costs { total, nodes, plan }
}
