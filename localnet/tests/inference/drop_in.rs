//! Our library where the extension is off.

use std::{collections::BTreeMap, process::Command};

use aiinference_client::{Gas, Msg};
use aiinference_demo_models as models;
use aiinference_localnet::{Join, NodeOptions, CONSUMER};
use cosmrs::{
    proto::{
        cosmos::{
            base::v1beta1::Coin,
            staking::v1beta1::{CommissionRates, Description, MsgCreateValidator},
        },
        traits::Message as _,
        Any,
    },
    AccountId,
};

use crate::support::*;

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_validator_on_our_library_without_the_capability_stays_in_consensus_with_stock_ones() {
    let mut net = localnet();
    let stock = stock(&net);
    let name = "drop-in";
    if net.node(name).is_err() {
        let ours = validators(&net)[0].plan().runs.library.file.clone();
        let options = NodeOptions {
            library: ours.parent().unwrap().into(),
            kernels: None,
            capability: false,
            environment: BTreeMap::new(),
        };
        // It executes every block that the stock library has made.
        net.add_node(CONSUMER, name, Join::Genesis, &options).await.unwrap();
    }
    let ours = net.node(name).unwrap();
    ours.start().unwrap();
    ours.caught_up(SOON).await.unwrap();
    assert_eq!(ours.maps_library().unwrap(), ours.plan().runs.library.file);

    become_validator(&net, &stock, &ours).await;

    // Both run contracts, and refuse the same ones with the same words.
    let bob = account(&net, &ours, "bob").await;
    let plain = models::contract("in-guest").unwrap();
    let code_id = store(&bob, &plain).await;
    let contract = instantiate(&bob, code_id, "guest", &serde_json::json!({})).await;
    let upload = Msg::StoreCode {
        sender: bob.address().into(),
        wasm: models::contract("credit-score").unwrap(),
        instantiate: None,
    };
    // With a gas limit it is not tried first: it is refused in a block, by both.
    let hash = bob.submit_with(&[upload], Gas::Limit(10_000_000)).await.unwrap();
    let refused = bob.confirm(&hash).await.unwrap_err().to_string();
    assert!(refused.contains("unsupported import"), "{refused}");
    let mut results = Vec::new();
    for node in [&stock, &ours] {
        let there = client(node).await;
        let included = there.wait(&hash, SOON).await.unwrap();
        results.push((included.height, included.code, included.log, included.gas_used));
    }
    assert_eq!(results[0], results[1], "the same words, for the same gas");
    let info = client(&stock).await.contract(&contract, None).await.unwrap();
    assert_eq!(info.code_id, code_id);
    let height = agree(&[stock.clone(), ours.clone()]).await;

    // Every block needs the signatures of both.
    let me = ours.status().await.unwrap().validator_info.address;
    for height in height..height + 3 {
        stock.wait_height(height + 1, SOON).await.unwrap();
        let commit = tendermint_rpc::Client::commit(stock.rpc(), u32::try_from(height).unwrap());
        let signed = commit.await.unwrap().signed_header.commit.signatures;
        let mine = signed
            .iter()
            .find(|signature| signature.validator_address() == Some(me));
        assert!(mine.is_some_and(|vote| vote.is_commit()), "block {height}: {mine:?}");
    }
    agree(&[stock, ours]).await;
}

/// Stakes with bob's coins for the node, unless that is done, and waits until it counts.
async fn become_validator(
    net: &aiinference_localnet::Localnet,
    stock: &aiinference_localnet::Node,
    ours: &aiinference_localnet::Node,
) {
    let is_validator = || async {
        let power = ours.status().await.unwrap().validator_info.power;
        power.value() > 0
    };
    if is_validator().await {
        return;
    }
    let bob = account(net, stock, "bob").await;
    let shown = Command::new(&net.plan().wasmd)
        .args(["comet", "show-validator", "--home"])
        .arg(&ours.plan().home)
        .env("LD_LIBRARY_PATH", stock.plan().runs.library.file.parent().unwrap())
        .output()
        .unwrap();
    let key: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let key: cosmwasm_std::Binary = serde_json::from_value(key["key"].clone()).unwrap();
    let public_key = cosmrs::proto::cosmos::crypto::ed25519::PubKey { key: key.to_vec() };
    let me: AccountId = bob.address().parse().unwrap();
    let operator = AccountId::new("wasmvaloper", &me.to_bytes()).unwrap();
    let rate = |percent: u128| (percent * 10u128.pow(16)).to_string();
    #[allow(deprecated)] // chains still check what it says
    let create = MsgCreateValidator {
        description: Some(Description {
            moniker: "drop-in".into(),
            ..Description::default()
        }),
        commission: Some(CommissionRates {
            rate: rate(10),
            max_rate: rate(20),
            max_change_rate: rate(1),
        }),
        min_self_delegation: "1".into(),
        delegator_address: String::new(),
        validator_address: operator.to_string(),
        pubkey: Some(Any {
            type_url: "/cosmos.crypto.ed25519.PubKey".into(),
            value: public_key.encode_to_vec(),
        }),
        // As much as the stock validator has: no block is made without the signatures of both.
        value: Some(Coin {
            denom: "stake".into(),
            amount: "100000000".into(),
        }),
    };
    bob.send(&[Msg::Any(Any {
        type_url: "/cosmos.staking.v1beta1.MsgCreateValidator".into(),
        value: create.encode_to_vec(),
    })])
    .await
    .unwrap();
    let begin = std::time::Instant::now();
    while !is_validator().await {
        assert!(begin.elapsed() < SOON, "the node does not become a validator");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let height = stock.height().await.unwrap();
    stock.wait_height(height + 3, SOON).await.unwrap();
}
