//! Operations on single elements.

use super::certificate::Range;
use super::{
    check_channels, check_clamp, check_rescale, extremes, pick, products, scaled, Context, Ending, ValueType,
    ACCUMULATOR_BOUND, PRODUCT_BOUND,
};
use crate::error::NodeProblem;
use crate::graph::{Comparison, Rescale, ValueId};
use crate::shape;

impl Context<'_> {
    pub(super) fn rescale(
        &self,
        x: ValueId,
        axis: u32,
        bias: &[i64],
        rescale: &Rescale,
    ) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let per_channel = bias.len() > 1 || rescale.multipliers.len() > 1;
        let channels = match (per_channel, x.shape.get(axis as usize)) {
            (false, _) => 1,
            (true, Some(extent)) => u64::from(*extent),
            (true, None) => return Err(NodeProblem::Axis { axis }),
        };
        check_channels("the biases", bias.len(), channels, true)?;
        check_rescale(rescale, channels)?;
        let mut range = Range::new(rescale);
        for channel in 0..bias.len().max(rescale.multipliers.len()).max(1) {
            let bias = i128::from(pick(bias, channel).unwrap_or(0));
            let (low, high) = (i128::from(x.low) + bias, i128::from(x.high) + bias);
            if low.abs().max(high.abs()) >= ACCUMULATOR_BOUND {
                return Err(NodeProblem::Accumulator {
                    channel: channel as u64,
                });
            }
            range.include(channel, low, high)?;
        }
        Ok(ValueType {
            shape: x.shape.clone(),
            low: range.low,
            high: range.high,
        })
    }

    pub(super) fn table(&self, x: ValueId, table: &[i16]) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let (least, largest) = match table.len() {
            256 => (-128, 127),
            513 => (i32::from(i16::MIN), i32::from(i16::MAX)),
            found => {
                return Err(NodeProblem::Length {
                    what: "the table (or 256)",
                    found: found as u64,
                    want: 513,
                });
            }
        };
        if x.low < least || x.high > largest {
            return Err(NodeProblem::Range {
                low: x.low,
                high: x.high,
            });
        }
        // Non-negative and below the table's length, as x is in range.
        let [first, last] = match table.len() {
            256 => [x.low + 128, x.high + 128],
            _ => [(x.low + 32768) >> 7, ((x.high + 32768) >> 7) + 1],
        }
        .map(|i| i as usize);
        let (low, high) = extremes(table[first..=last].iter().map(|y| i32::from(*y)));
        Ok(ValueType {
            shape: x.shape.clone(),
            low,
            high,
        })
    }

    pub(super) fn clamp(&self, x: ValueId, low: i32, high: i32) -> Result<ValueType, NodeProblem> {
        check_clamp(low, high)?;
        let x = self.operand(x)?;
        Ok(ValueType {
            shape: x.shape.clone(),
            low: x.low.clamp(low, high),
            high: x.high.clamp(low, high),
        })
    }

    /// Two operands whose shapes broadcast, and an undetermined result.
    fn pair(&self, a: ValueId, b: ValueId) -> Result<(&ValueType, &ValueType, ValueType), NodeProblem> {
        let (a, b) = (self.operand(a)?, self.operand(b)?);
        let shape = shape::broadcast(&a.shape, &b.shape)?;
        let result = ValueType { shape, low: 0, high: 0 };
        Ok((a, b, result))
    }

    pub(super) fn add(
        &self,
        a: ValueId,
        b: ValueId,
        multipliers: [i32; 2],
        ending: Ending,
    ) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        let [m, n] = multipliers.map(i128::from);
        // The terms themselves must fit, not only their sum.
        if a.magnitude() * m.abs() + b.magnitude() * n.abs() >= PRODUCT_BOUND {
            return Err(NodeProblem::Product { channel: 0 });
        }
        let (al, ah) = scaled(a.low.into(), a.high.into(), m);
        let (bl, bh) = scaled(b.low.into(), b.high.into(), n);
        (y.low, y.high) = ending.range(al + bl, ah + bh)?;
        Ok(y)
    }

    pub(super) fn mul(&self, a: ValueId, b: ValueId, ending: Ending) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        let (low, high) = products(a, b);
        (y.low, y.high) = ending.range(low, high)?;
        Ok(y)
    }

    pub(super) fn min(&self, a: ValueId, b: ValueId) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        (y.low, y.high) = (a.low.min(b.low), a.high.min(b.high));
        Ok(y)
    }

    pub(super) fn max(&self, a: ValueId, b: ValueId) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        (y.low, y.high) = (a.low.max(b.low), a.high.max(b.high));
        Ok(y)
    }

    pub(super) fn compare(&self, a: ValueId, b: ValueId, kind: Comparison) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        // Whether it can hold, and whether it can fail.
        let (holds, fails) = match kind {
            Comparison::Less => (a.low < b.high, a.high >= b.low),
            Comparison::LessEqual => (a.low <= b.high, a.high > b.low),
            Comparison::Equal => (
                a.low <= b.high && b.low <= a.high,
                a.low != a.high || b.low != b.high || a.low != b.low,
            ),
        };
        (y.low, y.high) = (i32::from(!fails), i32::from(holds));
        Ok(y)
    }

    pub(super) fn select(&self, condition: ValueId, a: ValueId, b: ValueId) -> Result<ValueType, NodeProblem> {
        let condition = self.operand(condition)?;
        let (a, b, mut y) = self.pair(a, b)?;
        y.shape = shape::broadcast(&condition.shape, &y.shape)?;
        (y.low, y.high) = match (condition.low, condition.high) {
            (0, 0) => (b.low, b.high),
            (low, high) if low > 0 || high < 0 => (a.low, a.high),
            _ => (a.low.min(b.low), a.high.max(b.high)),
        };
        Ok(y)
    }

    pub(super) fn div(&self, a: ValueId, b: ValueId, ending: Ending) -> Result<ValueType, NodeProblem> {
        let (a, b, mut y) = self.pair(a, b)?;
        let (low, high) = (i128::from(a.low) << ending.shift, i128::from(a.high) << ending.shift);
        if low.abs().max(high.abs()) >= PRODUCT_BOUND {
            return Err(NodeProblem::Product { channel: 0 });
        }
        let clamp = |v: i128| v.clamp(ending.low.into(), ending.high.into()) as i32;
        let mut found = (i32::MAX, i32::MIN);
        let mut include = |v: i32| found = (found.0.min(v), found.1.max(v));
        // For divisors of one sign the quotient is monotone in both operands: its extremes lie at the corners.
        for (least, most) in [(b.low, b.high.min(-1)), (b.low.max(1), b.high)] {
            if least <= most {
                for (dividend, divisor) in [(low, least), (low, most), (high, least), (high, most)] {
                    include(clamp(quotient(dividend, divisor.into())));
                }
            }
        }
        if b.low <= 0 && b.high >= 0 {
            if a.low < 0 {
                include(ending.low);
            }
            if a.high > 0 {
                include(ending.high);
            }
            if a.low <= 0 && a.high >= 0 {
                include(clamp(0));
            }
        }
        (y.low, y.high) = found;
        Ok(y)
    }

    pub(super) fn sqrt(&self, x: ValueId, ending: Ending) -> Result<ValueType, NodeProblem> {
        let x = self.operand(x)?;
        let scaled = |v: i32| i128::from(v.max(0)) << ending.shift;
        if scaled(x.high) >= PRODUCT_BOUND {
            return Err(NodeProblem::Product { channel: 0 });
        }
        // Below 2^62, so the root is below 2^31.
        let root = |v: i32| {
            let v = scaled(v) as u64;
            let floor = v.isqrt();
            i128::from(floor) + i128::from(v - floor * floor > floor)
        };
        let clamp = |v: i128| v.clamp(ending.low.into(), ending.high.into()) as i32;
        Ok(ValueType {
            shape: x.shape.clone(),
            low: clamp(root(x.low)),
            high: clamp(root(x.high)),
        })
    }
}

/// `floor(a / b + 1/2)`, b not 0.
fn quotient(a: i128, b: i128) -> i128 {
    let (a, b) = if b < 0 { (-a, -b) } else { (a, b) };
    (2 * a + b).div_euclid(2 * b)
}
