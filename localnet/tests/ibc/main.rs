//! Models asked from another chain: two real chains, the contracts, and the relayer's program between them.
//! `make test-ibc` brings the chains up and runs these.

mod asking;
mod between;
mod channels;
mod collection;
mod credit;
mod faults;
mod large;
mod rewards;
#[path = "../inference/support.rs"]
#[allow(dead_code)]
mod support;
