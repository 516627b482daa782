//! AI models for CosmWasm contracts: called like a hash function, inside the same transaction, with the same bits on
//! every validator.
//!
//! A whole contract, on cosmwasm-std 3 (feature `std3`; on version 2 the same with `std2`):
//!
//! ```
//! use aiinference_std::{Model, Tensor};
//! use cosmwasm_std::{entry_point, to_json_binary, Binary, Decimal, Deps, Env, StdResult};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! pub struct QueryMsg {
//!     model: Model,
//!     income: Decimal,
//!     age: u8,
//! }
//!
//! #[entry_point]
//! pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> StdResult<Binary> {
//!     let inputs = [
//!         Tensor::from_decimals(&[msg.income])?.named("income"),
//!         Tensor::from_i64s(&[msg.age.into()]).named("age"),
//!     ];
//!     let out = msg.model.infer(deps.querier, inputs)?;
//!     let score: Decimal = out.get("score")?.to_decimal()?;
//!     to_json_binary(&score)
//! }
//! ```
//!
//! - [`Model`] names a model, runs it and describes it; [`Plan`] runs several in one call.
//! - [`Tensor`] and [`Input`] are what goes in; [`Outputs`], [`Output`] and [`Receipt`] what comes out.
//! - [`Circuit`] checks a proof that a model, run elsewhere, gave what is claimed: a [`Claim`].
//! - [`Error`] tells what went wrong, with the host's [`ErrorCode`].
//! - `testing` (feature `testing`, natively only) runs a contract's unit tests against the real engine.
//!
//! - [`remote`] (feature `remote`) asks models of another chain.
//!
//! Compiled to Wasm, a call is the import `aiinference.infer`, `aiinference.model_info` or
//! `aiinference.verify_proof`, and the module exports
//! `requires_aiinference_1`, so that only a chain with the extension takes it. Natively a call goes through the
//! querier. Without the default feature `imports` there are neither: a contract that only asks models of other chains goes
//! on any chain with `default-features = false`.
//!
//! Reals enter a model by one rule, `floor(x * 2^k + 1/2)` with `k` the input's fraction bits, and leave as
//! `q * 2^-k`. As decimals of 18 places those are exact for `k <= 18` and otherwise rounded half up.
#![warn(missing_docs)]
#![deny(unsafe_code)]
#![deny(clippy::float_arithmetic)]

mod checksum;
mod circuit;
#[cfg(any(feature = "std2", feature = "std3"))]
mod cosmwasm;
mod decimal;
mod envelope;
mod error;
#[cfg(all(target_arch = "wasm32", feature = "imports"))]
#[allow(unsafe_code)]
mod guest;
mod host;
mod model;
mod outputs;
mod plan;
mod receipt;
#[cfg(feature = "remote")]
pub mod remote;
mod tensor;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
mod wire;

pub use aiinference_types::{
    v1::{ModelInfo, OutOfRange, TensorInfo},
    ErrorCode,
};
pub use checksum::Checksum;
pub use circuit::{Circuit, Claim, Verdict};
pub use decimal::{FromAtomics, ToAtomics};
pub use error::Error;
#[cfg(all(target_arch = "wasm32", feature = "imports"))]
pub use host::Imports;
pub use host::{Host, Operation};
pub use model::{Model, ModelReference};
pub use outputs::{Output, Outputs};
pub use plan::Plan;
pub use receipt::{ModelUsed, Receipt};
pub use tensor::{Input, Tensor};

/// The example of the project's README compiles.
#[cfg(all(doctest, feature = "std3"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So do those of the guide to questions between chains.
#[cfg(all(doctest, feature = "remote", feature = "std3"))]
#[doc = include_str!("../../../docs/interchain.md")]
struct Interchain;
