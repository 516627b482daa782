//! How often which magnitudes occur.
//!
//! Magnitudes are counted by their exponent and the first four bits of their mantissa: 16 classes an octave, finer than
//! fraction bits can follow. Counting and bounds depend on no library and no order.

/// Bits of a double below its sign, exponent and the first four of its mantissa.
const BELOW: u32 = 48;
/// Class of 2^-32; what is smaller counts here.
const LEAST: u64 = (1023 - 32) << 4;
/// Class of 2^40; what is larger counts here.
const MOST: u64 = (1023 + 40) << 4;

/// Counts of magnitudes.
#[derive(Clone, Debug, Default)]
pub struct Magnitudes {
    /// Per class, from LEAST on.
    counts: Vec<u64>,
    total: u64,
}

impl Magnitudes {
    /// Counts elements; what is not finite does not count.
    pub fn add(&mut self, values: &[f64]) {
        if self.counts.is_empty() && !values.is_empty() {
            self.counts = vec![0; (MOST - LEAST + 1) as usize];
        }
        for v in values.iter().filter(|v| v.is_finite()) {
            let class = (v.abs().to_bits() >> BELOW).clamp(LEAST, MOST);
            self.counts[(class - LEAST) as usize] += 1;
            self.total += 1;
        }
    }

    /// A magnitude that at least `percent` of the elements do not exceed: the end of the class where that share is
    /// reached. None if nothing was counted, or if the share lies among the largest that are told apart.
    pub fn bound(&self, percent: f64) -> Option<f64> {
        let beyond = (self.total as f64 * (100.0 - percent) / 100.0).max(0.0);
        let mut above = 0;
        for (place, count) in self.counts.iter().enumerate().rev() {
            let class = LEAST + place as u64;
            above += count;
            if above as f64 > beyond {
                return (class < MOST).then(|| f64::from_bits((class + 1) << BELOW));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_outlier_in_a_thousand_is_beyond_the_bound_of_99_percent_only() {
        let mut m = Magnitudes::default();
        m.add(&[1.5; 999]);
        m.add(&[-800.0]);
        assert_eq!(m.bound(99.0), Some(1.5625));
        assert_eq!(m.bound(100.0), Some(832.0));
    }

    #[test]
    fn nothing_has_no_bound() {
        let mut m = Magnitudes::default();
        assert_eq!(m.bound(99.0), None);
        m.add(&[f64::NAN, f64::INFINITY]);
        assert_eq!(m.bound(99.0), None);
        m.add(&[1e300]);
        assert_eq!(m.bound(99.0), None);
    }

    proptest! {
        #[test]
        fn a_bound_holds_its_share(values in prop::collection::vec(-1e6f64..1e6, 1..300), percent in 50.0f64..100.0) {
            let mut m = Magnitudes::default();
            m.add(&values);
            let bound = m.bound(percent).unwrap();
            let within = values.iter().filter(|v| v.abs() <= bound).count();
            prop_assert!(within as f64 >= values.len() as f64 * percent / 100.0 - 1e-9);
            prop_assert!(bound <= values.iter().fold(0.0f64, |a, v| a.max(v.abs())).max(1e-9) * 1.0625 + 1e-9);
        }
    }
}
