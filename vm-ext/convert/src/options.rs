//! What a user may choose.

use crate::error::{ConvertError, Result};

/// Width of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// 8 bits where their rounding is expected to add little to a layer's results, else up to 16 and as many as leave sums
    /// short; 16 in small layers (decision 0013). Where the model shall be provable 11 bits, which keep circuits small.
    #[default]
    Auto,
    /// 8 bits.
    I8,
    /// 16 bits.
    I16,
}

/// What becomes of an input value outside the declared range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfRange {
    /// It is saturated, and the result says so.
    #[default]
    Saturate,
    /// The call is refused.
    Refuse,
}

/// Options of a conversion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Width of weights.
    pub weights: Weights,
    /// Input values out of range.
    pub out_of_range: OutOfRange,
    /// Largest drop of the metric that is accepted; unlimited if none.
    pub max_drop: Option<f64>,
    /// Keep to what a zero-knowledge circuit proves to the last bit: layers that requantise by a plain shift, refused
    /// otherwise.
    pub provable: bool,
    /// Ranges of inner values hold this share of the elements that calibration sees, in percent, above 0 and at most 100; the rest saturates. They
    /// hold all if none.
    pub percentile: Option<f64>,
    /// The most accurate mix of widths of which a run costs no more gas.
    pub max_gas: Option<u64>,
    /// The cheapest mix of widths that is worse by no more than this, by the metric of [`crate::Drop`].
    pub max_error: Option<f64>,
    /// Corrects biases by what their channels are off on average.
    pub correct_bias: bool,
    /// With `provable`: looks for shifts that lose less than the obvious ones.
    pub tune_shifts: bool,
    /// Measures every layer by itself, too.
    pub layers: bool,
}

impl Options {
    /// Refuses numbers without meaning.
    pub(crate) fn check(&self) -> Result<()> {
        let fail = |option, reason: &str| {
            Err(ConvertError::Option {
                option,
                reason: reason.into(),
            })
        };
        if self.percentile.is_some_and(|p| !(p > 0.0 && p <= 100.0)) {
            return fail("percentile", "it must be above 0 and at most 100");
        }
        if self.max_error.is_some_and(f64::is_nan) {
            return fail("max_error", "it must be a number");
        }
        if self.provable && (self.max_gas.is_some() || self.max_error.is_some()) {
            return fail(
                "provable",
                "what a circuit costs is no gas; leave max_gas and max_error out, or convert for the chain alone",
            );
        }
        if self.tune_shifts && !self.provable {
            return fail(
                "tune_shifts",
                "only provable layers requantise by shifts; set provable too",
            );
        }
        Ok(())
    }
}
