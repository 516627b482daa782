//! Bounds of numbers, operation by operation.

use aiinference_engine::graph::{Array, Graph, Op, Rescale, State, Trees, Window};
use aiinference_engine::{format, Limits};

use crate::common::LIMITS;
use crate::{both, graph, input};

/// The last number up to which a family of models is valid is the same for both.
#[test]
fn bounds_are_kept_to_the_unit_by_both() {
    const LEAST: i32 = i32::MIN;
    const MOST: i32 = i32::MAX;
    let rescale = |m| Rescale {
        multipliers: vec![m],
        shifts: vec![0],
        low: LEAST,
        high: MOST,
    };
    let trees = |base| Trees {
        roots: vec![-1, 0],
        features: vec![0],
        thresholds: vec![0],
        left: vec![-2],
        right: vec![-3],
        leaf_starts: vec![0, 1, 2, 3],
        targets: vec![0, 0, 0],
        weights: vec![5, -9, 7],
        base: vec![base],
    };
    let window = |padding| Window {
        kernel: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [padding; 4],
    };
    let (low, high) = (LEAST, MOST);
    type Family<'a> = (&'a str, i64, i64, Box<dyn Fn(i64) -> Graph + 'a>);
    let families: Vec<Family> = vec![
        (
            "bias of MatMul",
            0,
            1 << 50,
            Box::new(|p| {
                let weights = Array::I8(vec![-128, 127]);
                graph(
                    vec![input(&[2], -300, 7)],
                    vec![Op::MatMul {
                        x: 0,
                        weights,
                        bias: vec![p],
                        rescale: rescale(3),
                    }],
                )
            }),
        ),
        (
            "bias below 0 of MatMul",
            0,
            1 << 50,
            Box::new(|p| {
                let weights = Array::I16(vec![-128, 300]);
                graph(
                    vec![input(&[2], low, high)],
                    vec![Op::MatMul {
                        x: 0,
                        weights,
                        bias: vec![-p],
                        rescale: rescale(1),
                    }],
                )
            }),
        ),
        (
            "multiplier of MatMul",
            0,
            MOST.into(),
            Box::new(|p| {
                let weights = Array::I16(vec![0, 300]);
                let bias = vec![1 << 45];
                graph(
                    vec![input(&[2], low, 2)],
                    vec![Op::MatMul {
                        x: 0,
                        weights,
                        bias,
                        rescale: rescale(p as i32),
                    }],
                )
            }),
        ),
        (
            "multiplier below 0 of MatMul",
            0,
            MOST.into(),
            Box::new(|p| {
                let weights = Array::I16(vec![0, 300]);
                let bias = vec![1 << 45];
                graph(
                    vec![input(&[2], low, 2)],
                    vec![Op::MatMul {
                        x: 0,
                        weights,
                        bias,
                        rescale: rescale(-p as i32),
                    }],
                )
            }),
        ),
        (
            "bias of Conv2d",
            0,
            1 << 50,
            Box::new(|p| {
                let weights = Array::I8(vec![-128; 9]);
                let (window, rescale) = (window(1), rescale(2));
                let conv = Op::Conv2d {
                    x: 0,
                    weights,
                    channels: 1,
                    bias: vec![p],
                    window,
                    groups: 1,
                    rescale,
                };
                graph(vec![input(&[1, 1, 4, 5], 3, 300)], vec![conv])
            }),
        ),
        (
            "extent of a padded image",
            1,
            1 << 30,
            Box::new(|p| {
                let weights = Array::I8(vec![-128; 9]);
                let mut window = window(1);
                window.strides = [1 << 20, 3];
                let bias = vec![];
                let conv = Op::Conv2d {
                    x: 1,
                    weights,
                    channels: 1,
                    bias,
                    window,
                    groups: 1,
                    rescale: rescale(1),
                };
                graph(
                    vec![input(&[1], -3, 3)],
                    vec![
                        Op::Broadcast {
                            x: 0,
                            shape: vec![1, 1, p as u32, 2],
                        },
                        conv,
                    ],
                )
            }),
        ),
        (
            "bias of Rescale",
            0,
            1 << 50,
            Box::new(|p| {
                graph(
                    vec![input(&[2], low, 5)],
                    vec![Op::Rescale {
                        x: 0,
                        axis: 0,
                        bias: vec![p],
                        rescale: rescale(1),
                    }],
                )
            }),
        ),
        (
            "bias below 0 of Rescale",
            0,
            1 << 50,
            Box::new(|p| {
                graph(
                    vec![input(&[2], -9, 5)],
                    vec![Op::Rescale {
                        x: 0,
                        axis: 7,
                        bias: vec![-p],
                        rescale: rescale(7),
                    }],
                )
            }),
        ),
        (
            "base of TreeEnsemble",
            0,
            1 << 50,
            Box::new(|p| {
                let (trees, rescale) = (trees(p), rescale(1));
                graph(
                    vec![input(&[1], low, high)],
                    vec![Op::TreeEnsemble { x: 0, trees, rescale }],
                )
            }),
        ),
        (
            "multiplier of TreeEnsemble",
            0,
            MOST.into(),
            Box::new(|p| {
                let (trees, rescale) = (trees(-(1 << 45)), rescale(p as i32));
                graph(
                    vec![input(&[1], low, high)],
                    vec![Op::TreeEnsemble { x: 0, trees, rescale }],
                )
            }),
        ),
        (
            "products of Add",
            0,
            MOST.into(),
            Box::new(|p| {
                let multipliers = [1 << 30, p as i32];
                let add = Op::Add {
                    a: 0,
                    b: 0,
                    multipliers,
                    shift: 9,
                    low,
                    high,
                };
                graph(vec![input(&[1], low, high)], vec![add])
            }),
        ),
        (
            "product of Mul",
            0,
            i64::from(MOST),
            Box::new(|p| {
                let mul = Op::Mul {
                    a: 0,
                    b: 1,
                    multiplier: -1,
                    shift: 62,
                    low,
                    high,
                };
                graph(vec![input(&[1], low, high), input(&[1], -1 - p as i32, 0)], vec![mul])
            }),
        ),
        (
            "shift",
            0,
            255,
            Box::new(|p| {
                let mul = Op::Mul {
                    a: 0,
                    b: 0,
                    multiplier: -1,
                    shift: p as u8,
                    low,
                    high,
                };
                graph(vec![input(&[1], 0, 1)], vec![mul])
            }),
        ),
        (
            "dividend of Div",
            0,
            i64::from(MOST),
            Box::new(|p| {
                let div = Op::Div {
                    a: 0,
                    b: 0,
                    shift: 31,
                    low,
                    high,
                };
                graph(vec![input(&[1], -1 - p as i32, 5)], vec![div])
            }),
        ),
        (
            "shift of Div",
            0,
            255,
            Box::new(|p| {
                graph(
                    vec![input(&[1], 0, 0)],
                    vec![Op::Div {
                        a: 0,
                        b: 0,
                        shift: p as u8,
                        low,
                        high,
                    }],
                )
            }),
        ),
        (
            "shift of Sqrt",
            0,
            255,
            Box::new(|p| {
                graph(
                    vec![input(&[1], 1, 5)],
                    vec![Op::Sqrt {
                        x: 0,
                        shift: p as u8,
                        low,
                        high,
                    }],
                )
            }),
        ),
        (
            "shift of Sqrt of nothing above 0",
            0,
            255,
            Box::new(|p| {
                graph(
                    vec![input(&[1], low, 0)],
                    vec![Op::Sqrt {
                        x: 0,
                        shift: p as u8,
                        low,
                        high,
                    }],
                )
            }),
        ),
        (
            "shift of Softmax",
            0,
            255,
            Box::new(|p| {
                graph(
                    vec![input(&[3], low, high)],
                    vec![Op::Softmax {
                        x: 0,
                        multiplier: MOST,
                        shift: p as u8,
                    }],
                )
            }),
        ),
        (
            "columns of ReduceSum",
            1,
            1 << 17,
            Box::new(|p| {
                let sum = Op::ReduceSum {
                    x: 0,
                    axis: 0,
                    multiplier: 1 << 16,
                    shift: 30,
                    low,
                    high,
                };
                graph(vec![input(&[p as u32], low, high)], vec![sum])
            }),
        ),
        (
            "multiplier of ReduceSum",
            0,
            MOST.into(),
            Box::new(|p| {
                let sum = Op::ReduceSum {
                    x: 0,
                    axis: 0,
                    multiplier: -p as i32,
                    shift: 30,
                    low,
                    high,
                };
                graph(vec![input(&[1 << 13], 0, high)], vec![sum])
            }),
        ),
        (
            "columns of BatchMatMul",
            1,
            1 << 17,
            Box::new(|p| {
                let ports = vec![input(&[1, p as u32], -32768, 0), input(&[p as u32, 1], -32768, 5)];
                let (transposed, multiplier) = (false, 1);
                graph(
                    ports,
                    vec![Op::BatchMatMul {
                        a: 0,
                        b: 1,
                        transposed,
                        multiplier,
                        shift: 20,
                        low,
                        high,
                    }],
                )
            }),
        ),
        (
            "range of BatchMatMul",
            0,
            1 << 17,
            Box::new(|p| {
                let ports = vec![input(&[1, 3], 0, p as i32), input(&[3, 1], 0, 5)];
                let (transposed, multiplier) = (false, 1);
                graph(
                    ports,
                    vec![Op::BatchMatMul {
                        a: 0,
                        b: 1,
                        transposed,
                        multiplier,
                        shift: 20,
                        low,
                        high,
                    }],
                )
            }),
        ),
        (
            "epsilon of LayerNorm",
            0,
            1 << 62,
            Box::new(|p| {
                let (epsilon, center, bias) = (p as u64, true, vec![]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[5], -1000, 77)], vec![norm])
            }),
        ),
        (
            "epsilon of LayerNorm not centred",
            0,
            1 << 62,
            Box::new(|p| {
                let (epsilon, center, bias) = (p as u64, false, vec![]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[5], -1000, 77)], vec![norm])
            }),
        ),
        (
            "range of LayerNorm",
            0,
            MOST.into(),
            Box::new(|p| {
                let (epsilon, center, bias) = (1, true, vec![]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[5], -(p as i32 / 2), (p + 1) as i32 / 2)], vec![norm])
            }),
        ),
        (
            "range of LayerNorm not centred",
            0,
            MOST.into(),
            Box::new(|p| {
                let (epsilon, center, bias) = (0, false, vec![]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[5], -(p as i32), 6)], vec![norm])
            }),
        ),
        (
            "columns of LayerNorm",
            1,
            1 << 17,
            Box::new(|p| {
                let (epsilon, center, bias) = (0, true, vec![]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[p as u32], 0, 2)], vec![norm])
            }),
        ),
        (
            "bias of LayerNorm",
            0,
            1 << 50,
            Box::new(|p| {
                let (epsilon, center, bias) = (0, true, vec![3, -p]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(1),
                };
                graph(vec![input(&[2], 0, 2)], vec![norm])
            }),
        ),
        (
            "multiplier of LayerNorm",
            0,
            MOST.into(),
            Box::new(|p| {
                let (epsilon, center, bias) = (0, false, vec![-(1 << 44)]);
                let norm = Op::LayerNorm {
                    x: 0,
                    epsilon,
                    center,
                    bias,
                    rescale: rescale(p as i32),
                };
                graph(vec![input(&[2], 0, 2)], vec![norm])
            }),
        ),
        (
            "range of a table",
            0,
            1 << 20,
            Box::new(|p| {
                graph(
                    vec![input(&[2], -128, p as i32)],
                    vec![Op::Table {
                        x: 0,
                        table: vec![4; 256],
                    }],
                )
            }),
        ),
        (
            "range of knots",
            0,
            1 << 20,
            Box::new(|p| {
                graph(
                    vec![input(&[2], -p as i32, 9)],
                    vec![Op::Table {
                        x: 0,
                        table: vec![4; 513],
                    }],
                )
            }),
        ),
        (
            "elements",
            1,
            u32::MAX.into(),
            Box::new(|p| {
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![Op::Broadcast {
                        x: 0,
                        shape: vec![p as u32],
                    }],
                )
            }),
        ),
        (
            "axes",
            0,
            100,
            Box::new(|p| {
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![Op::Reshape {
                        x: 0,
                        shape: vec![1; p as usize],
                    }],
                )
            }),
        ),
        (
            "operands of Concat",
            1,
            10_000,
            Box::new(|p| {
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![Op::Concat {
                        xs: vec![0; p as usize],
                        axis: 0,
                    }],
                )
            }),
        ),
        (
            "operands of Scan",
            1,
            10_000,
            Box::new(|p| {
                let body = vec![Op::Clamp { x: 1, low: 0, high: 1 }];
                let initial = State {
                    initial: 0,
                    low: 0,
                    high: 2,
                    result: 2,
                    kept: true,
                };
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![Op::Scan {
                        count: 2,
                        states: vec![initial],
                        scanned: vec![],
                        captured: vec![0; p as usize],
                        body,
                        collected: vec![],
                    }],
                )
            }),
        ),
        (
            "collected values",
            1,
            10_000,
            Box::new(|p| {
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![Op::Scan {
                        count: 1,
                        states: vec![],
                        scanned: vec![],
                        captured: vec![0],
                        body: vec![Op::Clamp { x: 0, low: 0, high: 1 }],
                        collected: vec![1; p as usize],
                    }],
                )
            }),
        ),
        (
            "sides by side",
            1,
            u32::MAX.into(),
            Box::new(|p| {
                let part = Op::Broadcast {
                    x: 0,
                    shape: vec![p as u32],
                };
                graph(
                    vec![input(&[1], 0, 2)],
                    vec![
                        part,
                        Op::Concat {
                            xs: vec![1; 3],
                            axis: 0,
                        },
                    ],
                )
            }),
        ),
        (
            "padding",
            0,
            u32::MAX.into(),
            Box::new(|p| {
                let (before, after) = (vec![p as u32], vec![p as u32]);
                graph(
                    vec![input(&[3], 0, 2)],
                    vec![Op::Pad {
                        x: 0,
                        before,
                        after,
                        value: 1,
                    }],
                )
            }),
        ),
        (
            "factors",
            1,
            u32::MAX.into(),
            Box::new(|p| {
                graph(
                    vec![input(&[3, 2], 0, 2)],
                    vec![Op::Upsample2d {
                        x: 0,
                        factors: [p as u32, 2],
                    }],
                )
            }),
        ),
        (
            "times of a Scan",
            1,
            u32::MAX.into(),
            Box::new(|p| {
                let (count, captured, collected) = (p as u32, vec![0], vec![0]);
                let (states, scanned, body) = (vec![], vec![], vec![]);
                graph(
                    vec![input(&[3, 2], 0, 2)],
                    vec![Op::Scan {
                        count,
                        states,
                        scanned,
                        captured,
                        body,
                        collected,
                    }],
                )
            }),
        ),
        (
            "nodes of a body",
            0,
            5000,
            Box::new(|p| {
                let body = vec![Op::Clamp { x: 0, low: 0, high: 1 }; p as usize];
                let (count, captured, collected) = (2, vec![0], vec![0]);
                let (states, scanned) = (vec![], vec![]);
                graph(
                    vec![input(&[3, 2], 0, 2)],
                    vec![Op::Scan {
                        count,
                        states,
                        scanned,
                        captured,
                        body,
                        collected,
                    }],
                )
            }),
        ),
        (
            "padding of a pool",
            0,
            1000,
            Box::new(|p| {
                let mut window = window(p as u32);
                window.dilations = [7, 9];
                graph(vec![input(&[1, 1, 20, 30], 0, 2)], vec![Op::MaxPool2d { x: 0, window }])
            }),
        ),
        (
            "dilation of a padded pool",
            1,
            1000,
            Box::new(|p| {
                let mut window = window(2);
                window.dilations = [3, p as u32];
                graph(vec![input(&[1, 1, 20, 30], 0, 2)], vec![Op::MaxPool2d { x: 0, window }])
            }),
        ),
        (
            "kernel of a padded pool",
            1,
            u32::MAX.into(),
            Box::new(|p| {
                let k = p as u32;
                let window = Window {
                    kernel: [k, k],
                    strides: [1, 1],
                    dilations: [1, 1],
                    pads: [k - 1, k - 1, 0, 0],
                };
                graph(
                    vec![input(&[1, 1, 2, 2], low, high)],
                    vec![Op::AvgPool2d {
                        x: 0,
                        window,
                        count_padding: true,
                    }],
                )
            }),
        ),
    ];
    let limits = Limits {
        max_elements: u64::MAX,
        max_rank: 1000,
        max_peak_bytes: u64::MAX,
        ..LIMITS
    };
    for (name, first, last, family) in families {
        let valid = |p| {
            let bytes = format::encode(&family(p));
            both(&format!("{name} at {p}"), &bytes.graph, &bytes.weights, &limits).is_some()
        };
        assert!(valid(first), "{name} at {first}");
        let (mut good, mut bad) = (first, last + 1);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if valid(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        println!("{name}: valid up to {good}");
    }
}
