//! Normalisations by mean and variance.

use super::import::{one, several, Importer};
use super::op::{axes, malformed, no, room, Op, Outcome, Value};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{Id, Kind};

impl<'a> Importer<'a> {
    pub(super) fn normalisations(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "BatchNormalization" => self.batch_norm(op),
            "InstanceNormalization" => {
                let t = op.tensor(0)?;
                let groups = self.build.shape(t.id).get(1).copied().unwrap_or(1);
                let y = self.grouped(op, t.id, groups)?;
                one(y, t.data_type)
            }
            "GroupNormalization" => {
                let t = op.tensor(0)?;
                let groups = usize::try_from(op.int("num_groups").unwrap_or(1)).unwrap_or(1);
                let y = self.grouped(op, t.id, groups)?;
                one(y, t.data_type)
            }
            "LayerNormalization" | "SimplifiedLayerNormalization" | "RMSNormalization" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let a = self.axis_of(op, -1, rank)?;
                let center = op.kind() == "LayerNormalization";
                let epsilon = op.float("epsilon", 1e-5);
                let bias = op.optional(2)?.filter(|_| center);
                let y = self.layer_norm(t.id, a, op.tensor(1)?.id, bias.map(|b| b.id), epsilon, center)?;
                let mut outputs = vec![(y, t.data_type)];
                if op.wants(1) || op.wants(2) {
                    let over: Vec<usize> = (a..rank).collect();
                    let (mean, variance) = self.moments(t.id, &over)?;
                    let root = self.build.line(variance, 1.0, epsilon)?;
                    let inverse = self.build.map(root, Expr::unary(Unary::Rsqrt, Expr::X))?;
                    outputs.extend([(mean, t.data_type), (inverse, t.data_type)]);
                }
                several(outputs)
            }
            "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" | "EmbedLayerNormalization"
                if op.kind() != "EmbedLayerNormalization" =>
            {
                let (x, skip) = (op.tensor(0)?, op.tensor(1)?);
                let center = op.kind() == "SkipLayerNormalization";
                let mut sum = self.build.add(x.id, skip.id)?;
                let (beta, bias) = if center {
                    (op.optional(3)?, op.optional(4)?)
                } else {
                    (None, op.optional(3)?)
                };
                if let Some(bias) = bias {
                    sum = self.build.add(sum, bias.id)?;
                }
                let Some(last) = self.build.rank(sum).checked_sub(1) else {
                    return malformed("its operand is a scalar");
                };
                let epsilon = op.float("epsilon", 1e-5);
                let y = self.layer_norm(sum, last, op.tensor(2)?.id, beta.map(|b| b.id), epsilon, center)?;
                // Outputs 1 and 2, for training, are not computed; 3 is the sum.
                several([
                    (y, x.data_type),
                    (sum, x.data_type),
                    (sum, x.data_type),
                    (sum, x.data_type),
                ])
            }
            "MeanVarianceNormalization" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let over = match op.ints("axes") {
                    Some(list) => axes(&list, rank)?,
                    None => [0, 2, 3].into_iter().filter(|a| *a < rank).collect(),
                };
                let (mean, variance) = self.moments(t.id, &over)?;
                let y = self.standardised(t.id, mean, variance, 0.0)?;
                one(y, t.data_type)
            }
            "LRN" => {
                let t = op.tensor(0)?;
                one(self.local_response(op, t.id)?, t.data_type)
            }
            "LpNormalization" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let a = self.axis_of(op, -1, rank)?;
                let p = op.int("p").unwrap_or(2);
                if !(1..=2).contains(&p) {
                    return malformed(format!("its norm is of order {p}"));
                }
                let y = if p == 1 {
                    let x = self.build.map(t.id, Expr::unary(Unary::Abs, Expr::X))?;
                    let sum = self.build.sum(x, &[a], Some(1.0), true)?;
                    self.build.div(t.id, sum)?
                } else {
                    let x = self.build.map(t.id, Expr::unary(Unary::Square, Expr::X))?;
                    let sum = self.build.sum(x, &[a], Some(1.0), true)?;
                    let root = self.build.sqrt(sum)?;
                    self.build.div(t.id, root)?
                };
                one(y, t.data_type)
            }
            _ => Ok(None),
        }
    }

    /// Mean and variance over axes, which stay with extent 1.
    fn moments(&mut self, x: Id, over: &[usize]) -> Outcome<(Id, Id)> {
        let mean = self.build.sum(x, over, None, true)?;
        let rest = self.build.sub(x, mean)?;
        let squares = self.build.map(rest, Expr::unary(Unary::Square, Expr::X))?;
        let variance = self.build.sum(squares, over, None, true)?;
        Ok((mean, variance))
    }

    fn standardised(&mut self, x: Id, mean: Id, variance: Id, epsilon: f64) -> Outcome<Id> {
        let rest = self.build.sub(x, mean)?;
        let variance = self.build.line(variance, 1.0, epsilon)?;
        let root = self.build.sqrt(variance)?;
        self.build.div(rest, root)
    }

    fn batch_norm(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let epsilon = op.float("epsilon", 1e-5);
        let rank = self.build.rank(t.id);
        let parameter = |i: usize| op.tensor(i).map(|t| t.id);
        if op.flag("training_mode", false) {
            let over: Vec<usize> = (0..rank).filter(|a| *a != 1).collect();
            let (mean, variance) = self.moments(t.id, &over)?;
            let y = self.standardised(t.id, mean, variance, epsilon)?;
            let n = self.build.size(mean);
            let spread: Vec<usize> = (0..rank).map(|a| if a == 1 { n } else { 1 }).collect();
            let scale = self.build.reshape(parameter(1)?, &spread)?;
            let bias = self.build.reshape(parameter(2)?, &spread)?;
            let y = self.build.mul(y, scale)?;
            let y = self.build.add(y, bias)?;
            let momentum = op.float("momentum", 0.9);
            let mut outputs = vec![(y, t.data_type)];
            for (old, new) in [(3, mean), (4, variance)] {
                let old = self.build.line(parameter(old)?, momentum, 0.0)?;
                let new = self.build.reshape(new, &[n])?;
                let new = self.build.line(new, 1.0 - momentum, 0.0)?;
                outputs.push((self.build.add(old, new)?, t.data_type));
            }
            return several(outputs);
        }
        let known = [1, 2, 3, 4].map(|i| {
            let id = parameter(i)?;
            self.build.known(id, "scale, bias, mean and variance")
        });
        let [scale, bias, mean, variance] = known;
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        let n = scale.len();
        if [bias.len(), mean.len(), variance.len()] != [n; 3] {
            return malformed("its parameters differ in length");
        }
        let slope: Vec<f64> = scale
            .iter()
            .zip(&variance)
            .map(|(s, v)| s / libm::sqrt(v + epsilon))
            .collect();
        let offset = (0..n).map(|i| bias[i] - mean[i] * slope[i]).collect();
        let axis = if rank == 1 { 0 } else { 1 };
        one(self.build.per_channel(t.id, axis, slope, offset)?, t.data_type)
    }

    /// Normalisation within groups of channels, then a scale and a bias per channel (or per group in opset 18).
    fn grouped(&mut self, op: &Op<'a>, x: Id, groups: usize) -> Outcome<Id> {
        let shape = self.build.shape(x);
        if shape.len() < 2 || groups == 0 || !shape[1].is_multiple_of(groups) {
            return malformed(format!("{shape:?} does not split into {groups} groups"));
        }
        let epsilon = op.float("epsilon", 1e-5);
        let inner: usize = shape[1..].iter().product::<usize>() / groups;
        let flat = self.build.reshape(x, &[shape[0], groups, inner])?;
        let kind = Kind::LayerNorm {
            x: flat,
            gamma: vec![1.0; inner],
            beta: vec![0.0; inner],
            epsilon,
            center: true,
        };
        let y = self.build.push(kind, vec![shape[0], groups, inner])?;
        let y = self.build.reshape(y, &shape)?;
        let spread = |this: &mut Self, id: Id| -> Outcome<Id> {
            let mut id = id;
            let n = this.build.size(id);
            if n != shape[1] && n == groups {
                let column = this.build.reshape(id, &[n, 1])?;
                let wide = this.build.broadcast(column, &[n, shape[1] / n])?;
                id = this.build.reshape(wide, &[shape[1]])?;
            }
            let extents: Vec<usize> = (0..shape.len()).map(|a| if a == 1 { shape[1] } else { 1 }).collect();
            this.build.reshape(id, &extents)
        };
        let scale = spread(self, op.tensor(1)?.id)?;
        let bias = spread(self, op.tensor(2)?.id)?;
        let y = self.build.mul(y, scale)?;
        self.build.add(y, bias)
    }

    /// Normalisation over the axes from `a` on, then a scale and a bias.
    fn layer_norm(&mut self, x: Id, a: usize, scale: Id, bias: Option<Id>, epsilon: f64, center: bool) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let n: usize = shape[a..].iter().product();
        let rows: Vec<usize> = [&shape[..a], &[n]].concat();
        let flat = self.build.reshape(x, &rows)?;
        // Where scale and bias are stored for every column they are the operation's own.
        let stored = |id: Id| {
            self.build
                .net
                .constant(id)
                .filter(|v| v.len() == n)
                .map(<[f64]>::to_vec)
        };
        let (gamma, beta) = (stored(scale), bias.map_or(Some(vec![0.0; n]), stored));
        let inside = gamma.is_some() && beta.is_some();
        let kind = Kind::LayerNorm {
            x: flat,
            gamma: gamma.filter(|_| inside).unwrap_or_else(|| vec![1.0; n]),
            beta: beta.filter(|_| inside).unwrap_or_else(|| vec![0.0; n]),
            epsilon,
            center,
        };
        let y = self.build.push(kind, rows)?;
        let mut y = self.build.reshape(y, &shape)?;
        if !inside {
            y = self.build.mul(y, scale)?;
            if let Some(bias) = bias {
                y = self.build.add(y, bias)?;
            }
        }
        if !self.spreads(&shape, &self.build.shape(y)) {
            return no("its scale has more axes than its operand", "check the model");
        }
        Ok(y)
    }

    /// `x / (bias + alpha / size * sum of squares of neighbouring channels) ^ beta`
    fn local_response(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let size = op.int("size").unwrap_or(1).max(1) as usize;
        if shape.len() < 2 {
            return malformed("its operand has no channels");
        }
        let n = shape[1];
        room(&[n, n])?;
        let squares = self.build.map(x, Expr::unary(Unary::Square, Expr::X))?;
        let (before, after) = ((size - 1) / 2, size / 2);
        let near = |i: usize, j: usize| f64::from(u8::from(j + before >= i && j <= i + after));
        let band = (0..n).flat_map(|i| (0..n).map(move |j| near(i, j))).collect();
        let sums = self.build.along(squares, 1, band, n)?;
        let line = Expr::affine(op.float("alpha", 1e-4) / size as f64, op.float("bias", 1.0));
        let power = Expr::binary(Binary::Pow, line, Expr::Const(-op.float("beta", 0.75)));
        let factor = self.build.map(sums, power)?;
        self.build.mul(x, factor)
    }
}
