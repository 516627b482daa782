//! What can be told of a message by itself.

use aiinference_std::Tensor;
use aiinference_types::{
    circuit::FIELD_ORDER,
    limits::{self, MAX_PROOF_BYTES},
};
use cosmwasm_std::{to_json_vec, Binary, Coin, MessageInfo};

use crate::{
    msg::{Checksum, Config, Input, NamedHash},
    ContractError,
};

/// Bytes of a description, as JSON.
pub const MAX_DESCRIPTION_BYTES: usize = 256;
/// Bytes of a reason, as JSON.
pub const MAX_REASON_BYTES: usize = 128;
/// Bytes of what a model is given. With outputs and proof it must fit a request to the host, of 64 KiB.
pub const MAX_INPUT_BYTES: usize = 24 << 10;
/// Bytes of what a model gives.
pub const MAX_OUTPUT_BYTES: usize = 20 << 10;
/// Bytes of what is told along with a result.
pub const MAX_CALLBACK_MSG_BYTES: usize = 8 << 10;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 64;
/// Circuits of a version of a model, retired ones among them: they bound what it takes of the chain's state.
pub const MAX_CIRCUITS: usize = 8;
/// Kinds of coins.
const MAX_TERMS: usize = 32;
/// Far more than anybody needs at once.
const MAX_REQUESTS: u32 = 1_000_000;
/// As much as a whole block of most chains: a callback that does not fit a block would keep its request from ending.
const MAX_CALLBACK_GAS: u64 = 100_000_000;
/// 90 days: no request holds coins for longer.
const MAX_LIFETIME: u64 = 90 * 24 * 60 * 60;

/// Whether the configuration is within bounds.
pub fn config(config: &Config) -> Result<(), ContractError> {
    let bad = |problem| Err(ContractError::BadConfig(problem));
    if !(1..=MAX_TERMS).contains(&config.terms.len()) {
        return bad("give terms for 1 to 32 denoms");
    }
    for (index, terms) in config.terms.iter().enumerate() {
        if terms.denom.is_empty() || denom(&terms.denom).is_err() {
            return bad("a denom has 1 to 128 bytes");
        }
        if config.terms.iter().take(index).any(|other| other.denom == terms.denom) {
            return bad("each denom has one entry in the terms");
        }
        if terms.min_fee.is_zero() || terms.min_bond.is_zero() {
            return bad("the least fee and the least bond are 1 or more");
        }
    }
    if !(1..=MAX_REQUESTS).contains(&config.max_requests) {
        return bad("max_requests is 1 to 1,000,000");
    }
    if !(1..=MAX_CALLBACK_GAS).contains(&config.max_callback_gas) {
        return bad("max_callback_gas is 1 to 100,000,000");
    }
    if !(1..=MAX_LIFETIME).contains(&config.max_lifetime) {
        return bad("max_lifetime is 1 second to 90 days");
    }
    Ok(())
}

/// Whether a name is one.
pub fn name(name: &str) -> Result<(), ContractError> {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let good = (3..=MAX_NAME_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| plain(byte) || b"-_./".contains(byte))
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain);
    good.then_some(()).ok_or(ContractError::BadName)
}

/// Refuses a name that is longer than any registered one, before a key is made of it: keys have limits of their own.
pub fn key(name: &str) -> Result<(), ContractError> {
    match name.len() <= MAX_NAME_BYTES {
        true => Ok(()),
        false => Err(ContractError::BadName),
    }
}

/// Refuses a denom that is longer than any.
pub fn denom(denom: &str) -> Result<(), ContractError> {
    match denom.len() <= limits::MAX_ADDRESS_BYTES {
        true => Ok(()),
        false => Err(ContractError::BadDenom),
    }
}

/// Refuses code of another checksum than the one that was named.
pub fn checksum(
    doing: &'static str,
    what: &'static str,
    named: Option<Checksum>,
    actual: Option<Checksum>,
) -> Result<(), ContractError> {
    match named.is_none() || named == actual {
        true => Ok(()),
        false => Err(ContractError::OtherChecksum {
            doing,
            what,
            actual: actual.map_or("none: it has no code".to_owned(), |actual| actual.to_string()),
        }),
    }
}

/// Whether a text is short enough, as it is written in JSON.
pub fn text(what: &'static str, text: &str, max: usize) -> Result<(), ContractError> {
    // Without the quotation marks.
    let length = to_json_vec(text)?.len().saturating_sub(2);
    match length <= max {
        true => Ok(()),
        false => Err(ContractError::TextTooLong { what, max }),
    }
}

/// The input's tensors, if all of it is within limits and readable.
pub fn input(input: &Input) -> Result<Vec<Tensor>, ContractError> {
    let what = "an input";
    let hashes = input.hashes.iter().map(|hash| hash.name.len() + hash.value.len());
    check_size(
        what,
        input.tensors.iter().map(|bytes| bytes.len()).chain(hashes),
        MAX_INPUT_BYTES,
    )?;
    for (index, NamedHash { name, value }) in input.hashes.iter().enumerate() {
        let element = <&[u8; 32]>::try_from(value.as_slice()).is_ok_and(|value| *value < FIELD_ORDER);
        if !element || name.len() > limits::MAX_NAME_BYTES {
            return Err(ContractError::Hash(index));
        }
    }
    tensors(what, &input.tensors)
}

/// The outputs, if they are within limits and readable.
pub fn outputs(outputs: &[Binary]) -> Result<Vec<Tensor>, ContractError> {
    let what = "outputs";
    check_size(what, outputs.iter().map(|bytes| bytes.len()), MAX_OUTPUT_BYTES)?;
    tensors(what, outputs)
}

/// Refuses a proof that is longer than those of any circuit: beyond its own limit, the host takes no request at all.
pub fn proof(proof: &[u8]) -> Result<(), ContractError> {
    check_size("a proof", [proof.len()].into_iter(), MAX_PROOF_BYTES)
}

fn check_size(what: &'static str, parts: impl Iterator<Item = usize>, max: usize) -> Result<(), ContractError> {
    let (count, bytes) = parts.fold((0usize, 0usize), |(count, bytes), part| {
        (count.saturating_add(1), bytes.saturating_add(part))
    });
    if count > limits::MAX_PORTS {
        return Err(ContractError::TooManyParts { what, actual: count });
    }
    match bytes <= max {
        true => Ok(()),
        false => Err(ContractError::TooLarge {
            what,
            actual: bytes,
            max,
        }),
    }
}

fn tensors(what: &'static str, list: &[Binary]) -> Result<Vec<Tensor>, ContractError> {
    let decode = |(index, bytes): (usize, &Binary)| {
        Tensor::decode(bytes).map_err(|error| ContractError::Tensor { what, index, error })
    };
    list.iter().enumerate().map(decode).collect()
}

/// Refuses coins with a message that takes none.
pub fn no_funds(doing: &'static str, info: &MessageInfo) -> Result<(), ContractError> {
    match info.funds.is_empty() {
        true => Ok(()),
        false => Err(ContractError::Funds {
            doing,
            takes: "no coins".to_owned(),
        }),
    }
}

/// The one coin that came with a message.
pub fn one_coin<'a>(doing: &'static str, info: &'a MessageInfo) -> Result<&'a Coin, ContractError> {
    match &info.funds[..] {
        [coin] if !coin.amount.is_zero() => Ok(coin),
        _ => Err(ContractError::Funds {
            doing,
            takes: "coins of one kind".to_owned(),
        }),
    }
}

/// A text of the chain's, cut to what is kept of it.
pub fn cut(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmwasm_std::HexBinary;

    #[test]
    fn names_are_of_few_characters() {
        for good in ["abc", "7-b", "lab/credit_score-2.1", &"a".repeat(64)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "-ab",
            "ab-",
            "/ab",
            "a b",
            "Abc",
            "äbc",
            "a\0c",
            "ab.",
            &"a".repeat(65),
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_measured_as_they_are_written() {
        assert!(text("a", &"x".repeat(10), 10).is_ok());
        assert!(text("a", &"x".repeat(11), 10).is_err());
        assert!(text("a", &"\u{1}".repeat(2), 10).is_err());
        assert!(text("a", &"\"".repeat(6), 10).is_err());
    }

    #[test]
    fn inputs_have_limits_of_size_and_number() {
        let tensor = |count: usize| Binary::from(Tensor::from_u8s(&vec![1; count]).encode());
        let whole =
            |tensors: Vec<Binary>, hashes: Vec<NamedHash>| input(&Input { tensors, hashes }).map(|list| list.len());
        let hash = |name: &str, value: Vec<u8>| NamedHash {
            name: name.to_owned(),
            value: HexBinary::from(value),
        };
        assert_eq!(whole(vec![tensor(3); 64], vec![]).unwrap(), 64);
        assert!(matches!(
            whole(vec![tensor(3); 65], vec![]),
            Err(ContractError::TooManyParts { actual: 65, .. })
        ));
        assert!(whole(vec![tensor(MAX_INPUT_BYTES - 20)], vec![]).is_ok());
        assert!(matches!(
            whole(vec![tensor(MAX_INPUT_BYTES)], vec![]),
            Err(ContractError::TooLarge { .. })
        ));
        assert!(matches!(
            whole(vec![tensor(3), Binary::from(b"\xff")], vec![]),
            Err(ContractError::Tensor { index: 1, .. })
        ));
        let good = hash("x", vec![1; 32]);
        assert!(whole(vec![], vec![good.clone()]).is_ok());
        for bad in [
            hash("x", vec![1; 31]),
            hash("x", vec![1; 33]),
            hash("x", FIELD_ORDER.to_vec()),
            hash(&"x".repeat(129), vec![1; 32]),
        ] {
            assert!(matches!(
                whole(vec![], vec![good.clone(), bad]),
                Err(ContractError::Hash(1))
            ));
        }
        assert!(outputs(&[tensor(MAX_OUTPUT_BYTES)]).is_err());
    }
}
