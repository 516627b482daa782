//! `aiinference convert`

use std::{fs, path::PathBuf, str::FromStr};

use aiinference_convert::{ConvertError, Converter, Options, OutOfRange, Progress as At, Report, Stage, Weights};
use aiinference_engine::format;
use aiinference_runtime::module;
use aiinference_zk::{CircuitFolder, Hidden};
use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{data, progress::Progress};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  aiinference convert model.onnx --calibration data.npz -o model.wasm
  aiinference convert credit.onnx --calibration train.csv --labels default --max-drop 0.005 \\
      --report report.json -o credit.wasm
  aiinference convert model.onnx --calibration data.npz --labels label --max-error 0.001 --correct-bias \\
      --layers --plot layers.svg -o model.wasm

DATA holds one array per input, named as the model's inputs; the first axis counts samples. For tabular models
a CSV with a header row does: all columns but the labels', in order, are the model's single input.
Calibrate on data as the model will meet it: ranges and precision follow from it. The same ONNX file and data
give the same bytes on every machine.")]
pub struct Args {
    /// The ONNX model
    model: PathBuf,
    /// Data to calibrate on: .npz, or .csv for tabular models
    #[arg(long, value_name = "DATA.npz")]
    calibration: PathBuf,
    /// The array or column of DATA that holds the true labels; the report then tells AUC and accuracy
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    /// Fail with exit code 3 if the metric drops by more than this (without labels: the share of samples that
    /// change their class, or the relative error)
    #[arg(long, value_name = "X", value_parser = drop)]
    max_drop: Option<f64>,
    /// Write the accuracy report as JSON
    #[arg(long, value_name = "R.json")]
    report: Option<PathBuf>,
    /// Width of the weights
    #[arg(long, value_enum, default_value_t)]
    weights: Width,
    /// What becomes of input values out of the calibrated range
    #[arg(long, value_enum, default_value_t)]
    out_of_range: Range,
    /// Keep to what a zero-knowledge proof shows to the last bit: requantise by plain shifts, refuse what cannot be
    /// proven; the report tells the cost in accuracy
    #[arg(long)]
    provable: bool,
    /// The most accurate mix of widths of which a run costs no more than this (CosmWasm gas, without loading)
    #[arg(long, value_name = "N", conflicts_with = "provable")]
    max_gas: Option<u64>,
    /// The cheapest mix of widths that is worse by no more than this, in the measure of --max-drop
    #[arg(long, value_name = "X", value_parser = drop, conflicts_with = "provable")]
    max_error: Option<f64>,
    /// Correct every bias by what rounding shifts its channel by on average
    #[arg(long)]
    correct_bias: bool,
    /// With --provable: look for shifts that lose less than the obvious ones
    #[arg(long, requires = "provable")]
    tune_shifts: bool,
    /// Print layer by layer where the error arises, and what it costs
    #[arg(long)]
    layers: bool,
    /// Draw the layers' errors and gas
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Ranges of inner values hold this share of what calibration sees, in percent; the rarest elements beyond saturate,
    /// all others get finer
    #[arg(long, value_name = "P", value_parser = percentile)]
    percentile: Option<f64>,
    /// End the model at this value of the ONNX file instead of at its outputs, say before a sigmoid (repeatable)
    #[arg(long, value_name = "VALUE")]
    end_at: Vec<String>,
    /// Give an input its value once and for all, say one that decides shapes; it is no input of the converted model.
    /// No value after the = means an optional that is not given, or a sequence without elements (repeatable)
    #[arg(long, value_name = "INPUT=X,Y,..", value_parser = fixed)]
    fix: Vec<(String, Vec<f64>)>,
    /// The extent of an axis that the ONNX file leaves open, by the name it has there (repeatable); the batch axis is 1
    #[arg(long, value_name = "NAME=N", value_parser = extent)]
    dim: Vec<(String, usize)>,
    /// The shape of an input that the ONNX file leaves open, or of INPUT.0, INPUT.1, .. where it is a sequence; none
    /// after the = is that of a single number (repeatable)
    #[arg(long, value_name = "INPUT=N,M,..", value_parser = shape)]
    shape: Vec<(String, Vec<usize>)>,
    /// Where the module goes
    #[arg(short, long, value_name = "MODEL.wasm")]
    output: PathBuf,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Width {
    /// Layer by layer: 8 bits where that adds little error, else up to 16; 11 for provable models
    #[default]
    Auto,
    I8,
    I16,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Range {
    /// Take the nearest value in range, and say so in the result
    #[default]
    Saturate,
    /// Refuse the call
    Refuse,
}

fn drop(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(drop) if drop.is_finite() && drop >= 0.0 => Ok(drop),
        _ => Err("it must be a number of at least 0".into()),
    }
}

fn percentile(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("it must be a number above 0 and at most 100".into()),
    }
}

/// `NAME=LIST`, the numbers of the list parted by commas; nothing after the sign is a list of none.
fn named<T: FromStr>(text: &str, what: &str) -> Result<(String, Vec<T>), String> {
    let (name, list) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    let parse = |item: &str| item.trim().parse().map_err(|_| format!("{item:?} is no {what}"));
    let items = list.split(',').filter(|_| !list.is_empty());
    Ok((name.into(), items.map(parse).collect::<Result<_, _>>()?))
}

fn fixed(text: &str) -> Result<(String, Vec<f64>), String> {
    named(text, "number")
}

fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    named(text, "extent")
}

fn extent(text: &str) -> Result<(String, usize), String> {
    match named(text, "extent")? {
        (name, list) if list.len() == 1 => Ok((name, list[0])),
        _ => Err("an axis has one extent".into()),
    }
}

pub fn convert(args: &Args) -> Result<()> {
    let onnx = fs::read(&args.model).with_context(|| format!("reading {}", args.model.display()))?;
    let data = data::read(&args.calibration)?;
    let options = Options {
        weights: match args.weights {
            Width::Auto => Weights::Auto,
            Width::I8 => Weights::I8,
            Width::I16 => Weights::I16,
        },
        out_of_range: match args.out_of_range {
            Range::Saturate => OutOfRange::Saturate,
            Range::Refuse => OutOfRange::Refuse,
        },
        max_drop: args.max_drop,
        provable: args.provable,
        percentile: args.percentile,
        max_gas: args.max_gas,
        max_error: args.max_error,
        correct_bias: args.correct_bias,
        tune_shifts: args.tune_shifts,
        layers: args.layers || args.plot.is_some(),
    };
    let mut bar = Progress::new();
    let mut progress = |at: At| {
        let stage = match at.stage {
            Stage::Import => "reading the model",
            Stage::Calibrate => "running the float model",
            Stage::Quantise => "choosing integers",
            Stage::Search => "trying widths and shifts",
            Stage::Verify => "comparing both models",
        };
        bar.at(stage, at.done as u64, at.total as u64);
    };
    let mut converter = Converter::new(&onnx, &data)
        .end_at(&args.end_at)
        .options(options)
        .progress(&mut progress);
    if let Some(labels) = &args.labels {
        converter = converter.labels(labels);
    }
    for (input, values) in &args.fix {
        converter = converter.fix(input, values.clone());
    }
    for (name, extent) in &args.dim {
        converter = converter.dim(name, *extent);
    }
    for (input, extents) in &args.shape {
        converter = converter.shape(input, extents.clone());
    }
    let result = converter.convert();
    bar.finish();
    let conversion = match result {
        Ok(conversion) => conversion,
        Err(error) => {
            // A model that is not good enough is reported all the same, to see why.
            if let ConvertError::Accuracy { report, .. } = &error {
                show(args, report)?;
                return Err(anyhow::Error::new(error));
            }
            return Err(anyhow::Error::new(error).context(format!("converting {}", args.model.display())));
        }
    };
    show(args, &conversion.report)?;
    let encoded = format::encode(&conversion.graph);
    let wasm = module::wrap(&encoded.graph, &encoded.weights);
    if args.provable {
        // The certificate: refused here rather than when somebody sets up a circuit.
        let exact = CircuitFolder::restate(&wasm, Hidden::Nothing)
            .with_context(|| format!("converting {}", args.model.display()))?;
        println!(
            "  provable: no number goes beyond 2^{}, which {} digits of {} bits hold, for all inputs in range",
            u128::BITS - exact.magnitude().leading_zeros(),
            exact.legs,
            exact.base_bits
        );
    }
    data::write(&args.output, &wasm)?;
    eprintln!("wrote {}: {} bytes", args.output.display(), wasm.len());
    Ok(())
}

/// Tells of the accuracy wherever it was asked for.
fn show(args: &Args, report: &Report) -> Result<()> {
    print(report);
    if args.layers {
        print_layers(report);
    }
    if let Some(path) = &args.plot {
        data::write(path, report.to_svg().as_bytes())?;
    }
    match &args.report {
        Some(path) => data::write(path, report.to_json().as_bytes()),
        None => Ok(()),
    }
}

/// Where the error arises: relative errors over the first samples.
fn print_layers(report: &Report) {
    println!(
        "  {:<28} {:<12} {:>7} {:>6} {:>22} {:>9} {:>9} {:>14}",
        "layer", "operation", "weights", "value", "range", "alone", "so far", "gas"
    );
    for layer in &report.layers {
        // Names are the file's: nothing of them may steer a terminal.
        let name: String = layer.name.escape_debug().take(28).collect();
        println!(
            "  {name:<28} {:<12} {:>7} {:>6} {:>22} {:>9} {:>9.2e} {:>14}",
            layer.op,
            layer.weight_bits.map_or("-".into(), |bits| format!("{bits} bit")),
            format!("{} bit", layer.value_bits),
            format!("{:.4} .. {:.4}", layer.low, layer.high),
            layer.alone.map_or("-".into(), |d| format!("{:.2e}", d.relative())),
            layer.difference.relative(),
            layer.gas
        );
    }
}

/// The report for people.
fn print(report: &Report) {
    println!(
        "compared on {} samples: integer model against float model",
        report.samples
    );
    for output in &report.outputs {
        let agreement = output
            .agreement
            .map_or(String::new(), |share| format!(", same class on {:.2} %", share * 100.0));
        println!(
            "  output {:<16} max error {:.3e}, mean {:.3e}, cosine {:.6}{agreement}",
            output.name, output.difference.max_abs_error, output.difference.mean_abs_error, output.difference.cosine
        );
    }
    for output in &report.empty_outputs {
        println!(
            "  output {:<16} has no elements (shape {:?}): left out",
            output.name.escape_debug().to_string(),
            output.shape
        );
    }
    if let Some(metrics) = &report.metrics {
        for (name, float, integer) in [
            ("AUC", metrics.float.auc, metrics.integer.auc),
            ("accuracy", metrics.float.accuracy, metrics.integer.accuracy),
            ("R2", metrics.float.r2, metrics.integer.r2),
        ] {
            if let (Some(float), Some(integer)) = (float, integer) {
                println!("  {name:<23} float {float:.4}, integer {integer:.4}");
            }
        }
    }
    println!("  {} is worse by {:.6}", report.drop.metric, report.drop.value);
    if let Some(provable) = &report.provable {
        println!(
            "  of that, being provable costs {:.6}: the ordinary conversion is worse by {:.6}",
            provable.cost, provable.ordinary.value
        );
        for (output, before) in report.outputs.iter().zip(provable.untuned_rmse.iter().flatten()) {
            println!(
                "  output {:<16} RMSE {:.3e}, {before:.3e} before its shifts were tuned",
                output.name, output.difference.rmse
            );
        }
    }
    println!(
        "  {} parameters, {} gas a run, {} bytes of memory",
        report.parameters, report.gas, report.peak_bytes
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_may_hold_nothing_and_extents_may_not() {
        assert_eq!(fixed("o="), Ok(("o".into(), vec![])));
        assert_eq!(fixed("o=1.5,-2"), Ok(("o".into(), vec![1.5, -2.0])));
        assert_eq!(shape("s.0="), Ok(("s.0".into(), vec![])));
        assert!(fixed("o").is_err());
        assert!(fixed("o=1,").is_err());
        assert!(extent("N=").is_err());
    }
}
