//! IBC between embedded chains, with contracts compiled to Wasm. `make contracts` builds the guest.

use std::{fs, path::Path, sync::LazyLock, time::Duration};

use aiinference_multi_test::{
    cw_multi_test::Executor, Chain, ChainId, CodeStore, IbcError, Link, Network, StoreOptions, Task,
};
use cosmwasm_std::{
    from_json, to_json_binary, to_json_string, Addr, Binary, IbcMsg, IbcPacketAckMsg, IbcPacketReceiveMsg,
    IbcPacketTimeoutMsg, IbcTimeout, SubMsg,
};
use test_probe::{QueryMsg, Replied, Script, Step};

/// Shared, so that the guest is compiled once for all tests here.
static STORE: LazyLock<CodeStore> = LazyLock::new(|| CodeStore::new(StoreOptions::default()).unwrap());

fn probe_wasm() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/contracts/test-probe.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}; run `make contracts`", path.display()))
}

/// Two chains with a probe each.
struct World {
    net: Network,
    a: ChainId,
    b: ChainId,
    probe_a: Addr,
    probe_b: Addr,
}

fn probe(net: &mut Network, id: ChainId) -> Addr {
    let chain = net.chain_mut(id);
    let code_id = chain.store_wasm(&probe_wasm()).unwrap();
    let owner = chain.account("owner");
    chain
        .instantiate_contract(code_id, owner, &Script::default(), &[], "probe", None)
        .unwrap()
}

fn world() -> World {
    let mut net = Network::new();
    let a = net.add("asking-1", Chain::with_store(STORE.clone()));
    let b = net.add("answering-2", Chain::with_store(STORE.clone()));
    let probe_a = probe(&mut net, a);
    let probe_b = probe(&mut net, b);
    World {
        net,
        a,
        b,
        probe_a,
        probe_b,
    }
}

impl World {
    fn link(&mut self) -> Link {
        self.try_link("probe-1").unwrap()
    }

    fn try_link(&mut self, version: &str) -> Result<Link, IbcError> {
        self.net.link((self.a, &self.probe_a), (self.b, &self.probe_b), version)
    }

    /// A timeout so much time from now.
    fn within(&self, seconds: u64) -> IbcTimeout {
        IbcTimeout::with_timestamp(self.net.now().plus_seconds(seconds))
    }

    /// Has the probe on the first chain run a script.
    fn run(&mut self, script: &Script) {
        let chain = self.net.chain_mut(self.a);
        let owner = chain.account("owner");
        chain
            .execute_contract(owner, self.probe_a.clone(), script, &[])
            .unwrap();
    }

    /// Sends a script as a packet from the first chain to the second.
    fn send(&mut self, link: &Link, script: &Script, timeout: IbcTimeout) {
        let packet = IbcMsg::SendPacket {
            channel_id: link.a_end.channel_id.clone(),
            data: to_json_binary(script).unwrap(),
            timeout,
        };
        self.run(&Script {
            messages: vec![SubMsg::new(packet)],
            ..Script::default()
        });
    }

    fn get(&self, id: ChainId, contract: &Addr, key: &str) -> Option<String> {
        let query = QueryMsg::Get { key: key.into() };
        self.net.chain(id).wrap().query_wasm_smart(contract, &query).unwrap()
    }

    fn told<T: serde::de::DeserializeOwned>(&self, id: ChainId, contract: &Addr, entry_point: &str) -> T {
        from_json(self.get(id, contract, &format!("told/{entry_point}")).unwrap()).unwrap()
    }

    fn pending(&self) -> Vec<Task> {
        self.net.pending().unwrap()
    }
}

fn answer(data: &str) -> Script {
    Script {
        data: Some(Binary::from(data.as_bytes())),
        ..Script::default()
    }
}

#[test]
fn a_packet_goes_there_and_its_acknowledgement_comes_back() {
    let mut world = world();
    let link = world.link();
    let timeout = world.within(60);
    let mut script = answer("well received");
    script.steps.push(Step::Set {
        key: "k".into(),
        value: "v".into(),
    });
    world.send(&link, &script, timeout);

    let [receive] = world.pending().try_into().unwrap();
    assert!(matches!(receive, Task::Receive { .. }));
    let relayed = world.net.relay(&receive).unwrap();
    assert_eq!(relayed.acknowledgement.as_deref(), Some(b"well received".as_slice()));
    assert!(!relayed.repeated);
    assert_eq!(world.get(world.b, &world.probe_b, "k").as_deref(), Some("v"));
    let told: IbcPacketReceiveMsg = world.told(world.b, &world.probe_b, "ibc_packet_receive");
    assert_eq!(&told.packet, receive.packet().unwrap());
    assert_eq!(&told.relayer, world.net.relayer(world.b));
    assert_eq!(told.packet.src, link.a_end);
    assert_eq!(told.packet.dest, link.b_end);

    let [acknowledge] = world.pending().try_into().unwrap();
    assert!(matches!(acknowledge, Task::Acknowledge { .. }));
    world.net.relay(&acknowledge).unwrap();
    let told: IbcPacketAckMsg = world.told(world.a, &world.probe_a, "ibc_packet_ack");
    assert_eq!(told.acknowledgement.data.as_slice(), b"well received");
    assert_eq!(told.original_packet.sequence, 1);
    assert_eq!(world.pending(), []);

    // Again, neither changes anything.
    assert!(world.net.relay(&receive).unwrap().repeated);
    assert!(world.net.relay(&acknowledge).unwrap().repeated);
    assert_eq!(
        world.get(world.a, &world.probe_a, "ended/channel-0/1").as_deref(),
        Some("1")
    );
}

#[test]
fn a_packet_whose_time_is_over_is_not_received_and_times_out_once() {
    let mut world = world();
    let link = world.link();
    let timeout = world.within(20);
    world.send(&link, &answer("too late"), timeout);
    let [receive] = world.pending().try_into().unwrap();
    world.net.advance(Duration::from_secs(30));
    assert_eq!(
        world.net.relay(&receive).unwrap_err(),
        IbcError::TimeoutElapsed { sequence: 1 }
    );
    let [timeout] = world.pending().try_into().unwrap();
    assert!(matches!(timeout, Task::Timeout { .. }));
    world.net.relay(&timeout).unwrap();
    assert!(world.net.relay(&timeout).unwrap().repeated);
    let told: IbcPacketTimeoutMsg = world.told(world.a, &world.probe_a, "ibc_packet_timeout");
    assert_eq!(&told.packet, receive.packet().unwrap());
    assert_eq!(
        world.get(world.a, &world.probe_a, "ended/channel-0/1").as_deref(),
        Some("1")
    );
    assert_eq!(world.pending(), []);
}

#[test]
fn the_reply_to_a_sent_packet_tells_its_sequence() {
    let mut world = world();
    let link = world.link();
    for sequence in 1..=2 {
        let packet = IbcMsg::SendPacket {
            channel_id: link.a_end.channel_id.clone(),
            data: to_json_binary(&answer("x")).unwrap(),
            timeout: world.within(60),
        };
        world.run(&Script {
            messages: vec![SubMsg::reply_always(packet, 7)],
            ..Script::default()
        });
        let replied: Replied = from_json(world.get(world.a, &world.probe_a, "reply/7").unwrap()).unwrap();
        assert_eq!(replied.responses, ["/cosmwasm.wasm.v1.MsgIBCSendResponse"]);
        // Field 1, a varint.
        assert_eq!(replied.values, [Binary::from([0x08, sequence])]);
    }
}

#[test]
fn a_contract_that_refuses_a_channel_opens_none() {
    let mut world = world();
    let refuse = to_json_string(&Script {
        fail: Some("not this version".into()),
        ..Script::default()
    })
    .unwrap();
    let error = world.try_link(&refuse).unwrap_err();
    assert!(
        matches!(&error, IbcError::Contract(text) if text.contains("not this version")),
        "{error}"
    );
    assert_eq!(world.net.chain(world.a).ibc().channels().unwrap(), []);
}
