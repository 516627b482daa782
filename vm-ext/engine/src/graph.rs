//! The model: a graph of typed integer operations in the order in which they run.
//!
//! Values are numbered: the inputs first, then one value per node. A node reads only values with smaller numbers than
//! its own, so a graph has no cycles by construction. Types and ranges are not stored: the loader infers them
//! ([`crate::infer`]), so that a model cannot lie about them. `docs/spec/ops.md` states every operation by its formula.

mod op;

use alloc::{string::String, vec::Vec};

pub use op::{Comparison, Op, Rescale, Scanned, State, Trees, Window};

/// The op-set this engine implements, frozen at its release (`tests/released.rs`). Models of op-set 0, its drafts, mean the same.
pub const OP_SET: u32 = 1;

/// Number of a value.
pub type ValueId = u32;

/// A whole model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Version of the operations' semantics.
    pub op_set: u32,
    /// Facts beside the computation, by key; ascending, no key twice.
    pub header: Vec<HeaderEntry>,
    /// Values 0 to `inputs.len() - 1`.
    pub inputs: Vec<Input>,
    /// Node i gives value `inputs.len() + i`.
    pub nodes: Vec<Op>,
    /// What a run returns.
    pub outputs: Vec<Output>,
}

/// One header entry. Unknown keys are refused if critical and ignored otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// What it is; [`header_key`] lists the known ones.
    pub key: u32,
    /// Whether a reader that does not know the key must refuse the model.
    pub critical: bool,
    /// Its meaning is the key's.
    pub value: Vec<u8>,
}

/// Known header keys.
pub mod header_key {
    /// SHA-256 of the file that the model was converted from.
    pub const SOURCE_HASH: u32 = 1;
    /// Name and version of the converter, UTF-8.
    pub const PRODUCER: u32 = 2;
}

/// An input: integers `q` in `low..=high`, standing for the reals `q * 2^-fraction_bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Unique among the inputs.
    pub name: String,
    /// Row-major extents, each at least 1.
    pub shape: Vec<u32>,
    /// Between -32 and 30.
    pub fraction_bits: i32,
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
    /// Whether a value out of range is saturated instead of refused.
    pub saturate: bool,
}

/// An output: the integers of a value, standing for the reals `q * 2^-fraction_bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Unique among the outputs.
    pub name: String,
    /// Which value.
    pub value: ValueId,
    /// Between -32 and 30.
    pub fraction_bits: i32,
    /// Names of the classes, where the value holds class indices 0 to `labels.len() - 1`; else empty.
    pub labels: Vec<String>,
}

/// Integers stored with the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Array {
    /// 8 bits.
    I8(Vec<i8>),
    /// 16 bits.
    I16(Vec<i16>),
    /// 32 bits.
    I32(Vec<i32>),
    /// 64 bits.
    I64(Vec<i64>),
}

impl Graph {
    /// An empty graph of this engine's op-set.
    pub fn new() -> Self {
        Graph {
            op_set: OP_SET,
            header: Vec::new(),
            inputs: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Adds an input; before any node.
    pub fn input(&mut self, input: Input) -> ValueId {
        debug_assert!(self.nodes.is_empty());
        self.inputs.push(input);
        (self.inputs.len() - 1) as ValueId
    }

    /// Adds a node; the number of its value.
    pub fn push(&mut self, op: Op) -> ValueId {
        self.nodes.push(op);
        (self.inputs.len() + self.nodes.len() - 1) as ValueId
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Array::I8(v) => v.len(),
            Array::I16(v) => v.len(),
            Array::I32(v) => v.len(),
            Array::I64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
