//! Payment across the channel.

use aiinference_demo_models as models;
use aiinference_std::{
    remote::{Ask, Callback, ClientMsg, Outcome, Query, Timeout, Withdraw},
    Model, Tensor,
};
use aiinference_types::ErrorCode;
use cosmwasm_std::Uint128;
use ibc_model_host::msg as host_msg;
use test_asker::Reaction;

use crate::{between::*, support::*};

async fn balance(node: &aiinference_localnet::Node, address: &str, denom: &str) -> u128 {
    let coins = client(node).await.balances(address, None).await.unwrap();
    let coin = coins.iter().find(|coin| coin.denom == denom);
    coin.map_or(0, |coin| coin.amount)
}

async fn totals(between: &Between) -> host_msg::Totals {
    let msg = host_msg::QueryMsg::Totals {
        denom: between.facts.denom.clone(),
    };
    query(&between.provider, &between.facts.host, &msg, None).await.unwrap()
}

async fn assert_conserved(between: &Between) {
    let owed = totals(between).await;
    let owed = owed.credits + owed.rewards + owed.takings;
    let held = balance(&between.provider, &between.facts.host, &between.facts.denom).await;
    assert_eq!(owed, Uint128::new(held), "the contract holds what it owes");
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn credit_pays_for_answers_and_the_rest_is_withdrawn() {
    let between = Between::open().await;
    assert_conserved(&between).await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let _relayer = Relayer::start(&between.net);
    let relayer = between.net.plan().account("relayer").unwrap().address.clone();
    let rewards = host_msg::QueryMsg::Rewards {
        relayer: relayer.clone(),
        start_after: None,
    };
    let reward = async || {
        let answer: host_msg::RewardResponse = query(&between.provider, &between.facts.host, &rewards, None)
            .await
            .unwrap();
        let coin = answer.reward.iter().find(|coin| coin.denom == between.facts.denom);
        coin.map_or(0u128, |coin| coin.amount.to_string().parse().unwrap())
    };
    let before = (between.credit().await, reward().await);
    let input = Tensor::from_i64s(&[1; 18]).shaped(&[1, 18]);
    let run = Query::new()
        .step(&model, [input])
        .gas_limit(QUERY_GAS)
        .max_price(ANY_PRICE);
    let id = between.ask(&between.question(&[run], &Reaction::default())).await;
    let noted = between.told(id).await;
    let price: u128 = answers(&noted.answer.result)[0].price.parse().unwrap();
    assert_eq!(between.credit().await, before.0 - price);
    assert_eq!(reward().await, before.1 + price / 2, "half of it is the relayer's");
    assert_conserved(&between).await;

    // To an account that owns none of it.
    let receiver = between.net.plan().account("load5").unwrap().address.clone();
    let had = balance(&between.provider, &receiver, &between.facts.denom).await;
    let withdraw = ClientMsg::Withdraw(Withdraw {
        channel: between.facts.client_channel.clone(),
        denom: between.facts.denom.clone(),
        amount: Some("12345".into()),
        receiver: receiver.clone(),
        // Less than the price of a query, which is then not asked.
        max_price: Some((PER_QUERY / 2).to_string()),
        timeout: Timeout::default(),
        callback: Some(Callback {
            msg: json_binary(&Reaction::default()).to_vec().into(),
            gas_limit: 500_000,
        }),
    });
    let before = between.credit().await;
    let sent = between
        .send(vec![to_contract(&between.facts.client, &withdraw)])
        .await
        .unwrap();
    let noted = between
        .told(sent.attribute("wasm", "id").unwrap().parse().unwrap())
        .await;
    assert!(
        matches!(&noted.answer.result, Outcome::Withdrawn { amount } if amount == "12345"),
        "{:?}",
        noted.answer.result
    );
    assert_eq!(
        balance(&between.provider, &receiver, &between.facts.denom).await,
        had + 12_345
    );
    assert_eq!(between.credit().await, before - 12_345 - PER_QUERY / 2);
    assert_conserved(&between).await;
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn without_credit_the_question_is_answered_with_that() {
    let between = Between::open().await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let _relayer = Relayer::start(&between.net);
    // Another asker on the same channel: an ordinary account, which keeps its answer.
    let before = between.credit().await;
    let question = Ask::new(&between.facts.client_channel)
        .denom(&between.facts.denom)
        .query(&Query::describe(&model).gas_limit(QUERY_GAS).max_price(ANY_PRICE));
    let question = ClientMsg::Ask(question);
    let included = execute(&between.here, &between.facts.client, &question).await.unwrap();
    let id = included.attribute("wasm", "id").unwrap().parse().unwrap();
    let outcome = between.kept_outcome(id).await;
    assert_eq!(error_of(&answers(&outcome)[0]), ErrorCode::InsufficientCredit as u32);
    assert_eq!(between.credit().await, before, "others' credit is theirs");
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_deposit_that_the_contract_refuses_goes_back() {
    let between = Between::open().await;
    let _relayer = Relayer::start(&between.net);
    let before = balance(&between.consumer, &between.facts.asker, "stake").await;
    let credit = between.credit().await;
    let mut foreign = between.facts.clone();
    // Nobody asks over such a connection.
    foreign.connection = "connection-999".into();
    foreign.asker = between.here.address().into();
    let sent = between.send(vec![deposit(&foreign, 777, "no address")]).await.unwrap();
    assert!(sent.height > 0);
    let end = std::time::Instant::now() + SOON;
    let mut left = false;
    loop {
        let now = balance(&between.consumer, &between.facts.asker, "stake").await;
        left |= now == before - 777;
        if left && now == before {
            break;
        }
        assert!(std::time::Instant::now() < end, "{now} of {before} are there");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(between.credit().await, credit);
    assert_conserved(&between).await;
}
