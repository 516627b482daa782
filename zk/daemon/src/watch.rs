//! Hears of new blocks, so that the daemon looks at once; that it looks anyway every few seconds is the daemon's own
//! business.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};

use aiinference_client::{Blocks, BlocksError, SILENCE};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, Instant},
};

use crate::metrics;

/// The first and the longest pause before connecting anew.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The nodes of a chain, of which one is asked until it fails.
#[derive(Clone, Debug)]
pub struct Urls {
    urls: Arc<[String]>,
    current: Arc<AtomicUsize>,
}

impl Urls {
    /// These nodes, the first one first.
    pub fn new(urls: &[String]) -> Self {
        Urls {
            urls: urls.into(),
            current: Arc::default(),
        }
    }

    /// The one that is asked at the moment.
    pub fn current(&self) -> &str {
        let at = self.current.load(Ordering::Relaxed) % self.urls.len().max(1);
        self.urls.get(at).map(String::as_str).unwrap_or_default()
    }

    /// Leaves the current one for the next one.
    pub fn leave(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that listens for ever.
#[derive(Debug)]
pub struct Watch {
    heights: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Starts to listen.
    pub fn start(urls: Urls) -> Self {
        let (said, heights) = watch::channel(0);
        let task = tokio::spawn(listen(urls, said));
        Watch { heights, task }
    }

    /// Waits until there is a block that was not told of yet.
    pub async fn next(&mut self) {
        if self.heights.changed().await.is_err() {
            // The task listens for ever; should it have ended, there is polling.
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(urls: Urls, said: watch::Sender<u64>) {
    let mut pause = PAUSE;
    let mut down = false;
    loop {
        let begun = Instant::now();
        let reason = match session(urls.current(), &said).await {
            Ok(()) => return,
            Err(BlocksError(reason)) => reason,
        };
        metrics::connected(false);
        if begun.elapsed() > SILENCE {
            pause = PAUSE;
            down = false;
        }
        // Said once.
        match down {
            false => tracing::info!(reason, "the WebSocket is down; polling until it is back"),
            true => tracing::debug!(reason, "the WebSocket is still down"),
        }
        down = true;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends well where nobody listens any more.
async fn session(url: &str, said: &watch::Sender<u64>) -> Result<(), BlocksError> {
    let mut blocks = Blocks::connect(url).await?;
    metrics::connected(true);
    tracing::debug!("the WebSocket is up");
    loop {
        let height = blocks.next().await?;
        if said.send(height).is_err() {
            return Ok(());
        }
    }
}
