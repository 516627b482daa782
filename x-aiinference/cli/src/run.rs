//! `aiinference run`

use std::path::{Path, PathBuf};

use aiinference_convert::{dyadic, Dataset, NamedArray};
use aiinference_engine::{graph::Input, Kernels, Program};
use aiinference_runtime::LoadedModel;
use aiinference_types::{quantize, tensor::same_shape};
use anyhow::{anyhow, bail, Context, Result};
use serde_json::json;

use crate::{
    data::{self, Elements},
    model,
    progress::Progress,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference run model.wasm --input test.npz --output result.npz
  aiinference run model.wasm --input test.npz --output result.npz --raw --kernels scalar
  aiinference run model.wasm --input applicants.csv --output scores.npz --json

IN holds one array per input, named as the model's inputs (a single input takes all columns of a CSV, in
their order). An array with a batch axis in front, or with one where
the model's first axis has extent 1, is run sample by sample, and the outputs get that axis too.

Reals become integers as on chain: floor(x * 2^k + 1/2). OUT holds the outputs under their names: as
64-bit floats, or as 64-bit integers where the output counts whole numbers (labels, say); with --raw as the
engine's own 32-bit integers, q standing for q * 2^-k (`inspect` tells k).")]
pub struct Args {
    /// A model's module, as `convert` writes it
    model: PathBuf,
    /// Values for the inputs: .npz, or .csv for tabular models
    #[arg(long, value_name = "IN.npz")]
    input: PathBuf,
    /// Where the outputs go
    #[arg(long, value_name = "OUT.npz")]
    output: PathBuf,
    /// A column of IN that is no input: the true labels, as for `convert`
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    /// Write the engine's integers instead of real values
    #[arg(long)]
    raw: bool,
    /// Which kernels run: auto, scalar, or a name of this CPU's. All give the same bits
    #[arg(long, default_value = "auto", value_parser = kernels)]
    kernels: Kernels,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

/// Kernels of a name, for the command line.
pub fn kernels(name: &str) -> Result<Kernels, String> {
    Kernels::by_name(name).ok_or_else(|| {
        let sets: Vec<&str> = Kernels::available().iter().map(Kernels::name).collect();
        format!(
            "this CPU has no kernels of that name; take auto, or one of {}",
            sets.join(", ")
        )
    })
}

/// Values for one input: one sample, or as many as the batch has.
struct Feed<'a> {
    input: &'a Input,
    array: &'a NamedArray,
    batch: Option<Batch>,
}

/// A batch axis that the model lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Batch {
    samples: usize,
    /// Whether it stands where the model has an axis of extent 1, instead of in front of the model's axes.
    replaces: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let model = model::load(&args.model)?;
    let data = &read(&args.input, args.labels.as_deref(), model.program.inputs())?;
    let feeds: Vec<Feed> = model
        .program
        .inputs()
        .iter()
        .map(|input| feed(input, data))
        .collect::<Result<_>>()?;
    let batch = common_batch(&feeds)?;
    let samples = batch.map_or(1, |batch| batch.samples);

    let mut results: Vec<Vec<i32>> = model.program.outputs().iter().map(|_| Vec::new()).collect();
    let mut saturated = 0u64;
    let mut progress = Progress::new();
    for sample in 0..samples {
        progress.at("running", sample as u64, samples as u64);
        let mut over = false;
        let values: Vec<Vec<i32>> = feeds
            .iter()
            .map(|feed| {
                let (integers, clamped) = feed.sample(sample)?;
                over |= clamped;
                Ok(integers)
            })
            .collect::<Result<_>>()?;
        let values: Vec<&[i32]> = values.iter().map(Vec::as_slice).collect();
        let outputs = model
            .program
            .run(&values, &args.kernels)
            .map_err(|e| anyhow!("running sample {sample}: {e}"))?;
        for (all, one) in results.iter_mut().zip(outputs) {
            all.extend(one);
        }
        saturated += u64::from(over);
    }
    progress.finish();

    let arrays: Vec<_> = model
        .program
        .outputs()
        .iter()
        .zip(results)
        .map(|(port, integers)| {
            let mut shape: Vec<u64> = port.shape.iter().map(|&extent| extent.into()).collect();
            match batch {
                Some(Batch {
                    samples,
                    replaces: true,
                }) if shape.first() == Some(&1) => shape[0] = samples as u64,
                Some(Batch { samples, .. }) => shape.insert(0, samples as u64),
                None => {}
            }
            (
                port.name.clone(),
                shape,
                elements(integers, port.fraction_bits, args.raw),
            )
        })
        .collect();
    data::write_npz(&args.output, &arrays)?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&summary(args, &model, samples, saturated, &arrays))?
        );
    } else {
        eprintln!(
            "ran {samples} sample{} on {} kernels, {} gas each; wrote {}",
            if samples == 1 { "" } else { "s" },
            args.kernels.name(),
            model.program.run_gas(),
            args.output.display()
        );
        if saturated > 0 {
            eprintln!("note: {saturated} of {samples} samples had values out of range, which were saturated; `aiinference inspect` tells the ranges");
        }
    }
    Ok(())
}

/// The data of a file, as the inputs take it.
fn read(path: &Path, labels: Option<&str>, inputs: &[Input]) -> Result<Dataset> {
    let data = data::read(path)?;
    if let Some(labels) = labels.filter(|labels| data.get(labels).is_none()) {
        bail!(
            "reading {}: nothing in it is called {labels:?}; it has {}",
            path.display(),
            data.names()
        );
    }
    if data.tabular {
        return as_table(data, labels, inputs);
    }
    Ok(data)
}

/// The integers of one sample of a file; which one must be said where it holds several.
pub fn one_sample(inputs: &[Input], path: &Path, labels: Option<&str>, sample: Option<usize>) -> Result<Vec<Vec<i32>>> {
    let data = read(path, labels, inputs)?;
    let feeds: Vec<Feed> = inputs.iter().map(|input| feed(input, &data)).collect::<Result<_>>()?;
    let samples = common_batch(&feeds)?.map_or(1, |batch| batch.samples);
    let sample = match sample {
        Some(sample) if sample < samples => sample,
        Some(sample) => bail!(
            "reading {}: it holds {samples} samples, there is none of number {sample}",
            path.display()
        ),
        None if samples == 1 => 0,
        None => bail!(
            "reading {}: it holds {samples} samples; say which by --sample",
            path.display()
        ),
    };
    let mut saturated = false;
    let values = feeds
        .iter()
        .map(|feed| {
            let (integers, clamped) = feed.sample(sample)?;
            saturated |= clamped;
            Ok(integers)
        })
        .collect::<Result<_>>()?;
    if saturated {
        eprintln!("note: values out of range were saturated; `aiinference inspect` tells the ranges");
    }
    Ok(values)
}

/// Writes the outputs of one run.
pub fn write_outputs(path: &Path, program: &Program, outputs: Vec<Vec<i32>>, raw: bool) -> Result<()> {
    let arrays: Vec<_> = program
        .outputs()
        .iter()
        .zip(outputs)
        .map(|(port, integers)| {
            let shape = port.shape.iter().map(|&extent| extent.into()).collect();
            (port.name.clone(), shape, elements(integers, port.fraction_bits, raw))
        })
        .collect();
    data::write_npz(path, &arrays)
}

fn summary(
    args: &Args,
    model: &LoadedModel,
    samples: usize,
    saturated: u64,
    arrays: &[(String, Vec<u64>, Elements)],
) -> serde_json::Value {
    let outputs = model.program.outputs().iter().zip(arrays).map(|(port, (name, shape, _))| {
        json!({ "name": name, "shape": shape, "fraction_bits": port.fraction_bits, "labels": port.labels })
    });
    json!({
        "checksum": hex::encode(model.checksum),
        "kernels": args.kernels.name(),
        "samples": samples,
        "saturated_samples": saturated,
        "gas_per_sample": model.program.run_gas(),
        "raw": args.raw,
        "outputs": outputs.collect::<Vec<_>>(),
    })
}

fn elements(integers: Vec<i32>, fraction_bits: i32, raw: bool) -> Elements {
    if raw {
        Elements::Int32(integers)
    } else if fraction_bits == 0 {
        Elements::Int64(integers.into_iter().map(i64::from).collect())
    } else {
        // Exact: 31 bits and a power of two.
        let unit = (-f64::from(fraction_bits)).exp2();
        Elements::Float64(integers.into_iter().map(|q| f64::from(q) * unit).collect())
    }
}

/// Columns of a table become the model's single input, or one input each.
fn as_table(mut data: Dataset, labels: Option<&str>, inputs: &[Input]) -> Result<Dataset> {
    data.arrays.retain(|column| Some(column.name.as_str()) != labels);
    if inputs.iter().all(|input| data.get(&input.name).is_some()) {
        return Ok(data);
    }
    let [input] = inputs else {
        bail!(
            "matching the table with the model: it needs columns {}; the table has {}",
            model::names(inputs.iter().map(|i| i.name.as_str())),
            data.names()
        );
    };
    let width: usize = input.shape.iter().map(|&extent| extent as usize).product();
    let columns = &data.arrays;
    if columns.len() != width {
        bail!(
            "matching the table with the model: input {:?} takes {width} columns, the table has {} ({}); name a column of labels by --labels",
            input.name,
            columns.len(),
            data.names()
        );
    }
    let rows = columns.first().map_or(0, |column| column.values.len());
    let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column.values[row]));
    let mut shape = vec![rows];
    let extents = input.shape.iter().map(|&extent| extent as usize);
    shape.extend(extents.skip(usize::from(input.shape.len() > 1 && input.shape[0] == 1)));
    let array = NamedArray {
        name: input.name.clone(),
        shape,
        values: values.collect(),
    };
    Ok(Dataset {
        arrays: vec![array],
        tabular: false,
    })
}

fn feed<'a>(input: &'a Input, data: &'a Dataset) -> Result<Feed<'a>> {
    let array = data.get(&input.name).with_context(|| {
        format!(
            "matching the data with the model: input {:?} has no array; the file has {}",
            input.name,
            data.names()
        )
    })?;
    let shape: Vec<u32> = array
        .shape
        .iter()
        .map(|&extent| u32::try_from(extent).unwrap_or(u32::MAX))
        .collect();
    let batch = if same_shape(&shape, &input.shape) {
        None
    } else {
        match shape.split_first() {
            Some((_, rest)) if same_shape(rest, &input.shape) => {
                let replaces = rest.len() < input.shape.len();
                Some(Batch { samples: array.shape[0], replaces })
            }
            _ => bail!(
                "matching the data with the model: array {:?} has shape {shape:?}, the model takes {:?}, or that with a batch axis",
                input.name,
                input.shape
            ),
        }
    };
    Ok(Feed { input, array, batch })
}

/// The batch that all batched inputs share. Inputs without one are the same for every sample.
fn common_batch(feeds: &[Feed]) -> Result<Option<Batch>> {
    let mut found: Option<(Batch, &str)> = None;
    for feed in feeds {
        let Some(batch) = feed.batch else { continue };
        match found {
            Some((first, name)) if first.samples != batch.samples => bail!(
                "matching the data with the model: array {name:?} has {} samples, {:?} has {}",
                first.samples,
                feed.input.name,
                batch.samples
            ),
            Some((first, name)) => {
                found = Some((
                    Batch {
                        replaces: first.replaces && batch.replaces,
                        ..first
                    },
                    name,
                ));
            }
            None => found = Some((batch, &feed.input.name)),
        }
    }
    Ok(found.map(|(batch, _)| batch))
}

impl Feed<'_> {
    /// The integers of one sample, and whether any was saturated.
    fn sample(&self, sample: usize) -> Result<(Vec<i32>, bool)> {
        let input = self.input;
        let count: usize = input.shape.iter().map(|&extent| extent as usize).product();
        let start = if self.batch.is_some() { sample * count } else { 0 };
        let mut saturated = false;
        let integers = self.array.values[start..start + count]
            .iter()
            .enumerate()
            .map(|(index, &x)| {
                let place = || format!("sample {sample}, element {index} of input {:?}", input.name);
                if !x.is_finite() {
                    bail!("converting {}: {x} is no finite number", place());
                }
                let (mantissa, exponent) = dyadic(x);
                let q = quantize::from_dyadic(mantissa.into(), exponent, input.fraction_bits);
                let clamped = q.clamp(input.low.into(), input.high.into());
                if clamped != q {
                    if !input.saturate {
                        let unit = (-f64::from(input.fraction_bits)).exp2();
                        bail!(
                            "converting {}: {x} is out of the model's range {} to {}",
                            place(),
                            f64::from(input.low) * unit,
                            f64::from(input.high) * unit
                        );
                    }
                    saturated = true;
                }
                // Clamped between two i32.
                Ok(clamped as i32)
            });
        Ok((integers.collect::<Result<_>>()?, saturated))
    }
}
