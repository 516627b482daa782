//! What the contract keeps.

use cosmwasm_schema::cw_serde;
use cosmwasm_std::{Addr, Binary, Timestamp, Uint128};
use cw_storage_plus::{Item, Map};

use crate::msg::{Config, Peer, Totals};

pub const CONFIG: Item<Config> = Item::new("config");
/// The other end of each open channel, by this chain's.
pub const CHANNELS: Map<&str, Peer> = Map::new("channels");
/// How many channels are open with each connection and port.
pub const OPEN: Map<(&str, &str), u32> = Map::new("open");
/// By connection, port and asker.
pub const ACCOUNTS: Map<(&str, &str, &str), Holder> = Map::new("accounts");
/// Accounts ever made.
pub const LAST_ACCOUNT: Item<u64> = Item::new("last_account");
/// By account and denom.
pub const CREDITS: Map<(u64, &str), Uint128> = Map::new("credits");
/// By relayer and denom.
pub const REWARDS: Map<(&Addr, &str), Uint128> = Map::new("rewards");
/// What is owed, by denom.
pub const TOTALS: Map<&str, Totals> = Map::new("totals");

/// Between the receipt of a packet and the last reply: what is made of its acknowledgement.
pub const PROGRESS: Item<Progress> = Item::new("progress");
/// Between the same: encoded answers in parts, by the first query that they answer and the part's number.
pub const ENTRIES: Map<u32, Binary> = Map::new("entries");

/// An account.
#[cw_serde]
pub struct Holder {
    /// The number of the account.
    pub id: u64,
    /// Who may take the credit out once the channel is dead.
    pub recovery: Addr,
    /// The last packet or deposit.
    pub last_active: Timestamp,
}

/// How far the answering of a packet is.
#[cw_serde]
pub struct Progress {
    /// Bytes left in the acknowledgement.
    pub room: u32,
    /// What was paid so far.
    pub paid: Uint128,
}
