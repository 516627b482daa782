//! What a model costs to run, known from its operations and shapes alone.

use alloc::vec::Vec;

use crate::gas;
use crate::graph::{Graph, Op};
use crate::infer::{forest_work, ConvShape, Inferred, Sums, ValueType};
use crate::kernels::pack::Split;
use crate::kernels::WIDE;
use crate::limits::Limits;
use crate::ops::matmul::ROW_BLOCK;
use crate::ops::{conv, softmax, trees};
use crate::plan::{Plan, Room};
use crate::shape::{self, BroadcastPlan, Slide};

/// The cost of a model or node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Gas, saturated.
    pub gas: u64,
    /// Products that the formula has (not what kernels pad), saturated.
    pub macs: u64,
    /// Bytes of the arena for tensors, of scratch space and of the results. For a node: its result and scratch space.
    pub peak_bytes: u64,
}

/// Costs of a graph that inference took.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    pub total: Cost,
    pub nodes: Vec<Cost>,
    pub plan: Plan,
}

/// Saturating sum of products.
macro_rules! sum {
    ($($first:expr $(, $factor:expr)*);+ $(;)?) => {
        0u64$(.saturating_add(($first as u64)$(.saturating_mul($factor as u64))*))+
    };
}

pub(crate) fn costs(graph: &Graph, inferred: &Inferred, limits: &Limits) -> Costs {
    let first = graph.inputs.len();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let mut scratch = Vec::with_capacity(graph.nodes.len());
    for (i, op) in graph.nodes.iter().enumerate() {
        let out = &inferred.values[first + i];
        let work = work(op, &inferred.values, out, inferred.sums[i], limits);
        let owned = if matches!(op, Op::Constant { .. } | Op::Reshape { .. }) {
            0
        } else {
            out.bytes() as u64
        };
        nodes.push(Cost {
            gas: sum!(gas::NODE; owned, gas::RESULT_BYTE; work.gas),
            macs: work.macs,
            peak_bytes: owned.saturating_add(work.scratch.bytes()),
        });
        scratch.push(work.scratch);
    }
    let plan = Plan::new(graph, &inferred.values, &scratch);
    // Inputs are checked and copied in, outputs copied out.
    let input = |values: &mut dyn Iterator<Item = usize>| {
        values.fold(0u64, |all, v| all.saturating_add(inferred.values[v].elements() as u64))
    };
    let ports = sum!(input(&mut (0..first)); input(&mut graph.outputs.iter().map(|o| o.value as usize)));
    let total = Cost {
        gas: nodes
            .iter()
            .fold(sum!(gas::NODE; ports, gas::PORT), |all, c| all.saturating_add(c.gas)),
        macs: nodes.iter().fold(0, |all, c| all.saturating_add(c.macs)),
        peak_bytes: plan.bytes(),
    };
    Costs { total, nodes, plan }
}

/// Work of a node beside its result.
#[derive(Default)]
struct Work {
    gas: u64,
    macs: u64,
    scratch: Room,
}

fn work(op: &Op, values: &[ValueType], out: &ValueType, sums: Sums, limits: &Limits) -> Work {
    // Inference has seen every operand.
    let value = |id: &u32| &values[*id as usize];
    let elements = out.elements() as u64;
    let plain = |gas: u64| Work { gas, ..Work::default() };
    match op {
        Op::Constant { .. } | Op::Reshape { .. } => Work::default(),
        Op::MatMul { x, weights, .. } => {
            let (rows, k) = value(x).rows();
            mat_mul(rows as u64, k as u64, weights, sums)
        }
        Op::Conv2d {
            x,
            channels,
            window,
            groups,
            ..
        } => {
            // Inference has built the same shape.
            match ConvShape::new(value(x), *channels, window, *groups, limits) {
                Ok(shape) => conv2d(&shape, sums, far(value(x))),
                Err(_) => Work {
                    gas: u64::MAX,
                    macs: u64::MAX,
                    scratch: Room::default(),
                },
            }
        }
        Op::Rescale {
            axis, bias, rescale, ..
        } => {
            let runs = match bias.len().max(rescale.multipliers.len()) {
                0 | 1 => 1,
                _ => {
                    let [outer, channels, inner] = shape::around(&out.shape, *axis as usize);
                    if inner == 1 {
                        1
                    } else {
                        outer as u64 * channels as u64
                    }
                }
            };
            plain(sum!(elements, gas::ARITHMETIC; runs, gas::RUN))
        }
        Op::Add { a, b, .. } | Op::Mul { a, b, .. } => {
            let plan = BroadcastPlan::new(&value(a).shape, &value(b).shape, &out.shape);
            plain(sum!(elements, gas::ARITHMETIC; elements / plan.run() as u64, gas::RUN))
        }
        Op::Clamp { .. } => plain(sum!(elements, gas::CLAMP)),
        Op::Table { .. } => plain(sum!(elements, gas::TABLE)),
        Op::Softmax { .. } => {
            let (rows, columns) = out.rows();
            Work {
                gas: sum!(elements, gas::SOFTMAX; rows, gas::SOFTMAX_ROW),
                macs: 0,
                scratch: softmax::scratch(columns),
            }
        }
        Op::MaxPool2d { x, window } | Op::AvgPool2d { x, window, .. } => {
            let taps = match value(x).shape.as_slice() {
                [_, _, height, width] => Slide::new(*height, *width, window).map_or(u64::MAX, |s| pool_taps(&s)),
                _ => u64::MAX,
            };
            let tap = if far(value(x)) {
                gas::POOL_TAP_FAR
            } else {
                gas::POOL_TAP
            };
            plain(sum!(elements, gas::POOL; elements, taps, tap))
        }
        Op::Upsample2d { x, .. } => {
            let x = value(x);
            plain(sum!(elements, gas::MOVE; x.elements(), gas::UPSAMPLE))
        }
        Op::Transpose { x, axes } => {
            let plan = shape::transpose_plan(&value(x).shape, axes);
            let [run, step] = plan.last().copied().unwrap_or([1, 1]);
            let each = if step == 1 { gas::MOVE } else { strided(value(x)) };
            plain(sum!(elements, each; elements / run as u64, gas::RUN))
        }
        Op::Concat { xs, axis } => {
            let [outer, _, _] = shape::around(&out.shape, *axis as usize);
            plain(sum!(elements, gas::MOVE; outer, xs.len(), gas::RUN))
        }
        Op::Slice {
            x, axis, step, length, ..
        } => {
            let [outer, _, inner] = shape::around(&out.shape, *axis as usize);
            match (*step, inner) {
                (1, _) => plain(sum!(elements, gas::MOVE; outer, gas::RUN)),
                (_, 1) => plain(sum!(elements, strided(value(x)); outer, gas::RUN)),
                _ => plain(sum!(elements, gas::MOVE; outer, *length, gas::RUN)),
            }
        }
        Op::ArgMax { x } => plain(sum!(value(x).elements(), gas::ARG_MAX; elements, gas::RUN)),
        Op::TreeEnsemble { x, trees, .. } => {
            let (rows, features) = value(x).rows();
            let (levels, entries) = forest_work(trees);
            let targets = trees.base.len();
            // Walks miss the caches that the forest and the row that it reads do not fit into.
            let forest = sum!(
                trees.features.len(), trees::NODE_BYTES;
                trees.leaf_starts.len(), 4;
                trees.weights.len(), 8;
                features, 4
            );
            let level = match forest {
                0..=0x8_0000 => gas::TREE_LEVEL,
                0x8_0001..=0x80_0000 => gas::TREE_LEVEL_FAR,
                _ => gas::TREE_LEVEL_FARTHEST,
            };
            let row = sum!(
                levels, level;
                entries, gas::TREE_ENTRY;
                trees.roots.len(), gas::TREE;
                features, gas::TREE_FEATURE;
                targets, gas::RESCALE_WIDE;
                gas::RUN
            );
            Work {
                gas: sum!(rows, row),
                macs: 0,
                scratch: trees::scratch(features, targets),
            }
        }
    }
}

/// Most taps that a window has inside the image.
fn pool_taps(slide: &Slide) -> u64 {
    let along = |axis: usize| slide.kernel[axis].min(slide.image[axis].div_ceil(slide.dilations[axis])) as u64;
    along(0).saturating_mul(along(1))
}

fn mat_mul(rows: u64, k: u64, weights: &crate::graph::Array, sums: Sums) -> Work {
    let columns = weights.len() as u64 / k;
    let macs = sum!(rows, k, columns);
    let narrow = matches!(weights, crate::graph::Array::I8(_));
    let bytes = if narrow {
        weights.len() as u64
    } else {
        2 * weights.len() as u64
    };
    let touched = sum!(bytes, gas::WEIGHT_BYTE);
    let results = sum!(rows, columns);
    let Some(flushes) = flushes(k, sums) else {
        let split = Split::new(columns as usize);
        let padded = (WIDE * split.wide + crate::kernels::NARROW * split.narrow + split.single) as u64;
        let panels = split.wide + split.narrow + split.single;
        let gas = sum!(
            touched;
            rows, k, padded, gas::MAC_WIDE;
            rows, panels, gas::TILE_ROW;
            results, gas::RESCALE_WIDE
        );
        return Work {
            gas,
            macs,
            scratch: Room::default(),
        };
    };
    let split = Split::new(columns as usize);
    // A narrow panel takes about as long as a wide one.
    let panels = (split.wide + split.narrow) as u64;
    let mac = if narrow { gas::MAC_I8 } else { gas::MAC_I16 };
    let rescale = if flushes > 0 { gas::RESCALE_WIDE } else { gas::RESCALE };
    let gas = sum!(
        touched;
        rows, panels, WIDE, k + 1, mac;
        rows, panels, gas::TILE_ROW;
        rows.div_ceil(ROW_BLOCK as u64), panels, gas::TILE;
        rows, panels, flushes, gas::FLUSH;
        rows, panels, WIDE, rescale;
        rows, split.single, k, gas::MAC_DOT;
        rows, split.single, gas::DOT;
        rows, split.single, flushes, gas::DOT
    );
    Work {
        gas,
        macs,
        scratch: Room::default(),
    }
}

/// How often a sum over k moves to 64 bits; none where it lives there.
fn flushes(k: u64, sums: Sums) -> Option<u64> {
    match sums {
        Sums::I32 => Some(0),
        Sums::Blocks(block) => Some(k.div_ceil(block.into())),
        Sums::I64 => None,
    }
}

/// Whether an operand is too large for every cache.
fn far(x: &ValueType) -> bool {
    x.bytes() as u64 > gas::FAR_BYTES
}

/// Price of an element copied from anywhere.
fn strided(x: &ValueType) -> u64 {
    if far(x) {
        gas::MOVE_STRIDED_FAR
    } else {
        gas::MOVE_STRIDED
    }
}

fn conv2d(shape: &ConvShape, sums: Sums, far: bool) -> Work {
    let slide = &shape.slide;
    let pixels = slide.out[0] as u64 * slide.out[1] as u64;
    let (batch, channels, groups) = (shape.batch as u64, shape.channels as u64, shape.groups as u64);
    let taps = shape.taps as u64;
    let macs = sum!(batch, channels, pixels, taps);
    let scratch = conv::scratch(shape, sums);
    let touched = sum!(channels, taps, 2, gas::WEIGHT_BYTE);
    let (mac, gather) = if far {
        (gas::MAC_WIDE_CONV_FAR, gas::GATHER_FAR)
    } else {
        (gas::MAC_WIDE_CONV, gas::GATHER)
    };
    let Some(flushes) = flushes(taps, sums) else {
        let gas = sum!(touched; macs, mac; batch, channels, pixels, gas::RESCALE_WIDE);
        return Work { gas, macs, scratch };
    };
    let wide = WIDE as u64;
    let panels = pixels.div_ceil(wide);
    // A panel that does not lie within one row of the result is gathered element by element.
    let scattered = if slide.strides[1] == 1 {
        let broken = if slide.out[1].is_multiple_of(WIDE) {
            0
        } else {
            slide.out[0] as u64
        };
        panels.min(broken)
    } else {
        panels
    };
    let group_out = channels / groups;
    // Every panel reads its group's weights again, from further away where they do not stay near.
    let group_bytes = 2 * group_out * taps;
    let again = if group_bytes > gas::NEAR_BYTES {
        sum!(batch, groups, panels, group_bytes)
    } else {
        0
    };
    let tiles = sum!(batch, groups, panels, group_out.div_ceil(conv::CHANNEL_BLOCK as u64));
    let padded = if slide.pads() {
        sum!(batch, shape.in_channels, slide.padded[0], slide.padded[1])
    } else {
        0
    };
    let rescale = if flushes > 0 { gas::RESCALE_WIDE } else { gas::RESCALE };
    let gas = sum!(
        touched;
        again, gas::WEIGHT_BYTE_AGAIN;
        scratch.bytes(), gas::RESULT_BYTE;
        padded, gas::MOVE;
        batch, shape.in_channels, slide.image[0], gas::RUN;
        batch, groups, panels - scattered, taps, wide, gas::GATHER_RUN;
        batch, groups, scattered, taps, wide, gather;
        batch, groups, panels, gas::RUN;
        tiles, gas::TILE;
        batch, channels, panels, wide, taps + 1, gas::MAC_I16;
        batch, channels, panels, gas::TILE_ROW;
        batch, channels, panels, flushes, gas::FLUSH;
        batch, channels, panels, wide, rescale
    );
    Work { gas, macs, scratch }
}
