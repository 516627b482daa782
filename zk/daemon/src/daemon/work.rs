//! Jobs: the chain's word about them, and their proofs.

use std::collections::BTreeMap;

use aiinference_client::{printable, Node};
use aiinference_registry::msg::{Outcome, Request, Status};

use super::{pause_after, Daemon, LONGEST_PAUSE};
use crate::{
    error::Result,
    job::{Job, State},
    metrics,
    wallet::now,
    worker::{Proven, Task, Worker},
};

impl Daemon {
    /// Holds the chain's word about what is ours against what is remembered.
    pub(super) async fn reconcile(&mut self, node: &Node, ours: &[Request]) -> Result<()> {
        let me = self.wallet.address().to_string();
        let held: BTreeMap<u64, u64> = ours
            .iter()
            .filter_map(|request| match &request.status {
                Status::Taken { by, until } if by.as_str() == me && until.seconds() > self.time => {
                    Some((request.id, until.seconds()))
                }
                _ => None,
            })
            .collect();
        let open: Vec<(u64, u64)> = self
            .jobs
            .values()
            .filter(|job| !job.state.is_over() && job.sent.is_none())
            .map(|job| (job.request, job.until))
            .collect();
        for (request, until) in open {
            match held.get(&request) {
                Some(end) if *end == until => {}
                Some(end) => self.change(request, |job| job.until = *end)?,
                None => self.lost(node, request, ours).await?,
            }
        }
        // What is ours and unknown here was taken before the memory was lost.
        for request in ours.iter().filter(|request| held.contains_key(&request.id)) {
            let known = self
                .jobs
                .get(&request.id)
                .is_some_and(|job| !job.state.is_over() || matches!(job.state, State::Failed | State::Done));
            let offer = self.circuits.get(&request.circuit.code_id);
            let Some(name) = offer.filter(|_| !known).map(|circuit| circuit.name()) else {
                continue;
            };
            tracing::info!(
                request = request.id,
                "it is taken by this prover, and was not remembered"
            );
            let mut job = Job::new(request.id, &name, request.fee.to_string());
            job.state = State::Taken;
            job.until = held.get(&request.id).copied().unwrap_or(0);
            job.callback_gas = request.callback_gas.unwrap_or(0);
            self.put(job)?;
        }
        Ok(())
    }

    /// A job's request is not ours any more, or not for long enough.
    async fn lost(&mut self, node: &Node, request: u64, ours: &[Request]) -> Result<()> {
        if let Some(worker) = self.worker.take_if(|worker| worker.is_for(request)) {
            worker.cancel();
        }
        let late = ours.iter().any(|other| other.id == request);
        if late {
            // Failed, so that it is not taken again to the same end.
            return self.fail(
                request,
                "window",
                "its window passed before the proof was there; the bond is lost".into(),
            );
        }
        // A proof whose transaction is in no index may have been taken all the same.
        let found = self.registry.request(node, request).await?;
        let proven = match found.and_then(|found| found.result) {
            Some(Outcome::Proven(proof)) => proof.prover.as_str() == self.wallet.address(),
            _ => false,
        };
        if proven {
            return self.paid(request, String::new());
        }
        metrics::failed("lost");
        tracing::warn!(request, "it is not this prover's any more");
        let reason = "it ended, or another prover took it";
        self.change(request, |job| job.end(State::Lost, Some(reason.into())))
    }

    /// Begins the next proof, if none is being made.
    pub(super) async fn prove_next(&mut self, node: &Node) -> Result<()> {
        if self.worker.is_some() {
            return Ok(());
        }
        let waiting = self.jobs.values().filter(|job| {
            matches!(job.state, State::Taken | State::Proving) && job.sent.is_none() && job.not_before <= now()
        });
        let Some(job) = waiting.min_by_key(|job| (job.until, job.request)) else {
            let due = self.trials.iter().find(|(_, at)| **at <= now()).map(|(code, _)| *code);
            if let Some(circuit) = due.and_then(|code| self.circuits.get(&code)) {
                tracing::info!(circuit = circuit.offer.code_id, "measuring how long a proof takes");
                self.worker = Some(Worker::start(&self.tool, circuit, Task::Trial));
            }
            return Ok(());
        };
        let (id, attempts) = (job.request, job.attempts);
        let circuit = self.circuits.values().find(|circuit| circuit.name() == job.circuit);
        let Some(circuit) = circuit.cloned() else {
            return self.fail(id, "circuit", "its circuit is not in the configuration any more".into());
        };
        if attempts >= self.config.rules.attempts {
            return self.fail(
                id,
                "attempts",
                format!("{attempts} proofs were begun, and none was finished"),
            );
        }
        let Some(found) = self.registry.request(node, id).await? else {
            return Ok(());
        };
        let given = match circuit.given(&found.input, &self.private) {
            Ok(given) => given,
            Err(leave) => return self.fail(id, "input", leave.to_string()),
        };
        self.change(id, |job| {
            job.state = State::Proving;
            job.attempts = job.attempts.saturating_add(1);
        })?;
        tracing::info!(request = id, attempt = attempts + 1, "proving");
        let task = Task::Request {
            id,
            input: found.input,
            given,
        };
        self.worker = Some(Worker::start(&self.tool, &circuit, task));
        Ok(())
    }

    pub(super) fn fail(&mut self, request: u64, kind: &'static str, reason: String) -> Result<()> {
        metrics::failed(kind);
        tracing::error!(request, "given up: {}", printable(&reason));
        self.change(request, |job| job.end(State::Failed, Some(reason)))
    }

    /// A proof is there, or is not.
    pub(super) fn proven(&mut self, proven: Proven) -> Result<()> {
        let seconds = proven.took.as_secs_f64();
        let name = self.circuits.get(&proven.circuit).map(|circuit| circuit.name());
        let name = name.unwrap_or_default();
        match (proven.task, proven.answer) {
            (Task::Trial, Ok(_)) => {
                self.trials.remove(&proven.circuit);
                self.store.measure(&name, seconds)?;
                metrics::measured(&name, seconds);
                tracing::info!(circuit = proven.circuit, seconds, "a proof was made and verified");
                Ok(())
            }
            (Task::Trial, Err(reason)) => {
                self.trials.insert(proven.circuit, now() + LONGEST_PAUSE);
                metrics::error("measuring a circuit");
                tracing::error!(circuit = proven.circuit, "no proof was made: {}", printable(&reason));
                Ok(())
            }
            (Task::Request { id, .. }, Ok(answer)) => {
                self.trials.remove(&proven.circuit);
                self.store.measure(&name, seconds)?;
                if self.jobs.get(&id).is_none_or(|job| job.state != State::Proving) {
                    return Ok(());
                }
                metrics::proven(&name, seconds);
                tracing::info!(request = id, seconds, "proven");
                self.change(id, |job| {
                    job.state = State::Proven;
                    job.answer = Some(answer);
                    job.seconds = Some(seconds);
                    job.not_before = 0;
                })
            }
            (Task::Request { id, .. }, Err(reason)) => {
                metrics::error("proving");
                tracing::error!(request = id, "no proof was made: {}", printable(&reason));
                if self.jobs.get(&id).is_none_or(|job| job.state != State::Proving) {
                    return Ok(());
                }
                self.change(id, |job| {
                    job.state = State::Taken;
                    job.not_before = now() + pause_after(job.attempts);
                    job.error = Some(reason);
                })
            }
        }
    }
}
