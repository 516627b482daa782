//! What must be, by the written rules alone: which messages are taken, and what everybody has after each of them. It knows nothing
//! of how the contract does it.

use std::collections::{BTreeMap, BTreeSet};

use aiinference_registry::msg::{ExecuteMsg, HeavyRequest, Mode};
use cosmwasm_std::{Addr, Coin, Timestamp, Uint256};

/// An account and a denom.
type Purse = (String, String);

#[derive(Clone, Debug, PartialEq)]
enum State {
    Open,
    Taken { by: Addr, until: Timestamp },
    Kept,
    Undelivered,
}

#[derive(Clone, Debug)]
struct Entry {
    requester: Addr,
    fee: Coin,
    bond: Coin,
    accept_unapproved: bool,
    prover: Option<String>,
    window: u64,
    deadline: Timestamp,
    callback_gas: Option<u64>,
    state: State,
}

/// What a message comes with, beside what it says.
pub struct Said<'a> {
    pub sender: &'a Addr,
    pub funds: &'a [Coin],
    pub now: Timestamp,
    /// Whether input, outputs and proof are what they should be.
    pub right: bool,
    /// Whether a callback failed that the message ran, as the chain says.
    pub callback_failed: bool,
}

/// The least that is paid, by denom: fee and bond.
pub type Terms = BTreeMap<String, (u128, u128)>;

pub struct Ledger {
    pub registry: Addr,
    pub admin: Addr,
    pub terms: Terms,
    pub max_requests: usize,
    /// The circuit that all requests are on.
    pub circuit: u64,
    pub approved: bool,
    pub blocked: BTreeSet<String>,
    balances: BTreeMap<Purse, u128>,
    claims: BTreeMap<Purse, u128>,
    entries: BTreeMap<u64, Entry>,
    last: u64,
}

/// Nothing is taken.
struct Refused;

fn units(amount: Uint256) -> u128 {
    amount.to_string().parse().unwrap()
}

fn allow(allowed: bool) -> Result<(), Refused> {
    allowed.then_some(()).ok_or(Refused)
}

impl Ledger {
    pub fn new(registry: Addr, admin: Addr, circuit: u64, terms: Terms, max_requests: usize) -> Self {
        Ledger {
            registry,
            admin,
            terms,
            max_requests,
            circuit,
            approved: true,
            blocked: BTreeSet::new(),
            balances: BTreeMap::new(),
            claims: BTreeMap::new(),
            entries: BTreeMap::new(),
            last: 0,
        }
    }

    pub fn mint(&mut self, account: &Addr, amount: u128, denom: &str) {
        *self
            .balances
            .entry((account.to_string(), denom.to_owned()))
            .or_default() += amount;
    }

    pub fn balance(&self, account: &Addr, denom: &str) -> u128 {
        let purse = (account.to_string(), denom.to_owned());
        self.balances.get(&purse).copied().unwrap_or_default()
    }

    pub fn claim(&self, account: &Addr, denom: &str) -> u128 {
        let purse = (account.to_string(), denom.to_owned());
        self.claims.get(&purse).copied().unwrap_or_default()
    }

    /// The taker of a request, if it is taken.
    pub fn taker(&self, id: u64) -> Option<Addr> {
        match &self.entries.get(&id)?.state {
            State::Taken { by, .. } => Some(by.clone()),
            _ => None,
        }
    }

    pub fn requester(&self, id: u64) -> Option<Addr> {
        self.entries.get(&id).map(|entry| entry.requester.clone())
    }

    pub fn bond(&self, id: u64) -> Option<Coin> {
        self.entries.get(&id).map(|entry| entry.bond.clone())
    }

    pub fn running(&self) -> Vec<u64> {
        let running = |entry: &Entry| matches!(entry.state, State::Open | State::Taken { .. });
        self.ids(running)
    }

    /// Those that are taken, and whose time is not up.
    pub fn held(&self, now: Timestamp) -> Vec<u64> {
        self.ids(|entry| matches!(entry.state, State::Taken { until, .. } if now < until))
    }

    pub fn undelivered(&self) -> Vec<u64> {
        self.ids(|entry| entry.state == State::Undelivered)
    }

    pub fn ended(&self) -> Vec<u64> {
        self.ids(|entry| matches!(entry.state, State::Kept | State::Undelivered))
    }

    fn ids(&self, which: impl Fn(&Entry) -> bool) -> Vec<u64> {
        let found = self.entries.iter().filter(|(_, entry)| which(entry));
        found.map(|(id, _)| *id).collect()
    }

    /// What the registry holds for others.
    pub fn owed(&self, denom: &str) -> u128 {
        let held = self.entries.values().filter(|entry| entry.fee.denom == denom);
        let held: u128 = held
            .map(|entry| match entry.state {
                State::Open => units(entry.fee.amount),
                State::Taken { .. } => units(entry.fee.amount) + units(entry.bond.amount),
                State::Kept | State::Undelivered => 0,
            })
            .sum();
        let claims = self.claims.iter().filter(|((_, of), _)| of == denom);
        held + claims.map(|(_, amount)| amount).sum::<u128>()
    }

    /// Takes a message, if it is one to be taken; whether it is. A callback is one that the chain tells of.
    pub fn take(&mut self, said: &Said, msg: &ExecuteMsg) -> bool {
        // As a chain does: all of it, or nothing. Entries change last, when nothing is refused any more.
        let before = (self.balances.clone(), self.claims.clone());
        let done = self.pay_in(said).and_then(|()| self.apply(said, msg)).is_ok();
        if !done {
            (self.balances, self.claims) = before;
        }
        done
    }

    fn pay_in(&mut self, said: &Said) -> Result<(), Refused> {
        let registry = self.registry.clone();
        for coin in said.funds {
            self.send(said.sender, &registry, coin)?;
        }
        Ok(())
    }

    fn send(&mut self, from: &Addr, to: &Addr, coin: &Coin) -> Result<(), Refused> {
        let amount = units(coin.amount);
        let purse = (from.to_string(), coin.denom.clone());
        let left = self.balances.entry(purse).or_default();
        *left = left.checked_sub(amount).ok_or(Refused)?;
        self.mint(to, amount, &coin.denom);
        Ok(())
    }

    /// Pays what is due; what the chain does not send may be claimed.
    fn pay(&mut self, to: &Addr, coin: &Coin) -> Result<(), Refused> {
        if self.blocked.contains(to.as_str()) {
            *self.claims.entry((to.to_string(), coin.denom.clone())).or_default() += units(coin.amount);
            return Ok(());
        }
        let registry = self.registry.clone();
        self.send(&registry, to, coin)
    }

    fn apply(&mut self, said: &Said, msg: &ExecuteMsg) -> Result<(), Refused> {
        if !matches!(msg, ExecuteMsg::Request(_) | ExecuteMsg::Take { .. }) {
            allow(said.funds.is_empty())?;
        }
        match msg {
            ExecuteMsg::Request(msg) => self.request(said, msg),
            ExecuteMsg::Take { id, min_seconds } => self.begin(said, *id, *min_seconds),
            ExecuteMsg::Fulfil { id, defer, .. } => {
                let entry = self.entry(*id)?;
                let State::Taken { by, until } = &entry.state else {
                    return Err(Refused);
                };
                allow(by == said.sender && said.now < *until && said.right && self.accepts(&entry))?;
                for coin in [&entry.fee, &entry.bond] {
                    self.pay(by, coin)?;
                }
                self.end(said, *id, *defer);
                Ok(())
            }
            ExecuteMsg::Expire { id, defer } => self.expire(said, *id, *defer),
            ExecuteMsg::Cancel { id } => {
                let entry = self.entry(*id)?;
                allow(entry.requester == *said.sender)?;
                self.pay(&entry.requester, &entry.fee)?;
                if let State::Taken { by, until } = &entry.state {
                    allow(*until <= said.now)?;
                    // Who was not allowed to fulfil has done nothing wrong.
                    let whose = if self.accepts(&entry) { &entry.requester } else { by };
                    self.pay(whose, &entry.bond)?;
                }
                self.entries.remove(id);
                Ok(())
            }
            ExecuteMsg::Deliver { id, gas_limit } => {
                let entry = self.ended_entry(*id)?;
                let enough = entry.callback_gas.is_some_and(|gas| *gas_limit >= gas);
                let own = entry.requester == *said.sender;
                allow(entry.state == State::Undelivered && (enough || own) && !said.callback_failed)?;
                self.entries.remove(id);
                Ok(())
            }
            ExecuteMsg::Discard { id } => {
                allow(self.ended_entry(*id)?.requester == *said.sender)?;
                self.entries.remove(id);
                Ok(())
            }
            ExecuteMsg::Claim { denom, receiver } => {
                let receiver = receiver.as_ref().map_or(said.sender.clone(), Addr::unchecked);
                let purse = (said.sender.to_string(), denom.clone());
                let amount = self.claims.remove(&purse).ok_or(Refused)?;
                allow(receiver != self.registry && !self.blocked.contains(receiver.as_str()))?;
                self.pay(&receiver, &Coin::new(amount, denom))
            }
            ExecuteMsg::ApproveCircuit { approved, .. } => {
                allow(*said.sender == self.admin)?;
                self.approved = *approved;
                Ok(())
            }
            other => panic!("the ledger does not know {other:?}"),
        }
    }

    fn accepts(&self, entry: &Entry) -> bool {
        entry.accept_unapproved || self.approved
    }

    /// A request that runs.
    fn entry(&self, id: u64) -> Result<Entry, Refused> {
        let entry = self.entries.get(&id).ok_or(Refused)?;
        allow(matches!(entry.state, State::Open | State::Taken { .. }))?;
        Ok(entry.clone())
    }

    fn ended_entry(&self, id: u64) -> Result<Entry, Refused> {
        let entry = self.entries.get(&id).ok_or(Refused)?;
        allow(matches!(entry.state, State::Kept | State::Undelivered))?;
        Ok(entry.clone())
    }

    fn request(&mut self, said: &Said, msg: &HeavyRequest) -> Result<(), Refused> {
        let [fee] = said.funds else { return Err(Refused) };
        let (min_fee, min_bond) = *self.terms.get(&fee.denom).ok_or(Refused)?;
        let bond = msg.bond.map_or(min_bond, units);
        allow(units(fee.amount) >= min_fee && bond >= min_bond)?;
        allow((1..=604_800).contains(&msg.lifetime) && (1..=msg.lifetime).contains(&msg.take_window))?;
        let Mode::Proven(proven) = &msg.mode;
        allow(said.right && proven.circuit == self.circuit && (self.approved || proven.accept_unapproved))?;
        let own = self.running().into_iter();
        let own = own
            .filter(|id| self.requester(*id).as_ref() == Some(said.sender))
            .count();
        allow(own < self.max_requests)?;
        self.last += 1;
        let entry = Entry {
            requester: said.sender.clone(),
            fee: fee.clone(),
            bond: Coin::new(bond, &fee.denom),
            accept_unapproved: proven.accept_unapproved,
            prover: msg.prover.clone(),
            window: msg.take_window,
            deadline: said.now.plus_seconds(msg.lifetime),
            callback_gas: msg.callback.as_ref().map(|callback| callback.gas_limit),
            state: State::Open,
        };
        self.entries.insert(self.last, entry);
        Ok(())
    }

    fn begin(&mut self, said: &Said, id: u64, min_seconds: Option<u64>) -> Result<(), Refused> {
        let mut entry = self.entry(id)?;
        allow(said.now < entry.deadline && self.accepts(&entry))?;
        allow(
            entry
                .prover
                .as_ref()
                .is_none_or(|prover| prover == said.sender.as_str()),
        )?;
        allow(said.funds == [entry.bond.clone()])?;
        if let State::Taken { until, .. } = &entry.state {
            allow(*until <= said.now)?;
            self.pay(&entry.requester, &entry.bond)?;
        }
        let until = said.now.plus_seconds(entry.window).min(entry.deadline);
        let wanted = said.now.plus_seconds(min_seconds.unwrap_or_default());
        allow(until >= wanted)?;
        let by = said.sender.clone();
        entry.state = State::Taken { by, until };
        self.entries.insert(id, entry);
        Ok(())
    }

    fn expire(&mut self, said: &Said, id: u64, defer: bool) -> Result<(), Refused> {
        let mut entry = self.entry(id)?;
        let taker = match &entry.state {
            State::Taken { by, until } => Some((by.clone(), *until)),
            _ => None,
        };
        let accepted = self.accepts(&entry);
        if accepted && said.now < entry.deadline {
            // Nothing but a late taker's bond.
            let (_, until) = taker.ok_or(Refused)?;
            allow(until <= said.now)?;
            self.pay(&entry.requester, &entry.bond)?;
            entry.state = State::Open;
            self.entries.insert(id, entry);
            return Ok(());
        }
        self.pay(&entry.requester, &entry.fee)?;
        if let Some((taker, _)) = taker {
            let whose = if accepted { &entry.requester } else { &taker };
            self.pay(whose, &entry.bond)?;
        }
        self.end(said, id, defer);
        Ok(())
    }

    /// It is paid: what remains of it.
    fn end(&mut self, said: &Said, id: u64, defer: bool) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match entry.callback_gas {
            None => entry.state = State::Kept,
            Some(_) if defer || said.callback_failed => entry.state = State::Undelivered,
            Some(_) => {
                self.entries.remove(&id);
            }
        }
    }
}
