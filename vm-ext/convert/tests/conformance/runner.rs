//! ONNX test cases: a model, the values it is given, and those it is to give.
//!
//! A model is converted, calibrated on the case's own inputs, and run in the engine. Its outputs are compared with those
//! of the case: integers and booleans exactly, reals to within [`UNIT`] plus [`PART`] of the output's largest magnitude.
//! Computed in doubles instead, reals are compared with the tolerance of ONNX's own runner (its absolute part by the scale
//! of the tensor). Inputs are left open; where the importer says that one must be known while converting (the shape of a
//! Reshape, the kernel of a Conv) that one is fixed to the case's value. Elements of a sequence are inputs and outputs by
//! themselves, as in the converter; an optional that is not given, and a sequence without elements, are fixed to nothing.
//! An output without elements is what the conversion says of it.

use std::collections::BTreeMap;
use std::error::Error;

use aiinference_convert::proto::{ContainerTypeProto, DataType, ModelProto, TensorProto, ValueInfoProto};
use aiinference_convert::{
    as_integers, engine_limits, ConvertError, Converter, Dataset, EmptyOutput, FloatModel, ImportOptions, NamedArray,
};
use aiinference_engine::{Kernels, Program};
use prost::Message;

/// As in ONNX's backend test runner.
const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

/// What integers may add to an output of reals: absolutely, and as a part of its largest magnitude.
const UNIT: f64 = 1e-3;
const PART: f64 = 2e-3;

/// A case: the files `model.onnx` and `test_data_set_0/{input,output}_N.pb`.
pub struct Case {
    pub name: String,
    pub model: Vec<u8>,
    pub inputs: Vec<Vec<u8>>,
    pub outputs: Vec<Vec<u8>>,
}

/// How a case went.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Right, with at least one operation left to run.
    Right,
    /// Right, everything computed while importing.
    Constant,
    /// Not run, or wrong.
    Failed(String),
}

/// How a model is computed.
#[derive(Clone, Copy, PartialEq)]
pub enum Leg {
    /// In doubles.
    Float,
    /// In integers, by the engine.
    Integer,
}

impl Case {
    /// By what gives a file's bytes, where it is there.
    pub fn read(name: &str, mut file: impl FnMut(&str) -> Option<Vec<u8>>) -> Option<Case> {
        let model = file("model.onnx")?;
        let mut list = |stem: &str| {
            let mut list = vec![];
            while let Some(bytes) = file(&format!("test_data_set_0/{stem}_{}.pb", list.len())) {
                list.push(bytes);
            }
            list
        };
        let (inputs, outputs) = (list("input"), list("output"));
        Some(Case {
            name: name.into(),
            model,
            inputs,
            outputs,
        })
    }

    /// Runs it.
    pub fn check(&self, leg: Leg) -> Verdict {
        self.run(leg).unwrap_or_else(|e| Verdict::Failed(e.to_string()))
    }

    fn run(&self, leg: Leg) -> Result<Verdict, Box<dyn Error>> {
        let bytes = self.model.as_slice();
        let model = ModelProto::decode(bytes)?;
        let graph = model.graph.as_ref().ok_or("no graph")?;
        let stored: Vec<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
        let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(|i| !stored.contains(&i.name)).collect();
        let outputs: Vec<&ValueInfoProto> = graph.output.iter().collect();
        let given = held(&inputs, &self.inputs)?;
        let wanted: Vec<Named> = held(&outputs, &self.outputs)?
            .into_iter()
            .flat_map(|h| h.tensors)
            .collect();
        let text = |t: &Named| t.tensor.data_type == DataType::String as i32;
        if given.iter().flat_map(|h| &h.tensors).chain(&wanted).any(text) {
            return Err("strings are given or wanted".into());
        }
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut options = ImportOptions::default();
        for held in &given {
            if held.tensors.is_empty() {
                options.fixed.insert(held.name.clone(), vec![]);
            }
            for t in &held.tensors {
                let (shape, elements) = t.tensor.numbers()?;
                options.shapes.insert(t.name.clone(), shape);
                values.insert(t.name.clone(), elements);
            }
        }
        let float = loop {
            match FloatModel::read(bytes, &options) {
                Err(ConvertError::Unknown { input: Some(input), .. }) if !options.fixed.contains_key(&input) => {
                    let value = values.get(&input).cloned().unwrap_or_default();
                    options.fixed.insert(input, value);
                }
                other => break other?,
            }
        };
        let open: Vec<Vec<f64>> = float
            .inputs()
            .map(|(name, _)| values.get(name).cloned().unwrap_or_default())
            .collect();
        let outputs: Vec<Output> = match leg {
            Leg::Float => {
                let outputs = float.run(&open).into_iter();
                outputs.map(|o| (o.name, o.shape, o.values)).collect()
            }
            Leg::Integer => {
                let names = float.inputs().map(|(name, _)| name.to_string());
                integers(bytes, &options, &names.zip(open).collect())?
            }
        };
        if outputs.len() != wanted.len() {
            return Err(format!("{} outputs of {}", outputs.len(), wanted.len()).into());
        }
        for want in &wanted {
            let found = outputs.iter().find(|(name, ..)| *name == want.name);
            let Some((_, found, values)) = found else {
                return Err(format!("no output {:?}", want.name).into());
            };
            let (shape, elements) = want.tensor.numbers()?;
            if *found != shape {
                return Err(format!("wrong shape: {found:?} instead of {shape:?}").into());
            }
            let exact = !is_real(want.tensor.data_type);
            let finite = elements.iter().filter(|v| v.is_finite());
            let largest = finite.fold(0.0f64, |largest, v| largest.max(v.abs()));
            for (got, want) in values.iter().zip(&elements) {
                let limit = if exact {
                    0.0
                } else if leg == Leg::Integer {
                    UNIT + PART * largest
                } else {
                    ABSOLUTE * largest.max(1.0) + RELATIVE * want.abs()
                };
                let same = got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= limit;
                if !same {
                    return Err(format!("wrong values: {got} instead of {want}").into());
                }
            }
        }
        Ok(if float.operations() == 0 {
            Verdict::Constant
        } else {
            Verdict::Right
        })
    }
}

/// A file of a sequence: of `onnx.proto`, what cases hold.
#[derive(Clone, PartialEq, prost::Message)]
struct SequenceProto {
    #[prost(message, repeated, tag = "3")]
    tensor_values: Vec<TensorProto>,
}

/// A file of an optional; it holds nothing where both are missing.
#[derive(Clone, PartialEq, prost::Message)]
struct OptionalProto {
    #[prost(message, optional, tag = "3")]
    tensor_value: Option<TensorProto>,
    #[prost(message, optional, tag = "5")]
    sequence_value: Option<SequenceProto>,
}

/// A tensor under the name that the converter has for it.
struct Named {
    name: String,
    tensor: TensorProto,
}

/// What a value of the graph is in a case.
struct Held {
    name: String,
    tensors: Vec<Named>,
}

/// Reads the files of a case by the types that the graph declares.
fn held(infos: &[&ValueInfoProto], files: &[Vec<u8>]) -> Result<Vec<Held>, Box<dyn Error>> {
    let mut all = vec![];
    for (info, file) in infos.iter().zip(files) {
        let of = |held: &Option<Box<ContainerTypeProto>>| held.as_ref().and_then(|t| t.elem_type.as_deref().cloned());
        let declared = info.r#type.clone().unwrap_or_default();
        let file = file.as_slice();
        let single = of(&declared.optional_type);
        let inner = of(&single.as_ref().unwrap_or(&declared).sequence_type);
        let (list, single_tensor) = match (&single, &inner) {
            (None, None) => (vec![TensorProto::decode(file)?], true),
            (None, Some(_)) => (SequenceProto::decode(file)?.tensor_values, false),
            (Some(_), None) => (OptionalProto::decode(file)?.tensor_value.into_iter().collect(), true),
            (Some(_), Some(_)) => {
                let sequence = OptionalProto::decode(file)?.sequence_value;
                (sequence.unwrap_or_default().tensor_values, false)
            }
        };
        let of_elements = inner.or(single).unwrap_or(declared).tensor_type;
        let elem_type = of_elements.map_or(0, |t| t.elem_type);
        let named = |(i, t): (usize, &TensorProto)| Named {
            name: if single_tensor {
                info.name.clone()
            } else {
                format!("{}.{i}", info.name)
            },
            tensor: as_declared(t, elem_type),
        };
        all.push(Held {
            name: info.name.clone(),
            tensors: list.iter().enumerate().map(named).collect(),
        });
    }
    Ok(all)
}

/// An output: its name, shape and elements.
type Output = (String, Vec<usize>, Vec<f64>);

/// Converts a model and runs it in the engine.
fn integers(
    bytes: &[u8],
    options: &ImportOptions,
    inputs: &BTreeMap<String, Vec<f64>>,
) -> Result<Vec<Output>, Box<dyn Error>> {
    let arrays = inputs.iter().map(|(name, values)| {
        let mut shape = options.shapes.get(name).cloned().unwrap_or_default();
        shape.insert(0, 1);
        NamedArray {
            name: name.clone(),
            shape,
            values: values.clone(),
        }
    });
    let data = Dataset {
        arrays: arrays.collect(),
        tabular: false,
    };
    let mut converter = Converter::new(bytes, &data);
    for (name, shape) in &options.shapes {
        converter = converter.shape(name, shape.clone());
    }
    for (name, values) in &options.fixed {
        converter = converter.fix(name, values.clone());
    }
    let absent = |list: Vec<EmptyOutput>| list.into_iter().map(|o| (o.name, o.shape, vec![]));
    let (graph, empty) = match converter.convert() {
        Ok(conversion) => (conversion.graph, conversion.report.empty_outputs),
        Err(ConvertError::Empty { outputs }) => return Ok(absent(outputs).collect()),
        Err(e) => return Err(e.into()),
    };
    let program = Program::new(graph.clone(), &engine_limits()).map_err(|e| e.to_string())?;
    let quantised: Vec<Vec<i32>> = graph
        .inputs
        .iter()
        .map(|input| as_integers(inputs.get(&input.name).map_or(&[], Vec::as_slice), input))
        .collect();
    let slices: Vec<&[i32]> = quantised.iter().map(Vec::as_slice).collect();
    let results = program.run(&slices, &Kernels::auto()).map_err(|e| e.to_string())?;
    let outputs = results.iter().zip(program.outputs()).map(|(values, info)| {
        let unit = (-f64::from(info.fraction_bits)).exp2();
        let shape = info.shape.iter().map(|e| *e as usize).collect();
        (
            info.name.clone(),
            shape,
            values.iter().map(|v| f64::from(*v) * unit).collect(),
        )
    });
    Ok(outputs.chain(absent(empty)).collect())
}

/// Some files hold the bits of bfloat16 numbers as integers.
fn as_declared(t: &TensorProto, declared: i32) -> TensorProto {
    let mut t = t.clone();
    if t.data_type == DataType::Uint16 as i32 && declared == DataType::Bfloat16 as i32 {
        t.data_type = declared;
    }
    t
}

fn is_real(data_type: i32) -> bool {
    matches!(
        DataType::try_from(data_type),
        Ok(DataType::Float
            | DataType::Double
            | DataType::Float16
            | DataType::Bfloat16
            | DataType::Float8e4m3fn
            | DataType::Float8e4m3fnuz
            | DataType::Float8e5m2
            | DataType::Float8e5m2fnuz)
    )
}
