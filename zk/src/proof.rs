//! A proof with what it is about.

use serde::{Deserialize, Serialize};

use crate::manifest::{Manifest, Port};

/// The field's order r, big endian.
const FIELD: [u8; 32] = [
    0x30, 0x64, 0x4e, 0x72, 0xe1, 0x31, 0xa0, 0x29, 0xb8, 0x50, 0x45, 0xb6, 0x81, 0x81, 0x58, 0x5d, 0x28, 0x33, 0xe8,
    0x48, 0x79, 0xb9, 0x70, 0x91, 0x43, 0xe1, 0xf5, 0x93, 0xf0, 0x00, 0x00, 0x01,
];

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
        fits("inputs", &self.inputs, &circuit.inputs)?;
        fits("outputs", &self.outputs, &circuit.outputs)?;
        let bytes = hex::decode(&self.proof).map_err(|_| ProofError::Hex)?;
        count("bytes", bytes.len(), circuit.proof_bytes as usize)?;
        Ok(bytes)
    }

    /// The public inputs of the circuit: canonical field elements, big endian; inputs first.
    pub fn instances(&self) -> Vec<[u8; 32]> {
        let all = self.inputs.iter().chain(&self.outputs).flatten();
        all.map(|v| field_element(*v)).collect()
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

/// An integer in the field: a negative one is r minus its magnitude.
fn field_element(v: i32) -> [u8; 32] {
    let mut bytes = [0; 32];
    let magnitude = v.unsigned_abs().to_be_bytes();
    bytes[28..].copy_from_slice(&magnitude);
    if v >= 0 {
        return bytes;
    }
    let mut borrow = 0u16;
    let mut result = FIELD;
    for (r, b) in result.iter_mut().zip(bytes).rev() {
        let minus = u16::from(b) + borrow;
        borrow = u16::from(u16::from(*r) < minus);
        *r = (u16::from(*r) + (borrow << 8) - minus) as u8;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_integers_are_the_field_order_minus_their_magnitude() {
        assert_eq!(field_element(1)[31], 1);
        assert_eq!(field_element(-1)[..31], FIELD[..31]);
        assert_eq!(field_element(-1)[31], 0);
        let least = hex::encode(field_element(i32::MIN));
        assert_eq!(
            least,
            "30644e72e131a029b85045b68181585d2833e84879b9709143e1f59370000001"
        );
        assert_eq!(
            hex::encode(field_element(-2)),
            "30644e72e131a029b85045b68181585d2833e84879b9709143e1f593efffffff"
        );
    }
}
