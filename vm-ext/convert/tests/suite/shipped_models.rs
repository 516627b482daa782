//! The models that ship with the contracts, converted on their own calibration data.

use std::path::PathBuf;

use aiinference_convert::{Conversion, Converter, Dataset, Options, Weights};
use aiinference_engine::format;

fn file(contract: &str, name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    let path: PathBuf = [root, "..", "..", "contracts", contract, "model", name]
        .iter()
        .collect();
    std::fs::read(path).unwrap()
}

fn credit(model: &str, data: &str) -> Conversion {
    credit_with(model, data, Options::default(), &[])
}

fn credit_with(model: &str, data: &str, options: Options, ends: &[&str]) -> Conversion {
    let bytes = file("credit-score", data);
    let data = match data.ends_with(".csv") {
        true => Dataset::from_csv(&bytes).unwrap(),
        false => Dataset::from_npz(&bytes).unwrap(),
    };
    Converter::new(&file("credit-score", model), &data)
        .labels("label")
        .options(options)
        .end_at(ends.iter().copied())
        .convert()
        .unwrap()
}

#[test]
fn integer_credit_models_rank_applicants_as_well_as_float_models() {
    for model in ["gbdt.onnx", "mlp.onnx"] {
        let report = credit(model, "calibration.npz").report;
        let metrics = report.metrics.unwrap();
        let (float, integer) = (metrics.float.auc.unwrap(), metrics.integer.auc.unwrap());
        assert!(float > 0.85, "{model}: {float}");
        assert!((float - integer).abs() < 0.001, "{model}: {float} {integer}");
        assert!(report.outputs.iter().all(|o| o.agreement.unwrap() > 0.998), "{model}");
        assert_eq!(report.inputs[0].fraction_bits, 0, "{model} takes whole numbers");
        assert!(
            report.inputs[0].low <= 0.0 && report.inputs[0].high >= 20_000.0,
            "{model}"
        );
    }
}

#[test]
fn a_csv_table_gives_the_same_model_as_the_npz() {
    for model in ["gbdt.onnx", "mlp.onnx"] {
        let [npz, csv] = ["calibration.npz", "calibration.csv"].map(|data| credit(model, data).graph);
        assert_eq!(format::encode(&npz), format::encode(&csv), "{model}");
    }
}

#[test]
fn the_pictures_of_the_nft_models_stay_what_they_are() {
    for model in ["mood", "painter"] {
        let data = Dataset::from_npz(&file("dynamic-nft", &format!("{model}_calibration.npz"))).unwrap();
        let onnx = file("dynamic-nft", &format!("{model}.onnx"));
        let conversion = Converter::new(&onnx, &data).convert().unwrap();
        for output in &conversion.report.outputs {
            // On average less than a step of an 8-bit colour.
            assert!(output.difference.mean_abs_error < 1.0 / 255.0, "{model}: {output:?}");
        }
    }
}

/// Share of pairs (repaid, defaulted) that the scores order rightly, ties counting half.
fn auc(scores: &[i32], labels: &[f64]) -> f64 {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, _) in scores.iter().zip(labels).filter(|(_, l)| **l == 1.0) {
        for (b, _) in scores.iter().zip(labels).filter(|(_, l)| **l == 0.0) {
            pairs += 1.0;
            right += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    right / pairs
}

#[test]
fn held_out_applicants_are_ranked_as_by_the_float_models() {
    let test = Dataset::from_npz(&file("credit-score", "test.npz")).unwrap();
    let (rows, labels) = (test.get("applicant").unwrap(), test.get("label").unwrap());
    // The float models' AUC on these rows, by scikit-learn: see the models' README.
    let cheap = Options {
        max_error: Some(0.001),
        correct_bias: true,
        ..Options::default()
    };
    let models = [
        ("gbdt.onnx", 0.7686, Options::default()),
        ("mlp.onnx", 0.7708, Options::default()),
        ("mlp.onnx", 0.7708, cheap),
    ];
    for (model, float, options) in models {
        let graph = credit_with(model, "calibration.npz", options, &[]).graph;
        let program = aiinference_engine::Program::new(graph, &crate::trees::limits()).unwrap();
        let kernels = aiinference_engine::Kernels::scalar();
        let score = |row: &[f64]| {
            // Whole numbers, and the model takes whole numbers.
            let row: Vec<i32> = row.iter().map(|v| *v as i32).collect();
            *program.run(&[&row], &kernels).unwrap().last().unwrap().last().unwrap()
        };
        let scores: Vec<i32> = rows.values.chunks(18).map(score).collect();
        let integer = auc(&scores, &labels.values);
        assert!((integer - float).abs() < 0.001, "{model}: {integer} {float}");
    }
}

#[test]
fn gas_between_two_widths_buys_accuracy_between_them() {
    let data = Dataset::from_npz(&file("dynamic-nft", "mood_calibration.npz")).unwrap();
    let onnx = file("dynamic-nft", "mood.onnx");
    let convert = |options| Converter::new(&onnx, &data).options(options).convert().unwrap().report;
    let default = convert(Options::default());
    let narrow = convert(Options {
        weights: Weights::I8,
        ..Options::default()
    });
    let limit = (narrow.gas + default.gas) / 2;
    let mixed = convert(Options {
        max_gas: Some(limit),
        ..Options::default()
    });
    assert!(mixed.gas <= limit);
    let [default, mixed, narrow] = [default, mixed, narrow].map(|report| report.outputs[0].difference.rmse);
    assert!(default < mixed && mixed < 0.9 * narrow, "{default} {mixed} {narrow}");
}

#[test]
fn a_cost_that_wide_weights_keep_to_gives_a_model_no_worse_than_they_do() {
    let data = Dataset::from_npz(&file("dynamic-nft", "painter_calibration.npz")).unwrap();
    let onnx = file("dynamic-nft", "painter.onnx");
    let convert = |options| Converter::new(&onnx, &data).options(options).convert().unwrap().report;
    let wide = convert(Options {
        weights: Weights::I16,
        ..Options::default()
    });
    let chosen = convert(Options {
        max_gas: Some(wide.gas),
        ..Options::default()
    });
    assert!(chosen.gas <= wide.gas);
    let [chosen, wide] = [chosen, wide].map(|report| report.outputs[0].difference.rmse);
    // The search looks at some of the samples.
    assert!(chosen < 1.05 * wide, "{chosen} {wide}");
}

#[test]
fn a_provable_credit_model_loses_less_with_tuned_shifts() {
    let options = Options {
        provable: true,
        tune_shifts: true,
        correct_bias: true,
        ..Options::default()
    };
    let report = credit_with("mlp.onnx", "calibration.npz", options, &["logit"]).report;
    let untuned = report.provable.unwrap().untuned_rmse.unwrap()[0];
    let tuned = report.outputs[0].difference.rmse;
    assert!(tuned < untuned / 2.0, "{tuned} {untuned}");
    assert!(report.drop.value < 0.001, "{:?}", report.drop);
}
