//! A second interpreter, written from the specification alone (`tests/spec/`), takes and refuses the models that the
//! engine does, and finds the same shapes, ranges, peaks of memory, prices and numbers.
//!
//! A seeded slice runs always; `AIINFERENCE_SPEC_SEEDS=10000` runs that many seeds of each kind.

mod common;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use aiinference_engine::graph::{Array, Graph, HeaderEntry, Input, Op, Output, Rescale, Scanned, State, Trees, Window};
use aiinference_engine::{format, Kernels, Limits, Program};
use common::random::{self, Draw};
use common::LIMITS;
use spec::Model;

/// Beyond this gas a model that was made at random is not run, only loaded.
const MOST_GAS: u64 = 20_000_000;

fn seeds(ordinary: u64) -> u64 {
    env::var("AIINFERENCE_SPEC_SEEDS").map_or(ordinary, |n| n.parse().expect("AIINFERENCE_SPEC_SEEDS is a number"))
}

/// What both make of a model: `None` if both refuse it; else both, whose types and peaks are equal.
fn both(name: &str, graph: &[u8], weights: &[u8], limits: &Limits) -> Option<(Program, Model)> {
    let engine = Program::load(graph, weights, limits);
    let model = Model::load(graph, weights, limits);
    let (program, model) = match (engine, model) {
        (Ok(program), Ok(model)) => (program, model),
        (Err(_), Err(_)) => return None,
        (Ok(_), Err(rule)) => panic!("{name}: the engine takes what breaks the rule {rule:?}"),
        (Err(problem), Ok(model)) => panic!("{name}: the engine refuses {problem}\n{model:?}"),
    };
    let of_engine = program
        .nodes()
        .iter()
        .map(|node| (&node.value.shape, node.value.low, node.value.high));
    let (nodes, outputs) = (model.nodes(), model.outputs());
    assert_eq!(program.nodes().len(), nodes.len(), "{name}");
    for (i, (of_engine, ty)) in of_engine.zip(nodes).enumerate() {
        assert_eq!(of_engine, ty, "{name}: node {i}\n{model:?}");
    }
    let of_engine = program
        .outputs()
        .iter()
        .map(|output| (&output.shape, output.low, output.high));
    assert!(of_engine.eq(outputs), "{name}\n{model:?}");
    assert_eq!(program.peak_bytes(), model.peak_bytes, "{name}: peak\n{model:?}");
    let of_engine: Vec<u64> = program.nodes().iter().map(|node| node.cost.gas).collect();
    assert_eq!((of_engine, program.run_gas()), model.gas, "{name}: gas\n{model:?}");
    Some((program, model))
}

/// Runs both.
fn agree(name: &str, program: &Program, model: &Model, inputs: &[Vec<i32>]) -> Vec<Vec<i32>> {
    let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let kernels = Kernels::auto();
    let outputs = program.run(&views, &kernels).unwrap_or_else(|e| panic!("{name}: {e}"));
    let [values, expected] = model.run(inputs);
    assert_eq!(outputs, expected, "{name}\n{model:?}");
    let mut shown = 0;
    let mut compare = |node: usize, value: &[i32]| {
        assert_eq!(value, values[node], "{name}: node {node}\n{model:?}");
        shown += 1;
    };
    let again = program.run_traced(&views, &kernels, &mut compare).expect("it ran");
    assert_eq!((again, shown), (expected, values.len()), "{name}");
    outputs
}

/// Inputs for any program, extremes often.
fn inputs(program: &Program, draw: &mut Draw) -> Vec<Vec<i32>> {
    let ports = program.inputs().iter();
    ports
        .map(|port| {
            draw.list(port.shape.iter().product::<u32>() as usize, |d| {
                d.extreme(port.low, port.high)
            })
        })
        .collect()
}

struct Golden {
    name: String,
    graph: Vec<u8>,
    weights: Vec<u8>,
    inputs: Vec<Vec<i32>>,
    outputs: Vec<Vec<i32>>,
}

fn golden() -> Vec<Golden> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .collect();
    paths.sort();
    let vectors = paths.iter().map(|path| {
        let text = fs::read_to_string(path).expect("a text");
        let lines = |key: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(|line| line.trim().to_owned()).collect()
        };
        let bytes = |key| -> Vec<u8> {
            let digits = lines(key).concat();
            (0..digits.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hex"))
                .collect()
        };
        let tensors = |key| {
            let lines = lines(key);
            lines
                .iter()
                .map(|line| line.split(' ').map(|n| n.parse().expect("a number")).collect())
                .collect()
        };
        Golden {
            name: path.file_stem().expect("a name").to_string_lossy().into(),
            graph: bytes("graph"),
            weights: bytes("weights"),
            inputs: tensors("input"),
            outputs: tensors("output"),
        }
    });
    vectors.collect()
}

#[test]
fn golden_vectors_follow_from_the_specification() {
    let golden = golden();
    assert!(golden.len() > 100);
    for Golden {
        name,
        graph,
        weights,
        inputs,
        outputs,
    } in &golden
    {
        let (program, model) = both(name, graph, weights, &LIMITS).expect("golden models are valid");
        assert_eq!(&agree(name, &program, &model, inputs), outputs, "{name}");
    }
}

#[test]
fn random_models_follow_from_the_specification() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..seeds(20_000) {
        let name = format!("seed {seed}");
        let (graph, inputs) = random::model(seed);
        let bytes = format::encode(&graph);
        let (program, model) = both(&name, &bytes.graph, &bytes.weights, &LIMITS).expect("valid by construction");
        agree(&name, &program, &model, &inputs);
        for op in model.operations() {
            *seen.entry(op).or_default() += 1;
        }
    }
    println!("{seen:?}");
    let all: BTreeSet<&str> = Op::NAMES.iter().copied().collect();
    let met: BTreeSet<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(all, met, "every operation occurs");
}

/// Changes one number of the graph section to one that is near, small, or at an edge.
fn mutate_number(graph: &mut Vec<u8>, weights: &[u8], draw: &mut Draw) {
    let numbers = spec::numbers(graph, weights, &LIMITS);
    let Some(last) = numbers.len().checked_sub(1) else {
        return;
    };
    let place = numbers[draw.int(0, last as i64) as usize].clone();
    let old = graph[place.clone()]
        .iter()
        .rev()
        .fold(0_u64, |n, byte| n << 7 | u64::from(byte & 127));
    let power = 1_u64 << draw.int(0, 33);
    let mut new = match draw.next() % 10 {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(2),
        3 => old.wrapping_sub(2),
        4 => old ^ 1,
        5 => draw.int(0, 9) as u64,
        6 => power,
        7 => power - 1,
        8 => old << draw.int(0, 30),
        _ => old >> draw.int(0, 30),
    };
    let mut bytes = vec![];
    while new > 127 {
        bytes.push(new as u8 | 128);
        new >>= 7;
    }
    bytes.push(new as u8);
    graph.splice(place, bytes);
}

/// Writes a number at an edge somewhere in the weights.
fn mutate_weight(weights: &mut [u8], draw: &mut Draw) {
    let size = draw.pick(&[1, 2, 4, 8]);
    let Some(last) = (weights.len() / size).checked_sub(1) else {
        return;
    };
    let at = size * draw.int(0, last as i64) as usize;
    let power = 1_i64.wrapping_shl(draw.u32(0, 63));
    let n = draw.pick(&[
        power,
        power.wrapping_neg(),
        power.wrapping_sub(1),
        power.wrapping_neg().wrapping_sub(1),
    ]);
    weights[at..at + size].copy_from_slice(&n.to_le_bytes()[..size]);
}

/// Changes some bytes of one section, to what may still be a model.
fn mutate(bytes: &mut Vec<u8>, draw: &mut Draw) {
    for _ in 0..draw.pick(&[1, 1, 1, 2, 3]) {
        let Some(last) = bytes.len().checked_sub(1) else { return };
        let at = draw.int(0, last as i64) as usize;
        match draw.next() % 8 {
            0 => bytes[at] ^= 1 << draw.int(0, 7),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = draw.int(0, 9) as u8,
            4 => bytes[at] = draw.next() as u8,
            5 => bytes[at] = bytes[draw.int(0, last as i64) as usize],
            6 => bytes[at] = draw.pick(&[0, 1, 62, 63, 127, 128, 255]),
            _ if draw.one_in(2) => bytes.insert(at, draw.pick(&[0, 1, 2, 128, 129])),
            _ => drop(bytes.remove(at)),
        }
    }
}

#[test]
fn mutated_models_are_taken_or_refused_by_both() {
    let golden = golden();
    let (mut taken, mut refused, mut run) = (0_u64, 0_u64, 0_u64);
    for seed in 0..seeds(100_000) {
        let name = format!("mutant {seed}");
        let draw = &mut Draw::new(seed ^ 0x5bd1_e995);
        let (mut graph, mut weights) = if draw.one_in(3) {
            let model = &golden[draw.int(0, golden.len() as i64 - 1) as usize];
            (model.graph.clone(), model.weights.clone())
        } else {
            let bytes = format::encode(&random::model(draw.next() % 5000).0);
            (bytes.graph, bytes.weights)
        };
        match draw.next() % 8 {
            0 => mutate(&mut weights, draw),
            1 | 2 => mutate(&mut graph, draw),
            3 | 4 => mutate_weight(&mut weights, draw),
            _ => mutate_number(&mut graph, &weights, draw),
        }
        let mut limits = LIMITS;
        if draw.one_in(4) {
            (limits.max_elements, limits.max_peak_bytes) = (u64::MAX, u64::MAX);
        }
        let Some((program, model)) = both(&name, &graph, &weights, &limits) else {
            refused += 1;
            continue;
        };
        taken += 1;
        if program.run_gas() <= MOST_GAS && program.peak_bytes() <= LIMITS.max_peak_bytes {
            agree(&name, &program, &model, &inputs(&program, draw));
            run += 1;
        }
    }
    println!("{taken} taken, {run} of them run, {refused} refused");
    assert!(
        taken > 100 && run > 100 && refused > 100,
        "{taken} taken, {run} of them run, {refused} refused"
    );
}

#[test]
fn limits_are_kept_to_the_unit_by_both() {
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for seed in 0..seeds(10_000) {
        let draw = &mut Draw::new(seed ^ 0x1b87_3593);
        let (graph, _) = random::model(draw.next() % 5000);
        let bytes = format::encode(&graph);
        let (_, model) = both("unlimited", &bytes.graph, &bytes.weights, &LIMITS).expect("valid by construction");
        let mut limits = LIMITS;
        let small = draw.int(0, 12) as usize;
        match draw.next() % 9 {
            0 => limits.max_nodes = small,
            1 => limits.max_rank = small.min(6),
            2 => limits.max_elements = draw.int(1, 2000) as u64,
            3 => limits.max_peak_bytes = model.peak_bytes.saturating_add_signed(draw.int(-1, 1)),
            4 => limits.max_ports = small.min(4),
            5 => limits.max_name_bytes = small.min(7),
            6 => limits.max_labels = small,
            7 => limits.max_header_entries = small.min(3),
            _ => limits.max_header_bytes = small,
        }
        match both(
            &format!("seed {seed} within {limits:?}"),
            &bytes.graph,
            &bytes.weights,
            &limits,
        ) {
            Some(_) => taken += 1,
            None => refused += 1,
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

fn input(shape: &[u32], low: i32, high: i32) -> Input {
    let name = format!("{shape:?} {low} {high}");
    Input {
        name,
        shape: shape.to_vec(),
        fraction_bits: 0,
        low,
        high,
        saturate: false,
    }
}

fn graph(inputs: Vec<Input>, nodes: Vec<Op>) -> Graph {
    let value = (inputs.len() + nodes.len()) as u32 - 1;
    let output = Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    };
    Graph {
        inputs,
        nodes,
        outputs: vec![output],
        ..Graph::new()
    }
}

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

/// Ports, names, labels and headers, valid and not.
#[test]
fn what_surrounds_the_nodes_is_taken_or_refused_by_both() {
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for seed in 0..seeds(40_000) {
        let draw = &mut Draw::new(seed ^ 0x2545_f491);
        let mut limits = LIMITS;
        if draw.one_in(2) {
            limits.max_ports = draw.int(1, 4) as usize;
            limits.max_name_bytes = draw.int(3, 9) as usize;
            limits.max_labels = draw.int(0, 6) as usize;
            limits.max_header_entries = draw.int(0, 3) as usize;
            limits.max_header_bytes = draw.int(0, 40) as usize;
        }
        let text = |d: &mut Draw| -> String {
            let letters = if d.one_in(60) { 0 } else { d.u32(1, 4) as usize };
            d.list(letters, |d| d.pick(&['a', 'b', 'c', '\u{e9}', '\u{2260}']))
                .into_iter()
                .collect()
        };
        let mut graph = Graph::new();
        let entries = draw.int(0, 3) as usize;
        let mut keys = draw.list(entries, |d| d.u32(0, 4));
        if !draw.one_in(6) {
            keys.sort();
            keys.dedup();
        }
        for key in keys {
            let length = if key == 1 && !draw.one_in(4) {
                32
            } else {
                draw.pick(&[0, 1, 7, 20, 31, 33])
            };
            let value = draw.list(length, |d| d.pick(&[b'x', b'y', 0xc3, 0xa9]));
            graph.header.push(HeaderEntry {
                key,
                critical: draw.one_in(4),
                value,
            });
        }
        for _ in 0..draw.int(0, 3) {
            let (low, high) = (draw.pick(&[-1, 0, 0, 3]), draw.pick(&[2, 3, 3, 4]));
            let fraction_bits = if draw.one_in(10) {
                draw.pick(&[-33, -32, 30, 31])
            } else {
                0
            };
            let extents = draw.int(0, 3) as usize;
            let shape = draw.list(extents, |d| if d.one_in(60) { 0 } else { 1 });
            graph.inputs.push(Input {
                name: text(draw),
                shape,
                fraction_bits,
                low,
                high,
                saturate: draw.one_in(2),
            });
        }
        for _ in 0..draw.int(0, 1) {
            graph.nodes.push(Op::Constant {
                shape: vec![],
                data: Array::I8(vec![draw.int(-1, 3) as i8]),
            });
        }
        for _ in 0..draw.int(0, 3) {
            let known = (graph.inputs.len() + graph.nodes.len()) as u32;
            let value = if draw.one_in(20) {
                known
            } else {
                draw.u32(0, known.max(1) - 1)
            };
            let fraction_bits = if draw.one_in(10) {
                draw.pick(&[-33, -32, 30, 31])
            } else {
                0
            };
            let count = draw.pick(&[0, 0, 1, 4, 5, 6]);
            let labels = draw.list(count, text);
            graph.outputs.push(Output {
                name: text(draw),
                value,
                fraction_bits,
                labels,
            });
        }
        let bytes = format::encode(&graph);
        match both(
            &format!("seed {seed}: {graph:?} within {limits:?}"),
            &bytes.graph,
            &bytes.weights,
            &limits,
        ) {
            Some((program, model)) => {
                agree(&format!("seed {seed}"), &program, &model, &inputs(&program, draw));
                taken += 1;
            }
            None => refused += 1,
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

/// Rows of a Softmax come to one; what moves them keeps that, and products of matrices profit.
#[test]
fn sums_of_rows_are_bounded_alike_by_both() {
    let mut taken = 0;
    for seed in 0..seeds(5_000) {
        let draw = &mut Draw::new(seed ^ 0x9e37_79b9);
        let mut shape = vec![draw.u32(1, 3), draw.u32(1, 4), draw.pick(&[1, 2, 3, 17, 40])];
        let x = input(&shape, -300, 400);
        let mut nodes = vec![Op::Softmax {
            x: 0,
            multiplier: 1 << 20,
            shift: 9,
        }];
        for _ in 0..draw.int(0, 4) {
            let (x, rank) = (nodes.len() as u32, shape.len());
            let op = match draw.next() % 7 {
                0 => {
                    let axis = draw.u32(0, rank as u32 - 1);
                    let extent = &mut shape[axis as usize];
                    let start = draw.u32(0, *extent - 1);
                    *extent = draw.u32(1, *extent - start);
                    Op::Slice {
                        x,
                        axis,
                        start,
                        step: 1,
                        length: *extent,
                    }
                }
                1 => {
                    let mut axes: Vec<u32> = (0..rank as u32).collect();
                    let (i, j) = (draw.int(0, rank as i64 - 1), draw.int(0, rank as i64 - 1));
                    axes.swap(i as usize, j as usize);
                    shape = axes.iter().map(|axis| shape[*axis as usize]).collect();
                    Op::Transpose { x, axes }
                }
                2 => {
                    shape = match draw.next() % 3 {
                        0 => vec![1, shape.iter().product()],
                        1 => [&[1][..], &shape[..]].concat(),
                        _ => vec![shape[..rank - 1].iter().product(), shape[rank - 1]],
                    };
                    Op::Reshape {
                        x,
                        shape: shape.clone(),
                    }
                }
                3 => {
                    shape
                        .iter_mut()
                        .filter(|extent| **extent == 1)
                        .for_each(|extent| *extent = draw.u32(1, 2));
                    Op::Broadcast {
                        x,
                        shape: shape.clone(),
                    }
                }
                4 => Op::Clamp {
                    x,
                    low: draw.pick(&[-5, 0, 1]),
                    high: draw.pick(&[1, 20_000, 40_000]),
                },
                5 => Op::Max { a: x, b: x },
                _ => {
                    let (states, scanned, body) = (
                        vec![],
                        vec![],
                        vec![Op::Clamp {
                            x: 0,
                            low: 0,
                            high: 32767,
                        }],
                    );
                    let (captured, collected) = (vec![x], vec![draw.u32(0, 1)]);
                    shape = vec![1, shape.iter().product()];
                    nodes.push(Op::Scan {
                        count: 1,
                        states,
                        scanned,
                        captured,
                        body,
                        collected,
                    });
                    Op::Reshape {
                        x: x + 1,
                        shape: shape.clone(),
                    }
                }
            };
            nodes.push(op);
        }
        // What was made of the Softmax is either operand, in either layout.
        let rows = nodes.len() as u32;
        let [.., m, n] = shape[..] else { unreachable!() };
        let (transposed, other) = (draw.one_in(2), draw.u32(1, 20));
        let first = draw.one_in(2);
        let (a, b, other) = match (first, transposed) {
            (true, true) => (rows, 0, [other, n]),
            (true, false) => (rows, 0, [n, other]),
            (false, true) => (0, rows, [other, n]),
            (false, false) => (0, rows, [other, m]),
        };
        let (low, high) = draw.pick(&[(-32768, 32767), (-128, 127), (0, 32767), (5, 7), (-32768, -3)]);
        let shift = draw.u32(0, 14) as u8;
        // The other operand is an input before the first node, and so every number is one more.
        let mut model = graph(vec![x, input(&other, low, high)], nodes);
        for op in &mut model.nodes {
            match op {
                Op::Softmax { .. } => {}
                Op::Slice { x, .. } | Op::Transpose { x, .. } | Op::Reshape { x, .. } => *x += 1,
                Op::Broadcast { x, .. } | Op::Clamp { x, .. } => *x += 1,
                Op::Max { a, b } => (*a, *b) = (*a + 1, *b + 1),
                Op::Scan { captured, .. } => captured[0] += 1,
                _ => unreachable!(),
            }
        }
        let [a, b] = [a, b].map(|x| x + 1);
        let multiplier = draw.pick(&[1, -3]);
        model.nodes.push(Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier,
            shift,
            low: i32::MIN,
            high: i32::MAX,
        });
        model.outputs[0].value += 1;
        let (name, bytes) = (format!("seed {seed}"), format::encode(&model));
        if let Some((program, model)) = both(&name, &bytes.graph, &bytes.weights, &LIMITS) {
            agree(&name, &program, &model, &inputs(&program, draw));
            taken += 1;
        }
    }
    assert!(taken > 100, "{taken}");
}

/// What is odd but valid.
#[test]
fn odd_models_are_taken_by_both() {
    let rescale = || Rescale {
        multipliers: vec![1],
        shifts: vec![1],
        low: -9,
        high: 9,
    };
    let trees = |roots, leaf_starts, base| Trees {
        roots,
        features: vec![],
        thresholds: vec![],
        left: vec![],
        right: vec![],
        leaf_starts,
        targets: vec![],
        weights: vec![],
        base,
    };
    let no_trees = trees(vec![], vec![0], vec![5, -2]);
    let empty_leaf = trees(vec![-1], vec![0, 0], vec![3]);
    let constant = |shape: Vec<u32>| Op::Constant {
        shape,
        data: Array::I32(vec![-7]),
    };
    let huge = |k: u32, x, count_padding| {
        let window = Window {
            kernel: [k, k],
            strides: [1, 7],
            dilations: [1, 1],
            pads: [k - 1, k - 2, 1, 0],
        };
        let pools = vec![
            Op::AvgPool2d {
                x: 0,
                window: window.clone(),
                count_padding,
            },
            Op::MaxPool2d { x: 0, window },
        ];
        let joined = Op::Concat {
            xs: vec![1, 2],
            axis: 1,
        };
        graph(vec![input(&[1, 1, 2, 3], x, x)], [pools, vec![joined]].concat())
    };
    let models = [
        huge(u32::MAX, i32::MIN, true),
        huge(u32::MAX, i32::MAX, true),
        huge(u32::MAX, i32::MIN, false),
        huge(1 << 15, i32::MIN, true),
        huge(23_170, i32::MIN, true),
        huge(3, i32::MIN, true),
        graph(vec![input(&[], -3, 3)], vec![]),
        graph(vec![], vec![constant(vec![])]),
        graph(vec![], vec![constant(vec![1; 6]), Op::Reshape { x: 0, shape: vec![] }]),
        graph(
            vec![input(&[2], -3, 3)],
            vec![Op::TreeEnsemble {
                x: 0,
                trees: no_trees,
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[2], -3, 3)],
            vec![Op::TreeEnsemble {
                x: 0,
                trees: empty_leaf,
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Rescale {
                x: 0,
                axis: 9,
                bias: vec![1],
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[2, 3], 0, 1), input(&[], 0, 1)],
            vec![Op::Gather {
                x: 0,
                indices: 1,
                axis: 0,
            }],
        ),
        graph(
            vec![input(&[4], 0, 9)],
            vec![Op::ReduceMax { x: 0, axis: 0 }, Op::Transpose { x: 1, axes: vec![] }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Broadcast {
                x: 0,
                shape: vec![2, 2],
            }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Pad {
                x: 0,
                before: vec![],
                after: vec![],
                value: 77,
            }],
        ),
    ];
    for (i, graph) in models.iter().enumerate() {
        let (name, bytes) = (format!("model {i}"), format::encode(graph));
        let (program, model) = both(&name, &bytes.graph, &bytes.weights, &LIMITS).expect("it is valid");
        agree(&name, &program, &model, &inputs(&program, &mut Draw::new(i as u64)));
    }
}

/// Windows of which an image has fewer than a vector has lanes, beside such as have a few more pixels or fewer channels.
#[test]
fn convolutions_of_few_pixels_are_the_same_by_both_and_by_every_set() {
    let (mut few, mut wide, mut whole) = (0, 0, 0);
    for seed in 0..600 {
        let draw = &mut Draw::new(seed);
        let c = draw.pick(&[1, 2, 5, 16]);
        let image = [draw.u32(1, 6), draw.u32(1, 6)];
        let (kernel, pads) = match draw.one_in(3) {
            true => (image, [0; 4]),
            false => {
                let kernel = image.map(|extent| draw.u32(1, extent.min(4)));
                (kernel, draw.pick(&[[0; 4], [1, 1, 1, 1], [2, 0, 0, 5]]))
            }
        };
        let dilations = if draw.one_in(3) { [1, 2] } else { [1, 1] };
        let window = Window {
            kernel,
            strides: [draw.u32(1, 3), draw.u32(1, 3)],
            dilations,
            pads,
        };
        let channels = draw.pick(&[15, 16, 17, 18, 20, 35, 64]);
        let taps = c * kernel[0] * kernel[1];
        let count = (channels * taps) as usize;
        let weights = match draw.int(0, 2) {
            0 => Array::I8(draw.list(count, |d| d.extreme(-128, 127) as i8)),
            1 => Array::I16(draw.list(count, |d| d.extreme(-300, 300) as i16)),
            // Of which not many fit 32 bits together.
            _ => Array::I16(draw.list(count, |d| d.extreme(-32768, 32767) as i16)),
        };
        let biases = draw.pick(&[0, 1, channels as usize]);
        let bias = draw.list(biases, |d| d.int(-(1 << 20), 1 << 20));
        let multipliers = draw.pick(&[1, channels as usize]);
        let (low, high) = draw.pick(&[(-9, 9), (-128, 127), (0, 255), (-30_000, 32_767), (-40_000, 2)]);
        let rescaled = match draw.one_in(4) {
            true => (0, i32::MIN, i32::MAX),
            false => (9, -30_000, 30_000),
        };
        let conv = Op::Conv2d {
            x: 0,
            weights,
            channels,
            bias,
            window,
            groups: 1,
            rescale: Rescale {
                multipliers: draw.list(multipliers, |d| d.int(-9, 9) as i32),
                shifts: vec![rescaled.0; multipliers],
                low: rescaled.1,
                high: rescaled.2,
            },
        };
        let batch = draw.pick(&[1, 1, 2, 13]);
        let model = graph(vec![input(&[batch, c, image[0], image[1]], low, high)], vec![conv]);
        let (name, bytes) = (format!("seed {seed}"), format::encode(&model));
        let Some((program, model)) = both(&name, &bytes.graph, &bytes.weights, &LIMITS) else {
            continue;
        };
        let inputs = inputs(&program, draw);
        let outputs = agree(&name, &program, &model, &inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            assert_eq!(
                program.run(&views, &kernels).as_ref(),
                Ok(&outputs),
                "{name}: {kernels:?}"
            );
        }
        let ty = &program.outputs()[0];
        if channels >= 16 && ty.shape[2] * ty.shape[3] < 16 {
            few += 1;
            wide += u32::from(ty.low < -32768 || ty.high > 32767);
            whole += u32::from(kernel == image && pads == [0; 4]);
        }
    }
    assert!(few > 120 && wide > 25 && whole > 50, "{few} {wide} {whole}");
}

/// The table of `gas.md` has the constants of `gas.rs`, and no others.
#[test]
fn prices_are_those_of_the_table() {
    let source = include_str!("../src/gas.rs");
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
