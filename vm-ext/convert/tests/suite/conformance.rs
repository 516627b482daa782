//! Small cases of our own, answered by ONNX's reference implementation (`tests/conformance/cases.py` writes them). What
//! ONNX brings is run by `make conformance`.

#[path = "../conformance/runner.rs"]
mod runner;

use std::io::{Cursor, Read};

use aiinference_convert::proto::{DataType, TensorProto};
use prost::Message;
use runner::{Case, Leg, Verdict};
use zip::ZipArchive;

use crate::common::Builder;

/// The cases in a zip file of their folders, by name.
fn cases() -> Vec<Case> {
    let bytes = include_bytes!("../conformance/cases.zip");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let names = archive.file_names().filter_map(|n| n.strip_suffix("/model.onnx"));
    let mut names: Vec<String> = names.map(String::from).collect();
    names.sort();
    let case = |name: &String| {
        let file = |path: &str| {
            let mut bytes = vec![];
            let mut file = archive.by_name(&format!("{name}/{path}")).ok()?;
            file.read_to_end(&mut bytes).unwrap();
            Some(bytes)
        };
        Case::read(name, file).unwrap()
    };
    names.iter().map(case).collect()
}

/// Cases that failed, with reasons.
fn failed(leg: Leg) -> Vec<String> {
    let cases = cases();
    assert!(cases.len() >= 87, "only {} cases", cases.len());
    let failure = |case: &Case| match case.check(leg) {
        Verdict::Failed(reason) => Some(format!("{}: {reason}", case.name)),
        Verdict::Right | Verdict::Constant => None,
    };
    cases.iter().filter_map(failure).collect()
}

#[test]
fn operators_give_the_reference_answers_in_doubles() {
    let failed = failed(Leg::Float);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn operators_give_the_reference_answers_in_integers() {
    let failed = failed(Leg::Integer);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn an_output_without_elements_has_a_shape_to_be_right() {
    let tensor = |dims: &[i64], values: &[f32]| TensorProto {
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..Default::default()
    };
    let model = Builder::default()
        .input("x", &[3, 2])
        .ints("from", &[1], &[2])
        .ints("to", &[1], &[5])
        .ints("axes", &[1], &[1])
        .node("Slice", &["x", "from", "to", "axes"], &["y"], vec![])
        .output("y")
        .build();
    let case = |dims: &[i64]| Case {
        name: "slice".into(),
        model: model.clone(),
        inputs: vec![tensor(&[3, 2], &[0.5; 6]).encode_to_vec()],
        outputs: vec![tensor(dims, &[]).encode_to_vec()],
    };
    for leg in [Leg::Float, Leg::Integer] {
        assert_eq!(case(&[3, 0]).check(leg), Verdict::Constant);
        let Verdict::Failed(reason) = case(&[0, 3]).check(leg) else {
            panic!("it is right");
        };
        assert!(reason.contains("wrong shape"), "{reason}");
    }
}

#[test]
fn a_wrong_answer_fails() {
    let mut all = cases();
    let case = all.iter_mut().find(|c| c.name == "neg").unwrap();
    assert_eq!(case.check(Leg::Integer), Verdict::Right);
    // The sign of the last element.
    let answer = &mut case.outputs[0];
    let end = answer.len();
    answer[end - 1] ^= 0x80;
    for leg in [Leg::Float, Leg::Integer] {
        assert!(matches!(case.check(leg), Verdict::Failed(_)));
    }
}
