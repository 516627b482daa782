//! Decides on credits by a model on chain: a gradient-boosted tree ensemble or a multi-layer perceptron, both trained
//! on the German credit data (`model/`). Every decision says why: the score, the threshold, and which model gave it.
//!
//! # Events
//! All attributes are in the contract's `wasm` event.
//!
//! | `action` | further attributes |
//! |---|---|
//! | `instantiate` | `admin`, `threshold`, `decides`, and for each model `trees` / `mlp`: its checksum |
//! | `apply` | `applicant`, `number`, `approved`, `score`, `threshold`, `model`, `code_id`, `checksum` |
//! | `update_config` | `admin`, `threshold` |
//! | `migrate` | `from`, `to` |

mod applicant;
pub mod contract;
mod error;
pub mod msg;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod state;

pub use applicant::{Applicant, Feature, FEATURES};
pub use error::ContractError;
