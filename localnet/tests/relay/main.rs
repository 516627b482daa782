//! The relayer's program on real chains, with ICS-20 transfers: it links, relays both ways, and loses nothing when it, a
//! node or a rival gets in its way.

#[path = "../inference/support.rs"]
#[allow(dead_code)]
mod contracts;
mod frozen;
mod ordered;
mod silent;
mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use aiinference_localnet::{CONSUMER, PROVIDER};
use aiinference_relay::proto::any;
use ibc_proto::cosmos::{bank::v1beta1::MsgSend, base::v1beta1::Coin};
use support::*;
use test_probe::{QueryMsg, Script, Step};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_link_that_was_broken_off_is_finished_and_found_again() {
    let net = Net::open().await;
    let relayer = net.relayer("");
    let ends = ["provider-1:transfer", "consumer-1:transfer"];
    let mut begun = relayer.spawn(&["link", ends[0], ends[1], "--new-connection"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    begun.kill();
    let first = relayer.run(&["link", ends[0], ends[1], "--write"]);
    let second = relayer.run(&["link", ends[0], ends[1], "--write"]);
    assert_eq!(first, second, "the channel is there already");
    assert_eq!(relayer.config().matches("[[channels]]").count(), 1);
    let third = relayer.run(&["link", ends[0], ends[1], "--new-channel"]);
    assert_ne!(first, third);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn transfers_go_both_ways_and_are_counted() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let address = free_address();
    let running = relayer.spawn(&["start", "--metrics", &address]);
    running.said("relaying").await;
    for from in [PROVIDER, CONSUMER] {
        let before = net.received(from, &channel).await;
        for _ in 0..5 {
            net.transfer(from, &channel, 1, LONG).await;
            net.settled(&channel).await;
        }
        assert_eq!(net.received(from, &channel).await, before + 5);
    }
    let trips = running.round_trips().await;
    println!("round trips (blocks, ms): {trips:?}; memory {} kB", running.memory());
    let lane = format!("channel=\"provider-1/{}\"", channel[0]);
    let value = |metrics: &str, name: &str, labels: &[&str]| -> f64 {
        let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        let line = metrics
            .lines()
            .find(fits)
            .unwrap_or_else(|| panic!("no {name} {labels:?} in {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // The relayer hears of its last transaction a little after the chain has it.
    let done = |metrics: &str, kind: &str| {
        let labels = [lane.as_str(), &format!("kind=\"{kind}\""), "result=\"done\""];
        value(metrics, "relay_packets_total", &labels)
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut metrics = page(&address);
    while ["receive", "acknowledge"].map(|kind| done(&metrics, kind)) != [10.0; 2] {
        assert!(Instant::now() < deadline, "not every packet is counted: {metrics}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        metrics = page(&address);
    }
    assert_eq!(value(&metrics, "relay_roundtrip_blocks_count", &[&lane]), 10.0);
    assert!(value(&metrics, "relay_client_left_seconds", &["chain=\"provider-1\""]) > 3600.0);
    assert_eq!(
        value(&metrics, "relay_websocket_connected", &["chain=\"consumer-1\""]),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_transfer_that_came_too_late_is_given_back() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let before = net.balance(PROVIDER, "stake").await;
    net.transfer(PROVIDER, &channel, 3, Duration::from_secs(4)).await;
    assert!(net.balance(PROVIDER, "stake").await < before);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let received = net.received(PROVIDER, &channel).await;
    relayer.run(&["clear"]);
    net.settled(&channel).await;
    assert_eq!(net.balance(PROVIDER, "stake").await, before, "all is back");
    assert_eq!(net.received(PROVIDER, &channel).await, received, "and nothing arrived");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn killed_between_receive_and_acknowledgement_it_goes_on() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let mut running = relayer.start();
    running.said("relaying").await;
    let before = net.received(PROVIDER, &channel).await;
    net.transfer(PROVIDER, &channel, 2, LONG).await;
    let end = Instant::now() + SOON;
    while net.received(PROVIDER, &channel).await == before {
        assert!(Instant::now() < end, "it is never received");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.kill();
    assert_eq!(
        net.pending(PROVIDER, &channel).await,
        2,
        "the acknowledgements are not there yet"
    );
    let _running = relayer.start();
    net.settled(&channel).await;
    assert_eq!(net.received(PROVIDER, &channel).await, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_node_that_goes_away_and_comes_back_costs_nothing_but_time() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let running = relayer.start();
    running.said("relaying").await;
    let before = net.received(PROVIDER, &channel).await;
    let consumer = net.node(CONSUMER);
    consumer.kill().await.unwrap();
    net.transfer(PROVIDER, &channel, 3, LONG).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    consumer.start().unwrap();
    consumer.ready(SOON).await.unwrap();
    net.settled(&channel).await;
    assert_eq!(net.received(PROVIDER, &channel).await, before + 3);
    running.said("the WebSocket is down").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn two_relayers_with_one_key_do_not_lose_anything() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    // The same account: each takes the other's sequence numbers.
    let both = [relayer.start(), relayer.start()];
    for running in &both {
        running.said("relaying").await;
    }
    let before = net.received(PROVIDER, &channel).await;
    for _ in 0..4 {
        net.transfer(PROVIDER, &channel, 5, LONG).await;
    }
    net.settled(&channel).await;
    assert_eq!(net.received(PROVIDER, &channel).await, before + 20, "each once");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn two_relayers_with_different_keys_waste_little() {
    const ROUNDS: usize = 4;
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let rival = net.relayer_of("prover", "");
    rival.relay_also(&relayer);
    let both = [relayer.start(), rival.start()];
    for running in &both {
        running.said("relaying").await;
    }
    let before = net.received(PROVIDER, &channel).await;
    for _ in 0..ROUNDS {
        net.transfer(PROVIDER, &channel, 5, LONG).await;
        net.settled(&channel).await;
    }
    assert_eq!(
        net.received(PROVIDER, &channel).await,
        before + 5 * ROUNDS as u128,
        "each once"
    );
    let count = |what| both.each_ref().map(|running| running.times(what));
    let (done, failed) = (count("a transaction is in a block"), count("a transaction failed"));
    println!("transactions of two relayers for {ROUNDS} rounds: {done:?} done, {failed:?} failed");
    // One alone needs two a round. What the rival has in the same block changes nothing, and seldom fails.
    assert!(done.iter().sum::<usize>() <= 4 * ROUNDS + 2, "{done:?}");
    assert!(failed.iter().sum::<usize>() <= 2, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_expired_client_stops_its_own_channel_only() {
    let net = Net::open().await;
    let (relayer, good) = net.linked("refresh_fraction = 0.95\n").await;
    // Trusted for less than a minute. The relayer looks after its clients when it starts and every 20 s from then on: after two looks,
    // both before 0.95 of that is over, the third one comes too late.
    let brief = net.relayer("trusting_fraction = 0.001\n");
    let ends = ["provider-1:transfer", "consumer-1:transfer"];
    brief.run(&["link", ends[0], ends[1], "--new-connection", "--write"]);
    relayer.relay_also(&brief);
    let running = relayer.start();
    running
        .said("it is expired; only the chain's governance can recover it")
        .await;
    assert!(running.times("ERROR") >= 1);
    let before = net.received(PROVIDER, &good).await;
    net.transfer(PROVIDER, &good, 2, LONG).await;
    net.settled(&good).await;
    assert_eq!(net.received(PROVIDER, &good).await, before + 2);
    let (code, shown, _) = relayer.ends(&["status"]);
    assert_eq!(code, Some(3), "{shown}");
    assert!(
        shown.contains("it is expired") && shown.contains(&format!("transfer/{} on", good[0])),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_batch_that_runs_out_of_gas_in_its_block_is_split() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("max_messages = 7\ngas_margin = 1.0\n").await;
    // Each transfer calls a contract whose state doubles with every call: the second of two batches, tried before the first
    // one is in a block, costs more there than it did when it was tried.
    let chains = contracts::localnet();
    let validator = contracts::validators(&chains).swap_remove(0);
    let account = contracts::account(&chains, &validator, "bob").await;
    let double = Script {
        steps: vec![Step::Note {
            key: "text".into(),
            query: QueryMsg::Get { key: "text".into() },
        }],
        ..Default::default()
    };
    let lay = Script {
        steps: vec![Step::Set {
            key: "on/ibc_destination_callback".into(),
            value: serde_json::to_string(&double).unwrap(),
        }],
        ..Default::default()
    };
    let running = relayer.start();
    running.said("relaying").await;
    // Where a block comes between the two batches, nothing runs out of gas: once more then.
    for _ in 0..5 {
        let probe = contracts::probe(&account).await;
        contracts::execute(&account, &probe, &lay).await.unwrap();
        let memo = serde_json::json!({"dest_callback": {"address": probe}}).to_string();
        let before = net.received(CONSUMER, &channel).await;
        net.transfer_with(CONSUMER, &channel, 14, LONG, &memo).await;
        net.settled(&channel).await;
        assert_eq!(net.received(CONSUMER, &channel).await, before + 14);
        if running.times("code=11 codespace=\"sdk\"") > 0 {
            return;
        }
    }
    panic!("no batch ran out of gas");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_batch_above_the_gas_limit_is_split() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("max_gas = 1000000\n").await;
    let before = net.received(PROVIDER, &channel).await;
    net.transfer(PROVIDER, &channel, 20, LONG).await;
    relayer.run(&["clear"]);
    assert_eq!(net.pending(PROVIDER, &channel).await, 0);
    assert_eq!(net.received(PROVIDER, &channel).await, before + 20);

    // A channel's own limit holds for each of its packets.
    relayer.change("[[channels]]", "[[channels]]\nmax_gas = 90000");
    net.transfer(PROVIDER, &channel, 1, LONG).await;
    let (code, _, said) = relayer.ends(&["clear"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("above the limit of 90000") && said.contains("1 left"),
        "{said}"
    );
    assert_eq!(net.received(PROVIDER, &channel).await, before + 20);
    relayer.change("max_gas = 90000", "max_gas = 900000");
    relayer.run(&["clear"]);
    assert_eq!(net.received(PROVIDER, &channel).await, before + 21);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn an_account_without_money_is_said_and_relays_once_it_has_some() {
    let net = Net::open().await;
    let (mut relayer, channel) = net.linked("").await;
    let key = relayer.pays_from_a_new_account();
    relayer.change("gas_price = \"0stake\"", "gas_price = \"0.01stake\"");
    let address = key.address("wasm").unwrap().to_string();
    let fund = async |amount: u64| {
        for chain in [PROVIDER, CONSUMER] {
            let coins = MsgSend {
                from_address: net.alice(chain).address().into(),
                to_address: address.clone(),
                amount: vec![Coin {
                    denom: "stake".into(),
                    amount: amount.to_string(),
                }],
            };
            net.send(chain, vec![any(&coins)], 200_000).await;
        }
    };
    let running = relayer.start();
    running
        .said(&format!(
            "{address}: provider-1 does not know it; send it some tokens first"
        ))
        .await;
    fund(10).await;
    running.said("relaying").await;
    let before = net.received(PROVIDER, &channel).await;
    net.transfer(PROVIDER, &channel, 2, LONG).await;
    running.said(&format!("account {address} cannot pay the fee")).await;
    assert!(running.times("ERROR") >= 1);
    fund(1_000_000).await;
    net.settled(&channel).await;
    assert_eq!(net.received(PROVIDER, &channel).await, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_fee_below_what_a_node_asks_is_said_until_it_takes_it() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let consumer = net.node(CONSUMER);
    let asks = async |price: &str| {
        let file = consumer.plan().home.join("config/app.toml");
        let settings = fs::read_to_string(&file).unwrap();
        let (before, rest) = settings.split_once("minimum-gas-prices = \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        consumer.kill().await.unwrap();
        fs::write(&file, format!("{before}minimum-gas-prices = \"{price}\"{after}")).unwrap();
        consumer.start().unwrap();
        consumer.ready(SOON).await.unwrap();
    };
    asks("0.5stake").await;
    let running = relayer.start();
    running.said("relaying").await;
    let before = net.received(PROVIDER, &channel).await;
    net.transfer(PROVIDER, &channel, 2, LONG).await;
    running.said("insufficient fee").await;
    assert_eq!(net.pending(PROVIDER, &channel).await, 2);
    asks("0stake").await;
    net.settled(&channel).await;
    assert_eq!(net.received(PROVIDER, &channel).await, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn two_hundred_transfers_in_flight_arrive() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let running = relayer.start();
    running.said("relaying").await;
    let before = net.received(PROVIDER, &channel).await;
    let begun = Instant::now();
    for _ in 0..4 {
        net.transfer(PROVIDER, &channel, 50, LONG).await;
    }
    net.settled(&channel).await;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "200 transfers in {took:.1} s: {:.1}/s; memory {} kB",
        200.0 / took,
        running.memory()
    );
    assert_eq!(net.received(PROVIDER, &channel).await, before + 200);
}
