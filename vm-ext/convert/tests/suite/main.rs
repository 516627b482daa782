//! Behaviour at the crate's public API. One binary links once.

mod calibration;
mod common;
mod computed;
mod conformance;
mod conversion;
mod fast;
mod hostile;
mod operators;
mod provable;
mod quantised;
mod semantics;
mod sequences;
mod shipped_models;
mod trees;
