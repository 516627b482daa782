//! Time against gas of what surrounds a model's run: taking up a request, loading, connecting, returning.
//!
//! Each row is one awkward case of one term of `price`: the least time of many runs, the gas paid, and their ratio.
//! 1 ns is worth 1,000 gas; a ratio above 1 is time that nobody paid for, and fails the run.
//! The name of a section alone (`-- proofs`) measures that.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../../verifier/tests/common/mod.rs"]
mod fixtures;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aiinference_engine::graph::{Array, Graph, Input, Op, Output, Rescale};
use aiinference_runtime::{module, price, Answer, Runtime, Settings};
use aiinference_types::v1;
use common::*;
use prost::Message;

/// Whether each row's time was paid for.
static PAID: AtomicBool = AtomicBool::new(true);

fn main() {
    println!("{:<44} {:>12} {:>16} {:>8}", "case", "ns", "gas paid", "ns/gas");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let sections: [(&str, fn()); 5] = [
        ("requests", requests),
        ("loads", loads),
        ("connections", connections),
        ("outputs", outputs),
        ("proofs", proofs),
    ];
    for (name, rows) in sections {
        if only.as_ref().is_none_or(|only| only == name) {
            rows();
        }
    }
    assert!(
        PAID.load(Ordering::Relaxed),
        "a row above took longer than was paid for"
    );
}

/// Least time of one run, over at least 20 runs and a fifth of a second.
fn time(mut run: impl FnMut()) -> Duration {
    run();
    let (start, mut least, mut count) = (Instant::now(), Duration::MAX, 0);
    while count < 20 || start.elapsed() < Duration::from_millis(200) {
        let begin = Instant::now();
        run();
        least = least.min(begin.elapsed());
        count += 1;
    }
    least
}

fn row(case: &str, took: Duration, gas: u64) {
    let ns = took.as_nanos() as u64;
    let ratio = ns as f64 * 1000.0 / gas as f64;
    println!("{case:<44} {ns:>12} {gas:>16} {ratio:>8.3}");
    PAID.fetch_and(ratio <= 1.0, Ordering::Relaxed);
}

/// Gas of a request, whatever its answer says.
fn gas_of(runtime: &Runtime, chain: &mut Table, request: &[u8]) -> u64 {
    match runtime.answer(request, u64::MAX, chain) {
        Answer::Done { gas, .. } => gas,
        other => panic!("not answered: {other:?}"),
    }
}

/// Gas of a request that is answered without an error.
fn answer(runtime: &Runtime, chain: &mut Table, request: &[u8]) -> u64 {
    match runtime.answer(request, u64::MAX, chain) {
        Answer::Done { gas, response, .. } => match v1::Response::decode(response.as_slice()).unwrap().result {
            Some(v1::response::Result::Error(error)) => panic!("refused: {}", error.message),
            _ => gas,
        },
        other => panic!("not answered: {other:?}"),
    }
}

/// Proofs that are valid, keys that make the verifier work as long as it may, and circuits that are long to read.
fn proofs() {
    for name in ["public", "hashed", "many"] {
        let fixture = fixtures::fixture(name);
        let message = fixture.message();
        let proof = &fixture.proofs[0];
        let hashed = proof.hash.is_some();
        let request = v1::VerifyRequest {
            proof: proof.bytes(),
            inputs: (!hashed)
                .then(|| fixtures::tensor("x", &proof.inputs))
                .into_iter()
                .collect(),
            hashes: hashed.then(|| fixtures::hash("x", &proof.hash())).into_iter().collect(),
            outputs: vec![fixtures::tensor("y", &proof.outputs)],
            ..Default::default()
        };
        verify(&format!("proof: {name}"), &message, request.clone());
        if name == "many" {
            continue;
        }
        // Each word of the key by itself as it could be worst; the slowest of all is shown.
        let mut worst = (0.0, String::new(), message.clone());
        for word in 24..message.verifying_key.len() / 32 {
            for (what, bytes) in [("ones", [0xff; 32]), ("steps", [0x20; 32]), ("small", [1; 32])] {
                let mut hostile = message.clone();
                hostile.verifying_key[word * 32..][..32].copy_from_slice(&bytes);
                let (runtime, mut chain, request) = question(&hostile, request.clone());
                let gas = gas_of(&runtime, &mut chain, &request);
                let begin = Instant::now();
                runtime.answer(&request, u64::MAX, &mut chain);
                let ratio = begin.elapsed().as_nanos() as f64 / gas as f64;
                if ratio > worst.0 {
                    worst = (ratio, format!("word {word} {what}"), hostile);
                }
            }
        }
        verify(
            &format!("proof: {name}, hostile key: {}", worst.1),
            &worst.2,
            request.clone(),
        );
    }
    let (key, proof, values) = fixtures::Endless::LEAST;
    for lengths in [
        (key, proof, values),
        (1024, proof, values),
        (key, 512, values),
        (1024, 512, values),
        (key, proof, 4096),
        (1024, 512, 4096),
    ] {
        let endless = fixtures::Endless::new(lengths);
        let request = v1::VerifyRequest {
            proof: endless.proof,
            inputs: vec![fixtures::tensor("x", &endless.inputs)],
            outputs: vec![fixtures::tensor("y", &endless.outputs)],
            ..Default::default()
        };
        verify(
            &format!("proof: endless, lengths {lengths:?}"),
            &endless.message,
            request,
        );
    }
    let mut short = fixtures::fixture("public").message();
    short.verifying_key.truncate(24 * 32);
    short.proof_bytes = 32;
    let fixture = fixtures::fixture("public");
    let request = v1::VerifyRequest {
        proof: vec![0; 32],
        inputs: vec![fixtures::tensor("x", &fixture.proofs[0].inputs)],
        outputs: vec![fixtures::tensor("y", &fixture.proofs[0].outputs)],
        ..Default::default()
    };
    verify("proof: least lengths", &short, request.clone());
    let mut crowded = fixture.message();
    crowded.instances = vec![v1::Instance::default(); 32_500];
    crowded.verifying_key.clear();
    verify("circuit: 32,500 empty values", &crowded, request.clone());
    crowded.instances.clear();
    crowded.models = vec![v1::CircuitModel::default(); 32_500];
    verify("circuit: 32,500 empty models", &crowded, request);
}

/// A runtime, a chain with the circuit, and the request that names it and accepts it.
fn question(message: &v1::Circuit, mut request: v1::VerifyRequest) -> (Runtime, Table, Vec<u8>) {
    let mut chain = Table::new();
    request.circuit = model_ref(chain.store_module(module::wrap_circuit(message)));
    request.accepted_srs = vec![message.srs.clone()];
    let request = encode(v1::request::Operation::Verify(request));
    (Runtime::new(settings()), chain, request)
}

fn verify(case: &str, message: &v1::Circuit, request: v1::VerifyRequest) {
    let (runtime, mut chain, request) = question(message, request);
    let gas = gas_of(&runtime, &mut chain, &request);
    let took = time(|| {
        runtime.answer(&request, u64::MAX, &mut chain);
    });
    row(case, took, gas);
}

fn requests() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let empty = encode(v1::request::Operation::Infer(v1::InferRequest::default()));
    let many_steps = v1::InferRequest {
        steps: vec![v1::Step::default(); 30_000],
        ..Default::default()
    };
    let many_steps = encode(v1::request::Operation::Infer(many_steps));
    let mut inputs = one_step(1, integers("x", &[2], &[1, 2]));
    inputs.steps[0].inputs = vec![
        v1::Input {
            source: Some(v1::input::Source::Tensor(v1::Tensor::default())),
            ..Default::default()
        };
        15_000
    ];
    let many_tensors = encode(v1::request::Operation::Infer(inputs));
    for (case, request) in [
        ("request: empty plan", empty),
        ("request: 30,000 empty steps", many_steps),
        ("request: 15,000 empty tensors", many_tensors),
    ] {
        let mut gas = 0;
        let took = time(|| gas = gas_of(&runtime, &mut chain, &request));
        row(case, took, gas);
    }
    for (case, count, data_type) in [
        ("request: 4,000 decimals to convert", 4_000u32, v1::DataType::Decimal),
        ("request: 60,000 bytes to convert", 60_000, v1::DataType::Int8),
    ] {
        let id = chain.store(&taker(&[count]));
        let tensor = v1::Tensor {
            data_type: data_type.into(),
            shape: vec![count],
            data: vec![0; count as usize * data_type.width()],
            ..Default::default()
        };
        let input = v1::Input {
            name: String::new(),
            source: Some(v1::input::Source::Tensor(tensor)),
        };
        let mut request = one_step(id, input);
        // Return nothing large: the price of outputs is another row.
        request.outputs = vec![v1::StepOutput {
            step: 0,
            output: "first".into(),
        }];
        let request = encode(v1::request::Operation::Infer(request));
        answer(&runtime, &mut chain, &request);
        let mut gas = 0;
        let took = time(|| gas = answer(&runtime, &mut chain, &request));
        row(case, took, gas);
    }
}

/// The price and time of a load by a runtime that has nothing ready.
fn load(case: &str, chain: &mut Table, id: u64) {
    let request = encode(v1::request::Operation::ModelInfo(v1::ModelInfoRequest {
        model: model_ref(id),
    }));
    let mut gas = 0;
    let took = time(|| {
        let cold = Runtime::new(Settings {
            cache_bytes: 0,
            ..settings()
        });
        gas = answer(&cold, chain, &request);
    });
    row(case, took, gas);
}

fn loads() {
    for (case, graph) in [
        ("load: smallest model", doubler(-1, 1, true)),
        ("load: 1 MiB of i8 weights", dense(1024, 1024, false)),
        ("load: 1 MiB of i16 weights, one row", dense(524_288, 1, true)),
        ("load: 1 MiB of i8 weights, one column", dense(1, 1 << 20, false)),
        ("load: 16,000 nodes", chain_of_nodes(16_000)),
        ("load: 64,000 labels", labels(64_000)),
    ] {
        let mut chain = Table::new();
        let id = chain.store(&graph);
        load(case, &mut chain, id);
    }
    for (case, graph, shard_bytes) in [
        ("load: smallest model in 111 shards", doubler(-1, 1, true), 2),
        (
            "load: 1 MiB of i8 weights, in 2 shards",
            dense(1024, 1024, false),
            700_000,
        ),
        (
            "load: 1 MiB, one column, in 2 shards",
            dense(1, 1 << 20, false),
            700_000,
        ),
    ] {
        let mut chain = Table::new();
        let id = chain.store_sharded(&whole(&graph), shard_bytes);
        load(case, &mut chain, id);
    }
    let bytes = vec![0x5a; 8 << 20];
    let took = time(|| {
        std::hint::black_box(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    });
    row(
        "load: SHA-256 of 8 MiB (part of every load)",
        took,
        price::load(8 << 20),
    );
}

fn connections() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let first = chain.store(&inflater(1000, 1000));
    let second = chain.store(&taker(&[1000, 1000]));
    let mut plan = one_step(first, integers("x", &[1], &[1]));
    plan.steps.push(step(second, vec![from_step("x", 0, "y")]));
    let request = encode(v1::request::Operation::Infer(plan));
    let mut gas = 0;
    let took = time(|| gas = answer(&runtime, &mut chain, &request));
    row("connect: 1,000,000 elements, with both runs", took, gas);
}

fn outputs() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    for (case, side) in [("output: 1 byte", 1), ("output: 1,000,000 bytes", 1000)] {
        let id = chain.store(&inflater(side, side));
        let request = encode(v1::request::Operation::Infer(one_step(id, integers("", &[1], &[1]))));
        let mut gas = 0;
        let took = time(|| gas = answer(&runtime, &mut chain, &request));
        row(case, took, gas);
    }
}

fn input(shape: &[u32]) -> Input {
    Input {
        name: "x".into(),
        shape: shape.to_vec(),
        fraction_bits: 0,
        low: 0,
        high: 1,
        saturate: true,
    }
}

fn output(name: &str, value: u32) -> Output {
    Output {
        name: name.into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    }
}

/// Takes a tensor and returns its first row: what is returned shall not be what is measured.
fn taker(shape: &[u32]) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(input(shape));
    let value = graph.push(Op::Slice {
        x,
        axis: 0,
        start: 0,
        step: 1,
        length: 1,
    });
    graph.outputs = vec![output("first", value)];
    graph
}

fn dense(inner: usize, outer: usize, wide: bool) -> Graph {
    let count = inner * outer;
    let weights = if wide {
        Array::I16(vec![1; count])
    } else {
        Array::I8(vec![1; count])
    };
    let mut graph = Graph::new();
    let x = graph.input(input(&[1, inner as u32]));
    let rescale = Rescale {
        multipliers: vec![1],
        shifts: vec![20],
        low: 0,
        high: 1,
    };
    let value = graph.push(Op::MatMul {
        x,
        weights,
        bias: vec![],
        rescale,
    });
    graph.outputs = vec![output("y", value)];
    graph
}

fn chain_of_nodes(count: usize) -> Graph {
    let mut graph = Graph::new();
    let mut value = graph.input(input(&[1]));
    for _ in 0..count {
        value = graph.push(Op::Clamp {
            x: value,
            low: 0,
            high: 1,
        });
    }
    graph.outputs = vec![output("y", value)];
    graph
}

fn labels(count: u32) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(input(&[1]));
    let value = graph.push(Op::Clamp { x, low: 0, high: 1 });
    graph.outputs = vec![output("y", value)];
    graph.outputs[0].labels = (0..count).map(|n| format!("{n}")).collect();
    graph
}
