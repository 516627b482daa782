//! `aiinference-localnet`: real chains on one machine, up and down.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use aiinference_localnet::{show_logs, Localnet, Result, Settings, Status};
use clap::{Args, Parser, Subcommand};

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
            if json {
                println!("{:#}", serde_json::json!(status));
            } else {
                print!("{status}");
            }
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
        Command::Reset { home } => Localnet::reset(home.home, &say).await?,
    }
    Ok(true)
}
