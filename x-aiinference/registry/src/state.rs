//! What the contract keeps.

use aiinference_types::v1::InstanceHash;
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{Addr, Binary, Coin, Empty, StdError, StdResult, Storage, Uint256};
use cw_storage_plus::{Item, Map};
use prost::Message;

use crate::{
    msg::{Checksum, Circuit, Code, Config, Input, ModelStatus, NamedHash, Outcome, Request, Status, Version},
    record::Records,
};

pub const CONFIG: Item<Config> = Item::new("config");

pub const NAMES: Map<&str, NameRecord> = Map::new("names");
/// By name and version.
pub const MODELS: Records<(&str, u64), ModelRecord> = Records::new("models");
/// The active ones among them.
pub const ACTIVE: Map<(&str, u64), Empty> = Map::new("active");
/// By name and version of the model, and the circuit's code id.
pub const CIRCUITS: Records<(&str, u64, u64), CircuitRecord> = Records::new("circuits");

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
/// What was given along with a request; not there where nothing was.
const GIVEN: Records<u64, Given> = Records::new("given");

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
#[derive(Clone, PartialEq, Message)]
pub struct ModelRecord {
    #[prost(message, optional, tag = "1")]
    code: Option<CodeRecord>,
    #[prost(uint32, optional, tag = "2")]
    pub op_set: Option<u32>,
    #[prost(string, tag = "3")]
    pub description: String,
    /// Why, where it is.
    #[prost(string, optional, tag = "4")]
    deprecated: Option<String>,
    /// By which version, where it is.
    #[prost(uint64, optional, tag = "5")]
    superseded: Option<u64>,
}

/// Code on the chain.
#[derive(Clone, PartialEq, Message)]
struct CodeRecord {
    #[prost(uint64, tag = "1")]
    code_id: u64,
    #[prost(bytes = "vec", tag = "2")]
    checksum: Vec<u8>,
}

/// A circuit, but for its code id, which is in its key.
#[derive(Clone, PartialEq, Message)]
pub struct CircuitRecord {
    #[prost(bytes = "vec", tag = "1")]
    checksum: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    srs: Vec<u8>,
    #[prost(bool, tag = "3")]
    reproducible: bool,
    #[prost(bool, tag = "4")]
    approved: bool,
    #[prost(bool, tag = "5")]
    retired: bool,
}

impl ModelRecord {
    /// An active version.
    pub fn new(code: Option<&Code>, op_set: Option<u32>, description: String) -> Self {
        ModelRecord {
            code: code.map(|code| CodeRecord {
                code_id: code.code_id,
                checksum: code.checksum.as_bytes().to_vec(),
            }),
            op_set,
            description,
            deprecated: None,
            superseded: None,
        }
    }

    /// Where it is stored.
    pub fn code(&self) -> StdResult<Option<Code>> {
        let code = |code: &CodeRecord| {
            Ok(Code {
                code_id: code.code_id,
                checksum: digest(&code.checksum)?,
            })
        };
        self.code.as_ref().map(code).transpose()
    }

    pub fn status(&self) -> ModelStatus {
        match (&self.deprecated, self.superseded) {
            (Some(reason), _) => ModelStatus::Deprecated { reason: reason.clone() },
            (None, Some(by)) => ModelStatus::Superseded {
                by: Version::from_packed(by),
            },
            (None, None) => ModelStatus::Active {},
        }
    }

    pub fn set_status(&mut self, status: ModelStatus) {
        (self.deprecated, self.superseded) = match status {
            ModelStatus::Active {} => (None, None),
            ModelStatus::Deprecated { reason } => (Some(reason), None),
            ModelStatus::Superseded { by } => (None, Some(by.packed())),
        };
    }
}

impl CircuitRecord {
    pub fn new(circuit: &Circuit) -> Self {
        CircuitRecord {
            checksum: circuit.code.checksum.as_bytes().to_vec(),
            srs: circuit.srs.as_bytes().to_vec(),
            reproducible: circuit.reproducible,
            approved: circuit.approved,
            retired: circuit.retired,
        }
    }

    /// The circuit at this code id.
    pub fn circuit(&self, code_id: u64) -> StdResult<Circuit> {
        Ok(Circuit {
            code: Code {
                code_id,
                checksum: digest(&self.checksum)?,
            },
            reproducible: self.reproducible,
            srs: digest(&self.srs)?,
            approved: self.approved,
            retired: self.retired,
        })
    }
}

fn digest(bytes: &[u8]) -> StdResult<Checksum> {
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| StdError::msg("reading a record of the registry: a digest has not 32 bytes"))?;
    Ok(bytes.into())
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
    if *given != Given::default() {
        GIVEN.save(storage, request.id, given);
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
    GIVEN.remove(storage, id);
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
    Ok(GIVEN.may_load(storage, id)?.unwrap_or_default())
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
