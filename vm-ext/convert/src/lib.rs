//! From ONNX to the engine's integer graphs, with an accuracy report.
//!
//! [`Converter`] reads a model into a small float graph, simplifies it, runs it on calibration data to see every value's range, chooses integers, and compares the integer
//! model with the float model. Floats live here and end here.
//!
//! Where [`Options`] ask for it, it also tries widths, shifts and biases on that data, and keeps what is better.
//!
//! **The same bytes everywhere.** What reaches the graph is computed in IEEE 754 doubles by the four operations, square
//! roots and the `libm` crate, in one order: nothing depends on a runtime's f32 kernels, which differ between CPUs. Ranges are widened by an eighth and rounded up to 64ths of a power of two
//! besides. Only the numbers of the report may differ in their last digits from one machine to another.
#![warn(missing_docs)]

mod calibrate;
mod converter;
mod dataset;
mod error;
mod eval;
mod exponentials;
mod expr;
mod float;
mod fuse;
mod judge;
mod lower;
mod net;
mod onnx;
mod options;
mod plot;
mod provable;
mod quantise;
mod report;
mod samples;
mod trees;

pub use converter::{engine_limits, Conversion, Converter, Progress, Stage};
pub use dataset::{Dataset, NamedArray};
pub use error::{ConvertError, Result};
pub use float::{FloatModel, FloatOutput, ImportOptions};
pub use onnx::proto;
pub use options::{Options, OutOfRange, Weights};
pub use quantise::scale::dyadic;
pub use report::{
    Difference, Drop, EmptyOutput, InputReport, LayerReport, Metrics, OutputReport, ProvableReport, Quality, Report,
};
pub use samples::as_integers;
