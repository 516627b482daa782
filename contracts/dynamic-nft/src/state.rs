//! What the collection keeps beside cw721's own state.
//!
//! Every record is one the sender pays for: a posted price (at most one an interval), a mint, a transfer. Nothing that
//! one call reads or writes grows with their number.

use cosmwasm_schema::cw_serde;
use cosmwasm_std::Decimal;
use cw_storage_plus::{Item, Map};

use crate::{market::Market, msg::ArtConfig};

/// A posted price and what the market looked like with it.
#[cw_serde]
pub struct Posted {
    pub price: Decimal,
    pub market: Market,
}

/// From when to when a token exists, in seconds.
#[cw_serde]
pub struct Life {
    pub minted: u64,
    pub burned: Option<u64>,
}

pub const ART: Item<ArtConfig> = Item::new("art");
/// The last prices, oldest first; never more than the window.
pub const WINDOW_PRICES: Item<Vec<Decimal>> = Item::new("art_window");
/// Time of the last price.
pub const LAST_POST: Item<u64> = Item::new("art_last_post");
/// Number of prices posted.
pub const POSTS: Item<u64> = Item::new("art_posts");
/// By the time of posting.
pub const POSTED: Map<u64, Posted> = Map::new("art_posted");
/// Every token there has ever been.
pub const LIVES: Map<&str, Life> = Map::new("art_lives");
/// By token and the time at which an owner received it: how often it had changed hands then.
pub const RECEIVED: Map<(&str, u64), u32> = Map::new("art_received");
