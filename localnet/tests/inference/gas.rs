//! What inference costs in a transaction.

use aiinference_client::{governance, Account, ClientError, Coin, Gas, Msg, Proposal};
use aiinference_engine::graph::Op;
use aiinference_localnet::{Localnet, Node};
use aiinference_runtime::{price, LoadedModel};
use aiinference_trace::{Outcome, Record};
use aiinference_types::v1::DataType;
use cosmrs::proto::{
    cosmos::gov::v1::{MsgSubmitProposalResponse, MsgVote, VoteOption},
    cosmwasm::wasm::v1::MsgPinCodes,
    traits::{Message, Name},
    Any,
};

use crate::support::*;

/// CosmWasm gas of one SDK gas.
const SDK_GAS: u64 = 140_000;
const WIDTH: u32 = 8;

/// Two models that take and give the same, and differ in what they cost: `hidden` neurons of which the first few answer.
fn model(hidden: usize) -> Vec<u8> {
    // Neuron n passes on input n.
    let weights = (0..hidden * WIDTH as usize).map(|i| i8::from(i / WIDTH as usize == i % WIDTH as usize));
    model_of("x", vec![1, WIDTH], (0, 9), |graph, x| {
        let layer = graph.push(dense(x, weights, 0, (0, 100)));
        graph.push(Op::Slice {
            x: layer,
            axis: 1,
            start: 0,
            step: 1,
            length: WIDTH,
        })
    })
}

/// The price of a request for one model, from what anybody can read of it.
fn static_estimate(model: &[u8], request_bytes: u64) -> u64 {
    let model = LoadedModel::load([0; 32], model).unwrap();
    let outputs = model.program.outputs().iter().map(|output| {
        let elements: u64 = output.shape.iter().map(|extent| u64::from(*extent)).product();
        price::output(elements * DataType::narrowest(output.low, output.high).width() as u64)
    });
    price::call(request_bytes) + model.load_gas() + model.program.run_gas() + outputs.sum::<u64>()
}

/// What a validator logged of the inferences in a block.
fn logged(node: &Node, contract: &str, height: u64) -> Vec<Record> {
    let file = node
        .plan()
        .runs
        .trace_file
        .clone()
        .expect("validators of the localnet log");
    let records = aiinference_trace::Reader::open(&file).unwrap().map(Result::unwrap);
    let of_block = |record: &Record| record.position.height == height && record.position.entry_point == "execute";
    records
        .filter(|record| of_block(record) && record.position.contract == contract)
        .collect()
}

fn ask(code_id: u64) -> test_probe::Script {
    note("y", run_model(code_id, &[1, WIDTH], 0, &[1, 2, 3, 4, 5, 6, 7, 8]))
}

/// Runs a model in a transaction: its SDK gas. On every validator the inference itself cost the static estimate.
async fn cost(payer: &Account, nodes: &[Node], contract: &str, code_id: u64, model: &[u8]) -> (u64, u64) {
    let done = execute(payer, contract, &ask(code_id)).await.unwrap();
    let mut external = None;
    for node in nodes {
        node.wait_height(done.height, SOON).await.unwrap();
        // A block is logged when it is run, which is before its height is told. A replayed block is logged again.
        let records = logged(node, contract, done.height);
        assert!(!records.is_empty(), "{} logged nothing in {}", node.name(), done.height);
        for record in records {
            let Outcome::Done {
                gas, external: queries, ..
            } = record.outcome
            else {
                panic!("{:?}", record.outcome)
            };
            assert_eq!(
                gas,
                static_estimate(model, record.request.len() as u64),
                "{}",
                node.name()
            );
            assert_eq!(record.asked.len(), 1, "the one inner query is for the code");
            assert_eq!(*external.get_or_insert(queries), queries, "{}", node.name());
        }
    }
    (done.gas_used, external.unwrap())
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn an_inference_costs_its_static_estimate_and_the_inner_query_on_every_run() {
    let net = localnet();
    let nodes = validators(&net);
    // An account whose sequence number stays short: a transaction pays for its bytes.
    let payer = account(&net, &nodes[0], "prover").await;
    // A code of its own, which no earlier run has pinned.
    let code = aiinference_demo_models::contract("test-probe").unwrap();
    let (code_id, _) = store_module(&payer, code).await;
    let contract = instantiate(&payer, code_id, "probe", &test_probe::Script::default()).await;
    let (cheap, dear) = (model(8), model(4096));
    // Their ids are written with as many digits.
    let (cheap_id, dear_id) = loop {
        let cheap = store_module(&payer, cheap.clone()).await.0;
        let dear = store_module(&payer, dear.clone()).await.0;
        if cheap.to_string().len() == dear.to_string().len() {
            break (cheap, dear);
        }
    };
    // Their requests are as long, too: what that costs falls out.
    let between = (static_estimate(&dear, 0) - static_estimate(&cheap, 0)) / SDK_GAS;

    let mut first = None;
    for when in ["at first", "again", "after a restart", "pinned"] {
        match when {
            "after a restart" => {
                nodes[1].stop().await.unwrap();
                nodes[1].start().unwrap();
                nodes[1].caught_up(SOON).await.unwrap();
            }
            "pinned" => pin(&net, &payer, &[code_id, cheap_id, dear_id]).await,
            _ => {}
        }
        let (low, query) = cost(&payer, &nodes, &contract, cheap_id, &cheap).await;
        let (high, same_query) = cost(&payer, &nodes, &contract, dear_id, &dear).await;
        assert_eq!(query, same_query);
        // Each call's CosmWasm gas is rounded to SDK gas once.
        let difference = high - low;
        assert!(
            (between..=between + 1).contains(&difference),
            "{when}: the dearer model costs {difference} more, estimated {between}"
        );
        if when == "pinned" {
            // A pinned contract is cheaper to call, by wasmd's own rule; what its inference costs is the same.
            assert_eq!(first.map(|(_, _, query)| query), Some(query));
        } else {
            assert_eq!(*first.get_or_insert((low, high, query)), (low, high, query), "{when}");
        }
        println!(
            "figure: {when}: {low} and {high} SDK gas, of it {} for the inner query",
            query / SDK_GAS
        );
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn running_out_of_gas_fails_that_transaction_alone() {
    let net = localnet();
    let nodes = validators(&net);
    let bob = account(&net, &nodes[0], "bob").await;
    let contract = probe(&bob).await;
    let dear = store(&bob, &model(4096)).await;
    let msg = [execute_msg(&bob, &contract, &ask(dear))];
    let used = execute(&bob, &contract, &ask(dear)).await.unwrap().gas_used;

    // Not enough for the inference; the neighbour in the block, of another account, has enough.
    let alice = account(&net, &nodes[0], "alice").await;
    let others = [execute_msg(&alice, &contract, &ask(dear))];
    let short = bob.submit_with(&msg, Gas::Limit(used - 9_000)).await.unwrap();
    let enough = alice.submit_with(&others, Gas::Limit(CALL_GAS)).await.unwrap();
    let failed = bob.confirm(&short).await.unwrap_err();
    let before = alice.confirm(&enough).await.unwrap();
    let after = execute(&bob, &contract, &ask(dear)).await.unwrap();
    assert!(
        matches!(&failed, ClientError::Refused { code: 11, codespace, .. } if codespace == "sdk"),
        "{failed}"
    );
    assert_eq!(after.gas_used, used);
    let out_of_gas = (before.height - 1..=after.height)
        .flat_map(|height| logged(&nodes[2], &contract, height))
        .any(|record| matches!(record.outcome, Outcome::OutOfGas { .. }));
    assert!(out_of_gas, "it ran out in the inference");
    agree(&nodes).await;
}

/// Pins codes by a vote of the validators.
async fn pin(net: &Localnet, proposer: &Account, codes: &[u64]) {
    let authority = governance(&proposer.node().prefix().await.unwrap()).unwrap();
    let pin = MsgPinCodes {
        authority,
        code_ids: codes.to_vec(),
    };
    let proposal = Msg::Propose(Proposal {
        proposer: proposer.address().into(),
        messages: vec![any(&pin)],
        deposit: vec![Coin {
            denom: "stake".into(),
            amount: 100_000_000,
        }],
        title: "Pin the probe".into(),
        summary: "A test.".into(),
        expedited: false,
    });
    let done = proposer.send(&[proposal]).await.unwrap();
    let proposal_id = done.response::<MsgSubmitProposalResponse>(0).unwrap().proposal_id;
    for node in validators(net) {
        let voter = account(net, &node, node.name()).await;
        let vote = MsgVote {
            proposal_id,
            voter: voter.address().into(),
            option: VoteOption::Yes.into(),
            metadata: String::new(),
        };
        voter.send(&[any(&vote)]).await.unwrap();
    }
    let begin = std::time::Instant::now();
    while !pinned(proposer, codes).await {
        assert!(begin.elapsed() < SOON, "the proposal does not pass");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

async fn pinned(account: &Account, codes: &[u64]) -> bool {
    use cosmrs::proto::cosmwasm::wasm::v1::{QueryPinnedCodesRequest, QueryPinnedCodesResponse};
    let answer: QueryPinnedCodesResponse = account
        .node()
        .query(
            "/cosmwasm.wasm.v1.Query/PinnedCodes",
            &QueryPinnedCodesRequest { pagination: None },
            None,
        )
        .await
        .unwrap();
    codes.iter().all(|code| answer.code_ids.contains(code))
}

fn any<M: Message + Name>(msg: &M) -> Msg {
    Msg::Any(Any {
        type_url: format!("/{}", M::full_name()),
        value: msg.encode_to_vec(),
    })
}
