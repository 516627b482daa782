//! Operations between computed values, whole numbers, and bodies that run again and again: float against integer.

use crate::common::*;
use aiinference_convert::proto::{AttributeProto, DataType};
use aiinference_convert::{Conversion, Converter, Dataset, NamedArray};

fn convert(model: &[u8], arrays: Vec<NamedArray>) -> Conversion {
    Converter::new(model, &data(arrays)).convert().unwrap()
}

/// Every output must come within `part` of its root mean square.
fn close(what: &str, model: &[u8], arrays: Vec<NamedArray>, part: f64) {
    for output in &convert(model, arrays).report.outputs {
        let d = output.difference;
        assert!(d.max_abs_error <= part * d.rms, "{what} {}: {d:?}", output.name);
        assert!(d.rms > 1e-3, "{what}: {d:?}");
    }
}

/// Every output must be what the float model gives, to the last unit.
fn exact(what: &str, model: &[u8], data: &Dataset) {
    let report = Converter::new(model, data).convert().unwrap().report;
    for output in &report.outputs {
        assert_eq!(output.difference.max_abs_error, 0.0, "{what} {}", output.name);
        assert!(output.difference.rms > 0.0, "{what}");
    }
}

fn two(op: &str, attributes: Vec<AttributeProto>) -> Vec<u8> {
    Builder::default()
        .opset(18)
        .input("a", &[-1, 16])
        .input("b", &[-1, 16])
        .node(op, &["a", "b"], &["y"], attributes)
        .output("y")
        .build()
}

fn away_from_zero(mut array: NamedArray) -> NamedArray {
    array.values.iter_mut().for_each(|v| *v += 0.25f64.copysign(*v));
    array
}

#[test]
fn attention_multiplies_two_activations() {
    let model = Builder::default()
        .input("x", &[-1, 6, 8])
        .node("Transpose", &["x"], &["t"], vec![ints("perm", &[0, 2, 1])])
        .node("MatMul", &["x", "t"], &["scores"], vec![])
        .node("Softmax", &["scores"], &["p"], vec![int("axis", -1)])
        .node("MatMul", &["p", "x"], &["y"], vec![])
        .output("y")
        .build();
    close("attention", &model, vec![array("x", 24, &[6, 8], 1.0, 5)], 5e-3);
}

#[test]
fn quotients_extremes_and_choices_between_two_values() {
    let arrays = || {
        vec![
            array("a", 32, &[16], 3.0, 1),
            away_from_zero(array("b", 32, &[16], 2.0, 2)),
        ]
    };
    for op in ["Div", "Min", "Max"] {
        close(op, &two(op, vec![]), arrays(), 2e-3);
    }
    let choice = Builder::default()
        .input("a", &[-1, 16])
        .input("b", &[-1, 16])
        .node("Less", &["a", "b"], &["c"], vec![])
        .node("Where", &["c", "a", "b"], &["y"], vec![])
        .output("y")
        .build();
    close("Where", &choice, arrays(), 1e-3);
}

#[test]
fn functions_too_steep_for_a_table_are_composed() {
    for (op, part) in [("Sqrt", 1e-3), ("Reciprocal", 2e-3), ("Log", 2e-3)] {
        let model = Builder::default()
            .input("x", &[-1, 16])
            .node("Abs", &["x"], &["a"], vec![])
            .constant("least", &[], &[0.01])
            .node("Add", &["a", "least"], &["b"], vec![])
            .node(op, &["b"], &["y"], vec![])
            .output("y")
            .build();
        close(op, &model, vec![array("x", 64, &[16], 20.0, 3)], part);
    }
}

#[test]
fn rows_are_normalised() {
    let mut n = Numbers::new(8);
    let model = Builder::default()
        .opset(17)
        .input("x", &[-1, 12])
        .constant("gamma", &[12], &n.take(12, 2.0))
        .constant("beta", &[12], &n.take(12, 1.0))
        .node(
            "LayerNormalization",
            &["x", "gamma", "beta"],
            &["y"],
            vec![int("axis", -1)],
        )
        .output("y")
        .build();
    close("LayerNormalization", &model, vec![array("x", 32, &[12], 9.0, 4)], 1e-3);
}

#[test]
fn the_largest_and_their_places() {
    let model = Builder::default()
        .input("x", &[-1, 16])
        .ints("k", &[1], &[3])
        .node("TopK", &["x", "k"], &["y", "places"], vec![])
        .output("y")
        .int_output("places")
        .build();
    let report = convert(&model, vec![array("x", 40, &[16], 5.0, 6)]).report;
    assert!(report.outputs[0].difference.max_abs_error < 1e-3);
    assert_eq!(report.outputs[1].difference.max_abs_error, 0.0);
}

fn whole(name: &str, samples: usize, size: usize, scale: f32, seed: u64) -> NamedArray {
    let mut array = array(name, samples, &[size], scale, seed);
    array.values.iter_mut().for_each(|v| *v = v.trunc());
    array
}

#[test]
fn whole_numbers_stay_exact() {
    let divisors = |mut b: NamedArray| {
        b.values.iter_mut().for_each(|v| *v = v.abs() + 1.0);
        b
    };
    for op in ["Add", "Sub", "Mul", "Div", "Mod", "Min", "Max"] {
        let model = Builder::default()
            .opset(14)
            .typed_input("a", DataType::Int32, &[-1, 16])
            .typed_input("b", DataType::Int32, &[-1, 16])
            .node(op, &["a", "b"], &["y"], vec![])
            .int_output("y")
            .build();
        let arrays = data(vec![
            whole("a", 32, 16, 9000.0, 1),
            divisors(whole("b", 32, 16, 90.0, 2)),
        ]);
        exact(op, &model, &arrays);
    }
}

#[test]
fn reals_are_rounded_to_whole_numbers_halves_to_even() {
    let halves = NamedArray {
        name: "x".into(),
        shape: vec![1, 12],
        values: vec![-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.25, -0.75, 2.0, -3.0, 4.5],
    };
    for op in ["Round", "Floor", "Ceil", "Sign"] {
        let model = Builder::default()
            .input("x", &[-1, 12])
            .node(op, &["x"], &["y"], vec![])
            .output("y")
            .build();
        exact(op, &model, &data(vec![halves.clone()]));
    }
}

#[test]
fn rows_are_looked_up_by_computed_numbers() {
    let mut n = Numbers::new(3);
    let model = Builder::default()
        .typed_input("token", DataType::Int64, &[-1, 5])
        .constant("table", &[10, 4], &n.take(40, 1.0))
        .node("Gather", &["table", "token"], &["y"], vec![])
        .output("y")
        .build();
    let mut tokens = whole("token", 30, 5, 9.99, 2);
    tokens.values.iter_mut().for_each(|v| *v = v.abs());
    close("Gather", &model, vec![tokens], 1e-3);
}

#[test]
fn recurrent_layers_carry_their_states_in_integers() {
    let mut n = Numbers::new(11);
    for (op, gates, direction) in [
        ("LSTM", 4, "bidirectional"),
        ("GRU", 3, "forward"),
        ("RNN", 1, "reverse"),
    ] {
        let directions = if direction == "bidirectional" { 2 } else { 1 };
        let d = directions as usize;
        let model = Builder::default()
            .opset(14)
            .input("x", &[7, 1, 3])
            .constant("w", &[directions, 5 * gates, 3], &n.take(15 * gates as usize * d, 1.0))
            .constant("r", &[directions, 5 * gates, 5], &n.take(25 * gates as usize * d, 0.5))
            .node(
                op,
                &["x", "w", "r"],
                &["y", "last"],
                vec![int("hidden_size", 5), string("direction", direction)],
            )
            .output("y")
            .output("last")
            .build();
        close(op, &model, vec![array("x", 20, &[7, 1, 3], 2.0, 9)], 1e-2);
    }
}

#[test]
fn quantised_layers_are_integers_to_integers() {
    let mut n = Numbers::new(21);
    let model = Builder::default()
        .input("x", &[-1, 16])
        .constant("scale", &[], &[0.03])
        .constant("fine", &[], &[0.07])
        .node("QuantizeLinear", &["x", "scale"], &["q"], vec![])
        .node("DequantizeLinear", &["q", "scale"], &["d"], vec![])
        .constant("w", &[16, 4], &n.take(64, 1.0))
        .node("MatMul", &["d", "w"], &["m"], vec![])
        .node("QuantizeLinear", &["m", "fine"], &["y"], vec![])
        .int_output("y")
        .build();
    let mut x = array("x", 64, &[16], 3.0, 2);
    x.values.iter_mut().for_each(|v| *v = v.abs());
    let report = convert(&model, vec![x]).report;
    let d = report.outputs[0].difference;
    // Units next to a half may go the other way.
    assert!(d.max_abs_error <= 1.0 && d.rmse < 0.15, "{d:?}");
}

#[test]
fn masks_leave_no_trace_in_a_softmax() {
    for mask in [-1e9f32, f32::MIN, f32::NEG_INFINITY] {
        let model = Builder::default()
            .input("x", &[-1, 8])
            .constant("mask", &[1, 8], &[0.0, 0.0, 0.0, mask, 0.0, mask, mask, 0.0])
            .node("Add", &["x", "mask"], &["scores"], vec![])
            .node("Softmax", &["scores"], &["y"], vec![int("axis", -1)])
            .output("y")
            .build();
        close("mask", &model, vec![array("x", 40, &[8], 1.0, 4)], 5e-3);
    }
}

#[test]
fn a_mask_of_an_input_hides_what_is_largest() {
    // As exporters write attention masks: (1 - m) * lowest + scores.
    let model = Builder::default()
        .input("x", &[-1, 8])
        .input("m", &[-1, 8])
        .constant("one", &[], &[1.0])
        .constant("lowest", &[], &[f32::MIN])
        .node("Sub", &["one", "m"], &["hidden"], vec![])
        .node("Mul", &["hidden", "lowest"], &["mask"], vec![])
        .node("Add", &["x", "mask"], &["scores"], vec![])
        .node("Softmax", &["scores"], &["y"], vec![int("axis", -1)])
        .output("y")
        .build();
    let mut x = array("x", 40, &[8], 12.0, 4);
    let mut m = array("m", 40, &[8], 1.0, 5);
    m.values.iter_mut().for_each(|v| *v = f64::from(*v > -0.3));
    for (x, m) in x.values.chunks_mut(8).zip(m.values.chunks_mut(8)) {
        // What is hidden is large, what is not is small.
        (x[0], m[0]) = (-12.0, 1.0);
        (x[1], m[1]) = (12.0, 0.0);
    }
    close("mask", &model, vec![x, m], 5e-3);
}

#[test]
fn a_length_with_a_limit_far_away_keeps_its_fraction() {
    let model = Builder::default()
        .input("x", &[-1, 24])
        .constant("least", &[], &[1e-12])
        .node("ReduceL2", &["x"], &["length"], vec![ints("axes", &[-1])])
        .node("Clip", &["length", "least"], &["limited"], vec![])
        .node("Div", &["x", "limited"], &["y"], vec![])
        .output("y")
        .build();
    close("length", &model, vec![array("x", 40, &[24], 0.3, 8)], 1e-3);
}
