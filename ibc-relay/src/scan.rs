//! What is pending, read from the state of both chains. Nothing else is needed to go on after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{stream, StreamExt};
use tokio::time::Instant;

use crate::{
    chain::Chain,
    error::{RelayError, Result},
    ledger::{Entry, Key, Ledger, Stage},
    packet::{End, Packet},
    path::Path,
    proto::channel::State,
};

/// Packets looked up in one scan, and at the same time. The rest is found by the next scans, which go on where this one
/// ended.
const LOOKUPS: usize = 1000;
const PARALLEL: usize = 8;

/// Packets of one direction of a channel that each scan looks up at least, however many there are of others.
const SHARE: usize = 20;

/// Sequences asked about in one request.
const CHUNK: usize = 500;

/// What chain state says of one direction of a channel.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// All that was sent and is not over, with its commitment.
    pub open: BTreeMap<u64, Vec<u8>>,
    /// Those of it that were not received.
    pub unreceived: BTreeSet<u64>,
    /// Those of it that were answered.
    pub answered: BTreeSet<u64>,
    /// The heights of the sending and of the receiving chain that this is from.
    pub heights: (u64, u64),
}

/// Reads one direction of a channel.
pub async fn pending(
    source: &Chain,
    from: &End,
    destination: &Chain,
    to: &End,
    heights: (u64, u64),
) -> Result<Pending> {
    // The sending chain first: what it still has when the other one is read later cannot look unreceived by mistake.
    let open: BTreeMap<u64, Vec<u8>> = source.commitments(from, heights.0).await?.into_iter().collect();
    let sequences: Vec<u64> = open.keys().copied().collect();
    let mut found = Pending {
        open,
        heights,
        ..Default::default()
    };
    for chunk in sequences.chunks(CHUNK) {
        let unreceived: BTreeSet<u64> = destination
            .unreceived(to, chunk, heights.1)
            .await?
            .into_iter()
            .collect();
        let received: Vec<u64> = chunk.iter().copied().filter(|one| !unreceived.contains(one)).collect();
        if !received.is_empty() {
            found
                .answered
                .extend(destination.answered(to, &received, heights.1).await?);
        }
        found.unreceived.extend(unreceived);
    }
    Ok(found)
}

impl Pending {
    /// What the ledger's packets lack, after a sequence, in order: with whether it was answered.
    fn wanted(
        &self,
        known: &Known,
        (lane, from): (usize, usize),
        after: u64,
    ) -> impl Iterator<Item = (Key, bool)> + '_ {
        let open = self.open.range(after.saturating_add(1)..);
        let known: BTreeMap<u64, &Knows> = known
            .range(Key::all(lane, from))
            .map(|(key, knows)| (key.sequence, knows))
            .collect();
        let lacking: Vec<(Key, bool)> = open
            .filter_map(|(sequence, commitment)| {
                let answered = self.answered.contains(sequence);
                let enough = known
                    .get(sequence)
                    .is_some_and(|knows| knows.commitment[..] == commitment[..] && (knows.answer || !answered));
                let key = Key {
                    lane,
                    from,
                    sequence: *sequence,
                };
                (!enough).then_some((key, answered))
            })
            .collect();
        lacking.into_iter()
    }

    /// Whether a packet was open when it was read.
    fn is_open(&self, sequence: u64) -> bool {
        self.open.contains_key(&sequence)
    }

    /// Whether an entry is of later blocks than this.
    fn is_before(&self, entry: &Entry) -> bool {
        let (sending, receiving) = self.heights;
        match (entry.sent_in, &entry.stage) {
            _ if entry.doubted => false,
            (Some(height), _) => height > sending,
            (None, Stage::Sent) => entry.provable > sending,
            (None, Stage::Received | Stage::Answered(_)) => entry.provable > receiving,
        }
    }

    /// Brings an open packet to the stage that this tells of, unless its own is of a later block.
    fn correct(&self, sequence: u64, entry: &mut Entry) {
        let (sending, receiving) = self.heights;
        let received = !self.unreceived.contains(&sequence);
        let later = entry.provable > receiving && !entry.doubted;
        match &entry.stage {
            Stage::Sent if received => entry.moved(Stage::Received, receiving),
            Stage::Received | Stage::Answered(_) if later => {}
            Stage::Received | Stage::Answered(_) if !received => entry.moved(Stage::Sent, sending),
            Stage::Answered(_) if !self.answered.contains(&sequence) => entry.moved(Stage::Received, receiving),
            _ => {}
        }
    }
}

/// What a ledger knows of its packets; without those that it doubts.
pub type Known = BTreeMap<Key, Knows>;

/// What is known of a packet.
#[derive(Clone, Debug)]
pub struct Knows {
    pub commitment: [u8; 32],
    /// Whether its answer is known.
    pub answer: bool,
}

/// What the ledger knows.
pub fn known(ledger: &Ledger) -> Known {
    let sure = ledger.entries.iter().filter(|(_, entry)| !entry.doubted);
    sure.map(|(key, entry)| {
        let knows = Knows {
            commitment: entry.packet.commitment(),
            answer: matches!(entry.stage, Stage::Answered(_)),
        };
        (*key, knows)
    })
    .collect()
}

/// Where scans of a path's directions go on: after these sequences. Of those that are not in it, from the start.
pub type Resume = BTreeMap<(usize, usize), u64>;

/// What one scan of a path found.
#[derive(Debug, Default)]
pub struct Scan {
    pub found: Vec<(usize, usize, Pending)>,
    pub closed: BTreeMap<(usize, usize), bool>,
    pub packets: Vec<(Key, Packet, Stage, u64)>,
    pub errors: Vec<RelayError>,
    /// Where the next one goes on; empty: everything was looked up.
    pub resume: Resume,
}

/// Reads all channels of a path. Only of packets that are not known events are looked for.
pub async fn scan(path: Arc<Path>, heights: [u64; 2], known: Known, resume: Resume) -> Scan {
    let mut scan = Scan::default();
    let mut wanted = Vec::new();
    let share = (LOOKUPS / (2 * path.lanes.len()).max(1)).max(SHARE);
    for (index, lane) in path.lanes.iter().enumerate() {
        for from in 0..2 {
            let to = 1 - from;
            let (source, destination) = (&path.sides[from].handle.chain, &path.sides[to].handle.chain);
            match source.channel(&lane.ends[from]).await {
                Ok(end) => drop(scan.closed.insert((index, from), end.state == State::Closed as i32)),
                Err(error) => scan.errors.push(error),
            }
            let heights = (heights[from], heights[to]);
            match pending(source, &lane.ends[from], destination, &lane.ends[to], heights).await {
                Ok(found) => {
                    let after = resume.get(&(index, from)).copied().unwrap_or(0);
                    let (chosen, last) = chosen(found.wanted(&known, (index, from), after), share);
                    if let Some(last) = last {
                        scan.resume.insert((index, from), last);
                    }
                    wanted.extend(chosen);
                    scan.found.push((index, from, found));
                }
                Err(error) => scan.errors.push(error),
            }
        }
    }
    let lookups = wanted.into_iter().map(|(key, answered)| {
        let path = path.clone();
        async move { look_up(&path, key, answered).await }
    });
    let results: Vec<_> = stream::iter(lookups).buffer_unordered(PARALLEL).collect().await;
    for result in results {
        match result {
            Ok((key, packet, stage, provable)) => {
                let mut found = scan
                    .found
                    .iter()
                    .filter(|(lane, from, _)| (*lane, *from) == (key.lane, key.from));
                let commitment = found.find_map(|(_, _, pending)| pending.open.get(&key.sequence));
                match commitment {
                    Some(bytes) if bytes[..] == packet.commitment() => {
                        scan.packets.push((key, packet, stage, provable))
                    }
                    _ => scan.errors.push(path.sides[key.from].handle.chain.answer(
                        "tx_search",
                        format!("packet {} is not the one that was sent", key.sequence),
                    )),
                }
            }
            Err(error) => scan.errors.push(error),
        }
    }
    scan
}

/// The first of what is wanted, and the last sequence of those if there are more.
fn chosen(wanted: impl Iterator<Item = (Key, bool)>, share: usize) -> (Vec<(Key, bool)>, Option<u64>) {
    let mut wanted = wanted.peekable();
    let chosen: Vec<_> = wanted.by_ref().take(share).collect();
    let last = chosen.last().map(|(key, _)| key.sequence);
    let more = wanted.peek().is_some();
    (chosen, last.filter(|_| more))
}

async fn look_up(path: &Path, key: Key, answered: bool) -> Result<(Key, Packet, Stage, u64)> {
    let ends = &path.lanes[key.lane].ends;
    let to = 1 - key.from;
    if answered {
        let chain = &path.sides[to].handle.chain;
        let ((packet, answer), height) = chain.find_answered(&ends[to], key.sequence).await?;
        return Ok((key, packet, Stage::Answered(Arc::new(answer)), height));
    }
    let chain = &path.sides[key.from].handle.chain;
    let (packet, height) = chain.find_sent(&ends[key.from], key.sequence).await?;
    Ok((key, packet, Stage::Sent, height))
}

/// How many of the packets that a scan found open are not in the ledger.
pub fn missing(ledger: &Ledger, scan: &Scan) -> usize {
    let lacking = |(lane, from, pending): &(usize, usize, Pending)| {
        let known: BTreeSet<u64> = ledger
            .entries
            .range(Key::all(*lane, *from))
            .map(|(key, _)| key.sequence)
            .collect();
        pending.open.keys().filter(|sequence| !known.contains(sequence)).count()
    };
    scan.found.iter().map(lacking).sum()
}

/// Brings the ledger in line with what chain state says: false events of a node last until then.
pub fn merge(ledger: &mut Ledger, scan: &Scan) {
    ledger
        .closed
        .extend(scan.closed.iter().map(|(at, closed)| (*at, *closed)));
    let read: BTreeMap<(usize, usize), &Pending> = scan
        .found
        .iter()
        .map(|(lane, from, pending)| ((*lane, *from), pending))
        .collect();
    let pending = |key: &Key| read.get(&(key.lane, key.from)).copied();
    ledger.entries.retain(|key, entry| {
        pending(key).is_none_or(|pending| {
            // What was sent after the scan's height is not in it.
            pending.is_open(key.sequence) || entry.flight.is_some() || pending.is_before(entry)
        })
    });
    let now = Instant::now();
    for (key, packet, stage, height) in &scan.packets {
        let Some(pending) = pending(key) else { continue };
        // State tells of it at the heights of the scan, wherever the node says that the event was.
        let height = match stage {
            Stage::Sent => pending.heights.0.min(*height),
            _ => pending.heights.1.min(*height),
        };
        let found = |heard| Entry::new(packet.clone(), stage.clone(), height, heard);
        match ledger.entries.get_mut(key) {
            None => drop(ledger.entries.insert(*key, found(now))),
            Some(entry) if entry.flight.is_some() => {}
            Some(entry) if entry.doubted || *entry.packet != *packet => entry.replace(found(entry.heard)),
            Some(entry)
                if matches!(
                    (stage, &entry.stage),
                    (Stage::Answered(_), Stage::Sent | Stage::Received)
                ) =>
            {
                entry.moved(stage.clone(), height)
            }
            Some(_) => {}
        }
    }
    for (key, entry) in &mut ledger.entries {
        if let Some(pending) = pending(key).filter(|pending| pending.is_open(key.sequence)) {
            if entry.flight.is_none() {
                pending.correct(key.sequence, entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIGHTS: (u64, u64) = (100, 200);

    fn packet(sequence: u64, data: &[u8]) -> Packet {
        let end = |channel: &str| End {
            port: "transfer".into(),
            channel: channel.into(),
        };
        Packet {
            sequence,
            source: end("channel-0"),
            destination: end("channel-1"),
            data: data.into(),
            timeout_height: (0, 0),
            timeout_time: 1,
        }
    }

    fn key(sequence: u64) -> Key {
        Key {
            lane: 0,
            from: 0,
            sequence,
        }
    }

    fn answered() -> Stage {
        Stage::Answered(Arc::new(b"ok".to_vec()))
    }

    /// A ledger with packet 1 at a stage that a block told of.
    fn ledger(stage: Stage, height: u64) -> Ledger {
        let mut ledger = Ledger::default();
        let entry = Entry::new(packet(1, b"data"), stage, height, Instant::now());
        ledger.entries.insert(key(1), entry);
        ledger
    }

    /// What state says: packet 1 is open; whether it was received, and answered.
    fn state(received: bool, is_answered: bool) -> Scan {
        let mut pending = Pending {
            open: BTreeMap::from([(1, packet(1, b"data").commitment().to_vec())]),
            heights: HEIGHTS,
            ..Default::default()
        };
        match received {
            true => pending.answered.extend(is_answered.then_some(1)),
            false => drop(pending.unreceived.insert(1)),
        }
        Scan {
            found: vec![(0, 0, pending)],
            ..Default::default()
        }
    }

    fn stage(ledger: &Ledger) -> (Stage, u64) {
        let entry = &ledger.entries[&key(1)];
        (entry.stage.clone(), entry.provable)
    }

    #[test]
    fn what_is_falsely_called_received_or_answered_goes_back() {
        for told in [Stage::Received, answered()] {
            let mut ledger = ledger(told, 150);
            merge(&mut ledger, &state(false, false));
            assert_eq!(stage(&ledger), (Stage::Sent, 100), "provable on the sending chain");
        }
        let mut ledger = ledger(answered(), 150);
        merge(&mut ledger, &state(true, false));
        assert_eq!(stage(&ledger), (Stage::Received, 200));
    }

    #[test]
    fn what_later_blocks_tell_stands() {
        for told in [Stage::Received, answered()] {
            let mut ledger = ledger(told.clone(), 201);
            merge(&mut ledger, &state(false, false));
            assert_eq!(stage(&ledger), (told, 201));
        }
        let mut over = state(true, true);
        over.found[0].2.open.clear();
        let mut later = ledger(answered(), 201);
        merge(&mut later, &over);
        assert_eq!(later.entries.len(), 1, "answered after the scan's block");
        let mut before = ledger(answered(), 199);
        merge(&mut before, &over);
        assert!(before.entries.is_empty(), "the heights of two chains are not compared");
    }

    #[test]
    fn what_was_never_sent_is_removed() {
        let mut made_up = ledger(Stage::Sent, 99);
        made_up.entries.get_mut(&key(1)).unwrap().sent_in = Some(99);
        let mut none = state(false, false);
        none.found[0].2.open.clear();
        merge(&mut made_up, &none);
        assert!(made_up.entries.is_empty());
        let mut doubted = ledger(Stage::Sent, 101);
        merge(&mut doubted, &none);
        assert_eq!(doubted.entries.len(), 1, "of a later block");
        doubted.entries.get_mut(&key(1)).unwrap().doubted = true;
        merge(&mut doubted, &none);
        assert!(doubted.entries.is_empty(), "but not proven");
    }

    #[test]
    fn a_packet_with_another_commitment_is_looked_up_and_replaced() {
        let mut ledger = ledger(Stage::Sent, 99);
        let mut scan = state(false, false);
        let wanted = |ledger: &Ledger, scan: &Scan| -> Vec<(Key, bool)> {
            scan.found[0].2.wanted(&known(ledger), (0, 0), 0).collect()
        };
        assert!(wanted(&ledger, &scan).is_empty());
        let entry = ledger.entries.get_mut(&key(1)).unwrap();
        entry.packet = Arc::new(packet(1, b"false"));
        entry.wait();
        assert_eq!(wanted(&ledger, &scan), [(key(1), false)]);
        scan.packets.push((key(1), packet(1, b"data"), Stage::Sent, u64::MAX));
        merge(&mut ledger, &scan);
        let entry = &ledger.entries[&key(1)];
        assert_eq!(entry.packet.data, b"data");
        assert_eq!(entry.attempts, 1, "a node that lies on does not make us hurry");
        assert_eq!(entry.provable, 100, "state has it, wherever the event is said to be");
        assert!(wanted(&ledger, &scan).is_empty());
    }

    #[test]
    fn what_could_not_be_proven_is_looked_up_and_replaced() {
        let mut ledger = ledger(answered(), 150);
        let mut scan = state(true, true);
        assert_eq!(scan.found[0].2.wanted(&known(&ledger), (0, 0), 0).count(), 0);
        ledger.entries.get_mut(&key(1)).unwrap().doubted = true;
        assert_eq!(scan.found[0].2.wanted(&known(&ledger), (0, 0), 0).count(), 1);
        let truth = Stage::Answered(Arc::new(b"truth".to_vec()));
        scan.packets.push((key(1), packet(1, b"data"), truth.clone(), 160));
        merge(&mut ledger, &scan);
        assert_eq!(stage(&ledger), (truth, 160));
        assert!(!ledger.entries[&key(1)].doubted);
    }

    #[test]
    fn packets_that_cannot_be_found_hide_no_others() {
        let open = |count| Pending {
            open: (1..=count).map(|sequence| (sequence, vec![])).collect(),
            ..Default::default()
        };
        let (pending, mut after, mut seen) = (open(2500), 0, Vec::new());
        loop {
            let (some, last) = chosen(pending.wanted(&Known::new(), (0, 0), after), 1000);
            assert!(some.len() <= 1000);
            seen.extend(some.iter().map(|(key, _)| key.sequence));
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        assert_eq!(seen, (1..=2500).collect::<Vec<u64>>(), "each once, none left out");
        assert_eq!(chosen(open(1000).wanted(&Known::new(), (0, 0), 0), 1000).1, None);
        assert_eq!(chosen(open(0).wanted(&Known::new(), (0, 0), 0), 1000).1, None);
        let scan = Scan {
            found: vec![(0, 0, open(2500))],
            ..Default::default()
        };
        assert_eq!(missing(&ledger(Stage::Sent, 1), &scan), 2499);
    }
}
