//! What an exported ONNX file computes, read from its bytes alone and computed in integers: an opinion of the export that
//! shares no code with it but the messages. A `Mul` by 2^-k is kept as a fraction until its `Floor`.

use std::collections::BTreeMap;

use aiinference_convert::proto::{DataType, Dimension, Extent, ModelProto, NodeProto};
use prost::Message;

/// Why a file cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// The bytes are no such file.
    #[error("reading the exported ONNX: {0}")]
    Format(String),
    /// A node cannot be computed.
    #[error("computing node {node:?} of the exported ONNX: {reason}")]
    Node {
        /// Its name.
        node: String,
        /// Why.
        reason: String,
    },
}

/// Integers, each standing for itself times `2^-fraction`.
#[derive(Clone)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<i128>,
    fraction: u32,
}

type Attempt<T> = Result<T, String>;

/// The outputs for these inputs, in the file's order.
pub fn interpret(onnx: &[u8], inputs: &[&[i32]]) -> Result<Vec<Vec<i128>>, InterpretError> {
    let model = ModelProto::decode(onnx).map_err(|e| InterpretError::Format(e.to_string()))?;
    let graph = model
        .graph
        .ok_or_else(|| InterpretError::Format("it holds no graph".into()))?;
    let mut values: BTreeMap<String, Tensor> = BTreeMap::new();
    for t in &graph.initializer {
        let tensor = stored(&t.dims, t.data_type, &t.raw_data).map_err(InterpretError::Format)?;
        values.insert(t.name.clone(), tensor);
    }
    if graph.input.len() != inputs.len() {
        return Err(InterpretError::Format(format!("it takes {} inputs", graph.input.len())));
    }
    for (port, data) in graph.input.iter().zip(inputs) {
        let shape = port.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let dims = shape.and_then(|t| t.shape.as_ref()).map(|s| &s.dim);
        let extent = |d: &Dimension| match d.value {
            Some(Extent::DimValue(n)) => n as usize,
            _ => 0,
        };
        let shape: Vec<usize> = dims.into_iter().flatten().map(extent).collect();
        if shape.iter().product::<usize>() != data.len() {
            return Err(InterpretError::Format(format!(
                "input {:?} takes another number of elements",
                port.name
            )));
        }
        let data = data.iter().map(|v| i128::from(*v)).collect();
        values.insert(
            port.name.clone(),
            Tensor {
                shape,
                data,
                fraction: 0,
            },
        );
    }
    for node in &graph.node {
        let result = compute(node, &values).map_err(|reason| InterpretError::Node {
            node: node.name.clone(),
            reason,
        })?;
        let name = node.output.first().cloned().unwrap_or_default();
        values.insert(name, result);
    }
    graph
        .output
        .iter()
        .map(|port| match values.get(&port.name) {
            Some(t) if t.fraction == 0 => Ok(t.data.clone()),
            _ => Err(InterpretError::Format(format!("output {:?} is no integer", port.name))),
        })
        .collect()
}

fn stored(dims: &[i64], data_type: i32, raw: &[u8]) -> Attempt<Tensor> {
    let shape: Vec<usize> = dims.iter().map(|d| *d as usize).collect();
    match DataType::try_from(data_type) {
        Ok(DataType::Int64) => {
            let (chunks, _) = raw.as_chunks::<8>();
            let data = chunks.iter().map(|c| i64::from_le_bytes(*c).into()).collect();
            Ok(Tensor {
                shape,
                data,
                fraction: 0,
            })
        }
        Ok(DataType::Float) => {
            let (chunks, _) = raw.as_chunks::<4>();
            let numbers: Vec<f32> = chunks.iter().map(|c| f32::from_le_bytes(*c)).collect();
            // A single power of two below 1 is the unit of a shift.
            let mut fraction = 0;
            if let [unit] = numbers[..] {
                while unit > 0.0 && fraction < 60 && (f64::from(unit) * f64::from(fraction).exp2()).fract() != 0.0 {
                    fraction += 1;
                }
            }
            let scale = f64::from(fraction).exp2();
            let data = numbers.iter().map(|n| {
                let n = f64::from(*n) * scale;
                if n.fract() == 0.0 {
                    Ok(n as i128)
                } else {
                    Err(format!("{n} is no integer"))
                }
            });
            Ok(Tensor {
                shape,
                data: data.collect::<Attempt<_>>()?,
                fraction,
            })
        }
        _ => Err(format!("elements of type {data_type}")),
    }
}

fn compute(node: &NodeProto, values: &BTreeMap<String, Tensor>) -> Attempt<Tensor> {
    let operand = |i: usize| {
        let name = node.input.get(i).ok_or("it lacks an operand")?;
        values.get(name).ok_or_else(|| format!("nothing is called {name:?}"))
    };
    let ints = |name: &str| -> Vec<usize> {
        let attribute = node.attribute.iter().find(|a| a.name == name);
        attribute.map_or(vec![], |a| a.ints.iter().map(|i| *i as usize).collect())
    };
    let whole = |t: &Tensor| {
        if t.fraction == 0 {
            Ok(())
        } else {
            Err("a fraction is not rounded".to_string())
        }
    };
    match node.op_type.as_str() {
        "MatMul" => {
            let (x, w) = (operand(0)?, operand(1)?);
            whole(x)?;
            mat_mul(x, w)
        }
        "Conv" => {
            let (x, w) = (operand(0)?, operand(1)?);
            whole(x)?;
            let group = node
                .attribute
                .iter()
                .find(|a| a.name == "group")
                .map_or(1, |a| a.i as usize);
            conv(x, w, &ints("strides"), &ints("pads"), &ints("dilations"), group)
        }
        "Add" => elementwise(operand(0)?, operand(1)?, |a, b| a + b),
        "Sub" => elementwise(operand(0)?, operand(1)?, |a, b| a - b),
        "Mul" => {
            let (x, c) = (operand(0)?, operand(1)?);
            let plain = Tensor {
                fraction: 0,
                ..c.clone()
            };
            let mut y = elementwise(x, &plain, |a, b| a * b)?;
            y.fraction += c.fraction;
            Ok(y)
        }
        "Floor" => {
            let x = operand(0)?;
            Ok(Tensor {
                shape: x.shape.clone(),
                data: x.data.iter().map(|v| v >> x.fraction).collect(),
                fraction: 0,
            })
        }
        "Relu" => {
            let x = operand(0)?;
            let data = x.data.iter().map(|v| (*v).max(0)).collect();
            Ok(Tensor { data, ..x.clone() })
        }
        "Slice" => {
            let (x, axis) = (operand(0)?, operand(3)?);
            let bound = |t: &Tensor| t.data.first().map_or(0, |v| *v as usize);
            let (from, to) = (bound(operand(1)?), bound(operand(2)?));
            match (x.shape.as_slice(), axis.data.as_slice()) {
                (&[1, columns], [1]) if from <= to && to <= columns => Ok(Tensor {
                    shape: vec![1, to - from],
                    data: x.data[from..to].to_vec(),
                    fraction: x.fraction,
                }),
                _ => Err("it takes no part of a row".into()),
            }
        }
        "Reshape" => {
            let (x, shape) = (operand(0)?, operand(1)?);
            let shape: Vec<usize> = shape.data.iter().map(|d| *d as usize).collect();
            if shape.iter().product::<usize>() != x.data.len() {
                return Err("the new shape has another number of elements".into());
            }
            Ok(Tensor { shape, ..x.clone() })
        }
        other => Err(format!("operator {other} is not among those exported")),
    }
}

fn mat_mul(x: &Tensor, w: &Tensor) -> Attempt<Tensor> {
    let &[k, n] = w.shape.as_slice() else {
        return Err("the weights are no matrix".into());
    };
    let mut shape = x.shape.clone();
    if shape.pop() != Some(k) {
        return Err("rows and weights differ in length".into());
    }
    shape.push(n);
    let mut data = Vec::new();
    for row in x.data.chunks(k.max(1)) {
        for column in 0..n {
            data.push(row.iter().enumerate().map(|(i, v)| v * w.data[i * n + column]).sum());
        }
    }
    Ok(Tensor {
        shape,
        data,
        fraction: 0,
    })
}

fn conv(
    x: &Tensor,
    w: &Tensor,
    strides: &[usize],
    pads: &[usize],
    dilations: &[usize],
    group: usize,
) -> Attempt<Tensor> {
    let (&[batch, channels, height, width], &[out, per_group, kh, kw]) = (x.shape.as_slice(), w.shape.as_slice())
    else {
        return Err("operands have other ranks than 4".into());
    };
    let (&[sh, sw], &[top, left, bottom, right], &[dh, dw]) = (strides, pads, dilations) else {
        return Err("the window is incomplete".into());
    };
    let oh = (height + top + bottom - (kh - 1) * dh - 1) / sh + 1;
    let ow = (width + left + right - (kw - 1) * dw - 1) / sw + 1;
    let mut data = Vec::with_capacity(batch * out * oh * ow);
    for b in 0..batch {
        for o in 0..out {
            let first = o / (out / group) * per_group;
            for y in 0..oh {
                for z in 0..ow {
                    let mut sum = 0;
                    for c in 0..per_group {
                        for i in 0..kh {
                            for j in 0..kw {
                                let (r, s) = (y * sh + i * dh, z * sw + j * dw);
                                if r < top || s < left || r - top >= height || s - left >= width {
                                    continue;
                                }
                                let at = ((b * channels + first + c) * height + r - top) * width + s - left;
                                sum += x.data[at] * w.data[((o * per_group + c) * kh + i) * kw + j];
                            }
                        }
                    }
                    data.push(sum);
                }
            }
        }
    }
    Ok(Tensor {
        shape: vec![batch, out, oh, ow],
        data,
        fraction: 0,
    })
}

/// Two operands of one fraction, the smaller one repeated along axes of extent 1.
fn elementwise(a: &Tensor, b: &Tensor, f: impl Fn(i128, i128) -> i128) -> Attempt<Tensor> {
    if a.fraction != b.fraction {
        return Err("the terms count different fractions".into());
    }
    let rank = a.shape.len().max(b.shape.len());
    let padded = |t: &Tensor| -> Vec<usize> {
        std::iter::repeat_n(1, rank - t.shape.len())
            .chain(t.shape.clone())
            .collect()
    };
    let (sa, sb) = (padded(a), padded(b));
    let mut shape = Vec::with_capacity(rank);
    for (x, y) in sa.iter().zip(&sb) {
        if x != y && *x != 1 && *y != 1 {
            return Err("the shapes do not fit".into());
        }
        shape.push(*x.max(y));
    }
    let place = |mut flat: usize, of: &[usize]| {
        let (mut at, mut step) = (0, 1);
        for (extent, own) in shape.iter().zip(of).rev() {
            let i = flat % extent;
            flat /= extent;
            if *own != 1 {
                at += i * step;
            }
            step *= own;
        }
        at
    };
    let count = shape.iter().product();
    let data = (0..count)
        .map(|i| f(a.data[place(i, &sa)], b.data[place(i, &sb)]))
        .collect();
    Ok(Tensor {
        shape,
        data,
        fraction: a.fraction,
    })
}
