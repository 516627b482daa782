//! What calibration sees of every value.

use std::collections::BTreeMap;

use super::precision::Precision;
use super::scale::bits_needed;
use crate::calibrate::histogram::Magnitudes;
use crate::eval;
use crate::net::{Elements, Id, Kind, Net};

/// Values below may be masks: so far down that a softmax makes nothing of them.
const FAR: f64 = -1e8;
/// They are, if nothing else is larger than this.
const NEAR: f64 = 1e4;
/// How far below everything else a mask is put: e^-16 is less than a probability's unit.
const MASK_DEPTH: f64 = 16.0;

/// Whether a value masks others, up to a magnitude, beside which it stands.
pub fn is_mask(value: f64, largest: f64) -> bool {
    value < FAR && (value == f64::NEG_INFINITY || largest <= NEAR)
}

/// What calibration saw of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Least.
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Fraction bits that hold every element exactly.
    pub bits: i32,
    /// Least of what lies so far below that it may be a mask.
    far: Option<f64>,
    /// Sum of the squares of what is no mask.
    squares: f64,
    /// How many those are.
    count: u64,
}

impl Seen {
    /// Nothing yet.
    pub const NOTHING: Seen = Seen {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
        bits: 0,
        far: None,
        squares: 0.0,
        count: 0,
    };

    /// Takes in elements.
    pub fn add(&mut self, values: &[f64], count_bits: bool) {
        for &v in values.iter().filter(|v| v.is_finite() || **v == f64::NEG_INFINITY) {
            if v < FAR {
                self.far = Some(self.far.map_or(v, |far| far.min(v)));
                continue;
            }
            self.low = self.low.min(v);
            self.high = self.high.max(v);
            self.squares += v * v;
            self.count += 1;
            if count_bits {
                self.bits = self.bits.max(bits_needed(v));
            }
        }
    }

    /// Nothing is a mask, however far down it is.
    pub fn keep_far(&mut self) {
        if let Some(far) = self.far.take() {
            self.low = self.low.min(far);
            self.high = self.high.max(far);
        }
    }

    /// What both saw.
    pub fn joined(self, other: Seen) -> Seen {
        Seen {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            bits: self.bits.max(other.bits),
            far: match (self.far, other.far) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            squares: self.squares + other.squares,
            count: self.count.saturating_add(other.count),
        }
    }

    /// All values were seen: those far below are masks, for which a little room is enough, or they are values as others.
    pub fn settle(&mut self) {
        let Some(far) = self.far else { return };
        if !is_mask(far, self.largest()) {
            self.keep_far();
        } else if self.low <= self.high {
            self.low -= MASK_DEPTH;
        }
    }

    /// Takes what is beyond a magnitude for too rare to count.
    pub fn clip(&mut self, bound: f64) {
        if self.low <= self.high {
            self.low = self.low.clamp(-bound, bound);
            self.high = self.high.clamp(-bound, bound);
        }
    }

    /// Mean of the squares; 0 of nothing.
    pub fn mean_square(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.squares / self.count as f64
        }
    }

    /// Largest magnitude.
    pub fn largest(&self) -> f64 {
        if self.low > self.high {
            0.0
        } else {
            self.low.abs().max(self.high.abs())
        }
    }
}

/// What calibration saw of a net: of its values, and of those of the bodies that it runs again and again.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// Per value.
    pub values: Vec<Seen>,
    /// Per Scan.
    pub bodies: BTreeMap<Id, Ranges>,
    /// What was chosen of the precision of single nodes.
    pub precision: BTreeMap<Id, Precision>,
    /// How often which magnitudes occur, per value; empty unless they are counted.
    magnitudes: Vec<Magnitudes>,
}

impl Ranges {
    /// Nothing yet.
    pub fn of(net: &Net) -> Ranges {
        let bodies = net.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            Kind::Scan(scan) => Some((id, Ranges::of(&scan.body))),
            _ => None,
        });
        Ranges {
            values: vec![Seen::NOTHING; net.nodes.len()],
            bodies: bodies.collect(),
            precision: BTreeMap::new(),
            magnitudes: vec![],
        }
    }

    /// Counts magnitudes from now on, so that ranges can be clipped.
    pub fn count(&mut self) {
        self.magnitudes = vec![Magnitudes::default(); self.values.len()];
        self.bodies.values_mut().for_each(Ranges::count);
    }

    /// Clips ranges of reals to the magnitudes that `percent` of their elements do not exceed. Inputs and outputs keep
    /// theirs: they are the model's signature. To be called before the ranges are settled.
    pub fn clip(&mut self, net: &Net, percent: f64) {
        let mut kept = vec![false; net.nodes.len()];
        net.outputs.iter().for_each(|o| kept[o.value] = true);
        for (id, (seen, magnitudes)) in self.values.iter_mut().zip(&self.magnitudes).enumerate() {
            let node = &net.nodes[id];
            let real = node.of == Elements::Real
                && !matches!(
                    node.kind,
                    Kind::Input(_) | Kind::Const(_) | Kind::ArgMax { .. } | Kind::TopK { .. } | Kind::Compare { .. }
                );
            if let (true, Some(bound)) = (real && !kept[id], magnitudes.bound(percent)) {
                seen.clip(bound);
            }
        }
        for (id, body) in &mut self.bodies {
            if let Kind::Scan(scan) = &net.nodes[*id].kind {
                body.clip(&scan.body, percent);
            }
        }
    }

    /// All runs were taken in.
    pub fn settle(&mut self, net: &Net) {
        self.values.iter_mut().for_each(Seen::settle);
        for (id, node) in net.nodes.iter().enumerate() {
            match &node.kind {
                Kind::Add { a, b, sign } if *sign > 0.0 => self.reach_below(id, *a, *b),
                Kind::Scan(scan) => {
                    if let Some(body) = self.bodies.get_mut(&id) {
                        body.settle(&scan.body);
                    }
                }
                _ => {}
            }
        }
    }

    /// Masks that are added to values reach below the least of them, also from the largest.
    fn reach_below(&mut self, sum: Id, a: Id, b: Id) {
        let is_masked = |seen: &Seen| seen.far.is_some_and(|far| is_mask(far, seen.largest()));
        if !is_masked(&self.values[sum]) {
            return;
        }
        for (mask, other) in [(a, b), (b, a)] {
            let other = self.values[other];
            if is_masked(&self.values[mask]) && !is_masked(&other) && other.low <= other.high {
                let mask = &mut self.values[mask];
                mask.low = mask.low.min(other.low - other.high - MASK_DEPTH);
            }
        }
    }

    /// Takes in the values of one run.
    pub fn add(&mut self, net: &Net, values: &[Vec<f64>]) {
        for (id, seen) in self.values.iter_mut().enumerate() {
            let is_input = matches!(net.nodes[id].kind, Kind::Input(_));
            seen.add(eval::of(net, values, id), is_input);
            if matches!(net.nodes[id].of, Elements::Integer(..)) {
                seen.keep_far();
            }
        }
        for (id, magnitudes) in self.magnitudes.iter_mut().enumerate() {
            magnitudes.add(eval::of(net, values, id));
        }
        for (id, body) in &mut self.bodies {
            if let Kind::Scan(scan) = &net.nodes[*id].kind {
                let operand = |x| (eval::of(net, values, x), net.shape(x));
                eval::each_time(scan, &operand, &mut |inner| body.add(&scan.body, inner));
            }
        }
    }
}
