//! Times models beside another runtime, which `scripts/bench.py` runs in turn with this: commands on standard input, one
//! answer in JSON a line.
//!
//! - `load MODULE`: a model as a chain stores it. Tells its inputs, its price, and how long loading took.
//! - `inputs FILE`: all inputs' integers, one after another in 32 bits, little-endian.
//! - `run`: the least nanoseconds of many runs.

#[path = "../../engine/benches/common/mod.rs"]
mod common;

use std::error::Error;
use std::io::{self, BufRead, Write};

use aiinference_engine::Workspace;
use aiinference_runtime::{Kernels, LoadedModel};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A model that is being timed.
struct Loaded {
    model: LoadedModel,
    inputs: Vec<Vec<i32>>,
    workspace: Workspace,
}

fn main() -> Result<()> {
    let kernels = Kernels::auto();
    let mut loaded = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match (words.as_slice(), &mut loaded) {
            (["load", module], loaded) => {
                let (model, answer) = load(module, &kernels)?;
                *loaded = Some(model);
                answer
            }
            (["inputs", file], Some(model)) => inputs(model, file)?,
            (["run"], Some(model)) => run(model, &kernels)?,
            _ => return Err(format!("{line:?} is no command, or comes before load").into()),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn load(module: &str, kernels: &Kernels) -> Result<(Loaded, String)> {
    let module = std::fs::read(module)?;
    let read = || LoadedModel::load([0; 32], &module);
    let model = read()?;
    let load = common::time(|| read().is_ok());
    let program = &model.program;
    let ports = program.inputs().iter();
    let ports: Vec<String> = ports
        .map(|port| {
            let count: u32 = port.shape.iter().product();
            format!(
                r#"{{"name": {:?}, "elements": {count}, "fraction_bits": {}, "low": {}, "high": {}}}"#,
                port.name, port.fraction_bits, port.low, port.high
            )
        })
        .collect();
    let answer = format!(
        r#"{{"kernels": {:?}, "bytes": {}, "load_ns": {load}, "macs": {}, "gas": {}, "peak_bytes": {}, "inputs": [{}]}}"#,
        kernels.name(),
        module.len(),
        program.macs(),
        program.run_gas(),
        program.peak_bytes(),
        ports.join(", ")
    );
    let (inputs, workspace) = (Vec::new(), Workspace::new());
    let loaded = Loaded {
        model,
        inputs,
        workspace,
    };
    Ok((loaded, answer))
}

fn inputs(model: &mut Loaded, file: &str) -> Result<String> {
    let bytes = std::fs::read(file)?;
    let (words, _) = bytes.as_chunks::<4>();
    let mut integers = words.iter().map(|word| i32::from_le_bytes(*word));
    let ports = model.model.program.inputs().iter();
    model.inputs = ports
        .map(|port| {
            let count: u32 = port.shape.iter().product();
            integers.by_ref().take(count as usize).collect()
        })
        .collect();
    Ok("{}".into())
}

fn run(model: &mut Loaded, kernels: &Kernels) -> Result<String> {
    let views: Vec<&[i32]> = model.inputs.iter().map(Vec::as_slice).collect();
    let (program, workspace) = (&model.model.program, &mut model.workspace);
    program.run_in(workspace, &views, kernels).map_err(|e| e.to_string())?;
    let ns = common::time(|| program.run_in(workspace, &views, kernels).is_ok());
    Ok(format!(r#"{{"ns": {ns}}}"#))
}
