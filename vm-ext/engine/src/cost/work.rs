//! Work and scratch space, operation by operation.

use super::sum;
use crate::gas;
use crate::graph::{Array, Op, Rescale};
use crate::infer::{forest_work, matrices, ConvShape, Storage, Sums, ValueType};
use crate::kernels::lay_out;
use crate::kernels::pack::Split;
use crate::kernels::{HighWord, SPLIT, WIDE};
use crate::limits::Limits;
use crate::ops::elementwise::Pair;
use crate::ops::matmul::{self, ROW_BLOCK};
use crate::ops::{batch, conv, elementwise, layer_norm, movement, pool, softmax, top_k, trees, windows};
use crate::plan::Room;
use crate::shape::{self, BroadcastPlan, PadPlan, Slide};

/// Work of a node beside its result.
#[derive(Default)]
pub(super) struct Work {
    pub gas: u64,
    pub macs: u64,
    pub scratch: Room,
}

pub(super) fn work(op: &Op, values: &[ValueType], out: &ValueType, sums: Sums, limits: &Limits) -> Work {
    // Inference has seen every operand.
    let value = |id: &u32| &values[*id as usize];
    let elements = out.elements() as u64;
    let plain = |gas: u64| Work { gas, ..Work::default() };
    match op {
        // That of a Scan is its body's.
        Op::Constant { .. } | Op::Reshape { .. } | Op::Scan { .. } => Work::default(),
        Op::MatMul {
            x, weights, rescale, ..
        } => {
            let (rows, k) = value(x).rows();
            mat_mul(rows as u64, k as u64, weights, sums, rescaled(rescale, out))
        }
        Op::Conv2d {
            x,
            weights,
            channels,
            window,
            groups,
            rescale,
            ..
        } => {
            // Inference has built the same shape.
            match ConvShape::new(value(x), *channels, window, *groups, limits) {
                Ok(shape) => conv2d(
                    &shape,
                    matches!(weights, Array::I8(_)),
                    sums,
                    far(value(x)),
                    out.storage(),
                    rescaled(rescale, out),
                ),
                Err(_) => Work {
                    gas: u64::MAX,
                    macs: u64::MAX,
                    scratch: Room::default(),
                },
            }
        }
        Op::Rescale { x, axis, bias, rescale } => {
            let short = narrow(&[value(x), out]) && elementwise::is_short(bias, rescale);
            let each = if short { gas::NARROW } else { gas::ARITHMETIC };
            let [outer, channels, inner] = match bias.len().max(rescale.multipliers.len()) {
                0 | 1 => return plain(sum!(elements, each; gas::RUN)),
                _ => shape::around(&out.shape, *axis as usize),
            };
            plain(match (inner, short) {
                // Elements with a channel of their own.
                (1, true) => {
                    let laid_out = elements.min(channels.max(elementwise::CHUNK) as u64);
                    sum!(elements, each; laid_out, gas::COLUMN; gas::RUN)
                }
                (1, false) => sum!(elements, gas::COLUMN; gas::RUN),
                (_, true) => sum!(elements, each; outer, channels, gas::LINE_RESCALED),
                _ => sum!(elements, each; outer, channels, gas::RUN),
            })
        }
        Op::Add { a, b, .. }
        | Op::Mul { a, b, .. }
        | Op::Div { a, b, .. }
        | Op::Min { a, b }
        | Op::Max { a, b }
        | Op::Compare { a, b, .. } => {
            let plan = BroadcastPlan::new([&value(a).shape, &value(b).shape], &out.shape);
            let short = narrow(&[value(a), value(b), out]);
            let each = match Pair::of(op) {
                Some(pair) if short && pair.is_short() => gas::NARROW,
                Some(Pair::Div { .. }) => gas::DIV,
                Some(Pair::Add { .. } | Pair::Mul { .. }) => gas::ARITHMETIC,
                _ => gas::COMPARE,
            };
            plain(sum!(elements, each; elements / plan.run() as u64, gas::STRETCH))
        }
        Op::Select { condition, a, b } => {
            let operands = [condition, a, b].map(value);
            let plan = BroadcastPlan::new(operands.map(|x| x.shape.as_slice()), &out.shape);
            let each = match narrow(&operands) && narrow(&[out]) {
                true => gas::SELECT_NARROW,
                false => gas::SELECT,
            };
            plain(sum!(elements, each; elements / plan.run() as u64, gas::STRETCH))
        }
        Op::Sqrt { .. } => plain(sum!(elements, gas::SQRT)),
        Op::BatchMatMul {
            a,
            b,
            multiplier,
            shift,
            ..
        } => {
            let high = narrow(&[out]) && HighWord::suits(*multiplier, *shift);
            batch_mat_mul(value(a), value(b), out, sums, rescale_price(high))
        }
        Op::LayerNorm { .. } => {
            let (rows, columns) = out.rows();
            Work {
                gas: sum!(elements, gas::LAYER_NORM; rows, gas::LAYER_NORM_ROW),
                macs: 0,
                scratch: layer_norm::scratch(columns),
            }
        }
        Op::ReduceSum { x, axis, .. } | Op::ReduceMax { x, axis } => {
            let [outer, extent, inner] = shape::around(&value(x).shape, *axis as usize);
            let steps = match inner {
                1 => 1,
                _ => sum!(extent, inner.div_ceil(elementwise::CHUNK)),
            };
            let all = value(x).elements();
            let each = match narrow(&[value(x)]) {
                true => gas::REDUCE_NARROW,
                false => gas::REDUCE,
            };
            plain(sum!(all, each; outer, steps, gas::REDUCE_STEP; elements, gas::REDUCED))
        }
        Op::Gather { x, axis, .. } => {
            let [_, _, inner] = shape::around(&value(x).shape, *axis as usize);
            plain(sum!(elements, gas::MOVED; elements / inner as u64, gathered(value(x))))
        }
        Op::GatherElements { x, .. } => {
            let (rows, _) = out.rows();
            plain(sum!(elements, gathered(value(x)); rows, gas::RUN))
        }
        Op::TopK { x, k } => {
            let (rows, columns) = value(x).rows();
            let levels = u64::from(u32::BITS - k.leading_zeros());
            let row =
                sum!(columns, gas::TOP_K; columns, levels, gas::TOP_K_LEVEL; *k, levels, gas::TOP_K_LEVEL; gas::RUN);
            Work {
                gas: sum!(rows, row),
                macs: 0,
                scratch: top_k::scratch(*k),
            }
        }
        Op::Pad { x, before, .. } => {
            let x = value(x);
            let plan = PadPlan::new(&x.shape, before, &out.shape);
            plain(sum!(elements, gas::MOVED; x.elements(), gas::PAD; x.elements() / plan.run(), gas::MOVE_RUN))
        }
        Op::Broadcast { x, .. } => {
            let plan = BroadcastPlan::new([&value(x).shape], &out.shape);
            plain(sum!(elements, gas::MOVED; elements / plan.run() as u64, gas::MOVE_RUN))
        }
        Op::Clamp { x, .. } => {
            let each = if narrow(&[value(x), out]) {
                gas::NARROW
            } else {
                gas::CLAMP
            };
            plain(sum!(elements, each))
        }
        Op::Table { table, .. } => {
            let each = if table.len() == 256 {
                gas::TABLE_BYTES
            } else {
                gas::TABLE
            };
            plain(sum!(elements, each))
        }
        Op::Softmax { .. } => {
            let (rows, columns) = out.rows();
            Work {
                gas: sum!(elements, gas::SOFTMAX; rows, gas::SOFTMAX_ROW),
                macs: 0,
                scratch: softmax::scratch(columns),
            }
        }
        Op::MaxPool2d { x, window } | Op::AvgPool2d { x, window, .. } => {
            let slide = match value(x).shape.as_slice() {
                [_, _, height, width] => Slide::new(*height, *width, window).ok(),
                _ => None,
            };
            if let Some(slide) = slide.filter(|slide| narrow(&[value(x), out]) && pool::by_lines(slide)) {
                let means = match op {
                    Op::AvgPool2d { count_padding, .. } => means(&slide, *count_padding),
                    _ => 0,
                };
                let lines = elements / slide.out[1] as u64;
                return plain(sum!(lines, folded(&slide, far(value(x))); lines, means));
            }
            let whole = |slide: &Slide| narrow(&[value(x)]) && pool::whole_rows(slide);
            if let Some(slide) = slide.filter(whole) {
                return plain(sum!(elements, gas::POOL; elements, slide.taps(), gas::REDUCE_NARROW));
            }
            // Inference has built the same one.
            let taps = slide.map_or(u64::MAX, |slide| pool_taps(&slide));
            let tap = if far(value(x)) {
                gas::POOL_TAP_FAR
            } else {
                gas::POOL_TAP
            };
            plain(sum!(elements, gas::POOL; elements, taps, tap))
        }
        Op::Upsample2d { x, .. } => {
            let x = value(x);
            let (rows, _) = out.rows();
            plain(sum!(elements, gas::MOVED; x.elements(), gas::UPSAMPLE; rows, gas::MOVE_STRIDED))
        }
        Op::Transpose { x, axes } => {
            let plan = shape::transpose_plan(&value(x).shape, axes);
            let [run, step] = plan.last().copied().unwrap_or([1, 1]);
            let runs = elements / run as u64;
            plain(match shape::tiles(&plan) {
                Some(down) => {
                    let [rows, _] = plan[down];
                    let pieces = run.div_ceil(movement::TILE);
                    let tiles = pieces * rows.div_ceil(movement::TILE);
                    let each = if far(value(x)) { gas::TURN_FAR } else { gas::TURN };
                    let lines = elements / rows as u64 * rows.div_ceil(movement::TILE) as u64;
                    sum!(
                        elements, each;
                        runs, pieces, gas::TURN_RUN;
                        lines, gas::TURN_LINE;
                        runs / rows as u64, tiles, gas::COPY
                    )
                }
                None if step == 1 => sum!(elements, gas::MOVED; runs, gas::MOVE_RUN),
                None => match shape::turned(&plan).filter(|_| !far(value(x))) {
                    Some([rows, few]) => {
                        let turned = elements / (rows * few) as u64;
                        sum!(elements, gas::TURN; turned, few, gas::MOVE_RUN; turned, gas::COPY)
                    }
                    None => sum!(elements, strided(value(x), step); runs, gas::COPY),
                },
            })
        }
        Op::Concat { xs, axis } => {
            let [outer, _, _] = shape::around(&out.shape, *axis as usize);
            plain(sum!(elements, gas::MOVED; outer, xs.len(), gas::MOVE_RUN; xs.len(), gas::COPY))
        }
        Op::Slice {
            x, axis, step, length, ..
        } => {
            let [outer, _, inner] = shape::around(&out.shape, *axis as usize);
            // Of a far operand lines may be fetched from memory one by one.
            let run = if far(value(x)) { gas::COPY } else { gas::SLICED };
            match (*step, inner) {
                (1, _) => plain(sum!(elements, gas::MOVED; outer, run)),
                (_, 1) => plain(sum!(elements, strided(value(x), *step as usize); outer, run)),
                _ => plain(sum!(elements, gas::MOVED; outer, *length, run)),
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

/// Price of a line of results of a pooling that folds lines.
fn folded(slide: &Slide, far: bool) -> u64 {
    let ([rows, columns], width) = (slide.kernel, slide.out[1]);
    let (span, at_once) = pool::piece(slide);
    let pieces = width.div_ceil(at_once);
    let down = if far { gas::FOLDED_FAR } else { gas::FOLDED };
    let along = match slide.strides[1] {
        1 => gas::FOLDED,
        2 => gas::FOLDED_PAIRS,
        _ => gas::FOLDED_APART,
    };
    sum!(
        pieces, gas::FOLD;
        pieces, rows, gas::FOLD_ROW;
        rows, width * slide.strides[1] + pieces * span, down;
        columns, width + WIDE * pieces, along
    )
}

/// Price of the means of such a line.
fn means(slide: &Slide, count_padding: bool) -> u64 {
    let (width, stride, before) = (slide.out[1], slide.strides[1], slide.before[1]);
    let after = slide.padded[1] - slide.image[1] - before;
    let padded = match count_padding {
        true => 0,
        false => width.min(before.div_ceil(stride) + after.div_ceil(stride)),
    };
    sum!(width, gas::MEAN; padded, gas::MEAN_PADDED)
}

/// Most taps that a window has inside the image.
fn pool_taps(slide: &Slide) -> u64 {
    let along = |axis: usize| slide.kernel[axis].min(slide.image[axis].div_ceil(slide.dilations[axis])) as u64;
    along(0).saturating_mul(along(1))
}

fn mat_mul(rows: u64, k: u64, weights: &Array, sums: Sums, rescale: u64) -> Work {
    let columns = weights.len() as u64 / k;
    let macs = sum!(rows, k, columns);
    let narrow = matches!(weights, Array::I8(_));
    let touched = touched(weights.len() as u64, narrow);
    let results = sum!(rows, columns);
    let split = Split::new(columns as usize);
    let scratch = matmul::scratch(rows, k, split, narrow, sums);
    let (panels, single) = (split.panels as u64, split.single as u64);
    let Some(flushes) = flushes(k, sums) else {
        let gas = sum!(
            touched;
            rows, k, WIDE as u64 * panels + single, gas::MAC_WIDE;
            rows, panels + single, gas::TILE_ROW;
            results, gas::RESCALE_WIDE
        );
        return Work { gas, macs, scratch };
    };
    let gas = sum!(touched; tiles(rows, k, split, flushes, narrow, rescale));
    Work { gas, macs, scratch }
}

/// Products of so many rows with columns, whose sums over k fit 32 bits, all or by blocks.
fn tiles(rows: u64, k: u64, split: Split, flushes: u64, narrow: bool, rescale: u64) -> u64 {
    let (panels, single) = (split.panels as u64, split.single as u64);
    let mac = if narrow { gas::MAC_I8 } else { gas::MAC_I16 };
    let rescale = if flushes > 0 { gas::RESCALE_WIDE } else { rescale };
    sum!(
        rows, panels, WIDE, k + 1, mac;
        rows, panels, gas::TILE_ROW;
        rows, u64::from(!split.in_panels().is_multiple_of(WIDE)), gas::CELL;
        rows.div_ceil(ROW_BLOCK as u64), panels, gas::TILE;
        rows, panels, flushes, gas::FLUSH;
        rows, panels, WIDE, rescale;
        rows, single, k, gas::MAC_DOT;
        rows, single, gas::DOT;
        rows, single, flushes, gas::DOT
    )
}

fn batch_mat_mul(a: &ValueType, b: &ValueType, out: &ValueType, sums: Sums, rescale: u64) -> Work {
    let ((batch_a, [m, k]), (batch_b, _), (batch, [_, n])) =
        (matrices(&a.shape), matrices(&b.shape), matrices(&out.shape));
    let plan = BroadcastPlan::new([batch_a, batch_b], batch);
    let results = out.elements() as u64;
    let (k, n) = (u64::from(k), u64::from(n));
    let (rows, products) = plan.loops.last().map_or((1, 1), |inner| {
        let (products, rows) = batch::products(*inner, m as usize);
        (
            rows as u64,
            shape::elements(batch) as u64 / inner.extent as u64 * products as u64,
        )
    });
    let each = if far(b) { gas::LAY_OUT_FAR } else { gas::LAY_OUT };
    let laid_out = sum!(products, lay_out::elements(n, k), each);
    let macs = sum!(results, k);
    let scratch = batch::scratch(k, n, sums);
    let Some(flushes) = flushes(k, sums) else {
        let gas = sum!(macs, gas::MAC_WIDE; results, gas::RESCALE_WIDE; products, gas::BATCH);
        return Work { gas, macs, scratch };
    };
    let each_product = tiles(rows, k, Split::new(n as usize), flushes, false, rescale);
    let gas = sum!(laid_out; products, each_product; products, gas::BATCH);
    Work { gas, macs, scratch }
}

/// How often a sum over k moves to 64 bits; none where it lives there.
fn flushes(k: u64, sums: Sums) -> Option<u64> {
    match sums {
        Sums::I32 => Some(0),
        Sums::Blocks(block) => Some(k.div_ceil(block.into())),
        Sums::I64 => None,
    }
}

/// Whether all of them are stored in 16 bits.
fn narrow(values: &[&ValueType]) -> bool {
    values.iter().all(|value| value.storage() == Storage::I16)
}

/// Whether an operand is too large for every cache.
fn far(x: &ValueType) -> bool {
    x.bytes() as u64 > gas::FAR_BYTES
}

/// Price of a slice without `axis`.
pub(super) fn slice(x: &ValueType, axis: u32) -> u64 {
    let [outer, extent, inner] = shape::around(&x.shape, axis as usize);
    match inner {
        1 => sum!(outer, strided(x, extent)),
        _ => sum!(outer, inner, gas::MOVE; outer, gas::RUN),
    }
}

/// Price of an element or run of elements found by number.
fn gathered(x: &ValueType) -> u64 {
    if far(x) {
        gas::GATHERED_FAR
    } else {
        gas::GATHERED
    }
}

/// [`gas::SPACED`] as a pattern.
const SPACED: usize = gas::SPACED as usize;

/// Price of an element copied from so many elements after the last.
fn strided(x: &ValueType, step: usize) -> u64 {
    match (far(x), step) {
        (true, _) => gas::MOVE_STRIDED_FAR,
        (false, 0..=SPACED) => gas::MOVE_SPACED,
        (false, _) => gas::MOVE_STRIDED,
    }
}

fn conv2d(shape: &ConvShape, narrow: bool, sums: Sums, far: bool, out: Storage, rescale: u64) -> Work {
    let slide = &shape.slide;
    let pixels = slide.out[0] as u64 * slide.out[1] as u64;
    let (batch, channels, groups) = (shape.batch as u64, shape.channels as u64, shape.groups as u64);
    let taps = shape.taps as u64;
    let macs = sum!(batch, channels, pixels, taps);
    let few = windows::few_pixels(shape, sums);
    let scratch = match few {
        true => windows::scratch(shape, narrow, sums, out),
        false => conv::scratch(shape, narrow, sums),
    };
    let touched = touched(channels.saturating_mul(taps), narrow);
    let Some(flushes) = flushes(taps, sums) else {
        let mac = if far {
            gas::MAC_WIDE_CONV_FAR
        } else {
            gas::MAC_WIDE_CONV
        };
        let lines = sum!(batch, channels, shape.slide.out[0]);
        let gas = sum!(touched; macs, mac; batch, channels, pixels, gas::RESCALE_WIDE; lines, gas::RUN);
        return Work { gas, macs, scratch };
    };
    if few {
        let gas = sum!(
            touched;
            scratch.bytes(), gas::RESULT_BYTE;
            windowed(shape, far);
            tiles(windows::rows(shape), taps, Split::new(shape.channels), flushes, narrow, rescale)
        );
        return Work { gas, macs, scratch };
    }
    let [rows, elements] = match slide.pads() {
        true => [slide.image[0] as u64, slide.padded[0] as u64 * slide.padded[1] as u64],
        false => [0, 0],
    };
    let rescale = if flushes > 0 { gas::RESCALE_WIDE } else { rescale };
    let products = match conv::direct(shape) {
        true if flushes == 0 && out == Storage::I16 => cells(shape, rescale),
        true => direct(shape, flushes > 0, rescale),
        false => tiled(shape, narrow, flushes, rescale, far),
    };
    let padded = match sum!(2, shape.in_channels, elements) > gas::FAR_BYTES {
        true => gas::PADDED_FAR,
        false => gas::PADDED,
    };
    let gas = sum!(
        touched;
        scratch.bytes(), gas::RESULT_BYTE;
        batch, shape.in_channels, rows, gas::LINE;
        batch, shape.in_channels, elements, padded;
        batch, groups, gas::COPY;
        products
    );
    Work { gas, macs, scratch }
}

/// Price of so many weights, once.
fn touched(weights: u64, narrow: bool) -> u64 {
    let bytes = weights.saturating_mul(weight_bytes(narrow));
    let each = if bytes > gas::FAR_BYTES {
        gas::WEIGHT_BYTE_FAR
    } else {
        gas::WEIGHT_BYTE
    };
    bytes.saturating_mul(each)
}

/// Bytes of a weight.
fn weight_bytes(narrow: bool) -> u64 {
    if narrow {
        1
    } else {
        2
    }
}

/// What the products of windows and weights take beside: windows are copied, and results stored by channels.
fn windowed(shape: &ConvShape, far: bool) -> u64 {
    let rows = windows::rows(shape);
    let results = sum!(rows, shape.channels);
    let window = match (windows::whole(&shape.slide), far) {
        (true, _) => 0,
        (false, true) => sum!(shape.taps, gas::GATHER_FAR),
        (false, false) => sum!(shape.taps, gas::GATHER_RUN; shape.in_channels, shape.slide.kernel[0], gas::WINDOW_LINE),
    };
    sum!(rows, gas::RUN; rows, window; results, gas::SCATTER)
}

/// Price of a rescaled element, whose sum takes 32 bits.
fn rescaled(rescale: &Rescale, out: &ValueType) -> u64 {
    let mut factors = rescale.multipliers.iter().zip(&rescale.shifts);
    rescale_price(narrow(&[out]) && factors.all(|(multiplier, shift)| HighWord::suits(*multiplier, *shift)))
}

/// The same by whether its result has 16 bits and is in the high word of a product.
fn rescale_price(high: bool) -> u64 {
    match high {
        true => gas::RESCALE_HIGH,
        false => gas::RESCALE,
    }
}

/// Elements of 16 bits in a line of a cache.
const LINE: u64 = 32;

/// Products of a convolution whose channels are summed tap by tap and stored at once, sixteen pixels of a row or of two at a time.
fn cells(shape: &ConvShape, rescale: u64) -> u64 {
    let slide = &shape.slide;
    let (taps, lanes, stride) = (shape.taps as u64, WIDE as u64, slide.strides[1] as u64);
    let [padded_h, padded_w] = slide.padded.map(|extent| extent as u64);
    let columns = conv::columns(slide) as u64;
    let rows = slide.out[0] as u64 * slide.out[1] as u64 / columns;
    let cells = match 2 * columns <= lanes {
        true => rows.div_ceil(2),
        false => rows * columns.div_ceil(lanes),
    };
    // Those that would read beyond the image are taken in halves; where all of it is shorter, pixel by pixel.
    let edges = cells.min((stride * lanes).div_ceil(2 * padded_w) + 1);
    let span = |axis: usize| ((slide.kernel[axis] - 1) * slide.dilations[axis]) as u64;
    let places = (padded_w * (padded_h - span(0))).saturating_sub(span(1));
    let short = match (2 * places <= stride * lanes, stride) {
        (true, _) => rows,
        (false, 1) => 0,
        _ => 1,
    };
    // Pixels two apart meet neighbouring taps at once, others each with a neighbour that counts for nothing.
    let steps = match (stride, slide.dilations[1]) {
        (1, _) => taps,
        (_, 1) => taps / slide.kernel[1] as u64 * slide.kernel[1].next_multiple_of(2) as u64,
        _ => 2 * taps,
    };
    // Those that the taps of a cell touch, of every row and channel; one lies on at most as many as there are.
    let along = ((span(1) + stride * lanes) / LINE + 2).min(slide.kernel[1] as u64);
    let lines = taps / slide.kernel[1] as u64 * along;
    let mac = if lines > gas::SPREAD_LINES {
        gas::MAC_CELL_SPREAD
    } else {
        gas::MAC_CELL
    };
    let channel = sum!(
        gas::COPY;
        edges + short, gas::COPY;
        short, taps, gas::PIECE;
        cells + edges, lanes, steps, mac;
        cells + edges, gas::CELL;
        cells + edges, lanes, rescale
    );
    sum!(shape.batch, shape.channels, channel)
}

/// Products of a convolution whose channels are summed tap by tap.
fn direct(shape: &ConvShape, wide: bool, rescale: u64) -> u64 {
    let slide = &shape.slide;
    let [height, width] = slide.out.map(|extent| extent as u64);
    let (padded, stride) = (slide.padded[1] as u64, slide.strides[1] as u64);
    let (taps, lanes) = (shape.taps as u64, WIDE as u64);
    // Lines that are summed at once, sixteens of pixels, and lines of fewer.
    let (lines, sixteens, short) = if conv::joined(slide) && padded <= conv::SUMS as u64 {
        let pixels = (height - 1) * padded + width;
        let lines = height.div_ceil(conv::SUMS as u64 / padded);
        (lines, pixels.div_ceil(lanes) + lines, u64::from(pixels < lanes))
    } else {
        let lines = sum!(height, width.div_ceil(conv::SUMS as u64));
        let last = sum!((stride * lanes).div_ceil(padded); 1).min(height);
        (lines, sum!(height, width.div_ceil(lanes)), last)
    };
    let (mac, flushes) = match wide {
        true => (3 * gas::MAC_DIRECT, taps.div_ceil(SPLIT as u64)),
        false => (gas::MAC_DIRECT, 0),
    };
    let channel = sum!(
        lines, gas::COPY;
        height, 2 * gas::LINE;
        short, taps, gas::PIECE;
        sixteens, lanes, taps, mac, stride;
        sixteens, gas::TILE_ROW;
        sixteens, flushes, gas::FLUSH;
        sixteens, lanes, rescale
    );
    sum!(shape.batch, shape.channels, channel)
}

/// Products of a convolution whose pixels are laid out for the tiled kernels.
fn tiled(shape: &ConvShape, narrow: bool, flushes: u64, rescale: u64, far: bool) -> u64 {
    let slide = &shape.slide;
    let [height, width] = slide.out.map(|extent| extent as u64);
    let (batch, channels, groups) = (shape.batch as u64, shape.channels as u64, shape.groups as u64);
    let (taps, wide) = (shape.taps as u64, WIDE as u64);
    let pixels = height * width;
    let panels = pixels.div_ceil(wide);
    // A panel whose windows do not begin next to each other is gathered in pieces of rows.
    let scattered = match slide.strides {
        [1, 1] if slide.padded[1] == slide.out[1] => u64::from(!pixels.is_multiple_of(wide)),
        [_, 1] if width.is_multiple_of(wide) => 0,
        [_, 1] => panels.min(height),
        _ => panels,
    };
    let pieces = match slide.strides[1] {
        1 | 2 => ((wide - 1).div_ceil(width) + 1).min(wide),
        _ => wide,
    };
    let gathered = if far {
        sum!(pieces, gas::GATHER_FAR)
    } else {
        sum!(pieces.min(conv::PIECES as u64), gas::PIECE)
    };
    let mac = if narrow { gas::MAC_I8 } else { gas::MAC_I16 };
    let group_out = channels / groups;
    // Every two panels read their group's weights again, and every image all of them, from further away where they do not stay near.
    let group_bytes = weight_bytes(narrow) * group_out * taps;
    let all_bytes = sum!(groups, group_bytes);
    let again = if group_bytes > gas::NEAR_BYTES {
        sum!(batch, panels.div_ceil(conv::PIXELS as u64 / wide), all_bytes)
    } else if all_bytes > gas::NEAR_BYTES {
        sum!(batch - 1, all_bytes)
    } else {
        0
    };
    let tiles = group_out.div_ceil(conv::CHANNEL_BLOCK as u64);
    sum!(
        again, gas::WEIGHT_BYTE_AGAIN;
        batch, groups, panels, taps, wide, gas::GATHER_RUN;
        batch, groups, scattered, taps, gathered;
        batch, groups, scattered, gas::PANEL_APART;
        batch, groups, panels, gas::COPY;
        batch, groups, panels, tiles, gas::TILE;
        batch, channels, panels, wide, taps + 1, mac;
        batch, channels, panels, gas::TILE_ROW;
        batch, channels, u64::from(!pixels.is_multiple_of(wide)), gas::CELL;
        batch, channels, panels, flushes, gas::FLUSH;
        batch, channels, panels, wide, rescale
    )
}
