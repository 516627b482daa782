//! From what the other chain sent back to how a question ended. Nothing that it sends is an error here.

use aiinference_std::remote::{Answer, AnswerResult, Failure, Nanos, Outcome};
use aiinference_types::{
    ibc::{self, PACKET_VERSION},
    limits::{MAX_ACKNOWLEDGEMENT_BYTES, MAX_ERROR_BYTES},
    v1::{self, acknowledgement::Result as Ended, answer, packet_data::Operation as Payload, query},
    ErrorCode,
};
use cosmwasm_std::from_json;
use prost::Message;
use serde::Deserialize;

/// How a question ended: the acknowledgement that says so, the other chain's or one made here.
pub struct Judged {
    /// Its bytes, to be kept.
    pub bytes: Vec<u8>,
    /// Its meaning, to be told.
    pub outcome: Outcome,
}

/// ibc-go's own acknowledgement of a failure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainError {
    error: String,
}

/// What an acknowledgement means for the packet that was sent, at this chain's time `now` in nanoseconds.
pub fn judge(packet: &[u8], acknowledgement: &[u8], now: u64) -> Judged {
    match understood(packet, acknowledgement) {
        Ok((_, valid_until)) if valid_until != 0 && now > valid_until => failed(
            ErrorCode::Expired,
            "the answer came later than it was wanted; allow more time (valid_for)",
        ),
        Ok((message, _)) => Judged {
            bytes: acknowledgement.to_vec(),
            outcome: outcome(message),
        },
        Err(failure) => failure,
    }
}

/// The packet was not relayed in time.
pub fn timed_out() -> Judged {
    failed(
        ErrorCode::TimedOut,
        "the packet was not relayed in time, nothing was done or paid; ask again, and see whether a relayer serves the channel",
    )
}

/// The channel was closed before an answer came.
pub fn abandoned() -> Judged {
    failed(
        ErrorCode::Abandoned,
        "the channel was closed before an answer came; whether the question was answered and paid, the other chain knows",
    )
}

/// The meaning of bytes that were kept.
pub fn kept(bytes: &[u8]) -> Outcome {
    let message = v1::Acknowledgement::decode(bytes).unwrap_or_default();
    outcome(message)
}

/// The acknowledgement, if it is one that fits the packet, and until when it is wanted.
fn understood(packet: &[u8], acknowledgement: &[u8]) -> Result<(v1::Acknowledgement, u64), Judged> {
    let malformed = |problem| failed(ErrorCode::MalformedAnswer, problem);
    // The size of the rest is checked where it is read.
    if acknowledgement.starts_with(b"{") && acknowledgement.len() <= MAX_ACKNOWLEDGEMENT_BYTES {
        return Err(match from_json::<ChainError>(acknowledgement) {
            Ok(ChainError { error }) => failed(ErrorCode::RefusedByChain, &error),
            Err(_) => malformed("the acknowledgement is JSON, but no error of ibc-go"),
        });
    }
    let message = ibc::decode_acknowledgement(acknowledgement).map_err(|fault| failed(fault.code, &fault.message))?;
    let payload = v1::PacketData::decode(packet).unwrap_or_default().operation;
    let (fits, valid_until) = match (&payload, &message.result) {
        // An error is handed on however late: it tells more than its lateness.
        (Some(_), Some(Ended::Error(_))) => (true, 0),
        (Some(Payload::Ask(ask)), Some(Ended::Answers(list))) => {
            let pairs = || ask.queries.iter().zip(&list.answers);
            let fits = ask.queries.len() == list.answers.len() && pairs().all(|(query, answer)| answers(query, answer));
            (fits, ask.valid_until)
        }
        (Some(Payload::Withdraw(_)), Some(Ended::Withdrawn(withdrawn))) => {
            (ibc::amount(&withdrawn.amount).is_some(), 0)
        }
        (Some(Payload::SetRecovery(_)), Some(Ended::RecoverySet(_))) => (true, 0),
        _ => (false, 0),
    };
    match fits {
        true => Ok((message, valid_until)),
        false => Err(malformed("the acknowledgement does not fit the question")),
    }
}

/// Whether this can be the answer to this query.
fn answers(query: &v1::Query, answer: &v1::Answer) -> bool {
    let kind = match (&query.operation, &answer.result) {
        (Some(query::Operation::Run(run)), Some(answer::Result::Run(result))) => {
            result.infer.is_some() != run.steps.is_empty()
        }
        (Some(query::Operation::Describe(_)), Some(answer::Result::Description(description))) => {
            description.info.is_some() && ibc::amount(&description.price).is_some()
        }
        (_, Some(answer::Result::Error(_))) => true,
        _ => false,
    };
    kind && query.memo == answer.memo && ibc::amount(&answer.price).is_some()
}

fn outcome(message: v1::Acknowledgement) -> Outcome {
    match message.result {
        Some(Ended::Answers(list)) => Outcome::Answered {
            height: message.height,
            time: Nanos(message.time),
            answers: list.answers.into_iter().map(told).collect(),
        },
        Some(Ended::Withdrawn(withdrawn)) => Outcome::Withdrawn {
            amount: amount(withdrawn.amount),
        },
        Some(Ended::RecoverySet(_)) => Outcome::RecoverySet {},
        Some(Ended::Error(error)) => Outcome::Error(failure(error)),
        // Nothing without a result is kept.
        None => Outcome::Error(failure(v1::Error {
            code: ErrorCode::MalformedAnswer as u32,
            ..Default::default()
        })),
    }
}

fn told(answer: v1::Answer) -> Answer {
    Answer {
        price: amount(answer.price),
        memo: answer.memo.into(),
        result: match answer.result {
            Some(answer::Result::Run(run)) => AnswerResult::Run(run.encode_to_vec().into()),
            Some(answer::Result::Description(description)) => {
                AnswerResult::Description(description.encode_to_vec().into())
            }
            Some(answer::Result::Error(error)) => AnswerResult::Error(failure(error)),
            None => AnswerResult::Run(Vec::new().into()),
        },
    }
}

fn failure(error: v1::Error) -> Failure {
    Failure {
        code: error.code,
        message: clean(&error.message),
        step: error.step,
    }
}

fn failed(code: ErrorCode, message: &str) -> Judged {
    let error = v1::Error {
        code: code as u32,
        message: clean(message),
        step: 0,
    };
    let message = v1::Acknowledgement {
        version: PACKET_VERSION,
        result: Some(Ended::Error(error)),
        ..Default::default()
    };
    Judged {
        bytes: message.encode_to_vec(),
        outcome: outcome(message),
    }
}

/// Nothing stands for 0.
fn amount(digits: String) -> String {
    match digits.as_str() {
        "" => "0".to_owned(),
        _ => digits,
    }
}

/// A foreign text as it may be shown: of bounded length, without control characters.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len().min(MAX_ERROR_BYTES));
    for character in text.chars() {
        let shown = if character.is_control() { ' ' } else { character };
        if cleaned.len() + shown.len_utf8() > MAX_ERROR_BYTES {
            break;
        }
        cleaned.push(shown);
    }
    cleaned
}

/// What this end answers to questions: it takes none.
pub fn refusal(env: &cosmwasm_std::Env) -> Vec<u8> {
    let error = v1::Error {
        code: ErrorCode::UnsupportedOperation as u32,
        message: "this end of the channel asks questions, it answers none".to_owned(),
        step: 0,
    };
    v1::Acknowledgement {
        version: PACKET_VERSION,
        height: env.block.height,
        time: env.block.time.nanos(),
        result: Some(Ended::Error(error)),
    }
    .encode_to_vec()
}
