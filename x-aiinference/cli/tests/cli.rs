//! The command line as a script meets it, on the models of contracts/credit-score.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aiinference_convert::Dataset;
use aiinference_zk::Opening;
use tempfile::TempDir;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/credit-score/model");

/// A folder of its own for each test, with the MLP converted in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Desk {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn with_model() -> Self {
        let desk = Desk::new();
        let done = desk.convert("mlp.onnx", "calibration.npz", &[]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
        command.current_dir(&self.folder).args(arguments).output().unwrap()
    }

    fn convert(&self, model: &str, calibration: &str, more: &[&str]) -> Output {
        let (model, calibration) = (format!("{MODELS}/{model}"), format!("{MODELS}/{calibration}"));
        let fixed = ["convert", &model, "--calibration", &calibration, "-o", "model.wasm"];
        self.run(&[&fixed, more].concat())
    }

    /// Runs the model on the held-out rows; the arrays written.
    fn infer(&self, more: &[&str]) -> Dataset {
        let input = format!("{MODELS}/test.npz");
        let fixed = ["run", "model.wasm", "--input", &input, "--output", "out.npz"];
        let done = self.run(&[&fixed, more].concat());
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        read(&self.path("out.npz"))
    }
}

fn read(path: &Path) -> Dataset {
    Dataset::from_npz(&fs::read(path).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_model_is_converted_inspected_and_run() {
    let desk = Desk::new();
    let done = desk.convert(
        "mlp.onnx",
        "calibration.npz",
        &["--labels", "label", "--max-drop", "0.005", "--report", "report.json"],
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let report = json(&fs::read(desk.path("report.json")).unwrap());
    assert_eq!(report["samples"], 700);
    assert!(report["metrics"]["integer"]["auc"].as_f64().unwrap() > 0.85);

    let facts = json(&desk.run(&["inspect", "model.wasm", "--json"]).stdout);
    assert_eq!(facts["inputs"][0]["name"], "applicant");
    assert_eq!(facts["outputs"][0]["name"], "probability");
    assert_eq!(facts["op_set"], 1);
    assert_eq!(facts["checksum"].as_str().unwrap().len(), 64);
    assert!(facts["gas"]["run"].as_u64().unwrap() > 0);
    let people = text(&desk.run(&["inspect", "model.wasm"]).stdout);
    assert!(
        people.contains("applicant") && people.contains(facts["checksum"].as_str().unwrap()),
        "{people}"
    );

    let out = desk.infer(&[]);
    let probability = out.get("probability").unwrap();
    assert_eq!(probability.shape, [300, 1]);
    assert!(probability.values.iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn raw_integers_are_the_reals_times_a_power_of_two_on_all_kernels() {
    let desk = Desk::with_model();
    let facts = json(&desk.run(&["inspect", "model.wasm", "--json"]).stdout);
    let unit = (-facts["outputs"][0]["fraction_bits"].as_f64().unwrap()).exp2();
    let real = desk.infer(&[]);
    let raw = desk.infer(&["--raw", "--kernels", "auto"]);
    assert_eq!(raw, desk.infer(&["--raw", "--kernels", "scalar"]));
    let (real, raw) = (real.get("probability").unwrap(), raw.get("probability").unwrap());
    assert!(real.values.iter().zip(&raw.values).all(|(x, q)| *x == q * unit));
    let wrong = desk.run(&[
        "run",
        "model.wasm",
        "--input",
        "x.npz",
        "--output",
        "y.npz",
        "--kernels",
        "abacus",
    ]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_commitment_to_inputs_is_told_and_its_opening_is_kept_from_others() {
    let desk = Desk::with_model();
    let input = format!("{MODELS}/test.npz");
    let commit = |opening: &str, sample: &str| {
        let fixed = ["prove", "commit", "model.wasm", "--input", &input];
        desk.run(&[&fixed[..], &["--sample", sample, "--opening", opening]].concat())
    };
    let done = commit("first.json", "0");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let opening: Opening = serde_json::from_slice(&fs::read(desk.path("first.json")).unwrap()).unwrap();
    let hash = hex::encode(opening.hash().unwrap());
    assert_eq!(text(&done.stdout).trim(), hash);
    assert_eq!(opening.inputs[0].len(), 18);
    let mode = fs::metadata(desk.path("first.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The same inputs under another salt; an opening is never written over.
    let again = commit("second.json", "0");
    assert_ne!(text(&again.stdout).trim(), hash);
    let refused = commit("first.json", "1");
    assert_eq!(refused.status.code(), Some(1));
    let kept: Opening = serde_json::from_slice(&fs::read(desk.path("first.json")).unwrap()).unwrap();
    assert!(kept == opening);
    // No column for the labels, no sample of that number: nothing is written.
    assert_eq!(commit("third.json", "300").status.code(), Some(1));
    assert!(!desk.path("third.json").exists());
}

#[test]
fn a_summary_is_printed_as_json() {
    let desk = Desk::with_model();
    let input = format!("{MODELS}/test.npz");
    let done = desk.run(&["run", "model.wasm", "--input", &input, "--output", "out.npz", "--json"]);
    let summary = json(&done.stdout);
    assert_eq!(
        (&summary["samples"], &summary["saturated_samples"]),
        (&300.into(), &0.into())
    );
    assert_eq!(summary["outputs"][0]["shape"], serde_json::json!([300, 1]));
}

#[test]
fn the_same_model_and_data_give_the_same_bytes_from_npz_and_csv() {
    let desk = Desk::with_model();
    let first = fs::read(desk.path("model.wasm")).unwrap();
    desk.convert("mlp.onnx", "calibration.npz", &[]);
    assert!(first == fs::read(desk.path("model.wasm")).unwrap());
    let done = desk.convert("mlp.onnx", "calibration.csv", &["--labels", "label"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(first == fs::read(desk.path("model.wasm")).unwrap());

    // A table runs as well as an array does.
    let rows = format!("{MODELS}/calibration.csv");
    let done = desk.run(&[
        "run",
        "model.wasm",
        "--input",
        &rows,
        "--labels",
        "label",
        "--output",
        "table.npz",
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let array = format!("{MODELS}/calibration.npz");
    desk.run(&["run", "model.wasm", "--input", &array, "--output", "array.npz"]);
    assert_eq!(read(&desk.path("table.npz")), read(&desk.path("array.npz")));
}

#[test]
fn labels_are_written_as_whole_numbers() {
    let desk = Desk::new();
    let done = desk.convert("gbdt.onnx", "calibration.npz", &["--labels", "label"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let out = desk.infer(&[]);
    let label = out.get("label").unwrap();
    assert_eq!(label.shape, [300]);
    assert!(label.values.iter().all(|l| *l == 0.0 || *l == 1.0));
    // Stored without compression: the type stands in the file.
    let bytes = fs::read(desk.path("out.npz")).unwrap();
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
    assert!(has(b"<i8") && has(b"<f8"));
    assert_eq!(out.get("probabilities").unwrap().shape, [300, 2]);
}

#[test]
fn a_model_that_loses_more_than_allowed_fails_with_its_own_exit_code_and_a_report() {
    let desk = Desk::new();
    // Eight bits lose something, and nothing is allowed.
    let more = ["--weights", "i8", "--max-drop", "0", "--report", "report.json"];
    let done = desk.convert("mlp.onnx", "calibration.npz", &more);
    assert_eq!(done.status.code(), Some(3), "{}", text(&done.stderr));
    assert!(!desk.path("model.wasm").exists());
    assert!(
        json(&fs::read(desk.path("report.json")).unwrap())["drop"]["value"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let said = text(&done.stderr);
    assert!(
        said.starts_with("error: checking the accuracy") && said.contains("is worse by"),
        "{said}"
    );
}

#[test]
fn a_search_for_widths_is_told_layer_by_layer_and_drawn() {
    let desk = Desk::new();
    let more = [
        "--labels",
        "label",
        "--max-error",
        "0.001",
        "--correct-bias",
        "--layers",
    ];
    let more = [&more[..], &["--plot", "layers.svg", "--report", "report.json"]].concat();
    let done = desk.convert("mlp.onnx", "calibration.npz", &more);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    let row = said.lines().find(|l| l.trim_start().starts_with("relu1 "));
    assert!(
        row.is_some_and(|r| r.contains("MatMul") && r.contains(" bit")),
        "{said}"
    );
    let report = json(&fs::read(desk.path("report.json")).unwrap());
    assert!(report["drop"]["value"].as_f64().unwrap() <= 0.001);
    assert!(report["layers"][0]["alone"]["rmse"].as_f64().is_some());
    let svg = fs::read_to_string(desk.path("layers.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains(">relu1</text>"), "{svg}");
    desk.infer(&[]);
}

#[test]
fn widths_and_shifts_are_not_asked_for_where_they_mean_nothing() {
    let desk = Desk::new();
    for more in [
        &["--tune-shifts"][..],
        &["--provable", "--max-gas", "1"],
        &["--provable", "--max-error", "0.1"],
        &["--percentile", "0"],
    ] {
        let done = desk.convert("mlp.onnx", "calibration.npz", more);
        assert_eq!(done.status.code(), Some(2), "{more:?}: {}", text(&done.stderr));
    }
    let done = desk.convert("mlp.onnx", "calibration.npz", &["--max-gas", "1000"]);
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(said.contains("1000 is allowed"), "{said}");
    assert!(!desk.path("model.wasm").exists());
}

#[test]
fn errors_name_the_cause_and_leave_nothing_behind() {
    let desk = Desk::with_model();
    let onnx = format!("{MODELS}/mlp.onnx");
    let calibration = format!("{MODELS}/calibration.npz");
    fs::write(desk.path("noise.onnx"), [7; 100]).unwrap();
    fs::write(desk.path("noise.npz"), [7; 100]).unwrap();
    fs::write(desk.path("plain.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let mut cut = fs::read(desk.path("model.wasm")).unwrap();
    let half = cut.len() / 2;
    cut[half] ^= 0xff;
    fs::write(desk.path("flipped.wasm"), &cut).unwrap();
    for (arguments, cause) in [
        (
            vec!["convert", "gone.onnx", "--calibration", &calibration, "-o", "x.wasm"],
            "gone.onnx",
        ),
        (
            vec!["convert", "noise.onnx", "--calibration", &calibration, "-o", "x.wasm"],
            "ONNX",
        ),
        (
            vec!["convert", &onnx, "--calibration", "noise.npz", "-o", "x.wasm"],
            "noise.npz",
        ),
        (
            vec!["convert", &onnx, "--calibration", "data.txt", "-o", "x.wasm"],
            "data.txt",
        ),
        (vec!["inspect", "plain.wasm"], "carries none"),
        (vec!["inspect", "noise.npz"], "no Wasm module"),
        (
            vec!["run", "model.wasm", "--input", "noise.npz", "--output", "x.npz"],
            "noise.npz",
        ),
        (
            vec!["run", "model.wasm", "--input", &calibration, "--output", "gone/x.npz"],
            "gone/x.npz",
        ),
    ] {
        let done = desk.run(&arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("error: ") && said.contains(cause),
            "{arguments:?}: {said}"
        );
    }
    // A changed byte is either refused or gives another model: never a crash.
    assert!(matches!(
        desk.run(&["inspect", "flipped.wasm"]).status.code(),
        Some(0 | 1)
    ));
    assert!(!desk.path("x.wasm").exists() && !desk.path("x.npz").exists());
    assert_eq!(desk.run(&["convert"]).status.code(), Some(2));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let desk = Desk::with_model();
    // Row 0 alone is one sample; the columns' names alone do not make it another model's input.
    fs::write(desk.path("narrow.csv"), "a,b\n1,2\n").unwrap();
    let done = desk.run(&["run", "model.wasm", "--input", "narrow.csv", "--output", "x.npz"]);
    assert!(
        text(&done.stderr).contains("takes 18 columns"),
        "{}",
        text(&done.stderr)
    );
    let columns: Vec<String> = (0..18).map(|n| format!("f{n}")).collect();
    let row = |value: &str| format!("{}\n{}\n", columns.join(","), vec![value; 18].join(","));
    fs::write(desk.path("far.csv"), row("1e9")).unwrap();
    let done = desk.run(&["run", "model.wasm", "--input", "far.csv", "--output", "x.npz"]);
    assert!(text(&done.stderr).contains("saturated"), "{}", text(&done.stderr));

    desk.convert("mlp.onnx", "calibration.npz", &["--out-of-range", "refuse"]);
    let done = desk.run(&["run", "model.wasm", "--input", "far.csv", "--output", "y.npz"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("out of the model's range"),
        "{}",
        text(&done.stderr)
    );
    assert!(!desk.path("y.npz").exists());
}
