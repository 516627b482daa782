//! `aiinference-localnet`: real chains on one machine, up and down.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aiinference_localnet::{show_logs, Error, Join, Localnet, NodeOptions, Result, Settings, Status, PROVIDER};
use clap::{Args, Parser, Subcommand};

/// A node answers within this time of its start.
const PATIENCE: Duration = Duration::from_secs(120);
/// A node that catches up has a new block within this time; the first after it found a snapshot.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Two real chains on this machine: provider-1, four validators on our libwasmvm, and consumer-1, one validator on the stock
/// one, all on the same unmodified wasmd.
///
/// Nodes run in the background, listen on loopback only, and are ended by `down`. The exit code is 0 when all went
/// well, 1 on an error (and when `status` finds a node dead or in disagreement), 2 on wrong arguments.
#[derive(Parser)]
#[command(name = "aiinference-localnet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Home {
    /// The folder of everything: homes, logs, keys, and localnet.json, which lists them
    #[arg(long, value_name = "DIR", default_value = "target/localnet")]
    home: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Make the chains if there are none, start the nodes that do not run, wait until both make blocks
    Up {
        #[command(flatten)]
        home: Home,
        /// The folder of the libwasmvm.x86_64.so that provider-1 runs
        #[arg(long, value_name = "DIR", default_value = "target/libwasmvm")]
        library: PathBuf,
        /// The folder that scripts/wasmd.sh filled: wasmd, and the stock library in stock/
        #[arg(long, value_name = "DIR", default_value = "target/wasmd")]
        wasmd: PathBuf,
        /// The first of 200 ports; with the default, RPC of the first validator is the customary 26657
        #[arg(long, value_name = "PORT", default_value_t = 26650)]
        base_port: u16,
    },
    /// Stop every node; chains and keys stay
    Down {
        #[command(flatten)]
        home: Home,
    },
    /// Show every node: process, height, state, peers, kernels, memory
    Status {
        #[command(flatten)]
        home: Home,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the end of the logs
    Logs {
        /// A node's name, as `status` shows it; all nodes by default
        node: Option<String>,
        #[command(flatten)]
        home: Home,
        /// Go on showing what is added
        #[arg(short, long)]
        follow: bool,
        /// How many lines of each log
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
    },
    /// Start one node that does not run
    Start {
        /// A node's name, as `status` shows it
        node: String,
        #[command(flatten)]
        home: Home,
    },
    /// Stop one node
    Stop {
        /// A node's name, as `status` shows it
        node: String,
        #[command(flatten)]
        home: Home,
        /// As a power cut would: with SIGKILL
        #[arg(long)]
        kill: bool,
    },
    /// Add a full node that runs what the chain's first validator runs, and wait until it has caught up
    Add {
        /// Its name
        node: String,
        #[command(flatten)]
        home: Home,
        /// The chain it joins
        #[arg(long, value_name = "ID", default_value = PROVIDER)]
        chain: String,
        /// Take the state from a snapshot of the others instead of executing every block
        #[arg(long)]
        state_sync: bool,
        /// The folder of another libwasmvm.x86_64.so than the chain's validators have
        #[arg(long, value_name = "DIR")]
        library: Option<PathBuf>,
    },
    /// Stop a node that was added, and remove its data
    Remove {
        /// A node's name, as `status` shows it
        node: String,
        #[command(flatten)]
        home: Home,
    },
    /// Stop every node and remove the home folder: the chains are lost
    Reset {
        #[command(flatten)]
        home: Home,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Who reads our output has read enough.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<bool> {
    let say = |line: &str| eprintln!("==> {line}");
    match command {
        Command::Up {
            home,
            library,
            wasmd,
            base_port,
        } => {
            let settings = Settings {
                home: home.home,
                wasmd,
                library,
                base_port,
            };
            let net = Localnet::up(&settings, &say).await?;
            say(&format!(
                "up; {} lists chains, nodes and accounts",
                net.home().join(aiinference_localnet::FILE).display()
            ));
        }
        Command::Down { home } => {
            Localnet::open(home.home)?.down(&say).await?;
            say("down");
        }
        Command::Status { home, json } => {
            let status = Status::of(&Localnet::open(home.home)?).await?;
            let text = if json {
                format!("{:#}\n", serde_json::json!(status))
            } else {
                status.to_string()
            };
            let failed = |source| Error::Io {
                doing: "writing",
                path: "the standard output".into(),
                source,
            };
            io::stdout().write_all(text.as_bytes()).map_err(failed)?;
            return Ok(status.is_healthy());
        }
        Command::Logs {
            node,
            home,
            follow,
            lines,
        } => {
            let net = Localnet::open(home.home)?;
            let nodes = match node {
                Some(name) => vec![net.plan().node(&name)?.clone()],
                None => net.plan().nodes().cloned().collect(),
            };
            show_logs(&nodes, lines, follow, &mut io::stdout()).await?;
        }
        Command::Start { node, home } => {
            let node = Localnet::open(home.home)?.node(&node)?;
            let started = node.start()?;
            node.ready(PATIENCE).await?;
            say(&format!(
                "{} {}",
                node.name(),
                if started { "started" } else { "runs already" }
            ));
        }
        Command::Stop { node, home, kill } => {
            let node = Localnet::open(home.home)?.node(&node)?;
            if kill {
                node.kill().await?;
            } else {
                node.stop().await?;
            }
            say(&format!("{} stopped", node.name()));
        }
        Command::Add {
            node,
            home,
            chain,
            state_sync,
            library,
        } => {
            let mut net = Localnet::open(home.home)?;
            let first = net.plan().chain(&chain)?.nodes.first().map(NodeOptions::like);
            let mut options = first.unwrap_or_default();
            options.library = library.unwrap_or(options.library);
            let join = if state_sync { Join::StateSync } else { Join::Genesis };
            say(&format!("adding {node} to {chain}"));
            let node = net.add_node(&chain, &node, join, &options).await?;
            say(&format!(
                "{} answers at {}; waiting until it has caught up",
                node.name(),
                node.plan().rpc_url
            ));
            node.caught_up(CATCH_UP).await?;
            say(&format!("{} is at height {}", node.name(), node.height().await?));
        }
        Command::Remove { node, home } => {
            Localnet::open(home.home)?.remove_node(&node).await?;
            say(&format!("{node} removed"));
        }
        Command::Reset { home } => Localnet::reset(home.home, &say).await?,
    }
    Ok(true)
}
