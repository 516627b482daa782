//! Transactions: what is sent, and what became of it.

use std::time::{Duration, Instant};

use aiinference_client::{printable, ClientError, Coin, Node};
use aiinference_registry::msg::ExecuteMsg;

use super::{pause_after, Daemon};
use crate::{
    error::{ProverError, Result},
    job::{Job, State},
    metrics,
    wallet::{now, Fate},
};

/// How often a transaction that is in no block is given to a node again.
const AGAIN: Duration = Duration::from_secs(10);
/// How many blocks a transaction may be missing from the index after its sequence number was used.
const INDEX_BLOCKS: u64 = 3;
/// Failures in blocks that end a job.
const MAX_FAILED: u32 = 5;
/// Failures in blocks after which a proof is submitted without the callback, whatever they say.
const MAX_WITH_CALLBACK: u32 = 3;
/// Refusals outside blocks after which it is: a node that has just started may refuse more than one.
const MAX_TRIALS: u32 = 3;
/// What refusals say that are no callback's doing: the registry's own words, and those about fees and accounts.
const OWN: [&str; 8] = [
    "fulfilling a request: ",
    "reading outputs: ",
    "reading a proof: ",
    "account sequence mismatch",
    "insufficient f",
    "mempool is full",
    "looking up account",
    "unauthorized",
];

impl Daemon {
    /// What became of the transaction under way.
    pub(super) async fn resolve(&mut self, node: &Node) -> Result<()> {
        let Some(job) = self.sent() else { return Ok(()) };
        let (request, state) = (job.request, job.state);
        let Some(sent) = job.sent.clone() else { return Ok(()) };
        let fate = self.wallet.fate(node, &sent).await?;
        match fate {
            Fate::Included(included) => {
                let purpose = if state == State::Taking { "take" } else { "fulfil" };
                let result = if included.code == 0 { "done" } else { "failed" };
                metrics::transaction(purpose, result, included.gas_used);
                self.forget_sent();
                let (hash, log) = (included.hash.clone(), included.log.clone());
                match (state, included.code) {
                    (State::Taking, 0) => {
                        metrics::taken();
                        tracing::info!(request, transaction = hash, "taken");
                        self.change(request, |job| {
                            job.sent = None;
                            job.state = State::Taken;
                        })?;
                    }
                    (State::Taking, _) => {
                        tracing::info!(request, transaction = hash, "not taken: {}", printable(&log));
                        self.change(request, |job| job.end(State::Lost, Some(log)))?;
                    }
                    (_, 0) => self.paid(request, hash)?,
                    _ => {
                        self.refused(request, log, true)?;
                        self.give_up_after(request, MAX_FAILED)?;
                    }
                }
            }
            Fate::Used => {
                // The index may be a little behind.
                let since = *self.used_at.get_or_insert(self.height);
                if self.height >= since.saturating_add(INDEX_BLOCKS) {
                    tracing::warn!(
                        request,
                        transaction = sent.hash,
                        "another transaction used its sequence number; does another program use this key?"
                    );
                    self.forget_sent();
                    let next = if state == State::Taking {
                        State::Taken
                    } else {
                        State::Proven
                    };
                    // Whether it is ours says the chain, next.
                    self.change(request, |job| {
                        job.sent = None;
                        job.state = next;
                    })?;
                }
            }
            Fate::Waiting => {
                if self.told.is_none_or(|told| told.elapsed() >= AGAIN) {
                    self.broadcast(node, request).await?;
                }
            }
        }
        Ok(())
    }

    fn forget_sent(&mut self) {
        self.told = None;
        self.used_at = None;
    }

    /// Gives the job's transaction to the node.
    pub(super) async fn broadcast(&mut self, node: &Node, request: u64) -> Result<()> {
        let Some(sent) = self.jobs.get(&request).and_then(|job| job.sent.clone()) else {
            return Ok(());
        };
        self.told = Some(Instant::now());
        match self.wallet.broadcast(node, &sent).await {
            Ok(()) => {
                tracing::debug!(request, transaction = sent.hash, "sent");
                Ok(())
            }
            Err(ProverError::Chain(error @ ClientError::Refused { .. })) => {
                // Its number may just have been used by itself: then it is found next time.
                let used = self.wallet.sequence(node).await? > sent.sequence;
                if used {
                    return Ok(());
                }
                self.forget_sent();
                let taking = self.jobs.get(&request).is_some_and(|job| job.state == State::Taking);
                let reason = error.to_string();
                if taking {
                    self.leave_refused(request);
                    tracing::warn!(request, "not taken: {}", printable(&reason));
                    return self.change(request, |job| job.end(State::Lost, Some(reason)));
                }
                self.refused(request, reason, false)
            }
            Err(error) => {
                // The next node is told at once.
                self.told = None;
                Err(error)
            }
        }
    }

    /// A request was paid.
    pub(super) fn paid(&mut self, request: u64, transaction: String) -> Result<()> {
        let fee = self.jobs.get(&request).and_then(|job| job.fee.parse::<Coin>().ok());
        if let Some(fee) = &fee {
            metrics::paid(&fee.denom, fee.amount);
        }
        self.balance_read = None;
        tracing::info!(request, transaction, fee = fee.map(|fee| fee.to_string()), "paid");
        self.change(request, |job| {
            job.end(State::Done, None);
            job.transaction = Some(transaction).filter(|hash| !hash.is_empty());
        })
    }

    /// The chain did not take a proof. It is tried again as long as the window lasts: what costs nothing may mend itself. And the
    /// requester's callback must not cost the bond: where it may be what failed, the next try does without it, at once.
    fn refused(&mut self, request: u64, reason: String, in_block: bool) -> Result<()> {
        tracing::warn!(request, "the proof was not taken: {}", printable(&reason));
        let Some(job) = self.jobs.get(&request) else {
            return Ok(());
        };
        let hurried = job.until.saturating_sub(self.time) <= self.config.rules.margin_seconds;
        let defer = to_defer(job, &reason, in_block, hurried);
        let changes = defer && !job.defer;
        if changes {
            metrics::deferred();
            tracing::warn!(
                request,
                "trying it without the callback, which anybody may deliver then"
            );
        }
        self.change(request, |job| {
            job.sent = None;
            job.state = State::Proven;
            job.refusals = job.refusals.saturating_add(1);
            job.trials = job.trials.saturating_add(u32::from(!in_block));
            job.defer = defer;
            job.not_before = now() + if changes { 0 } else { pause_after(job.refusals) };
            job.error = Some(reason);
        })
    }

    /// Transactions that fail in a block are paid: not too many for one request.
    fn give_up_after(&mut self, request: u64, most: u32) -> Result<()> {
        let Some(job) = self.jobs.get(&request).filter(|job| job.failures() >= most) else {
            return Ok(());
        };
        let reason = job.error.clone().unwrap_or_default();
        self.fail(request, "refused", reason)
    }

    /// Submits the proof whose window ends first; whether there was one.
    pub(super) async fn submit_next(&mut self, node: &Node) -> Result<bool> {
        let ready = self
            .jobs
            .values()
            .filter(|job| job.state == State::Proven && job.not_before <= now());
        let Some(job) = ready.min_by_key(|job| (job.until, job.request)) else {
            return Ok(false);
        };
        let (request, defer) = (job.request, job.defer);
        // A callback may use less when it is tried than when it counts: after a failure, it gets all that was promised to it.
        let more = if job.refusals > 0 && !defer {
            job.callback_gas
        } else {
            0
        };
        let Some(answer) = job.answer.clone() else {
            // There is no such state but by a fault of ours.
            self.change(request, |job| job.state = State::Taken)?;
            return Ok(true);
        };
        let message = ExecuteMsg::Fulfil {
            id: request,
            outputs: answer.outputs,
            proof: answer.proof,
            defer,
        };
        let message = self.registry.message(self.wallet.address(), &message, Vec::new())?;
        match self.wallet.sign(node, &[message], more).await {
            Ok(sent) => {
                // Remembered first: whatever happens from here on, this is the one that was sent.
                self.change(request, |job| {
                    job.state = State::Submitting;
                    job.sent = Some(sent);
                })?;
                metrics::submitted();
                self.broadcast(node, request).await?;
            }
            Err(ProverError::Chain(
                error @ (ClientError::Refused { .. } | ClientError::NoAccount { .. } | ClientError::Estimate { .. }),
            )) => {
                self.refused(request, error.to_string(), false)?;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// Whether a job's proof is submitted without the callback after a refusal: `in_block` where the transaction was in one and failed
/// there, `hurried` where there is no time for many tries.
fn to_defer(job: &Job, reason: &str, in_block: bool, hurried: bool) -> bool {
    if job.callback_gas == 0 || job.defer {
        return job.defer;
    }
    let (seen, most) = if in_block {
        (job.failures(), MAX_WITH_CALLBACK)
    } else {
        (job.trials, MAX_TRIALS)
    };
    if seen.saturating_add(1) >= most {
        return true;
    }
    let own = OWN.iter().any(|own| reason.contains(own));
    // It had the gas that a trial used; next it gets all that the callback may use.
    let starved = in_block && seen == 0 && reason.contains("out of gas");
    // A trial may fail by its node alone, which has just started, say.
    let doubtful = !in_block;
    !own && (!(starved || doubtful) || hurried)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the callback after each of these refusals in a row, all of them in a block or none.
    fn deferred(callback_gas: u64, in_block: bool, hurried: bool, reasons: &[&str]) -> Vec<bool> {
        let mut job = Job::new(1, "ab", "5stake".into());
        job.callback_gas = callback_gas;
        let after = |reason: &&str| {
            job.defer = to_defer(&job, reason, in_block, hurried);
            job.refusals += 1;
            job.trials += u32::from(!in_block);
            job.defer
        };
        reasons.iter().map(after).collect()
    }

    const PANIC: &str = "recovered: Int overflow: panic";
    const OWN_FAULT: &str = "fulfilling a request: the proof does not show that: execute wasm contract failed";

    #[test]
    fn a_callback_that_fails_the_whole_transaction_is_deferred_at_once() {
        assert_eq!(deferred(9, true, false, &[PANIC, PANIC]), [true, true]);
        // A request without a callback has nothing to defer.
        assert_eq!(deferred(0, true, true, &[PANIC; 5]), [false; 5]);
    }

    #[test]
    fn a_trial_that_fails_is_repeated_before_the_callback_is_deferred() {
        assert_eq!(deferred(9, false, false, &[PANIC; 4]), [false, false, true, true]);
        let blocked = "tx gas limit exceeds block max gas";
        assert_eq!(deferred(9, false, false, &[blocked; 3]), [false, false, true]);
        // Unless time runs out.
        assert_eq!(deferred(9, false, true, &[blocked]), [true]);
    }

    #[test]
    fn a_fault_of_its_own_lets_the_callback_be_and_still_does_not_cost_the_window() {
        for own in [
            OWN_FAULT,
            "account sequence mismatch, expected 4, got 3",
            "insufficient fees",
        ] {
            assert_eq!(deferred(9, false, false, &[own; 4]), [false, false, true, true]);
            assert_eq!(deferred(9, true, false, &[own; 4]), [false, false, true, true]);
        }
    }

    #[test]
    fn a_callback_that_had_too_little_gas_gets_all_of_it_before_it_is_deferred() {
        let starved = "out of gas in location: wasm; gasWanted: 3, gasUsed: 4: out of gas";
        assert_eq!(deferred(9, true, false, &[starved; 3]), [false, true, true]);
        // Where time runs out, there is no second try.
        assert_eq!(deferred(9, true, true, &[starved]), [true]);
    }
}
