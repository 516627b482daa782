//! Relays a path: takes in the blocks of both chains, and does at once what has become possible.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aiinference_client::Included;
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::{interval, Instant, MissedTickBehavior},
};

use crate::{
    chain::Proven,
    error::RelayError,
    ledger::{Changes, Flight, Key, Kind, Ledger, Stage, Tip},
    light::Trusted,
    metrics,
    packet::{path as store, PacketEvent},
    path::Path,
    proto::Any,
    said::Said,
    scan::{self, Resume, Scan},
    submit::{self, Chores, Flushed, Outcome},
    text::printable,
    wallet::Sent,
    watch::Block,
};

/// How often pauses and scans are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Two scans are at least so far apart.
const SCAN_PAUSE: Duration = Duration::from_secs(2);

/// How long a transaction may take into a block before it is taken for lost.
const LOST: Duration = Duration::from_secs(45);

/// How long nothing is sent to a chain on which nothing can be done at the moment.
const STOPPED: Duration = Duration::from_secs(5);
const LONG_STOPPED: Duration = Duration::from_secs(30);

/// How often a client's trusting period and the account are looked at.
const LOOK: Duration = Duration::from_secs(20);

/// Failures after which `clear` gives a packet up.
const CLEAR_TRIES: u32 = 6;

/// Updates of a light client that wait to be compared with its chain, and how often that is tried.
const MAX_UPDATES: usize = 1000;
const COMPARE_TRIES: u32 = 5;

/// What the tasks of a path tell it.
enum Note {
    Proved(Vec<(Key, Proven)>),
    Flushed(usize, Box<Flushed>, Option<Instant>),
    Landed(usize, Sent, Vec<(Key, Kind)>, Option<Trusted>, Option<Box<Included>>),
    Scanned(Box<Scan>),
    Compared(usize, u64, u32, Result<Option<Any>, RelayError>),
    Reported(usize, Result<Sent, RelayError>),
}

/// What `clear` did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub received: u64,
    pub acknowledged: u64,
    pub timed_out: u64,
    /// Packets that are still pending, with the last error.
    pub left: usize,
    /// Packets whose answer nobody can bring any more, since their channel is closed.
    pub lost: usize,
    pub failed: Option<String>,
}

/// A path that is being relayed.
pub struct Relay {
    path: Arc<Path>,
    scan_interval: Duration,
    /// End once nothing is left to do.
    once: bool,
    ledger: Ledger,
    tips: [Option<Tip>; 2],
    heard: [Option<Instant>; 2],
    flushing: [bool; 2],
    /// Until when nothing is sent to a side.
    stopped: [Option<Instant>; 2],
    refresh: [bool; 2],
    /// Heights that the clients were updated to, by anybody, and how often they were compared with the chain's in vain.
    updates: [BTreeMap<u64, u32>; 2],
    scanning: bool,
    /// A scan was asked for while one was under way.
    rescan: bool,
    scanned: bool,
    scan_at: Instant,
    last_scan: Option<Instant>,
    looked: Option<Instant>,
    said: Said,
    resume: Resume,
    /// Packets that chain state tells of and whose events no node has.
    missing: usize,
    notes: mpsc::UnboundedSender<Note>,
    inbox: mpsc::UnboundedReceiver<Note>,
    summary: Summary,
}

impl Relay {
    pub fn new(path: Arc<Path>, scan_interval: Duration, once: bool) -> Self {
        let (notes, inbox) = mpsc::unbounded_channel();
        let updates = [0, 1].map(|side: usize| BTreeMap::from([(path.sides[side].client.latest().height, 0)]));
        Relay {
            path,
            updates,
            scan_interval,
            once,
            ledger: Ledger::default(),
            tips: [None; 2],
            heard: [None; 2],
            flushing: [false; 2],
            stopped: [None, None],
            refresh: [false; 2],
            scanning: false,
            rescan: false,
            scanned: false,
            scan_at: Instant::now(),
            last_scan: None,
            looked: None,
            said: Said::default(),
            resume: Resume::new(),
            missing: 0,
            notes,
            inbox,
            summary: Summary::default(),
        }
    }

    /// Relays until `stop` becomes true; with `once`, until nothing is left.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Summary {
        let [mut a, mut b] = [0, 1].map(|side| self.path.sides[side].handle.watched.blocks());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                block = a.recv() => self.block(0, block),
                block = b.recv() => self.block(1, block),
                note = self.inbox.recv() => match note {
                    Some(note) => self.note(note),
                    None => return self.summary,
                },
                _ = ticks.tick() => self.tick(),
                _ = stop.wait_for(|stop| *stop) => return self.summary,
            }
            for target in 0..2 {
                self.flush(target);
            }
            if self.once && self.is_done() {
                let lost = self
                    .ledger
                    .entries
                    .iter()
                    .filter(|(key, entry)| self.ledger.is_lost(key, entry));
                self.summary.lost = lost.count();
                self.summary.left = self.ledger.entries.len() - self.summary.lost + self.missing;
                return self.summary;
            }
        }
    }

    fn is_done(&self) -> bool {
        let busy =
            self.scanning || self.rescan || self.flushing.contains(&true) || !self.scanned || !self.resume.is_empty();
        !busy && self.ledger.is_idle(CLEAR_TRIES)
    }

    fn chain(&self, side: usize) -> &str {
        self.path.sides[side].handle.chain.id()
    }

    fn block(&mut self, side: usize, block: Result<Arc<Block>, broadcast::error::RecvError>) {
        let block = match block {
            Ok(block) => block,
            Err(broadcast::error::RecvError::Lagged(_)) => return self.scan_soon(),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if block.gap {
            self.scan_soon();
        }
        if self.tips[side].is_some_and(|tip| tip.height > block.height) {
            self.ledger.doubt_above(side, block.height);
            self.scan_soon();
        }
        self.tips[side] = Some(Tip {
            height: block.height,
            time: block.time,
            revision: self.path.sides[side].handle.chain.revision(),
        });
        self.heard[side] = Some(block.heard);
        self.note_updates(side, &block);
        for client in 0..2 {
            self.compare(client);
        }
        let changes = self.ledger.block(&self.path.lanes, side, &block);
        self.changed(side, &block, changes);
    }

    /// Takes in to which heights the client of a side was updated.
    fn note_updates(&mut self, side: usize, block: &Block) {
        let client = &self.path.sides[side].client;
        let revision = client.tracks().revision();
        for event in &block.events {
            let PacketEvent::Updated(id, heights) = event else {
                continue;
            };
            if *id != client.id {
                continue;
            }
            let ours = heights.iter().filter(|height| height.revision_number == revision);
            for height in ours {
                if self.updates[side].len() < MAX_UPDATES {
                    self.updates[side].entry(height.revision_height).or_insert(0);
                }
            }
        }
    }

    /// Compares what the client of a side was updated to with the other chain's blocks, so far as these are there.
    fn compare(&mut self, side: usize) {
        let Some(tip) = self.tips[1 - side] else { return };
        let later = self.updates[side].split_off(&tip.height.saturating_add(1));
        for (height, times) in std::mem::replace(&mut self.updates[side], later) {
            let (path, notes) = (self.path.clone(), self.notes.clone());
            tokio::spawn(async move {
                let side_of = &path.sides[side];
                let found = side_of.client.evidence(height, side_of.handle.wallet.address()).await;
                // An error means that the program ends.
                let _ = notes.send(Note::Compared(side, height, times, found));
            });
        }
    }

    fn compared(&mut self, side: usize, height: u64, times: u32, found: Result<Option<Any>, RelayError>) {
        match found {
            Ok(None) => {}
            Ok(Some(evidence)) => {
                let client = &self.path.sides[side].client;
                let error = RelayError::Fork {
                    chain: client.host.id().into(),
                    client: client.id.clone(),
                    tracks: client.tracks().id().into(),
                    height,
                };
                self.say(&error);
                let (path, notes) = (self.path.clone(), self.notes.clone());
                tokio::spawn(async move {
                    let sent = submit::report(&path.sides[side], evidence).await;
                    // An error means that the program ends.
                    let _ = notes.send(Note::Reported(side, sent));
                });
            }
            Err(error) => {
                tracing::debug!(path = self.path.name(), height, %error, "comparing what a light client trusts with its chain");
                let times = times.saturating_add(1);
                if times < COMPARE_TRIES {
                    self.updates[side].insert(height, times);
                }
            }
        }
    }

    fn changed(&mut self, side: usize, block: &Block, changes: Changes) {
        if changes.unclear {
            self.scan_soon();
        }
        for ended in &changes.ended {
            let lane = &self.path.lanes[ended.key.lane].name;
            if let (true, Some((blocks, time))) = (ended.acknowledged, ended.took) {
                metrics::round_trip(lane, blocks, time);
                let ms = time.as_millis();
                tracing::debug!(channel = lane, sequence = ended.key.sequence, blocks, ms, "round trip");
            }
            if self.once {
                match ended.acknowledged {
                    true => self.summary.acknowledged += 1,
                    false => self.summary.timed_out += 1,
                }
            }
        }
        if changes.to_prove.is_empty() {
            return;
        }
        let wanted: Vec<(Key, String)> = changes
            .to_prove
            .iter()
            .filter_map(|key| {
                let entry = self.ledger.entries.get(key)?;
                let packet = &entry.packet;
                let path = match entry.stage {
                    Stage::Sent => store::commitment(&packet.source, packet.sequence),
                    _ => store::acknowledgement(&packet.destination, packet.sequence),
                };
                Some((*key, path))
            })
            .collect();
        let (chain, notes, height) = (
            self.path.sides[side].handle.chain.clone(),
            self.notes.clone(),
            block.height,
        );
        tokio::spawn(async move {
            // An error means that the program ends.
            let _ = notes.send(Note::Proved(submit::prove_ahead(chain, wanted, height).await));
        });
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.scan_at {
            self.scan();
        }
        if self.looked.is_none_or(|at| now.duration_since(at) >= LOOK) {
            self.looked = Some(now);
            self.look();
        }
        for (index, lane) in self.path.lanes.iter().enumerate() {
            for from in 0..2 {
                let mine = || {
                    let entries = self.ledger.entries.iter();
                    entries.filter(|(key, entry)| {
                        (key.lane, key.from) == (index, from) && !self.ledger.is_lost(key, entry)
                    })
                };
                let oldest = mine()
                    .map(|(_, entry)| now.saturating_duration_since(entry.heard))
                    .max();
                metrics::pending(&lane.name, self.chain(from), mine().count(), oldest.unwrap_or_default());
            }
        }
    }

    /// Looks after the clients: how long they are trusted still, and whether it is time to refresh them.
    fn look(&mut self) {
        for target in 0..2 {
            let side = &self.path.sides[target];
            let left = side.client.left().unwrap_or_default();
            metrics::client_left(side.handle.chain.id(), &side.client.id, left);
            let fraction = side.client.tracks().config().refresh_fraction;
            let period = side.client.rules().trusting_period;
            self.refresh[target] = period.saturating_sub(left) >= period.mul_f64(fraction);
            self.check_tip(1 - target);
            let handle = side.handle.clone();
            tokio::spawn(async move {
                if let Ok(coins) = handle.wallet.balance(&handle.chain).await {
                    for coin in coins {
                        metrics::balance(handle.chain.id(), &coin.denom, coin.amount);
                    }
                }
            });
        }
    }

    /// Checks that the last block heard of follows from what the other chain's client trusts: while nothing is relayed, no
    /// other header is verified.
    fn check_tip(&self, side: usize) {
        let Some(tip) = self.tips[side] else { return };
        let path = self.path.clone();
        tokio::spawn(async move {
            let other = &path.sides[1 - side];
            let checked = other.client.anchor(tip.height, other.handle.wallet.address()).await;
            // Any other error is found out by what uses the client.
            if let Err(error @ (RelayError::Header { .. } | RelayError::Answer { .. })) = checked {
                tracing::warn!(path = path.name(), "{}", printable(&error.to_string()));
                metrics::error(&path.name());
                path.sides[side].doubt();
            }
        });
    }

    fn scan_soon(&mut self) {
        let earliest = self.last_scan.map_or_else(Instant::now, |last| last + SCAN_PAUSE);
        self.scan_at = self.scan_at.min(earliest).max(Instant::now());
        self.rescan |= self.scanning;
    }

    fn scan(&mut self) {
        let [Some(a), Some(b)] = self.tips else { return };
        if self.scanning {
            return;
        }
        self.scanning = true;
        let (known, resume) = (scan::known(&self.ledger), self.resume.clone());
        let (path, notes) = (self.path.clone(), self.notes.clone());
        tokio::spawn(async move {
            // Clients are read anew too: somebody else may have updated, frozen or recovered one.
            let mut errors = Vec::new();
            for side in &path.sides {
                errors.extend(side.client.refresh().await.err());
            }
            let mut found = scan::scan(path, [a.height, b.height], known, resume).await;
            found.errors.append(&mut errors);
            // An error means that the program ends.
            let _ = notes.send(Note::Scanned(Box::new(found)));
        });
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Proved(proofs) => {
                for (key, proven) in proofs {
                    if let Some(entry) = self.ledger.entries.get_mut(&key) {
                        if entry.provable == proven.height {
                            entry.proof = Some(proven);
                        }
                    }
                }
            }
            Note::Scanned(found) => self.scanned(*found),
            Note::Compared(side, height, times, found) => self.compared(side, height, times, found),
            Note::Reported(side, Ok(sent)) => self.track(side, sent, Vec::new(), None),
            Note::Reported(_, Err(error)) => self.say(&error),
            Note::Flushed(target, flushed, heard) => self.flushed(target, *flushed, heard),
            Note::Landed(target, sent, keys, trusted, included) => self.landed(target, sent, keys, trusted, included),
        }
    }

    fn scanned(&mut self, found: Scan) {
        metrics::scan();
        self.scanning = false;
        self.scanned = true;
        self.last_scan = Some(Instant::now());
        self.scan_at = Instant::now() + self.scan_interval;
        scan::merge(&mut self.ledger, &found);
        self.missing = scan::missing(&self.ledger, &found);
        if std::mem::take(&mut self.rescan) || !found.resume.is_empty() {
            self.scan_soon();
        }
        for error in &found.errors {
            self.say(error);
        }
        self.resume = found.resume;
        if !found.packets.is_empty() {
            tracing::info!(
                path = self.path.name(),
                packets = found.packets.len(),
                "found pending packets in the chains' state"
            );
        }
    }

    /// Starts a round for a side, if there is something to do and none is under way.
    fn flush(&mut self, target: usize) {
        let [Some(a), Some(b)] = self.tips else { return };
        if self.flushing[target] || !self.scanned {
            return;
        }
        let now = Instant::now();
        if self.stopped[target].is_some_and(|until| now < until) {
            return;
        }
        let tips = [a, b];
        let actions = self.ledger.actions(&self.path.lanes, target, tips, now);
        let chores = Chores {
            refresh: std::mem::take(&mut self.refresh[target]),
            close: self.ledger.to_close(target, now),
        };
        if actions.is_empty() && chores.is_empty() {
            return;
        }
        self.flushing[target] = true;
        let fresh = !actions.is_empty() && actions.iter().all(|action| action.proof.is_some());
        let heard = self.heard[1 - target].filter(|_| fresh);
        let (path, notes, height) = (self.path.clone(), self.notes.clone(), tips[1 - target].height);
        tokio::spawn(async move {
            let flushed = submit::flush(&path, target, height, actions, chores).await;
            // An error means that the program ends.
            let _ = notes.send(Note::Flushed(target, Box::new(flushed), heard));
        });
    }

    fn flushed(&mut self, target: usize, flushed: Flushed, heard: Option<Instant>) {
        self.flushing[target] = false;
        if let (Some(heard), false) = (heard, flushed.sent.is_empty()) {
            metrics::submitted(self.chain(target), heard.elapsed());
        }
        for key in &flushed.worth {
            if let Some(entry) = self.ledger.entries.get_mut(key) {
                entry.worth = true;
            }
        }
        let mut errors: Vec<Arc<RelayError>> = Vec::new();
        for (key, kind, outcome) in flushed.outcomes {
            let lane = &self.path.lanes[key.lane].name;
            let Some(entry) = self.ledger.entries.get_mut(&key) else {
                continue;
            };
            if entry.flight != Some(Flight::Preparing) {
                // A block has moved it on meanwhile.
                continue;
            }
            match outcome {
                Outcome::Sent { hash, .. } => entry.flight = Some(Flight::Sent(hash)),
                Outcome::Redundant => {
                    metrics::packets(lane, kind.name(), "redundant", 1);
                    entry.flight = None;
                    entry.wait();
                    self.scan_at = self.scan_at.min(Instant::now() + SCAN_PAUSE);
                }
                Outcome::Left => {
                    entry.flight = None;
                    entry.left = true;
                }
                Outcome::Failed(error) => {
                    entry.flight = None;
                    if matches!(*error, RelayError::Proof { .. }) {
                        entry.doubted = true;
                    }
                    // What stops the whole side is no fault of the packet: it goes on as soon as the side does.
                    if !flushed
                        .stopped
                        .as_ref()
                        .is_some_and(|stopped| Arc::ptr_eq(stopped, &error))
                    {
                        entry.wait();
                    }
                    metrics::packets(lane, kind.name(), "failed", 1);
                    if !errors.iter().any(|known| known.to_string() == error.to_string()) {
                        errors.push(error);
                    }
                }
            }
        }
        for submit::Posted {
            sent,
            packets: keys,
            trusted,
        } in flushed.sent
        {
            tracing::debug!(
                chain = self.chain(target),
                hash = sent.hash,
                packets = keys.len(),
                "sent a transaction"
            );
            self.track(target, sent, keys, trusted);
        }
        for error in flushed.errors.iter().chain(errors.iter().map(|error| &**error)) {
            self.say(error);
        }
        // A proof that proves nothing comes from the chain that the packets come from.
        if flushed.stopped.is_none() && errors.iter().any(|error| error.is_nodes_fault()) {
            self.path.sides[1 - target].handle.chain.next_node();
        }
        if errors.iter().any(|error| matches!(**error, RelayError::Proof { .. })) {
            self.scan_soon();
        }
        if let Some(error) = flushed.stopped {
            let pause = if error.needs_somebody() { LONG_STOPPED } else { STOPPED };
            if errors.is_empty() {
                self.say(&error);
            }
            match *error {
                RelayError::Header { .. } | RelayError::Answer { .. } => self.path.sides[1 - target].doubt(),
                _ if error.is_nodes_fault() => self.path.sides[1 - target].handle.chain.next_node(),
                _ => {}
            }
            self.stopped[target] = Some(Instant::now() + pause);
            self.scan_soon();
        } else {
            self.stopped[target] = None;
        }
    }

    /// Waits until a transaction is in a block.
    fn track(&self, target: usize, sent: Sent, keys: Vec<(Key, Kind)>, trusted: Option<Trusted>) {
        let (handle, notes) = (self.path.sides[target].handle.clone(), self.notes.clone());
        tokio::spawn(async move {
            let mut height = handle.watched.height();
            height.mark_unchanged();
            let end = Instant::now() + LOST;
            let mut included = None;
            while included.is_none() && Instant::now() < end {
                let next = tokio::time::timeout(Duration::from_secs(2), height.changed()).await;
                if matches!(next, Ok(Err(_))) {
                    return;
                }
                included = match handle.wallet.found(&handle.chain, &sent.hash).await {
                    Ok(found) => found.map(Box::new),
                    Err(error) => {
                        tracing::debug!(%error, "looking for a transaction");
                        None
                    }
                };
            }
            if included.is_none() {
                handle.wallet.recount().await;
            }
            // An error means that the program ends.
            let _ = notes.send(Note::Landed(target, sent, keys, trusted, included));
        });
    }

    fn landed(
        &mut self,
        target: usize,
        sent: Sent,
        keys: Vec<(Key, Kind)>,
        trusted: Option<Trusted>,
        included: Option<Box<Included>>,
    ) {
        let chain = self.chain(target).to_string();
        let tip = self.tips[target].map_or(0, |tip| tip.height);
        let Some(included) = included else {
            tracing::warn!(
                chain,
                hash = sent.hash,
                "a transaction is in no block; its packets are tried again"
            );
            metrics::transaction(&chain, "lost", 0, sent.gas);
            self.ledger.landed(&sent.hash, target, None, tip);
            return self.scan_soon();
        };
        for coin in &sent.fee {
            metrics::fee(&chain, &coin.denom, coin.amount);
        }
        let result = if included.code == 0 { "done" } else { "failed" };
        metrics::transaction(&chain, result, included.gas_used, included.gas_wanted);
        for (key, kind) in &keys {
            metrics::packets(&self.path.lanes[key.lane].name, kind.name(), result, 1);
        }
        if included.code == 0 {
            if let Some(trusted) = trusted {
                self.path.sides[target].client.updated(&trusted);
            }
            if self.once {
                self.summary.received += keys.iter().filter(|(_, kind)| *kind == Kind::Receive).count() as u64;
            }
            tracing::debug!(
                chain,
                height = included.height,
                gas = included.gas_used,
                packets = keys.len(),
                "a transaction is in a block"
            );
            if self.ledger.landed(&sent.hash, target, Some(included.height), tip) {
                self.scan_soon();
            }
            return;
        }
        let out_of_gas = (included.codespace.as_str(), included.code) == ("sdk", 11);
        tracing::warn!(
            chain,
            hash = sent.hash,
            code = included.code,
            codespace = included.codespace,
            log = printable(&included.log).chars().take(300).collect::<String>(),
            packets = keys.len(),
            "a transaction failed; its packets are tried again"
        );
        metrics::error(&chain);
        for (key, _) in &keys {
            let Some(entry) = self.ledger.entries.get_mut(key) else {
                continue;
            };
            if entry.flight != Some(Flight::Sent(sent.hash.clone())) {
                continue;
            }
            entry.flight = None;
            // Half as many together, until the one that spoils it is alone; one that lacks gas gets more.
            entry.limit = (keys.len() / 2).max(1);
            if out_of_gas && keys.len() == 1 {
                entry.boost = entry.boost.saturating_mul(3) / 2;
            }
            if !out_of_gas || keys.len() == 1 {
                entry.wait();
            }
        }
        // It also reads the clients anew.
        self.scan_soon();
    }

    /// Says an error: the same one not again for a while.
    fn say(&mut self, error: &RelayError) {
        metrics::error(&self.path.name());
        if self.once {
            self.summary.failed = Some(error.to_string());
        }
        self.said.say(&self.path.name(), error);
    }
}
