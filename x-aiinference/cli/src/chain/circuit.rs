//! `aiinference verify-circuit`: whether a stored circuit is that of its model.

use std::{fmt, fs, path::PathBuf};

use aiinference_client::Node;
use aiinference_runtime::{
    module::{self, Carried},
    verifier::Circuit,
};
use aiinference_types::v1;
use aiinference_zk::{rebuild, SetupOptions, Tool};
use anyhow::{bail, Context, Result};
use prost::Message;
use serde_json::json;

use super::{wait, NodeArgs};
use crate::prove::{said, sha256};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference verify-circuit 9 --srs kzg12.srs --node http://127.0.0.1:26657
  aiinference verify-circuit circuit.wasm --file --model model.wasm --srs kzg12.srs

Exports the model from its own code, makes the circuit and its key again with the pinned ezkl, and compares everything that
the circuit says with what is stored: key, settings, length of proofs, public values and their formats, SRS, model.
Only such a circuit shows what its model gives; any other may show whatever its owner likes. What it takes in time and memory
is one setup and one proof; files go to TMPDIR for as long.

Exit codes: 0 it is the model's circuit; 8 it is not, or cannot be made again; 1 it could not be told.")]
pub struct VerifyCircuitArgs {
    /// The code id of the circuit, or with --file its module
    circuit: String,
    /// The code id of the model, or with --file its module. Without, the code id that the circuit names
    #[arg(long, value_name = "MODEL", required_if_eq("file", "true"))]
    model: Option<String>,
    /// CIRCUIT and MODEL are files; no node is asked
    #[arg(long)]
    file: bool,
    /// The SRS that the circuit was made with
    #[arg(long, value_name = "FILE")]
    srs: PathBuf,
    /// The SHA-256 that the SRS must have
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    srs_sha256: Option<[u8; 32]>,
    /// Take FILE even if it is not the perpetual powers of tau
    #[arg(long)]
    any_srs: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// A circuit that is not what it says: exit code 8.
#[derive(Debug)]
pub struct NotReproducible;

impl fmt::Display for NotReproducible {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("verifying the circuit: it is not reproducible from this model and SRS; trust no proof of it")
    }
}

impl std::error::Error for NotReproducible {}

pub fn verify_circuit(args: &VerifyCircuitArgs) -> Result<()> {
    let mut say = said();
    let (circuit, model) = if args.file {
        let read = |path: &str| fs::read(path).with_context(|| format!("reading {path}"));
        let model = args.model.as_deref().unwrap_or_default();
        (stored(&read(&args.circuit)?, &args.circuit)?, read(model)?)
    } else {
        wait(fetch(args, &mut say))?
    };
    let tool = Tool::prepare(&mut say)?;
    let options = SetupOptions {
        srs_sha256: args.srs_sha256,
        any_srs: args.any_srs,
        ..SetupOptions::default()
    };
    let differences = rebuild(&tool, &circuit, &model, &args.srs, &options, &mut say)?;
    let listed = differences
        .iter()
        .map(|d| json!({ "part": d.part, "stored": d.stored, "rebuilt": d.rebuilt }));
    let models: Vec<_> = circuit
        .models
        .iter()
        .map(|m| (m.code_id, hex::encode(&m.checksum)))
        .collect();
    let shown = json!({
        "reproducible": differences.is_empty(),
        "circuit": args.circuit,
        "models": models.iter().map(|(id, checksum)| json!({ "code_id": id, "checksum": checksum })).collect::<Vec<_>>(),
        "srs": hex::encode(&circuit.srs),
        "differences": listed.collect::<Vec<_>>(),
    });
    let mut text = vec![(
        "reproducible",
        if differences.is_empty() { "yes" } else { "no" }.to_string(),
    )];
    text.extend(
        models
            .iter()
            .map(|(id, checksum)| ("model", format!("code {id}, {checksum}"))),
    );
    text.push(("srs", hex::encode(&circuit.srs)));
    text.extend(differences.iter().map(|difference| ("differs", difference.to_string())));
    args.node.print(&shown, &text)?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(NotReproducible.into())
}

/// Circuit and model from the chain.
async fn fetch(args: &VerifyCircuitArgs, say: &mut dyn FnMut(&str)) -> Result<(v1::Circuit, Vec<u8>)> {
    let node = args.node.connect().await?;
    let (_, module) = code(&node, &args.circuit, say).await?;
    let circuit = stored(&module, &format!("code {}", args.circuit))?;
    // One that names no model is told to be such without any.
    let Some(named) = circuit.models.first() else {
        return Ok((circuit, Vec::new()));
    };
    let wanted = args.model.clone().unwrap_or(named.code_id.to_string());
    let (id, model) = code(&node, &wanted, say).await?;
    if id != named.code_id {
        bail!(
            "verifying the circuit: it names the model {}, not {id}; leave --model out",
            named.code_id
        );
    }
    Ok((circuit, model))
}

async fn code(node: &Node, id: &str, say: &mut dyn FnMut(&str)) -> Result<(u64, Vec<u8>)> {
    let id = id
        .parse()
        .with_context(|| format!("reading the code id {id}: it is no number; say --file for files"))?;
    say(&format!("fetching code {id}"));
    Ok((id, node.code(id).await?.1))
}

/// The circuit in a module.
fn stored(module: &[u8], name: &str) -> Result<v1::Circuit> {
    let carried = module::carried(module).with_context(|| format!("reading the circuit in {name}"))?;
    let Carried::Circuit(section) = carried else {
        bail!("reading the circuit in {name}: it carries none; name what `aiinference prove module` wrote");
    };
    // Its one encoding, as a chain asks for.
    Circuit::decode(section).with_context(|| format!("reading the circuit in {name}"))?;
    v1::Circuit::decode(section).with_context(|| format!("reading the circuit in {name}"))
}
