//! The whole way: import, simplify, calibrate, quantise, verify.

use aiinference_engine::graph::{header_key, Array, Graph, HeaderEntry, Op};
use aiinference_engine::{Kernels, Limits, Program};
use aiinference_types::limits;
use sha2::{Digest, Sha256};

use crate::calibrate::{self, Precisions};
use crate::dataset::Dataset;
use crate::error::{ConvertError, Result};
use crate::float::{FloatModel, ImportOptions};
use crate::judge::{self, Judgement, Observed};
use crate::net::Net;
use crate::options::Options;
use crate::quantise::scale::pow2;
use crate::quantise::{quantise_net, Quantised, Ranges};
use crate::report::{Differ, EmptyOutput, InputReport, LayerReport, ProvableReport, Report};
use crate::samples::{cut, integers, Samples};
use crate::{eval, fuse, lower, provable};

/// Layers are compared on so many samples; outputs on all.
const LAYER_SAMPLES: usize = 32;

/// What a conversion is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the ONNX file.
    Import,
    /// Running the float model to see its ranges.
    Calibrate,
    /// Choosing integers.
    Quantise,
    /// Trying what else calibration can better; only where options ask for it.
    Search,
    /// Running the integer model beside the float model.
    Verify,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Doing what.
    pub stage: Stage,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

/// The float model's outputs for one sample.
type Answer = Vec<Vec<f64>>;

/// A converted model.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The integer model, accepted by the engine.
    pub graph: Graph,
    /// How it compares with the float model.
    pub report: Report,
}

/// A conversion to be made.
///
/// ```no_run
/// use aiinference_convert::{Converter, Dataset};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let onnx = std::fs::read("model.onnx")?;
/// let data = Dataset::from_npz(&std::fs::read("calibration.npz")?)?;
/// let conversion = Converter::new(&onnx, &data).labels("label").convert()?;
/// println!("{}", conversion.report.to_json());
/// # Ok(())
/// # }
/// ```
pub struct Converter<'a> {
    onnx: &'a [u8],
    data: &'a Dataset,
    labels: Option<String>,
    import: ImportOptions,
    options: Options,
    progress: Option<&'a mut dyn FnMut(Progress)>,
}

impl<'a> Converter<'a> {
    /// A conversion of an ONNX file, calibrated on data whose arrays are named as the model's inputs.
    pub fn new(onnx: &'a [u8], data: &'a Dataset) -> Self {
        Converter {
            onnx,
            data,
            labels: None,
            import: ImportOptions::default(),
            options: Options::default(),
            progress: None,
        }
    }

    /// The array of the data that holds the truth: class indices, or the values that a regression predicts.
    pub fn labels(mut self, name: impl Into<String>) -> Self {
        self.labels = Some(name.into());
        self
    }

    /// Ends the model at these values, by their names in the ONNX file, instead of at its outputs: before a sigmoid that
    /// no circuit proves, for example. What only the former outputs need goes.
    pub fn end_at(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.import.ends = names.into_iter().map(Into::into).collect();
        self
    }

    /// Gives an input its value once and for all: one that decides shapes, for example. It is no input of the converted
    /// model. No numbers stand for an optional that is not given, and for a sequence without elements.
    pub fn fix(mut self, input: impl Into<String>, values: Vec<f64>) -> Self {
        self.import.fixed.insert(input.into(), values);
        self
    }

    /// The shape of an input, where the file leaves it open; of `NAME.0`, `NAME.1` and so on where it is a sequence.
    pub fn shape(mut self, input: impl Into<String>, extents: Vec<usize>) -> Self {
        self.import.shapes.insert(input.into(), extents);
        self
    }

    /// The extent of an open axis, by the name that the file gives it. An open first axis (the batch) is 1 by default.
    pub fn dim(mut self, name: impl Into<String>, extent: usize) -> Self {
        self.import.extents.insert(name.into(), extent);
        self
    }

    /// Choices.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Who is told how far the work has come.
    pub fn progress(mut self, progress: &'a mut dyn FnMut(Progress)) -> Self {
        self.progress = Some(progress);
        self
    }

    fn tell(&mut self, stage: Stage, done: usize, total: usize) {
        if let Some(progress) = &mut self.progress {
            progress(Progress { stage, done, total });
        }
    }

    /// Converts.
    ///
    /// The graph depends on the ONNX file, the calibration data and the options only: the same on every machine.
    pub fn convert(mut self) -> Result<Conversion> {
        self.options.check()?;
        self.tell(Stage::Import, 0, 1);
        let FloatModel { mut net, inputs } = FloatModel::read(self.onnx, &self.import)?;
        if self.options.provable {
            lower::lower(&mut net);
        } else {
            lower::drop_storage(&mut net);
        }
        fuse::fuse(&mut net);
        let empty = leave_out_empty(&mut net)?;
        finite_outputs(&net)?;
        let samples = cut(self.data, &inputs, self.labels.as_deref())?;
        self.tell(Stage::Import, 1, 1);

        let (seen, float) = self.calibrate(&net, &samples);
        let options = self.options.clone();
        let mut plain = vec![];
        if options.provable {
            provable::check(&net)?;
            let ordinary = Options {
                provable: false,
                ..options.clone()
            };
            plain.push(ordinary);
            // What tuning starts from.
            plain.extend(options.tune_shifts.then(|| options.clone()));
        }
        let mut plainly = vec![];
        for options in &plain {
            let quantised = quantise_net(&net, &seen, options)?;
            plainly.push(self.verify(&net, &seen, &quantised, &samples, &float)?);
        }
        let candidates = match calibrate::wanted(&options) {
            true => calibrate::choose(&net, &seen, &samples, &options, &mut |done, total| {
                self.tell(Stage::Search, done, total)
            })?,
            false => vec![Precisions::new()],
        };
        let mut at = 0;
        let (mut quantised, mut report) = loop {
            let mut chosen = seen.clone();
            chosen.precision.clone_from(&candidates[at]);
            let corrected = match options.correct_bias {
                true => Some(calibrate::correct(
                    &net,
                    &chosen,
                    &samples,
                    &options,
                    &mut |done, total| self.tell(Stage::Search, done, total),
                )?),
                false => None,
            };
            self.tell(Stage::Quantise, 0, 1);
            let quantised = quantise_net(corrected.as_ref().unwrap_or(&net), &chosen, &options)?;
            self.tell(Stage::Quantise, 1, 1);
            let report = self.verify(&net, &seen, &quantised, &samples, &float)?;
            // The search may have looked at a part of the samples only.
            let good = options.max_error.is_none_or(|limit| report.drop.value <= limit);
            if good || at + 1 >= candidates.len() {
                break (quantised, report);
            }
            at = (at * 2 + 1).min(candidates.len() - 1);
        };
        quantised.graph.header = vec![
            HeaderEntry {
                key: header_key::SOURCE_HASH,
                critical: false,
                value: Sha256::digest(self.onnx).to_vec(),
            },
            HeaderEntry {
                key: header_key::PRODUCER,
                critical: false,
                value: concat!("aiinference-convert ", env!("CARGO_PKG_VERSION")).into(),
            },
        ];
        let rmse = |report: &Report| report.outputs.iter().map(|o| o.difference.rmse).collect::<Vec<f64>>();
        report.empty_outputs = empty;
        report.provable = plainly.first().map(|ordinary| ProvableReport {
            cost: report.drop.value - ordinary.drop.value,
            ordinary_rmse: rmse(ordinary),
            ordinary: ordinary.drop.clone(),
            untuned_rmse: plainly.get(1).map(rmse),
        });
        let limits = [options.max_drop, options.max_error];
        let exceeded = |limit: &f64| report.drop.value > *limit || report.drop.value.is_nan();
        // A drop that is no number is no acceptable drop.
        if let Some(limit) = limits.into_iter().flatten().find(exceeded) {
            return Err(ConvertError::Accuracy {
                limit,
                report: Box::new(report),
            });
        }
        if let Some(limit) = options.max_gas.filter(|limit| report.gas > *limit) {
            let least = report.gas;
            return Err(ConvertError::Cost { limit, least });
        }
        Ok(Conversion {
            graph: quantised.graph,
            report,
        })
    }

    /// Ranges of every value, and what the float model answers.
    fn calibrate(&mut self, net: &Net, samples: &Samples) -> (Ranges, Vec<Answer>) {
        let total = samples.inputs.len();
        let mut ranges = Ranges::of(net);
        if self.options.percentile.is_some() {
            ranges.count();
        }
        let mut answers = Vec::with_capacity(total);
        for (i, sample) in samples.inputs.iter().enumerate() {
            self.tell(Stage::Calibrate, i, total);
            let values = eval::run(net, sample);
            ranges.add(net, &values);
            let outputs = net.outputs.iter();
            answers.push(outputs.map(|o| eval::of(net, &values, o.value).to_vec()).collect());
        }
        if let Some(percent) = self.options.percentile {
            ranges.clip(net, percent);
        }
        ranges.settle(net);
        self.tell(Stage::Calibrate, total, total);
        (ranges, answers)
    }

    /// Runs the integer model on every sample and compares.
    fn verify(
        &mut self,
        net: &Net,
        ranges: &Ranges,
        quantised: &Quantised,
        samples: &Samples,
        float: &[Answer],
    ) -> Result<Report> {
        let engine = |reason: String| ConvertError::Engine { reason };
        let program = Program::new(quantised.graph.clone(), &engine_limits()).map_err(|e| engine(e.to_string()))?;
        let kernels = Kernels::auto();
        let graph = &quantised.graph;
        let total = samples.inputs.len();
        let mut observed = vec![Observed::default(); net.outputs.len()];
        let mut layers = vec![Differ::default(); quantised.layers.len()];
        let mut alone = self.options.layers.then(|| layers.clone());
        let stands = quantised.stands();
        for (i, (sample, answer)) in samples.inputs.iter().zip(float).enumerate() {
            self.tell(Stage::Verify, i, total);
            let values = if i < LAYER_SAMPLES {
                eval::run(net, sample)
            } else {
                vec![]
            };
            let integers = integers(sample, &graph.inputs);
            let slices: Vec<&[i32]> = integers.iter().map(Vec::as_slice).collect();
            let mut shown = vec![vec![]; quantised.layers.len()];
            let keep = alone.is_some();
            let mut observe = |node: usize, value: &[i32]| {
                for &l in &stands[node] {
                    let layer = &quantised.layers[l];
                    if keep {
                        shown[l] = value.to_vec();
                    }
                    layers[l].add(eval::of(net, &values, layer.node), value, layer.fraction_bits);
                }
            };
            let results = if i < LAYER_SAMPLES {
                program.run_traced(&slices, &kernels, &mut observe)
            } else {
                program.run(&slices, &kernels)
            };
            let results = results.map_err(|e| engine(e.to_string()))?;
            if let (Some(alone), true) = (&mut alone, i < LAYER_SAMPLES) {
                apart(net, quantised, &integers, &shown, alone);
            }
            for (o, (result, answer)) in results.into_iter().zip(answer).enumerate() {
                observed[o].add(answer.clone(), &result, graph.outputs[o].fraction_bits);
            }
        }
        self.tell(Stage::Verify, total, total);

        let Judgement { outputs, metrics, drop } =
            judge::judge(net, program.outputs(), &observed, samples.labels.as_deref());
        let layer = |(i, layer): (usize, &crate::quantise::Layer)| {
            let node = (layer.value as usize).checked_sub(graph.inputs.len())?;
            let seen = &ranges.values[layer.node];
            let value = &program.nodes()[node].value;
            Some(LayerReport {
                name: net.nodes[layer.node].name.clone(),
                value_bits: bits(value.low).max(bits(value.high)),
                low: seen.low.min(seen.high),
                high: seen.high,
                alone: alone.as_ref().map(|alone| alone[i].finish()),
                op: graph.nodes[node].name().into(),
                fraction_bits: layer.fraction_bits,
                gas: program.nodes()[node].cost.gas,
                weight_bits: weight_bits(&graph.nodes[node]),
                difference: layers[i].finish(),
            })
        };
        Ok(Report {
            samples: total,
            parameters: program.parameters(),
            macs: program.macs(),
            gas: program.run_gas(),
            peak_bytes: program.peak_bytes(),
            inputs: graph.inputs.iter().map(input_report).collect(),
            outputs,
            empty_outputs: vec![],
            metrics,
            drop,
            provable: None,
            layers: quantised.layers.iter().enumerate().filter_map(layer).collect(),
        })
    }
}

/// Takes the outputs without elements out of the net: the engine has no such values. Shapes are fixed, so they are empty
/// whatever the inputs.
fn leave_out_empty(net: &mut Net) -> Result<Vec<EmptyOutput>> {
    let mut empty = vec![];
    for output in std::mem::take(&mut net.outputs) {
        let shape = net.shape(output.value);
        if shape.contains(&0) {
            empty.push(EmptyOutput {
                name: output.name,
                shape: shape.to_vec(),
            });
        } else {
            net.outputs.push(output);
        }
    }
    match net.outputs.is_empty() {
        true => Err(ConvertError::Empty { outputs: empty }),
        false => Ok(empty),
    }
}

/// Refuses outputs that are infinite or no numbers whatever the inputs: no integer is near them. Where such values are
/// only read (limits, masks), saturation means the same.
fn finite_outputs(net: &Net) -> Result<()> {
    for output in &net.outputs {
        if let Some(values) = net.constant(output.value) {
            if !values.iter().all(|v| v.is_finite()) {
                return Err(ConvertError::Unsupported {
                    node: output.name.clone(),
                    op: "Output".into(),
                    reason: "it holds infinities or NaN, whatever the inputs".into(),
                    advice: "leave it out of the model".into(),
                });
            }
        }
    }
    Ok(())
}

/// What the layers are off by themselves: the same operation in floats on the integers that they were given.
fn apart(net: &Net, quantised: &Quantised, inputs: &[Vec<i32>], shown: &[Vec<i32>], differ: &mut [Differ]) {
    let reals = |integers: &[i32], bits: i32| {
        integers
            .iter()
            .map(|q| f64::from(*q) * pow2(-bits))
            .collect::<Vec<f64>>()
    };
    let mut known = vec![None; net.nodes.len()];
    for ((id, input), integers) in net.inputs.iter().zip(&quantised.graph.inputs).zip(inputs) {
        known[*id] = Some(reals(integers, input.fraction_bits));
    }
    for (layer, value) in quantised.layers.iter().zip(shown) {
        if layer.value as usize >= quantised.graph.inputs.len() {
            known[layer.node] = Some(reals(value, layer.fraction_bits));
        }
    }
    let made = calibrate::alone::operations(net, &known);
    for (l, (layer, value)) in quantised.layers.iter().zip(shown).enumerate() {
        differ[l].add(&made[layer.node], value, layer.fraction_bits);
    }
}

fn weight_bits(op: &Op) -> Option<u32> {
    match op {
        Op::MatMul { weights, .. } | Op::Conv2d { weights, .. } => Some(match weights {
            Array::I8(_) => 8,
            Array::I16(w) => w.iter().map(|w| bits((*w).into())).max().unwrap_or(16),
            Array::I32(_) => 32,
            Array::I64(_) => 64,
        }),
        _ => None,
    }
}

/// Bits that hold a number and its sign.
fn bits(q: i32) -> u32 {
    i32::BITS - q.unsigned_abs().leading_zeros() + 1
}

fn input_report(input: &aiinference_engine::graph::Input) -> InputReport {
    let unit = pow2(-input.fraction_bits);
    InputReport {
        name: input.name.clone(),
        shape: input.shape.clone(),
        fraction_bits: input.fraction_bits,
        low: f64::from(input.low) * unit,
        high: f64::from(input.high) * unit,
        saturate: input.saturate,
    }
}

/// The limits of the extension, in the engine's terms: those that converted models keep to.
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

impl Report {
    /// The report as indented JSON. Numbers that are not finite become null.
    pub fn to_json(&self) -> String {
        // Maps with string keys and plain numbers only: serialisation cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
