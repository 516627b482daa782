//! What accounts of this chain call.

#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    to_json_binary, Addr, BankMsg, Binary, Coin, Decimal, Deps, DepsMut, Env, MessageInfo, Order, Response, StdResult,
    Uint128, Uint64,
};
use cw_storage_plus::Bound;

use crate::{
    credit,
    msg::{
        AccountEntry, AccountKey, Channel, Config, ExecuteMsg, InstantiateMsg, MigrateMsg, Only, QueryMsg,
        RewardResponse,
    },
    packet,
    price::Rate,
    state::{ACCOUNTS, CHANNELS, CONFIG},
    ContractError,
};

const NAME: &str = "aiinference:ibc-model-host";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Gas of one packet, where none is given: 50 million of a chain's own, about 7 seconds of the reference machine.
const MAX_PACKET_GAS: u64 = 7_000_000_000_000;
/// CosmWasm gas of one unit of the chain's own, where none is given: wasmd's.
const GAS_MULTIPLIER: u64 = 140_000;
/// 7 days.
const RECOVERY_DELAY: u64 = 7 * 24 * 60 * 60;
/// The owner cannot put recovery off for ever: 90 days.
const MAX_RECOVERY_DELAY: u64 = 90 * 24 * 60 * 60;
/// Denoms, at most.
const MAX_PRICES: usize = 32;

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    deps: DepsMut,
    _env: Env,
    info: MessageInfo,
    msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    cw2::set_contract_version(deps.storage, NAME, VERSION)?;
    let owner = match msg.owner {
        Some(owner) => deps.api.addr_validate(&owner)?,
        None => info.sender,
    };
    let config = Config {
        owner,
        prices: msg.prices,
        allowed: msg.allowed,
        max_packet_gas: msg.max_packet_gas.unwrap_or(Uint64::new(MAX_PACKET_GAS)),
        gas_multiplier: msg.gas_multiplier.unwrap_or(Uint64::new(GAS_MULTIPLIER)),
        recovery_delay: msg.recovery_delay.unwrap_or(RECOVERY_DELAY),
        transfers: msg.transfers,
    };
    check_config(&config)?;
    CONFIG.save(deps.storage, &config)?;
    Ok(Response::new()
        .add_attribute("action", "instantiate")
        .add_attribute("owner", config.owner))
}

fn check_config(config: &Config) -> Result<(), ContractError> {
    if config.prices.len() > MAX_PRICES {
        return Err(ContractError::BadConfig("at most 32 prices are allowed"));
    }
    for (index, price) in config.prices.iter().enumerate() {
        Rate::new(price)?;
        if price.reward > Decimal::one() {
            return Err(ContractError::BadConfig("a relayer's share is at most 1"));
        }
        if price.denom.is_empty() || config.prices.iter().take(index).any(|other| other.denom == price.denom) {
            return Err(ContractError::BadConfig("each denom has one price, and a name"));
        }
    }
    if config.gas_multiplier.is_zero() {
        return Err(ContractError::BadConfig("gas_multiplier is at least 1"));
    }
    if config.recovery_delay > MAX_RECOVERY_DELAY {
        return Err(ContractError::BadConfig("recovery_delay is at most 90 days"));
    }
    Ok(())
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    match msg {
        ExecuteMsg::UpdateConfig {
            owner,
            prices,
            allowed,
            max_packet_gas,
            gas_multiplier,
            recovery_delay,
            transfers,
        } => {
            let mut config = only_owner(deps.as_ref(), &info.sender, "changing the configuration")?;
            if let Some(owner) = owner {
                config.owner = deps.api.addr_validate(&owner)?;
            }
            config.prices = prices.unwrap_or(config.prices);
            config.allowed = changed(allowed, config.allowed);
            config.max_packet_gas = max_packet_gas.unwrap_or(config.max_packet_gas);
            config.gas_multiplier = gas_multiplier.unwrap_or(config.gas_multiplier);
            config.recovery_delay = recovery_delay.unwrap_or(config.recovery_delay);
            config.transfers = changed(transfers, config.transfers);
            check_config(&config)?;
            CONFIG.save(deps.storage, &config)?;
            Ok(Response::new()
                .add_attribute("action", "update_config")
                .add_attribute("owner", config.owner))
        }
        ExecuteMsg::Deposit { account, recovery } => {
            credit::deposit(deps, &env, &account, &recovery, &info.funds, false)?;
            Ok(Response::new().add_attributes(credit::deposited(&account, &info.funds)))
        }
        ExecuteMsg::Recover { account, denom } => {
            no_funds(&info)?;
            let coin = credit::recover(deps.storage, &env, &info.sender, &account, &denom)?;
            Ok(pay("recover", info.sender, vec![coin]))
        }
        ExecuteMsg::ClaimRewards { denoms } => {
            no_funds(&info)?;
            let coins = credit::claim(deps.storage, &info.sender, denoms)?;
            Ok(pay("claim_rewards", info.sender, coins))
        }
        ExecuteMsg::WithdrawTakings { denom, receiver } => {
            no_funds(&info)?;
            only_owner(deps.as_ref(), &info.sender, "withdrawing takings")?;
            let receiver = deps.api.addr_validate(&receiver)?;
            let coin = credit::take_takings(deps.storage, &denom)?;
            Ok(pay("withdraw_takings", receiver, vec![coin]))
        }
        ExecuteMsg::Work { query, gas_limit } => {
            if info.sender != env.contract.address {
                return Err(ContractError::Unauthorized {
                    doing: "working on a query",
                    who: "the contract itself",
                });
            }
            let answer = packet::work(deps.as_ref(), &query, gas_limit.u64())?;
            Ok(Response::new().set_data(answer))
        }
    }
}

fn changed<T>(change: Option<Only<T>>, old: Option<Vec<T>>) -> Option<Vec<T>> {
    match change {
        None => old,
        Some(Only::Any {}) => None,
        Some(Only::These(these)) => Some(these),
    }
}

fn only_owner(deps: Deps, sender: &Addr, doing: &'static str) -> Result<Config, ContractError> {
    let config = CONFIG.load(deps.storage)?;
    if *sender != config.owner {
        return Err(ContractError::Unauthorized {
            doing,
            who: "the owner",
        });
    }
    Ok(config)
}

/// Coins that are nobody's would be lost.
fn no_funds(info: &MessageInfo) -> Result<(), ContractError> {
    if info.funds.is_empty() {
        return Ok(());
    }
    Err(ContractError::BadDeposit("this message takes no coins".to_string()))
}

fn pay(action: &str, receiver: Addr, coins: Vec<Coin>) -> Response {
    let paid: Vec<String> = coins.iter().map(Coin::to_string).collect();
    Response::new()
        .add_attribute("action", action)
        .add_attribute("receiver", &receiver)
        .add_attribute("paid", paid.join(","))
        .add_message(BankMsg::Send {
            to_address: receiver.into(),
            amount: coins,
        })
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    Ok(match msg {
        QueryMsg::Config {} => to_json_binary(&CONFIG.load(deps.storage)?)?,
        QueryMsg::Channels { start_after, limit } => {
            let start = start_after.as_deref().map(Bound::exclusive);
            let channels = CHANNELS.range(deps.storage, start, None, Order::Ascending);
            let channels = channels.map(|item| item.map(|(channel, peer)| Channel { channel, peer }));
            to_json_binary(&channels.take(page(limit)).collect::<StdResult<Vec<_>>>()?)?
        }
        QueryMsg::Account { account } => {
            let holder = credit::holder(deps.storage, &account)?;
            let account = holder.map(|holder| credit::show(deps.storage, holder)).transpose()?;
            to_json_binary(&account)?
        }
        QueryMsg::Accounts { start_after, limit } => {
            let start = start_after
                .as_ref()
                .map(|key| Bound::exclusive((key.connection.as_str(), key.port.as_str(), key.asker.as_str())));
            let accounts = ACCOUNTS.range(deps.storage, start, None, Order::Ascending);
            let accounts = accounts.take(page(limit)).map(|item| {
                let ((connection, port, asker), holder) = item?;
                Ok(AccountEntry {
                    key: AccountKey {
                        connection,
                        port,
                        asker,
                    },
                    account: credit::show(deps.storage, holder)?,
                })
            });
            to_json_binary(&accounts.collect::<StdResult<Vec<_>>>()?)?
        }
        QueryMsg::Price { denom, gas } => {
            let config = CONFIG.load(deps.storage)?;
            let rate = config.price(&denom).map(Rate::new).transpose()?;
            let free = config.prices.is_empty().then_some(Rate::FREE);
            let price = rate.or(free).map(|rate| Uint128::new(rate.price(gas.u64())));
            to_json_binary(&price)?
        }
        QueryMsg::Reward { channel, data } => to_json_binary(&RewardResponse {
            reward: packet::reward(deps, &env, &channel, &data)?,
        })?,
        QueryMsg::Rewards { relayer, start_after } => {
            let relayer = deps.api.addr_validate(&relayer)?;
            to_json_binary(&RewardResponse {
                reward: credit::coins(credit::rewards(deps.storage, &relayer, start_after.as_deref())?),
            })?
        }
        QueryMsg::Totals { denom } => to_json_binary(&credit::totals(deps.storage, &denom)?)?,
    })
}

/// Entries of one answer.
fn page(limit: Option<u32>) -> usize {
    limit.unwrap_or(30).min(100) as usize
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}
