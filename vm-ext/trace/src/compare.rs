//! Two validators' logs side by side.

use std::collections::BTreeMap;

use crate::{Asked, Outcome, Position, Record};

/// All that an answer depends on, but the chain's answers and the modules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    position: Position,
    caller: [u8; 32],
    request: Vec<u8>,
    gas_left: u64,
}

/// A request that both nodes answered, and not alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// As the first node logged it.
    pub left: Record,
    /// As the second did.
    pub right: Record,
}

impl Difference {
    /// Whether already the chains' states differ: the nodes were told different things about the codes.
    pub fn in_state(&self) -> bool {
        self.left.asked != self.right.asked
    }
}

/// What two logs have to say of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Requests that are in both logs.
    pub shared: usize,
    /// Requests that are in one alone: simulations, queries, or times in which the other did not log.
    pub alone: usize,
    /// The requests answered differently, by their position on the chain: the first is where the nodes part.
    pub differences: Vec<Difference>,
}

/// Compares two logs by position, caller, request and gas.
///
/// A node may meet a question several times (a check, a simulation, the block); where state differs between those times,
/// so may its answers. What both nodes' sets of answers have in common decides: only where they have none do the nodes
/// differ.
pub fn compare(left: impl IntoIterator<Item = Record>, right: impl IntoIterator<Item = Record>) -> Comparison {
    let (left, mut right) = (by_question(left), by_question(right));
    let mut comparison = Comparison::default();
    for (question, ours) in left {
        let Some(theirs) = right.remove(&question) else {
            comparison.alone += 1;
            continue;
        };
        comparison.shared += 1;
        let agreed = ours
            .iter()
            .any(|our| theirs.iter().any(|their| answer(our) == answer(their)));
        if let (false, Some(left), Some(right)) = (agreed, ours.last(), theirs.last()) {
            comparison.differences.push(Difference {
                left: left.clone(),
                right: right.clone(),
            });
        }
    }
    comparison.alone += right.len();
    comparison
}

fn answer(record: &Record) -> (&[Asked], &Outcome) {
    (&record.asked, &record.outcome)
}

/// In the order of the chain.
fn by_question(records: impl IntoIterator<Item = Record>) -> BTreeMap<Question, Vec<Record>> {
    let mut map: BTreeMap<Question, Vec<Record>> = BTreeMap::new();
    for record in records {
        let question = Question {
            position: record.position.clone(),
            caller: record.caller,
            request: record.request.clone(),
            gas_left: record.gas_left,
        };
        map.entry(question).or_default().push(record);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Said;

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

    #[test]
    fn nodes_that_agree_have_no_differences_whatever_else_they_saw() {
        let left = [record(1, 1, 1), record(2, 2, 1), record(9, 9, 1)];
        let mut right = [record(2, 2, 1), record(1, 1, 1), record(8, 8, 1)];
        right[0].kernels = "avx2".into();
        let comparison = compare(left, right);
        assert_eq!((comparison.shared, comparison.alone), (2, 2));
        assert_eq!(comparison.differences, []);
    }

    #[test]
    fn the_first_difference_is_the_earliest_on_the_chain() {
        let left = [record(3, 1, 1), record(2, 1, 1), record(1, 1, 1)];
        let right = [record(1, 1, 1), record(3, 7, 1), record(2, 8, 1)];
        let heights = |c: &Comparison| -> Vec<u64> { c.differences.iter().map(|d| d.left.position.height).collect() };
        let comparison = compare(left, right);
        assert_eq!(heights(&comparison), [2, 3]);
        assert!(!comparison.differences[0].in_state());
    }

    #[test]
    fn a_difference_in_state_is_told_from_one_in_computing() {
        let comparison = compare([record(1, 1, 1)], [record(1, 1, 2)]);
        assert!(comparison.differences[0].in_state());
    }

    #[test]
    fn a_question_met_twice_is_agreed_on_if_any_answers_meet() {
        let comparison = compare([record(1, 1, 1), record(1, 2, 2)], [record(1, 2, 2)]);
        assert_eq!(comparison.differences, []);
    }
}
