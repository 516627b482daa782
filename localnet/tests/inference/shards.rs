//! Models larger than one transaction.

use std::{process::Command, time::Instant};

use aiinference_client::{
    upload::{Package, SHARD_BYTES},
    Account,
};
use aiinference_engine::Kernels;
use aiinference_localnet::Node;
use aiinference_runtime::{module, LoadedModel};
use aiinference_types::ErrorCode;
use cosmwasm_std::Binary;

use crate::support::*;

const WIDTH: u32 = 1024;
const HEIGHT: usize = 3_000;

/// One dense layer with 3 MB of weights that do not compress.
fn large_model(seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let weights = (0..WIDTH as usize * HEIGHT).map(|_| (numbers.below(255) - 127) as i8);
    model_of("x", vec![1, WIDTH], (-100, 100), |graph, x| {
        graph.push(dense(x, weights, 4, (-(1 << 20), 1 << 20)))
    })
}

fn input(seed: u64) -> Vec<i32> {
    let mut numbers = Numbers(seed);
    (0..WIDTH).map(|_| numbers.below(201) - 100).collect()
}

fn expected(model: &[u8], input: &[i32]) -> Vec<i32> {
    let program = LoadedModel::load([0; 32], model).unwrap().program;
    program.run(&[input], &Kernels::scalar()).unwrap().swap_remove(0)
}

/// What a model answers on every validator at one height: the same, or else the test fails.
async fn on_all(nodes: &[Node], contract: &str, code_id: u64, input: &[i32]) -> Result<Vec<i32>, String> {
    let height = agree(nodes).await;
    let msg = run_model(code_id, &[1, WIDTH], 0, input);
    let mut answers = Vec::new();
    for node in nodes {
        let answer = query::<Vec<Binary>>(node, contract, &msg, Some(height)).await;
        answers.push(answer.map_err(|error| error.to_string()).map(|outputs| {
            let integers = outputs[0].as_slice().chunks_exact(4);
            integers
                .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()))
                .collect()
        }));
    }
    // The text of an error names the node's address; what the contract says is the same.
    let said = |answer: &Result<Vec<i32>, String>| match answer {
        Ok(integers) => format!("{integers:?}"),
        Err(text) => text[text.find("error ").unwrap_or(0)..].to_string(),
    };
    assert!(
        answers.iter().all(|answer| said(answer) == said(&answers[0])),
        "{answers:?}"
    );
    answers.swap_remove(0)
}

/// Uploads with the command line, as a user would; the code id and the seconds it took.
fn upload_on_the_command_line(account: &Account, mnemonic: &std::path::Path, model: &[u8]) -> (u64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.wasm");
    std::fs::write(&file, model).unwrap();
    let begin = Instant::now();
    let done = Command::new(target().join("release/aiinference"))
        .arg("upload")
        .arg(&file)
        .args(["--json", "--node", account.node().url(), "--mnemonic-file"])
        .arg(mnemonic)
        .output()
        .unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    (answer["code_id"].as_u64().expect("a code id"), seconds)
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_model_of_three_megabytes_is_uploaded_in_shards_and_runs() {
    let net = localnet();
    let nodes = validators(&net);
    let deployer = account(&net, &nodes[0], "deployer").await;
    let contract = probe(&deployer).await;
    let mnemonic = net.plan().account("deployer").unwrap().mnemonic_file.clone();
    // Another model each time, so that it is not there yet.
    let model = large_model(nodes[0].height().await.unwrap());
    assert!(model.len() > 3_000_000);

    // An upload that was interrupted: two of the shards are on the chain.
    let package = Package::new(model.clone(), SHARD_BYTES).unwrap();
    let shards = module::split(&model, SHARD_BYTES);
    assert_eq!(package.shards(), shards.len());
    let mut there = Vec::new();
    for shard in &shards[1..3] {
        there.push(store_module(&deployer, shard.clone()).await.0);
    }
    let (code_id, seconds) = upload_on_the_command_line(&deployer, &mnemonic, &model);
    let (again, _) = upload_on_the_command_line(&deployer, &mnemonic, &model);
    assert_eq!(again, code_id, "what is there is not stored again");
    let manifest = deployer.node().code(code_id).await.unwrap().1;
    let module::Carried::Manifest(section) = module::carried(&manifest).unwrap() else {
        panic!("the code id names the manifest")
    };
    let named = module::Manifest::decode(section).unwrap();
    let ids: Vec<u64> = named.shards.iter().map(|shard| shard.code_id).collect();
    assert_eq!(ids[1..3], there, "the shards that were there are used");
    let (_, whole) = upload_on_the_command_line(&deployer, &mnemonic, &large_model(code_id << 32));
    println!("figure: 5 shards and a manifest took {whole:.1} s to upload, the last 3 and the manifest {seconds:.1} s");

    let x = input(1);
    assert_eq!(on_all(&nodes, &contract, code_id, &x).await, Ok(expected(&model, &x)));
    // In a transaction, too.
    execute(
        &deployer,
        &contract,
        &note("large", run_model(code_id, &[1, WIDTH], 0, &x)),
    )
    .await
    .unwrap();
    agree(&nodes).await;
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_missing_or_replaced_shard_is_the_same_typed_error_on_every_validator() {
    let net = localnet();
    let nodes = validators(&net);
    let deployer = account(&net, &nodes[0], "deployer").await;
    let contract = probe(&deployer).await;
    let model = large_model(7);
    let good = store(&deployer, &model).await;
    let manifest = deployer.node().code(good).await.unwrap().1;
    let module::Carried::Manifest(section) = module::carried(&manifest).unwrap() else {
        panic!("a model of 3 MB is stored in shards")
    };
    let named = module::Manifest::decode(section).unwrap();
    let shards: Vec<(u64, [u8; 32])> = named
        .shards
        .iter()
        .map(|shard| (shard.code_id, shard.checksum))
        .collect();

    let mut missing = shards.clone();
    missing[1].0 = 1_000_000;
    let mut replaced = shards.clone();
    replaced[1].0 = shards[2].0;
    let mut reordered = shards.clone();
    reordered.swap(0, 1);
    let cases = [
        (missing, ErrorCode::ShardMissing),
        (replaced, ErrorCode::ShardReplaced),
        (reordered, ErrorCode::InvalidModel),
    ];
    let x = input(2);
    for (shards, code) in cases {
        let manifest = module::wrap_manifest(&module::manifest(&model, shards));
        let (code_id, _) = store_module(&deployer, manifest).await;
        let refused = on_all(&nodes, &contract, code_id, &x).await.unwrap_err();
        assert!(
            refused.contains(&format!("error {}:", code as u32)),
            "{code:?}: {refused}"
        );
        // A transaction fails with it, and the validators go on together.
        let msg = note("broken", run_model(code_id, &[1, WIDTH], 0, &x));
        let failed = execute(&deployer, &contract, &msg).await.unwrap_err().to_string();
        assert!(failed.contains(&format!("error {}:", code as u32)), "{failed}");
        agree(&nodes).await;
    }
    assert_eq!(on_all(&nodes, &contract, good, &x).await, Ok(expected(&model, &x)));
}
