//! Billions of products a second: every set of kernels that this machine runs, side by side, and, where it has VNNI, the most
//! that its instruction for bytes can do. `cargo bench -p aiinference-engine --bench kernels [PART OF A NAME [SET]]`. Where
//! `BENCH_FIGURES` names a file, each figure is added to it as a line of JSON.

mod common;

use std::io::Write;

use aiinference_engine::bench::Products;
use aiinference_engine::graph::{Array, Graph, Op, Rescale, Window};
use aiinference_engine::{Kernels, Program, Workspace};
use common::{input, model, rescale, Draw, LIMITS};

/// Inputs of 8 and of 16 bits.
const RANGES: [(&str, i32); 2] = [("i8", 127), ("i16", 2000)];

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

#[allow(clippy::too_many_arguments)]
/// As many as are asked for, one after another: little is copied in and out.
fn conv(layers: u32, c: u32, hw: u32, o: u32, kernel: u32, stride: u32, groups: u32, range: i32) -> Graph {
    let window = Window {
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [kernel / 2; 4],
    };
    let mut draw = Draw::new(7);
    let count = (o * c / groups * kernel * kernel) as usize;
    let layers = (0..layers).map(|x| Op::Conv2d {
        x,
        weights: Array::I8(draw.list(count, |d| d.int(-100, 100) as i8)),
        channels: o,
        bias: vec![],
        window: window.clone(),
        groups,
        rescale: Rescale {
            low: -range,
            high: range,
            ..rescale(o as usize)
        },
    });
    model(input(&[1, c, hw, hw], -range, range), layers.collect())
}

/// Matrices one after another, as in a transformer: little is copied in and out.
fn chain(m: u32, widths: &[usize], range: i32) -> Graph {
    let mut draw = Draw::new(3);
    let layers = widths.windows(2).enumerate().map(|(x, pair)| {
        let count = pair[0] * pair[1];
        Op::MatMul {
            x: x as u32,
            weights: Array::I8(draw.list(count, |d| d.int(-100, 100) as i8)),
            bias: vec![5; pair[1]],
            rescale: Rescale {
                low: -range,
                high: range,
                ..rescale(pair[1])
            },
        }
    });
    model(input(&[m, widths[0] as u32], -range, range), layers.collect())
}

/// A perceptron as small as they come.
fn perceptron() -> Graph {
    let mut draw = Draw::new(11);
    let mut layer = |x: u32, k: usize, n: usize| Op::MatMul {
        x,
        weights: Array::I8(draw.list(k * n, |d| d.int(-100, 100) as i8)),
        bias: vec![9; n],
        rescale: rescale(n),
    };
    let nodes = vec![
        layer(0, 64, 128),
        Op::Clamp {
            x: 1,
            low: 0,
            high: 127,
        },
        layer(2, 128, 64),
        Op::Clamp {
            x: 3,
            low: 0,
            high: 127,
        },
        layer(4, 64, 10),
    ];
    model(input(&[1, 64], -127, 127), nodes)
}

/// Six layers of a transformer in MiniLM's shapes: 128 tokens of 384, 12 heads, 1,536 within.
fn transformer(range: i32) -> Graph {
    let mut draw = Draw::new(13);
    let mut nodes: Vec<Op> = Vec::new();
    let mut push = |op| {
        nodes.push(op);
        nodes.len() as u32
    };
    let ends = |count: usize| Rescale {
        low: -range,
        high: range,
        ..rescale(count)
    };
    let mut linear = |push: &mut dyn FnMut(Op) -> u32, x: u32, k: usize, n: usize| {
        push(Op::MatMul {
            x,
            weights: Array::I8(draw.list(k * n, |d| d.int(-100, 100) as i8)),
            bias: vec![9; n],
            rescale: ends(n),
        })
    };
    let add = |a: u32, b: u32| Op::Add {
        a,
        b,
        multipliers: [16_384, 16_384],
        shift: 14,
        low: -range,
        high: range,
    };
    let normalise = |x: u32| Op::LayerNorm {
        x,
        epsilon: 1,
        center: true,
        bias: vec![77; 384],
        rescale: ends(384),
    };
    let mut x = 0;
    for _ in 0..6 {
        let mut heads = |push: &mut dyn FnMut(Op) -> u32, axes: [u32; 3]| {
            let y = linear(push, x, 384, 384);
            let y = push(Op::Reshape {
                x: y,
                shape: vec![128, 12, 32],
            });
            push(Op::Transpose {
                x: y,
                axes: axes.to_vec(),
            })
        };
        let (q, k, v) = (
            heads(&mut push, [1, 0, 2]),
            heads(&mut push, [1, 0, 2]),
            heads(&mut push, [1, 0, 2]),
        );
        let product = |a: u32, b: u32, transposed: bool| Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier: 17_000,
            shift: 25,
            low: -range,
            high: range,
        };
        let scores = push(product(q, k, true));
        let weights = push(Op::Softmax {
            x: scores,
            multiplier: 3000,
            shift: 4,
        });
        let mixed = push(product(weights, v, false));
        let y = push(Op::Transpose {
            x: mixed,
            axes: vec![1, 0, 2],
        });
        let y = push(Op::Reshape {
            x: y,
            shape: vec![128, 384],
        });
        let y = linear(&mut push, y, 384, 384);
        let y = push(add(x, y));
        let middle = push(normalise(y));
        let y = linear(&mut push, middle, 384, 1536);
        let y = push(Op::Table {
            x: y,
            table: if range == 127 { vec![5; 256] } else { vec![7; 513] },
        });
        let y = linear(&mut push, y, 1536, 384);
        let y = push(add(middle, y));
        x = push(normalise(y));
    }
    model(input(&[128, 384], -range, range), nodes)
}

/// The most products of bytes a nanosecond, all operands being in registers.
#[cfg(target_arch = "x86_64")]
fn peak() -> Option<f64> {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn spin(sums: &mut [__m512i; 16], rounds: usize) {
        let (x, y) = (_mm512_set1_epi8(3), _mm512_set1_epi8(5));
        for _ in 0..rounds {
            for sum in sums.iter_mut() {
                // SAFETY: the function has the features; no memory is touched.
                unsafe {
                    std::arch::asm!("vpdpbusd {0}, {1}, {2}", inout(zmm_reg) *sum, in(zmm_reg) x, in(zmm_reg) y,
                        options(pure, nomem, nostack));
                }
            }
        }
    }
    if !is_x86_feature_detected!("avx512vnni") {
        return None;
    }
    const ROUNDS: usize = 2000;
    // SAFETY: the machine has the features.
    let time = common::time(|| unsafe {
        let mut sums = [_mm512_setzero_si512(); 16];
        spin(&mut sums, ROUNDS);
        sums
    });
    Some((ROUNDS * 16 * 64) as f64 / time)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> Option<f64> {
    None
}

/// Products without rescaling.
fn products(name: &str, [m, k, n]: [usize; 3], range: i32, sets: &[Kernels], peak: Option<f64>) {
    let mut draw = Draw::new(17);
    let weights = draw.list(n * k, |d| d.int(-100, 100) as i8);
    let x: Vec<i16> = draw.list(m * k, |d| d.int((-range).into(), range.into()) as i16);
    let mut products = Products::new(m, k, &weights, -range, range);
    let want = products.run(&x, &Kernels::scalar()).to_vec();
    print!("{name:<44}");
    for set in sets {
        assert!(products.run(&x, set) == want, "{name}: {} differs", set.name());
        let time = common::time(|| products.run(&x, set).first().copied());
        show(name, set, (m * k * n) as f64 / time, peak);
    }
    println!();
}

/// Adds a line to the file of figures.
fn record(line: &str) {
    if let Ok(path) = std::env::var("BENCH_FIGURES") {
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("a file to write to");
    }
}

fn show(name: &str, set: &Kernels, speed: f64, peak: Option<f64>) {
    record(&format!(
        r#"{{"name": {name:?}, "set": {:?}, "gmacs": {speed}}}"#,
        set.name()
    ));
    match peak {
        Some(peak) => print!(" {speed:>8.1} ({:>4.2}) ", speed / peak),
        None => print!(" {speed:>16.1}"),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let filter = arguments.next().unwrap_or_default();
    let only = arguments.next();
    let mut sets = Kernels::available();
    sets.retain(|set| only.as_deref().is_none_or(|only| set.name() == only));
    let peak = peak();
    println!("GMAC/s: products alone (laying out of activations included) and whole runs (rescaling and copies, too)");
    if let Some(peak) = peak {
        println!("int8 peak of this core: {peak:.1}; in brackets the share of it");
        record(&format!(r#"{{"int8_peak": {peak}}}"#));
    }
    print!("{:<44}", "");
    sets.iter().for_each(|set| print!(" {:>16}", set.name()));
    println!();
    let mut cases: Vec<(String, Box<dyn Fn() -> Graph>)> = Vec::new();
    for (m, k, n) in [
        (1, 384, 384),
        (1, 384, 1536),
        (1, 4096, 4096),
        (1, 8192, 8192),
        (8, 384, 384),
        (128, 384, 384),
        (128, 1536, 384),
        (128, 384, 1536),
        (128, 32, 128),
    ] {
        for (name, range) in RANGES {
            let graph = move || mat_mul(m, k, n, 8, 100, range);
            cases.push((format!("MatMul {m}x{k}x{n} {name} x i8"), Box::new(graph)));
        }
        let graph = move || mat_mul(m, k, n, 16, 100, 2000);
        cases.push((format!("MatMul {m}x{k}x{n} i16 x i16"), Box::new(graph)));
    }
    for (name, range) in RANGES {
        let graph = move || chain(128, &[384; 13], range);
        cases.push((format!("12 MatMuls 128x384x384 {name} x i8"), Box::new(graph)));
        let graph = move || chain(128, &[384, 1536, 384, 1536, 384, 1536, 384], range);
        cases.push((format!("6 MatMuls 128x384x1536x384 {name} x i8"), Box::new(graph)));
    }
    for (m, what, most, range) in [
        (128, "blocks of 2", 30_000, 32_767),
        (128, "longer blocks", 9000, 3000),
        (1, "blocks of 2", 30_000, 32_767),
        (1, "longer blocks", 9000, 3000),
    ] {
        let graph = move || mat_mul(m, 384, 384, 16, most, range);
        cases.push((format!("MatMul {m}x384x384 i16 x i16, {what}"), Box::new(graph)));
    }
    let graph = move || mat_mul(128, 3072, 768, 8, 127, 32_767);
    cases.push(("MatMul 128x3072x768 i16 x i8, blocks".into(), Box::new(graph)));
    for (c, hw, o, k, stride, groups) in [
        (64, 28, 128, 3, 1, 1),
        (128, 28, 128, 1, 1, 1),
        (256, 14, 256, 3, 1, 1),
        (128, 28, 128, 3, 2, 1),
        (16, 32, 16, 3, 1, 1),
        (3, 64, 16, 3, 1, 1),
        (3, 224, 32, 3, 2, 1),
        (512, 7, 512, 3, 1, 1),
        (960, 7, 160, 1, 1, 1),
        (128, 28, 128, 3, 1, 128),
        (256, 14, 256, 5, 1, 256),
        (64, 56, 64, 3, 2, 64),
    ] {
        for (name, range) in RANGES {
            let layers = if c == o && stride == 1 { 6 } else { 1 };
            let graph = move || conv(layers, c, hw, o, k, stride, groups, range);
            let what = if groups == 1 { "" } else { ", depthwise" };
            cases.push((
                format!("{layers} Conv2d {c}x{hw}x{hw} -> {o}, {k}x{k}/{stride} {name}{what}"),
                Box::new(graph),
            ));
        }
    }
    for (name, range) in RANGES {
        cases.push((
            format!("Transformer like MiniLM, {name}"),
            Box::new(move || transformer(range)),
        ));
    }
    cases.push(("Perceptron 64-128-64-10".into(), Box::new(perceptron)));
    println!("products alone");
    for (m, k, n) in [
        (128, 384, 384),
        (128, 1536, 384),
        (128, 384, 1536),
        (784, 576, 128),
        (1, 384, 384),
    ] {
        for (name, range) in RANGES {
            let name = format!("Products {m}x{k}x{n} {name} x i8");
            if name.contains(&filter) {
                products(&name, [m, k, n], range, &sets, peak);
            }
        }
    }
    println!("whole runs");
    for (name, graph) in cases.into_iter().filter(|(name, _)| name.contains(&filter)) {
        let graph = graph();
        let inputs = common::inputs(&graph.inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let program = Program::new(graph, &LIMITS).expect("a sound model");
        let want = program
            .run(&views, &Kernels::scalar())
            .expect("inputs within their ranges");
        let mut workspace = Workspace::new();
        print!("{name:<44}");
        let mut fastest = f64::MAX;
        for set in &sets {
            let mut run = || {
                let results = program
                    .run_in(&mut workspace, &views, set)
                    .expect("inputs within their ranges");
                results.get(0).map(<[i32]>::len)
            };
            run();
            let time = common::time(&mut run);
            fastest = fastest.min(time);
            let results = program
                .run_in(&mut workspace, &views, set)
                .expect("inputs within their ranges");
            assert!(
                results.get(0) == want.first().map(Vec::as_slice),
                "{name}: {} differs",
                set.name()
            );
            show(&name, set, program.macs() as f64 / time, peak);
        }
        println!(" {:>9.2} us", fastest / 1000.0);
    }
}
