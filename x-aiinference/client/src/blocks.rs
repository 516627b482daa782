//! Hearing of new blocks over a node's WebSocket.
//!
//! Only heights are heard. What is in a block is asked for over HTTP, where sizes are bounded; so a broken or lying
//! WebSocket costs time, and nothing else.

use std::time::Duration;

use futures::StreamExt;
use tendermint_rpc::{
    client::{CompatMode, WebSocketClient, WebSocketConfig},
    event::EventData,
    query::EventType,
    Subscription, SubscriptionClient, WebSocketClientUrl,
};
use tokio::{task::JoinHandle, time::timeout};

/// How long a WebSocket may be silent before it is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(30);

/// How long connecting, and subscribing, may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest message taken from a WebSocket. It holds the whole block and its results, of which only the height is
/// read: the library knows no smaller event.
const MAX_MESSAGE: usize = 16 << 20;

/// Why there is no WebSocket, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("following blocks over a WebSocket: {0}")]
pub struct BlocksError(pub &'static str);

/// A WebSocket that tells of new blocks.
#[derive(Debug)]
pub struct Blocks {
    /// Kept, since the subscription lasts as long as it does.
    _client: WebSocketClient,
    events: Subscription,
    driver: Driver,
}

impl Blocks {
    /// Connects to the node at an RPC address.
    pub async fn connect(url: &str) -> Result<Self, BlocksError> {
        let url: WebSocketClientUrl = websocket(url)
            .parse()
            .map_err(|_| BlocksError("the node's URL has no WebSocket"))?;
        let config = WebSocketConfig {
            max_message_size: Some(MAX_MESSAGE),
            max_frame_size: Some(MAX_MESSAGE),
            ..Default::default()
        };
        let connecting = WebSocketClient::builder(url)
            .compat_mode(CompatMode::V0_38)
            .config(config)
            .build();
        let connected = timeout(CONNECT, connecting).await;
        let (client, driver) = connected
            .map_err(|_| BlocksError("no answer in time"))?
            .map_err(|_| BlocksError("it cannot be reached"))?;
        let driver = Driver(tokio::spawn(async move {
            if let Err(error) = driver.run().await {
                tracing::debug!(%error, "the WebSocket ended");
            }
        }));
        let subscribed = timeout(CONNECT, client.subscribe(EventType::NewBlock.into())).await;
        let events = subscribed
            .map_err(|_| BlocksError("no answer in time"))?
            .map_err(|_| BlocksError("the node refuses a subscription"))?;
        Ok(Blocks {
            _client: client,
            events,
            driver,
        })
    }

    /// The height of the next block, as the node says it.
    pub async fn next(&mut self) -> Result<u64, BlocksError> {
        loop {
            match timeout(SILENCE, self.events.next()).await {
                Err(_) => return Err(BlocksError("it was silent for 30 s")),
                Ok(None) if self.driver.0.is_finished() => return Err(BlocksError("it broke")),
                Ok(None) => return Err(BlocksError("the node closed it")),
                Ok(Some(Err(_))) => return Err(BlocksError("it sends what is no event")),
                Ok(Some(Ok(event))) => {
                    if let Some(height) = height(&event.data) {
                        return Ok(height);
                    }
                }
            }
        }
    }
}

/// The task that moves the bytes; it ends with its owner.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The height of the block that an event tells of.
fn height(data: &EventData) -> Option<u64> {
    match data {
        EventData::NewBlock { block, .. } | EventData::LegacyNewBlock { block, .. } => {
            block.as_ref().map(|block| block.header.height.value())
        }
        _ => None,
    }
}

/// The WebSocket of a node.
fn websocket(url: &str) -> String {
    let base = url.trim_end_matches('/');
    let base = match base.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => base.to_string(),
    };
    format!("{base}/websocket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_websocket_is_beside_the_rpc() {
        assert_eq!(websocket("http://127.0.0.1:26657"), "ws://127.0.0.1:26657/websocket");
        assert_eq!(
            websocket("https://node.example/rpc/"),
            "wss://node.example/rpc/websocket"
        );
        assert_eq!(websocket("tcp://127.0.0.1:1"), "ws://127.0.0.1:1/websocket");
    }

    #[tokio::test]
    async fn what_is_no_node_is_no_websocket() {
        // Port 1 of this machine: nobody listens there.
        let error = Blocks::connect("http://127.0.0.1:1").await.unwrap_err();
        assert_eq!(error, BlocksError("it cannot be reached"));
    }
}
