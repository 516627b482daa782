//! Models with faults in them: errors or nonsense come out, never a panic, and soon.

use aiinference_convert::{ConvertError, FloatModel, ImportOptions};
use prost::Message;

use crate::common::*;
use aiinference_convert::proto::{AttributeProto, DataType, FunctionProto, ModelProto, NodeProto, TensorProto};

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

/// What a model is refused with.
fn refusal(bytes: &[u8]) -> String {
    match FloatModel::read(bytes, &ImportOptions::default()) {
        Ok(_) => panic!("it is read"),
        Err(e) => e.to_string(),
    }
}

/// The model is refused, and the message says why.
fn refused(bytes: &[u8], why: &str) {
    let message = refusal(bytes);
    assert!(message.contains(why), "{message}");
}

/// One node on an input x of this shape and on stored operands.
fn one_node(
    operator: &str,
    shape: &[i64],
    stored: &[(&str, &[i64], &[f32])],
    attributes: Vec<AttributeProto>,
) -> Builder {
    let mut builder = Builder::default().opset(18).input("x", shape);
    let mut names = vec!["x"];
    for (name, dims, values) in stored {
        builder = builder.constant(name, dims, values);
        names.push(name);
    }
    builder.node(operator, &names, &["y"], attributes).output("y")
}

/// A tensor of that many zeros, in a few bytes: its shape is stored.
fn zeros(builder: Builder, name: &str, shape: &[i64], data_type: DataType) -> Builder {
    let zero = TensorProto {
        dims: vec![1],
        data_type: data_type as i32,
        raw_data: vec![0; 8 / if data_type == DataType::Float { 2 } else { 1 }],
        ..Default::default()
    };
    let extents = format!("{name}_shape");
    builder.ints(&extents, &[shape.len() as i64], shape).node(
        "ConstantOfShape",
        &[&extents],
        &[name],
        vec![tensor("value", zero)],
    )
}

fn function(name: &str, calls: &[(&str, &str, &str, &str)]) -> FunctionProto {
    let node = |(domain, operator, from, to): &(&str, &str, &str, &str)| NodeProto {
        op_type: operator.to_string(),
        domain: domain.to_string(),
        input: vec![from.to_string()],
        output: vec![to.to_string()],
        ..Default::default()
    };
    FunctionProto {
        name: name.into(),
        domain: "own".into(),
        input: vec!["a".into()],
        output: vec!["c".into()],
        node: calls.iter().map(node).collect(),
        ..Default::default()
    }
}

#[test]
fn functions_that_double_at_every_level_are_refused() {
    let mut model = one_node("Relu", &[1, 2], &[], vec![]).model();
    let graph = model.graph.as_mut().unwrap();
    graph.node[0].domain = "own".into();
    graph.node[0].op_type = "f0".into();
    for i in 0..28 {
        let next = format!("f{}", i + 1);
        let calls = [("own", next.as_str(), "a", "b"), ("own", next.as_str(), "b", "c")];
        model.functions.push(function(&format!("f{i}"), &calls));
    }
    model.functions.push(function("f28", &[("", "Neg", "a", "c")]));
    refused(&model.encode_to_vec(), "nodes, functions");
}

#[test]
fn a_region_out_of_reach_is_refused() {
    let model = Builder::default()
        .opset(18)
        .input("x", &[1, 1, 8, 8])
        .constant("roi", &[8], &[0.0, 0.0, 1e38, 1e38, 1.0, 1.0, 2e38, 2e38])
        .ints("sizes", &[4], &[1, 1, 2, 2])
        .node(
            "Resize",
            &["x", "roi", "", "sizes"],
            &["y"],
            vec![
                string("mode", "linear"),
                int("antialias", 1),
                string("coordinate_transformation_mode", "tf_crop_and_resize"),
            ],
        )
        .output("y")
        .build();
    refused(&model, "out of reach");
}

#[test]
fn very_many_operands_take_no_more_than_their_number() {
    let names = vec!["x"; 300_000];
    let model = Builder::default()
        .input("x", &[1, 1])
        .node("Concat", &names, &["y"], vec![int("axis", 1)])
        .output("y")
        .build();
    let model = FloatModel::read(&model, &ImportOptions::default()).unwrap();
    let y = model.run(&[vec![3.0]]).remove(0);
    assert_eq!(y.shape, [1, 300_000]);
    assert!(y.values.iter().all(|v| *v == 3.0));
}

#[test]
fn very_many_foldable_nodes_take_no_more_than_their_number() {
    let mut builder = Builder::default()
        .input("x", &[1, 2])
        .constant("w", &[2, 2], &[1.0, 0.0, 0.0, 1.0])
        .constant("b", &[2], &[1.0, 2.0]);
    let mut last = "x".to_string();
    for i in 0..40_000 {
        let (product, sum) = (format!("p{i}"), format!("s{i}"));
        builder =
            builder
                .node("MatMul", &[&last, "w"], &[&product], vec![])
                .node("Add", &[&product, "b"], &[&sum], vec![]);
        last = sum;
    }
    let model = builder.node("Identity", &[&last], &["y"], vec![]).output("y").build();
    let model = FloatModel::read(&model, &ImportOptions::default()).unwrap();
    assert_eq!(model.operations(), 40_000);
    assert_eq!(model.run(&[vec![0.5, 0.25]]).remove(0).values, [40_000.5, 80_000.25]);
}

#[test]
fn functions_behind_as_many_movements_take_no_more_than_their_number() {
    let mut builder = Builder::default().input("x", &[2, 3]);
    let mut last = "x".to_string();
    for i in 0..3_000 {
        let (moved, f) = (format!("m{i}"), format!("f{i}"));
        builder = builder
            .node("Transpose", &[&last], &[&moved], vec![])
            .node("Neg", &[&moved], &[&f], vec![]);
        last = f;
    }
    let model = builder.node("Identity", &[&last], &["y"], vec![]).output("y").build();
    let model = FloatModel::read(&model, &ImportOptions::default()).unwrap();
    let x: Vec<f64> = (0..6).map(f64::from).collect();
    assert_eq!(model.run(std::slice::from_ref(&x)).remove(0).values, x);
}

#[test]
fn frames_beyond_any_memory_are_refused() {
    let builder = zeros(Builder::default().opset(17), "x", &[1, 1 << 20], DataType::Float)
        .ints("step", &[], &[1])
        .ints("frame", &[], &[1 << 19]);
    let model = builder
        .node("STFT", &["x", "step", "", "frame"], &["y"], vec![])
        .output("y")
        .build();
    refused(&model, "elements");
}

#[test]
fn scattered_rows_beyond_any_memory_are_refused() {
    let builder = zeros(
        Builder::default().input("x", &[2, 1 << 20]),
        "i",
        &[1 << 20, 1],
        DataType::Int64,
    )
    .constant("u", &[1], &[0.0])
    .node("ScatterND", &["x", "i", "u"], &["y"], vec![])
    .output("y");
    refused(&builder.build(), "differ in number");
}

fn svm(classes: usize, vectors: usize, per_class: &[i64]) -> Vec<u8> {
    let labels: Vec<i64> = (0..classes as i64).collect();
    let attributes = vec![
        ints("classlabels_ints", &labels),
        ints("vectors_per_class", per_class),
        floats("support_vectors", &vec![1.0; vectors]),
        floats("coefficients", &vec![1.0; (classes - 1) * vectors]),
        floats("rho", &vec![0.0; classes * (classes - 1) / 2]),
        string("kernel_type", "LINEAR"),
    ];
    Builder::default()
        .input("x", &[1, 1])
        .node_in("ai.onnx.ml", "SVMClassifier", &["x"], &["y", "z"], attributes)
        .output("y")
        .build()
}

#[test]
fn support_vectors_of_very_many_pairs_are_refused() {
    refused(&svm(600, 600, &[1; 600]), "elements");
    let most = i64::MAX;
    refused(&svm(3, 3, &[most, most, 3]), "do not fit");
}

fn tree_ensemble(leaf: i64, roots: &[i64]) -> Vec<u8> {
    let list = |name: &str, values: &[f32]| {
        let t = TensorProto {
            dims: vec![values.len() as i64],
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        };
        tensor(name, t)
    };
    let modes = TensorProto {
        dims: vec![1],
        data_type: DataType::Uint8 as i32,
        raw_data: vec![0],
        ..Default::default()
    };
    let attributes = vec![
        ints("nodes_featureids", &[0]),
        list("nodes_splits", &[0.5]),
        tensor("nodes_modes", modes),
        ints("nodes_truenodeids", &[leaf]),
        ints("nodes_falsenodeids", &[0]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falseleafs", &[1]),
        ints("leaf_targetids", &[0]),
        list("leaf_weights", &[2.0]),
        ints("tree_roots", roots),
    ];
    Builder::default()
        .input("x", &[1, 1])
        .node_in("ai.onnx.ml", "TreeEnsemble", &["x"], &["y"], attributes)
        .output("y")
        .build()
}

#[test]
fn trees_share_leaves_but_no_nodes() {
    let model = FloatModel::read(&tree_ensemble(0, &[0]), &ImportOptions::default()).unwrap();
    assert_eq!(model.run(&[vec![0.0]]).remove(0).values, [2.0]);
    refused(&tree_ensemble(0, &[0; 1000]), "two lead to one node");
    refused(&tree_ensemble(i64::MAX, &[0]), "missing");
}

#[test]
fn weights_of_written_out_loops_are_counted() {
    let pass = zeros(Builder::default(), "w", &[256, 256], DataType::Float)
        .node("Identity", &["going"], &["on"], vec![])
        .node("MatMul", &["state", "w"], &["next"], vec![])
        .typed_input("i", DataType::Int64, &[])
        .typed_input("going", DataType::Bool, &[])
        .input("state", &[1, 256])
        .output("on")
        .output("next");
    let model = Builder::default()
        .input("x", &[1, 256])
        .ints("times", &[], &[1 << 14])
        .node("Loop", &["times", "", "x"], &["y"], vec![body("body", pass.graph())])
        .output("y")
        .build();
    refused(&model, "numbers are stored");
}

#[test]
fn what_is_folded_is_counted_before_it_is_computed() {
    let square = [1 << 13, 1 << 13];
    let model = zeros(Builder::default().input("x", &[1, 1]), "a", &square, DataType::Float)
        .node("MatMul", &["a", "a"], &["b"], vec![])
        .node("Add", &["b", "x"], &["y"], vec![])
        .output("y")
        .build();
    refused(&model, "operations on stored values");
}

#[test]
fn very_many_different_elements_are_found_soon() {
    let model = Builder::default()
        .ints("from", &[], &[0])
        .ints("to", &[], &[400_000])
        .ints("step", &[], &[1])
        .node("Range", &["from", "to", "step"], &["r"], vec![])
        .node("Unique", &["r"], &["y", "first", "kind", "count"], vec![])
        .output("y")
        .output("count")
        .build();
    let model = FloatModel::read(&model, &ImportOptions::default()).unwrap();
    let outputs = model.run(&[]);
    assert_eq!(outputs[0].shape, [400_000]);
    assert!(outputs[1].values.iter().all(|n| *n == 1.0));
}

#[test]
fn very_many_boxes_that_do_not_overlap_are_refused() {
    let n = 1 << 14;
    let boxes: Vec<f32> = (0..n)
        .flat_map(|i| [0.0, 2.0 * i as f32, 1.0, 2.0 * i as f32 + 1.0])
        .collect();
    let model = Builder::default()
        .constant("boxes", &[1, n, 4], &boxes)
        .constant("scores", &[1, 1, n], &vec![0.5; n as usize])
        .ints("most", &[], &[n])
        .node("NonMaxSuppression", &["boxes", "scores", "most"], &["y"], vec![])
        .output("y")
        .build();
    refused(&model, "operations on stored values");
}

#[test]
fn windows_beyond_any_image_are_refused() {
    let huge = 1 << 17;
    let pads = [huge; 4];
    for operator in ["MaxPool", "AveragePool", "LpPool"] {
        let attributes = vec![ints("kernel_shape", &[huge, huge]), ints("pads", &pads)];
        refused(&one_node(operator, &[1, 1, 4, 4], &[], attributes).build(), "elements");
        // Spread out by dilations.
        let attributes = vec![
            ints("kernel_shape", &[1 << 10, 1 << 10]),
            ints("dilations", &[1 << 19, 1 << 19]),
            string("auto_pad", "SAME_UPPER"),
        ];
        refused(&one_node(operator, &[1, 1, 4, 4], &[], attributes).build(), "spans");
    }
    // As many places as there may be, each with as many taps.
    let attributes = vec![
        ints("kernel_shape", &[1 << 13, 1 << 13]),
        ints("pads", &[(1 << 13) - 10; 4]),
    ];
    let model = one_node("MaxPool", &[1, 1, 4, 4], &[], attributes).build();
    refused(&model, "a run has more than");
}

#[test]
fn groups_beyond_any_number_are_refused() {
    let group = || vec![int("group", 1 << 62)];
    let kernel = [1.0; 4];
    let conv = one_node("Conv", &[1, 4, 3, 3], &[("w", &[1, 4, 1, 1], &kernel)], group());
    refused(&conv.build(), "do not fit");
    let offsets = vec![0.0; 18];
    let stored: [(&str, &[i64], &[f32]); 2] = [("w", &[1, 4, 1, 1], &kernel), ("o", &[1, 2, 3, 3], &offsets)];
    let deformable = |attributes| one_node("DeformConv", &[1, 4, 3, 3], &stored, attributes).build();
    refused(&deformable(group()), "do not fit");
    refused(&deformable(vec![int("offset_group", i64::MAX)]), "do not fit");
}

#[test]
fn blocks_beyond_any_number_are_refused() {
    let block = || vec![int("blocksize", 1 << 32)];
    refused(&one_node("DepthToSpace", &[1, 4, 2, 2], &[], block()).build(), "blocks");
    refused(&one_node("SpaceToDepth", &[1, 4, 0, 0], &[], block()).build(), "blocks");
}

#[test]
fn strings_of_an_impossible_shape_are_refused() {
    let text = TensorProto {
        dims: vec![1 << 40, 1 << 40],
        data_type: DataType::String as i32,
        string_data: vec![b"a".to_vec()],
        ..Default::default()
    };
    let model = Builder::default()
        .node("Constant", &[], &["s"], vec![tensor("value", text)])
        .node("Size", &["s"], &["y"], vec![])
        .output("y")
        .build();
    refused(&model, "elements");
}

#[test]
fn aligned_regions_beyond_any_number_are_refused() {
    let attributes = vec![int("output_height", 1 << 40), int("output_width", 1 << 40)];
    let stored: [(&str, &[i64], &[f32]); 2] = [("rois", &[1, 4], &[0.0; 4]), ("batch", &[1], &[0.0])];
    refused(
        &one_node("RoiAlign", &[1, 1, 4, 4], &stored, attributes).build(),
        "too large",
    );
}

#[test]
fn empty_images_are_sampled_and_pooled_by_nobody() {
    for padding in ["zeros", "border", "reflection"] {
        let grid = vec![0.0; 2];
        let stored: [(&str, &[i64], &[f32]); 1] = [("grid", &[1, 1, 1, 2], &grid)];
        let attributes = vec![string("padding_mode", padding)];
        refused(
            &one_node("GridSample", &[1, 1, 0, 3], &stored, attributes).build(),
            "empty",
        );
    }
    let grid = [0.0; 4];
    let deep = one_node(
        "GridSample",
        &[1, 1, 1, 1, 1, 1],
        &[("grid", &[1, 1, 1, 1, 1, 4], &grid)],
        vec![],
    );
    refused(&deep.build(), "axes");
    let attributes = || {
        vec![
            ints("kernel_shape", &[1, 1]),
            ints("pads", &[1; 4]),
            int("storage_order", 1),
        ]
    };
    for operator in ["MaxPool", "AveragePool"] {
        refused(&one_node(operator, &[1, 1, 0, 3], &[], attributes()).build(), "empty");
    }
    let global = one_node("GlobalMaxPool", &[1, 1, 0, 3], &[], vec![]);
    refused(&global.build(), "does not give");
    let with_indices = Builder::default()
        .input("x", &[1, 1, 3, 0])
        .node("MaxPool", &["x"], &["y", "i"], attributes())
        .output("y")
        .output("i");
    refused(&with_indices.build(), "empty");
}

#[test]
fn indices_of_sparse_tensors_are_checked() {
    for index in [-1, 8, 1 << 62, i64::MAX] {
        let mut model = one_node("Add", &[1, 4], &[], vec![]).model();
        let graph = model.graph.as_mut().unwrap();
        graph.node[0].input.push("s".into());
        graph.sparse_initializer.push(sparse("s", &[2, 4], &[1.0], &[index]));
        refused(&model.encode_to_vec(), "out of bounds");
        // One number for every axis.
        let graph = model.graph.as_mut().unwrap();
        let indices = graph.sparse_initializer[0].indices.as_mut().unwrap();
        indices.dims = vec![1, 2];
        indices.int64_data = vec![index, index];
        refused(&model.encode_to_vec(), "out of bounds");
    }
}

#[test]
fn scalars_have_no_channels() {
    let builder = Builder::default()
        .input("x", &[])
        .constant("one", &[1], &[1.0])
        .constant("scalar", &[], &[1.0]);
    let normalised = builder
        .node("BatchNormalization", &["x", "one", "one", "one", "one"], &["y"], vec![])
        .output("y");
    refused(&normalised.build(), "axis");
    let skip = Builder::default()
        .input("x", &[])
        .constant("scalar", &[], &[1.0])
        .node_in(
            "com.microsoft",
            "SkipLayerNormalization",
            &["x", "scalar", "scalar"],
            &["y"],
            vec![],
        )
        .output("y");
    refused(&skip.build(), "scalar");
}

#[test]
fn loops_without_operands_are_refused() {
    let pass = Builder::default().graph();
    let model = Builder::default()
        .opset(8)
        .node("Scan", &[], &["y"], vec![body("body", pass), int("num_scan_inputs", 0)])
        .output("y")
        .build();
    refused(&model, "operands");
}

#[test]
fn sequences_of_sequences_are_refused() {
    let mut builder = Builder::default()
        .input("x", &[1])
        .node("SequenceConstruct", &["x"], &["s0"], vec![]);
    for i in 0..100_000 {
        let (from, to) = (format!("s{i}"), format!("s{}", i + 1));
        builder = builder.node("SequenceConstruct", &[&from], &[&to], vec![]);
    }
    let model = builder.node("Identity", &["x"], &["y"], vec![]).output("y").build();
    refused(&model, "other than tensors");
}

#[test]
fn sequences_that_grow_for_ever_are_refused() {
    let mut builder = Builder::default()
        .input("x", &[1])
        .node("SequenceEmpty", &[], &["s0"], vec![]);
    for i in 0..20_000 {
        let (from, to) = (format!("s{i}"), format!("s{}", i + 1));
        builder = builder.node("SequenceInsert", &[&from, "x"], &[&to], vec![]);
    }
    let model = builder.node("Identity", &["x"], &["y"], vec![]).output("y").build();
    refused(&model, "numbers are stored");
}

#[test]
fn values_beyond_any_memory_are_refused() {
    let mut builder = Builder::default().input("x", &[1, 1 << 26]);
    let mut last = "x".to_string();
    for i in 0..5 {
        let y = format!("y{i}");
        builder = builder.node("Softmax", &[&last], &[&y], vec![]);
        last = y;
    }
    refused(&builder.output(&last).build(), "a run has more than");
}

#[test]
fn limits_that_are_no_numbers_do_not_panic() {
    for (low, high) in [(f32::NAN, 1.0), (0.0, f32::NAN), (3.0, 1.0), (f32::NAN, f32::NAN)] {
        let model = Builder::default()
            .typed_input("x", DataType::Int32, &[1, 4])
            .constant("low", &[], &[low])
            .constant("high", &[], &[high])
            .node("Clip", &["x", "low", "high"], &["y"], vec![])
            .output("y")
            .build();
        attempt(&model);
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for (operator, odd) in [
        ("Mul", f32::NAN),
        ("Mul", f32::INFINITY),
        ("Add", f32::NAN),
        ("MatMul", f32::NAN),
        ("MatMul", f32::NEG_INFINITY),
    ] {
        let square: (&[i64], &[f32]) = (&[2, 2], &[1.0, odd, 2.0, 3.0]);
        let (dims, values) = if operator == "MatMul" {
            square
        } else {
            (&[2][..], &[1.0, odd][..])
        };
        refused(
            &one_node(operator, &[1, 2], &[("w", dims, values)], vec![]).build(),
            "NaN",
        );
    }
    // A mask.
    let mask = one_node("Add", &[1, 2], &[("w", &[2], &[0.0, f32::NEG_INFINITY])], vec![]).build();
    assert!(FloatModel::read(&mask, &ImportOptions::default()).is_ok());
}

#[test]
fn two_ellipses_in_a_term_are_refused() {
    let attributes = vec![string("equation", "...a...->a")];
    refused(
        &one_node("Einsum", &[2, 3, 4], &[], attributes).build(),
        "does not name",
    );
}

#[test]
fn impossible_transposed_convolutions_are_refused() {
    let weights = [1.0; 27];
    let run = |attributes| {
        one_node(
            "ConvTranspose",
            &[1, 1, 2, 2, 2],
            &[("w", &[1, 1, 3, 3, 3], &weights)],
            attributes,
        )
        .build()
    };
    refused(&run(vec![ints("output_shape", &[i64::MIN; 3])]), "long");
    let spread = (1 << 20) - 1;
    let attributes = vec![ints("dilations", &[spread; 3]), ints("pads", &[spread; 6])];
    refused(&run(attributes), "elements");
}

#[test]
fn axes_named_twice_are_refused() {
    let twice = || vec![ints("axes", &[0; 12])];
    let model = Builder::default()
        .opset(13)
        .input("x", &[1 << 24, 1, 1, 1])
        .node("MeanVarianceNormalization", &["x"], &["y"], twice())
        .output("y");
    refused(&model.build(), "twice");
}

#[test]
fn lengths_that_are_not_those_of_the_sequences_are_refused() {
    let model = zeros(
        Builder::default().input("x", &[1 << 20, 1, 1]),
        "n",
        &[1 << 20],
        DataType::Int64,
    )
    .constant("w", &[1, 1, 1], &[1.0])
    .node("RNN", &["x", "w", "w", "", "n"], &["y"], vec![int("hidden_size", 1)])
    .output("y");
    refused(&model.build(), "sequences");
}

#[test]
fn shapes_of_very_many_axes_are_refused() {
    let model = Builder::default()
        .input("x", &[1])
        .ints("to", &[100_000], &vec![1; 100_000])
        .node("Reshape", &["x", "to"], &["y"], vec![])
        .output("y");
    refused(&model.build(), "axes");
    let model = Builder::default()
        .opset(13)
        .input("x", &[1])
        .ints("axes", &[100_000], &(0..100_000).collect::<Vec<i64>>())
        .node("Unsqueeze", &["x", "axes"], &["y"], vec![])
        .output("y");
    refused(&model.build(), "axes");
}

#[test]
fn options_that_name_nothing_are_refused_and_say_what_there_is() {
    let model = Builder::default()
        .input("x", &[-1, 4])
        .node("Relu", &["x"], &["y"], vec![])
        .output("y")
        .build();
    let with = |change: &dyn Fn(&mut ImportOptions)| {
        let mut options = ImportOptions::default();
        change(&mut options);
        FloatModel::read(&model, &options)
    };
    let misspelt = |option: &str, known: &str, change: &dyn Fn(&mut ImportOptions)| {
        let error = with(change).unwrap_err();
        assert!(
            matches!(&error, ConvertError::NoSuchName { option: o, .. } if *o == option),
            "{error}"
        );
        assert!(error.to_string().contains(known), "{error}");
    };
    misspelt("fix", "\"x\"", &|o| {
        o.fixed.insert("X".into(), vec![0.0; 4]);
    });
    misspelt("shape", "\"x\"", &|o| {
        o.shapes.insert("X".into(), vec![1, 4]);
    });
    misspelt("dim", "\"N\"", &|o| {
        o.extents.insert("n".into(), 2);
    });
    let error = with(&|o| {
        o.extents.insert("N".into(), 0);
    })
    .unwrap_err();
    assert!(matches!(error, ConvertError::EmptyAxis { .. }), "{error}");
    let error = with(&|o| {
        o.shapes.insert("x".into(), vec![0, 4]);
    })
    .unwrap_err();
    assert!(error.to_string().contains("given as 0"), "{error}");
    assert!(with(&|o| {
        o.extents.insert("N".into(), 2);
    })
    .is_ok());
}
