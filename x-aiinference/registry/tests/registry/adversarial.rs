//! What nobody may get through, and what must not harm.

use aiinference_multi_test::{GasLimits, SDK_GAS};
use aiinference_registry::msg::{ExecuteMsg, HeavyRequest, Input, NamedHash, Status};
use aiinference_std::Tensor;
use cosmwasm_std::{to_json_binary, Addr, Binary, WasmMsg};
use test_requester::Reaction;

use crate::world::*;

/// A request of Alice's on the input of the first proof, taken by the prover.
fn taken() -> (World, u64) {
    let mut world = World::new();
    let id = world.request(world.heavy(0));
    world.take(id);
    (world, id)
}

/// Refused with these words, and nothing has changed.
fn assert_refused(world: &mut World, sender: &Addr, msg: &ExecuteMsg, words: &str) {
    let before = world.app.dump_wasm_raw(&world.registry);
    let held = world.balance(&world.registry);
    let said = world.refused(sender, msg, &[]);
    assert!(said.contains(words), "{words}: {said}");
    assert!(world.app.dump_wasm_raw(&world.registry) == before);
    assert_eq!(world.balance(&world.registry), held);
}

#[test]
fn a_copied_proof_is_worth_nothing_to_who_has_not_taken_the_request() {
    let (mut world, id) = taken();
    let (rival, alice) = (world.rival.clone(), world.alice.clone());
    let copied = world.fulfilment(id, 0);
    for thief in [&rival, &alice] {
        assert_refused(&mut world, thief, &copied, "only its taker may");
    }
    // Nor to who has taken it before.
    world.pass(WINDOW);
    world.must(&rival, &take(id), &coins(MIN_BOND));
    let late = world.prover.clone();
    assert_refused(&mut world, &late, &copied, "only its taker may");
    world.must(&rival, &copied, &[]);
    // And once.
    assert_refused(&mut world, &rival, &copied, "has ended");
    let nowhere = world.fulfilment(id + 1, 0);
    assert_refused(&mut world, &rival, &nowhere, "there is no request");
}

#[test]
fn a_proof_of_anything_else_is_refused_and_changes_nothing() {
    let (mut world, id) = taken();
    let prover = world.prover.clone();
    let fixture = world.public.fixture.clone();
    let weights = crate::fixtures::fixture("other-weights");
    let hashed = world.hashed.fixture.clone();
    let strange = "the proof does not show that";
    let (true_outputs, true_proof) = (outputs(&fixture, 0), fixture.proofs[0].bytes());
    let fulfil = |outputs: Vec<Binary>, proof: Vec<u8>| ExecuteMsg::Fulfil {
        id,
        outputs,
        proof: proof.into(),
        defer: false,
    };
    let y = &fixture.proofs[0].outputs;
    let lie = encoded("y", &[y[0] + 1, y[1], y[2]]);
    let swapped = encoded("y", &[y[1], y[0], y[2]]);
    let both = [true_outputs.clone(), true_outputs.clone()].concat();
    let mut claims = vec![
        // Of another input, with that one's output and with this one's.
        (outputs(&fixture, 1), fixture.proofs[1].bytes(), strange),
        (true_outputs.clone(), fixture.proofs[1].bytes(), strange),
        (outputs(&fixture, 1), true_proof.clone(), strange),
        // Of another model on the same input.
        (outputs(&weights, 0), weights.proofs[0].bytes(), strange),
        // Of another circuit of the same model.
        (true_outputs.clone(), hashed.proofs[0].bytes(), "error 65"),
        (vec![lie], true_proof.clone(), strange),
        (vec![swapped], true_proof.clone(), strange),
        (vec![], true_proof.clone(), "error 66"),
        (both, true_proof.clone(), "error 66"),
        (vec![encoded("z", y)], true_proof.clone(), "error 66"),
        (vec![encoded("y", &y[1..])], true_proof.clone(), "error 23"),
        (vec![encoded("y", &[i32::MAX, 0, 0])], true_proof.clone(), "error 25"),
        (vec![Binary::from(b"\xff\xff")], true_proof.clone(), "number 0"),
        (true_outputs.clone(), vec![], "error 65"),
        (
            true_outputs.clone(),
            true_proof[..true_proof.len() - 32].to_vec(),
            "error 65",
        ),
        (true_outputs.clone(), [&true_proof[..], &[0; 32]].concat(), "error 65"),
        (true_outputs.clone(), vec![0; true_proof.len()], strange),
        (true_outputs.clone(), vec![0xff; true_proof.len()], strange),
    ];
    for word in (0..true_proof.len() / 32).step_by(7) {
        let mut flipped = true_proof.clone();
        flipped[word * 32 + 31] ^= 1;
        claims.push((true_outputs.clone(), flipped, strange));
    }
    for (outputs, proof, words) in claims {
        assert_refused(&mut world, &prover, &fulfil(outputs, proof), words);
    }
    world.must(&prover, &fulfil(true_outputs, true_proof), &[]);
}

#[test]
fn what_is_too_large_or_no_tensor_is_refused_before_anything_is_stored() {
    let (mut world, id) = taken();
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    let bytes = |count: usize| Binary::from(Tensor::from_u8s(&vec![1; count]).named("x").encode());
    let hash = |length: usize, fill: u8| NamedHash {
        name: "x".to_owned(),
        value: vec![fill; length].into(),
    };
    let inputs = |tensors, hashes| Input { tensors, hashes };
    for (input, words) in [
        (inputs(vec![bytes(24 << 10)], vec![]), "above the limit of 24576"),
        (inputs(vec![bytes(1); 65], vec![]), "it has 65 parts"),
        (inputs(vec![bytes(600); 64], vec![]), "above the limit"),
        (inputs(vec![], vec![hash(32, 1); 65]), "it has 65 parts"),
        (inputs(vec![], vec![hash(31, 1)]), "hash 0 is not 32 bytes"),
        (inputs(vec![], vec![hash(32, 0xff)]), "hash 0 is not 32 bytes"),
        (inputs(vec![bytes(3), Binary::from(b"no tensor")], vec![]), "number 1"),
    ] {
        let msg = ExecuteMsg::Request(HeavyRequest {
            input,
            ..world.heavy(0)
        });
        let before = world.app.dump_wasm_raw(&world.registry);
        let said = world.refused(&alice, &msg, &coins(MIN_FEE));
        assert!(said.contains(words), "{words}: {said}");
        assert!(world.app.dump_wasm_raw(&world.registry) == before);
    }
    let good = outputs(&world.public.fixture, 0);
    for (outputs, proof, words) in [
        (good.clone(), 16 * 1024 + 1, "a proof: its 16385 bytes"),
        (good.clone(), 200_000, "a proof: its 200000 bytes"),
        (good.clone(), 16 * 1024, "error 65"),
        (vec![bytes(20 << 10)], 3_616, "above the limit of 20480"),
        (vec![bytes(1); 65], 3_616, "it has 65 parts"),
    ] {
        let msg = ExecuteMsg::Fulfil {
            id,
            outputs,
            proof: vec![7; proof].into(),
            defer: false,
        };
        assert_refused(&mut world, &prover, &msg, words);
    }
}

#[test]
fn a_request_of_the_largest_input_can_be_handled() {
    let mut world = World::new();
    // The circuit takes no such input: a prover sees that before it takes the request. Nothing breaks for who does not look.
    let largest = Tensor::from_u8s(&vec![1; 24_000]).named("x").encode();
    let msg = HeavyRequest {
        input: Input {
            tensors: vec![largest.into()],
            hashes: vec![],
        },
        ..world.heavy(0)
    };
    let id = world.request(msg);
    world.take(id);
    let prover = world.prover.clone();
    let fulfilment = world.fulfilment(id, 0);
    assert_refused(&mut world, &prover, &fulfilment, "error 23");
    world.pass(LIFETIME);
    world.must(&prover, &expire(id), &[]);
}

#[test]
fn garbage_is_refused() {
    let (mut world, _) = taken();
    use aiinference_multi_test::cw_multi_test::Executor;
    let before = world.app.dump_wasm_raw(&world.registry);
    let long = [b"{\"take\":{\"id\":".as_slice(), &[b'1'; 10_000], b"}}"].concat();
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let misspelt = |request: &HeavyRequest, good: &str, bad: &str| {
        let text = String::from_utf8(to_json_binary(&ExecuteMsg::Request(request.clone())).unwrap().into()).unwrap();
        assert!(text.contains(good));
        text.replace(good, bad).into_bytes()
    };
    let request = world.heavy(0);
    let misspelt = [
        misspelt(&request, "\"prover\"", "\"provers\""),
        misspelt(&request, "\"callback\"", "\"call_back\""),
        misspelt(&request, "\"hashes\"", "\"hash\""),
        misspelt(&request, "\"accept_srs\"", "\"srs\""),
    ];
    for request in misspelt {
        let message = WasmMsg::Execute {
            contract_addr: world.registry.to_string(),
            msg: request.into(),
            funds: coins(MIN_FEE),
        };
        let sender = world.rival.clone();
        assert!(world.app.execute(sender, message.into()).is_err());
    }
    for garbage in [
        &b""[..],
        b"{}",
        b"null",
        b"\xff\xfe",
        b"{\"take\":{}}",
        b"{\"take\":{\"id\":-1}}",
        b"{\"take\":{\"id\":1,\"more\":2}}",
        b"{\"take\":{\"id\":18446744073709551616}}",
        b"{\"register_model\":{\"name\":\"abc\",\"version\":\"1.0\",\"code\":null}}",
        b"{\"fulfil\":{\"id\":1,\"outputs\":[\"?\"],\"proof\":\"\"}}",
        b"{\"take\":{\"id\":1},\"cancel\":{\"id\":1}}",
        &long,
        &deep,
    ] {
        let message = WasmMsg::Execute {
            contract_addr: world.registry.to_string(),
            msg: Binary::from(garbage),
            funds: vec![],
        };
        let sender = world.rival.clone();
        assert!(world.app.execute(sender, message.into()).is_err(), "{garbage:?}");
    }
    assert!(world.app.dump_wasm_raw(&world.registry) == before);
}

#[test]
fn who_fulfils_with_too_little_gas_cannot_keep_the_callback_from_its_gas() {
    let mut world = World::new();
    let mut limits = GasLimits::default();
    let (mut failed, mut done) = (0, 0);
    // It works for a while, within its own limit.
    let busy = Reaction {
        work: 2_000_000,
        ..Reaction::default()
    };
    for thousands in (130..480).step_by(7) {
        let id = world.request_with_callback(0, &busy);
        world.take(id);
        limits.transaction = thousands * 1_000 * SDK_GAS;
        world.vm.set_gas_limits(limits);
        let msg = world.fulfilment(id, 0);
        let prover = world.prover.clone();
        let result = world.execute(&prover, &msg, &[]);
        world.vm.set_gas_limits(GasLimits::default());
        match result {
            // All of it is undone.
            Err(_) => {
                failed += 1;
                assert!(matches!(world.see(id).unwrap().request.status, Status::Taken { .. }));
                world.fulfil(id, 0);
            }
            Ok(_) => done += 1,
        }
        assert_eq!(world.noted(id).unwrap().times, 1, "{thousands}");
        assert!(world.see(id).is_none());
    }
    assert!(failed > 5 && done > 5, "{failed} {done}");
}
