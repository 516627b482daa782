//! The models behind the golden vectors that the engine's self-test runs: every kernel, and every way in which rows are
//! divided among its tiles.

use aiinference_engine::graph::{Array, Comparison, Graph, Input, Op, Output, Rescale, Trees, Window};

use aiinference_differential::random::Draw;

/// Names, models and inputs.
pub fn cases() -> Vec<(String, Graph, Vec<Vec<i32>>)> {
    let graphs = [
        mat_mul("mat-mul-i8", 300, |d, count| {
            Array::I8(d.list(count, |d| d.extreme(-128, 127) as i8))
        }),
        mat_mul("mat-mul-i16", 301, |d, count| {
            Array::I16(d.list(count, |d| d.int(-999, 999) as i16))
        }),
        mat_mul_blocks(),
        conv(),
        pointwise(),
        others(),
        narrow(),
        rows(),
        folds(),
        sixteens(),
        depthwise(),
        reductions(),
    ];
    let draw = &mut Draw::new(4);
    let cases = graphs.into_iter();
    cases
        .map(|(name, graph)| {
            let inputs = graph.inputs.iter().map(|port| {
                let count = port.shape.iter().product::<u32>() as usize;
                draw.list(count, |d| d.extreme(port.low, port.high))
            });
            let inputs = inputs.collect();
            (format!("self-test-{name}"), graph, inputs)
        })
        .collect()
}

/// A graph with inputs of these shapes and ranges.
fn graph(ports: &[(&[u32], i32, i32)]) -> Graph {
    let mut graph = Graph::new();
    for (i, (shape, low, high)) in ports.iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            shape: shape.to_vec(),
            fraction_bits: 0,
            low: *low,
            high: *high,
            saturate: false,
        });
    }
    graph
}

/// Adds a node whose value is an output.
fn output(graph: &mut Graph, op: Op) -> u32 {
    let value = graph.push(op);
    graph.outputs.push(Output {
        name: format!("y{}", graph.outputs.len()),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    value
}

/// Every eighth channel passes its sum on as it is, so that no fault hides in rounding.
fn rescale(draw: &mut Draw, channels: usize, shifts: [u8; 2]) -> Rescale {
    let plain = |c: usize| c.is_multiple_of(8);
    Rescale {
        multipliers: (0..channels)
            .map(|c| if plain(c) { 1 } else { draw.int(-9000, 9000) as i32 })
            .collect(),
        shifts: (0..channels)
            .map(|c| {
                if plain(c) {
                    0
                } else {
                    draw.int(shifts[0].into(), shifts[1].into()) as u8
                }
            })
            .collect(),
        low: -(1 << 30),
        high: 1 << 30,
    }
}

/// Sums in 32 bits: several rows against a wide and a narrow panel, and one row against a wide panel and single rows.
fn mat_mul(name: &'static str, range: i32, weights: impl Fn(&mut Draw, usize) -> Array) -> (&'static str, Graph) {
    let draw = &mut Draw::new(range as u64);
    let shapes: [(&[u32], usize); 4] = [(&[15, 9], 24), (&[10, 8], 21), (&[4, 5], 23), (&[1, 83], 18)];
    let ports: Vec<_> = shapes.iter().map(|(shape, _)| (*shape, -range, range)).collect();
    let mut graph = graph(&ports);
    for (x, (shape, n)) in shapes.iter().enumerate() {
        let op = Op::MatMul {
            x: x as u32,
            weights: weights(draw, shape[1] as usize * n),
            bias: draw.list(*n, |d| d.int(-999, 999)),
            rescale: rescale(draw, *n, [16, 26]),
        };
        output(&mut graph, op);
    }
    (name, graph)
}

/// Sums of blocks in 64 bits; for weights of 8 bits it is the biases that need them. Channels that pass their sum on
/// have small ones.
fn mat_mul_blocks() -> (&'static str, Graph) {
    let draw = &mut Draw::new(6);
    let mut graph = graph(&[
        (&[7, 11], -32768, 32767),
        (&[3, 70], -32767, 32767),
        (&[7, 9], -2000, 2000),
    ]);
    for (x, k, n, bias, most) in [
        (0, 11, 24, 0, 32767),
        (1, 70, 18, 1 << 36, 9000),
        (2, 9, 24, 1 << 32, 127),
    ] {
        let values = draw.list(k * n, |d| d.extreme(-most, most) as i16);
        let small = |c: usize| c.is_multiple_of(8);
        let values = values.into_iter().enumerate();
        let values = values.map(|(i, w)| if small(i / k) { w % 100 } else { w });
        let weights = match most {
            127 => Array::I8(values.map(|w| w as i8).collect()),
            _ => Array::I16(values.collect()),
        };
        let bias = match bias {
            0 => vec![],
            _ => (0..n)
                .map(|c| if small(c) { 7 } else { draw.int(-bias, bias) })
                .collect(),
        };
        output(
            &mut graph,
            Op::MatMul {
                x,
                weights,
                bias,
                rescale: rescale(draw, n, [27, 35]),
            },
        );
    }
    ("mat-mul-blocks", graph)
}

/// Padded, strided, dilated and grouped; more channels than go through a panel together; sums in 32 bits and of blocks.
fn conv() -> (&'static str, Graph) {
    let draw = &mut Draw::new(7);
    let mut graph = graph(&[(&[1, 2, 4, 19], -300, 300), (&[1, 4, 4, 5], -32767, 32767)]);
    for (x, channels, groups, strides, dilations, pads, most) in [
        (0, 5, 1, [1, 1], [1, 1], [1, 1, 1, 1], 127),
        (0, 50, 2, [3, 9], [1, 2], [0, 1, 2, 0], 127),
        (1, 6, 2, [1, 2], [1, 1], [1, 0, 1, 2], 32767),
    ] {
        let taps = [2, 4][x as usize] / groups * 9;
        let values = draw.list((channels * taps) as usize, |d| d.extreme(-most, most) as i16);
        let small = |c: usize| c.is_multiple_of(8);
        let values = values.into_iter().enumerate();
        let values = values.map(|(i, w)| if small(i / taps as usize) { w % 100 } else { w });
        let weights = match most {
            127 => Array::I8(values.map(|w| w as i8).collect()),
            _ => Array::I16(values.collect()),
        };
        let op = Op::Conv2d {
            x,
            weights,
            channels,
            bias: draw.list(channels as usize, |d| d.int(-9999, 9999)),
            window: Window {
                kernel: [3, 3],
                strides,
                dilations,
                pads,
            },
            groups,
            rescale: rescale(draw, channels as usize, [16, 30]),
        };
        output(&mut graph, op);
    }
    ("conv", graph)
}

/// Activations of 8 bits, with and without a sign, and results of 16; convolutions of channels each with an image of its own.
fn narrow() -> (&'static str, Graph) {
    let draw = &mut Draw::new(10);
    let mut graph = graph(&[
        (&[13, 9], -128, 127),
        (&[9, 10], 0, 255),
        (&[1, 3, 5, 7], -128, 127),
        (&[1, 3, 5, 7], 0, 255),
        (&[1, 3, 5, 7], -3000, 3000),
    ]);
    let end = |draw: &mut Draw, channels: usize| Rescale {
        low: -32768,
        high: 32767,
        ..rescale(draw, channels, [4, 12])
    };
    for (x, k, n) in [(0, 9, 21), (1, 10, 16)] {
        let op = Op::MatMul {
            x,
            weights: Array::I8(draw.list(k * n, |d| d.int(-90, 90) as i8)),
            bias: draw.list(n, |d| d.int(-99, 99)),
            rescale: end(draw, n),
        };
        output(&mut graph, op);
    }
    for (x, channels, groups, stride) in [(2, 13, 1, 1), (3, 7, 1, 2), (4, 6, 3, 1), (4, 3, 3, 2), (4, 3, 3, 3)] {
        let (channels, taps) = (channels as u32, 3 / groups * 6);
        let op = Op::Conv2d {
            x,
            weights: Array::I8(draw.list((channels * taps) as usize, |d| d.int(-90, 90) as i8)),
            channels,
            bias: draw.list(channels as usize, |d| d.int(-99, 99)),
            window: Window {
                kernel: [2, 3],
                strides: [1, stride],
                dilations: [1, 1],
                pads: [1, 1, 0, 2],
            },
            groups,
            rescale: end(draw, channels as usize),
        };
        output(&mut graph, op);
    }
    ("narrow", graph)
}

/// Channels each with an image of its own: rows longer than a vector and shorter, one and two pixels apart, results of 16 bits and of
/// 32, multipliers that are rescaled by in either form.
fn depthwise() -> (&'static str, Graph) {
    let draw = &mut Draw::new(21);
    let mut graph = graph(&[(&[1, 2, 2, 35], -900, 900), (&[1, 2, 5, 5], -900, 900)]);
    for (x, stride, most) in [(0, 1, 32767), (0, 2, 32767), (1, 1, 32767), (1, 1, 1 << 30)] {
        let largest = if most > 32767 { 99 } else { 9 };
        let op = Op::Conv2d {
            x,
            weights: Array::I8(draw.list(18, |d| d.int(-largest, largest) as i8)),
            channels: 2,
            bias: draw.list(2, |d| d.int(-99, 99)),
            window: Window {
                kernel: [3, 3],
                strides: [stride; 2],
                dilations: [1, 1],
                pads: [1; 4],
            },
            groups: 2,
            rescale: Rescale {
                multipliers: vec![1, -3000],
                shifts: vec![0, 12],
                low: -most,
                high: most,
            },
        };
        output(&mut graph, op);
    }
    ("depthwise", graph)
}

/// Rows that are normalised, with their mean subtracted and without, and products of computed matrices.
fn rows() -> (&'static str, Graph) {
    let draw = &mut Draw::new(12);
    let mut graph = graph(&[
        (&[2, 21], -20_000, 19_000),
        (&[2, 4, 9], -800, 800),
        (&[2, 9, 5], -800, 800),
        // So small that an error of one in a sum of squares shows.
        (&[2, 5], -2, 2),
    ]);
    let plain = Rescale {
        multipliers: vec![1],
        shifts: vec![0],
        low: i32::MIN,
        high: i32::MAX,
    };
    for (x, center, bias, rescale) in [
        (0, true, vec![], plain.clone()),
        (0, false, vec![-9], plain.clone()),
        (
            0,
            true,
            draw.list(21, |d| d.int(-1 << 20, 1 << 20)),
            rescale(draw, 21, [3, 12]),
        ),
        (1, true, vec![], plain.clone()),
        (3, false, vec![], plain),
    ] {
        let op = Op::LayerNorm {
            x,
            epsilon: 77,
            center,
            bias,
            rescale,
        };
        output(&mut graph, op);
    }
    for (a, b, transposed) in [(1, 2, false), (1, 1, true)] {
        let op = Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier: 5,
            shift: 2,
            low: i32::MIN,
            high: i32::MAX,
        };
        output(&mut graph, op);
    }
    ("rows", graph)
}

/// What pooling folds lines with, comparisons of two tensors, and sums of 64 bits that are given in 16 or summed tap by tap.
fn folds() -> (&'static str, Graph) {
    let draw = &mut Draw::new(14);
    let mut graph = graph(&[
        (&[1, 1, 2, 13], -3000, 3000),
        (&[11], -3000, 3000),
        (&[11], -2, 2),
        (&[11], -2, 2),
        (&[1, 2, 2, 9], -32767, 32767),
        (&[2, 5], -32767, 32767),
    ]);
    for stride in [1, 2] {
        let window = Window {
            kernel: [2, 3],
            strides: [1, stride],
            dilations: [1, 1],
            pads: [1, 1, 0, 1],
        };
        output(
            &mut graph,
            Op::MaxPool2d {
                x: 0,
                window: window.clone(),
            },
        );
        output(
            &mut graph,
            Op::AvgPool2d {
                x: 0,
                window: window.clone(),
                count_padding: false,
            },
        );
        let weights = draw
            .list(18, |d| d.extreme(-32767, 32767) as i16)
            .into_iter()
            .enumerate();
        // The first channel passes its sum on as it is.
        let weights = weights.map(|(i, w)| if i < 9 { w % 100 } else { w }).collect();
        let op = Op::Conv2d {
            x: 4,
            weights: Array::I16(weights),
            channels: 2,
            bias: vec![-5, 99],
            window: Window {
                kernel: [3, 3],
                pads: [1; 4],
                ..window
            },
            groups: 2,
            rescale: rescale(draw, 2, [27, 35]),
        };
        output(&mut graph, op);
    }
    output(&mut graph, Op::Min { a: 1, b: 2 });
    output(&mut graph, Op::Max { a: 1, b: 2 });
    for kind in [Comparison::Less, Comparison::LessEqual, Comparison::Equal] {
        output(&mut graph, Op::Compare { a: 2, b: 3, kind });
    }
    output(
        &mut graph,
        Op::Select {
            condition: 2,
            a: 1,
            b: 3,
        },
    );
    let op = Op::MatMul {
        x: 5,
        weights: Array::I16(draw.list(5 * 8, |d| d.extreme(-9000, 9000) as i16)),
        bias: draw.list(8, |d| d.int(-1 << 33, 1 << 33)),
        rescale: Rescale {
            low: -32768,
            high: 32767,
            ..rescale(draw, 8, [31, 34])
        },
    };
    output(&mut graph, op);
    ("folds", graph)
}

/// Single elements of 16 bits, whose results take 16 or 32; and what takes 32 from the start.
fn sixteens() -> (&'static str, Graph) {
    let draw = &mut Draw::new(15);
    let mut graph = graph(&[
        (&[1, 4], -32768, 32767),
        (&[4], -32768, 32767),
        (&[4], -2, 2),
        (&[4], -100_000, 100_000),
        (&[4], -2, 2),
    ]);
    // Within 16 bits, and beyond.
    for (low, high) in [(-32000, 32001), (-40_000, 40_000)] {
        let multipliers = [21_001, -19_003];
        output(
            &mut graph,
            Op::Add {
                a: 0,
                b: 1,
                multipliers,
                shift: 14,
                low,
                high,
            },
        );
        output(
            &mut graph,
            Op::Mul {
                a: 0,
                b: 1,
                multiplier: 1,
                shift: 13,
                low,
                high,
            },
        );
        let one = |bias: Vec<i64>, multipliers: Vec<i32>, shifts: Vec<u8>| Op::Rescale {
            x: 0,
            axis: 1,
            bias,
            rescale: Rescale {
                multipliers,
                shifts,
                low,
                high,
            },
        };
        output(&mut graph, one(vec![-77], vec![20_011], vec![13]));
        let multipliers = draw.list(4, |d| d.int(-20_000, 20_000) as i32);
        output(
            &mut graph,
            one(draw.list(4, |d| d.int(-9999, 9999)), multipliers, vec![13, 0, 14, 31]),
        );
    }
    output(
        &mut graph,
        Op::Clamp {
            x: 0,
            low: -12_345,
            high: 9999,
        },
    );
    for (a, b) in [(1, 2), (3, 4)] {
        let mut all = vec![graph.push(Op::Min { a, b }), graph.push(Op::Max { a, b })];
        let kind = Comparison::LessEqual;
        all.push(graph.push(Op::Compare { a, b, kind }));
        all.push(graph.push(Op::Select { condition: b, a, b }));
        output(&mut graph, Op::Concat { xs: all, axis: 0 });
    }
    ("sixteens", graph)
}

/// Sums and largest elements of rows and columns, of 16 bits, and square roots.
fn reductions() -> (&'static str, Graph) {
    let mut graph = graph(&[
        (&[2, 3, 19], -32768, 32767),
        (&[35], -32768, 32767),
        (&[5], 0, i32::MAX),
    ]);
    for axis in [1, 2] {
        let (low, high) = (-(1 << 21), 1 << 21);
        output(
            &mut graph,
            Op::ReduceSum {
                x: 0,
                axis,
                multiplier: 1,
                shift: 0,
                low,
                high,
            },
        );
        output(&mut graph, Op::ReduceMax { x: 0, axis });
    }
    for (x, shift) in [(1, 15), (1, 2), (2, 31), (2, 0)] {
        let (low, high) = (0, i32::MAX);
        output(&mut graph, Op::Sqrt { x, shift, low, high });
    }
    ("reductions", graph)
}

/// Single elements: Rescale, Add, Mul, Clamp and both kinds of Table.
fn pointwise() -> (&'static str, Graph) {
    let draw = &mut Draw::new(8);
    let mut graph = graph(&[
        (&[3, 37], -40_000, 40_000),
        (&[1, 37], -32_768, 32_767),
        (&[37], -128, 127),
    ]);
    let bias = vec![-77, 5_000_000_011, -812_345_678];
    let (low, high) = (-32768, 32767);
    output(
        &mut graph,
        Op::Rescale {
            x: 0,
            axis: 0,
            bias,
            rescale: Rescale {
                multipliers: vec![3, -201, 32_749],
                shifts: vec![0, 9, 16],
                low: i32::MIN,
                high: i32::MAX,
            },
        },
    );
    output(
        &mut graph,
        Op::Add {
            a: 0,
            b: 1,
            multipliers: [-19_997, 17_773],
            shift: 19,
            low,
            high,
        },
    );
    let product = output(
        &mut graph,
        Op::Mul {
            a: 0,
            b: 1,
            multiplier: 1013,
            shift: 25,
            low,
            high,
        },
    );
    output(
        &mut graph,
        Op::Clamp {
            x: product,
            low: -999,
            high: 5555,
        },
    );
    let table = draw.list(513, |d| d.int(-32768, 32767) as i16);
    output(&mut graph, Op::Table { x: 1, table });
    let table = draw.list(256, |d| d.int(-32768, 32767) as i16);
    output(&mut graph, Op::Table { x: 2, table });
    ("pointwise", graph)
}

/// Trees, Softmax and ArgMax, pooling, and elements that move.
fn others() -> (&'static str, Graph) {
    let draw = &mut Draw::new(9);
    let mut graph = graph(&[(&[5, 6], -1000, 1000), (&[1, 2, 4, 6], -1000, 1000)]);
    let trees = Trees {
        roots: vec![0, 3],
        features: vec![0, 3, 5, 1, 2],
        thresholds: vec![-10, 250, 0, 100, -400],
        left: vec![1, -1, -3, 4, -6],
        right: vec![2, -2, -4, -5, -7],
        leaf_starts: vec![0, 1, 3, 4, 5, 7, 8, 9],
        targets: vec![0, 0, 1, 1, 0, 0, 1, 1, 0],
        weights: vec![7, -12_345, 99_999, -3, 40_404, 1 << 30, -5, 65_537, -777],
        base: vec![1 << 20, -31],
    };
    let rescale = Rescale {
        multipliers: vec![1, 16_411],
        shifts: vec![0, 14],
        low: i32::MIN,
        high: i32::MAX,
    };
    output(&mut graph, Op::TreeEnsemble { x: 0, trees, rescale });
    output(
        &mut graph,
        Op::Softmax {
            x: 0,
            multiplier: 94_548,
            shift: 9,
        },
    );
    output(&mut graph, Op::ArgMax { x: 0 });
    let window = |pads| Window {
        kernel: [2, 3],
        strides: [1, 2],
        dilations: [1, 1],
        pads,
    };
    let most = graph.push(Op::MaxPool2d {
        x: 1,
        window: window([1, 0, 0, 1]),
    });
    let mean = graph.push(Op::AvgPool2d {
        x: 1,
        window: window([1, 0, 0, 1]),
        count_padding: false,
    });
    let both = graph.push(Op::Concat {
        xs: vec![most, mean],
        axis: 1,
    });
    let twice = graph.push(Op::Upsample2d {
        x: both,
        factors: [2, 1],
    });
    let turned = graph.push(Op::Transpose {
        x: twice,
        axes: vec![0, 2, 3, 1],
    });
    let every_other = graph.push(Op::Slice {
        x: turned,
        axis: 2,
        start: 1,
        step: 2,
        length: 1,
    });
    let flat = graph.push(Op::Reshape {
        x: every_other,
        shape: vec![32],
    });
    let shape = vec![32];
    let data = Array::I16(draw.list(32, |d| d.int(-999, 999) as i16));
    let constant = graph.push(Op::Constant { shape, data });
    output(
        &mut graph,
        Op::Add {
            a: flat,
            b: constant,
            multipliers: [1, 1],
            shift: 0,
            low: -5000,
            high: 5000,
        },
    );
    ("others", graph)
}
