//! From a reference to a model that is ready: resolved by the chain, paid for, read, validated.
//!
//! What a call asks its chain and what it is charged, in which order, is the same whether the model was ready or not: the
//! chain's state decides on every call which code ids exist and what they hold.

use std::sync::Arc;

use aiinference_types::{abi::CIRCUIT_SECTION, limits, v1, ErrorCode};
use aiinference_verifier::{Circuit, CircuitError};

use crate::{
    cache::ModelCache,
    chain::{Chain, ChainError, NodeFault},
    meter::Meter,
    model::{self, LoadedModel, ModelError, Named, Stored, StoredShard},
    module::{self, Carried, Joiner, Manifest, Sections, Shard},
    plan::Refusal,
    price,
    stop::{charge, Stop},
};

/// A circuit as the chain has it.
pub(crate) struct LoadedCircuit {
    /// SHA-256 of the module that is named.
    pub(crate) checksum: [u8; 32],
    pub(crate) circuit: Circuit,
}

/// Loads the model of one step, or a circuit.
pub(crate) struct Loader<'a> {
    pub(crate) step: usize,
    pub(crate) cache: &'a ModelCache,
    /// The models of earlier steps, which are held anyway.
    pub(crate) held: &'a [Arc<LoadedModel>],
    pub(crate) meter: &'a mut Meter,
    pub(crate) chain: &'a mut dyn Chain,
}

impl Loader<'_> {
    /// Resolves a reference, pays for the load and loads.
    pub(crate) fn load(mut self, model: Option<&v1::ModelRef>) -> Result<Arc<LoadedModel>, Stop> {
        let checksum = self.resolve(model, "resolving a model")?;
        let held = self.held.iter().find(|held| held.checksum == checksum).cloned();
        if let Some(model) = held.or_else(|| self.cache.get(&checksum)) {
            self.pay_for_module(model.module_bytes)?;
            let mut total = 0;
            for (index, shard) in model.shards.iter().enumerate() {
                self.resolve_shard(index, &shard.named, Some(shard.bytes), &mut total)?;
            }
            self.charge(price::graph(model.graph_bytes))?;
            self.chain.model_used(&checksum, true);
            return Ok(model);
        }
        let module_bytes = self.chain.module_size(&checksum)?;
        self.pay_for_module(module_bytes)?;
        let wasm = self.read(&checksum, module_bytes)?;
        let mut stored = Stored {
            checksum,
            module_bytes,
            shards: Vec::new(),
        };
        let model = match model::open(&wasm).map_err(|e| self.refuse(&e))? {
            Named::Model(sections) => self.finish(stored, sections)?,
            Named::Manifest(manifest) => {
                drop(wasm);
                stored.shards = self.resolve_shards(&manifest)?;
                let joined = self.join(&manifest, &stored.shards)?;
                let sections = model::joined_sections(&joined).map_err(|e| self.refuse(&e))?;
                self.finish(stored, sections)?
            }
        };
        self.chain.model_used(&checksum, false);
        Ok(model)
    }

    /// Resolves a reference, pays for the load and reads the circuit. It is small and read anew each time.
    pub(crate) fn load_circuit(mut self, circuit: Option<&v1::ModelRef>) -> Result<LoadedCircuit, Stop> {
        let checksum = self.resolve(circuit, "resolving a circuit")?;
        let module_bytes = self.chain.module_size(&checksum)?;
        if module_bytes > limits::MAX_CIRCUIT_BYTES {
            return Err(self.refuse_circuit(&CircuitError::TooLarge(module_bytes)));
        }
        self.charge(price::load(module_bytes))?;
        let wasm = self.read(&checksum, module_bytes)?;
        let section = match module::carried(&wasm) {
            Ok(Carried::Circuit(section)) => section,
            Ok(_) => {
                let message = format!("loading a circuit: the code carries none (no custom section {CIRCUIT_SECTION})");
                return Err(self.stop(ErrorCode::NotACircuit, message));
            }
            Err(error) => {
                let message = format!("loading a circuit: {error}");
                return Err(self.stop(ErrorCode::InvalidCircuit, message));
            }
        };
        self.charge(price::graph(section.len() as u64))?;
        let circuit = Circuit::decode(section).map_err(|e| self.refuse_circuit(&e))?;
        Ok(LoadedCircuit { checksum, circuit })
    }

    /// The checksum of the module that a reference names. `doing` opens error texts.
    fn resolve(&mut self, model: Option<&v1::ModelRef>, doing: &str) -> Result<[u8; 32], Stop> {
        let reference = model.and_then(|m| m.reference.as_ref());
        let (Some(model), Some(reference)) = (model, reference) else {
            let message = format!("{doing}: the request names none");
            return Err(self.stop(ErrorCode::MalformedRequest, message));
        };
        let checksum = match reference {
            v1::model_ref::Reference::OwnCode(_) => self.chain.own_checksum(),
            v1::model_ref::Reference::CodeId(code_id) => self.ask(*code_id, doing, ErrorCode::UnknownCodeId)?,
        };
        if !model.checksum.is_empty() && model.checksum != checksum {
            let message = format!(
                "{doing}: its checksum is {}, the request expects {}",
                hex(&checksum),
                hex(model.checksum.get(..32).unwrap_or(&model.checksum))
            );
            return Err(self.stop(ErrorCode::ChecksumMismatch, message));
        }
        Ok(checksum)
    }

    /// The checksum behind a code id, by the chain. `doing` opens error texts; `missing` says that there is no such code.
    fn ask(&mut self, code_id: u64, doing: &str, missing: ErrorCode) -> Result<[u8; 32], Stop> {
        let (found, used) = self.chain.code_checksum(code_id, self.meter.left());
        self.meter.note_external(used);
        match found {
            Ok(checksum) => Ok(checksum),
            Err(ChainError::NoSuchCode) => {
                let message = format!("{doing}: no code is stored under code id {code_id}");
                Err(self.stop(missing, message))
            }
            Err(ChainError::Failed(text)) => {
                let message = format!("{doing}: asking the chain for code id {code_id} failed: {text}");
                Err(self.stop(ErrorCode::ChainQueryFailed, message))
            }
            Err(ChainError::Abort) => Err(Stop::Abort(None)),
        }
    }

    /// Charges for the module that is named, before it is read.
    fn pay_for_module(&mut self, bytes: u64) -> Result<(), Stop> {
        if bytes > limits::MAX_MODEL_BYTES {
            return Err(self.refuse(&ModelError::TooLarge(bytes)));
        }
        self.charge(price::load(bytes))
    }

    /// Resolves and pays for all shards, of which none has been read yet.
    fn resolve_shards(&mut self, manifest: &Manifest) -> Result<Vec<StoredShard>, Stop> {
        let mut total = 0;
        let mut shards = Vec::with_capacity(manifest.shards.len());
        for (index, named) in manifest.shards.iter().enumerate() {
            let bytes = self.resolve_shard(index, named, None, &mut total)?;
            shards.push(StoredShard { named: *named, bytes });
        }
        Ok(shards)
    }

    /// Asks the chain for one shard and charges for it; its size, which is `known` of a model that is ready. `total` is the
    /// size of the shards so far.
    fn resolve_shard(&mut self, index: usize, shard: &Shard, known: Option<u64>, total: &mut u64) -> Result<u64, Stop> {
        let doing = format!("resolving shard {index} of a model");
        let checksum = self.ask(shard.code_id, &doing, ErrorCode::ShardMissing)?;
        if checksum != shard.checksum {
            let message = format!(
                "{doing}: the checksum of code id {} is {}, the manifest states {}",
                shard.code_id,
                hex(&checksum),
                hex(&shard.checksum)
            );
            return Err(self.stop(ErrorCode::ShardReplaced, message));
        }
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.chain.module_size(&checksum)?,
        };
        *total = total.saturating_add(bytes);
        if *total > limits::MAX_SHARDED_BYTES {
            return Err(self.refuse(&ModelError::ShardsTooLarge(*total)));
        }
        self.charge(price::load(bytes))?;
        Ok(bytes)
    }

    /// Reads the shards one after another into the model's module.
    fn join(&self, manifest: &Manifest, shards: &[StoredShard]) -> Result<Vec<u8>, Stop> {
        let refuse = |error| self.refuse(&ModelError::Shards(error));
        let stored_bytes = shards.iter().map(|shard| shard.bytes).fold(0, u64::saturating_add);
        let mut joiner = Joiner::new(manifest, stored_bytes).map_err(refuse)?;
        for shard in shards {
            joiner
                .push(&self.read(&shard.named.checksum, shard.bytes)?)
                .map_err(refuse)?;
        }
        joiner.finish().map_err(refuse)
    }

    /// Reads a stored module whose bytes have been paid for.
    fn read(&self, checksum: &[u8; 32], paid_bytes: u64) -> Result<Vec<u8>, Stop> {
        let wasm = self.chain.module_bytes(checksum)?;
        if wasm.len() as u64 != paid_bytes {
            let text = format!("{}: its size changed while it was read", hex(checksum));
            return Err(NodeFault(text).into());
        }
        Ok(wasm)
    }

    /// Pays for the graph, validates the model and keeps it ready.
    fn finish(&mut self, stored: Stored, sections: Sections) -> Result<Arc<LoadedModel>, Stop> {
        self.charge(price::graph(sections.graph.len() as u64))?;
        let model = stored.load(sections).map_err(|e| self.refuse(&e))?;
        let model = Arc::new(model);
        self.cache.put(&model);
        Ok(model)
    }

    fn charge(&mut self, amount: u64) -> Result<(), Stop> {
        charge(self.meter, self.step, amount)
    }

    fn stop(&self, code: ErrorCode, message: String) -> Stop {
        Refusal::new(code, self.step, message).into()
    }

    fn refuse_circuit(&self, error: &CircuitError) -> Stop {
        self.stop(error.code(), format!("loading a circuit: {error}"))
    }

    fn refuse(&self, error: &ModelError) -> Stop {
        self.stop(error.code(), error.to_string())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
