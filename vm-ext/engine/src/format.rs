//! The model as bytes: a graph section that names and shapes everything, and a weights section that holds the numbers.
//!
//! `docs/spec/model-format.md` states the layout. It is canonical: a graph has one encoding, and [`decode`] takes no
//! other. Counts are checked against the bytes that remain before memory is taken for them.

mod decode;
mod encode;
mod reader;

use alloc::vec::Vec;

pub use decode::decode;
pub use encode::encode;

/// First bytes of a graph section.
pub const MAGIC: [u8; 4] = *b"aiig";
/// Version of the byte layout.
pub const FORMAT_VERSION: u32 = 0;
/// Arrays in the weights section start at multiples of this.
pub const ALIGNMENT: usize = 8;

/// A model as two sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Names, shapes, operations.
    pub graph: Vec<u8>,
    /// Numbers.
    pub weights: Vec<u8>,
}

mod tag {
    pub const CONSTANT: u64 = 0;
    pub const MAT_MUL: u64 = 1;
    pub const CONV_2D: u64 = 2;
    pub const RESCALE: u64 = 3;
    pub const ADD: u64 = 4;
    pub const MUL: u64 = 5;
    pub const CLAMP: u64 = 6;
    pub const TABLE: u64 = 7;
    pub const SOFTMAX: u64 = 8;
    pub const MAX_POOL_2D: u64 = 9;
    pub const AVG_POOL_2D: u64 = 10;
    pub const UPSAMPLE_2D: u64 = 11;
    pub const RESHAPE: u64 = 12;
    pub const TRANSPOSE: u64 = 13;
    pub const CONCAT: u64 = 14;
    pub const SLICE: u64 = 15;
    pub const ARG_MAX: u64 = 16;
    pub const TREE_ENSEMBLE: u64 = 17;
    pub const BATCH_MAT_MUL: u64 = 18;
    pub const MIN: u64 = 19;
    pub const MAX: u64 = 20;
    pub const COMPARE: u64 = 21;
    pub const SELECT: u64 = 22;
    pub const DIV: u64 = 23;
    pub const SQRT: u64 = 24;
    pub const LAYER_NORM: u64 = 25;
    pub const REDUCE_SUM: u64 = 26;
    pub const REDUCE_MAX: u64 = 27;
    pub const GATHER: u64 = 28;
    pub const GATHER_ELEMENTS: u64 = 29;
    pub const TOP_K: u64 = 30;
    pub const PAD: u64 = 31;
    pub const BROADCAST: u64 = 32;
    pub const SCAN: u64 = 33;
}

mod comparison {
    pub const LESS: u8 = 0;
    pub const LESS_EQUAL: u8 = 1;
    pub const EQUAL: u8 = 2;
}

mod element {
    pub const I8: u8 = 0;
    pub const I16: u8 = 1;
    pub const I32: u8 = 2;
    pub const I64: u8 = 3;
}
