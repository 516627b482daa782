//! Billions of products a second: every set of kernels that this machine runs, side by side.
//! `cargo bench -p aiinference-engine --bench kernels`.

mod common;

use aiinference_engine::graph::{Array, Graph, Op, Window};
use aiinference_engine::{Kernels, Program};
use common::{input, model, rescale, Draw, LIMITS};

/// Weights of so many bits. Sums need more than 32 bits where `most`, the largest, and `range`, that of the inputs, do.
fn mat_mul(m: u32, k: u32, n: usize, bits: u32, most: i64, range: i32) -> Graph {
    let mut draw = Draw::new(3);
    let count = n * k as usize;
    let weights = match bits {
        8 => Array::I8(draw.list(count, |d| d.int(-most, most) as i8)),
        _ => Array::I16(draw.list(count, |d| d.int(-most, most) as i16)),
    };
    model(
        input(&[m, k], -range, range),
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
    let sets = Kernels::available();
    println!("GMAC/s, whole runs (rescaling, packing and copies included)");
    print!("{:<40}", "");
    sets.iter().for_each(|set| print!(" {:>10}", set.name()));
    println!();
    let mut cases: Vec<(String, Graph)> = Vec::new();
    for (m, k, n) in [
        (1, 384, 384),
        (1, 4096, 4096),
        (1, 8192, 8192),
        (128, 384, 384),
        (128, 1536, 384),
        (128, 384, 1536),
    ] {
        for bits in [8, 16] {
            let graph = mat_mul(m, k, n, bits, 100, 2000);
            cases.push((format!("MatMul {m}x{k}x{n} i16 x i{bits}"), graph));
        }
    }
    for (m, what, most, range) in [
        (128, "blocks of 2", 30_000, 32_767),
        (128, "longer blocks", 9000, 3000),
        (1, "blocks of 2", 30_000, 32_767),
        (1, "longer blocks", 9000, 3000),
    ] {
        let graph = mat_mul(m, 384, 384, 16, most, range);
        cases.push((format!("MatMul {m}x384x384 i16 x i16, {what}"), graph));
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
        let run = |set: &Kernels| program.run(&views, set).expect("inputs within their ranges");
        let want = run(&Kernels::scalar());
        print!("{name:<40}");
        for set in &sets {
            assert!(run(set) == want, "{name}: {} differs", set.name());
            print!(" {:>10.1}", program.macs() as f64 / common::time(|| run(set)));
        }
        println!();
    }
}
