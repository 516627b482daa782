//! Models kept ready, least recently used out first, within a limit in bytes. Node-local: it changes no answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::model::LoadedModel;

/// Models by the checksum of their modules.
#[derive(Debug)]
pub(crate) struct ModelCache {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    models: LruCache<[u8; 32], Arc<LoadedModel>>,
    /// Sum of [`weight`] over `models`.
    bytes: u64,
}

impl ModelCache {
    pub(crate) fn new(limit: u64) -> Self {
        ModelCache {
            limit,
            state: Mutex::new(State {
                models: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    pub(crate) fn get(&self, checksum: &[u8; 32]) -> Option<Arc<LoadedModel>> {
        self.lock().models.get(checksum).cloned()
    }

    /// Keeps a model if it fits, at the cost of those not used for longest.
    pub(crate) fn put(&self, model: &Arc<LoadedModel>) {
        if weight(model) > self.limit {
            return;
        }
        let mut state = self.lock();
        state.bytes += weight(model);
        if let Some(old) = state.models.put(model.checksum, model.clone()) {
            state.bytes -= weight(&old);
        }
        while state.bytes > self.limit {
            match state.models.pop_lru() {
                Some((_, old)) => state.bytes -= weight(&old),
                None => break,
            }
        }
    }

    /// Bytes held of one model; None if it is not held. Asking is no use of it.
    pub(crate) fn bytes_of(&self, checksum: &[u8; 32]) -> Option<u64> {
        self.lock().models.peek(checksum).map(|model| weight(model))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two related changes, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(model: &LoadedModel) -> u64 {
    let shards = size_of_val(model.shards.as_slice()) as u64;
    model.program.resident_bytes().saturating_add(shards)
}
