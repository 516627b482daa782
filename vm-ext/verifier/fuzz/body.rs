//! What the fuzz target and the replay of its corpus check.

use aiinference_types::{limits, v1};
use aiinference_verifier::{evm_gas_limit, verify, Circuit};
use prost::Message;

/// Bytes as the section of a circuit: what decodes has one encoding, keeps to the limits, and takes no proof of zeros.
/// Whether it was a circuit.
pub fn check(data: &[u8]) -> bool {
    let Ok(circuit) = Circuit::decode(data) else {
        return false;
    };
    let message = v1::Circuit::decode(data).expect("a circuit");
    assert!(message.encode_to_vec() == data, "a second encoding");
    assert!(circuit.key().len() <= limits::MAX_KEY_WORDS && circuit.proof_bytes() <= limits::MAX_PROOF_BYTES);
    let elements: usize = circuit.values().iter().map(|value| value.elements).sum();
    assert!(elements == circuit.instance_count() && elements <= limits::MAX_INSTANCES);
    let proof = vec![0; circuit.proof_bytes()];
    let instances = vec![[0; 32]; circuit.instance_count()];
    if let Ok(verdict) = verify(&circuit, &proof, &instances) {
        assert!(!verdict.valid, "a proof of nothing");
        assert!(verdict.evm_gas <= evm_gas_limit(&circuit));
    }
    true
}
