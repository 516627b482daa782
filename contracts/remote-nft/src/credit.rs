//! What the collection pays with on the answering chain.

use aiinference_std::remote::{deposit_memo, Callback, ClientMsg, Outcome, Timeout, Withdraw};
use cosmwasm_std::{
    to_json_binary, to_json_string, to_json_vec, Coin, DepsMut, Env, IbcMsg, MessageInfo, Response, Uint128, WasmMsg,
};

use crate::{
    contract::assert_creator,
    msg::Config,
    refresh::{failure, Purpose},
    state::CONFIG,
    ContractError,
};

/// Where a deposit goes.
pub struct Deposit {
    pub host: String,
    pub transfer_channel: String,
    pub connection: String,
    pub recovery: String,
    pub amount: Coin,
}

/// Sends coins of this contract as its credit: as the transfer's sender it is the asker that the answering contract
/// believes. What cannot be deposited comes back.
pub fn fund(deps: DepsMut, env: Env, info: MessageInfo, deposit: Deposit) -> Result<Response, ContractError> {
    assert_creator(deps.storage, &info.sender, "funding")?;
    let Config { client, asking } = CONFIG.load(deps.storage)?;
    let port = format!("wasm.{client}");
    let memo = deposit_memo(
        &deposit.host,
        deposit.connection,
        port,
        env.contract.address,
        deposit.recovery,
    );
    Ok(Response::new()
        .add_attribute("action", "fund")
        .add_attribute("host", &deposit.host)
        .add_attribute("amount", deposit.amount.to_string())
        .add_message(IbcMsg::Transfer {
            channel_id: deposit.transfer_channel,
            to_address: deposit.host,
            amount: deposit.amount,
            timeout: env.block.time.plus_seconds(asking.timeout).into(),
            memo: Some(to_json_string(&memo)?),
        }))
}

/// Has credit paid out on the answering chain.
pub fn withdraw(
    deps: DepsMut,
    info: MessageInfo,
    receiver: String,
    amount: Option<Uint128>,
    max_price: Option<Uint128>,
) -> Result<Response, ContractError> {
    assert_creator(deps.storage, &info.sender, "withdrawing")?;
    let Config { client, asking } = CONFIG.load(deps.storage)?;
    let purpose = Purpose::Withdrawal {
        receiver: receiver.clone(),
    };
    let withdraw = Withdraw {
        channel: asking.channel,
        denom: asking.denom,
        amount: amount.map(|amount| amount.to_string()),
        receiver: receiver.clone(),
        max_price: max_price.map(|price| price.to_string()),
        timeout: Timeout {
            seconds: Some(asking.timeout),
            height: None,
        },
        callback: Some(Callback {
            msg: to_json_vec(&purpose)?.into(),
            gas_limit: asking.callback_gas,
        }),
    };
    Ok(Response::new()
        .add_attribute("action", "withdraw")
        .add_attribute("receiver", receiver)
        .add_message(WasmMsg::Execute {
            contract_addr: client.into_string(),
            msg: to_json_binary(&ClientMsg::Withdraw(withdraw))?,
            funds: vec![],
        }))
}

/// Takes the answer to a withdrawal.
pub fn withdrawn(receiver: String, result: Outcome) -> Response {
    let response = Response::new()
        .add_attribute("action", "withdraw")
        .add_attribute("receiver", receiver);
    match result {
        Outcome::Withdrawn { amount } => response.add_attribute("amount", amount),
        Outcome::Error(error) => {
            let error = failure(error.into());
            response
                .add_attribute("code", error.code.to_string())
                .add_attribute("message", error.message)
        }
        Outcome::Answered { .. } | Outcome::RecoverySet {} => response,
    }
}
