//! `make differential`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use aiinference_differential::Kind;
use aiinference_differential_harness::{
    run, Failure, Guest, Lane, Machine, Model, Native, Platform, Task, Threads, Worker,
};
use anyhow::Context;
use clap::Parser;

/// Runs the same random operations, graphs and models on every backend at hand, and compares every bit.
///
/// Backends are the sets of kernels of this machine; those of the guest in wasmer, with the compiler that chains use; and
/// those of other machines, asked through a program that runs differential-worker there.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Random operations, all kinds equally often.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Random graphs.
    #[arg(long, default_value_t = 10_000)]
    graphs: u64,
    /// Inputs for each model: all least, all largest, then random ones.
    #[arg(long, default_value_t = 6)]
    inputs: u64,
    /// First seed, of operations and of graphs: other seeds are other cases.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Tasks to leave out at the beginning: the progress of a run that was stopped tells how many are done.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Tasks at work at once; by default as many as there are cores.
    #[arg(long)]
    jobs: Option<usize>,
    /// Threads that run each graph and model at once.
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// The guest, as scripts/build-contracts.sh vm-ext/differential builds it.
    #[arg(long)]
    guest: Option<PathBuf>,
    /// Another machine: its name, and the command that runs differential-worker on it.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    worker: Vec<(String, Vec<String>)>,
    /// Models: modules, golden vectors, or folders of both.
    models: Vec<PathBuf>,
}

fn named(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, command) = text.split_once('=').ok_or("write NAME=COMMAND")?;
    let words: Vec<String> = command.split_whitespace().map(String::from).collect();
    match words.is_empty() {
        true => Err("the command is empty".into()),
        false => Ok((name.into(), words)),
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let machine = match &args.guest {
        Some(path) => {
            let wasm = std::fs::read(path).with_context(|| format!("reading the guest {}", path.display()))?;
            Some(Machine::new(&wasm)?)
        }
        None => None,
    };
    let lane = |threads: bool| -> Result<Lane, Failure> {
        let mut platforms: Vec<Box<dyn Platform>> = vec![Box::new(Native)];
        if threads {
            platforms.push(Box::new(Threads(args.threads)));
        }
        if let Some(machine) = &machine {
            platforms.push(Box::new(Guest::new(machine)?));
        }
        for (name, command) in &args.worker {
            platforms.push(Box::new(Worker::new(name, command.clone())));
        }
        Ok(Lane::new(platforms))
    };
    let backends = lane(false)?.backends()?;
    eprintln!("differential: backends: {}", backends.join(", "));

    // What is run by several threads at once beside, and what is too small to be worth it.
    let mut whole = Vec::new();
    for model in Model::read_all(&args.models)? {
        whole.extend(Task::all(&model.name, &model.kind, 0, args.inputs, 2));
    }
    whole.extend(Task::all("graph", &Kind::Graph, args.first, args.graphs, 100));
    let single = Task::all("operation", &Kind::Operation, args.first, args.operations, 5000);
    let tasks = whole.len() + single.len();

    let jobs = args
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let begin = Instant::now();
    let said = Mutex::new(begin);
    let progress = |done: usize| {
        let mut said = said.lock().unwrap_or_else(|e| e.into_inner());
        if said.elapsed() > Duration::from_secs(10) {
            *said = Instant::now();
            let seconds = begin.elapsed().as_secs();
            eprintln!("differential: {done} of {tasks} tasks after {seconds} s (--skip {done} goes on from here)");
        }
    };
    let skipped = args.skip.min(whole.len());
    let mut found = run(&whole[skipped..], jobs, || lane(true), |done| progress(skipped + done))?;
    let skipped = args.skip.saturating_sub(whole.len()).min(single.len());
    let before = whole.len() + skipped;
    found.extend(run(
        &single[skipped..],
        jobs,
        || lane(false),
        |done| progress(before + done),
    )?);

    for found in &found {
        println!("{}: {}", found.name, found.difference);
        let seed = found.difference.seed;
        let again = match found.kind {
            Kind::Operation => format!("--first {seed} --operations 1 --graphs 0 --inputs 0"),
            Kind::Graph => format!("--first {seed} --operations 0 --graphs 1 --inputs 0"),
            Kind::Model { .. } => format!("--operations 0 --graphs 0 --inputs {} {}", seed + 1, found.name),
        };
        println!("  again: make differential DIFFERENTIAL='{again}'");
    }
    let models = args.models.len();
    if models > 0 {
        let runs: u64 = whole
            .iter()
            .filter(|task| matches!(task.kind, Kind::Model { .. }))
            .map(|task| task.count)
            .sum();
        println!(
            "{runs} runs of models, each on {} threads at once as well, as are graphs",
            args.threads
        );
    }
    println!(
        "differential: {} operations, {} graphs, {} backends, {} differences",
        args.operations,
        args.graphs,
        backends.len(),
        found.len()
    );
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
