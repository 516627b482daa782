//! Inputs: their format and limits.

use aiinference_engine::graph::Input;

use super::plan::is_clamp;
use super::scale::{bits_needed, fraction_bits, quantise, reach, QMAX, WIDE_MAX};
use super::{extents, Quantiser, Q, WIDE_BITS};
use crate::error::Result;
use crate::net::{Declared, Id, Kind};
use crate::options::OutOfRange;
use crate::provable;

impl Quantiser<'_> {
    pub(super) fn input(&mut self, place: usize, id: Id) -> Result<()> {
        let Kind::Input(declared) = &self.net.nodes[id].kind else {
            return self.range_error(id, "it is no input".into());
        };
        let seen = self.seen[id];
        let name = self.net.nodes[id].name.clone();
        if seen.low > seen.high {
            return self.range_error(id, "the calibration data holds no finite value for it".into());
        }
        // Twice the calibrated range costs nothing: it is the room that the storage has anyway.
        let (low, high) = (seen.low.min(0.0) * 2.0, seen.high.max(0.0) * 2.0);
        let scaled = self.plan.readers[id].iter().all(|r| {
            let kind = &self.net.nodes[*r].kind;
            matches!(kind, Kind::Affine { .. } | Kind::Trees { .. })
                || (kind.moves_only() && self.plan.wide[*r])
                || is_clamp(kind)
        });
        let thresholds = self.threshold_bits(id);
        let needed = seen.bits.max(thresholds);
        let widest = if self.options.provable {
            provable::INPUT_MAX
        } else {
            WIDE_MAX
        };
        let largest = low.abs().max(high.abs());
        let (k, qmax) = if !matches!(declared, Declared::Real) {
            let beyond = seen.largest() > f64::from(widest) && !self.options.provable;
            (0, if beyond { i32::MAX } else { widest })
        } else if needed == 0 && seen.largest() <= f64::from(widest) {
            (0, if largest <= f64::from(QMAX) { QMAX } else { widest })
        } else if self.plan.fine[id] {
            (fraction_bits(largest, widest - 1).min(needed), widest)
        } else if self.plan.wide[id] || scaled {
            (fraction_bits(largest, widest - 1).min(WIDE_BITS).min(needed), widest)
        } else {
            (fraction_bits(reach(seen.largest()), QMAX), QMAX)
        };
        let bound = |x: f64| quantise(x, k).clamp(-qmax, qmax);
        let (low, high) = match declared {
            Declared::Within(low, high) => (*low, *high),
            _ => (bound(low), bound(high)),
        };
        debug_assert_eq!(place, self.graph.inputs.len());
        let value = self.graph.input(Input {
            name,
            shape: extents(self.net.shape(id)),
            fraction_bits: k,
            low,
            high,
            saturate: self.options.out_of_range == OutOfRange::Saturate,
        });
        let q = Q {
            id: value,
            k,
            low,
            high,
        };
        self.values[id] = Some(q);
        Ok(())
    }

    /// Fraction bits that hold every threshold of the trees that read a value directly.
    pub(super) fn threshold_bits(&self, id: Id) -> i32 {
        let trees = self.plan.readers[id]
            .iter()
            .filter_map(|r| match &self.net.nodes[*r].kind {
                Kind::Trees { trees, .. } => Some(trees),
                _ => None,
            });
        trees
            .flat_map(|t| &t.branches)
            .map(|b| bits_needed(b.threshold))
            .max()
            .unwrap_or(0)
    }
}
