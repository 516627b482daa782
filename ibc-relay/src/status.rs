//! What is pending, and what may run out.

use std::{collections::BTreeMap, sync::Arc};

use aiinference_client::Coin;
use serde::Serialize;
use tendermint::Time;

use crate::{
    chain::Chain,
    config::Config,
    error::{RelayError, Result},
    packet::End,
    path::{Handle, Lane, Path},
    proto::channel::State,
    scan,
};

/// Everything that `status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub chains: Vec<ChainStatus>,
    pub clients: Vec<ClientStatus>,
    pub channels: Vec<DirectionStatus>,
    /// Channels that cannot be relayed, and what could not be read.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ChainStatus {
    pub id: String,
    pub height: u64,
    pub address: String,
    pub balance: Vec<Coin>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClientStatus {
    pub chain: String,
    pub client: String,
    pub tracks: String,
    pub height: u64,
    /// Seconds of the trusting period.
    pub trusting_period: u64,
    /// What is left of them.
    pub left: u64,
}

/// One direction of a channel.
#[derive(Clone, Debug, Serialize)]
pub struct DirectionStatus {
    pub from: String,
    pub port: String,
    pub channel: String,
    pub to: String,
    /// Whether the sending end is closed.
    pub closed: bool,
    /// Sent and not received.
    pub unreceived: usize,
    /// Answered, and the answer not brought back.
    pub unacknowledged: usize,
    /// Received, and the contract has not answered yet.
    pub unanswered: usize,
    /// Seconds since the oldest of them was sent, if the node's index tells.
    pub oldest: Option<u64>,
}

/// Asks both chains of every channel. What fails is among the problems; the rest is there all the same. `closed` are the
/// chains that could not be opened.
pub async fn status(config: &Config, handles: &BTreeMap<String, Arc<Handle>>, closed: &[RelayError]) -> Status {
    let (paths, refused) = Path::all(config, handles, &config.channels).await;
    let mut problems: Vec<String> = closed.iter().map(ToString::to_string).collect();
    problems.extend(refused.iter().map(|(name, error)| format!("{name}: {error}")));
    let mut status = Status {
        chains: Vec::new(),
        clients: Vec::new(),
        channels: Vec::new(),
        problems,
    };
    for handle in handles.values() {
        match chain(handle).await {
            Ok(chain) => status.chains.push(chain),
            Err(error) => status.problems.push(error.to_string()),
        }
    }
    for path in &paths {
        for side in &path.sides {
            status.clients.push(ClientStatus {
                chain: side.handle.chain.id().into(),
                client: side.client.id.clone(),
                tracks: side.client.tracks().id().into(),
                height: side.client.latest().height,
                trusting_period: side.client.rules().trusting_period.as_secs(),
                left: side.client.left().unwrap_or_default().as_secs(),
            });
        }
        for lane in &path.lanes {
            for from in 0..2 {
                match direction(path, lane, from).await {
                    Ok(direction) => status.channels.push(direction),
                    Err(error) => {
                        let chain = path.sides[from].handle.chain.id();
                        status
                            .problems
                            .push(format!("{} from {chain}: {error}", lane.ends[from]));
                    }
                }
            }
        }
    }
    status
}

async fn chain(handle: &Handle) -> Result<ChainStatus> {
    Ok(ChainStatus {
        id: handle.chain.id().into(),
        height: handle.chain.tip().await?,
        address: handle.wallet.address().into(),
        balance: handle.wallet.balance(&handle.chain).await?,
    })
}

async fn direction(path: &Path, lane: &Lane, from: usize) -> Result<DirectionStatus> {
    let [source, destination] = [from, 1 - from].map(|side| &path.sides[side].handle.chain);
    let [here, there] = [&lane.ends[from], &lane.ends[1 - from]];
    let closed = source.channel(here).await?.state == State::Closed as i32;
    let heights = (source.tip().await?, destination.tip().await?);
    let found = scan::pending(source, here, destination, there, heights).await?;
    let oldest = match found.open.keys().next() {
        Some(sequence) => sent_at(source, here, *sequence).await.ok().and_then(age),
        None => None,
    };
    Ok(DirectionStatus {
        from: source.id().into(),
        port: here.port.clone(),
        channel: here.channel.clone(),
        to: destination.id().into(),
        closed,
        unreceived: found.unreceived.len(),
        unacknowledged: found.answered.len(),
        unanswered: found
            .open
            .keys()
            .filter(|one| !found.unreceived.contains(one) && !found.answered.contains(one))
            .count(),
        oldest,
    })
}

async fn sent_at(source: &Chain, end: &End, sequence: u64) -> Result<Time> {
    let (_, height) = source.find_sent(end, sequence).await?;
    Ok(source.signed_header(height).await?.header.time)
}

fn age(time: Time) -> Option<u64> {
    Time::now().duration_since(time).ok().map(|age| age.as_secs())
}
