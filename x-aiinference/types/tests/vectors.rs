//! The messages between chains have the bytes that `docs/spec/vectors/ibc.json` publishes. The file is never written
//! again: other implementations rest on it. A new message gets a new entry.

use aiinference_types::{
    ibc::{acknowledge, acknowledge_answers, decode_acknowledgement, decode_packet, encode_packet, Fault, Room},
    v1::{
        acknowledgement, answer, model_ref::Reference, packet_data::Operation, query, read, read_value::Format,
        run_input::Source, *,
    },
    ErrorCode,
};
use prost::Message;
use serde_json::{json, Value};

const HEIGHT: u64 = 1_234_567;
const TIME: u64 = 1_790_000_000_123_456_789;

/// A packet or an acknowledgement: its fields as one may read them, and its bytes.
struct Vector {
    name: &'static str,
    kind: &'static str,
    fields: Value,
    bytes: Vec<u8>,
    /// The error that a reader answers with.
    refused: Option<ErrorCode>,
}

fn packet(name: &'static str, fields: Value, operation: Operation) -> Vector {
    Vector {
        name,
        kind: "packet",
        fields,
        bytes: encode_packet(operation),
        refused: None,
    }
}

fn bad_packet(name: &'static str, fields: Value, bytes: Vec<u8>, code: ErrorCode) -> Vector {
    Vector {
        name,
        kind: "packet",
        fields,
        bytes,
        refused: Some(code),
    }
}

fn ack(name: &'static str, fields: Value, result: acknowledgement::Result) -> Vector {
    Vector {
        name,
        kind: "acknowledgement",
        fields,
        bytes: acknowledge(HEIGHT, TIME, result),
        refused: None,
    }
}

fn answers(name: &'static str, fields: Value, list: Vec<Answer>) -> Vector {
    let mut room = Room::new(list.iter().map(|answer| answer.memo.len()));
    let entries: Vec<u8> = list.into_iter().flat_map(|answer| room.place(answer)).collect();
    Vector {
        name,
        kind: "acknowledgement",
        fields,
        bytes: acknowledge_answers(HEIGHT, TIME, &entries),
        refused: None,
    }
}

/// An Ask of one query.
fn ask(operation: query::Operation) -> Operation {
    let query = Query {
        operation: Some(operation),
        gas_limit: 5_000_000_000,
        max_price: "2500".into(),
        memo: b"memo".to_vec(),
    };
    Operation::Ask(Ask {
        asker: "consumer1asker".into(),
        valid_until: TIME,
        denom: "ucoin".into(),
        queries: vec![query],
    })
}

/// The same as fields.
fn ask_fields(key: &str, operation: Value) -> Value {
    let mut query = json!({ "gas_limit": 5_000_000_000u64, "max_price": "2500", "memo": "hex:6d656d6f" });
    query[key] = operation;
    json!({ "version": 1, "ask": {
        "asker": "consumer1asker", "valid_until": TIME, "denom": "ucoin", "queries": [query],
    } })
}

fn model(code_id: u64, checksum: Vec<u8>) -> Option<ModelRef> {
    Some(ModelRef {
        reference: Some(Reference::CodeId(code_id)),
        checksum,
    })
}

fn run(inputs: Vec<RunInput>) -> Run {
    Run {
        steps: vec![RunStep {
            model: model(7, vec![]),
            inputs,
        }],
        ..Run::default()
    }
}

fn run_fields(inputs: Value) -> Value {
    json!({ "steps": [{ "model": { "code_id": 7 }, "inputs": inputs }] })
}

fn input(name: &str, source: Source) -> RunInput {
    RunInput {
        name: name.into(),
        source: Some(source),
    }
}

fn int8(values: &[i8]) -> Tensor {
    Tensor {
        name: String::new(),
        data_type: DataType::Int8.into(),
        shape: vec![values.len() as u32],
        fraction_bits: 2,
        data: values.iter().map(|&v| v as u8).collect(),
    }
}

fn smart() -> Read {
    Read {
        contract: "provider1oracle".into(),
        query: Some(read::Query::Smart(br#"{"price":{}}"#.to_vec())),
    }
}

fn smart_fields() -> Value {
    json!({ "contract": "provider1oracle", "smart": "hex:7b227072696365223a7b7d7d" })
}

fn with_read(read: Read, format: Format, shape: Vec<u32>) -> Run {
    let value = ReadValue {
        read: 0,
        shape,
        format: Some(format),
    };
    Run {
        reads: vec![read],
        ..run(vec![input("prices", Source::ReadValue(value))])
    }
}

fn receipt() -> Receipt {
    Receipt {
        models: vec![ModelUsed {
            code_id: 7,
            checksum: vec![0xaa; 32],
            op_set: 0,
        }],
        inputs_hash: vec![0xbb; 32],
        outputs_hash: vec![0xcc; 32],
        gas: 167_543_972,
        gas_schedule: 1,
        saturated: true,
    }
}

fn receipt_fields() -> Value {
    json!({
        "models": [{ "code_id": 7, "checksum": format!("hex:{}", "aa".repeat(32)) }],
        "inputs_hash": format!("hex:{}", "bb".repeat(32)), "outputs_hash": format!("hex:{}", "cc".repeat(32)),
        "gas": 167_543_972, "gas_schedule": 1, "saturated": true,
    })
}

fn error(code: ErrorCode, message: &str) -> Error {
    Fault::new(code, message).into()
}

fn acknowledged(key: &str, result: Value) -> Value {
    let mut fields = json!({ "version": 1, "height": HEIGHT, "time": TIME });
    fields[key] = result;
    fields
}

fn packets() -> Vec<Vector> {
    let json_value = |pointer: &str| {
        Format::Json(JsonValue {
            pointer: pointer.into(),
        })
    };
    let raw = Read {
        contract: "provider1oracle".into(),
        query: Some(read::Query::Raw(b"price".to_vec())),
    };
    let two_steps = Run {
        steps: vec![
            RunStep {
                model: model(7, vec![0xaa; 32]),
                inputs: vec![input("", Source::Tensor(int8(&[1, -1])))],
            },
            RunStep {
                model: model(8, vec![]),
                inputs: vec![input(
                    "latent",
                    Source::StepOutput(StepOutput {
                        step: 0,
                        output: "mood".into(),
                    }),
                )],
            },
        ],
        outputs: vec![StepOutput {
            step: 1,
            output: "image".into(),
        }],
        ..Run::default()
    };
    let minus_one = json!({ "data_type": "DATA_TYPE_INT8", "shape": [2], "fraction_bits": 2, "data": "hex:01ff" });
    vec![
        packet(
            "run of a model on a tensor",
            ask_fields("run", run_fields(json!([{ "name": "x", "tensor": minus_one }]))),
            ask(query::Operation::Run(run(vec![input(
                "x",
                Source::Tensor(int8(&[1, -1])),
            )]))),
        ),
        packet(
            "two models chained, the first by its checksum",
            ask_fields(
                "run",
                json!({
                    "steps": [
                        { "model": { "code_id": 7, "checksum": format!("hex:{}", "aa".repeat(32)) }, "inputs": [{ "tensor": minus_one }] },
                        { "model": { "code_id": 8 }, "inputs": [{ "name": "latent", "step_output": { "output": "mood" } }] },
                    ],
                    "outputs": [{ "step": 1, "output": "image" }],
                }),
            ),
            ask(query::Operation::Run(two_steps)),
        ),
        packet(
            "run on numbers of a smart query",
            ask_fields("run", {
                let value = json!({ "shape": [1, 3], "json": { "pointer": "/prices/0" } });
                let mut run = run_fields(json!([{ "name": "prices", "read_value": value }]));
                run["reads"] = json!([smart_fields()]);
                run
            }),
            ask(query::Operation::Run(with_read(
                smart(),
                json_value("/prices/0"),
                vec![1, 3],
            ))),
        ),
        packet(
            "run on the whole JSON text",
            ask_fields("run", {
                let mut run = run_fields(json!([{ "name": "prices", "read_value": { "json": {} } }]));
                run["reads"] = json!([smart_fields()]);
                run
            }),
            ask(query::Operation::Run(with_read(smart(), json_value(""), vec![]))),
        ),
        packet(
            "run on the bytes of a raw query",
            ask_fields("run", {
                let format = json!({ "data_type": "DATA_TYPE_INT32", "fraction_bits": -3 });
                let mut run = run_fields(json!([{ "name": "prices", "read_value": { "bytes": format } }]));
                run["reads"] = json!([{ "contract": "provider1oracle", "raw": "hex:7072696365" }]);
                run
            }),
            ask(query::Operation::Run(with_read(
                raw,
                Format::Bytes(BytesValue {
                    data_type: DataType::Int32.into(),
                    fraction_bits: -3,
                }),
                vec![],
            ))),
        ),
        packet(
            "reads alone",
            ask_fields("run", json!({ "reads": [smart_fields()], "return_reads": true })),
            ask(query::Operation::Run(Run {
                reads: vec![smart()],
                return_reads: true,
                ..Run::default()
            })),
        ),
        packet(
            "description of a model",
            ask_fields("describe", json!({ "model": { "code_id": 7 } })),
            ask(query::Operation::Describe(Describe {
                model: model(7, vec![]),
            })),
        ),
        packet(
            "withdrawal of an amount",
            json!({ "version": 1, "withdraw": {
                "asker": "consumer1asker", "denom": "ucoin", "amount": "340282366920938463463374607431768211455", "receiver": "provider1receiver",
            } }),
            Operation::Withdraw(Withdraw {
                asker: "consumer1asker".into(),
                denom: "ucoin".into(),
                amount: u128::MAX.to_string(),
                receiver: "provider1receiver".into(),
                max_price: String::new(),
            }),
        ),
        packet(
            "withdrawal of all that is left",
            json!({ "version": 1, "withdraw": { "asker": "consumer1asker", "denom": "ucoin", "receiver": "provider1receiver" } }),
            Operation::Withdraw(Withdraw {
                asker: "consumer1asker".into(),
                denom: "ucoin".into(),
                amount: String::new(),
                receiver: "provider1receiver".into(),
                max_price: String::new(),
            }),
        ),
        packet(
            "a new recovery address",
            json!({ "version": 1, "set_recovery": { "asker": "consumer1asker", "recovery": "provider1recovery", "denom": "ucoin" } }),
            Operation::SetRecovery(SetRecovery {
                asker: "consumer1asker".into(),
                recovery: "provider1recovery".into(),
                denom: "ucoin".into(),
                max_price: String::new(),
            }),
        ),
        packet(
            "a free packet",
            json!({ "version": 1, "ask": { "asker": "consumer1asker", "queries": [{ "describe": { "model": { "code_id": 7 } } }] } }),
            Operation::Ask(Ask {
                asker: "consumer1asker".into(),
                queries: vec![Query {
                    operation: Some(query::Operation::Describe(Describe {
                        model: model(7, vec![]),
                    })),
                    ..Query::default()
                }],
                ..Ask::default()
            }),
        ),
        bad_packet("no bytes", json!({}), vec![], ErrorCode::UnsupportedOperation),
        bad_packet(
            "an unknown version",
            json!({ "version": 2, "ask": {} }),
            PacketData {
                version: 2,
                operation: Some(Operation::Ask(Ask::default())),
            }
            .encode_to_vec(),
            ErrorCode::UnsupportedOperation,
        ),
        bad_packet(
            "an unknown operation",
            json!({ "version": 1, "9": {} }),
            vec![8, 1, 74, 0],
            ErrorCode::UnsupportedOperation,
        ),
        bad_packet(
            "257 queries",
            json!({ "version": 1, "ask": { "asker": "a", "queries": "257 times {}" } }),
            encode_packet(Operation::Ask(Ask {
                asker: "a".into(),
                queries: vec![Query::default(); 257],
                ..Ask::default()
            })),
            ErrorCode::InvalidPlan,
        ),
        bad_packet(
            "the operation given twice",
            json!({ "version": 1, "ask": "twice {}" }),
            vec![8, 1, 18, 0, 18, 0],
            ErrorCode::MalformedRequest,
        ),
        bad_packet(
            "an unfinished field",
            json!("?"),
            vec![8, 1, 18, 5, 10],
            ErrorCode::MalformedRequest,
        ),
    ]
}

fn acknowledgements() -> Vec<Vector> {
    let infer = InferResponse {
        outputs: vec![Tensor {
            name: "y".into(),
            ..int8(&[3, -4])
        }],
        receipt: Some(receipt()),
    };
    let infer_fields = json!({
        "outputs": [{ "name": "y", "data_type": "DATA_TYPE_INT8", "shape": [2], "fraction_bits": 2, "data": "hex:03fc" }],
        "receipt": receipt_fields(),
    });
    let port = |name: &str, out_of_range: OutOfRange| TensorInfo {
        name: name.into(),
        shape: vec![1, 2],
        fraction_bits: 2,
        low: -128,
        high: 127,
        out_of_range: out_of_range.into(),
        labels: vec![],
    };
    let info = ModelInfo {
        checksum: vec![0xaa; 32],
        op_set: 0,
        inputs: vec![port("x", OutOfRange::Saturate)],
        outputs: vec![port("y", OutOfRange::Unspecified)],
        parameters: 100,
        stored_bytes: 1_000,
        peak_memory_bytes: 2_000,
        load_gas: 3_000_000,
        run_gas: 40_000,
        gas_schedule: 1,
    };
    let info_fields = json!({
        "checksum": format!("hex:{}", "aa".repeat(32)),
        "inputs": [{ "name": "x", "shape": [1, 2], "fraction_bits": 2, "low": -128, "high": 127, "out_of_range": "OUT_OF_RANGE_SATURATE" }],
        "outputs": [{ "name": "y", "shape": [1, 2], "fraction_bits": 2, "low": -128, "high": 127 }],
        "parameters": 100, "stored_bytes": 1_000, "peak_memory_bytes": 2_000, "load_gas": 3_000_000, "run_gas": 40_000, "gas_schedule": 1,
    });
    let answer = |result| Answer {
        result: Some(result),
        price: "217".into(),
        memo: b"memo".to_vec(),
    };
    let chain_error = |name, text: &str| Vector {
        name,
        kind: "acknowledgement",
        fields: json!(text),
        bytes: text.as_bytes().to_vec(),
        refused: Some(ErrorCode::MalformedAnswer),
    };
    vec![
        answers(
            "a run, with what was read, and a run that failed",
            acknowledged(
                "answers",
                json!({ "answers": [
                    { "run": { "reads": ["hex:5b315d"], "infer": infer_fields }, "price": "217", "memo": "hex:6d656d6f" },
                    { "error": { "code": 10, "message": "no such code" }, "price": "100" },
                ] }),
            ),
            vec![
                answer(answer::Result::Run(RunAnswer {
                    reads: vec![b"[1]".to_vec()],
                    infer: Some(infer),
                })),
                Answer {
                    result: Some(answer::Result::Error(error(ErrorCode::UnknownCodeId, "no such code"))),
                    price: "100".into(),
                    memo: vec![],
                },
            ],
        ),
        answers(
            "reads alone",
            acknowledged(
                "answers",
                json!({ "answers": [{ "run": { "reads": ["hex:5b315d", "hex:"] } }] }),
            ),
            vec![Answer {
                result: Some(answer::Result::Run(RunAnswer {
                    reads: vec![b"[1]".to_vec(), vec![]],
                    infer: None,
                })),
                ..Answer::default()
            }],
        ),
        answers(
            "a description",
            acknowledged(
                "answers",
                json!({ "answers": [{ "description": { "info": info_fields, "price": "104" }, "price": "217", "memo": "hex:6d656d6f" }] }),
            ),
            vec![answer(answer::Result::Description(Description {
                info: Some(info),
                price: "104".into(),
            }))],
        ),
        ack(
            "a withdrawal",
            acknowledged("withdrawn", json!({ "amount": "783" })),
            acknowledgement::Result::Withdrawn(Withdrawn { amount: "783".into() }),
        ),
        ack(
            "a recovery address that was set",
            acknowledged("recovery_set", json!({})),
            acknowledgement::Result::RecoverySet(RecoverySet {}),
        ),
        ack(
            "a packet that was refused",
            acknowledged("error", json!({ "code": 40, "message": "too late" })),
            acknowledgement::Result::Error(error(ErrorCode::Expired, "too late")),
        ),
        chain_error(
            "ibc-go's own: an error",
            r#"{"error":"ABCI code: 5: error handling packet: see events for details"}"#,
        ),
        chain_error("ibc-go's own: a result", r#"{"result":"AQ=="}"#),
    ]
}

/// What was published after those above.
fn added() -> Vec<Vector> {
    vec![
        packet(
            "a withdrawal that pays",
            json!({ "version": 1, "withdraw": {
                "asker": "consumer1asker", "denom": "ucoin", "receiver": "provider1receiver", "max_price": "100",
            } }),
            Operation::Withdraw(Withdraw {
                asker: "consumer1asker".into(),
                denom: "ucoin".into(),
                receiver: "provider1receiver".into(),
                max_price: "100".into(),
                ..Withdraw::default()
            }),
        ),
        packet(
            "a new recovery address that pays",
            json!({ "version": 1, "set_recovery": {
                "asker": "consumer1asker", "recovery": "provider1recovery", "denom": "ucoin", "max_price": "100",
            } }),
            Operation::SetRecovery(SetRecovery {
                asker: "consumer1asker".into(),
                recovery: "provider1recovery".into(),
                denom: "ucoin".into(),
                max_price: "100".into(),
            }),
        ),
        bad_packet(
            "a step's model given twice",
            json!({ "version": 1, "ask": { "asker": "a", "queries": [{ "run": { "steps": [{ "model": "twice { code_id: 7 }" }] } }] } }),
            hex::decode("080112110a0161220c0a0a12080a0208070a020807").unwrap(),
            ErrorCode::MalformedRequest,
        ),
        bad_packet(
            "an input's tensor given twice",
            json!({ "version": 1, "ask": { "asker": "a", "queries": [{ "run": { "steps": [{ "inputs": [{ "tensor": "twice {}" }] }] } }] } }),
            hex::decode("0801120f0a0161220a0a081206120412001200").unwrap(),
            ErrorCode::MalformedRequest,
        ),
        Vector {
            name: "the result given twice",
            kind: "acknowledgement",
            fields: json!({ "version": 1, "withdrawn": "twice {}" }),
            bytes: vec![8, 1, 42, 0, 42, 0],
            refused: Some(ErrorCode::MalformedAnswer),
        },
    ]
}

fn all() -> impl Iterator<Item = Vector> {
    packets().into_iter().chain(acknowledgements()).chain(added())
}

#[test]
fn messages_between_chains_have_the_published_bytes() {
    let published: Value = serde_json::from_str(include_str!("../../../docs/spec/vectors/ibc.json")).unwrap();
    let published = published["vectors"].as_array().unwrap();
    let mut listed = published.iter();
    for vector in all() {
        let entry = listed
            .next()
            .unwrap_or_else(|| panic!("{} is not published", vector.name));
        assert_eq!(entry["name"], vector.name);
        assert_eq!(entry["kind"], vector.kind, "{}", vector.name);
        assert_eq!(entry["fields"], vector.fields, "{}", vector.name);
        assert_eq!(entry["bytes"], hex::encode(&vector.bytes), "{}", vector.name);
        let refused = vector.refused.map_or(Value::Null, |code| (code as u32).into());
        assert_eq!(entry["error"], refused, "{}", vector.name);
    }
    assert_eq!(listed.count(), 0);
}

#[test]
fn published_bytes_are_read_as_they_were_written_or_refused_as_they_say() {
    for vector in all().filter(|vector| vector.kind == "packet") {
        match decode_packet(&vector.bytes) {
            Ok(operation) => {
                assert_eq!(
                    (encode_packet(operation), vector.refused),
                    (vector.bytes, None),
                    "{}",
                    vector.name
                );
            }
            Err(fault) => assert_eq!(Some(fault.code), vector.refused, "{}", vector.name),
        }
    }
    for vector in all().filter(|vector| vector.kind == "acknowledgement") {
        match decode_acknowledgement(&vector.bytes) {
            // The same message, if not the same bytes: prost writes an error before the price.
            Ok(read) => {
                let again = decode_acknowledgement(&read.encode_to_vec());
                assert_eq!((again, vector.refused), (Ok(read), None), "{}", vector.name);
            }
            Err(fault) => assert_eq!(Some(fault.code), vector.refused, "{}", vector.name),
        }
    }
}
