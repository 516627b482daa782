//! Real chains on one machine: a provider chain whose four validators run our libwasmvm, each on other kernels, and a
//! consumer chain with one validator on the stock library. Both run the same unmodified wasmd.
//!
//! Everything lives in one home folder, every port is on loopback, and nodes outlive the program that started them:
//! [`Localnet::open`] finds them again.
//!
//! ```no_run
//! # async fn example() -> aiinference_localnet::Result<()> {
//! use aiinference_localnet::{Localnet, PROVIDER};
//!
//! let net = Localnet::open("target/localnet")?;
//! let [first, second, ..] = &net.nodes_of(PROVIDER)?[..] else { return Ok(()) };
//! second.kill().await?;
//! let height = first.height().await?;
//! second.start()?;
//! second.wait_height(height, std::time::Duration::from_secs(60)).await?;
//! assert_eq!(first.app_hash(height).await?, second.app_hash(height).await?);
//! # Ok(())
//! # }
//! ```

pub mod accounts;
mod config;
mod error;
mod genesis;
mod logs;
mod net;
mod node;
mod plan;
mod process;
mod status;
mod wasmd;

pub use config::SNAPSHOT_INTERVAL;
pub use error::{Error, Result};
pub use logs::show as show_logs;
pub use net::{Join, Localnet, NodeOptions, Progress, Settings};
pub use node::Node;
pub use plan::{Account, Chain, Kernels, Library, NodePlan, Plan, Ports, Runs, CONSUMER, FILE, PROVIDER};
pub use process::Process;
pub use status::{ChainStatus, NodeStatus, Status};
pub use wasmd::LIBRARY;
