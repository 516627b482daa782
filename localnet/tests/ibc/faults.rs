//! What goes wrong on the way.

use std::time::Duration;

use aiinference_demo_models as models;
use aiinference_std::{remote::Query, Model, Tensor};
use aiinference_types::ErrorCode;
use test_asker::Reaction;

use crate::{between::*, support::*};

async fn small_query(between: &Between) -> Query {
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let input = Tensor::from_i64s(&[2; 18]).shaped(&[1, 18]);
    Query::new()
        .step(&model, [input])
        .gas_limit(QUERY_GAS)
        .max_price(ANY_PRICE)
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_packet_that_nobody_relays_times_out_and_costs_nothing() {
    let between = Between::open().await;
    let query = small_query(&between).await;
    let credit = between.credit().await;
    let mut question = between.question(&[query], &Reaction::default());
    question = question.timeout_seconds(3);
    let id = between.ask(&question).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _relayer = Relayer::start(&between.net);
    let noted = between.told(id).await;
    assert_eq!(failure(&noted.answer.result), ErrorCode::TimedOut as u32);
    assert_eq!(between.credit().await, credit);
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_answer_that_comes_too_late_is_refused() {
    let between = Between::open().await;
    let query = small_query(&between).await;
    let mut question = between.question(&[query], &Reaction::default());
    question = question.valid_for(3);
    let id = between.ask(&question).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _relayer = Relayer::start(&between.net);
    let noted = between.told(id).await;
    assert_eq!(failure(&noted.answer.result), ErrorCode::Expired as u32);
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_relayer_killed_between_receive_and_acknowledgement_loses_nothing() {
    let between = Between::open().await;
    let query = small_query(&between).await;
    let mut ids = Vec::new();
    for round in 0..3 {
        let relayer = Relayer::start(&between.net);
        let before = between.credit().await;
        let question = between.question(std::slice::from_ref(&query), &Reaction::default());
        let id = between.ask(&question).await;
        // The credit is drawn when the packet is received; the acknowledgement is on its way at the earliest a block later.
        let end = std::time::Instant::now() + SOON;
        while between.credit().await == before {
            assert!(std::time::Instant::now() < end, "round {round}: not received");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        relayer.kill();
        ids.push((id, between.told_within(id, Duration::from_secs(2)).await.is_some()));
    }
    let interrupted = ids.iter().filter(|(_, told)| !told).count();
    println!("figure: of 3 kills, {interrupted} fell between receive and acknowledgement");
    let _relayer = Relayer::start(&between.net);
    for (id, _) in ids {
        assert_eq!(between.told(id).await.times, 1);
    }
    assert!(between.pending().await.is_empty());
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn nodes_restarted_under_the_relayer_cost_no_packet() {
    let between = Between::open().await;
    let query = small_query(&between).await;
    let mut relayer = Relayer::start(&between.net);
    let mut ids = Vec::new();
    for node in [&between.provider, &between.consumer] {
        let question = between.question(std::slice::from_ref(&query), &Reaction::default());
        ids.push(between.ask(&question).await);
        ids.push(between.ask(&question).await);
        node.kill().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        node.start().unwrap();
        node.ready(SOON).await.unwrap();
        node.caught_up(SOON).await.unwrap();
        // Until its first block, a node that has started checks signatures as if this were the first of all blocks.
        let height = node.height().await.unwrap();
        node.wait_height(height + 1, SOON).await.unwrap();
        ids.push(between.ask(&question).await);
    }
    for id in ids {
        assert_eq!(between.told(id).await.times, 1);
    }
    assert!(relayer.is_running(), "it survives its nodes");
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn two_relayers_at_once_deliver_each_answer_once() {
    let between = Between::open().await;
    let query = small_query(&between).await;
    let mut relayers = [Relayer::start(&between.net), Relayer::start(&between.net)];
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(
            between
                .ask(&between.question(std::slice::from_ref(&query), &Reaction::default()))
                .await,
        );
    }
    for id in ids {
        assert_eq!(between.told(id).await.times, 1);
    }
    assert!(relayers.iter_mut().all(Relayer::is_running));
}
