//! `gas.md`, "The price of a run", with the numbers of its table.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::memory::{self, panels, Sums};
use super::{infer, Array, Graph, Op, Rescale, Scan, Trees, Type, Window};

/// The rows `| NAME | 1,000 | ..` of the page.
pub fn table() -> &'static BTreeMap<&'static str, u128> {
    static TABLE: OnceLock<BTreeMap<&'static str, u128>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let page = include_str!("../../../../../docs/spec/gas.md");
        let row = |line: &'static str| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (name, number) = (cells.next()?, cells.next()?);
            let constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let number = number.replace(',', "").parse().ok()?;
            name.chars().all(constant).then_some((name, number))
        };
        page.lines().filter_map(row).collect()
    })
}

/// The number of that name in the table.
fn gas(name: &str) -> u128 {
    table()[name]
}

/// The price of each node, and of a run.
pub fn run(graph: &Graph, types: &[Type]) -> (Vec<u64>, u64) {
    let nodes = nodes(&graph.nodes, graph.inputs.len(), types);
    let returned: u128 = graph.outputs.iter().map(|output| elements(&types[output.value])).sum();
    let taken: u128 = types[..graph.inputs.len()].iter().map(elements).sum();
    let ports = (graph.inputs.len() + graph.outputs.len()) as u128;
    let all: u128 = nodes.iter().map(|gas| u128::from(*gas)).sum();
    let arena = u128::from(memory::peak(graph, types)) * gas("ARENA_BYTE");
    (
        nodes,
        saturated(gas("NODE") + ports * gas("RUN") + taken * gas("INPUT") + returned * gas("OUTPUT") + arena + all),
    )
}

fn nodes(nodes: &[Op], inputs: usize, types: &[Type]) -> Vec<u64> {
    let price = |(i, op): (usize, &Op)| {
        let y = &types[inputs + i];
        let stored = match op {
            Op::Constant { .. } | Op::Reshape { .. } => 0,
            _ => bytes(y),
        };
        saturated(gas("NODE") + stored * gas("RESULT_BYTE") + operation(op, y, types))
    };
    nodes.iter().enumerate().map(price).collect()
}

fn saturated(gas: u128) -> u64 {
    gas.min(u64::MAX.into()) as u64
}

fn extents(shape: &[usize]) -> u128 {
    shape.iter().map(|extent| *extent as u128).product()
}

fn elements(ty: &Type) -> u128 {
    extents(&ty.shape)
}

fn bytes(ty: &Type) -> u128 {
    elements(ty) * if memory::fits_16_bits(ty) { 2 } else { 4 }
}

/// Whether all of them take 16 bits an element.
fn narrow(types: &[&Type]) -> bool {
    types.iter().all(|ty| memory::fits_16_bits(ty))
}

/// Whether a sum or product of that magnitude fits 32 bits together with what rounds its shift.
fn fits_32(most: i128, shift: i128) -> bool {
    shift < 32 && most + (1 << shift >> 1) < 1 << 31
}

/// The number of that name, or the one for operands that no cache holds.
fn by_distance(name: &str, x: &Type) -> u128 {
    if bytes(x) > gas("FAR_BYTES") {
        gas(&format!("{name}_FAR"))
    } else {
        gas(name)
    }
}

/// Extents before, along and after an axis.
fn around(shape: &[usize], axis: usize) -> [u128; 3] {
    [
        extents(&shape[..axis]),
        shape[axis] as u128,
        extents(&shape[axis + 1..]),
    ]
}

/// The run of operands broadcast to `out`; and, for each operand, whether it is repeated along it.
fn run_of(operands: &[&[usize]], out: &[usize]) -> (u128, Vec<bool>) {
    let mut run = (1, vec![false; operands.len()]);
    let mut begun = false;
    for back in 1..=out.len() {
        let extent = out[out.len() - back];
        if extent == 1 {
            continue;
        }
        let repeated: Vec<bool> = operands
            .iter()
            .map(|shape| shape.len() < back || shape[shape.len() - back] == 1)
            .collect();
        if begun && repeated != run.1 {
            break;
        }
        run = (run.0 * extent as u128, repeated);
        begun = true;
    }
    run
}

/// What the tiles of R rows and K columns of a product cost, laid out for `mac` gas a product.
fn tiles(rows: u128, k: u128, columns: u128, flushes: u128, mac: u128, short: u128) -> u128 {
    let (panels, single) = split(columns);
    let rescale = rescale(flushes, short);
    rows * panels * (16 * (k + 1) * mac + gas("TILE_ROW") + flushes * gas("FLUSH") + 16 * rescale)
        + rows.div_ceil(48) * panels * gas("TILE")
        + if columns % 16 > 3 { rows * gas("CELL") } else { 0 }
        + rows * single * (k * gas("MAC_DOT") + (1 + flushes) * gas("DOT"))
}

fn split(columns: u128) -> (u128, u128) {
    let (panels, single) = panels(columns as u64);
    (panels.into(), single.into())
}

fn rescale(flushes: u128, short: u128) -> u128 {
    match flushes {
        0 => short,
        _ => gas("RESCALE_WIDE"),
    }
}

/// What an element costs whose sum takes 32 bits.
fn rescaled(rescale: &Rescale, y: &Type) -> u128 {
    let high = |(m, s): (&i128, &i128)| *m == 0 || *s >= 32 || 2 * m.abs() < 1 << s;
    let all = rescale.multipliers.iter().zip(&rescale.shifts).all(high);
    gas(if all && narrow(&[y]) { "RESCALE_HIGH" } else { "RESCALE" })
}

/// The largest power of two of products that fit 32 bits, by what so many come to.
fn block(most: impl Fn(usize) -> i128) -> u128 {
    let fits = |log: &u32| most(1 << log) < 1 << 31;
    (1..=30).rev().find(fits).map(|log| 1 << log).expect("two products fit")
}

/// How often sums of k weighted elements move to 64 bits; none where they are in 64 bits throughout.
fn flushes(weights: &Array, k: usize, bias: &[i128], x: &Type) -> Option<u128> {
    let magnitude = x.low.abs().max(x.high.abs());
    match memory::sums(weights, k, bias, x) {
        Sums::Bits64 => None,
        Sums::Bits32 => Some(0),
        Sums::Blocks => {
            let l1 = |part: &[i128]| part.iter().map(|w| w.abs()).sum::<i128>();
            let rows = || weights.data.chunks(k);
            let most = |b| rows().flat_map(|row| row.chunks(b)).map(l1).max().unwrap_or(0) * magnitude;
            Some((k as u128).div_ceil(block(most)))
        }
    }
}

fn operation(op: &Op, y: &Type, types: &[Type]) -> u128 {
    let e = elements(y);
    let shape = |x: &usize| types[*x].shape.as_slice();
    let rows_of = |ty: &Type| {
        let (last, rest) = ty.shape.split_last().expect("an axis");
        (extents(rest), *last as u128)
    };
    let broadcast = |each: &str, operands: &[&usize]| {
        let run = if operands.len() == 1 { "MOVE_RUN" } else { "STRETCH" };
        let operands: Vec<&[usize]> = operands.iter().map(|x| shape(x)).collect();
        e * gas(each) + e / run_of(&operands, &y.shape).0 * gas(run)
    };
    match op {
        Op::Constant { .. } | Op::Reshape { .. } => 0,
        Op::MatMul {
            x,
            weights,
            bias,
            rescale,
        } => mat_mul(&types[*x], weights, bias, e, rescaled(rescale, y)),
        Op::BatchMatMul {
            a,
            b,
            transposed,
            rescale,
        } => batch_mat_mul(&types[*a], &types[*b], *transposed, y, rescaled(rescale, y)),
        Op::Conv2d {
            x,
            weights,
            bias,
            window,
            groups,
            rescale,
            ..
        } => {
            let scratch = memory::scratch(op, y, types);
            let scratch = [2, 4, 8]
                .iter()
                .zip(scratch)
                .map(|(size, n)| size * u128::from(n))
                .sum();
            let operand = &types[*x];
            conv2d(
                operand,
                (weights, bias),
                window,
                *groups as u128,
                y,
                scratch,
                rescaled(rescale, y),
            )
        }
        Op::Rescale { x, axis, bias, rescale } => {
            let channels = bias.len().max(rescale.multipliers.len()).max(1);
            let one = |list: &[i128], channel: usize| list.get(if list.len() == 1 { 0 } else { channel }).copied();
            let fits = |channel: usize| {
                let bias = one(bias, channel).unwrap_or(0).abs();
                let multiplier = one(&rescale.multipliers, channel).unwrap_or(0).abs();
                bias < 1 << 31
                    && fits_32(
                        ((1 << 15) + bias) * multiplier,
                        one(&rescale.shifts, channel).unwrap_or(0),
                    )
            };
            let short = narrow(&[&types[*x], y]) && (0..channels).all(fits);
            let each = gas(if short { "NARROW" } else { "ARITHMETIC" });
            if channels == 1 {
                return e * each + gas("RUN");
            }
            match around(&y.shape, *axis) {
                [_, extent, 1] if short => e * each + e.min(extent.max(256)) * gas("COLUMN") + gas("RUN"),
                [_, _, 1] => e * gas("COLUMN") + gas("RUN"),
                [outer, extent, _] => e * each + outer * extent * gas(if short { "LINE_RESCALED" } else { "RUN" }),
            }
        }
        Op::Add {
            a,
            b,
            multipliers: [m, n],
            shift,
            ..
        } => {
            let short = narrow(&[&types[*a], &types[*b], y]) && fits_32((m.abs() + n.abs()) << 15, *shift);
            broadcast(if short { "NARROW" } else { "ARITHMETIC" }, &[a, b])
        }
        Op::Mul {
            a,
            b,
            multiplier,
            shift,
            ..
        } => {
            let short = narrow(&[&types[*a], &types[*b], y]) && *multiplier == 1 && fits_32(1 << 30, *shift);
            broadcast(if short { "NARROW" } else { "ARITHMETIC" }, &[a, b])
        }
        Op::Div { a, b, .. } => broadcast("DIV", &[a, b]),
        Op::Min { a, b } | Op::Max { a, b } | Op::Compare { a, b, .. } => {
            let short = narrow(&[&types[*a], &types[*b], y]);
            broadcast(if short { "NARROW" } else { "COMPARE" }, &[a, b])
        }
        Op::Select { condition, a, b } => {
            let short = narrow(&[&types[*condition], &types[*a], &types[*b], y]);
            broadcast(if short { "SELECT_NARROW" } else { "SELECT" }, &[condition, a, b])
        }
        Op::Broadcast { x, .. } => broadcast("MOVED", &[x]),
        Op::Sqrt { .. } => e * gas("SQRT"),
        Op::Clamp { x, .. } => {
            let short = narrow(&[&types[*x], y]);
            e * gas(if short { "NARROW" } else { "CLAMP" })
        }
        Op::Table { table, .. } => e * gas(if table.len() == 256 { "TABLE_BYTES" } else { "TABLE" }),
        Op::Softmax { .. } => e * gas("SOFTMAX") + rows_of(y).0 * gas("SOFTMAX_ROW"),
        Op::LayerNorm { .. } => e * gas("LAYER_NORM") + rows_of(y).0 * gas("LAYER_NORM_ROW"),
        Op::MaxPool2d { x, window } | Op::AvgPool2d { x, window, .. } => {
            let inside = |axis: usize| {
                let extent = shape(x)[2 + axis] as u128;
                (window.kernel[axis] as u128).min(extent.div_ceil(window.dilations[axis] as u128))
            };
            if let Some(lines) = folded(&types[*x], window, y) {
                let ow = y.shape[3] as u128;
                let means = match op {
                    Op::AvgPool2d { count_padding, .. } => {
                        let aside = |side: usize| (window.padding[side] as u128).div_ceil(window.strides[1] as u128);
                        let padded = if *count_padding { 0 } else { ow.min(aside(1) + aside(3)) };
                        ow * gas("MEAN") + padded * gas("MEAN_PADDED")
                    }
                    _ => 0,
                };
                return lines + e / ow * means;
            }
            let whole =
                window.kernel[1] == shape(x)[3] as i128 && window.padding == [0; 4] && window.dilations == [1, 1];
            if whole && narrow(&[&types[*x]]) {
                let taps = (window.kernel[0] * window.kernel[1]) as u128;
                return e * gas("POOL") + e * taps * gas("REDUCE_NARROW");
            }
            e * gas("POOL") + e * inside(0) * inside(1) * by_distance("POOL_TAP", &types[*x])
        }
        Op::Upsample2d { x, .. } => {
            let (rows, _) = rows_of(y);
            e * gas("MOVED") + elements(&types[*x]) * gas("UPSAMPLE") + rows * gas("MOVE_STRIDED")
        }
        Op::Transpose { x, axes } => transpose(&types[*x], axes),
        Op::Concat { xs, axis } => {
            let [outer, _, _] = around(&y.shape, *axis);
            e * gas("MOVED") + outer * xs.len() as u128 * gas("MOVE_RUN") + xs.len() as u128 * gas("COPY")
        }
        Op::Slice {
            x, axis, step, length, ..
        } => {
            let [outer, _, inner] = around(&y.shape, *axis);
            let (each, runs) = match (*step, inner) {
                (1, _) => (gas("MOVED"), outer),
                (_, 1) => (strided(&types[*x], *step as u128), outer),
                _ => (gas("MOVED"), outer * *length as u128),
            };
            let far = bytes(&types[*x]) > gas("FAR_BYTES");
            e * each + runs * gas(if far { "COPY" } else { "SLICED" })
        }
        Op::Gather { x, axis, .. } => {
            let [_, _, inner] = around(shape(x), *axis);
            e * gas("MOVED") + e / inner * by_distance("GATHERED", &types[*x])
        }
        Op::GatherElements { x, .. } => e * by_distance("GATHERED", &types[*x]) + rows_of(y).0 * gas("RUN"),
        Op::Pad { x, before, after, .. } => {
            let padded = (0..before.len()).rev().find(|axis| before[*axis] + after[*axis] > 0);
            let run = extents(&shape(x)[padded.unwrap_or(0)..]);
            let x = elements(&types[*x]);
            e * gas("MOVED") + x * gas("PAD") + x / run * gas("MOVE_RUN")
        }
        Op::ReduceSum { x, axis, .. } | Op::ReduceMax { x, axis } => {
            let [outer, extent, inner] = around(shape(x), *axis);
            let steps = if inner == 1 { 1 } else { extent * inner.div_ceil(256) };
            let each = gas(if narrow(&[&types[*x]]) {
                "REDUCE_NARROW"
            } else {
                "REDUCE"
            });
            elements(&types[*x]) * each + outer * steps * gas("REDUCE_STEP") + e * gas("REDUCED")
        }
        Op::ArgMax { x } => elements(&types[*x]) * gas("ARG_MAX") + e * gas("RUN"),
        Op::TopK { x, k } => {
            let (rows, n) = rows_of(&types[*x]);
            let digits = format!("{k:b}").len() as u128;
            rows * (n * gas("TOP_K") + (n + *k as u128) * digits * gas("TOP_K_LEVEL") + gas("RUN"))
        }
        Op::TreeEnsemble(trees) => {
            let (rows, features) = rows_of(&types[trees.x]);
            rows * forest(trees, features)
        }
        Op::Scan(scan) => scan_of(scan, op, y, types),
    }
}

/// What so many bytes of weights cost once.
fn touched(bytes: u128) -> u128 {
    let far = bytes > gas("FAR_BYTES");
    bytes * gas(if far { "WEIGHT_BYTE_FAR" } else { "WEIGHT_BYTE" })
}

fn mat_mul(x: &Type, weights: &Array, bias: &[i128], e: u128, rescale: u128) -> u128 {
    let k = *x.shape.last().expect("an axis");
    let (rows, columns) = (elements(x) / k as u128, (weights.data.len() / k) as u128);
    let (wide, mac) = if weights.bits == 8 {
        (1, gas("MAC_I8"))
    } else {
        (2, gas("MAC_I16"))
    };
    let touched = touched(wide * weights.data.len() as u128);
    let flushes = flushes(weights, k, bias, x);
    let k = k as u128;
    touched
        + match flushes {
            Some(flushes) => tiles(rows, k, columns, flushes, mac, rescale),
            None => {
                let (panels, single) = split(columns);
                rows * (16 * panels + single) * k * gas("MAC_WIDE")
                    + rows * (panels + single) * gas("TILE_ROW")
                    + e * gas("RESCALE_WIDE")
            }
        }
}

fn batch_mat_mul(a: &Type, b: &Type, transposed: bool, y: &Type, rescale: u128) -> u128 {
    let batch = |ty: &Type| ty.shape[..ty.shape.len() - 2].to_vec();
    let (m, k) = (a.shape[a.shape.len() - 2] as u128, *a.shape.last().unwrap() as u128);
    let n = *y.shape.last().unwrap() as u128;
    let (run, repeated) = run_of(&[&batch(a), &batch(b)], &batch(y));
    let run = if repeated == [false, true] { run } else { 1 };
    let (rows, products) = (run * m, extents(&batch(y)) / run);
    let magnitude = |ty: &Type| ty.low.abs().max(ty.high.abs());
    let product = magnitude(a) * magnitude(b);
    let flushes = match memory::batch_sums(infer::bound_of_batch(a, b, transposed), product) {
        Sums::Bits64 => None,
        Sums::Bits32 => Some(0),
        Sums::Blocks => Some(k.div_ceil(block(|terms| terms as i128 * product))),
    };
    let e = elements(y);
    match flushes {
        None => e * k * gas("MAC_WIDE") + e * gas("RESCALE_WIDE") + products * gas("BATCH"),
        Some(flushes) => {
            let (panels, single) = split(n);
            let laid_out = (16 * panels * k.next_multiple_of(2) + single * k) * by_distance("LAY_OUT", b);
            products * (laid_out + tiles(rows, k, n, flushes, gas("MAC_I16"), rescale) + gas("BATCH"))
        }
    }
}

fn conv2d(
    x: &Type,
    (weights, bias): (&Array, &[i128]),
    window: &Window,
    groups: u128,
    y: &Type,
    scratch: u128,
    short: u128,
) -> u128 {
    let four = |ty: &Type| [0, 1, 2, 3].map(|axis| ty.shape[axis] as u128);
    let ([batch, channels, height, width], [_, out, oh, ow]) = (four(x), four(y));
    let taps = weights.data.len() / out as usize;
    let flushes = flushes(weights, taps, bias, x);
    let taps = taps as u128;
    let bytes = if weights.bits == 8 { 1 } else { 2 };
    let touched = touched(bytes * out * taps);
    let e = elements(y);
    let Some(flushes) = flushes else {
        return touched + e * taps * by_distance("MAC_WIDE_CONV", x) + e * gas("RESCALE_WIDE") + e / ow * gas("RUN");
    };
    if groups == 1 && out >= 16 && oh * ow < 16 {
        let rows = batch * oh * ow;
        let kernel = window.kernel.map(|n| n as u128);
        let copied = if window.padding == [0; 4] && kernel == [height, width] {
            0
        } else if self::bytes(x) > gas("FAR_BYTES") {
            taps * gas("GATHER_FAR")
        } else {
            taps * gas("GATHER_RUN") + channels * kernel[0] * gas("WINDOW_LINE")
        };
        let mac = gas(if weights.bits == 8 { "MAC_I8" } else { "MAC_I16" });
        return touched
            + scratch * gas("RESULT_BYTE")
            + rows * (copied + gas("RUN"))
            + e * gas("SCATTER")
            + tiles(rows, taps, out, flushes, mac, short);
    }
    let padding = window.padding.map(|n| n as u128);
    let (ph, pw) = (height + padding[0] + padding[2], width + padding[1] + padding[3]);
    let mut all = touched + scratch * gas("RESULT_BYTE") + batch * groups * gas("COPY");
    if padding != [0; 4] {
        let far = 2 * channels * ph * pw > gas("FAR_BYTES");
        let padded = gas(if far { "PADDED_FAR" } else { "PADDED" });
        all += batch * channels * (height * gas("LINE") + ph * pw * padded);
    }
    let of_group = out / groups;
    let [down, across] = window.strides.map(|n| n as u128);
    let joined = down == 1 && across == 1 && pw <= 2 * ow;
    let ended = gas("TILE_ROW") + 16 * rescale(flushes, short);
    if of_group <= 2 && across <= 2 && (ow >= 4 || joined) && flushes == 0 && narrow(&[y]) {
        let [kh, kw] = window.kernel.map(|n| n as u128);
        let [dh, dw] = window.dilations.map(|n| n as u128);
        let (rows, columns) = if down == 1 && across == 1 && pw == ow {
            (1, oh * ow)
        } else {
            (oh, ow)
        };
        let cells = if columns <= 8 {
            rows.div_ceil(2)
        } else {
            rows * columns.div_ceil(16)
        };
        let edges = ((8 * across).div_ceil(pw) + 1).min(cells);
        let places = pw * (ph - (kh - 1) * dh) - (kw - 1) * dw;
        let pixels = if places <= 8 * across { rows } else { across - 1 };
        let steps = match (across, dw) {
            (1, _) => taps,
            (_, 1) => taps / kw * (kw + kw % 2),
            _ => 2 * taps,
        };
        let lines = taps / kw * kw.min(((kw - 1) * dw + 16 * across) / 32 + 2);
        let mac = gas(if lines > gas("SPREAD_LINES") {
            "MAC_CELL_SPREAD"
        } else {
            "MAC_CELL"
        });
        let cell = 16 * steps * mac + gas("CELL") + 16 * short;
        let channel = (1 + edges + pixels) * gas("COPY") + pixels * taps * gas("PIECE") + (cells + edges) * cell;
        return all + batch * out * channel;
    }
    if of_group <= 2 && across <= 2 && (ow >= 4 || joined) {
        let (lines, sixteens, few) = if joined && pw <= 1536 {
            let pixels = (oh - 1) * pw + ow;
            let lines = oh.div_ceil(1536 / pw);
            (lines, pixels.div_ceil(16) + lines, if pixels < 16 { 1 } else { 0 })
        } else {
            let few = ((16 * across).div_ceil(pw) + 1).min(oh);
            (oh * ow.div_ceil(1536), oh * ow.div_ceil(16), few)
        };
        let products = if flushes == 0 {
            16 * taps * gas("MAC_DIRECT") * across
        } else {
            16 * taps * 3 * gas("MAC_DIRECT") * across + taps.div_ceil(256) * gas("FLUSH")
        };
        let lines = lines * gas("COPY") + 2 * oh * gas("LINE") + few * taps * gas("PIECE");
        return all + batch * out * (lines + sixteens * (products + ended));
    }
    let panels = (oh * ow).div_ceil(16);
    let scattered = if down == 1 && across == 1 && pw == ow {
        u128::from(oh * ow % 16 != 0)
    } else if across == 1 && ow % 16 == 0 {
        0
    } else if across == 1 {
        oh.min(panels)
    } else {
        panels
    };
    let pieces = if across > 2 {
        16
    } else {
        (15u128.div_ceil(ow) + 1).min(16)
    };
    let gathered = if self::bytes(x) > gas("FAR_BYTES") {
        pieces * gas("GATHER_FAR")
    } else {
        pieces.min(4) * gas("PIECE")
    };
    let of_all = bytes * out * taps;
    let again = if of_all / groups > gas("NEAR_BYTES") {
        batch * panels.div_ceil(2) * of_all
    } else if of_all > gas("NEAR_BYTES") {
        (batch - 1) * of_all
    } else {
        0
    };
    let mac = gas(if weights.bits == 8 { "MAC_I8" } else { "MAC_I16" });
    all + again * gas("WEIGHT_BYTE_AGAIN")
        + batch * groups * panels * (taps * 16 * gas("GATHER_RUN") + gas("COPY"))
        + batch * groups * scattered * (taps * gathered + gas("PANEL_APART"))
        + batch * groups * panels * (out / groups).div_ceil(48) * gas("TILE")
        + batch * out * panels * (16 * (taps + 1) * mac + flushes * gas("FLUSH") + ended)
        + if oh * ow % 16 > 0 { batch * out * gas("CELL") } else { 0 }
}

/// Pooling by lines, but for means; none where it does not go so.
fn folded(x: &Type, window: &Window, y: &Type) -> Option<u128> {
    let [kh, kw] = window.kernel.map(|n| n as u128);
    let [sw, dilation] = [window.strides[1], window.dilations[1]].map(|n| n as u128);
    let (width, ow) = (x.shape[3] as u128, y.shape[3] as u128);
    let span = (kw - 1) * dilation + 1;
    let lines = narrow(&[x, y])
        && ow >= 4
        && kw <= 2 * ow
        && kw <= width.div_ceil(dilation)
        && kh * kw < 1 << 15
        && span <= 64
        && sw <= 8;
    let pieces = ow.div_ceil((256 - span.min(256)) / sw + 1);
    let along = gas(match sw {
        1 => "FOLDED",
        2 => "FOLDED_PAIRS",
        _ => "FOLDED_APART",
    });
    let line = pieces * (gas("FOLD") + kh * gas("FOLD_ROW"))
        + kh * (ow * sw + pieces * span) * by_distance("FOLDED", x)
        + kw * (ow + 16 * pieces) * along;
    lines.then_some(elements(y) / ow * line)
}

fn transpose(x: &Type, axes: &[usize]) -> u128 {
    let axes: Vec<usize> = axes.iter().copied().filter(|axis| x.shape[*axis] > 1).collect();
    let next = |axis: usize| (axis + 1..x.shape.len()).find(|axis| x.shape[*axis] > 1);
    let Some(last) = axes.last() else {
        return elements(x) * (gas("MOVED") + gas("MOVE_RUN"));
    };
    let follow = axes
        .windows(2)
        .rev()
        .take_while(|pair| next(pair[0]) == Some(pair[1]))
        .count();
    let run_axes = follow + 1;
    let run: u128 = axes[axes.len() - 1 - follow..]
        .iter()
        .map(|axis| x.shape[*axis] as u128)
        .product();
    if next(*last).is_none() {
        return elements(x) * gas("MOVED") + elements(x) / run * gas("MOVE_RUN");
    }
    // Where x's last axis is in the result, and what precedes it there as in x.
    let end = axes.iter().position(|axis| next(*axis).is_none()).unwrap();
    let follow = axes[..=end]
        .windows(2)
        .rev()
        .take_while(|pair| next(pair[0]) == Some(pair[1]))
        .count();
    let down: u128 = axes[end - follow..=end]
        .iter()
        .map(|axis| x.shape[*axis] as u128)
        .product();
    if run >= 4 && down >= 4 {
        let tiles = elements(x) / (run * down) * run.div_ceil(32) * down.div_ceil(32);
        return elements(x) * by_distance("TURN", x)
            + elements(x) / run * run.div_ceil(32) * gas("TURN_RUN")
            + elements(x) / down * down.div_ceil(32) * gas("TURN_LINE")
            + tiles * gas("COPY");
    }
    // Where what follows x's last axis in the result is its run, of 2 or 3.
    let follows = axes.len() - (end + 1) == run_axes;
    if follows && run < 4 && down >= 4 && bytes(x) <= gas("FAR_BYTES") {
        return elements(x) * gas("TURN") + elements(x) / (run * down) * (run * gas("MOVE_RUN") + gas("COPY"));
    }
    let step: u128 = x.shape[last + 1..].iter().map(|n| *n as u128).product();
    elements(x) * strided(x, step) + elements(x) / run * gas("COPY")
}

/// An element copied from so many elements after the last.
fn strided(x: &Type, step: u128) -> u128 {
    match step <= gas("SPACED") && bytes(x) <= gas("FAR_BYTES") {
        true => gas("MOVE_SPACED"),
        false => by_distance("MOVE_STRIDED", x),
    }
}

fn forest(trees: &Trees, features: u128) -> u128 {
    // What is below a child: levels, and entries of the largest leaf.
    fn below(trees: &Trees, child: i128) -> (u128, u128) {
        let mut open = vec![(child, 0)];
        let mut most = (0, 0);
        while let Some((child, level)) = open.pop() {
            if child < 0 {
                let leaf = (-1 - child) as usize;
                let entries = (trees.leaf_starts[leaf + 1] - trees.leaf_starts[leaf]) as u128;
                most = (most.0.max(level), most.1.max(entries));
            } else {
                let node = child as usize;
                open.extend([trees.left[node], trees.right[node]].map(|child| (child, level + 1)));
            }
        }
        most
    }
    let below: Vec<(u128, u128)> = trees.roots.iter().map(|root| below(trees, *root)).collect();
    let depths: u128 = below.iter().map(|(depth, _)| depth).sum();
    let entries: u128 = below.iter().map(|(_, entries)| entries).sum();
    let size = 16 * trees.features.len() + 4 * trees.leaf_starts.len() + 8 * trees.weights.len();
    let level = match size as u128 + 4 * features {
        0..=0x8_0000 => "TREE_LEVEL",
        0x8_0001..=0x80_0000 => "TREE_LEVEL_FAR",
        _ => "TREE_LEVEL_FARTHEST",
    };
    depths * gas(level)
        + entries * gas("TREE_ENTRY")
        + trees.roots.len() as u128 * gas("TREE")
        + features * gas("TREE_FEATURE")
        + trees.base.len() as u128 * gas("RESCALE_WIDE")
        + gas("RUN")
}

fn scan_of(scan: &Scan, op: &Op, y: &Type, types: &[Type]) -> u128 {
    let inside = infer::body_types(scan, types);
    let inputs = scan.states.len() + scan.scanned.len() + scan.captured.len();
    let body: u128 = nodes(&scan.body, inputs, &inside)
        .iter()
        .map(|gas| u128::from(*gas))
        .sum();
    let carried: u128 = inside[..scan.states.len()].iter().map(elements).sum();
    let collected: u128 = scan.collected.iter().map(|value| elements(&inside[*value])).sum();
    let slices = scan.scanned.iter().map(|scanned| {
        let x = &types[scanned.x];
        match around(&x.shape, scanned.axis) {
            [outer, extent, 1] => outer * strided(x, extent),
            [outer, _, inner] => outer * inner * gas("MOVE") + outer * gas("RUN"),
        }
    });
    let once = gas("SCAN")
        + u128::from(saturated(body))
        + carried * gas("CARRIED")
        + collected * gas("MOVE")
        + (scan.states.len() + scan.scanned.len() + scan.collected.len()) as u128 * gas("RUN")
        + slices.sum::<u128>();
    let captured: u128 = scan.captured.iter().map(|x| elements(&types[*x])).sum();
    let scratch = memory::scratch(op, y, types);
    let scratch: u128 = [2, 4, 8]
        .iter()
        .zip(scratch)
        .map(|(size, n)| size * u128::from(n))
        .sum();
    scan.count as u128 * once
        + captured * gas("MOVE")
        + scan.captured.len() as u128 * gas("RUN")
        + scratch * gas("RESULT_BYTE")
}
