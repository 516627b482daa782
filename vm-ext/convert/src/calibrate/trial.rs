//! A try: the integer model on calibration samples.

use aiinference_engine::graph::Input;
use aiinference_engine::Kernels;

use super::{engine, program};
use crate::error::Result;
use crate::eval;
use crate::judge::{judge, Observed};
use crate::net::{Id, Kind, Net};
use crate::quantise::Quantised;
use crate::report::Differ;
use crate::samples::{integers, Samples};

/// Gas that all tries of one search may take together: a quarter of a minute of the reference machine.
const SEARCH_GAS: u64 = 15_000_000_000_000;
/// Fewer samples say too little.
const LEAST_SAMPLES: usize = 16;
/// Elements of the float model's answers that are kept.
const KEPT_ELEMENTS: usize = 1 << 23;

/// What a try showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Gas of a run.
    pub gas: u64,
    /// Squared error of the outputs relative to their squares, the mean of all outputs. A class index counts by the
    /// scores that it is chosen by: they tell more than whether it changed.
    pub error: f64,
    /// By how much the model is worse, as the report puts it.
    pub drop: f64,
}

/// A sample in integers, per input.
type Integers = Vec<Vec<i32>>;

/// Samples with what the float model answers.
pub struct Bench<'a> {
    net: &'a Net,
    samples: Vec<&'a [Vec<f64>]>,
    labels: Option<Vec<f64>>,
    /// Per sample, per output.
    answers: Vec<Vec<Vec<f64>>>,
    /// Per output, the value before it that tells more.
    probes: Vec<Option<Id>>,
    /// Per sample, per output: that value.
    probed: Vec<Vec<Vec<f64>>>,
    /// The samples as integers of these inputs.
    integers: Option<(Vec<Input>, Vec<Integers>)>,
    kernels: Kernels,
}

impl<'a> Bench<'a> {
    /// As many samples as `runs` tries of a model of so much gas may take.
    pub fn new(net: &'a Net, samples: &'a Samples, runs: usize, gas: u64) -> Bench<'a> {
        let sizes = net.outputs.iter().map(|o| size(net, o.value)).sum::<usize>();
        let most = SEARCH_GAS / gas.max(1) / runs.max(1) as u64;
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(KEPT_ELEMENTS / sizes.max(1));
        let places = samples.spread(most.max(LEAST_SAMPLES));
        let probes: Vec<Option<Id>> = net.outputs.iter().map(|o| scores(net, o.value)).collect();
        let mut bench = Bench {
            net,
            samples: places.iter().map(|i| &samples.inputs[*i][..]).collect(),
            labels: samples.labels.as_ref().map(|l| places.iter().map(|i| l[*i]).collect()),
            answers: vec![],
            probes,
            probed: vec![],
            integers: None,
            kernels: Kernels::auto(),
        };
        for sample in &bench.samples {
            let values = eval::run(net, sample);
            let of = |id: Id| eval::of(net, &values, id).to_vec();
            bench.answers.push(net.outputs.iter().map(|o| of(o.value)).collect());
            bench
                .probed
                .push(bench.probes.iter().map(|p| p.map(of).unwrap_or_default()).collect());
        }
        bench
    }

    /// The float model's samples.
    pub fn samples(&self) -> &[&'a [Vec<f64>]] {
        &self.samples
    }

    /// Tries a model.
    pub fn run(&mut self, quantised: &Quantised) -> Result<Trial> {
        self.watch(quantised, &mut |_, _| {})
    }

    /// Tries a model and shows the value of each of its layers, by its place in `layers`.
    pub fn watch(&mut self, quantised: &Quantised, show: &mut dyn FnMut(usize, &[i32])) -> Result<Trial> {
        let program = program(quantised)?;
        let graph = &quantised.graph;
        if self.integers.as_ref().is_none_or(|(inputs, _)| *inputs != graph.inputs) {
            let samples = self.samples.iter().map(|s| integers(s, &graph.inputs)).collect();
            self.integers = Some((graph.inputs.clone(), samples));
        }
        let samples = self.integers.as_ref().map_or(&[][..], |(_, samples)| samples);
        let stands = quantised.stands();
        // Which probe a layer answers; the last layer of a node is the one that others read.
        let mut answering = vec![None; quantised.layers.len()];
        for (o, probe) in self.probes.iter().enumerate() {
            if let Some(l) = probe.and_then(|p| quantised.layers.iter().rposition(|l| l.node == p)) {
                answering[l] = Some(o);
            }
        }
        let mut observed = vec![Observed::default(); self.net.outputs.len()];
        let mut scores = vec![None; self.net.outputs.len()];
        for (i, sample) in samples.iter().enumerate() {
            let slices: Vec<&[i32]> = sample.iter().map(Vec::as_slice).collect();
            let probed = &self.probed[i];
            let results = program.run_traced(&slices, &self.kernels, &mut |node, value| {
                for &l in &stands[node] {
                    show(l, value);
                    if let Some(o) = answering[l] {
                        let differ = scores[o].get_or_insert_with(Differ::default);
                        differ.add(&probed[o], value, quantised.layers[l].fraction_bits);
                    }
                }
            });
            let results = results.map_err(|e| engine(e.to_string()))?;
            for (o, (result, answer)) in results.iter().zip(&self.answers[i]).enumerate() {
                observed[o].add(answer.clone(), result, graph.outputs[o].fraction_bits);
            }
        }
        let judged = judge(self.net, program.outputs(), &observed, self.labels.as_deref());
        let errors = observed
            .iter()
            .zip(&scores)
            .map(|(o, s)| relative(s.as_ref().unwrap_or(&o.differ)));
        let error = errors.sum::<f64>() / observed.len().max(1) as f64;
        Ok(Trial {
            gas: program.run_gas(),
            // What is no number is no small error.
            error: if error.is_nan() { f64::INFINITY } else { error },
            drop: judged.drop.value,
        })
    }
}

fn size(net: &Net, id: Id) -> usize {
    let own = |id: Id| net.shape(id).iter().product::<usize>();
    own(id) + scores(net, id).map_or(0, own)
}

/// What a class index is chosen by.
fn scores(net: &Net, mut id: Id) -> Option<Id> {
    loop {
        match net.nodes[id].kind {
            Kind::Reshape { x } => id = x,
            Kind::ArgMax { x } => return Some(x),
            _ => return None,
        }
    }
}

/// Squared error relative to the squares; absolute where those are 0.
fn relative(differ: &Differ) -> f64 {
    let error = differ.finish().relative();
    error * error
}
