//! Asks models on another chain for the contracts and accounts of this one, and tells them the answers. Needs no more than
//! a stock CosmWasm chain with IBC. `docs/spec/ibc.md` has the protocol, `docs/interchain.md` the guide.
//!
//! # Life of a question
//!
//! ```text
//!            ask            acknowledgement, timeout or abandon
//! (nothing) -----> sent ----------------------------------------> kept         no callback was asked for
//!                    \                                             |
//!                     `--> delivering --callback succeeds--> gone <-+-- discard
//!                              \                             ^     |
//!                               `-callback fails--> undelivered ---'
//!                                                     (deliver: tried again)
//! ```
//!
//! - **sent**: the record lies in storage, found by channel and sequence.
//! - **delivering**: from acknowledgement or timeout until the callback has run. The record is in no storage: it travels
//!   with the callback's submessage, whose failure hands it back. Nobody can deliver, discard or end it a second time, whatever the
//!   callback does.
//! - **undelivered**, **kept**: record and result lie in storage until somebody fetches and discards them, or has them delivered.
//! - Delivering again takes the record out first, too; where that callback fails, the whole transaction does, and all
//!   is as before.
//!
//! - **abandon** ends a question only once its channel is closed: then no acknowledgement comes any more, which the chain refuses
//!   there. Else it is an end like any other.
//!
//! A chain takes one acknowledgement or one timeout for each packet, and the record is gone from the first on: a question ends
//! exactly once.
//!
//! # Events
//! All attributes are in the contract's `wasm` event.
//!
//! | `action` | further attributes |
//! |---|---|
//! | `instantiate`, `update_config` | `owner` |
//! | `ask`, `withdraw`, `set_recovery` | `initiator`, `id`; with the packet's number: `channel`, `sequence` |
//! | `answer` | `id`, `initiator`, `outcome` (`answered`, `withdrawn`, `recovery_set`, or `error`), `code` of an error, `callback` (whether one runs; it succeeded where no `undelivered` follows) |
//! | `undelivered` | `id`, `initiator`, `reason` |
//! | `unknown` | `channel`, `sequence`: a packet that no record is of; nothing was done |
//! | `deliver`, `discard` | `id`, `initiator` |
//! | `open_channel`, `connect_channel`, `close_channel` | `channel`, `connection`, `counterparty_port` |
//! | `migrate` | `from`, `to` |

mod answer;
mod ask;
mod channel;
mod check;
pub mod contract;
mod deliver;
mod error;
pub mod msg;
mod query;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod state;

pub use error::ContractError;
