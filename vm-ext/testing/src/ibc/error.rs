//! Why a step of IBC was refused.

use super::ChannelState;

/// Why a step of a handshake or of a packet was refused. The transaction has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IbcError {
    /// There is no such channel on this chain.
    #[error("using {channel} of port {port}: the chain has no such channel; Network::link opens one")]
    ChannelNotFound { port: String, channel: String },
    /// The channel is in another state than the step needs.
    #[error("using {channel}: it is {state:?}")]
    ChannelState { channel: String, state: ChannelState },
    /// There is no such connection on this chain.
    #[error("using {connection}: the chain has no such connection; Network::connect makes one")]
    ConnectionNotFound { connection: String },
    /// No application is bound to the port.
    #[error("calling port {port}: no contract and no module is bound to it")]
    NoRoute { port: String },
    /// The packet is none that could be sent.
    #[error("sending a packet: {reason}")]
    InvalidPacket { reason: String },
    /// The packet arrives when its timeout has passed on the receiving chain.
    #[error("receiving packet {sequence}: its timeout has passed; relay the timeout to the sender")]
    TimeoutElapsed { sequence: u64 },
    /// The packet's timeout has not passed yet on the receiving chain.
    #[error("timing out packet {sequence}: its timeout has not passed on the receiving chain")]
    TimeoutNotReached { sequence: u64 },
    /// The other chain's finished blocks do not hold what the step claims.
    #[error("relaying: the other chain's state does not prove it: {reason}")]
    NotProven { reason: String },
    /// The packet is not the next one of an ordered channel.
    #[error("relaying packet {sequence}: the ordered channel's next is {next}")]
    OutOfOrder { sequence: u64, next: u64 },
    /// The acknowledgement cannot be written, or cannot be brought back.
    #[error("acknowledging packet {sequence}: {reason}")]
    Acknowledgement { sequence: u64, reason: String },
    /// The contract returned an error where that ends the transaction: anywhere but in the receive of a packet.
    #[error("{0}")]
    Contract(String),
    /// The contract trapped, has no such entry point, or answered what is no answer.
    #[error("{0}")]
    Vm(String),
    /// The transaction's gas did not suffice. The same step may succeed with more.
    #[error("{0}")]
    OutOfGas(String),
    /// The relayer worked for so long and what was waited for did not come.
    #[error("running a network: after {blocks} blocks it had not come to its end; see what is pending")]
    Stalled { blocks: u64 },
    /// The chain refused for a reason of another module.
    #[error("{0}")]
    Chain(String),
}
