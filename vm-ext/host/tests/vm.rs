//! The VM with the extension on and off.

mod common;

use std::{collections::HashMap, fs, path::PathBuf};

use aiinference_types::{abi::MAGIC, ErrorCode};
use aiinference_vm::{
    lowering::LoweringError,
    runtime::{module, price, LoadedModel},
    Error,
};
use common::*;
use cosmwasm_std::Checksum;
use cosmwasm_vm::{Cache, VmError};
use tempfile::tempdir;

/// A chain on which the module with this checksum has code id 7.
fn chain_with(checksum: Checksum) -> Chain {
    Chain {
        codes: HashMap::from([(7, checksum)]),
        ..Default::default()
    }
}

fn files_below(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![dir];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_inferring_contract_is_stored_as_uploaded_and_runs() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    assert!(vm.inference_enabled());
    let contract = inferring_guest();
    let checksum = vm.store_code(&contract, true, true).unwrap();
    assert_eq!(checksum, Checksum::generate(&contract));
    assert_eq!(vm.load_wasm(&checksum).unwrap(), contract);

    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());
    let (answer, ..) = query(&vm, &checksum, &chain, &infer_request(7, [3, -4]));
    assert_eq!(inference(&answer.unwrap()).unwrap().0, [6, -8]);
    // The model was resolved by the chain's own state, and nothing else was asked.
    let asked: Vec<_> = chain
        .requests()
        .into_iter()
        .map(|r| String::from_utf8(r).unwrap())
        .collect();
    assert_eq!(asked, [r#"{"wasm":{"code_info":{"code_id":7}}}"#]);
}

#[test]
fn the_upload_is_not_compiled_and_leaves_no_draft() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let name = format!("{}.wasm", checksum.to_hex());
    assert_eq!(
        files_below(dir.path().join("state")),
        [dir.path().join("state/wasm").join(name)]
    );
    assert_eq!(files_below(dir.path().join("cache")), [] as [PathBuf; 0]);
    assert_eq!(files_below(dir.path().join("aiinference/drafts")), [] as [PathBuf; 0]);
}

#[test]
fn a_simulated_upload_stores_nothing() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = inferring_guest();
    assert_eq!(
        vm.store_code(&contract, true, false).unwrap(),
        Checksum::generate(&contract)
    );
    assert_eq!(files_below(dir.path().into()), [] as [PathBuf; 0]);
}

#[test]
fn gas_rises_by_the_price_of_the_run_and_the_inner_query_is_external() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let wasm = model("y");
    let chain = chain_with(vm.store_code(&wasm, true, true).unwrap());
    let request = infer_request(7, [3, -4]);

    let (answer, internal, external) = query(&vm, &checksum, &chain, &request);
    let (_, gas) = inference(&answer.unwrap()).unwrap();
    assert!(gas > price::call(request.len() as u64) + price::load(wasm.len() as u64));
    assert_eq!(external, QUERY_GAS);

    // The same call of the same contract with the same bytes back costs the same but for the inference: an unknown code
    // id is answered, too, and pays for the request alone.
    let unknown = infer_request(8, [3, -4]);
    let (answer, internal_refused, external) = query(&vm, &checksum, &chain, &unknown);
    let answer = answer.unwrap();
    assert_eq!(inference(&answer), Err(ErrorCode::UnknownCodeId as u32));
    assert_eq!(external, QUERY_GAS);
    assert!(internal > internal_refused + price::load(wasm.len() as u64));

    // Again, from the cache of decoded models: the same.
    let (again, internal_again, _) = query(&vm, &checksum, &chain, &request);
    assert_eq!((inference(&again.unwrap()).unwrap().1, internal_again), (gas, internal));
}

#[test]
fn the_callers_gas_rises_by_exactly_the_static_estimate() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let request = infer_request(7, [3, -4]);
    let run = |detours| {
        let wasm = model_with_detours("y", detours);
        let stored = vm.store_code(&wasm, true, true).unwrap();
        let (answer, internal, _) = query(&vm, &checksum, &chain_with(stored), &request);
        let (outputs, charged) = inference(&answer.unwrap()).unwrap();
        assert_eq!(outputs, [6, -8]);
        let info = LoadedModel::load([0; 32], &wasm).unwrap().info();
        // Two integers of -200 to 200 take four bytes.
        let estimate = price::call(request.len() as u64) + info.load_gas + info.run_gas + price::output(4);
        assert_eq!(charged, estimate);
        (estimate, internal)
    };
    // The same contract, request and length of answer: what differs is the model's price alone.
    let (small, without) = run(1);
    let (large, with) = run(20);
    assert!(large > small);
    assert_eq!(with - without, large - small);
}

#[test]
fn one_gas_short_of_the_price_spends_all_gas() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());
    let request = infer_request(7, [3, -4]);
    let (answer, internal, external) = query(&vm, &checksum, &chain, &request);
    let price = inference(&answer.unwrap()).unwrap().1;

    let spent = internal + external;
    assert!(query_with_gas(&vm, &checksum, &chain, &request, spent).0.is_ok());
    // One short of all, and with less than the inference alone takes: nothing is left, and nothing was answered.
    for limit in [spent - 1, price + external] {
        let (short, internal, external) = query_with_gas(&vm, &checksum, &chain, &request, limit);
        let error = short.unwrap_err();
        assert!(error.to_string().contains("Ran out of gas"), "{error}");
        assert_eq!(internal + external, limit);
    }
}

#[test]
fn a_chain_that_ends_the_query_ends_the_call() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let mut chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());
    chain.broken = true;
    let (answer, _, external) = query(&vm, &checksum, &chain, &infer_request(7, [0, 0]));
    assert!(answer.unwrap_err().to_string().contains("the chain is broken"));
    assert_eq!(external, QUERY_GAS);
}

#[test]
fn a_lost_or_changed_model_file_aborts_and_is_never_an_answer() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let model_checksum = vm.store_code(&model("y"), true, true).unwrap();
    let chain = chain_with(model_checksum);
    let path = dir
        .path()
        .join("state/wasm")
        .join(model_checksum.to_hex())
        .with_extension("wasm");

    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = query(&vm, &checksum, &chain, &infer_request(7, [0, 0]))
        .0
        .unwrap_err()
        .to_string();
    assert!(error.contains("other bytes"), "{error}");

    fs::remove_file(&path).unwrap();
    let error = query(&vm, &checksum, &chain, &infer_request(7, [0, 0]))
        .0
        .unwrap_err()
        .to_string();
    assert!(error.contains(&model_checksum.to_hex()), "{error}");
}

#[test]
fn a_contract_that_was_not_lowered_reaches_the_chain_with_any_bytes() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&plain_guest(), true, true).unwrap();
    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());
    let request = infer_request(7, [3, -4]);
    let (answer, ..) = query(&vm, &checksum, &chain, &request);
    assert!(answer.unwrap().contains("invalid_request"));
    assert_eq!(chain.requests(), [request]);
}

#[test]
fn off_it_is_the_stock_cache() {
    let (ours, stock) = (tempdir().unwrap(), tempdir().unwrap());
    let off = vm(ours.path(), false);
    assert!(!off.inference_enabled() && off.runtime().is_none());
    // SAFETY: the folder is this test's own.
    let cache: Cache<cosmwasm_vm::testing::MockApi, cosmwasm_vm::testing::MockStorage, Chain> =
        unsafe { Cache::new_with_config(config(stock.path(), false)) }.unwrap();

    // The refusal of a contract that infers: stock's words.
    let refusal = off.store_code(&inferring_guest(), true, true).unwrap_err().to_string();
    let theirs = cache
        .store_code(&inferring_guest(), true, true)
        .unwrap_err()
        .to_string();
    assert_eq!(refusal, theirs);
    assert!(
        refusal.contains("unsupported import: \"aiinference.infer\""),
        "{refusal}"
    );

    // Everything else is stored alike, broken models included, and the same files appear.
    let broken_model = module::wrap(b"no graph", b"");
    for wasm in [plain_guest(), model("y"), broken_model] {
        assert_eq!(
            off.store_code(&wasm, true, true).unwrap(),
            cache.store_code(&wasm, true, true).unwrap()
        );
    }
    let relative = |dir: &tempfile::TempDir| -> Vec<_> {
        let files = files_below(dir.path().into());
        files
            .iter()
            .map(|f| f.strip_prefix(dir.path()).unwrap().to_path_buf())
            .collect()
    };
    assert_eq!(relative(&ours), relative(&stock));

    // Unchecked, stock stores the contract and fails when it is called; magic bytes are the chain's affair.
    let checksum = off.store_code(&inferring_guest(), false, true).unwrap();
    let chain = Chain::default();
    let error = vm_error(query(&off, &checksum, &chain, &request(b"")).0.unwrap_err());
    assert!(matches!(error, VmError::InstantiationErr { .. }), "{error}");
    let plain = Checksum::generate(&plain_guest());
    let (answer, ..) = query(&off, &plain, &chain, &request(b""));
    assert!(answer.unwrap().contains("invalid_request"));
}

#[test]
fn imports_are_judged_at_a_checked_upload_alone() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let wrong = guest(
        r#"(import "aiinference" "infer" (func (param i32)))"#,
        r#"(func (export "requires_aiinference_1"))"#,
    );
    let refused = vm.store_code(&wrong, true, true).unwrap_err();
    assert!(
        matches!(refused, Error::Lowering(LoweringError::WrongImportType { .. })),
        "{refused}"
    );
    // A restore never refuses; calling such a contract fails with the reason.
    let checksum = vm.store_code(&wrong, false, true).unwrap();
    let error = query(&vm, &checksum, &Chain::default(), b"").0.unwrap_err();
    assert!(
        matches!(error, Error::Lowering(LoweringError::WrongImportType { .. })),
        "{error}"
    );
}

#[test]
fn stock_checks_hold_for_inferring_contracts_too() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let imports = r#"(import "aiinference" "infer" (func $infer (param i32) (result i32)))"#;
    let requires = r#"(func (export "requires_aiinference_1"))"#;
    let refusal = |wasm: &[u8]| vm.store_code(wasm, true, true).unwrap_err().to_string();
    for (imports, rest, reason) in [
        (
            format!(r#"{imports}(import "env" "fly" (func))"#),
            requires.to_string(),
            "unsupported import: \"env.fly\"",
        ),
        (
            imports.to_string(),
            format!(r#"{requires}(func (export "requires_wings"))"#),
            "unavailable capabilities: {\"wings\"}",
        ),
        (
            imports.to_string(),
            format!(r#"{requires}(table 1 funcref)"#),
            "must not have unbound table section",
        ),
    ] {
        let text = refusal(&guest(&imports, &rest));
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn a_restart_without_the_lowered_folder_makes_it_again() {
    let dir = tempdir().unwrap();
    let (contract, chain) = {
        let vm = vm(dir.path(), true);
        let contract = vm.store_code(&inferring_guest(), true, true).unwrap();
        (contract, chain_with(vm.store_code(&model("y"), true, true).unwrap()))
    };
    let request = infer_request(7, [1, 2]);
    let first = query(&vm(dir.path(), true), &contract, &chain, &request);
    let files = files_below(dir.path().join("aiinference/lowered"));
    assert!(!files.is_empty());

    fs::remove_dir_all(dir.path().join("aiinference")).unwrap();
    let restarted = vm(dir.path(), true);
    let second = query(&restarted, &contract, &chain, &request);
    assert_eq!(inference(&first.0.unwrap()), inference(&second.0.unwrap()));
    assert_eq!((first.1, first.2), (second.1, second.2), "gas");
    assert_eq!(files_below(dir.path().join("aiinference/lowered")), files);

    // Deleted under a running node: made again, too.
    fs::remove_dir_all(dir.path().join("aiinference/lowered/state/wasm")).unwrap();
    fs::create_dir_all(dir.path().join("aiinference/lowered/state/wasm")).unwrap();
    assert!(query(&restarted, &contract, &chain, &request).0.is_ok());
    assert_eq!(files_below(dir.path().join("aiinference/lowered")), files);
}

#[test]
fn a_lowered_file_cut_short_by_a_crash_is_written_again() {
    let dir = tempdir().unwrap();
    let contract = vm(dir.path(), true).store_code(&inferring_guest(), true, true).unwrap();
    for file in files_below(dir.path().join("aiinference/lowered")) {
        let bytes = fs::read(&file).unwrap();
        if file.extension().is_some_and(|e| e == "wasm") {
            fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
    }
    let restarted = vm(dir.path(), true);
    let chain = chain_with(restarted.store_code(&model("y"), true, true).unwrap());
    assert!(query(&restarted, &contract, &chain, &infer_request(7, [1, 2]))
        .0
        .is_ok());
}

#[test]
fn what_a_stock_node_stored_infers_once_the_extension_is_on() {
    let dir = tempdir().unwrap();
    let broken = module::wrap(b"no graph", b"");
    let (contract, good, bad) = {
        let stock = vm(dir.path(), false);
        (
            stock.store_code(&inferring_guest(), false, true).unwrap(),
            stock.store_code(&model("y"), true, true).unwrap(),
            stock.store_code(&broken, true, true).unwrap(),
        )
    };
    let on = vm(dir.path(), true);
    let ask = |model| {
        query(&on, &contract, &chain_with(model), &infer_request(7, [5, 6]))
            .0
            .unwrap()
    };
    assert_eq!(inference(&ask(good)).unwrap().0, [10, 12]);
    assert_eq!(inference(&ask(bad)), Err(ErrorCode::InvalidModel as u32));
    assert_eq!(inference(&ask(contract)), Err(ErrorCode::NotAModel as u32));
}

#[test]
fn models_are_validated_at_a_checked_upload_and_restored_without() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = vm.store_code(&inferring_guest(), true, true).unwrap();
    let wasm = model("y");
    let mut refused = 0;
    // Every byte of the model's sections damaged in turn: most are refused, whatever is accepted is a model or carries none.
    for index in (120..wasm.len()).step_by(3) {
        let mut damaged = wasm.clone();
        damaged[index] ^= 0x55;
        match vm.store_code(&damaged, true, false) {
            Ok(_) => {
                let carried = module::carried(&damaged).unwrap();
                assert!(carried == module::Carried::Contract || LoadedModel::load([0; 32], &damaged).is_ok());
            }
            Err(Error::Model(_)) => refused += 1,
            Err(Error::Vm(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 5, "{refused}");

    let broken = module::wrap(b"no graph", b"");
    assert!(matches!(vm.store_code(&broken, true, true), Err(Error::Model(_))));
    let checksum = vm.store_code(&broken, false, true).unwrap();
    let (answer, ..) = query(&vm, &contract, &chain_with(checksum), &infer_request(7, [0, 0]));
    assert_eq!(inference(&answer.unwrap()), Err(ErrorCode::InvalidModel as u32));
}

#[test]
fn a_model_is_refused_by_section_operation_and_reason() {
    use aiinference_engine::{
        format,
        graph::{Graph, Input, Op, Output},
    };
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let refusal = |wasm: &[u8]| vm.store_code(wasm, true, true).unwrap_err().to_string();

    let text = refusal(&module::wrap(b"no graph", b""));
    assert!(
        text.starts_with("storing a model: loading a model: reading the graph section at byte "),
        "{text}"
    );
    assert!(text.contains("wrong magic bytes"), "{text}");

    let clamp = |low, high| {
        let mut graph = Graph::new();
        let x = graph.input(Input {
            name: "x".into(),
            shape: vec![1],
            fraction_bits: 0,
            low: 0,
            high: 9,
            saturate: false,
        });
        let value = graph.push(Op::Clamp { x, low, high });
        graph.outputs.push(Output {
            name: "y".into(),
            value,
            fraction_bits: 0,
            labels: vec![],
        });
        format::encode(&graph).graph
    };
    let text = refusal(&module::wrap(&clamp(5, 4), b""));
    assert!(
        text.starts_with("storing a model: loading a model: checking node 0 (Clamp): "),
        "{text}"
    );
    let text = refusal(&module::wrap(&clamp(0, 4), b"left over"));
    assert!(text.contains("the weights section at byte 0: bytes follow"), "{text}");
}

/// Stores a model in shards on a chain, under code ids from 20 on, and its manifest under code id 7.
fn chain_with_shards(vm: &TestVm, model: &[u8]) -> Chain {
    let mut codes = HashMap::new();
    let shards = module::split(model, 100);
    let named: Vec<_> = (20..)
        .zip(&shards)
        .map(|(id, shard)| {
            let checksum = vm.store_code(shard, true, true).unwrap();
            codes.insert(id, checksum);
            (id, *checksum.as_ref())
        })
        .collect();
    let manifest = module::wrap_manifest(&module::manifest(model, named));
    codes.insert(7, vm.store_code(&manifest, true, true).unwrap());
    Chain {
        codes,
        ..Default::default()
    }
}

#[test]
fn a_model_in_shards_is_resolved_by_the_chain_on_every_call() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = vm.store_code(&inferring_guest(), true, true).unwrap();
    let mut chain = chain_with_shards(&vm, &model("y"));
    let ask = |chain: &Chain| query(&vm, &contract, chain, &infer_request(7, [3, -4]));
    let (answer, internal, external) = ask(&chain);
    assert_eq!(inference(&answer.unwrap()).unwrap().0, [6, -8]);
    assert_eq!(external, chain.codes.len() as u64 * QUERY_GAS);
    let (answer, internal_again, external_again) = ask(&chain);
    assert!(answer.is_ok());
    assert_eq!((internal_again, external_again), (internal, external));
    assert_eq!(chain.requests().len(), 2 * chain.codes.len());

    // As it was before the second shard was stored, which this node has on disk.
    let second = chain.codes.remove(&21);
    let missing = inference(&ask(&chain).0.unwrap());
    assert_eq!(missing, Err(ErrorCode::ShardMissing as u32));
    chain.codes.insert(21, chain.codes[&7]);
    let replaced = inference(&ask(&chain).0.unwrap());
    assert_eq!(replaced, Err(ErrorCode::ShardReplaced as u32));
    chain.codes.extend(second.map(|checksum| (21, checksum)));
    assert!(inference(&ask(&chain).0.unwrap()).is_ok());
}

#[test]
fn shards_and_manifests_are_checked_alone_when_they_are_uploaded() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let good = module::manifest(b"model", [(1, [1; 32])]);
    vm.store_code(&module::wrap_manifest(&good), true, true).unwrap();
    let mut empty = good.clone();
    empty.shards.clear();
    let empty = module::wrap_manifest(&empty);
    let error = vm.store_code(&empty, true, true).unwrap_err();
    assert!(error.to_string().contains("names 0 shards"), "{error}");
    // Restored, it is stored as it is.
    vm.store_code(&empty, false, true).unwrap();
    // A shard is judged with the others alone, when it is used.
    vm.store_code(&module::split(b"anything", 3)[0], true, true).unwrap();
}

#[test]
fn a_model_cannot_be_instantiated() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&model("y"), true, true).unwrap();
    let error = query(&vm, &checksum, &Chain::default(), b"{}")
        .0
        .unwrap_err()
        .to_string();
    assert!(error.contains("zero Wasm address"), "{error}");
}

#[test]
fn analysis_reports_the_upload() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let report = vm.analyze(&checksum).unwrap();
    let entry_points: Vec<_> = report.entrypoints.iter().map(ToString::to_string).collect();
    assert_eq!(entry_points, ["instantiate", "query", "reply", "sudo"]);
    assert_eq!(report.required_capabilities, ["aiinference_1".to_string()].into());
}

#[test]
fn pins_and_metrics_know_uploads_only() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = vm.store_code(&inferring_guest(), true, true).unwrap();
    let plain = vm.store_code(&plain_guest(), true, true).unwrap();
    let pinned = || {
        let mut pinned: Vec<_> = vm.pinned_metrics().per_module.into_iter().map(|(c, _)| c).collect();
        pinned.sort_by_key(|c| c.to_hex());
        pinned
    };
    let mut both = vec![contract, plain];
    both.sort_by_key(|c| c.to_hex());

    vm.pin(&contract).unwrap();
    vm.pin(&contract).unwrap();
    vm.pin(&plain).unwrap();
    assert_eq!(pinned(), both);
    assert_eq!(vm.metrics().elements_pinned_memory_cache, 2);
    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());
    let (answer, warm, _) = query(&vm, &contract, &chain, &infer_request(7, [1, 1]));
    answer.unwrap();
    assert_eq!(vm.stats().hits_pinned_memory_cache, 1);

    vm.unpin(&contract).unwrap();
    assert_eq!(pinned(), [plain]);
    let (_, cold, _) = query(&vm, &contract, &chain, &infer_request(7, [1, 1]));
    assert_eq!(warm, cold, "pins change no gas");

    vm.sync_pinned_codes(&[contract]).unwrap();
    assert_eq!(pinned(), [contract]);
    vm.sync_pinned_codes(&[]).unwrap();
    assert!(pinned().is_empty());

    let unknown = Checksum::generate(b"unknown");
    vm.unpin(&unknown).unwrap();
    assert!(vm
        .pin(&unknown)
        .unwrap_err()
        .to_string()
        .contains("Error opening Wasm file for reading"));
}

#[test]
fn removing_a_contract_removes_what_was_made_of_it() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = inferring_guest();
    let checksum = vm.store_code(&contract, true, true).unwrap();
    // One that differs in a custom section alone lives on.
    let twin_wasm = [contract, b"\0\x05\x04name".to_vec()].concat();
    let twin = vm.store_code(&twin_wasm, true, true).unwrap();
    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());

    vm.remove_wasm(&checksum).unwrap();
    assert!(vm.load_wasm(&checksum).is_err());
    assert!(vm
        .remove_wasm(&checksum)
        .unwrap_err()
        .to_string()
        .contains("Wasm file does not exist"));
    assert!(query(&vm, &checksum, &chain, &infer_request(7, [0, 0])).0.is_err());
    assert!(query(&vm, &twin, &chain, &infer_request(7, [0, 0])).0.is_ok());
    vm.remove_wasm(&twin).unwrap();
    assert_eq!(files_below(dir.path().join("aiinference")), [] as [PathBuf; 0]);
}

#[test]
fn a_lowered_copy_uploaded_by_somebody_is_another_contract() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let contract = inferring_guest();
    let checksum = vm.store_code(&contract, true, true).unwrap();
    let copy = aiinference_vm::lowering::lower(&contract).unwrap().unwrap();
    let copied = vm.store_code(&copy, true, true).unwrap();
    let chain = chain_with(vm.store_code(&model("y"), true, true).unwrap());

    // It is a plain contract: its requests go to the chain.
    let request = infer_request(7, [1, 2]);
    let (answer, ..) = query(&vm, &copied, &chain, &request);
    assert!(answer.unwrap().contains("invalid_request"));
    // Removing it leaves the contract alone.
    vm.remove_wasm(&copied).unwrap();
    assert!(query(&vm, &checksum, &chain, &request).0.is_ok());
}

#[test]
fn a_request_at_the_vms_limit_is_answered_and_one_byte_more_is_not() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let chain = Chain::default();
    let mut request = [MAGIC.as_slice(), &vec![0xff; (64 << 10) - MAGIC.len()]].concat();
    let (answer, ..) = query(&vm, &checksum, &chain, &request);
    assert_eq!(inference(&answer.unwrap()), Err(ErrorCode::MalformedRequest as u32));
    request.push(0xff);
    let (answer, ..) = query(&vm, &checksum, &chain, &request);
    assert!(answer.unwrap_err().to_string().contains("Region length too big"));
}

#[test]
fn threads_share_a_vm() {
    let dir = tempdir().unwrap();
    let vm = vm(dir.path(), true);
    let checksum = vm.store_code(&inferring_guest(), true, true).unwrap();
    let model_checksum = vm.store_code(&model("y"), true, true).unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let vm = &vm;
                scope.spawn(move || {
                    let chain = chain_with(model_checksum);
                    let (answer, gas, _) = query(vm, &checksum, &chain, &infer_request(7, [n, 1]));
                    (inference(&answer.unwrap()).unwrap().0, gas)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (n, (values, gas)) in results.iter().enumerate() {
        assert_eq!(values[..], [2 * n as i128, 2]);
        assert_eq!(*gas, results[0].1);
    }
}
