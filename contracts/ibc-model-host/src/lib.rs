//! Answers questions that other chains ask models of this one, over channels of the protocol `aiinference-1`
//! (`docs/spec/ibc.md`): many queries a packet, reads of this chain's state, models, chained; prepaid by the askers.
//!
//! # Events
//! All attributes are in the contract's `wasm` event.
//!
//! | `action` | further attributes |
//! |---|---|
//! | `instantiate`, `update_config` | `owner` |
//! | `connect`, `close` | `channel`, `connection`, `port` |
//! | `answer` | `channel`, `queries`, `paid` (amount and denom), `relayer` |
//! | `withdraw` | `channel`, `amount`, `paid`, `relayer` |
//! | `set_recovery` | `channel`, `recovery`, `paid`, `relayer` |
//! | `refuse` | `channel`, `code`: a number of `docs/spec/errors.md` |
//! | `deposit` | `connection`, `port`, `asker`, `amount` |
//! | `recover`, `claim_rewards`, `withdraw_takings` | `receiver`, `paid` |
//! | `migrate` | `from`, `to` |

pub mod contract;
mod credit;
mod error;
pub mod ibc;
mod json;
pub mod msg;
mod packet;
mod price;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod state;
mod work;

pub use error::ContractError;
