//! A proof with what it is about.

use aiinference_verifier::element;
use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, Port};

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
    /// The proof is of another circuit.
    #[error("reading a proof: it is of the circuit {found}, not of {want}")]
    Circuit {
        /// SHA-256 of its circuit's data.
        found: String,
        /// Of this circuit's.
        want: String,
    },
    /// The proof is no hex.
    #[error("reading a proof: its bytes are not hexadecimal")]
    Hex,
}

/// One run, proven: integers as the engine takes and gives them, and the proof's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// SHA-256 of the model's module.
    pub model_checksum: String,
    /// SHA-256 of the circuit's data.
    pub vka_sha256: String,
    /// Per input.
    pub inputs: Vec<Vec<i32>>,
    /// Per output.
    pub outputs: Vec<Vec<i32>>,
    /// As hex.
    pub proof: String,
}

impl Proof {
    /// The proof's bytes, where the whole fits the circuit: numbers and sizes of tensors, ranges, the proof's length.
    pub fn checked_bytes(&self, circuit: &Manifest) -> Result<Vec<u8>, ProofError> {
        if self.vka_sha256 != circuit.vka_sha256 {
            return Err(ProofError::Circuit {
                found: self.vka_sha256.clone(),
                want: circuit.vka_sha256.clone(),
            });
        }
        fits("inputs", &self.inputs, &circuit.inputs)?;
        fits("outputs", &self.outputs, &circuit.outputs)?;
        let bytes = hex::decode(&self.proof).map_err(|_| ProofError::Hex)?;
        count("bytes", bytes.len(), circuit.proof_bytes as usize)?;
        Ok(bytes)
    }

    /// The public inputs of the circuit: canonical field elements, big endian; inputs first.
    pub fn instances(&self) -> Vec<[u8; 32]> {
        let all = self.inputs.iter().chain(&self.outputs).flatten();
        all.map(|v| element(*v)).collect()
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
