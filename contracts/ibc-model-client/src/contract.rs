//! Entry points.

use aiinference_types::limits::MAX_PACKET_BYTES;
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    to_json_binary, Binary, Deps, DepsMut, Env, IbcBasicResponse, IbcChannelCloseMsg, IbcChannelConnectMsg,
    IbcChannelOpenMsg, IbcChannelOpenResponse, IbcPacketAckMsg, IbcPacketReceiveMsg, IbcPacketTimeoutMsg,
    IbcReceiveResponse, MessageInfo, Never, Reply, Response, StdResult, Storage,
};

use crate::{
    ask, channel, deliver,
    msg::{Allowed, Config, ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg},
    query,
    state::CONFIG,
    ContractError,
};

const NAME: &str = "aiinference:ibc-model-client";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reply: the chain took a packet.
pub const SENT: u64 = 1;
/// Reply: a callback has run.
pub const CALLED_BACK: u64 = 2;

const DEFAULT_MAX_CALLBACK_GAS: u64 = 5_000_000;
/// More than any chain's block holds, and far from where sums of gas overflow.
const MAX_CALLBACK_GAS: u64 = 10_000_000_000;

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    deps: DepsMut,
    _env: Env,
    info: MessageInfo,
    msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    cw2::set_contract_version(deps.storage, NAME, VERSION)?;
    let config = Config {
        owner: match msg.owner {
            Some(owner) => deps.api.addr_validate(&owner)?,
            None => info.sender,
        },
        allowed: msg.allowed,
        max_callback_gas: msg.max_callback_gas.unwrap_or(DEFAULT_MAX_CALLBACK_GAS),
        max_packet_bytes: msg.max_packet_bytes.unwrap_or(MAX_PACKET_BYTES as u32),
    };
    save_config(deps.storage, &config)?;
    Ok(Response::new()
        .add_attribute("action", "instantiate")
        .add_attribute("owner", config.owner))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    match msg {
        ExecuteMsg::Ask(msg) => ask::ask(deps, &env, info, msg),
        ExecuteMsg::Withdraw(msg) => ask::withdraw(deps, &env, info, msg),
        ExecuteMsg::SetRecovery(msg) => ask::set_recovery(deps, &env, info, msg),
        ExecuteMsg::Deliver { id, gas_limit } => deliver::deliver(deps, info, id, gas_limit),
        ExecuteMsg::Discard { id } => deliver::discard(deps, info, id),
        ExecuteMsg::Abandon { id } => deliver::abandon(deps, info, id),
        ExecuteMsg::CloseChannel { channel } => channel::close(deps, info, channel),
        ExecuteMsg::UpdateConfig {
            owner,
            allowed,
            max_callback_gas,
            max_packet_bytes,
        } => {
            assert_owner(deps.storage, &info, "configuring")?;
            let mut config = CONFIG.load(deps.storage)?;
            if let Some(owner) = owner {
                config.owner = deps.api.addr_validate(&owner)?;
            }
            match allowed {
                Some(Allowed::Any {}) => config.allowed = None,
                Some(Allowed::These(peers)) => config.allowed = Some(peers),
                None => {}
            }
            config.max_callback_gas = max_callback_gas.unwrap_or(config.max_callback_gas);
            config.max_packet_bytes = max_packet_bytes.unwrap_or(config.max_packet_bytes);
            save_config(deps.storage, &config)?;
            Ok(Response::new()
                .add_attribute("action", "update_config")
                .add_attribute("owner", config.owner))
        }
    }
}

fn save_config(storage: &mut dyn Storage, config: &Config) -> Result<(), ContractError> {
    for (name, value, max) in [
        ("max_callback_gas", config.max_callback_gas, MAX_CALLBACK_GAS),
        (
            "max_packet_bytes",
            config.max_packet_bytes.into(),
            MAX_PACKET_BYTES as u64,
        ),
    ] {
        if !(1..=max).contains(&value) {
            return Err(ContractError::Setting { name, value, max });
        }
    }
    Ok(CONFIG.save(storage, config)?)
}

/// Refuses everybody but the owner.
pub(crate) fn assert_owner(
    storage: &dyn Storage,
    info: &MessageInfo,
    action: &'static str,
) -> Result<(), ContractError> {
    match info.sender == CONFIG.load(storage)?.owner {
        true => Ok(()),
        false => Err(ContractError::Unauthorized {
            action,
            role: "the owner",
        }),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn reply(deps: DepsMut, _env: Env, reply: Reply) -> Result<Response, ContractError> {
    match reply.id {
        SENT => ask::sent(deps, reply),
        CALLED_BACK => deliver::called_back(deps, reply),
        other => Err(ContractError::UnknownReply(other)),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> StdResult<Binary> {
    match msg {
        QueryMsg::Config {} => to_json_binary(&CONFIG.load(deps.storage)?),
        QueryMsg::Channels { start_after, limit } => to_json_binary(&query::channels(deps, start_after, limit)?),
        QueryMsg::Question { id } => to_json_binary(&query::question(deps, id)?),
        QueryMsg::Questions {
            initiator,
            start_after,
            limit,
        } => {
            let initiator = deps.api.addr_validate(&initiator)?;
            to_json_binary(&query::questions(deps, &initiator, start_after, limit)?)
        }
        QueryMsg::Pending {
            channel,
            start_after,
            limit,
        } => to_json_binary(&query::pending(deps, &channel, start_after, limit)?),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_open(
    deps: DepsMut,
    _env: Env,
    msg: IbcChannelOpenMsg,
) -> Result<IbcChannelOpenResponse, ContractError> {
    channel::open(deps, msg)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_connect(
    deps: DepsMut,
    _env: Env,
    msg: IbcChannelConnectMsg,
) -> Result<IbcBasicResponse, ContractError> {
    channel::connect(deps, msg)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_channel_close(deps: DepsMut, _env: Env, msg: IbcChannelCloseMsg) -> Result<IbcBasicResponse, ContractError> {
    channel::closed(deps, msg)
}

/// Nobody asks anything of this end.
#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_receive(_deps: DepsMut, env: Env, _msg: IbcPacketReceiveMsg) -> Result<IbcReceiveResponse, Never> {
    Ok(IbcReceiveResponse::new(crate::answer::refusal(&env)))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_ack(deps: DepsMut, env: Env, msg: IbcPacketAckMsg) -> StdResult<IbcBasicResponse> {
    deliver::acknowledged(deps, env.block.time, msg)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn ibc_packet_timeout(deps: DepsMut, _env: Env, msg: IbcPacketTimeoutMsg) -> StdResult<IbcBasicResponse> {
    deliver::timed_out(deps, msg)
}
