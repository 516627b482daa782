//! The fuzzer's corpus, replayed.

#[path = "../fuzz/body.rs"]
mod body;
mod common;

use std::{fs, path::PathBuf};

use aiinference_runtime::module;
use aiinference_types::v1::{self, request::Operation};
use common::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answer")
}

#[test]
fn the_corpus_holds() {
    let mut count = 0;
    for file in fs::read_dir(folder()).expect("the corpus") {
        body::check(&fs::read(file.expect("a file").path()).expect("readable bytes"));
        count += 1;
    }
    assert!(count >= seeds().len(), "only {count} files");
}

/// Whole requests and modules to start from: what each part of the protocol looks like.
fn seeds() -> Vec<(&'static str, Operation, Vec<u8>)> {
    let mut table = Table::new();
    let model = table.store(&doubler(-100, 100, false));
    let model = table.module(model).to_vec();
    let saturating = table.store(&doubler(-2, 2, true));
    let saturating = table.module(saturating).to_vec();
    let one = one_step(1, integers("x", &[1, 2], &[3, -4]));
    let mut plan = one.clone();
    plan.steps.push(step(1, vec![from_step("x", 0, "y")]));
    plan.outputs = vec![v1::StepOutput {
        step: 0,
        output: "y".into(),
    }];
    plan.gas_limit = Some(1_000_000_000);
    let mut own = one.clone();
    own.steps[0].model = Some(v1::ModelRef {
        reference: Some(v1::model_ref::Reference::OwnCode(v1::OwnCode {})),
        checksum: vec![1; 32],
    });
    let mut decimals = one.clone();
    let tensor = v1::Tensor {
        data_type: v1::DataType::Decimal.into(),
        shape: vec![2],
        data: [1_500_000_000_000_000_000i128, -7]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        ..Default::default()
    };
    decimals.steps[0].inputs[0].source = Some(v1::input::Source::Tensor(tensor));
    let info = v1::ModelInfoRequest { model: model_ref(1) };
    // As the fuzzer's chain has them.
    let shards = (body::FIRST_SHARD..).take(body::shards().len());
    let sharded = module::manifest(&body::model(), shards.map(|id| (id, [id as u8; 32])));
    let mut missing = sharded.clone();
    missing.shards[1].code_id = 0;
    let mut replaced = sharded.clone();
    replaced.shards[1].code_id = 1;
    let mut nested = sharded.clone();
    nested.shards[1] = v1::Shard {
        code_id: 1,
        checksum: vec![1; 32],
    };
    let mut swapped = sharded.clone();
    swapped.shards.swap(0, 1);
    let mut oversize = sharded.clone();
    oversize.size = u64::MAX;
    let in_shards = [
        ("sharded", &sharded),
        ("shard-missing", &missing),
        ("shard-replaced", &replaced),
        ("shard-nested", &nested),
        ("shard-swapped", &swapped),
        ("shard-oversize", &oversize),
    ]
    .map(|(name, manifest)| (name, Operation::Infer(one.clone()), module::wrap_manifest(manifest)));
    let mut seeds = vec![
        ("one-step", Operation::Infer(one.clone()), model.clone()),
        ("plan", Operation::Infer(plan), saturating.clone()),
        ("own-code", Operation::Infer(own), model.clone()),
        ("decimals", Operation::Infer(decimals), saturating),
        (
            "unknown-code",
            Operation::Infer(one_step(0, integers("x", &[2], &[0, 0]))),
            model.clone(),
        ),
        ("info", Operation::ModelInfo(info), model),
        ("no-model", Operation::Infer(one.clone()), plain_module()),
        ("broken-model", Operation::Infer(one), module::wrap(b"no graph", b"")),
    ];
    seeds.extend(in_shards);
    seeds
}

#[test]
fn the_sharded_seed_is_answered() {
    let file = fs::read(folder().join("sharded")).expect("the seed");
    assert!(matches!(body::check(&file), Some(v1::response::Result::Infer(_))));
}

/// Writes the seeds that are missing: `cargo test --workspace --release --test corpus -- --ignored write_missing_seeds`.
#[test]
#[ignore = "writes files"]
fn write_missing_seeds() {
    for (name, operation, wasm) in seeds() {
        let request = encode(operation).split_off(8);
        let length = u16::try_from(request.len()).unwrap().to_le_bytes();
        let path = folder().join(name);
        if !path.exists() {
            fs::write(path, [length.as_slice(), &request, &wasm].concat()).unwrap();
        }
    }
}
