//! What work costs, and how much of it is paid for.

use aiinference_types::ErrorCode;
use cosmwasm_std::Uint128;

use crate::{msg::Price, ContractError};

/// `per_gigagas` is for so much.
const GIGA: u128 = 1_000_000_000;

/// A price list's numbers, within the bounds in which nothing overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_query: u128,
    per_gigagas: u64,
}

/// Which of the limits of a query's gas is the least.
#[cosmwasm_schema::cw_serde]
#[derive(Copy, Eq)]
pub enum Bound {
    /// What the query declares.
    Declared,
    /// The largest price that it accepts.
    MaxPrice,
    /// The asker's credit.
    Credit,
}

/// What a query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// CosmWasm gas.
    pub gas: u64,
    /// Why not more.
    pub bound: Bound,
    /// The price of all that gas.
    pub reserve: u128,
}

impl Bound {
    /// The error of a query that needs more.
    pub fn code(self) -> ErrorCode {
        match self {
            Bound::Declared => ErrorCode::GasLimitExceeded,
            Bound::MaxPrice => ErrorCode::PriceExceeded,
            Bound::Credit => ErrorCode::InsufficientCredit,
        }
    }
}

impl Rate {
    /// Nothing for anything.
    pub const FREE: Rate = Rate {
        per_query: 0,
        per_gigagas: 0,
    };

    /// A list's rate, if its numbers are within bounds.
    pub fn new(price: &Price) -> Result<Self, ContractError> {
        let per_query = price.per_query.u128();
        match u64::try_from(price.per_gigagas.u128()) {
            Ok(per_gigagas) if per_query < 1 << 100 => Ok(Rate { per_query, per_gigagas }),
            _ => Err(ContractError::PriceTooHigh(price.denom.clone())),
        }
    }

    /// The same again, of what [`Rate::per_query`] and [`Rate::per_gigagas`] gave.
    pub fn from_parts(per_query: u128, per_gigagas: u64) -> Self {
        Rate { per_query, per_gigagas }
    }

    /// For 10^9 gas.
    pub fn per_gigagas(self) -> u64 {
        self.per_gigagas
    }

    /// What a query costs that does no work.
    pub fn per_query(self) -> u128 {
        self.per_query
    }

    /// What a query costs that uses so much CosmWasm gas: below 2^101.
    pub fn price(self, gas: u64) -> u128 {
        self.per_query + (u128::from(gas) * u128::from(self.per_gigagas)).div_ceil(GIGA)
    }

    /// The most gas that an amount pays for; None where it does not even pay for the query.
    fn affords(self, amount: u128) -> Option<u64> {
        let rest = amount.checked_sub(self.per_query)?;
        let per_gigagas = u128::from(self.per_gigagas);
        if per_gigagas == 0 {
            return Some(u64::MAX);
        }
        // floor(rest * 10^9 / per_gigagas), in parts of which only the first can overflow.
        let whole = (rest / per_gigagas).saturating_mul(GIGA);
        let part = rest % per_gigagas * GIGA / per_gigagas;
        Some(u64::try_from(whole.saturating_add(part)).unwrap_or(u64::MAX))
    }

    /// What a query may use that declares so much gas, accepts that price and has this credit.
    pub fn allow(self, declared: u64, max_price: u128, credit: u128) -> Result<Allowance, ErrorCode> {
        let mut gas = declared;
        let mut bound = Bound::Declared;
        for (other, amount) in [(Bound::MaxPrice, max_price), (Bound::Credit, credit)] {
            let affordable = self.affords(amount).ok_or(other.code())?;
            if affordable < gas {
                (gas, bound) = (affordable, other);
            }
        }
        let reserve = self.price(gas);
        Ok(Allowance { gas, bound, reserve })
    }
}

/// A price, parted between relayer and owner.
pub fn part(paid: u128, share: cosmwasm_std::Decimal) -> (Uint128, Uint128) {
    let paid = Uint128::new(paid);
    let reward = paid.mul_floor(share).min(paid);
    (reward, paid - reward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmwasm_std::Decimal;
    use proptest::prelude::*;

    fn rate(per_query: u128, per_gigagas: u64) -> Rate {
        Rate { per_query, per_gigagas }
    }

    #[test]
    fn gas_is_priced_by_the_gigagas_rounded_up() {
        let rate = rate(5, 3);
        assert_eq!(
            [0, 1, 333_333_333, 333_333_334, 1_000_000_000].map(|gas| rate.price(gas)),
            [5, 6, 6, 7, 8]
        );
        assert!(rate.price(u64::MAX) > 1 << 35);
        assert!(self::rate((1 << 100) - 1, u64::MAX).price(u64::MAX) < 1 << 101);
    }

    #[test]
    fn the_least_limit_bounds_and_of_equals_the_first() {
        let rate = rate(10, 1_000);
        let allow = |declared, max_price, credit| rate.allow(declared, max_price, credit).map(|a| (a.gas, a.bound));
        assert_eq!(allow(5_000_000, 20, 20), Ok((5_000_000, Bound::Declared)));
        assert_eq!(allow(10_000_000, 20, 20), Ok((10_000_000, Bound::Declared)));
        assert_eq!(allow(10_000_001, 20, 20), Ok((10_000_000, Bound::MaxPrice)));
        assert_eq!(allow(50_000_000, 20, 19), Ok((9_000_000, Bound::Credit)));
        assert_eq!(allow(0, 10, 10), Ok((0, Bound::Declared)));
        assert_eq!(allow(1, 9, 0), Err(ErrorCode::PriceExceeded));
        assert_eq!(allow(1, 10, 9), Err(ErrorCode::InsufficientCredit));
    }

    #[test]
    fn what_is_free_is_bounded_by_what_is_declared_alone() {
        assert_eq!(
            Rate::FREE.allow(u64::MAX, 0, 0),
            Ok(Allowance {
                gas: u64::MAX,
                bound: Bound::Declared,
                reserve: 0
            })
        );
    }

    #[test]
    fn a_price_out_of_bounds_is_refused() {
        let price = |per_query, per_gigagas| Price {
            denom: "coin".to_string(),
            per_query: Uint128::new(per_query),
            per_gigagas: Uint128::new(per_gigagas),
            reward: Decimal::zero(),
            min_deposit: None,
        };
        Rate::new(&price((1 << 100) - 1, u64::MAX.into())).unwrap();
        Rate::new(&price(1 << 100, 0)).unwrap_err();
        Rate::new(&price(0, 1 << 64)).unwrap_err();
    }

    proptest! {
        #[test]
        fn an_amount_pays_for_the_gas_it_affords_and_for_no_more(
            per_query in 0u128..1 << 100, per_gigagas in 1u64.., amount in any::<u128>(),
        ) {
            let rate = rate(per_query, per_gigagas);
            match rate.affords(amount) {
                None => prop_assert!(amount < per_query),
                Some(gas) => {
                    prop_assert!(rate.price(gas) <= amount);
                    prop_assert!(gas == u64::MAX || rate.price(gas + 1) > amount);
                }
            }
        }

        #[test]
        fn nothing_is_lost_between_relayer_and_owner(paid in any::<u128>(), share in 0u64..=100) {
            let (reward, rest) = part(paid, Decimal::percent(share));
            prop_assert_eq!(reward.u128() + rest.u128(), paid);
        }
    }
}
