//! The one rule by which reals become a model's integers: `q = floor(x * 2^k + 1/2)`, exact for every source.

/// Units of a Decimal in one: 10^18.
pub const DECIMAL_UNIT: i128 = 1_000_000_000_000_000_000;

/// `floor(mantissa * 2^exponent * 2^fraction_bits + 1/2)`, saturated to i64.
///
/// Serves integers with fraction bits (`exponent` is their negative) and floating-point numbers, which are such
/// products too. Exact for any exponent.
pub fn from_dyadic(mantissa: i128, exponent: i32, fraction_bits: i32) -> i64 {
    let shift = i64::from(exponent) + i64::from(fraction_bits);
    if mantissa == 0 {
        return 0;
    }
    if shift >= 0 {
        // A nonzero mantissa shifted by 63 or more is beyond i64 in any case.
        let shifted = if shift < 63 {
            mantissa.checked_mul(1i128 << shift)
        } else {
            None
        };
        return saturate(shifted, mantissa);
    }
    let right = shift.unsigned_abs();
    if right > 127 {
        // |mantissa| < 2^127, so |x * 2^k| < 1/2 but for the ties, and -1/2 rounds up to 0 as well.
        return 0;
    }
    // floor(m / 2^r + 1/2) = floor(m / 2^r) + bit (r - 1) of m.
    let half_bit = (mantissa >> (right - 1)) & 1;
    let floor = if right == 127 {
        if mantissa < 0 {
            -1
        } else {
            0
        }
    } else {
        mantissa >> right
    };
    saturate(floor.checked_add(half_bit), mantissa)
}

/// `floor(atomics * 10^-18 * 2^fraction_bits + 1/2)`, saturated to i64. `fraction_bits` lies in -32..=62.
pub fn from_decimal(atomics: i128, fraction_bits: i32) -> i64 {
    debug_assert!((-32..=62).contains(&fraction_bits));
    if fraction_bits >= 0 {
        let whole = atomics.div_euclid(DECIMAL_UNIT);
        let part = atomics.rem_euclid(DECIMAL_UNIT);
        let scale = 1i128 << fraction_bits.min(62);
        // part < 2^60 and 2 * scale <= 2^63: the product stays below 2^123.
        let part = (part * (2 * scale) + DECIMAL_UNIT) / (2 * DECIMAL_UNIT);
        let sum = whole.checked_mul(scale).and_then(|w| w.checked_add(part));
        saturate(sum, atomics)
    } else {
        let unit = DECIMAL_UNIT << fraction_bits.unsigned_abs().min(32);
        let round_up = i128::from(2 * atomics.rem_euclid(unit) >= unit);
        saturate(Some(atomics.div_euclid(unit) + round_up), atomics)
    }
}

/// The exact value, or where it overflowed (None) the end of i64 that `sign` points to.
fn saturate(value: Option<i128>, sign: i128) -> i64 {
    let end = if sign < 0 { i64::MIN } else { i64::MAX };
    value.map_or(end, |v| v.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_round_up() {
        assert_eq!(from_dyadic(1, -1, 0), 1);
        assert_eq!(from_dyadic(-1, -1, 0), 0);
        assert_eq!(from_dyadic(-3, -1, 0), -1);
        assert_eq!(from_decimal(DECIMAL_UNIT / 2, 0), 1);
        assert_eq!(from_decimal(-DECIMAL_UNIT / 2, 0), 0);
        assert_eq!(from_decimal(-DECIMAL_UNIT * 3 / 2, 0), -1);
        assert_eq!(from_decimal(DECIMAL_UNIT * 2, -2), 1);
        assert_eq!(from_decimal(-DECIMAL_UNIT * 2, -2), 0);
    }

    #[test]
    fn extremes_saturate_and_tiny_values_vanish() {
        assert_eq!(from_dyadic(i128::MAX, 200, 62), i64::MAX);
        assert_eq!(from_dyadic(i128::MIN, 0, 0), i64::MIN);
        assert_eq!(from_dyadic(i128::MIN, -127, 0), -1);
        assert_eq!(from_dyadic(i128::MIN, -128, 0), 0);
        assert_eq!(from_dyadic(1, -1074, 62), 0);
        assert_eq!(from_decimal(i128::MAX, 62), i64::MAX);
        assert_eq!(from_decimal(i128::MIN, 62), i64::MIN);
        assert_eq!(from_decimal(i128::MIN, -32), -39_614_081_257);
    }

    proptest! {
        #[test]
        fn dyadic_is_the_floor_of_value_plus_one_half(m in -(1i128 << 80)..(1i128 << 80), r in 1u32..60) {
            let want = (2 * m + (1i128 << r)).div_euclid(1i128 << (r + 1));
            let want = want.clamp(i64::MIN as i128, i64::MAX as i128) as i64;
            prop_assert_eq!(from_dyadic(m, -(r as i32), 0), want);
        }

        #[test]
        fn decimal_is_the_floor_of_value_plus_one_half(a in -(1i128 << 80)..(1i128 << 80), k in -20i32..30) {
            // floor((a * 2^(k+1) + U) / 2U), over a common denominator of 2^32.
            let scale = 1i128 << (k + 20 + 1);
            let unit = DECIMAL_UNIT << 20;
            let want = a.checked_mul(scale).and_then(|n| n.checked_add(unit)).map(|n| n.div_euclid(2 * unit));
            prop_assume!(want.is_some());
            prop_assert_eq!(Some(i128::from(from_decimal(a, k))), want);
        }

        #[test]
        fn a_decimal_that_is_dyadic_agrees_with_the_dyadic_rule(n in -(1i64 << 40)..(1i64 << 40), k in -32i32..=62) {
            let atomics = i128::from(n) * (DECIMAL_UNIT >> 18); // 10^18 is divisible by 2^18
            prop_assert_eq!(from_decimal(atomics, k), from_dyadic(i128::from(n), -18, k));
        }
    }
}
