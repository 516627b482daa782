//! Operations that move elements, and those that only make shapes and constants.

use super::import::{one, several, Importer};
use super::op::{axes, axis, malformed, no, room, Op, Outcome, Tensor, Value};
use super::proto::DataType;
use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, Id, Kind};

/// A value repeated more often than so is broadcast, not joined to itself.
const MAX_JOINED: usize = 64;

impl<'a> Importer<'a> {
    pub(super) fn movement(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "Constant" => return self.constant_node(op),
            "Concat" => {
                let all = op.tensors()?;
                let Some(first) = all.first() else {
                    return malformed("it joins nothing");
                };
                let axis = axis(op.int("axis").unwrap_or(1), self.build.rank(first.id))?;
                let id = self.build.concat(all.iter().map(|t| t.id).collect(), axis)?;
                return one(id, first.data_type);
            }
            "Range" => {
                let mut parts = [0.0; 3];
                for (i, part) in parts.iter_mut().enumerate() {
                    let t = op.tensor(i)?;
                    *part = self.build.known(t.id, "the range")?.first().copied().unwrap_or(0.0);
                }
                let [start, limit, delta] = parts;
                let count = libm::ceil((limit - start) / delta);
                if count.is_nan() || count >= super::tensor::MAX_ELEMENTS as f64 {
                    return no("its range is too long", "shorten it");
                }
                let count = count.max(0.0) as usize;
                let values = (0..count).map(|i| start + i as f64 * delta).collect();
                let t = self.constant(values, &[count], op.tensor(0)?.data_type)?;
                return one(t.id, t.data_type);
            }
            "ConstantOfShape" => {
                let shape = self.extents(op, 0)?;
                let value = op.tensor_attribute("value").first().copied().unwrap_or(0.0);
                let given = op.attribute("value").and_then(|a| a.t.as_ref());
                let data_type = given.map_or(DataType::Float, |t| {
                    DataType::from_code(t.data_type.into()).unwrap_or(DataType::Float)
                });
                let t = self.constant(vec![value; room(&shape)?], &shape, data_type)?;
                return one(t.id, t.data_type);
            }
            "Shape"
            | "Size"
            | "Transpose"
            | "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Expand"
            | "Tile"
            | "Slice"
            | "DynamicSlice"
            | "Split"
            | "Pad"
            | "Gather"
            | "GatherElements"
            | "GatherND"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "EyeLike"
            | "Trilu"
            | "ReverseSequence"
            | "CenterCropPad"
            | "ScatterElements"
            | "Scatter"
            | "ScatterND"
            | "ArrayFeatureExtractor" => {}
            _ => return Ok(None),
        }
        let t = match op.maybe(0) {
            Some(Value::Text(text)) if matches!(op.kind(), "Shape" | "Size") => {
                let shape = text.shape.clone();
                return self.shape_of(op, &shape);
            }
            _ => op.tensor(0)?,
        };
        let x = t.id;
        let shape = self.build.shape(x);
        let rank = shape.len();
        let id = match op.kind() {
            "Shape" | "Size" => return self.shape_of(op, &shape),
            "Transpose" => {
                let order = match op.ints("perm") {
                    Some(perm) => axes(&perm, rank)?,
                    None => (0..rank).rev().collect(),
                };
                self.build.transpose(x, &order)?
            }
            "Reshape" => {
                let to = match op.ints("shape").filter(|_| op.opset < 5) {
                    Some(to) => to,
                    None => self.build.known_ints(op.tensor(1)?.id, "its shape")?,
                };
                let to = reshaped(&shape, &to, op.flag("allowzero", false))?;
                self.build.reshape(x, &to)?
            }
            "Flatten" => {
                let at = op.int("axis").unwrap_or(1);
                let at = if at == rank as i64 {
                    rank
                } else {
                    axis(at, rank.max(1))?
                };
                let (rows, columns) = shape.split_at(at.min(rank));
                self.build
                    .reshape(x, &[rows.iter().product(), columns.iter().product()])?
            }
            "Squeeze" => {
                let list = match self.axes_of(op, 1, 13)? {
                    Some(list) => axes(&list, rank)?,
                    None => (0..rank).filter(|a| shape[*a] == 1).collect(),
                };
                if list.iter().any(|a| shape[*a] != 1) {
                    return malformed(format!("it drops an axis of {shape:?} that is longer than 1"));
                }
                self.build.squeeze(x, &list)?
            }
            "Unsqueeze" => {
                let list = self.axes_of(op, 1, 13)?.unwrap_or_default();
                let list = axes(&list, rank + list.len())?;
                self.build.unsqueeze(x, &list)?
            }
            "Expand" => {
                let to = self.extents(op, 1)?;
                let Some(to) = broadcast(&shape, &to) else {
                    return malformed(format!("{shape:?} does not expand to {to:?}"));
                };
                self.build.broadcast(x, &to)?
            }
            "Tile" => {
                let times = self.extents(op, 1)?;
                room(&times)?;
                if times.len() != rank {
                    return malformed(format!("it repeats {} axes of {rank}", times.len()));
                }
                let mut y = x;
                for (a, n) in times.iter().enumerate() {
                    y = self.repeat(y, a, *n)?;
                }
                y
            }
            "Slice" => self.slice_node(op, t)?,
            "Split" => return self.split(op, t),
            "Pad" => self.pad(op, t)?,
            "Gather" | "ArrayFeatureExtractor" => {
                let indices = op.tensor(1)?.id;
                let a = if op.kind() == "Gather" {
                    axis(op.int("axis").unwrap_or(0), rank)?
                } else {
                    if rank == 0 {
                        return malformed("it extracts features of a scalar");
                    }
                    rank - 1
                };
                let flat = if op.kind() == "Gather" {
                    indices
                } else {
                    let n = self.build.size(indices);
                    self.build.reshape(indices, &[n])?
                };
                return self.gather(op, t, flat, a);
            }
            "GatherElements" => {
                let a = axis(op.int("axis").unwrap_or(0), rank)?;
                self.gather_elements(x, op.tensor(1)?.id, a)?
            }
            "GatherND" => self.gather_nd(op, x)?,
            "DepthToSpace" | "SpaceToDepth" => {
                let b = op.int("blocksize").and_then(|b| usize::try_from(b).ok()).unwrap_or(0);
                // Its square is a number of channels.
                if b == 0 || b > 1 << 13 {
                    return malformed(format!("its blocks are {b} long"));
                }
                let &[n, ch, h, w] = &shape[..] else {
                    return malformed("its operand is no image");
                };
                if op.kind() == "DepthToSpace" {
                    if ch % (b * b) != 0 {
                        return malformed(format!("{ch} channels do not split into blocks of {b}"));
                    }
                    let (split, order) = if op.text("mode") == "CRD" {
                        ([n, ch / (b * b), b, b, h, w], [0, 1, 4, 2, 5, 3])
                    } else {
                        ([n, b, b, ch / (b * b), h, w], [0, 3, 4, 1, 5, 2])
                    };
                    let y = self.build.reshape(x, &split)?;
                    let y = self.build.transpose(y, &order)?;
                    self.build.reshape(y, &[n, ch / (b * b), h * b, w * b])?
                } else {
                    if h % b != 0 || w % b != 0 {
                        return malformed(format!("{h} x {w} does not split into blocks of {b}"));
                    }
                    let y = self.build.reshape(x, &[n, ch, h / b, b, w / b, b])?;
                    let y = self.build.transpose(y, &[0, 3, 5, 1, 2, 4])?;
                    self.build.reshape(y, &[n, ch * b * b, h / b, w / b])?
                }
            }
            "EyeLike" => {
                let &[rows, columns] = &shape[..] else {
                    return malformed("its operand is no matrix");
                };
                let k = op.int("k").unwrap_or(0);
                let data_type = op.int("dtype").and_then(DataType::from_code).unwrap_or(t.data_type);
                let one_at = |i: usize, j: usize| f64::from(u8::from(j as i64 - i as i64 == k));
                let values = (0..rows)
                    .flat_map(|i| (0..columns).map(move |j| one_at(i, j)))
                    .collect();
                let t = self.constant(values, &shape, data_type)?;
                return one(t.id, t.data_type);
            }
            "Trilu" => {
                let k = match op.optional(1)? {
                    Some(k) => self
                        .build
                        .known_ints(k.id, "its diagonal")?
                        .first()
                        .copied()
                        .unwrap_or(0),
                    None => 0,
                };
                if rank < 2 {
                    return malformed("its operand is no matrix");
                }
                let upper = op.flag("upper", true);
                let matrix = [shape[rank - 2], shape[rank - 1]];
                let keep = |i: usize, j: usize| {
                    let d = j as i64 - i as i64;
                    f64::from(u8::from(if upper { d >= k } else { d <= k }))
                };
                let mask = (0..matrix[0]).flat_map(|i| (0..matrix[1]).map(move |j| keep(i, j)));
                let mask = self.build.constant(mask.collect(), &matrix)?;
                let zero = self.build.scalar(0.0)?;
                self.build.select(mask, x, zero)?
            }
            "ReverseSequence" => {
                let lengths = self.build.known_ints(op.tensor(1)?.id, "the lengths")?;
                let time = axis(op.int("time_axis").unwrap_or(0), rank)?;
                let batch = axis(op.int("batch_axis").unwrap_or(1), rank)?;
                if lengths.len() != shape[batch] || time == batch {
                    return malformed("its lengths or axes do not fit its operand");
                }
                let mut rows = Vec::new();
                for (b, n) in lengths.iter().enumerate().take(shape[batch]) {
                    let n = usize::try_from(*n).unwrap_or(0).min(shape[time]);
                    let order: Vec<usize> = (0..shape[time]).map(|i| if i < n { n - 1 - i } else { i }).collect();
                    let row = self.build.slice(x, batch, b, 1, 1)?;
                    rows.push(self.build.take(row, time, &order)?);
                }
                self.build.concat(rows, batch)?
            }
            "CenterCropPad" => {
                let to = self.extents(op, 1)?;
                let list = match op.ints("axes") {
                    Some(list) => axes(&list, rank)?,
                    None => (0..rank).collect(),
                };
                let mut y = x;
                for (a, n) in list.into_iter().zip(to) {
                    let from = shape[a];
                    y = if n < from {
                        self.build.slice(y, a, (from - n) / 2, 1, n)?
                    } else {
                        let before = (n - from) / 2;
                        self.build.pad_axis(y, a, before, n - from - before, 0.0)?
                    };
                }
                y
            }
            "ScatterElements" | "Scatter" => self.scatter_elements(op, x)?,
            "ScatterND" => self.scatter_nd(op, x)?,
            _ => return Ok(None),
        };
        one(id, t.data_type)
    }

    fn constant_node(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let (values, shape, data_type): (Vec<f64>, Vec<usize>, DataType) =
            if let Some(t) = op.attribute("value").and_then(|a| a.t.as_ref()) {
                return Ok(Some(vec![self.stored(t)?]));
            } else if let Some(a) = op.attribute("value_float") {
                (vec![f64::from(a.f)], vec![], DataType::Float)
            } else if let Some(a) = op.attribute("value_floats") {
                let values: Vec<f64> = a.floats.iter().map(|f| f64::from(*f)).collect();
                (values.clone(), vec![values.len()], DataType::Float)
            } else if let Some(a) = op.attribute("value_int") {
                (vec![a.i as f64], vec![], DataType::Int64)
            } else if let Some(a) = op.attribute("value_ints") {
                let values: Vec<f64> = a.ints.iter().map(|i| *i as f64).collect();
                (values.clone(), vec![values.len()], DataType::Int64)
            } else if op.attribute("value_string").is_some() || op.attribute("value_strings").is_some() {
                let list = match op.attribute("value_strings") {
                    Some(_) => op.texts("value_strings"),
                    None => vec![op.text("value_string")],
                };
                let shape = if op.attribute("value_strings").is_some() {
                    vec![list.len()]
                } else {
                    vec![]
                };
                return self.text(shape, list).map(|text| Some(vec![text]));
            } else if let Some(t) = op.attribute("sparse_value").and_then(|a| a.sparse_tensor.as_ref()) {
                match super::tensor::dense(t) {
                    Ok((shape, values, data_type)) => (values, shape, data_type),
                    Err(reason) => return malformed(reason),
                }
            } else {
                return malformed("it holds no value");
            };
        let t = self.constant(values, &shape, data_type)?;
        one(t.id, t.data_type)
    }

    fn shape_of(&mut self, op: &Op<'a>, shape: &[usize]) -> Outcome<Option<Vec<Value>>> {
        let t = if op.kind() == "Size" {
            let size = room(shape)? as f64;
            self.constant(vec![size], &[], DataType::Int64)?
        } else {
            let rank = shape.len() as i64;
            let at = |i: i64| (if i < 0 { i + rank } else { i }).clamp(0, rank) as usize;
            let start = at(op.int("start").unwrap_or(0));
            let end = at(op.int("end").unwrap_or(rank)).max(start);
            self.int_list(&shape[start..end])?
        };
        one(t.id, t.data_type)
    }

    /// Extents that an operand gives.
    pub(super) fn extents(&mut self, op: &Op<'a>, i: usize) -> Outcome<Vec<usize>> {
        let list = self.build.known_ints(op.tensor(i)?.id, "a shape")?;
        let extents: Option<Vec<usize>> = list.iter().map(|n| usize::try_from(*n).ok()).collect();
        match extents {
            Some(extents) => Ok(extents),
            None => malformed(format!("{list:?} is no shape")),
        }
    }

    /// Axes: an attribute in older operator sets, an operand from `since` on.
    pub(super) fn axes_of(&mut self, op: &Op<'a>, i: usize, since: i64) -> Outcome<Option<Vec<i64>>> {
        if op.opset < since {
            return Ok(op.ints("axes"));
        }
        match op.optional(i)? {
            Some(t) => Ok(Some(self.build.known_ints(t.id, "its axes")?)),
            None => Ok(op.ints("axes")),
        }
    }

    /// An axis `times` times one after the other.
    pub(super) fn repeat(&mut self, x: Id, axis: usize, times: usize) -> Outcome<Id> {
        let mut shape = self.build.shape(x);
        if times == 1 {
            return Ok(x);
        }
        room(&[&shape[..], &[times]].concat())?;
        if shape[axis] == 1 {
            shape[axis] = times;
            return self.build.broadcast(x, &shape);
        }
        if times == 0 {
            return self.build.slice(x, axis, 0, 1, 0);
        }
        if times > MAX_JOINED {
            let column = self.build.unsqueeze(x, &[axis])?;
            let mut wide = self.build.shape(column);
            wide[axis] = times;
            let wide = self.build.broadcast(column, &wide)?;
            shape[axis] *= times;
            return self.build.reshape(wide, &shape);
        }
        self.build.concat(vec![x; times], axis)
    }

    fn slice_node(&mut self, op: &Op<'a>, t: Tensor) -> Outcome<Id> {
        let shape = self.build.shape(t.id);
        let rank = shape.len();
        let (starts, ends, list, steps) = if op.opset < 10 {
            (
                op.ints("starts").unwrap_or_default(),
                op.ints("ends").unwrap_or_default(),
                op.ints("axes"),
                None,
            )
        } else {
            let starts = self.build.known_ints(op.tensor(1)?.id, "where it starts")?;
            let ends = self.build.known_ints(op.tensor(2)?.id, "where it ends")?;
            let list = match op.optional(3)? {
                Some(t) => Some(self.build.known_ints(t.id, "its axes")?),
                None => None,
            };
            let steps = match op.optional(4)? {
                Some(t) => Some(self.build.known_ints(t.id, "its steps")?),
                None => None,
            };
            (starts, ends, list, steps)
        };
        let list = match list {
            Some(list) => axes(&list, rank)?,
            None => (0..starts.len()).collect(),
        };
        let mut y = t.id;
        for (i, a) in list.into_iter().enumerate() {
            let (Some(start), Some(end)) = (starts.get(i), ends.get(i)) else {
                return malformed("its starts, ends and axes differ in number");
            };
            let step = steps.as_ref().and_then(|s| s.get(i)).copied().unwrap_or(1);
            let Some(n) = shape.get(a).map(|n| *n as i64) else {
                return malformed(format!("it cuts axis {a} of {rank}"));
            };
            if step == 0 {
                return malformed("it steps by 0");
            }
            let at = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
            self.build.fold(n as u64)?;
            let indices: Vec<usize> = if n == 0 {
                vec![]
            } else if step > 0 {
                let (start, end) = (at(*start).clamp(0, n), at(*end).clamp(0, n));
                (start..end)
                    .step_by(usize::try_from(step).unwrap_or(usize::MAX))
                    .map(|i| i as usize)
                    .collect()
            } else {
                // A start before the first element is the first, as the specification says, not nothing, as in NumPy.
                let (start, end) = (at(*start).clamp(0, n - 1), at(*end).clamp(-1, n - 1));
                let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
                (end + 1..=start).rev().step_by(step).map(|i| i as usize).collect()
            };
            y = self.build.take(y, a, &indices)?;
        }
        Ok(y)
    }

    fn split(&mut self, op: &Op<'a>, t: Tensor) -> Outcome<Option<Vec<Value>>> {
        let shape = self.build.shape(t.id);
        let a = axis(op.int("axis").unwrap_or(0), shape.len())?;
        let given = match op.ints("split").filter(|_| op.opset < 13) {
            Some(split) => Some(split),
            None => match op.optional(1)? {
                Some(split) => Some(self.build.known_ints(split.id, "how it splits")?),
                None => None,
            },
        };
        let count = op.int("num_outputs").unwrap_or(op.node.output.len() as i64).max(1) as usize;
        room(&[count])?;
        let lengths: Vec<usize> = match given {
            Some(list) => match list.iter().map(|n| usize::try_from(*n).ok()).collect() {
                Some(lengths) => lengths,
                None => return malformed(format!("it splits into parts of {list:?}")),
            },
            None => {
                let part = shape[a].div_ceil(count);
                (0..count)
                    .map(|i| part.min(shape[a].saturating_sub(i * part)))
                    .collect()
            }
        };
        if lengths.iter().try_fold(0usize, |n, l| n.checked_add(*l)) != Some(shape[a]) {
            return malformed(format!(
                "{lengths:?} is not all of axis {a}, which is {} long",
                shape[a]
            ));
        }
        let mut start = 0;
        let mut parts = Vec::new();
        for n in lengths {
            parts.push((self.build.slice(t.id, a, start, 1, n)?, t.data_type));
            start += n;
        }
        several(parts)
    }

    fn pad(&mut self, op: &Op<'a>, t: Tensor) -> Outcome<Id> {
        let shape = self.build.shape(t.id);
        let rank = shape.len();
        // Attributes in older operator sets; com.microsoft has operands from the first on.
        let operands = op.opset >= 11 || op.node.domain == "com.microsoft";
        let given = match op.ints("pads").or_else(|| op.ints("paddings")).filter(|_| !operands) {
            Some(pads) => pads,
            None => self.build.known_ints(op.tensor(1)?.id, "its padding")?,
        };
        let value = match op.optional(2)? {
            Some(v) if operands => self
                .build
                .known(v.id, "the value to pad with")?
                .first()
                .copied()
                .unwrap_or(0.0),
            _ => op.float("value", 0.0),
        };
        let list = match op.optional(3)? {
            Some(list) => axes(&self.build.known_ints(list.id, "its axes")?, rank)?,
            None => (0..rank).collect(),
        };
        if given.len() != 2 * list.len() {
            return malformed(format!("{} pads are given for {} axes", given.len(), list.len()));
        }
        let mut before = vec![0i64; rank];
        let mut after = vec![0i64; rank];
        for (i, a) in list.iter().enumerate() {
            before[*a] = given[i];
            after[*a] = given[i + list.len()];
        }
        let mut y = t.id;
        // Negative padding cuts.
        for a in 0..rank {
            let cut = |n: i64| if n < 0 { n.unsigned_abs() as usize } else { 0 };
            let (front, back) = (cut(before[a]), cut(after[a]));
            if front > 0 || back > 0 {
                let Some(n) = shape[a].checked_sub(front).and_then(|n| n.checked_sub(back)) else {
                    return malformed("it cuts more than there is");
                };
                y = self.build.slice(y, a, front, 1, n)?;
            }
        }
        let grow = |list: &[i64]| {
            list.iter()
                .map(|n| usize::try_from(*n).unwrap_or(0))
                .collect::<Vec<usize>>()
        };
        let (before, after) = (grow(&before), grow(&after));
        let mode = op.text("mode");
        if matches!(mode.as_str(), "" | "constant") {
            return self.build.pad(y, before, after, value);
        }
        for a in 0..rank {
            if before[a] + after[a] == 0 {
                continue;
            }
            let n = self.build.shape(y)[a] as i64;
            if n == 0 || before[a].max(after[a]) > super::tensor::MAX_ELEMENTS {
                return malformed("its padding does not fit");
            }
            self.build.fold((before[a] + after[a] + n as usize) as u64)?;
            let indices: Vec<usize> = (-(before[a] as i64)..n + after[a] as i64)
                .map(|i| match mode.as_str() {
                    "edge" => i.clamp(0, n - 1),
                    "wrap" => i.rem_euclid(n),
                    _ if n == 1 => 0,
                    _ => {
                        let period = 2 * (n - 1);
                        let at = i.rem_euclid(period);
                        at.min(period - at)
                    }
                } as usize)
                .collect();
            y = self.build.take(y, a, &indices)?;
        }
        Ok(y)
    }

    /// Indices counted from the start and within bounds.
    pub(super) fn bounded(&mut self, indices: Id, extent: usize) -> Outcome<Id> {
        let n = extent as f64;
        if extent == 0 && self.build.size(indices) > 0 {
            return malformed("it reads an axis of no elements");
        }
        if let Some(values) = self.build.net.constant(indices) {
            if values.iter().any(|i| *i < -n || *i >= n) {
                return malformed(format!("it reads beyond {extent} elements"));
            }
        }
        let negative = Expr::binary(Binary::Less, Expr::X, Expr::Const(0.0));
        let from_start = Expr::Select(Box::new([negative, Expr::affine(1.0, n), Expr::X]));
        let f = Expr::clamp(0.0, (n - 1.0).max(0.0)).of(&from_start);
        let id = self.build.map(indices, f)?;
        self.build.net.nodes[id].of = crate::net::Elements::Integer(0.0, (n - 1.0).max(0.0));
        Ok(id)
    }

    fn gather(&mut self, op: &Op<'a>, t: Tensor, indices: Id, a: usize) -> Outcome<Option<Vec<Value>>> {
        let shape = self.build.shape(t.id);
        let at = self.build.shape(indices);
        // A table of class labels read at the index that an ArgMax gave.
        if op.kind() == "ArrayFeatureExtractor" {
            if let (Some(values), Some(index)) = (self.build.net.constant(t.id), self.class_index(indices)) {
                let counted = values.iter().enumerate().all(|(i, v)| *v == i as f64);
                let labels: Vec<String> = values.iter().map(|v| v.to_string()).collect();
                if !counted {
                    self.name_classes(index, labels)?;
                }
                return one(index, t.data_type);
            }
        }
        let bounded = self.bounded(indices, shape[a])?;
        let out: Vec<usize> = [&shape[..a], &at, &shape[a + 1..]].concat();
        let known = self.build.net.constant(bounded).map(<[f64]>::to_vec);
        let id = match known {
            Some(list) => {
                let list: Vec<usize> = list.iter().map(|i| *i as usize).collect();
                let y = self.build.take(t.id, a, &list)?;
                self.build.reshape(y, &out)?
            }
            None => {
                let kind = Kind::Gather {
                    x: t.id,
                    indices: bounded,
                    axis: a,
                };
                self.build.push(kind, out.clone())?
            }
        };
        let id = if op.kind() == "ArrayFeatureExtractor" && shape.len() == 1 {
            self.build.reshape(id, &[1, out.iter().product()])?
        } else {
            id
        };
        one(id, t.data_type)
    }

    /// The ArgMax that a value is the result of.
    fn class_index(&self, id: Id) -> Option<Id> {
        let mut at = id;
        while let Kind::Reshape { x } = self.build.net.nodes[at].kind {
            at = x;
        }
        matches!(self.build.net.nodes[at].kind, Kind::ArgMax { .. }).then_some(id)
    }

    pub(super) fn gather_elements(&mut self, x: Id, indices: Id, a: usize) -> Outcome<Id> {
        let (shape, at) = (self.build.shape(x), self.build.shape(indices));
        if shape.len() != at.len() {
            return malformed("its indices have another number of axes than its data");
        }
        let indices = self.bounded(indices, shape[a])?;
        // Leading extents of the data may be longer than those of the indices.
        let mut x = x;
        for b in (0..shape.len()).filter(|b| *b != a) {
            if at[b] > shape[b] {
                return malformed("its indices are longer than its data");
            }
            x = self.build.slice(x, b, 0, 1, at[b])?;
        }
        let (x, back) = self.build.last_axis(x, a)?;
        let (indices, _) = self.build.last_axis(indices, a)?;
        let out = self.build.shape(indices);
        let y = self.build.push(Kind::GatherElements { x, indices }, out)?;
        self.build.transpose(y, &back)
    }

    fn gather_nd(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let indices = op.tensor(1)?.id;
        let (shape, at) = (self.build.shape(x), self.build.shape(indices));
        let batch = op.int("batch_dims").unwrap_or(0).max(0) as usize;
        let Some(depth) = at.last().copied() else {
            return malformed("its indices are a scalar");
        };
        if batch >= at.len() || batch + depth > shape.len() || at[..batch] != shape[..batch] {
            return malformed("its indices do not fit its data");
        }
        // One flat index into [batch, looked up, rest].
        let rows: usize = shape[..batch].iter().product();
        let looked: usize = shape[batch..batch + depth].iter().product();
        let rest: usize = shape[batch + depth..].iter().product();
        let flat = self.flat_indices(indices, &shape[batch..batch + depth])?;
        let per: usize = at[batch..at.len() - 1].iter().product();
        let flat = self.build.reshape(flat, &[rows, per])?;
        let offsets = (0..rows).map(|r| (r * looked) as f64).collect();
        let offsets = self.build.constant(offsets, &[rows, 1])?;
        let flat = self.build.add(flat, offsets)?;
        let flat = self.build.reshape(flat, &[rows * per])?;
        let data = self.build.reshape(x, &[rows * looked, rest])?;
        let flat = self.bounded(flat, rows * looked)?;
        let y = match self.build.net.constant(flat).map(<[f64]>::to_vec) {
            Some(list) => {
                let list: Vec<usize> = list.iter().map(|i| *i as usize).collect();
                self.build.take(data, 0, &list)?
            }
            None => {
                let kind = Kind::Gather {
                    x: data,
                    indices: flat,
                    axis: 0,
                };
                self.build.push(kind, vec![rows * per, rest])?
            }
        };
        let out = [&at[..at.len() - 1], &shape[batch + depth..]].concat();
        self.build.reshape(y, &out)
    }

    /// Tuples of indices (along the last axis) as indices into the flattened axes.
    fn flat_indices(&mut self, indices: Id, extents: &[usize]) -> Outcome<Id> {
        let last = self.build.rank(indices) - 1;
        let mut flat = None;
        for (i, extent) in extents.iter().enumerate() {
            let part = self.build.slice(indices, last, i, 1, 1)?;
            let part = self.bounded(part, *extent)?;
            let inner: usize = extents[i + 1..].iter().product();
            let part = if inner == 1 {
                part
            } else {
                self.build.line(part, inner as f64, 0.0)?
            };
            flat = Some(match flat {
                None => part,
                Some(sum) => self.build.add(sum, part)?,
            });
        }
        match flat {
            Some(flat) => self.build.squeeze(flat, &[last]),
            None => {
                let shape = self.build.shape(indices);
                let count = shape[..last].iter().product();
                self.build.constant(vec![0.0; count], &shape[..last])
            }
        }
    }

    /// Updates written one after the other: `(where in the flattened data, the update as [n, ..])`.
    ///
    /// With stored indices the result is a Gather over data and updates, whatever the reduction: places that several
    /// updates meet are combined first.
    fn scatter(&mut self, op: &Op<'a>, x: Id, places: &[usize], updates: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let count: usize = shape.iter().product();
        let reduction = op.text("reduction");
        let f = match reduction.as_str() {
            "" | "none" => None,
            "add" => Some(Binary::Add),
            "mul" => Some(Binary::Mul),
            "min" => Some(Binary::Min),
            "max" => Some(Binary::Max),
            other => return malformed(format!("it reduces by {other}")),
        };
        let n = places.len();
        let mut data = self.build.reshape(x, &[count])?;
        let updates = self.build.reshape(updates, &[n])?;
        self.build.fold((n + count) as u64)?;
        if places.iter().any(|place| *place >= count) {
            return malformed("it writes beyond the data");
        }
        // Rounds in which no place is written twice.
        let mut rounds: Vec<Vec<usize>> = vec![];
        if f.is_none() {
            // Of several updates of one place the last stays.
            let mut writer = vec![0; count];
            places.iter().enumerate().for_each(|(i, place)| writer[*place] = i);
            rounds.push((0..n).filter(|i| writer[places[*i]] == *i).collect());
            rounds.retain(|round| !round.is_empty());
        } else {
            let mut round_of = vec![0usize; count];
            for (i, place) in places.iter().enumerate() {
                let round = &mut round_of[*place];
                if *round == rounds.len() {
                    rounds.push(vec![]);
                }
                rounds[*round].push(i);
                *round += 1;
            }
        }
        for round in rounds {
            let list: Vec<usize> = round.clone();
            let mut new = self.build.take(updates, 0, &list)?;
            let at: Vec<usize> = round.iter().map(|i| places[*i]).collect();
            if let Some(f) = f {
                let old = self.build.take(data, 0, &at)?;
                new = self.build.binary(f, old, new)?;
            }
            let both = self.build.concat(vec![data, new], 0)?;
            let mut source: Vec<usize> = (0..count).collect();
            at.iter().enumerate().for_each(|(j, place)| source[*place] = count + j);
            data = self.build.take(both, 0, &source)?;
        }
        self.build.reshape(data, &shape)
    }

    fn scatter_elements(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let a = axis(op.int("axis").unwrap_or(0), shape.len())?;
        let (indices, updates) = (op.tensor(1)?.id, op.tensor(2)?.id);
        let at = self.build.shape(indices);
        if at.len() != shape.len() || self.build.shape(updates) != at {
            return malformed("its indices and updates differ in shape");
        }
        if (0..shape.len()).any(|b| b != a && at[b] > shape[b]) {
            return malformed("its indices are longer than its data");
        }
        let list = self.build.known(indices, "where it writes")?;
        let mut places = Vec::with_capacity(list.len());
        for (i, index) in list.iter().enumerate() {
            let mut rest = i;
            let mut place = 0;
            let mut stride = 1;
            for b in (0..shape.len()).rev() {
                let own = rest % at[b];
                rest /= at[b];
                let along = if b == a { place_of(*index, shape[a])? } else { own };
                place += along * stride;
                stride *= shape[b];
            }
            places.push(place);
        }
        self.scatter(op, x, &places, updates)
    }

    fn scatter_nd(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let (indices, updates) = (op.tensor(1)?.id, op.tensor(2)?.id);
        let at = self.build.shape(indices);
        let depth = at.last().copied().unwrap_or(0);
        if depth == 0 || depth > shape.len() {
            return malformed("its indices do not fit its data");
        }
        let rest: usize = shape[depth..].iter().product();
        let list = self.build.known(indices, "where it writes")?;
        let tuples = list.len() / depth;
        if tuples.checked_mul(rest) != Some(self.build.size(updates)) {
            return malformed("its indices and updates differ in number");
        }
        let mut places = Vec::with_capacity(tuples * rest);
        for tuple in list.chunks(depth) {
            let flat = tuple
                .iter()
                .zip(&shape)
                .try_fold(0, |flat, (i, n)| place_of(*i, *n).map(|place| flat * n + place))?;
            places.extend((0..rest).map(|r| flat * rest + r));
        }
        self.scatter(op, x, &places, updates)
    }
}

/// An index along an axis of `extent` elements, counted from the end where it is negative.
fn place_of(index: f64, extent: usize) -> Outcome<usize> {
    let n = extent as f64;
    if index >= -n && index < n {
        return Ok(if index < 0.0 { index + n } else { index } as usize);
    }
    malformed(format!("it writes at {index} of {extent} elements"))
}

/// The shape that a Reshape asks for: 0 keeps an extent, -1 is what is left.
fn reshaped(from: &[usize], to: &[i64], allow_zero: bool) -> Outcome<Vec<usize>> {
    let size: usize = from.iter().product();
    if to.len() > super::tensor::MAX_RANK {
        return malformed(format!("its result has {} axes", to.len()));
    }
    let mut shape = Vec::with_capacity(to.len());
    let mut open = None;
    for (i, n) in to.iter().enumerate() {
        shape.push(match *n {
            0 if !allow_zero => match from.get(i) {
                Some(n) => *n,
                None => return malformed("it keeps an extent that there is not"),
            },
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            n if n >= 0 => n as usize,
            _ => return malformed(format!("{to:?} is no shape")),
        });
    }
    let known = shape.iter().try_fold(1usize, |n, e| n.checked_mul(*e));
    if let (Some(i), Some(known)) = (open, known) {
        shape[i] = size.checked_div(known).unwrap_or(0);
    }
    if super::tensor::count(&shape) != Some(size) {
        return no(
            format!("{from:?} does not fit {to:?} with batch 1"),
            "keep the batch axis open (-1)",
        );
    }
    Ok(shape)
}

/// The nearest whole number, ties to even.
pub(super) fn rounded() -> Expr {
    Expr::unary(Unary::RoundEven, Expr::X)
}
