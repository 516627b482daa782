//! Looks for shapes that do not pay for their time: draws shapes of a family, then changes the worst ones an extent at a time.

use aiinference_engine::graph::Graph;
use aiinference_engine::{Kernels, Program};

use crate::common::{self, Draw, LIMITS};

/// Gas of the largest graphs that are tried: fifteen milliseconds, several times.
const MOST_GAS: u64 = 15_000_000_000;
/// Extents that loops end, begin or change at.
const AWKWARD: [u32; 20] = [
    1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 48, 49, 64, 255, 256, 257, 1000, 4097,
];

/// Graphs that some numbers describe.
pub struct Family {
    /// Of the operation.
    pub op: &'static str,
    /// What each number is, its least and its largest value.
    pub axes: &'static [(&'static str, u32, u32)],
    /// None where the numbers describe nothing.
    pub build: fn(&[u32]) -> Option<Graph>,
}

/// A shape, and its time over the gas that it pays (1 ns to 1,000 gas).
pub struct Found {
    pub shape: Vec<u32>,
    pub ns: f64,
    pub gas: u64,
    /// Of the whole model or of its node alone, whichever is larger.
    pub ratio: f64,
}

impl Family {
    /// The worst shape among `trials`: the first half are drawn, the others are neighbours of the worst one found until then.
    pub fn search(&self, seed: u64, trials: usize, kernels: &Kernels) -> Option<Found> {
        let mut draw = Draw::new(seed);
        let mut worst: Option<Found> = None;
        let mut misses = 0;
        let mut tried = 0;
        while tried < trials && misses < 40 * trials {
            let shape = match &worst {
                Some(found) if tried * 2 >= trials => self.neighbour(&found.shape, &mut draw),
                _ => self.axes.iter().map(|axis| any(*axis, &mut draw)).collect(),
            };
            let Some(found) = self.measure(shape, kernels, common::quick) else {
                misses += 1;
                continue;
            };
            tried += 1;
            if worst.as_ref().is_none_or(|worst| found.ratio > worst.ratio) {
                worst = Some(found);
            }
        }
        // What was disturbed once is not so twice.
        worst.and_then(|found| self.measure(found.shape, kernels, |f| common::time(f)))
    }

    /// None where the shape describes nothing, or takes too long.
    fn measure(&self, shape: Vec<u32>, kernels: &Kernels, time: fn(&mut dyn FnMut()) -> f64) -> Option<Found> {
        let graph = (self.build)(&shape)?;
        let ports = graph.inputs.clone();
        let program = Program::new(graph.clone(), &LIMITS).ok()?;
        let gas = program.run_gas();
        if gas > MOST_GAS {
            return None;
        }
        let inputs = common::inputs(&ports);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let ns = time(&mut || {
            std::hint::black_box(program.run(&views, kernels).expect("inputs within their ranges"));
        });
        let alone = crate::alone(&graph, &views, ns, kernels, time).unwrap_or_default();
        let ratio = alone.max(ns * 1000.0 / gas as f64);
        Some(Found { shape, ns, gas, ratio })
    }

    fn neighbour(&self, shape: &[u32], draw: &mut Draw) -> Vec<u32> {
        let mut shape = shape.to_vec();
        for _ in 0..draw.int(1, 2) {
            let i = draw.int(0, shape.len() as i64 - 1) as usize;
            let (_, low, high) = self.axes[i];
            let now = shape[i];
            let next = match draw.int(0, 5) {
                0 => now / 2,
                1 => now.saturating_mul(2),
                2 => now.saturating_sub(1),
                3 => now.saturating_add(1),
                _ => any(self.axes[i], draw),
            };
            shape[i] = next.clamp(low, high);
        }
        shape
    }

    /// The numbers with their names.
    pub fn describe(&self, shape: &[u32]) -> String {
        let parts = self.axes.iter().zip(shape).map(|((name, ..), n)| format!("{name} {n}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A number, small ones as often as large ones.
fn any((_, low, high): (&str, u32, u32), draw: &mut Draw) -> u32 {
    if high - low < 8 {
        return draw.int(low.into(), high.into()) as u32;
    }
    let number = match draw.int(0, 2) {
        0 => AWKWARD[draw.int(0, AWKWARD.len() as i64 - 1) as usize],
        1 => 1 << draw.int(0, (31 - high.leading_zeros()).into()),
        _ => {
            let bits = draw.int(0, (31 - high.leading_zeros()).into());
            draw.int(1 << bits, (2 << bits) - 1) as u32
        }
    };
    number.clamp(low, high)
}
