//! Answering one query: reading state, making tensors of it, running models.

use aiinference_std::{Host, Operation};
use aiinference_types::{
    abi,
    ibc::{self, Fault},
    limits::{MAX_ACKNOWLEDGEMENT_BYTES, MAX_REQUEST_BYTES},
    v1::{self, model_ref::Reference, read, read_value::Format, run_input},
    ErrorCode,
};
use cosmwasm_std::{to_json_vec, Binary, ContractResult, Empty, QuerierWrapper, QueryRequest, SystemResult, WasmQuery};
use prost::Message;

use crate::{json, price::Allowance};

/// What is to be done for a query.
#[derive(Debug)]
pub enum Task {
    /// Models alone: one request to the extension, which has a gas limit of its own.
    Request(Vec<u8>),
    /// Anything else: in a call of its own.
    Call(v1::query::Operation),
}

/// The part of an `aiinference.v1.Request` that is asked here. Other operations would be dead weight.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(message, optional, tag = "1")]
    infer: Option<v1::InferRequest>,
    #[prost(message, optional, tag = "2")]
    model_info: Option<v1::ModelInfoRequest>,
}

impl Question {
    fn infer(request: v1::InferRequest) -> Self {
        Question {
            infer: Some(request),
            model_info: None,
        }
    }

    fn model_info(request: v1::ModelInfoRequest) -> Self {
        Question {
            infer: None,
            model_info: Some(request),
        }
    }
}

/// The part of an `aiinference.v1.Response` that can answer it.
#[derive(Clone, PartialEq, Message)]
struct Reply {
    #[prost(message, optional, tag = "1")]
    infer: Option<v1::InferResponse>,
    #[prost(message, optional, tag = "2")]
    model_info: Option<v1::ModelInfo>,
    #[prost(message, optional, tag = "15")]
    error: Option<v1::Error>,
}

/// What to do for a query, if all its parts refer to what is there, and then if it is allowed any gas.
pub fn task(
    operation: Option<v1::query::Operation>,
    allowance: Result<Allowance, Fault>,
) -> Result<(Task, Allowance), Fault> {
    let operation = operation.ok_or_else(|| {
        Fault::new(
            ErrorCode::UnsupportedOperation,
            "reading the query: it is of a kind unknown on this chain",
        )
    })?;
    match operation {
        v1::query::Operation::Describe(describe) => {
            check_model(describe.model.as_ref())?;
            Ok((Task::Call(v1::query::Operation::Describe(describe)), allowance?))
        }
        v1::query::Operation::Run(run) => {
            check_run(&run)?;
            let allowance = allowance?;
            if !run.reads.is_empty() {
                return Ok((Task::Call(v1::query::Operation::Run(run)), allowance));
            }
            let mut request = infer_request(run.steps, run.outputs, &[])?;
            request.gas_limit = Some(allowance.gas);
            let request = encode(&Question::infer(request))?;
            Ok((Task::Request(request), allowance))
        }
    }
}

fn check_run(run: &v1::Run) -> Result<(), Fault> {
    if run.reads.is_empty() && run.steps.is_empty() {
        let message = "reading the query: it neither reads nor runs anything";
        return Err(Fault::new(ErrorCode::InvalidPlan, message));
    }
    if run.reads.iter().any(|read| read.query.is_none()) {
        let message = "reading the query: a read is neither smart nor raw";
        return Err(Fault::new(ErrorCode::MalformedRequest, message));
    }
    for step in &run.steps {
        check_model(step.model.as_ref())?;
        for input in &step.inputs {
            match &input.source {
                Some(run_input::Source::ReadValue(value)) => check_value(value, run.reads.len())?,
                Some(_) => {}
                None => {
                    let message = "reading the query: an input has no value of a kind known on this chain";
                    return Err(Fault::new(ErrorCode::MalformedRequest, message));
                }
            }
        }
    }
    Ok(())
}

fn check_value(value: &v1::ReadValue, reads: usize) -> Result<(), Fault> {
    if value.format.is_none() {
        let message = "reading the query: an input does not say how a read becomes numbers";
        return Err(Fault::new(ErrorCode::MalformedRequest, message));
    }
    // On all targets of this contract u32 fits usize.
    if value.read as usize >= reads {
        let message = format!("reading the query: an input takes read {}, of {reads}", value.read);
        return Err(Fault::new(ErrorCode::InvalidPlan, message));
    }
    Ok(())
}

fn check_model(model: Option<&v1::ModelRef>) -> Result<(), Fault> {
    match model.and_then(|model| model.reference.as_ref()) {
        Some(Reference::CodeId(_)) => Ok(()),
        _ => {
            let message = "reading the query: name models by code id";
            Err(Fault::new(ErrorCode::MalformedRequest, message))
        }
    }
}

/// A request to the extension, with what was read put in.
fn infer_request(
    steps: Vec<v1::RunStep>,
    outputs: Vec<v1::StepOutput>,
    reads: &[Vec<u8>],
) -> Result<v1::InferRequest, Fault> {
    let steps = steps.into_iter().map(|step| {
        let inputs = step.inputs.into_iter().map(|input| {
            use v1::input::Source;
            let source = match input.source {
                Some(run_input::Source::Tensor(tensor)) => Some(Source::Tensor(tensor)),
                Some(run_input::Source::StepOutput(output)) => Some(Source::StepOutput(output)),
                Some(run_input::Source::ReadValue(value)) => Some(Source::Tensor(tensor(value, reads)?)),
                None => None,
            };
            Ok(v1::Input {
                name: input.name,
                source,
            })
        });
        Ok(v1::Step {
            model: step.model,
            inputs: inputs.collect::<Result<_, Fault>>()?,
        })
    });
    Ok(v1::InferRequest {
        steps: steps.collect::<Result<_, Fault>>()?,
        outputs,
        gas_limit: None,
    })
}

/// What was read, as a tensor.
fn tensor(value: v1::ReadValue, reads: &[Vec<u8>]) -> Result<v1::Tensor, Fault> {
    let not_numbers = |why: &str| {
        let message = format!("taking numbers from read {}: {why}", value.read);
        Fault::new(ErrorCode::NotNumbers, message)
    };
    let bytes = reads.get(value.read as usize).map(Vec::as_slice).unwrap_or_default();
    let (data_type, fraction_bits, data, count) = match &value.format {
        Some(Format::Json(v1::JsonValue { pointer })) => {
            let numbers = json::numbers(bytes, pointer).map_err(|error| not_numbers(&error.to_string()))?;
            let data: Vec<u8> = numbers.iter().flat_map(|units| units.to_le_bytes()).collect();
            (v1::DataType::Decimal.into(), 0, data, numbers.len())
        }
        Some(Format::Bytes(format)) => {
            let width = v1::DataType::try_from(format.data_type).map_or(0, |data_type| data_type.width());
            if width == 0 || !bytes.len().is_multiple_of(width) {
                return Err(not_numbers("its bytes are not whole elements of the data type"));
            }
            if bytes.len() > MAX_REQUEST_BYTES {
                return Err(too_large(bytes.len()));
            }
            let format = (format.data_type, format.fraction_bits);
            (format.0, format.1, bytes.to_vec(), bytes.len() / width)
        }
        None => return Err(not_numbers("no format is given")),
    };
    let shape = if value.shape.is_empty() {
        // Of at most MAX_REQUEST_BYTES.
        vec![count as u32]
    } else {
        if elements(&value.shape) != Some(count as u64) {
            return Err(not_numbers(&format!(
                "the shape given does not have its {count} elements"
            )));
        }
        value.shape
    };
    Ok(v1::Tensor {
        name: String::new(),
        data_type,
        shape,
        fraction_bits,
        data,
    })
}

fn elements(shape: &[u32]) -> Option<u64> {
    aiinference_types::tensor::element_count(shape).ok()
}

fn too_large(size: usize) -> Fault {
    let message =
        format!("asking the models: {size} bytes of input, and {MAX_REQUEST_BYTES} are allowed for a request");
    Fault::new(ErrorCode::RequestTooLarge, message)
}

/// The bytes of a request, if the extension takes so many.
fn encode(request: &Question) -> Result<Vec<u8>, Fault> {
    let size = abi::MAGIC.len() + request.encoded_len();
    if size > MAX_REQUEST_BYTES {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&abi::MAGIC);
    // A Vec grows, so there is always room.
    request.encode(&mut bytes).ok();
    Ok(bytes)
}

/// Asks the extension.
fn call(querier: QuerierWrapper, operation: Operation, request: &[u8]) -> Result<Reply, v1::Error> {
    let unreadable = || fault(ErrorCode::ChainQueryFailed, "asking the models: the answer is none");
    let answer = querier
        .call(operation, request)
        .map_err(|error| v1::Error::from(Fault::new(ErrorCode::ChainQueryFailed, error.to_string())))?;
    let mut reply = Reply::decode(answer.as_slice()).map_err(|_| unreadable())?;
    match reply.error.take() {
        Some(error) => Err(ibc::error(error.code, error.message, error.step)),
        None => Ok(reply),
    }
}

fn another() -> v1::Error {
    fault(ErrorCode::ChainQueryFailed, "asking the models: the answer is another")
}

fn fault(code: ErrorCode, message: &str) -> v1::Error {
    Fault::new(code, message).into()
}

/// Runs models alone.
pub fn infer(querier: QuerierWrapper, request: &[u8]) -> Result<v1::InferResponse, v1::Error> {
    call(querier, Operation::Infer, request)?.infer.ok_or_else(another)
}

/// Answers a query within a call of its own.
pub fn answer(querier: QuerierWrapper, operation: v1::query::Operation, gas_limit: u64) -> v1::answer::Result {
    let result = match operation {
        v1::query::Operation::Run(run) => run_with_reads(querier, run, gas_limit).map(v1::answer::Result::Run),
        v1::query::Operation::Describe(describe) => {
            describe_model(querier, describe).map(v1::answer::Result::Description)
        }
    };
    let result = result.unwrap_or_else(v1::answer::Result::Error);
    let size = result.encoded_len();
    if size > MAX_ACKNOWLEDGEMENT_BYTES {
        let message = format!("answering: {size} bytes fit no acknowledgement; return less");
        return v1::answer::Result::Error(fault(ErrorCode::ResponseTooLarge, &message));
    }
    result
}

fn run_with_reads(querier: QuerierWrapper, run: v1::Run, gas_limit: u64) -> Result<v1::RunAnswer, v1::Error> {
    let mut reads = Vec::with_capacity(run.reads.len());
    for (number, read) in run.reads.into_iter().enumerate() {
        reads.push(read_state(querier, number, read)?);
    }
    let return_reads = run.return_reads || run.steps.is_empty();
    let infer = if run.steps.is_empty() {
        None
    } else {
        let mut request = infer_request(run.steps, run.outputs, &reads)?;
        request.gas_limit = Some(gas_limit);
        Some(infer(querier, &encode(&Question::infer(request))?)?)
    };
    Ok(v1::RunAnswer {
        reads: if return_reads { reads } else { vec![] },
        infer,
    })
}

fn read_state(querier: QuerierWrapper, number: usize, read: v1::Read) -> Result<Vec<u8>, Fault> {
    let failed = |why: String| {
        let message = format!("reading state, read {number}: {why}");
        Fault::new(ErrorCode::ReadFailed, message)
    };
    let contract_addr = read.contract;
    let query = match read.query {
        Some(read::Query::Smart(msg)) => WasmQuery::Smart {
            contract_addr,
            msg: Binary::new(msg),
        },
        Some(read::Query::Raw(key)) => WasmQuery::Raw {
            contract_addr,
            key: Binary::new(key),
        },
        None => return Err(failed("it is neither smart nor raw".to_string())),
    };
    let request: QueryRequest<Empty> = query.into();
    let request = to_json_vec(&request).map_err(|error| failed(error.to_string()))?;
    // The VM's own cap, above which it traps.
    if request.len() > MAX_REQUEST_BYTES {
        return Err(too_large(request.len()));
    }
    match querier.raw_query(&request) {
        SystemResult::Ok(ContractResult::Ok(answer)) => Ok(answer.into()),
        SystemResult::Ok(ContractResult::Err(error)) => Err(failed(error)),
        SystemResult::Err(error) => Err(failed(error.to_string())),
    }
}

fn describe_model(querier: QuerierWrapper, describe: v1::Describe) -> Result<v1::Description, v1::Error> {
    let request = v1::ModelInfoRequest { model: describe.model };
    let request = encode(&Question::model_info(request))?;
    let info = call(querier, Operation::ModelInfo, &request)?.model_info;
    Ok(v1::Description {
        info: Some(info.ok_or_else(another)?),
        price: String::new(),
    })
}
