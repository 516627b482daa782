//! One inference, as it is logged.

use aiinference_runtime::{Answer, ChainError};
use serde::{Deserialize, Serialize};

/// One request and all that its answer rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where on the chain it was made.
    #[serde(flatten)]
    pub position: Position,
    /// Checksum of the calling contract's code.
    #[serde(with = "hex::serde")]
    pub caller: [u8; 32],
    /// The request, magic included.
    #[serde(with = "base64_bytes")]
    pub request: Vec<u8>,
    /// Gas that it could spend.
    pub gas_left: u64,
    /// What the chain was asked on its behalf, in order.
    pub asked: Vec<Asked>,
    /// What became of it.
    pub outcome: Outcome,
    /// Kernels that ran.
    pub kernels: String,
    /// Version of the library.
    pub version: String,
}

/// Where on the chain a request was made. The same block, transaction and call on every node; simulations and queries
/// have positions too, which may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Height of the block.
    pub height: u64,
    /// Place of the transaction in it; none outside of transactions.
    pub transaction: Option<u32>,
    /// Address of the contract.
    pub contract: String,
    /// The entry point that ran.
    pub entry_point: String,
}

/// A code that the chain was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The code id.
    pub code_id: u64,
    /// What it said.
    pub said: Said,
    /// Gas that asking used.
    pub gas: u64,
}

/// What the chain says of a code id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The checksum of the code.
    Checksum(#[serde(with = "hex::serde")] [u8; 32]),
    /// There is no such code.
    NoSuchCode,
    /// The query failed with this text.
    Failed(String),
    /// The query ended the call.
    Abort,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, be it with an error.
    Done {
        /// The encoded `aiinference.v1.Response`.
        #[serde(with = "base64_bytes")]
        response: Vec<u8>,
        /// Gas charged.
        gas: u64,
        /// Gas of inner queries.
        external: u64,
    },
    /// More than the gas left.
    OutOfGas {
        /// Gas charged.
        gas: u64,
        /// Gas of inner queries.
        external: u64,
    },
    /// Ended by an inner query or by a fault of the node.
    Abort {
        /// Gas charged.
        gas: u64,
        /// Gas of inner queries.
        external: u64,
        /// What the node cannot read. Its own affair: other nodes answer.
        fault: Option<String>,
    },
}

impl From<&Answer> for Outcome {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Done {
                response,
                gas,
                external,
            } => Outcome::Done {
                response: response.clone(),
                gas: *gas,
                external: *external,
            },
            Answer::OutOfGas { gas, external } => Outcome::OutOfGas {
                gas: *gas,
                external: *external,
            },
            Answer::Abort { gas, external, fault } => Outcome::Abort {
                gas: *gas,
                external: *external,
                fault: fault.as_ref().map(|fault| fault.0.clone()),
            },
        }
    }
}

impl From<&Result<[u8; 32], ChainError>> for Said {
    fn from(answer: &Result<[u8; 32], ChainError>) -> Self {
        match answer {
            Ok(checksum) => Said::Checksum(*checksum),
            Err(ChainError::NoSuchCode) => Said::NoSuchCode,
            Err(ChainError::Failed(text)) => Said::Failed(text.clone()),
            Err(ChainError::Abort) => Said::Abort,
        }
    }
}

impl From<&Said> for Result<[u8; 32], ChainError> {
    fn from(said: &Said) -> Self {
        match said {
            Said::Checksum(checksum) => Ok(*checksum),
            Said::NoSuchCode => Err(ChainError::NoSuchCode),
            Said::Failed(text) => Err(ChainError::Failed(text.clone())),
            Said::Abort => Err(ChainError::Abort),
        }
    }
}

/// Bytes as base64.
mod base64_bytes {
    use base64::{engine::general_purpose::STANDARD, Engine};
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(deserializer)?)
            .map_err(D::Error::custom)
    }
}
