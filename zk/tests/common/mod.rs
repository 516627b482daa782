//! Models that can be proven.
#![allow(dead_code)]

use std::fs;

use aiinference_convert::{Conversion, Converter, Dataset, Options};
use aiinference_demo_models::root;
use aiinference_engine::{
    format,
    graph::{Array, Graph, Input, Op, Output, Rescale, Window},
};
use aiinference_runtime::module;

/// Numbers from a fixed sequence.
pub struct Numbers(pub u64);

impl Numbers {
    /// One of `low..=high`.
    pub fn next(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        low + ((self.0 >> 33) % (high - low + 1) as u64) as i64
    }

    pub fn i8s(&mut self, count: usize) -> Array {
        Array::I8((0..count).map(|_| self.next(-127, 127) as i8).collect())
    }

    pub fn list(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.next(low, high)).collect()
    }
}

/// The perceptron of credit-score up to its logit, converted so that it can be proven.
pub fn credit() -> Conversion {
    let folder = root().join("contracts/credit-score/model");
    let onnx = fs::read(folder.join("mlp.onnx")).unwrap();
    let data = Dataset::from_npz(&fs::read(folder.join("calibration.npz")).unwrap()).unwrap();
    let options = Options {
        provable: true,
        ..Options::default()
    };
    let converter = Converter::new(&onnx, &data).labels("label").end_at(["logit"]);
    converter.options(options).convert().unwrap()
}

pub fn wasm(graph: &Graph) -> Vec<u8> {
    let encoded = format::encode(graph);
    module::wrap(&encoded.graph, &encoded.weights)
}

pub fn shift(s: u8, low: i32, high: i32) -> Rescale {
    Rescale {
        multipliers: vec![1],
        shifts: vec![s],
        low,
        high,
    }
}

pub fn input(shape: &[u32], low: i32, high: i32) -> Input {
    Input {
        name: "x".into(),
        shape: shape.into(),
        fraction_bits: 0,
        low,
        high,
        saturate: false,
    }
}

pub fn output(value: u32) -> Output {
    Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    }
}

/// A perceptron of 8-bit weights with the extents of one for 8 x 8 digits of 17 grey levels; its weights come from a
/// fixed sequence.
pub fn digits_sized() -> Graph {
    let mut numbers = Numbers(2026);
    let mut graph = Graph::new();
    let mut x = graph.input(input(&[1, 64], 0, 16));
    for (k, n, s, low) in [(64, 32, 7, 0), (32, 10, 7, -32767)] {
        let weights = numbers.i8s(k * n);
        let bias = numbers.list(n, -4000, 4000);
        let rescale = shift(s, low, 32767);
        x = graph.push(Op::MatMul {
            x,
            weights,
            bias,
            rescale,
        });
    }
    graph.outputs.push(output(x));
    graph
}

/// A small convolutional network with a residual sum: every operation that can be proven.
pub fn convolutional() -> Graph {
    let mut numbers = Numbers(7);
    let mut graph = Graph::new();
    let x = graph.input(input(&[1, 1, 6, 6], -128, 127));
    let window = |strides, pads| Window {
        kernel: [3, 3],
        strides,
        dilations: [1, 1],
        pads,
    };
    let a = graph.push(Op::Conv2d {
        x,
        weights: numbers.i8s(2 * 9),
        channels: 2,
        bias: numbers.list(2, -500, 500),
        window: window([1, 1], [1, 1, 1, 1]),
        groups: 1,
        rescale: shift(6, 0, 255),
    });
    let b = graph.push(Op::Conv2d {
        x: a,
        weights: numbers.i8s(2 * 9),
        channels: 2,
        bias: vec![],
        window: window([1, 1], [1, 1, 1, 1]),
        groups: 2,
        rescale: shift(9, -100, 100),
    });
    let sum = graph.push(Op::Add {
        a,
        b,
        multipliers: [4, -1],
        shift: 2,
        low: -200,
        high: 200,
    });
    let c = graph.push(Op::Conv2d {
        x: sum,
        weights: numbers.i8s(3 * 2 * 9),
        channels: 3,
        bias: numbers.list(3, -500, 500),
        window: window([2, 2], [0, 0, 1, 1]),
        groups: 1,
        rescale: shift(8, -32767, 32767),
    });
    let scaled = graph.push(Op::Rescale {
        x: c,
        axis: 1,
        bias: vec![3, -4, 5],
        rescale: Rescale {
            multipliers: vec![1, 2, 1],
            shifts: vec![3, 0, 5],
            low: -1000,
            high: 1000,
        },
    });
    let clamped = graph.push(Op::Clamp {
        x: scaled,
        low: -900,
        high: 950,
    });
    let flat = graph.push(Op::Reshape {
        x: clamped,
        shape: vec![1, 27],
    });
    let y = graph.push(Op::MatMul {
        x: flat,
        weights: numbers.i8s(27 * 4),
        bias: numbers.list(4, -500, 500),
        rescale: shift(7, -32767, 32767),
    });
    graph.outputs.push(output(y));
    graph
}

/// Whether the holder of a document is of age and the document has not expired: `birth` and `expiry` in days since 1900, and
/// what else is on the document, which plays a part in `score` only.
pub fn two_documents() -> Graph {
    let mut graph = Graph::new();
    let port = |name: &str, shape: &[u32], low, high| Input {
        name: name.into(),
        ..input(shape, low, high)
    };
    let days = graph.input(port("days", &[1, 2], 0, 40_000));
    let other = graph.input(port("other", &[2], -3, 7));
    // Born by day 39,000, valid to day 38,570 at least: 1 each.
    let facts = graph.push(Op::Rescale {
        x: days,
        axis: 1,
        bias: vec![-39_001, -38_569],
        rescale: Rescale {
            multipliers: vec![-1, 1],
            shifts: vec![0, 0],
            low: 0,
            high: 1,
        },
    });
    let both = graph.push(Op::MatMul {
        x: facts,
        weights: Array::I8(vec![1, 1]),
        bias: vec![-1],
        rescale: shift(0, 0, 1),
    });
    let score = graph.push(Op::Rescale {
        x: other,
        axis: 0,
        bias: vec![1],
        rescale: shift(1, 0, 3),
    });
    graph.outputs.push(Output {
        name: "accepted".into(),
        ..output(both)
    });
    graph.outputs.push(Output {
        name: "score".into(),
        ..output(score)
    });
    graph
}

/// A perceptron so small that its weights can be hashed in seconds.
pub fn tiny(seed: u64) -> Graph {
    let mut numbers = Numbers(seed);
    let mut graph = Graph::new();
    let mut x = graph.input(input(&[1, 4], -100, 100));
    for (k, n, s, low) in [(4, 3, 6, 0), (3, 1, 5, -32767)] {
        let weights = numbers.i8s(k * n);
        let bias = numbers.list(n, -400, 400);
        x = graph.push(Op::MatMul {
            x,
            weights,
            bias,
            rescale: shift(s, low, 32767),
        });
    }
    graph.outputs.push(output(x));
    graph
}

/// A product of several rows, which ezkl by default checks at random points only.
pub fn rows() -> Graph {
    let mut numbers = Numbers(11);
    let mut graph = Graph::new();
    let x = graph.input(input(&[3, 4], -100, 100));
    let y = graph.push(Op::MatMul {
        x,
        weights: numbers.i8s(4 * 2),
        bias: numbers.list(2, -400, 400),
        rescale: shift(6, -32767, 32767),
    });
    graph.outputs.push(output(y));
    graph
}

/// A convolution of single pixels, which ONNX readers take for a product of matrices.
pub fn pixels() -> Graph {
    let mut numbers = Numbers(13);
    let mut graph = Graph::new();
    let x = graph.input(input(&[1, 2, 2, 2], -100, 100));
    let y = graph.push(Op::Conv2d {
        x,
        weights: numbers.i8s(3 * 2),
        channels: 3,
        bias: numbers.list(3, -400, 400),
        window: Window {
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0; 4],
        },
        groups: 1,
        rescale: shift(6, -32767, 32767),
    });
    graph.outputs.push(output(y));
    graph
}

/// Four numbers and one rounding: the smallest circuit that needs two digits for it.
pub fn smallest() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(input(&[4], -100, 100));
    let y = graph.push(Op::Rescale {
        x,
        axis: 0,
        bias: vec![3, -4, 5, 0],
        rescale: shift(8, -100, 100),
    });
    graph.outputs.push(output(y));
    graph
}
