//! The contract's behaviour, natively, with the real engine.

mod host;

mod answering;
mod channels;
mod credit;
mod paying;
