//! `aiinference trace replay`

use std::path::PathBuf;

use aiinference_engine::Kernels;
use aiinference_runtime::{Runtime, Settings};
use aiinference_trace::{ModuleFolder, Outcome, Record, Replayed, Replayer};
use anyhow::{bail, Result};
use serde_json::{json, Value};

use super::{
    describe::{self, clean},
    difference, Differs,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference trace replay inferences.jsonl --modules ~/.wasmd
  aiinference trace replay inferences.jsonl --modules ~/.wasmd --kernels scalar --json

Every request is answered again, with the gas and the chain's answers of then. Needed of the node are only the modules
that its data folder holds, so that a copy of it serves on another machine; a running node is not disturbed. Where
LOG.1 lies beside LOG it is read first.

Exit codes: 0 all are the same; 6 some differ; 1 some could not be replayed (a module is missing, say).")]
pub struct Args {
    /// A log that a node wrote (AIINFERENCE_TRACE)
    log: PathBuf,
    /// Where the modules are: a node's home, its wasm folder, or a folder of files named by checksum
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// Which kernels run: auto, scalar, or a name of this CPU's. All must give the same bits
    #[arg(long, default_value = "auto", value_parser = crate::run::kernels)]
    kernels: Kernels,
    /// How many differences to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of all records.
#[derive(Default)]
struct Tally {
    same: u64,
    different: u64,
    unable: u64,
    /// The first differences: what was logged, and what comes of it here.
    shown: Vec<(Record, Outcome)>,
    /// Why the first one could not be replayed.
    reason: Option<String>,
}

pub fn replay(args: &Args) -> Result<()> {
    if !args.modules.is_dir() {
        bail!(
            "reading modules from {}: there is no such folder; give the home of the node that logged, or a copy of its wasm folder",
            args.modules.display()
        );
    }
    let settings = Settings {
        kernels: args.kernels,
        ..Settings::default()
    };
    let replayer = Replayer::new(Runtime::new(settings), ModuleFolder::new(&args.modules));
    let mut tally = Tally::default();
    super::each(&args.log, "replaying", |record| {
        match replayer.replay(&record) {
            Replayed::Same => tally.same += 1,
            Replayed::Different(outcome) => {
                tally.different += 1;
                if tally.shown.len() < args.limit {
                    tally.shown.push((record, outcome));
                }
            }
            Replayed::Unable(why) => {
                tally.unable += 1;
                tally.reason.get_or_insert(why);
            }
        }
        Ok(())
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&tally.json(args.kernels.name()))?);
    } else {
        tally.print(args.kernels.name());
    }
    if tally.different > 0 {
        return Err(Differs::FromLog(tally.different).into());
    }
    if tally.unable > 0 {
        bail!(
            "replaying: {} of {} requests could not be answered here, the first because of: {}; give the data of the node \
             that logged them by --modules",
            tally.unable,
            tally.same + tally.unable,
            clean(&tally.reason.unwrap_or_default())
        );
    }
    Ok(())
}

impl Tally {
    fn print(&self, kernels: &str) {
        println!(
            "same {}, different {}, unable {} (on {kernels} kernels)",
            self.same, self.different, self.unable
        );
        for (record, here) in &self.shown {
            println!("\n{}", describe::position(&record.position));
            println!("  request   {}", describe::request(&record.request));
            println!("  gas left  {}", record.gas_left);
            println!("  asked     {}", describe::asked(&record.asked));
            println!(
                "  logged    {} ({})",
                describe::outcome(&record.outcome),
                logger(record)
            );
            println!("  here      {}", describe::outcome(here));
            for difference in difference::between(&record.outcome, here) {
                println!("  differs   {difference}");
            }
        }
        if self.different > self.shown.len() as u64 {
            println!(
                "\nand {} more; --limit shows them",
                self.different - self.shown.len() as u64
            );
        }
    }

    fn json(&self, kernels: &str) -> Value {
        let differences = self.shown.iter().map(|(record, here)| {
            json!({
                "record": describe::record_json(record), "here": describe::outcome_json(here),
                "differs": difference::between(&record.outcome, here),
            })
        });
        json!({
            "kernels": kernels, "same": self.same, "different": self.different, "unable": self.unable,
            "first_unable": self.reason, "differences": differences.collect::<Vec<_>>(),
        })
    }
}

/// Who logged a record: kernels and version.
fn logger(record: &Record) -> String {
    format!("{} kernels, {}", clean(&record.kernels), clean(&record.version))
}
