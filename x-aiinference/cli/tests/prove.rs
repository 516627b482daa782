//! The commands of docs/proving.md as they are typed, with ezkl itself: by `make test-zk`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aiinference_convert::Dataset;
use serde_json::{json, Value};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/credit-score/model");

/// A folder with the perceptron of credit-score up to its logit.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk {
            folder: tempfile::tempdir().unwrap(),
        };
        let convert = format!(
            "convert {MODELS}/mlp.onnx --calibration {MODELS}/calibration.npz --labels label --provable --end-at logit \
             -o model.wasm"
        );
        desk.well(&convert);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
        command.current_dir(&self.folder).args(arguments.split_whitespace());
        command.output().unwrap()
    }

    /// Runs what must succeed; what it printed.
    fn well(&self, arguments: &str) -> String {
        let done = self.run(arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    /// Runs what must fail with this code; what it complained of.
    fn ill(&self, code: i32, arguments: &str) -> String {
        let done = self.run(arguments);
        assert_eq!(done.status.code(), Some(code), "{arguments}: {}", text(&done.stdout));
        text(&done.stderr)
    }

    fn edit(&self, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
        let mut value = read(&self.path(from));
        change(&mut value);
        fs::write(self.path(to), value.to_string()).unwrap();
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn a_run_is_proven_and_anything_but_its_own_proof_is_refused() {
    let desk = Desk::new();
    assert!(desk
        .well("prove setup model.wasm -o circuit")
        .contains("proofs of 3616 bytes"));
    let input = format!("--input {MODELS}/test.npz --labels label");
    desk.well(&format!(
        "prove run circuit {input} --sample 3 --output proven.npz --raw --proof proof.json"
    ));
    // The proven integer is that of an ordinary run of all samples.
    desk.well(&format!("run model.wasm {input} --output computed.npz --raw"));
    let logits = |name: &str| {
        let data = Dataset::from_npz(&fs::read(desk.path(name)).unwrap()).unwrap();
        data.get("logit").unwrap().values.clone()
    };
    assert_eq!(logits("proven.npz"), logits("computed.npz")[3..4]);

    // The SRS of this test is a development one: nobody is to take its proofs without knowing.
    let why = desk.ill(1, "prove verify circuit --proof proof.json");
    assert!(why.contains("--any-srs"), "{why}");
    let verify = "prove verify circuit --any-srs --proof";
    assert!(desk.well(&format!("{verify} proof.json")).starts_with("valid:"));

    desk.edit("proof.json", "output.json", |proof| {
        let output = proof["outputs"][0][0].as_i64().unwrap();
        proof["outputs"][0][0] = json!(output + 1);
    });
    desk.edit("proof.json", "input.json", |proof| {
        let input = proof["inputs"][0][5].as_i64().unwrap();
        proof["inputs"][0][5] = json!(input + 1);
    });
    for lie in ["output.json", "input.json"] {
        let why = desk.ill(7, &format!("{verify} {lie}"));
        assert!(why.contains("not valid"), "{why}");
    }
    assert!(desk
        .well("prove check circuit --runs 3")
        .contains("3 runs of the circuit give the engine's bits"));
    desk.ill(1, "prove check circuit --runs 0");
    desk.well("prove module circuit --model-code-id 6 -o circuit.wasm");
    assert!(desk.path("circuit.wasm").metadata().unwrap().len() < 64 << 10);
}

#[test]
#[ignore = "needs ezkl: make test-zk"]
fn hidden_inputs_are_proven_by_their_opening_alone() {
    let desk = Desk::new();
    desk.well("prove setup model.wasm --hash-inputs -o circuit");
    let input = format!("--input {MODELS}/test.npz --labels label --sample 1");
    let hash = desk.well(&format!("prove commit model.wasm {input} --opening opening.json"));
    let why = desk.ill(
        1,
        &format!("prove run circuit {input} --output out.npz --proof proof.json"),
    );
    assert!(why.contains("--opening"), "{why}");
    desk.well("prove run circuit --opening opening.json --output out.npz --proof proof.json");
    let proof = read(&desk.path("proof.json"));
    assert_eq!(proof["inputs_hash"].as_str(), Some(hash.trim()));
    assert!(proof.get("inputs").is_none(), "the inputs stay hidden");
    let verify = "prove verify circuit --any-srs --proof";
    assert!(desk.well(&format!("{verify} proof.json")).contains(hash.trim()));
    // The same inputs again, with another salt: another hash, of which this proof says nothing.
    let other = desk.well(&format!("prove commit model.wasm {input} --opening other.json"));
    assert_ne!(other, hash);
    desk.edit("proof.json", "lie.json", |proof| {
        proof["inputs_hash"] = json!(other.trim());
    });
    desk.ill(7, &format!("{verify} lie.json"));
}
