//! Contracts compiled to Wasm on the embedded chain. `make contracts` builds the guest.

use std::{fs, path::Path, sync::LazyLock};

use aiinference_engine::graph::{Graph, Input, Op, Output};
use aiinference_multi_test::{
    cw_multi_test::{no_init, App, AppBuilder, Contract, ContractWrapper, Executor, StargateAccepting},
    Chain, CodeStore, EmbeddedVm, GasLimits, GasReport, Outcome, StoreError, StoreOptions, SDK_GAS,
};
use cosmwasm_std::{
    coin, coins, from_json, to_json_binary, Addr, BankMsg, Binary, Checksum, Deps, DepsMut, Empty, Env, HexBinary,
    MessageInfo, Reply, Response, StdResult, SubMsg, WasmMsg,
};
use test_probe::{QueryMsg, Replied, Script, Step};

/// Shared, so that the guest is compiled once for all tests here.
static STORE: LazyLock<CodeStore> = LazyLock::new(|| CodeStore::new(StoreOptions::default()).unwrap());

fn probe_wasm() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/contracts/test-probe.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}; run `make contracts`", path.display()))
}

struct World {
    chain: Chain,
    code_id: u64,
    owner: Addr,
}

fn world() -> World {
    let mut chain = Chain::with_store(STORE.clone());
    let owner = chain.account("owner");
    chain.fund(&owner, coins(1_000_000, "uatom")).unwrap();
    let code_id = chain.store_wasm(&probe_wasm()).unwrap();
    World { chain, code_id, owner }
}

impl World {
    fn probe(&mut self, label: &str) -> Addr {
        let owner = self.owner.clone();
        self.chain
            .instantiate_contract(
                self.code_id,
                owner.clone(),
                &Script::default(),
                &[],
                label,
                Some(owner.into_string()),
            )
            .unwrap()
    }

    fn run(
        &mut self,
        contract: &Addr,
        script: Script,
    ) -> StdResult<aiinference_multi_test::cw_multi_test::AppResponse> {
        self.chain
            .execute_contract(self.owner.clone(), contract.clone(), &script, &[])
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, contract: &Addr, msg: &QueryMsg) -> T {
        self.try_ask(contract, msg).unwrap()
    }

    fn try_ask<T: serde::de::DeserializeOwned>(&self, contract: &Addr, msg: &QueryMsg) -> StdResult<T> {
        self.chain.wrap().query_wasm_smart(contract, msg)
    }

    fn get(&self, contract: &Addr, key: &str) -> Option<String> {
        self.ask(contract, &QueryMsg::Get { key: key.into() })
    }

    fn replied(&self, contract: &Addr, id: u64) -> Replied {
        from_json(self.get(contract, &format!("reply/{id}")).unwrap()).unwrap()
    }
}

fn set(key: &str, value: &str) -> Step {
    Step::Set {
        key: key.into(),
        value: value.into(),
    }
}

fn steps(steps: impl IntoIterator<Item = Step>) -> Script {
    Script {
        steps: steps.into_iter().collect(),
        ..Default::default()
    }
}

fn execute(contract: &Addr, script: &Script) -> WasmMsg {
    WasmMsg::Execute {
        contract_addr: contract.to_string(),
        msg: to_json_binary(script).unwrap(),
        funds: vec![],
    }
}

fn send(messages: impl IntoIterator<Item = SubMsg>) -> Script {
    Script {
        messages: messages.into_iter().collect(),
        ..Default::default()
    }
}

/// The model y = 2 * x.
fn doubler() -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, 2],
        fraction_bits: 0,
        low: -100,
        high: 100,
        saturate: false,
    });
    let value = graph.push(Op::Add {
        a: x,
        b: x,
        multipliers: [1, 1],
        shift: 0,
        low: -200,
        high: 200,
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let encoded = aiinference_engine::format::encode(&graph);
    aiinference_vm::runtime::module::wrap(&encoded.graph, &encoded.weights)
}

#[test]
fn every_entry_point_runs_as_wasm() {
    let mut world = world();
    let contract = world.probe("probe");
    assert_eq!(
        world.get(&contract, "instantiated by").as_deref(),
        Some(world.owner.as_str())
    );

    let response = world
        .run(
            &contract,
            Script {
                attributes: vec![("did".into(), "it".into())],
                data: Some(Binary::from(b"data")),
                ..steps([set("a", "1")])
            },
        )
        .unwrap();
    assert_eq!(response.data, Some(Binary::from(b"data")));
    let wasm_event = response.events.iter().find(|event| event.ty == "wasm").unwrap();
    assert_eq!(wasm_event.attributes[1].value, "it");

    world.chain.wasm_sudo(&contract, &steps([set("b", "2")])).unwrap();
    let (owner, code_id) = (world.owner.clone(), world.code_id);
    world
        .chain
        .migrate_contract(owner, contract.clone(), &steps([set("c", "3")]), code_id)
        .unwrap();
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(world.get(&contract, key).as_deref(), Some(value));
    }
    let (height, address): (u64, Addr) = world.ask(&contract, &QueryMsg::Env {});
    assert_eq!((height, address), (world.chain.block_info().height, contract));
}

#[test]
fn code_info_tells_the_checksum_of_the_upload() {
    let world = world();
    let info = world.chain.wrap().query_wasm_code_info(world.code_id).unwrap();
    assert_eq!(info.checksum, Checksum::generate(&probe_wasm()));
}

#[test]
fn ranges_are_read_in_both_orders_across_pages() {
    let mut world = world();
    let contract = world.probe("probe");
    let key = |n: u32| format!("k{n:03}");
    world
        .run(&contract, steps((0..100).map(|n| set(&key(n), &n.to_string()))))
        .unwrap();
    let range = |start: Option<u32>, end: Option<u32>, descending, limit| -> Vec<String> {
        let found: Vec<(String, String)> = world.ask(
            &contract,
            &QueryMsg::Range {
                start: start.map(key).or(Some("k".into())),
                end: end.map(key).or(Some("l".into())),
                descending,
                limit,
            },
        );
        found.into_iter().map(|(_, value)| value).collect()
    };
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    let reversed = |range: std::ops::Range<u32>| range.rev().map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(range(None, None, false, 1_000), numbers(0..100));
    assert_eq!(range(None, None, true, 1_000), reversed(0..100));
    assert_eq!(range(Some(10), Some(80), false, 33), numbers(10..43));
    assert_eq!(range(Some(10), Some(74), true, 1_000), reversed(10..74));
    assert_eq!(range(Some(50), Some(50), false, 1_000), numbers(0..0));
    assert_eq!(range(Some(60), Some(50), true, 1_000), numbers(0..0));
}

#[test]
fn iterators_run_side_by_side() {
    let mut world = world();
    let contract = world.probe("probe");
    world
        .run(
            &contract,
            steps([set("a1", "1"), set("a2", "2"), set("a3", "3"), set("b1", "x")]),
        )
        .unwrap();
    let prefixes = vec!["a".into(), "b".into()];
    let found: Vec<(String, String)> = world.ask(&contract, &QueryMsg::Interleave { prefixes });
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a1", "b1", "a2", "a3"]);
}

#[test]
fn addresses_follow_the_rules_of_the_app() {
    let mut world = world();
    let contract = world.probe("probe");
    let address = world.chain.account("somebody").into_string();
    let canonical: HexBinary = world.ask(
        &contract,
        &QueryMsg::Canonicalize {
            address: address.clone(),
        },
    );
    assert_eq!(canonical.as_slice(), world.chain.api_canonicalize(&address));
    let human: String = world.ask(&contract, &QueryMsg::Humanize { canonical });
    assert_eq!(human, address);
    let valid = |address: &str| -> bool {
        world.ask(
            &contract,
            &QueryMsg::Validate {
                address: address.into(),
            },
        )
    };
    assert!(valid(&address) && !valid("nobody") && !valid(&address.to_uppercase()));
}

trait Canonicalize {
    fn api_canonicalize(&self, address: &str) -> Vec<u8>;
}

impl Canonicalize for Chain {
    fn api_canonicalize(&self, address: &str) -> Vec<u8> {
        cosmwasm_std::Api::addr_canonicalize(self.app().api(), address)
            .unwrap()
            .to_vec()
    }
}

#[test]
fn a_failed_call_changes_nothing_and_says_why() {
    let mut world = world();
    let contract = world.probe("probe");
    for (failure, words) in [
        (
            Script {
                fail: Some("as told".into()),
                ..steps([set("a", "1")])
            },
            "as told",
        ),
        (
            steps([
                set("a", "1"),
                Step::Panic {
                    text: "a panic in the guest".into(),
                },
            ]),
            "a panic in the guest",
        ),
        (steps([set("a", "1"), Step::OverflowStack {}]), "Error executing Wasm"),
        (steps([set("a", "1"), Step::OverflowCalls {}]), "Error executing Wasm"),
        (
            steps([
                set("a", "1"),
                Step::Note {
                    key: "b".into(),
                    query: QueryMsg::Infer {
                        code_id: 99,
                        x: vec![1, 2],
                    },
                },
            ]),
            "error 10: ",
        ),
    ] {
        let error = world.run(&contract, failure).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(world.get(&contract, "a"), None);
        assert_eq!(world.chain.last_transaction().calls[0].outcome, Outcome::Failed);
    }
}

#[test]
fn submessages_replies_and_bank_work_together() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    let owner = world.owner.clone();
    world.chain.send_tokens(owner, a.clone(), &coins(100, "uatom")).unwrap();
    let payee = world.chain.account("payee");
    let after_reply = to_json_binary(&steps([set("replied", "yes")])).unwrap();
    world
        .run(
            &a,
            send([
                SubMsg::reply_always(execute(&b, &steps([set("from a", "1")])), 1).with_payload(after_reply),
                SubMsg::reply_on_error(
                    BankMsg::Send {
                        to_address: payee.to_string(),
                        amount: coins(1_000, "uatom"),
                    },
                    2,
                ),
                SubMsg::reply_on_success(
                    BankMsg::Send {
                        to_address: payee.to_string(),
                        amount: coins(30, "uatom"),
                    },
                    3,
                ),
                SubMsg::new(BankMsg::Burn {
                    amount: coins(20, "uatom"),
                }),
            ]),
        )
        .unwrap();

    assert_eq!(world.get(&b, "from a").as_deref(), Some("1"));
    assert_eq!(world.get(&a, "replied").as_deref(), Some("yes"));
    let first = world.replied(&a, 1);
    assert!(first.gas_used > 0 && first.error.is_none());
    assert_eq!(first.responses, ["/cosmwasm.wasm.v1.MsgExecuteContractResponse"]);
    assert!(first.events.contains(&"execute".to_string()));
    assert!(world.replied(&a, 2).error.is_some());
    assert_eq!(world.replied(&a, 3).responses, ["/cosmos.bank.v1beta1.MsgSendResponse"]);
    let balance = world.ask::<cosmwasm_std::Coin>(
        &a,
        &QueryMsg::Balance {
            account: a.to_string(),
            denom: "uatom".into(),
        },
    );
    assert_eq!(balance, coin(50, "uatom"));
    assert_eq!(
        world.chain.wrap().query_balance(payee, "uatom").unwrap(),
        coin(30, "uatom")
    );
}

#[test]
fn a_failed_submessage_is_undone_alone_if_its_reply_goes_on() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    let failing = Script {
        fail: Some("no".into()),
        ..steps([set("b", "1")])
    };
    let script = Script {
        messages: vec![SubMsg::reply_on_error(execute(&b, &failing), 1)],
        ..steps([set("a", "1")])
    };
    world.run(&a, script.clone()).unwrap();
    assert_eq!((world.get(&a, "a").as_deref(), world.get(&b, "b")), (Some("1"), None));
    assert!(world.replied(&a, 1).error.unwrap().contains("no"));

    // Without a reply everything is undone.
    let script = Script {
        messages: vec![SubMsg::new(execute(&b, &failing))],
        ..steps([set("a", "2")])
    };
    world.run(&a, script).unwrap_err();
    assert_eq!(world.get(&a, "a").as_deref(), Some("1"));
}

#[test]
fn contracts_query_one_another_and_see_what_was_written_before() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    world.run(&b, steps([set("k", "v")])).unwrap();
    let get = QueryMsg::Get { key: "k".into() };
    let through = QueryMsg::Smart {
        contract: b.to_string(),
        msg: to_json_binary(&get).unwrap(),
    };
    assert_eq!(world.ask::<Option<String>>(&a, &through), Some("v".into()));
    world
        .run(
            &a,
            steps([Step::Note {
                key: "noted".into(),
                query: through,
            }]),
        )
        .unwrap();
    assert_eq!(world.get(&a, "noted").as_deref(), Some(r#""v""#));

    let failing = QueryMsg::Smart {
        contract: b.to_string(),
        msg: to_json_binary(&QueryMsg::Fail { text: "not now".into() }).unwrap(),
    };
    let error = world.try_ask::<Empty>(&a, &failing).unwrap_err().to_string();
    assert!(error.contains("not now"), "{error}");
}

#[test]
fn queries_nest_to_a_limit() {
    let mut world = world();
    let contract = world.probe("probe");
    let nest = |levels| QueryMsg::Nest {
        levels,
        then: Box::new(QueryMsg::Env {}),
    };
    let _: (u64, String) = world.ask(&contract, &nest(9));
    assert_eq!(world.chain.last_query().calls.len(), 10);
    let error = world
        .try_ask::<(u64, String)>(&contract, &nest(10))
        .unwrap_err()
        .to_string();
    assert!(error.contains("10 deep"), "{error}");
}

#[test]
fn gas_is_reported_call_by_call_and_adds_up() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    let through = QueryMsg::Smart {
        contract: b.to_string(),
        msg: to_json_binary(&QueryMsg::Work { rounds: 1_000 }).unwrap(),
    };
    let script = Script {
        messages: vec![SubMsg::reply_always(execute(&b, &steps([set("k", "v")])), 1)],
        ..steps([Step::Note {
            key: "n".into(),
            query: through,
        }])
    };
    world.run(&a, script).unwrap();
    let report = world.chain.last_transaction();
    let calls: Vec<_> = report
        .calls
        .iter()
        .map(|call| (&call.contract, call.entry_point, call.depth, call.outcome))
        .collect();
    assert_eq!(
        calls,
        [
            (&a, "execute", 0, Outcome::Ok),
            (&b, "query", 1, Outcome::Ok),
            (&b, "execute", 0, Outcome::Ok),
            (&a, "reply", 0, Outcome::Ok),
        ]
    );
    let outermost: u64 = report
        .calls
        .iter()
        .filter(|call| call.depth == 0)
        .map(|call| call.used())
        .sum();
    assert_eq!(report.used, outermost);
    assert!(report.calls[0].used_externally > report.calls[1].used());
    // A write of "v" under "k": 2,000 SDK gas and 30 a byte, prefix included.
    assert_eq!(report.calls[2].used_externally, (2_000 + 30 * (33 + 1 + 1)) * SDK_GAS);
    assert_eq!(world.replied(&a, 1).gas_used, report.calls[2].used().div_ceil(SDK_GAS));
    // Work costs in proportion.
    let used = |rounds| {
        world.ask::<u64>(&a, &QueryMsg::Work { rounds });
        world.chain.last_query().calls[0].used_internally
    };
    let (one, two, three) = (used(10_000), used(20_000), used(30_000));
    assert_eq!(three - two, two - one);
    assert!(two - one > 10_000 * 115);
}

#[test]
fn the_same_calls_use_the_same_gas_on_every_chain() {
    let run = || {
        let mut world = world();
        let (a, b) = (world.probe("a"), world.probe("b"));
        world
            .run(
                &a,
                send([SubMsg::reply_always(execute(&b, &steps([set("k", "v")])), 1)]),
            )
            .unwrap();
        world.chain.last_transaction()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_transaction_without_gas_left_fails_as_a_whole() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    let script = Script {
        // The reply would swallow any other error.
        messages: vec![SubMsg::reply_on_error(
            execute(&b, &steps([set("b", "1"), Step::Work { rounds: 10_000_000 }])),
            1,
        )],
        ..steps([set("a", "1")])
    };
    world.chain.set_gas_limits(GasLimits {
        transaction: 10_000 * SDK_GAS,
        ..GasLimits::default()
    });
    let error = world.run(&a, script.clone()).unwrap_err().to_string();
    assert!(error.contains("out of gas"), "{error}");
    let report = world.chain.last_transaction();
    assert_eq!(report.used, report.limit);
    assert_eq!(report.calls[1].outcome, Outcome::OutOfGas);
    assert_eq!((world.get(&a, "a"), world.get(&b, "b")), (None, None));

    world.chain.set_gas_limits(GasLimits::default());
    world.run(&a, script).unwrap();
    assert_eq!(world.get(&b, "b").as_deref(), Some("1"));
}

#[test]
fn a_submessages_gas_limit_holds_and_its_reply_goes_on() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    let work = |rounds| steps([set("b", "1"), Step::Work { rounds }]);
    let limited = |rounds, limit| send([SubMsg::reply_always(execute(&b, &work(rounds)), 1).with_gas_limit(limit)]);
    world.run(&a, limited(1_000, 100_000)).unwrap();
    let used = world.replied(&a, 1).gas_used;
    assert!(world.replied(&a, 1).error.is_none() && used < 100_000);

    // Exactly what it takes is enough; one less is not, and what is left around it is untouched.
    world.run(&a, limited(1_000, used)).unwrap();
    assert_eq!(world.replied(&a, 1).error, None);
    world.run(&a, limited(1_000, used - 1)).unwrap();
    let replied = world.replied(&a, 1);
    assert!(replied.error.unwrap().contains("out of gas"));
    assert_eq!(replied.gas_used, used - 1);

    // Without a reply the error is the transaction's.
    let no_reply = send([SubMsg::new(execute(&b, &work(1_000))).with_gas_limit(used - 1)]);
    let error = world.run(&a, no_reply).unwrap_err().to_string();
    assert!(error.contains("out of gas"), "{error}");
}

#[test]
fn gas_limits_of_submessages_nest() {
    let mut world = world();
    let (a, b, c) = (world.probe("a"), world.probe("b"), world.probe("c"));
    let work = execute(&c, &steps([set("c", "1"), Step::Work { rounds: 10_000_000 }]));
    // The inner limit would do, the outer one does not: the inner reply must not save the outer submessage.
    let inner = send([SubMsg::reply_always(work.clone(), 1).with_gas_limit(1_000_000)]);
    let outer = |limit| send([SubMsg::reply_always(execute(&b, &inner), 1).with_gas_limit(limit)]);
    world.run(&a, outer(20_000)).unwrap();
    assert!(world.replied(&a, 1).error.unwrap().contains("out of gas"));
    assert_eq!((world.get(&b, "reply/1"), world.get(&c, "c")), (None, None));

    // The other way about the inner submessage fails alone.
    let inner = send([SubMsg::reply_always(work, 1).with_gas_limit(20_000)]);
    world
        .run(
            &a,
            send([SubMsg::reply_always(execute(&b, &inner), 1).with_gas_limit(1_000_000)]),
        )
        .unwrap();
    assert_eq!(world.replied(&a, 1).error, None);
    let replied = world.replied(&b, 1);
    assert!(replied.error.unwrap().contains("out of gas"));
    assert_eq!((replied.gas_used, world.get(&c, "c")), (20_000, None));
}

#[test]
fn a_query_that_uses_up_the_gas_of_its_caller_ends_it() {
    let mut world = world();
    let (a, b) = (world.probe("a"), world.probe("b"));
    world.chain.set_gas_limits(GasLimits {
        query: 1_000 * SDK_GAS,
        ..GasLimits::default()
    });
    let through = QueryMsg::Smart {
        contract: b.to_string(),
        msg: to_json_binary(&QueryMsg::Work { rounds: 10_000_000 }).unwrap(),
    };
    let error = world.try_ask::<u64>(&a, &through).unwrap_err().to_string();
    assert!(error.contains("out of gas"), "{error}");
    let report = world.chain.last_query();
    assert_eq!(
        report.calls.iter().map(|call| call.outcome).collect::<Vec<_>>(),
        [Outcome::OutOfGas, Outcome::OutOfGas]
    );
    assert_eq!(report.used, report.limit);
}

#[test]
fn several_messages_are_one_transaction_under_one_limit() {
    let mut world = world();
    let contract = world.probe("probe");
    let message = |value: &str| execute(&contract, &steps([set("k", value)])).into();
    world
        .chain
        .execute_multi(world.owner.clone(), vec![message("1"), message("2")])
        .unwrap();
    let report = world.chain.last_transaction();
    assert_eq!(report.calls.len(), 2);
    assert_eq!(report.calls[1].limit, report.limit - report.calls[0].used());

    world.chain.set_gas_limits(GasLimits {
        transaction: report.used - 1,
        ..GasLimits::default()
    });
    world
        .chain
        .execute_multi(world.owner.clone(), vec![message("3"), message("4")])
        .unwrap_err();
    assert_eq!(world.get(&contract, "k").as_deref(), Some("2"));
}

/// A native contract that forwards a message with a gas limit and counts the replies.
mod native {
    use super::*;

    pub fn contract() -> Box<dyn Contract<Empty>> {
        Box::new(ContractWrapper::new(execute, instantiate, query).with_reply(reply))
    }

    fn instantiate(_: DepsMut, _: Env, _: MessageInfo, _: Empty) -> StdResult<Response> {
        Ok(Response::new())
    }

    fn execute(_: DepsMut, _: Env, _: MessageInfo, (msg, limit): (WasmMsg, u64)) -> StdResult<Response> {
        Ok(Response::new().add_submessage(SubMsg::reply_always(msg, 1).with_gas_limit(limit)))
    }

    fn reply(deps: DepsMut, _: Env, msg: Reply) -> StdResult<Response> {
        deps.storage.set(b"gas", &cosmwasm_std::to_json_vec(&msg.gas_used)?);
        deps.storage
            .set(b"ok", &cosmwasm_std::to_json_vec(&msg.result.is_ok())?);
        Ok(Response::new())
    }

    fn query(deps: Deps, _: Env, contract: Addr) -> StdResult<Binary> {
        let _: (u64, Addr) = deps.querier.query_wasm_smart(contract, &QueryMsg::Env {})?;
        let read = |key: &[u8]| Binary::from(deps.storage.get(key).unwrap_or_default());
        to_json_binary(&(read(b"gas"), read(b"ok")))
    }
}

#[test]
fn native_contracts_live_beside_wasm_ones_under_the_same_limits() {
    let mut world = world();
    let probe = world.probe("probe");
    let native_code = world.chain.store_code(native::contract());
    let owner = world.owner.clone();
    let native = world
        .chain
        .instantiate_contract(native_code, owner.clone(), &Empty {}, &[], "native", None)
        .unwrap();
    let mut forward = |rounds, limit| {
        let message = execute(&probe, &steps([Step::Work { rounds }]));
        world
            .chain
            .execute_contract(owner.clone(), native.clone(), &(message, limit), &[])
            .unwrap();
        let (gas, ok): (Binary, Binary) = world.chain.wrap().query_wasm_smart(&native, &probe).unwrap();
        (from_json::<u64>(&gas).unwrap(), from_json::<bool>(&ok).unwrap())
    };
    let (gas, ok) = forward(1_000, 1_000_000);
    assert!(ok && gas > 0);
    assert_eq!(forward(1_000_000, 5_000), (5_000, false));

    // A Wasm contract calls and queries the native one as any other.
    let message = WasmMsg::Execute {
        contract_addr: native.to_string(),
        msg: to_json_binary(&(execute(&probe, &Script::default()), 1_000_000u64)).unwrap(),
        funds: vec![],
    };
    world.run(&probe, send([SubMsg::new(message)])).unwrap();
    let asked = QueryMsg::Smart {
        contract: native.to_string(),
        msg: to_json_binary(&probe).unwrap(),
    };
    let _: (Binary, Binary) = world.ask(&probe, &asked);
}

#[test]
fn contracts_infer_in_queries_executions_replies_and_sudo() {
    let mut world = world();
    let contract = world.probe("probe");
    let model = doubler();
    let model_id = world.chain.store_wasm(&model).unwrap();
    let infer = QueryMsg::Infer {
        code_id: model_id,
        x: vec![3, -4],
    };
    assert_eq!(world.ask::<Vec<i64>>(&contract, &infer), [6, -8]);
    let note = |key: &str| {
        steps([Step::Note {
            key: key.into(),
            query: infer.clone(),
        }])
    };
    world.run(&contract, note("execute")).unwrap();
    world.chain.wasm_sudo(&contract, &note("sudo")).unwrap();
    let in_reply = SubMsg::reply_always(execute(&contract, &Script::default()), 1)
        .with_payload(to_json_binary(&note("reply")).unwrap());
    world.run(&contract, send([in_reply])).unwrap();
    // The load alone is more than all else that the call does.
    let report = world.chain.last_transaction();
    let reply = report.calls.iter().find(|call| call.entry_point == "reply").unwrap();
    assert!(reply.used_internally > aiinference_vm::runtime::price::load(model.len() as u64));

    let (owner, code_id) = (world.owner.clone(), world.code_id);
    world
        .chain
        .migrate_contract(owner, contract.clone(), &note("migrate"), code_id)
        .unwrap();
    for key in ["execute", "sudo", "reply", "migrate"] {
        assert_eq!(world.get(&contract, key).as_deref(), Some("[6,-8]"));
    }
}

#[test]
fn a_model_stored_in_shards_answers_as_the_whole_one() {
    let mut world = world();
    let contract = world.probe("probe");
    let model = doubler();
    let whole = world.chain.store_wasm(&model).unwrap();
    let sharded = world.chain.store_sharded(&model, 64).unwrap();
    let shards = sharded - whole - 1;
    assert_eq!(shards, model.len().div_ceil(64) as u64);
    let ask = |code_id| {
        let infer = QueryMsg::Infer {
            code_id,
            x: vec![3, -4],
        };
        let answer: Vec<i64> = world.ask(&contract, &infer);
        (answer, world.chain.last_query())
    };
    let (want, report) = ask(whole);
    let (answer, sharded_report) = ask(sharded);
    assert_eq!((want, answer), (vec![6, -8], vec![6, -8]));
    assert_eq!(ask(sharded).1, sharded_report, "gas of a model that is ready");
    // Every shard is opened, and asked of the chain.
    let internal = |report: &GasReport| report.calls[0].used_internally;
    assert!(internal(&sharded_report) > internal(&report) + shards * aiinference_vm::runtime::price::LOAD);

    let error = world
        .try_ask::<Vec<i64>>(
            &contract,
            &QueryMsg::Infer {
                code_id: whole + 1,
                x: vec![1, 2],
            },
        )
        .unwrap_err()
        .to_string();
    assert!(error.contains("error 12: ") && error.contains("manifest"), "{error}");
}

#[test]
fn an_inference_that_runs_out_of_gas_undoes_its_transaction() {
    let mut world = world();
    let contract = world.probe("probe");
    let code_id = world.chain.store_wasm(&doubler()).unwrap();
    let script = steps([
        set("a", "1"),
        Step::Note {
            key: "b".into(),
            query: QueryMsg::Infer {
                code_id,
                x: vec![3, -4],
            },
        },
    ]);
    world.run(&contract, script.clone()).unwrap();
    let used = world.chain.last_transaction().used;
    let other = world.probe("other");
    let limits = world.chain.gas_limits();
    world.chain.set_gas_limits(GasLimits {
        transaction: used / 2,
        ..limits
    });
    world.run(&other, script).unwrap_err();
    world.chain.set_gas_limits(limits);
    assert_eq!(world.get(&other, "a"), None);
}

#[test]
fn what_is_no_model_is_told_and_a_model_is_no_contract() {
    let mut world = world();
    let contract = world.probe("probe");
    let model_id = world.chain.store_wasm(&doubler()).unwrap();
    let infer = |code_id| QueryMsg::Infer { code_id, x: vec![1, 2] };
    let error = |code_id| {
        world
            .try_ask::<Vec<i64>>(&contract, &infer(code_id))
            .unwrap_err()
            .to_string()
    };
    let unknown = error(99);
    assert!(unknown.contains("error 10: "), "{unknown}");
    let not_a_model = error(world.code_id);
    assert!(not_a_model.contains("error 12: "), "{not_a_model}");

    let owner = world.owner.clone();
    let error = world
        .chain
        .instantiate_contract(model_id, owner, &Empty {}, &[], "model", None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("zero Wasm address"), "{error}");
}

#[test]
fn uploads_are_refused_as_on_a_chain() {
    let mut chain = Chain::with_store(STORE.clone());
    let refusal = |chain: &mut Chain, wasm: &[u8]| chain.store_wasm(wasm).unwrap_err().to_string();
    let text = refusal(&mut chain, b"no wasm");
    assert!(text.contains("Wasm bytecode could not be deserialized"), "{text}");
    let broken = aiinference_vm::runtime::module::wrap(b"no graph", b"");
    assert!(matches!(
        chain.store_wasm(&broken),
        Err(StoreError::Vm(aiinference_vm::Error::Model(_)))
    ));
    assert_eq!(
        chain.store_wasm(&doubler()).unwrap(),
        1,
        "a refused upload takes no code id"
    );
}

#[test]
fn a_chain_without_the_extension_refuses_what_infers() {
    let mut options = StoreOptions::default();
    options.capabilities.remove("aiinference_1");
    let mut chain = Chain::with_store(CodeStore::new(options).unwrap());
    let error = chain.store_wasm(&probe_wasm()).unwrap_err().to_string();
    assert!(error.contains("unsupported import: \"aiinference."), "{error}");
}

#[test]
fn an_app_of_other_modules_is_built_from_the_parts() {
    let vm = EmbeddedVm::new(STORE.clone(), GasLimits::default());
    let mut app = AppBuilder::new()
        .with_wasm(vm.wasm())
        .with_stargate(vm.stargate(StargateAccepting))
        .build(no_init);
    let code_id = app.store_code(vm.store(&probe_wasm()).unwrap());
    let owner = app.api().addr_make("owner");
    let contract = app
        .instantiate_contract(code_id, owner.clone(), &Script::default(), &[], "probe", None)
        .unwrap();
    #[allow(deprecated)]
    let accepted = cosmwasm_std::CosmosMsg::Stargate {
        type_url: "/any.Msg".into(),
        value: Binary::default(),
    };
    let limited = SubMsg::reply_always(accepted, 7).with_gas_limit(1_000);
    app.execute_contract(owner, contract.clone(), &send([limited]), &[])
        .unwrap();
    assert_eq!(vm.last_transaction().of(&contract).count(), 2);
}

#[test]
fn a_wasm_contract_runs_in_a_plain_app_too() {
    let vm = EmbeddedVm::new(STORE.clone(), GasLimits::default());
    let mut app = App::default();
    let code_id = app.store_code(vm.store(&probe_wasm()).unwrap());
    let owner = app.api().addr_make("owner");
    let contract = app
        .instantiate_contract(code_id, owner.clone(), &Script::default(), &[], "probe", None)
        .unwrap();
    app.execute_contract(owner, contract.clone(), &steps([set("k", "v")]), &[])
        .unwrap();
    let value: Option<String> = app
        .wrap()
        .query_wasm_smart(&contract, &QueryMsg::Get { key: "k".into() })
        .unwrap();
    assert_eq!(value.as_deref(), Some("v"));
    assert_eq!(vm.last_transaction().calls[0].entry_point, "query");
}
