//! Golden vectors of the shipped models: module, inputs, outputs. They hold the meaning of op-set 1, and of its drafts, in place, and
//! gas schedule 1.
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

/// What op-set 1 was released with, and its SHA-256. Nobody changes these: another meaning is another op-set, with vectors of its own.
const RELEASED: [(&str, &str); 8] = [
    (
        "gbdt-2.wasm",
        "ae013644229f9c741c897e941cf21de58e256d5383ba1a422ff06a2b00f7fe56",
    ),
    (
        "gbdt-2.txt",
        "17459d9d824855ae6b0a25904cbe031f89c6cd8b1220b377d28e4a81d04d1e45",
    ),
    (
        "mlp-3.wasm",
        "07620ba099e672f2b5eba63c732593f273ee56f636f297409f4a2c8d9c540520",
    ),
    (
        "mlp-3.txt",
        "cc1c9a74bbc2d1025155e9160d0f7bce66cc759ed000beedc5bf2e1928ecd9fb",
    ),
    (
        "mood-3.wasm",
        "0d9e8d6d7df70195b53d9e9e5ee1842da7bdd2cec9166438b26efe8ce8bff3e4",
    ),
    (
        "mood-3.txt",
        "d2668cfca4aa7af7daa85a947cfce89054926f72b7554ec9cfe6e99ac9d6c0d9",
    ),
    (
        "painter-4.wasm",
        "f780dd01aff692c82ee761db7ed8225a5ff01b01e812027ba0b8ddebeffd5af1",
    ),
    (
        "painter-4.txt",
        "e8a910c080a369301bf1578e19a1411438c0d7508511f814862b09d454ee1201",
    ),
];

/// What loading and a run of them cost by gas schedule 1. Nobody changes these either.
const PRICES: [(&str, u64, u64); 4] = [
    ("gbdt-2", 776_050_000, 6_807_200),
    ("mlp-3", 151_640_000, 1_269_240),
    ("mood-3", 255_060_000, 2_738_140),
    ("painter-4", 4_365_190_000, 3_779_235_280),
];

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
fn the_vectors_of_op_set_1_are_those_of_its_release() {
    for (name, hash) in RELEASED {
        let bytes = fs::read(path(name)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(bytes)), hash, "{name}");
    }
}

#[test]
fn they_cost_what_gas_schedule_1_was_released_with() {
    let prices = PRICES.map(|(name, ..)| {
        let model = load(&fs::read(path(&format!("{name}.wasm"))).unwrap());
        (name, model.load_gas(), model.program.run_gas())
    });
    assert_eq!(prices, PRICES);
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
