//! What tests on real chains share.
#![allow(dead_code)] // each test file uses its part

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aiinference_client::{read_secret, Account, Key, Node, Options, DEFAULT_PATH};
use aiinference_engine::{
    format,
    graph::{Array, Graph, Input, Op, Output, Rescale},
};
use aiinference_runtime::module;
use serde_json::Value;

/// The localnet that runs, as its `localnet.json` tells.
pub struct Localnet(Value);

impl Localnet {
    pub fn open() -> Self {
        // Tests of a package run in its folder; the variables are relative to the root.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let home = env::var_os("LOCALNET_HOME").map_or_else(|| target.join("localnet"), PathBuf::from);
        let home = root.join(home);
        let file = home.join("localnet.json");
        let text = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}; run make localnet-up first", file.display()));
        Localnet(serde_json::from_slice(&text).unwrap())
    }

    /// The first node of the chain on the stock library: what is tested here needs no extension.
    pub fn node(&self) -> &Value {
        let chains = self.0["chains"].as_array().unwrap();
        let consumer = chains.iter().find(|chain| chain["id"] == "consumer-1").unwrap();
        &consumer["nodes"][0]
    }

    pub fn url(&self) -> &str {
        self.node()["rpc_url"].as_str().unwrap()
    }

    pub fn wasmd(&self) -> &str {
        self.0["wasmd"].as_str().unwrap()
    }

    pub fn mnemonic_file(&self, account: &str) -> &str {
        let accounts = self.0["accounts"].as_array().unwrap();
        let found = accounts.iter().find(|known| known["name"] == account).unwrap();
        found["mnemonic_file"].as_str().unwrap()
    }

    pub async fn account(&self, name: &str, options: Options) -> Account {
        let words = read_secret(self.mnemonic_file(name).as_ref()).unwrap();
        let key = Key::from_mnemonic(&words, DEFAULT_PATH).unwrap();
        let node = Node::connect(self.url(), None).await.unwrap();
        Account::open(&node, key, options).await.unwrap()
    }
}

/// A model that no chain has yet, of about `inner * outer` bytes, which do not compress.
pub fn new_model(inner: usize, outer: usize) -> Vec<u8> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut state = clock.as_nanos() as u64 | 1;
    println!("model of seed {state}");
    let weights = (0..inner * outer).map(|_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as i8
    });
    let weights = Array::I8(weights.collect());
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, inner as u32],
        fraction_bits: 0,
        low: -100,
        high: 100,
        saturate: false,
    });
    let value = graph.push(Op::MatMul {
        x,
        weights,
        bias: vec![],
        rescale: Rescale {
            multipliers: vec![1],
            shifts: vec![8],
            low: -1000,
            high: 1000,
        },
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let encoded = format::encode(&graph);
    module::wrap(&encoded.graph, &encoded.weights)
}
