//! Requests that a prover answers, on real chains: `aiinference prover` as a process, ezkl, the registry, and the contract
//! that is called back.
//!
//! These tests need a running localnet and `aiinference`: make test-zk. Each has a registry and provers' accounts of its own.

mod prover;
mod support;
