//! With ezkl itself: run by `make test-zk`, since it installs the tool and takes seconds a proof.

mod common;

use std::path::Path;

use aiinference_engine::graph::Graph;
use aiinference_runtime::module;
use aiinference_verifier::Circuit;
use aiinference_zk::{samples, CircuitError, CircuitFolder, Proof, SetupOptions, Tool};
use common::{convolutional, credit, digits_sized, wasm};

fn say(step: &str) {
    eprintln!("{step}");
}

/// Runs compared, and proofs made, for each model; `make zk-full` asks for thousands and ten.
fn counts() -> (usize, usize) {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    (number("ZK_WITNESSES", 40), number("ZK_PROOFS", 1))
}

fn circuit(tool: &Tool, graph: &Graph, path: &Path) -> CircuitFolder {
    let options = SetupOptions::default();
    let (folder, timings) = CircuitFolder::setup(tool, &wasm(graph), path, &options, &mut say).unwrap();
    for t in timings {
        eprintln!(
            "  {:<36} {:>8.2} s of CPU {:>6} MiB",
            t.name,
            t.cpu_seconds,
            t.peak_kib / 1024
        );
    }
    folder
}

fn prove(tool: &Tool, folder: &CircuitFolder, sample: usize) -> Proof {
    let inputs = samples(folder.program().inputs(), sample + 1).swap_remove(sample);
    let (proof, timings) = folder.prove(tool, &inputs, &mut say).unwrap();
    for t in timings {
        eprintln!(
            "  {:<36} {:>8.2} s of CPU {:>6} MiB",
            t.name,
            t.cpu_seconds,
            t.peak_kib / 1024
        );
    }
    proof
}

/// Whether a proof is taken, by the chain's verifier and by ezkl, which must agree; what does not even fit the circuit
/// is not.
fn accepted(tool: &Tool, folder: &CircuitFolder, proof: &Proof) -> bool {
    match folder.verify(proof) {
        Ok(valid) => {
            assert_eq!(valid, folder.verify_by_ezkl(tool, proof, &mut say).unwrap());
            valid
        }
        Err(CircuitError::Proof(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

fn proven_to_the_last_bit(graph: &Graph) {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = circuit(&tool, graph, desk.path());
    let (witnesses, proofs) = counts();
    folder.compare(&tool, witnesses, &mut say).unwrap();
    for sample in 0..proofs {
        let proof = prove(&tool, &folder, sample);
        assert!(accepted(&tool, &folder, &proof));
    }
    assert!(folder.manifest().srs.development);
    let stored = folder.module(7).unwrap();
    let Ok(module::Carried::Circuit(section)) = module::carried(&stored) else {
        panic!("the module carries no circuit")
    };
    let stored = Circuit::decode(section).unwrap();
    assert_eq!(stored.models()[0].code_id, 7);
    assert_eq!(
        hex::encode(stored.models()[0].checksum),
        folder.manifest().model_checksum
    );
    assert!(stored.reproducible());
    // Opened again it is the same circuit.
    let opened = CircuitFolder::open(desk.path()).unwrap();
    assert_eq!(opened.manifest(), folder.manifest());
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn the_credit_model_is_proven_to_the_last_bit() {
    proven_to_the_last_bit(&credit().graph);
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_perceptron_for_digits_is_proven_to_the_last_bit() {
    proven_to_the_last_bit(&digits_sized());
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_convolutional_network_is_proven_to_the_last_bit() {
    proven_to_the_last_bit(&convolutional());
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn no_other_integers_are_accepted_with_a_proof() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = circuit(&tool, &digits_sized(), desk.path());
    let honest = prove(&tool, &folder, 5);
    assert!(accepted(&tool, &folder, &honest));
    // Another rounding moves an output by one unit, in either direction.
    for by in [-1, 1] {
        for output in 0..honest.outputs[0].len() {
            let mut other = honest.clone();
            other.outputs[0][output] += by;
            assert!(!accepted(&tool, &folder, &other), "output {output} moved by {by}");
        }
    }
    let mut other = honest.clone();
    other.inputs[0][3] ^= 1;
    assert!(!accepted(&tool, &folder, &other), "another input");
    let mut other = honest.clone();
    other.inputs[0].swap(0, 1);
    assert!(
        other.inputs == honest.inputs || !accepted(&tool, &folder, &other),
        "inputs swapped"
    );
    let mut other = honest.clone();
    other.inputs[0][3] = 17;
    assert!(!accepted(&tool, &folder, &other), "an input out of range");
    let mut other = honest.clone();
    other.outputs[0].pop();
    assert!(!accepted(&tool, &folder, &other), "an output dropped");
    for (what, proof) in [
        ("longer", honest.proof.clone() + "00"),
        ("shorter", honest.proof[2..].to_string()),
        ("no hex", honest.proof.replacen(|_| true, "x", 1)),
        ("zeros", "0".repeat(honest.proof.len())),
    ] {
        let other = Proof {
            proof,
            ..honest.clone()
        };
        assert!(!accepted(&tool, &folder, &other), "{what}");
    }
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_prover_that_rounds_otherwise_has_no_proof() {
    let tool = Tool::prepare(&mut say).unwrap();
    let (honest, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let graph = digits_sized();
    let folder = circuit(&tool, &graph, honest.path());
    // The same model but for the rounding of its last layer: down instead of to the nearest. It is a circuit of its
    // own, and its proofs are valid there only.
    let mut rounding = graph.clone();
    let aiinference_engine::graph::Op::MatMul { bias, .. } = &mut rounding.nodes[1] else {
        panic!("the last layer is a MatMul")
    };
    bias.iter_mut().for_each(|b| *b -= 64);
    let dishonest = circuit(&tool, &rounding, other.path());
    let differing = (3..200).find(|sample| {
        let inputs = samples(folder.program().inputs(), sample + 1).swap_remove(*sample);
        let run = |f: &CircuitFolder| f.program().run(&[&inputs[0]], &aiinference_engine::Kernels::auto());
        run(&folder).unwrap() != run(&dishonest).unwrap()
    });
    let forged = prove(&tool, &dishonest, differing.unwrap());
    assert!(accepted(&tool, &dishonest, &forged));
    let renamed = Proof {
        model_checksum: folder.manifest().model_checksum.clone(),
        vka_sha256: folder.manifest().vka_sha256.clone(),
        ..forged
    };
    assert!(!accepted(&tool, &folder, &renamed));
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_circuit_made_again_with_its_srs_is_the_same_circuit() {
    let tool = Tool::prepare(&mut say).unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = circuit(&tool, &digits_sized(), first.path());
    let mut options = SetupOptions {
        srs: Some(first.path().join("kzg.srs")),
        ..SetupOptions::default()
    };
    let model = wasm(&digits_sized());
    let refused = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut say).unwrap_err();
    assert!(
        refused.to_string().contains("not the perpetual powers of tau"),
        "{refused}"
    );
    options.any_srs = true;
    // Several times, since ezkl's own order is another one by chance.
    for _ in 0..5 {
        let (two, _) = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut say).unwrap();
        assert_eq!(one.manifest(), two.manifest());
        assert_eq!(one.vka().unwrap(), two.vka().unwrap());
    }
    options.srs_sha256 = Some([0; 32]);
    let refused = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut say).unwrap_err();
    assert!(refused.to_string().contains("SHA-256"), "{refused}");
}
