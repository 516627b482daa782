//! Models with faults in them: errors or nonsense come out, never a panic.

use aiinference_convert::{FloatModel, ImportOptions};
use prost::Message;

use crate::common::*;
use aiinference_convert::proto::ModelProto;

/// A model with an operator of every family.
fn model() -> Vec<u8> {
    let mut n = Numbers::new(71);
    Builder::default()
        .input("x", &[-1, 4, 8, 6])
        .constant("w", &[4, 2, 3, 3], &n.take(72, 0.4))
        .constant("t", &[4, 3, 2, 2], &n.take(48, 0.4))
        .constant("scales", &[4], &[1.0, 1.0, 0.5, 1.5])
        .constant("scale", &[], &[0.05])
        .constant("wx", &[1, 8, 24], &n.take(192, 0.3))
        .constant("wr", &[1, 8, 2], &n.take(16, 0.3))
        .ints("to", &[3], &[8, 1, -1])
        .ints("starts", &[2], &[1, -3])
        .ints("ends", &[2], &[9, 9])
        .ints("axes", &[2], &[0, 2])
        .ints("picked", &[2], &[-1, 0])
        .ints("k", &[1], &[2])
        .ints("pads", &[4], &[1, 0, 0, 2])
        .node(
            "Conv",
            &["x", "w"],
            &["a"],
            vec![int("group", 2), ints("pads", &[1, 1, 1, 1])],
        )
        .node("ConvTranspose", &["a", "t"], &["b"], vec![ints("strides", &[2, 2])])
        .node("Resize", &["b", "", "scales"], &["c"], vec![string("mode", "linear")])
        .node(
            "MaxPool",
            &["c"],
            &["d"],
            vec![ints("kernel_shape", &[2, 3]), int("ceil_mode", 1)],
        )
        .node("Reshape", &["d", "to"], &["e0"], vec![])
        .node(
            "ReduceMax",
            &["x"],
            &["m"],
            vec![ints("axes", &[1]), int("keepdims", 0)],
        )
        .node("Reshape", &["x", "to"], &["e"], vec![])
        .node("LSTM", &["e", "wx", "wr"], &["f", "h"], vec![int("hidden_size", 2)])
        .node("Slice", &["e", "starts", "ends", "axes"], &["g"], vec![])
        .node("Gather", &["e", "picked"], &["i"], vec![int("axis", 2)])
        .node("TopK", &["m", "k"], &["v", "p"], vec![int("axis", 1)])
        .node("QuantizeLinear", &["m", "scale"], &["q"], vec![])
        .node("DequantizeLinear", &["q", "scale"], &["r"], vec![])
        .node("Einsum", &["r", "m"], &["s"], vec![string("equation", "bij,bkj->bik")])
        .node("Softmax", &["s"], &["y"], vec![int("axis", 1)])
        .output("y")
        .output("f")
        .output("g")
        .output("i")
        .output("v")
        .build()
}

/// Reads and runs, whatever comes of it.
fn attempt(bytes: &[u8]) {
    if let Ok(model) = FloatModel::read(bytes, &ImportOptions::default()) {
        let values: Vec<Vec<f64>> = model
            .inputs()
            .map(|(_, shape)| vec![0.5; shape.iter().product()])
            .collect();
        model.run(&values);
    }
}

#[test]
fn the_model_itself_is_read() {
    let read = FloatModel::read(&model(), &ImportOptions::default());
    // What is unread (e0) may be anything.
    assert!(read.is_ok(), "{:?}", read.err());
}

#[test]
fn damaged_bytes_do_not_panic() {
    let model = model();
    let mut n = Numbers::new(5);
    let mut below = |limit: usize| ((n.next() + 1.0) * 0.5 * limit as f32) as usize % limit.max(1);
    for _ in 0..400 {
        let mut bytes = model.clone();
        for _ in 0..1 + below(4) {
            let at = below(bytes.len());
            bytes[at] = below(256) as u8;
        }
        attempt(&bytes);
        attempt(&bytes[..below(bytes.len())]);
    }
}

#[test]
fn impossible_attributes_and_stored_numbers_do_not_panic() {
    let model = ModelProto::decode(model().as_slice()).unwrap();
    let odd = [
        0,
        -1,
        1,
        2,
        3,
        7,
        -2,
        100,
        1 << 20,
        1 << 31,
        1 << 40,
        i64::MAX,
        i64::MIN,
    ];
    let mut n = Numbers::new(9);
    let mut below = |limit: usize| ((n.next() + 1.0) * 0.5 * limit as f32) as usize % limit.max(1);
    for _ in 0..600 {
        let mut model = model.clone();
        let graph = model.graph.as_mut().unwrap();
        let value = odd[below(odd.len())];
        match below(4) {
            0 => {
                let at = below(graph.node.len());
                let list = &mut graph.node[at].attribute;
                let at = below(list.len());
                if let Some(attribute) = list.get_mut(at) {
                    attribute.i = value;
                    attribute.ints.iter_mut().for_each(|i| *i = value);
                }
            }
            1 => {
                let at = below(graph.initializer.len());
                let t = &mut graph.initializer[at];
                let at = below(t.int64_data.len());
                if let Some(i) = t.int64_data.get_mut(at) {
                    *i = value;
                }
            }
            2 => {
                let at = below(graph.initializer.len());
                let dims = &mut graph.initializer[at].dims;
                let at = below(dims.len());
                if let Some(d) = dims.get_mut(at) {
                    *d = value;
                }
            }
            _ => {
                let at = below(graph.node.len());
                let inputs = &mut graph.node[at].input;
                let (i, j) = (below(inputs.len()), below(inputs.len()));
                inputs.swap(i, j);
            }
        }
        attempt(&model.encode_to_vec());
    }
}
