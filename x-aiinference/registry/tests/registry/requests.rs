//! The ways of a request.

use aiinference_multi_test::{cw_multi_test::Executor, GasLimits, SDK_GAS};
use aiinference_registry::msg::{
    Callback, ExecuteMsg, HeavyRequest, Input, Mode, ModelStatus, Outcome, Proven, QueryMsg, Reason, Request, Status,
    Terms,
};
use aiinference_std::Output;
use cosmwasm_std::{to_json_binary, Addr, Binary, Coin, WasmMsg};
use prost::Message;
use test_requester::Reaction;

use crate::{fixtures::tensor, world::*};

fn ids(requests: &[Request]) -> Vec<u64> {
    requests.iter().map(|request| request.id).collect()
}

fn taken_by(world: &World, prover: &Addr) -> Vec<u64> {
    let requests: Vec<Request> = world.query(&QueryMsg::TakenBy {
        prover: prover.to_string(),
        start_after: None,
        limit: None,
    });
    ids(&requests)
}

/// Everything that there is lies with somebody, and the registry holds what it owes.
fn assert_settled(world: &World) {
    let requests: Vec<Request> = world.query(&QueryMsg::Requests {
        start_after: None,
        limit: Some(100),
    });
    let owed = requests.iter().map(|request| match request.status {
        Status::Open {} => uint(&request.fee),
        Status::Taken { .. } => uint(&request.fee) + uint(&request.bond),
        Status::Kept {} | Status::Undelivered { .. } => 0,
    });
    let claims = [&world.alice, &world.prover, &world.rival, &world.contract].map(|account| world.claimable(account));
    let owed = owed.sum::<u128>() + claims.iter().sum::<u128>();
    assert_eq!(world.balance(&world.registry), owed);
    let people = [
        &world.alice,
        &world.prover,
        &world.rival,
        &world.contract,
        &world.registry,
    ];
    let all: u128 = people.iter().map(|account| world.balance(account)).sum();
    assert_eq!(all, 4 * PURSE);
}

#[test]
fn a_proven_result_pays_the_prover_and_is_told_in_the_circuits_format() {
    let mut world = World::new();
    let id = world.request_with_callback(0, &Reaction::default());
    assert_eq!(ids(&world.pending()), [id]);
    world.take(id);
    assert_eq!(taken_by(&world, &world.prover), [id]);
    assert_settled(&world);

    // Unnamed, in quarters and of another shape: all the same to the proof, and not what the contract is to see.
    let four_times: Vec<i32> = world.public.fixture.proofs[0].outputs.iter().map(|y| 4 * y).collect();
    let mut quarters = tensor("", &four_times);
    quarters.fraction_bits = 2;
    let ExecuteMsg::Fulfil { proof, .. } = world.fulfilment(id, 0) else {
        panic!()
    };
    let outputs = vec![Binary::from(quarters.encode_to_vec())];
    let fulfil = ExecuteMsg::Fulfil {
        id,
        outputs,
        proof,
        defer: false,
    };
    let prover = world.prover.clone();
    let response = world.must(&prover, &fulfil, &[]);
    assert_eq!(told(&response, "end", "outcome").as_deref(), Some("proven"));

    let told = world.noted(id).unwrap();
    assert_eq!((told.times, &told.sender), (1, &world.registry.to_string()));
    assert_eq!(
        (told.result.id, &told.result.initiator),
        (id, &world.contract.to_string())
    );
    let Outcome::Proven(proof) = told.result.result else {
        panic!("{:?}", told.result)
    };
    assert!(proof.approved);
    assert_eq!(proof.prover, world.prover);
    let y = Output::decode(&proof.outputs[0]).unwrap();
    assert_eq!((y.name(), y.shape(), y.fraction_bits()), ("y", &[1, 3][..], 0));
    let wanted = world.public.fixture.proofs[0].outputs.iter().map(|&y| i64::from(y));
    assert!(y.integers().eq(wanted));

    assert_eq!(world.balance(&world.prover), PURSE + MIN_FEE);
    assert_eq!(world.balance(&world.contract), PURSE - MIN_FEE);
    assert_eq!(world.see(id), None);
    assert!(world.pending().is_empty() && taken_by(&world, &world.prover).is_empty());
    assert_settled(&world);
}

#[test]
fn without_a_callback_the_result_is_kept_until_it_is_discarded() {
    let mut world = World::new();
    let id = world.request(world.heavy(1));
    world.take(id);
    world.fulfil(id, 1);
    let seen = world.see(id).unwrap();
    assert_eq!(seen.request.status, Status::Kept {});
    assert!(matches!(seen.result, Some(Outcome::Proven(_))));
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    let said = world.refused(
        &alice,
        &ExecuteMsg::Deliver {
            id,
            gas_limit: 1_000_000,
        },
        &[],
    );
    assert!(said.contains("without a callback"), "{said}");
    for msg in [expire(id), ExecuteMsg::Cancel { id }, take(id)] {
        let funds: &[Coin] = match msg {
            ExecuteMsg::Take { .. } => &coins(MIN_BOND),
            _ => &[],
        };
        let said = world.refused(&alice, &msg, funds);
        assert!(said.contains("has ended"), "{said}");
    }
    let discard = ExecuteMsg::Discard { id };
    assert!(world.refused(&prover, &discard, &[]).contains("only the requester"));
    world.must(&alice, &discard, &[]);
    assert_eq!(world.see(id), None);
    assert!(world.refused(&alice, &discard, &[]).contains("there is no request"));
    assert_settled(&world);
}

#[test]
fn a_taker_that_is_late_loses_its_bond_and_another_may_take_it() {
    let mut world = World::new();
    let id = world.request(world.heavy(0));
    world.take(id);
    let (alice, prover, rival) = (world.alice.clone(), world.prover.clone(), world.rival.clone());
    let take = take(id);
    assert!(world
        .refused(&rival, &take, &coins(MIN_BOND))
        .contains("its taker's until"));
    assert!(world.refused(&rival, &expire(id), &[]).contains("its taker's until"));
    assert!(world
        .refused(&alice, &ExecuteMsg::Cancel { id }, &[])
        .contains("its taker's until"));
    world.pass(WINDOW);
    // Exactly when the time is up.
    let late = world.fulfilment(id, 0);
    assert!(world.refused(&prover, &late, &[]).contains("a time that is up"));
    let response = world.must(&rival, &expire(id), &[]);
    assert_eq!(actions(&response), ["reopen"]);
    assert_eq!(told(&response, "reopen", "forfeited"), Some(prover.to_string()));
    assert_eq!(world.balance(&alice), PURSE - MIN_FEE + MIN_BOND);
    assert_eq!(world.balance(&prover), PURSE - MIN_BOND);
    assert_settled(&world);
    assert!(world.refused(&prover, &late, &[]).contains("is not taken"));
    assert!(world.refused(&rival, &expire(id), &[]).contains("nobody's time is up"));

    // The next one is late, too, and is followed without anybody calling expire.
    world.must(&rival, &take, &coins(MIN_BOND));
    world.pass(WINDOW);
    let response = world.must(&prover, &take, &coins(MIN_BOND));
    assert_eq!(told(&response, "take", "forfeited"), Some(rival.to_string()));
    assert!(taken_by(&world, &rival).is_empty());
    assert_settled(&world);
    world.fulfil(id, 0);
    assert_eq!(world.balance(&alice), PURSE - MIN_FEE + 2 * MIN_BOND);
    assert_eq!(world.balance(&prover), PURSE + MIN_FEE - MIN_BOND);
    assert_settled(&world);
}

#[test]
fn at_the_deadline_the_requester_is_paid_back_and_told() {
    let mut world = World::new();
    let untaken = world.request_with_callback(0, &Reaction::default());
    let taken = world.request_with_callback(1, &Reaction::default());
    world.pass(LIFETIME - 10);
    world.take(taken);
    let Status::Taken { until, .. } = world.see(taken).unwrap().request.status else {
        panic!()
    };
    assert_eq!(until, world.see(taken).unwrap().request.deadline);
    world.pass(10);
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    let said = world.refused(&prover, &take(untaken), &coins(MIN_BOND));
    assert!(said.contains("has passed its deadline"), "{said}");
    for id in [untaken, taken] {
        world.must(&alice, &expire(id), &[]);
        let told = world.noted(id).unwrap();
        assert_eq!(told.times, 1);
        assert_eq!(told.result.result, Outcome::Failed(Reason::DeadlinePassed {}));
        assert_eq!(world.see(id), None);
    }
    assert_eq!(world.balance(&world.contract), PURSE + MIN_BOND);
    assert_eq!(world.balance(&world.prover), PURSE - MIN_BOND);
    assert_settled(&world);
}

#[test]
fn a_request_is_cancelled_while_nobody_has_it() {
    let mut world = World::new();
    let (alice, rival) = (world.alice.clone(), world.rival.clone());
    let id = world.request(world.heavy(0));
    assert!(world
        .refused(&rival, &ExecuteMsg::Cancel { id }, &[])
        .contains("only the requester"));
    world.must(&alice, &ExecuteMsg::Cancel { id }, &[]);
    assert_eq!(world.see(id), None);
    assert_eq!(world.balance(&alice), PURSE);
    // Or where who has it is late.
    let late = world.request(world.heavy(0));
    assert_eq!(late, id + 1);
    world.take(late);
    world.pass(WINDOW);
    let response = world.must(&alice, &ExecuteMsg::Cancel { id: late }, &[]);
    assert_eq!(told(&response, "cancel", "forfeited"), Some(world.prover.to_string()));
    assert_eq!(world.balance(&alice), PURSE + MIN_BOND);
    assert!(world.pending().is_empty() && taken_by(&world, &world.prover).is_empty());
    assert_settled(&world);
}

#[test]
fn a_callback_that_fails_holds_up_nothing_and_can_be_tried_again() {
    let mut world = World::new();
    let held = world.balance(&world.contract);
    // It fails while the contract holds less than it did before it paid the fee.
    let reaction = Reaction {
        fail_below: Some(coin(held)),
        ..Reaction::default()
    };
    let id = world.request_with_callback(0, &reaction);
    let endless = Reaction {
        work: u64::MAX,
        ..Reaction::default()
    };
    let runaway = world.request_with_callback(1, &endless);
    for (id, proof) in [(id, 0), (runaway, 1)] {
        world.take(id);
        let response = world.fulfil(id, proof);
        assert_eq!(actions(&response), ["end", "undelivered"]);
        assert!(world.noted(id).is_none());
        let seen = world.see(id).unwrap();
        assert!(matches!(seen.request.status, Status::Undelivered { .. }));
        assert!(matches!(seen.result, Some(Outcome::Proven(_))));
    }
    assert_eq!(world.balance(&world.prover), PURSE + 2 * MIN_FEE);
    assert_settled(&world);

    let rival = world.rival.clone();
    let starving = ExecuteMsg::Deliver { id, gas_limit: 499_999 };
    assert!(world.refused(&rival, &starving, &[]).contains("only the requester"));
    let deliver = |id| ExecuteMsg::Deliver { id, gas_limit: 500_000 };
    // It fails still, whoever tries it, and everything is as before.
    world.refused(&rival, &deliver(id), &[]);
    assert!(world.send(&deliver(id), vec![]).is_err());
    assert!(world.see(id).is_some());
    let (alice, contract) = (world.alice.clone(), world.contract.clone());
    world.app.send_tokens(alice, contract, &coins(2 * MIN_FEE)).unwrap();
    world.must(&rival, &deliver(id), &[]);
    assert_eq!(world.noted(id).unwrap().times, 1);
    assert_eq!(world.see(id), None);
    assert!(world.send(&deliver(id), vec![]).is_err());
    assert_eq!(world.noted(id).unwrap().times, 1);
    world.send(&ExecuteMsg::Discard { id: runaway }, vec![]).unwrap();
    assert_eq!(world.see(runaway), None);
}

#[test]
fn an_end_may_leave_the_callback_to_whoever_delivers_it() {
    let mut world = World::new();
    let (prover, rival) = (world.prover.clone(), world.rival.clone());
    let proven = world.request_with_callback(0, &Reaction::default());
    let late = world.request_with_callback(1, &Reaction::default());
    world.take(proven);
    let response = world.must(&prover, &deferred(world.fulfilment(proven, 0)), &[]);
    assert_eq!(actions(&response), ["end"]);
    assert_eq!(told(&response, "end", "callback").as_deref(), Some("deferred"));
    assert_eq!(world.balance(&prover), PURSE + MIN_FEE);
    world.pass(LIFETIME);
    let response = world.must(&rival, &deferred(expire(late)), &[]);
    assert_eq!(told(&response, "end", "callback").as_deref(), Some("deferred"));
    assert_eq!(world.balance(&world.contract), PURSE - MIN_FEE);
    assert_settled(&world);

    for id in [proven, late] {
        assert!(world.noted(id).is_none());
        let seen = world.see(id).unwrap();
        let reason = "deferred by who ended it".to_owned();
        assert_eq!(seen.request.status, Status::Undelivered { reason });
        assert!(seen.result.is_some() && world.pending().is_empty());
        // It has ended: there is no second end, deferred or not.
        for again in [world.fulfilment(id, 0), expire(id), take(id)] {
            let said = world.refused(&prover, &deferred(again), &[]);
            assert!(said.contains("has ended") || said.contains("it takes"), "{said}");
        }
        let starving = ExecuteMsg::Deliver { id, gas_limit: 499_999 };
        assert!(world.refused(&rival, &starving, &[]).contains("only the requester"));
        let deliver = ExecuteMsg::Deliver { id, gas_limit: 500_000 };
        world.must(&rival, &deliver, &[]);
        assert_eq!(world.noted(id).unwrap().times, 1);
        assert!(world.refused(&rival, &deliver, &[]).contains("there is no request"));
    }
    // Where no callback was asked for, there is none to leave.
    let quiet = world.request(world.heavy(0));
    world.take(quiet);
    let response = world.must(&prover, &deferred(world.fulfilment(quiet, 0)), &[]);
    assert_eq!(told(&response, "end", "callback").as_deref(), Some("false"));
    assert_eq!(world.see(quiet).unwrap().request.status, Status::Kept {});
}

#[test]
fn a_callback_that_fails_the_whole_transaction_does_not_cost_the_bond() {
    let mut world = World::new();
    let prover = world.prover.clone();
    // Nothing that reaches the registry says so: the chain stops in the middle, as it does where its own code panics.
    let endless = Reaction {
        work: u64::MAX,
        ..Reaction::default()
    };
    let ids = [
        world.request_with_callback(0, &endless),
        world.request_with_callback(0, &endless),
    ];
    for id in ids {
        world.take(id);
    }
    let limits = GasLimits {
        transaction: 450_000 * SDK_GAS,
        ..GasLimits::default()
    };
    world.vm.set_gas_limits(limits);
    let fulfil = world.fulfilment(ids[0], 0);
    let said = world.refused(&prover, &fulfil, &[]);
    assert!(said.to_lowercase().contains("gas"), "{said}");
    assert!(matches!(
        world.see(ids[0]).unwrap().request.status,
        Status::Taken { .. }
    ));
    world.must(&prover, &deferred(fulfil), &[]);
    assert_eq!(world.balance(&prover), PURSE + MIN_FEE - MIN_BOND);
    world.pass(LIFETIME);
    world.refused(&prover, &expire(ids[1]), &[]);
    world.must(&prover, &deferred(expire(ids[1])), &[]);
    assert_settled(&world);
}

#[test]
fn a_taker_says_how_much_time_it_needs() {
    let mut world = World::new();
    let prover = world.prover.clone();
    let take = |id, seconds| ExecuteMsg::Take {
        id,
        min_seconds: Some(seconds),
    };
    let [early, late] = [world.request(world.heavy(0)), world.request(world.heavy(0))];
    let said = world.refused(&prover, &take(early, WINDOW + 1), &coins(MIN_BOND));
    assert!(said.contains("for 60 whole seconds, and it wants 61"), "{said}");
    world.must(&prover, &take(early, WINDOW), &coins(MIN_BOND));
    // The transaction comes into a block shortly before the deadline.
    world.pass(LIFETIME - 20);
    let said = world.refused(&prover, &take(late, 21), &coins(MIN_BOND));
    assert!(said.contains("for 20 whole seconds"), "{said}");
    assert_eq!(world.see(late).unwrap().request.status, Status::Open {});
    world.must(&prover, &take(late, 20), &coins(MIN_BOND));
    assert_settled(&world);
}

#[test]
fn a_request_may_name_the_very_code_that_it_is_about() {
    let mut world = World::new();
    let alice = world.alice.clone();
    let with = |world: &World, model, circuit| {
        let mut msg = world.heavy(0);
        msg.checksum = model;
        let Mode::Proven(proven) = &mut msg.mode;
        proven.checksum = circuit;
        msg
    };
    let (model, circuit) = (world.model.checksum, world.public.code.checksum);
    world.request(with(&world, Some(model), Some(circuit)));
    for (msg, words) in [
        (with(&world, Some(circuit), None), "the checksum of the model is"),
        (with(&world, None, Some(model)), "the checksum of the circuit is"),
    ] {
        let said = world.refused(&alice, &ExecuteMsg::Request(msg), &coins(MIN_FEE));
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_callback_that_failed_for_what_its_ender_did_around_it_is_delivered_by_a_stranger() {
    // Chains count how deep calls nest: ended from within 98 of them, a callback that calls another contract fails. The embedded chain
    // counts no such thing. A lock that is held meanwhile fails a callback in the same way, by the context that its ender chose.
    let mut world = World::new();
    let (contract, rival) = (world.contract.clone(), world.rival.clone());
    let id = world.request_with_callback(0, &Reaction::default());
    world.pass(LIFETIME);
    let expire = WasmMsg::Execute {
        contract_addr: world.registry.to_string(),
        msg: to_json_binary(&expire(id)).unwrap(),
        funds: vec![],
    };
    let locked = test_requester::ExecuteMsg::SendLocked {
        messages: vec![expire.into()],
    };
    let response = world.app.execute_contract(rival.clone(), contract, &locked, &[]);
    assert_eq!(actions(&response.unwrap()), ["end", "undelivered"]);
    assert!(world.noted(id).is_none());
    let deliver = ExecuteMsg::Deliver { id, gas_limit: 500_000 };
    world.must(&rival, &deliver, &[]);
    assert_eq!(world.noted(id).unwrap().times, 1);
    assert_eq!(world.see(id), None);
    assert_settled(&world);
}

#[test]
fn the_largest_message_comes_back_with_a_callback_that_fails() {
    let mut world = World::new();
    let rival = world.rival.clone();
    let fail = |length: usize| Reaction {
        fail: Some("x".repeat(length)),
        ..Reaction::default()
    };
    let rest = to_json_binary(&fail(0)).unwrap().len();
    let reaction = fail(8_192 - rest);
    let msg = to_json_binary(&reaction).unwrap();
    assert_eq!(msg.len(), 8_192);
    let [proven, late] = [0, 1].map(|proof| world.request_with_callback(proof, &reaction));
    world.take(proven);
    world.fulfil(proven, 0);
    world.pass(LIFETIME);
    world.must(&rival, &expire(late), &[]);
    for id in [proven, late] {
        let seen = world.see(id).unwrap();
        assert!(matches!(seen.request.status, Status::Undelivered { .. }));
        assert_eq!(seen.callback_msg, Some(msg.clone()));
        assert!(seen.result.is_some());
    }
    assert_settled(&world);
}

#[test]
fn results_that_are_here_keep_nobody_from_requesting() {
    let mut world = World::new();
    let alice = world.alice.clone();
    let ids: Vec<u64> = (0..40).map(|_| world.request(world.heavy(0))).collect();
    let another = ExecuteMsg::Request(world.heavy(0));
    let said = world.refused(&alice, &another, &coins(MIN_FEE));
    assert!(said.contains("40 requests of this account have not ended"), "{said}");
    world.take(ids[0]);
    world.fulfil(ids[0], 0);
    assert!(world.see(ids[0]).is_some());
    world.request(world.heavy(0));
    world.refused(&alice, &another, &coins(MIN_FEE));
    world.must(&alice, &ExecuteMsg::Discard { id: ids[0] }, &[]);
    world.refused(&alice, &another, &coins(MIN_FEE));
}

#[test]
fn a_request_gives_the_model_something() {
    let mut world = World::new();
    let alice = world.alice.clone();
    let nothing = HeavyRequest {
        input: Input::default(),
        ..world.heavy(0)
    };
    let said = world.refused(&alice, &ExecuteMsg::Request(nothing), &coins(MIN_FEE));
    assert!(said.contains("gives the model nothing"), "{said}");
}

#[test]
fn a_callback_cannot_touch_its_own_request_and_may_make_another() {
    let mut world = World::new();
    let registry = world.registry.to_string();
    let message = |msg: &ExecuteMsg, funds: Vec<Coin>| {
        vec![cosmwasm_std::WasmMsg::Execute {
            contract_addr: registry.clone(),
            msg: to_json_binary(msg).unwrap(),
            funds,
        }
        .into()]
    };
    let first = 1;
    for (offset, own) in [
        ExecuteMsg::Cancel { id: first },
        expire(first + 1),
        ExecuteMsg::Discard { id: first + 2 },
    ]
    .iter()
    .enumerate()
    {
        let reaction = Reaction {
            messages: message(own, vec![]),
            ..Reaction::default()
        };
        let id = world.request_with_callback(0, &reaction);
        assert_eq!(id, first + offset as u64);
        world.take(id);
        let response = world.fulfil(id, 0);
        assert_eq!(actions(&response), ["end", "undelivered"]);
    }
    let reaction = Reaction {
        messages: message(&ExecuteMsg::Request(world.heavy(1)), coins(MIN_FEE)),
        ..Reaction::default()
    };
    let id = world.request_with_callback(0, &reaction);
    world.take(id);
    let response = world.fulfil(id, 0);
    assert!(actions(&response).contains(&"request".to_owned()));
    assert_eq!(world.pending().len(), 1);
    assert_settled(&world);
}

#[test]
fn what_the_chain_does_not_send_can_be_claimed() {
    let mut world = World::new();
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    let id = world.request_with_callback(0, &Reaction::default());
    world.take(id);
    world.block(&prover, true);
    let response = world.fulfil(id, 0);
    // The callback has run all the same.
    assert_eq!(
        told(&response, "unpaid", "amount"),
        Some(coin(MIN_FEE + MIN_BOND).to_string())
    );
    assert_eq!(world.noted(id).unwrap().times, 1);
    assert_eq!(world.claimable(&prover), MIN_FEE + MIN_BOND);
    assert_settled(&world);

    let claim = |receiver: Option<&Addr>| ExecuteMsg::Claim {
        denom: DENOM.to_owned(),
        receiver: receiver.map(|receiver| receiver.to_string()),
    };
    assert!(world
        .refused(&alice, &claim(Some(&alice)), &[])
        .contains("there is nothing"));
    // It is still blocked: nothing is lost.
    world.refused(&prover, &claim(None), &[]);
    assert_eq!(world.claimable(&prover), MIN_FEE + MIN_BOND);
    // Coins of the registry's own would be nobody's.
    let registry = world.registry.clone();
    let said = world.refused(&prover, &claim(Some(&registry)), &[]);
    assert!(said.contains("the receiver is the registry itself"), "{said}");
    world.must(&prover, &claim(Some(&world.rival.clone())), &[]);
    assert_eq!(world.balance(&world.rival), PURSE + MIN_FEE + MIN_BOND);
    assert!(world.refused(&prover, &claim(None), &[]).contains("there is nothing"));

    // Refunds, and bonds that are lost, likewise.
    world.block(&alice, true);
    let id = world.request(world.heavy(0));
    world.must(&alice, &ExecuteMsg::Cancel { id }, &[]);
    let id = world.request(world.heavy(0));
    world.take(id);
    world.pass(WINDOW);
    world.must(&world.rival.clone(), &take(id), &coins(MIN_BOND));
    assert_eq!(world.claimable(&alice), MIN_FEE + MIN_BOND);
    assert_settled(&world);
    world.block(&alice, false);
    world.must(&alice, &claim(None), &[]);
    assert_settled(&world);
}

#[test]
fn what_may_be_claimed_is_claimed_coin_by_coin() {
    let mut world = World::new();
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    mint_other(&mut world);
    let terms = |denom: &str, min_fee, min_bond| Terms {
        denom: denom.to_owned(),
        min_fee: amount(min_fee),
        min_bond: amount(min_bond),
    };
    let two = ExecuteMsg::UpdateConfig {
        admin: None,
        terms: Some(vec![terms(DENOM, MIN_FEE, MIN_BOND), terms("uother", 7, 5)]),
        max_requests: None,
        max_callback_gas: None,
        max_lifetime: None,
    };
    world.must(&world.admin.clone(), &two, &[]);
    let usual = world.request(world.heavy(0));
    let msg = ExecuteMsg::Request(world.heavy(1));
    let other = requested(world.must(&alice, &msg, &[Coin::new(9u128, "uother")]));
    // A bond is in the coins of the fee.
    let said = world.refused(&prover, &take(other), &coins(5));
    assert!(said.contains("it takes 5uother"), "{said}");
    world.take(usual);
    world
        .app
        .send_tokens(alice, prover.clone(), &[Coin::new(5u128, "uother")])
        .unwrap();
    world.must(&prover, &take(other), &[Coin::new(5u128, "uother")]);
    world.block(&prover, true);
    world.fulfil(usual, 0);
    world.fulfil(other, 1);
    let claimable = |world: &World, start_after: Option<&str>| -> Vec<String> {
        let coins: Vec<Coin> = world.query(&QueryMsg::Claimable {
            account: world.prover.to_string(),
            start_after: start_after.map(str::to_owned),
            limit: None,
        });
        coins.iter().map(Coin::to_string).collect()
    };
    assert_eq!(claimable(&world, None), ["150ucoin", "14uother"]);
    assert_eq!(claimable(&world, Some(DENOM)), ["14uother"]);
    world.block(&prover, false);
    let claim = |denom: &str| ExecuteMsg::Claim {
        denom: denom.to_owned(),
        receiver: None,
    };
    world.must(&prover, &claim(DENOM), &[]);
    assert_eq!(world.balance(&prover), PURSE + MIN_FEE);
    assert_eq!(claimable(&world, None), ["14uother"]);
    assert!(world.refused(&prover, &claim(DENOM), &[]).contains("there is nothing"));
    world.must(&prover, &claim("uother"), &[]);
    let held = |account: &Addr| world.app.wrap().query_balance(account, "uother").unwrap().to_string();
    assert_eq!(
        (held(&prover), held(&world.registry)),
        ("14uother".into(), "0uother".into())
    );
}

#[test]
fn at_the_deadline_a_withdrawn_approval_is_the_reason_and_the_bond_is_its_takers() {
    let mut world = World::new();
    let id = world.request_with_callback(0, &Reaction::default());
    world.pass(LIFETIME - 10);
    world.take(id);
    world.pass(10);
    world.approve(false);
    let deadline = world.see(id).unwrap().request.deadline;
    assert_eq!(world.app.block_info().time, deadline);
    world.must(&world.rival.clone(), &expire(id), &[]);
    let result = world.noted(id).unwrap().result.result;
    assert_eq!(result, Outcome::Failed(Reason::CircuitDisapproved {}));
    assert_eq!(
        (world.balance(&world.prover), world.balance(&world.contract)),
        (PURSE, PURSE)
    );
    assert_settled(&world);
}

#[test]
fn where_approval_is_withdrawn_everybody_gets_back_what_is_theirs() {
    let mut world = World::new();
    let (alice, prover) = (world.alice.clone(), world.prover.clone());
    let open = world.request_with_callback(0, &Reaction::default());
    let taken = world.request_with_callback(0, &Reaction::default());
    let mut bold = world.heavy(0);
    let Mode::Proven(proven) = &mut bold.mode;
    proven.accept_unapproved = true;
    let bold = world.request(bold);
    let cancelled = world.request(world.heavy(0));
    world.take(taken);
    world.take(cancelled);
    world.approve(false);

    let said = world.refused(&prover, &take(open), &coins(MIN_BOND));
    assert!(said.contains("is not approved any more"), "{said}");
    let done = world.fulfilment(taken, 0);
    assert!(world.refused(&prover, &done, &[]).contains("is not approved any more"));
    for id in [open, taken] {
        world.must(&alice, &expire(id), &[]);
        let told = world.noted(id).unwrap();
        assert_eq!(told.result.result, Outcome::Failed(Reason::CircuitDisapproved {}));
    }
    // Who takes a request back does not get the bond of a taker that was not allowed to fulfil it.
    world.pass(WINDOW);
    world.must(&alice, &ExecuteMsg::Cancel { id: cancelled }, &[]);
    assert_eq!((world.balance(&prover), world.balance(&world.contract)), (PURSE, PURSE));
    // Who said that it need not be approved gets its result.
    world.take(bold);
    world.fulfil(bold, 0);
    let Some(Outcome::Proven(proof)) = world.see(bold).unwrap().result else {
        panic!()
    };
    assert!(!proof.approved);
    assert_settled(&world);
}

#[test]
fn a_request_says_what_it_accepts_of_a_circuit() {
    let mut world = World::new();
    let alice = world.alice.clone();
    let id = world.public.code.code_id;
    let trusted = srs(&world.public.fixture);
    let proven = |accept_unapproved, accept_srs| HeavyRequest {
        mode: Mode::Proven(Proven {
            circuit: id,
            checksum: None,
            accept_unapproved,
            accept_unreproducible: false,
            accept_srs,
        }),
        ..world.heavy(0)
    };
    let (fussy, other) = (proven(false, vec![]), proven(false, vec![[3; 32].into()]));
    let many = proven(false, vec![trusted; 17]);
    let (strict, bold) = (proven(false, vec![trusted]), proven(true, vec![trusted]));
    let mut unknown = world.heavy(0);
    let Mode::Proven(named) = &mut unknown.mode;
    named.circuit = 999;
    for (msg, words) in [
        (fussy, "structured reference string that is not accepted"),
        (other, "structured reference string that is not accepted"),
        (many, "it accepts 17"),
        (unknown, "looking for a circuit"),
    ] {
        let said = world.refused(&alice, &ExecuteMsg::Request(msg), &coins(MIN_FEE));
        assert!(said.contains(words), "{said}");
    }
    world.approve(false);
    let said = world.refused(&alice, &ExecuteMsg::Request(strict.clone()), &coins(MIN_FEE));
    assert!(said.contains("is not approved"), "{said}");
    world.request(bold.clone());

    let owner = world.owner.clone();
    let retire = |retired| ExecuteMsg::RetireCircuit {
        model: the_model(),
        circuit: id,
        retired,
    };
    assert!(world.refused(&alice, &retire(true), &[]).contains("only the owner"));
    world.must(&owner, &retire(true), &[]);
    let said = world.refused(&alice, &ExecuteMsg::Request(bold.clone()), &coins(MIN_FEE));
    assert!(said.contains("is retired"), "{said}");
    // The one that is here goes on.
    let [request] = &world.pending()[..] else { panic!() };
    let request = request.id;
    world.take(request);
    world.fulfil(request, 0);
    world.must(&owner, &retire(false), &[]);
    world.request(bold);

    // A deprecated version takes no requests, a superseded one does by its version.
    world.approve(true);
    world.register_model("2.0.0");
    let said = world.refused(&alice, &ExecuteMsg::Request(strict.clone()), &coins(MIN_FEE));
    assert!(
        said.contains("looking for a circuit"),
        "by name, the highest is meant: {said}"
    );
    let exact = HeavyRequest {
        model: the_model(),
        ..strict
    };
    let set = |status| ExecuteMsg::SetStatus {
        model: the_model(),
        status,
    };
    world.must(&owner, &set(ModelStatus::Superseded { by: version("2.0.0") }), &[]);
    world.request(exact.clone());
    let reason = String::new();
    world.must(&owner, &set(ModelStatus::Deprecated { reason }), &[]);
    let said = world.refused(&alice, &ExecuteMsg::Request(exact), &coins(MIN_FEE));
    assert!(said.contains("is deprecated"), "{said}");
}

#[test]
fn an_unreproducible_circuit_is_used_by_who_accepts_it() {
    let mut world = World::new();
    let mut message = world.public.fixture.message();
    message.models = vec![aiinference_types::v1::CircuitModel {
        code_id: world.model.code_id,
        checksum: world.model.checksum.as_bytes().to_vec(),
    }];
    message.reproducible = false;
    let code = world.store(&aiinference_vm::runtime::module::wrap_circuit(&message));
    let mut register = world.public.register(the_model());
    register.code = code.clone();
    world.must(&world.owner.clone(), &ExecuteMsg::RegisterCircuit(register), &[]);
    let approve = ExecuteMsg::ApproveCircuit {
        model: the_model(),
        circuit: code.code_id,
        checksum: None,
        approved: true,
    };
    world.must(&world.admin.clone(), &approve, &[]);
    let mut msg = world.heavy(2);
    let Mode::Proven(proven) = &mut msg.mode;
    proven.circuit = code.code_id;
    let alice = world.alice.clone();
    let said = world.refused(&alice, &ExecuteMsg::Request(msg.clone()), &coins(MIN_FEE));
    assert!(said.contains("nobody but its owner can rebuild"), "{said}");
    let Mode::Proven(proven) = &mut msg.mode;
    proven.accept_unreproducible = true;
    let id = world.request(msg);
    world.take(id);
    world.fulfil(id, 2);
    assert!(matches!(world.see(id).unwrap().result, Some(Outcome::Proven(_))));
}

#[test]
fn a_hashed_input_is_proven_by_who_holds_it() {
    let mut world = World::new();
    let (prover, rival) = (world.prover.clone(), world.rival.clone());
    let mut msg = world.heavy(0);
    msg.input = input(&world.hashed.fixture, 1);
    msg.prover = Some(prover.to_string());
    let Mode::Proven(proven) = &mut msg.mode;
    proven.circuit = world.hashed.code.code_id;
    proven.accept_unapproved = true;
    let id = world.request(msg);
    let take = take(id);
    assert!(world
        .refused(&rival, &take, &coins(MIN_BOND))
        .contains("names as its prover"));
    world.must(&prover, &take, &coins(MIN_BOND));
    let fixture = &world.hashed.fixture;
    let other = ExecuteMsg::Fulfil {
        id,
        outputs: outputs(fixture, 0),
        proof: fixture.proofs[0].bytes().into(),
        defer: false,
    };
    let true_one = ExecuteMsg::Fulfil {
        id,
        outputs: outputs(fixture, 1),
        proof: fixture.proofs[1].bytes().into(),
        defer: false,
    };
    assert!(world
        .refused(&prover, &other, &[])
        .contains("the proof does not show that"));
    world.must(&prover, &true_one, &[]);
    assert!(matches!(world.see(id).unwrap().result, Some(Outcome::Proven(_))));
    assert_settled(&world);
}

#[test]
fn a_proof_on_a_hash_answers_every_request_on_that_hash() {
    // As documented: a proof binds circuit, hash and outputs, and no request. Who wants a proof made anew takes a fresh salt.
    let mut world = World::new();
    let (prover, rival) = (world.prover.clone(), world.rival.clone());
    let fixture = world.hashed.fixture.clone();
    let mut msg = world.heavy(0);
    msg.input = input(&fixture, 1);
    let Mode::Proven(proven) = &mut msg.mode;
    proven.circuit = world.hashed.code.code_id;
    proven.accept_unapproved = true;
    let [first, second] = [world.request(msg.clone()), world.request(msg.clone())];
    let fulfil = |id| ExecuteMsg::Fulfil {
        id,
        outputs: outputs(&fixture, 1),
        proof: fixture.proofs[1].bytes().into(),
        defer: false,
    };
    world.must(&prover, &take(first), &coins(MIN_BOND));
    world.must(&prover, &fulfil(first), &[]);
    // It is public now. Still, who copies it must have taken the request.
    assert!(world.refused(&rival, &fulfil(second), &[]).contains("is not taken"));
    world.must(&rival, &take(second), &coins(MIN_BOND));
    world.must(&rival, &fulfil(second), &[]);
    // With another salt it is another hash, and the proof is worth nothing.
    msg.input = input(&fixture, 0);
    let salted = world.request(msg);
    world.must(&rival, &take(salted), &coins(MIN_BOND));
    let said = world.refused(&rival, &fulfil(salted), &[]);
    assert!(said.contains("the proof does not show that"), "{said}");
    assert_settled(&world);
}

#[test]
fn fees_bonds_times_and_callbacks_have_bounds() {
    let mut world = World::new();
    let alice = world.alice.clone();
    let callback = |gas_limit, bytes: usize| {
        Some(Callback {
            msg: vec![0; bytes].into(),
            gas_limit,
        })
    };
    let base = world.heavy(0);
    let with = |change: &dyn Fn(&mut HeavyRequest)| {
        let mut msg = base.clone();
        change(&mut msg);
        msg
    };
    for (msg, words) in [
        (
            with(&|msg| msg.bond = Some(amount(MIN_BOND - 1))),
            "the bond must be 50 at least",
        ),
        (with(&|msg| msg.bond = Some(cosmwasm_std::Uint256::MAX)), "verflow"),
        (with(&|msg| msg.take_window = 0), "a taker's window is 0 seconds"),
        (
            with(&|msg| msg.take_window = LIFETIME + 1),
            "a taker's window is 601 seconds",
        ),
        (with(&|msg| msg.lifetime = 0), "its lifetime is 0 seconds"),
        (with(&|msg| msg.lifetime = u64::MAX), "its lifetime is"),
        (with(&|msg| msg.callback = callback(0, 0)), "gas limit is 0"),
        (
            with(&|msg| msg.callback = callback(2_000_001, 0)),
            "gas limit is 2000001",
        ),
        (with(&|msg| msg.callback = callback(1, 8_193)), "has 8193 bytes"),
        (with(&|msg| msg.model.name = "nobody".to_owned()), "looking for a model"),
    ] {
        let said = world.refused(&alice, &ExecuteMsg::Request(msg), &coins(MIN_FEE));
        assert!(said.contains(words), "{said}");
    }
    let request = ExecuteMsg::Request(base.clone());
    let more = [coin(MIN_FEE), Coin::new(1u128, "uother")];
    mint_other(&mut world);
    for (funds, words) in [
        (&[][..], "it takes coins of one kind"),
        (&more[..], "it takes coins of one kind"),
        (
            &[Coin::new(1_000u128, "uother")],
            "no terms are for a fee of 1000uother",
        ),
        (&coins(MIN_FEE - 1), "no terms are for a fee of 99ucoin"),
    ] {
        let said = world.refused(&alice, &request, funds);
        assert!(said.contains(words), "{said}");
    }
    let id = world.request(with(&|msg| msg.bond = Some(amount(70))));
    let prover = world.prover.clone();
    for funds in [&[][..], &coins(69), &coins(71)] {
        let said = world.refused(&prover, &take(id), funds);
        assert!(said.contains("it takes 70ucoin"), "{said}");
    }
    let said = world.refused(&alice, &ExecuteMsg::Cancel { id }, &coins(1));
    assert!(said.contains("it takes no coins"), "{said}");
    assert_settled(&world);
}

fn mint_other(world: &mut World) {
    use aiinference_multi_test::cw_multi_test::{BankSudo, SudoMsg};
    let mint = BankSudo::Mint {
        to_address: world.alice.to_string(),
        amount: vec![Coin::new(5_000u128, "uother")],
    };
    world.app.sudo(SudoMsg::Bank(mint)).unwrap();
}

#[test]
fn an_account_has_so_many_requests_and_no_more() {
    let mut world = World::new();
    for _ in 0..40 {
        world.request(world.heavy(0));
    }
    let alice = world.alice.clone();
    let one_more = ExecuteMsg::Request(world.heavy(0));
    let said = world.refused(&alice, &one_more, &coins(MIN_FEE));
    assert!(said.contains("40 requests of this account"), "{said}");
    // Others are not held up, and whoever is gone makes room.
    world.request_with_callback(0, &Reaction::default());
    world.must(&alice, &ExecuteMsg::Cancel { id: 7 }, &[]);
    world.must(&alice, &one_more, &coins(MIN_FEE));

    let page = |after, limit| {
        let requests: Vec<Request> = world.query(&QueryMsg::Pending {
            circuit: world.public.code.code_id,
            start_after: after,
            limit,
        });
        ids(&requests)
    };
    assert_eq!(page(None, Some(3)), [1, 2, 3]);
    assert_eq!(page(Some(5), Some(3)), [6, 8, 9]);
    assert_eq!(page(None, None).len(), 30);
    let all: Vec<Request> = world.query(&QueryMsg::RequestsOf {
        requester: alice.to_string(),
        start_after: None,
        limit: Some(1_000),
    });
    assert_eq!(all.len(), 40);
    assert_settled(&world);
}
