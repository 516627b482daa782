//! What the contract keeps beside cw721's own.

use cosmwasm_schema::cw_serde;
use cosmwasm_std::{SignedDecimal, Timestamp};
use cw_storage_plus::{Item, Map};

use crate::msg::{Config, Failed, Picture};

pub const CONFIG: Item<Config> = Item::new("remote_config");
pub const TOKENS: Map<&str, Token> = Map::new("remote_tokens");

/// What makes a token's picture.
#[cw_serde]
pub struct Token {
    /// Eight numbers given at the mint.
    pub traits: Vec<SignedDecimal>,
    /// Time of the mint.
    pub minted: Timestamp,
    /// Since when the owner has it.
    pub received: Timestamp,
    /// How often it changed hands.
    pub transfers: u32,
    /// How often it was asked for. Only the answer to the last question counts.
    pub number: u64,
    /// Since when an answer is awaited.
    pub asked: Option<Timestamp>,
    /// The last answer.
    pub picture: Option<Picture>,
    /// Why the last question failed.
    pub failure: Option<Failed>,
}
