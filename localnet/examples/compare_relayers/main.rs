//! Two relayers on the same channels of the localnet, taking turns: round trips one at a time, then many packets at once.
//! The localnet is up and the channels are linked beforehand; `scripts/hermes.sh` brings Hermes and its configuration.
//!
//! The floor of a round trip is what the blocks that were really made allow to a relayer that takes no time: a proof of block
//! h needs the header of h + 1, and a transaction is in the first block proposed after it was sent.

mod watch;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aiinference_client::{Account, Gas, Json, Key, Msg, Options, DEFAULT_PATH};
use aiinference_localnet::{Localnet, Node, CONSUMER, PROVIDER};
use aiinference_types::v1::{self, model_ref, query};
use anyhow::{bail, ensure, Context, Result};
use clap::Parser;
use cosmrs::proto::traits::{Message, Name};
use cosmrs::proto::Any;
use ibc_proto::{cosmos::base::v1beta1::Coin, ibc::applications::transfer::v1::MsgTransfer};
use serde_json::{json, Value};
use watch::{Seen, Watch};

/// Blocks are proposed this long after the one before was committed: `timeout_commit` of the localnet.
const COMMIT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);
const MESSAGES: usize = 20;

/// Compares relayers on one localnet.
#[derive(Parser)]
struct Arguments {
    /// Folder of a localnet that is up.
    #[arg(long)]
    home: PathBuf,
    /// A relayer: NAME=COMMAND, run by a shell; give it twice or more.
    #[arg(long = "relayer", required = true)]
    relayers: Vec<String>,
    /// The consumer chain's end of an ICS-20 channel.
    #[arg(long)]
    transfer: String,
    /// The asking contract on the consumer chain, its channel, and a code id of the provider chain to ask for its description.
    #[arg(long, num_args = 3, value_names = ["CONTRACT", "CHANNEL", "CODE_ID"])]
    ask: Option<Vec<String>>,
    /// How often each relayer has its turn on each channel.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Round trips in one turn, one after the other.
    #[arg(long, default_value_t = 15)]
    singles: usize,
    /// Packets sent at once in one turn.
    #[arg(long, default_value_t = 200)]
    burst: usize,
    /// Where the figures go, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A channel, and how a packet is sent over it.
struct Route {
    name: &'static str,
    port: String,
    channel: String,
    message: Box<MessageOf>,
    gas: u64,
}

/// The message of an address that sends a packet.
type MessageOf = dyn Fn(&str) -> Result<Msg>;

/// What one relayer did on one channel.
#[derive(Default)]
struct Figures {
    blocks: Vec<u64>,
    milliseconds: Vec<f64>,
    above_floor: Vec<f64>,
    per_second: Vec<f64>,
    burst_packets: u64,
    burst_transactions: u64,
    burst_gas: i64,
    memory: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let net = Localnet::open(&arguments.home)?;
    let consumer = net.nodes_of(CONSUMER)?.swap_remove(0);
    let provider = net.nodes_of(PROVIDER)?.swap_remove(0);
    let account = account(&net, &consumer, "load0").await?;
    let mut relayers = Vec::new();
    for relayer in &arguments.relayers {
        let (name, command) = relayer.split_once('=').context("a relayer is NAME=COMMAND")?;
        relayers.push((name, command));
    }
    let mut all = Vec::new();
    for route in routes(&arguments) {
        let mut figures: Vec<Figures> = relayers.iter().map(|_| Figures::default()).collect();
        for round in 0..arguments.rounds {
            for index in 0..relayers.len() {
                // Who begins alternates.
                let index = (index + round) % relayers.len();
                let (name, command) = relayers[index];
                println!("{}, round {} of {}: {name}", route.name, round + 1, arguments.rounds);
                let figures = &mut figures[index];
                turn(&arguments, &route, command, [&consumer, &provider], &account, figures).await?;
            }
        }
        for ((name, _), figures) in relayers.iter().zip(&figures) {
            all.push(report(route.name, name, figures));
        }
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?).context("writing the figures")?;
    }
    Ok(())
}

async fn account(net: &Localnet, node: &Node, name: &str) -> Result<Account> {
    let words = std::fs::read_to_string(&net.plan().account(name)?.mnemonic_file)?;
    let key = Key::from_mnemonic(words.trim(), DEFAULT_PATH)?;
    let node = aiinference_client::Node::connect(&node.plan().rpc_url, None).await?;
    Ok(Account::open(&node, key, Options::default()).await?)
}

fn routes(arguments: &Arguments) -> Vec<Route> {
    let channel = arguments.transfer.clone();
    let transfer = MsgTransfer {
        source_port: "transfer".into(),
        source_channel: channel.clone(),
        token: Some(Coin {
            denom: "stake".into(),
            amount: "1".into(),
        }),
        // Any address of the other chain, which has the same prefix.
        receiver: String::new(),
        ..MsgTransfer::default()
    };
    let mut routes = vec![Route {
        name: "ICS-20",
        port: "transfer".into(),
        channel,
        gas: 200_000,
        message: Box::new(move |sender| {
            let transfer = MsgTransfer {
                sender: sender.into(),
                receiver: sender.into(),
                timeout_timestamp: in_ten_minutes()?,
                ..transfer.clone()
            };
            Ok(Msg::Any(Any {
                type_url: MsgTransfer::type_url(),
                value: transfer.encode_to_vec(),
            }))
        }),
    }];
    if let Some([contract, channel, code_id]) = arguments.ask.as_deref() {
        let query = v1::Query {
            operation: Some(query::Operation::Describe(v1::Describe {
                model: Some(v1::ModelRef {
                    reference: code_id.parse().ok().map(model_ref::Reference::CodeId),
                    checksum: vec![],
                }),
            })),
            gas_limit: 100_000_000_000,
            max_price: String::new(),
            memo: vec![],
        };
        let query = cosmwasm_std::Binary::from(prost::Message::encode_to_vec(&query));
        let ask = json!({"ask": {"channel": channel, "queries": [query], "denom": "", "timeout": {"seconds": 600}}});
        let contract = contract.clone();
        routes.push(Route {
            name: "aiinference-1",
            port: format!("wasm.{contract}"),
            channel: channel.clone(),
            gas: 600_000,
            message: Box::new(move |sender| {
                Ok(Msg::Execute {
                    sender: sender.into(),
                    contract: contract.clone(),
                    msg: Json::new(ask.to_string())?,
                    funds: vec![],
                })
            }),
        });
    }
    routes
}

fn in_ten_minutes() -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from((now + Duration::from_secs(600)).as_nanos())?)
}

/// A relayer's process; it ends when this is dropped.
struct Relayer(Child);

impl Relayer {
    fn start(command: &str) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::null());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Relayer(shell.spawn().with_context(|| format!("starting {command}"))?))
    }

    /// Resident bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }
}

impl Drop for Relayer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One relayer's turn on one channel.
async fn turn(
    arguments: &Arguments,
    route: &Route,
    command: &str,
    [source, other]: [&Node; 2],
    account: &Account,
    figures: &mut Figures,
) -> Result<()> {
    let here = Watch::start(source, &route.port, &route.channel).await?;
    let there = Watch::start(other, &route.port, &route.channel).await?;
    let mut relayer = Relayer::start(command)?;
    // The first packet waits until the relayer is ready, and warms it up.
    send(account, route, 1).await?;
    settle(&here, 1, &mut relayer).await?;
    for single in 0..arguments.singles {
        // Not always at the same point of a block.
        tokio::time::sleep(Duration::from_millis(single as u64 * 137 % 500)).await;
        let sequence = send(account, route, 1).await.map(|()| single as u64)?;
        settle(&here, 2 + single, &mut relayer).await?;
        // The block after the acknowledgement's tells when that one was proposed.
        tokio::time::sleep(2 * COMMIT).await;
        let (here, there) = (here.seen(), there.seen());
        let (packet, sent) = here.sent.last_key_value().context("a packet was sent")?;
        let acknowledged = here.acknowledged[packet];
        let floor = floor(&here, &there, *sent).with_context(|| format!("no floor for round trip {sequence}"))?;
        let since = |from: u64, to: u64| {
            let [from, to] = [from, to].map(|height| here.commits.get(&height).copied());
            Some(to?.checked_duration_since(from?)?.as_secs_f64() * 1e3)
        };
        figures.blocks.push(acknowledged - sent);
        figures.milliseconds.extend(since(*sent, acknowledged));
        figures.above_floor.extend(since(floor, acknowledged));
    }
    let counted = |watch: &Watch| (watch.seen().transactions, watch.seen().gas);
    let before = [counted(&here), counted(&there)];
    let mut hashes = Vec::new();
    let mut left = arguments.burst;
    while left > 0 {
        let count = left.min(MESSAGES);
        hashes.push(submit(account, route, count).await?);
        left -= count;
    }
    for hash in hashes {
        account.confirm(&hash).await?;
    }
    settle(&here, 1 + arguments.singles + arguments.burst, &mut relayer).await?;
    tokio::time::sleep(2 * COMMIT).await;
    for (watch, before) in [&here, &there].into_iter().zip(before) {
        let (transactions, gas) = counted(watch);
        figures.burst_transactions += transactions - before.0;
        figures.burst_gas += gas - before.1;
    }
    figures.burst_packets += arguments.burst as u64;
    figures.memory = figures.memory.max(relayer.memory());
    let seen = here.seen();
    let burst: Vec<_> = seen.sent.iter().skip(1 + arguments.singles).collect();
    let first = burst.iter().map(|(_, height)| **height).min();
    let last = burst
        .iter()
        .filter_map(|(sequence, _)| seen.acknowledged.get(sequence))
        .max();
    let (Some(first), Some(last)) = (first, last) else {
        bail!("the burst left no trace");
    };
    let took = seen.commits[last].duration_since(seen.commits[&first]);
    figures.per_second.push(arguments.burst as f64 / took.as_secs_f64());
    Ok(())
}

/// The block that could at best hold the acknowledgement of a packet sent in this one.
fn floor(here: &Seen, there: &Seen, sent: u64) -> Option<u64> {
    // The first block that is proposed after a moment.
    let next = |seen: &Seen, moment: Instant| {
        let mut proposed = seen
            .commits
            .iter()
            .map(|(height, commit)| (height + 1, *commit + COMMIT));
        proposed
            .find(|(_, proposed)| *proposed > moment)
            .map(|(height, _)| height)
    };
    let received = next(there, *here.commits.get(&(sent + 1))?)?;
    next(here, *there.commits.get(&(received + 1))?)
}

async fn submit(account: &Account, route: &Route, count: usize) -> Result<String> {
    let messages: Result<Vec<Msg>> = (0..count).map(|_| (route.message)(account.address())).collect();
    let gas = Gas::Limit(route.gas * count as u64 + 100_000);
    Ok(account.submit_with(&messages?, gas).await?)
}

async fn send(account: &Account, route: &Route, count: usize) -> Result<()> {
    let hash = submit(account, route, count).await?;
    account.confirm(&hash).await?;
    Ok(())
}

/// Waits until so many packets were sent and all of them are acknowledged.
async fn settle(watch: &Watch, packets: usize, relayer: &mut Relayer) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        watch.check()?;
        let (sent, acknowledged) = {
            let seen = watch.seen();
            let done = seen.sent.keys().filter(|packet| seen.acknowledged.contains_key(packet));
            (seen.sent.len(), done.count())
        };
        if sent >= packets && acknowledged == sent {
            return Ok(());
        }
        ensure!(relayer.0.try_wait()?.is_none(), "the relayer has ended");
        ensure!(
            Instant::now() < end,
            "{acknowledged} of {packets} packets are acknowledged"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn median<T: Copy + PartialOrd>(values: &[T]) -> Option<T> {
    let mut values = values.to_vec();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

fn report(route: &str, relayer: &str, figures: &Figures) -> Value {
    let packets = figures.burst_packets.max(1) as f64;
    let value = json!({
        "channel": route,
        "relayer": relayer,
        "round_trips": figures.blocks.len(),
        "blocks_median": median(&figures.blocks),
        "blocks_max": figures.blocks.iter().max(),
        "ms_median": median(&figures.milliseconds),
        "ms_above_floor_median": median(&figures.above_floor),
        "ms_above_floor_mean": figures.above_floor.iter().sum::<f64>() / figures.above_floor.len().max(1) as f64,
        "packets_per_second_median": median(&figures.per_second),
        "transactions_per_packet": figures.burst_transactions as f64 / packets,
        "gas_per_packet": figures.burst_gas as f64 / packets,
        "memory_bytes": figures.memory,
    });
    println!("{value}");
    value
}
