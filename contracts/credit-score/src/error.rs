//! What the contract refuses, and why.

use aiinference_std::Checksum;
use cosmwasm_std::{Decimal, StdError};

use crate::{msg::ModelKind, Feature};

/// A refusal. Nothing is stored where one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, queries.
    #[error(transparent)]
    Std(#[from] StdError),
    /// The model could not be run.
    #[error(transparent)]
    Inference(#[from] aiinference_std::Error),
    /// The sender may not do this.
    #[error("changing the configuration: only the admin may; ask the query config who that is")]
    Unauthorized,
    /// A threshold that decides nothing.
    #[error("setting the threshold to {0}: it must lie between 0 and 1")]
    ThresholdOutOfRange(Decimal),
    /// The model asked for was not given at instantiation.
    #[error("choosing the model: this contract has no {0}; the query config lists its models")]
    NoSuchModel(ModelKind),
    /// Another module is stored under the code id than was announced.
    #[error("taking code {code_id} as {kind}: its checksum is {actual}, not {expected}; give the code id of the module that was meant")]
    ChecksumMismatch {
        /// For which part.
        kind: ModelKind,
        /// The code id given.
        code_id: u64,
        /// The checksum given.
        expected: Checksum,
        /// The chain's.
        actual: Checksum,
    },
    /// The model's inputs and outputs are not those this contract feeds and reads.
    #[error("taking code {code_id} as {kind}: {problem}; convert the model in model/ for it")]
    WrongSignature {
        /// For which part.
        kind: ModelKind,
        /// The code id given.
        code_id: u64,
        /// What differs.
        problem: String,
    },
    /// A feature's value means nothing.
    #[error("reading the application: {} is {value}, it must lie between {} and {}", feature.name, feature.min, feature.max)]
    FeatureOutOfRange {
        /// Which.
        feature: Feature,
        /// The value given.
        value: i64,
    },
    /// No application of this address.
    #[error("looking up the decision: {0} has not applied")]
    NoDecision(String),
}
