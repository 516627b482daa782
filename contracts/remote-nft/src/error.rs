//! What the contract refuses, and why.

use cosmwasm_std::StdError;
use cw721::error::Cw721ContractError;

/// A refusal. Nothing is stored where one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, JSON.
    #[error(transparent)]
    Std(#[from] StdError),
    /// What cw721 refuses.
    #[error(transparent)]
    Cw721(#[from] Cw721ContractError),
    /// A tensor that cannot be made.
    #[error(transparent)]
    Tensor(#[from] aiinference_std::Error),
    /// The sender may not do this.
    #[error("{action}: only {role} may")]
    Unauthorized {
        /// What was being done.
        action: &'static str,
        /// Who may.
        role: &'static str,
    },
    /// A token id that is empty or too long.
    #[error("minting: a token id has 1 to 128 bytes, this one {0}")]
    TokenId(usize),
    /// Not eight traits.
    #[error("minting: a token has 8 traits, these are {0}; contracts/dynamic-nft/model/inputs.json lists them")]
    Traits(usize),
    /// An answer is awaited.
    #[error("refreshing: an answer is awaited since {asked}; it can be asked again {timeout} s after that")]
    Awaited {
        /// Unix time in seconds.
        asked: u64,
        /// Seconds.
        timeout: u64,
    },
    /// A time that no packet waits.
    #[error("configuring: a timeout of {0} s; it must lie between 1 s and a year")]
    Timeout(u64),
    /// Metadata is computed here.
    #[error("searching by metadata: this collection's is drawn from a model's answers; query nft_info")]
    MetadataIsDrawn,
}
