//! Pooling over the last two axes.

use super::elementwise::CHUNK;
use crate::kernels::folds::Taps;
use crate::kernels::{Kernels, WIDE};
use crate::shape::Slide;
use crate::tensor::{View, ViewMut};

/// Largest element of each window; the loader has made sure that every window holds one.
#[inline(never)]
pub(crate) fn max_pool(x: View<'_>, slide: &Slide, out: &mut ViewMut<'_>, kernels: &Kernels) {
    match (x, out) {
        (View::I16(x), ViewMut::I16(out)) if by_lines(slide) => {
            let loops = (kernels.folds.largest_down, kernels.folds.largest_along, i16::max);
            lines(x, slide, i16::MIN, loops, |at, _, line| {
                out[at..at + line.len()].copy_from_slice(line);
            });
        }
        (View::I16(x), ViewMut::I16(out)) if whole_rows(slide) => {
            whole(x, slide, |at, window| out[at] = (kernels.folds.largest_of)(window));
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
            let loops = (kernels.folds.totals_down, kernels.folds.totals_along, i32::wrapping_add);
            lines(x, slide, 0, loops, |at, inside, line| {
                let count = |j: usize| {
                    if count_padding {
                        slide.taps() as usize
                    } else {
                        inside(j)
                    }
                };
                let (mut from, mut n) = (0, count(0));
                while from < line.len() {
                    // Neighbours that hold as many elements: all but those at the ends.
                    let (mut end, mut next) = (from + 1, n);
                    while end < line.len() {
                        next = count(end);
                        if next != n {
                            break;
                        }
                        end += 1;
                    }
                    let (divisor, sums) = (Divisor::new(n as u64), &mut line[from..end]);
                    match divisor.factor {
                        0 => sums.iter_mut().for_each(|sum| *sum = mean((*sum).into(), n)),
                        _ => sums.iter_mut().for_each(|sum| *sum = divisor.mean(*sum)),
                    }
                    (from, n) = (end, next);
                }
                out.store_run(at, line, kernels);
            });
        }
        View::I16(x) if whole_rows(slide) => whole(x, slide, |at, window| {
            out.store(at, &[mean((kernels.folds.total_of)(window), window.len())]);
        }),
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

/// How many lines of results are folded at once, where [`piece`] holds a whole one, and columns from one to the next.
pub(crate) fn together(slide: &Slide) -> (usize, usize) {
    let stride = slide.strides[1];
    let (span, at_once) = piece(slide);
    if slide.out[1] > at_once {
        return (1, 0);
    }
    let pitch = ((slide.out[1] - 1) * stride + span).next_multiple_of(stride);
    ((CHUNK / pitch).max(1), pitch)
}

/// Whether every window is whole rows of the image, so that its elements are neighbours: as where the mean of an image is taken.
pub(crate) fn whole_rows(slide: &Slide) -> bool {
    slide.kernel[1] == slide.image[1] && slide.padded == slide.image && slide.dilations == [1, 1]
}

/// Calls `each` with every window of whole rows, and the place of its result.
fn whole(x: &[i16], slide: &Slide, mut each: impl FnMut(usize, &[i16])) {
    let [height, width] = slide.image;
    let mut at = 0;
    for x in x.chunks_exact(height * width) {
        for i in 0..slide.out[0] {
            let first = i * slide.strides[0] * width;
            each(at, &x[first..first + slide.kernel[0] * width]);
            at += 1;
        }
    }
}

/// Elements of a buffer of folded rows: of those of a piece, and what sixteens of windows read beyond them.
const FOLDED: usize = CHUNK + CHUNK / 2;

/// Rows that are folded at once: few enough that a cache holds what neighbouring columns read again.
const ROWS: usize = 32;

/// A loop that folds rows `step` apart into one line.
type Down<A> = fn(&mut [A], &[i16], usize, usize);

/// A loop that folds a line into windows along it.
type Along<A> = fn(&mut [A], &[A], Taps);

/// Folds any number of rows.
#[inline(always)]
fn fold_rows<A: Copy>(out: &mut [A], x: &[i16], step: usize, rows: usize, down: Down<A>, join: impl Fn(A, A) -> A) {
    down(out, x, step, rows.min(ROWS));
    if rows <= ROWS {
        return;
    }
    let mut part = [out[0]; CHUNK];
    let part = &mut part[..out.len()];
    for from in (ROWS..rows).step_by(ROWS) {
        down(part, &x[from * step..], step, ROWS.min(rows - from));
        for (all, part) in out.iter_mut().zip(&*part) {
            *all = join(*all, *part);
        }
    }
}

/// Folds the rows of windows into one line, and that into the windows of a piece of a line of results, or of several lines beside
/// each other; then gives each: where it starts, how many elements each of its windows holds, and the folds. `neutral` changes no fold.
fn lines<A: Copy>(
    x: &[i16],
    slide: &Slide,
    neutral: A,
    (down, along, join): (Down<A>, Along<A>, impl Fn(A, A) -> A),
    mut finish: impl FnMut(usize, &dyn Fn(usize) -> usize, &mut [A]),
) {
    let ([height, width], [out_h, out_w]) = (slide.image, slide.out);
    let (stride, before) = (slide.strides[1], slide.before[1]);
    let taps = Taps {
        count: slide.kernel[1],
        dilation: slide.dilations[1],
        stride,
    };
    let (span, at_once) = piece(slide);
    let (together, pitch) = together(slide);
    let mut folded = [neutral; FOLDED];
    let mut line = [neutral; CHUNK];
    let all = x.len() / (height * width) * out_h;
    // Rows of the image that the windows of a line hold.
    let mut rows = [0usize; CHUNK];
    for first_line in (0..all).step_by(together) {
        let count_lines = together.min(all - first_line);
        for from in (0..out_w).step_by(at_once) {
            let count = at_once.min(out_w - from);
            // Columns of the padded image that its windows cover, and which of them are the image's.
            let covered = (count - 1) * stride + span;
            let first = from * stride;
            let (start, end) = (before.max(first), (before + width).min(first + covered));
            let (mut image, mut i) = (first_line / out_h, first_line % out_h);
            for (l, rows) in rows[..count_lines].iter_mut().enumerate() {
                let (u0, u1) = slide.inside(0, i);
                *rows = u1.saturating_sub(u0);
                let folded = &mut folded[l * pitch..l * pitch + covered];
                if start >= end || *rows == 0 {
                    folded.fill(neutral);
                } else {
                    let (left, rest) = folded.split_at_mut(start - first);
                    let (inside, right) = rest.split_at_mut(end - start);
                    left.fill(neutral);
                    right.fill(neutral);
                    let row = image * height + i * slide.strides[0] + u0 * slide.dilations[0] - slide.before[0];
                    let source = &x[row * width + start - before..];
                    // Where it is larger than 32-bit machines can count, there is no other row.
                    let step = slide.dilations[0].wrapping_mul(width);
                    fold_rows(inside, source, step, *rows, down, &join);
                }
                i += 1;
                if i == out_h {
                    (image, i) = (image + 1, 0);
                }
            }
            // Sixteen at a time: what is computed beyond them, and between lines, is of no value.
            let apart = pitch / stride;
            let windows = ((count_lines - 1) * apart + count).next_multiple_of(WIDE);
            along(&mut line[..windows], &folded, taps);
            for (l, rows) in rows[..count_lines].iter().enumerate() {
                let inside = |j: usize| {
                    let start = (from + j) * stride;
                    // Most windows lie on the image.
                    let (v0, v1) = match start >= before && start + span <= before + width {
                        true => (0, slide.kernel[1]),
                        false => slide.inside(1, from + j),
                    };
                    rows * (v1 - v0)
                };
                let at = (first_line + l) * out_w + from;
                finish(at, &inside, &mut line[l * apart..l * apart + count]);
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
    use super::{avg_pool, by_lines, max_pool, whole_rows, Divisor};
    use crate::graph::Window;
    use crate::kernels::Kernels;
    use crate::shape::Slide;
    use crate::tensor::{View, ViewMut};
    use alloc::vec;
    use alloc::vec::Vec;

    /// Elements of 32 bits are walked window by window.
    #[test]
    fn lines_and_whole_rows_give_what_windows_give() {
        let mut seed = 1u64;
        let mut draw = |least: u32, most: u32| {
            seed = seed
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            least + (seed >> 33) as u32 % (most - least + 1)
        };
        let (mut in_lines, mut whole) = (0, 0);
        for i in 0..4000 {
            let (images, width) = (draw(1, 5), [draw(1, 40), draw(200, 700)][usize::from(i % 5 == 0)]);
            let height = [draw(1, 12), draw(60, 150)][usize::from(i % 7 == 0)];
            let dilations = [1, draw(1, 3)];
            let kernel = match i % 9 {
                0 => [draw(1, height), width],
                1 => [height, draw(1, 3).min(width)],
                _ => [draw(1, height.min(5)), draw(1, width.min(5))],
            };
            let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilations[axis]);
            let mut pad = |axis: usize| if i % 3 == 0 { 0 } else { draw(0, reach[axis].min(2)) };
            let pads = [pad(0), pad(1), pad(0), pad(1)];
            let window = Window {
                kernel,
                strides: [draw(1, 3), draw(1, 9)],
                dilations,
                pads,
            };
            let Ok(slide) = Slide::new(height, width, &window) else {
                continue;
            };
            // Every window holds an element.
            if dilations[1] > 1 && pads != [0; 4] {
                continue;
            }
            (in_lines, whole) = (
                in_lines + usize::from(by_lines(&slide)),
                whole + usize::from(whole_rows(&slide) && !by_lines(&slide)),
            );
            let x: Vec<i16> = (0..images * height * width)
                .map(|_| draw(0, 65535) as u16 as i16)
                .collect();
            let x32: Vec<i32> = x.iter().map(|x| i32::from(*x)).collect();
            let results = slide.out[0] * slide.out[1] * images as usize;
            for kernels in [Kernels::scalar(), Kernels::auto()] {
                let (mut narrow, mut wide) = (vec![7i16; results], vec![7i32; results]);
                let same = |narrow: &[i16], wide: &[i32]| narrow.iter().zip(wide).all(|(a, b)| i32::from(*a) == *b);
                max_pool(View::I16(&x), &slide, &mut ViewMut::I16(&mut narrow), &kernels);
                max_pool(View::I32(&x32), &slide, &mut ViewMut::I32(&mut wide), &kernels);
                assert!(same(&narrow, &wide), "{slide:?}");
                avg_pool(
                    View::I16(&x),
                    &slide,
                    i % 2 == 0,
                    &mut ViewMut::I16(&mut narrow),
                    &kernels,
                );
                avg_pool(
                    View::I32(&x32),
                    &slide,
                    i % 2 == 0,
                    &mut ViewMut::I32(&mut wide),
                    &kernels,
                );
                assert!(same(&narrow, &wide), "{slide:?}");
            }
        }
        assert!(in_lines > 500 && whole > 100, "{in_lines} {whole}");
    }

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
