//! ai.onnx.ml: tree ensembles and linear models.

use crate::common::*;
use aiinference_convert::proto::AttributeProto;
use aiinference_convert::{Converter, Dataset};

/// Node arrays of an ensemble of stumps and small trees: per tree (feature, threshold) of the root and of its left child,
/// then the three leaves.
fn nodes(modes: &[&str], tests: &[[(i64, f32); 2]]) -> Vec<AttributeProto> {
    let (mut tree, mut id, mut feature, mut value) = (vec![], vec![], vec![], vec![]);
    let (mut mode, mut yes, mut no) = (vec![], vec![], vec![]);
    for (t, [root, left]) in tests.iter().enumerate() {
        let m = modes[t % modes.len()];
        // 0 root -> 1 or 4; 1 -> 2 or 3.
        let rows: [(i64, f32, &str, i64, i64); 5] = [
            (root.0, root.1, m, 1, 4),
            (left.0, left.1, m, 2, 3),
            (0, 0.0, "LEAF", 0, 0),
            (0, 0.0, "LEAF", 0, 0),
            (0, 0.0, "LEAF", 0, 0),
        ];
        for (i, (f, v, m, y, n)) in rows.into_iter().enumerate() {
            tree.push(t as i64);
            id.push(i as i64);
            feature.push(f);
            value.push(v);
            mode.push(m);
            yes.push(y);
            no.push(n);
        }
    }
    vec![
        ints("nodes_treeids", &tree),
        ints("nodes_nodeids", &id),
        ints("nodes_featureids", &feature),
        floats("nodes_values", &value),
        strings("nodes_modes", &mode),
        ints("nodes_truenodeids", &yes),
        ints("nodes_falsenodeids", &no),
    ]
}

/// Leaves 2, 3 and 4 of every tree add a weight to a class (or target).
fn leaves(prefix: &str, classes: &[i64], weights: &[[f32; 3]]) -> Vec<AttributeProto> {
    let (mut tree, mut node, mut class, mut weight) = (vec![], vec![], vec![], vec![]);
    for (t, w) in weights.iter().enumerate() {
        for (i, w) in w.iter().enumerate() {
            tree.push(t as i64);
            node.push(i as i64 + 2);
            class.push(classes[t % classes.len()]);
            weight.push(*w);
        }
    }
    vec![
        ints(&format!("{prefix}_treeids"), &tree),
        ints(&format!("{prefix}_nodeids"), &node),
        ints(&format!("{prefix}_ids"), &class),
        floats(&format!("{prefix}_weights"), &weight),
    ]
}

fn classifier(attributes: Vec<AttributeProto>) -> Vec<u8> {
    Builder::default()
        .input("x", &[-1, 2])
        .node_in(
            "ai.onnx.ml",
            "TreeEnsembleClassifier",
            &["x"],
            &["label", "probabilities"],
            attributes,
        )
        .int_output("label")
        .output("probabilities")
        .build()
}

const TESTS: [[(i64, f32); 2]; 3] = [[(0, 2.0), (1, 5.0)], [(1, 3.0), (0, 7.0)], [(0, 4.0), (0, 1.0)]];
const WEIGHTS: [[f32; 3]; 3] = [[-0.7, 0.4, 1.1], [0.3, -1.2, 0.8], [-0.25, 0.6, -0.9]];

/// Every pair of whole numbers from 0 to 9: every threshold is met exactly.
fn grid() -> Dataset {
    let mut x = array("x", 100, &[2], 1.0, 1);
    for (i, v) in x.values.iter_mut().enumerate() {
        let sample = i / 2;
        *v = if i % 2 == 0 { sample % 10 } else { sample / 10 } as f64;
    }
    data(vec![x])
}

#[test]
fn every_comparison_holds_on_its_threshold_as_it_does_in_floats() {
    for modes in [["BRANCH_LEQ"], ["BRANCH_LT"], ["BRANCH_GT"], ["BRANCH_GTE"]] {
        let mut attributes = nodes(&modes, &TESTS);
        attributes.extend(leaves("target", &[0], &WEIGHTS));
        attributes.push(int("n_targets", 1));
        attributes.push(floats("base_values", &[0.125]));
        let model = Builder::default()
            .input("x", &[-1, 2])
            .node_in("ai.onnx.ml", "TreeEnsembleRegressor", &["x"], &["y"], attributes)
            .output("y")
            .build();
        let conversion = Converter::new(&model, &grid()).convert().unwrap();
        let d = conversion.report.outputs[0].difference;
        // Leaves differ by a tenth and more: one wrong turn would show.
        assert!(d.max_abs_error < 1e-5, "{modes:?}: {d:?}");
        assert!(d.rms > 0.3, "{modes:?}: {d:?}");
        assert_eq!(conversion.graph.inputs[0].fraction_bits, 0);
    }
}

#[test]
fn thresholds_between_whole_numbers_get_fraction_bits() {
    let tests = TESTS.map(|t| t.map(|(f, v)| (f, v + 0.5)));
    let mut attributes = nodes(&["BRANCH_LEQ"], &tests);
    attributes.extend(leaves("class", &[1], &WEIGHTS));
    attributes.push(ints("classlabels_int64s", &[0, 1]));
    attributes.push(string("post_transform", "LOGISTIC"));
    let conversion = Converter::new(&classifier(attributes), &grid()).convert().unwrap();
    assert_eq!(conversion.graph.inputs[0].fraction_bits, 1);
    assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
    assert!(conversion.report.outputs[1].difference.max_abs_error < 1e-4);
}

#[test]
fn real_features_keep_close_thresholds_apart() {
    let tests = [
        [(0, 0.1), (1, 0.100_001)],
        [(1, -0.333_33), (0, -0.333_34)],
        [(0, 0.5), (0, 0.1)],
    ];
    let mut attributes = nodes(&["BRANCH_LEQ"], &tests);
    attributes.extend(leaves("class", &[1], &WEIGHTS));
    attributes.push(ints("classlabels_int64s", &[0, 1]));
    attributes.push(string("post_transform", "LOGISTIC"));
    let data = data(vec![array("x", 2000, &[2], 1.0, 3)]);
    let conversion = Converter::new(&classifier(attributes), &data).convert().unwrap();
    assert!(conversion.graph.inputs[0].fraction_bits >= 20);
    assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
}

#[test]
fn several_classes_by_softmax_keep_their_names() {
    let mut attributes = nodes(&["BRANCH_LEQ"], &TESTS);
    attributes.extend(leaves("class", &[0, 1, 2], &WEIGHTS));
    attributes.push(strings("classlabels_strings", &["low", "middle", "high"]));
    attributes.push(string("post_transform", "SOFTMAX"));
    attributes.push(floats("base_values", &[0.1, -0.2, 0.3]));
    let conversion = Converter::new(&classifier(attributes), &grid()).convert().unwrap();
    let outputs = &conversion.graph.outputs;
    assert_eq!(outputs[0].labels, ["low", "middle", "high"]);
    assert!(outputs[1].labels.is_empty());
    assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
    assert!(conversion.report.outputs[1].difference.max_abs_error < 1e-4);
    assert_eq!(conversion.report.outputs[1].shape, [1, 3]);
}

#[test]
fn integer_classes_other_than_0_1_2_keep_their_numbers_in_names_and_metrics() {
    let mut attributes = nodes(&["BRANCH_LEQ"], &TESTS);
    attributes.extend(leaves("class", &[0, 1, 2], &WEIGHTS));
    attributes.push(ints("classlabels_int64s", &[3, 5, 8]));
    let model = classifier(attributes);
    let plain = Converter::new(&model, &grid()).convert().unwrap();
    assert_eq!(plain.graph.outputs[0].labels, ["3", "5", "8"]);
    // With the model's own answers as truth the accuracy is 1.
    let mut data = grid();
    let program = aiinference_engine::Program::new(plain.graph, &limits()).unwrap();
    let truth = (0..100).map(|i| {
        let x: Vec<i32> = data.arrays[0].values[2 * i..2 * i + 2]
            .iter()
            .map(|v| *v as i32)
            .collect();
        let kernels = aiinference_engine::Kernels::scalar();
        let class = program.run(&[&x], &kernels).unwrap()[0][0];
        [3.0, 5.0, 8.0][class as usize]
    });
    let truth = truth.collect();
    data.arrays.push(aiinference_convert::NamedArray {
        name: "truth".into(),
        shape: vec![100],
        values: truth,
    });
    let report = Converter::new(&model, &data).labels("truth").convert().unwrap().report;
    assert_eq!(report.metrics.unwrap().integer.accuracy, Some(1.0));
    assert_eq!(report.drop.metric, "accuracy");
}

pub fn limits() -> aiinference_engine::Limits {
    aiinference_engine::Limits {
        max_nodes: 1000,
        max_rank: 6,
        max_elements: 1 << 20,
        max_peak_bytes: 1 << 26,
        max_ports: 8,
        max_name_bytes: 64,
        max_labels: 64,
        max_header_entries: 8,
        max_header_bytes: 1024,
    }
}

#[test]
fn a_forest_votes_and_a_margin_is_its_own_opposite() {
    // Positive leaves without transformation are probabilities of class 1; others are margins.
    for (weights, first) in [([[0.11, 0.3, 0.2]; 3], 1.0), (WEIGHTS, 0.0)] {
        let mut attributes = nodes(&["BRANCH_LT"], &TESTS);
        attributes.extend(leaves("class", &[1], &weights));
        attributes.push(ints("classlabels_int64s", &[0, 1]));
        attributes.push(string("post_transform", "NONE"));
        let conversion = Converter::new(&classifier(attributes), &grid()).convert().unwrap();
        let program = aiinference_engine::Program::new(conversion.graph, &limits()).unwrap();
        let out = program.run(&[&[1, 1]], &aiinference_engine::Kernels::scalar()).unwrap();
        let unit = f64::from(program.outputs()[1].fraction_bits).exp2();
        let sum = f64::from(out[1][0] + out[1][1]) / unit;
        assert!((sum - first).abs() < 1e-4, "{sum}");
        assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
    }
}

#[test]
fn a_scaler_before_the_trees_keeps_its_precision() {
    let mut attributes = nodes(&["BRANCH_LEQ"], &TESTS.map(|t| t.map(|(f, v)| (f, v * 0.1 - 0.45))));
    attributes.extend(leaves("class", &[1], &WEIGHTS));
    attributes.push(ints("classlabels_int64s", &[0, 1]));
    attributes.push(string("post_transform", "LOGISTIC"));
    let scaler = vec![floats("offset", &[4.3, 4.7]), floats("scale", &[0.1, 0.1])];
    let model = Builder::default()
        .input("x", &[-1, 2])
        .node_in("ai.onnx.ml", "Scaler", &["x"], &["s"], scaler)
        .node_in(
            "ai.onnx.ml",
            "TreeEnsembleClassifier",
            &["s"],
            &["label", "p"],
            attributes,
        )
        .node("Cast", &["label"], &["class"], vec![int("to", 7)])
        .int_output("class")
        .output("p")
        .build();
    let conversion = Converter::new(&model, &grid()).convert().unwrap();
    assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
    assert!(conversion.report.outputs[1].difference.max_abs_error < 1e-4);
}

#[test]
fn linear_models_are_matmuls() {
    let model = Builder::default()
        .input("x", &[-1, 2])
        .node_in(
            "ai.onnx.ml",
            "LinearClassifier",
            &["x"],
            &["label", "p"],
            vec![
                floats("coefficients", &[0.3, -0.2]),
                floats("intercepts", &[0.43]),
                ints("classlabels_ints", &[0, 1]),
                string("post_transform", "LOGISTIC"),
            ],
        )
        .int_output("label")
        .output("p")
        .build();
    let conversion = Converter::new(&model, &grid()).convert().unwrap();
    assert_eq!(conversion.report.outputs[0].agreement, Some(1.0));
    assert!(conversion.report.outputs[1].difference.max_abs_error < 2e-4);
}

#[test]
fn a_zipmap_is_refused_with_the_option_that_avoids_it() {
    let mut attributes = nodes(&["BRANCH_LEQ"], &TESTS);
    attributes.extend(leaves("class", &[1], &WEIGHTS));
    attributes.push(ints("classlabels_int64s", &[0, 1]));
    let model = Builder::default()
        .input("x", &[-1, 2])
        .node_in(
            "ai.onnx.ml",
            "TreeEnsembleClassifier",
            &["x"],
            &["label", "p"],
            attributes,
        )
        .node_in(
            "ai.onnx.ml",
            "ZipMap",
            &["p"],
            &["z"],
            vec![ints("classlabels_int64s", &[0, 1])],
        )
        .int_output("label")
        .output("z")
        .build();
    let error = Converter::new(&model, &grid()).convert().unwrap_err().to_string();
    assert!(error.contains("ZipMap_1") && error.contains("zipmap"), "{error}");
}

#[test]
fn malformed_trees_are_refused() {
    let broken = |change: &dyn Fn(&mut Vec<AttributeProto>)| {
        let mut attributes = nodes(&["BRANCH_LEQ"], &TESTS);
        attributes.extend(leaves("target", &[0], &WEIGHTS));
        change(&mut attributes);
        let model = Builder::default()
            .input("x", &[-1, 2])
            .node_in("ai.onnx.ml", "TreeEnsembleRegressor", &["x"], &["y"], attributes)
            .output("y")
            .build();
        Converter::new(&model, &grid()).convert().unwrap_err().to_string()
    };
    let at = |attributes: &mut Vec<AttributeProto>, name: &str| attributes.iter().position(|a| a.name == name).unwrap();
    for (name, change, want) in [
        ("nodes_featureids", 7i64, "reads column 7 of 2"),
        ("nodes_truenodeids", 0, "has two parents"),
        ("nodes_truenodeids", 77, "leads to 77"),
        ("nodes_nodeids", 1, "twice"),
        ("target_ids", 3, "target 3 of 1"),
    ] {
        let error = broken(&|a| {
            let i = at(a, name);
            a[i].ints[0] = change;
        });
        assert!(error.contains(want), "{error}");
    }
    let error = broken(&|a| {
        let i = at(a, "nodes_modes");
        a[i].strings[0] = b"BRANCH_NEQ".to_vec();
    });
    assert!(error.contains("BRANCH_NEQ") && error.contains("BRANCH_LEQ"), "{error}");
    let error = broken(&|a| {
        let i = at(a, "nodes_values");
        a[i].floats.pop();
    });
    assert!(error.contains("nodes_values has 14 elements"), "{error}");
}
