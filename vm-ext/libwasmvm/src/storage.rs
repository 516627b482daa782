//! The storage of the calling contract, and iterators over it.

use cosmwasm_std::{Order, Record};
use cosmwasm_vm::{BackendError, BackendResult, GasInfo, Storage};

use crate::{
    go::{gas_meter_t, missing, Metered, Reply},
    memory::{U8SliceView, UnmanagedVector},
};

/// Go's side of the storage, opaque here.
#[repr(C)]
#[derive(Debug)]
pub struct db_t {
    _private: [u8; 0],
}

/// Go's name of an iterator.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IteratorReference {
    pub call_id: u64,
    pub iterator_id: u64,
}

/// A function of Go that gives one half of the next entry.
type NextHalf = extern "C" fn(
    iterator: IteratorReference,
    gas_meter: *mut gas_meter_t,
    gas_used: *mut u64,
    output: *mut UnmanagedVector,
    error: *mut UnmanagedVector,
) -> i32;

/// Go's functions for iterators.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IteratorVtable {
    pub next: Option<
        extern "C" fn(
            iterator: IteratorReference,
            gas_meter: *mut gas_meter_t,
            gas_used: *mut u64,
            key: *mut UnmanagedVector,
            value: *mut UnmanagedVector,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
    pub next_key: Option<NextHalf>,
    pub next_value: Option<NextHalf>,
}

/// An iterator, filled in by Go.
#[repr(C)]
#[derive(Debug)]
pub struct GoIter {
    pub gas_meter: *mut gas_meter_t,
    pub reference: IteratorReference,
    pub vtable: IteratorVtable,
}

/// Go's functions for storage.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DbVtable {
    pub read_db: Option<
        extern "C" fn(
            db: *mut db_t,
            gas_meter: *mut gas_meter_t,
            gas_used: *mut u64,
            key: U8SliceView,
            value: *mut UnmanagedVector,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
    pub write_db: Option<
        extern "C" fn(
            db: *mut db_t,
            gas_meter: *mut gas_meter_t,
            gas_used: *mut u64,
            key: U8SliceView,
            value: U8SliceView,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
    pub remove_db: Option<
        extern "C" fn(
            db: *mut db_t,
            gas_meter: *mut gas_meter_t,
            gas_used: *mut u64,
            key: U8SliceView,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
    pub scan_db: Option<
        extern "C" fn(
            db: *mut db_t,
            gas_meter: *mut gas_meter_t,
            gas_used: *mut u64,
            start: U8SliceView,
            end: U8SliceView,
            order: i32,
            iterator: *mut GoIter,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
}

/// The storage of one call.
#[repr(C)]
#[derive(Debug)]
pub struct Db {
    pub gas_meter: *mut gas_meter_t,
    pub state: *mut db_t,
    pub vtable: DbVtable,
}

/// Go's storage as the VM uses it.
#[derive(Debug)]
pub(crate) struct GoStorage {
    db: Db,
    /// An iterator's number is its place.
    iterators: Vec<GoIter>,
}

impl GoStorage {
    pub(crate) fn new(db: Db) -> Self {
        GoStorage {
            db,
            iterators: Vec::new(),
        }
    }

    fn iterator(&self, id: u32) -> Result<&GoIter, BackendError> {
        usize::try_from(id)
            .ok()
            .and_then(|place| self.iterators.get(place))
            .ok_or_else(|| BackendError::iterator_does_not_exist(id))
    }
}

impl GoIter {
    fn half(&self, function: Option<NextHalf>, name: &str) -> BackendResult<Option<Vec<u8>>> {
        let Some(function) = function else {
            return (Err(missing(name)), Metered::ByGo.info(0));
        };
        let mut reply = Reply::default();
        let status = function(
            self.reference,
            self.gas_meter,
            &mut reply.gas,
            &mut reply.output,
            &mut reply.error,
        );
        reply.finish(status, Metered::ByGo, failed_to_iterate)
    }
}

fn failed_to_iterate() -> String {
    "Failed to fetch next item from iterator".to_string()
}

impl Storage for GoStorage {
    fn get(&self, key: &[u8]) -> BackendResult<Option<Vec<u8>>> {
        let Some(read) = self.db.vtable.read_db else {
            return (Err(missing("read_db")), Metered::ByGo.info(0));
        };
        let mut reply = Reply::default();
        let status = read(
            self.db.state,
            self.db.gas_meter,
            &mut reply.gas,
            U8SliceView::new(Some(key)),
            &mut reply.output,
            &mut reply.error,
        );
        reply.finish(status, Metered::ByGo, || {
            format!("Failed to read a key in the db: {}", String::from_utf8_lossy(key))
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> BackendResult<()> {
        let Some(write) = self.db.vtable.write_db else {
            return (Err(missing("write_db")), Metered::ByGo.info(0));
        };
        let mut reply = Reply::default();
        let status = write(
            self.db.state,
            self.db.gas_meter,
            &mut reply.gas,
            U8SliceView::new(Some(key)),
            U8SliceView::new(Some(value)),
            &mut reply.error,
        );
        let (result, gas) = reply.finish(status, Metered::ByGo, || {
            format!("Failed to set a key in the db: {}", String::from_utf8_lossy(key))
        });
        (result.map(|_| ()), gas)
    }

    fn remove(&mut self, key: &[u8]) -> BackendResult<()> {
        let Some(remove) = self.db.vtable.remove_db else {
            return (Err(missing("remove_db")), Metered::ByGo.info(0));
        };
        let mut reply = Reply::default();
        let status = remove(
            self.db.state,
            self.db.gas_meter,
            &mut reply.gas,
            U8SliceView::new(Some(key)),
            &mut reply.error,
        );
        let (result, gas) = reply.finish(status, Metered::ByGo, || {
            format!("Failed to delete a key in the db: {}", String::from_utf8_lossy(key))
        });
        (result.map(|_| ()), gas)
    }

    fn scan(&mut self, start: Option<&[u8]>, end: Option<&[u8]>, order: Order) -> BackendResult<u32> {
        let Some(scan) = self.db.vtable.scan_db else {
            return (Err(missing("scan_db")), Metered::ByGo.info(0));
        };
        let mut iterator = GoIter {
            gas_meter: std::ptr::null_mut(),
            reference: IteratorReference::default(),
            vtable: IteratorVtable::default(),
        };
        let mut reply = Reply::default();
        let status = scan(
            self.db.state,
            self.db.gas_meter,
            &mut reply.gas,
            U8SliceView::new(start),
            U8SliceView::new(end),
            order.into(),
            &mut iterator,
            &mut reply.error,
        );
        let (result, gas) = reply.finish(status, Metered::ByGo, || {
            let (start, end) = (start.map(String::from_utf8_lossy), end.map(String::from_utf8_lossy));
            format!("Failed to read the next key between {start:?} and {end:?}")
        });
        let id = result.and_then(|_| {
            let id = u32::try_from(self.iterators.len())
                .map_err(|_| BackendError::unknown("opening an iterator: the call has 2^32 of them"))?;
            self.iterators.push(iterator);
            Ok(id)
        });
        (id, gas)
    }

    fn next(&mut self, iterator_id: u32) -> BackendResult<Option<Record>> {
        let iterator = match self.iterator(iterator_id) {
            Ok(iterator) => iterator,
            Err(error) => return (Err(error), GasInfo::free()),
        };
        let Some(next) = iterator.vtable.next else {
            return (Err(missing("next")), Metered::ByGo.info(0));
        };
        let mut value = UnmanagedVector::NONE;
        let mut reply = Reply::default();
        let status = next(
            iterator.reference,
            iterator.gas_meter,
            &mut reply.gas,
            &mut reply.output,
            &mut value,
            &mut reply.error,
        );
        // SAFETY: it started as NONE and Go overwrites it with a vector that it makes with `new_unmanaged_vector`.
        let value = unsafe { value.consume() };
        let (key, gas) = reply.finish(status, Metered::ByGo, failed_to_iterate);
        let record = key.and_then(|key| match (key, value) {
            (None, _) => Ok(None),
            (Some(key), Some(value)) => Ok(Some((key, value))),
            (Some(_), None) => Err(BackendError::unknown(
                "Failed to read value while reading the next key in the db",
            )),
        });
        (record, gas)
    }

    fn next_key(&mut self, iterator_id: u32) -> BackendResult<Option<Vec<u8>>> {
        match self.iterator(iterator_id) {
            Ok(iterator) => iterator.half(iterator.vtable.next_key, "next_key"),
            Err(error) => (Err(error), GasInfo::free()),
        }
    }

    fn next_value(&mut self, iterator_id: u32) -> BackendResult<Option<Vec<u8>>> {
        match self.iterator(iterator_id) {
            Ok(iterator) => iterator.half(iterator.vtable.next_value, "next_value"),
            Err(error) => (Err(error), GasInfo::free()),
        }
    }
}
