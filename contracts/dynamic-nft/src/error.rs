//! What the contract refuses, and why.

use aiinference_std::Checksum;
use cosmwasm_std::{Decimal, StdError};
use cw721::error::Cw721ContractError;

/// A refusal. Nothing is stored where one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses, queries.
    #[error(transparent)]
    Std(#[from] StdError),
    /// What cw721 refuses.
    #[error(transparent)]
    Cw721(#[from] Cw721ContractError),
    /// The models could not be run.
    #[error(transparent)]
    Inference(#[from] aiinference_std::Error),
    /// The sender may not do this.
    #[error("{action}: only the {role} may; ask the extension query config who that is")]
    Unauthorized {
        /// What was being done.
        action: &'static str,
        /// Who may.
        role: &'static str,
    },
    /// Another module is stored under the code id than was announced.
    #[error("taking code {code_id} as {part}: its checksum is {actual}, not {expected}; give the code id of the module that was meant")]
    ChecksumMismatch {
        /// For which part.
        part: &'static str,
        /// The code id given.
        code_id: u64,
        /// The checksum given.
        expected: Checksum,
        /// The chain's.
        actual: Checksum,
    },
    /// A model's inputs and outputs are not those this contract feeds and reads.
    #[error("taking code {code_id} as {part}: {problem}; convert the model in model/ for it")]
    WrongSignature {
        /// For which part.
        part: &'static str,
        /// The code id given.
        code_id: u64,
        /// What differs.
        problem: String,
    },
    /// The painter's answer is no picture.
    #[error("reading the picture: {0} pixel values instead of {1}; the model has changed")]
    WrongPicture(usize, usize),
    /// A price that no market has.
    #[error("posting the price {0}: it must lie between 0.000001 and 1000000000000")]
    PriceOutOfRange(Decimal),
    /// Too soon.
    #[error("posting a price: the last one came {since} s ago, they must be {interval} s apart; post again later")]
    TooSoon {
        /// Seconds since the last price.
        since: u64,
        /// Seconds that must lie between two.
        interval: u64,
    },
    /// An interval that would let one block overwrite another's price.
    #[error("setting the interval between prices: it must be at least 1 s")]
    ZeroInterval,
    /// A token id that is empty or too long.
    #[error("minting: a token id has 1 to {max} bytes, this one {actual}")]
    TokenId {
        /// Bytes allowed.
        max: usize,
        /// Bytes given.
        actual: usize,
    },
    /// Ids are never given twice, so that a past picture is one token's.
    #[error("minting: there has been a token {0} before; take another id")]
    TokenIdUsed(String),
    /// Metadata is computed here.
    #[error("{0}: this collection's metadata is drawn by its models and cannot be set or searched; query nft_info")]
    MetadataIsDrawn(&'static str),
    /// More tokens than one call takes.
    #[error("announcing: at most {max} tokens a call, these are {actual}")]
    TooManyTokens {
        /// Tokens allowed.
        max: usize,
        /// Tokens given.
        actual: usize,
    },
    /// No such token at that time.
    #[error("drawing token {token_id} as of {time}: {problem}")]
    NoPicture {
        /// Which token.
        token_id: String,
        /// Unix time in seconds.
        time: u64,
        /// Why.
        problem: &'static str,
    },
}
