//! What is answered to queries.

use aiinference_types::{
    ibc,
    limits::{MAX_ACKNOWLEDGEMENT_BYTES, MAX_QUERIES},
    v1::{self, answer, packet_data::Operation, run_input::Source},
    ErrorCode,
};
use proptest::prelude::*;

use crate::host::*;

/// The same models on the same integers, but for the gas, of which some is for the bytes of the request.
fn same(one: &v1::InferResponse, other: &v1::InferResponse) -> bool {
    let evidence = |response: &v1::InferResponse| {
        let receipt = response.receipt.clone().unwrap();
        v1::Receipt { gas: 0, ..receipt }
    };
    one.outputs == other.outputs && evidence(one) == evidence(other)
}

fn free() -> Host {
    Host::new(vec![])
}

#[test]
fn a_model_answers_as_it_does_on_the_chain_itself() {
    let mut host = free();
    let mut query = score(&APPLICANT);
    query.memo = b"mine".to_vec();
    let answers = host.ask(vec![query]);
    assert!(same(infer(&answers[0]), &host.score(&APPLICANT)));
    assert_eq!(
        (answers[0].memo.as_slice(), answers[0].price.as_str()),
        (&b"mine"[..], "")
    );
    assert_eq!(infer(&answers[0]).receipt.as_ref().unwrap().models[0].code_id, MLP);
}

#[test]
fn a_query_that_fails_loses_none_of_the_others() {
    let mut host = free();
    let mut unknown = score(&APPLICANT);
    let mut mismatch = score(&APPLICANT);
    let mut own = score(&APPLICANT);
    for (query, reference, checksum) in [
        (&mut unknown, v1::model_ref::Reference::CodeId(99), vec![]),
        (&mut mismatch, v1::model_ref::Reference::CodeId(MLP), vec![7; 32]),
        (&mut own, v1::model_ref::Reference::OwnCode(v1::OwnCode {}), vec![]),
    ] {
        let Some(v1::query::Operation::Run(run)) = &mut query.operation else {
            panic!()
        };
        run.steps[0].model = Some(v1::ModelRef {
            reference: Some(reference),
            checksum,
        });
    }
    let mut poor = score(&APPLICANT);
    poor.gas_limit = 1_000;
    let nothing = run(v1::Run::default());
    let later = v1::Query {
        operation: None,
        ..score(&APPLICANT)
    };
    let large = score(&[0; 9_000]);
    let wrong = score(&[1, 2]);
    let fine = score(&APPLICANT);
    let answers = host.ask(vec![unknown, mismatch, own, poor, nothing, later, large, wrong, fine]);
    let codes: Vec<ErrorCode> = answers[..8].iter().map(code).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::UnknownCodeId,
            ErrorCode::ChecksumMismatch,
            ErrorCode::MalformedRequest,
            ErrorCode::GasLimitExceeded,
            ErrorCode::InvalidPlan,
            ErrorCode::UnsupportedOperation,
            ErrorCode::RequestTooLarge,
            ErrorCode::ShapeMismatch,
        ]
    );
    assert!(same(infer(&answers[8]), &host.score(&APPLICANT)));
}

#[test]
fn what_is_wrong_with_a_packet_refuses_it_as_a_whole() {
    let mut host = Host::new(vec![price(1, 1)]);
    let with = |change: &dyn Fn(&mut v1::Ask)| {
        let Operation::Ask(mut packet) = ask(vec![score(&APPLICANT)]) else {
            panic!()
        };
        change(&mut packet);
        Operation::Ask(packet)
    };
    let now = host.env.block.time.nanos();
    let cases: [(Operation, ErrorCode); 6] = [
        (with(&|ask| ask.queries.clear()), ErrorCode::InvalidPlan),
        (with(&|ask| ask.valid_until = now - 1), ErrorCode::Expired),
        (
            with(&|ask| ask.queries[0].gas_limit = u64::MAX),
            ErrorCode::GasLimitTooHigh,
        ),
        (with(&|ask| ask.denom = "other".to_string()), ErrorCode::UnknownDenom),
        (with(&|ask| ask.asker = String::new()), ErrorCode::MalformedRequest),
        // The first that applies.
        (
            with(&|ask| (ask.valid_until, ask.denom) = (1, String::new())),
            ErrorCode::Expired,
        ),
    ];
    for (operation, code) in cases {
        assert_eq!(host.refused(operation), code);
    }
    let answer = host.send(with(&|ask| ask.valid_until = now));
    assert!(matches!(answer, v1::acknowledgement::Result::Answers(_)));
}

#[test]
fn state_of_the_chain_feeds_a_model() {
    let mut host = free();
    let features = APPLICANT.map(|value| format!("\"{value}\"")).join(",");
    let text = format!("{{\"applicants\":[[1],{{\"of\":[{features}]}}]}}");
    host.state.borrow_mut().insert("bank".to_string(), text.clone());
    let mut shown = score_of_state("bank", "/applicants/1/of");
    let Some(v1::query::Operation::Run(run)) = &mut shown.operation else {
        panic!()
    };
    run.return_reads = true;
    shown.memo = vec![9];
    let answers = host.ask(vec![
        score(&APPLICANT),
        shown,
        score_of_state("bank", "/applicants/1/of"),
        score(&APPLICANT),
    ]);
    assert_eq!(answers.len(), 4);
    for answer in &answers {
        assert_eq!(infer(answer).outputs, host.score(&APPLICANT).outputs);
    }
    let Some(answer::Result::Run(run)) = &answers[1].result else {
        panic!()
    };
    assert_eq!(
        (run.reads.clone(), answers[1].memo.as_slice()),
        (vec![text.into_bytes()], &[9][..])
    );
}

#[test]
fn a_query_may_only_read() {
    let mut host = free();
    host.state.borrow_mut().insert("bank".to_string(), "[1]".to_string());
    let raw = v1::Read {
        contract: "bank".to_string(),
        query: Some(v1::read::Query::Raw(b"nothing here".to_vec())),
    };
    let answers = host.ask(vec![run(v1::Run {
        reads: vec![smart("bank"), raw],
        ..Default::default()
    })]);
    let Some(answer::Result::Run(run)) = &answers[0].result else {
        panic!("{answers:?}")
    };
    assert_eq!((run.reads.clone(), &run.infer), (vec![b"[1]".to_vec(), vec![]], &None));
}

#[test]
fn bytes_of_state_are_a_tensors_data() {
    let mut host = free();
    let text: Vec<u8> = (1..=18).collect();
    let text = String::from_utf8(text).unwrap();
    host.state.borrow_mut().insert("bank".to_string(), text);
    let bytes = |data_type: v1::DataType, shape: &[u32]| {
        let format = v1::read_value::Format::Bytes(v1::BytesValue {
            data_type: data_type.into(),
            fraction_bits: 0,
        });
        run(v1::Run {
            reads: vec![smart("bank")],
            steps: vec![step(
                MLP,
                Source::ReadValue(v1::ReadValue {
                    read: 0,
                    shape: shape.to_vec(),
                    format: Some(format),
                }),
            )],
            ..Default::default()
        })
    };
    let answers = host.ask(vec![
        bytes(v1::DataType::Uint8, &[]),
        bytes(v1::DataType::Int8, &[1, 18]),
        bytes(v1::DataType::Int32, &[]),
        bytes(v1::DataType::Uint8, &[17]),
        bytes(v1::DataType::Unspecified, &[]),
    ]);
    let values: Vec<i64> = (1..=18).collect();
    assert_eq!(infer(&answers[0]).outputs, host.score(&values).outputs);
    assert_eq!(infer(&answers[1]).outputs, host.score(&values).outputs);
    assert!(answers[2..].iter().all(|answer| code(answer) == ErrorCode::NotNumbers));
}

#[test]
fn reads_that_fail_are_told_from_reads_that_hold_no_numbers() {
    let mut host = free();
    host.state
        .borrow_mut()
        .insert("bank".to_string(), "{\"a\":null}".to_string());
    let beyond = run(v1::Run {
        steps: vec![step(MLP, json(""))],
        ..Default::default()
    });
    let answers = host.ask(vec![
        score_of_state("nobody", "/a"),
        score_of_state("bank", "/a"),
        score_of_state("bank", "/b"),
        score_of_state("bank", "b"),
        beyond,
    ]);
    let codes: Vec<ErrorCode> = answers.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::ReadFailed,
            ErrorCode::NotNumbers,
            ErrorCode::NotNumbers,
            ErrorCode::NotNumbers,
            ErrorCode::InvalidPlan
        ]
    );
}

#[test]
fn a_call_that_the_chain_stops_is_answered_by_what_stopped_it() {
    let mut host = free();
    host.state.borrow_mut().insert("bank".to_string(), "[1]".to_string());
    host.call_gas = GAS / 140_000 + 1;
    let query = || score_of_state("bank", "");
    assert_eq!(code(&host.ask(vec![query()])[0]), ErrorCode::ShapeMismatch);
    host.call_gas += 1;
    assert_eq!(code(&host.ask(vec![query()])[0]), ErrorCode::GasLimitExceeded);
    host.call_gas = 1_000;
    host.stop = Some("codespace: wasm, code: 5".to_string());
    assert_eq!(code(&host.ask(vec![query()])[0]), ErrorCode::ReadFailed);
    host.stop = Some("codespace: sdk, code: 11".to_string());
    assert_eq!(code(&host.ask(vec![query()])[0]), ErrorCode::GasLimitExceeded);
}

#[test]
fn a_model_is_described_with_its_price() {
    let mut host = Host::new(vec![price(7, 1_000_000_000)]);
    host.deposit("asker", 1_000_000_000_000);
    let describe = |code_id| v1::Query {
        operation: Some(v1::query::Operation::Describe(v1::Describe {
            model: Some(model(code_id)),
        })),
        max_price: "1000000000000".to_string(),
        gas_limit: GAS,
        memo: vec![1],
    };
    let answers = host.ask(vec![describe(MLP), describe(99)]);
    let Some(answer::Result::Description(description)) = &answers[0].result else {
        panic!("{answers:?}")
    };
    let info = description.info.as_ref().unwrap();
    assert_eq!(info.inputs[0].name, "applicant");
    // One coin for one gas.
    assert_eq!(description.price, (7 + info.load_gas + info.run_gas).to_string());
    assert_eq!(answers[0].price, (7 + 140_000_000).to_string());
    assert_eq!(code(&answers[1]), ErrorCode::UnknownCodeId);
}

#[test]
fn the_acknowledgement_never_outgrows_its_limit() {
    let mut host = free();
    host.state.borrow_mut().insert("bank".to_string(), "x".repeat(100_000));
    let read = |memo| v1::Query {
        memo,
        ..run(v1::Run {
            reads: vec![smart("bank")],
            ..Default::default()
        })
    };
    let mut queries = vec![score(&APPLICANT)];
    queries.extend((0..MAX_QUERIES as u8 as usize + 254).map(|n| read(vec![n as u8; 256])));
    queries.push(score(&APPLICANT));
    let data = host.deliver(CHANNEL, ibc::encode_packet(ask(queries)));
    assert!(data.len() <= MAX_ACKNOWLEDGEMENT_BYTES);
    let Some(v1::acknowledgement::Result::Answers(answers)) = ibc::decode_acknowledgement(&data).unwrap().result else {
        panic!()
    };
    let answers = answers.answers;
    assert_eq!(answers.len(), 256);
    // Models alone are answered first; of the reads as many as find room.
    assert_eq!(infer(&answers[0]), infer(&answers[255]));
    let large = answers[1..255]
        .iter()
        .filter(|a| matches!(a.result, Some(answer::Result::Run(_))));
    assert_eq!(large.count(), 1);
    assert_eq!(code(&answers[254]), ErrorCode::ResponseTooLarge);
    for (n, answer) in answers[1..255].iter().enumerate() {
        assert_eq!(answer.memo, vec![n as u8; 256]);
    }
    // Nothing is left behind.
    assert!(same(
        infer(&host.ask(vec![score(&APPLICANT)])[0]),
        &host.score(&APPLICANT)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_packet_holds_it_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), random in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut host = Host::new(vec![price(1, 1)]);
        host.deposit("asker", 1_000);
        host.state.borrow_mut().insert("bank".to_string(), "[1,2]".to_string());
        let mut data = ibc::encode_packet(ask(vec![score(&APPLICANT), score_of_state("bank", "/0")]));
        let at = at.index(data.len());
        if cut {
            data.truncate(at);
        } else {
            data[at] = byte;
        }
        for data in [data, random] {
            let acknowledgement = host.deliver(CHANNEL, data);
            prop_assert!(ibc::decode_acknowledgement(&acknowledgement).unwrap().result.is_some());
        }
    }
}
