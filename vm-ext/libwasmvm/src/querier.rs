//! Queries to the chain.

use cosmwasm_std::{Binary, ContractResult, SystemError, SystemResult};
use cosmwasm_vm::{BackendResult, Querier};

use crate::{
    go::{missing, Metered, Reply},
    memory::{U8SliceView, UnmanagedVector},
};

/// Go's side of the querier, opaque here.
#[repr(C)]
#[derive(Debug)]
pub struct querier_t {
    _private: [u8; 0],
}

/// Go's function for queries.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QuerierVtable {
    pub query_external: Option<
        extern "C" fn(
            querier: *const querier_t,
            gas_limit: u64,
            gas_used: *mut u64,
            request: U8SliceView,
            result: *mut UnmanagedVector,
            error: *mut UnmanagedVector,
        ) -> i32,
    >,
}

/// The chain's querier of one call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoQuerier {
    pub state: *const querier_t,
    pub vtable: QuerierVtable,
}

// SAFETY: the pointer is Go's handle of the call; it is only given back to Go, whose functions may be called from any
// thread.
unsafe impl Send for GoQuerier {}

impl Querier for GoQuerier {
    fn query_raw(&self, request: &[u8], gas_limit: u64) -> BackendResult<SystemResult<ContractResult<Binary>>> {
        let Some(function) = self.vtable.query_external else {
            return (Err(missing("query_external")), Metered::ByGo.info(0));
        };
        let mut reply = Reply::default();
        let status = function(
            self.state,
            gas_limit,
            &mut reply.gas,
            U8SliceView::new(Some(request)),
            &mut reply.output,
            &mut reply.error,
        );
        let (result, gas) = reply.finish(status, Metered::ByGo, || {
            let request = String::from_utf8_lossy(request);
            format!("Failed to query another contract with this request: {request}")
        });
        let result = result.map(|response| {
            let response = response.unwrap_or_default();
            serde_json::from_slice(&response).unwrap_or_else(|error| {
                SystemResult::Err(SystemError::InvalidResponse {
                    error: format!("Parsing Go response: {error}"),
                    response: response.into(),
                })
            })
        });
        (result, gas)
    }
}
