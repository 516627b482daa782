//! What accounts and the chain call.

#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{to_json_binary, Binary, Deps, DepsMut, Env, MessageInfo, Reply, Response};

use crate::{
    check, circuits, end,
    msg::{Config, ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg},
    names, pay,
    query::{self, Page},
    request,
    state::CONFIG,
    ContractError,
};

const NAME: &str = "aiinference:registry";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reply: coins could not be sent.
pub(crate) const PAID: u64 = 1;
/// Reply: a callback has failed.
pub(crate) const CALLED_BACK: u64 = 2;

const DEFAULT_MAX_REQUESTS: u32 = 1_000;
const DEFAULT_MAX_CALLBACK_GAS: u64 = 2_000_000;
/// 7 days.
const DEFAULT_MAX_LIFETIME: u64 = 7 * 24 * 60 * 60;

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    deps: DepsMut,
    _env: Env,
    info: MessageInfo,
    msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    check::no_funds("instantiating the registry", &info)?;
    cw2::set_contract_version(deps.storage, NAME, VERSION)?;
    let config = Config {
        admin: match msg.admin {
            Some(admin) => deps.api.addr_validate(&admin)?,
            None => info.sender,
        },
        terms: msg.terms,
        max_requests: msg.max_requests.unwrap_or(DEFAULT_MAX_REQUESTS),
        max_callback_gas: msg.max_callback_gas.unwrap_or(DEFAULT_MAX_CALLBACK_GAS),
        max_lifetime: msg.max_lifetime.unwrap_or(DEFAULT_MAX_LIFETIME),
    };
    check::config(&config)?;
    CONFIG.save(deps.storage, &config)?;
    Ok(Response::new()
        .add_attribute("action", "instantiate")
        .add_attribute("admin", config.admin))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    if !matches!(msg, ExecuteMsg::Request(_) | ExecuteMsg::Take { .. }) {
        check::no_funds("executing", &info)?;
    }
    match msg {
        ExecuteMsg::Request(msg) => request::request(deps, &env, info, msg),
        ExecuteMsg::Take { id, min_seconds } => request::take(deps, &env, info, id, min_seconds),
        ExecuteMsg::Fulfil {
            id,
            outputs,
            proof,
            defer,
        } => end::fulfil(deps, &env, info, id, outputs, proof, defer),
        ExecuteMsg::Expire { id, defer } => end::expire(deps, &env, id, defer),
        ExecuteMsg::Cancel { id } => request::cancel(deps, &env, info, id),
        ExecuteMsg::Deliver { id, gas_limit } => end::deliver(deps, info, id, gas_limit),
        ExecuteMsg::Discard { id } => end::discard(deps, info, id),
        ExecuteMsg::Claim { denom, receiver } => pay::claim(deps, &env, info, denom, receiver),
        ExecuteMsg::RegisterModel(msg) => names::register(deps, info, msg),
        ExecuteMsg::SetStatus { model, status } => names::set_status(deps, info, model, status),
        ExecuteMsg::TransferName { name, to } => names::transfer(deps, info, name, to),
        ExecuteMsg::AcceptName { name } => names::accept(deps, info, name),
        ExecuteMsg::RegisterCircuit(msg) => circuits::register(deps, info, msg),
        ExecuteMsg::ApproveCircuit {
            model,
            circuit,
            checksum,
            approved,
        } => circuits::approve(deps, info, model, circuit, checksum, approved),
        ExecuteMsg::RetireCircuit {
            model,
            circuit,
            retired,
        } => circuits::retire(deps, info, model, circuit, retired),
        ExecuteMsg::UpdateConfig {
            admin,
            terms,
            max_requests,
            max_callback_gas,
            max_lifetime,
        } => {
            let mut config = CONFIG.load(deps.storage)?;
            if config.admin != info.sender {
                return Err(ContractError::Unauthorized {
                    doing: "configuring",
                    who: "the registry's admin",
                });
            }
            if let Some(admin) = admin {
                config.admin = deps.api.addr_validate(&admin)?;
            }
            config.terms = terms.unwrap_or(config.terms);
            config.max_requests = max_requests.unwrap_or(config.max_requests);
            config.max_callback_gas = max_callback_gas.unwrap_or(config.max_callback_gas);
            config.max_lifetime = max_lifetime.unwrap_or(config.max_lifetime);
            check::config(&config)?;
            CONFIG.save(deps.storage, &config)?;
            Ok(Response::new()
                .add_attribute("action", "update_config")
                .add_attribute("admin", config.admin))
        }
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn reply(deps: DepsMut, _env: Env, reply: Reply) -> Result<Response, ContractError> {
    match reply.id {
        PAID => pay::unpaid(deps, reply),
        CALLED_BACK => end::undelivered(deps, reply),
        other => Err(ContractError::UnknownReply(other)),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    let answer = match msg {
        QueryMsg::Config {} => to_json_binary(&CONFIG.load(deps.storage)?),
        QueryMsg::Model { model } => to_json_binary(&query::model(deps, model)?),
        QueryMsg::Names { start_after, limit } => to_json_binary(&query::names(deps, Page { start_after, limit })?),
        QueryMsg::Versions {
            name,
            start_after,
            limit,
        } => to_json_binary(&query::versions(deps, &name, Page { start_after, limit })?),
        QueryMsg::Circuit { model, circuit } => to_json_binary(&query::circuit(deps, &model, circuit)?),
        QueryMsg::Circuits {
            model,
            start_after,
            limit,
        } => to_json_binary(&query::circuits(deps, &model, Page { start_after, limit })?),
        QueryMsg::Request { id } => to_json_binary(&query::request(deps, id)?),
        QueryMsg::Pending {
            circuit,
            start_after,
            limit,
        } => to_json_binary(&query::pending(deps, circuit, Page { start_after, limit })?),
        QueryMsg::TakenBy {
            prover,
            start_after,
            limit,
        } => {
            let prover = deps.api.addr_validate(&prover)?;
            to_json_binary(&query::taken_by(deps, &prover, Page { start_after, limit })?)
        }
        QueryMsg::RequestsOf {
            requester,
            start_after,
            limit,
        } => {
            let requester = deps.api.addr_validate(&requester)?;
            to_json_binary(&query::requests_of(deps, &requester, Page { start_after, limit })?)
        }
        QueryMsg::Requests { start_after, limit } => {
            to_json_binary(&query::requests(deps, Page { start_after, limit })?)
        }
        QueryMsg::Claimable {
            account,
            start_after,
            limit,
        } => {
            let account = deps.api.addr_validate(&account)?;
            to_json_binary(&query::claimable(deps, &account, Page { start_after, limit })?)
        }
    };
    Ok(answer?)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}
