//! What can go wrong while a model is converted.

use crate::report::{EmptyOutput, Report};

/// Why a model was not converted. Every message says what was being done and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The bytes are no ONNX model, or one that the importer cannot read.
    #[error("reading the ONNX model: {reason}; check it with onnx.checker.check_model and export it again")]
    Parse {
        /// What the parser said.
        reason: String,
    },
    /// A node that has no counterpart in the integer graph.
    #[error("converting node {node:?} ({op}): {reason}; {advice}")]
    Unsupported {
        /// Name of the node, as in the ONNX file where it survives.
        node: String,
        /// Operator.
        op: String,
        /// What about it cannot be converted.
        reason: String,
        /// The nearest thing that works.
        advice: String,
    },
    /// A value that shapes the model and is only known when it runs.
    #[error("converting node {node:?} ({op}): {what} must be known when the model is converted{}", .input.as_ref().map(|i| format!(" and depends on input {i:?}; fix that input to its value (--fix {i}=VALUES), or export the model with it stored")).unwrap_or_default())]
    Unknown {
        /// Name of the node.
        node: String,
        /// Operator.
        op: String,
        /// What must be known.
        what: String,
        /// The input that decides it.
        input: Option<String>,
    },
    /// An input whose shape is open beyond the batch axis, or whose type is no number.
    #[error("reading input {input:?} of the model: {reason}; {advice}")]
    Input {
        /// Its name.
        input: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// Calibration data that cannot be read.
    #[error("reading the data{}: {reason}; give an .npz with one array per model input, first axis counting samples, or a CSV with a header row", .array.as_ref().map(|a| format!(" ({a})")).unwrap_or_default())]
    Data {
        /// Which array or column.
        array: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// Calibration data that does not fit the model.
    #[error("matching the calibration data with the model's inputs: {reason}")]
    Calibration {
        /// What does not fit, and what would.
        reason: String,
    },
    /// A node that no circuit proves exactly.
    #[error("converting node {node:?} ({op}) so that it can be proven: {reason}; {advice}")]
    NotProvable {
        /// Name of the node.
        node: String,
        /// Operator.
        op: String,
        /// What about it cannot be proven.
        reason: String,
        /// The nearest thing that works.
        advice: String,
    },
    /// A value that the model was to end at and that does not exist.
    #[error("ending the model at {name:?}: no node gives a value of that name; the last ones are {known}")]
    NoSuchValue {
        /// The name.
        name: String,
        /// Names that would work.
        known: String,
    },
    /// An option names an input or axis that the model does not have.
    #[error("reading the inputs of the model: --{option} names {name:?}, which there is not; there are: {known}")]
    NoSuchName {
        /// `fix`, `shape` or `dim`.
        option: &'static str,
        /// The name given.
        name: String,
        /// Names that would work.
        known: String,
    },
    /// An open axis is given no elements.
    #[error("reading the inputs of the model: --dim gives {name:?} the extent 0; give 1 or more")]
    EmptyAxis {
        /// Name of the axis.
        name: String,
    },
    /// No output has elements: there is nothing to compute.
    #[error("reading the outputs of the model: none has elements: {}; export it with one that has, or give inputs other shapes", .outputs.iter().map(|o| format!("{:?} {:?}", o.name, o.shape)).collect::<Vec<_>>().join(", "))]
    Empty {
        /// All of them.
        outputs: Vec<EmptyOutput>,
    },
    /// A number that no integer format holds.
    #[error("quantising node {node:?} ({op}): {reason}; rescale the model so that its values stay within about 2^-14 to 2^30, or calibrate on data of the range it will meet")]
    Range {
        /// Name of the node.
        node: String,
        /// Operator.
        op: String,
        /// What does not fit.
        reason: String,
    },
    /// The engine refused the graph: a fault of this converter.
    #[error("loading the converted model into the engine: {reason}; this is a fault of the converter: report it with the model")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// No mix of widths is as cheap as it should be.
    #[error(
        "choosing widths: a run costs at least {least} gas, {limit} is allowed; allow more, or make the model smaller"
    )]
    Cost {
        /// What was allowed.
        limit: u64,
        /// What the cheapest one found costs.
        least: u64,
    },
    /// An option that means nothing, by itself or beside another one.
    #[error("reading the option {option}: {reason}")]
    Option {
        /// Its name in [`crate::Options`].
        option: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The integer model is worse than allowed.
    #[error("checking the accuracy: {} is worse by {:.6}, more than the {limit} allowed; calibrate on more (or more typical) data, use 16-bit weights, or allow more", .report.drop.metric, .report.drop.value)]
    Accuracy {
        /// What was allowed.
        limit: f64,
        /// The whole report.
        report: Box<Report>,
    },
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, ConvertError>;
