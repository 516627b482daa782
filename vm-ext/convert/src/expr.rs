//! Functions of one real variable, built up from elementwise nodes.
//!
//! A chain of elementwise operations on one value (a GELU that an exporter wrote as nine nodes) becomes one expression,
//! and that one table. Values are computed with the `libm` crate and the four operations of IEEE 754 doubles only, so
//! that they are the same on every machine.

/// A function of X.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// The variable.
    X,
    /// A constant.
    Const(f64),
    /// A function of an expression.
    Unary(Unary, Box<Expr>),
    /// An operation on two expressions.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// The second where the first is not 0, else the third.
    Select(Box<[Expr; 3]>),
}

/// Functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    Exp,
    Ln,
    Sqrt,
    Rsqrt,
    Recip,
    Square,
    Sigmoid,
    Tanh,
    Erf,
    Floor,
    Ceil,
    /// Half to even.
    RoundEven,
    Sign,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    /// `ln(1 + x)`.
    Ln1p,
    /// `e^x - 1`.
    Expm1,
    /// The nearest value of a coarser float format; infinities become its largest value where the flag says so.
    Narrow(Narrow, bool),
}

/// Float formats coarser than doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Narrow {
    F32,
    F16,
    Bf16,
    E4M3,
    E4M3Z,
    E5M2,
    E5M2Z,
}

impl Narrow {
    /// Bits of the exponent and of the mantissa, the exponent's bias, and the largest value.
    fn layout(self) -> (u32, u32, i32, f64) {
        match self {
            Narrow::F32 => (8, 23, 127, f64::from(f32::MAX)),
            Narrow::F16 => (5, 10, 15, 65504.0),
            Narrow::Bf16 => (8, 7, 127, 3.3895313892515355e38),
            Narrow::E4M3 => (4, 3, 7, 448.0),
            Narrow::E4M3Z => (4, 3, 8, 240.0),
            Narrow::E5M2 => (5, 2, 15, 57344.0),
            Narrow::E5M2Z => (5, 2, 16, 57344.0),
        }
    }

    /// Whether its numbers have 8 bits.
    pub fn is_byte(self) -> bool {
        !matches!(self, Narrow::F32 | Narrow::F16 | Narrow::Bf16)
    }

    /// Whether there are infinities.
    fn has_infinity(self) -> bool {
        matches!(self, Narrow::F32 | Narrow::F16 | Narrow::Bf16 | Narrow::E5M2)
    }

    /// The value of a bit pattern of a format of up to 16 bits.
    pub fn decode(self, bits: u16) -> f64 {
        if self == Narrow::F32 {
            return f64::NAN;
        }
        let (exponent_bits, mantissa_bits, bias, _) = self.layout();
        let mantissa = bits & ((1 << mantissa_bits) - 1);
        let top = (1u16 << exponent_bits) - 1;
        let exponent = (bits >> mantissa_bits) & top;
        let negative = bits >> (mantissa_bits + exponent_bits) & 1 == 1;
        let sign = if negative { -1.0 } else { 1.0 };
        let nan = match self {
            Narrow::F32 | Narrow::F16 | Narrow::Bf16 | Narrow::E5M2 => exponent == top && mantissa != 0,
            Narrow::E4M3 => exponent == top && mantissa == 7,
            Narrow::E4M3Z | Narrow::E5M2Z => negative && exponent == 0 && mantissa == 0,
        };
        if nan {
            return f64::NAN;
        }
        if exponent == top && self.has_infinity() {
            return sign * f64::INFINITY;
        }
        let unit = libm::ldexp(1.0, i32::from(exponent.max(1)) - bias - mantissa_bits as i32);
        let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
        sign * f64::from(hidden | mantissa) * unit
    }

    /// The nearest value of the format, ties to even.
    pub fn round(self, x: f64, saturate: bool) -> f64 {
        if self == Narrow::F32 {
            return f64::from(x as f32);
        }
        let (_, mantissa_bits, bias, largest) = self.layout();
        if x.is_nan() || x == 0.0 {
            return x;
        }
        let beyond = if saturate && !matches!(self, Narrow::F16 | Narrow::Bf16) {
            largest
        } else if self.has_infinity() {
            f64::INFINITY
        } else {
            f64::NAN
        };
        let rounded = if x.is_infinite() {
            f64::INFINITY
        } else {
            let exponent = (libm::frexp(x).1 - 1).max(1 - bias);
            let unit = libm::ldexp(1.0, exponent - mantissa_bits as i32);
            libm::rint(x.abs() / unit) * unit
        };
        let magnitude = if rounded > largest { beyond } else { rounded };
        if x < 0.0 {
            -magnitude
        } else {
            magnitude
        }
    }
}

/// Operations on two operands. Comparisons give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    Less,
    LessEqual,
    Equal,
    /// On whole numbers, in two's complement.
    BitAnd,
    /// Likewise.
    BitOr,
    /// Likewise.
    BitXor,
}

/// `clamp(scale * x + offset, low, high)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamped {
    /// Factor.
    pub scale: f64,
    /// Term.
    pub offset: f64,
    /// Least value, or minus infinity.
    pub low: f64,
    /// Largest value, or infinity.
    pub high: f64,
}

impl Unary {
    /// The function's value.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Exp => libm::exp(x),
            Unary::Ln => libm::log(x),
            Unary::Sqrt => libm::sqrt(x),
            Unary::Rsqrt => 1.0 / libm::sqrt(x),
            Unary::Recip => 1.0 / x,
            Unary::Square => x * x,
            Unary::Sigmoid => sigmoid(x),
            Unary::Tanh => libm::tanh(x),
            Unary::Erf => libm::erf(x),
            Unary::Floor => libm::floor(x),
            Unary::Ceil => libm::ceil(x),
            Unary::RoundEven => libm::rint(x),
            Unary::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }
            Unary::Sin => libm::sin(x),
            Unary::Cos => libm::cos(x),
            Unary::Tan => libm::tan(x),
            Unary::Asin => libm::asin(x),
            Unary::Acos => libm::acos(x),
            Unary::Atan => libm::atan(x),
            Unary::Sinh => libm::sinh(x),
            Unary::Cosh => libm::cosh(x),
            Unary::Asinh => libm::asinh(x),
            Unary::Acosh => libm::acosh(x),
            Unary::Atanh => libm::atanh(x),
            Unary::Ln1p => libm::log1p(x),
            Unary::Expm1 => libm::expm1(x),
            Unary::Narrow(format, saturate) => format.round(x, saturate),
        }
    }
}

/// `1 / (1 + e^-x)`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

impl Binary {
    /// The operation's value.
    pub fn eval(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Min => {
                if a < b {
                    a
                } else {
                    b
                }
            }
            Binary::Max => {
                if a > b {
                    a
                } else {
                    b
                }
            }
            Binary::Pow => libm::pow(a, b),
            Binary::Less => f64::from(a < b),
            Binary::LessEqual => f64::from(a <= b),
            Binary::Equal => f64::from(a == b),
            Binary::BitAnd => (a as i64 & b as i64) as f64,
            Binary::BitOr => (a as i64 | b as i64) as f64,
            Binary::BitXor => (a as i64 ^ b as i64) as f64,
        }
    }
}

impl Expr {
    /// `f(x)`.
    pub fn unary(f: Unary, x: Expr) -> Expr {
        Expr::Unary(f, Box::new(x))
    }

    /// `a op b`.
    pub fn binary(op: Binary, a: Expr, b: Expr) -> Expr {
        Expr::Binary(op, Box::new(a), Box::new(b))
    }

    /// `scale * x + offset`.
    pub fn affine(scale: f64, offset: f64) -> Expr {
        Expr::binary(
            Binary::Add,
            Expr::binary(Binary::Mul, Expr::X, Expr::Const(scale)),
            Expr::Const(offset),
        )
    }

    /// `clamp(x, low, high)`.
    pub fn clamp(low: f64, high: f64) -> Expr {
        let floor = Expr::binary(Binary::Max, Expr::X, Expr::Const(low));
        Expr::binary(Binary::Min, floor, Expr::Const(high))
    }

    /// The value at x.
    pub fn eval(&self, x: f64) -> f64 {
        match self {
            Expr::X => x,
            Expr::Const(c) => *c,
            Expr::Unary(f, e) => f.eval(e.eval(x)),
            Expr::Binary(op, a, b) => op.eval(a.eval(x), b.eval(x)),
            Expr::Select(e) => {
                let [condition, then, otherwise] = &**e;
                if condition.eval(x) != 0.0 {
                    then.eval(x)
                } else {
                    otherwise.eval(x)
                }
            }
        }
    }

    /// This expression of another one.
    pub fn of(&self, inner: &Expr) -> Expr {
        match self {
            Expr::X => inner.clone(),
            Expr::Const(c) => Expr::Const(*c),
            Expr::Unary(f, e) => Expr::unary(*f, e.of(inner)),
            Expr::Binary(op, a, b) => Expr::binary(*op, a.of(inner), b.of(inner)),
            Expr::Select(e) => Expr::Select(Box::new([e[0].of(inner), e[1].of(inner), e[2].of(inner)])),
        }
    }

    /// The function without roundings to floats of 16 and more bits: integers take the place of such formats.
    pub fn without_storage(&self) -> Expr {
        match self {
            Expr::X | Expr::Const(_) => self.clone(),
            Expr::Unary(Unary::Narrow(Narrow::F32 | Narrow::F16 | Narrow::Bf16, _), e) => e.without_storage(),
            Expr::Unary(f, e) => Expr::unary(*f, e.without_storage()),
            Expr::Binary(op, a, b) => Expr::binary(*op, a.without_storage(), b.without_storage()),
            Expr::Select(e) => Expr::Select(Box::new([0, 1, 2].map(|i| e[i].without_storage()))),
        }
    }

    /// How many operations it has.
    pub fn size(&self) -> usize {
        match self {
            Expr::X | Expr::Const(_) => 0,
            Expr::Unary(_, e) => 1 + e.size(),
            Expr::Binary(_, a, b) => 1 + a.size() + b.size(),
            Expr::Select(e) => 1 + e.iter().map(Expr::size).sum::<usize>(),
        }
    }

    /// How many operations [`Expr::of`] another one would have, without making it: that one takes the place of every X.
    pub fn size_of(&self, inner: &Expr) -> usize {
        self.size()
            .saturating_add(self.variables().saturating_mul(inner.size()))
    }

    /// How often X stands in it.
    fn variables(&self) -> usize {
        match self {
            Expr::X => 1,
            Expr::Const(_) => 0,
            Expr::Unary(_, e) => e.variables(),
            Expr::Binary(_, a, b) => a.variables() + b.variables(),
            Expr::Select(e) => e.iter().map(Expr::variables).sum(),
        }
    }

    /// The value, where it does not depend on x.
    pub fn constant(&self) -> Option<f64> {
        match self {
            Expr::X => None,
            Expr::Const(c) => Some(*c),
            Expr::Unary(f, e) => e.constant().map(|c| f.eval(c)),
            Expr::Binary(op, a, b) => Some(op.eval(a.constant()?, b.constant()?)),
            Expr::Select(e) => {
                let chosen = if e[0].constant()? != 0.0 { &e[1] } else { &e[2] };
                chosen.constant()
            }
        }
    }

    /// The line around it: `(scale, offset, inner)` of `scale * inner + offset`.
    pub fn outer_line(&self) -> (f64, f64, &Expr) {
        let changed = |e: &Expr, scale: f64, offset: f64| -> Option<(f64, f64)> {
            (e.constant().is_none() && scale != 0.0 && scale.is_finite() && offset.is_finite())
                .then_some((scale, offset))
        };
        let (inner, line) = match self {
            Expr::Unary(Unary::Neg, e) => (&**e, changed(e, -1.0, 0.0)),
            Expr::Binary(op, a, b) => match (op, a.constant(), b.constant()) {
                (Binary::Add, None, Some(c)) => (&**a, changed(a, 1.0, c)),
                (Binary::Add, Some(c), None) => (&**b, changed(b, 1.0, c)),
                (Binary::Sub, None, Some(c)) => (&**a, changed(a, 1.0, -c)),
                (Binary::Sub, Some(c), None) => (&**b, changed(b, -1.0, c)),
                (Binary::Mul, None, Some(c)) => (&**a, changed(a, c, 0.0)),
                (Binary::Mul, Some(c), None) => (&**b, changed(b, c, 0.0)),
                (Binary::Div, None, Some(c)) => (&**a, changed(a, 1.0 / c, 0.0)),
                _ => (self, None),
            },
            _ => (self, None),
        };
        let Some((scale, offset)) = line else {
            return (1.0, 0.0, self);
        };
        let (s, o, e) = inner.outer_line();
        (s * scale, o * scale + offset, e)
    }

    /// The expression as a clamped linear function, where it is one.
    pub fn clamped(&self) -> Option<Clamped> {
        let free = Clamped {
            scale: 1.0,
            offset: 0.0,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        };
        match self {
            Expr::X => Some(free),
            Expr::Const(_) | Expr::Select(_) => None,
            Expr::Unary(Unary::Neg, e) => e.clamped().map(|c| c.times(-1.0)),
            Expr::Unary(..) => None,
            Expr::Binary(op, a, b) => match (op, a.constant(), b.constant()) {
                (_, Some(_), Some(_)) => None,
                (Binary::Add, Some(c), None) => Some(b.clamped()?.plus(c)),
                (Binary::Add, None, Some(c)) => Some(a.clamped()?.plus(c)),
                (Binary::Sub, None, Some(c)) => Some(a.clamped()?.plus(-c)),
                (Binary::Sub, Some(c), None) => Some(b.clamped()?.times(-1.0).plus(c)),
                (Binary::Mul, Some(c), None) if c != 0.0 => Some(b.clamped()?.times(c)),
                (Binary::Mul, None, Some(c)) if c != 0.0 => Some(a.clamped()?.times(c)),
                (Binary::Div, None, Some(c)) if c != 0.0 => Some(a.clamped()?.times(1.0 / c)),
                (Binary::Min, Some(c), None) => Some(b.clamped()?.at_most(c)),
                (Binary::Min, None, Some(c)) => Some(a.clamped()?.at_most(c)),
                (Binary::Max, Some(c), None) => Some(b.clamped()?.at_least(c)),
                (Binary::Max, None, Some(c)) => Some(a.clamped()?.at_least(c)),
                _ => None,
            },
        }
    }
}

impl Clamped {
    fn plus(self, c: f64) -> Self {
        Clamped {
            offset: self.offset + c,
            low: self.low + c,
            high: self.high + c,
            ..self
        }
    }

    fn times(self, c: f64) -> Self {
        let (low, high) = (self.low * c, self.high * c);
        Clamped {
            scale: self.scale * c,
            offset: self.offset * c,
            low: if c < 0.0 { high } else { low },
            high: if c < 0.0 { low } else { high },
        }
    }

    fn at_most(self, c: f64) -> Self {
        Clamped {
            low: Binary::Min.eval(self.low, c),
            high: Binary::Min.eval(self.high, c),
            ..self
        }
    }

    fn at_least(self, c: f64) -> Self {
        Clamped {
            low: Binary::Max.eval(self.low, c),
            high: Binary::Max.eval(self.high, c),
            ..self
        }
    }

    /// Whether x only gets clamped. Exporters write 1/n in f32, so that sum and division cancel to within 2^-22.
    pub fn keeps_scale(&self) -> bool {
        (self.scale - 1.0).abs() < 4e-7 && self.offset == 0.0
    }

    /// Whether nothing is clamped.
    pub fn unbounded(&self) -> bool {
        self.low == f64::NEG_INFINITY && self.high == f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relu6_of_a_shifted_value_is_a_clamped_line() {
        let e = Expr::clamp(0.0, 6.0).of(&Expr::affine(2.0, 3.0));
        let c = e.clamped().unwrap();
        assert_eq!((c.scale, c.offset, c.low, c.high), (2.0, 3.0, 0.0, 6.0));
        assert_eq!(e.eval(-9.0), 0.0);
        assert_eq!(e.eval(1.0), 5.0);
    }

    #[test]
    fn lines_around_a_function_come_off() {
        let inner = Expr::unary(Unary::Tanh, Expr::affine(2.0, 1.0));
        let half = Expr::binary(Binary::Div, inner.clone(), Expr::Const(2.0));
        let e = Expr::unary(
            Unary::Neg,
            Expr::binary(Binary::Sub, Expr::Const(3.0), Expr::affine(4.0, 5.0).of(&half)),
        );
        let (scale, offset, core) = e.outer_line();
        assert_eq!((scale, offset, core), (2.0, 2.0, &inner));
        assert!((scale * core.eval(0.3) + offset - e.eval(0.3)).abs() < 1e-12);
        assert_eq!(inner.outer_line(), (1.0, 0.0, &inner));
    }

    #[test]
    fn a_negative_factor_swaps_the_limits() {
        let e = Expr::affine(-2.0, 1.0).of(&Expr::clamp(0.0, 6.0));
        let c = e.clamped().unwrap();
        assert_eq!((c.scale, c.offset, c.low, c.high), (-2.0, 1.0, -11.0, 1.0));
        for x in [-1.0, 0.5, 7.0] {
            assert_eq!((c.scale * x + c.offset).clamp(c.low, c.high), e.eval(x));
        }
    }

    #[test]
    fn rounding_to_a_format_gives_what_its_bits_decode_to() {
        for format in [
            Narrow::F16,
            Narrow::E4M3,
            Narrow::E4M3Z,
            Narrow::E5M2,
            Narrow::E5M2Z,
            Narrow::Bf16,
        ] {
            let top = if matches!(format, Narrow::F16 | Narrow::Bf16) {
                1u32 << 16
            } else {
                1 << 8
            };
            for bits in 0..top {
                let x = format.decode(bits as u16);
                if x.is_finite() {
                    assert_eq!(format.round(x, true), x, "{format:?} {bits:x}");
                }
            }
        }
        assert_eq!(Narrow::E4M3.round(1000.0, true), 448.0);
        assert!(Narrow::E4M3.round(1000.0, false).is_nan());
        assert_eq!(Narrow::F16.round(-1e6, true), f64::NEG_INFINITY);
        assert_eq!(Narrow::F16.round(2049.0, true), 2048.0);
        assert_eq!(Narrow::F16.decode(0x3555), 0.333251953125);
    }

    #[test]
    fn the_size_of_a_composition_is_known_before_it_is_made() {
        let f = Expr::binary(Binary::Mul, Expr::X, Expr::unary(Unary::Erf, Expr::X));
        let g = Expr::Select(Box::new([Expr::X, Expr::affine(2.0, 1.0), Expr::Const(3.0)]));
        for (f, g) in [(&f, &g), (&g, &f), (&f, &f), (&f, &Expr::X)] {
            assert_eq!(f.size_of(g), f.of(g).size());
        }
    }

    #[test]
    fn a_hard_swish_is_no_clamped_line() {
        let gate = Expr::clamp(0.0, 1.0).of(&Expr::affine(1.0 / 6.0, 0.5));
        let e = Expr::binary(Binary::Mul, Expr::X, gate);
        assert_eq!(e.clamped(), None);
        assert_eq!(e.eval(3.0), 3.0);
        assert_eq!(e.eval(-3.0), 0.0);
    }
}
