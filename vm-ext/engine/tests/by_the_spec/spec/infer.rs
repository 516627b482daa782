//! `numeric.md` and the rules of `ops.md`: which graphs are models, and the shape and range of every value.

use super::{quotient, root, rounded_root, rule, Graph, Kind, Limits, Op, Refused, Rescale, Scan, Trees, Type, Window};

type Result<T> = std::result::Result<T, Refused>;
type Range = (i128, i128);

/// The type of every value of a valid graph.
pub fn graph(graph: &Graph, limits: &Limits) -> Result<Vec<Type>> {
    let in_bodies = graph
        .nodes
        .iter()
        .map(|op| if let Op::Scan(scan) = op { scan.body.len() } else { 0 });
    let count = graph.nodes.len() + in_bodies.sum::<usize>();
    rule(count <= limits.max_nodes, "the limit of nodes")?;
    rule(graph.inputs.len() <= limits.max_ports, "the limit of inputs")?;
    rule(graph.outputs.len() <= limits.max_ports, "the limit of outputs")?;
    rule(!graph.outputs.is_empty(), "at least one output")?;

    let name = |names: &[&str], name: &str| {
        rule(!name.is_empty(), "names have a byte or more")?;
        rule(name.len() <= limits.max_name_bytes, "the limit of a name's bytes")?;
        rule(!names.contains(&name), "no two of one name")
    };
    let mut types = vec![];
    let mut names = vec![];
    for input in &graph.inputs {
        name(&names, &input.name)?;
        names.push(&*input.name);
        rule((-32..=30).contains(&input.fraction_bits), "fraction bits")?;
        types.push(checked(input.ty.clone(), limits)?);
    }
    nodes(&graph.nodes, &mut types, limits)?;
    let labels: usize = graph.outputs.iter().map(|output| output.labels.len()).sum();
    rule(labels <= limits.max_labels, "the limit of labels")?;
    names.clear();
    for output in &graph.outputs {
        name(&names, &output.name)?;
        names.push(&*output.name);
        rule((-32..=30).contains(&output.fraction_bits), "fraction bits")?;
        let value = types.get(output.value).ok_or("an output's value exists")?;
        let labels = output.labels.len() as i128;
        rule(
            labels == 0 || (value.low >= 0 && value.high < labels),
            "a label for every value",
        )?;
        let lengths = 1..=limits.max_name_bytes;
        rule(
            output.labels.iter().all(|label| lengths.contains(&label.len())),
            "the bytes of a label",
        )?;
    }
    Ok(types)
}

fn nodes(nodes: &[Op], types: &mut Vec<Type>, limits: &Limits) -> Result<()> {
    for op in nodes {
        rule(
            op.operands().iter().all(|x| *x < types.len()),
            "operands are earlier values",
        )?;
        let mut ty = checked(node(op, types, limits)?, limits)?;
        ty.row_sum = row_sum(op, &ty, types);
        types.push(ty);
    }
    Ok(())
}

/// The rules of any value.
fn checked(ty: Type, limits: &Limits) -> Result<Type> {
    rule(ty.low <= ty.high, "low <= high")?;
    rule(ty.shape.len() <= limits.max_rank.min(32), "the limit of axes")?;
    rule(ty.shape.iter().all(|extent| *extent >= 1), "every extent is at least 1")?;
    let elements = ty
        .shape
        .iter()
        .fold(1, |n: u128, extent| n.saturating_mul(*extent as u128));
    rule(
        elements <= u128::from(limits.max_elements).min((1 << 31) - 1),
        "the limit of elements",
    )?;
    Ok(ty)
}

/// The rules of `rescale`, and the range of what it makes of accumulators in `acc`, one range a channel.
fn rescaled(rescale: &Rescale, acc: &[Range]) -> Result<Range> {
    let count = rescale.multipliers.len();
    rule(
        count == 1 || count == acc.len(),
        "a multiplier for all channels or one each",
    )?;
    rule(rescale.shifts.len() == count, "as many shifts as multipliers")?;
    for shift in &rescale.shifts {
        checked_shift(*shift)?;
    }
    rule(rescale.low <= rescale.high, "low <= high")?;
    let mut ends = vec![];
    for (c, (low, high)) in acc.iter().enumerate() {
        for end in [low, high] {
            let product = end * super::of_channel(&rescale.multipliers, c);
            rule(product.abs() < 1 << 62, "accumulator times multiplier < 2^62")?;
            ends.push(rescale.apply(c, *end));
        }
    }
    Ok(hull(&ends))
}

fn checked_shift(shift: i128) -> Result<()> {
    rule((0..=62).contains(&shift), "a shift is 0 to 62")
}

fn hull(numbers: &[i128]) -> Range {
    (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap())
}

fn magnitude((low, high): Range) -> i128 {
    low.abs().max(high.abs())
}

fn product(a: Range, b: Range) -> Range {
    hull(&[a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1])
}

fn with_zero((low, high): Range) -> Range {
    (low.min(0), high.max(0))
}

fn broadcast(shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap();
    let mut y = vec![1; rank];
    for shape in shapes {
        let skipped = rank - shape.len();
        for (y, extent) in y[skipped..].iter_mut().zip(*shape) {
            rule(*y == 1 || *extent == 1 || *y == *extent, "extents are equal or 1")?;
            if *y == 1 {
                *y = *extent;
            }
        }
    }
    Ok(y)
}

/// The extents of windows over an image.
fn windows(w: &Window, image: [usize; 2]) -> Result<[usize; 2]> {
    let mut extents = [0; 2];
    for axis in 0..2 {
        let (kernel, stride, dilation) = (w.kernel[axis], w.strides[axis], w.dilations[axis]);
        rule(
            kernel >= 1 && stride >= 1 && dilation >= 1,
            "a window's numbers are at least 1",
        )?;
        let reach = (kernel - 1) * dilation;
        let padding = [w.padding[axis], w.padding[axis + 2]];
        rule(
            padding.iter().all(|p| *p <= reach),
            "padding is less than the dilated kernel",
        )?;
        let padded = image[axis] as i128 + padding[0] + padding[1];
        rule(padded > reach, "the padded image holds the dilated kernel")?;
        extents[axis] = ((padded - (reach + 1)) / stride + 1) as usize;
    }
    Ok(extents)
}

fn sums_of_weights(weights: &[i128], x: Range, bias: i128) -> Result<Range> {
    let l1: i128 = weights.iter().map(|w| w.abs()).sum();
    rule(l1 * magnitude(x) + bias.abs() < 1 << 46, "a sum of products < 2^46")?;
    let ends = |x: Range| {
        weights
            .iter()
            .map(|w| if *w > 0 { w * x.1 } else { w * x.0 })
            .sum::<i128>()
            + bias
    };
    Ok((ends((x.1, x.0)), ends(x)))
}

fn axis_of(x: &Type, axis: usize) -> Result<usize> {
    x.shape.get(axis).copied().ok_or("the axis exists".into())
}

fn last_of(x: &Type) -> Result<(&[usize], usize)> {
    x.shape
        .split_last()
        .map(|(n, before)| (before, *n))
        .ok_or("a last axis".into())
}

/// The entries of `list`, of which there are none, or `counts` of them.
fn bias_of(list: &[i128], counts: &[usize], c: usize) -> Result<i128> {
    rule(
        list.is_empty() || counts.contains(&list.len()),
        "the length of the bias",
    )?;
    Ok(if list.is_empty() { 0 } else { super::of_channel(list, c) })
}

fn node(op: &Op, types: &[Type], limits: &Limits) -> Result<Type> {
    let of = |x: &usize| &types[*x];
    let range = |x: &usize| (types[*x].low, types[*x].high);
    let typed = |shape: &[usize], (low, high): Range| {
        Ok(Type {
            row_sum: None,
            shape: shape.to_vec(),
            low,
            high,
        })
    };
    match op {
        Op::Constant { shape, data } => {
            rule(data.bits <= 32, "constants have at most 32 bits")?;
            let elements = shape
                .iter()
                .fold(1, |n: u128, extent| n.saturating_mul(*extent as u128));
            rule(data.data.len() as u128 == elements, "as many elements as the shape has")?;
            rule(elements > 0, "every extent is at least 1")?;
            typed(shape, hull(&data.data))
        }
        Op::MatMul {
            x,
            weights,
            bias,
            rescale,
        } => {
            rule(weights.bits <= 16, "weights of 8 or 16 bits")?;
            let (before, k) = last_of(of(x))?;
            rule(
                !weights.data.is_empty() && weights.data.len().is_multiple_of(k),
                "weights [N, K]",
            )?;
            let n = weights.data.len() / k;
            let rows = weights.data.chunks(k).enumerate();
            let acc = rows.map(|(c, row)| sums_of_weights(row, range(x), bias_of(bias, &[n], c)?));
            let acc = acc.collect::<Result<Vec<_>>>()?;
            typed(&[before, &[n]].concat(), rescaled(rescale, &acc)?)
        }
        Op::Conv2d {
            x,
            weights,
            channels,
            bias,
            window,
            groups,
            rescale,
        } => {
            rule(weights.bits <= 16, "weights of 8 or 16 bits")?;
            let [b, c, h, w] = of(x).shape[..] else {
                return Err("four axes".into());
            };
            let [out_h, out_w] = windows(window, [h, w])?;
            rule(*groups >= 1 && *channels >= 1, "at least one group and channel")?;
            rule(
                c as i128 % groups == 0 && channels % groups == 0,
                "groups divide the channels",
            )?;
            let group = c as i128 / groups;
            let p = window.padding;
            let padded = group * (h as i128 + p[0] + p[2]) * (w as i128 + p[1] + p[3]);
            rule(
                padded <= i128::from(limits.max_elements).min((1 << 31) - 1),
                "the limit of elements for a padded group",
            )?;
            let taps = group * window.kernel[0] * window.kernel[1];
            rule(
                weights.data.len() as i128 == channels * taps,
                "weights [O, C / groups, KH, KW]",
            )?;
            let o = *channels as usize;
            let x = if p == [0; 4] { range(x) } else { with_zero(range(x)) };
            let rows = weights.data.chunks(taps as usize).enumerate();
            let acc = rows.map(|(c, row)| sums_of_weights(row, x, bias_of(bias, &[o], c)?));
            let acc = acc.collect::<Result<Vec<_>>>()?;
            typed(&[b, o, out_h, out_w], rescaled(rescale, &acc)?)
        }
        Op::Rescale { x, axis, bias, rescale } => {
            let single = bias.len() <= 1 && rescale.multipliers.len() == 1 && rescale.shifts.len() == 1;
            let channels = if single { 1 } else { axis_of(of(x), *axis)? };
            let count = rescale.multipliers.len();
            rule(
                count == 1 || count == channels,
                "a multiplier for all channels or one each",
            )?;
            let (low, high) = range(x);
            let mut acc = vec![];
            for c in 0..channels {
                let bias = bias_of(bias, &[1, channels], c)?;
                acc.push((low + bias, high + bias));
                rule(magnitude(acc[c]) < 1 << 46, "an element and its bias < 2^46")?;
            }
            typed(&of(x).shape, rescaled(rescale, &acc)?)
        }
        Op::Add {
            a,
            b,
            multipliers,
            shift,
            low,
            high,
        } => {
            let shape = broadcast(&[&of(a).shape, &of(b).shape])?;
            let [m, n] = multipliers;
            let bound = magnitude(range(a)) * m.abs() + magnitude(range(b)) * n.abs();
            rule(bound < 1 << 62, "products of a sum < 2^62")?;
            let (a, b) = (product(range(a), (*m, *m)), product(range(b), (*n, *n)));
            typed(
                &shape,
                rescaled(&Rescale::one(1, *shift, *low, *high), &[(a.0 + b.0, a.1 + b.1)])?,
            )
        }
        Op::Mul {
            a,
            b,
            multiplier,
            shift,
            low,
            high,
        } => {
            let shape = broadcast(&[&of(a).shape, &of(b).shape])?;
            let bound = magnitude(range(a)) * magnitude(range(b)) * multiplier.abs();
            rule(bound < 1 << 62, "a product < 2^62")?;
            let acc = product(range(a), range(b));
            typed(
                &shape,
                rescaled(&Rescale::one(*multiplier, *shift, *low, *high), &[acc])?,
            )
        }
        Op::Clamp { x, low, high } => {
            rule(low <= high, "low <= high")?;
            let x_range = range(x);
            typed(
                &of(x).shape,
                (x_range.0.clamp(*low, *high), x_range.1.clamp(*low, *high)),
            )
        }
        Op::Table { x, table } => {
            let (low, high) = range(x);
            let entries = match table.len() {
                256 => {
                    rule(low >= -128 && high <= 127, "the operand lies within the table")?;
                    low + 128..=high + 128
                }
                513 => {
                    rule(low >= -32768 && high <= 32767, "the operand lies within the table")?;
                    (low + 32768) >> 7..=((high + 32768) >> 7) + 1
                }
                _ => return Err("a table has 256 or 513 entries".into()),
            };
            typed(
                &of(x).shape,
                hull(&entries.map(|i| table[i as usize]).collect::<Vec<_>>()),
            )
        }
        Op::Softmax { x, multiplier, shift } => {
            last_of(of(x))?;
            rule(*multiplier >= 1, "a multiplier of 1 to 2^31 - 1")?;
            checked_shift(*shift)?;
            typed(&of(x).shape, (0, 32767))
        }
        Op::MaxPool2d { x, window } | Op::AvgPool2d { x, window, .. } => {
            let [b, c, h, w] = of(x).shape[..] else {
                return Err("four axes".into());
            };
            let [out_h, out_w] = windows(window, [h, w])?;
            for (axis, extent) in [h, w].into_iter().enumerate() {
                let padded = window.padding[axis] > 0 || window.padding[axis + 2] > 0;
                rule(
                    !padded || window.dilations[axis] <= extent as i128,
                    "every window holds an element",
                )?;
            }
            let counts = matches!(
                op,
                Op::AvgPool2d {
                    count_padding: true,
                    ..
                }
            );
            let zero = counts && window.padding != [0; 4];
            typed(&[b, c, out_h, out_w], if zero { with_zero(range(x)) } else { range(x) })
        }
        Op::Upsample2d { x, factors } => {
            let mut shape = of(x).shape.clone();
            let rank = shape.len();
            rule(
                rank >= 2 && factors.iter().all(|factor| *factor >= 1),
                "two axes and factors of at least 1",
            )?;
            shape[rank - 2] *= factors[0];
            shape[rank - 1] *= factors[1];
            typed(&shape, range(x))
        }
        Op::Reshape { x, shape } => {
            let elements = shape
                .iter()
                .fold(1, |n: u128, extent| n.saturating_mul(*extent as u128));
            rule(
                elements == of(x).shape.iter().product::<usize>() as u128,
                "as many elements as before",
            )?;
            typed(shape, range(x))
        }
        Op::Transpose { x, axes } => {
            let shape = &of(x).shape;
            let permutation = axes.len() == shape.len() && (0..axes.len()).all(|axis| axes.contains(&axis));
            rule(permutation, "axes are a permutation")?;
            typed(&axes.iter().map(|axis| shape[*axis]).collect::<Vec<_>>(), range(x))
        }
        Op::Concat { xs, axis } => {
            rule(xs.len() <= limits.max_nodes, "the limit of operands")?;
            let first = xs.first().ok_or("at least one operand")?;
            let mut shape = of(first).shape.clone();
            axis_of(of(first), *axis)?;
            shape[*axis] = 0;
            for x in xs {
                let mut other = of(x).shape.clone();
                let extent = axis_of(of(x), *axis)?;
                other[*axis] = shape[*axis];
                rule(other == shape, "other extents are equal")?;
                shape[*axis] += extent;
            }
            typed(
                &shape,
                hull(&xs.iter().flat_map(|x| [of(x).low, of(x).high]).collect::<Vec<_>>()),
            )
        }
        Op::Slice {
            x,
            axis,
            start,
            step,
            length,
        } => {
            let mut shape = of(x).shape.clone();
            let extent = axis_of(of(x), *axis)? as u128;
            rule(*step >= 1 && *length >= 1, "step and length are at least 1")?;
            let last = *start as u128 + (*length as u128 - 1) * *step as u128;
            rule(last < extent, "the last index exists")?;
            shape[*axis] = *length;
            typed(&shape, range(x))
        }
        Op::ArgMax { x } => {
            let (before, n) = last_of(of(x))?;
            typed(before, (0, n as i128 - 1))
        }
        Op::TreeEnsemble(trees) => ensemble(trees, of(&trees.x)),
        Op::BatchMatMul {
            a,
            b,
            transposed,
            rescale,
        } => {
            for x in [a, b] {
                let (low, high) = range(x);
                rule(low >= -32768 && high <= 32767, "operands of 16 bits")?;
            }
            let [before_a @ .., m, k] = &of(a).shape[..] else {
                return Err("two axes".into());
            };
            let [before_b @ .., k_b, n] = &of(b).shape[..] else {
                return Err("two axes".into());
            };
            let (k_b, n) = if *transposed { (n, k_b) } else { (k_b, n) };
            rule(k == k_b, "both have K")?;
            let (low, high) = product(range(a), range(b));
            let bound = bound_of_batch(of(a), of(b), *transposed);
            rule(bound < 1 << 46, "a sum of products < 2^46")?;
            let k = *k as i128;
            let acc = ((k * low).clamp(-bound, bound), (k * high).clamp(-bound, bound));
            let shape = [&broadcast(&[before_a, before_b])?[..], &[*m, *n]].concat();
            typed(&shape, rescaled(rescale, &[acc])?)
        }
        Op::Min { a, b } | Op::Max { a, b } => {
            let shape = broadcast(&[&of(a).shape, &of(b).shape])?;
            let (a, b) = (range(a), range(b));
            let less = matches!(op, Op::Min { .. });
            typed(
                &shape,
                if less {
                    (a.0.min(b.0), a.1.min(b.1))
                } else {
                    (a.0.max(b.0), a.1.max(b.1))
                },
            )
        }
        Op::Compare { a, b, kind } => {
            let shape = broadcast(&[&of(a).shape, &of(b).shape])?;
            let (a, b) = (range(a), range(b));
            let (always, never) = match kind {
                Kind::Less => (a.1 < b.0, a.0 >= b.1),
                Kind::LessEqual => (a.1 <= b.0, a.0 > b.1),
                Kind::Equal => (a.0 == b.1 && a.1 == b.0, a.0 > b.1 || a.1 < b.0),
            };
            typed(&shape, (always.into(), (!never).into()))
        }
        Op::Select { condition, a, b } => {
            let shape = broadcast(&[&of(condition).shape, &of(a).shape, &of(b).shape])?;
            let (a, b) = (range(a), range(b));
            typed(
                &shape,
                match range(condition) {
                    (0, 0) => b,
                    (low, high) if low > 0 || high < 0 => a,
                    _ => hull(&[a.0, a.1, b.0, b.1]),
                },
            )
        }
        Op::Div { a, b, shift, low, high } => {
            let shape = broadcast(&[&of(a).shape, &of(b).shape])?;
            checked_shift(*shift)?;
            rule(low <= high, "low <= high")?;
            rule(magnitude(range(a)) << shift < 1 << 62, "a dividend < 2^62")?;
            let (a, b) = (range(a), range(b));
            let mut divisors = vec![];
            divisors.extend((b.0 < 0).then_some([b.0, b.1.min(-1)]));
            divisors.extend((b.1 > 0).then_some([b.0.max(1), b.1]));
            // By 0, what lies between the ends of a is decided by its sign.
            divisors.extend((b.0 <= 0 && b.1 >= 0).then_some([0, 0]));
            let mut dividends = vec![a.0, a.1];
            dividends.extend((a.0 <= 0 && a.1 >= 0).then_some(0));
            let corners = divisors
                .iter()
                .flatten()
                .flat_map(|b| dividends.iter().map(move |a| (*a, *b)));
            typed(
                &shape,
                hull(
                    &corners
                        .map(|(a, b)| quotient(a, b, *shift, *low, *high))
                        .collect::<Vec<_>>(),
                ),
            )
        }
        Op::Sqrt { x, shift, low, high } => {
            checked_shift(*shift)?;
            rule(low <= high, "low <= high")?;
            rule(of(x).high.max(0) << shift < 1 << 62, "a radicand < 2^62")?;
            let end = |x| rounded_root(x, *shift).clamp(*low, *high);
            typed(&of(x).shape, (end(of(x).low), end(of(x).high)))
        }
        Op::LayerNorm {
            x,
            epsilon,
            center,
            bias,
            rescale,
        } => {
            let (_, columns) = last_of(of(x))?;
            let n = columns as i128;
            rule(n <= 1 << 16, "a row of at most 2^16")?;
            let (low, high) = range(x);
            let d = n * if *center { high - low } else { magnitude(range(x)) };
            rule(d < 1 << 31, "D < 2^31")?;
            let w = if *center {
                (n / 2) * ((n + 1) / 2) * (high - low) * (high - low)
            } else {
                d * d
            };
            rule(epsilon + w < 1 << 62, "W < 2^62")?;
            let most = root((if *center { n - 1 } else { n }) << 40) + 2;
            let z = (
                if !center && low >= 0 { 0 } else { -most },
                if !center && high <= 0 { 0 } else { most },
            );
            let mut acc = vec![];
            for c in 0..columns {
                let bias = bias_of(bias, &[1, columns], c)?;
                acc.push((z.0 + bias, z.1 + bias));
                rule(magnitude(acc[c]) < 1 << 46, "z and its bias < 2^46")?;
            }
            typed(&of(x).shape, rescaled(rescale, &acc)?)
        }
        Op::ReduceSum { x, axis, rescale } => {
            let extent = axis_of(of(x), *axis)? as i128;
            let mut shape = of(x).shape.clone();
            shape.remove(*axis);
            rule(extent * magnitude(range(x)) < 1 << 46, "a sum < 2^46")?;
            typed(&shape, rescaled(rescale, &[(extent * of(x).low, extent * of(x).high)])?)
        }
        Op::ReduceMax { x, axis } => {
            axis_of(of(x), *axis)?;
            let mut shape = of(x).shape.clone();
            shape.remove(*axis);
            typed(&shape, range(x))
        }
        Op::Gather { x, indices, axis } => {
            indices_within(of(indices), axis_of(of(x), *axis)?)?;
            let (before, after) = of(x).shape.split_at(*axis);
            typed(&[before, &of(indices).shape, &after[1..]].concat(), range(x))
        }
        Op::GatherElements { x, indices } => {
            let (before, n) = last_of(of(x))?;
            indices_within(of(indices), n)?;
            rule(last_of(of(indices))?.0 == before, "equal before the last axis")?;
            typed(&of(indices).shape, range(x))
        }
        Op::TopK { x, k } => {
            let (before, n) = last_of(of(x))?;
            rule((1..=n).contains(k), "1 <= k <= N")?;
            typed(&[before, &[*k]].concat(), (0, n as i128 - 1))
        }
        Op::Pad {
            x,
            before,
            after,
            value,
        } => {
            let rank = of(x).shape.len();
            rule(before.len() == rank && after.len() == rank, "a count for every axis")?;
            let shape: Vec<_> = (0..rank)
                .map(|axis| of(x).shape[axis] + before[axis] + after[axis])
                .collect();
            let (low, high) = range(x);
            let padded = shape != of(x).shape;
            typed(
                &shape,
                if padded {
                    hull(&[low, high, *value])
                } else {
                    (low, high)
                },
            )
        }
        Op::Broadcast { x, shape } => {
            rule(
                broadcast(&[&of(x).shape, shape])? == *shape,
                "x broadcasts to the shape",
            )?;
            typed(shape, range(x))
        }
        Op::Scan(op) => scan(op, types, limits),
    }
}

/// What the magnitudes along the last axis of a value add up to at most, where that is known.
fn row_sum(op: &Op, ty: &Type, types: &[Type]) -> Option<i128> {
    let x = &types[*op.operands().first()?];
    let handed_on = match op {
        Op::Softmax { .. } => return Some((1 << 15) + *x.shape.last()? as i128 / 2),
        Op::Reshape { .. } | Op::Broadcast { .. } => ty.shape.last() == x.shape.last(),
        Op::Transpose { axes, .. } => axes.last().is_some_and(|last| last + 1 == axes.len()),
        Op::Slice { .. } => true,
        Op::Clamp { low, high, .. } => *low <= 0 && *high >= 0,
        _ => false,
    };
    if handed_on {
        x.row_sum
    } else {
        None
    }
}

/// L of BatchMatMul.
pub fn bound_of_batch(a: &Type, b: &Type, transposed: bool) -> i128 {
    let most = |x: &Type| magnitude((x.low, x.high));
    let k = *a.shape.last().unwrap() as i128;
    let mut bounds = vec![k * most(a) * most(b)];
    bounds.extend(a.row_sum.map(|sum| sum * most(b)));
    if transposed {
        bounds.extend(b.row_sum.map(|sum| sum * most(a)));
    }
    *bounds.iter().min().unwrap()
}

fn indices_within(indices: &Type, extent: usize) -> Result<()> {
    rule(
        indices.low >= 0 && indices.high < extent as i128,
        "indices lie within the axis",
    )
}

fn ensemble(trees: &Trees, x: &Type) -> Result<Type> {
    let (before, features) = last_of(x)?;
    let nodes = trees.features.len();
    let lists = [&trees.thresholds, &trees.left, &trees.right];
    rule(
        lists.iter().all(|list| list.len() == nodes),
        "lists per node are equally long",
    )?;
    rule(
        trees.features.iter().all(|f| (0..features as i128).contains(f)),
        "features exist",
    )?;

    let entries = trees.targets.len();
    rule(trees.weights.len() == entries, "as many targets as weights")?;
    let starts = &trees.leaf_starts;
    rule(
        starts.first() == Some(&0) && starts.last() == Some(&(entries as i128)),
        "leaves from 0 to the end",
    )?;
    rule(starts.is_sorted(), "leaf_starts ascends")?;
    let leaves = starts.len() - 1;
    let targets = trees.base.len();
    rule(
        trees.targets.iter().all(|t| (0..targets as i128).contains(t)),
        "targets exist",
    )?;

    // Who names what.
    let mut named = trees.roots.clone();
    for node in 0..nodes {
        for child in [trees.left[node], trees.right[node]] {
            rule(child < 0 || child > node as i128, "a child comes after its parent")?;
            named.push(child);
        }
    }
    named.sort();
    let all: Vec<i128> = (-(leaves as i128)..nodes as i128).collect();
    rule(named == all, "every tree node and every leaf is named once")?;

    // What the leaves of each tree add to each target.
    let leaf = |leaf: usize| starts[leaf] as usize..starts[leaf + 1] as usize;
    let mut acc: Vec<Range> = trees.base.iter().map(|base| (*base, *base)).collect();
    let mut bound: Vec<i128> = trees.base.iter().map(|base| base.abs()).collect();
    for l in 0..leaves {
        rule(
            leaf(l).all(|e| e == leaf(l).start || trees.targets[e - 1] < trees.targets[e]),
            "targets ascend",
        )?;
    }
    for root in &trees.roots {
        let mut below = vec![*root];
        let mut added: Vec<Vec<i128>> = vec![vec![]; targets];
        while let Some(child) = below.pop() {
            if child >= 0 {
                below.extend([trees.left[child as usize], trees.right[child as usize]]);
                continue;
            }
            let entries = leaf((-1 - child) as usize);
            for (t, added) in added.iter_mut().enumerate() {
                let here = entries.clone().filter(|e| trees.targets[*e] == t as i128);
                added.push(here.map(|e| trees.weights[e]).sum());
            }
        }
        for (t, added) in added.iter().enumerate() {
            let (low, high) = hull(added);
            acc[t] = (acc[t].0 + low, acc[t].1 + high);
            bound[t] += magnitude((low, high));
        }
    }
    rule(bound.iter().all(|bound| *bound < 1 << 46), "a sum of leaves < 2^46")?;
    rule(targets >= 1, "at least one target")?;
    let (low, high) = rescaled(&trees.rescale, &acc)?;
    Ok(Type {
        row_sum: None,
        shape: [before, &[targets]].concat(),
        low,
        high,
    })
}

fn scan(scan: &Scan, outer: &[Type], limits: &Limits) -> Result<Type> {
    let operands = scan.states.len() + scan.scanned.len() + scan.captured.len();
    rule(operands <= limits.max_nodes, "the limit of operands")?;
    rule(
        scan.collected.len() <= limits.max_nodes,
        "the limit of collected values",
    )?;
    rule(scan.count >= 1, "at least one time")?;
    let types = body(scan, outer, limits)?;
    let of = |value: &usize| types.get(*value).ok_or("a value of the body exists");
    let mut elements = 0;
    let mut ends = vec![];
    for (state, ty) in scan.states.iter().zip(&types) {
        let result = of(&state.result)?;
        rule(result.shape == ty.shape, "a state keeps its shape")?;
        for range in [&outer[state.initial], result] {
            rule(
                state.low <= range.low && range.high <= state.high,
                "a state stays in its range",
            )?;
        }
        if state.kept {
            elements += ty.shape.iter().product::<usize>();
            ends.extend([result.low, result.high]);
        }
    }
    for value in &scan.collected {
        let each: usize = of(value)?.shape.iter().product();
        elements = scan.count.saturating_mul(each).saturating_add(elements);
        ends.extend([of(value)?.low, of(value)?.high]);
    }
    rule(elements >= 1, "at least one element")?;
    let (low, high) = hull(&ends);
    Ok(Type {
        row_sum: None,
        shape: vec![elements],
        low,
        high,
    })
}

/// Limits that nothing reaches.
const NO_LIMITS: Limits = Limits {
    max_nodes: usize::MAX,
    max_rank: usize::MAX,
    max_elements: u64::MAX,
    max_peak_bytes: u64::MAX,
    max_ports: usize::MAX,
    max_name_bytes: usize::MAX,
    max_labels: usize::MAX,
    max_header_entries: usize::MAX,
    max_header_bytes: usize::MAX,
};

/// The types of the values of the body of a Scan that passed every rule.
pub fn body_types(scan: &Scan, outer: &[Type]) -> Vec<Type> {
    body(scan, outer, &NO_LIMITS).expect("it passed every rule")
}

fn body(scan: &Scan, outer: &[Type], limits: &Limits) -> Result<Vec<Type>> {
    let mut types = vec![];
    for state in &scan.states {
        types.push(checked(
            Type {
                low: state.low,
                high: state.high,
                row_sum: None,
                ..outer[state.initial].clone()
            },
            limits,
        )?);
    }
    for scanned in &scan.scanned {
        let mut ty = outer[scanned.x].clone();
        rule(
            axis_of(&ty, scanned.axis)? == scan.count,
            "the axis has an element for each time",
        )?;
        ty.shape.remove(scanned.axis);
        ty.row_sum = None;
        types.push(ty);
    }
    let captured = scan.captured.iter().map(|x| Type {
        row_sum: None,
        ..outer[*x].clone()
    });
    types.extend(captured);
    nodes(&scan.body, &mut types, limits)?;
    Ok(types)
}
