//! Stored modules become models that can run.

use aiinference_engine::{Limits, LoadError, Program};
use aiinference_types::{limits, tensor, v1, ErrorCode};
use aiinference_verifier::{Circuit, CircuitError};

use crate::{
    module::{self, Carried, Manifest, Sections, Shard, ShardError},
    price,
};

/// A validated model, ready to run.
#[derive(Debug)]
pub struct LoadedModel {
    /// SHA-256 of the module that is named: the model's, or its manifest's.
    pub checksum: [u8; 32],
    /// Bytes of that module and of all shards.
    pub stored_bytes: u64,
    /// Bytes of the module that is named.
    pub module_bytes: u64,
    /// The shards of a model that is stored in such, in order.
    pub shards: Vec<StoredShard>,
    /// Bytes of the graph.
    pub graph_bytes: u64,
    /// The engine's program.
    pub program: Program,
}

/// A shard that the chain has resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredShard {
    /// As its manifest names it.
    pub named: Shard,
    /// Bytes of its module.
    pub bytes: u64,
}

/// Why a stored module gives no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Above the limit of size.
    #[error("loading a model: {0} bytes are above the limit of {max}", max = limits::MAX_MODEL_BYTES)]
    TooLarge(u64),
    /// The module's sections cannot be read.
    #[error("loading a model: {0}")]
    Module(#[from] module::ModuleError),
    /// The module is ordinary code.
    #[error("loading a model: the code carries none (no custom section {name}); convert one with `aiinference convert` and name its code id", name = aiinference_types::abi::GRAPH_SECTION)]
    NotAModel,
    /// The module is a part of a model.
    #[error("loading a model: the code is one shard of it; name the code id of its manifest")]
    Shard,
    /// The module is a circuit.
    #[error("loading a model: the code is a circuit, which speaks about one; name the model's code id")]
    Circuit,
    /// The module is a manifest where a whole model is needed.
    #[error(
        "loading a model: the module is a manifest, whose shards are on a chain; give the module of the whole model"
    )]
    Manifest,
    /// The shards' modules are above the limit of size.
    #[error("loading a model: its shards take {0} bytes or more, the limit is {max}", max = limits::MAX_SHARDED_BYTES)]
    ShardsTooLarge(u64),
    /// Manifest and shards make no model.
    #[error("loading a model: {0}")]
    Shards(#[from] ShardError),
    /// A circuit that is none.
    #[error("loading a circuit: {0}")]
    InvalidCircuit(#[from] CircuitError),
    /// The model fails validation.
    #[error("loading a model: {0}")]
    Invalid(#[from] LoadError),
}

impl ModelError {
    /// Its number in the table of errors.
    pub fn code(&self) -> ErrorCode {
        match self {
            ModelError::TooLarge(_) | ModelError::ShardsTooLarge(_) => ErrorCode::ModelTooLarge,
            ModelError::NotAModel | ModelError::Shard | ModelError::Manifest | ModelError::Circuit => {
                ErrorCode::NotAModel
            }
            ModelError::InvalidCircuit(error) => error.code(),
            ModelError::Module(_) | ModelError::Shards(_) | ModelError::Invalid(_) => ErrorCode::InvalidModel,
        }
    }
}

/// The extension's limits in the engine's terms.
pub fn engine_limits() -> Limits {
    Limits {
        max_nodes: limits::MAX_NODES,
        max_rank: limits::MAX_RANK,
        max_elements: limits::MAX_ELEMENTS,
        max_peak_bytes: limits::MAX_PEAK_MEMORY_BYTES,
        max_ports: limits::MAX_PORTS,
        max_name_bytes: limits::MAX_NAME_BYTES,
        max_labels: limits::MAX_LABELS,
        max_header_entries: limits::MAX_HEADER_ENTRIES,
        max_header_bytes: limits::MAX_HEADER_BYTES,
    }
}

/// What a module that is named as a model turns out to be.
pub(crate) enum Named<'a> {
    /// A whole model, not looked into.
    Model(Sections<'a>),
    /// One in shards.
    Manifest(Manifest),
}

/// Opens a module that is named as a model.
pub(crate) fn open(wasm: &[u8]) -> Result<Named<'_>, ModelError> {
    check_size(wasm)?;
    match module::carried(wasm)? {
        Carried::Contract => Err(ModelError::NotAModel),
        Carried::Model(sections) => Ok(Named::Model(sections)),
        Carried::Shard(_) => Err(ModelError::Shard),
        Carried::Circuit(_) => Err(ModelError::Circuit),
        Carried::Manifest(bytes) => Ok(Named::Manifest(Manifest::decode(bytes)?)),
    }
}

/// Opens the module that shards make.
pub(crate) fn joined_sections(wasm: &[u8]) -> Result<Sections<'_>, ModelError> {
    module::sections(wasm)?.ok_or(ModelError::Shards(ShardError::NoModel))
}

/// Checks what a module carries as far as it can be judged alone.
pub(crate) fn check(wasm: &[u8]) -> Result<(), ModelError> {
    check_size(wasm)?;
    match module::carried(wasm)? {
        Carried::Contract => Err(ModelError::NotAModel),
        Carried::Model(_) => LoadedModel::load([0; 32], wasm).map(|_| ()),
        Carried::Shard(_) => Ok(()),
        Carried::Manifest(bytes) => Ok(Manifest::decode(bytes).map(|_| ())?),
        Carried::Circuit(_) if wasm.len() as u64 > limits::MAX_CIRCUIT_BYTES => {
            Err(CircuitError::TooLarge(wasm.len() as u64).into())
        }
        Carried::Circuit(bytes) => Ok(Circuit::decode(bytes).map(|_| ())?),
    }
}

fn check_size(wasm: &[u8]) -> Result<(), ModelError> {
    let bytes = wasm.len() as u64;
    if bytes > limits::MAX_MODEL_BYTES {
        return Err(ModelError::TooLarge(bytes));
    }
    Ok(())
}

/// What is stored of a model.
pub(crate) struct Stored {
    /// Of the module that is named.
    pub(crate) checksum: [u8; 32],
    pub(crate) module_bytes: u64,
    pub(crate) shards: Vec<StoredShard>,
}

impl Stored {
    /// Validates the model fully.
    pub(crate) fn load(self, sections: Sections) -> Result<LoadedModel, ModelError> {
        let program = Program::load(sections.graph, sections.weights, &engine_limits())?;
        let sizes = self.shards.iter().map(|shard| shard.bytes);
        Ok(LoadedModel {
            checksum: self.checksum,
            stored_bytes: sizes.fold(self.module_bytes, u64::saturating_add),
            module_bytes: self.module_bytes,
            shards: self.shards,
            graph_bytes: sections.graph.len() as u64,
            program,
        })
    }
}

impl LoadedModel {
    /// Validates a module that carries a whole model.
    pub fn load(checksum: [u8; 32], wasm: &[u8]) -> Result<Self, ModelError> {
        let Named::Model(sections) = open(wasm)? else {
            return Err(ModelError::Manifest);
        };
        let stored = Stored {
            checksum,
            module_bytes: wasm.len() as u64,
            shards: Vec::new(),
        };
        stored.load(sections)
    }

    /// Validates a model in shards, from the modules of its manifest and of all shards, in order. What
    /// [`load`](Self::load) gives for the same model stored whole differs in checksum, stored bytes and price of loading alone.
    pub fn load_sharded(checksum: [u8; 32], manifest: &[u8], shards: &[impl AsRef<[u8]>]) -> Result<Self, ModelError> {
        let module_bytes = manifest.len() as u64;
        let Named::Manifest(manifest) = open(manifest)? else {
            return Err(ModelError::Shards(ShardError::NoManifest));
        };
        let mut stored = Stored {
            checksum,
            module_bytes,
            shards: Vec::with_capacity(manifest.shards.len()),
        };
        for (named, module) in manifest.shards.iter().zip(shards) {
            let bytes = module.as_ref().len() as u64;
            stored.shards.push(StoredShard { named: *named, bytes });
        }
        let sizes = stored.shards.iter().map(|shard| shard.bytes);
        let total = sizes.fold(0, u64::saturating_add);
        if total > limits::MAX_SHARDED_BYTES {
            return Err(ModelError::ShardsTooLarge(total));
        }
        let joined = module::join(&manifest, shards)?;
        stored.load(joined_sections(&joined)?)
    }

    /// Price of naming this model, cached or not.
    pub fn load_gas(&self) -> u64 {
        let modules = [self.module_bytes].into_iter();
        let modules = modules.chain(self.shards.iter().map(|shard| shard.bytes));
        modules
            .map(price::load)
            .fold(price::graph(self.graph_bytes), u64::saturating_add)
    }

    /// What the model is and costs, in the words of the protocol.
    pub fn info(&self) -> v1::ModelInfo {
        let program = &self.program;
        let inputs = program.inputs().iter().map(|input| v1::TensorInfo {
            name: input.name.clone(),
            shape: input.shape.clone(),
            fraction_bits: input.fraction_bits,
            low: input.low.into(),
            high: input.high.into(),
            out_of_range: policy(input.saturate).into(),
            labels: Vec::new(),
        });
        let outputs = program.outputs().iter().map(|output| v1::TensorInfo {
            name: output.name.clone(),
            shape: output.shape.clone(),
            fraction_bits: output.fraction_bits,
            low: output.low.into(),
            high: output.high.into(),
            out_of_range: v1::OutOfRange::Unspecified.into(),
            labels: output.labels.clone(),
        });
        v1::ModelInfo {
            checksum: self.checksum.to_vec(),
            op_set: program.op_set(),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            parameters: program.parameters(),
            stored_bytes: self.stored_bytes,
            peak_memory_bytes: program.peak_bytes(),
            load_gas: self.load_gas(),
            run_gas: program.run_gas(),
            gas_schedule: price::GAS_SCHEDULE,
        }
    }

    /// Bytes of one output as returned: its elements in their canonical type.
    pub(crate) fn output_bytes(&self, index: usize) -> u64 {
        let output = &self.program.outputs()[index];
        let width = v1::DataType::narrowest(output.low, output.high).width() as u64;
        // The engine has checked the shape against the same limits.
        tensor::element_count(&output.shape)
            .unwrap_or(u64::MAX)
            .saturating_mul(width)
    }
}

pub(crate) fn policy(saturate: bool) -> v1::OutOfRange {
    if saturate {
        v1::OutOfRange::Saturate
    } else {
        v1::OutOfRange::Refuse
    }
}
