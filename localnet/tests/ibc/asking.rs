//! Questions and their answers.

use aiinference_demo_models as models;
use aiinference_localnet::Node;
use aiinference_multi_test::{cw_multi_test::Executor, Chain};
use aiinference_std::{
    remote::{Input, Query},
    Model, Tensor,
};
use aiinference_types::{limits, ErrorCode};
use cosmwasm_std::Binary;
use sha2::{Digest, Sha256};
use tendermint_rpc::{endpoint::tx_search, Client, Order};
use test_asker::Reaction;
use test_probe::{QueryMsg, Script, Step};

use crate::{between::*, support::*};

/// Features of the credit model, a different applicant for each seed.
fn features(seed: u64) -> Vec<i64> {
    let mut numbers = Numbers(seed + 1);
    (0..18).map(|_| numbers.below(5).into()).collect()
}

fn tensor(features: &[i64]) -> Tensor {
    Tensor::from_i64s(features).shaped(&[1, 18])
}

fn paid(query: Query) -> Query {
    query.gas_limit(QUERY_GAS).max_price(ANY_PRICE)
}

/// What the model gives on the embedded chain.
fn computed_here(model: &[u8], questions: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let mut chain = Chain::new().unwrap();
    let code = chain.store_wasm(&models::contract("test-probe").unwrap()).unwrap();
    let model = chain.store_wasm(model).unwrap();
    let owner = chain.account("owner");
    let probe = chain
        .instantiate_contract(code, owner, &Script::default(), &[], "probe", None)
        .unwrap();
    let answers = questions.iter().map(|features| {
        let features: Vec<i32> = features.iter().map(|x| i32::try_from(*x).unwrap()).collect();
        let answers: Vec<Binary> = chain
            .wrap()
            .query_wasm_smart(&probe, &run_model(model, &[1, 18], 0, &features))
            .unwrap();
        let integers = answers[0].as_slice().as_chunks().0.iter();
        integers.map(|bytes| i32::from_le_bytes(*bytes).into()).collect()
    });
    answers.collect()
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_answer_from_another_chain_has_the_bits_of_a_local_run() {
    let between = Between::open().await;
    let module = models::mlp().unwrap();
    let code_id = store(&between.there, &module).await;
    let checksum: [u8; 32] = Sha256::digest(&module).into();
    let model = Model::new(code_id).with_checksum(checksum);
    let _relayer = Relayer::start(&between.net);

    let questions: Vec<Vec<i64>> = (0..8).map(features).collect();
    let queries: Vec<Query> = questions
        .iter()
        .enumerate()
        .map(|(number, features)| paid(Query::new().step(&model, [tensor(features)])).memo(vec![number as u8]))
        .collect();
    let before = between.credit().await;
    let id = between.ask(&between.question(&queries, &Reaction::default())).await;
    let noted = between.told(id).await;

    assert_eq!(noted.times, 1);
    assert_eq!(noted.sender, between.facts.client);
    assert_eq!(noted.answer.initiator, between.facts.asker);
    let answers = answers(&noted.answer.result);
    let expected = computed_here(&module, &questions);
    assert_eq!(answers.len(), expected.len());
    let mut spent = 0;
    for (number, (answer, expected)) in answers.iter().zip(expected).enumerate() {
        let outputs = answer.outputs().unwrap();
        assert_eq!(outputs.single().unwrap().integers().collect::<Vec<_>>(), expected);
        assert_eq!(answer.memo.to_vec(), [number as u8]);
        let receipt = outputs.receipt();
        assert_eq!(receipt.models[0].code_id, code_id);
        assert_eq!(receipt.models[0].checksum.as_bytes(), &checksum);
        let price: u128 = answer.price.parse().unwrap();
        assert_eq!(
            price,
            PER_QUERY + (u128::from(receipt.gas) * PER_GIGAGAS).div_ceil(1_000_000_000)
        );
        spent += price;
    }
    assert_eq!(between.credit().await, before - spent);
    assert!(between.kept(id).await.is_none(), "what was told is not kept");
}

/// Gas and bytes of the transaction that took a packet of the asking contract a step further.
async fn carried(between: &Between, node: &Node, step: &str, sequence: &str) -> (i64, usize) {
    let query = format!(
        "{step}.packet_src_port='wasm.{}' AND {step}.packet_src_channel='{}' AND {step}.packet_sequence='{sequence}'",
        between.facts.client, between.facts.client_channel
    );
    let request = tx_search::Request::new(query, false, 1, 1, Order::Descending);
    let found = node.rpc().perform(request).await.unwrap();
    let tx = found.txs.first().expect("the node has an index");
    (tx.tx_result.gas_used, tx.tx.len())
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn two_hundred_and_fifty_six_queries_fit_in_one_packet() {
    let between = Between::open().await;
    let module = models::mlp().unwrap();
    let model = Model::new(store(&between.there, &module).await);
    let _relayer = Relayer::start(&between.net);
    let questions: Vec<Vec<i64>> = (0..limits::MAX_QUERIES as u64).map(features).collect();
    let queries: Vec<Query> = questions
        .iter()
        // What a packet may declare is limited.
        .map(|features| paid(Query::new().step(&model, [tensor(features)])).gas_limit(1_000_000_000))
        .collect();
    let mut question = between.question(&queries, &Reaction::default());
    // The callback reads 256 answers.
    question = question.callback(json_binary(&Reaction::default()), 5_000_000);
    let message = vec![between.message(&question)];
    let send = test_asker::ExecuteMsg::Send { messages: message };
    let send = execute_msg(&between.here, &between.facts.asker, &send);
    let included = between.here.send(&[send]).await.unwrap();
    println!("figure: asking 256 queries takes {} SDK gas", included.gas_used);
    let id = included.attribute("wasm", "id").unwrap().parse().unwrap();
    let noted = between.told(id).await;
    let sequence = included.attribute("send_packet", "packet_sequence").unwrap();
    for (node, step) in [
        (&between.provider, "recv_packet"),
        (&between.consumer, "acknowledge_packet"),
    ] {
        let (gas, bytes) = carried(&between, node, step, sequence).await;
        println!("figure: {step} of them takes {gas} SDK gas in {bytes} bytes");
    }
    let expected = computed_here(&module, &questions);
    let answers = answers(&noted.answer.result);
    assert_eq!(answers.len(), expected.len());
    for (answer, expected) in answers.iter().zip(expected) {
        let outputs = answer.outputs().unwrap();
        assert_eq!(outputs.single().unwrap().integers().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn each_failure_is_a_typed_error_and_loses_no_other_answer() {
    let between = Between::open().await;
    let module = models::mlp().unwrap();
    let code_id = store(&between.there, &module).await;
    let model = Model::new(code_id);
    let probe = probe(&between.there).await;
    let _relayer = Relayer::start(&between.net);
    let input = || [tensor(&features(1))];
    // An endless query ends at its own limit.
    let endless = serde_json::to_vec(&QueryMsg::Work { rounds: 1 << 40 }).unwrap();
    let cases = [
        (paid(Query::new().step(&model, input())), None),
        (
            paid(Query::new().step(&Model::new(987_654), input())),
            Some(ErrorCode::UnknownCodeId),
        ),
        (
            paid(Query::new().step(&model.clone().with_checksum([7; 32]), input())),
            Some(ErrorCode::ChecksumMismatch),
        ),
        (
            Query::new().step(&model, input()).gas_limit(1_000).max_price(ANY_PRICE),
            Some(ErrorCode::GasLimitExceeded),
        ),
        (
            Query::new()
                .step(&model, input())
                .gas_limit(QUERY_GAS)
                .max_price(PER_QUERY),
            Some(ErrorCode::PriceExceeded),
        ),
        (
            paid(Query::new().step(&model, [Tensor::from_u8s(&[0; 70_000])])),
            Some(ErrorCode::RequestTooLarge),
        ),
        (
            paid(Query::new().step(&model, [Tensor::from_i64s(&[1, 2, 3])])),
            Some(ErrorCode::ShapeMismatch),
        ),
        (
            paid(Query::new().read_smart(&probe, endless)),
            Some(ErrorCode::GasLimitExceeded),
        ),
        (
            paid(Query::new().read_smart(&probe, b"{\"fail\":{\"text\":\"as told\"}}".to_vec())),
            Some(ErrorCode::ReadFailed),
        ),
        (paid(Query::new().step(&model, input())), None),
    ];
    let queries: Vec<Query> = cases.iter().map(|(query, _)| query.clone()).collect();
    let id = between.ask(&between.question(&queries, &Reaction::default())).await;
    let noted = between.told(id).await;
    let answers = answers(&noted.answer.result);
    assert_eq!(answers.len(), cases.len());
    for (number, (answer, (_, expected))) in answers.iter().zip(&cases).enumerate() {
        match expected {
            None => assert!(answer.outputs().is_ok(), "{number}: {answer:?}"),
            Some(code) => assert_eq!(error_of(answer), *code as u32, "{number}: {answer:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn models_are_chained_and_fed_from_state_of_the_answering_chain() {
    let between = Between::open().await;
    let module = models::mlp().unwrap();
    let code_id = store(&between.there, &module).await;
    let probe = probe(&between.there).await;
    let row = features(5);
    let script = Script {
        steps: vec![Step::Set {
            key: "row".into(),
            value: serde_json::to_string(&row).unwrap(),
        }],
        ..Script::default()
    };
    execute(&between.there, &probe, &script).await.unwrap();
    let _relayer = Relayer::start(&between.net);
    let model = Model::new(code_id);
    // The raw value is a JSON list; the smart query's answer is a string, of which the length is one number.
    let from_state = paid(
        Query::new()
            .read_raw(&probe, b"row".to_vec())
            .step(&model, [Input::read(0).json("").shaped(&[1, 18])])
            .returning_reads(),
    );
    let id = between
        .ask(&between.question(&[from_state, paid(Query::describe(&model))], &Reaction::default()))
        .await;
    let noted = between.told(id).await;
    let answers = answers(&noted.answer.result);
    let run = answers[0].run().unwrap();
    assert_eq!(run.reads, [serde_json::to_vec(&row).unwrap()]);
    let outputs = run.outputs.unwrap();
    assert_eq!(
        outputs.single().unwrap().integers().collect::<Vec<_>>(),
        computed_here(&module, &[row])[0]
    );
    let description = answers[1].description().unwrap();
    assert_eq!(description.info.checksum, Sha256::digest(&module).to_vec());
    assert!(description.price.parse::<u128>().unwrap() > PER_QUERY);
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_callback_that_fails_is_kept_and_delivered_once() {
    let between = Between::open().await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let _relayer = Relayer::start(&between.net);
    let query = paid(Query::new().step(&model, [tensor(&features(9))]));
    // It needs more gas than was fixed.
    let heavy = Reaction {
        work: 20_000_000,
        ..Reaction::default()
    };
    let question = between.question(std::slice::from_ref(&query), &heavy);
    let heavy = between.ask(&question.callback(json_binary(&heavy), 300_000)).await;
    // The channel goes on.
    let light = between.ask(&between.question(&[query], &Reaction::default())).await;
    assert_eq!(between.told(light).await.times, 1);
    let end = std::time::Instant::now() + SOON;
    let kept = loop {
        let kept = between.kept(heavy).await.expect("it is not told");
        if kept.result.is_some() {
            break kept;
        }
        assert!(std::time::Instant::now() < end, "no answer");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    assert!(
        matches!(kept.question.state, ibc_model_client::msg::State::Undelivered { .. }),
        "{:?}",
        kept.question.state
    );
    let deliver = ibc_model_client::msg::ExecuteMsg::Deliver {
        id: heavy,
        gas_limit: 4_500_000,
    };
    let deliver = test_asker::ExecuteMsg::Send {
        messages: vec![to_contract(&between.facts.client, &deliver)],
    };
    let deliver = execute_msg(&between.here, &between.facts.asker, &deliver);
    between.here.send(std::slice::from_ref(&deliver)).await.unwrap();
    assert_eq!(between.told(heavy).await.times, 1);
    let again = between.here.send(&[deliver]).await;
    assert!(again.is_err(), "it is told and forgotten");
}
