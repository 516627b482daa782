//! Operations that move elements.

use super::*;

impl Walker<'_> {
    /// An operation that only moves elements of its first operand, the others being constant: found out by running it
    /// on the elements' numbers.
    pub(super) fn moved(&mut self, node: &TypedNode, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let x = self.operand(node, 0)?;
        let from = self.net.shape(x).to_vec();
        let count: usize = from.iter().product();
        let advice = "Resize works with mode nearest and whole factors on the last two axes, Slice with constants";
        // f32 holds whole numbers up to here.
        if count > 1 << 24 {
            return self.unsupported(node, "its operand is too large", advice);
        }
        let numbers: Vec<f32> = (0..count).map(|i| i as f32).collect();
        let mut operands = guarded(|| Ok(tvec!(Tensor::from_shape(&from, &numbers)?.into_tvalue())))?;
        for outlet in &node.inputs[1..] {
            match self.constant(*outlet)? {
                Some(tensor) => operands.push(tensor.into_tvalue()),
                None => return self.unsupported(node, "its parameters are computed", advice),
            }
        }
        let outputs = guarded(|| node.op.eval_out_of_plan(operands))?.unwrap_or_default();
        let sources = match outputs.first() {
            Some(t) => guarded(|| elements(t))?,
            None => return self.unsupported(node, "it cannot be run by itself", advice),
        };
        let Some(maps) = per_axis(&sources, &from, &shape) else {
            return self.unsupported(node, "it computes new values or mixes axes", advice);
        };
        let mut y = x;
        let mut factors = vec![1; from.len()];
        for (axis, map) in maps.iter().enumerate() {
            let factor = map.len() / from[axis].max(1);
            if map.len() == from[axis] * factor && map.iter().enumerate().all(|(i, s)| *s == i / factor) {
                factors[axis] = factor;
            } else {
                y = self.pick(name, y, axis, map);
            }
        }
        self.upsample(node, y, &factors, shape)
    }

    /// The elements at some indices along an axis.
    fn pick(&mut self, name: &str, x: Id, axis: usize, indices: &[usize]) -> Id {
        let step = match indices {
            [first, second, ..] => second.wrapping_sub(*first),
            _ => 1,
        };
        let even = indices.windows(2).all(|w| w[1] > w[0] && w[1] - w[0] == step);
        if even {
            return self.slice(name, x, axis, indices[0], step, indices.len());
        }
        let xs: Vec<Id> = indices.iter().map(|i| self.slice(name, x, axis, *i, 1, 1)).collect();
        let mut shape = self.net.shape(x).to_vec();
        shape[axis] = indices.len();
        self.net.push(name, Kind::Concat { xs, axis }, shape)
    }

    pub(super) fn slice(&mut self, name: &str, x: Id, axis: usize, start: usize, step: usize, length: usize) -> Id {
        let mut shape = self.net.shape(x).to_vec();
        if shape[axis] == length && start == 0 && step == 1 {
            return x;
        }
        shape[axis] = length;
        let kind = Kind::Slice {
            x,
            axis,
            start,
            step,
            length,
        };
        self.net.push(name, kind, shape)
    }

    pub(super) fn repeat(&mut self, name: &str, x: Id, axis: usize, times: usize) -> Id {
        let mut shape = self.net.shape(x).to_vec();
        shape[axis] *= times;
        // One element repeated is one element enlarged.
        let rank = shape.len();
        if shape[axis] == times && axis + 2 >= rank && rank >= 2 {
            let factors = if axis + 1 == rank { [1, times] } else { [times, 1] };
            return self.net.push(name, Kind::Upsample { x, factors }, shape);
        }
        let xs = vec![x; times];
        self.net.push(name, Kind::Concat { xs, axis }, shape)
    }

    pub(super) fn upsample(&mut self, node: &TypedNode, x: Id, scales: &[usize], shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let from = self.net.shape(x).to_vec();
        let rank = from.len();
        let enlarged: Vec<usize> = (0..rank).filter(|a| scales.get(*a).is_some_and(|s| *s != 1)).collect();
        if enlarged.is_empty() {
            return Ok(x);
        }
        if enlarged.iter().any(|a| a + 2 < rank) {
            return self.unsupported(
                node,
                format!("it enlarges axes {enlarged:?}"),
                "only the last two axes (height, width) can be enlarged",
            );
        }
        let (x, factors) = if rank == 1 {
            (self.net.reshape(name, x, vec![1, from[0]]), [1, scales[0]])
        } else {
            (x, [scales[rank - 2], scales[rank - 1]])
        };
        let mut out = self.net.shape(x).to_vec();
        let last = out.len() - 1;
        out[last - 1] *= factors[0];
        out[last] *= factors[1];
        let y = self.net.push(name, Kind::Upsample { x, factors }, out);
        Ok(self.net.reshape(name, y, shape))
    }

    pub(super) fn pad(&mut self, node: &TypedNode, op: &Pad) -> Result<Id> {
        let name = node.name.as_str();
        let mut x = self.operand(node, 0)?;
        let value = match &op.mode {
            PadMode::Constant(v) => guarded(|| v.cast_to_scalar::<f64>())?,
            other => {
                return self.unsupported(node, format!("it pads by {other:?}"), "pad with constants");
            }
        };
        for (axis, (before, after)) in op.pads.iter().enumerate() {
            let mut xs = vec![x];
            let mut shape = self.net.shape(x).to_vec();
            for (extent, front) in [(*before, true), (*after, false)] {
                if extent == 0 {
                    continue;
                }
                let mut edge = self.net.shape(x).to_vec();
                edge[axis] = extent;
                let size = edge.iter().product();
                let id = self.net.push(name, Kind::Const(vec![value; size]), edge);
                xs.insert(if front { 0 } else { xs.len() }, id);
                shape[axis] += extent;
            }
            if xs.len() > 1 {
                x = self.net.push(name, Kind::Concat { xs, axis }, shape);
            }
        }
        Ok(x)
    }

    /// With constant indices: slices side by side.
    pub(super) fn gather(&mut self, node: &TypedNode, op: &Gather, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let (x, indices) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let Some(indices) = self.net.constant(indices).map(<[f64]>::to_vec) else {
            return self.unsupported(
                node,
                "its indices are computed",
                "gather by constants; for an embedding give the one-hot vector and use MatMul",
            );
        };
        let extent = self.net.shape(x)[op.axis] as i64;
        let indices: Vec<usize> = indices
            .iter()
            .map(|i| (*i as i64).rem_euclid(extent) as usize)
            .collect();
        let y = self.pick(name, x, op.axis, &indices);
        Ok(self.net.reshape(name, y, shape))
    }
}

/// For every axis, which source index each output index reads; none if elements are not picked axis by axis.
fn per_axis(sources: &[f64], from: &[usize], to: &[usize]) -> Option<Vec<Vec<usize>>> {
    let count: usize = from.iter().product();
    if from.len() != to.len() || sources.len() != to.iter().product::<usize>() {
        return None;
    }
    let whole = |v: f64| (v == libm::trunc(v) && v >= 0.0 && v < count as f64).then_some(v as usize);
    let strides = |shape: &[usize]| {
        let mut strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i] * shape[i];
        }
        strides
    };
    let (source_strides, strides) = (strides(from), strides(to));
    let index = |flat: usize, strides: &[usize], shape: &[usize], axis: usize| flat / strides[axis] % shape[axis];
    let mut maps = Vec::new();
    for axis in 0..to.len() {
        let along = (0..to[axis]).map(|i| Some(index(whole(sources[i * strides[axis]])?, &source_strides, from, axis)));
        maps.push(along.collect::<Option<Vec<usize>>>()?);
    }
    let agrees = |flat: usize| {
        let want: usize = (0..to.len())
            .map(|axis| maps[axis][index(flat, &strides, to, axis)] * source_strides[axis])
            .sum();
        whole(sources[flat]) == Some(want)
    };
    (0..sources.len()).all(agrees).then_some(maps)
}
