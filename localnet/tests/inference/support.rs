//! What the tests share: the localnet, accounts on it, code stored there, and the probe, which does as it is told.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aiinference_client::{
    upload::{upload, CodeIndex, Package, SHARD_BYTES},
    Account, ClientError, Gas, Included, Json, Key, Msg, Options, DEFAULT_PATH,
};
use aiinference_engine::{
    format,
    graph::{Array, Graph, Input, Op, Output, Rescale, ValueId},
};
use aiinference_localnet::{Localnet, Node, CONSUMER, PROVIDER};
use aiinference_runtime::module;
use cosmrs::proto::cosmwasm::wasm::v1::{MsgInstantiateContractResponse, MsgStoreCodeResponse};
use serde::{de::DeserializeOwned, Serialize};
use sha2::{Digest, Sha256};
use test_probe::{Given, QueryMsg, Script, Step};

/// Nodes answer, make blocks and catch up within this, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(120);

/// Enough for a call of the contracts here, so that no time goes into trying it first.
pub const CALL_GAS: u64 = 3_000_000;

/// What cargo and the scripts built.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

pub fn localnet() -> Localnet {
    let home = std::env::var_os("LOCALNET_HOME").map_or_else(|| target().join("localnet"), PathBuf::from);
    // Tests of one package run in its folder, the variable is relative to the root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let home = root
        .join(home)
        .canonicalize()
        .expect("a localnet is up: make localnet-up");
    Localnet::open(home).expect("a localnet is up: make localnet-up")
}

/// The validators of our chain.
pub fn validators(net: &Localnet) -> Vec<Node> {
    let nodes = net.nodes_of(PROVIDER).unwrap();
    nodes.into_iter().filter(|node| node.plan().validator).collect()
}

/// The validator of the stock chain.
pub fn stock(net: &Localnet) -> Node {
    net.nodes_of(CONSUMER).unwrap().swap_remove(0)
}

pub async fn client(node: &Node) -> aiinference_client::Node {
    aiinference_client::Node::connect(&node.plan().rpc_url, None)
        .await
        .unwrap()
}

/// A funded account, at a node.
pub async fn account(net: &Localnet, node: &Node, name: &str) -> Account {
    let words = std::fs::read_to_string(&net.plan().account(name).unwrap().mnemonic_file).unwrap();
    let key = Key::from_mnemonic(words.trim(), DEFAULT_PATH).unwrap();
    let options = Options {
        timeout: SOON,
        ..Options::default()
    };
    Account::open(&client(node).await, key, options).await.unwrap()
}

/// Stores a contract or a model, unless it is there.
pub async fn store(account: &Account, file: &[u8]) -> u64 {
    try_store(account, file).await.unwrap()
}

pub async fn try_store(account: &Account, file: &[u8]) -> Result<u64, ClientError> {
    let package = Package::new(file.to_vec(), SHARD_BYTES).expect("a module");
    let mut index = CodeIndex::read(account.node(), |_| {}).await?;
    let uploaded = upload(account, &package, &mut index, None, |_| {}).await?;
    Ok(uploaded.code_id)
}

/// Stores any module as it is; its code id and checksum.
pub async fn store_module(account: &Account, wasm: Vec<u8>) -> (u64, [u8; 32]) {
    let checksum = Sha256::digest(&wasm).into();
    let done = account
        .send(&[Msg::StoreCode {
            sender: account.address().into(),
            wasm,
            instantiate: None,
        }])
        .await
        .unwrap();
    (done.response::<MsgStoreCodeResponse>(0).unwrap().code_id, checksum)
}

pub async fn instantiate(account: &Account, code_id: u64, label: &str, msg: &impl Serialize) -> String {
    let done = account
        .send(&[Msg::Instantiate {
            sender: account.address().into(),
            admin: None,
            code_id,
            label: label.into(),
            msg: json(msg),
            funds: vec![],
        }])
        .await
        .unwrap();
    done.response::<MsgInstantiateContractResponse>(0).unwrap().address
}

pub fn json(msg: &impl Serialize) -> Json {
    Json::new(serde_json::to_vec(msg).unwrap()).unwrap()
}

pub fn execute_msg(account: &Account, contract: &str, msg: &impl Serialize) -> Msg {
    Msg::Execute {
        sender: account.address().into(),
        contract: contract.into(),
        msg: json(msg),
        funds: vec![],
    }
}

pub async fn execute(account: &Account, contract: &str, msg: &impl Serialize) -> Result<Included, ClientError> {
    let hash = account
        .submit_with(&[execute_msg(account, contract, msg)], Gas::Limit(CALL_GAS))
        .await?;
    account.confirm(&hash).await
}

/// Waits for a transaction that was sent with others of its account; the height it is in. Validators may put such into a
/// block in another order than they were sent; the chain then refuses the one that came too early, and it is sent again.
pub async fn settle(account: &Account, contract: &str, msg: &impl Serialize, hash: &str) -> u64 {
    match account.confirm(hash).await {
        Err(ClientError::Refused {
            codespace, code: 32, ..
        }) if codespace == "sdk" => execute(account, contract, msg).await.unwrap().height,
        included => included.unwrap().height,
    }
}

/// A smart query at a node, now or at a height.
pub async fn query<T: DeserializeOwned>(
    node: &Node,
    contract: &str,
    msg: &impl Serialize,
    height: Option<u64>,
) -> Result<T, ClientError> {
    let answer = client(node).await.smart(contract, &json(msg), height).await?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

/// The probe, stored and instantiated by this account.
pub async fn probe(account: &Account) -> String {
    let code = aiinference_demo_models::contract("test-probe").unwrap();
    let code_id = store(account, &code).await;
    instantiate(account, code_id, "probe", &Script::default()).await
}

/// Asks the probe to run a model of one input on integers.
pub fn run_model(code_id: u64, shape: &[u32], fraction_bits: i32, integers: &[i32]) -> QueryMsg {
    QueryMsg::Run {
        code_id,
        inputs: vec![Given {
            name: String::new(),
            shape: shape.to_vec(),
            fraction_bits,
            integers: integers.iter().flat_map(|q| q.to_le_bytes()).collect::<Vec<_>>().into(),
        }],
    }
}

/// Tells the probe to do as asked and write the answer to its storage.
pub fn note(key: &str, query: QueryMsg) -> Script {
    Script {
        steps: vec![Step::Note { key: key.into(), query }],
        ..Script::default()
    }
}

/// A model of one input without fraction bits and one output `y`: what the ops that `body` adds make of the input.
pub fn model_of(
    name: &str,
    shape: Vec<u32>,
    (low, high): (i32, i32),
    body: impl FnOnce(&mut Graph, ValueId) -> ValueId,
) -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: name.into(),
        shape,
        fraction_bits: 0,
        low,
        high,
        saturate: false,
    });
    let value = body(&mut graph, x);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let file = format::encode(&graph);
    module::wrap(&file.graph, &file.weights)
}

/// A dense layer without bias.
pub fn dense(x: ValueId, weights: impl Iterator<Item = i8>, shift: u8, (low, high): (i32, i32)) -> Op {
    Op::MatMul {
        x,
        weights: Array::I8(weights.collect()),
        bias: vec![],
        rescale: Rescale {
            multipliers: vec![1],
            shifts: vec![shift],
            low,
            high,
        },
    }
}

/// Waits until all nodes have the next blocks, and holds their states at a height against each other.
pub async fn agree(nodes: &[Node]) -> u64 {
    let mut height = 0;
    for node in nodes {
        height = height.max(node.height().await.unwrap());
    }
    // The block after next holds the state that this one left.
    for node in nodes {
        node.wait_height(height + 2, SOON).await.unwrap();
    }
    for at in [height, height + 1] {
        let expected = nodes[0].app_hash(at).await.unwrap();
        for node in nodes {
            assert_eq!(
                node.app_hash(at).await.unwrap(),
                expected,
                "{} at height {at}",
                node.name()
            );
        }
    }
    height
}

/// Same numbers every time.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, bound: u64) -> i32 {
        (self.next() % bound) as i32
    }
}
