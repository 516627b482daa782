//! Element types and stored tensors.
//!
//! Every element becomes a double: exact for all floats and for integers up to 2^53. Larger ones are rounded, which
//! only sentinels ("to the end") are in models that an engine of 32-bit integers can run.

use super::proto::{DataType, SparseTensorProto, TensorProto};
use crate::expr::Narrow;

/// Most elements of a stored or computed constant.
pub const MAX_ELEMENTS: usize = 1 << 26;
/// Most axes of a value while importing. The engine takes fewer; operators that weave axes need some more on the way.
pub const MAX_RANK: usize = 32;

impl DataType {
    /// Name as ONNX writes it.
    pub fn label(self) -> String {
        format!("{self:?}").to_uppercase()
    }

    /// Whether elements are reals.
    pub fn is_float(self) -> bool {
        matches!(self, DataType::Float | DataType::Double) || self.narrow().is_some()
    }

    /// Whether elements are strings.
    pub fn is_text(self) -> bool {
        self == DataType::String
    }

    /// Least and largest value of an integer type; booleans are 0 and 1.
    pub fn limits(self) -> Option<(f64, f64)> {
        Some(match self {
            DataType::Bool => (0.0, 1.0),
            DataType::Uint4 => (0.0, 15.0),
            DataType::Int4 => (-8.0, 7.0),
            DataType::Uint8 => (0.0, 255.0),
            DataType::Int8 => (-128.0, 127.0),
            DataType::Uint16 => (0.0, 65535.0),
            DataType::Int16 => (-32768.0, 32767.0),
            DataType::Uint32 => (0.0, 4294967295.0),
            DataType::Int32 => (-2147483648.0, 2147483647.0),
            DataType::Uint64 => (0.0, u64::MAX as f64),
            DataType::Int64 => (i64::MIN as f64, i64::MAX as f64),
            _ => return None,
        })
    }

    /// The grid of a float type coarser than f32.
    pub fn narrow(self) -> Option<Narrow> {
        Some(match self {
            DataType::Float16 => Narrow::F16,
            DataType::Bfloat16 => Narrow::Bf16,
            DataType::Float8e4m3fn => Narrow::E4M3,
            DataType::Float8e4m3fnuz => Narrow::E4M3Z,
            DataType::Float8e5m2 => Narrow::E5M2,
            DataType::Float8e5m2fnuz => Narrow::E5M2Z,
            _ => return None,
        })
    }

    /// The type of a number, as stored in files.
    pub fn from_code(code: i64) -> Option<DataType> {
        i32::try_from(code).ok().and_then(|c| DataType::try_from(c).ok())
    }
}

impl TensorProto {
    /// Shape and elements, where they are numbers; the error says what is wrong.
    pub fn numbers(&self) -> Result<(Vec<usize>, Vec<f64>), String> {
        decode(self).map(|(shape, values, _)| (shape, values))
    }
}

/// The shape of a stored tensor; the error says what is wrong with it.
fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    let extents: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let extents = extents.ok_or_else(|| format!("its shape {dims:?} is impossible"))?;
    if extents.len() > MAX_RANK {
        return Err(format!("a tensor has {} axes, more than {MAX_RANK}", extents.len()));
    }
    count(&extents).ok_or_else(|| format!("a tensor of shape {dims:?} has more than {MAX_ELEMENTS} elements"))?;
    Ok(extents)
}

/// Number of elements of a shape, unless there are too many of them or of axes. Extents of 0 excuse no large ones beside
/// them.
pub fn count(shape: &[usize]) -> Option<usize> {
    if shape.len() > MAX_RANK {
        return None;
    }
    let product = shape.iter().try_fold(1usize, |n, e| n.checked_mul((*e).max(1)));
    let product = product.filter(|n| *n <= MAX_ELEMENTS)?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// Shape and strings of a stored tensor; the error says what is wrong with it.
pub fn text(t: &TensorProto) -> Result<(Vec<usize>, Vec<String>), String> {
    let shape = shape(&t.dims)?;
    if count(&shape) != Some(t.string_data.len()) {
        return Err(format!(
            "{} strings are stored for the shape {shape:?}",
            t.string_data.len()
        ));
    }
    let strings = t.string_data.iter();
    Ok((
        shape,
        strings.map(|s| String::from_utf8_lossy(s).into_owned()).collect(),
    ))
}

/// Shape and elements of a stored tensor of numbers.
pub fn decode(t: &TensorProto) -> Result<(Vec<usize>, Vec<f64>, DataType), String> {
    let data_type = DataType::try_from(t.data_type).unwrap_or(DataType::Undefined);
    let shape = shape(&t.dims)?;
    if t.data_location == 1 || !t.external_data.is_empty() {
        return Err(
            "its elements are in another file: save the model as one file (onnx.save with save_as_external_data=False)"
                .into(),
        );
    }
    let size = count(&shape).unwrap_or(0);
    let mut values = elements(t, data_type)?;
    if matches!(data_type, DataType::Uint4 | DataType::Int4) {
        values.truncate(size);
    }
    if values.len() != size {
        return Err(format!(
            "{} elements are stored for the shape {:?}",
            values.len(),
            t.dims
        ));
    }
    Ok((shape, values, data_type))
}

fn elements(t: &TensorProto, data_type: DataType) -> Result<Vec<f64>, String> {
    fn raw<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let chunks = bytes.chunks_exact(N);
        chunks.map(|c| f(c.try_into().unwrap_or([0; N]))).collect()
    }
    let bytes = t.raw_data.as_slice();
    let has_raw = !bytes.is_empty();
    let small = || t.int32_data.iter().map(|i| f64::from(*i)).collect();
    // 16-bit and 8-bit floats are stored as the integers that their bits are.
    let floats = |narrow: Narrow, width: usize| -> Vec<f64> {
        if !has_raw {
            t.int32_data.iter().map(|bits| narrow.decode(*bits as u16)).collect()
        } else if width == 1 {
            raw::<1>(bytes, |b| narrow.decode(b[0].into()))
        } else {
            raw(bytes, |b| narrow.decode(u16::from_le_bytes(b)))
        }
    };
    let nibbles = |signed: bool| -> Vec<f64> {
        let pair = |b: u8| [b & 15, b >> 4];
        let value = |n: u8| f64::from(n) - if signed && n > 7 { 16.0 } else { 0.0 };
        let stored: Vec<u8> = if has_raw {
            bytes.to_vec()
        } else {
            t.int32_data.iter().map(|i| *i as u8).collect()
        };
        stored.into_iter().flat_map(pair).map(value).collect()
    };
    Ok(match data_type {
        DataType::Float if has_raw => raw(bytes, |b| f64::from(f32::from_le_bytes(b))),
        DataType::Float => t.float_data.iter().map(|f| f64::from(*f)).collect(),
        DataType::Double if has_raw => raw(bytes, f64::from_le_bytes),
        DataType::Double => t.double_data.clone(),
        DataType::Int64 if has_raw => raw(bytes, |b| i64::from_le_bytes(b) as f64),
        DataType::Int64 => t.int64_data.iter().map(|i| *i as f64).collect(),
        DataType::Uint64 if has_raw => raw(bytes, |b| u64::from_le_bytes(b) as f64),
        DataType::Uint32 if has_raw => raw(bytes, |b| f64::from(u32::from_le_bytes(b))),
        DataType::Uint64 | DataType::Uint32 => t.uint64_data.iter().map(|i| *i as f64).collect(),
        DataType::Int32 if has_raw => raw(bytes, |b| f64::from(i32::from_le_bytes(b))),
        DataType::Int16 if has_raw => raw(bytes, |b| f64::from(i16::from_le_bytes(b))),
        DataType::Uint16 if has_raw => raw(bytes, |b| f64::from(u16::from_le_bytes(b))),
        DataType::Int8 if has_raw => raw::<1>(bytes, |b| f64::from(b[0] as i8)),
        DataType::Uint8 | DataType::Bool if has_raw => raw::<1>(bytes, |b| f64::from(b[0])),
        DataType::Int32 | DataType::Int16 | DataType::Uint16 | DataType::Int8 | DataType::Uint8 | DataType::Bool => {
            small()
        }
        DataType::Float16 => floats(Narrow::F16, 2),
        DataType::Bfloat16 => floats(Narrow::Bf16, 2),
        DataType::Float8e4m3fn => floats(Narrow::E4M3, 1),
        DataType::Float8e4m3fnuz => floats(Narrow::E4M3Z, 1),
        DataType::Float8e5m2 => floats(Narrow::E5M2, 1),
        DataType::Float8e5m2fnuz => floats(Narrow::E5M2Z, 1),
        DataType::Uint4 => nibbles(false),
        DataType::Int4 => nibbles(true),
        DataType::String | DataType::Complex64 | DataType::Complex128 | DataType::Undefined => {
            return Err(format!("its elements are {}", data_type.label()));
        }
    })
}

/// A sparse tensor written out.
pub fn dense(t: &SparseTensorProto) -> Result<(Vec<usize>, Vec<f64>, DataType), String> {
    let (Some(values), Some(indices)) = (&t.values, &t.indices) else {
        return Err("its values or indices are missing".into());
    };
    let shape = shape(&t.dims)?;
    let (_, values, data_type) = decode(values)?;
    let (_, indices, _) = decode(indices)?;
    let mut out = vec![0.0; count(&shape).unwrap_or(0)];
    let rank = if indices.len() == values.len() {
        1
    } else {
        shape.len().max(1)
    };
    if indices.len() != values.len() * rank {
        return Err("its values and indices differ in number".into());
    }
    // An index is flat, or one number per axis.
    let extents = if rank == 1 { &[out.len()][..] } else { &shape };
    let within = |i: f64, extent: usize| i >= 0.0 && i < extent as f64 && i == libm::trunc(i);
    for (value, index) in values.into_iter().zip(indices.chunks(rank)) {
        let flat = index.iter().zip(extents).try_fold(0, |at, (i, extent)| {
            within(*i, *extent).then_some(at * extent + *i as usize)
        });
        match flat.and_then(|flat| out.get_mut(flat)) {
            Some(place) => *place = value,
            None => return Err("an index is out of bounds".into()),
        }
    }
    Ok((shape, out, data_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_raw_elements_are_read_alike() {
        let plain = TensorProto {
            dims: vec![2],
            data_type: DataType::Float16 as i32,
            int32_data: vec![0x3c00, 0xc200],
            ..Default::default()
        };
        let raw = TensorProto {
            int32_data: vec![],
            raw_data: vec![0x00, 0x3c, 0x00, 0xc2],
            ..plain.clone()
        };
        assert_eq!(decode(&plain).unwrap().1, [1.0, -3.0]);
        assert_eq!(decode(&raw).unwrap().1, [1.0, -3.0]);
        let nibbles = TensorProto {
            dims: vec![3],
            data_type: DataType::Int4 as i32,
            raw_data: vec![0x7f, 0x08],
            ..Default::default()
        };
        assert_eq!(decode(&nibbles).unwrap().1, [-1.0, 7.0, -8.0]);
    }

    #[test]
    fn shapes_that_lie_are_refused() {
        let t = |dims: &[i64]| TensorProto {
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            float_data: vec![1.0],
            ..Default::default()
        };
        assert!(decode(&t(&[2])).is_err());
        assert!(decode(&t(&[-1])).is_err());
        assert!(decode(&t(&[i64::MAX, i64::MAX])).is_err());
        assert_eq!(decode(&t(&[])).unwrap().0, [0usize; 0]);
    }
}
