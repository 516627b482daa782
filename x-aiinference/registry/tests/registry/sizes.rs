//! What things take: bytes of state, and gas. `--nocapture` shows the figures.

use aiinference_registry::msg::{ExecuteMsg, ModelName, ModelStatus, RegisterModel};
use test_requester::Reaction;

use crate::world::*;

/// Bytes of all keys and values.
fn stored(world: &World) -> usize {
    let all = world.app.dump_wasm_raw(&world.registry);
    all.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn gas(world: &World) -> u64 {
    world.vm.last_transaction().sdk_gas()
}

#[test]
fn a_model_takes_no_more_than_a_kibibyte_of_state() {
    let mut world = World::bare();
    let owner = world.owner.clone();
    let before = stored(&world);
    let name = "n".repeat(64);
    let msg = RegisterModel {
        name: name.clone(),
        version: version("2097151.2097151.2097151"),
        code: Some(world.model.clone()),
        description: "d".repeat(256),
    };
    let model = ModelName {
        name: name.clone(),
        version: Some(msg.version),
    };
    world.must(&owner, &ExecuteMsg::RegisterModel(msg), &[]);
    let registering = gas(&world);
    let active = stored(&world) - before;
    let offer = ExecuteMsg::TransferName {
        name,
        to: Some(world.alice.to_string()),
    };
    world.must(&owner, &offer, &[]);
    let status = ModelStatus::Deprecated {
        reason: "r".repeat(128),
    };
    let set = ExecuteMsg::SetStatus {
        model: model.clone(),
        status,
    };
    world.must(&owner, &set, &[]);
    let most = stored(&world) - before;
    let circuit = ExecuteMsg::RegisterCircuit(world.public.register(model));
    world.must(&owner, &circuit, &[]);
    let most_with_circuit = stored(&world) - before;

    let mut world = World::bare();
    let before = stored(&world);
    world.register_model("1.0.0");
    let usual = stored(&world) - before;
    let circuit = ExecuteMsg::RegisterCircuit(world.public.register(the_model()));
    world.must(&owner, &circuit, &[]);
    let with_circuit = stored(&world) - before;
    println!("state: a model {usual} B, with a circuit {with_circuit} B");
    println!("the largest: active {active} B, offered and deprecated {most} B, with a circuit {most_with_circuit} B");
    println!(
        "SDK gas: register_model {registering}, register_circuit {}",
        gas(&world)
    );
    assert!(active <= most && with_circuit <= 1_024 && most_with_circuit <= 1_024);
    // Each of its 8 circuits.
    assert!(most_with_circuit - most <= 192);
}

#[test]
fn a_request_takes_little_beyond_what_is_given_along() {
    let mut world = World::new();
    let before = stored(&world);
    // Numbers and counters of the first one stay.
    let first = world.request_with_callback(0, &Reaction::default());
    let open = stored(&world) - before;
    let request = gas(&world);
    world.take(first);
    let (taken, take) = (stored(&world) - before, gas(&world));
    world.fulfil(first, 0);
    let fulfil = gas(&world);
    let left = stored(&world) - before;
    let id = world.request(world.heavy(0));
    world.take(id);
    world.fulfil(id, 0);
    let (kept, quiet) = (stored(&world) - before, gas(&world));
    let id = world.request(world.heavy(0));
    world.take(id);
    world.pass(LIFETIME);
    world.must(&world.rival.clone(), &expire(id), &[]);
    let expire = gas(&world);
    println!("state: a request open {open} B, taken {taken} B, kept {kept} B; gone {left} B");
    println!(
        "SDK gas: request {request}, take {take}, fulfil {fulfil} with a callback and {quiet} without, expire {expire}"
    );
    assert!(taken <= 2_048 && left <= 32, "{taken} {left}");
    assert!(request <= 300_000 && take <= 200_000 && fulfil <= 600_000 && expire <= 300_000);
}

#[test]
fn however_many_requests_there_are_a_message_costs_the_same() {
    let costs = |others: usize| {
        let mut world = World::new();
        for _ in 0..others {
            world.request_with_callback(0, &Reaction::default());
        }
        let id = world.request(world.heavy(0));
        let request = gas(&world);
        world.take(id);
        let take = gas(&world);
        world.fulfil(id, 0);
        [request, take, gas(&world)]
    };
    let (alone, among) = (costs(0), costs(39));
    for (alone, among) in alone.into_iter().zip(among) {
        // A number takes a digit more.
        assert!(among.abs_diff(alone) < 1_000, "{alone} {among}");
    }
}
