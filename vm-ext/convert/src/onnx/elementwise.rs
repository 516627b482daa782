//! Operations on every element by itself.

use std::f64::consts::FRAC_1_SQRT_2;

use super::import::{one, Importer};
use super::op::{malformed, no, Op, Outcome, Tensor, Value};
use super::proto::DataType;
use crate::expr::{Binary, Expr, Unary};
use crate::net::Id;

fn c(v: f64) -> Expr {
    Expr::Const(v)
}

fn x() -> Expr {
    Expr::X
}

/// `a` where the condition holds, else `b`.
fn select(condition: Expr, a: Expr, b: Expr) -> Expr {
    Expr::Select(Box::new([condition, a, b]))
}

fn is_negative() -> Expr {
    Expr::binary(Binary::Less, x(), c(0.0))
}

/// `x * (1 + f) / 2`.
fn gate(f: Expr) -> Expr {
    Expr::binary(Binary::Mul, x(), Expr::affine(0.5, 0.5).of(&f))
}

/// `ln(1 + e^x)`, without overflow.
fn softplus() -> Expr {
    let small = Expr::unary(Unary::Exp, Expr::unary(Unary::Neg, Expr::unary(Unary::Abs, x())));
    let positive = Expr::binary(Binary::Max, x(), c(0.0));
    Expr::binary(Binary::Add, Expr::unary(Unary::Ln1p, small), positive)
}

fn elu(alpha: f64) -> Expr {
    let negative = Expr::binary(Binary::Mul, Expr::unary(Unary::Expm1, x()), c(alpha));
    select(is_negative(), negative, x())
}

/// Towards zero.
pub fn truncate() -> Expr {
    let whole = Expr::unary(Unary::Floor, Expr::unary(Unary::Abs, x()));
    Expr::binary(Binary::Mul, Expr::unary(Unary::Sign, x()), whole)
}

fn gelu(approximate: bool) -> Expr {
    if approximate {
        // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
        let square = Expr::unary(Unary::Square, x());
        let inner = Expr::binary(Binary::Mul, x(), Expr::affine(0.044715, 1.0).of(&square));
        gate(Expr::unary(
            Unary::Tanh,
            Expr::affine(0.797_884_560_802_865_4, 0.0).of(&inner),
        ))
    } else {
        gate(Expr::unary(Unary::Erf, Expr::affine(FRAC_1_SQRT_2, 0.0)))
    }
}

/// An activation by its ONNX name, with its parameters.
pub fn activation(name: &str, alpha: Option<f64>, beta: Option<f64>) -> Option<Expr> {
    let a = |default: f64| alpha.unwrap_or(default);
    let b = |default: f64| beta.unwrap_or(default);
    Some(match name.to_ascii_lowercase().as_str() {
        "relu" => Expr::clamp(0.0, f64::INFINITY),
        "sigmoid" => Expr::unary(Unary::Sigmoid, x()),
        "tanh" => Expr::unary(Unary::Tanh, x()),
        "softplus" => softplus(),
        "softsign" => Expr::binary(
            Binary::Div,
            x(),
            Expr::affine(1.0, 1.0).of(&Expr::unary(Unary::Abs, x())),
        ),
        "hardsigmoid" => Expr::clamp(0.0, 1.0).of(&Expr::affine(a(0.2), b(0.5))),
        "leakyrelu" => select(is_negative(), Expr::binary(Binary::Mul, x(), c(a(0.01))), x()),
        "elu" => elu(a(1.0)),
        "affine" => Expr::affine(a(1.0), b(0.0)),
        "scaledtanh" => {
            let inner = Expr::unary(Unary::Tanh, Expr::affine(b(1.0), 0.0));
            Expr::affine(a(1.0), 0.0).of(&inner)
        }
        "thresholdedrelu" => select(Expr::binary(Binary::Less, c(a(1.0)), x()), x(), c(0.0)),
        _ => return None,
    })
}

/// Whether an activation has an alpha, and a beta.
pub fn parameters(name: &str) -> (bool, bool) {
    match name.to_ascii_lowercase().as_str() {
        "affine" | "hardsigmoid" | "scaledtanh" => (true, true),
        "elu" | "leakyrelu" | "thresholdedrelu" => (true, false),
        _ => (false, false),
    }
}

/// Functions of one operand by operator.
fn function(op: &Op) -> Option<Expr> {
    let unary = match op.kind() {
        "Neg" => Unary::Neg,
        "Abs" => Unary::Abs,
        "Exp" => Unary::Exp,
        "Log" => Unary::Ln,
        "Sqrt" => Unary::Sqrt,
        "Reciprocal" => Unary::Recip,
        "Erf" => Unary::Erf,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Round" => Unary::RoundEven,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Tan" => Unary::Tan,
        "Asin" => Unary::Asin,
        "Acos" => Unary::Acos,
        "Atan" => Unary::Atan,
        "Sinh" => Unary::Sinh,
        "Cosh" => Unary::Cosh,
        "Asinh" => Unary::Asinh,
        "Acosh" => Unary::Acosh,
        "Atanh" => Unary::Atanh,
        "Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign" | "HardSigmoid" | "LeakyRelu" | "Elu"
        | "ThresholdedRelu" => {
            let given = |name: &str| op.attribute(name).map(|a| f64::from(a.f));
            return activation(op.kind(), given("alpha"), given("beta"));
        }
        "Not" => return Some(Expr::binary(Binary::Sub, c(1.0), x())),
        "HardSwish" => {
            let inner = Expr::clamp(0.0, 1.0).of(&Expr::affine(1.0 / 6.0, 0.5));
            return Some(Expr::binary(Binary::Mul, x(), inner));
        }
        "QuickGelu" => {
            let inner = Expr::affine(op.float("alpha", 1.702), 0.0);
            return Some(Expr::binary(Binary::Mul, x(), Expr::unary(Unary::Sigmoid, inner)));
        }
        "Gelu" => return Some(gelu(op.text("approximate") == "tanh")),
        "FastGelu" if op.maybe(1).is_none() => return Some(gelu(true)),
        "Mish" => return Some(Expr::binary(Binary::Mul, x(), Expr::unary(Unary::Tanh, softplus()))),
        "Celu" => {
            let alpha = op.float("alpha", 1.0);
            let inner = Expr::unary(Unary::Expm1, Expr::binary(Binary::Div, x(), c(alpha)));
            return Some(select(is_negative(), Expr::binary(Binary::Mul, inner, c(alpha)), x()));
        }
        "Selu" => {
            let alpha = op.float("alpha", 1.6732632423543772);
            let gamma = op.float("gamma", 1.0507009873554805);
            return Some(Expr::binary(Binary::Mul, elu(alpha), c(gamma)));
        }
        "Shrink" => {
            let (bias, limit) = (op.float("bias", 0.0), op.float("lambd", 0.5));
            let above = select(
                Expr::binary(Binary::Less, c(limit), x()),
                Expr::affine(1.0, -bias),
                c(0.0),
            );
            let below = Expr::binary(Binary::Less, x(), c(-limit));
            return Some(select(below, Expr::affine(1.0, bias), above));
        }
        "IsNaN" => {
            let equal = Expr::binary(Binary::Equal, x(), x());
            return Some(Expr::binary(Binary::Sub, c(1.0), equal));
        }
        "IsInf" => {
            let is = |v: f64| Expr::binary(Binary::Equal, x(), c(v));
            let no = c(0.0);
            return Some(
                match (op.flag("detect_positive", true), op.flag("detect_negative", true)) {
                    (true, true) => Expr::binary(Binary::Add, is(f64::INFINITY), is(f64::NEG_INFINITY)),
                    (true, false) => is(f64::INFINITY),
                    (false, true) => is(f64::NEG_INFINITY),
                    (false, false) => Expr::binary(Binary::Mul, x(), no),
                },
            );
        }
        "Binarizer" => {
            let threshold = op.float("threshold", 0.0);
            return Some(Expr::binary(Binary::Less, c(threshold), x()));
        }
        _ => return None,
    };
    Some(Expr::unary(unary, x()))
}

impl<'a> Importer<'a> {
    pub(super) fn elementwise(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let kind = op.kind();
        if let Some(f) = function(op) {
            let t = op.tensor(0)?;
            let id = self.build.map(t.id, f)?;
            let data_type = match kind {
                "IsNaN" | "IsInf" => DataType::Bool,
                _ => t.data_type,
            };
            return one(id, data_type);
        }
        match kind {
            "Add" | "Sub" | "Mul" | "Div" | "And" | "Or" | "Xor" | "PRelu" | "Pow" | "Mod" | "BitShift"
            | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let id = self.two(op, a, b)?;
                let id = self.wrapped(id, a.data_type, kind)?;
                one(id, a.data_type)
            }
            "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => {
                let (a, b) = (op.tensor(0)?.id, op.tensor(1)?.id);
                let id = match kind {
                    "Equal" => self.build.binary(Binary::Equal, a, b)?,
                    "Less" => self.build.binary(Binary::Less, a, b)?,
                    "LessOrEqual" => self.build.binary(Binary::LessEqual, a, b)?,
                    "Greater" => self.build.binary(Binary::Less, b, a)?,
                    _ => self.build.binary(Binary::LessEqual, b, a)?,
                };
                one(id, DataType::Bool)
            }
            "Min" | "Max" | "Sum" | "Mean" => {
                let all = op.tensors()?;
                let Some(first) = all.first() else {
                    return malformed("it has no operands");
                };
                let binary = match kind {
                    "Min" => Binary::Min,
                    "Max" => Binary::Max,
                    _ => Binary::Add,
                };
                let mut id = first.id;
                for t in &all[1..] {
                    id = self.build.binary(binary, id, t.id)?;
                }
                if kind == "Mean" && all.len() > 1 {
                    id = self.build.line(id, 1.0 / all.len() as f64, 0.0)?;
                }
                one(id, first.data_type)
            }
            "BitwiseNot" => {
                let t = op.tensor(0)?;
                let offset = match t.data_type.limits() {
                    Some((0.0, high)) => high,
                    _ => -1.0,
                };
                one(self.build.line(t.id, -1.0, offset)?, t.data_type)
            }
            "Where" => {
                let (condition, a, b) = (op.tensor(0)?, op.tensor(1)?, op.tensor(2)?);
                one(self.build.select(condition.id, a.id, b.id)?, a.data_type)
            }
            "Clip" => self.clip(op),
            "Cast" | "CastLike" => self.cast(op),
            "Identity" | "Dropout" if kind == "Identity" || !self.training(op)? => self.identity(op),
            "BiasGelu" | "FastGelu" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let sum = self.build.add(a.id, b.id)?;
                one(self.build.map(sum, gelu(kind == "FastGelu"))?, a.data_type)
            }
            _ => Ok(None),
        }
    }

    fn training(&mut self, op: &Op<'a>) -> Outcome<bool> {
        let Some(t) = op.optional(2)? else { return Ok(false) };
        let training = self
            .build
            .known(t.id, "whether it trains")?
            .first()
            .is_some_and(|v| *v != 0.0);
        let ratio = match op.optional(1)? {
            Some(t) => self.build.known(t.id, "its ratio")?.first().copied().unwrap_or(0.5),
            None => 0.5,
        };
        if training && ratio != 0.0 {
            return no(
                "it drops elements at random",
                "export the model for inference (training_mode=False)",
            );
        }
        Ok(false)
    }

    fn identity(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let Some(value) = op.maybe(0) else {
            return malformed("its operand is missing");
        };
        let mut outputs = vec![value.clone()];
        if op.wants(1) {
            // Nothing is dropped.
            let shape = self.build.shape(op.tensor(0)?.id);
            let count = shape.iter().product();
            let mask = self.constant(vec![1.0; count], &shape, DataType::Bool)?;
            outputs.push(Value::Tensor(mask));
        }
        Ok(Some(outputs))
    }

    /// An operation on two operands of one type.
    fn two(&mut self, op: &Op<'a>, a: Tensor, b: Tensor) -> Outcome<Id> {
        let data_type = a.data_type;
        let whole = !data_type.is_float();
        let (a, b, build) = (a.id, b.id, &mut self.build);
        match op.kind() {
            "Add" => build.add(a, b),
            "Sub" => build.sub(a, b),
            "Mul" => build.mul(a, b),
            "Div" if whole => {
                let quotient = build.quotient(a, b)?;
                build.map(quotient, truncate())
            }
            "Div" => build.div(a, b),
            // Booleans are 0 and 1.
            "And" => build.binary(Binary::Min, a, b),
            "Or" => build.binary(Binary::Max, a, b),
            "Xor" => {
                let equal = build.binary(Binary::Equal, a, b)?;
                build.not(equal)
            }
            "PRelu" => {
                let negative = build.mul(a, b)?;
                let below = build.map(a, is_negative())?;
                build.select(below, negative, a)
            }
            "Pow" => {
                let power = build.binary(Binary::Pow, a, b)?;
                if whole {
                    build.map(power, truncate())
                } else {
                    Ok(power)
                }
            }
            "Mod" => {
                let quotient = build.quotient(a, b)?;
                let round = if op.flag("fmod", false) {
                    truncate()
                } else {
                    Expr::unary(Unary::Floor, x())
                };
                let times = build.map(quotient, round)?;
                let multiple = build.mul(times, b)?;
                build.sub(a, multiple)
            }
            "BitShift" => {
                let power = {
                    let two = build.scalar(2.0)?;
                    build.binary(Binary::Pow, two, b)?
                };
                if op.text("direction") == "LEFT" {
                    build.mul(a, power)
                } else {
                    let quotient = build.quotient(a, power)?;
                    build.map(quotient, Expr::unary(Unary::Floor, x()))
                }
            }
            kind => self.bitwise(kind, a, b, data_type),
        }
    }

    /// Bit by bit, unless one operand is a number.
    fn bitwise(&mut self, kind: &str, a: Id, b: Id, data_type: DataType) -> Outcome<Id> {
        let build = &mut self.build;
        let (whole, single) = match kind {
            "BitwiseAnd" => (Binary::BitAnd, Binary::Min),
            "BitwiseOr" => (Binary::BitOr, Binary::Max),
            _ => (Binary::BitXor, Binary::Equal),
        };
        let uniform = |id: Id| build.net.constant(id).is_some_and(|v| v.iter().all(|x| *x == v[0]));
        let known = |id: Id| build.net.constant(id).is_some();
        if uniform(a) || uniform(b) || (known(a) && known(b)) {
            return build.binary(whole, a, b);
        }
        let Some((low, high)) = data_type.limits().filter(|(_, high)| *high < 4294967296.0) else {
            return no("it works on 64 bits", "use integers of up to 32 bits");
        };
        let bits = libm::log2(high - low + 1.0) as i32;
        let mut sum = None;
        for i in 0..bits {
            // Floor and remainder are those of two's complement for negative numbers, too.
            let half = Expr::unary(Unary::Floor, Expr::affine(libm::ldexp(1.0, -i), 0.0));
            let quarter = Expr::unary(Unary::Floor, Expr::affine(libm::ldexp(1.0, -i - 1), 0.0));
            let twice = Expr::binary(Binary::Mul, quarter, c(2.0));
            let bit = Expr::binary(Binary::Sub, half, twice);
            let (x, y) = (build.map(a, bit.clone())?, build.map(b, bit)?);
            let mut z = build.binary(single, x, y)?;
            if single == Binary::Equal {
                z = build.not(z)?;
            }
            let sign = if low < 0.0 && i + 1 == bits { -1.0 } else { 1.0 };
            let part = build.line(z, sign * libm::ldexp(1.0, i), 0.0)?;
            sum = Some(match sum {
                None => part,
                Some(sum) => build.add(sum, part)?,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => malformed("its operands have no bits"),
        }
    }

    /// Sums and products of short integers wrap around; those of long ones do not come that far.
    fn wrapped(&mut self, id: Id, data_type: DataType, kind: &str) -> Outcome<Id> {
        let Some((low, high)) = data_type.limits().filter(|(_, high)| (15.0..65536.0).contains(high)) else {
            return Ok(id);
        };
        if !matches!(kind, "Add" | "Sub" | "Mul" | "BitShift" | "Pow") {
            return Ok(id);
        }
        let values = high - low + 1.0;
        let turns = Expr::unary(Unary::Floor, Expr::affine(1.0 / values, -low / values));
        let f = Expr::binary(Binary::Sub, x(), Expr::binary(Binary::Mul, turns, c(values)));
        self.build.map(id, f)
    }

    fn clip(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let limits = if op.opset < 11 {
            let limit = |name: &str, default: f64| op.float(name, default);
            [Some(limit("min", f64::NEG_INFINITY)), Some(limit("max", f64::INFINITY))]
        } else {
            let known = |i: usize| -> Outcome<Option<f64>> {
                let default = if i == 1 { f64::NEG_INFINITY } else { f64::INFINITY };
                Ok(match op.optional(i)? {
                    None => Some(default),
                    Some(limit) => self.build.net.constant(limit.id).and_then(|v| v.first().copied()),
                })
            };
            [known(1)?, known(2)?]
        };
        if let [Some(low), Some(high)] = limits {
            return one(self.build.clamp(t.id, low, high)?, t.data_type);
        }
        let mut id = t.id;
        for (i, f) in [(1, Binary::Max), (2, Binary::Min)] {
            if let Some(limit) = op.optional(i)? {
                id = self.build.binary(f, id, limit.id)?;
            }
        }
        one(id, t.data_type)
    }

    fn cast(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let to = if op.kind() == "CastLike" {
            match op.maybe(1) {
                Some(Value::Tensor(like)) => like.data_type,
                _ => return no("it casts to strings", "leave the cast out"),
            }
        } else {
            op.int("to")
                .and_then(DataType::from_code)
                .unwrap_or(DataType::Undefined)
        };
        if let Some(Value::Text(text)) = op.maybe(0) {
            let numbers: Option<Vec<f64>> = text.strings.iter().map(|s| parse(s)).collect();
            return match numbers {
                Some(values) if to.is_float() || to.limits().is_some() => {
                    let t = self.constant(values, &text.shape.clone(), to)?;
                    one(t.id, t.data_type)
                }
                _ => no("its operand holds strings that are no numbers", "store numbers"),
            };
        }
        let t = op.tensor(0)?;
        // Class names stay with their indices.
        if to == DataType::String && self.labels.contains_key(&t.id) {
            return one(t.id, t.data_type);
        }
        let saturate = op.flag("saturate", true);
        one(self.convert(t, to, saturate)?, to)
    }

    /// The elements in another type.
    pub fn convert(&mut self, t: Tensor, to: DataType, saturate: bool) -> Outcome<Id> {
        let from = t.data_type;
        let build = &mut self.build;
        if from == to {
            return Ok(t.id);
        }
        if to == DataType::Bool {
            let zero = Expr::binary(Binary::Equal, x(), c(0.0));
            return build.map(t.id, Expr::binary(Binary::Sub, c(1.0), zero));
        }
        if let Some(narrow) = to.narrow() {
            return build.map(t.id, Expr::unary(Unary::Narrow(narrow, saturate), x()));
        }
        if to.is_float() {
            // What an f32 holds of a double or a long integer is near enough.
            return if to == DataType::Float && build.net.constant(t.id).is_some() {
                let values = build.known(t.id, "the operand")?;
                let shape = build.shape(t.id);
                let rounded = values.into_iter().map(|v| f64::from(v as f32)).collect();
                build.constant(rounded, &shape)
            } else {
                Ok(t.id)
            };
        }
        let Some((low, high)) = to.limits() else {
            return no(
                format!("it casts to {}", to.label()),
                "cast between numbers and booleans only",
            );
        };
        let id = if from.is_float() {
            build.map(t.id, truncate())?
        } else {
            t.id
        };
        // Integers lose their upper bits; where they have none the operand's own range says so.
        match from.limits() {
            Some((l, h)) if l >= low && h <= high => Ok(id),
            Some(_) if high < 65536.0 => {
                let values = high - low + 1.0;
                let turns = Expr::unary(Unary::Floor, Expr::affine(1.0 / values, -low / values));
                let f = Expr::binary(Binary::Sub, x(), Expr::binary(Binary::Mul, turns, c(values)));
                build.map(id, f)
            }
            None if high < 65536.0 => build.clamp(id, low, high),
            _ => Ok(id),
        }
    }
}

/// A number as strings write it.
fn parse(s: &str) -> Option<f64> {
    match s.trim().to_ascii_lowercase().as_str() {
        "inf" | "+inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        s => s.parse().ok(),
    }
}
