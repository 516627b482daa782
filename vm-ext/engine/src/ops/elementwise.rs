//! Operations on single elements, in chunks that are widened to 32 bits on the way in.

use super::Scale;
use crate::graph::{Comparison, Op, Rescale};
use crate::infer::pick;
use crate::kernels::portable::{End, Neighbours};
use crate::kernels::{Kernels, WIDE};
use crate::shape::{BroadcastPlan, Loop};
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
    if let (View::I16(x), ViewMut::I16(out)) = (x, &mut *out) {
        // No element is beyond them.
        let within = |bound: i32| bound.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        return (kernels.arithmetic.clamp_narrow)(x, out, within(low), within(high));
    }
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
    if let (View::I16(x), ViewMut::I16(out), true) = (x, &mut *out, is_short(&scale.bias, &scale.rescale)) {
        return match inner {
            1 => columns(x, scale, channels, out, kernels),
            _ => lines(x, scale, channels, inner, out, kernels),
        };
    }
    let mut buffer = [0i32; CHUNK];
    if inner == 1 {
        // Channels alternate from element to element.
        let mut channel = 0;
        map(x, out, kernels, |mut chunk| {
            if channels < WIDE {
                for x in chunk {
                    *x = scale.apply(channel, i64::from(*x));
                    channel = if channel + 1 == channels { 0 } else { channel + 1 };
                }
                return;
            }
            while !chunk.is_empty() {
                let count = chunk.len().min(channels - channel);
                let (now, rest) = chunk.split_at_mut(count);
                scale.apply_neighbours(channel, now);
                channel = (channel + count) % channels;
                chunk = rest;
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

/// Rescales lines of `inner` neighbours, each with the channel whose turn it is.
fn lines(x: &[i16], scale: &Scale, channels: usize, inner: usize, out: &mut [i16], kernels: &Kernels) {
    let (low, high) = (scale.rescale.low, scale.rescale.high);
    let lines = x.chunks_exact(inner).zip(out.chunks_exact_mut(inner));
    for (line, (x, out)) in lines.enumerate() {
        let (bias, multiplier, shift) = scale.of(line % channels);
        // A short one fits.
        (kernels.arithmetic.rescale_narrow)(x, out, bias as i32, multiplier, End { shift, low, high });
    }
}

/// Rescales rows whose every element has a channel of its own: some channels at a time are laid out beside each other, all of
/// them several times where they are few.
#[inline(never)]
fn columns(x: &[i16], scale: &Scale, channels: usize, out: &mut [i16], kernels: &Kernels) {
    let (low, high) = (scale.rescale.low, scale.rescale.high);
    let [mut multipliers, mut addends, mut shifts] = [[0i32; CHUNK]; 3];
    let row = (CHUNK / channels).max(1).saturating_mul(channels).min(x.len());
    let mut channel = 0;
    for first in (0..row).step_by(CHUNK) {
        let count = CHUNK.min(row - first);
        for i in 0..count {
            let (bias, multiplier, shift) = scale.of(channel);
            channel = if channel + 1 == channels { 0 } else { channel + 1 };
            let half = ((1u32 << (shift & 31)) >> 1) as i32;
            (multipliers[i], shifts[i]) = (multiplier, shift.into());
            // Both fit where the channel is short.
            addends[i] = (bias as i32).wrapping_mul(multiplier).wrapping_add(half);
        }
        let neighbours = Neighbours {
            multipliers: &multipliers[..count],
            addends: &addends[..count],
            shifts: &shifts[..count],
        };
        for (x, out) in x.chunks(row).zip(out.chunks_mut(row)) {
            // The last ones may be fewer.
            let part = first.min(x.len())..(first + count).min(x.len());
            (kernels.arithmetic.rescale_neighbours)(&x[part.clone()], &mut out[part], neighbours, low, high);
        }
    }
}

/// Whether every channel takes operands of 16 bits to results without more than 32 on the way.
pub(crate) fn is_short(bias: &[i64], rescale: &Rescale) -> bool {
    (0..bias.len().max(rescale.multipliers.len()).max(1)).all(|channel| {
        let bias = pick(bias, channel).unwrap_or(0).unsigned_abs();
        let multiplier = pick(&rescale.multipliers, channel).unwrap_or(0).unsigned_abs();
        let end = End {
            shift: pick(&rescale.shifts, channel).unwrap_or(0),
            low: rescale.low,
            high: rescale.high,
        };
        end.is_short(LARGEST.saturating_add(bias).saturating_mul(multiplier.into())) && bias <= i32::MAX as u64
    })
}

/// Square roots, rounded to the nearest integer; x * 2^shift is below 2^62.
pub(crate) fn sqrt(x: View<'_>, end: End, out: &mut ViewMut<'_>, kernels: &Kernels) {
    map(x, out, kernels, |chunk| (kernels.arithmetic.roots)(chunk, end));
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
        if let (View::I16(a), View::I16(b), ViewMut::I16(out), true) = (a, b, &mut *out, self.pair.is_short()) {
            return self.narrow(a, b, out, kernels);
        }
        let narrow = matches!((a, b), (View::I16(_), View::I16(_)));
        let apply = |left: &mut [i32], right: &[i32]| match narrow && self.pair.is_short() {
            true => self.pair.apply_short(left, right, kernels),
            false => self.pair.apply(left, right, kernels),
        };
        if self.plan.run() <= SHORT_RUN {
            let load =
                |i: usize, at: usize, step: usize, chunk: &mut [i32]| fill([a, b][i], at, step, 0, chunk, kernels);
            return short_runs(&self.plan, load, |at, [left, right]| {
                apply(left, right);
                out.store_run(at, left, kernels);
            });
        }
        let [mut left, mut right] = [[0i32; CHUNK]; 2];
        let mut at = 0;
        self.plan.runs(|[at_a, at_b], inner| {
            let [step_a, step_b] = inner.steps;
            for from in (0..inner.extent).step_by(CHUNK) {
                let count = CHUNK.min(inner.extent - from);
                let (left, right) = (&mut left[..count], &mut right[..count]);
                fill(a, at_a, step_a, from, left, kernels);
                fill(b, at_b, step_b, from, right, kernels);
                apply(left, right);
                out.store_run(at + from, left, kernels);
            }
            at += inner.extent;
        });
    }
}

/// Runs up to this length are taken several at a time.
const SHORT_RUN: usize = 64;

/// Lays runs of broadcast operands next to each other: `load` gives those of operand i from an element on, repeated where the step is 0,
/// and `apply` gets as many as there is room for, with the place of the first among the results. A run is at most [`SHORT_RUN`] long.
#[inline(always)]
fn short_runs<const N: usize, T: Copy + Default>(
    plan: &BroadcastPlan<N>,
    load: impl Fn(usize, usize, usize, &mut [T]),
    mut apply: impl FnMut(usize, [&mut [T]; N]),
) {
    let mut buffers = [[T::default(); CHUNK]; N];
    let (mut at, mut filled) = (0, 0);
    plan.runs(|starts, inner| {
        if filled + inner.extent > CHUNK {
            apply(at, buffers.each_mut().map(|buffer| &mut buffer[..filled]));
            (at, filled) = (at + filled, 0);
        }
        for (i, buffer) in buffers.iter_mut().enumerate() {
            load(i, starts[i], inner.steps[i], &mut buffer[filled..filled + inner.extent]);
        }
        filled += inner.extent;
    });
    apply(at, buffers.each_mut().map(|buffer| &mut buffer[..filled]));
}

/// A short run of an operand of 16 bits.
#[inline(always)]
fn short_run(x: &[i16], at: usize, step: usize, chunk: &mut [i16]) {
    match step {
        0 => chunk.fill(x[at]),
        _ => {
            let count = chunk.len();
            chunk.copy_from_slice(&x[at..at + count]);
        }
    }
}

/// A run of operands of 16 bits: neighbours where they are, or one element, of which `repeated` holds as many as are taken together.
fn run_of<'a>(x: &'a [i16], at: usize, inner: Loop<1>, repeated: &'a mut [i16; CHUNK]) -> &'a [i16] {
    match inner.steps {
        [0] => {
            let count = CHUNK.min(inner.extent);
            repeated[..count].fill(x[at]);
            repeated
        }
        _ => &x[at..at + inner.extent],
    }
}

/// A part of a run.
fn part(run: &[i16], step: usize, from: usize, count: usize) -> &[i16] {
    match step {
        0 => &run[..count],
        _ => &run[from..from + count],
    }
}

/// Elements of a run from `from` on: all the same one, or neighbours.
fn fill(x: View<'_>, at: usize, step: usize, from: usize, chunk: &mut [i32], kernels: &Kernels) {
    match step {
        0 => chunk.fill(x.get(at)),
        _ => x.load_run(at + from, chunk, kernels),
    }
}

impl Joined {
    /// From and to 16 bits.
    #[inline(never)]
    fn narrow(&self, a: &[i16], b: &[i16], out: &mut [i16], kernels: &Kernels) {
        if self.plan.run() <= SHORT_RUN {
            let load = |i: usize, at: usize, step: usize, chunk: &mut [i16]| short_run([a, b][i], at, step, chunk);
            return short_runs(&self.plan, load, |at, [left, right]| {
                self.pair
                    .apply_narrow(left, right, &mut out[at..at + left.len()], kernels);
            });
        }
        let [mut left, mut right] = [[0i16; CHUNK]; 2];
        let mut at = 0;
        self.plan.runs(|[at_a, at_b], inner| {
            let [step_a, step_b] = inner.steps;
            let of = |step: usize| Loop {
                extent: inner.extent,
                steps: [step],
            };
            let a = run_of(a, at_a, of(step_a), &mut left);
            let b = run_of(b, at_b, of(step_b), &mut right);
            let at_once = if step_a * step_b == 1 { inner.extent } else { CHUNK };
            for from in (0..inner.extent).step_by(at_once) {
                let count = at_once.min(inner.extent - from);
                let (a, b) = (part(a, step_a, from, count), part(b, step_b, from, count));
                self.pair.apply_narrow(a, b, &mut out[at + from..][..count], kernels);
            }
            at += inner.extent;
        });
    }
}

impl Pair {
    /// Of an operation on two broadcast operands; none of another.
    pub fn of(op: &Op) -> Option<Self> {
        Some(match *op {
            Op::Add {
                multipliers,
                shift,
                low,
                high,
                ..
            } => Pair::Add {
                multipliers,
                end: End { shift, low, high },
            },
            Op::Mul {
                multiplier,
                shift,
                low,
                high,
                ..
            } => Pair::Mul {
                multiplier,
                end: End { shift, low, high },
            },
            Op::Div { shift, low, high, .. } => Pair::Div {
                end: End { shift, low, high },
            },
            Op::Min { .. } => Pair::Min,
            Op::Max { .. } => Pair::Max,
            Op::Compare { kind, .. } => Pair::Compare(kind),
            _ => return None,
        })
    }

    /// Whether operands of 16 bits take no more than 32 on the way.
    pub fn is_short(self) -> bool {
        match self {
            Pair::Add {
                multipliers: [m, n],
                end,
            } => {
                let factors = u64::from(m.unsigned_abs()) + u64::from(n.unsigned_abs());
                end.is_short(LARGEST * factors)
            }
            Pair::Mul { multiplier, end } => multiplier == 1 && end.is_short(LARGEST * LARGEST),
            Pair::Div { .. } => false,
            Pair::Min | Pair::Max | Pair::Compare(_) => true,
        }
    }

    /// From and to 16 bits, where that is so.
    fn apply_narrow(self, a: &[i16], b: &[i16], out: &mut [i16], kernels: &Kernels) {
        let k = &kernels.arithmetic;
        match self {
            Pair::Add { multipliers, end } => (k.add_narrow)(a, b, out, multipliers, end),
            Pair::Mul { end, .. } => (k.mul_narrow)(a, b, out, end),
            Pair::Min => (k.min_narrow)(a, b, out),
            Pair::Max => (k.max_narrow)(a, b, out),
            Pair::Compare(kind) => (k.compare_narrow)(a, b, out, kind),
            // Never short.
            Pair::Div { .. } => debug_assert!(false, "a quotient takes 64 bits"),
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
    if let (View::I16(condition), View::I16(a), View::I16(b), ViewMut::I16(out)) = (condition, a, b, &mut *out) {
        return select_narrow([condition, a, b], plan, out, kernels);
    }
    if plan.run() <= SHORT_RUN {
        let load = |i: usize, at: usize, step: usize, chunk: &mut [i32]| {
            fill([condition, a, b][i], at, step, 0, chunk, kernels);
        };
        return short_runs(plan, load, |at, [decides, left, right]| {
            (kernels.arithmetic.select)(left, right, decides);
            out.store_run(at, left, kernels);
        });
    }
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

/// The same from and to 16 bits.
#[inline(never)]
fn select_narrow(operands: [&[i16]; 3], plan: &BroadcastPlan<3>, out: &mut [i16], kernels: &Kernels) {
    if plan.run() <= SHORT_RUN {
        let load = |i: usize, at: usize, step: usize, chunk: &mut [i16]| short_run(operands[i], at, step, chunk);
        return short_runs(plan, load, |at, [condition, a, b]| {
            (kernels.arithmetic.select_narrow)(condition, a, b, &mut out[at..at + a.len()]);
        });
    }
    let mut repeated = [[0i16; CHUNK]; 3];
    let mut at = 0;
    plan.runs(|starts, inner| {
        let [decides, left, right] = &mut repeated;
        let [condition, a, b] = operands;
        let of = |i: usize| Loop {
            extent: inner.extent,
            steps: [inner.steps[i]],
        };
        let runs = [
            run_of(condition, starts[0], of(0), decides),
            run_of(a, starts[1], of(1), left),
            run_of(b, starts[2], of(2), right),
        ];
        for from in (0..inner.extent).step_by(CHUNK) {
            let count = CHUNK.min(inner.extent - from);
            let [condition, a, b] = [0, 1, 2].map(|i| part(runs[i], inner.steps[i], from, count));
            (kernels.arithmetic.select_narrow)(condition, a, b, &mut out[at + from..][..count]);
        }
        at += inner.extent;
    });
}
