//! Shared by the tests: a second implementation of the semantics by their formulas, and what the differential harness
//! shares: limits, random models, an allocator that counts.
#![allow(dead_code, unused_imports)]

pub mod golden;
pub mod oracle;
pub mod self_test;

pub use aiinference_differential::{memory, random, LIMITS};
