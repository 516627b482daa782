//! The float model computed in doubles, one fixed order of operations, no platform's libm.
//!
//! Calibration reads ranges off these values, so that they, and with them the converted model, are the same on every
//! machine.

use aiinference_engine::graph::Window;

use crate::net::{window_extents, Id, Kind, Net};

/// Every node's value for one sample. Constants get an empty one: read them in place.
pub fn run(net: &Net, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(net.nodes.len());
    for id in 0..net.nodes.len() {
        let value = step(net, id, &values, inputs);
        values.push(value);
    }
    values
}

/// The elements of a value, stored or computed.
pub fn of<'a>(net: &'a Net, values: &'a [Vec<f64>], id: Id) -> &'a [f64] {
    net.constant(id).unwrap_or(&values[id])
}

fn step(net: &Net, id: Id, values: &[Vec<f64>], inputs: &[Vec<f64>]) -> Vec<f64> {
    let node = &net.nodes[id];
    let get = |x: Id| of(net, values, x);
    match &node.kind {
        Kind::Input(_) => {
            let place = net.inputs.iter().position(|i| *i == id);
            place.map(|p| inputs[p].clone()).unwrap_or_default()
        }
        Kind::Const(_) => vec![],
        Kind::Linear { x, weights, bias } => linear(get(*x), weights, bias),
        Kind::Conv {
            x,
            weights,
            bias,
            window,
            groups,
        } => conv(get(*x), net.shape(*x), weights, bias, window, *groups),
        Kind::Affine { x, axis, scale, offset } => {
            let inner: usize = node.shape[axis + 1..].iter().product();
            let channels = node.shape[*axis];
            let channel = |i: usize| (i / inner) % channels;
            let x = get(*x).iter().enumerate();
            x.map(|(i, v)| v * scale[channel(i)] + offset[channel(i)]).collect()
        }
        Kind::Map { x, f } => get(*x).iter().map(|v| f.eval(*v)).collect(),
        Kind::Add { a, b, sign } => broadcast(net, get(*a), *a, get(*b), *b, &node.shape, |x, y| x + sign * y),
        Kind::Mul { a, b } => broadcast(net, get(*a), *a, get(*b), *b, &node.shape, |x, y| x * y),
        Kind::Softmax { x } => {
            let n = node.shape.last().copied().unwrap_or(1).max(1);
            get(*x).chunks(n).flat_map(softmax).collect()
        }
        Kind::MaxPool { x, window } => pool(get(*x), net.shape(*x), window, |taps, _| {
            taps.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }),
        Kind::AvgPool {
            x,
            window,
            count_padding,
        } => pool(get(*x), net.shape(*x), window, |taps, size| {
            let n = if *count_padding { size } else { taps.len() };
            taps.iter().sum::<f64>() / n as f64
        }),
        Kind::Upsample { x, factors } => {
            let [_, _, h, w] = as_image(net.shape(*x));
            let x = get(*x);
            let (oh, ow) = (h * factors[0], w * factors[1]);
            let mut out = Vec::with_capacity(x.len() * factors[0] * factors[1]);
            for plane in x.chunks(h * w) {
                for i in 0..oh {
                    let row = &plane[(i / factors[0]) * w..][..w];
                    out.extend((0..ow).map(|j| row[j / factors[1]]));
                }
            }
            out
        }
        Kind::Reshape { x } => get(*x).to_vec(),
        Kind::Transpose { x, axes } => transpose(get(*x), net.shape(*x), axes),
        Kind::Concat { xs, axis } => {
            let outer: usize = node.shape[..*axis].iter().product();
            let mut out = Vec::with_capacity(node.shape.iter().product());
            for o in 0..outer {
                for &x in xs {
                    let length: usize = net.shape(x)[*axis..].iter().product();
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
            let shape = net.shape(*x);
            let inner: usize = shape[axis + 1..].iter().product();
            let block = shape[*axis] * inner;
            let mut out = Vec::new();
            for chunk in get(*x).chunks(block) {
                for i in 0..*length {
                    out.extend_from_slice(&chunk[(start + i * step) * inner..][..inner]);
                }
            }
            out
        }
        Kind::ArgMax { x } => {
            let n = net.shape(*x).last().copied().unwrap_or(1).max(1);
            let rows = get(*x).chunks(n);
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
        Kind::Trees { x, trees } => {
            let n = net.shape(*x).last().copied().unwrap_or(1).max(1);
            get(*x).chunks(n).flat_map(|row| trees.eval(row)).collect()
        }
    }
}

fn linear(x: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
    let n = bias.len();
    let k = weights.len() / n.max(1);
    let mut out = Vec::with_capacity(x.len() / k.max(1) * n);
    for row in x.chunks(k) {
        for (w, b) in weights.chunks(k).zip(bias) {
            out.push(b + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>());
        }
    }
    out
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
    let size = (window.kernel[0] * window.kernel[1]) as usize;
    let mut taps = Vec::with_capacity(size);
    let mut out = Vec::new();
    let tap = |o: usize, k: usize, axis: usize, extent: usize| {
        let at = o * window.strides[axis] as usize + k * window.dilations[axis] as usize;
        at.checked_sub(window.pads[axis] as usize).filter(|i| *i < extent)
    };
    for plane in x.chunks(h * w) {
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
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let extents: Vec<usize> = axes.iter().map(|a| shape[*a]).collect();
    let steps: Vec<usize> = axes.iter().map(|a| strides[*a]).collect();
    gather(x, &extents, &steps)
}

/// The elements at the dot products of all indices below `extents` with `steps`, in row-major order.
fn gather(x: &[f64], extents: &[usize], steps: &[usize]) -> Vec<f64> {
    offsets(extents, steps).into_iter().map(|i| x[i]).collect()
}

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

fn broadcast(net: &Net, x: &[f64], a: Id, y: &[f64], b: Id, shape: &[usize], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    if net.shape(a) == shape && net.shape(b) == shape {
        return x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect();
    }
    let steps = |from: &[usize]| {
        let missing = shape.len() - from.len();
        let mut steps = vec![0; shape.len()];
        let mut stride = 1;
        for i in (0..from.len()).rev() {
            steps[missing + i] = if from[i] == 1 { 0 } else { stride };
            stride *= from[i];
        }
        steps
    };
    let (xs, ys) = (steps(net.shape(a)), steps(net.shape(b)));
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
