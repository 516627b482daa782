//! What is measured, for Prometheus.

use std::net::SocketAddr;

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

use crate::error::{ProverError, Result};

/// Upper bounds of the histogram of seconds.
const SECONDS: [f64; 14] = [
    0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

/// Serves the metrics at an address on loopback.
pub fn serve(address: SocketAddr) -> Result<()> {
    let failed = |reason: String| ProverError::Local {
        doing: "serving metrics",
        reason: format!("{address}: {reason}"),
    };
    if !address.ip().is_loopback() {
        return Err(failed("metrics are served on loopback only".into()));
    }
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(PrometheusBuilder::install)
        .map_err(|error| failed(error.to_string()))?;
    describe_counter!("prover_requests_seen_total", "Open requests seen");
    describe_counter!("prover_requests_left_total", "Requests not taken, by reason");
    describe_counter!("prover_requests_taken_total", "Requests taken");
    describe_counter!("prover_requests_proven_total", "Requests proven");
    describe_counter!("prover_proofs_submitted_total", "Proofs given to a node");
    describe_counter!("prover_requests_paid_total", "Requests paid");
    describe_counter!(
        "prover_callbacks_deferred_total",
        "Proofs submitted without the callback, since it failed the transaction"
    );
    describe_counter!("prover_fees_earned_total", "What requests paid, by denom");
    describe_counter!(
        "prover_requests_failed_total",
        "Requests that were taken and not paid, by reason"
    );
    describe_counter!("prover_transactions_total", "Transactions, by purpose and result");
    describe_counter!("prover_gas_used_total", "Gas used by transactions");
    describe_counter!("prover_errors_total", "Errors, by what was being done");
    describe_gauge!("prover_queue", "Requests taken that are not submitted yet");
    describe_gauge!("prover_balance", "What the account has, by denom");
    describe_gauge!("prover_chain_height", "The last block looked at");
    describe_gauge!("prover_websocket_connected", "1 while the WebSocket is up");
    describe_histogram!("prover_proof_seconds", "How long a proof took, by circuit");
    Ok(())
}

pub fn seen() {
    counter!("prover_requests_seen_total").increment(1);
}

pub fn left(reason: &'static str) {
    counter!("prover_requests_left_total", "reason" => reason).increment(1);
}

pub fn taken() {
    counter!("prover_requests_taken_total").increment(1);
}

pub fn proven(circuit: &str, seconds: f64) {
    counter!("prover_requests_proven_total").increment(1);
    measured(circuit, seconds);
}

pub fn measured(circuit: &str, seconds: f64) {
    histogram!("prover_proof_seconds", "circuit" => circuit.to_string()).record(seconds);
}

pub fn submitted() {
    counter!("prover_proofs_submitted_total").increment(1);
}

pub fn paid(denom: &str, amount: u128) {
    counter!("prover_requests_paid_total").increment(1);
    let amount = u64::try_from(amount).unwrap_or(u64::MAX);
    counter!("prover_fees_earned_total", "denom" => denom.to_string()).increment(amount);
}

pub fn deferred() {
    counter!("prover_callbacks_deferred_total").increment(1);
}

pub fn failed(reason: &'static str) {
    counter!("prover_requests_failed_total", "reason" => reason).increment(1);
}

pub fn transaction(purpose: &'static str, result: &'static str, gas_used: u64) {
    counter!("prover_transactions_total", "purpose" => purpose, "result" => result).increment(1);
    counter!("prover_gas_used_total").increment(gas_used);
}

pub fn error(doing: &'static str) {
    counter!("prover_errors_total", "doing" => doing).increment(1);
}

pub fn queue(jobs: usize) {
    gauge!("prover_queue").set(jobs as f64);
}

pub fn balance(denom: &str, amount: u128) {
    gauge!("prover_balance", "denom" => denom.to_string()).set(amount as f64);
}

pub fn height(height: u64) {
    gauge!("prover_chain_height").set(height as f64);
}

pub fn connected(up: bool) {
    gauge!("prover_websocket_connected").set(if up { 1.0 } else { 0.0 });
}
