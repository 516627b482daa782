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

/// Packets looked up in one scan, and at the same time. The rest is found by the next scan.
const LOOKUPS: usize = 1000;
const PARALLEL: usize = 8;

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

/// What one scan of a path found.
#[derive(Debug, Default)]
pub struct Scan {
    pub found: Vec<(usize, usize, Pending)>,
    pub closed: BTreeMap<(usize, usize), bool>,
    pub packets: Vec<(Key, Packet, Stage, u64)>,
    pub errors: Vec<RelayError>,
}

/// Reads all channels of a path. `known` is what the ledger has: only of other packets events are looked for.
pub async fn scan(path: Arc<Path>, heights: [u64; 2], known: BTreeMap<Key, Stage>) -> Scan {
    let mut scan = Scan::default();
    let mut wanted = Vec::new();
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
                    for sequence in found.open.keys().copied() {
                        let key = Key {
                            lane: index,
                            from,
                            sequence,
                        };
                        let answered = found.answered.contains(&sequence);
                        let enough = match known.get(&key) {
                            None => false,
                            Some(Stage::Answered(_)) => true,
                            Some(_) => !answered,
                        };
                        if !enough {
                            wanted.push((key, answered));
                        }
                    }
                    scan.found.push((index, from, found));
                }
                Err(error) => scan.errors.push(error),
            }
        }
    }
    wanted.truncate(LOOKUPS);
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

/// Brings the ledger in line with what chain state says.
pub fn merge(ledger: &mut Ledger, scan: &Scan) {
    ledger
        .closed
        .extend(scan.closed.iter().map(|(at, closed)| (*at, *closed)));
    for (lane, from, pending) in &scan.found {
        ledger.entries.retain(|key, entry| {
            let here = (key.lane, key.from) == (*lane, *from);
            // What was sent after the scan's height is not in it.
            let later =
                entry.sent_in.is_none_or(|height| height > pending.heights.0) && entry.provable > pending.heights.0;
            !here || later || entry.flight.is_some() || pending.open.contains_key(&key.sequence)
        });
        for (key, entry) in &mut ledger.entries {
            let here = (key.lane, key.from) == (*lane, *from);
            let received = pending.open.contains_key(&key.sequence) && !pending.unreceived.contains(&key.sequence);
            if here && received && entry.stage == Stage::Sent && entry.flight.is_none() {
                entry.stage = Stage::Received;
            }
        }
    }
    let now = Instant::now();
    for (key, packet, stage, provable) in &scan.packets {
        match ledger.entries.get_mut(key) {
            Some(entry) if entry.stage == *stage || matches!(entry.stage, Stage::Answered(_)) => {}
            Some(entry) if *stage == Stage::Sent && entry.stage == Stage::Received => {}
            Some(entry) => {
                let sent_in = entry.sent_in;
                *entry = Entry::new(packet.clone(), stage.clone(), *provable, entry.heard);
                entry.sent_in = sent_in;
            }
            None => {
                let mut entry = Entry::new(packet.clone(), stage.clone(), *provable, now);
                if let Some((_, _, pending)) = scan
                    .found
                    .iter()
                    .find(|(lane, from, _)| (*lane, *from) == (key.lane, key.from))
                {
                    let received = !pending.unreceived.contains(&key.sequence);
                    if *stage == Stage::Sent && received {
                        entry.stage = Stage::Received;
                    }
                }
                ledger.entries.insert(*key, entry);
            }
        }
    }
}
