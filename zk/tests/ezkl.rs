//! With ezkl itself: run by `make test-zk`, since it installs the tool and takes seconds a proof.

mod common;

use std::{fs, path::Path};

use aiinference_engine::{
    graph::{Graph, Op},
    Kernels,
};
use aiinference_runtime::module;
use aiinference_types::v1;
use aiinference_verifier::Circuit;
use aiinference_zk::{
    samples, Cancel, CircuitError, CircuitFolder, Hidden, Opening, Proof, Salt, SetupOptions, Tool, ToolError,
};
use common::{convolutional, credit, digits_sized, pixels, rows, smallest, tiny, two_documents, wasm};

fn say(step: &str) {
    eprintln!("{step}");
}

/// Runs compared, and proofs made, for each model; `make zk-full` asks for thousands and ten.
fn counts() -> (usize, usize) {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    (number("ZK_WITNESSES", 40), number("ZK_PROOFS", 1))
}

fn circuit(tool: &Tool, graph: &Graph, path: &Path) -> CircuitFolder {
    hiding(tool, graph, path, Hidden::Nothing)
}

fn hiding(tool: &Tool, graph: &Graph, path: &Path, hidden: Hidden) -> CircuitFolder {
    let options = SetupOptions {
        hidden,
        ..SetupOptions::default()
    };
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
    let stored = folder.module(Some(7)).unwrap();
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
fn the_smallest_models_are_proven_to_the_last_bit() {
    for graph in [smallest(), rows(), pixels(), tiny(1), two_documents()] {
        proven_to_the_last_bit(&graph);
    }
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
    other.model_checksum = "0".repeat(64);
    assert!(!accepted(&tool, &folder, &other), "another model");
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

/// Whether another circuit's run is taken for one of a circuit with the same layout: its real witness, proven by the key.
fn fooled(tool: &Tool, honest: &CircuitFolder, other: &CircuitFolder, opening: &Opening) -> bool {
    assert_eq!(honest.manifest().settings, other.manifest().settings, "layouts");
    let forged = other.forge(honest, tool, opening).unwrap();
    // The integers fit: nothing but the proof itself can be wrong.
    honest.verify(&forged).unwrap()
}

fn open(inputs: Vec<Vec<i32>>) -> Opening {
    Opening {
        inputs,
        salt: Salt::from_bytes([5; 31]),
    }
}

/// The same model but for the rounding of its last layer: down instead of to the nearest.
fn rounded_down(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let Some(Op::MatMul { bias, rescale, .. } | Op::Conv2d { bias, rescale, .. }) = graph.nodes.last_mut() else {
        panic!("the last layer has a bias")
    };
    let half = 1 << (rescale.shifts[0] - 1);
    bias.iter_mut().for_each(|b| *b -= half);
    graph
}

fn other_roundings_have_no_proof(graph: &Graph) {
    let tool = Tool::prepare(&mut say).unwrap();
    let (desk, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = circuit(&tool, graph, desk.path());
    // Every product is computed in the circuit; ezkl would rather check some at random points, which binds nothing.
    let settings = fs::read(desk.path().join("settings.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
    assert_eq!(settings["run_args"]["disable_freivalds"], true);
    assert_eq!(settings["einsum_params"]["total_einsum_col_size"], 0);
    let dishonest = circuit(&tool, &rounded_down(graph), elsewhere.path());
    let run = |f: &CircuitFolder, inputs: &[i32]| f.program().run(&[inputs], &Kernels::auto()).unwrap();
    let differing = samples(folder.program().inputs(), 200).into_iter().find(|inputs| {
        let (one, two) = (run(&folder, &inputs[0]), run(&dishonest, &inputs[0]));
        one != two && one[0].iter().zip(&two[0]).all(|(a, b)| (a - b).abs() <= 1)
    });
    let opening = open(differing.unwrap());
    // By this very way an honest run is proven.
    assert!(fooled(&tool, &folder, &folder, &opening));
    assert!(!fooled(&tool, &folder, &dishonest, &opening));
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_prover_that_rounds_otherwise_has_no_proof() {
    other_roundings_have_no_proof(&tiny(1));
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn products_of_several_rows_are_as_bound_as_of_one() {
    other_roundings_have_no_proof(&rows());
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn products_of_pixels_are_as_bound_as_of_rows() {
    other_roundings_have_no_proof(&pixels());
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
    let mut steps = vec![];
    let mut note = |step: &str| steps.push(step.to_string());
    let refused = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut note).unwrap_err();
    assert_eq!(steps.len(), 1, "refused before ezkl starts: {steps:?}");
    assert!(
        refused.to_string().contains("not the perpetual powers of tau"),
        "{refused}"
    );
    options.any_srs = true;
    // Several times, since ezkl's own order is another one by chance.
    for _ in 0..3 {
        let (two, _) = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut say).unwrap();
        assert_eq!(one.manifest(), two.manifest());
        assert_eq!(one.vka().unwrap(), two.vka().unwrap());
    }
    // Half a file is none, and is refused before keys are made.
    let whole = fs::read(first.path().join("kzg.srs")).unwrap();
    let half = second.path().with_extension("srs");
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let cut = SetupOptions {
        srs: Some(half.clone()),
        ..options.clone()
    };
    let refused = CircuitFolder::setup(&tool, &model, second.path(), &cut, &mut |_| {}).unwrap_err();
    fs::remove_file(&half).unwrap();
    assert!(refused.to_string().contains("no SRS"), "{refused}");
    options.srs_sha256 = Some([0; 32]);
    let refused = CircuitFolder::setup(&tool, &model, second.path(), &options, &mut say).unwrap_err();
    assert!(refused.to_string().contains("SHA-256"), "{refused}");
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn an_identity_is_proven_by_who_holds_it() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = hiding(&tool, &two_documents(), desk.path(), Hidden::Inputs);
    let (witnesses, proofs) = counts();
    folder.compare(&tool, witnesses, &mut say).unwrap();
    for inputs in samples(folder.program().inputs(), proofs) {
        let opening = Opening::new(inputs).unwrap();
        let (proof, _) = folder.prove_hidden(&tool, &opening, &mut say).unwrap();
        assert!(accepted(&tool, &folder, &proof));
    }
    // The holder commits; the chain sees the hash, then the proof of it.
    let opening = Opening::new(vec![vec![30_000, 39_999], vec![-3, 7]]).unwrap();
    let (proof, _) = folder.prove_hidden(&tool, &opening, &mut say).unwrap();
    assert_eq!(proof.outputs, [vec![1], vec![0, 3]]);
    assert_eq!(proof.inputs_hash, Some(hex::encode(opening.hash().unwrap())));
    assert!(proof.inputs.is_empty());
    assert!(accepted(&tool, &folder, &proof));
    // A document that has expired, of the same person.
    let expired = Opening::new(vec![vec![30_000, 38_569], vec![-3, 7]]).unwrap();
    let (other, _) = folder.prove_hidden(&tool, &expired, &mut say).unwrap();
    assert_eq!(other.outputs[0], [0]);
    // Neither its output nor its hash goes with the first proof, nor a hash with another salt.
    let salted = Opening {
        salt: Salt::from_bytes([1; 31]),
        ..opening.clone()
    };
    let forged = [
        Proof {
            outputs: proof.outputs.clone(),
            ..other.clone()
        },
        Proof {
            inputs_hash: proof.inputs_hash.clone(),
            ..other.clone()
        },
        Proof {
            inputs_hash: other.inputs_hash.clone(),
            ..proof.clone()
        },
        Proof {
            inputs_hash: Some(hex::encode(salted.hash().unwrap())),
            ..proof.clone()
        },
        Proof {
            inputs_hash: None,
            inputs: opening.inputs.clone(),
            ..proof.clone()
        },
    ];
    for (index, forged) in forged.iter().enumerate() {
        assert!(!accepted(&tool, &folder, forged), "forgery {index}");
    }
    let refused = folder.prove(&tool, &opening.inputs, &mut say).unwrap_err();
    assert!(matches!(refused, CircuitError::Hidden { .. }), "{refused}");
    // What a chain stores says the same.
    let stored = folder.module(Some(7)).unwrap();
    let Ok(module::Carried::Circuit(section)) = module::carried(&stored) else {
        panic!("the module carries no circuit")
    };
    let stored = Circuit::decode(section).unwrap();
    assert!(stored.reproducible());
    let opened = CircuitFolder::open(desk.path()).unwrap();
    assert_eq!(opened.manifest(), folder.manifest());
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn hidden_inputs_out_of_range_have_no_proof() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = hiding(&tool, &two_documents(), desk.path(), Hidden::Inputs);
    let opening = |days: [i32; 2], other: [i32; 2]| Opening {
        inputs: vec![days.to_vec(), other.to_vec()],
        salt: Salt::from_bytes([9; 31]),
    };
    let outside = [
        opening([-1, 40_000], [-3, 7]),
        opening([0, 40_001], [-3, 7]),
        opening([0, 40_000], [-4, 7]),
        opening([0, 40_000], [-3, 8]),
        // One too low and one too high do not cancel out.
        opening([-1, 40_001], [-3, 7]),
    ];
    // ezkl finds no witness by itself ..
    folder.prove_unchecked(&tool, &opening([0, 40_000], [-3, 7])).unwrap();
    for inputs in [
        &outside[..],
        &[opening([0, i32::MAX], [-3, 7]), opening([i32::MIN, 0], [-3, 7])],
    ]
    .concat()
    {
        let refused = folder.prove_unchecked(&tool, &inputs).unwrap_err();
        assert!(
            matches!(&refused, CircuitError::Tool(ToolError::Failed { reason, .. }) if reason.contains("witness")),
            "{refused}"
        );
        // (who asks by the front door is told by the engine)
        let refused = folder.prove_hidden(&tool, &inputs, &mut say).unwrap_err();
        assert!(matches!(refused, CircuitError::Run(_)), "{refused}");
    }
    // .. and the witness of a circuit with wider ranges satisfies all other constraints, but not this circuit's.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut wider = two_documents();
    for input in &mut wider.inputs {
        (input.low, input.high) = (input.low - 1, input.high + 1);
    }
    let wider = hiding(&tool, &wider, elsewhere.path(), Hidden::Inputs);
    let ends = opening([0, 40_000], [-3, 7]);
    assert!(fooled(&tool, &folder, &folder, &ends));
    for inputs in &outside {
        assert!(!fooled(&tool, &folder, &wider, inputs));
    }
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn two_callers_get_evidence_of_the_same_hidden_weights() {
    let tool = Tool::prepare(&mut say).unwrap();
    let (desk, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = hiding(&tool, &tiny(1), desk.path(), Hidden::Weights);
    let (witnesses, proofs) = counts();
    folder.compare(&tool, witnesses, &mut say).unwrap();
    for sample in 0..proofs {
        assert!(accepted(&tool, &folder, &prove(&tool, &folder, sample)));
    }
    let (ann, ben) = (prove(&tool, &folder, 5), prove(&tool, &folder, 6));
    assert_ne!(ann.inputs, ben.inputs);
    assert!(accepted(&tool, &folder, &ann) && accepted(&tool, &folder, &ben));
    // Both proofs show one hash, which is the circuit's.
    assert!(ann.weights_hash.is_some());
    assert_eq!(ann.weights_hash, ben.weights_hash);
    assert_eq!(ann.weights_hash, folder.manifest().weights_hash);
    // The owner cannot answer the second caller by other weights: they have another hash.
    let options = SetupOptions {
        srs: Some(desk.path().join("kzg.srs")),
        any_srs: true,
        hidden: Hidden::Weights,
        ..SetupOptions::default()
    };
    let (other, _) = CircuitFolder::setup(&tool, &wasm(&tiny(2)), elsewhere.path(), &options, &mut say).unwrap();
    assert_ne!(other.manifest().weights_hash, folder.manifest().weights_hash);
    let forged = Proof {
        model_checksum: ben.model_checksum.clone(),
        vka_sha256: ben.vka_sha256.clone(),
        weights_hash: ben.weights_hash.clone(),
        ..prove(&tool, &other, 6)
    };
    assert!(!accepted(&tool, &folder, &forged));
    // Its outputs neither.
    let mut moved = ann.clone();
    moved.outputs[0][0] += 1;
    assert!(!accepted(&tool, &folder, &moved));
    // On chain it stands for no model that anyone could look up.
    assert!(matches!(folder.module(Some(7)), Err(CircuitError::Unpublished)));
    let stored = folder.circuit(None).unwrap();
    assert!(!stored.reproducible && stored.models.is_empty());
    eprintln!(
        "  keys of two models of one shape are the same: {}",
        other.manifest().vka_sha256 == folder.manifest().vka_sha256
    );
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn weights_that_nobody_publishes_make_a_circuit_that_says_so() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = circuit(&tool, &tiny(3), desk.path());
    let carried = |wasm: &[u8]| match module::carried(wasm) {
        Ok(module::Carried::Circuit(section)) => Circuit::decode(section).unwrap(),
        _ => panic!("the module carries no circuit"),
    };
    let unpublished = carried(&folder.module(None).unwrap());
    assert!(!unpublished.reproducible() && unpublished.models().is_empty());
    let published = carried(&folder.module(Some(7)).unwrap());
    assert!(published.reproducible());
    assert_ne!(folder.checksum(None).unwrap(), folder.checksum(Some(7)).unwrap());
    // The key, and so the proofs, are the same.
    assert_eq!(unpublished.key(), published.key());
    assert!(accepted(&tool, &folder, &prove(&tool, &folder, 4)));
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_cancelled_proof_ends_at_once_and_leaves_the_circuit_usable() {
    let desk = tempfile::tempdir().unwrap();
    let tool = Tool::prepare(&mut say).unwrap();
    let folder = circuit(&tool, &tiny(4), desk.path());
    let cancel = Cancel::default();
    let stopped = tool.cancelled_by(&cancel);
    let inputs = samples(folder.program().inputs(), 1).swap_remove(0);
    // Pulled as soon as the child says that it works.
    let refused = folder.prove(&stopped, &inputs, &mut |_| cancel.cancel()).unwrap_err();
    assert!(
        matches!(refused, CircuitError::Tool(ToolError::Cancelled { .. })),
        "{refused}"
    );
    let refused = folder.prove(&stopped, &inputs, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, CircuitError::Tool(ToolError::Cancelled { .. })));
    assert!(accepted(&tool, &folder, &prove(&tool, &folder, 0)));
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn tensors_of_requests_become_the_models_integers() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let folder = circuit(&tool, &two_documents(), desk.path());
    let tensor = |name: &str, shape: &[u32], values: &[i32]| {
        v1::Tensor::from_integers(name.into(), shape.to_vec(), 0, -1, 50_000, values)
    };
    let days = tensor("days", &[2], &[5, 40_000]);
    let other = tensor("other", &[2], &[-1, 7]);
    let inputs = folder.inputs(&[other.clone(), days.clone()]).unwrap();
    assert_eq!(inputs, [vec![5, 40_000], vec![-1, 7]]);
    for wrong in [
        vec![days.clone()],
        vec![days.clone(), days.clone()],
        vec![days.clone(), tensor("other", &[3], &[1, 2, 3])],
        vec![days.clone(), tensor("other", &[2], &[1, 8])],
        vec![days.clone(), other.clone(), other.clone()],
        vec![
            days.clone(),
            v1::Tensor {
                data: vec![],
                ..other.clone()
            },
        ],
    ] {
        let refused = folder.inputs(&wrong).unwrap_err();
        assert!(
            matches!(refused, CircuitError::Inputs(_) | CircuitError::Tensor { .. }),
            "{refused}"
        );
    }
    let (proof, _) = folder.prove(&tool, &inputs, &mut say).unwrap();
    let outputs = folder.outputs(&proof);
    assert_eq!(outputs[0].integers().unwrap(), [1]);
    assert_eq!(
        (outputs[1].name.as_str(), outputs[1].integers().unwrap()),
        ("score", vec![0, 3])
    );
    assert_eq!(proof.bytes().unwrap().len() as u64, folder.manifest().proof_bytes);
}
