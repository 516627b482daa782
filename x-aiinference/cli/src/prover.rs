//! `aiinference prover`: the daemon that proves what a registry's requesters pay for.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use aiinference_client::printable;
use aiinference_prover::{Config, Snapshot, State, TEMPLATE};
use anyhow::{bail, Context, Result};
use clap::Subcommand;
use tokio::{
    runtime::Runtime,
    signal::unix::{signal, SignalKind},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference prove setup model.wasm --srs kzg12.srs -o credit.circuit
  aiinference prove module credit.circuit --model-code-id 6 -o circuit.wasm
  aiinference upload circuit.wasm --from prover --node URL
  aiinference prover init
  aiinference prover run

It takes requests for the circuits of its configuration, each with a bond, proves them and is paid. It may be killed at any
time: it goes on with what it began, and submits nothing twice. Logs go to standard error; RUST_LOG chooses them
(aiinference_prover=debug tells of every step). docs/prover.md tells more.")]
pub struct Args {
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "prover.toml",
        global = true,
        env = "AIINFERENCE_PROVER_CONFIG"
    )]
    config: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write a configuration to begin with; never over a file that is there
    Init,
    /// Check the configuration, the key, the circuits, and that the chain has them
    Check,
    /// Take requests and prove them, until SIGINT or SIGTERM
    Run {
        /// Serve Prometheus metrics there; loopback only
        #[arg(long, value_name = "ADDRESS")]
        metrics: Option<std::net::SocketAddr>,
    },
    /// Show the jobs, of a running prover or of one that ended
    Status {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn prover(args: &Args) -> Result<()> {
    match &args.task {
        Task::Init => init(&args.config),
        Task::Check => check(&args.config),
        Task::Run { metrics } => run(&args.config, *metrics),
        Task::Status { all, json } => status(&args.config, *all, *json),
    }
}

fn init(path: &Path) -> Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}; edit it, then run: aiinference prover check", path.display());
    Ok(())
}

fn check(path: &Path) -> Result<()> {
    let config = Config::read(path)?;
    let report = Runtime::new()?.block_on(aiinference_prover::check(&config))?;
    for line in report {
        println!("{}", printable(&line));
    }
    Ok(())
}

fn run(path: &Path, metrics: Option<std::net::SocketAddr>) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,aiinference_prover=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let config = Config::read(path)?;
    let runtime = Runtime::new().context("starting the part that talks to the network")?;
    let ended = runtime.block_on(async {
        if let Some(address) = metrics.or(config.metrics) {
            aiinference_prover::metrics::serve(address)?;
            tracing::info!("metrics at http://{address}/metrics");
        }
        aiinference_prover::run(config, ending()?).await?;
        Ok(())
    });
    // What is left runs until the process ends: it must not keep it from ending.
    runtime.shutdown_background();
    ended
}

/// Becomes true when the program is to end.
fn ending() -> Result<watch::Receiver<bool>> {
    let listening = "listening for signals";
    let mut interrupt = signal(SignalKind::interrupt()).context(listening)?;
    let mut terminate = signal(SignalKind::terminate()).context(listening)?;
    let (ends, ending) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        ends.send_replace(true);
        ends.closed().await;
    });
    Ok(ending)
}

fn status(path: &Path, all: bool, json: bool) -> Result<()> {
    let config = Config::read(path)?;
    let folder = config.path(&config.data);
    let Some(mut snapshot) = Snapshot::read(&folder)? else {
        bail!(
            "reading the jobs in {}: no prover has run with this configuration; start one with `aiinference prover run`",
            folder.display()
        );
    };
    if !all {
        snapshot.jobs.retain(|job| !job.state.is_over());
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&snapshot)?);
        return Ok(());
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    println!("prover   {}", printable(&snapshot.prover));
    println!("written  {} s ago", now.saturating_sub(snapshot.written));
    if snapshot.jobs.is_empty() {
        println!("no {}jobs", if all { "" } else { "open " });
    }
    for job in &snapshot.jobs {
        let mut line = format!("{:>8}  {:<10}  {}", job.request, job.state.name(), job.fee);
        if job.until > now && !job.state.is_over() {
            line += &format!("  {} s left", job.until - now);
        }
        if let Some(seconds) = job.seconds {
            line += &format!("  proven in {seconds:.1} s");
        }
        if let Some(hash) = &job.transaction {
            line += &format!("  {hash}");
        }
        if let (Some(error), true) = (&job.error, job.state != State::Done) {
            line += &format!("  {error}");
        }
        println!("{}", printable(&line));
    }
    Ok(())
}
