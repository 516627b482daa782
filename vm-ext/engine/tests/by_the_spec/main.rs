//! A second interpreter, written from the specification alone (`spec/`), takes and refuses the models that the
//! engine does, and finds the same shapes, ranges, peaks of memory, prices and numbers.
//!
//! A seeded slice runs always; `AIINFERENCE_SPEC_SEEDS=10000` runs that many seeds of each kind.

mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod golden;
mod limits;
mod mutated;
mod odd;
mod prices;
mod random;
mod row_sums;
mod sections;
mod spec;
mod windows;

use std::env;

use aiinference_engine::graph::{Graph, Input, Op, Output};
use aiinference_engine::{Kernels, Limits, Program};
use common::random::Draw;
use spec::Model;

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
