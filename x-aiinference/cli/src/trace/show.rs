//! `aiinference trace show`

use std::{
    io::{self, BufWriter, ErrorKind, Write},
    path::PathBuf,
};

use aiinference_trace::{Reader, Record};
use anyhow::{Context, Result};

use super::describe;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference trace show inferences.jsonl --height 120345
  aiinference trace show inferences.jsonl --json | jq .outcome.gas

With --json one object a line. Of tensors the first elements are shown; the log itself holds the whole request
and answer, in base64. Where LOG.1 lies beside LOG it is read first.")]
pub struct Args {
    /// A log that a node wrote (AIINFERENCE_TRACE)
    log: PathBuf,
    /// Only what was asked at this height
    #[arg(long, value_name = "H")]
    height: Option<u64>,
    /// At most so many requests
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn show(args: &Args) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let wanted = |record: &Record| args.height.is_none_or(|height| record.position.height == height);
    let records = Reader::open(&args.log)?.filter(|record| record.as_ref().map_or(true, wanted));
    for record in records.take(args.limit.unwrap_or(usize::MAX)) {
        match line(&mut out, &record?, args.json) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            result => result.context("writing to standard output")?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

fn line(out: &mut impl Write, record: &Record, as_json: bool) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", describe::record_json(record));
    }
    writeln!(
        out,
        "{}: {} -> {}",
        describe::position(&record.position),
        describe::request(&record.request),
        describe::outcome(&record.outcome)
    )
}
