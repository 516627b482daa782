//! The shapes of every operation by a few numbers each, for [`crate::search`].

use aiinference_engine::graph::{Array, Comparison, Graph, Op, Window};

use crate::common::{input, model, rescale, Draw};
use crate::listed::{forest, over, scan};
use crate::search::Family;

/// Ranges by number: bytes, bytes without a sign, 13 bits, 16 bits, and what takes 32.
const RANGES: [(i32, i32); 5] = [
    (-127, 127),
    (0, 255),
    (-4095, 4095),
    (-32767, 32767),
    (-3_000_000, 3_000_000),
];
/// Clamped results of 16 bits.
const END: (i32, i32) = (-32767, 32767);

pub const FAMILIES: &[Family] = &[
    Family {
        op: "MatMul",
        axes: &[
            ("rows", 1, 100_000),
            ("k", 1, 1 << 20),
            ("columns", 1, 20_000),
            ("weights", 0, 2),
            ("range", 0, 4),
        ],
        build: mat_mul,
    },
    Family {
        op: "BatchMatMul",
        axes: &[
            ("batch", 1, 10_000),
            ("m", 1, 4096),
            ("k", 1, 1 << 16),
            ("n", 1, 4096),
            ("transposed", 0, 1),
            ("range", 0, 4),
            ("repeats", 0, 2),
        ],
        build: batch_mat_mul,
    },
    Family {
        op: "Conv2d",
        axes: CONV,
        build: conv,
    },
    Family {
        op: "Conv2d",
        axes: FEW_PIXELS,
        build: conv,
    },
    Family {
        op: "Conv2d",
        axes: DEPTHWISE,
        build: conv,
    },
    Family {
        op: "MaxPool2d",
        axes: POOL,
        build: |s| pool(s, |window| Op::MaxPool2d { x: 0, window }),
    },
    Family {
        op: "AvgPool2d",
        axes: POOL,
        build: |s| {
            pool(s, |window| Op::AvgPool2d {
                x: 0,
                window,
                count_padding: false,
            })
        },
    },
    Family {
        op: "Add",
        axes: PAIR,
        build: |s| {
            pair(
                s,
                Op::Add {
                    a: 0,
                    b: 1,
                    multipliers: [3, if s[6] == 1 { 5 } else { 1 << 20 }],
                    shift: 12,
                    low: END.0,
                    high: END.1,
                },
            )
        },
    },
    Family {
        op: "Mul",
        axes: PAIR,
        build: |s| {
            pair(
                s,
                Op::Mul {
                    a: 0,
                    b: 1,
                    multiplier: if s[6] == 1 { 1 } else { 3 },
                    shift: 12,
                    low: END.0,
                    high: END.1,
                },
            )
        },
    },
    Family {
        op: "Div",
        axes: PAIR,
        build: |s| {
            pair(
                s,
                Op::Div {
                    a: 0,
                    b: 1,
                    shift: 31,
                    low: END.0,
                    high: END.1,
                },
            )
        },
    },
    Family {
        op: "Min",
        axes: PAIR,
        build: |s| pair(s, Op::Min { a: 0, b: 1 }),
    },
    Family {
        op: "Max",
        axes: PAIR,
        build: |s| pair(s, Op::Max { a: 0, b: 1 }),
    },
    Family {
        op: "Compare",
        axes: PAIR,
        build: |s| {
            let kind = [Comparison::Less, Comparison::LessEqual, Comparison::Equal][s[0] as usize % 3];
            pair(s, Op::Compare { a: 0, b: 1, kind })
        },
    },
    Family {
        op: "Select",
        axes: PAIR,
        build: |s| {
            pair(
                s,
                Op::Select {
                    condition: 1,
                    a: 0,
                    b: 1,
                },
            )
        },
    },
    Family {
        op: "Rescale",
        axes: &[
            ("outer", 1, 1 << 20),
            ("channels", 1, 1 << 20),
            ("inner", 1, 1 << 20),
            ("per channel", 0, 1),
            ("range", 0, 4),
            ("short", 0, 1),
        ],
        build: rescaled,
    },
    Family {
        op: "Clamp",
        axes: FLAT,
        build: |s| flat(s, 4, Op::Clamp { x: 0, low: 0, high: 99 }),
    },
    Family {
        op: "Sqrt",
        axes: FLAT,
        build: |s| {
            flat(
                s,
                4,
                Op::Sqrt {
                    x: 0,
                    shift: 31,
                    low: 0,
                    high: i32::MAX,
                },
            )
        },
    },
    Family {
        op: "Table",
        axes: FLAT,
        build: |s| {
            let table = Draw::new(2).list(if s[1] == 0 { 256 } else { 513 }, |d| d.int(-32768, 32767) as i16);
            flat(s, 3, Op::Table { x: 0, table })
        },
    },
    Family {
        op: "Softmax",
        axes: ROWS,
        build: |s| {
            rows(
                s,
                4,
                Op::Softmax {
                    x: 0,
                    multiplier: 94_548,
                    shift: 8,
                },
            )
        },
    },
    Family {
        op: "ArgMax",
        axes: ROWS,
        build: |s| rows(s, 4, Op::ArgMax { x: 0 }),
    },
    Family {
        op: "TopK",
        axes: &[
            ("rows", 1, 1 << 20),
            ("columns", 1, 1 << 20),
            ("range", 0, 4),
            ("k", 1, 1 << 20),
        ],
        build: |s| (s[3] <= s[1]).then(|| rows(s, 4, Op::TopK { x: 0, k: s[3] }))?,
    },
    Family {
        op: "LayerNorm",
        axes: &[
            ("rows", 1, 1 << 20),
            ("columns", 1, 1 << 16),
            ("range", 0, 4),
            ("per column", 0, 1),
            ("centred", 0, 1),
        ],
        build: layer_norm,
    },
    Family {
        op: "ReduceSum",
        axes: AROUND,
        build: |s| {
            around(
                s,
                Op::ReduceSum {
                    x: 0,
                    axis: 1,
                    multiplier: 3,
                    shift: 12,
                    low: END.0,
                    high: END.1,
                },
            )
        },
    },
    Family {
        op: "ReduceMax",
        axes: AROUND,
        build: |s| around(s, Op::ReduceMax { x: 0, axis: 1 }),
    },
    Family {
        op: "Transpose",
        axes: &[
            ("a", 1, 4096),
            ("b", 1, 4096),
            ("c", 1, 4096),
            ("d", 1, 4096),
            ("order", 0, 23),
            ("range", 3, 4),
        ],
        build: transpose,
    },
    Family {
        op: "Slice",
        axes: &[
            ("outer", 1, 1 << 20),
            ("extent", 1, 1 << 16),
            ("inner", 1, 1 << 16),
            ("step", 1, 4096),
            ("range", 3, 4),
        ],
        build: |s| {
            let op = Op::Slice {
                x: 0,
                axis: 1,
                start: 0,
                step: s[3],
                length: s[1].div_ceil(s[3]),
            };
            ranged(&[s[0], s[1], s[2]], s[4], op)
        },
    },
    Family {
        op: "Concat",
        axes: &[
            ("outer", 1, 1 << 20),
            ("inner", 1, 1 << 16),
            ("operands", 1, 64),
            ("range", 3, 4),
            ("mixed", 0, 1),
        ],
        build: concat,
    },
    Family {
        op: "Pad",
        axes: &[
            ("a", 1, 4096),
            ("b", 1, 4096),
            ("c", 1, 4096),
            ("before a", 0, 9),
            ("after b", 0, 9),
            ("before c", 0, 99),
            ("range", 3, 4),
        ],
        build: |s| {
            let op = Op::Pad {
                x: 0,
                before: vec![s[3], 0, s[5]],
                after: vec![0, s[4], 0],
                value: 7,
            };
            ranged(&s[..3], s[6], op)
        },
    },
    Family {
        op: "Broadcast",
        axes: &[
            ("a", 1, 4096),
            ("b", 1, 4096),
            ("c", 1, 4096),
            ("kept", 0, 7),
            ("range", 3, 4),
        ],
        build: |s| {
            let op = Op::Broadcast {
                x: 0,
                shape: s[..3].to_vec(),
            };
            ranged(&kept(&s[..3], s[3]), s[4], op)
        },
    },
    Family {
        op: "Upsample2d",
        axes: &[
            ("channels", 1, 4096),
            ("height", 1, 4096),
            ("width", 1, 4096),
            ("down", 1, 256),
            ("right", 1, 256),
            ("range", 3, 4),
        ],
        build: |s| {
            let op = Op::Upsample2d {
                x: 0,
                factors: [s[3], s[4]],
            };
            ranged(&[1, s[0], s[1], s[2]], s[5], op)
        },
    },
    Family {
        op: "Gather",
        axes: &[
            ("outer", 1, 4096),
            ("extent", 1, 1 << 24),
            ("inner", 1, 4096),
            ("indices", 1, 1 << 20),
            ("range", 3, 4),
        ],
        build: |s| {
            let (low, high) = RANGES[s[4] as usize];
            let op = Op::Gather {
                x: 0,
                indices: 1,
                axis: 1,
            };
            let (x, indices) = ([s[0], s[1], s[2]], [s[3]]);
            small(&[&x, &[s[0], s[3], s[2]]]).then(|| over(&[(&x, low, high), (&indices, 0, s[1] as i32 - 1)], op))
        },
    },
    Family {
        op: "GatherElements",
        axes: &[
            ("rows", 1, 1 << 20),
            ("columns", 1, 1 << 24),
            ("indices", 1, 1 << 20),
            ("range", 3, 4),
        ],
        build: |s| {
            let (low, high) = RANGES[s[3] as usize];
            let op = Op::GatherElements { x: 0, indices: 1 };
            let (x, indices) = ([s[0], s[1]], [s[0], s[2]]);
            small(&[&x, &indices]).then(|| over(&[(&x, low, high), (&indices, 0, s[1] as i32 - 1)], op))
        },
    },
    Family {
        op: "TreeEnsemble",
        axes: &[
            ("rows", 1, 10_000),
            ("features", 1, 4096),
            ("trees", 0, 1000),
            ("depth", 0, 14),
            ("targets", 1, 100),
            ("entries", 0, 100),
        ],
        build: |s| {
            let [rows, features, trees, depth, targets, entries] = s else {
                return None;
            };
            // A million entries at most.
            let leaves = u64::from(*trees) << depth;
            (entries <= targets && leaves * u64::from(*entries).max(1) < 1 << 20 && rows * features < 1 << 24).then(
                || {
                    forest(
                        *rows,
                        *features,
                        *trees as usize,
                        *depth,
                        *targets as usize,
                        *entries as usize,
                        true,
                    )
                },
            )
        },
    },
    Family {
        op: "Scan",
        axes: &[
            ("count", 1, 1 << 20),
            ("state", 1, 1 << 16),
            ("axis", 0, 1),
            ("adds", 0, 1),
            ("collects", 0, 1),
        ],
        build: |s| {
            let [count, state, axis, adds, collects] = s else {
                return None;
            };
            let x = if *axis == 0 { [*count, *state] } else { [*state, *count] };
            small(&[&x]).then(|| scan(*count, &[*state], &x, *axis, *adds == 1, *collects == 1))
        },
    },
];

const CONV: &[(&str, u32, u32)] = &[
    ("batch", 1, 4),
    ("groups", 1, 512),
    ("channels in a group", 1, 512),
    ("channels out of a group", 1, 512),
    ("height", 1, 512),
    ("width", 1, 4096),
    ("kernel height", 1, 32),
    ("kernel width", 1, 64),
    ("stride", 1, 64),
    ("stride across", 1, 64),
    ("dilation", 1, 32),
    ("dilation across", 1, 32),
    ("padded", 0, 1),
    ("weights", 0, 2),
    ("range", 0, 4),
];
const FEW_PIXELS: &[(&str, u32, u32)] = &[
    ("batch", 1, 64),
    ("groups", 1, 1),
    ("channels in a group", 1, 512),
    ("channels out of a group", 16, 512),
    ("height", 1, 15),
    ("width", 1, 64),
    ("kernel height", 1, 8),
    ("kernel width", 1, 64),
    ("stride", 1, 8),
    ("stride across", 1, 64),
    ("dilation", 1, 4),
    ("dilation across", 1, 4),
    ("padded", 0, 1),
    ("weights", 0, 2),
    ("range", 0, 4),
];
const DEPTHWISE: &[(&str, u32, u32)] = &[
    ("batch", 1, 1),
    ("groups", 1, 4096),
    ("channels in a group", 1, 2),
    ("channels out of a group", 1, 3),
    ("height", 1, 512),
    ("width", 1, 4096),
    ("kernel height", 1, 9),
    ("kernel width", 1, 9),
    ("stride", 1, 4),
    ("stride across", 1, 4),
    ("dilation", 1, 9),
    ("dilation across", 1, 9),
    ("padded", 0, 1),
    ("weights", 0, 2),
    ("range", 0, 3),
];
const POOL: &[(&str, u32, u32)] = &[
    ("channels", 1, 4096),
    ("height", 1, 2048),
    ("width", 1, 4096),
    ("kernel height", 1, 256),
    ("kernel width", 1, 256),
    ("stride", 1, 64),
    ("stride across", 1, 64),
    ("dilation", 1, 32),
    ("dilation across", 1, 32),
    ("padded", 0, 1),
    ("range", 3, 4),
];
const PAIR: &[(&str, u32, u32)] = &[
    ("a", 1, 4096),
    ("b", 1, 4096),
    ("c", 1, 4096),
    ("kept of the first", 0, 7),
    ("kept of the second", 0, 7),
    ("range", 3, 4),
    ("short", 0, 1),
];
const FLAT: &[(&str, u32, u32)] = &[("elements", 1, 1 << 23), ("range", 0, 4)];
const ROWS: &[(&str, u32, u32)] = &[("rows", 1, 1 << 20), ("columns", 1, 1 << 20), ("range", 2, 4)];
const AROUND: &[(&str, u32, u32)] = &[
    ("outer", 1, 1 << 16),
    ("extent", 1, 1 << 20),
    ("inner", 1, 1 << 16),
    ("range", 3, 4),
];

/// Whether shapes have no more than sixteen million elements each.
fn small(shapes: &[&[u32]]) -> bool {
    let elements = |shape: &[u32]| shape.iter().fold(1u64, |n, extent| n.saturating_mul((*extent).into()));
    shapes.iter().all(|shape| elements(shape) <= 1 << 24)
}

fn ranged(shape: &[u32], range: u32, op: Op) -> Option<Graph> {
    let (low, high) = RANGES[range as usize];
    small(&[shape]).then(|| over(&[(shape, low, high)], op))
}

fn flat(shape: &[u32], most: u32, op: Op) -> Option<Graph> {
    let range = shape[1].min(most);
    // A table of 256 entries covers bytes.
    let range = if matches!(&op, Op::Table { table, .. } if table.len() == 513) {
        3
    } else {
        range
    };
    ranged(&shape[..1], range, op)
}

fn rows(shape: &[u32], most: u32, op: Op) -> Option<Graph> {
    ranged(&shape[..2], shape[2].min(most), op)
}

fn around(shape: &[u32], op: Op) -> Option<Graph> {
    ranged(&shape[..3], shape[3], op)
}

/// The extents whose bits are set, 1 for the others.
fn kept(shape: &[u32], bits: u32) -> Vec<u32> {
    let extents = shape.iter().enumerate();
    extents
        .map(|(i, extent)| if bits >> i & 1 == 1 { *extent } else { 1 })
        .collect()
}

fn pair(shape: &[u32], op: Op) -> Option<Graph> {
    let (low, high) = RANGES[shape[5] as usize];
    let (a, b) = (kept(&shape[..3], shape[3]), kept(&shape[..3], shape[4]));
    small(&[&shape[..3]]).then(|| over(&[(&a, low, high), (&b, low, high)], op))
}

/// 8-bit weights, 16-bit ones, and 16-bit ones of which few sum to more than 32 bits.
fn weights(kind: u32, count: usize) -> Array {
    let mut draw = Draw::new(3);
    match kind {
        0 => Array::I8(draw.list(count, |d| d.int(-127, 127) as i8)),
        1 => Array::I16(draw.list(count, |d| d.int(-300, 300) as i16)),
        _ => Array::I16(draw.list(count, |d| d.int(-32767, 32767) as i16)),
    }
}

fn mat_mul(shape: &[u32]) -> Option<Graph> {
    let [rows, k, columns, kind, range] = *shape else {
        return None;
    };
    let (low, high) = RANGES[range as usize];
    small(&[&[rows, k], &[k, columns], &[rows, columns]]).then(|| {
        model(
            input(&[rows, k], low, high),
            vec![Op::MatMul {
                x: 0,
                weights: weights(kind, k as usize * columns as usize),
                bias: vec![5; columns as usize],
                rescale: rescale(columns as usize),
            }],
        )
    })
}

fn batch_mat_mul(shape: &[u32]) -> Option<Graph> {
    let [batch, m, k, n, transposed, range, repeats] = *shape else {
        return None;
    };
    // The last range is 16 bits with the least number, whose pairs pass 32 bits.
    let (low, high) = [(-30, 30), (-127, 127), (-4095, 4095), (-32767, 32767), (-32768, 32767)][range as usize];
    let b = if transposed == 1 { [batch, n, k] } else { [batch, k, n] };
    let a = [batch, m, k];
    // What is repeated lacks the axis of the batch.
    let (a, b) = match repeats {
        1 => (&a[1..], &b[..]),
        2 => (&a[..], &b[1..]),
        _ => (&a[..], &b[..]),
    };
    let op = Op::BatchMatMul {
        a: 0,
        b: 1,
        transposed: transposed == 1,
        multiplier: 3,
        shift: 20,
        low: END.0,
        high: END.1,
    };
    small(&[a, b, &[batch, m, n]]).then(|| over(&[(a, low, high), (b, low, high)], op))
}

fn conv(shape: &[u32]) -> Option<Graph> {
    let [batch, groups, c, o, height, width, kh, kw, stride, across, dilation, dilation_across, padded, kind, range] =
        *shape
    else {
        return None;
    };
    let (low, high) = RANGES[range as usize];
    let window = window([kh, kw], [stride, across], [dilation, dilation_across], padded == 1);
    let channels = groups * o;
    let x = [batch, groups * c, height, width];
    small(&[&x, &[channels, c, kh, kw]]).then(|| {
        let count = (channels * c * kh * kw) as usize;
        model(
            input(&x, low, high),
            vec![Op::Conv2d {
                x: 0,
                weights: weights(kind, count),
                channels,
                bias: vec![3; channels as usize],
                window,
                groups,
                rescale: rescale(channels as usize),
            }],
        )
    })
}

/// A window, padded as much as may be on every side where asked for.
fn window(kernel: [u32; 2], strides: [u32; 2], dilations: [u32; 2], padded: bool) -> Window {
    let [down, right] = match padded {
        true => [(kernel[0] - 1) * dilations[0], (kernel[1] - 1) * dilations[1]],
        false => [0; 2],
    };
    Window {
        kernel,
        strides,
        dilations,
        pads: [down, right, down, right],
    }
}

fn pool(shape: &[u32], op: impl Fn(Window) -> Op) -> Option<Graph> {
    let [channels, height, width, kh, kw, stride, across, dilation, dilation_across, padded, range] = *shape else {
        return None;
    };
    let window = window([kh, kw], [stride, across], [dilation, dilation_across], padded == 1);
    ranged(&[1, channels, height, width], range, op(window))
}

fn rescaled(shape: &[u32]) -> Option<Graph> {
    let [outer, channels, inner, per_channel, range, short] = *shape else {
        return None;
    };
    let count = if per_channel == 1 { channels as usize } else { 1 };
    let op = Op::Rescale {
        x: 0,
        axis: 1,
        bias: vec![if short == 1 { 4 } else { 1 << 20 }; count],
        rescale: rescale(count),
    };
    ranged(&[outer, channels, inner], range, op)
}

fn layer_norm(shape: &[u32]) -> Option<Graph> {
    let [rows, columns, range, per_column, centred] = *shape else {
        return None;
    };
    let count = if per_column == 1 { columns as usize } else { 1 };
    let op = Op::LayerNorm {
        x: 0,
        epsilon: 1000,
        center: centred == 1,
        bias: vec![7; count],
        rescale: rescale(count),
    };
    let most = (i32::MAX / 3 / columns as i32).clamp(1, 30_000);
    let range = RANGES[range as usize].1.min(most);
    small(&[&[rows, columns]]).then(|| over(&[(&[rows, columns], -range, range)], op))
}

fn transpose(shape: &[u32]) -> Option<Graph> {
    let mut left = vec![0u32, 1, 2, 3];
    let mut order = shape[4] as usize;
    let mut axes = Vec::new();
    for count in (1..=4).rev() {
        axes.push(left.remove(order % count));
        order /= count;
    }
    ranged(&shape[..4], shape[5], Op::Transpose { x: 0, axes })
}

fn concat(shape: &[u32]) -> Option<Graph> {
    let [outer, inner, operands, range, mixed] = *shape else {
        return None;
    };
    let (low, high) = RANGES[range as usize];
    let op = Op::Concat {
        xs: (0..operands).map(|i| if mixed == 1 { i % 2 } else { 0 }).collect(),
        axis: 1,
    };
    let x = [outer, inner];
    // A second operand of 16 bits beside one of 32, perhaps.
    let narrow = RANGES[3];
    small(&[&[outer, inner * operands]]).then(|| match mixed {
        1 => over(&[(&x, low, high), (&x, narrow.0, narrow.1)], op),
        _ => over(&[(&x, low, high)], op),
    })
}
