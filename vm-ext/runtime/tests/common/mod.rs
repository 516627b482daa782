//! A chain that is a table of modules, and requests to it.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;

use aiinference_engine::{
    format,
    graph::{Array, Graph, Input, Op, Output, Rescale},
    Kernels,
};
use aiinference_runtime::{module, Answer, Chain, ChainError, NodeFault, Runtime, Settings};
use aiinference_types::{abi::MAGIC, v1};
use prost::Message;
use sha2::{Digest, Sha256};

pub fn settings() -> Settings {
    Settings {
        cache_bytes: 1 << 20,
        kernels: Kernels::auto(),
    }
}

#[derive(Default)]
pub struct Table {
    codes: BTreeMap<u64, [u8; 32]>,
    files: BTreeMap<[u8; 32], Vec<u8>>,
    pub own: [u8; 32],
    pub fail: Option<ChainError>,
    /// Every code id that was asked for, and the gas that was left to ask.
    pub asked: Vec<(u64, u64)>,
    /// What the runtime told of models, ready before or not.
    pub used: Vec<([u8; 32], bool)>,
}

impl Table {
    pub const QUERY_GAS: u64 = 12_345;

    pub fn new() -> Self {
        Table::default()
    }

    pub fn store(&mut self, graph: &Graph) -> u64 {
        self.store_module(whole(graph))
    }

    pub fn store_module(&mut self, wasm: Vec<u8>) -> u64 {
        let id = self.codes.keys().next_back().map_or(1, |last| last + 1);
        self.replace(id, wasm);
        id
    }

    /// Puts a module under a code id, whatever it held.
    pub fn replace(&mut self, id: u64, wasm: Vec<u8>) {
        let checksum = Sha256::digest(&wasm).into();
        self.codes.insert(id, checksum);
        self.files.insert(checksum, wasm);
    }

    /// The chain knows the code id no more; the node's file remains.
    pub fn forget(&mut self, id: u64) {
        self.codes.remove(&id);
    }

    /// Stores a model's module in shards, each of which takes the next code id; the manifest of them.
    pub fn store_shards(&mut self, model: &[u8], shard_bytes: usize) -> v1::Manifest {
        let mut shards = Vec::new();
        for shard in module::split(model, shard_bytes) {
            let id = self.store_module(shard);
            shards.push((id, self.checksum(id)));
        }
        module::manifest(model, shards)
    }

    /// Stores a model's module in shards and their manifest, whose code id it answers.
    pub fn store_sharded(&mut self, model: &[u8], shard_bytes: usize) -> u64 {
        let manifest = self.store_shards(model, shard_bytes);
        self.store_module(module::wrap_manifest(&manifest))
    }

    pub fn checksum(&self, id: u64) -> [u8; 32] {
        self.codes[&id]
    }

    pub fn module(&self, id: u64) -> &[u8] {
        &self.files[&self.codes[&id]]
    }

    pub fn lose_file(&mut self, id: u64) {
        self.files.remove(&self.codes[&id]);
    }
}

impl Chain for Table {
    fn code_checksum(&mut self, code_id: u64, gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        self.asked.push((code_id, gas_left));
        if gas_left < Table::QUERY_GAS {
            return (Err(ChainError::Abort), gas_left);
        }
        let found = self.codes.get(&code_id).copied().ok_or(ChainError::NoSuchCode);
        (self.fail.clone().map_or(found, Err), Table::QUERY_GAS)
    }

    fn own_checksum(&self) -> [u8; 32] {
        self.own
    }

    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        self.module_bytes(checksum).map(|bytes| bytes.len() as u64)
    }

    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        self.files
            .get(checksum)
            .cloned()
            .ok_or_else(|| NodeFault("the file is gone".into()))
    }

    fn model_used(&mut self, checksum: &[u8; 32], cached: bool) {
        self.used.push((*checksum, cached));
    }
}

/// y = 2 * x for two numbers in a range.
pub fn doubler(low: i32, high: i32, saturate: bool) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, 2],
        fraction_bits: 0,
        low,
        high,
        saturate,
    });
    let value = graph.push(Op::Add {
        a: x,
        b: x,
        multipliers: [1, 1],
        shift: 0,
        low: 2 * low,
        high: 2 * high,
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    graph
}

/// One number becomes a picture of rows by columns, all of that number.
pub fn inflater(rows: u32, columns: u32) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, 1],
        fraction_bits: 0,
        low: 0,
        high: 1,
        saturate: false,
    });
    let value = graph.push(Op::Upsample2d {
        x,
        factors: [rows, columns],
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    graph
}

/// One layer whose weights are all 1: a module of which long stretches are equal.
pub fn dense(inner: usize, outer: usize) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1, inner as u32],
        fraction_bits: 0,
        low: -100,
        high: 100,
        saturate: false,
    });
    let value = graph.push(Op::MatMul {
        x,
        weights: Array::I8(vec![1; inner * outer]),
        bias: vec![],
        rescale: Rescale {
            multipliers: vec![1],
            shifts: vec![0],
            low: -1000,
            high: 1000,
        },
    });
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    graph
}

/// The module of a graph as a single file.
pub fn whole(graph: &Graph) -> Vec<u8> {
    let encoded = format::encode(graph);
    module::wrap(&encoded.graph, &encoded.weights)
}

/// A module with no model in it.
pub fn plain_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

pub fn integers(name: &str, shape: &[u32], values: &[i64]) -> v1::Input {
    let tensor = v1::Tensor {
        name: String::new(),
        data_type: v1::DataType::Int64.into(),
        shape: shape.to_vec(),
        fraction_bits: 0,
        data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    v1::Input {
        name: name.into(),
        source: Some(v1::input::Source::Tensor(tensor)),
    }
}

pub fn from_step(name: &str, step: u32, output: &str) -> v1::Input {
    let output = v1::StepOutput {
        step,
        output: output.into(),
    };
    v1::Input {
        name: name.into(),
        source: Some(v1::input::Source::StepOutput(output)),
    }
}

pub fn model_ref(code_id: u64) -> Option<v1::ModelRef> {
    Some(v1::ModelRef {
        reference: Some(v1::model_ref::Reference::CodeId(code_id)),
        checksum: vec![],
    })
}

pub fn step(code_id: u64, inputs: Vec<v1::Input>) -> v1::Step {
    v1::Step {
        model: model_ref(code_id),
        inputs,
    }
}

pub fn one_step(code_id: u64, input: v1::Input) -> v1::InferRequest {
    v1::InferRequest {
        steps: vec![step(code_id, vec![input])],
        ..Default::default()
    }
}

pub fn encode(operation: v1::request::Operation) -> Vec<u8> {
    [
        MAGIC.to_vec(),
        v1::Request {
            operation: Some(operation),
        }
        .encode_to_vec(),
    ]
    .concat()
}

fn ask(runtime: &Runtime, chain: &mut Table, operation: v1::request::Operation) -> (v1::response::Result, u64) {
    match runtime.answer(&encode(operation), u64::MAX, chain) {
        Answer::Done { response, gas, .. } => (v1::Response::decode(response.as_slice()).unwrap().result.unwrap(), gas),
        other => panic!("not answered: {other:?}"),
    }
}

pub fn try_infer_with_gas(
    runtime: &Runtime,
    chain: &mut Table,
    request: v1::InferRequest,
) -> (Result<v1::InferResponse, v1::Error>, u64) {
    match ask(runtime, chain, v1::request::Operation::Infer(request)) {
        (v1::response::Result::Infer(answer), gas) => (Ok(answer), gas),
        (v1::response::Result::Error(error), gas) => (Err(error), gas),
        (other, _) => panic!("another kind of answer: {other:?}"),
    }
}

pub fn try_infer(
    runtime: &Runtime,
    chain: &mut Table,
    request: v1::InferRequest,
) -> Result<v1::InferResponse, v1::Error> {
    try_infer_with_gas(runtime, chain, request).0
}

pub fn infer(runtime: &Runtime, chain: &mut Table, request: v1::InferRequest) -> v1::InferResponse {
    try_infer(runtime, chain, request).unwrap()
}

/// The request is refused with that code, the same again and on a runtime that holds nothing ready; its message.
pub fn refused(
    runtime: &Runtime,
    chain: &mut Table,
    request: v1::InferRequest,
    code: aiinference_types::ErrorCode,
) -> String {
    let first = try_infer_with_gas(runtime, chain, request.clone());
    assert_eq!(first, try_infer_with_gas(runtime, chain, request.clone()));
    assert_eq!(first, try_infer_with_gas(&Runtime::new(settings()), chain, request));
    let error = first.0.unwrap_err();
    assert_eq!(error.code, code as u32, "{}", error.message);
    error.message
}

pub fn model_info(runtime: &Runtime, chain: &mut Table, code_id: u64) -> v1::ModelInfo {
    let request = v1::ModelInfoRequest {
        model: model_ref(code_id),
    };
    match ask(runtime, chain, v1::request::Operation::ModelInfo(request)) {
        (v1::response::Result::ModelInfo(info), _) => info,
        other => panic!("another kind of answer: {other:?}"),
    }
}

pub fn error_of(response: &[u8]) -> v1::Error {
    match v1::Response::decode(response).unwrap().result.unwrap() {
        v1::response::Result::Error(error) => error,
        other => panic!("no error: {other:?}"),
    }
}
