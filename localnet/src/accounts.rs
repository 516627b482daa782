//! Accounts with known keys, the same in every localnet and on both chains.
//!
//! **For tests only.** Everybody can derive these keys; never send anything of value to them.

use bip39::Mnemonic;
use cosmrs::crypto::secp256k1::SigningKey;
use sha2::{Digest, Sha256};

/// The prefix of addresses on both chains.
pub const PREFIX: &str = "wasm";
/// The coin that both chains stake and pay fees with.
pub const DENOM: &str = "stake";
/// What each account owns at the start.
pub const FUNDS: u128 = 1_000_000_000_000_000;
/// The funded accounts that are no validator's.
pub const NAMES: [&str; 13] = [
    "deployer", "alice", "bob", "relayer", "prover", "load0", "load1", "load2", "load3", "load4", "load5", "load6",
    "load7",
];

const HD_PATH: &str = "m/44'/118'/0'/0/0";

/// The mnemonic of the account with this name: twelve words made from the name itself, so that no secret is kept anywhere.
pub fn mnemonic(name: &str) -> String {
    let entropy = Sha256::digest(format!("aiinference localnet, for tests only: {name}"));
    Mnemonic::from_entropy(&entropy[..16])
        .expect("16 bytes are a valid entropy")
        .to_string()
}

/// The address that belongs to a mnemonic, at the path that wallets of Cosmos chains use by default.
pub fn address(mnemonic: &str) -> Option<String> {
    let seed = Mnemonic::parse_normalized(mnemonic).ok()?.to_seed_normalized("");
    let key = SigningKey::derive_from_path(seed, &HD_PATH.parse().ok()?).ok()?;
    Some(key.public_key().account_id(PREFIX).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_the_same_in_every_localnet() {
        let words = "glance embrace love step deny plastic decrease stay strong aim possible thunder";
        assert_eq!(mnemonic("deployer"), words);
        assert_eq!(address(words).unwrap(), "wasm1d68zp94ar73yxdndx4svugncl39x42stpvm75p");
    }

    #[test]
    fn a_known_mnemonic_gives_the_address_that_wasmd_gives() {
        // The mnemonic of BIP-39's first test vector, and what `wasmd keys add --recover` makes of it.
        let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        assert_eq!(address(words).unwrap(), "wasm19rl4cm2hmr8afy4kldpxz3fka4jguq0akuugk7");
    }

    #[test]
    fn words_that_are_no_mnemonic_have_no_address() {
        assert_eq!(address("not a mnemonic"), None);
    }
}
