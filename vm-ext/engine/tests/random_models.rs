//! Random valid models: every kernel set gives what the formulas say, ranges hold, bytes are canonical.

mod common;

use aiinference_engine::graph::{Array, Graph, Input, Op, Output, Rescale, Window};
use aiinference_engine::infer::{infer, Storage, Sums};
use aiinference_engine::{format, Kernels, Program, Workspace};
use common::{oracle, random, LIMITS};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Which operations a seed range reaches, so that the property below is not vacuous.
#[test]
fn random_models_reach_every_operation() {
    let mut seen = BTreeMap::new();
    let mut widths = BTreeMap::new();
    let mut scans = BTreeMap::new();
    for seed in 0..2000 {
        let (graph, _) = random::model(seed);
        let inferred = infer(&graph, &LIMITS).expect("a valid model");
        for (op, sums) in graph.nodes.iter().zip(inferred.sums) {
            *seen.entry(op.name()).or_insert(0) += 1;
            if let Op::Scan { states, body, .. } = op {
                *scans.entry((states.len(), body.len().min(2))).or_insert(0) += 1;
            }
            if let Op::MatMul { x, .. } | Op::Conv2d { x, .. } | Op::BatchMatMul { a: x, .. } = op {
                let width = match sums {
                    Sums::I32 => "32 bits",
                    Sums::Blocks(_) => "blocks",
                    Sums::I64 => "64 bits",
                };
                let storage = inferred.values[*x as usize].storage();
                *widths.entry((op.name(), width, storage == Storage::I16)).or_insert(0) += 1;
            }
        }
    }
    for op in ["MatMul", "Conv2d", "BatchMatMul"] {
        for (width, narrow) in [
            ("32 bits", true),
            ("blocks", true),
            ("64 bits", true),
            ("64 bits", false),
        ] {
            let found = widths.get(&(op, width, narrow)).copied().unwrap_or(0);
            // Only pairs of -32768 need 64 bits where operands are narrow; and BatchMatMul takes no others.
            let rare = (op, narrow, width) == ("Conv2d", true, "64 bits") || (op, narrow) == ("BatchMatMul", false);
            assert!(found >= 5 || rare, "{op} in {width}: {widths:?}");
        }
    }
    // States none to two, bodies of no node, of one and of more.
    assert_eq!(scans.len(), 9, "{scans:?}");
    assert!(scans.values().all(|count| *count >= 5), "{scans:?}");
    assert_eq!(seen.len(), Op::NAMES.len(), "{seen:?}");
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
}

/// Sums of 8-bit weights that are moved to 64 bits on the way, at any width of activations, beside those that are not.
#[test]
fn long_sums_of_narrow_weights_are_exact() {
    let draw = &mut random::Draw::new(1);
    for (range, k, bias) in [
        ((-32768, 32767), 700, 0),
        ((-32768, 32767), 1031, 1i64 << 40),
        ((-128, 127), 1031, 1 << 33),
        ((0, 255), 515, 1 << 33),
        ((-128, 127), 515, 7),
        ((0, 255), 1031, 7),
    ] {
        let mut list = |count: usize| draw.list(count, |d| d.extreme(-128, 127) as i8);
        let port = |name: &str, shape: &[u32]| Input {
            name: name.into(),
            shape: shape.to_vec(),
            fraction_bits: 0,
            low: range.0,
            high: range.1,
            saturate: false,
        };
        let rescale = Rescale {
            multipliers: vec![3],
            shifts: vec![9],
            low: i32::MIN,
            high: i32::MAX,
        };
        let mut graph = Graph::new();
        graph.input(port("rows", &[50, k]));
        graph.input(port("image", &[1, k, 2, 19]));
        let product = graph.push(Op::MatMul {
            x: 0,
            weights: Array::I8(list(35 * k as usize)),
            bias: vec![bias; 35],
            rescale: rescale.clone(),
        });
        let conv = graph.push(Op::Conv2d {
            x: 1,
            weights: Array::I8(list(5 * k as usize)),
            channels: 5,
            bias: vec![bias; 5],
            window: Window {
                kernel: [1, 1],
                strides: [1, 1],
                dilations: [1, 1],
                pads: [0; 4],
            },
            groups: 1,
            rescale,
        });
        for value in [product, conv] {
            graph.outputs.push(Output {
                name: format!("y{value}"),
                value,
                fraction_bits: 0,
                labels: vec![],
            });
        }
        let inputs: Vec<Vec<i32>> = graph
            .inputs
            .iter()
            .map(|port| {
                let count = port.shape.iter().product::<u32>() as usize;
                draw.list(count, |d| d.extreme(range.0, range.1))
            })
            .collect();
        let program = Program::new(graph.clone(), &LIMITS).expect("a valid model");
        let expected = oracle::values(&graph, &inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            let results = program.run(&views, &kernels).expect("valid inputs");
            for (got, want) in results.iter().zip(&expected[2..]) {
                let got: Vec<i128> = got.iter().map(|x| i128::from(*x)).collect();
                assert!(got == want.data, "{kernels:?} {range:?} {k}");
            }
        }
    }
}

/// Rows, matrices and axes longer than what is handled at a time, which random models seldom have.
#[test]
fn operations_on_long_rows_are_exact() {
    let draw = &mut random::Draw::new(2);
    for (low, high) in [(-4000, 4000), (-32767, 32767), (-32768, 32767)] {
        let mut graph = Graph::new();
        for (i, shape) in [vec![2, 53, 70], vec![70, 37], vec![2, 21, 70], vec![2, 3, 601]]
            .into_iter()
            .enumerate()
        {
            graph.input(Input {
                name: format!("x{i}"),
                shape,
                fraction_bits: 0,
                low,
                high,
                saturate: false,
            });
        }
        let (all, none) = ((i32::MIN, i32::MAX), Vec::new());
        let product = |b, transposed| Op::BatchMatMul {
            a: 0,
            b,
            transposed,
            multiplier: 3,
            shift: 9,
            low: all.0,
            high: all.1,
        };
        let norm = |center, bias: Vec<i64>, multipliers: Vec<i32>| Op::LayerNorm {
            x: 3,
            epsilon: 12_345,
            center,
            bias,
            rescale: Rescale {
                shifts: vec![9; multipliers.len()],
                multipliers,
                low: all.0,
                high: all.1,
            },
        };
        let sum = |axis| Op::ReduceSum {
            x: 3,
            axis,
            multiplier: -7,
            shift: 3,
            low: all.0,
            high: all.1,
        };
        let biases = |d: &mut random::Draw, most: i64| d.list(601, |d| d.int(-most, most));
        let ops = [
            product(1, false),
            product(2, true),
            norm(true, none.clone(), vec![5]),
            norm(false, vec![-77], vec![5]),
            norm(true, biases(draw, 1 << 20), draw.list(601, |d| d.int(-999, 999) as i32)),
            norm(true, biases(draw, 1 << 40), vec![-3]),
            sum(0),
            sum(1),
            sum(2),
            Op::ReduceMax { x: 3, axis: 1 },
            Op::TopK { x: 3, k: 1 },
            Op::TopK { x: 3, k: 300 },
            Op::TopK { x: 3, k: 601 },
        ];
        let values = ops.map(|op| graph.push(op));
        for value in values {
            graph.outputs.push(Output {
                name: format!("y{value}"),
                value,
                fraction_bits: 0,
                labels: vec![],
            });
        }
        let inputs = random::inputs(&graph, draw);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let expected = oracle::values(&graph, &inputs);
        let program = Program::new(graph, &LIMITS).expect("a valid model");
        for kernels in Kernels::available() {
            let results = program.run(&views, &kernels).expect("valid inputs");
            for (result, value) in results.iter().zip(values) {
                let result: Vec<i128> = result.iter().map(|x| i128::from(*x)).collect();
                assert!(
                    result == expected[value as usize].data,
                    "value {value} with {kernels:?}"
                );
            }
        }
    }
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kernel_set_computes_the_formulas_within_the_inferred_ranges(seed: u64) {
        let (graph, inputs) = random::model(seed);
        let program = Program::new(graph.clone(), &LIMITS).expect("a valid model");
        let expected = oracle::values(&graph, &inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            let mut traced = Vec::new();
            let result = program.run_traced(&views, &kernels, &mut |_, v| traced.push(v.to_vec())).expect("valid inputs");
            for (node, (got, want)) in traced.iter().zip(&expected[inputs.len()..]).enumerate() {
                let info = &program.nodes()[node];
                let got: Vec<i128> = got.iter().map(|x| i128::from(*x)).collect();
                prop_assert_eq!(&got, &want.data, "node {} {} {:?}", node, info.op, kernels);
                let (low, high) = (i128::from(info.value.low), i128::from(info.value.high));
                prop_assert!(got.iter().all(|x| *x >= low && *x <= high), "node {} {} range", node, info.op);
                let shape: Vec<usize> = info.value.shape.iter().map(|e| *e as usize).collect();
                prop_assert_eq!(shape, want.shape.clone());
            }
            for (output, got) in graph.outputs.iter().zip(&result) {
                let want = &expected[output.value as usize].data;
                prop_assert_eq!(&got.iter().map(|x| i128::from(*x)).collect::<Vec<_>>(), want);
            }
            // What other runs and models leave in a workspace does not matter.
            let again = WORKSPACE.with_borrow_mut(|workspace| {
                let results = program.run_in(workspace, &views, &kernels).expect("valid inputs");
                results.iter().map(<[i32]>::to_vec).collect::<Vec<_>>()
            });
            prop_assert_eq!(again, result);
        }
    }

    #[test]
    fn bytes_are_canonical(seed: u64) {
        let (graph, _) = random::model(seed);
        let file = format::encode(&graph);
        let read = format::decode(&file.graph, &file.weights, &LIMITS).expect("what encode wrote");
        prop_assert_eq!(&read, &graph);
        prop_assert_eq!(format::encode(&read), file);
    }
}
