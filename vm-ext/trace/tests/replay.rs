//! A log made by answering is answered the same when replayed, on any kernels, and what was changed in it is found.

use std::{fs, path::Path};

use aiinference_engine::{
    format,
    graph::{Graph, Input, Op, Output},
    Kernels,
};
use aiinference_runtime::{module, Chain, ChainError, NodeFault, Runtime, Settings};
use aiinference_trace::{Asked, ModuleFolder, Outcome, Position, Record, Replayed, Replayer, Said};
use aiinference_types::{abi::MAGIC, v1};
use prost::Message;
use sha2::{Digest, Sha256};

const CODE_ID: u64 = 4;
const QUERY_GAS: u64 = 1_000;

/// y = 2 * x for one number.
fn model() -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.input(Input {
        name: "x".into(),
        shape: vec![1],
        fraction_bits: 0,
        low: -100,
        high: 100,
        saturate: false,
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
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let file = format::encode(&graph);
    module::wrap(&file.graph, &file.weights)
}

fn request(x: i64) -> Vec<u8> {
    let tensor = v1::Tensor::from_integers("x".into(), vec![1], 0, -100, 100, &[x as i32]);
    let input = v1::Input {
        name: "x".into(),
        source: Some(v1::input::Source::Tensor(tensor)),
    };
    let step = v1::Step {
        model: Some(v1::ModelRef {
            reference: Some(v1::model_ref::Reference::CodeId(CODE_ID)),
            checksum: vec![],
        }),
        inputs: vec![input],
    };
    let infer = v1::InferRequest {
        steps: vec![step],
        ..Default::default()
    };
    let request = v1::Request {
        operation: Some(v1::request::Operation::Infer(infer)),
    };
    [MAGIC.as_slice(), &request.encode_to_vec()].concat()
}

struct Live {
    module: Vec<u8>,
    asked: Vec<Asked>,
}

impl Live {
    fn checksum(&self) -> [u8; 32] {
        Sha256::digest(&self.module).into()
    }
}

impl Chain for Live {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        let answer = if code_id == CODE_ID {
            Ok(self.checksum())
        } else {
            Err(ChainError::NoSuchCode)
        };
        self.asked.push(Asked {
            code_id,
            said: Said::from(&answer),
            gas: QUERY_GAS,
        });
        (answer, QUERY_GAS)
    }
    fn own_checksum(&self) -> [u8; 32] {
        [0; 32]
    }
    fn module_size(&self, _checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        Ok(self.module.len() as u64)
    }
    fn module_bytes(&self, _checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        Ok(self.module.clone())
    }
}

fn runtime(kernels: Kernels) -> Runtime {
    Runtime::new(Settings {
        kernels,
        ..Settings::default()
    })
}

fn record(x: i64, gas_left: u64) -> Record {
    let mut chain = Live {
        module: model(),
        asked: vec![],
    };
    let request = request(x);
    let answer = runtime(Kernels::auto()).answer(&request, gas_left, &mut chain);
    Record {
        position: Position::default(),
        caller: [0; 32],
        request,
        gas_left,
        asked: chain.asked,
        outcome: Outcome::from(&answer),
        kernels: String::new(),
        version: String::new(),
    }
}

/// A folder of modules as a node keeps it.
fn store(home: &Path) -> ModuleFolder {
    let folder = home.join("wasm/wasm/state/wasm");
    fs::create_dir_all(&folder).unwrap();
    let module = model();
    fs::write(
        folder.join(hex::encode(Sha256::digest(&module))).with_extension("wasm"),
        module,
    )
    .unwrap();
    ModuleFolder::new(home)
}

#[test]
fn what_was_logged_is_answered_the_same_on_other_kernels() {
    let home = tempfile::tempdir().unwrap();
    let replayer = Replayer::new(runtime(Kernels::scalar()), store(home.path()));
    // A result, a refusal, and too little gas.
    for (x, gas) in [(21, u64::MAX), (101, u64::MAX), (21, 10_000_000)] {
        assert_eq!(replayer.replay(&record(x, gas)), Replayed::Same);
    }
}

#[test]
fn an_answer_or_gas_that_was_changed_is_found() {
    let home = tempfile::tempdir().unwrap();
    let replayer = Replayer::new(runtime(Kernels::auto()), store(home.path()));
    let honest = record(21, u64::MAX);
    let Outcome::Done {
        response,
        gas,
        external,
    } = honest.outcome.clone()
    else {
        panic!("it is answered")
    };
    let mut bit = response.clone();
    *bit.last_mut().unwrap() ^= 1;
    for (response, gas) in [(bit, gas), (response, gas + 1)] {
        let mut changed = honest.clone();
        changed.outcome = Outcome::Done {
            response,
            gas,
            external,
        };
        assert_eq!(replayer.replay(&changed), Replayed::Different(honest.outcome.clone()));
    }
}

#[test]
fn a_missing_module_is_no_difference() {
    let empty = tempfile::tempdir().unwrap();
    let replayer = Replayer::new(runtime(Kernels::auto()), ModuleFolder::new(empty.path()));
    let replayed = replayer.replay(&record(21, u64::MAX));
    assert!(
        matches!(&replayed, Replayed::Unable(why) if why.contains("no such file")),
        "{replayed:?}"
    );
}
