//! The chain: an app of cw-multi-test with a VM.

use std::ops::{Deref, DerefMut};

use aiinference_vm::runtime::module;
use cosmwasm_std::{
    testing::{MockApi, MockStorage},
    to_json_binary, Addr, Binary, Checksum, Coin, CosmosMsg, Empty, StdResult,
};
use cw_multi_test::{
    App, AppBuilder, AppResponse, BankKeeper, BankSudo, DistributionKeeper, Executor, FailingModule, GovFailingModule,
    StakeKeeper, StargateFailing, SudoMsg, WasmSudo,
};
use serde::Serialize;

use crate::{
    embedded::{CodeStore, EmbeddedVm, StoreError, StoreOptions},
    gas::{GasLimits, GasReport},
    ibc::{self, Done, IbcError, IbcModule, IbcState, Job, RelayMessages},
    GasScopes, MeteredWasm,
};

/// The app of a [`Chain`].
pub type ChainApp = App<
    BankKeeper,
    MockApi,
    MockStorage,
    FailingModule<Empty, Empty, Empty>,
    MeteredWasm<Empty, Empty>,
    StakeKeeper,
    DistributionKeeper,
    IbcModule,
    GovFailingModule,
    GasScopes<RelayMessages<StargateFailing>>,
>;

/// A chain in a test: cw-multi-test's [`App`], to which it dereferences, whose contracts may be Wasm files.
///
/// Messages go through [`Executor`], as with an `App`.
pub struct Chain {
    app: ChainApp,
    vm: EmbeddedVm,
}

impl Chain {
    /// A chain with the default capabilities, limits and modules, and an empty store of code.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self::with_store(CodeStore::new(StoreOptions::default())?))
    }

    /// A chain on a store of compiled code.
    pub fn with_store(store: CodeStore) -> Self {
        let vm = EmbeddedVm::new(store, GasLimits::default());
        let app = AppBuilder::new()
            .with_wasm(vm.wasm())
            .with_ibc(vm.ibc())
            .with_stargate(vm.stargate(vm.relay_messages(StargateFailing)))
            .build(cw_multi_test::no_init);
        Chain { app, vm }
    }

    /// Stores a Wasm module, be it a contract or a model, under the next code id.
    ///
    /// It is checked and compiled as at an upload to a real chain, and refused with the same words.
    pub fn store_wasm(&mut self, wasm: &[u8]) -> Result<u64, StoreError> {
        let code = self.vm.store(wasm)?;
        Ok(self.app.store_code(code))
    }

    /// As [`store_wasm`](Self::store_wasm), by this account.
    pub fn store_wasm_as(&mut self, creator: Addr, wasm: &[u8]) -> Result<u64, StoreError> {
        let code = self.vm.store(wasm)?;
        Ok(self.app.store_code_with_creator(creator, code))
    }

    /// Stores a model as a chain stores one that is too large for one transaction: in shards that carry at most
    /// `shard_bytes` of its module each, and a manifest, whose code id names the model.
    pub fn store_sharded(&mut self, model: &[u8], shard_bytes: usize) -> Result<u64, StoreError> {
        let mut shards = Vec::new();
        for shard in module::split(model, shard_bytes) {
            shards.push((self.store_wasm(&shard)?, *Checksum::generate(&shard).as_ref()));
        }
        self.store_wasm(&module::wrap_manifest(&module::manifest(model, shards)))
    }

    /// Gives an account coins out of nothing.
    pub fn fund(&mut self, account: &Addr, coins: Vec<Coin>) -> StdResult<AppResponse> {
        self.sudo(
            BankSudo::Mint {
                to_address: account.to_string(),
                amount: coins,
            }
            .into(),
        )
    }

    /// Runs several messages as one transaction: all or none take effect, under one gas limit.
    pub fn execute_multi(&mut self, sender: Addr, msgs: Vec<CosmosMsg>) -> StdResult<Vec<AppResponse>> {
        let Chain { app, vm } = self;
        vm.meter().transaction(|| app.execute_multi(sender, msgs))
    }

    /// Runs a privileged message, as the chain itself may send one.
    pub fn sudo(&mut self, msg: SudoMsg) -> StdResult<AppResponse> {
        let Chain { app, vm } = self;
        vm.meter().transaction(|| app.sudo(msg))
    }

    /// Calls the sudo entry point of a contract.
    pub fn wasm_sudo<T: Serialize>(&mut self, contract: &Addr, msg: &T) -> StdResult<AppResponse> {
        self.sudo(SudoMsg::Wasm(WasmSudo {
            contract_addr: contract.clone(),
            message: to_json_binary(msg)?,
        }))
    }

    /// A smart query by raw bytes; the answer as the contract gave it.
    pub fn query_raw(&self, contract: &Addr, msg: impl Into<Binary>) -> StdResult<Binary> {
        let request = cosmwasm_std::WasmQuery::Smart {
            contract_addr: contract.to_string(),
            msg: msg.into(),
        };
        let request = cosmwasm_std::to_json_vec(&cosmwasm_std::QueryRequest::<Empty>::Wasm(request))?;
        match cosmwasm_std::Querier::raw_query(&self.app, &request) {
            cosmwasm_std::SystemResult::Ok(cosmwasm_std::ContractResult::Ok(answer)) => Ok(answer),
            cosmwasm_std::SystemResult::Ok(cosmwasm_std::ContractResult::Err(text)) => {
                Err(cosmwasm_std::StdError::msg(text))
            }
            cosmwasm_std::SystemResult::Err(error) => Err(error.into()),
        }
    }

    /// IBC in the chain's state: channels, packets, acknowledgements.
    pub fn ibc(&self) -> IbcState<'_> {
        IbcState(self.app.storage())
    }

    /// Takes steps of a relayer as one transaction. What each came to, with the chain's response.
    pub(crate) fn relay(&mut self, relayer: &Addr, jobs: Vec<Job>) -> Result<Vec<(Done, AppResponse)>, IbcError> {
        let msgs = jobs.iter().map(|_| ibc::message()).collect();
        self.vm.desk().lay(jobs);
        let result = self.execute_multi(relayer.clone(), msgs);
        let done = self.vm.desk().clear();
        match result {
            Ok(responses) => done
                .into_iter()
                .zip(responses)
                .map(|(done, response)| Ok((done?, response)))
                .collect(),
            Err(error) => Err(match done.into_iter().next_back() {
                Some(Err(refused)) => refused,
                _ => IbcError::Chain(error.to_string()),
            }),
        }
    }

    /// An address of this chain for a name, always the same.
    pub fn account(&self, name: &str) -> Addr {
        self.app.api().addr_make(name)
    }

    /// Gas of the transaction that ended last, failed ones included.
    pub fn last_transaction(&self) -> GasReport {
        self.vm.last_transaction()
    }

    /// Gas of the query that ended last. Bank and other queries without a contract are not metered.
    pub fn last_query(&self) -> GasReport {
        self.vm.last_query()
    }

    /// Sets the limits of transactions and queries.
    pub fn set_gas_limits(&mut self, limits: GasLimits) {
        self.vm.set_gas_limits(limits);
    }

    /// Limits in force.
    pub fn gas_limits(&self) -> GasLimits {
        self.vm.gas_limits()
    }

    /// The app.
    pub fn app(&self) -> &ChainApp {
        &self.app
    }

    /// The app, to change it.
    pub fn app_mut(&mut self) -> &mut ChainApp {
        &mut self.app
    }

    /// The VM.
    pub fn vm(&self) -> &EmbeddedVm {
        &self.vm
    }
}

impl Executor<Empty> for Chain {
    fn execute(&mut self, sender: Addr, msg: CosmosMsg) -> StdResult<AppResponse> {
        let Chain { app, vm } = self;
        vm.meter().transaction(|| app.execute(sender, msg))
    }
}

impl Deref for Chain {
    type Target = ChainApp;

    fn deref(&self) -> &ChainApp {
        &self.app
    }
}

impl DerefMut for Chain {
    fn deref_mut(&mut self) -> &mut ChainApp {
        &mut self.app
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("vm", &self.vm).finish_non_exhaustive()
    }
}
