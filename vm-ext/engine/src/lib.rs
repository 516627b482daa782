//! The integer inference engine: a model and integers in, integers out, the same bits on every machine.
//!
//! No floats, no std, nothing of chains. `docs/spec/` is the written semantics.
#![no_std]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

pub mod graph;
