//! Names, versions and circuits.

use aiinference_registry::msg::{
    Circuit, Code, Config, ExecuteMsg, HeavyRequest, Model, ModelName, ModelStatus, Name, QueryMsg, RegisterModel,
    Terms,
};
use aiinference_types::v1::CircuitModel;
use aiinference_vm::runtime::module;

use crate::world::*;

fn model(world: &World, version: Option<&str>) -> Option<Model> {
    let version = version.map(self::version);
    let name = NAME.to_owned();
    world.query(&QueryMsg::Model {
        model: ModelName { name, version },
    })
}

fn latest(world: &World) -> Option<String> {
    model(world, None).map(|model| model.version.to_string())
}

fn registration(world: &World, version: &str) -> RegisterModel {
    RegisterModel {
        name: NAME.to_owned(),
        version: self::version(version),
        code: Some(world.model.clone()),
        description: String::new(),
    }
}

fn circuit(world: &World, circuit: u64) -> Option<Circuit> {
    world.query(&QueryMsg::Circuit {
        model: the_model(),
        circuit,
    })
}

#[test]
fn a_name_resolves_to_its_highest_active_version() {
    let mut world = World::bare();
    assert_eq!(latest(&world), None);
    for (version, highest) in [
        ("1.9.0", "1.9.0"),
        ("1.10.0", "1.10.0"),
        ("1.2.0", "1.10.0"),
        ("2.0.0", "2.0.0"),
    ] {
        world.register_model(version);
        assert_eq!(latest(&world).as_deref(), Some(highest));
    }
    let found = model(&world, None).unwrap();
    assert_eq!(
        (found.code, found.owner),
        (Some(world.model.clone()), world.owner.clone())
    );
    assert!(found.op_set.is_some());

    let owner = world.owner.clone();
    let set = |world: &mut World, version: &str, status: ModelStatus| {
        let model = model_name(NAME, version);
        world.must(&owner, &ExecuteMsg::SetStatus { model, status }, &[]);
    };
    let reason = "biased".to_owned();
    set(&mut world, "2.0.0", ModelStatus::Deprecated { reason });
    assert_eq!(latest(&world).as_deref(), Some("1.10.0"));
    let by = version("1.9.0");
    set(&mut world, "1.10.0", ModelStatus::Superseded { by });
    assert_eq!(latest(&world).as_deref(), Some("1.9.0"));
    set(&mut world, "2.0.0", ModelStatus::Active {});
    assert_eq!(latest(&world).as_deref(), Some("2.0.0"));
    // By its version, any is found.
    let found = model(&world, Some("1.10.0")).unwrap();
    assert_eq!(found.status, ModelStatus::Superseded { by });
    assert_eq!(model(&world, Some("7.0.0")), None);

    let versions = |after: Option<&str>, limit| -> Vec<String> {
        let models: Vec<Model> = world.query(&QueryMsg::Versions {
            name: NAME.to_owned(),
            start_after: after.map(version),
            limit,
        });
        models.iter().map(|model| model.version.to_string()).collect()
    };
    assert_eq!(versions(None, None), ["1.2.0", "1.9.0", "1.10.0", "2.0.0"]);
    assert_eq!(versions(Some("1.9.0"), Some(1)), ["1.10.0"]);
}

#[test]
fn code_is_what_the_chain_says_it_is() {
    let mut world = World::bare();
    let owner = world.owner.clone();
    let refused = |world: &mut World, code: Code| {
        let msg = RegisterModel {
            code: Some(code),
            ..registration(world, "1.0.0")
        };
        world.refused(&owner, &ExecuteMsg::RegisterModel(msg), &[])
    };
    let good = world.model.clone();
    let unknown = Code {
        code_id: 999,
        ..good.clone()
    };
    assert!(refused(&mut world, unknown).contains("looking for code 999"));
    let other = Code {
        checksum: [7; 32].into(),
        ..good
    };
    assert!(refused(&mut world, other).contains("its checksum is"));
    // A circuit is no model.
    let circuit = world.public.code.clone();
    assert!(refused(&mut world, circuit).contains("error 12"));
    assert_eq!(latest(&world), None);
}

#[test]
fn a_name_belongs_to_who_registered_it_first_and_to_whom_it_is_handed() {
    let mut world = World::bare();
    world.register_model("1.0.0");
    let (owner, alice, rival) = (world.owner.clone(), world.alice.clone(), world.rival.clone());
    let next = ExecuteMsg::RegisterModel(registration(&world, "1.1.0"));
    assert!(world.refused(&alice, &next, &[]).contains("only the owner of the name"));
    let again = ExecuteMsg::RegisterModel(registration(&world, "1.0.0"));
    assert!(world.refused(&owner, &again, &[]).contains("registered already"));

    let name = NAME.to_owned();
    let offer = |to: Option<&cosmwasm_std::Addr>| ExecuteMsg::TransferName {
        name: NAME.to_owned(),
        to: to.map(|to| to.to_string()),
    };
    let accept = ExecuteMsg::AcceptName { name };
    assert!(world.refused(&alice, &accept, &[]).contains("to whom it is offered"));
    world.must(&owner, &offer(Some(&alice)), &[]);
    assert!(world.refused(&rival, &accept, &[]).contains("to whom it is offered"));
    world.must(&owner, &offer(None), &[]);
    assert!(world.refused(&alice, &accept, &[]).contains("to whom it is offered"));
    world.must(&owner, &offer(Some(&alice)), &[]);
    world.must(&alice, &accept, &[]);
    world.must(&alice, &next, &[]);
    let last = ExecuteMsg::RegisterModel(registration(&world, "1.2.0"));
    assert!(world.refused(&owner, &last, &[]).contains("only the owner"));
    let names: Vec<Name> = world.query(&QueryMsg::Names {
        start_after: None,
        limit: None,
    });
    let [name] = &names[..] else { panic!("{names:?}") };
    assert_eq!(
        (&name.owner, &name.offered, name.latest),
        (&alice, &None, Some(version("1.1.0")))
    );
}

#[test]
fn a_circuit_is_registered_by_a_true_proof_and_starts_unapproved() {
    let mut world = World::bare();
    world.register_model("1.0.0");
    let owner = world.owner.clone();
    let good = world.public.register(the_model());
    let id = good.code.code_id;

    let mut lie = good.clone();
    lie.sample.outputs = vec![encoded("y", &[1, 2, 3])];
    let mut untrusted = good.clone();
    untrusted.srs = None;
    let mut copied = good.clone();
    copied.code = world.known("other-weights").code;
    let mut nameless = good.clone();
    nameless.model.version = None;
    for (msg, words) in [
        (lie, "the proof does not show that"),
        (untrusted, "error 63"),
        (copied, "the proof does not show that"),
        (nameless, "name the model's version"),
    ] {
        let said = world.refused(&owner, &ExecuteMsg::RegisterCircuit(msg), &[]);
        assert!(said.contains(words), "{said}");
    }
    let good = ExecuteMsg::RegisterCircuit(good);
    let alice = world.alice.clone();
    assert!(world.refused(&alice, &good, &[]).contains("only the owner of the name"));
    assert_eq!(circuit(&world, id), None);

    world.must(&owner, &good, &[]);
    assert!(world.refused(&owner, &good, &[]).contains("registered already"));
    let found = circuit(&world, id).unwrap();
    assert!(found.reproducible && !found.approved && !found.retired);
    assert_eq!(found.srs, srs(&world.public.fixture));

    let approve = ExecuteMsg::ApproveCircuit {
        model: the_model(),
        circuit: id,
        checksum: None,
        approved: true,
    };
    assert!(world
        .refused(&owner, &approve, &[])
        .contains("only the registry's admin"));
    world.must(&world.admin.clone(), &approve, &[]);
    assert!(circuit(&world, id).unwrap().approved);
}

#[test]
fn a_circuit_of_another_model_is_refused() {
    let mut world = World::bare();
    world.register_model("1.0.0");
    let owner = world.owner.clone();
    // It stands for other code with the same key: its proofs are true, its model is not this one.
    let elsewhere = Code {
        code_id: world.model.code_id,
        checksum: [9; 32].into(),
    };
    let code = world.store(&circuit_module(&world.public.fixture.clone(), &elsewhere));
    let mut msg = world.public.register(the_model());
    msg.code = code;
    let said = world.refused(&owner, &ExecuteMsg::RegisterCircuit(msg), &[]);
    assert!(
        said.contains("does not say that it stands for this model's code"),
        "{said}"
    );
}

#[test]
fn a_circuit_of_two_models_is_refused() {
    let mut world = World::bare();
    world.register_model("1.0.0");
    let owner = world.owner.clone();
    // A key of a chain of both is none of either's, though it can be rebuilt.
    let model = |code: &Code| CircuitModel {
        code_id: code.code_id,
        checksum: code.checksum.as_bytes().to_vec(),
    };
    let (own, other) = (model(&world.model), model(&world.public.code));
    for models in [
        vec![own.clone(), other.clone()],
        vec![other, own.clone()],
        vec![own.clone(), own],
    ] {
        let mut message = world.public.fixture.message();
        message.models = models;
        let code = world.store(&module::wrap_circuit(&message));
        let mut msg = world.public.register(the_model());
        msg.code = code;
        let said = world.refused(&owner, &ExecuteMsg::RegisterCircuit(msg), &[]);
        assert!(said.contains("this model's code alone"), "{said}");
    }
}

#[test]
fn a_version_has_so_many_circuits_and_no_more() {
    let mut world = World::bare();
    world.register_model("1.0.0");
    world.register_model("1.1.0");
    let owner = world.owner.clone();
    let wasm = circuit_module(&world.public.fixture.clone(), &world.model.clone());
    let mut register = world.public.register(the_model());
    for _ in 0..8 {
        register.code = world.store(&wasm);
        world.must(&owner, &ExecuteMsg::RegisterCircuit(register.clone()), &[]);
    }
    // One that is retired may have requests that run: it stays, and counts.
    let retire = ExecuteMsg::RetireCircuit {
        model: the_model(),
        circuit: register.code.code_id,
        retired: true,
    };
    world.must(&owner, &retire, &[]);
    register.code = world.store(&wasm);
    let said = world.refused(&owner, &ExecuteMsg::RegisterCircuit(register.clone()), &[]);
    assert!(said.contains("has 8 circuits, retired ones among them"), "{said}");
    let circuits: Vec<Circuit> = world.query(&QueryMsg::Circuits {
        model: the_model(),
        start_after: None,
        limit: None,
    });
    assert_eq!(circuits.iter().filter(|circuit| circuit.retired).count(), 1);
    assert!(circuits.len() == 8 && circuits.is_sorted_by_key(|circuit| circuit.code.code_id));
    register.model = model_name(NAME, "1.1.0");
    world.must(&owner, &ExecuteMsg::RegisterCircuit(register), &[]);
}

#[test]
fn a_model_whose_weights_are_not_published_takes_circuits_of_no_code_alone() {
    let mut world = World::bare();
    let owner = world.owner.clone();
    let msg = RegisterModel {
        code: None,
        ..registration(&world, "1.0.0")
    };
    world.must(&owner, &ExecuteMsg::RegisterModel(msg), &[]);
    let found = model(&world, None).unwrap();
    assert_eq!((found.code, found.op_set), (None, None));
    let published = ExecuteMsg::RegisterCircuit(world.public.register(the_model()));
    assert!(world
        .refused(&owner, &published, &[])
        .contains("weights are not published"));

    let mut message = world.public.fixture.message();
    message.models.clear();
    message.reproducible = false;
    let code = world.store(&module::wrap_circuit(&message));
    let mut msg = world.public.register(the_model());
    msg.code = code.clone();
    world.must(&owner, &ExecuteMsg::RegisterCircuit(msg), &[]);
    assert!(!circuit(&world, code.code_id).unwrap().reproducible);
}

#[test]
fn names_and_texts_have_limits() {
    let mut world = World::bare();
    let owner = world.owner.clone();
    let mut bad_name = registration(&world, "1.0.0");
    bad_name.name = "Lab".to_owned();
    let mut long = registration(&world, "1.0.0");
    long.description = "x".repeat(257);
    for (msg, words) in [(bad_name, "it is 3 to 64 of"), (long, "longer than 256 bytes")] {
        let said = world.refused(&owner, &ExecuteMsg::RegisterModel(msg), &[]);
        assert!(said.contains(words), "{said}");
    }
    world.register_model("1.0.0");
    for (status, words) in [
        (
            ModelStatus::Deprecated {
                reason: "\u{1}".repeat(30),
            },
            "longer than 128 bytes",
        ),
        (
            ModelStatus::Superseded { by: version("1.0.0") },
            "is that version itself",
        ),
        (ModelStatus::Superseded { by: version("3.0.0") }, "is not registered"),
    ] {
        let model = the_model();
        let said = world.refused(&owner, &ExecuteMsg::SetStatus { model, status }, &[]);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn names_longer_than_any_are_refused_wherever_they_are_given() {
    let mut world = World::new();
    let (admin, owner, alice) = (world.admin.clone(), world.owner.clone(), world.alice.clone());
    for long in ["n".repeat(65), "n".repeat(70_000)] {
        let model = model_name(&long, "1.0.0");
        let any = ModelName {
            name: long.clone(),
            version: None,
        };
        let mut registration = registration(&world, "1.0.0");
        registration.name = long.clone();
        let circuit = world.public.code.code_id;
        for msg in [
            ExecuteMsg::RegisterModel(registration),
            ExecuteMsg::RegisterCircuit(world.public.register(model.clone())),
            ExecuteMsg::ApproveCircuit {
                model: model.clone(),
                circuit,
                checksum: None,
                approved: true,
            },
            ExecuteMsg::RetireCircuit {
                model: model.clone(),
                circuit,
                retired: true,
            },
            ExecuteMsg::SetStatus {
                model: model.clone(),
                status: ModelStatus::Active {},
            },
            ExecuteMsg::TransferName {
                name: long.clone(),
                to: None,
            },
            ExecuteMsg::AcceptName { name: long.clone() },
        ] {
            let sender = match msg {
                ExecuteMsg::ApproveCircuit { .. } => &admin,
                _ => &owner,
            };
            let said = world.refused(sender, &msg, &[]);
            assert!(said.contains("reading a name: it is 3 to 64"), "{said}");
        }
        for model in [&model, &any] {
            let msg = HeavyRequest {
                model: model.clone(),
                ..world.heavy(0)
            };
            let said = world.refused(&alice, &ExecuteMsg::Request(msg), &coins(MIN_FEE));
            assert!(said.contains("reading a name"), "{said}");
            let model = model.clone();
            let said = world.refused_query(&QueryMsg::Model { model });
            assert!(said.contains("reading a name"), "{said}");
        }
        let (start_after, limit) = (None, None);
        for msg in [
            QueryMsg::Names {
                start_after: Some(long.clone()),
                limit,
            },
            QueryMsg::Versions {
                name: long.clone(),
                start_after: None,
                limit,
            },
            QueryMsg::Circuit {
                model: model.clone(),
                circuit,
            },
            QueryMsg::Circuits {
                model,
                start_after,
                limit,
            },
        ] {
            let said = world.refused_query(&msg);
            assert!(said.contains("reading a name"), "{said}");
        }
    }
    for long in ["d".repeat(129), "d".repeat(70_000)] {
        let claim = ExecuteMsg::Claim {
            denom: long.clone(),
            receiver: None,
        };
        assert!(world.refused(&alice, &claim, &[]).contains("reading a denom"));
        let claimable = QueryMsg::Claimable {
            account: alice.to_string(),
            start_after: Some(long),
            limit: None,
        };
        assert!(world.refused_query(&claimable).contains("reading a denom"));
    }
}

#[test]
fn a_circuit_is_looked_for_by_the_version_of_its_model() {
    let world = World::new();
    let model = || ModelName {
        name: NAME.to_owned(),
        version: None,
    };
    for msg in [
        QueryMsg::Circuit {
            model: model(),
            circuit: world.public.code.code_id,
        },
        QueryMsg::Circuits {
            model: model(),
            start_after: None,
            limit: None,
        },
    ] {
        let said = world.refused_query(&msg);
        assert!(said.contains("name the model's version"), "{said}");
    }
}

#[test]
fn an_approval_may_name_the_very_code_that_it_is_for() {
    let mut world = World::new();
    let admin = world.admin.clone();
    let (id, checksum) = (world.hashed.code.code_id, world.hashed.code.checksum);
    let approve = |checksum| ExecuteMsg::ApproveCircuit {
        model: the_model(),
        circuit: id,
        checksum: Some(checksum),
        approved: true,
    };
    let said = world.refused(&admin, &approve([7; 32].into()), &[]);
    assert!(said.contains("the checksum of the circuit is"), "{said}");
    assert!(!circuit(&world, id).unwrap().approved);
    world.must(&admin, &approve(checksum), &[]);
    assert!(circuit(&world, id).unwrap().approved);
}

#[test]
fn the_admin_alone_configures_within_bounds() {
    let mut world = World::bare();
    let (admin, owner) = (world.admin.clone(), world.owner.clone());
    let change = |max_requests, max_lifetime, terms| ExecuteMsg::UpdateConfig {
        admin: None,
        terms,
        max_requests,
        max_callback_gas: None,
        max_lifetime,
    };
    let said = world.refused(&owner, &change(Some(7), None, None), &[]);
    assert!(said.contains("only the registry's admin"), "{said}");
    let terms = |min_fee: u128, denom: &str| {
        Some(vec![Terms {
            denom: denom.to_owned(),
            min_fee: amount(min_fee),
            min_bond: amount(1),
        }])
    };
    for bad in [
        change(Some(0), None, None),
        change(None, Some(0), None),
        change(None, Some(u64::MAX), None),
        change(None, None, Some(vec![])),
        change(None, None, terms(0, DENOM)),
        change(None, None, terms(1, "")),
        change(None, None, terms(1, DENOM).map(|one| [one.clone(), one].concat())),
    ] {
        let said = world.refused(&admin, &bad, &[]);
        assert!(said.contains("configuring: "), "{said}");
    }
    world.must(&admin, &change(Some(7), None, terms(5, "uother")), &[]);
    let config: Config = world.query(&QueryMsg::Config {});
    assert_eq!((config.max_requests, &config.terms[0].denom[..]), (7, "uother"));
    assert_eq!(config.admin, admin);
}

#[test]
fn the_registry_migrates_to_its_own_version_and_newer_ones() {
    use aiinference_multi_test::cw_multi_test::Executor;

    let mut world = World::bare();
    let code = world.store(&aiinference_demo_models::contract("registry").unwrap());
    let (admin, registry) = (world.admin.clone(), world.registry.clone());
    let empty = cosmwasm_std::Empty {};
    let response = world
        .app
        .migrate_contract(admin.clone(), registry.clone(), &empty, code.code_id);
    assert_eq!(told(&response.unwrap(), "migrate", "from").as_deref(), Some("0.1.0"));
    // Not from another contract.
    let other = world.contract.clone();
    assert!(world.app.migrate_contract(admin, other, &empty, code.code_id).is_err());
}
