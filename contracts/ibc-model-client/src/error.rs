//! What the contract refuses, and why.

use cosmwasm_std::StdError;

/// A refusal. Nothing is stored and nothing sent where one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, JSON.
    #[error(transparent)]
    Std(#[from] StdError),
    /// The sender may not do this.
    #[error("{action}: only {role} may; the queries `config` and `question` tell who that is")]
    Unauthorized {
        /// What was being done.
        action: &'static str,
        /// Who may.
        role: &'static str,
    },
    /// A value of the configuration that cannot be.
    #[error("configuring: {name} is {value}, it must lie between 1 and {max}")]
    Setting {
        /// Which.
        name: &'static str,
        /// The value given.
        value: u64,
        /// The largest possible.
        max: u64,
    },
    /// No such channel.
    #[error("asking: there is no channel {0}; the query `channels` lists those there are")]
    UnknownChannel(String),
    /// The channel is closed.
    #[error("asking: channel {0} is closed; open another one")]
    ClosedChannel(String),
    /// The owner restricts whom to ask.
    #[error("{action}: {port} over {connection} is not among the allowed; the query `config` lists them")]
    NotAllowed {
        /// What was being done.
        action: &'static str,
        /// This chain's connection.
        connection: String,
        /// The other end's port.
        port: String,
    },
    /// A channel of another protocol.
    #[error("opening a channel: its version is '{0}', it must be '{expected}'", expected = aiinference_types::ibc::VERSION)]
    Version(String),
    /// An ordered channel, which one lost packet would stop.
    #[error("opening a channel: it is ordered, it must be unordered")]
    Ordered,
    /// Somebody closes a channel who may not.
    #[error("closing channel {0}: only the owner may, by the message `close_channel`")]
    ForeignClose(String),
    /// No queries, or too many.
    #[error("asking: {0} queries; there must be 1 to {max}, ask in several packets", max = aiinference_types::limits::MAX_QUERIES)]
    QueryCount(usize),
    /// A query that the other chain would refuse.
    #[error("asking: query {index}: {problem}")]
    Query {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A text that is too long, or empty where it may not be.
    #[error("asking: {name} is {actual} bytes long, it must be {least} to {max}", max = aiinference_types::limits::MAX_ADDRESS_BYTES)]
    Length {
        /// Of what.
        name: &'static str,
        /// The least length.
        least: usize,
        /// The length given.
        actual: usize,
    },
    /// An amount that is no number.
    #[error("asking: {name} is '{digits}', no number below 2^128 in decimal digits")]
    Amount {
        /// Which.
        name: &'static str,
        /// The text given.
        digits: String,
    },
    /// The packet would be too large.
    #[error("asking: the packet is {actual} bytes large, more than {max}; ask in several packets")]
    PacketTooLarge {
        /// The size it would have.
        actual: usize,
        /// The limit.
        max: u32,
    },
    /// A time beyond all clocks, or none at all.
    #[error("asking: {name} of {seconds} seconds; it must be at least one second, and end before the year 2554")]
    Duration {
        /// Which.
        name: &'static str,
        /// The value given.
        seconds: u64,
    },
    /// The callback's gas limit is 0 or too high.
    #[error("asking: the callback's gas limit is {actual}, it must lie between 1 and {max}")]
    CallbackGas {
        /// The limit given.
        actual: u64,
        /// The most allowed.
        max: u64,
    },
    /// What is to be told along is too long.
    #[error("asking: the callback's msg is {actual} bytes long, more than {max}; keep what is longer under a key, and give the key", max = crate::ask::MAX_CALLBACK_MSG_BYTES)]
    CallbackMsg {
        /// The length given.
        actual: usize,
    },
    /// The chain's answer to sending a packet is none.
    #[error("asking: the chain does not tell the packet's sequence; it needs wasmd 0.61 or newer")]
    NoSequence,
    /// The channel still carries answers.
    #[error("abandoning: channel {0} is open; the answer or a timeout ends the question")]
    OpenChannel(String),
    /// No such question, or not in a state for this.
    #[error("{action}: question {id} {problem}")]
    Question {
        /// What was being done.
        action: &'static str,
        /// Which.
        id: u64,
        /// What stands against it.
        problem: &'static str,
    },
    /// A reply to no message of this version.
    #[error("replying: {0} is no message of this contract")]
    UnknownReply(u64),
}
