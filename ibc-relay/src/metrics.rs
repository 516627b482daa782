//! What is measured, for Prometheus.

use std::{net::SocketAddr, time::Duration};

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

use crate::error::{RelayError, Result};

/// Upper bounds of the histograms of seconds, and of blocks.
const SECONDS: [f64; 16] = [
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 15.0, 60.0,
];
const BLOCKS: [f64; 10] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 30.0, 100.0];

/// Serves the metrics at an address on loopback.
pub fn serve(address: SocketAddr) -> Result<()> {
    let failed = |reason: String| RelayError::Local {
        doing: "serving metrics",
        reason: format!("{address}: {reason}"),
    };
    if !address.ip().is_loopback() {
        return Err(failed("metrics are served on loopback only".into()));
    }
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_blocks".into()), &BLOCKS))
        .and_then(PrometheusBuilder::install)
        .map_err(|error| failed(error.to_string()))?;
    describe_counter!("relay_packets_total", "Packet messages by channel, kind and result");
    describe_counter!("relay_transactions_total", "Transactions by chain and result");
    describe_counter!("relay_gas_used_total", "Gas used by transactions, by chain");
    describe_counter!("relay_gas_wanted_total", "Gas limits of transactions, by chain");
    describe_counter!("relay_fees_total", "Fees paid, by chain and denom");
    describe_counter!("relay_errors_total", "Errors by chain");
    describe_counter!("relay_scans_total", "Scans of chain state");
    describe_gauge!(
        "relay_pending_packets",
        "Packets under way, by channel and chain of origin"
    );
    describe_gauge!(
        "relay_oldest_pending_seconds",
        "Age of the oldest of them since this relayer saw it"
    );
    describe_gauge!("relay_client_left_seconds", "Trusting period left of a light client");
    describe_gauge!(
        "relay_client_stopped",
        "1 for a light client that takes no headers any more: frozen or expired"
    );
    describe_gauge!("relay_websocket_connected", "1 while the WebSocket to a chain is up");
    describe_gauge!("relay_chain_height", "The last block heard of");
    describe_gauge!("relay_wallet_balance", "What the account has, by chain and denom");
    describe_histogram!(
        "relay_roundtrip_seconds",
        "From hearing of a packet to hearing that it was acknowledged"
    );
    describe_histogram!(
        "relay_roundtrip_blocks",
        "Blocks of the sending chain from sending to acknowledgement"
    );
    describe_histogram!(
        "relay_submit_seconds",
        "From hearing of the block that made a proof possible to the transaction being with a node"
    );
    Ok(())
}

pub fn packets(channel: &str, kind: &'static str, result: &'static str, count: u64) {
    counter!("relay_packets_total", "channel" => channel.to_string(), "kind" => kind, "result" => result)
        .increment(count);
}

pub fn transaction(chain: &str, result: &'static str, gas_used: u64, gas_wanted: u64) {
    counter!("relay_transactions_total", "chain" => chain.to_string(), "result" => result).increment(1);
    counter!("relay_gas_used_total", "chain" => chain.to_string()).increment(gas_used);
    counter!("relay_gas_wanted_total", "chain" => chain.to_string()).increment(gas_wanted);
}

pub fn fee(chain: &str, denom: &str, amount: u128) {
    let amount = u64::try_from(amount).unwrap_or(u64::MAX);
    counter!("relay_fees_total", "chain" => chain.to_string(), "denom" => denom.to_string()).increment(amount);
}

pub fn error(chain: &str) {
    counter!("relay_errors_total", "chain" => chain.to_string()).increment(1);
}

pub fn scan() {
    counter!("relay_scans_total").increment(1);
}

pub fn pending(channel: &str, from: &str, count: usize, oldest: Duration) {
    gauge!("relay_pending_packets", "channel" => channel.to_string(), "from" => from.to_string()).set(count as f64);
    gauge!("relay_oldest_pending_seconds", "channel" => channel.to_string(), "from" => from.to_string())
        .set(oldest.as_secs_f64());
}

pub fn client_left(chain: &str, client: &str, left: Duration) {
    gauge!("relay_client_left_seconds", "chain" => chain.to_string(), "client" => client.to_string())
        .set(left.as_secs_f64());
}

pub fn client_stopped(chain: &str, client: &str, stopped: bool) {
    gauge!("relay_client_stopped", "chain" => chain.to_string(), "client" => client.to_string()).set(if stopped {
        1.0
    } else {
        0.0
    });
}

pub fn connected(chain: &str, up: bool) {
    gauge!("relay_websocket_connected", "chain" => chain.to_string()).set(if up { 1.0 } else { 0.0 });
}

pub fn height(chain: &str, height: u64) {
    gauge!("relay_chain_height", "chain" => chain.to_string()).set(height as f64);
}

pub fn balance(chain: &str, denom: &str, amount: u128) {
    gauge!("relay_wallet_balance", "chain" => chain.to_string(), "denom" => denom.to_string()).set(amount as f64);
}

pub fn round_trip(channel: &str, blocks: u64, time: Duration) {
    histogram!("relay_roundtrip_seconds", "channel" => channel.to_string()).record(time.as_secs_f64());
    histogram!("relay_roundtrip_blocks", "channel" => channel.to_string()).record(blocks as f64);
}

pub fn submitted(chain: &str, took: Duration) {
    histogram!("relay_submit_seconds", "chain" => chain.to_string()).record(took.as_secs_f64());
}
