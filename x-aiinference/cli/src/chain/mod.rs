//! Commands that talk to a chain.

mod circuit;
mod contract;
mod keys;
mod query;
mod transaction;
mod upload;

use std::{fs, io::Read, path::PathBuf};

use aiinference_client::{Json, Node};
use anyhow::{bail, Context, Result};

pub use circuit::{verify_circuit, NotReproducible, VerifyCircuitArgs};
pub use contract::{execute, instantiate, ExecuteArgs, InstantiateArgs};
pub use keys::{keys, KeysArgs};
pub use query::{query, QueryArgs};
pub use upload::{upload, UploadArgs};

/// Bytes of a message that are read from a file or a pipe: more than any transaction carries.
const MAX_MESSAGE: u64 = aiinference_client::MAX_TX as u64;

/// Which chain.
#[derive(clap::Args)]
#[command(next_help_heading = "Chain")]
pub struct NodeArgs {
    /// The RPC address of a node
    #[arg(
        long,
        env = "AIINFERENCE_NODE",
        default_value = "http://127.0.0.1:26657",
        value_name = "URL"
    )]
    node: String,
    /// Refuse nodes of any other chain
    #[arg(long, env = "AIINFERENCE_CHAIN_ID", value_name = "ID")]
    chain_id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl NodeArgs {
    async fn connect(&self) -> Result<Node> {
        Ok(Node::connect(&self.node, self.chain_id.as_deref()).await?)
    }

    /// Prints a result: as JSON if asked to, else as lines of a name and a value.
    fn print(&self, value: &serde_json::Value, text: &[(&str, String)]) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(value)?);
            return Ok(());
        }
        let width = text.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, value) in text {
            println!("{name:<width$}{value}");
        }
        Ok(())
    }
}

/// Runs what waits for a network.
fn wait<T>(work: impl std::future::Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the part that talks to the network")?;
    runtime.block_on(work)
}

/// A message given as JSON, as `@file`, or as `-` for standard input.
fn message(text: &str) -> Result<Json> {
    let bytes = match (text, text.strip_prefix('@')) {
        ("-", _) => read_bounded("standard input", std::io::stdin())?,
        (_, Some(path)) => {
            let file = fs::File::open(path).with_context(|| format!("reading the message from {path}"))?;
            read_bounded(path, file)?
        }
        _ => text.into(),
    };
    Ok(Json::new(bytes)?)
}

fn read_bounded(name: &str, from: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_MESSAGE + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading the message from {name}"))?;
    if bytes.len() as u64 > MAX_MESSAGE {
        bail!("reading the message from {name}: it is above the {MAX_MESSAGE} bytes that a transaction carries");
    }
    Ok(bytes)
}

/// A folder of keys.
#[derive(clap::Args)]
struct KeysFolder {
    /// The folder of keys [default: $XDG_DATA_HOME/aiinference/keys, or ~/.local/share/aiinference/keys]
    #[arg(long, env = "AIINFERENCE_KEYS", value_name = "FOLDER", help_heading = "Signing")]
    keys: Option<PathBuf>,
}

impl KeysFolder {
    fn open(&self) -> Result<aiinference_client::Keyring> {
        let folder = match &self.keys {
            Some(folder) => folder.clone(),
            None => aiinference_client::Keyring::default_folder()?,
        };
        Ok(aiinference_client::Keyring::at(folder))
    }
}
