//! From a message to a packet on its way.

use aiinference_std::remote::Bytes;
use aiinference_types::{
    ibc,
    limits::{MAX_ADDRESS_BYTES, MAX_QUERIES},
    v1::{self, packet_data::Operation as Payload},
};
use cosmwasm_std::{
    from_json, to_json_binary, DepsMut, Env, IbcMsg, IbcTimeout, IbcTimeoutBlock, MessageInfo, Reply, Response,
    StdError, SubMsg, Timestamp,
};
use prost::Message;

use crate::{
    channel, check,
    contract::SENT,
    msg::{Ask, Callback, Config, Height, Operation, Question, Sent, SetRecovery, State, Timeout, Withdraw},
    state::{self, CONFIG, LAST_ID, PENDING},
    ContractError,
};

/// Bytes of what is told along with a result.
pub const MAX_CALLBACK_MSG_BYTES: usize = 16 << 10;

const DEFAULT_TIMEOUT_SECONDS: u64 = 600;

/// Asks models.
pub fn ask(deps: DepsMut, env: &Env, info: MessageInfo, msg: Ask) -> Result<Response, ContractError> {
    check_text("the denom", &msg.denom, 0)?;
    let valid_until = match msg.valid_for {
        None => 0,
        Some(seconds) => later(env.block.time, "a time to live (valid_for)", seconds)?.nanos(),
    };
    let payload = Payload::Ask(v1::Ask {
        asker: asker(&info)?,
        valid_until,
        denom: msg.denom,
        queries: queries(&msg.queries)?,
    });
    let way = Way {
        operation: Operation::Ask,
        channel: msg.channel,
        timeout: msg.timeout,
        callback: msg.callback,
    };
    send(deps, env, info, payload, way)
}

/// Has credit paid out.
pub fn withdraw(deps: DepsMut, env: &Env, info: MessageInfo, msg: Withdraw) -> Result<Response, ContractError> {
    check_text("the denom", &msg.denom, 1)?;
    check_text("the receiver", &msg.receiver, 1)?;
    let amount = amount("amount", msg.amount)?;
    let max_price = self::amount("max_price", msg.max_price)?;
    let payload = Payload::Withdraw(v1::Withdraw {
        asker: asker(&info)?,
        denom: msg.denom,
        amount,
        receiver: msg.receiver,
        max_price,
    });
    let way = Way {
        operation: Operation::Withdraw,
        channel: msg.channel,
        timeout: msg.timeout,
        callback: msg.callback,
    };
    send(deps, env, info, payload, way)
}

/// Names another recovery address.
pub fn set_recovery(deps: DepsMut, env: &Env, info: MessageInfo, msg: SetRecovery) -> Result<Response, ContractError> {
    check_text("the denom", &msg.denom, 0)?;
    check_text("the recovery address", &msg.recovery, 1)?;
    let payload = Payload::SetRecovery(v1::SetRecovery {
        asker: asker(&info)?,
        recovery: msg.recovery,
        denom: msg.denom,
        max_price: amount("max_price", msg.max_price)?,
    });
    let way = Way {
        operation: Operation::SetRecovery,
        channel: msg.channel,
        timeout: msg.timeout,
        callback: msg.callback,
    };
    send(deps, env, info, payload, way)
}

/// What a packet says of who sends it.
fn asker(info: &MessageInfo) -> Result<String, ContractError> {
    check_text("the asker's address", info.sender.as_str(), 1)?;
    Ok(info.sender.to_string())
}

fn queries(list: &[Bytes]) -> Result<Vec<v1::Query>, ContractError> {
    if !(1..=MAX_QUERIES).contains(&list.len()) {
        return Err(ContractError::QueryCount(list.len()));
    }
    let checked = list
        .iter()
        .enumerate()
        .map(|(index, bytes)| check::query(bytes).map_err(|problem| ContractError::Query { index, problem }));
    checked.collect()
}

/// Coins in decimal digits, as a packet carries them.
fn amount(name: &'static str, digits: Option<String>) -> Result<String, ContractError> {
    let digits = digits.unwrap_or_default();
    match ibc::amount(&digits) {
        Some(amount) => Ok(ibc::digits(amount)),
        None => Err(ContractError::Amount { name, digits }),
    }
}

/// Refuses addresses and denoms that the protocol does not carry.
fn check_text(name: &'static str, text: &str, least: usize) -> Result<(), ContractError> {
    match text.len() {
        actual if (least..=MAX_ADDRESS_BYTES).contains(&actual) => Ok(()),
        actual => Err(ContractError::Length { name, least, actual }),
    }
}

/// How a packet goes, and how its answer comes back.
struct Way {
    operation: Operation,
    channel: String,
    timeout: Timeout,
    callback: Option<Callback>,
}

/// Sends a packet; the record is stored when the chain tells its sequence.
fn send(deps: DepsMut, env: &Env, info: MessageInfo, payload: Payload, way: Way) -> Result<Response, ContractError> {
    let config = CONFIG.load(deps.storage)?;
    channel::to_ask(deps.storage, &config, &way.channel)?;
    check_callback(&config, way.callback.as_ref())?;
    let timeout = timeout(env, &way.timeout)?;
    let data = ibc::encode_packet(payload);
    if data.len() > config.max_packet_bytes as usize {
        return Err(ContractError::PacketTooLarge {
            actual: data.len(),
            max: config.max_packet_bytes,
        });
    }
    // One more a call: 2^64 calls do not happen.
    let id = LAST_ID.may_load(deps.storage)?.unwrap_or_default() + 1;
    LAST_ID.save(deps.storage, &id)?;
    let question = Question {
        id,
        operation: way.operation,
        initiator: info.sender,
        channel: way.channel,
        // Told by the chain's reply.
        sequence: 0,
        sent: env.block.time,
        callback: way.callback,
        state: State::Sent {},
    };
    let message = IbcMsg::SendPacket {
        channel_id: question.channel.clone(),
        data: data.into(),
        timeout,
    };
    Ok(Response::new()
        .add_submessage(SubMsg::reply_on_success(message, SENT).with_payload(to_json_binary(&question)?))
        .add_attribute("action", question.operation.to_string())
        .add_attribute("initiator", question.initiator)
        .add_attribute("id", id.to_string())
        .set_data(to_json_binary(&Sent { id })?))
}

/// The chain took the packet.
pub fn sent(deps: DepsMut, reply: Reply) -> Result<Response, ContractError> {
    let mut question: Question = from_json(&reply.payload)?;
    question.sequence = sequence(reply)?;
    state::save(deps.storage, &question)?;
    PENDING.save(deps.storage, (&question.channel, question.sequence), &question.id)?;
    Ok(Response::new()
        .add_attribute("action", question.operation.to_string())
        .add_attribute("id", question.id.to_string())
        .add_attribute("channel", question.channel)
        .add_attribute("sequence", question.sequence.to_string()))
}

/// `cosmwasm.wasm.v1.MsgIBCSendResponse`
#[derive(Clone, PartialEq, Message)]
struct SendResponse {
    #[prost(uint64, tag = "1")]
    sequence: u64,
}

fn sequence(reply: Reply) -> Result<u64, ContractError> {
    let response = reply.result.into_result().map_err(StdError::msg)?;
    let told = response.msg_responses.first().map(|response| &response.value);
    let told = told.and_then(|bytes| SendResponse::decode(&bytes[..]).ok());
    match told {
        // Sequences count from 1.
        Some(SendResponse { sequence: 1.. }) => Ok(told.unwrap_or_default().sequence),
        _ => Err(ContractError::NoSequence),
    }
}

fn check_callback(config: &Config, callback: Option<&Callback>) -> Result<(), ContractError> {
    let Some(Callback { msg, gas_limit }) = callback else {
        return Ok(());
    };
    if !(1..=config.max_callback_gas).contains(gas_limit) {
        return Err(ContractError::CallbackGas {
            actual: *gas_limit,
            max: config.max_callback_gas,
        });
    }
    if msg.len() > MAX_CALLBACK_MSG_BYTES {
        return Err(ContractError::CallbackMsg { actual: msg.len() });
    }
    Ok(())
}

fn timeout(env: &Env, timeout: &Timeout) -> Result<IbcTimeout, ContractError> {
    let after = |seconds| later(env.block.time, "a timeout", seconds);
    let height = timeout
        .height
        .map(|Height { revision, height }| IbcTimeoutBlock { revision, height });
    Ok(match (timeout.seconds, height) {
        (None, None) => after(DEFAULT_TIMEOUT_SECONDS)?.into(),
        (Some(seconds), None) => after(seconds)?.into(),
        (None, Some(height)) => height.into(),
        (Some(seconds), Some(height)) => IbcTimeout::with_both(height, after(seconds)?),
    })
}

fn later(now: Timestamp, name: &'static str, seconds: u64) -> Result<Timestamp, ContractError> {
    let nanos = seconds
        .checked_mul(1_000_000_000)
        .and_then(|nanos| now.nanos().checked_add(nanos))
        .filter(|_| seconds > 0);
    let nanos = nanos.ok_or(ContractError::Duration { name, seconds })?;
    Ok(Timestamp::from_nanos(nanos))
}
