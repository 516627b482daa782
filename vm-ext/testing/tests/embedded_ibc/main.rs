//! IBC between embedded chains, with contracts compiled to Wasm. `make contracts` builds the guest.

mod channels;
mod packets;
mod schedules;
mod transfers;

use std::{fs, path::Path, sync::LazyLock};

use aiinference_multi_test::{
    cw_multi_test::Executor, Chain, ChainId, CodeStore, IbcError, Link, Network, StoreOptions, Task,
};
use cosmwasm_std::{
    from_json, to_json_binary, to_json_string, Addr, Binary, IbcMsg, IbcTimeout, StdResult, SubMsg, WasmMsg,
};
use test_probe::{QueryMsg, Script, Step};

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

    /// A timeout so many seconds from now.
    fn within(&self, seconds: u64) -> IbcTimeout {
        IbcTimeout::with_timestamp(self.net.now().plus_seconds(seconds))
    }

    /// Has a probe run a script.
    fn run(&mut self, id: ChainId, script: &Script) -> StdResult<()> {
        let probe = if id == self.a { &self.probe_a } else { &self.probe_b };
        let chain = self.net.chain_mut(id);
        let owner = chain.account("owner");
        chain.execute_contract(owner, probe.clone(), script, &[]).map(drop)
    }

    /// Sends a script as a packet from the first chain to the second, which has a minute.
    fn send(&mut self, link: &Link, script: &Script) {
        let timeout = self.within(60);
        self.send_until(link, script, timeout);
    }

    fn send_until(&mut self, link: &Link, script: &Script, timeout: IbcTimeout) {
        let packet = packet(link, script, timeout);
        self.run(self.a, &messages([SubMsg::new(packet)])).unwrap();
    }

    /// Sends a script, and has it received: the acknowledgement, or why it was not received.
    fn receive(&mut self, link: &Link, script: &Script) -> Result<Option<Binary>, IbcError> {
        self.send(link, script);
        let task = self.pending().pop().unwrap();
        self.net.relay(&task).map(|relayed| relayed.acknowledgement)
    }

    /// Lays down what an entry point of a probe runs.
    fn on(&mut self, id: ChainId, entry_point: &str, script: &Script) {
        let step = set(&format!("on/{entry_point}"), &to_json_string(script).unwrap());
        self.run(id, &steps([step])).unwrap();
    }

    fn get(&self, id: ChainId, key: &str) -> Option<String> {
        let probe = if id == self.a { &self.probe_a } else { &self.probe_b };
        self.net
            .chain(id)
            .wrap()
            .query_wasm_smart(probe, &QueryMsg::Get { key: key.into() })
            .unwrap()
    }

    /// What an entry point of a probe was told last.
    fn told<T: serde::de::DeserializeOwned>(&self, id: ChainId, entry_point: &str) -> T {
        from_json(self.get(id, &format!("told/{entry_point}")).unwrap()).unwrap()
    }

    /// How often the sender was told that a packet ended.
    fn ended(&self, link: &Link, sequence: u64) -> u32 {
        let count = self.get(self.a, &format!("ended/{}/{sequence}", link.a_end.channel_id));
        count.map_or(0, |count| count.parse().unwrap())
    }

    fn pending(&self) -> Vec<Task> {
        self.net.pending().unwrap()
    }

    fn only_pending(&self) -> Task {
        let [task] = self.pending().try_into().unwrap();
        task
    }
}

fn packet(link: &Link, script: &Script, timeout: IbcTimeout) -> IbcMsg {
    IbcMsg::SendPacket {
        channel_id: link.a_end.channel_id.clone(),
        data: to_json_binary(script).unwrap(),
        timeout,
    }
}

fn answer(data: &str) -> Script {
    Script {
        data: Some(Binary::from(data.as_bytes())),
        ..Script::default()
    }
}

fn fail(text: &str) -> Script {
    Script {
        fail: Some(text.into()),
        ..Script::default()
    }
}

fn set(key: &str, value: &str) -> Step {
    Step::Set {
        key: key.into(),
        value: value.into(),
    }
}

fn steps(steps: impl IntoIterator<Item = Step>) -> Script {
    Script {
        steps: steps.into_iter().collect(),
        ..Script::default()
    }
}

fn messages(messages: impl IntoIterator<Item = SubMsg>) -> Script {
    Script {
        messages: messages.into_iter().collect(),
        ..Script::default()
    }
}

/// A call of a probe.
fn call(contract: &Addr, script: &Script) -> WasmMsg {
    WasmMsg::Execute {
        contract_addr: contract.to_string(),
        msg: to_json_binary(script).unwrap(),
        funds: vec![],
    }
}
