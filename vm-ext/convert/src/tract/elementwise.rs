//! Operations on every element by itself.

use super::*;

impl Walker<'_> {
    /// An elementwise operation as an expression.
    pub(super) fn function(&self, node: &TypedNode, op: &ElementWiseOp) -> Result<Expr> {
        let x = Expr::X;
        let c = |v: f64| Expr::Const(v);
        if let Some(leaky) = op.0.downcast_ref::<LeakyRelu>() {
            let negative = Expr::binary(Binary::Mul, Expr::X, c(f64::from(leaky.alpha)));
            let is_negative = Expr::binary(Binary::Less, Expr::X, c(0.0));
            return Ok(Expr::Select(Box::new([is_negative, negative, x])));
        }
        if let Some(pow) = op.0.downcast_ref::<PowConst>() {
            return Ok(Expr::binary(Binary::Pow, x, c(f64::from(pow.exponent))));
        }
        let unary = match op.0.name().as_str() {
            "Neg" => Unary::Neg,
            "Abs" => Unary::Abs,
            "Exp" => Unary::Exp,
            "Ln" => Unary::Ln,
            "Sqrt" => Unary::Sqrt,
            "Rsqrt" => Unary::Rsqrt,
            "Recip" => Unary::Recip,
            "Square" => Unary::Square,
            "Sigmoid" => Unary::Sigmoid,
            "Tanh" => Unary::Tanh,
            "Erf" => Unary::Erf,
            "Floor" => Unary::Floor,
            "Ceil" => Unary::Ceil,
            "Round" => Unary::Round,
            "RoundHalfToEven" => Unary::RoundEven,
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
            "Not" => return Ok(Expr::binary(Binary::Sub, c(1.0), x)),
            "HardSwish" => {
                let gate = Expr::clamp(0.0, 1.0).of(&Expr::affine(1.0 / 6.0, 0.5));
                return Ok(Expr::binary(Binary::Mul, x, gate));
            }
            "Silu" => {
                let gate = Expr::unary(Unary::Sigmoid, Expr::X);
                return Ok(Expr::binary(Binary::Mul, x, gate));
            }
            "GeluExact" => {
                let erf = Expr::unary(Unary::Erf, Expr::affine(std::f64::consts::FRAC_1_SQRT_2, 0.0));
                return Ok(gate(erf));
            }
            "GeluApproximate" => {
                // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
                let square = Expr::unary(Unary::Square, Expr::X);
                let inner = Expr::affine(0.044715, 1.0).of(&square);
                let inner = Expr::binary(Binary::Mul, Expr::X, inner);
                let root = 0.797_884_560_802_865_4;
                let tanh = Expr::unary(Unary::Tanh, Expr::affine(root, 0.0).of(&inner));
                return Ok(gate(tanh));
            }
            other => {
                let reason = format!("the elementwise function {other} is unknown to the converter");
                return self.unsupported(
                    node,
                    reason,
                    "compose it of Add, Mul, Exp, Log, Tanh, Sigmoid, Erf, Sqrt",
                );
            }
        };
        Ok(Expr::unary(unary, x))
    }

    /// A value as a function of another one.
    pub(super) fn as_function(&self, id: Id) -> (Option<Id>, Expr) {
        match &self.net.nodes[id].kind {
            Kind::Const(v) if !v.is_empty() && v.iter().all(|x| *x == v[0]) => (None, Expr::Const(v[0])),
            Kind::Map { x, f } => (Some(*x), f.clone()),
            _ => (Some(id), Expr::X),
        }
    }

    pub(super) fn binary(&mut self, node: &TypedNode, op: &str, a: Id, b: Id) -> Result<Id> {
        let name = node.name.as_str();
        let shape = self.shape(node)?;
        let (op, a, b) = match op {
            "Add" => (Binary::Add, a, b),
            "Sub" => (Binary::Sub, a, b),
            "SubF" => (Binary::Sub, b, a),
            "Mul" => (Binary::Mul, a, b),
            "Div" => (Binary::Div, a, b),
            "Min" => (Binary::Min, a, b),
            "Max" => (Binary::Max, a, b),
            "Pow" => (Binary::Pow, a, b),
            "LT" => (Binary::Less, a, b),
            "LTE" => (Binary::LessEqual, a, b),
            "GT" => (Binary::Less, b, a),
            "GTE" => (Binary::LessEqual, b, a),
            "Eq" => (Binary::Equal, a, b),
            // Booleans are 0 and 1.
            "And" => (Binary::Min, a, b),
            "Or" => (Binary::Max, a, b),
            other => {
                let reason = format!("the operation {other} is unknown to the converter");
                return self.unsupported(node, reason, "compose it of Add, Sub, Mul, Div, Min and Max");
            }
        };
        let (ca, cb) = (self.net.constant(a).is_some(), self.net.constant(b).is_some());
        let ((xa, fa), (xb, fb)) = (self.as_function(a), self.as_function(b));
        let source = match (xa, xb) {
            (Some(x), None) if !cb || self.net.shape(a) == shape => Some(x),
            (None, Some(x)) if self.net.shape(b) == shape => Some(x),
            (Some(x), Some(y)) if x == y && self.net.shape(x) == shape => Some(x),
            _ => None,
        };
        if let Some(x) = source.filter(|x| self.net.shape(*x) == shape && self.net.constant(*x).is_none()) {
            return Ok(self.net.map(name, x, Expr::binary(op, fa, fb)));
        }
        let const_with = |c: Id, f: &dyn Fn(f64) -> f64, net: &mut Net| {
            let values = net
                .constant(c)
                .map(|v| v.iter().map(|x| f(*x)).collect())
                .unwrap_or_default();
            let shape = net.shape(c).to_vec();
            net.push(name, Kind::Const(values), shape)
        };
        match op {
            Binary::Add | Binary::Sub => {
                let sign = if op == Binary::Add { 1.0 } else { -1.0 };
                if cb {
                    let offsets = const_with(b, &|v| sign * v, &mut self.net);
                    if let Some(id) = self.affine(name, a, None, Some(offsets), &shape) {
                        return Ok(id);
                    }
                }
                if ca {
                    let x = if sign < 0.0 {
                        self.net.map(name, b, Expr::affine(-1.0, 0.0))
                    } else {
                        b
                    };
                    if let Some(id) = self.affine(name, x, None, Some(a), &shape) {
                        return Ok(id);
                    }
                }
                Ok(self.net.push(name, Kind::Add { a, b, sign }, shape))
            }
            Binary::Mul | Binary::Div => {
                let b = match (op, cb) {
                    (Binary::Div, true) => const_with(b, &|v| 1.0 / v, &mut self.net),
                    (Binary::Div, false) => self.net.map(name, b, Expr::unary(Unary::Recip, Expr::X)),
                    _ => b,
                };
                if cb {
                    if let Some(id) = self.affine(name, a, Some(b), None, &shape) {
                        return Ok(id);
                    }
                }
                if ca {
                    if let Some(id) = self.affine(name, b, Some(a), None, &shape) {
                        return Ok(id);
                    }
                }
                Ok(self.net.push(name, Kind::Mul { a, b }, shape))
            }
            Binary::Min | Binary::Max => {
                // max(a, b) = b + max(a - b, 0), min likewise.
                let difference = self.net.push(name, Kind::Add { a, b, sign: -1.0 }, shape.clone());
                let part = self
                    .net
                    .map(name, difference, Expr::binary(op, Expr::X, Expr::Const(0.0)));
                Ok(self.net.push(name, Kind::Add { a: part, b, sign: 1.0 }, shape))
            }
            _ => self.unsupported(
                node,
                "it combines two different values",
                "comparisons and powers work between one value and constants; between two values use Sub and a clamp",
            ),
        }
    }

    /// `x * scale + offset` where the constants vary along one axis of x at most.
    pub(super) fn affine(
        &mut self,
        name: &str,
        x: Id,
        scale: Option<Id>,
        offset: Option<Id>,
        shape: &[usize],
    ) -> Option<Id> {
        if self.net.shape(x) != shape || self.net.constant(x).is_some() {
            return None;
        }
        let constant = scale.or(offset)?;
        let from = self.net.shape(constant);
        let missing = shape.len().checked_sub(from.len())?;
        let mut long = (0..from.len()).filter(|i| from[*i] != 1);
        let axis = missing + long.next()?;
        if long.next().is_some() {
            return None;
        }
        let channels = shape[axis];
        let values = |id: Option<Id>, default: f64| match id.and_then(|i| self.net.constant(i)) {
            Some(v) => v.to_vec(),
            None => vec![default; channels],
        };
        let (scale, offset) = (values(scale, 1.0), values(offset, 0.0));
        let kind = Kind::Affine { x, axis, scale, offset };
        Some(self.net.push(name, kind, shape.to_vec()))
    }

    pub(super) fn cast(&mut self, node: &TypedNode, op: &Cast) -> Result<Id> {
        let x = self.operand(node, 0)?;
        let from = guarded(|| Ok(self.model.outlet_fact(node.inputs[0])?.datum_type))?;
        if op.to == bool::datum_type() && from != bool::datum_type() {
            let zero = Expr::binary(Binary::Equal, Expr::X, Expr::Const(0.0));
            return Ok(self
                .net
                .map(&node.name, x, Expr::binary(Binary::Sub, Expr::Const(1.0), zero)));
        }
        if from.is_float() && op.to.is_integer() {
            // Towards zero.
            let whole = Expr::unary(Unary::Floor, Expr::unary(Unary::Abs, Expr::X));
            let f = Expr::binary(Binary::Mul, Expr::unary(Unary::Sign, Expr::X), whole);
            return Ok(self.net.map(&node.name, x, f));
        }
        Ok(x)
    }

    /// `Where`: between functions of one value it is a function; otherwise by multiplication with the condition.
    pub(super) fn select(&mut self, node: &TypedNode, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let (c, a, b) = (self.operand(node, 0)?, self.operand(node, 1)?, self.operand(node, 2)?);
        let parts = [c, a, b].map(|i| self.as_function(i));
        let mut sources = parts.iter().filter_map(|(x, _)| *x);
        let first = sources.next();
        if let Some(x) = first.filter(|x| sources.all(|y| y == *x) && self.net.shape(*x) == shape) {
            let f = Expr::Select(Box::new(parts.map(|(_, f)| f)));
            return Ok(self.net.map(name, x, f));
        }
        let [sc, sa, sb] = [c, a, b].map(|i| self.net.shape(i).to_vec());
        let inner = broadcast(&sa, &sb).unwrap_or_else(|| shape.clone());
        let difference = self.net.push(name, Kind::Add { a, b, sign: -1.0 }, inner.clone());
        let gated = broadcast(&sc, &inner).unwrap_or_else(|| shape.clone());
        let gated = self.net.push(name, Kind::Mul { a: c, b: difference }, gated);
        Ok(self.net.push(name, Kind::Add { a: gated, b, sign: 1.0 }, shape))
    }
}

/// `x * (1 + f(x)) / 2`.
fn gate(f: Expr) -> Expr {
    Expr::binary(Binary::Mul, Expr::X, Expr::affine(0.5, 0.5).of(&f))
}
