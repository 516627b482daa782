//! Contracts that infer, on real chains: `make test-localnet` starts the localnet and runs these, one after the other.
//! They leave the chains running and usable, and may be run again on the same ones.
//!
//! LOCALNET_HOME names the localnet's folder, by default target/localnet.

mod deploy;
mod drop_in;
mod faults;
mod gas;
mod load;
mod queries;
mod shards;
mod support;
mod trace;
