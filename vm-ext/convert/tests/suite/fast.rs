//! What is chosen for speed: sums within 32 bits, few operations.

use crate::common::*;
use aiinference_convert::{Conversion, Converter};
use aiinference_engine::graph::Op;
use aiinference_engine::infer::{infer, Sums};
use aiinference_engine::Limits;

const LIMITS: Limits = Limits {
    max_nodes: 1000,
    max_rank: 6,
    max_elements: 1 << 20,
    max_peak_bytes: 1 << 24,
    max_ports: 8,
    max_name_bytes: 128,
    max_labels: 8,
    max_header_entries: 8,
    max_header_bytes: 1 << 10,
};

fn convert(model: &[u8], shape: &[usize], scale: f32) -> Conversion {
    let data = data(vec![array("x", 64, shape, scale, 7)]);
    Converter::new(model, &data).convert().unwrap()
}

/// How the sums of every layer with weights are kept.
fn sums(conversion: &Conversion) -> Vec<Sums> {
    let graph = &conversion.graph;
    let kept = infer(graph, &LIMITS).unwrap().sums;
    let weighted = |op: &Op| matches!(op, Op::MatMul { .. } | Op::Conv2d { .. });
    let pairs = graph.nodes.iter().zip(kept);
    pairs.filter(|(op, _)| weighted(op)).map(|(_, sums)| sums).collect()
}

fn names(conversion: &Conversion) -> Vec<&'static str> {
    conversion.graph.nodes.iter().map(Op::name).collect()
}

/// The largest error beside the root of the mean square.
fn error(conversion: &Conversion) -> f64 {
    let difference = conversion.report.outputs[0].difference;
    difference.max_abs_error / difference.rms
}

fn dense(inputs: usize, bias: f32) -> Vec<u8> {
    let mut n = Numbers::new(11);
    Builder::default()
        .input("x", &[-1, inputs as i64])
        .constant("w", &[inputs as i64, 10], &n.take(10 * inputs, 0.5))
        .constant("b", &[10], &n.take(10, bias))
        .node("Gemm", &["x", "w", "b"], &["y"], vec![])
        .output("y")
        .build()
}

#[test]
fn sums_over_few_sixteen_bit_weights_take_thirty_two_bits() {
    for (inputs, bias, limit) in [(9, 1.0, 1e-3), (64, 1.0, 2e-3), (64, 40.0, 2e-3), (256, 1.0, 4e-3)] {
        let conversion = convert(&dense(inputs, bias), &[inputs], 2.0);
        assert_eq!(sums(&conversion), [Sums::I32], "{inputs} {bias}");
        assert!(conversion.report.layers[0].weight_bits > Some(8));
        assert!(error(&conversion) < limit, "{inputs} {bias}: {}", error(&conversion));
    }
}

#[test]
fn sums_over_many_sixteen_bit_weights_take_thirty_two_bits_for_sixty_four_of_them() {
    // Weights of which few are large: in 32 bits the others would have few bits left.
    let inputs = 6000;
    let mut n = Numbers::new(5);
    let weights: Vec<f32> = n.take(2 * inputs, 1.0).into_iter().map(|w| w.powi(3)).collect();
    let model = Builder::default()
        .input("x", &[-1, inputs as i64])
        .constant("w", &[inputs as i64, 2], &weights)
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y")
        .build();
    let conversion = convert(&model, &[inputs], 2.0);
    match sums(&conversion)[..] {
        [Sums::Blocks(block)] => assert!(block >= 64, "{block}"),
        ref other => panic!("{other:?}"),
    }
    assert!(error(&conversion) < 2e-3, "{}", error(&conversion));
}

fn sloped(slopes: &[f32]) -> Vec<u8> {
    let mut n = Numbers::new(4);
    Builder::default()
        .input("x", &[-1, 3, 6, 6])
        .constant("w", &[4, 3, 3, 3], &n.take(108, 0.5))
        .constant("s", &[4, 1, 1], slopes)
        .node("Conv", &["x", "w"], &["c"], vec![])
        .node("PRelu", &["c", "s"], &["y"], vec![])
        .output("y")
        .build()
}

#[test]
fn slopes_below_or_above_one_are_a_rescaling_and_a_sum() {
    for slopes in [[0.25, -0.5, 0.0, 0.9], [1.5, 1.0, 3.0, 2.0]] {
        let conversion = convert(&sloped(&slopes), &[3, 6, 6], 1.0);
        assert_eq!(names(&conversion), ["Conv2d", "Rescale", "Add"], "{slopes:?}");
        assert!(error(&conversion) < 1e-3, "{slopes:?}: {}", error(&conversion));
    }
    let conversion = convert(&sloped(&[0.25, 1.5, 1.0, -2.0]), &[3, 6, 6], 1.0);
    assert_eq!(names(&conversion), ["Conv2d", "Clamp", "Rescale", "Add"]);
    assert!(error(&conversion) < 1e-3, "{}", error(&conversion));
}

/// A convolution of a hard-swish with a learned scale and offset.
fn learned(kernel: i64, pad: i64) -> Vec<u8> {
    let mut n = Numbers::new(4);
    let taps = 16 * kernel * kernel;
    Builder::default()
        .opset(14)
        .input("x", &[-1, 4, 6, 6])
        .constant("scale", &[], &[0.7])
        .constant("offset", &[], &[-0.3])
        .constant("w", &[4, 4, kernel, kernel], &n.take(taps as usize, 0.5))
        .node("HardSwish", &["x"], &["h"], vec![])
        .node("Mul", &["h", "scale"], &["m"], vec![])
        .node("Add", &["m", "offset"], &["a"], vec![])
        .node("Conv", &["a", "w"], &["y"], vec![ints("pads", &[pad; 4])])
        .output("y")
        .build()
}

#[test]
fn a_wide_hard_swish_with_a_learned_line_has_no_coarse_table() {
    // Knots lie half a unit apart.
    let conversion = convert(&learned(3, 1), &[4, 6, 6], 100.0);
    assert_eq!(names(&conversion), ["Rescale", "Mul", "Rescale", "Conv2d"]);
    assert!(error(&conversion) < 1e-3, "{}", error(&conversion));
}

#[test]
fn a_learned_line_moves_into_weights_that_know_no_padding() {
    let conversion = convert(&learned(1, 0), &[4, 6, 6], 100.0);
    assert_eq!(names(&conversion), ["Rescale", "Mul", "Conv2d"]);
    assert!(error(&conversion) < 5e-4, "{}", error(&conversion));
}
