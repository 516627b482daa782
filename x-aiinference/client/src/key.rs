//! A private key: made from a mnemonic or from its 32 bytes, wiped when dropped, and shown by nothing.

use std::fmt;

use cosmrs::{
    bip32::{DerivationPath, XPrv},
    crypto::{secp256k1::SigningKey, PublicKey},
    AccountId,
};
use zeroize::Zeroizing;

/// Where Cosmos chains look for the first account of a mnemonic.
pub const DEFAULT_PATH: &str = "m/44'/118'/0'/0/0";

/// Bytes of chance in a new mnemonic of 24 words, and room for it: no English word has more than 8 letters.
const NEW_WORDS_ENTROPY: usize = 32;
const MNEMONIC_BYTES: usize = 24 * 9;

/// Why there is no key. The texts name no part of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("reading a mnemonic: {0}; a BIP-39 mnemonic is 12 to 24 English words with a checksum in the last one")]
    Mnemonic(&'static str),
    #[error("reading a derivation path: {0:?} is none; write one like {DEFAULT_PATH}")]
    Path(String),
    #[error("deriving a key: this mnemonic and path give none; take another path")]
    Derivation,
    #[error("reading a private key: it is not 64 hexadecimal digits; export it with --unarmored-hex --unsafe")]
    NotHex,
    #[error("reading a private key: the number is no secp256k1 key")]
    NotAKey,
    #[error("making an address: {0:?} is no bech32 prefix; write one like wasm")]
    Prefix(String),
    #[error("signing: the signature could not be made")]
    Signature,
    #[error("making a mnemonic: the system gives no randomness: {0}")]
    Randomness(String),
}

/// A secp256k1 key of an account.
pub struct Key {
    secret: Zeroizing<[u8; 32]>,
    signing: SigningKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("public", &hex::encode(self.public_key().to_bytes()))
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The key of a mnemonic at a derivation path ([`DEFAULT_PATH`] where the chain says nothing else).
    pub fn from_mnemonic(words: &str, path: &str) -> Result<Self, KeyError> {
        let path: DerivationPath = path.parse().map_err(|_| KeyError::Path(path.into()))?;
        // One space between words, whatever stood between the lines of a file.
        let mut joined = Zeroizing::new(String::with_capacity(words.len()));
        for word in words.split_whitespace() {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(word);
        }
        let mnemonic = bip39::Mnemonic::parse_in(bip39::Language::English, joined.as_str())
            .map_err(|error| KeyError::Mnemonic(mnemonic_fault(&error)))?;
        let seed = Zeroizing::new(mnemonic.to_seed(""));
        let derived = XPrv::derive_from_path(seed.as_slice(), &path).map_err(|_| KeyError::Derivation)?;
        Self::from_bytes(Zeroizing::new(derived.private_key().to_bytes().into()))
    }

    /// The key written as 64 hexadecimal digits, with white space around them or not.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut_slice()).map_err(|_| KeyError::NotHex)?;
        Self::from_bytes(secret)
    }

    /// The key in a secret's text: a mnemonic, which has a derivation path, or 64 hexadecimal digits.
    pub fn from_secret(text: &str, path: &str) -> Result<Self, KeyError> {
        match text.trim().contains(char::is_whitespace) {
            true => Self::from_mnemonic(text, path),
            false => Self::from_hex(text),
        }
    }

    fn from_bytes(secret: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let signing = SigningKey::from_slice(secret.as_slice()).map_err(|_| KeyError::NotAKey)?;
        Ok(Key { secret, signing })
    }

    /// A new mnemonic of 24 words in one line, from the system's randomness. Whoever has it has the account.
    pub fn new_mnemonic() -> Result<Zeroizing<String>, KeyError> {
        let mut entropy = Zeroizing::new([0; NEW_WORDS_ENTROPY]);
        getrandom::fill(entropy.as_mut_slice()).map_err(|e| KeyError::Randomness(e.to_string()))?;
        let mnemonic =
            bip39::Mnemonic::from_entropy(entropy.as_slice()).map_err(|e| KeyError::Mnemonic(mnemonic_fault(&e)))?;
        let mut words = Zeroizing::new(String::with_capacity(MNEMONIC_BYTES));
        for word in mnemonic.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        words.push('\n');
        Ok(words)
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        self.signing.public_key()
    }

    /// The account's address on chains with a bech32 prefix.
    pub fn address(&self, prefix: &str) -> Result<AccountId, KeyError> {
        let wrong = || KeyError::Prefix(crate::error::printable(prefix));
        if !is_prefix(prefix) {
            return Err(wrong());
        }
        self.public_key().account_id(prefix).map_err(|_| wrong())
    }

    /// The signature of some bytes, 64 bytes long.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.signing.sign(bytes).map_err(|_| KeyError::Signature)?;
        Ok(signature.to_vec())
    }

    /// The private key as a line of hexadecimal digits, for a key file.
    pub(crate) fn to_line(&self) -> Zeroizing<String> {
        // Room for all of it at once: growing would leave a copy behind.
        let mut line = Zeroizing::new(String::with_capacity(2 * self.secret.len() + 1));
        for byte in self.secret.iter() {
            line.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        line.push('\n');
        line
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// A human-readable part as Cosmos chains have them.
pub(crate) fn is_prefix(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// What is wrong with a mnemonic, without its words.
fn mnemonic_fault(error: &bip39::Error) -> &'static str {
    match error {
        bip39::Error::BadWordCount(_) => "the number of words is wrong",
        bip39::Error::UnknownWord(_) => "a word is not in the English list",
        bip39::Error::InvalidChecksum => "the checksum does not fit, so that a word is wrong or misplaced",
        _ => "it is none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first mnemonic of BIP-39's test vectors, which everybody knows: never send anything to it.
    const KNOWN: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn a_known_mnemonic_gives_the_known_account() {
        let key = Key::from_mnemonic(KNOWN, DEFAULT_PATH).unwrap();
        // What other Cosmos wallets show for these words.
        assert_eq!(
            key.address("cosmos").unwrap().as_ref(),
            "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4"
        );
        let spread = KNOWN.replace(' ', "\n  ");
        assert_eq!(
            Key::from_mnemonic(&spread, DEFAULT_PATH).unwrap().public_key(),
            key.public_key()
        );
        let second = Key::from_mnemonic(KNOWN, "m/44'/118'/0'/0/1").unwrap();
        assert_ne!(second.public_key(), key.public_key());
    }

    #[test]
    fn a_key_survives_its_hexadecimal_form() {
        let key = Key::from_mnemonic(KNOWN, DEFAULT_PATH).unwrap();
        let again = Key::from_hex(&key.to_line()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        // A file may hold either.
        for secret in [KNOWN, key.to_line().as_str()] {
            let read = Key::from_secret(secret, DEFAULT_PATH).unwrap();
            assert_eq!(read.public_key(), key.public_key());
        }
    }

    #[test]
    fn a_new_mnemonic_is_a_new_one_and_good() {
        let (one, two) = (Key::new_mnemonic().unwrap(), Key::new_mnemonic().unwrap());
        assert_ne!(*one, *two);
        assert_eq!(one.split_whitespace().count(), 24);
        Key::from_mnemonic(&one, DEFAULT_PATH).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused_without_quoting_it() {
        let wrong_word = KNOWN.replace("about", "abouts");
        let wrong_sum = KNOWN.replace("about", "abandon");
        for words in ["", "abandon", wrong_word.as_str(), wrong_sum.as_str()] {
            let error = Key::from_mnemonic(words, DEFAULT_PATH).unwrap_err();
            assert!(matches!(error, KeyError::Mnemonic(_)), "{error}");
            assert!(!error.to_string().contains("abandon"), "{error}");
        }
        assert!(matches!(Key::from_mnemonic(KNOWN, "44/118"), Err(KeyError::Path(_))));
        for hex in ["", "12", &"g".repeat(64), &"1".repeat(66)] {
            assert_eq!(Key::from_hex(hex).unwrap_err(), KeyError::NotHex, "{hex}");
        }
        for number in ["0".repeat(64), "f".repeat(64)] {
            assert_eq!(Key::from_hex(&number).unwrap_err(), KeyError::NotAKey);
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = Key::from_mnemonic(KNOWN, DEFAULT_PATH).unwrap();
        let shown = format!("{key:?}");
        assert!(
            !shown.contains(key.to_line().trim()) && shown.contains("public"),
            "{shown}"
        );
    }

    #[test]
    fn a_prefix_that_is_none_gives_no_address() {
        let key = Key::from_mnemonic(KNOWN, DEFAULT_PATH).unwrap();
        for wrong in ["", "Wasm", "wa sm", "ä", &"a".repeat(40)] {
            assert!(matches!(key.address(wrong), Err(KeyError::Prefix(_))), "{wrong}");
        }
    }
}
