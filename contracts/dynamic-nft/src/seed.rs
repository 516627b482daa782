//! The painter's input that makes each token its own.

use cosmwasm_std::SignedDecimal;
use sha2::{Digest, Sha256};

/// 10^18 / 128, exact.
const STEP: i128 = 7_812_500_000_000_000;

/// Eight numbers in -1..1: `(byte - 128) / 128` for the first eight bytes of the SHA-256 over the collection's address, a
/// zero byte and the token's id.
pub fn seed(collection: &str, token_id: &str) -> [SignedDecimal; 8] {
    let mut hash = Sha256::new();
    hash.update(collection);
    hash.update([0]);
    hash.update(token_id);
    let hash = hash.finalize();
    // 32 bytes, of which the first 8 are read.
    std::array::from_fn(|i| SignedDecimal::raw((i128::from(hash[i]) - 128) * STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_that_of_collection_and_token() {
        let seed_of = |collection, token| seed(collection, token).map(|x| x.to_string());
        assert_eq!(
            seed_of("collection", "token"),
            [
                "0.0703125",
                "-0.9609375",
                "0.5",
                "0.3203125",
                "-0.8671875",
                "-0.7890625",
                "-0.3203125",
                "-0.0859375"
            ]
        );
        // The zero byte keeps address and id apart.
        assert_ne!(seed_of("collection", "1token"), seed_of("collection1", "token"));
    }
}
