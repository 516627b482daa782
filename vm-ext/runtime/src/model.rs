//! Stored modules become models that can run.

use aiinference_engine::{Limits, LoadError, Program};
use aiinference_types::{limits, tensor, v1, ErrorCode};

use crate::{module, price};

/// A validated model, ready to run.
#[derive(Debug)]
pub struct LoadedModel {
    /// SHA-256 of the stored module.
    pub checksum: [u8; 32],
    /// Bytes of the stored module.
    pub stored_bytes: u64,
    /// Bytes of the graph in it.
    pub graph_bytes: u64,
    /// The engine's program.
    pub program: Program,
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
    /// The model fails validation.
    #[error("loading a model: {0}")]
    Invalid(#[from] LoadError),
}

impl ModelError {
    /// Its number in the table of errors.
    pub fn code(&self) -> ErrorCode {
        match self {
            ModelError::TooLarge(_) => ErrorCode::ModelTooLarge,
            ModelError::NotAModel => ErrorCode::NotAModel,
            ModelError::Module(_) | ModelError::Invalid(_) => ErrorCode::InvalidModel,
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

/// A stored module whose sections have been found and not looked into.
pub(crate) struct StoredModel<'a> {
    stored_bytes: u64,
    sections: module::Sections<'a>,
}

impl<'a> StoredModel<'a> {
    pub(crate) fn open(wasm: &'a [u8]) -> Result<Self, ModelError> {
        let stored_bytes = wasm.len() as u64;
        if stored_bytes > limits::MAX_MODEL_BYTES {
            return Err(ModelError::TooLarge(stored_bytes));
        }
        let sections = module::sections(wasm)?.ok_or(ModelError::NotAModel)?;
        Ok(StoredModel { stored_bytes, sections })
    }

    pub(crate) fn graph_bytes(&self) -> u64 {
        self.sections.graph.len() as u64
    }

    pub(crate) fn load(&self, checksum: [u8; 32]) -> Result<LoadedModel, ModelError> {
        let program = Program::load(self.sections.graph, self.sections.weights, &engine_limits())?;
        Ok(LoadedModel {
            checksum,
            stored_bytes: self.stored_bytes,
            graph_bytes: self.graph_bytes(),
            program,
        })
    }
}

impl LoadedModel {
    /// Validates a stored module fully.
    pub fn load(checksum: [u8; 32], wasm: &[u8]) -> Result<Self, ModelError> {
        StoredModel::open(wasm)?.load(checksum)
    }

    /// Price of naming this model, cached or not.
    pub fn load_gas(&self) -> u64 {
        price::load(self.stored_bytes).saturating_add(price::graph(self.graph_bytes))
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
