//! Products of matrices.

use std::collections::BTreeMap;

use super::import::{one, Importer};
use super::op::{malformed, no, Op, Outcome, Tensor, Value};
use super::proto::DataType;
use crate::net::{broadcast, Id};

impl<'a> Importer<'a> {
    pub(super) fn products(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "MatMul" | "FusedMatMul" | "TransposeMatMul" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let (mut x, mut y) = (a.id, b.id);
                let plain = ["transA", "transB", "alpha"]
                    .iter()
                    .all(|name| op.attribute(name).is_none());
                let rank = self.build.rank(b.id);
                if let Some((x, w, scales)) = self.in_integers(x, y, rank.max(1) - 1).filter(|_| plain && rank == 2) {
                    let sums = self.build.matmul(x, w)?;
                    let last = self.build.rank(sums).max(1) - 1;
                    return one(self.rescaled(sums, last, scales, None)?, a.data_type);
                }
                if op.flag("transA", false) {
                    x = self.swapped(x)?;
                }
                if op.flag("transB", false) {
                    y = self.swapped(y)?;
                }
                let id = self.build.matmul(x, y)?;
                let alpha = op.float("alpha", 1.0);
                let id = if alpha == 1.0 {
                    id
                } else {
                    self.build.line(id, alpha, 0.0)?
                };
                one(id, a.data_type)
            }
            "Gemm" => self.gemm(op),
            "MatMulInteger" => {
                let (a, b) = (op.tensor(0)?, op.tensor(1)?);
                let a_zero = op.optional(2)?;
                let b_zero = op.optional(3)?;
                let x = self.less_zero(a, a_zero, Zero::Rows)?;
                let y = self.less_zero(b, b_zero, Zero::Columns)?;
                one(self.build.matmul(x, y)?, DataType::Int32)
            }
            "Einsum" => {
                let terms = op.tensors()?;
                let ids: Vec<Id> = terms.iter().map(|t| t.id).collect();
                let data_type = terms.first().map_or(DataType::Float, |t| t.data_type);
                one(self.einsum(&op.text("equation"), &ids)?, data_type)
            }
            "Det" => {
                let t = op.tensor(0)?;
                one(self.determinant(t.id)?, t.data_type)
            }
            _ => Ok(None),
        }
    }

    /// The last two axes swapped.
    fn swapped(&mut self, x: Id) -> Outcome<Id> {
        let rank = self.build.rank(x);
        if rank < 2 {
            return Ok(x);
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 1, rank - 2);
        self.build.transpose(x, &order)
    }

    fn gemm(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let (a, b) = (op.tensor(0)?, op.tensor(1)?);
        let (alpha, beta) = (op.float("alpha", 1.0), op.float("beta", 1.0));
        let mut x = a.id;
        if self.build.rank(x) != 2 || self.build.rank(b.id) != 2 {
            // Old exporters left flattening to Gemm.
            let shape = self.build.shape(x);
            let Some((rows, rest)) = shape.split_first() else {
                return malformed("it multiplies a scalar");
            };
            x = self.build.reshape(x, &[*rows, rest.iter().product()])?;
        }
        if op.flag("transA", false) {
            x = self.swapped(x)?;
        }
        let w = if op.flag("transB", false) {
            self.swapped(b.id)?
        } else {
            b.id
        };
        let columns = usize::from(!op.flag("transB", false));
        let plain = alpha == 1.0 && beta == 1.0;
        let matrices = self.build.rank(a.id) == 2 && self.build.rank(b.id) == 2;
        if let Some((x, w, scales)) = self.in_integers(a.id, b.id, columns).filter(|_| plain && matrices) {
            let bias = op.optional(2)?.map(|bias| bias.id);
            let n = scales.len().max(self.build.shape(w)[columns]);
            if bias.is_none_or(|bias| self.build.net.constant(bias).is_some_and(|v| v.len() == n)) {
                let w = if columns == 0 { self.swapped(w)? } else { w };
                let x = if op.flag("transA", false) { self.swapped(x)? } else { x };
                let sums = self.build.matmul(x, w)?;
                return one(self.rescaled(sums, 1, scales, bias)?, a.data_type);
            }
        }
        let mut y = self.build.matmul(x, w)?;
        if alpha != 1.0 {
            y = self.build.line(y, alpha, 0.0)?;
        }
        if let Some(bias) = op.optional(2)?.filter(|_| beta != 0.0) {
            let bias = if beta == 1.0 {
                bias.id
            } else {
                self.build.line(bias.id, beta, 0.0)?
            };
            y = self.build.add(y, bias)?;
        }
        one(y, a.data_type)
    }

    /// A quantised operand less its zero point.
    pub(super) fn less_zero(&mut self, t: Tensor, zero: Option<Tensor>, along: Zero) -> Outcome<Id> {
        let Some(zero) = zero else { return Ok(t.id) };
        let n = self.build.size(zero.id);
        let rank = self.build.rank(t.id);
        let shape = match along {
            _ if n == 1 => vec![],
            // As it broadcasts where it has axes of its own.
            _ if self.build.rank(zero.id) > 1 => self.build.shape(zero.id),
            Zero::Rows => vec![n, 1],
            Zero::Columns => vec![n],
            Zero::Axis(axis) => (0..rank).map(|a| if a == axis { n } else { 1 }).collect(),
        };
        let zero = self.build.reshape(zero.id, &shape)?;
        match self.build.net.constant(zero) {
            Some(zeros) if zeros.iter().all(|z| *z == 0.0) => Ok(t.id),
            // A function of its own: what was rounded and what comes after are no one function.
            Some([z]) => {
                let z = *z;
                self.build.line(t.id, 1.0, -z)
            }
            _ => self.build.sub(t.id, zero),
        }
    }

    /// A sum of products by the letters of their axes, operands taken in pairs from the left.
    fn einsum(&mut self, equation: &str, operands: &[Id]) -> Outcome<Id> {
        let plain: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match plain.split_once("->") {
            Some((left, right)) => (left.to_string(), Some(right.to_string())),
            None => (plain, None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != operands.len() {
            return malformed(format!(
                "{equation:?} has another number of terms than there are operands"
            ));
        }
        // Axes under an ellipsis get the letters '0', '1', .. counted from the last.
        let mut parts: Vec<(Id, Vec<char>)> = Vec::new();
        let mut under = 0;
        for (term, id) in terms.iter().zip(operands) {
            let rank = self.build.rank(*id);
            let named = term.replace("...", "").chars().count();
            let Some(hidden) = rank
                .checked_sub(named)
                .filter(|h| *h <= 10 && (*h == 0 || term.contains("...")))
            else {
                return malformed(format!("{term:?} does not name {rank} axes"));
            };
            under = under.max(hidden);
            let dots: String = (0..hidden)
                .rev()
                .filter_map(|i| char::from_digit(i as u32, 10))
                .collect();
            let letters: Vec<char> = term.replace("...", &dots).chars().collect();
            // Two ellipses would name axes twice.
            if letters.len() != rank {
                return malformed(format!("{term:?} does not name {rank} axes"));
            }
            parts.push((*id, letters));
        }
        let dots: String = (0..under)
            .rev()
            .filter_map(|i| char::from_digit(i as u32, 10))
            .collect();
        let out: Vec<char> = match right {
            Some(right) => right.replace("...", &dots).chars().collect(),
            None => {
                let mut counts: BTreeMap<char, usize> = BTreeMap::new();
                parts
                    .iter()
                    .flat_map(|p| &p.1)
                    .for_each(|c| *counts.entry(*c).or_default() += 1);
                let once = counts.iter().filter(|(c, n)| **n == 1 && !c.is_ascii_digit());
                dots.chars().chain(once.map(|(c, _)| *c)).collect()
            }
        };
        for part in &mut parts {
            self.diagonal(part)?;
        }
        let mut parts = parts.into_iter();
        let Some(mut first) = parts.next() else {
            return malformed("it has no operands");
        };
        let rest: Vec<(Id, Vec<char>)> = parts.collect();
        for i in 0..rest.len() {
            let later = rest[i + 1..].iter().flat_map(|p| p.1.iter().copied());
            let needed: Vec<char> = out.iter().copied().chain(later).collect();
            first = self.contract(first, rest[i].clone(), &needed)?;
        }
        // Sum what is left over, and put the axes in order.
        let gone: Vec<usize> = (0..first.1.len()).filter(|i| !out.contains(&first.1[*i])).collect();
        let mut id = self.build.sum(first.0, &gone, Some(1.0), false)?;
        let letters: Vec<char> = first.1.iter().copied().filter(|c| out.contains(c)).collect();
        let order: Option<Vec<usize>> = out.iter().map(|c| letters.iter().position(|l| l == c)).collect();
        match order {
            Some(order) if order.len() == letters.len() => {
                id = self.build.transpose(id, &order)?;
                Ok(id)
            }
            _ => malformed(format!("{equation:?} gives axes that no operand has")),
        }
    }

    /// Axes of one letter become one axis.
    fn diagonal(&mut self, (id, letters): &mut (Id, Vec<char>)) -> Outcome<()> {
        while let Some((i, j)) = (0..letters.len())
            .flat_map(|i| (i + 1..letters.len()).map(move |j| (i, j)))
            .find(|(i, j)| letters[*i] == letters[*j])
        {
            let shape = self.build.shape(*id);
            if shape[i] != shape[j] {
                return malformed("axes of one letter differ in length");
            }
            let rank = shape.len();
            let order: Vec<usize> = (0..rank).filter(|a| *a != i && *a != j).chain([i, j]).collect();
            let moved = self.build.transpose(*id, &order)?;
            let n = shape[i];
            let mut rest = self.build.shape(moved);
            rest.truncate(rank - 2);
            rest.push(n * n);
            let flat = self.build.reshape(moved, &rest)?;
            *id = self.build.slice(flat, rest.len() - 1, 0, n + 1, n)?;
            let letter = letters[i];
            *letters = order[..rank - 2].iter().map(|a| letters[*a]).chain([letter]).collect();
        }
        Ok(())
    }

    /// The product of two operands, summed over the letters that nobody else needs.
    fn contract(
        &mut self,
        (a, la): (Id, Vec<char>),
        (b, lb): (Id, Vec<char>),
        needed: &[char],
    ) -> Outcome<(Id, Vec<char>)> {
        // What only one of them has and nobody needs is summed first.
        let mut sides = Vec::new();
        for (id, letters, other) in [(a, &la, &lb), (b, &lb, &la)] {
            let lonely: Vec<usize> = (0..letters.len())
                .filter(|i| !other.contains(&letters[*i]) && !needed.contains(&letters[*i]))
                .collect();
            let id = self.build.sum(id, &lonely, Some(1.0), false)?;
            let kept = (0..letters.len()).filter(|i| !lonely.contains(i)).map(|i| letters[i]);
            sides.push((id, kept.collect::<Vec<char>>()));
        }
        let (b, lb) = sides.pop().unwrap_or((b, lb));
        let (a, la) = sides.pop().unwrap_or((a, la));
        let both = |c: &&char| la.contains(c) && lb.contains(c);
        let batch: Vec<char> = la.iter().filter(|c| both(c) && needed.contains(c)).copied().collect();
        let summed: Vec<char> = la.iter().filter(|c| both(c) && !needed.contains(c)).copied().collect();
        let m: Vec<char> = la.iter().filter(|c| !lb.contains(c)).copied().collect();
        let n: Vec<char> = lb.iter().filter(|c| !la.contains(c)).copied().collect();
        let mut extent: BTreeMap<char, usize> = BTreeMap::new();
        for (id, letters) in [(a, &la), (b, &lb)] {
            for (c, e) in letters.iter().zip(self.build.shape(id)) {
                let known = extent.entry(*c).or_insert(e);
                if *known == 1 {
                    *known = e;
                } else if e != 1 && *known != e {
                    return malformed("axes of one letter differ in length");
                }
            }
        }
        let count = |letters: &[char]| -> usize { letters.iter().filter_map(|c| extent.get(c)).product() };
        let shapes = |groups: [&[char]; 3]| -> (Vec<char>, Vec<usize>) {
            let batch: Vec<usize> = groups[0].iter().filter_map(|c| extent.get(c).copied()).collect();
            let flat = [batch, vec![count(groups[1]), count(groups[2])]].concat();
            (groups.concat(), flat)
        };
        let x = {
            let (order, flat) = shapes([&batch, &m, &summed]);
            self.arranged(a, &la, &order, &extent, &flat)?
        };
        let y = {
            let (order, flat) = shapes([&batch, &summed, &n]);
            self.arranged(b, &lb, &order, &extent, &flat)?
        };
        let z = self.build.matmul(x, y)?;
        let letters = [batch, m, n].concat();
        let shape: Vec<usize> = letters.iter().filter_map(|c| extent.get(c).copied()).collect();
        Ok((self.build.reshape(z, &shape)?, letters))
    }

    /// Axes in the given order, those of extent 1 stretched, in the given shape.
    fn arranged(
        &mut self,
        id: Id,
        letters: &[char],
        order: &[char],
        extent: &BTreeMap<char, usize>,
        flat: &[usize],
    ) -> Outcome<Id> {
        let places: Option<Vec<usize>> = order.iter().map(|c| letters.iter().position(|l| l == c)).collect();
        let Some(places) = places else {
            return malformed("its letters do not fit");
        };
        let id = self.build.transpose(id, &places)?;
        let full: Vec<usize> = order.iter().filter_map(|c| extent.get(c).copied()).collect();
        let id = self.build.broadcast(id, &full)?;
        self.build.reshape(id, flat)
    }

    /// Determinants of small matrices, by the first row.
    fn determinant(&mut self, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let rank = shape.len();
        if rank < 2 || shape[rank - 1] != shape[rank - 2] {
            return malformed("its operand is no square matrix");
        }
        let n = shape[rank - 1];
        if n > 4 {
            return no(
                format!("a determinant of {n} rows is unstable in integers"),
                "compute it outside the model",
            );
        }
        if n == 0 {
            return self
                .build
                .constant(vec![1.0; shape[..rank - 2].iter().product()], &shape[..rank - 2]);
        }
        if n == 1 {
            return self.build.squeeze(x, &[rank - 2, rank - 1]);
        }
        let mut sum = None;
        for column in 0..n {
            let top = self.build.slice(x, rank - 2, 0, 1, 1)?;
            let corner = self.build.slice(top, rank - 1, column, 1, 1)?;
            let corner = self.build.squeeze(corner, &[rank - 2, rank - 1])?;
            let below = self.build.slice(x, rank - 2, 1, 1, n - 1)?;
            let others: Vec<usize> = (0..n).filter(|j| *j != column).collect();
            let minor = self.build.take(below, rank - 1, &others)?;
            let minor = self.determinant(minor)?;
            let part = self.build.mul(corner, minor)?;
            sum = Some(match sum {
                None => part,
                Some(sum) if column % 2 == 1 => self.build.sub(sum, part)?,
                Some(sum) => self.build.add(sum, part)?,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => malformed("its operand is empty"),
        }
    }

    /// Whether two shapes broadcast to the first.
    pub(super) fn spreads(&self, to: &[usize], from: &[usize]) -> bool {
        broadcast(to, from).as_deref() == Some(to)
    }
}

/// Which axis of a quantised operand zero points belong to.
pub enum Zero {
    /// The last but one.
    Rows,
    /// The last.
    Columns,
    /// A given one.
    Axis(usize),
}
