//! Shared by the tests: limits, a second implementation of the semantics by their formulas, and random models.
#![allow(dead_code)]

pub mod memory;
pub mod oracle;
pub mod random;
pub mod self_test;

use aiinference_engine::Limits;

/// Roomy, but far from what a hostile model asks for.
pub const LIMITS: Limits = Limits {
    max_nodes: 1 << 12,
    max_rank: 6,
    max_elements: 1 << 22,
    max_peak_bytes: 1 << 24,
    max_ports: 64,
    max_name_bytes: 128,
    max_labels: 1 << 12,
    max_header_entries: 16,
    max_header_bytes: 1 << 12,
};
