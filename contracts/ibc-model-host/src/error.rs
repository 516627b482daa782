//! What the contract refuses, and why. Faults of packets are no such refusals: they are answered.

use cosmwasm_std::StdError;

/// A refusal. Nothing is stored where one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, queries.
    #[error(transparent)]
    Std(#[from] StdError),
    /// The sender may not do this.
    #[error("{doing}: only {who} may; the queries config and account tell who that is")]
    Unauthorized {
        /// What was tried.
        doing: &'static str,
        /// Who may.
        who: &'static str,
    },
    /// A number of the configuration is out of bounds.
    #[error("configuring: {0}")]
    BadConfig(&'static str),
    /// A price so high that sums of it could overflow.
    #[error("configuring the price in {0}: per_query must be below 2^100 and per_gigagas below 2^64")]
    PriceTooHigh(String),
    /// A channel of another protocol.
    #[error("opening a channel: {0}; name the version aiinference-1 on an unordered channel")]
    WrongChannel(String),
    /// A channel of a stranger.
    #[error("opening a channel: the owner serves no port {port} over {connection}; ask the owner to allow it")]
    NotAllowed {
        /// The connection.
        connection: String,
        /// The port.
        port: String,
    },
    /// Somebody asks to close a channel.
    #[error("closing a channel: channels are closed from the other end only")]
    StaysOpen,
    /// An acknowledgement or a timeout of a packet that was never sent.
    #[error("handling what became of a packet: this contract sends none")]
    SendsNothing,
    /// A deposit that cannot be booked.
    #[error("depositing: {0}")]
    BadDeposit(String),
    /// A deposit that names another recovery address than the account has.
    #[error("depositing: the account's recovery address is {0}; name the same, or let the asker itself change it")]
    OtherRecovery(String),
    /// No account of this key.
    #[error("looking for credit: there is none for that connection, port and asker in that denom")]
    NoCredit,
    /// The account is alive.
    #[error("recovering credit: a channel is open and the account was used; wait until {0}")]
    StillAlive(cosmwasm_std::Timestamp),
    /// Nothing to pay out.
    #[error("paying out: there is nothing")]
    NothingToPay,
    /// A claim of more denoms than one message pays.
    #[error("claiming rewards: {0} denoms are named, and {max} are paid at once; claim in several messages", max = crate::credit::MAX_CLAIM)]
    ManyDenoms(usize),
    /// A reply to a message that was not sent.
    #[error("taking a reply: its id {0} is unknown")]
    UnknownReply(u64),
}
