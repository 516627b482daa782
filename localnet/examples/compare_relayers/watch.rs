//! What happens on a chain, block by block, with the moment at which it was seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use aiinference_localnet::Node;
use anyhow::{Context, Result};
use futures::StreamExt;
use tendermint::abci::Event;
use tendermint_rpc::{
    client::CompatMode, event::EventData, query::EventType, Client, SubscriptionClient, WebSocketClient,
};

/// Events of transactions that a relayer sends.
const RELAYED: [&str; 4] = ["recv_packet", "acknowledge_packet", "timeout_packet", "update_client"];

/// How often it is looked for transactions that have arrived at a node.
const LOOK: Duration = Duration::from_millis(2);

/// What was seen of one chain.
#[derive(Default)]
pub struct Seen {
    /// When each block was committed, as its node told.
    pub commits: BTreeMap<u64, Instant>,
    /// In which block each packet was sent, received, and acknowledged, by sequence.
    pub sent: BTreeMap<u64, u64>,
    pub received: BTreeMap<u64, u64>,
    pub acknowledged: BTreeMap<u64, u64>,
    /// When a transaction came to the node that had none waiting.
    pub arrivals: Vec<Instant>,
    /// Transactions of relayers, and their gas.
    pub transactions: u64,
    pub gas: i64,
}

/// Watches a chain until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<Result<()>>,
    arrivals: tokio::task::JoinHandle<Result<()>>,
}

impl Watch {
    /// Follows the blocks of a node, and the packets that its chain sends over a channel.
    pub async fn start(node: &Node, port: &str, channel: &str) -> Result<Self> {
        let url = node.plan().rpc_url.replace("http://", "ws://") + "/websocket";
        let (client, driver) = WebSocketClient::builder(url.as_str().try_into()?)
            .compat_mode(CompatMode::V0_38)
            .build()
            .await
            .with_context(|| format!("connecting to {url}"))?;
        tokio::spawn(driver.run());
        let mut blocks = client.subscribe(EventType::NewBlock.into()).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let arrivals = tokio::spawn(arrivals(node.clone(), seen.clone()));
        let (node, port, channel, shared) = (node.clone(), port.to_owned(), channel.to_owned(), seen.clone());
        let task = tokio::spawn(async move {
            // Dropped, it would end the subscription.
            let _client = client;
            while let Some(event) = blocks.next().await {
                let now = Instant::now();
                let (EventData::NewBlock { block, .. } | EventData::LegacyNewBlock { block, .. }) = event?.data else {
                    continue;
                };
                let Some(block) = block else { continue };
                let height = block.header.height;
                lock(&shared).commits.insert(height.value(), now);
                let results = node.rpc().block_results(height).await?;
                let mut seen = lock(&shared);
                for transaction in results.txs_results.unwrap_or_default() {
                    let relayed = |event: &Event| RELAYED.contains(&event.kind.as_str());
                    if transaction.events.iter().any(relayed) {
                        seen.transactions += 1;
                        seen.gas += transaction.gas_used;
                    }
                    for event in &transaction.events {
                        if attribute(event, "packet_src_port") != Some(&port)
                            || attribute(event, "packet_src_channel") != Some(&channel)
                        {
                            continue;
                        }
                        let Some(sequence) = attribute(event, "packet_sequence").and_then(|text| text.parse().ok())
                        else {
                            continue;
                        };
                        match event.kind.as_str() {
                            "send_packet" => seen.sent.insert(sequence, height.value()),
                            "recv_packet" => seen.received.insert(sequence, height.value()),
                            "acknowledge_packet" => seen.acknowledged.insert(sequence, height.value()),
                            _ => None,
                        };
                    }
                }
            }
            Ok(())
        });
        Ok(Watch { seen, task, arrivals })
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Fails if it cannot see any more.
    pub fn check(&self) -> Result<()> {
        anyhow::ensure!(
            !self.task.is_finished() && !self.arrivals.is_finished(),
            "a node can be watched no longer"
        );
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
        self.arrivals.abort();
    }
}

/// Notes when transactions arrive at a node: what a relayer sends is seen there before it is in a block.
async fn arrivals(node: Node, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let url = format!("{}/num_unconfirmed_txs", node.plan().rpc_url);
    let client = reqwest::Client::new();
    let mut waiting = false;
    loop {
        let answer = client.get(&url).send().await?.bytes().await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let some = answer["result"]["n_txs"].as_str() != Some("0");
        if some && !waiting {
            lock(&seen).arrivals.push(Instant::now());
        }
        waiting = some;
        tokio::time::sleep(LOOK).await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn attribute<'a>(event: &'a Event, key: &str) -> Option<&'a str> {
    let found = event
        .attributes
        .iter()
        .find(|attribute| attribute.key_str().is_ok_and(|name| name == key));
    found.and_then(|attribute| attribute.value_str().ok())
}
