//! A contract compiled to Wasm has proofs checked on the embedded chain. `make contracts` builds the guest.

#[path = "../../verifier/tests/common/mod.rs"]
mod fixtures;

use std::{fs, path::Path};

use aiinference_multi_test::{cw_multi_test::Executor, Chain, CodeStore, StoreOptions};
use aiinference_vm::runtime::module;
use cosmwasm_std::{Addr, Binary, HexBinary, StdResult};
use fixtures::{fixture, Fixture};
use test_probe::{QueryMsg, Script, Step};

struct World {
    chain: Chain,
    owner: Addr,
    contract: Addr,
}

fn world() -> World {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/contracts/test-probe.wasm");
    let wasm =
        fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}; run `make contracts`", path.display()));
    let mut chain = Chain::with_store(CodeStore::new(StoreOptions::default()).unwrap());
    let owner = chain.account("owner");
    let code_id = chain.store_wasm(&wasm).unwrap();
    let contract = chain
        .instantiate_contract(code_id, owner.clone(), &Script::default(), &[], "probe", None)
        .unwrap();
    World { chain, owner, contract }
}

fn question(fixture: &Fixture, code_id: u64, proof: usize) -> QueryMsg {
    let proof = &fixture.proofs[proof];
    let integers = |values: &[i32]| values.iter().map(|&value| value.into()).collect();
    QueryMsg::Verify {
        code_id,
        proof: Binary::new(proof.bytes()),
        x: integers(&proof.inputs),
        y: integers(&proof.outputs),
        srs: vec![HexBinary::from(fixture.message().srs)],
        gas_limit: None,
    }
}

fn ask(world: &World, msg: &QueryMsg) -> StdResult<bool> {
    world.chain.wrap().query_wasm_smart(&world.contract, msg)
}

#[test]
fn a_contract_tells_true_claims_from_false_ones() {
    let mut world = world();
    let fixture = fixture("public");
    let circuit = world
        .chain
        .store_wasm(&module::wrap_circuit(&fixture.message()))
        .unwrap();
    for proof in 0..fixture.proofs.len() {
        assert!(ask(&world, &question(&fixture, circuit, proof)).unwrap());
        let mut lie = question(&fixture, circuit, proof);
        if let QueryMsg::Verify { y, .. } = &mut lie {
            y[0] += 1;
        }
        assert!(!ask(&world, &lie).unwrap());
    }
    // In an execution, whose transaction is charged for it.
    let note = Step::Note {
        key: "verdict".into(),
        query: question(&fixture, circuit, 0),
    };
    let script = Script {
        steps: vec![note],
        ..Default::default()
    };
    let (owner, contract) = (world.owner.clone(), world.contract.clone());
    world
        .chain
        .execute_contract(owner, contract.clone(), &script, &[])
        .unwrap();
    let verdict = QueryMsg::Get { key: "verdict".into() };
    let noted: Option<String> = world.chain.wrap().query_wasm_smart(&contract, &verdict).unwrap();
    assert_eq!(noted.as_deref(), Some("true"));
    let report = world.chain.last_transaction();
    let paid: u64 = report.calls.iter().map(|call| call.used_internally).sum();
    let limit = aiinference_verifier::evm_gas_limit(&fixture.circuit());
    assert!(paid > aiinference_vm::runtime::price::verify(limit));
}

#[test]
fn refusals_reach_the_contract() {
    let mut world = world();
    let fixture = fixture("public");
    let circuit = world
        .chain
        .store_wasm(&module::wrap_circuit(&fixture.message()))
        .unwrap();
    let mut untrusted = question(&fixture, circuit, 0);
    let mut poor = untrusted.clone();
    if let QueryMsg::Verify { srs, .. } = &mut untrusted {
        srs.clear();
    }
    if let QueryMsg::Verify { gas_limit, .. } = &mut poor {
        *gas_limit = Some(1_000_000_000);
    }
    for (question, number) in [
        (untrusted, "error 63"),
        (poor, "error 30"),
        (question(&fixture, 999, 0), "error 10"),
    ] {
        let error = ask(&world, &question).unwrap_err().to_string();
        assert!(error.contains(number), "{error}");
    }
}

#[test]
fn a_damaged_circuit_is_refused_at_upload() {
    let mut world = world();
    let mut message = fixture("public").message();
    message.verifying_key[14 * 32] ^= 1;
    assert!(world.chain.store_wasm(&module::wrap_circuit(&message)).is_err());
}
