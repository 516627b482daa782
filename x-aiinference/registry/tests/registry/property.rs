//! 10,000 messages by chance, good and bad, from everybody: coins are conserved, every request ends, every result is told once.

use std::collections::{BTreeMap, BTreeSet};

use aiinference_multi_test::{cw_multi_test::AppResponse, Random};
use aiinference_registry::msg::{Callback, ExecuteMsg, HeavyRequest, Mode, QueryMsg, Request, Status};
use cosmwasm_std::{to_json_binary, Addr, Binary, Coin, StdResult};
use test_requester::Reaction;

use crate::world::*;

const MESSAGES: u32 = 10_000;

struct Run {
    world: World,
    random: Random,
    /// Whose input each request has.
    proofs: BTreeMap<u64, usize>,
    last_id: u64,
    /// Requests that ended, with whether a callback ran.
    ended: BTreeMap<u64, bool>,
    cancelled: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    /// Those whose callback failed, and was not tried again with success.
    undelivered: BTreeSet<u64>,
    /// How often each action came to pass.
    counts: BTreeMap<String, u32>,
    refusals: u32,
}

#[test]
fn coins_are_conserved_requests_end_and_results_are_told_once() {
    for seed in [20_261_123] {
        let mut run = Run {
            world: World::new(),
            random: Random::seeded(seed),
            proofs: BTreeMap::new(),
            last_id: 0,
            ended: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            discarded: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            counts: BTreeMap::new(),
            refusals: 0,
        };
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
            "reopen",
            "cancel",
            "deliver",
            "discard",
            "undelivered",
            "unpaid",
            "claim",
        ];
        for what in all {
            assert!(run.counts.get(what).is_some_and(|&count| count >= 20), "{what}");
        }
        assert!(run.refusals > 1_000);
    }
}

impl Run {
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
        let running = (1..=self.last_id).filter(|id| !self.ended.contains_key(id) && !self.cancelled.contains(id));
        let running: Vec<u64> = running.collect();
        match self.random.below(10) {
            0 => self.random.below(self.last_id + 2),
            _ => self.one_of(&running),
        }
    }

    /// A request that has ended and was not told, mostly.
    fn over(&mut self) -> u64 {
        let here: Vec<u64> = self
            .ended
            .keys()
            .copied()
            .filter(|id| !self.discarded.contains(id))
            .collect();
        let last = here.get(here.len().saturating_sub(60)..).unwrap_or_default();
        let undelivered: Vec<u64> = self.undelivered.iter().copied().collect();
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

    fn step(&mut self) {
        let seconds = match self.random.below(150) {
            0 => WINDOW,
            1..50 => self.random.below(3),
            _ => 0,
        };
        self.world.pass(seconds);
        let result = match self.random.below(100) {
            0..16 => self.request(),
            16..36 => self.take(),
            36..54 => self.fulfil(),
            54..66 => {
                let (id, sender) = (self.running(), self.anybody());
                self.say(&sender, &expire(id), &[])
            }
            66..69 => {
                let id = self.running();
                self.as_requester(id, &ExecuteMsg::Cancel { id })
            }
            69..82 => {
                let gas_limit = [1, 90_000, 90_000][self.random.below(3) as usize];
                let id = self.over();
                self.as_requester(id, &ExecuteMsg::Deliver { id, gas_limit })
            }
            82..88 => {
                let id = self.over();
                self.as_requester(id, &ExecuteMsg::Discard { id })
            }
            88..91 => {
                let (sender, receiver) = (self.anybody(), self.anybody());
                let msg = ExecuteMsg::Claim {
                    denom: DENOM.to_owned(),
                    receiver: self.random.chance(500).then(|| receiver.to_string()),
                };
                self.say(&sender, &msg, &[])
            }
            91..93 => {
                let approved = self.random.chance(900);
                let admin = self.world.admin.clone();
                let msg = ExecuteMsg::ApproveCircuit {
                    model: the_model(),
                    circuit: self.world.public.code.code_id,
                    checksum: None,
                    approved,
                };
                self.say(&admin, &msg, &[])
            }
            93..96 => {
                let (who, blocked) = (self.anybody(), self.random.chance(350));
                self.world.block(&who, blocked);
                return;
            }
            _ => self.garbage(),
        };
        self.note(result);
    }

    /// Sends a message; the contract is told to send its own.
    fn say(&mut self, sender: &Addr, msg: &ExecuteMsg, funds: &[Coin]) -> StdResult<AppResponse> {
        match *sender == self.world.contract {
            true => self.world.send(msg, funds.to_vec()),
            false => self.world.execute(sender, msg, funds),
        }
    }

    fn request(&mut self) -> StdResult<AppResponse> {
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
        if sender == self.world.contract || self.random.chance(100) {
            msg.callback = Some(self.callback());
        }
        let fee = u128::from(80 + self.random.below(200));
        let result = self.say(&sender, &ExecuteMsg::Request(msg), &coins(fee));
        if result.is_ok() {
            self.proofs.insert(self.last_id + 1, proof);
        }
        result
    }

    fn callback(&mut self) -> Callback {
        let mut reaction = Reaction::default();
        match self.random.below(8) {
            0 => reaction.fail = Some("not today".to_owned()),
            1 => reaction.work = u64::MAX,
            // It holds more at times, and less at others.
            2 => reaction.fail_below = Some(coin(PURSE - 2_000 + u128::from(self.random.below(4_000)))),
            _ => {}
        }
        let garbage = self.random.chance(50);
        Callback {
            msg: match garbage {
                true => Binary::from(b"{"),
                false => to_json_binary(&reaction).unwrap(),
            },
            gas_limit: [100, 60_000, 90_000][self.random.below(3) as usize],
        }
    }

    fn take(&mut self) -> StdResult<AppResponse> {
        let (id, sender) = (self.running(), self.anybody());
        let bond = self.world.see(id).map_or(MIN_BOND, |seen| uint(&seen.request.bond));
        let bond = if self.random.chance(50) { bond + 1 } else { bond };
        self.say(&sender, &take(id), &coins(bond))
    }

    fn fulfil(&mut self) -> StdResult<AppResponse> {
        let id = self.running();
        let wrong = self.random.chance(150);
        let taker = self.world.see(id).and_then(|seen| match seen.request.status {
            Status::Taken { by, .. } => Some(by),
            _ => None,
        });
        let sender = taker.filter(|_| !self.random.chance(100));
        let sender = sender.unwrap_or_else(|| self.anybody());
        let proof = self.proofs.get(&id).copied().unwrap_or_default();
        let proof = if wrong { (proof + 1) % 3 } else { proof };
        let mut msg = self.world.fulfilment(id, proof);
        if let ExecuteMsg::Fulfil { proof, outputs, .. } = &mut msg {
            match self.random.below(30) {
                0 => *proof = Binary::default(),
                1 => outputs.clear(),
                2 => *outputs = vec![Binary::from(b"\x08\xff")],
                _ => {}
            }
        }
        let right = !wrong && self.world.see(id).is_some();
        let result = self.say(&sender, &msg, &[]);
        assert!(result.is_err() || right, "a wrong proof was taken for {id}");
        result
    }

    fn as_requester(&mut self, id: u64, msg: &ExecuteMsg) -> StdResult<AppResponse> {
        let requester = self.world.see(id).map(|seen| seen.request.requester);
        let sender = requester.filter(|_| !self.random.chance(100));
        let sender = sender.unwrap_or_else(|| self.anybody());
        self.say(&sender, msg, &[])
    }

    fn garbage(&mut self) -> StdResult<AppResponse> {
        let sender = self.anybody();
        let id = self.running();
        match self.random.below(4) {
            0 => {
                let mut msg = self.world.heavy(0);
                msg.input.tensors = vec![Binary::from(vec![self.random.below(256) as u8; 40])];
                self.say(&sender, &ExecuteMsg::Request(msg), &coins(MIN_FEE))
            }
            1 => {
                let msg = HeavyRequest {
                    lifetime: self.random.next_u64(),
                    take_window: self.random.next_u64(),
                    ..self.world.heavy(0)
                };
                self.say(&sender, &ExecuteMsg::Request(msg), &coins(MIN_FEE))
            }
            2 => self.say(&sender, &ExecuteMsg::Cancel { id }, &coins(1)),
            _ => {
                let rival = self.world.rival.clone();
                self.world.execute(&rival, &"no message", &[])
            }
        }
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
                    let callback = attribute(event, "callback").as_deref() == Some("true");
                    assert!(self.ended.insert(id, callback).is_none(), "{id} ended twice");
                    assert!(!self.cancelled.contains(&id));
                }
                "cancel" => {
                    assert!(self.cancelled.insert(id) && !self.ended.contains_key(&id));
                }
                "discard" => {
                    assert!(self.discarded.insert(id));
                    self.undelivered.remove(&id);
                }
                "undelivered" => assert!(self.undelivered.insert(id)),
                "deliver" => assert!(self.undelivered.remove(&id), "{id} was told twice"),
                _ => {}
            }
            let outcome = attribute(event, "outcome");
            for what in [Some(action), outcome].into_iter().flatten() {
                *self.counts.entry(what).or_default() += 1;
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

    /// What there is lies with somebody, and the registry holds exactly what it owes; indices agree with the requests.
    fn audit(&self) {
        let requests = self.requests();
        let owed = requests.iter().map(|request| match request.status {
            Status::Open {} => uint(&request.fee),
            Status::Taken { .. } => uint(&request.fee) + uint(&request.bond),
            Status::Kept {} | Status::Undelivered { .. } => 0,
        });
        let people = self.people();
        let claims: u128 = people.iter().map(|account| self.world.claimable(account)).sum();
        let held = self.world.balance(&self.world.registry);
        assert_eq!(held, owed.sum::<u128>() + claims);
        let all: u128 = people.iter().map(|account| self.world.balance(account)).sum();
        assert_eq!(all + held, 4 * PURSE);

        let running = |request: &&Request| matches!(request.status, Status::Open {} | Status::Taken { .. });
        let ids: BTreeSet<u64> = requests.iter().filter(running).map(|request| request.id).collect();
        let mut pending = BTreeSet::new();
        while let Some(page) = Some(self.pending_after(pending.last().copied())).filter(|page| !page.is_empty()) {
            pending.extend(page);
        }
        assert_eq!(pending, ids);
        for account in &people {
            let list: Vec<Request> = self.world.query(&QueryMsg::TakenBy {
                prover: account.to_string(),
                start_after: None,
                limit: Some(100),
            });
            let theirs = |request: &&Request| matches!(&request.status, Status::Taken { by, .. } if by == account);
            let taken = requests.iter().filter(theirs).map(|request| request.id);
            assert!(list.iter().map(|request| request.id).eq(taken));
            let list: Vec<Request> = self.world.query(&QueryMsg::RequestsOf {
                requester: account.to_string(),
                start_after: None,
                limit: Some(100),
            });
            let own = requests.iter().filter(|request| request.requester == *account);
            assert!(list.iter().eq(own));
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

    /// Time goes by: whatever is here can be ended by anybody, and all coins leave.
    fn finish(&mut self) {
        self.world.pass(1_000);
        let rival = self.world.rival.clone();
        while let Some(page) = Some(self.pending_after(None)).filter(|page| !page.is_empty()) {
            for id in page {
                let result = self.say(&rival, &expire(id), &[]);
                assert!(result.is_ok(), "request {id} is stuck: {result:?}");
                self.note(result);
            }
        }
        self.audit();
        for account in self.people() {
            self.world.block(&account, false);
        }
        for account in self.people() {
            let denom = DENOM.to_owned();
            let receiver = None;
            if self.world.claimable(&account) > 0 {
                let result = self.say(&account, &ExecuteMsg::Claim { denom, receiver }, &[]);
                assert!(result.is_ok());
                self.note(result);
            }
        }
        assert_eq!(self.world.balance(&self.world.registry), 0);

        // Every request has had one end, and every result lies somewhere or was told once.
        let here: BTreeMap<u64, Request> = self
            .requests()
            .into_iter()
            .map(|request| (request.id, request))
            .collect();
        for id in 1..=self.last_id {
            let told = self.world.noted(id).map_or(0, |told| told.times);
            let waiting = u32::from(here.contains_key(&id));
            let discarded = u32::from(self.discarded.contains(&id));
            match self.ended.get(&id) {
                None => assert!(self.cancelled.contains(&id) && told + waiting + discarded == 0, "{id}"),
                Some(callback) => {
                    assert_eq!(told + waiting + discarded, 1, "{id}");
                    assert!(*callback || told == 0, "{id}");
                }
            }
        }
    }
}
