//! Stored circuits, made again: with ezkl itself, by `make test-zk`.

mod common;

use std::path::Path;

use aiinference_types::v1;
use aiinference_zk::{rebuild, CircuitError, CircuitFolder, Hidden, SetupOptions, Tool};
use common::{smallest, tiny, wasm};

fn say(step: &str) {
    eprintln!("{step}");
}

/// Any SRS, as these are made for the tests.
fn any_srs() -> SetupOptions {
    SetupOptions {
        any_srs: true,
        ..SetupOptions::default()
    }
}

/// The parts that differ.
fn parts(tool: &Tool, stored: &v1::Circuit, model: &[u8], srs: &Path) -> Vec<String> {
    let differences = rebuild(tool, stored, model, srs, &any_srs(), &mut say).unwrap();
    differences.into_iter().map(|difference| difference.part).collect()
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_circuit_is_what_its_model_makes_and_every_lie_about_it_is_told() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let model = wasm(&smallest());
    let folder = CircuitFolder::setup(&tool, &model, desk.path(), &SetupOptions::default(), &mut say).unwrap();
    let stored = folder.0.circuit(Some(7)).unwrap();
    let srs = desk.path().join("kzg.srs");
    assert_eq!(parts(&tool, &stored, &model, &srs), [""; 0]);

    // Formats and lengths that do not lie in the key.
    let mut lies = stored.clone();
    let output = lies.instances.last_mut().unwrap();
    output.fraction_bits += 1;
    lies.proof_bytes += 32;
    lies.verifying_key[30 * 32 + 31] ^= 1;
    let output = format!("public value {}", lies.instances.len() - 1);
    assert_eq!(
        parts(&tool, &lies, &model, &srs),
        [
            output.as_str(),
            "bytes of a proof",
            "1 words of the key, the first of them word 30"
        ]
    );

    // What is not even said to be of this model is told without ezkl.
    let other = wasm(&tiny(1));
    assert_eq!(parts(&tool, &stored, &other, &srs), ["checksum of the model"]);
    let mut unpublished = folder.0.circuit(None).unwrap();
    assert_eq!(
        parts(&tool, &unpublished, &model, &srs),
        ["reproducible, as its owner says", "number of models"]
    );
    // A circuit that says no more than it must, but names its model.
    unpublished.models = stored.models.clone();
    assert_eq!(
        parts(&tool, &unpublished, &model, &srs),
        ["reproducible, as its owner says"]
    );

    // A development SRS is taken only if that is said.
    let refused = rebuild(&tool, &stored, &model, &srs, &SetupOptions::default(), &mut say);
    assert!(matches!(refused, Err(CircuitError::Srs { .. })), "{refused:?}");
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn hidden_inputs_are_made_again_as_such() {
    let tool = Tool::prepare(&mut say).unwrap();
    let desk = tempfile::tempdir().unwrap();
    let model = wasm(&smallest());
    let hiding = SetupOptions {
        hidden: Hidden::Inputs,
        ..SetupOptions::default()
    };
    let (folder, _) = CircuitFolder::setup(&tool, &model, desk.path(), &hiding, &mut say).unwrap();
    let stored = folder.circuit(Some(7)).unwrap();
    assert_eq!(parts(&tool, &stored, &model, &desk.path().join("kzg.srs")), [""; 0]);
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn another_srs_makes_another_circuit() {
    let tool = Tool::prepare(&mut say).unwrap();
    let model = wasm(&smallest());
    let [mine, other] = [0, 1].map(|_| {
        let desk = tempfile::tempdir().unwrap();
        let options = SetupOptions::default();
        let (folder, _) = CircuitFolder::setup(&tool, &model, desk.path(), &options, &mut say).unwrap();
        (desk, folder)
    });
    // Whoever made the other one, by another trapdoor, could forge.
    let stored = mine.1.circuit(Some(7)).unwrap();
    let differing = parts(&tool, &stored, &model, &other.0.path().join("kzg.srs"));
    assert_eq!(differing[0], "SRS");
    assert!(differing[1].contains("words of the key"), "{differing:?}");
    assert_eq!(differing.len(), 2);
}
