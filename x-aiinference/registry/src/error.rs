//! What the contract refuses, and why. Nothing is stored where an error is returned.

use cosmwasm_std::{Coin, StdError, Timestamp, Uint256};

use crate::{
    check::{MAX_CALLBACK_MSG_BYTES, MAX_CIRCUITS},
    msg::{Checksum, Version},
};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, queries.
    #[error(transparent)]
    Std(#[from] StdError),
    /// The sender may not do this.
    #[error("{doing}: only {who} may")]
    Unauthorized {
        /// What was tried.
        doing: &'static str,
        /// Who may.
        who: &'static str,
    },
    /// A number or list of the configuration is out of bounds.
    #[error("configuring: {0}")]
    BadConfig(&'static str),
    /// No name.
    #[error("reading a name: it is 3 to 64 of a-z, 0-9, '-', '_', '.' and '/', a letter or digit first and last")]
    BadName,
    /// A text that is too long.
    #[error("reading {what}: it is longer than {max} bytes as JSON; shorten it")]
    TextTooLong {
        /// Which.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The chain has no such code.
    #[error("looking for code {code_id}: the chain does not tell of it: {error}; store it first")]
    UnknownCode {
        /// The code id.
        code_id: u64,
        /// The chain's words.
        error: String,
    },
    /// The chain has other code there.
    #[error("looking for code {code_id}: its checksum is {actual}; register that, if it is the code that you mean")]
    OtherCode {
        /// The code id.
        code_id: u64,
        /// Its checksum.
        actual: Checksum,
    },
    /// The host refused to describe a model, or to check a proof.
    #[error("{doing}: {error}")]
    Host {
        /// What was done.
        doing: &'static str,
        /// The host's words.
        error: aiinference_std::Error,
    },
    /// There is such an entry.
    #[error("registering {what}: it is registered already; give it another version")]
    AlreadyRegistered {
        /// A model or a circuit.
        what: &'static str,
    },
    /// There is no such name, version or circuit.
    #[error("looking for {what}: it is not registered, or no version of it is active; the queries names, versions and circuits list what is")]
    NotRegistered {
        /// A name, model or circuit.
        what: &'static str,
    },
    /// A denom that is too long.
    #[error("reading a denom: it is longer than the {max} bytes that one may have", max = aiinference_types::limits::MAX_ADDRESS_BYTES)]
    BadDenom,
    /// Code of another checksum than the one that was named.
    #[error("{doing}: the checksum of {what} is {actual}; name that, if it is the code that you mean")]
    OtherChecksum {
        /// What was done.
        doing: &'static str,
        /// The model or the circuit.
        what: &'static str,
        /// What it is.
        actual: String,
    },
    /// A version must be named.
    #[error("{doing}: name the model's version, too")]
    VersionMissing {
        /// What was done.
        doing: &'static str,
    },
    /// A version cannot be superseded by itself, or by one that is not there.
    #[error("superseding a model: {0} is that version itself, or is not registered")]
    BadSuccessor(Version),
    /// The circuit is of another model.
    #[error("registering a circuit: it does not say that it stands for this model{0}")]
    OtherModel(&'static str),
    /// A version of a model has as many circuits as it may have.
    #[error("registering a circuit: this version of the model has {MAX_CIRCUITS} circuits, retired ones among them, and may have no more; register another version")]
    TooManyCircuits,
    /// The proof does not show what it is to show.
    #[error("{doing}: the proof does not show that; prove this very input and output by this circuit")]
    InvalidProof {
        /// What was done.
        doing: &'static str,
    },
    /// The model is not to be used.
    #[error("requesting a run: this version of the model is deprecated; the query versions lists others")]
    Deprecated,
    /// A circuit that is not to be used, or that the request does not accept.
    #[error("{doing}: the circuit {why}")]
    CircuitNotAccepted {
        /// What was done.
        doing: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// Funds that are not what the message takes.
    #[error("{doing}: it takes {takes}")]
    Funds {
        /// What was done.
        doing: &'static str,
        /// What it takes.
        takes: String,
    },
    /// The fee is too low or in other coins.
    #[error("requesting a run: no terms are for a fee of {0}; the query config lists them")]
    Fee(Coin),
    /// The bond is too low.
    #[error("requesting a run: the bond must be {0} at least")]
    Bond(Uint256),
    /// A duration out of bounds.
    #[error("requesting a run: {name} is {seconds} seconds, allowed are 1 to {max}")]
    Duration {
        /// Which.
        name: &'static str,
        /// How long.
        seconds: u64,
        /// The limit.
        max: u64,
    },
    /// An account has many requests.
    #[error("requesting a run: {0} requests of this account have not ended; wait, or cancel some")]
    TooMany(u32),
    /// No input, so that whoever proves it would choose one.
    #[error("requesting a run: it gives the model nothing; give tensors, or hashes of what the prover holds")]
    EmptyInput,
    /// The input, the outputs or the proof is too large.
    #[error("reading {what}: its {actual} bytes are above the limit of {max}")]
    TooLarge {
        /// An input, outputs or a proof.
        what: &'static str,
        /// The size.
        actual: usize,
        /// The limit.
        max: usize,
    },
    /// Too many tensors or hashes.
    #[error("reading {what}: it has {actual} parts, allowed are {max}", max = aiinference_types::limits::MAX_PORTS)]
    TooManyParts {
        /// An input, or outputs.
        what: &'static str,
        /// How many.
        actual: usize,
    },
    /// A tensor that is none.
    #[error("reading {what}: number {index}: {error}")]
    Tensor {
        /// An input, or outputs.
        what: &'static str,
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        error: aiinference_std::Error,
    },
    /// A hash that is none.
    #[error("reading an input: hash {0} is not 32 bytes, big endian, of a number below the field's order, with a short name")]
    Hash(usize),
    /// A list that is too long.
    #[error("requesting a run: it accepts {0} structured reference strings, allowed are {max}", max = aiinference_types::limits::MAX_ACCEPTED_SRS)]
    TooManySrs(usize),
    /// The callback's gas limit.
    #[error("requesting a run: the callback's gas limit is {actual}, allowed are 1 to {max}")]
    CallbackGas {
        /// As given.
        actual: u64,
        /// The limit.
        max: u64,
    },
    /// The callback's message.
    #[error("requesting a run: what the callback is told has {0} bytes, allowed are {MAX_CALLBACK_MSG_BYTES}")]
    CallbackMsg(usize),
    /// There is no such request.
    #[error("{doing}: there is no request {id}: it was never made, or has ended and was told or discarded")]
    NoRequest {
        /// What was done.
        doing: &'static str,
        /// Its number.
        id: u64,
    },
    /// The request is not in a state for that.
    #[error("{doing}: the request {problem}")]
    WrongState {
        /// What was done.
        doing: &'static str,
        /// Why not.
        problem: &'static str,
    },
    /// The request is somebody's until then.
    #[error("{doing}: the request is its taker's until {until}; wait for that")]
    Taken {
        /// What was done.
        doing: &'static str,
        /// From then on it may be taken.
        until: Timestamp,
    },
    /// Less time would be left than the taker wants.
    #[error("taking a request: it would be the taker's for {left} whole seconds, and it wants {wanted}; leave it, or ask for less")]
    TooLittleTime {
        /// Seconds that would be left.
        left: u64,
        /// Seconds that were asked for.
        wanted: u64,
    },
    /// Nothing to do yet.
    #[error("expiring a request: nobody's time is up; its deadline is {0}")]
    NotYet(Timestamp),
    /// Nothing to pay.
    #[error("claiming: there is nothing in that denom; the query claimable lists what there is")]
    NothingToClaim,
    /// Coins that would be nobody's.
    #[error("claiming: the receiver is the registry itself, where coins would be nobody's; name an account")]
    BadReceiver,
    /// A reply to a message that was not sent.
    #[error("taking a reply: its id {0} is unknown")]
    UnknownReply(u64),
}
