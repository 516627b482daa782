//! The prover's side of heavy models: what a model computes, as an ezkl circuit that can be proven to the last bit.
//!
//! [`Exact`] restates a loaded model in the few operations that ezkl constrains uniquely, with a certificate that for all
//! inputs in range nothing overflows. [`onnx`] writes it as an ONNX file, always the same bytes. [`CircuitFolder`] holds
//! what [ezkl](https://pypi.org/project/ezkl/) makes of it, proves runs and checks proofs. ezkl itself is an external
//! tool, which [`Tool`] installs at a pinned version.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod exact;
mod ezkl;
mod folder;
mod interpret;
mod lower;
mod manifest;
pub mod onnx;
mod proof;
mod samples;
mod srs;

pub use exact::{Exact, Step, Value, ValueId, Window};
pub use ezkl::{Tool, ToolError, EZKL_VERSION};
pub use folder::{CircuitError, CircuitFolder, SetupOptions};
pub use interpret::{interpret, InterpretError};
pub use lower::{lower, NotProvable};
pub use manifest::{Manifest, Port, Settings, Timing};
pub use proof::{Proof, ProofError};
pub use samples::samples;
pub use srs::Srs;
