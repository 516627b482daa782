//! Rows of pixels summed over few taps, rescaled in registers and stored: sixteen pixels, of one row or of two short ones, make a
//! cell, and two cells go through the taps together, so that neither waits for its own sums.

use core::arch::x86_64::*;

use super::super::{portable, Channel, DepthwiseRows, WIDE};
use super::rescale::{narrow, range_of_16, Any, High, Range};

/// Pixels of half a cell.
const HALF: usize = WIDE / 2;
/// Cells that are summed together.
const TOGETHER: usize = 2;

/// Sixteen pixels: where the windows of both eights begin in the source, and where their results go.
#[derive(Clone, Copy, Default)]
struct Cell {
    from: [usize; 2],
    to: [usize; 2],
}

/// The cells of rows, in order. Nothing in it wraps: all of it is below the extents of source and results, or not used.
struct Walk {
    /// Where the next row, or two of them, begins.
    from: usize,
    to: usize,
    /// Pixels before the next cell.
    column: usize,
    /// Before the last one of a row: it overlaps the one before.
    last: usize,
    columns: usize,
    pitch: usize,
}

impl Walk {
    #[inline(always)]
    fn next<const STEP: usize, const NARROW: bool>(&mut self) -> Cell {
        let &mut Walk {
            from,
            to,
            column,
            last,
            columns,
            pitch,
        } = self;
        if NARROW {
            self.from = from.wrapping_add(2 * pitch);
            self.to = to.wrapping_add(2 * columns);
            return Cell {
                from: [from, from.wrapping_add(pitch)],
                to: [to, to.wrapping_add(columns)],
            };
        }
        let column = column.min(last);
        match column == last {
            true => {
                self.column = 0;
                self.from = from.wrapping_add(pitch);
                self.to = to.wrapping_add(columns);
            }
            false => self.column = column.wrapping_add(WIDE),
        }
        let (from, to) = (from.wrapping_add(column.wrapping_mul(STEP)), to.wrapping_add(column));
        Cell {
            from: [from, from.wrapping_add(HALF * STEP)],
            to: [to, to.wrapping_add(HALF)],
        }
    }
}

/// See [`DepthwiseRows`].
pub(in super::super) fn depthwise_rows(
    rows: DepthwiseRows<'_>,
    channel: &Channel<i32>,
    low: i32,
    high: i32,
    out: &mut [i16],
) {
    if rows.step > 2 || rows.columns == 0 {
        return portable::depthwise_rows(rows, channel, low, high, out);
    }
    // SAFETY: the machine has AVX2.
    unsafe {
        match (rows.step, rows.columns <= HALF) {
            (1, true) => all::<1, true>(rows, channel, low, high, out),
            (1, false) => all::<1, false>(rows, channel, low, high, out),
            (_, true) => all::<2, true>(rows, channel, low, high, out),
            (_, false) => all::<2, false>(rows, channel, low, high, out),
        }
    }
}

/// Pixels STEP apart; NARROW rows are taken two at a time.
#[target_feature(enable = "avx2")]
fn all<const STEP: usize, const NARROW: bool>(
    rows: DepthwiseRows<'_>,
    channel: &Channel<i32>,
    low: i32,
    high: i32,
    out: &mut [i16],
) {
    let range = range_of_16(low, high);
    let one_by_one = |rows: DepthwiseRows<'_>, out: &mut [i16]| portable::depthwise_rows(rows, channel, low, high, out);
    match &channel.high {
        Some(word) => {
            let vectors = High::of_channel(word);
            let end = |[first, second]: [__m256i; 2]| narrow(vectors.apply(first), vectors.apply(second), range);
            cells::<STEP, NARROW>(rows, out, end, one_by_one);
        }
        None => {
            let (vectors, wide) = (Any::of_channel(channel), Range::new(low, high));
            let end = |[first, second]: [__m256i; 2]| {
                narrow(vectors.apply(first, &wide), vectors.apply(second, &wide), range)
            };
            cells::<STEP, NARROW>(rows, out, end, one_by_one);
        }
    }
}

/// Goes through all cells in the order of their results: lanes beyond a row are overwritten by the next one.
#[inline]
#[target_feature(enable = "avx2")]
fn cells<const STEP: usize, const NARROW: bool>(
    rows: DepthwiseRows<'_>,
    out: &mut [i16],
    end: impl Fn([__m256i; 2]) -> __m256i,
    one_by_one: impl Fn(DepthwiseRows<'_>, &mut [i16]),
) {
    let DepthwiseRows {
        source,
        offsets,
        weights,
        pitch,
        columns,
        ..
    } = rows;
    assert!(offsets.len() == weights.len() && offsets.iter().all(|offset| *offset >= 0));
    let furthest = offsets.iter().copied().max().unwrap_or(0) as usize;
    // What eight pixels read from where their windows begin.
    let reach = furthest + STEP * HALF;
    let count = out.len() / columns;
    // So nothing below wraps.
    let last = count.saturating_sub(1).checked_mul(pitch);
    assert!(last.is_some_and(|last| last == 0 || last < source.len()));
    let cells = match NARROW {
        true => count / 2,
        false => count * columns.div_ceil(WIDE),
    };
    let mut walk = Walk {
        from: 0,
        to: 0,
        column: 0,
        last: columns.saturating_sub(WIDE),
        columns,
        pitch,
    };
    let length = out.len();
    let inside = |cell: &Cell| cell.from[1] + reach <= source.len() && cell.to[1] + HALF <= length;
    let mut done = 0;
    let mut waiting = [None; TOGETHER];
    while done < cells {
        let together = cells.wrapping_sub(done).min(TOGETHER);
        let mut group = [Cell::default(); TOGETHER];
        for cell in &mut group[..together] {
            *cell = walk.next::<STEP, NARROW>();
        }
        if together < TOGETHER || !group.iter().all(inside) {
            waiting = group.map(Some);
            break;
        }
        // SAFETY: AVX2; the cells lie inside, and every eight of a cell reads up to `reach` elements.
        unsafe {
            let sums = sums::<STEP, NARROW, TOGETHER>(source.as_ptr(), group.map(|cell| cell.from), offsets, weights);
            for (sums, cell) in sums.into_iter().zip(group) {
                store::<STEP, NARROW>(end(sums), cell.to, out.as_mut_ptr());
            }
        }
        done = done.wrapping_add(TOGETHER);
    }
    let mut next = waiting
        .into_iter()
        .flatten()
        .chain(core::iter::from_fn(|| Some(walk.next::<STEP, NARROW>())));
    // One by one.
    let mut edge = None;
    while done < cells {
        let Some(cell) = next.next() else { return };
        if !inside(&cell) {
            edge = Some(cell);
            break;
        }
        // SAFETY: as above.
        unsafe {
            let [sums] = sums::<STEP, NARROW, 1>(source.as_ptr(), [cell.from], offsets, weights);
            store::<STEP, NARROW>(end(sums), cell.to, out.as_mut_ptr());
        }
        done += 1;
    }
    let mut next = edge.into_iter().chain(next);
    // Those at the end of the source or of the results, eight by eight.
    let mut eight = |from: usize, to: usize, count: usize| {
        // Eight that would read too far begin earlier.
        let excess = (from + reach).saturating_sub(source.len()).next_multiple_of(STEP);
        let mut covered = 0;
        if from >= excess {
            let from = from - excess;
            // Lanes beyond; of pixels two apart, the last one may have to be taken by itself.
            covered = count.min(HALF - excess / STEP);
            let mut lanes = [0i16; WIDE];
            // SAFETY: AVX2; eight pixels from there on lie inside, and there are 16 lanes.
            unsafe {
                let [sums] = sums::<STEP, true, 1>(source.as_ptr(), [[from; 2]], offsets, weights);
                _mm256_storeu_si256(lanes.as_mut_ptr().cast(), in_order::<STEP>(end(sums)));
            }
            out[to..to + covered].copy_from_slice(&lanes[excess / STEP..][..covered]);
        }
        if covered < count {
            let rows = DepthwiseRows {
                source: &source[from + covered * STEP..],
                columns: count - covered,
                ..rows
            };
            one_by_one(rows, &mut out[to + covered..to + count]);
        }
    };
    while done < cells {
        let Some(Cell { from, to }) = next.next() else { return };
        for (from, to) in from.into_iter().zip(to) {
            eight(from, to, HALF.min(columns - to % columns));
        }
        done += 1;
    }
    if NARROW && count % 2 == 1 {
        eight((count - 1) * pitch, (count - 1) * columns, columns);
    }
}

/// Sums of N cells, whose eights begin at `from`: as [`narrow`] takes them for [`in_order`].
///
/// # Safety
/// AVX2; from every offset after every eight's beginning on, `source` is readable for 8 * STEP elements; where STEP is 1 and not
/// NARROW, the second eight follows the first. There are as many weights as offsets.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const STEP: usize, const NARROW: bool, const N: usize>(
    source: *const i16,
    from: [[usize; 2]; N],
    offsets: &[i32],
    weights: &[i16],
) -> [[__m256i; 2]; N] {
    let mut sums = [[_mm256_setzero_si256(); 2]; N];
    let line = |[first, second]: [usize; 2], offset: i32| {
        let source = source.add(offset as usize);
        match NARROW {
            true => _mm256_loadu2_m128i(source.add(second).cast(), source.add(first).cast()),
            false => _mm256_loadu_si256(source.add(first).cast()),
        }
    };
    let multiply = |sum: &mut __m256i, x, w| *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
    let mut step = |first: i32, second: i32, w: i32| {
        let w = _mm256_set1_epi32(w);
        for (sums, from) in sums.iter_mut().zip(from) {
            if STEP == 1 {
                let (first, second) = (line(from, first), line(from, second));
                multiply(&mut sums[0], _mm256_unpacklo_epi16(first, second), w);
                multiply(&mut sums[1], _mm256_unpackhi_epi16(first, second), w);
            } else {
                for (sum, from) in sums.iter_mut().zip(from) {
                    let x = _mm256_loadu_si256(source.add(from).add(first as usize).cast());
                    multiply(sum, x, w);
                }
            }
        }
    };
    let (mut offset, mut w) = (offsets.as_ptr(), weights.as_ptr());
    let mut left = offsets.len();
    while left > 1 {
        let (first, second) = (*offset, *offset.add(1));
        // Pixels two apart meet two taps at once where these are neighbours.
        if STEP == 2 && second != first.wrapping_add(1) {
            step(first, first, i32::from(*w as u16));
            (offset, w, left) = (offset.add(1), w.add(1), left.wrapping_sub(1));
            continue;
        }
        step(first, second, w.cast::<i32>().read_unaligned());
        (offset, w, left) = (offset.add(2), w.add(2), left.wrapping_sub(2));
    }
    if left == 1 {
        // What stands beside it meets a weight of 0.
        step(*offset, *offset, i32::from(*w as u16));
    }
    sums
}

/// A cell in the order of its pixels: of neighbours, it is so already.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order<const STEP: usize>(cell: __m256i) -> __m256i {
    match STEP {
        1 => cell,
        _ => _mm256_permute4x64_epi64::<0b11_01_10_00>(cell),
    }
}

/// # Safety
/// AVX2; `out` is writable for eight elements from both places on; if not NARROW, the second follows the first.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store<const STEP: usize, const NARROW: bool>(cell: __m256i, to: [usize; 2], out: *mut i16) {
    let cell = in_order::<STEP>(cell);
    match NARROW {
        true => _mm256_storeu2_m128i(out.add(to[1]).cast(), out.add(to[0]).cast(), cell),
        false => _mm256_storeu_si256(out.add(to[0]).cast(), cell),
    }
}
