//! What proofs cost: `make zk-figures` prints the table of docs/proving.md.

mod common;

use std::time::{Duration, Instant};

use aiinference_engine::graph::{Graph, Op, Window};
use aiinference_runtime::{module, Answer, Chain, ChainError, NodeFault, Runtime, Settings};
use aiinference_types::{
    abi::MAGIC,
    v1::{self, request::Operation, response::Result as Outcome},
};
use aiinference_zk::{samples, CircuitFolder, Proof, SetupOptions, Timing, Tool};
use common::*;
use prost::Message;
use sha2::{Digest, Sha256};

/// CosmWasm gas in a unit of the SDK's.
const SDK_GAS: u64 = 140_000;

/// A chain with one module.
struct OneModule(Vec<u8>);

impl Chain for OneModule {
    fn code_checksum(&mut self, _code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        (Ok(self.own_checksum()), 0)
    }

    fn own_checksum(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn module_size(&self, _checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        Ok(self.0.len() as u64)
    }

    fn module_bytes(&self, _checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        Ok(self.0.clone())
    }
}

/// An 8-bit perceptron of these extents.
fn perceptron(extents: &[u32], high: i32) -> Graph {
    let mut numbers = Numbers(2026);
    let mut graph = Graph::new();
    let mut x = graph.input(input(&[1, extents[0]], 0, high));
    for (layer, pair) in extents.windows(2).enumerate() {
        let low = if layer + 2 == extents.len() { -32767 } else { 0 };
        x = graph.push(Op::MatMul {
            x,
            weights: numbers.i8s((pair[0] * pair[1]) as usize),
            bias: numbers.list(pair[1] as usize, -4000, 4000),
            rescale: shift(8, low, 32767),
        });
    }
    graph.outputs.push(output(x));
    graph
}

/// A convolutional network for 8 x 8 digits: 4 and 8 channels, then 10 classes.
fn digits_cnn() -> Graph {
    let mut numbers = Numbers(8);
    let mut graph = Graph::new();
    let mut x = graph.input(input(&[1, 1, 8, 8], 0, 16));
    for (from, to, stride, s) in [(1, 4, 1, 7), (4, 8, 2, 8)] {
        x = graph.push(Op::Conv2d {
            x,
            weights: numbers.i8s(from * to * 9),
            channels: to as u32,
            bias: numbers.list(to, -500, 500),
            window: Window {
                kernel: [3, 3],
                strides: [stride, stride],
                dilations: [1, 1],
                pads: [1, 1, 1, 1],
            },
            groups: 1,
            rescale: shift(s, 0, 255),
        });
    }
    let flat = graph.push(Op::Reshape { x, shape: vec![1, 128] });
    let y = graph.push(Op::MatMul {
        x: flat,
        weights: numbers.i8s(128 * 10),
        bias: numbers.list(10, -500, 500),
        rescale: shift(7, -32767, 32767),
    });
    graph.outputs.push(output(y));
    graph
}

/// The request by which a contract has this proof checked.
fn request(folder: &CircuitFolder, proof: &Proof) -> Vec<u8> {
    let manifest = folder.manifest();
    let tensors = |ports: &[aiinference_zk::Port], values: &[Vec<i32>]| -> Vec<v1::Tensor> {
        let tensor = |(port, values): (&aiinference_zk::Port, &Vec<i32>)| {
            let (name, shape) = (port.name.clone(), port.shape.clone());
            v1::Tensor::from_integers(name, shape, port.fraction_bits, port.low, port.high, values)
        };
        ports.iter().zip(values).map(tensor).collect()
    };
    let verify = v1::VerifyRequest {
        circuit: Some(v1::ModelRef {
            reference: Some(v1::model_ref::Reference::CodeId(1)),
            checksum: vec![],
        }),
        proof: hex::decode(&proof.proof).unwrap(),
        inputs: tensors(&manifest.inputs, &proof.inputs),
        outputs: tensors(&manifest.outputs, &proof.outputs),
        accepted_srs: vec![hex::decode(&manifest.srs.id).unwrap()],
        ..Default::default()
    };
    let operation = Some(Operation::Verify(verify));
    [&MAGIC[..], &v1::Request { operation }.encode_to_vec()].concat()
}

/// Least time of one check, and its gas.
fn verify(chain: &mut OneModule, request: &[u8]) -> (Duration, u64) {
    let runtime = Runtime::new(Settings::default());
    let mut least = Duration::MAX;
    let mut paid = 0;
    for _ in 0..20 {
        let begin = Instant::now();
        let answer = runtime.answer(request, u64::MAX, chain);
        least = least.min(begin.elapsed());
        let Answer::Done { response, gas, .. } = answer else {
            panic!("not answered: {answer:?}");
        };
        match v1::Response::decode(response.as_slice()).unwrap().result {
            Some(Outcome::Verify(verdict)) => assert!(verdict.valid),
            other => panic!("no verdict: {other:?}"),
        }
        paid = gas;
    }
    (least, paid)
}

fn sum(timings: &[Timing]) -> (f64, f64, u64) {
    timings.iter().fold((0.0, 0.0, 0), |(seconds, cpu, peak), t| {
        (seconds + t.seconds, cpu + t.cpu_seconds, peak.max(t.peak_kib / 1024))
    })
}

#[test]
#[ignore = "needs ezkl, minutes and 2 GB of memory: make zk-figures"]
fn figures() {
    let tool = Tool::prepare(&mut |_| ()).unwrap();
    let only = std::env::var("ZK_FIGURES").unwrap_or_default();
    println!("| model | rows | setup | prove | proof | key | verify | EVM gas | SDK gas |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, wasm) in [
        ("credit MLP 18-24-1", wasm(&credit().graph)),
        ("digits MLP 64-32-10", wasm(&perceptron(&[64, 32, 10], 16))),
        ("digits CNN, 4 and 8 channels", wasm(&digits_cnn())),
        ("MNIST-size MLP 784-128-10", wasm(&perceptron(&[784, 128, 10], 255))),
    ] {
        if !name.contains(&only) {
            continue;
        }
        let place = tempfile::tempdir().unwrap();
        let options = SetupOptions::default();
        let (folder, setup) = CircuitFolder::setup(&tool, &wasm, place.path(), &options, &mut |_| ()).unwrap();
        // The setup's timings end with its first proof.
        let inputs = samples(folder.program().inputs(), 4).swap_remove(3);
        let (proof, proving) = folder.prove(&tool, &inputs, &mut |_| ()).unwrap();
        let setup = sum(&setup[..setup.len() - proving.len()]);
        let proving = sum(&proving);
        let circuit = folder.module(Some(1)).unwrap();
        let module::Carried::Circuit(section) = module::carried(&circuit).unwrap() else {
            panic!("no circuit");
        };
        let checked = aiinference_verifier::Circuit::decode(section).unwrap();
        let bytes = hex::decode(&proof.proof).unwrap();
        let verdict = aiinference_verifier::verify(&checked, &bytes, &proof.instances().unwrap()).unwrap();
        let key = checked.key().len() * 32;
        let (took, gas) = verify(&mut OneModule(circuit), &request(&folder, &proof));
        println!(
            "| {name} | 2^{} | {:.1} s ({:.1} s CPU), {} MiB | {:.1} s ({:.1} s CPU), {} MiB | {} B | {key} B | {:.1} ms | {} | {} |",
            folder.manifest().settings.logrows,
            setup.0,
            setup.1,
            setup.2,
            proving.0,
            proving.1,
            proving.2,
            bytes.len(),
            took.as_secs_f64() * 1000.0,
            verdict.evm_gas,
            gas / SDK_GAS,
        );
    }
}
