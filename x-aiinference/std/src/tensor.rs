//! What goes into a model.

use aiinference_types::tensor::TensorError;
use aiinference_types::v1::{self, input::Source, DataType};
use prost::Message;

use crate::{decimal::ToAtomics, Error};

/// An array of numbers for an input of a model.
///
/// It needs a name where the model has several inputs, and a shape where the input has more than one axis (leading
/// axes of extent 1 do not count). The host checks both against the model.
///
/// ```
/// # use aiinference_std::Tensor;
/// let ages = Tensor::from_i64s(&[31, 64]).named("ages");
/// let grid = Tensor::from_u8s(&[0; 64]).shaped(&[8, 8]).named("image");
/// let volts = Tensor::from_i64s(&[-3, 5]).fraction_bits(1); // -1.5, 2.5
/// # let _ = (ages, grid, volts);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor(pub(crate) v1::Tensor);

impl Tensor {
    /// Of `Decimal` or `SignedDecimal` values, exact until the model rounds them to its own format:
    /// `floor(x * 2^k + 1/2)`.
    ///
    /// An error where a value is beyond about 1.7 * 10^20.
    pub fn from_decimals<D: ToAtomics>(values: &[D]) -> Result<Self, Error> {
        let mut data = Vec::with_capacity(values.len() * 16);
        for (index, value) in values.iter().enumerate() {
            let atomics = value.to_atomics().ok_or(Error::DecimalTooLarge { index })?;
            data.extend_from_slice(&atomics.to_le_bytes());
        }
        Ok(Self::new(DataType::Decimal, values.len(), data))
    }

    /// Of whole numbers. They travel in the fewest bytes that hold them all.
    pub fn from_i64s(values: &[i64]) -> Self {
        // The bits that change the value: those of v, or of its complement where it is negative.
        let bits = values.iter().fold(0, |bits, &v| bits | (v ^ (v >> 63)));
        let data_type = match bits {
            0..=0x7f => DataType::Int8,
            0x80..=0x7fff => DataType::Int16,
            0x8000..=0x7fff_ffff => DataType::Int32,
            _ => DataType::Int64,
        };
        let width = data_type.width();
        let mut data = Vec::with_capacity(values.len() * width);
        for value in values {
            data.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        Self::new(data_type, values.len(), data)
    }

    /// Of bytes as whole numbers 0 to 255.
    pub fn from_u8s(values: &[u8]) -> Self {
        Self::new(DataType::Uint8, values.len(), values.to_vec())
    }

    /// Of truth values as 0 and 1.
    pub fn from_bools(values: &[bool]) -> Self {
        Self::new(DataType::Bool, values.len(), values.iter().map(|&b| b.into()).collect())
    }

    fn new(data_type: DataType, count: usize, data: Vec<u8>) -> Self {
        Tensor(v1::Tensor {
            name: String::new(),
            data_type: data_type.into(),
            // A request holds at most 64 KiB; a longer tensor is refused whatever its shape says.
            shape: vec![u32::try_from(count).unwrap_or(u32::MAX)],
            fraction_bits: 0,
            data,
        })
    }

    /// For the model's input of this name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// With these extents, row-major. Without, it has one axis.
    pub fn shaped(mut self, shape: &[u32]) -> Self {
        self.0.shape = shape.to_vec();
        self
    }

    /// As an encoded `aiinference.v1.Tensor`: how tensors travel in messages between contracts.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// Of such bytes, which may come from anybody: type, shape and data are checked to agree.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let tensor = v1::Tensor::decode(bytes).map_err(|_| Error::MalformedTensor("its bytes are none".to_owned()))?;
        let problem = |error: TensorError| Error::MalformedTensor(error.to_string());
        tensor.validate().map_err(problem)?;
        Ok(Tensor(tensor))
    }

    /// Worth `integer * 2^-bits`, -32 to 62. Not for decimals and truth values.
    pub fn fraction_bits(mut self, bits: i32) -> Self {
        self.0.fraction_bits = bits;
        self
    }
}

/// A value for one input of a model: a tensor, or what an earlier step of the same plan gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input(v1::Input);

impl Input {
    /// Output `output` of step number `step` (from 0) of the same plan. It never leaves the host.
    pub fn from_step(step: u32, output: impl Into<String>) -> Self {
        let output = output.into();
        Input(v1::Input {
            name: String::new(),
            source: Some(Source::StepOutput(v1::StepOutput { step, output })),
        })
    }

    /// For the model's input of this name; may be left out where the model has just one.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    pub(crate) fn into_message(self) -> v1::Input {
        self.0
    }
}

impl From<Tensor> for Input {
    fn from(tensor: Tensor) -> Self {
        let mut tensor = tensor.0;
        let name = core::mem::take(&mut tensor.name);
        Input(v1::Input {
            name,
            source: Some(Source::Tensor(tensor)),
        })
    }
}

impl From<&Tensor> for Input {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone().into()
    }
}

impl From<&Input> for Input {
    fn from(input: &Input) -> Self {
        input.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiinference_types::v1::OutOfRange;
    use proptest::prelude::*;

    #[test]
    fn names_move_to_the_input_and_shapes_default_to_one_axis() {
        let input = Input::from(Tensor::from_bools(&[true, false]).named("flags")).into_message();
        assert_eq!(input.name, "flags");
        let Some(Source::Tensor(tensor)) = input.source else {
            panic!()
        };
        assert_eq!(
            (tensor.name.as_str(), &tensor.shape[..], &tensor.data[..]),
            ("", &[2][..], &[1, 0][..])
        );
    }

    #[test]
    fn whole_numbers_travel_in_the_fewest_bytes() {
        for (values, width) in [
            (&[127, -128][..], 1),
            (&[128, 0], 2),
            (&[-129], 2),
            (&[32767, -32768], 2),
            (&[32768], 4),
            (&[i64::from(i32::MIN), i64::from(i32::MAX)], 4),
            (&[i64::from(i32::MIN) - 1], 8),
            (&[i64::MAX, i64::MIN], 8),
        ] {
            assert_eq!(
                Tensor::from_i64s(values).0.data.len(),
                values.len() * width,
                "{values:?}"
            );
        }
    }

    #[test]
    fn tensors_survive_their_encoding_and_what_is_none_is_refused() {
        let tensor = Tensor::from_i64s(&[1, -300])
            .shaped(&[2, 1])
            .fraction_bits(3)
            .named("x");
        assert_eq!(Tensor::decode(&tensor.encode()), Ok(tensor.clone()));
        let mut short = tensor.clone();
        short.0.data.pop();
        let mut unknown = tensor;
        unknown.0.data_type = 99;
        for bytes in [b"\xff".to_vec(), vec![], short.encode(), unknown.encode()] {
            assert!(
                matches!(Tensor::decode(&bytes), Err(Error::MalformedTensor(_))),
                "{bytes:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_arrive_unchanged(values in prop::collection::vec(prop_oneof![any::<i64>(), -200i64..200, -40_000i64..40_000], 0..20)) {
            let arrived = Tensor::from_i64s(&values).0.integers().unwrap();
            prop_assert_eq!(arrived, values.iter().map(|&v| i128::from(v)).collect::<Vec<_>>());
        }

        #[test]
        fn scaled_integers_and_bytes_arrive_as_their_values(values in prop::collection::vec(any::<u8>(), 1..20), k in 0i32..8) {
            let got = Tensor::from_u8s(&values).fraction_bits(k).0.quantize(k, 0, 255, OutOfRange::Refuse);
            prop_assert_eq!(got, Ok((values.iter().map(|&v| i32::from(v)).collect(), false)));
        }
    }
}
