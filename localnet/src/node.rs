//! One node: its process, and what it says over RPC.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::prelude::{Engine, BASE64_STANDARD as STANDARD};
use nix::sys::signal::Signal;
use tendermint_rpc::client::CompatMode;
use tendermint_rpc::endpoint::status;
use tendermint_rpc::{Client, HttpClient, HttpClientUrl};

use crate::error::{Error, IoContext, Result};
use crate::plan::NodePlan;
use crate::process::{tail, Process};
use crate::wasmd::Wasmd;

/// A node gets this long to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A killed process is gone within this time.
const DEATH: Duration = Duration::from_secs(10);
/// One request over RPC.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request. CometBFT closes idle ones after ten seconds, and one that it is about
/// to close fails the request.
const IDLE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(200);

/// A handle to a node, which lives on when the handle is dropped.
#[derive(Clone, Debug)]
pub struct Node {
    plan: NodePlan,
    wasmd: PathBuf,
    rpc: HttpClient,
}

impl Node {
    pub(crate) fn new(plan: NodePlan, wasmd: PathBuf) -> Result<Self> {
        let failed = |cause| Error::Rpc {
            node: plan.name.clone(),
            url: plan.rpc_url.clone(),
            what: "an answer",
            cause,
        };
        let url: HttpClientUrl = plan
            .rpc_url
            .parse()
            .map_err(|error: tendermint_rpc::Error| failed(error.to_string()))?;
        let client = reqwest::Client::builder()
            // A proxy of this machine leads away from it.
            .no_proxy()
            .timeout(REQUEST)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let rpc = HttpClient::builder(url)
            .compat_mode(CompatMode::V0_38)
            .client(client)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { plan, wasmd, rpc })
    }

    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Where it lives and listens, and what it runs.
    pub fn plan(&self) -> &NodePlan {
        &self.plan
    }

    /// Its RPC, for everything that has no method here.
    pub fn rpc(&self) -> &HttpClient {
        &self.rpc
    }

    /// Its process; nothing if it does not run.
    pub fn process(&self) -> Option<Process> {
        Process::read(&self.plan.pid_file).filter(Process::is_alive)
    }

    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    fn running(&self) -> Result<Process> {
        self.process().ok_or_else(|| Error::NotRunning {
            node: self.plan.name.clone(),
        })
    }

    /// Starts its process; false if it ran already. Wait for [`Self::ready`] before asking it anything.
    pub fn start(&self) -> Result<bool> {
        let lock = self.plan.home.join("start.lock");
        let held = fs::File::create(&lock).context("opening", &lock)?;
        held.lock().context("locking", &lock)?;
        if self.is_running() {
            return Ok(false);
        }
        let wasmd = Wasmd::new(&self.wasmd, &self.plan.runs.library.file)?;
        self.check_ports()?;
        let command = wasmd.start(&self.plan.home, &self.plan.runs, self.plan.ports.metrics);
        Process::spawn(command, &self.plan.log_file)?.write(&self.plan.pid_file)?;
        Ok(true)
    }

    fn check_ports(&self) -> Result<()> {
        let ports = &self.plan.ports;
        let metrics = self.plan.runs.kernels.map(|_| ("metrics", ports.metrics));
        let listeners = [("peers", ports.p2p), ("rpc", ports.rpc), ("grpc", ports.grpc)]
            .into_iter()
            .chain(metrics);
        for (listener, port) in listeners {
            TcpListener::bind(("127.0.0.1", port)).map_err(|_| Error::PortTaken {
                node: self.plan.name.clone(),
                listener,
                port,
            })?;
        }
        Ok(())
    }

    /// Waits until its RPC answers, and checks that it runs on the library it should. A node that ends meanwhile is an error
    /// that shows why.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        self.until(limit, "an answer", async |node| Ok(node.rpc.status().await.is_ok()))
            .await?;
        self.maps_library().map(drop)
    }

    /// Waits until it has executed this block.
    pub async fn wait_height(&self, height: u64, limit: Duration) -> Result<()> {
        self.until(limit, &format!("block {height}"), async |node| {
            Ok(node.height().await? >= height)
        })
        .await
    }

    /// Waits until it has executed everything that the chain has, so far as its peers tell. It may take long, but not `limit`
    /// without a new block.
    pub async fn caught_up(&self, limit: Duration) -> Result<()> {
        let mut reached = 0;
        loop {
            let moved = async |node: &Node| {
                let sync = node.status().await?.sync_info;
                let height = sync.latest_block_height.value();
                Ok(height > reached || (!sync.catching_up && height > 0))
            };
            self.until(limit, &format!("a block after {reached}"), moved).await?;
            let sync = self.status().await?.sync_info;
            if !sync.catching_up {
                return Ok(());
            }
            reached = sync.latest_block_height.value();
        }
    }

    /// Asks again and again. Errors of RPC are no answer yet; the end of the process is the end.
    async fn until(&self, limit: Duration, what: &str, done: impl AsyncFn(&Node) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let answer = done(self).await;
            if matches!(answer, Ok(true)) {
                return Ok(());
            }
            if !self.is_running() {
                return Err(self.died());
            }
            if Instant::now() >= end {
                return Err(match answer {
                    Err(error) => error,
                    Ok(_) => Error::Late {
                        what: format!("{what} from {}", self.plan.name),
                        seconds: limit.as_secs(),
                    },
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) fn died(&self) -> Error {
        let node = self.plan.name.clone();
        if Process::read(&self.plan.pid_file).is_none() {
            return Error::NotRunning { node };
        }
        Error::Died {
            node,
            log: self.plan.log_file.clone(),
            tail: self.log_tail(25).unwrap_or_default(),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> Result<String> {
        tail(&self.plan.log_file, lines).context("reading", &self.plan.log_file)
    }

    /// Asks it to end, and kills it if it does not. Does nothing if it does not run.
    pub async fn stop(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return self.forget();
        };
        process.signal(Signal::SIGTERM);
        if !process.ended_within(PATIENCE).await {
            return self.kill().await;
        }
        self.forget()
    }

    /// Kills it, as a power cut would.
    pub async fn kill(&self) -> Result<()> {
        let Some(process) = self.process() else {
            return self.forget();
        };
        process.signal(Signal::SIGKILL);
        if !process.ended_within(DEATH).await {
            let node = self.plan.name.clone();
            return Err(Error::Immortal {
                node,
                pid: process.pid(),
                seconds: DEATH.as_secs(),
            });
        }
        self.forget()
    }

    /// Removes the pid file: a node without one was ended on purpose.
    fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.plan.pid_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing", &self.plan.pid_file)
            }
            _ => Ok(()),
        }
    }

    /// What it says of itself.
    pub async fn status(&self) -> Result<status::Response> {
        self.rpc
            .status()
            .await
            .map_err(|error| self.rpc_error("its status", error))
    }

    /// The latest block that it has executed and committed. Its status may tell of the next one: a block is stored before
    /// it is run.
    pub async fn height(&self) -> Result<u64> {
        let info = self.rpc.abci_info().await;
        let info = info.map_err(|error| self.rpc_error("its height", error))?;
        Ok(info.last_block_height.value())
    }

    /// The hash of its state after the block of this height, in hex. Also of its latest block, which no header states yet: two
    /// nodes that disagree stop there.
    pub async fn app_hash(&self, height: u64) -> Result<String> {
        const WHAT: &str = "its app hash";
        let info = self
            .rpc
            .abci_info()
            .await
            .map_err(|error| self.rpc_error(WHAT, error))?;
        if info.last_block_height.value() == height {
            // tendermint-rpc hands on the base64 text of this field as if it were the bytes.
            let hash = STANDARD.decode(info.last_block_app_hash.as_bytes());
            return Ok(hex::encode(hash.map_err(|error| self.rpc_error(WHAT, error))?));
        }
        let next = u32::try_from(height.saturating_add(1)).map_err(|_| self.rpc_error(WHAT, "no such height"))?;
        let answer = self
            .rpc
            .commit(next)
            .await
            .map_err(|error| self.rpc_error(WHAT, error))?;
        Ok(hex::encode(answer.signed_header.header.app_hash.as_bytes()))
    }

    /// The hash of the block of this height, in upper-case hex.
    pub async fn block_hash(&self, height: u64) -> Result<String> {
        const WHAT: &str = "a block's hash";
        let height = u32::try_from(height).map_err(|_| self.rpc_error(WHAT, "no such height"))?;
        let answer = self
            .rpc
            .commit(height)
            .await
            .map_err(|error| self.rpc_error(WHAT, error))?;
        Ok(answer.signed_header.commit.block_id.hash.to_string())
    }

    /// How many peers it has.
    pub async fn peers(&self) -> Result<u64> {
        Ok(self
            .rpc
            .net_info()
            .await
            .map_err(|error| self.rpc_error("its peers", error))?
            .n_peers)
    }

    /// Resident memory of its process.
    pub fn rss_bytes(&self) -> Result<u64> {
        self.running()?.rss_bytes().ok_or_else(|| Error::NotRunning {
            node: self.plan.name.clone(),
        })
    }

    /// The libwasmvm its process has mapped: exactly the one it was given, or an error.
    pub fn maps_library(&self) -> Result<PathBuf> {
        let mapped = self
            .running()?
            .maps("libwasmvm")
            .context("reading the maps of", &self.plan.name)?;
        let wanted = &self.plan.runs.library.file;
        match mapped.as_slice() {
            [one] if one == wanted => Ok(one.clone()),
            _ => Err(Error::OtherLibrary {
                node: self.plan.name.clone(),
                mapped: mapped
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" and "),
                wanted: wanted.clone(),
            }),
        }
    }

    fn rpc_error(&self, what: &'static str, cause: impl ToString) -> Error {
        Error::Rpc {
            node: self.plan.name.clone(),
            url: self.plan.rpc_url.clone(),
            what,
            cause: cause.to_string(),
        }
    }
}
