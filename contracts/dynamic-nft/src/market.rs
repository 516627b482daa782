//! What the mood model is told of the market: eight numbers made of the last prices.

use cosmwasm_schema::cw_serde;
use cosmwasm_std::{Decimal, SignedDecimal};

/// Prices that count: the newest and the twenty before it.
pub const WINDOW: usize = 21;

/// Least price accepted: 10^-6.
pub const MIN_PRICE: Decimal = Decimal::raw(1_000_000_000_000);
/// Largest price accepted: 10^12. A ratio of two prices is at most 10^18, which a Decimal holds, also times 100.
pub const MAX_PRICE: Decimal = Decimal::raw(1_000_000_000_000_000_000_000_000_000_000);

/// Steps beyond this factor count as this large in a volatility, which ends at 16 percent in any case: so that their
/// sum fits.
const LARGEST_STEP: Decimal = Decimal::percent(100_000);

/// The model's input `market`, on prices `p[0]` (oldest) to `p[20]` (newest); divisions round towards zero at the
/// 18th place. `model/inputs.json` states the same formulas and ranges; values beyond end at the range.
#[cw_serde]
pub struct Market {
    /// `100 * (p[20] - p[19]) / p[19]`, in -25..=25.
    pub return_1: SignedDecimal,
    /// `100 * (p[20] - p[15]) / p[15]`, in -40..=40.
    pub return_5: SignedDecimal,
    /// `100 * (p[20] - p[0]) / p[0]`, in -60..=60.
    pub return_20: SignedDecimal,
    /// `100 / 5 * sum(i = 16..20; abs(p[i] - p[i-1]) / p[i-1])`, in 0..=16.
    pub volatility_5: SignedDecimal,
    /// `100 / 20 * sum(i = 1..20; abs(p[i] - p[i-1]) / p[i-1])`, in 0..=16.
    pub volatility_20: SignedDecimal,
    /// `100 * (max(p) - p[20]) / max(p)`, in 0..=60.
    pub drawdown: SignedDecimal,
    /// `(p[20] - min(p)) / (max(p) - min(p))`, 1/2 if all are equal.
    pub position: SignedDecimal,
    /// `count(i = 1..20; p[i] > p[i-1]) / 20`.
    pub rises: SignedDecimal,
}

impl Market {
    /// Of the last prices, oldest first, each within [`MIN_PRICE`] and [`MAX_PRICE`]. More than [`WINDOW`] are cut
    /// off at the old end, fewer are filled up with the oldest; none at all is a market where nothing has ever moved.
    pub fn of(prices: &[Decimal]) -> Self {
        let recent = &prices[prices.len().saturating_sub(WINDOW)..];
        let mut p = [recent.first().copied().unwrap_or(Decimal::one()); WINDOW];
        p[WINDOW - recent.len()..].copy_from_slice(recent);

        let newest = p[WINDOW - 1];
        let (mut low, mut high) = (newest, newest);
        let (mut rises, mut sum_5, mut sum_20) = (0, Decimal::zero(), Decimal::zero());
        for (i, step) in p.windows(2).enumerate() {
            let (before, after) = (step[0], step[1]);
            low = low.min(before);
            high = high.max(before);
            rises += u64::from(after > before);
            // At most 20 * 1000.
            let size = ratio(after.abs_diff(before), before).min(LARGEST_STEP);
            sum_20 += size;
            if i >= WINDOW - 1 - 5 {
                sum_5 += size;
            }
        }
        Market {
            return_1: change(p[19], newest, 25),
            return_5: change(p[15], newest, 40),
            return_20: change(p[0], newest, 60),
            volatility_5: percent(sum_5 * Decimal::percent(20), 16),
            volatility_20: percent(sum_20 * Decimal::percent(5), 16),
            drawdown: percent(ratio(high - newest, high), 60),
            position: if high > low {
                signed(ratio(newest - low, high - low))
            } else {
                SignedDecimal::percent(50)
            },
            rises: signed(Decimal::percent(5 * rises)),
        }
    }

    /// The values in the model's order.
    pub fn values(&self) -> [SignedDecimal; 8] {
        [
            self.return_1,
            self.return_5,
            self.return_20,
            self.volatility_5,
            self.volatility_20,
            self.drawdown,
            self.position,
            self.rises,
        ]
    }
}

/// Change from one price to another in percent, within `-limit..=limit`.
fn change(from: Decimal, to: Decimal, limit: u64) -> SignedDecimal {
    let size = percent(ratio(to.abs_diff(from), from), limit);
    if to < from {
        -size
    } else {
        size
    }
}

/// `100 * x`, at most `limit`.
fn percent(x: Decimal, limit: u64) -> SignedDecimal {
    signed((x.min(Decimal::percent(limit))) * Decimal::percent(10_000))
}

/// `a / b` rounded down. Prices are within the limits and their differences above 10^-18, so it fits; if it did not, it
/// would be far beyond every range.
fn ratio(a: Decimal, b: Decimal) -> Decimal {
    a.checked_div(b).unwrap_or(Decimal::percent(100 * 1_000_000))
}

/// The same number; all here are small.
fn signed(x: Decimal) -> SignedDecimal {
    SignedDecimal::try_from(x).unwrap_or(SignedDecimal::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimals(prices: &[&str]) -> Vec<Decimal> {
        prices.iter().map(|p| p.parse().unwrap()).collect()
    }

    fn market(prices: &[&str]) -> Vec<String> {
        Market::of(&decimals(prices))
            .values()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_unmoved_market_is_neutral() {
        let neutral = ["0", "0", "0", "0", "0", "0", "0.5", "0"];
        assert_eq!(market(&[]), neutral);
        assert_eq!(market(&["7"]), neutral);
        assert_eq!(market(&["7"; 30]), neutral);
    }

    #[test]
    fn formulas_are_those_of_the_model() {
        let m = Market::of(&decimals(&["100", "110", "99", "90"]));
        // 18 times 100, then +10 %, -10 %, -9.0909.. %: fewer than 21 prices are filled up with the oldest.
        assert_eq!(m.return_1.to_string(), "-9.0909090909090909");
        assert_eq!(
            (m.return_5, m.return_20),
            (SignedDecimal::percent(-1000), SignedDecimal::percent(-1000))
        );
        assert_eq!(m.volatility_5.to_string(), "5.8181818181818181");
        assert_eq!(m.volatility_20.to_string(), "1.4545454545454545");
        assert_eq!(m.drawdown.to_string(), "18.1818181818181818");
        assert_eq!(m.position.to_string(), "0");
        assert_eq!(m.rises.to_string(), "0.05");
    }

    #[test]
    fn values_end_at_their_ranges() {
        assert_eq!(
            market(&["0.000001", "1000000000000"]),
            ["25", "40", "60", "16", "16", "0", "1", "0.05"]
        );
        assert_eq!(
            market(&["1000000000000", "0.000001"]),
            ["-25", "-40", "-60", "16", "4.9999999999999999", "60", "0", "0"]
        );
    }

    #[test]
    fn only_the_last_21_prices_count() {
        let mut prices = vec!["1"; 40];
        prices[18] = "1000000";
        assert_eq!(market(&prices)[5], "0");
        prices[19] = "2";
        assert_eq!(market(&prices)[5], "50");
    }

    proptest! {
        #[test]
        fn any_accepted_prices_give_values_in_range(
            atomics in prop::collection::vec(MIN_PRICE.atomics().u128()..=MAX_PRICE.atomics().u128(), 0..25),
            small in any::<bool>(),
        ) {
            let scale = if small { 1_000_000_000_000_000_000 } else { 1 };
            let prices: Vec<_> = atomics.iter().map(|a| Decimal::raw(a / scale).max(MIN_PRICE)).collect();
            let limits = [(-25, 25), (-40, 40), (-60, 60), (0, 16), (0, 16), (0, 60), (0, 1), (0, 1)];
            for (value, (low, high)) in Market::of(&prices).values().into_iter().zip(limits) {
                prop_assert!(SignedDecimal::percent(low * 100) <= value && value <= SignedDecimal::percent(high * 100));
            }
        }
    }
}
