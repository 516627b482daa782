//! Billions of products a second: the scalar set beside the fastest one, in one run.
//! `cargo bench -p aiinference-engine --bench kernels`.

mod common;

use aiinference_engine::graph::{Array, Graph, Op, Window};
use aiinference_engine::{Kernels, Program};
use common::{input, model, rescale, Draw, LIMITS};

fn mat_mul(m: u32, k: u32, n: usize, wide: bool) -> Graph {
    let mut draw = Draw::new(3);
    let count = n * k as usize;
    let weights = if wide {
        Array::I16(draw.list(count, |d| d.int(-100, 100) as i16))
    } else {
        Array::I8(draw.list(count, |d| d.int(-100, 100) as i8))
    };
    model(
        input(&[m, k], -2000, 2000),
        vec![Op::MatMul {
            x: 0,
            weights,
            bias: vec![5; n],
            rescale: rescale(n),
        }],
    )
}

fn conv(c: u32, hw: u32, o: u32, kernel: u32) -> Graph {
    let window = Window {
        kernel: [kernel; 2],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [kernel / 2; 4],
    };
    let count = (o * c * kernel * kernel) as usize;
    let weights = Array::I8(Draw::new(7).list(count, |d| d.int(-100, 100) as i8));
    let op = Op::Conv2d {
        x: 0,
        weights,
        channels: o,
        bias: vec![],
        window,
        groups: 1,
        rescale: rescale(o as usize),
    };
    model(input(&[1, c, hw, hw], -2000, 2000), vec![op])
}

fn main() {
    let sets = [Kernels::scalar(), Kernels::auto()];
    println!("GMAC/s, whole runs (rescaling, packing and copies included)");
    println!("{:<40} {:>10} {:>10}", "", sets[0].name(), sets[1].name());
    let mut cases: Vec<(String, Graph)> = Vec::new();
    for (m, k, n) in [
        (1, 384, 384),
        (1, 4096, 4096),
        (1, 8192, 8192),
        (128, 384, 384),
        (128, 1536, 384),
        (128, 384, 1536),
    ] {
        for wide in [false, true] {
            let bits = if wide { 16 } else { 8 };
            cases.push((format!("MatMul {m}x{k}x{n} i16 x i{bits}"), mat_mul(m, k, n, wide)));
        }
    }
    for (c, hw, o, k) in [
        (64, 28, 128, 3),
        (128, 28, 128, 1),
        (16, 32, 16, 3),
        (3, 64, 16, 3),
        (512, 7, 512, 3),
    ] {
        cases.push((format!("Conv2d {c}x{hw}x{hw} -> {o}, {k}x{k}"), conv(c, hw, o, k)));
    }
    for (name, graph) in cases {
        let inputs = common::inputs(&graph);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let program = Program::new(graph, &LIMITS).expect("a sound model");
        let run = |k: &Kernels| program.run(&views, k).expect("inputs within their ranges");
        assert_eq!(run(&sets[0]), run(&sets[1]));
        let rate = |k: &Kernels| program.macs() as f64 / common::time(|| run(k));
        println!("{name:<40} {:>10.1} {:>10.1}", rate(&sets[0]), rate(&sets[1]));
    }
}
