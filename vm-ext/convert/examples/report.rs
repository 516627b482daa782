//! Converts a model and prints its accuracy report: `report MODEL.onnx DATA.npz [WORD ..]`.
//!
//! Words: `labels=NAME`, `end=VALUE`, `i8`, `i16`, `provable`, `percentile=P`, `max-gas=N`, `max-error=X`, `correct-bias`,
//! `tune-shifts`, `layers`, `plot=FILE.svg`. The SHA-256 of the converted model goes to stderr, to see
//! whether a change of the converter changes it.

use aiinference_convert::{Converter, Dataset, Options, Weights};
use aiinference_engine::format;
use sha2::{Digest, Sha256};

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
    let mut plot = None;
    for word in rest {
        match word.split_once('=').unwrap_or((word, "")) {
            ("labels", name) => converter = converter.labels(name),
            ("end", name) => converter = converter.end_at([name]),
            ("i8", _) => options.weights = Weights::I8,
            ("i16", _) => options.weights = Weights::I16,
            ("max-gas", n) => options.max_gas = Some(n.parse()?),
            ("max-error", x) => options.max_error = Some(x.parse()?),
            ("correct-bias", _) => options.correct_bias = true,
            ("tune-shifts", _) => options.tune_shifts = true,
            ("layers", _) => options.layers = true,
            ("plot", path) => {
                options.layers = true;
                plot = Some(path.to_string());
            }
            ("percentile", p) => options.percentile = Some(p.parse()?),
            ("provable", _) => options.provable = true,
            _ => return Err(format!("{word:?} is none of the words").into()),
        }
    }
    let started = std::time::Instant::now();
    let conversion = converter.options(options).convert()?;
    println!("{}", conversion.report.to_json());
    if let Some(path) = plot {
        std::fs::write(path, conversion.report.to_svg())?;
    }
    eprintln!("converted in {:.2?}", started.elapsed());
    let encoded = format::encode(&conversion.graph);
    let hash = Sha256::new().chain_update(encoded.graph).chain_update(encoded.weights);
    let hex: Vec<String> = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    eprintln!("sha256 {}", hex.concat());
    Ok(())
}
