//! Shapes that are known to be awkward.

use aiinference_engine::graph::{Array, Comparison, Graph, Op, Output, Scanned, State, Trees, Window};

use crate::common::{input, model, rescale, Draw};

#[allow(clippy::too_many_arguments)]
fn conv(
    batch: u32,
    c: u32,
    hw: [u32; 2],
    channels: u32,
    kernel: [u32; 2],
    stride: u32,
    dilation: u32,
    groups: u32,
    bits: u32,
) -> Graph {
    let window = Window {
        kernel,
        strides: [stride; 2],
        dilations: [dilation; 2],
        pads: [
            (kernel[0] - 1) * dilation / 2,
            (kernel[1] - 1) * dilation / 2,
            (kernel[0] - 1) * dilation / 2,
            (kernel[1] - 1) * dilation / 2,
        ],
    };
    let count = (channels * (c / groups) * kernel[0] * kernel[1]) as usize;
    let draw = &mut Draw::new(7);
    let weights = match bits {
        8 => Array::I8(draw.list(count, |d| d.int(-20, 20) as i8)),
        _ => Array::I16(draw.list(count, |d| d.int(-20, 20) as i16)),
    };
    let x = input(&[batch, c, hw[0], hw[1]], -2000, 2000);
    model(
        x,
        vec![Op::Conv2d {
            x: 0,
            weights,
            channels,
            bias: vec![3; channels as usize],
            window,
            groups,
            rescale: rescale(channels as usize),
        }],
    )
}

fn conv_wide(c: u32, hw: u32, channels: u32, weight: i16, low: i32) -> Graph {
    let window = Window {
        kernel: [3; 2],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [1; 4],
    };
    let weights = Array::I16(Draw::new(7).list((channels * c * 9) as usize, |d| {
        d.int(-i64::from(weight), weight.into()) as i16
    }));
    let x = input(&[1, c, hw, hw], low, 32767);
    model(
        x,
        vec![Op::Conv2d {
            x: 0,
            weights,
            channels,
            bias: vec![],
            window,
            groups: 1,
            rescale: rescale(1),
        }],
    )
}

fn mat_mul(m: u32, k: u32, n: usize, bits: u32, range: i32) -> Graph {
    let mut draw = Draw::new(3);
    let count = n * k as usize;
    let weights = match bits {
        8 => Array::I8(draw.list(count, |d| d.int(-30, 30) as i8)),
        16 => Array::I16(draw.list(count, |d| d.int(-30, 30) as i16)),
        _ => Array::I16(draw.list(count, |d| d.int(-32767, 32767) as i16)),
    };
    let most = (1i64 << 31) / (i64::from(k) * 31 + 1);
    let range = if range > 0 { range } else { most.clamp(1, 4095) as i32 };
    model(
        input(&[m, k], -range, range),
        vec![Op::MatMul {
            x: 0,
            weights,
            bias: vec![5; n],
            rescale: rescale(n),
        }],
    )
}

fn unary(shape: &[u32], range: (i32, i32), op: Op) -> Graph {
    model(input(shape, range.0, range.1), vec![op])
}

pub fn forest(rows: u32, features: u32, trees: usize, depth: u32, targets: usize, entries: usize, full: bool) -> Graph {
    let mut draw = Draw::new(11);
    let mut t = Trees {
        roots: vec![],
        features: vec![],
        thresholds: vec![],
        left: vec![],
        right: vec![],
        leaf_starts: vec![0],
        targets: vec![],
        weights: vec![],
        base: vec![0; targets],
    };
    for _ in 0..trees {
        let root = grow(&mut t, &mut draw, features, depth, entries, full);
        t.roots.push(root);
    }
    model(
        input(&[rows, features], -30000, 30000),
        vec![Op::TreeEnsemble {
            x: 0,
            trees: t,
            rescale: rescale(1),
        }],
    )
}

fn grow(t: &mut Trees, draw: &mut Draw, features: u32, depth: u32, entries: usize, full: bool) -> i32 {
    if depth == 0 {
        for target in 0..entries {
            t.targets.push(target as i32);
            t.weights.push(draw.int(-9, 9) as i32);
        }
        t.leaf_starts.push(t.targets.len() as i32);
        return 1 - t.leaf_starts.len() as i32;
    }
    let node = t.features.len();
    t.features.push(draw.int(0, i64::from(features) - 1) as i32);
    // A chain is walked to its end: x is never above.
    t.thresholds
        .push(if full { draw.int(-30000, 30000) as i32 } else { 30000 });
    t.left.push(0);
    t.right.push(0);
    t.left[node] = grow(t, draw, features, depth - 1, entries, full);
    t.right[node] = grow(t, draw, features, if full { depth - 1 } else { 0 }, entries, full);
    node as i32
}

fn pool(hw: u32, c: u32, kernel: u32, stride: u32, average: bool) -> Graph {
    let window = Window {
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [kernel / 2; 4],
    };
    let op = if average {
        Op::AvgPool2d {
            x: 0,
            window,
            count_padding: false,
        }
    } else {
        Op::MaxPool2d { x: 0, window }
    };
    unary(&[1, c, hw, hw], (-3000, 3000), op)
}

/// Windows of `kernel` along the rows of one channel, half of each line's on padding.
fn means_at_the_edge(rows: u32, width: u32, kernel: u32) -> Graph {
    let window = Window {
        kernel: [1, kernel],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [0, kernel / 2, 0, kernel / 2],
    };
    let op = Op::AvgPool2d {
        x: 0,
        window,
        count_padding: false,
    };
    unary(&[1, 1, rows, width], (-30_000, 30_000), op)
}

/// Memory that nothing but one element's repetition is written to.
fn memory(elements: u32, high: i32) -> Graph {
    let mut graph = unary(
        &[1],
        (0, high),
        Op::Broadcast {
            x: 0,
            shape: vec![elements],
        },
    );
    graph.nodes.push(Op::Slice {
        x: 1,
        axis: 0,
        start: 0,
        step: 1,
        length: 1,
    });
    graph.outputs[0].value = 2;
    graph
}

fn pair(a: &[u32], b: &[u32], product: bool) -> Graph {
    let mut graph = model(input(a, -30000, 30000), vec![]);
    let mut other = input(b, -30000, 30000);
    other.name = "b".into();
    graph.input(other);
    graph.push(match product {
        true => Op::Mul {
            a: 0,
            b: 1,
            multiplier: 3,
            shift: 12,
            low: -32767,
            high: 32767,
        },
        false => Op::Add {
            a: 0,
            b: 1,
            multipliers: [3, 5],
            shift: 3,
            low: -32767,
            high: 32767,
        },
    });
    graph.outputs[0].value = 2;
    graph
}

/// A node over inputs of these shapes and ranges.
pub fn over(ports: &[(&[u32], i32, i32)], op: Op) -> Graph {
    let mut graph = Graph::new();
    for (i, (shape, low, high)) in ports.iter().enumerate() {
        let mut port = input(shape, *low, *high);
        port.name = format!("x{i}");
        graph.input(port);
    }
    let value = graph.push(op);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    graph
}

/// A state and a scanned operand, each with a body that adds them up if asked for, and the state collected if asked for.
pub fn scan(count: u32, state: &[u32], x: &[u32], axis: u32, adds: bool, collects: bool) -> Graph {
    let mut body = vec![];
    if adds {
        body.push(Op::Add {
            a: 0,
            b: 1,
            multipliers: [1, 1],
            shift: 1,
            low: -30000,
            high: 30000,
        });
    }
    let op = Op::Scan {
        count,
        states: vec![State {
            initial: 0,
            low: -30000,
            high: 30000,
            result: if adds { 2 } else { 0 },
            kept: true,
        }],
        scanned: vec![Scanned {
            x: 1,
            axis,
            reverse: axis == 1,
        }],
        captured: vec![],
        body,
        collected: if collects { vec![0] } else { vec![] },
    };
    over(&[(state, -9, 9), (x, -30000, 30000)], op)
}

/// A cell of h units that are all fed back: products, a table and gates.
fn cell(count: u32, h: u32) -> Graph {
    let weights = Array::I8(Draw::new(3).list((4 * h * h) as usize, |d| d.int(-30, 30) as i8));
    let table = Draw::new(2).list(513, |d| d.int(-32768, 32767) as i16);
    let end = |a, b| Op::Mul {
        a,
        b,
        multiplier: 1,
        shift: 15,
        low: -32767,
        high: 32767,
    };
    let gate = |start| Op::Slice {
        x: 4,
        axis: 1,
        start: start * h,
        step: 1,
        length: h,
    };
    let state = |initial, result| State {
        initial,
        low: -32767,
        high: 32767,
        result,
        kept: false,
    };
    let op = Op::Scan {
        count,
        states: vec![state(0, 11), state(0, 9)],
        scanned: vec![],
        captured: vec![],
        body: vec![
            Op::MatMul {
                x: 0,
                weights,
                bias: vec![5; 4 * h as usize],
                rescale: rescale(1),
            },
            Op::Clamp {
                x: 2,
                low: -32767,
                high: 32767,
            },
            Op::Table { x: 3, table },
            gate(0),
            gate(1),
            gate(2),
            end(5, 6),
            Op::Add {
                a: 8,
                b: 1,
                multipliers: [1, 1],
                shift: 1,
                low: -32767,
                high: 32767,
            },
            end(9, 7),
            Op::Clamp {
                x: 10,
                low: -32767,
                high: 32767,
            },
        ],
        collected: vec![11],
    };
    over(&[(&[1, h], -9, 9)], op)
}

/// Operations on tensors that are all computed.
fn computed_cases() -> Vec<(String, Graph)> {
    let mut all: Vec<(String, Graph)> = Vec::new();
    let mut add = |name: String, graph| all.push((name, graph));
    for (batch, m, k, n) in [
        (1, 1, 1, 1),
        (100_000, 1, 1, 1),
        (10_000, 1, 4, 4),
        (10_000, 4, 1, 4),
        (10_000, 2, 2, 17),
        (12, 128, 32, 128),
        (12, 128, 128, 32),
        (1, 1, 384, 384),
        (1, 1, 4096, 4096),
        (1, 1, 3, 1_000_000),
        (1, 1, 1_000_000, 3),
        (1, 1_000_000, 1, 1),
        (1, 1000, 1000, 1),
        (1, 1, 1000, 1000),
        (1, 500, 500, 500),
        (64, 49, 65, 33),
    ] {
        for (range, kind) in [(30, "x8"), (32767, "x16"), (32768, "least")] {
            for transposed in [false, true] {
                if i64::from(k) * i64::from(range) * i64::from(range) >= 1 << 46
                    || (range > 32767 && batch * m * k * n > 20_000_000)
                {
                    continue;
                }
                let b = if transposed { [batch, n, k] } else { [batch, k, n] };
                let op = Op::BatchMatMul {
                    a: 0,
                    b: 1,
                    transposed,
                    multiplier: 3,
                    shift: 20,
                    low: -32767,
                    high: 32767,
                };
                add(
                    format!(
                        "BatchMatMul {batch}x{m}x{k}x{n} {kind} {}",
                        if transposed { "t" } else { "" }
                    ),
                    over(
                        &[
                            (&[batch, m, k], -range, range.min(32767)),
                            (&b, -range, range.min(32767)),
                        ],
                        op,
                    ),
                );
            }
        }
    }
    add(
        "BatchMatMul 1000 of b for one a".into(),
        over(
            &[(&[8, 64], -99, 99), (&[1000, 64, 8], -99, 99)],
            Op::BatchMatMul {
                a: 0,
                b: 1,
                transposed: false,
                multiplier: 1,
                shift: 4,
                low: -32767,
                high: 32767,
            },
        ),
    );
    for shape in [[1u32, 1], [1, 100], [1000, 1000], [500_000, 2], [3000, 3000]] {
        let name = |op: &str| format!("{op} {}x{}", shape[0], shape[1]);
        let wide = (&shape[..], -30000, 30000);
        let wider = (&shape[..], -3_000_000, 3_000_000);
        let row = [shape[1]];
        let column = [shape[0], 1];
        let end = |a, b, shift| Op::Div {
            a,
            b,
            shift,
            low: -32767,
            high: 32767,
        };
        add(name("Min"), over(&[wide, wide], Op::Min { a: 0, b: 1 }));
        add(name("Max x32"), over(&[wider, wider], Op::Max { a: 0, b: 1 }));
        add(
            name("Max column"),
            over(&[wide, (&column, -9, 9)], Op::Max { a: 0, b: 1 }),
        );
        for kind in [Comparison::Less, Comparison::LessEqual, Comparison::Equal] {
            add(
                name(&format!("Compare {kind:?}")),
                over(&[wide, wide], Op::Compare { a: 0, b: 1, kind }),
            );
        }
        let select = Op::Select {
            condition: 0,
            a: 1,
            b: 2,
        };
        add(name("Select"), over(&[(&shape, 0, 1), wide, wide], select.clone()));
        add(
            name("Select x32"),
            over(&[(&shape, -1 << 20, 1 << 20), wider, wider], select.clone()),
        );
        add(
            name("Select broadcast"),
            over(&[(&column, 0, 1), (&row, -9, 9), wide], select),
        );
        add(name("Div"), over(&[wide, wide], end(0, 1, 15)));
        add(name("Div long"), over(&[wider, wide], end(0, 1, 39)));
        add(name("Div by row"), over(&[wide, (&row, 1, 900)], end(0, 1, 8)));
        for shift in [0, 31] {
            let op = Op::Sqrt {
                x: 0,
                shift,
                low: 0,
                high: i32::MAX,
            };
            add(
                name(&format!("Sqrt shift {shift}")),
                over(&[(&shape, 0, i32::MAX >> 1)], op),
            );
        }
        for axis in 0..2 {
            let op = Op::ReduceSum {
                x: 0,
                axis,
                multiplier: 3,
                shift: 12,
                low: -32767,
                high: 32767,
            };
            add(name(&format!("ReduceSum axis {axis}")), over(&[wide], op.clone()));
            add(name(&format!("ReduceSum x32 axis {axis}")), over(&[wider], op));
            add(
                name(&format!("ReduceMax axis {axis}")),
                over(&[wide], Op::ReduceMax { x: 0, axis }),
            );
        }
        for (kind, value, per_column) in [("", 0, false), ("per column", 0, true), ("root mean square", 1, true)] {
            let columns = shape[1] as usize;
            let op = Op::LayerNorm {
                x: 0,
                epsilon: 1000,
                center: value == 0,
                bias: if per_column { vec![7; columns] } else { vec![] },
                rescale: rescale(if per_column { columns } else { 1 }),
            };
            let range = if shape[1] > 60_000 {
                1
            } else {
                (i32::MAX / 3 / shape[1] as i32).min(30_000)
            };
            add(name(&format!("LayerNorm {kind}")), over(&[(&shape, -range, range)], op));
        }
        let pad = |before: [u32; 2], after: [u32; 2]| Op::Pad {
            x: 0,
            before: before.to_vec(),
            after: after.to_vec(),
            value: 5,
        };
        add(name("Pad rows"), over(&[wide], pad([3, 0], [4, 0])));
        add(name("Pad columns"), over(&[wide], pad([0, 1], [0, 1])));
        add(
            name("Pad to x32"),
            over(
                &[wide],
                Op::Pad {
                    x: 0,
                    before: vec![0, 2],
                    after: vec![0, 0],
                    value: 1 << 20,
                },
            ),
        );
        add(
            name("Broadcast column"),
            over(
                &[(&column, -9, 9)],
                Op::Broadcast {
                    x: 0,
                    shape: shape.to_vec(),
                },
            ),
        );
        add(
            name("Broadcast row"),
            over(
                &[(&row, -9, 9)],
                Op::Broadcast {
                    x: 0,
                    shape: shape.to_vec(),
                },
            ),
        );
        add(
            name("Broadcast one"),
            over(
                &[(&[1], -9, 9)],
                Op::Broadcast {
                    x: 0,
                    shape: shape.to_vec(),
                },
            ),
        );
        for axis in 0..2 {
            let most = shape[axis as usize] as i32 - 1;
            for count in [1, 1000, 100_000] {
                let op = Op::Gather { x: 0, indices: 1, axis };
                if u64::from(count) * u64::from(shape[1 - axis as usize]) < 20_000_000 {
                    add(
                        name(&format!("Gather {count} axis {axis}")),
                        over(&[wide, (&[count], 0, most)], op),
                    );
                }
            }
        }
        let numbers = (&shape[..], 0, shape[1] as i32 - 1);
        add(
            name("GatherElements"),
            over(&[wide, numbers], Op::GatherElements { x: 0, indices: 1 }),
        );
        for k in [1, 2, 5, 64, 1000, 3000] {
            if k <= shape[1] {
                add(name(&format!("TopK {k}")), over(&[wide], Op::TopK { x: 0, k }));
            }
        }
    }
    for n in [1_000_000u32, 20_000_000] {
        let x = (&[1, n][..], -30000, 30000);
        let count = n.min(1_000_000);
        add(
            format!("GatherElements 1x{n} far"),
            over(
                &[x, (&[1, count], 0, n as i32 - 1)],
                Op::GatherElements { x: 0, indices: 1 },
            ),
        );
        add(
            format!("Gather 1x{n} far"),
            over(
                &[x, (&[count], 0, n as i32 - 1)],
                Op::Gather {
                    x: 0,
                    indices: 1,
                    axis: 1,
                },
            ),
        );
        let pairs = (&[n / 2, 2][..], -30000, 30000);
        add(
            format!("Gather pairs {n} far"),
            over(
                &[pairs, (&[count / 2], 0, n as i32 / 2 - 1)],
                Op::Gather {
                    x: 0,
                    indices: 1,
                    axis: 0,
                },
            ),
        );
        let lines = (&[n / 40, 40][..], -30000, 30000);
        add(
            format!("Gather forties {n} far"),
            over(
                &[lines, (&[count / 40], 0, n as i32 / 40 - 1)],
                Op::Gather {
                    x: 0,
                    indices: 1,
                    axis: 0,
                },
            ),
        );
    }
    for (count, state, x, axis) in [
        (1, &[1][..], &[1][..], 0),
        (1_000_000, &[1], &[1_000_000], 0),
        (1000, &[1000], &[1000, 1000], 0),
        (1000, &[1000], &[1000, 1000], 1),
        (4096, &[4096], &[4096, 4096], 1),
        (100_000, &[3], &[3, 100_000, 2], 1),
        (2, &[1_000_000], &[2, 1_000_000], 0),
    ] {
        for (adds, collects) in [(false, false), (true, false), (true, true)] {
            if adds && x.len() == 3 || collects && state[0] == 4096 {
                continue;
            }
            add(
                format!("Scan {count} of {state:?} over {x:?} axis {axis} adds {adds} collects {collects}"),
                scan(count, state, x, axis, adds, collects),
            );
        }
    }
    for (count, h) in [(1000, 1), (1000, 32), (1000, 128), (100, 512)] {
        add(format!("Scan cell {count} of {h}"), cell(count, h));
    }
    for k in [1, 10, 1000, 100_000, 1_000_000] {
        // Elements are drawn at random: what ascends is worse.
        add(
            format!("TopK ascending 1000000 {k}"),
            over(&[(&[1_000_000], -1 << 30, 1 << 30)], Op::TopK { x: 0, k }),
        );
    }
    for width in [3u32, 255, 257] {
        let op = Op::ReduceSum {
            x: 0,
            axis: 1,
            multiplier: 3,
            shift: 12,
            low: -32767,
            high: 32767,
        };
        add(
            format!("ReduceSum 10x10000x{width}"),
            over(&[(&[10, 10_000, width], -99, 99)], op),
        );
    }
    add(
        "ReduceSum far 4096x2048x2".into(),
        over(
            &[(&[1, 4096, 2048], -99, 99)],
            Op::ReduceSum {
                x: 0,
                axis: 1,
                multiplier: 1,
                shift: 0,
                low: -9,
                high: 9,
            },
        ),
    );
    all
}

pub fn cases() -> Vec<(String, Graph)> {
    let mut all: Vec<(String, Graph)> = computed_cases();
    let mut add = |name: String, graph| all.push((name, graph));
    for (m, k, n) in [
        (1, 1, 1),
        (1, 1, 4096),
        (1, 4096, 1),
        (1, 384, 384),
        (1, 4096, 4096),
        (1, 8192, 8192),
        (1, 13, 7),
        (128, 384, 384),
        (128, 1536, 384),
        (100_000, 1, 1),
        (100_000, 1, 3),
        (100_000, 1, 4),
        (100_000, 1, 16),
        (100_000, 2, 8),
        (10_000, 3, 17),
        (10_000, 15, 3),
        (10_000, 27, 8),
        (10_000, 27, 2),
        (1000, 64, 1),
        (1000, 64, 20),
        (49, 65, 33),
        (1, 1_000_000, 1),
        (1, 100_000, 3),
        (7, 30_000, 16),
        (2000, 512, 9),
        (5, 20_000, 5),
        (1, 64, 128),
        (3, 20, 32),
        (1, 65_536, 512),
    ] {
        for bits in [8, 16] {
            add(format!("MatMul {m}x{k}x{n} w{bits}"), mat_mul(m, k, n, bits, 0));
        }
        if u64::from(k) * n as u64 * u64::from(m) < 100_000_000 && k <= 100_000 {
            add(
                format!("MatMul {m}x{k}x{n} w16 wide"),
                mat_mul(m, k, n, 32, if k > 10_000 { 1000 } else { 32767 }),
            );
        }
        if u64::from(k) * n as u64 * u64::from(m) < 30_000_000 {
            add(
                format!("MatMul {m}x{k}x{n} x32"),
                mat_mul(m, k, n, 8, if k > 10_000 { 100_000 } else { 1 << 22 }),
            );
        }
    }
    for (rows, width, kernel) in [(2_000, 31, 31), (10_000, 4, 4), (1_000, 64, 16)] {
        let name = format!("AvgPool2d {rows}x{width} k{kernel} at the edge");
        add(name, means_at_the_edge(rows, width, kernel));
    }
    for (elements, high) in [(1 << 16, 9), (1 << 20, 9), (32 << 20, 9), (32 << 20, 1 << 20)] {
        add(format!("Memory {elements} of 0 to {high}"), memory(elements, high));
    }
    for (batch, c, hw, o, kernel, stride, dilation, groups) in [
        (1, 1, [28, 28], 8, [3, 3], 1, 1, 1),
        (1, 3, [224, 224], 16, [3, 3], 2, 1, 1),
        (1, 64, [28, 28], 128, [3, 3], 1, 1, 1),
        (1, 128, [28, 28], 128, [1, 1], 1, 1, 1),
        (1, 128, [28, 28], 128, [3, 3], 1, 1, 128),
        (1, 512, [7, 7], 512, [3, 3], 1, 1, 1),
        (1, 512, [7, 7], 512, [1, 1], 1, 1, 1),
        (1, 2048, [1, 1], 1000, [1, 1], 1, 1, 1),
        (1, 16, [64, 64], 3, [3, 3], 1, 1, 1),
        (1, 16, [64, 64], 1, [3, 3], 1, 1, 1),
        (1, 1, [512, 512], 1, [3, 3], 1, 1, 1),
        (1, 1, [512, 512], 1, [1, 1], 1, 1, 1),
        (1, 8, [64, 64], 8, [5, 5], 1, 8, 1),
        (1, 8, [64, 64], 8, [3, 3], 3, 1, 1),
        (1, 16, [1, 4096], 16, [1, 9], 1, 1, 1),
        (1, 16, [4096, 1], 16, [9, 1], 1, 1, 1),
        (1, 96, [8, 8], 96, [3, 3], 1, 1, 96),
        (1, 4096, [1, 1], 4096, [1, 1], 1, 1, 4096),
        (1, 4096, [2, 2], 4096, [3, 3], 1, 1, 4096),
        (1, 32, [17, 17], 48, [3, 3], 1, 1, 4),
        (1, 1, [4, 4], 1, [1, 1], 1, 1, 1),
        (1, 4, [15, 15], 4, [15, 15], 1, 1, 1),
        (1, 64, [56, 56], 64, [3, 3], 2, 1, 64),
        (1, 512, [4, 4], 512, [3, 3], 1, 1, 1),
        (1, 512, [2, 2], 512, [3, 3], 1, 1, 1),
        (8, 129, [1, 4], 128, [1, 3], 1, 1, 1),
        (8, 64, [1, 1], 128, [1, 3], 1, 1, 1),
        (1, 128, [3, 3], 16, [1, 1], 1, 1, 1),
        (1, 128, [33, 33], 16, [1, 1], 16, 1, 1),
        (48, 40, [3, 5], 19, [2, 2], 2, 1, 1),
        (1, 256, [512, 1], 512, [5, 1], 1, 1, 1),
    ] {
        for bits in [8, 16] {
            let name = format!(
                "Conv2d {batch}x{c}x{}x{} -> {o} k{}x{} s{stride} d{dilation} g{groups} w{bits}",
                hw[0], hw[1], kernel[0], kernel[1]
            );
            let graph = conv(batch, c, hw, o, kernel, stride, dilation, groups, bits);
            add(name, graph);
        }
    }
    add(
        "Conv2d 16x32x32 -> 16 k3 blocks".into(),
        conv_wide(16, 32, 16, 32767, -32767),
    );
    add(
        "Conv2d 16x32x32 -> 1 k3 blocks".into(),
        conv_wide(16, 32, 1, 32767, -32767),
    );
    add(
        "Conv2d 16x32x32 -> 16 k3 small weights, blocks".into(),
        conv_wide(16, 32, 16, 3000, -32767),
    );
    add(
        "Conv2d 16x32x32 -> 16 k3 x32".into(),
        conv_wide(16, 32, 16, 3000, -100_000),
    );
    for shape in [
        [1u32, 1],
        [1, 100],
        [1000, 1000],
        [2, 500_000],
        [500_000, 2],
        [3000, 3000],
    ] {
        let name = |op: &str| format!("{op} {}x{}", shape[0], shape[1]);
        add(
            name("Clamp"),
            unary(&shape, (-30000, 30000), Op::Clamp { x: 0, low: 0, high: 9 }),
        );
        add(
            name("Clamp x32"),
            unary(
                &shape,
                (-300_000, 30000),
                Op::Clamp {
                    x: 0,
                    low: 0,
                    high: 90_000,
                },
            ),
        );
        let table = Draw::new(2).list(513, |d| d.int(-32768, 32767) as i16);
        add(
            name("Table513"),
            unary(
                &shape,
                (-32768, 32767),
                Op::Table {
                    x: 0,
                    table: table.clone(),
                },
            ),
        );
        add(
            name("Table256"),
            unary(
                &shape,
                (-128, 127),
                Op::Table {
                    x: 0,
                    table: table[..256].to_vec(),
                },
            ),
        );
        for axis in 0..2 {
            let op = Op::Rescale {
                x: 0,
                axis,
                bias: vec![4; shape[axis as usize] as usize],
                rescale: rescale(shape[axis as usize] as usize),
            };
            add(
                name(&format!("Rescale axis {axis}")),
                unary(&shape, (-300_000, 300_000), op),
            );
        }
        add(
            name("Rescale all"),
            unary(
                &shape,
                (-3000, 3000),
                Op::Rescale {
                    x: 0,
                    axis: 0,
                    bias: vec![],
                    rescale: rescale(1),
                },
            ),
        );
        add(
            name("Softmax"),
            unary(
                &shape,
                (-3000, 3000),
                Op::Softmax {
                    x: 0,
                    multiplier: 94_548,
                    shift: 8,
                },
            ),
        );
        add(name("ArgMax"), unary(&shape, (-3000, 3000), Op::ArgMax { x: 0 }));
        add(
            name("Transpose"),
            unary(&shape, (-3000, 3000), Op::Transpose { x: 0, axes: vec![1, 0] }),
        );
        add(name("Add"), pair(&shape, &shape, false));
        add(name("Mul"), pair(&shape, &shape, true));
        add(name("Mul by scalar"), pair(&shape, &[1], true));
        add(name("Add row"), pair(&shape, &[shape[1]], false));
        add(name("Mul column"), pair(&shape, &[shape[0], 1], true));
        add(
            name("Concat 0"),
            unary(
                &shape,
                (-3000, 3000),
                Op::Concat {
                    xs: vec![0, 0],
                    axis: 0,
                },
            ),
        );
        add(
            name("Concat 1"),
            unary(
                &shape,
                (-3000, 3000),
                Op::Concat {
                    xs: vec![0, 0],
                    axis: 1,
                },
            ),
        );
        for axis in 0..2 {
            let extent = shape[axis as usize];
            if extent > 1 {
                let step = Op::Slice {
                    x: 0,
                    axis,
                    start: 1,
                    step: 2,
                    length: extent / 2,
                };
                add(
                    name(&format!("Slice axis {axis} step 2")),
                    unary(&shape, (-3000, 3000), step),
                );
                let one = Op::Slice {
                    x: 0,
                    axis,
                    start: 1,
                    step: 1,
                    length: extent - 1,
                };
                add(name(&format!("Slice axis {axis}")), unary(&shape, (-3000, 3000), one));
                let thin = Op::Slice {
                    x: 0,
                    axis,
                    start: 0,
                    step: 1,
                    length: 1,
                };
                add(
                    name(&format!("Slice axis {axis} one")),
                    unary(&shape, (-3000, 3000), thin),
                );
            }
        }
    }
    add(
        "Transpose 32x32x32x32 0231".into(),
        unary(
            &[32; 4],
            (-3000, 3000),
            Op::Transpose {
                x: 0,
                axes: vec![0, 2, 3, 1],
            },
        ),
    );
    add(
        "Transpose 64x64x64x2 2130".into(),
        unary(
            &[64, 64, 64, 2],
            (-3000, 3000),
            Op::Transpose {
                x: 0,
                axes: vec![2, 1, 0, 3],
            },
        ),
    );
    add(
        "Transpose 8192x1024".into(),
        unary(&[8192, 1024], (-3000, 3000), Op::Transpose { x: 0, axes: vec![1, 0] }),
    );
    // Operands that no cache holds, read down their columns.
    add(
        "Transpose 8192x2048 far".into(),
        unary(&[8192, 2048], (-3000, 3000), Op::Transpose { x: 0, axes: vec![1, 0] }),
    );
    for (name, kernel, dilations) in [("column", [4096, 1], [1, 1]), ("dilated row", [1, 64], [1, 32])] {
        let window = Window {
            kernel,
            strides: [1, 1],
            dilations,
            pads: [0; 4],
        };
        let far = |op| unary(&[1, 1, 4096, 2048], (-3000, 3000), op);
        add(
            format!("MaxPool2d 4096x2048 far {name}"),
            far(Op::MaxPool2d {
                x: 0,
                window: Window {
                    strides: [1, 4],
                    ..window
                },
            }),
        );
    }
    add("Add outer".into(), pair(&[1000, 1], &[1, 1000], false));
    add("Add zigzag".into(), pair(&[100, 1, 100, 1], &[1, 10, 1, 10], false));
    for (c, hw, factors) in [
        (16, [64, 64], [2, 2]),
        (1, [1000, 1000], [1, 1]),
        (1, [1, 1], [1000, 1000]),
        (1, [1000, 1], [1, 1000]),
        (1, [1000, 1000], [2, 1]),
        (1, [1000, 1000], [1, 3]),
    ] {
        let name = format!("Upsample2d {c}x{}x{} by {}x{}", hw[0], hw[1], factors[0], factors[1]);
        add(
            name,
            unary(&[1, c, hw[0], hw[1]], (-3000, 3000), Op::Upsample2d { x: 0, factors }),
        );
    }
    for (hw, c, kernel, stride) in [
        (64, 16, 2, 2),
        (64, 16, 3, 1),
        (300, 1, 1, 1),
        (56, 4, 31, 1),
        (7, 512, 7, 7),
        (224, 3, 3, 2),
    ] {
        for average in [false, true] {
            let name = format!(
                "{}Pool2d {c}x{hw}x{hw} k{kernel} s{stride}",
                if average { "Avg" } else { "Max" }
            );
            add(name, pool(hw, c, kernel, stride, average));
        }
    }
    for (rows, features, trees, depth, targets, entries, full) in [
        (1, 20, 100, 6, 1, 1, true),
        (1000, 20, 100, 6, 1, 1, true),
        (1, 64, 100, 10, 10, 10, true),
        (100, 64, 100, 10, 10, 10, true),
        (1, 64, 10_000, 6, 1, 1, true),
        (1, 5, 1, 20_000, 1, 1, false),
        (1, 5000, 1, 1, 1, 1, true),
        (10_000, 3, 1, 0, 1, 1, true),
        (1, 3, 10_000, 0, 1, 1, true),
        (1, 3, 100, 2, 500, 500, true),
        (1, 64, 16, 15, 1, 1, true),
        (1, 2000, 16, 15, 1, 1, true),
        (10_000, 1, 1, 1, 1, 1, true),
        (1000, 2, 0, 0, 100, 0, true),
    ] {
        let name = format!("TreeEnsemble {rows}x{features} {trees} trees depth {depth} targets {targets}");
        add(name, forest(rows, features, trees, depth, targets, entries, full));
    }
    add(
        "Constant".into(),
        model(
            input(&[1], 0, 1),
            vec![Op::Constant {
                shape: vec![1000],
                data: Array::I16(vec![1; 1000]),
            }],
        ),
    );
    add(
        "Reshape".into(),
        unary(
            &[1000, 1000],
            (-3000, 3000),
            Op::Reshape {
                x: 0,
                shape: vec![1_000_000],
            },
        ),
    );
    let mut chain = model(input(&[1], 0, 9), vec![]);
    for x in 0..4000 {
        chain.push(Op::Clamp { x, low: 0, high: 8 });
    }
    chain.outputs[0].value = 4000;
    add("4000 tiny nodes".into(), chain);
    all
}
