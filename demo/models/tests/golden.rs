//! Golden vectors of the shipped models: module, inputs, outputs. They hold the meaning of op-set 1, and of its drafts, in place.
//!
//! All vectors in the folder are replayed, those of models that were replaced since, too. `golden/<name>.wasm` is the module as it was converted, `golden/<name>.txt` inputs and outputs of some runs, as the
//! engine's integers (long outputs by the SHA-256 of their little-endian 32-bit integers). They are written once, by
//! `AIINFERENCE_WRITE_GOLDEN=1 cargo test --workspace --release --test golden -- --ignored`, which never overwrites a file: a model
//! that changes gets new vectors under a new name, and the old ones stay.

use std::{fmt::Write, fs, path::PathBuf};

use aiinference_demo_models as models;
use aiinference_engine::Kernels;
use aiinference_runtime::LoadedModel;
use sha2::{Digest, Sha256};

/// Runs kept of each model.
const RUNS: usize = 8;
/// Longer outputs are kept as a hash.
const LONG: usize = 256;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn load(wasm: &[u8]) -> LoadedModel {
    LoadedModel::load(Sha256::digest(wasm).into(), wasm).unwrap()
}

fn line(kind: &str, name: &str, values: &[i32]) -> String {
    let mut line = format!("{kind} {name}");
    if kind == "out" && values.len() > LONG {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        write!(line, " sha256 {}", hex::encode(Sha256::digest(bytes))).unwrap();
    } else {
        values.iter().for_each(|v| write!(line, " {v}").unwrap());
    }
    line
}

/// The outputs of a run, as lines.
fn outputs(model: &LoadedModel, inputs: &[Vec<i32>], kernels: &Kernels) -> Vec<String> {
    let inputs: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let results = model.program.run(&inputs, kernels).unwrap();
    let ports = model.program.outputs().iter().zip(&results);
    ports.map(|(port, values)| line("out", &port.name, values)).collect()
}

/// Names of all vectors there are.
fn names() -> Vec<String> {
    let files = fs::read_dir(path("")).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|file| file.extension().is_some_and(|extension| extension == "txt"));
    texts
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn all_golden_models_give_their_outputs_on_all_kernels() {
    let names = names();
    assert!(models::ALL
        .iter()
        .all(|source| names.iter().any(|name| name == source.golden)));
    for name in names {
        let model = load(&fs::read(path(&format!("{name}.wasm"))).unwrap());
        let text = fs::read_to_string(path(&format!("{name}.txt"))).unwrap();
        let mut runs = 0;
        for run in text.split("\n\n").filter(|run| !run.is_empty()) {
            let (given, want): (Vec<&str>, Vec<&str>) = run.lines().partition(|line| line.starts_with("in "));
            let integers = |line: &&str| line.split(' ').skip(2).map(|v| v.parse().unwrap()).collect();
            let inputs: Vec<Vec<i32>> = given.iter().map(integers).collect();
            for kernels in Kernels::available() {
                assert_eq!(outputs(&model, &inputs, &kernels), want, "{name} on {}", kernels.name());
            }
            runs += 1;
        }
        assert_eq!(runs, RUNS, "{name}");
    }
}

#[test]
fn conversion_gives_the_golden_bytes_on_this_machine_too() {
    for source in models::ALL {
        let golden = fs::read(path(&format!("{}.wasm", source.golden))).unwrap();
        assert!(
            source.convert().unwrap() == golden,
            "{}.onnx converts to other bytes than when its golden vectors were made",
            source.name
        );
    }
}

#[test]
#[ignore = "writes golden vectors that do not exist yet"]
fn write_missing_vectors() {
    assert!(
        std::env::var_os("AIINFERENCE_WRITE_GOLDEN").is_some(),
        "set AIINFERENCE_WRITE_GOLDEN=1"
    );
    for source in models::ALL {
        let (module, text) = (
            path(&format!("{}.wasm", source.golden)),
            path(&format!("{}.txt", source.golden)),
        );
        if module.exists() || text.exists() {
            continue;
        }
        let wasm = source.convert().unwrap();
        let model = load(&wasm);
        let (_, samples) = source.sample(&model, 0).unwrap();
        let runs = (0..RUNS).map(|run| {
            let (inputs, _) = source.sample(&model, run * (samples - 1) / (RUNS - 1)).unwrap();
            let given = model
                .program
                .inputs()
                .iter()
                .zip(&inputs)
                .map(|(port, values)| line("in", &port.name, values));
            let lines: Vec<String> = given.chain(outputs(&model, &inputs, &Kernels::scalar())).collect();
            lines.join("\n") + "\n"
        });
        fs::write(text, runs.collect::<Vec<_>>().join("\n")).unwrap();
        fs::write(module, wasm).unwrap();
    }
}
