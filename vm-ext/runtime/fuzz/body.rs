//! What the fuzz target and the replay of its corpus check.

use aiinference_engine::{
    format,
    graph::{Graph, Input, Op, Output},
};
use aiinference_runtime::{module, Answer, Chain, ChainError, Kernels, NodeFault, Runtime, Settings};
use aiinference_types::{abi::MAGIC, v1};
use prost::Message;

/// Gas of a call: enough for small models, too little for an input to take long.
const GAS: u64 = 5_000_000_000;

/// Code ids from this one on stand for the shards of [`model`].
pub const FIRST_SHARD: u64 = 100;

/// The module of a small model.
pub fn model() -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![2],
        fraction_bits: 0,
        low: -5,
        high: 5,
        saturate: true,
    });
    let value = graph.push(Op::Clamp { x, low: 0, high: 5 });
    graph.outputs = vec![Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    }];
    let encoded = format::encode(&graph);
    module::wrap(&encoded.graph, &encoded.weights)
}

/// The modules of its shards. On this chain, a shard's checksum is its code id, 32 times.
pub fn shards() -> Vec<Vec<u8>> {
    module::split(&model(), 70)
}

/// A chain on which all code ids but those of shards stand for one module.
struct OneModule<'a> {
    module: &'a [u8],
    shards: Vec<Vec<u8>>,
}

impl OneModule<'_> {
    fn file(&self, checksum: &[u8; 32]) -> &[u8] {
        let shard = u64::from(checksum[0]).checked_sub(FIRST_SHARD);
        let shard = shard.and_then(|shard| self.shards.get(shard as usize));
        shard.map_or(self.module, Vec::as_slice)
    }
}

impl Chain for OneModule<'_> {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        let shards = FIRST_SHARD..FIRST_SHARD + self.shards.len() as u64;
        let checksum = match code_id {
            0 => Err(ChainError::NoSuchCode),
            id if shards.contains(&id) => Ok([id as u8; 32]),
            _ => Ok([1; 32]),
        };
        (checksum, 1_000)
    }

    fn own_checksum(&self) -> [u8; 32] {
        [1; 32]
    }

    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        Ok(self.file(checksum).len() as u64)
    }

    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        Ok(self.file(checksum).to_vec())
    }
}

/// A request and a module as one string of bytes: the length of the request behind the magic (2 bytes, least first), the
/// request, the module. Every answer decodes, and neither the cache nor the kernels change it or its gas.
/// Its result, if it was paid for.
pub fn check(data: &[u8]) -> Option<v1::response::Result> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (request, module) = rest.split_at(length);
    let request = [&MAGIC, request].concat();
    let runtimes: Vec<Runtime> = Kernels::available()
        .into_iter()
        .map(|kernels| {
            Runtime::new(Settings {
                cache_bytes: 1 << 20,
                kernels,
            })
        })
        .collect();
    let mut chain = OneModule {
        module,
        shards: shards(),
    };
    let want = runtimes[0].answer(&request, GAS, &mut chain);
    for runtime in &runtimes {
        for _ in 0..2 {
            assert!(
                runtime.answer(&request, GAS, &mut chain) == want,
                "an answer depends on the node"
            );
        }
    }
    match want {
        Answer::Done {
            response,
            gas,
            external,
        } => {
            assert!(gas + external <= GAS, "an answer that was not paid for");
            let response = v1::Response::decode(response.as_slice()).expect("a response");
            assert!(response.result.is_some());
            response.result
        }
        Answer::OutOfGas { gas, external } => {
            assert!(gas + external > GAS);
            None
        }
        Answer::Abort { .. } => panic!("this chain never aborts"),
    }
}
