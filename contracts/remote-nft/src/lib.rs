//! A cw721 collection whose pictures follow a model on another chain, asked through `ibc-model-client`. This chain needs no
//! extension.
//!
//! `refresh` asks the mood model for a token; the answer comes back as `model_answer`, is stored with its receipt, and
//! `nft_info` draws it as an SVG. A failure is stored and shown as well, beside the last good picture; refresh again.
//!
//! # Events
//! All attributes are in the contract's `wasm` event; those of cw721 are its own.
//!
//! | `action` | further attributes |
//! |---|---|
//! | `instantiate` | `client`, `channel` |
//! | `refresh` | `token_id`, `number` |
//! | `picture` | `token_id`, `number`, `height`, `price`; and the event `wasm-metadata_update` with `token_id` |
//! | `failure` | `token_id`, `number`, `code`, `message` |
//! | `stale` | `token_id`, `number`: an answer to an earlier question than the last, or for a burned token; it is dropped |
//! | `fund` | `host`, `amount` |
//! | `withdraw` | `receiver`; when it is done: `amount`, or `code` and `message` |
//! | `update_config` | `channel` |
//! | `migrate` | `from`, `to` |

mod art;
pub mod contract;
mod credit;
mod error;
pub mod msg;
mod refresh;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod state;

pub use error::ContractError;
