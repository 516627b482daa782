//! The relayer's command line.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use aiinference_relay::{
    config::{ChannelConfig, Config, EndConfig, TEMPLATE},
    handshake::{Linker, Wish},
    metrics,
    path::{Handle, Path, REWARDING},
    relay::Relay,
    said::Said,
    status::{status, Status},
    text::printable,
    RelayError, Result,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::{
    signal::unix::{signal, SignalKind},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

/// Relays packets between Cosmos chains: questions to models (channels of version aiinference-1), and any other ICS-4
/// channel.
///
/// It keeps nothing on disk: what is pending is read from the chains, so it may be killed at any time. Logs go to standard
/// error; RUST_LOG chooses them (aiinference_relay=debug tells of every packet).
///
/// Exit codes: 0 done; 1 an error; 2 wrong arguments; 3 `clear` left packets behind, or `status` could not read something or
/// found a channel that cannot be relayed.
#[derive(Parser)]
#[command(name = "aiinference-relay", version)]
struct Cli {
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "relay.toml",
        global = true,
        env = "AIINFERENCE_RELAY_CONFIG"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a channel between two ports: use or make light clients, a connection, and the channel. Can be run again at
    /// any point: it goes on with what is there
    Link(LinkArgs),
    /// Relay all channels of the configuration, in both directions, until SIGINT or SIGTERM
    Start {
        /// Serve Prometheus metrics there; loopback only
        #[arg(long, value_name = "ADDRESS")]
        metrics: Option<std::net::SocketAddr>,
    },
    /// Show what is pending on each channel, the light clients' trust that is left, and the accounts' balances
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Relay once what is pending, and end
    Clear,
    /// Write or check the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Write a configuration to begin with; never over a file that is there
    Init,
    /// Check the file, the keys, and that each chain answers
    Check,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Unordered,
    Ordered,
}

#[derive(Args)]
struct LinkArgs {
    /// The first end, as CHAIN:PORT
    #[arg(value_name = "CHAIN:PORT")]
    a: String,
    /// The other end; for contracts, the port is wasm.ADDRESS
    #[arg(value_name = "CHAIN:PORT")]
    b: String,
    /// The channel's version [default: ics20-1 for the port transfer, else aiinference-1]
    #[arg(long)]
    channel_version: Option<String>,
    /// The channel's ordering
    #[arg(long, value_enum, default_value = "unordered")]
    order: Order,
    /// Use this connection of the first chain
    #[arg(long, value_name = "ID", conflicts_with = "new_connection")]
    connection: Option<String>,
    /// Make new clients and a new connection, even if there are good ones
    #[arg(long)]
    new_connection: bool,
    /// Make a new channel, even if one is open
    #[arg(long)]
    new_channel: bool,
    /// Add the channel to the configuration file
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,aiinference_relay=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let result = runtime.block_on(run(cli));
    // What is left runs until the process ends: it must not keep it from ending.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(text: &str) -> ExitCode {
    eprintln!("error: {}", printable(text));
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Link(args) => link(&cli.config, args).await,
        Command::Start { metrics } => start(&cli.config, metrics).await,
        Command::Status { json } => show_status(&cli.config, json).await,
        Command::Clear => clear(&cli.config).await,
        Command::Config { command } => match command {
            ConfigCommand::Init => init(&cli.config),
            ConfigCommand::Check => check(&cli.config).await,
        },
    }
}

fn init(path: &std::path::Path) -> Result<ExitCode> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written.map_err(|error| RelayError::Config {
        path: path.into(),
        reason: format!("it cannot be written: {error}"),
    })?;
    println!(
        "wrote {}; edit its chains, then run: aiinference-relay link",
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

async fn check(path: &std::path::Path) -> Result<ExitCode> {
    let config = Config::read(path)?;
    let mut good = true;
    for chain in &config.chains {
        match check_chain(&config, &chain.id).await {
            Ok(line) => println!("{}", printable(&line)),
            Err(error) => {
                eprintln!("error: {}", printable(&error.to_string()));
                good = false;
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check_chain(config: &Config, id: &str) -> Result<String> {
    let handle = Handle::open(config, id).await?;
    let height = handle.chain.tip().await?;
    let balance = show_coins(&handle.wallet.balance(&handle.chain).await?);
    let address = handle.wallet.address();
    Ok(format!("{id}: block {height}, account {address} has {balance}"))
}

fn parse_end(text: &str) -> Result<(String, String)> {
    let split = text
        .split_once(':')
        .filter(|(chain, port)| !chain.is_empty() && !port.is_empty());
    let split = split.map(|(chain, port)| (chain.to_string(), port.to_string()));
    split.ok_or_else(|| RelayError::Local {
        doing: "reading an end of the channel",
        reason: format!("{text:?} is none; write CHAIN:PORT, like provider-1:transfer"),
    })
}

async fn link(path: &std::path::Path, args: LinkArgs) -> Result<ExitCode> {
    let config = Config::read(path)?;
    let ends = [parse_end(&args.a)?, parse_end(&args.b)?];
    let chains = [
        Handle::open(&config, &ends[0].0).await?,
        Handle::open(&config, &ends[1].0).await?,
    ];
    let version = args.channel_version.unwrap_or_else(|| match ends[0].1.as_str() {
        "transfer" => "ics20-1".into(),
        _ => REWARDING.into(),
    });
    let progress = |text: &str| eprintln!("==> {}", printable(text));
    let linker = Linker {
        chains,
        progress: &progress,
    };
    let wish = Wish {
        ports: [ends[0].1.clone(), ends[1].1.clone()],
        version,
        ordered: args.order == Order::Ordered,
        connection: args.connection,
        new_connection: args.new_connection,
        new_channel: args.new_channel,
    };
    let ids = linker.link(&wish).await?;
    let [a, b] = [0, 1].map(|side| EndConfig {
        chain: ends[side].0.clone(),
        port: ends[side].1.clone(),
        channel: ids[side].clone(),
    });
    let known = config
        .channels
        .iter()
        .any(|known| (&known.a, &known.b) == (&a, &b) || (&known.a, &known.b) == (&b, &a));
    let table = ChannelConfig {
        a,
        b,
        max_gas: None,
        minimum_reward: None,
    }
    .to_toml();
    print!("{table}");
    if args.write && !known {
        let written = std::fs::OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(format!("\n{table}").as_bytes()));
        written.map_err(|error| RelayError::Config {
            path: path.into(),
            reason: format!("the channel cannot be added: {error}"),
        })?;
        eprintln!("==> added the channel to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The chains that the configuration's channels need, and why some of them cannot be used.
async fn handles(config: &Config) -> (BTreeMap<String, Arc<Handle>>, Vec<RelayError>) {
    let ends = config
        .channels
        .iter()
        .flat_map(|channel| [&channel.a.chain, &channel.b.chain]);
    let (mut handles, mut closed) = (BTreeMap::new(), Vec::new());
    for id in ends.collect::<BTreeSet<_>>() {
        match Handle::open(config, id).await {
            Ok(handle) => drop(handles.insert(id.clone(), handle)),
            Err(error) => closed.push(error),
        }
    }
    (handles, closed)
}

/// Becomes true when the program is to end.
fn ending() -> Result<watch::Receiver<bool>> {
    let failed = |error: io::Error| RelayError::Local {
        doing: "listening for signals",
        reason: error.to_string(),
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
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

fn no_channels(path: &std::path::Path) -> RelayError {
    RelayError::Config {
        path: path.into(),
        reason: "it names no channels; make one with `aiinference-relay link --write`".into(),
    }
}

async fn start(path: &std::path::Path, address: Option<std::net::SocketAddr>) -> Result<ExitCode> {
    let config = Config::read(path)?;
    if config.channels.is_empty() {
        return Err(no_channels(path));
    }
    if let Some(address) = address.or(config.metrics) {
        metrics::serve(address)?;
        tracing::info!("metrics at http://{address}/metrics");
    }
    let mut ending = ending()?;
    // Channels that cannot be relayed now are tried again, while the others are relayed.
    let mut waiting = config.channels.clone();
    let mut open: BTreeMap<String, Arc<Handle>> = BTreeMap::new();
    let mut relays = tokio::task::JoinSet::new();
    let mut said = Said::default();
    while !waiting.is_empty() && !*ending.borrow() {
        let needed = waiting.iter().flat_map(|channel| [&channel.a.chain, &channel.b.chain]);
        for id in needed.collect::<BTreeSet<_>>() {
            if open.contains_key(id) {
                continue;
            }
            match Handle::open(&config, id).await {
                Ok(handle) => drop(open.insert(id.clone(), handle)),
                Err(error) => said.say(id, &error),
            }
        }
        let (ready, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|channel| open.contains_key(&channel.a.chain) && open.contains_key(&channel.b.chain));
        waiting = rest;
        let (paths, refused) = Path::all(&config, &open, &ready).await;
        for (name, error) in refused {
            said.say(&name, &error);
        }
        for channel in ready {
            let (a, b) = (channel.a.end(), channel.b.end());
            let relayed = paths.iter().any(|path| {
                let ids = [0, 1].map(|side| path.sides[side].handle.chain.id());
                path.lanes.iter().any(|lane| {
                    (ids == [&channel.a.chain, &channel.b.chain] && lane.ends == [a.clone(), b.clone()])
                        || (ids == [&channel.b.chain, &channel.a.chain] && lane.ends == [b.clone(), a.clone()])
                })
            });
            if !relayed {
                waiting.push(channel);
            }
        }
        for path in paths {
            let lanes: Vec<&str> = path.lanes.iter().map(|lane| lane.name.as_str()).collect();
            tracing::info!(path = path.name(), channels = lanes.join(", "), "relaying");
            relays.spawn(Relay::new(Arc::new(path), config.scan_interval(), false).run(ending.clone()));
        }
        if !waiting.is_empty() {
            tokio::select! {
                _ = tokio::time::sleep(std::time::Duration::from_secs(10)) => {}
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
    }
    let _ = ending.wait_for(|ending| *ending).await;
    while relays.join_next().await.is_some() {}
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

async fn clear(path: &std::path::Path) -> Result<ExitCode> {
    let config = Config::read(path)?;
    if config.channels.is_empty() {
        return Err(no_channels(path));
    }
    let ending = ending()?;
    let (handles, closed) = handles(&config).await;
    for error in closed {
        eprintln!("==> {}", printable(&error.to_string()));
    }
    let (paths, refused) = Path::all(&config, &handles, &config.channels).await;
    let mut complete = refused.is_empty();
    for (name, error) in refused {
        eprintln!("==> {name}: {}", printable(&error.to_string()));
    }
    let mut relays = tokio::task::JoinSet::new();
    for path in paths {
        let name = path.name();
        eprintln!("==> {name}: looking for pending packets");
        let relay = Relay::new(Arc::new(path), config.scan_interval(), true).run(ending.clone());
        relays.spawn(async move { (name, relay.await) });
    }
    while let Some(done) = relays.join_next().await {
        let Ok((name, done)) = done else {
            complete = false;
            continue;
        };
        eprintln!(
            "==> {name}: {} received, {} acknowledged, {} timed out, {} left",
            done.received, done.acknowledged, done.timed_out, done.left
        );
        if done.lost > 0 {
            eprintln!(
                "    {} were received, and their channel is closed: nobody can bring their answers any more",
                done.lost
            );
        }
        if let (Some(reason), true) = (done.failed, done.left > 0) {
            eprintln!("    {}", printable(&reason));
        }
        complete &= done.left == 0;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

async fn show_status(path: &std::path::Path, json: bool) -> Result<ExitCode> {
    let config = Config::read(path)?;
    let (handles, closed) = handles(&config).await;
    let status = status(&config, &handles, &closed).await;
    let text = match json {
        true => serde_json::to_string_pretty(&status).map_err(|error| RelayError::Local {
            doing: "writing the status as JSON",
            reason: error.to_string(),
        })?,
        false => show(&status),
    };
    let mut out = io::stdout().lock();
    // JSON breaks lines itself, and has no others.
    let shown = text.lines().try_for_each(|line| writeln!(out, "{}", printable(line)));
    // Nobody may be reading any more.
    let _ = shown;
    Ok(if status.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn show(status: &Status) -> String {
    let mut lines = Vec::new();
    for chain in &status.chains {
        lines.push(format!(
            "{}: block {}, account {} has {}",
            chain.id,
            chain.height,
            chain.address,
            show_coins(&chain.balance)
        ));
    }
    for client in &status.clients {
        let percent = client.left * 100 / client.trusting_period.max(1);
        lines.push(format!(
            "{} on {}: follows {} to block {}, trusted for {} h ({percent}%)",
            client.client,
            client.chain,
            client.tracks,
            client.height,
            client.left / 3600
        ));
    }
    for one in &status.channels {
        let oldest = one.oldest.map(|seconds| format!(", oldest sent {seconds} s ago"));
        lines.push(format!(
            "{}/{} on {} -> {}: {}{} unreceived, {} unanswered, {} unacknowledged{}",
            one.port,
            one.channel,
            one.from,
            one.to,
            if one.closed { "closed; " } else { "" },
            one.unreceived,
            one.unanswered,
            one.unacknowledged,
            oldest.unwrap_or_default()
        ));
    }
    lines.extend(status.problems.iter().map(|problem| format!("problem: {problem}")));
    // A line break in what others say is no line of ours.
    lines.iter().map(|line| printable(line) + "\n").collect()
}

fn show_coins(coins: &[aiinference_client::Coin]) -> String {
    match coins {
        [] => "nothing".into(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
