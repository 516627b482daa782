//! A plan bound to its models: every name found, every static rule checked, its price known, before anything runs.

use std::sync::Arc;

use aiinference_types::{limits, tensor, v1, ErrorCode};

use crate::{
    model::{policy, LoadedModel},
    price,
};

/// A failure that is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) step: u32,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, step: usize, message: impl Into<String>) -> Self {
        // Steps are at most MAX_STEPS, or a count of messages in a request of at most 64 KiB.
        Refusal {
            code,
            message: message.into(),
            step: step as u32,
        }
    }
}

/// Where an input's values come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Tensor(&'a v1::Tensor),
    Output(OutputRef),
}

/// An output of a step, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputRef {
    pub(crate) step: usize,
    pub(crate) output: usize,
}

/// One model run.
#[derive(Debug)]
pub(crate) struct PlannedStep<'a> {
    pub(crate) model: Arc<LoadedModel>,
    /// One per input of the model, in its order.
    pub(crate) sources: Vec<Source<'a>>,
}

/// A whole plan.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) steps: Vec<PlannedStep<'a>>,
    pub(crate) outputs: Vec<OutputRef>,
}

/// Checks the number of steps, before anything is resolved.
pub(crate) fn check_steps(request: &v1::InferRequest) -> Result<(), Refusal> {
    let count = request.steps.len();
    if count == 0 || count > limits::MAX_STEPS {
        let message = format!(
            "reading a plan: it has {count} steps, allowed are 1 to {}",
            limits::MAX_STEPS
        );
        return Err(Refusal::new(ErrorCode::InvalidPlan, 0, message));
    }
    Ok(())
}

impl<'a> Plan<'a> {
    /// Binds a request to its models, one per step.
    pub(crate) fn bind(request: &'a v1::InferRequest, models: &[Arc<LoadedModel>]) -> Result<Self, Refusal> {
        let mut steps: Vec<PlannedStep> = Vec::with_capacity(models.len());
        for (index, (step, model)) in request.steps.iter().zip(models).enumerate() {
            let sources = bind_inputs(index, step, model, &steps)?;
            steps.push(PlannedStep {
                model: model.clone(),
                sources,
            });
        }
        let last = steps.len() - 1; // check_steps: at least one
        let outputs = if request.outputs.is_empty() {
            let count = steps[last].model.program.outputs().len();
            (0..count).map(|output| OutputRef { step: last, output }).collect()
        } else {
            let found = request.outputs.iter().map(|name| find_output(last, name, &steps));
            found.collect::<Result<_, _>>()?
        };
        let plan = Plan { steps, outputs };
        plan.check_response_size()?;
        plan.check_memory()?;
        Ok(plan)
    }

    /// Price of running it, connecting the steps and returning the outputs.
    pub(crate) fn price(&self) -> u64 {
        let runs = self.steps.iter().map(|step| {
            let connections = step.sources.iter().map(|source| match source {
                Source::Tensor(_) => 0,
                Source::Output(output) => price::connect(self.elements(*output)),
            });
            connections.fold(step.model.program.run_gas(), u64::saturating_add)
        });
        let returned = self
            .outputs
            .iter()
            .map(|output| price::output(self.output_bytes(*output)));
        runs.chain(returned).fold(0, u64::saturating_add)
    }

    /// Whether a later step or the caller reads this output.
    pub(crate) fn is_read(&self, wanted: OutputRef) -> bool {
        let by_steps = self.steps.iter().flat_map(|step| &step.sources);
        self.outputs.contains(&wanted)
            || by_steps
                .into_iter()
                .any(|source| matches!(source, Source::Output(output) if *output == wanted))
    }

    fn output_bytes(&self, output: OutputRef) -> u64 {
        self.steps[output.step].model.output_bytes(output.output)
    }

    fn elements(&self, output: OutputRef) -> u64 {
        let shape = &self.steps[output.step].model.program.outputs()[output.output].shape;
        tensor::element_count(shape).unwrap_or(u64::MAX)
    }

    /// Counts data, names and, generously, what frames them.
    fn check_response_size(&self) -> Result<(), Refusal> {
        const RECEIPT_BYTES: u64 = 2048;
        const FRAME_BYTES: u64 = 64;
        let sizes = self.outputs.iter().map(|output| {
            let name = &self.steps[output.step].model.program.outputs()[output.output].name;
            self.output_bytes(*output)
                .saturating_add(name.len() as u64)
                .saturating_add(FRAME_BYTES)
        });
        let bytes = sizes.fold(RECEIPT_BYTES, u64::saturating_add);
        if bytes > limits::MAX_RESPONSE_BYTES {
            let message = format!(
                "reading a plan: its outputs take {bytes} bytes, the limit is {}; return fewer of them",
                limits::MAX_RESPONSE_BYTES
            );
            return Err(Refusal::new(ErrorCode::ResponseTooLarge, self.steps.len() - 1, message));
        }
        Ok(())
    }

    /// What the runtime holds beside a model's own memory counts against the same limit: its inputs and outputs, 4 bytes
    /// an element, and the outputs of earlier steps.
    fn check_memory(&self) -> Result<(), Refusal> {
        let held = |shape: &[u32]| tensor::element_count(shape).unwrap_or(u64::MAX).saturating_mul(4);
        let mut kept = 0u64;
        for (index, step) in self.steps.iter().enumerate() {
            let program = &step.model.program;
            let inputs = program.inputs().iter().map(|input| held(&input.shape));
            let outputs = program
                .outputs()
                .iter()
                .map(|output| held(&output.shape))
                .fold(0, u64::saturating_add);
            let peak = inputs
                .fold(kept, u64::saturating_add)
                .saturating_add(outputs)
                .saturating_add(program.peak_bytes());
            if peak > limits::MAX_PEAK_MEMORY_BYTES {
                let message = format!(
                    "reading a plan: it needs {peak} bytes of memory at this step, the limit is {}",
                    limits::MAX_PEAK_MEMORY_BYTES
                );
                return Err(Refusal::new(ErrorCode::InvalidPlan, index, message));
            }
            kept = kept.saturating_add(outputs);
        }
        Ok(())
    }
}

/// A name as error texts show it: ASCII, so that the text depends on no version of Unicode, and cut to a name's limit.
fn shown(name: &str) -> String {
    let escaped = name.chars().flat_map(char::escape_default);
    let mut text: String = escaped.take(limits::MAX_NAME_BYTES).collect();
    text.insert(0, '"');
    text.push('"');
    text
}

fn bind_inputs<'a>(
    index: usize,
    step: &'a v1::Step,
    model: &LoadedModel,
    earlier: &[PlannedStep],
) -> Result<Vec<Source<'a>>, Refusal> {
    let wanted = model.program.inputs();
    let mut sources: Vec<Option<Source>> = wanted.iter().map(|_| None).collect();
    for input in &step.inputs {
        let position = if input.name.is_empty() && wanted.len() == 1 {
            Some(0)
        } else {
            wanted.iter().position(|candidate| candidate.name == input.name)
        };
        let Some(position) = position else {
            let names: Vec<String> = wanted.iter().map(|w| shown(&w.name)).collect();
            let message = format!(
                "binding inputs: the model has no input {}; it has {}",
                shown(&input.name),
                names.join(", ")
            );
            return Err(Refusal::new(ErrorCode::UnknownInput, index, message));
        };
        let name = shown(&wanted[position].name);
        let (source, shape) = match &input.source {
            Some(v1::input::Source::Tensor(tensor)) => {
                tensor.validate().map_err(|e| {
                    Refusal::new(ErrorCode::MalformedTensor, index, format!("binding input {name}: {e}"))
                })?;
                (Source::Tensor(tensor), tensor.shape.as_slice())
            }
            Some(v1::input::Source::StepOutput(output)) => {
                // Only steps before this one are known, so a plan has no cycles.
                let found = find_output(index, output, earlier)?;
                let shape = earlier[found.step].model.program.outputs()[found.output]
                    .shape
                    .as_slice();
                (Source::Output(found), shape)
            }
            None => {
                let message = format!("binding input {name}: it names no source; give a tensor or a step's output");
                return Err(Refusal::new(ErrorCode::MissingInput, index, message));
            }
        };
        if !tensor::same_shape(shape, &wanted[position].shape) {
            let message = format!(
                "binding input {name}: its shape is {shape:?}, the model takes {:?}",
                wanted[position].shape
            );
            return Err(Refusal::new(ErrorCode::ShapeMismatch, index, message));
        }
        if sources[position].replace(source).is_some() {
            let message = format!("binding input {name}: it is given twice");
            return Err(Refusal::new(ErrorCode::DuplicateInput, index, message));
        }
    }
    let bound = sources.into_iter().zip(wanted).map(|(source, wanted)| {
        source.ok_or_else(|| {
            let message = format!("binding inputs: input {} is given no value", shown(&wanted.name));
            Refusal::new(ErrorCode::MissingInput, index, message)
        })
    });
    bound.collect()
}

fn find_output(at: usize, wanted: &v1::StepOutput, steps: &[PlannedStep]) -> Result<OutputRef, Refusal> {
    let step = wanted.step as usize;
    let Some(planned) = steps.get(step) else {
        let message = format!(
            "reading a plan: step {step} has not run yet when its output {} is read",
            shown(&wanted.output)
        );
        return Err(Refusal::new(ErrorCode::InvalidPlan, at, message));
    };
    let outputs = planned.model.program.outputs();
    let position = if wanted.output.is_empty() && outputs.len() == 1 {
        Some(0)
    } else {
        outputs.iter().position(|output| output.name == wanted.output)
    };
    let output = position.ok_or_else(|| {
        let names: Vec<String> = outputs.iter().map(|o| shown(&o.name)).collect();
        let message = format!(
            "reading a plan: step {step} has no output {}; it has {}",
            shown(&wanted.output),
            names.join(", ")
        );
        Refusal::new(ErrorCode::InvalidPlan, at, message)
    })?;
    Ok(OutputRef { step, output })
}

/// Values for one input, in its model's integers; and whether any was saturated.
pub(crate) fn quantize(
    step: usize,
    input: &aiinference_engine::graph::Input,
    tensor: &v1::Tensor,
) -> Result<(Vec<i32>, bool), Refusal> {
    tensor
        .quantize(input.fraction_bits, input.low, input.high, policy(input.saturate))
        .map_err(|e| {
            let code = match e {
                tensor::TensorError::OutOfRange { .. } => ErrorCode::OutOfRange,
                _ => ErrorCode::MalformedTensor,
            };
            Refusal::new(code, step, format!("converting input {}: {e}", shown(&input.name)))
        })
}
