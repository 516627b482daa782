//! Decimals with 18 places, and how a model's binary fractions become them.

use aiinference_types::quantize::DECIMAL_UNIT;

/// A number that counts units of 10^-18: `Decimal` and `SignedDecimal` of cosmwasm-std 2 and 3.
pub trait ToAtomics {
    /// The units, or None where they do not fit 128 signed bits.
    fn to_atomics(&self) -> Option<i128>;
}

impl<T: ToAtomics> ToAtomics for &T {
    fn to_atomics(&self) -> Option<i128> {
        (**self).to_atomics()
    }
}

/// A number that can be made of units of 10^-18.
pub trait FromAtomics: Sized {
    /// The type's name, for messages.
    const NAME: &'static str;

    /// The number, or None where the type cannot hold it (a negative `Decimal`).
    fn from_atomics(atomics: i128) -> Option<Self>;
}

/// `q * 2^-fraction_bits` in units of 10^-18: `floor(q * 2^-fraction_bits * 10^18 + 1/2)`.
///
/// Exact for `fraction_bits <= 18`, since 10^18 is divisible by 2^18; rounded half up beyond. None where the result is
/// beyond i128 or the fraction bits are outside -32..=62.
pub fn atomics(q: i64, fraction_bits: i32) -> Option<i128> {
    // |q| <= 2^63 and 10^18 < 2^60: below 2^123.
    let units = i128::from(q) * DECIMAL_UNIT;
    match fraction_bits {
        -32..=0 => units.checked_mul(1i128 << fraction_bits.unsigned_abs()),
        1..=62 => Some((units + (1i128 << (fraction_bits - 1))) >> fraction_bits),
        _ => None,
    }
}

/// `q * 2^-fraction_bits` as a whole number, rounded half up. None where it is beyond i64 or the fraction bits are
/// outside -32..=62.
pub fn whole(q: i64, fraction_bits: i32) -> Option<i64> {
    match fraction_bits {
        -32..=0 => q.checked_mul(1i64 << fraction_bits.unsigned_abs()),
        // The half is bit k - 1 of q; adding it to the floor cannot overflow, for the floor is at most 2^62.
        1..=62 => Some((q >> fraction_bits) + ((q >> (fraction_bits - 1)) & 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiinference_types::quantize::from_decimal;
    use proptest::prelude::*;

    #[test]
    fn halves_round_up_as_on_the_way_in() {
        assert_eq!(atomics(1, 19), Some(DECIMAL_UNIT / (1 << 18) / 2 + 1)); // 1_907_348_632_812.5
        assert_eq!(atomics(-1, 19), Some(-1_907_348_632_812));
        assert_eq!(atomics(3, 1), Some(DECIMAL_UNIT * 3 / 2));
        assert_eq!((whole(3, 1), whole(-3, 1), whole(1, 2)), (Some(2), Some(-1), Some(0)));
        assert_eq!(whole(i64::MAX, 1), Some(1 << 62));
        assert_eq!(whole(i64::MIN, 62), Some(-2));
        assert_eq!((whole(1 << 40, -32), atomics(i64::MAX, -32)), (None, None));
        assert_eq!((whole(1, 63), atomics(1, -33)), (None, None));
    }

    proptest! {
        #[test]
        fn up_to_18_fraction_bits_nothing_is_lost(q in any::<i32>(), k in -10i32..=18) {
            let units = atomics(q.into(), k).unwrap();
            prop_assert_eq!(from_decimal(units, k), i64::from(q));
            let (scaled, exact) = if k >= 0 { (units << k, i128::from(q) * DECIMAL_UNIT) } else { (units, (i128::from(q) * DECIMAL_UNIT) << -k) };
            prop_assert_eq!(scaled, exact);
        }

        #[test]
        fn the_nearest_unit_is_taken(q in any::<i64>(), k in 1i32..=62) {
            // 0 <= atomics * 2^k - q * 10^18 + 2^(k-1) < 2^k, negated: the error is within half a unit.
            let error = i128::from(q) * DECIMAL_UNIT + (1i128 << (k - 1)) - (atomics(q, k).unwrap() << k);
            prop_assert!((0..1i128 << k).contains(&error));
            let error = i128::from(q) + (1i128 << (k - 1)) - (i128::from(whole(q, k).unwrap()) << k);
            prop_assert!((0..1i128 << k).contains(&error));
        }
    }
}
