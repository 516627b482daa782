//! The C ABI of wasmvm 3.0.7 on [`aiinference_vm`]: the library that a node loads instead of the stock one.
//!
//! [`bindings.h`](https://github.com/CosmWasm/wasmvm/blob/v3.0.7/internal/api/bindings.h) of the Go module is what every
//! export here is held against. Without the capability `aiinference_1` it behaves as stock. What a node may set besides,
//! see [`settings`]: nothing of it but [`settings::FORCE_CAPABILITY`] changes a result.
#![allow(non_camel_case_types)] // the names of the header
#![allow(clippy::missing_safety_doc)] // the exports' contract is the header's, stated once in `calls` and `cache`

mod api;
mod cache;
mod calls;
mod error;
mod go;
mod guard;
mod memory;
mod metrics;
mod observers;
mod querier;
pub mod settings;
mod startup;
mod storage;
mod version;

pub use api::{api_t, GoApi, GoApiVtable};
pub use cache::*;
pub use calls::*;
pub use go::gas_meter_t;
pub use memory::{destroy_unmanaged_vector, new_unmanaged_vector, ByteSliceView, U8SliceView, UnmanagedVector};
pub use querier::{querier_t, GoQuerier, QuerierVtable};
pub use storage::{db_t, Db, DbVtable, GoIter, IteratorReference, IteratorVtable};
pub use version::{aiinference_version_str, version_str};
