//! What is pending, and what may run out.

use std::{collections::BTreeMap, sync::Arc};

use aiinference_client::Coin;
use serde::Serialize;
use tendermint::Time;

use crate::{
    config::Config,
    error::Result,
    path::{Handle, Path},
    scan,
};

/// Everything that `status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub chains: Vec<ChainStatus>,
    pub clients: Vec<ClientStatus>,
    pub channels: Vec<DirectionStatus>,
    /// Channels that cannot be relayed.
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
    /// Sent and not received.
    pub unreceived: usize,
    /// Answered, and the answer not brought back.
    pub unacknowledged: usize,
    /// Received, and the contract has not answered yet.
    pub unanswered: usize,
    /// Seconds since the oldest of them was sent, if the node's index tells.
    pub oldest: Option<u64>,
}

/// Asks both chains of every channel.
pub async fn status(config: &Config, handles: &BTreeMap<String, Arc<Handle>>) -> Result<Status> {
    let (paths, refused) = Path::all(config, handles, &config.channels).await;
    let mut status = Status {
        chains: Vec::new(),
        clients: Vec::new(),
        channels: Vec::new(),
        problems: refused.iter().map(|(name, error)| format!("{name}: {error}")).collect(),
    };
    for handle in handles.values() {
        status.chains.push(ChainStatus {
            id: handle.chain.id().into(),
            height: handle.chain.tip().await?,
            address: handle.wallet.address().into(),
            balance: handle.wallet.balance(&handle.chain).await?,
        });
    }
    for path in &paths {
        for side in &path.sides {
            status.clients.push(ClientStatus {
                chain: side.handle.chain.id().into(),
                client: side.client.id.clone(),
                tracks: side.client.tracks().id().into(),
                height: side.client.latest().height,
                trusting_period: side.client.trusting_period.as_secs(),
                left: side.client.left().unwrap_or_default().as_secs(),
            });
        }
        for lane in &path.lanes {
            for from in 0..2 {
                let [source, destination] = [from, 1 - from].map(|side| &path.sides[side].handle.chain);
                let [here, there] = [&lane.ends[from], &lane.ends[1 - from]];
                let heights = (source.tip().await?, destination.tip().await?);
                let found = scan::pending(source, here, destination, there, heights).await?;
                let oldest = match found.open.keys().next() {
                    Some(sequence) => match source.find_sent(here, *sequence).await {
                        Ok((_, height)) => age(source.signed_header(height).await?.header.time),
                        Err(_) => None,
                    },
                    None => None,
                };
                status.channels.push(DirectionStatus {
                    from: source.id().into(),
                    port: here.port.clone(),
                    channel: here.channel.clone(),
                    to: destination.id().into(),
                    unreceived: found.unreceived.len(),
                    unacknowledged: found.answered.len(),
                    unanswered: found
                        .open
                        .keys()
                        .filter(|one| !found.unreceived.contains(one) && !found.answered.contains(one))
                        .count(),
                    oldest,
                });
            }
        }
    }
    Ok(status)
}

fn age(time: Time) -> Option<u64> {
    Time::now().duration_since(time).ok().map(|age| age.as_secs())
}
