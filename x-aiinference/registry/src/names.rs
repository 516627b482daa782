//! Names and versions of models.

use aiinference_std as ai;
use cosmwasm_std::{Addr, Deps, DepsMut, Empty, MessageInfo, Order, Response, StdResult, Storage};

use crate::{
    check,
    msg::{Code, ModelName, ModelStatus, RegisterModel, Version},
    state::{ModelRecord, NameRecord, ACTIVE, MODELS, NAMES},
    ContractError,
};

/// Registers a version.
pub fn register(deps: DepsMut, info: MessageInfo, msg: RegisterModel) -> Result<Response, ContractError> {
    check::name(&msg.name)?;
    check::text("a description", &msg.description, check::MAX_DESCRIPTION_BYTES)?;
    match NAMES.may_load(deps.storage, &msg.name)? {
        Some(name) => assert_owner(&name, &info, "registering a version of this name")?,
        None => {
            let name = NameRecord {
                owner: info.sender.clone(),
                offered: None,
            };
            NAMES.save(deps.storage, &msg.name, &name)?;
        }
    }
    let key = (&msg.name[..], msg.version.packed());
    if MODELS.has(deps.storage, key) {
        return Err(ContractError::AlreadyRegistered { what: "a model" });
    }
    let mut response = Response::new()
        .add_attribute("action", "register_model")
        .add_attribute("name", &msg.name)
        .add_attribute("version", msg.version.to_string())
        .add_attribute("owner", info.sender);
    let mut op_set = None;
    if let Some(code) = &msg.code {
        check_code(deps.as_ref(), code)?;
        op_set = Some(describe(deps.as_ref(), code)?.op_set);
        response = response.add_attribute("code_id", code.code_id.to_string());
    }
    let record = ModelRecord::new(msg.code.as_ref(), op_set, msg.description);
    MODELS.save(deps.storage, key, &record);
    ACTIVE.save(deps.storage, key, &Empty {})?;
    Ok(response)
}

/// Refuses code that the chain does not have under this id.
pub fn check_code(deps: Deps, code: &Code) -> Result<(), ContractError> {
    let code_id = code.code_id;
    let info = deps.querier.query_wasm_code_info(code_id);
    let info = info.map_err(|error| ContractError::UnknownCode {
        code_id,
        error: check::cut(&error.to_string()),
    })?;
    let actual = info.checksum.into();
    match code.checksum == actual {
        true => Ok(()),
        false => Err(ContractError::OtherCode { code_id, actual }),
    }
}

/// What the host tells of a model, which loads and validates it.
fn describe(deps: Deps, code: &Code) -> Result<ai::ModelInfo, ContractError> {
    let model = ai::Model::new(code.code_id).with_checksum(code.checksum);
    model.info(deps.querier).map_err(|error| ContractError::Host {
        doing: "registering a model",
        error,
    })
}

/// Says what has become of a version.
pub fn set_status(
    deps: DepsMut,
    info: MessageInfo,
    model: ModelName,
    status: ModelStatus,
) -> Result<Response, ContractError> {
    let doing = "saying what has become of a model";
    assert_owner(&load_name(deps.storage, &model.name)?, &info, doing)?;
    let version = exact(&model, doing)?;
    let key = (&model.name[..], version.packed());
    let mut record = load(deps.storage, key)?;
    match &status {
        ModelStatus::Active {} => ACTIVE.save(deps.storage, key, &Empty {})?,
        ModelStatus::Deprecated { reason } => {
            check::text("a reason", reason, check::MAX_REASON_BYTES)?;
            ACTIVE.remove(deps.storage, key);
        }
        ModelStatus::Superseded { by } => {
            if *by == version || !MODELS.has(deps.storage, (&model.name, by.packed())) {
                return Err(ContractError::BadSuccessor(*by));
            }
            ACTIVE.remove(deps.storage, key);
        }
    }
    let response = Response::new()
        .add_attribute("action", "set_status")
        .add_attribute("name", &model.name)
        .add_attribute("version", version.to_string())
        .add_attribute("status", status.to_string());
    record.set_status(status);
    MODELS.save(deps.storage, key, &record);
    Ok(response)
}

/// Offers a name, or withdraws the offer.
pub fn transfer(deps: DepsMut, info: MessageInfo, name: String, to: Option<String>) -> Result<Response, ContractError> {
    let mut record = load_name(deps.storage, &name)?;
    assert_owner(&record, &info, "offering a name")?;
    record.offered = to.map(|to| deps.api.addr_validate(&to)).transpose()?;
    NAMES.save(deps.storage, &name, &record)?;
    let mut response = Response::new()
        .add_attribute("action", "transfer_name")
        .add_attribute("name", name)
        .add_attribute("owner", record.owner);
    if let Some(offered) = record.offered {
        response = response.add_attribute("offered", offered);
    }
    Ok(response)
}

/// Takes a name that was offered.
pub fn accept(deps: DepsMut, info: MessageInfo, name: String) -> Result<Response, ContractError> {
    let record = load_name(deps.storage, &name)?;
    if record.offered.as_ref() != Some(&info.sender) {
        return Err(ContractError::Unauthorized {
            doing: "accepting a name",
            who: "to whom it is offered",
        });
    }
    let record = NameRecord {
        owner: info.sender,
        offered: None,
    };
    NAMES.save(deps.storage, &name, &record)?;
    Ok(Response::new()
        .add_attribute("action", "accept_name")
        .add_attribute("name", name)
        .add_attribute("owner", record.owner))
}

/// A name's record.
pub fn load_name(storage: &dyn Storage, name: &str) -> Result<NameRecord, ContractError> {
    check::key(name)?;
    let record = NAMES.may_load(storage, name)?;
    record.ok_or(ContractError::NotRegistered { what: "a name" })
}

/// A version's record.
pub fn load(storage: &dyn Storage, key: (&str, u64)) -> Result<ModelRecord, ContractError> {
    check::key(key.0)?;
    let record = MODELS.may_load(storage, key)?;
    record.ok_or(ContractError::NotRegistered { what: "a model" })
}

/// Refuses everybody but the owner.
pub fn assert_owner(name: &NameRecord, info: &MessageInfo, doing: &'static str) -> Result<(), ContractError> {
    match name.owner == info.sender {
        true => Ok(()),
        false => Err(ContractError::Unauthorized {
            doing,
            who: "the owner of the name",
        }),
    }
}

/// The version that must be named.
pub fn exact(model: &ModelName, doing: &'static str) -> Result<Version, ContractError> {
    model.version.ok_or(ContractError::VersionMissing { doing })
}

/// The version that is meant: by the name alone, the highest active one.
pub fn resolve(storage: &dyn Storage, model: &ModelName) -> Result<Option<Version>, ContractError> {
    check::key(&model.name)?;
    match model.version {
        Some(version) => Ok(Some(version)),
        None => Ok(latest(storage, &model.name)?),
    }
}

/// The highest active version of a name.
pub fn latest(storage: &dyn Storage, name: &str) -> StdResult<Option<Version>> {
    let mut active = ACTIVE.prefix(name).keys(storage, None, None, Order::Descending);
    let highest = active.next().transpose()?;
    Ok(highest.map(Version::from_packed))
}

/// Who owns a name.
pub fn owner(storage: &dyn Storage, name: &str) -> StdResult<Option<Addr>> {
    Ok(NAMES.may_load(storage, name)?.map(|name| name.owner))
}
