//! The conversion as a whole: same bytes, limits, errors, data.

use crate::common::*;
use aiinference_convert::{ConvertError, Converter, Dataset, NamedArray, Options, OutOfRange, Stage, Weights};
use aiinference_engine::format;
use aiinference_engine::graph::header_key;

fn mlp() -> Vec<u8> {
    let mut n = Numbers::new(3);
    Builder::default()
        .input("x", &[-1, 8])
        .constant("w1", &[8, 16], &n.take(128, 0.6))
        .constant("b1", &[16], &n.take(16, 0.3))
        .constant("w2", &[16, 1], &n.take(16, 1.0))
        .node("Gemm", &["x", "w1", "b1"], &["h"], vec![])
        .node("Tanh", &["h"], &["t"], vec![])
        .node("MatMul", &["t", "w2"], &["logit"], vec![])
        .node("Sigmoid", &["logit"], &["p"], vec![])
        .output("p")
        .build()
}

fn samples() -> Dataset {
    data(vec![array("x", 200, &[8], 2.0, 9)])
}

#[test]
fn the_same_model_and_data_give_the_same_bytes() {
    let (model, data) = (mlp(), samples());
    let once = format::encode(&Converter::new(&model, &data).convert().unwrap().graph);
    let twice = format::encode(&Converter::new(&model, &data).convert().unwrap().graph);
    assert_eq!(once, twice);
}

#[test]
fn ranges_that_differ_in_the_last_digits_give_the_same_weights() {
    let (model, data) = (mlp(), samples());
    let mut nudged = data.clone();
    // One sample of 200, by one part in 10^6: ranges are rounded up to 64ths.
    nudged.arrays[0].values[5] *= 1.0 + 1e-6;
    let [a, b] = [data, nudged].map(|d| Converter::new(&model, &d).convert().unwrap().graph);
    assert_eq!(a.nodes, b.nodes);
}

#[test]
fn the_header_names_source_and_producer() {
    let graph = Converter::new(&mlp(), &samples()).convert().unwrap().graph;
    let keys: Vec<u32> = graph.header.iter().map(|h| h.key).collect();
    assert_eq!(keys, [header_key::SOURCE_HASH, header_key::PRODUCER]);
    assert_eq!(graph.header[0].value.len(), 32);
    assert!(graph.header[1].value.starts_with(b"aiinference-convert "));
}

#[test]
fn the_signature_keeps_names_and_a_batch_of_one() {
    let graph = Converter::new(&mlp(), &samples()).convert().unwrap().graph;
    let input = &graph.inputs[0];
    assert_eq!(
        (input.name.as_str(), &input.shape[..], input.saturate),
        ("x", &[1, 8][..], true)
    );
    assert_eq!(graph.outputs[0].name, "p");
    let refuse = Options {
        out_of_range: OutOfRange::Refuse,
        ..Options::default()
    };
    let graph = Converter::new(&mlp(), &samples())
        .options(refuse)
        .convert()
        .unwrap()
        .graph;
    assert!(!graph.inputs[0].saturate);
}

#[test]
fn the_declared_range_leaves_room_beyond_what_calibration_saw() {
    let graph = Converter::new(&mlp(), &samples()).convert().unwrap().graph;
    let input = &graph.inputs[0];
    let top = f64::from(input.high) / f64::from(input.fraction_bits).exp2();
    assert!(top > 2.2, "{top}");
}

#[test]
fn too_large_a_drop_fails_and_carries_the_report() {
    let mut data = samples();
    // Labels from the float model itself, so that any error of the integer model is a drop.
    let report = |limit: f64, data: &Dataset| {
        let options = Options {
            max_drop: Some(limit),
            weights: Weights::I8,
            ..Options::default()
        };
        Converter::new(&mlp(), data).options(options).convert()
    };
    assert!(report(0.05, &data).is_ok());
    match report(-1.0, &data).unwrap_err() {
        ConvertError::Accuracy { limit, report } => {
            assert_eq!(limit, -1.0);
            assert_eq!(report.drop.metric, "label agreement");
            assert_eq!(report.samples, 200);
        }
        other => panic!("{other}"),
    }
    let labels = (0..200).map(|i| f64::from(i % 2 == 0)).collect();
    data.arrays.push(NamedArray {
        name: "y".into(),
        shape: vec![200],
        values: labels,
    });
    let options = Options {
        max_drop: Some(-1.0),
        ..Options::default()
    };
    let error = Converter::new(&mlp(), &data)
        .labels("y")
        .options(options)
        .convert()
        .unwrap_err();
    assert!(error.to_string().contains("AUC is worse by"), "{error}");
}

#[test]
fn the_report_is_json_with_every_layer() {
    let report = Converter::new(&mlp(), &samples()).convert().unwrap().report;
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let ops: Vec<&str> = json["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["op"].as_str().unwrap())
        .collect();
    assert_eq!(ops, ["MatMul", "Table", "MatMul", "Table"]);
    assert!(json["gas"].as_u64().unwrap() > 0);
    assert_eq!(json["layers"][0]["weight_bits"], 16);
    assert!(json["outputs"][0]["cosine"].as_f64().unwrap() > 0.99999);
    assert!(json["outputs"][0]["max_abs_error"].as_f64().unwrap() < 5e-4);
    assert!(json["metrics"].is_null());
}

#[test]
fn progress_passes_through_every_stage() {
    let mut stages = Vec::new();
    let mut note = |p: aiinference_convert::Progress| {
        assert!(p.done <= p.total);
        if stages.last() != Some(&p.stage) {
            stages.push(p.stage);
        }
    };
    Converter::new(&mlp(), &samples())
        .progress(&mut note)
        .convert()
        .unwrap();
    assert_eq!(
        stages,
        [Stage::Import, Stage::Calibrate, Stage::Quantise, Stage::Verify]
    );
}

#[test]
fn what_cannot_be_converted_is_named_with_the_nearest_thing_that_works() {
    let error = |model: Vec<u8>| Converter::new(&model, &samples()).convert().unwrap_err().to_string();
    let random = Builder::default()
        .input("x", &[-1, 8])
        .node("RandomUniformLike", &["x"], &["y"], vec![])
        .output("y")
        .build();
    let message = error(random);
    assert!(message.contains("RandomUniformLike_0"), "{message}");
}

#[test]
fn files_that_are_no_models_are_errors() {
    let data = samples();
    for bytes in [&b""[..], b"not a model", &mlp()[..100]] {
        let error = Converter::new(bytes, &data).convert().unwrap_err();
        assert!(matches!(error, ConvertError::Parse { .. }), "{error}");
    }
    let unknown = Builder::default()
        .input("x", &[-1, 8])
        .node("NoSuchOperator", &["x"], &["y"], vec![])
        .output("y")
        .build();
    let error = Converter::new(&unknown, &data).convert().unwrap_err().to_string();
    assert!(error.contains("NoSuchOperator"), "{error}");
}

#[test]
fn only_the_batch_axis_may_be_open() {
    let model = Builder::default()
        .input("x", &[-1, -1])
        .node("Relu", &["x"], &["y"], vec![])
        .output("y")
        .build();
    let error = Converter::new(&model, &samples()).convert().unwrap_err().to_string();
    assert!(error.contains("axis 1 is open (N)"), "{error}");
}

#[test]
fn data_that_does_not_fit_is_explained() {
    let error = |data: Dataset| Converter::new(&mlp(), &data).convert().unwrap_err().to_string();
    let message = error(data(vec![array("z", 10, &[8], 1.0, 1)]));
    assert!(
        message.contains("no array for input \"x\"") && message.contains('z'),
        "{message}"
    );
    let message = error(data(vec![array("x", 10, &[7], 1.0, 1)]));
    assert!(message.contains("[10, 7]") && message.contains("[1, 8]"), "{message}");
    let message = error(data(vec![array("x", 0, &[8], 1.0, 1)]));
    assert!(message.contains("no samples"), "{message}");
    let mut holes = samples();
    holes.arrays[0].values[17] = f64::NAN;
    let message = error(holes);
    assert!(message.contains("sample 2") && message.contains("NaN"), "{message}");
    let labels = Converter::new(&mlp(), &samples())
        .labels("truth")
        .convert()
        .unwrap_err()
        .to_string();
    assert!(labels.contains("\"truth\"") && labels.contains('x'), "{labels}");
}

#[test]
fn a_batch_axis_of_one_in_the_data_is_accepted_too() {
    let data = data(vec![array("x", 20, &[1, 8], 1.0, 1)]);
    assert_eq!(Converter::new(&mlp(), &data).convert().unwrap().report.samples, 20);
}

#[test]
fn tables_serve_single_inputs_and_inputs_named_as_columns() {
    let mut rows = String::from("a,b,truth\n");
    for i in 0..40 {
        rows += &format!("{}, {},{}\n", i % 7, f64::from(i) * 0.25, i % 2);
    }
    let table = Dataset::from_csv(rows.as_bytes()).unwrap();
    let mut n = Numbers::new(1);
    let joined = Builder::default()
        .input("features", &[-1, 2])
        .constant("w", &[2, 1], &n.take(2, 1.0))
        .node("MatMul", &["features", "w"], &["y"], vec![])
        .output("y")
        .build();
    let apart = Builder::default()
        .input("b", &[-1, 1])
        .input("a", &[-1, 1])
        .node("Concat", &["a", "b"], &["f"], vec![int("axis", 1)])
        .constant("w", &[2, 1], &n.take(2, 1.0))
        .node("MatMul", &["f", "w"], &["y"], vec![])
        .output("y")
        .build();
    for model in [joined.clone(), apart] {
        let report = Converter::new(&model, &table).labels("truth").convert().unwrap().report;
        assert_eq!(report.samples, 40);
        assert!(
            report.outputs[0].difference.max_abs_error < 1e-3,
            "{:?}",
            report.outputs
        );
    }
    let error = Converter::new(&joined, &table).convert().unwrap_err().to_string();
    assert!(error.contains("3 columns") && error.contains("takes 2"), "{error}");
    let error = Dataset::from_csv(b"a,b\n1,2\n3,x\n").unwrap_err().to_string();
    assert!(error.contains("row 3") && error.contains("\"x\""), "{error}");
}

#[test]
fn files_that_are_no_npz_are_errors() {
    for bytes in [&b""[..], b"PK\x03\x04 broken", b"not a zip"] {
        assert!(matches!(Dataset::from_npz(bytes), Err(ConvertError::Data { .. })));
    }
}

/// An .npz of one array, stored or deflated.
fn npz(name: &str, npy: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    archive.start_file(format!("{name}.npy"), options).unwrap();
    archive.write_all(npy).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn arrays_of_every_number_type_and_order_are_read() {
    use npyz::WriterBuilder;
    macro_rules! check {
        ($type:ty, $values:expr, $want:expr, $order:expr) => {{
            let mut bytes = Vec::new();
            let builder = npyz::WriteOptions::<$type>::new()
                .default_dtype()
                .shape(&[2, 3])
                .order($order);
            let mut writer = builder.writer(&mut bytes).begin_nd().unwrap();
            for value in $values {
                writer.push(&value).unwrap();
            }
            writer.finish().unwrap();
            for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
                let data = Dataset::from_npz(&npz("a", &bytes, method)).unwrap();
                let array = data.get("a").unwrap();
                assert_eq!(array.shape, [2, 3]);
                assert_eq!(array.values, $want, stringify!($type));
            }
        }};
    }
    use npyz::Order::{Fortran, C};
    let want = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    check!(f32, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], want, C);
    check!(f64, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], want, C);
    check!(i64, [0, 1, 2, 3, 4, 5], want, C);
    check!(i32, [0, 1, 2, 3, 4, 5], want, C);
    check!(u8, [0, 1, 2, 3, 4, 5], want, C);
    check!(i16, [0, -1, 2, 3, 4, 5], [0.0, -1.0, 2.0, 3.0, 4.0, 5.0], C);
    check!(
        bool,
        [false, true, true, false, false, true],
        [0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
        C
    );
    // By columns: 0 3, 1 4, 2 5.
    check!(f32, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0], want, Fortran);
}
