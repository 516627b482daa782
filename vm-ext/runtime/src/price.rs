//! The gas schedule of what surrounds a model's run. `docs/spec/gas.md` derives the constants; `cargo bench -p
//! aiinference-runtime` measures them. What a run itself costs is the engine's to say.
//!
//! All in CosmWasm gas: 10^6 a microsecond.

/// Version of the schedule. A change of any constant is a consensus-breaking release under a new number.
pub const GAS_SCHEDULE: u32 = 1;

/// Taking up a request, whatever it says.
pub const CALL: u64 = 5_000_000;
/// Decoding, converting and hashing, per byte of request.
pub const REQUEST_BYTE: u64 = 40_000;
/// Finding and opening a stored module.
pub const LOAD: u64 = 60_000_000;
/// Reading, hashing, validating and preparing, per byte of stored module.
pub const LOAD_BYTE: u64 = 30_000;
/// Parsing and validating, per byte of a model's graph or of a circuit: a few bytes of it make a whole node.
pub const GRAPH_BYTE: u64 = 80_000;
/// Converting, per element, a tensor that one model hands to the next.
pub const CONNECT_ELEMENT: u64 = 20_000;
/// Naming and framing one returned tensor.
pub const OUTPUT: u64 = 1_000_000;
/// Encoding, hashing and wrapping, per byte of returned tensor or model description.
pub const RESPONSE_BYTE: u64 = 20_000;
/// Preparing the check of a proof.
pub const VERIFY: u64 = 500_000_000;
/// Checking a proof, per unit of the verifier's own gas that it may use.
pub const VERIFIER_GAS: u64 = 24_000;

/// Price of taking up a request of so many bytes.
pub fn call(request_bytes: u64) -> u64 {
    CALL.saturating_add(REQUEST_BYTE.saturating_mul(request_bytes))
}

/// Price of naming a model whose stored module has so many bytes, cached or not. Charged before they are read.
pub fn load(stored_bytes: u64) -> u64 {
    LOAD.saturating_add(LOAD_BYTE.saturating_mul(stored_bytes))
}

/// Price of a graph or a circuit of so many bytes, cached or not. Charged, on top of [`load`], before it is parsed.
pub fn graph(graph_bytes: u64) -> u64 {
    GRAPH_BYTE.saturating_mul(graph_bytes)
}

/// Price of handing so many elements from one model to the next.
pub fn connect(elements: u64) -> u64 {
    CONNECT_ELEMENT.saturating_mul(elements)
}

/// Price of returning one tensor with so many bytes of data.
pub fn output(data_bytes: u64) -> u64 {
    OUTPUT.saturating_add(RESPONSE_BYTE.saturating_mul(data_bytes))
}

/// Price of describing a model in so many bytes.
pub fn description(bytes: u64) -> u64 {
    RESPONSE_BYTE.saturating_mul(bytes)
}

/// Price of checking a proof whose verifier may use so much gas of its own: a function of lengths alone. All of it is paid,
/// so that a hostile key, which uses all of it, costs no more time than is paid for.
pub fn verify(evm_gas_limit: u64) -> u64 {
    VERIFY.saturating_add(VERIFIER_GAS.saturating_mul(evm_gas_limit))
}
