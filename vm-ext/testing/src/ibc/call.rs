//! Calls of a contract's IBC entry points.
//!
//! cw-multi-test's contracts have no such entry points. A call goes through `sudo`, which only a chain can send: it lays an
//! [`Exchange`] on the desk, and the contract whose `sudo` comes next takes it up. Nothing is told apart by the bytes of a
//! message, so that no message can be taken for a call.

use std::cell::RefCell;

use cosmwasm_std::{
    to_json_vec, IbcChannelCloseMsg, IbcChannelConnectMsg, IbcChannelOpenMsg, IbcDestinationCallbackMsg,
    IbcPacketAckMsg, IbcPacketReceiveMsg, IbcPacketTimeoutMsg, IbcSourceCallbackMsg, StdResult,
};

/// A call, with what it is told.
#[derive(Debug)]
pub(crate) enum IbcCall {
    ChannelOpen(IbcChannelOpenMsg),
    ChannelConnect(IbcChannelConnectMsg),
    ChannelClose(IbcChannelCloseMsg),
    PacketReceive(IbcPacketReceiveMsg),
    PacketAck(IbcPacketAckMsg),
    PacketTimeout(IbcPacketTimeoutMsg),
    SourceCallback(IbcSourceCallbackMsg),
    DestinationCallback(IbcDestinationCallbackMsg),
}

impl IbcCall {
    pub(crate) fn entry_point(&self) -> &'static str {
        match self {
            IbcCall::ChannelOpen(_) => "ibc_channel_open",
            IbcCall::ChannelConnect(_) => "ibc_channel_connect",
            IbcCall::ChannelClose(_) => "ibc_channel_close",
            IbcCall::PacketReceive(_) => "ibc_packet_receive",
            IbcCall::PacketAck(_) => "ibc_packet_ack",
            IbcCall::PacketTimeout(_) => "ibc_packet_timeout",
            IbcCall::SourceCallback(_) => "ibc_source_callback",
            IbcCall::DestinationCallback(_) => "ibc_destination_callback",
        }
    }

    pub(crate) fn message(&self) -> StdResult<Vec<u8>> {
        match self {
            IbcCall::ChannelOpen(msg) => to_json_vec(msg),
            IbcCall::ChannelConnect(msg) => to_json_vec(msg),
            IbcCall::ChannelClose(msg) => to_json_vec(msg),
            IbcCall::PacketReceive(msg) => to_json_vec(msg),
            IbcCall::PacketAck(msg) => to_json_vec(msg),
            IbcCall::PacketTimeout(msg) => to_json_vec(msg),
            IbcCall::SourceCallback(msg) => to_json_vec(msg),
            IbcCall::DestinationCallback(msg) => to_json_vec(msg),
        }
    }
}

/// Why a contract's entry point gave no response.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The contract's own words.
    #[error("{0}")]
    Contract(String),
    /// A trap, no such entry point, out of gas.
    #[error("{0}")]
    Vm(String),
}

/// A call and what came of the entry point itself; its submessages are the chain's.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) call: IbcCall,
    outcome: RefCell<Outcome>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// No contract took it up.
    Ignored,
    /// It responded; the version that it chose, of a channel that opens.
    Responded(Option<String>),
    Failed(Failure),
}

impl Exchange {
    pub(crate) fn new(call: IbcCall) -> Self {
        Exchange {
            call,
            outcome: RefCell::new(Outcome::Ignored),
        }
    }

    pub(crate) fn responded(&self, version: Option<String>) {
        self.outcome.replace(Outcome::Responded(version));
    }

    pub(crate) fn failed(&self, failure: Failure) {
        self.outcome.replace(Outcome::Failed(failure));
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.replace(Outcome::Ignored)
    }
}
