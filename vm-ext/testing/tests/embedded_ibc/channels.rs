//! The rules of channels.

use aiinference_multi_test::{
    contract_port,
    cw_multi_test::{ContractWrapper, Executor},
    ChannelState, IbcError, LinkOptions, Task,
};
use cosmwasm_std::{
    from_json, to_json_string, Binary, Deps, DepsMut, Empty, Env, HexBinary, IbcChannel, IbcChannelCloseMsg,
    IbcChannelConnectMsg, IbcChannelOpenMsg, IbcMsg, IbcOrder, MessageInfo, Response, StdResult, SubMsg,
};
use test_probe::{QueryMsg, Step};

use super::*;

#[test]
fn both_contracts_take_part_in_the_handshake() {
    let mut world = world();
    let link = world.link();
    let told: IbcChannelOpenMsg = world.told(world.a, "ibc_channel_open");
    let IbcChannelOpenMsg::OpenInit { channel } = told else {
        panic!("{told:?}")
    };
    assert_eq!(channel.endpoint, link.a_end);
    // The other end has no name yet.
    assert_eq!(channel.counterparty_endpoint.port_id, link.b_end.port_id);
    assert_eq!(channel.counterparty_endpoint.channel_id, "");
    let told: IbcChannelOpenMsg = world.told(world.b, "ibc_channel_open");
    let IbcChannelOpenMsg::OpenTry {
        channel,
        counterparty_version,
    } = told
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (&channel.endpoint, &channel.counterparty_endpoint),
        (&link.b_end, &link.a_end)
    );
    assert_eq!(counterparty_version, "probe-1");
    let told: IbcChannelConnectMsg = world.told(world.a, "ibc_channel_connect");
    assert!(
        matches!(&told, IbcChannelConnectMsg::OpenAck { channel, .. } if channel.counterparty_endpoint == link.b_end)
    );
    let told: IbcChannelConnectMsg = world.told(world.b, "ibc_channel_connect");
    assert!(matches!(&told, IbcChannelConnectMsg::OpenConfirm { channel } if channel.endpoint == link.b_end));
    for (id, end) in [(world.a, &link.a_end), (world.b, &link.b_end)] {
        let channel = world.net.chain(id).ibc().channel(end).unwrap();
        assert_eq!(channel.state, ChannelState::Open);
        assert_eq!(channel.version, "probe-1");
        assert_eq!(channel.connection, "connection-0");
    }
}

#[test]
fn a_contract_that_refuses_a_channel_opens_none() {
    let mut world = world();
    let refuse = to_json_string(&fail("not this version")).unwrap();
    let error = world.try_link(&refuse).unwrap_err();
    assert!(
        matches!(&error, IbcError::Contract(text) if text.contains("not this version")),
        "{error}"
    );
    assert_eq!(world.net.chain(world.a).ibc().channels().unwrap(), []);
}

#[test]
fn a_contract_may_choose_another_version_and_the_other_end_has_its_say() {
    let mut world = world();
    let version = to_json_string(&answer("chosen by the first")).unwrap();
    let link = world.try_link(&version).unwrap();
    assert_eq!(link.version, "chosen by the first");
    // What the first chooses is what the second is asked, here a script that refuses.
    let refuse = to_json_string(&fail("no")).unwrap();
    let version = to_json_string(&answer(&refuse)).unwrap();
    world.try_link(&version).unwrap_err();
    let channels = world.net.chain(world.a).ibc().channels().unwrap();
    assert_eq!(channels.len(), 2);
    assert!(channels.iter().any(|(_, channel)| channel.state == ChannelState::Init));
    assert_eq!(world.net.chain(world.b).ibc().channels().unwrap().len(), 1);
    // And what the second chooses, both have.
    let second = to_json_string(&answer("chosen by the second")).unwrap();
    let version = to_json_string(&answer(&second)).unwrap();
    let link = world.try_link(&version).unwrap();
    assert_eq!(link.version, "chosen by the second");
    let channel = world.net.chain(world.a).ibc().channel(&link.a_end).unwrap();
    assert_eq!(channel.version, "chosen by the second");
}

#[test]
fn contracts_ask_about_their_own_port_and_channels() {
    let mut world = world();
    let ask = |world: &World, request: &str| -> String {
        let query = QueryMsg::Raw {
            request: Binary::from(request.as_bytes()),
        };
        // In its debug form, in which bytes are hexadecimal.
        let said: String = world
            .net
            .chain(world.b)
            .wrap()
            .query_wasm_smart(&world.probe_b, &query)
            .unwrap();
        let hex = said
            .strip_prefix("Ok(Ok(Binary(")
            .and_then(|rest| rest.strip_suffix(")))"));
        let hex = hex.unwrap_or_else(|| panic!("{said}"));
        String::from_utf8(HexBinary::from_hex(hex).unwrap().to_vec()).unwrap()
    };
    let port = contract_port(&world.probe_b);
    assert_eq!(
        ask(&world, r#"{"ibc":{"port_id":{}}}"#),
        format!(r#"{{"port_id":"{port}"}}"#)
    );
    assert_eq!(ask(&world, r#"{"ibc":{"list_channels":{}}}"#), r#"{"channels":[]}"#);
    let own = r#"{"ibc":{"channel":{"channel_id":"channel-0"}}}"#;
    assert_eq!(ask(&world, own), r#"{"channel":null}"#);
    let link = world.link();
    #[derive(serde::Deserialize)]
    struct Channel {
        channel: Option<IbcChannel>,
    }
    #[derive(serde::Deserialize)]
    struct Channels {
        channels: Vec<IbcChannel>,
    }
    let channel = from_json::<Channel>(ask(&world, own)).unwrap().channel.unwrap();
    assert_eq!(
        (&channel.endpoint, &channel.counterparty_endpoint),
        (&link.b_end, &link.a_end)
    );
    assert_eq!(
        (channel.version.as_str(), channel.connection_id.as_str()),
        ("probe-1", "connection-0")
    );
    let named = format!(r#"{{"ibc":{{"channel":{{"channel_id":"channel-0","port_id":"{port}"}}}}}}"#);
    assert_eq!(
        from_json::<Channel>(ask(&world, &named)).unwrap().channel,
        Some(channel.clone())
    );
    let listed: Channels = from_json(ask(&world, r#"{"ibc":{"list_channels":{"port_id":null}}}"#)).unwrap();
    assert_eq!(listed.channels, [channel]);
    let listed: Channels = from_json(ask(&world, r#"{"ibc":{"list_channels":{"port_id":"wasm.other"}}}"#)).unwrap();
    assert_eq!(listed.channels, []);
}

#[test]
fn a_closed_channel_carries_nothing_and_what_was_under_way_times_out() {
    let mut world = world();
    let link = world.link();
    world.send(&link, &answer("under way"));
    let receive = world.only_pending();
    let close = messages([SubMsg::new(IbcMsg::CloseChannel {
        channel_id: link.b_end.channel_id.clone(),
    })]);
    // The contract is asked first.
    world.on(world.b, "ibc_channel_close", &fail("stay"));
    world.run(world.b, &close).unwrap_err();
    world.on(world.b, "ibc_channel_close", &Script::default());
    world.run(world.b, &close).unwrap();
    let told: IbcChannelCloseMsg = world.told(world.b, "ibc_channel_close");
    assert!(matches!(told, IbcChannelCloseMsg::CloseInit { .. }));
    world.run(world.b, &close).unwrap_err();

    let error = world.net.relay(&receive).unwrap_err();
    assert!(
        matches!(
            error,
            IbcError::ChannelState {
                state: ChannelState::Closed,
                ..
            }
        ),
        "{error}"
    );
    // Both ends: the packet ends before its time, and the other end is closed.
    let pending = world.pending();
    assert!(pending.iter().any(|task| matches!(task, Task::Timeout { .. })));
    assert!(pending.iter().any(|task| matches!(task, Task::Close { .. })));
    world.net.relay_all().unwrap();
    assert_eq!(world.ended(&link, 1), 1);
    let told: IbcChannelCloseMsg = world.told(world.a, "ibc_channel_close");
    assert!(matches!(told, IbcChannelCloseMsg::CloseConfirm { .. }));
    let channel = world.net.chain(world.a).ibc().channel(&link.a_end).unwrap();
    assert_eq!(channel.state, ChannelState::Closed);
    let msg = packet(&link, &answer("x"), world.within(60));
    let error = world.run(world.a, &messages([SubMsg::new(msg)])).unwrap_err();
    assert!(error.to_string().contains("Closed"), "{error}");
}

#[test]
fn an_open_end_is_not_closed_for_the_other() {
    let mut world = world();
    let link = world.link();
    let error = world
        .net
        .relay(&Task::Close {
            from: world.b,
            to: world.a,
            end: link.a_end.clone(),
        })
        .unwrap_err();
    assert!(matches!(error, IbcError::NotProven { .. }), "{error}");
}

#[test]
fn an_ordered_channel_keeps_the_order_and_closes_at_a_timeout() {
    let mut world = world();
    let options = LinkOptions {
        order: IbcOrder::Ordered,
        ..LinkOptions::new("probe-1")
    };
    let (a, b) = ((world.a, &world.probe_a), (world.b, &world.probe_b));
    let link = world.net.link_with(a, b, options).unwrap();
    let told: IbcChannelOpenMsg = world.told(world.b, "ibc_channel_open");
    assert_eq!(told.channel().order, IbcOrder::Ordered);
    world.send(&link, &answer("1"));
    world.send(&link, &answer("2"));
    let [first, second] = world.pending().try_into().unwrap();
    let error = world.net.relay(&second).unwrap_err();
    assert_eq!(error, IbcError::OutOfOrder { sequence: 2, next: 1 });
    world.net.relay(&first).unwrap();
    world.net.relay(&second).unwrap();
    assert!(world.net.relay(&first).unwrap().repeated);
    world.net.relay_all().unwrap();
    assert_eq!((world.ended(&link, 1), world.ended(&link, 2)), (1, 1));

    let timeout = world.within(10);
    world.send_until(&link, &answer("3"), timeout);
    world.net.advance(std::time::Duration::from_secs(60));
    let timeout = world.only_pending();
    world.net.relay(&timeout).unwrap();
    let channel = world.net.chain(world.a).ibc().channel(&link.a_end).unwrap();
    assert_eq!(channel.state, ChannelState::Closed);
}

#[test]
fn channels_and_connections_are_told_apart() {
    let mut world = world();
    let first = world.link();
    // Names differ between the chains.
    let third = world.net.add("third-3", Chain::with_store(STORE.clone()));
    world.net.connect(world.b, third).unwrap();
    world.net.connect(world.a, world.b).unwrap();
    let options = LinkOptions {
        connection: 1,
        ..LinkOptions::new("probe-1")
    };
    let (a, b) = ((world.a, &world.probe_a), (world.b, &world.probe_b));
    let second = world.net.link_with(a, b, options).unwrap();
    let connection = |id, end| world.net.chain(id).ibc().channel(end).unwrap().connection;
    assert_eq!(connection(world.a, &second.a_end), "connection-1");
    assert_eq!(connection(world.b, &second.b_end), "connection-2");

    // Sequences count by channel; a packet of one channel is none of the other.
    world.send(&first, &answer("first"));
    world.send(&second, &answer("second"));
    for mut task in world.pending() {
        assert_eq!(task.packet().unwrap().sequence, 1);
        if let Task::Receive { packet, .. } = &mut task {
            packet.dest = if packet.dest == first.b_end {
                second.b_end.clone()
            } else {
                first.b_end.clone()
            };
        }
        let error = world.net.relay(&task).unwrap_err();
        assert!(matches!(error, IbcError::NotProven { .. }), "{error}");
    }
    assert_eq!(world.net.relay_all().unwrap().len(), 4);
    assert_eq!((world.ended(&first, 1), world.ended(&second, 1)), (1, 1));
}

#[test]
fn a_port_without_a_wasm_contract_opens_no_channel() {
    fn nothing(_: DepsMut, _: Env, _: MessageInfo, _: Empty) -> StdResult<Response> {
        Ok(Response::new())
    }
    fn no_query(_: Deps, _: Env, _: Empty) -> StdResult<Binary> {
        Ok(Binary::default())
    }
    let mut world = world();
    let chain = world.net.chain_mut(world.b);
    let code_id = chain.store_code(Box::new(ContractWrapper::new(nothing, nothing, no_query)));
    let owner = chain.account("owner");
    let native = chain
        .instantiate_contract(code_id, owner.clone(), &Empty {}, &[], "native", None)
        .unwrap();
    for address in [native, owner] {
        let error = world
            .net
            .link((world.a, &world.probe_a), (world.b, &address), "probe-1")
            .unwrap_err();
        assert!(matches!(error, IbcError::Vm(_)), "{error}");
    }
}

#[test]
fn a_trap_in_a_handshake_leaves_no_channel() {
    let mut world = world();
    let trap = to_json_string(&steps([Step::Panic { text: "trap".into() }])).unwrap();
    let error = world.try_link(&trap).unwrap_err();
    assert!(matches!(error, IbcError::Vm(_)), "{error}");
    // At the last step: the contract refuses to be connected.
    world.on(world.b, "ibc_channel_connect", &fail("not you"));
    world.try_link("probe-1").unwrap_err();
    let channels = world.net.chain(world.b).ibc().channels().unwrap();
    assert_eq!(channels[0].1.state, ChannelState::TryOpen);
}
