//! Choosing fraction bits and multipliers. Powers of two and integers only: nothing here depends on the machine.

use aiinference_types::quantize::from_dyadic;

/// Largest magnitude of an activation.
pub const QMAX: i32 = 32767;
/// Largest magnitude of a value kept in 32 bits, chosen so that sums of two still fit.
pub const WIDE_MAX: i32 = 1 << 30;
/// Least and largest fraction bits of the format.
pub const FRACTION_BITS: (i32, i32) = (-32, 30);

/// `2^k`.
pub fn pow2(k: i32) -> f64 {
    libm::ldexp(1.0, k)
}

/// `floor(x + 1/2)` as an integer.
pub fn round(x: f64) -> i64 {
    // A float's cast saturates and takes NaN to 0.
    libm::floor(x + 0.5) as i64
}

/// The largest magnitude that a value is given room for: an eighth more than calibration saw, rounded up to a 64th of
/// its power of two.
pub fn reach(largest: f64) -> f64 {
    let (fraction, exponent) = libm::frexp(largest * 1.125);
    libm::ldexp(libm::ceil(fraction * 64.0) / 64.0, exponent)
}

/// The most fraction bits with which `reach` fits `qmax`. A `reach` of a power of two may saturate by one unit: 1.0 in
/// Q15 is 32767.
pub fn fraction_bits(reach: f64, qmax: i32) -> i32 {
    let (least, most) = FRACTION_BITS;
    if reach <= 0.0 {
        return 15;
    }
    let room = f64::from(qmax) + 1.0;
    let mut k = most;
    while k > least && reach * pow2(k) > room {
        k -= 1;
    }
    k
}

/// `(m, s)` with `m / 2^s` close to `factor` and `|m| < 2^bits`. Exact where the factor allows it, and then as small as
/// can be. None if the factor is too large.
pub fn multiplier(factor: f64, bits: u32) -> Option<(i32, u8)> {
    if factor == 0.0 {
        return Some((0, 0));
    }
    let (_, exponent) = libm::frexp(factor);
    // |factor| in [2^(exponent - 1), 2^exponent)
    let mut s = (bits as i32 - exponent).min(62);
    let mut m = round(factor * pow2(s));
    if m.unsigned_abs() >= 1 << bits {
        s -= 1;
        m = round(factor * pow2(s));
    }
    while s > 0 && m % 2 == 0 && m != 0 {
        m /= 2;
        s -= 1;
    }
    if s < 0 {
        m = round(factor);
        s = 0;
        if m.unsigned_abs() >= 1 << 31 {
            return None;
        }
    }
    Some((i32::try_from(m).ok()?, s as u8))
}

/// The least power of two that is not less than a positive number.
pub fn power_of_two(x: f64) -> f64 {
    let (fraction, exponent) = libm::frexp(x);
    pow2(if fraction == 0.5 { exponent - 1 } else { exponent })
}

/// Mantissa and exponent of a finite double: `x = mantissa * 2^exponent`, exactly, the mantissa odd or 0.
pub fn dyadic(x: f64) -> (i64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (0, 0);
    }
    let (fraction, exponent) = libm::frexp(x);
    let mantissa = (fraction * pow2(53)) as i64;
    let zeros = mantissa.trailing_zeros() as i32;
    (mantissa >> zeros, exponent - 53 + zeros)
}

/// The project's one rule from reals to integers, saturated to i32.
pub fn quantise(x: f64, fraction_bits: i32) -> i32 {
    if !x.is_finite() {
        return if x > 0.0 { i32::MAX } else { i32::MIN };
    }
    let (mantissa, exponent) = dyadic(x);
    let q = from_dyadic(mantissa.into(), exponent, fraction_bits);
    q.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// How many fraction bits hold x exactly; at least 0.
pub fn bits_needed(x: f64) -> i32 {
    let (mantissa, exponent) = dyadic(x);
    if mantissa == 0 {
        0
    } else {
        (-exponent).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_power_of_two_is_a_plain_shift() {
        assert_eq!(multiplier(1.0 / 2048.0, 15), Some((1, 11)));
        assert_eq!(multiplier(4.0, 15), Some((4, 0)));
        assert_eq!(multiplier(-0.5, 15), Some((-1, 1)));
        assert_eq!(multiplier(0.0, 15), Some((0, 0)));
    }

    #[test]
    fn powers_of_two_are_their_own() {
        assert_eq!(power_of_two(0.25), 0.25);
        assert_eq!(power_of_two(0.26), 0.5);
        assert_eq!(power_of_two(3.0), 4.0);
    }

    #[test]
    fn factors_that_no_multiplier_reaches_are_refused_or_vanish() {
        assert_eq!(multiplier(1e30, 15), None);
        assert_eq!(multiplier(1e-30, 15), Some((0, 62)));
    }

    #[test]
    fn one_gets_fifteen_fraction_bits_and_a_little_more_gets_fourteen() {
        assert_eq!(fraction_bits(1.0, QMAX), 15);
        assert_eq!(fraction_bits(1.01, QMAX), 14);
        assert_eq!(fraction_bits(20000.0, QMAX), 0);
        assert_eq!(fraction_bits(0.0, QMAX), 15);
    }

    #[test]
    fn the_reach_does_not_follow_tiny_differences() {
        assert_eq!(reach(5.1), reach(5.1 + 1e-6));
        assert_eq!(reach(5.0), 5.625);
    }

    proptest! {
        #[test]
        fn a_multiplier_is_within_half_a_unit(factor in 1e-6f64..1e4, bits in 15u32..31) {
            let (m, s) = multiplier(factor, bits).unwrap();
            let got = f64::from(m) / pow2(s.into());
            prop_assert!((got / factor - 1.0).abs() <= pow2(-(bits as i32)), "{} {}", got, factor);
        }

        #[test]
        fn dyadic_is_exact(x in -1e12f64..1e12) {
            let (m, e) = dyadic(x);
            prop_assert_eq!(libm::ldexp(m as f64, e), x);
        }

        #[test]
        fn the_reach_covers_an_eighth_more(x in 1e-9f64..1e9) {
            prop_assert!(reach(x) >= x * 1.125 && reach(x) <= x * 1.125 * (1.0 + 1.0 / 32.0));
        }
    }
}
