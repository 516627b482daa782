//! Sums of rows.

use aiinference_engine::format;
use aiinference_engine::graph::Op;

use crate::common::random::Draw;
use crate::common::LIMITS;
use crate::{agree, both, graph, input, inputs, seeds};

/// Rows of a Softmax come to one; what moves them keeps that, and products of matrices profit.
#[test]
fn sums_of_rows_are_bounded_alike_by_both() {
    let mut taken = 0;
    for seed in 0..seeds(5_000) {
        let draw = &mut Draw::new(seed ^ 0x9e37_79b9);
        let mut shape = vec![draw.u32(1, 3), draw.u32(1, 4), draw.pick(&[1, 2, 3, 17, 40])];
        let x = input(&shape, -300, 400);
        let mut nodes = vec![Op::Softmax {
            x: 0,
            multiplier: 1 << 20,
            shift: 9,
        }];
        for _ in 0..draw.int(0, 4) {
            let (x, rank) = (nodes.len() as u32, shape.len());
            let op = match draw.next() % 7 {
                0 => {
                    let axis = draw.u32(0, rank as u32 - 1);
                    let extent = &mut shape[axis as usize];
                    let start = draw.u32(0, *extent - 1);
                    *extent = draw.u32(1, *extent - start);
                    Op::Slice {
                        x,
                        axis,
                        start,
                        step: 1,
                        length: *extent,
                    }
                }
                1 => {
                    let mut axes: Vec<u32> = (0..rank as u32).collect();
                    let (i, j) = (draw.int(0, rank as i64 - 1), draw.int(0, rank as i64 - 1));
                    axes.swap(i as usize, j as usize);
                    shape = axes.iter().map(|axis| shape[*axis as usize]).collect();
                    Op::Transpose { x, axes }
                }
                2 => {
                    shape = match draw.next() % 3 {
                        0 => vec![1, shape.iter().product()],
                        1 => [&[1][..], &shape[..]].concat(),
                        _ => vec![shape[..rank - 1].iter().product(), shape[rank - 1]],
                    };
                    Op::Reshape {
                        x,
                        shape: shape.clone(),
                    }
                }
                3 => {
                    shape
                        .iter_mut()
                        .filter(|extent| **extent == 1)
                        .for_each(|extent| *extent = draw.u32(1, 2));
                    Op::Broadcast {
                        x,
                        shape: shape.clone(),
                    }
                }
                4 => Op::Clamp {
                    x,
                    low: draw.pick(&[-5, 0, 1]),
                    high: draw.pick(&[1, 20_000, 40_000]),
                },
                5 => Op::Max { a: x, b: x },
                _ => {
                    let (states, scanned, body) = (
                        vec![],
                        vec![],
                        vec![Op::Clamp {
                            x: 0,
                            low: 0,
                            high: 32767,
                        }],
                    );
                    let (captured, collected) = (vec![x], vec![draw.u32(0, 1)]);
                    shape = vec![1, shape.iter().product()];
                    nodes.push(Op::Scan {
                        count: 1,
                        states,
                        scanned,
                        captured,
                        body,
                        collected,
                    });
                    Op::Reshape {
                        x: x + 1,
                        shape: shape.clone(),
                    }
                }
            };
            nodes.push(op);
        }
        // What was made of the Softmax is either operand, in either layout.
        let rows = nodes.len() as u32;
        let [.., m, n] = shape[..] else { unreachable!() };
        let (transposed, other) = (draw.one_in(2), draw.u32(1, 20));
        let first = draw.one_in(2);
        let (a, b, other) = match (first, transposed) {
            (true, true) => (rows, 0, [other, n]),
            (true, false) => (rows, 0, [n, other]),
            (false, true) => (0, rows, [other, n]),
            (false, false) => (0, rows, [other, m]),
        };
        let (low, high) = draw.pick(&[(-32768, 32767), (-128, 127), (0, 32767), (5, 7), (-32768, -3)]);
        let shift = draw.u32(0, 14) as u8;
        // The other operand is an input before the first node, and so every number is one more.
        let mut model = graph(vec![x, input(&other, low, high)], nodes);
        for op in &mut model.nodes {
            match op {
                Op::Softmax { .. } => {}
                Op::Slice { x, .. } | Op::Transpose { x, .. } | Op::Reshape { x, .. } => *x += 1,
                Op::Broadcast { x, .. } | Op::Clamp { x, .. } => *x += 1,
                Op::Max { a, b } => (*a, *b) = (*a + 1, *b + 1),
                Op::Scan { captured, .. } => captured[0] += 1,
                _ => unreachable!(),
            }
        }
        let [a, b] = [a, b].map(|x| x + 1);
        let multiplier = draw.pick(&[1, -3]);
        model.nodes.push(Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier,
            shift,
            low: i32::MIN,
            high: i32::MAX,
        });
        model.outputs[0].value += 1;
        let (name, bytes) = (format!("seed {seed}"), format::encode(&model));
        if let Some((program, model)) = both(&name, &bytes.graph, &bytes.weights, &LIMITS) {
            agree(&name, &program, &model, &inputs(&program, draw));
            taken += 1;
        }
    }
    assert!(taken > 100, "{taken}");
}
