//! Both contracts as Wasm, on two chains whose relayer drops, repeats, delays, reorders, crashes and pays too little:
//! every question ends in exactly one callback, and no coin is lost or made.

#[path = "queries/mod.rs"]
mod queries;

use std::{collections::BTreeMap, time::Duration};

use aiinference_demo_models as models;
use aiinference_multi_test::{
    cw_multi_test::{ContractWrapper, Executor},
    Chain, ChainId, CodeStore, Faults, Link, Network, Random, Schedule, StoreOptions,
};
use aiinference_std::remote::{Ask, Callback, ClientMsg, ModelAnswer, Outcome, Timeout, Withdraw};
use aiinference_types::{ibc, v1, ErrorCode};
use cosmwasm_std::{
    coins, to_json_binary, Addr, Binary, Decimal, Deps, DepsMut, Empty, Env, MessageInfo, Order, Response, StdError,
    StdResult, Uint128, WasmMsg,
};
use cw_storage_plus::{Item, Map};
use ibc_model_client::msg::{ExecuteMsg as ClientExecute, PendingPacket, QueryMsg as ClientQuery, Question, State};
use ibc_model_host::msg::{AccountEntry, AccountKey, ExecuteMsg, InstantiateMsg, Price, QueryMsg, Totals};
use prost::Message;
use queries::*;
use serde::{Deserialize, Serialize};

const DENOM: &str = "ucoin";
const PACKETS: u64 = 10_000;
/// How many are asked in a block.
const BATCH: u64 = 50;
const CALLBACK_GAS: u64 = 300_000;

/// A contract that asks, and counts what it is told.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "snake_case")]
enum AskerMsg {
    /// Sends a message to the client.
    Send { client: String, msg: ClientMsg },
    /// Called back by the client.
    ModelAnswer(ModelAnswer),
    /// From now on callbacks that are to fail succeed.
    Mend {},
}

/// What is told of a question, by its number: how often, and what.
const TOLD: Map<u64, (u32, String)> = Map::new("told");
const MENDED: Item<bool> = Item::new("mended");

fn asker_execute(deps: DepsMut, _env: Env, _info: MessageInfo, msg: AskerMsg) -> StdResult<Response> {
    match msg {
        AskerMsg::Send { client, msg } => Ok(Response::new().add_message(WasmMsg::Execute {
            contract_addr: client,
            msg: to_json_binary(&msg)?,
            funds: vec![],
        })),
        AskerMsg::ModelAnswer(answer) => {
            let number = String::from_utf8(answer.initiator_msg.to_vec())?;
            let number: u64 = number.parse()?;
            if fails(number) && !MENDED.may_load(deps.storage)?.unwrap_or_default() {
                return Err(StdError::msg("the asker is out of order"));
            }
            let (times, _) = TOLD.may_load(deps.storage, number)?.unwrap_or_default();
            TOLD.save(deps.storage, number, &(times + 1, kind(&answer.result)))?;
            Ok(Response::new())
        }
        AskerMsg::Mend {} => {
            MENDED.save(deps.storage, &true)?;
            Ok(Response::new())
        }
    }
}

fn asker_instantiate(_deps: DepsMut, _env: Env, _info: MessageInfo, _msg: Empty) -> StdResult<Response> {
    Ok(Response::new())
}

fn asker_query(deps: Deps, _env: Env, _msg: Empty) -> StdResult<Binary> {
    let told: Vec<(u64, (u32, String))> = TOLD
        .range(deps.storage, None, None, Order::Ascending)
        .collect::<StdResult<_>>()?;
    to_json_binary(&told)
}

/// Callbacks of these questions fail at first.
fn fails(number: u64) -> bool {
    number.is_multiple_of(50)
}

fn kind(outcome: &Outcome) -> String {
    let name = |code| ErrorCode::from_number(code).map_or("?", ErrorCode::name).to_string();
    match outcome {
        Outcome::Answered { answers, .. } => {
            let kinds = answers.iter().map(|answer| match &answer.result {
                aiinference_std::remote::AnswerResult::Error(error) => name(error.code),
                _ => "answered".to_string(),
            });
            kinds.collect::<Vec<_>>().join("+")
        }
        Outcome::Withdrawn { .. } => "withdrawn".to_string(),
        Outcome::RecoverySet {} => "recovery set".to_string(),
        Outcome::Error(error) => format!("packet: {}", name(error.code)),
    }
}

struct World {
    asking: ChainId,
    answering: ChainId,
    client: Addr,
    host: Addr,
    state: Addr,
    askers: Vec<Addr>,
    link: Link,
    /// A second channel, which is closed when half of all is asked.
    doomed: Link,
    random: Random,
    asked: u64,
    deposited: u128,
}

fn begin(net: &mut Network, seed: u64) -> World {
    let store = CodeStore::new(StoreOptions::default()).unwrap();
    let asking = net.add("asking-1", Chain::with_store(store.clone()));
    let answering = net.add("answering-1", Chain::with_store(store));
    net.set_block_time(asking, Duration::from_secs(3));

    let chain = net.chain_mut(answering);
    let owner = chain.account("owner");
    let features = APPLICANT.map(|value| value.to_string()).join(",");
    let script = test_probe::Script {
        steps: vec![test_probe::Step::Set {
            key: "applicant".to_string(),
            value: format!("[{features}]"),
        }],
        ..Default::default()
    };
    let probe = chain.store_wasm(&models::contract("test-probe").unwrap()).unwrap();
    let state = chain
        .instantiate_contract(probe, owner.clone(), &script, &[], "state", None)
        .unwrap();
    let host = chain.store_wasm(&models::contract("ibc-model-host").unwrap()).unwrap();
    let msg = InstantiateMsg {
        owner: None,
        prices: vec![Price {
            denom: DENOM.to_string(),
            per_query: Uint128::new(10),
            per_gigagas: Uint128::new(1_000),
            reward: Decimal::percent(33),
            min_deposit: None,
        }],
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    let host = chain
        .instantiate_contract(host, owner.clone(), &msg, &[], "host", None)
        .unwrap();
    chain.store_wasm(&models::gbdt().unwrap()).unwrap();
    assert_eq!(chain.store_wasm(&models::mlp().unwrap()).unwrap(), MLP);

    let chain = net.chain_mut(asking);
    let client = chain
        .store_wasm(&models::contract("ibc-model-client").unwrap())
        .unwrap();
    let msg = ibc_model_client::msg::InstantiateMsg {
        owner: None,
        allowed: None,
        max_callback_gas: None,
        max_packet_bytes: None,
    };
    let client = chain
        .instantiate_contract(client, owner.clone(), &msg, &[], "client", None)
        .unwrap();
    let asker = chain.store_code(Box::new(ContractWrapper::new_with_empty(
        asker_execute,
        asker_instantiate,
        asker_query,
    )));
    let askers = (0..4).map(|_| {
        let asker = chain.instantiate_contract(asker, owner.clone(), &Empty {}, &[], "asker", None);
        asker.unwrap()
    });
    let askers = askers.collect();
    let [link, doomed] = [(); 2].map(|()| net.link((asking, &client), (answering, &host), ibc::VERSION).unwrap());
    World {
        asking,
        answering,
        client,
        host,
        state,
        askers,
        link,
        doomed,
        random: Random::seeded(seed),
        asked: 0,
        deposited: 0,
    }
}

impl World {
    fn query<T: serde::de::DeserializeOwned>(&self, net: &Network, msg: &QueryMsg) -> T {
        let chain = net.chain(self.answering);
        chain.wrap().query_wasm_smart(&self.host, msg).unwrap()
    }

    fn ask_client<T: serde::de::DeserializeOwned>(&self, net: &Network, msg: &ClientQuery) -> T {
        let chain = net.chain(self.asking);
        chain.wrap().query_wasm_smart(&self.client, msg).unwrap()
    }

    fn deposit(&mut self, net: &mut Network, asker: usize, amount: u128) {
        let channels: Vec<ibc_model_host::msg::Channel> = self.query(
            net,
            &QueryMsg::Channels {
                start_after: None,
                limit: None,
            },
        );
        let peer = channels[0].peer.clone();
        let chain = net.chain_mut(self.answering);
        let giver = chain.account("giver");
        chain.fund(&giver, coins(amount, DENOM)).unwrap();
        let msg = ExecuteMsg::Deposit {
            account: AccountKey {
                connection: peer.connection,
                port: peer.port,
                asker: self.askers[asker].to_string(),
            },
            recovery: chain.account("recovery").into(),
        };
        chain
            .execute_contract(giver, self.host.clone(), &msg, &coins(amount, DENOM))
            .unwrap();
        self.deposited += amount;
    }

    /// One query of many kinds; most are answered.
    fn a_query(&mut self) -> v1::Query {
        let raw = v1::Read {
            contract: self.state.to_string(),
            query: Some(v1::read::Query::Raw(b"applicant".to_vec())),
        };
        match self.random.below(20) {
            0 => v1::Query {
                gas_limit: 1_000_000,
                ..score(&APPLICANT)
            },
            1 => v1::Query {
                max_price: "11".to_string(),
                ..score(&APPLICANT)
            },
            2 => v1::Query {
                max_price: "9".to_string(),
                ..score(&APPLICANT)
            },
            3 => run(v1::Run {
                steps: vec![step(99, v1::run_input::Source::Tensor(whole(&[1])))],
                ..Default::default()
            }),
            4..9 => run(v1::Run {
                reads: vec![raw],
                steps: vec![step(MLP, json(""))],
                ..Default::default()
            }),
            9 => v1::Query {
                gas_limit: 40_000_000,
                ..run(v1::Run {
                    reads: vec![raw],
                    ..Default::default()
                })
            },
            10 => v1::Query {
                operation: Some(v1::query::Operation::Describe(v1::Describe {
                    model: Some(model(MLP)),
                })),
                gas_limit: GAS,
                max_price: "1000000".to_string(),
                memo: vec![],
            },
            _ => score(&APPLICANT),
        }
    }

    /// Asks once more, as one of the askers.
    fn ask_one(&mut self, net: &mut Network) {
        self.asked += 1;
        let asker = self.random.below(self.askers.len() as u64) as usize;
        let callback = Some(Callback {
            msg: self.asked.to_string().into_bytes().into(),
            gas_limit: CALLBACK_GAS,
        });
        let doomed = self.asked <= PACKETS / 2 && self.random.chance(200);
        let link = if doomed { &self.doomed } else { &self.link };
        let channel = link.a_end.channel_id.clone();
        // Some run out of time.
        let timeout = Timeout {
            seconds: Some(if self.random.chance(100) { 20 } else { 3_000 }),
            height: None,
        };
        let msg = if self.random.chance(10) {
            ClientMsg::Withdraw(Withdraw {
                channel,
                denom: DENOM.to_string(),
                amount: Some("25".to_string()),
                receiver: net.chain(self.answering).account("receiver").into(),
                max_price: Some("7".to_string()),
                timeout,
                callback,
            })
        } else {
            let queries = 1 + self.random.below(3) * self.random.below(2);
            ClientMsg::Ask(Ask {
                queries: (0..queries).map(|_| self.a_query().encode_to_vec().into()).collect(),
                denom: DENOM.to_string(),
                timeout,
                valid_for: self.random.chance(50).then_some(30),
                callback,
                ..Ask::new(channel)
            })
        };
        let client = self.client.to_string();
        let chain = net.chain_mut(self.asking);
        let anyone = chain.account("anyone");
        let to = self.askers[asker].clone();
        chain
            .execute_contract(anyone, to, &AskerMsg::Send { client, msg }, &[])
            .unwrap();
    }

    /// What is held is what is owed, and all that was deposited is held or was withdrawn.
    fn check_coins(&self, net: &Network) {
        let chain = net.chain(self.answering);
        let balance = |of: &Addr| -> u128 {
            let coin = chain.wrap().query_balance(of, DENOM).unwrap();
            Uint128::try_from(coin.amount).unwrap().u128()
        };
        let denom = DENOM.to_string();
        let owed: Totals = self.query(net, &QueryMsg::Totals { denom });
        let held = balance(&self.host);
        assert_eq!((owed.credits + owed.rewards + owed.takings).u128(), held);
        assert_eq!(held + balance(&chain.account("receiver")), self.deposited);
        let accounts: Vec<AccountEntry> = self.query(
            net,
            &QueryMsg::Accounts {
                start_after: None,
                limit: Some(100),
            },
        );
        let credit = accounts.iter().flat_map(|entry| &entry.account.credit);
        let credit: u128 = credit.map(|coin| Uint128::try_from(coin.amount).unwrap().u128()).sum();
        assert_eq!(credit, owed.credits.u128());
    }

    /// What has no answer on a channel, the first few of it.
    fn pending(&self, net: &Network, link: &Link) -> Vec<PendingPacket> {
        let msg = ClientQuery::Pending {
            channel: link.a_end.channel_id.clone(),
            start_after: None,
            limit: Some(100),
        };
        self.ask_client(net, &msg)
    }

    fn is_answered(&self, net: &Network) -> bool {
        [&self.link, &self.doomed]
            .into_iter()
            .all(|link| self.pending(net, link).is_empty())
    }

    /// The client's owner does something.
    fn own(&self, net: &mut Network, msg: &ClientExecute) {
        let chain = net.chain_mut(self.asking);
        let owner = chain.account("owner");
        chain.execute_contract(owner, self.client.clone(), msg, &[]).unwrap();
    }

    /// Ends some of the questions on the closed channel, while others time out.
    fn abandon_some(&mut self, net: &mut Network) {
        for PendingPacket { id, .. } in self.pending(net, &self.doomed) {
            if self.random.chance(100) {
                self.own(net, &ClientExecute::Abandon { id });
            }
        }
    }

    fn questions(&self, net: &Network, asker: &Addr) -> Vec<Question> {
        let mut all: Vec<Question> = vec![];
        loop {
            let page: Vec<Question> = self.ask_client(
                net,
                &ClientQuery::Questions {
                    initiator: asker.to_string(),
                    start_after: all.last().map(|question| question.id),
                    limit: Some(100),
                },
            );
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }
}

#[test]
fn every_question_ends_in_one_callback_and_no_coin_is_lost() {
    let mut net = Network::new();
    let mut world = begin(&mut net, 5);
    let faults = Faults {
        poor_gas: 400_000,
        ..Faults::default()
    };
    let mut schedule = Schedule::with_faults(11, faults);
    let mut blocks = 0u64;
    let mut closed = false;
    let report = net
        .run(&mut schedule, |net| {
            blocks += 1;
            if world.asked == PACKETS / 2 && !closed {
                closed = true;
                let channel = world.doomed.a_end.channel_id.clone();
                world.own(net, &ClientExecute::CloseChannel { channel });
            }
            if closed {
                world.abandon_some(net);
            }
            if world.asked < PACKETS {
                // The first asker runs out of credit now and then; the last never has any.
                if world.asked.is_multiple_of(500) {
                    for (asker, amount) in [15_000, 60_000, 200_000].into_iter().enumerate() {
                        world.deposit(net, asker, amount);
                    }
                }
                for _ in 0..BATCH.min(PACKETS - world.asked) {
                    world.ask_one(net);
                }
                return false;
            }
            if blocks.is_multiple_of(20) {
                world.check_coins(net);
            }
            world.is_answered(net)
        })
        .unwrap();
    println!("{report:?}");
    assert_eq!(report.failed, 0, "{:?}", report.last_failure);
    for (what, times) in [
        ("dropped", report.dropped),
        ("duplicated", report.duplicated),
        ("delayed", report.delayed),
        ("crashes", report.crashes),
        ("out of gas", report.out_of_gas),
        ("repeated", report.repeated),
        ("refused", report.refused),
    ] {
        assert!(times > 0, "nothing was {what}");
    }
    world.check_coins(&net);

    // Those whose callback failed are kept, and told once they can be.
    let chain = net.chain_mut(world.asking);
    let anyone = chain.account("anyone");
    let mut delivered = 0;
    for asker in world.askers.clone() {
        let kept = world.questions(&net, &asker);
        assert!(kept
            .iter()
            .all(|question| matches!(question.state, State::Undelivered { .. })));
        let chain = net.chain_mut(world.asking);
        chain
            .execute_contract(anyone.clone(), asker.clone(), &AskerMsg::Mend {}, &[])
            .unwrap();
        for question in kept {
            delivered += 1;
            let msg = ClientMsg::Deliver {
                id: question.id,
                gas_limit: CALLBACK_GAS,
            };
            let client = world.client.to_string();
            let send = AskerMsg::Send { client, msg };
            chain
                .execute_contract(anyone.clone(), asker.clone(), &send, &[])
                .unwrap();
            // Once.
            chain
                .execute_contract(anyone.clone(), asker.clone(), &send, &[])
                .unwrap_err();
        }
        assert_eq!(world.questions(&net, &asker).len(), 0);
    }
    assert_eq!(delivered, PACKETS / 50);

    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let mut told = BTreeMap::new();
    for asker in &world.askers {
        let list: Vec<(u64, (u32, String))> = net
            .chain(world.asking)
            .wrap()
            .query_wasm_smart(asker, &Empty {})
            .unwrap();
        for (number, (times, kind)) in list {
            assert_eq!(times, 1, "question {number}");
            assert!(told.insert(number, ()).is_none(), "question {number} was told to two");
            for kind in kind.split('+') {
                *ends.entry(kind.to_string()).or_default() += 1;
            }
        }
    }
    assert!(told.into_keys().eq(1..=PACKETS));
    println!("{ends:#?}");
    // All kinds of ends were met.
    for kind in [
        "answered",
        "withdrawn",
        "GasLimitExceeded",
        "PriceExceeded",
        "InsufficientCredit",
        "UnknownCodeId",
        "packet: TimedOut",
        "packet: Expired",
        "packet: Abandoned",
        "packet: InsufficientCredit",
    ] {
        assert!(ends.contains_key(kind), "{kind}");
    }
    assert!(ends["answered"] > PACKETS as u32 / 4);
    world.check_coins(&net);
}
