//! Options that spend calibration on accuracy.

use aiinference_convert::{
    Conversion, ConvertError, Converter, Dataset, NamedArray, Options, Progress, Report, Stage, Weights,
};
use aiinference_engine::graph::Op;
use aiinference_engine::{format, Kernels, Program};

use crate::common::*;

/// 8 - 24 - 16 - 4, ReLUs between.
fn mlp() -> Vec<u8> {
    let mut n = Numbers::new(11);
    Builder::default()
        .input("x", &[-1, 8])
        .constant("w1", &[8, 24], &n.take(192, 0.6))
        .constant("b1", &[24], &n.take(24, 0.3))
        .constant("w2", &[24, 16], &n.take(384, 0.4))
        .constant("b2", &[16], &n.take(16, 0.2))
        .constant("w3", &[16, 4], &n.take(64, 0.5))
        .constant("b3", &[4], &n.take(4, 0.2))
        .node("Gemm", &["x", "w1", "b1"], &["a"], vec![])
        .node("Relu", &["a"], &["h1"], vec![])
        .node("Gemm", &["h1", "w2", "b2"], &["b"], vec![])
        .node("Relu", &["b"], &["h2"], vec![])
        .node("Gemm", &["h2", "w3", "b3"], &["y"], vec![])
        .output("y")
        .build()
}

fn samples() -> Dataset {
    data(vec![array("x", 300, &[8], 1.5, 7)])
}

fn bytes(options: Options) -> (Vec<u8>, Vec<u8>) {
    let graph = Converter::new(&mlp(), &samples())
        .options(options)
        .convert()
        .unwrap()
        .graph;
    let encoded = format::encode(&graph);
    (encoded.graph, encoded.weights)
}

#[test]
fn a_percentile_gives_common_values_the_bits_of_the_rarest() {
    // One sample in 300 is 20 times as large.
    let mut data = samples();
    data.arrays[0].values[..8].iter_mut().for_each(|v| *v *= 20.0);
    let rmse = |percentile| {
        let options = Options {
            percentile,
            weights: Weights::I16,
            ..Options::default()
        };
        let report = Converter::new(&mlp(), &data).options(options).convert().unwrap().report;
        let bits = report.layers.iter().map(|l| l.fraction_bits).collect::<Vec<_>>();
        (bits, report.outputs[0].difference.max_abs_error)
    };
    let (all, _) = rmse(None);
    let (clipped, worst) = rmse(Some(99.0));
    assert!(clipped[0] >= all[0] + 2, "{all:?} {clipped:?}");
    assert!(clipped[1] >= all[1] + 2, "{all:?} {clipped:?}");
    assert_eq!(clipped[2], all[2], "outputs keep their range");
    assert!(worst > 0.1, "the rare sample saturates: {worst}");
}

#[test]
fn a_percentile_of_100_keeps_every_range() {
    let all = Options {
        percentile: Some(100.0),
        ..Options::default()
    };
    assert_eq!(bytes(all), bytes(Options::default()));
}

#[test]
fn percentiles_without_meaning_are_refused() {
    for percent in [0.0, -1.0, 100.5, f64::NAN] {
        let options = Options {
            percentile: Some(percent),
            ..Options::default()
        };
        let error = Converter::new(&mlp(), &samples()).options(options).convert();
        assert!(
            matches!(
                error,
                Err(ConvertError::Option {
                    option: "percentile",
                    ..
                })
            ),
            "{percent}"
        );
    }
}

/// Labels: the class that the float model names, as the integer model of full width does almost always.
fn labelled() -> Dataset {
    let mut data = samples();
    let options = Options {
        weights: Weights::I16,
        ..Options::default()
    };
    let graph = Converter::new(&mlp(), &data).options(options).convert().unwrap().graph;
    let program = Program::new(graph, &crate::trees::limits()).unwrap();
    let bits = program.inputs()[0].fraction_bits;
    let class = |row: &[f64]| {
        let row: Vec<i32> = row
            .iter()
            .map(|v| (v * f64::from(bits).exp2()).round() as i32)
            .collect();
        let out = program.run(&[&row], &Kernels::scalar()).unwrap().swap_remove(0);
        let best = (0..out.len()).max_by_key(|i| out[*i]).unwrap();
        best as f64
    };
    let labels = data.arrays[0].values.chunks(8).map(class).collect();
    data.arrays.push(NamedArray {
        name: "y".into(),
        shape: vec![300],
        values: labels,
    });
    data
}

fn convert(data: &Dataset, options: Options) -> Result<Conversion, ConvertError> {
    let model = mlp();
    let converter = Converter::new(&model, data).options(options);
    match data.get("y") {
        Some(_) => converter.labels("y").convert(),
        None => converter.convert(),
    }
}

fn rmse(report: &Report) -> f64 {
    report.outputs[0].difference.rmse
}

#[test]
fn a_cost_is_kept_and_spent_where_it_lessens_the_error() {
    let data = samples();
    let default = convert(&data, Options::default()).unwrap().report;
    let narrow = convert(
        &data,
        Options {
            weights: Weights::I8,
            ..Options::default()
        },
    )
    .unwrap()
    .report;
    assert!(narrow.gas < default.gas);
    let mut errors = vec![];
    for share in [0.3, 0.6, 1.0] {
        let limit = narrow.gas + ((default.gas - narrow.gas) as f64 * share) as u64;
        let options = Options {
            max_gas: Some(limit),
            ..Options::default()
        };
        let report = convert(&data, options).unwrap().report;
        assert!(report.gas <= limit, "{} {limit}", report.gas);
        errors.push(rmse(&report));
    }
    assert!(errors[0] < rmse(&narrow), "{errors:?} {}", rmse(&narrow));
    assert!(errors.windows(2).all(|e| e[1] <= e[0]), "{errors:?}");
    assert!(errors[2] <= rmse(&default), "{errors:?} {}", rmse(&default));
}

#[test]
fn widths_are_mixed_where_that_is_best() {
    let data = samples();
    let gas = |weights| {
        let options = Options {
            weights,
            ..Options::default()
        };
        convert(&data, options).unwrap().report.gas
    };
    let options = Options {
        max_gas: Some((gas(Weights::I8) + gas(Weights::I16)) / 2),
        ..Options::default()
    };
    let report = convert(&data, options).unwrap().report;
    let widths: Vec<_> = report.layers.iter().map(|l| (l.weight_bits, l.value_bits)).collect();
    assert!(widths.windows(2).any(|w| w[0] != w[1]), "{widths:?}");
}

#[test]
fn a_cost_that_no_width_reaches_is_refused_with_the_least_that_is_possible() {
    let options = Options {
        max_gas: Some(1000),
        ..Options::default()
    };
    match convert(&samples(), options).unwrap_err() {
        ConvertError::Cost { limit, least } => {
            assert_eq!(limit, 1000);
            let options = Options {
                max_gas: Some(least),
                ..Options::default()
            };
            assert_eq!(convert(&samples(), options).unwrap().report.gas, least);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_looser_error_gives_a_cheaper_model_that_keeps_it() {
    let data = labelled();
    let default = convert(&data, Options::default()).unwrap().report;
    let gas: Vec<u64> = [0.0, 0.01, 0.1]
        .into_iter()
        .map(|limit| {
            let options = Options {
                max_error: Some(limit),
                ..Options::default()
            };
            let report = convert(&data, options).unwrap().report;
            assert_eq!(report.drop.metric, "accuracy");
            assert!(report.drop.value <= limit, "{} {limit}", report.drop.value);
            report.gas
        })
        .collect();
    assert!(gas[0] <= default.gas && gas[1] <= gas[0] && gas[2] <= gas[1], "{gas:?}");
    assert!(gas[2] < default.gas, "{gas:?} {}", default.gas);
}

#[test]
fn an_error_that_no_width_meets_fails_with_the_report_of_the_best() {
    let options = Options {
        max_error: Some(-1.0),
        ..Options::default()
    };
    match convert(&labelled(), options).unwrap_err() {
        ConvertError::Accuracy { limit, report } => {
            assert_eq!(limit, -1.0);
            assert!(report.drop.value < 0.02, "{}", report.drop.value);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn narrow_models_that_are_too_bad_are_widened() {
    let data = samples();
    let narrow = |max_error| {
        let options = Options {
            weights: Weights::I8,
            max_error,
            ..Options::default()
        };
        convert(&data, options).unwrap().report
    };
    let before = narrow(None);
    let after = narrow(Some(before.drop.value / 8.0));
    assert!(after.drop.value <= before.drop.value / 8.0);
    assert!(after.layers.iter().any(|l| l.weight_bits > Some(8)));
}

#[test]
fn corrected_biases_lessen_the_error_of_narrow_weights() {
    let data = samples();
    let narrow = |correct_bias| {
        let options = Options {
            weights: Weights::I8,
            correct_bias,
            ..Options::default()
        };
        convert(&data, options).unwrap()
    };
    let (before, after) = (narrow(false), narrow(true));
    assert!(rmse(&after.report) < rmse(&before.report));
    assert_eq!(after.report.gas, before.report.gas);
    let weights = |c: &Conversion| format::encode(&c.graph).weights.len();
    assert_eq!(weights(&after), weights(&before));
}

#[test]
fn tuned_shifts_lose_less_and_stay_shifts() {
    let data = samples();
    let options = Options {
        provable: true,
        tune_shifts: true,
        ..Options::default()
    };
    let conversion = convert(&data, options).unwrap();
    let untuned = conversion
        .report
        .provable
        .as_ref()
        .unwrap()
        .untuned_rmse
        .as_ref()
        .unwrap();
    assert!(rmse(&conversion.report) < untuned[0] * 0.9, "{untuned:?}");
    for node in &conversion.graph.nodes {
        if let Op::MatMul { rescale, .. } = node {
            assert!(rescale.multipliers.iter().all(|m| *m == 1), "{:?}", rescale.multipliers);
            assert!(rescale.shifts.windows(2).all(|s| s[0] == s[1]), "{:?}", rescale.shifts);
        }
    }
}

#[test]
fn options_that_contradict_one_another_are_refused() {
    let contradictions = [
        Options {
            tune_shifts: true,
            ..Options::default()
        },
        Options {
            provable: true,
            max_gas: Some(1 << 40),
            ..Options::default()
        },
        Options {
            provable: true,
            max_error: Some(0.1),
            ..Options::default()
        },
        Options {
            max_error: Some(f64::NAN),
            ..Options::default()
        },
    ];
    for options in contradictions {
        let error = convert(&samples(), options.clone()).unwrap_err();
        assert!(matches!(error, ConvertError::Option { .. }), "{options:?}: {error}");
    }
}

#[test]
fn searches_give_the_same_bytes_again() {
    let options = Options {
        max_error: Some(0.02),
        percentile: Some(99.9),
        correct_bias: true,
        ..Options::default()
    };
    assert_eq!(bytes(options.clone()), bytes(options));
}

#[test]
fn layers_are_measured_by_themselves_where_asked_for() {
    let data = samples();
    let options = Options {
        weights: Weights::I8,
        layers: true,
        ..Options::default()
    };
    let report = convert(&data, options.clone()).unwrap().report;
    let errors: Vec<(f64, f64)> = report
        .layers
        .iter()
        .map(|l| (l.alone.unwrap().rmse, l.difference.rmse))
        .collect();
    assert_eq!(errors.len(), 3);
    // Nothing comes before the first layer but the input's rounding.
    assert!((errors[0].0 / errors[0].1 - 1.0).abs() < 0.05, "{errors:?}");
    assert!(errors[2].0 > 0.0 && errors[2].0 < errors[2].1 * 0.9, "{errors:?}");
    assert_eq!(
        bytes(options.clone()),
        bytes(Options {
            layers: false,
            ..options
        })
    );
    let without = convert(&data, Options::default()).unwrap().report;
    assert!(without.layers.iter().all(|l| l.alone.is_none()));
}

#[test]
fn a_search_says_how_far_it_has_come() {
    let (model, data) = (mlp(), samples());
    let mut seen = vec![];
    let mut progress = |p: Progress| {
        if p.stage == Stage::Search {
            seen.push((p.done, p.total));
        }
    };
    let options = Options {
        max_error: Some(0.01),
        ..Options::default()
    };
    let converter = Converter::new(&model, &data).options(options).progress(&mut progress);
    converter.convert().unwrap();
    assert!(seen.len() > 5);
    assert!(seen.iter().all(|(done, total)| done <= total), "{seen:?}");
    assert!(seen.windows(2).all(|s| s[0].0 <= s[1].0), "{seen:?}");
}

#[test]
fn the_plot_has_a_row_for_each_layer_and_escapes_its_name() {
    let weights = Numbers::new(2).take(32, 0.5);
    let model = Builder::default()
        .input("x", &[-1, 8])
        .constant("w", &[8, 4], &weights)
        .node("Gemm", &["x", "w"], &["y"], vec![])
        .output("y");
    let mut proto = <aiinference_convert::proto::ModelProto as prost::Message>::decode(&model.build()[..]).unwrap();
    proto.graph.as_mut().unwrap().node[0].name = "<a href='x'>&".into();
    let model = prost::Message::encode_to_vec(&proto);
    let data = samples();
    let options = Options {
        layers: true,
        ..Options::default()
    };
    let report = Converter::new(&model, &data).options(options).convert().unwrap().report;
    let svg = report.to_svg();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("&lt;a href=&apos;x&apos;&gt;&amp;</text>"), "{svg}");
    assert!(!svg.contains("<a href"));
    assert_eq!(
        svg.matches(">W16 A16</text>").count() + svg.matches(" W16 A16</text>").count(),
        1,
        "{svg}"
    );
    assert_eq!(svg.matches("fill=\"#1f4e8c\"").count(), 2, "the legend and one layer");
}
