//! The one way from a request to its answer.

use std::sync::Arc;

use aiinference_engine::{Kernels, Workspace};
use aiinference_types::{
    abi::MAGIC,
    limits,
    receipt::{TensorHasher, INPUTS_TAG, OUTPUTS_TAG},
    v1::{self, request::Operation, response},
    ErrorCode,
};
use prost::Message;

use crate::{
    cache::ModelCache,
    chain::{Chain, NodeFault},
    load::Loader,
    meter::Meter,
    model::{self, LoadedModel, ModelError},
    plan::{self, OutputRef, Plan, Refusal, Source},
    price,
    stop::{charge, Stop},
    verify,
    workspaces::Workspaces,
};

/// What a node may set. None of it changes a result or gas.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of memory for decoded models.
    pub cache_bytes: u64,
    /// Which kernels run.
    pub kernels: Kernels,
}

impl Default for Settings {
    /// 256 MiB and the fastest kernels of this CPU.
    fn default() -> Self {
        Settings {
            cache_bytes: 256 << 20,
            kernels: Kernels::auto(),
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered, be it with an error.
    Done {
        /// An encoded [`v1::Response`].
        response: Vec<u8>,
        /// To be charged as internal cost.
        gas: u64,
        /// Used by inner queries, which the chain has accounted.
        external: u64,
    },
    /// The price is above the gas left. Charging it spends all gas, so that the transaction aborts.
    OutOfGas {
        /// To be charged as internal cost.
        gas: u64,
        /// Used by inner queries.
        external: u64,
    },
    /// An inner query ended the call, or this node cannot read its own storage. The implementor of [`Chain`] knows why.
    Abort {
        /// To be charged as internal cost.
        gas: u64,
        /// Used by inner queries.
        external: u64,
        /// Set where the node is at fault.
        fault: Option<NodeFault>,
    },
}

/// Whether bytes are meant as a request, of any version of the ABI.
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..7])
}

/// Answers requests. Share one among all instances of a node.
#[derive(Debug)]
pub struct Runtime {
    kernels: Kernels,
    models: ModelCache,
    workspaces: Workspaces,
}

impl Runtime {
    /// A runtime with an empty cache.
    pub fn new(settings: Settings) -> Self {
        Runtime {
            kernels: settings.kernels,
            models: ModelCache::new(settings.cache_bytes),
            workspaces: Workspaces::default(),
        }
    }

    /// Name of the kernels in use.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name()
    }

    /// Bytes held of one decoded model; None if it is not held.
    pub fn cached_bytes_of(&self, checksum: &[u8; 32]) -> Option<u64> {
        self.models.bytes_of(checksum)
    }

    /// Bytes of decoded models held.
    pub fn cached_bytes(&self) -> u64 {
        self.models.bytes()
    }

    /// Validates what a module carries, a courtesy at upload: a model fully, as every load does; a shard, a manifest or a circuit
    /// as far as it can be judged without the others. A module that carries nothing is refused.
    pub fn check_model(&self, wasm: &[u8]) -> Result<(), ModelError> {
        model::check(wasm)
    }

    /// Answers one request with at most `gas_left` to spend.
    pub fn answer(&self, request: &[u8], gas_left: u64, chain: &mut dyn Chain) -> Answer {
        let mut meter = Meter::new(gas_left);
        let result = self.respond(request, &mut meter, chain);
        let (gas, external) = (meter.charged(), meter.external());
        let result = match result {
            Ok(result) => result,
            Err(Stop::Refused(refusal)) => response::Result::Error(v1::Error {
                code: refusal.code as u32,
                message: refusal.message,
                step: refusal.step,
            }),
            Err(Stop::OutOfGas) => return Answer::OutOfGas { gas, external },
            Err(Stop::Abort(fault)) => return Answer::Abort { gas, external, fault },
        };
        let response = v1::Response { result: Some(result) }.encode_to_vec();
        Answer::Done {
            response,
            gas,
            external,
        }
    }

    fn respond(&self, request: &[u8], meter: &mut Meter, chain: &mut dyn Chain) -> Result<response::Result, Stop> {
        charge(meter, 0, price::call(request.len() as u64))?;
        match decode(request)? {
            Operation::Infer(request) => self.infer(&request, meter, chain).map(response::Result::Infer),
            Operation::ModelInfo(request) => self.model_info(&request, meter, chain).map(response::Result::ModelInfo),
            Operation::Verify(request) => self.verify(&request, meter, chain).map(response::Result::Verify),
        }
    }

    fn model_info(
        &self,
        request: &v1::ModelInfoRequest,
        meter: &mut Meter,
        chain: &mut dyn Chain,
    ) -> Result<v1::ModelInfo, Stop> {
        let info = self.load(0, request.model.as_ref(), &[], meter, chain)?.info();
        let bytes = info.encoded_len() as u64;
        charge(meter, 0, price::description(bytes))?;
        if bytes > limits::MAX_RESPONSE_BYTES {
            let message = format!(
                "describing a model: the description takes {bytes} bytes, the limit is {}",
                limits::MAX_RESPONSE_BYTES
            );
            return Err(Refusal::new(ErrorCode::ResponseTooLarge, 0, message).into());
        }
        Ok(info)
    }

    fn verify(
        &self,
        request: &v1::VerifyRequest,
        meter: &mut Meter,
        chain: &mut dyn Chain,
    ) -> Result<v1::VerifyResponse, Stop> {
        verify::check_request(request, meter)?;
        let loader = Loader {
            step: 0,
            cache: &self.models,
            held: &[],
            meter,
            chain,
        };
        let circuit = loader.load_circuit(request.circuit.as_ref())?;
        verify::verify(request, &circuit, meter)
    }

    fn infer(
        &self,
        request: &v1::InferRequest,
        meter: &mut Meter,
        chain: &mut dyn Chain,
    ) -> Result<v1::InferResponse, Stop> {
        meter.set_limit(request.gas_limit);
        charge(meter, 0, 0)?;
        plan::check_steps(request)?;
        let mut models: Vec<Arc<LoadedModel>> = Vec::with_capacity(request.steps.len());
        let mut bytes = 0u64;
        for (index, step) in request.steps.iter().enumerate() {
            let model = self.load(index, step.model.as_ref(), &models, meter, chain)?;
            if models.iter().all(|other| other.checksum != model.checksum) {
                bytes = bytes.saturating_add(model.stored_bytes);
            }
            if bytes > limits::MAX_PLAN_BYTES {
                let message = format!(
                    "reading a plan: its models take {bytes} bytes up to this step, the limit is {}",
                    limits::MAX_PLAN_BYTES
                );
                return Err(Refusal::new(ErrorCode::InvalidPlan, index, message).into());
            }
            models.push(model);
        }
        let plan = Plan::bind(request, &models)?;
        let last = models.len() - 1; // check_steps: at least one
        charge(meter, last, plan.price())?;
        let run = self.workspaces.with(|workspace| self.run(&plan, workspace))?;

        let mut hasher = TensorHasher::new(OUTPUTS_TAG);
        for (output, tensor) in plan.outputs.iter().zip(&run.outputs) {
            hasher.add(output.step as u32, tensor);
        }
        let used = request.steps.iter().zip(&models).map(|(step, model)| v1::ModelUsed {
            code_id: match step.model.as_ref().and_then(|m| m.reference.as_ref()) {
                Some(v1::model_ref::Reference::CodeId(code_id)) => *code_id,
                _ => 0,
            },
            checksum: model.checksum.to_vec(),
            op_set: model.program.op_set(),
        });
        let receipt = v1::Receipt {
            models: used.collect(),
            inputs_hash: run.inputs_hash.to_vec(),
            outputs_hash: hasher.finish().to_vec(),
            gas: meter.charged(),
            gas_schedule: price::GAS_SCHEDULE,
            saturated: run.saturated,
        };
        Ok(v1::InferResponse {
            outputs: run.outputs,
            receipt: Some(receipt),
        })
    }

    /// The model that a reference of a step names, where those of earlier steps are `held`.
    fn load(
        &self,
        step: usize,
        model: Option<&v1::ModelRef>,
        held: &[Arc<LoadedModel>],
        meter: &mut Meter,
        chain: &mut dyn Chain,
    ) -> Result<Arc<LoadedModel>, Stop> {
        let loader = Loader {
            step,
            cache: &self.models,
            held,
            meter,
            chain,
        };
        loader.load(model)
    }

    fn run(&self, plan: &Plan, workspace: &mut Workspace) -> Result<Run, Stop> {
        let mut hasher = TensorHasher::new(INPUTS_TAG);
        let mut saturated = false;
        // Per step and output: the tensor, if anybody reads it.
        let mut results: Vec<Vec<Option<v1::Tensor>>> = Vec::with_capacity(plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate() {
            let program = &step.model.program;
            let mut values = Vec::with_capacity(step.sources.len());
            for (input, source) in program.inputs().iter().zip(&step.sources) {
                let (integers, over) = match source {
                    Source::Tensor(tensor) => plan::quantize(index, input, tensor)?,
                    Source::Output(output) => {
                        let tensor = take(&results, *output).ok_or_else(|| internal(index))?;
                        plan::quantize(index, input, tensor)?
                    }
                };
                if let Source::Tensor(_) = source {
                    hasher.add(index as u32, &canonical(input, &integers));
                }
                saturated |= over;
                values.push(integers);
            }
            let values: Vec<&[i32]> = values.iter().map(Vec::as_slice).collect();
            let outputs = program.run_in(workspace, &values, &self.kernels).map_err(|error| {
                Refusal::new(ErrorCode::MalformedTensor, index, format!("running a model: {error}"))
            })?;
            let tensors = program
                .outputs()
                .iter()
                .zip(outputs.iter())
                .enumerate()
                .map(|(output, (port, integers))| {
                    plan.is_read(OutputRef { step: index, output }).then(|| {
                        v1::Tensor::from_integers(
                            port.name.clone(),
                            port.shape.clone(),
                            port.fraction_bits,
                            port.low,
                            port.high,
                            integers,
                        )
                    })
                });
            results.push(tensors.collect());
        }
        let returned = plan
            .outputs
            .iter()
            .map(|output| take(&results, *output).cloned().ok_or_else(|| internal(output.step)));
        let outputs = returned.collect::<Result<Vec<_>, Stop>>()?;
        Ok(Run {
            outputs,
            inputs_hash: hasher.finish(),
            saturated,
        })
    }
}

/// What running a plan gives.
struct Run {
    outputs: Vec<v1::Tensor>,
    inputs_hash: [u8; 32],
    saturated: bool,
}

fn take(results: &[Vec<Option<v1::Tensor>>], output: OutputRef) -> Option<&v1::Tensor> {
    results.get(output.step)?.get(output.output)?.as_ref()
}

/// Binding has checked that every output read exists, so this is never built; it is here instead of a panic.
fn internal(step: usize) -> Stop {
    Refusal::new(ErrorCode::InvalidPlan, step, "running a plan: an output is missing").into()
}

/// An input's integers as the receipt hashes them.
fn canonical(input: &aiinference_engine::graph::Input, integers: &[i32]) -> v1::Tensor {
    v1::Tensor::from_integers(
        input.name.clone(),
        input.shape.clone(),
        input.fraction_bits,
        input.low,
        input.high,
        integers,
    )
}

fn decode(request: &[u8]) -> Result<Operation, Refusal> {
    if request.len() > limits::MAX_REQUEST_BYTES {
        let message = format!(
            "reading a request: {} bytes are above the limit of {}",
            request.len(),
            limits::MAX_REQUEST_BYTES
        );
        return Err(Refusal::new(ErrorCode::RequestTooLarge, 0, message));
    }
    let Some(body) = request.strip_prefix(&MAGIC) else {
        let message = format!(
            "reading a request: this host speaks version {} of the ABI only",
            MAGIC[7]
        );
        return Err(Refusal::new(ErrorCode::UnsupportedOperation, 0, message));
    };
    let request = v1::Request::decode(body).map_err(|_| {
        Refusal::new(
            ErrorCode::MalformedRequest,
            0,
            "reading a request: it is no aiinference.v1.Request",
        )
    })?;
    request.operation.ok_or_else(|| {
        Refusal::new(
            ErrorCode::UnsupportedOperation,
            0,
            "reading a request: it names no operation that this host knows",
        )
    })
}
