//! The localnet as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::accounts;
use crate::config::{StateSync, SNAPSHOT_INTERVAL};
use crate::error::{Error, IoContext, Result};
use crate::genesis;
use crate::node::Node;
use crate::plan::{Chain, Kernels, Library, NodePlan, Plan, Ports, Runs, CONSUMER, PROVIDER, SLOTS};
use crate::wasmd::{stage_library, Wasmd};

/// A node answers within this time of its start, on a loaded machine too.
const READY: Duration = Duration::from_secs(120);
/// A fresh chain makes its first blocks within this time.
const FIRST_BLOCKS: Duration = Duration::from_secs(120);
const BUILD_WASMD: &str = "build it with scripts/wasmd.sh (or `make wasmd`), or name its folder with --wasmd";
const BUILD_OURS: &str = "build it with `make library`, or name a folder that has it with --library";

/// What a localnet is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of everything: homes, logs, keys, `localnet.json`.
    pub home: PathBuf,
    /// The folder that scripts/wasmd.sh fills: `wasmd`, and the stock library in `stock`.
    pub wasmd: PathBuf,
    /// The folder of the library that the provider chain's validators run.
    pub library: PathBuf,
    /// The first of the ports.
    pub base_port: u16,
}

/// What a node that is added, or changed, runs.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The folder of its libwasmvm.
    pub library: PathBuf,
    /// Kernels, for our library; nothing for the stock one.
    pub kernels: Option<Kernels>,
    /// Force our library's capability on. All nodes of a chain must agree on that.
    pub capability: bool,
    /// Further environment variables.
    pub environment: BTreeMap<String, String>,
}

impl NodeOptions {
    /// What another node runs.
    pub fn like(node: &NodePlan) -> Self {
        let runs = &node.runs;
        Self {
            library: runs.library.file.parent().map(Path::to_path_buf).unwrap_or_default(),
            kernels: runs.kernels,
            capability: runs.capability,
            environment: runs.environment.clone(),
        }
    }
}

/// How a new node comes by the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It executes every block.
    Genesis,
    /// It takes a snapshot from the others.
    StateSync,
}

/// Told what goes on, a line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// A localnet that was made; running or not.
#[derive(Clone, Debug)]
pub struct Localnet {
    home: PathBuf,
    plan: Plan,
}

impl Localnet {
    /// The localnet in a home folder, as it is.
    pub fn open(home: impl AsRef<Path>) -> Result<Self> {
        let home = absolute(home.as_ref())?;
        let plan = Plan::read(&home)?;
        Ok(Self { home, plan })
    }

    /// Makes the localnet if there is none, starts what does not run, and waits until both chains make blocks.
    pub async fn up(settings: &Settings, progress: Progress<'_>) -> Result<Self> {
        let home = absolute(&settings.home)?;
        if !is_ours(&home)? {
            return Err(Error::NotOurs { home });
        }
        let net = {
            let _lock = lock(&home)?;
            let mut net = match Self::open(&home) {
                Err(Error::NotMade { .. }) => Self::make(&home, settings, progress)?,
                found => found?,
            };
            net.agree_with(settings)?;
            net.start_all(progress)?;
            net
        };
        net.wait_until_up(progress).await?;
        Ok(net)
    }

    /// Makes keys, homes and genesis. The plan is written last: without it nothing was made, and it is begun again.
    fn make(home: &Path, settings: &Settings, progress: Progress) -> Result<Self> {
        let program = absolute(&settings.wasmd)?.join("wasmd");
        let stock = stage_library(CONSUMER, &settings.wasmd.join("stock"), home, BUILD_WASMD)?;
        let ours = stage_library(PROVIDER, &settings.library, home, BUILD_OURS)?;
        let wasmd = Wasmd::new(&program, &stock.file)?;
        progress(&format!("making the localnet in {}", home.display()));
        for made_in_part in ["nodes", "keys"].map(|name| home.join(name)) {
            if made_in_part.exists() {
                fs::remove_dir_all(&made_in_part).context("removing", &made_in_part)?;
            }
        }
        let mut plan = Plan::new(settings.base_port, program);
        let kernels = Kernels::for_validators();
        let chains: [(&str, &str, Library, Vec<Option<Kernels>>); 2] = [
            (PROVIDER, "provider", ours, kernels.map(Some).into()),
            (CONSUMER, "consumer", stock, vec![None]),
        ];
        let validators = chains
            .iter()
            .flat_map(|(_, role, _, nodes)| (0..nodes.len()).map(move |i| format!("{role}-val{i}")));
        let names = accounts::NAMES.iter().map(|name| name.to_string()).chain(validators);
        plan.accounts = genesis::write_accounts(&home.join("keys"), names)?;
        for (index, (id, role, library, kernels)) in (0u16..).zip(chains) {
            progress(&format!("making {id}: {} validator(s)", kernels.len()));
            let mut nodes = Vec::new();
            for (slot, kernels) in (0u16..).zip(kernels) {
                let ports = Ports::of(settings.base_port, index, slot)?;
                let name = format!("{role}-val{slot}");
                let at = home.join("nodes").join(&name);
                let mut node = NodePlan::new(at, id, &name, slot, ports, Runs::new(library.clone()));
                node.validator = true;
                node.runs.kernels = kernels;
                node.runs.capability = kernels.is_some();
                node.runs.trace_file = kernels.map(|_| node.home.join("inferences.trace"));
                nodes.push(node);
            }
            plan.chains
                .push(genesis::make_chain(&wasmd, id, nodes, &plan.accounts)?);
        }
        plan.write(home)?;
        Ok(Self {
            home: home.into(),
            plan,
        })
    }

    /// Is this the localnet that is asked for? A library built since goes to the nodes that do not run.
    fn agree_with(&mut self, settings: &Settings) -> Result<()> {
        const RESET: &str = "choose another --home, or run `aiinference-localnet reset` first (its chains are lost)";
        const DOWN: &str = "run `aiinference-localnet down` first, so that all change together";
        let differs = |what, made: String, asked: String, next| Error::MadeOtherwise {
            home: self.home.clone(),
            what,
            made,
            asked,
            next,
        };
        if self.plan.base_port != settings.base_port {
            let (made, asked) = (self.plan.base_port.to_string(), settings.base_port.to_string());
            return Err(differs("base port", made, asked, RESET));
        }
        let stock = stage_library(CONSUMER, &settings.wasmd.join("stock"), &self.home, BUILD_WASMD)?;
        let ours = stage_library(PROVIDER, &settings.library, &self.home, BUILD_OURS)?;
        let wanted = |chain: &str| if chain == PROVIDER { &ours } else { &stock };
        let validators = || self.plan.nodes().filter(|node| node.validator);
        let changed: Vec<String> = validators()
            .filter(|node| node.runs.library.sha256 != wanted(&node.chain).sha256)
            .map(|node| node.name.clone())
            .collect();
        for name in &changed {
            let node = self.node(name)?;
            if node.is_running() {
                let describe = |library: &Library| format!("{} ({:.16})", library.source.display(), library.sha256);
                let plan = node.plan();
                return Err(differs(
                    "the library",
                    describe(&plan.runs.library),
                    describe(wanted(&plan.chain)),
                    DOWN,
                ));
            }
        }
        for name in &changed {
            if let Some(node) = self.plan.node_mut(name) {
                node.runs.library = if node.chain == PROVIDER {
                    ours.clone()
                } else {
                    stock.clone()
                };
            }
        }
        let program = absolute(&settings.wasmd)?.join("wasmd");
        if changed.is_empty() && self.plan.wasmd == program {
            return Ok(());
        }
        self.plan.wasmd = program;
        self.plan.write(&self.home)
    }

    fn start_all(&self, progress: Progress) -> Result<()> {
        for node in self.nodes()? {
            if node.start()? {
                let kernels = node
                    .plan()
                    .runs
                    .kernels
                    .map(|kernels| format!(", kernels {kernels}"))
                    .unwrap_or_default();
                progress(&format!("started {} ({}){kernels}", node.name(), node.plan().rpc_url));
            } else {
                progress(&format!("{} runs already", node.name()));
            }
        }
        Ok(())
    }

    async fn wait_until_up(&self, progress: Progress<'_>) -> Result<()> {
        for node in self.nodes()? {
            node.ready(READY).await?;
        }
        progress("all nodes answer, each on its own library; waiting for blocks");
        for chain in &self.plan.chains {
            let begun = Instant::now();
            let mut reached = 0;
            for plan in chain.nodes.iter().filter(|node| node.validator) {
                let node = self.node(&plan.name)?;
                // A chain that stood still has a height already: it must grow.
                let target = node.height().await?.max(1) + 1;
                node.wait_height(target, FIRST_BLOCKS.saturating_sub(begun.elapsed()))
                    .await?;
                reached = reached.max(target);
            }
            progress(&format!("{} makes blocks, height {reached}", chain.id));
        }
        Ok(())
    }

    /// Ends every node: first all are asked, then those that do not heed are killed.
    pub async fn down(&self, progress: Progress<'_>) -> Result<()> {
        let _lock = lock(&self.home)?;
        self.end_all(progress).await
    }

    async fn end_all(&self, progress: Progress<'_>) -> Result<()> {
        let nodes = self.nodes()?;
        for process in nodes.iter().filter_map(Node::process) {
            process.signal(Signal::SIGTERM);
        }
        for node in nodes {
            if node.is_running() {
                progress(&format!("stopping {}", node.name()));
            }
            node.stop().await?;
        }
        Ok(())
    }

    /// Ends every node and removes the home folder: chains, keys, logs.
    pub async fn reset(home: impl AsRef<Path>, progress: Progress<'_>) -> Result<()> {
        let home = absolute(home.as_ref())?;
        if !home.exists() {
            return Ok(());
        }
        if !is_ours(&home)? {
            return Err(Error::NotOurs { home });
        }
        let _lock = lock(&home)?;
        match Self::open(&home) {
            Ok(net) => net.end_all(progress).await?,
            // Begun and never finished: no node ran.
            Err(Error::NotMade { .. }) => {}
            Err(error) => return Err(error),
        }
        progress(&format!("removing {}", home.display()));
        fs::remove_dir_all(&home).context("removing", &home)
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Chains, nodes and accounts.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A handle to the node with this name.
    pub fn node(&self, name: &str) -> Result<Node> {
        Node::new(self.plan.node(name)?.clone(), self.plan.wasmd.clone())
    }

    /// Handles to all nodes.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        self.plan
            .nodes()
            .map(|node| Node::new(node.clone(), self.plan.wasmd.clone()))
            .collect()
    }

    /// Handles to the nodes of one chain.
    pub fn nodes_of(&self, chain: &str) -> Result<Vec<Node>> {
        self.plan
            .chain(chain)?
            .nodes
            .iter()
            .map(|node| Node::new(node.clone(), self.plan.wasmd.clone()))
            .collect()
    }

    /// Adds a full node to a running chain and starts it. [`Node::caught_up`] waits until it has the state.
    pub async fn add_node(&mut self, chain: &str, name: &str, join: Join, options: &NodeOptions) -> Result<Node> {
        let sync = match join {
            Join::Genesis => None,
            Join::StateSync => Some(self.trusted_header(chain).await?),
        };
        let node = {
            let _lock = lock(&self.home)?;
            self.plan = Plan::read(&self.home)?;
            let plan = self.make_node(chain, name, sync.as_ref(), options)?;
            let known = self.plan.chains.iter_mut().find(|known| known.id == chain);
            known.into_iter().for_each(|known| known.nodes.push(plan.clone()));
            self.plan.write(&self.home)?;
            self.node(name)?
        };
        node.start()?;
        node.ready(READY).await?;
        Ok(node)
    }

    fn make_node(&self, chain: &str, name: &str, sync: Option<&StateSync>, options: &NodeOptions) -> Result<NodePlan> {
        let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if name.is_empty()
            || name.len() > 40
            || !name.bytes().all(valid)
            || self.plan.nodes().any(|node| node.name == name)
        {
            return Err(Error::BadName { name: name.into() });
        }
        let found = self.plan.chain(chain)?;
        let index = self
            .plan
            .chains
            .iter()
            .position(|known| known.id == chain)
            .unwrap_or_default() as u16;
        let free = (0..SLOTS).find(|slot| found.nodes.iter().all(|node| node.slot != *slot));
        let full = || Error::Full {
            node: name.into(),
            chain: chain.into(),
            slots: SLOTS,
        };
        let slot = free.ok_or_else(full)?;
        let ports = Ports::of(self.plan.base_port, index, slot)?;
        let home = self.home.join("nodes").join(name);
        if home.exists() {
            // Left behind by an attempt that did not get far enough to be in the plan.
            fs::remove_dir_all(&home).context("removing", &home)?;
        }
        let runs = self.runs(name, &home, options)?;
        let wasmd = Wasmd::new(&self.plan.wasmd, &runs.library.file)?;
        let mut node = NodePlan::new(home, chain, name, slot, ports, runs);
        genesis::init(&wasmd, &mut node)?;
        let first = found
            .nodes
            .first()
            .ok_or_else(|| Error::NotRunning { node: chain.into() })?;
        let from = first.home.join("config/genesis.json");
        fs::copy(&from, node.home.join("config/genesis.json")).context("copying", &from)?;
        let peers: Vec<_> = found.nodes.iter().map(NodePlan::peer).collect();
        genesis::configure(&node, &peers, sync)?;
        Ok(node)
    }

    fn runs(&self, name: &str, home: &Path, options: &NodeOptions) -> Result<Runs> {
        Ok(Runs {
            library: stage_library(name, &options.library, &self.home, BUILD_OURS)?,
            capability: options.capability,
            kernels: options.kernels,
            trace_file: options.kernels.map(|_| home.join("inferences.trace")),
            environment: options.environment.clone(),
        })
    }

    /// The header that a node which syncs its state is to trust: the one at the oldest snapshot there is, so that the one it
    /// takes is no older.
    async fn trusted_header(&self, chain: &str) -> Result<StateSync> {
        let nodes = self.nodes_of(chain)?;
        let peers: Vec<Node> = nodes.into_iter().filter(Node::is_running).collect();
        let [first, ..] = peers.as_slice() else {
            return Err(Error::NotRunning {
                node: format!("any node of {chain}"),
            });
        };
        let last = peers.last().unwrap_or(first);
        let limit = Duration::from_secs(4 * SNAPSHOT_INTERVAL);
        let end = Instant::now() + limit;
        let height = loop {
            if let Some(height) = peers.iter().filter_map(oldest_snapshot).min() {
                break height;
            }
            if Instant::now() >= end {
                return Err(Error::Late {
                    what: format!("a snapshot of {chain}"),
                    seconds: limit.as_secs(),
                });
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        // The light client of the new node asks for the next two headers as well.
        first.wait_height(height + 2, READY).await?;
        let trust_hash = first.block_hash(height).await?;
        Ok(StateSync {
            rpc: [first.plan().ports.rpc, last.plan().ports.rpc],
            trust_height: height,
            trust_hash,
        })
    }

    /// Stops a node, changes what it runs, and starts it again on the same data.
    pub async fn change_node(&mut self, name: &str, options: &NodeOptions) -> Result<Node> {
        self.node(name)?.stop().await?;
        {
            let _lock = lock(&self.home)?;
            self.plan = Plan::read(&self.home)?;
            let home = self.plan.node(name)?.home.clone();
            let runs = self.runs(name, &home, options)?;
            if let Some(node) = self.plan.node_mut(name) {
                node.runs = runs;
            }
            self.plan.write(&self.home)?;
        }
        let node = self.node(name)?;
        node.start()?;
        node.ready(READY).await?;
        Ok(node)
    }

    /// Ends a node and removes it with its data. The validators that a localnet is made with stay.
    pub async fn remove_node(&mut self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        if node.plan().validator {
            return Err(Error::Founder { node: name.into() });
        }
        node.stop().await?;
        let _lock = lock(&self.home)?;
        self.plan = Plan::read(&self.home)?;
        for chain in &mut self.plan.chains {
            chain.nodes.retain(|node| node.name != name);
        }
        self.plan.write(&self.home)?;
        fs::remove_dir_all(&node.plan().home).context("removing", &node.plan().home)
    }
}

impl Runs {
    fn new(library: Library) -> Self {
        Self {
            library,
            capability: false,
            kernels: None,
            trace_file: None,
            environment: BTreeMap::new(),
        }
    }
}

impl Chain {
    /// The RPC address of its first node.
    pub fn rpc_url(&self) -> Option<&str> {
        self.nodes.first().map(|node| node.rpc_url.as_str())
    }
}

/// The height of the oldest snapshot a node offers.
fn oldest_snapshot(node: &Node) -> Option<u64> {
    let entries = fs::read_dir(node.plan().home.join("data/snapshots")).ok()?;
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .min()
}

const LOCK: &str = "localnet.lock";

/// May this folder be used and removed as a whole? One that has our lock, and one without files.
fn is_ours(home: &Path) -> Result<bool> {
    if !home.exists() || home.join(LOCK).exists() {
        return Ok(true);
    }
    Ok(fs::read_dir(home).context("reading", home)?.next().is_none())
}

/// Only one program at a time changes a localnet. Released when dropped.
fn lock(home: &Path) -> Result<fs::File> {
    fs::create_dir_all(home).context("making", home)?;
    let path = home.join(LOCK);
    let file = fs::File::create(&path).context("opening", &path)?;
    file.lock().context("locking", &path)?;
    Ok(file)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).context("resolving", path)
}
