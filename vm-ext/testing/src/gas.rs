//! Gas: what backend calls cost, who pays, and the reports.
//!
//! All amounts are CosmWasm gas unless a name says SDK gas; [`SDK_GAS`] of the first are one of the second. Storage and
//! addresses cost what Cosmos SDK and wasmd charge by default. What wasmd charges around a call (loading the contract's
//! record, setting up an instance, events, the transaction's bytes) is not in these figures.

use std::{cell::RefCell, rc::Rc};

use cosmwasm_std::Addr;

/// CosmWasm gas of one SDK gas, as in wasmd.
pub const SDK_GAS: u64 = 140_000;

/// Gas limit of a transaction unless set otherwise: 100 million SDK gas.
pub const DEFAULT_TRANSACTION_LIMIT: u64 = 100_000_000 * SDK_GAS;
/// Gas limit of a query unless set otherwise: 3 million SDK gas, wasmd's default for smart queries.
pub const DEFAULT_QUERY_LIMIT: u64 = 3_000_000 * SDK_GAS;

/// Contracts that query one another may be this many deep, as in wasmd.
pub const MAX_QUERY_DEPTH: usize = 10;

/// The SDK's costs of a key-value store.
mod kv {
    pub const READ_FLAT: u64 = 1_000;
    pub const READ_BYTE: u64 = 3;
    pub const WRITE_FLAT: u64 = 2_000;
    pub const WRITE_BYTE: u64 = 30;
    pub const DELETE: u64 = 1_000;
    pub const NEXT: u64 = 30;
    /// A contract's keys lie behind a byte and its address of 32 bytes, which count, too.
    pub const PREFIX: u64 = 33;
}

/// Reading a value: 1,000 SDK gas and 3 a byte of key and value. A chain's own queries cost the same for request and
/// answer.
pub(crate) fn read(key: usize, value: usize) -> u64 {
    sdk(kv::READ_FLAT + (kv::PREFIX + bytes(key) + bytes(value)) * kv::READ_BYTE)
}

/// Writing a value: 2,000 SDK gas and 30 a byte of key and value.
pub(crate) fn write(key: usize, value: usize) -> u64 {
    sdk(kv::WRITE_FLAT + (kv::PREFIX + bytes(key) + bytes(value)) * kv::WRITE_BYTE)
}

/// Removing a value: 1,000 SDK gas.
pub(crate) fn delete() -> u64 {
    sdk(kv::DELETE)
}

/// One step of an iterator: 30 SDK gas and 3 a byte of what it found.
pub(crate) fn next(key: usize, value: usize) -> u64 {
    sdk(kv::NEXT + (kv::PREFIX + bytes(key) + bytes(value)) * kv::READ_BYTE)
}

/// From text to bytes: 4 SDK gas.
pub(crate) const CANONICALIZE: u64 = 4 * SDK_GAS;
/// From bytes to text: 5 SDK gas.
pub(crate) const HUMANIZE: u64 = 5 * SDK_GAS;
/// Both ways.
pub(crate) const VALIDATE: u64 = CANONICALIZE + HUMANIZE;

/// Lengths within a 32-bit guest's memory: no sum above overflows.
fn bytes(length: usize) -> u64 {
    (length as u64).min(1 << 32)
}

fn sdk(amount: u64) -> u64 {
    amount * SDK_GAS
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a response.
    Ok,
    /// With an error of the contract or the VM.
    Failed,
    /// With its gas used up.
    OutOfGas,
}

/// The gas of one call of a Wasm contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallGas {
    /// The contract.
    pub contract: Addr,
    /// The entry point's name.
    pub entry_point: &'static str,
    /// How many calls of Wasm contracts are around this one: more than 0 in a query of a contract.
    pub depth: usize,
    /// Gas that it could use.
    pub limit: u64,
    /// Gas of its instructions and host functions; inference is in here.
    pub used_internally: u64,
    /// Gas of storage and of queries, other contracts included.
    pub used_externally: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl CallGas {
    /// All gas of the call.
    pub fn used(&self) -> u64 {
        self.used_internally.saturating_add(self.used_externally)
    }
}

/// The gas of a transaction or a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GasReport {
    /// Gas that it could use.
    pub limit: u64,
    /// Gas that it used in sum.
    pub used: u64,
    /// Every call of a Wasm contract, in the order in which they began. A call's external gas contains the calls one
    /// deeper that follow it.
    pub calls: Vec<CallGas>,
}

impl GasReport {
    /// The sum in SDK gas, rounded up.
    pub fn sdk_gas(&self) -> u64 {
        self.used.div_ceil(SDK_GAS)
    }

    /// The calls of one contract.
    pub fn of<'a>(&'a self, contract: &'a Addr) -> impl Iterator<Item = &'a CallGas> {
        self.calls.iter().filter(move |call| call.contract == *contract)
    }
}

/// Gas limits of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasLimits {
    /// Of a transaction: every message of it, with all submessages.
    pub transaction: u64,
    /// Of a query from outside.
    pub query: u64,
}

impl Default for GasLimits {
    fn default() -> Self {
        GasLimits {
            transaction: DEFAULT_TRANSACTION_LIMIT,
            query: DEFAULT_QUERY_LIMIT,
        }
    }
}

/// All gas of the innermost scope has been used; or that of one around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of gas: {used} used of {limit} CosmWasm gas")]
pub(crate) struct OutOfGas {
    used: u64,
    limit: u64,
}

/// Counts gas in nested scopes: the transaction, its submessages with limits, queries. Cheap to clone; clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    limits: GasLimits,
    scopes: Vec<Scope>,
    calls: Vec<CallGas>,
    /// Indices into `calls` of those that run.
    running: Vec<usize>,
    last_transaction: GasReport,
    last_query: GasReport,
    last_submessage: Option<Submessage>,
}

/// What a finished submessage used, for the reply that may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submessage {
    pub(crate) sdk_gas: u64,
    pub(crate) response_type: String,
}

#[derive(Clone, Copy, Debug)]
struct Scope {
    limit: u64,
    used: u64,
    /// Whether the limit is what was left around the scope, so that its end is the end of what is around, too.
    cut: bool,
    out: bool,
}

/// What a scope came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) used: u64,
    pub(crate) out_of_gas: Option<OutOfGas>,
}

/// An open scope. Closes when dropped.
#[must_use]
pub(crate) struct OpenScope {
    meter: Meter,
    depth: usize,
}

impl OpenScope {
    pub(crate) fn close(self) -> Closed {
        let closed = self.meter.close(self.depth);
        std::mem::forget(self);
        closed
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        self.meter.close(self.depth);
    }
}

impl Meter {
    pub(crate) fn new(limits: GasLimits) -> Self {
        let meter = Meter::default();
        meter.0.borrow_mut().limits = limits;
        meter
    }

    pub(crate) fn limits(&self) -> GasLimits {
        self.0.borrow().limits
    }

    pub(crate) fn set_limits(&self, limits: GasLimits) {
        self.0.borrow_mut().limits = limits;
    }

    /// Opens a scope within the innermost one.
    pub(crate) fn open(&self, limit: u64) -> OpenScope {
        let state = &mut *self.0.borrow_mut();
        let around = state.scopes.last().map(|scope| scope.limit.saturating_sub(scope.used));
        let cut = around.is_some_and(|left| left < limit);
        state.scopes.push(Scope {
            limit: around.map_or(limit, |left| left.min(limit)),
            used: 0,
            cut,
            out: false,
        });
        OpenScope {
            meter: self.clone(),
            depth: state.scopes.len(),
        }
    }

    /// Closes the scope that was opened as the `depth`-th and charges what is around it.
    fn close(&self, depth: usize) -> Closed {
        let state = &mut *self.0.borrow_mut();
        let mut closed = Closed {
            used: 0,
            out_of_gas: None,
        };
        // More than one only if a panic skipped the closing of inner ones.
        while state.scopes.len() >= depth {
            let Some(scope) = state.scopes.pop() else { break };
            // What was charged beyond the limit is not paid: the SDK, too, reports consumption up to the limit.
            let paid = scope.used.min(scope.limit);
            if let Some(around) = state.scopes.last_mut() {
                around.used = around.used.saturating_add(paid);
                around.out |= scope.out && scope.cut;
            }
            closed = Closed {
                used: paid,
                out_of_gas: scope.out.then_some(OutOfGas {
                    used: scope.used,
                    limit: scope.limit,
                }),
            };
        }
        closed
    }

    /// Gas left in the innermost scope.
    pub(crate) fn remaining(&self) -> u64 {
        let state = self.0.borrow();
        state
            .scopes
            .last()
            .map_or(0, |scope| scope.limit.saturating_sub(scope.used))
    }

    /// Uses gas of the innermost scope.
    pub(crate) fn charge(&self, gas: u64) {
        if let Some(scope) = self.0.borrow_mut().scopes.last_mut() {
            scope.used = scope.used.saturating_add(gas);
            scope.out |= scope.used > scope.limit;
        }
    }

    /// Uses up the innermost scope.
    pub(crate) fn exhaust(&self) {
        if let Some(scope) = self.0.borrow_mut().scopes.last_mut() {
            scope.used = scope.used.max(scope.limit);
            scope.out = true;
        }
    }

    /// An error once any open scope is used up: nothing may run in it any more.
    pub(crate) fn check(&self) -> Result<(), OutOfGas> {
        let state = self.0.borrow();
        match state.scopes.iter().find(|scope| scope.out) {
            None => Ok(()),
            Some(scope) => Err(OutOfGas {
                used: scope.used,
                limit: scope.limit,
            }),
        }
    }

    /// Runs a transaction; within one, a part of it.
    pub(crate) fn transaction<T>(&self, action: impl FnOnce() -> T) -> T {
        self.outermost(|limits| limits.transaction, |state| &mut state.last_transaction, action)
    }

    /// Runs a query from outside; within a transaction or a query, a part of it.
    pub(crate) fn query<T>(&self, action: impl FnOnce() -> T) -> T {
        self.outermost(|limits| limits.query, |state| &mut state.last_query, action)
    }

    fn outermost<T>(
        &self,
        limit: fn(GasLimits) -> u64,
        report: fn(&mut State) -> &mut GasReport,
        action: impl FnOnce() -> T,
    ) -> T {
        if !self.0.borrow().scopes.is_empty() {
            return action();
        }
        let limit = limit(self.limits());
        {
            let state = &mut *self.0.borrow_mut();
            state.calls.clear();
            state.running.clear();
            state.last_submessage = None;
        }
        let scope = self.open(limit);
        let result = action();
        let used = scope.close().used;
        let state = &mut *self.0.borrow_mut();
        let calls = std::mem::take(&mut state.calls);
        *report(state) = GasReport { limit, used, calls };
        result
    }

    /// Notes that a Wasm contract begins to run; its number and gas limit.
    pub(crate) fn begin_call(&self, contract: &Addr, entry_point: &'static str) -> (usize, u64) {
        let limit = self.remaining();
        let state = &mut *self.0.borrow_mut();
        let number = state.calls.len();
        state.calls.push(CallGas {
            contract: contract.clone(),
            entry_point,
            depth: state.running.len(),
            limit,
            used_internally: 0,
            used_externally: 0,
            outcome: Outcome::Failed,
        });
        state.running.push(number);
        (number, limit)
    }

    /// Notes what it used, and charges the part that is not charged yet.
    pub(crate) fn end_call(&self, number: usize, used_internally: u64, used_externally: u64, outcome: Outcome) {
        self.charge(used_internally);
        if outcome == Outcome::OutOfGas {
            self.exhaust();
        }
        let state = &mut *self.0.borrow_mut();
        state.running.retain(|running| *running < number);
        if let Some(call) = state.calls.get_mut(number) {
            call.used_internally = used_internally;
            call.used_externally = used_externally;
            call.outcome = outcome;
        }
    }

    /// The Wasm contract that runs.
    pub(crate) fn running(&self) -> Option<Addr> {
        let state = self.0.borrow();
        let call = state.running.last().and_then(|&number| state.calls.get(number));
        call.map(|call| call.contract.clone())
    }

    /// How many Wasm contracts are running, each in a query of the one before.
    pub(crate) fn depth(&self) -> usize {
        self.0.borrow().running.len()
    }

    pub(crate) fn note_submessage(&self, submessage: Submessage) {
        self.0.borrow_mut().last_submessage = Some(submessage);
    }

    /// What the submessage used that ended last; once.
    pub(crate) fn take_submessage(&self) -> Option<Submessage> {
        self.0.borrow_mut().last_submessage.take()
    }

    pub(crate) fn last_transaction(&self) -> GasReport {
        self.0.borrow().last_transaction.clone()
    }

    pub(crate) fn last_query(&self) -> GasReport {
        self.0.borrow().last_query.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(limit: u64) -> Meter {
        Meter::new(GasLimits {
            transaction: limit,
            query: limit,
        })
    }

    #[test]
    fn a_scope_charges_what_is_around_it() {
        let meter = meter(100);
        meter.transaction(|| {
            meter.charge(10);
            let scope = meter.open(50);
            assert_eq!(meter.remaining(), 50);
            meter.charge(20);
            assert_eq!(scope.close().used, 20);
            assert_eq!(meter.remaining(), 70);
        });
        assert_eq!(meter.last_transaction().used, 30);
    }

    #[test]
    fn a_scope_that_is_used_up_by_its_own_limit_leaves_what_is_around_it_usable() {
        let meter = meter(100);
        meter.transaction(|| {
            let scope = meter.open(30);
            meter.exhaust();
            assert!(meter.check().is_err());
            assert!(scope.close().out_of_gas.is_some());
            assert_eq!(meter.check(), Ok(()));
            assert_eq!(meter.remaining(), 70);
        });
    }

    #[test]
    fn a_scope_cut_by_what_is_around_it_takes_that_along() {
        let meter = meter(100);
        meter.transaction(|| {
            let scope = meter.open(1_000);
            assert_eq!(meter.remaining(), 100);
            meter.exhaust();
            assert!(scope.close().out_of_gas.is_some());
            assert_eq!(meter.check(), Err(OutOfGas { used: 100, limit: 100 }));
        });
    }

    #[test]
    fn no_more_than_the_limit_is_paid() {
        let meter = meter(100);
        meter.transaction(|| {
            let scope = meter.open(30);
            meter.charge(45);
            let closed = scope.close();
            assert_eq!(closed.used, 30);
            assert_eq!(closed.out_of_gas, Some(OutOfGas { used: 45, limit: 30 }));
            assert_eq!(meter.remaining(), 70);
        });
    }

    #[test]
    fn exactly_the_limit_is_not_too_much() {
        let meter = meter(100);
        meter.transaction(|| {
            meter.charge(100);
            assert_eq!(meter.check(), Ok(()));
            meter.charge(1);
            assert!(meter.check().is_err());
        });
    }

    #[test]
    fn a_panic_leaves_no_scope_open() {
        let meter = meter(100);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            meter.transaction(|| {
                let _scope = meter.open(50);
                panic!("in a contract");
            })
        }));
        assert!(outcome.is_err());
        meter.query(|| assert_eq!(meter.remaining(), 100));
    }

    #[test]
    fn calls_are_reported_in_order_with_their_depth() {
        let meter = meter(1_000);
        let (a, b) = (Addr::unchecked("a"), Addr::unchecked("b"));
        meter.transaction(|| {
            let (outer, limit) = meter.begin_call(&a, "execute");
            assert_eq!(limit, 1_000);
            let scope = meter.open(400);
            let (inner, limit) = meter.begin_call(&b, "query");
            assert_eq!(limit, 400);
            meter.end_call(inner, 7, 0, Outcome::Ok);
            let used = scope.close().used;
            meter.end_call(outer, 5, used, Outcome::Ok);
        });
        let report = meter.last_transaction();
        assert_eq!(report.used, 12);
        let seen: Vec<_> = report
            .calls
            .iter()
            .map(|c| (c.contract.as_str(), c.depth, c.used()))
            .collect();
        assert_eq!(seen, [("a", 0, 12), ("b", 1, 7)]);
    }
}
