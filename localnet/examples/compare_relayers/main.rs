//! Our relayer and others on the same channels of the localnet, taking turns: round trips one at a time, then many packets at
//! once. `make compare-relayers` runs it beside Hermes.
//!
//! The floor of a round trip is what the blocks that were really made allow to a relayer that takes no time: a proof of block
//! h needs the header of h + 1, and a transaction is in the first block proposed after it was sent.

#[path = "../../tests/inference/support.rs"]
#[allow(dead_code)]
mod support;

mod setup;
mod watch;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aiinference_client::{Account, Gas, Msg};
use aiinference_localnet::{Localnet, Node, CONSUMER, PROVIDER};
use anyhow::{bail, ensure, Context, Result};
use clap::Parser;
use cosmrs::proto::traits::{Message, Name};
use cosmrs::proto::Any;
use ibc_proto::{cosmos::base::v1beta1::Coin, ibc::applications::transfer::v1::MsgTransfer};
use serde_json::{json, Value};
use setup::Linked;
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
    /// Another relayer: NAME=COMMAND, run by a shell.
    #[arg(long = "beside")]
    others: Vec<String>,
    /// Only channels with this in their version.
    #[arg(long, default_value = "")]
    only: String,
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
    /// The chain that sends.
    from: &'static str,
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
    /// Milliseconds from the block that proves a packet, or its answer, until the transaction that carries it is at the node.
    reaction: Vec<f64>,
    above_floor: Vec<f64>,
    floor_blocks: Vec<u64>,
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
    let accounts = [
        support::account(&net, &consumer, "load0").await,
        support::account(&net, &provider, "load0").await,
    ];
    let linked = setup::link(&net, &consumer, &provider).await?;
    let mut relayers = vec![("aiinference-relay", linked.command.as_str())];
    for relayer in &arguments.others {
        relayers.push(relayer.split_once('=').context("a relayer is NAME=COMMAND")?);
    }
    let mut all = Vec::new();
    for route in routes(&linked) {
        if !route.name.contains(&arguments.only) {
            continue;
        }
        let mut figures: Vec<Figures> = relayers.iter().map(|_| Figures::default()).collect();
        for round in 0..arguments.rounds {
            for index in 0..relayers.len() {
                // Who begins alternates.
                let index = (index + round) % relayers.len();
                let (name, command) = relayers[index];
                let (rounds, route_name, from) = (arguments.rounds, route.name, route.from);
                println!("{route_name} from {from}, round {} of {rounds}: {name}", round + 1);
                let ends = if from == CONSUMER {
                    [&consumer, &provider]
                } else {
                    [&provider, &consumer]
                };
                let account = &accounts[usize::from(from == PROVIDER)];
                turn(&arguments, &route, command, ends, account, &mut figures[index]).await?;
            }
        }
        for ((name, _), figures) in relayers.iter().zip(&figures) {
            all.push(report(&route, name, figures));
        }
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?).context("writing the figures")?;
    }
    Ok(())
}

fn routes(linked: &Linked) -> Vec<Route> {
    let (contract, ask) = (linked.client.clone(), linked.ask.clone());
    let questions = Route {
        name: "aiinference-1",
        from: CONSUMER,
        port: format!("wasm.{contract}"),
        channel: linked.channel.clone(),
        gas: 600_000,
        message: Box::new(move |sender| {
            Ok(Msg::Execute {
                sender: sender.into(),
                contract: contract.clone(),
                msg: ask.clone(),
                funds: vec![],
            })
        }),
    };
    let [consumer, provider] = &linked.transfer;
    vec![transfers(PROVIDER, provider), transfers(CONSUMER, consumer), questions]
}

fn transfers(from: &'static str, channel: &str) -> Route {
    let transfer = MsgTransfer {
        source_port: "transfer".into(),
        source_channel: channel.into(),
        token: Some(Coin {
            denom: "stake".into(),
            amount: "1".into(),
        }),
        ..MsgTransfer::default()
    };
    Route {
        name: "ics20-1",
        from,
        port: "transfer".into(),
        channel: channel.into(),
        gas: 200_000,
        message: Box::new(move |sender| {
            let transfer = MsgTransfer {
                sender: sender.into(),
                // An address of the other chain, which has the same prefix.
                receiver: sender.into(),
                timeout_timestamp: in_ten_minutes()?,
                ..transfer.clone()
            };
            Ok(Msg::Any(Any {
                type_url: MsgTransfer::type_url(),
                value: transfer.encode_to_vec(),
            }))
        }),
    }
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
        send(account, route, 1).await?;
        settle(&here, 2 + single, &mut relayer).await?;
        // The block after the acknowledgement's tells when that one was proposed.
        tokio::time::sleep(2 * COMMIT).await;
        let (here, there) = (here.seen(), there.seen());
        let (packet, sent) = here.sent.last_key_value().context("a packet was sent")?;
        let acknowledged = here.acknowledged[packet];
        let received = there.received.get(packet).copied().unwrap_or_default();
        let floor = floor(&here, &there, *sent).context("a watch saw no block that could have been in time")?;
        println!(
            "  packet {packet}: sent in {sent}, received in {received} (at best {}), acknowledged in {acknowledged} (at best {})",
            floor.received, floor.acknowledged
        );
        let since = |from: u64, to: u64| {
            let [from, to] = [from, to].map(|height| here.commits.get(&height).copied());
            Some(to?.checked_duration_since(from?)?.as_secs_f64() * 1e3)
        };
        let reaction = |proves: Option<&Instant>, there: &Seen| {
            let arrived = there.arrivals.iter().find(|arrival| Some(*arrival) > proves)?;
            Some(arrived.duration_since(*proves?).as_secs_f64() * 1e3)
        };
        figures.reaction.extend(reaction(here.commits.get(&(sent + 1)), &there));
        figures
            .reaction
            .extend(reaction(there.commits.get(&(received + 1)), &here));
        figures.blocks.push(acknowledged - sent);
        figures.floor_blocks.push(floor.acknowledged - sent);
        figures.milliseconds.extend(since(*sent, acknowledged));
        figures.above_floor.extend(since(floor.acknowledged, acknowledged));
    }
    let counted = |watch: &Watch| {
        let seen = watch.seen();
        (seen.transactions, seen.gas)
    };
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

/// The blocks that could at best hold what becomes of a packet.
struct Floor {
    received: u64,
    acknowledged: u64,
}

/// The floor of a packet that was sent in this block.
fn floor(here: &Seen, there: &Seen, sent: u64) -> Option<Floor> {
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
    let acknowledged = next(here, *there.commits.get(&(received + 1))?)?;
    Some(Floor { received, acknowledged })
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

fn report(route: &Route, relayer: &str, figures: &Figures) -> Value {
    let packets = figures.burst_packets.max(1) as f64;
    let value = json!({
        "channel": route.name,
        "from": route.from,
        "relayer": relayer,
        "round_trips": figures.blocks.len(),
        "blocks_median": median(&figures.blocks),
        "blocks_floor_median": median(&figures.floor_blocks),
        "blocks_max": figures.blocks.iter().max(),
        "ms_median": median(&figures.milliseconds),
        "ms_reaction_median": median(&figures.reaction),
        "ms_reaction_max": figures.reaction.iter().copied().reduce(f64::max),
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
