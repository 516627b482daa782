//! What the chain calls on behalf of the other end: channels, packets, deposits by transfer.

use aiinference_types::{ibc::VERSION, limits::MAX_REQUEST_BYTES};
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    from_json, ChannelResponse, Deps, DepsMut, Env, IbcBasicResponse, IbcChannel, IbcChannelCloseMsg,
    IbcChannelConnectMsg, IbcChannelOpenMsg, IbcChannelOpenResponse, IbcDestinationCallbackMsg, IbcOrder,
    IbcPacketAckMsg, IbcPacketReceiveMsg, IbcPacketTimeoutMsg, IbcQuery, IbcReceiveResponse, Reply, Response, StdAck,
    StdResult, Storage,
};
use serde::Deserialize;

use crate::{
    credit,
    msg::{AccountKey, DepositMemo, MemoDeposit, Peer},
    packet,
    state::{CHANNELS, CONFIG, OPEN},
    ContractError,
};

/// The port of the chain's ICS-20 transfers.
const TRANSFER_PORT: &str = "transfer";

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_open(
    deps: DepsMut,
    _env: Env,
    msg: IbcChannelOpenMsg,
) -> Result<IbcChannelOpenResponse, ContractError> {
    check_channel(deps.storage, msg.channel(), msg.counterparty_version())?;
    Ok(None)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_connect(
    deps: DepsMut,
    _env: Env,
    msg: IbcChannelConnectMsg,
) -> Result<IbcBasicResponse, ContractError> {
    check_channel(deps.storage, msg.channel(), msg.counterparty_version())?;
    let (channel, peer) = ends(msg.into());
    CHANNELS.save(deps.storage, &channel, &peer)?;
    count_open(deps.storage, &peer, 1)?;
    Ok(channel_event("connect", channel, peer))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_close(deps: DepsMut, _env: Env, msg: IbcChannelCloseMsg) -> Result<IbcBasicResponse, ContractError> {
    // Anybody may ask a chain to close a channel.
    if let IbcChannelCloseMsg::CloseInit { .. } = msg {
        return Err(ContractError::StaysOpen);
    }
    let (channel, peer) = ends(msg.into());
    if CHANNELS.has(deps.storage, &channel) {
        CHANNELS.remove(deps.storage, &channel);
        count_open(deps.storage, &peer, -1)?;
    }
    Ok(channel_event("close", channel, peer))
}

fn channel_event(action: &str, channel: String, peer: Peer) -> IbcBasicResponse {
    IbcBasicResponse::new()
        .add_attribute("action", action)
        .add_attribute("channel", channel)
        .add_attribute("connection", peer.connection)
        .add_attribute("port", peer.port)
}

/// This chain's end, and the other.
fn ends(channel: IbcChannel) -> (String, Peer) {
    let peer = Peer {
        connection: channel.connection_id,
        port: channel.counterparty_endpoint.port_id,
    };
    (channel.endpoint.channel_id, peer)
}

fn count_open(storage: &mut dyn Storage, peer: &Peer, change: i32) -> StdResult<()> {
    let key = (peer.connection.as_str(), peer.port.as_str());
    let open = OPEN.may_load(storage, key)?.unwrap_or_default();
    match open.saturating_add_signed(change) {
        0 => OPEN.remove(storage, key),
        open => OPEN.save(storage, key, &open)?,
    }
    Ok(())
}

fn check_channel(storage: &dyn Storage, channel: &IbcChannel, other: Option<&str>) -> Result<(), ContractError> {
    if channel.order != IbcOrder::Unordered {
        return Err(ContractError::WrongChannel("it is ordered".to_string()));
    }
    // Where the other end has named a version, that counts: in the second step this end has none yet.
    let version = other.unwrap_or(&channel.version);
    if version != VERSION {
        return Err(ContractError::WrongChannel(format!("its version is '{version}'")));
    }
    let (_, peer) = ends(channel.clone());
    if !CONFIG.load(storage)?.serves(&peer) {
        let Peer { connection, port } = peer;
        return Err(ContractError::NotAllowed { connection, port });
    }
    Ok(())
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_receive(
    deps: DepsMut,
    env: Env,
    msg: IbcPacketReceiveMsg,
) -> Result<IbcReceiveResponse, ContractError> {
    let IbcPacketReceiveMsg { packet, relayer, .. } = msg;
    let outcome = packet::receive(deps, &env, &packet.dest.channel_id, &packet.data, &relayer)?;
    let mut response = match outcome.acknowledgement {
        Some(acknowledgement) => IbcReceiveResponse::new(acknowledgement),
        // The last reply gives it.
        None => IbcReceiveResponse::without_ack(),
    };
    response.messages = outcome.messages;
    response.attributes = outcome.attributes;
    Ok(response)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn reply(deps: DepsMut, env: Env, reply: Reply) -> Result<Response, ContractError> {
    let outcome = match reply.id {
        packet::WORKED => packet::worked(deps, &env, reply)?,
        packet::PAID => packet::paid(deps, &env, reply)?,
        id => return Err(ContractError::UnknownReply(id)),
    };
    let mut response = Response::new();
    // The data of the last reply becomes the acknowledgement.
    response.data = outcome.acknowledgement;
    response.attributes = outcome.attributes;
    Ok(response)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_ack(_deps: DepsMut, _env: Env, _msg: IbcPacketAckMsg) -> Result<IbcBasicResponse, ContractError> {
    Err(ContractError::SendsNothing)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_timeout(
    _deps: DepsMut,
    _env: Env,
    _msg: IbcPacketTimeoutMsg,
) -> Result<IbcBasicResponse, ContractError> {
    Err(ContractError::SendsNothing)
}

/// What is read of an ICS-20 packet.
#[derive(Deserialize)]
struct TransferData {
    #[serde(default)]
    memo: String,
}

/// A transfer came whose memo calls this contract: a deposit. What is refused here goes back to its sender.
#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_destination_callback(
    deps: DepsMut,
    env: Env,
    msg: IbcDestinationCallbackMsg,
) -> Result<IbcBasicResponse, ContractError> {
    let bad = |why: &str| ContractError::BadDeposit(why.to_string());
    let IbcDestinationCallbackMsg { packet, ack, transfer } = msg;
    if packet.dest.port_id != TRANSFER_PORT {
        return Err(bad("the packet came over no transfer channel"));
    }
    let config = CONFIG.load(deps.storage)?;
    let channel = packet.dest.channel_id;
    if config.transfers.is_some_and(|transfers| !transfers.contains(&channel)) {
        return Err(bad(
            "deposits over this transfer channel are not taken; the query config lists those that are",
        ));
    }
    let transfer = transfer
        .filter(|transfer| transfer.receiver == env.contract.address)
        .ok_or_else(|| bad("the transfer is not to this contract"))?;
    if !matches!(from_json(&ack.data), Ok(StdAck::Success(_))) {
        return Err(bad("the transfer failed"));
    }
    if packet.data.len() > MAX_REQUEST_BYTES {
        return Err(bad("the memo is too long"));
    }
    let data: TransferData = from_json(&packet.data)?;
    let DepositMemo { aiinference_deposit } =
        from_json(data.memo.as_bytes()).map_err(|error| bad(&format!("the memo is none of a deposit ({error})")))?;
    let MemoDeposit {
        connection,
        port,
        asker,
        recovery,
    } = aiinference_deposit;

    // The other chain's own transfer port states who sends; any other port may state what it likes.
    let own_word = packet.src.port_id == TRANSFER_PORT
        && transfer.sender == asker
        && connection_of(deps.as_ref(), &channel)?.is_some_and(|over| over == connection);
    let key = AccountKey {
        connection,
        port,
        asker,
    };
    credit::check_arrival(deps.as_ref(), &env.contract.address, &transfer.funds)?;
    credit::deposit(deps, &env, &key, &recovery, &transfer.funds, own_word)?;
    Ok(IbcBasicResponse::new().add_attributes(credit::deposited(&key, &transfer.funds)))
}

/// The connection of a transfer channel.
fn connection_of(deps: Deps, channel: &str) -> StdResult<Option<String>> {
    let query = IbcQuery::Channel {
        channel_id: channel.to_owned(),
        port_id: Some(TRANSFER_PORT.to_owned()),
    };
    let response: ChannelResponse = deps.querier.query(&query.into())?;
    Ok(response.channel.map(|channel| channel.connection_id))
}
