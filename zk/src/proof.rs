//! A proof with what it is about.

use aiinference_verifier::{element, Word};
use serde::{Deserialize, Serialize};

use crate::{
    hidden::Hidden,
    manifest::{Manifest, Port},
};

/// Why a proof is not even about a circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Another number of tensors or elements.
    #[error("reading a proof: it has {found} {what}, the circuit has {want}")]
    Count {
        /// Of what.
        what: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        want: usize,
    },
    /// A number out of the port's range.
    #[error("reading a proof: {port:?} holds {found}, its range is {low} to {high}")]
    Range {
        /// Which input or output.
        port: String,
        /// The number.
        found: i32,
        /// Least.
        low: i32,
        /// Largest.
        high: i32,
    },
    /// The proof is of another model.
    #[error("reading a proof: it is not of the model {want}")]
    Model {
        /// SHA-256 of this circuit's model.
        want: String,
    },
    /// The proof is of another circuit.
    #[error("reading a proof: it is not of the circuit {want}")]
    Circuit {
        /// SHA-256 of this circuit's data.
        want: String,
    },
    /// The proof is no hex.
    #[error("reading a proof: its bytes are not hexadecimal")]
    Hex,
    /// The inputs of a circuit that hides them are in the open, or the other way about.
    #[error("reading a proof: the circuit {takes}")]
    Hidden {
        /// What it wants.
        takes: &'static str,
    },
    /// No 32 bytes, or other weights than the circuit's.
    #[error("reading a proof: the hash of its {of} is not that of the circuit, or not 64 hexadecimal digits")]
    Hash {
        /// Inputs or weights.
        of: &'static str,
    },
}

/// One run, proven: integers as the engine takes and gives them, and the proof's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// SHA-256 of the model's module.
    pub model_checksum: String,
    /// SHA-256 of the circuit's data.
    pub vka_sha256: String,
    /// Per input; none where they are hidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Vec<i32>>,
    /// Hidden inputs: their salted hash, a field element, big endian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_hash: Option<String>,
    /// Hidden weights: their hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_hash: Option<String>,
    /// Per output.
    pub outputs: Vec<Vec<i32>>,
    /// As hex.
    pub proof: String,
}

impl Proof {
    /// The proof's bytes, where the whole fits the circuit: numbers and sizes of tensors, ranges, the proof's length.
    pub fn checked_bytes(&self, circuit: &Manifest) -> Result<Vec<u8>, ProofError> {
        if self.model_checksum != circuit.model_checksum {
            return Err(ProofError::Model {
                want: circuit.model_checksum.clone(),
            });
        }
        if self.vka_sha256 != circuit.vka_sha256 {
            return Err(ProofError::Circuit {
                want: circuit.vka_sha256.clone(),
            });
        }
        match (circuit.hidden, &self.inputs_hash) {
            (Hidden::Inputs, Some(_)) if self.inputs.is_empty() => {}
            (Hidden::Inputs, _) => {
                let takes = "hides its inputs: a proof holds their hash, and not them";
                return Err(ProofError::Hidden { takes });
            }
            (Hidden::Nothing | Hidden::Weights, None) => fits("inputs", &self.inputs, &circuit.inputs)?,
            (Hidden::Nothing | Hidden::Weights, Some(_)) => {
                let takes = "has its inputs in the open: a proof holds them, and no hash";
                return Err(ProofError::Hidden { takes });
            }
        }
        if self.weights_hash != circuit.weights_hash {
            return Err(ProofError::Hash { of: "weights" });
        }
        fits("outputs", &self.outputs, &circuit.outputs)?;
        let bytes = self.bytes()?;
        count("bytes", bytes.len(), circuit.proof_bytes as usize)?;
        Ok(bytes)
    }

    /// The proof's bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, ProofError> {
        hex::decode(&self.proof).map_err(|_| ProofError::Hex)
    }

    /// The public values of the circuit in its order: field elements, big endian; hashes, inputs, outputs.
    pub fn instances(&self) -> Result<Vec<Word>, ProofError> {
        let mut words = Vec::new();
        for (of, hash) in [("inputs", &self.inputs_hash), ("weights", &self.weights_hash)] {
            if let Some(hash) = hash {
                let mut word = [0; 32];
                hex::decode_to_slice(hash, &mut word).map_err(|_| ProofError::Hash { of })?;
                words.push(word);
            }
        }
        let integers = self.inputs.iter().chain(&self.outputs).flatten();
        words.extend(integers.map(|v| element(*v)));
        Ok(words)
    }
}

fn count(what: &str, found: usize, want: usize) -> Result<(), ProofError> {
    if found == want {
        return Ok(());
    }
    Err(ProofError::Count {
        what: what.into(),
        found,
        want,
    })
}

fn fits(what: &str, tensors: &[Vec<i32>], ports: &[Port]) -> Result<(), ProofError> {
    count(what, tensors.len(), ports.len())?;
    for (tensor, port) in tensors.iter().zip(ports) {
        count(&format!("elements in {:?}", port.name), tensor.len(), port.elements())?;
        if let Some(found) = tensor.iter().find(|v| **v < port.low || **v > port.high) {
            return Err(ProofError::Range {
                port: port.name.clone(),
                found: *found,
                low: port.low,
                high: port.high,
            });
        }
    }
    Ok(())
}
