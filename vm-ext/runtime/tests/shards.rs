//! Models in shards, on a chain that is a table of modules.

mod common;

use aiinference_runtime::{module, price, Answer, Chain, ChainError, LoadedModel, NodeFault, Runtime, Settings};
use aiinference_types::{
    abi::{GRAPH_SECTION, MANIFEST_SECTION, SHARD_SECTION},
    limits,
    v1::{self, request::Operation},
    ErrorCode,
};
use common::*;
use prost::Message;
use sha2::{Digest, Sha256};
use wasm_encoder as enc;

const SHARD_BYTES: usize = 48;

fn model() -> Vec<u8> {
    whole(&doubler(-100, 100, false))
}

fn question(code_id: u64) -> v1::InferRequest {
    one_step(code_id, integers("x", &[1, 2], &[3, -4]))
}

/// A module with these custom sections and nothing else.
fn carrying(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut module = enc::Module::new();
    for (name, data) in sections {
        module.section(&enc::CustomSection {
            name: (*name).into(),
            data: (*data).into(),
        });
    }
    module.finish()
}

/// The manifest is refused for what it or its shards are; the message.
fn invalid(chain: &mut Table, manifest: &v1::Manifest) -> String {
    let id = chain.store_module(module::wrap_manifest(manifest));
    let runtime = Runtime::new(settings());
    refused(&runtime, chain, question(id), ErrorCode::InvalidModel)
}

#[test]
fn a_model_in_shards_answers_as_the_whole_one() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let whole_id = chain.store_module(model());
    let want = infer(&runtime, &mut chain, question(whole_id));
    let want_info = model_info(&runtime, &mut chain, whole_id);
    for shard_bytes in [2, 3, SHARD_BYTES, 1_000] {
        let id = chain.store_sharded(&model(), shard_bytes);
        let answer = infer(&runtime, &mut chain, question(id));
        assert_eq!(answer.outputs, want.outputs);
        let (receipt, want) = (answer.receipt.unwrap(), want.receipt.clone().unwrap());
        assert_eq!(
            (receipt.inputs_hash, receipt.outputs_hash),
            (want.inputs_hash, want.outputs_hash)
        );
        // What is named is the manifest.
        assert_eq!(
            receipt.models,
            [v1::ModelUsed {
                code_id: id,
                checksum: chain.checksum(id).to_vec(),
                op_set: want.models[0].op_set
            }]
        );
        let info = model_info(&runtime, &mut chain, id);
        assert_eq!(info.checksum, chain.checksum(id));
        assert_eq!(
            (info.inputs, info.run_gas),
            (want_info.inputs.clone(), want_info.run_gas)
        );
    }
}

#[test]
fn the_price_is_that_of_the_manifest_of_every_shard_and_of_the_graph() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let model = model();
    let id = chain.store_sharded(&model, SHARD_BYTES);
    let shards: Vec<u64> = (1..id).collect();
    let sizes: Vec<u64> = shards.iter().map(|id| chain.module(*id).len() as u64).collect();
    let manifest = chain.module(id).len() as u64;
    let graph = module::sections(&model).unwrap().unwrap().graph.len() as u64;
    let info = model_info(&runtime, &mut chain, id);
    assert_eq!(info.stored_bytes, manifest + sizes.iter().sum::<u64>());
    let loads: u64 = sizes.iter().map(|size| price::load(*size)).sum();
    assert_eq!(info.load_gas, price::load(manifest) + loads + price::graph(graph));

    let request = encode(Operation::Infer(question(id)));
    let estimate = price::call(request.len() as u64) + info.load_gas + info.run_gas + price::output(4);
    for runtime in [&runtime, &Runtime::new(settings())] {
        let Answer::Done { gas, external, .. } = runtime.answer(&request, u64::MAX, &mut chain) else {
            panic!("not answered")
        };
        assert_eq!(
            (gas, external),
            (estimate, (shards.len() as u64 + 1) * Table::QUERY_GAS)
        );
    }

    // The same from files, without a chain.
    let modules: Vec<&[u8]> = shards.iter().map(|id| chain.module(*id)).collect();
    let loaded = LoadedModel::load_sharded(chain.checksum(id), chain.module(id), &modules).unwrap();
    assert_eq!(loaded.info(), info);
    assert!(LoadedModel::load_sharded([0; 32], chain.module(id), &modules[1..]).is_err());
    assert!(LoadedModel::load_sharded([0; 32], &model, &modules).is_err());
    assert!(LoadedModel::load([0; 32], chain.module(id)).is_err());
}

/// The answer and what the chain was asked, from a runtime.
fn observe(runtime: &Runtime, chain: &mut Table, request: &[u8], gas_left: u64) -> (Answer, Vec<(u64, u64)>) {
    chain.asked.clear();
    let answer = runtime.answer(request, gas_left, chain);
    (answer, std::mem::take(&mut chain.asked))
}

/// Answers, gas and queries are the same on a runtime that has the model ready and on one that has nothing, with each
/// amount of gas just below, at and above where anything is charged.
fn same_ready_or_not(ready: &Runtime, chain: &mut Table, request: &v1::InferRequest) {
    let bytes = encode(Operation::Infer(request.clone()));
    let (full, asked) = observe(ready, chain, &bytes, u64::MAX);
    // Gas that was gone whenever the chain was asked, and in the end.
    let mut marks: Vec<u64> = asked.iter().map(|(_, left)| u64::MAX - left).collect();
    marks.extend(asked.iter().map(|(_, left)| u64::MAX - left + Table::QUERY_GAS));
    marks.extend(match full {
        Answer::Done { gas, external, .. } => [gas, gas + external],
        other => panic!("not answered: {other:?}"),
    });
    marks.push(price::call(bytes.len() as u64));
    let (mut aborted, mut out_of_gas) = (0, 0);
    for mark in marks {
        for gas_left in [mark - 1, mark, mark + 1] {
            let warm = observe(ready, chain, &bytes, gas_left);
            assert_eq!(
                warm,
                observe(&Runtime::new(settings()), chain, &bytes, gas_left),
                "gas left: {gas_left}"
            );
            match warm.0 {
                Answer::Abort { .. } => aborted += 1,
                Answer::OutOfGas { .. } => out_of_gas += 1,
                Answer::Done { .. } => {}
            }
        }
        // And with the request's own limit there. Its length changes the price a little, the same for both.
        let mut limited = request.clone();
        for limit in [mark - 1, mark, mark + 1] {
            limited.gas_limit = Some(limit);
            let bytes = encode(Operation::Infer(limited.clone()));
            assert_eq!(
                observe(ready, chain, &bytes, u64::MAX),
                observe(&Runtime::new(settings()), chain, &bytes, u64::MAX),
                "gas limit: {limit}"
            );
        }
    }
    assert!(aborted > 0 && out_of_gas > 0);
}

#[test]
fn gas_and_queries_are_the_same_whether_the_model_is_ready_or_not() {
    let (mut chain, ready) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    let request = question(id);
    infer(&ready, &mut chain, request.clone());
    let asked: Vec<u64> = chain.asked.iter().map(|(id, _)| *id).collect();
    assert_eq!(asked, std::iter::once(id).chain(1..id).collect::<Vec<_>>());
    assert!(id > 4, "this model should take several shards");
    same_ready_or_not(&ready, &mut chain, &request);

    // A plan that names the model twice pays and asks twice.
    let mut plan = request.clone();
    plan.steps.push(request.steps[0].clone());
    same_ready_or_not(&ready, &mut chain, &plan);

    // Nor does it matter where a shard is missing, replaced, or cannot be told.
    chain.forget(3);
    same_ready_or_not(&ready, &mut chain, &request);
    chain.replace(3, plain_module());
    same_ready_or_not(&ready, &mut chain, &request);
    chain.fail = Some(ChainError::Failed("no".into()));
    let bytes = encode(Operation::Infer(request));
    let cold = Runtime::new(settings());
    assert_eq!(
        observe(&ready, &mut chain, &bytes, u64::MAX),
        observe(&cold, &mut chain, &bytes, u64::MAX)
    );
}

#[test]
fn the_chain_is_told_which_models_were_used_and_whether_they_were_ready() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    let mut plan = question(id);
    plan.steps.push(plan.steps[0].clone());
    infer(&runtime, &mut chain, plan.clone());
    let checksum = chain.checksum(id);
    assert_eq!(chain.used, [(checksum, false), (checksum, true)]);

    // A runtime that keeps nothing still reads a model once a request.
    let none = Runtime::new(Settings {
        cache_bytes: 0,
        ..settings()
    });
    chain.used.clear();
    infer(&none, &mut chain, plan.clone());
    assert_eq!(chain.used, [(checksum, false), (checksum, true)]);

    chain.used.clear();
    chain.forget(1);
    refused(&runtime, &mut chain, plan, ErrorCode::ShardMissing);
    assert_eq!(chain.used, []);
}

#[test]
fn a_missing_and_a_replaced_shard_are_told_apart_also_of_a_model_that_is_ready() {
    let (mut chain, ready) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    infer(&ready, &mut chain, question(id));
    let (stored, checksum) = (chain.module(2).to_vec(), chain.checksum(2));

    chain.forget(2);
    let message = refused(&ready, &mut chain, question(id), ErrorCode::ShardMissing);
    assert!(
        message.contains("shard 1 ") && message.contains("code id 2"),
        "{message}"
    );

    chain.replace(2, plain_module());
    let message = refused(&ready, &mut chain, question(id), ErrorCode::ShardReplaced);
    for part in [
        "shard 1 ".to_string(),
        "code id 2".to_string(),
        hex(&checksum),
        hex(&chain.checksum(2)),
    ] {
        assert!(message.contains(&part), "{message}");
    }

    chain.replace(2, stored);
    infer(&ready, &mut chain, question(id));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn all_shards_are_resolved_before_any_is_read() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    // What would be found by reading the first shard does not come up before the last one is resolved.
    let mut manifest = v1::Manifest::decode(section(chain.module(id))).unwrap();
    let contract = chain.store_module(plain_module());
    manifest.shards[0] = v1::Shard {
        code_id: contract,
        checksum: chain.checksum(contract).to_vec(),
    };
    manifest.shards.last_mut().unwrap().code_id = 999;
    let broken = chain.store_module(module::wrap_manifest(&manifest));
    refused(&runtime, &mut chain, question(broken), ErrorCode::ShardMissing);
}

fn section(wasm: &[u8]) -> &[u8] {
    match module::carried(wasm).unwrap() {
        module::Carried::Manifest(bytes) => bytes,
        other => panic!("no manifest: {other:?}"),
    }
}

#[test]
fn shards_that_make_another_model_or_none_are_refused() {
    let mut chain = Table::new();
    let model = model();
    let manifest = chain.store_shards(&model, SHARD_BYTES);
    let other = whole(&doubler(-99, 99, false));
    let foreign = chain.store_shards(&other, SHARD_BYTES);
    let contract = chain.store_module(plain_module());
    let whole_id = chain.store_module(model.clone());
    let shard = |id: u64, chain: &Table| v1::Shard {
        code_id: id,
        checksum: chain.checksum(id).to_vec(),
    };
    let (contract, whole_id) = (shard(contract, &chain), shard(whole_id, &chain));

    let mut swapped = manifest.clone();
    swapped.shards.swap(0, 1);
    let message = invalid(&mut chain, &swapped);
    assert!(message.contains("another checksum"), "{message}");

    let differs = (0..manifest.shards.len()).find(|at| manifest.shards[*at].checksum != foreign.shards[*at].checksum);
    let mut mixed = manifest.clone();
    mixed.shards[differs.unwrap()] = foreign.shards[differs.unwrap()].clone();
    let message = invalid(&mut chain, &mixed);
    assert!(message.contains("another checksum"), "{message}");

    for no_shard in [contract, whole_id] {
        let mut mixed = manifest.clone();
        mixed.shards[2] = no_shard;
        mixed.shards.truncate(3);
        mixed.size = 2 * SHARD_BYTES as u64 + 1;
        let message = invalid(&mut chain, &mixed);
        assert!(message.contains("the code of shard 2 carries no shard"), "{message}");
    }

    // A whole model whose checksum is that of another file of the same length.
    let mut lie = manifest.clone();
    lie.checksum = Sha256::digest(&other).to_vec();
    invalid(&mut chain, &lie);

    for size in [manifest.size - 1, manifest.size + 1, 1, limits::MAX_MODEL_BYTES] {
        let mut lie = manifest.clone();
        lie.size = size;
        let message = invalid(&mut chain, &lie);
        assert!(message.contains("bytes up to shard"), "{message}");
    }
    let mut short = manifest.clone();
    short.shards.pop();
    invalid(&mut chain, &short);
    let mut long = manifest.clone();
    long.shards.push(manifest.shards[0].clone());
    invalid(&mut chain, &long);
}

#[test]
fn no_more_shards_are_read_than_the_size_stated_asks_for() {
    /// Knows the size of modules that it cannot read.
    struct Unreadable(Table, u64);
    impl Chain for Unreadable {
        fn code_checksum(&mut self, code_id: u64, gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
            self.0.code_checksum(code_id, gas_left)
        }
        fn own_checksum(&self) -> [u8; 32] {
            self.0.own
        }
        fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
            self.0.module_size(checksum)
        }
        fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
            assert_ne!(*checksum, self.0.checksum(self.1), "read shard {}", self.1);
            self.0.module_bytes(checksum)
        }
    }
    let mut table = Table::new();
    let manifest = table.store_shards(&model(), SHARD_BYTES);
    let shards = 1..=manifest.shards.len() as u64;
    let stored: u64 = shards.map(|id| table.module(id).len() as u64).sum();
    let mut refusal = |size, unread| {
        let lie = v1::Manifest {
            size,
            ..manifest.clone()
        };
        let id = table.store_module(module::wrap_manifest(&lie));
        let request = encode(Operation::Infer(question(id)));
        let mut chain = Unreadable(std::mem::take(&mut table), unread);
        let answer = Runtime::new(settings()).answer(&request, u64::MAX, &mut chain);
        table = chain.0;
        let Answer::Done { response, .. } = answer else {
            panic!("not answered: {answer:?}")
        };
        let error = error_of(&response);
        assert_eq!(error.code, ErrorCode::InvalidModel as u32);
        error.message
    };
    // More than the modules have in all: not one is read.
    let message = refusal(stored + 1, 1);
    assert!(message.contains(&format!("hold {stored} bytes")), "{message}");
    // Passed by the first: the second is not read.
    let message = refusal(SHARD_BYTES as u64 - 1, 2);
    assert!(message.contains("hold 48 bytes up to shard 0"), "{message}");
}

#[test]
fn joined_bytes_that_are_no_model_are_refused() {
    let mut chain = Table::new();
    let manifest = chain.store_shards(&model(), SHARD_BYTES);
    let nested = module::wrap_manifest(&manifest);
    let shard = module::split(&model(), SHARD_BYTES).remove(0);
    for joined in [
        nested,
        shard,
        plain_module(),
        b"no module".to_vec(),
        module::wrap(b"no graph", b""),
    ] {
        let manifest = chain.store_shards(&joined, SHARD_BYTES);
        invalid(&mut chain, &manifest);
    }
    // A manifest that names a manifest instead of a shard.
    let inner = chain.store_sharded(&model(), SHARD_BYTES);
    let outer = module::manifest(&model(), [(inner, chain.checksum(inner))]);
    let message = invalid(&mut chain, &outer);
    assert!(message.contains("carries no shard"), "{message}");
}

#[test]
fn a_manifest_is_within_its_limits_or_refused() {
    let mut chain = Table::new();
    let good = chain.store_shards(&model(), SHARD_BYTES);
    let with = |change: &dyn Fn(&mut v1::Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest
    };
    let shards = |count| vec![good.shards[0].clone(); count];
    for (manifest, words) in [
        (with(&|m| m.shards.clear()), "names 0 shards"),
        (with(&|m| m.shards = shards(129)), "names 129 shards"),
        (with(&|m| m.size = 0), "has 0 bytes"),
        (
            with(&|m| m.size = limits::MAX_MODEL_BYTES + 1),
            "allowed are 1 to 67108864",
        ),
        (with(&|m| m.size = u64::MAX), "allowed are 1 to 67108864"),
        (with(&|m| m.checksum.truncate(31)), "31 bytes instead of 32"),
        (with(&|m| m.shards[1].checksum.push(0)), "33 bytes instead of 32"),
        (with(&|m| m.shards[1].checksum.clear()), "0 bytes instead of 32"),
        (with(&|m| m.checksum = vec![0; 9_000]), "above the limit of 8192"),
    ] {
        let message = invalid(&mut chain, &manifest);
        assert!(message.contains(words), "{message}");
        assert_eq!(
            Runtime::new(settings())
                .check_model(&module::wrap_manifest(&manifest))
                .unwrap_err()
                .code(),
            ErrorCode::InvalidModel
        );
    }
    // As many as allowed.
    let model = model();
    let id = chain.store_sharded(&model, model.len().div_ceil(limits::MAX_SHARDS));
    infer(&Runtime::new(settings()), &mut chain, question(id));
    let empty = module::split(b"", 1);
    assert!(empty.is_empty());
    let nothing = chain.store_module(carrying(&[(SHARD_SECTION, b"")]));
    let mut padded = chain.store_shards(&model, 64);
    padded.shards.resize(
        limits::MAX_SHARDS,
        v1::Shard {
            code_id: nothing,
            checksum: chain.checksum(nothing).to_vec(),
        },
    );
    let id = chain.store_module(module::wrap_manifest(&padded));
    infer(&Runtime::new(settings()), &mut chain, question(id));
}

#[test]
fn a_manifest_has_one_encoding_and_hostile_bytes_are_refused() {
    let mut chain = Table::new();
    let good = chain.store_shards(&model(), SHARD_BYTES).encode_to_vec();
    let runtime = Runtime::new(settings());
    let check = |chain: &mut Table, bytes: &[u8]| {
        let wasm = carrying(&[(MANIFEST_SECTION, bytes)]);
        assert!(runtime.check_model(&wasm).is_err());
        let id = chain.store_module(wasm);
        refused(&runtime, chain, question(id), ErrorCode::InvalidModel)
    };
    // An unknown field, a repeated one, a number in more bytes than it needs, a default written out.
    for more in [b"\x20\x01".as_slice(), b"\x18\x01", b"\x18\x81\x00", b"\x18\x00"] {
        check(&mut chain, &[good.as_slice(), more].concat());
    }
    // Lengths without bytes, endless numbers, an empty shard many times over, groups.
    for bytes in [
        b"".to_vec(),
        b"\x0a\xff\xff\xff\xff\x0f".to_vec(),
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        vec![0xff; 100],
        [0x0a, 0x00].repeat(4_000),
        [0x0a, 0x00].repeat(1 << 20),
        vec![0x0b; 8_000],
    ] {
        check(&mut chain, &bytes);
    }
    for at in 0..good.len() {
        check(&mut chain, &good[..at]);
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            let id = chain.store_module(carrying(&[(MANIFEST_SECTION, &flipped)]));
            let error = try_infer(&runtime, &mut chain, question(id)).unwrap_err();
            let code = ErrorCode::from_number(error.code).unwrap();
            assert!(
                [
                    ErrorCode::InvalidModel,
                    ErrorCode::ShardMissing,
                    ErrorCode::ShardReplaced
                ]
                .contains(&code),
                "byte {at}, bit {bit}: {}",
                error.message
            );
        }
    }
}

#[test]
fn a_module_of_two_kinds_is_refused() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let manifest = chain.store_shards(&model(), SHARD_BYTES).encode_to_vec();
    let encoded = module::sections(&model()).unwrap().unwrap().graph.to_vec();
    for sections in [
        [(GRAPH_SECTION, encoded.as_slice()), (MANIFEST_SECTION, &manifest)],
        [(GRAPH_SECTION, &encoded), (SHARD_SECTION, b"slice")],
        [(SHARD_SECTION, b"slice"), (MANIFEST_SECTION, &manifest)],
        [(MANIFEST_SECTION, &manifest), (MANIFEST_SECTION, &manifest)],
    ] {
        let wasm = carrying(&sections);
        assert!(runtime.check_model(&wasm).is_err());
        let id = chain.store_module(wasm);
        refused(&runtime, &mut chain, question(id), ErrorCode::InvalidModel);
    }
}

#[test]
fn a_shard_alone_is_no_model_and_is_checked_as_a_shard() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    let message = refused(&runtime, &mut chain, question(1), ErrorCode::NotAModel);
    assert!(message.contains("manifest"), "{message}");
    for part in 1..=id {
        assert_eq!(runtime.check_model(chain.module(part)), Ok(()));
    }
    assert!(runtime.check_model(&plain_module()).is_err());
}

#[test]
fn a_contract_may_carry_the_manifest_of_its_own_model() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    chain.own = chain.checksum(id);
    let mut own = question(id);
    own.steps[0].model = Some(v1::ModelRef {
        reference: Some(v1::model_ref::Reference::OwnCode(v1::OwnCode {})),
        checksum: vec![],
    });
    let answer = infer(&runtime, &mut chain, own);
    assert_eq!(answer.outputs[0].integers().unwrap(), [6, -8]);
    assert_eq!(answer.receipt.unwrap().models[0].code_id, 0);
}

#[test]
fn a_shard_named_twice_is_paid_for_twice() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let model = whole(&dense(32, 128));
    let mut manifest = chain.store_shards(&model, 512);
    // Equal slices under the first code id that holds them.
    let shards = manifest.shards.clone();
    for shard in &mut manifest.shards {
        shard.code_id = shards
            .iter()
            .find(|other| other.checksum == shard.checksum)
            .unwrap()
            .code_id;
    }
    let count = manifest.shards.len() as u64;
    assert!(manifest.shards.windows(2).any(|two| two[0] == two[1]));
    let id = chain.store_module(module::wrap_manifest(&manifest));
    let input = integers("x", &[32], &[1; 32]);
    for _ in 0..2 {
        let bytes = encode(Operation::Infer(one_step(id, input.clone())));
        let Answer::Done { external, .. } = runtime.answer(&bytes, u64::MAX, &mut chain) else {
            panic!("not answered")
        };
        assert_eq!(external, (count + 1) * Table::QUERY_GAS);
    }
    let info = model_info(&runtime, &mut chain, id);
    let sizes = manifest
        .shards
        .iter()
        .map(|shard| chain.module(shard.code_id).len() as u64);
    assert_eq!(info.stored_bytes, chain.module(id).len() as u64 + sizes.sum::<u64>());
    same_ready_or_not(&runtime, &mut chain, &one_step(id, input));
}

#[test]
fn shards_above_the_limit_together_are_refused_unread_and_unpaid() {
    struct Huge(Vec<u8>);
    impl Chain for Huge {
        fn code_checksum(&mut self, code_id: u64, _: u64) -> (Result<[u8; 32], ChainError>, u64) {
            (Ok([code_id as u8; 32]), 0)
        }
        fn own_checksum(&self) -> [u8; 32] {
            [0; 32]
        }
        fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
            Ok(match checksum[0] {
                1 => self.0.len() as u64,
                2 => limits::MAX_SHARDED_BYTES,
                _ => 1,
            })
        }
        fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
            assert_eq!(checksum[0], 1, "read a shard of a model that is too large");
            Ok(self.0.clone())
        }
    }
    let manifest = module::manifest(&model(), [(2, [2; 32]), (3, [3; 32])]);
    let mut chain = Huge(module::wrap_manifest(&manifest));
    let request = encode(Operation::Infer(question(1)));
    let Answer::Done { response, gas, .. } = Runtime::new(settings()).answer(&request, u64::MAX, &mut chain) else {
        panic!("not answered")
    };
    assert_eq!(error_of(&response).code, ErrorCode::ModelTooLarge as u32);
    let paid = price::call(request.len() as u64) + price::load(chain.0.len() as u64);
    assert_eq!(gas, paid + price::load(limits::MAX_SHARDED_BYTES));
    // Gas for all but the last shard's module: nothing has been read.
    let short = Runtime::new(settings()).answer(&request, gas - 1, &mut chain);
    assert_eq!(short, Answer::OutOfGas { gas, external: 0 });
}

#[test]
fn a_module_that_is_longer_than_what_was_paid_is_a_fault_of_the_node() {
    struct Growing(Vec<u8>);
    impl Chain for Growing {
        fn code_checksum(&mut self, _: u64, _: u64) -> (Result<[u8; 32], ChainError>, u64) {
            (Ok([1; 32]), 0)
        }
        fn own_checksum(&self) -> [u8; 32] {
            [1; 32]
        }
        fn module_size(&self, _: &[u8; 32]) -> Result<u64, NodeFault> {
            Ok(self.0.len() as u64 - 1)
        }
        fn module_bytes(&self, _: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
            Ok(self.0.clone())
        }
    }
    let request = encode(Operation::Infer(question(1)));
    let answer = Runtime::new(settings()).answer(&request, u64::MAX, &mut Growing(model()));
    assert!(matches!(answer, Answer::Abort { fault: Some(_), .. }), "{answer:?}");
}

#[test]
fn a_node_that_lost_a_shard_is_at_fault() {
    let (mut chain, ready) = (Table::new(), Runtime::new(settings()));
    let id = chain.store_sharded(&model(), SHARD_BYTES);
    let bytes = encode(Operation::Infer(question(id)));
    let want = ready.answer(&bytes, u64::MAX, &mut chain);
    chain.lose_file(2);
    let lost = Runtime::new(settings()).answer(&bytes, u64::MAX, &mut chain);
    assert!(matches!(lost, Answer::Abort { fault: Some(_), .. }), "{lost:?}");
    // A node that has the model ready goes on as the others do.
    assert_eq!(ready.answer(&bytes, u64::MAX, &mut chain), want);
}

#[test]
fn all_modules_of_a_model_count_against_the_limit_of_a_plan() {
    let mut chain = Table::new();
    let padding = vec![0; limits::MAX_MODEL_BYTES as usize - 1_000];
    let mut ids = Vec::new();
    for bound in [10, 11, 12] {
        let model = whole(&doubler(-bound, bound, true));
        let shard = carrying(&[(SHARD_SECTION, &model), ("padding", &padding)]);
        let shard = chain.store_module(shard);
        let manifest = module::manifest(&model, [(shard, chain.checksum(shard))]);
        ids.push(chain.store_module(module::wrap_manifest(&manifest)));
    }
    let runtime = Runtime::new(settings());
    let mut plan = question(ids[0]);
    plan.steps.push(question(ids[1]).steps.remove(0));
    infer(&runtime, &mut chain, plan.clone());
    plan.steps.push(question(ids[2]).steps.remove(0));
    refused(&runtime, &mut chain, plan, ErrorCode::InvalidPlan);
}
