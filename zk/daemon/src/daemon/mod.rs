//! The daemon. The chain's state is the truth: after each block it is read, held against what is remembered, and at most one
//! transaction is sent for what is to be done next.
//!
//! Nothing is done twice: a transaction is remembered before any node hears of it, only one is under way at a time, and as
//! long as its sequence number is free the very same bytes are sent again, not others.

mod send;
mod take;
mod work;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use aiinference_client::{printable, Coin, Node};
use aiinference_zk::{CircuitFolder, Tool};
use tendermint_rpc::endpoint::status;
use tokio::{sync::watch, time::sleep};

use crate::{
    circuit::Provable,
    config::Config,
    error::{ProverError, Result},
    job::{Job, State},
    metrics,
    private::PrivateInputs,
    registry::Registry,
    rules::Rules,
    status::Snapshot,
    store::{Owner, Store},
    wallet::{now, Wallet},
    watch::{Urls, Watch},
    worker::{Task, Worker},
};
use take::Left;

/// How often the chain is looked at while a transaction is under way and the WebSocket is silent.
const SOON: Duration = Duration::from_secs(1);
/// How often in a row a node must name a lower height than the last one before it is believed.
const LOWER: u32 = 3;
/// How often the balance is looked at for its metric.
const BALANCE: Duration = Duration::from_secs(30);
/// The longest pause after a failure.
const LONGEST_PAUSE: u64 = 60;
/// Jobs that are over and still remembered.
const KEPT: usize = 1000;

/// The daemon.
pub struct Daemon {
    config: Config,
    urls: Urls,
    node: Option<Node>,
    registry: Registry,
    wallet: Wallet,
    tool: Tool,
    circuits: BTreeMap<u64, Arc<Provable>>,
    private: PrivateInputs,
    store: Store,
    folder: PathBuf,
    jobs: BTreeMap<u64, Job>,
    worker: Option<Worker>,
    /// Circuits whose time is not known, and when it may be tried to learn it.
    trials: BTreeMap<u64, u64>,
    left: BTreeMap<u64, Left>,
    /// Where a list of requests that was too long is read on, by circuit.
    cursors: BTreeMap<u64, u64>,
    /// The last request seen, by circuit.
    newest: BTreeMap<u64, u64>,
    /// When all requests were read.
    scanned: Option<Instant>,
    height: u64,
    lower: u32,
    /// The last block's time: seconds since 1970.
    time: u64,
    /// When the transaction under way was last given to a node.
    told: Option<Instant>,
    /// The height at which its sequence number was first seen used.
    used_at: Option<u64>,
    balance: Vec<Coin>,
    balance_read: Option<Instant>,
}

/// Runs until `ending` becomes true.
pub async fn run(config: Config, mut ending: watch::Receiver<bool>) -> Result<()> {
    let Some(mut daemon) = Daemon::open(config, &mut ending).await? else {
        return Ok(());
    };
    let mut watch = Watch::start(daemon.urls.clone());
    tracing::info!(
        prover = daemon.wallet.address(),
        registry = daemon.config.chain.registry,
        circuits = daemon.circuits.len(),
        jobs = daemon.jobs.values().filter(|job| !job.state.is_over()).count(),
        "proving"
    );
    let mut failures = 0u32;
    loop {
        let looked = tokio::select! {
            biased;
            // Whatever the look was at: it is as if the program had been killed there, but for being told.
            _ = ending.wait_for(|ending| *ending) => break,
            looked = daemon.tick() => looked,
        };
        match looked {
            Ok(()) => failures = 0,
            // What cannot be remembered must not be done.
            Err(error @ ProverError::Store(_)) => {
                daemon.stop();
                return Err(error);
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                daemon.failed(&error, failures);
            }
        }
        let pause = daemon.pause(failures);
        let proven = async {
            match daemon.worker.as_mut() {
                Some(worker) => worker.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => break,
            answer = proven => {
                if let Some(worker) = daemon.worker.take() {
                    daemon.proven(worker.into_proven(answer))?;
                }
            }
            () = async { sleep(pause.0).await; watch.next().await }, if failures == 0 => {}
            () = sleep(pause.1) => {}
        }
    }
    daemon.stop();
    tracing::info!("ended");
    Ok(())
}

impl Daemon {
    /// Opens everything; None if it is to end before the chain could be reached.
    async fn open(config: Config, ending: &mut watch::Receiver<bool>) -> Result<Option<Self>> {
        let wrong = |reason: String| ProverError::Config {
            path: config.folder.clone(),
            reason,
        };
        let key = config.key()?;
        let price = config.chain.price().map_err(wrong)?;
        let mut folders = Vec::new();
        for circuit in &config.circuits {
            let path = config.path(&circuit.folder);
            let folder = CircuitFolder::open(&path).map_err(|source| ProverError::Circuit { path, source })?;
            let rules = Rules::new(&config.rules, circuit.minimum_fee.as_deref()).map_err(wrong)?;
            folders.push((circuit.code_id, Arc::new(folder), rules));
        }
        let tool = task_tool().await?;
        let urls = Urls::new(&config.chain.rpc);
        let registry = Registry::at(&config.chain.registry);
        let margin = config.chain.gas_margin;
        let mut key = Some(key);
        // A chain that cannot be reached yet is waited for; whatever else is wrong is told at once.
        let (node, wallet, circuits) = loop {
            let opened = async {
                let node = Node::connect(urls.current(), Some(&config.chain.id)).await?;
                registry.config(&node).await?;
                let mut circuits = BTreeMap::new();
                for (code_id, folder, rules) in &folders {
                    let found = Provable::find(&node, *code_id, folder.clone(), rules.clone()).await?;
                    circuits.insert(*code_id, Arc::new(found));
                }
                let prefix = node.prefix().await?;
                Ok::<_, ProverError>((node, prefix, circuits))
            };
            match opened.await {
                Ok((node, prefix, circuits)) => {
                    let Some(key) = key.take() else { continue };
                    break (node, Wallet::new(key, &prefix, price, margin)?, circuits);
                }
                Err(error) if error.is_nodes_fault() => {
                    tracing::warn!("{}; trying again", printable(&error.to_string()));
                    urls.leave();
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                _ = ending.wait_for(|ending| *ending) => return Ok(None),
                () = sleep(SOON * 2) => {}
            }
        };
        let owner = Owner::new(&config.chain.id, &config.chain.registry, wallet.address());
        let folder = config.path(&config.data);
        let store = Store::open(&folder, &owner)?;
        let jobs = store.jobs()?.into_iter().map(|job| (job.request, job)).collect();
        let mut daemon = Daemon {
            urls,
            node: Some(node),
            registry,
            wallet,
            tool,
            circuits,
            private: PrivateInputs::new(config.private_inputs.as_ref().map(|path| config.path(path))),
            store,
            folder,
            jobs,
            worker: None,
            trials: BTreeMap::new(),
            left: BTreeMap::new(),
            cursors: BTreeMap::new(),
            newest: BTreeMap::new(),
            scanned: None,
            height: 0,
            lower: 0,
            time: 0,
            told: None,
            used_at: None,
            balance: Vec::new(),
            balance_read: None,
            config,
        };
        daemon.resume()?;
        Ok(Some(daemon))
    }

    /// What a crash left half done.
    fn resume(&mut self) -> Result<()> {
        for (code_id, circuit) in &self.circuits {
            if self.store.measured(&circuit.name())?.proofs == 0 {
                self.trials.insert(*code_id, 0);
            }
        }
        let proving = self.jobs.values().filter(|job| job.state == State::Proving);
        let proving: Vec<u64> = proving.map(|job| job.request).collect();
        for request in proving {
            tracing::info!(request, "its proof was interrupted; proving it again");
            self.change(request, |job| job.state = State::Taken)?;
        }
        self.tell();
        Ok(())
    }

    /// Ends: a proof that is being made is begun anew next time, which is not its fault.
    fn stop(&mut self) {
        let Some(worker) = self.worker.take() else { return };
        worker.cancel();
        if let Task::Request { id, .. } = worker.task {
            let undone = self.change(id, |job| {
                job.state = State::Taken;
                job.attempts = job.attempts.saturating_sub(1);
            });
            if let Err(error) = undone {
                tracing::error!("{}", printable(&error.to_string()));
            }
        }
    }

    /// How long nothing is done after a look at the chain: before a new block wakes it, and at most.
    fn pause(&self, failures: u32) -> (Duration, Duration) {
        let busy = self.sent().is_some() || self.jobs.values().any(|job| !job.state.is_over());
        let most = if busy { SOON } else { self.config.poll() };
        if failures > 0 {
            let pause = Duration::from_millis(250) * 2u32.saturating_pow(failures.min(6));
            return (pause, pause);
        }
        (Duration::ZERO, most)
    }

    fn failed(&mut self, error: &ProverError, failures: u32) {
        metrics::error("looking at the chain");
        let text = printable(&error.to_string());
        // What else goes wrong again and again may be the node's fault as well.
        if error.is_nodes_fault() || failures.is_multiple_of(5) {
            self.node = None;
            self.urls.leave();
        }
        // The first one may be a node that restarts; and the same is not said all the time.
        match failures {
            1 => tracing::info!("{text}"),
            3 | 30 | 300 => tracing::error!(failures, "{text}"),
            _ => tracing::debug!("{text}"),
        }
    }

    /// Changes a job, and remembers it as it is then.
    fn change(&mut self, request: u64, how: impl FnOnce(&mut Job)) -> Result<()> {
        let Some(job) = self.jobs.get(&request) else {
            return Ok(());
        };
        let mut job = job.clone();
        how(&mut job);
        self.put(job)
    }

    fn put(&mut self, mut job: Job) -> Result<()> {
        job.changed = now();
        self.store.put(&job)?;
        tracing::debug!(request = job.request, state = job.state.name(), "remembered");
        let over = job.state.is_over();
        self.jobs.insert(job.request, job);
        if over {
            for old in self.store.prune(KEPT)? {
                self.jobs.remove(&old);
            }
        }
        self.tell();
        Ok(())
    }

    /// Tells of the jobs, for `status` and metrics.
    fn tell(&self) {
        let waiting = |job: &&Job| matches!(job.state, State::Taken | State::Proving | State::Proven);
        metrics::queue(self.jobs.values().filter(waiting).count());
        if let Err(error) = Snapshot::of(self.wallet.address(), self.jobs.values()).write(&self.folder) {
            tracing::warn!("{}", printable(&error.to_string()));
        }
    }

    /// The job whose transaction may still get into a block.
    fn sent(&self) -> Option<&Job> {
        self.jobs.values().find(|job| job.sent.is_some())
    }

    /// Looks at the chain, and does the next thing.
    async fn tick(&mut self) -> Result<()> {
        let node = self.node().await?;
        if !self.look(&node).await? {
            return Ok(());
        }
        self.resolve(&node).await?;
        let ours = self.registry.taken_by(&node, self.wallet.address()).await?;
        self.reconcile(&node, &ours).await?;
        self.prove_next(&node).await?;
        self.see_balance(&node).await?;
        if self.sent().is_none() && !self.submit_next(&node).await? {
            self.take_next(&node).await?;
        }
        Ok(())
    }

    async fn node(&mut self) -> Result<Node> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let node = Node::connect(self.urls.current(), Some(&self.config.chain.id)).await?;
        self.node = Some(node.clone());
        Ok(node)
    }

    /// Where the chain stands; false if the node is behind what was seen.
    async fn look(&mut self, node: &Node) -> Result<bool> {
        let info = node.rpc().call(status::Request).await?.sync_info;
        let height = info.latest_block_height.value();
        if height < self.height {
            self.lower += 1;
            if self.lower < LOWER {
                self.urls.leave();
                self.node = None;
                return Ok(false);
            }
            tracing::warn!(
                height,
                seen = self.height,
                "the node's last block is lower than one seen before"
            );
        }
        self.lower = 0;
        self.height = height;
        self.time = u64::try_from(info.latest_block_time.unix_timestamp()).unwrap_or(0);
        metrics::height(height);
        Ok(true)
    }

    async fn see_balance(&mut self, node: &Node) -> Result<()> {
        if self.balance_read.is_some_and(|read| read.elapsed() < BALANCE) {
            return Ok(());
        }
        self.balance = self.wallet.balance(node).await?;
        self.balance_read = Some(Instant::now());
        for coin in &self.balance {
            metrics::balance(&coin.denom, coin.amount);
        }
        Ok(())
    }
}

/// Seconds of pause after so many failures.
fn pause_after(failures: u32) -> u64 {
    2u64.saturating_pow(failures.min(10)).min(LONGEST_PAUSE)
}

/// ezkl, installed if it is not there.
async fn task_tool() -> Result<Tool> {
    let prepared = tokio::task::spawn_blocking(|| Tool::prepare(&mut |step: &str| tracing::info!("{step}")));
    let failed = |error: tokio::task::JoinError| ProverError::Local {
        doing: "preparing ezkl",
        reason: error.to_string(),
    };
    Ok(prepared.await.map_err(failed)??)
}
