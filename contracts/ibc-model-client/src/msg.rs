//! Messages.

use std::fmt;

pub use aiinference_std::remote::{
    Answer, AnswerResult, Ask, Callback, Failure, Height, ModelAnswer, Outcome, Sent, SetRecovery, Timeout, Withdraw,
};
use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Timestamp};

#[cw_serde]
pub struct InstantiateMsg {
    /// Who may change the configuration and close channels; the sender where none is given.
    pub owner: Option<String>,
    /// Who may open channels, and be asked; anybody where none is given.
    pub allowed: Option<Vec<Peer>>,
    /// The most gas of a callback, in the chain's own gas; 5,000,000 where none is given.
    pub max_callback_gas: Option<u64>,
    /// The largest packet; the protocol's limit, 262,144, where none is given.
    pub max_packet_bytes: Option<u32>,
}

/// The other end of channels.
#[cw_serde]
pub struct Peer {
    /// This chain's connection to it.
    pub connection: String,
    /// The contract's port there, `wasm.<address>`.
    pub port: String,
}

/// Asking is the same as in [`ClientMsg`](aiinference_std::remote::ClientMsg), by which contracts ask.
#[cw_serde]
pub enum ExecuteMsg {
    /// Asks. The sender is the asker: its credit on the answering chain pays. The response's data is [`Sent`] as JSON.
    Ask(Ask),
    /// Pays the sender's credit out, on the answering chain. The response's data is [`Sent`] as JSON.
    Withdraw(Withdraw),
    /// Names who may take the sender's credit out once the channel is dead. The response's data is [`Sent`] as JSON.
    SetRecovery(SetRecovery),
    /// Tries a callback again that failed. Where it fails again, so does this. The initiator and the owner may.
    Deliver {
        /// The question.
        id: u64,
        /// The callback's gas limit this time, in the chain's own gas.
        gas_limit: u64,
    },
    /// Forgets a result that was kept or not delivered. The initiator may.
    Discard {
        /// The question.
        id: u64,
    },
    /// Ends a question without an answer whose channel is closed, with the error Abandoned: it may have been answered and
    /// paid on the other chain, and no answer comes any more. The initiator and the owner may.
    Abandon {
        /// The question.
        id: u64,
    },
    /// Closes a channel for ever. Questions on it that were not received time out once the other end is closed, too; those
    /// whose answer is on its way end by `abandon`. The owner may.
    CloseChannel {
        /// Which.
        channel: String,
    },
    /// Changes what is given. The owner may.
    UpdateConfig {
        /// A new owner.
        owner: Option<String>,
        /// Who may open channels and be asked.
        allowed: Option<Allowed>,
        /// The most gas of a callback.
        max_callback_gas: Option<u64>,
        /// The largest packet.
        max_packet_bytes: Option<u32>,
    },
}

/// Who may open channels, and be asked.
#[cw_serde]
pub enum Allowed {
    /// Anybody.
    Any {},
    /// These alone. Channels to others stay, but nobody is asked over them.
    These(Vec<Peer>),
}

/// What this contract executes on the initiator of a question.
#[cw_serde]
pub enum CallbackMsg {
    /// Told once.
    ModelAnswer(ModelAnswer),
}

#[cw_serde]
#[derive(QueryResponses)]
pub enum QueryMsg {
    /// Owner, limits, who is allowed.
    #[returns(Config)]
    Config {},
    /// All channels, in the order of their names.
    #[returns(Vec<Channel>)]
    Channels {
        /// Only those after this one.
        start_after: Option<String>,
        /// At most so many, 30 by default, 100 at most.
        limit: Option<u32>,
    },
    /// A question, with its result where that is kept. None where the number is unknown, the question is told or discarded.
    #[returns(Option<QuestionResponse>)]
    Question {
        /// Its number.
        id: u64,
    },
    /// Questions of an initiator, ascending, without results.
    #[returns(Vec<Question>)]
    Questions {
        /// Who asked.
        initiator: String,
        /// Only those after this one.
        start_after: Option<u64>,
        /// At most so many, 30 by default, 100 at most.
        limit: Option<u32>,
    },
    /// Packets on a channel without an answer yet, ascending.
    #[returns(Vec<PendingPacket>)]
    Pending {
        /// The channel.
        channel: String,
        /// Only those after this sequence.
        start_after: Option<u64>,
        /// At most so many, 30 by default, 100 at most.
        limit: Option<u32>,
    },
}

#[cw_serde]
pub struct MigrateMsg {}

#[cw_serde]
pub struct Config {
    /// Who may change the configuration and close channels.
    pub owner: Addr,
    /// Who may open channels, and be asked; anybody where this is null.
    pub allowed: Option<Vec<Peer>>,
    /// The most gas of a callback, in the chain's own gas.
    pub max_callback_gas: u64,
    /// The largest packet.
    pub max_packet_bytes: u32,
}

/// A channel.
#[cw_serde]
pub struct Channel {
    /// Its name on this chain.
    pub channel: String,
    /// Its name on the other.
    pub counterparty_channel: String,
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether it is open. Closed ones stay closed.
    pub open: bool,
}

/// What a packet asks for.
#[cw_serde]
#[derive(Copy, Eq)]
pub enum Operation {
    /// Answers of models.
    Ask,
    /// Credit to be paid out.
    Withdraw,
    /// Another recovery address.
    SetRecovery,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Ask => "ask",
            Operation::Withdraw => "withdraw",
            Operation::SetRecovery => "set_recovery",
        })
    }
}

/// A question.
#[cw_serde]
pub struct Question {
    /// Its number.
    pub id: u64,
    /// What for.
    pub operation: Operation,
    /// Who asked.
    pub initiator: Addr,
    /// On which channel.
    pub channel: String,
    /// In which packet.
    pub sequence: u64,
    /// Time of the block in which it was asked.
    pub sent: Timestamp,
    /// How to tell the result.
    pub callback: Option<Callback>,
    /// What has become of it.
    pub state: State,
}

/// What has become of a question.
#[cw_serde]
pub enum State {
    /// No answer yet.
    Sent {},
    /// The result is here; no callback was asked for.
    Kept {},
    /// The result is here; the callback failed.
    Undelivered {
        /// What the chain tells of it; chains hide most.
        reason: String,
    },
}

#[cw_serde]
pub struct QuestionResponse {
    /// The question.
    pub question: Question,
    /// How it ended; null while it has not.
    pub result: Option<Outcome>,
}

/// A packet without an answer yet.
#[cw_serde]
pub struct PendingPacket {
    /// Its number on the channel.
    pub sequence: u64,
    /// The question in it.
    pub id: u64,
}
