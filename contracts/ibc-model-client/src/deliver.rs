//! Ends questions: tells the initiator, or keeps the result.

use aiinference_std::remote::{ModelAnswer, Outcome};
use cosmwasm_std::{
    from_json, to_json_binary, Attribute, DepsMut, IbcBasicResponse, IbcPacketAckMsg, IbcPacketTimeoutMsg, MessageInfo,
    Reply, Response, StdError, StdResult, Storage, SubMsg, SubMsgResult, Timestamp, WasmMsg,
};
use prost::Message;

use crate::{
    answer::{self, Judged},
    contract::CALLED_BACK,
    msg::{CallbackMsg, Question, State},
    state::{self, CHANNELS, CONFIG, PENDING, QUESTIONS},
    ContractError,
};

/// Chains promise to carry at least 128 KiB with a submessage. A larger result is stored while the callback runs.
const MAX_CARRIED_BYTES: usize = 96 << 10;

/// What travels with a callback: all that is needed to store the question again where it fails.
#[derive(Clone, PartialEq, Message)]
struct Carried {
    /// The question, as JSON.
    #[prost(bytes = "vec", tag = "1")]
    question: Vec<u8>,
    /// Its result; empty where that is stored.
    #[prost(bytes = "vec", tag = "2")]
    result: Vec<u8>,
}

/// The other chain acknowledged a packet.
pub fn acknowledged(deps: DepsMut, now: Timestamp, msg: IbcPacketAckMsg) -> StdResult<IbcBasicResponse> {
    let packet = msg.original_packet;
    end(deps.storage, &packet.src.channel_id, packet.sequence, || {
        answer::judge(&packet.data, &msg.acknowledgement.data, now.nanos())
    })
}

/// A packet timed out.
pub fn timed_out(deps: DepsMut, msg: IbcPacketTimeoutMsg) -> StdResult<IbcBasicResponse> {
    let packet = msg.packet;
    end(deps.storage, &packet.src.channel_id, packet.sequence, answer::timed_out)
}

fn end(
    storage: &mut dyn Storage,
    channel: &str,
    sequence: u64,
    judge: impl FnOnce() -> Judged,
) -> StdResult<IbcBasicResponse> {
    let question = match PENDING.may_load(storage, (channel, sequence))? {
        Some(id) => QUESTIONS.may_load(storage, id)?,
        None => None,
    };
    let response = IbcBasicResponse::new();
    let Some(question) = question else {
        return Ok(response
            .add_attribute("action", "unknown")
            .add_attribute("channel", channel)
            .add_attribute("sequence", sequence.to_string()));
    };
    let (attributes, message) = tell(storage, question, judge())?;
    Ok(response.add_attributes(attributes).add_submessages(message))
}

/// Ends a question that is pending: the event, and the callback if one was asked for.
fn tell(storage: &mut dyn Storage, question: Question, judged: Judged) -> StdResult<(Vec<Attribute>, Option<SubMsg>)> {
    // From here on nobody finds the question any more: no second end, and no hand of the callback on it.
    PENDING.remove(storage, (&question.channel, question.sequence));
    state::remove(storage, &question);

    let Judged { bytes, outcome } = judged;
    let mut attributes = vec![
        Attribute::new("action", "answer"),
        Attribute::new("id", question.id.to_string()),
        Attribute::new("initiator", question.initiator.as_str()),
        Attribute::new("outcome", name(&outcome)),
        Attribute::new("callback", question.callback.is_some().to_string()),
    ];
    if let Outcome::Error(failure) = &outcome {
        attributes.push(Attribute::new("code", failure.code.to_string()));
    }
    let Some(message) = callback(&question, outcome)? else {
        store(storage, question, State::Kept {}, Some(&bytes))?;
        return Ok((attributes, None));
    };
    let mut carried = Carried {
        question: to_json_binary(&question)?.into(),
        result: bytes,
    };
    let message = if carried.result.len() > MAX_CARRIED_BYTES {
        state::save_result(storage, question.id, &carried.result);
        carried.result.clear();
        SubMsg::reply_always(message, CALLED_BACK)
    } else {
        // A callback that succeeds leaves nothing to do.
        SubMsg::reply_on_error(message, CALLED_BACK)
    };
    let gas_limit = question.callback.map_or(0, |callback| callback.gas_limit);
    let message = message.with_gas_limit(gas_limit).with_payload(carried.encode_to_vec());
    Ok((attributes, Some(message)))
}

/// Ends a question whose channel is closed: ibc-go takes no acknowledgement any more. A timeout that comes later finds nothing.
pub fn abandon(deps: DepsMut, info: MessageInfo, id: u64) -> Result<Response, ContractError> {
    let refuse = |problem| ContractError::Question {
        action: "abandoning",
        id,
        problem,
    };
    let question = QUESTIONS.may_load(deps.storage, id)?;
    let question = question.ok_or_else(|| refuse("is not here: it was never asked, is being told, or was told"))?;
    assert_initiator_or_owner(deps.storage, &info, &question, "abandoning")?;
    match question.state {
        State::Sent {} => {}
        State::Kept {} | State::Undelivered { .. } => return Err(refuse("has ended; fetch its result, or discard it")),
    }
    let channel = CHANNELS.may_load(deps.storage, &question.channel)?;
    if channel.is_some_and(|channel| channel.open) {
        return Err(ContractError::OpenChannel(question.channel));
    }
    let (attributes, message) = tell(deps.storage, question, answer::abandoned())?;
    Ok(Response::new().add_attributes(attributes).add_submessages(message))
}

fn assert_initiator_or_owner(
    storage: &dyn Storage,
    info: &MessageInfo,
    question: &Question,
    action: &'static str,
) -> Result<(), ContractError> {
    if info.sender != question.initiator && info.sender != CONFIG.load(storage)?.owner {
        return Err(ContractError::Unauthorized {
            action,
            role: "the initiator or the owner",
        });
    }
    Ok(())
}

/// A callback has run.
pub fn called_back(deps: DepsMut, reply: Reply) -> Result<Response, ContractError> {
    let carried = Carried::decode(&reply.payload[..]).map_err(|error| StdError::msg(error.to_string()))?;
    let question: Question = from_json(&carried.question)?;
    let SubMsgResult::Err(reason) = reply.result else {
        state::remove_result(deps.storage, question.id);
        return Ok(Response::new());
    };
    let gas_limit = question.callback.as_ref().map_or(0, |callback| callback.gas_limit);
    let reason = match reason.as_str() {
        // The SDK's number; chains hide the text.
        "codespace: sdk, code: 11" => format!("it ran out of its gas limit of {gas_limit}"),
        reason => answer::clean(reason),
    };
    let response = Response::new()
        .add_attribute("action", "undelivered")
        .add_attribute("id", question.id.to_string())
        .add_attribute("initiator", question.initiator.as_str())
        .add_attribute("reason", reason.as_str());
    // An empty result was stored before the callback.
    let result = Some(&carried.result[..]).filter(|result| !result.is_empty());
    store(deps.storage, question, State::Undelivered { reason }, result)?;
    Ok(response)
}

/// Tries a callback again.
pub fn deliver(deps: DepsMut, info: MessageInfo, id: u64, gas_limit: u64) -> Result<Response, ContractError> {
    let question = ended(deps.storage, "delivering", id)?;
    assert_initiator_or_owner(deps.storage, &info, &question, "delivering")?;
    let outcome = answer::kept(&state::load_result(deps.storage, id));
    let message = callback(&question, outcome)?.ok_or(ContractError::Question {
        action: "delivering",
        id,
        problem: "was asked without a callback; fetch its result by the query `question`",
    })?;
    forget(deps.storage, &question);
    Ok(Response::new()
        .add_submessage(SubMsg::new(message).with_gas_limit(gas_limit))
        .add_attribute("action", "deliver")
        .add_attribute("id", id.to_string())
        .add_attribute("initiator", question.initiator))
}

/// Forgets a result.
pub fn discard(deps: DepsMut, info: MessageInfo, id: u64) -> Result<Response, ContractError> {
    let question = ended(deps.storage, "discarding", id)?;
    if info.sender != question.initiator {
        return Err(ContractError::Unauthorized {
            action: "discarding",
            role: "the initiator",
        });
    }
    forget(deps.storage, &question);
    Ok(Response::new()
        .add_attribute("action", "discard")
        .add_attribute("id", id.to_string())
        .add_attribute("initiator", question.initiator))
}

/// A question whose result is here.
fn ended(storage: &dyn Storage, action: &'static str, id: u64) -> Result<Question, ContractError> {
    let refuse = |problem| ContractError::Question { action, id, problem };
    let question = QUESTIONS.may_load(storage, id)?;
    let question =
        question.ok_or_else(|| refuse("is not here: it was never asked, is being told, or was told or discarded"))?;
    match question.state {
        State::Sent {} => Err(refuse("has no answer yet")),
        State::Kept {} | State::Undelivered { .. } => Ok(question),
    }
}

fn store(storage: &mut dyn Storage, mut question: Question, state: State, result: Option<&[u8]>) -> StdResult<()> {
    if let Some(result) = result {
        state::save_result(storage, question.id, result);
    }
    question.state = state;
    state::save(storage, &question)
}

fn forget(storage: &mut dyn Storage, question: &Question) {
    state::remove(storage, question);
    state::remove_result(storage, question.id);
}

/// The message that tells a contract the result, if one was asked for.
fn callback(question: &Question, result: Outcome) -> StdResult<Option<WasmMsg>> {
    let Some(callback) = &question.callback else {
        return Ok(None);
    };
    let message = CallbackMsg::ModelAnswer(ModelAnswer {
        id: question.id,
        initiator: question.initiator.to_string(),
        initiator_msg: callback.msg.clone(),
        result,
    });
    Ok(Some(WasmMsg::Execute {
        contract_addr: question.initiator.to_string(),
        msg: to_json_binary(&message)?,
        funds: vec![],
    }))
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered { .. } => "answered",
        Outcome::Withdrawn { .. } => "withdrawn",
        Outcome::RecoverySet {} => "recovery_set",
        Outcome::Error(_) => "error",
    }
}
