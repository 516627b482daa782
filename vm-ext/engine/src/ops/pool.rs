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
            let add = |sums: &mut [i32], parts: &[i32], step: usize| {
                for (sum, part) in sums.iter_mut().zip(parts.iter().step_by(step)) {
                    *sum = sum.wrapping_add(*part);
                }
            };
            lines(x, slide, 0, kernels.arithmetic.totals, add, |at, inside, line| {
                for (j, sum) in line.iter_mut().enumerate() {
                    *sum = mean((*sum).into(), inside(j));
                }
                out.store(at, line);
            });
        }
        x => windows(x, slide, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), mean),
    }
}

/// Whether a line of results is folded at once rather than window by window: where it is long beside the windows, most of whose
/// columns lie on the image (those on padding are walked, and not paid for), and many windows fit a piece; none holds so much that
/// a sum of 16-bit elements could leave 32 bits.
fn by_lines(slide: &Slide) -> bool {
    let (kernel, stride, dilation) = (slide.kernel[1], slide.strides[1], slide.dilations[1]);
    let span = (kernel - 1).saturating_mul(dilation).saturating_add(1);
    slide.out[1] >= 4
        && kernel <= 2 * slide.out[1]
        && kernel <= slide.image[1].div_ceil(dilation)
        && slide.taps() < 1 << 15
        && span <= CHUNK / 4
        && stride <= CHUNK / 32
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
    let span = (slide.kernel[1] - 1) * dilation + 1;
    let at_once = (CHUNK - span) / stride + 1;
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
                    let (v0, v1) = slide.inside(1, from + j);
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
