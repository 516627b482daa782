//! What models of common shapes cost: gas for each product, which operations it goes to, and time over gas paid.
//!
//! `cargo bench -p aiinference-engine --bench models [-- KERNELS]`.

mod common;

use std::collections::BTreeMap;

use aiinference_engine::graph::{Array, Graph, Op, Window};
use aiinference_engine::{Kernels, Program, Workspace};
use common::{input, model, rescale, Draw, LIMITS};

/// A graph of one input while it grows. Every method appends nodes that read value `x`, and gives the value of the last.
struct Builder {
    graph: Graph,
    draw: Draw,
}

impl Builder {
    fn new(shape: &[u32]) -> Self {
        Builder {
            graph: model(input(shape, -4095, 4095), vec![]),
            draw: Draw::new(9),
        }
    }

    fn push(&mut self, op: Op) -> u32 {
        self.graph.push(op)
    }

    /// The model, whose result is `value`.
    fn finish(mut self, value: u32) -> Graph {
        self.graph.outputs[0].value = value;
        self.graph
    }

    fn weights(&mut self, count: u32) -> Array {
        Array::I8(self.draw.list(count as usize, |d| d.int(-60, 60) as i8))
    }

    /// Weights of so many channels, their biases, and their rescaling to 13 bits.
    fn dense(&mut self, x: u32, k: u32, n: u32) -> u32 {
        let weights = self.weights(k * n);
        self.push(Op::MatMul {
            x,
            weights,
            bias: vec![5; n as usize],
            rescale: narrow(n),
        })
    }

    fn conv(&mut self, x: u32, c: u32, o: u32, kernel: u32, stride: u32, groups: u32) -> u32 {
        let weights = self.weights(o * c / groups * kernel * kernel);
        self.push(Op::Conv2d {
            x,
            weights,
            channels: o,
            bias: vec![5; o as usize],
            window: window(kernel, stride),
            groups,
            rescale: narrow(o),
        })
    }

    /// The convolution before clamped at 0: by its own range, as converted models have it. What is added is clamped apart.
    fn relu(&mut self, x: u32) -> u32 {
        if let Some(Op::Conv2d { rescale, .. }) = self.graph.nodes.last_mut() {
            rescale.low = 0;
            return x;
        }
        self.push(Op::Clamp { x, low: 0, high: 4095 })
    }

    fn add(&mut self, a: u32, b: u32) -> u32 {
        self.push(Op::Add {
            a,
            b,
            multipliers: [1, 1],
            shift: 1,
            low: -4095,
            high: 4095,
        })
    }

    /// From `[1, tokens, width]` to `[heads, tokens, width / heads]`.
    fn heads(&mut self, x: u32, tokens: u32, width: u32, heads: u32) -> u32 {
        let x = self.push(Op::Reshape {
            x,
            shape: vec![tokens, heads, width / heads],
        });
        self.push(Op::Transpose { x, axes: vec![1, 0, 2] })
    }

    fn product(&mut self, a: u32, b: u32, transposed: bool) -> u32 {
        self.push(Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier: 3,
            shift: 18,
            low: -4095,
            high: 4095,
        })
    }

    fn norm(&mut self, x: u32, width: u32) -> u32 {
        let mut rescale = narrow(width);
        rescale.shifts.fill(20);
        self.push(Op::LayerNorm {
            x,
            epsilon: 1000,
            center: true,
            bias: vec![7; width as usize],
            rescale,
        })
    }

    fn transformer_layer(&mut self, x: u32, tokens: u32, width: u32, heads: u32) -> u32 {
        let [q, k, v] = [0; 3].map(|_| {
            let x = self.dense(x, width, width);
            self.heads(x, tokens, width, heads)
        });
        let scores = self.product(q, k, true);
        let shares = self.push(Op::Softmax {
            x: scores,
            multiplier: 94_548,
            shift: 8,
        });
        let mixed = self.product(shares, v, false);
        let mixed = self.push(Op::Transpose {
            x: mixed,
            axes: vec![1, 0, 2],
        });
        let mixed = self.push(Op::Reshape {
            x: mixed,
            shape: vec![1, tokens, width],
        });
        let mixed = self.dense(mixed, width, width);
        let sum = self.add(x, mixed);
        let x = self.norm(sum, width);
        let hidden = self.dense(x, width, 4 * width);
        let table = self.draw.list(513, |d| d.int(-4095, 4095) as i16);
        let hidden = self.push(Op::Table { x: hidden, table });
        let hidden = self.dense(hidden, 4 * width, width);
        let sum = self.add(x, hidden);
        self.norm(sum, width)
    }
}

fn narrow(channels: u32) -> aiinference_engine::graph::Rescale {
    let mut rescale = rescale(channels as usize);
    (rescale.low, rescale.high) = (-4095, 4095);
    rescale
}

fn window(kernel: u32, stride: u32) -> Window {
    Window {
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [kernel / 2; 4],
    }
}

/// Six layers, 384 wide, 12 heads: the shapes of MiniLM-L6.
fn transformer(tokens: u32) -> Graph {
    let mut b = Builder::new(&[1, tokens, 384]);
    let mut x = 0;
    for _ in 0..6 {
        x = b.transformer_layer(x, tokens, 384, 12);
    }
    b.finish(x)
}

/// Two layers of 3x3 for every halving of an image of so many pixels across: the shapes of ResNet-18.
fn residual(pixels: u32) -> Graph {
    let mut b = Builder::new(&[1, 3, pixels, pixels]);
    let x = b.conv(0, 3, 64, 7, 2, 1);
    let x = b.relu(x);
    let mut x = b.push(Op::MaxPool2d {
        x,
        window: window(3, 2),
    });
    let mut c = 64;
    for (o, stride) in [
        (64, 1),
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
    ] {
        let y = b.conv(x, c, o, 3, stride, 1);
        let y = b.relu(y);
        let y = b.conv(y, o, o, 3, 1, 1);
        if c != o {
            x = b.conv(x, c, o, 1, stride, 1);
        }
        x = b.add(x, y);
        x = b.relu(x);
        c = o;
    }
    b.finish(x)
}

/// Bottlenecks of 1x1, a depthwise 3x3 and 1x1: the shapes of MobileNetV2.
fn inverted(pixels: u32) -> Graph {
    let mut b = Builder::new(&[1, 3, pixels, pixels]);
    let x = b.conv(0, 3, 32, 3, 2, 1);
    let mut x = b.relu(x);
    let mut c = 32;
    for (expand, o, count, first) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..count {
            let stride = if i == 0 { first } else { 1 };
            let wide = c * expand;
            let mut y = x;
            if expand > 1 {
                y = b.conv(y, c, wide, 1, 1, 1);
                y = b.relu(y);
            }
            y = b.conv(y, wide, wide, 3, stride, wide);
            y = b.relu(y);
            y = b.conv(y, wide, o, 1, 1, 1);
            x = if stride == 1 && c == o { b.add(x, y) } else { y };
            c = o;
        }
    }
    let x = b.conv(x, c, 1280, 1, 1, 1);
    b.finish(x)
}

/// A few small layers over an image: what contracts have used.
fn small(pixels: u32) -> Graph {
    let mut b = Builder::new(&[1, 1, pixels, pixels]);
    let x = b.conv(0, 1, 8, 3, 1, 1);
    let x = b.relu(x);
    let x = b.push(Op::MaxPool2d {
        x,
        window: window(2, 2),
    });
    let x = b.conv(x, 8, 16, 3, 1, 1);
    let x = b.relu(x);
    let x = b.push(Op::MaxPool2d {
        x,
        window: window(2, 2),
    });
    let x = b.conv(x, 16, 32, 3, 1, 1);
    let x = b.relu(x);
    b.finish(x)
}

fn main() {
    let name = std::env::args().skip(1).find(|word| !word.starts_with("--"));
    let kernels = name.as_deref().unwrap_or("avx2");
    let kernels = Kernels::by_name(kernels).unwrap_or_else(|| panic!("no kernels {kernels} here"));
    for (name, graph) in [
        ("transformer of 128 tokens", transformer(128)),
        ("transformer of 16 tokens", transformer(16)),
        ("residual 224x224", residual(224)),
        ("residual 64x64", residual(64)),
        ("inverted 224x224", inverted(224)),
        ("inverted 96x96", inverted(96)),
        ("small 28x28", small(28)),
    ] {
        let inputs = common::inputs(&graph.inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let ops = graph.nodes.clone();
        let program = Program::new(graph, &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
        let ns = common::time(|| program.run(&views, &kernels).expect("inputs within their ranges"));
        let (gas, macs) = (program.run_gas(), program.macs());
        println!(
            "{name}: {:.1} MMAC, {:.1} gas a product, {:.2} ms, ratio {:.2}",
            macs as f64 / 1e6,
            gas as f64 / macs as f64,
            ns / 1e6,
            ns * 1000.0 / gas as f64
        );
        let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
        for (i, (op, node)) in ops.iter().zip(program.nodes()).enumerate() {
            let kind = kinds.entry(kind(op)).or_default();
            kind.nodes += 1;
            kind.gas += node.cost.gas;
            kind.macs += node.cost.macs;
            kind.ns += alone(&program, op, i, &kernels);
        }
        for (name, kind) in kinds {
            let of = |part: f64, all: u64| if all > 0 { part / all as f64 } else { 0.0 };
            println!(
                "  {name:<22} {:>3} nodes {:>7.2} gas a product of the model, {:>7.2} of its own, ratio {:.2}",
                kind.nodes,
                of(kind.gas as f64, macs),
                of(kind.gas as f64, kind.macs),
                kind.ns * 1000.0 / kind.gas as f64
            );
        }
    }
}

/// What nodes alike come to.
#[derive(Default)]
struct Kind {
    nodes: usize,
    gas: u64,
    macs: u64,
    ns: f64,
}

fn kind(op: &Op) -> String {
    match op {
        Op::Conv2d { window, groups: 1, .. } => {
            let stride = if window.strides[1] > 1 { ", strided" } else { "" };
            format!("Conv2d {}x{}{stride}", window.kernel[0], window.kernel[1])
        }
        Op::Conv2d { .. } => "Conv2d depthwise".into(),
        _ => op.name().into(),
    }
}

/// Nanoseconds of a node by itself, over operands of the same types: those of its own run less those of passing them.
fn alone(program: &Program, op: &Op, index: usize, kernels: &Kernels) -> f64 {
    let ports = program.inputs().len();
    let mut op = op.clone();
    let mut operands: Vec<u32> = vec![];
    let mut rename = |x: &mut u32| {
        operands.push(*x);
        *x = operands.len() as u32 - 1;
    };
    match &mut op {
        Op::MatMul { x, .. }
        | Op::Conv2d { x, .. }
        | Op::Clamp { x, .. }
        | Op::Table { x, .. }
        | Op::Softmax { x, .. }
        | Op::LayerNorm { x, .. }
        | Op::MaxPool2d { x, .. }
        | Op::Transpose { x, .. } => rename(x),
        Op::Add { a, b, .. } | Op::BatchMatMul { a, b, .. } => {
            rename(a);
            rename(b);
        }
        _ => return 0.0,
    }
    let shape = |nodes: Vec<Op>| {
        let mut graph = Graph::new();
        for (i, x) in operands.iter().enumerate() {
            let mut port = match (*x as usize).checked_sub(ports) {
                None => program.inputs()[*x as usize].clone(),
                Some(node) => {
                    let value = &program.nodes()[node].value;
                    input(&value.shape, value.low, value.high)
                }
            };
            port.name = format!("x{i}");
            graph.input(port);
        }
        graph.nodes = nodes;
        graph.outputs = model(input(&[1], 0, 0), vec![]).outputs;
        graph.outputs[0].value = if graph.nodes.is_empty() {
            0
        } else {
            operands.len() as u32
        };
        graph
    };
    let time = |graph: Graph| {
        let inputs = common::inputs(&graph.inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let program = Program::new(graph, &LIMITS).unwrap_or_else(|e| panic!("node {index}: {e}"));
        let mut workspace = Workspace::new();
        common::quick(&mut || {
            let results = program.run_in(&mut workspace, &views, kernels);
            std::hint::black_box(results.expect("inputs within their ranges"));
        })
    };
    let both = time(shape(vec![op]));
    (both - time(shape(vec![]))).max(0.0)
}
