//! Pooling over the last two axes.

use super::elementwise::CHUNK;
use crate::kernels::{Kernels, WIDE};
use crate::shape::Slide;
use crate::tensor::{View, ViewMut};

/// Largest element of each window; the loader has made sure that every window holds one.
#[inline(never)]
pub(crate) fn max_pool(x: View<'_>, slide: &Slide, out: &mut ViewMut<'_>, kernels: &Kernels) {
    match (x, out) {
        (View::I16(x), ViewMut::I16(out)) if by_lines(slide) => {
            let largest = kernels.arithmetic.largest;
            lines(x, slide, i16::MIN, largest, largest, |at, _, line| {
                out[at..at + line.len()].copy_from_slice(line);
            });
        }
        (x, out) => windows(x, slide, out, i32::MIN, |best, x| best.max(x), |best, _| best),
    }
}

/// Mean of each window, rounded half up.
#[inline(never)]
pub(crate) fn avg_pool(x: View<'_>, slide: &Slide, count_padding: bool, out: &mut ViewMut<'_>, kernels: &Kernels) {
    // Kernels may be huge where padding counts; images hold fewer than 2^31 elements of at most 2^31.
    let all = slide.taps() as i128;
    let mean = |sum: i64, inside: usize| {
        let n = if count_padding { all } else { inside as i128 };
        match i64::try_from(n) {
            // 2 * |sum| + n is below 2^62.
            Ok(n) if n < 1 << 29 => (2 * sum + n).div_euclid(2 * n) as i32,
            _ => (2 * i128::from(sum) + n).div_euclid(2 * n) as i32,
        }
    };
    match x {
        View::I16(x) if by_lines(slide) => {
            let add = |sums: &mut [i32], parts: &[i32], step: usize| match step {
                1 => sums
                    .iter_mut()
                    .zip(parts)
                    .for_each(|(sum, part)| *sum = sum.wrapping_add(*part)),
                _ => {
                    let parts = parts.iter().step_by(step);
                    sums.iter_mut()
                        .zip(parts)
                        .for_each(|(sum, part)| *sum = sum.wrapping_add(*part));
                }
            };
            lines(x, slide, 0, kernels.arithmetic.totals, add, |at, inside, line| {
                let count = |j: usize| {
                    if count_padding {
                        slide.taps() as usize
                    } else {
                        inside(j)
                    }
                };
                let mut from = 0;
                while from < line.len() {
                    // Neighbours that hold as many elements: all but those at the ends.
                    let n = count(from);
                    let end = (from + 1..line.len()).find(|j| count(*j) != n).unwrap_or(line.len());
                    let (divisor, sums) = (Divisor::new(n as u64), &mut line[from..end]);
                    match divisor.factor {
                        0 => sums.iter_mut().for_each(|sum| *sum = mean((*sum).into(), n)),
                        _ => sums.iter_mut().for_each(|sum| *sum = divisor.mean(*sum)),
                    }
                    from = end;
                }
                out.store_run(at, line, kernels);
            });
        }
        x => windows(x, slide, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), mean),
    }
}

/// Division of a sum of so many elements of 16 bits by how many they are.
#[derive(Clone, Copy)]
struct Divisor {
    count: u64,
    /// `2^shift / (2 * count)` rounded up; 0 for more than [`Divisor::MOST`].
    factor: u64,
    shift: u32,
}

impl Divisor {
    /// Least number of elements that are divided otherwise.
    const MOST: u64 = 1 << 12;

    fn new(count: u64) -> Self {
        let bits = u64::BITS - count.leading_zeros();
        let (factor, shift) = match count {
            0 | Divisor::MOST.. => (0, 0),
            _ => {
                let shift = 19 + 2 * bits;
                ((1u64 << shift).div_ceil(2 * count), shift)
            }
        };
        Divisor { count, factor, shift }
    }

    /// `floor(sum / count + 1/2)`.
    ///
    /// With n elements the dividend below is less than 2^18 * n, and the factor too large by less than 1: what this adds to the quotient is
    /// less than 2^18 * n / 2^shift, which is below 1 / (2 * n), the least that a quotient lacks of the next integer. The product is below
    /// 2^(18 + bits) * (2^(19 + bits) + 1), so it fits 64 bits.
    fn mean(self, sum: i32) -> i32 {
        // What makes every element positive, and half a unit.
        let dividend = 2 * (i64::from(sum) + ((self.count as i64) << 15)) as u64 + self.count;
        (((dividend * self.factor) >> self.shift) as i64 - (1 << 15)) as i32
    }
}

/// Whether a line of results is folded at once rather than window by window: where it is long beside the windows, most of whose
/// columns lie on the image (those on padding are walked, and not paid for), and many windows fit a piece; none holds so much that
/// a sum of 16-bit elements could leave 32 bits.
pub(crate) fn by_lines(slide: &Slide) -> bool {
    let (kernel, stride, dilation) = (slide.kernel[1], slide.strides[1], slide.dilations[1]);
    let span = (kernel - 1).saturating_mul(dilation).saturating_add(1);
    slide.out[1] >= 4
        && kernel <= 2 * slide.out[1]
        && kernel <= slide.image[1].div_ceil(dilation)
        && slide.taps() < 1 << 15
        && span <= CHUNK / 4
        && stride <= CHUNK / 32
}

/// Columns that a window covers, and how many windows of a line are folded at once, where lines are.
pub(crate) fn piece(slide: &Slide) -> (usize, usize) {
    let span = (slide.kernel[1] - 1) * slide.dilations[1] + 1;
    (span, (CHUNK - span) / slide.strides[1] + 1)
}

/// Folds the rows of windows into one line, and that into the windows of a piece of a line of results, then gives the piece: where
/// it starts, how many elements each of its windows holds, and the folds. `neutral` changes no fold.
fn lines<A: Copy>(
    x: &[i16],
    slide: &Slide,
    neutral: A,
    rows: fn(&mut [A], &[i16], usize),
    columns: impl Fn(&mut [A], &[A], usize),
    mut finish: impl FnMut(usize, &dyn Fn(usize) -> usize, &mut [A]),
) {
    let ([height, width], [out_h, out_w]) = (slide.image, slide.out);
    let (stride, dilation, before) = (slide.strides[1], slide.dilations[1], slide.before[1]);
    let (span, at_once) = piece(slide);
    let [mut folded, mut line] = [[neutral; CHUNK]; 2];
    for (image, x) in x.chunks_exact(height * width).enumerate() {
        for i in 0..out_h {
            let (u0, u1) = slide.inside(0, i);
            for from in (0..out_w).step_by(at_once) {
                let count = at_once.min(out_w - from);
                // Sixteen at a time: what is computed beyond them is of no value.
                let line = &mut line[..count.next_multiple_of(WIDE)];
                // Columns of the padded image that its windows cover, and which of them are the image's.
                let covered = (count - 1) * stride + span;
                let first = from * stride;
                let (start, end) = (before.max(first), (before + width).min(first + covered));
                folded[..covered].fill(neutral);
                for u in u0..u1 {
                    let row = i * slide.strides[0] + u * slide.dilations[0] - slide.before[0];
                    if start < end {
                        let source = &x[row * width + start - before..row * width + end - before];
                        rows(&mut folded[start - first..end - first], source, 1);
                    }
                }
                line.fill(neutral);
                for v in 0..slide.kernel[1] {
                    columns(line, &folded[v * dilation..], stride);
                }
                let inside = |j: usize| {
                    let start = (from + j) * stride;
                    // Most windows lie on the image.
                    let (v0, v1) = match start >= before && start + span <= before + width {
                        true => (0, slide.kernel[1]),
                        false => slide.inside(1, from + j),
                    };
                    (u1 - u0) * (v1 - v0)
                };
                finish((image * out_h + i) * out_w + from, &inside, &mut line[..count]);
            }
        }
    }
}

/// Folds every window and finishes with the fold and how many elements it held.
fn windows<A: Copy>(
    x: View<'_>,
    slide: &Slide,
    out: &mut ViewMut<'_>,
    start: A,
    fold: impl Fn(A, i32) -> A,
    finish: impl Fn(A, usize) -> i32,
) {
    match x {
        View::I16(x) => windows_of(x, slide, out, start, fold, finish),
        View::I32(x) => windows_of(x, slide, out, start, fold, finish),
    }
}

fn windows_of<T: Copy + Into<i32>, A: Copy>(
    x: &[T],
    slide: &Slide,
    out: &mut ViewMut<'_>,
    start: A,
    fold: impl Fn(A, i32) -> A,
    finish: impl Fn(A, usize) -> i32,
) {
    let [height, width] = slide.image;
    let mut at = 0;
    for image in 0..x.len() / (height * width) {
        for i in 0..slide.out[0] {
            let (u0, u1) = slide.inside(0, i);
            for j in 0..slide.out[1] {
                let (v0, v1) = slide.inside(1, j);
                let mut acc = start;
                for u in u0..u1 {
                    let row = i * slide.strides[0] + u * slide.dilations[0] - slide.before[0];
                    let column = j * slide.strides[1] + v0 * slide.dilations[1] - slide.before[1];
                    let line = &x[(image * height + row) * width + column..];
                    if slide.dilations[1] == 1 {
                        // Neighbours, which the compiler may take several at a time.
                        acc = line[..v1 - v0].iter().fold(acc, |acc, x| fold(acc, (*x).into()));
                        continue;
                    }
                    for x in line.iter().step_by(slide.dilations[1]).take(v1 - v0) {
                        acc = fold(acc, (*x).into());
                    }
                }
                out.store(at, &[finish(acc, (u1 - u0) * (v1 - v0))]);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Divisor;

    /// All counts, with sums at the ends, and around those where the quotient moves on.
    #[test]
    fn means_by_a_factor_equal_those_by_division() {
        for n in 1..Divisor::MOST as i64 {
            let divisor = Divisor::new(n as u64);
            let mut check = |sum: i64| {
                let want = (2 * sum + n).div_euclid(2 * n);
                assert_eq!(i64::from(divisor.mean(sum as i32)), want, "{sum} of {n}");
            };
            let (least, most) = (-32768 * n, 32767 * n);
            (0..3).for_each(|i| check(least + i * n.min(1)));
            (0..3).for_each(|i| check(most - i * n.min(1)));
            for quotient in (-32768..32767).step_by(977) {
                // Half of n above it is where the next one begins.
                let step = quotient * n + n / 2;
                (-1..=1)
                    .map(|i| step + i)
                    .filter(|sum| (least..=most).contains(sum))
                    .for_each(&mut check);
            }
        }
        assert_eq!([0, Divisor::MOST].map(|n| Divisor::new(n).factor), [0, 0]);
    }
}
