//! cosmwasm-vm's backend over what cw-multi-test lends to a call.

use cosmwasm_std::{
    from_json, to_json_binary, to_json_vec, Binary, CanonicalAddr, ContractResult, Empty, IbcQuery, Order,
    PortIdResponse, QueryRequest, Record, SystemError, SystemResult, WasmQuery,
};
use cosmwasm_vm::{Backend, BackendApi, BackendError, BackendResult, GasInfo, Querier, Storage};

use crate::{
    gas::{self, Meter},
    ibc::{self, contract_port},
    loan::{Loan, LoanError},
};

/// Records that an iterator fetches at once.
const PAGE: usize = 32;

impl From<LoanError> for BackendError {
    fn from(error: LoanError) -> Self {
        BackendError::unknown(error.to_string())
    }
}

/// The backend of one call.
pub(crate) fn backend(loan: Loan, meter: &Meter) -> Backend<ChainApi, ChainStorage, ChainQuerier> {
    Backend {
        api: ChainApi(loan),
        storage: ChainStorage {
            loan,
            meter: meter.clone(),
            iterators: Vec::new(),
        },
        querier: ChainQuerier {
            loan,
            meter: meter.clone(),
        },
    }
}

/// Addresses by the rules of the app's api.
#[derive(Clone, Copy, Debug)]
pub struct ChainApi(Loan);

impl ChainApi {
    fn ask<T>(
        &self,
        cost: u64,
        question: impl FnOnce(&dyn cosmwasm_std::Api) -> cosmwasm_std::StdResult<T>,
    ) -> BackendResult<T> {
        let answer = match self.0.with_api(question) {
            Ok(answer) => answer.map_err(|error| BackendError::user_err(error.to_string())),
            Err(error) => Err(error.into()),
        };
        (answer, GasInfo::with_cost(cost))
    }
}

impl BackendApi for ChainApi {
    fn addr_validate(&self, input: &str) -> BackendResult<()> {
        self.ask(gas::VALIDATE, |api| api.addr_validate(input).map(|_| ()))
    }

    fn addr_canonicalize(&self, human: &str) -> BackendResult<Vec<u8>> {
        self.ask(gas::CANONICALIZE, |api| Ok(api.addr_canonicalize(human)?.to_vec()))
    }

    fn addr_humanize(&self, canonical: &[u8]) -> BackendResult<String> {
        let canonical = CanonicalAddr::from(canonical);
        self.ask(gas::HUMANIZE, |api| Ok(api.addr_humanize(&canonical)?.into_string()))
    }
}

/// The storage of the contract that runs.
#[derive(Debug)]
pub struct ChainStorage {
    loan: Loan,
    meter: Meter,
    iterators: Vec<Iterator>,
}

/// A scan that has come to somewhere: the rest of its range, and records fetched ahead.
#[derive(Debug)]
struct Iterator {
    start: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    order: Order,
    page: std::vec::IntoIter<Record>,
    finished: bool,
}

impl ChainStorage {
    /// Charges gas now; the VM is told that it has been.
    fn charged(&self, cost: u64) -> GasInfo {
        self.meter.charge(cost);
        GasInfo::with_externally_used(cost)
    }

    fn step(&mut self, iterator_id: u32) -> Result<Option<Record>, BackendError> {
        let iterator = self
            .iterators
            .get_mut(iterator_id as usize)
            .ok_or_else(|| BackendError::iterator_does_not_exist(iterator_id))?;
        if let Some(record) = iterator.page.next() {
            return Ok(Some(record));
        }
        if iterator.finished {
            return Ok(None);
        }
        let page: Vec<Record> = self.loan.with_storage(|storage| {
            let range = storage.range(iterator.start.as_deref(), iterator.end.as_deref(), iterator.order);
            range.take(PAGE).collect()
        })?;
        iterator.finished = page.len() < PAGE;
        if let Some((last, _)) = page.last() {
            match iterator.order {
                // The least key after `last`: the same with a zero byte.
                Order::Ascending => iterator.start = Some([last.as_slice(), &[0]].concat()),
                Order::Descending => iterator.end = Some(last.clone()),
            }
        }
        iterator.page = page.into_iter();
        Ok(iterator.page.next())
    }
}

impl Storage for ChainStorage {
    fn get(&self, key: &[u8]) -> BackendResult<Option<Vec<u8>>> {
        let value = self.loan.with_storage(|storage| storage.get(key));
        let length = value.as_ref().ok().and_then(Option::as_ref).map_or(0, Vec::len);
        (value.map_err(Into::into), self.charged(gas::read(key.len(), length)))
    }

    fn scan(&mut self, start: Option<&[u8]>, end: Option<&[u8]>, order: Order) -> BackendResult<u32> {
        // A range whose end is not after its start is empty; storages differ in what they make of one.
        let empty = matches!((start, end), (Some(start), Some(end)) if start >= end);
        let Ok(id) = u32::try_from(self.iterators.len()) else {
            return (Err(BackendError::unknown("too many iterators")), GasInfo::free());
        };
        self.iterators.push(Iterator {
            start: start.map(<[u8]>::to_vec),
            end: end.map(<[u8]>::to_vec),
            order,
            page: Vec::new().into_iter(),
            finished: empty,
        });
        (Ok(id), self.charged(gas::next(0, 0)))
    }

    fn next(&mut self, iterator_id: u32) -> BackendResult<Option<Record>> {
        let record = self.step(iterator_id);
        let (key, value) = match &record {
            Ok(Some((key, value))) => (key.len(), value.len()),
            _ => (0, 0),
        };
        (record, self.charged(gas::next(key, value)))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> BackendResult<()> {
        // An empty value and none are the same to real stores, which refuse it; so is an empty key.
        let done = if value.is_empty() {
            Err(BackendError::user_err(
                "writing storage: a value must not be empty; remove the key instead",
            ))
        } else {
            self.loan
                .with_storage_mut(|storage| storage.set(key, value))
                .map_err(Into::into)
        };
        (done, self.charged(gas::write(key.len(), value.len())))
    }

    fn remove(&mut self, key: &[u8]) -> BackendResult<()> {
        let done = self.loan.with_storage_mut(|storage| storage.remove(key));
        (done.map_err(Into::into), self.charged(gas::delete()))
    }
}

/// The app's querier.
#[derive(Debug)]
pub struct ChainQuerier {
    loan: Loan,
    meter: Meter,
}

/// A query about the contract's own port.
enum Asked {
    Answered(Binary),
    /// The same query with the port in it.
    Filled(Vec<u8>),
}

impl ChainQuerier {
    /// A chain's IBC module knows who asks; cw-multi-test's is not told.
    fn own_port(&self, request: &[u8]) -> Option<Asked> {
        if !request.starts_with(br#"{"ibc":"#) {
            return None;
        }
        let Ok(query) = from_json(request) else {
            return self.list_channels(request).map(Asked::Filled);
        };
        let port = contract_port(&self.meter.running()?);
        match query {
            QueryRequest::<Empty>::Ibc(IbcQuery::PortId {}) => {
                to_json_binary(&PortIdResponse::new(port)).ok().map(Asked::Answered)
            }
            QueryRequest::Ibc(IbcQuery::Channel {
                channel_id,
                port_id: None,
            }) => {
                let query = IbcQuery::Channel {
                    channel_id,
                    port_id: Some(port),
                };
                to_json_vec(&QueryRequest::<Empty>::Ibc(query)).ok().map(Asked::Filled)
            }
            _ => None,
        }
    }

    /// The query of contracts before CosmWasm 3 for all channels of a port, which cw-multi-test does not know.
    fn list_channels(&self, request: &[u8]) -> Option<Vec<u8>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Request {
            Ibc(Ibc),
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Ibc {
            ListChannels { port_id: Option<String> },
        }
        let Request::Ibc(Ibc::ListChannels { port_id }) = from_json(request).ok()?;
        let port = match port_id.filter(|port| !port.is_empty()) {
            Some(port) => port,
            None => contract_port(&self.meter.running()?),
        };
        to_json_vec(&QueryRequest::<Empty>::Grpc(ibc::list_channels(port))).ok()
    }
}

impl Querier for ChainQuerier {
    fn query_raw(&self, request: &[u8], gas_limit: u64) -> BackendResult<SystemResult<ContractResult<Binary>>> {
        let scope = self.meter.open(gas_limit);
        let answer = match self.own_port(request) {
            Some(Asked::Answered(answer)) => Ok(SystemResult::Ok(ContractResult::Ok(answer))),
            Some(Asked::Filled(request)) => self.loan.with_querier(|querier| querier.raw_query(&request)),
            None => self.loan.with_querier(|querier| querier.raw_query(request)),
        };
        let length = match &answer {
            Ok(SystemResult::Ok(ContractResult::Ok(data))) => data.len(),
            _ => 0,
        };
        self.meter.charge(gas::read(request.len(), length));
        let closed = scope.close();
        let used = GasInfo::with_externally_used(closed.used);
        if closed.out_of_gas.is_some() {
            return (Err(BackendError::out_of_gas()), used);
        }
        (
            answer.map(|answer| no_such_code(request, answer)).map_err(Into::into),
            used,
        )
    }
}

/// cw-multi-test answers a query for a code that does not exist with an error text. Chains have an error of its own.
fn no_such_code(request: &[u8], answer: SystemResult<ContractResult<Binary>>) -> SystemResult<ContractResult<Binary>> {
    if let SystemResult::Ok(ContractResult::Err(_)) = &answer {
        if let Ok(QueryRequest::Wasm(WasmQuery::CodeInfo { code_id })) = from_json::<QueryRequest<Empty>>(request) {
            return SystemResult::Err(SystemError::NoSuchCode { code_id });
        }
    }
    answer
}
