//! Answers, as `ibc-model-client` hands them on.

use aiinference_types::v1;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{Bytes, Nanos};
use crate::{Error, ErrorCode, ModelInfo, Outputs};

/// What the contract `ibc-model-client` calls back with: the variant `model_answer` of the asking contract's own messages.
///
/// ```
/// # use aiinference_std::remote::ModelAnswer;
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "snake_case")]
/// pub enum ExecuteMsg {
///     ModelAnswer(ModelAnswer),
///     // ..
/// }
/// ```
///
/// Take it from the address of that contract alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct ModelAnswer {
    /// The number of the question, as `ask` gave it.
    pub id: u64,
    /// Who asked.
    pub initiator: String,
    /// What they gave along to be told now.
    pub initiator_msg: Bytes,
    /// How it ended.
    pub result: Outcome,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The queries were answered, each by a result or an error of its own.
    Answered {
        /// The block of the other chain that answered.
        height: u64,
        /// Its time.
        time: Nanos,
        /// One per query, in their order.
        answers: Vec<Answer>,
    },
    /// Credit was paid out on the other chain.
    Withdrawn {
        /// How much.
        amount: String,
    },
    /// The recovery address is another now.
    RecoverySet {},
    /// The packet as a whole came to nothing.
    Error(Failure),
}

impl Outcome {
    /// The answers, one per query; the error where the packet as a whole came to nothing.
    pub fn answers(self) -> Result<Vec<Answer>, Error> {
        match self {
            Outcome::Answered { answers, .. } => Ok(answers),
            Outcome::Error(failure) => Err(failure.into()),
            Outcome::Withdrawn { .. } | Outcome::RecoverySet {} => Err(Error::InvalidAnswer("it answers no query")),
        }
    }
}

/// The answer to one query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct Answer {
    /// What was paid for it, failed or not.
    pub price: String,
    /// The query's memo.
    pub memo: Bytes,
    /// What it gave.
    pub result: AnswerResult,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[serde(rename_all = "snake_case")]
pub enum AnswerResult {
    /// An `aiinference.v1.RunAnswer`; [`Answer::run`] and [`Answer::outputs`] read it.
    Run(Bytes),
    /// An `aiinference.v1.Description`; [`Answer::description`] reads it.
    Description(Bytes),
    /// It failed.
    Error(Failure),
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct Failure {
    /// A number of `docs/spec/errors.md`.
    pub code: u32,
    /// What happened and what to do.
    pub message: String,
    /// The step it belongs to.
    pub step: u32,
}

impl Failure {
    /// The error's code, where it is one that this version knows.
    pub fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_number(self.code)
    }
}

impl From<Failure> for Error {
    fn from(Failure { code, message, step }: Failure) -> Self {
        Error::Refused { code, message, step }
    }
}

/// What a query read and ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAnswer {
    /// What was read, where it was to be returned.
    pub reads: Vec<Vec<u8>>,
    /// What the models gave; None where the query only reads.
    pub outputs: Option<Outputs>,
}

/// What a model takes, gives and costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The model.
    pub info: ModelInfo,
    /// What a run costs whose request takes no gas beyond the model's `load_gas` and `run_gas`.
    pub price: String,
}

const UNREADABLE: Error = Error::InvalidAnswer("its bytes are not the message they should be");

impl Answer {
    /// What the query read and ran.
    pub fn run(&self) -> Result<RunAnswer, Error> {
        let bytes = match &self.result {
            AnswerResult::Run(bytes) => bytes,
            AnswerResult::Description(_) => return Err(Error::InvalidAnswer("it describes a model, none was run")),
            AnswerResult::Error(failure) => return Err(failure.clone().into()),
        };
        let answer = v1::RunAnswer::decode(&bytes[..]).map_err(|_| UNREADABLE)?;
        Ok(RunAnswer {
            reads: answer.reads,
            outputs: answer.infer.map(Outputs::from_message).transpose()?,
        })
    }

    /// What the models gave.
    pub fn outputs(&self) -> Result<Outputs, Error> {
        self.run()?
            .outputs
            .ok_or(Error::InvalidAnswer("the query ran no model"))
    }

    /// The description of a model.
    pub fn description(&self) -> Result<Description, Error> {
        let bytes = match &self.result {
            AnswerResult::Description(bytes) => bytes,
            AnswerResult::Run(_) => return Err(Error::InvalidAnswer("a model was run, none is described")),
            AnswerResult::Error(failure) => return Err(failure.clone().into()),
        };
        let description = v1::Description::decode(&bytes[..]).map_err(|_| UNREADABLE)?;
        Ok(Description {
            info: description.info.ok_or(UNREADABLE)?,
            price: description.price,
        })
    }
}
