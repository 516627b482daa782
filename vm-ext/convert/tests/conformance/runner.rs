//! ONNX test cases: a model, the values it is given, and those it is to give.
//!
//! A model is converted, calibrated on the case's own inputs, and run in the engine. Its outputs are compared with those
//! of the case: integers and booleans exactly, reals to within [`UNIT`] plus [`PART`] of the output's largest magnitude.
//! Computed in doubles instead, reals are compared with the tolerance of ONNX's own runner (its absolute part by the scale
//! of the tensor). Inputs are left open; where the importer says that one must be known while converting (the shape of a
//! Reshape, the kernel of a Conv) that one is fixed to the case's value.

use std::collections::BTreeMap;
use std::error::Error;

use aiinference_convert::proto::{DataType, ModelProto, TensorProto, ValueInfoProto};
use aiinference_convert::{
    as_integers, engine_limits, ConvertError, Converter, Dataset, FloatModel, ImportOptions, NamedArray,
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
        let tensor = |v: &ValueInfoProto| v.r#type.as_ref().is_some_and(|t| t.tensor_type.is_some());
        if !graph.input.iter().chain(&graph.output).all(tensor) {
            return Err("a sequence or optional is given or wanted".into());
        }
        let stored: Vec<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
        let given = tensors(&self.inputs)?;
        let wanted = tensors(&self.outputs)?;
        if given
            .iter()
            .chain(&wanted)
            .any(|t| t.data_type == DataType::String as i32)
        {
            return Err("strings are given or wanted".into());
        }
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut options = ImportOptions::default();
        let inputs = graph.input.iter().filter(|i| !stored.contains(&i.name));
        for (info, t) in inputs.zip(&given) {
            let declared = info
                .r#type
                .as_ref()
                .and_then(|t| t.tensor_type.as_ref())
                .map_or(0, |t| t.elem_type);
            let (shape, elements) = as_declared(t, declared).numbers()?;
            options.shapes.insert(info.name.clone(), shape);
            values.insert(info.name.clone(), elements);
        }
        let wanted_types: Vec<i32> = graph.output.iter().map(declared).collect();
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
            Leg::Float => float.run(&open).into_iter().map(|o| (o.shape, o.values)).collect(),
            Leg::Integer => {
                let names = float.inputs().map(|(name, _)| name.to_string());
                integers(bytes, &options, &names.zip(open).collect())?
            }
        };
        if outputs.len() < wanted.len() {
            return Err(format!("{} outputs of {}", outputs.len(), wanted.len()).into());
        }
        for (((found, values), want), declared) in outputs.iter().zip(&wanted).zip(wanted_types) {
            let want = &as_declared(want, declared);
            let (shape, elements) = want.numbers()?;
            if *found != shape {
                return Err(format!("wrong shape: {found:?} instead of {shape:?}").into());
            }
            let exact = !is_real(want.data_type);
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

fn tensors(files: &[Vec<u8>]) -> Result<Vec<TensorProto>, Box<dyn Error>> {
    let tensors = files.iter().map(|bytes| TensorProto::decode(bytes.as_slice()));
    let tensors: Result<Vec<TensorProto>, _> = tensors.collect();
    tensors.map_err(|_| "a sequence or optional is given or wanted".into())
}

/// An output: its shape and elements.
type Output = (Vec<usize>, Vec<f64>);

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
    let graph = converter.convert()?.graph;
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
        (shape, values.iter().map(|v| f64::from(*v) * unit).collect())
    });
    Ok(outputs.collect())
}

/// Element type of a value.
fn declared(info: &ValueInfoProto) -> i32 {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    tensor.map_or(0, |t| t.elem_type)
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
