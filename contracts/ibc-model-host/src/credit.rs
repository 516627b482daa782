//! Prepaid credit: who has how much, how it comes and goes. All changes keep what is owed within what is held.

use std::collections::BTreeSet;

use aiinference_types::limits::MAX_ADDRESS_BYTES;
use cosmwasm_std::{Addr, Attribute, Coin, Deps, DepsMut, Env, Order, StdError, StdResult, Storage, Uint128, Uint256};
use cw_storage_plus::Bound;

use crate::{
    msg::{Account, AccountKey, Config, Price, Totals},
    price,
    state::{Holder, ACCOUNTS, CONFIG, CREDITS, LAST_ACCOUNT, OPEN, REWARDS, TOTALS},
    ContractError,
};

impl AccountKey {
    fn key(&self) -> (&str, &str, &str) {
        (&self.connection, &self.port, &self.asker)
    }
}

impl Config {
    /// The price in a denom, if it is taken.
    pub fn price(&self, denom: &str) -> Option<&Price> {
        self.prices.iter().find(|price| price.denom == denom)
    }
}

/// An account, if there is one.
pub fn holder(storage: &dyn Storage, key: &AccountKey) -> StdResult<Option<Holder>> {
    ACCOUNTS.may_load(storage, key.key())
}

/// Keeps an account.
pub fn save_holder(storage: &mut dyn Storage, key: &AccountKey, holder: &Holder) -> StdResult<()> {
    ACCOUNTS.save(storage, key.key(), holder)
}

/// A new account.
pub fn open_account(storage: &mut dyn Storage, env: &Env, key: &AccountKey, recovery: Addr) -> StdResult<Holder> {
    // One more an account: 2^64 are never made.
    let id = LAST_ACCOUNT.may_load(storage)?.unwrap_or_default() + 1;
    LAST_ACCOUNT.save(storage, &id)?;
    let holder = Holder {
        id,
        recovery,
        last_active: env.block.time,
    };
    save_holder(storage, key, &holder)?;
    Ok(holder)
}

/// The credit of an account in a denom.
pub fn credit(storage: &dyn Storage, account: u64, denom: &str) -> StdResult<Uint128> {
    Ok(CREDITS.may_load(storage, (account, denom))?.unwrap_or_default())
}

/// What the contract owes in a denom.
pub fn totals(storage: &dyn Storage, denom: &str) -> StdResult<Totals> {
    Ok(TOTALS.may_load(storage, denom)?.unwrap_or_default())
}

/// Adds to an account's credit.
pub fn add(storage: &mut dyn Storage, account: u64, denom: &str, amount: Uint128) -> StdResult<()> {
    if amount.is_zero() {
        return Ok(());
    }
    let credit = credit(storage, account, denom)?.checked_add(amount)?;
    CREDITS.save(storage, (account, denom), &credit)?;
    let mut totals = totals(storage, denom)?;
    totals.credits = totals.credits.checked_add(amount)?;
    TOTALS.save(storage, denom, &totals)
}

/// Takes from an account's credit, which must hold as much.
pub fn take(storage: &mut dyn Storage, account: u64, denom: &str, amount: Uint128) -> StdResult<()> {
    if amount.is_zero() {
        return Ok(());
    }
    let left = credit(storage, account, denom)?.checked_sub(amount)?;
    if left.is_zero() {
        CREDITS.remove(storage, (account, denom));
    } else {
        CREDITS.save(storage, (account, denom), &left)?;
    }
    let mut totals = totals(storage, denom)?;
    totals.credits = totals.credits.checked_sub(amount)?;
    TOTALS.save(storage, denom, &totals)
}

/// Parts what was taken from a credit between the relayer and the owner.
pub fn earn(storage: &mut dyn Storage, config: &Config, relayer: &Addr, denom: &str, paid: Uint128) -> StdResult<()> {
    if paid.is_zero() {
        return Ok(());
    }
    let share = config.price(denom).map(|price| price.reward).unwrap_or_default();
    let (reward, takings) = price::part(paid.u128(), share);
    if !reward.is_zero() {
        let key = (relayer, denom);
        let rewards = REWARDS.may_load(storage, key)?.unwrap_or_default();
        let rewards = rewards.checked_add(reward)?;
        REWARDS.save(storage, key, &rewards)?;
    }
    let mut totals = totals(storage, denom)?;
    totals.rewards = totals.rewards.checked_add(reward)?;
    totals.takings = totals.takings.checked_add(takings)?;
    TOTALS.save(storage, denom, &totals)
}

/// Books coins that came for an asker. `own_word` says that the asker itself sent them.
pub fn deposit(
    deps: DepsMut,
    env: &Env,
    key: &AccountKey,
    recovery: &str,
    funds: &[Coin],
    own_word: bool,
) -> Result<(), ContractError> {
    let storage = deps.storage;
    let bad = |why: String| Err(ContractError::BadDeposit(why));
    for (name, text) in [
        ("connection", &key.connection),
        ("port", &key.port),
        ("asker", &key.asker),
    ] {
        if text.is_empty() || text.len() > MAX_ADDRESS_BYTES {
            return bad(format!(
                "{name} has {} bytes, and 1 to {MAX_ADDRESS_BYTES} are allowed",
                text.len()
            ));
        }
    }
    let config = CONFIG.load(storage)?;
    if funds.is_empty() {
        return bad("no coins came; send some along".to_string());
    }
    let mut amounts = vec![];
    for coin in funds {
        let Some(price) = config.price(&coin.denom) else {
            return bad(format!("{} is not taken; the query config lists what is", coin.denom));
        };
        let least = price.min_deposit.unwrap_or(Uint128::one());
        match Uint128::try_from(coin.amount) {
            Ok(amount) if amount >= least => amounts.push((&coin.denom, amount)),
            Ok(_) => return bad(format!("{coin} is less than the least deposit, {least}")),
            Err(_) => return bad(format!("{coin} is beyond 128 bits")),
        }
    }
    let recovery = deps.api.addr_validate(recovery)?;
    let holder = match holder(storage, key)? {
        None => open_account(storage, env, key, recovery)?,
        Some(mut holder) => {
            if holder.recovery != recovery && !own_word {
                return Err(ContractError::OtherRecovery(holder.recovery.into()));
            }
            // Only the asker's own word is a sign of life: others could keep the recovery address out for dust.
            if own_word {
                holder.recovery = recovery;
                holder.last_active = env.block.time;
                save_holder(storage, key, &holder)?;
            }
            holder
        }
    };
    for (denom, amount) in amounts {
        add(storage, holder.id, denom, amount)?;
    }
    Ok(())
}

/// Refuses coins that a transfer announces and that are not here beyond what is owed: below the callbacks, a chain may have
/// other middleware that hands them on.
pub fn check_arrival(deps: Deps, contract: &Addr, funds: &[Coin]) -> Result<(), ContractError> {
    for coin in funds {
        let Totals {
            credits,
            rewards,
            takings,
        } = totals(deps.storage, &coin.denom)?;
        let held = deps.querier.query_balance(contract, &coin.denom)?.amount;
        let owed = [credits, rewards, takings].map(Uint256::from);
        let needed = owed.into_iter().try_fold(coin.amount, Uint256::checked_add);
        let needed = needed.map_err(StdError::from)?;
        if held < needed {
            let why = format!("{coin} did not arrive: {held} are held and {needed} would be owed");
            return Err(ContractError::BadDeposit(why));
        }
    }
    Ok(())
}

/// The event of a deposit.
pub fn deposited(key: &AccountKey, funds: &[Coin]) -> Vec<Attribute> {
    let amount: Vec<String> = funds.iter().map(Coin::to_string).collect();
    vec![
        Attribute::new("action", "deposit"),
        Attribute::new("connection", &key.connection),
        Attribute::new("port", &key.port),
        Attribute::new("asker", &key.asker),
        Attribute::new("amount", amount.join(",")),
    ]
}

/// Takes all credit in a denom out of a dead channel.
pub fn recover(
    storage: &mut dyn Storage,
    env: &Env,
    sender: &Addr,
    key: &AccountKey,
    denom: &str,
) -> Result<Coin, ContractError> {
    let holder = holder(storage, key)?.ok_or(ContractError::NoCredit)?;
    if *sender != holder.recovery {
        return Err(ContractError::Unauthorized {
            doing: "recovering credit",
            who: "the account's recovery address",
        });
    }
    let delay = CONFIG.load(storage)?.recovery_delay;
    let open = OPEN
        .may_load(storage, (&key.connection, &key.port))?
        .unwrap_or_default();
    let idle = holder.last_active.plus_seconds(delay);
    if open > 0 && env.block.time < idle {
        return Err(ContractError::StillAlive(idle));
    }
    let amount = credit(storage, holder.id, denom)?;
    if amount.is_zero() {
        return Err(ContractError::NoCredit);
    }
    take(storage, holder.id, denom, amount)?;
    Ok(Coin::new(amount, denom))
}

/// Takes a relayer's rewards: those in the denoms that are named, or all, as many as one message may pay.
pub fn claim(
    storage: &mut dyn Storage,
    relayer: &Addr,
    denoms: Option<Vec<String>>,
) -> Result<Vec<Coin>, ContractError> {
    let rewards = match denoms {
        None => rewards(storage, relayer, None)?,
        Some(denoms) if denoms.len() > MAX_CLAIM => return Err(ContractError::ManyDenoms(denoms.len())),
        Some(denoms) => {
            // Coins of a message are sorted, and no denom comes twice.
            let denoms: BTreeSet<String> = denoms.into_iter().collect();
            let rewards = denoms.into_iter().map(|denom| {
                let amount = REWARDS.may_load(storage, (relayer, &denom))?;
                Ok(amount.map(|amount| (denom, amount)))
            });
            rewards.filter_map(StdResult::transpose).collect::<StdResult<_>>()?
        }
    };
    if rewards.is_empty() {
        return Err(ContractError::NothingToPay);
    }
    for (denom, amount) in &rewards {
        REWARDS.remove(storage, (relayer, denom));
        let mut totals = totals(storage, denom)?;
        totals.rewards = totals.rewards.checked_sub(*amount).map_err(StdError::from)?;
        TOTALS.save(storage, denom, &totals)?;
    }
    Ok(coins(rewards))
}

/// Denoms paid at once.
pub const MAX_CLAIM: usize = 32;

/// A relayer's rewards by denom after one, as many as one claim pays.
pub fn rewards(storage: &dyn Storage, relayer: &Addr, after: Option<&str>) -> StdResult<Vec<(String, Uint128)>> {
    REWARDS
        .prefix(relayer)
        .range(storage, after.map(Bound::exclusive), None, Order::Ascending)
        .take(MAX_CLAIM)
        .collect()
}

/// Amounts by denom as coins.
pub fn coins(amounts: Vec<(String, Uint128)>) -> Vec<Coin> {
    let coins = amounts.into_iter();
    coins.map(|(denom, amount)| Coin::new(amount, denom)).collect()
}

/// Takes the owner's takings in a denom.
pub fn take_takings(storage: &mut dyn Storage, denom: &str) -> Result<Coin, ContractError> {
    let mut totals = totals(storage, denom)?;
    let amount = core::mem::take(&mut totals.takings);
    if amount.is_zero() {
        return Err(ContractError::NothingToPay);
    }
    TOTALS.save(storage, denom, &totals)?;
    Ok(Coin::new(amount, denom))
}

/// An account as queries show it.
pub fn show(storage: &dyn Storage, holder: Holder) -> StdResult<Account> {
    let credit = CREDITS
        .prefix(holder.id)
        .range(storage, None, None, Order::Ascending)
        .collect::<StdResult<_>>()?;
    Ok(Account {
        recovery: holder.recovery,
        last_active: holder.last_active,
        credit: coins(credit),
    })
}
