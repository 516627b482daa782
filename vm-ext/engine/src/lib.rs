//! The integer inference engine: a model and integers in, integers out, the same bits on every machine.
//!
//! No floats, no std, nothing of chains. `docs/spec/` is the written semantics.
//!
//! ```
//! use aiinference_engine::graph::{Graph, Input, Op, Output};
//! use aiinference_engine::{format, Kernels, Limits, Program};
//!
//! let limits = Limits {
//!     max_nodes: 100,
//!     max_rank: 6,
//!     max_elements: 1 << 20,
//!     max_peak_bytes: 1 << 24,
//!     max_ports: 8,
//!     max_name_bytes: 64,
//!     max_labels: 100,
//!     max_header_entries: 8,
//!     max_header_bytes: 1 << 10,
//! };
//! let mut graph = Graph::new();
//! let name = |s: &str| s.into();
//! let x = graph.input(Input {
//!     name: name("x"),
//!     shape: vec![3],
//!     fraction_bits: 0,
//!     low: -100,
//!     high: 100,
//!     saturate: false,
//! });
//! let value = graph.push(Op::Clamp { x, low: 0, high: 50 });
//! graph.outputs.push(Output { name: name("y"), value, fraction_bits: 0, labels: vec![] });
//!
//! let file = format::encode(&graph);
//! let program = Program::load(&file.graph, &file.weights, &limits)?;
//! assert_eq!(program.run(&[&[-7, 7, 70]], &Kernels::auto()).unwrap(), [[0, 7, 50]]);
//! # Ok::<(), aiinference_engine::LoadError>(())
//! ```
#![no_std]
#![deny(clippy::float_arithmetic)]
#![warn(missing_docs)]

extern crate alloc;

#[doc(hidden)]
pub mod bench;
mod block;
pub mod cost;
pub mod error;
pub mod format;
pub mod gas;
pub mod graph;
pub mod infer;
mod kernels;
mod limits;
mod ops;
mod plan;
mod program;
mod run;
mod selftest;
mod shape;
mod step;
mod tensor;
mod workspace;

pub use cost::Cost;
pub use error::{LoadError, RunError};
pub use infer::ValueType;
pub use kernels::Kernels;
pub use limits::Limits;
pub use program::{NodeInfo, OutputInfo, Program};
pub use run::Results;
pub use selftest::{selftest, SelfTestError};
pub use workspace::Workspace;
