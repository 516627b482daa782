//! Corners of the ONNX specification, by numbers worked out by hand.

use aiinference_convert::proto::{AttributeProto, DataType};
use aiinference_convert::{FloatModel, FloatOutput, ImportOptions};

use crate::common::*;

fn run(model: &[u8], inputs: &[&[f64]]) -> Vec<FloatOutput> {
    let inputs: Vec<Vec<f64>> = inputs.iter().map(|i| i.to_vec()).collect();
    FloatModel::read(model, &ImportOptions::default()).unwrap().run(&inputs)
}

/// The values of the first output.
fn values(model: &[u8], inputs: &[&[f64]]) -> Vec<f64> {
    run(model, inputs).remove(0).values
}

fn refusal(model: &[u8]) -> String {
    match FloatModel::read(model, &ImportOptions::default()) {
        Ok(_) => panic!("it is read"),
        Err(e) => e.to_string(),
    }
}

fn close(found: &[f64], want: &[f64]) {
    let fits = found.len() == want.len() && found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(fits, "{found:?} instead of {want:?}");
}

#[test]
fn n_grams_are_truncated_for_idf_only() {
    for (mode, want) in [("TF", [3.0, 1.0]), ("IDF", [0.5, 4.0]), ("TFIDF", [1.5, 4.0])] {
        let attributes = vec![
            string("mode", mode),
            ints("pool_int64s", &[7, 9]),
            ints("ngram_counts", &[0]),
            ints("ngram_indexes", &[0, 1]),
            floats("weights", &[0.5, 4.0]),
            int("min_gram_length", 1),
            int("max_gram_length", 1),
            int("max_skip_count", 0),
        ];
        let model = Builder::default()
            .typed_input("x", DataType::Int32, &[5])
            .node("TfIdfVectorizer", &["x"], &["y"], attributes)
            .output("y")
            .build();
        close(&values(&model, &[&[7.0, 7.0, 9.0, 7.0, 1.0]]), &want);
    }
}

#[test]
fn odd_cuts_of_transposed_convolutions_are_in_front_unless_said_otherwise() {
    // Whole it is [1, 2, 13, 20, 30].
    for (auto, want) in [
        ("NOTSET", [2.0, 13.0, 20.0, 30.0]),
        ("SAME_LOWER", [2.0, 13.0, 20.0, 30.0]),
        ("SAME_UPPER", [1.0, 2.0, 13.0, 20.0]),
    ] {
        let attributes = vec![
            ints("output_shape", &[4]),
            ints("strides", &[2]),
            string("auto_pad", auto),
        ];
        let model = Builder::default()
            .input("x", &[1, 1, 2])
            .constant("w", &[1, 1, 3], &[1.0, 2.0, 3.0])
            .node("ConvTranspose", &["x", "w"], &["y"], attributes)
            .output("y")
            .build();
        close(&values(&model, &[&[1.0, 10.0]]), &want);
    }
}

#[test]
fn means_count_declared_padding_and_none_that_rounding_up_adds() {
    for (count, want) in [(1, [1.0, 3.0, 2.0]), (0, [1.5, 3.0, 4.0])] {
        let attributes = vec![
            ints("kernel_shape", &[3]),
            ints("strides", &[2]),
            ints("pads", &[1, 1]),
            int("ceil_mode", 1),
            int("count_include_pad", count),
        ];
        let model = Builder::default()
            .opset(19)
            .input("x", &[1, 1, 4])
            .node("AveragePool", &["x"], &["y"], attributes)
            .output("y")
            .build();
        close(&values(&model, &[&[1.0, 2.0, 3.0, 4.0]]), &want);
    }
}

#[test]
fn norms_are_sums_wherever_windows_end() {
    let pool = |attributes: Vec<AttributeProto>| {
        let window = vec![ints("kernel_shape", &[3]), ints("strides", &[2]), int("ceil_mode", 1)];
        let model = Builder::default()
            .opset(18)
            .input("x", &[1, 1, 4])
            .node("LpPool", &["x"], &["y"], [window, attributes].concat())
            .output("y")
            .build();
        values(&model, &[&[-3.0, 4.0, 0.0, -2.0]])
    };
    close(&pool(vec![]), &[5.0, 2.0]);
    close(&pool(vec![int("p", 1)]), &[7.0, 2.0]);
    // The first operator set has floats.
    close(&pool(vec![float("p", 1.0)]), &[7.0, 2.0]);
    close(&pool(vec![float("p", 3.0)]), &[91f64.cbrt(), 2.0]);
    for (p, want) in [(float("p", 1.0), 9.0), (int("p", 2), 29f64.sqrt())] {
        let model = Builder::default()
            .input("x", &[1, 1, 4])
            .node("GlobalLpPool", &["x"], &["y"], vec![p])
            .output("y")
            .build();
        close(&values(&model, &[&[-3.0, 4.0, 0.0, -2.0]]), &[want]);
    }
    let model = Builder::default()
        .input("x", &[1, 1, 4])
        .node("GlobalLpPool", &["x"], &["y"], vec![int("p", -1)])
        .output("y")
        .build();
    assert!(refusal(&model).contains("order"));
}

#[test]
fn alphas_go_to_the_activations_that_have_one() {
    let attributes = vec![
        int("hidden_size", 1),
        string("direction", "bidirectional"),
        strings("activations", &["Tanh", "LeakyRelu"]),
        floats("activation_alpha", &[0.5]),
    ];
    let model = Builder::default()
        .opset(14)
        .input("x", &[1, 1, 1])
        .constant("w", &[2, 1, 1], &[1.0, 1.0])
        .node("RNN", &["x", "w", "w"], &["y"], attributes)
        .output("y")
        .build();
    close(&values(&model, &[&[-2.0]]), &[libm::tanh(-2.0), -1.0]);
}

#[test]
fn directions_and_weights_fit_each_other() {
    let model = Builder::default()
        .opset(14)
        .input("x", &[1, 1, 1])
        .constant("w", &[2, 1, 1], &[1.0, 1.0])
        .node("RNN", &["x", "w", "w"], &["y"], vec![int("hidden_size", 1)])
        .output("y")
        .build();
    assert!(refusal(&model).contains("directions"));
}

#[test]
fn slices_backwards_start_at_the_first_element_at_least() {
    for (start, end, want) in [
        (-100, -1000, &[0.0][..]),
        (100, -1000, &[4.0, 3.0, 2.0, 1.0, 0.0]),
        (-2, 0, &[3.0, 2.0, 1.0]),
        (0, 3, &[]),
    ] {
        let model = Builder::default()
            .input("x", &[5])
            .ints("s", &[1], &[start])
            .ints("e", &[1], &[end])
            .ints("a", &[1], &[0])
            .ints("t", &[1], &[-1])
            .node("Slice", &["x", "s", "e", "a", "t"], &["y"], vec![])
            .output("y")
            .build();
        close(&values(&model, &[&[0.0, 1.0, 2.0, 3.0, 4.0]]), want);
    }
    // Of no elements there is no first.
    let model = Builder::default()
        .input("x", &[1, 0])
        .ints("m", &[1], &[-1])
        .ints("a", &[1], &[1])
        .node("Slice", &["x", "m", "m", "a", "m"], &["y"], vec![])
        .output("y")
        .build();
    assert_eq!(run(&model, &[])[0].shape, [1, 0]);
}

#[test]
fn updates_are_written_within_the_data_only() {
    let elements = |at: &[i64]| {
        Builder::default()
            .opset(18)
            .input("x", &[3])
            .ints("i", &[2], at)
            .constant("u", &[2], &[10.0, 20.0])
            .node("ScatterElements", &["x", "i", "u"], &["y"], vec![])
            .output("y")
            .build()
    };
    close(&values(&elements(&[-1, 0]), &[&[1.0, 2.0, 3.0]]), &[20.0, 2.0, 10.0]);
    // Of two at one place the last stays.
    close(&values(&elements(&[1, 1]), &[&[1.0, 2.0, 3.0]]), &[1.0, 20.0, 3.0]);
    let rows = |at: &[i64]| {
        Builder::default()
            .opset(18)
            .input("x", &[2, 2])
            .ints("i", &[1, 2], at)
            .constant("u", &[1], &[9.0])
            .node("ScatterND", &["x", "i", "u"], &["y"], vec![])
            .output("y")
            .build()
    };
    close(
        &values(&rows(&[1, -2]), &[&[1.0, 2.0, 3.0, 4.0]]),
        &[1.0, 2.0, 9.0, 4.0],
    );
    for wrong in [[3, 0], [0, -4], [i64::MAX, 0], [i64::MIN, 0]] {
        assert!(refusal(&elements(&wrong)).contains("writes at"), "{wrong:?}");
        assert!(refusal(&rows(&wrong)).contains("writes at"), "{wrong:?}");
    }
    let longer = Builder::default()
        .opset(18)
        .input("x", &[2, 2])
        .ints("i", &[1, 3], &[0, 0, 0])
        .constant("u", &[1, 3], &[1.0; 3])
        .node("ScatterElements", &["x", "i", "u"], &["y"], vec![])
        .output("y")
        .build();
    assert!(refusal(&longer).contains("longer"));
}

/// `sums` of bytes by QLinearMatMul, with scales as given.
fn quantised_product(a_scale: &[f32], b_scale: &[f32], y_scale: &[f32]) -> Vec<f64> {
    let vector = |v: &[f32]| if v.len() == 1 { vec![] } else { vec![v.len() as i64] };
    let model = Builder::default()
        .typed_input("a", DataType::Uint8, &[2, 2])
        .typed_input("b", DataType::Uint8, &[2, 2])
        .typed_input("z", DataType::Uint8, &[])
        .constant("sa", &vector(a_scale), a_scale)
        .constant("sb", &vector(b_scale), b_scale)
        .constant("sy", &vector(y_scale), y_scale)
        .node(
            "QLinearMatMul",
            &["a", "sa", "z", "b", "sb", "z", "sy", "z"],
            &["y"],
            vec![],
        )
        .output("y")
        .build();
    // [[1, 2], [3, 4]] twice: [[7, 10], [15, 22]]
    values(&model, &[&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], &[0.0]])
}

#[test]
fn scales_of_a_quantised_product_belong_to_rows_of_one_and_columns_of_the_other() {
    close(
        &quantised_product(&[1.0, 10.0], &[1.0], &[1.0]),
        &[7.0, 10.0, 150.0, 220.0],
    );
    close(
        &quantised_product(&[1.0], &[1.0, 10.0], &[1.0]),
        &[7.0, 100.0, 15.0, 220.0],
    );
    close(
        &quantised_product(&[1.0, 2.0], &[1.0, 3.0], &[1.0]),
        &[7.0, 30.0, 30.0, 132.0],
    );
    close(
        &quantised_product(&[1.0], &[1.0], &[1.0, 0.5]),
        &[7.0, 10.0, 30.0, 44.0],
    );
}

#[test]
fn a_scale_of_one_element_gives_a_quantised_product_no_axis() {
    let model = Builder::default()
        .typed_input("a", DataType::Uint8, &[2])
        .typed_input("b", DataType::Uint8, &[2])
        .typed_input("z", DataType::Uint8, &[])
        .constant("s", &[1], &[1.0])
        .node(
            "QLinearMatMul",
            &["a", "s", "z", "b", "s", "z", "s", "z"],
            &["y"],
            vec![],
        )
        .output("y")
        .build();
    // The axis of the operands is no batch.
    let mut options = ImportOptions::default();
    for input in ["a", "b"] {
        options.shapes.insert(input.into(), vec![2]);
    }
    let read = FloatModel::read(&model, &options).unwrap();
    let y = read.run(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![0.0]]).remove(0);
    assert_eq!((y.shape, y.values), (vec![], vec![11.0]));
}

#[test]
fn a_quantised_product_has_the_type_of_its_zero_point() {
    let model = Builder::default()
        .typed_input("a", DataType::Uint8, &[1, 1])
        .typed_input("b", DataType::Int8, &[1, 1])
        .typed_input("az", DataType::Uint8, &[])
        .typed_input("z", DataType::Int8, &[])
        .constant("s", &[], &[1.0])
        .node_in(
            "com.microsoft",
            "QGemm",
            &["a", "s", "az", "b", "s", "z", "", "s", "z"],
            &["y"],
            vec![],
        )
        .output("y")
        .build();
    close(&values(&model, &[&[5.0], &[-7.0], &[0.0], &[0.0]]), &[-35.0]);
    close(&values(&model, &[&[50.0], &[7.0], &[0.0], &[0.0]]), &[127.0]);
}

#[test]
fn sparse_tensors_of_bodies_are_read() {
    let mut branch = Builder::default()
        .node("Add", &["x", "s"], &["b"], vec![])
        .output("b")
        .graph();
    branch.sparse_initializer.push(sparse("s", &[4], &[5.0], &[2]));
    let model = Builder::default()
        .input("x", &[4])
        .ints("yes", &[], &[1])
        .node(
            "If",
            &["yes"],
            &["y"],
            vec![body("then_branch", branch.clone()), body("else_branch", branch)],
        )
        .output("y")
        .build();
    close(&values(&model, &[&[1.0, 1.0, 1.0, 1.0]]), &[1.0, 1.0, 6.0, 1.0]);
}

#[test]
fn operators_are_those_of_their_domain() {
    for (domain, operator) in [
        ("ai.onnx.ml", "Relu"),
        ("com.microsoft", "Relu"),
        ("com.example", "Relu"),
        ("", "Scaler"),
        ("", "QuickGelu"),
    ] {
        let model = Builder::default()
            .input("x", &[4])
            .node_in(domain, operator, &["x"], &["y"], vec![])
            .output("y")
            .build();
        assert!(refusal(&model).contains("does not know"), "{domain} {operator}");
    }
    let model = Builder::default()
        .input("x", &[4])
        .node_in("ai.onnx", "Relu", &["x"], &["y"], vec![])
        .output("y")
        .build();
    close(&values(&model, &[&[-1.0, 1.0, -2.0, 2.0]]), &[0.0, 1.0, 0.0, 2.0]);
}

#[test]
fn a_pad_of_com_microsoft_takes_operands() {
    let model = Builder::default()
        .input("x", &[2])
        .ints("pads", &[2], &[1, 2])
        .constant("value", &[], &[7.0])
        .node_in("com.microsoft", "Pad", &["x", "pads", "value"], &["y"], vec![])
        .output("y")
        .build();
    close(&values(&model, &[&[1.0, 2.0]]), &[7.0, 1.0, 2.0, 7.0, 7.0]);
}

#[test]
fn tiles_by_any_number_are_the_same() {
    for times in [3, 100] {
        let model = Builder::default()
            .input("x", &[2, 3])
            .ints("times", &[2], &[times, 2])
            .node("Tile", &["x", "times"], &["y"], vec![])
            .output("y")
            .build();
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows = [[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 4.0, 5.0, 6.0]].concat();
        close(&values(&model, &[&x]), &rows.repeat(times as usize));
    }
}

#[test]
fn unique_rows_come_sorted_or_in_their_order() {
    for (sorted, first, kind) in [(1, [1.0, 0.0], [1.0, 0.0, 1.0]), (0, [0.0, 1.0], [0.0, 1.0, 0.0])] {
        let model = Builder::default()
            .constant("x", &[3, 2], &[2.0, 0.0, 1.0, 5.0, 2.0, -0.0])
            .node(
                "Unique",
                &["x"],
                &["y", "first", "kind", "count"],
                vec![int("axis", 0), int("sorted", sorted)],
            )
            .output("first")
            .output("kind")
            .build();
        let outputs = run(&model, &[]);
        assert_eq!(outputs[0].values, first);
        assert_eq!(outputs[1].values, kind);
    }
}
