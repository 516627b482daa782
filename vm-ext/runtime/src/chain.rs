//! What a request may ask of the chain it runs on and of the node's storage.

/// A chain and a node, as one call sees them.
pub trait Chain {
    /// The checksum behind a code id by the chain's own state, and the gas that asking used, which the chain has
    /// accounted already. At most `gas_left` may be used.
    fn code_checksum(&mut self, code_id: u64, gas_left: u64) -> (Result<[u8; 32], ChainError>, u64);

    /// Checksum of the calling contract's own code, as uploaded.
    fn own_checksum(&self) -> [u8; 32];

    /// Size in bytes of the stored module with this checksum, found without reading it.
    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault>;

    /// The stored module with this checksum. Whoever implements this has checked the bytes against it.
    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault>;

    /// Told once for each model that a request names, by the checksum of the module named, when it is ready to run; and
    /// whether it was before. For the node's own counts: it changes no answer.
    fn model_used(&mut self, _checksum: &[u8; 32], _cached: bool) {}
}

/// Why the chain told no checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// No code has that id.
    NoSuchCode,
    /// The chain answered with an error; its text is part of consensus.
    Failed(String),
    /// The query ended the whole call, say by using up the gas. The implementor keeps the cause.
    Abort,
}

/// The node cannot read a module that the chain says exists. For the node's log; it never becomes an answer, since
/// other nodes do answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading a stored module: {0}")]
pub struct NodeFault(pub String);
