//! Asks for a picture, and takes the answer.

use aiinference_std::{
    remote::{Answer, Ask, ClientMsg, Failure, Input, ModelAnswer, Outcome, Query},
    Error, Tensor,
};
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{
    from_json, to_json_binary, to_json_vec, DepsMut, Empty, Env, Event, MessageInfo, Response, SignedDecimal,
    StdResult, Timestamp, WasmMsg,
};
use cw721::{execute::check_can_send, state::Cw721Config};

use crate::{
    contract::is_creator,
    credit,
    msg::{Asking, Config, Failed, Picture},
    state::{Token, CONFIG, TOKENS},
    ContractError,
};

/// Numbers of a mood.
pub const MOOD: usize = 8;

const DAY: u64 = 86_400;
/// Bytes of a failure's message that are kept.
const MAX_MESSAGE_BYTES: usize = 300;

/// What this contract wants to be told along with an answer.
#[cw_serde]
pub enum Purpose {
    /// A picture.
    Picture {
        /// Of which token.
        token_id: String,
        /// The token's how manieth question.
        number: u64,
    },
    /// Credit to be paid out.
    Withdrawal {
        /// To whom.
        receiver: String,
    },
}

/// Asks for a new picture.
pub fn refresh(deps: DepsMut, env: Env, info: MessageInfo, token_id: String) -> Result<Response, ContractError> {
    let owned = Cw721Config::<Option<Empty>>::default()
        .nft_info
        .load(deps.storage, &token_id)?;
    if !is_creator(deps.storage, &info.sender) {
        check_can_send(deps.as_ref(), &env, info.sender.as_str(), &owned)?;
    }
    let Config { client, asking } = CONFIG.load(deps.storage)?;
    let mut token = TOKENS.load(deps.storage, &token_id)?;
    let now = env.block.time;
    if let Some(asked) = token.asked {
        if now.seconds() < asked.seconds().saturating_add(asking.timeout) {
            return Err(ContractError::Awaited {
                asked: asked.seconds(),
                timeout: asking.timeout,
            });
        }
    }
    // One more a call: 2^64 calls do not happen.
    token.number += 1;
    token.asked = Some(now);
    TOKENS.save(deps.storage, &token_id, &token)?;

    let number = token.number;
    let query = query(&token, &asking, now)?;
    let purpose = Purpose::Picture {
        token_id: token_id.clone(),
        number,
    };
    let ask = Ask::new(asking.channel)
        .query(&query)
        .denom(asking.denom)
        .timeout_seconds(asking.timeout)
        .valid_for(asking.timeout)
        .callback(to_json_vec(&purpose)?, asking.callback_gas);
    Ok(Response::new()
        .add_message(WasmMsg::Execute {
            contract_addr: client.into_string(),
            msg: to_json_binary(&ClientMsg::Ask(ask))?,
            funds: vec![],
        })
        .add_attribute("action", "refresh")
        .add_attribute("token_id", token_id)
        .add_attribute("number", number.to_string()))
}

fn query(token: &Token, asking: &Asking, now: Timestamp) -> Result<Query, Error> {
    let days = |since: Timestamp| (now.seconds().saturating_sub(since.seconds()) / DAY) as i64;
    let owner = [days(token.received), token.transfers.into(), days(token.minted)];
    let (query, market) = match &asking.market {
        Some(source) => (
            Query::new().read_smart(&source.contract, source.query.clone()),
            Input::read(0).json(&source.pointer).named("market"),
        ),
        None => (
            Query::new(),
            Tensor::from_decimals(&token.traits)?.named("market").into(),
        ),
    };
    Ok(query
        .step(&asking.model, [market, Tensor::from_i64s(&owner).named("owner").into()])
        .returning(0, "mood")
        .gas_limit(asking.gas_limit)
        .max_price(asking.max_price.u128()))
}

/// Takes an answer. It never fails for what the other chain says: that would only keep the answer from coming.
pub fn answered(deps: DepsMut, env: Env, info: MessageInfo, answer: ModelAnswer) -> Result<Response, ContractError> {
    if info.sender != CONFIG.load(deps.storage)?.client || answer.initiator != env.contract.address.as_str() {
        return Err(ContractError::Unauthorized {
            action: "telling an answer",
            role: "the collection's client",
        });
    }
    let (token_id, number) = match from_json(&*answer.initiator_msg)? {
        Purpose::Picture { token_id, number } => (token_id, number),
        Purpose::Withdrawal { receiver } => return Ok(credit::withdrawn(receiver, answer.result)),
    };
    let response = Response::new()
        .add_attribute("token_id", &token_id)
        .add_attribute("number", number.to_string());
    let token = TOKENS.may_load(deps.storage, &token_id)?;
    let Some(mut token) = token.filter(|token| token.number == number && token.asked.is_some()) else {
        return Ok(response.add_attribute("action", "stale"));
    };
    token.asked = None;
    let response = match picture(answer.result) {
        Ok(picture) => {
            let response = response
                .add_attribute("action", "picture")
                .add_attribute("height", picture.height.to_string())
                .add_attribute("price", &picture.price)
                .add_event(Event::new("metadata_update").add_attribute("token_id", &token_id));
            token.picture = Some(picture);
            token.failure = None;
            response
        }
        Err(error) => {
            let Failure { code, message, .. } = failure(error);
            let response = response
                .add_attribute("action", "failure")
                .add_attribute("code", code.to_string())
                .add_attribute("message", &message);
            let time = env.block.time;
            token.failure = Some(Failed { code, message, time });
            response
        }
    };
    TOKENS.save(deps.storage, &token_id, &token)?;
    Ok(response)
}

fn picture(result: Outcome) -> Result<Picture, Error> {
    let (height, time) = match &result {
        Outcome::Answered { height, time, .. } => (*height, (*time).into()),
        _ => Default::default(),
    };
    let answers = result.answers()?;
    let [answer] = &answers[..] else {
        return Err(Error::InvalidAnswer("one query has one answer"));
    };
    let outputs = answer.outputs()?;
    let mood: Vec<SignedDecimal> = outputs.get("mood")?.to_decimals()?;
    if mood.len() != MOOD {
        return Err(Error::InvalidAnswer("a mood has eight numbers"));
    }
    let Answer { price, .. } = answer;
    Ok(Picture {
        mood,
        height,
        time,
        price: price.clone(),
        receipt: outputs.receipt().clone(),
    })
}

/// A failure that can be kept: of bounded length.
pub fn failure(error: Error) -> Failure {
    let (code, mut message, step) = match error {
        Error::Refused { code, message, step } => (code, message, step),
        other => (0, other.to_string(), 0),
    };
    if message.len() > MAX_MESSAGE_BYTES {
        let end = (0..=MAX_MESSAGE_BYTES).rev().find(|&end| message.is_char_boundary(end));
        message.truncate(end.unwrap_or_default());
    }
    Failure { code, message, step }
}

/// Notes a mint.
pub fn minted(deps: DepsMut, token_id: &str, traits: Vec<SignedDecimal>, now: Timestamp) -> StdResult<()> {
    let token = Token {
        traits,
        minted: now,
        received: now,
        transfers: 0,
        number: 0,
        asked: None,
        picture: None,
        failure: None,
    };
    TOKENS.save(deps.storage, token_id, &token)
}

/// Notes that the token has a new owner.
pub fn received(deps: DepsMut, token_id: &str, now: Timestamp) -> StdResult<()> {
    let mut token = TOKENS.load(deps.storage, token_id)?;
    token.received = now;
    token.transfers = token.transfers.saturating_add(1);
    TOKENS.save(deps.storage, token_id, &token)
}
