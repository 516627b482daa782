//! Typed nodes, one after another, into a net.

use std::collections::BTreeMap;

use super::*;

/// Writes a typed model's nodes into a net.
pub(super) struct Walker<'a> {
    pub(super) model: &'a TypedModel,
    pub(super) net: Net,
    /// Value of each outlet that has been written.
    values: BTreeMap<OutletId, Id>,
    /// Constants that were computed from constants.
    folded: BTreeMap<OutletId, Arc<Tensor>>,
}

impl<'a> Walker<'a> {
    pub(super) fn walk(model: &'a TypedModel, inputs: &[OnnxInput], names: &[String]) -> Result<Net> {
        let mut walker = Walker {
            model,
            net: Net::default(),
            values: BTreeMap::new(),
            folded: BTreeMap::new(),
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

    pub(super) fn unsupported<T>(
        &self,
        node: &TypedNode,
        reason: impl Into<String>,
        advice: impl Into<String>,
    ) -> Result<T> {
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
        if let Some(tensor) = self.constant(outlet)? {
            let values = guarded(|| elements(&tensor))?;
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

    /// The tensor of an outlet, where tract or the walker knows it.
    pub(super) fn constant(&self, outlet: OutletId) -> Result<Option<Arc<Tensor>>> {
        if let Some(tensor) = self.folded.get(&outlet) {
            return Ok(Some(tensor.clone()));
        }
        guarded(|| Ok(self.model.outlet_fact(outlet)?.konst.clone()))
    }

    /// Computes a node of which every operand is constant. False if it is none.
    fn fold(&mut self, node: &TypedNode) -> Result<bool> {
        let mut operands = tvec!();
        for outlet in &node.inputs {
            match self.constant(*outlet)? {
                Some(tensor) => operands.push(tensor.into_tvalue()),
                None => return Ok(false),
            }
        }
        if operands.is_empty() {
            return Ok(false);
        }
        let Some(outputs) = guarded(|| node.op.eval_out_of_plan(operands))? else {
            return Ok(false);
        };
        for (slot, output) in outputs.into_iter().enumerate() {
            self.folded
                .insert(OutletId::new(node.id, slot), output.into_arc_tensor());
        }
        Ok(true)
    }

    pub(super) fn operand(&mut self, node: &TypedNode, i: usize) -> Result<Id> {
        match node.inputs.get(i) {
            Some(outlet) => self.value(*outlet),
            None => self.unsupported(node, format!("operand {i} is missing"), "export the model again"),
        }
    }

    /// The concrete shape of a node's first output.
    pub(super) fn shape(&self, node: &TypedNode) -> Result<Vec<usize>> {
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
        // What can be computed now needs no operation.
        if node.outputs.first().is_some_and(|o| o.fact.konst.is_some()) || self.fold(node)? {
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
        if let Some(op) = node.op_as::<EinSum>() {
            return self.einsum(node, op, shape);
        }
        if node.op_is::<Identity>() {
            return self.operand(node, 0);
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
        if node.op_is::<MultiBroadcastTo>() {
            let x = self.operand(node, 0)?;
            let missing = shape.len() - self.net.shape(x).len();
            let mut aligned = vec![1; missing];
            aligned.extend_from_slice(self.net.shape(x));
            let mut x = self.net.reshape(name, x, aligned.clone());
            for (axis, (from, to)) in aligned.iter().zip(&shape).enumerate() {
                if from != to {
                    x = self.repeat(name, x, axis, *to);
                }
            }
            return Ok(x);
        }
        if node.op_is::<Tile>() {
            let mut x = self.operand(node, 0)?;
            for (axis, to) in shape.iter().enumerate() {
                let times = to / self.net.shape(x)[axis];
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
        if op.contains("Resize") || op.contains("StridedSlice") {
            return self.moved(node, shape);
        }
        let advice = match op.as_str() {
            n if n.contains("Deconv") || n.contains("ConvTranspose") => {
                "write it as Resize (nearest, whole factors) followed by Conv"
            }
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
}
