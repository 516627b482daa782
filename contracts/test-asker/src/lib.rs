//! A contract that asks models on another chain for a test, and notes what it is told. Anybody may tell it to send
//! messages, and anybody may answer it.

use aiinference_std::remote::ModelAnswer;
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    from_json, to_json_binary, Binary, CosmosMsg, Deps, DepsMut, Empty, Env, MessageInfo, Order, Response, StdError,
    StdResult,
};
use cw_storage_plus::{Bound, Map};
use serde::{Deserialize, Serialize};

/// Answers by id.
const NOTED: Map<u64, Noted> = Map::new("noted");

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum ExecuteMsg {
    /// Sends these, as this contract.
    Send { messages: Vec<CosmosMsg> },
    /// The callback: notes it, and then does what `initiator_msg` says, a [`Reaction`].
    ModelAnswer(ModelAnswer),
}

/// What to do when the answer comes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Reaction {
    /// Rounds of a little arithmetic.
    pub work: u64,
    /// Sends these.
    pub messages: Vec<CosmosMsg>,
    /// Fails with this text.
    pub fail: Option<String>,
}

/// What it was told.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Noted {
    /// How often.
    pub times: u32,
    /// In which block.
    pub height: u64,
    /// Who said it.
    pub sender: String,
    /// Last.
    pub answer: ModelAnswer,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum QueryMsg {
    /// The answer of this id: `Option<Noted>`.
    Answer { id: u64 },
    /// How often an answer came, by id, after this one: `Vec<(u64, u32)>`, at most 1,000.
    Answers { start_after: Option<u64> },
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(_deps: DepsMut, _env: Env, _info: MessageInfo, _msg: Empty) -> StdResult<Response> {
    Ok(Response::new())
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> StdResult<Response> {
    let answer = match msg {
        ExecuteMsg::Send { messages } => return Ok(Response::new().add_messages(messages)),
        ExecuteMsg::ModelAnswer(answer) => answer,
    };
    let times = NOTED.may_load(deps.storage, answer.id)?.map_or(0, |noted| noted.times);
    let reaction: Reaction = match &answer.initiator_msg[..] {
        [] => Reaction::default(),
        message => from_json(message)?,
    };
    let noted = Noted {
        times: times + 1,
        height: env.block.height,
        sender: info.sender.into_string(),
        answer,
    };
    NOTED.save(deps.storage, noted.answer.id, &noted)?;
    let worked = (0..reaction.work).fold(1u64, |x, round| {
        (x ^ (x >> 27)).wrapping_mul(0x2545_f491_4f6c_dd1d) ^ round
    });
    match reaction.fail {
        Some(text) => Err(StdError::msg(text)),
        None => Ok(Response::new()
            .add_messages(reaction.messages)
            .add_attribute("worked", worked.to_string())),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> StdResult<Binary> {
    match msg {
        QueryMsg::Answer { id } => to_json_binary(&NOTED.may_load(deps.storage, id)?),
        QueryMsg::Answers { start_after } => {
            let after = start_after.map(Bound::exclusive);
            let noted = NOTED.range(deps.storage, after, None, Order::Ascending).take(1_000);
            let times = noted.map(|item| item.map(|(id, noted)| (id, noted.times)));
            to_json_binary(&times.collect::<StdResult<Vec<_>>>()?)
        }
    }
}
