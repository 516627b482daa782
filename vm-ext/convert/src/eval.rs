//! The float model computed in doubles, one fixed order of operations, no platform's libm.
//!
//! Calibration reads ranges off these values, so that they, and with them the converted model, are the same on every
//! machine.

use aiinference_engine::graph::Window;

use crate::net::{window_extents, Comparison, Id, Kind, Net, Scan};

/// Every node's value for one sample. Constants get an empty one: read them in place.
pub fn run(net: &Net, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = vec![vec![]; net.nodes.len()];
    for (id, input) in net.inputs.iter().zip(inputs) {
        values[*id] = input.clone();
    }
    for id in 0..net.nodes.len() {
        let node = &net.nodes[id];
        if !matches!(node.kind, Kind::Input(_) | Kind::Const(_)) {
            values[id] = compute(&node.kind, &node.shape, &|x| (of(net, &values, x), net.shape(x)));
        }
    }
    values
}

/// The elements of a value, stored or computed.
pub fn of<'a>(net: &'a Net, values: &'a [Vec<f64>], id: Id) -> &'a [f64] {
    match net.constant(id) {
        Some(values) => values,
        None => &values[id],
    }
}

/// Elements and shape of an operand.
type Operand<'a> = (&'a [f64], &'a [usize]);

/// The value of an operation of the given shape, operands by their ids.
pub fn compute<'a>(kind: &Kind, shape: &[usize], operand: &dyn Fn(Id) -> Operand<'a>) -> Vec<f64> {
    let get = |x: Id| operand(x).0;
    let shape_of = |x: Id| operand(x).1;
    let count: usize = shape.iter().product();
    if count == 0 {
        return vec![];
    }
    let zip = |a: Id, b: Id, f: &dyn Fn(f64, f64) -> f64| broadcast(operand(a), operand(b), shape, f);
    // Length of rows along the last axis of an operand.
    let row = |x: Id| shape_of(x).last().copied().unwrap_or(1).max(1);
    match kind {
        Kind::Input(_) | Kind::Const(_) => vec![],
        Kind::Linear { x, weights, bias } => linear(get(*x), weights, bias, count),
        Kind::Conv {
            x,
            weights,
            bias,
            window,
            groups,
        } => conv(get(*x), shape_of(*x), weights, bias, window, *groups),
        Kind::Affine { x, axis, scale, offset } => {
            let inner: usize = shape[axis + 1..].iter().product();
            let channels = shape[*axis];
            let channel = |i: usize| (i / inner) % channels;
            let x = get(*x).iter().enumerate();
            x.map(|(i, v)| v * scale[channel(i)] + offset[channel(i)]).collect()
        }
        Kind::Map { x, f } => get(*x).iter().map(|v| f.eval(*v)).collect(),
        Kind::Add { a, b, sign } => zip(*a, *b, &|x, y| x + sign * y),
        Kind::Mul { a, b } => zip(*a, *b, &|x, y| x * y),
        Kind::Div { a, b } => zip(*a, *b, &|x, y| x / y),
        Kind::Min { a, b } => zip(*a, *b, &|x, y| if x.is_nan() || x < y { x } else { y }),
        Kind::Max { a, b } => zip(*a, *b, &|x, y| if x.is_nan() || x > y { x } else { y }),
        Kind::Compare { a, b, by } => match by {
            Comparison::Less => zip(*a, *b, &|x, y| f64::from(x < y)),
            Comparison::LessEqual => zip(*a, *b, &|x, y| f64::from(x <= y)),
            Comparison::Equal => zip(*a, *b, &|x, y| f64::from(x == y)),
        },
        Kind::Select { condition, a, b } => {
            let places = |x: Id| spread(shape_of(x), shape);
            let (c, x, y) = (get(*condition), get(*a), get(*b));
            let at = places(*condition).into_iter().zip(places(*a)).zip(places(*b));
            at.map(|((i, j), k)| if c[i] != 0.0 { x[j] } else { y[k] }).collect()
        }
        Kind::BatchMatMul { a, b } => batch_matmul(operand(*a), operand(*b), shape),
        Kind::LayerNorm {
            x,
            gamma,
            beta,
            epsilon,
            center,
        } => {
            let n = row(*x);
            let rows = get(*x).chunks(n);
            rows.flat_map(|row| layer_norm(row, gamma, beta, *epsilon, *center))
                .collect()
        }
        Kind::ReduceSum { x, axis, factor } => {
            let sums = reduce(operand(*x), *axis, 0.0, |a, b| a + b);
            sums.into_iter().map(|s| s * factor).collect()
        }
        Kind::ReduceMax { x, axis } => reduce(operand(*x), *axis, f64::NEG_INFINITY, |a, b| {
            if b > a || b.is_nan() {
                b
            } else {
                a
            }
        }),
        Kind::Gather { x, indices, axis } => {
            let from = shape_of(*x);
            let inner: usize = from[axis + 1..].iter().product();
            let extent = from[*axis];
            let mut out = Vec::with_capacity(count);
            for block in get(*x).chunks((extent * inner).max(1)) {
                for i in get(*indices) {
                    out.extend_from_slice(&block[index(*i, extent) * inner..][..inner]);
                }
            }
            out
        }
        Kind::GatherElements { x, indices } => {
            let (n, m) = (row(*x), row(*indices));
            let rows = get(*x).chunks(n).zip(get(*indices).chunks(m));
            rows.flat_map(|(row, indices)| indices.iter().map(move |i| row[index(*i, n)]))
                .collect()
        }
        Kind::TopK { x, k } => {
            let rows = get(*x).chunks(row(*x));
            rows.flat_map(|row| {
                let mut order: Vec<usize> = (0..row.len()).collect();
                order.sort_by(|i, j| row[*j].total_cmp(&row[*i]).then(i.cmp(j)));
                order.into_iter().take(*k).map(|i| i as f64)
            })
            .collect()
        }
        Kind::Pad { x, before, value, .. } => {
            let mut out = vec![*value; count];
            let strides = strides(shape);
            let start: usize = before.iter().zip(&strides).map(|(b, s)| b * s).sum();
            let places = offsets(shape_of(*x), &strides);
            places.into_iter().zip(get(*x)).for_each(|(i, v)| out[start + i] = *v);
            out
        }
        Kind::Broadcast { x } => {
            let values = get(*x);
            spread(shape_of(*x), shape).into_iter().map(|i| values[i]).collect()
        }
        Kind::Scan(scan) => run_scan(scan, operand),
        Kind::Softmax { x } => get(*x).chunks(row(*x)).flat_map(softmax).collect(),
        Kind::MaxPool { x, window } => pool(get(*x), shape_of(*x), window, |taps, _| {
            taps.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        Kind::AvgPool {
            x,
            window,
            count_padding,
        } => pool(get(*x), shape_of(*x), window, |taps, size| {
            let n = if *count_padding { size } else { taps.len() };
            taps.iter().sum::<f64>() / n as f64
        }),
        Kind::Upsample { x, factors } => {
            let [_, _, h, w] = as_image(shape_of(*x));
            let x = get(*x);
            let (oh, ow) = (h * factors[0], w * factors[1]);
            let mut out = Vec::with_capacity(x.len() * factors[0] * factors[1]);
            for plane in x.chunks((h * w).max(1)) {
                for i in 0..oh {
                    let row = &plane[(i / factors[0]) * w..][..w];
                    out.extend((0..ow).map(|j| row[j / factors[1]]));
                }
            }
            out
        }
        Kind::Reshape { x } => get(*x).to_vec(),
        Kind::Transpose { x, axes } => transpose(get(*x), shape_of(*x), axes),
        Kind::Concat { xs, axis } => {
            let outer: usize = shape[..*axis].iter().product();
            let mut out = Vec::with_capacity(count);
            for o in 0..outer {
                for &x in xs {
                    let length: usize = shape_of(x)[*axis..].iter().product();
                    out.extend_from_slice(&get(x)[o * length..][..length]);
                }
            }
            out
        }
        Kind::Slice {
            x,
            axis,
            start,
            step,
            length,
        } => {
            let from = shape_of(*x);
            let inner: usize = from[axis + 1..].iter().product();
            let block = from[*axis] * inner;
            let mut out = Vec::with_capacity(count);
            for chunk in get(*x).chunks(block.max(1)) {
                for i in 0..*length {
                    out.extend_from_slice(&chunk[(start + i * step) * inner..][..inner]);
                }
            }
            out
        }
        Kind::ArgMax { x } => {
            let rows = get(*x).chunks(row(*x));
            rows.map(|row| {
                let mut best = 0;
                for (i, v) in row.iter().enumerate() {
                    if *v > row[best] {
                        best = i;
                    }
                }
                best as f64
            })
            .collect()
        }
        Kind::Trees { x, trees } => get(*x).chunks(row(*x)).flat_map(|row| trees.eval(row)).collect(),
    }
}

/// An index as data gives it; the importer keeps it within bounds, and what is no number reads the first element.
fn index(i: f64, extent: usize) -> usize {
    (i.max(0.0) as usize).min(extent.max(1) - 1)
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Steps by which indices of `shape` walk over a tensor of shape `from` that is broadcast to it.
fn steps(from: &[usize], shape: &[usize]) -> Vec<usize> {
    let missing = shape.len() - from.len();
    let strides = strides(from);
    let mut steps = vec![0; shape.len()];
    for i in 0..from.len() {
        steps[missing + i] = if from[i] == 1 { 0 } else { strides[i] };
    }
    steps
}

/// Which element of a tensor of shape `from` each element of its broadcast to `shape` is.
fn spread(from: &[usize], shape: &[usize]) -> Vec<usize> {
    offsets(shape, &steps(from, shape))
}

fn reduce((x, shape): Operand, axis: usize, start: f64, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let extent = shape[axis];
    let mut out = vec![start; outer * inner];
    for o in 0..outer {
        let sums = &mut out[o * inner..][..inner];
        for i in 0..extent {
            let row = &x[(o * extent + i) * inner..][..inner];
            sums.iter_mut().zip(row).for_each(|(s, v)| *s = f(*s, *v));
        }
    }
    out
}

fn layer_norm(row: &[f64], gamma: &[f64], beta: &[f64], epsilon: f64, center: bool) -> Vec<f64> {
    let n = row.len() as f64;
    let mean = if center { row.iter().sum::<f64>() / n } else { 0.0 };
    let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    let root = libm::sqrt(variance + epsilon);
    let columns = row.iter().zip(gamma).zip(beta);
    columns.map(|((v, g), b)| (v - mean) / root * g + b).collect()
}

fn batch_matmul((a, a_shape): Operand, (b, b_shape): Operand, shape: &[usize]) -> Vec<f64> {
    let rank = shape.len();
    let (m, n) = (shape[rank - 2], shape[rank - 1]);
    let k = a_shape[a_shape.len() - 1];
    let batch = &shape[..rank - 2];
    let starts = |from: &[usize], size: usize| -> Vec<usize> {
        let places = spread(&from[..from.len() - 2], batch).into_iter();
        places.map(|i| i * size).collect()
    };
    let mut out = Vec::with_capacity(shape.iter().product());
    let mut sums = vec![0.0; n];
    for (i, j) in starts(a_shape, m * k).into_iter().zip(starts(b_shape, k * n)) {
        for row in 0..m {
            sums.fill(0.0);
            for t in 0..k {
                let x = a[i + row * k + t];
                let line = &b[j + t * n..][..n];
                sums.iter_mut().zip(line).for_each(|(s, y)| *s += x * y);
            }
            out.extend_from_slice(&sums);
        }
    }
    out
}

fn run_scan<'a>(scan: &Scan, operand: &dyn Fn(Id) -> Operand<'a>) -> Vec<f64> {
    each_time(scan, operand, &mut |_| ())
}

/// Runs the body of a Scan again and again and shows every value of every time.
pub fn each_time<'a>(scan: &Scan, operand: &dyn Fn(Id) -> Operand<'a>, show: &mut dyn FnMut(&[Vec<f64>])) -> Vec<f64> {
    let mut states: Vec<Vec<f64>> = scan.states.iter().map(|s| operand(*s).0.to_vec()).collect();
    let mut collected: Vec<Vec<f64>> = vec![vec![]; scan.body.outputs.len() - states.len()];
    for step in 0..scan.count {
        let mut inputs = std::mem::take(&mut states);
        for (x, reverse) in &scan.scanned {
            let at = if *reverse { scan.count - 1 - step } else { step };
            let x = operand(*x).0;
            let size = x.len() / scan.count;
            inputs.push(x[at * size..][..size].to_vec());
        }
        inputs.extend(scan.captured.iter().map(|x| operand(*x).0.to_vec()));
        let values = run(&scan.body, &inputs);
        show(&values);
        let mut outputs = scan
            .body
            .outputs
            .iter()
            .map(|o| of(&scan.body, &values, o.value).to_vec());
        states = outputs.by_ref().take(scan.states.len()).collect();
        collected.iter_mut().zip(outputs).for_each(|(all, one)| all.extend(one));
    }
    states.into_iter().chain(collected).flatten().collect()
}

fn linear(x: &[f64], weights: &[f64], bias: &[f64], count: usize) -> Vec<f64> {
    let n = bias.len();
    let k = weights.len() / n.max(1);
    if k == 0 {
        return bias.iter().copied().cycle().take(count).collect();
    }
    let mut out = vec![0.0; x.len() / k * n];
    // Some rows at a time, so that they stay near while the weights pass by.
    for (rows, out) in x.chunks(ROWS * k).zip(out.chunks_mut(ROWS * n)) {
        for (c, (w, b)) in weights.chunks(k).zip(bias).enumerate() {
            for (row, out) in rows.chunks(k).zip(out.chunks_mut(n)) {
                out[c] = b + dot(row, w);
            }
        }
    }
    out
}

/// Rows of a product that are computed together.
const ROWS: usize = 8;

/// A sum of products in one order, eight sums side by side: what any compiler makes of it gives the same bits.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a.zip(b) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + rest
}

fn conv(x: &[f64], shape: &[usize], weights: &[f64], bias: &[f64], window: &Window, groups: usize) -> Vec<f64> {
    let [batch, channels, h, w] = as_image(shape);
    let Some([oh, ow]) = window_extents([h, w], window) else {
        return vec![];
    };
    let outputs = bias.len();
    let [kh, kw] = window.kernel.map(|k| k as usize);
    let [sh, sw] = window.strides.map(|s| s as usize);
    let [dh, dw] = window.dilations.map(|d| d as usize);
    let [top, left] = [window.pads[0] as usize, window.pads[1] as usize];
    let per_group = channels / groups;
    let out_per_group = outputs / groups;
    let mut out = vec![0.0; batch * outputs * oh * ow];
    for b in 0..batch {
        for o in 0..outputs {
            let plane = &mut out[(b * outputs + o) * oh * ow..][..oh * ow];
            plane.fill(bias[o]);
            for c in 0..per_group {
                let channel = (o / out_per_group) * per_group + c;
                let image = &x[(b * channels + channel) * h * w..][..h * w];
                for ky in 0..kh {
                    for kx in 0..kw {
                        let weight = weights[((o * per_group + c) * kh + ky) * kw + kx];
                        // Columns whose tap lies within the image.
                        let first = left.saturating_sub(kx * dw).div_ceil(sw);
                        let end = (w + left).saturating_sub(kx * dw).div_ceil(sw).min(ow);
                        for y in 0..oh {
                            let Some(iy) = (y * sh + ky * dh).checked_sub(top).filter(|i| *i < h) else {
                                continue;
                            };
                            if first >= end {
                                continue;
                            }
                            let row = &mut plane[y * ow + first..y * ow + end];
                            let from = &image[iy * w + first * sw + kx * dw - left..(iy + 1) * w];
                            if sw == 1 {
                                row.iter_mut().zip(from).for_each(|(y, x)| *y += weight * x);
                            } else {
                                row.iter_mut()
                                    .zip(from.iter().step_by(sw))
                                    .for_each(|(y, x)| *y += weight * x);
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

/// Calls `f` with the taps inside the image and the number of taps that the padded image holds.
fn pool(x: &[f64], shape: &[usize], window: &Window, f: impl Fn(&[f64], usize) -> f64) -> Vec<f64> {
    let [_, _, h, w] = as_image(shape);
    let Some([oh, ow]) = window_extents([h, w], window) else {
        return vec![];
    };
    let size = window.kernel[0] as usize * window.kernel[1] as usize;
    let mut taps = Vec::new();
    let mut out = Vec::new();
    let tap = |o: usize, k: usize, axis: usize, extent: usize| {
        let at = o * window.strides[axis] as usize + k * window.dilations[axis] as usize;
        at.checked_sub(window.pads[axis] as usize).filter(|i| *i < extent)
    };
    for plane in x.chunks((h * w).max(1)) {
        for y in 0..oh {
            for x in 0..ow {
                taps.clear();
                for ky in 0..window.kernel[0] as usize {
                    for kx in 0..window.kernel[1] as usize {
                        if let (Some(iy), Some(ix)) = (tap(y, ky, 0, h), tap(x, kx, 1, w)) {
                            taps.push(plane[iy * w + ix]);
                        }
                    }
                }
                out.push(f(&taps, size));
            }
        }
    }
    out
}

/// `[B, C, H, W]` of a shape of four axes; missing ones in front are 1.
fn as_image(shape: &[usize]) -> [usize; 4] {
    let mut image = [1; 4];
    let n = shape.len();
    for i in 0..n.min(4) {
        image[3 - i] = shape[n - 1 - i];
    }
    image
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = row.iter().map(|v| libm::exp(v - top)).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|v| v / sum).collect()
}

/// Axis i of the result is axis `axes[i]` of x.
pub fn transpose(x: &[f64], shape: &[usize], axes: &[usize]) -> Vec<f64> {
    let strides = strides(shape);
    let extents: Vec<usize> = axes.iter().map(|a| shape[*a]).collect();
    let steps: Vec<usize> = axes.iter().map(|a| strides[*a]).collect();
    offsets(&extents, &steps).into_iter().map(|i| x[i]).collect()
}

/// The dot products of all indices below `extents` with `steps`, in row-major order.
fn offsets(extents: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut out = vec![0];
    for (extent, step) in extents.iter().zip(steps) {
        out = out
            .iter()
            .flat_map(|o| (0..*extent).map(move |i| o + i * step))
            .collect();
    }
    out
}

fn broadcast((x, a): Operand, (y, b): Operand, shape: &[usize], f: &dyn Fn(f64, f64) -> f64) -> Vec<f64> {
    if a == shape && b == shape {
        return x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect();
    }
    let (xs, ys) = (steps(a, shape), steps(b, shape));
    // Rows along the last axis; their starts by the axes before it.
    let rank = shape.len().max(1) - 1;
    let (length, dx, dy) = match shape.last() {
        Some(n) => (*n, xs[rank], ys[rank]),
        None => (1, 0, 0),
    };
    let starts = offsets(&shape[..rank], &xs[..rank])
        .into_iter()
        .zip(offsets(&shape[..rank], &ys[..rank]));
    let mut out = Vec::with_capacity(shape.iter().product());
    for (i, j) in starts {
        out.extend((0..length).map(|n| f(x[i + n * dx], y[j + n * dy])));
    }
    out
}
