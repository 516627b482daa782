//! Many inferences at once, and the figures.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aiinference_client::{Gas, Options, Payer};
use aiinference_demo_models as models;
use test_probe::QueryMsg;

use crate::support::*;

const ACCOUNTS: usize = 8;
const EACH: usize = 25;

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn two_hundred_inferences_in_flight_are_all_included() {
    let net = localnet();
    let nodes = validators(&net);
    let owner = account(&net, &nodes[0], "deployer").await;
    let contract = probe(&owner).await;
    let model = store(&owner, &models::mlp().unwrap()).await;
    let mut senders = Vec::new();
    for n in 0..ACCOUNTS {
        // Each at another validator.
        senders.push(account(&net, &nodes[n % nodes.len()], &format!("load{n}")).await);
    }
    let all = senders.iter().enumerate().map(|(n, sender)| {
        let contract = &contract;
        async move {
            let mut sent = Vec::new();
            for round in 0..EACH {
                let row = [(n + round) as i32 % 4; 18];
                let msg = note(&format!("{n}"), run_model(model, &[1, 18], 0, &row));
                let signed = [execute_msg(sender, contract, &msg)];
                sent.push((sender.submit_with(&signed, Gas::Limit(400_000)).await.unwrap(), msg));
            }
            let mut blocks = Vec::new();
            for (hash, msg) in &sent {
                blocks.push(settle(sender, contract, msg, hash).await);
            }
            blocks
        }
    });
    let blocks: Vec<Vec<u64>> = futures::future::join_all(all).await;
    let mut per_block: BTreeMap<u64, usize> = BTreeMap::new();
    for height in blocks.into_iter().flatten() {
        *per_block.entry(height).or_default() += 1;
    }
    assert_eq!(per_block.values().sum::<usize>(), ACCOUNTS * EACH);
    agree(&nodes).await;
    println!("figure: inferences per block: {per_block:?}");
    for node in net.nodes().unwrap() {
        let megabytes = node.rss_bytes().unwrap() / 1_000_000;
        println!("figure: {} takes {megabytes} MB of memory", node.name());
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn the_overhead_of_a_call_through_wasmd_is_measured() {
    let net = localnet();
    let nodes = validators(&net);
    let owner = account(&net, &nodes[0], "deployer").await;
    let contract = probe(&owner).await;
    let model = store(&owner, &models::mlp().unwrap()).await;
    let payer = Payer::new(client(&nodes[0]).await, Options::default()).await.unwrap();
    let with = execute_msg(&owner, &contract, &note("x", run_model(model, &[1, 18], 0, &[1; 18])));
    let without = execute_msg(&owner, &contract, &note("x", QueryMsg::Get { key: "x".into() }));
    // A node runs a simulated transaction as it runs one in a block.
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..100 {
        for (msg, times) in [&with, &without].into_iter().zip(&mut times) {
            let begin = Instant::now();
            payer.fee_for(owner.address(), std::slice::from_ref(msg)).await.unwrap();
            times.push(begin.elapsed());
        }
    }
    let [with, without] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("figure: an execute takes {with:?} with a small inference and {without:?} without (medians of 100)");
}
