//! A contract that requests heavy runs for a test, and notes what it is told. Anybody may tell it to send messages, and anybody
//! may answer it.

use aiinference_registry::msg::ModelResult;
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    from_json, to_json_binary, Binary, CosmosMsg, Deps, DepsMut, Empty, Env, MessageInfo, Order, Response, StdError,
    StdResult, WasmMsg,
};
use cw_storage_plus::{Bound, Item, Map};
use serde::{Deserialize, Serialize};

/// Results by request.
const TOLD: Map<u64, Told> = Map::new("told");
/// There while this contract takes no results.
const LOCK: Item<Empty> = Item::new("lock");

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum ExecuteMsg {
    /// Sends these, as this contract. Coins that come along stay with it.
    Send { messages: Vec<CosmosMsg> },
    /// Sends these, and takes no result meanwhile, as contracts do that lock themselves against being entered again.
    SendLocked { messages: Vec<CosmosMsg> },
    /// This contract alone, after those: takes results again.
    Unlock {},
    /// The callback: notes it, and then does what `initiator_msg` says, a [`Reaction`].
    ModelResult(ModelResult),
}

/// What to do when the result comes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Reaction {
    /// Rounds of a little arithmetic.
    pub work: u64,
    /// Sends these.
    pub messages: Vec<CosmosMsg>,
    /// Fails with this text.
    pub fail: Option<String>,
    /// Fails while this contract holds less than this coin: a fault that passes.
    pub fail_below: Option<cosmwasm_std::Coin>,
}

/// What it was told.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Told {
    /// How often.
    pub times: u32,
    /// In which block.
    pub height: u64,
    /// Who said it.
    pub sender: String,
    /// Last.
    pub result: ModelResult,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum QueryMsg {
    /// What was told of this request: `Option<Told>`.
    Result { id: u64 },
    /// How often a result was told, by request, after this one: `Vec<(u64, u32)>`, at most 1,000.
    Results { start_after: Option<u64> },
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(_deps: DepsMut, _env: Env, _info: MessageInfo, _msg: Empty) -> StdResult<Response> {
    Ok(Response::new())
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> StdResult<Response> {
    let result = match msg {
        ExecuteMsg::Send { messages } => return Ok(Response::new().add_messages(messages)),
        ExecuteMsg::SendLocked { messages } => {
            LOCK.save(deps.storage, &Empty {})?;
            let unlock = WasmMsg::Execute {
                contract_addr: env.contract.address.into_string(),
                msg: to_json_binary(&ExecuteMsg::Unlock {})?,
                funds: vec![],
            };
            return Ok(Response::new().add_messages(messages).add_message(unlock));
        }
        ExecuteMsg::Unlock {} if info.sender == env.contract.address => {
            LOCK.remove(deps.storage);
            return Ok(Response::new());
        }
        ExecuteMsg::Unlock {} => return Err(StdError::msg("this contract alone unlocks itself")),
        ExecuteMsg::ModelResult(result) => result,
    };
    if LOCK.exists(deps.storage) {
        return Err(StdError::msg("this contract is busy"));
    }
    let times = TOLD.may_load(deps.storage, result.id)?.map_or(0, |told| told.times);
    let reaction: Reaction = match &result.initiator_msg[..] {
        [] => Reaction::default(),
        message => from_json(message)?,
    };
    let told = Told {
        times: times + 1,
        height: env.block.height,
        sender: info.sender.into_string(),
        result,
    };
    TOLD.save(deps.storage, told.result.id, &told)?;
    let worked = (0..reaction.work).fold(1u64, |x, round| {
        (x ^ (x >> 27)).wrapping_mul(0x2545_f491_4f6c_dd1d) ^ round
    });
    if let Some(least) = reaction.fail_below {
        let held = deps.querier.query_balance(env.contract.address, &least.denom)?;
        if held.amount < least.amount {
            return Err(StdError::msg(format!("{held} are held, below {least}")));
        }
    }
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
        QueryMsg::Result { id } => to_json_binary(&TOLD.may_load(deps.storage, id)?),
        QueryMsg::Results { start_after } => {
            let after = start_after.map(Bound::exclusive);
            let told = TOLD.range(deps.storage, after, None, Order::Ascending).take(1_000);
            let times = told.map(|item| item.map(|(id, told)| (id, told.times)));
            to_json_binary(&times.collect::<StdResult<Vec<_>>>()?)
        }
    }
}
