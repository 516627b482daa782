//! Every limit of the extension, in one place. They are compiled in: changing one is a consensus-breaking release.

/// Largest stored module that carries a model, or a manifest; and largest model that shards make.
pub const MAX_MODEL_BYTES: u64 = 64 << 20;
/// Shards of one model.
pub const MAX_SHARDS: usize = 128;
/// Stored modules of all shards of one model together: the largest model and 1 KiB a shard for what wraps its slice.
pub const MAX_SHARDED_BYTES: u64 = MAX_MODEL_BYTES + ((MAX_SHARDS as u64) << 10);
/// Largest manifest: more than the largest one takes in its one encoding.
pub const MAX_MANIFEST_BYTES: usize = 8 << 10;
/// Largest memory that the tensors and working space of one model may take while it runs.
pub const MAX_PEAK_MEMORY_BYTES: u64 = 256 << 20;
/// Stored bytes of all different models of one plan together: all are held at once.
pub const MAX_PLAN_BYTES: u64 = 2 * MAX_MODEL_BYTES;
/// Models in one plan.
pub const MAX_STEPS: usize = 16;
/// Largest request, magic included: the VM's own cap on what a guest hands over.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Largest answer.
pub const MAX_RESPONSE_BYTES: u64 = 1 << 20;
/// Largest rank of a tensor.
pub const MAX_RANK: usize = 8;
/// Elements of one tensor.
pub const MAX_ELEMENTS: u64 = 1 << 26;
/// Nodes of one graph.
pub const MAX_NODES: usize = 1 << 14;
/// Inputs, and likewise outputs, of one model.
pub const MAX_PORTS: usize = 64;
/// Bytes of the name of an input, an output or a label.
pub const MAX_NAME_BYTES: usize = 128;
/// Labels of one output.
pub const MAX_LABELS: usize = 1 << 16;
/// Entries of a model's header.
pub const MAX_HEADER_ENTRIES: usize = 64;
/// Bytes of all values of a model's header.
pub const MAX_HEADER_BYTES: usize = 64 << 10;

/// Largest stored module that carries a circuit.
pub const MAX_CIRCUIT_BYTES: u64 = 64 << 10;
/// 32-byte words of a circuit's verifying key.
pub const MAX_KEY_WORDS: usize = 1024;
/// Bytes of a proof.
pub const MAX_PROOF_BYTES: usize = 16 << 10;
/// Public values of a circuit, elements of tensors counted one by one.
pub const MAX_INSTANCES: usize = 4096;
/// Models that one circuit stands for.
pub const MAX_CIRCUIT_MODELS: usize = 16;
/// Structured reference strings that a request may accept.
pub const MAX_ACCEPTED_SRS: usize = 16;

/// Largest data of a packet between chains.
pub const MAX_PACKET_BYTES: usize = 256 << 10;
/// Largest acknowledgement: it must fit a transaction, or the packet can neither be acknowledged nor time out.
pub const MAX_ACKNOWLEDGEMENT_BYTES: usize = 256 << 10;
/// Queries in one packet.
pub const MAX_QUERIES: usize = 256;
/// State reads of one query.
pub const MAX_READS: usize = 16;
/// Bytes of a query's memo.
pub const MAX_MEMO_BYTES: usize = 256;
/// Bytes of an address or a denom in a packet.
pub const MAX_ADDRESS_BYTES: usize = 128;
/// Bytes of an error's message in an acknowledgement; longer ones are cut.
pub const MAX_ERROR_BYTES: usize = 512;
