//! What a localnet consists of: `localnet.json` in its home. Other programs may read it too.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::Peer;
use crate::error::{Error, IoContext, Result};

/// The file's name in the home folder.
pub const FILE: &str = "localnet.json";
/// Version of the file's format.
const VERSION: u32 = 1;
/// Places for nodes on each chain, and ports for each place.
pub(crate) const SLOTS: u16 = 10;
const PORTS_PER_SLOT: u16 = 10;
/// The chain whose validators run our library.
pub const PROVIDER: &str = "provider-1";
/// The chain whose validator runs the stock library.
pub const CONSUMER: &str = "consumer-1";

/// A localnet, as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub base_port: u16,
    /// The wasmd program all nodes run.
    pub wasmd: PathBuf,
    pub chains: Vec<Chain>,
    pub accounts: Vec<Account>,
}

/// One chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chain {
    pub id: String,
    pub denom: String,
    /// Prefix of its addresses.
    pub prefix: String,
    pub nodes: Vec<NodePlan>,
}

/// One node: where it lives, where it listens, what it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodePlan {
    /// Unique in the localnet.
    pub name: String,
    pub chain: String,
    pub validator: bool,
    pub slot: u16,
    /// Its identity in the peer-to-peer network.
    pub node_id: String,
    pub home: PathBuf,
    pub pid_file: PathBuf,
    pub log_file: PathBuf,
    /// Where its RPC answers.
    pub rpc_url: String,
    pub ports: Ports,
    pub runs: Runs,
}

/// What of a node's process is chosen: the library and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub library: Library,
    /// Is the capability forced on, by the environment variable for test networks?
    pub capability: bool,
    /// Which kernels our library is told to take; nothing for the stock one.
    pub kernels: Option<Kernels>,
    /// The log of inferences.
    pub trace_file: Option<PathBuf>,
    /// Further environment variables.
    pub environment: BTreeMap<String, String>,
}

/// A libwasmvm, copied into the localnet's home so that building it again does not touch a running node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Where it was copied from.
    pub source: PathBuf,
    /// The copy that the node loads.
    pub file: PathBuf,
    /// Hash of its bytes, in hex.
    pub sha256: String,
}

/// Ports on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub p2p: u16,
    pub rpc: u16,
    pub grpc: u16,
    /// Our library's own metrics, where it runs.
    pub metrics: u16,
}

/// A funded account. For tests only: everybody knows these keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub address: String,
    pub mnemonic_file: PathBuf,
}

/// A choice of kernels, as our library reads it from its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernels {
    Scalar,
    Avx2,
    Avx512,
    Auto,
}

impl Kernels {
    /// The environment variable's value.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Scalar => "scalar",
            Kernels::Avx2 => "avx2",
            Kernels::Avx512 => "avx512",
            Kernels::Auto => "auto",
        }
    }

    /// A different choice for each of four validators, as far as this CPU, and the engine, can.
    pub fn for_validators() -> [Kernels; 4] {
        let runs = |kernels: Kernels| aiinference_engine::Kernels::by_name(kernels.name()).is_some();
        Self::choose(runs(Kernels::Avx2), runs(Kernels::Avx512))
    }

    fn choose(avx2: bool, avx512: bool) -> [Kernels; 4] {
        let second = if avx2 { Kernels::Avx2 } else { Kernels::Scalar };
        [
            Kernels::Scalar,
            second,
            if avx512 { Kernels::Avx512 } else { second },
            Kernels::Auto,
        ]
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kernels {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Kernels::Scalar, Kernels::Avx2, Kernels::Avx512, Kernels::Auto]
            .into_iter()
            .find(|kernels| kernels.name() == text)
            .ok_or_else(|| format!("'{text}' is none of scalar, avx2, avx512, auto"))
    }
}

impl Ports {
    /// The ports of one place. With the default base port the first node has the customary RPC port, 26657.
    pub(crate) fn of(base_port: u16, chain: u16, slot: u16) -> Result<Self> {
        let ports = 2 * SLOTS * PORTS_PER_SLOT;
        if base_port < 1024 || base_port > u16::MAX - ports {
            return Err(Error::BasePort { base_port, ports });
        }
        let first = base_port + (chain * SLOTS + slot) * PORTS_PER_SLOT;
        Ok(Self {
            p2p: first + 6,
            rpc: first + 7,
            grpc: first + 9,
            metrics: first + 8,
        })
    }
}

impl Plan {
    pub(crate) fn new(base_port: u16, wasmd: PathBuf) -> Self {
        Self {
            version: VERSION,
            base_port,
            wasmd,
            chains: Vec::new(),
            accounts: Vec::new(),
        }
    }

    /// Reads the plan in a home folder.
    pub fn read(home: &Path) -> Result<Self> {
        let path = home.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotMade { home: home.into() })
            }
            Err(error) => return Err(error).context("reading", path),
        };
        let plan: Self = serde_json::from_slice(&text).map_err(|error| Error::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        if plan.version != VERSION {
            let reason = format!("it has format {}, this program knows format {VERSION}", plan.version);
            return Err(Error::Damaged { path, reason });
        }
        Ok(plan)
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, home: &Path) -> Result<()> {
        write_json(&home.join(FILE), self)
    }

    /// The chain with this id.
    pub fn chain(&self, id: &str) -> Result<&Chain> {
        self.chains
            .iter()
            .find(|chain| chain.id == id)
            .ok_or_else(|| Error::Unknown {
                wanted: format!("the chain {id}"),
                known: join(self.chains.iter().map(|chain| &chain.id)),
            })
    }

    /// The node with this name, on whichever chain.
    pub fn node(&self, name: &str) -> Result<&NodePlan> {
        self.nodes()
            .find(|node| node.name == name)
            .ok_or_else(|| Error::Unknown {
                wanted: format!("the node {name}"),
                known: join(self.nodes().map(|node| &node.name)),
            })
    }

    /// The account with this name.
    pub fn account(&self, name: &str) -> Result<&Account> {
        self.accounts
            .iter()
            .find(|account| account.name == name)
            .ok_or_else(|| Error::Unknown {
                wanted: format!("the account {name}"),
                known: join(self.accounts.iter().map(|account| &account.name)),
            })
    }

    /// All nodes of all chains.
    pub fn nodes(&self) -> impl Iterator<Item = &NodePlan> {
        self.chains.iter().flat_map(|chain| &chain.nodes)
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut NodePlan> {
        self.chains
            .iter_mut()
            .flat_map(|chain| &mut chain.nodes)
            .find(|node| node.name == name)
    }
}

impl NodePlan {
    pub(crate) fn new(home: PathBuf, chain: &str, name: &str, slot: u16, ports: Ports, runs: Runs) -> Self {
        Self {
            name: name.into(),
            chain: chain.into(),
            validator: false,
            slot,
            node_id: String::new(),
            pid_file: home.join("node.pid"),
            log_file: home.join("node.log"),
            home,
            rpc_url: format!("http://127.0.0.1:{}", ports.rpc),
            ports,
            runs,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            node_id: self.node_id.clone(),
            p2p: self.ports.p2p,
        }
    }
}

/// Writes JSON to a file, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let part = path.with_extension("part");
    let text = serde_json::to_vec_pretty(value).map_err(|error| Error::Damaged {
        path: path.into(),
        reason: error.to_string(),
    })?;
    fs::write(&part, text).context("writing", &part)?;
    fs::rename(&part, path).context("writing", path)
}

fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_places_share_a_port_and_the_first_has_the_customary_one() {
        let mut seen = BTreeSet::new();
        for chain in 0..2 {
            for slot in 0..SLOTS {
                let ports = Ports::of(26650, chain, slot).unwrap();
                for port in [ports.p2p, ports.rpc, ports.grpc, ports.metrics] {
                    assert!(seen.insert(port), "port {port} twice");
                }
            }
        }
        assert_eq!(Ports::of(26650, 0, 0).unwrap().rpc, 26657);
    }

    #[test]
    fn a_base_port_without_room_is_refused() {
        assert!(matches!(Ports::of(80, 0, 0), Err(Error::BasePort { .. })));
        assert!(matches!(Ports::of(65_500, 0, 0), Err(Error::BasePort { .. })));
    }

    #[test]
    fn validators_differ_as_far_as_the_cpu_can() {
        use Kernels::*;
        assert_eq!(Kernels::choose(true, true), [Scalar, Avx2, Avx512, Auto]);
        assert_eq!(Kernels::choose(true, false), [Scalar, Avx2, Avx2, Auto]);
        assert_eq!(Kernels::choose(false, false), [Scalar, Scalar, Scalar, Auto]);
    }

    #[test]
    fn a_home_without_a_plan_says_how_to_make_one() {
        let home = tempfile::tempdir().unwrap();
        let error = Plan::read(home.path()).unwrap_err();
        assert!(matches!(error, Error::NotMade { .. }));
        assert!(error.to_string().contains("aiinference-localnet up"), "{error}");
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_a_strange_one_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let mut plan = Plan::new(26650, "wasmd".into());
        plan.write(home.path()).unwrap();
        assert_eq!(Plan::read(home.path()).unwrap().base_port, 26650);
        plan.version = 99;
        plan.write(home.path()).unwrap();
        assert!(matches!(Plan::read(home.path()), Err(Error::Damaged { .. })));
        fs::write(home.path().join(FILE), "{").unwrap();
        assert!(matches!(Plan::read(home.path()), Err(Error::Damaged { .. })));
    }
}
