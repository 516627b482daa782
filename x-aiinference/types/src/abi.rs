//! The names and bytes at the border between a guest and its host.

/// First bytes of every request. The leading zero byte can open no JSON, so that a chain without the extension refuses
/// the request instead of misreading it. The last byte is the version of the ABI.
pub const MAGIC: [u8; 8] = *b"\0aiinf\0\x01";

/// Wasm module name of the imports.
pub const IMPORT_MODULE: &str = "aiinference";

/// Import that runs models: `(request: i32) -> i32`, both pointers to a Region.
pub const IMPORT_INFER: &str = "infer";

/// Import that describes a model: `(request: i32) -> i32`, both pointers to a Region.
pub const IMPORT_MODEL_INFO: &str = "model_info";

/// Import that checks a proof: `(request: i32) -> i32`, both pointers to a Region.
pub const IMPORT_VERIFY_PROOF: &str = "verify_proof";

/// Every import of [`IMPORT_MODULE`] that this version knows.
pub const IMPORTS: [&str; 3] = [IMPORT_INFER, IMPORT_MODEL_INFO, IMPORT_VERIFY_PROOF];

/// The capability that switches the extension on.
pub const CAPABILITY: &str = "aiinference_1";

/// The export by which a contract states that it needs [`CAPABILITY`].
pub const REQUIRES_EXPORT: &str = "requires_aiinference_1";

/// Custom section of a module that holds a model's graph.
pub const GRAPH_SECTION: &str = "aiinference.graph";

/// Custom section of a module that holds a model's weights.
pub const WEIGHTS_SECTION: &str = "aiinference.weights";

/// Custom section of a module that holds a slice of a model's module.
pub const SHARD_SECTION: &str = "aiinference.shard";

/// Custom section of a module that holds a [`Manifest`](crate::v1::Manifest): which shards make a model.
pub const MANIFEST_SECTION: &str = "aiinference.manifest";

/// Custom section of a module that holds a [`Circuit`](crate::v1::Circuit).
pub const CIRCUIT_SECTION: &str = "aiinference.circuit";
