//! The semantics of `docs/spec/ops.md` once more, as literally as can be: 128-bit integers, indices by coordinates, no
//! storage types, no panels. Slow and independent of the engine's code.

use aiinference_engine::graph::{Array, Comparison, Graph, Op, Rescale, Trees, Window};

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
    follow(&graph.nodes, &mut values);
    values
}

/// Adds the values of nodes.
fn follow(nodes: &[Op], values: &mut Vec<Tensor>) {
    for op in nodes {
        let value = node(op, values);
        assert_eq!(value.data.len(), value.shape.iter().product::<usize>());
        values.push(value);
    }
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

/// Shapes broadcast as in NumPy.
fn broadcast(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap();
    let extent = |shape: &[usize], axis: usize| {
        let missing = rank - shape.len();
        if axis < missing {
            1
        } else {
            shape[axis - missing]
        }
    };
    let widest = |axis| shapes.iter().map(|s| extent(s, axis)).max().unwrap();
    (0..rank).map(widest).collect()
}

/// The coordinates within a shape that is broadcast to where `c` lies.
fn own(shape: &[usize], c: &[usize]) -> Vec<usize> {
    let last = &c[c.len() - shape.len()..];
    last.iter().zip(shape).map(|(c, e)| c % e).collect()
}

fn joined(a: &Tensor, b: &Tensor, f: impl Fn(i128, i128) -> i128) -> Tensor {
    tabulate(broadcast(&[&a.shape, &b.shape]), |c| {
        f(a.at(&own(&a.shape, c)), b.at(&own(&b.shape, c)))
    })
}

/// The least r with `r + 1 > root`, of `root^2 = v`.
fn root(v: i128) -> i128 {
    let (mut low, mut high) = (0i128, 1i128 << 40);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if middle * middle <= v {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// `a / b` rounded to the nearest, halves up.
fn nearest(a: i128, b: i128) -> i128 {
    let (a, b) = if b < 0 { (-a, -b) } else { (a, b) };
    (2 * a + b).div_euclid(2 * b)
}

/// A normalised row in units of 2^-20.
fn normalised(row: &[i128], epsilon: u64, center: bool) -> Vec<i128> {
    let n = row.len() as i128;
    let sum = if center { row.iter().sum() } else { 0 };
    let w = n * row.iter().map(|x| x * x).sum::<i128>() - sum * sum + i128::from(epsilon);
    if w == 0 {
        return vec![0; row.len()];
    }
    let mut half = 0;
    while w * 4i128.pow(half + 1) < 1 << 62 {
        half += 1;
    }
    let inverse = ((1i128 << 61) - 1) / root(w * 4i128.pow(half));
    row.iter()
        .map(|x| nearest((n * x - sum) * inverse, 1 << (41 - half)))
        .collect()
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
        Op::BatchMatMul {
            a,
            b,
            transposed,
            multiplier,
            shift,
            low,
            high,
        } => {
            let (a, b) = (get(a), get(b));
            let (batch_a, matrix_a) = a.shape.split_at(a.shape.len() - 2);
            let (batch_b, matrix_b) = b.shape.split_at(b.shape.len() - 2);
            let n = if *transposed { matrix_b[0] } else { matrix_b[1] };
            let mut shape = broadcast(&[batch_a, batch_b]);
            shape.extend([matrix_a[0], n]);
            tabulate(shape, |c| {
                let (batch, place) = c.split_at(c.len() - 2);
                let products = (0..matrix_a[1]).map(|k| {
                    let in_a = [own(batch_a, batch), vec![place[0], k]].concat();
                    let in_b = if *transposed { [place[1], k] } else { [k, place[1]] };
                    a.at(&in_a) * b.at(&[own(batch_b, batch), in_b.to_vec()].concat())
                });
                round(products.sum::<i128>() * i128::from(*multiplier), *shift, *low, *high)
            })
        }
        Op::Min { a, b } => joined(get(a), get(b), |a, b| if a < b { a } else { b }),
        Op::Max { a, b } => joined(get(a), get(b), |a, b| if a > b { a } else { b }),
        Op::Compare { a, b, kind } => joined(get(a), get(b), |a, b| {
            i128::from(match kind {
                Comparison::Less => a < b,
                Comparison::LessEqual => a <= b,
                Comparison::Equal => a == b,
            })
        }),
        Op::Select { condition, a, b } => {
            let (condition, a, b) = (get(condition), get(a), get(b));
            tabulate(broadcast(&[&condition.shape, &a.shape, &b.shape]), |c| {
                let chosen = if condition.at(&own(&condition.shape, c)) != 0 {
                    a
                } else {
                    b
                };
                chosen.at(&own(&chosen.shape, c))
            })
        }
        Op::Div { a, b, shift, low, high } => joined(get(a), get(b), |a, b| {
            let (low, high) = (i128::from(*low), i128::from(*high));
            match (a, b) {
                (0, 0) => 0.clamp(low, high),
                (_, 0) if a > 0 => high,
                (_, 0) => low,
                _ => nearest(a << shift, b).clamp(low, high),
            }
        }),
        Op::Sqrt { x, shift, low, high } => {
            let x = get(x);
            tabulate(x.shape.clone(), |c| {
                let v = x.at(c).max(0) << shift;
                // sqrt(v) + 1/2 is half of sqrt(4 * v) + 1.
                ((root(4 * v) + 1) / 2).clamp((*low).into(), (*high).into())
            })
        }
        Op::LayerNorm {
            x,
            epsilon,
            center,
            bias,
            rescale: r,
        } => {
            let x = get(x);
            let columns = *x.shape.last().unwrap();
            let rows = x.data.chunks(columns).map(|row| normalised(row, *epsilon, *center));
            let data = rows.flat_map(|row| {
                let ended = row.into_iter().enumerate().map(|(c, z)| rescale(z, c, bias, r));
                ended.collect::<Vec<_>>()
            });
            Tensor {
                shape: x.shape.clone(),
                data: data.collect(),
            }
        }
        Op::ReduceSum {
            x,
            axis,
            multiplier,
            shift,
            low,
            high,
        } => reduced(get(x), *axis as usize, |all| {
            round(all.iter().sum::<i128>() * i128::from(*multiplier), *shift, *low, *high)
        }),
        Op::ReduceMax { x, axis } => reduced(get(x), *axis as usize, |all| *all.iter().max().unwrap()),
        Op::Gather { x, indices, axis } => {
            let (x, indices, axis) = (get(x), get(indices), *axis as usize);
            let rank = indices.shape.len();
            let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
            tabulate(shape, |c| {
                let chosen = indices.at(&c[axis..axis + rank]) as usize;
                x.at(&[&c[..axis], &[chosen], &c[axis + rank..]].concat())
            })
        }
        Op::GatherElements { x, indices } => {
            let (x, indices) = (get(x), get(indices));
            tabulate(indices.shape.clone(), |c| {
                let mut source = c.to_vec();
                *source.last_mut().unwrap() = indices.at(c) as usize;
                x.at(&source)
            })
        }
        Op::TopK { x, k } => {
            let x = get(x);
            let (columns, rows) = x.shape.split_last().unwrap();
            let largest = |row: &[i128]| {
                let mut order: Vec<usize> = (0..*columns).collect();
                // Stable: of equals the first stays first.
                order.sort_by_key(|i| -row[*i]);
                order.truncate(*k as usize);
                order.into_iter().map(|i| i as i128).collect::<Vec<_>>()
            };
            Tensor {
                shape: [rows, &[*k as usize]].concat(),
                data: x.data.chunks(*columns).flat_map(largest).collect(),
            }
        }
        Op::Pad {
            x,
            before,
            after,
            value,
        } => {
            let x = get(x);
            let (before, after) = (usizes(before), usizes(after));
            let shape = (0..x.shape.len()).map(|i| before[i] + x.shape[i] + after[i]);
            tabulate(shape.collect(), |c| {
                let source: Option<Vec<usize>> = c.iter().zip(&before).map(|(c, b)| c.checked_sub(*b)).collect();
                source
                    .filter(|source| source.iter().zip(&x.shape).all(|(c, e)| c < e))
                    .map_or((*value).into(), |source| x.at(&source))
            })
        }
        Op::Broadcast { x, shape } => {
            let x = get(x);
            tabulate(usizes(shape), |c| x.at(&own(&x.shape, c)))
        }
        Op::Scan {
            count,
            states,
            scanned,
            captured,
            body,
            collected,
        } => {
            let mut now: Vec<Tensor> = states.iter().map(|state| get(&state.initial).clone()).collect();
            let mut lists: Vec<Vec<i128>> = vec![vec![]; collected.len()];
            for time in 0..*count as usize {
                let mut inside = now.clone();
                for s in scanned {
                    let (x, axis) = (get(&s.x), s.axis as usize);
                    let at = if s.reverse { *count as usize - 1 - time } else { time };
                    let shape = [&x.shape[..axis], &x.shape[axis + 1..]].concat();
                    inside.push(tabulate(shape, |c| x.at(&[&c[..axis], &[at], &c[axis..]].concat())));
                }
                inside.extend(captured.iter().map(|x| get(x).clone()));
                follow(body, &mut inside);
                for (list, id) in lists.iter_mut().zip(collected) {
                    list.extend(&inside[*id as usize].data);
                }
                now = states
                    .iter()
                    .map(|state| inside[state.result as usize].clone())
                    .collect();
            }
            let kept = now.into_iter().zip(states).filter(|(_, state)| state.kept);
            let mut data: Vec<i128> = kept.flat_map(|(value, _)| value.data).collect();
            data.extend(lists.concat());
            Tensor {
                shape: vec![data.len()],
                data,
            }
        }
    }
}

/// One result for each line of elements along an axis.
fn reduced(x: &Tensor, axis: usize, f: impl Fn(&[i128]) -> i128) -> Tensor {
    let shape = [&x.shape[..axis], &x.shape[axis + 1..]].concat();
    tabulate(shape, |c| {
        let line = (0..x.shape[axis]).map(|i| x.at(&[&c[..axis], &[i], &c[axis..]].concat()));
        f(&line.collect::<Vec<_>>())
    })
}
