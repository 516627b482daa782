//! What was released stays as it is. `tests/released/` lists, for every op-set, the golden vectors that it was released with and their
//! SHA-256, and for the gas schedule the prices and peaks of models; this file holds the SHA-256 of each list. Nobody changes either:
//! another meaning is another op-set, another price another schedule, with vectors and a list of its own. Golden vectors may be added;
//! the lists do not name those.

mod common;

use std::fs;
use std::path::PathBuf;

use aiinference_engine::graph::OP_SET;
use aiinference_engine::{format, Kernels, Limits, Program};
use common::golden::{self, vectors};
use common::LIMITS;
use sha2::{Digest, Sha256};

/// The SHA-256 of `op-set-1.sha256`.
const OP_SET_1: &str = "594b8f843d450f8cc85a2ffb317b5340a707c1ebf94b2964ba58e08ca6850de4";

/// The SHA-256 of `gas-schedule-1.txt`: lines of gas, peak in bytes, and what model: `golden NAME`, or the graph and the weights of a
/// shape that the gas benchmark lists, both sections in hex, weights that are one byte again and again as `COUNT*HEX`.
const GAS_SCHEDULE_1: &str = "b4d0508c16f507d01075d843849628ad785c173b958748268dddd90378b3b3e4";

fn released(list: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/released")
        .join(list);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn the_vectors_of_op_set_1_are_those_of_its_release() {
    let list = released("op-set-1.sha256");
    assert_eq!(sha256(list.as_bytes()), OP_SET_1);
    for line in list.lines() {
        let (hash, name) = line.split_once("  ").expect("a hash and a name");
        let bytes = fs::read(golden::folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(sha256(&bytes), hash, "{name}");
    }
}

#[test]
fn op_set_1_means_what_its_drafts_meant() {
    assert_eq!(OP_SET, 1);
    for (name, vector) in vectors() {
        let draft = format::decode(&vector.graph, &vector.weights, &LIMITS).expect("a golden model");
        let programs = [0, 1].map(|op_set| {
            let mut graph = draft.clone();
            graph.op_set = op_set;
            let file = format::encode(&graph);
            let program = Program::load(&file.graph, &file.weights, &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(program.op_set(), op_set, "{name}");
            program
        });
        let inputs: Vec<&[i32]> = vector.inputs.iter().map(Vec::as_slice).collect();
        for program in &programs {
            let outputs = program
                .run(&inputs, &Kernels::scalar())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(outputs, vector.outputs, "{name}");
        }
        let [draft, released] = programs;
        assert_eq!(
            (draft.run_gas(), draft.peak_bytes()),
            (released.run_gas(), released.peak_bytes()),
            "{name}"
        );
    }
}

fn section(text: &str) -> Vec<u8> {
    match text.split_once('*') {
        Some((count, byte)) => hex::decode(byte).expect("hex").repeat(count.parse().expect("a count")),
        None => hex::decode(text).expect("hex"),
    }
}

#[test]
fn a_run_costs_what_gas_schedule_1_was_released_with() {
    // Those of the benchmark, which lists models that are larger than others.
    let limits = Limits {
        max_elements: 1 << 26,
        max_peak_bytes: 256 << 20,
        ..LIMITS
    };
    let list = released("gas-schedule-1.txt");
    assert_eq!(sha256(list.as_bytes()), GAS_SCHEDULE_1);
    let golden = vectors();
    for (number, line) in (1..).zip(list.lines()) {
        let [gas, peak, first, second] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("line {number}");
        };
        let program = match first {
            "golden" => Program::load(&golden[second].graph, &golden[second].weights, &limits),
            _ => Program::load(&section(first), &section(second), &limits),
        };
        let program = program.unwrap_or_else(|e| panic!("line {number}: {e}"));
        let costs = [program.run_gas(), program.peak_bytes()].map(|cost| cost.to_string());
        assert_eq!(costs, [gas, peak], "line {number}");
    }
}
