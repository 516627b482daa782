//! `aiinference`: from an ONNX model to code that a chain stores, and back to what it computes.

mod chain;
mod convert;
mod data;
mod inspect;
mod model;
mod progress;
mod prove;
mod prover;
mod run;
mod trace;

use std::process::ExitCode;

use aiinference_client::ClientError;
use aiinference_convert::ConvertError;
use clap::{Parser, Subcommand};

/// Convert, inspect and run models that CosmWasm contracts call, and bring both to a chain.
#[derive(Parser)]
#[command(name = "aiinference", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something failed; the message on stderr says what and what to do
  2  the command line is wrong
  3  convert: the integer model is worse than --max-drop or --max-error allows
  4  the chain refused the transaction
  5  the transaction was sent, but was in no block before --timeout; it may still come
  6  trace: what was replayed or compared differs
  7  prove verify: the proof is not valid
  8  verify-circuit: the circuit is not that of its model";

#[derive(Subcommand)]
enum Command {
    /// Turn an ONNX model into a module that a chain stores as code
    Convert(convert::Args),
    /// Say what a model takes, gives and costs
    Inspect(inspect::Args),
    /// Run a model: the bits of the chain
    Run(Box<run::Args>),
    /// Prove runs of a model, for chains that verify instead of running it
    Prove(prove::Args),
    /// Make a stored circuit again from its model, and compare
    VerifyCircuit(chain::VerifyCircuitArgs),
    /// Prove what others pay for: a daemon that watches a registry
    Prover(prover::Args),
    /// Store a contract or a model on a chain, a large model in shards
    Upload(Box<chain::UploadArgs>),
    /// Make a contract of a stored code
    Instantiate(Box<chain::InstantiateArgs>),
    /// Call a contract
    Execute(Box<chain::ExecuteArgs>),
    /// Ask a chain
    Query(chain::QueryArgs),
    /// Keep keys that sign
    Keys(chain::KeysArgs),
    /// Look into what validators logged of their inferences
    Trace(trace::Args),
}

/// The exit code of a failure.
fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(ConvertError::Accuracy { .. }) = error.downcast_ref() {
        return 3;
    }
    if error.is::<trace::Differs>() {
        return 6;
    }
    if error.is::<prove::Invalid>() {
        return 7;
    }
    if error.is::<chain::NotReproducible>() {
        return 8;
    }
    match error.downcast_ref() {
        Some(ClientError::Refused { .. }) => 4,
        Some(ClientError::NotIncluded { .. }) => 5,
        _ => 1,
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Convert(args) => convert::convert(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Run(args) => run::run(&args),
        Command::Prove(args) => prove::prove(&args),
        Command::VerifyCircuit(args) => chain::verify_circuit(&args),
        Command::Prover(args) => prover::prover(&args),
        Command::Upload(args) => chain::upload(&args),
        Command::Instantiate(args) => chain::instantiate(&args),
        Command::Execute(args) => chain::execute(&args),
        Command::Query(args) => chain::query(&args),
        Command::Keys(args) => chain::keys(&args),
        Command::Trace(args) => trace::trace(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            // What an error quotes of its cause already is not said twice.
            let mut said = error.to_string();
            for cause in error.chain().skip(1) {
                let text = cause.to_string();
                if !said.contains(&text) {
                    eprintln!("  because: {text}");
                    said = text;
                }
            }
            ExitCode::from(exit_code(&error))
        }
    }
}
