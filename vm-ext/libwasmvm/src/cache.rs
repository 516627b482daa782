//! The exports that store, describe and hold contracts.
//!
//! # Safety
//!
//! Of all of them, and of those in `calls`: `cache` came from [`init_cache`] and has not been released, or is null; views
//! are valid for the call; `error_msg` is null or can be written.

use aiinference_vm::Vm;
use cosmwasm_std::Checksum;
use cosmwasm_vm::Config;
use serde::Serialize;

use crate::{
    api::GoApi,
    error::Error,
    guard::guarded,
    memory::{ByteSliceView, UnmanagedVector},
    querier::GoQuerier,
    settings::Settings,
    startup,
    storage::GoStorage,
};

/// The VM of a node.
pub(crate) type NodeVm = Vm<GoApi, GoStorage, GoQuerier>;

/// The VM as Go holds it, opaque there.
#[repr(C)]
#[derive(Debug)]
pub struct cache_t {
    _private: [u8; 0],
}

/// The VM behind Go's pointer. It is only read: calls come from many threads and, a query inside a query, again from one
/// that is in a call.
///
/// # Safety
///
/// As for the exports.
pub(crate) unsafe fn vm<'a>(cache: *mut cache_t) -> Result<&'a NodeVm, Error> {
    // SAFETY: the caller's promise.
    unsafe { cache.cast::<NodeVm>().as_ref() }.ok_or(Error::UnsetArgument("cache"))
}

pub(crate) fn checksum(view: &ByteSliceView) -> Result<Checksum, Error> {
    let bytes = view.read().ok_or(Error::UnsetArgument("checksum"))?;
    Checksum::try_from(bytes).map_err(|_| Error::Checksum)
}

/// Opens the VM that `config` (JSON) describes. Null where that fails.
#[no_mangle]
pub unsafe extern "C" fn init_cache(config: ByteSliceView, error_msg: Option<&mut UnmanagedVector>) -> *mut cache_t {
    struct Opened(*mut cache_t);
    impl Default for Opened {
        fn default() -> Self {
            Opened(std::ptr::null_mut())
        }
    }
    let opened = guarded("init_cache", error_msg, || {
        let config: Config = serde_json::from_slice(config.read().ok_or(Error::UnsetArgument("config"))?)?;
        let vm = open(config, &Settings::from_env()?)?;
        Ok(Opened(Box::into_raw(Box::new(vm)).cast()))
    });
    opened.0
}

/// Opens a VM with what the node set.
fn open(mut config: Config, settings: &Settings) -> Result<NodeVm, Error> {
    startup::log();
    let runtime = startup::prepare(&mut config, settings)?;
    // SAFETY: the folder is the node's own; Go holds a lock on it.
    let mut vm: NodeVm = unsafe { Vm::new(config, runtime) }?;
    startup::observe(&mut vm, settings);
    Ok(vm)
}

/// Frees the VM. Called once, last.
#[no_mangle]
pub unsafe extern "C" fn release_cache(cache: *mut cache_t) {
    if !cache.is_null() {
        // SAFETY: the caller's promise: it came from `Box::into_raw` in `init_cache`, and this is the last use.
        drop(unsafe { Box::from_raw(cache.cast::<NodeVm>()) });
    }
}

/// Checks (if `checked`), compiles and (if `persist`) stores a module; its checksum.
#[no_mangle]
pub unsafe extern "C" fn store_code(
    cache: *mut cache_t,
    wasm: ByteSliceView,
    checked: bool,
    persist: bool,
    error_msg: Option<&mut UnmanagedVector>,
) -> UnmanagedVector {
    bytes(guarded("store_code", error_msg, || {
        let vm = unsafe { vm(cache) }?;
        let wasm = wasm.read().ok_or(Error::UnsetArgument("wasm"))?;
        Ok(vm.store_code(wasm, checked, persist)?.as_slice().to_vec())
    }))
}

/// The uploaded bytes of a stored module.
#[no_mangle]
pub unsafe extern "C" fn load_wasm(
    cache: *mut cache_t,
    checksum: ByteSliceView,
    error_msg: Option<&mut UnmanagedVector>,
) -> UnmanagedVector {
    bytes(guarded("load_wasm", error_msg, || {
        Ok(unsafe { vm(cache) }?.load_wasm(&self::checksum(&checksum)?)?)
    }))
}

/// Removes a stored module.
#[no_mangle]
pub unsafe extern "C" fn remove_wasm(
    cache: *mut cache_t,
    checksum: ByteSliceView,
    error_msg: Option<&mut UnmanagedVector>,
) {
    guarded("remove_wasm", error_msg, || {
        Ok(unsafe { vm(cache) }?.remove_wasm(&self::checksum(&checksum)?)?)
    })
}

/// Keeps a module in memory.
#[no_mangle]
pub unsafe extern "C" fn pin(cache: *mut cache_t, checksum: ByteSliceView, error_msg: Option<&mut UnmanagedVector>) {
    guarded("pin", error_msg, || {
        Ok(unsafe { vm(cache) }?.pin(&self::checksum(&checksum)?)?)
    })
}

/// Ends [`pin`].
#[no_mangle]
pub unsafe extern "C" fn unpin(cache: *mut cache_t, checksum: ByteSliceView, error_msg: Option<&mut UnmanagedVector>) {
    guarded("unpin", error_msg, || {
        Ok(unsafe { vm(cache) }?.unpin(&self::checksum(&checksum)?)?)
    })
}

/// Pins exactly the modules whose checksums, 32 bytes each, stand one after the other in `checksums`.
#[no_mangle]
pub unsafe extern "C" fn sync_pinned_codes(
    cache: *mut cache_t,
    checksums: ByteSliceView,
    error_msg: Option<&mut UnmanagedVector>,
) {
    guarded("sync_pinned_codes", error_msg, || {
        let vm = unsafe { vm(cache) }?;
        let all = checksums.read().ok_or(Error::UnsetArgument("checksums"))?;
        let all = all.chunks_exact(32).map(Checksum::try_from);
        let all = all.collect::<Result<Vec<_>, _>>().map_err(|_| Error::Checksum)?;
        Ok(vm.sync_pinned_codes(&all)?)
    })
}

/// An optional number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionalU64 {
    pub is_some: bool,
    pub value: u64,
}

/// What a module exports and asks for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AnalysisReport {
    pub has_ibc_entry_points: bool,
    /// Names, with commas between.
    pub entrypoints: UnmanagedVector,
    /// Names, with commas between.
    pub required_capabilities: UnmanagedVector,
    pub contract_migrate_version: OptionalU64,
}

/// Describes a stored module.
#[no_mangle]
pub unsafe extern "C" fn analyze_code(
    cache: *mut cache_t,
    checksum: ByteSliceView,
    error_msg: Option<&mut UnmanagedVector>,
) -> AnalysisReport {
    guarded("analyze_code", error_msg, || {
        let report = unsafe { vm(cache) }?.analyze(&self::checksum(&checksum)?)?;
        let entry_points: Vec<&str> = report.entrypoints.iter().map(AsRef::as_ref).collect();
        let capabilities: Vec<&str> = report.required_capabilities.iter().map(AsRef::as_ref).collect();
        Ok(AnalysisReport {
            has_ibc_entry_points: report.has_ibc_entry_points,
            entrypoints: UnmanagedVector::some(entry_points.join(",").into_bytes()),
            required_capabilities: UnmanagedVector::some(capabilities.join(",").into_bytes()),
            contract_migrate_version: OptionalU64 {
                is_some: report.contract_migrate_version.is_some(),
                value: report.contract_migrate_version.unwrap_or_default(),
            },
        })
    })
}

/// Counts and sizes of the caches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics {
    pub hits_pinned_memory_cache: u32,
    pub hits_memory_cache: u32,
    pub hits_fs_cache: u32,
    pub misses: u32,
    pub elements_pinned_memory_cache: u64,
    pub elements_memory_cache: u64,
    pub size_pinned_memory_cache: u64,
    pub size_memory_cache: u64,
}

/// Tells counts and sizes of the caches.
#[no_mangle]
pub unsafe extern "C" fn get_metrics(cache: *mut cache_t, error_msg: Option<&mut UnmanagedVector>) -> Metrics {
    guarded("get_metrics", error_msg, || {
        let metrics = unsafe { vm(cache) }?.metrics();
        Ok(Metrics {
            hits_pinned_memory_cache: metrics.stats.hits_pinned_memory_cache,
            hits_memory_cache: metrics.stats.hits_memory_cache,
            hits_fs_cache: metrics.stats.hits_fs_cache,
            misses: metrics.stats.misses,
            elements_pinned_memory_cache: metrics.elements_pinned_memory_cache as u64,
            elements_memory_cache: metrics.elements_memory_cache as u64,
            size_pinned_memory_cache: metrics.size_pinned_memory_cache as u64,
            size_memory_cache: metrics.size_memory_cache as u64,
        })
    })
}

/// [`get_pinned_metrics`]'s answer: MessagePack writes structs as arrays, and Go reads them so.
#[derive(Serialize)]
struct PinnedMetrics {
    per_module: Vec<([u8; 32], PerModule)>,
}

#[derive(Serialize)]
struct PerModule {
    hits: u32,
    size: usize,
}

/// Tells of each pinned module, as MessagePack.
#[no_mangle]
pub unsafe extern "C" fn get_pinned_metrics(
    cache: *mut cache_t,
    error_msg: Option<&mut UnmanagedVector>,
) -> UnmanagedVector {
    guarded("get_pinned_metrics", error_msg, || {
        let metrics = unsafe { vm(cache) }?.pinned_metrics();
        let per_module = metrics.per_module.into_iter().map(|(checksum, module)| {
            let (hits, size) = (module.hits, module.size);
            (*checksum.as_ref(), PerModule { hits, size })
        });
        let per_module = per_module.collect();
        Ok(UnmanagedVector::some(rmp_serde::to_vec(&PinnedMetrics { per_module })?))
    })
}

/// An answer in bytes; after an error an empty one, never none.
pub(crate) fn bytes(bytes: Vec<u8>) -> UnmanagedVector {
    UnmanagedVector::some(bytes)
}
