//! The front end for ai.onnx.ml: trees and linear models, with the simple operations that exporters put around them.

use std::collections::BTreeMap;

use tract_onnx::pb;

use crate::error::{ConvertError, Result};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{broadcast, Id, Kind, Net, NetOutput};
use crate::onnx::{self, OnnxInput};
use crate::trees::{FloatTrees, LeafArrays, NodeArrays};

/// Whether a model needs this front end.
pub fn is_ml(graph: &pb::GraphProto) -> bool {
    graph.node.iter().any(|n| n.domain == "ai.onnx.ml")
}

/// Reads a model.
pub fn import(graph: &pb::GraphProto, inputs: &[OnnxInput]) -> Result<Net> {
    let mut reader = Reader {
        net: Net::default(),
        values: BTreeMap::new(),
    };
    for input in inputs {
        let id = reader
            .net
            .push(&input.name, Kind::Input(input.declared()), input.shape.clone());
        reader.net.inputs.push(id);
        reader.values.insert(input.name.clone(), Value::plain(id));
    }
    for tensor in &graph.initializer {
        reader.store(&tensor.name, tensor);
    }
    for node in &graph.node {
        reader.node(node)?;
    }
    for output in &graph.output {
        let Some(value) = reader.values.get(&output.name) else {
            return Err(ConvertError::Parse {
                reason: format!("no node writes the output {:?}", output.name),
            });
        };
        reader.net.outputs.push(NetOutput {
            name: output.name.clone(),
            value: value.id,
            labels: value.labels.clone(),
        });
    }
    Ok(reader.net)
}

/// A value, and the class names that it is an index into.
#[derive(Clone, Debug)]
struct Value {
    id: Id,
    labels: Vec<String>,
}

impl Value {
    fn plain(id: Id) -> Self {
        Value { id, labels: vec![] }
    }
}

/// The classes of a classifier.
struct Classes {
    /// How many.
    count: usize,
    /// Their names, unless they are the integers 0, 1, ..
    labels: Vec<String>,
}

struct Reader {
    net: Net,
    values: BTreeMap<String, Value>,
}

fn unsupported<T>(node: &pb::NodeProto, reason: impl Into<String>, advice: impl Into<String>) -> Result<T> {
    Err(ConvertError::Unsupported {
        node: if node.name.is_empty() {
            node.output.first().cloned().unwrap_or_default()
        } else {
            node.name.clone()
        },
        op: node.op_type.clone(),
        reason: reason.into(),
        advice: advice.into(),
    })
}

impl Reader {
    fn store(&mut self, name: &str, tensor: &pb::TensorProto) {
        let shape: Vec<usize> = tensor.dims.iter().map(|d| (*d).max(0) as usize).collect();
        // Tensors of strings stay unknown; who reads them says so.
        if let Some(values) = onnx::tensor(tensor).filter(|v| v.len() == shape.iter().product::<usize>()) {
            let id = self.net.push(name, Kind::Const(values), shape);
            self.values.insert(name.into(), Value::plain(id));
        }
    }

    fn value(&self, node: &pb::NodeProto, i: usize) -> Result<Value> {
        match node.input.get(i).and_then(|name| self.values.get(name)) {
            Some(value) => Ok(value.clone()),
            None => unsupported(
                node,
                format!("its operand {i} is neither an input, a numeric constant nor a value computed before"),
                "export the model again, or check it with onnx.checker.check_model",
            ),
        }
    }

    fn operand(&self, node: &pb::NodeProto, i: usize) -> Result<Id> {
        Ok(self.value(node, i)?.id)
    }

    fn write(&mut self, node: &pb::NodeProto, i: usize, value: Value) {
        if let Some(name) = node.output.get(i).filter(|n| !n.is_empty()) {
            self.values.insert(name.clone(), value);
        }
    }

    fn node(&mut self, node: &pb::NodeProto) -> Result<()> {
        let name = if node.name.is_empty() {
            &node.output[0]
        } else {
            &node.name
        };
        let id = match node.op_type.as_str() {
            "TreeEnsembleClassifier" => return self.tree_classifier(node, name),
            "LinearClassifier" => return self.linear_classifier(node, name),
            "TreeEnsembleRegressor" => self.tree_regressor(node, name)?,
            "LinearRegressor" => self.linear_regressor(node, name)?,
            "Scaler" => self.scaler(node, name)?,
            "Identity" | "Cast" => {
                // Casts are between numbers here; labels keep their names.
                let value = self.value(node, 0)?;
                self.write(node, 0, value);
                return Ok(());
            }
            "Constant" => {
                if let Some(t) = onnx::attribute(node, "value").and_then(|a| a.t.as_ref()) {
                    let output = node.output.first().cloned().unwrap_or_default();
                    self.store(&output, t);
                }
                return Ok(());
            }
            "Add" => self.binary(node, name, Binary::Add)?,
            "Sub" => self.binary(node, name, Binary::Sub)?,
            "Mul" => self.binary(node, name, Binary::Mul)?,
            "Div" => self.binary(node, name, Binary::Div)?,
            "Sigmoid" => self.unary(node, name, Expr::unary(Unary::Sigmoid, Expr::X))?,
            "Tanh" => self.unary(node, name, Expr::unary(Unary::Tanh, Expr::X))?,
            "Exp" => self.unary(node, name, Expr::unary(Unary::Exp, Expr::X))?,
            "Neg" => self.unary(node, name, Expr::affine(-1.0, 0.0))?,
            "Relu" => self.unary(node, name, Expr::clamp(0.0, f64::INFINITY))?,
            "Softmax" => {
                let x = self.operand(node, 0)?;
                let rank = self.net.shape(x).len() as i64;
                let axis = onnx::int(node, "axis").unwrap_or(-1);
                if axis != -1 && axis != rank - 1 {
                    return unsupported(node, format!("it works along axis {axis}"), "use the last axis");
                }
                let shape = self.net.shape(x).to_vec();
                self.net.push(name, Kind::Softmax { x }, shape)
            }
            "ArgMax" => {
                let x = self.operand(node, 0)?;
                let mut shape = self.net.shape(x).to_vec();
                let axis = onnx::int(node, "axis").unwrap_or(0);
                if axis != -1 && axis != shape.len() as i64 - 1 {
                    return unsupported(node, format!("it works along axis {axis}"), "use the last axis");
                }
                let keep = onnx::int(node, "keepdims").unwrap_or(1) != 0;
                shape.pop();
                let y = self.net.push(name, Kind::ArgMax { x }, shape.clone());
                if keep {
                    shape.push(1);
                }
                self.net.reshape(name, y, shape)
            }
            "Concat" => self.concat(node, name)?,
            "Reshape" => {
                let (x, to) = (self.operand(node, 0)?, self.operand(node, 1)?);
                let Some(to) = self.net.constant(to).map(<[f64]>::to_vec) else {
                    return unsupported(node, "its shape is computed", "use a constant shape");
                };
                self.reshape(node, name, x, &to)?
            }
            "Flatten" => {
                let x = self.operand(node, 0)?;
                let size = self.net.shape(x).iter().product();
                self.net.reshape(name, x, vec![1, size])
            }
            "ArrayFeatureExtractor" => return self.class_names(node),
            "ZipMap" => {
                return unsupported(
                    node,
                    "its output is a list of dictionaries, which no tensor holds",
                    "export with options={'zipmap': False} (skl2onnx) or zipmap=False (onnxmltools)",
                );
            }
            "Normalizer" => {
                return unsupported(
                    node,
                    "rows are divided by their norm",
                    "normalise the features before the model",
                );
            }
            "SVMClassifier" | "SVMRegressor" => {
                return unsupported(
                    node,
                    "kernels have no integer counterpart",
                    "train a gradient-boosted ensemble or an MLP",
                );
            }
            "LabelEncoder" | "OneHotEncoder" | "OrdinalEncoder" | "CategoryMapper" | "DictVectorizer" => {
                return unsupported(node, "it encodes categories", "encode them as numbers before the model");
            }
            _ => {
                return unsupported(
                    node,
                    "it is not convertible in a model with ai.onnx.ml operators",
                    "beside trees and linear models: Scaler, Cast, Identity, Add, Sub, Mul, Div, Neg, Relu, Sigmoid, Tanh, Exp, Softmax, ArgMax, Concat, Reshape, Flatten",
                );
            }
        };
        self.write(node, 0, Value::plain(id));
        Ok(())
    }

    fn unary(&mut self, node: &pb::NodeProto, name: &str, f: Expr) -> Result<Id> {
        let x = self.operand(node, 0)?;
        Ok(self.net.map(name, x, f))
    }

    fn concat(&mut self, node: &pb::NodeProto, name: &str) -> Result<Id> {
        let xs = (0..node.input.len())
            .map(|i| self.operand(node, i))
            .collect::<Result<Vec<_>>>()?;
        let mut shape = self.net.shape(xs[0]).to_vec();
        let axis = onnx::int(node, "axis").unwrap_or(0);
        let axis = if axis < 0 { axis + shape.len() as i64 } else { axis } as usize;
        let fits = |s: &[usize]| s.len() == shape.len() && (0..s.len()).all(|i| i == axis || s[i] == shape[i]);
        if axis >= shape.len() || !xs.iter().all(|x| fits(self.net.shape(*x))) {
            return unsupported(
                node,
                "its operands differ in shape",
                "concatenate tensors that differ in one axis only",
            );
        }
        shape[axis] = xs.iter().map(|x| self.net.shape(*x)[axis]).sum();
        Ok(self.net.push(name, Kind::Concat { xs, axis }, shape))
    }

    fn reshape(&mut self, node: &pb::NodeProto, name: &str, x: Id, to: &[f64]) -> Result<Id> {
        let from = self.net.shape(x).to_vec();
        let size: usize = from.iter().product();
        let mut shape: Vec<usize> = Vec::new();
        for (i, extent) in to.iter().enumerate() {
            shape.push(match *extent as i64 {
                0 => from.get(i).copied().unwrap_or(1),
                -1 => 0,
                n => n as usize,
            });
        }
        let known: usize = shape.iter().filter(|e| **e != 0).product();
        shape
            .iter_mut()
            .filter(|e| **e == 0)
            .for_each(|e| *e = size / known.max(1));
        if shape.iter().product::<usize>() != size {
            return unsupported(
                node,
                format!("{from:?} does not fit {to:?} with batch 1"),
                "keep the batch axis open (-1)",
            );
        }
        Ok(self.net.reshape(name, x, shape))
    }

    fn binary(&mut self, node: &pb::NodeProto, name: &str, op: Binary) -> Result<Id> {
        let (mut a, mut b) = (self.operand(node, 0)?, self.operand(node, 1)?);
        if self.net.constant(a).is_some() && matches!(op, Binary::Add | Binary::Mul) {
            std::mem::swap(&mut a, &mut b);
        }
        let Some(shape) = broadcast(self.net.shape(a), self.net.shape(b)) else {
            return unsupported(node, "its operands do not broadcast", "check the shapes");
        };
        let scalar = |v: &[f64]| v.iter().all(|x| *x == v[0]).then_some(v[0]);
        match self.net.constant(b).map(<[f64]>::to_vec) {
            Some(values) if self.net.shape(a) == shape && !values.is_empty() => {
                if let Some(c) = scalar(&values) {
                    return Ok(self.net.map(name, a, Expr::binary(op, Expr::X, Expr::Const(c))));
                }
                if values.len() == shape.last().copied().unwrap_or(1) {
                    let n = values.len();
                    let (scale, offset) = match op {
                        Binary::Add => (vec![1.0; n], values),
                        Binary::Sub => (vec![1.0; n], values.iter().map(|v| -v).collect()),
                        Binary::Mul => (values, vec![0.0; n]),
                        _ => (values.iter().map(|v| 1.0 / v).collect(), vec![0.0; n]),
                    };
                    return Ok(self.affine(name, a, scale, offset));
                }
            }
            _ => {}
        }
        let kind = match op {
            Binary::Add => Kind::Add { a, b, sign: 1.0 },
            Binary::Sub => Kind::Add { a, b, sign: -1.0 },
            Binary::Mul => Kind::Mul { a, b },
            _ => return unsupported(node, "it divides by a value", "divide by a constant"),
        };
        Ok(self.net.push(name, kind, shape))
    }

    /// Per column of the last axis.
    fn affine(&mut self, name: &str, x: Id, scale: Vec<f64>, offset: Vec<f64>) -> Id {
        let shape = self.net.shape(x).to_vec();
        let axis = shape.len().saturating_sub(1);
        let kind = Kind::Affine { x, axis, scale, offset };
        self.net.push(name, kind, shape)
    }

    /// `(x - offset) * scale`.
    fn scaler(&mut self, node: &pb::NodeProto, name: &str) -> Result<Id> {
        let x = self.operand(node, 0)?;
        let n = self.features(node, x)?;
        let fill = |v: Vec<f64>, default: f64| match v.len() {
            0 => Some(vec![default; n]),
            1 => Some(vec![v[0]; n]),
            l if l == n => Some(v),
            _ => None,
        };
        let (Some(offset), Some(scale)) = (
            fill(onnx::floats(node, "offset"), 0.0),
            fill(onnx::floats(node, "scale"), 1.0),
        ) else {
            return unsupported(
                node,
                format!("its attributes do not fit {n} columns"),
                "check the model",
            );
        };
        let offset = offset.iter().zip(&scale).map(|(o, s)| -o * s).collect();
        Ok(self.affine(name, x, scale, offset))
    }

    fn features(&self, node: &pb::NodeProto, x: Id) -> Result<usize> {
        match self.net.shape(x).last() {
            Some(n) => Ok(*n),
            None => unsupported(node, "its operand is a scalar", "give a row of features"),
        }
    }

    fn node_arrays(node: &pb::NodeProto) -> NodeArrays {
        NodeArrays {
            tree_ids: onnx::ints(node, "nodes_treeids"),
            node_ids: onnx::ints(node, "nodes_nodeids"),
            features: onnx::ints(node, "nodes_featureids"),
            values: onnx::floats(node, "nodes_values"),
            modes: onnx::strings(node, "nodes_modes"),
            true_ids: onnx::ints(node, "nodes_truenodeids"),
            false_ids: onnx::ints(node, "nodes_falsenodeids"),
        }
    }

    fn leaf_arrays(node: &pb::NodeProto, prefix: &str) -> LeafArrays {
        LeafArrays {
            tree_ids: onnx::ints(node, &format!("{prefix}_treeids")),
            node_ids: onnx::ints(node, &format!("{prefix}_nodeids")),
            targets: onnx::ints(node, &format!("{prefix}_ids")),
            weights: onnx::floats(node, &format!("{prefix}_weights")),
        }
    }

    fn trees(&mut self, node: &pb::NodeProto, name: &str, leaves: &LeafArrays, base: Vec<f64>) -> Result<Id> {
        let x = self.operand(node, 0)?;
        let features = self.features(node, x)?;
        let trees = match FloatTrees::build(&Self::node_arrays(node), leaves, base, features) {
            Ok(trees) => trees,
            Err(reason) => {
                return unsupported(
                    node,
                    reason,
                    "trees compare by BRANCH_LEQ, BRANCH_LT, BRANCH_GT or BRANCH_GTE (encode categories as ordered codes) and every node has one parent",
                );
            }
        };
        let mut shape = self.net.shape(x).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = trees.targets();
        }
        Ok(self.net.push(name, Kind::Trees { x, trees }, shape))
    }

    fn tree_classifier(&mut self, node: &pb::NodeProto, name: &str) -> Result<()> {
        let classes = self.classes(node)?;
        let mut leaves = Self::leaf_arrays(node, "class");
        let base = onnx::floats(node, "base_values");
        let first = leaves.targets.first().copied().unwrap_or(0);
        let one_score = classes.count == 2 && leaves.targets.iter().all(|t| *t == first);
        let positive = leaves.weights.iter().all(|w| *w >= 0.0);
        let base = if one_score {
            leaves.targets.iter_mut().for_each(|t| *t = 0);
            match base[..] {
                [] => vec![0.0],
                [b] => vec![b],
                [_, b] => vec![b],
                _ => return unsupported(node, "it has more base values than classes", "check the model"),
            }
        } else {
            match base.len() {
                0 => vec![0.0; classes.count],
                n if n == classes.count => base,
                n => {
                    return unsupported(
                        node,
                        format!("{n} base values for {} classes", classes.count),
                        "check the model",
                    )
                }
            }
        };
        let scores = self.trees(node, name, &leaves, base)?;
        self.classify(node, name, scores, one_score, positive, classes)
    }

    fn linear_classifier(&mut self, node: &pb::NodeProto, name: &str) -> Result<()> {
        let classes = self.classes(node)?;
        let scores = self.linear(node, name)?;
        let one_score = self.net.shape(scores).last() == Some(&1) && classes.count == 2;
        self.classify(node, name, scores, one_score, false, classes)
    }

    fn linear_regressor(&mut self, node: &pb::NodeProto, name: &str) -> Result<Id> {
        let y = self.linear(node, name)?;
        self.transform(node, name, y)
    }

    fn linear(&mut self, node: &pb::NodeProto, name: &str) -> Result<Id> {
        let x = self.operand(node, 0)?;
        let k = self.features(node, x)?;
        let weights = onnx::floats(node, "coefficients");
        let n = weights.len() / k;
        let mut bias = onnx::floats(node, "intercepts");
        if bias.is_empty() {
            bias = vec![0.0; n];
        }
        if n == 0 || n * k != weights.len() || bias.len() != n {
            return unsupported(
                node,
                format!(
                    "{} coefficients and {} intercepts do not fit {k} columns",
                    weights.len(),
                    bias.len()
                ),
                "check the model",
            );
        }
        let mut shape = self.net.shape(x).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = n;
        }
        Ok(self.net.push(name, Kind::Linear { x, weights, bias }, shape))
    }

    fn tree_regressor(&mut self, node: &pb::NodeProto, name: &str) -> Result<Id> {
        let targets = onnx::int(node, "n_targets").unwrap_or(1).max(1) as usize;
        let mut leaves = Self::leaf_arrays(node, "target");
        match onnx::string(node, "aggregate_function").as_deref() {
            None | Some("SUM") => {}
            Some("AVERAGE") => {
                let mut trees = onnx::ints(node, "nodes_treeids");
                trees.sort_unstable();
                trees.dedup();
                let count = trees.len().max(1) as f64;
                leaves.weights.iter_mut().for_each(|w| *w /= count);
            }
            Some(other) => {
                return unsupported(node, format!("it aggregates by {other}"), "aggregate by SUM or AVERAGE");
            }
        }
        let base = onnx::floats(node, "base_values");
        let base = match base.len() {
            0 => vec![0.0; targets],
            1 => vec![base[0]; targets],
            n if n == targets => base,
            n => {
                return unsupported(
                    node,
                    format!("{n} base values for {targets} targets"),
                    "check the model",
                )
            }
        };
        let y = self.trees(node, name, &leaves, base)?;
        self.transform(node, name, y)
    }

    /// The post_transform of a regressor, or of a classifier with one score per class.
    fn transform(&mut self, node: &pb::NodeProto, name: &str, x: Id) -> Result<Id> {
        match onnx::string(node, "post_transform").as_deref() {
            None | Some("NONE" | "") => Ok(x),
            Some("LOGISTIC") => Ok(self.net.map(name, x, Expr::unary(Unary::Sigmoid, Expr::X))),
            Some("SOFTMAX") => {
                let shape = self.net.shape(x).to_vec();
                Ok(self.net.push(name, Kind::Softmax { x }, shape))
            }
            Some(other) => unsupported(
                node,
                format!("post_transform {other} is not convertible"),
                "NONE, LOGISTIC and SOFTMAX are",
            ),
        }
    }

    fn classes(&self, node: &pb::NodeProto) -> Result<Classes> {
        let integers = ["classlabels_int64s", "classlabels_ints"]
            .map(|n| onnx::ints(node, n))
            .concat();
        let names = onnx::strings(node, "classlabels_strings");
        let counted = integers.iter().enumerate().all(|(i, c)| *c == i as i64);
        let labels = match (integers.is_empty(), counted) {
            (true, _) => names,
            (false, true) => vec![],
            (false, false) => integers.iter().map(|c| c.to_string()).collect(),
        };
        let count = if integers.is_empty() {
            labels.len()
        } else {
            integers.len()
        };
        if count < 2 {
            return unsupported(
                node,
                format!("it has {count} classes"),
                "a classifier needs two or more",
            );
        }
        Ok(Classes { count, labels })
    }

    /// The two outputs of a classifier: the label, and a score per class.
    fn classify(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        scores: Id,
        one_score: bool,
        positive: bool,
        classes: Classes,
    ) -> Result<()> {
        let transform = onnx::string(node, "post_transform").unwrap_or_default();
        let probabilities = if one_score {
            let second = match transform.as_str() {
                "LOGISTIC" => self.net.map(name, scores, Expr::unary(Unary::Sigmoid, Expr::X)),
                "NONE" | "" => scores,
                other => {
                    return unsupported(
                        node,
                        format!("post_transform {other} of a single score is not convertible"),
                        "NONE and LOGISTIC are",
                    );
                }
            };
            // Margins are their own opposites, probabilities sum to 1.
            let margin = transform != "LOGISTIC" && !positive;
            let first = self
                .net
                .map(name, second, Expr::affine(-1.0, if margin { 0.0 } else { 1.0 }));
            let mut shape = self.net.shape(second).to_vec();
            let axis = shape.len() - 1;
            shape[axis] = 2;
            let xs = vec![first, second];
            self.net.push(name, Kind::Concat { xs, axis }, shape)
        } else {
            self.transform(node, name, scores)?
        };
        // The largest of the raw scores is the largest of the probabilities, which are finer apart before rounding.
        let x = if one_score { probabilities } else { scores };
        let mut shape = self.net.shape(x).to_vec();
        if shape.pop() != Some(classes.count) {
            return unsupported(
                node,
                "it gives another number of scores than it has classes",
                "check the model",
            );
        }
        let id = self.net.push(name, Kind::ArgMax { x }, shape);
        let labels = classes.labels;
        self.write(node, 0, Value { id, labels });
        self.write(node, 1, Value::plain(probabilities));
        Ok(())
    }

    /// A table of class labels read at the index that an ArgMax gave.
    fn class_names(&mut self, node: &pb::NodeProto) -> Result<()> {
        let advice = "it may look up the class labels at the index of an ArgMax";
        let index = self.operand(node, 1)?;
        let mut at = index;
        while let Kind::Reshape { x } = self.net.nodes[at].kind {
            at = x;
        }
        if !matches!(self.net.nodes[at].kind, Kind::ArgMax { .. }) {
            return unsupported(node, "its index is not the result of an ArgMax", advice);
        }
        let table = self.operand(node, 0)?;
        let Some(values) = self.net.constant(table) else {
            return unsupported(node, "its table is not constant", advice);
        };
        let counted = values.iter().enumerate().all(|(i, v)| *v == i as f64);
        let labels = if counted {
            vec![]
        } else {
            values.iter().map(|v| v.to_string()).collect()
        };
        self.write(node, 0, Value { id: index, labels });
        Ok(())
    }
}
