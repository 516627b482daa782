//! What the fuzz target and the replay of its corpus check.

use aiinference_runtime::{Answer, Chain, ChainError, Kernels, NodeFault, Runtime, Settings};
use aiinference_types::{abi::MAGIC, v1};
use prost::Message;

/// Gas of a call: enough for small models, too little for an input to take long.
const GAS: u64 = 5_000_000_000;

/// A chain on which every code id stands for one module.
struct OneModule<'a>(&'a [u8]);

impl Chain for OneModule<'_> {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        (
            if code_id == 0 {
                Err(ChainError::NoSuchCode)
            } else {
                Ok([1; 32])
            },
            1_000,
        )
    }

    fn own_checksum(&self) -> [u8; 32] {
        [1; 32]
    }

    fn module_size(&self, _: &[u8; 32]) -> Result<u64, NodeFault> {
        Ok(self.0.len() as u64)
    }

    fn module_bytes(&self, _: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        Ok(self.0.to_vec())
    }
}

/// A request and a module as one string of bytes: the length of the request behind the magic (2 bytes, least first), the
/// request, the module. Every answer decodes, and neither the cache nor the kernels change it or its gas.
pub fn check(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (request, module) = rest.split_at(length);
    let request = [&MAGIC, request].concat();
    let runtimes = [Kernels::scalar(), Kernels::auto()].map(|kernels| {
        Runtime::new(Settings {
            cache_bytes: 1 << 20,
            kernels,
        })
    });
    let mut chain = OneModule(module);
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
        }
        Answer::OutOfGas { gas, external } => assert!(gas + external > GAS),
        Answer::Abort { .. } => panic!("this chain never aborts"),
    }
}
