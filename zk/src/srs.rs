//! Which structured reference string (SRS) a circuit's keys were made with.

use aiinference_types::circuit::{srs_id, PERPETUAL_POWERS_OF_TAU};
use aiinference_verifier::{key_srs, CircuitError};
use serde::{Deserialize, Serialize};

/// An SRS by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srs {
    /// As requests name it, as hex.
    pub id: String,
    /// Whether somebody made it alone, who could forge proofs: any but the perpetual powers of tau.
    pub development: bool,
}

impl Srs {
    /// The one that a key was made with.
    pub fn of_key(key: &[u8]) -> Result<Self, CircuitError> {
        let id = key_srs(key)?;
        Ok(Srs {
            id: hex::encode(id),
            development: id != srs_id(&PERPETUAL_POWERS_OF_TAU),
        })
    }
}

/// The key in the file that ezkl writes: a count, then so many words of 32 bytes. None if it has another layout.
pub fn key_of(vka: &[u8]) -> Option<&[u8]> {
    let (count, key) = vka.split_first_chunk::<8>()?;
    (key.len().is_multiple_of(32) && u64::from_le_bytes(*count) == key.len() as u64 / 32).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_srs_of_a_circuit_is_read_from_its_key() {
        let mut words = vec![[7u8; 32]; 30];
        words[20..24].copy_from_slice(&PERPETUAL_POWERS_OF_TAU);
        let encode = |words: &[[u8; 32]]| [&(words.len() as u64).to_le_bytes()[..], &words.concat()].concat();
        let vka = encode(&words);
        assert!(!Srs::of_key(key_of(&vka).unwrap()).unwrap().development);
        words[23][31] ^= 1;
        assert!(Srs::of_key(key_of(&encode(&words)).unwrap()).unwrap().development);
        assert!(Srs::of_key(key_of(&encode(&words[..23])).unwrap()).is_err());
        assert_eq!(key_of(&vka[..vka.len() - 1]), None);
        assert_eq!(key_of(&[vka.clone(), vec![0]].concat()), None);
        assert_eq!(key_of(&[]), None);
    }
}
