//! Models converted so that a circuit can prove them.

use aiinference_convert::{ConvertError, Converter, Options, Weights};
use aiinference_engine::graph::{Array, Graph, Op};

use crate::common::*;

/// 8 - 16 - 3, with a ReLU between and a sigmoid at the end.
fn mlp() -> Vec<u8> {
    let mut numbers = Numbers::new(3);
    Builder::default()
        .input("x", &[-1, 8])
        .constant("w1", &[8, 16], &numbers.take(128, 0.7))
        .constant("b1", &[16], &numbers.take(16, 0.3))
        .constant("w2", &[16, 3], &numbers.take(48, 0.9))
        .constant("b2", &[3], &numbers.take(3, 0.3))
        .node("Gemm", &["x", "w1", "b1"], &["pre"], vec![])
        .node("Relu", &["pre"], &["hidden"], vec![])
        .node("Gemm", &["hidden", "w2", "b2"], &["logits"], vec![])
        .node("Sigmoid", &["logits"], &["p"], vec![])
        .output("p")
        .build()
}

fn provable() -> Options {
    Options {
        provable: true,
        ..Options::default()
    }
}

fn rescales(graph: &Graph) -> Vec<(&[i32], &[u8], &[i64])> {
    let of = |op| match op {
        &Op::MatMul {
            ref rescale, ref bias, ..
        }
        | &Op::Conv2d {
            ref rescale, ref bias, ..
        } => Some((&rescale.multipliers[..], &rescale.shifts[..], &bias[..])),
        _ => None,
    };
    graph.nodes.iter().filter_map(of).collect()
}

#[test]
fn layers_requantise_by_plain_shifts() {
    let data = data(vec![array("x", 100, &[8], 1.5, 5)]);
    for weights in [Weights::I8, Weights::I16] {
        let options = Options { weights, ..provable() };
        let model = mlp();
        let converter = Converter::new(&model, &data).options(options).end_at(["logits"]);
        let conversion = converter.convert().unwrap();
        let rescales = rescales(&conversion.graph);
        assert_eq!(rescales.len(), 2);
        for (multipliers, shifts, biases) in rescales {
            assert!(multipliers.iter().all(|m| *m == 1), "{multipliers:?}");
            for (bias, s) in biases.iter().zip(shifts) {
                let term = bias + (1i64 << s >> 1);
                assert!(
                    term == 0 || term.unsigned_abs() >> term.trailing_zeros() < 1 << 24,
                    "{bias} {s}"
                );
            }
        }
        let output = &conversion.report.outputs[0];
        assert_eq!(output.name, "logits");
        assert!(output.difference.cosine > 0.999, "{}", output.difference.cosine);
    }
}

#[test]
fn the_report_tells_what_being_provable_costs() {
    let data = data(vec![array("x", 100, &[8], 1.5, 5)]);
    let convert = |options| {
        let model = mlp();
        let converter = Converter::new(&model, &data).options(options).end_at(["logits"]);
        converter.convert().unwrap().report
    };
    let (ordinary, report) = (convert(Options::default()), convert(provable()));
    assert!(ordinary.provable.is_none());
    let cost = report.provable.unwrap();
    assert_eq!(cost.ordinary.value, ordinary.drop.value);
    assert_eq!(cost.cost, report.drop.value - ordinary.drop.value);
    assert_eq!(cost.ordinary_rmse, [ordinary.outputs[0].difference.rmse]);
}

#[test]
fn what_cannot_be_proven_is_refused_by_its_name_with_advice() {
    let data = data(vec![array("x", 20, &[8], 1.5, 5)]);
    match Converter::new(&mlp(), &data).options(provable()).convert().unwrap_err() {
        ConvertError::NotProvable { node, advice, .. } => {
            assert_eq!(node, "Sigmoid_3");
            assert!(advice.contains("end the model before it"), "{advice}");
        }
        other => panic!("{other}"),
    }
    let scaled = Builder::default()
        .input("x", &[-1, 8])
        .constant("c", &[8], &[0.5, 0.25, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0])
        .constant("w", &[8, 2], &Numbers::new(1).take(16, 1.0))
        .node("Mul", &["x", "c"], &["scaled"], vec![])
        .node("MatMul", &["scaled", "w"], &["y"], vec![])
        .output("y")
        .build();
    let error = Converter::new(&scaled, &data)
        .options(provable())
        .convert()
        .unwrap_err();
    assert!(error.to_string().contains("its factor 3 is no power of two"), "{error}");
}

#[test]
fn convolutions_that_no_circuit_proves_are_refused() {
    let data = data(vec![array("x", 20, &[2, 6, 6], 1.5, 5)]);
    for (channels, dilation, refusal) in [(1, 1, "one output channel"), (2, 2, "its taps lie apart")] {
        let model = Builder::default()
            .input("x", &[-1, 2, 6, 6])
            .constant(
                "w",
                &[channels, 2, 3, 3],
                &Numbers::new(1).take(18 * channels as usize, 1.0),
            )
            .node(
                "Conv",
                &["x", "w"],
                &["y"],
                vec![ints("dilations", &[dilation, dilation])],
            )
            .output("y")
            .build();
        let error = Converter::new(&model, &data).options(provable()).convert().unwrap_err();
        assert!(error.to_string().contains(refusal), "{error}");
    }
}

#[test]
fn a_model_ends_where_it_is_told_to() {
    let data = data(vec![array("x", 20, &[8], 1.5, 5)]);
    let graph = Converter::new(&mlp(), &data)
        .end_at(["hidden"])
        .convert()
        .unwrap()
        .graph;
    assert_eq!(graph.nodes.len(), 1);
    let Op::MatMul { weights, .. } = &graph.nodes[0] else {
        panic!("{:?}", graph.nodes[0])
    };
    assert_eq!(weights.len(), 128);
    assert!(matches!(weights, Array::I16(_)));
    let error = Converter::new(&mlp(), &data).end_at(["nowhere"]).convert().unwrap_err();
    assert!(error.to_string().contains("\"p\", \"logits\""), "{error}");
}
