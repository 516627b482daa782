//! Questions.

use aiinference_types::v1::{self, query::Operation, read, read_value::Format, run_input::Source, DataType};
use prost::Message;

use crate::{Model, Tensor};

/// One question to a model of another chain: reads there, then models run in order. What one gives to the next never
/// leaves that chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Query(v1::Query);

impl Default for Query {
    fn default() -> Self {
        Query::new()
    }
}

impl Query {
    /// A question without reads and steps.
    pub fn new() -> Self {
        Query::of(Operation::Run(v1::Run::default()))
    }

    /// Asks what a model takes, gives and costs.
    pub fn describe(model: &Model) -> Self {
        let model = Some(model.to_message());
        Query::of(Operation::Describe(v1::Describe { model }))
    }

    fn of(operation: Operation) -> Self {
        Query(v1::Query {
            operation: Some(operation),
            ..Default::default()
        })
    }

    /// Reads by a smart query, a JSON message, of a contract on the other chain. Reads count from 0.
    ///
    /// A question without steps answers what was read.
    pub fn read_smart(self, contract: impl Into<String>, message: impl Into<Vec<u8>>) -> Self {
        self.read(contract.into(), read::Query::Smart(message.into()))
    }

    /// Reads what a contract on the other chain stores under a key; nothing reads as no bytes. Reads count from 0.
    pub fn read_raw(self, contract: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        self.read(contract.into(), read::Query::Raw(key.into()))
    }

    fn read(self, contract: String, query: read::Query) -> Self {
        let query = Some(query);
        self.with(|run| run.reads.push(v1::Read { contract, query }))
    }

    /// Adds a model run; the model by code id. Steps count from 0. Inputs are [`Tensor`]s and [`Input`]s.
    pub fn step<I>(self, model: &Model, inputs: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        let model = Some(model.to_message());
        let inputs = inputs.into_iter().map(|input| input.into().0).collect();
        self.with(|run| run.steps.push(v1::RunStep { model, inputs }))
    }

    /// Asks for an output of a step; may be repeated. Without, all outputs of the last step are returned.
    pub fn returning(self, step: u32, output: impl Into<String>) -> Self {
        let output = output.into();
        self.with(|run| run.outputs.push(v1::StepOutput { step, output }))
    }

    /// Asks for what was read, too.
    pub fn returning_reads(self) -> Self {
        self.with(|run| run.return_reads = true)
    }

    /// The most gas that it may use, in CosmWasm gas of the other chain; without, none. More is answered with
    /// [`GasLimitExceeded`](crate::ErrorCode::GasLimitExceeded).
    pub fn gas_limit(mut self, gas: u64) -> Self {
        self.0.gas_limit = gas;
        self
    }

    /// The largest price accepted, in units of the denom that is paid with; without, none.
    pub fn max_price(mut self, price: u128) -> Self {
        self.0.max_price = price.to_string();
        self
    }

    /// Bytes that come back with the answer, at most 256.
    pub fn memo(mut self, memo: impl Into<Vec<u8>>) -> Self {
        self.0.memo = memo.into();
        self
    }

    /// The bytes of an `aiinference.v1.Query`, as `ibc-model-client` takes it.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    // A description reads and runs nothing: what is added to it is dropped.
    fn with(mut self, change: impl FnOnce(&mut v1::Run)) -> Self {
        if let Some(Operation::Run(run)) = &mut self.0.operation {
            change(run);
        }
        self
    }
}

/// A value for one input of a model: a tensor, what an earlier step of the same question gave, or what it read.
#[derive(Clone, Debug, PartialEq)]
pub struct Input(v1::RunInput);

impl Input {
    /// Output `output` of step number `step` (from 0) of the same question.
    pub fn from_step(step: u32, output: impl Into<String>) -> Self {
        let output = output.into();
        Input::of(Source::StepOutput(v1::StepOutput { step, output }))
    }

    /// What read number `read` (from 0) of the same question gave.
    pub fn read(read: u32) -> ReadInput {
        ReadInput(read)
    }

    /// For the model's input of this name; may be left out where the model has just one.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// With these extents, row-major; only for what was read, which has one axis without. A [`Tensor`] has its own.
    pub fn shaped(mut self, shape: &[u32]) -> Self {
        if let Some(Source::ReadValue(value)) = &mut self.0.source {
            value.shape = shape.to_vec();
        }
        self
    }

    fn of(source: Source) -> Self {
        Input(v1::RunInput {
            name: String::new(),
            source: Some(source),
        })
    }
}

impl From<Tensor> for Input {
    fn from(tensor: Tensor) -> Self {
        let mut tensor = tensor.0;
        let name = core::mem::take(&mut tensor.name);
        Input::of(Source::Tensor(tensor)).named(name)
    }
}

impl From<&Tensor> for Input {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone().into()
    }
}

impl From<&Input> for Input {
    fn from(input: &Input) -> Self {
        input.clone()
    }
}

/// What was read, to be made an [`Input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "say by `json` or `bytes` what it is"]
pub struct ReadInput(u32);

impl ReadInput {
    /// Numbers of a JSON text: the value that the pointer (RFC 6901) names, or the whole text for an empty one. A number, a
    /// string that holds one, a boolean, or an array of such.
    pub fn json(self, pointer: impl Into<String>) -> Input {
        let pointer = pointer.into();
        self.value(Format::Json(v1::JsonValue { pointer }))
    }

    /// The bytes themselves as elements of this type, each worth `integer * 2^-fraction_bits`.
    pub fn bytes(self, data_type: DataType, fraction_bits: i32) -> Input {
        self.value(Format::Bytes(v1::BytesValue {
            data_type: data_type.into(),
            fraction_bits,
        }))
    }

    fn value(self, format: Format) -> Input {
        Input::of(Source::ReadValue(v1::ReadValue {
            read: self.0,
            shape: Vec::new(),
            format: Some(format),
        }))
    }
}
