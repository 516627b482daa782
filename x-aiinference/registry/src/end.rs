//! Ends requests: pays, and tells the requester, or keeps the result.

use aiinference_std as ai;
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{
    from_json, to_json_binary, Addr, Binary, DepsMut, Env, MessageInfo, Reply, Response, StdResult, Storage, SubMsg,
    SubMsgResult, WasmMsg,
};

use crate::{
    check,
    circuits::Statement,
    contract::CALLED_BACK,
    msg::{CallbackMsg, ModelResult, Outcome, Proof, Reason, Request, Status},
    pay::pay,
    request::{assert_requester, both, disapproved, ended, event, is_approved, load},
    state::{self, Given, RESULTS, TAKEN},
    ContractError,
};

/// What travels with a callback: all that is needed to store the request again where it fails.
#[cw_serde]
struct Carried {
    request: Request,
    callback_msg: Option<Binary>,
    outcome: Outcome,
}

/// Takes a result with its proof.
pub fn fulfil(
    deps: DepsMut,
    env: &Env,
    info: MessageInfo,
    id: u64,
    outputs: Vec<Binary>,
    proof: Binary,
    defer: bool,
) -> Result<Response, ContractError> {
    let doing = "fulfilling a request";
    let request = load(deps.storage, doing, id)?;
    let wrong = |problem| ContractError::WrongState { doing, problem };
    let until = match &request.status {
        Status::Taken { by, until } if *by == info.sender => *until,
        Status::Taken { .. } => {
            let who = "its taker";
            return Err(ContractError::Unauthorized { doing, who });
        }
        Status::Open {} => return Err(wrong("is not taken; take it first")),
        Status::Kept {} | Status::Undelivered { .. } => return Err(ended(doing)),
    };
    if env.block.time >= until {
        return Err(wrong(
            "was its taker's for a time that is up; take it again, if its deadline allows",
        ));
    }
    if let Some(why) = disapproved(deps.storage, &request)? {
        return Err(ContractError::CircuitNotAccepted { doing, why });
    }
    let (input, _) = state::load_given(deps.storage, id)?.into_parts();
    let statement = Statement {
        circuit: &request.circuit,
        input: &input,
        outputs: &outputs,
        proof: &proof,
        srs: request.srs,
        accept_unreproducible: request.accept_unreproducible,
    };
    let verdict = statement.check(deps.as_ref(), doing)?;
    let encode = |output| ai::Tensor::from(output).encode().into();
    let outcome = Outcome::Proven(Proof {
        // As the circuit has them, however the taker wrote them.
        outputs: verdict.outputs.into_iter().map(encode).collect(),
        prover: info.sender.clone(),
        approved: is_approved(deps.storage, &request)?,
    });
    let paid = pay(&info.sender, both(&request)?)?;
    let response = event("end", &request)
        .add_attribute("prover", info.sender)
        .add_submessage(paid);
    end(deps.storage, request, outcome, response, defer)
}

/// Frees a request whose taker's time is up, or ends one.
pub fn expire(deps: DepsMut, env: &Env, id: u64, defer: bool) -> Result<Response, ContractError> {
    let doing = "expiring a request";
    let request = load(deps.storage, doing, id)?;
    let now = env.block.time;
    let taker = match &request.status {
        Status::Open {} => None,
        Status::Taken { by, until } => Some((by.clone(), *until)),
        Status::Kept {} | Status::Undelivered { .. } => return Err(ended(doing)),
    };
    let response = event("end", &request);
    if disapproved(deps.storage, &request)?.is_some() {
        // Nobody's fault: everybody gets back what is theirs.
        let mut response = response.add_submessage(pay(&request.requester, request.fee.clone())?);
        if let Some((taker, _)) = taker {
            response = response.add_submessage(pay(&taker, request.bond.clone())?);
        }
        let outcome = Outcome::Failed(Reason::CircuitDisapproved {});
        return end(deps.storage, request, outcome, response, defer);
    }
    match taker {
        Some((taker, _)) if now >= request.deadline => {
            let paid = pay(&request.requester, both(&request)?)?;
            let response = response.add_attribute("forfeited", taker).add_submessage(paid);
            end(deps.storage, request, DEADLINE_PASSED, response, defer)
        }
        Some((taker, until)) if now >= until => reopen(deps.storage, request, taker),
        None if now >= request.deadline => {
            let response = response.add_submessage(pay(&request.requester, request.fee.clone())?);
            end(deps.storage, request, DEADLINE_PASSED, response, defer)
        }
        Some((_, until)) => Err(ContractError::Taken { doing, until }),
        None => Err(ContractError::NotYet(request.deadline)),
    }
}

const DEADLINE_PASSED: Outcome = Outcome::Failed(Reason::DeadlinePassed {});
/// Why a callback that was not tried is not delivered.
const DEFERRED: &str = "deferred by who ended it";

/// Frees a request for others.
fn reopen(storage: &mut dyn Storage, mut request: Request, taker: Addr) -> Result<Response, ContractError> {
    TAKEN.remove(storage, (&taker, request.id));
    request.status = Status::Open {};
    state::save(storage, &request)?;
    let response = event("reopen", &request).add_attribute("forfeited", taker);
    Ok(response.add_submessage(pay(&request.requester, request.bond)?))
}

/// Ends a request that is paid: the event, and the callback if one was asked for.
///
/// A callback that fails holds nothing up, but for one that fails the whole transaction: one that makes the chain's own code panic, or
/// does not fit a block. So who ends a request may `defer` the callback; nothing is lost by that, since anybody may deliver it.
fn end(
    storage: &mut dyn Storage,
    request: Request,
    outcome: Outcome,
    response: Response,
    defer: bool,
) -> Result<Response, ContractError> {
    // From here on nobody finds the request any more: no second end, and no hand of the callback on it.
    let given = state::remove(storage, &request)?;
    let name = match &outcome {
        Outcome::Proven(_) => "proven".to_owned(),
        Outcome::Failed(reason) => reason.to_string(),
    };
    let runs = match request.callback_gas {
        None => "false",
        Some(_) if defer => "deferred",
        Some(_) => "true",
    };
    let response = response.add_attribute("outcome", name).add_attribute("callback", runs);
    let carried = Carried {
        callback_msg: given.callback_msg.map(Binary::from),
        request,
        outcome,
    };
    let Some((gas_limit, message)) = callback(&carried)? else {
        keep(storage, carried, Status::Kept {})?;
        return Ok(response);
    };
    if defer {
        let reason = DEFERRED.to_owned();
        keep(storage, carried, Status::Undelivered { reason })?;
        return Ok(response);
    }
    // A callback that succeeds leaves nothing to do.
    let message = SubMsg::reply_on_error(message, CALLED_BACK)
        .with_gas_limit(gas_limit)
        .with_payload(to_json_binary(&carried)?);
    Ok(response.add_submessage(message))
}

/// The message that tells a contract the result, if one was asked for, and its gas limit.
fn callback(carried: &Carried) -> StdResult<Option<(u64, WasmMsg)>> {
    let Carried { request, outcome, .. } = carried;
    let (Some(gas_limit), Some(msg)) = (request.callback_gas, &carried.callback_msg) else {
        return Ok(None);
    };
    let message = CallbackMsg::ModelResult(ModelResult {
        id: request.id,
        initiator: request.requester.to_string(),
        initiator_msg: msg.clone(),
        result: outcome.clone(),
    });
    let message = WasmMsg::Execute {
        contract_addr: request.requester.to_string(),
        msg: to_json_binary(&message)?,
        funds: vec![],
    };
    Ok(Some((gas_limit, message)))
}

/// Stores an ended request with its result.
fn keep(storage: &mut dyn Storage, carried: Carried, status: Status) -> StdResult<()> {
    let mut request = carried.request;
    request.status = status;
    let given = Given {
        callback_msg: carried.callback_msg.map(Vec::from),
        ..Given::default()
    };
    state::insert(storage, &request, &given)?;
    RESULTS.save(storage, request.id, &carried.outcome)
}

/// A callback has failed.
pub fn undelivered(deps: DepsMut, reply: Reply) -> Result<Response, ContractError> {
    let carried: Carried = from_json(&reply.payload)?;
    let SubMsgResult::Err(reason) = reply.result else {
        return Ok(Response::new());
    };
    let reason = match reason.as_str() {
        // The SDK's number; chains hide the text.
        "codespace: sdk, code: 11" => {
            let limit = carried.request.callback_gas.unwrap_or_default();
            format!("it ran out of its gas limit of {limit}")
        }
        reason => check::cut(reason),
    };
    let response = Response::new()
        .add_attribute("action", "undelivered")
        .add_attribute("id", carried.request.id.to_string())
        .add_attribute("requester", &carried.request.requester)
        .add_attribute("reason", &reason);
    keep(deps.storage, carried, Status::Undelivered { reason })?;
    Ok(response)
}

/// Tries a callback again, or a deferred one for the first time. Who ended the request chose the messages around its callback, and so
/// may have made it fail: anybody may mend that, with no less gas than the requester asked for. Where the callback fails, all is as
/// before.
pub fn deliver(deps: DepsMut, info: MessageInfo, id: u64, gas_limit: u64) -> Result<Response, ContractError> {
    let doing = "delivering a result";
    let request = load(deps.storage, doing, id)?;
    if gas_limit < request.callback_gas.unwrap_or_default() {
        assert_requester(
            &request,
            &info.sender,
            "delivering a result with less gas than its callback is to have",
        )?;
    }
    match &request.status {
        Status::Undelivered { .. } => {}
        Status::Kept {} => {
            let problem = "was made without a callback; fetch its result by the query request";
            return Err(ContractError::WrongState { doing, problem });
        }
        Status::Open {} | Status::Taken { .. } => return Err(running(doing)),
    }
    let outcome = RESULTS.load(deps.storage, id)?;
    let given = state::remove(deps.storage, &request)?;
    let response = told("deliver", &request);
    let carried = Carried {
        callback_msg: given.callback_msg.map(Binary::from),
        request,
        outcome,
    };
    let message = callback(&carried)?.map(|(_, message)| SubMsg::new(message).with_gas_limit(gas_limit));
    Ok(response.add_submessages(message))
}

/// Forgets a result.
pub fn discard(deps: DepsMut, info: MessageInfo, id: u64) -> Result<Response, ContractError> {
    let doing = "discarding a result";
    let request = load(deps.storage, doing, id)?;
    assert_requester(&request, &info.sender, doing)?;
    if let Status::Open {} | Status::Taken { .. } = &request.status {
        return Err(running(doing));
    }
    state::remove(deps.storage, &request)?;
    Ok(told("discard", &request))
}

fn running(doing: &'static str) -> ContractError {
    let problem = "has not ended";
    ContractError::WrongState { doing, problem }
}

fn told(action: &str, request: &Request) -> Response {
    Response::new()
        .add_attribute("action", action)
        .add_attribute("id", request.id.to_string())
        .add_attribute("requester", &request.requester)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiinference_types::limits;
    use cosmwasm_std::{
        testing::{mock_dependencies, MockApi},
        Coin, SubMsgResponse, Timestamp,
    };

    use crate::{
        msg::{Code, Version},
        state::COUNTS,
    };

    /// As much as chains let a reply carry, wasmd 128 KiB.
    const MAX_PAYLOAD: usize = 128 << 10;

    fn request(requester: &Addr, callback_gas: Option<u64>) -> Request {
        let code = Code {
            code_id: u64::MAX,
            checksum: [255; 32].into(),
        };
        Request {
            id: u64::MAX,
            requester: requester.clone(),
            name: "n".repeat(64),
            version: Version::new(1, 0, 0).unwrap(),
            model: Some(code.clone()),
            circuit: code,
            srs: [255; 32].into(),
            accept_unapproved: false,
            accept_unreproducible: false,
            prover: Some(requester.clone()),
            fee: Coin::new(u128::MAX, "d".repeat(limits::MAX_ADDRESS_BYTES)),
            bond: Coin::new(u128::MAX, "d".repeat(limits::MAX_ADDRESS_BYTES)),
            take_window: u64::MAX,
            deadline: Timestamp::from_nanos(u64::MAX),
            callback_gas,
            status: Status::Open {},
        }
    }

    /// No circuit of the fixtures has outputs of this size, so the host is left out here: what it would answer is made up.
    #[test]
    fn the_largest_result_travels_with_its_callback_and_comes_back_whole() {
        let mut deps = mock_dependencies();
        let requester = MockApi::default().addr_make("requester");
        let request = request(&requester, Some(5));
        let message = vec![7; check::MAX_CALLBACK_MSG_BYTES];
        let given = Given {
            callback_msg: Some(message.clone()),
            tensors: vec![vec![1; check::MAX_INPUT_BYTES]],
            ..Given::default()
        };
        state::insert(&mut deps.storage, &request, &given).unwrap();
        let outcome = Outcome::Proven(Proof {
            outputs: vec![vec![9; check::MAX_OUTPUT_BYTES].into()],
            prover: requester.clone(),
            approved: true,
        });
        let response = end(
            &mut deps.storage,
            request.clone(),
            outcome.clone(),
            Response::new(),
            false,
        )
        .unwrap();
        assert!(state::load_given(&deps.storage, request.id).unwrap() == Given::default());
        let [callback] = &response.messages[..] else { panic!() };
        assert!(callback.payload.len() <= MAX_PAYLOAD, "{}", callback.payload.len());

        let reply = |result| Reply {
            id: CALLED_BACK,
            payload: callback.payload.clone(),
            gas_used: 0,
            result,
        };
        let failed = SubMsgResult::Err("no".repeat(1_000_000));
        undelivered(deps.as_mut(), reply(failed)).unwrap();
        let kept = load(&deps.storage, "testing", request.id).unwrap();
        let reason = "no".repeat(100);
        assert_eq!(kept.status, Status::Undelivered { reason });
        assert_eq!(RESULTS.load(&deps.storage, request.id).unwrap(), outcome);
        let given = state::load_given(&deps.storage, request.id).unwrap();
        assert!(given.callback_msg == Some(message) && given.tensors.is_empty());
        assert!(!COUNTS.has(&deps.storage, &requester));
        // It is told in the same words later.
        let info = cosmwasm_std::testing::message_info(&requester, &[]);
        let again = deliver(deps.as_mut(), info, request.id, 9).unwrap();
        assert_eq!(again.messages[0].msg, callback.msg);
        // And a reply that is none of a failure stores nothing.
        #[allow(deprecated)]
        let done = SubMsgResult::Ok(SubMsgResponse {
            events: vec![],
            data: None,
            msg_responses: vec![],
        });
        undelivered(deps.as_mut(), reply(done)).unwrap();
        assert!(load(&deps.storage, "testing", request.id).is_err());
    }
}
