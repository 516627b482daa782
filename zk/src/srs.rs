//! Which structured reference string (SRS) a circuit's keys were made with.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use aiinference_types::circuit::{srs_id, PERPETUAL_POWERS_OF_TAU};
use aiinference_verifier::{key_srs, CircuitError};
use ark_bn254::Fq;
use ark_ff::{BigInt, BigInteger, PrimeField};
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

/// Bytes of a point of G1 and of G2, coordinates as they are in memory.
const G1_BYTES: u64 = 64;
const G2_BYTES: usize = 128;
/// More rows than any public SRS has.
const MAX_LOGROWS: u32 = 28;

impl Srs {
    /// The one in a file as ezkl reads it, and the logarithm of its rows: so many points of G1 twice over, then the points G2
    /// and s*G2. None if the file is none.
    pub(crate) fn of_file(path: &Path) -> io::Result<Option<(Self, u32)>> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut logrows = [0; 4];
        if bytes < 4 {
            return Ok(None);
        }
        file.read_exact(&mut logrows)?;
        let logrows = u32::from_le_bytes(logrows);
        if logrows > MAX_LOGROWS || bytes != 4 + ((2 * G1_BYTES) << logrows) + 2 * G2_BYTES as u64 {
            return Ok(None);
        }
        file.seek(SeekFrom::End(-(G2_BYTES as i64)))?;
        let mut point = [0; G2_BYTES];
        file.read_exact(&mut point)?;
        let (coordinates, _) = point.as_chunks::<32>();
        let [x2, x1, y2, y1] = [0, 1, 2, 3].map(|at| coordinates.get(at).map_or(Fq::from(0), coordinate));
        let id = srs_id(&[x1, x2, -y1, -y2].map(word));
        let srs = Srs {
            id: hex::encode(id),
            development: id != srs_id(&PERPETUAL_POWERS_OF_TAU),
        };
        Ok(Some((srs, logrows)))
    }
}

/// A coordinate in Montgomery's form, little endian.
fn coordinate(bytes: &[u8; 32]) -> Fq {
    let mut limbs = [0; 4];
    let (chunks, _) = bytes.as_chunks::<8>();
    for (limb, chunk) in limbs.iter_mut().zip(chunks) {
        *limb = u64::from_le_bytes(*chunk);
    }
    Fq::new_unchecked(BigInt::new(limbs))
}

fn word(coordinate: Fq) -> [u8; 32] {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().zip(coordinate.into_bigint().to_bytes_be()) {
        *to = from;
    }
    word
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
