//! The semantics of `docs/spec/ops.md` once more, as literally as can be: 128-bit integers, indices by coordinates, no
//! storage types, no panels. Slow and independent of the engine's code.

use aiinference_engine::graph::{Array, Graph, Op, Rescale, Trees, Window};

/// A tensor of the oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<i128>,
}

/// Every value of a graph, inputs first.
pub fn values(graph: &Graph, inputs: &[Vec<i32>]) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::new();
    for (port, data) in graph.inputs.iter().zip(inputs) {
        values.push(Tensor {
            shape: usizes(&port.shape),
            data: data.iter().map(|x| i128::from(*x)).collect(),
        });
    }
    for op in &graph.nodes {
        let value = node(op, &values);
        assert_eq!(value.data.len(), value.shape.iter().product::<usize>());
        values.push(value);
    }
    values
}

fn usizes(shape: &[u32]) -> Vec<usize> {
    shape.iter().map(|e| *e as usize).collect()
}

fn numbers(array: &Array) -> Vec<i128> {
    match array {
        Array::I8(v) => v.iter().map(|x| i128::from(*x)).collect(),
        Array::I16(v) => v.iter().map(|x| i128::from(*x)).collect(),
        Array::I32(v) => v.iter().map(|x| i128::from(*x)).collect(),
        Array::I64(v) => v.iter().map(|x| i128::from(*x)).collect(),
    }
}

/// `floor(v / 2^s + 1/2)`, clamped.
fn round(v: i128, shift: u8, low: i32, high: i32) -> i128 {
    let unit = 1i128 << shift;
    (2 * v + if shift == 0 { 0 } else { unit })
        .div_euclid(2 * unit)
        .clamp(low.into(), high.into())
}

fn of<T: Copy>(list: &[T], channel: usize) -> T {
    if list.len() == 1 {
        list[0]
    } else {
        list[channel]
    }
}

fn rescale(acc: i128, channel: usize, bias: &[i64], r: &Rescale) -> i128 {
    let bias = if bias.is_empty() { 0 } else { of(bias, channel) };
    let acc = acc + i128::from(bias);
    round(
        acc * i128::from(of(&r.multipliers, channel)),
        of(&r.shifts, channel),
        r.low,
        r.high,
    )
}

/// Coordinates of element i.
fn coordinates(shape: &[usize], mut i: usize) -> Vec<usize> {
    let mut c = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        c[axis] = i % shape[axis];
        i /= shape[axis];
    }
    c
}

fn index(shape: &[usize], c: &[usize]) -> usize {
    shape.iter().zip(c).fold(0, |i, (e, c)| {
        assert!(c < e);
        i * e + c
    })
}

fn tabulate(shape: Vec<usize>, f: impl Fn(&[usize]) -> i128) -> Tensor {
    let count = shape.iter().product();
    let data = (0..count).map(|i| f(&coordinates(&shape, i))).collect();
    Tensor { shape, data }
}

impl Tensor {
    fn at(&self, c: &[usize]) -> i128 {
        self.data[index(&self.shape, c)]
    }
}

fn joined(a: &Tensor, b: &Tensor, f: impl Fn(i128, i128) -> i128) -> Tensor {
    let rank = a.shape.len().max(b.shape.len());
    let extent = |t: &Tensor, axis: usize| {
        let missing = rank - t.shape.len();
        if axis < missing {
            1
        } else {
            t.shape[axis - missing]
        }
    };
    let shape = (0..rank).map(|i| extent(a, i).max(extent(b, i))).collect();
    let pick = |t: &Tensor, c: &[usize]| {
        let own: Vec<usize> = c[rank - t.shape.len()..]
            .iter()
            .zip(&t.shape)
            .map(|(c, e)| c % e)
            .collect();
        t.at(&own)
    };
    tabulate(shape, |c| f(pick(a, c), pick(b, c)))
}

fn out_extent(image: usize, w: &Window, axis: usize) -> usize {
    let padded = image + (w.pads[axis] + w.pads[axis + 2]) as usize;
    let reach = (w.kernel[axis] as usize - 1) * w.dilations[axis] as usize + 1;
    (padded - reach) / w.strides[axis] as usize + 1
}

/// Elements of a window of channel (b, c) at (i, j): tap coordinates and value, or none on padding.
fn taps(x: &Tensor, b: usize, c: usize, i: usize, j: usize, w: &Window) -> Vec<(usize, usize, Option<i128>)> {
    let mut all = Vec::new();
    for u in 0..w.kernel[0] as usize {
        for v in 0..w.kernel[1] as usize {
            let row = (i * w.strides[0] as usize + u * w.dilations[0] as usize) as i64 - i64::from(w.pads[0]);
            let col = (j * w.strides[1] as usize + v * w.dilations[1] as usize) as i64 - i64::from(w.pads[1]);
            let inside = row >= 0 && col >= 0 && row < x.shape[2] as i64 && col < x.shape[3] as i64;
            all.push((u, v, inside.then(|| x.at(&[b, c, row as usize, col as usize]))));
        }
    }
    all
}

/// `2^(30 - i / 256)` rounded, for i in 0..=256, by floating point: checked here against being near a tie.
fn knot(i: u64) -> i128 {
    let exact = (2f64).powf(30.0 - i as f64 / 256.0);
    let fraction = exact - exact.floor();
    assert!((fraction - 0.5).abs() > 1e-4, "too close to call in floating point");
    exact.round() as i128
}

fn exp2(t: u64) -> i128 {
    let (whole, fraction) = (t >> 16, t & 0xffff);
    let (i, g) = (fraction >> 8, i128::from(fraction & 0xff));
    let next = if g == 0 { 0 } else { knot(i + 1) };
    let mantissa = (knot(i) * (256 - g) + next * g + 128).div_euclid(256);
    mantissa >> whole
}

fn leaf(trees: &Trees, root: i32, row: &[i128]) -> usize {
    let mut child = root;
    while child >= 0 {
        let n = child as usize;
        let left = row[trees.features[n] as usize] <= i128::from(trees.thresholds[n]);
        child = if left { trees.left[n] } else { trees.right[n] };
    }
    (-1 - child) as usize
}

fn node(op: &Op, values: &[Tensor]) -> Tensor {
    let get = |x: &u32| &values[*x as usize];
    match op {
        Op::Constant { shape, data } => Tensor {
            shape: usizes(shape),
            data: numbers(data),
        },
        Op::MatMul {
            x,
            weights,
            bias,
            rescale: r,
        } => {
            let (x, w) = (get(x), numbers(weights));
            let k = *x.shape.last().unwrap();
            let mut shape = x.shape.clone();
            *shape.last_mut().unwrap() = w.len() / k;
            tabulate(shape, |c| {
                let (n, row) = c.split_last().unwrap();
                let at = index(&x.shape[..row.len()], row) * k;
                rescale((0..k).map(|i| x.data[at + i] * w[n * k + i]).sum(), *n, bias, r)
            })
        }
        Op::Conv2d {
            x,
            weights,
            channels,
            bias,
            window,
            groups,
            rescale: r,
        } => {
            let (x, w) = (get(x), numbers(weights));
            let (o, g) = (*channels as usize, *groups as usize);
            let (in_group, out_group) = (x.shape[1] / g, o / g);
            let (kh, kw) = (window.kernel[0] as usize, window.kernel[1] as usize);
            let shape = vec![
                x.shape[0],
                o,
                out_extent(x.shape[2], window, 0),
                out_extent(x.shape[3], window, 1),
            ];
            tabulate(shape, |at| {
                let &[b, o, i, j] = at else { unreachable!() };
                let mut acc = 0;
                for c in 0..in_group {
                    for (u, v, value) in taps(x, b, o / out_group * in_group + c, i, j, window) {
                        acc += value.unwrap_or(0) * w[index(&[o + 1, in_group, kh, kw], &[o, c, u, v])];
                    }
                }
                rescale(acc, o, bias, r)
            })
        }
        Op::Rescale {
            x,
            axis,
            bias,
            rescale: r,
        } => {
            let x = get(x);
            let per_channel = bias.len() > 1 || r.multipliers.len() > 1;
            tabulate(x.shape.clone(), |c| {
                let channel = if per_channel { c[*axis as usize] } else { 0 };
                rescale(x.at(c), channel, bias, r)
            })
        }
        Op::Add {
            a,
            b,
            multipliers: [m, n],
            shift,
            low,
            high,
        } => joined(get(a), get(b), |a, b| {
            round(a * i128::from(*m) + b * i128::from(*n), *shift, *low, *high)
        }),
        Op::Mul {
            a,
            b,
            multiplier,
            shift,
            low,
            high,
        } => joined(get(a), get(b), |a, b| {
            round(a * b * i128::from(*multiplier), *shift, *low, *high)
        }),
        Op::Clamp { x, low, high } => {
            let x = get(x);
            tabulate(x.shape.clone(), |c| x.at(c).clamp((*low).into(), (*high).into()))
        }
        Op::Table { x, table } => {
            let (x, knots) = (get(x), |i: i128| i128::from(table[i as usize]));
            tabulate(x.shape.clone(), |c| {
                let x = x.at(c);
                if table.len() == 256 {
                    return knots(x + 128);
                }
                let (i, f) = ((x + 32768) / 128, (x + 32768) % 128);
                (knots(i) * (128 - f) + knots(i + 1) * f + 64).div_euclid(128)
            })
        }
        Op::Softmax { x, multiplier, shift } => {
            let x = get(x);
            let columns = *x.shape.last().unwrap();
            let mut data = Vec::new();
            for row in x.data.chunks(columns) {
                let max = *row.iter().max().unwrap();
                let e: Vec<i128> = row
                    .iter()
                    .map(|x| exp2((((max - x) * i128::from(*multiplier)) >> shift).min(31 << 16) as u64))
                    .collect();
                let sum: i128 = e.iter().sum();
                data.extend(e.iter().map(|e| ((e * 32768 + sum / 2) / sum).min(32767)));
            }
            Tensor {
                shape: x.shape.clone(),
                data,
            }
        }
        Op::MaxPool2d { x, window } => {
            let x = get(x);
            let shape = vec![
                x.shape[0],
                x.shape[1],
                out_extent(x.shape[2], window, 0),
                out_extent(x.shape[3], window, 1),
            ];
            tabulate(shape, |c| {
                let all = taps(x, c[0], c[1], c[2], c[3], window);
                all.iter()
                    .filter_map(|t| t.2)
                    .max()
                    .expect("every window holds an element")
            })
        }
        Op::AvgPool2d {
            x,
            window,
            count_padding,
        } => {
            let x = get(x);
            let shape = vec![
                x.shape[0],
                x.shape[1],
                out_extent(x.shape[2], window, 0),
                out_extent(x.shape[3], window, 1),
            ];
            tabulate(shape, |c| {
                let all = taps(x, c[0], c[1], c[2], c[3], window);
                let sum: i128 = all.iter().filter_map(|t| t.2).sum();
                let n = all.iter().filter(|t| *count_padding || t.2.is_some()).count() as i128;
                (2 * sum + n).div_euclid(2 * n)
            })
        }
        Op::Upsample2d { x, factors } => {
            let x = get(x);
            let mut shape = x.shape.clone();
            let rank = shape.len();
            shape[rank - 2] *= factors[0] as usize;
            shape[rank - 1] *= factors[1] as usize;
            tabulate(shape, |c| {
                let mut c = c.to_vec();
                c[rank - 2] /= factors[0] as usize;
                c[rank - 1] /= factors[1] as usize;
                x.at(&c)
            })
        }
        Op::Reshape { x, shape } => Tensor {
            shape: usizes(shape),
            data: get(x).data.clone(),
        },
        Op::Transpose { x, axes } => {
            let x = get(x);
            let shape = axes.iter().map(|a| x.shape[*a as usize]).collect();
            tabulate(shape, |c| {
                let mut source = vec![0; c.len()];
                for (i, a) in axes.iter().enumerate() {
                    source[*a as usize] = c[i];
                }
                x.at(&source)
            })
        }
        Op::Concat { xs, axis } => {
            let axis = *axis as usize;
            let mut shape = get(&xs[0]).shape.clone();
            shape[axis] = xs.iter().map(|x| get(x).shape[axis]).sum();
            tabulate(shape, |c| {
                let mut c = c.to_vec();
                for x in xs {
                    let x = get(x);
                    if c[axis] < x.shape[axis] {
                        return x.at(&c);
                    }
                    c[axis] -= x.shape[axis];
                }
                unreachable!("the extents add up")
            })
        }
        Op::Slice {
            x,
            axis,
            start,
            step,
            length,
        } => {
            let (x, axis) = (get(x), *axis as usize);
            let mut shape = x.shape.clone();
            shape[axis] = *length as usize;
            tabulate(shape, |c| {
                let mut c = c.to_vec();
                c[axis] = *start as usize + c[axis] * *step as usize;
                x.at(&c)
            })
        }
        Op::ArgMax { x } => {
            let x = get(x);
            let (columns, rows) = x.shape.split_last().unwrap();
            let best = |row: &[i128]| row.iter().position(|v| v == row.iter().max().unwrap()).unwrap() as i128;
            Tensor {
                shape: rows.to_vec(),
                data: x.data.chunks(*columns).map(best).collect(),
            }
        }
        Op::TreeEnsemble { x, trees, rescale: r } => {
            let x = get(x);
            let (features, rows) = x.shape.split_last().unwrap();
            let mut shape = rows.to_vec();
            shape.push(trees.base.len());
            let mut data = Vec::new();
            for row in x.data.chunks(*features) {
                let mut sums: Vec<i128> = trees.base.iter().map(|b| i128::from(*b)).collect();
                for root in &trees.roots {
                    let leaf = leaf(trees, *root, row);
                    for e in trees.leaf_starts[leaf]..trees.leaf_starts[leaf + 1] {
                        sums[trees.targets[e as usize] as usize] += i128::from(trees.weights[e as usize]);
                    }
                }
                data.extend(sums.iter().enumerate().map(|(t, sum)| rescale(*sum, t, &[], r)));
            }
            Tensor { shape, data }
        }
    }
}
