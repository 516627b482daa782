//! What is under way on a path: one entry a packet, moved on by the events of both chains.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    chain::Proven,
    packet::{Packet, PacketEvent},
    path::Lane,
    watch::Block,
};

/// The pause after the first failure, doubled with each further one, and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The pause after an end was told that the other one is closed, doubled each time, and how often `clear` tells it.
const CLOSING_PAUSE: Duration = Duration::from_secs(2);
const CLOSING_TRIES: u32 = 4;

/// How far ahead of the last block one may be that a node says our transaction is in.
const AHEAD: u64 = 20;

/// A packet on a path: the channel, the side that sent it, its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub lane: usize,
    pub from: usize,
    pub sequence: u64,
}

impl Key {
    /// All packets of one direction of a channel.
    pub fn all(lane: usize, from: usize) -> std::ops::RangeInclusive<Key> {
        let at = |sequence| Key { lane, from, sequence };
        at(0)..=at(u64::MAX)
    }
}

/// How far a packet has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits to be received, or given up.
    Sent,
    /// Received; the answer is not there yet.
    Received,
    /// The answer waits to be brought back.
    Answered(Arc<Vec<u8>>),
}

/// What is being done about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flight {
    /// A transaction is being made.
    Preparing,
    /// It is with a node.
    Sent(String),
    /// It is in a block of that side, whose events are still to come.
    Included(usize, u64),
}

/// A packet under way.
#[derive(Clone, Debug)]
pub struct Entry {
    pub packet: Arc<Packet>,
    pub stage: Stage,
    /// The block after which the state tells of its stage: of the sending chain while it is sent, of the receiving one after
    /// that.
    pub provable: u64,
    /// The block in which it was sent, if that was seen.
    pub sent_in: Option<u64>,
    pub heard: Instant,
    pub flight: Option<Flight>,
    /// Proof fetched ahead.
    pub proof: Option<Proven>,
    pub attempts: u32,
    not_before: Option<Instant>,
    /// The most messages in its transaction, after one with more ran out of gas.
    pub limit: usize,
    /// Percent of the gas that was found, after that was too little.
    pub boost: u64,
    /// What was heard of it could not be proven: it is to be looked up again.
    pub doubted: bool,
    /// Its reward is too small.
    pub left: bool,
    /// Its reward was found to be enough.
    pub worth: bool,
}

impl Entry {
    pub fn new(packet: Packet, stage: Stage, provable: u64, heard: Instant) -> Self {
        Entry {
            packet: Arc::new(packet),
            stage,
            provable,
            sent_in: None,
            heard,
            flight: None,
            proof: None,
            attempts: 0,
            not_before: None,
            limit: usize::MAX,
            boost: 100,
            doubted: false,
            left: false,
            worth: false,
        }
    }

    /// Takes in what was found instead of what was doubted; the pauses after failures stay.
    pub fn replace(&mut self, found: Entry) {
        *self = Entry {
            attempts: self.attempts,
            not_before: self.not_before,
            limit: self.limit,
            boost: self.boost,
            left: self.left,
            ..found
        };
    }

    /// It is at another stage now.
    pub fn moved(&mut self, stage: Stage, provable: u64) {
        self.stage = stage;
        self.provable = provable;
        self.flight = None;
        self.proof = None;
        self.attempts = 0;
        self.not_before = None;
        self.limit = usize::MAX;
        self.boost = 100;
    }
}

/// What is to be done for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Receive,
    Acknowledge,
    Timeout,
    TimeoutOnClose,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Receive => "receive",
            Kind::Acknowledge => "acknowledge",
            Kind::Timeout => "timeout",
            Kind::TimeoutOnClose => "timeout_on_close",
        }
    }
}

/// The last block of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Tip {
    pub height: u64,
    pub time: u64,
    pub revision: u64,
}

/// A packet's next step.
#[derive(Clone, Debug)]
pub struct Action {
    pub key: Key,
    pub kind: Kind,
    pub packet: Arc<Packet>,
    pub answer: Option<Arc<Vec<u8>>>,
    pub proof: Option<Proven>,
    pub limit: usize,
    pub boost: u64,
    pub worth: bool,
}

/// A packet whose answer came back.
#[derive(Clone, Debug)]
pub struct Ended {
    pub key: Key,
    pub acknowledged: bool,
    /// Blocks of its chain from sending to the end, and the time, if the sending was seen.
    pub took: Option<(u64, Duration)>,
}

/// What a block changed.
#[derive(Debug, Default)]
pub struct Changes {
    pub ended: Vec<Ended>,
    /// Entries that something of this block is to be proven for, by this chain.
    pub to_prove: Vec<Key>,
    /// A transaction of ours was in a block and changed nothing: only chain state tells why.
    pub unclear: bool,
}

/// All packets under way on a path.
#[derive(Debug, Default)]
pub struct Ledger {
    pub entries: BTreeMap<Key, Entry>,
    /// Ends that are closed, by lane and side.
    pub closed: BTreeMap<(usize, usize), bool>,
    /// Open ends that are to hear that the other one is closed.
    closing: BTreeMap<(usize, usize), Closing>,
}

/// How often an end was told, and when it is told again.
#[derive(Clone, Copy, Debug)]
struct Closing {
    times: u32,
    next: Instant,
}

impl Ledger {
    /// Takes in a block of one side.
    pub fn block(&mut self, lanes: &[Lane], side: usize, block: &Block) -> Changes {
        let mut changes = Changes::default();
        let lane_of = |end: &crate::packet::End| lanes.iter().position(|lane| lane.ends[side] == *end);
        let other = 1 - side;
        for event in &block.events {
            match event {
                PacketEvent::Sent(packet) => {
                    let Some(lane) = lane_of(&packet.source) else { continue };
                    if lanes[lane].ends[other] != packet.destination {
                        continue;
                    }
                    let key = Key {
                        lane,
                        from: side,
                        sequence: packet.sequence,
                    };
                    let entry = self
                        .entries
                        .entry(key)
                        .or_insert_with(|| Entry::new(packet.clone(), Stage::Sent, block.height, block.heard));
                    entry.sent_in.get_or_insert(block.height);
                    changes.to_prove.push(key);
                }
                PacketEvent::Received(packet) => {
                    let Some(lane) = lane_of(&packet.destination) else {
                        continue;
                    };
                    let key = Key {
                        lane,
                        from: other,
                        sequence: packet.sequence,
                    };
                    if let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.stage == Stage::Sent) {
                        entry.moved(Stage::Received, block.height);
                    }
                }
                PacketEvent::Answered(packet, answer) => {
                    let Some(lane) = lane_of(&packet.destination) else {
                        continue;
                    };
                    if lanes[lane].ends[other] != packet.source {
                        continue;
                    }
                    let key = Key {
                        lane,
                        from: other,
                        sequence: packet.sequence,
                    };
                    let stage = Stage::Answered(Arc::new(answer.clone()));
                    match self.entries.get_mut(&key) {
                        Some(entry) => {
                            if *entry.packet != *packet {
                                entry.packet = Arc::new(packet.clone());
                            }
                            entry.moved(stage, block.height);
                        }
                        None => {
                            let entry = Entry::new(packet.clone(), stage, block.height, block.heard);
                            self.entries.insert(key, entry);
                        }
                    }
                    changes.to_prove.push(key);
                }
                PacketEvent::Acknowledged(end, sequence) | PacketEvent::TimedOut(end, sequence) => {
                    let Some(lane) = lane_of(end) else { continue };
                    let key = Key {
                        lane,
                        from: side,
                        sequence: *sequence,
                    };
                    let took = self.entries.remove(&key).and_then(|entry| {
                        let blocks = block.height.checked_sub(entry.sent_in?)?;
                        Some((blocks, block.heard.saturating_duration_since(entry.heard)))
                    });
                    changes.ended.push(Ended {
                        key,
                        acknowledged: matches!(event, PacketEvent::Acknowledged(..)),
                        took,
                    });
                }
                PacketEvent::Closed(end) => {
                    let Some(lane) = lane_of(end) else { continue };
                    self.closed.insert((lane, side), true);
                    // Whether that is true, chain state tells.
                    changes.unclear = true;
                }
                PacketEvent::Updated(..) => {}
            }
        }
        for entry in self.entries.values_mut() {
            if matches!(entry.flight, Some(Flight::Included(at, height)) if at == side && height <= block.height) {
                entry.flight = None;
                entry.wait();
                changes.unclear = true;
            }
        }
        changes
    }

    /// A side's blocks go on below what a node told before: whatever was heard of blocks above this one is doubted.
    pub fn doubt_above(&mut self, side: usize, height: u64) {
        for (key, entry) in &mut self.entries {
            let proving = if entry.stage == Stage::Sent {
                key.from
            } else {
                1 - key.from
            };
            if key.from == side && entry.sent_in.is_some_and(|sent| sent > height) {
                entry.sent_in = None;
                entry.doubted = true;
            }
            if proving == side && entry.provable > height {
                entry.doubted = true;
            }
            if matches!(entry.flight, Some(Flight::Included(at, included)) if at == side && included > height) {
                entry.flight = None;
                entry.wait();
            }
        }
    }

    /// What can be done on a side now, with headers of the other one.
    pub fn actions(&mut self, lanes: &[Lane], target: usize, tips: [Tip; 2], now: Instant) -> Vec<Action> {
        let source = 1 - target;
        let mut actions = Vec::new();
        // Where an ordered channel has to wait for an earlier packet.
        let mut blocked: Option<(usize, usize)> = None;
        for (key, entry) in &mut self.entries {
            let Some(lane) = lanes.get(key.lane) else { continue };
            if blocked == Some((key.lane, key.from)) {
                continue;
            }
            let kind = match entry.step(key, target, source, tips, &self.closed) {
                Some(kind) if entry.flight.is_none() && entry.not_before.is_none_or(|at| at <= now) => kind,
                step => {
                    // On an ordered channel nothing overtakes: neither one that waits, nor one that goes the other way.
                    if lane.ordered && (step.is_some() || waits_here(entry, key, target)) {
                        blocked = Some((key.lane, key.from));
                    }
                    continue;
                }
            };
            if lane.ordered && matches!(kind, Kind::Timeout | Kind::TimeoutOnClose) {
                blocked = Some((key.lane, key.from));
            }
            entry.flight = Some(Flight::Preparing);
            actions.push(Action {
                key: *key,
                kind,
                packet: entry.packet.clone(),
                answer: match &entry.stage {
                    Stage::Answered(answer) => Some(answer.clone()),
                    _ => None,
                },
                proof: entry.proof.take(),
                limit: entry.limit,
                boost: entry.boost,
                worth: entry.worth,
            });
        }
        actions
    }

    /// A transaction of ours is over: in a block of a side, whose last block is `tip`, or not at all.
    pub fn landed(&mut self, hash: &str, side: usize, height: Option<u64>, tip: u64) -> bool {
        let mut unclear = false;
        for entry in self.entries.values_mut() {
            if !matches!(&entry.flight, Some(Flight::Sent(sent)) if sent == hash) {
                continue;
            }
            entry.flight = match height {
                // A node that names a block far away is not waited for.
                Some(height) if height > tip => Some(Flight::Included(side, height.min(tip.saturating_add(AHEAD)))),
                Some(_) => {
                    entry.wait();
                    unclear = true;
                    None
                }
                None => None,
            };
        }
        unclear
    }

    /// The lanes whose end on a side is open while the other one is closed, and is to be told that now.
    pub fn to_close(&mut self, target: usize, now: Instant) -> Vec<usize> {
        let closed = &self.closed;
        self.closing
            .retain(|(lane, side), _| is_half_closed(closed, *lane, *side));
        let mut due = Vec::new();
        for (lane, side) in self.closed.keys() {
            if *side != target || !is_half_closed(&self.closed, *lane, target) {
                continue;
            }
            let closing = self
                .closing
                .entry((*lane, target))
                .or_insert(Closing { times: 0, next: now });
            if closing.next > now {
                continue;
            }
            // The first time the proof may not be there yet.
            let pause = (CLOSING_PAUSE * (1 << closing.times.min(8))).min(LONGEST_PAUSE);
            *closing = Closing {
                times: closing.times.saturating_add(1),
                next: now + pause,
            };
            due.push(*lane);
        }
        due
    }

    /// Whether nobody can bring the answer of a packet any more: the end that waits for it is closed.
    pub fn is_lost(&self, key: &Key, entry: &Entry) -> bool {
        matches!(entry.stage, Stage::Received | Stage::Answered(_))
            && self.closed.get(&(key.lane, key.from)) == Some(&true)
    }

    /// Whether nothing is being done, and nothing can be done that was not tried several times.
    pub fn is_idle(&self, tries: u32) -> bool {
        let told = |(at, closing): (&(usize, usize), &Closing)| {
            closing.times >= CLOSING_TRIES || !is_half_closed(&self.closed, at.0, at.1)
        };
        self.closing.iter().all(told)
            && self.entries.iter().all(|(key, entry)| {
                let tried = entry.left || entry.stage == Stage::Received || entry.attempts >= tries;
                // What a closed end sent waits for the other end to be closed, or for its timeout.
                let is_closed = |side: usize| self.closed.get(&(key.lane, side)) == Some(&true);
                let waits = entry.stage == Stage::Sent && is_closed(key.from) && !is_closed(1 - key.from);
                (tried || waits || self.is_lost(key, entry)) && entry.flight.is_none()
            })
    }
}

/// Whether a lane's end on a side is open while the other one is closed.
fn is_half_closed(closed: &BTreeMap<(usize, usize), bool>, lane: usize, side: usize) -> bool {
    closed.get(&(lane, 1 - side)) == Some(&true) && closed.get(&(lane, side)) == Some(&false)
}

/// Whether an entry's message would go to this side, sooner or later.
fn waits_here(entry: &Entry, key: &Key, target: usize) -> bool {
    match entry.stage {
        Stage::Sent => target != key.from,
        _ => target == key.from,
    }
}

impl Entry {
    /// What is to be done next on a side, if anything can be.
    fn step(
        &self,
        key: &Key,
        target: usize,
        source: usize,
        tips: [Tip; 2],
        closed: &BTreeMap<(usize, usize), bool>,
    ) -> Option<Kind> {
        let (here, there) = (&tips[target], &tips[source]);
        let is_closed = |side: usize| closed.get(&(key.lane, side)).copied().unwrap_or(false);
        match &self.stage {
            Stage::Sent if target == key.from => {
                if self.packet.timed_out(there.revision, there.height, there.time) {
                    Some(Kind::Timeout)
                } else if is_closed(source) {
                    Some(Kind::TimeoutOnClose)
                } else {
                    None
                }
            }
            Stage::Sent => {
                let late = self
                    .packet
                    .timed_out(here.revision, here.height.saturating_add(1), here.time);
                // Where the sending end is closed, the answer could not come back.
                let open = !is_closed(target) && !is_closed(source);
                let can = !late && !self.left && open && there.height > self.provable;
                can.then_some(Kind::Receive)
            }
            Stage::Answered(_) if target == key.from => {
                (there.height > self.provable && !is_closed(target)).then_some(Kind::Acknowledge)
            }
            _ => None,
        }
    }

    /// Not again before a while.
    pub fn wait(&mut self) {
        let factor = 1u32 << self.attempts.min(8);
        let pause = (PAUSE * factor).min(LONGEST_PAUSE);
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        self.proof = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::End;

    fn end(channel: &str) -> End {
        End {
            port: "transfer".into(),
            channel: channel.into(),
        }
    }

    fn lane(ordered: bool) -> Vec<Lane> {
        vec![Lane {
            ends: [end("channel-0"), end("channel-1")],
            ordered,
            max_gas: None,
            reward: None,
            rewarding: false,
            name: "lane".into(),
        }]
    }

    fn packet(sequence: u64, timeout: u64) -> Packet {
        Packet {
            sequence,
            source: end("channel-0"),
            destination: end("channel-1"),
            data: vec![1],
            timeout_height: (1, timeout),
            timeout_time: 0,
        }
    }

    fn block(height: u64, events: Vec<PacketEvent>) -> Block {
        Block {
            height,
            time: height,
            heard: Instant::now(),
            events,
            gap: false,
        }
    }

    fn tips(a: u64, b: u64) -> [Tip; 2] {
        [a, b].map(|height| Tip {
            height,
            time: height,
            revision: 1,
        })
    }

    fn kinds(actions: &[Action]) -> Vec<(u64, Kind)> {
        actions
            .iter()
            .map(|action| (action.key.sequence, action.kind))
            .collect()
    }

    /// Later than any pause.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn what_was_heard_of_blocks_that_there_are_not_is_doubted() {
        let mut ledger = Ledger::default();
        let sent = |sequence| PacketEvent::Sent(packet(sequence, 1_000_000));
        ledger.block(&lane(false), 0, &block(10, vec![sent(1), sent(2), sent(3)]));
        ledger.block(
            &lane(false),
            1,
            &block(20, vec![PacketEvent::Received(packet(2, 1_000_000))]),
        );
        // A node told of blocks far away, on both chains.
        ledger.block(&lane(false), 0, &block(1_000, vec![sent(4)]));
        ledger.block(
            &lane(false),
            1,
            &block(2_000, vec![PacketEvent::Received(packet(3, 1_000_000))]),
        );
        let doubted = |ledger: &Ledger| -> Vec<u64> {
            let doubted = ledger.entries.iter().filter(|(_, entry)| entry.doubted);
            doubted.map(|(key, _)| key.sequence).collect()
        };
        ledger.doubt_above(0, 11);
        assert_eq!(doubted(&ledger), [4]);
        ledger.doubt_above(1, 21);
        assert_eq!(doubted(&ledger), [3, 4]);
    }

    #[test]
    fn a_packet_goes_there_and_its_answer_comes_back_each_once_a_header_proves_it() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(&lanes, 0, &block(10, vec![PacketEvent::Sent(packet(1, 100))]));
        let now = Instant::now();
        assert!(
            ledger.actions(&lanes, 1, tips(10, 5), now).is_empty(),
            "no header of the next block yet"
        );
        assert_eq!(
            kinds(&ledger.actions(&lanes, 1, tips(11, 5), now)),
            [(1, Kind::Receive)]
        );
        assert!(
            ledger.actions(&lanes, 1, tips(12, 6), now).is_empty(),
            "it is under way"
        );
        let answered = vec![
            PacketEvent::Received(packet(1, 100)),
            PacketEvent::Answered(packet(1, 100), b"ok".to_vec()),
        ];
        ledger.block(&lanes, 1, &block(7, answered));
        assert!(ledger.actions(&lanes, 0, tips(12, 7), now).is_empty());
        let back = ledger.actions(&lanes, 0, tips(12, 8), now);
        assert_eq!(kinds(&back), [(1, Kind::Acknowledge)]);
        assert_eq!(back[0].answer.as_deref().unwrap(), b"ok");
        let over = ledger.block(
            &lanes,
            0,
            &block(13, vec![PacketEvent::Acknowledged(end("channel-0"), 1)]),
        );
        assert_eq!(over.ended[0].took.unwrap().0, 3, "blocks");
        assert!(ledger.entries.is_empty());
    }

    #[test]
    fn a_late_packet_is_given_up_and_never_sent_on() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(&lanes, 0, &block(10, vec![PacketEvent::Sent(packet(1, 50))]));
        let now = Instant::now();
        assert!(
            ledger.actions(&lanes, 1, tips(20, 49), now).is_empty(),
            "the next block is too late"
        );
        assert!(
            ledger.actions(&lanes, 0, tips(20, 49), now).is_empty(),
            "and not proven so yet"
        );
        assert_eq!(
            kinds(&ledger.actions(&lanes, 0, tips(20, 50), now)),
            [(1, Kind::Timeout)]
        );
    }

    #[test]
    fn packets_to_a_closed_end_are_given_up() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(&lanes, 0, &block(10, vec![PacketEvent::Sent(packet(1, 500))]));
        ledger.closed.insert((0, 1), true);
        assert!(ledger.actions(&lanes, 1, tips(20, 20), Instant::now()).is_empty());
        let actions = ledger.actions(&lanes, 0, tips(20, 20), Instant::now());
        assert_eq!(kinds(&actions), [(1, Kind::TimeoutOnClose)]);
    }

    #[test]
    fn an_end_hears_that_the_other_one_is_closed_until_it_is() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        let now = Instant::now();
        let event = PacketEvent::Closed(end("channel-0"));
        assert!(
            ledger.block(&lanes, 0, &block(10, vec![event])).unclear,
            "it may be false"
        );
        assert!(ledger.to_close(1, now).is_empty(), "nothing is known of the other end");
        ledger.closed.insert((0, 1), false);
        assert!(ledger.to_close(0, now).is_empty(), "it is closed itself");
        assert_eq!(ledger.to_close(1, now), [0]);
        assert!(ledger.to_close(1, now).is_empty(), "it has just been told");
        assert!(!ledger.is_idle(1), "it may have to be told again");
        let times = (1..3600)
            .filter(|second| !ledger.to_close(1, now + Duration::from_secs(*second)).is_empty())
            .count();
        assert!((20..40).contains(&times), "{times} times in an hour");
        assert!(ledger.is_idle(1), "somebody has to do something");
        ledger.block(&lanes, 1, &block(20, vec![PacketEvent::Closed(end("channel-1"))]));
        assert!(ledger.to_close(1, later()).is_empty());
        ledger.closed.insert((0, 0), false);
        ledger.closed.insert((0, 1), false);
        assert!(
            ledger.to_close(1, later()).is_empty(),
            "state has corrected a false event"
        );
    }

    #[test]
    fn what_a_closed_end_sent_is_neither_brought_nor_answered_but_given_up() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(
            &lanes,
            0,
            &block(
                10,
                vec![PacketEvent::Sent(packet(1, 500)), PacketEvent::Sent(packet(2, 500))],
            ),
        );
        let answered = PacketEvent::Answered(packet(2, 500), b"ok".to_vec());
        ledger.block(&lanes, 1, &block(12, vec![answered]));
        ledger.closed.extend([((0, 0), true), ((0, 1), false)]);
        let now = Instant::now();
        assert!(ledger.actions(&lanes, 1, tips(20, 20), now).is_empty());
        assert!(ledger.actions(&lanes, 0, tips(20, 20), now).is_empty());
        assert_eq!(ledger.to_close(1, now), [0]);
        assert!(
            !ledger.is_idle(1),
            "the first is to be given up once the other end is closed"
        );
        ledger.closed.insert((0, 1), true);
        assert_eq!(
            kinds(&ledger.actions(&lanes, 0, tips(20, 20), now)),
            [(1, Kind::TimeoutOnClose)]
        );
        let lost: Vec<u64> = ledger
            .entries
            .iter()
            .filter(|(key, entry)| ledger.is_lost(key, entry))
            .map(|(key, _)| key.sequence)
            .collect();
        assert_eq!(lost, [2]);
        ledger.block(&lanes, 0, &block(21, vec![PacketEvent::TimedOut(end("channel-0"), 1)]));
        assert!(ledger.is_idle(1), "nothing can be done for the second");
    }

    #[test]
    fn on_an_ordered_channel_nothing_overtakes() {
        let (lanes, mut ledger) = (lane(true), Ledger::default());
        let sent = (1..=3)
            .map(|sequence| PacketEvent::Sent(packet(sequence, 500)))
            .collect();
        ledger.block(&lanes, 0, &block(10, sent));
        let first = Key {
            lane: 0,
            from: 0,
            sequence: 1,
        };
        ledger.entries.get_mut(&first).unwrap().wait();
        let now = Instant::now();
        assert!(
            ledger.actions(&lanes, 1, tips(20, 20), now).is_empty(),
            "the first has to wait, so all have"
        );
        let all = ledger.actions(&lanes, 1, tips(20, 20), later());
        assert_eq!(
            kinds(&all),
            [(1, Kind::Receive), (2, Kind::Receive), (3, Kind::Receive)]
        );
    }

    #[test]
    fn a_transaction_that_is_not_in_a_block_gives_its_packets_free() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(&lanes, 0, &block(10, vec![PacketEvent::Sent(packet(1, 500))]));
        ledger.actions(&lanes, 1, tips(11, 5), Instant::now());
        let key = *ledger.entries.keys().next().unwrap();
        ledger.entries.get_mut(&key).unwrap().flight = Some(Flight::Sent("T".into()));
        assert!(!ledger.landed("other", 1, None, 6), "not its transaction");
        assert!(ledger.actions(&lanes, 1, tips(11, 6), later()).is_empty());
        ledger.landed("T", 1, None, 6);
        assert_eq!(
            kinds(&ledger.actions(&lanes, 1, tips(11, 6), later())),
            [(1, Kind::Receive)]
        );
    }

    #[test]
    fn a_transaction_that_changed_nothing_is_unclear() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        ledger.block(&lanes, 0, &block(10, vec![PacketEvent::Sent(packet(1, 500))]));
        ledger.actions(&lanes, 1, tips(11, 5), Instant::now());
        let key = *ledger.entries.keys().next().unwrap();
        ledger.entries.get_mut(&key).unwrap().flight = Some(Flight::Sent("T".into()));
        assert!(
            !ledger.landed("T", 1, Some(7), 6),
            "its block's events are still to come"
        );
        assert!(ledger.block(&lanes, 1, &block(7, vec![])).unclear);
    }

    #[test]
    fn events_of_other_channels_are_left() {
        let (lanes, mut ledger) = (lane(false), Ledger::default());
        let mut other = packet(1, 5);
        other.source = end("channel-9");
        let mut elsewhere = packet(2, 5);
        elsewhere.destination = end("channel-9");
        let events = vec![
            PacketEvent::Sent(other.clone()),
            PacketEvent::Sent(elsewhere),
            PacketEvent::Answered(other, vec![]),
            PacketEvent::Acknowledged(end("channel-9"), 1),
        ];
        ledger.block(&lanes, 0, &block(10, events));
        assert!(ledger.entries.is_empty());
    }
}
