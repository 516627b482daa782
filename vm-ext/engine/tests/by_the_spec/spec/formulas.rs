//! `ops.md`: every operation by its formula.

use std::sync::LazyLock;

use super::{
    infer, of_channel, quotient, root, rounded_root, shifted, Array, Kind, Op, Scan, Tensor, Trees, Type, Window,
};

/// Runs the nodes after the values that are there; every element must lie in the range inferred.
pub fn run(nodes: &[Op], types: &[Type], values: &mut Vec<Tensor>) {
    for op in nodes {
        let ty = &types[values.len()];
        let y = node(op, ty, types, values);
        assert_eq!(y.data.len(), y.shape.iter().product());
        let inside = y.data.iter().all(|y| (ty.low..=ty.high).contains(y));
        let row = y.shape.last().copied().unwrap_or(1);
        let sums = y.data.chunks(row).all(|row| {
            ty.row_sum
                .is_none_or(|most| row.iter().map(|y| y.abs()).sum::<i128>() <= most)
        });
        assert!(inside && sums && y.shape == ty.shape, "{} breaks its type", op.name());
        values.push(y);
    }
}

fn bias_of(bias: &[i128], c: usize) -> i128 {
    if bias.is_empty() {
        0
    } else {
        of_channel(bias, c)
    }
}

fn node(op: &Op, ty: &Type, types: &[Type], values: &[Tensor]) -> Tensor {
    let of = |x: &usize| &values[*x];
    let shape = &ty.shape[..];
    match op {
        Op::Constant { data, .. } => Tensor {
            shape: shape.to_vec(),
            data: data.data.clone(),
        },
        Op::MatMul {
            x,
            weights,
            bias,
            rescale,
        } => Tensor::of(shape, |y| {
            let (n, before) = y.split_last().unwrap();
            let k = *of(x).shape.last().unwrap();
            let products = (0..k).map(|k_| of(x).at(&[before, &[k_]].concat()) * weights.data[n * k + k_]);
            rescale.apply(*n, bias_of(bias, *n) + products.sum::<i128>())
        }),
        Op::Conv2d {
            x,
            weights,
            channels,
            bias,
            window,
            groups,
            rescale,
        } => {
            let per_group = *channels as usize / *groups as usize;
            Tensor::of(shape, |y| {
                let o = y[1];
                let sum = convolution(of(x), weights, y, o / per_group, *groups as usize, window);
                rescale.apply(o, bias_of(bias, o) + sum)
            })
        }
        Op::Rescale { x, axis, bias, rescale } => Tensor::of(shape, |y| {
            let c = y.get(*axis).copied().unwrap_or(0);
            rescale.apply(c, of(x).at(y) + bias_of(bias, c))
        }),
        Op::Add {
            a,
            b,
            multipliers: [m, n],
            shift,
            low,
            high,
        } => Tensor::of(shape, |y| {
            shifted(of(a).broadcast_at(y) * m + of(b).broadcast_at(y) * n, *shift).clamp(*low, *high)
        }),
        Op::Mul {
            a,
            b,
            multiplier,
            shift,
            low,
            high,
        } => Tensor::of(shape, |y| {
            shifted(of(a).broadcast_at(y) * of(b).broadcast_at(y) * multiplier, *shift).clamp(*low, *high)
        }),
        Op::Clamp { x, low, high } => Tensor::of(shape, |y| of(x).at(y).max(*low).min(*high)),
        Op::Table { x, table } => Tensor::of(shape, |y| {
            let x = of(x).at(y);
            if table.len() == 256 {
                return table[(x + 128) as usize];
            }
            let u = x + 32768;
            let (i, f) = ((u >> 7) as usize, u & 127);
            (table[i] * (128 - f) + table[i + 1] * f + 64) >> 7
        }),
        Op::Softmax { x, multiplier, shift } => rows(of(x), shape, |row| softmax(row, *multiplier, *shift)),
        Op::MaxPool2d { x, window } => Tensor::of(shape, |y| {
            inside(of(x), y, window)
                .into_iter()
                .max()
                .expect("a window holds an element")
        }),
        Op::AvgPool2d {
            x,
            window,
            count_padding,
        } => Tensor::of(shape, |y| {
            let inside = inside(of(x), y, window);
            let n = if *count_padding {
                window.kernel[0] * window.kernel[1]
            } else {
                inside.len() as i128
            };
            (2 * inside.iter().sum::<i128>() + n).div_euclid(2 * n)
        }),
        Op::Upsample2d { x, factors } => Tensor::of(shape, |y| {
            let [before @ .., h, w] = y else { unreachable!() };
            of(x).at(&[before, &[h / factors[0], w / factors[1]]].concat())
        }),
        Op::Reshape { x, .. } => Tensor {
            shape: shape.to_vec(),
            data: of(x).data.clone(),
        },
        Op::Transpose { x, axes } => Tensor::of(shape, |y| {
            let mut at = vec![0; y.len()];
            for (i, axis) in axes.iter().enumerate() {
                at[*axis] = y[i];
            }
            of(x).at(&at)
        }),
        Op::Concat { xs, axis } => Tensor::of(shape, |y| {
            let mut at = y.to_vec();
            for x in xs {
                let extent = of(x).shape[*axis];
                if at[*axis] < extent {
                    return of(x).at(&at);
                }
                at[*axis] -= extent;
            }
            unreachable!()
        }),
        Op::Slice {
            x, axis, start, step, ..
        } => Tensor::of(shape, |y| {
            let mut at = y.to_vec();
            at[*axis] = start + at[*axis] * step;
            of(x).at(&at)
        }),
        Op::ArgMax { x } => rows(of(x), shape, |row| vec![descending(row)[0]]),
        Op::TreeEnsemble(trees) => rows(of(&trees.x), shape, |row| ensemble(trees, row)),
        Op::BatchMatMul {
            a,
            b,
            transposed,
            rescale,
        } => Tensor::of(shape, |y| {
            let [before, &[m, n]] = [&y[..y.len() - 2], &y[y.len() - 2..]] else {
                unreachable!()
            };
            let of_batch = |x: &Tensor, i: usize, j: usize| {
                // The axes before the last two broadcast, the last two do not.
                let rank = x.shape.len() - 2;
                let last = &before[before.len() - rank..];
                let mut at: Vec<_> = last
                    .iter()
                    .zip(&x.shape)
                    .map(|(i, e)| if *e == 1 { 0 } else { *i })
                    .collect();
                at.extend([i, j]);
                x.at(&at)
            };
            let k = *of(a).shape.last().unwrap();
            let products = (0..k).map(|k| {
                let b = if *transposed {
                    of_batch(of(b), n, k)
                } else {
                    of_batch(of(b), k, n)
                };
                of_batch(of(a), m, k) * b
            });
            rescale.apply(0, products.sum())
        }),
        Op::Min { a, b } => Tensor::of(shape, |y| of(a).broadcast_at(y).min(of(b).broadcast_at(y))),
        Op::Max { a, b } => Tensor::of(shape, |y| of(a).broadcast_at(y).max(of(b).broadcast_at(y))),
        Op::Compare { a, b, kind } => Tensor::of(shape, |y| {
            let (a, b) = (of(a).broadcast_at(y), of(b).broadcast_at(y));
            i128::from(match kind {
                Kind::Less => a < b,
                Kind::LessEqual => a <= b,
                Kind::Equal => a == b,
            })
        }),
        Op::Select { condition, a, b } => Tensor::of(shape, |y| {
            let chosen = if of(condition).broadcast_at(y) != 0 { a } else { b };
            of(chosen).broadcast_at(y)
        }),
        Op::Div { a, b, shift, low, high } => Tensor::of(shape, |y| {
            quotient(of(a).broadcast_at(y), of(b).broadcast_at(y), *shift, *low, *high)
        }),
        Op::Sqrt { x, shift, low, high } => Tensor::of(shape, |y| rounded_root(of(x).at(y), *shift).clamp(*low, *high)),
        Op::LayerNorm {
            x,
            epsilon,
            center,
            bias,
            rescale,
        } => rows(of(x), shape, |row| {
            let z = normalised(row, *epsilon, *center);
            z.iter()
                .enumerate()
                .map(|(c, z)| rescale.apply(c, z + bias_of(bias, c)))
                .collect()
        }),
        Op::ReduceSum { x, axis, rescale } => {
            Tensor::of(shape, |y| rescale.apply(0, along(of(x), y, *axis).iter().sum()))
        }
        Op::ReduceMax { x, axis } => Tensor::of(shape, |y| along(of(x), y, *axis).into_iter().max().unwrap()),
        Op::Gather { x, indices, axis } => Tensor::of(shape, |y| {
            let (before, rest) = y.split_at(*axis);
            let (index, after) = rest.split_at(of(indices).shape.len());
            let index = of(indices).at(index) as usize;
            of(x).at(&[before, &[index], after].concat())
        }),
        Op::GatherElements { x, indices } => Tensor::of(shape, |y| {
            let (_, before) = y.split_last().unwrap();
            of(x).at(&[before, &[of(indices).at(y) as usize]].concat())
        }),
        Op::TopK { x, k } => rows(of(x), shape, |row| descending(row)[..*k].to_vec()),
        Op::Pad { x, before, value, .. } => Tensor::of(shape, |y| {
            let at: Option<Vec<_>> = y.iter().zip(before).map(|(i, before)| i.checked_sub(*before)).collect();
            let inside = at.filter(|at| at.iter().zip(&of(x).shape).all(|(i, extent)| i < extent));
            inside.map_or(*value, |at| of(x).at(&at))
        }),
        Op::Broadcast { x, .. } => Tensor::of(shape, |y| of(x).broadcast_at(y)),
        Op::Scan(op) => scan(op, types, values),
    }
}

/// Every row of x, the elements along its last axis, to a row of the result.
fn rows(x: &Tensor, shape: &[usize], f: impl FnMut(&[i128]) -> Vec<i128>) -> Tensor {
    Tensor {
        shape: shape.to_vec(),
        data: x.data.chunks(*x.shape.last().unwrap()).flat_map(f).collect(),
    }
}

/// The elements of x along an axis that y lacks.
fn along(x: &Tensor, y: &[usize], axis: usize) -> Vec<i128> {
    let (before, after) = y.split_at(axis);
    (0..x.shape[axis])
        .map(|i| x.at(&[before, &[i], after].concat()))
        .collect()
}

/// Indices of a row by descending element; of equals the least index first.
fn descending(row: &[i128]) -> Vec<i128> {
    let mut indices: Vec<usize> = (0..row.len()).collect();
    indices.sort_by_key(|i| (-row[*i], *i));
    indices.into_iter().map(|i| i as i128).collect()
}

/// Where tap (u, v) of the window at (i, j) stands in an image, unless in its padding.
fn tap(w: &Window, [i, j]: [usize; 2], [u, v]: [i128; 2], image: &[usize]) -> Option<[usize; 2]> {
    let h = i as i128 * w.strides[0] + u * w.dilations[0] - w.padding[0];
    let w_ = j as i128 * w.strides[1] + v * w.dilations[1] - w.padding[1];
    let inside = (0..image[0] as i128).contains(&h) && (0..image[1] as i128).contains(&w_);
    inside.then_some([h as usize, w_ as usize])
}

/// The elements of x inside the window of the result's element y.
fn inside(x: &Tensor, y: &[usize], w: &Window) -> Vec<i128> {
    // Taps may be more than any loop can count, so ask of every place along an axis whether a tap falls on it.
    let along = |axis: usize| -> Vec<usize> {
        let start = y[2 + axis] as i128 * w.strides[axis] - w.padding[axis];
        let tapped = |place: &usize| {
            let offset = *place as i128 - start;
            offset >= 0 && offset % w.dilations[axis] == 0 && offset / w.dilations[axis] < w.kernel[axis]
        };
        (0..x.shape[2 + axis]).filter(tapped).collect()
    };
    let columns = along(1);
    let row = |i: usize| -> Vec<i128> { columns.iter().map(|j| x.at(&[y[0], y[1], i, *j])).collect() };
    along(0).into_iter().flat_map(row).collect()
}

fn convolution(x: &Tensor, weights: &Array, y: &[usize], g: usize, groups: usize, w: &Window) -> i128 {
    let group = x.shape[1] / groups;
    let [kh, kw] = w.kernel;
    let mut sum = 0;
    for c in 0..group {
        for u in 0..kh {
            for v in 0..kw {
                let place = ((y[1] * group + c) as i128 * kh + u) * kw + v;
                if let Some([i, j]) = tap(w, [y[2], y[3]], [u, v], &x.shape[2..]) {
                    sum += weights.data[place as usize] * x.at(&[y[0], g * group + c, i, j]);
                }
            }
        }
    }
    sum
}

/// `2^(30 - i / 256)` rounded to the nearest integer: the largest n with `2 n - 1 <= 2^(31 - i / 256)`, which is
/// `(2 n - 1)^256 <= 2^(31 * 256 - i)`. Powers are taken by squaring eight times, cut to their highest bits, between
/// two bounds that leave no doubt.
fn exp2(i: i128) -> i128 {
    let target = 31 * 256 - i;
    let (mut low, mut high) = (1, 1 << 31);
    while high - low > 1 {
        let n = (low + high) / 2;
        if to_the_256_at_most(2 * n - 1, target) {
            low = n;
        } else {
            high = n;
        }
    }
    low
}

/// Whether `n^256 <= 2^exponent`.
fn to_the_256_at_most(n: i128, exponent: i128) -> bool {
    // The power is at least least * 2^e and at most most * 2^e.
    let (mut least, mut most, mut e) = (n as u128, n as u128, 0_i128);
    for _ in 0..8 {
        (least, most, e) = (least * least, most * most, 2 * e);
        while most >> 62 != 0 {
            (least, most, e) = (least >> 1, (most >> 1) + 1, e + 1);
        }
    }
    let bits = |n: u128| 128 - i128::from(n.leading_zeros());
    // 2^(bits - 1) <= n < 2^bits
    let surely = most.is_power_of_two() && bits(most) - 1 + e <= exponent || bits(most) + e <= exponent;
    let surely_not = bits(least) - 1 + e > exponent || !least.is_power_of_two() && bits(least) - 1 + e >= exponent;
    assert!(surely != surely_not, "{n}^256 is too near 2^{exponent} to tell");
    surely
}

/// E of Softmax.
static EXP2: LazyLock<Vec<i128>> = LazyLock::new(|| (0..=256).map(exp2).collect());

fn softmax(row: &[i128], multiplier: i128, shift: i128) -> Vec<i128> {
    let largest = row.iter().max().unwrap();
    let exponentials = row.iter().map(|x| {
        let t = (((largest - x) * multiplier) >> shift).min(31 << 16);
        let (i, g) = (((t & 65535) >> 8) as usize, t & 255);
        ((EXP2[i] * (256 - g) + EXP2[i + 1] * g + 128) >> 8) >> (t >> 16)
    });
    let exponentials: Vec<_> = exponentials.collect();
    let sum: i128 = exponentials.iter().sum();
    exponentials
        .iter()
        .map(|e| ((e * (1 << 15) + sum / 2) / sum).min(32767))
        .collect()
}

/// z of LayerNorm.
fn normalised(row: &[i128], epsilon: i128, center: bool) -> Vec<i128> {
    let n = row.len() as i128;
    let s = if center { row.iter().sum() } else { 0 };
    let w = n * row.iter().map(|x| x * x).sum::<i128>() - s * s + epsilon;
    if w == 0 {
        return vec![0; row.len()];
    }
    let h = (0..=30).find(|h| (1 << 60..1 << 62).contains(&(w << (2 * h)))).unwrap();
    let q = root(w << (2 * h));
    let i = ((1 << 61) - 1) / q;
    assert!((1 << 30..1 << 31).contains(&i));
    row.iter().map(|x| shifted((n * x - s) * i, 41 - h)).collect()
}

fn ensemble(trees: &Trees, row: &[i128]) -> Vec<i128> {
    let mut sums = trees.base.clone();
    for root in &trees.roots {
        let mut child = *root;
        while child >= 0 {
            let j = child as usize;
            let left = row[trees.features[j] as usize] <= trees.thresholds[j];
            child = if left { trees.left[j] } else { trees.right[j] };
        }
        let leaf = (-1 - child) as usize;
        for e in trees.leaf_starts[leaf]..trees.leaf_starts[leaf + 1] {
            sums[trees.targets[e as usize] as usize] += trees.weights[e as usize];
        }
    }
    sums.iter()
        .enumerate()
        .map(|(t, sum)| trees.rescale.apply(t, *sum))
        .collect()
}

fn scan(scan: &Scan, outer_types: &[Type], outer: &[Tensor]) -> Tensor {
    let types = infer::body_types(scan, outer_types);
    let mut states: Vec<Tensor> = scan.states.iter().map(|state| outer[state.initial].clone()).collect();
    let mut collected = vec![vec![]; scan.collected.len()];
    for t in 0..scan.count {
        let mut values = states;
        for scanned in &scan.scanned {
            let x = &outer[scanned.x];
            let t = if scanned.reverse { scan.count - 1 - t } else { t };
            let mut shape = x.shape.clone();
            shape.remove(scanned.axis);
            values.push(Tensor::of(&shape, |y| {
                let (before, after) = y.split_at(scanned.axis);
                x.at(&[before, &[t], after].concat())
            }));
        }
        values.extend(scan.captured.iter().map(|x| outer[*x].clone()));
        run(&scan.body, &types, &mut values);
        for (collected, value) in collected.iter_mut().zip(&scan.collected) {
            collected.extend_from_slice(&values[*value].data);
        }
        states = scan.states.iter().map(|state| values[state.result].clone()).collect();
    }
    let kept = scan
        .states
        .iter()
        .zip(states)
        .filter(|(state, _)| state.kept)
        .flat_map(|(_, last)| last.data);
    let data: Vec<i128> = kept.chain(collected.into_iter().flatten()).collect();
    Tensor {
        shape: vec![data.len()],
        data,
    }
}
