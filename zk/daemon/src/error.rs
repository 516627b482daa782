//! Why the daemon cannot do something.

use std::path::PathBuf;

use aiinference_client::ClientError;
use aiinference_zk::{CircuitError, ToolError};

use crate::store::StoreError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProverError {
    /// The configuration.
    #[error("reading the configuration {path}: {reason}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key.
    #[error("reading the prover's key: {0}")]
    Key(String),
    /// A circuit's folder.
    #[error("opening the circuit in {path}: {source}", path = .path.display())]
    Circuit {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: CircuitError,
    },
    /// ezkl.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The memory of jobs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain, or a node of it.
    #[error(transparent)]
    Chain(#[from] ClientError),
    /// A contract that does not answer as a registry does.
    #[error("reading the answer of the registry to {what}: {reason}; is {registry} a registry of this version?")]
    Registry {
        /// The contract.
        registry: String,
        /// What it was asked.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A file.
    #[error("{doing} {path}: {reason}", path = .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
    /// Something of this machine.
    #[error("{doing}: {reason}")]
    Local {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        reason: String,
    },
}

/// What functions here give.
pub type Result<T, E = ProverError> = std::result::Result<T, E>;

impl ProverError {
    /// Whether another node might do better: this one is away, or its answers are none.
    pub fn is_nodes_fault(&self) -> bool {
        matches!(
            self,
            ProverError::Chain(
                ClientError::Unreachable { .. }
                    | ClientError::Node { .. }
                    | ClientError::Answer { .. }
                    | ClientError::TooLarge { .. }
                    | ClientError::OtherChain { .. }
            )
        )
    }
}
