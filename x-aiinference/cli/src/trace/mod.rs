//! `aiinference trace`: what a validator logged of its inferences.

mod compare;
mod describe;
mod difference;
mod replay;
mod show;

use std::path::Path;

use aiinference_trace::{Reader, Record};
use anyhow::Result;

use crate::progress::Progress;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Answer a log's requests anew on this machine
    Replay(Box<replay::Args>),
    /// Find where validators part, from their logs
    Compare(compare::Args),
    /// Print a log for people
    Show(show::Args),
}

/// Something differs: not a failure of the command, but of what it looked at.
#[derive(Debug, thiserror::Error)]
pub enum Differs {
    /// From what was logged.
    #[error("replaying: {0} of the requests have another answer or gas on this machine than was logged")]
    FromLog(u64),
    /// Between validators.
    #[error("comparing: the validators differ in {0} places")]
    BetweenNodes(usize),
}

pub fn trace(args: &Args) -> Result<()> {
    match &args.command {
        Command::Replay(args) => replay::replay(args),
        Command::Compare(args) => compare::compare(args),
        Command::Show(args) => show::show(args),
    }
}

/// Goes through a log, with progress on stderr.
fn each(log: &Path, stage: &str, mut take: impl FnMut(Record) -> Result<()>) -> Result<()> {
    let mut reader = Reader::open(log)?;
    let mut progress = Progress::new();
    let kib = (reader.bytes() >> 10).max(1);
    let mut shown = None;
    while let Some(record) = reader.next() {
        let done = reader.bytes_read() >> 10;
        if shown != Some(done) {
            progress.at(stage, done, kib);
            shown = Some(done);
        }
        take(record?)?;
    }
    progress.finish();
    Ok(())
}
