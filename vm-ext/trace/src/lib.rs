//! The log of a node's inferences, one JSON object a line: what was asked, what the chain said, what came of it.
//!
//! An answer and its gas depend on the request, the gas left, the chain's answers and the stored modules alone, and a
//! [`Record`] holds or names all of them. So a log can be [replayed](replay) on any machine that has the modules, and two
//! validators' logs can be [compared](compare()) to find where they part.
#![forbid(unsafe_code)]

mod compare;
mod log;
mod record;
mod replay;

pub use compare::{compare, Comparison, Difference, Kind, Summary};
pub use log::{LogError, Reader, Writer};
pub use record::{Asked, Outcome, Position, Record, Said};
pub use replay::{ModuleFolder, Replayed, Replayer};
