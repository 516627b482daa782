//! Questions to other chains and their answers, as bytes.

use aiinference_std::{
    remote::{
        Answer, AnswerResult, Ask, Callback, ClientMsg, DataType, Failure, Input, ModelAnswer, Nanos, Outcome, Query,
    },
    Checksum, Error, ErrorCode, Model, Tensor,
};
use aiinference_types::v1::{self, query::Operation, read, read_value::Format, run_input::Source};
use prost::Message;

fn message(query: &Query) -> v1::Query {
    v1::Query::decode(&query.encode()[..]).unwrap()
}

fn run(query: &Query) -> v1::Run {
    match message(query).operation {
        Some(Operation::Run(run)) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_says_what_was_built() {
    let model = Model::new(7).with_checksum(Checksum::from([9; 32]));
    let query = Query::new()
        .read_smart("oracle", *b"{}")
        .read_raw("oracle", *b"key")
        .step(
            &model,
            [
                Input::read(0).json("/a/0").named("market").shaped(&[2, 4]),
                Input::read(1).bytes(DataType::Int16, 3).named("raw"),
                Tensor::from_i64s(&[5]).named("owner").into(),
            ],
        )
        .step(&Model::new(8), [Input::from_step(0, "mood")])
        .returning(1, "pixels")
        .returning_reads()
        .gas_limit(77)
        .max_price(u128::MAX)
        .memo(*b"note");
    let whole = message(&query);
    assert_eq!(
        (whole.gas_limit, whole.max_price.as_str()),
        (77, "340282366920938463463374607431768211455")
    );
    assert_eq!(whole.memo, b"note");

    let run = run(&query);
    assert_eq!(run.reads[0].query, Some(read::Query::Smart(b"{}".to_vec())));
    assert_eq!(run.reads[1].query, Some(read::Query::Raw(b"key".to_vec())));
    assert_eq!(run.steps[0].model.as_ref().unwrap().checksum, [9; 32]);
    let inputs = &run.steps[0].inputs;
    let Some(Source::ReadValue(json)) = &inputs[0].source else {
        panic!()
    };
    assert_eq!(
        (inputs[0].name.as_str(), json.read, &json.shape[..]),
        ("market", 0, &[2, 4][..])
    );
    assert!(matches!(&json.format, Some(Format::Json(json)) if json.pointer == "/a/0"));
    let Some(Source::ReadValue(bytes)) = &inputs[1].source else {
        panic!()
    };
    assert!(
        matches!(&bytes.format, Some(Format::Bytes(bytes)) if bytes.data_type() == DataType::Int16 && bytes.fraction_bits == 3)
    );
    // A tensor's name is that of the input.
    let Some(Source::Tensor(tensor)) = &inputs[2].source else {
        panic!()
    };
    assert_eq!(
        (inputs[2].name.as_str(), tensor.name.as_str(), &tensor.data[..]),
        ("owner", "", &[5][..])
    );
    assert!(matches!(&run.steps[1].inputs[0].source, Some(Source::StepOutput(step)) if step.output == "mood"));
    assert_eq!((run.outputs[0].step, run.return_reads), (1, true));
}

#[test]
fn a_description_is_asked_for_by_the_model_alone() {
    let query = Query::describe(&Model::new(7)).read_raw("ignored", *b"").gas_limit(5);
    match message(&query).operation {
        Some(Operation::Describe(describe)) => assert!(describe.model.is_some()),
        other => panic!("{other:?}"),
    }
    assert_eq!(message(&query).gas_limit, 5);
}

fn answer(result: AnswerResult) -> Answer {
    Answer {
        price: "3".to_owned(),
        memo: vec![].into(),
        result,
    }
}

fn infer() -> v1::InferResponse {
    v1::InferResponse {
        outputs: vec![v1::Tensor::from_integers("y".to_owned(), vec![2], 1, -9, 9, &[1, -2])],
        receipt: Some(v1::Receipt {
            models: vec![],
            inputs_hash: vec![2; 32],
            outputs_hash: vec![3; 32],
            gas: 5,
            gas_schedule: 1,
            saturated: false,
        }),
    }
}

#[test]
fn answers_are_read_as_what_they_are() {
    let ran = v1::RunAnswer {
        reads: vec![b"{}".to_vec()],
        infer: Some(infer()),
    };
    let ran = answer(AnswerResult::Run(ran.encode_to_vec().into()));
    assert_eq!(ran.run().unwrap().reads, [b"{}"]);
    assert_eq!(
        ran.outputs().unwrap().get("y").unwrap().integers().collect::<Vec<_>>(),
        [1, -2]
    );
    assert!(matches!(ran.description(), Err(Error::InvalidAnswer(_))));

    let read = v1::RunAnswer {
        reads: vec![vec![1]],
        infer: None,
    };
    let read = answer(AnswerResult::Run(read.encode_to_vec().into()));
    assert_eq!(read.run().unwrap().outputs, None);
    assert!(matches!(read.outputs(), Err(Error::InvalidAnswer(_))));

    let described = v1::Description {
        info: Some(v1::ModelInfo {
            op_set: 3,
            ..Default::default()
        }),
        price: "9".to_owned(),
    };
    let described = answer(AnswerResult::Description(described.encode_to_vec().into()));
    let description = described.description().unwrap();
    assert_eq!((description.info.op_set, description.price.as_str()), (3, "9"));
    assert!(described.outputs().is_err());

    let failed = answer(AnswerResult::Error(Failure {
        code: 42,
        message: "too dear".to_owned(),
        step: 1,
    }));
    for error in [failed.run().unwrap_err(), failed.description().unwrap_err()] {
        assert_eq!(error.code(), Some(ErrorCode::PriceExceeded));
    }
    for result in [
        AnswerResult::Run(vec![0xff].into()),
        AnswerResult::Description(vec![0xff].into()),
        AnswerResult::Description(vec![].into()),
    ] {
        let broken = answer(result);
        assert!(broken.outputs().is_err() && broken.description().is_err());
    }
}

#[test]
fn a_packet_that_came_to_nothing_has_no_answers() {
    let failure = Failure {
        code: 50,
        message: "late".to_owned(),
        step: 0,
    };
    let error = Outcome::Error(failure).answers().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TimedOut));
    assert!(Outcome::RecoverySet {}.answers().is_err());
    let answered = Outcome::Answered {
        height: 1,
        time: Nanos(2),
        answers: vec![answer(AnswerResult::Run(vec![].into()))],
    };
    assert_eq!(answered.answers().unwrap().len(), 1);
}

#[test]
fn messages_are_json_as_documented() {
    let ask = Ask::new("channel-4")
        .query(&Query::describe(&Model::new(7)))
        .denom("uatom")
        .timeout_seconds(60)
        .valid_for(50)
        .callback(*b"me", 300_000);
    assert_eq!(
        serde_json::to_string(&ClientMsg::Ask(ask.clone())).unwrap(),
        r#"{"ask":{"channel":"channel-4","queries":["EgQKAggH"],"denom":"uatom","timeout":{"seconds":60,"height":null},"valid_for":50,"callback":{"msg":"bWU=","gas_limit":300000}}}"#
    );
    let Some(Callback { msg, .. }) = ask.callback else {
        panic!()
    };
    assert_eq!(&msg[..], b"me");

    let told = r#"{"id":7,"initiator":"me","initiator_msg":"AQ==","result":{"answered":{"height":9,"time":"5",
        "answers":[{"price":"3","memo":"","result":{"error":{"code":42,"message":"too dear","step":0}}}]}}}"#;
    let told: ModelAnswer = serde_json::from_str(told).unwrap();
    let answers = told.result.answers().unwrap();
    assert_eq!(answers[0].outputs().unwrap_err().code(), Some(ErrorCode::PriceExceeded));
    let stamp: cosmwasm_std::Timestamp = Nanos(5).into();
    assert_eq!(stamp.nanos(), 5);
}
