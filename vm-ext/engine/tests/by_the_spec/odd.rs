//! Models that are valid and odd.

use aiinference_engine::format;
use aiinference_engine::graph::{Array, Op, Rescale, Trees, Window};

use crate::common::random::Draw;
use crate::common::LIMITS;
use crate::{agree, both, graph, input, inputs};

/// What is odd but valid.
#[test]
fn odd_models_are_taken_by_both() {
    let rescale = || Rescale {
        multipliers: vec![1],
        shifts: vec![1],
        low: -9,
        high: 9,
    };
    let trees = |roots, leaf_starts, base| Trees {
        roots,
        features: vec![],
        thresholds: vec![],
        left: vec![],
        right: vec![],
        leaf_starts,
        targets: vec![],
        weights: vec![],
        base,
    };
    let no_trees = trees(vec![], vec![0], vec![5, -2]);
    let empty_leaf = trees(vec![-1], vec![0, 0], vec![3]);
    let constant = |shape: Vec<u32>| Op::Constant {
        shape,
        data: Array::I32(vec![-7]),
    };
    let huge = |k: u32, x, count_padding| {
        let window = Window {
            kernel: [k, k],
            strides: [1, 7],
            dilations: [1, 1],
            pads: [k - 1, k - 2, 1, 0],
        };
        let pools = vec![
            Op::AvgPool2d {
                x: 0,
                window: window.clone(),
                count_padding,
            },
            Op::MaxPool2d { x: 0, window },
        ];
        let joined = Op::Concat {
            xs: vec![1, 2],
            axis: 1,
        };
        graph(vec![input(&[1, 1, 2, 3], x, x)], [pools, vec![joined]].concat())
    };
    let models = [
        huge(u32::MAX, i32::MIN, true),
        huge(u32::MAX, i32::MAX, true),
        huge(u32::MAX, i32::MIN, false),
        huge(1 << 15, i32::MIN, true),
        huge(23_170, i32::MIN, true),
        huge(3, i32::MIN, true),
        graph(vec![input(&[], -3, 3)], vec![]),
        graph(vec![], vec![constant(vec![])]),
        graph(vec![], vec![constant(vec![1; 6]), Op::Reshape { x: 0, shape: vec![] }]),
        graph(
            vec![input(&[2], -3, 3)],
            vec![Op::TreeEnsemble {
                x: 0,
                trees: no_trees,
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[2], -3, 3)],
            vec![Op::TreeEnsemble {
                x: 0,
                trees: empty_leaf,
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Rescale {
                x: 0,
                axis: 9,
                bias: vec![1],
                rescale: rescale(),
            }],
        ),
        graph(
            vec![input(&[2, 3], 0, 1), input(&[], 0, 1)],
            vec![Op::Gather {
                x: 0,
                indices: 1,
                axis: 0,
            }],
        ),
        graph(
            vec![input(&[4], 0, 9)],
            vec![Op::ReduceMax { x: 0, axis: 0 }, Op::Transpose { x: 1, axes: vec![] }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Broadcast {
                x: 0,
                shape: vec![2, 2],
            }],
        ),
        graph(
            vec![input(&[], -3, 3)],
            vec![Op::Pad {
                x: 0,
                before: vec![],
                after: vec![],
                value: 77,
            }],
        ),
    ];
    for (i, graph) in models.iter().enumerate() {
        let (name, bytes) = (format!("model {i}"), format::encode(graph));
        let (program, model) = both(&name, &bytes.graph, &bytes.weights, &LIMITS).expect("it is valid");
        agree(&name, &program, &model, &inputs(&program, &mut Draw::new(i as u64)));
    }
}
