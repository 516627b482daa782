//! `aiinference`: from an ONNX model to code that a chain stores, and back to what it computes.

mod convert;
mod data;
mod inspect;
mod model;
mod progress;
mod run;

use std::process::ExitCode;

use aiinference_convert::ConvertError;
use clap::{Parser, Subcommand};

/// Convert, inspect and run models that CosmWasm contracts call.
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
  3  convert: the integer model is worse than --max-drop allows";

#[derive(Subcommand)]
enum Command {
    /// Turn an ONNX model into a module that a chain stores as code
    Convert(convert::Args),
    /// Say what a model takes, gives and costs
    Inspect(inspect::Args),
    /// Run a model: the bits of the chain
    Run(run::Args),
}

/// The exit code of a failure.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(ConvertError::Accuracy { .. }) => 3,
        _ => 1,
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Convert(args) => convert::convert(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Run(args) => run::run(&args),
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
