//! What is exported computes the engine's integers. No ezkl here: the file is computed by integers from its bytes.

mod common;

use aiinference_convert::proto::ModelProto;
use aiinference_engine::{
    graph::{Graph, Op, Output, Rescale, Window},
    Kernels, Program,
};
use aiinference_runtime::engine_limits;
use aiinference_zk::{interpret, lower, onnx, samples, CircuitFolder, Exact, Hidden, NotProvable, Step};
use common::{
    convolutional, credit, digits_sized, input, output, pixels, rows, shift, smallest, two_documents, wasm, Numbers,
};
use proptest::prelude::*;
use prost::Message;

fn exact(graph: &Graph) -> Exact {
    lower(graph, &engine_limits(), Hidden::Nothing).unwrap()
}

/// Runs the engine and the exported file on so many inputs.
fn same_on(graph: &Graph, runs: usize) {
    let program = Program::new(graph.clone(), &engine_limits()).unwrap();
    let onnx = onnx::encode(&exact(graph));
    for inputs in samples(program.inputs(), runs) {
        let slices: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let engine = program.run(&slices, &Kernels::auto()).unwrap();
        let engine: Vec<Vec<i128>> = engine
            .iter()
            .map(|y| y.iter().map(|v| i128::from(*v)).collect())
            .collect();
        assert_eq!(interpret(&onnx, &slices).unwrap(), engine, "{inputs:?}");
    }
}

#[test]
fn the_credit_model_is_exported_to_the_last_bit() {
    same_on(&credit().graph, 1500);
}

#[test]
fn a_perceptron_for_digits_is_exported_to_the_last_bit() {
    same_on(&digits_sized(), 1500);
}

#[test]
fn a_convolutional_network_is_exported_to_the_last_bit() {
    same_on(&convolutional(), 1500);
}

#[test]
fn rows_pixels_and_single_roundings_are_exported_to_the_last_bit() {
    for graph in [rows(), pixels(), smallest()] {
        same_on(&graph, 500);
    }
}

#[test]
fn the_export_is_the_same_bytes_each_time() {
    for graph in [credit().graph, digits_sized(), convolutional()] {
        let first = onnx::encode(&exact(&graph));
        assert_eq!(first, onnx::encode(&exact(&graph)));
        let stored = wasm(&graph);
        let restated = CircuitFolder::restate(&stored, Hidden::Nothing).unwrap();
        assert_eq!(first, onnx::encode(&restated), "from the stored module");
    }
}

#[test]
fn the_certificate_holds_for_every_value_of_every_run() {
    for graph in [credit().graph, digits_sized(), convolutional()] {
        let mut exact = exact(&graph);
        let bound = 1u128 << (exact.base_bits * exact.legs);
        assert!(exact.magnitude() < bound);
        assert!(
            exact.magnitude() >= bound >> exact.base_bits,
            "no more digits than needed"
        );
        let program = Program::new(graph, &engine_limits()).unwrap();
        // Every value becomes an output.
        exact.outputs = (0..exact.values.len()).map(|v| (String::new(), v)).collect();
        let onnx = onnx::encode(&exact);
        for inputs in samples(program.inputs(), 200) {
            let slices: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
            for (value, found) in exact.values.iter().zip(interpret(&onnx, &slices).unwrap()) {
                for v in found {
                    assert!(
                        value.low <= v && v <= value.high,
                        "{v} in {}..={}",
                        value.low,
                        value.high
                    );
                }
            }
        }
    }
}

#[test]
fn no_stored_number_takes_more_than_a_float_holds() {
    for graph in [credit().graph, digits_sized(), convolutional()] {
        for step in exact(&graph).steps {
            let stored = match step {
                Step::MatMul { weights, .. } | Step::Conv { weights, .. } => weights,
                Step::AddConstant { constant, .. } | Step::MulConstant { constant, .. } => constant,
                Step::Below { bound, .. } => vec![bound],
                _ => vec![],
            };
            for v in stored {
                assert_eq!(v as f32 as i128, v);
            }
        }
    }
}

#[test]
fn a_clamp_that_cannot_bind_costs_nothing() {
    let relus = |high: i32| {
        let mut graph = Graph::new();
        let x = graph.input(input(&[4], -100, 100));
        let y = graph.push(Op::Clamp { x, low: 0, high });
        graph.outputs.push(output(y));
        let exact = exact(&graph);
        exact.steps.iter().filter(|s| matches!(s, Step::Relu { .. })).count()
    };
    assert_eq!(relus(100), 1);
    assert_eq!(relus(99), 2);
}

#[test]
fn what_cannot_be_proven_is_refused_with_its_place() {
    let mut graph = Graph::new();
    let x = graph.input(input(&[1, 4], -100, 100));
    let x = graph.push(Op::Clamp { x, low: 0, high: 50 });
    let y = graph.push(Op::ArgMax { x });
    graph.outputs.push(output(y));
    match lower(&graph, &engine_limits(), Hidden::Nothing).unwrap_err() {
        NotProvable::Node { node, op, .. } => assert_eq!((node, op), (1, "ArgMax")),
        other => panic!("{other}"),
    }
    let mut graph = Graph::new();
    let x = graph.input(input(&[4], 0, (1 << 24) + 1));
    let y = graph.push(Op::Clamp { x, low: 0, high: 50 });
    graph.outputs.push(output(y));
    let error = lower(&graph, &engine_limits(), Hidden::Nothing).unwrap_err();
    assert!(matches!(error, NotProvable::Input { .. }), "{error}");
    // An ONNX reader would fold such a bias into the Conv with 24 bits, and prove another model.
    let mut graph = Graph::new();
    let x = graph.input(input(&[1, 1, 3, 3], -100, 100));
    let y = graph.push(Op::Conv2d {
        x,
        weights: Numbers(1).i8s(18),
        channels: 2,
        bias: vec![0, (1 << 30) + 1],
        window: Window {
            kernel: [3, 3],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0; 4],
        },
        groups: 1,
        rescale: shift(20, -32767, 32767),
    });
    graph.outputs.push(output(y));
    let error = lower(&graph, &engine_limits(), Hidden::Nothing)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("node 0 (Conv2d)") && error.contains("24 bits"),
        "{error}"
    );
}

#[test]
fn hidden_inputs_in_range_give_the_same_bits_whatever_the_salt() {
    for graph in [credit().graph, two_documents(), convolutional()] {
        let hidden = lower(&graph, &engine_limits(), Hidden::Inputs).unwrap();
        let onnx = onnx::encode(&hidden);
        let program = Program::new(graph, &engine_limits()).unwrap();
        for (run, inputs) in samples(program.inputs(), 200).iter().enumerate() {
            let slices: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
            let engine = program.run(&slices, &Kernels::auto()).unwrap();
            let salt = [run as i32 * 1_000_003];
            let row = [&slices.concat()[..], &salt].concat();
            let found = interpret(&onnx, &[&row]).unwrap();
            let engine: Vec<Vec<i128>> = engine
                .iter()
                .map(|y| y.iter().map(|v| i128::from(*v)).collect())
                .collect();
            assert_eq!(found, engine);
        }
    }
}

#[test]
fn a_hidden_input_out_of_range_meets_a_number_without_digits() {
    let graph = two_documents();
    let exact = lower(&graph, &engine_limits(), Hidden::Inputs).unwrap();
    let bound = 1i128 << (exact.base_bits * exact.legs);
    // The check's distance becomes the output.
    let mut file = ModelProto::decode(&onnx::encode(&exact)[..]).unwrap();
    let inner = file.graph.as_mut().unwrap();
    inner.output.truncate(1);
    inner.output[0].name = "distance".into();
    let file = file.encode_to_vec();
    let distance = |row: &[i32]| interpret(&file, &[row]).unwrap()[0][0];
    let honest = [0, 40_000, -3, 7, 99];
    assert_eq!(distance(&honest), 0);
    for (element, value) in [(0, -1), (1, 40_001), (2, -4), (3, 8), (3, i32::MAX), (0, i32::MIN)] {
        let mut row = honest;
        row[element] = value;
        assert!(distance(&row) >= bound, "element {element} = {value}");
    }
    // What one element is too low does not make up for what another one is too high.
    assert!(distance(&[-1, 40_001, -3, 7, 99]) >= 2 * bound);
    // All of this stays far below the order of the field, even from numbers that just have digits.
    assert!(exact.base_bits * exact.legs * 2 + 32 < 250);
}

#[test]
fn what_ezkl_would_not_prove_is_refused_before_it_is_asked() {
    let refused = |graph: &Graph| lower(graph, &engine_limits(), Hidden::Nothing).unwrap_err().to_string();
    let conv = |channels: u32, dilations: [u32; 2]| {
        let mut graph = pixels();
        let Op::Conv2d {
            weights,
            channels: of,
            bias,
            window,
            ..
        } = &mut graph.nodes[0]
        else {
            panic!("it is a Conv")
        };
        (*weights, *of, *bias) = (Numbers(1).i8s(2 * channels as usize), channels, vec![]);
        window.dilations = dilations;
        graph
    };
    assert!(refused(&conv(1, [1, 1])).contains("one output channel"));
    assert!(refused(&conv(2, [2, 1])).contains("dilations"));
    lower(&conv(2, [1, 1]), &engine_limits(), Hidden::Nothing).unwrap();
    let mut doubled = rows();
    doubled.outputs.push(Output {
        name: "z".into(),
        ..output(1)
    });
    assert!(refused(&doubled).contains("another output"));
    let mut passed = rows();
    passed.outputs = vec![output(0)];
    assert!(refused(&passed).contains("an input"));
    // x * 2^30 >> 1, with x up to 2^24.
    let large = |high: i32| {
        let mut graph = Graph::new();
        let x = graph.input(input(&[2], 0, high));
        let y = graph.push(Op::Rescale {
            x,
            axis: 0,
            bias: vec![0],
            rescale: Rescale {
                multipliers: vec![1 << 30],
                shifts: vec![1],
                low: -32767,
                high: 32767,
            },
        });
        graph.outputs.push(output(y));
        graph
    };
    lower(&large((1 << 24) - 1), &engine_limits(), Hidden::Nothing).unwrap();
    assert!(refused(&large(1 << 24)).contains("2^53"));
}

#[test]
fn a_floor_has_two_digits_to_borrow_from() {
    let shifted = lower(&smallest(), &engine_limits(), Hidden::Nothing).unwrap();
    assert!(shifted.legs >= 2);
}

/// A layer of a random model: kind, and what it may use as it likes.
type Layer = (u8, u64, u8, i32, i32);

fn random(layers: &[Layer]) -> Graph {
    let mut graph = Graph::new();
    let mut x = graph.input(input(&[1, 2, 3, 3], -5000, 3000));
    let mut flat = false;
    for &(kind, seed, s, a, b) in layers {
        let mut numbers = Numbers(seed);
        let (low, high) = (a.min(b), a.max(b));
        x = match (kind % 6, flat) {
            (0, false) => graph.push(Op::Conv2d {
                x,
                weights: numbers.i8s(2 * 2 * 9),
                channels: 2,
                bias: numbers.list(2, -3000, 3000),
                window: Window {
                    kernel: [3, 3],
                    strides: [1, 1],
                    dilations: [1, 1],
                    pads: [1; 4],
                },
                groups: 1,
                rescale: Rescale {
                    multipliers: vec![1, 2],
                    shifts: vec![s % 12, s % 7],
                    low,
                    high,
                },
            }),
            (1, false) => {
                flat = true;
                graph.push(Op::Reshape { x, shape: vec![1, 18] })
            }
            (0 | 1, true) => graph.push(Op::MatMul {
                x,
                weights: numbers.i8s(18 * 18),
                bias: numbers.list(18, -1 << 24, 1 << 24),
                rescale: Rescale {
                    multipliers: numbers.list(18, -3000, 3000).iter().map(|m| *m as i32).collect(),
                    shifts: numbers.list(18, 0, 20).iter().map(|s| *s as u8).collect(),
                    low,
                    high,
                },
            }),
            (2, _) => graph.push(Op::Rescale {
                x,
                axis: 1,
                bias: numbers.list(if flat { 18 } else { 2 }, -1 << 30, 1 << 30),
                rescale: Rescale {
                    multipliers: vec![numbers.next(-1000, 1000) as i32],
                    shifts: vec![s % 20],
                    low,
                    high,
                },
            }),
            (3, _) => graph.push(Op::Add {
                a: x,
                b: x,
                multipliers: [numbers.next(-9, 9) as i32, numbers.next(-9, 9) as i32],
                shift: s % 9,
                low,
                high,
            }),
            _ => graph.push(Op::Clamp { x, low, high }),
        };
    }
    graph.outputs.push(output(x));
    graph
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_models_are_exported_to_the_last_bit(
        layers in prop::collection::vec((any::<u8>(), any::<u64>(), any::<u8>(), -30000i32..30000, -30000i32..30000), 1..7)
    ) {
        same_on(&random(&layers), 12);
    }
}
