//! What a node may see of its inferences: for metrics and logs, never for an answer.

use std::{fmt::Debug, time::Duration};

use aiinference_runtime::{Answer, ChainError};
use cosmwasm_std::Checksum;

/// Watches requests being answered. Called on the thread of the call, with the instance locked: it must be quick and must
/// not call into the chain. A panic of it is caught and forgotten.
pub trait Observer: Debug + Send + Sync {
    /// One request has been answered.
    fn answered(&self, observation: &Observation<'_>);
}

/// Where a call comes from, as far as the node knows it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The entry point that runs, "execute" say; empty if unknown.
    pub entry_point: &'static str,
    /// The `Env` that the contract gets, as JSON; empty if unknown.
    pub env: Vec<u8>,
}

/// A code that the chain was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The code id.
    pub code_id: u64,
    /// The checksum behind it, or why there is none.
    pub answer: Result<[u8; 32], ChainError>,
    /// Gas that asking used.
    pub gas: u64,
}

/// One request and what became of it.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The call that it was made in.
    pub origin: &'a Origin,
    /// Checksum of the calling contract.
    pub caller: &'a Checksum,
    /// The request, magic included.
    pub request: &'a [u8],
    /// Gas that it could spend.
    pub gas_left: u64,
    /// What the chain was asked, in order.
    pub asked: &'a [Asked],
    /// Checksums of the models used, in order, and whether each was in the cache.
    pub models: &'a [([u8; 32], bool)],
    /// The answer.
    pub answer: &'a Answer,
    /// Time it took.
    pub elapsed: Duration,
    /// Bytes of decoded models held now.
    pub cached_bytes: u64,
    /// Bytes held now of each of `models`; 0 for one that the cache had no room for.
    pub model_bytes: &'a [u64],
    /// Name of the kernels in use.
    pub kernels: &'static str,
}
