//! Behaviour at the crate's public API. One binary links once.

mod common;
mod conversion;
mod operators;
mod provable;
mod shipped_models;
mod trees;
