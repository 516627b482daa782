//! Unit tests of a contract, natively, against the real engine: no mock answers.
//!
//! ```
//! # #[cfg(all(feature = "std3", feature = "testing"))] {
//! use aiinference_std::{testing::std3::mock_dependencies, Error, ErrorCode, Model, Tensor};
//!
//! # let wasm = vec![];
//! // let wasm = std::fs::read("model/score.wasm")?;
//! let deps = mock_dependencies(&[(7, &wasm)]);
//! let result = Model::new(8).infer(deps.as_ref().querier, &[Tensor::from_i64s(&[1])]);
//! assert_eq!(result.unwrap_err().code(), Some(ErrorCode::UnknownCodeId));
//! # }
//! ```

use std::{cell::Cell, collections::BTreeMap};

use aiinference_runtime::{is_request, Answer, Chain, ChainError, NodeFault, Runtime, Settings};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::Checksum;

/// The smallest module: the code of a contract that carries no model of its own.
const NO_MODEL: &[u8] = b"\0asm\x01\0\0\0";

/// A querier that runs registered models, and asks another (say a `MockQuerier`) everything else.
///
/// It answers `code_info` for the registered code ids as well. Works for cosmwasm-std 2 and 3 alike.
#[derive(Debug)]
pub struct AiQuerier<Q> {
    inner: Q,
    runtime: Runtime,
    codes: Codes,
    gas_left: Cell<u64>,
    gas_used: Cell<u64>,
}

/// The stored code.
#[derive(Debug)]
struct Codes {
    ids: BTreeMap<u64, [u8; 32]>,
    modules: BTreeMap<[u8; 32], Vec<u8>>,
    own: [u8; 32],
}

impl<Q> AiQuerier<Q> {
    /// A querier without models, in front of another.
    pub fn new(inner: Q) -> Self {
        let mut codes = Codes {
            ids: BTreeMap::new(),
            modules: BTreeMap::new(),
            own: [0; 32],
        };
        codes.own = codes.store(NO_MODEL);
        AiQuerier {
            inner,
            runtime: Runtime::new(Settings::default()),
            codes,
            gas_left: Cell::new(u64::MAX),
            gas_used: Cell::new(0),
        }
    }

    /// Stores a module under a code id, as the chain would. Any module is taken: whether it carries a model turns out
    /// when it is called.
    pub fn with_model(mut self, code_id: u64, wasm: &[u8]) -> Self {
        let checksum = self.codes.store(wasm);
        self.codes.ids.insert(code_id, checksum);
        self
    }

    /// Makes this the code of the contract under test, for [`Model::own`](crate::Model::own).
    pub fn with_own_code(mut self, wasm: &[u8]) -> Self {
        self.codes.own = self.codes.store(wasm);
        self
    }

    /// Gives all calls together only so much CosmWasm gas. A call above it panics: on a chain, it ends the transaction.
    pub fn with_gas(self, gas: u64) -> Self {
        self.gas_left.set(gas);
        self
    }

    /// What the calls have cost so far, in CosmWasm gas; without the chain's own query for the code, which depends on
    /// the chain.
    pub fn gas_used(&self) -> u64 {
        self.gas_used.get()
    }

    /// The checksum of the code behind a code id.
    pub fn checksum(&self, code_id: u64) -> Option<Checksum> {
        self.codes.ids.get(&code_id).map(|&checksum| checksum.into())
    }

    /// The querier behind this one.
    pub fn inner_mut(&mut self) -> &mut Q {
        &mut self.inner
    }

    /// The answer, if the question is for this querier.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        if is_request(request) {
            return Some(self.infer(request));
        }
        let query: CodeInfoQuery = serde_json::from_slice(request).ok()?;
        let code_id = query.wasm.code_info.code_id;
        let checksum = self.checksum(code_id)?;
        let info = serde_json::json!({ "code_id": code_id, "creator": "creator", "checksum": checksum });
        Some(info.to_string().into_bytes())
    }

    fn infer(&self, request: &[u8]) -> Vec<u8> {
        let gas_left = self.gas_left.get();
        let (response, gas) = match self.runtime.answer(request, gas_left, &mut &self.codes) {
            Answer::Done { response, gas, .. } => (response, gas),
            Answer::OutOfGas { gas, .. } => {
                panic!("out of gas: the call costs {gas} or more and {gas_left} is left; on a chain, the transaction ends here")
            }
            // `Codes` never aborts, and holds every module that it names.
            Answer::Abort { fault, .. } => panic!("the testing querier cannot read its own models: {fault:?}"),
        };
        self.gas_left.set(gas_left.saturating_sub(gas));
        self.gas_used.set(self.gas_used.get().saturating_add(gas));
        response
    }
}

impl Codes {
    fn store(&mut self, wasm: &[u8]) -> [u8; 32] {
        let checksum = Sha256::digest(wasm).into();
        self.modules.insert(checksum, wasm.to_vec());
        checksum
    }

    fn module(&self, checksum: &[u8; 32]) -> Result<&Vec<u8>, NodeFault> {
        self.modules
            .get(checksum)
            .ok_or_else(|| NodeFault("it was never stored".to_string()))
    }
}

impl Chain for &Codes {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        (self.ids.get(&code_id).copied().ok_or(ChainError::NoSuchCode), 0)
    }

    fn own_checksum(&self) -> [u8; 32] {
        self.own
    }

    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        self.module(checksum).map(|wasm| wasm.len() as u64)
    }

    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        self.module(checksum).cloned()
    }
}

/// `{"wasm":{"code_info":{"code_id":7}}}`
#[derive(Deserialize)]
struct CodeInfoQuery {
    wasm: WasmQuery,
}

#[derive(Deserialize)]
struct WasmQuery {
    code_info: CodeInfo,
}

#[derive(Deserialize)]
struct CodeInfo {
    code_id: u64,
}

macro_rules! bindings {
    ($name:ident, $feature:literal, $std:ident, $doc:literal) => {
        #[doc = $doc]
        #[cfg(feature = $feature)]
        pub mod $name {
            use core::marker::PhantomData;

            use super::AiQuerier;
            use $std::{
                testing::{MockApi, MockQuerier, MockStorage},
                ContractResult, OwnedDeps, Querier, QuerierResult, SystemResult,
            };

            impl<Q: Querier> Querier for AiQuerier<Q> {
                fn raw_query(&self, request: &[u8]) -> QuerierResult {
                    match self.answer(request) {
                        Some(answer) => SystemResult::Ok(ContractResult::Ok(answer.into())),
                        None => self.inner.raw_query(request),
                    }
                }
            }

            /// Dependencies with an empty storage and these modules stored under these code ids.
            pub fn mock_dependencies(
                models: &[(u64, &[u8])],
            ) -> OwnedDeps<MockStorage, MockApi, AiQuerier<MockQuerier>> {
                let querier = AiQuerier::new(MockQuerier::new(&[]));
                OwnedDeps {
                    storage: MockStorage::default(),
                    api: MockApi::default(),
                    querier: models.iter().fold(querier, |querier, (code_id, wasm)| {
                        querier.with_model(*code_id, wasm)
                    }),
                    custom_query_type: PhantomData,
                }
            }
        }
    };
}

bindings!(std2, "std2", cosmwasm_std_2, "For contracts on cosmwasm-std 2.");
bindings!(std3, "std3", cosmwasm_std, "For contracts on cosmwasm-std 3.");
