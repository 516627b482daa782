//! Prices.

use std::collections::BTreeMap;

use aiinference_engine::graph::{Array, Op, Rescale, Scanned, Trees, Window};
use aiinference_engine::{format, Limits};

use crate::common::LIMITS;
use crate::{both, graph, input, spec};

/// The table of `gas.md` has the constants of `gas.rs`, and no others.
#[test]
fn prices_are_those_of_the_table() {
    let source = include_str!("../../src/gas.rs");
    let constant = |line: &'static str| {
        let (name, value) = line.strip_prefix("pub const ")?.split_once(": u64 = ")?;
        let number = |digits: &str| digits.replace('_', "").parse::<u128>().expect("a number");
        let value = match value.trim_end_matches(';').split_once(" << ") {
            Some((number_of, shift)) => number(number_of) << number(shift),
            None => number(value.trim_end_matches(';')),
        };
        Some((name, value))
    };
    let constants: BTreeMap<&str, u128> = source.lines().filter_map(constant).collect();
    assert!(constants.len() > 50);
    assert_eq!(&constants, spec::gas_table());
}

/// What no cache holds has prices of its own, as have weights that go past every panel again and large forests.
#[test]
fn large_operands_cost_the_same_by_both() {
    let image = || input(&[1, 2, 2048, 1024], -9, 9);
    // 16 bits: as large as is near; 32 bits: far.
    let far = |nodes: &dyn Fn() -> Vec<Op>| {
        let of = |high| graph(vec![input(&[1, 2, 2048, 1024], -9, high), input(&[3], 0, 1)], nodes());
        [of(9), of(1 << 20)]
    };
    let rescale = |shift| Rescale {
        multipliers: vec![1],
        shifts: vec![shift],
        low: -9,
        high: 9,
    };
    let window = |strides| Window {
        kernel: [2, 3],
        strides,
        dilations: [1, 2],
        pads: [1, 0, 0, 0],
    };
    let pool = |strides| Op::MaxPool2d {
        x: 0,
        window: window(strides),
    };
    let conv = |weights, channels, strides| Op::Conv2d {
        x: 0,
        weights,
        channels,
        bias: vec![],
        window: window(strides),
        groups: 1,
        rescale: rescale(9),
    };
    let slice = |axis, step| Op::Slice {
        x: 0,
        axis,
        start: 0,
        step,
        length: 2,
    };
    let scan = |axis, count| Op::Scan {
        count,
        states: vec![],
        scanned: vec![Scanned {
            x: 0,
            axis,
            reverse: false,
        }],
        captured: vec![],
        body: vec![Op::ReduceMax { x: 0, axis: 0 }],
        collected: vec![1],
    };
    let forest = |nodes: i32| Op::TreeEnsemble {
        x: 0,
        trees: Trees {
            roots: vec![0],
            features: vec![0; nodes as usize],
            thresholds: vec![0; nodes as usize],
            left: (0..nodes)
                .map(|i| if i + 1 < nodes { i + 1 } else { -1 - nodes })
                .collect(),
            right: (0..nodes).map(|i| -1 - i).collect(),
            leaf_starts: vec![0; nodes as usize + 2],
            targets: vec![],
            weights: vec![],
            base: vec![7],
        },
        rescale: rescale(0),
    };
    let mut models = vec![
        graph(vec![image()], vec![conv(Array::I8(vec![1; 12]), 1, [2, 1])]),
        graph(
            vec![input(&[1, 600, 9, 9], -9, 9)],
            vec![conv(Array::I8(vec![1; 3600 * 80]), 80, [1, 1])],
        ),
        graph(
            vec![input(&[1, 600, 9, 9], -9, 9)],
            vec![conv(Array::I16(vec![1; 3600 * 64]), 64, [1, 1])],
        ),
        graph(vec![input(&[3, 2], -9, 9)], vec![forest(26_000)]),
        graph(vec![input(&[3, 2], -9, 9)], vec![forest(27_000)]),
        graph(vec![input(&[3, 2], -9, 9)], vec![forest(500_000)]),
    ];
    let cases: [&dyn Fn() -> Vec<Op>; 13] = [
        &|| vec![conv(Array::I8(vec![1; 12]), 1, [2, 2])],
        &|| vec![conv(Array::I16(vec![1; 24]), 2, [2, 1])],
        &|| vec![conv(Array::I16(vec![1; 16 * 12]), 16, [800, 500])],
        &|| vec![pool([1, 2])],
        &|| {
            vec![Op::Transpose {
                x: 0,
                axes: vec![0, 3, 1, 2],
            }]
        },
        &|| {
            vec![Op::Transpose {
                x: 0,
                axes: vec![1, 0, 2, 3],
            }]
        },
        &|| vec![slice(3, 2)],
        &|| vec![slice(2, 5)],
        &|| {
            vec![Op::Gather {
                x: 0,
                indices: 1,
                axis: 1,
            }]
        },
        &|| {
            vec![Op::Gather {
                x: 0,
                indices: 1,
                axis: 3,
            }]
        },
        &|| vec![scan(3, 1024)],
        &|| vec![scan(1, 2)],
        &|| {
            let first = Op::Slice {
                x: 0,
                axis: 1,
                start: 0,
                step: 1,
                length: 1,
            };
            let indices = Op::Clamp { x: 2, low: 0, high: 5 };
            vec![first, indices, Op::GatherElements { x: 2, indices: 3 }]
        },
    ];
    models.extend(cases.into_iter().flat_map(far));
    // A matrix of b that is far: 4.2 million elements of 16 bits are not, so it is given twice and joined.
    let joined = Op::Concat {
        xs: vec![0, 0],
        axis: 1,
    };
    let product = Op::BatchMatMul {
        a: 1,
        b: 2,
        transposed: true,
        multiplier: 1,
        shift: 9,
        low: -9,
        high: 9,
    };
    models.push(graph(vec![image(), input(&[3, 1024], -9, 9)], vec![joined, product]));
    let limits = Limits {
        max_elements: 1 << 24,
        max_peak_bytes: 1 << 30,
        ..LIMITS
    };
    for (i, model) in models.iter().enumerate() {
        let bytes = format::encode(model);
        assert!(
            both(&format!("large model {i}"), &bytes.graph, &bytes.weights, &limits).is_some(),
            "large model {i}"
        );
    }
}

/// Lines that few axes turn, windows of whole rows, and elements a few apart.
#[test]
fn what_is_read_in_order_costs_the_same_by_both() {
    let transpose = |shape: [u32; 4], axes: [u32; 4]| {
        let op = Op::Transpose {
            x: 0,
            axes: axes.to_vec(),
        };
        (shape, op)
    };
    let pool = |shape: [u32; 4], kernel, pads| {
        let window = Window {
            kernel,
            strides: [1, 2],
            dilations: [1, 1],
            pads,
        };
        (shape, Op::MaxPool2d { x: 0, window })
    };
    let slice = |step| {
        let (x, axis, start, length) = (0, 3, 0, 2);
        let op = Op::Slice {
            x,
            axis,
            start,
            step,
            length,
        };
        ([1, 2, 3, 20], op)
    };
    let cases = [
        transpose([3, 2, 5, 7], [0, 2, 3, 1]),
        transpose([3, 2, 5, 3], [0, 2, 3, 1]),
        transpose([3, 4, 5, 7], [0, 2, 3, 1]),
        transpose([2, 3, 4, 9], [2, 0, 3, 1]),
        transpose([2, 3, 4, 9], [3, 0, 2, 1]),
        transpose([4, 9, 1, 3], [0, 3, 2, 1]),
        transpose([1, 20, 1, 9], [0, 3, 2, 1]),
        transpose([1, 20, 3, 3], [0, 2, 1, 3]),
        transpose([1, 20, 3, 3], [3, 0, 2, 1]),
        pool([2, 3, 9, 3], [2, 3], [0; 4]),
        pool([2, 3, 9, 3], [2, 3], [1, 0, 0, 0]),
        pool([2, 3, 9, 3], [1, 2], [0; 4]),
        pool([2, 3, 9, 30], [3, 3], [0, 1, 0, 1]),
        slice(8),
        slice(9),
    ];
    for (i, (shape, op)) in cases.into_iter().enumerate() {
        for high in [9, 1 << 20] {
            let bytes = format::encode(&graph(vec![input(&shape, -9, high)], vec![op.clone()]));
            let took = both(&format!("case {i}"), &bytes.graph, &bytes.weights, &LIMITS);
            assert!(took.is_some(), "case {i}");
        }
    }
}
