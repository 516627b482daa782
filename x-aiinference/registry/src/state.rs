//! What the contract keeps.

use aiinference_types::v1::InstanceHash;
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{Addr, Binary, Coin, Empty, StdError, StdResult, Storage, Uint256};
use cw_storage_plus::{Item, Map};
use prost::Message;

use crate::msg::{Circuit, Code, Config, Input, ModelStatus, NamedHash, Outcome, Request, Status};

pub const CONFIG: Item<Config> = Item::new("config");

pub const NAMES: Map<&str, NameRecord> = Map::new("names");
/// By name and version.
pub const MODELS: Map<(&str, u64), ModelRecord> = Map::new("models");
/// The active ones among them.
pub const ACTIVE: Map<(&str, u64), Empty> = Map::new("active");
/// By name and version of the model, and the circuit's code id.
pub const CIRCUITS: Map<(&str, u64, u64), Circuit> = Map::new("circuits");

/// Number of the last request.
pub const LAST_ID: Item<u64> = Item::new("last_id");
pub const REQUESTS: Map<u64, Request> = Map::new("requests");
/// Those that have not ended, by the circuit's code id.
pub const PENDING: Map<(u64, u64), Empty> = Map::new("pending");
/// Those that are taken, by taker.
pub const TAKEN: Map<(&Addr, u64), Empty> = Map::new("taken");
pub const BY_REQUESTER: Map<(&Addr, u64), Empty> = Map::new("by_requester");
/// How many requests of each requester have not ended. Ended ones do not count: others decide when, and how, they end.
pub const COUNTS: Map<&Addr, u32> = Map::new("counts");
/// How those ended whose result is here.
pub const RESULTS: Map<u64, Outcome> = Map::new("results");
/// What was given along with a request, encoded.
const GIVEN: Map<u64, Empty> = Map::new("given");

/// What could not be paid, by account and denom.
pub const CLAIMABLE: Map<(&Addr, &str), Uint256> = Map::new("claimable");

/// A name.
#[cw_serde]
pub struct NameRecord {
    /// Who registers its versions and circuits.
    pub owner: Addr,
    /// To whom it is offered.
    pub offered: Option<Addr>,
}

/// A version of a model.
#[cw_serde]
pub struct ModelRecord {
    pub code: Option<Code>,
    pub op_set: Option<u32>,
    pub description: String,
    pub status: ModelStatus,
}

/// What was given along with a request.
#[derive(Clone, PartialEq, Message)]
pub struct Given {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub tensors: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    pub hashes: Vec<InstanceHash>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub callback_msg: Option<Vec<u8>>,
}

impl Given {
    pub fn new(input: Input, callback_msg: Option<Binary>) -> Self {
        let hashes = input.hashes.into_iter().map(|hash| InstanceHash {
            name: hash.name,
            value: hash.value.into(),
        });
        Given {
            tensors: input.tensors.into_iter().map(Vec::from).collect(),
            hashes: hashes.collect(),
            callback_msg: callback_msg.map(Vec::from),
        }
    }

    /// The input, and what the requester wants to be told.
    pub fn into_parts(self) -> (Input, Option<Binary>) {
        let hashes = self.hashes.into_iter().map(|hash| NamedHash {
            name: hash.name,
            value: hash.value.into(),
        });
        let input = Input {
            tensors: self.tensors.into_iter().map(Binary::from).collect(),
            hashes: hashes.collect(),
        };
        (input, self.callback_msg.map(Binary::from))
    }
}

/// Stores a request. What is given along with it is stored apart: it is large, and never changes.
pub fn save(storage: &mut dyn Storage, request: &Request) -> StdResult<()> {
    REQUESTS.save(storage, request.id, request)
}

/// Stores a request for the first time, or again after a callback that failed.
pub fn insert(storage: &mut dyn Storage, request: &Request, given: &Given) -> StdResult<()> {
    save(storage, request)?;
    let given = given.encode_to_vec();
    // A value of a contract's storage is never empty; one that is not there reads as nothing given.
    if !given.is_empty() {
        storage.set(&GIVEN.key(request.id), &given);
    }
    BY_REQUESTER.save(storage, (&request.requester, request.id), &Empty {})?;
    if request.status.has_ended() {
        return Ok(());
    }
    let count = count(storage, &request.requester)?.saturating_add(1);
    COUNTS.save(storage, &request.requester, &count)
}

/// Removes a request and all that belongs to it, and gives back what was given along with it.
pub fn remove(storage: &mut dyn Storage, request: &Request) -> StdResult<Given> {
    let given = load_given(storage, request.id)?;
    let (id, requester) = (request.id, &request.requester);
    match &request.status {
        Status::Open {} => PENDING.remove(storage, (request.circuit.code_id, id)),
        Status::Taken { by, .. } => {
            PENDING.remove(storage, (request.circuit.code_id, id));
            TAKEN.remove(storage, (by, id));
        }
        Status::Kept {} | Status::Undelivered { .. } => RESULTS.remove(storage, id),
    }
    REQUESTS.remove(storage, id);
    storage.remove(&GIVEN.key(id));
    BY_REQUESTER.remove(storage, (requester, id));
    if request.status.has_ended() {
        return Ok(given);
    }
    match count(storage, requester)?.saturating_sub(1) {
        0 => COUNTS.remove(storage, requester),
        count => COUNTS.save(storage, requester, &count)?,
    }
    Ok(given)
}

/// What was given along with a request.
pub fn load_given(storage: &dyn Storage, id: u64) -> StdResult<Given> {
    let bytes = storage.get(&GIVEN.key(id)).unwrap_or_default();
    Given::decode(&bytes[..]).map_err(|error| StdError::msg(error.to_string()))
}

/// How many requests of an account have not ended.
pub fn count(storage: &dyn Storage, requester: &Addr) -> StdResult<u32> {
    Ok(COUNTS.may_load(storage, requester)?.unwrap_or_default())
}

/// Adds to what an account may claim.
pub fn add_claimable(storage: &mut dyn Storage, account: &Addr, coin: &Coin) -> StdResult<()> {
    let held = CLAIMABLE.may_load(storage, (account, &coin.denom))?.unwrap_or_default();
    CLAIMABLE.save(storage, (account, &coin.denom), &held.checked_add(coin.amount)?)
}
