//! The contract's behaviour, natively, with the real engine.

mod host;
#[path = "../queries/mod.rs"]
mod queries;

mod answering;
mod channels;
mod credit;
mod paying;
