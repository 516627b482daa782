//! Which structured reference string (SRS) a circuit's keys were made with: the four words -s*G2 of it.

use serde::{Deserialize, Serialize};

/// Words of -s*G2 in a circuit's data (VKA).
const WORDS: std::ops::Range<usize> = 20..24;

/// -s*G2 of the public SRS "perpetual powers of tau", of any size.
pub const PERPETUAL_POWERS_OF_TAU: [[u8; 32]; 4] = [
    word("186282957db913abd99f91db59fe69922e95040603ef44c0bd7aa3adeef8f5ac"),
    word("17944351223333f260ddc3b4af45191b856689eda9eab5cbcddbbe570ce860d2"),
    word("06d971ff4a7467c3ec596ed6efc674572e32fd6f52b721f97e35b0b3d3546753"),
    word("06ecdb9f9567f59ed2eee36e1e1d58797fd13cc97fafc2910f5e8a12f202fa9a"),
];

const fn word(text: &str) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            _ => c - b'a' + 10,
        }
    }
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    let mut i = 0;
    while i < 32 {
        bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    bytes
}

/// An SRS by its -s*G2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srs {
    /// The words, x first, as hex.
    pub minus_s_g2: Vec<String>,
    /// Whether somebody made it alone, who could forge proofs: any but the public one.
    pub development: bool,
}

/// The words of a circuit's data: a count, then so many words. None if it has another layout.
pub fn vka_words(vka: &[u8]) -> Option<Vec<[u8; 32]>> {
    let (count, rest) = vka.split_first_chunk::<8>()?;
    let (words, tail) = rest.as_chunks::<32>();
    (tail.is_empty() && u64::from_le_bytes(*count) == words.len() as u64).then(|| words.to_vec())
}

impl Srs {
    /// The one that a circuit's data was made with; none if the data is too short to say.
    pub fn of_vka(vka: &[u8]) -> Option<Self> {
        let words = vka_words(vka)?;
        let words = words.get(WORDS)?;
        Some(Srs {
            minus_s_g2: words.iter().map(hex::encode).collect(),
            development: words != PERPETUAL_POWERS_OF_TAU,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_srs_of_a_circuit_is_read_from_its_words() {
        let mut words = vec![[7u8; 32]; 30];
        words[20..24].copy_from_slice(&PERPETUAL_POWERS_OF_TAU);
        let encode = |words: &[[u8; 32]]| [&(words.len() as u64).to_le_bytes()[..], &words.concat()].concat();
        let vka = encode(&words);
        assert!(!Srs::of_vka(&vka).unwrap().development);
        words[23][31] ^= 1;
        assert!(Srs::of_vka(&encode(&words)).unwrap().development);
        assert_eq!(Srs::of_vka(&encode(&words[..23])), None);
        assert_eq!(Srs::of_vka(&vka[..vka.len() - 1]), None);
        assert_eq!(Srs::of_vka(&[vka.clone(), vec![0]].concat()), None);
    }
}
