//! 10,000 messages by chance, good and bad, from everybody, held against a ledger that knows the rules alone: it says which are taken,
//! and what everybody has after each. Every request ends, every result is told once, and at last all coins have left.

use std::collections::{BTreeMap, BTreeSet};

use aiinference_multi_test::{
    cw_multi_test::{AppResponse, BankSudo, SudoMsg},
    Random,
};
use aiinference_registry::msg::{Callback, ExecuteMsg, HeavyRequest, Mode, QueryMsg, Request, Status, Terms};
use cosmwasm_std::{to_json_binary, Addr, Binary, Coin, StdResult, Uint256};
use cw_storage_plus::Map;
use test_requester::Reaction;

use crate::{
    ledger::{Ledger, Said},
    world::*,
};

const SEEDS: [u64; 2] = [20_261_123, 6];
const MESSAGES: u32 = 5_000;
/// Another kind of coins that fees are taken in.
const OTHER: &str = "uother";
const OTHER_TERMS: (u128, u128) = (30, 20);
const DENOMS: [&str; 2] = [DENOM, OTHER];
/// As much gas as any callback here needs.
const AMPLE: u64 = 500_000;

struct Run {
    world: World,
    ledger: Ledger,
    random: Random,
    /// Whose input each request has.
    proofs: BTreeMap<u64, usize>,
    /// Whether a request's callback is certain to succeed or to fail, if it has the gas.
    certain: BTreeMap<u64, bool>,
    last_id: u64,
    /// Requests that ended, with whether a callback was asked for.
    ended: BTreeMap<u64, bool>,
    cancelled: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    /// How often each action came to pass.
    counts: BTreeMap<String, u32>,
    refusals: u32,
}

#[test]
fn everybody_has_what_the_rules_say_requests_end_and_results_are_told_once() {
    for seed in SEEDS {
        let mut run = Run::new(seed);
        for number in 0..MESSAGES {
            run.step();
            if number % 50 == 0 {
                run.audit();
            }
        }
        run.finish();
        println!("seed {seed}: {:?}, {} refused", run.counts, run.refusals);
        let all = [
            "request",
            "take",
            "end",
            "proven",
            "deadline_passed",
            "circuit_disapproved",
            "deferred",
            "reopen",
            "cancel",
            "deliver",
            "discard",
            "undelivered",
            "unpaid",
            "claim",
            "a stranger with the right proof",
        ];
        for what in all {
            assert!(run.counts.get(what).is_some_and(|&count| count >= 10), "{what}");
        }
        assert!(run.refusals > 500);
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let other = Terms {
            denom: OTHER.to_owned(),
            min_fee: amount(OTHER_TERMS.0),
            min_bond: amount(OTHER_TERMS.1),
        };
        let usual = Terms {
            denom: DENOM.to_owned(),
            min_fee: amount(MIN_FEE),
            min_bond: amount(MIN_BOND),
        };
        let terms = ExecuteMsg::UpdateConfig {
            admin: None,
            terms: Some(vec![usual, other]),
            max_requests: None,
            max_callback_gas: None,
            max_lifetime: None,
        };
        world.must(&world.admin.clone(), &terms, &[]);
        let terms =
            [(DENOM, (MIN_FEE, MIN_BOND)), (OTHER, OTHER_TERMS)].map(|(denom, least)| (denom.to_owned(), least));
        let (registry, admin) = (world.registry.clone(), world.admin.clone());
        let circuit = world.public.code.code_id;
        let mut ledger = Ledger::new(registry, admin, circuit, terms.into(), 40);
        for account in [&world.alice, &world.prover, &world.rival, &world.contract] {
            let mint = BankSudo::Mint {
                to_address: account.to_string(),
                amount: vec![Coin::new(PURSE, OTHER)],
            };
            world.app.sudo(SudoMsg::Bank(mint)).unwrap();
            for denom in DENOMS {
                ledger.mint(account, PURSE, denom);
            }
        }
        Run {
            world,
            ledger,
            random: Random::seeded(seed),
            proofs: BTreeMap::new(),
            certain: BTreeMap::new(),
            last_id: 0,
            ended: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            discarded: BTreeSet::new(),
            counts: BTreeMap::new(),
            refusals: 0,
        }
    }

    fn people(&self) -> [Addr; 5] {
        let World {
            alice,
            prover,
            rival,
            contract,
            owner,
            ..
        } = &self.world;
        [alice, prover, rival, contract, owner].map(Addr::clone)
    }

    fn anybody(&mut self) -> Addr {
        let people = self.people();
        people[self.random.below(5) as usize].clone()
    }

    /// A request that runs, mostly.
    fn running(&mut self) -> u64 {
        let running = self.ledger.running();
        match self.random.below(10) {
            0 => self.random.below(self.last_id + 2),
            _ => self.one_of(&running),
        }
    }

    /// A request that has ended and was not told, mostly.
    fn over(&mut self) -> u64 {
        let (ended, undelivered) = (self.ledger.ended(), self.ledger.undelivered());
        let last = ended.get(ended.len().saturating_sub(60)..).unwrap_or_default();
        match self.random.below(10) {
            0 => self.random.next_u64(),
            1..6 => self.one_of(&undelivered),
            _ => self.one_of(last),
        }
    }

    fn one_of(&mut self, list: &[u64]) -> u64 {
        let index = self.random.below(list.len() as u64) as usize;
        list.get(index).copied().unwrap_or_default()
    }

    fn denom(&mut self) -> &'static str {
        DENOMS[usize::from(self.random.chance(400))]
    }

    fn step(&mut self) {
        let seconds = match self.random.below(150) {
            0 => WINDOW,
            1..50 => self.random.below(3),
            _ => 0,
        };
        self.world.pass(seconds);
        match self.random.below(100) {
            0..16 => self.request(),
            16..36 => self.take(),
            36..54 => self.fulfil(),
            54..66 => {
                let (id, sender) = (self.running(), self.anybody());
                let defer = self.random.chance(200);
                self.say(&sender, &ExecuteMsg::Expire { id, defer }, &[]);
            }
            66..69 => {
                let id = self.running();
                self.as_requester(id, &ExecuteMsg::Cancel { id });
            }
            69..82 => {
                let gas_limit = [1, 90_000, 90_000][self.random.below(3) as usize];
                let id = self.over();
                self.as_requester(id, &ExecuteMsg::Deliver { id, gas_limit });
            }
            82..88 => {
                let id = self.over();
                self.as_requester(id, &ExecuteMsg::Discard { id });
            }
            88..91 => {
                let (sender, receiver) = (self.anybody(), self.anybody());
                let receiver = match self.random.below(10) {
                    0 => Some(self.world.registry.clone()),
                    1..6 => Some(receiver),
                    _ => None,
                };
                let msg = ExecuteMsg::Claim {
                    denom: self.denom().to_owned(),
                    receiver: receiver.map(String::from),
                };
                self.say(&sender, &msg, &[]);
            }
            91..93 => {
                let approved = self.random.chance(900);
                let admin = match self.random.chance(900) {
                    true => self.world.admin.clone(),
                    false => self.anybody(),
                };
                let msg = ExecuteMsg::ApproveCircuit {
                    model: the_model(),
                    circuit: self.world.public.code.code_id,
                    checksum: Some(self.world.public.code.checksum),
                    approved,
                };
                self.say(&admin, &msg, &[]);
            }
            93..96 => {
                let (who, blocked) = (self.anybody(), self.random.chance(350));
                self.block(&who, blocked);
            }
            _ => self.garbage(),
        }
    }

    fn block(&mut self, who: &Addr, blocked: bool) {
        self.world.block(who, blocked);
        match blocked {
            true => self.ledger.blocked.insert(who.to_string()),
            false => self.ledger.blocked.remove(who.as_str()),
        };
    }

    /// Sends a message whose input, outputs and proof are right.
    fn say(&mut self, sender: &Addr, msg: &ExecuteMsg, funds: &[Coin]) -> bool {
        self.say_it(sender, msg, funds, true)
    }

    /// Sends a message; the contract is told to send its own. Whether it was taken, which must be as the ledger says.
    fn say_it(&mut self, sender: &Addr, msg: &ExecuteMsg, funds: &[Coin], right: bool) -> bool {
        let now = self.world.app.block_info().time;
        let result = match *sender == self.world.contract {
            true => self.world.send(msg, funds.to_vec()),
            false => self.world.execute(sender, msg, funds),
        };
        let callback_failed = match (&result, msg) {
            // All of it fails with the callback.
            (Err(_), ExecuteMsg::Deliver { .. }) => true,
            (result, _) => result
                .as_ref()
                .is_ok_and(|done| actions(done).contains(&"undelivered".to_owned())),
        };
        let said = Said {
            sender,
            funds,
            now,
            right,
            callback_failed,
        };
        let taken = result.is_ok();
        let wanted = self.ledger.take(&said, msg);
        assert_eq!(
            taken, wanted,
            "{sender}, {funds:?}, right {right}: {msg:?} gave {result:?}"
        );
        self.note(result);
        self.compare();
        taken
    }

    /// Everybody has what the ledger says.
    fn compare(&self) {
        let claimable: Map<(&Addr, &str), Uint256> = Map::new("claimable");
        let storage = self.world.app.contract_storage(&self.world.registry);
        for denom in DENOMS {
            for account in &self.people() {
                assert_eq!(
                    self.has(account, denom),
                    self.ledger.balance(account, denom),
                    "{account}"
                );
                let claim = claimable.may_load(&*storage, (account, denom)).unwrap();
                let claim = claim.map_or(0, |amount| uint(&Coin::new(amount, denom)));
                assert_eq!(claim, self.ledger.claim(account, denom), "{account}");
            }
            assert_eq!(self.has(&self.world.registry, denom), self.ledger.owed(denom));
        }
    }

    fn has(&self, account: &Addr, denom: &str) -> u128 {
        uint(&self.world.app.wrap().query_balance(account, denom).unwrap())
    }

    fn request(&mut self) {
        let proof = self.random.below(3) as usize;
        let mut msg = self.world.heavy(proof);
        msg.take_window = 1 + self.random.below(WINDOW);
        msg.lifetime = 20 + self.random.below(400);
        msg.bond = self.random.chance(300).then(|| amount(self.random.below(150).into()));
        let Mode::Proven(proven) = &mut msg.mode;
        proven.accept_unapproved = self.random.chance(400);
        if self.random.chance(100) {
            msg.prover = Some(self.world.rival.to_string());
        }
        // Only the contract can be called, and only it always wants to be.
        let sender = match self.random.chance(400) {
            true => self.world.contract.clone(),
            false => self.anybody(),
        };
        let mut certain = None;
        if sender == self.world.contract || self.random.chance(100) {
            let (callback, succeeds) = self.callback();
            // An account that is no contract cannot be called.
            certain = succeeds.map(|succeeds| succeeds && sender == self.world.contract);
            msg.callback = Some(callback);
        }
        let denom = self.denom();
        let fee = match denom {
            DENOM => 80 + self.random.below(200),
            _ => 20 + self.random.below(100),
        };
        if self.say(&sender, &ExecuteMsg::Request(msg), &[Coin::new(fee, denom)]) {
            self.proofs.insert(self.last_id, proof);
            if let Some(certain) = certain {
                self.certain.insert(self.last_id, certain);
            }
        }
    }

    /// A callback, and whether it will succeed where that is certain.
    fn callback(&mut self) -> (Callback, Option<bool>) {
        let mut reaction = Reaction::default();
        let mut certain = Some(false);
        match self.random.below(8) {
            0 => reaction.fail = Some("not today".to_owned()),
            1 => reaction.work = u64::MAX,
            // It holds more at times, and less at others.
            2 => {
                reaction.fail_below = Some(coin(PURSE - 2_000 + u128::from(self.random.below(4_000))));
                certain = None;
            }
            _ => certain = Some(true),
        }
        let garbage = self.random.chance(50);
        let callback = Callback {
            msg: match garbage {
                true => Binary::from(b"{"),
                false => to_json_binary(&reaction).unwrap(),
            },
            gas_limit: [100, 60_000, 90_000][self.random.below(3) as usize],
        };
        (callback, if garbage { Some(false) } else { certain })
    }

    fn take(&mut self) {
        let (id, sender) = (self.running(), self.anybody());
        let mut bond = self.ledger.bond(id).unwrap_or(coin(MIN_BOND));
        match self.random.below(20) {
            0 => bond.amount += amount(1),
            1 => bond.denom = self.denom().to_owned(),
            _ => {}
        }
        let min_seconds = self.random.chance(300).then(|| self.random.below(WINDOW));
        self.say(&sender, &ExecuteMsg::Take { id, min_seconds }, &[bond]);
    }

    fn fulfil(&mut self) {
        let held = self.ledger.held(self.world.app.block_info().time);
        let id = match self.random.chance(700) && !held.is_empty() {
            true => self.one_of(&held),
            false => self.running(),
        };
        let taker = self.ledger.taker(id);
        let own = taker.clone().filter(|_| !self.random.chance(150));
        let sender = own.unwrap_or_else(|| self.anybody());
        let known = self.proofs.get(&id).copied();
        let wrong = self.random.chance(150);
        let proof = (known.unwrap_or_default() + usize::from(wrong)) % 3;
        let mut right = !wrong && known.is_some();
        let mut msg = self.world.fulfilment(id, proof);
        if let ExecuteMsg::Fulfil {
            proof, outputs, defer, ..
        } = &mut msg
        {
            *defer = self.random.chance(200);
            let bad = self.random.below(30);
            match bad {
                0 => *proof = Binary::default(),
                1 => outputs.clear(),
                2 => *outputs = vec![Binary::from(b"\x08\xff")],
                _ => {}
            }
            right &= bad > 2;
        }
        let taken = self.say_it(&sender, &msg, &[], right);
        if right && taker.is_some_and(|taker| taker != sender) {
            assert!(!taken);
            self.count("a stranger with the right proof");
        }
    }

    fn as_requester(&mut self, id: u64, msg: &ExecuteMsg) {
        let requester = self.ledger.requester(id).filter(|_| !self.random.chance(150));
        let sender = requester.unwrap_or_else(|| self.anybody());
        self.say(&sender, msg, &[]);
    }

    fn garbage(&mut self) {
        let sender = self.anybody();
        let id = self.running();
        match self.random.below(4) {
            0 => {
                let mut msg = self.world.heavy(0);
                let bytes = vec![self.random.below(256) as u8; 40];
                let right = aiinference_std::Tensor::decode(&bytes).is_ok();
                msg.input.tensors = vec![bytes.into()];
                let done = self.say_it(&sender, &ExecuteMsg::Request(msg), &coins(MIN_FEE), right);
                assert!(!done || right);
            }
            1 => {
                let msg = HeavyRequest {
                    lifetime: self.random.next_u64(),
                    take_window: self.random.next_u64(),
                    ..self.world.heavy(0)
                };
                self.say(&sender, &ExecuteMsg::Request(msg), &coins(MIN_FEE));
            }
            2 => {
                self.say(&sender, &ExecuteMsg::Cancel { id }, &coins(1));
            }
            _ => {
                let rival = self.world.rival.clone();
                let result = self.world.execute(&rival, &"no message", &[]);
                assert!(result.is_err());
                self.note(result);
                self.compare();
            }
        }
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn note(&mut self, result: StdResult<AppResponse>) {
        let Ok(response) = result else {
            self.refusals += 1;
            return;
        };
        for event in response.events.iter().filter(|event| event.ty == "wasm") {
            let Some(action) = attribute(event, "action") else {
                continue;
            };
            let id = attribute(event, "id").map_or(0, |id| id.parse().unwrap());
            match &action[..] {
                "request" => {
                    assert_eq!(id, self.last_id + 1, "numbers ascend one by one");
                    self.last_id = id;
                }
                "end" => {
                    let callback = attribute(event, "callback").unwrap();
                    let asked = callback != "false";
                    assert!(self.ended.insert(id, asked).is_none(), "{id} ended twice");
                    assert!(!self.cancelled.contains(&id));
                    if callback == "deferred" {
                        self.count("deferred");
                    }
                }
                "cancel" => {
                    assert!(self.cancelled.insert(id) && !self.ended.contains_key(&id));
                }
                "discard" => assert!(self.discarded.insert(id)),
                _ => {}
            }
            self.count(&action);
            if let Some(outcome) = attribute(event, "outcome") {
                self.count(&outcome);
            }
        }
    }

    fn requests(&self) -> Vec<Request> {
        let mut all: Vec<Request> = vec![];
        loop {
            let page: Vec<Request> = self.world.query(&QueryMsg::Requests {
                start_after: all.last().map(|request| request.id),
                limit: Some(100),
            });
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// The requests that are here are those of the ledger; the contract's lists agree with them.
    fn audit(&self) {
        let requests = self.requests();
        let running = |request: &&Request| !request.status.has_ended();
        let ids = |which: &dyn Fn(&&Request) -> bool| -> Vec<u64> {
            requests.iter().filter(which).map(|request| request.id).collect()
        };
        assert_eq!(ids(&running), self.ledger.running());
        assert_eq!(ids(&|request| !running(request)), self.ledger.ended());
        let undelivered = |request: &&Request| matches!(request.status, Status::Undelivered { .. });
        assert_eq!(ids(&undelivered), self.ledger.undelivered());

        let mut pending = vec![];
        while let Some(page) = Some(self.pending_after(pending.last().copied())).filter(|page| !page.is_empty()) {
            pending.extend(page);
        }
        assert_eq!(pending, ids(&running));
        for account in &self.people() {
            let list: Vec<Request> = self.world.query(&QueryMsg::TakenBy {
                prover: account.to_string(),
                start_after: None,
                limit: Some(100),
            });
            let taken: Vec<u64> = list.iter().map(|request| request.id).collect();
            let theirs = |request: &&Request| matches!(&request.status, Status::Taken { by, .. } if by == account);
            assert_eq!(taken, ids(&theirs));
            assert!(taken.iter().all(|id| self.ledger.taker(*id).as_ref() == Some(account)));
            let list: Vec<Request> = self.world.query(&QueryMsg::RequestsOf {
                requester: account.to_string(),
                start_after: None,
                limit: Some(100),
            });
            let own = requests.iter().filter(|request| request.requester == *account);
            assert!(list.iter().eq(own.take(100)));
            let claims: Vec<Coin> = self.world.query(&QueryMsg::Claimable {
                account: account.to_string(),
                start_after: None,
                limit: None,
            });
            let known = DENOMS.map(|denom| Coin::new(self.ledger.claim(account, denom), denom));
            let known = known.into_iter().filter(|coin| !coin.amount.is_zero());
            assert!(claims.into_iter().eq(known));
        }
    }

    fn pending_after(&self, start_after: Option<u64>) -> Vec<u64> {
        let page: Vec<Request> = self.world.query(&QueryMsg::Pending {
            circuit: self.world.public.code.code_id,
            start_after,
            limit: Some(100),
        });
        page.iter().map(|request| request.id).collect()
    }

    /// Time goes by: whatever runs can be ended by anybody, what is undelivered can be delivered by anybody, and all coins leave.
    fn finish(&mut self) {
        self.world.pass(1_000);
        let rival = self.world.rival.clone();
        for id in self.ledger.running() {
            let defer = id % 2 == 0;
            let ended = self.say(&rival, &ExecuteMsg::Expire { id, defer }, &[]);
            assert!(ended, "request {id} is stuck");
        }
        self.audit();
        for account in self.people() {
            self.block(&account, false);
        }
        let undelivered = self.ledger.undelivered();
        assert!(!undelivered.is_empty());
        for id in undelivered {
            let gas_limit = AMPLE;
            let told = self.say(&rival, &ExecuteMsg::Deliver { id, gas_limit }, &[]);
            if let Some(succeeds) = self.certain.get(&id) {
                assert_eq!(told, *succeeds, "{id}");
            }
        }
        for id in self.ledger.ended() {
            let requester = self.ledger.requester(id).unwrap();
            assert!(self.say(&requester, &ExecuteMsg::Discard { id }, &[]));
        }
        for (account, denom) in self
            .people()
            .into_iter()
            .flat_map(|who| DENOMS.map(|denom| (who.clone(), denom)))
        {
            if self.ledger.claim(&account, denom) > 0 {
                let denom = denom.to_owned();
                let receiver = None;
                assert!(self.say(&account, &ExecuteMsg::Claim { denom, receiver }, &[]));
            }
        }
        self.audit();
        // Nothing remains: no coins, no requests, no counters of accounts.
        for denom in DENOMS {
            assert_eq!(self.has(&self.world.registry, denom), 0);
        }
        let before = World::new().app.dump_wasm_raw(&self.world.registry).len();
        let left = self.world.app.dump_wasm_raw(&self.world.registry).len();
        assert_eq!(left, before + 1, "the number of the last request alone");

        // Every request has had one end, and every result was told or discarded, once.
        for id in 1..=self.last_id {
            let told = self.world.noted(id).map_or(0, |told| told.times);
            let discarded = u32::from(self.discarded.contains(&id));
            match self.ended.get(&id) {
                None => assert!(self.cancelled.contains(&id) && told + discarded == 0, "{id}"),
                Some(callback) => {
                    assert_eq!(told + discarded, 1, "{id}");
                    assert!(*callback || told == 0, "{id}");
                }
            }
        }
    }
}
