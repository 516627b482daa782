//! Calling Go: what every function of its tables has in common.

use cosmwasm_vm::{BackendError, GasInfo};

use crate::memory::UnmanagedVector;

/// Go's gas meter, opaque here.
#[repr(C)]
#[derive(Debug)]
pub struct gas_meter_t {
    _private: [u8; 0],
}

/// Longest error text taken from Go.
const MAX_ERROR_BYTES: usize = 8 * 1024;

/// What a function of Go writes to. It may fill any of it, whatever it returns, so that all is taken back in any case.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) output: UnmanagedVector,
    pub(crate) error: UnmanagedVector,
    pub(crate) gas: u64,
}

/// Which of the two meters Go's figure of gas belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Metered {
    /// Go has counted it already.
    ByGo,
    /// It is to be charged here.
    Here,
}

impl Metered {
    pub(crate) fn info(self, gas: u64) -> GasInfo {
        match self {
            Metered::ByGo => GasInfo::with_externally_used(gas),
            Metered::Here => GasInfo::with_cost(gas),
        }
    }
}

impl Reply {
    /// The output, or the error, of a function that has returned `status`. `default` is the text where Go gives none.
    pub(crate) fn finish(
        self,
        status: i32,
        metered: Metered,
        default: impl FnOnce() -> String,
    ) -> (Result<Option<Vec<u8>>, BackendError>, GasInfo) {
        // SAFETY: both started as NONE and Go overwrites them with vectors that it makes with `new_unmanaged_vector`.
        let (output, error) = unsafe { (self.output.consume(), self.error.consume()) };
        (outcome(status, error, default).map(|()| output), metered.info(self.gas))
    }
}

/// What a status and an error text mean.
pub(crate) fn outcome(
    status: i32,
    error: Option<Vec<u8>>,
    default: impl FnOnce() -> String,
) -> Result<(), BackendError> {
    let text = || match error {
        Some(mut text) => {
            text.truncate(MAX_ERROR_BYTES);
            String::from_utf8_lossy(&text).into_owned()
        }
        None => default(),
    };
    match status {
        0 => Ok(()),
        1 => Err(BackendError::foreign_panic()),
        2 => Err(BackendError::bad_argument()),
        3 => Err(BackendError::out_of_gas()),
        5 => Err(BackendError::user_err(text())),
        // 4, which says that Go could not serialize, and whatever else may come.
        _ => Err(BackendError::unknown(text())),
    }
}

/// A function that Go's table leaves out: Go fills all of them, so that this is a fault of whoever called the library.
pub(crate) fn missing(function: &str) -> BackendError {
    BackendError::unknown(format!("calling the node: its table has no function {function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_the_errors_of_the_vm() {
        let default = || "default".to_string();
        let given = || Some(b"given".to_vec());
        assert_eq!(outcome(0, given(), default), Ok(()));
        assert_eq!(outcome(1, given(), default), Err(BackendError::ForeignPanic {}));
        assert_eq!(outcome(2, None, default), Err(BackendError::BadArgument {}));
        assert_eq!(outcome(3, None, default), Err(BackendError::OutOfGas {}));
        assert_eq!(outcome(5, given(), default), Err(BackendError::user_err("given")));
        assert_eq!(outcome(5, None, default), Err(BackendError::user_err("default")));
        for other in [4, -1, 6, i32::MAX] {
            assert_eq!(outcome(other, given(), default), Err(BackendError::unknown("given")));
        }
    }

    #[test]
    fn long_and_broken_texts_are_cut_and_mended() {
        let long = Some(vec![b'a'; 10_000]);
        assert_eq!(
            outcome(5, long, String::new),
            Err(BackendError::user_err("a".repeat(8192)))
        );
        assert_eq!(
            outcome(5, Some(vec![0xff]), String::new),
            Err(BackendError::user_err("\u{fffd}"))
        );
    }
}
