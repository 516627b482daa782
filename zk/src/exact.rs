//! A model in operations that a circuit proves exactly.

pub use aiinference_engine::graph::Window;

/// Number of a value: the inputs first, then one per step.
pub type ValueId = usize;

/// A value: its shape, and an interval that holds every element for all inputs in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Row-major extents.
    pub shape: Vec<u32>,
    /// No element is less.
    pub low: i128,
    /// No element is larger.
    pub high: i128,
}

impl Value {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|extent| u64::from(*extent)).product()
    }

    /// Largest magnitude.
    pub fn magnitude(&self) -> u128 {
        self.low.unsigned_abs().max(self.high.unsigned_abs())
    }
}

/// One operation over integers. Every constant is a number that 32-bit floats hold exactly, since ONNX stores such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `y[.., n] = sum over k of x[.., k] * weights[k, n]`.
    MatMul {
        /// `[.., K]`
        x: ValueId,
        /// `[K, N]`
        weights: Vec<i128>,
        /// K and N.
        extents: [u32; 2],
    },
    /// 2-d cross-correlation, zero padded.
    Conv {
        /// `[B, C, H, W]`
        x: ValueId,
        /// In the shape below.
        weights: Vec<i128>,
        /// `[O, C / groups, kernel height, kernel width]`
        extents: [u32; 4],
        /// Kernel, strides, dilations, padding.
        window: Window,
        /// Divides C and O.
        groups: u32,
    },
    /// `x + constant`, broadcast.
    AddConstant {
        /// Any shape.
        x: ValueId,
        /// In the shape below.
        constant: Vec<i128>,
        /// Broadcasts to that of x.
        shape: Vec<u32>,
    },
    /// `x * constant`, broadcast.
    MulConstant {
        /// Any shape.
        x: ValueId,
        /// In the shape below.
        constant: Vec<i128>,
        /// Broadcasts to that of x.
        shape: Vec<u32>,
    },
    /// `a + b`, of one shape.
    Add {
        /// First term.
        a: ValueId,
        /// Second term.
        b: ValueId,
    },
    /// `floor(x / 2^base_bits)`.
    Shift {
        /// Any shape.
        x: ValueId,
    },
    /// `max(x, 0)`.
    Relu {
        /// Any shape.
        x: ValueId,
    },
    /// `bound - x`.
    Below {
        /// Any shape.
        x: ValueId,
        /// From what x is taken.
        bound: i128,
    },
    /// The same elements in the value's shape.
    Reshape {
        /// Any shape.
        x: ValueId,
    },
}

/// A model restated, with its certificate: no value leaves its interval for any inputs in range, and every interval
/// lies within `±(2^(base_bits * legs) - 1)`, the numbers that the circuit can take apart into digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// The circuit takes numbers apart into digits of so many bits.
    pub base_bits: u32,
    /// How many digits.
    pub legs: u32,
    /// Names of the inputs: values 0 to `inputs.len() - 1`.
    pub inputs: Vec<String>,
    /// Step i gives value `inputs.len() + i`.
    pub steps: Vec<Step>,
    /// Per value.
    pub values: Vec<Value>,
    /// Names and values of the outputs.
    pub outputs: Vec<(String, ValueId)>,
}

impl Exact {
    /// The largest magnitude of any value.
    pub fn magnitude(&self) -> u128 {
        self.values.iter().map(Value::magnitude).max().unwrap_or(0)
    }

    /// About how many rows the circuit takes for range checks: what the choice of digits is made by.
    pub(crate) fn rows(&self) -> u64 {
        let digits = u64::from(self.legs) + 3;
        let taken_apart = |weight: u64, value: &Value| value.elements().saturating_mul(weight * digits);
        let (inputs, steps) = self.values.split_at(self.inputs.len().min(self.values.len()));
        let mut cells = inputs
            .iter()
            .fold(0, |sum: u64, v| sum.saturating_add(taken_apart(1, v)));
        for (step, value) in self.steps.iter().zip(steps) {
            let weight = match step {
                // The quotient is checked besides.
                Step::Shift { .. } => 3,
                Step::Relu { .. } => 1,
                _ => 0,
            };
            cells = cells.saturating_add(taken_apart(weight, value));
        }
        for (_, output) in &self.outputs {
            cells = cells.saturating_add(self.values.get(*output).map_or(0, |v| taken_apart(1, v)));
        }
        (cells / 2).max(1 << self.base_bits)
    }
}
