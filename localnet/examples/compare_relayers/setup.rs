//! Both chains, linked for the comparison: a transfer channel, and one of our contracts that asks a model that costs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aiinference_client::Json;
use aiinference_demo_models as models;
use aiinference_localnet::{Localnet, Node, CONSUMER, PROVIDER};
use aiinference_relay::config::Config;
use aiinference_std::{
    remote::{Ask, ClientMsg, Query},
    Model, Tensor,
};
use anyhow::{ensure, Context, Result};
use serde_json::json;

use crate::support;

/// Enough for a run of the model that is asked.
const QUERY_GAS: u64 = 100_000_000_000;

/// What was linked.
pub struct Linked {
    /// What starts our relayer.
    pub command: String,
    /// The ends of the transfer channel: the consumer's, the provider's.
    pub transfer: [String; 2],
    /// The asking contract on the consumer chain, and its channel.
    pub client: String,
    pub channel: String,
    /// The message that has it ask.
    pub ask: Json,
}

/// Stores the contracts and a model, and links both channels with our relayer.
pub async fn link(net: &Localnet, consumer: &Node, provider: &Node) -> Result<Linked> {
    let here = support::account(net, consumer, "load0").await;
    let there = support::account(net, provider, "load0").await;
    let folder = net.home().join("compare");
    fs::create_dir_all(&folder)?;
    let config = folder.join("relay.toml");
    let key = &net.plan().account("relayer")?.mnemonic_file;
    let chain = |id: &str, node: &Node| {
        let url = &node.plan().rpc_url;
        format!("[[chains]]\nid = \"{id}\"\nrpc = [\"{url}\"]\nkey_file = {key:?}\ngas_price = \"0stake\"\n\n")
    };
    fs::write(&config, chain(CONSUMER, consumer) + &chain(PROVIDER, provider))?;

    let code = support::store(&there, &models::contract("ibc-model-host")?).await;
    let host = support::instantiate(&there, code, "host", &json!({ "prices": [] })).await;
    let code = support::store(&here, &models::contract("ibc-model-client")?).await;
    let client = support::instantiate(&here, code, "client", &json!({})).await;
    let model = Model::new(support::store(&there, &models::mlp()?).await);
    let transfer = link_ports(&config, "transfer", "transfer")?;
    let [channel, _] = link_ports(&config, &format!("wasm.{client}"), &format!("wasm.{host}"))?;

    let applicant = Tensor::from_i64s(&[2; 18]).shaped(&[1, 18]);
    let query = Query::new().step(&model, [applicant]).gas_limit(QUERY_GAS);
    let ask = ClientMsg::Ask(Ask::new(&channel).denom("").query(&query));
    Ok(Linked {
        command: format!("{} --config {} start", program().display(), config.display()),
        transfer,
        client,
        channel,
        ask: support::json(&ask),
    })
}

fn program() -> PathBuf {
    support::target().join("release/aiinference-relay")
}

/// The ends of a channel between two ports: the consumer's, the provider's.
fn link_ports(config: &Path, here: &str, there: &str) -> Result<[String; 2]> {
    let mut command = Command::new(program());
    command.arg("--config").arg(config).args(["link", "--write"]);
    command.args([format!("{CONSUMER}:{here}"), format!("{PROVIDER}:{there}")]);
    ensure!(command.status()?.success(), "{here} cannot be linked to {there}");
    let written = Config::read(config)?.channels;
    let channel = written.into_iter().find(|channel| channel.a.port == here);
    let channel = channel.context("the relayer wrote no channel")?;
    Ok([channel.a.channel, channel.b.channel])
}
