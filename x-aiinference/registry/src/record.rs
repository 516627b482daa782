//! Records that are stored as protobuf. That takes far fewer bytes than JSON: digests are stored as they are, and names of fields not at
//! all.

use std::marker::PhantomData;

use cosmwasm_std::{Empty, StdError, StdResult, Storage};
use cw_storage_plus::{Map, Prefix, PrimaryKey};
use prost::Message;

/// Records by key.
pub struct Records<K, R> {
    keys: Map<K, Empty>,
    records: PhantomData<R>,
}

impl<'a, K: PrimaryKey<'a>, R: Message + Default> Records<K, R> {
    pub const fn new(namespace: &'static str) -> Self {
        Records {
            keys: Map::new(namespace),
            records: PhantomData,
        }
    }

    pub fn has(&self, storage: &dyn Storage, key: K) -> bool {
        self.keys.has(storage, key)
    }

    pub fn may_load(&self, storage: &dyn Storage, key: K) -> StdResult<Option<R>> {
        let read = |bytes: Vec<u8>| R::decode_length_delimited(&bytes[..]);
        let record = storage.get(&self.keys.key(key)).map(read).transpose();
        record.map_err(|error| StdError::msg(format!("reading a record of the registry: {error}")))
    }

    pub fn save(&self, storage: &mut dyn Storage, key: K, record: &R) {
        // With its length: a value of a contract's storage is never empty, and a record may be.
        storage.set(&self.keys.key(key), &record.encode_length_delimited_to_vec());
    }

    pub fn remove(&self, storage: &mut dyn Storage, key: K) {
        self.keys.remove(storage, key);
    }

    /// The keys that begin so. Their records are to be loaded by key.
    pub fn prefix(&self, prefix: K::Prefix) -> Prefix<K::Suffix, Empty, K::Suffix> {
        self.keys.prefix(prefix)
    }
}
