//! `aiinference trace compare`

use std::path::{Path, PathBuf};

use aiinference_trace::{Comparison, Difference, Kind, Outcome, Record, Summary};
use anyhow::Result;
use serde_json::{json, Value};

use super::{describe, difference, Differs};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference trace compare mine.jsonl theirs.jsonl
  aiinference trace compare node-*.jsonl --json

Requests are matched by place on the chain, caller, content and gas. What only one node logged (queries, simulations,
times in which the others did not log) is counted and otherwise left alone. Logs are read twice and kept as hashes, so
that they may be large. Where LOG.1 lies beside LOG it is read first.

Exit codes: 0 the nodes agree wherever they can be compared; 6 they differ.")]
pub struct Args {
    /// Logs that nodes wrote (AIINFERENCE_TRACE), one for each node
    #[arg(required = true, num_args = 2.., value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// How many differences to show
    #[arg(long, value_name = "N", default_value_t = 1)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A difference, and what the logs say there: for each log that has it, the last record of each question.
struct Shown<'a> {
    difference: &'a Difference,
    records: Vec<(&'a Path, Record)>,
}

pub fn compare(args: &Args) -> Result<()> {
    let mut summaries = Vec::new();
    for log in &args.logs {
        let mut summary = Summary::default();
        super::each(log, &format!("reading {}", log.display()), |record| {
            summary.add(&record);
            Ok(())
        })?;
        summaries.push(summary);
    }
    let comparison = aiinference_trace::compare(&summaries);
    let shown = look_up(&comparison, args)?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&in_json(args, &summaries, &comparison, &shown))?
        );
    } else {
        print(args, &summaries, &comparison, &shown);
    }
    match comparison.differences.len() {
        0 => Ok(()),
        n => Err(Differs::BetweenNodes(n).into()),
    }
}

/// Reads the logs again, for the records of the first differences.
fn look_up<'a>(comparison: &'a Comparison, args: &'a Args) -> Result<Vec<Shown<'a>>> {
    let first = comparison.differences.iter().take(args.limit);
    let mut shown: Vec<Shown> = first
        .map(|difference| Shown {
            difference,
            records: vec![],
        })
        .collect();
    if shown.is_empty() {
        return Ok(shown);
    }
    for log in &args.logs {
        super::each(log, &format!("reading {} again", log.display()), |record| {
            for one in &mut shown {
                if one.difference.concerns(&record) {
                    one.keep(log, record.clone());
                }
            }
            Ok(())
        })?;
    }
    Ok(shown)
}

impl<'a> Shown<'a> {
    fn keep(&mut self, log: &'a Path, record: Record) {
        let same_question = |(other, kept): &&mut (&Path, Record)| {
            *other == log
                && kept.caller == record.caller
                && kept.gas_left == record.gas_left
                && kept.request == record.request
        };
        match self.records.iter_mut().find(same_question) {
            Some((_, kept)) => *kept = record,
            None => self.records.push((log, record)),
        }
    }

    /// In what every further record differs from the first one.
    fn differs(&self) -> Vec<String> {
        let Some(((_, first), others)) = self.records.split_first() else {
            return vec![];
        };
        if self.difference.kind != Kind::Computing {
            return vec![];
        }
        let different = others.iter().find(|(_, other)| other.outcome != first.outcome);
        different.map_or_else(Vec::new, |(_, other)| {
            difference::between(&first.outcome, &other.outcome)
        })
    }
}

fn verdict(shown: &Shown) -> &'static str {
    if shown.records.iter().any(|(_, record)| at_fault(record)) {
        return "a node cannot read its own files: the log of that node says which; the others compute";
    }
    match shown.difference.kind {
        Kind::Request => "the requests differ: the nodes parted before this, in the contract's state or in gas",
        Kind::State => "the chains' states differ: the nodes were told different things of the same code ids",
        Kind::Computing => "computing differs: from the same request and state the nodes made different answers",
    }
}

fn at_fault(record: &Record) -> bool {
    matches!(&record.outcome, Outcome::Abort { fault: Some(_), .. })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "request",
        Kind::State => "state",
        Kind::Computing => "computing",
    }
}

fn print(args: &Args, summaries: &[Summary], comparison: &Comparison, shown: &[Shown]) {
    for (log, summary) in args.logs.iter().zip(summaries) {
        println!("{}: {} requests", log.display(), summary.records());
    }
    println!(
        "compared {}, in one log alone {}, different {}",
        comparison.shared,
        comparison.alone,
        comparison.differences.len()
    );
    if comparison.shared == 0 {
        println!("the logs have nothing in common: are they of the same chain and time?");
    }
    for one in shown {
        println!("\n{}", describe::position(&one.difference.position));
        println!("  {}", verdict(one));
        for (log, record) in &one.records {
            println!("  {}", log.display());
            println!("    request   {}", describe::request(&record.request));
            println!("    gas left  {}", record.gas_left);
            println!("    asked     {}", describe::asked(&record.asked));
            println!("    outcome   {}", describe::outcome(&record.outcome));
            println!(
                "    by        {} kernels, {}",
                describe::clean(&record.kernels),
                describe::clean(&record.version)
            );
        }
        for difference in one.differs() {
            println!("  differs   {difference}");
        }
    }
    if comparison.differences.len() > shown.len() {
        println!(
            "\nand {} more; --limit shows them, but the first is the cause to look for",
            comparison.differences.len() - shown.len()
        );
    }
}

fn in_json(args: &Args, summaries: &[Summary], comparison: &Comparison, shown: &[Shown]) -> Value {
    let logs = args.logs.iter().zip(summaries);
    let logs = logs.map(|(log, summary)| json!({ "log": log, "requests": summary.records() }));
    let differences = shown.iter().map(|one| {
        let records = one.records.iter();
        let records = records.map(|(log, record)| json!({ "log": log, "record": describe::record_json(record) }));
        json!({
            "position": describe::position_json(&one.difference.position), "kind": kind(one.difference.kind),
            "records": records.collect::<Vec<_>>(), "differs": one.differs(),
        })
    });
    json!({
        "logs": logs.collect::<Vec<_>>(), "compared": comparison.shared, "alone": comparison.alone,
        "different": comparison.differences.len(), "differences": differences.collect::<Vec<_>>(),
    })
}
