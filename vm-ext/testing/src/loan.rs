//! Lends storage, querier and api of one call to a VM that asks for owned ones.
//!
//! cw-multi-test hands a contract references that live for the call. `cosmwasm_vm::Instance` takes a backend that is
//! `'static`. A [`Loan`] is a plain number that such a backend can own; the references stand behind it, in a table of
//! this thread, for as long as [`lend`] runs, and any use of the number afterwards, or on another thread, finds nothing.

use std::{
    cell::{Cell, RefCell},
    mem::transmute,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use cosmwasm_std::{Api, Querier, Storage};

/// The storage that a call may use.
pub(crate) enum LentStorage<'a> {
    /// In a query.
    Shared(&'a dyn Storage),
    /// Elsewhere.
    Exclusive(&'a mut dyn Storage),
}

/// The call's references are not there: the call is over, or they are in use already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoanError {
    #[error("using a contract's backend: its call is over")]
    Over,
    #[error("using a contract's storage: it is in use further up")]
    Busy,
    #[error("using a contract's storage: it may not be written in a query")]
    ReadOnly,
}

/// Stands for the references of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loan(u64);

/// Pointers behind a loan. Their targets outlive the entry in [`LOANS`]: see [`lend`].
#[derive(Clone)]
struct Lent {
    id: u64,
    read: *const dyn Storage,
    /// The same storage, if it may be written.
    write: Option<*mut dyn Storage>,
    querier: *const dyn Querier,
    api: *const dyn Api,
    storage_busy: Rc<Cell<bool>>,
}

thread_local! {
    /// The loans of this thread. A contract that queries another is below it, so this is a stack.
    static LOANS: RefCell<Vec<Lent>> = const { RefCell::new(Vec::new()) };
}

/// Runs `call` with a loan of these references.
pub(crate) fn lend<T>(
    storage: LentStorage<'_>,
    querier: &dyn Querier,
    api: &dyn Api,
    call: impl FnOnce(Loan) -> T,
) -> T {
    /// Takes the entry back, also when `call` panics.
    struct TakeBack(u64);
    impl Drop for TakeBack {
        fn drop(&mut self) {
            LOANS.with_borrow_mut(|loans| loans.retain(|lent| lent.id != self.0));
        }
    }

    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);

    // SAFETY: the transmutes change nothing but the lifetime bound of the trait objects, which a pointer in a table cannot
    // name. The pointers are dereferenced only by the methods of `Loan`, which find them only while their entry is in the
    // table. The entry is made below and taken back, by `TakeBack`, before this function returns or unwinds; the caller's
    // references, whose lifetimes span this call, are valid all that time. The table belongs to this thread, so no other
    // one reaches them. The exclusive storage is not used by anyone else meanwhile: its reference was moved into here, and
    // `storage_busy` lets at most one borrow of it exist at a time.
    let (read, write) = unsafe {
        match storage {
            LentStorage::Shared(shared) => (transmute::<&dyn Storage, *const dyn Storage>(shared), None),
            LentStorage::Exclusive(exclusive) => {
                let write = transmute::<&mut dyn Storage, *mut dyn Storage>(exclusive);
                (write.cast_const(), Some(write))
            }
        }
    };
    // SAFETY: as above.
    let (querier, api) = unsafe {
        (
            transmute::<&dyn Querier, *const dyn Querier>(querier),
            transmute::<&dyn Api, *const dyn Api>(api),
        )
    };
    LOANS.with_borrow_mut(|loans| {
        loans.push(Lent {
            id,
            read,
            write,
            querier,
            api,
            storage_busy: Rc::default(),
        });
    });
    let _take_back = TakeBack(id);
    call(Loan(id))
}

impl Loan {
    fn find(self) -> Result<Lent, LoanError> {
        // The table is not borrowed while the references are used: they may lead to further loans.
        LOANS.with_borrow(|loans| {
            let found = loans.iter().rev().find(|lent| lent.id == self.0);
            found.cloned().ok_or(LoanError::Over)
        })
    }

    pub(crate) fn with_querier<T>(self, action: impl FnOnce(&dyn Querier) -> T) -> Result<T, LoanError> {
        let lent = self.find()?;
        // SAFETY: the entry is in the table, so `lend` is still running, and stays so until this returns: only this thread
        // can take it back, and `lend` does that after `call`, in which we are.
        Ok(action(unsafe { &*lent.querier }))
    }

    pub(crate) fn with_api<T>(self, action: impl FnOnce(&dyn Api) -> T) -> Result<T, LoanError> {
        let lent = self.find()?;
        // SAFETY: as for the querier.
        Ok(action(unsafe { &*lent.api }))
    }

    pub(crate) fn with_storage<T>(self, action: impl FnOnce(&dyn Storage) -> T) -> Result<T, LoanError> {
        let lent = self.find()?;
        let _busy = Busy::new(&lent.storage_busy)?;
        // SAFETY: as for the querier; and `_busy` rules out a mutable borrow at the same time.
        Ok(action(unsafe { &*lent.read }))
    }

    pub(crate) fn with_storage_mut<T>(self, action: impl FnOnce(&mut dyn Storage) -> T) -> Result<T, LoanError> {
        let lent = self.find()?;
        let write = lent.write.ok_or(LoanError::ReadOnly)?;
        let _busy = Busy::new(&lent.storage_busy)?;
        // SAFETY: as for the querier; and `_busy` rules out any other borrow at the same time.
        Ok(action(unsafe { &mut *write }))
    }
}

/// Held while a storage is borrowed.
struct Busy<'a>(&'a Cell<bool>);

impl<'a> Busy<'a> {
    fn new(flag: &'a Cell<bool>) -> Result<Self, LoanError> {
        if flag.replace(true) {
            return Err(LoanError::Busy);
        }
        Ok(Busy(flag))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cosmwasm_std::testing::{MockApi, MockQuerier, MockStorage};

    fn with_loan<T>(storage: LentStorage<'_>, call: impl FnOnce(Loan) -> T) -> T {
        lend(
            storage,
            &MockQuerier::<cosmwasm_std::Empty>::default(),
            &MockApi::default(),
            call,
        )
    }

    #[test]
    fn what_is_written_through_a_loan_stays() {
        let mut storage = MockStorage::new();
        with_loan(LentStorage::Exclusive(&mut storage), |loan| {
            loan.with_storage_mut(|s| s.set(b"k", b"v")).unwrap();
            assert_eq!(loan.with_storage(|s| s.get(b"k")).unwrap(), Some(b"v".to_vec()));
        });
        assert_eq!(storage.get(b"k"), Some(b"v".to_vec()));
    }

    #[test]
    fn a_loan_ends_with_its_call_even_if_that_panics() {
        let storage = MockStorage::new();
        let kept = with_loan(LentStorage::Shared(&storage), |loan| loan);
        assert_eq!(kept.with_storage(|_| ()), Err(LoanError::Over));
        assert_eq!(kept.with_api(|_| ()), Err(LoanError::Over));

        let escaped = Cell::new(None);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            with_loan(LentStorage::Shared(&storage), |loan| {
                escaped.set(Some(loan));
                panic!("in the call");
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(escaped.get().unwrap().with_querier(|_| ()), Err(LoanError::Over));
    }

    #[test]
    fn another_thread_finds_nothing() {
        let storage = MockStorage::new();
        with_loan(LentStorage::Shared(&storage), |loan| {
            let there = std::thread::spawn(move || loan.with_storage(|_| ())).join().unwrap();
            assert_eq!(there, Err(LoanError::Over));
            assert_eq!(loan.with_storage(|_| ()), Ok(()));
        });
    }

    #[test]
    fn storage_is_borrowed_once_at_a_time_and_not_written_in_queries() {
        let mut storage = MockStorage::new();
        with_loan(LentStorage::Exclusive(&mut storage), |loan| {
            let inner = loan.with_storage_mut(|_| loan.with_storage(|_| ())).unwrap();
            assert_eq!(inner, Err(LoanError::Busy));
            assert_eq!(loan.with_storage(|_| ()), Ok(()));
        });
        with_loan(LentStorage::Shared(&storage), |loan| {
            assert_eq!(loan.with_storage_mut(|_| ()), Err(LoanError::ReadOnly));
        });
    }

    #[test]
    fn loans_nest() {
        let (mut outer, inner) = (MockStorage::new(), MockStorage::new());
        with_loan(LentStorage::Exclusive(&mut outer), |first| {
            with_loan(LentStorage::Shared(&inner), |second| {
                first.with_storage_mut(|s| s.set(b"k", b"v")).unwrap();
                assert_eq!(second.with_storage(|s| s.get(b"k")).unwrap(), None);
            });
            assert_eq!(first.with_storage(|s| s.get(b"k")).unwrap(), Some(b"v".to_vec()));
        });
    }
}
