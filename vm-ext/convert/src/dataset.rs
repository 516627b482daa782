//! Calibration data: named arrays whose first axis counts samples, from .npz or CSV.

use std::io::{Cursor, Read};

use crate::error::{ConvertError, Result};

/// Numbers with a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    /// Name.
    pub name: String,
    /// Extents; the first counts samples.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub values: Vec<f64>,
}

/// Named arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// In the order of the file.
    pub arrays: Vec<NamedArray>,
    /// Whether the arrays are the columns of a table, one number a sample.
    pub tabular: bool,
}

fn fail<T>(array: Option<&str>, reason: impl Into<String>) -> Result<T> {
    Err(ConvertError::Data {
        array: array.map(String::from),
        reason: reason.into(),
    })
}

/// Unpacked bytes of one array at most: files come from outside.
const MAX_ARRAY_BYTES: u64 = 4 << 30;

impl Dataset {
    /// Reads NumPy's .npz (stored or deflated) with arrays of floats, integers or booleans.
    pub fn from_npz(bytes: &[u8]) -> Result<Self> {
        let mut archive = match zip::ZipArchive::new(Cursor::new(bytes)) {
            Ok(archive) => archive,
            Err(e) => return fail(None, format!("this is no .npz file: {e}")),
        };
        let mut arrays = Vec::new();
        for i in 0..archive.len() {
            let mut file = match archive.by_index(i) {
                Ok(file) => file,
                Err(e) => return fail(None, e.to_string()),
            };
            let name = file.name().trim_end_matches(".npy").to_string();
            let mut content = Vec::new();
            if let Err(e) = file.by_ref().take(MAX_ARRAY_BYTES).read_to_end(&mut content) {
                return fail(Some(&name), e.to_string());
            }
            arrays.push(npy(&name, &content)?);
        }
        Ok(Dataset { arrays, tabular: false })
    }

    /// Reads a CSV file with a header row; every column becomes an array of one number a sample.
    pub fn from_csv(bytes: &[u8]) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = match reader.headers() {
            Ok(header) => header.clone(),
            Err(e) => return fail(None, e.to_string()),
        };
        let mut arrays: Vec<NamedArray> = header
            .iter()
            .map(|name| NamedArray {
                name: name.to_string(),
                shape: vec![],
                values: vec![],
            })
            .collect();
        for (row, record) in reader.records().enumerate() {
            let record = match record {
                Ok(record) => record,
                Err(e) => return fail(None, e.to_string()),
            };
            for (array, cell) in arrays.iter_mut().zip(record.iter()) {
                match cell.parse::<f64>() {
                    Ok(value) if value.is_finite() => array.values.push(value),
                    _ => {
                        let reason = format!("row {}: {cell:?} is no finite number", row + 2);
                        return fail(Some(&array.name.clone()), reason);
                    }
                }
            }
        }
        for array in &mut arrays {
            array.shape = vec![array.values.len()];
        }
        Ok(Dataset { arrays, tabular: true })
    }

    /// An array by its name.
    pub fn get(&self, name: &str) -> Option<&NamedArray> {
        self.arrays.iter().find(|a| a.name == name)
    }

    /// The names, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.arrays.iter().map(|a| a.name.as_str()).collect();
        names.join(", ")
    }
}

/// One array of NumPy's .npy format.
fn npy(name: &str, bytes: &[u8]) -> Result<NamedArray> {
    let file = match npyz::NpyFile::new(bytes) {
        Ok(file) => file,
        Err(e) => return fail(Some(name), e.to_string()),
    };
    let shape: Vec<usize> = file.shape().iter().map(|d| *d as usize).collect();
    let order = file.order();
    let npyz::DType::Plain(kind) = file.dtype() else {
        return fail(Some(name), "records are not supported");
    };
    macro_rules! read {
        ($($type:ty),*) => {$(
            if let Ok(reader) = npyz::NpyFile::new(bytes).map_err(|_| ()).and_then(|f| f.data::<$type>().map_err(|_| ())) {
                let values: std::io::Result<Vec<f64>> = reader.map(|v| v.map(|v| v as f64)).collect();
                return match values {
                    Ok(values) => arranged(name, shape, order, values),
                    Err(e) => fail(Some(name), e.to_string()),
                };
            }
        )*};
    }
    read!(f32, f64, i64, i32, u8, i16, i8, u16, u32, u64);
    if let Ok(reader) = file.data::<bool>() {
        let values: std::io::Result<Vec<f64>> = reader.map(|v| v.map(|v| f64::from(u8::from(v)))).collect();
        return match values {
            Ok(values) => arranged(name, shape, order, values),
            Err(e) => fail(Some(name), e.to_string()),
        };
    }
    fail(
        Some(name),
        format!("elements of type {kind} are not supported: save floats, integers or booleans"),
    )
}

fn arranged(name: &str, shape: Vec<usize>, order: npyz::Order, values: Vec<f64>) -> Result<NamedArray> {
    let values = match order {
        npyz::Order::C => values,
        npyz::Order::Fortran => {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            crate::eval::transpose(&values, &reversed, &axes)
        }
    };
    Ok(NamedArray {
        name: name.to_string(),
        shape,
        values,
    })
}
