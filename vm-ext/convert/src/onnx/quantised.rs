//! Models that are quantised already: integers to integers, with the scales that the file gives.

use super::import::{one, several, Importer, Scaled};
use super::movement::rounded;
use super::op::{axes, axis, malformed, Op, Outcome, Tensor, Value};
use super::product::Zero;
use super::proto::DataType;
use crate::expr::{Binary, Expr, Narrow, Unary};
use crate::net::{Elements, Id, Kind};

impl<'a> Importer<'a> {
    pub(super) fn quantised(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "QuantizeLinear" => {
                let (x, scale, zero) = (op.tensor(0)?, op.tensor(1)?, op.optional(2)?);
                let to = op
                    .int("output_dtype")
                    .filter(|d| *d != 0)
                    .and_then(DataType::from_code)
                    .or(zero.map(|z| z.data_type))
                    .unwrap_or(DataType::Uint8);
                let spread = Spread::of(op, self.build.rank(x.id))?;
                let scale = self.spread(scale.id, &spread, x.id)?;
                let zero = match zero {
                    Some(z) => Some(self.spread(z.id, &spread, x.id)?),
                    None => None,
                };
                let saturate = op.flag("saturate", true);
                one(self.quantise(x.id, scale, zero, to, saturate)?, to)
            }
            "DequantizeLinear" => {
                let (x, scale, zero) = (op.tensor(0)?, op.tensor(1)?, op.optional(2)?);
                let spread = Spread::of(op, self.build.rank(x.id))?;
                let factor = self.spread(scale.id, &spread, x.id)?;
                // Functions of their own: rounding and scaling back are no one function of what was rounded.
                let number = |this: &Self, id: Id| match this.build.net.constant(id) {
                    Some([v]) => Some(*v),
                    _ => None,
                };
                let mut integers = x.id;
                if let Some(zero) = zero {
                    let zero = self.spread(zero.id, &spread, x.id)?;
                    integers = match number(self, zero) {
                        Some(0.0) => integers,
                        Some(z) => self.build.line(integers, 1.0, -z)?,
                        None => self.build.sub(integers, zero)?,
                    };
                }
                let y = match number(self, factor) {
                    Some(s) => self
                        .build
                        .map(integers, Expr::binary(Binary::Mul, Expr::X, Expr::Const(s)))?,
                    None => self.build.mul(integers, factor)?,
                };
                let scales = self.build.net.constant(factor).map(<[f64]>::to_vec);
                let per_axis = self.build.shape(factor).iter().filter(|n| **n > 1).count() <= 1;
                if let Some(scales) = scales.filter(|_| per_axis && !x.data_type.is_float()) {
                    let axis = spread.axis;
                    self.scaled.insert(y, Scaled { integers, scales, axis });
                }
                one(y, scale.data_type)
            }
            "DynamicQuantizeLinear" => {
                let x = op.tensor(0)?;
                let (y, scale, zero) = self.dynamic(x.id)?;
                several([(y, DataType::Uint8), (scale, DataType::Float), (zero, DataType::Uint8)])
            }
            "QLinearConv" => {
                let (x, w) = (op.tensor(0)?, op.tensor(3)?);
                let rank = self.build.rank(x.id);
                let less = self.less_zero(x, op.optional(2)?, Zero::Axis(1))?;
                let weights = self.less_zero(w, op.optional(5)?, Zero::Axis(0))?;
                let bias = op.optional(8)?.map(|b| b.id);
                let sums = self.convolved(op, less, weights, bias)?;
                let scales = [op.tensor(1)?, op.tensor(4)?, op.tensor(6)?];
                let factor = self.factor(scales, |n| (0..rank).map(|a| if a == 1 { n } else { 1 }).collect())?;
                let zero = op.optional(7)?;
                let to = zero.map_or(DataType::Uint8, |z| z.data_type);
                one(self.requantise(sums, factor, zero, to)?, to)
            }
            "QLinearMatMul" => {
                let (a, b) = (op.tensor(0)?, op.tensor(3)?);
                let x = self.less_zero(a, op.optional(2)?, Zero::Rows)?;
                let y = self.less_zero(b, op.optional(5)?, Zero::Columns)?;
                let sums = self.build.matmul(x, y)?;
                let rank = self.build.rank(a.id);
                let m = rank.checked_sub(2).map(|i| self.build.shape(a.id)[i]);
                // Those of a belong to its rows, those of b to its columns, those of the result to either.
                let a_scale = self.row_wise(op.tensor(1)?, m.is_some())?;
                let b_scale = self.row_wise(op.tensor(4)?, false)?;
                let y_scale = self.of_result(op.tensor(6)?, m)?;
                let product = self.build.mul(a_scale, b_scale)?;
                let factor = self.build.quotient(product, y_scale)?;
                let zero = op.optional(7)?;
                let to = zero.map_or(DataType::Uint8, |z| z.data_type);
                let zero = match zero {
                    Some(zero) => Some(self.of_result(zero, m)?),
                    None => None,
                };
                let y = self.build.mul(sums, factor)?;
                one(self.rounded_to(y, zero, to)?, to)
            }
            "QGemm" => {
                let (a, b) = (op.tensor(0)?, op.tensor(3)?);
                let mut x = self.less_zero(a, op.optional(2)?, Zero::Rows)?;
                let zero = if op.flag("transB", false) {
                    Zero::Rows
                } else {
                    Zero::Columns
                };
                let mut y = self.less_zero(b, op.optional(5)?, zero)?;
                if op.flag("transA", false) {
                    x = self.build.transpose(x, &[1, 0])?;
                }
                if op.flag("transB", false) {
                    y = self.build.transpose(y, &[1, 0])?;
                }
                let mut sums = self.build.matmul(x, y)?;
                if let Some(bias) = op.optional(6)? {
                    sums = self.build.add(sums, bias.id)?;
                }
                let alpha = op.float("alpha", 1.0);
                let sums = if alpha == 1.0 {
                    sums
                } else {
                    self.build.line(sums, alpha, 0.0)?
                };
                match op.optional(7)? {
                    Some(out) => {
                        let factor = self.factor([op.tensor(1)?, op.tensor(4)?, out], |n| vec![n])?;
                        let zero = op.optional(8)?;
                        let to = zero.map_or(a.data_type, |z| z.data_type);
                        one(self.requantise(sums, factor, zero, to)?, to)
                    }
                    None => {
                        let factor = self.build.mul(op.tensor(1)?.id, op.tensor(4)?.id)?;
                        one(self.build.mul(sums, factor)?, DataType::Float)
                    }
                }
            }
            "MatMulIntegerToFloat" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let x = self.less_zero(a, op.optional(4)?, Zero::Rows)?;
                let y = self.less_zero(b, op.optional(5)?, Zero::Columns)?;
                let sums = self.build.matmul(x, y)?;
                let factor = self.build.mul(op.tensor(2)?.id, op.tensor(3)?.id)?;
                self.scaled(sums, factor, op.optional(6)?)
            }
            "DynamicQuantizeMatMul" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let (x, scale, zero) = self.dynamic(a.id)?;
                let x = self.build.sub(x, zero)?;
                let y = self.less_zero(b, op.optional(3)?, Zero::Columns)?;
                let sums = self.build.matmul(x, y)?;
                let factor = self.build.mul(scale, op.tensor(2)?.id)?;
                self.scaled(sums, factor, op.optional(4)?)
            }
            "QLinearAdd" | "QLinearMul" => {
                let a = self.real(op, 0)?;
                let b = self.real(op, 3)?;
                let y = if op.kind() == "QLinearAdd" {
                    self.build.add(a, b)?
                } else {
                    self.build.mul(a, b)?
                };
                self.back(op, y, 6)
            }
            "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearGlobalAveragePool"
            | "QLinearAveragePool"
            | "QLinearSoftmax"
            | "QLinearReduceMean" => {
                let x = self.real(op, 0)?;
                let y = match op.kind() {
                    "QLinearSigmoid" => self.build.map(x, Expr::unary(Unary::Sigmoid, Expr::X))?,
                    "QLinearLeakyRelu" => {
                        let alpha = op.float("alpha", 0.01);
                        match super::elementwise::activation("LeakyRelu", Some(alpha), None) {
                            Some(f) => self.build.map(x, f)?,
                            None => x,
                        }
                    }
                    "QLinearSoftmax" => {
                        let last = axis(op.int("axis").unwrap_or(-1), self.build.rank(x))?;
                        let over: Vec<usize> = match op.int("opset") {
                            Some(version) if version < 13 => (last..self.build.rank(x)).collect(),
                            _ => vec![last],
                        };
                        self.build.softmax(x, &over)?
                    }
                    "QLinearReduceMean" => {
                        let rank = self.build.rank(x);
                        let list = match op.ints("axes") {
                            Some(list) => axes(&list, rank)?,
                            None => (0..rank).collect(),
                        };
                        let keep = op.flag("keepdims", true);
                        self.of_integers(x, |this, x| this.build.sum(x, &list, None, keep))?
                    }
                    "QLinearAveragePool" if !op.flag("channels_last", false) => self.average_pool(op, x)?,
                    "QLinearGlobalAveragePool" if op.flag("channels_last", false) => {
                        let last = self.build.rank(x).max(1) - 1;
                        let list: Vec<usize> = (1..last).collect();
                        self.of_integers(x, |this, x| this.build.sum(x, &list, None, true))?
                    }
                    "QLinearAveragePool" => return malformed("its channels come last"),
                    _ => {
                        let list: Vec<usize> = (2..self.build.rank(x)).collect();
                        self.of_integers(x, |this, x| this.build.sum(x, &list, None, true))?
                    }
                };
                self.back(op, y, 3)
            }
            "QLinearConcat" => {
                let mut parts = Vec::new();
                for i in (2..op.inputs.len()).step_by(3) {
                    parts.push(self.real(op, i)?);
                }
                let rank = parts.first().map_or(0, |p| self.build.rank(*p));
                let y = self.build.concat(parts, axis(op.int("axis").unwrap_or(0), rank)?)?;
                self.back(op, y, 0)
            }
            _ => Ok(None),
        }
    }

    fn scaled(&mut self, sums: Id, factor: Id, bias: Option<Tensor>) -> Outcome<Option<Vec<Value>>> {
        let mut y = self.build.mul(sums, factor)?;
        if let Some(bias) = bias {
            y = self.build.add(y, bias.id)?;
        }
        one(y, DataType::Float)
    }

    /// Operands i to i + 2 (integers, scale, zero point) as reals.
    fn real(&mut self, op: &Op<'a>, i: usize) -> Outcome<Id> {
        let (x, scale) = (op.tensor(i)?, op.tensor(i + 1)?);
        let less = self.less_zero(x, op.optional(i + 2)?, Zero::Columns)?;
        let Some(&[scale]) = self.build.net.constant(scale.id) else {
            return self.build.mul(less, scale.id);
        };
        let y = self
            .build
            .map(less, Expr::binary(Binary::Mul, Expr::X, Expr::Const(scale)))?;
        let (scales, axis) = (vec![scale], 0);
        let integers = less;
        self.scaled.insert(y, Scaled { integers, scales, axis });
        Ok(y)
    }

    /// Reals as integers by operands i (scale) and i + 1 (zero point).
    fn back(&mut self, op: &Op<'a>, y: Id, i: usize) -> Outcome<Option<Vec<Value>>> {
        let (scale, zero) = (op.tensor(i)?, op.optional(i + 1)?);
        let to = zero.map_or(DataType::Uint8, |z| z.data_type);
        one(self.quantise(y, scale.id, zero.map(|z| z.id), to, true)?, to)
    }

    /// `clamp(round(x / scale) + zero)`
    fn quantise(&mut self, x: Id, scale: Id, zero: Option<Id>, to: DataType, saturate: bool) -> Outcome<Id> {
        let number = |id: Id| {
            let values = self.build.net.constant(id)?;
            let first = *values.first()?;
            values.iter().all(|v| *v == first).then_some(first)
        };
        // Quotients between two integers are ties to an f32, which other runtimes compute in.
        let as_f32 = |f: Expr| Expr::unary(Unary::Narrow(Narrow::F32, false), f);
        let (known, offset) = (number(scale), zero.map_or(Some(0.0), number));
        if let (Some(s), Some(z), Some((low, high))) = (known, offset, to.limits()) {
            // Multiples of the very scale are divided by it without a trace.
            let multiple = Expr::binary(Binary::Mul, Expr::X, Expr::Const(s));
            let (x, ratio) = match &self.build.net.nodes[x].kind {
                Kind::Map { x, f } if *f == multiple => (*x, Expr::X),
                _ => (x, as_f32(Expr::binary(Binary::Div, Expr::X, Expr::Const(s)))),
            };
            let f = Expr::clamp(low, high).of(&Expr::affine(1.0, z).of(&Expr::unary(Unary::RoundEven, ratio)));
            let id = self.build.map(x, f)?;
            self.build.net.nodes[id].of = Elements::Integer(low, high);
            return Ok(id);
        }
        // Several stored numbers would become products with their reciprocals, which are not exact.
        let ratio = match known {
            Some(s) => self.build.map(x, Expr::binary(Binary::Div, Expr::X, Expr::Const(s)))?,
            None => self.build.quotient(x, scale)?,
        };
        if let Some(narrow) = to.narrow() {
            return self
                .build
                .map(ratio, Expr::unary(Unary::Narrow(narrow, saturate), Expr::X));
        }
        let ratio = self.build.map(ratio, as_f32(Expr::X))?;
        self.rounded_to(ratio, zero, to)
    }

    /// `clamp(round(x) + zero)`
    fn rounded_to(&mut self, x: Id, zero: Option<Id>, to: DataType) -> Outcome<Id> {
        let Some((low, high)) = to.limits() else {
            return malformed(format!("it quantises to {}", to.label()));
        };
        let mut y = self.build.map(x, rounded())?;
        if let Some(zero) = zero {
            y = self.build.add(y, zero)?;
        }
        let y = self.build.clamp(y, low, high)?;
        self.build.net.nodes[y].of = Elements::Integer(low, high);
        Ok(y)
    }

    /// The integers behind two factors, where both are integers times scales: then the product is one of integers, and
    /// is scaled once. `columns` is the axis of b that the product keeps.
    pub(super) fn in_integers(&self, a: Id, b: Id, columns: usize) -> Option<(Id, Id, Vec<f64>)> {
        let (x, w) = (self.scaled.get(&a)?, self.scaled.get(&b)?);
        let ([s], true) = (&x.scales[..], self.build.net.constant(w.integers).is_some()) else {
            return None;
        };
        let fits = w.scales.len() == 1 || w.axis == columns;
        fits.then(|| (x.integers, w.integers, w.scales.iter().map(|t| s * t).collect()))
    }

    /// A mean (or another function that scales with its operand) of dequantised integers: of the integers, and scaled then.
    /// So it is exact, and what lies halfway between two integers stays there.
    pub(super) fn of_integers(&mut self, x: Id, f: impl FnOnce(&mut Self, Id) -> Outcome<Id>) -> Outcome<Id> {
        let Some((integers, scale)) = self.scaled.get(&x).and_then(|s| match s.scales[..] {
            [scale] => Some((s.integers, scale)),
            _ => None,
        }) else {
            return f(self, x);
        };
        let y = f(self, integers)?;
        self.build
            .map(y, Expr::binary(Binary::Mul, Expr::X, Expr::Const(scale)))
    }

    /// Sums of integers as reals: `sums[c] * scales[c] + bias[c]`.
    pub(super) fn rescaled(&mut self, sums: Id, axis: usize, scales: Vec<f64>, bias: Option<Id>) -> Outcome<Id> {
        let n = self.build.shape(sums).get(axis).copied().unwrap_or(1);
        let scales = if scales.len() == 1 { vec![scales[0]; n] } else { scales };
        let bias = match bias {
            Some(bias) => self.build.known(bias, "the bias")?,
            None => vec![0.0; n],
        };
        self.build.per_channel(sums, axis, scales, bias)
    }

    /// `x scale * w scale / y scale`, of a shape that the number of scales decides.
    fn factor(&mut self, [x, w, y]: [Tensor; 3], shape: impl Fn(usize) -> Vec<usize>) -> Outcome<Id> {
        let n = self.build.size(w.id);
        let product = self.build.mul(x.id, w.id)?;
        let factor = self.build.quotient(product, y.id)?;
        if self.build.rank(factor) > 1 {
            return Ok(factor);
        }
        let shape = if n == 1 { vec![] } else { shape(n) };
        self.build.reshape(factor, &shape)
    }

    /// One number for a matrix as a scalar; one per row, where that is what there is, as a column.
    fn row_wise(&mut self, t: Tensor, rows: bool) -> Outcome<Id> {
        let n = self.build.size(t.id);
        match self.build.rank(t.id) {
            1 if n == 1 => self.build.reshape(t.id, &[]),
            1 if rows => self.build.reshape(t.id, &[n, 1]),
            _ => Ok(t.id),
        }
    }

    /// Numbers for a matrix: one, one per row, or, where there are as many as columns and not as rows, one per column.
    fn of_result(&mut self, t: Tensor, rows: Option<usize>) -> Outcome<Id> {
        let n = self.build.size(t.id);
        self.row_wise(t, rows == Some(n))
    }

    fn requantise(&mut self, sums: Id, factor: Id, zero: Option<Tensor>, to: DataType) -> Outcome<Id> {
        let y = self.build.mul(sums, factor)?;
        self.rounded_to(y, zero.map(|z| z.id), to)
    }

    /// Bytes with the scale and zero point that the values themselves ask for.
    fn dynamic(&mut self, x: Id) -> Outcome<(Id, Id, Id)> {
        let all: Vec<usize> = (0..self.build.rank(x)).collect();
        let high = self.build.largest(x, &all, false)?;
        let high = self.build.clamp(high, 0.0, f64::INFINITY)?;
        let low = self.build.least(x, &all, false)?;
        let low = self.build.clamp(low, f64::NEG_INFINITY, 0.0)?;
        let range = self.build.sub(high, low)?;
        let steps = self.build.scalar(255.0)?;
        let scale = self.build.div(range, steps)?;
        let shift = self.build.quotient(low, scale)?;
        let shift = self.build.line(shift, -1.0, 0.0)?;
        let zero = self.rounded_to(shift, None, DataType::Uint8)?;
        let y = self.quantise(x, scale, Some(zero), DataType::Uint8, true)?;
        Ok((y, scale, zero))
    }

    /// Scales or zero points so that they broadcast to x.
    fn spread(&mut self, id: Id, spread: &Spread, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let n = self.build.size(id);
        if n == 1 {
            return self.build.reshape(id, &[]);
        }
        let a = spread.axis;
        if a >= shape.len() {
            return malformed("its axis is beyond its operand");
        }
        if spread.block > 0 && self.build.rank(id) == shape.len() {
            let blocks = self.build.shape(id)[a];
            let list: Vec<usize> = (0..shape[a])
                .map(|i| (i / spread.block).min(blocks.max(1) - 1))
                .collect();
            return self.build.take(id, a, &list);
        }
        let extents: Vec<usize> = (0..shape.len()).map(|b| if a == b { n } else { 1 }).collect();
        self.build.reshape(id, &extents)
    }
}

/// Which axis scales belong to, and how many elements share one.
struct Spread {
    axis: usize,
    block: usize,
}

impl Spread {
    fn of(op: &Op, rank: usize) -> Outcome<Spread> {
        let given = op.int("axis").unwrap_or(1);
        // Irrelevant where there is one scale.
        let axis = axis(given, rank).unwrap_or(rank);
        let block = usize::try_from(op.int("block_size").unwrap_or(0)).unwrap_or(0);
        Ok(Spread { axis, block })
    }
}
