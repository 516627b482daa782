//! For comparison only: the engine compiled into a contract, running a model as guest Wasm.
//!
//! The same model gives the same integers as through the import of `aiinference-std`; what differs is gas and time.
//! The demo and the benchmarks put both side by side.
//!
//! # Events
//! `wasm` with `action` `append`, `part` and `bytes` (how many the part has now).

mod contract;
pub mod msg;
pub mod product;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;

pub use contract::*;
