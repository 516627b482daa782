//! Those who watch inferences.

use std::sync::{Mutex, PoisonError};

use aiinference_trace::{Asked, Outcome, Position, Record, Writer};
use aiinference_vm::{Observation, Observer, Origin};
use serde::Deserialize;

use crate::{settings::Trace, version};

/// Several as one.
#[derive(Debug)]
pub(crate) struct Observers(pub(crate) Vec<Box<dyn Observer>>);

impl Observer for Observers {
    fn answered(&self, observation: &Observation<'_>) {
        for observer in &self.0 {
            observer.answered(observation);
        }
    }
}

/// Writes inferences to a file.
#[derive(Debug)]
pub(crate) struct TraceLog {
    /// None once writing has failed.
    writer: Mutex<Option<Writer>>,
}

impl TraceLog {
    pub(crate) fn open(trace: &Trace) -> std::io::Result<Self> {
        let writer = Writer::open(&trace.file, trace.max_bytes)?;
        Ok(TraceLog {
            writer: Mutex::new(Some(writer)),
        })
    }
}

impl Observer for TraceLog {
    fn answered(&self, observation: &Observation<'_>) {
        let record = record(observation);
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = slot.as_mut() else { return };
        if let Err(error) = writer.write(&record) {
            tracing::error!("logging an inference: {error}; the log ends here, the node goes on");
            *slot = None;
        }
    }
}

fn record(observation: &Observation<'_>) -> Record {
    let mut caller = [0; 32];
    caller.copy_from_slice(observation.caller.as_slice());
    let asked = observation.asked.iter().map(|asked| Asked {
        code_id: asked.code_id,
        said: (&asked.answer).into(),
        gas: asked.gas,
    });
    Record {
        position: position(observation.origin),
        caller,
        request: observation.request.to_vec(),
        gas_left: observation.gas_left,
        asked: asked.collect(),
        outcome: Outcome::from(observation.answer),
        kernels: observation.kernels.to_string(),
        version: version::OWN.to_string(),
    }
}

/// What is read of a contract's `Env`.
#[derive(Deserialize)]
struct Env {
    block: Block,
    transaction: Option<Transaction>,
    contract: Contract,
}

#[derive(Deserialize)]
struct Block {
    height: u64,
}

#[derive(Deserialize)]
struct Transaction {
    index: u32,
}

#[derive(Deserialize)]
struct Contract {
    address: String,
}

fn position(origin: &Origin) -> Position {
    let entry_point = origin.entry_point.to_string();
    match serde_json::from_slice::<Env>(&origin.env) {
        Ok(env) => Position {
            height: env.block.height,
            transaction: env.transaction.map(|transaction| transaction.index),
            contract: env.contract.address,
            entry_point,
        },
        // Only a caller that is no wasmd passes another; the request is logged all the same.
        Err(_) => Position {
            entry_point,
            ..Position::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_from_what_the_contract_gets() {
        let env = br#"{"block":{"height":12345,"time":"1571797419879305533","chain_id":"provider-1"},
            "transaction":{"index":3,"hash":"AB"},"contract":{"address":"wasm1c"}}"#;
        let origin = |env: &[u8]| Origin {
            entry_point: "execute",
            env: env.to_vec(),
        };
        let expected = Position {
            height: 12345,
            transaction: Some(3),
            contract: "wasm1c".into(),
            entry_point: "execute".into(),
        };
        assert_eq!(position(&origin(env)), expected);
        let unknown = position(&origin(b"no json"));
        assert_eq!((unknown.height, unknown.entry_point.as_str()), (0, "execute"));
    }
}
