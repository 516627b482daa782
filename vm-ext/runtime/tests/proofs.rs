//! Checking proofs through requests: circuits as code, prices, refusals.

mod common;
#[path = "../../verifier/tests/common/mod.rs"]
mod fixtures;

use aiinference_runtime::{
    module::{self, Carried},
    price,
    verifier::evm_gas_limit,
    Answer, Runtime,
};
use aiinference_types::{
    limits,
    v1::{self, request::Operation, response::Result as Outcome},
    ErrorCode,
};
use common::{doubler, encode, error_of, model_ref, plain_module, settings, whole, Table};
use fixtures::{fixture, hash, tensor, Fixture};
use prost::Message;
use wasm_encoder::{CustomSection, Section};

/// A request that a circuit under this code id answers with yes.
fn claim(fixture: &Fixture, code_id: u64, proof: usize) -> v1::VerifyRequest {
    let message = fixture.message();
    let proof = &fixture.proofs[proof];
    let hashed = proof.hash.is_some();
    v1::VerifyRequest {
        circuit: model_ref(code_id),
        proof: proof.bytes(),
        inputs: (!hashed).then(|| tensor("x", &proof.inputs)).into_iter().collect(),
        hashes: hashed.then(|| hash("x", &proof.hash())).into_iter().collect(),
        outputs: vec![tensor("y", &proof.outputs)],
        accepted_srs: vec![message.srs],
        accept_unreproducible: false,
        gas_limit: None,
    }
}

fn ask(chain: &mut Table, request: v1::VerifyRequest) -> (Outcome, u64) {
    let bytes = encode(Operation::Verify(request));
    let runtime = Runtime::new(settings());
    let first = runtime.answer(&bytes, u64::MAX, chain);
    assert_eq!(first, runtime.answer(&bytes, u64::MAX, chain));
    match first {
        Answer::Done { response, gas, .. } => (v1::Response::decode(response.as_slice()).unwrap().result.unwrap(), gas),
        other => panic!("not answered: {other:?}"),
    }
}

fn verdict(chain: &mut Table, request: v1::VerifyRequest) -> v1::VerifyResponse {
    match ask(chain, request) {
        (Outcome::Verify(answer), gas) => {
            assert_eq!(answer.gas, gas);
            answer
        }
        (other, _) => panic!("no verdict: {other:?}"),
    }
}

fn refused(chain: &mut Table, request: v1::VerifyRequest) -> ErrorCode {
    match ask(chain, request) {
        (Outcome::Error(error), _) => ErrorCode::from_number(error.code).unwrap(),
        (other, _) => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_circuit_is_found_in_its_module() {
    let message = fixture("public").message();
    let wasm = module::wrap_circuit(&message);
    assert_eq!(module::carried(&wasm), Ok(Carried::Circuit(&message.encode_to_vec())));
    assert_eq!(Runtime::new(settings()).check_model(&wasm), Ok(()));
    let mut bad = message;
    bad.srs[0] ^= 1;
    assert!(Runtime::new(settings())
        .check_model(&module::wrap_circuit(&bad))
        .is_err());
}

#[test]
fn valid_proofs_are_told_from_invalid_ones_for_the_same_price() {
    for name in ["public", "hashed", "many"] {
        let fixture = fixture(name);
        let mut chain = Table::new();
        let id = chain.store_module(module::wrap_circuit(&fixture.message()));
        let good = claim(&fixture, id, 0);
        let yes = verdict(&mut chain, good.clone());
        assert!(yes.valid && yes.reproducible);
        assert_eq!(yes.circuit_checksum, chain.checksum(id));
        assert_eq!((yes.models, yes.srs), (fixture.message().models, fixture.message().srs));
        let mut forged = good.clone();
        forged.outputs[0].data[0] ^= 1;
        let mut damaged = good.clone();
        damaged.proof[40] ^= 1;
        let mut replayed = claim(&fixture, id, fixture.proofs.len() - 1);
        replayed.proof = good.proof;
        if fixture.proofs.len() == 1 {
            replayed.inputs[0].data[700] ^= 1;
        }
        for bad in [forged, damaged, replayed] {
            let no = verdict(&mut chain, bad);
            assert!(!no.valid);
            assert!(no.gas.abs_diff(yes.gas) < 1_000_000, "{} and {}", no.gas, yes.gas);
        }
    }
}

#[test]
fn the_price_is_that_of_lengths() {
    let fixture = fixture("public");
    let wasm = module::wrap_circuit(&fixture.message());
    let load = price::load(wasm.len() as u64) + price::graph(fixture.message().encoded_len() as u64);
    let mut chain = Table::new();
    let id = chain.store_module(wasm);
    let request = claim(&fixture, id, 0);
    let bytes = encode(Operation::Verify(request.clone()));
    let price = price::call(bytes.len() as u64) + load + price::verify(evm_gas_limit(&fixture.circuit()));
    assert_eq!(verdict(&mut chain, request.clone()).gas, price);

    let runtime = Runtime::new(settings());
    let enough = price + Table::QUERY_GAS;
    assert!(matches!(
        runtime.answer(&bytes, enough, &mut chain),
        Answer::Done { .. }
    ));
    match runtime.answer(&bytes, enough - 1, &mut chain) {
        Answer::OutOfGas { gas, .. } => assert_eq!(gas, price),
        other => panic!("not out of gas: {other:?}"),
    }
    // The request's own limit is answered, and the check was not paid for.
    let mut limited = request;
    let longer = price::REQUEST_BYTE * 16;
    for (limit, fits) in [(price + longer, true), (price - 1, false), (0, false)] {
        limited.gas_limit = Some(limit);
        match ask(&mut chain, limited.clone()) {
            (Outcome::Verify(answer), _) => assert!(fits && answer.valid),
            (Outcome::Error(error), gas) => {
                assert!(!fits && gas < price / 2);
                assert_eq!(error.code, ErrorCode::GasLimitExceeded as u32);
            }
            (other, _) => panic!("neither: {other:?}"),
        }
    }
}

#[test]
fn only_trusted_reference_strings_and_owners_are_taken() {
    let fixture = fixture("public");
    let mut chain = Table::new();
    let id = chain.store_module(module::wrap_circuit(&fixture.message()));
    let good = claim(&fixture, id, 0);
    let mut by_default = good.clone();
    by_default.accepted_srs.clear();
    assert_eq!(refused(&mut chain, by_default), ErrorCode::SrsNotAccepted);
    let mut other = good.clone();
    other.accepted_srs = vec![fixtures::fixture("other-srs").message().srs];
    assert_eq!(refused(&mut chain, other.clone()), ErrorCode::SrsNotAccepted);
    other.accepted_srs.push(fixture.message().srs);
    assert!(verdict(&mut chain, other).valid);
    for accepted in [vec![vec![0; 31]], vec![vec![]], vec![vec![0; 32]; 17]] {
        let mut odd = good.clone();
        odd.accepted_srs = accepted;
        assert_eq!(refused(&mut chain, odd), ErrorCode::MalformedRequest);
    }

    let mut message = fixture.message();
    message.reproducible = false;
    message.models.clear();
    let id = chain.store_module(module::wrap_circuit(&message));
    let mut request = claim(&fixture, id, 0);
    assert_eq!(refused(&mut chain, request.clone()), ErrorCode::UnreproducibleCircuit);
    request.accept_unreproducible = true;
    let answer = verdict(&mut chain, request);
    assert!(answer.valid && !answer.reproducible && answer.models.is_empty());
}

#[test]
fn what_is_no_circuit_or_no_claim_is_refused() {
    let fixture = fixture("public");
    let mut chain = Table::new();
    let id = chain.store_module(module::wrap_circuit(&fixture.message()));
    let model = chain.store(&doubler(-5, 5, false));
    let plain = chain.store_module(plain_module());
    let torn = chain.store_module(b"not wasm".to_vec());
    let mut broken = fixture.message();
    broken.verifying_key[14 * 32] ^= 1;
    let broken = chain.store_module(module::wrap_circuit(&broken));
    let mut scheme = fixture.message();
    scheme.scheme = 9;
    let scheme = chain.store_module(module::wrap_circuit(&scheme));
    let good = claim(&fixture, id, 0);
    for (code_id, code) in [
        (model, ErrorCode::NotACircuit),
        (plain, ErrorCode::NotACircuit),
        (torn, ErrorCode::InvalidCircuit),
        (broken, ErrorCode::InvalidCircuit),
        (scheme, ErrorCode::UnknownScheme),
        (99, ErrorCode::UnknownCodeId),
    ] {
        let mut bad = good.clone();
        bad.circuit = model_ref(code_id);
        assert_eq!(refused(&mut chain, bad), code, "code {code_id}");
    }
    type Change = fn(&mut v1::VerifyRequest);
    let changes: [(Change, ErrorCode); 9] = [
        (|r| r.circuit = None, ErrorCode::MalformedRequest),
        (
            |r| r.circuit.as_mut().unwrap().checksum = vec![0; 32],
            ErrorCode::ChecksumMismatch,
        ),
        (|r| r.proof.clear(), ErrorCode::WrongProofLength),
        (|r| r.proof.extend([0; 32]), ErrorCode::WrongProofLength),
        (|r| r.inputs.clear(), ErrorCode::InstanceMismatch),
        (|r| r.hashes.push(Default::default()), ErrorCode::InstanceMismatch),
        (|r| r.outputs[0].shape = vec![1], ErrorCode::MalformedTensor),
        (|r| r.inputs[0] = tensor("x", &[1000; 8]), ErrorCode::OutOfRange),
        (|r| r.inputs[0] = tensor("x", &[1; 9]), ErrorCode::ShapeMismatch),
    ];
    for (change, code) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(refused(&mut chain, bad), code);
    }
    // Too large for a circuit: refused unread, for the price of taking up the request.
    let mut large = module::wrap_circuit(&fixture.message());
    let padding = CustomSection {
        name: "else".into(),
        data: vec![0; limits::MAX_CIRCUIT_BYTES as usize].into(),
    };
    padding.append_to(&mut large);
    assert!(module::carried(&large).is_ok_and(|carried| matches!(carried, Carried::Circuit(_))));
    assert!(Runtime::new(settings()).check_model(&large).is_err());
    let mut bad = good.clone();
    bad.circuit = model_ref(chain.store_module(large));
    let call = price::call(encode(Operation::Verify(bad.clone())).len() as u64);
    match ask(&mut chain, bad) {
        (Outcome::Error(error), gas) => {
            assert_eq!((error.code, gas), (ErrorCode::InvalidCircuit as u32, call));
        }
        (other, _) => panic!("not refused: {other:?}"),
    }
    let mut pinned = good.clone();
    pinned.circuit.as_mut().unwrap().checksum = chain.checksum(id).to_vec();
    assert!(verdict(&mut chain, pinned).valid);
    // A circuit is no model.
    let infer = common::one_step(id, common::integers("x", &[8], &[0; 8]));
    match Runtime::new(settings()).answer(&encode(Operation::Infer(infer)), u64::MAX, &mut chain) {
        Answer::Done { response, .. } => assert_eq!(error_of(&response).code, ErrorCode::NotAModel as u32),
        other => panic!("not answered: {other:?}"),
    }
    assert!(module::carried(&whole(&doubler(-5, 5, false))).is_ok());
}

#[test]
fn a_hostile_key_is_an_error_that_was_paid_for() {
    let fixture = fixture("public");
    let mut chain = Table::new();
    let good = fixture.message();
    let mut halted = 0;
    for word in (24..good.verifying_key.len() / 32).step_by(7) {
        let mut bad = good.clone();
        bad.verifying_key[word * 32..][..32].fill(0xff);
        let id = chain.store_module(module::wrap_circuit(&bad));
        match ask(&mut chain, claim(&fixture, id, 0)) {
            (Outcome::Verify(answer), _) => assert!(!answer.valid, "word {word}"),
            (Outcome::Error(error), gas) => {
                assert_eq!(error.code, ErrorCode::VerifierHalted as u32);
                assert!(gas > price::verify(evm_gas_limit(&fixture.circuit())));
                halted += 1;
            }
            (other, _) => panic!("neither: {other:?}"),
        }
    }
    assert!(halted > 0);
}
