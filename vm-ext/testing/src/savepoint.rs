//! A storage over another whose changes are applied or forgotten.

use std::{collections::BTreeMap, iter::Peekable, ops::Bound};

use cosmwasm_std::{Order, Record, Storage};

/// Changes over a storage.
pub(crate) struct Savepoint<'a> {
    base: &'a dyn Storage,
    changes: Changes,
}

/// Values by key; none where one was removed.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    pub(crate) fn apply(self, storage: &mut dyn Storage) {
        for (key, value) in self.0 {
            match value {
                Some(value) => storage.set(&key, &value),
                None => storage.remove(&key),
            }
        }
    }
}

impl<'a> Savepoint<'a> {
    pub(crate) fn new(base: &'a dyn Storage) -> Self {
        Savepoint {
            base,
            changes: Changes::default(),
        }
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

impl Storage for Savepoint<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.0.get(key) {
            Some(change) => change.clone(),
            None => self.base.get(key),
        }
    }

    fn range<'a>(
        &'a self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        order: Order,
    ) -> Box<dyn Iterator<Item = Record> + 'a> {
        // A tree panics at a range whose end is before its start.
        if matches!((start, end), (Some(start), Some(end)) if start >= end) {
            return Box::new(std::iter::empty());
        }
        let bounds = (
            start.map_or(Bound::Unbounded, |start| Bound::Included(start.to_vec())),
            end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.to_vec())),
        );
        let changes = self
            .changes
            .0
            .range(bounds)
            .map(|(key, value)| (key.clone(), value.clone()));
        let changes: Box<dyn Iterator<Item = Change> + 'a> = match order {
            Order::Ascending => Box::new(changes),
            Order::Descending => Box::new(changes.rev()),
        };
        Box::new(Merged {
            base: self.base.range(start, end, order).peekable(),
            changes: changes.peekable(),
            order,
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.changes.0.insert(key.to_vec(), Some(value.to_vec()));
    }

    fn remove(&mut self, key: &[u8]) {
        self.changes.0.insert(key.to_vec(), None);
    }
}

type Change = (Vec<u8>, Option<Vec<u8>>);

/// Records of the base, as the changes leave them.
struct Merged<B: Iterator<Item = Record>, C: Iterator<Item = Change>> {
    base: Peekable<B>,
    changes: Peekable<C>,
    order: Order,
}

impl<B: Iterator<Item = Record>, C: Iterator<Item = Change>> Iterator for Merged<B, C> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let Some((changed, _)) = self.changes.peek() else {
                return self.base.next();
            };
            let comes_first = |key: &Vec<u8>| match self.order {
                Order::Ascending => key < changed,
                Order::Descending => key > changed,
            };
            if let Some((key, _)) = self.base.peek() {
                if comes_first(key) {
                    return self.base.next();
                }
                if key == changed {
                    self.base.next();
                }
            }
            if let Some((key, Some(value))) = self.changes.next() {
                return Some((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cosmwasm_std::testing::MockStorage;

    use super::*;

    fn base() -> MockStorage {
        let mut base = MockStorage::new();
        for key in ["b", "d", "f"] {
            base.set(key.as_bytes(), b"base");
        }
        base
    }

    fn keys(storage: &dyn Storage, start: Option<&str>, end: Option<&str>, order: Order) -> String {
        storage
            .range(start.map(str::as_bytes), end.map(str::as_bytes), order)
            .map(|(key, _)| String::from_utf8(key).unwrap())
            .collect()
    }

    #[test]
    fn reads_see_changes_and_the_base_does_not() {
        let base = base();
        let mut savepoint = Savepoint::new(&base);
        savepoint.set(b"b", b"new");
        savepoint.remove(b"d");
        assert_eq!(savepoint.get(b"b"), Some(b"new".to_vec()));
        assert_eq!(savepoint.get(b"d"), None);
        assert_eq!(savepoint.get(b"f"), Some(b"base".to_vec()));
        assert_eq!(base.get(b"d"), Some(b"base".to_vec()));
    }

    #[test]
    fn ranges_merge_in_either_order_within_their_bounds() {
        let base = base();
        let mut savepoint = Savepoint::new(&base);
        savepoint.set(b"a", b"new");
        savepoint.set(b"d", b"new");
        savepoint.remove(b"f");
        savepoint.set(b"g", b"new");
        savepoint.remove(b"never there");
        assert_eq!(keys(&savepoint, None, None, Order::Ascending), "abdg");
        assert_eq!(keys(&savepoint, None, None, Order::Descending), "gdba");
        assert_eq!(keys(&savepoint, Some("b"), Some("g"), Order::Ascending), "bd");
        assert_eq!(keys(&savepoint, Some("g"), Some("b"), Order::Ascending), "");
        let d = savepoint.range(Some(b"d"), Some(b"e"), Order::Ascending).next();
        assert_eq!(d, Some((b"d".to_vec(), b"new".to_vec())));
    }

    #[test]
    fn applied_changes_are_the_savepoints_state() {
        let mut base = base();
        let mut savepoint = Savepoint::new(&base);
        savepoint.set(b"a", b"new");
        savepoint.set(b"x", b"gone again");
        savepoint.remove(b"x");
        savepoint.remove(b"b");
        savepoint.into_changes().apply(&mut base);
        assert_eq!(keys(&base, None, None, Order::Ascending), "adf");
    }
}
