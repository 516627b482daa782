//! What can be asked of this contract.

use cosmwasm_std::{Addr, Coin, Deps, Order, StdResult};
use cw_storage_plus::Bound;

use crate::{
    check, circuits,
    msg::{Circuit, Input, Model, ModelName, Name, Request, RequestResponse, Status, Version},
    names,
    state::{self, ModelRecord, BY_REQUESTER, CIRCUITS, CLAIMABLE, MODELS, NAMES, PENDING, REQUESTS, RESULTS, TAKEN},
    ContractError,
};

const DEFAULT_LIMIT: u32 = 30;
const MAX_LIMIT: u32 = 100;

/// Where a list begins, and how long it gets.
pub struct Page<T> {
    pub start_after: Option<T>,
    pub limit: Option<u32>,
}

impl<T> Page<T> {
    fn length(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) as usize
    }
}

pub fn model(deps: Deps, model: ModelName) -> Result<Option<Model>, ContractError> {
    let Some(version) = names::resolve(deps.storage, &model)? else {
        return Ok(None);
    };
    let record = MODELS.may_load(deps.storage, (&model.name, version.packed()))?;
    let owner = names::owner(deps.storage, &model.name)?;
    let found = record.zip(owner);
    let model = found.map(|(record, owner)| show(&model.name, version, &owner, record));
    Ok(model.transpose()?)
}

fn show(name: &str, version: Version, owner: &Addr, record: ModelRecord) -> StdResult<Model> {
    Ok(Model {
        name: name.to_owned(),
        version,
        owner: owner.clone(),
        code: record.code()?,
        op_set: record.op_set,
        status: record.status(),
        description: record.description,
    })
}

pub fn names(deps: Deps, page: Page<String>) -> Result<Vec<Name>, ContractError> {
    page.start_after.as_deref().map_or(Ok(()), check::key)?;
    let after = page.start_after.as_deref().map(Bound::exclusive);
    let range = NAMES.range(deps.storage, after, None, Order::Ascending);
    let names = range.take(page.length()).map(|entry| -> StdResult<_> {
        let (name, record) = entry?;
        Ok(Name {
            latest: names::latest(deps.storage, &name)?,
            name,
            owner: record.owner,
            offered: record.offered,
        })
    });
    Ok(names.collect::<StdResult<_>>()?)
}

pub fn versions(deps: Deps, name: &str, page: Page<Version>) -> Result<Vec<Model>, ContractError> {
    check::key(name)?;
    let Some(owner) = names::owner(deps.storage, name)? else {
        return Ok(Vec::new());
    };
    let after = page.start_after.map(|version| Bound::exclusive(version.packed()));
    let keys = MODELS.prefix(name).keys(deps.storage, after, None, Order::Ascending);
    let versions = keys.take(page.length()).map(|packed| {
        let packed = packed?;
        let record = names::load(deps.storage, (name, packed))?;
        Ok(show(name, Version::from_packed(packed), &owner, record)?)
    });
    versions.collect()
}

pub fn circuit(deps: Deps, model: &ModelName, circuit: u64) -> Result<Option<Circuit>, ContractError> {
    let version = names::exact(model, "looking for a circuit")?;
    circuits::may_load(deps.storage, &model.name, version, circuit)
}

pub fn circuits(deps: Deps, model: &ModelName, page: Page<u64>) -> Result<Vec<Circuit>, ContractError> {
    check::key(&model.name)?;
    let version = names::exact(model, "listing circuits")?;
    let after = page.start_after.map(Bound::exclusive);
    let prefix = CIRCUITS.prefix((&model.name, version.packed()));
    let keys = prefix.keys(deps.storage, after, None, Order::Ascending);
    keys.take(page.length())
        .map(|id| circuits::load(deps.storage, &model.name, version, id?))
        .collect()
}

pub fn request(deps: Deps, id: u64) -> StdResult<Option<RequestResponse>> {
    let Some(request) = REQUESTS.may_load(deps.storage, id)? else {
        return Ok(None);
    };
    let (input, callback_msg) = state::load_given(deps.storage, id)?.into_parts();
    let (input, result) = match request.status {
        Status::Open {} | Status::Taken { .. } => (input, None),
        Status::Kept {} | Status::Undelivered { .. } => (Input::default(), Some(RESULTS.load(deps.storage, id)?)),
    };
    Ok(Some(RequestResponse {
        request,
        input,
        callback_msg,
        result,
    }))
}

/// Requests of these numbers.
fn load(deps: Deps, ids: impl Iterator<Item = StdResult<u64>>) -> StdResult<Vec<Request>> {
    ids.map(|id| REQUESTS.load(deps.storage, id?)).collect()
}

pub fn pending(deps: Deps, circuit: u64, page: Page<u64>) -> StdResult<Vec<Request>> {
    let after = page.start_after.map(Bound::exclusive);
    let ids = PENDING
        .prefix(circuit)
        .keys(deps.storage, after, None, Order::Ascending);
    load(deps, ids.take(page.length()))
}

pub fn taken_by(deps: Deps, prover: &Addr, page: Page<u64>) -> StdResult<Vec<Request>> {
    let after = page.start_after.map(Bound::exclusive);
    let ids = TAKEN.prefix(prover).keys(deps.storage, after, None, Order::Ascending);
    load(deps, ids.take(page.length()))
}

pub fn requests_of(deps: Deps, requester: &Addr, page: Page<u64>) -> StdResult<Vec<Request>> {
    let after = page.start_after.map(Bound::exclusive);
    let ids = BY_REQUESTER
        .prefix(requester)
        .keys(deps.storage, after, None, Order::Ascending);
    load(deps, ids.take(page.length()))
}

pub fn requests(deps: Deps, page: Page<u64>) -> StdResult<Vec<Request>> {
    let after = page.start_after.map(Bound::exclusive);
    let range = REQUESTS.range(deps.storage, after, None, Order::Ascending);
    range.take(page.length()).map(|entry| Ok(entry?.1)).collect()
}

pub fn claimable(deps: Deps, account: &Addr, page: Page<String>) -> Result<Vec<Coin>, ContractError> {
    page.start_after.as_deref().map_or(Ok(()), check::denom)?;
    let after = page.start_after.as_deref().map(Bound::exclusive);
    let range = CLAIMABLE
        .prefix(account)
        .range(deps.storage, after, None, Order::Ascending);
    let coins = range.take(page.length()).map(|entry| -> StdResult<_> {
        let (denom, amount) = entry?;
        Ok(Coin { denom, amount })
    });
    Ok(coins.collect::<StdResult<_>>()?)
}
