//! Packets and acknowledgements as large as the protocol allows, through real mempools, blocks and light clients.

use aiinference_client::Msg;
use aiinference_demo_models as models;
use aiinference_std::{remote::Query, Model, Tensor};
use aiinference_types::{
    limits::{MAX_ACKNOWLEDGEMENT_BYTES, MAX_PACKET_BYTES},
    ErrorCode,
};
use prost::Message;
use test_asker::Reaction;
use test_probe::{Script, Step};

use crate::{between::*, support::*};

fn row() -> Tensor {
    Tensor::from_i64s(&[1; 18]).shaped(&[1, 18])
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_packet_of_the_largest_size_is_answered_and_one_byte_more_is_not_sent() {
    let between = Between::open().await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let _relayer = Relayer::start(&between.net);
    // Four tensors that the model refuses, so large that the packet is full, and a question that is answered.
    let question = |last: usize| {
        let large = |bytes: usize| {
            Query::new()
                .step(&model, [Tensor::from_u8s(&vec![7; bytes])])
                .gas_limit(QUERY_GAS)
                .max_price(ANY_PRICE)
        };
        let small = Query::new()
            .step(&model, [row()])
            .gas_limit(QUERY_GAS)
            .max_price(ANY_PRICE);
        let queries = [
            large(60_000),
            large(60_000),
            large(60_000),
            large(60_000),
            large(last),
            small,
        ];
        between.question(&queries, &Reaction::default())
    };
    // As the asking contract makes it.
    let packet = |last: usize| {
        let question = question(last);
        let ask = aiinference_types::v1::Ask {
            asker: between.facts.asker.clone(),
            valid_until: 0,
            denom: question.denom.clone(),
            queries: question
                .queries
                .iter()
                .map(|query| aiinference_types::v1::Query::decode(&query[..]).unwrap())
                .collect(),
        };
        aiinference_types::ibc::encode_packet(aiinference_types::v1::packet_data::Operation::Ask(ask)).len()
    };
    let last = 20_000 + MAX_PACKET_BYTES - packet(20_000);
    assert_eq!(packet(last), MAX_PACKET_BYTES);
    let send = |question| {
        let messages = vec![between.message(&question)];
        execute_msg(
            &between.here,
            &between.facts.asker,
            &test_asker::ExecuteMsg::Send { messages },
        )
    };

    let refused = between.here.send(&[send(question(last + 1))]).await.unwrap_err();
    assert!(refused.to_string().contains("ask in several packets"), "{refused}");

    let included = between.here.send(&[send(question(last))]).await.unwrap();
    println!(
        "figure: asking with {MAX_PACKET_BYTES} bytes takes {} SDK gas",
        included.gas_used
    );
    let id = included.attribute("wasm", "id").unwrap().parse().unwrap();
    let noted = between.told(id).await;
    let answers = answers(&noted.answer.result);
    assert_eq!(answers.len(), 6);
    for answer in &answers[..5] {
        assert_eq!(error_of(answer), ErrorCode::ShapeMismatch as u32);
    }
    answers[5].outputs().unwrap();
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_acknowledgement_of_almost_the_largest_size_comes_back_whole() {
    // Two queries with three values each, below what the VM stores as one value.
    const VALUE: usize = 43_600;
    let between = Between::open().await;
    let probe = probe(&between.there).await;
    for key in 0..3 {
        let script = Script {
            steps: vec![Step::Set {
                key: key.to_string(),
                value: key.to_string().repeat(VALUE),
            }],
            ..Script::default()
        };
        let set: Msg = execute_msg(&between.there, &probe, &script);
        between.there.send(&[set]).await.unwrap();
    }
    let _relayer = Relayer::start(&between.net);
    let reads = || {
        (0..3)
            .fold(Query::new(), |query, key: u8| {
                query.read_raw(&probe, key.to_string().into_bytes())
            })
            .gas_limit(1_000_000_000_000)
            .max_price(ANY_PRICE)
    };
    let mut question = between.question(&[reads(), reads()], &Reaction::default());
    // A contract stores no such answer as one value: it stays with the asking contract, to be fetched.
    question.callback = None;
    let id = between.ask(&question).await;
    let outcome = between.kept_outcome(id).await;
    let answers = answers(&outcome);
    let mut bytes = 0;
    for answer in answers {
        let reads = answer.run().unwrap().reads;
        for (key, read) in reads.iter().enumerate() {
            assert_eq!(*read, key.to_string().repeat(VALUE).into_bytes());
            bytes += read.len();
        }
    }
    println!("figure: an acknowledgement of more than {bytes} bytes was kept");
    assert_eq!(answers.len(), 2);
    assert!(bytes > MAX_ACKNOWLEDGEMENT_BYTES - 1_000);

    // One query more finds no room, which loses none of the others.
    let mut question = between.question(&[reads(), reads(), reads()], &Reaction::default());
    question.callback = None;
    let id = between.ask(&question).await;
    let outcome = between.kept_outcome(id).await;
    let answers = self::answers(&outcome);
    assert_eq!(answers[0].run().unwrap().reads.len(), 3);
    assert_eq!(error_of(&answers[2]), ErrorCode::ResponseTooLarge as u32);
}
