//! Linking two ports: clients, connection, channel. Each step looks first at what is there on both chains, so that it can be
//! broken off and run again at any point, and so that what exists is used.

use std::{sync::Arc, time::Duration};

use aiinference_client::Included;
use cosmrs::proto::cosmos::staking::v1beta1::{QueryParamsRequest, QueryParamsResponse};

use crate::{
    chain::{connection_key, Chain},
    error::{RelayError, Result},
    light::{self, Anchor, LightClient},
    packet::{path as store, End},
    path::Handle,
    proto::{
        any,
        channel::{self, Order},
        client,
        connection::{self, State},
        Any, MerklePrefix, Message,
    },
};

/// How long a step may take into a block.
const PATIENCE: Duration = Duration::from_secs(90);

/// Gas of a step beyond what a trial used.
const EXTRA_GAS: u64 = 50_000;

/// Steps of one handshake, tried anew ones included.
const MAX_STEPS: usize = 12;

/// What is to be linked.
#[derive(Clone, Debug)]
pub struct Wish {
    pub ports: [String; 2],
    pub version: String,
    pub ordered: bool,
    /// Names a connection of the first chain; None: any good one.
    pub connection: Option<String>,
    /// Do not use a connection that is there.
    pub new_connection: bool,
    /// Do not use a channel that is there and open.
    pub new_channel: bool,
}

/// Hears of each step.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Two chains while they are linked.
pub struct Linker<'a> {
    pub chains: [Arc<Handle>; 2],
    pub progress: Progress<'a>,
}

/// A connection's names on the two chains, and its clients.
struct Connected {
    ids: [String; 2],
    clients: [Arc<LightClient>; 2],
}

impl Linker<'_> {
    /// Links two ports; the channel's names on the two chains.
    pub async fn link(&self, wish: &Wish) -> Result<[String; 2]> {
        for side in 0..2 {
            self.wait(side, 1).await?;
        }
        let connected = self.connect(wish).await?;
        let ids = self.channel(wish, &connected).await?;
        for (handle, id) in self.chains.iter().zip(&ids) {
            (self.progress)(&format!("{}: channel {id} is open", handle.chain.id()));
        }
        Ok(ids)
    }

    fn say(&self, side: usize, what: &str) {
        (self.progress)(&format!("{}: {what}", self.chains[side].chain.id()));
    }

    fn chain(&self, side: usize) -> &Arc<Chain> {
        &self.chains[side].chain
    }

    /// A client on a side that follows the other chain: one that is there, works, and trusts the right chain; or a new one.
    async fn client(&self, side: usize, new: bool) -> Result<Arc<LightClient>> {
        let host = &self.chains[side];
        let headers = &self.chains[1 - side].headers;
        if !new {
            let known = host
                .chain
                .pages(
                    "/ibc.core.client.v1.Query/ClientStates",
                    None,
                    |page| client::QueryClientStatesRequest { pagination: Some(page) },
                    |answer: client::QueryClientStatesResponse| (answer.client_states, answer.pagination),
                )
                .await?;
            for one in known.iter().rev() {
                let tendermint = one
                    .client_state
                    .as_ref()
                    .is_some_and(|state| light::is_tendermint(&state.type_url));
                if !tendermint {
                    continue;
                }
                if let Ok(client) = self.good_client(side, &one.client_id).await {
                    self.say(side, &format!("using light client {}", one.client_id));
                    return Ok(client);
                }
            }
        }
        let tracked = headers.chain();
        let unbonding = unbonding(tracked).await?;
        let config = tracked.config();
        let trusting = unbonding.mul_f64(config.trusting_fraction);
        let drift = Duration::from_secs(config.clock_drift_seconds);
        if trusting <= drift {
            return Err(RelayError::Mismatch {
                what: format!("`trusting_fraction` of {}", tracked.id()),
                reason: format!(
                    "light clients of it would trust for {} s, {} of its unbonding period of {} s: that is not even its \
                     `clock_drift_seconds`; raise the fraction",
                    trusting.as_secs(),
                    config.trusting_fraction,
                    unbonding.as_secs()
                ),
            });
        }
        let header = headers.header(tracked.tip().await?).await?;
        let (state, consensus) = light::first_states(tracked, &header, trusting, unbonding, drift);
        let message = light::create_message(&state, &consensus, host.wallet.address());
        let done = self.run(side, &[message]).await?;
        let id = self.made(side, &done, "create_client", "client_id")?;
        self.say(side, &format!("made light client {id}"));
        Ok(Arc::new(
            LightClient::load(host.chain.clone(), headers.clone(), &id).await?,
        ))
    }

    /// A client that works, and whose state is one of the chain that it says it follows.
    async fn good_client(&self, side: usize, id: &str) -> Result<Arc<LightClient>> {
        let headers = &self.chains[1 - side].headers;
        let client = LightClient::load(self.chain(side).clone(), headers.clone(), id).await?;
        let trusted = client.latest();
        let header = headers.chain().signed_header(trusted.height).await?.header;
        match trusted.is_of(&header) && client.left().is_some() {
            true => Ok(Arc::new(client)),
            false => Err(RelayError::Mismatch {
                what: format!("light client {id} on {}", self.chain(side).id()),
                reason: "it trusts another chain of the same name".into(),
            }),
        }
    }

    /// A connection that is open, or can be opened; or a new one.
    async fn connect(&self, wish: &Wish) -> Result<Connected> {
        let (mut ids, clients) = match self.known_connection(wish).await? {
            Some(found) => found,
            None => {
                let a = self.client(0, wish.new_connection).await?;
                let b = self.client(1, wish.new_connection).await?;
                ([String::new(), String::new()], [a, b])
            }
        };
        for _ in 0..MAX_STEPS {
            let states = [
                self.connection_state(0, &ids[0]).await?,
                self.connection_state(1, &ids[1]).await?,
            ];
            match states {
                [State::Open, State::Open] => {
                    for (side, id) in ids.iter().enumerate() {
                        self.say(side, &format!("connection {id} is open"));
                    }
                    return Ok(Connected { ids, clients });
                }
                [State::UninitializedUnspecified, State::UninitializedUnspecified] => {
                    let message = connection::MsgConnectionOpenInit {
                        client_id: clients[0].id.clone(),
                        counterparty: Some(counterparty(&clients[1].id, "")),
                        version: Some(version()),
                        delay_period: 0,
                        signer: self.signer(0),
                    };
                    let done = self.run(0, &[any(&message)]).await?;
                    ids[0] = self.made(0, &done, "connection_open_init", "connection_id")?;
                    self.say(0, &format!("began connection {}", ids[0]));
                }
                [State::Init | State::Tryopen, State::UninitializedUnspecified] => {
                    ids[1] = self.try_connection(0, &ids[0], &clients).await?;
                    self.say(1, &format!("answered with connection {}", ids[1]));
                }
                [State::UninitializedUnspecified, State::Init | State::Tryopen] => {
                    ids[0] = self.try_connection(1, &ids[1], &clients).await?;
                    self.say(0, &format!("answered with connection {}", ids[0]));
                }
                [State::Init, State::Tryopen | State::Open] => self.ack_connection(0, &ids, &clients).await?,
                [State::Tryopen | State::Open, State::Init] => self.ack_connection(1, &ids, &clients).await?,
                [State::Tryopen, State::Open] => self.confirm_connection(0, &ids, &clients).await?,
                [State::Open, State::Tryopen] => self.confirm_connection(1, &ids, &clients).await?,
                states => return Err(self.stuck("the connection", &ids, format!("{states:?}"))),
            }
        }
        Err(self.stuck("the connection", &ids, "it does not get on".into()))
    }

    /// A connection between the two chains over good clients, best one first: names (empty where there is no end yet) and clients.
    async fn known_connection(&self, wish: &Wish) -> Result<Option<([String; 2], [Arc<LightClient>; 2])>> {
        if wish.new_connection {
            return Ok(None);
        }
        let [ours, theirs] = [self.connections(0).await?, self.connections(1).await?];
        let mut candidates = Vec::new();
        for a in &ours {
            let other = a.counterparty.clone().unwrap_or_default();
            let b = theirs.iter().find(|b| {
                let back = b.counterparty.clone().unwrap_or_default();
                b.client_id == other.client_id
                    && back.client_id == a.client_id
                    && back.connection_id == a.id
                    && (other.connection_id.is_empty() || other.connection_id == b.id)
            });
            // One that was begun and not answered by anybody.
            let lonely = a.state == State::Init as i32 && other.connection_id.is_empty() && b.is_none();
            let rank = match (a.state == State::Open as i32, b.map(|b| b.state == State::Open as i32)) {
                (true, Some(true)) => 0,
                (_, Some(_)) => 1,
                _ if lonely => 2,
                _ => continue,
            };
            if a.delay_period == 0 && wish.connection.as_ref().is_none_or(|wanted| *wanted == a.id) {
                let id = b.map(|b| b.id.clone()).unwrap_or_default();
                candidates.push((rank, [a.id.clone(), id], [a.client_id.clone(), other.client_id]));
            }
        }
        candidates.sort_by_key(|(rank, _, _)| *rank);
        for (_, ids, clients) in candidates {
            match (
                self.good_client(0, &clients[0]).await,
                self.good_client(1, &clients[1]).await,
            ) {
                (Ok(a), Ok(b)) => return Ok(Some((ids, [a, b]))),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::debug!(connection = ids[0], %error, "not using a connection");
                }
            }
        }
        match &wish.connection {
            None => Ok(None),
            Some(wanted) => Err(RelayError::Mismatch {
                what: format!("connection {wanted} on {}", self.chain(0).id()),
                reason: format!("it is no connection to {} over clients that work", self.chain(1).id()),
            }),
        }
    }

    async fn connections(&self, side: usize) -> Result<Vec<connection::IdentifiedConnection>> {
        self.chain(side)
            .pages(
                "/ibc.core.connection.v1.Query/Connections",
                None,
                |page| connection::QueryConnectionsRequest { pagination: Some(page) },
                |answer: connection::QueryConnectionsResponse| (answer.connections, answer.pagination),
            )
            .await
    }

    async fn connection_state(&self, side: usize, id: &str) -> Result<State> {
        if id.is_empty() {
            return Ok(State::UninitializedUnspecified);
        }
        let end = self.chain(side).connection(id).await?;
        State::try_from(end.state).map_err(|_| self.chain(side).answer("Connection", "its state is none"))
    }

    /// Answers, on the other chain, a connection begun on `from`.
    async fn try_connection(&self, from: usize, id: &str, clients: &[Arc<LightClient>; 2]) -> Result<String> {
        let to = 1 - from;
        let (anchor, proof, value) = self.prove(from, &clients[to], &connection_key(id)).await?;
        let end = connection::ConnectionEnd::decode(value.as_slice())
            .map_err(|_| self.chain(from).answer("connection", "it is none"))?;
        let message = connection::MsgConnectionOpenTry {
            client_id: clients[to].id.clone(),
            counterparty: Some(counterparty(&clients[from].id, id)),
            delay_period: end.delay_period,
            counterparty_versions: end.versions,
            proof_height: Some(self.chain(from).height(anchor.trusted.height)),
            proof_init: proof,
            signer: self.signer(to),
            ..Default::default()
        };
        let done = self.run_after(to, &clients[to], anchor, any(&message)).await?;
        self.made(to, &done, "connection_open_try", "connection_id")
    }

    async fn ack_connection(&self, side: usize, ids: &[String; 2], clients: &[Arc<LightClient>; 2]) -> Result<()> {
        let other = 1 - side;
        let (anchor, proof, value) = self.prove(other, &clients[side], &connection_key(&ids[other])).await?;
        let end = connection::ConnectionEnd::decode(value.as_slice())
            .map_err(|_| self.chain(other).answer("connection", "it is none"))?;
        let message = connection::MsgConnectionOpenAck {
            connection_id: ids[side].clone(),
            counterparty_connection_id: ids[other].clone(),
            version: end.versions.into_iter().next(),
            proof_height: Some(self.chain(other).height(anchor.trusted.height)),
            proof_try: proof,
            signer: self.signer(side),
            ..Default::default()
        };
        self.run_after(side, &clients[side], anchor, any(&message)).await?;
        self.say(side, &format!("opened connection {}", ids[side]));
        Ok(())
    }

    async fn confirm_connection(&self, side: usize, ids: &[String; 2], clients: &[Arc<LightClient>; 2]) -> Result<()> {
        let other = 1 - side;
        let (anchor, proof, _) = self.prove(other, &clients[side], &connection_key(&ids[other])).await?;
        let message = connection::MsgConnectionOpenConfirm {
            connection_id: ids[side].clone(),
            proof_ack: proof,
            proof_height: Some(self.chain(other).height(anchor.trusted.height)),
            signer: self.signer(side),
        };
        self.run_after(side, &clients[side], anchor, any(&message)).await?;
        self.say(side, &format!("opened connection {}", ids[side]));
        Ok(())
    }

    async fn channel(&self, wish: &Wish, connected: &Connected) -> Result<[String; 2]> {
        let mut ids = self.known_channel(wish, connected).await?;
        let order = if wish.ordered { Order::Ordered } else { Order::Unordered };
        let new = |side: usize, id: &str| channel::Channel {
            ordering: order as i32,
            counterparty: Some(channel::Counterparty {
                port_id: wish.ports[1 - side].clone(),
                channel_id: id.into(),
            }),
            connection_hops: vec![connected.ids[side].clone()],
            version: wish.version.clone(),
            ..Default::default()
        };
        for _ in 0..MAX_STEPS {
            use channel::State;
            let ends = [
                self.channel_end(0, wish, &ids[0]).await?,
                self.channel_end(1, wish, &ids[1]).await?,
            ];
            let states = [0, 1].map(|side| State::try_from(ends[side].state).unwrap_or(State::Closed));
            match states {
                [State::Open, State::Open] => return Ok(ids),
                [State::UninitializedUnspecified, State::UninitializedUnspecified] => {
                    let message = channel::MsgChannelOpenInit {
                        port_id: wish.ports[0].clone(),
                        channel: Some(channel::Channel {
                            state: State::Init as i32,
                            ..new(0, "")
                        }),
                        signer: self.signer(0),
                    };
                    let done = self.run(0, &[any(&message)]).await?;
                    ids[0] = self.made(0, &done, "channel_open_init", "channel_id")?;
                    self.say(0, &format!("began channel {}", ids[0]));
                }
                [State::Init, State::UninitializedUnspecified] | [State::UninitializedUnspecified, State::Init] => {
                    let from = if states[0] == State::Init { 0 } else { 1 };
                    let to = 1 - from;
                    let key = store::channel(&self.end(wish, from, &ids));
                    let (anchor, proof_init, _) = self.prove(from, &connected.clients[to], &key).await?;
                    let message = channel::MsgChannelOpenTry {
                        port_id: wish.ports[to].clone(),
                        channel: Some(channel::Channel {
                            state: State::Tryopen as i32,
                            version: ends[from].version.clone(),
                            ..new(to, &ids[from])
                        }),
                        counterparty_version: ends[from].version.clone(),
                        proof_init,
                        proof_height: Some(self.chain(from).height(anchor.trusted.height)),
                        signer: self.signer(to),
                        ..Default::default()
                    };
                    let done = self
                        .run_after(to, &connected.clients[to], anchor, any(&message))
                        .await?;
                    ids[to] = self.made(to, &done, "channel_open_try", "channel_id")?;
                    self.say(to, &format!("answered with channel {}", ids[to]));
                }
                [State::Init, State::Tryopen | State::Open] | [State::Tryopen | State::Open, State::Init] => {
                    let side = if states[0] == State::Init { 0 } else { 1 };
                    let other = 1 - side;
                    let key = store::channel(&self.end(wish, other, &ids));
                    let (anchor, proof_try, _) = self.prove(other, &connected.clients[side], &key).await?;
                    let message = channel::MsgChannelOpenAck {
                        port_id: wish.ports[side].clone(),
                        channel_id: ids[side].clone(),
                        counterparty_channel_id: ids[other].clone(),
                        counterparty_version: ends[other].version.clone(),
                        proof_try,
                        proof_height: Some(self.chain(other).height(anchor.trusted.height)),
                        signer: self.signer(side),
                    };
                    self.run_after(side, &connected.clients[side], anchor, any(&message))
                        .await?;
                    self.say(side, &format!("opened channel {}", ids[side]));
                }
                [State::Open, State::Tryopen] | [State::Tryopen, State::Open] => {
                    let side = if states[0] == State::Tryopen { 0 } else { 1 };
                    let other = 1 - side;
                    let key = store::channel(&self.end(wish, other, &ids));
                    let (anchor, proof_ack, _) = self.prove(other, &connected.clients[side], &key).await?;
                    let message = channel::MsgChannelOpenConfirm {
                        port_id: wish.ports[side].clone(),
                        channel_id: ids[side].clone(),
                        proof_ack,
                        proof_height: Some(self.chain(other).height(anchor.trusted.height)),
                        signer: self.signer(side),
                    };
                    self.run_after(side, &connected.clients[side], anchor, any(&message))
                        .await?;
                    self.say(side, &format!("opened channel {}", ids[side]));
                }
                states => return Err(self.stuck("the channel", &ids, format!("{states:?}"))),
            }
        }
        Err(self.stuck("the channel", &ids, "it does not get on".into()))
    }

    fn end(&self, wish: &Wish, side: usize, ids: &[String; 2]) -> End {
        End {
            port: wish.ports[side].clone(),
            channel: ids[side].clone(),
        }
    }

    async fn channel_end(&self, side: usize, wish: &Wish, id: &str) -> Result<channel::Channel> {
        match id.is_empty() {
            true => Ok(channel::Channel::default()),
            false => {
                let end = End {
                    port: wish.ports[side].clone(),
                    channel: id.into(),
                };
                self.chain(side).channel(&end).await
            }
        }
    }

    /// A channel between the ports over the connection, best one first; empty names where there is no end yet.
    async fn known_channel(&self, wish: &Wish, connected: &Connected) -> Result<[String; 2]> {
        use channel::State;
        let [ours, theirs] = [self.channels(0, connected).await?, self.channels(1, connected).await?];
        let order = if wish.ordered { Order::Ordered } else { Order::Unordered } as i32;
        let fits = |side: usize, end: &channel::IdentifiedChannel| {
            let other = end.counterparty.clone().unwrap_or_default();
            end.port_id == wish.ports[side]
                && other.port_id == wish.ports[1 - side]
                && end.ordering == order
                && end.version == wish.version
        };
        let mut best: Option<(u8, [String; 2])> = None;
        for a in ours.iter().filter(|end| fits(0, end)) {
            let other = a.counterparty.clone().unwrap_or_default().channel_id;
            let b = theirs.iter().filter(|end| fits(1, end)).find(|b| {
                let back = b.counterparty.clone().unwrap_or_default().channel_id;
                back == a.channel_id && (other.is_empty() || other == b.channel_id)
            });
            let [open, init] = [State::Open, State::Init].map(|state| a.state == state as i32);
            let rank = match b.map(|b| State::try_from(b.state).unwrap_or(State::Closed)) {
                Some(State::Closed) => continue,
                Some(State::Open) if open && wish.new_channel => continue,
                Some(State::Open) if open => 0,
                Some(_) if a.state != State::Closed as i32 => 1,
                None if init => 2,
                _ => continue,
            };
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                let id = b.map(|b| b.channel_id.clone()).unwrap_or_default();
                best = Some((rank, [a.channel_id.clone(), id]));
            }
        }
        Ok(best.map(|(_, ids)| ids).unwrap_or_default())
    }

    async fn channels(&self, side: usize, connected: &Connected) -> Result<Vec<channel::IdentifiedChannel>> {
        let connection = &connected.ids[side];
        self.chain(side)
            .pages(
                "/ibc.core.channel.v1.Query/ConnectionChannels",
                None,
                |page| channel::QueryConnectionChannelsRequest {
                    connection: connection.clone(),
                    pagination: Some(page),
                },
                |answer: channel::QueryConnectionChannelsResponse| (answer.channels, answer.pagination),
            )
            .await
    }

    /// The checked proof of a key of `from`'s store, against a root that the client (on the other chain) can know.
    async fn prove(&self, from: usize, client: &LightClient, key: &str) -> Result<(Anchor, Vec<u8>, Vec<u8>)> {
        let chain = self.chain(from);
        let height = chain.tip().await?;
        // The header after the block that holds what is to be proven.
        self.wait(from, height + 1).await?;
        let proven = chain.proven(key, height).await?;
        client.refresh().await?;
        let signer = self.signer(1 - from);
        let anchor = client.anchor(height + 1, &signer).await?;
        chain.check(&proven, &anchor.trusted.root, key, Some(&proven.value))?;
        Ok((anchor, proven.proof.encode_to_vec(), proven.value))
    }

    /// Waits for a block.
    async fn wait(&self, side: usize, height: u64) -> Result<()> {
        let handle = &self.chains[side];
        let waited = tokio::time::timeout(PATIENCE, handle.watched.wait(height)).await;
        waited.map_err(|_| RelayError::NoBlock {
            chain: handle.chain.id().into(),
            last: *handle.watched.height().borrow(),
            node: handle.chain.url_of(handle.chain.current()).into(),
            seconds: PATIENCE.as_secs(),
        })
    }

    fn signer(&self, side: usize) -> String {
        self.chains[side].wallet.address().into()
    }

    async fn run_after(&self, side: usize, client: &LightClient, anchor: Anchor, message: Any) -> Result<Included> {
        let messages: Vec<Any> = anchor.update.into_iter().chain([message]).collect();
        let done = self.run(side, &messages).await?;
        client.updated(&anchor.trusted);
        Ok(done)
    }

    /// Runs messages, and waits until they are in a block.
    async fn run(&self, side: usize, messages: &[Any]) -> Result<Included> {
        let handle = &self.chains[side];
        let config = handle.chain.config();
        let tried = handle
            .wallet
            .tried(&handle.chain, messages)
            .await?
            .unwrap_or(config.max_gas);
        let gas = (tried as f64 * config.gas_margin) as u64 + EXTRA_GAS;
        let mut seen = handle.watched.height();
        seen.mark_unchanged();
        let sent = handle
            .wallet
            .send(&handle.chain, messages, gas.min(config.max_gas))
            .await?;
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            // A timeout is no fault: it is looked for all the same.
            let _ = tokio::time::timeout(Duration::from_secs(2), seen.changed()).await;
            if let Some(included) = handle.wallet.found(&handle.chain, &sent.hash).await? {
                let height = included.height;
                let done = included.done("linking").map_err(RelayError::at(handle.chain.id()))?;
                self.wait(side, height).await?;
                return Ok(done);
            }
        }
        handle.wallet.recount().await;
        Err(RelayError::at(handle.chain.id())(
            aiinference_client::ClientError::NotIncluded {
                hash: sent.hash,
                seconds: PATIENCE.as_secs(),
            },
        ))
    }

    fn made(&self, side: usize, done: &Included, kind: &str, key: &str) -> Result<String> {
        let id = done.attribute(kind, key);
        let good = |id: &&str| id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        id.filter(good)
            .map(String::from)
            .ok_or_else(|| self.chain(side).answer("tx", format!("it tells of no {kind}")))
    }

    fn stuck(&self, what: &str, ids: &[String; 2], reason: String) -> RelayError {
        RelayError::Mismatch {
            what: format!("{what} {:?} on {} and {}", ids, self.chain(0).id(), self.chain(1).id()),
            reason,
        }
    }
}

fn counterparty(client: &str, connection: &str) -> connection::Counterparty {
    connection::Counterparty {
        client_id: client.into(),
        connection_id: connection.into(),
        prefix: Some(MerklePrefix {
            key_prefix: crate::proof::STORE.to_vec(),
        }),
    }
}

/// The one version of connections that there is.
fn version() -> connection::Version {
    connection::Version {
        identifier: "1".into(),
        features: vec!["ORDER_ORDERED".into(), "ORDER_UNORDERED".into()],
    }
}

/// How long validators can be punished for what they signed.
async fn unbonding(chain: &Chain) -> Result<Duration> {
    let method = "/cosmos.staking.v1beta1.Query/Params";
    let answer: QueryParamsResponse = chain.query(method, &QueryParamsRequest {}, None).await?;
    let time = answer.params.and_then(|params| params.unbonding_time);
    let found = time.and_then(|time| light::period(Some(time)));
    found.ok_or_else(|| chain.answer("staking params", "they name no unbonding time"))
}
