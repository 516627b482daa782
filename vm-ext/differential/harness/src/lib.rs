//! The differential harness: one request goes to every platform, and every bit of the answers must be the same.
//!
//! A platform is a kind of machine: this one, this one with several threads at once, guest Wasm in the virtual machine that
//! chains run contracts in, another instruction set behind an emulator. Each has one or more sets of kernels; platform
//! and set together are a backend.
#![warn(missing_docs)]

mod compare;
mod model;
mod platform;
mod run;

pub use compare::{Difference, Lane};
pub use model::{Model, ModelError};
pub use platform::{Failure, Guest, Machine, Native, Platform, Threads, Worker};
pub use run::{run, Found, Task};
