//! Two chains, the connection between them, and its channels.

use std::{collections::BTreeMap, sync::Arc};

use aiinference_client::Coin;

use crate::{
    chain::Chain,
    config::{ChannelConfig, Config},
    error::{RelayError, Result},
    light::{Headers, LightClient},
    packet::End,
    proto::channel::{self, Order, State},
    wallet::Wallet,
    watch::Watched,
};

/// The version of channels whose answering contract tells what relaying pays.
pub const REWARDING: &str = "aiinference-1";

/// A chain that is relayed for: asked, paid on, and followed.
pub struct Handle {
    pub chain: Arc<Chain>,
    pub headers: Arc<Headers>,
    pub wallet: Wallet,
    pub watched: Watched,
}

impl Handle {
    /// Opens a chain of the configuration.
    pub async fn open(config: &Config, id: &str) -> Result<Arc<Self>> {
        let settings = config.chain(id)?;
        let key = settings.key(&config.folder)?;
        let chain = Arc::new(Chain::new(settings));
        let headers = Arc::new(Headers::new(chain.clone()));
        Ok(Arc::new(Handle {
            wallet: Wallet::open(&chain, key).await?,
            watched: Watched::start(headers.clone()),
            chain,
            headers,
        }))
    }
}

/// One of the two chains of a path.
pub struct Side {
    pub handle: Arc<Handle>,
    pub connection: String,
    /// The client on this chain that follows the other one.
    pub client: Arc<LightClient>,
}

impl Side {
    /// A header of its chain did not verify: its blocks are heard anew, from another node if there is one.
    pub fn doubt(&self) {
        self.handle.chain.next_node();
        self.handle.watched.doubt();
    }
}

/// A channel on a path.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its ends, in the order of the path's sides.
    pub ends: [End; 2],
    pub ordered: bool,
    /// The most gas for one packet's message.
    pub max_gas: Option<u64>,
    /// The least reward for receiving a packet.
    pub reward: Option<Coin>,
    /// Whether the contracts on it tell what relaying pays.
    pub rewarding: bool,
    /// For logs and metrics.
    pub name: String,
}

/// Two chains that know one another through a connection.
pub struct Path {
    pub sides: [Side; 2],
    pub lanes: Vec<Lane>,
}

/// A channel that cannot be relayed, and why.
pub type Refused = (String, RelayError);

impl Path {
    /// The paths of a configuration's channels. A channel that cannot be relayed is left out, and told.
    pub async fn all(
        config: &Config,
        handles: &BTreeMap<String, Arc<Handle>>,
        channels: &[ChannelConfig],
    ) -> (Vec<Path>, Vec<Refused>) {
        let mut paths: BTreeMap<[(String, String); 2], Path> = BTreeMap::new();
        let mut refused = Vec::new();
        for channel in channels {
            let name = format!(
                "{}/{} - {}/{}",
                channel.a.chain, channel.a.channel, channel.b.chain, channel.b.channel
            );
            if let Err(error) = add(config, handles, channel, &mut paths).await {
                refused.push((name, error));
            }
        }
        (paths.into_values().collect(), refused)
    }

    /// The lane and side whose end this is.
    pub fn lane(&self, side: usize, end: &End) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.ends[side] == *end)
    }

    /// For logs.
    pub fn name(&self) -> String {
        let [a, b] = &self.sides;
        format!("{} - {}", a.handle.chain.id(), b.handle.chain.id())
    }
}

async fn add(
    config: &Config,
    handles: &BTreeMap<String, Arc<Handle>>,
    channel: &ChannelConfig,
    paths: &mut BTreeMap<[(String, String); 2], Path>,
) -> Result<()> {
    let handle = |id: &str| {
        let found = handles.get(id).cloned();
        found.ok_or_else(|| match config.chain(id) {
            Ok(_) => RelayError::NoChain { chain: id.into() },
            Err(unknown) => unknown,
        })
    };
    let chains = [handle(&channel.a.chain)?, handle(&channel.b.chain)?];
    let ends = [channel.a.end(), channel.b.end()];
    let (state_a, connection_a) = opened(&chains[0].chain, &ends[0], &ends[1]).await?;
    let (_, connection_b) = opened(&chains[1].chain, &ends[1], &ends[0]).await?;
    let reward = channel.reward().map_err(|reason| RelayError::Mismatch {
        what: "minimum_reward".into(),
        reason,
    })?;
    let mut lane = Lane {
        name: format!("{}/{}", chains[0].chain.id(), ends[0].channel),
        ends,
        ordered: state_a.ordering == Order::Ordered as i32,
        max_gas: channel.max_gas,
        reward,
        rewarding: state_a.version == REWARDING,
    };
    let mut key = [
        (chains[0].chain.id().to_string(), connection_a),
        (chains[1].chain.id().to_string(), connection_b),
    ];
    let mut chains = chains;
    if key[0] > key[1] {
        key.swap(0, 1);
        chains.swap(0, 1);
        lane.ends.swap(0, 1);
    }
    if let Some(path) = paths.get_mut(&key) {
        path.lanes.push(lane);
        return Ok(());
    }
    let [a, b] = &chains;
    let path = Path {
        sides: [
            side(a, &key[0].1, b, &key[1].1).await?,
            side(b, &key[1].1, a, &key[0].1).await?,
        ],
        lanes: vec![lane],
    };
    paths.insert(key, path);
    Ok(())
}

/// A channel's end and its connection; the other end must be the expected one.
async fn opened(chain: &Chain, end: &End, other: &End) -> Result<(channel::Channel, String)> {
    let found = chain.channel(end).await?;
    let mismatch = |reason: String| RelayError::Mismatch {
        what: format!("channel {end} on {}", chain.id()),
        reason,
    };
    let counterparty = found.counterparty.clone().unwrap_or_default();
    if (counterparty.port_id.as_str(), counterparty.channel_id.as_str()) != (&other.port, &other.channel) {
        return Err(mismatch(format!(
            "its other end is not {other}; correct the configuration"
        )));
    }
    if found.state != State::Open as i32 && found.state != State::Closed as i32 {
        return Err(mismatch("it was never opened; run `aiinference-relay link`".into()));
    }
    let connection = match &found.connection_hops[..] {
        [one] => one.clone(),
        hops => return Err(mismatch(format!("it leads over {} connections", hops.len()))),
    };
    Ok((found, connection))
}

async fn side(here: &Arc<Handle>, connection: &str, there: &Arc<Handle>, other: &str) -> Result<Side> {
    let found = here.chain.connection(connection).await?;
    if found
        .counterparty
        .map(|counterparty| counterparty.connection_id)
        .as_deref()
        != Some(other)
    {
        return Err(RelayError::Mismatch {
            what: format!("connection {connection} on {}", here.chain.id()),
            reason: format!("its other end is not {other} on {}", there.chain.id()),
        });
    }
    let client = LightClient::load(here.chain.clone(), there.headers.clone(), &found.client_id).await?;
    Ok(Side {
        handle: here.clone(),
        connection: connection.into(),
        client: Arc::new(client),
    })
}
