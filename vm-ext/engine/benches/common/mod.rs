//! Shared by the benches.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aiinference_engine::graph::{Graph, Input, Op, Output, Rescale};
use aiinference_engine::Limits;

pub const LIMITS: Limits = Limits {
    max_nodes: 1 << 14,
    max_rank: 6,
    max_elements: 1 << 26,
    max_peak_bytes: 256 << 20,
    max_ports: 64,
    max_name_bytes: 128,
    max_labels: 1 << 16,
    max_header_entries: 64,
    max_header_bytes: 1 << 16,
};

/// A small generator (xorshift64*).
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        low + (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % ((high - low) as u64 + 1)) as i64
    }

    pub fn list<T>(&mut self, count: usize, mut f: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..count).map(|_| f(self)).collect()
    }
}

pub fn input(shape: &[u32], low: i32, high: i32) -> Input {
    Input {
        name: "x".into(),
        shape: shape.to_vec(),
        fraction_bits: 0,
        low,
        high,
        saturate: false,
    }
}

pub fn rescale(channels: usize) -> Rescale {
    Rescale {
        multipliers: vec![17_000; channels],
        shifts: vec![25; channels],
        low: -32767,
        high: 32767,
    }
}

/// One input, nodes, and the last value as the output.
pub fn model(x: Input, nodes: Vec<Op>) -> Graph {
    let mut graph = Graph::new();
    graph.input(x);
    let value = nodes.len() as u32;
    graph.nodes = nodes;
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    graph
}

/// The same graph with its only node again and again, of whose values the last is returned: what they take beside one of them is
/// theirs alone. None for a graph of several nodes.
pub fn repeated(graph: &Graph, times: usize) -> Option<Graph> {
    let [node] = graph.nodes.as_slice() else {
        return None;
    };
    let mut graph = Graph {
        nodes: vec![node.clone(); times],
        ..graph.clone()
    };
    graph.outputs[0].value = (graph.inputs.len() + times) as u32 - 1;
    Some(graph)
}

/// Elements of every input within its range.
pub fn inputs(ports: &[Input]) -> Vec<Vec<i32>> {
    let mut draw = Draw::new(5);
    ports
        .iter()
        .map(|p| {
            let count = p.shape.iter().product::<u32>() as usize;
            draw.list(count, |d| d.int(p.low.into(), p.high.into()) as i32)
        })
        .collect()
}

/// Processor time of this thread: what other processes take does not count.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Least nanoseconds of few runs, for what is only compared.
pub fn quick(f: &mut dyn FnMut()) -> f64 {
    f();
    let start = Instant::now();
    let mut best = f64::MAX;
    let mut rounds = 0;
    while rounds < 3 || (start.elapsed() < Duration::from_millis(3) && rounds < 30) {
        let batch = if best < 20_000.0 { 20 } else { 1 };
        let from = now();
        for _ in 0..batch {
            f();
        }
        best = best.min((now() - from).as_nanos() as f64 / f64::from(batch));
        rounds += 1;
    }
    best
}

/// Least nanoseconds of a few runs, none of which finds in the near caches what the one before left there.
pub fn cold(f: &mut dyn FnMut()) -> f64 {
    // What pushes everything else out of the caches of a core.
    let mut other = vec![1u64; 1 << 20];
    let mut best = f64::MAX;
    for _ in 0..2 {
        other.iter_mut().for_each(|word| *word = black_box(*word) + 1);
        let from = now();
        f();
        best = best.min((now() - from).as_nanos() as f64);
    }
    best
}

/// Least nanoseconds of many runs.
pub fn time<T>(mut f: impl FnMut() -> T) -> f64 {
    black_box(f());
    let start = Instant::now();
    let mut best = f64::MAX;
    let mut rounds = 0;
    while rounds < 5 || (start.elapsed() < Duration::from_millis(60) && rounds < 2000) {
        // Short runs are timed in batches: the clock itself takes a while.
        let batch = if best < 20_000.0 { 50 } else { 1 };
        let from = now();
        for _ in 0..batch {
            black_box(f());
        }
        best = best.min((now() - from).as_nanos() as f64 / f64::from(batch));
        rounds += 1;
    }
    best
}
