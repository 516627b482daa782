//! The prover's side of heavy models: what a model computes, as an ezkl circuit that can be proven to the last bit.
//!
//! [`Exact`] restates a loaded model in the few operations that ezkl constrains uniquely, with a certificate that for all
//! inputs in range nothing overflows. [`onnx`] writes it as an ONNX file, always the same bytes. [`CircuitFolder`] holds
//! what [ezkl](https://pypi.org/project/ezkl/) makes of it, proves runs and checks proofs. ezkl itself is an external
//! tool, which [`Tool`] installs at a pinned version.
//!
//! What a prover calls, in this order:
//!
//! - [`Tool::prepare`] (installs ezkl once), [`Tool::cancelled_by`] a [`Cancel`] that another thread may pull;
//! - [`CircuitFolder::setup`], or [`CircuitFolder::open`] for one made before;
//! - which circuit it is: [`CircuitFolder::manifest`] (`model_checksum`, `hidden`, `srs`, `inputs`, `outputs`),
//!   [`CircuitFolder::module`] (what a chain stores) and [`CircuitFolder::checksum`] (what the chain says of it);
//! - [`CircuitFolder::inputs`]: tensors of a request to integers;
//! - [`CircuitFolder::prove`] with inputs, or [`CircuitFolder::prove_hidden`] with an [`Opening`] of their
//!   [hash](Opening::hash); both run ezkl in a process of its own, tell each step, and verify before they return;
//! - of the [`Proof`]: [`Proof::bytes`] and [`CircuitFolder::outputs`], to submit;
//! - [`CircuitFolder::verify`]: a proof somebody else made.
//!
//! Whoever relies on a stored circuit calls [`rebuild`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod exact;
mod ezkl;
mod folder;
mod hidden;
mod interpret;
mod lower;
mod manifest;
pub mod onnx;
mod proof;
mod rebuild;
mod samples;
mod srs;

pub use exact::{Exact, Step, Value, ValueId, Window};
pub use ezkl::{Cancel, Tool, ToolError, EZKL_VERSION};
pub use folder::{CircuitError, CircuitFolder, SetupOptions};
pub use hidden::{HashError, Hidden, Opening, Salt};
pub use interpret::{interpret, InterpretError};
pub use lower::{lower, NotProvable};
pub use manifest::{Manifest, Port, Settings, Timing};
pub use proof::{Proof, ProofError};
pub use rebuild::{rebuild, Difference};
pub use samples::samples;
pub use srs::Srs;
