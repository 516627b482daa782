//! Converts a model and prints its accuracy report: `report MODEL.onnx DATA.npz [LABELS] [i8|i16]`.

use aiinference_convert::{Converter, Dataset, Options, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [onnx, data, rest @ ..] = arguments.as_slice() else {
        return Err("give MODEL.onnx and DATA.npz or DATA.csv".into());
    };
    let (onnx, bytes) = (std::fs::read(onnx)?, std::fs::read(data)?);
    let data = match data.ends_with(".csv") {
        true => Dataset::from_csv(&bytes)?,
        false => Dataset::from_npz(&bytes)?,
    };
    let mut converter = Converter::new(&onnx, &data);
    let mut options = Options::default();
    for word in rest {
        match word.as_str() {
            "i8" => options.weights = Weights::I8,
            "i16" => options.weights = Weights::I16,
            labels => converter = converter.labels(labels),
        }
    }
    let started = std::time::Instant::now();
    let conversion = converter.options(options).convert()?;
    println!("{}", conversion.report.to_json());
    eprintln!("converted in {:.2?}", started.elapsed());
    Ok(())
}
