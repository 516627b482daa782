//! cosmwasm-vm with imports that run AI models: the VM of a chain whose contracts infer.
//!
//! [`Vm`] has the methods of [`cosmwasm_vm::Cache`] and takes its place. Contracts that import `aiinference.infer`,
//! `aiinference.model_info` or `aiinference.verify_proof` are compiled from a lowered copy ([`lowering`]) whose requests [`AiQuerier`], in front of the
//! chain's own querier, gives to the [`Runtime`]. Without the capability `aiinference_1` it behaves as stock.

mod error;
mod files;
pub mod lowering;
mod observe;
mod querier;
mod vm;

pub use aiinference_runtime as runtime;
pub use aiinference_runtime::{Kernels, Runtime, Settings};
pub use error::Error;
pub use lowering::LoweringError;
pub use observe::{Asked, Observation, Observer, Origin};
pub use querier::AiQuerier;
pub use vm::Vm;
