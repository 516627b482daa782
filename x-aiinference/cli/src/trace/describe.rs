//! A record in words, and as JSON. What contracts and nodes wrote may hold anything, so control characters are escaped.

use aiinference_trace::{Asked, Outcome, Position, Record, Said};
use aiinference_types::{
    abi::MAGIC,
    v1::{
        input::Source, model_ref::Reference, request::Operation, response, DataType, Error, ModelRef, Request, Tensor,
    },
    ErrorCode,
};
use prost::Message;
use serde_json::{json, Value};

/// Elements of a tensor that are shown.
const SHOWN: usize = 6;

/// Text without control characters: a log must not drive a terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// `height 12, transaction 3, wasm1.., execute`.
pub fn position(position: &Position) -> String {
    let transaction = match position.transaction {
        Some(n) => format!("transaction {n}"),
        None => "no transaction".to_string(),
    };
    let contract = if position.contract.is_empty() {
        "unknown contract"
    } else {
        &position.contract
    };
    let (contract, entry_point) = (clean(contract), clean(&position.entry_point));
    format!("height {}, {transaction}, {contract}, {entry_point}", position.height)
}

/// `code 4: x [1, 18] of UINT8 2^-4 = 0.5, 0.25, ..`, a step after another.
pub fn request(bytes: &[u8]) -> String {
    let Some(request) = decode(bytes) else {
        return format!("{} bytes that are no request of this version", bytes.len());
    };
    match request.operation {
        Some(Operation::Infer(infer)) => {
            let steps = infer.steps.iter().map(|step| {
                let inputs = step.inputs.iter().map(|input| match &input.source {
                    Some(Source::Tensor(value)) => format!("{}{}", clean(&input.name), tensor(value)),
                    Some(Source::StepOutput(of)) => {
                        format!("{} from {} of step {}", clean(&input.name), clean(&of.output), of.step)
                    }
                    None => format!("{} without a value", clean(&input.name)),
                });
                format!("{}: {}", model(step.model.as_ref()), joined(inputs, "; "))
            });
            let limit = infer.gas_limit.map(|limit| format!(" (at most {limit} gas)"));
            format!("infer {}{}", joined(steps, " | "), limit.unwrap_or_default())
        }
        Some(Operation::ModelInfo(info)) => format!("model_info {}", model(info.model.as_ref())),
        Some(Operation::Verify(verify)) => {
            let outputs = verify.outputs.iter();
            let outputs = outputs.map(|output| format!("{}{}", clean(&output.name), tensor(output)));
            let circuit = model(verify.circuit.as_ref());
            format!(
                "verify {circuit}: {} bytes of proof that {}",
                verify.proof.len(),
                joined(outputs, "; ")
            )
        }
        None => "a request of no operation".to_string(),
    }
}

/// What came of it, with its gas.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done {
            response,
            gas,
            external,
        } => format!("{}; {}", answer(response), spent(*gas, *external)),
        Outcome::OutOfGas { gas, external } => format!("out of gas; {}", spent(*gas, *external)),
        Outcome::Abort { gas, external, fault } => {
            let why = match fault {
                Some(fault) => format!("fault of the node: {}", clean(fault)),
                None => "ended by an inner query".to_string(),
            };
            format!("{why}; {}", spent(*gas, *external))
        }
    }
}

/// What the chain was asked, and said.
pub fn asked(asked: &[Asked]) -> String {
    if asked.is_empty() {
        return "nothing".to_string();
    }
    let lines = asked.iter().map(|asked| {
        let said = match &asked.said {
            Said::Checksum(checksum) => hex::encode(checksum),
            Said::NoSuchCode => "no such code".to_string(),
            Said::Failed(text) => format!("failed: {}", clean(text)),
            Said::Abort => "the call was ended".to_string(),
        };
        format!("code {} -> {said} ({} gas)", asked.code_id, asked.gas)
    });
    joined(lines, ", ")
}

/// A record as JSON, decoded; of tensors the first elements.
pub fn record_json(record: &Record) -> Value {
    let mut value = position_json(&record.position);
    value["caller"] = hex::encode(record.caller).into();
    value["gas_left"] = record.gas_left.into();
    value["request"] = request_json(&record.request);
    value["asked"] = json!(record.asked);
    value["outcome"] = outcome_json(&record.outcome);
    value["kernels"] = record.kernels.as_str().into();
    value["version"] = record.version.as_str().into();
    value
}

/// A place on the chain as JSON.
pub fn position_json(position: &Position) -> Value {
    json!({
        "height": position.height, "transaction": position.transaction,
        "contract": position.contract, "entry_point": position.entry_point,
    })
}

/// A request as JSON.
pub fn request_json(bytes: &[u8]) -> Value {
    match decode(bytes).and_then(|request| request.operation) {
        Some(Operation::Infer(infer)) => {
            let steps = infer.steps.iter().map(|step| {
                let inputs = step.inputs.iter().map(|input| match &input.source {
                    Some(Source::Tensor(value)) => json!({ "name": input.name, "tensor": tensor_json(value) }),
                    Some(Source::StepOutput(of)) => {
                        json!({ "name": input.name, "step": of.step, "output": of.output })
                    }
                    None => json!({ "name": input.name }),
                });
                json!({ "model": model_json(step.model.as_ref()), "inputs": inputs.collect::<Vec<_>>() })
            });
            json!({ "infer": { "steps": steps.collect::<Vec<_>>(), "gas_limit": infer.gas_limit } })
        }
        Some(Operation::ModelInfo(info)) => json!({ "model_info": { "model": model_json(info.model.as_ref()) } }),
        Some(Operation::Verify(verify)) => {
            let tensors = |tensors: &[Tensor]| {
                let named = tensors.iter();
                let named = named.map(|tensor| json!({ "name": tensor.name, "tensor": tensor_json(tensor) }));
                named.collect::<Vec<_>>()
            };
            let hashes = verify.hashes.iter();
            let hashes = hashes.map(|hash| json!({ "name": hash.name, "value": hex::encode(&hash.value) }));
            json!({ "verify": {
                "circuit": model_json(verify.circuit.as_ref()), "proof_bytes": verify.proof.len(),
                "inputs": tensors(&verify.inputs), "hashes": hashes.collect::<Vec<_>>(),
                "outputs": tensors(&verify.outputs),
                "accepted_srs": verify.accepted_srs.iter().map(hex::encode).collect::<Vec<_>>(),
                "accept_unreproducible": verify.accept_unreproducible, "gas_limit": verify.gas_limit,
            } })
        }
        None => json!({ "unknown_bytes": bytes.len() }),
    }
}

/// What came of a request, as JSON.
pub fn outcome_json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Done {
            response,
            gas,
            external,
        } => {
            json!({ "kind": "done", "response": answer_json(response), "gas": gas, "external_gas": external })
        }
        Outcome::OutOfGas { gas, external } => json!({ "kind": "out_of_gas", "gas": gas, "external_gas": external }),
        Outcome::Abort { gas, external, fault } => {
            json!({ "kind": "abort", "fault": fault, "gas": gas, "external_gas": external })
        }
    }
}

/// The result in a response's bytes.
pub fn result(response: &[u8]) -> Option<response::Result> {
    aiinference_types::v1::Response::decode(response).ok()?.result
}

/// `7 (= 0.4375)`: an element's integer, and the real number that it stands for.
pub fn element(tensor: &Tensor, index: usize) -> Option<String> {
    let integer = *tensor.integers().ok()?.get(index)?;
    Some(match real(tensor, integer) {
        Some(real) => format!("{integer} (= {real})"),
        None => integer.to_string(),
    })
}

fn decode(bytes: &[u8]) -> Option<Request> {
    Request::decode(bytes.strip_prefix(MAGIC.as_slice())?).ok()
}

fn spent(gas: u64, external: u64) -> String {
    format!("{gas} gas, and {external} of the chain's")
}

fn answer(bytes: &[u8]) -> String {
    match result(bytes) {
        Some(response::Result::Infer(infer)) => {
            let outputs = infer
                .outputs
                .iter()
                .map(|output| format!("{}{}", clean(&output.name), tensor(output)));
            joined(outputs, "; ")
        }
        Some(response::Result::ModelInfo(info)) => format!(
            "described: {} parameters, {} gas to load and {} to run",
            info.parameters, info.load_gas, info.run_gas
        ),
        Some(response::Result::Verify(verify)) => {
            let verdict = if verify.valid { "valid" } else { "not valid" };
            format!("{verdict}, by circuit {}", hex::encode(verify.circuit_checksum))
        }
        Some(response::Result::Error(error)) => refusal(&error),
        None => format!("{} bytes that are no answer of this version", bytes.len()),
    }
}

/// `refused, OutOfRange (25) in step 0: ..`.
pub fn refusal(error: &Error) -> String {
    let name = ErrorCode::from_number(error.code).map_or("unknown code", ErrorCode::name);
    let message = clean(&error.message);
    format!("refused, {name} ({}) in step {}: {message}", error.code, error.step)
}

fn answer_json(bytes: &[u8]) -> Value {
    match result(bytes) {
        Some(response::Result::Infer(infer)) => {
            let outputs = infer.outputs.iter().map(tensor_json).collect::<Vec<_>>();
            let receipt = infer.receipt.map(|receipt| {
                json!({
                    "inputs_hash": hex::encode(receipt.inputs_hash), "outputs_hash": hex::encode(receipt.outputs_hash),
                    "gas": receipt.gas, "gas_schedule": receipt.gas_schedule, "saturated": receipt.saturated,
                })
            });
            json!({ "infer": { "outputs": outputs, "receipt": receipt } })
        }
        Some(response::Result::ModelInfo(info)) => json!({ "model_info": {
            "checksum": hex::encode(info.checksum), "op_set": info.op_set, "parameters": info.parameters,
            "stored_bytes": info.stored_bytes, "load_gas": info.load_gas, "run_gas": info.run_gas,
        } }),
        Some(response::Result::Verify(verify)) => json!({ "verify": {
            "valid": verify.valid, "circuit_checksum": hex::encode(verify.circuit_checksum),
            "srs": hex::encode(verify.srs), "reproducible": verify.reproducible,
            "gas": verify.gas, "gas_schedule": verify.gas_schedule,
        } }),
        Some(response::Result::Error(error)) => json!({ "error": {
            "code": error.code, "name": ErrorCode::from_number(error.code).map(ErrorCode::name),
            "message": error.message, "step": error.step,
        } }),
        None => json!({ "unknown_bytes": bytes.len() }),
    }
}

fn model(model: Option<&ModelRef>) -> String {
    match model.and_then(|model| model.reference.as_ref()) {
        Some(Reference::CodeId(id)) => format!("code {id}"),
        Some(Reference::OwnCode(_)) => "the contract's own code".to_string(),
        None => "no model".to_string(),
    }
}

fn model_json(model: Option<&ModelRef>) -> Value {
    let Some(model) = model else { return Value::Null };
    let checksum = hex::encode(&model.checksum);
    match &model.reference {
        Some(Reference::CodeId(id)) => json!({ "code_id": id, "checksum": checksum }),
        Some(Reference::OwnCode(_)) => json!({ "own_code": true, "checksum": checksum }),
        None => json!({ "checksum": checksum }),
    }
}

/// ` [1, 2] = 0.5, 0.25`: shape and first elements.
fn tensor(tensor: &Tensor) -> String {
    let shape = &tensor.shape;
    let Ok(integers) = tensor.integers() else {
        return format!(" {shape:?} malformed");
    };
    let values = integers.iter().take(SHOWN).map(|&integer| match real(tensor, integer) {
        Some(real) => real.to_string(),
        None => format!("{integer}e-18"),
    });
    let more = if integers.len() > SHOWN { ", .." } else { "" };
    format!(" {shape:?} = {}{more}", joined(values, ", "))
}

fn tensor_json(tensor: &Tensor) -> Value {
    // As text: they may be wider than JSON's numbers.
    let integers = tensor.integers().unwrap_or_default();
    let first: Vec<String> = integers.iter().take(SHOWN).map(i128::to_string).collect();
    json!({
        "name": tensor.name, "shape": tensor.shape, "fraction_bits": tensor.fraction_bits,
        "data_type": DataType::try_from(tensor.data_type).map_or("unknown", |known| known.as_str_name()),
        "first_integers": first, "bytes": tensor.data.len(),
    })
}

/// The real number of an element; none for decimals, whose unit is no power of two.
fn real(tensor: &Tensor, integer: i128) -> Option<f64> {
    let decimal = tensor.data_type == i32::from(DataType::Decimal);
    (!decimal).then(|| integer as f64 * (-f64::from(tensor.fraction_bits)).exp2())
}

fn joined(parts: impl Iterator<Item = String>, by: &str) -> String {
    parts.collect::<Vec<_>>().join(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_log_drives_no_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc \u{e9}"), "a\\u{1b}[2Jb\\nc \u{e9}");
    }

    #[test]
    fn bytes_that_are_no_request_or_answer_are_told_as_such() {
        for bytes in [&b""[..], b"{}", b"\0aiinf\0\x01\xff\xff", b"\0aiinf\0\x01"] {
            let (text, json) = (request(bytes), request_json(bytes));
            assert!(text.contains("no "), "{text}");
            assert_eq!(json["unknown_bytes"], bytes.len());
        }
        assert!(answer(&[0xff]).contains("no answer"));
    }

    #[test]
    fn the_first_elements_of_a_tensor_are_shown_as_reals() {
        let many = Tensor::from_integers("x".into(), vec![8], 2, -100, 100, &[1, -2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(tensor(&many), " [8] = 0.25, -0.5, 0.75, 1, 1.25, 1.5, ..");
        assert_eq!(element(&many, 1), Some("-2 (= -0.5)".to_string()));
        assert_eq!(element(&many, 8), None);
        let mut cut = many;
        cut.data.pop();
        assert_eq!((tensor(&cut).as_str(), element(&cut, 0)), (" [8] malformed", None));
    }
}
