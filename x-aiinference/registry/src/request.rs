//! Requests until they end.

use aiinference_types::limits;
use cosmwasm_std::{
    to_json_binary, Addr, Coin, DepsMut, Empty, Env, MessageInfo, Response, StdError, StdResult, Storage, Timestamp,
    Uint256,
};

use crate::{
    check, circuits,
    msg::{Callback, Circuit, Config, HeavyRequest, Mode, ModelStatus, Proven, Request, Requested, Status},
    names, pay,
    state::{self, Given, CONFIG, LAST_ID, PENDING, REQUESTS, TAKEN},
    ContractError,
};

/// Makes a request.
pub fn request(deps: DepsMut, env: &Env, info: MessageInfo, msg: HeavyRequest) -> Result<Response, ContractError> {
    let doing = "requesting a run";
    let config = CONFIG.load(deps.storage)?;
    let (fee, bond) = price(&config, check::one_coin(doing, &info)?, msg.bond)?;
    check_duration("its lifetime", msg.lifetime, config.max_lifetime)?;
    check_duration("a taker's window", msg.take_window, msg.lifetime)?;
    check_callback(&config, msg.callback.as_ref())?;
    check::input(&msg.input)?;
    if msg.input.tensors.is_empty() && msg.input.hashes.is_empty() {
        return Err(ContractError::EmptyInput);
    }
    let count = state::count(deps.storage, &info.sender)?;
    if count >= config.max_requests {
        return Err(ContractError::TooMany(count));
    }

    let version = names::resolve(deps.storage, &msg.model)?;
    let version = version.ok_or(ContractError::NotRegistered { what: "a model" })?;
    let model = names::load(deps.storage, (&msg.model.name, version.packed()))?;
    let code = model.code()?;
    if let ModelStatus::Deprecated { .. } = model.status() {
        return Err(ContractError::Deprecated);
    }
    check::checksum(
        doing,
        "the model",
        msg.checksum,
        code.as_ref().map(|code| code.checksum),
    )?;
    let Mode::Proven(proven) = msg.mode;
    let circuit = circuits::load(deps.storage, &msg.model.name, version, proven.circuit)?;
    check::checksum(doing, "the circuit", proven.checksum, Some(circuit.code.checksum))?;
    check_circuit(&circuit, &proven)?;

    let id = next_id(deps.storage)?;
    let request = Request {
        id,
        requester: info.sender,
        name: msg.model.name,
        version,
        model: code,
        circuit: circuit.code,
        srs: circuit.srs,
        accept_unapproved: proven.accept_unapproved,
        accept_unreproducible: proven.accept_unreproducible,
        prover: msg.prover.map(|prover| deps.api.addr_validate(&prover)).transpose()?,
        fee,
        bond,
        take_window: msg.take_window,
        deadline: after(env.block.time, msg.lifetime)?,
        callback_gas: msg.callback.as_ref().map(|callback| callback.gas_limit),
        status: Status::Open {},
    };
    let given = Given::new(msg.input, msg.callback.map(|callback| callback.msg));
    state::insert(deps.storage, &request, &given)?;
    PENDING.save(deps.storage, (request.circuit.code_id, id), &Empty {})?;

    let mut response = event("request", &request)
        .add_attribute("name", &request.name)
        .add_attribute("version", version.to_string())
        .add_attribute("fee", request.fee.to_string())
        .add_attribute("bond", request.bond.to_string())
        .add_attribute("deadline", request.deadline.nanos().to_string());
    if let Some(prover) = &request.prover {
        response = response.add_attribute("prover", prover);
    }
    Ok(response.set_data(to_json_binary(&Requested { id })?))
}

/// Fee and bond, if there are terms for them.
fn price(config: &Config, fee: &Coin, bond: Option<Uint256>) -> Result<(Coin, Coin), ContractError> {
    let terms = config.terms.iter().find(|terms| terms.denom == fee.denom);
    let terms = terms.filter(|terms| fee.amount >= terms.min_fee);
    let terms = terms.ok_or_else(|| ContractError::Fee(fee.clone()))?;
    let bond = bond.unwrap_or(terms.min_bond);
    if bond < terms.min_bond {
        return Err(ContractError::Bond(terms.min_bond));
    }
    // Both are paid in one coin at the end.
    fee.amount.checked_add(bond).map_err(StdError::from)?;
    let bond = Coin {
        denom: fee.denom.clone(),
        amount: bond,
    };
    Ok((fee.clone(), bond))
}

fn check_duration(name: &'static str, seconds: u64, max: u64) -> Result<(), ContractError> {
    match (1..=max).contains(&seconds) {
        true => Ok(()),
        false => Err(ContractError::Duration { name, seconds, max }),
    }
}

fn check_callback(config: &Config, callback: Option<&Callback>) -> Result<(), ContractError> {
    let Some(Callback { msg, gas_limit }) = callback else {
        return Ok(());
    };
    if !(1..=config.max_callback_gas).contains(gas_limit) {
        return Err(ContractError::CallbackGas {
            actual: *gas_limit,
            max: config.max_callback_gas,
        });
    }
    match msg.len() <= check::MAX_CALLBACK_MSG_BYTES {
        true => Ok(()),
        false => Err(ContractError::CallbackMsg(msg.len())),
    }
}

/// Refuses a circuit that the request does not accept.
fn check_circuit(circuit: &Circuit, proven: &Proven) -> Result<(), ContractError> {
    let refuse = |why| {
        let doing = "requesting a run";
        Err(ContractError::CircuitNotAccepted { doing, why })
    };
    if circuit.retired {
        return refuse("is retired; the query circuits lists others");
    }
    if !circuit.approved && !proven.accept_unapproved {
        return refuse("is not approved; name another one, or accept that");
    }
    if !circuit.reproducible && !proven.accept_unreproducible {
        return refuse(
            "is one that nobody but its owner can rebuild; name another one, or trust the owner and accept that",
        );
    }
    if proven.accept_srs.len() > limits::MAX_ACCEPTED_SRS {
        return Err(ContractError::TooManySrs(proven.accept_srs.len()));
    }
    let accepted = match proven.accept_srs.is_empty() {
        true => circuit.srs == circuits::public_srs(),
        false => proven.accept_srs.contains(&circuit.srs),
    };
    if !accepted {
        return refuse(
            "was made with a structured reference string that is not accepted; name one of the perpetual powers of tau",
        );
    }
    Ok(())
}

fn next_id(storage: &mut dyn Storage) -> StdResult<u64> {
    let last = LAST_ID.may_load(storage)?.unwrap_or_default();
    let id = last
        .checked_add(1)
        .ok_or_else(|| StdError::msg("numbering a request: no number is left"))?;
    LAST_ID.save(storage, &id)?;
    Ok(id)
}

/// In a second.
const NANOS: u64 = 1_000_000_000;

/// So many seconds later.
fn after(now: Timestamp, seconds: u64) -> StdResult<Timestamp> {
    let nanos = seconds.checked_mul(NANOS);
    let nanos = nanos.and_then(|nanos| now.nanos().checked_add(nanos));
    nanos
        .map(Timestamp::from_nanos)
        .ok_or_else(|| StdError::msg("adding seconds to the time: the sum is beyond the year 2554"))
}

/// Takes a request for a prover.
pub fn take(
    deps: DepsMut,
    env: &Env,
    info: MessageInfo,
    id: u64,
    min_seconds: Option<u64>,
) -> Result<Response, ContractError> {
    let doing = "taking a request";
    let mut request = load(deps.storage, doing, id)?;
    let forfeited = match &request.status {
        Status::Open {} => None,
        Status::Taken { until, .. } if env.block.time < *until => {
            return Err(ContractError::Taken { doing, until: *until });
        }
        Status::Taken { by, .. } => Some(by.clone()),
        Status::Kept {} | Status::Undelivered { .. } => return Err(ended(doing)),
    };
    if env.block.time >= request.deadline {
        let problem = "has passed its deadline; expire it";
        return Err(ContractError::WrongState { doing, problem });
    }
    if request.prover.as_ref().is_some_and(|prover| *prover != info.sender) {
        let who = "whom the request names as its prover";
        return Err(ContractError::Unauthorized { doing, who });
    }
    if let Some(why) = disapproved(deps.storage, &request)? {
        return Err(ContractError::CircuitNotAccepted { doing, why });
    }
    if info.funds != [request.bond.clone()] {
        return Err(ContractError::Funds {
            doing,
            takes: request.bond.to_string(),
        });
    }
    let until = after(env.block.time, request.take_window)?.min(request.deadline);
    let left = until.nanos().saturating_sub(env.block.time.nanos()) / NANOS;
    if let Some(wanted) = min_seconds.filter(|wanted| left < *wanted) {
        return Err(ContractError::TooLittleTime { left, wanted });
    }
    let mut response = event("take", &request)
        .add_attribute("prover", &info.sender)
        .add_attribute("until", until.nanos().to_string());
    if let Some(former) = forfeited {
        TAKEN.remove(deps.storage, (&former, id));
        response = response
            .add_attribute("forfeited", former)
            .add_submessage(pay::pay(&request.requester, request.bond.clone())?);
    }
    TAKEN.save(deps.storage, (&info.sender, id), &Empty {})?;
    let by = info.sender;
    request.status = Status::Taken { by, until };
    state::save(deps.storage, &request)?;
    Ok(response)
}

/// Takes a request back that nobody has taken, or whose taker's time is up.
pub fn cancel(deps: DepsMut, env: &Env, info: MessageInfo, id: u64) -> Result<Response, ContractError> {
    let doing = "cancelling a request";
    let request = load(deps.storage, doing, id)?;
    assert_requester(&request, &info.sender, doing)?;
    let response = event("cancel", &request);
    let (response, due) = match &request.status {
        Status::Open {} => (response, request.fee.clone()),
        Status::Taken { until, .. } if env.block.time < *until => {
            return Err(ContractError::Taken { doing, until: *until });
        }
        // It was not allowed to fulfil: the bond stays its own.
        Status::Taken { by, .. } if disapproved(deps.storage, &request)?.is_some() => {
            let returned = pay::pay(by, request.bond.clone())?;
            (response.add_submessage(returned), request.fee.clone())
        }
        Status::Taken { by, .. } => (response.add_attribute("forfeited", by), both(&request)?),
        Status::Kept {} | Status::Undelivered { .. } => return Err(ended(doing)),
    };
    state::remove(deps.storage, &request)?;
    Ok(response.add_submessage(pay::pay(&request.requester, due)?))
}

/// The fee and the bond.
pub fn both(request: &Request) -> StdResult<Coin> {
    Ok(Coin {
        denom: request.fee.denom.clone(),
        amount: request.fee.amount.checked_add(request.bond.amount)?,
    })
}

/// A request that is here.
pub fn load(storage: &dyn Storage, doing: &'static str, id: u64) -> Result<Request, ContractError> {
    let request = REQUESTS.may_load(storage, id)?;
    request.ok_or(ContractError::NoRequest { doing, id })
}

/// Refuses everybody but the requester.
pub fn assert_requester(request: &Request, sender: &Addr, doing: &'static str) -> Result<(), ContractError> {
    match request.requester == *sender {
        true => Ok(()),
        false => Err(ContractError::Unauthorized {
            doing,
            who: "the requester",
        }),
    }
}

/// Why the circuit of a request is not to be used any more, if so.
pub fn disapproved(storage: &dyn Storage, request: &Request) -> Result<Option<&'static str>, ContractError> {
    let approved = request.accept_unapproved || is_approved(storage, request)?;
    Ok((!approved).then_some("is not approved any more; expire the request"))
}

/// Whether the circuit of a request is approved now.
pub fn is_approved(storage: &dyn Storage, request: &Request) -> Result<bool, ContractError> {
    let circuit = circuits::load(storage, &request.name, request.version, request.circuit.code_id)?;
    Ok(circuit.approved)
}

/// Refuses what only a request takes that has not ended.
pub fn ended(doing: &'static str) -> ContractError {
    let problem = "has ended; fetch its result, or discard it";
    ContractError::WrongState { doing, problem }
}

/// The event of a request.
pub fn event(action: &str, request: &Request) -> Response {
    Response::new()
        .add_attribute("action", action)
        .add_attribute("id", request.id.to_string())
        .add_attribute("requester", &request.requester)
        .add_attribute("circuit", request.circuit.code_id.to_string())
}
