//! What can go wrong between this machine and a chain.

use crate::{key::KeyError, keyring::KeyringError, upload::PackageError};

/// Bytes of a node's text that are shown.
const SHOWN: usize = 4096;

/// Why something asked of a chain was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The node's address is no URL that can be used.
    #[error("reading the node's address {url:?}: {reason}; give one like http://127.0.0.1:26657")]
    Url { url: String, reason: String },
    /// Nothing came back from the node.
    #[error("asking the node at {url} for {what}: {reason}; check that it runs and that this is its RPC address")]
    Unreachable {
        url: String,
        what: String,
        reason: String,
        /// Whether the node may have got the request.
        sent: bool,
    },
    /// The node's answer is larger than any honest one.
    #[error("asking the node at {url} for {what}: its answer is above {limit} bytes; ask another node")]
    TooLarge { url: String, what: String, limit: usize },
    /// The node answered an error of its own, not one of the chain.
    #[error("asking the node at {url} for {what}: it answers {reason:?}")]
    Node { url: String, what: String, reason: String },
    /// The answer is not what was asked for.
    #[error("reading the answer of the node at {url} to {what}: {reason}; ask another node")]
    Answer { url: String, what: String, reason: String },
    /// The node belongs to another chain than the one named.
    #[error(
        "connecting to {url}: it is a node of {found}, not of {expected}; change the node's address or the chain id"
    )]
    OtherChain {
        url: String,
        found: String,
        expected: String,
    },
    /// The chain answered a query with an error.
    #[error("querying {what}: {log} ({codespace} code {code})")]
    Query {
        what: String,
        codespace: String,
        code: u32,
        log: String,
    },
    /// The chain refused a transaction.
    #[error("{doing}: the chain refused it with {codespace} code {code}: {log}{}", hash_note(.hash))]
    Refused {
        doing: &'static str,
        codespace: String,
        code: u32,
        log: String,
        hash: Option<String>,
    },
    /// The transaction was sent, and is in no block yet.
    #[error(
        "waiting for transaction {hash}: it is in no block after {seconds} s, and may still come; \
         look later with `aiinference query tx {hash}`"
    )]
    NotIncluded { hash: String, seconds: u64 },
    /// The account has never been seen by the chain.
    #[error("looking up account {address}: {chain} does not know it; send it some tokens first")]
    NoAccount { address: String, chain: String },
    /// Sequence numbers kept running away: somebody else signs with the same key.
    #[error("sending from {address}: its sequence number changed {attempts} times meanwhile; does another program use this key?")]
    Sequence { address: String, attempts: u32 },
    /// A node on another machine asks for fees, which the user has to agree to.
    #[error("choosing a fee: the node at {url} asks for {price} a unit of gas; agree to it with --gas-price {price}")]
    GasPrice { url: String, price: String },
    /// A node on another machine says which chain it is of, which the user has to agree to before signing for that chain.
    #[error("signing a transaction: the node at {url} says that its chain is {chain:?}; agree to it with --chain-id {chain}")]
    ChainId { url: String, chain: String },
    /// A node says that a transaction uses more gas than any does.
    #[error("choosing a gas limit: the node at {url} asks for {gas}; set one with --gas if you believe it")]
    Estimate { url: String, gas: u64 },
    /// A transaction larger than a node takes.
    #[error("sending a transaction: its {size} bytes are above the {limit} that nodes take; send less in one")]
    TooLargeTx { size: usize, limit: usize },
    /// Text of the user that is not what it should be.
    #[error("reading {what} {text:?}: {reason}")]
    Input {
        what: &'static str,
        text: String,
        reason: String,
    },
    /// A message of a kind that has no JSON form here.
    #[error("writing an unsigned transaction: messages of type {0} have no JSON form here; sign it in this program")]
    NoJson(String),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key's file.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Uploads.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl ClientError {
    /// The sequence number that the chain wants instead, where that is what went wrong.
    pub(crate) fn expected_sequence(&self) -> Option<u64> {
        let (ClientError::Refused { log, .. } | ClientError::Query { log, .. }) = self else {
            return None;
        };
        let rest = &log[log.find(WRONG_SEQUENCE)? + WRONG_SEQUENCE.len()..];
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// Whether the node refused a signed transaction, not a mere trial of one.
    pub(crate) fn was_signed(&self) -> bool {
        matches!(self, ClientError::Refused { .. })
    }

    /// Whether the node's mempool has no room at the moment.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            ClientError::Node { reason, .. } => reason.contains("mempool is full"),
            ClientError::Refused { codespace, code, .. } => codespace == "sdk" && *code == SDK_MEMPOOL_FULL,
            _ => false,
        }
    }
}

/// What the SDK's log says before the number that it wants.
const WRONG_SEQUENCE: &str = "account sequence mismatch, expected ";

/// The SDK's code for a mempool without room.
const SDK_MEMPOOL_FULL: u32 = 20;

fn hash_note(hash: &Option<String>) -> String {
    hash.as_ref()
        .map(|hash| format!(" (transaction {hash})"))
        .unwrap_or_default()
}

/// A node's text as it may be shown: within bounds, and without characters that steer a terminal.
pub fn printable(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|&at| out.is_char_boundary(at)).unwrap_or(0);
        out.truncate(end);
        out.push_str(" ...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_sequence_is_read_from_the_chains_log() {
        let refused = |log: &str| ClientError::Refused {
            doing: "sending",
            codespace: "sdk".into(),
            code: 32,
            log: log.into(),
            hash: None,
        };
        let log = "account sequence mismatch, expected 17, got 9: incorrect account sequence";
        assert_eq!(refused(log).expected_sequence(), Some(17));
        assert_eq!(
            refused("account sequence mismatch, expected x").expected_sequence(),
            None
        );
        assert_eq!(refused("out of gas").expected_sequence(), None);
    }

    #[test]
    fn text_of_a_node_cannot_steer_the_terminal_or_flood_it() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a [2Jb c");
        let long = printable(&"ä".repeat(10_000));
        assert!(long.len() <= SHOWN + 4 && long.ends_with(" ..."), "{}", long.len());
    }
}
