//! Pooling over the last two axes.

use crate::shape::Slide;
use crate::tensor::{View, ViewMut};

/// Largest element of each window; the loader has made sure that every window holds one.
#[inline(never)]
pub(crate) fn max_pool(x: View<'_>, slide: &Slide, out: &mut ViewMut<'_>) {
    windows(x, slide, out, i32::MIN, |best, x| best.max(x), |best, _| best);
}

/// Mean of each window, rounded half up.
#[inline(never)]
pub(crate) fn avg_pool(x: View<'_>, slide: &Slide, count_padding: bool, out: &mut ViewMut<'_>) {
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
    windows(x, slide, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), mean);
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
