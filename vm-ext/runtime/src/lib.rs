//! One request from bytes to bytes: decode, resolve, price, run, encode. No wasmer and no chain in here: what a call
//! may ask of either comes through [`Chain`].
//!
//! Results and gas depend on the request, the stored modules and the chain's answers alone: never on the cache, the
//! kernels or any other setting of the node.
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

mod answer;
mod cache;
mod chain;
mod load;
mod meter;
mod model;
pub mod module;
mod plan;
pub mod price;
mod stop;
mod verify;
mod workspaces;

pub use aiinference_engine::Kernels;
pub use aiinference_verifier as verifier;
pub use answer::{is_request, Answer, Runtime, Settings};
pub use chain::{Chain, ChainError, NodeFault};
pub use model::{engine_limits, LoadedModel, ModelError, StoredShard};
