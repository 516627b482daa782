//! How the nodes are, and whether those of a chain agree.

use std::fmt::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::net::Localnet;
use crate::node::Node;

/// A node so many blocks behind the others of its chain is looked at again.
const BEHIND: u64 = 10;
/// After this long; if it has no new block then, it has stopped: the others execute what it refuses.
const LOOK_AGAIN: Duration = Duration::from_secs(4);

/// All chains and nodes at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub chains: Vec<ChainStatus>,
}

/// One chain.
#[derive(Clone, Debug, Serialize)]
pub struct ChainStatus {
    pub id: String,
    /// The height at which the state of its nodes was compared.
    pub compared_at: Option<u64>,
    /// Do all nodes have the same state there?
    pub agree: bool,
    pub nodes: Vec<NodeStatus>,
}

/// One node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub rpc_url: String,
    pub validator: bool,
    pub pid: Option<i32>,
    pub height: Option<u64>,
    /// Hash of the state at the compared height.
    pub app_hash: Option<String>,
    pub peers: Option<u64>,
    pub catching_up: Option<bool>,
    pub kernels: Option<String>,
    /// Hash of the library it runs.
    pub library: String,
    pub rss_bytes: Option<u64>,
    /// Was it never started, or ended on purpose? A node that does not run for another reason died.
    pub stopped: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Status {
    /// Asks every node.
    pub async fn of(net: &Localnet) -> Result<Self> {
        let mut chains = Vec::new();
        for chain in &net.plan().chains {
            chains.push(ChainStatus::of(&chain.id, &net.nodes_of(&chain.id)?).await);
        }
        Ok(Self { chains })
    }

    /// Does every node run and keep up, and do those of each chain agree?
    pub fn is_healthy(&self) -> bool {
        self.chains
            .iter()
            .all(|chain| chain.agree && chain.nodes.iter().all(|node| node.problem.is_none()))
    }
}

impl ChainStatus {
    async fn of(id: &str, nodes: &[Node]) -> Self {
        let mut states = Vec::new();
        for node in nodes {
            states.push(NodeStatus::of(node).await);
        }
        let best = states.iter().filter_map(|state| state.height).max().unwrap_or_default();
        if states.iter().any(|state| state.is_behind(best)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        for (node, state) in nodes.iter().zip(&mut states) {
            if state.is_behind(best) {
                state.judge_progress(node.height().await.ok(), best);
            }
        }
        let compared_at = states
            .iter()
            .filter(|state| state.is_comparable())
            .filter_map(|state| state.height)
            .min();
        if let Some(height) = compared_at {
            for (node, state) in nodes.iter().zip(&mut states) {
                state.app_hash = node.app_hash(height).await.ok();
            }
        }
        let agree = agree(&states);
        Self {
            id: id.into(),
            compared_at,
            agree,
            nodes: states,
        }
    }
}

/// Do all that have told their state tell the same?
fn agree(nodes: &[NodeStatus]) -> bool {
    let mut hashes = nodes.iter().filter_map(|node| node.app_hash.as_ref());
    let first = hashes.next();
    hashes.all(|hash| Some(hash) == first)
}

impl NodeStatus {
    async fn of(node: &Node) -> Self {
        let plan = node.plan();
        let mut state = Self {
            name: plan.name.clone(),
            rpc_url: plan.rpc_url.clone(),
            validator: plan.validator,
            kernels: plan.runs.kernels.map(|kernels| kernels.to_string()),
            library: plan.runs.library.sha256.clone(),
            ..Self::default()
        };
        let Some(process) = node.process() else {
            let error = node.died();
            state.stopped = matches!(error, Error::NotRunning { .. });
            state.problem = Some(error.to_string());
            return state;
        };
        state.pid = Some(process.pid());
        state.rss_bytes = process.rss_bytes();
        match node.status().await {
            Ok(status) => {
                state.height = Some(status.sync_info.latest_block_height.value());
                state.catching_up = Some(status.sync_info.catching_up);
                state.peers = node.peers().await.ok();
                state.problem = node.maps_library().err().map(|error| error.to_string());
            }
            Err(error) => state.problem = Some(error.to_string()),
        }
        state
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut problems = String::new();
        for chain in &self.chains {
            let verdict = match (chain.compared_at, chain.agree) {
                (None, _) => "no state to compare".into(),
                (Some(height), true) => format!("all nodes agree at height {height}"),
                (Some(height), false) => format!("NODES DIFFER at height {height}"),
            };
            writeln!(f, "{}: {verdict}", chain.id)?;
            let head = [
                "node", "pid", "height", "app hash", "peers", "kernels", "library", "memory", "state",
            ];
            let mut rows = vec![head.map(String::from)];
            for node in &chain.nodes {
                rows.push(node.row());
                if let Some(problem) = &node.problem {
                    writeln!(problems, "{problem}")?;
                }
            }
            table(f, &rows)?;
        }
        f.write_str(&problems)
    }
}

impl NodeStatus {
    /// Not so one without a block: it waits for a snapshot.
    fn is_behind(&self, best: u64) -> bool {
        let behind = best.saturating_sub(self.height.unwrap_or(best));
        self.problem.is_none() && self.height > Some(0) && behind > BEHIND
    }

    /// The others are compared at the last height of a node that stopped, not at one that a node passes in catching up.
    fn is_comparable(&self) -> bool {
        self.height > Some(0) && (self.catching_up == Some(false) || self.problem.is_some())
    }

    fn judge_progress(&mut self, later: Option<u64>, best: u64) {
        if later <= self.height {
            let (name, at) = (&self.name, self.height.unwrap_or_default());
            self.problem = Some(format!(
                "{name} stopped at height {at}, the others have {best}; see `logs {name}`"
            ));
        }
    }

    fn row(&self) -> [String; 9] {
        fn shown<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "-".into(), |value| value.to_string())
        }
        let state = match (self.pid, self.catching_up, &self.problem) {
            (None, ..) if self.stopped => "stopped",
            (None, ..) => "dead",
            (_, Some(true), None) => "catching up",
            (_, _, None) => "ok",
            (_, _, Some(_)) => "PROBLEM",
        };
        [
            self.name.clone(),
            shown(self.pid),
            shown(self.height),
            shown(
                self.app_hash
                    .as_ref()
                    .map(|hash| hash.chars().take(12).collect::<String>()),
            ),
            shown(self.peers),
            shown(self.kernels.as_ref()),
            self.library.chars().take(12).collect(),
            shown(self.rss_bytes.map(|bytes| format!("{} MiB", bytes >> 20))),
            state.into(),
        ]
    }
}

fn table<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(f, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, height: u64, hash: &str) -> NodeStatus {
        let (height, app_hash, catching_up) = (Some(height), Some(hash.into()), Some(false));
        NodeStatus {
            name: name.into(),
            pid: Some(1),
            height,
            app_hash,
            catching_up,
            ..NodeStatus::default()
        }
    }

    fn status(nodes: Vec<NodeStatus>) -> Status {
        let agree = agree(&nodes);
        Status {
            chains: vec![ChainStatus {
                id: "c".into(),
                compared_at: Some(7),
                agree,
                nodes,
            }],
        }
    }

    #[test]
    fn nodes_that_agree_are_healthy_also_a_block_apart() {
        let status = status(vec![node("a", 7, "aa"), node("b", 8, "aa")]);
        assert!(status.is_healthy());
        assert!(
            status.to_string().starts_with("c: all nodes agree at height 7\n"),
            "{status}"
        );
    }

    #[test]
    fn nodes_with_different_states_are_not_healthy() {
        let status = status(vec![node("a", 7, "aa"), node("b", 8, "bb"), node("c", 8, "aa")]);
        assert!(!status.is_healthy());
        assert!(status.to_string().contains("NODES DIFFER"), "{status}");
    }

    #[test]
    fn a_node_behind_that_stands_still_is_a_problem_and_one_that_moves_is_none() {
        assert!(node("a", 7, "aa").is_behind(40));
        assert!(!node("a", 39, "aa").is_behind(40));
        assert!(!node("a", 0, "").is_behind(40), "one that waits for a snapshot");

        let mut moves = node("a", 7, "aa");
        moves.judge_progress(Some(9), 40);
        assert!(status(vec![moves, node("b", 40, "aa")]).is_healthy());
        for later in [Some(7), None] {
            let mut stands = node("a", 7, "aa");
            stands.judge_progress(later, 40);
            let status = status(vec![stands, node("b", 40, "aa")]);
            assert!(!status.is_healthy());
            assert!(
                status.to_string().contains("a stopped at height 7, the others have 40"),
                "{status}"
            );
        }
    }
}
