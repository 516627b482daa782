//! Several validators' logs side by side.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::{Position, Record};

type Hash = [u8; 32];

/// [`Position`], in less memory: contracts and entry points come again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    height: u64,
    transaction: Option<u32>,
    contract: Arc<str>,
    entry_point: Arc<str>,
}

impl Place {
    fn position(&self) -> Position {
        Position {
            height: self.height,
            transaction: self.transaction,
            contract: self.contract.to_string(),
            entry_point: self.entry_point.to_string(),
        }
    }
}

/// A record in hashes. In the order of the chain; within a transaction by the gas left, of which there is less and less.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    place: Place,
    gas_left: Reverse<u64>,
    question: Hash,
    /// What the chain said of the codes.
    asked: Hash,
    /// What came of the request.
    outcome: Hash,
}

/// A node's log in hashes: some 150 bytes a request, however large requests and answers are.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    entries: Vec<Entry>,
    names: HashSet<Arc<str>>,
}

impl Summary {
    /// Takes up a record.
    pub fn add(&mut self, record: &Record) {
        let position = &record.position;
        let entry = Entry {
            place: Place {
                height: position.height,
                transaction: position.transaction,
                contract: self.name(&position.contract),
                entry_point: self.name(&position.entry_point),
            },
            gas_left: Reverse(record.gas_left),
            question: question(record),
            asked: hash(&record.asked),
            outcome: hash(&record.outcome),
        };
        self.entries.push(entry);
    }

    /// Records taken up.
    pub fn records(&self) -> usize {
        self.entries.len()
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }
}

impl<'a> FromIterator<&'a Record> for Summary {
    fn from_iter<T: IntoIterator<Item = &'a Record>>(records: T) -> Self {
        let mut summary = Summary::default();
        records.into_iter().for_each(|record| summary.add(record));
        summary
    }
}

/// In what nodes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They asked different things, or with different gas: they parted before, in a contract's state or in gas.
    Request,
    /// They were told different things of the codes: the chains' states differ.
    State,
    /// They were told the same, and answered differently.
    Computing,
}

/// A place on the chain at which nodes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The place.
    pub position: Position,
    /// In what.
    pub kind: Kind,
    questions: BTreeSet<Hash>,
}

impl Difference {
    /// Whether a record is of those that differ.
    pub fn concerns(&self, record: &Record) -> bool {
        self.position == record.position && self.questions.contains(&question(record))
    }
}

/// What logs have to say of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Questions that are in two logs or more.
    pub shared: u64,
    /// Questions that are in one alone: simulations, queries, or times in which the others did not log.
    pub alone: u64,
    /// Where nodes differ, by the position on the chain: the first is where they part.
    pub differences: Vec<Difference>,
}

/// Compares logs by position, caller, request and gas.
///
/// A node may meet a question several times (a simulation, a query, a block); where state differs between those times, so
/// may its answers. What all nodes' sets of answers have in common decides: only where they have nothing do the nodes
/// differ.
///
/// Within a transaction all nodes ask the same. A log may begin or end in the middle of one, so only where each of two
/// nodes asked what the other did not is that a difference.
pub fn compare(logs: &[Summary]) -> Comparison {
    let mut comparison = Comparison::default();
    let all = logs.iter().enumerate();
    let mut all: Vec<Said> = all
        .flat_map(|(node, log)| log.entries.iter().map(move |entry| Said { node, entry }))
        .collect();
    all.sort_unstable_by_key(|said| {
        (
            &said.entry.place,
            said.entry.gas_left,
            &said.entry.question,
            said.node,
            said.entry,
        )
    });
    all.dedup();
    for here in all.chunk_by(|a, b| a.entry.place == b.entry.place) {
        let Some(first) = here.first() else { continue };
        let mut differ = |kind, questions| {
            comparison.differences.push(Difference {
                position: first.entry.place.position(),
                kind,
                questions,
            });
        };
        for answers in here.chunk_by(|a, b| a.entry.question == b.entry.question) {
            let nodes: Vec<&[Said]> = answers.chunk_by(|a, b| a.node == b.node).collect();
            if nodes.len() < 2 {
                comparison.alone += 1;
                continue;
            }
            comparison.shared += 1;
            if let Some(kind) = answered_apart(&nodes) {
                differ(kind, answers.iter().map(|said| said.entry.question).collect());
            }
        }
        // After an answer that differs the questions may, so this comes last.
        if let Some(questions) = asked_apart(here) {
            differ(Kind::Request, questions);
        }
    }
    comparison
}

/// What a node said.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Said<'a> {
    node: usize,
    entry: &'a Entry,
}

/// The questions of a transaction that some node did not ask, where two nodes each asked what the other did not.
fn asked_apart(here: &[Said]) -> Option<BTreeSet<Hash>> {
    here.first()?.entry.place.transaction?;
    let mut nodes: BTreeMap<usize, BTreeSet<Hash>> = BTreeMap::new();
    for said in here {
        nodes.entry(said.node).or_default().insert(said.entry.question);
    }
    let nodes: Vec<BTreeSet<Hash>> = nodes.into_values().collect();
    let mut pairs = nodes.iter().enumerate().flat_map(|(n, one)| {
        let others = nodes.iter().skip(n + 1);
        others.map(move |other| (one, other))
    });
    if !pairs.any(|(one, other)| !one.is_subset(other) && !other.is_subset(one)) {
        return None;
    }
    let lonely = |question: &&Hash| nodes.iter().any(|node| !node.contains(*question));
    Some(nodes.iter().flatten().filter(lonely).copied().collect())
}

/// In what the nodes' answers to one question differ, if they have none in common.
fn answered_apart(nodes: &[&[Said]]) -> Option<Kind> {
    let (first, others) = nodes.split_first()?;
    let in_common = |alike: fn(&Entry, &Entry) -> bool| {
        let in_all = |one: &Said| {
            others
                .iter()
                .all(|node| node.iter().any(|other| alike(one.entry, other.entry)))
        };
        first.iter().any(in_all)
    };
    if in_common(|a, b| a.asked == b.asked && a.outcome == b.outcome) {
        None
    } else if in_common(|a, b| a.asked == b.asked) {
        Some(Kind::Computing)
    } else {
        Some(Kind::State)
    }
}

/// All that an answer depends on, but the position, the chain's answers and the modules.
fn question(record: &Record) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(record.caller);
    hasher.update(record.gas_left.to_be_bytes());
    hasher.update(&record.request);
    hasher.finalize().into()
}

/// The hash of a part of a record, as the log writes it.
fn hash(part: &impl serde::Serialize) -> Hash {
    // Plain data, with text for keys: it has a JSON form. Were there none, parts without one would count as equal.
    let bytes = serde_json::to_vec(part).unwrap_or_default();
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::{compare, Comparison, Kind, Position, Record, Summary};
    use crate::{Asked, Outcome, Said};

    fn record(height: u64, response: u8, checksum: u8) -> Record {
        Record {
            position: Position {
                height,
                transaction: Some(0),
                contract: "wasm1contract".into(),
                entry_point: "execute".into(),
            },
            caller: [1; 32],
            request: vec![1],
            gas_left: 100,
            asked: vec![Asked {
                code_id: 1,
                said: Said::Checksum([checksum; 32]),
                gas: 5,
            }],
            outcome: Outcome::Done {
                response: vec![response],
                gas: 10,
                external: 5,
            },
            kernels: "scalar".into(),
            version: "test".into(),
        }
    }

    fn with_gas(height: u64, gas_left: u64) -> Record {
        Record {
            gas_left,
            ..record(height, 1, 1)
        }
    }

    fn compared(logs: &[&[Record]]) -> Comparison {
        let summaries: Vec<Summary> = logs.iter().map(|log| log.iter().collect()).collect();
        compare(&summaries)
    }

    fn found(comparison: &Comparison) -> Vec<(u64, Kind)> {
        let differences = comparison.differences.iter();
        differences.map(|d| (d.position.height, d.kind)).collect()
    }

    #[test]
    fn nodes_that_agree_have_no_differences_whatever_else_they_saw() {
        let left = [record(1, 1, 1), record(2, 2, 1), record(9, 9, 1)];
        let mut right = [record(2, 2, 1), record(1, 1, 1), record(8, 8, 1)];
        right[0].kernels = "avx2".into();
        let comparison = compared(&[&left, &right]);
        assert_eq!((comparison.shared, comparison.alone), (2, 2));
        assert_eq!(comparison.differences, []);
    }

    #[test]
    fn the_first_difference_is_the_earliest_on_the_chain() {
        let left = [record(3, 1, 1), record(2, 1, 1), record(1, 1, 1)];
        let right = [record(1, 1, 1), record(3, 7, 1), record(2, 8, 1)];
        let comparison = compared(&[&left, &right]);
        assert_eq!(found(&comparison), [(2, Kind::Computing), (3, Kind::Computing)]);
        let first = &comparison.differences[0];
        let concerned: Vec<bool> = left.iter().map(|record| first.concerns(record)).collect();
        assert_eq!(concerned, [false, true, false]);
    }

    #[test]
    fn a_difference_in_state_is_told_from_one_in_computing() {
        let comparison = compared(&[&[record(1, 1, 1)], &[record(1, 1, 2)]]);
        assert_eq!(found(&comparison), [(1, Kind::State)]);
    }

    #[test]
    fn a_question_met_twice_is_agreed_on_if_any_answers_meet() {
        let comparison = compared(&[&[record(1, 1, 1), record(1, 2, 2)], &[record(1, 2, 2)]]);
        assert_eq!(comparison.differences, []);
    }

    #[test]
    fn one_of_many_that_differs_is_a_difference_also_where_some_did_not_log() {
        let same = [record(1, 1, 1), record(2, 1, 1)];
        let comparison = compared(&[&same, &same[..1], &same, &[record(2, 7, 1)]]);
        assert_eq!((comparison.shared, comparison.alone), (2, 0));
        assert_eq!(found(&comparison), [(2, Kind::Computing)]);
    }

    #[test]
    fn other_gas_in_a_transaction_is_a_difference() {
        let comparison = compared(&[&[with_gas(4, 100)], &[with_gas(4, 99)]]);
        assert_eq!(found(&comparison), [(4, Kind::Request)]);
        assert!(comparison.differences[0].concerns(&with_gas(4, 99)));
    }

    #[test]
    fn within_a_transaction_the_first_answer_that_differs_comes_before_what_follows_from_it() {
        let mut other = with_gas(4, 100);
        other.outcome = Outcome::OutOfGas { gas: 1, external: 0 };
        let left = [with_gas(4, 80), with_gas(4, 100), with_gas(4, 200)];
        let right = [with_gas(4, 200), other, with_gas(4, 90)];
        let comparison = compared(&[&left, &right]);
        assert_eq!(found(&comparison), [(4, Kind::Computing), (4, Kind::Request)]);
        assert!(comparison.differences[0].concerns(&left[1]) && !comparison.differences[0].concerns(&left[0]));
    }

    #[test]
    fn a_log_that_ends_in_the_middle_of_a_transaction_is_no_difference() {
        let comparison = compared(&[&[with_gas(4, 100), with_gas(4, 50)], &[with_gas(4, 100)]]);
        assert_eq!(found(&comparison), []);
    }

    #[test]
    fn queries_may_ask_what_they_like() {
        let query = |gas_left| {
            let mut record = with_gas(4, gas_left);
            record.position.transaction = None;
            record
        };
        let comparison = compared(&[&[query(100)], &[query(99)]]);
        assert_eq!((comparison.alone, found(&comparison)), (2, vec![]));
    }
}
