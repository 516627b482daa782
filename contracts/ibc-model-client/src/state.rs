//! What the contract keeps.

use cosmwasm_std::{Addr, Empty, StdResult, Storage};
use cw_storage_plus::{Item, Map};

use crate::msg::{Channel, Config, Question};

pub const CONFIG: Item<Config> = Item::new("config");
/// Channels by their name on this chain.
pub const CHANNELS: Map<&str, Channel> = Map::new("channels");
/// The channel that the owner is closing right now.
pub const CLOSING: Item<String> = Item::new("closing");
/// Number of the last question.
pub const LAST_ID: Item<u64> = Item::new("last_id");
/// Questions that have not ended, or whose result is here.
pub const QUESTIONS: Map<u64, Question> = Map::new("questions");
/// The same by initiator.
pub const BY_INITIATOR: Map<(&Addr, u64), Empty> = Map::new("by_initiator");
/// Questions without an answer, by channel and sequence.
pub const PENDING: Map<(&str, u64), u64> = Map::new("pending");
/// Results: encoded acknowledgements in parts, by question and number of the part. The VM takes no value above 128 KiB.
const RESULTS: Map<(u64, u32), Empty> = Map::new("results");
const PART_BYTES: usize = 64 << 10;

/// Stores a question.
pub fn save(storage: &mut dyn Storage, question: &Question) -> StdResult<()> {
    QUESTIONS.save(storage, question.id, question)?;
    BY_INITIATOR.save(storage, (&question.initiator, question.id), &Empty {})
}

/// Removes a question; its result, if there is one, is left.
pub fn remove(storage: &mut dyn Storage, question: &Question) {
    QUESTIONS.remove(storage, question.id);
    BY_INITIATOR.remove(storage, (&question.initiator, question.id));
}

/// Stores a result.
pub fn save_result(storage: &mut dyn Storage, id: u64, result: &[u8]) {
    for (number, part) in (0..).zip(result.chunks(PART_BYTES)) {
        storage.set(&RESULTS.key((id, number)), part);
    }
}

/// The result; empty if there is none.
pub fn load_result(storage: &dyn Storage, id: u64) -> Vec<u8> {
    let parts = (0..).map_while(|number| storage.get(&RESULTS.key((id, number))));
    parts.flatten().collect()
}

/// Removes the result.
pub fn remove_result(storage: &mut dyn Storage, id: u64) {
    for number in 0.. {
        let key = RESULTS.key((id, number));
        if storage.get(&key).is_none() {
            break;
        }
        storage.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmwasm_std::testing::MockStorage;

    #[test]
    fn results_of_any_size_are_kept_whole_and_removed_without_trace() {
        let mut storage = MockStorage::new();
        for length in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 4 * PART_BYTES] {
            let result: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            save_result(&mut storage, 7, &result);
            save_result(&mut storage, 8, &[1]);
            assert_eq!(load_result(&storage, 7), result);
            remove_result(&mut storage, 7);
            assert!(load_result(&storage, 7).is_empty());
            assert_eq!(load_result(&storage, 8), [1]);
        }
    }
}
