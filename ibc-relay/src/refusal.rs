//! What a chain means when it refuses a transaction.
//!
//! Codespace and code tell it, where there are some. A trial has the same code for everything, so that words must be read;
//! but only the SDK's own, which come first. What a contract says stands behind "failed to execute message", and may say
//! anything.

use crate::error::RelayError;

/// What the SDK writes before the error of a message.
const IN_MESSAGE: &str = "failed to execute message; message index: ";

/// What it writes before the sequence number that it wants.
const WRONG_SEQUENCE: &str = "account sequence mismatch, expected ";

/// Codes of the SDK: bad signature, too few funds, too low fee, full mempool, wrong sequence number.
const UNAUTHORIZED: u32 = 4;
const INSUFFICIENT_FUNDS: u32 = 5;
const INSUFFICIENT_FEE: u32 = 13;
const MEMPOOL_FULL: u32 = 20;
const SEQUENCE: u32 = 32;

/// The SDK's codes for whatever a trial ends with: unknown request, invalid request.
const TRIALS: [u32; 2] = [6, 18];

/// Codes of light clients that take no header: not found, bad header, update failed, not active.
const CLIENT: [u32; 4] = [5, 12, 23, 29];

/// What IBC says to a transaction in which nothing is new.
const REDUNDANT: (&str, u32) = ("channel", 22);

/// A chain's refusal.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    codespace: &'a str,
    code: u32,
    /// What the SDK itself says.
    words: &'a str,
    /// Which message failed, if one did; after that number, anything.
    message: Option<usize>,
}

impl<'a> Refusal<'a> {
    /// The refusal that an error is, if it is one.
    pub fn of(error: &'a RelayError) -> Option<Self> {
        let (codespace, code, log) = error.refusal()?;
        let (words, message) = match log.split_once(IN_MESSAGE) {
            Some((words, rest)) => {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                // A number that is none is that of no message there is.
                let index = digits.and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX);
                (words, Some(index))
            }
            None => (log, None),
        };
        // What carries the error of a trial.
        let words = match words.split_once(" desc = ") {
            Some((rpc, rest)) if rpc.starts_with("rpc error: ") => rest,
            _ => words,
        };
        Some(Refusal {
            codespace,
            code,
            words,
            message,
        })
    }

    /// What the SDK says, without where in its source that is, and without the gas used, which differs from trial to trial.
    pub fn reason(&self) -> &'a str {
        self.words.split(" [").next().unwrap_or_default()
    }

    /// Which message failed, by the chain's own count.
    pub fn message(&self) -> Option<usize> {
        self.message
    }

    /// The sequence number that the chain wants instead, where that is what went wrong.
    pub fn wanted_sequence(&self) -> Option<u64> {
        if !(self.is_sdk(&[SEQUENCE]) || self.is_sdk(&TRIALS)) || self.message.is_some() {
            return None;
        }
        let rest = self.words.strip_prefix(WRONG_SEQUENCE)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Whether the account cannot pay the fee.
    pub fn is_poor(&self) -> bool {
        let coded = self.is_sdk(&[INSUFFICIENT_FUNDS]) || self.is_sdk(&TRIALS);
        self.message.is_none() && coded && self.words.contains("insufficient funds")
    }

    /// Whether all of it is done already.
    pub fn is_redundant(&self) -> bool {
        self.message.is_none() && (self.codespace, self.code) == REDUNDANT
    }

    /// Whether it would be the same for any other messages: fees, signatures, room in the mempool.
    pub fn concerns_all(&self) -> bool {
        if self.message.is_some() {
            return false;
        }
        let codes = [
            UNAUTHORIZED,
            INSUFFICIENT_FUNDS,
            INSUFFICIENT_FEE,
            MEMPOOL_FULL,
            SEQUENCE,
        ];
        let words = [
            "insufficient funds",
            "insufficient fee",
            "unauthorized",
            "sequence mismatch",
        ];
        let said = self.is_sdk(&TRIALS) && words.iter().any(|words| self.words.contains(words));
        said || self.is_sdk(&codes) || self.codespace == "client" && CLIENT.contains(&self.code)
    }

    fn is_sdk(&self, codes: &[u32]) -> bool {
        self.codespace == "sdk" && codes.contains(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use aiinference_client::ClientError;

    use super::*;

    fn refused(codespace: &str, code: u32, log: &str) -> RelayError {
        RelayError::at("provider-1")(ClientError::Refused {
            doing: "sending",
            codespace: codespace.into(),
            code,
            log: log.into(),
            hash: None,
        })
    }

    const MISMATCH: &str = "account sequence mismatch, expected 7, got 6: incorrect account sequence";

    #[test]
    fn the_wanted_sequence_is_the_chains_own_word() {
        let wanted = |codespace: &str, code, log: &str| {
            let error = refused(codespace, code, log);
            Refusal::of(&error).unwrap().wanted_sequence()
        };
        assert_eq!(wanted("sdk", 32, MISMATCH), Some(7));
        let tried =
            format!("rpc error: code = Unknown desc = {MISMATCH} [x/auth/ante/sigverify.go:1] with gas used: '9'");
        for code in TRIALS {
            assert_eq!(wanted("sdk", code, &tried), Some(7));
        }
        assert_eq!(wanted("sdk", 32, "account sequence mismatch, expected "), None);
        assert_eq!(wanted("sdk", 11, "out of gas"), None);
        assert_eq!(wanted("wasm", 5, MISMATCH), None, "a contract's code");
        let error = refused("sdk", 6, &tried);
        assert_eq!(Refusal::of(&error).unwrap().reason(), MISMATCH);
    }

    #[test]
    fn a_contracts_words_are_only_its_own() {
        let says = [
            MISMATCH,
            "insufficient funds",
            "unauthorized",
            "client state is not active",
            "status is Frozen",
            "redundant: failed to execute message; message index: 0: x",
        ];
        for text in says {
            let log = format!("rpc error: code = Unknown desc = failed to execute message; message index: 3: {text}: execute wasm contract failed");
            let error = refused("sdk", 6, &log);
            let refusal = Refusal::of(&error).unwrap();
            assert_eq!(refusal.message(), Some(3), "{text}");
            assert_eq!(refusal.wanted_sequence(), None, "{text}");
            assert!(
                !refusal.is_poor() && !refusal.is_redundant() && !refusal.concerns_all(),
                "{text}"
            );
        }
    }

    #[test]
    fn codes_tell_what_concerns_all() {
        for (codespace, code, log, all) in [
            (
                "sdk",
                5,
                "spendable balance 0stake is smaller than 5stake: insufficient funds",
                true,
            ),
            (
                "sdk",
                18,
                "rpc error: code = Unknown desc = 0stake is smaller: insufficient funds",
                true,
            ),
            ("sdk", 20, "mempool is full", true),
            ("client", 29, "status is Frozen", true),
            ("sdk", 11, "out of gas", false),
            (
                "sdk",
                6,
                "rpc error: code = Unknown desc = 0stake is smaller: insufficient funds",
                true,
            ),
            (
                "sdk",
                6,
                "rpc error: code = Unknown desc = out of gas in location: WriteFlat",
                false,
            ),
            ("sdk", 18, "out of gas in location: WriteFlat", false),
            ("wasm", 5, "insufficient funds", false),
        ] {
            let error = refused(codespace, code, log);
            assert_eq!(
                Refusal::of(&error).unwrap().concerns_all(),
                all,
                "{codespace} {code} {log}"
            );
        }
    }
}
