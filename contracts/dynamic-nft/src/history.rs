//! What a token's picture was made of at any time.

use cosmwasm_std::{Order, StdResult, Storage};
use cw_storage_plus::Bound;

use crate::{
    market::Market,
    msg::Inputs,
    seed::seed,
    state::{Life, LIVES, POSTED, RECEIVED},
    ContractError,
};

const DAY: u64 = 86_400;
/// Where the model's inputs end.
const MAX_DAYS_HELD: u64 = 1024;
const MAX_TRANSFERS: u64 = 64;
const MAX_DAYS_OLD: u64 = 4096;

/// Notes a mint.
pub fn mint(storage: &mut dyn Storage, token_id: &str, time: u64) -> Result<(), ContractError> {
    if LIVES.has(storage, token_id) {
        return Err(ContractError::TokenIdUsed(token_id.to_owned()));
    }
    LIVES.save(
        storage,
        token_id,
        &Life {
            minted: time,
            burned: None,
        },
    )?;
    RECEIVED.save(storage, (token_id, time), &0)?;
    Ok(())
}

/// Notes that the token has a new owner.
pub fn receive(storage: &mut dyn Storage, token_id: &str, time: u64) -> StdResult<()> {
    let (_, transfers) = last_received(storage, token_id, time)?.unwrap_or_default();
    RECEIVED.save(storage, (token_id, time), &transfers.saturating_add(1))
}

/// Notes the token's end. Its past pictures can still be drawn.
pub fn burn(storage: &mut dyn Storage, token_id: &str, time: u64) -> StdResult<()> {
    let life = LIVES.load(storage, token_id)?;
    LIVES.save(
        storage,
        token_id,
        &Life {
            burned: Some(time),
            ..life
        },
    )
}

/// What the picture of a token was made of at a time.
pub fn inputs(storage: &dyn Storage, collection: &str, token_id: &str, time: u64) -> Result<Inputs, ContractError> {
    let no_picture = |problem| ContractError::NoPicture {
        token_id: token_id.to_owned(),
        time,
        problem,
    };
    let life = LIVES
        .may_load(storage, token_id)?
        .ok_or_else(|| no_picture("there has been no such token"))?;
    if life.burned.is_some_and(|burned| burned <= time) {
        return Err(no_picture("the token had been burned"));
    }
    let received = last_received(storage, token_id, time)?;
    let (received, transfers) = received.ok_or_else(|| no_picture("the token had not been minted"))?;
    let mut posts = POSTED.range(storage, None, Some(Bound::inclusive(time)), Order::Descending);
    let posted = posts.next().transpose()?;

    let since = posted.as_ref().map_or(received, |(posted, _)| received.max(*posted));
    let days = |from: u64| since.saturating_sub(from) / DAY;
    Ok(Inputs {
        since,
        price: posted.as_ref().map(|(_, posted)| posted.price),
        market: posted.map_or_else(|| Market::of(&[]), |(_, posted)| posted.market),
        days_held: days(received).min(MAX_DAYS_HELD),
        transfers: u64::from(transfers).min(MAX_TRANSFERS),
        days_old: days(life.minted).min(MAX_DAYS_OLD),
        seed: seed(collection, token_id).to_vec(),
    })
}

/// When the picture of a token changed, ascending.
pub fn moments(
    storage: &dyn Storage,
    token_id: &str,
    start_after: Option<u64>,
    limit: usize,
) -> Result<Vec<u64>, ContractError> {
    let Some(life) = LIVES.may_load(storage, token_id)? else {
        return Err(ContractError::NoPicture {
            token_id: token_id.to_owned(),
            time: start_after.unwrap_or_default(),
            problem: "there has been no such token",
        });
    };
    let from = match start_after {
        Some(time) if time >= life.minted => Bound::exclusive(time),
        _ => Bound::inclusive(life.minted),
    };
    let to = life.burned.map(Bound::exclusive);
    let received = RECEIVED
        .prefix(token_id)
        .keys(storage, Some(from.clone()), to.clone(), Order::Ascending);
    let posted = POSTED.keys(storage, Some(from), to, Order::Ascending);
    let mut moments = received
        .take(limit)
        .chain(posted.take(limit))
        .collect::<StdResult<Vec<u64>>>()?;
    moments.sort_unstable();
    moments.dedup();
    moments.truncate(limit);
    Ok(moments)
}

/// When the owner at that time received the token, and how often it had changed hands.
fn last_received(storage: &dyn Storage, token_id: &str, time: u64) -> StdResult<Option<(u64, u32)>> {
    let to = Some(Bound::inclusive(time));
    RECEIVED
        .prefix(token_id)
        .range(storage, None, to, Order::Descending)
        .next()
        .transpose()
}
