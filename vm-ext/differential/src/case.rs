//! One model with inputs, and what a set of kernels makes of it.

use std::fmt::Write;

use aiinference_engine::{format, Kernels, Limits, LoadError, Program, Workspace};

use crate::digest::Digest;
use crate::random::{self, Draw};
use crate::{operation, LIMITS};

/// Room for models as large as chains take.
const LARGE: Limits = Limits {
    max_nodes: 1 << 16,
    max_elements: 1 << 26,
    max_peak_bytes: 1 << 28,
    max_labels: 1 << 16,
    max_header_bytes: 1 << 16,
    ..LIMITS
};

/// A loaded model and inputs for it.
pub struct Case {
    program: Program,
    inputs: Vec<Vec<i32>>,
    /// The model's bytes.
    source: u64,
}

impl Case {
    /// The random operation of a seed.
    pub fn operation(seed: u64) -> Result<Self, LoadError> {
        let (graph, inputs) = operation(seed);
        Case::of(&graph, inputs)
    }

    /// The random graph of a seed.
    pub fn graph(seed: u64) -> Result<Self, LoadError> {
        let (graph, inputs) = random::model(seed);
        Case::of(&graph, inputs)
    }

    /// A model of its own, with the random inputs of a seed.
    pub fn model(graph: &[u8], weights: &[u8], seed: u64) -> Result<Self, LoadError> {
        let program = Program::load(graph, weights, &LARGE)?;
        let mut draw = Draw::new(seed);
        let inputs = program.inputs().iter().map(|port| {
            let count = port.shape.iter().product::<u32>() as usize;
            match seed {
                0 => vec![port.low; count],
                1 => vec![port.high; count],
                _ => draw.list(count, |d| d.extreme(port.low, port.high)),
            }
        });
        let inputs = inputs.collect();
        Ok(Case {
            program,
            inputs,
            source: source(graph, weights),
        })
    }

    fn of(graph: &aiinference_engine::graph::Graph, inputs: Vec<Vec<i32>>) -> Result<Self, LoadError> {
        let file = format::encode(graph);
        let program = Program::load(&file.graph, &file.weights, &LIMITS)?;
        Ok(Case {
            program,
            inputs,
            source: source(&file.graph, &file.weights),
        })
    }

    /// A digest of the model, of its inferred types and costs, of every value that a node computes and of what two ways of
    /// running it return. Shapes that a workspace held before must not matter.
    pub fn digest(&self, kernels: &Kernels, workspace: &mut Workspace) -> u64 {
        let mut digest = Digest::new();
        digest.add(self.facts());
        let inputs = self.views();
        let traced = self
            .program
            .run_traced(&inputs, kernels, &mut |_, value| digest.numbers(value));
        match traced {
            Ok(outputs) => outputs.iter().for_each(|values| digest.numbers(values)),
            Err(problem) => digest.bytes(problem.to_string().as_bytes()),
        }
        match self.program.run_in(workspace, &inputs, kernels) {
            Ok(outputs) => outputs.iter().for_each(|values| digest.numbers(values)),
            Err(problem) => digest.bytes(problem.to_string().as_bytes()),
        }
        digest.value()
    }

    /// All that the digest covers, to be read: a line of facts, one a node and one an output of the ordinary run.
    pub fn lines(&self, kernels: &Kernels) -> String {
        let mut text = format!(
            "facts: digest {:016x}, gas {}, peak {}\n",
            self.facts(),
            self.program.run_gas(),
            self.program.peak_bytes()
        );
        let mut line = |name: String, values: &[i32]| {
            text += &name;
            for value in values {
                // Writing to a string does not fail.
                let _ = write!(text, " {value}");
            }
            text.push('\n');
        };
        for (i, values) in self.inputs.iter().enumerate() {
            line(format!("input {i}:"), values);
        }
        let inputs = self.views();
        let nodes = self.program.nodes();
        let mut observe = |node: usize, values: &[i32]| {
            line(
                format!("node {node}, {}:", nodes.get(node).map_or("", |n| n.op)),
                values,
            )
        };
        let traced = self.program.run_traced(&inputs, kernels, &mut observe);
        if let Err(problem) = &traced {
            line(format!("refused: {problem}"), &[]);
        }
        match self.program.run_in(&mut Workspace::new(), &inputs, kernels) {
            Ok(outputs) => {
                for (i, values) in outputs.iter().enumerate() {
                    line(format!("output {i}:"), values);
                }
            }
            Err(problem) => line(format!("refused: {problem}"), &[]),
        }
        text
    }

    /// What is known before anything runs, which every machine must agree on as well.
    fn facts(&self) -> u64 {
        let mut digest = Digest::new();
        let program = &self.program;
        digest.add(self.source);
        for number in [
            program.run_gas(),
            program.peak_bytes(),
            program.macs(),
            program.parameters(),
        ] {
            digest.add(number);
        }
        for node in program.nodes() {
            let (value, cost) = (&node.value, &node.cost);
            value.shape.iter().for_each(|extent| digest.add((*extent).into()));
            digest.numbers(&[value.low, value.high]);
            [cost.gas, cost.macs, cost.peak_bytes]
                .into_iter()
                .for_each(|number| digest.add(number));
        }
        for output in program.outputs() {
            digest.numbers(&[output.low, output.high]);
        }
        self.inputs.iter().for_each(|values| digest.numbers(values));
        digest.value()
    }

    fn views(&self) -> Vec<&[i32]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }
}

fn source(graph: &[u8], weights: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.bytes(graph);
    digest.bytes(weights);
    digest.value()
}
