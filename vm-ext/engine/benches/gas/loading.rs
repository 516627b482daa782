//! Loading models whose weights are laid out in more than their own size, or slowly.

use aiinference_engine::graph::{Array, Graph, Op, Rescale, Window};
use aiinference_engine::{format, Program};

use crate::common::{self, input, model, rescale, Draw, LIMITS};

/// Gas of a byte of the stored module, and of one of the section that holds the graph (`docs/spec/gas.md`).
const MODULE_BYTE: u64 = 30_000;
const GRAPH_BYTE: u64 = 80_000;

fn weights(bits: u32, count: usize) -> Array {
    let mut draw = Draw::new(3);
    match bits {
        8 => Array::I8(draw.list(count, |d| d.int(-127, 127) as i8)),
        _ => Array::I16(draw.list(count, |d| d.int(-300, 300) as i16)),
    }
}

fn rescaled(channels: usize, apart: bool) -> Rescale {
    rescale(if apart { channels } else { 1 })
}

fn columns(bits: u32, k: u32, n: u32, apart: bool) -> Graph {
    let op = Op::MatMul {
        x: 0,
        weights: weights(bits, (k * n) as usize),
        bias: vec![],
        rescale: rescaled(n as usize, apart),
    };
    model(input(&[1, k], -127, 127), vec![op])
}

fn channels(bits: u32, taps: u32, groups: u32, o: u32, apart: bool) -> Graph {
    let op = Op::Conv2d {
        x: 0,
        weights: weights(bits, (taps * o) as usize),
        channels: o,
        bias: vec![],
        window: Window {
            kernel: [1, taps],
            strides: [1; 2],
            dilations: [1; 2],
            pads: [0; 4],
        },
        groups,
        rescale: rescaled(o as usize, apart),
    };
    model(input(&[1, groups, 1, taps], -127, 127), vec![op])
}

/// Names, and models of some MiB.
pub fn cases() -> Vec<(String, Graph)> {
    let mut all = vec![];
    for bits in [8, 16] {
        for k in [1, 2, 3, 4, 5, 7, 64, 4096] {
            for apart in [false, true] {
                let n = (4 << 20) / k;
                let name = |op: &str| format!("loading {op} of {n} by {k}, {bits} bits, rescaled alike {}", !apart);
                all.push((name("MatMul"), columns(bits, k, n, apart)));
                all.push((name("Conv2d"), channels(bits, k, 1, n, apart)));
            }
        }
        let name = format!("loading Conv2d of 1048576 groups, {bits} bits");
        all.push((name, channels(bits, 3, 1 << 20, 1 << 20, false)));
        let name = format!("loading MatMul of one column, {bits} bits");
        all.push((name, columns(bits, 4 << 20, 1, false)));
    }
    all
}

/// Nanoseconds, gas, and bytes held for each byte that is stored.
pub fn time(graph: &Graph) -> (f64, u64, f64) {
    let file = format::encode(graph);
    let load = || Program::load(&file.graph, &file.weights, &LIMITS).expect("a valid model");
    let ns = common::quick(&mut || {
        std::hint::black_box(load());
    });
    let (graph, all) = (file.graph.len() as u64, (file.graph.len() + file.weights.len()) as u64);
    let held = load().resident_bytes() as f64 / all as f64;
    (ns, all * MODULE_BYTE + graph * GRAPH_BYTE, held)
}
