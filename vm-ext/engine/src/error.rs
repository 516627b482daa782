//! What can be wrong with a model, or with what is asked of it. Equal inputs give equal errors on every machine.

use alloc::boxed::Box;
use alloc::string::String;
use thiserror::Error;

/// Why a model is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The bytes of the graph section are not a graph.
    #[error("reading the graph section at byte {offset}: {problem}; fetch the model again or convert it anew")]
    Format {
        /// Where.
        offset: u64,
        /// What.
        problem: FormatProblem,
    },
    /// An array does not fit the weights section.
    #[error("reading the weights section at byte {offset}: {problem}; fetch the model again or convert it anew")]
    Weights {
        /// Where.
        offset: u64,
        /// What.
        problem: WeightsProblem,
    },
    /// The file format is newer than this engine.
    #[error("reading the model: its format version is {found}, this engine reads {known}; convert it for this engine")]
    FormatVersion {
        /// In the file.
        found: u64,
        /// Readable.
        known: u32,
    },
    /// The operations' semantics are newer than this engine.
    #[error("reading the model: it needs op-set {found}, this engine implements up to {known}; upgrade the host or convert for an older op-set")]
    OpSet {
        /// Of the model.
        found: u32,
        /// Of the engine.
        known: u32,
    },
    /// A header entry must be understood and is not.
    #[error("reading the model's header: critical key {key} is unknown to this engine; upgrade the host")]
    UnknownCriticalHeader {
        /// Which.
        key: u32,
    },
    /// An operation that the engine does not have.
    #[error("reading node {node}: operation tag {tag} is unknown to this engine; upgrade the host or convert anew")]
    UnknownOp {
        /// Index of the node.
        node: u32,
        /// Its tag.
        tag: u64,
    },
    /// Something is larger than the host allows.
    #[error("checking the model: {what} come to {found}, the limit is {limit}; make the model smaller")]
    Limit {
        /// What.
        what: &'static str,
        /// How much (saturated to 2^64 - 1).
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// An input is declared wrongly.
    #[error("checking input {index}: {problem}")]
    Input {
        /// Which.
        index: u32,
        /// What.
        problem: PortProblem,
    },
    /// An output is declared wrongly.
    #[error("checking output {index}: {problem}")]
    Output {
        /// Which.
        index: u32,
        /// What.
        problem: PortProblem,
    },
    /// A node breaks its operation's rules.
    #[error("checking node {node} ({op}): {problem}")]
    Node {
        /// Index among the nodes.
        node: u32,
        /// Name of its operation.
        op: &'static str,
        /// What.
        problem: NodeProblem,
    },
    /// The model computes nothing.
    #[error("checking the model: it has no outputs; declare at least one")]
    NoOutputs,
}

/// What is wrong with the bytes of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormatProblem {
    /// Cut short.
    #[error("the bytes end early")]
    Truncated,
    /// Not this kind of file.
    #[error("this is not a model graph (wrong magic bytes)")]
    Magic,
    /// A number written longer than needed or out of its type's range.
    #[error("a number is not in its shortest form or out of range")]
    Number,
    /// A flag that is neither 0 nor 1, or an unknown element type.
    #[error("a flag or type tag has no meaning")]
    Tag,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// Header keys out of order.
    #[error("header keys do not ascend")]
    HeaderOrder,
    /// A count that the remaining bytes cannot hold.
    #[error("a count exceeds what the remaining bytes can hold")]
    Count,
    /// A body in a body.
    #[error("a Scan is inside of another; unroll one of them")]
    Nested,
    /// Bytes after the end.
    #[error("bytes follow the end of the graph")]
    Trailing,
}

/// What is wrong with the weights section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WeightsProblem {
    /// Cut short.
    #[error("an array of the graph ends beyond the section")]
    Truncated,
    /// Padding with content.
    #[error("the padding between arrays is not zero")]
    Padding,
    /// Bytes that no array owns.
    #[error("bytes follow the last array")]
    Trailing,
}

/// What is wrong with the declaration of an input or output.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortProblem {
    /// No name, or one that is too long.
    #[error("its name has {found} bytes; names take 1 to {limit}")]
    Name {
        /// Bytes.
        found: usize,
        /// Allowed.
        limit: usize,
    },
    /// A name used before.
    #[error("its name \"{}\" is already taken; give every port its own", .name.escape_default())]
    Duplicate {
        /// Which.
        name: String,
    },
    /// Out of range.
    #[error("fraction_bits is {found}; it must be between -32 and 30")]
    FractionBits {
        /// Which.
        found: i32,
    },
    /// Empty range.
    #[error("its least value {low} exceeds its largest {high}")]
    EmptyRange {
        /// Least.
        low: i32,
        /// Largest.
        high: i32,
    },
    /// Shape beyond the rules.
    #[error("{0}")]
    Shape(#[from] ShapeProblem),
    /// There is no such value.
    #[error("value {value} does not exist; the model has {known} values")]
    UnknownValue {
        /// Which.
        value: u32,
        /// How many there are.
        known: u32,
    },
    /// Labels that do not cover the value's range.
    #[error("it names {labels} classes, but its value ranges over {low}..={high}; labels need a class index from 0")]
    Labels {
        /// How many labels.
        labels: usize,
        /// Least value.
        low: i32,
        /// Largest value.
        high: i32,
    },
}

/// What is wrong with a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShapeProblem {
    /// Too many axes.
    #[error("a tensor has {found} axes; at most {limit} are allowed")]
    Rank {
        /// Axes.
        found: usize,
        /// Allowed.
        limit: usize,
    },
    /// An extent of 0.
    #[error("axis {axis} has extent 0; every extent is at least 1")]
    ZeroExtent {
        /// Which.
        axis: usize,
    },
    /// Too many elements.
    #[error("a tensor would have more than {limit} elements")]
    Elements {
        /// Allowed.
        limit: u64,
    },
}

/// What is wrong with a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeProblem {
    /// An operand that does not come before the node.
    #[error("operand {value} is not a value before this node (there are {known})")]
    Operand {
        /// Which.
        value: u32,
        /// How many come before.
        known: u32,
    },
    /// A shape beyond the rules.
    #[error("{0}")]
    Shape(#[from] ShapeProblem),
    /// A tensor of the wrong rank.
    #[error("its operand has {found} axes where {want} are needed")]
    Rank {
        /// Axes.
        found: usize,
        /// Needed (at least).
        want: usize,
    },
    /// An axis that the operand lacks, or a list of axes that is no permutation.
    #[error("axis {axis} does not exist in its operand, or is named twice")]
    Axis {
        /// Which.
        axis: u32,
    },
    /// An array of the wrong length.
    #[error("{what}: {found} elements where {want} are needed")]
    Length {
        /// Which.
        what: &'static str,
        /// Elements.
        found: u64,
        /// Needed.
        want: u64,
    },
    /// An element type that the operation does not take.
    #[error("{what} have an element type that this operation does not take")]
    ElementType {
        /// Which array.
        what: &'static str,
    },
    /// A parameter out of its range.
    #[error("{what} is out of its range")]
    Parameter {
        /// Which.
        what: &'static str,
    },
    /// Shapes that do not go together.
    #[error("the shapes of its operands do not fit together at axis {axis}")]
    Mismatch {
        /// Which axis of the result.
        axis: usize,
    },
    /// A window larger than the padded image.
    #[error("its window is larger than the padded image along axis {axis} of 2")]
    Window {
        /// 0 height, 1 width.
        axis: usize,
    },
    /// An accumulator that could exceed 2^46.
    #[error("channel {channel}: the accumulator could reach 2^46; use smaller weights or narrower inputs")]
    Accumulator {
        /// Which.
        channel: u64,
    },
    /// A product that could exceed 2^62.
    #[error("channel {channel}: a product could reach 2^62; use a smaller multiplier or shift")]
    Product {
        /// Which.
        channel: u64,
    },
    /// A row whose sums could exceed 64 bits.
    #[error("the sums over a row could reach 2^62; use narrower operands, shorter rows or a smaller epsilon")]
    Row,
    /// A value out of the range that the operation covers.
    #[error("its operand ranges over {low}..={high}, which the operation does not cover; clamp it first")]
    Range {
        /// Least.
        low: i32,
        /// Largest.
        high: i32,
    },
    /// A Scan inside of another.
    #[error("its body holds a Scan; unroll one of them")]
    Nested,
    /// A node of a body that breaks its operation's rules.
    #[error("node {node} of its body ({op}): {problem}")]
    Body {
        /// Index in the body.
        node: u32,
        /// Name of its operation.
        op: &'static str,
        /// What.
        problem: Box<NodeProblem>,
    },
    /// A state that becomes something of another shape.
    #[error("state {state} becomes a value of another shape than it starts from")]
    StateShape {
        /// Which.
        state: usize,
    },
    /// A state that may leave its declared range.
    #[error("state {state} is declared to lie in {}..={}, but what it starts from or becomes ranges over {}..={}; clamp that, or declare more", .declared[0], .declared[1], .found[0], .found[1])]
    StateRange {
        /// Which.
        state: usize,
        /// Least and largest as declared.
        declared: [i32; 2],
        /// Least and largest as inferred.
        found: [i32; 2],
    },
    /// A tree that is not one.
    #[error("tree entry {index}: {problem}")]
    Tree {
        /// Which root, node, leaf or entry.
        index: u64,
        /// What.
        problem: TreeProblem,
    },
}

/// What is wrong with decision trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreeProblem {
    /// A child that is no later node and no leaf.
    #[error("a child is neither a later tree node nor a leaf")]
    Child,
    /// A tree node or leaf with no parent or several.
    #[error("a tree node or leaf must be reached from exactly one place")]
    Parents,
    /// A column that the operand lacks.
    #[error("it compares a feature that the operand lacks")]
    Feature,
    /// Leaf starts that do not ascend over the entries.
    #[error("leaf starts do not ascend from 0 to the number of entries")]
    LeafStarts,
    /// Targets out of range or not ascending inside a leaf.
    #[error("targets must exist and ascend within a leaf")]
    Target,
}

/// Why a run is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// Wrong number of inputs.
    #[error("running the model: {found} inputs given, it takes {want}")]
    InputCount {
        /// Given.
        found: usize,
        /// Needed.
        want: usize,
    },
    /// Wrong number of elements.
    #[error("running the model: input \"{}\" has {found} elements, its shape needs {want}", .name.escape_default())]
    InputLength {
        /// Which input.
        name: String,
        /// Given.
        found: usize,
        /// Needed.
        want: usize,
    },
    /// A value out of the input's range.
    #[error("running the model: element {position} of input \"{}\" is {value}, allowed are {low}..={high}", .name.escape_default())]
    InputRange {
        /// Which input.
        name: String,
        /// Row-major index.
        position: usize,
        /// The value.
        value: i32,
        /// Least allowed.
        low: i32,
        /// Largest allowed.
        high: i32,
    },
}
