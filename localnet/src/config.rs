//! Edits of the files that `wasmd init` writes. Values only: comments and order stay, and a key that is not there is an
//! error, since then this is not the wasmd we know.

use toml_edit::{DocumentMut, Value};

use crate::error::{Error, Result};
use crate::plan::Ports;

/// The pause after a block. With what proposing and voting take, four validators make a block in less than 1 s.
const COMMIT: &str = "500ms";
/// A snapshot for state sync every so many blocks.
pub const SNAPSHOT_INTERVAL: u64 = 20;

/// What a node needs to know of another to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub node_id: String,
    pub p2p: u16,
}

/// From where and from which block on a new node takes the state instead of executing all blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSync {
    /// RPC ports of two nodes (or the same twice) whose headers are compared.
    pub rpc: [u16; 2],
    pub trust_height: u64,
    pub trust_hash: String,
}

/// `config.toml`: every listener on loopback, quick blocks, a network whose nodes share one address.
pub fn comet(text: &str, ports: &Ports, peers: &[Peer], sync: Option<&StateSync>) -> Result<String> {
    let mut file = File::parse("config.toml", text)?;
    file.set("rpc.laddr", tcp(ports.rpc))?;
    file.set("rpc.pprof_laddr", "")?;
    file.set("rpc.grpc_laddr", "")?;
    file.set("p2p.laddr", tcp(ports.p2p))?;
    file.set("p2p.external_address", "")?;
    file.set("p2p.seeds", "")?;
    let peers: Vec<String> = peers
        .iter()
        .map(|peer| format!("{}@127.0.0.1:{}", peer.node_id, peer.p2p))
        .collect();
    file.set("p2p.persistent_peers", peers.join(","))?;
    file.set("p2p.addr_book_strict", false)?;
    file.set("p2p.allow_duplicate_ip", true)?;
    // A killed validator is back among the others within seconds, not minutes.
    file.set("p2p.persistent_peers_max_dial_period", "2s")?;
    file.set("consensus.timeout_propose", "1s")?;
    file.set("consensus.timeout_propose_delta", "500ms")?;
    file.set("consensus.timeout_prevote", "500ms")?;
    file.set("consensus.timeout_prevote_delta", "250ms")?;
    file.set("consensus.timeout_precommit", "500ms")?;
    file.set("consensus.timeout_precommit_delta", "250ms")?;
    file.set("consensus.timeout_commit", COMMIT)?;
    file.set("tx_index.indexer", "kv")?;
    file.set("instrumentation.prometheus", false)?;
    file.set("instrumentation.prometheus_listen_addr", "127.0.0.1:0")?;
    file.set("statesync.enable", sync.is_some())?;
    if let Some(sync) = sync {
        let servers = sync.rpc.map(|port| format!("http://127.0.0.1:{port}")).join(",");
        file.set("statesync.rpc_servers", servers)?;
        let height = i64::try_from(sync.trust_height).unwrap_or(i64::MAX);
        file.set("statesync.trust_height", height)?;
        file.set("statesync.trust_hash", sync.trust_hash.as_str())?;
        file.set("statesync.trust_period", "24h")?;
        // The shortest that CometBFT accepts.
        file.set("statesync.discovery_time", "5s")?;
    }
    Ok(file.text())
}

/// `app.toml`: gRPC on loopback, no fee, all history for queries at old heights, snapshots, small caches.
pub fn app(text: &str, ports: &Ports) -> Result<String> {
    let mut file = File::parse("app.toml", text)?;
    file.set("minimum-gas-prices", "0stake")?;
    file.set("pruning", "nothing")?;
    // The default of 781,250 nodes is for large chains: it is reserved memory in each of the processes here.
    file.set("iavl-cache-size", 20_000)?;
    file.set("telemetry.enabled", false)?;
    file.set("api.enable", false)?;
    file.set("api.address", tcp(0))?;
    file.set("grpc.enable", true)?;
    file.set("grpc.address", format!("127.0.0.1:{}", ports.grpc))?;
    file.set("grpc-web.enable", false)?;
    file.set(
        "state-sync.snapshot-interval",
        i64::try_from(SNAPSHOT_INTERVAL).unwrap_or(i64::MAX),
    )?;
    file.set("state-sync.snapshot-keep-recent", 3)?;
    Ok(file.text())
}

/// `client.toml`: so that `wasmd --home` of a node talks to that node.
pub fn client(text: &str, chain_id: &str, ports: &Ports) -> Result<String> {
    let mut file = File::parse("client.toml", text)?;
    file.set("chain-id", chain_id)?;
    file.set("keyring-backend", "test")?;
    file.set("node", tcp(ports.rpc))?;
    Ok(file.text())
}

fn tcp(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

struct File {
    name: &'static str,
    document: DocumentMut,
}

impl File {
    fn parse(name: &'static str, text: &str) -> Result<Self> {
        let document = text.parse().map_err(|error: toml_edit::TomlError| Error::Damaged {
            path: name.into(),
            reason: error.to_string(),
        })?;
        Ok(Self { name, document })
    }

    /// Replaces the value of `key` or `table.key`.
    fn set(&mut self, path: &str, value: impl Into<Value>) -> Result<()> {
        let missing = || Error::Config {
            file: self.name,
            key: path.into(),
        };
        let (table, key) = match path.split_once('.') {
            Some((table, key)) => (self.document.get_mut(table).and_then(|item| item.as_table_mut()), key),
            None => (Some(self.document.as_table_mut()), path),
        };
        let found = table
            .and_then(|table| table.get_mut(key))
            .and_then(|item| item.as_value_mut())
            .ok_or_else(missing)?;
        let decor = found.decor().clone();
        *found = value.into();
        *found.decor_mut() = decor;
        Ok(())
    }

    fn text(self) -> String {
        self.document.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports {
        p2p: 1,
        rpc: 2,
        grpc: 3,
        metrics: 4,
    };

    #[test]
    fn an_edit_keeps_comments_and_other_keys() {
        let mut file = File::parse("x", "# about a\na = 1 # one\n[t]\nb = \"old\"\nc = true\n").unwrap();
        file.set("a", 2).unwrap();
        file.set("t.b", "new").unwrap();
        assert_eq!(file.text(), "# about a\na = 2 # one\n[t]\nb = \"new\"\nc = true\n");
    }

    #[test]
    fn a_key_that_wasmd_does_not_know_is_refused() {
        let error = app("minimum-gas-prices = \"\"\n", &PORTS).unwrap_err();
        assert!(
            matches!(&error, Error::Config { file: "app.toml", key } if key == "pruning"),
            "{error}"
        );
    }

    #[test]
    fn text_that_is_no_toml_is_refused() {
        assert!(matches!(client("a = = b", "c", &PORTS), Err(Error::Damaged { .. })));
    }
}
