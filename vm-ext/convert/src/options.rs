//! What a user may choose.

/// Width of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// 16 bits for layers of under two million multiplications and for the last ones before an output, else 8. Where
    /// the model shall be provable 11 bits, which keep circuits small.
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
}
