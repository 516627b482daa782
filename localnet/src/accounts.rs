//! Accounts with known keys, the same in every localnet and on both chains.
//!
//! **For tests only.** Everybody can derive these keys; never send anything of value to them.

use aiinference_client::{Key, KeyError, DEFAULT_PATH};
use bip39::Mnemonic;
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

/// The mnemonic of the account with this name: twelve words made from the name itself, so that no secret is kept anywhere.
pub fn mnemonic(name: &str) -> String {
    let entropy = Sha256::digest(format!("aiinference localnet, for tests only: {name}"));
    Mnemonic::from_entropy(&entropy[..16])
        .expect("16 bytes are a valid entropy")
        .to_string()
}

/// The key of the account with this name.
pub fn key(name: &str) -> Result<Key, KeyError> {
    Key::from_mnemonic(&mnemonic(name), DEFAULT_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_the_same_in_every_localnet_and_to_wasmd() {
        let words = "glance embrace love step deny plastic decrease stay strong aim possible thunder";
        assert_eq!(mnemonic("deployer"), words);
        // As `wasmd keys add --recover` says.
        let address = "wasm1d68zp94ar73yxdndx4svugncl39x42stpvm75p";
        assert_eq!(key("deployer").unwrap().address(PREFIX).unwrap().to_string(), address);
    }
}
