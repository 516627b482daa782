//! Circuits of models, and what they prove.

use aiinference_std as ai;
use aiinference_types::circuit::{srs_id, PERPETUAL_POWERS_OF_TAU};
use cosmwasm_std::{Deps, DepsMut, MessageInfo, Order, Response, Storage};

use crate::{
    check,
    msg::{Checksum, Circuit, Code, Input, ModelName, RegisterCircuit, Version},
    names,
    state::{CircuitRecord, ModelRecord, CIRCUITS, CONFIG},
    ContractError,
};

/// Registers a circuit. What it is, its own code says in the host's answer to a true proof; nothing is taken on the owner's word.
pub fn register(deps: DepsMut, info: MessageInfo, msg: RegisterCircuit) -> Result<Response, ContractError> {
    let doing = "registering a circuit";
    let (name, version) = (&msg.model.name, names::exact(&msg.model, doing)?);
    names::assert_owner(&names::load_name(deps.storage, name)?, &info, doing)?;
    let model = names::load(deps.storage, (name, version.packed()))?;
    if CIRCUITS.has(deps.storage, (name, version.packed(), msg.code.code_id)) {
        return Err(ContractError::AlreadyRegistered { what: "a circuit" });
    }
    let others = CIRCUITS.prefix((name, version.packed()));
    let others = others.keys(deps.storage, None, None, Order::Ascending);
    if others.take(check::MAX_CIRCUITS).count() == check::MAX_CIRCUITS {
        return Err(ContractError::TooManyCircuits);
    }
    names::check_code(deps.as_ref(), &msg.code)?;
    let claim = Statement {
        circuit: &msg.code,
        input: &msg.sample.input,
        outputs: &msg.sample.outputs,
        proof: &msg.sample.proof,
        srs: msg.srs.unwrap_or_else(public_srs),
        accept_unreproducible: true,
    };
    let verdict = claim.check(deps.as_ref(), doing)?;
    check_model(&model, &verdict)?;
    let circuit = Circuit {
        code: msg.code,
        reproducible: verdict.reproducible,
        srs: verdict.srs,
        approved: false,
        retired: false,
    };
    save(deps.storage, name, version, &circuit);
    Ok(event("register_circuit", name, version, circuit.code.code_id)
        .add_attribute("reproducible", circuit.reproducible.to_string())
        .add_attribute("srs", circuit.srs.to_string()))
}

/// Refuses a circuit that says it stands for another model.
fn check_model(model: &ModelRecord, verdict: &ai::Verdict) -> Result<(), ContractError> {
    match &model.code()? {
        // A circuit of several models proves what one makes of the other's output: it is none of either.
        Some(code) if verdict.models == [(code.code_id, code.checksum)] => Ok(()),
        Some(_) => Err(ContractError::OtherModel(
            "'s code alone; write its module for this code id",
        )),
        // Nobody can rebuild it: the host lets a circuit stand for no code only where it says so.
        None if verdict.models.is_empty() && !verdict.reproducible => Ok(()),
        None => Err(ContractError::OtherModel(
            ", whose weights are not published: it stands for code that is",
        )),
    }
}

/// Says whether a circuit is to be trusted.
pub fn approve(
    deps: DepsMut,
    info: MessageInfo,
    model: ModelName,
    circuit: u64,
    checksum: Option<Checksum>,
    approved: bool,
) -> Result<Response, ContractError> {
    let doing = "approving a circuit";
    if CONFIG.load(deps.storage)?.admin != info.sender {
        let who = "the registry's admin";
        return Err(ContractError::Unauthorized { doing, who });
    }
    let version = names::exact(&model, doing)?;
    let mut record = load(deps.storage, &model.name, version, circuit)?;
    check::checksum(doing, "the circuit", checksum, Some(record.code.checksum))?;
    record.approved = approved;
    save(deps.storage, &model.name, version, &record);
    Ok(event("approve_circuit", &model.name, version, circuit).add_attribute("approved", approved.to_string()))
}

/// Takes no new requests with a circuit, or does again.
pub fn retire(
    deps: DepsMut,
    info: MessageInfo,
    model: ModelName,
    circuit: u64,
    retired: bool,
) -> Result<Response, ContractError> {
    let doing = "retiring a circuit";
    names::assert_owner(&names::load_name(deps.storage, &model.name)?, &info, doing)?;
    let version = names::exact(&model, doing)?;
    let mut record = load(deps.storage, &model.name, version, circuit)?;
    record.retired = retired;
    save(deps.storage, &model.name, version, &record);
    Ok(event("retire_circuit", &model.name, version, circuit).add_attribute("retired", retired.to_string()))
}

fn event(action: &str, name: &str, version: Version, circuit: u64) -> Response {
    Response::new()
        .add_attribute("action", action)
        .add_attribute("name", name)
        .add_attribute("version", version.to_string())
        .add_attribute("circuit", circuit.to_string())
}

/// A circuit of a model.
pub fn load(storage: &dyn Storage, name: &str, version: Version, circuit: u64) -> Result<Circuit, ContractError> {
    let found = may_load(storage, name, version, circuit)?;
    found.ok_or(ContractError::NotRegistered { what: "a circuit" })
}

/// A circuit of a model, if there is one.
pub fn may_load(
    storage: &dyn Storage,
    name: &str,
    version: Version,
    circuit: u64,
) -> Result<Option<Circuit>, ContractError> {
    check::key(name)?;
    let record = CIRCUITS.may_load(storage, (name, version.packed(), circuit))?;
    Ok(record.map(|record| record.circuit(circuit)).transpose()?)
}

fn save(storage: &mut dyn Storage, name: &str, version: Version, circuit: &Circuit) {
    let key = (name, version.packed(), circuit.code.code_id);
    CIRCUITS.save(storage, key, &CircuitRecord::new(circuit));
}

/// Id of the structured reference string that is trusted where nobody says otherwise.
pub fn public_srs() -> Checksum {
    srs_id(&PERPETUAL_POWERS_OF_TAU).into()
}

/// What a proof is to show, by which circuit.
pub struct Statement<'a> {
    pub circuit: &'a Code,
    pub input: &'a Input,
    pub outputs: &'a [cosmwasm_std::Binary],
    pub proof: &'a [u8],
    pub srs: Checksum,
    pub accept_unreproducible: bool,
}

impl Statement<'_> {
    /// Has the host check it. Only what is shown gives a verdict.
    pub fn check(self, deps: Deps, doing: &'static str) -> Result<ai::Verdict, ContractError> {
        check::proof(self.proof)?;
        let mut claim = ai::Claim::new(self.proof).accepting_srs(self.srs);
        for tensor in check::input(self.input)? {
            claim = claim.input(tensor);
        }
        for hash in &self.input.hashes {
            claim = claim.hash(&hash.name, hash.value.as_slice());
        }
        for tensor in check::outputs(self.outputs)? {
            claim = claim.output(tensor);
        }
        if self.accept_unreproducible {
            claim = claim.accepting_unreproducible();
        }
        let circuit = ai::Circuit::new(self.circuit.code_id).with_checksum(self.circuit.checksum);
        let verdict = circuit.verify(deps.querier, claim);
        let verdict = verdict.map_err(|error| ContractError::Host { doing, error })?;
        match verdict.valid {
            true => Ok(verdict),
            false => Err(ContractError::InvalidProof { doing }),
        }
    }
}
