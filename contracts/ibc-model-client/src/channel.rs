//! Opening, connecting and closing channels.

use aiinference_types::ibc::VERSION;
use cosmwasm_std::{
    Attribute, DepsMut, IbcBasicResponse, IbcChannel, IbcChannelCloseMsg, IbcChannelConnectMsg, IbcChannelOpenMsg,
    IbcChannelOpenResponse, IbcMsg, IbcOrder, MessageInfo, Response, Storage,
};

use crate::{
    contract::assert_owner,
    msg::{Channel, Config, Peer},
    state::{CHANNELS, CLOSING, CONFIG},
    ContractError,
};

impl Config {
    /// Whether channels to this peer may be opened, and asked.
    pub fn check_allowed(&self, action: &'static str, peer: &Peer) -> Result<(), ContractError> {
        match &self.allowed {
            Some(allowed) if !allowed.contains(peer) => Err(ContractError::NotAllowed {
                action,
                connection: peer.connection.clone(),
                port: peer.port.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The channel to ask on.
pub fn to_ask(storage: &dyn Storage, config: &Config, name: &str) -> Result<(), ContractError> {
    let channel = CHANNELS.may_load(storage, name)?;
    let channel = channel.ok_or_else(|| ContractError::UnknownChannel(name.to_owned()))?;
    if !channel.open {
        return Err(ContractError::ClosedChannel(name.to_owned()));
    }
    config.check_allowed("asking", &channel.peer)
}

/// Looks a channel over before it is opened. Nothing is stored until it is connected.
pub fn open(deps: DepsMut, msg: IbcChannelOpenMsg) -> Result<IbcChannelOpenResponse, ContractError> {
    let theirs = msg.counterparty_version().map(str::to_owned);
    let channel: IbcChannel = msg.into();
    check(deps.storage, &channel, theirs.as_deref())?;
    Ok(None)
}

/// Takes a channel into use.
pub fn connect(deps: DepsMut, msg: IbcChannelConnectMsg) -> Result<IbcBasicResponse, ContractError> {
    let theirs = msg.counterparty_version().map(str::to_owned);
    let channel: IbcChannel = msg.into();
    // Again, for the configuration may have changed, and the other end may have named another version.
    check(deps.storage, &channel, theirs.as_deref())?;
    let name = channel.endpoint.channel_id.clone();
    let record = Channel {
        peer: peer(&channel),
        counterparty_channel: channel.counterparty_endpoint.channel_id,
        open: true,
        channel: name.clone(),
    };
    CHANNELS.save(deps.storage, &name, &record)?;
    Ok(IbcBasicResponse::new().add_attributes(attributes("connect_channel", &record)))
}

/// The owner closes a channel. The chain then calls `closed`.
pub fn close(deps: DepsMut, info: MessageInfo, name: String) -> Result<Response, ContractError> {
    assert_owner(deps.storage, &info, "closing a channel")?;
    let channel = CHANNELS.may_load(deps.storage, &name)?;
    if !channel.is_some_and(|channel| channel.open) {
        return Err(ContractError::UnknownChannel(name));
    }
    CLOSING.save(deps.storage, &name)?;
    Ok(Response::new().add_message(IbcMsg::CloseChannel { channel_id: name }))
}

/// Takes a channel out of use.
pub fn closed(deps: DepsMut, msg: IbcChannelCloseMsg) -> Result<IbcBasicResponse, ContractError> {
    let from_here = matches!(msg, IbcChannelCloseMsg::CloseInit { .. });
    let channel: IbcChannel = msg.into();
    let name = channel.endpoint.channel_id.clone();
    // Anybody may submit ibc-go's message that closes a channel; it is for the application to refuse.
    if from_here {
        if CLOSING.may_load(deps.storage)?.as_ref() != Some(&name) {
            return Err(ContractError::ForeignClose(name));
        }
        CLOSING.remove(deps.storage);
    }
    let record = Channel {
        peer: peer(&channel),
        counterparty_channel: channel.counterparty_endpoint.channel_id,
        open: false,
        channel: name.clone(),
    };
    CHANNELS.save(deps.storage, &name, &record)?;
    Ok(IbcBasicResponse::new().add_attributes(attributes("close_channel", &record)))
}

fn check(storage: &dyn Storage, channel: &IbcChannel, theirs: Option<&str>) -> Result<(), ContractError> {
    for version in [channel.version.as_str(), theirs.unwrap_or(VERSION)] {
        if version != VERSION {
            return Err(ContractError::Version(version.chars().take(64).collect()));
        }
    }
    if channel.order != IbcOrder::Unordered {
        return Err(ContractError::Ordered);
    }
    CONFIG.load(storage)?.check_allowed("opening a channel", &peer(channel))
}

fn peer(channel: &IbcChannel) -> Peer {
    Peer {
        connection: channel.connection_id.clone(),
        port: channel.counterparty_endpoint.port_id.clone(),
    }
}

fn attributes(action: &'static str, channel: &Channel) -> [Attribute; 4] {
    [
        ("action", action).into(),
        ("channel", channel.channel.as_str()).into(),
        ("connection", channel.peer.connection.as_str()).into(),
        ("counterparty_port", channel.peer.port.as_str()).into(),
    ]
}
