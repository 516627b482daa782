//! The registry of a chain: names of models, circuits by which runs of them are proven, and requests for such runs.
//!
//! # Life of a request
//!
//! ```text
//!           request        take                    fulfil
//! (nothing) ------> open <------> taken ---------------------> ended: callback, or kept
//!                    |   expire,    \     (fee, bond: taker)     ^
//!                    |   take again  \                           |
//!                    |  (bond: requester)                        |
//!                    |\______________ expire at the deadline ____/
//!                    |         (fee, bond: requester)
//!                    `-cancel-> gone  (fee: requester)
//! ```
//!
//! What ends a request takes it out of storage first; it travels with the callback's submessage, whose failure hands it back
//! (**undelivered**). So nobody ends or tells it a second time, whatever the callback does. Who ends it may also defer the callback: then it
//! is undelivered from the start. Anybody may deliver it, with no less gas than the requester asked for. Without a callback it is
//! **kept** until its requester discards it.
//!
//! Coins are sent where they are due. Where the chain refuses to, they stay here, for their owner to `claim`.
//!
//! # Events
//! All attributes are in the contract's `wasm` event. Amounts are written as `12ucoin`, times as nanoseconds since 1970.
//!
//! | `action` | further attributes |
//! |---|---|
//! | `instantiate`, `update_config` | `admin` |
//! | `register_model` | `name`, `version`, `owner`; where there is code: `code_id` |
//! | `set_status` | `name`, `version`, `status` (`active`, `deprecated` or `superseded`) |
//! | `transfer_name` | `name`, `owner`; `offered` unless withdrawn |
//! | `accept_name` | `name`, `owner` |
//! | `register_circuit` | `name`, `version`, `circuit` (its code id), `reproducible`, `srs` |
//! | `approve_circuit` | `name`, `version`, `circuit`, `approved` |
//! | `retire_circuit` | `name`, `version`, `circuit`, `retired` |
//! | `request` | `id`, `requester`, `name`, `version`, `circuit`, `fee`, `bond`, `deadline`; `prover` where one alone may take it |
//! | `take` | `id`, `requester`, `circuit`, `prover`, `until`; `forfeited` by, where a former taker lost its bond |
//! | `reopen` | `id`, `requester`, `circuit`, `forfeited`: by whom the bond was lost to the requester |
//! | `end` | `id`, `requester`, `circuit`, `outcome` (`proven`, `deadline_passed` or `circuit_disapproved`), `callback` (`true`: it runs, and succeeded where no `undelivered` follows; `deferred`: it waits for `deliver`; `false`: none was asked for); `prover` where it was proven; `forfeited` where a taker lost its bond |
//! | `cancel` | `id`, `requester`, `circuit`; `forfeited` where a taker lost its bond |
//! | `undelivered` | `id`, `requester`, `reason` |
//! | `deliver`, `discard` | `id`, `requester` |
//! | `unpaid` | `receiver`, `amount`: what the chain did not send, and may be claimed now |
//! | `claim` | `account`, `receiver`, `amount` |
//! | `migrate` | `from`, `to` |

mod check;
mod circuits;
pub mod contract;
mod end;
mod error;
pub mod msg;
mod names;
mod pay;
mod query;
mod record;
mod request;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod state;
mod version;

pub use error::ContractError;
pub use version::VersionError;
