//! The contract as Wasm on an embedded chain, asked over a channel. `make contracts` builds the guests.

#[path = "queries/mod.rs"]
mod queries;

use std::sync::LazyLock;

use aiinference_demo_models as models;
use aiinference_multi_test::{
    cw_multi_test::Executor, voucher_denom, Chain, ChainId, CodeStore, IbcError, Link, Network, Relayed, StoreOptions,
    Task, SDK_GAS,
};
use aiinference_std::{remote::deposit_memo, testing::std3::mock_dependencies, Model, Outputs, Tensor};
use aiinference_types::{
    ibc,
    limits::{MAX_ACKNOWLEDGEMENT_BYTES, MAX_PACKET_BYTES},
    v1::{self, acknowledgement, answer, packet_data::Operation},
    ErrorCode,
};
use cosmwasm_std::{coin, coins, to_json_binary, Addr, Decimal, IbcMsg, IbcTimeout, SubMsg, Uint128};
use ibc_model_host::msg::{AccountKey, ExecuteMsg, InstantiateMsg, Price, QueryMsg, RewardResponse, Totals};
use queries::*;
use test_probe::{Script, Step};

/// Shared, so that each guest is compiled once.
static STORE: LazyLock<CodeStore> = LazyLock::new(|| CodeStore::new(StoreOptions::default()).unwrap());

const DENOM: &str = "ucoin";
const MOOD: u64 = 5;
const PAINTER: u64 = 6;

struct World {
    net: Network,
    asking: ChainId,
    answering: ChainId,
    host: Addr,
    asker: Addr,
    /// A contract whose state is read.
    state: Addr,
    link: Link,
    sequence: u64,
}

fn world(prices: Vec<Price>) -> World {
    let mut net = Network::new();
    let asking = net.add("asking-1", Chain::with_store(STORE.clone()));
    let answering = net.add("answering-1", Chain::with_store(STORE.clone()));
    let probe = models::contract("test-probe").unwrap();
    let instantiate_probe = |chain: &mut Chain, script: &Script| {
        let code = chain.store_wasm(&probe).unwrap();
        let owner = chain.account("owner");
        let probe = chain.instantiate_contract(code, owner, script, &[], "probe", None);
        (code, probe.unwrap())
    };
    let (_, asker) = instantiate_probe(net.chain_mut(asking), &Script::default());
    let chain = net.chain_mut(answering);
    let features = APPLICANT.map(|value| value.to_string()).join(",");
    let script = Script {
        steps: vec![
            Step::Set {
                key: "applicant".to_string(),
                value: format!("[{features}]"),
            },
            Step::Set {
                key: "large".to_string(),
                value: "x".repeat(100_000),
            },
        ],
        ..Script::default()
    };
    let (_, state) = instantiate_probe(chain, &script);
    let host = chain.store_wasm(&models::contract("ibc-model-host").unwrap()).unwrap();
    let owner = chain.account("owner");
    let msg = InstantiateMsg {
        owner: None,
        prices,
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    let host = chain
        .instantiate_contract(host, owner, &msg, &[], "models", None)
        .unwrap();
    // Their code ids are those of the queries' builders.
    chain.store_wasm(&models::gbdt().unwrap()).unwrap();
    for (code_id, module) in [
        (MLP, models::mlp()),
        (MOOD, models::mood()),
        (PAINTER, models::painter()),
    ] {
        assert_eq!(chain.store_wasm(&module.unwrap()).unwrap(), code_id);
    }
    let link = net.link((asking, &asker), (answering, &host), ibc::VERSION).unwrap();
    World {
        net,
        asking,
        answering,
        host,
        asker,
        state,
        link,
        sequence: 0,
    }
}

fn price() -> Vec<Price> {
    vec![Price {
        denom: DENOM.to_string(),
        per_query: Uint128::new(100),
        per_gigagas: Uint128::new(1_000),
        reward: Decimal::percent(20),
        min_deposit: None,
    }]
}

impl World {
    /// Sends a packet; the task to deliver it.
    fn send(&mut self, data: Vec<u8>) -> Task {
        let timeout = IbcTimeout::with_timestamp(self.net.now().plus_seconds(10_000));
        let script = Script {
            messages: vec![SubMsg::new(IbcMsg::SendPacket {
                channel_id: self.link.a_end.channel_id.clone(),
                data: data.into(),
                timeout,
            })],
            ..Script::default()
        };
        let chain = self.net.chain_mut(self.asking);
        let owner = chain.account("owner");
        chain.execute_contract(owner, self.asker.clone(), &script, &[]).unwrap();
        self.sequence += 1;
        let tasks = self.net.pending().unwrap();
        let sent = |task: &Task| task.packet().is_some_and(|packet| packet.sequence == self.sequence);
        tasks.into_iter().find(sent).unwrap()
    }

    fn deliver(&mut self, data: Vec<u8>) -> (acknowledgement::Result, Relayed) {
        let task = self.send(data);
        let relayed = self.net.relay(&task).unwrap();
        let data = relayed.acknowledgement.clone().unwrap();
        assert!(data.len() <= MAX_ACKNOWLEDGEMENT_BYTES);
        let read = ibc::decode_acknowledgement(&data).unwrap();
        let block = self.net.chain(self.answering).block_info();
        assert_eq!((read.height, read.time), (block.height, block.time.nanos()));
        (read.result.unwrap(), relayed)
    }

    fn ask(&mut self, queries: Vec<v1::Query>) -> (Vec<v1::Answer>, Relayed) {
        match self.deliver(ask(queries)) {
            (acknowledgement::Result::Answers(answers), relayed) => (answers.answers, relayed),
            (other, _) => panic!("{other:?}"),
        }
    }

    fn account(&self) -> AccountKey {
        let channels: Vec<ibc_model_host::msg::Channel> = self.query(&QueryMsg::Channels {
            start_after: None,
            limit: None,
        });
        let peer = channels[0].peer.clone();
        assert_eq!(peer.port, self.link.a_end.port_id);
        AccountKey {
            connection: peer.connection,
            port: peer.port,
            asker: "asker".to_string(),
        }
    }

    fn query<T: serde::de::DeserializeOwned>(&self, msg: &QueryMsg) -> T {
        let chain = self.net.chain(self.answering);
        chain.wrap().query_wasm_smart(&self.host, msg).unwrap()
    }

    fn deposit(&mut self, amount: u128) {
        let account = self.account();
        let chain = self.net.chain_mut(self.answering);
        let giver = chain.account("giver");
        chain.fund(&giver, coins(amount, DENOM)).unwrap();
        let recovery = chain.account("recovery").into();
        let msg = ExecuteMsg::Deposit { account, recovery };
        chain
            .execute_contract(giver, self.host.clone(), &msg, &coins(amount, DENOM))
            .unwrap();
    }

    fn held(&self) -> Uint128 {
        let chain = self.net.chain(self.answering);
        let held = chain.wrap().query_balance(&self.host, DENOM).unwrap();
        held.amount.try_into().unwrap()
    }

    fn totals(&self) -> Totals {
        let denom = DENOM.to_string();
        self.query(&QueryMsg::Totals { denom })
    }

    /// A smart query to the contract of the answering chain whose state is read.
    fn read(&self, msg: &test_probe::QueryMsg) -> v1::Read {
        v1::Read {
            contract: self.state.to_string(),
            query: Some(v1::read::Query::Smart(to_json_binary(msg).unwrap().into())),
        }
    }

    fn raw(&self, key: &str) -> v1::Read {
        v1::Read {
            contract: self.state.to_string(),
            query: Some(v1::read::Query::Raw(key.as_bytes().to_vec())),
        }
    }
}

fn ask(queries: Vec<v1::Query>) -> Vec<u8> {
    ibc::encode_packet(Operation::Ask(v1::Ask {
        asker: "asker".to_string(),
        valid_until: 0,
        denom: DENOM.to_string(),
        queries,
    }))
}

fn withdraw(receiver: &Addr) -> Vec<u8> {
    ibc::encode_packet(Operation::Withdraw(v1::Withdraw {
        asker: "asker".to_string(),
        denom: DENOM.to_string(),
        amount: String::new(),
        receiver: receiver.to_string(),
        max_price: "1000".to_string(),
    }))
}

/// What the model says in a run on this machine.
fn local() -> Outputs {
    let deps = mock_dependencies(&[(MLP, &models::mlp().unwrap())]);
    Model::new(MLP)
        .infer(deps.as_ref().querier, [Tensor::from_i64s(&APPLICANT)])
        .unwrap()
}

fn same(answer: &v1::Answer, local: &Outputs) {
    let infer = infer(answer);
    let receipt = infer.receipt.as_ref().unwrap();
    assert_eq!(receipt.inputs_hash, local.receipt().inputs_hash.as_bytes());
    assert_eq!(receipt.outputs_hash, local.receipt().outputs_hash.as_bytes());
    assert_eq!(
        receipt.models[0].checksum,
        local.receipt().models[0].checksum.as_bytes()
    );
    let output = local.single().unwrap();
    let integers: Vec<i64> = infer.outputs[0].integers().unwrap().iter().map(|&q| q as i64).collect();
    assert_eq!(integers, output.integers().collect::<Vec<_>>());
}

fn sdk_gas(relayed: &Relayed) -> u64 {
    relayed.gas.sdk_gas()
}

#[test]
fn models_state_and_descriptions_are_answered_in_one_packet() {
    let mut world = world(vec![]);
    let read = world.read(&test_probe::QueryMsg::Get {
        key: "applicant".to_string(),
    });
    // The probe answers with a string that holds the array: its raw state is the array itself.
    let of_state = run(v1::Run {
        reads: vec![world.raw("applicant"), read],
        steps: vec![step(MLP, json(""))],
        return_reads: true,
        ..Default::default()
    });
    let describe = v1::Query {
        operation: Some(v1::query::Operation::Describe(v1::Describe {
            model: Some(model(PAINTER)),
        })),
        gas_limit: GAS,
        ..Default::default()
    };
    let (answers, relayed) = world.ask(vec![score(&APPLICANT), of_state, describe, score(&APPLICANT)]);
    let local = local();
    for answer in [&answers[0], &answers[1], &answers[3]] {
        same(answer, &local);
    }
    let Some(answer::Result::Run(run)) = &answers[1].result else {
        panic!()
    };
    assert_eq!(run.reads.len(), 2);
    assert!(run.reads[0].starts_with(b"[1200,10,"));
    let Some(answer::Result::Description(description)) = &answers[2].result else {
        panic!("{answers:?}")
    };
    assert_eq!(description.info.as_ref().unwrap().inputs.len(), 2);
    println!("one packet of four queries: {} SDK gas", sdk_gas(&relayed));
    for call in &relayed.gas.calls {
        println!("  {} {} SDK gas", call.entry_point, call.used() / SDK_GAS);
    }
    // The acknowledgement comes back.
    world.net.relay_all().unwrap();
}

#[test]
fn several_models_are_chained_without_a_round_trip() {
    let mut world = world(vec![]);
    let named = |name: &str, source| v1::RunInput {
        name: name.to_string(),
        source: Some(source),
    };
    use v1::run_input::Source;
    let mood = v1::RunStep {
        model: Some(model(MOOD)),
        inputs: vec![
            named("market", Source::Tensor(whole(&[1, 2, 3, 4, 5, 6, 7, 8]))),
            named("owner", Source::Tensor(whole(&[1, 2, 3]))),
        ],
    };
    let painter = v1::RunStep {
        model: Some(model(PAINTER)),
        inputs: vec![
            named(
                "mood",
                Source::StepOutput(v1::StepOutput {
                    step: 0,
                    output: "mood".to_string(),
                }),
            ),
            named("seed", Source::Tensor(whole(&[0, 1, 0, -1, 0, 1, 1, 0]))),
        ],
    };
    let mut query = run(v1::Run {
        steps: vec![mood, painter],
        ..Default::default()
    });
    query.gas_limit = 100 * GAS;
    let (answers, relayed) = world.ask(vec![query]);
    let response = infer(&answers[0]);
    assert_eq!(response.receipt.as_ref().unwrap().models.len(), 2);
    assert!(response.outputs[0].data.len() >= 64 * 64);
    println!(
        "mood and painter: {} SDK gas, of which {} for the models",
        sdk_gas(&relayed),
        response.receipt.as_ref().unwrap().gas / SDK_GAS
    );
}

#[test]
fn a_full_packet_is_answered_query_by_query() {
    let mut world = world(price());
    // The price of all that is declared is set aside while there are calls.
    world.deposit(10_000_000);
    let (answers, relayed) = world.ask((0..256).map(|_| score(&APPLICANT)).collect());
    let local = local();
    answers.iter().for_each(|answer| same(answer, &local));
    println!("256 runs: {} SDK gas each", sdk_gas(&relayed) / 256);
    let (_, relayed) = world.ask(vec![score(&APPLICANT)]);
    println!("1 run: {} SDK gas", sdk_gas(&relayed));
    let read = |world: &World| {
        run(v1::Run {
            reads: vec![world.raw("applicant")],
            steps: vec![step(MLP, json(""))],
            ..Default::default()
        })
    };
    let queries = (0..256).map(|_| read(&world)).collect();
    let (answers, relayed) = world.ask(queries);
    answers.iter().for_each(|answer| same(answer, &local));
    println!("256 runs on state: {} SDK gas each", sdk_gas(&relayed) / 256);
    let one = vec![read(&world)];
    let (_, relayed) = world.ask(one);
    println!("1 run on state: {} SDK gas", sdk_gas(&relayed));
    let totals = world.totals();
    assert_eq!(totals.credits + totals.rewards + totals.takings, world.held());
}

/// Delivers a packet with rising amounts of gas; the acknowledgement, and with how many it failed.
fn deliver_at_last(world: &mut World, data: Vec<u8>) -> (acknowledgement::Result, usize) {
    let task = world.send(data);
    let mut aborted = 0;
    let mut gas = 20_000;
    loop {
        match world.net.relay_with_gas(&task, gas) {
            Ok(relayed) => {
                let data = relayed.acknowledgement.unwrap();
                return (ibc::decode_acknowledgement(&data).unwrap().result.unwrap(), aborted);
            }
            Err(error) => {
                assert!(matches!(error, IbcError::OutOfGas(_)), "{error}");
                aborted += 1;
                gas += gas / 3;
            }
        }
    }
}

#[test]
fn too_little_gas_of_the_relayer_never_makes_an_error_final() {
    let mut world = world(price());
    world.deposit(1_000_000);
    let state = |world: &World, rounds| {
        run(v1::Run {
            reads: vec![
                world.raw("applicant"),
                world.read(&test_probe::QueryMsg::Work { rounds }),
            ],
            steps: vec![step(MLP, json(""))],
            ..Default::default()
        })
    };
    let queries = vec![score(&APPLICANT), state(&world, 1_000), state(&world, 100_000)];
    let (result, aborted) = deliver_at_last(&mut world, ask(queries));
    let acknowledgement::Result::Answers(answers) = result else {
        panic!("{result:?}")
    };
    let local = local();
    answers.answers.iter().for_each(|answer| same(answer, &local));
    assert!(aborted > 3);
    let receiver = world.net.chain(world.answering).account("receiver");
    let (result, aborted) = deliver_at_last(&mut world, withdraw(&receiver));
    assert!(matches!(result, acknowledgement::Result::Withdrawn(_)), "{result:?}");
    assert!(aborted > 0);
    let totals = world.totals();
    assert_eq!(totals.credits, Uint128::zero());
    assert_eq!(totals.rewards + totals.takings, world.held());
}

#[test]
fn work_above_a_querys_own_limit_is_answered_and_paid() {
    let mut world = world(price());
    world.deposit(1_000_000);
    let endless = world.read(&test_probe::QueryMsg::Work { rounds: u64::MAX });
    let query = run(v1::Run {
        reads: vec![endless],
        ..Default::default()
    });
    let mut poor = score(&APPLICANT);
    poor.gas_limit = 100_000_000;
    let (answers, relayed) = world.ask(vec![query, poor, score(&APPLICANT)]);
    assert_eq!(code(&answers[0]), ErrorCode::GasLimitExceeded);
    assert_eq!(code(&answers[1]), ErrorCode::GasLimitExceeded);
    same(&answers[2], &local());
    assert_eq!(answers[0].price, (100 + GAS / 1_000_000).to_string());
    assert_eq!(answers[1].price, "100");
    // The work was stopped at its limit.
    assert!(sdk_gas(&relayed) * SDK_GAS < 3 * GAS);
}

#[test]
fn what_a_read_contract_does_stays_within_its_query() {
    let mut world = world(vec![]);
    let read = |msg: &test_probe::QueryMsg| {
        run(v1::Run {
            reads: vec![world.read(msg)],
            ..Default::default()
        })
    };
    let back = to_json_binary(&QueryMsg::Config {}).unwrap();
    let host = world.host.to_string();
    let large = |times| v1::Query {
        gas_limit: 100 * GAS,
        ..run(v1::Run {
            reads: vec![world.raw("large"); times],
            ..Default::default()
        })
    };
    let queries = vec![
        // Asks back.
        read(&test_probe::QueryMsg::Smart {
            contract: host,
            msg: back,
        }),
        // Fails.
        read(&test_probe::QueryMsg::Fail {
            text: "no".repeat(1_000),
        }),
        // Answers with more than an acknowledgement holds.
        large(3),
        // Is none.
        run(v1::Run {
            reads: vec![v1::Read {
                contract: "nobody".to_string(),
                query: Some(v1::read::Query::Smart(b"{}".to_vec())),
            }],
            ..Default::default()
        }),
        // Asks with more than the VM lets out.
        run(v1::Run {
            reads: vec![v1::Read {
                contract: world.state.to_string(),
                query: Some(v1::read::Query::Smart(vec![b' '; 60_000])),
            }],
            ..Default::default()
        }),
        score(&APPLICANT),
        // Answers with more than the VM stores as one value.
        large(2),
        large(1),
    ];
    let (answers, _) = world.ask(queries);
    let Some(answer::Result::Run(run)) = &answers[6].result else {
        panic!("{answers:?}")
    };
    assert_eq!(run.reads, vec![vec![b'x'; 100_000]; 2]);
    assert_eq!(code(&answers[7]), ErrorCode::ResponseTooLarge);
    let Some(answer::Result::Run(run)) = &answers[0].result else {
        panic!("{answers:?}")
    };
    assert!(String::from_utf8_lossy(&run.reads[0]).contains("recovery_delay"));
    assert_eq!(code(&answers[1]), ErrorCode::ReadFailed);
    assert_eq!(code(&answers[2]), ErrorCode::ResponseTooLarge);
    assert_eq!(code(&answers[3]), ErrorCode::ReadFailed);
    assert_eq!(code(&answers[4]), ErrorCode::RequestTooLarge);
    same(&answers[5], &local());
}

/// Packets that are small to send and large to read.
#[test]
fn hostile_packets_are_answered_too() {
    let mut world = world(vec![]);
    let message = |field: u8, data: &[u8]| {
        let mut bytes = vec![field << 3 | 2];
        prost::encoding::encode_varint(data.len() as u64, &mut bytes);
        bytes.extend_from_slice(data);
        bytes
    };
    let asker = [&[10, 1, b'a'][..]].concat();
    // As many empty messages as fit, at each depth where a list is.
    let empty = |field: u8, count: usize| [field << 3 | 2, 0].repeat(count);
    let most = (MAX_PACKET_BYTES - 64) / 2;
    let step = |inputs: usize| message(2, &empty(2, inputs));
    let full = {
        // Of every allowed part as many as are allowed: 256 queries of 16 steps of inputs.
        let inputs = (MAX_PACKET_BYTES - 4_000) / 256 / 16 / 2 - 4;
        let run = message(1, &step(inputs.min(64)).repeat(16));
        message(4, &run).repeat(256)
    };
    let asks: Vec<(Vec<u8>, Option<ErrorCode>)> = vec![
        (empty(4, most), Some(ErrorCode::InvalidPlan)),
        (
            message(4, &message(1, &empty(1, most - 20))),
            Some(ErrorCode::InvalidPlan),
        ),
        (
            message(4, &message(1, &empty(2, most - 20))),
            Some(ErrorCode::InvalidPlan),
        ),
        (
            message(4, &message(1, &empty(3, most - 20))),
            Some(ErrorCode::InvalidPlan),
        ),
        (message(4, &message(1, &step(most - 20))), Some(ErrorCode::InvalidPlan)),
        (full, None),
        (empty(4, 256), None),
    ];
    for (list, code) in asks {
        let operation = message(2, &[&asker[..], &list].concat());
        let packet = [&[8, 1][..], &operation].concat();
        assert!(packet.len() <= MAX_PACKET_BYTES);
        let (result, relayed) = world.deliver(packet);
        println!("{} bytes: {} SDK gas", list.len(), sdk_gas(&relayed));
        match (result, code) {
            (acknowledgement::Result::Error(error), Some(code)) => assert_eq!(error.code, code as u32),
            (acknowledgement::Result::Answers(answers), None) => assert_eq!(answers.answers.len(), 256),
            (result, code) => panic!("{result:?}, not {code:?}"),
        }
    }
    for packet in [vec![0xff; MAX_PACKET_BYTES], b"{}".to_vec()] {
        let (result, _) = world.deliver(packet);
        assert!(matches!(result, acknowledgement::Result::Error(_)));
    }
}

#[test]
fn credit_is_drawn_withdrawn_and_earned() {
    let mut world = world(price());
    let packet = || ask(vec![score(&APPLICANT), score(&APPLICANT)]);
    let told = |world: &World, packet: Vec<u8>| {
        let msg = QueryMsg::Reward {
            channel: world.link.b_end.channel_id.clone(),
            data: packet.into(),
        };
        world.query::<RewardResponse>(&msg).reward
    };
    assert_eq!(told(&world, packet()), vec![]);
    world.deposit(100_000);
    assert_eq!(told(&world, packet()), vec![coin(40, DENOM)]);
    let (acknowledgement::Result::Answers(answers), _) = world.deliver(packet()) else {
        panic!()
    };
    let prices: Vec<u128> = answers
        .answers
        .iter()
        .map(|answer| answer.price.parse().unwrap())
        .collect();
    let gas = infer(&answers.answers[0]).receipt.as_ref().unwrap().gas;
    assert_eq!(prices[0], 100 + u128::from(gas).div_ceil(1_000_000));
    let paid: u128 = prices.iter().sum();
    let chain = world.net.chain(world.answering);
    let (relayer, receiver) = (world.net.relayer(world.answering).clone(), chain.account("receiver"));
    let rewards: RewardResponse = world.query(&QueryMsg::Rewards {
        relayer: relayer.to_string(),
        start_after: None,
    });
    assert_eq!(rewards.reward, vec![coin(paid / 5, DENOM)]);

    assert_eq!(told(&world, withdraw(&receiver)), vec![coin(20, DENOM)]);
    // What will be refused promises nothing.
    assert_eq!(told(&world, withdraw(&world.host)), vec![]);
    assert_eq!(told(&world, withdraw(&Addr::unchecked("nobody"))), vec![]);
    let (result, _) = world.deliver(withdraw(&receiver));
    let left = 100_000 - paid - 100;
    let acknowledgement::Result::Withdrawn(v1::Withdrawn { amount }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(amount, left.to_string());
    let chain = world.net.chain_mut(world.answering);
    assert_eq!(chain.wrap().query_balance(&receiver, DENOM).unwrap(), coin(left, DENOM));
    chain
        .execute_contract(
            relayer.clone(),
            world.host.clone(),
            &ExecuteMsg::ClaimRewards { denoms: None },
            &[],
        )
        .unwrap();
    assert_eq!(
        chain.wrap().query_balance(&relayer, DENOM).unwrap(),
        coin(paid / 5 + 20, DENOM)
    );
    let totals = world.totals();
    assert_eq!((totals.credits, totals.rewards), (Uint128::zero(), Uint128::zero()));
    assert_eq!(totals.takings, world.held());
}

#[test]
fn a_transfer_from_the_asking_chain_becomes_credit_or_comes_back() {
    let mut world = world(price());
    let transfers = world.net.link_transfer(world.asking, world.answering).unwrap();
    let voucher = voucher_denom(&transfers.b_end.channel_id, "uatom");
    let update = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: Some(vec![Price {
            denom: voucher.clone(),
            ..price().remove(0)
        }]),
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    let chain = world.net.chain_mut(world.answering);
    let (owner, recovery, other) = (
        chain.account("owner"),
        chain.account("recovery"),
        chain.account("other"),
    );
    chain.execute_contract(owner, world.host.clone(), &update, &[]).unwrap();
    let chain = world.net.chain_mut(world.asking);
    let (asker, friend) = (chain.account("asker"), chain.account("friend"));
    for account in [&asker, &friend] {
        chain.fund(account, coins(1_000, "uatom")).unwrap();
    }

    let key = AccountKey {
        asker: asker.to_string(),
        ..world.account()
    };
    let give = |world: &mut World, sender: &Addr, recovery: &Addr| {
        let memo = deposit_memo(
            world.host.as_str(),
            &key.connection,
            &key.port,
            &key.asker,
            recovery.as_str(),
        );
        let msg = IbcMsg::Transfer {
            channel_id: transfers.a_end.channel_id.clone(),
            to_address: world.host.to_string(),
            amount: coin(300, "uatom"),
            timeout: IbcTimeout::with_timestamp(world.net.now().plus_seconds(600)),
            memo: Some(cosmwasm_std::to_json_string(&memo).unwrap()),
        };
        let chain = world.net.chain_mut(world.asking);
        chain.execute(sender.clone(), msg.into()).unwrap();
        let relayed = world.net.relay_all().unwrap();
        let account: Option<ibc_model_host::msg::Account> = world.query(&QueryMsg::Account { account: key.clone() });
        let account = account.unwrap();
        let left = world
            .net
            .chain(world.asking)
            .wrap()
            .query_balance(sender, "uatom")
            .unwrap();
        (account, left, sdk_gas(&relayed[0]))
    };
    let (account, left, gas) = give(&mut world, &friend, &recovery);
    println!("a deposit by transfer: {gas} SDK gas");
    assert_eq!((account.credit, left), (vec![coin(300, &voucher)], coin(700, "uatom")));
    // Another recovery address than the account has: the coins go back.
    let (account, left, _) = give(&mut world, &friend, &other);
    assert_eq!((account.credit, left), (vec![coin(300, &voucher)], coin(700, "uatom")));
    // Unless the asker itself names it.
    let (account, left, _) = give(&mut world, &asker, &other);
    assert_eq!((account.credit, left), (vec![coin(600, &voucher)], coin(700, "uatom")));
    assert_eq!(account.recovery, other);
}
