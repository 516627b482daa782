//! Golden vectors: models as bytes, inputs and the outputs that they must give for ever.
//!
//! The files in `tests/golden/` are written once and never again: a difference is a change of semantics, to be made as a
//! new op-set. `AIINFERENCE_WRITE_GOLDEN=1 cargo test -p aiinference-engine --test golden -- --ignored` adds files for
//! cases that have none, computed by the formulas and by the engine alike, and overwrites nothing.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;

use aiinference_engine::graph::{Array, Graph, Input, Op, Output, Rescale, Scanned, State, Window};
use aiinference_engine::{format, Kernels, Program};
use common::golden::{folder, vectors, Vector};
use common::{oracle, random, self_test, LIMITS};

#[test]
fn golden_vectors_hold_for_every_kernel_set() {
    let vectors = vectors();
    let mut seen = BTreeSet::new();
    for (name, vector) in &vectors {
        let program = Program::load(&vector.graph, &vector.weights, &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
        let views: Vec<&[i32]> = vector.inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            let outputs = program.run(&views, &kernels).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(outputs, vector.outputs, "{name} with {kernels:?}");
        }
        seen.extend(program.nodes().iter().map(|node| node.op));
        let graph = format::decode(&vector.graph, &vector.weights, &LIMITS).expect("it loaded");
        let again = format::encode(&graph);
        assert_eq!(
            (&again.graph, &again.weights),
            (&vector.graph, &vector.weights),
            "{name}: bytes are canonical"
        );
    }
    let all: BTreeSet<&str> = Op::NAMES.iter().copied().collect();
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "operations without a golden vector: {missing:?}");
}

fn port(shape: &[u32], low: i32, high: i32) -> Input {
    Input {
        name: "x".into(),
        shape: shape.to_vec(),
        fraction_bits: 8,
        low,
        high,
        saturate: false,
    }
}

/// A model of several inputs.
fn joined(ports: Vec<Input>, op: Op) -> Graph {
    let mut graph = Graph::new();
    for (i, port) in ports.into_iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            ..port
        });
    }
    let value = graph.push(op);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 8,
        labels: vec![],
    });
    graph
}

/// Cases chosen by hand for operations on computed tensors.
fn chosen_of_computed() -> Vec<(&'static str, Graph, Vec<Vec<i32>>)> {
    let unit = Rescale {
        multipliers: vec![1],
        shifts: vec![0],
        low: i32::MIN,
        high: i32::MAX,
    };
    let norm = |epsilon, center| Op::LayerNorm {
        x: 0,
        epsilon,
        center,
        bias: vec![],
        rescale: unit.clone(),
    };
    let product = |transposed| Op::BatchMatMul {
        a: 0,
        b: 1,
        transposed,
        multiplier: 1,
        shift: 16,
        low: i32::MIN,
        high: i32::MAX,
    };
    let least = vec![-32768; 6];
    vec![
        (
            "div-halves-signs-and-zeros",
            joined(
                vec![port(&[9, 1], i32::MIN, i32::MAX), port(&[9], i32::MIN, i32::MAX)],
                Op::Div {
                    a: 0,
                    b: 1,
                    shift: 1,
                    low: -1_000_000,
                    high: 1_000_000,
                },
            ),
            vec![
                vec![i32::MIN, -7, -3, -1, 0, 1, 3, 5, i32::MAX],
                vec![i32::MIN, -6, -4, -1, 0, 1, 4, 6, i32::MAX],
            ],
        ),
        (
            "sqrt-about-squares-and-halves",
            model(
                port(&[14], i32::MIN, i32::MAX),
                Op::Sqrt {
                    x: 0,
                    shift: 0,
                    low: 0,
                    high: i32::MAX,
                },
            ),
            vec![vec![
                i32::MIN,
                -1,
                0,
                1,
                2,
                3,
                4,
                6,
                7,
                12,
                13,
                2_147_441_940,
                2_147_441_941,
                i32::MAX,
            ]],
        ),
        (
            "sqrt-scaled",
            model(
                port(&[4], 0, i32::MAX),
                Op::Sqrt {
                    x: 0,
                    shift: 31,
                    low: 3,
                    high: 2_000_000_000,
                },
            ),
            vec![vec![0, 1, 2, i32::MAX]],
        ),
        (
            "layer-norm-equal-one-apart-extremes",
            model(port(&[4, 4], -200_000_000, 200_000_000), norm(0, true)),
            vec![vec![
                5,
                5,
                5,
                5,
                7,
                7,
                7,
                8,
                -200_000_000,
                200_000_000,
                200_000_000,
                -200_000_000,
                0,
                1,
                2,
                3,
            ]],
        ),
        (
            "layer-norm-powers-of-four",
            // W is 1, 4, .. for these rows: the inverse is at its largest.
            model(port(&[4, 1], -8, 8), norm(0, false)),
            vec![vec![1, -2, 4, -8]],
        ),
        (
            "layer-norm-epsilon-alone",
            model(port(&[2, 3], -9, 9), norm((1 << 61) + 1, true)),
            vec![vec![-9, 0, 9, 9, 9, 9]],
        ),
        (
            "top-k-ties-and-extremes",
            model(port(&[3, 5], i32::MIN, i32::MAX), Op::TopK { x: 0, k: 4 }),
            vec![vec![
                1,
                2,
                2,
                1,
                2,
                i32::MIN,
                i32::MAX,
                i32::MIN,
                i32::MAX,
                0,
                -1,
                -2,
                -3,
                -4,
                -5,
            ]],
        ),
        (
            "batch-mat-mul-least-by-least",
            joined(
                vec![port(&[2, 3], -32768, 32767), port(&[2, 3], -32768, 32767)],
                product(true),
            ),
            vec![least.clone(), least],
        ),
        (
            "batch-mat-mul-of-batches",
            joined(
                vec![port(&[2, 1, 2, 3], -999, 999), port(&[3, 3, 5], -999, 999)],
                product(false),
            ),
            vec![
                (0..12).map(|i| i * 171 - 999).collect(),
                (0..45).map(|i| 999 - i * 44).collect(),
            ],
        ),
        (
            "select-by-any-but-zero",
            joined(
                vec![port(&[3], -5, 5), port(&[2, 1], 0, 99), port(&[], -7, -7)],
                Op::Select {
                    condition: 0,
                    a: 1,
                    b: 2,
                },
            ),
            vec![vec![-5, 0, 5], vec![3, 99], vec![-7]],
        ),
        (
            "scan-of-states-that-change-places",
            joined(
                vec![port(&[2], -9, 9), port(&[2], -9, 9), port(&[2, 3], -4, 4)],
                Op::Scan {
                    count: 3,
                    states: vec![
                        State {
                            initial: 0,
                            low: -9,
                            high: 9,
                            result: 1,
                            kept: true,
                        },
                        State {
                            initial: 1,
                            low: -9,
                            high: 9,
                            result: 3,
                            kept: true,
                        },
                    ],
                    scanned: vec![Scanned {
                        x: 2,
                        axis: 1,
                        reverse: true,
                    }],
                    captured: vec![],
                    body: vec![Op::Add {
                        a: 0,
                        b: 2,
                        multipliers: [1, -2],
                        shift: 0,
                        low: -9,
                        high: 9,
                    }],
                    collected: vec![0, 3],
                },
            ),
            vec![vec![1, -2], vec![5, 6], vec![1, 2, 3, -4, -3, -2]],
        ),
    ]
}

fn model(x: Input, op: Op) -> Graph {
    let mut graph = Graph::new();
    graph.input(x);
    let value = graph.push(op);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 8,
        labels: vec![],
    });
    graph
}

/// Cases chosen by hand: rounding, ties, extremes.
fn chosen() -> Vec<(&'static str, Graph, Vec<Vec<i32>>)> {
    let halves = Rescale {
        multipliers: vec![1],
        shifts: vec![1],
        low: -3,
        high: 3,
    };
    let all = vec![
        i32::MIN,
        i32::MIN + 1,
        -8,
        -7,
        -6,
        -5,
        -4,
        -3,
        -2,
        -1,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        i32::MAX,
    ];
    let steps: Vec<i32> = (0..=40).map(|i| i * 12_345).collect();
    let corners = vec![-32768, -32767, -128, -127, -1, 0, 1, 63, 64, 127, 128, 32704, 32767];
    let ramp: Vec<i16> = (0..513).map(|i| ((i * i) % 65_521 - 32_760) as i16).collect();
    let window = Window {
        kernel: [3, 2],
        strides: [2, 1],
        dilations: [1, 2],
        pads: [2, 1, 1, 2],
    };
    let extremes = Array::I16(vec![-32768, -32768, 32767, 32767, -32768, 32767]);
    let wide = Rescale {
        multipliers: vec![21_845],
        shifts: vec![32],
        low: -32767,
        high: 32767,
    };
    vec![
        (
            "rescale-halves-round-up",
            model(
                port(&[19], i32::MIN, i32::MAX),
                Op::Rescale {
                    x: 0,
                    axis: 0,
                    bias: vec![],
                    rescale: halves,
                },
            ),
            vec![all.clone()],
        ),
        (
            "add-extremes-saturate",
            model(
                port(&[19], i32::MIN, i32::MAX),
                Op::Add {
                    a: 0,
                    b: 0,
                    multipliers: [3, -1],
                    shift: 2,
                    low: -1_000_000_000,
                    high: 1_000_000_000,
                },
            ),
            vec![all],
        ),
        (
            "softmax-long-tail",
            model(
                port(&[41], 0, 1 << 20),
                Op::Softmax {
                    x: 0,
                    multiplier: 94_548,
                    shift: 10,
                },
            ),
            vec![steps],
        ),
        (
            "softmax-equal-and-alone",
            model(
                port(&[3, 1], -5, 5),
                Op::Softmax {
                    x: 0,
                    multiplier: i32::MAX,
                    shift: 0,
                },
            ),
            vec![vec![-5, 0, 5]],
        ),
        (
            "table-corners",
            model(port(&[13], -32768, 32767), Op::Table { x: 0, table: ramp }),
            vec![corners],
        ),
        (
            "max-pool-padded-dilated",
            model(
                port(&[1, 1, 4, 5], -100, -1),
                Op::MaxPool2d {
                    x: 0,
                    window: window.clone(),
                },
            ),
            vec![(-100..-80).collect()],
        ),
        (
            "avg-pool-counting-padding",
            model(
                port(&[1, 1, 4, 5], -100, 100),
                Op::AvgPool2d {
                    x: 0,
                    window,
                    count_padding: true,
                },
            ),
            vec![(-10..10).map(|i| i * 7).collect()],
        ),
        (
            "mat-mul-pairs-of-the-least-weight",
            model(
                port(&[4, 2], -32768, 32767),
                Op::MatMul {
                    x: 0,
                    weights: extremes,
                    bias: vec![1, -1, 0],
                    rescale: wide,
                },
            ),
            vec![vec![-32768, -32768, 32767, 32767, -32768, 32767, 0, 1]],
        ),
        (
            "arg-max-first-of-equals",
            model(port(&[3, 4], -9, 9), Op::ArgMax { x: 0 }),
            vec![vec![1, 9, 9, 0, -9, -9, -9, -9, 0, 1, 2, 3]],
        ),
    ]
}

/// Windows whose strides and dilations lead beyond the image, further than 32-bit machines can count in elements.
fn chosen_of_windows() -> Vec<(&'static str, Graph, Vec<Vec<i32>>)> {
    const FAR: u32 = 1 << 31;
    let window = |kernel, strides, dilations| Window {
        kernel,
        strides,
        dilations,
        pads: [0; 4],
    };
    let conv = |channels, window, weights: Vec<i16>| Op::Conv2d {
        x: 0,
        weights: Array::I16(weights),
        channels,
        bias: vec![],
        window,
        groups: 1,
        rescale: Rescale {
            multipliers: vec![1],
            shifts: vec![0],
            low: -30_000,
            high: 30_000,
        },
    };
    let x = || port(&[1, 1, 1, 8], -100, 100);
    let values: Vec<i32> = (-40..40).step_by(10).collect();
    vec![
        (
            "conv-direct-far-stride",
            model(x(), conv(1, window([1, 3], [FAR, 1], [1, 1]), vec![2, -3, 5])),
            vec![values.clone()],
        ),
        (
            "conv-of-few-pixels-far-dilation",
            model(x(), conv(16, window([1, 2], [1, 1], [FAR, 1]), (-16..16).collect())),
            vec![values.clone()],
        ),
        (
            "max-pool-far-dilation",
            model(
                x(),
                Op::MaxPool2d {
                    x: 0,
                    window: window([1, 2], [1, 1], [FAR, 1]),
                },
            ),
            vec![values],
        ),
    ]
}

/// Small random models, some for every operation.
fn drawn() -> Vec<(String, Graph, Vec<Vec<i32>>)> {
    let mut taken: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut all = Vec::new();
    for seed in 0..100_000 {
        let (graph, inputs) = random::model(seed);
        let bytes = format::encode(&graph);
        let small = bytes.weights.len() < 3000 && inputs.iter().map(Vec::len).sum::<usize>() < 300;
        let wanted = graph
            .nodes
            .iter()
            .map(Op::name)
            .find(|op| taken.get(op).copied().unwrap_or(0) < 3);
        let values = oracle::values(&graph, &inputs);
        // A constant output shows little.
        let telling = graph.outputs.iter().all(|o| {
            let data = &values[o.value as usize].data;
            data.len() < 600 && data.windows(2).any(|pair| pair[0] != pair[1])
        });
        if let Some(op) = wanted.filter(|_| small && telling) {
            *taken.entry(op).or_insert(0) += 1;
            all.push((format!("random-{}-{}", op.to_lowercase(), taken[op]), graph, inputs));
        }
        if taken.len() == Op::NAMES.len() && taken.values().all(|count| *count == 3) {
            break;
        }
    }
    all
}

#[test]
#[ignore = "writes files"]
fn write_new_golden_vectors() {
    let asked = std::env::var_os("AIINFERENCE_WRITE_GOLDEN").is_some();
    assert!(
        asked,
        "set AIINFERENCE_WRITE_GOLDEN=1 to write golden vectors that do not exist yet"
    );
    let chosen = chosen()
        .into_iter()
        .chain(chosen_of_computed())
        .chain(chosen_of_windows())
        .map(|(name, graph, inputs)| (name.to_string(), graph, inputs));
    for (name, graph, inputs) in chosen.chain(drawn()).chain(self_test::cases()) {
        let program = Program::new(graph.clone(), &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let outputs = program
            .run(&views, &Kernels::scalar())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let values = oracle::values(&graph, &inputs);
        for (output, got) in graph.outputs.iter().zip(&outputs) {
            let got: Vec<i128> = got.iter().map(|x| i128::from(*x)).collect();
            assert_eq!(
                got, values[output.value as usize].data,
                "{name}: engine and formulas differ"
            );
        }
        let bytes = format::encode(&graph);
        let vector = Vector {
            graph: bytes.graph,
            weights: bytes.weights,
            inputs,
            outputs,
        };
        let path = folder().join(format!("{name}.txt"));
        match fs::File::create_new(&path) {
            Ok(mut file) => file.write_all(vector.write().as_bytes()).expect("a writable file"),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => println!("kept {name}"),
            Err(e) => panic!("{}: {e}", path.display()),
        }
    }
}
