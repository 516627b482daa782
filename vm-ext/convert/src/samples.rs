//! Matching calibration data with a model's inputs.

use aiinference_engine::graph::Input;

use crate::dataset::{Dataset, NamedArray};
use crate::error::{ConvertError, Result};
use crate::onnx::proto::DataType;
use crate::onnx::OnnxInput;
use crate::quantise::scale::quantise;

/// Calibration data cut into samples.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Per sample, per input: the elements, as the model's element type holds them.
    pub inputs: Vec<Vec<Vec<f64>>>,
    /// Per sample, if given.
    pub labels: Option<Vec<f64>>,
}

impl Samples {
    /// At most `most` places of samples, spread evenly over all.
    pub fn spread(&self, most: usize) -> Vec<usize> {
        let total = self.inputs.len();
        let count = most.clamp(1, total.max(1)).min(total);
        (0..count).map(|i| i * total / count).collect()
    }
}

/// Elements of an input as the integer model takes them: rounded by the project's one rule, and saturated to the input's limits. NaN is its
/// least.
pub fn as_integers(values: &[f64], input: &Input) -> Vec<i32> {
    let one = |v: &f64| quantise(*v, input.fraction_bits).max(input.low).min(input.high);
    values.iter().map(one).collect()
}

/// A sample as the integer model takes it.
pub fn integers(sample: &[Vec<f64>], inputs: &[Input]) -> Vec<Vec<i32>> {
    let pairs = sample.iter().zip(inputs);
    pairs.map(|(x, input)| as_integers(x, input)).collect()
}

fn fail<T>(reason: String) -> Result<T> {
    Err(ConvertError::Calibration { reason })
}

/// Cuts a dataset into samples; `labels` names the array that is none of the inputs but the truth.
pub fn cut(data: &Dataset, inputs: &[OnnxInput], labels: Option<&str>) -> Result<Samples> {
    let labels = match labels {
        None => None,
        Some(name) => match data.get(name) {
            Some(array) => Some((name, array)),
            None => {
                return fail(format!(
                    "there is no array {name:?} of labels; the data holds {}",
                    data.names()
                ))
            }
        },
    };
    let columns;
    let data = match table(data, inputs, labels.map(|l| l.0))? {
        Some(joined) => {
            columns = joined;
            &columns
        }
        None => data,
    };
    let mut count = None;
    let mut arrays = Vec::new();
    for input in inputs {
        let Some(array) = data.get(&input.name) else {
            let wanted: Vec<String> = inputs.iter().map(|i| format!("{:?} {:?}", i.name, i.shape)).collect();
            return fail(format!(
                "there is no array for input {:?}; the data holds {}, the model takes {}",
                input.name,
                data.names(),
                wanted.join(", ")
            ));
        };
        let size: usize = input.shape.iter().product();
        let rest = array.shape.get(1..).unwrap_or_default();
        let batched = input.shape.first() == Some(&1) && rest == &input.shape[1..];
        if array.shape.is_empty() || !(batched || rest == input.shape) {
            return fail(format!(
                "the array {:?} has shape {:?}; the model takes {:?} per sample: give one more axis in front, or in place of a batch axis of 1",
                input.name, array.shape, input.shape
            ));
        }
        let n = array.shape[0];
        if *count.get_or_insert(n) != n {
            return fail(format!(
                "{:?} has {n} samples, another array {}",
                input.name,
                count.unwrap_or(0)
            ));
        }
        arrays.push((array, size, input.data_type));
    }
    let count = count.unwrap_or(1);
    if count == 0 {
        return fail("the arrays hold no samples; give some that are typical of what the model will meet".into());
    }
    let sample = |i: usize| {
        let one = |(array, size, data_type): &(&NamedArray, usize, DataType)| {
            let values = array.values[i * size..(i + 1) * size].iter();
            values.map(|v| as_type(*v, *data_type)).collect()
        };
        arrays.iter().map(one).collect()
    };
    let samples: Vec<Vec<Vec<f64>>> = (0..count).map(sample).collect();
    for (i, sample) in samples.iter().enumerate() {
        if let Some(p) = sample.iter().position(|values| values.iter().any(|v| !v.is_finite())) {
            return fail(format!(
                "sample {i} of {:?} holds NaN or an infinity; leave such samples out, or replace missing values before the model",
                inputs[p].name
            ));
        }
    }
    let labels = match labels {
        None => None,
        Some((name, array)) if array.values.len() == count => {
            if array.values.iter().any(|v| !v.is_finite()) {
                return fail(format!("the labels {name:?} hold NaN or an infinity"));
            }
            Some(array.values.clone())
        }
        Some((name, array)) => {
            return fail(format!(
                "the labels {name:?} have shape {:?}; give one number for each of the {count} samples",
                array.shape
            ));
        }
    };
    Ok(Samples {
        inputs: samples,
        labels,
    })
}

/// Columns of a table as the model's inputs: those of the inputs' names, or all together as the only input.
fn table(data: &Dataset, inputs: &[OnnxInput], labels: Option<&str>) -> Result<Option<Dataset>> {
    if !data.tabular {
        return Ok(None);
    }
    let count = data.arrays.first().map_or(0, |a| a.values.len());
    let features: Vec<&NamedArray> = data.arrays.iter().filter(|a| Some(a.name.as_str()) != labels).collect();
    let named = inputs
        .iter()
        .all(|i| data.get(&i.name).is_some() && i.shape.iter().product::<usize>() == 1);
    let arrays = if named {
        inputs
            .iter()
            .filter_map(|input| {
                let column = data.get(&input.name)?;
                let mut shape = input.shape.clone();
                shape.insert(0, count);
                Some(NamedArray {
                    name: input.name.clone(),
                    shape,
                    values: column.values.clone(),
                })
            })
            .collect()
    } else if let [input] = inputs {
        let size: usize = input.shape.iter().product();
        if features.len() != size {
            return fail(format!(
                "the table has {} columns beside the labels, input {:?} takes {size} numbers; name the labels' column, or drop columns",
                features.len(),
                input.name
            ));
        }
        let values = (0..count)
            .flat_map(|i| features.iter().map(move |f| f.values[i]))
            .collect();
        let mut shape = input.shape.clone();
        shape.insert(0, count);
        vec![NamedArray {
            name: input.name.clone(),
            shape,
            values,
        }]
    } else {
        return fail(
            "a table serves models with one input, or inputs of one number each named as its columns; give an .npz"
                .into(),
        );
    };
    let mut joined = Dataset { arrays, tabular: false };
    if let Some(labels) = labels.and_then(|l| data.get(l)) {
        joined.arrays.push(labels.clone());
    }
    Ok(Some(joined))
}

/// A number as the element type holds it.
fn as_type(v: f64, data_type: DataType) -> f64 {
    match data_type {
        DataType::Float => f64::from(v as f32),
        DataType::Double | DataType::Float16 | DataType::Bfloat16 => v,
        _ => libm::trunc(v),
    }
}
