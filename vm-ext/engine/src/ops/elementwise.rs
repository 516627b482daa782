//! Operations on single elements, in chunks that are widened to 32 bits on the way in.

use super::Scale;
use crate::kernels::portable::End;
use crate::kernels::Kernels;
use crate::shape::{BroadcastPlan, HARD_MAX_RANK};
use crate::tensor::{View, ViewMut};

/// Elements handled at a time.
pub(crate) const CHUNK: usize = 256;

/// `y[i] = f(x[i])`, chunk by chunk.
fn map(x: View<'_>, out: &mut ViewMut<'_>, mut f: impl FnMut(&mut [i32])) {
    let mut buffer = [0i32; CHUNK];
    for start in (0..x.len()).step_by(CHUNK) {
        let chunk = &mut buffer[..CHUNK.min(x.len() - start)];
        x.load(start, chunk);
        f(chunk);
        out.store(start, chunk);
    }
}

/// `clamp(x, low, high)`.
pub(crate) fn clamp(x: View<'_>, low: i32, high: i32, out: &mut ViewMut<'_>) {
    map(x, out, |chunk| {
        for x in chunk {
            *x = (*x).clamp(low, high);
        }
    });
}

/// A function by its table of 256 entries or 513 knots. x lies in the table's range (inferred).
pub(crate) fn table(x: View<'_>, table: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels) {
    if table.len() == 256 {
        map(x, out, |chunk| {
            for x in chunk {
                *x = table[(*x + 128) as usize].into();
            }
        });
    } else if let Ok(knots) = <&[i16; 513]>::try_from(table) {
        map(x, out, |chunk| (kernels.arithmetic.table)(chunk, knots));
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
        map(x, out, |chunk| {
            for x in chunk {
                *x = scale.apply(channel, i64::from(*x));
                channel = if channel + 1 == channels { 0 } else { channel + 1 };
            }
        });
        return;
    }
    for (run, start) in (0..x.len()).step_by(inner).enumerate() {
        let (bias, multiplier, shift) = scale.of(run % channels);
        for from in (start..start + inner).step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(start + inner - from)];
            x.load(from, chunk);
            (kernels.arithmetic.rescale)(chunk, bias, multiplier, End { shift, low, high });
            out.store(from, chunk);
        }
    }
}

/// `clamp((a * m + b * n + r) >> shift, low, high)` and likewise for products.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pair {
    Add { multipliers: [i32; 2] },
    Mul { multiplier: i32 },
}

/// Sums or products of broadcast operands.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub pair: Pair,
    pub end: End,
    pub plan: BroadcastPlan,
}

impl Joined {
    #[inline(never)]
    pub fn run(&self, a: View<'_>, b: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels) {
        let loops = &self.plan.loops;
        let Some((&[run, step_a, step_b], outer)) = loops.split_last() else {
            return;
        };
        let count: usize = outer.iter().map(|l| l[0]).product();
        let (mut at_a, mut at_b) = (0, 0);
        let mut counter = [0usize; HARD_MAX_RANK];
        let mut buffers = [[0i32; CHUNK]; 2];
        for index in 0..count {
            self.run_along(
                &mut buffers,
                a,
                at_a,
                step_a,
                b,
                at_b,
                step_b,
                index * run,
                run,
                out,
                kernels,
            );
            for (digit, [extent, sa, sb]) in counter.iter_mut().zip(outer.iter().rev()) {
                *digit += 1;
                at_a += sa;
                at_b += sb;
                if *digit < *extent {
                    break;
                }
                *digit = 0;
                at_a -= sa * extent;
                at_b -= sb * extent;
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn run_along(
        &self,
        [left, right]: &mut [[i32; CHUNK]; 2],
        a: View<'_>,
        at_a: usize,
        step_a: usize,
        b: View<'_>,
        at_b: usize,
        step_b: usize,
        at: usize,
        run: usize,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
    ) {
        let fill = |x: View<'_>, at: usize, step: usize, from: usize, chunk: &mut [i32]| match step {
            0 => chunk.fill(x.get(at)),
            _ => x.load(at + from, chunk),
        };
        for from in (0..run).step_by(CHUNK) {
            let count = CHUNK.min(run - from);
            let (left, right) = (&mut left[..count], &mut right[..count]);
            fill(a, at_a, step_a, from, left);
            fill(b, at_b, step_b, from, right);
            match self.pair {
                Pair::Add { multipliers } => (kernels.arithmetic.add)(left, right, multipliers, self.end),
                Pair::Mul { multiplier } => (kernels.arithmetic.mul)(left, right, multiplier, self.end),
            }
            out.store(at + from, left);
        }
    }
}
