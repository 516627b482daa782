//! What a model may ask of a host. The values are the embedder's: the engine compiles none in.

/// Limits checked while a model is loaded, before memory is taken for what they bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes of the graph.
    pub max_nodes: usize,
    /// Axes of one tensor.
    pub max_rank: usize,
    /// Elements of one tensor, and of a zero-padded image inside a convolution. At most 2^31 - 1 counts.
    pub max_elements: u64,
    /// Bytes of tensors and scratch space at any moment of a run.
    pub max_peak_bytes: u64,
    /// Inputs, and likewise outputs.
    pub max_ports: usize,
    /// Bytes of the name of an input, an output or a label.
    pub max_name_bytes: usize,
    /// Labels of all outputs together.
    pub max_labels: usize,
    /// Header entries.
    pub max_header_entries: usize,
    /// Bytes of all header values together.
    pub max_header_bytes: usize,
}
