//! A model in operations that a circuit proves exactly.

pub use aiinference_engine::graph::Window;

use crate::hidden::Hidden;

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

    /// From one end of the interval to the other.
    pub fn span(&self) -> u128 {
        self.high.abs_diff(self.low)
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
    /// What only the prover knows. Hidden inputs are checked against their intervals in the circuit, since no verifier
    /// sees them.
    pub hidden: Hidden,
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
        let values = self.values.iter().map(Value::magnitude);
        // A check of a hidden input looks at its distance from both ends of its interval.
        let checks = self.hidden_inputs().iter().map(Value::span);
        values.chain(checks).max().unwrap_or(0)
    }

    /// How many steps are of some kind.
    pub(crate) fn count(&self, of: fn(&Step) -> bool) -> usize {
        self.steps.iter().filter(|step| of(step)).count()
    }

    /// The inputs that are checked in the circuit.
    pub(crate) fn hidden_inputs(&self) -> &[Value] {
        match self.hidden {
            Hidden::Inputs => self.values.get(..self.inputs.len()).unwrap_or(&[]),
            Hidden::Nothing | Hidden::Weights => &[],
        }
    }

    /// About how many rows the circuit takes: what the choice of digits is made by. The numbers per element are measured
    /// at ezkl 23.0.5; a floor is so dear since its quotient is checked besides.
    pub(crate) fn rows(&self) -> u64 {
        let legs = u64::from(self.legs);
        let cells = |value: &Value, fixed: u64, a_leg: u64| value.elements().saturating_mul(fixed + a_leg * legs);
        let (inputs, steps) = self.values.split_at(self.inputs.len().min(self.values.len()));
        let ports = inputs
            .iter()
            .chain(self.outputs.iter().filter_map(|(_, v)| self.values.get(*v)));
        let hidden = self.hidden_inputs().iter();
        // Two comparisons an element instead of one look at its size.
        let hidden = hidden.fold(0, |sum: u64, v| sum.saturating_add(cells(v, 22, 6)));
        let mut sum = ports
            .fold(0, |sum: u64, v| sum.saturating_add(cells(v, 10, 4)))
            .saturating_add(hidden);
        for (step, value) in self.steps.iter().zip(steps) {
            sum = sum.saturating_add(match step {
                Step::Shift { .. } => cells(value, 71, 13),
                Step::Relu { .. } => cells(value, 11, 3),
                _ => 0,
            });
        }
        (sum / 2).max(1 << self.base_bits)
    }
}
