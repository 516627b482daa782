//! What the differential harness runs on every kind of machine: random operations and models, and digests of all that the
//! engine makes of them. Built for the machine at hand, for others (`differential-worker`) and as Wasm, the same request
//! ([`answer()`]) must get the same answer from each.
//!
//! The engine's own tests and fuzz targets draw their models from here too.
#![warn(missing_docs)]

mod answer;
mod case;
mod digest;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod memory;
mod operation;
pub mod random;

pub use answer::{answer, answer_on_threads, parse_digests, Kind, Request, RequestError};
pub use case::Case;
pub use operation::operation;

use aiinference_engine::Limits;

/// Roomy, but far from what a hostile model asks for.
pub const LIMITS: Limits = Limits {
    max_nodes: 1 << 12,
    max_rank: 6,
    max_elements: 1 << 22,
    max_peak_bytes: 1 << 24,
    max_ports: 64,
    max_name_bytes: 128,
    max_labels: 1 << 12,
    max_header_entries: 16,
    max_header_bytes: 1 << 12,
};
