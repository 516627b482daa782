//! The prover daemon: follows a chain, takes requests for heavy runs from its registry, proves them, and is paid.
//!
//! [`run`] is the whole of it; `aiinference prover` is its command line. What it holds of its own is in a [`Store`], what it
//! wants of a request in [`Rules`]. The chain's state is the truth: the store tells what was begun, the chain what came of it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod check;
mod circuit;
pub mod config;
mod daemon;
mod error;
pub mod job;
#[allow(missing_docs)]
pub mod metrics;
mod private;
mod registry;
pub mod rules;
pub mod status;
pub mod store;
mod wallet;
mod watch;
mod worker;

pub use check::check;
pub use config::{Config, TEMPLATE};
pub use daemon::run;
pub use error::{ProverError, Result};
pub use job::{Job, State};
pub use rules::Rules;
pub use status::Snapshot;
pub use store::Store;
