//! What comes out of a model.

use aiinference_types::v1::{self, DataType};
use prost::Message;

use crate::{
    decimal::{self, FromAtomics},
    wire, Error, Receipt, Tensor,
};

/// The results of a call: tensors by name, and the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    list: Vec<Output>,
    receipt: Receipt,
}

impl Outputs {
    // Not inlined: a contract with several calls would carry the codec several times.
    #[inline(never)]
    pub(crate) fn from_response(response: &[u8]) -> Result<Self, Error> {
        Self::from_message(wire::infer_answer(response)?)
    }

    pub(crate) fn from_message(message: v1::InferResponse) -> Result<Self, Error> {
        let receipt = message.receipt.ok_or(Error::InvalidAnswer("it has no receipt"))?;
        Ok(Outputs {
            list: message
                .outputs
                .into_iter()
                .map(Output::from_message)
                .collect::<Result<_, _>>()?,
            receipt: Receipt::from_message(receipt)?,
        })
    }

    /// The output of this name; of several steps' outputs with one name, the first.
    pub fn get(&self, name: &str) -> Result<&Output, Error> {
        let found = self.list.iter().find(|output| output.name() == name);
        found.ok_or_else(|| Error::NoSuchOutput(name.to_owned()))
    }

    /// The only output. An error where there are several.
    pub fn single(&self) -> Result<&Output, Error> {
        match &self.list[..] {
            [output] => Ok(output),
            list => Err(Error::NotSingle {
                what: "output",
                count: list.len(),
            }),
        }
    }

    /// All outputs: in the model's order, or in that of [`Plan::returning`](crate::Plan::returning).
    pub fn iter(&self) -> core::slice::Iter<'_, Output> {
        self.list.iter()
    }

    /// Which models ran, on what, with what result, at which price.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Whether any input value was out of its range and was saturated, so that the result may mean little.
    pub fn saturated(&self) -> bool {
        self.receipt.saturated
    }
}

impl<'a> IntoIterator for &'a Outputs {
    type Item = &'a Output;
    type IntoIter = core::slice::Iter<'a, Output>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An array of real numbers that a model gave, held as integers: `q` is worth `q * 2^-k`, with `k` its fraction bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    tensor: v1::Tensor,
    // Checked once: bytes an element, and whether it is signed.
    width: usize,
    signed: bool,
}

impl Output {
    /// Of an encoded `aiinference.v1.Tensor`, as contracts hand results on.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |_| Error::InvalidAnswer("an output is no aiinference.v1.Tensor");
        Self::from_message(v1::Tensor::decode(bytes).map_err(unreadable)?)
    }

    pub(crate) fn from_message(tensor: v1::Tensor) -> Result<Self, Error> {
        let malformed = |_| Error::InvalidAnswer("an output is malformed");
        tensor.validate().map_err(malformed)?;
        let data_type = tensor.checked_type().map_err(malformed)?;
        let signed = match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => true,
            DataType::Uint8 | DataType::Uint16 | DataType::Uint32 | DataType::Bool => false,
            // No model's integers need these.
            DataType::Uint64 | DataType::Decimal | DataType::Unspecified => {
                return Err(Error::InvalidAnswer("an output has a type that is for inputs only"));
            }
        };
        Ok(Output {
            width: data_type.width(),
            tensor,
            signed,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.tensor.name
    }

    /// Its extents, row-major; empty for a scalar.
    pub fn shape(&self) -> &[u32] {
        &self.tensor.shape
    }

    /// k, where an integer `q` is worth `q * 2^-k`.
    pub fn fraction_bits(&self) -> i32 {
        self.tensor.fraction_bits
    }

    /// The integers as the model gave them, not scaled, row-major. The receipt's hash is over them.
    pub fn integers(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.tensor.data.chunks_exact(self.width).map(|bytes| {
            let negative = self.signed && bytes.last().is_some_and(|top| top & 0x80 != 0);
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            // An element is 1 to 8 bytes wide.
            wide[..bytes.len()].copy_from_slice(bytes);
            i64::from_le_bytes(wide)
        })
    }

    /// The values as `Decimal` or `SignedDecimal`, exact for at most 18 fraction bits and rounded half up beyond:
    /// `floor(q * 2^-k * 10^18 + 1/2)` units of 10^-18.
    ///
    /// An error where the type cannot hold a value: a negative one in a `Decimal`.
    pub fn to_decimals<D: FromAtomics>(&self) -> Result<Vec<D>, Error> {
        self.read(D::NAME, |q, k| decimal::atomics(q, k).and_then(D::from_atomics))
    }

    /// The values as whole numbers, rounded half up: `floor(q * 2^-k + 1/2)`.
    pub fn to_i64s(&self) -> Result<Vec<i64>, Error> {
        self.read("i64", decimal::whole)
    }

    /// The values as bytes, rounded half up: the pixels of an image. An error where one is not in 0 to 255.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        if self.width == 1 && !self.signed && self.fraction_bits() == 0 {
            return Ok(self.tensor.data.clone());
        }
        self.read("u8", |q, k| decimal::whole(q, k).and_then(|v| v.try_into().ok()))
    }

    /// The one value as `Decimal` or `SignedDecimal`: a score. An error where there are several.
    pub fn to_decimal<D: FromAtomics>(&self) -> Result<D, Error> {
        one(self.to_decimals()?)
    }

    /// The one value as a whole number, rounded half up: the index of a class. An error where there are several.
    pub fn to_i64(&self) -> Result<i64, Error> {
        one(self.to_i64s()?)
    }

    fn read<T>(&self, into: &'static str, convert: impl Fn(i64, i32) -> Option<T>) -> Result<Vec<T>, Error> {
        let mut values = Vec::with_capacity(self.tensor.data.len() / self.width);
        for (index, q) in self.integers().enumerate() {
            values.push(convert(q, self.fraction_bits()).ok_or(Error::DoesNotFit { index, into })?);
        }
        Ok(values)
    }
}

/// A result can be given to another model, under its own name.
impl From<Output> for Tensor {
    fn from(output: Output) -> Self {
        Tensor(output.tensor)
    }
}

fn one<T>(mut values: Vec<T>) -> Result<T, Error> {
    match (values.pop(), values.len()) {
        (Some(value), 0) => Ok(value),
        (last, rest) => Err(Error::NotSingle {
            what: "element",
            count: rest + usize::from(last.is_some()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Atomics(i128);

    impl FromAtomics for Atomics {
        const NAME: &'static str = "Atomics";
        fn from_atomics(atomics: i128) -> Option<Self> {
            Some(Atomics(atomics))
        }
    }

    fn output(data_type: DataType, shape: &[u32], fraction_bits: i32, data: Vec<u8>) -> Result<Output, Error> {
        Output::from_message(v1::Tensor {
            name: "y".to_string(),
            data_type: data_type.into(),
            shape: shape.to_vec(),
            fraction_bits,
            data,
        })
    }

    #[test]
    fn values_are_read_as_decimals_whole_numbers_and_bytes() {
        let y = output(DataType::Int16, &[3], 8, vec![0x80, 0x01, 0x00, 0x01, 0x7f, 0xff]).unwrap();
        assert_eq!(y.integers().collect::<Vec<_>>(), [384, 256, -129]);
        let units: Vec<i128> = y.to_decimals::<Atomics>().unwrap().iter().map(|d| d.0).collect();
        assert_eq!(
            units,
            [
                1_500_000_000_000_000_000,
                1_000_000_000_000_000_000,
                -503_906_250_000_000_000
            ]
        );
        assert_eq!(y.to_i64s().unwrap(), [2, 1, -1]);
        assert_eq!(y.to_bytes(), Err(Error::DoesNotFit { index: 2, into: "u8" }));
        assert_eq!(
            output(DataType::Uint8, &[2], 0, vec![0, 255]).unwrap().to_bytes(),
            Ok(vec![0, 255])
        );
        assert_eq!(
            output(DataType::Uint8, &[2], 1, vec![0, 255]).unwrap().to_bytes(),
            Ok(vec![0, 128])
        );
        assert_eq!(output(DataType::Int8, &[1], 0, vec![200]).unwrap().to_i64(), Ok(-56));
    }

    #[test]
    fn one_value_is_one_value() {
        let none = output(DataType::Int8, &[0], 0, vec![]).unwrap();
        assert_eq!(
            none.to_i64(),
            Err(Error::NotSingle {
                what: "element",
                count: 0
            })
        );
        let two = output(DataType::Int8, &[2], 0, vec![1, 2]).unwrap();
        assert_eq!(
            two.to_i64(),
            Err(Error::NotSingle {
                what: "element",
                count: 2
            })
        );
        assert_eq!(output(DataType::Int8, &[], 0, vec![7]).unwrap().to_i64(), Ok(7));
    }

    #[test]
    fn malformed_outputs_are_refused() {
        for bad in [
            output(DataType::Unspecified, &[], 0, vec![]),
            output(DataType::Decimal, &[1], 0, vec![0; 16]),
            output(DataType::Uint64, &[1], 0, vec![0xff; 8]),
            output(DataType::Int16, &[2], 0, vec![0; 3]),
            output(DataType::Int8, &[u32::MAX, u32::MAX], 0, vec![0]),
            output(DataType::Int8, &[1], 63, vec![0]),
        ] {
            assert!(matches!(bad, Err(Error::InvalidAnswer(_))), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_the_models(values in prop::collection::vec(any::<i32>(), 1..20), k in -20i32..20) {
            let (low, high) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            let tensor = v1::Tensor::from_integers("y".to_string(), vec![values.len() as u32], k, low, high, &values);
            let y = Output::from_message(tensor).unwrap();
            prop_assert!(y.integers().eq(values.iter().map(|&v| i64::from(v))));
        }
    }
}
