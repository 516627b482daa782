//! The shipped credit models, converted on their own calibration data.

use std::path::PathBuf;

use aiinference_convert::{Conversion, Converter, Dataset};

fn file(name: &str) -> Vec<u8> {
    let folder: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "..",
        "contracts",
        "credit-score",
        "model",
    ]
    .iter()
    .collect();
    std::fs::read(folder.join(name)).unwrap()
}

fn convert(model: &str, data: &Dataset) -> Conversion {
    Converter::new(&file(model), data).labels("label").convert().unwrap()
}

#[test]
fn integer_models_rank_applicants_as_well_as_float_models() {
    let data = Dataset::from_npz(&file("calibration.npz")).unwrap();
    for model in ["gbdt.onnx", "mlp.onnx"] {
        let report = convert(model, &data).report;
        println!("{}", report.to_json());
        let metrics = report.metrics.unwrap();
        let (float, integer) = (metrics.float.auc.unwrap(), metrics.integer.auc.unwrap());
        assert!(float > 0.85, "{model}: {float}");
        assert!((float - integer).abs() < 0.001, "{model}: {float} {integer}");
        assert!(report.outputs.iter().all(|o| o.agreement == Some(1.0)), "{model}");
    }
}
