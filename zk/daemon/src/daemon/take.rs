//! Requests that are taken, and those that are left.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use aiinference_client::{printable, ClientError, Node};
use aiinference_registry::msg::{ExecuteMsg, Request};

use super::Daemon;
use crate::{
    circuit::Provable,
    error::{ProverError, Result},
    job::{Job, State},
    metrics,
    rules::{judge, Leave, Standing, Terms},
    wallet::now,
};

/// Requests whose reason to be left is remembered.
const MAX_LEFT: usize = 10_000;
/// Seconds for which a request is left that the chain did not let us take.
const REFUSED_PAUSE: u64 = 5;
/// Seconds after which an input is looked for again that was not there.
const HIDDEN_PAUSE: u64 = 30;

/// Requests whose input is looked at for one to take.
const MAX_TRIED: usize = 20;

/// A request that may be taken, its circuit and how it is taken.
type Candidate = (Request, Arc<Provable>, Terms);

/// A request that is not taken.
#[derive(Debug)]
pub(super) struct Left {
    reason: &'static str,
    /// Not looked at again before: seconds since 1970; none: never again.
    until: Option<u64>,
}

impl Daemon {
    /// Takes the first of the requests that may be taken: the one whose deadline is nearest.
    pub(super) async fn take_next(&mut self, node: &Node) -> Result<()> {
        let mut candidates = self.candidates(node).await?;
        candidates.sort_by_key(|(request, ..)| (request.deadline, request.id));
        let many = candidates.len() > 1;
        for (request, circuit, terms) in candidates.into_iter().take(MAX_TRIED) {
            if self.take(node, request, &circuit, terms).await? {
                break;
            }
        }
        if many {
            // The others are not forgotten until all are read again.
            self.scanned = None;
        }
        Ok(())
    }

    /// Requests that may be taken. All are read every now and then, and meanwhile the new ones.
    async fn candidates(&mut self, node: &Node) -> Result<Vec<Candidate>> {
        let whole = self.cursors.is_empty() && self.scanned.is_none_or(|at| at.elapsed() >= self.config.poll());
        let mut candidates = Vec::new();
        let mut seen = BTreeSet::new();
        let circuits: Vec<Arc<Provable>> = self.circuits.values().cloned().collect();
        for circuit in circuits {
            // While no proof was ever made, nothing is promised.
            let Some(expected) = self.expected(&circuit)? else {
                continue;
            };
            let code_id = circuit.offer.code_id;
            let newest = self.newest.get(&code_id).copied().filter(|_| !whole);
            let after = self.cursors.remove(&code_id).or(newest);
            let (requests, more) = self.registry.pending(node, code_id, after).await?;
            if let Some(more) = more {
                self.cursors.insert(code_id, more);
            }
            if let Some(last) = requests.last() {
                let newest = self.newest.entry(code_id).or_default();
                *newest = last.id.max(*newest);
            }
            for request in requests {
                seen.insert(request.id);
                // Ours, or one that was given up.
                let known = |job: &Job| !job.state.is_over() || job.state == State::Failed;
                if self.is_left(request.id) || self.jobs.get(&request.id).is_some_and(known) {
                    continue;
                }
                let standing = Standing {
                    now: self.time,
                    me: self.wallet.address(),
                    balance: &self.balance,
                    expected,
                };
                match judge(&request, &circuit.offer, &circuit.rules, &standing) {
                    Ok(terms) => candidates.push((request, circuit.clone(), terms)),
                    Err(leave) => self.leave_for(request.id, &leave),
                }
            }
        }
        if whole {
            self.scanned = Some(Instant::now());
        }
        if whole && self.cursors.is_empty() || self.left.len() > MAX_LEFT {
            self.left.retain(|request, _| seen.contains(request));
        }
        Ok(candidates)
    }

    /// Takes a request, if it can be proven; whether a transaction was made for it.
    async fn take(&mut self, node: &Node, request: Request, circuit: &Provable, terms: Terms) -> Result<bool> {
        let id = request.id;
        let Some(found) = self.registry.request(node, id).await? else {
            return Ok(false);
        };
        if let Err(leave) = circuit.given(&found.input, &self.private) {
            self.leave_for(id, &leave);
            return Ok(false);
        }
        let message = ExecuteMsg::Take {
            id,
            min_seconds: Some(terms.min_seconds),
        };
        let bond = terms.bond;
        let funds = if bond.amount > 0 { vec![bond] } else { Vec::new() };
        let message = self.registry.message(self.wallet.address(), &message, funds)?;
        match self.wallet.sign(node, &[message], 0).await {
            Ok(sent) => {
                tracing::info!(request = id, fee = %request.fee, bond = %request.bond, "taking");
                if !self.left.contains_key(&id) {
                    metrics::seen();
                }
                let mut job = Job::new(id, &circuit.name(), request.fee.to_string());
                job.callback_gas = request.callback_gas.unwrap_or(0);
                job.sent = Some(sent);
                self.put(job)?;
                self.balance_read = None;
                self.broadcast(node, id).await?;
                Ok(true)
            }
            Err(ProverError::Chain(error @ (ClientError::Refused { .. } | ClientError::NoAccount { .. }))) => {
                // Another prover may have been quicker.
                tracing::warn!(request = id, "not taken: {}", printable(&error.to_string()));
                self.leave_refused(id);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Seconds until a proof of one more request will be there; None while a proof was never made.
    fn expected(&self, circuit: &Provable) -> Result<Option<f64>> {
        let own = self.store.measured(&circuit.name())?;
        if own.proofs == 0 {
            return Ok(None);
        }
        let mut seconds = own.seconds;
        for job in self.jobs.values() {
            if matches!(job.state, State::Taking | State::Taken | State::Proving) {
                seconds += self.store.measured(&job.circuit)?.seconds;
            }
        }
        Ok(Some(seconds))
    }

    fn is_left(&self, request: u64) -> bool {
        let left = self.left.get(&request);
        left.is_some_and(|left| left.until.is_none_or(|until| until > now()))
    }

    /// The chain does not let us take it now.
    pub(super) fn leave_refused(&mut self, request: u64) {
        self.leave(request, "refused", Some(now() + REFUSED_PAUSE));
    }

    fn leave_for(&mut self, request: u64, leave: &Leave) {
        if self.left.get(&request).map(|left| left.reason) != Some(leave.name()) {
            metrics::left(leave.name());
            tracing::info!(request, "left: {}", printable(&leave.to_string()));
        }
        let until = match leave {
            _ if leave.is_final() => None,
            // Its input may be put into the folder.
            Leave::Hidden => Some(now() + HIDDEN_PAUSE),
            // What may change is judged anew at the next look.
            _ => Some(0),
        };
        self.leave(request, leave.name(), until);
    }

    fn leave(&mut self, request: u64, reason: &'static str, until: Option<u64>) {
        if self.left.insert(request, Left { reason, until }).is_none() {
            metrics::seen();
        }
    }
}
