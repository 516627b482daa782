//! Operations on single elements, in chunks that are widened to 32 bits on the way in.

use super::Scale;
use crate::graph::Comparison;
use crate::kernels::portable::End;
use crate::kernels::Kernels;
use crate::shape::BroadcastPlan;
use crate::tensor::{View, ViewMut};

/// Elements handled at a time.
pub(crate) const CHUNK: usize = 256;
/// Magnitude of an element of 16 bits.
const LARGEST: u64 = 1 << 15;

/// `y[i] = f(x[i])`, chunk by chunk.
fn map(x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, mut f: impl FnMut(&mut [i32])) {
    let mut buffer = [0i32; CHUNK];
    for start in (0..x.len()).step_by(CHUNK) {
        let chunk = &mut buffer[..CHUNK.min(x.len() - start)];
        x.load_run(start, chunk, kernels);
        f(chunk);
        out.store_run(start, chunk, kernels);
    }
}

/// `clamp(x, low, high)`.
pub(crate) fn clamp(x: View<'_>, low: i32, high: i32, out: &mut ViewMut<'_>, kernels: &Kernels) {
    // What 1 rescales is itself.
    let end = End { shift: 0, low, high };
    map(x, out, kernels, |chunk| {
        (kernels.arithmetic.rescale_short)(chunk, 0, 1, end)
    });
}

/// A function by its table of 256 entries or 513 knots. x lies in the table's range (inferred).
pub(crate) fn table(x: View<'_>, table: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels) {
    if table.len() == 256 {
        map(x, out, kernels, |chunk| {
            for x in chunk {
                *x = table[(*x + 128) as usize].into();
            }
        });
    } else if let Ok(knots) = <&[i16; 513]>::try_from(table) {
        map(x, out, kernels, |chunk| (kernels.arithmetic.table)(chunk, knots));
    }
}

/// `rescale(x + bias[c])`, c along the middle one of `[outer, channels, inner]`; all one run where nothing is per channel.
pub(crate) fn rescale_channels(
    x: View<'_>,
    scale: &Scale,
    around: [usize; 3],
    out: &mut ViewMut<'_>,
    kernels: &Kernels,
) {
    let [_, channels, inner] = around;
    let (low, high) = (scale.rescale.low, scale.rescale.high);
    let mut buffer = [0i32; CHUNK];
    if inner == 1 {
        // Channels alternate from element to element.
        let mut channel = 0;
        map(x, out, kernels, |chunk| {
            for x in chunk {
                *x = scale.apply(channel, i64::from(*x));
                channel = if channel + 1 == channels { 0 } else { channel + 1 };
            }
        });
        return;
    }
    let short = matches!(x, View::I16(_));
    for (run, start) in (0..x.len()).step_by(inner).enumerate() {
        let (bias, multiplier, shift) = scale.of(run % channels);
        for from in (start..start + inner).step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(start + inner - from)];
            x.load_run(from, chunk, kernels);
            let end = End { shift, low, high };
            match i32::try_from(bias) {
                Ok(bias)
                    if short
                        && end.is_short(
                            LARGEST.saturating_add(bias.unsigned_abs().into()) * u64::from(multiplier.unsigned_abs()),
                        ) =>
                {
                    (kernels.arithmetic.rescale_short)(chunk, bias, multiplier, end);
                }
                _ => (kernels.arithmetic.rescale)(chunk, bias, multiplier, end),
            }
            out.store_run(from, chunk, kernels);
        }
    }
}

/// Square roots, rounded to the nearest integer; x * 2^shift is below 2^62.
pub(crate) fn sqrt(x: View<'_>, end: End, out: &mut ViewMut<'_>, kernels: &Kernels) {
    let (low, high) = (i64::from(end.low), i64::from(end.high));
    map(x, out, kernels, |chunk| {
        for x in chunk {
            let v = ((*x).max(0) as u64) << end.shift;
            let root = v.isqrt();
            // Half a unit more than the root has the square root^2 + root + 1/4.
            let nearest = root + u64::from(v - root * root > root);
            *x = (nearest as i64).clamp(low, high) as i32;
        }
    });
}

/// What becomes of two elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pair {
    /// `clamp((a * m + b * n + r) >> shift, low, high)`
    Add {
        multipliers: [i32; 2],
        end: End,
    },
    /// `clamp((a * b * multiplier + r) >> shift, low, high)`
    Mul {
        multiplier: i32,
        end: End,
    },
    /// `clamp(floor(a * 2^shift / b + 1/2), low, high)`
    Div {
        end: End,
    },
    Min,
    Max,
    Compare(Comparison),
}

/// Operations on two broadcast operands.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub pair: Pair,
    pub plan: BroadcastPlan<2>,
}

impl Joined {
    #[inline(never)]
    pub fn run(&self, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels) {
        let [mut left, mut right] = [[0i32; CHUNK]; 2];
        let narrow = matches!((a, b), (View::I16(_), View::I16(_)));
        let short = narrow && self.pair.is_short();
        let mut at = 0;
        self.plan.runs(|[at_a, at_b], inner| {
            let [step_a, step_b] = inner.steps;
            for from in (0..inner.extent).step_by(CHUNK) {
                let count = CHUNK.min(inner.extent - from);
                let (left, right) = (&mut left[..count], &mut right[..count]);
                fill(a, at_a, step_a, from, left, kernels);
                fill(b, at_b, step_b, from, right, kernels);
                match short {
                    true => self.pair.apply_short(left, right, kernels),
                    false => self.pair.apply(left, right, kernels),
                }
                out.store_run(at + from, left, kernels);
            }
            at += inner.extent;
        });
    }
}

/// Elements of a run from `from` on: all the same one, or neighbours.
fn fill(x: View<'_>, at: usize, step: usize, from: usize, chunk: &mut [i32], kernels: &Kernels) {
    match step {
        0 => chunk.fill(x.get(at)),
        _ => x.load_run(at + from, chunk, kernels),
    }
}

impl Pair {
    /// Whether operands of 16 bits take no more than 32 on the way.
    fn is_short(self) -> bool {
        match self {
            Pair::Add {
                multipliers: [m, n],
                end,
            } => {
                let factors = u64::from(m.unsigned_abs()) + u64::from(n.unsigned_abs());
                end.is_short(LARGEST * factors)
            }
            Pair::Mul { multiplier, end } => multiplier == 1 && end.is_short(LARGEST * LARGEST),
            _ => false,
        }
    }

    /// Into a, where that is so.
    fn apply_short(self, a: &mut [i32], b: &[i32], kernels: &Kernels) {
        match self {
            Pair::Add { multipliers, end } => (kernels.arithmetic.add_short)(a, b, multipliers, end),
            Pair::Mul { end, .. } => (kernels.arithmetic.mul_short)(a, b, end),
            _ => self.apply(a, b, kernels),
        }
    }

    /// Into a.
    fn apply(self, a: &mut [i32], b: &[i32], kernels: &Kernels) {
        match self {
            Pair::Add { multipliers, end } => (kernels.arithmetic.add)(a, b, multipliers, end),
            Pair::Mul { multiplier, end } => (kernels.arithmetic.mul)(a, b, multiplier, end),
            Pair::Div { end } => {
                for (a, b) in a.iter_mut().zip(b) {
                    *a = quotient(*a, *b, end);
                }
            }
            Pair::Min => (kernels.arithmetic.min)(a, b),
            Pair::Max => (kernels.arithmetic.max)(a, b),
            Pair::Compare(kind) => (kernels.arithmetic.compare)(a, b, kind),
        }
    }
}

/// `clamp(floor(a * 2^shift / b + 1/2), low, high)`; the dividend is below 2^62.
fn quotient(a: i32, b: i32, end: End) -> i32 {
    let (low, high) = (i64::from(end.low), i64::from(end.high));
    let dividend = i64::from(a) << end.shift;
    let rounded = match b {
        0 => match a.signum() {
            1 => high,
            -1 => low,
            _ => 0,
        },
        _ => {
            let (size, divisor) = (dividend.unsigned_abs(), u64::from(b.unsigned_abs()));
            let (quotient, rest) = (size / divisor, size % divisor);
            // Halves round up: away from zero above it, towards zero below.
            match (dividend < 0) == (b < 0) {
                true => (quotient + u64::from(2 * rest >= divisor)) as i64,
                false => -((quotient + u64::from(2 * rest > divisor)) as i64),
            }
        }
    };
    rounded.clamp(low, high) as i32
}

/// `condition != 0 ? a : b` over three broadcast operands.
#[inline(never)]
pub(crate) fn select(
    [condition, a, b]: [View<'_>; 3],
    plan: &BroadcastPlan<3>,
    out: &mut ViewMut<'_>,
    kernels: &Kernels,
) {
    let [mut decides, mut left, mut right] = [[0i32; CHUNK]; 3];
    let mut at = 0;
    plan.runs(|starts, inner| {
        for from in (0..inner.extent).step_by(CHUNK) {
            let count = CHUNK.min(inner.extent - from);
            let (decides, left, right) = (&mut decides[..count], &mut left[..count], &mut right[..count]);
            fill(condition, starts[0], inner.steps[0], from, decides, kernels);
            fill(a, starts[1], inner.steps[1], from, left, kernels);
            fill(b, starts[2], inner.steps[2], from, right, kernels);
            (kernels.arithmetic.select)(left, right, decides);
            out.store_run(at + from, left, kernels);
        }
        at += inner.extent;
    });
}
