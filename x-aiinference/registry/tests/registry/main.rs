//! The registry as Wasm on an embedded chain, with proofs that ezkl made. `make contracts` builds the guests.

#[path = "../../../../vm-ext/verifier/tests/common/mod.rs"]
mod fixtures;

mod adversarial;
mod bank;
mod ledger;
mod names;
mod property;
mod requests;
mod sizes;
mod world;
