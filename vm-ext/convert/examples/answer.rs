//! Converts a model and answers with the integers: `answer MODEL.onnx CALIBRATION.npz TEST.npz FOLDER [OPTION VALUE]..`.
//!
//! CALIBRATION and TEST hold one array per input, samples along the first axis. FOLDER gets the integer model, the inputs of
//! the first sample, `report.json` and, for every output, a file `N.f64` with its elements for all samples of TEST as
//! doubles. `answer time FOLDER` then tells the least nanoseconds of many runs on those inputs. Options: `--fix NAME` (the input's value
//! is that of TEST's first sample), `--shape NAME=A,B,..`, `--end-at NAME`, `--weights i8` or `i16`.

#[path = "../../engine/benches/common/mod.rs"]
mod common;

use std::error::Error;
use std::path::Path;

use aiinference_convert::{as_integers, engine_limits, Converter, Dataset, Options, Report, Weights};
use aiinference_engine::graph::Graph;
use aiinference_engine::{format, Kernels, Program, Workspace};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, folder] = arguments.as_slice() {
        if word == "time" {
            println!("{}", time(Path::new(folder))?);
            return Ok(());
        }
    }
    let [model, calibration, test, folder, options @ ..] = arguments.as_slice() else {
        return Err("give MODEL.onnx, CALIBRATION.npz, TEST.npz and a folder for the answers".into());
    };
    let onnx = std::fs::read(model)?;
    let calibration = Dataset::from_npz(&std::fs::read(calibration)?)?;
    let test = Dataset::from_npz(&std::fs::read(test)?)?;
    let mut converter = Converter::new(&onnx, &calibration);
    for option in options.chunks(2) {
        converter = match option {
            [word, name] if word == "--fix" => {
                let array = test
                    .get(name)
                    .ok_or_else(|| format!("the data hold no array {name:?}"))?;
                let samples = array.shape.first().copied().unwrap_or(1).max(1);
                converter.fix(name, array.values[..array.values.len() / samples].to_vec())
            }
            [word, value] if word == "--shape" => {
                let (name, extents) = value.split_once('=').ok_or("write --shape NAME=A,B,..")?;
                let extents = extents.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
                converter.shape(name, extents)
            }
            [word, name] if word == "--end-at" => converter.end_at([name]),
            [word, width] if word == "--weights" => converter.options(Options {
                weights: if width == "i8" { Weights::I8 } else { Weights::I16 },
                ..Options::default()
            }),
            other => return Err(format!("{other:?} is no option").into()),
        };
    }
    let conversion = converter.convert()?;
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), conversion.report.to_json())?;
    let file = format::encode(&conversion.graph);
    std::fs::write(folder.join("model.graph"), file.graph)?;
    std::fs::write(folder.join("model.weights"), file.weights)?;
    let inputs = integers(&conversion.graph, &test)?;
    let first = inputs.iter().flat_map(|(values, size)| &values[..*size]);
    let bytes: Vec<u8> = first.flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(folder.join("inputs.i32"), bytes)?;
    let answers = answers(&conversion.graph, &inputs)?;
    for (i, values) in answers.iter().enumerate() {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{i}.f64")), bytes)?;
    }
    print(&conversion.report);
    Ok(())
}

/// Per input the integers of all samples, and how many belong to one.
type Inputs = Vec<(Vec<i32>, usize)>;

fn integers(graph: &Graph, test: &Dataset) -> Result<Inputs, Box<dyn Error>> {
    let mut count = None;
    let mut inputs = Vec::new();
    for input in &graph.inputs {
        let array = test
            .get(&input.name)
            .ok_or_else(|| format!("the test data hold no array {:?}", input.name))?;
        let size = input.shape.iter().map(|e| *e as usize).product::<usize>().max(1);
        let samples = array.values.len() / size;
        if *count.get_or_insert(samples) != samples || samples == 0 {
            return Err(format!("{:?} holds {samples} samples, another array not", input.name).into());
        }
        inputs.push((as_integers(&array.values, input), size));
    }
    Ok(inputs)
}

/// Every output for all samples.
fn answers(graph: &Graph, inputs: &Inputs) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let program = Program::new(graph.clone(), &engine_limits()).map_err(|e| e.to_string())?;
    let kernels = Kernels::auto();
    let count = inputs.first().map_or(1, |(values, size)| values.len() / size);
    let mut answers = vec![vec![]; graph.outputs.len()];
    for i in 0..count {
        let slices: Vec<&[i32]> = inputs.iter().map(|(v, size)| &v[i * size..(i + 1) * size]).collect();
        let results = program.run(&slices, &kernels).map_err(|e| e.to_string())?;
        for ((all, values), output) in answers.iter_mut().zip(results).zip(&graph.outputs) {
            let unit = (-f64::from(output.fraction_bits)).exp2();
            all.extend(values.into_iter().map(|v| f64::from(v) * unit));
        }
    }
    Ok(answers)
}

/// The least nanoseconds of many runs of the model in a folder.
fn time(folder: &Path) -> Result<f64, Box<dyn Error>> {
    let read = |name: &str| std::fs::read(folder.join(name));
    let program =
        Program::load(&read("model.graph")?, &read("model.weights")?, &engine_limits()).map_err(|e| e.to_string())?;
    let bytes = read("inputs.i32")?;
    let (words, _) = bytes.as_chunks::<4>();
    let integers: Vec<i32> = words.iter().map(|word| i32::from_le_bytes(*word)).collect();
    let mut rest = integers.as_slice();
    let mut inputs = Vec::new();
    for input in program.inputs() {
        let size = input.shape.iter().product::<u32>() as usize;
        let (values, others) = rest.split_at_checked(size).ok_or("the inputs are of another model")?;
        inputs.push(values);
        rest = others;
    }
    let (kernels, mut workspace) = (Kernels::auto(), Workspace::new());
    program
        .run_in(&mut workspace, &inputs, &kernels)
        .map_err(|e| e.to_string())?;
    Ok(common::time(|| {
        program.run_in(&mut workspace, &inputs, &kernels).is_ok()
    }))
}

/// Outputs, and the layers that differ most.
fn print(report: &Report) {
    println!(
        "{} parameters, {} MAC, {} gas",
        report.parameters, report.macs, report.gas
    );
    for output in &report.outputs {
        println!("{} {:?}: {:?}", output.name, output.shape, output.difference);
    }
    let mut layers: Vec<_> = report.layers.iter().filter(|l| l.difference.rms > 0.0).collect();
    let part = |l: &aiinference_convert::LayerReport| l.difference.rmse / l.difference.rms;
    layers.sort_by(|a, b| part(b).total_cmp(&part(a)));
    for layer in layers.iter().take(12) {
        println!("{:.2e} of its size: {} ({})", part(layer), layer.name, layer.op);
    }
}
