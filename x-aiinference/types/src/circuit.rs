//! What is said of circuits on both sides of the border: which structured reference string a key belongs to.

use sha2::{Digest, Sha256};

/// Tag of the hash that names a structured reference string.
pub const SRS_TAG: &str = "aiinference/1/srs";

/// The perpetual powers of tau of the Ethereum community as the words `-s*G2` of a key: x1, x2, y1, y2.
pub const PERPETUAL_POWERS_OF_TAU: [[u8; 32]; 4] = [
    word(0x186282957db913abd99f91db59fe6992, 0x2e95040603ef44c0bd7aa3adeef8f5ac),
    word(0x17944351223333f260ddc3b4af45191b, 0x856689eda9eab5cbcddbbe570ce860d2),
    word(0x06d971ff4a7467c3ec596ed6efc67457, 0x2e32fd6f52b721f97e35b0b3d3546753),
    word(0x06ecdb9f9567f59ed2eee36e1e1d5879, 0x7fd13cc97fafc2910f5e8a12f202fa9a),
];

/// The order of the scalar field of BN254, big endian: what every public value of a proof is below.
pub const FIELD_ORDER: [u8; 32] = word(0x30644e72e131a029b85045b68181585d, 0x2833e84879b9709143e1f593f0000001);

/// The id of the structured reference string whose key words `-s*G2` these are: SHA-256 over the length of [`SRS_TAG`] in
/// one byte, the tag, and the words.
pub fn srs_id(words: &[[u8; 32]; 4]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update([SRS_TAG.len() as u8]);
    sha.update(SRS_TAG.as_bytes());
    for word in words {
        sha.update(word);
    }
    sha.finalize().into()
}

/// A number of 256 bits from its halves.
const fn word(high: u128, low: u128) -> [u8; 32] {
    let (high, low) = (high.to_be_bytes(), low.to_be_bytes());
    let mut word = [0; 32];
    let mut index = 0;
    while index < 16 {
        word[index] = high[index];
        word[16 + index] = low[index];
        index += 1;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_changes_the_id() {
        let id = srs_id(&PERPETUAL_POWERS_OF_TAU);
        for index in 0..4 {
            let mut words = PERPETUAL_POWERS_OF_TAU;
            words[index][31] ^= 1;
            assert_ne!(srs_id(&words), id);
        }
    }

    #[test]
    fn the_document_states_the_id_of_the_perpetual_powers_of_tau() {
        let page = include_str!("../../../docs/spec/zk.md");
        let hex = srs_id(&PERPETUAL_POWERS_OF_TAU)
            .map(|byte| alloc::format!("{byte:02x}"))
            .concat();
        assert!(page.contains(&hex), "{hex}");
    }

    #[test]
    fn the_field_order_is_the_known_decimal_number() {
        let decimal = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
        let mut want = [0u8; 32];
        for digit in decimal.bytes() {
            let mut carry = u32::from(digit - b'0');
            for byte in want.iter_mut().rev() {
                carry += u32::from(*byte) * 10;
                *byte = carry as u8;
                carry >>= 8;
            }
        }
        assert_eq!(FIELD_ORDER, want);
    }
}
