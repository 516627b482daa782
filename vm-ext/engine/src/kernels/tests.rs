//! Every set of this machine against the scalar one, loop by loop: any number of rows, any k, extremes often.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::folds::Taps;
use super::portable::{End, Neighbours, Power};
use super::{Channel, DepthwiseRows, Dot, Kernels, Lanes, PanelsOf8, RowsOf8, Target, Width, QUAD, QUAD_WORDS, WIDE};
use crate::graph::Comparison;

/// A small generator (xorshift64*).
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In `low..=high`, its ends more often than chance has it.
    fn int(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        match bits >> 61 {
            0 => low,
            1 => high,
            _ => low + (bits % (high - low + 1) as u64) as i64,
        }
    }

    fn list<T>(&mut self, count: usize, low: i64, high: i64) -> Vec<T>
    where
        T: TryFrom<i64>,
        T::Error: core::fmt::Debug,
    {
        (0..count)
            .map(|_| self.int(low, high).try_into().expect("a range of the type"))
            .collect()
    }
}

/// An activation's width and range.
fn width(draw: &mut Draw) -> (Width, i64, i64) {
    match draw.int(0, 2) {
        0 => (Width::I8, -128, 127),
        1 => (Width::U8, 0, 255),
        _ => (Width::I16, -32768, 32767),
    }
}

/// Products with 8-bit weights, whatever they add up to: where a sum leaves 32 bits, every set wraps alike.
fn bytes(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let (width, low, high) = width(draw);
    let (rows, k) = (draw.int(1, 30) as usize, draw.int(1, 90) as usize);
    let (lda, quads) = (k + draw.int(0, 3) as usize, k.div_ceil(QUAD));
    let panels = draw.int(0, 4) as usize;
    let x: Vec<i16> = draw.list(rows * lda, low, high);
    // Beyond k weights are 0.
    let mut weights: Vec<i8> = draw.list(panels * WIDE * quads * QUAD, -128, 127);
    for (i, w) in weights.iter_mut().enumerate() {
        if i / (WIDE * QUAD) % quads * QUAD + i % QUAD >= k {
            *w = 0;
        }
    }
    let at = |p: usize, c: usize, i: usize| weights[((p * quads + i / QUAD) * WIDE + c) * QUAD + i % QUAD];
    let sum = |p: usize, c: usize| (0..k).map(|i| i32::from(at(p, c, i))).sum();
    let sums: Vec<i32> = (0..panels * WIDE).map(|c| sum(c / WIDE, c % WIDE)).collect();
    let columns = |kernels: &Kernels| {
        let mut words = alloc::vec![-1; rows * quads * QUAD_WORDS];
        (kernels.bytes.pack_rows)(&x, lda, rows, k, width, &mut words);
        let panels_of = PanelsOf8 {
            data: &weights,
            stride: WIDE * quads * QUAD,
            sums: &sums,
        };
        let mut out = alloc::vec![7; panels * rows * WIDE];
        (kernels.bytes.columns)(&words, rows, quads, width, panels_of, &mut out);
        out
    };
    assert_eq!(
        columns(set),
        columns(scalar),
        "{rows} rows, k {k}, {panels} panels, {width:?}"
    );

    // The same weights as rows, against pixels.
    let stride = quads * QUAD;
    let by_rows: Vec<i8> = (0..panels * WIDE)
        .flat_map(|c| (0..stride).map(move |i| (c, i)))
        .map(|(c, i)| if i < k { at(c / WIDE, c % WIDE, i) } else { 0 })
        .collect();
    let source: Vec<i16> = draw.list(200, low, high);
    let offsets: Vec<i32> = draw.list(k, 0, 150);
    let sixteens = draw.int(1, 3) as usize;
    let rows = |kernels: &Kernels| {
        let stride_words = quads * QUAD_WORDS * WIDE + 5;
        let mut words = alloc::vec![-1; sixteens * stride_words];
        for (p, words) in words.chunks_exact_mut(stride_words).enumerate() {
            // In two pieces.
            let (first, second) = offsets.split_at(k.min(8));
            (kernels.bytes.pack_pixels)(&source, p, first, width, 0, words);
            if !second.is_empty() {
                (kernels.bytes.pack_pixels)(&source, p, second, width, 2, words);
            }
        }
        let rows_of = RowsOf8 {
            data: &by_rows,
            stride,
            sums: &sums,
        };
        let mut out = alloc::vec![7; sixteens * sums.len() * WIDE];
        (kernels.bytes.rows)(rows_of, &words, stride_words, quads, width, &mut out);
        out
    };
    assert_eq!(
        rows(set),
        rows(scalar),
        "{sixteens} x 16, k {k}, {panels} panels, {width:?}"
    );
}

/// Products with 16-bit weights.
fn words(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let (rows, mut k) = (draw.int(0, 30) as usize, draw.int(1, 90) as usize);
    // Some beyond what is multiplied before totals are made.
    if draw.int(0, 30) == 0 {
        k += 500;
    }
    let lda = k + draw.int(0, 3) as usize;
    let block = 2 * draw.int(1, 50) as usize;
    let a: Vec<i16> = draw.list((rows * lda).max(k), -32768, 32767);
    // Of which a block fits 32 bits.
    let most = ((1 << 31) - 1) / (block as i64 * 32768);
    let short: Vec<i16> = draw.list(k.next_multiple_of(2) * WIDE, -most, most);
    let b: Vec<i16> = draw.list(k.next_multiple_of(2) * WIDE, -32768, 32767);
    // Panels overlap here: nothing says they may not.
    let (panels, stride) = (draw.int(0, 3) as usize, 6);
    let more: Vec<i16> = draw.list(b.len() + 3 * stride, -32768, 32767);
    let sums = |kernels: &Kernels| {
        let mut out = alloc::vec![7; panels * rows * WIDE];
        (kernels.words.tile)(&a, lda, rows, k, &more, stride, &mut out);
        out
    };
    assert_eq!(sums(set), sums(scalar), "{rows} rows, k {k}, {panels} panels");
    let offsets: Vec<i32> = draw.list(k, 0, 150);
    let pixels: Vec<i16> = draw.list(200, -32768, 32767);
    let packed = |kernels: &Kernels| {
        let mut panel = alloc::vec![7; k.next_multiple_of(2) * WIDE];
        (kernels.words.pack_pairs)(&pixels, 9, &offsets, &mut panel);
        panel
    };
    assert_eq!(packed(set), packed(scalar), "k {k}");
    let tap = |i: usize| {
        packed(set)[i / 2 * 2 * WIDE + i % 2..]
            .iter()
            .step_by(2)
            .take(WIDE)
            .copied()
            .collect::<Vec<_>>()
    };
    let last = offsets[k - 1] as usize + 9;
    assert_eq!(tap(k - 1), pixels[last..last + WIDE]);
    let totals = |kernels: &Kernels| {
        let mut out = alloc::vec![7; rows * WIDE];
        (kernels.words.blocks)(&a, lda, rows, k, block, &short, &mut out);
        out
    };
    assert_eq!(totals(set), totals(scalar), "{rows} rows, k {k}, {block}");
    dots(&a[..k], set.words.dot, scalar.words.dot, -32768, 32767, draw);
    dots(&a[..k], set.bytes.dot, scalar.bytes.dot, -128, 127, draw);
}

fn dots<B>(a: &[i16], set: Dot<B>, scalar: Dot<B>, low: i64, high: i64, draw: &mut Draw)
where
    B: TryFrom<i64>,
    B::Error: core::fmt::Debug,
{
    let b: Vec<B> = draw.list(a.len(), low, high);
    assert_eq!(set(a, &b), scalar(a, &b), "k {}", a.len());
}

/// Sums over few taps at some distance, and some of their pixels.
fn depthwise(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let (taps, pixels, step) = (
        // Some beyond what is multiplied before totals are made.
        draw.int(1, 30) as usize + if draw.int(0, 30) == 0 { 300 } else { 0 },
        draw.int(1, 70) as usize,
        draw.int(1, 3) as usize,
    );
    let source: Vec<i16> = draw.list(100 + step * pixels, -32768, 32767);
    let offsets: Vec<i32> = draw.list(taps, 0, 90);
    let weights: Vec<i16> = draw.list(taps, -32768, 32767);
    let sums = |kernels: &Kernels| {
        let mut sums = alloc::vec![7; pixels];
        (kernels.depthwise)(&source, 9, &offsets, step, &weights, &mut sums);
        sums
    };
    assert_eq!(sums(set), sums(scalar), "{taps} taps, {pixels} pixels, step {step}");
    let totals = |kernels: &Kernels| {
        let mut totals = alloc::vec![7; pixels];
        (kernels.depthwise_wide)(&source, 9, &offsets, step, &weights, &mut totals);
        totals
    };
    assert_eq!(totals(set), totals(scalar), "{taps} taps, {pixels} pixels, step {step}");
}

/// Folds of as many elements as there are, and of one less than vectors would like to read.
fn folds(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let (count, rows) = (draw.int(0, 50) as usize, draw.int(1, 9) as usize);
    let step = count + draw.int(0, 9) as usize;
    let taps = Taps {
        count: rows,
        dilation: draw.int(1, 3) as usize,
        stride: draw.int(1, 4) as usize,
    };
    let read = (rows - 1) * step + count;
    let reach = count.saturating_sub(1) * taps.stride + (rows - 1) * taps.dilation + draw.int(1, 40) as usize;
    let x: Vec<i16> = draw.list(read.max(reach), -32768, 32767);
    let wide: Vec<i32> = draw.list(reach, -(1 << 20), 1 << 20);
    let all = |kernels: &Kernels| {
        let k = kernels.folds;
        let mut best = [alloc::vec![7; count], alloc::vec![7; count]];
        let mut sums = [alloc::vec![7; count], alloc::vec![7; count]];
        (k.largest_down)(&mut best[0], &x[..read], step, rows);
        (k.totals_down)(&mut sums[0], &x[..read], step, rows);
        (k.largest_along)(&mut best[1], &x[..reach], taps);
        (k.totals_along)(&mut sums[1], &wide, taps);
        (best, sums, (k.largest_of)(&x[..count]), (k.total_of)(&x[..count]))
    };
    assert_eq!(all(set), all(scalar), "{count} of {rows} rows {step} apart, {taps:?}");
    let (best, sums, largest, total) = all(set);
    let down = |i: usize| (0..rows).map(move |r| r * step + i);
    let along = |i: usize| (0..rows).map(move |t| i * taps.stride + t * taps.dilation);
    for i in 0..count {
        assert_eq!(Some(best[0][i]), down(i).map(|at| x[at]).max());
        assert_eq!(sums[0][i], down(i).map(|at| i32::from(x[at])).sum::<i32>());
        assert_eq!(Some(best[1][i]), along(i).map(|at| x[at]).max());
        assert_eq!(sums[1][i], along(i).map(|at| wide[at]).sum::<i32>());
    }
    assert_eq!(largest, x[..count].iter().copied().max().unwrap_or(i16::MIN));
    assert_eq!(total, x[..count].iter().map(|x| i64::from(*x)).sum::<i64>());
}

/// Rows of pixels, up to the last element of what they are summed over, and rescaled in either form.
fn depthwise_rows(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let (taps, step, columns, count) = (
        draw.int(1, 12) as usize,
        draw.int(1, 3) as usize,
        draw.int(1, 70) as usize,
        draw.int(1, 9) as usize,
    );
    // Some narrower than what the taps of their last pixels reach: rows that lie in one another.
    let pitch = draw.int(1, 80) as usize;
    let mut offsets: Vec<i32> = draw.list(taps, 0, 90);
    for i in 1..taps {
        // Neighbours, often.
        if draw.int(0, 1) == 0 {
            offsets[i] = offsets[i - 1] + 1;
        }
    }
    let furthest = *offsets.iter().max().unwrap() as usize;
    let beyond = if draw.int(0, 1) == 0 {
        0
    } else {
        draw.int(0, 40) as usize
    };
    let length = furthest + (count - 1) * pitch + (columns - 1) * step + 1 + beyond;
    let source: Vec<i16> = draw.list(length, -32768, 32767);
    let weights: Vec<i16> = draw.list(taps, -3000, 3000);
    let shift = draw.int(0, 62) as u8;
    let most = (1 << draw.int(0, 31)) - 1;
    let channel = Channel::new(draw.int(-1 << 20, 1 << 20) as i32, draw.int(-most, most) as i32, shift);
    let (low, high) = (draw.int(-32768, 0) as i32, draw.int(0, 32767) as i32);
    let stored = |kernels: &Kernels| {
        let mut out = alloc::vec![7i16; count * columns];
        let rows = DepthwiseRows {
            source: &source,
            offsets: &offsets,
            weights: &weights,
            step,
            pitch,
            columns,
        };
        (kernels.depthwise_to)(rows, &channel, low, high, &mut out);
        out
    };
    assert_eq!(
        stored(set),
        stored(scalar),
        "{taps} taps, {count} rows of {columns}, step {step}, pitch {pitch}, {channel:?}"
    );
}

/// Of sums whose product with any multiplier stays below 2^62.
fn ends(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let most = (1 << 30) - 1;
    let (mut low, mut high) = (
        draw.int(-(1 << 31), 1 << 30) as i32,
        draw.int(-(1 << 30), (1 << 31) - 1) as i32,
    );
    if low > high {
        (low, high) = (high, low);
    }
    // What is stored in 16 bits fits them.
    let (low_16, high_16) = (low.clamp(-32768, 0), high.clamp(0, 32767));
    let lanes = |draw: &mut Draw| {
        // Some of small multipliers and long shifts throughout: such have a quicker form.
        let (factor, least) = match draw.int(0, 1) {
            0 => (1 << 31, 0),
            _ => (1 << draw.int(0, 31), draw.int(0, 32)),
        };
        let mut lanes = Lanes::default();
        for c in 0..WIDE {
            lanes.bias[c] = draw.int(-most, most) as i32;
            lanes.multiplier[c] = draw.int(-factor, factor - 1) as i32;
            lanes.shift[c] = draw.int(least, 62) as u8;
        }
        lanes
    };
    let lanes: Vec<Lanes<i32>> = (0..3).map(|_| lanes(draw)).collect();
    let panels = draw.int(0, 3) as usize;
    let rows = draw.int(1, 9) as usize;
    let sums: Vec<i32> = draw.list(panels * rows * WIDE, -most, most);
    let run = |f: &dyn Fn(&mut [i32])| {
        let mut sums = sums.clone();
        f(&mut sums);
        sums
    };
    let channel = |i: usize| {
        let (lanes, c) = (&lanes[i / WIDE], i % WIDE);
        Channel::new(lanes.bias[c], lanes.multiplier[c], lanes.shift[c])
    };
    let channels: Vec<Channel<i32>> = (0..rows).map(channel).collect();
    // Of 64 bits, with multipliers of 16.
    let wide_most = (1 << 44) - 1;
    let wide: Vec<i64> = draw.list(panels * rows * WIDE, -wide_most, wide_most);
    let mut wide_lanes = Lanes {
        shift: lanes[0].shift,
        ..Lanes::default()
    };
    for c in 0..WIDE {
        wide_lanes.bias[c] = draw.int(-wide_most, wide_most);
        wide_lanes.multiplier[c] = lanes[0].multiplier[c] >> 16;
    }
    let wide_channel = |channel: &Channel<i32>| Channel {
        bias: i64::from(channel.bias) << 12,
        multiplier: channel.multiplier >> 16,
        shift: channel.shift,
        high: None,
    };
    let wide_channels: Vec<Channel<i64>> = channels.iter().map(wide_channel).collect();
    let (columns, stride) = (panels * WIDE - panels.min(5), panels * WIDE + 3);
    let all = |kernels: &Kernels| {
        let ends = kernels.ends;
        let to = |f: &dyn Fn(Target<'_>)| {
            let mut out = alloc::vec![3i16; rows * stride];
            f(Target {
                out: &mut out,
                stride,
                columns,
            });
            out
        };
        let narrowed = [
            to(&|target| (ends.narrow_columns)(&sums, rows, target)),
            to(&|target| (ends.columns_to)(&sums, &lanes[..panels], low_16, high_16, target)),
            to(&|target| (ends.rows_to)(&sums, &channels, low_16, high_16, target)),
        ];
        let mut plain = alloc::vec![3i16; sums.len()];
        (ends.narrow)(&sums, &mut plain);
        let results = [
            run(&|sums| (ends.columns)(sums, &lanes[..panels], low, high)),
            run(&|sums| (ends.rows)(sums, &channels, low, high)),
            run(&|sums| (ends.wide_columns)(&wide, &wide_lanes, low, high, sums)),
            run(&|sums| (ends.wide_rows)(&wide, &wide_channels, low, high, sums)),
        ];
        (narrowed, plain, results)
    };
    assert_eq!(all(set), all(scalar), "{panels} panels of {rows} rows");
}

/// A bias that a multiplier of 29 bits takes to just below 2^62.
const BIAS: i64 = 6 << 30;

/// Of values whose results stay below 2^62.
fn arithmetic(set: &Kernels, scalar: &Kernels, draw: &mut Draw) {
    let count = draw.int(0, 70) as usize;
    let (a, b): (Vec<i32>, Vec<i32>) = (draw.list(count, -32768, 32767), draw.list(count, -32768, 32767));
    let table: Vec<i16> = draw.list(513, -32768, 32767);
    let table: &[i16; 513] = table.as_slice().try_into().expect("513 of them");
    let end = End {
        shift: draw.int(0, 62) as u8,
        low: draw.int(-40_000, 0) as i32,
        high: draw.int(0, 40_000) as i32,
    };
    let most = (1 << 31) - 1;
    let multipliers = [draw.int(-most, most) as i32, draw.int(-most, most) as i32];
    let bias = draw.int(-BIAS, BIAS);
    let run = |f: &dyn Fn(&mut [i32])| {
        let mut a = a.clone();
        f(&mut a);
        a
    };
    let (least, largest) = if draw.int(0, 1) == 0 {
        (-32768, 32767)
    } else {
        (-(1 << 31), most)
    };
    let exponents: Vec<i32> = draw.list(count, least, largest);
    let power = Power {
        max: exponents.iter().copied().max().unwrap_or(0),
        multiplier: draw.int(0, most) as i32,
        shift: draw.int(0, 62) as u8,
    };
    let condition: Vec<i32> = draw.list(count, 0, 1);
    let narrow: Vec<i16> = draw.list(count, -32768, 32767);
    let kind = [Comparison::Less, Comparison::LessEqual, Comparison::Equal][draw.int(0, 2) as usize];
    let all = |kernels: &Kernels| {
        let k = kernels.arithmetic;
        let mut powers = alloc::vec![0; count];
        let sum = (k.exponentials)(&exponents, power, &mut powers);
        let mut shares = powers.clone();
        if sum > 0 {
            (k.shares)(&mut shares, sum);
        }
        assert!(powers.iter().zip(&shares).all(|(e, y)| {
            let exact = ((*e as u64) << 15) + sum / 2;
            sum == 0 || u64::from(*y as u32) == (exact / sum).min(32767)
        }));
        [
            powers,
            shares,
            run(&|a| (k.add)(a, &b, multipliers, end)),
            run(&|a| (k.mul)(a, &b, multipliers[0], end)),
            run(&|a| (k.rescale)(a, bias, multipliers[1] >> 2, end)),
            run(&|a| (k.table)(a, table)),
            run(&|a| {
                (k.roots)(
                    a,
                    End {
                        shift: end.shift & 31,
                        ..end
                    },
                )
            }),
            run(&|a| (k.min)(a, &b)),
            run(&|a| (k.max)(a, &b)),
            run(&|a| (k.compare)(a, &b, kind)),
            run(&|a| (k.select)(a, &b, &condition)),
            run(&|a| (kernels.ends.widen)(&narrow, a)),
        ]
    };
    assert_eq!(all(set), all(scalar), "{multipliers:?} {bias} {end:?}");
    short(set, scalar, &a, &b, draw);
}

/// A loop from two operands of 16 bits to results of as many.
type Narrow<'a> = dyn Fn(&[i16], &[i16], &mut [i16]) + 'a;

/// What fits 32 bits comes to the same in 32 and in 64.
fn short(set: &Kernels, scalar: &Kernels, a: &[i32], b: &[i32], draw: &mut Draw) {
    let end = End {
        shift: draw.int(0, 30) as u8,
        low: draw.int(-40_000, 0) as i32,
        high: draw.int(0, 40_000) as i32,
    };
    let run = |f: &dyn Fn(&mut [i32])| {
        let mut a = a.to_vec();
        f(&mut a);
        a
    };
    let most = (i64::from(i32::MAX) - (1 << end.shift >> 1)) >> 15;
    let (m, rest) = (draw.int(-most, most), draw.int(0, 1));
    let n = rest * draw.int(m.abs() - most, most - m.abs());
    assert!(end.is_short((m.unsigned_abs() + n.unsigned_abs()) << 15) && !end.is_short((most as u64 + 1) << 15));
    let multipliers = [m as i32, n as i32];
    let bias = draw.int(-40_000, 40_000);
    let factor = draw.int(-most, most) / (1 + (bias.abs() >> 14));
    let (k, exact) = (set.arithmetic, scalar.arithmetic);
    assert_eq!(
        run(&|a| (k.add_short)(a, b, multipliers, end)),
        run(&|a| (exact.add)(a, b, multipliers, end)),
        "{multipliers:?} {end:?}"
    );
    assert_eq!(
        run(&|a| (k.mul_short)(a, b, end)),
        run(&|a| (exact.mul)(a, b, 1, end)),
        "{end:?}"
    );
    let halves = |x: &[i32]| x.iter().map(|x| *x as i16).collect::<Vec<i16>>();
    // Of 16 bits, as they are wherever they are stored so.
    let end = End {
        low: end.low.max(-32768),
        high: end.high.min(32767),
        ..end
    };
    let narrow = |f: &Narrow<'_>| {
        let mut out = alloc::vec![7; a.len()];
        f(&halves(a), &halves(b), &mut out);
        out.into_iter().map(i32::from).collect::<Vec<i32>>()
    };
    let kind = [Comparison::Less, Comparison::LessEqual, Comparison::Equal][draw.int(0, 2) as usize];
    let low_16 = draw.int(-32768, 32767) as i16;
    let high_16 = draw.int(low_16.into(), 32767) as i16;
    let clamp = End {
        shift: 0,
        low: low_16.into(),
        high: high_16.into(),
    };
    let pairs = [
        (
            narrow(&|a, b, out| (k.add_narrow)(a, b, out, multipliers, end)),
            run(&|a| (exact.add)(a, b, multipliers, end)),
        ),
        (
            narrow(&|a, b, out| (k.mul_narrow)(a, b, out, end)),
            run(&|a| (exact.mul)(a, b, 1, end)),
        ),
        (
            narrow(&|a, b, out| (k.min_narrow)(a, b, out)),
            run(&|a| (exact.min)(a, b)),
        ),
        (
            narrow(&|a, b, out| (k.max_narrow)(a, b, out)),
            run(&|a| (exact.max)(a, b)),
        ),
        (
            narrow(&|a, b, out| (k.compare_narrow)(a, b, out, kind)),
            run(&|a| (exact.compare)(a, b, kind)),
        ),
        (
            narrow(&|a, b, out| {
                let condition: Vec<i16> = b.iter().map(|b| b & 3).collect();
                (k.select_narrow)(&condition, a, b, out);
            }),
            run(&|a| (exact.select)(a, b, &b.iter().map(|b| b & 3).collect::<Vec<i32>>())),
        ),
        (
            narrow(&|a, _, out| (k.clamp_narrow)(a, out, low_16, high_16)),
            run(&|a| (exact.rescale)(a, 0, 1, clamp)),
        ),
    ];
    for (i, (found, want)) in pairs.iter().enumerate() {
        assert_eq!(found, want, "loop {i}: {multipliers:?} {end:?} {kind:?} {clamp:?}");
    }
    if end.is_short((32768 + bias.unsigned_abs()) * factor.unsigned_abs()) {
        let addend = bias * factor + (1 << end.shift >> 1);
        let [multipliers, addends, shifts] = [factor, addend, end.shift.into()].map(|n| alloc::vec![n as i32; a.len()]);
        let neighbours = Neighbours {
            multipliers: &multipliers,
            addends: &addends,
            shifts: &shifts,
        };
        let want = run(&|a| (exact.rescale)(a, bias, factor as i32, end));
        for found in [
            narrow(&|a, _, out| (k.rescale_narrow)(a, out, bias as i32, factor as i32, end)),
            narrow(&|a, _, out| (k.rescale_neighbours)(a, out, neighbours, end.low, end.high)),
        ] {
            assert_eq!(found, want, "{bias} {factor} {end:?}");
        }
        assert_eq!(
            run(&|a| (k.rescale_short)(a, bias as i32, factor as i32, end)),
            run(&|a| (exact.rescale)(a, bias, factor as i32, end)),
            "{bias} {factor} {end:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loop_of_every_set_equals_the_scalar_one(seed: u64) {
        let scalar = Kernels::scalar();
        for set in Kernels::available() {
            let draw = &mut Draw::new(seed);
            bytes(&set, &scalar, draw);
            words(&set, &scalar, draw);
            depthwise(&set, &scalar, draw);
            depthwise_rows(&set, &scalar, draw);
            ends(&set, &scalar, draw);
            arithmetic(&set, &scalar, draw);
            folds(&set, &scalar, draw);
        }
    }
}

#[test]
fn names_and_sets_belong_together() {
    let available = Kernels::available();
    let names: Vec<&str> = available.iter().map(Kernels::name).collect();
    let of_this_machine = |name: &&str| Kernels::by_name(name).is_some();
    assert_eq!(
        names,
        Kernels::NAMES.into_iter().filter(of_this_machine).collect::<Vec<_>>()
    );
    assert_eq!(names[0], "scalar");
    for set in &available {
        assert_eq!(Kernels::by_name(set.name()).map(|found| found.name()), Some(set.name()));
    }
    let fastest = available.last().map(Kernels::name);
    assert_eq!(Some(Kernels::auto().name()), fastest);
    assert_eq!(Kernels::by_name("auto").map(|k| k.name()), fastest);
    assert!(Kernels::by_name("sse9").is_none());
}

/// What the machine has is used: the standard library's detection agrees.
#[cfg(target_arch = "x86_64")]
#[test]
fn sets_are_there_where_the_cpu_has_their_instructions() {
    extern crate std;
    use std::is_x86_feature_detected as has;

    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    let there = |name| Kernels::by_name(name).is_some();
    assert!(there("sse2"));
    assert_eq!(there("avx2"), has!("avx2"));
    assert_eq!(there("avx512"), avx512);
    assert_eq!(there("avx512vnni"), avx512 && has!("avx512vnni"));
}
