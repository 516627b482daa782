//! The relayer's program on real chains, with ICS-20 transfers: it links, relays both ways, and loses nothing when it, a
//! node or a rival gets in its way.

mod support;

use std::time::{Duration, Instant};

use aiinference_localnet::{CONSUMER, PROVIDER};
use support::*;

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
async fn transfers_go_both_ways_in_few_blocks() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let running = relayer.start();
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
    let mut blocks: Vec<u64> = trips.iter().map(|(blocks, _)| *blocks).collect();
    blocks.sort_unstable();
    assert!(blocks[blocks.len() / 2] <= 4, "{blocks:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_transfer_that_came_too_late_is_given_back() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("").await;
    let before = net.balance(PROVIDER, "stake").await;
    net.transfer(PROVIDER, &channel, 3, Duration::from_secs(4)).await;
    assert!(net.balance(PROVIDER, "stake").await < before);
    tokio::time::sleep(Duration::from_secs(6)).await;
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
async fn a_batch_above_the_gas_limit_is_split() {
    let net = Net::open().await;
    let (relayer, channel) = net.linked("max_gas = 1000000\n").await;
    let before = net.received(PROVIDER, &channel).await;
    net.transfer(PROVIDER, &channel, 20, LONG).await;
    relayer.run(&["clear"]);
    assert_eq!(net.pending(PROVIDER, &channel).await, 0);
    assert_eq!(net.received(PROVIDER, &channel).await, before + 20);
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
