//! Several validators' logs side by side.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{Position, Record};

type Hash = [u8; 32];

/// What a node answered to one question.
type Answers = BTreeSet<Answer>;

/// One answer, in hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    /// Of what the chain said of the codes.
    asked: Hash,
    /// Of what came of the request.
    outcome: Hash,
}

/// A node's log in hashes: some hundred bytes a request, however large requests and answers are.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    records: u64,
    places: BTreeMap<Position, BTreeMap<Hash, Answers>>,
}

impl Summary {
    /// Takes up a record.
    pub fn add(&mut self, record: &Record) {
        self.records += 1;
        let answer = Answer {
            asked: hash(&record.asked),
            outcome: hash(&record.outcome),
        };
        let questions = self.places.entry(record.position.clone()).or_default();
        questions.entry(question(record)).or_default().insert(answer);
    }

    /// Records taken up.
    pub fn records(&self) -> u64 {
        self.records
    }
}

impl<'a> FromIterator<&'a Record> for Summary {
    fn from_iter<T: IntoIterator<Item = &'a Record>>(records: T) -> Self {
        let mut summary = Summary::default();
        records.into_iter().for_each(|record| summary.add(record));
        summary
    }
}

/// In what nodes differ, from the first cause to the last effect.
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
    let positions: BTreeSet<&Position> = logs.iter().flat_map(|log| log.places.keys()).collect();
    for position in positions {
        let here: Vec<&BTreeMap<Hash, Answers>> = logs.iter().filter_map(|log| log.places.get(position)).collect();
        if let Some(questions) = asked_apart(position, &here) {
            comparison.differences.push(Difference {
                position: position.clone(),
                kind: Kind::Request,
                questions,
            });
        }
        let questions: BTreeSet<&Hash> = here.iter().flat_map(|questions| questions.keys()).collect();
        for question in questions {
            let answers: Vec<&Answers> = here.iter().filter_map(|questions| questions.get(question)).collect();
            if answers.len() < 2 {
                comparison.alone += 1;
                continue;
            }
            comparison.shared += 1;
            if let Some(kind) = answered_apart(&answers) {
                comparison.differences.push(Difference {
                    position: position.clone(),
                    kind,
                    questions: BTreeSet::from([*question]),
                });
            }
        }
    }
    comparison
}

/// The questions of a transaction that some node did not ask, where two nodes each asked what the other did not.
fn asked_apart(position: &Position, here: &[&BTreeMap<Hash, Answers>]) -> Option<BTreeSet<Hash>> {
    position.transaction?;
    let misses = |one: &BTreeMap<Hash, Answers>, other: &BTreeMap<Hash, Answers>| {
        one.keys().any(|question| !other.contains_key(question))
    };
    let apart = here.iter().enumerate().any(|(n, one)| {
        here.iter()
            .skip(n + 1)
            .any(|other| misses(one, other) && misses(other, one))
    });
    apart.then(|| {
        let questions = here.iter().flat_map(|questions| questions.keys());
        let lonely = questions.filter(|question| here.iter().any(|one| !one.contains_key(*question)));
        lonely.copied().collect()
    })
}

/// In what the nodes' answers to one question differ, if they have none in common.
fn answered_apart(answers: &[&Answers]) -> Option<Kind> {
    let (first, others) = answers.split_first()?;
    let common = |of: fn(&Answer) -> (Hash, Hash)| {
        first
            .iter()
            .map(of)
            .any(|answer| others.iter().all(|other| other.iter().map(of).any(|o| o == answer)))
    };
    if common(|answer| (answer.asked, answer.outcome)) {
        None
    } else if common(|answer| (answer.asked, [0; 32])) {
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
    use super::*;
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
