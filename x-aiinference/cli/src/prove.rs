//! `aiinference prove`: circuits of models, proofs of their runs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use aiinference_client::write_secret;
use aiinference_engine::Program;
use aiinference_zk::{CircuitFolder, Hidden, Opening, Proof, SetupOptions, Timing, Tool};
use anyhow::{bail, Context, Result};
use clap::Subcommand;

use crate::{data, model, run};

/// Rounds of `prove check` by default.
const RUNS: usize = 100;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference convert model.onnx --calibration data.npz --provable -o model.wasm
  aiinference prove setup model.wasm --srs kzg12.srs -o circuit
  aiinference prove run circuit --input one.npz --output result.npz --proof proof.json
  aiinference prove verify circuit --proof proof.json
  aiinference prove module circuit --model-code-id 6 -o circuit.wasm

Inputs that nobody else may see:
  aiinference prove setup model.wasm --srs kzg12.srs --hash-inputs -o circuit
  aiinference prove commit model.wasm --input one.npz --opening opening.json
  aiinference prove run circuit --opening opening.json --output result.npz --proof proof.json

The proofs are made by ezkl, which is installed on first use from a Python package index into an environment in the
user's cache, at a pinned version and hash. A proof speaks of the very integers that the engine computes; docs/proving.md
tells more.")]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make the circuit of a model and its keys
    Setup(SetupArgs),
    /// Hash inputs with a fresh salt, for a circuit that hides them
    Commit(CommitArgs),
    /// Run a model and prove the run
    Run(RunArgs),
    /// Check a proof
    Verify(VerifyArgs),
    /// Write the module by which a chain stores the circuit
    Module(ModuleArgs),
    /// Compare runs of the circuit with the engine's, extremes of every input among them, without proving
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct SetupArgs {
    /// A model's module, as `convert --provable` writes it
    model: PathBuf,
    /// The public SRS (perpetual powers of tau), large enough for the circuit. Without it a development SRS is made:
    /// whoever made it can forge proofs, so that chains refuse its circuits unless told otherwise
    #[arg(long, value_name = "FILE")]
    srs: Option<PathBuf>,
    /// The SHA-256 that FILE must have
    #[arg(long, value_name = "HEX", value_parser = sha256, requires = "srs")]
    srs_sha256: Option<[u8; 32]>,
    /// Take FILE even if it is not the perpetual powers of tau
    #[arg(long, requires = "srs")]
    any_srs: bool,
    /// Hide the inputs: proofs show their salted hash instead, and are made by who holds them
    #[arg(long)]
    hash_inputs: bool,
    /// Hide the weights: proofs show their hash instead. Takes some 30 times the time and memory
    #[arg(long, conflicts_with = "hash_inputs")]
    hash_weights: bool,
    /// The folder of the circuit; made, or made again
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Which values.
#[derive(clap::Args)]
struct InputArgs {
    /// Values for the inputs, as `aiinference run` takes them
    #[arg(long, value_name = "IN.npz")]
    input: Option<PathBuf>,
    /// A column of IN that is no input: the true labels, as for `convert`
    #[arg(long, value_name = "NAME", requires = "input")]
    labels: Option<String>,
    /// Which sample, from 0, where IN holds several
    #[arg(long, value_name = "N", requires = "input")]
    sample: Option<usize>,
}

#[derive(clap::Args)]
struct CommitArgs {
    /// A model's module
    model: PathBuf,
    #[command(flatten)]
    values: InputArgs,
    /// Where the inputs and the salt go, mode 0600: keep it, it is what proves runs on these inputs
    #[arg(long, value_name = "OPENING.json")]
    opening: PathBuf,
}

#[derive(clap::Args)]
struct RunArgs {
    /// The folder of the circuit
    circuit: PathBuf,
    #[command(flatten)]
    values: InputArgs,
    /// For a circuit that hides its inputs: inputs and salt, as `prove commit` writes them. With --input it is written
    #[arg(long, value_name = "OPENING.json")]
    opening: Option<PathBuf>,
    /// Where the outputs go, as `aiinference run` writes them
    #[arg(long, value_name = "OUT.npz")]
    output: PathBuf,
    /// Write the engine's integers instead of real values to OUT
    #[arg(long)]
    raw: bool,
    /// Where the proof goes, with the integers that it is about
    #[arg(long, value_name = "PROOF.json")]
    proof: PathBuf,
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// The folder of the circuit
    circuit: PathBuf,
    /// The proof, as `prove run` writes it
    #[arg(long, value_name = "PROOF.json")]
    proof: PathBuf,
    /// Take a circuit whose SRS is not the perpetual powers of tau: whoever made that SRS can forge proofs
    #[arg(long)]
    any_srs: bool,
}

#[derive(clap::Args)]
struct ModuleArgs {
    /// The folder of the circuit
    circuit: PathBuf,
    /// The code id under which the chain stores the model
    #[arg(long, value_name = "ID", required_unless_present = "unpublished")]
    model_code_id: Option<u64>,
    /// The model is on no chain: nobody can rebuild the circuit, users trust its owner and must say so in their requests
    #[arg(long, conflicts_with = "model_code_id")]
    unpublished: bool,
    /// Where the module goes
    #[arg(short, long, value_name = "CIRCUIT.wasm")]
    output: PathBuf,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// The folder of the circuit
    circuit: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = RUNS)]
    runs: usize,
}

pub fn sha256(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "it must be 64 hexadecimal digits")?;
    Ok(bytes)
}

/// A proof that does not verify: exit code 7.
#[derive(Debug)]
pub struct Invalid;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("verifying the proof: it is not valid for this circuit and these integers; take nothing from it")
    }
}

impl std::error::Error for Invalid {}

pub fn prove(args: &Args) -> Result<()> {
    match &args.task {
        Task::Setup(args) => setup(args),
        Task::Commit(args) => commit(args),
        Task::Run(args) => prove_run(args),
        Task::Verify(args) => verify(args),
        Task::Module(args) => module(args),
        Task::Check(args) => check(args),
    }
}

/// Says each step on stderr, with the time since the start.
pub fn said() -> impl FnMut(&str) {
    let start = Instant::now();
    move |step| eprintln!("[{:>6.1} s] {step}", start.elapsed().as_secs_f64())
}

fn tool(say: &mut dyn FnMut(&str)) -> Result<Tool> {
    Ok(Tool::prepare(say)?)
}

fn open(path: &Path) -> Result<CircuitFolder> {
    Ok(CircuitFolder::open(path)?)
}

fn print_timings(timings: &[Timing]) {
    for timing in timings {
        println!(
            "  {:<36} {:>8.2} s, {:>8.2} s of CPU, {:>6} MiB",
            timing.name,
            timing.seconds,
            timing.cpu_seconds,
            timing.peak_kib / 1024
        );
    }
}

fn setup(args: &SetupArgs) -> Result<()> {
    let mut say = said();
    // The same messages for a file that is no model as everywhere.
    model::load(&args.model)?;
    let wasm = fs::read(&args.model).with_context(|| format!("reading {}", args.model.display()))?;
    let tool = tool(&mut say)?;
    let options = SetupOptions {
        srs: args.srs.clone(),
        srs_sha256: args.srs_sha256,
        any_srs: args.any_srs,
        hidden: match (args.hash_inputs, args.hash_weights) {
            (true, _) => Hidden::Inputs,
            (false, true) => Hidden::Weights,
            (false, false) => Hidden::Nothing,
        },
    };
    let (folder, timings) = CircuitFolder::setup(&tool, &wasm, &args.output, &options, &mut say)?;
    let circuit = folder.manifest();
    println!(
        "circuit {}: 2^{} rows, base {} and {} digits, proofs of {} bytes",
        circuit.vka_sha256,
        circuit.settings.logrows,
        circuit.settings.decomp_base,
        circuit.settings.decomp_legs,
        circuit.proof_bytes
    );
    if let Some(hash) = &circuit.weights_hash {
        println!("weights {hash}");
    }
    print_timings(&timings);
    if circuit.srs.development {
        eprintln!("note: the SRS is for development: whoever made it can forge proofs, and chains refuse the circuit unless a request accepts that SRS by name; take the public one by --srs");
    }
    eprintln!("wrote {}", args.output.display());
    Ok(())
}

fn one_sample(program: &Program, values: &InputArgs) -> Result<Vec<Vec<i32>>> {
    let Some(path) = &values.input else {
        bail!("reading the inputs: name a file by --input");
    };
    run::one_sample(program.inputs(), path, values.labels.as_deref(), values.sample)
}

/// Makes an opening and writes it before its hash is told to anyone.
fn new_opening(inputs: Vec<Vec<i32>>, path: &Path) -> Result<Opening> {
    let opening = Opening::new(inputs)?;
    write_secret(path, serde_json::to_string(&opening)?.as_bytes())?;
    eprintln!("wrote {}: whoever has it can show the inputs", path.display());
    Ok(opening)
}

fn commit(args: &CommitArgs) -> Result<()> {
    let program = model::load(&args.model)?.program;
    let opening = new_opening(one_sample(&program, &args.values)?, &args.opening)?;
    println!("{}", hex::encode(opening.hash()?));
    Ok(())
}

fn prove_run(args: &RunArgs) -> Result<()> {
    let mut say = said();
    let folder = open(&args.circuit)?;
    let program = folder.program();
    let hides = folder.manifest().hidden == Hidden::Inputs;
    let (proof, timings) = match (&args.opening, &args.values.input) {
        (Some(_), _) if !hides => bail!("proving: the circuit has its inputs in the open; leave out --opening"),
        (None, _) if hides => bail!(
            "proving: the circuit hides its inputs; name the opening of their hash by --opening, as `prove commit` writes it"
        ),
        (Some(path), None) => {
            let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let opening: Opening = serde_json::from_slice(&text)
                .with_context(|| format!("reading {}: it is no opening of `prove commit`", path.display()))?;
            folder.prove_hidden(&tool(&mut say)?, &opening, &mut say)?
        }
        (Some(path), Some(_)) => {
            let opening = new_opening(one_sample(program, &args.values)?, path)?;
            folder.prove_hidden(&tool(&mut say)?, &opening, &mut say)?
        }
        (None, _) => {
            let inputs = one_sample(program, &args.values)?;
            folder.prove(&tool(&mut say)?, &inputs, &mut say)?
        }
    };
    if let Some(hash) = &proof.inputs_hash {
        println!("inputs {hash}");
    }
    let text = serde_json::to_string_pretty(&proof)?;
    data::write(&args.proof, text.as_bytes())?;
    run::write_outputs(&args.output, program, proof.outputs, args.raw)?;
    print_timings(&timings);
    eprintln!("wrote {} and {}", args.output.display(), args.proof.display());
    Ok(())
}

fn verify(args: &VerifyArgs) -> Result<()> {
    let folder = open(&args.circuit)?;
    let circuit = folder.manifest();
    if circuit.srs.development && !args.any_srs {
        bail!("verifying the proof: the circuit's SRS is not the perpetual powers of tau, so whoever made it can forge proofs; --any-srs takes it all the same");
    }
    let text = fs::read(&args.proof).with_context(|| format!("reading {}", args.proof.display()))?;
    let proof: Proof = serde_json::from_slice(&text)
        .with_context(|| format!("reading {}: it is no proof of `prove run`", args.proof.display()))?;
    if !folder.verify(&proof)? {
        return Err(Invalid.into());
    }
    match (&proof.inputs_hash, &proof.weights_hash) {
        (Some(hash), _) => println!(
            "valid: the model {} gives these outputs for inputs of the hash {hash}",
            circuit.model_checksum
        ),
        (None, Some(hash)) => println!("valid: weights of the hash {hash} give these outputs for these inputs"),
        (None, None) => println!(
            "valid: the model {} gives these outputs for these inputs",
            circuit.model_checksum
        ),
    }
    for (kind, ports, tensors) in [
        ("input", &circuit.inputs, &proof.inputs),
        ("output", &circuit.outputs, &proof.outputs),
    ] {
        for (port, tensor) in ports.iter().zip(tensors) {
            let unit = (-f64::from(port.fraction_bits)).exp2();
            let shown: Vec<String> = tensor
                .iter()
                .take(8)
                .map(|q| (f64::from(*q) * unit).to_string())
                .collect();
            let more = if tensor.len() > shown.len() { ", .." } else { "" };
            println!("  {kind} {:<16} {}{more}", port.name, shown.join(", "));
        }
    }
    println!(
        "under the key {}, which is this folder's and was not rebuilt: that it is the model's takes setting the model up again, or trust in who did",
        circuit.vka_sha256
    );
    Ok(())
}

fn module(args: &ModuleArgs) -> Result<()> {
    let folder = open(&args.circuit)?;
    let wasm = folder.module(args.model_code_id.filter(|_| !args.unpublished))?;
    data::write(&args.output, &wasm)?;
    eprintln!("wrote {}: {} bytes", args.output.display(), wasm.len());
    Ok(())
}

fn check(args: &CheckArgs) -> Result<()> {
    if args.runs == 0 {
        bail!("comparing runs: --runs must be at least 1");
    }
    let mut say = said();
    let folder = open(&args.circuit)?;
    let tool = tool(&mut say)?;
    folder.compare(&tool, args.runs, &mut say)?;
    println!("{} runs of the circuit give the engine's bits", args.runs);
    Ok(())
}
