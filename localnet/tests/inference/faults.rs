//! Validators that die, and nodes that join.

use std::{collections::BTreeMap, time::Duration};

use aiinference_client::{Account, Gas};
use aiinference_demo_models as models;
use aiinference_localnet::{Join, NodeOptions, PROVIDER};
use cosmwasm_std::Binary;

use crate::support::*;

/// Sends transactions that infer until told to stop; their hashes and what they said.
async fn keep_inferring(
    account: &Account,
    contract: &str,
    model: u64,
    stop: &tokio::sync::Notify,
) -> Vec<(String, test_probe::Script)> {
    let mut sent = Vec::new();
    let sending = async {
        for round in 0.. {
            let msg = note("x", run_model(model, &[1, 18], 0, &[round % 4; 18]));
            let signed = [execute_msg(account, contract, &msg)];
            sent.push((account.submit_with(&signed, Gas::Limit(CALL_GAS)).await.unwrap(), msg));
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = stop.notified() => {}
    }
    sent
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_validator_killed_during_inferences_catches_up_and_agrees() {
    let net = localnet();
    let nodes = validators(&net);
    let alice = account(&net, &nodes[0], "alice").await;
    let contract = probe(&alice).await;
    let model = store(&alice, &models::mlp().unwrap()).await;

    let stop = tokio::sync::Notify::new();
    let fault = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let killed = &nodes[2];
        killed.kill().await.unwrap();
        let others: Vec<_> = [0, 1, 3].map(|i| nodes[i].clone()).into();
        let goal = others[0].height().await.unwrap() + 5;
        for node in &others {
            node.wait_height(goal, SOON).await.unwrap();
        }
        agree(&others).await;
        assert!(killed.start().unwrap());
        killed.wait_height(goal + 1, SOON).await.unwrap();
        stop.notify_one();
    };
    let (sent, ()) = tokio::join!(keep_inferring(&alice, &contract, model, &stop), fault);
    assert!(sent.len() > 5);
    for (hash, msg) in &sent {
        settle(&alice, &contract, msg, hash).await;
    }
    agree(&nodes).await;
}

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_node_that_takes_a_snapshot_infers_the_same_at_the_next_height() {
    let mut net = localnet();
    let nodes = validators(&net);
    let alice = account(&net, &nodes[0], "alice").await;
    let contract = probe(&alice).await;
    let model = store(&alice, &models::gbdt().unwrap()).await;
    let name = "from-snapshot";
    if net.node(name).is_ok() {
        net.remove_node(name).await.unwrap();
    }
    let runs = nodes[0].plan().runs.clone();
    let options = NodeOptions {
        library: runs.library.file.parent().unwrap().into(),
        kernels: None,
        capability: true,
        environment: BTreeMap::new(),
    };
    // Contract and model must be in a snapshot: blocks come at least once a second, snapshots every 20.
    let stored = nodes[0].height().await.unwrap();
    nodes[0].wait_height(stored + 25, SOON).await.unwrap();
    let joined = net.add_node(PROVIDER, name, Join::StateSync, &options).await.unwrap();
    joined.caught_up(SOON).await.unwrap();
    let first = joined.status().await.unwrap().sync_info.earliest_block_height.value();
    assert!(first > 1, "it executed every block");

    let ask = run_model(model, &[1, 18], 0, &[3; 18]);
    let done = execute(&alice, &contract, &note("y", ask.clone())).await.unwrap();
    joined.wait_height(done.height + 2, SOON).await.unwrap();
    let mut all = nodes.clone();
    all.push(joined.clone());
    agree(&all).await;
    let there: Vec<Binary> = query(&joined, &contract, &ask, None).await.unwrap();
    let here: Vec<Binary> = query(&nodes[0], &contract, &ask, None).await.unwrap();
    assert_eq!(there, here);
    net.remove_node(name).await.unwrap();
}
