//! The VM of an embedded chain and the folder it lives in.

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use aiinference_vm::{Runtime, Settings, Vm};
use cosmwasm_std::Checksum;
use cosmwasm_vm::{CacheOptions, Config, Size};
use cw_multi_test::WasmKeeper;

use crate::{
    backend::{ChainApi, ChainQuerier, ChainStorage},
    contract::WasmContract,
    gas::{GasLimits, Meter},
    ibc::{Desk, IbcModule, RelayMessages},
    GasReport, GasScopes, MeteredWasm,
};

/// What wasmd offers to contracts by default, and inference.
pub const DEFAULT_CAPABILITIES: [&str; 12] = [
    "aiinference_1",
    "cosmwasm_1_1",
    "cosmwasm_1_2",
    "cosmwasm_1_3",
    "cosmwasm_1_4",
    "cosmwasm_2_0",
    "cosmwasm_2_1",
    "cosmwasm_2_2",
    "ibc2",
    "iterator",
    "staking",
    "stargate",
];

/// Why a store of compiled code could not be opened or a module not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No folder.
    #[error("opening an embedded chain: making a folder for its code: {0}; check the space and rights of the temporary folder")]
    Folder(#[from] io::Error),
    /// The VM's word, as at an upload to a real chain.
    #[error(transparent)]
    Vm(#[from] aiinference_vm::Error),
}

/// How a [`CodeStore`] is made.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Capabilities of the chain. Without `aiinference_1` it behaves as a stock one.
    pub capabilities: HashSet<String>,
    /// Memory that one instance may take.
    pub instance_memory: Size,
    /// Where the code lives; None for a temporary folder that goes with the store.
    pub folder: Option<PathBuf>,
    /// Settings of the inference runtime. None of them changes a result or gas.
    pub runtime: Settings,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            capabilities: DEFAULT_CAPABILITIES.map(String::from).into(),
            instance_memory: Size::mebi(32),
            folder: None,
            runtime: Settings::default(),
        }
    }
}

/// Compiled code. Share one among the chains of a test program to compile each contract once; a chain sees only what was
/// stored on that chain, whatever else lies here.
#[derive(Clone)]
pub struct CodeStore(Arc<Shared>);

struct Shared {
    vm: Vm<ChainApi, ChainStorage, ChainQuerier>,
    /// What was stored, and so needs no compiling again.
    stored: Mutex<HashSet<Checksum>>,
    /// Dropped last, after the VM that has it open.
    _folder: Option<tempfile::TempDir>,
}

impl CodeStore {
    /// Opens a store.
    pub fn new(options: StoreOptions) -> Result<Self, StoreError> {
        let (folder, path) = match options.folder {
            Some(path) => (None, path),
            None => {
                let folder = tempfile::Builder::new().prefix("aiinference-multi-test-").tempdir()?;
                let path = folder.path().to_path_buf();
                (Some(folder), path)
            }
        };
        let config = Config::new(CacheOptions::new(
            path,
            options.capabilities,
            Size::mebi(256),
            options.instance_memory,
        ));
        // SAFETY: compiled modules in the folder are trusted. A temporary one is ours alone; one that the author of a
        // test names is theirs, as the compiler's own output is.
        let vm = unsafe { Vm::new(config, Arc::new(Runtime::new(options.runtime))) }?;
        Ok(CodeStore(Arc::new(Shared {
            vm,
            stored: Mutex::default(),
            _folder: folder,
        })))
    }

    fn store(&self, wasm: &[u8]) -> Result<Checksum, StoreError> {
        let checksum = Checksum::generate(wasm);
        let stored = || self.0.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if !stored().contains(&checksum) {
            self.0.vm.store_code(wasm, true, true)?;
            stored().insert(checksum);
        }
        Ok(checksum)
    }
}

impl std::fmt::Debug for CodeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CodeStore").field(&self.0.vm).finish()
    }
}

/// The VM of one chain: compiled code, and the meter of that chain's gas. Clones are the same.
///
/// [`Chain`](crate::Chain) has one. To put Wasm contracts into an app of your own modules, build it with
/// [`wasm`](Self::wasm) as its Wasm module and [`stargate`](Self::stargate) around its stargate module, and store what
/// [`store`](Self::store) returns.
#[derive(Clone)]
pub struct EmbeddedVm(Rc<Parts>);

struct Parts {
    store: CodeStore,
    meter: Meter,
    desk: Desk,
}

impl std::fmt::Debug for EmbeddedVm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedVm").field(&self.0.store).finish()
    }
}

impl EmbeddedVm {
    /// A VM on a store, with these limits.
    pub fn new(store: CodeStore, limits: GasLimits) -> Self {
        EmbeddedVm(Rc::new(Parts {
            store,
            meter: Meter::new(limits),
            desk: Desk::default(),
        }))
    }

    /// Checks and compiles a module, as an upload does. Models are modules, too; what comes back for one cannot be
    /// instantiated, but its code id can be inferred with.
    pub fn store(&self, wasm: &[u8]) -> Result<Box<WasmContract>, StoreError> {
        let checksum = self.0.store.store(wasm)?;
        Ok(Box::new(WasmContract::new(checksum, self.clone())))
    }

    /// The Wasm module for an app.
    pub fn wasm<C, Q>(&self) -> MeteredWasm<C, Q> {
        self.wasm_with(WasmKeeper::default())
    }

    /// The Wasm module for an app, over a keeper with its own addresses or checksums.
    pub fn wasm_with<C, Q>(&self, keeper: WasmKeeper<C, Q>) -> MeteredWasm<C, Q> {
        MeteredWasm::new(keeper, self.meter().clone())
    }

    /// The stargate module for an app: serves submessages with gas limits, and leaves the rest to `inner`.
    pub fn stargate<S>(&self, inner: S) -> GasScopes<S> {
        GasScopes::new(inner, self.meter().clone())
    }

    /// The IBC module of a [`Chain`](crate::Chain).
    pub(crate) fn ibc(&self) -> IbcModule {
        IbcModule::new(self.desk().clone(), self.meter().clone())
    }

    /// The stargate module of a [`Chain`](crate::Chain) that takes a relayer's steps, and leaves the rest to `inner`.
    pub(crate) fn relay_messages<S>(&self, inner: S) -> RelayMessages<S> {
        RelayMessages::new(inner, self.desk().clone(), self.meter().clone())
    }

    /// Limits of transactions and queries that begin from now on.
    pub fn set_gas_limits(&self, limits: GasLimits) {
        self.meter().set_limits(limits);
    }

    /// Limits in force.
    pub fn gas_limits(&self) -> GasLimits {
        self.meter().limits()
    }

    /// Gas of the transaction that ended last, failed ones included.
    pub fn last_transaction(&self) -> GasReport {
        self.meter().last_transaction()
    }

    /// Gas of the query from outside that ended last.
    pub fn last_query(&self) -> GasReport {
        self.meter().last_query()
    }

    /// The underlying VM.
    pub(crate) fn vm(&self) -> &Vm<ChainApi, ChainStorage, ChainQuerier> {
        &self.0.store.0.vm
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }
}
