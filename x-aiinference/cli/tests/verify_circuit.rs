//! The command as it is typed, with ezkl itself: by `make test-zk`.

use std::{fs, path::Path, process::Command};

use aiinference_engine::{
    format,
    graph::{Array, Graph, Input, Op, Output, Rescale},
};
use aiinference_runtime::module::{self, Carried};
use aiinference_types::v1;
use prost::Message;

/// `y = (W . x + 64) >> 7` with two elements on each side.
fn model(weight: i8) -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, 2],
        fraction_bits: 4,
        low: -100,
        high: 100,
        saturate: false,
    });
    let value = graph.push(Op::MatMul {
        x,
        weights: Array::I8(vec![weight, 5, -7, 90]),
        bias: vec![],
        rescale: Rescale {
            multipliers: vec![1],
            shifts: vec![7],
            low: -1000,
            high: 1000,
        },
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 4,
        labels: vec![],
    });
    let encoded = format::encode(&graph);
    module::wrap(&encoded.graph, &encoded.weights)
}

/// Exit code, stdout, stderr.
fn aiinference(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_aiinference"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn the_exit_code_tells_whether_a_stored_circuit_is_its_models() {
    let desk = tempfile::tempdir().unwrap();
    let place = |name: &str| desk.path().join(name);
    fs::write(place("model.wasm"), model(60)).unwrap();
    fs::write(place("other.wasm"), model(61)).unwrap();
    let run = |arguments: &str| aiinference(desk.path(), &arguments.split(' ').collect::<Vec<_>>());
    let made = run("prove setup model.wasm -o circuit");
    assert_eq!(made.0, 0, "{}", made.2);
    assert_eq!(run("prove module circuit --model-code-id 7 -o circuit.wasm").0, 0);

    let command = "verify-circuit circuit.wasm --file --any-srs --srs circuit/kzg.srs";
    let (code, said, why) = run(&format!("{command} --model model.wasm"));
    assert_eq!(code, 0, "{said}{why}");
    assert!(said.contains("reproducible  yes"), "{said}");

    let (code, said, _) = run(&format!("{command} --model other.wasm --json"));
    assert_eq!(code, 8);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["reproducible"], false);
    assert_eq!(told["differences"][0]["part"], "checksum of the model");

    // The key of one model under the name of another: what a thief of trust would store.
    let stored = fs::read(place("circuit.wasm")).unwrap();
    let Ok(Carried::Circuit(section)) = module::carried(&stored) else {
        panic!("no circuit");
    };
    let mut lie = v1::Circuit::decode(section).unwrap();
    lie.models[0].checksum = <sha2::Sha256 as sha2::Digest>::digest(model(61)).to_vec();
    fs::write(place("circuit.wasm"), module::wrap_circuit(&lie)).unwrap();
    let (code, said, _) = run(&format!("{command} --model other.wasm"));
    assert_eq!(code, 8);
    assert!(said.contains("words of the key"), "{said}");

    // A model is no circuit, and a development SRS is refused unless it is asked for: neither is a verdict.
    assert_eq!(
        run("verify-circuit model.wasm --file --model model.wasm --srs circuit/kzg.srs").0,
        1
    );
    let (code, _, why) = run("verify-circuit circuit.wasm --file --model other.wasm --srs circuit/kzg.srs");
    assert_eq!(code, 1);
    assert!(why.contains("powers of tau"), "{why}");
    assert_eq!(run("verify-circuit circuit.wasm --file --srs circuit/kzg.srs").0, 2);
}
