//! What can go wrong while relaying.

use std::path::PathBuf;

use aiinference_client::{ClientError, KeyError, KeyringError};

use crate::proof::ProofError;

/// A result of this crate.
pub type Result<T, E = RelayError> = std::result::Result<T, E>;

/// Why something was not relayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The configuration cannot be used.
    #[error("reading {}: {reason}", .path.display())]
    Config { path: PathBuf, reason: String },
    /// A key cannot be used.
    #[error("reading the key of {chain}: {reason}")]
    Key { chain: String, reason: String },
    /// A chain that is not in the configuration.
    #[error("looking for chain {wanted}: the configuration names only {known}; add a [[chains]] table for it")]
    UnknownChain { wanted: String, known: String },
    /// A chain of which no node could be used.
    #[error("relaying over {chain}: no node of it could be used; what is wrong with it was said before")]
    NoChain { chain: String },
    /// Talking to a node, or what the chain says to a request.
    #[error("{chain}: {source}")]
    Client { chain: String, source: Box<ClientError> },
    /// A node's answer is not what was asked for.
    #[error("reading what {chain} answers to {what}: {reason}; ask another node")]
    Answer {
        chain: String,
        what: String,
        reason: String,
    },
    /// A header that does not follow from what the light client trusts.
    #[error("verifying block {height} of {chain}: {reason}; the node may be on a fork: ask another node")]
    Header { chain: String, height: u64, reason: String },
    /// A node that tells of no new blocks.
    #[error("following {chain}: {node} has told of no block after {last} for {seconds} s; it hangs, or the chain has halted: the next node in `rpc` is asked, if there is one")]
    NoBlock {
        chain: String,
        last: u64,
        node: String,
        seconds: u64,
    },
    /// A proof that proves nothing.
    #[error("verifying the proof of {what} on {chain}: {source}; ask another node")]
    Proof {
        chain: String,
        what: String,
        source: ProofError,
    },
    /// A light client that takes no headers any more.
    #[error("using light client {client} of {tracks} on {chain}: it is {status}; {next}")]
    ClientStopped {
        chain: String,
        client: String,
        tracks: String,
        status: String,
        next: &'static str,
    },
    /// A light client that trusts a block which its chain does not have.
    #[error("comparing light client {client} on {chain} with {tracks}: it trusts another block {height} than the chain has, and the validators of {tracks} signed both; the chain's own header is sent as evidence, which freezes the client")]
    Fork {
        chain: String,
        client: String,
        tracks: String,
        height: u64,
    },
    /// Things on the two chains that do not belong together.
    #[error("checking {what}: {reason}")]
    Mismatch { what: String, reason: String },
    /// An event that the nodes do not have (any more).
    #[error("looking for the event of packet {sequence} of {channel} on {chain}: no node has it; configure one with a transaction index that reaches back so far")]
    NoEvent {
        chain: String,
        channel: String,
        sequence: u64,
    },
    /// A transaction that needs more gas than is allowed.
    #[error(
        "sending to {chain}: {what} takes {gas} gas, above the limit of {limit}; raise `max_gas` if that is intended"
    )]
    Gas {
        chain: String,
        what: String,
        gas: u64,
        limit: u64,
    },
    /// The account cannot pay.
    #[error("sending to {chain}: account {address} cannot pay the fee ({log}); send it some tokens")]
    Poor {
        chain: String,
        address: String,
        log: String,
    },
    /// Something local.
    #[error("{doing}: {reason}")]
    Local { doing: &'static str, reason: String },
}

impl RelayError {
    /// The error of a client at a chain.
    pub fn at(chain: &str) -> impl Fn(ClientError) -> RelayError + '_ {
        move |source| RelayError::Client {
            chain: chain.into(),
            source: Box::new(source),
        }
    }

    /// The codespace, code and log with which a chain refused, if it was that.
    pub fn refusal(&self) -> Option<(&str, u32, &str)> {
        match self {
            RelayError::Client { source, .. } => match source.as_ref() {
                ClientError::Refused {
                    codespace, code, log, ..
                }
                | ClientError::Query {
                    codespace, code, log, ..
                } => Some((codespace, *code, log)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What errors of the same origin have in common, however their texts differ. Only names of the configuration and of
    /// chains' objects are in it: nobody can make up many.
    pub fn kind(&self) -> String {
        match self {
            RelayError::Config { .. } => "configuration".into(),
            RelayError::Key { chain, .. } => format!("key of {chain}"),
            RelayError::UnknownChain { .. } => "unknown chain".into(),
            RelayError::NoChain { chain } => format!("no node of {chain}"),
            RelayError::Client { chain, .. } if self.refusal().is_some() => format!("refused by {chain}"),
            RelayError::Client { chain, .. } => format!("node of {chain}"),
            RelayError::Answer { chain, .. } => format!("answer of {chain}"),
            RelayError::Header { chain, .. } => format!("header of {chain}"),
            RelayError::NoBlock { chain, .. } => format!("blocks of {chain}"),
            RelayError::Proof { chain, .. } => format!("proof of {chain}"),
            RelayError::ClientStopped { chain, client, .. } => format!("light client {client} on {chain}"),
            RelayError::Fork { tracks, .. } => format!("fork of {tracks}"),
            RelayError::Mismatch { .. } => "mismatch".into(),
            RelayError::NoEvent { chain, .. } => format!("event of {chain}"),
            RelayError::Gas { chain, .. } => format!("gas on {chain}"),
            RelayError::Poor { chain, .. } => format!("account on {chain}"),
            RelayError::Local { doing, .. } => (*doing).into(),
        }
    }

    /// Whether asking another node may help.
    pub fn is_nodes_fault(&self) -> bool {
        match self {
            RelayError::Client { source, .. } => nodes_fault(source),
            RelayError::Answer { .. }
            | RelayError::Header { .. }
            | RelayError::NoBlock { .. }
            | RelayError::Proof { .. } => true,
            _ => false,
        }
    }

    /// Whether trying again by itself changes nothing: somebody has to do something.
    pub fn needs_somebody(&self) -> bool {
        match self {
            RelayError::ClientStopped { .. }
            | RelayError::Fork { .. }
            | RelayError::Poor { .. }
            | RelayError::Gas { .. }
            | RelayError::Config { .. }
            | RelayError::Key { .. }
            | RelayError::UnknownChain { .. }
            | RelayError::Mismatch { .. } => true,
            RelayError::Client { source, .. } => {
                matches!(**source, ClientError::OtherChain { .. } | ClientError::NoAccount { .. })
            }
            _ => false,
        }
    }
}

/// Whether an error says something about the node that was asked, not about the chain.
pub(crate) fn nodes_fault(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unreachable { .. }
            | ClientError::TooLarge { .. }
            | ClientError::Node { .. }
            | ClientError::Answer { .. }
            | ClientError::OtherChain { .. }
    )
}

impl From<KeyError> for RelayError {
    fn from(error: KeyError) -> Self {
        RelayError::Key {
            chain: "a chain".into(),
            reason: error.to_string(),
        }
    }
}

impl From<KeyringError> for RelayError {
    fn from(error: KeyringError) -> Self {
        RelayError::Key {
            chain: "a chain".into(),
            reason: error.to_string(),
        }
    }
}
