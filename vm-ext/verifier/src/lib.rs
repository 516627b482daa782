//! Is this proof of a circuit valid? Stateless, and the same on every machine: no chain, no files, no clock.
//!
//! [`Circuit`] is what is stored of a circuit, [`instances`] turns what a caller claims into the field elements that a proof is
//! about, and [`verify`] checks the proof. `docs/spec/zk.md` says why each check is there: a verifier that leaves one out takes
//! forged proofs.
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate self as aiinference_verifier; // as the tests' shared module names it

mod circuit;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;
mod evm;
mod values;

pub use circuit::{key_srs, Circuit, CircuitError, Model, Value, Word, GENERATORS};
pub use evm::{evm_gas_limit, verify, Verdict, VerifyError, CODE_SHA256};
pub use values::{element, instances, outputs, Claim, ClaimError};
