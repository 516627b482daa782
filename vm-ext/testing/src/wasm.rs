//! cw-multi-test's Wasm module with gas: transactions and queries are metered, and every contract obeys the limits.

use cosmwasm_std::{
    Addr, Api, Binary, BlockInfo, CustomMsg, CustomQuery, Querier, Record, StdResult, Storage, WasmMsg, WasmQuery,
};
use cw_multi_test::{AppResponse, Contract, ContractData, CosmosRouter, Wasm, WasmKeeper, WasmSudo};
use serde::de::DeserializeOwned;

use crate::{contract::Metered, gas::Meter};

/// A [`WasmKeeper`] whose contracts, Wasm and native, are metered.
pub struct MeteredWasm<C, Q> {
    keeper: WasmKeeper<C, Q>,
    meter: Meter,
}

impl<C, Q> MeteredWasm<C, Q> {
    pub(crate) fn new(keeper: WasmKeeper<C, Q>, meter: Meter) -> Self {
        MeteredWasm { keeper, meter }
    }
}

impl<C, Q> Wasm<C, Q> for MeteredWasm<C, Q>
where
    C: CustomMsg + DeserializeOwned + 'static,
    Q: CustomQuery + DeserializeOwned + 'static,
{
    fn execute(
        &self,
        api: &dyn Api,
        storage: &mut dyn Storage,
        router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        block: &BlockInfo,
        sender: Addr,
        msg: WasmMsg,
    ) -> StdResult<AppResponse> {
        self.meter
            .transaction(|| self.keeper.execute(api, storage, router, block, sender, msg))
    }

    fn query(
        &self,
        api: &dyn Api,
        storage: &dyn Storage,
        querier: &dyn Querier,
        block: &BlockInfo,
        request: WasmQuery,
    ) -> StdResult<Binary> {
        self.meter
            .query(|| self.keeper.query(api, storage, querier, block, request))
    }

    fn sudo(
        &self,
        api: &dyn Api,
        storage: &mut dyn Storage,
        router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        block: &BlockInfo,
        msg: WasmSudo,
    ) -> StdResult<AppResponse> {
        self.meter
            .transaction(|| self.keeper.sudo(api, storage, router, block, msg))
    }

    fn store_code(&mut self, creator: Addr, code: Box<dyn Contract<C, Q>>) -> u64 {
        let code = Metered::new(code, self.meter.clone());
        self.keeper.store_code(creator, Box::new(code))
    }

    fn store_code_with_id(&mut self, creator: Addr, code_id: u64, code: Box<dyn Contract<C, Q>>) -> StdResult<u64> {
        let code = Metered::new(code, self.meter.clone());
        self.keeper.store_code_with_id(creator, code_id, Box::new(code))
    }

    fn duplicate_code(&mut self, code_id: u64) -> StdResult<u64> {
        self.keeper.duplicate_code(code_id)
    }

    fn contract_data(&self, storage: &dyn Storage, address: &Addr) -> StdResult<ContractData> {
        self.keeper.contract_data(storage, address)
    }

    fn dump_wasm_raw(&self, storage: &dyn Storage, address: &Addr) -> Vec<Record> {
        self.keeper.dump_wasm_raw(storage, address)
    }

    fn contract_namespace(&self, contract: &Addr) -> Vec<u8> {
        self.keeper.contract_namespace(contract)
    }

    fn contract_storage<'a>(&self, storage: &'a dyn Storage, address: &Addr) -> Box<dyn Storage + 'a> {
        self.keeper.contract_storage(storage, address)
    }

    fn contract_storage_mut<'a>(&self, storage: &'a mut dyn Storage, address: &Addr) -> Box<dyn Storage + 'a> {
        self.keeper.contract_storage_mut(storage, address)
    }
}
