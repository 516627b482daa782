//! `aiinference query`

use std::{fs, path::PathBuf};

use aiinference_client::{address, upload, CodeInfo};
use anyhow::{bail, Context, Result};
use clap::Subcommand;
use serde_json::json;

use super::{message, wait, NodeArgs};
use crate::{inspect, progress::Progress};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference query smart wasm14hj... '{\"score\":{\"applicant\":\"1\"}}'
  aiinference query smart wasm14hj... @question.json --height 1200
  aiinference query model 6
  aiinference query tx 2D8A...")]
pub struct QueryArgs {
    #[command(subcommand)]
    query: Query,
}

#[derive(Subcommand)]
enum Query {
    /// Ask a contract
    Smart {
        /// Its address
        contract: String,
        /// The question: JSON, @FILE, or - for standard input
        msg: String,
        /// At this block [default: the last one]
        #[arg(long)]
        height: Option<u64>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Read what a contract has stored under a key
    Raw {
        /// Its address
        contract: String,
        /// The key, as text
        key: String,
        /// The key is in hexadecimal digits
        #[arg(long)]
        hex: bool,
        /// At this block [default: the last one]
        #[arg(long)]
        height: Option<u64>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show a code, and check its bytes against its checksum
    Code {
        /// Its number
        code_id: u64,
        /// Write the module to this file
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List all codes
    Codes {
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Fetch a model, with its shards if it has any, check it, and describe it
    Model {
        /// The code that names it
        code_id: u64,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show what is known of a contract
    Contract {
        /// Its address
        contract: String,
        /// At this block [default: the last one]
        #[arg(long)]
        height: Option<u64>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show what an account holds
    Balances {
        /// Its address
        address: String,
        /// At this block [default: the last one]
        #[arg(long)]
        height: Option<u64>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show what became of a transaction
    Tx {
        /// Its hash
        hash: String,
        #[command(flatten)]
        node: NodeArgs,
    },
}

pub fn query(args: &QueryArgs) -> Result<()> {
    wait(async {
        match &args.query {
            Query::Smart {
                contract,
                msg,
                height,
                node,
            } => smart(node, contract, msg, *height).await,
            Query::Raw {
                contract,
                key,
                hex,
                height,
                node,
            } => raw(node, contract, key, *hex, *height).await,
            Query::Code { code_id, output, node } => code(node, *code_id, output.as_deref()).await,
            Query::Codes { node } => codes(node).await,
            Query::Model { code_id, node } => model(node, *code_id).await,
            Query::Contract { contract, height, node } => {
                let info = node.connect().await?.contract(contract, *height).await?;
                let text = [
                    ("address", info.address.clone()),
                    ("code id", info.code_id.to_string()),
                    ("label", printable(&info.label)),
                    ("creator", printable(&info.creator)),
                    ("admin", or_none(&info.admin)),
                    ("ibc port", or_none(&info.ibc_port)),
                ];
                node.print(&json!(info), &text)
            }
            Query::Balances {
                address: of,
                height,
                node,
            } => {
                let coins = node.connect().await?.balances(address(of)?, *height).await?;
                let text: Vec<(&str, String)> = coins
                    .iter()
                    .map(|coin| (coin.denom.as_str(), coin.amount.to_string()))
                    .collect();
                node.print(&json!(coins), &text)
            }
            Query::Tx { hash, node } => transaction(node, hash).await,
        }
    })
}

async fn smart(node: &NodeArgs, contract: &str, msg: &str, height: Option<u64>) -> Result<()> {
    let msg = message(msg)?;
    let answer = node.connect().await?.smart(contract, &msg, height).await?;
    // Valid JSON holds no control characters but white space, so that it can be printed as it came.
    let text = std::str::from_utf8(&answer).context("reading the contract's answer: it is no text")?;
    serde_json::from_str::<serde_json::Value>(text).context("reading the contract's answer: it is no JSON")?;
    println!("{text}");
    Ok(())
}

async fn raw(node: &NodeArgs, contract: &str, key: &str, hexadecimal: bool, height: Option<u64>) -> Result<()> {
    let key = match hexadecimal {
        true => hex::decode(key).context("reading the key: it is not in hexadecimal digits")?,
        false => key.into(),
    };
    let value = node.connect().await?.raw(contract, &key, height).await?;
    let text = std::str::from_utf8(&value).ok();
    let shown = json!({ "hex": hex::encode(&value), "text": text });
    match text {
        _ if value.is_empty() => node.print(&shown, &[("nothing is stored there", String::new())]),
        Some(text) if !text.chars().any(char::is_control) => node.print(&shown, &[("text", text.into())]),
        _ => node.print(&shown, &[("hex", hex::encode(&value))]),
    }
}

async fn code(node: &NodeArgs, code_id: u64, output: Option<&std::path::Path>) -> Result<()> {
    let (info, module) = node.connect().await?.code(code_id).await?;
    if let Some(path) = output {
        fs::write(path, &module).with_context(|| format!("writing {}", path.display()))?;
        eprintln!("wrote {} bytes to {}", module.len(), path.display());
    }
    let mut shown = json!(info);
    shown["bytes"] = json!(module.len());
    let text = [
        ("code id", info.code_id.to_string()),
        ("checksum", hex::encode(info.checksum)),
        ("bytes", module.len().to_string()),
        ("creator", printable(&info.creator)),
        ("instantiate", printable(&info.instantiate)),
    ];
    node.print(&shown, &text)
}

async fn codes(node: &NodeArgs) -> Result<()> {
    let mut bar = Progress::new();
    let chain = node.connect().await?;
    let codes = chain
        .codes(|codes| bar.at(&format!("reading the chain's codes: {codes}"), 0, 0))
        .await?;
    bar.finish();
    if node.json {
        println!("{}", serde_json::to_string_pretty(&codes)?);
        return Ok(());
    }
    for CodeInfo {
        code_id,
        creator,
        checksum,
        instantiate,
    } in &codes
    {
        println!(
            "{code_id:<8}{}  {}  {}",
            hex::encode(checksum),
            printable(creator),
            printable(instantiate)
        );
    }
    Ok(())
}

async fn model(node: &NodeArgs, code_id: u64) -> Result<()> {
    let mut bar = Progress::new();
    let chain = node.connect().await?;
    let model = upload::download(&chain, code_id, |done, of| {
        bar.at("fetching shards", done as u64, of as u64)
    })
    .await?;
    bar.finish();
    inspect::print(&model, node.json)
}

async fn transaction(node: &NodeArgs, hash: &str) -> Result<()> {
    let chain = node.connect().await?;
    let Some(tx) = chain.transaction(hash).await? else {
        bail!(
            "looking for transaction {hash}: it is in no block of {}; it may still come, or the node keeps no index \
             that far back",
            chain.chain_id()
        );
    };
    let result = match tx.code {
        0 => "done".into(),
        code => format!("failed with {} code {code}: {}", tx.codespace, tx.log),
    };
    let shown = json!({
        "transaction": tx.hash, "height": tx.height, "index": tx.index, "code": tx.code, "codespace": tx.codespace,
        "log": tx.log, "gas_used": tx.gas_used, "gas_wanted": tx.gas_wanted, "events": tx.events,
        "data": hex::encode(&tx.data),
    });
    let mut text = vec![
        ("transaction", tx.hash.clone()),
        ("height", tx.height.to_string()),
        ("result", result),
        ("gas", format!("{} used of {}", tx.gas_used, tx.gas_wanted)),
    ];
    for event in &tx.events {
        let attributes: Vec<String> = event
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        text.push(("event", printable(&format!("{}: {}", event.kind, attributes.join(" ")))));
    }
    node.print(&shown, &text)
}

/// A node's text without characters that steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "none".into()
    } else {
        printable(text)
    }
}
