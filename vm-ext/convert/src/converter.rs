//! The whole way: import, simplify, calibrate, quantise, verify.

use aiinference_engine::graph::{header_key, Array, Graph, HeaderEntry, Op};
use aiinference_engine::{Kernels, Limits, Program};
use aiinference_types::limits;
use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::error::{ConvertError, Result};
use crate::float::{FloatModel, ImportOptions};
use crate::judge::{self, Observed};
use crate::net::Net;
use crate::options::Options;
use crate::quantise::scale::{pow2, quantise};
use crate::quantise::{quantise_net, Quantised, Ranges};
use crate::report::{Differ, InputReport, LayerReport, OutputReport, ProvableReport, Report};
use crate::samples::{cut, Samples};
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
    /// model.
    pub fn fix(mut self, input: impl Into<String>, values: Vec<f64>) -> Self {
        self.import.fixed.insert(input.into(), values);
        self
    }

    /// The shape of an input, where the file leaves it open.
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
        self.tell(Stage::Import, 0, 1);
        let FloatModel { mut net, inputs } = FloatModel::read(self.onnx, &self.import)?;
        if self.options.provable {
            lower::lower(&mut net);
        } else {
            lower::drop_storage(&mut net);
        }
        fuse::fuse(&mut net);
        let samples = cut(self.data, &inputs, self.labels.as_deref())?;
        self.tell(Stage::Import, 1, 1);

        let (seen, float) = self.calibrate(&net, &samples);
        self.tell(Stage::Quantise, 0, 1);
        let mut ordinary = None;
        if self.options.provable {
            provable::check(&net)?;
            let options = Options {
                provable: false,
                ..self.options.clone()
            };
            let quantised = quantise_net(&net, &seen, &options)?;
            ordinary = Some(self.verify(&net, &quantised, &samples, float.clone())?);
        }
        let mut quantised = quantise_net(&net, &seen, &self.options)?;
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
        self.tell(Stage::Quantise, 1, 1);
        let mut report = self.verify(&net, &quantised, &samples, float)?;
        report.provable = ordinary.map(|ordinary| ProvableReport {
            cost: report.drop.value - ordinary.drop.value,
            ordinary_rmse: ordinary.outputs.iter().map(|o| o.difference.rmse).collect(),
            ordinary: ordinary.drop,
        });
        if let Some(limit) = self.options.max_drop {
            // A drop that is no number is no acceptable drop.
            if report.drop.value > limit || report.drop.value.is_nan() {
                return Err(ConvertError::Accuracy {
                    limit,
                    report: Box::new(report),
                });
            }
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
        let mut answers = Vec::with_capacity(total);
        for (i, sample) in samples.inputs.iter().enumerate() {
            self.tell(Stage::Calibrate, i, total);
            let values = eval::run(net, sample);
            ranges.add(net, &values);
            let outputs = net.outputs.iter();
            answers.push(outputs.map(|o| eval::of(net, &values, o.value).to_vec()).collect());
        }
        ranges.settle(net);
        self.tell(Stage::Calibrate, total, total);
        (ranges, answers)
    }

    /// Runs the integer model on every sample and compares.
    fn verify(&mut self, net: &Net, quantised: &Quantised, samples: &Samples, float: Vec<Answer>) -> Result<Report> {
        let engine = |reason: String| ConvertError::Engine { reason };
        let program = Program::new(quantised.graph.clone(), &engine_limits()).map_err(|e| engine(e.to_string()))?;
        let kernels = Kernels::auto();
        let graph = &quantised.graph;
        let total = samples.inputs.len();
        let mut observed = vec![Observed::default(); net.outputs.len()];
        let mut outputs = vec![Differ::default(); net.outputs.len()];
        let mut layers = vec![Differ::default(); quantised.layers.len()];
        // Which layers a graph node's value stands for.
        let mut stands = vec![vec![]; graph.nodes.len()];
        for (i, layer) in quantised.layers.iter().enumerate() {
            if let Some(node) = (layer.value as usize).checked_sub(graph.inputs.len()) {
                stands[node].push(i);
            }
        }
        for (i, (sample, answer)) in samples.inputs.iter().zip(float).enumerate() {
            self.tell(Stage::Verify, i, total);
            let values = if i < LAYER_SAMPLES {
                eval::run(net, sample)
            } else {
                vec![]
            };
            let integers: Vec<Vec<i32>> = sample
                .iter()
                .zip(&graph.inputs)
                .map(|(x, input)| {
                    let clamp = |v: &f64| quantise(*v, input.fraction_bits).clamp(input.low, input.high);
                    x.iter().map(clamp).collect()
                })
                .collect();
            let slices: Vec<&[i32]> = integers.iter().map(Vec::as_slice).collect();
            let mut observe = |node: usize, value: &[i32]| {
                for &l in &stands[node] {
                    let layer = &quantised.layers[l];
                    layers[l].add(eval::of(net, &values, layer.node), value, layer.fraction_bits);
                }
            };
            let results = if i < LAYER_SAMPLES {
                program.run_traced(&slices, &kernels, &mut observe)
            } else {
                program.run(&slices, &kernels)
            };
            let results = results.map_err(|e| engine(e.to_string()))?;
            for (o, (result, answer)) in results.into_iter().zip(answer).enumerate() {
                let bits = graph.outputs[o].fraction_bits;
                outputs[o].add(&answer, &result, bits);
                let unit = pow2(-bits);
                observed[o]
                    .integer
                    .push(result.into_iter().map(|q| f64::from(q) * unit).collect());
                observed[o].float.push(answer);
            }
        }
        self.tell(Stage::Verify, total, total);

        let roles: Vec<judge::Role> = (0..outputs.len()).map(|o| judge::role(net, o, &observed[o])).collect();
        let outputs: Vec<OutputReport> = program
            .outputs()
            .iter()
            .enumerate()
            .map(|(o, info)| OutputReport {
                name: info.name.clone(),
                shape: info.shape.clone(),
                fraction_bits: info.fraction_bits,
                difference: outputs[o].finish(),
                agreement: judge::agreement(&roles[o], &observed[o]),
            })
            .collect();
        let metrics = samples
            .labels
            .as_ref()
            .and_then(|labels| judge::metrics(&roles, &observed, labels));
        let drop = judge::drop(metrics.as_ref(), &outputs);
        let layer = |(i, layer): (usize, &crate::quantise::Layer)| {
            let node = (layer.value as usize).checked_sub(graph.inputs.len())?;
            Some(LayerReport {
                name: net.nodes[layer.node].name.clone(),
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
            metrics,
            drop,
            provable: None,
            layers: quantised.layers.iter().enumerate().filter_map(layer).collect(),
        })
    }
}

fn weight_bits(op: &Op) -> Option<u32> {
    match op {
        Op::MatMul { weights, .. } | Op::Conv2d { weights, .. } => Some(match weights {
            Array::I8(_) => 8,
            _ => 16,
        }),
        _ => None,
    }
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

/// The limits of the extension, in the engine's terms.
fn engine_limits() -> Limits {
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
