//! The front end: ONNX files into nets, every node translated here.
//!
//! `proto` is the file format, `tensor` its numbers, `op` a node as translators see it, `build` writes nets and computes
//! what is known already, `import` walks graphs, and each of the others translates a family of operators.

mod build;
mod classical;
mod control;
mod domain;
mod elementwise;
mod graph;
mod import;
mod losses;
mod movement;
mod normalisation;
mod op;
mod product;
pub mod proto;
mod quantised;
mod recurrence;
mod reduction;
mod resize;
mod selection;
mod signal;
mod tensor;
mod window;
mod work;

pub use graph::{decode, end_at, inputs, OnnxInput};
pub use import::import;
