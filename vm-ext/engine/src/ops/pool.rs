//! Pooling over the last two axes.

use crate::shape::Slide;
use crate::tensor::{Tensor, View};

/// Largest element of each window; the loader has made sure that every window holds one.
pub(crate) fn max_pool(x: View<'_>, slide: &Slide, out: &mut Tensor) {
    windows(x, slide, out, i32::MIN, |best, x| best.max(x), |best, _| best);
}

/// Mean of each window, rounded half up.
pub(crate) fn avg_pool(x: View<'_>, slide: &Slide, count_padding: bool, out: &mut Tensor) {
    let all = slide.taps() as i64;
    // At most 2^31 elements of at most 2^31 each, twice: below 2^63 + .. only if both are reached, which memory forbids.
    let mean = |sum: i64, inside: usize| {
        let n = if count_padding { all } else { inside as i64 };
        (2 * i128::from(sum) + i128::from(n)).div_euclid(2 * i128::from(n)) as i32
    };
    windows(x, slide, out, 0i64, |sum, x| sum.wrapping_add(i64::from(x)), mean);
}

/// Folds every window and finishes with the fold and how many elements it held.
fn windows<A: Copy>(
    x: View<'_>,
    slide: &Slide,
    out: &mut Tensor,
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
                    let line = (image * height + row) * width;
                    for v in v0..v1 {
                        let column = j * slide.strides[1] + v * slide.dilations[1] - slide.before[1];
                        acc = fold(acc, x.get(line + column));
                    }
                }
                out.store(at, &[finish(acc, (u1 - u0) * (v1 - v0))]);
                at += 1;
            }
        }
    }
}
