//! Models made to hurt: cut, flipped, enormous, cyclic. Typed errors, no panics, no memory beyond the limits.

mod common;

use aiinference_engine::error::{FormatProblem, NodeProblem, ShapeProblem, TreeProblem, WeightsProblem};
use aiinference_engine::graph::{Array, Graph, HeaderEntry, Input, Op, Output, Rescale, Trees, Window, OP_SET};
use aiinference_engine::{format, Kernels, Limits, LoadError, Program, RunError, Workspace};
use common::memory::{calls, measure, Counting};
use common::{random, LIMITS};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the engine keeps beside tensors: a few words per value, and little else.
fn overhead(program: &Program) -> usize {
    4096 + 64 * (program.inputs().len() + program.nodes().len())
}

/// More than any load below may hold: room for the sections some times over.
fn load_bound(graph: &[u8], weights: &[u8]) -> usize {
    (1 << 16) + 400 * graph.len() + 8 * weights.len()
}

fn input(shape: &[u32], low: i32, high: i32) -> Input {
    Input {
        name: "x".into(),
        shape: shape.to_vec(),
        fraction_bits: 0,
        low,
        high,
        saturate: false,
    }
}

fn output(value: u32) -> Output {
    Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    }
}

fn graph(x: Input, ops: Vec<Op>) -> Graph {
    let mut graph = Graph::new();
    graph.input(x);
    graph.nodes = ops;
    graph.outputs.push(output(graph.nodes.len() as u32));
    graph
}

fn unit() -> Rescale {
    Rescale {
        multipliers: vec![1],
        shifts: vec![0],
        low: -100,
        high: 100,
    }
}

fn pool(kernel: u32, pads: u32, dilation: u32) -> Window {
    Window {
        kernel: [kernel; 2],
        strides: [1; 2],
        dilations: [dilation; 2],
        pads: [pads; 4],
    }
}

/// Loads bytes whatever they are; runs what loads, within the memory that it declares.
fn digest(graph: &[u8], weights: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let (loaded, peak, _) = measure(|| Program::load(graph, weights, limits));
    assert!(
        peak <= load_bound(graph, weights),
        "loading {} + {} bytes held {peak}",
        graph.len(),
        weights.len()
    );
    let program = loaded?;
    if program.run_gas() > 1_000_000_000 {
        return Ok(());
    }
    let inputs: Vec<Vec<i32>> = program
        .inputs()
        .iter()
        .map(|port| vec![port.low; port.shape.iter().product::<u32>() as usize])
        .collect();
    let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let (result, peak, _) = measure(|| program.run(&views, &Kernels::auto()));
    let result = result.expect("inputs within their ranges");
    assert!(peak as u64 <= program.peak_bytes() + overhead(&program) as u64);
    for (output, values) in program.outputs().iter().zip(result) {
        assert!(values.iter().all(|v| (output.low..=output.high).contains(v)));
    }
    Ok(())
}

/// A model with an array of every kind.
fn sample() -> Graph {
    let (mut graph, _) = random::model(3);
    for seed in 0.. {
        let (candidate, _) = random::model(seed);
        let has = |f: fn(&Op) -> bool| candidate.nodes.iter().any(f);
        if has(|o| matches!(o, Op::TreeEnsemble { .. }))
            && has(|o| matches!(o, Op::MatMul { bias, .. } if !bias.is_empty()))
            && has(|o| matches!(o, Op::Concat { .. }))
        {
            graph = candidate;
            break;
        }
    }
    graph.outputs[0].labels = vec![];
    graph
}

#[test]
fn every_truncation_is_refused() {
    let file = format::encode(&sample());
    digest(&file.graph, &file.weights, &LIMITS).expect("the whole");
    for cut in 0..file.graph.len() {
        assert!(
            digest(&file.graph[..cut], &file.weights, &LIMITS).is_err(),
            "graph cut at {cut}"
        );
    }
    for cut in 0..file.weights.len() {
        assert!(
            digest(&file.graph, &file.weights[..cut], &LIMITS).is_err(),
            "weights cut at {cut}"
        );
    }
    let longer = [file.graph.as_slice(), &[0]].concat();
    let error = Program::load(&longer, &file.weights, &LIMITS).unwrap_err();
    assert!(matches!(
        error,
        LoadError::Format {
            problem: FormatProblem::Trailing,
            ..
        }
    ));
    let longer = [file.weights.as_slice(), &[0]].concat();
    let error = Program::load(&file.graph, &longer, &LIMITS).unwrap_err();
    assert!(matches!(
        error,
        LoadError::Weights {
            problem: WeightsProblem::Trailing,
            ..
        }
    ));
}

#[test]
fn every_flipped_bit_is_refused_or_gives_another_sound_model() {
    for seed in 0..40 {
        let file = format::encode(&random::model(seed).0);
        for bit in 0..8 * file.graph.len() {
            let mut bytes = file.graph.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if digest(&bytes, &file.weights, &LIMITS).is_ok() {
                let read = format::decode(&bytes, &file.weights, &LIMITS).expect("it loads");
                assert_eq!(format::encode(&read).graph, bytes, "two encodings of one graph");
            }
        }
        for bit in 0..8 * file.weights.len().min(512) {
            let mut bytes = file.weights.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = digest(&file.graph, &bytes, &LIMITS);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_after_a_sound_start_never_panic(seed: u64, cut in 0usize..200, tail: Vec<u8>, weights: Vec<u8>) {
        let mut bytes = format::encode(&random::model(seed % 64).0).graph;
        bytes.truncate(cut);
        bytes.extend(tail);
        let _ = digest(&bytes, &weights, &LIMITS);
    }

    #[test]
    fn runs_stay_within_the_declared_memory(seed: u64) {
        let (graph, inputs) = random::model(seed);
        let (program, _, kept) = measure(|| Program::new(graph.clone(), &LIMITS).expect("a valid model"));
        drop(graph);
        prop_assert!(kept as u64 <= program.resident_bytes() * 5 / 4 + 4096, "{kept} > {}", program.resident_bytes());
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            let (result, peak, _) = measure(|| program.run(&views, &kernels));
            prop_assert!(result.is_ok());
            let allowed = program.peak_bytes() as usize + overhead(&program);
            prop_assert!(peak <= allowed, "{peak} > {allowed}");
            let mut workspace = Workspace::new();
            let (ran, peak, kept) = measure(|| program.run_in(&mut workspace, &views, &kernels).is_ok());
            // Held in words of 64 bits.
            let words = program.peak_bytes().next_multiple_of(8);
            prop_assert!(ran && peak == kept && kept as u64 == words, "{kept} != {words}");
            let (ran, calls) = calls(|| program.run_in(&mut workspace, &views, &kernels).is_ok());
            prop_assert!(ran && calls == 0, "a second run asked for memory {calls} times");
        }
    }
}

/// Lists of one entry a column are laid out anew: no more is kept than is told.
#[test]
fn a_loaded_model_of_many_columns_holds_what_it_says() {
    for columns in [2261, 4097] {
        let rescale = Rescale {
            multipliers: vec![3; columns as usize],
            shifts: vec![1; columns as usize],
            low: -100,
            high: 100,
        };
        let norm = Op::LayerNorm {
            x: 0,
            epsilon: 1,
            center: true,
            bias: vec![],
            rescale,
        };
        let graph = graph(input(&[1, columns], 0, 255), vec![norm]);
        let (program, _, kept) = measure(|| Program::new(graph, &LIMITS).expect("a valid model"));
        let told = program.resident_bytes() as usize;
        assert!(kept <= told + told / 8 + 4096, "{kept} > {told}");
    }
}

/// Small graphs that would expand to gigabytes.
#[test]
fn expanding_graphs_are_refused_before_memory_is_taken() {
    let x = || input(&[1, 1, 1, 1], 0, 1);
    let up = |x| Op::Upsample2d {
        x,
        factors: [1 << 15, 1 << 15],
    };
    let bomb = graph(x(), vec![up(0)]);
    let wide = Op::Add {
        a: 1,
        b: 2,
        multipliers: [1, 1],
        shift: 0,
        low: 0,
        high: 1,
    };
    let column = Op::Constant {
        shape: vec![2000, 1],
        data: Array::I8(vec![0; 2000]),
    };
    let row = Op::Constant {
        shape: vec![1, 2000],
        data: Array::I8(vec![0; 2000]),
    };
    let mut outer = graph(x(), vec![column, row, wide]);
    outer.nodes.push(Op::Mul {
        a: 3,
        b: 4,
        multiplier: 1,
        shift: 0,
        low: 0,
        high: 1,
    });
    outer.nodes.insert(
        3,
        Op::Reshape {
            x: 3,
            shape: vec![2000, 2000, 1],
        },
    );
    outer.nodes[4] = Op::Mul {
        a: 3,
        b: 4,
        multiplier: 1,
        shift: 0,
        low: 0,
        high: 1,
    };
    outer.outputs[0].value = 5;
    let padded = graph(
        x(),
        vec![Op::Conv2d {
            x: 0,
            weights: Array::I8(vec![1; 2]),
            channels: 1,
            bias: vec![],
            window: Window {
                kernel: [1, 2],
                strides: [1; 2],
                dilations: [1, 1 << 31],
                pads: [0, 1 << 31, 0, 1 << 31],
            },
            groups: 1,
            rescale: unit(),
        }],
    );
    let spread = graph(
        x(),
        vec![Op::Broadcast {
            x: 0,
            shape: vec![1, 1, 1 << 15, 1 << 15],
        }],
    );
    let margins = graph(
        x(),
        vec![Op::Pad {
            x: 0,
            before: vec![0, 0, 1 << 20, 1 << 20],
            after: vec![0; 4],
            value: 0,
        }],
    );
    let products = graph(
        input(&[1, 1, 1 << 20, 1], 0, 1),
        vec![Op::BatchMatMul {
            a: 0,
            b: 0,
            transposed: true,
            multiplier: 1,
            shift: 0,
            low: 0,
            high: 1,
        }],
    );
    let repeated = |count, body, collected| {
        graph(
            x(),
            vec![Op::Scan {
                count,
                states: vec![],
                scanned: vec![],
                captured: vec![0],
                body,
                collected,
            }],
        )
    };
    let often = repeated(u32::MAX, vec![], vec![0; 100]);
    // Each value fits, and the body needs them all at once.
    let wide = |_| Op::Broadcast {
        x: 0,
        shape: vec![1 << 11, 1 << 11, 1, 1],
    };
    let mut inside: Vec<Op> = (0..8).map(wide).collect();
    inside.extend((1..8).map(|a| Op::Min { a, b: a + 7 }));
    inside.push(Op::ReduceMax { x: 15, axis: 0 });
    let crowded = repeated(1, inside, vec![16]);
    for (name, bomb) in [
        ("upsample", bomb),
        ("broadcast", outer),
        ("padding", padded),
        ("broadcast alone", spread),
        ("padding alone", margins),
        ("products", products),
        ("repetition", often),
        ("a crowded body", crowded),
    ] {
        let file = format::encode(&bomb);
        let (loaded, peak, _) = measure(|| Program::load(&file.graph, &file.weights, &LIMITS));
        let error = loaded.expect_err(name);
        assert!(
            matches!(
                error,
                LoadError::Node {
                    problem: NodeProblem::Shape(ShapeProblem::Elements { .. }),
                    ..
                } | LoadError::Limit { .. }
            ),
            "{name}: {error}"
        );
        assert!(peak < 1 << 17, "{name}: held {peak} bytes");
    }
}

#[test]
fn many_tensors_alive_at_once_are_refused_by_their_sum() {
    // Each fits; together they exceed the limit, since the last node reads them all.
    let mut g = graph(input(&[1, 1, 1 << 10, 1 << 10], 0, 9), vec![]);
    for _ in 0..12 {
        g.push(Op::Clamp { x: 0, low: 0, high: 5 });
    }
    g.push(Op::Concat {
        xs: (1..=12).collect(),
        axis: 0,
    });
    g.outputs[0].value = 13;
    let limits = Limits {
        max_elements: 1 << 24,
        ..LIMITS
    };
    let error = Program::new(g, &limits).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Limit {
                what: "bytes of memory while it runs",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn counts_beyond_the_bytes_are_refused_before_memory_is_taken() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let start = [&format::MAGIC[..], &[0, OP_SET as u8]].concat();
    let prefixes: [&[u8]; 4] = [
        &[],                 // header entries
        &[0],                // inputs
        &[0, 0],             // nodes
        &[0, 0, 1, 0, 0, 0], // data of a constant of rank 0
    ];
    for prefix in prefixes {
        let bytes = [&start, prefix, &huge[..], &[0; 20]].concat();
        let (loaded, peak, _) = measure(|| Program::load(&bytes, &[0; 64], &LIMITS));
        let error = loaded.unwrap_err();
        let expected = matches!(
            error,
            LoadError::Format {
                problem: FormatProblem::Count | FormatProblem::Tag,
                ..
            } | LoadError::Weights {
                problem: WeightsProblem::Truncated,
                ..
            }
        );
        assert!(expected, "{prefix:?}: {error}");
        assert!(peak < 4096, "{prefix:?} held {peak} bytes");
    }
}

#[test]
fn numbers_in_longer_than_shortest_form_are_refused() {
    let file = format::encode(&graph(input(&[2], 0, 1), vec![]));
    let mut bytes = file.graph.clone();
    assert_eq!(bytes[5], OP_SET as u8);
    bytes.splice(5..6, [0x80, 0x00]);
    let error = Program::load(&bytes, &[], &LIMITS).unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Format {
                problem: FormatProblem::Number,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_this_engine_does_not_know_is_refused() {
    let sound = graph(input(&[2], 0, 1), vec![]);
    let mut newer = sound.clone();
    newer.op_set = OP_SET + 1;
    let file = format::encode(&newer);
    let expected = LoadError::OpSet {
        found: OP_SET + 1,
        known: OP_SET,
    };
    assert_eq!(
        Program::load(&file.graph, &file.weights, &LIMITS).unwrap_err(),
        expected
    );
    assert_eq!(Program::new(newer, &LIMITS).unwrap_err(), expected);

    let with_key = |critical| {
        let mut g = sound.clone();
        g.header.push(HeaderEntry {
            key: 999,
            critical,
            value: vec![1],
        });
        let file = format::encode(&g);
        Program::load(&file.graph, &file.weights, &LIMITS)
    };
    assert_eq!(
        with_key(true).unwrap_err(),
        LoadError::UnknownCriticalHeader { key: 999 }
    );
    assert!(with_key(false).is_ok());

    let mut disordered = sound.clone();
    for key in [2, 1] {
        disordered.header.push(HeaderEntry {
            key,
            critical: false,
            value: vec![],
        });
    }
    let file = format::encode(&disordered);
    let error = Program::load(&file.graph, &file.weights, &LIMITS).unwrap_err();
    assert!(matches!(
        error,
        LoadError::Format {
            problem: FormatProblem::HeaderOrder,
            ..
        }
    ));

    let one_node = format::encode(&graph(input(&[2], 0, 1), vec![Op::ArgMax { x: 0 }]));
    let at = one_node
        .graph
        .iter()
        .rposition(|b| *b == 16)
        .expect("the tag of ArgMax");
    let mut bytes = one_node.graph.clone();
    bytes[at] = 99;
    let error = Program::load(&bytes, &[], &LIMITS).unwrap_err();
    assert_eq!(error, LoadError::UnknownOp { node: 0, tag: 99 });

    let mut version = file.graph.clone();
    version[4] = 9;
    let error = Program::load(&version, &[], &LIMITS).unwrap_err();
    assert_eq!(
        error,
        LoadError::FormatVersion {
            found: 9,
            known: format::FORMAT_VERSION
        }
    );
    version[0] = b'X';
    let error = Program::load(&version, &[], &LIMITS).unwrap_err();
    assert_eq!(
        error,
        LoadError::Format {
            offset: 0,
            problem: FormatProblem::Magic
        }
    );
}

#[test]
fn weights_with_content_in_their_padding_are_refused() {
    let product = |weights| Op::MatMul {
        x: 0,
        weights,
        bias: vec![1],
        rescale: unit(),
    };
    let file = format::encode(&graph(input(&[2], 0, 1), vec![product(Array::I8(vec![1, 2]))]));
    let mut weights = file.weights.clone();
    weights[3] = 1;
    let error = Program::load(&file.graph, &weights, &LIMITS).unwrap_err();
    assert!(matches!(
        error,
        LoadError::Weights {
            problem: WeightsProblem::Padding,
            ..
        }
    ));
}

/// The problem of a graph's only node, loaded from bytes like any other model.
fn problem(x: Input, op: Op) -> NodeProblem {
    let file = format::encode(&graph(x, vec![op]));
    match Program::load(&file.graph, &file.weights, &LIMITS).expect_err("an unsound node") {
        LoadError::Node { node: 0, problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn operands_and_shapes_out_of_the_rules_are_refused() {
    let x = || input(&[1, 2, 4, 4], -128, 127);
    assert_eq!(
        problem(x(), Op::ArgMax { x: 1 }),
        NodeProblem::Operand { value: 1, known: 1 }
    );
    assert_eq!(
        problem(x(), Op::ArgMax { x: u32::MAX }),
        NodeProblem::Operand {
            value: u32::MAX,
            known: 1
        }
    );
    assert_eq!(
        problem(
            x(),
            Op::Reshape {
                x: 0,
                shape: vec![0, 32]
            }
        ),
        NodeProblem::Shape(ShapeProblem::ZeroExtent { axis: 0 })
    );
    assert!(matches!(
        problem(x(), Op::Reshape { x: 0, shape: vec![31] }),
        NodeProblem::Length { .. }
    ));
    assert!(matches!(
        problem(
            x(),
            Op::Reshape {
                x: 0,
                shape: vec![u32::MAX, u32::MAX, u32::MAX]
            }
        ),
        NodeProblem::Shape(ShapeProblem::Elements { .. })
    ));
    assert_eq!(
        problem(
            x(),
            Op::Transpose {
                x: 0,
                axes: vec![0, 1, 1, 3]
            }
        ),
        NodeProblem::Axis { axis: 1 }
    );
    assert_eq!(
        problem(
            x(),
            Op::Transpose {
                x: 0,
                axes: vec![0, 1, 2, 4]
            }
        ),
        NodeProblem::Axis { axis: 4 }
    );
    assert!(matches!(
        problem(x(), Op::Concat { xs: vec![], axis: 0 }),
        NodeProblem::Parameter { .. }
    ));
    let slice = |start, step, length| Op::Slice {
        x: 0,
        axis: 3,
        start,
        step,
        length,
    };
    assert!(matches!(problem(x(), slice(0, 0, 1)), NodeProblem::Parameter { .. }));
    assert!(matches!(problem(x(), slice(0, 1, 0)), NodeProblem::Parameter { .. }));
    assert!(matches!(
        problem(x(), slice(3, u32::MAX, u32::MAX)),
        NodeProblem::Parameter { .. }
    ));
    assert!(matches!(
        problem(x(), Op::Upsample2d { x: 0, factors: [0, 1] }),
        NodeProblem::Parameter { .. }
    ));
    assert!(matches!(
        problem(
            x(),
            Op::Upsample2d {
                x: 0,
                factors: [1, u32::MAX]
            }
        ),
        NodeProblem::Parameter { .. }
    ));
    for window in [
        pool(0, 0, 1),
        pool(1, 0, 0),
        pool(2, 2, 1),
        pool(5, 0, 1),
        pool(2, 9, 9),
        pool(u32::MAX, 0, 1),
    ] {
        let refused = problem(
            x(),
            Op::MaxPool2d {
                x: 0,
                window: window.clone(),
            },
        );
        assert!(
            matches!(refused, NodeProblem::Parameter { .. } | NodeProblem::Window { .. }),
            "{window:?}"
        );
    }
    assert_eq!(
        problem(
            input(&[3], 0, 1),
            Op::MaxPool2d {
                x: 0,
                window: pool(1, 0, 1)
            }
        ),
        NodeProblem::Rank { found: 1, want: 4 }
    );
    assert_eq!(
        problem(input(&[], 0, 1), Op::ArgMax { x: 0 }),
        NodeProblem::Rank { found: 0, want: 1 }
    );
    assert_eq!(
        problem(
            input(&[2], -129, 0),
            Op::Table {
                x: 0,
                table: vec![0; 256]
            }
        ),
        NodeProblem::Range { low: -129, high: 0 }
    );
    assert!(matches!(
        problem(
            input(&[2], 0, 1),
            Op::Table {
                x: 0,
                table: vec![0; 255]
            }
        ),
        NodeProblem::Length { .. }
    ));
    assert!(matches!(
        problem(
            x(),
            Op::Softmax {
                x: 0,
                multiplier: 0,
                shift: 0
            }
        ),
        NodeProblem::Parameter { .. }
    ));
    assert!(matches!(
        problem(
            x(),
            Op::Softmax {
                x: 0,
                multiplier: 1,
                shift: 63
            }
        ),
        NodeProblem::Parameter { .. }
    ));
    let data = Array::I64(vec![1]);
    assert!(matches!(
        problem(x(), Op::Constant { shape: vec![1], data }),
        NodeProblem::ElementType { .. }
    ));
    assert!(matches!(
        problem(x(), Op::Clamp { x: 0, low: 1, high: 0 }),
        NodeProblem::Parameter { .. }
    ));
}

#[test]
fn sums_that_could_leave_their_width_are_refused() {
    let x = || input(&[1 << 10], i32::MIN, i32::MAX);
    let product = |w: i16, bias: Vec<i64>, multiplier| Op::MatMul {
        x: 0,
        weights: Array::I16(vec![w; 1 << 10]),
        bias,
        rescale: Rescale {
            multipliers: vec![multiplier],
            shifts: vec![0],
            low: 0,
            high: 0,
        },
    };
    // 2^10 * 2^31 * 2^5 = 2^46.
    assert_eq!(
        problem(x(), product(32, vec![], 1)),
        NodeProblem::Accumulator { channel: 0 }
    );
    assert_eq!(
        problem(x(), product(0, vec![i64::MIN], 1)),
        NodeProblem::Accumulator { channel: 0 }
    );
    assert_eq!(
        problem(x(), product(31, vec![], i32::MIN)),
        NodeProblem::Product { channel: 0 }
    );
    let add = |m| Op::Add {
        a: 0,
        b: 0,
        multipliers: [m, m],
        shift: 0,
        low: 0,
        high: 0,
    };
    assert_eq!(problem(x(), add(i32::MIN)), NodeProblem::Product { channel: 0 });
    let mul = Op::Mul {
        a: 0,
        b: 0,
        multiplier: 1,
        shift: 0,
        low: 0,
        high: 0,
    };
    assert_eq!(problem(x(), mul), NodeProblem::Product { channel: 0 });
    let shifted = Rescale {
        multipliers: vec![1],
        shifts: vec![63],
        low: 0,
        high: 0,
    };
    let scaled = Op::Rescale {
        x: 0,
        axis: 0,
        bias: vec![],
        rescale: shifted,
    };
    assert!(matches!(problem(x(), scaled), NodeProblem::Parameter { .. }));
}

#[test]
fn trees_that_are_none_are_refused() {
    let sound = Trees {
        roots: vec![0],
        features: vec![0, 1],
        thresholds: vec![5, 5],
        left: vec![1, -1],
        right: vec![-2, -3],
        leaf_starts: vec![0, 1, 2, 3],
        targets: vec![0, 0, 0],
        weights: vec![1, 2, 3],
        base: vec![0],
    };
    let op = |trees| Op::TreeEnsemble {
        x: 0,
        trees,
        rescale: unit(),
    };
    let x = || input(&[2], 0, 9);
    Program::new(graph(x(), vec![op(sound.clone())]), &LIMITS).expect("a sound tree");
    let broken = |change: &dyn Fn(&mut Trees)| {
        let mut trees = sound.clone();
        change(&mut trees);
        match problem(x(), op(trees)) {
            NodeProblem::Tree { problem, .. } => problem,
            other => panic!("{other}"),
        }
    };
    assert_eq!(broken(&|t| t.left[1] = 0), TreeProblem::Child, "a cycle");
    assert_eq!(broken(&|t| t.left[1] = 1), TreeProblem::Child, "a node below itself");
    assert_eq!(broken(&|t| t.left[1] = 2), TreeProblem::Child, "no such node");
    assert_eq!(broken(&|t| t.left[1] = -4), TreeProblem::Child, "no such leaf");
    assert_eq!(broken(&|t| t.left[1] = i32::MIN), TreeProblem::Child);
    assert_eq!(broken(&|t| t.roots = vec![i32::MAX]), TreeProblem::Child);
    assert_eq!(
        broken(&|t| t.left[1] = -2),
        TreeProblem::Parents,
        "a leaf reached twice"
    );
    assert_eq!(
        broken(&|t| t.roots.push(1)),
        TreeProblem::Parents,
        "a node reached twice"
    );
    assert_eq!(
        broken(&|t| t.roots.clear()),
        TreeProblem::Parents,
        "nodes never reached"
    );
    assert_eq!(broken(&|t| t.features[1] = 2), TreeProblem::Feature);
    assert_eq!(broken(&|t| t.features[1] = -1), TreeProblem::Feature);
    assert_eq!(broken(&|t| t.leaf_starts = vec![]), TreeProblem::LeafStarts);
    assert_eq!(broken(&|t| t.leaf_starts = vec![0, 2, 1, 3]), TreeProblem::LeafStarts);
    assert_eq!(
        broken(&|t| t.leaf_starts = vec![0, i32::MAX, 1, 3]),
        TreeProblem::LeafStarts
    );
    assert_eq!(broken(&|t| t.leaf_starts = vec![0, -1, 1, 3]), TreeProblem::LeafStarts);
    assert_eq!(broken(&|t| t.targets[0] = 1), TreeProblem::Target);
    assert_eq!(broken(&|t| t.targets[0] = -1), TreeProblem::Target);
    assert_eq!(
        broken(&|t| t.leaf_starts = vec![0, 0, 0, 3]),
        TreeProblem::Target,
        "one target twice in a leaf"
    );
}

#[test]
fn ports_out_of_the_rules_are_refused() {
    let sound = || graph(input(&[2], 0, 3), vec![Op::ArgMax { x: 0 }]);
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut g = sound();
        change(&mut g);
        let file = format::encode(&g);
        let from_bytes = Program::load(&file.graph, &file.weights, &LIMITS).expect_err("unsound ports");
        (from_bytes, Program::new(g, &LIMITS).expect_err("unsound ports"))
    };
    let is_input = |e: &(LoadError, LoadError)| matches!(e.1, LoadError::Input { index: 0, .. });
    let is_output = |e: &(LoadError, LoadError)| matches!(e.1, LoadError::Output { index: 0, .. });
    assert!(is_input(&refused(&|g| g.inputs[0].name.clear())));
    assert!(is_input(&refused(&|g| g.inputs[0].name = "n".repeat(129))));
    assert!(is_input(&refused(&|g| g.inputs[0].fraction_bits = 31)));
    assert!(is_input(&refused(&|g| g.inputs[0].fraction_bits = -33)));
    assert!(is_input(&refused(&|g| g.inputs[0].low = 4)));
    assert!(is_input(&refused(&|g| g.inputs[0].shape = vec![0])));
    assert!(is_input(&refused(&|g| g.inputs[0].shape = vec![u32::MAX; 6])));
    assert!(is_output(&refused(&|g| g.outputs[0].name.clear())));
    assert!(is_output(&refused(&|g| g.outputs[0].value = 2)));
    assert!(is_output(&refused(&|g| g.outputs[0].labels = vec!["only one".into()])));
    assert!(is_output(&refused(
        &|g| g.outputs[0].labels = vec!["a".into(), String::new()]
    )));
    assert!(matches!(
        refused(&|g| g.outputs.push(output(0))).1,
        LoadError::Output { index: 1, .. }
    ));
    assert!(matches!(
        refused(&|g| g.inputs.push(input(&[1], 0, 0))).1,
        LoadError::Input { index: 1, .. }
    ));
    assert_eq!(refused(&|g| g.outputs.clear()).1, LoadError::NoOutputs);
    assert!(matches!(
        refused(&|g| g.inputs[0].shape = vec![1; 7]).0,
        LoadError::Limit { .. }
    ));

    let mut labelled = sound();
    labelled.outputs[0].labels = vec!["a".into(), "b".into()];
    let program = Program::new(labelled, &LIMITS).expect("labels for 0 and 1");
    assert_eq!(program.outputs()[0].labels, ["a", "b"]);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let program = Program::new(graph(input(&[3], -5, 5), vec![Op::ArgMax { x: 0 }]), &LIMITS).expect("a model");
    let run = |inputs: &[&[i32]]| program.run(inputs, &Kernels::scalar());
    assert_eq!(run(&[]), Err(RunError::InputCount { found: 0, want: 1 }));
    assert_eq!(
        run(&[&[0; 3], &[0; 3]]),
        Err(RunError::InputCount { found: 2, want: 1 })
    );
    let name = || String::from("x");
    assert_eq!(
        run(&[&[0; 2]]),
        Err(RunError::InputLength {
            name: name(),
            found: 2,
            want: 3
        })
    );
    let out = |position, value| RunError::InputRange {
        name: name(),
        position,
        value,
        low: -5,
        high: 5,
    };
    assert_eq!(run(&[&[0, 6, 7]]), Err(out(1, 6)));
    assert_eq!(run(&[&[0, 0, i32::MIN]]), Err(out(2, i32::MIN)));
    assert_eq!(run(&[&[-5, 5, 5]]), Ok(vec![vec![1]]));
}
