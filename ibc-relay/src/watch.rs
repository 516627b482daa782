//! Follows a chain block by block: over a WebSocket while there is one, by asking every now and then otherwise.
//!
//! The WebSocket only says that there is a new block. What is in it is asked for over HTTP, where sizes are bounded; so a
//! broken or lying WebSocket costs time, and nothing else.

use std::{sync::Arc, time::Duration};

use aiinference_client::{Blocks, BlocksError, SILENCE};
use tokio::{
    sync::{broadcast, watch},
    time::{sleep, timeout, Instant},
};

use crate::{
    chain::Chain,
    error::{RelayError, Result},
    light::Headers,
    metrics,
    packet::PacketEvent,
    said::Said,
};

/// How often the node is asked for its height when the WebSocket is silent.
const POLL: Duration = Duration::from_secs(1);

/// How long a node may tell of no new block, by whatever means, before another one is asked.
pub const STALLED: Duration = Duration::from_secs(20);

/// The first and the longest pause before connecting anew.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Blocks that are read one by one after a gap; above it chain state is scanned instead.
const MAX_GAP: u64 = 50;

/// How often in a row a node must name a lower height than the last one before it is believed: nodes lag, and lie.
const LOWER: u32 = 3;

/// Blocks that wait for whoever follows.
const QUEUE: usize = 256;

/// A block of a chain.
#[derive(Clone, Debug)]
pub struct Block {
    pub height: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// When it was heard of.
    pub heard: Instant,
    pub events: Vec<PacketEvent>,
    /// Whether blocks before it were skipped.
    pub gap: bool,
}

/// A chain that is being followed.
#[derive(Clone)]
pub struct Watched {
    blocks: broadcast::Sender<Arc<Block>>,
    height: watch::Receiver<u64>,
    doubts: Arc<watch::Sender<u64>>,
}

impl Watched {
    /// Starts to follow a chain.
    pub fn start(headers: Arc<Headers>) -> Self {
        let (blocks, _) = broadcast::channel(QUEUE);
        let (height, seen) = watch::channel(0);
        let (hint, hints) = watch::channel(0);
        let (doubt, doubts) = watch::channel(0);
        tokio::spawn(listen(headers.chain().clone(), hint));
        let follower = Follower {
            headers,
            last: 0,
            lower: 0,
            heard: Instant::now(),
            stalled: false,
            said: Said::default(),
            heights: height,
            blocks: blocks.clone(),
        };
        tokio::spawn(follower.run(hints, doubts));
        Watched {
            blocks,
            height: seen,
            doubts: Arc::new(doubt),
        }
    }

    /// All blocks from now on.
    pub fn blocks(&self) -> broadcast::Receiver<Arc<Block>> {
        self.blocks.subscribe()
    }

    /// The last block's height; 0 before the first.
    pub fn height(&self) -> watch::Receiver<u64> {
        self.height.clone()
    }

    /// A header of this chain did not verify: what was heard so far may be wrong. The next block is the one that the chain's
    /// node names then, be it a lower one.
    pub fn doubt(&self) {
        self.doubts.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Waits for a height.
    pub async fn wait(&self, height: u64) {
        let mut seen = self.height.clone();
        // An error means that the program ends.
        let _ = seen.wait_for(|seen| *seen >= height).await;
    }
}

/// Reads every block once it is there, and tells of it.
struct Follower {
    headers: Arc<Headers>,
    /// The last block that was told of; 0: none yet, or none that is believed any more.
    last: u64,
    /// How often in a row the node has named a lower height.
    lower: u32,
    /// When there was a new block, or a node was left for having none.
    heard: Instant,
    /// Whether there was none for so long that it was said.
    stalled: bool,
    said: Said,
    heights: watch::Sender<u64>,
    blocks: broadcast::Sender<Arc<Block>>,
}

impl Follower {
    async fn run(mut self, mut hints: watch::Receiver<u64>, mut doubts: watch::Receiver<u64>) {
        let mut failures = 0u32;
        loop {
            let hinted = tokio::select! {
                changed = hints.changed() => match changed {
                    Ok(()) => *hints.borrow_and_update(),
                    Err(_) => return,
                },
                changed = doubts.changed() => match changed {
                    Ok(()) => {
                        self.begin_anew();
                        0
                    }
                    Err(_) => return,
                },
                () = sleep(POLL) => 0,
            };
            let asked = self.headers.chain().current();
            let patience = (self.heard + STALLED).saturating_duration_since(Instant::now());
            let went = timeout(patience.max(POLL), self.go_on(hinted)).await;
            if self.heard.elapsed() >= STALLED {
                self.leave(asked);
            }
            match went {
                // It has not answered at all.
                Err(_) => {}
                Ok(Ok(())) => failures = 0,
                Ok(Err(error)) => {
                    failures = failures.saturating_add(1);
                    let chain = self.headers.chain().id();
                    if failures == 5 {
                        tracing::warn!(chain, %error, "the node fails again and again");
                    } else {
                        tracing::debug!(chain, %error, "reading the last block");
                    }
                    sleep((PAUSE * failures.min(8)).min(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    /// Leaves a node that tells of no block, even if it answers, and even if its WebSocket is up.
    fn leave(&mut self, node: usize) {
        let chain = self.headers.chain();
        let error = RelayError::NoBlock {
            chain: chain.id().into(),
            last: self.last,
            node: chain.url_of(node).into(),
            seconds: STALLED.as_secs(),
        };
        self.said.say(chain.id(), &error);
        metrics::error(chain.id());
        chain.leave(node);
        self.stalled = true;
        self.heard = Instant::now();
    }

    /// Believes nothing that was heard so far.
    fn begin_anew(&mut self) {
        self.last = 0;
        self.lower = 0;
        self.headers.forget();
    }

    /// Reads what is new. `hinted` is what the WebSocket says, tried as it is: a height that is none gives an error.
    async fn go_on(&mut self, hinted: u64) -> Result<()> {
        if self.last > 0 && hinted > self.last && hinted - self.last <= MAX_GAP {
            return self.catch_up(hinted).await;
        }
        let tip = self.headers.chain().tip().await?;
        if tip < self.last {
            self.lower += 1;
            if self.lower < LOWER {
                return Ok(());
            }
            tracing::warn!(
                chain = self.headers.chain().id(),
                height = tip,
                last = self.last,
                "the node's last block is lower than one that was heard of; going on from there"
            );
            self.begin_anew();
        }
        self.lower = 0;
        if tip > self.last {
            self.catch_up(tip).await?;
        }
        Ok(())
    }

    async fn catch_up(&mut self, target: u64) -> Result<()> {
        let heard = Instant::now();
        let chain = self.headers.chain().clone();
        let gap = self.last == 0 || target - self.last > MAX_GAP;
        let first = if gap { target } else { self.last + 1 };
        for height in first..=target {
            let (events, header) = tokio::join!(chain.packet_events(height), self.headers.header(height));
            // Without the events, everything else of the block still counts; the next scan finds what they told.
            let (events, lost) = match events {
                Ok(events) => (events, false),
                Err(error) => {
                    tracing::debug!(chain = chain.id(), height, %error, "reading a block's events");
                    (Vec::new(), true)
                }
            };
            let time = header?.header.time;
            let nanos = u64::try_from(time.unix_timestamp_nanos()).unwrap_or(0);
            self.last = height;
            self.heard = Instant::now();
            if std::mem::take(&mut self.stalled) {
                tracing::info!(chain = chain.id(), height, "there are new blocks again");
            }
            // Nobody may be listening.
            let _ = self.blocks.send(Arc::new(Block {
                height,
                time: nanos,
                heard,
                events,
                gap: gap && height == first || lost,
            }));
            self.heights.send_replace(height);
            metrics::height(chain.id(), height);
        }
        Ok(())
    }
}

/// Passes on the heights that a WebSocket tells of; connects again for ever.
async fn listen(chain: Arc<Chain>, hints: watch::Sender<u64>) {
    let mut pause = PAUSE;
    loop {
        let (begun, node) = (Instant::now(), chain.current());
        let Err(reason) = session(&chain, node, &hints).await else {
            return;
        };
        if hints.is_closed() {
            return;
        }
        metrics::connected(chain.id(), false);
        if begun.elapsed() > SILENCE {
            pause = PAUSE;
        }
        tracing::info!(
            chain = chain.id(),
            node = chain.url_of(node),
            reason = reason.0,
            "the WebSocket is down; polling until it is back"
        );
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        chain.leave(node);
    }
}

async fn session(chain: &Chain, node: usize, hints: &watch::Sender<u64>) -> Result<(), BlocksError> {
    let mut blocks = Blocks::connect(chain.url_of(node)).await?;
    metrics::connected(chain.id(), true);
    tracing::debug!(chain = chain.id(), "the WebSocket is up");
    loop {
        let height = blocks.next().await?;
        // Nobody listening means that the program ends.
        if hints.send(height).is_err() {
            return Ok(());
        }
    }
}
