//! Compares the float model with what another runtime answered: `compare MODEL.onnx DATA.npz [--fix INPUT]..`. DATA holds
//! one array per input, which decides its shape, and one per output to compare with. A fixed input takes its value from
//! DATA, too.

use std::error::Error;
use std::time::Instant;

use aiinference_convert::proto::ModelProto;
use aiinference_convert::{Dataset, FloatModel, ImportOptions};
use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(data)) = (arguments.next(), arguments.next()) else {
        return Err("give MODEL.onnx and DATA.npz".into());
    };
    let (onnx, data) = (std::fs::read(model)?, Dataset::from_npz(&std::fs::read(data)?)?);
    let values = |name: &str| data.get(name).map(|a| a.values.clone());
    let mut options = ImportOptions::default();
    // The data hold the answers as well.
    let graph = ModelProto::decode(onnx.as_slice())?.graph.unwrap_or_default();
    for array in graph.input.iter().filter_map(|input| data.get(&input.name)) {
        options.shapes.insert(array.name.clone(), array.shape.clone());
    }
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        if option != "--fix" {
            return Err(format!("{option} {value} is no option").into());
        }
        let known = values(&value).ok_or_else(|| format!("the data hold no array {value:?}"))?;
        options.fixed.insert(value, known);
    }
    let started = Instant::now();
    let float = FloatModel::read(&onnx, &options)?;
    println!("{} operations, read in {:.2?}", float.operations(), started.elapsed());
    let mut inputs = Vec::new();
    for (name, shape) in float.inputs() {
        println!("input {name} {shape:?}");
        inputs.push(values(name).ok_or_else(|| format!("the data hold no array {name:?}"))?);
    }
    let started = Instant::now();
    let outputs = float.run(&inputs);
    println!("computed in {:.2?}", started.elapsed());
    for output in outputs {
        let Some(want) = data.get(&output.name) else {
            println!("output {} {:?}: nothing to compare with", output.name, output.shape);
            continue;
        };
        let pairs = || output.values.iter().zip(&want.values);
        let error = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let scale = want.values.iter().map(|v| v.abs()).fold(0.0, f64::max);
        println!(
            "output {} {:?} (other {:?}): differs by at most {error:.3e} of {scale:.3e}",
            output.name, output.shape, want.shape
        );
    }
    Ok(())
}
