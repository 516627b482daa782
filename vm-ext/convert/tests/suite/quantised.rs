//! Models that onnxruntime's quantiser wrote, beside what onnxruntime answered (`tests/quantised/make.py`).

use std::path::Path;

use aiinference_convert::{as_integers, engine_limits, Converter, Dataset, NamedArray};
use aiinference_engine::graph::Graph;
use aiinference_engine::{Kernels, Program};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quantised");
    std::fs::read(folder.join(name)).unwrap()
}

fn arrays(name: &str) -> Dataset {
    Dataset::from_npz(&file(name)).unwrap()
}

fn as_x(array: &NamedArray) -> Dataset {
    let name = "x".into();
    super::common::data(vec![NamedArray { name, ..array.clone() }])
}

/// The only output of a graph with one input, for all samples.
fn answers(graph: Graph, x: &NamedArray) -> Vec<f64> {
    let (input, output) = (graph.inputs[0].clone(), graph.outputs[0].clone());
    let size: usize = input.shape.iter().map(|n| *n as usize).product();
    let program = Program::new(graph, &engine_limits()).unwrap();
    let answer = |sample: &[f64]| {
        let x = as_integers(sample, &input);
        program.run(&[&x], &Kernels::auto()).unwrap().remove(0)
    };
    let unit = (-f64::from(output.fraction_bits)).exp2();
    let all = x.values.chunks(size).flat_map(answer);
    all.map(|v| f64::from(v) * unit).collect()
}

/// What onnxruntime answered, one unit of it, and our answers.
fn beside(name: &str) -> (Vec<f64>, f64, Vec<f64>) {
    let digits = arrays("digits.npz");
    let calibration = as_x(digits.get("calibration").unwrap());
    let conversion = Converter::new(&file(&format!("{name}.onnx")), &calibration)
        .convert()
        .unwrap();
    let theirs = arrays(&format!("{name}.npz"));
    let ours = answers(conversion.graph, digits.get("x").unwrap());
    let theirs = |array: &str| theirs.get(array).unwrap().values.clone();
    (theirs("y"), theirs("unit")[0], ours)
}

#[test]
fn quantised_models_answer_what_onnxruntime_answers() {
    for name in [
        "classifier_qdq",
        "classifier_qdq_channels",
        "classifier_qoperator",
        "classifier_qoperator_channels",
        "image_qdq",
        "image_qdq_channels",
        "image_qoperator",
        "image_qoperator_channels",
        "means_qoperator",
        "means_qoperator_channels",
    ] {
        let (theirs, unit, ours) = beside(name);
        assert_eq!(theirs.len(), ours.len(), "{name}");
        let units = theirs.iter().zip(&ours).map(|(a, b)| ((a - b) / unit).round().abs());
        let units: Vec<f64> = units.collect();
        let equal = units.iter().filter(|u| **u == 0.0).count() as f64 / units.len() as f64;
        let apart = units.iter().fold(0.0, |a: f64, b| a.max(*b));
        assert!(equal >= 0.999 && apart <= 1.0, "{name}: {equal}, {apart} units apart");
    }
}

#[test]
fn models_quantised_while_they_run_are_close_to_what_onnxruntime_answers() {
    for name in ["classifier_dynamic", "image_dynamic"] {
        let (theirs, _, ours) = beside(name);
        let largest = theirs.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        let apart = theirs.iter().zip(&ours).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f64::max);
        // A step of the 8 bits that its operands are rounded to.
        assert!(apart < largest / 255.0, "{name}: {apart} of {largest}");
    }
}
