//! Operations that move elements and change none.

use crate::shape::{walk, BroadcastPlan, Loop, PadPlan, HARD_MAX_RANK};
use crate::tensor::{View, ViewMut};

/// Runs a block with the elements of both tensors as slices of one type; falls back where they differ.
macro_rules! same_storage {
    ($x:expr, $out:expr, |$a:ident, $y:ident| $body:expr) => {
        match ($x, $out) {
            (View::I16($a), ViewMut::I16($y)) => $body,
            (View::I32($a), ViewMut::I32($y)) => $body,
            // Ranges are kept, so storage is.
            _ => debug_assert!(false, "moved elements keep their storage"),
        }
    };
}

/// Rows `[width]` of an image become `[height factor][width * factor]`.
pub(crate) fn upsample(x: View<'_>, width: usize, factors: [usize; 2], out: &mut ViewMut<'_>) {
    fn go<T: Copy>(x: &[T], width: usize, [down, right]: [usize; 2], y: &mut [T]) {
        let wide = width * right;
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(down * wide)) {
            let (first, others) = y.split_at_mut(wide);
            match right {
                2 => times::<T, 2>(x, first),
                3 => times::<T, 3>(x, first),
                4 => times::<T, 4>(x, first),
                _ => {
                    for (x, y) in x.iter().zip(first.chunks_exact_mut(right)) {
                        y.fill(*x);
                    }
                }
            }
            for other in others.chunks_exact_mut(wide) {
                other.copy_from_slice(first);
            }
        }
    }
    /// Each element N times, which compilers make of few stores.
    fn times<T: Copy, const N: usize>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y.chunks_exact_mut(N)) {
            for y in y {
                *y = *x;
            }
        }
    }
    same_storage!(x, out, |x, y| go(x, width, factors, y));
}

/// Gathers by the loops of [`crate::shape::transpose_plan`]: by tiles where there are such, else line by line.
#[inline(never)]
pub(crate) fn transpose(x: View<'_>, plan: &[[usize; 2]], out: &mut ViewMut<'_>) {
    match (crate::shape::tiles(plan), crate::shape::turned(plan)) {
        (Some(down), _) => same_storage!(x, out, |x, y| by_tiles(x, plan, down, y)),
        (None, Some([rows, 2])) => same_storage!(x, out, |x, y| by_few::<_, 2>(x, plan, rows, y)),
        (None, Some([rows, 3])) => same_storage!(x, out, |x, y| by_few::<_, 3>(x, plan, rows, y)),
        (None, _) => same_storage!(x, out, |x, y| by_lines(x, plan, y)),
    }
}

/// Lays N lines of x, of so many elements each, side by side: `y[k * N + i] = x[i * step + k]`, for every step of the outer loops.
#[inline(never)]
fn by_few<T: Copy, const N: usize>(x: &[T], plan: &[[usize; 2]], rows: usize, y: &mut [T]) {
    let Some((&[_, step], outer)) = plan.split_last() else {
        return;
    };
    // The last of the outer loops is that of the rows.
    let mut results = y.chunks_exact_mut(rows * N);
    lines_of(&outer[..outer.len().saturating_sub(1)], |at| {
        let lines: [&[T]; N] = core::array::from_fn(|i| &x[at + i * step..][..rows]);
        if let Some(y) = results.next() {
            for (k, y) in y.chunks_exact_mut(N).enumerate() {
                for (y, line) in y.iter_mut().zip(&lines) {
                    *y = line[k];
                }
            }
        }
    });
}

fn by_lines<T: Copy>(x: &[T], plan: &[[usize; 2]], y: &mut [T]) {
    let Some((&[run, step], outer)) = plan.split_last() else {
        return;
    };
    let mut results = y.chunks_exact_mut(run);
    lines_of(outer, |at| {
        let Some(y) = results.next() else { return };
        if step == 1 {
            y.copy_from_slice(&x[at..at + run]);
        } else {
            for (y, x) in y.iter_mut().zip(x[at..].iter().step_by(step)) {
                *y = *x;
            }
        }
    });
}

/// Calls `each` with where in the operand the steps of nested loops lie, outermost first.
#[inline(always)]
fn lines_of(loops: &[[usize; 2]], mut each: impl FnMut(usize)) {
    let mut counter = [0usize; HARD_MAX_RANK];
    let mut at = 0;
    let count: usize = loops.iter().map(|[extent, _]| extent).product();
    for _ in 0..count {
        each(at);
        for (digit, [extent, step]) in counter.iter_mut().zip(loops.iter().rev()) {
            *digit += 1;
            at += step;
            if *digit < *extent {
                break;
            }
            *digit = 0;
            at -= step * extent;
        }
    }
}

/// Rows and columns of a tile: whole cache lines of 16-bit elements.
pub(crate) const TILE: usize = 32;

/// Loop `down` of the plan walks x by single elements, and the last one the result.
#[inline(never)]
fn by_tiles<T: Copy + Default>(x: &[T], plan: &[[usize; 2]], down: usize, y: &mut [T]) {
    let Some((&[across, step], outer)) = plan.split_last() else {
        return;
    };
    // Steps of the result, whose loops are in order.
    let below = |i: usize| plan[i + 1..].iter().map(|[extent, _]| extent).product::<usize>();
    let [rows, _] = plan[down];
    let others = outer.iter().enumerate().filter(|(i, _)| *i != down);
    let mut loops = [Loop {
        extent: 1,
        steps: [0; 2],
    }; HARD_MAX_RANK];
    let mut count = 0;
    for (i, [extent, step]) in others {
        loops[count] = Loop {
            extent: *extent,
            steps: [*step, below(i)],
        };
        count += 1;
    }
    let stride = below(down);
    let mut tile = [[T::default(); TILE]; TILE];
    walk(&loops[..count], |[from, to]| {
        for i in (0..across).step_by(TILE) {
            let columns = TILE.min(across - i);
            for k in (0..rows).step_by(TILE) {
                let source = &x[from + i * step + k..];
                let target = &mut y[to + k * stride + i..];
                turn(source, step, target, stride, [columns, TILE.min(rows - k)], &mut tile);
            }
        }
    });
}

/// Brings so many columns of x, lines `step` apart, of so many neighbours each, to as many rows of y, `stride` apart, by way of `tile`.
#[inline(always)]
fn turn<T: Copy>(
    x: &[T],
    step: usize,
    y: &mut [T],
    stride: usize,
    [columns, rows]: [usize; 2],
    tile: &mut [[T; TILE]; TILE],
) {
    for (i, line) in tile[..columns].iter_mut().enumerate() {
        line[..rows].copy_from_slice(&x[i * step..i * step + rows]);
    }
    for k in 0..rows {
        let row = &mut y[k * stride..k * stride + columns];
        for (y, line) in row.iter_mut().zip(tile.iter()) {
            *y = line[k];
        }
    }
}

/// Elements of a result that operands are joined to at once, so that a cache holds them until the last operand is there.
const JOINED: usize = 1 << 13;

/// Copies operands `[outer, part]`, given with their parts, next to each other, to rows of `row` elements.
pub(crate) fn concat<'a>(operands: impl Iterator<Item = (View<'a>, usize)> + Clone, row: usize, out: &mut ViewMut<'_>) {
    let (all, at_once) = (out.len() / row, (JOINED / row).max(1));
    for first in (0..all).step_by(at_once) {
        let rows = at_once.min(all - first);
        let mut block = out.part(first * row, rows * row);
        let mut offset = 0;
        for (x, part) in operands.clone() {
            concat_part(x.part(first * part, rows * part), part, row, offset, &mut block);
            offset += part;
        }
    }
}

/// Copies operand elements `[outer, extent * inner]` next to those of other operands: to `offset` in rows of `row`.
fn concat_part(x: View<'_>, part: usize, row: usize, offset: usize, out: &mut ViewMut<'_>) {
    fn go<T: Copy>(x: &[T], part: usize, row: usize, offset: usize, y: &mut [T]) {
        for (x, y) in x.chunks_exact(part).zip(y.chunks_exact_mut(row)) {
            y[offset..offset + part].copy_from_slice(x);
        }
    }
    match (x, &mut *out) {
        (View::I16(x), ViewMut::I16(y)) => go(x, part, row, offset, y),
        (View::I32(x), ViewMut::I32(y)) => go(x, part, row, offset, y),
        // The joined range may need the wider storage.
        (View::I16(x), ViewMut::I32(y)) => {
            for (x, y) in x.chunks_exact(part).zip(y.chunks_exact_mut(row)) {
                for (x, y) in x.iter().zip(&mut y[offset..offset + part]) {
                    *y = i32::from(*x);
                }
            }
        }
        (View::I32(_), ViewMut::I16(_)) => debug_assert!(false, "the joined range holds every operand's"),
    }
}

/// Elements `start, start + step, ..` of the middle axis of `[outer, extent, inner]`.
pub(crate) fn slice(
    x: View<'_>,
    [_, extent, inner]: [usize; 3],
    start: usize,
    step: usize,
    length: usize,
    out: &mut ViewMut<'_>,
) {
    fn go<T: Copy>(x: &[T], block: usize, inner: usize, start: usize, step: usize, length: usize, y: &mut [T]) {
        for (x, y) in x.chunks_exact(block).zip(y.chunks_exact_mut(length * inner)) {
            if step == 1 {
                y.copy_from_slice(&x[start * inner..(start + length) * inner]);
            } else if inner == 1 {
                for (y, x) in y.iter_mut().zip(x[start..].iter().step_by(step)) {
                    *y = *x;
                }
            } else {
                for (i, y) in y.chunks_exact_mut(inner).enumerate() {
                    let at = (start + i * step) * inner;
                    y.copy_from_slice(&x[at..at + inner]);
                }
            }
        }
    }
    same_storage!(x, out, |x, y| go(x, extent * inner, inner, start, step, length, y));
}

/// Repeats by the loops of a broadcast.
pub(crate) fn broadcast(x: View<'_>, plan: &BroadcastPlan<1>, out: &mut ViewMut<'_>) {
    fn go<T: Copy>(x: &[T], plan: &BroadcastPlan<1>, y: &mut [T]) {
        let mut runs = y.chunks_exact_mut(plan.run());
        plan.runs(|[at], inner| {
            if let Some(y) = runs.next() {
                match inner.steps {
                    [0] => y.fill(x[at]),
                    _ => y.copy_from_slice(&x[at..at + inner.extent]),
                }
            }
        });
    }
    same_storage!(x, out, |x, y| go(x, plan, y));
}

/// Copies x into a tensor that is `value` elsewhere.
pub(crate) fn pad(x: View<'_>, plan: &PadPlan, value: i32, out: &mut ViewMut<'_>) {
    // Where nothing is padded, the value may be out of the result's range, and no element is it.
    if x.len() < out.len() {
        out.fill(value);
    }
    fn go<T: Copy, Y: From<T>>(x: &[T], plan: &PadPlan, y: &mut [Y]) {
        let Some((inner, outer)) = plan.loops.split_last() else {
            return;
        };
        walk(outer, |[from, to]| {
            let y = &mut y[plan.start + to..][..inner.extent];
            for (y, x) in y.iter_mut().zip(&x[from..from + inner.extent]) {
                *y = (*x).into();
            }
        });
    }
    match (x, out) {
        (View::I16(x), ViewMut::I16(y)) => go(x, plan, y),
        (View::I32(x), ViewMut::I32(y)) => go(x, plan, y),
        // The value may need the wider storage.
        (View::I16(x), ViewMut::I32(y)) => go(x, plan, y),
        (View::I32(_), ViewMut::I16(_)) => debug_assert!(false, "the padded range holds the operand's"),
    }
}

/// Slices of the middle axis of `[outer, extent, inner]`, by number.
pub(crate) fn gather(x: View<'_>, [_, extent, inner]: [usize; 3], indices: View<'_>, out: &mut ViewMut<'_>) {
    fn go<T: Copy>(x: &[T], extent: usize, inner: usize, indices: View<'_>, y: &mut [T]) {
        let count = indices.len();
        for (x, y) in x.chunks_exact(extent * inner).zip(y.chunks_exact_mut(count * inner)) {
            if inner == 1 {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = x[indices.get(i) as usize];
                }
            } else {
                for (i, y) in y.chunks_exact_mut(inner).enumerate() {
                    let at = indices.get(i) as usize * inner;
                    y.copy_from_slice(&x[at..at + inner]);
                }
            }
        }
    }
    same_storage!(x, out, |x, y| go(x, extent, inner, indices, y));
}

/// Elements of every row, by number.
pub(crate) fn gather_elements(x: View<'_>, columns: usize, indices: View<'_>, count: usize, out: &mut ViewMut<'_>) {
    fn go<T: Copy>(x: &[T], columns: usize, indices: View<'_>, count: usize, y: &mut [T]) {
        for (row, (x, y)) in x.chunks_exact(columns).zip(y.chunks_exact_mut(count)).enumerate() {
            for (i, y) in y.iter_mut().enumerate() {
                *y = x[indices.get(row * count + i) as usize];
            }
        }
    }
    same_storage!(x, out, |x, y| go(x, columns, indices, count, y));
}

#[cfg(test)]
mod tests {
    use super::transpose;
    use crate::shape::{transpose_plan, turned};
    use crate::tensor::{View, ViewMut};
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn few_lines_side_by_side_are_where_the_axes_say() {
        for (shape, axes) in [
            ([3u32, 2, 5, 7], [0u32, 2, 3, 1]),
            ([2, 3, 4, 9], [0, 2, 3, 1]),
            ([2, 3, 4, 9], [2, 0, 3, 1]),
            ([4, 2, 2, 6], [0, 1, 3, 2]),
            ([1, 3, 1, 4], [0, 3, 2, 1]),
        ] {
            let plan = transpose_plan(&shape, &axes);
            assert!(turned(&plan).is_some(), "{shape:?} {axes:?}");
            let count = shape.iter().product::<u32>() as usize;
            let x: Vec<i16> = (0..count as i16).collect();
            let mut y = vec![-1i16; count];
            transpose(View::I16(&x), &plan, &mut ViewMut::I16(&mut y));
            let extents = axes.map(|axis| shape[axis as usize] as usize);
            for (i, y) in y.iter().enumerate() {
                let (mut rest, mut at) = (i, 0);
                for (axis, extent) in axes.iter().zip(extents).rev() {
                    at += rest % extent * shape[*axis as usize + 1..].iter().product::<u32>() as usize;
                    rest /= extent;
                }
                assert_eq!(*y, x[at], "{shape:?} {axes:?} {i}");
            }
        }
    }
}
