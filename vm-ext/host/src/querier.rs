//! The querier in front of the chain's own: it answers inference requests of lowered contracts and passes on the rest.

use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};

use aiinference_runtime::{is_request, Answer, Chain, ChainError, NodeFault, Runtime};
use cosmwasm_std::{
    from_json, to_json_vec, Binary, Checksum, CodeInfoResponse, ContractResult, Empty, QueryRequest, SystemError,
    SystemResult, WasmQuery,
};
use cosmwasm_vm::{BackendError, BackendResult, GasInfo, Querier};

use crate::{
    files::WasmFiles,
    observe::{Asked, Observation, Observer, Origin},
};

/// The querier of an instance: `Q` is the chain's.
///
/// The one of a lowered contract takes requests that begin with the magic; that of any other hands every request to the
/// chain as it is.
#[derive(Debug)]
pub struct AiQuerier<Q> {
    inner: Q,
    inference: Option<Inference>,
}

/// What answering takes.
#[derive(Clone, Debug)]
pub(crate) struct Inference {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) files: Arc<WasmFiles>,
    /// Checksum of the calling contract as uploaded.
    pub(crate) caller: Checksum,
    /// Who watches, and what it is told of the call.
    pub(crate) observer: Option<(Arc<dyn Observer>, Origin)>,
}

impl<Q> AiQuerier<Q> {
    pub(crate) fn new(inner: Q, inference: Option<Inference>) -> Self {
        AiQuerier { inner, inference }
    }

    /// The chain's own querier.
    pub fn inner(&self) -> &Q {
        &self.inner
    }

    /// The chain's own querier, to change it.
    pub fn inner_mut(&mut self) -> &mut Q {
        &mut self.inner
    }
}

impl<Q: Querier> Querier for AiQuerier<Q> {
    fn query_raw(&self, request: &[u8], gas_limit: u64) -> BackendResult<SystemResult<ContractResult<Binary>>> {
        match &self.inference {
            Some(inference) if is_request(request) => inference.answer(&self.inner, request, gas_limit),
            _ => self.inner.query_raw(request, gas_limit),
        }
    }
}

impl Inference {
    fn answer<Q: Querier>(
        &self,
        inner: &Q,
        request: &[u8],
        gas_limit: u64,
    ) -> BackendResult<SystemResult<ContractResult<Binary>>> {
        let mut call = Call {
            inner,
            inference: self,
            inner_cost: 0,
            ended: None,
            asked: Vec::new(),
            used: Vec::new(),
        };
        // A clock is read only for an observer, and nothing but it sees the time.
        let start = self.observer.as_ref().map(|_| Instant::now());
        let answer = self.runtime.answer(request, gas_limit, &mut call);
        let Call {
            inner_cost,
            ended,
            asked,
            used,
            ..
        } = call;
        if let (Some((observer, origin)), Some(start)) = (&self.observer, start) {
            let held = used.iter().map(|(model, _)| self.runtime.cached_bytes_of(model));
            let model_bytes: Vec<u64> = held.map(Option::unwrap_or_default).collect();
            let observation = Observation {
                origin,
                caller: &self.caller,
                request,
                gas_left: gas_limit,
                asked: &asked,
                models: &used,
                answer: &answer,
                elapsed: start.elapsed(),
                cached_bytes: self.runtime.cached_bytes(),
                model_bytes: &model_bytes,
                kernels: self.runtime.kernels(),
            };
            // Watching must not change what is watched: other nodes have another observer, or none.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.answered(&observation)));
        }
        // The runtime was told all that the inner queries used in one sum; what the chain's querier left to be charged is
        // charged here.
        let gas_info =
            |gas: u64, external: u64| GasInfo::new(gas.saturating_add(inner_cost), external.saturating_sub(inner_cost));
        match answer {
            Answer::Done {
                response,
                gas,
                external,
            } => {
                let response = SystemResult::Ok(ContractResult::Ok(Binary::from(response)));
                (Ok(response), gas_info(gas, external))
            }
            // The VM charges before it looks at the result: a cost above what is left depletes the gas.
            Answer::OutOfGas { gas, external } => (Err(BackendError::out_of_gas()), gas_info(gas, external)),
            Answer::Abort { gas, external, fault } => {
                let error = match fault {
                    Some(fault) => {
                        tracing::error!(
                            caller = %self.caller.to_hex(),
                            "{fault}. If this was a block's transaction, THIS NODE DIVERGES FROM ITS CHAIN: other nodes do read that \
                             module. (A simulation that stores code and calls it in one transaction ends here, too.)"
                        );
                        BackendError::unknown(fault.to_string())
                    }
                    None => {
                        ended.unwrap_or_else(|| BackendError::unknown("asking the chain for a code ended the call"))
                    }
                };
                (Err(error), gas_info(gas, external))
            }
        }
    }
}

/// One request's view of the chain and the node.
struct Call<'a, Q> {
    inner: &'a Q,
    inference: &'a Inference,
    /// Gas of inner queries that the chain's querier has not charged yet.
    inner_cost: u64,
    /// The error with which an inner query ended the call.
    ended: Option<BackendError>,
    /// For the observer: codes that the chain was asked for.
    asked: Vec<Asked>,
    /// For the observer: models used, and whether each was at hand.
    used: Vec<([u8; 32], bool)>,
}

impl<Q: Querier> Chain for Call<'_, Q> {
    fn code_checksum(&mut self, code_id: u64, gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        let query: QueryRequest<Empty> = WasmQuery::CodeInfo { code_id }.into();
        let query = match to_json_vec(&query) {
            Ok(query) => query,
            Err(error) => return (Err(ChainError::Failed(error.to_string())), 0),
        };
        let (result, gas) = self.inner.query_raw(&query, gas_left);
        self.inner_cost = self.inner_cost.saturating_add(gas.cost);
        let used = gas.cost.saturating_add(gas.externally_used);
        let checksum = match result {
            Ok(SystemResult::Ok(ContractResult::Ok(answer))) => from_json::<CodeInfoResponse>(&answer)
                .map_err(|_| ChainError::Failed("the chain's answer is no CodeInfoResponse".to_string()))
                .and_then(|info| {
                    <[u8; 32]>::try_from(info.checksum.as_slice())
                        .map_err(|_| ChainError::Failed("the chain's checksum has not 32 bytes".to_string()))
                }),
            Ok(SystemResult::Ok(ContractResult::Err(text))) => Err(ChainError::Failed(text)),
            Ok(SystemResult::Err(SystemError::NoSuchCode { .. })) => Err(ChainError::NoSuchCode),
            Ok(SystemResult::Err(error)) => Err(ChainError::Failed(error.to_string())),
            Err(error) => {
                self.ended = Some(error);
                Err(ChainError::Abort)
            }
        };
        if self.inference.observer.is_some() {
            self.asked.push(Asked {
                code_id,
                answer: checksum.clone(),
                gas: used,
            });
        }
        (checksum, used)
    }

    fn model_used(&mut self, checksum: &[u8; 32], cached: bool) {
        if self.inference.observer.is_some() {
            self.used.push((*checksum, cached));
        }
    }

    fn own_checksum(&self) -> [u8; 32] {
        bytes(&self.inference.caller)
    }

    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        self.inference.files.size(&Checksum::from(*checksum))
    }

    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        self.inference.files.read(&Checksum::from(*checksum))
    }
}

/// A checksum's 32 bytes.
fn bytes(checksum: &Checksum) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(checksum.as_slice());
    bytes
}
