//! Behaviour at the crate's public API. One binary: linking tract takes longer than the tests.

mod common;
mod conversion;
mod operators;
mod provable;
mod shipped_models;
mod trees;
