//! Addresses, as the chain writes them.

use cosmwasm_vm::{BackendApi, BackendError, BackendResult};

use crate::{
    go::{missing, Metered, Reply},
    memory::{U8SliceView, UnmanagedVector},
};

/// Go's side of the address functions, opaque here.
#[repr(C)]
#[derive(Debug)]
pub struct api_t {
    _private: [u8; 0],
}

/// A function of Go that turns one form of an address into the other.
type Convert = extern "C" fn(
    api: *const api_t,
    input: U8SliceView,
    output: *mut UnmanagedVector,
    error: *mut UnmanagedVector,
    gas_used: *mut u64,
) -> i32;

/// Go's functions for addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoApiVtable {
    pub humanize_address: Option<Convert>,
    pub canonicalize_address: Option<Convert>,
    pub validate_address: Option<
        extern "C" fn(api: *const api_t, input: U8SliceView, error: *mut UnmanagedVector, gas_used: *mut u64) -> i32,
    >,
}

/// The address functions of one call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoApi {
    pub state: *const api_t,
    pub vtable: GoApiVtable,
}

// SAFETY: the pointer is Go's handle of the call; it is only given back to Go, whose functions may be called from any
// thread.
unsafe impl Send for GoApi {}

impl GoApi {
    fn convert(
        &self,
        function: Option<Convert>,
        name: &str,
        input: &[u8],
        default: impl FnOnce() -> String,
    ) -> BackendResult<Vec<u8>> {
        let Some(function) = function else {
            return (Err(missing(name)), Metered::Here.info(0));
        };
        let mut reply = Reply::default();
        let status = function(
            self.state,
            U8SliceView::new(Some(input)),
            &mut reply.output,
            &mut reply.error,
            &mut reply.gas,
        );
        let (output, gas) = reply.finish(status, Metered::Here, default);
        let output = output.and_then(|output| output.ok_or_else(|| BackendError::unknown("Unset output")));
        (output, gas)
    }
}

impl BackendApi for GoApi {
    fn addr_canonicalize(&self, human: &str) -> BackendResult<Vec<u8>> {
        let function = self.vtable.canonicalize_address;
        self.convert(function, "canonicalize_address", human.as_bytes(), || {
            format!("Failed to canonicalize the address: {human}")
        })
    }

    fn addr_humanize(&self, canonical: &[u8]) -> BackendResult<String> {
        let function = self.vtable.humanize_address;
        let (human, gas) = self.convert(function, "humanize_address", canonical, || {
            format!("Failed to humanize the address: {}", hex::encode_upper(canonical))
        });
        let human = human.and_then(|human| String::from_utf8(human).map_err(BackendError::from));
        (human, gas)
    }

    fn addr_validate(&self, input: &str) -> BackendResult<()> {
        let Some(function) = self.vtable.validate_address else {
            return (Err(missing("validate_address")), Metered::Here.info(0));
        };
        let mut reply = Reply::default();
        let status = function(
            self.state,
            U8SliceView::new(Some(input.as_bytes())),
            &mut reply.error,
            &mut reply.gas,
        );
        let (result, gas) = reply.finish(status, Metered::Here, || {
            format!("Failed to validate the address: {input}")
        });
        (result.map(|_| ()), gas)
    }
}
