//! Operations whose result's shape depends on the data: done here where the data are stored. One-hot and n-grams, too.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::import::{one, several, Importer};
use super::op::{axis, malformed, no, room, Op, Outcome, Value};
use super::proto::DataType;
use crate::expr::{Binary, Expr};
use crate::net::Id;

impl<'a> Importer<'a> {
    pub(super) fn selections(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "NonZero" => {
                let t = op.tensor(0)?;
                let shape = self.build.shape(t.id);
                let values = self.build.known(t.id, "where it is not zero")?;
                let found: Vec<usize> = (0..values.len()).filter(|i| values[*i] != 0.0).collect();
                let count = room(&[shape.len(), found.len()])?;
                let mut rows = Vec::with_capacity(count);
                for a in 0..shape.len() {
                    let inner: usize = shape[a + 1..].iter().product();
                    rows.extend(found.iter().map(|i| (i / inner % shape[a]) as f64));
                }
                let t = self.constant(rows, &[shape.len(), found.len()], DataType::Int64)?;
                one(t.id, t.data_type)
            }
            "Compress" => {
                let t = op.tensor(0)?;
                let condition = self.build.known(op.tensor(1)?.id, "which elements stay")?;
                let kept: Vec<usize> = (0..condition.len()).filter(|i| condition[*i] != 0.0).collect();
                let (x, a) = match op.int("axis") {
                    Some(a) => (t.id, axis(a, self.build.rank(t.id))?),
                    None => {
                        let n = self.build.size(t.id);
                        (self.build.reshape(t.id, &[n])?, 0)
                    }
                };
                let n = self.build.shape(x)[a];
                if kept.iter().any(|i| *i >= n) {
                    return malformed("its condition is longer than its operand");
                }
                one(self.build.take(x, a, &kept)?, t.data_type)
            }
            "Unique" => self.unique(op),
            "NonMaxSuppression" => self.suppressed(op),
            "OneHot" => {
                let indices = op.tensor(0)?.id;
                let values = op.tensor(2)?;
                let depth = self.build.known_ints(op.tensor(1)?.id, "its depth")?;
                let Some(depth) = depth
                    .first()
                    .and_then(|d| usize::try_from(*d).ok())
                    .filter(|d| *d < 1 << 20)
                else {
                    return malformed("its depth is impossible");
                };
                let rank = self.build.rank(indices) + 1;
                let a = axis(op.int("axis").unwrap_or(-1), rank)?;
                let n = depth as f64;
                let negative = Expr::binary(Binary::Less, Expr::X, Expr::Const(0.0));
                let from_start = Expr::Select(Box::new([negative, Expr::affine(1.0, n), Expr::X]));
                let at = self.build.map(indices, from_start)?;
                let at = self.build.unsqueeze(at, &[a])?;
                let extents: Vec<usize> = (0..rank).map(|b| if a == b { depth } else { 1 }).collect();
                let numbers = self.build.constant((0..depth).map(|i| i as f64).collect(), &extents)?;
                let here = self.build.binary(Binary::Equal, at, numbers)?;
                let pick = |this: &mut Self, i: usize| -> Outcome<Id> {
                    let part = this.build.slice(values.id, 0, i, 1, 1)?;
                    this.build.reshape(part, &[])
                };
                let (off, on) = (pick(self, 0)?, pick(self, 1)?);
                one(self.build.select(here, on, off)?, values.data_type)
            }
            "TfIdfVectorizer" => {
                let t = op.tensor(0)?;
                one(self.n_grams(op, t.id)?, DataType::Float)
            }
            _ => Ok(None),
        }
    }

    fn unique(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let (x, a) = match op.int("axis") {
            Some(a) => (t.id, axis(a, self.build.rank(t.id))?),
            None => {
                let n = self.build.size(t.id);
                (self.build.reshape(t.id, &[n])?, 0)
            }
        };
        let (rows, _) = {
            let rank = self.build.rank(x);
            let order: Vec<usize> = [a].into_iter().chain((0..rank).filter(|b| *b != a)).collect();
            (self.build.transpose(x, &order)?, ())
        };
        let n = self.build.shape(rows)[0];
        let values = self.build.known(rows, "which elements are equal")?;
        let size = values.len() / n.max(1);
        let row = |i: usize| &values[i * size..(i + 1) * size];
        // Row after row in their order, equal ones by place: the first of each kind leads its group.
        let compare = |i: usize, j: usize| {
            let pairs = row(i).iter().zip(row(j));
            let mut orders = pairs.map(|(x, y)| (x + 0.0).total_cmp(&(y + 0.0)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let steps = u64::from(n.max(1).ilog2()) + 1;
        self.build.fold(steps.saturating_mul((values.len() + n) as u64))?;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|i, j| compare(*i, *j));
        let mut groups: Vec<Vec<usize>> = vec![];
        for i in order {
            match groups.last_mut() {
                Some(group) if compare(group[0], i).is_eq() => group.push(i),
                _ => groups.push(vec![i]),
            }
        }
        if !op.flag("sorted", true) {
            groups.sort_by_key(|group| group[0]);
        }
        let firsts: Vec<usize> = groups.iter().map(|group| group[0]).collect();
        let counts: Vec<usize> = groups.iter().map(Vec::len).collect();
        let mut kind = vec![0; n];
        for (k, group) in groups.iter().enumerate() {
            group.iter().for_each(|i| kind[*i] = k);
        }
        let y = self.build.take(x, a, &firsts)?;
        let lists = [self.int_list(&firsts)?, self.int_list(&kind)?, self.int_list(&counts)?];
        several([(y, t.data_type)].into_iter().chain(lists.map(|l| (l.id, l.data_type))))
    }

    /// Boxes by falling score, without those that overlap a better one.
    fn suppressed(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let (boxes, scores) = (op.tensor(0)?.id, op.tensor(1)?.id);
        let shape = self.build.shape(scores);
        let &[batches, classes, count] = &shape[..] else {
            return malformed("its scores have other than three axes");
        };
        if self.build.shape(boxes) != [batches, count, 4] {
            return malformed("its boxes do not fit its scores");
        }
        let boxes = self.build.known(boxes, "the boxes")?;
        let scores = self.build.known(scores, "the scores")?;
        let number = |this: &Self, i: usize, default: f64| -> Outcome<f64> {
            match op.optional(i)? {
                Some(t) => Ok(this
                    .build
                    .known(t.id, "its limits")?
                    .first()
                    .copied()
                    .unwrap_or(default)),
                None => Ok(default),
            }
        };
        let most = number(self, 2, 0.0)?;
        let overlap = number(self, 3, 0.0)?;
        let least = number(self, 4, f64::NEG_INFINITY)?;
        let centred = op.flag("center_point_box", false);
        let corners = |b: usize, i: usize| {
            let v = &boxes[(b * count + i) * 4..][..4];
            if centred {
                [
                    v[0] - v[2] / 2.0,
                    v[1] - v[3] / 2.0,
                    v[0] + v[2] / 2.0,
                    v[1] + v[3] / 2.0,
                ]
            } else {
                [v[0].min(v[2]), v[1].min(v[3]), v[0].max(v[2]), v[1].max(v[3])]
            }
        };
        let area = |v: [f64; 4]| (v[2] - v[0]) * (v[3] - v[1]);
        let shared = |a: [f64; 4], b: [f64; 4]| {
            let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
            let both = side(0) * side(1);
            let union = area(a) + area(b) - both;
            if union > 0.0 {
                both / union
            } else {
                0.0
            }
        };
        let mut rows = Vec::new();
        let steps = u64::from(count.max(1).ilog2()) + 1;
        for b in 0..batches {
            for c in 0..classes {
                self.build.fold(steps * count as u64)?;
                let score = |i: usize| scores[(b * classes + c) * count + i];
                let mut order: Vec<usize> = (0..count).filter(|i| score(*i) > least).collect();
                order.sort_by(|i, j| score(*j).total_cmp(&score(*i)));
                let mut kept: Vec<usize> = vec![];
                for i in order {
                    if kept.len() as f64 >= most {
                        break;
                    }
                    self.build.fold(32 * kept.len() as u64)?;
                    if kept.iter().all(|k| shared(corners(b, *k), corners(b, i)) <= overlap) {
                        kept.push(i);
                    }
                }
                rows.extend(kept.into_iter().flat_map(|i| [b as f64, c as f64, i as f64]));
            }
        }
        let n = rows.len() / 3;
        let t = self.constant(rows, &[n, 3], DataType::Int64)?;
        one(t.id, t.data_type)
    }

    /// Counts of n-grams of whole numbers: comparisons at every place, added up.
    fn n_grams(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let pool = op.ints("pool_int64s").unwrap_or_default();
        if pool.is_empty() {
            return no("it counts words", "encode words as integers before the model");
        }
        let starts = op.ints("ngram_counts").unwrap_or_default();
        let columns = op.ints("ngram_indexes").unwrap_or_default();
        let weights = op.floats("weights");
        let (shortest, longest) = (
            op.int("min_gram_length").unwrap_or(1).max(1) as usize,
            op.int("max_gram_length").unwrap_or(1).max(1) as usize,
        );
        let skips = op.int("max_skip_count").unwrap_or(0).max(0) as usize;
        let shape = self.build.shape(x);
        let rows = if shape.len() > 1 { shape[0] } else { 1 };
        let n = shape.last().copied().unwrap_or(1);
        let x = self.build.reshape(x, &[rows, n])?;
        let width = columns.iter().copied().max().unwrap_or(-1).saturating_add(1);
        if !(1..1 << 16).contains(&width) || longest > 16 || skips > 64 {
            return malformed("its tables are impossible");
        }
        let mut grams: Vec<Vec<i64>> = vec![];
        for length in 1..=starts.len() {
            let from = starts[length - 1].max(0) as usize;
            let to = starts.get(length).map_or(pool.len(), |s| (*s).max(0) as usize);
            if from > to || to > pool.len() || !(to - from).is_multiple_of(length) {
                return malformed("its tables do not fit each other");
            }
            grams.extend(pool[from..to].chunks(length).map(<[i64]>::to_vec));
        }
        let mut sums: Vec<Option<Id>> = vec![None; width as usize];
        for (i, gram) in grams.iter().enumerate() {
            let length = gram.len();
            let Some(column) = columns.get(i).and_then(|c| usize::try_from(*c).ok()) else {
                return malformed("its tables do not fit each other");
            };
            if length < shortest || length > longest {
                continue;
            }
            // Single words know no skips.
            let last = if length == 1 { 0 } else { skips };
            for skip in 0..=last {
                let Some(places) = n.checked_sub((length - 1) * (skip + 1)).filter(|p| *p > 0) else {
                    continue;
                };
                let mut all = None;
                for (k, word) in gram.iter().enumerate() {
                    let part = self.build.slice(x, 1, k * (skip + 1), 1, places)?;
                    let is = Expr::binary(Binary::Equal, Expr::X, Expr::Const(*word as f64));
                    let here = self.build.map(part, is)?;
                    all = Some(match all {
                        None => here,
                        Some(all) => self.build.mul(all, here)?,
                    });
                }
                if let Some(all) = all {
                    let count = self.build.sum(all, &[1], Some(1.0), true)?;
                    sums[column] = Some(match sums[column] {
                        None => count,
                        Some(sum) => self.build.add(sum, count)?,
                    });
                }
            }
        }
        let mode = op.text("mode");
        if !matches!(mode.as_str(), "TF" | "IDF" | "TFIDF") {
            return malformed(format!("its mode is {mode:?}"));
        }
        // Weights belong to n-grams: to a column that of the first that counts there.
        let mut gram_of: BTreeMap<i64, usize> = BTreeMap::new();
        for (gram, column) in columns.iter().enumerate() {
            gram_of.entry(*column).or_insert(gram);
        }
        let mut parts = Vec::new();
        for (column, sum) in sums.into_iter().enumerate() {
            let mut id = match sum {
                Some(sum) => sum,
                None => self.build.constant(vec![0.0; rows], &[rows, 1])?,
            };
            if mode == "IDF" {
                id = self.build.clamp(id, 0.0, 1.0)?;
            }
            let gram = gram_of.get(&(column as i64));
            if let Some(w) = gram.and_then(|g| weights.get(*g)).filter(|_| mode != "TF") {
                id = self.build.line(id, *w, 0.0)?;
            }
            parts.push(id);
        }
        let y = self.build.concat(parts, 1)?;
        if shape.len() > 1 {
            Ok(y)
        } else {
            self.build.reshape(y, &[width as usize])
        }
    }
}
