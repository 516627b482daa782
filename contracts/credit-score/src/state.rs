//! What the contract keeps.

use cosmwasm_std::Addr;
use cw_storage_plus::{Item, Map};

use crate::msg::{Config, Decision};

pub const CONFIG: Item<Config> = Item::new("config");
/// Number of the last decision.
pub const LAST_NUMBER: Item<u64> = Item::new("last_number");
/// The last decision on each address.
pub const DECISIONS: Map<&Addr, Decision> = Map::new("decisions");
