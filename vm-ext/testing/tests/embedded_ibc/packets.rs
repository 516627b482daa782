//! The rules of packets.

use std::time::Duration;

use aiinference_multi_test::{cw_multi_test::Executor, IbcError, Task, SDK_GAS};
use cosmwasm_std::{
    from_json, to_json_binary, AnyMsg, Binary, IbcAcknowledgement, IbcMsg, IbcPacketAckMsg, IbcPacketReceiveMsg,
    IbcPacketTimeoutMsg, IbcTimeout, IbcTimeoutBlock, SubMsg, Timestamp,
};
use test_probe::{Replied, Step};

use super::*;

#[test]
fn a_packet_goes_there_and_its_acknowledgement_comes_back() {
    let mut world = world();
    let link = world.link();
    let mut script = answer("well received");
    script.steps.push(set("k", "v"));
    world.send(&link, &script);

    let receive = world.only_pending();
    assert!(matches!(receive, Task::Receive { .. }));
    let relayed = world.net.relay(&receive).unwrap();
    assert_eq!(relayed.acknowledgement.as_deref(), Some(b"well received".as_slice()));
    assert!(!relayed.repeated);
    assert_eq!(relayed.gas.calls[0].entry_point, "ibc_packet_receive");
    assert_eq!(world.get(world.b, "k").as_deref(), Some("v"));
    let told: IbcPacketReceiveMsg = world.told(world.b, "ibc_packet_receive");
    assert_eq!(&told.packet, receive.packet().unwrap());
    assert_eq!(&told.relayer, world.net.relayer(world.b));
    assert_eq!((&told.packet.src, &told.packet.dest), (&link.a_end, &link.b_end));

    let acknowledge = world.only_pending();
    assert!(matches!(acknowledge, Task::Acknowledge { .. }));
    world.net.relay(&acknowledge).unwrap();
    let told: IbcPacketAckMsg = world.told(world.a, "ibc_packet_ack");
    assert_eq!(told.acknowledgement.data.as_slice(), b"well received");
    assert_eq!(&told.original_packet, receive.packet().unwrap());
    assert_eq!(&told.relayer, world.net.relayer(world.a));
    assert_eq!(world.pending(), []);
}

#[test]
fn what_was_relayed_is_relayed_again_without_effect() {
    let mut world = world();
    let link = world.link();
    world.send(&link, &answer("once"));
    let receive = world.only_pending();
    world.net.relay(&receive).unwrap();
    assert!(world.net.relay(&receive).unwrap().repeated);
    let acknowledge = world.only_pending();
    world.net.relay(&acknowledge).unwrap();
    assert!(world.net.relay(&acknowledge).unwrap().repeated);
    assert!(world.net.relay(&receive).unwrap().repeated);
    assert_eq!(world.ended(&link, 1), 1);
}

#[test]
fn packets_of_an_unordered_channel_arrive_in_any_order() {
    let mut world = world();
    let link = world.link();
    for number in 1..=5 {
        world.send(&link, &answer(&format!("answer {number}")));
    }
    let mut tasks = world.pending();
    tasks.reverse();
    for task in &tasks {
        world.net.relay(task).unwrap();
    }
    // The rest in the order of sequences.
    assert_eq!(world.net.relay_all().unwrap().len(), 5);
    for number in 1..=5 {
        assert_eq!(world.ended(&link, number), 1);
        let ibc = world.net.chain(world.b).ibc();
        let written = ibc.acknowledgement(&link.b_end, number).unwrap().unwrap();
        assert_eq!(written.as_slice(), format!("answer {number}").as_bytes());
    }
}

#[test]
fn a_packet_whose_time_is_over_is_not_received_and_times_out_once() {
    let mut world = world();
    let link = world.link();
    let timeout = world.within(20);
    world.send_until(&link, &answer("too late"), timeout);
    let receive = world.only_pending();
    world.net.advance(Duration::from_secs(30));
    let error = world.net.relay(&receive).unwrap_err();
    assert_eq!(error, IbcError::TimeoutElapsed { sequence: 1 });
    let timeout = world.only_pending();
    assert!(matches!(timeout, Task::Timeout { .. }));
    world.net.relay(&timeout).unwrap();
    assert!(world.net.relay(&timeout).unwrap().repeated);
    let told: IbcPacketTimeoutMsg = world.told(world.a, "ibc_packet_timeout");
    assert_eq!(&told.packet, receive.packet().unwrap());
    assert_eq!(&told.relayer, world.net.relayer(world.a));
    assert_eq!(world.ended(&link, 1), 1);
    assert_eq!(world.pending(), []);
}

#[test]
fn the_block_of_the_timeout_is_too_late_and_the_one_before_is_not() {
    for (blocks, in_time) in [(9, true), (10, false)] {
        let mut world = world();
        let link = world.link();
        let height = world.net.chain(world.b).block_info().height;
        let at = IbcTimeoutBlock {
            // The revision is in the chain's name.
            revision: 2,
            height: height + 10,
        };
        world.send_until(&link, &answer("x"), IbcTimeout::with_block(at));
        let receive = world.only_pending();
        world.net.next_block(world.a);
        while world.net.chain(world.b).block_info().height < height + blocks {
            world.net.next_block(world.b);
        }
        let (from, to) = (world.b, world.a);
        let packet = receive.packet().unwrap().clone();
        let timed_out = world.net.relay(&Task::Timeout { from, to, packet });
        let received = world.net.relay(&receive);
        if in_time {
            assert_eq!(timed_out.unwrap_err(), IbcError::TimeoutNotReached { sequence: 1 });
            received.unwrap();
        } else {
            timed_out.unwrap();
            assert_eq!(received.unwrap_err(), IbcError::TimeoutElapsed { sequence: 1 });
        }
    }
}

#[test]
fn a_packet_that_was_received_does_not_time_out() {
    let mut world = world();
    let link = world.link();
    let timeout = world.within(20);
    world.send_until(&link, &answer("x"), timeout);
    let receive = world.only_pending();
    world.net.relay(&receive).unwrap();
    world.net.advance(Duration::from_secs(60));
    let (from, to) = (world.b, world.a);
    let packet = receive.packet().unwrap().clone();
    let error = world.net.relay(&Task::Timeout { from, to, packet }).unwrap_err();
    assert!(matches!(error, IbcError::NotProven { .. }), "{error}");
    // It is acknowledged, however late.
    world.net.relay_all().unwrap();
    assert_eq!(world.ended(&link, 1), 1);
}

#[test]
fn what_the_other_chain_does_not_hold_is_not_relayed() {
    let mut world = world();
    let link = world.link();
    world.send(&link, &answer("x"));
    let receive = world.only_pending();
    let mut forged = receive.clone();
    if let Task::Receive { packet, .. } = &mut forged {
        packet.data = to_json_binary(&answer("y")).unwrap();
    }
    let error = world.net.relay(&forged).unwrap_err();
    assert!(matches!(error, IbcError::NotProven { .. }), "{error}");

    world.net.relay(&receive).unwrap();
    let mut forged = world.only_pending();
    if let Task::Acknowledge { acknowledgement, .. } = &mut forged {
        *acknowledgement = Binary::from(b"z");
    }
    let error = world.net.relay(&forged).unwrap_err();
    assert!(matches!(error, IbcError::NotProven { .. }), "{error}");
    assert_eq!(world.ended(&link, 1), 0);
}

#[test]
fn packets_that_cannot_be_received_are_not_sent() {
    let mut world = world();
    let link = world.link();
    let minute = world.within(60);
    let send = |channel: &str, data: Binary, timeout: IbcTimeout| IbcMsg::SendPacket {
        channel_id: channel.into(),
        data,
        timeout,
    };
    let channel = link.a_end.channel_id.as_str();
    let past = IbcTimeout::with_timestamp(world.net.chain(world.b).block_info().time.minus_seconds(3600));
    let none = IbcTimeout::with_timestamp(Timestamp::from_nanos(0));
    for (msg, word) in [
        (send("channel-9", Binary::from(b"x"), minute.clone()), "no such channel"),
        (send(channel, Binary::default(), minute.clone()), "no data"),
        (send(channel, vec![b'x'; 262_145].into(), minute), "262144"),
        (send(channel, Binary::from(b"x"), none), "no timeout"),
        (send(channel, Binary::from(b"x"), past), "has passed"),
    ] {
        let error = world.run(world.a, &messages([SubMsg::new(msg)])).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(world.pending(), []);
}

#[test]
fn an_account_sends_nothing_over_the_channel_of_a_contract() {
    let mut world = world();
    let link = world.link();
    let msg = packet(&link, &answer("x"), world.within(60));
    let chain = world.net.chain_mut(world.a);
    let mallory = chain.account("mallory");
    let error = chain.execute(mallory, msg.into()).unwrap_err();
    assert!(error.to_string().contains("no such channel"), "{error}");
}

#[test]
fn the_reply_to_a_sent_packet_tells_its_sequence() {
    let mut world = world();
    let link = world.link();
    for sequence in 1..=2 {
        let msg = packet(&link, &answer("x"), world.within(60));
        world.run(world.a, &messages([SubMsg::reply_always(msg, 7)])).unwrap();
        let replied: Replied = from_json(world.get(world.a, "reply/7").unwrap()).unwrap();
        assert_eq!(replied.responses, ["/cosmwasm.wasm.v1.MsgIBCSendResponse"]);
        // Field 1, a varint.
        assert_eq!(replied.values, [Binary::from([0x08, sequence])]);
    }
}

#[test]
fn a_packet_of_a_transaction_that_fails_was_never_sent() {
    let mut world = world();
    let link = world.link();
    let msg = packet(&link, &answer("x"), world.within(60));
    let then_fail = SubMsg::new(call(&world.probe_a, &fail("no")));
    world
        .run(world.a, &messages([SubMsg::new(msg), then_fail]))
        .unwrap_err();
    assert_eq!(world.pending(), []);
    world.send(&link, &answer("y"));
    assert_eq!(world.only_pending().packet().unwrap().sequence, 1);
}

#[test]
fn an_error_in_a_receive_is_the_acknowledgement_and_what_the_contract_did_is_undone() {
    let mut world = world();
    let link = world.link();
    let mut script = fail("I <refuse> \"this\"");
    script.steps.push(set("k", "v"));
    let acknowledgement = world.receive(&link, &script).unwrap().unwrap();
    // As Go writes JSON.
    assert_eq!(
        String::from_utf8_lossy(&acknowledgement),
        r#"{"error":"kind: Other, error: I \u003crefuse\u003e \"this\""}"#
    );
    assert_eq!(world.get(world.b, "k"), None);
    assert_eq!(world.get(world.b, "told/ibc_packet_receive"), None);
    assert!(world.net.chain(world.b).ibc().received(&link.b_end, 1));
    // It is final: the sender is told.
    world.net.relay_all().unwrap();
    let told: IbcPacketAckMsg = world.told(world.a, "ibc_packet_ack");
    assert_eq!(told.acknowledgement.data, acknowledgement);
}

#[test]
fn a_submessage_that_fails_in_a_receive_gives_the_error_of_its_module() {
    let mut world = world();
    let link = world.link();
    let mut script = answer("not this");
    script.steps.push(set("k", "v"));
    script.messages = vec![SubMsg::new(call(&world.probe_b, &fail("details stay here")))];
    let acknowledgement = world.receive(&link, &script).unwrap().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&acknowledgement),
        r#"{"error":"ABCI error: wasm/5: error handling packet: see events for details"}"#
    );
    assert_eq!(world.get(world.b, "k"), None);
}

#[test]
fn a_trap_in_a_receive_ends_the_transaction_and_the_packet_stays_pending() {
    let mut world = world();
    let link = world.link();
    let script = steps([set("k", "v"), Step::Panic { text: "trap".into() }]);
    let error = world.receive(&link, &script).unwrap_err();
    assert!(matches!(error, IbcError::Vm(_)), "{error}");
    assert!(!world.net.chain(world.b).ibc().received(&link.b_end, 1));
    assert_eq!(world.get(world.b, "k"), None);
    assert!(matches!(world.only_pending(), Task::Receive { .. }));
}

#[test]
fn too_little_gas_for_a_receive_changes_nothing_and_more_gas_does_it() {
    let mut world = world();
    let link = world.link();
    let mut script = answer("worked");
    script.steps = vec![set("k", "v"), Step::Work { rounds: 1_000_000 }];
    world.send(&link, &script);
    let task = world.only_pending();
    let enough = {
        // What it takes, on a chain that is then forgotten.
        let mut other = self::world();
        let link = other.link();
        other.send(&link, &script);
        let task = other.only_pending();
        other.net.relay(&task).unwrap().gas.sdk_gas()
    };
    for gas in [0, 1, 1_000, enough / 2, enough - 1] {
        let error = world.net.relay_with_gas(&task, gas).unwrap_err();
        assert!(matches!(error, IbcError::OutOfGas(_)), "{gas}: {error}");
        assert!(!world.net.chain(world.b).ibc().received(&link.b_end, 1));
        assert_eq!(world.get(world.b, "k"), None);
        assert_eq!(world.only_pending(), task);
    }
    let relayed = world.net.relay_with_gas(&task, enough).unwrap();
    assert_eq!(relayed.acknowledgement.unwrap().as_slice(), b"worked");
    assert!(relayed.gas.used <= enough * SDK_GAS);
}

#[test]
fn data_of_a_reply_is_the_acknowledgement() {
    let mut world = world();
    let link = world.link();
    let mut script = answer("first word");
    let quiet = SubMsg::reply_always(call(&world.probe_b, &answer("a call's own data")), 1);
    let probe_b = world.probe_b.clone();
    let loud = |id, data| {
        SubMsg::reply_always(call(&probe_b, &Script::default()), id)
            .with_payload(to_json_binary(&answer(data)).unwrap())
    };
    for (replies, expected) in [
        (vec![], "first word"),
        (vec![quiet.clone()], "first word"),
        (vec![loud(2, "second word")], "second word"),
        (vec![loud(2, "second word"), loud(3, "third word"), quiet], "third word"),
    ] {
        script.messages = replies;
        let acknowledgement = world.receive(&link, &script).unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&acknowledgement), expected);
        world.net.relay_all().unwrap();
    }
    // Also where the receive itself gives none.
    script.data = None;
    script.messages = vec![loud(2, "only word")];
    let acknowledgement = world.receive(&link, &script).unwrap().unwrap();
    assert_eq!(acknowledgement.as_slice(), b"only word");
}

#[test]
fn a_submessage_over_its_gas_limit_is_an_answer_only_if_the_transaction_could_have_paid_the_limit() {
    let mut world = world();
    let link = world.link();
    const LIMIT: u64 = 500_000;
    let work = steps([Step::Work { rounds: 100_000_000 }]);
    let mut script = answer("not this");
    script.messages = vec![SubMsg::reply_on_error(call(&world.probe_b, &work), 1)
        .with_gas_limit(LIMIT)
        .with_payload(to_json_binary(&answer("it was too much")).unwrap())];
    world.send(&link, &script);
    let task = world.only_pending();
    // Less than the limit is left for the submessage: nobody can make that an answer.
    let error = world.net.relay_with_gas(&task, LIMIT).unwrap_err();
    assert!(matches!(error, IbcError::OutOfGas(_)), "{error}");
    assert_eq!(world.only_pending(), task);
    let relayed = world.net.relay_with_gas(&task, 3 * LIMIT).unwrap();
    assert_eq!(relayed.acknowledgement.unwrap().as_slice(), b"it was too much");
}

#[test]
fn a_contract_may_acknowledge_later_and_once() {
    let mut world = world();
    let link = world.link();
    assert_eq!(world.receive(&link, &Script::default()).unwrap(), None);
    assert_eq!(world.pending(), []);
    let write = |word: &str| {
        messages([SubMsg::new(IbcMsg::WriteAcknowledgement {
            channel_id: link.b_end.channel_id.clone(),
            packet_sequence: 1,
            ack: IbcAcknowledgement::new(word.as_bytes()),
        })])
    };
    world.run(world.b, &write("at last")).unwrap();
    let error = world.run(world.b, &write("again")).unwrap_err();
    assert!(error.to_string().contains("no such packet waits"), "{error}");
    world.net.relay_all().unwrap();
    let told: IbcPacketAckMsg = world.told(world.a, "ibc_packet_ack");
    assert_eq!(told.acknowledgement.data.as_slice(), b"at last");
}

#[test]
fn an_empty_acknowledgement_is_not_written() {
    let mut world = world();
    let link = world.link();
    let error = world.receive(&link, &answer("")).unwrap_err();
    assert!(matches!(error, IbcError::Acknowledgement { .. }), "{error}");
    assert!(matches!(world.only_pending(), Task::Receive { .. }));
}

#[test]
fn json_of_the_standard_format_must_be_written_as_ibc_go_does() {
    let mut world = world();
    let link = world.link();
    world.receive(&link, &answer(r#"{"result":"AQ=="}"#)).unwrap();
    world.net.relay_all().unwrap();
    world.receive(&link, &answer(r#"{"result": "AQ=="}"#)).unwrap();
    let error = world.net.relay_all().unwrap_err();
    assert!(matches!(error, IbcError::Acknowledgement { .. }), "{error}");
    assert_eq!((world.ended(&link, 1), world.ended(&link, 2)), (1, 0));
}

#[test]
fn an_error_at_an_acknowledgement_fails_the_transaction_and_it_comes_again() {
    let mut world = world();
    let link = world.link();
    for (entry_point, seconds) in [("ibc_packet_ack", 60), ("ibc_packet_timeout", 10)] {
        let timeout = world.within(seconds);
        world.send_until(&link, &answer("x"), timeout);
        if entry_point == "ibc_packet_ack" {
            let receive = world.only_pending();
            world.net.relay(&receive).unwrap();
        } else {
            world.net.advance(Duration::from_secs(60));
        }
        let end = world.only_pending();
        let sequence = end.packet().unwrap().sequence;
        world.on(world.a, entry_point, &fail("not now"));
        let error = world.net.relay(&end).unwrap_err();
        assert!(
            matches!(&error, IbcError::Contract(text) if text.contains("not now")),
            "{error}"
        );
        assert_eq!(world.ended(&link, sequence), 0);
        assert_eq!(world.only_pending(), end);

        // A failing submessage, a trap, too little gas: the same.
        let submessage = messages([SubMsg::new(call(&world.probe_a, &fail("deep")))]);
        world.on(world.a, entry_point, &submessage);
        world.net.relay(&end).unwrap_err();
        world.on(world.a, entry_point, &steps([Step::Panic { text: "trap".into() }]));
        assert!(matches!(world.net.relay(&end).unwrap_err(), IbcError::Vm(_)));
        world.on(world.a, entry_point, &Script::default());
        let error = world.net.relay_with_gas(&end, 1_000).unwrap_err();
        assert!(matches!(error, IbcError::OutOfGas(_)), "{error}");
        assert_eq!(world.only_pending(), end);

        world.net.relay(&end).unwrap();
        assert_eq!(world.ended(&link, sequence), 1);
        assert_eq!(world.pending(), []);
    }
}

#[test]
fn contracts_send_from_within_every_call() {
    let mut world = world();
    let link = world.link();
    // The receiver sends one back, whose acknowledgement has the receiver send another.
    let back = |script: &Script, timeout: IbcTimeout| {
        SubMsg::new(IbcMsg::SendPacket {
            channel_id: link.b_end.channel_id.clone(),
            data: to_json_binary(script).unwrap(),
            timeout,
        })
    };
    let mut script = answer("received");
    script.messages = vec![back(&answer("received back"), world.within(600))];
    let again = messages([back(&answer("third"), world.within(600))]);
    world.on(world.b, "ibc_packet_ack", &again);
    world.send(&link, &script);
    let tasks = [world.only_pending()];
    world.net.relay(&tasks[0]).unwrap();
    // The acknowledgement goes to the first chain, and the packet back.
    assert_eq!(world.pending().len(), 2);
    for task in world.pending() {
        world.net.relay(&task).unwrap();
    }
    world.on(world.b, "ibc_packet_ack", &Script::default());
    let acknowledge = world.only_pending();
    world.net.relay(&acknowledge).unwrap();
    assert_eq!(world.pending(), []);
    assert_eq!(world.ended(&link, 1), 1);
    let told: IbcPacketReceiveMsg = world.told(world.a, "ibc_packet_receive");
    assert_eq!(told.packet.src, link.b_end);
}

#[test]
fn no_message_passes_for_a_relayers() {
    let mut world = world();
    let link = world.link();
    world.send(&link, &answer("x"));
    let forged = AnyMsg {
        type_url: "/aiinference.multitest.Relay".into(),
        value: to_json_binary(&answer("x")).unwrap(),
    };
    let error = world
        .run(world.b, &messages([SubMsg::new(forged.clone())]))
        .unwrap_err();
    assert!(error.to_string().contains("nothing is to be relayed"), "{error}");
    // Nor within a relayer's transaction.
    let mut script = answer("y");
    script.messages = vec![SubMsg::new(forged)];
    let acknowledgement = world.receive(&link, &script).unwrap().unwrap();
    assert!(acknowledgement.starts_with(br#"{"error""#));
}

#[test]
fn a_privileged_call_is_still_one() {
    let mut world = world();
    let probe = world.probe_b.clone();
    let chain = world.net.chain_mut(world.b);
    chain.wasm_sudo(&probe, &steps([set("k", "by sudo")])).unwrap();
    assert_eq!(chain.last_transaction().calls[0].entry_point, "sudo");
    assert_eq!(world.get(world.b, "k").as_deref(), Some("by sudo"));
}
