//! Inferences in numbers, as Prometheus reads them.
//!
//! | metric | labels | meaning |
//! |---|---|---|
//! | `aiinference_requests_total` | `outcome` | requests: `inferred`, `described`, `refused`, `out_of_gas`, `aborted` |
//! | `aiinference_inferences_total` | `model` | times a model ran |
//! | `aiinference_inference_seconds` | `model` | time of a request that ran one model; `plan` where it ran several |
//! | `aiinference_gas_total` | `model` | gas charged for such requests, in CosmWasm gas |
//! | `aiinference_model_cache_hits_total` | `model` | times it was at hand |
//! | `aiinference_model_cache_misses_total` | `model` | times it had to be read and validated |
//! | `aiinference_model_bytes` | `model` | decoded, when it was last used; 0 if the cache had no room for it |
//! | `aiinference_model_cache_bytes` | | decoded models held |
//! | `aiinference_build_info` | `version`, `kernels` | 1 |
//!
//! `model` is the checksum of its module.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Mutex, OnceLock, PoisonError},
};

use aiinference_types::v1::{self, response};
use aiinference_vm::{runtime::Answer, Observation, Observer};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use prost::Message;

use crate::version;

/// Models with a series of their own; further ones share `other`, so that uploaders cannot fill the node's memory.
const MAX_MODELS: usize = 1_000;
const OTHER: &str = "other";
const PLAN: &str = "plan";

/// Upper bounds of the histogram, in seconds: from a small tree to the largest call that a block holds.
const BUCKETS: [f64; 10] = [2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1];

/// Counts inferences.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    models: Mutex<HashSet<[u8; 32]>>,
}

/// Starts the listener, once a process, and gives what counts for it.
pub(crate) fn serve(address: SocketAddr, kernels: &'static str) -> Result<Counters, String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        PrometheusBuilder::new()
            .with_http_listener(address)
            .set_buckets_for_metric(Matcher::Full("aiinference_inference_seconds".to_string()), &BUCKETS)
            .and_then(PrometheusBuilder::install)
            .map_err(|error| error.to_string())
    });
    started.clone()?;
    gauge!("aiinference_build_info", "version" => version::OWN, "kernels" => kernels).set(1.0);
    Ok(Counters::default())
}

impl Counters {
    fn label(&self, checksum: &[u8; 32]) -> String {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(checksum) || (models.len() < MAX_MODELS && models.insert(*checksum)) {
            hex::encode(checksum)
        } else {
            OTHER.to_string()
        }
    }

    /// The label of a request's time and gas.
    fn request_label(&self, models: &[([u8; 32], bool)]) -> String {
        match models {
            [(checksum, _), rest @ ..] if rest.iter().all(|(other, _)| other == checksum) => self.label(checksum),
            _ => PLAN.to_string(),
        }
    }
}

/// What became of a request, in the words of the metric.
fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::OutOfGas { .. } => "out_of_gas",
        Answer::Abort { .. } => "aborted",
        Answer::Done { response, .. } => match v1::Response::decode(response.as_slice()).map(|r| r.result) {
            Ok(Some(response::Result::Infer(_))) => "inferred",
            Ok(Some(response::Result::ModelInfo(_))) => "described",
            Ok(Some(response::Result::Verify(_))) => "verified",
            _ => "refused",
        },
    }
}

impl Observer for Counters {
    fn answered(&self, observation: &Observation<'_>) {
        let outcome = outcome(observation.answer);
        counter!("aiinference_requests_total", "outcome" => outcome).increment(1);
        for ((checksum, cached), bytes) in observation.models.iter().zip(observation.model_bytes) {
            let label = self.label(checksum);
            gauge!("aiinference_model_bytes", "model" => label.clone()).set(*bytes as f64);
            let name = match cached {
                true => "aiinference_model_cache_hits_total",
                false => "aiinference_model_cache_misses_total",
            };
            counter!(name, "model" => label.clone()).increment(1);
            if outcome == "inferred" {
                counter!("aiinference_inferences_total", "model" => label).increment(1);
            }
        }
        if outcome == "inferred" {
            let label = self.request_label(observation.models);
            histogram!("aiinference_inference_seconds", "model" => label.clone()).record(observation.elapsed);
            if let Answer::Done { gas, .. } = observation.answer {
                counter!("aiinference_gas_total", "model" => label).increment(*gas);
            }
        }
        gauge!("aiinference_model_cache_bytes").set(observation.cached_bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_beyond_the_limit_share_a_label() {
        let counters = Counters::default();
        let checksum = |n: usize| {
            let mut checksum = [0; 32];
            checksum[..8].copy_from_slice(&n.to_be_bytes());
            checksum
        };
        for n in 0..MAX_MODELS {
            assert_eq!(counters.label(&checksum(n)), hex::encode(checksum(n)));
        }
        assert_eq!(counters.label(&checksum(MAX_MODELS)), OTHER);
        assert_eq!(counters.label(&checksum(3)), hex::encode(checksum(3)));
    }

    #[test]
    fn a_plan_of_one_model_counts_for_it_and_one_of_several_for_none() {
        let counters = Counters::default();
        let (a, b) = ([1; 32], [2; 32]);
        assert_eq!(counters.request_label(&[(a, true), (a, false)]), hex::encode(a));
        assert_eq!(counters.request_label(&[(a, true), (b, true)]), PLAN);
    }
}
