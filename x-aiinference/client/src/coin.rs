//! Amounts of tokens, and the price of gas.

use std::{fmt, str::FromStr};

use cosmrs::proto::cosmos::base::v1beta1::Coin as ProtoCoin;
use serde::Serialize;

use crate::error::ClientError;

/// The most coins one list may hold.
const MAX_COINS: usize = 64;

/// Decimals of a gas price.
const DECIMALS: usize = 18;
const UNIT: u128 = 10u128.pow(DECIMALS as u32);

/// An amount of one denomination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Coin {
    /// Denomination.
    pub denom: String,
    /// How much, in the smallest unit.
    #[serde(serialize_with = "as_text")]
    pub amount: u128,
}

/// Numbers above 2^53 are text in JSON, as everywhere on these chains.
fn as_text<S: serde::Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

impl fmt::Display for Coin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, self.denom)
    }
}

impl FromStr for Coin {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = |reason: &str| input("the amount", text, reason);
        let (amount, denom) = split(text).ok_or_else(|| wrong("write a number and a denomination, like 10stake"))?;
        let amount = amount
            .parse()
            .map_err(|_| wrong("the number is no integer below 2^128"))?;
        let denom = checked_denom(denom).ok_or_else(|| wrong("that is no denomination"))?;
        Ok(Coin { denom, amount })
    }
}

impl From<Coin> for ProtoCoin {
    fn from(coin: Coin) -> Self {
        ProtoCoin {
            denom: coin.denom,
            amount: coin.amount.to_string(),
        }
    }
}

impl TryFrom<ProtoCoin> for Coin {
    type Error = ClientError;

    fn try_from(coin: ProtoCoin) -> Result<Self, ClientError> {
        format!("{}{}", coin.amount, coin.denom).parse()
    }
}

/// A list of coins like `10stake,5token`, in the order that chains ask for. Empty text is an empty list.
pub fn coins(text: &str) -> Result<Vec<Coin>, ClientError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut coins = Vec::new();
    for part in text.split(',') {
        if coins.len() == MAX_COINS {
            return Err(input("the amounts", text, "they are more than 64"));
        }
        coins.push(part.trim().parse::<Coin>()?);
    }
    coins.sort();
    if coins.windows(2).any(|pair| pair[0].denom == pair[1].denom) {
        return Err(input("the amounts", text, "a denomination is there twice"));
    }
    Ok(coins)
}

/// What a unit of gas costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GasPrice {
    denom: String,
    /// Price times 10^18.
    amount: u128,
}

impl GasPrice {
    /// The fee of a gas limit, rounded up.
    pub fn fee(&self, gas: u64) -> Result<Option<Coin>, ClientError> {
        let amount = self
            .amount
            .checked_mul(u128::from(gas))
            .ok_or_else(|| input("the gas price", &self.to_string(), "the fee would be above 2^128"))?
            .div_ceil(UNIT);
        Ok((amount > 0).then(|| Coin {
            denom: self.denom.clone(),
            amount,
        }))
    }

    /// Whether gas costs nothing.
    pub fn is_zero(&self) -> bool {
        self.amount == 0
    }
}

impl fmt::Display for GasPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.amount / UNIT, self.amount % UNIT);
        let part = format!("{part:018}");
        match part.trim_end_matches('0') {
            "" => write!(f, "{whole}{}", self.denom),
            part => write!(f, "{whole}.{part}{}", self.denom),
        }
    }
}

impl FromStr for GasPrice {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = |reason: &str| input("the gas price", text, reason);
        let (number, denom) = split(text).ok_or_else(|| wrong("write it like 0.025stake"))?;
        let denom = checked_denom(denom).ok_or_else(|| wrong("that is no denomination"))?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.len() > DECIMALS || part.contains('.') {
            return Err(wrong("it has more than 18 decimals"));
        }
        let digits = format!("{whole}{part:0<DECIMALS$}");
        let amount = digits.parse().map_err(|_| wrong("the number is too large"))?;
        Ok(GasPrice { denom, amount })
    }
}

/// Number and denomination.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, denom) = text.split_at(at);
    number
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((number, denom))
}

/// A denomination as the SDK takes it.
fn checked_denom(denom: &str) -> Option<String> {
    let rest = |c: char| c.is_ascii_alphanumeric() || "/:._-".contains(c);
    let good = (3..=128).contains(&denom.len())
        && denom.starts_with(|c: char| c.is_ascii_alphabetic())
        && denom.chars().all(rest);
    good.then(|| denom.to_string())
}

pub(crate) fn input(what: &'static str, text: &str, reason: impl Into<String>) -> ClientError {
    ClientError::Input {
        what,
        text: crate::error::printable(text),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_are_sorted_and_unique() {
        let list = coins("7stake, 3ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2").unwrap();
        assert_eq!(list[0].amount, 3);
        assert_eq!(list[1].to_string(), "7stake");
        assert!(coins("").unwrap().is_empty());
        for wrong in [
            "stake",
            "1",
            "-1stake",
            "1.5stake",
            "1st",
            "1stake,2stake",
            "1stake,,",
            "1 stake",
        ] {
            assert!(coins(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fees_are_exact_and_rounded_up() {
        let price: GasPrice = "0.025stake".parse().unwrap();
        assert_eq!(price.fee(200_000).unwrap().unwrap().to_string(), "5000stake");
        assert_eq!(price.fee(200_001).unwrap().unwrap().to_string(), "5001stake");
        assert_eq!(price.to_string(), "0.025stake");
        let free: GasPrice = "0stake".parse().unwrap();
        assert!(free.is_zero() && free.fee(u64::MAX).unwrap().is_none());
        assert_eq!(
            "3.000000000000000001uatom".parse::<GasPrice>().unwrap().to_string(),
            "3.000000000000000001uatom"
        );
    }

    #[test]
    fn prices_out_of_bounds_are_refused() {
        for wrong in [
            "",
            "stake",
            ".5stake",
            "1.1.1stake",
            "0.0000000000000000001stake",
            "1e3",
            "1e3!",
        ] {
            assert!(wrong.parse::<GasPrice>().is_err(), "{wrong}");
        }
        let dear: GasPrice = "300000000000000000000stake".parse().unwrap();
        assert!(dear.fee(u64::MAX).is_err());
    }
}
