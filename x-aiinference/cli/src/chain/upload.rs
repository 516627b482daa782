//! `aiinference upload`

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use aiinference_client::{
    upload::{self, CodeIndex, Kind, Next, Package, Part, Progress},
    Access, Node,
};
use anyhow::{bail, Context, Result};
use serde_json::{json, Value};

use super::{
    transaction::{facts, Actor, Outcome, TxArgs},
    wait, NodeArgs,
};
use crate::progress;

#[derive(clap::Args)]
#[command(after_help = "\
A model that one transaction cannot carry is cut into shards, and a manifest names them; the model is then named by the
manifest's code id. Interrupted, the same command goes on with what the chain does not have yet. Models are checked here
first, so that a bad one costs nothing, and are stored such that nobody can instantiate them.

Examples:
  aiinference upload model.wasm --from alice
  aiinference upload contract.wasm --from alice --instantiate everybody --json | jq .code_id
  aiinference upload model.wasm --from-address wasm1... --generate-only --output-dir unsigned
  aiinference upload model.wasm --from alice --as-proposal --title 'Store model X' --summary 'Why' --deposit 10000000stake")]
pub struct UploadArgs {
    /// A contract, or a model as `convert` writes it; gzipped or not
    file: PathBuf,
    /// Who may instantiate it: nobody, everybody, or addresses with commas between [default: nobody a model; a
    /// contract whom the chain says]
    #[arg(long, value_name = "WHO")]
    instantiate: Option<Access>,
    /// Bytes of the model in one shard
    #[arg(long, default_value_t = upload::SHARD_BYTES, value_name = "BYTES")]
    shard_bytes: usize,
    /// Store it even if the chain has it
    #[arg(long, conflicts_with_all = ["generate_only", "as_proposal"])]
    again: bool,
    /// With --generate-only: write one file for each transaction into this folder
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "generate_only",
        help_heading = "Instead of sending"
    )]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    tx: TxArgs,
}

pub fn upload(args: &UploadArgs) -> Result<()> {
    let package = read(&args.file, args.shard_bytes)?;
    let kind = match package.kind() {
        Kind::Contract => "contract",
        Kind::Model => "model",
        Kind::Circuit => "circuit",
    };
    match package.shards() {
        0 => eprintln!("{kind} of {} bytes", package.bytes()),
        n => eprintln!(
            "{kind} of {} bytes, cut into {n} shards and a manifest",
            package.bytes()
        ),
    }
    if args.again && package.shards() > 0 {
        bail!("uploading again: a model in shards is the same one whoever stored it; leave --again out");
    }
    wait(async {
        let node = args.node.connect().await?;
        let actor = args.tx.actor(&node).await?;
        let mut bar = progress::Progress::new();
        let mut index = match args.again {
            true => CodeIndex::default(),
            false => {
                CodeIndex::read(&node, |codes| {
                    bar.at(&format!("reading the chain's codes: {codes}"), 0, 0)
                })
                .await?
            }
        };
        bar.finish();
        match actor.account() {
            Some(account) => {
                let access = args.instantiate.clone();
                let done = upload::upload(account, &package, &mut index, access, say).await?;
                let gas: u64 = done.transactions.iter().map(|tx| tx.gas_used).sum();
                if done.transactions.is_empty() {
                    eprintln!("the chain has it already; nothing was sent");
                }
                let shown = json!({
                    "code_id": done.code_id,
                    "checksum": hex::encode(done.checksum),
                    "kind": kind,
                    "shards": package.shards(),
                    "gas_used": gas,
                    "transactions": done.transactions.iter().map(facts).collect::<Vec<_>>(),
                });
                let mut text = vec![
                    ("code id", done.code_id.to_string()),
                    ("checksum", hex::encode(done.checksum)),
                    ("gas", format!("{gas} used")),
                ];
                text.extend(done.transactions.iter().map(|tx| ("transaction", tx.hash.clone())));
                args.node.print(&shown, &text)
            }
            None => one_by_one(args, &node, &actor, &package, &index).await,
        }
    })
}

/// Reads and checks a file.
fn read(path: &Path, shard_bytes: usize) -> Result<Package> {
    let doing = || format!("reading {}", path.display());
    let size = fs::metadata(path).with_context(doing)?.len();
    if size > aiinference_types::limits::MAX_MODEL_BYTES {
        bail!(
            "{}: {size} bytes are above the limit of {}",
            doing(),
            aiinference_types::limits::MAX_MODEL_BYTES
        );
    }
    Package::new(fs::read(path).with_context(doing)?, shard_bytes).with_context(doing)
}

/// Tells how an upload goes on.
fn say(progress: Progress<'_>) {
    match progress {
        Progress::Sent { part, hash } => {
            eprintln!(
                "{}: sent {} bytes, transaction {hash}",
                part.name,
                part.travelling.len()
            );
        }
        Progress::Stored {
            part,
            code_id,
            transaction,
        } => eprintln!(
            "{}: stored as code {code_id} in block {}, {} gas",
            part.name, transaction.height, transaction.gas_used
        ),
    }
}

/// Proposes, or writes unsigned, what the chain does not have yet.
async fn one_by_one(args: &UploadArgs, node: &Node, actor: &Actor, package: &Package, index: &CodeIndex) -> Result<()> {
    let parts = match package.next(index, &actor.sender) {
        Next::Stored(code_id) => {
            eprintln!("the chain has it already; there is nothing to do");
            let shown = json!({ "code_id": code_id });
            return args.node.print(&shown, &[("code id", code_id.to_string())]);
        }
        Next::Store(parts) => parts,
    };
    if args.tx.generate_only && args.output_dir.is_none() && parts.len() > 1 {
        bail!(
            "writing {} unsigned transactions: name a folder for them with --output-dir",
            parts.len()
        );
    }
    let open = match args.tx.as_proposal {
        true => upload::proposed(node).await?,
        false => HashMap::new(),
    };
    let access = args.instantiate.clone().or_else(|| package.access());
    let mut shown: Vec<Value> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        if let Some(proposal) = open.get(&part.checksum) {
            eprintln!("{}: proposal {proposal} waits for it already", part.name);
            shown.push(json!({ "part": part.name, "proposal": proposal, "transaction": null }));
            continue;
        }
        let message = part.message(&actor.sender, access.clone());
        let name = (parts.len() > 1 || part.name == "manifest").then_some(part.name.as_str());
        match actor.act(vec![message], name).await? {
            Outcome::Written(unsigned) => match &args.output_dir {
                Some(folder) => {
                    let path = write(folder, number + 1, part, &unsigned)?;
                    eprintln!("{}: written to {}", part.name, path.display());
                    shown.push(json!({ "part": part.name, "file": path }));
                }
                None => println!("{}", serde_json::to_string_pretty(&unsigned)?),
            },
            Outcome::Proposed(proposal, included) => {
                eprintln!("{}: proposal {proposal}, {} gas", part.name, included.gas_used);
                let mut fact = facts(&included);
                fact["part"] = json!(part.name);
                fact["proposal"] = json!(proposal);
                shown.push(fact);
            }
            // An actor without an account of its own never sends by itself.
            Outcome::Done(_) => {}
        }
    }
    if args.tx.generate_only {
        actor.how_to_sign(if args.output_dir.is_some() {
            "EACH-FILE"
        } else {
            "unsigned.json"
        });
    }
    let after = if args.tx.as_proposal {
        "when the proposals have passed"
    } else {
        "when they are in a block"
    };
    if package.shards() > 0 && parts.iter().all(|part| part.name != "manifest") {
        eprintln!(
            "next: {after}, run the same command again: it goes on with the manifest, which needs the shards' code ids"
        );
    } else {
        eprintln!("next: {after}, run the same command again: it prints the code id");
    }
    if args.node.json && !shown.is_empty() {
        println!("{}", serde_json::to_string_pretty(&shown)?);
    }
    Ok(())
}

/// Writes an unsigned transaction to a file of its own.
fn write(folder: &Path, number: usize, part: &Part, unsigned: &Value) -> Result<PathBuf> {
    let path = folder.join(format!("{number:03}-{}.json", part.name.replace(' ', "-")));
    let doing = || format!("writing {}", path.display());
    fs::create_dir_all(folder).with_context(doing)?;
    fs::write(&path, serde_json::to_vec_pretty(unsigned)?).with_context(doing)?;
    Ok(path)
}
