//! Guests written by hand, and a chain that notes what it is asked.
#![allow(dead_code)] // each test program uses its part

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use aiinference_types::abi::{CAPABILITY, MAGIC};
use aiinference_vm::{Error, Runtime, Settings, Vm};
use cosmwasm_std::{
    from_json, to_json_binary, Addr, Binary, Checksum, CodeInfoResponse, ContractResult, Empty, QueryRequest,
    SystemError, SystemResult, WasmQuery,
};
use cosmwasm_vm::{
    call_query_raw,
    testing::{MockApi, MockStorage},
    Backend, BackendError, BackendResult, CacheOptions, Config, GasInfo, InstanceOptions, Querier, Size, VmError,
};

pub const GAS_LIMIT: u64 = 1_000_000_000_000;
/// What the chain's querier reports for each query.
pub const QUERY_GAS: u64 = 5_000_000;

/// What every CosmWasm guest has: memory, a bump allocator, the interface marker. `{imports}` come first.
pub fn guest(imports: &str, rest: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
        {imports}
        (memory (export "memory") 17)
        (global $next (mut i32) (i32.const 65536))
        (func (export "interface_version_8"))
        (func (export "deallocate") (param i32))
        (func (export "allocate") (param $size i32) (result i32) (local $region i32)
            (local.set $region (global.get $next))
            (i32.store offset=0 (local.get $region) (i32.add (local.get $region) (i32.const 12)))
            (i32.store offset=4 (local.get $region) (local.get $size))
            (i32.store offset=8 (local.get $region) (i32.const 0))
            (global.set $next
                (i32.and (i32.add (i32.add (local.get $region) (local.get $size)) (i32.const 19)) (i32.const -8)))
            (local.get $region))
        {rest})"#
    ))
    .unwrap()
}

/// A contract whose query entry point hands its message to `aiinference.infer` and returns what that answers, raw.
pub fn inferring_guest() -> Vec<u8> {
    guest(
        r#"(import "env" "query_chain" (func $chain (param i32) (result i32)))
           (import "aiinference" "infer" (func $infer (param i32) (result i32)))
           (import "aiinference" "model_info" (func $info (param i32) (result i32)))
           (import "env" "debug" (func $debug (param i32)))"#,
        r#"(table (export "table") 2 2 funcref)
           (elem (i32.const 0) func $info $infer)
           (type $call (func (param i32) (result i32)))
           (func (export "requires_aiinference_1"))
           (export "direct" (func $infer))
           (func (export "query") (param i32 i32) (result i32) (call $infer (local.get 1)))
           (func (export "instantiate") (param i32 i32 i32) (result i32)
                (call_indirect (type $call) (local.get 2) (i32.const 0)))
           (func (export "sudo") (param i32 i32) (result i32) (call $chain (local.get 1)))
           (func (export "reply") (param i32 i32) (result i32)
                (call_indirect (type $call) (local.get 1) (i32.const 1)))"#,
    )
}

/// A contract of today's chains: its query entry point hands its message to the chain.
pub fn plain_guest() -> Vec<u8> {
    guest(
        r#"(import "env" "query_chain" (func $chain (param i32) (result i32)))"#,
        r#"(func (export "query") (param i32 i32) (result i32) (call $chain (local.get 1)))"#,
    )
}

/// A request of ours, as far as the VM can tell.
pub fn request(payload: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), payload].concat()
}

/// The chain's querier: knows code ids, notes requests, answers others by repeating them.
#[derive(Clone, Default)]
pub struct Chain {
    pub codes: HashMap<u64, Checksum>,
    pub broken: bool,
    pub seen: Arc<std::sync::Mutex<RefCell<Vec<Vec<u8>>>>>,
}

impl Chain {
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().borrow().clone()
    }
}

impl Querier for Chain {
    fn query_raw(&self, request: &[u8], _gas_limit: u64) -> BackendResult<SystemResult<ContractResult<Binary>>> {
        self.seen.lock().unwrap().borrow_mut().push(request.to_vec());
        let gas = GasInfo::with_externally_used(QUERY_GAS);
        if self.broken {
            return (Err(BackendError::unknown("the chain is broken")), gas);
        }
        let answer = match from_json::<QueryRequest<Empty>>(request) {
            Ok(QueryRequest::Wasm(WasmQuery::CodeInfo { code_id })) => match self.codes.get(&code_id) {
                Some(checksum) => {
                    let info = CodeInfoResponse::new(code_id, Addr::unchecked("creator"), *checksum);
                    SystemResult::Ok(ContractResult::Ok(to_json_binary(&info).unwrap()))
                }
                None => SystemResult::Err(SystemError::NoSuchCode { code_id }),
            },
            Ok(_) => SystemResult::Ok(ContractResult::Ok(request.into())),
            Err(error) => SystemResult::Err(SystemError::InvalidRequest {
                error: error.to_string(),
                request: request.into(),
            }),
        };
        (Ok(answer), gas)
    }
}

pub type TestVm = Vm<MockApi, MockStorage, Chain>;

/// Capabilities of a chain, with or without the extension.
pub fn capabilities(on: bool) -> HashSet<String> {
    ["iterator", "staking", "stargate", "cosmwasm_2_2"]
        .into_iter()
        .chain(on.then_some(CAPABILITY))
        .map(String::from)
        .collect()
}

/// The settings of a chain with or without the extension.
pub fn config(dir: &Path, on: bool) -> Config {
    Config::new(CacheOptions::new(
        dir,
        capabilities(on),
        Size::mebi(100),
        Size::mebi(32),
    ))
}

/// A VM at `dir`.
pub fn vm(dir: &Path, on: bool) -> TestVm {
    let runtime = Arc::new(Runtime::new(Settings::default()));
    // SAFETY: the folder is this test's own.
    unsafe { Vm::new(config(dir, on), runtime) }.unwrap()
}

/// Calls the query entry point of a stored contract; the raw answer and the gas used: internally, externally.
pub fn query(vm: &TestVm, checksum: &Checksum, chain: &Chain, message: &[u8]) -> (Result<String, Error>, u64, u64) {
    query_with_gas(vm, checksum, chain, message, GAS_LIMIT)
}

/// As [`query`], with this much gas.
pub fn query_with_gas(
    vm: &TestVm,
    checksum: &Checksum,
    chain: &Chain,
    message: &[u8],
    gas_limit: u64,
) -> (Result<String, Error>, u64, u64) {
    let backend = Backend {
        api: MockApi::default(),
        storage: MockStorage::default(),
        querier: chain.clone(),
    };
    let mut instance = match vm.get_instance(checksum, backend, InstanceOptions { gas_limit }) {
        Ok(instance) => instance,
        Err(error) => return (Err(error), 0, 0),
    };
    let result = call_query_raw(&mut instance, b"{}", message);
    let report = instance.create_gas_report();
    let result = result.map(|data| String::from_utf8(data).unwrap()).map_err(Error::from);
    (result, report.used_internally, report.used_externally)
}

/// The text of an error of cosmwasm-vm.
pub fn vm_error(error: Error) -> VmError {
    match error {
        Error::Vm(error) => error,
        other => panic!("not an error of the VM: {other}"),
    }
}

/// A module that carries a model: y = 2 * x for two numbers of -100 to 100. `name` is that of its output.
pub fn model(name: &str) -> Vec<u8> {
    model_with_detours(name, 0)
}

/// The same, after so many nodes that change nothing but cost.
pub fn model_with_detours(name: &str, detours: usize) -> Vec<u8> {
    use aiinference_engine::graph::{Graph, Input, Op, Output};
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, 2],
        fraction_bits: 0,
        low: -100,
        high: 100,
        saturate: false,
    });
    let x = (0..detours).fold(x, |x, _| {
        graph.push(Op::Clamp {
            x,
            low: -100,
            high: 100,
        })
    });
    let value = graph.push(Op::Add {
        a: x,
        b: x,
        multipliers: [1, 1],
        shift: 0,
        low: -200,
        high: 200,
    });
    graph.outputs.push(Output {
        name: name.into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let encoded = aiinference_engine::format::encode(&graph);
    aiinference_vm::runtime::module::wrap(&encoded.graph, &encoded.weights)
}

/// A request to run the model behind a code id on two numbers.
pub fn infer_request(code_id: u64, x: [i64; 2]) -> Vec<u8> {
    use aiinference_types::v1;
    use prost::Message;
    let tensor = v1::Tensor {
        data_type: v1::DataType::Int64.into(),
        shape: vec![2],
        data: x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    let input = v1::Input {
        name: "x".into(),
        source: Some(v1::input::Source::Tensor(tensor)),
    };
    let step = v1::Step {
        model: Some(v1::ModelRef {
            reference: Some(v1::model_ref::Reference::CodeId(code_id)),
            checksum: vec![],
        }),
        inputs: vec![input],
    };
    let infer = v1::InferRequest {
        steps: vec![step],
        ..Default::default()
    };
    let operation = Some(v1::request::Operation::Infer(infer));
    request(&v1::Request { operation }.encode_to_vec())
}

/// What an answer, as it reached the guest, says: the integers of the first output and the gas of the receipt, or the
/// code of the error.
pub fn inference(answer: &str) -> Result<(Vec<i128>, u64), u32> {
    use aiinference_types::v1;
    use prost::Message;
    let answer: SystemResult<ContractResult<Binary>> = from_json(answer).unwrap();
    let response = v1::Response::decode(answer.unwrap().unwrap().as_slice()).unwrap();
    match response.result.unwrap() {
        v1::response::Result::Infer(infer) => Ok((infer.outputs[0].integers().unwrap(), infer.receipt.unwrap().gas)),
        v1::response::Result::Error(error) => Err(error.code),
        other => panic!("not an answer to infer: {other:?}"),
    }
}
