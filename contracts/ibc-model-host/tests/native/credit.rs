//! How credit comes, whose it is, and how it is got back.

use aiinference_types::{
    v1::{self, acknowledgement, packet_data::Operation},
    ErrorCode,
};
use cosmwasm_std::{
    testing::MockQuerier, to_json_binary, Coin, IbcAcknowledgement, IbcBasicResponse, IbcDestinationCallbackMsg,
    IbcEndpoint, IbcPacket, StdAck, Timestamp,
};
use ibc_model_host::{
    ibc as entry,
    msg::{AccountEntry, AccountKey, ExecuteMsg, QueryMsg},
    ContractError,
};

use crate::host::*;

fn paid() -> Host {
    Host::new(vec![price(10, 0)])
}

fn withdraw(amount: &str) -> Operation {
    Operation::Withdraw(v1::Withdraw {
        asker: "asker".to_string(),
        denom: DENOM.to_string(),
        amount: amount.to_string(),
        receiver: address("receiver").into(),
        max_price: "1000".to_string(),
    })
}

fn set_recovery(recovery: &str) -> Operation {
    Operation::SetRecovery(v1::SetRecovery {
        asker: "asker".to_string(),
        recovery: address(recovery).into(),
        denom: DENOM.to_string(),
        max_price: "1000".to_string(),
    })
}

fn recover(asker: &str) -> ExecuteMsg {
    ExecuteMsg::Recover {
        account: key(asker),
        denom: DENOM.to_string(),
    }
}

#[test]
fn a_foreign_channel_spends_nobodys_credit() {
    let mut host = paid();
    host.deposit("asker", 1_000);
    host.connect(channel("channel-1", "connection-3", PORT)).unwrap();
    host.connect(channel("channel-2", CONNECTION, "wasm.other")).unwrap();
    host.connect(channel("channel-3", CONNECTION, PORT)).unwrap();
    for (over, served) in [("channel-1", false), ("channel-2", false), ("channel-3", true)] {
        let packet = aiinference_types::ibc::encode_packet(ask(vec![score(&APPLICANT)]));
        let read = aiinference_types::ibc::decode_acknowledgement(&host.deliver(over, packet)).unwrap();
        let Some(acknowledgement::Result::Answers(answers)) = read.result else {
            panic!()
        };
        if served {
            infer(&answers.answers[0]);
        } else {
            assert_eq!(code(&answers.answers[0]), ErrorCode::InsufficientCredit);
        }
        let packet = aiinference_types::ibc::encode_packet(withdraw("1"));
        let read = aiinference_types::ibc::decode_acknowledgement(&host.deliver(over, packet)).unwrap();
        assert_eq!(
            matches!(read.result, Some(acknowledgement::Result::Withdrawn(_))),
            served
        );
    }
    assert_eq!(host.credit("asker"), 1_000 - 10 - 11);
}

#[test]
fn the_asker_withdraws_what_is_left() {
    let mut host = paid();
    host.deposit("asker", 100);
    let withdrawn = |result| match result {
        acknowledgement::Result::Withdrawn(v1::Withdrawn { amount }) => amount,
        other => panic!("{other:?}"),
    };
    assert_eq!(withdrawn(host.send(withdraw("30"))), "30");
    assert_eq!(host.refused(withdraw("51")), ErrorCode::InsufficientCredit);
    assert_eq!(withdrawn(host.send(withdraw(""))), "50");
    assert_eq!((host.credit("asker"), host.held[DENOM]), (0, 20));
    assert_eq!(host.refused(withdraw("")), ErrorCode::InsufficientCredit);
    assert_eq!(host.refused(withdraw("x")), ErrorCode::MalformedRequest);
    let Operation::Withdraw(nowhere) = withdraw("1") else {
        panic!()
    };
    for receiver in ["nobody".to_string(), host.env.contract.address.to_string()] {
        let nowhere = v1::Withdraw {
            receiver,
            ..nowhere.clone()
        };
        assert_eq!(host.refused(Operation::Withdraw(nowhere)), ErrorCode::MalformedRequest);
    }
}

#[test]
fn no_price_of_the_owners_takes_or_holds_credit() {
    let mut host = paid();
    host.deposit("asker", 1_000);
    let update = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: Some(vec![price(1 << 90, 0)]),
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    host.execute(&address("owner"), update, &[]).unwrap();
    let pays = |max_price: &str, amount: &str| {
        let Operation::Withdraw(packet) = withdraw(amount) else {
            panic!()
        };
        Operation::Withdraw(v1::Withdraw {
            max_price: max_price.to_string(),
            ..packet
        })
    };
    // At most what is accepted, which the relayer knows.
    assert_eq!(host.reward(pays("50", "100")), vec![Coin::new(5u128, DENOM)]);
    let acknowledgement::Result::Withdrawn(_) = host.send(pays("50", "100")) else {
        panic!()
    };
    assert_eq!(host.credit("asker"), 850);
    // Nothing, where nothing is accepted.
    assert_eq!(host.reward(pays("", "100")), vec![]);
    let acknowledgement::Result::Withdrawn(_) = host.send(pays("", "100")) else {
        panic!()
    };
    assert_eq!(host.credit("asker"), 750);
    // More than there is cannot be paid, and less can.
    assert_eq!(host.refused(pays("751", "")), ErrorCode::InsufficientCredit);
    assert_eq!(host.refused(pays("-1", "")), ErrorCode::MalformedRequest);
    let Operation::SetRecovery(set) = set_recovery("another") else {
        panic!()
    };
    for (max_price, left) in [("20", 730), ("", 730)] {
        let set = Operation::SetRecovery(v1::SetRecovery {
            max_price: max_price.to_string(),
            ..set.clone()
        });
        assert_eq!(host.send(set), acknowledgement::Result::RecoverySet(v1::RecoverySet {}));
        assert_eq!(host.credit("asker"), left);
    }
    assert_eq!(host.refused(Operation::SetRecovery(set)), ErrorCode::InsufficientCredit);
    let acknowledgement::Result::Withdrawn(v1::Withdrawn { amount }) = host.send(pays("", "")) else {
        panic!()
    };
    assert_eq!(amount, "730");
}

#[test]
fn a_payment_that_the_chain_refuses_leaves_the_credit_as_it_was() {
    let mut host = paid();
    host.deposit("asker", 100);
    host.bank_refuses = true;
    assert_eq!(host.refused(withdraw("30")), ErrorCode::PaymentFailed);
    assert_eq!((host.credit("asker"), host.held[DENOM]), (100, 100));
}

#[test]
fn coins_that_are_taken_no_longer_are_paid_back_all_the_same() {
    let mut host = paid();
    host.deposit("asker", 100);
    let none = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: Some(vec![]),
        allowed: Some(ibc_model_host::msg::Only::These(vec![])),
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: None,
    };
    host.execute(&address("owner"), none, &[]).unwrap();
    assert_eq!(
        host.refused(ask(vec![score(&APPLICANT)])),
        ErrorCode::UnsupportedOperation
    );
    host.send(withdraw(""));
    assert_eq!(host.credit("asker"), 0);
    assert_eq!(host.held[DENOM], 0);
}

#[test]
fn later_deposits_name_the_same_recovery_address() {
    let mut host = paid();
    host.deposit("asker", 100);
    let other = ExecuteMsg::Deposit {
        account: key("asker"),
        recovery: address("thief").into(),
    };
    let coins = [Coin::new(1u128, DENOM)];
    let refused = host.execute(&address("thief"), other.clone(), &coins).unwrap_err();
    assert!(matches!(refused, ContractError::OtherRecovery(_)));
    host.deposit("asker", 100);
    // The asker's own word beats others'.
    host.send(set_recovery("thief"));
    host.execute(&address("anyone"), other, &coins).unwrap();
    assert_eq!(host.credit("asker"), 191);
}

#[test]
fn deposits_of_other_coins_or_too_few_are_refused() {
    let mut few = price(10, 0);
    few.min_deposit = Some(5u128.into());
    let mut host = Host::new(vec![few]);
    let msg = ExecuteMsg::Deposit {
        account: key("asker"),
        recovery: address("recovery").into(),
    };
    let coin = |amount: u128, denom: &str| Coin::new(amount, denom);
    for funds in [
        vec![],
        vec![coin(4, DENOM)],
        vec![coin(5, "other")],
        vec![coin(5, DENOM), coin(5, "other")],
    ] {
        let refused = host.execute(&address("anyone"), msg.clone(), &funds).unwrap_err();
        assert!(matches!(refused, ContractError::BadDeposit(_)), "{refused}");
    }
    host.execute(&address("anyone"), msg.clone(), &[coin(5, DENOM)])
        .unwrap();
    let mut free = Host::new(vec![]);
    free.execute(&address("anyone"), msg, &[coin(5, DENOM)]).unwrap_err();
}

#[test]
fn the_recovery_address_takes_the_credit_of_a_dead_channel() {
    let mut host = paid();
    host.deposit("asker", 100);
    let recovery = address("recovery");
    let alive = host.execute(&recovery, recover("asker"), &[]).unwrap_err();
    assert!(matches!(alive, ContractError::StillAlive(_)), "{alive}");
    let stranger = host.execute(&address("stranger"), recover("asker"), &[]).unwrap_err();
    assert!(matches!(stranger, ContractError::Unauthorized { .. }));

    // Idle for long.
    let idle = 7 * 24 * 60 * 60;
    host.env.block.time = host.env.block.time.plus_seconds(idle - 1);
    host.execute(&recovery, recover("asker"), &[]).unwrap_err();
    host.env.block.time = host.env.block.time.plus_seconds(1);
    host.execute(&recovery, recover("asker"), &[]).unwrap();
    assert_eq!((host.credit("asker"), host.held[DENOM]), (0, 0));
    host.execute(&recovery, recover("asker"), &[]).unwrap_err();

    // No channel is left to one who asked just now.
    host.deposit("asker", 100_000);
    host.ask(vec![score(&APPLICANT)]);
    host.connect(channel("channel-1", CONNECTION, PORT)).unwrap();
    host.close(channel(CHANNEL, CONNECTION, PORT)).unwrap();
    host.execute(&recovery, recover("asker"), &[]).unwrap_err();
    host.close(channel("channel-1", CONNECTION, PORT)).unwrap();
    host.execute(&recovery, recover("asker"), &[]).unwrap();
    assert_eq!(host.credit("asker"), 0);
}

#[test]
fn a_packet_puts_recovery_off() {
    let mut host = paid();
    host.deposit("asker", 100);
    host.env.block.time = host.env.block.time.plus_seconds(7 * 24 * 60 * 60);
    host.ask(vec![score(&APPLICANT)]);
    host.execute(&address("recovery"), recover("asker"), &[]).unwrap_err();
}

#[test]
fn deposits_of_others_do_not_put_recovery_off() {
    let mut host = paid();
    host.deposit("asker", 100);
    host.env.block.time = host.env.block.time.plus_seconds(7 * 24 * 60 * 60);
    host.deposit("asker", 1);
    host.execute(&address("recovery"), recover("asker"), &[]).unwrap();
    assert_eq!(host.credit("asker"), 0);
}

/// A transfer over channel-7, which is on `connection`, with a memo.
fn transfer(
    host: &mut Host,
    sender: &str,
    memo: String,
    change: impl Fn(&mut IbcDestinationCallbackMsg),
) -> Result<IbcBasicResponse, ContractError> {
    arriving(host, 40, sender, memo, change)
}

/// The same, where so many of the 40 coins arrive.
fn arriving(
    host: &mut Host,
    arrive: u128,
    sender: &str,
    memo: String,
    change: impl Fn(&mut IbcDestinationCallbackMsg),
) -> Result<IbcBasicResponse, ContractError> {
    let held = host.held.get(DENOM).copied().unwrap_or_default() + arrive;
    let contract = host.env.contract.address.to_string();
    let querier: &mut MockQuerier = host.deps.querier.inner_mut();
    querier.bank.update_balance(contract, vec![Coin::new(held, DENOM)]);
    let end = |port: &str, channel: &str| IbcEndpoint {
        port_id: port.to_string(),
        channel_id: channel.to_string(),
    };
    let data = serde_json::json!({ "denom": "transfer/channel-1/ucoin", "amount": "40", "sender": sender, "receiver": "?", "memo": memo });
    let timeout = Timestamp::from_seconds(2_000_000_000).into();
    let packet = IbcPacket::new(
        serde_json::to_vec(&data).unwrap(),
        end("transfer", "channel-1"),
        end("transfer", "channel-7"),
        1,
        timeout,
    );
    let mut msg = IbcDestinationCallbackMsg {
        packet,
        ack: IbcAcknowledgement::new(to_json_binary(&StdAck::success(b"\x01")).unwrap()),
        transfer: Some(cosmwasm_std::IbcTransferCallback {
            sender: sender.to_string(),
            receiver: host.env.contract.address.clone(),
            funds: vec![Coin::new(40u128, DENOM)],
        }),
    };
    change(&mut msg);
    let response = entry::ibc_destination_callback(host.deps.as_mut(), host.env.clone(), msg)?;
    *host.held.entry(DENOM.to_string()).or_default() += 40;
    host.check_owed();
    Ok(response)
}

fn memo(host: &Host, recovery: &str) -> String {
    let key = key("asker");
    let deposit = serde_json::json!({
        "connection": key.connection, "port": key.port, "asker": key.asker, "recovery": address(recovery),
    });
    let memo = serde_json::json!({
        "dest_callback": { "address": host.env.contract.address }, "aiinference_deposit": deposit,
    });
    memo.to_string()
}

/// The chain's transfer channels are on this connection.
fn transfers_over(host: &mut Host, connection: &str) {
    let mut over = channel("channel-7", connection, "transfer");
    over.endpoint.port_id = "transfer".to_string();
    let querier: &mut MockQuerier = host.deps.querier.inner_mut();
    querier.ibc.update("wasm.host", &[over]);
}

#[test]
fn a_transfer_with_a_memo_deposits() {
    let mut host = paid();
    let deposit = memo(&host, "recovery");
    transfer(&mut host, "somebody", deposit.clone(), |_| ()).unwrap();
    transfer(&mut host, "somebody", deposit, |_| ()).unwrap();
    assert_eq!(host.credit("asker"), 80);
    let other = memo(&host, "thief");
    let refused = transfer(&mut host, "somebody", other, |_| ()).unwrap_err();
    assert!(matches!(refused, ContractError::OtherRecovery(_)));
}

#[test]
fn coins_that_a_transfer_announces_and_that_do_not_arrive_are_no_credit() {
    let mut host = paid();
    // Others' coins do not count for it.
    host.deposit("else", 1_000);
    let deposit = memo(&host, "recovery");
    for arrive in [0, 39] {
        let refused = arriving(&mut host, arrive, "somebody", deposit.clone(), |_| ()).unwrap_err();
        assert!(matches!(refused, ContractError::BadDeposit(_)), "{refused}");
    }
    assert_eq!(host.credit("asker"), 0);
}

#[test]
fn a_transfer_by_the_asker_itself_names_another_recovery_address() {
    let mut host = paid();
    host.deposit("asker", 1);
    let other = memo(&host, "other");
    // The transfer of a namesake over another connection says nothing.
    transfers_over(&mut host, "connection-0");
    transfer(&mut host, "asker", other.clone(), |_| ()).unwrap_err();
    transfers_over(&mut host, CONNECTION);
    // Nor does one of a port that is not the chain's own.
    transfer(&mut host, "asker", other.clone(), |msg| {
        msg.packet.src.port_id = "wasm.cw20".to_string();
    })
    .unwrap_err();
    transfer(&mut host, "asker", other, |_| ()).unwrap();
    let account: Option<ibc_model_host::msg::Account> = host.query(QueryMsg::Account { account: key("asker") });
    assert_eq!(account.unwrap().recovery, address("other"));
}

#[test]
fn transfers_that_are_no_deposits_are_refused() {
    let mut host = paid();
    let deposit = memo(&host, "recovery");
    let refused = |host: &mut Host, memo: &str, change: &dyn Fn(&mut IbcDestinationCallbackMsg)| {
        transfer(host, "somebody", memo.to_string(), change).unwrap_err();
    };
    refused(&mut host, &deposit, &|msg| {
        msg.packet.dest.port_id = "wasm.x".to_string()
    });
    refused(&mut host, &deposit, &|msg| msg.transfer = None);
    refused(&mut host, &deposit, &|msg| {
        msg.transfer.as_mut().unwrap().receiver = address("else");
    });
    refused(&mut host, &deposit, &|msg| {
        msg.ack = IbcAcknowledgement::new(to_json_binary(&StdAck::error("no")).unwrap());
    });
    refused(&mut host, &deposit, &|msg| {
        msg.transfer.as_mut().unwrap().funds = vec![Coin::new(40u128, "other")];
    });
    refused(&mut host, "{}", &|_| ());
    refused(&mut host, "", &|_| ());
    refused(&mut host, &deposit.replace("wasm.client", &"x".repeat(200)), &|_| ());
    refused(&mut host, &format!("{deposit}{}", " ".repeat(70_000)), &|_| ());
    let only = ExecuteMsg::UpdateConfig {
        owner: None,
        prices: None,
        allowed: None,
        max_packet_gas: None,
        gas_multiplier: None,
        recovery_delay: None,
        transfers: Some(ibc_model_host::msg::Only::These(vec!["channel-8".to_string()])),
    };
    host.execute(&address("owner"), only, &[]).unwrap();
    refused(&mut host, &deposit, &|_| ());
    assert_eq!(host.credit("asker"), 0);
}

#[test]
fn accounts_are_listed_in_pages() {
    let mut host = paid();
    for asker in ["a", "b", "c"] {
        host.deposit(asker, 5);
    }
    let page = |start_after: Option<AccountKey>| -> Vec<String> {
        let limit = Some(2);
        let entries: Vec<AccountEntry> = host.query(QueryMsg::Accounts { start_after, limit });
        assert!(entries
            .iter()
            .all(|entry| entry.account.credit == vec![Coin::new(5u128, DENOM)]));
        entries.into_iter().map(|entry| entry.key.asker).collect()
    };
    assert_eq!(page(None), ["a", "b"]);
    assert_eq!(page(Some(key("b"))), ["c"]);
}
