//! The front end for everything but ai.onnx.ml: ONNX through tract's typed graph.

use std::panic::{catch_unwind, AssertUnwindSafe};

use aiinference_engine::graph::Window;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Pad, PadMode, Slice, Tile, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::prefix_matmul::{rewrite_einsum_to_prefix_matmul, PrefixMatMul};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::{DataFormat, LeakyRelu, NearestUpsample, Reduce, Reducer, Softmax, SoftmaxKind};

use crate::error::{ConvertError, Result};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, window_extents, Id, Kind, Net, NetOutput};
use crate::onnx::OnnxInput;

/// The float model as tract runs it.
pub struct Reference {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<(DatumType, Vec<usize>)>,
}

/// Reads a model: the float graph, and tract's own version of it to compare with.
pub fn import(model: &pb::ModelProto, inputs: &[OnnxInput]) -> Result<(Net, Reference)> {
    let typed = guarded(|| load(model, inputs))?;
    let names: Vec<String> = match &model.graph {
        Some(g) => g.output.iter().map(|o| o.name.clone()).collect(),
        None => vec![],
    };
    let net = Walker::walk(&typed, inputs, &names)?;
    let types = typed.input_outlets().map(|outlets| {
        let facts = outlets.iter().filter_map(|o| typed.outlet_fact(*o).ok());
        facts.map(|f| f.datum_type).collect::<Vec<_>>()
    });
    let plan = guarded(|| Ok(typed.clone().into_runnable()?))?;
    let inputs = types
        .unwrap_or_default()
        .into_iter()
        .zip(inputs.iter().map(|i| i.shape.clone()));
    Ok((
        net,
        Reference {
            plan,
            inputs: inputs.collect(),
        },
    ))
}

/// Runs a part of tract; what it panics with becomes an error.
fn guarded<T>(f: impl FnOnce() -> TractResult<T>) -> Result<T> {
    let fail = |reason: String| ConvertError::Parse { reason };
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(fail(format!("{e:#}"))),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(fail(format!(
                "the importer (tract) stopped with {:?}",
                text.unwrap_or_else(|| "an unknown fault".into())
            )))
        }
    }
}

fn load(model: &pb::ModelProto, inputs: &[OnnxInput]) -> TractResult<TypedModel> {
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut inference = onnx.model_for_proto_model(model)?;
    for (i, input) in inputs.iter().enumerate() {
        let datum_type = DatumType::try_from(input.data_type)?;
        inference.set_input_fact(i, InferenceFact::dt_shape(datum_type, input.shape.as_slice()))?;
    }
    let mut typed = inference.into_typed()?.into_decluttered()?;
    rewrite_einsum_to_prefix_matmul(&mut typed, true)?;
    Ok(typed)
}

impl Reference {
    /// The outputs for one sample.
    pub fn run(&self, sample: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        guarded(|| {
            let mut tensors = tvec!();
            for (values, (datum_type, shape)) in sample.iter().zip(&self.inputs) {
                let tensor = Tensor::from_shape(shape, values)?;
                tensors.push(tensor.cast_to_dt(*datum_type)?.into_owned().into_tvalue());
            }
            let outputs = self.plan.run(tensors)?;
            outputs.iter().map(|t| elements(t)).collect()
        })
    }
}

fn elements(t: &Tensor) -> TractResult<Vec<f64>> {
    let t = t.cast_to::<f64>()?;
    Ok(t.to_plain_array_view::<f64>()?.iter().copied().collect())
}

/// Writes a typed model's nodes into a net.
struct Walker<'a> {
    model: &'a TypedModel,
    net: Net,
    /// Value of each outlet that has been written.
    values: std::collections::BTreeMap<OutletId, Id>,
}

impl<'a> Walker<'a> {
    fn walk(model: &'a TypedModel, inputs: &[OnnxInput], names: &[String]) -> Result<Net> {
        let mut walker = Walker {
            model,
            net: Net::default(),
            values: Default::default(),
        };
        for (outlet, input) in model.inputs.iter().zip(inputs) {
            let id = walker
                .net
                .push(&input.name, Kind::Input(input.declared()), input.shape.clone());
            walker.net.inputs.push(id);
            walker.values.insert(*outlet, id);
        }
        for id in guarded(|| model.eval_order())? {
            let node = model.node(id);
            if walker.values.contains_key(&OutletId::new(id, 0)) {
                continue;
            }
            let value = walker.node(node)?;
            walker.values.insert(OutletId::new(id, 0), value);
        }
        for (outlet, name) in model.outputs.iter().zip(names) {
            let value = walker.value(*outlet)?;
            walker.net.outputs.push(NetOutput {
                name: name.clone(),
                value,
                labels: vec![],
            });
        }
        Ok(walker.net)
    }

    fn unsupported<T>(&self, node: &TypedNode, reason: impl Into<String>, advice: impl Into<String>) -> Result<T> {
        Err(ConvertError::Unsupported {
            node: node.name.clone(),
            op: node.op.name().to_string(),
            reason: reason.into(),
            advice: advice.into(),
        })
    }

    /// The value of an outlet; known constants are stored on demand.
    fn value(&mut self, outlet: OutletId) -> Result<Id> {
        if let Some(id) = self.values.get(&outlet) {
            return Ok(*id);
        }
        let node = self.model.node(outlet.node);
        let fact = guarded(|| Ok(self.model.outlet_fact(outlet)?.clone()))?;
        if let Some(tensor) = &fact.konst {
            let values = guarded(|| elements(tensor))?;
            let id = self.net.push(&node.name, Kind::Const(values), tensor.shape().to_vec());
            self.values.insert(outlet, id);
            return Ok(id);
        }
        self.unsupported(
            node,
            format!("its output {} is read", outlet.slot),
            "use only the node's first output",
        )
    }

    fn operand(&mut self, node: &TypedNode, i: usize) -> Result<Id> {
        match node.inputs.get(i) {
            Some(outlet) => self.value(*outlet),
            None => self.unsupported(node, format!("operand {i} is missing"), "export the model again"),
        }
    }

    /// The concrete shape of a node's first output.
    fn shape(&self, node: &TypedNode) -> Result<Vec<usize>> {
        let shape = node.outputs.first().and_then(|o| o.fact.shape.as_concrete());
        match shape {
            Some(s) if s.iter().all(|d| *d > 0) => Ok(s.to_vec()),
            _ => self.unsupported(
                node,
                "its shape depends on the data or is empty",
                "export the model with fixed shapes (batch excepted)",
            ),
        }
    }

    fn node(&mut self, node: &TypedNode) -> Result<Id> {
        // What tract has computed already needs no operation.
        if node.outputs.first().is_some_and(|o| o.fact.konst.is_some()) {
            return self.value(OutletId::new(node.id, 0));
        }
        let shape = self.shape(node)?;
        let name = node.name.as_str();
        if let Some(op) = node.op_as::<TypedBinOp>() {
            let (a, b) = (self.operand(node, 0)?, self.operand(node, 1)?);
            return self.binary(node, op.0.name(), a, b);
        }
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            let x = self.operand(node, 0)?;
            let f = self.function(node, op)?;
            return Ok(self.net.map(name, x, f));
        }
        if let Some(op) = node.op_as::<AxisOp>() {
            let x = self.operand(node, 0)?;
            return Ok(match op {
                AxisOp::Move(from, to) => {
                    let mut axes: Vec<usize> = (0..shape.len()).collect();
                    let moved = axes.remove(*from);
                    axes.insert(*to, moved);
                    self.net.transpose(name, x, axes)
                }
                _ => self.net.reshape(name, x, shape),
            });
        }
        if let Some(op) = node.op_as::<PrefixMatMul>() {
            return self.matmul(node, op, shape);
        }
        if let Some(op) = node.op_as::<Conv>() {
            return self.conv(node, op, shape);
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            let x = self.operand(node, 0)?;
            return self.pool(node, &op.pool_spec, x, shape, |x, window| Kind::MaxPool { x, window });
        }
        if let Some(op) = node.op_as::<SumPool>() {
            let x = self.operand(node, 0)?;
            let size: usize = op.pool_spec.kernel_shape.iter().product();
            let count_padding = op.count_include_pad || !op.normalize;
            let mean = self.pool(node, &op.pool_spec, x, shape, |x, window| Kind::AvgPool {
                x,
                window,
                count_padding,
            })?;
            return Ok(if op.normalize {
                mean
            } else {
                self.net.map(name, mean, Expr::affine(size as f64, 0.0))
            });
        }
        if let Some(op) = node.op_as::<Reduce>() {
            return self.reduce(node, op, shape);
        }
        if let Some(op) = node.op_as::<Softmax>() {
            return self.softmax(node, op, shape);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            let xs = (0..node.inputs.len())
                .map(|i| self.operand(node, i))
                .collect::<Result<_>>()?;
            return Ok(self.net.push(name, Kind::Concat { xs, axis: op.axis }, shape));
        }
        if let Some(op) = node.op_as::<Slice>() {
            let x = self.operand(node, 0)?;
            let Ok(start) = op.start.to_usize() else {
                return self.unsupported(node, "it starts at an index that is not constant", "slice by constants");
            };
            return Ok(self.slice(name, x, op.axis, start, 1, shape[op.axis]));
        }
        if let Some(op) = node.op_as::<Downsample>() {
            let x = self.operand(node, 0)?;
            let Ok(step) = usize::try_from(op.stride) else {
                return self.unsupported(node, "it steps backwards", "slice with a positive step");
            };
            return Ok(self.slice(name, x, op.axis, op.modulo, step, shape[op.axis]));
        }
        if let Some(op) = node.op_as::<NearestUpsample>() {
            let x = self.operand(node, 0)?;
            return self.upsample(node, x, &op.scales, shape);
        }
        if let Some(op) = node.op_as::<Cast>() {
            return self.cast(node, op);
        }
        if let Some(op) = node.op_as::<MultiBroadcastTo>() {
            let _ = op;
            let x = self.operand(node, 0)?;
            let missing = shape.len() - self.net.shape(x).len();
            let mut aligned = vec![1; missing];
            aligned.extend_from_slice(self.net.shape(x));
            let mut x = self.net.reshape(name, x, aligned.clone());
            for axis in 0..shape.len() {
                if aligned[axis] != shape[axis] {
                    x = self.repeat(name, x, axis, shape[axis]);
                }
            }
            return Ok(x);
        }
        if let Some(op) = node.op_as::<Tile>() {
            let _ = op;
            let mut x = self.operand(node, 0)?;
            for axis in 0..shape.len() {
                let times = shape[axis] / self.net.shape(x)[axis];
                if times > 1 {
                    x = self.repeat(name, x, axis, times);
                }
            }
            return Ok(x);
        }
        if let Some(op) = node.op_as::<Pad>() {
            return self.pad(node, op);
        }
        if let Some(op) = node.op_as::<Gather>() {
            return self.gather(node, op, shape);
        }
        if node.op_is::<Iff>() {
            return self.select(node, shape);
        }
        let op = node.op.name().to_string();
        let advice = match op.as_str() {
            n if n.contains("Deconv") || n.contains("ConvTranspose") => {
                "write it as Resize (nearest, whole factors) followed by Conv"
            }
            n if n.contains("Resize") => "the nearest thing is Resize with mode nearest and whole scale factors",
            n if n.contains("EinSum") || n.contains("MatMul") => "write it as MatMul with constant weights",
            n if n.contains("Scan") || n.contains("Lstm") || n.contains("Gru") => {
                "unroll the recurrence over a fixed number of steps, or give the state as input and output"
            }
            n if n.contains("Quant") => "convert the float model: this converter quantises by itself",
            n if n.contains("RmsNorm") => "fold the normalisation away or replace it by BatchNormalization",
            _ => "convertible are MatMul, Gemm, Conv, elementwise functions, Softmax, pooling, Resize (nearest), reshapes, Concat, Slice, ArgMax and tree ensembles",
        };
        self.unsupported(node, "the integer engine has no such operation", advice)
    }

    /// An elementwise operation as an expression.
    fn function(&self, node: &TypedNode, op: &ElementWiseOp) -> Result<Expr> {
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
    fn as_function(&self, id: Id) -> (Option<Id>, Expr) {
        match &self.net.nodes[id].kind {
            Kind::Const(v) if !v.is_empty() && v.iter().all(|x| *x == v[0]) => (None, Expr::Const(v[0])),
            Kind::Map { x, f } => (Some(*x), f.clone()),
            _ => (Some(id), Expr::X),
        }
    }

    fn binary(&mut self, node: &TypedNode, op: &str, a: Id, b: Id) -> Result<Id> {
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
    fn affine(&mut self, name: &str, x: Id, scale: Option<Id>, offset: Option<Id>, shape: &[usize]) -> Option<Id> {
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

    fn matmul(&mut self, node: &TypedNode, op: &PrefixMatMul, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let (a, b) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let weights_first = self.net.constant(a).is_some();
        if !weights_first && self.net.constant(b).is_none() {
            return self.unsupported(
                node,
                "it multiplies two activations",
                "one operand of a MatMul must be constant (weights); attention between activations is not convertible yet",
            );
        }
        let (x, w) = if weights_first { (b, a) } else { (a, b) };
        let wshape = self.net.shape(w).to_vec();
        let rank = wshape.len();
        if rank < 2 || wshape[..rank - 2].iter().any(|d| *d != 1) {
            return self.unsupported(
                node,
                "its weights differ along a batch axis",
                "use one weight matrix, or a grouped Conv",
            );
        }
        // Weights to [N, K], N being the axis that is not summed.
        let (w0, w1) = (wshape[rank - 2], wshape[rank - 1]);
        let values = self.net.constant(w).unwrap_or_default();
        // A is [m, k] (or [k, m] if transposed), B is [k, n] (or [n, k]).
        let is_nk = if weights_first { !op.transpose_a } else { op.transpose_b };
        let (weights, n) = if is_nk {
            (values.to_vec(), w0)
        } else {
            (crate::eval::transpose(values, &[w0, w1], &[1, 0]), w1)
        };
        // x to [.., rows, k].
        let x_is_rows = if weights_first { op.transpose_b } else { !op.transpose_a };
        let swap = |rank: usize| {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(rank - 1, rank - 2);
            axes
        };
        let xrank = self.net.shape(x).len();
        let x = if x_is_rows {
            x
        } else {
            self.net.transpose(name, x, swap(xrank))
        };
        let mut out = self.net.shape(x).to_vec();
        if let Some(last) = out.last_mut() {
            *last = n;
        }
        let bias = vec![0.0; n];
        let y = self.net.push(name, Kind::Linear { x, weights, bias }, out);
        // y is [.., rows, n]: C itself, or its transpose where the weights came first or C is asked for transposed.
        let y = if weights_first == op.transpose_c {
            y
        } else {
            self.net.transpose(name, y, swap(xrank))
        };
        debug_assert_eq!(self.net.shape(y), shape);
        Ok(y)
    }

    fn conv(&mut self, node: &TypedNode, op: &Conv, shape: Vec<usize>) -> Result<Id> {
        if op.q_params.is_some() {
            return self.unsupported(
                node,
                "it is quantised already",
                "convert the float model: this converter quantises by itself",
            );
        }
        let (x, kernel, bias) = (self.operand(node, 0)?, self.operand(node, 1)?, self.operand(node, 2)?);
        let (Some(w), Some(b)) = (self.net.constant(kernel), self.net.constant(bias)) else {
            return self.unsupported(node, "its kernel or bias is computed", "use constant weights");
        };
        let kshape = self.net.shape(kernel).to_vec();
        let spatial = kshape.len() - 2;
        let axes: Vec<usize> = match op.kernel_fmt {
            KernelFormat::OIHW => (0..kshape.len()).collect(),
            KernelFormat::HWIO => [spatial + 1, spatial].into_iter().chain(0..spatial).collect(),
            KernelFormat::OHWI => [0, spatial + 1].into_iter().chain(1..=spatial).collect(),
        };
        let channels = op.pool_spec.output_channels;
        let weights = crate::eval::transpose(w, &kshape, &axes);
        let bias = if b.len() == channels {
            b.to_vec()
        } else {
            vec![b.first().copied().unwrap_or(0.0); channels]
        };
        let groups = op.group;
        self.pool(node, &op.pool_spec, x, shape, |x, window| Kind::Conv {
            x,
            weights,
            bias,
            window,
            groups,
        })
    }

    /// A sliding window over one or two spatial axes, as one over `[B, C, H, W]`.
    fn pool(
        &mut self,
        node: &TypedNode,
        spec: &PoolSpec,
        x: Id,
        shape: Vec<usize>,
        kind: impl FnOnce(Id, Window) -> Kind,
    ) -> Result<Id> {
        let name = node.name.as_str();
        let spatial = spec.kernel_shape.len();
        if spatial == 0 || spatial > 2 {
            return self.unsupported(
                node,
                format!("it has {spatial} spatial axes"),
                "1-d and 2-d windows are convertible",
            );
        }
        let mut from = self.net.shape(x).to_vec();
        let (batched, channels_last) = match spec.data_format {
            DataFormat::NCHW => (true, false),
            DataFormat::NHWC => (true, true),
            DataFormat::CHW => (false, false),
            DataFormat::HWC => (false, true),
        };
        let first = usize::from(batched);
        let mut x = x;
        if channels_last {
            let mut axes: Vec<usize> = (0..first).collect();
            axes.push(from.len() - 1);
            axes.extend(first..from.len() - 1);
            x = self.net.transpose(name, x, axes);
            from = self.net.shape(x).to_vec();
        }
        let (strides, dilations) = (spec.strides(), spec.dilations());
        let padding = spec.computed_padding(&from[first + 1..]);
        let mut window = Window {
            kernel: [1; 2],
            strides: [1; 2],
            dilations: [1; 2],
            pads: [0; 4],
        };
        let mut image = vec![if batched { from[0] } else { 1 }, from[first], 1, 1];
        for i in 0..spatial {
            let at = 2 - spatial + i;
            window.kernel[at] = spec.kernel_shape[i] as u32;
            window.strides[at] = strides[i] as u32;
            window.dilations[at] = dilations[i] as u32;
            window.pads[at] = padding[i].pad_before as u32;
            window.pads[at + 2] = padding[i].pad_after as u32;
            image[2 + at] = from[first + 1 + i];
        }
        let Some([h, w]) = window_extents([image[2], image[3]], &window) else {
            return self.unsupported(
                node,
                "its window is larger than the image",
                "pad the image or shrink the window",
            );
        };
        let mut out = vec![image[0], spec.output_channels, h, w];
        let x = self.net.reshape(name, x, image);
        let y = self.net.push(name, kind(x, window), out.clone());
        if out.iter().product::<usize>() != shape.iter().product::<usize>() {
            return self.unsupported(
                node,
                "its output is rounded up in size (ceil_mode)",
                "export with ceil_mode=0 and explicit padding",
            );
        }
        let y = if channels_last {
            out.swap(1, 2);
            out.swap(2, 3);
            self.net.transpose(name, y, vec![0, 2, 3, 1])
        } else {
            y
        };
        Ok(self.net.reshape(name, y, shape))
    }

    fn reduce(&mut self, node: &TypedNode, op: &Reduce, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let mut x = self.operand(node, 0)?;
        let from = self.net.shape(x).to_vec();
        let (keep, gone): (Vec<usize>, Vec<usize>) = (0..from.len()).partition(|a| !op.axes.contains(a));
        let outer: usize = keep.iter().map(|a| from[*a]).product();
        let inner: usize = gone.iter().map(|a| from[*a]).product();
        match op.reducer {
            Reducer::MeanOfSquares => x = self.net.map(name, x, Expr::unary(Unary::Square, Expr::X)),
            Reducer::Min => x = self.net.map(name, x, Expr::affine(-1.0, 0.0)),
            _ => {}
        }
        let axes: Vec<usize> = keep.iter().chain(&gone).copied().collect();
        let x = self.net.transpose(name, x, axes);
        let y = match op.reducer {
            Reducer::ArgMax(false) => {
                let x = self.net.reshape(name, x, vec![outer, inner]);
                self.net.push(name, Kind::ArgMax { x }, vec![outer])
            }
            Reducer::Sum | Reducer::MeanOfSquares | Reducer::Max | Reducer::Min => {
                // Over H and W of an image the window is the image.
                let (image, kernel) = if from.len() == 4 && gone == [2, 3] {
                    (from.clone(), [from[2] as u32, from[3] as u32])
                } else {
                    (vec![1, outer, 1, inner], [1, inner as u32])
                };
                let out = vec![image[0], image[1], 1, 1];
                let x = self.net.reshape(name, x, image);
                let window = Window {
                    kernel,
                    strides: [1; 2],
                    dilations: [1; 2],
                    pads: [0; 4],
                };
                if matches!(op.reducer, Reducer::Max | Reducer::Min) {
                    self.net.push(name, Kind::MaxPool { x, window }, out)
                } else {
                    let kind = Kind::AvgPool {
                        x,
                        window,
                        count_padding: false,
                    };
                    self.net.push(name, kind, out)
                }
            }
            _ => {
                let reason = format!("the reduction {:?} has no integer counterpart", op.reducer);
                return self.unsupported(
                    node,
                    reason,
                    "sums, means, maxima, minima and ArgMax (first of equals) work",
                );
            }
        };
        let y = self.net.reshape(name, y, shape);
        Ok(match op.reducer {
            Reducer::Sum => self.net.map(name, y, Expr::affine(inner as f64, 0.0)),
            Reducer::Min => self.net.map(name, y, Expr::affine(-1.0, 0.0)),
            _ => y,
        })
    }

    fn softmax(&mut self, node: &TypedNode, op: &Softmax, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        let x = self.operand(node, 0)?;
        let from = self.net.shape(x).to_vec();
        let (keep, gone): (Vec<usize>, Vec<usize>) = (0..from.len()).partition(|a| !op.axes.contains(a));
        let axes: Vec<usize> = keep.iter().chain(&gone).copied().collect();
        let mut back = vec![0; axes.len()];
        for (i, a) in axes.iter().enumerate() {
            back[*a] = i;
        }
        let moved = self.net.transpose(name, x, axes);
        let moved_shape = self.net.shape(moved).to_vec();
        let rows: usize = keep.iter().map(|a| from[*a]).product();
        let flat = vec![rows, from.iter().product::<usize>() / rows];
        let x = if gone.len() == 1 {
            moved
        } else {
            self.net.reshape(name, moved, flat)
        };
        let within = self.net.shape(x).to_vec();
        let y = self.net.push(name, Kind::Softmax { x }, within);
        let y = self.net.reshape(name, y, moved_shape);
        let y = self.net.transpose(name, y, back);
        let y = self.net.reshape(name, y, shape);
        Ok(match op.kind {
            SoftmaxKind::Softmax => y,
            SoftmaxKind::LogSoftmax => self.net.map(name, y, Expr::unary(Unary::Ln, Expr::X)),
        })
    }

    fn slice(&mut self, name: &str, x: Id, axis: usize, start: usize, step: usize, length: usize) -> Id {
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

    fn repeat(&mut self, name: &str, x: Id, axis: usize, times: usize) -> Id {
        let mut shape = self.net.shape(x).to_vec();
        shape[axis] *= times;
        let xs = vec![x; times];
        self.net.push(name, Kind::Concat { xs, axis }, shape)
    }

    fn upsample(&mut self, node: &TypedNode, x: Id, scales: &[usize], shape: Vec<usize>) -> Result<Id> {
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

    fn cast(&mut self, node: &TypedNode, op: &Cast) -> Result<Id> {
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

    fn pad(&mut self, node: &TypedNode, op: &Pad) -> Result<Id> {
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
    fn gather(&mut self, node: &TypedNode, op: &Gather, shape: Vec<usize>) -> Result<Id> {
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
        let step = if indices.len() > 1 {
            indices[1].wrapping_sub(indices[0])
        } else {
            1
        };
        let even = step > 0 && indices.windows(2).all(|w| w[1] > w[0] && w[1] - w[0] == step);
        let y = if even {
            self.slice(name, x, op.axis, indices[0], step, indices.len())
        } else {
            let xs: Vec<Id> = indices.iter().map(|i| self.slice(name, x, op.axis, *i, 1, 1)).collect();
            let mut out = self.net.shape(x).to_vec();
            out[op.axis] = indices.len();
            self.net.push(name, Kind::Concat { xs, axis: op.axis }, out)
        };
        Ok(self.net.reshape(name, y, shape))
    }

    /// `Where`: between functions of one value it is a function; otherwise by multiplication with the condition.
    fn select(&mut self, node: &TypedNode, shape: Vec<usize>) -> Result<Id> {
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
