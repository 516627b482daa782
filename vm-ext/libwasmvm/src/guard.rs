//! No panic leaves the library: unwinding into Go would end the node.

use std::{
    any::Any,
    panic::{catch_unwind, AssertUnwindSafe},
};

use crate::{
    error::{report, Error},
    memory::UnmanagedVector,
};

/// Runs the body of an export, catches a panic, and tells Go how it went. A failure gives `T`'s default.
pub(crate) fn guarded<T: Default>(
    export: &'static str,
    message: Option<&mut UnmanagedVector>,
    body: impl FnOnce() -> Result<T, Error>,
) -> T {
    // Unwind safety: what a panic may leave half done is the instance, which is dropped; the caches change under locks in
    // single steps.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        tracing::error!(
            export,
            "a panic was caught: {}. This is a bug of libwasmvm; please report it in private",
            panic_text(payload.as_ref())
        );
        Err(Error::Panic)
    });
    match result {
        Ok(value) => {
            report(None, message);
            value
        }
        Err(error) => {
            report(Some(error), message);
            T::default()
        }
    }
}

/// What a panic says of itself.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "it says nothing"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let mut message = UnmanagedVector::NONE;
        let value: u32 = guarded("test", Some(&mut message), || panic!("on {}", "purpose"));
        assert_eq!(value, 0);
        assert_eq!(unsafe { message.consume() }, Some(b"Caught panic".to_vec()));
        assert_eq!(guarded("test", None, || Ok(7)), 7);
    }
}
