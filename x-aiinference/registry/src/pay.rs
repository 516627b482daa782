//! Pays. A chain may refuse to send: to some accounts, or coins of some kinds. Then nothing else is held up; what was due may be
//! claimed.

use cosmwasm_std::{
    from_json, to_json_binary, Addr, BankMsg, Coin, DepsMut, Env, MessageInfo, Reply, Response, StdResult, SubMsg,
};

use crate::{
    check,
    contract::PAID,
    state::{self, CLAIMABLE},
    ContractError,
};

/// The message that pays.
pub fn pay(receiver: &Addr, coin: Coin) -> StdResult<SubMsg> {
    let payload = to_json_binary(&(receiver, &coin))?;
    let message = BankMsg::Send {
        to_address: receiver.to_string(),
        amount: vec![coin],
    };
    Ok(SubMsg::reply_on_error(message, PAID).with_payload(payload))
}

/// The chain refused to send.
pub fn unpaid(deps: DepsMut, reply: Reply) -> Result<Response, ContractError> {
    let (receiver, coin): (Addr, Coin) = from_json(&reply.payload)?;
    state::add_claimable(deps.storage, &receiver, &coin)?;
    Ok(Response::new()
        .add_attribute("action", "unpaid")
        .add_attribute("receiver", receiver)
        .add_attribute("amount", coin.to_string()))
}

/// Pays what could not be paid when it was due.
pub fn claim(
    deps: DepsMut,
    env: &Env,
    info: MessageInfo,
    denom: String,
    receiver: Option<String>,
) -> Result<Response, ContractError> {
    check::denom(&denom)?;
    let receiver = match receiver {
        Some(receiver) => deps.api.addr_validate(&receiver)?,
        None => info.sender.clone(),
    };
    // There they would be nobody's.
    if receiver == env.contract.address {
        return Err(ContractError::BadReceiver);
    }
    let key = (&info.sender, &denom[..]);
    let amount = CLAIMABLE.may_load(deps.storage, key)?.unwrap_or_default();
    if amount.is_zero() {
        return Err(ContractError::NothingToClaim);
    }
    CLAIMABLE.remove(deps.storage, key);
    let coin = Coin { denom, amount };
    let response = Response::new()
        .add_attribute("action", "claim")
        .add_attribute("account", &info.sender)
        .add_attribute("receiver", &receiver)
        .add_attribute("amount", coin.to_string());
    // Where this fails, all of the claim does, and all is as before.
    Ok(response.add_message(BankMsg::Send {
        to_address: receiver.into(),
        amount: vec![coin],
    }))
}
