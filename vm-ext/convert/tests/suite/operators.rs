//! Every convertible operator: a tiny ONNX model, float against integer, within a stated error.

use crate::common::*;
use aiinference_convert::{Converter, FloatModel, ImportOptions, Options, Report, Weights};

fn report(model: &[u8], shape: &[usize], scale: f32) -> Report {
    let data = data(vec![array("x", 64, shape, scale, 7)]);
    Converter::new(model, &data).convert().unwrap().report
}

/// Converts a model with input x and output y; the error must stay below `limit` and the values must be worth it.
fn check(what: &str, model: Vec<u8>, shape: &[usize], scale: f32, limit: f64) {
    let report = report(&model, shape, scale);
    for output in &report.outputs {
        let d = output.difference;
        assert!(d.max_abs_error < limit, "{what}: {d:?}");
        assert!(d.rms > 20.0 * limit, "{what}: {d:?}");
    }
}

fn unary(op: &str, attributes: Vec<aiinference_convert::proto::AttributeProto>) -> Vec<u8> {
    // HardSwish came with opset 14.
    Builder::default()
        .opset(14)
        .input("x", &[-1, 16])
        .node(op, &["x"], &["y"], attributes)
        .output("y")
        .build()
}

#[test]
fn elementwise_functions_are_tables_or_clamps() {
    for (op, scale, limit) in [
        ("Sigmoid", 8.0, 2e-4),
        ("Tanh", 3.0, 3e-4),
        ("Exp", 2.0, 2e-3),
        ("Erf", 2.0, 3e-4),
        ("Relu", 4.0, 3e-4),
        ("HardSwish", 5.0, 4e-4),
        ("Elu", 3.0, 4e-4),
        ("LeakyRelu", 3.0, 3e-4),
        ("Softplus", 5.0, 6e-4),
        ("Abs", 5.0, 4e-4),
        ("Neg", 5.0, 4e-4),
        ("Cos", 3.0, 4e-4),
        ("Softsign", 4.0, 5e-4),
        ("HardSigmoid", 6.0, 2e-4),
    ] {
        check(op, unary(op, vec![]), &[16], scale, limit);
    }
}

#[test]
fn clip_limits_what_is_before_it() {
    let model = Builder::default()
        .input("x", &[-1, 16])
        .constant("low", &[], &[-1.0])
        .constant("high", &[], &[2.5])
        .node("Clip", &["x", "low", "high"], &["y"], vec![])
        .output("y")
        .build();
    check("Clip", model, &[16], 4.0, 3e-4);
}

#[test]
fn a_gelu_written_out_becomes_one_table() {
    let model = Builder::default()
        .input("x", &[-1, 16])
        .constant("root", &[], &[std::f32::consts::SQRT_2])
        .constant("one", &[], &[1.0])
        .constant("half", &[], &[0.5])
        .node("Div", &["x", "root"], &["a"], vec![])
        .node("Erf", &["a"], &["b"], vec![])
        .node("Add", &["b", "one"], &["c"], vec![])
        .node("Mul", &["x", "c"], &["d"], vec![])
        .node("Mul", &["d", "half"], &["y"], vec![])
        .output("y")
        .build();
    let data = data(vec![array("x", 64, &[16], 4.0, 3)]);
    let conversion = Converter::new(&model, &data).convert().unwrap();
    let tables = conversion.report.layers.iter().filter(|l| l.op == "Table").count();
    assert_eq!(tables, 1, "{:?}", conversion.report.layers);
    assert!(conversion.report.outputs[0].difference.max_abs_error < 1e-3);
}

fn dense(weights_first: bool) -> Vec<u8> {
    let mut n = Numbers::new(11);
    let builder = Builder::default()
        .input("x", &[-1, 24])
        .constant(
            "w",
            if weights_first { &[10, 24] } else { &[24, 10] },
            &n.take(240, 0.5),
        )
        .constant("b", &[10], &n.take(10, 1.0));
    if weights_first {
        builder
            .node(
                "Gemm",
                &["x", "w", "b"],
                &["y"],
                vec![int("transB", 1), float("alpha", 0.5)],
            )
            .output("y")
            .build()
    } else {
        builder
            .node("MatMul", &["x", "w"], &["h"], vec![])
            .node("Add", &["h", "b"], &["y"], vec![])
            .output("y")
            .build()
    }
}

#[test]
fn matmul_and_gemm_fold_their_bias() {
    for weights_first in [false, true] {
        let model = dense(weights_first);
        check("dense", model.clone(), &[24], 2.0, 1e-3);
        let layers = report(&model, &[24], 2.0).layers;
        assert_eq!(layers.len(), 1, "{layers:?}");
    }
}

#[test]
fn a_matmul_with_weights_on_the_left_is_transposed() {
    let mut n = Numbers::new(5);
    let model = Builder::default()
        .input("x", &[-1, 6, 5])
        .constant("w", &[4, 6], &n.take(24, 1.0))
        .node("MatMul", &["w", "x"], &["y"], vec![])
        .output("y")
        .build();
    check("left weights", model, &[6, 5], 1.0, 6e-4);
}

#[test]
fn eight_bit_weights_cost_accuracy_and_sixteen_do_not() {
    let model = dense(true);
    let error = |weights| {
        let data = data(vec![array("x", 64, &[24], 2.0, 7)]);
        let options = Options {
            weights,
            ..Options::default()
        };
        let report = Converter::new(&model, &data).options(options).convert().unwrap().report;
        (report.layers[0].weight_bits, report.outputs[0].difference.rmse)
    };
    let ((b8, e8), (b16, e16)) = (error(Weights::I8), error(Weights::I16));
    // As many of the sixteen as leave sums 32 bits.
    assert!(b8 == Some(8) && b16 > Some(12), "{b8:?} {b16:?}");
    assert!(e8 > 4.0 * e16 && e8 < 0.05, "{e8} {e16}");
}

fn conv(attributes: Vec<aiinference_convert::proto::AttributeProto>, weights: &[i64], channels: usize) -> Vec<u8> {
    let mut n = Numbers::new(17);
    let size: i64 = weights.iter().product();
    Builder::default()
        .input("x", &[-1, 4, 9, 8])
        .constant("w", weights, &n.take(size as usize, 0.4))
        .constant("b", &[channels as i64], &n.take(channels, 0.5))
        .node("Conv", &["x", "w", "b"], &["h"], attributes)
        .node("Relu", &["h"], &["y"], vec![])
        .output("y")
        .build()
}

#[test]
fn convolutions_with_strides_padding_dilation_and_groups() {
    for (what, attributes, weights, channels) in [
        ("plain", vec![], [6, 4, 3, 3], 6),
        ("padded", vec![ints("pads", &[1, 1, 1, 1])], [6, 4, 3, 3], 6),
        (
            "lopsided",
            vec![ints("pads", &[0, 1, 2, 0]), ints("strides", &[2, 1])],
            [5, 4, 3, 2],
            5,
        ),
        (
            "strided",
            vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])],
            [3, 4, 3, 3],
            3,
        ),
        ("dilated", vec![ints("dilations", &[2, 2])], [3, 4, 3, 3], 3),
        ("grouped", vec![int("group", 2)], [6, 2, 3, 3], 6),
        (
            "depthwise",
            vec![int("group", 4), ints("pads", &[1, 1, 1, 1])],
            [4, 1, 3, 3],
            4,
        ),
        (
            "same",
            vec![string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])],
            [3, 4, 3, 3],
            3,
        ),
        ("pointwise", vec![], [5, 4, 1, 1], 5),
    ] {
        let model = conv(attributes, &weights, channels);
        check(what, model.clone(), &[4, 9, 8], 1.0, 1e-3);
        let layers = report(&model, &[4, 9, 8], 1.0).layers;
        assert_eq!(layers.len(), 1, "{what}: the ReLU is part of the Conv: {layers:?}");
    }
}

#[test]
fn a_convolution_in_one_dimension() {
    let mut n = Numbers::new(23);
    let model = Builder::default()
        .input("x", &[-1, 3, 20])
        .constant("w", &[4, 3, 5], &n.take(60, 0.5))
        .node(
            "Conv",
            &["x", "w"],
            &["y"],
            vec![ints("pads", &[2, 2]), ints("strides", &[2])],
        )
        .output("y")
        .build();
    check("1-d", model, &[3, 20], 1.0, 1e-3);
}

#[test]
fn batch_normalisation_folds_into_the_convolution() {
    let mut n = Numbers::new(29);
    let model = Builder::default()
        .input("x", &[-1, 4, 6, 6])
        .constant("w", &[5, 4, 3, 3], &n.take(180, 0.4))
        .constant("scale", &[5], &[1.0, 0.5, 2.0, -1.0, 0.7])
        .constant("bias", &[5], &n.take(5, 0.5))
        .constant("mean", &[5], &n.take(5, 0.5))
        .constant("var", &[5], &[1.0, 2.0, 0.5, 1.5, 0.3])
        .node("Conv", &["x", "w"], &["h"], vec![])
        .node(
            "BatchNormalization",
            &["h", "scale", "bias", "mean", "var"],
            &["n"],
            vec![],
        )
        .node("Relu", &["n"], &["y"], vec![])
        .output("y")
        .build();
    check("batch norm", model.clone(), &[4, 6, 6], 1.0, 2e-3);
    let layers = report(&model, &[4, 6, 6], 1.0).layers;
    assert_eq!(layers.len(), 1, "{layers:?}");
}

#[test]
fn pooling_upsampling_and_global_means() {
    let image = |op: &str, attributes| {
        Builder::default()
            .input("x", &[-1, 3, 8, 6])
            .node(op, &["x"], &["y"], attributes)
            .output("y")
            .build()
    };
    let kernel = || ints("kernel_shape", &[2, 2]);
    let strides = || ints("strides", &[2, 2]);
    let pads = || ints("pads", &[1, 1, 0, 0]);
    for (what, model, limit) in [
        ("max", image("MaxPool", vec![kernel(), strides()]), 1e-4),
        ("max padded", image("MaxPool", vec![kernel(), strides(), pads()]), 1e-4),
        ("mean", image("AveragePool", vec![kernel(), strides()]), 1e-4),
        (
            "mean padded",
            image("AveragePool", vec![kernel(), strides(), pads()]),
            1e-4,
        ),
        (
            "mean with padding",
            image(
                "AveragePool",
                vec![kernel(), strides(), pads(), int("count_include_pad", 1)],
            ),
            1e-4,
        ),
        ("global mean", image("GlobalAveragePool", vec![]), 1e-4),
        ("global max", image("GlobalMaxPool", vec![]), 1e-4),
        (
            "mean over axes",
            image("ReduceMean", vec![ints("axes", &[1, 3]), int("keepdims", 0)]),
            1e-4,
        ),
    ] {
        check(what, model, &[3, 8, 6], 1.0, limit);
    }
    let resize = Builder::default()
        .input("x", &[-1, 3, 4, 5])
        .constant("scales", &[4], &[1.0, 1.0, 2.0, 3.0])
        .node(
            "Resize",
            &["x", "", "scales"],
            &["y"],
            vec![
                string("mode", "nearest"),
                string("nearest_mode", "floor"),
                string("coordinate_transformation_mode", "asymmetric"),
            ],
        )
        .output("y")
        .build();
    check("resize", resize, &[3, 4, 5], 1.0, 1e-4);
}

#[test]
fn sums_of_an_axis_are_means_times_its_length() {
    let model = Builder::default()
        .input("x", &[-1, 5, 7])
        .ints("axes", &[1], &[1])
        .node("ReduceSum", &["x", "axes"], &["y"], vec![int("keepdims", 0)])
        .output("y")
        .build();
    check("sum", model, &[5, 7], 1.0, 4e-4);
}

#[test]
fn shapes_move_without_loss() {
    let model = Builder::default()
        .input("x", &[-1, 4, 6])
        .ints("to", &[3], &[-1, 3, 8])
        .ints("starts", &[1], &[1])
        .ints("ends", &[1], &[8])
        .ints("axes", &[1], &[2])
        .ints("steps", &[1], &[2])
        .node("Transpose", &["x"], &["a"], vec![ints("perm", &[0, 2, 1])])
        .node("Reshape", &["a", "to"], &["b"], vec![])
        .node("Slice", &["b", "starts", "ends", "axes", "steps"], &["c"], vec![])
        .node("Concat", &["c", "c"], &["d"], vec![int("axis", 1)])
        .node("Flatten", &["d"], &["y"], vec![])
        .output("y")
        .build();
    check("moves", model, &[4, 6], 1.0, 3.1e-5);
}

#[test]
fn softmax_gives_probabilities_and_argmax_the_class() {
    let model = Builder::default()
        .input("x", &[-1, 10])
        .node("Softmax", &["x"], &["p"], vec![int("axis", -1)])
        .node("ArgMax", &["x"], &["c"], vec![int("axis", 1), int("keepdims", 0)])
        .output("p")
        .int_output("c")
        .build();
    let report = report(&model, &[10], 6.0);
    assert_eq!(report.outputs[0].fraction_bits, 15);
    assert!(
        report.outputs[0].difference.max_abs_error < 2e-4,
        "{:?}",
        report.outputs[0]
    );
    assert_eq!(report.outputs[1].agreement, Some(1.0));
    assert_eq!(report.outputs[1].fraction_bits, 0);
}

#[test]
fn two_branches_are_added_multiplied_and_compared() {
    for (op, limit) in [
        ("Add", 4e-4),
        ("Sub", 4e-4),
        ("Mul", 4e-4),
        ("Max", 6e-4),
        ("Min", 6e-4),
    ] {
        let mut n = Numbers::new(31);
        let model = Builder::default()
            .input("x", &[-1, 8])
            .constant("w", &[8, 6], &n.take(48, 0.5))
            .constant("v", &[8, 6], &n.take(48, 0.5))
            .node("MatMul", &["x", "w"], &["a"], vec![])
            .node("MatMul", &["x", "v"], &["b"], vec![])
            .node(op, &["a", "b"], &["y"], vec![])
            .output("y")
            .build();
        check(op, model, &[8], 1.0, limit);
    }
}

#[test]
fn constants_per_channel_scale_and_shift() {
    let mut n = Numbers::new(37);
    let model = Builder::default()
        .input("x", &[-1, 3, 4, 4])
        .constant("mean", &[1, 3, 1, 1], &[0.485, 0.456, 0.406])
        .constant("std", &[1, 3, 1, 1], &[0.229, 0.224, 0.225])
        .constant("w", &[2, 3, 3, 3], &n.take(54, 0.5))
        .node("Sub", &["x", "mean"], &["a"], vec![])
        .node("Div", &["a", "std"], &["b"], vec![])
        .node("Conv", &["b", "w"], &["y"], vec![ints("pads", &[1, 1, 1, 1])])
        .output("y")
        .build();
    check("normalised image", model, &[3, 4, 4], 1.0, 5e-3);
}

#[test]
fn standardised_integers_keep_fractions_that_the_input_lacks() {
    // (x - 35.37) / 11.3 on whole numbers: the offset needs fraction bits that the input does not have.
    let model = Builder::default()
        .input("x", &[-1, 2])
        .constant("mean", &[2], &[35.37, 3271.258])
        .constant("std", &[2], &[11.3, 2822.7])
        .node("Sub", &["x", "mean"], &["a"], vec![])
        .node("Div", &["a", "std"], &["y"], vec![])
        .output("y")
        .build();
    let mut data = data(vec![array("x", 64, &[2], 1.0, 5)]);
    for (i, v) in data.arrays[0].values.iter_mut().enumerate() {
        *v = ((*v + 1.0) * if i % 2 == 0 { 40.0 } else { 9000.0 }).round();
    }
    let conversion = Converter::new(&model, &data).convert().unwrap();
    assert_eq!(conversion.graph.inputs[0].fraction_bits, 0);
    let d = conversion.report.outputs[0].difference;
    assert!(d.max_abs_error < 3e-4, "{d:?}");
}

#[test]
fn bytes_in_are_an_image_of_bytes() {
    let mut n = Numbers::new(41);
    let model = Builder::default()
        .typed_input("x", aiinference_convert::proto::DataType::Uint8, &[-1, 12])
        .constant("scale", &[], &[1.0 / 255.0])
        .constant("w", &[12, 4], &n.take(48, 1.0))
        .node("Cast", &["x"], &["f"], vec![int("to", 1)])
        .node("Mul", &["f", "scale"], &["s"], vec![])
        .node("MatMul", &["s", "w"], &["y"], vec![])
        .output("y")
        .build();
    let mut data = data(vec![array("x", 64, &[12], 1.0, 5)]);
    data.arrays[0]
        .values
        .iter_mut()
        .for_each(|v| *v = ((*v + 1.0) * 127.0).floor());
    let conversion = Converter::new(&model, &data).convert().unwrap();
    let input = &conversion.graph.inputs[0];
    assert_eq!((input.low, input.high, input.fraction_bits), (0, 255, 0));
    assert!(conversion.report.outputs[0].difference.max_abs_error < 1e-3);
}

#[test]
fn a_cnn_keeps_its_classes() {
    let mut n = Numbers::new(43);
    let model = Builder::default()
        .input("x", &[-1, 1, 12, 12])
        .constant("w1", &[8, 1, 3, 3], &n.take(72, 0.6))
        .constant("b1", &[8], &n.take(8, 0.2))
        .constant("w2", &[16, 8, 3, 3], &n.take(1152, 0.2))
        .constant("w3", &[16, 10], &n.take(160, 0.8))
        .node("Conv", &["x", "w1", "b1"], &["c1"], vec![ints("pads", &[1, 1, 1, 1])])
        .node("Relu", &["c1"], &["r1"], vec![])
        .node(
            "MaxPool",
            &["r1"],
            &["p1"],
            vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
        )
        .node("Conv", &["p1", "w2"], &["c2"], vec![])
        .node("Sigmoid", &["c2"], &["g2"], vec![])
        .node("Mul", &["c2", "g2"], &["s2"], vec![])
        .node("GlobalAveragePool", &["s2"], &["p2"], vec![])
        .node("Flatten", &["p2"], &["f2"], vec![])
        .node("MatMul", &["f2", "w3"], &["logits"], vec![])
        .node("Softmax", &["logits"], &["p"], vec![int("axis", 1)])
        .output("p")
        .build();
    let report = report(&model, &[1, 12, 12], 2.0);
    assert!(
        report.outputs[0].difference.max_abs_error < 5e-4,
        "{:?}",
        report.outputs[0]
    );
    assert!(report.outputs[0].agreement.unwrap() > 0.95);
}

#[test]
fn enlarging_by_whole_factors_is_recognised_in_every_spelling() {
    let resize = |coordinates: &str, nearest: &str| {
        Builder::default()
            .input("x", &[-1, 2, 3, 5])
            .constant("scales", &[4], &[1.0, 1.0, 3.0, 2.0])
            .node(
                "Resize",
                &["x", "", "scales"],
                &["y"],
                vec![
                    string("mode", "nearest"),
                    string("nearest_mode", nearest),
                    string("coordinate_transformation_mode", coordinates),
                ],
            )
            .output("y")
            .build()
    };
    for (coordinates, nearest) in [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")] {
        check(nearest, resize(coordinates, nearest), &[2, 3, 5], 1.0, 1e-4);
    }
    let sizes = Builder::default()
        .input("x", &[-1, 2, 3, 5])
        .ints("sizes", &[4], &[1, 2, 6, 5])
        .node(
            "Resize",
            &["x", "", "", "sizes"],
            &["y"],
            vec![string("mode", "nearest")],
        )
        .output("y")
        .build();
    check("sizes", sizes, &[2, 3, 5], 1.0, 1e-4);
}

#[test]
fn mixtures_along_axes_are_matmuls() {
    let linear = Builder::default()
        .input("x", &[-1, 2, 3, 5])
        .constant("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["x", "", "scales"], &["y"], vec![string("mode", "linear")])
        .output("y")
        .build();
    check("linear", linear, &[2, 3, 5], 1.0, 2e-4);
    let sums = Builder::default()
        .input("x", &[-1, 8])
        .ints("axis", &[], &[1])
        .node("CumSum", &["x", "axis"], &["y"], vec![])
        .output("y")
        .build();
    check("sums", sums, &[8], 1.0, 1e-3);
}

#[test]
fn a_transposed_convolution_is_a_convolution_with_a_channel_per_phase() {
    let mut n = Numbers::new(61);
    let model = Builder::default()
        .input("x", &[-1, 3, 5, 4])
        .constant("w", &[3, 2, 3, 3], &n.take(54, 0.5))
        .constant("b", &[2], &n.take(2, 0.5))
        .node(
            "ConvTranspose",
            &["x", "w", "b"],
            &["y"],
            vec![
                ints("strides", &[2, 2]),
                ints("pads", &[1, 1, 1, 1]),
                ints("output_padding", &[1, 1]),
            ],
        )
        .output("y")
        .build();
    check("transposed", model, &[3, 5, 4], 1.0, 1e-3);
}

#[test]
fn a_condition_on_one_value_is_a_table_and_on_another_a_gate() {
    let model = Builder::default()
        .input("x", &[-1, 8])
        .constant("zero", &[], &[0.0])
        .constant("slope", &[], &[0.25])
        .node("Greater", &["x", "zero"], &["c"], vec![])
        .node("Mul", &["x", "slope"], &["s"], vec![])
        .node("Where", &["c", "x", "s"], &["y"], vec![])
        .output("y")
        .build();
    check("where", model.clone(), &[8], 2.0, 3e-4);
    assert_eq!(report(&model, &[8], 2.0).layers.len(), 1);
}

#[test]
fn padding_and_gathering_by_constants_move_elements() {
    let model = Builder::default()
        .input("x", &[-1, 3, 4])
        .ints("pads", &[6], &[0, 1, 0, 0, 0, 2])
        .ints("picked", &[3], &[3, 0, 2])
        .node("Pad", &["x", "pads"], &["a"], vec![])
        .node("Gather", &["a", "picked"], &["y"], vec![int("axis", 1)])
        .output("y")
        .build();
    check("pad and gather", model, &[3, 4], 1.0, 1e-4);
}

#[test]
fn a_softmax_over_channels_is_transposed() {
    let model = Builder::default()
        .input("x", &[-1, 5, 3, 2])
        .node("Softmax", &["x"], &["y"], vec![int("axis", 1)])
        .output("y")
        .build();
    check("channels", model, &[5, 3, 2], 3.0, 2e-4);
}

#[test]
fn steep_ramps_clipped_to_a_mask_keep_their_edges() {
    // Terms of some hundreds, of which a result between 0 and 1 is left.
    let mut n = Numbers::new(51);
    let model = Builder::default()
        .input("x", &[-1, 8])
        .constant("w", &[8, 6], &n.take(48, 150.0))
        .constant("v", &[8, 6], &n.take(48, 150.0))
        .constant("zero", &[], &[0.0])
        .constant("one", &[], &[1.0])
        .node("MatMul", &["x", "w"], &["a"], vec![])
        .node("MatMul", &["x", "v"], &["b"], vec![])
        .node("Add", &["a", "b"], &["s"], vec![])
        .node("Clip", &["s", "zero", "one"], &["y"], vec![])
        .output("y")
        .build();
    let d = report(&model, &[8], 1.0).outputs[0].difference;
    // In 16 bits the terms would count units of 1/32.
    assert!(d.rmse < 2e-3, "{d:?}");
}

#[test]
fn a_normalisation_spelt_out_is_one_operation() {
    let model = |norm: &dyn Fn(Builder) -> Builder| {
        let builder = Builder::default()
            .opset(17)
            .input("x", &[-1, 3, 8])
            .constant("gamma", &[8], &[1.0, 0.5, 2.0, -1.0, 0.7, 1.1, 0.9, 1.3])
            .constant("beta", &[8], &[0.0, 0.1, -0.2, 0.3, 0.0, 0.0, 0.5, -0.5])
            .constant("two", &[], &[2.0])
            .constant("epsilon", &[], &[1e-3]);
        norm(builder).output("y").build()
    };
    let whole = model(&|b| {
        b.node(
            "LayerNormalization",
            &["x", "gamma", "beta"],
            &["y"],
            vec![float("epsilon", 1e-3)],
        )
    });
    let spelt = model(&|b| {
        b.node("ReduceMean", &["x"], &["m"], vec![ints("axes", &[-1])])
            .node("Sub", &["x", "m"], &["d"], vec![])
            .node("Pow", &["d", "two"], &["p"], vec![])
            .node("ReduceMean", &["p"], &["v"], vec![ints("axes", &[-1])])
            .node("Add", &["v", "epsilon"], &["e"], vec![])
            .node("Sqrt", &["e"], &["s"], vec![])
            .node("Div", &["d", "s"], &["q"], vec![])
            .node("Mul", &["q", "gamma"], &["g"], vec![])
            .node("Add", &["g", "beta"], &["y"], vec![])
    });
    let [whole, spelt] = [whole, spelt].map(|m| FloatModel::read(&m, &ImportOptions::default()).unwrap());
    assert_eq!((whole.operations(), spelt.operations()), (1, 1));
    let x = Numbers::new(3)
        .take(24, 2.0)
        .into_iter()
        .map(f64::from)
        .collect::<Vec<f64>>();
    let [a, b] = [whole, spelt].map(|m| m.run(std::slice::from_ref(&x)).remove(0).values);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
}

#[test]
fn a_quantised_layer_sums_integers_and_scales_once() {
    let mut n = Numbers::new(83);
    let weights: Vec<i64> = (0..48).map(|_| (n.next() * 127.0) as i64).collect();
    let builder = Builder::default()
        .input("x", &[-1, 8])
        .constant("sx", &[], &[0.02])
        .constant("sw", &[6], &[0.01, 0.02, 0.005, 0.03, 0.01, 0.04])
        .ints("w", &[8, 6], &weights)
        .node("QuantizeLinear", &["x", "sx"], &["q"], vec![])
        .node("DequantizeLinear", &["q", "sx"], &["r"], vec![])
        .node("DequantizeLinear", &["w", "sw"], &["wr"], vec![int("axis", 1)])
        .node("MatMul", &["r", "wr"], &["y"], vec![])
        .output("y");
    let model = FloatModel::read(&builder.build(), &ImportOptions::default()).unwrap();
    // Round, multiply, scale.
    assert_eq!(model.operations(), 3);
    let x: Vec<f64> = (0..8).map(|i| f64::from(i) * 0.366).collect();
    let y = model.run(std::slice::from_ref(&x)).remove(0).values;
    let scales = [0.01f32, 0.02, 0.005, 0.03, 0.01, 0.04].map(f64::from);
    for (c, y) in y.iter().enumerate() {
        let sx = f64::from(0.02f32);
        let sum: f64 = (0..8)
            .map(|k| (x[k] / sx).round_ties_even().clamp(0.0, 255.0) * weights[k * 6 + c] as f64)
            .sum();
        assert!((y - sum * sx * scales[c]).abs() < 1e-9, "{c}");
    }
}

/// A support vector machine on one number, with one vector per class at 1, 2, ..
fn machine(classes: i64, coefficients: &[f32], rho: &[f32]) -> Vec<u8> {
    let list: Vec<i64> = (0..classes).collect();
    let vectors: Vec<f32> = (1..=classes).map(|v| v as f32).collect();
    let attributes = vec![
        ints("classlabels_ints", &list),
        ints("vectors_per_class", &vec![1; classes as usize]),
        floats("support_vectors", &vectors),
        floats("coefficients", coefficients),
        floats("rho", rho),
        string("kernel_type", "LINEAR"),
    ];
    Builder::default()
        .input("x", &[-1, 1])
        .node_in("ai.onnx.ml", "SVMClassifier", &["x"], &["label", "scores"], attributes)
        .int_output("label")
        .output("scores")
        .build()
}

#[test]
fn a_support_vector_machine_without_probabilities_gives_its_decisions() {
    let run = |model: &[u8], x: f64| {
        let outputs = FloatModel::read(model, &ImportOptions::default())
            .unwrap()
            .run(&[vec![x]]);
        (outputs[0].values.clone(), outputs[1].values.clone())
    };
    // Two classes: what speaks against the first one, and for it.
    let two = machine(2, &[-1.0, 0.25], &[0.75]);
    assert_eq!(run(&two, 1.0), (vec![0.0], vec![-0.25, 0.25]));
    assert_eq!(run(&two, 2.0), (vec![1.0], vec![0.25, -0.25]));
    // Three classes: one decision per pair.
    let three = machine(3, &[1.0, -1.0, -1.0, 1.0, -0.5, 0.5], &[1.0, 2.0, -0.5]);
    assert_eq!(run(&three, 2.0), (vec![1.0], vec![-1.0, -2.0, 0.5]));
}
