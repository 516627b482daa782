//! Queries as askers write them.
// Each test takes what it needs.
#![allow(dead_code)]

use aiinference_types::{
    v1::{self, answer},
    ErrorCode,
};

/// The code id of the credit model, on every chain here.
pub const MLP: u64 = 4;
/// An applicant of the credit model, in the order of its features.
pub const APPLICANT: [i64; 18] = [1_200, 10, 45, 2, 4, 1, 1, 3, 4, 8, 4, 4, 1, 3, 2, 2, 2, 1];
/// More than any query here uses.
pub const GAS: u64 = 10_000_000_000;

pub fn model(code_id: u64) -> v1::ModelRef {
    v1::ModelRef {
        reference: Some(v1::model_ref::Reference::CodeId(code_id)),
        checksum: vec![],
    }
}

pub fn whole(values: &[i64]) -> v1::Tensor {
    v1::Tensor {
        name: String::new(),
        data_type: v1::DataType::Int64.into(),
        shape: vec![values.len() as u32],
        fraction_bits: 0,
        data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

pub fn input(source: v1::run_input::Source) -> v1::RunInput {
    v1::RunInput {
        name: String::new(),
        source: Some(source),
    }
}

pub fn run(run: v1::Run) -> v1::Query {
    v1::Query {
        operation: Some(v1::query::Operation::Run(run)),
        gas_limit: GAS,
        max_price: "1000000".to_string(),
        memo: vec![],
    }
}

pub fn step(code_id: u64, source: v1::run_input::Source) -> v1::RunStep {
    v1::RunStep {
        model: Some(model(code_id)),
        inputs: vec![input(source)],
    }
}

/// The model on an applicant in the packet.
pub fn score(features: &[i64]) -> v1::Query {
    run(v1::Run {
        steps: vec![step(MLP, v1::run_input::Source::Tensor(whole(features)))],
        ..Default::default()
    })
}

/// The model on an applicant that a contract tells.
pub fn score_of_state(contract: &str, pointer: &str) -> v1::Query {
    run(v1::Run {
        reads: vec![smart(contract)],
        steps: vec![step(MLP, json(pointer))],
        ..Default::default()
    })
}

pub fn json(pointer: &str) -> v1::run_input::Source {
    v1::run_input::Source::ReadValue(v1::ReadValue {
        read: 0,
        shape: vec![],
        format: Some(v1::read_value::Format::Json(v1::JsonValue {
            pointer: pointer.to_string(),
        })),
    })
}

pub fn smart(contract: &str) -> v1::Read {
    v1::Read {
        contract: contract.to_string(),
        query: Some(v1::read::Query::Smart(b"{}".to_vec())),
    }
}

pub fn code(answer: &v1::Answer) -> ErrorCode {
    match &answer.result {
        Some(answer::Result::Error(error)) => ErrorCode::from_number(error.code).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn infer(answer: &v1::Answer) -> &v1::InferResponse {
    match &answer.result {
        Some(answer::Result::Run(run)) => run.infer.as_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}
