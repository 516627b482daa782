//! Precision chosen for single nodes, in place of the defaults.

use super::scale::{FRACTION_BITS, QMAX};

/// Bits of a number include its sign. What is none follows the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precision {
    /// Bits of the weights that make the value, 2 to 16. Up to 8 they are stored in a byte.
    pub weights: Option<u32>,
    /// Bits of the value, 2 to 16, where it has no reason to take 32.
    pub value: Option<u32>,
    /// By how many fraction bits the value is finer than its range asks: what is rarest saturates.
    pub finer: i32,
}

impl Precision {
    /// Largest magnitude of a weight.
    pub fn weight_max(&self, default: i32) -> i32 {
        self.weights.map_or(default, largest)
    }

    /// Largest magnitude of an element of the value.
    pub fn value_max(&self) -> i32 {
        self.value.map_or(QMAX, largest)
    }

    /// Fraction bits of the value, by those that its range asks.
    pub fn fraction_bits(&self, k: i32) -> i32 {
        (k + self.finer).clamp(FRACTION_BITS.0, FRACTION_BITS.1)
    }
}

/// The largest number of so many bits, its sign among them.
fn largest(bits: u32) -> i32 {
    (1 << (bits.clamp(2, 16) - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_precision_is_that_of_the_format() {
        let widest = Precision {
            weights: Some(16),
            value: Some(16),
            finer: 0,
        };
        assert_eq!((widest.weight_max(1), widest.value_max()), (QMAX, QMAX));
        assert_eq!(Precision::default().weight_max(127), 127);
        assert_eq!(Precision::default().value_max(), QMAX);
    }

    #[test]
    fn bits_out_of_range_are_the_nearest_that_exist() {
        let odd = |bits| Precision {
            weights: Some(bits),
            finer: 99,
            ..Precision::default()
        };
        assert_eq!((odd(0).weight_max(5), odd(40).weight_max(5)), (1, QMAX));
        assert_eq!(odd(8).fraction_bits(7), FRACTION_BITS.1);
    }
}
