//! `aiinference inspect`

use std::{collections::BTreeMap, path::PathBuf};

use aiinference_runtime::{price, LoadedModel};
use anyhow::Result;
use serde_json::json;

use crate::model;

/// CosmWasm gas of one unit of the chain's own gas.
const GAS_PER_SDK_GAS: u64 = 140_000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference inspect model.wasm
  aiinference inspect model.wasm --json | jq .gas")]
pub struct Args {
    /// A model's module, as `convert` writes it
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(args: &Args) -> Result<()> {
    print(&model::load(&args.model)?, args.json)
}

/// Prints what a model takes, gives and costs.
pub fn print(model: &LoadedModel, as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(&describe(model))?);
    } else {
        print!("{}", text(model));
    }
    Ok(())
}

/// The facts of a model as JSON: a stable form that others may script.
fn describe(model: &LoadedModel) -> serde_json::Value {
    let program = &model.program;
    let inputs = program.inputs().iter().map(|input| {
        json!({
            "name": input.name, "shape": input.shape, "fraction_bits": input.fraction_bits,
            "low": input.low, "high": input.high,
            "out_of_range": if input.saturate { "saturate" } else { "refuse" },
        })
    });
    let outputs = program.outputs().iter().map(|output| {
        json!({
            "name": output.name, "shape": output.shape, "fraction_bits": output.fraction_bits,
            "low": output.low, "high": output.high, "labels": output.labels,
        })
    });
    let nodes = program.nodes().iter().map(|node| {
        json!({ "op": node.op, "shape": node.value.shape, "low": node.value.low, "high": node.value.high,
                "gas": node.cost.gas, "macs": node.cost.macs })
    });
    let (load, run) = (model.load_gas(), program.run_gas());
    json!({
        "checksum": hex::encode(model.checksum),
        "op_set": program.op_set(),
        "stored_bytes": model.stored_bytes,
        "parameters": program.parameters(),
        "macs": macs(model),
        "peak_memory_bytes": program.peak_bytes(),
        "gas": { "schedule": price::GAS_SCHEDULE, "load": load, "run": run, "total": load.saturating_add(run),
                 "sdk_total": load.saturating_add(run) / GAS_PER_SDK_GAS },
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "ops": op_counts(model),
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn text(model: &LoadedModel) -> String {
    let program = &model.program;
    let mut out = String::new();
    let mut line = |text: String| {
        out += &text;
        out.push('\n');
    };
    line(format!("checksum     {}", hex::encode(model.checksum)));
    line(format!("op-set       {}", program.op_set()));
    line(format!("stored       {} bytes", model.stored_bytes));
    line(format!("parameters   {}", program.parameters()));
    line(format!("peak memory  {} bytes", program.peak_bytes()));
    let (load, run) = (model.load_gas(), program.run_gas());
    line(format!(
        "gas          {load} to load + {run} to run (schedule {})",
        price::GAS_SCHEDULE
    ));
    line(format!(
        "             about {} SDK gas a call, beside request and answer",
        load.saturating_add(run) / GAS_PER_SDK_GAS
    ));
    line("inputs".into());
    for input in program.inputs() {
        let outside = if input.saturate { "saturated" } else { "refused" };
        line(format!(
            "  {:<16} {:<16} {}; out of range: {outside}",
            input.name,
            shape(&input.shape),
            range(input.low, input.high, input.fraction_bits)
        ));
    }
    line("outputs".into());
    for output in program.outputs() {
        let labels = match output.labels.len() {
            0 => String::new(),
            n if n <= 8 => format!("; labels {}", output.labels.join(", ")),
            n => format!("; {n} labels"),
        };
        line(format!(
            "  {:<16} {:<16} {}{labels}",
            output.name,
            shape(&output.shape),
            range(output.low, output.high, output.fraction_bits)
        ));
    }
    line(format!(
        "ops          {} ({} multiply-accumulates)",
        program.nodes().len(),
        macs(model)
    ));
    for (name, (count, gas)) in op_counts_and_gas(model) {
        line(format!("  {name:<16} {count:>6}  {gas:>16} gas"));
    }
    out
}

fn shape(shape: &[u32]) -> String {
    let extents: Vec<String> = shape.iter().map(u32::to_string).collect();
    format!("[{}]", extents.join(", "))
}

/// A range as reals, with the step between neighbours.
fn range(low: i32, high: i32, fraction_bits: i32) -> String {
    let real = |q: i32| f64::from(q) * (-f64::from(fraction_bits)).exp2();
    format!("{} to {} in steps of 2^{}", real(low), real(high), -fraction_bits)
}

fn macs(model: &LoadedModel) -> u64 {
    model.program.macs()
}

fn op_counts(model: &LoadedModel) -> BTreeMap<&'static str, u64> {
    op_counts_and_gas(model)
        .into_iter()
        .map(|(name, (count, _))| (name, count))
        .collect()
}

fn op_counts_and_gas(model: &LoadedModel) -> BTreeMap<&'static str, (u64, u64)> {
    let mut counts = BTreeMap::new();
    for node in model.program.nodes() {
        let entry: &mut (u64, u64) = counts.entry(node.op).or_default();
        entry.0 += 1;
        entry.1 = entry.1.saturating_add(node.cost.gas);
    }
    counts
}
