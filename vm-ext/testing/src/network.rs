//! Chains that send packets to one another.

use std::time::Duration;

use cosmwasm_std::{Addr, Binary, Event, IbcEndpoint, IbcOrder, IbcPacket, Timestamp};

use crate::{
    gas::SDK_GAS,
    ibc::{self, contract_port, state, ChannelState, Done, IbcError, Job},
    Chain, GasLimits, GasReport,
};

/// Time between blocks unless set otherwise.
const BLOCK_TIME: Duration = Duration::from_secs(5);

/// A chain of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(usize);

impl ChainId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// A channel between two chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The chain that opened it, and its end.
    pub a: ChainId,
    pub a_end: IbcEndpoint,
    /// The other chain, and its end.
    pub b: ChainId,
    pub b_end: IbcEndpoint,
    /// What the two ends agreed on.
    pub version: String,
}

/// How a channel is opened.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    pub version: String,
    pub order: IbcOrder,
    /// Number of the connection among those between the two chains, in the order in which they were made.
    pub connection: usize,
}

impl LinkOptions {
    /// An unordered channel over the first connection.
    pub fn new(version: impl Into<String>) -> Self {
        LinkOptions {
            version: version.into(),
            order: IbcOrder::Unordered,
            connection: 0,
        }
    }
}

/// Something that a relayer can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Hand a packet to `to`.
    Receive {
        from: ChainId,
        to: ChainId,
        packet: IbcPacket,
    },
    /// Bring an acknowledgement back to `to`, which sent the packet.
    Acknowledge {
        from: ChainId,
        to: ChainId,
        packet: IbcPacket,
        acknowledgement: Binary,
    },
    /// Tell `to`, which sent the packet, that it can not be received any more.
    Timeout {
        from: ChainId,
        to: ChainId,
        packet: IbcPacket,
    },
    /// Close the end of a channel whose other end was closed.
    Close {
        from: ChainId,
        to: ChainId,
        end: IbcEndpoint,
    },
}

impl Task {
    /// The chain whose state is proven.
    pub fn from(&self) -> ChainId {
        match self {
            Task::Receive { from, .. }
            | Task::Acknowledge { from, .. }
            | Task::Timeout { from, .. }
            | Task::Close { from, .. } => *from,
        }
    }

    /// The chain on which the transaction runs.
    pub fn to(&self) -> ChainId {
        match self {
            Task::Receive { to, .. }
            | Task::Acknowledge { to, .. }
            | Task::Timeout { to, .. }
            | Task::Close { to, .. } => *to,
        }
    }

    /// The packet that it is about.
    pub fn packet(&self) -> Option<&IbcPacket> {
        match self {
            Task::Receive { packet, .. } | Task::Acknowledge { packet, .. } | Task::Timeout { packet, .. } => {
                Some(packet)
            }
            Task::Close { .. } => None,
        }
    }
}

/// What a task came to.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// It had been done before; nothing was changed.
    pub repeated: bool,
    /// The acknowledgement that was written, after a receive; none if the contract writes it later.
    pub acknowledgement: Option<Binary>,
    /// Events of the contracts.
    pub events: Vec<Event>,
    /// The transaction's gas.
    pub gas: GasReport,
}

/// Two or more chains, connections between them, and a relayer.
///
/// Each chain makes blocks at its own pace; transactions run in the chain's current block. The relayer sees only finished
/// blocks of the other chain.
pub struct Network {
    members: Vec<Member>,
    connections: Vec<Connection>,
    now: Timestamp,
}

struct Member {
    chain: Chain,
    relayer: Addr,
    block_time: Duration,
    next_block: Timestamp,
}

/// The two sides of a connection.
struct Connection([(ChainId, String); 2]);

impl Default for Network {
    fn default() -> Self {
        Network::new()
    }
}

impl Network {
    /// A network without chains.
    pub fn new() -> Self {
        Network {
            members: Vec::new(),
            connections: Vec::new(),
            now: Timestamp::default(),
        }
    }

    /// Takes a chain in and gives it a name, its chain id. A name that ends in a dash and a number has that number as its
    /// revision, in heights; others have 0.
    pub fn add(&mut self, name: &str, mut chain: Chain) -> ChainId {
        let here = chain.block_info().time;
        self.now = self.now.max(here);
        let now = self.now;
        chain.update_block(|block| {
            block.chain_id = name.to_string();
            block.height += 1;
            block.time = now;
        });
        let relayer = chain.account("relayer");
        self.members.push(Member {
            chain,
            relayer,
            block_time: BLOCK_TIME,
            next_block: now.plus_nanos(nanos(BLOCK_TIME)),
        });
        ChainId(self.members.len() - 1)
    }

    /// A chain.
    pub fn chain(&self, id: ChainId) -> &Chain {
        &self.members[id.0].chain
    }

    /// A chain, to use it.
    pub fn chain_mut(&mut self, id: ChainId) -> &mut Chain {
        &mut self.members[id.0].chain
    }

    /// All chains.
    pub fn chains(&self) -> impl Iterator<Item = ChainId> {
        (0..self.members.len()).map(ChainId)
    }

    /// The account on a chain that relays to it: `msg.relayer` of the contracts there.
    pub fn relayer(&self, id: ChainId) -> &Addr {
        &self.members[id.0].relayer
    }

    /// Lets another account relay to a chain.
    pub fn set_relayer(&mut self, id: ChainId, relayer: Addr) {
        self.members[id.0].relayer = relayer;
    }

    // Time

    /// The time, which blocks lag behind.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Time between a chain's blocks, at least a nanosecond; 5 seconds unless set.
    pub fn set_block_time(&mut self, id: ChainId, time: Duration) {
        let member = &mut self.members[id.0];
        member.block_time = time.max(Duration::from_nanos(1));
        let next = member.chain.block_info().time.plus_nanos(nanos(member.block_time));
        member.next_block = next.max(self.now);
    }

    /// Lets time pass until this chain has made a block. Others make those that fall due meanwhile.
    pub fn next_block(&mut self, id: ChainId) {
        let until = self.members[id.0].next_block;
        self.advance_to(until);
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.advance_to(self.now.plus_nanos(nanos(time)));
    }

    fn advance_to(&mut self, until: Timestamp) {
        while let Some(due) = self.next_due().filter(|due| self.members[due.0].next_block <= until) {
            self.make_block(due, 100);
        }
        self.now = self.now.max(until);
    }

    /// The chain whose block is due next.
    pub(crate) fn next_due(&self) -> Option<ChainId> {
        self.chains().min_by_key(|id| self.members[id.0].next_block)
    }

    /// Makes a chain's next block, and plans the one after it for so many percent of the chain's block time later.
    pub(crate) fn make_block(&mut self, id: ChainId, percent: u64) {
        let member = &mut self.members[id.0];
        let time = member.next_block;
        member.chain.update_block(|block| {
            block.height += 1;
            block.time = time;
        });
        let wait = nanos(member.block_time).saturating_mul(percent) / 100;
        member.next_block = time.plus_nanos(wait.max(1));
        self.now = self.now.max(time);
    }

    // Connections and channels

    /// Connects two chains by one more connection.
    pub fn connect(&mut self, a: ChainId, b: ChainId) -> Result<(), IbcError> {
        let ids = [a, b].map(|id| state::new_connection_id(self.chain_mut(id).storage_mut()));
        let [a_id, b_id] = ids;
        let (a_id, b_id) = (a_id?, b_id?);
        for (here, id, there, counterparty) in [(a, &a_id, b, &b_id), (b, &b_id, a, &a_id)] {
            let header = self.chain(there).block_info();
            let connection = state::Connection {
                counterparty: counterparty.clone(),
                height: state::height(&header),
                time: header.time,
            };
            state::save_connection(self.chain_mut(here).storage_mut(), id, &connection)?;
        }
        self.connections.push(Connection([(a, a_id), (b, b_id)]));
        Ok(())
    }

    /// Opens an unordered channel between two contracts through the four steps of the handshake, which the contract of
    /// `a` begins, over the first connection between the two chains; makes that if there is none.
    pub fn link(
        &mut self,
        a: (ChainId, &Addr),
        b: (ChainId, &Addr),
        version: impl Into<String>,
    ) -> Result<Link, IbcError> {
        let ends = [(a.0, contract_port(a.1)), (b.0, contract_port(b.1))];
        self.link_ports(ends, LinkOptions::new(version))
    }

    /// As [`link`](Self::link), with options.
    pub fn link_with(
        &mut self,
        a: (ChainId, &Addr),
        b: (ChainId, &Addr),
        options: LinkOptions,
    ) -> Result<Link, IbcError> {
        let ends = [(a.0, contract_port(a.1)), (b.0, contract_port(b.1))];
        self.link_ports(ends, options)
    }

    /// Opens a channel between the transfer modules of two chains, which carries coins: [`IbcMsg::Transfer`](cosmwasm_std::IbcMsg).
    pub fn link_transfer(&mut self, a: ChainId, b: ChainId) -> Result<Link, IbcError> {
        let port = ibc::TRANSFER_PORT.to_string();
        self.link_ports([(a, port.clone()), (b, port)], LinkOptions::new(ibc::TRANSFER_VERSION))
    }

    fn link_ports(&mut self, ends: [(ChainId, String); 2], options: LinkOptions) -> Result<Link, IbcError> {
        let [(a, a_port), (b, b_port)] = ends;
        let (a_connection, b_connection) = match self.connection(a, b, options.connection) {
            Some(ids) => ids,
            None if options.connection == 0 => {
                self.connect(a, b)?;
                self.connection(a, b, 0).unwrap_or_default()
            }
            None => {
                return Err(IbcError::ConnectionNotFound {
                    connection: format!("connection number {} between the chains", options.connection),
                })
            }
        };
        let unopened = |done: Done| {
            done.opened.ok_or_else(|| IbcError::NotProven {
                reason: "the step opened no channel".into(),
            })
        };
        let done = self.step(
            b,
            a,
            Job::OpenInit {
                port: a_port.clone(),
                order: options.order.clone(),
                connection: a_connection,
                counterparty_port: b_port.clone(),
                version: options.version,
            },
        )?;
        let (a_channel, a_version) = unopened(done)?;
        let a_end = IbcEndpoint {
            port_id: a_port,
            channel_id: a_channel,
        };
        let done = self.step(
            a,
            b,
            Job::OpenTry {
                port: b_port.clone(),
                order: options.order,
                connection: b_connection,
                counterparty: a_end.clone(),
                counterparty_version: a_version,
            },
        )?;
        let (b_channel, version) = unopened(done)?;
        let b_end = IbcEndpoint {
            port_id: b_port,
            channel_id: b_channel.clone(),
        };
        self.step(
            b,
            a,
            Job::OpenAck {
                end: a_end.clone(),
                counterparty_channel: b_channel,
                counterparty_version: version.clone(),
            },
        )?;
        self.step(a, b, Job::OpenConfirm { end: b_end.clone() })?;
        Ok(Link {
            a,
            a_end,
            b,
            b_end,
            version,
        })
    }

    /// Takes a step of a handshake once the other chain's block is finished.
    fn step(&mut self, from: ChainId, to: ChainId, job: Job) -> Result<Done, IbcError> {
        self.next_block(from);
        let mut done = self.run_jobs(from, to, vec![job], None)?;
        Ok(done.pop().map(|(done, _)| done).unwrap_or_default())
    }

    /// The ids of a connection on both chains.
    fn connection(&self, a: ChainId, b: ChainId, number: usize) -> Option<(String, String)> {
        let mut between = self.connections.iter().filter_map(|Connection([one, other])| {
            if (one.0, other.0) == (a, b) {
                Some((one.1.clone(), other.1.clone()))
            } else if (other.0, one.0) == (a, b) {
                Some((other.1.clone(), one.1.clone()))
            } else {
                None
            }
        });
        between.nth(number)
    }

    /// The chain at the other side of a connection.
    pub(crate) fn across(&self, here: ChainId, connection: &str) -> Option<ChainId> {
        self.connections.iter().find_map(|Connection([one, other])| {
            if (one.0, one.1.as_str()) == (here, connection) {
                Some(other.0)
            } else if (other.0, other.1.as_str()) == (here, connection) {
                Some(one.0)
            } else {
                None
            }
        })
    }

    // Relaying

    /// Everything that can be relayed now, found in the chains' states alone: by chain, channel and sequence.
    pub fn pending(&self) -> Result<Vec<Task>, IbcError> {
        let mut tasks = Vec::new();
        for here in self.chains() {
            for (end, _) in state::all_channels(self.chain(here).storage())? {
                self.pending_at(here, &end, &mut tasks)?;
            }
        }
        Ok(tasks)
    }

    /// What can be relayed of the packets that one end of a channel sent, and of its closing.
    fn pending_at(&self, here: ChainId, end: &IbcEndpoint, tasks: &mut Vec<Task>) -> Result<(), IbcError> {
        let storage = self.chain(here).storage();
        let channel = state::channel(storage, end)?;
        let Some(there) = self.across(here, &channel.connection) else {
            return Ok(());
        };
        let Ok(other) = state::channel(self.chain(there).storage(), &channel.counterparty) else {
            return Ok(());
        };
        if channel.state == ChannelState::Closed && other.state == ChannelState::Open {
            tasks.push(Task::Close {
                from: here,
                to: there,
                end: channel.counterparty.clone(),
            });
        }
        for sequence in state::commitments(storage, end)? {
            if let Some(task) = self.pending_packet(here, there, end, sequence)? {
                tasks.push(task);
            }
        }
        Ok(())
    }

    /// What can be relayed of a packet that `source` sent and that has not ended.
    pub(crate) fn pending_packet(
        &self,
        source: ChainId,
        dest: ChainId,
        end: &IbcEndpoint,
        sequence: u64,
    ) -> Result<Option<Task>, IbcError> {
        let here = self.chain(source).storage();
        let there = self.chain(dest).storage();
        if !state::is_committed(here, end, sequence) {
            return Ok(None);
        }
        let Some(sent) = state::sent(here, end, sequence)? else {
            return Ok(None);
        };
        let packet = sent.value;
        let is_open = |storage, end| state::channel(storage, end).is_ok_and(|end| end.state == ChannelState::Open);
        if state::is_received(there, &packet.dest, sequence) {
            let written = state::acknowledgement(there, &packet.dest, sequence)?;
            return Ok(written.filter(|_| is_open(here, end)).map(|written| Task::Acknowledge {
                from: dest,
                to: source,
                packet,
                acknowledgement: written.value,
            }));
        }
        let header = self.chain(dest).block_info();
        let other = state::channel(there, &packet.dest)?;
        if state::elapsed(&packet.timeout, state::height(&header), header.time) || other.state == ChannelState::Closed {
            return Ok(Some(Task::Timeout {
                from: dest,
                to: source,
                packet,
            }));
        }
        Ok((other.state == ChannelState::Open).then_some(Task::Receive {
            from: source,
            to: dest,
            packet,
        }))
    }

    /// What is to be done about an event of a chain.
    pub(crate) fn task_of(&self, here: ChainId, event: state::Event) -> Result<Option<Task>, IbcError> {
        let storage = self.chain(here).storage();
        let (state::Event::Sent(end, _) | state::Event::Acknowledged(end, _) | state::Event::Closed(end)) = &event;
        let channel = state::channel(storage, end)?;
        let Some(there) = self.across(here, &channel.connection) else {
            return Ok(None);
        };
        match event {
            state::Event::Sent(end, sequence) => self.pending_packet(here, there, &end, sequence),
            state::Event::Acknowledged(_, sequence) => {
                self.pending_packet(there, here, &channel.counterparty, sequence)
            }
            state::Event::Closed(_) => {
                let other = state::channel(self.chain(there).storage(), &channel.counterparty)?;
                Ok((other.state == ChannelState::Open).then_some(Task::Close {
                    from: here,
                    to: there,
                    end: channel.counterparty,
                }))
            }
        }
    }

    /// Whether a finished block proves what the task claims. One that nothing can prove may be tried, and is refused.
    pub(crate) fn is_proven(&self, task: &Task) -> bool {
        let height = self.chain(task.from()).block_info().height;
        self.proven_since(task).map_or(true, |since| since < height)
    }

    /// Relays one task, in a transaction of its own under the chain's gas limit. Lets time pass until the block is
    /// finished that proves it.
    pub fn relay(&mut self, task: &Task) -> Result<Relayed, IbcError> {
        self.relay_under(task, None)
    }

    /// As [`relay`](Self::relay), with so much SDK gas.
    pub fn relay_with_gas(&mut self, task: &Task, sdk_gas: u64) -> Result<Relayed, IbcError> {
        self.relay_under(task, Some(sdk_gas))
    }

    pub(crate) fn relay_under(&mut self, task: &Task, sdk_gas: Option<u64>) -> Result<Relayed, IbcError> {
        if self.proven_since(task)? >= self.chain(task.from()).block_info().height {
            self.next_block(task.from());
        }
        let job = self.job(task)?;
        let mut done = self.run_jobs(task.from(), task.to(), vec![job], sdk_gas)?;
        let (done, events) = done.pop().unwrap_or_default();
        Ok(Relayed {
            repeated: done.repeated,
            acknowledgement: done.acknowledgement,
            events,
            gas: self.chain(task.to()).last_transaction(),
        })
    }

    /// Relays everything that is pending, and what comes of it, until nothing is. Timeouts are not waited for.
    pub fn relay_all(&mut self) -> Result<Vec<Relayed>, IbcError> {
        let mut all = Vec::new();
        loop {
            let pending = self.pending()?;
            if pending.is_empty() {
                return Ok(all);
            }
            for task in pending {
                all.push(self.relay(&task)?);
            }
        }
    }

    /// The height since which the proving chain's state holds what the task claims.
    pub(crate) fn proven_since(&self, task: &Task) -> Result<u64, IbcError> {
        let unproven = |reason: String| IbcError::NotProven { reason };
        let storage = self.chain(task.from()).storage();
        match task {
            Task::Receive { packet, .. } => match state::sent(storage, &packet.src, packet.sequence)? {
                Some(sent) if sent.value == *packet => Ok(sent.height),
                _ => Err(unproven(format!("packet {} was not sent so", packet.sequence))),
            },
            Task::Acknowledge {
                packet,
                acknowledgement,
                ..
            } => match state::acknowledgement(storage, &packet.dest, packet.sequence)? {
                Some(written) if written.value == *acknowledgement => Ok(written.height),
                _ => Err(unproven(format!("packet {} was not acknowledged so", packet.sequence))),
            },
            Task::Timeout { packet, .. } => {
                if state::is_received(storage, &packet.dest, packet.sequence) {
                    return Err(unproven(format!("packet {} was received", packet.sequence)));
                }
                // What cannot happen in the current block any more is as good as proven.
                Ok(0)
            }
            Task::Close { end, to, .. } => {
                let counterparty = state::channel(self.chain(*to).storage(), end)?.counterparty;
                match state::channel(storage, &counterparty)?.state {
                    ChannelState::Closed => Ok(0),
                    state => Err(unproven(format!("the other end is {state:?}"))),
                }
            }
        }
    }

    fn job(&self, task: &Task) -> Result<Job, IbcError> {
        Ok(match task {
            Task::Receive { packet, .. } => Job::Receive { packet: packet.clone() },
            Task::Acknowledge {
                packet,
                acknowledgement,
                ..
            } => Job::Acknowledge {
                packet: packet.clone(),
                acknowledgement: acknowledgement.clone(),
            },
            Task::Timeout { from, packet, .. } => {
                let there = self.chain(*from);
                let closed = state::channel(there.storage(), &packet.dest)?.state == ChannelState::Closed;
                let header = there.block_info();
                Job::Timeout {
                    packet: packet.clone(),
                    header: (!closed).then(|| (state::height(&header), header.time)),
                }
            }
            Task::Close { end, .. } => Job::CloseConfirm { end: end.clone() },
        })
    }

    fn run_jobs(
        &mut self,
        from: ChainId,
        to: ChainId,
        jobs: Vec<Job>,
        sdk_gas: Option<u64>,
    ) -> Result<Vec<(Done, Vec<Event>)>, IbcError> {
        self.update_clients(from, to)?;
        let Member { chain, relayer, .. } = &mut self.members[to.0];
        let limits = chain.gas_limits();
        if let Some(gas) = sdk_gas {
            chain.set_gas_limits(GasLimits {
                transaction: gas.saturating_mul(SDK_GAS),
                ..limits
            });
        }
        let result = chain.relay(relayer, jobs);
        chain.set_gas_limits(limits);
        let done = result?;
        Ok(done
            .into_iter()
            .map(|(done, response)| (done, response.events))
            .collect())
    }

    /// Tells a chain the other one's header.
    fn update_clients(&mut self, from: ChainId, to: ChainId) -> Result<(), IbcError> {
        let header = self.chain(from).block_info();
        let ids: Vec<String> = self
            .connections
            .iter()
            .filter_map(|Connection([one, other])| {
                if (one.0, other.0) == (from, to) {
                    Some(other.1.clone())
                } else if (other.0, one.0) == (from, to) {
                    Some(one.1.clone())
                } else {
                    None
                }
            })
            .collect();
        let storage = self.chain_mut(to).storage_mut();
        for id in ids {
            let mut connection = state::connection(storage, &id)?;
            connection.height = state::height(&header);
            connection.time = header.time;
            state::save_connection(storage, &id, &connection)?;
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("chains", &self.members.len())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
