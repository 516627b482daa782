//! Operations that sum over weights, windows and axes.

use super::*;

impl Walker<'_> {
    /// A sum of products with constant weights, whatever the order of the axes: `x[m.., k..] * w[n.., k..]`.
    pub(super) fn einsum(&mut self, node: &TypedNode, op: &EinSum, shape: Vec<usize>) -> Result<Id> {
        let name = node.name.as_str();
        if op.q_params.is_some() || node.inputs.len() != 2 {
            return self.unsupported(
                node,
                "it is quantised already, or has other than two operands",
                "convert the float model: this converter quantises by itself",
            );
        }
        let (a, b) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let (x, w, xi) = match (self.net.constant(a).is_some(), self.net.constant(b).is_some()) {
            (_, true) => (a, b, 0),
            (true, _) => (b, a, 1),
            _ => {
                return self.unsupported(
                    node,
                    "it multiplies two activations",
                    "one operand of a MatMul must be constant (weights); attention between activations is not convertible yet",
                );
            }
        };
        let (xshape, wshape) = (self.net.shape(x).to_vec(), self.net.shape(w).to_vec());
        // Axes of x that stay and that are summed, of w likewise; and where in the output those that stay belong.
        let (mut m, mut k, mut n, mut wk) = (vec![], vec![], vec![], vec![]);
        let (mut m_out, mut n_out) = (vec![], vec![]);
        for axis in op.axes.iter_all_axes() {
            let places = [&axis.inputs[xi], &axis.inputs[1 - xi], &axis.outputs[0]];
            if places.iter().any(|p| p.len() > 1) {
                return self.unsupported(node, "it reads a diagonal", "use MatMul");
            }
            let [inx, inw, out] = places.map(|p| p.first().copied());
            // An axis of extent 1 may be missing.
            let inx = inx.filter(|i| xshape[*i] != 1 || inw.is_none_or(|j| wshape[j] == 1));
            let inw = inw.filter(|i| wshape[*i] != 1);
            match (inx, inw, out) {
                (Some(i), None, Some(o)) => {
                    m.push(i);
                    m_out.push(o);
                }
                (None, Some(j), Some(o)) => {
                    n.push(j);
                    n_out.push(o);
                }
                (Some(i), Some(j), None) => {
                    k.push(i);
                    wk.push(j);
                }
                (Some(i), None, None) if xshape[i] == 1 => k.push(i),
                (None, None, _) => {}
                (Some(_), Some(_), Some(_)) => {
                    return self.unsupported(
                        node,
                        "its weights differ along a batch axis",
                        "use one weight matrix, or a grouped Conv",
                    );
                }
                _ => {
                    return self.unsupported(node, "it sums an operand by itself", "use ReduceSum before MatMul");
                }
            }
        }
        // Axes of extent 1 that x alone has lost come last: they do not move anything.
        let missing = (0..xshape.len()).filter(|i| !m.contains(i) && !k.contains(i));
        let xaxes: Vec<usize> = m.iter().chain(&k).copied().chain(missing).collect();
        let missing = (0..wshape.len()).filter(|i| !n.contains(i) && !wk.contains(i));
        let waxes: Vec<usize> = n.iter().chain(&wk).copied().chain(missing).collect();
        let values = self.net.constant(w).unwrap_or_default();
        let weights = crate::eval::transpose(values, &wshape, &waxes);
        let columns: usize = n.iter().map(|i| wshape[*i]).product();
        let rows: Vec<usize> = m.iter().map(|i| xshape[*i]).collect();
        let taps: usize = k.iter().map(|i| xshape[*i]).product();
        let x = self.net.transpose(name, x, xaxes);
        let x = self.net.reshape(name, x, [rows.clone(), vec![taps]].concat());
        let bias = vec![0.0; columns];
        let y = self.net.push(
            name,
            Kind::Linear { x, weights, bias },
            [rows.clone(), vec![columns]].concat(),
        );
        let split: Vec<usize> = rows.into_iter().chain(n.iter().map(|i| wshape[*i])).collect();
        let y = self.net.reshape(name, y, split);
        // Output axes in order, each by its place in y; those of extent 1 that nobody gives are added by the reshape.
        let given: Vec<usize> = m_out.into_iter().chain(n_out).collect();
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by_key(|i| given[*i]);
        let y = self.net.transpose(name, y, order);
        Ok(self.net.reshape(name, y, shape))
    }

    pub(super) fn conv(&mut self, node: &TypedNode, op: &Conv, shape: Vec<usize>) -> Result<Id> {
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
    pub(super) fn pool(
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

    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce, shape: Vec<usize>) -> Result<Id> {
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

    pub(super) fn softmax(&mut self, node: &TypedNode, op: &Softmax, shape: Vec<usize>) -> Result<Id> {
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
}
