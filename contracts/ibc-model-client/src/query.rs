//! What can be asked of this contract.

use cosmwasm_std::{Addr, Deps, Order, StdResult};
use cw_storage_plus::Bound;

use crate::{
    answer,
    msg::{Channel, PendingPacket, Question, QuestionResponse, State},
    state::{self, BY_INITIATOR, CHANNELS, PENDING, QUESTIONS},
};

const DEFAULT_LIMIT: u32 = 30;
const MAX_LIMIT: u32 = 100;

fn take(limit: Option<u32>) -> usize {
    limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) as usize
}

pub fn channels(deps: Deps, start_after: Option<String>, limit: Option<u32>) -> StdResult<Vec<Channel>> {
    let after = start_after.as_deref().map(Bound::exclusive);
    let range = CHANNELS.range(deps.storage, after, None, Order::Ascending);
    range.map(|entry| Ok(entry?.1)).take(take(limit)).collect()
}

pub fn question(deps: Deps, id: u64) -> StdResult<Option<QuestionResponse>> {
    let question = QUESTIONS.may_load(deps.storage, id)?;
    Ok(question.map(|question| QuestionResponse {
        result: match question.state {
            State::Sent {} => None,
            State::Kept {} | State::Undelivered { .. } => Some(answer::kept(&state::load_result(deps.storage, id))),
        },
        question,
    }))
}

pub fn questions(
    deps: Deps,
    initiator: &Addr,
    start_after: Option<u64>,
    limit: Option<u32>,
) -> StdResult<Vec<Question>> {
    let after = start_after.map(Bound::exclusive);
    let ids = BY_INITIATOR
        .prefix(initiator)
        .keys(deps.storage, after, None, Order::Ascending);
    ids.take(take(limit))
        .map(|id| QUESTIONS.load(deps.storage, id?))
        .collect()
}

pub fn pending(
    deps: Deps,
    channel: &str,
    start_after: Option<u64>,
    limit: Option<u32>,
) -> StdResult<Vec<PendingPacket>> {
    let after = start_after.map(Bound::exclusive);
    let range = PENDING
        .prefix(channel)
        .range(deps.storage, after, None, Order::Ascending);
    let packets = range.map(|entry| entry.map(|(sequence, id)| PendingPacket { sequence, id }));
    packets.take(take(limit)).collect()
}
