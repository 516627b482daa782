//! The VM: cosmwasm-vm's cache of uploads, and beside it, where the extension is on, one of lowered copies.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aiinference_runtime::{
    module::{self, Carried},
    Runtime,
};
use aiinference_types::abi::CAPABILITY;
use cosmwasm_std::Checksum;
use cosmwasm_vm::{
    internals::{check_wasm, Logger},
    AnalysisReport, Backend, BackendApi, Cache, Config, Instance, InstanceOptions, Metrics, PinnedMetrics, Querier,
    Stats, Storage, VmResult, WasmLimits,
};

use crate::{
    files::WasmFiles,
    lowering::lower,
    observe::{Observer, Origin},
    querier::{AiQuerier, Inference},
    Error,
};

/// Where lowered copies live, below the base directory.
const LOWERED_DIR: [&str; 2] = ["aiinference", "lowered"];
/// Where files of uploads are written before they are moved into place.
const DRAFTS_DIR: [&str; 2] = ["aiinference", "drafts"];
/// How many modules [`Extension::kinds`] remembers before it starts afresh.
const MAX_KINDS: usize = 1 << 14;

/// Stores and runs contracts as [`cosmwasm_vm::Cache`] does, with the same methods, and lets them infer.
///
/// The extension is on if the capabilities of the configuration include
/// [`aiinference_1`](aiinference_types::abi::CAPABILITY). Off, this is the stock cache and nothing else: the same checks,
/// the same error texts, the same files. On, in addition
///
/// * a contract that imports `aiinference.*` is checked, and stored under the checksum of the uploaded bytes; what is
///   compiled is its lowered copy (see [`crate::lowering`]) in a cache of its own below `aiinference/lowered`. That folder
///   may be deleted at any time: it is made again from the uploads;
/// * a module that carries a model is validated when it is uploaded (checked); one that carries a shard of a model or a
///   manifest as far as it can be judged alone. Never when restored (unchecked): what is
///   stored then is validated when it is used, as every model is;
/// * requests of lowered contracts are answered by the [`Runtime`]. No other contract reaches it.
///
/// All methods take `&self` and may be called from any thread. No lock is held while a contract runs.
pub struct Vm<A: BackendApi, S: Storage, Q: Querier> {
    uploads: Cache<A, S, AiQuerier<Q>>,
    extension: Option<Extension<A, S, Q>>,
}

/// What exists only where the extension is on.
struct Extension<A: BackendApi, S: Storage, Q: Querier> {
    runtime: Arc<Runtime>,
    base_dir: PathBuf,
    capabilities: HashSet<String>,
    limits: WasmLimits,
    /// The uploads' files.
    files: Arc<WasmFiles>,
    lowered: Cache<A, S, AiQuerier<Q>>,
    lowered_files: WasmFiles,
    /// What is known of uploads; recomputed from their bytes. Bounded.
    kinds: Mutex<HashMap<Checksum, Kind>>,
    /// Lowered copies that are pinned, by upload.
    pinned: Mutex<HashMap<Checksum, Checksum>>,
    observer: Option<Arc<dyn Observer>>,
}

/// How an upload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As it is.
    Plain,
    /// As its lowered copy, which has this checksum.
    Lowered(Checksum),
}

impl<A, S, Q> Vm<A, S, Q>
where
    A: BackendApi + 'static,
    S: Storage + 'static,
    Q: Querier + 'static,
{
    /// Opens the VM at the base directory of `config`. `runtime` is used only if the extension is on; it may be shared.
    ///
    /// With the extension on, the memory that `config` gives to compiled modules holds for uploads and for lowered copies
    /// each.
    ///
    /// # Safety
    ///
    /// As for [`Cache::new_with_config`]: compiled modules found on disk are trusted. Nobody else may write there.
    pub unsafe fn new(config: Config, runtime: Arc<Runtime>) -> Result<Self, Error> {
        aiinference_probestack::address();
        if !config.cache.available_capabilities.contains(CAPABILITY) {
            return Ok(Vm {
                // SAFETY: the caller's promise.
                uploads: unsafe { Cache::new_with_config(config) }?,
                extension: None,
            });
        }

        let base_dir = config.cache.base_dir.clone();
        let below = |parts: [&str; 2]| parts.iter().fold(base_dir.clone(), |path, part| path.join(part));
        let io_error = |source| Error::Io {
            path: base_dir.display().to_string(),
            source,
        };
        let lowered_dir = below(LOWERED_DIR);
        let mut lowered_config = config.clone();
        lowered_config.cache.base_dir = lowered_dir.clone();

        Ok(Vm {
            // SAFETY: the caller's promise, here and below.
            uploads: unsafe { Cache::new_with_config(config.clone()) }?,
            extension: Some(Extension {
                runtime,
                capabilities: config.cache.available_capabilities,
                limits: config.wasm_limits,
                files: Arc::new(WasmFiles::new(&base_dir, below(DRAFTS_DIR)).map_err(io_error)?),
                lowered: unsafe { Cache::new_with_config(lowered_config) }?,
                lowered_files: WasmFiles::new(&lowered_dir, below(DRAFTS_DIR)).map_err(io_error)?,
                base_dir: base_dir.clone(),
                kinds: Mutex::default(),
                pinned: Mutex::default(),
                observer: None,
            }),
        })
    }

    /// Shows every request that is answered to `observer`, from now on. It changes no answer and no gas.
    pub fn set_observer(&mut self, observer: Arc<dyn Observer>) {
        if let Some(extension) = &mut self.extension {
            extension.observer = Some(observer);
        }
    }

    /// Whether the extension is on.
    pub fn inference_enabled(&self) -> bool {
        self.extension.is_some()
    }

    /// The runtime that answers requests; None if the extension is off.
    pub fn runtime(&self) -> Option<&Arc<Runtime>> {
        self.extension.as_ref().map(|extension| &extension.runtime)
    }

    /// As [`Cache::set_module_unchecked`].
    pub fn set_module_unchecked(&mut self, unchecked: bool) {
        self.uploads.set_module_unchecked(unchecked);
        if let Some(extension) = &mut self.extension {
            extension.lowered.set_module_unchecked(unchecked);
        }
    }

    /// Checks (if `checked`), compiles and (if `persist`) stores a module; its checksum. See [`Cache::store_code`].
    ///
    /// Unchecked, what stock stores is stored: neither imports nor models are judged.
    pub fn store_code(&self, wasm: &[u8], checked: bool, persist: bool) -> Result<Checksum, Error> {
        let Some(extension) = &self.extension else {
            return Ok(self.uploads.store_code(wasm, checked, persist)?);
        };
        let lowered = match lower(wasm) {
            Ok(lowered) => lowered,
            Err(refused) if checked => return Err(refused.into()),
            Err(_) => None,
        };
        if checked {
            extension.check(wasm, lowered.as_deref())?;
        }
        let Some(lowered) = lowered else {
            if !persist || matches!(module::carried(wasm), Ok(Carried::Contract)) {
                return Ok(self.uploads.store_code(wasm, false, persist)?);
            }
            // A model's file is read while contracts run. The stock cache writes in place; a crash while the same bytes
            // are uploaded again would leave a short file for the replay of the block.
            let checksum = self.uploads.store_code(wasm, false, false)?;
            if !extension.files.holds(&checksum, wasm) {
                extension.write(wasm)?;
            }
            return Ok(checksum);
        };

        let lowered_checksum = extension.lowered.store_code(&lowered, false, persist)?;
        if !persist {
            return Ok(Checksum::generate(wasm));
        }
        let checksum = extension.write(wasm)?;
        extension.remember(checksum, Kind::Lowered(lowered_checksum));
        Ok(checksum)
    }

    /// The uploaded bytes of a stored module.
    pub fn load_wasm(&self, checksum: &Checksum) -> Result<Vec<u8>, Error> {
        Ok(self.uploads.load_wasm(checksum)?)
    }

    /// Removes a module and all that was made of it. An error if it is not stored.
    pub fn remove_wasm(&self, checksum: &Checksum) -> Result<(), Error> {
        let lowered = self.extension.as_ref().and_then(|extension| {
            let kind = extension.forget(checksum).or_else(|| {
                let lowered = lower(&self.uploads.load_wasm(checksum).ok()?).ok()??;
                Some(Kind::Lowered(Checksum::generate(&lowered)))
            });
            match kind {
                Some(Kind::Lowered(lowered)) => Some((extension, lowered)),
                _ => None,
            }
        });
        self.uploads.remove_wasm(checksum)?;
        if let Some((extension, lowered)) = lowered {
            if extension.lowered_files.exists(&lowered) {
                extension.lowered.remove_wasm(&lowered)?;
            }
        }
        Ok(())
    }

    /// Static analysis of a stored module: of the upload, whose exports are those of its lowered copy.
    pub fn analyze(&self, checksum: &Checksum) -> Result<AnalysisReport, Error> {
        Ok(self.uploads.analyze(checksum)?)
    }

    /// Keeps a module in memory.
    pub fn pin(&self, checksum: &Checksum) -> Result<(), Error> {
        if let Some(extension) = &self.extension {
            if let Kind::Lowered(lowered) = self.kind(extension, checksum)? {
                extension.lowered.pin(&lowered)?;
                lock(&extension.pinned).insert(*checksum, lowered);
                return Ok(());
            }
        }
        Ok(self.uploads.pin(checksum)?)
    }

    /// Ends [`pin`](Self::pin). Unknown checksums are ignored.
    pub fn unpin(&self, checksum: &Checksum) -> Result<(), Error> {
        if let Some(extension) = &self.extension {
            let lowered = lock(&extension.pinned).remove(checksum);
            if let Some(lowered) = lowered {
                extension.lowered.unpin(&lowered)?;
            }
        }
        Ok(self.uploads.unpin(checksum)?)
    }

    /// Pins exactly these modules.
    pub fn sync_pinned_codes(&self, checksums: &[Checksum]) -> Result<(), Error> {
        let wanted: HashSet<_> = checksums.iter().copied().collect();
        let pinned: HashSet<_> = self.pinned_metrics().per_module.into_iter().map(|(c, _)| c).collect();
        for checksum in checksums {
            if !pinned.contains(checksum) {
                self.pin(checksum)?;
            }
        }
        for checksum in pinned.difference(&wanted) {
            self.unpin(checksum)?;
        }
        Ok(())
    }

    /// Counts of cache hits, uploads and lowered copies together.
    pub fn stats(&self) -> Stats {
        self.metrics().stats
    }

    /// Counts and sizes, uploads and lowered copies together.
    pub fn metrics(&self) -> Metrics {
        let mut sum = self.uploads.metrics();
        if let Some(extension) = &self.extension {
            let lowered = extension.lowered.metrics();
            let (a, b) = (&mut sum.stats, lowered.stats);
            a.hits_pinned_memory_cache = a.hits_pinned_memory_cache.saturating_add(b.hits_pinned_memory_cache);
            a.hits_memory_cache = a.hits_memory_cache.saturating_add(b.hits_memory_cache);
            a.hits_fs_cache = a.hits_fs_cache.saturating_add(b.hits_fs_cache);
            a.misses = a.misses.saturating_add(b.misses);
            sum.elements_pinned_memory_cache += lowered.elements_pinned_memory_cache;
            sum.elements_memory_cache += lowered.elements_memory_cache;
            sum.size_pinned_memory_cache += lowered.size_pinned_memory_cache;
            sum.size_memory_cache += lowered.size_memory_cache;
        }
        sum
    }

    /// What pinned modules take, under the checksums of the uploads.
    pub fn pinned_metrics(&self) -> PinnedMetrics {
        let mut metrics = self.uploads.pinned_metrics();
        if let Some(extension) = &self.extension {
            let uploads: HashMap<_, _> = lock(&extension.pinned).iter().map(|(up, low)| (*low, *up)).collect();
            let lowered = extension.lowered.pinned_metrics().per_module.into_iter();
            metrics
                .per_module
                .extend(lowered.filter_map(|(checksum, module)| Some((*uploads.get(&checksum)?, module))));
        }
        metrics
    }

    /// An instance of a stored module.
    pub fn get_instance(
        &self,
        checksum: &Checksum,
        backend: Backend<A, S, Q>,
        options: InstanceOptions,
    ) -> Result<Instance<A, S, AiQuerier<Q>>, Error> {
        self.get_instance_for(checksum, backend, options, Origin::default)
    }

    /// The same, for a call whose `origin` an [`Observer`] is told. Only where there is one is it asked for.
    pub fn get_instance_for(
        &self,
        checksum: &Checksum,
        backend: Backend<A, S, Q>,
        options: InstanceOptions,
        origin: impl FnOnce() -> Origin,
    ) -> Result<Instance<A, S, AiQuerier<Q>>, Error> {
        let Backend { api, storage, querier } = backend;
        let mut inference = None;
        let (cache, compiled) = match &self.extension {
            None => (&self.uploads, *checksum),
            Some(extension) => match self.kind(extension, checksum)? {
                Kind::Plain => (&self.uploads, *checksum),
                Kind::Lowered(lowered) => {
                    inference = Some(Inference {
                        runtime: extension.runtime.clone(),
                        files: extension.files.clone(),
                        caller: *checksum,
                        observer: extension.observer.clone().map(|observer| (observer, origin())),
                    });
                    (&extension.lowered, lowered)
                }
            },
        };
        let backend = Backend {
            api,
            storage,
            querier: AiQuerier::new(querier, inference),
        };
        Ok(cache.get_instance(&compiled, backend, options)?)
    }

    /// How a stored module runs. Makes its lowered copy where that is missing.
    fn kind(&self, extension: &Extension<A, S, Q>, checksum: &Checksum) -> Result<Kind, Error> {
        let known = lock(&extension.kinds).get(checksum).copied();
        match known {
            Some(Kind::Lowered(lowered)) if !extension.lowered_files.exists(&lowered) => {}
            Some(kind) => return Ok(kind),
            None => {}
        }
        let wasm = match self.uploads.load_wasm(checksum) {
            Ok(wasm) => wasm,
            Err(error) => {
                // The stock cache decides what becomes of it: it may hold it compiled. It is a fault in any case.
                tracing::error!(
                    checksum = %checksum.to_hex(),
                    "reading a stored contract: {error}. If the chain has this code, THIS NODE MAY DIVERGE; restore the \
                     wasm folder from a snapshot or by state sync"
                );
                return Ok(Kind::Plain);
            }
        };
        let kind = match lower(&wasm)? {
            None => Kind::Plain,
            Some(lowered) => {
                let lowered_checksum = Checksum::generate(&lowered);
                // Whatever lies there under that name, a file cut short by a crash included, must be this very copy.
                if !extension.lowered_files.holds(&lowered_checksum, &lowered) {
                    extension.lowered.store_code(&lowered, false, true)?;
                }
                Kind::Lowered(lowered_checksum)
            }
        };
        extension.remember(*checksum, kind);
        Ok(kind)
    }
}

impl<A: BackendApi, S: Storage, Q: Querier> Extension<A, S, Q> {
    /// The static checks of an upload: cosmwasm-vm's on what will be compiled, ours on a model.
    fn check(&self, wasm: &[u8], lowered: Option<&[u8]>) -> Result<(), Error> {
        let checked: VmResult<()> = check_wasm(lowered.unwrap_or(wasm), &self.capabilities, &self.limits, Logger::Off);
        checked?;
        if !matches!(module::carried(wasm), Ok(Carried::Contract)) {
            self.runtime.check_model(wasm)?;
        }
        Ok(())
    }

    /// Stores an upload's bytes, whole or not at all.
    fn write(&self, wasm: &[u8]) -> Result<Checksum, Error> {
        self.files.write(wasm).map_err(|source| Error::Io {
            path: self.base_dir.display().to_string(),
            source,
        })
    }

    fn remember(&self, checksum: Checksum, kind: Kind) {
        let mut kinds = lock(&self.kinds);
        if kinds.len() >= MAX_KINDS {
            kinds.clear();
        }
        kinds.insert(checksum, kind);
    }

    fn forget(&self, checksum: &Checksum) -> Option<Kind> {
        lock(&self.kinds).remove(checksum)
    }
}

/// Locks a map. A panic elsewhere cannot have left it half changed: each change is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A: BackendApi, S: Storage, Q: Querier> fmt::Debug for Vm<A, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm")
            .field("inference", &self.extension.is_some())
            .finish_non_exhaustive()
    }
}
