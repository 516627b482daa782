//! Channels and packets in a chain's state, with the rules of ibc-go.
//!
//! What a relayer finds in a node's events (packets that were sent, acknowledgements in full) is kept in the state, too, for
//! ever: a proof of an earlier height stays valid.

use cosmwasm_std::{
    Binary, BlockInfo, IbcChannel, IbcEndpoint, IbcOrder, IbcPacket, IbcTimeout, IbcTimeoutBlock, Order, StdError,
    Storage, Timestamp,
};
use cw_storage_plus::{Bound, Item, Map};
use serde::{Deserialize, Serialize};

use super::IbcError;

/// The largest packet that ibc-go sends.
const MAX_PACKET_BYTES: usize = 256 * 1024;

/// State of a channel's end.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    Init,
    TryOpen,
    Open,
    Closed,
}

/// One end of a channel.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ChannelEnd {
    pub state: ChannelState,
    pub order: IbcOrder,
    pub counterparty: IbcEndpoint,
    pub connection: String,
    pub version: String,
}

impl ChannelEnd {
    /// As a contract is told of it.
    pub(crate) fn told(&self, endpoint: &IbcEndpoint) -> IbcChannel {
        IbcChannel::new(
            endpoint.clone(),
            self.counterparty.clone(),
            self.order.clone(),
            self.version.clone(),
            self.connection.clone(),
        )
    }
}

/// A connection, and the other chain's latest header that this one knows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) counterparty: String,
    pub(crate) height: IbcTimeoutBlock,
    pub(crate) time: Timestamp,
}

/// Something in state since a height. It can be proven once that block is finished.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since<T> {
    pub(crate) height: u64,
    pub(crate) value: T,
}

/// What a node's events tell a relayer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) height: u64,
    pub(crate) event: Event,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Sent(IbcEndpoint, u64),
    Acknowledged(IbcEndpoint, u64),
    Closed(IbcEndpoint),
}

type Key<'a> = (&'a str, &'a str, u64);

const CONNECTIONS: Map<&str, Connection> = Map::new("ibc/connections");
const NEXT_CONNECTION: Item<u64> = Item::new("ibc/next_connection");
const CHANNELS: Map<(&str, &str), ChannelEnd> = Map::new("ibc/channels");
const NEXT_CHANNEL: Item<u64> = Item::new("ibc/next_channel");
const NEXT_SEND: Map<(&str, &str), u64> = Map::new("ibc/next_send");
/// Of ordered channels.
const NEXT_RECEIVE: Map<(&str, &str), u64> = Map::new("ibc/next_receive");
const NEXT_ACKNOWLEDGE: Map<(&str, &str), u64> = Map::new("ibc/next_acknowledge");
/// Packets that are neither acknowledged nor timed out.
const COMMITMENTS: Map<Key, ()> = Map::new("ibc/commitments");
const SENT: Map<Key, Since<IbcPacket>> = Map::new("ibc/sent");
const RECEIPTS: Map<Key, ()> = Map::new("ibc/receipts");
const ACKNOWLEDGEMENTS: Map<Key, Since<Binary>> = Map::new("ibc/acknowledgements");
/// Received packets that a contract has still to acknowledge.
const UNANSWERED: Map<Key, IbcPacket> = Map::new("ibc/unanswered");
const JOURNAL: Map<u64, Entry> = Map::new("ibc/journal");
const NEXT_ENTRY: Item<u64> = Item::new("ibc/next_entry");

impl From<StdError> for IbcError {
    fn from(error: StdError) -> Self {
        IbcError::Chain(error.to_string())
    }
}

/// Whether a step was taken, or had been taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redundancy {
    First,
    Repeated,
}

fn key<'a>(end: &'a IbcEndpoint, sequence: u64) -> Key<'a> {
    (&end.port_id, &end.channel_id, sequence)
}

fn ends(end: &IbcEndpoint) -> (&str, &str) {
    (&end.port_id, &end.channel_id)
}

/// Takes a number and counts it on.
fn take(storage: &mut dyn Storage, next: Item<u64>) -> Result<u64, StdError> {
    let number = next.may_load(storage)?.unwrap_or_default();
    next.save(storage, &(number + 1))?;
    Ok(number)
}

/// The revision that ibc-go reads from a chain's name: the number after its last dash.
pub(crate) fn revision(chain_id: &str) -> u64 {
    match chain_id.rsplit_once('-') {
        Some((name, number)) if !name.is_empty() && !name.ends_with('-') && !number.starts_with(['0', '+']) => {
            number.parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// A chain's height as others know it.
pub(crate) fn height(block: &BlockInfo) -> IbcTimeoutBlock {
    IbcTimeoutBlock {
        revision: revision(&block.chain_id),
        height: block.height,
    }
}

/// Whether a timeout has passed at a header.
pub(crate) fn elapsed(timeout: &IbcTimeout, height: IbcTimeoutBlock, time: Timestamp) -> bool {
    timeout.block().is_some_and(|at| !at.is_zero() && height >= at)
        || timeout.timestamp().is_some_and(|at| at.nanos() != 0 && time >= at)
}

fn note(storage: &mut dyn Storage, block: &BlockInfo, event: Event) -> Result<(), StdError> {
    let number = take(storage, NEXT_ENTRY)?;
    let height = block.height;
    JOURNAL.save(storage, number, &Entry { height, event })
}

// Connections

pub(crate) fn new_connection_id(storage: &mut dyn Storage) -> Result<String, StdError> {
    Ok(format!("connection-{}", take(storage, NEXT_CONNECTION)?))
}

pub(crate) fn save_connection(storage: &mut dyn Storage, id: &str, connection: &Connection) -> Result<(), StdError> {
    CONNECTIONS.save(storage, id, connection)
}

pub(crate) fn connection(storage: &dyn Storage, id: &str) -> Result<Connection, IbcError> {
    CONNECTIONS
        .may_load(storage, id)?
        .ok_or_else(|| IbcError::ConnectionNotFound { connection: id.into() })
}

// Channels

pub(crate) fn new_channel_id(storage: &mut dyn Storage) -> Result<String, StdError> {
    Ok(format!("channel-{}", take(storage, NEXT_CHANNEL)?))
}

pub(crate) fn channel(storage: &dyn Storage, end: &IbcEndpoint) -> Result<ChannelEnd, IbcError> {
    CHANNELS
        .may_load(storage, ends(end))?
        .ok_or_else(|| IbcError::ChannelNotFound {
            port: end.port_id.clone(),
            channel: end.channel_id.clone(),
        })
}

pub(crate) fn save_channel(storage: &mut dyn Storage, end: &IbcEndpoint, channel: &ChannelEnd) -> Result<(), StdError> {
    CHANNELS.save(storage, ends(end), channel)
}

/// The channel, which must be in this state.
pub(crate) fn channel_in(
    storage: &dyn Storage,
    end: &IbcEndpoint,
    state: ChannelState,
) -> Result<ChannelEnd, IbcError> {
    let channel = channel(storage, end)?;
    if channel.state != state {
        return Err(IbcError::ChannelState {
            channel: end.channel_id.clone(),
            state: channel.state,
        });
    }
    Ok(channel)
}

/// Closes a channel, from either side.
pub(crate) fn close(storage: &mut dyn Storage, block: &BlockInfo, end: &IbcEndpoint) -> Result<(), IbcError> {
    let mut channel = not_closed(storage, end)?;
    channel.state = ChannelState::Closed;
    save_channel(storage, end, &channel)?;
    Ok(note(storage, block, Event::Closed(end.clone()))?)
}

/// The channel, which must not be closed.
pub(crate) fn not_closed(storage: &dyn Storage, end: &IbcEndpoint) -> Result<ChannelEnd, IbcError> {
    let channel = channel(storage, end)?;
    match channel.state {
        ChannelState::Closed => Err(IbcError::ChannelState {
            channel: end.channel_id.clone(),
            state: ChannelState::Closed,
        }),
        _ => Ok(channel),
    }
}

// Packets

/// Commits to a packet; its sequence.
pub(crate) fn send(
    storage: &mut dyn Storage,
    block: &BlockInfo,
    src: &IbcEndpoint,
    data: Binary,
    timeout: IbcTimeout,
) -> Result<u64, IbcError> {
    let invalid = |reason: &str| IbcError::InvalidPacket { reason: reason.into() };
    let channel = channel_in(storage, src, ChannelState::Open)?;
    if data.is_empty() {
        return Err(invalid("it has no data"));
    }
    if data.len() > MAX_PACKET_BYTES {
        return Err(invalid("it has more than 262144 bytes"));
    }
    if timeout.block().is_none_or(|at| at.is_zero()) && timeout.timestamp().is_none_or(|at| at.nanos() == 0) {
        return Err(invalid("it has no timeout"));
    }
    let client = connection(storage, &channel.connection)?;
    if elapsed(&timeout, client.height, client.time) {
        return Err(invalid("its timeout has passed on the other chain already"));
    }
    let sequence = NEXT_SEND.may_load(storage, ends(src))?.unwrap_or(1);
    NEXT_SEND.save(storage, ends(src), &(sequence + 1))?;
    let packet = IbcPacket::new(data, src.clone(), channel.counterparty, sequence, timeout);
    COMMITMENTS.save(storage, key(src, sequence), &())?;
    let height = block.height;
    SENT.save(storage, key(src, sequence), &Since { height, value: packet })?;
    note(storage, block, Event::Sent(src.clone(), sequence))?;
    Ok(sequence)
}

/// Checks that a packet may be received here, and notes that it was.
pub(crate) fn receive(
    storage: &mut dyn Storage,
    block: &BlockInfo,
    packet: &IbcPacket,
) -> Result<Redundancy, IbcError> {
    let channel = channel_in(storage, &packet.dest, ChannelState::Open)?;
    if channel.counterparty != packet.src {
        return Err(not_the_counterparty(packet));
    }
    let sequence = packet.sequence;
    if elapsed(&packet.timeout, height(block), block.time) {
        return Err(IbcError::TimeoutElapsed { sequence });
    }
    if channel.order == IbcOrder::Ordered {
        let next = NEXT_RECEIVE.may_load(storage, ends(&packet.dest))?.unwrap_or(1);
        if sequence < next {
            return Ok(Redundancy::Repeated);
        }
        if sequence > next {
            return Err(IbcError::OutOfOrder { sequence, next });
        }
        NEXT_RECEIVE.save(storage, ends(&packet.dest), &(next + 1))?;
    } else if RECEIPTS.has(storage, key(&packet.dest, sequence)) {
        return Ok(Redundancy::Repeated);
    }
    // ibc-go has no receipts on ordered channels; here they tell the network what was received.
    RECEIPTS.save(storage, key(&packet.dest, sequence), &())?;
    Ok(Redundancy::First)
}

/// Notes that a received packet is acknowledged later.
pub(crate) fn leave_unanswered(storage: &mut dyn Storage, packet: &IbcPacket) -> Result<(), StdError> {
    UNANSWERED.save(storage, key(&packet.dest, packet.sequence), packet)
}

/// Takes a packet that was left to be acknowledged.
pub(crate) fn take_unanswered(
    storage: &mut dyn Storage,
    end: &IbcEndpoint,
    sequence: u64,
) -> Result<IbcPacket, IbcError> {
    let key = key(end, sequence);
    let packet = UNANSWERED
        .may_load(storage, key)?
        .ok_or_else(|| IbcError::Acknowledgement {
            sequence,
            reason: "no such packet waits for one".into(),
        })?;
    UNANSWERED.remove(storage, key);
    Ok(packet)
}

pub(crate) fn write_acknowledgement(
    storage: &mut dyn Storage,
    block: &BlockInfo,
    packet: &IbcPacket,
    acknowledgement: Binary,
) -> Result<(), IbcError> {
    let sequence = packet.sequence;
    let refused = |reason: &str| IbcError::Acknowledgement {
        sequence,
        reason: reason.into(),
    };
    channel_in(storage, &packet.dest, ChannelState::Open)?;
    let key = key(&packet.dest, sequence);
    if ACKNOWLEDGEMENTS.has(storage, key) {
        return Err(refused("it is written already"));
    }
    if acknowledgement.is_empty() {
        return Err(refused("it is empty"));
    }
    let written = Since {
        height: block.height,
        value: acknowledgement,
    };
    ACKNOWLEDGEMENTS.save(storage, key, &written)?;
    Ok(note(
        storage,
        block,
        Event::Acknowledged(packet.dest.clone(), sequence),
    )?)
}

/// Checks that a packet of this chain may be acknowledged, and ends it.
pub(crate) fn acknowledge(storage: &mut dyn Storage, packet: &IbcPacket) -> Result<Redundancy, IbcError> {
    let channel = channel_in(storage, &packet.src, ChannelState::Open)?;
    if channel.counterparty != packet.dest {
        return Err(not_the_counterparty(packet));
    }
    let sequence = packet.sequence;
    if !committed(storage, packet)? {
        return Ok(Redundancy::Repeated);
    }
    if channel.order == IbcOrder::Ordered {
        let next = NEXT_ACKNOWLEDGE.may_load(storage, ends(&packet.src))?.unwrap_or(1);
        if sequence != next {
            return Err(IbcError::OutOfOrder { sequence, next });
        }
        NEXT_ACKNOWLEDGE.save(storage, ends(&packet.src), &(next + 1))?;
    }
    COMMITMENTS.remove(storage, key(&packet.src, sequence));
    Ok(Redundancy::First)
}

/// Ends a packet of this chain whose timeout has passed on the other one, at that chain's header; without one, whose
/// channel was closed there.
pub(crate) fn time_out(
    storage: &mut dyn Storage,
    block: &BlockInfo,
    packet: &IbcPacket,
    header: Option<(IbcTimeoutBlock, Timestamp)>,
) -> Result<Redundancy, IbcError> {
    let channel = channel(storage, &packet.src)?;
    if channel.counterparty != packet.dest {
        return Err(not_the_counterparty(packet));
    }
    let sequence = packet.sequence;
    if let Some((height, time)) = header {
        if !elapsed(&packet.timeout, height, time) {
            return Err(IbcError::TimeoutNotReached { sequence });
        }
    }
    if !committed(storage, packet)? {
        return Ok(Redundancy::Repeated);
    }
    COMMITMENTS.remove(storage, key(&packet.src, sequence));
    if channel.order == IbcOrder::Ordered && channel.state != ChannelState::Closed {
        close(storage, block, &packet.src)?;
    }
    Ok(Redundancy::First)
}

/// Whether this chain committed to the packet and it has not ended.
fn committed(storage: &dyn Storage, packet: &IbcPacket) -> Result<bool, IbcError> {
    let key = key(&packet.src, packet.sequence);
    if !COMMITMENTS.has(storage, key) {
        return Ok(false);
    }
    match SENT.may_load(storage, key)? {
        Some(sent) if sent.value == *packet => Ok(true),
        _ => Err(IbcError::InvalidPacket {
            reason: "it is not the one that was sent".into(),
        }),
    }
}

fn not_the_counterparty(packet: &IbcPacket) -> IbcError {
    IbcError::NotProven {
        reason: format!("packet {} names another counterparty than the channel", packet.sequence),
    }
}

// What the network reads

pub(crate) fn sent(
    storage: &dyn Storage,
    end: &IbcEndpoint,
    sequence: u64,
) -> Result<Option<Since<IbcPacket>>, StdError> {
    SENT.may_load(storage, key(end, sequence))
}

pub(crate) fn is_committed(storage: &dyn Storage, end: &IbcEndpoint, sequence: u64) -> bool {
    COMMITMENTS.has(storage, key(end, sequence))
}

pub(crate) fn is_received(storage: &dyn Storage, end: &IbcEndpoint, sequence: u64) -> bool {
    RECEIPTS.has(storage, key(end, sequence))
}

pub(crate) fn acknowledgement(
    storage: &dyn Storage,
    end: &IbcEndpoint,
    sequence: u64,
) -> Result<Option<Since<Binary>>, StdError> {
    ACKNOWLEDGEMENTS.may_load(storage, key(end, sequence))
}

pub(crate) fn all_channels(storage: &dyn Storage) -> Result<Vec<(IbcEndpoint, ChannelEnd)>, StdError> {
    CHANNELS
        .range(storage, None, None, Order::Ascending)
        .map(|found| {
            let ((port_id, channel_id), channel) = found?;
            Ok((IbcEndpoint { port_id, channel_id }, channel))
        })
        .collect()
}

/// The open channels of a port.
pub(crate) fn open_channels(storage: &dyn Storage, port: &str) -> Result<Vec<IbcChannel>, StdError> {
    let ends = CHANNELS.prefix(port).range(storage, None, None, Order::Ascending);
    let mut open = Vec::new();
    for found in ends {
        let (channel_id, channel) = found?;
        let port_id = port.to_string();
        if channel.state == ChannelState::Open {
            open.push(channel.told(&IbcEndpoint { port_id, channel_id }));
        }
    }
    Ok(open)
}

/// Sequences of the packets that have not ended.
pub(crate) fn commitments(storage: &dyn Storage, end: &IbcEndpoint) -> Result<Vec<u64>, StdError> {
    COMMITMENTS
        .prefix(ends(end))
        .keys(storage, None, None, Order::Ascending)
        .collect()
}

/// Events from a number on, and the number of the next to come.
pub(crate) fn journal(storage: &dyn Storage, from: u64) -> Result<(Vec<Entry>, u64), StdError> {
    let next = NEXT_ENTRY.may_load(storage)?.unwrap_or_default();
    let entries = JOURNAL
        .range(storage, Some(Bound::inclusive(from)), None, Order::Ascending)
        .map(|found| Ok(found?.1))
        .collect::<Result<_, StdError>>()?;
    Ok((entries, next))
}

/// IBC in the state of a chain, to read.
pub struct IbcState<'a>(pub(crate) &'a dyn Storage);

impl IbcState<'_> {
    /// A channel's end on this chain.
    pub fn channel(&self, end: &IbcEndpoint) -> Result<ChannelEnd, IbcError> {
        channel(self.0, end)
    }

    /// All channels' ends on this chain.
    pub fn channels(&self) -> Result<Vec<(IbcEndpoint, ChannelEnd)>, IbcError> {
        Ok(all_channels(self.0)?)
    }

    /// Sequences of the packets sent here that are neither acknowledged nor timed out.
    pub fn commitments(&self, end: &IbcEndpoint) -> Result<Vec<u64>, IbcError> {
        Ok(commitments(self.0, end)?)
    }

    /// A packet that was sent here, also after it has ended.
    pub fn sent(&self, end: &IbcEndpoint, sequence: u64) -> Result<Option<IbcPacket>, IbcError> {
        Ok(sent(self.0, end, sequence)?.map(|sent| sent.value))
    }

    /// Whether a packet was received here.
    pub fn received(&self, end: &IbcEndpoint, sequence: u64) -> bool {
        is_received(self.0, end, sequence)
    }

    /// The acknowledgement of a packet that was received here.
    pub fn acknowledgement(&self, end: &IbcEndpoint, sequence: u64) -> Result<Option<Binary>, IbcError> {
        Ok(acknowledgement(self.0, end, sequence)?.map(|written| written.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_the_number_after_the_last_dash() {
        for (chain_id, expected) in [
            ("cosmoshub-4", 4),
            ("cosmos-testnet-14002", 14_002),
            ("asking", 0),
            ("asking-", 0),
            ("asking-01", 0),
            ("asking--1", 0),
            ("asking-+1", 0),
            ("-1", 0),
            ("asking-1a", 0),
            ("asking-99999999999999999999", 0),
        ] {
            assert_eq!(revision(chain_id), expected, "{chain_id}");
        }
    }

    #[test]
    fn a_timeout_has_passed_from_its_own_height_or_time_on() {
        let block = |revision, height| IbcTimeoutBlock { revision, height };
        let at = Timestamp::from_nanos;
        let by_height = IbcTimeout::with_block(block(1, 10));
        assert!(!elapsed(&by_height, block(1, 9), at(u64::MAX)));
        assert!(elapsed(&by_height, block(1, 10), at(0)));
        assert!(elapsed(&by_height, block(2, 1), at(0)));
        assert!(!elapsed(&by_height, block(0, 99), at(0)));
        let by_time = IbcTimeout::with_timestamp(at(10));
        assert!(!elapsed(&by_time, block(9, 9), at(9)));
        assert!(elapsed(&by_time, block(0, 0), at(10)));
        let either = IbcTimeout::with_both(block(1, 10), at(10));
        assert!(elapsed(&either, block(1, 9), at(10)) && elapsed(&either, block(1, 10), at(9)));
        assert!(!elapsed(&either, block(1, 9), at(9)));
        // Zero is none.
        let none = IbcTimeout::with_both(block(0, 0), at(0));
        assert!(!elapsed(&none, block(9, 9), at(9)));
    }
}
