//! What a circuit hides: inputs that only their holder knows, and the hash by which everyone else speaks of them.
//!
//! `docs/spec/zk.md` states the hash. Its constants are those of ezkl's circuit; `tests/ezkl.rs` holds both against each
//! other.

use std::fmt;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use light_poseidon::{parameters::bn254_x5::get_poseidon_parameters, PoseidonError, PoseidonParameters};
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// What only the prover knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hidden {
    /// Nothing: inputs are in the open, weights part of the circuit.
    #[default]
    Nothing,
    /// The inputs; a proof is about their hash.
    Inputs,
    /// The weights; a proof is about their hash.
    Weights,
}

/// A number that nobody can guess, hashed with the inputs: without it, inputs of which there are few would be found by
/// trial.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; Salt::BYTES]);

/// What opens a hash of inputs: whoever has it can prove runs on them, and show them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Per input of the model, the integers that the engine takes.
    pub inputs: Vec<Vec<i32>>,
    /// The salt.
    pub salt: Salt,
}

/// Why there is no salt, or no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The system gives no random numbers.
    #[error("making a salt: {0}; the system's random numbers must be available")]
    Random(#[from] getrandom::Error),
    /// The hash has no constants for its width.
    #[error("hashing inputs: {0}")]
    Constants(#[from] PoseidonError),
}

impl Salt {
    /// Any number of so many bytes is below the order of the field.
    pub const BYTES: usize = 31;

    /// From the system's random numbers.
    pub fn random() -> Result<Self, HashError> {
        let mut bytes = [0; Self::BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Salt(bytes))
    }

    /// One's own: anyone who can guess it can try inputs.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Salt(bytes)
    }

    /// As ezkl reads field elements: 32 bytes, little endian, as hex.
    pub(crate) fn element(&self) -> String {
        hex::encode(self.0) + "00"
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; Salt::BYTES];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| de::Error::custom(format!("a salt is {} hexadecimal digits", 2 * Salt::BYTES)))?;
        Ok(Salt(bytes))
    }
}

impl Opening {
    /// For these inputs, with a fresh salt.
    pub fn new(inputs: Vec<Vec<i32>>) -> Result<Self, HashError> {
        let salt = Salt::random()?;
        Ok(Opening { inputs, salt })
    }

    /// The salted hash of the inputs, which everyone may see: a field element, big endian, as proofs and claims take it.
    pub fn hash(&self) -> Result<[u8; 32], HashError> {
        let elements = self.inputs.iter().flatten().map(|v| Fr::from(*v));
        let salt = Fr::from_le_bytes_mod_order(&self.salt.0);
        let hash = poseidon(elements.chain([salt]))?;
        let mut bytes = [0; 32];
        // A field element has 32 bytes.
        for (to, from) in bytes.iter_mut().zip(hash.into_bigint().to_bytes_be()) {
            *to = from;
        }
        Ok(bytes)
    }
}

/// Poseidon of width 2: a sponge of rate 1 that starts at (0, 2^64) and takes one element before each permutation.
fn poseidon(message: impl Iterator<Item = Fr>) -> Result<Fr, PoseidonError> {
    let parameters = get_poseidon_parameters::<Fr>(2)?;
    let mut state = [Fr::ZERO, Fr::from(2u64).pow([64])];
    for element in message {
        state[0] += element;
        permute(&mut state, &parameters);
    }
    Ok(state[0])
}

fn permute(state: &mut [Fr; 2], parameters: &PoseidonParameters<Fr>) {
    let rounds = parameters.full_rounds + parameters.partial_rounds;
    let partial = parameters.full_rounds / 2..rounds - parameters.full_rounds / 2;
    let (constants, _) = parameters.ark.as_chunks::<2>();
    for (round, [first, second]) in constants.iter().enumerate() {
        state[0] = (state[0] + first).pow([parameters.alpha]);
        state[1] += second;
        if !partial.contains(&round) {
            state[1] = state[1].pow([parameters.alpha]);
        }
        let mut mixed = [Fr::ZERO; 2];
        for (to, row) in mixed.iter_mut().zip(&parameters.mds) {
            *to = row.iter().zip(state.iter()).map(|(m, s)| *m * s).sum();
        }
        *state = mixed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_ezkl() {
        // ezkl.poseidon_hash of 1, -2, 90, -100.
        let message = [1, -2, 90, -100].map(Fr::from);
        let hash = poseidon(message.into_iter()).unwrap();
        assert_eq!(
            hex::encode(hash.into_bigint().to_bytes_le()),
            "f21851b5fab522b189918512e500ae87968bb2860098f2493fb3dec9cba5651c"
        );
    }

    #[test]
    fn salt_and_every_integer_change_the_hash() {
        let opening = |inputs: &[i32], salt: u8| Opening {
            inputs: vec![inputs.to_vec()],
            salt: Salt::from_bytes([salt; 31]),
        };
        let hashes = [
            opening(&[1, 2], 7),
            opening(&[1, 2], 8),
            opening(&[2, 1], 7),
            opening(&[-1, 2], 7),
            opening(&[0, 1, 2], 7),
        ]
        .map(|o| o.hash().unwrap());
        for (i, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..i].contains(hash));
        }
    }

    #[test]
    fn openings_are_read_as_written_and_never_shown() {
        let opening = Opening::new(vec![vec![1, -2], vec![3]]).unwrap();
        let text = serde_json::to_string(&opening).unwrap();
        let read: Opening = serde_json::from_str(&text).unwrap();
        assert!(read == opening);
        assert_eq!(format!("{opening:?} {:?}", opening.salt), "Opening(..) Salt(..)");
        assert_ne!(Opening::new(vec![]).unwrap().salt, Opening::new(vec![]).unwrap().salt);
        let short = text.replacen(&hex::encode(&opening.salt.0[..2]), "", 1);
        assert!(serde_json::from_str::<Opening>(&short).is_err());
    }
}
