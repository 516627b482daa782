//! The SDK as a contract uses it, against hosts that answer well and badly.

use std::cell::RefCell;

use aiinference_std::{
    Checksum, Circuit, Claim, Error, ErrorCode, Host, Input, Model, ModelReference, Operation, Plan, Receipt, Tensor,
};
use aiinference_types::{
    abi::MAGIC,
    v1::{self, input::Source, model_ref::Reference, request, response},
};
use prost::Message;

/// A host that says what it is told to, and remembers what it was asked.
struct Scripted {
    answer: Result<Vec<u8>, Error>,
    asked: RefCell<Option<(Operation, Vec<u8>)>>,
}

impl Scripted {
    fn new(answer: Result<Vec<u8>, Error>) -> Self {
        Scripted {
            answer,
            asked: RefCell::new(None),
        }
    }

    fn refusing() -> Self {
        let refusal = v1::Error {
            code: 10,
            message: "no code 7".to_string(),
            step: 1,
        };
        Scripted::new(Ok(v1::Response {
            result: Some(response::Result::Error(refusal)),
        }
        .encode_to_vec()))
    }

    fn infer_request(&self) -> v1::InferRequest {
        let asked = self.asked.borrow();
        let (operation, bytes) = asked.as_ref().unwrap();
        assert_eq!(*operation, Operation::Infer);
        match v1::Request::decode(bytes.strip_prefix(&MAGIC).unwrap())
            .unwrap()
            .operation
        {
            Some(request::Operation::Infer(infer)) => infer,
            other => panic!("{other:?}"),
        }
    }
}

impl Host for Scripted {
    fn call(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error> {
        *self.asked.borrow_mut() = Some((operation, request.to_vec()));
        self.answer.clone()
    }

    fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        self.call(Operation::Infer, request)
    }
}

#[test]
fn a_claim_is_sent_as_it_was_written_and_its_verdict_is_read() {
    let answer = v1::VerifyResponse {
        valid: true,
        circuit_checksum: vec![3; 32],
        models: vec![v1::CircuitModel {
            code_id: 8,
            checksum: vec![4; 32],
        }],
        reproducible: true,
        srs: vec![5; 32],
        gas: 77,
        gas_schedule: 0,
        outputs: vec![v1::Tensor::from_integers("y".to_string(), vec![1, 1], 0, 0, 9, &[7])],
    };
    let scripted = |answer: &v1::VerifyResponse| {
        Scripted::new(Ok(v1::Response {
            result: Some(response::Result::Verify(answer.clone())),
        }
        .encode_to_vec()))
    };
    let host = scripted(&answer);
    let claim = Claim::new(vec![1, 2, 3])
        .input(Tensor::from_i64s(&[5]).named("x"))
        .hash("salted", [6; 32])
        .output(Tensor::from_i64s(&[7]).named("y"))
        .accepting_srs([5; 32])
        .accepting_unreproducible()
        .gas_limit(99);
    let circuit = Circuit::new(7).with_checksum([9; 32]);
    let verdict = circuit.verify(&host, claim.clone()).unwrap();
    assert!(verdict.valid && verdict.reproducible);
    assert_eq!(
        (verdict.circuit_checksum, verdict.srs),
        ([3; 32].into(), [5; 32].into())
    );
    assert_eq!((verdict.models, verdict.gas), (vec![(8, [4; 32].into())], 77));
    let [y] = &verdict.outputs[..] else { panic!() };
    assert_eq!((y.name(), y.shape(), y.to_i64()), ("y", &[1, 1][..], Ok(7)));

    let asked = host.asked.borrow().clone().unwrap().1;
    let request = v1::Request::decode(asked.strip_prefix(&MAGIC).unwrap()).unwrap();
    let tensor = |name: &str, value: u8| v1::Tensor {
        name: name.to_string(),
        data_type: v1::DataType::Int8.into(),
        shape: vec![1],
        fraction_bits: 0,
        data: vec![value],
    };
    let want = v1::VerifyRequest {
        circuit: Some(v1::ModelRef {
            reference: Some(Reference::CodeId(7)),
            checksum: vec![9; 32],
        }),
        proof: vec![1, 2, 3],
        inputs: vec![tensor("x", 5)],
        hashes: vec![v1::InstanceHash {
            name: "salted".to_string(),
            value: vec![6; 32],
        }],
        outputs: vec![tensor("y", 7)],
        accepted_srs: vec![vec![5; 32]],
        accept_unreproducible: true,
        gas_limit: Some(99),
    };
    assert_eq!(request.operation, Some(request::Operation::Verify(want)));

    let error = circuit.verify(Scripted::refusing(), claim.clone()).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownCodeId));
    let mut short = answer;
    short.srs.pop();
    assert!(matches!(
        circuit.verify(scripted(&short), claim),
        Err(Error::InvalidAnswer(_))
    ));
}

#[test]
fn a_host_that_does_not_say_how_checks_no_proofs() {
    struct Bare;
    impl Host for Bare {
        fn call(&self, _operation: Operation, _request: &[u8]) -> Result<Vec<u8>, Error> {
            panic!("nothing else is asked of it")
        }
    }
    let error = Circuit::new(7).verify(Bare, Claim::new(vec![1])).unwrap_err();
    assert!(matches!(error, Error::Host(_)), "{error}");
}

#[test]
fn a_plan_is_sent_as_it_was_written() {
    let host = Scripted::refusing();
    let (mood, painter) = (Model::new(7).with_checksum([9; 32]), Model::own());
    let prices = Tensor::from_i64s(&[1, 2, 3]).shaped(&[1, 3]).fraction_bits(4);
    let plan = Plan::new()
        .step(&mood, &[prices])
        .step(
            &painter,
            [
                Input::from_step(0, "mood").named("latent"),
                Tensor::from_u8s(&[5]).named("seed").into(),
            ],
        )
        .returning(0, "mood")
        .returning(1, "pixels")
        .gas_limit(123);
    let error = plan.run(&host).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownCodeId));
    assert_eq!(error.to_string(), "AI inference, step 1: error 10: no code 7");

    let tensor = |data_type, shape: &[u32], fraction_bits, data: &[u8]| {
        Some(Source::Tensor(v1::Tensor {
            name: String::new(),
            data_type,
            shape: shape.to_vec(),
            fraction_bits,
            data: data.to_vec(),
        }))
    };
    let output = |step, output: &str| v1::StepOutput {
        step,
        output: output.to_string(),
    };
    let model = |reference, checksum| {
        Some(v1::ModelRef {
            checksum,
            reference: Some(reference),
        })
    };
    let want = v1::InferRequest {
        steps: vec![
            v1::Step {
                model: model(Reference::CodeId(7), vec![9; 32]),
                inputs: vec![v1::Input {
                    name: String::new(),
                    source: tensor(1, &[1, 3], 4, &[1, 2, 3]),
                }],
            },
            v1::Step {
                model: model(Reference::OwnCode(v1::OwnCode {}), vec![]),
                inputs: vec![
                    v1::Input {
                        name: "latent".to_string(),
                        source: Some(Source::StepOutput(output(0, "mood"))),
                    },
                    v1::Input {
                        name: "seed".to_string(),
                        source: tensor(5, &[1], 0, &[5]),
                    },
                ],
            },
        ],
        outputs: vec![output(0, "mood"), output(1, "pixels")],
        gas_limit: Some(123),
    };
    assert_eq!(host.infer_request(), want);
}

#[test]
fn hosts_that_answer_nonsense_give_typed_errors() {
    for bytes in [
        &b""[..],
        b"\xff\xff\xff",
        b"{\"ok\":1}",
        &[0x0a, 0x7f, 1, 2],
        &[0x0a, 0],
    ] {
        let host = Scripted::new(Ok(bytes.to_vec()));
        let result = Model::new(1).infer(&host, &[Tensor::from_i64s(&[1])]);
        assert!(matches!(result, Err(Error::InvalidAnswer(_))), "{result:?}");
        let info = Model::new(1).info(&host);
        assert!(matches!(info, Err(Error::InvalidAnswer(_))), "{info:?}");
    }
    let host = Scripted::new(Err(Error::Host("gone".to_string())));
    assert_eq!(Model::new(1).info(&host), Err(Error::Host("gone".to_string())));
}

/// The message of a contract may hold what it has to name, and to show.
#[cosmwasm_schema::cw_serde]
struct ContractMsg {
    model: Model,
    receipt: Option<Receipt>,
}

#[test]
fn contracts_describe_their_models_in_their_json_schema() {
    let schema = serde_json::to_string(&cosmwasm_schema::schema_for!(ContractMsg)).unwrap();
    for part in ["code_id", "own_code", "inputs_hash", "op_set"] {
        assert!(schema.contains(part), "{part} is missing in {schema}");
    }
    let json = r#"{"model":{"reference":{"code_id":7}},"receipt":null}"#;
    assert_eq!(serde_json::from_str::<ContractMsg>(json).unwrap().model, Model::new(7));
}

#[test]
fn models_are_stored_and_sent_as_json() {
    for (model, json) in [
        (
            Model::new(7),
            r#"{"reference":{"code_id":7},"checksum":null}"#.to_string(),
        ),
        (
            Model::own(),
            r#"{"reference":{"own_code":{}},"checksum":null}"#.to_string(),
        ),
        (
            Model::new(8).with_checksum([0xab; 32]),
            format!(r#"{{"reference":{{"code_id":8}},"checksum":"{}"}}"#, "ab".repeat(32)),
        ),
    ] {
        assert_eq!(serde_json::to_string(&model).unwrap(), json);
        assert_eq!(serde_json::from_str::<Model>(&json).unwrap(), model);
    }
    let short: Model = serde_json::from_str(r#"{"reference":{"code_id":7}}"#).unwrap();
    assert_eq!((short.reference, short.checksum), (ModelReference::CodeId(7), None));
    for bad in [
        r#"{"reference":{"code_id":7},"checksum":"ab"}"#,
        r#"{"reference":{"code_id":7},"cheksum":null}"#,
        r#"{"reference":{"name":"credit"}}"#,
    ] {
        assert!(serde_json::from_str::<Model>(bad).is_err(), "{bad}");
    }
    assert_eq!(Checksum::from_hex(&"0g".repeat(32)), None);
}

/// Both versions of cosmwasm-std, by the same words.
macro_rules! versions {
    ($name:ident, $std:ident) => {
        mod $name {
            use aiinference_std::{Error, FromAtomics, Host, Model, Operation, Tensor, ToAtomics};
            use $std::{
                testing::MockQuerier, Binary, ContractResult, CustomQuery, Decimal, Empty, Querier, QuerierResult,
                QuerierWrapper, SignedDecimal, StdError, StdResult, SystemError, SystemResult,
            };

            struct Fixed(QuerierResult);

            impl Querier for Fixed {
                fn raw_query(&self, _request: &[u8]) -> QuerierResult {
                    self.0.clone()
                }
            }

            #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
            struct ChainQuery {}

            impl CustomQuery for ChainQuery {}

            fn ask<C: CustomQuery>(answer: QuerierResult) -> Result<Vec<u8>, Error> {
                QuerierWrapper::<C>::new(&Fixed(answer)).call(Operation::Infer, b"x")
            }

            #[test]
            fn the_querier_of_any_chain_carries_a_call() {
                let fine = SystemResult::Ok(ContractResult::Ok(Binary::from(&[1, 2, 3])));
                assert_eq!(ask::<Empty>(fine.clone()), Ok(vec![1, 2, 3]));
                assert_eq!(ask::<ChainQuery>(fine), Ok(vec![1, 2, 3]));
                let refused = SystemResult::Ok(ContractResult::Err("no".to_string()));
                assert_eq!(ask::<Empty>(refused), Err(Error::Host("no".to_string())));
                let unknown = SystemResult::Err(SystemError::Unknown {});
                assert!(matches!(ask::<ChainQuery>(unknown), Err(Error::Host(_))));
            }

            #[test]
            fn a_chain_without_the_extension_is_a_host_error() {
                let stock: MockQuerier = MockQuerier::new(&[]);
                let error = Model::new(1)
                    .infer(QuerierWrapper::<Empty>::new(&stock), &[Tensor::from_i64s(&[1])])
                    .unwrap_err();
                assert!(matches!(&error, Error::Host(text) if text.contains("Parsing query request")), "{error}");
                assert!(error.to_string().contains("aiinference_1"));
            }

            #[test]
            fn errors_become_the_contracts_own_by_question_mark() {
                fn contract() -> StdResult<()> {
                    Err(Error::NoSuchOutput("score".to_string()))?
                }
                let error: StdError = contract().unwrap_err();
                assert!(error.to_string().contains("no output 'score'"), "{error}");
            }

            #[test]
            fn decimals_go_in_and_out_to_the_last_unit() {
                assert_eq!(Decimal::percent(150).to_atomics(), Some(1_500_000_000_000_000_000));
                assert_eq!((&SignedDecimal::MIN).to_atomics(), Some(i128::MIN));
                assert_eq!(Decimal::MAX.to_atomics(), None);
                assert_eq!(<Decimal as FromAtomics>::from_atomics(1), Some(Decimal::new(1u128.into())));
                assert_eq!(<Decimal as FromAtomics>::from_atomics(-1), None);
                assert_eq!(<SignedDecimal as FromAtomics>::from_atomics(-1), Some(SignedDecimal::new((-1i128).into())));
                let tensor = Tensor::from_decimals(&[Decimal::one(), Decimal::MAX]);
                assert_eq!(tensor, Err(Error::DecimalTooLarge { index: 1 }));
            }

            #[test]
            fn checksums_convert_both_ways() {
                let theirs = $std::Checksum::generate(b"code");
                let ours = aiinference_std::Checksum::from(theirs);
                assert_eq!(ours.to_hex(), theirs.to_hex());
                assert_eq!($std::Checksum::from(ours), theirs);
            }
        }
    };
}

versions!(std2, cosmwasm_std_2);
versions!(std3, cosmwasm_std);
