//! What a caller claims, as the field elements that a proof takes: made here from typed tensors, never taken as they are.

use aiinference_types::{
    circuit::FIELD_ORDER,
    tensor::{self, TensorError},
    v1::{DataType, InstanceHash, InstanceRole, OutOfRange, Tensor},
    ErrorCode,
};
use revm::primitives::U256;

use crate::circuit::{kind, Circuit, Value, Word};

/// What is claimed, but for the proof.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim<'a> {
    /// Inputs in the open. They are converted as a model converts its inputs.
    pub inputs: &'a [Tensor],
    /// Hashes of inputs and of weights.
    pub hashes: &'a [InstanceHash],
    /// Outputs, exact in the circuit's format.
    pub outputs: &'a [Tensor],
}

/// Why what is claimed is nothing that the circuit could show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A name that the circuit does not have.
    #[error("reading a claim: the circuit has no {kind} {name:?}; it has {has}")]
    Unknown {
        /// Input, hash or output.
        kind: &'static str,
        /// As the caller wrote it.
        name: String,
        /// The circuit's names of that kind.
        has: String,
    },
    /// A value that was given no time.
    #[error("reading a claim: {kind} {name:?} is given no value")]
    Missing {
        /// Input, hash or output.
        kind: &'static str,
        /// The circuit's name.
        name: String,
    },
    /// A value that was given several times.
    #[error("reading a claim: {kind} {name:?} is given twice")]
    Twice {
        /// Input, hash or output.
        kind: &'static str,
        /// The circuit's name.
        name: String,
    },
    /// A tensor of another shape.
    #[error("reading a claim: the shape of {name:?} is {given:?}, the circuit takes {wanted:?}")]
    Shape {
        /// The circuit's name.
        name: String,
        /// As given.
        given: Vec<u32>,
        /// As the circuit has it.
        wanted: Vec<u32>,
    },
    /// A tensor that is none, or whose values are not in the circuit's range.
    #[error("reading a claim: {name:?}: {error}")]
    Tensor {
        /// The circuit's name.
        name: String,
        /// Why.
        error: TensorError,
    },
    /// An output that would have to be rounded. The proof would then be of another value than the caller's.
    #[error("reading a claim: element {index} of output {name:?} is not exact at {fraction_bits} fraction bits, the circuit's format")]
    Inexact {
        /// The circuit's name.
        name: String,
        /// Which element, row-major.
        index: usize,
        /// Of the circuit's format.
        fraction_bits: i32,
    },
    /// A hash that is no field element in its one form.
    #[error("reading a claim: hash {name:?} is not 32 bytes, big endian, of a number below the field's order")]
    Hash {
        /// The circuit's name.
        name: String,
    },
}

impl ClaimError {
    /// Its number in the table of errors.
    pub fn code(&self) -> ErrorCode {
        match self {
            ClaimError::Unknown { .. } | ClaimError::Missing { .. } | ClaimError::Twice { .. } => {
                ErrorCode::InstanceMismatch
            }
            ClaimError::Shape { .. } => ErrorCode::ShapeMismatch,
            ClaimError::Tensor {
                error: TensorError::OutOfRange { .. },
                ..
            } => ErrorCode::OutOfRange,
            ClaimError::Tensor { .. } | ClaimError::Inexact { .. } => ErrorCode::MalformedTensor,
            ClaimError::Hash { .. } => ErrorCode::MalformedHash,
        }
    }
}

/// The field elements of a claim, in the order in which the circuit's proofs take them.
pub fn instances(circuit: &Circuit, claim: &Claim) -> Result<Vec<Word>, ClaimError> {
    let mut slots: Vec<Option<Vec<Word>>> = circuit.values().iter().map(|_| None).collect();
    for input in claim.inputs {
        let index = find(circuit, kind(InstanceRole::Input), &input.name)?;
        fill(circuit, &mut slots, index, |value| tensor_words(value, input))?;
    }
    for hash in claim.hashes {
        let index = find(circuit, kind(InstanceRole::InputHash), &hash.name)?;
        fill(circuit, &mut slots, index, |value| hash_words(value, hash))?;
    }
    for output in claim.outputs {
        let index = find(circuit, kind(InstanceRole::Output), &output.name)?;
        fill(circuit, &mut slots, index, |value| {
            check_exact(value, output)?;
            tensor_words(value, output)
        })?;
    }
    let mut words = Vec::with_capacity(circuit.instance_count());
    for (value, slot) in circuit.values().iter().zip(slots) {
        words.extend(slot.ok_or_else(|| ClaimError::Missing {
            kind: kind(value.role),
            name: value.name.clone(),
        })?);
    }
    Ok(words)
}

/// The outputs of a claim as the circuit has them: its names, shapes and format, all of them in its order. One value can be
/// given in many ways, which all prove the same; who reads it must not depend on the prover's choice.
pub fn outputs(circuit: &Circuit, claim: &Claim) -> Result<Vec<Tensor>, ClaimError> {
    let mut slots: Vec<Option<Tensor>> = circuit.values().iter().map(|_| None).collect();
    for output in claim.outputs {
        let index = find(circuit, kind(InstanceRole::Output), &output.name)?;
        let (Some(value), Some(slot)) = (circuit.values().get(index), slots.get_mut(index)) else {
            continue; // `find` gives no other index
        };
        let integers = tensor_integers(value, output)?;
        let (name, shape) = (value.name.clone(), value.shape.clone());
        let bits = value.fraction_bits;
        *slot = Some(Tensor::from_integers(
            name, shape, bits, value.low, value.high, &integers,
        ));
    }
    Ok(slots.into_iter().flatten().collect())
}

/// The field element that stands for an integer: negative ones count down from the order.
pub fn element(integer: i32) -> Word {
    let magnitude = U256::from(integer.unsigned_abs());
    let element = if integer < 0 {
        U256::from_be_bytes(FIELD_ORDER).wrapping_sub(magnitude)
    } else {
        magnitude
    };
    element.to_be_bytes()
}

/// Which value of the circuit is meant. The name may be left out where there is just one of its kind.
fn find(circuit: &Circuit, wanted: &'static str, name: &str) -> Result<usize, ClaimError> {
    let candidates = || {
        let values = circuit.values().iter().enumerate();
        values.filter(|(_, value)| kind(value.role) == wanted)
    };
    let named = candidates().find(|(_, value)| value.name == name);
    let only = || {
        let mut all = candidates();
        all.next().filter(|_| name.is_empty() && all.next().is_none())
    };
    named.or_else(only).map(|(index, _)| index).ok_or_else(|| {
        let names: Vec<String> = candidates().map(|(_, value)| shown(&value.name)).collect();
        ClaimError::Unknown {
            kind: wanted,
            name: cut(name),
            has: if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            },
        }
    })
}

fn fill(
    circuit: &Circuit,
    slots: &mut [Option<Vec<Word>>],
    index: usize,
    words: impl FnOnce(&Value) -> Result<Vec<Word>, ClaimError>,
) -> Result<(), ClaimError> {
    let (Some(value), Some(slot)) = (circuit.values().get(index), slots.get_mut(index)) else {
        return Ok(()); // `find` gives no other index
    };
    if slot.is_some() {
        return Err(ClaimError::Twice {
            kind: kind(value.role),
            name: value.name.clone(),
        });
    }
    *slot = Some(words(value)?);
    Ok(())
}

fn tensor_words(value: &Value, given: &Tensor) -> Result<Vec<Word>, ClaimError> {
    Ok(tensor_integers(value, given)?.into_iter().map(element).collect())
}

fn tensor_integers(value: &Value, given: &Tensor) -> Result<Vec<i32>, ClaimError> {
    // The length of the data is checked before the shape, so that nothing larger than the request is made of it.
    given.validate().map_err(|error| tensor_error(value, error))?;
    if !tensor::same_shape(&given.shape, &value.shape) {
        return Err(ClaimError::Shape {
            name: value.name.clone(),
            given: given.shape.clone(),
            wanted: value.shape.clone(),
        });
    }
    let (integers, _) = given
        .quantize(value.fraction_bits, value.low, value.high, OutOfRange::Refuse)
        .map_err(|error| tensor_error(value, error))?;
    Ok(integers)
}

fn tensor_error(value: &Value, error: TensorError) -> ClaimError {
    ClaimError::Tensor {
        name: value.name.clone(),
        error,
    }
}

fn hash_words(value: &Value, hash: &InstanceHash) -> Result<Vec<Word>, ClaimError> {
    match Word::try_from(hash.value.as_slice()) {
        Ok(word) if word < FIELD_ORDER => Ok(vec![word]),
        _ => Err(ClaimError::Hash {
            name: value.name.clone(),
        }),
    }
}

/// Whether every element is a whole number of the circuit's units.
fn check_exact(value: &Value, given: &Tensor) -> Result<(), ClaimError> {
    const FIVES: i128 = 5i128.pow(18);
    let integers = given.integers().map_err(|error| tensor_error(value, error))?;
    let decimal = given.data_type == DataType::Decimal as i32;
    // A decimal is so many units of 2^-18 * 5^-18; any other value so many of 2^-fraction_bits.
    let given_bits = if decimal { 18 } else { given.fraction_bits };
    // At most 62 + 32 bits, as formats are checked.
    let dropped = (given_bits - value.fraction_bits).clamp(0, 126);
    let unit = 1i128 << dropped;
    let whole = |integer: i128| integer % unit == 0 && (!decimal || integer % FIVES == 0);
    match integers.into_iter().position(|integer| !whole(integer)) {
        None => Ok(()),
        Some(index) => Err(ClaimError::Inexact {
            name: value.name.clone(),
            index,
            fraction_bits: value.fraction_bits,
        }),
    }
}

fn shown(name: &str) -> String {
    format!("{:?}", cut(name))
}

/// A name as it is shown: not longer than any that is allowed.
fn cut(name: &str) -> String {
    name.chars().take(aiinference_types::limits::MAX_NAME_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_become_field_elements_that_add_up_to_nothing_with_their_opposites() {
        let order = U256::from_be_bytes(FIELD_ORDER);
        for integer in [1, 2, 63, 1 << 20, i32::MAX] {
            let (up, down) = (element(integer), element(-integer));
            assert_eq!(U256::from_be_bytes(up), U256::from(integer as u32));
            assert_eq!(U256::from_be_bytes(up) + U256::from_be_bytes(down), order);
        }
        assert_eq!(element(0), [0; 32]);
        assert_eq!(U256::from_be_bytes(element(i32::MIN)) + U256::from(1u64 << 31), order);
    }

    #[test]
    fn an_output_is_exact_where_no_bit_of_it_is_dropped() {
        let value = |fraction_bits| Value {
            name: "y".into(),
            role: InstanceRole::Output,
            shape: vec![1],
            fraction_bits,
            low: i32::MIN,
            high: i32::MAX,
            elements: 1,
        };
        let tensor = |data_type: DataType, integer: i128, fraction_bits| Tensor {
            data_type: data_type.into(),
            shape: vec![1],
            fraction_bits,
            data: integer.to_le_bytes()[..data_type.width()].to_vec(),
            ..Tensor::default()
        };
        let exact = |tensor: &Tensor, bits| check_exact(&value(bits), tensor).is_ok();
        let half = 500_000_000_000_000_000;
        assert!(exact(&tensor(DataType::Decimal, half, 0), 1));
        assert!(exact(&tensor(DataType::Decimal, -3 * half, 0), 40));
        assert!(!exact(&tensor(DataType::Decimal, half, 0), 0));
        assert!(!exact(&tensor(DataType::Decimal, half + 1, 0), 62));
        assert!(!exact(&tensor(DataType::Decimal, half / 5, 0), 62));
        assert!(exact(&tensor(DataType::Int32, -6, 3), 2));
        assert!(!exact(&tensor(DataType::Int32, -5, 3), 2));
        assert!(!exact(&tensor(DataType::Int64, 1 << 40, 62), -32));
        assert!(exact(&tensor(DataType::Int64, 0, 62), -32));
        assert!(exact(&tensor(DataType::Uint8, 255, -32), 62));
    }
}
