//! Channels that are refused, and one that is closed.

use std::{
    fs,
    time::{Duration, Instant},
};

use aiinference_demo_models as models;
use aiinference_localnet::{CONSUMER, PROVIDER};
use aiinference_std::{
    remote::{ClientMsg, Query},
    Model,
};
use aiinference_types::ErrorCode;
use ibc_model_client::msg as client_msg;
use ibc_model_host::msg as host_msg;
use test_asker::Reaction;

use crate::{between::*, support::*};

/// The two contracts as the relayer names ends: CHAIN:PORT, the asking one first.
fn ends(facts: &Facts) -> [String; 2] {
    [
        format!("{CONSUMER}:wasm.{}", facts.client),
        format!("{PROVIDER}:wasm.{}", facts.host),
    ]
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn channels_that_are_ordered_or_of_another_version_are_refused_with_the_reason() {
    let between = Between::open().await;
    let file = config_file(&between.net);
    let [here, there] = ends(&between.facts);
    let ordered = ["--order", "ordered"];
    let foreign = ["--channel-version", "aiinference-2"];
    let cases = [
        ([&here, &there], &ordered[..], "it is ordered, it must be unordered"),
        (
            [&there, &here],
            &ordered,
            "it is ordered; name the version aiinference-1",
        ),
        ([&here, &there], &foreign, "its version is 'aiinference-2'"),
        ([&there, &here], &foreign, "its version is 'aiinference-2'"),
    ];
    for (ends, options, reason) in cases {
        let output = link_ends(&file, [ends[0].as_str(), ends[1].as_str()], options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{ends:?} {options:?}: {said}");
        assert!(said.contains(reason), "{ends:?} {options:?}: {said}");
    }
    let channels: Vec<client_msg::Channel> = query(
        &between.consumer,
        &between.facts.client,
        &client_msg::QueryMsg::Channels {
            start_after: None,
            limit: None,
        },
        None,
    )
    .await
    .unwrap();
    assert!(channels
        .iter()
        .any(|channel| channel.channel == between.facts.client_channel));
    assert!(channels
        .iter()
        .all(|channel| channel.peer.connection.starts_with("connection-")));
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_question_on_a_closed_channel_is_abandoned_once() {
    let between = Between::open().await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    // A channel of its own, which the other tests' relayer does not know.
    let file = relay_folder(&between.net).join("closed.toml");
    let config = fs::read_to_string(config_file(&between.net)).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    config.remove("channels");
    fs::write(&file, config.to_string()).unwrap();
    let [here, there] = ends(&between.facts);
    let output = link_ends(&file, [&here, &there], &["--new-channel", "--write"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let [channel, other] = ["a", "b"].map(|end| config["channels"][0][end]["channel"].as_str().unwrap().to_owned());
    assert_ne!(channel, between.facts.client_channel);

    let describe = Query::describe(&model).gas_limit(QUERY_GAS).max_price(ANY_PRICE);
    let mut question = between.question(&[describe], &Reaction::default());
    question.channel = channel.clone();
    // One that was received and paid, whose answer is on its way; the relayer is gone before it can bring it.
    let mut tries = 0;
    let received = loop {
        tries += 1;
        assert!(tries < 10, "the answer is always there at once");
        let before = between.credit().await;
        let relayer = Relayer::start_with(&between.net, &file);
        let id = between.ask(&question).await;
        let end = Instant::now() + SOON;
        while between.credit().await == before {
            assert!(Instant::now() < end, "not received");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        relayer.kill();
        if between.told_within(id, Duration::from_secs(2)).await.is_none() {
            break id;
        }
    };
    // And one that nobody received.
    let sent = between.ask(&question).await;

    let abandon = |id| vec![to_contract(&between.facts.client, &ClientMsg::Abandon { id })];
    let error = between.send(abandon(sent)).await.unwrap_err().to_string();
    assert!(error.contains("is open"), "{error}");
    let close = client_msg::ExecuteMsg::CloseChannel { channel };
    execute(&between.here, &between.facts.client, &close).await.unwrap();
    for id in [received, sent] {
        between.send(abandon(id)).await.unwrap();
        let noted = between.told(id).await;
        assert_eq!(failure(&noted.answer.result), ErrorCode::Abandoned as u32);
        assert_eq!(between.kept(id).await, None);
        between.send(abandon(id)).await.unwrap_err();
    }

    // A relayer tells the answering contract, whose credit is free then, and gives up what was not received; the questions
    // have ended.
    let _relayer = Relayer::start_with(&between.net, &file);
    let is_served = async || {
        let msg = host_msg::QueryMsg::Channels {
            start_after: None,
            limit: None,
        };
        let channels: Vec<host_msg::Channel> = query(&between.provider, &between.facts.host, &msg, None).await.unwrap();
        channels.iter().any(|known| known.channel == other)
    };
    let end = Instant::now() + SOON;
    while is_served().await {
        assert!(Instant::now() < end, "the other end stays open");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let file = file.to_str().unwrap();
    let sent_from = format!("wasm.{}", between.facts.client);
    let cleared = relay(&["--config", file, "clear"]);
    assert!(cleared.status.success(), "{cleared:?}");
    let status = relay(&["--config", file, "status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let directions = status["channels"].as_array().unwrap();
    let from = directions.iter().find(|one| one["port"] == sent_from.as_str()).unwrap();
    assert!(directions.iter().all(|one| one["closed"] == true), "{status}");
    assert_eq!(
        (&from["unreceived"], &from["unacknowledged"]),
        (&0.into(), &1.into()),
        "{status}"
    );
    for id in [received, sent] {
        assert_eq!(between.told(id).await.times, 1);
    }
}
