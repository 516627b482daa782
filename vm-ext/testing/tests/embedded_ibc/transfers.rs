//! Coins between chains, and the callbacks that their memos ask for.

use std::time::Duration;

use aiinference_multi_test::{cw_multi_test::Executor, voucher_denom, IbcError, Task};
use cosmwasm_std::{
    coin, coins, to_json_string, Coin, IbcDestinationCallbackMsg, IbcMsg, IbcSourceCallbackMsg, StdResult, SubMsg,
};
use test_probe::Step;

use super::*;

/// A world in which the owner on the first chain has coins, with a channel for them.
fn rich_world() -> (World, Link) {
    let mut world = world();
    let chain = world.net.chain_mut(world.a);
    let owner = chain.account("owner");
    chain.fund(&owner, coins(1_000, "uatom")).unwrap();
    let link = world.net.link_transfer(world.a, world.b).unwrap();
    (world, link)
}

impl World {
    fn owner(&self, id: ChainId) -> Addr {
        self.net.chain(id).account("owner")
    }

    fn balance(&self, id: ChainId, account: &Addr, denom: &str) -> u128 {
        let held: Coin = self.net.chain(id).wrap().query_balance(account, denom).unwrap();
        held.amount.to_string().parse().unwrap()
    }

    /// The owner sends coins.
    fn transfer(&mut self, id: ChainId, channel: &str, to: &Addr, amount: Coin, memo: &str) -> StdResult<()> {
        let msg = IbcMsg::Transfer {
            channel_id: channel.into(),
            to_address: to.to_string(),
            amount,
            timeout: self.within(60),
            memo: (!memo.is_empty()).then(|| memo.to_string()),
        };
        let owner = self.owner(id);
        self.net.chain_mut(id).execute(owner, msg.into()).map(drop)
    }
}

fn dest_callback(contract: &Addr, rest: &str) -> String {
    format!(r#"{{"dest_callback":{{"address":"{contract}"{rest}}},"note":"<any & all>"}}"#)
}

#[test]
fn coins_become_vouchers_and_vouchers_coins() {
    let (mut world, link) = rich_world();
    let (owner_a, owner_b) = (world.owner(world.a), world.owner(world.b));
    let (a_channel, b_channel) = (link.a_end.channel_id.clone(), link.b_end.channel_id.clone());
    world
        .transfer(world.a, &a_channel, &owner_b, coin(300, "uatom"), "")
        .unwrap();
    assert_eq!(world.balance(world.a, &owner_a, "uatom"), 700);
    let relayed = world.net.relay_all().unwrap();
    assert_eq!(
        relayed[0].acknowledgement.as_deref(),
        Some(br#"{"result":"AQ=="}"#.as_slice())
    );
    let voucher = voucher_denom(&b_channel, "uatom");
    assert_eq!(world.balance(world.b, &owner_b, &voucher), 300);

    world
        .transfer(world.b, &b_channel, &owner_a, coin(100, &voucher), "")
        .unwrap();
    world.net.relay_all().unwrap();
    assert_eq!(world.balance(world.b, &owner_b, &voucher), 200);
    assert_eq!(world.balance(world.a, &owner_a, "uatom"), 800);

    // Over another channel the voucher is a new thing, and comes back as it was.
    let other = world.net.link_transfer(world.a, world.b).unwrap();
    world
        .transfer(world.b, &other.b_end.channel_id, &owner_a, coin(50, &voucher), "")
        .unwrap();
    world.net.relay_all().unwrap();
    let twice = voucher_denom(&other.a_end.channel_id, &format!("transfer/{b_channel}/uatom"));
    assert_eq!(world.balance(world.a, &owner_a, &twice), 50);
    world
        .transfer(world.a, &other.a_end.channel_id, &owner_b, coin(50, &twice), "")
        .unwrap();
    world.net.relay_all().unwrap();
    assert_eq!(world.balance(world.a, &owner_a, &twice), 0);
    assert_eq!(world.balance(world.b, &owner_b, &voucher), 200);
}

#[test]
fn coins_that_do_not_arrive_come_back() {
    let (mut world, link) = rich_world();
    let owner_a = world.owner(world.a);
    let channel = link.a_end.channel_id.clone();
    // Too late.
    world
        .transfer(world.a, &channel, &owner_a, coin(300, "uatom"), "")
        .unwrap();
    world.net.advance(Duration::from_secs(120));
    let timeout = world.only_pending();
    assert!(matches!(timeout, Task::Timeout { .. }));
    world.net.relay(&timeout).unwrap();
    assert!(world.net.relay(&timeout).unwrap().repeated);
    assert_eq!(world.balance(world.a, &owner_a, "uatom"), 1_000);
    // To nobody.
    let nobody = Addr::unchecked("nobody");
    world
        .transfer(world.a, &channel, &nobody, coin(300, "uatom"), "")
        .unwrap();
    let relayed = world.net.relay_all().unwrap();
    assert_eq!(
        relayed[0].acknowledgement.as_deref(),
        Some(br#"{"error":"ABCI code: 5: error handling packet: see events for details"}"#.as_slice())
    );
    assert_eq!(world.balance(world.a, &owner_a, "uatom"), 1_000);
}

#[test]
fn burnt_vouchers_come_back_too() {
    let (mut world, link) = rich_world();
    let owner_b = world.owner(world.b);
    world
        .transfer(world.a, &link.a_end.channel_id, &owner_b, coin(300, "uatom"), "")
        .unwrap();
    world.net.relay_all().unwrap();
    let voucher = voucher_denom(&link.b_end.channel_id, "uatom");
    let nobody = Addr::unchecked("nobody");
    world
        .transfer(world.b, &link.b_end.channel_id, &nobody, coin(300, &voucher), "")
        .unwrap();
    assert_eq!(world.balance(world.b, &owner_b, &voucher), 0);
    world.net.relay_all().unwrap();
    assert_eq!(world.balance(world.b, &owner_b, &voucher), 300);
}

#[test]
fn transfers_that_make_no_sense_are_not_sent() {
    let (mut world, link) = rich_world();
    let owner_b = world.owner(world.b);
    let channel = link.a_end.channel_id.clone();
    let source_callback = format!(r#"{{"src_callback":{{"address":"{}"}}}}"#, world.probe_a);
    for (channel, amount, memo) in [
        (channel.as_str(), coin(0, "uatom"), String::new()),
        (&channel, coin(1_001, "uatom"), String::new()),
        (&channel, coin(1, "ibc/AB"), String::new()),
        ("channel-9", coin(1, "uatom"), String::new()),
        (&channel, coin(1, "uatom"), "x".repeat(32_769)),
        // Callbacks to others than the sender, and without an address.
        (&channel, coin(1, "uatom"), source_callback),
        (&channel, coin(1, "uatom"), r#"{"src_callback":{"address":""}}"#.into()),
    ] {
        world
            .transfer(world.a, channel, &owner_b, amount.clone(), &memo)
            .expect_err(&format!("{channel} {amount} {memo:.40}"));
    }
    assert_eq!(world.pending(), []);
    assert_eq!(world.balance(world.a, &world.owner(world.a), "uatom"), 1_000);
}

#[test]
fn a_memo_calls_a_contract_on_the_receiving_chain() {
    let (mut world, link) = rich_world();
    let probe_b = world.probe_b.clone();
    let memo = dest_callback(&probe_b, "");
    world
        .transfer(world.a, &link.a_end.channel_id, &probe_b, coin(300, "uatom"), &memo)
        .unwrap();
    let receive = world.only_pending();
    world.net.relay_all().unwrap();
    let told: IbcDestinationCallbackMsg = world.told(world.b, "ibc_destination_callback");
    assert_eq!(&told.packet, receive.packet().unwrap());
    assert_eq!(told.ack.data.as_slice(), br#"{"result":"AQ=="}"#);
    let transfer = told.transfer.unwrap();
    assert_eq!(transfer.sender, world.owner(world.a).as_str());
    assert_eq!(transfer.receiver, probe_b);
    let voucher = voucher_denom(&link.b_end.channel_id, "uatom");
    assert_eq!(transfer.funds, [coin(300, &voucher)]);
    assert_eq!(world.balance(world.b, &probe_b, &voucher), 300);

    // Coming home, they are what they were. The call's denom is the one of the chain that receives.
    let probe_a = world.probe_a.clone();
    let home = IbcMsg::Transfer {
        channel_id: link.b_end.channel_id.clone(),
        to_address: probe_a.to_string(),
        amount: coin(100, &voucher),
        timeout: world.within(60),
        memo: Some(dest_callback(&probe_a, "")),
    };
    world.run(world.b, &messages([SubMsg::new(home)])).unwrap();
    world.net.relay_all().unwrap();
    let told: IbcDestinationCallbackMsg = world.told(world.a, "ibc_destination_callback");
    assert_eq!(told.transfer.unwrap().funds, [coin(100, "uatom")]);
}

#[test]
fn a_contract_that_refuses_a_transfer_sends_it_back() {
    let (mut world, link) = rich_world();
    let probe_b = world.probe_b.clone();
    let voucher = voucher_denom(&link.b_end.channel_id, "uatom");
    let trap = steps([set("k", "v"), Step::Panic { text: "trap".into() }]);
    let over = steps([set("k", "v"), Step::Work { rounds: 100_000_000 }]);
    let nowhere = world.owner(world.b);
    for (script, contract, code) in [
        (fail("not from you"), &probe_b, 5),
        (trap, &probe_b, 5),
        (over, &probe_b, 6),
        (Script::default(), &nowhere, 22),
        (Script::default(), &Addr::unchecked("no address"), 1),
    ] {
        world.on(world.b, "ibc_destination_callback", &script);
        let memo = dest_callback(contract, "");
        world
            .transfer(world.a, &link.a_end.channel_id, &probe_b, coin(300, "uatom"), &memo)
            .unwrap();
        let relayed = world.net.relay_all().unwrap();
        let expected = format!(r#"{{"error":"ABCI code: {code}: error handling packet: see events for details"}}"#);
        let acknowledgement = relayed[0].acknowledgement.clone().unwrap();
        assert_eq!(String::from_utf8_lossy(&acknowledgement), expected);
        assert_eq!(world.balance(world.b, &probe_b, &voucher), 0);
        assert_eq!(world.balance(world.a, &world.owner(world.a), "uatom"), 1_000);
        assert_eq!(world.get(world.b, "k"), None);
    }
    // A malformed request is refused likewise.
    let memo = r#"{"dest_callback":{"address":7}}"#;
    world
        .transfer(world.a, &link.a_end.channel_id, &probe_b, coin(300, "uatom"), memo)
        .unwrap();
    let relayed = world.net.relay_all().unwrap();
    assert!(relayed[0]
        .acknowledgement
        .as_deref()
        .unwrap()
        .starts_with(br#"{"error":"ABCI code: 8:"#));
    assert_eq!(world.balance(world.a, &world.owner(world.a), "uatom"), 1_000);
}

#[test]
fn too_little_gas_for_a_callback_ends_nothing() {
    let (mut world, link) = rich_world();
    let probe_b = world.probe_b.clone();
    let work = steps([Step::Work { rounds: 1_000_000 }]);
    world.on(world.b, "ibc_destination_callback", &work);
    let memo = dest_callback(&probe_b, "");
    let channel = link.a_end.channel_id.clone();
    world
        .transfer(world.a, &channel, &probe_b, coin(1, "uatom"), &memo)
        .unwrap();
    let receive = world.only_pending();
    let error = world.net.relay_with_gas(&receive, 50_000).unwrap_err();
    assert!(matches!(error, IbcError::OutOfGas(_)), "{error}");
    assert_eq!(world.only_pending(), receive);
    world.net.relay(&receive).unwrap();
    world.net.relay_all().unwrap();
    // A limit in the memo is the sender's own wish: not enough is an answer.
    let memo = dest_callback(&probe_b, r#","gas_limit":"50000""#);
    world
        .transfer(world.a, &channel, &probe_b, coin(1, "uatom"), &memo)
        .unwrap();
    let relayed = world.net.relay_all().unwrap();
    assert!(relayed[0]
        .acknowledgement
        .as_deref()
        .unwrap()
        .starts_with(br#"{"error":"ABCI code: 6:"#));
}

#[test]
fn a_contract_that_sends_coins_is_told_how_it_ended() {
    let (mut world, link) = rich_world();
    let (probe_a, owner_b) = (world.probe_a.clone(), world.owner(world.b));
    world
        .net
        .chain_mut(world.a)
        .fund(&probe_a, coins(1_000, "uatom"))
        .unwrap();
    let memo = format!(r#"{{"src_callback":{{"address":"{probe_a}"}}}}"#);
    let send = |world: &mut World, to: &str| {
        let msg = IbcMsg::Transfer {
            channel_id: link.a_end.channel_id.clone(),
            to_address: to.to_string(),
            amount: coin(10, "uatom"),
            timeout: world.within(60),
            memo: Some(memo.clone()),
        };
        world.run(world.a, &messages([SubMsg::new(msg)])).unwrap();
    };
    send(&mut world, owner_b.as_str());
    world.net.relay_all().unwrap();
    let told: IbcSourceCallbackMsg = world.told(world.a, "ibc_source_callback");
    let IbcSourceCallbackMsg::Acknowledgement(told) = told else {
        panic!("{told:?}")
    };
    assert_eq!(told.acknowledgement.data.as_slice(), br#"{"result":"AQ=="}"#);

    send(&mut world, owner_b.as_str());
    world.net.advance(Duration::from_secs(120));
    world.net.relay_all().unwrap();
    let told: IbcSourceCallbackMsg = world.told(world.a, "ibc_source_callback");
    assert!(matches!(told, IbcSourceCallbackMsg::Timeout(_)));
    assert_eq!(world.balance(world.a, &probe_a, "uatom"), 990);

    // A callback that fails holds nothing up: the coins are back all the same.
    world.on(world.a, "ibc_source_callback", &fail("do not tell me"));
    send(&mut world, "nobody");
    let relayed = world.net.relay_all().unwrap();
    let event = &relayed[1].events[0];
    assert_eq!(event.ty, "ibc_src_callback");
    assert!(to_json_string(event).unwrap().contains("do not tell me"));
    assert_eq!(world.balance(world.a, &probe_a, "uatom"), 990);
    assert_eq!(world.pending(), []);
}
