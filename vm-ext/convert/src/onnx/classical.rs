//! ai.onnx.ml: trees, linear models, support vectors, and what is done to features before them.

use super::import::{one, Importer};
use super::op::{malformed, no, room, Op, Outcome, Tensor, Value};
use super::proto::DataType;
use crate::expr::{Binary, Expr, Unary};
use crate::net::{Id, Kind};
use crate::trees::{FloatTrees, LeafArrays, NodeArrays};

/// Largest table of a label encoder: a function of so many cases.
const MAX_CASES: usize = 256;

/// The classes of a classifier.
struct Classes {
    /// How many.
    count: usize,
    /// Their names, unless they are the integers 0, 1, ..
    labels: Vec<String>,
}

impl<'a> Importer<'a> {
    pub(super) fn classical(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "TreeEnsembleClassifier" => self.tree_classifier(op).map(Some),
            "LinearClassifier" => self.linear_classifier(op).map(Some),
            "SVMClassifier" => self.svm_classifier(op).map(Some),
            "TreeEnsembleRegressor" => self.tree_regressor(op).map(plain),
            "TreeEnsemble" => self.tree_ensemble(op).map(plain),
            "LinearRegressor" => {
                let y = self.linear_scores(op)?;
                let y = self.transform(op, y)?;
                one(y, DataType::Float)
            }
            "SVMRegressor" => self.svm_regressor(op).map(plain),
            "Scaler" => self.scaler(op).map(plain),
            "Normalizer" => self.normalizer(op).map(plain),
            "Imputer" => self.imputer(op),
            "LabelEncoder" => self.label_encoder(op),
            "OneHotEncoder" => self.one_hot_encoder(op).map(plain),
            "FeatureVectorizer" => {
                let mut parts = Vec::new();
                for t in op.tensors()? {
                    let shape = self.build.shape(t.id);
                    let rows = if shape.len() > 1 { shape[0] } else { 1 };
                    let n = self.build.size(t.id);
                    parts.push(self.build.reshape(t.id, &[rows, n / rows.max(1)])?);
                }
                one(self.build.concat(parts, 1)?, DataType::Float)
            }
            "ZipMap" => no(
                "its output is a list of dictionaries, which no tensor holds",
                "export with options={'zipmap': False} (skl2onnx) or zipmap=False (onnxmltools)",
            ),
            "CategoryMapper" | "DictVectorizer" | "OrdinalEncoder" => {
                no("it encodes categories", "encode them as numbers before the model")
            }
            _ => Ok(None),
        }
    }

    fn features(&self, x: Id) -> Outcome<usize> {
        match self.build.net.shape(x).last() {
            Some(n) => Ok(*n),
            None => no("its operand is a scalar", "give a row of features"),
        }
    }

    /// Rows of features: a vector is one row.
    fn rows(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let t = op.tensor(0)?;
        let n = self.features(t.id)?;
        if self.build.rank(t.id) == 1 {
            return self.build.reshape(t.id, &[1, n]);
        }
        Ok(t.id)
    }

    /// `(x - offset) * scale`.
    fn scaler(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let x = op.tensor(0)?.id;
        let n = self.features(x)?;
        let fill = |v: Vec<f64>, default: f64| match v.len() {
            0 => Some(vec![default; n]),
            1 => Some(vec![v[0]; n]),
            l if l == n => Some(v),
            _ => None,
        };
        let (Some(offset), Some(scale)) = (fill(op.floats("offset"), 0.0), fill(op.floats("scale"), 1.0)) else {
            return no(format!("its attributes do not fit {n} columns"), "check the model");
        };
        let offset = offset.iter().zip(&scale).map(|(o, s)| -o * s).collect();
        let axis = self.build.rank(x) - 1;
        self.build.per_channel(x, axis, scale, offset)
    }

    fn normalizer(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let x = op.tensor(0)?.id;
        self.features(x)?;
        let last = self.build.rank(x) - 1;
        let absolute = Expr::unary(Unary::Abs, Expr::X);
        let norm = match op.text("norm").as_str() {
            "L1" => {
                let x = self.build.map(x, absolute)?;
                self.build.sum(x, &[last], Some(1.0), true)?
            }
            "L2" => {
                let x = self.build.map(x, Expr::unary(Unary::Square, Expr::X))?;
                let sum = self.build.sum(x, &[last], Some(1.0), true)?;
                self.build.sqrt(sum)?
            }
            _ => {
                let x = self.build.map(x, absolute)?;
                self.build.largest(x, &[last], true)?
            }
        };
        self.build.div(x, norm)
    }

    fn imputer(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let n = self.features(t.id)?;
        let integers = op.ints("imputed_value_int64s");
        let (values, replaced) = match integers {
            Some(list) => (
                list.iter().map(|i| *i as f64).collect(),
                op.int("replaced_value_int64").unwrap_or(0) as f64,
            ),
            None => (op.floats("imputed_value_floats"), op.float("replaced_value_float", 0.0)),
        };
        if values.len() != 1 && values.len() != n {
            return malformed(format!("{} values are given for {n} columns", values.len()));
        }
        let missing = if replaced.is_nan() {
            let equal = Expr::binary(Binary::Equal, Expr::X, Expr::X);
            Expr::binary(Binary::Sub, Expr::Const(1.0), equal)
        } else {
            Expr::binary(Binary::Equal, Expr::X, Expr::Const(replaced))
        };
        let missing = self.build.map(t.id, missing)?;
        let values = self.build.constant(values.clone(), &[values.len()])?;
        one(self.build.select(missing, values, t.id)?, t.data_type)
    }

    /// Numbers for numbers, case by case; names where an index of classes is looked up.
    fn label_encoder(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let numbers = |name: &str| -> Vec<f64> {
            let integers = op.ints(&format!("{name}_int64s")).unwrap_or_default();
            if !integers.is_empty() {
                return integers.iter().map(|i| *i as f64).collect();
            }
            let floats = op.floats(&format!("{name}_floats"));
            if !floats.is_empty() {
                return floats;
            }
            op.tensor_attribute(&format!("{name}_tensor"))
        };
        let keys = numbers("keys");
        let values = numbers("values");
        if !values.is_empty() && values.len() == keys.len() {
            if keys.len() > MAX_CASES {
                return no(
                    format!("it has {} cases", keys.len()),
                    format!("encoders of up to {MAX_CASES} cases work"),
                );
            }
            let integers = op.attribute("values_int64s").is_some();
            let tensor = op.attribute("values_tensor").and_then(|a| a.t.as_ref());
            let default = match op.tensor_attribute("default_tensor").first() {
                Some(v) => *v,
                None if integers => op.int("default_int64").unwrap_or(-1) as f64,
                None => op.float("default_float", 0.0),
            };
            let to = match tensor {
                Some(t) => DataType::from_code(t.data_type.into()).unwrap_or(DataType::Float),
                None if integers => DataType::Int64,
                None => DataType::Float,
            };
            let mut f = Expr::Const(default);
            for (key, value) in keys.iter().zip(&values).rev() {
                let here = if key.is_nan() {
                    let equal = Expr::binary(Binary::Equal, Expr::X, Expr::X);
                    Expr::binary(Binary::Sub, Expr::Const(1.0), equal)
                } else {
                    Expr::binary(Binary::Equal, Expr::X, Expr::Const(*key))
                };
                f = Expr::Select(Box::new([here, Expr::Const(*value), f]));
            }
            return one(self.build.map(t.id, f)?, to);
        }
        let names = op.texts("values_strings");
        // Indices 0, 1, .. named: the names become the output's labels.
        if names.len() == keys.len() && !keys.is_empty() && keys.iter().enumerate().all(|(i, k)| *k == i as f64) {
            self.name_classes(t.id, names)?;
            return one(t.id, t.data_type);
        }
        no("it encodes strings", "encode categories as numbers before the model")
    }

    fn one_hot_encoder(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let x = op.tensor(0)?.id;
        let cats: Vec<f64> = op
            .ints("cats_int64s")
            .unwrap_or_default()
            .iter()
            .map(|i| *i as f64)
            .collect();
        if cats.is_empty() {
            return no("its categories are strings", "encode them as integers before the model");
        }
        let rank = self.build.rank(x);
        let column = self.build.unsqueeze(x, &[rank])?;
        let n = cats.len();
        let cats = self.build.constant(cats, &[n])?;
        self.build.binary(Binary::Equal, column, cats)
    }

    fn node_arrays(op: &Op) -> NodeArrays {
        NodeArrays {
            tree_ids: ints(op, "nodes_treeids"),
            node_ids: ints(op, "nodes_nodeids"),
            features: ints(op, "nodes_featureids"),
            values: op.floats("nodes_values"),
            modes: op.texts("nodes_modes"),
            true_ids: ints(op, "nodes_truenodeids"),
            false_ids: ints(op, "nodes_falsenodeids"),
        }
    }

    fn leaf_arrays(op: &Op, prefix: &str) -> LeafArrays {
        LeafArrays {
            tree_ids: ints(op, &format!("{prefix}_treeids")),
            node_ids: ints(op, &format!("{prefix}_nodeids")),
            targets: ints(op, &format!("{prefix}_ids")),
            weights: op.floats(&format!("{prefix}_weights")),
        }
    }

    fn trees(&mut self, op: &Op<'a>, leaves: &LeafArrays, base: Vec<f64>) -> Outcome<Id> {
        let nodes = Self::node_arrays(op);
        self.ensemble(op, &nodes, leaves, base)
    }

    fn ensemble(&mut self, op: &Op<'a>, nodes: &NodeArrays, leaves: &LeafArrays, base: Vec<f64>) -> Outcome<Id> {
        let x = self.rows(op)?;
        let features = self.features(x)?;
        let trees = match FloatTrees::build(nodes, leaves, base, features) {
            Ok(trees) => trees,
            Err(reason) => {
                return no(
                    reason,
                    "trees compare by BRANCH_LEQ, BRANCH_LT, BRANCH_GT or BRANCH_GTE (encode categories as ordered codes) and every node has one parent",
                );
            }
        };
        let mut shape = self.build.shape(x);
        if let Some(last) = shape.last_mut() {
            *last = trees.targets();
        }
        self.build.push(Kind::Trees { x, trees }, shape)
    }

    fn tree_classifier(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let classes = self.classes(op)?;
        let mut leaves = Self::leaf_arrays(op, "class");
        let base = op.floats("base_values");
        let first = leaves.targets.first().copied().unwrap_or(0);
        let one_score = classes.count == 2 && leaves.targets.iter().all(|t| *t == first);
        let positive = leaves.weights.iter().all(|w| *w >= 0.0);
        let base = if one_score {
            leaves.targets.iter_mut().for_each(|t| *t = 0);
            match base[..] {
                [] => vec![0.0],
                [b] => vec![b],
                [_, b] => vec![b],
                _ => return no("it has more base values than classes", "check the model"),
            }
        } else {
            match base.len() {
                0 => vec![0.0; classes.count],
                n if n == classes.count => base,
                n => {
                    return no(
                        format!("{n} base values for {} classes", classes.count),
                        "check the model",
                    )
                }
            }
        };
        let scores = self.trees(op, &leaves, base)?;
        self.classify(op, scores, one_score, positive, classes)
    }

    fn linear_classifier(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let classes = self.classes(op)?;
        let scores = self.linear_scores(op)?;
        let one_score = self.build.net.shape(scores).last() == Some(&1) && classes.count == 2;
        self.classify(op, scores, one_score, false, classes)
    }

    fn linear_scores(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let x = self.rows(op)?;
        let k = self.features(x)?;
        let weights = op.floats("coefficients");
        let n = weights.len() / k.max(1);
        let mut bias = op.floats("intercepts");
        if bias.is_empty() {
            bias = vec![0.0; n];
        }
        if n == 0 || n * k != weights.len() || bias.len() != n {
            return no(
                format!(
                    "{} coefficients and {} intercepts do not fit {k} columns",
                    weights.len(),
                    bias.len()
                ),
                "check the model",
            );
        }
        self.build.linear(x, weights, bias)
    }

    fn tree_regressor(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let targets = op.int("n_targets").unwrap_or(1).clamp(1, 1 << 20) as usize;
        let mut leaves = Self::leaf_arrays(op, "target");
        match op.text("aggregate_function").as_str() {
            "" | "SUM" => {}
            "AVERAGE" => {
                let mut trees = ints(op, "nodes_treeids");
                trees.sort_unstable();
                trees.dedup();
                let count = trees.len().max(1) as f64;
                leaves.weights.iter_mut().for_each(|w| *w /= count);
            }
            other => return no(format!("it aggregates by {other}"), "aggregate by SUM or AVERAGE"),
        }
        let base = op.floats("base_values");
        let base = match base.len() {
            0 => vec![0.0; targets],
            1 => vec![base[0]; targets],
            n if n == targets => base,
            n => return no(format!("{n} base values for {targets} targets"), "check the model"),
        };
        let y = self.trees(op, &leaves, base)?;
        self.transform(op, y)
    }

    /// The ensemble of operator set 5: inner nodes and leaves in arrays of their own.
    fn tree_ensemble(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let features = ints(op, "nodes_featureids");
        let splits = op.tensor_attribute("nodes_splits");
        let modes = op.tensor_attribute("nodes_modes");
        let (yes, no_) = (ints(op, "nodes_truenodeids"), ints(op, "nodes_falsenodeids"));
        let (yes_leaf, no_leaf) = (ints(op, "nodes_trueleafs"), ints(op, "nodes_falseleafs"));
        let (targets, weights) = (ints(op, "leaf_targetids"), op.tensor_attribute("leaf_weights"));
        let roots = ints(op, "tree_roots");
        let n = features.len();
        if [
            splits.len(),
            modes.len(),
            yes.len(),
            no_.len(),
            yes_leaf.len(),
            no_leaf.len(),
        ] != [n; 6]
            || targets.len() != weights.len()
        {
            return malformed("its arrays differ in length");
        }
        if op.int("aggregate_function").unwrap_or(1) != 1 {
            return no("it aggregates otherwise than by sums", "aggregate by SUM");
        }
        let mut nodes = NodeArrays::default();
        let mut leaves = LeafArrays::default();
        // Node i keeps its number; leaves are numbered from n on, every mention by itself. Trees share no nodes.
        let mut next_leaf = n as i64;
        let mut left = n;
        for (tree, root) in roots.iter().enumerate() {
            let mut stack = vec![*root];
            while let Some(i) = stack.pop() {
                let Some(i) = usize::try_from(i).ok().filter(|i| *i < n && left > 0) else {
                    return malformed("a branch leads nowhere, or two lead to one node");
                };
                left -= 1;
                let mode = match modes[i] as i64 {
                    0 => "BRANCH_LEQ",
                    1 => "BRANCH_LT",
                    2 => "BRANCH_GTE",
                    3 => "BRANCH_GT",
                    _ => {
                        return no(
                            "it compares for equality or membership",
                            "encode categories as ordered codes and train again",
                        )
                    }
                };
                let mut children = [0; 2];
                for (child, (to, leaf)) in children.iter_mut().zip([(yes[i], yes_leaf[i]), (no_[i], no_leaf[i])]) {
                    *child = to;
                    if leaf != 0 {
                        let Some(j) = usize::try_from(to).ok().filter(|j| *j < targets.len()) else {
                            return malformed("a branch leads to a leaf that is missing");
                        };
                        *child = next_leaf;
                        next_leaf += 1;
                        push_node(&mut nodes, tree, *child, 0, 0.0, "LEAF", [0, 0]);
                        leaves.tree_ids.push(tree as i64);
                        leaves.node_ids.push(*child);
                        leaves.targets.push(targets[j]);
                        leaves.weights.push(weights[j]);
                    } else {
                        stack.push(to);
                    }
                }
                push_node(&mut nodes, tree, i as i64, features[i], splits[i], mode, children);
            }
        }
        // Roots come first in their trees.
        let mut order: Vec<usize> = (0..nodes.node_ids.len()).collect();
        order.sort_by_key(|k| {
            (
                nodes.tree_ids[*k],
                nodes.node_ids[*k] != roots[nodes.tree_ids[*k] as usize],
            )
        });
        let pick = |v: &[i64]| order.iter().map(|k| v[*k]).collect::<Vec<i64>>();
        let nodes = NodeArrays {
            tree_ids: pick(&nodes.tree_ids),
            node_ids: pick(&nodes.node_ids),
            features: pick(&nodes.features),
            values: order.iter().map(|k| nodes.values[*k]).collect(),
            modes: order.iter().map(|k| nodes.modes[*k].clone()).collect(),
            true_ids: pick(&nodes.true_ids),
            false_ids: pick(&nodes.false_ids),
        };
        let count = op.int("n_targets").unwrap_or(1).clamp(1, 1 << 20) as usize;
        let y = self.ensemble(op, &nodes, &leaves, vec![0.0; count])?;
        match op.int("post_transform").unwrap_or(0) {
            0 => Ok(y),
            1 => self.build.map(y, Expr::unary(Unary::Sigmoid, Expr::X)),
            2 => {
                let last = self.build.rank(y) - 1;
                self.build.softmax(y, &[last])
            }
            other => no(
                format!("post_transform {other} is not convertible"),
                "NONE, LOGISTIC and SOFTMAX are",
            ),
        }
    }

    /// The post_transform of a regressor, or of a classifier with one score per class.
    fn transform(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        match op.text("post_transform").as_str() {
            "" | "NONE" => Ok(x),
            "LOGISTIC" => self.build.map(x, Expr::unary(Unary::Sigmoid, Expr::X)),
            "SOFTMAX" => {
                let last = self.build.rank(x) - 1;
                self.build.softmax(x, &[last])
            }
            other => no(
                format!("post_transform {other} is not convertible"),
                "NONE, LOGISTIC and SOFTMAX are",
            ),
        }
    }

    fn classes(&self, op: &Op<'a>) -> Outcome<Classes> {
        let integers = ["classlabels_int64s", "classlabels_ints"].map(|n| ints(op, n)).concat();
        let names = op.texts("classlabels_strings");
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
            return no(format!("it has {count} classes"), "a classifier needs two or more");
        }
        Ok(Classes { count, labels })
    }

    /// The two outputs of a classifier: the label, and a score per class.
    fn classify(
        &mut self,
        op: &Op<'a>,
        scores: Id,
        one_score: bool,
        positive: bool,
        classes: Classes,
    ) -> Outcome<Vec<Value>> {
        let transform = op.text("post_transform");
        let probabilities = if one_score {
            let second = match transform.as_str() {
                "LOGISTIC" => self.build.map(scores, Expr::unary(Unary::Sigmoid, Expr::X))?,
                "NONE" | "" => scores,
                other => {
                    return no(
                        format!("post_transform {other} of a single score is not convertible"),
                        "NONE and LOGISTIC are",
                    );
                }
            };
            // Margins are their own opposites, probabilities sum to 1.
            let margin = transform != "LOGISTIC" && !positive;
            let first = self.build.line(second, -1.0, if margin { 0.0 } else { 1.0 })?;
            let axis = self.build.rank(second) - 1;
            self.build.concat(vec![first, second], axis)?
        } else {
            self.transform(op, scores)?
        };
        // The largest of the raw scores is the largest of the probabilities, which are finer apart before rounding.
        let x = if one_score { probabilities } else { scores };
        self.named(x, probabilities, classes)
    }

    /// The class of the largest score, and the scores.
    fn named(&mut self, x: Id, probabilities: Id, classes: Classes) -> Outcome<Vec<Value>> {
        let mut shape = self.build.shape(x);
        if shape.pop() != Some(classes.count) {
            return no(
                "it gives another number of scores than it has classes",
                "check the model",
            );
        }
        let id = self.build.push(Kind::ArgMax { x }, shape)?;
        if !classes.labels.is_empty() {
            self.name_classes(id, classes.labels)?;
        }
        let tensor = |id, data_type| Value::Tensor(Tensor { id, data_type });
        Ok(vec![
            tensor(id, DataType::Int64),
            tensor(probabilities, DataType::Float),
        ])
    }

    /// Kernels of every row with every support vector: `[rows, vectors]`.
    fn kernels(&mut self, op: &Op<'a>, x: Id, vectors: &[f64]) -> Outcome<Id> {
        let k = self.features(x)?;
        let n = vectors.len() / k.max(1);
        if n == 0 || n * k != vectors.len() {
            return malformed(format!("its support vectors do not fit {k} columns"));
        }
        let parameters = op.floats("kernel_params");
        let parameter = |i: usize, default: f64| parameters.get(i).copied().unwrap_or(default);
        let (gamma, offset, degree) = (parameter(0, 0.0), parameter(1, 0.0), parameter(2, 3.0));
        match op.text("kernel_type").as_str() {
            "RBF" => {
                // |x - v|^2 = |x|^2 + |v|^2 - 2 x v
                let norms: Vec<f64> = vectors.chunks(k).map(|v| v.iter().map(|a| a * a).sum()).collect();
                let doubled = vectors.iter().map(|a| -2.0 * a).collect();
                let part = self.build.linear(x, doubled, norms)?;
                let squares = self.build.map(x, Expr::unary(Unary::Square, Expr::X))?;
                let last = self.build.rank(x) - 1;
                let own = self.build.sum(squares, &[last], Some(1.0), true)?;
                let distance = self.build.add(part, own)?;
                self.build
                    .map(distance, Expr::unary(Unary::Exp, Expr::affine(-gamma, 0.0)))
            }
            kind => {
                let products = self.build.linear(x, vectors.to_vec(), vec![0.0; n])?;
                let line = Expr::affine(gamma, offset);
                match kind {
                    "POLY" => self
                        .build
                        .map(products, Expr::binary(Binary::Pow, line, Expr::Const(degree))),
                    "SIGMOID" => self.build.map(products, Expr::unary(Unary::Tanh, line)),
                    _ => Ok(products),
                }
            }
        }
    }

    fn svm_regressor(&mut self, op: &Op<'a>) -> Outcome<Id> {
        let x = self.rows(op)?;
        let coefficients = op.floats("coefficients");
        let rho = op.floats("rho").first().copied().unwrap_or(0.0);
        let vectors = op.floats("support_vectors");
        let y = if vectors.is_empty() || op.int("n_supports") == Some(0) {
            self.build.linear(x, coefficients, vec![rho])?
        } else {
            let kernels = self.kernels(op, x, &vectors)?;
            self.build.linear(kernels, coefficients, vec![rho])?
        };
        if op.flag("one_class", false) {
            let positive = Expr::binary(Binary::Less, Expr::Const(0.0), Expr::X);
            return self.build.map(y, Expr::affine(2.0, -1.0).of(&positive));
        }
        self.transform(op, y)
    }

    /// Classes vote in pairs; with two classes and their calibration the output is a probability.
    fn svm_classifier(&mut self, op: &Op<'a>) -> Outcome<Vec<Value>> {
        let classes = self.classes(op)?;
        let x = self.rows(op)?;
        let coefficients = op.floats("coefficients");
        let rho = op.floats("rho");
        let vectors = op.floats("support_vectors");
        let count = classes.count;
        if vectors.is_empty() {
            // One row of coefficients per class.
            let bias = vec![rho.first().copied().unwrap_or(0.0); count];
            let scores = self.build.linear(x, coefficients, bias)?;
            return self.classify(op, scores, false, false, classes);
        }
        let per_class: Vec<usize> = ints(op, "vectors_per_class")
            .iter()
            .map(|n| (*n).max(0) as usize)
            .collect();
        let kernels = self.kernels(op, x, &vectors)?;
        let n = self.features(kernels)?;
        let pairs = count * (count - 1) / 2;
        let vectors_in_all = per_class.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
        if per_class.len() != count
            || vectors_in_all != Some(n)
            || coefficients.len() != (count - 1) * n
            || rho.len() != pairs
        {
            return malformed("its support vectors, coefficients and classes do not fit each other");
        }
        let mut starts = Vec::with_capacity(count);
        let mut start = 0;
        for n in &per_class {
            starts.push(start);
            start += n;
        }
        self.build.fold((room(&[pairs, n])? + room(&[pairs, count])?) as u64)?;
        let mut matrix = Vec::with_capacity(pairs * n);
        for i in 0..count {
            for j in i + 1..count {
                let mut row = vec![0.0; n];
                for (class, other) in [(i, j - 1), (j, i)] {
                    for v in starts[class]..starts[class] + per_class[class] {
                        row[v] = coefficients[other * n + v];
                    }
                }
                matrix.extend(row);
            }
        }
        let decisions = self.build.linear(kernels, matrix, rho)?;
        let (a, b) = (op.floats("prob_a"), op.floats("prob_b"));
        if let ([a], [b]) = (&a[..], &b[..]) {
            let first = self
                .build
                .map(decisions, Expr::unary(Unary::Sigmoid, Expr::affine(-a, -b)))?;
            let second = self.build.line(first, -1.0, 1.0)?;
            let last = self.build.rank(first) - 1;
            let both = self.build.concat(vec![first, second], last)?;
            return self.named(both, both, classes);
        }
        if op.wants(1) && !a.is_empty() {
            return no(
                "probabilities of more than two classes are found by iteration",
                "end the model at the label, or export without probabilities",
            );
        }
        // Votes of all pairs.
        let wins = self
            .build
            .map(decisions, Expr::binary(Binary::Less, Expr::Const(0.0), Expr::X))?;
        let (mut votes, mut bias, mut pair) = (vec![0.0; count * pairs], vec![0.0; count], 0);
        for i in 0..count {
            for j in i + 1..count {
                votes[i * pairs + pair] = 1.0;
                votes[j * pairs + pair] = -1.0;
                bias[j] += 1.0;
                pair += 1;
            }
        }
        let votes = self.build.linear(wins, votes, bias)?;
        // Scores are the pairs' decisions, and of a single pair also what speaks against the first class, as onnxruntime has it.
        let scores = if count == 2 {
            let against = self.build.line(decisions, -1.0, 0.0)?;
            let last = self.build.rank(decisions) - 1;
            self.build.concat(vec![against, decisions], last)?
        } else {
            decisions
        };
        self.named(votes, scores, classes)
    }
}

/// A single output of floats.
fn plain(id: Id) -> Option<Vec<Value>> {
    Some(vec![Value::Tensor(Tensor {
        id,
        data_type: DataType::Float,
    })])
}

/// Integers of an attribute; empty if missing.
fn ints(op: &Op, name: &str) -> Vec<i64> {
    op.ints(name).unwrap_or_default()
}

fn push_node(nodes: &mut NodeArrays, tree: usize, id: i64, feature: i64, value: f64, mode: &str, children: [i64; 2]) {
    nodes.tree_ids.push(tree as i64);
    nodes.node_ids.push(id);
    nodes.features.push(feature);
    nodes.values.push(value);
    nodes.modes.push(mode.into());
    nodes.true_ids.push(children[0]);
    nodes.false_ids.push(children[1]);
}
