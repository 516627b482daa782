//! Checked access to [`v1::Tensor`](crate::v1::Tensor): sizes, element types, conversion to and from a model's integers.

use alloc::{string::String, vec::Vec};

use crate::{
    limits::{MAX_ELEMENTS, MAX_RANK},
    quantize,
    v1::{DataType, OutOfRange, Tensor},
};

/// Fraction bits that a tensor may carry.
pub const FRACTION_BITS: core::ops::RangeInclusive<i32> = -32..=62;

/// Why a tensor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The data type is none that this version knows.
    #[error("reading a tensor: data type {0} is unknown")]
    UnknownDataType(i32),
    /// More axes than allowed.
    #[error("reading a tensor: rank {0} is above the limit of {MAX_RANK}")]
    RankTooHigh(usize),
    /// More elements than allowed.
    #[error("reading a tensor: it has more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// The bytes are not the elements that type and shape call for.
    #[error("reading a tensor: {actual} bytes of data where type and shape need {expected}")]
    WrongDataLength {
        /// Bytes needed.
        expected: u64,
        /// Bytes given.
        actual: u64,
    },
    /// Fraction bits out of range, or given for a type that has none.
    #[error("reading a tensor: {0} fraction bits are not allowed for its data type (integers: -32 to 62)")]
    FractionBits(i32),
    /// A bool that is neither 0 nor 1.
    #[error("reading a tensor: element {0} is a bool that is neither 0 nor 1")]
    NotABool(usize),
    /// A value out of the range that the model takes.
    #[error("converting a tensor: element {index} becomes {value} (at {fraction_bits} fraction bits), out of the input's range {low} to {high}")]
    OutOfRange {
        /// Which element, row-major.
        index: usize,
        /// Its integer in the model's format.
        value: i64,
        /// Fraction bits of that format.
        fraction_bits: i32,
        /// Least allowed integer.
        low: i32,
        /// Largest allowed integer.
        high: i32,
    },
}

impl DataType {
    /// Bytes of one element.
    pub fn width(self) -> usize {
        match self {
            DataType::Unspecified => 0,
            DataType::Int8 | DataType::Uint8 | DataType::Bool => 1,
            DataType::Int16 | DataType::Uint16 => 2,
            DataType::Int32 | DataType::Uint32 => 4,
            DataType::Int64 | DataType::Uint64 => 8,
            DataType::Decimal => 16,
        }
    }

    /// The canonical type of integers in `low..=high`: the narrowest that holds them, signed before unsigned.
    pub fn narrowest(low: i32, high: i32) -> Self {
        let fits = |least: i32, most: i32| least <= low && high <= most;
        if fits(-128, 127) {
            DataType::Int8
        } else if fits(0, 255) {
            DataType::Uint8
        } else if fits(-32768, 32767) {
            DataType::Int16
        } else if fits(0, 65535) {
            DataType::Uint16
        } else {
            DataType::Int32
        }
    }
}

/// Number of elements of a shape, within the limits of rank and size. 1 for a scalar, 0 if an extent is 0.
pub fn element_count(shape: &[u32]) -> Result<u64, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::RankTooHigh(shape.len()));
    }
    // An extent of 0 must not hide an overflow of the others, so that a shape is judged alike in any order.
    let product = shape
        .iter()
        .try_fold(1u64, |n, &extent| n.checked_mul(u64::from(extent.max(1))))
        .filter(|&n| n <= MAX_ELEMENTS)
        .ok_or(TensorError::TooManyElements)?;
    Ok(if shape.contains(&0) { 0 } else { product })
}

impl Tensor {
    /// A tensor of a model's integers in their canonical type: the narrowest that holds `low..=high`.
    ///
    /// Every value must lie in `low..=high`; others lose their high bits.
    pub fn from_integers(
        name: String,
        shape: Vec<u32>,
        fraction_bits: i32,
        low: i32,
        high: i32,
        values: &[i32],
    ) -> Self {
        let data_type = DataType::narrowest(low, high);
        let width = data_type.width();
        let mut data = Vec::with_capacity(values.len() * width);
        for value in values {
            data.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        Tensor {
            name,
            data_type: data_type.into(),
            shape,
            fraction_bits,
            data,
        }
    }

    /// Checks type, shape, fraction bits and length against each other; the number of elements.
    pub fn validate(&self) -> Result<usize, TensorError> {
        let data_type = self.checked_type()?;
        let binary = !matches!(data_type, DataType::Bool | DataType::Decimal);
        if !(FRACTION_BITS.contains(&self.fraction_bits) && (binary || self.fraction_bits == 0)) {
            return Err(TensorError::FractionBits(self.fraction_bits));
        }
        let count = element_count(&self.shape)?;
        let expected = count * data_type.width() as u64;
        if self.data.len() as u64 != expected {
            return Err(TensorError::WrongDataLength {
                expected,
                actual: self.data.len() as u64,
            });
        }
        // count is at most MAX_ELEMENTS, which fits usize on every target.
        Ok(count as usize)
    }

    /// The element type, if known.
    pub fn checked_type(&self) -> Result<DataType, TensorError> {
        match DataType::try_from(self.data_type) {
            Ok(DataType::Unspecified) | Err(_) => Err(TensorError::UnknownDataType(self.data_type)),
            Ok(data_type) => Ok(data_type),
        }
    }

    /// The tensor's values in a model's format: `floor(x * 2^fraction_bits + 1/2)`, each within `low..=high`.
    ///
    /// Returns the integers and whether any was saturated, which happens only where `policy` says so.
    pub fn quantize(
        &self,
        fraction_bits: i32,
        low: i32,
        high: i32,
        policy: OutOfRange,
    ) -> Result<(Vec<i32>, bool), TensorError> {
        let count = self.validate()?;
        let data_type = self.checked_type()?;
        let mut saturated = false;
        let mut values = Vec::with_capacity(count);
        for (index, bytes) in self.data.chunks_exact(data_type.width()).enumerate() {
            let value = match data_type {
                DataType::Decimal => quantize::from_decimal(integer(bytes, true), fraction_bits),
                DataType::Bool if bytes[0] > 1 => return Err(TensorError::NotABool(index)),
                _ => {
                    let signed = matches!(
                        data_type,
                        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64
                    );
                    quantize::from_dyadic(integer(bytes, signed), -self.fraction_bits, fraction_bits)
                }
            };
            let clamped = value.clamp(i64::from(low), i64::from(high));
            if clamped != value {
                if policy != OutOfRange::Saturate {
                    return Err(TensorError::OutOfRange {
                        index,
                        value,
                        fraction_bits,
                        low,
                        high,
                    });
                }
                saturated = true;
            }
            // Clamped between two i32.
            values.push(clamped as i32);
        }
        Ok((values, saturated))
    }

    /// The elements as integers, not scaled; DECIMAL gives atomics.
    pub fn integers(&self) -> Result<Vec<i128>, TensorError> {
        self.validate()?;
        let data_type = self.checked_type()?;
        let signed = matches!(
            data_type,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal
        );
        let chunks = self.data.chunks_exact(data_type.width());
        Ok(chunks.map(|bytes| integer(bytes, signed)).collect())
    }
}

/// The little-endian integer in at most 16 bytes.
fn integer(bytes: &[u8], signed: bool) -> i128 {
    let fill = match bytes.last() {
        Some(top) if signed && top & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}

/// Whether a given shape is an input's: equal, but for leading axes of extent 1.
pub fn same_shape(given: &[u32], wanted: &[u32]) -> bool {
    fn core(shape: &[u32]) -> &[u32] {
        let ones = shape.iter().take_while(|&&extent| extent == 1).count();
        &shape[ones..]
    }
    core(given) == core(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn tensor(data_type: DataType, shape: &[u32], fraction_bits: i32, data: Vec<u8>) -> Tensor {
        Tensor {
            name: String::new(),
            data_type: data_type.into(),
            shape: shape.to_vec(),
            fraction_bits,
            data,
        }
    }

    #[test]
    fn a_shape_is_judged_before_its_data() {
        assert_eq!(element_count(&[]), Ok(1));
        assert_eq!(element_count(&[3, 0]), Ok(0));
        assert_eq!(
            element_count(&[u32::MAX, u32::MAX, u32::MAX, 0]),
            Err(TensorError::TooManyElements)
        );
        assert_eq!(element_count(&[1; 9]), Err(TensorError::RankTooHigh(9)));
    }

    #[test]
    fn malformed_tensors_are_refused() {
        assert_eq!(
            tensor(DataType::Unspecified, &[], 0, vec![]).validate(),
            Err(TensorError::UnknownDataType(0))
        );
        let mut unknown = tensor(DataType::Int8, &[1], 0, vec![0]);
        unknown.data_type = 77;
        assert_eq!(unknown.validate(), Err(TensorError::UnknownDataType(77)));
        assert_eq!(
            tensor(DataType::Int16, &[2], 0, vec![0; 3]).validate(),
            Err(TensorError::WrongDataLength { expected: 4, actual: 3 })
        );
        assert_eq!(
            tensor(DataType::Int8, &[1], 63, vec![0]).validate(),
            Err(TensorError::FractionBits(63))
        );
        assert_eq!(
            tensor(DataType::Bool, &[1], 1, vec![0]).validate(),
            Err(TensorError::FractionBits(1))
        );
        assert_eq!(
            tensor(DataType::Bool, &[2], 0, vec![1, 2]).quantize(0, 0, 1, OutOfRange::Refuse),
            Err(TensorError::NotABool(1))
        );
    }

    #[test]
    fn out_of_range_values_are_refused_or_saturated_as_the_model_says() {
        let t = tensor(DataType::Int8, &[2], 0, vec![5, 0x80]);
        assert_eq!(
            t.quantize(4, -100, 100, OutOfRange::Saturate),
            Ok((vec![80, -100], true))
        );
        assert!(matches!(
            t.quantize(4, -100, 100, OutOfRange::Refuse),
            Err(TensorError::OutOfRange {
                index: 1,
                value: -2048,
                ..
            })
        ));
    }

    #[test]
    fn leading_axes_of_extent_one_do_not_matter() {
        assert!(same_shape(&[64], &[1, 64]));
        assert!(same_shape(&[1, 1, 64], &[64]));
        assert!(same_shape(&[], &[1, 1]));
        assert!(!same_shape(&[64, 1], &[1, 64]));
    }

    proptest! {
        #[test]
        fn integers_survive_their_canonical_encoding(values in prop::collection::vec(any::<i32>(), 1..20), k in -20i32..20) {
            let (low, high) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            let t = Tensor::from_integers(String::new(), vec![values.len() as u32], k, low, high, &values);
            prop_assert_eq!(t.quantize(k, low, high, OutOfRange::Refuse), Ok((values, false)));
        }
    }
}
