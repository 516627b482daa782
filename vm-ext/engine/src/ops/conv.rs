//! Convolutions: pixels of the result become the columns of a matrix product, 32 at a time; where few channels share an image,
//! each is summed tap by tap.

use alloc::vec::Vec;

use super::elementwise::CHUNK;
use super::matmul::add;
use super::Scale;
use crate::infer::{ConvShape, Sums};
use crate::kernels::pack::{ByteRows, Rows};
use crate::kernels::{
    aligned_mut, aligned_short_mut, Channel, DepthwiseRows, Kernels, Width, LINE, QUAD, QUAD_WORDS, SHORT_LINE, WIDE,
};
use crate::plan::Room;
use crate::shape::Slide;
use crate::tensor::{self, View, ViewMut};
use crate::workspace::Scratch;

/// Output channels that go through a panel together.
pub(crate) const CHANNEL_BLOCK: usize = 48;
/// Pixels that go past the weights together.
pub(crate) const PIXELS: usize = 2 * WIDE;
/// Sums at once.
pub(crate) const SUMS: usize = CHANNEL_BLOCK * PIXELS;
/// Lines of fewer pixels are summed pixel by pixel where sums take 64 bits.
const SHORT: usize = 4;
/// Taps that are gathered together.
const GATHERED: usize = 64;
/// Pieces of rows that are copied as such; more are taken apart into pixels.
pub(crate) const PIECES: usize = 4;
/// Pixels of a tap, with room for a run of 16 to begin at any of them.
type Line = [i16; 2 * WIDE];
/// Where the line of each tap is.
const GATHERED_OFFSETS: [i32; GATHERED] = {
    let mut offsets = [0; GATHERED];
    let mut i = 0;
    while i < GATHERED {
        offsets[i] = (i * size_of::<Line>() / size_of::<i16>()) as i32;
        i += 1;
    }
    offsets
};

/// `y[b, o, i, j] = rescale(bias[o] + sum over c, u, v of w[o, c, u, v] * x[b, .., i * stride + u * dilation - pad, ..])`.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    shape: ConvShape,
    /// `[O, taps]`
    weights: Rows,
    scale: Scale,
    sums: Sums,
    width: Width,
    /// Per output channel, where sums fit 32 bits; as many as are taken at once where all are rescaled alike.
    channels: Vec<Channel<i32>>,
}

/// Whether there is so little to share between channels that laying out pixels for them takes longer than it saves: unless
/// rows are so short that most of sixteen lanes would be idle.
pub(crate) fn direct(shape: &ConvShape) -> bool {
    let slide = &shape.slide;
    shape.channels / shape.groups <= 2 && slide.strides[1] <= 2 && (slide.out[1] >= WIDE / 4 || joined(slide))
}

/// Whether rows of results are summed as one, with what lies between them.
pub(crate) fn joined(slide: &Slide) -> bool {
    slide.strides == [1, 1] && slide.padded[1] <= 2 * slide.out[1]
}

/// Pixels of a row of results: rows that follow one another in the padded image as they do there are one.
pub(crate) fn columns(slide: &Slide) -> usize {
    match slide.strides == [1, 1] && slide.padded[1] == slide.out[1] {
        true => slide.out[0] * slide.out[1],
        false => slide.out[1],
    }
}

/// Scratch space: a padded image, where the taps lie in it, a panel, and sums.
pub(crate) fn scratch(shape: &ConvShape, narrow: bool, sums: Sums) -> Room {
    if sums == Sums::I64 {
        return Room::default();
    }
    let slide = &shape.slide;
    let image = (shape.in_channels / shape.groups) as u64 * slide.padded[0] as u64 * slide.padded[1] as u64;
    let padded = if slide.pads() { image } else { 0 };
    let taps = shape.taps as u64;
    // Fewer 8-bit weights than a quad has are held as 16-bit ones.
    let [words, pairs] = match (direct(shape), narrow && shape.taps >= QUAD) {
        // The weights of one channel.
        (true, _) => [0, taps],
        (false, true) => [taps.div_ceil(QUAD as u64) * (QUAD_WORDS * PIXELS) as u64, 0],
        (false, false) => [0, taps.next_multiple_of(2) * PIXELS as u64 + SHORT_LINE as u64],
    };
    Room {
        i16: padded + pairs,
        i32: taps + words + (SUMS + LINE) as u64,
        i64: if sums == Sums::I32 { 0 } else { SUMS as u64 },
    }
}

/// What the passes over an image share.
struct Pass<'a, 'b> {
    kernels: &'a Kernels,
    /// Where each tap lies in the padded image relative to the window's first.
    offsets: &'a [i32],
    /// The packed panel of 8-bit weights.
    words: &'a mut [i32],
    /// That of 16-bit weights.
    pairs: &'a mut [i16],
    sums: &'a mut [i32],
    totals: &'a mut [i64],
    out: &'a mut ViewMut<'b>,
}

impl Conv {
    pub fn new(shape: ConvShape, weights: Rows, scale: Scale, sums: Sums, width: Width) -> Self {
        let channels = match sums {
            Sums::I32 if scale.alike() => shape.channels.min(CHANNEL_BLOCK),
            Sums::I32 => shape.channels,
            _ => 0,
        };
        let channels = (0..channels).map(|c| scale.channel(c)).collect();
        Conv {
            shape,
            weights,
            scale,
            sums,
            width,
            channels,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.weights.bytes() + self.scale.bytes() + self.channels.len() * size_of::<Channel<i32>>()
    }

    #[inline(never)]
    pub fn run(&self, x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        match x {
            View::I16(x) if self.sums != Sums::I64 => self.images(x, out, kernels, scratch),
            View::I16(x) => self.wide_of(x, out),
            View::I32(x) => self.wide_of(x, out),
        }
    }

    fn wide_of<X: Copy + Into<i64>>(&self, x: &[X], out: &mut ViewMut<'_>) {
        match &self.weights {
            Rows::I8(rows) => self.wide(x, |o| rows.row(o), out),
            Rows::I16(rows) => self.wide(x, |o| &rows[o * self.shape.taps..(o + 1) * self.shape.taps], out),
        }
    }

    /// One group of channels of one image at a time.
    #[inline(never)]
    fn images(&self, x: &[i16], out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        let s = &self.shape;
        let slide = &s.slide;
        let (per_group, group_out) = (s.in_channels / s.groups, s.channels / s.groups);
        let image = slide.image[0] * slide.image[1];
        let pixels = slide.out[0] * slide.out[1];
        let padded_len = if slide.pads() {
            per_group * slide.padded[0] * slide.padded[1]
        } else {
            0
        };
        let (padded, pairs) = scratch.i16.split_at_mut(padded_len);
        // Its border stays zero.
        padded.fill(0);
        let (offsets, words) = scratch.i32.split_at_mut(s.taps);
        let (sums, words) = words.split_at_mut(SUMS);
        let words = aligned_mut(words);
        // The weights of one channel have no line to spare.
        let pairs = if direct(s) { pairs } else { aligned_short_mut(pairs) };
        self.tap_offsets(offsets);
        let mut pass = Pass {
            kernels,
            offsets,
            words,
            pairs,
            sums,
            totals: scratch.i64,
            out,
        };
        for (index, x) in x.chunks_exact(per_group * image).enumerate() {
            // Groups of an image follow one another, in x as in y.
            let first = index % s.groups * group_out;
            let base = index * group_out * pixels;
            let source = if slide.pads() {
                pad(x, slide, padded);
                &*padded
            } else {
                x
            };
            if direct(s) {
                for c in 0..group_out {
                    self.tap_by_tap(source, first + c, base + c * pixels, &mut pass);
                }
                continue;
            }
            match &self.weights {
                Rows::I8(rows) => self.bytes_of(rows, source, first, base, &mut pass),
                Rows::I16(rows) => self.words_of(rows, source, first, base, &mut pass),
            }
        }
    }

    fn tap_offsets(&self, offsets: &mut [i32]) {
        let slide = &self.shape.slide;
        let [kernel_h, kernel_w] = slide.kernel;
        for (tap, offset) in offsets.iter_mut().enumerate() {
            let (c, u, v) = (tap / kernel_w / kernel_h, tap / kernel_w % kernel_h, tap % kernel_w);
            let row = c * slide.padded[0] + u * slide.dilations[0];
            // Below the padded image's elements, which fit 31 bits.
            *offset = (row * slide.padded[1] + v * slide.dilations[1]) as i32;
        }
    }

    /// A group with 8-bit weights: 32 pixels go past all its channels.
    #[inline(never)]
    fn bytes_of(&self, weights: &ByteRows, source: &[i16], first: usize, base: usize, pass: &mut Pass<'_, '_>) {
        let s = &self.shape;
        let group_out = s.channels / s.groups;
        let pixels = s.slide.out[0] * s.slide.out[1];
        // Words of 16 pixels.
        let stride = s.taps.div_ceil(QUAD) * QUAD_WORDS * WIDE;
        let mut lines = [[0; 2 * WIDE]; GATHERED];
        for from in (0..pixels).step_by(PIXELS) {
            let count = PIXELS.min(pixels - from);
            let sixteens = count.div_ceil(WIDE);
            for (i, words) in pass.words.chunks_exact_mut(stride).take(sixteens).enumerate() {
                let pixels = Pixels::new(&s.slide, from + i * WIDE, (count - i * WIDE).min(WIDE));
                for tap in (0..s.taps).step_by(weights.block) {
                    let end = s.taps.min(tap + weights.block);
                    let words = &mut words[tap / QUAD * QUAD_WORDS * WIDE..];
                    pixels.pack(
                        source,
                        &pass.offsets[tap..end],
                        self.width,
                        &mut lines,
                        words,
                        pass.kernels,
                    );
                }
            }
            for channel in (0..group_out).step_by(CHANNEL_BLOCK) {
                let rows = CHANNEL_BLOCK.min(group_out - channel);
                let sums = &mut pass.sums[..sixteens * rows * WIDE];
                let products = |tap: usize, sums: &mut [i32]| {
                    let words = &pass.words[tap / QUAD * QUAD_WORDS * WIDE..];
                    let quads = weights.block.min(s.taps - tap).div_ceil(QUAD);
                    let weights = weights.of(first + channel, rows, tap);
                    (pass.kernels.bytes.rows)(weights, words, stride, quads, self.width, sums);
                };
                match self.sums {
                    Sums::Blocks(_) => {
                        let totals = &mut pass.totals[..sums.len()];
                        totals.fill(0);
                        for tap in (0..s.taps).step_by(weights.block) {
                            products(tap, sums);
                            add(totals, sums);
                        }
                    }
                    _ => products(0, sums),
                }
                self.finish(
                    rows,
                    first + channel,
                    base + channel * pixels + from,
                    count,
                    sixteens,
                    pass,
                );
            }
        }
    }

    /// The same with 16-bit weights.
    #[inline(never)]
    fn words_of(&self, weights: &[i16], source: &[i16], first: usize, base: usize, pass: &mut Pass<'_, '_>) {
        let s = &self.shape;
        let (group_out, taps) = (s.channels / s.groups, s.taps);
        let pixels = s.slide.out[0] * s.slide.out[1];
        let stride = taps.next_multiple_of(2) * WIDE;
        for from in (0..pixels).step_by(PIXELS) {
            let count = PIXELS.min(pixels - from);
            let sixteens = count.div_ceil(WIDE);
            for (i, panel) in pass.pairs.chunks_exact_mut(stride).take(sixteens).enumerate() {
                let pixels = Pixels::new(&s.slide, from + i * WIDE, (count - i * WIDE).min(WIDE));
                pixels.pair(source, pass.offsets, panel, pass.kernels);
            }
            for channel in (0..group_out).step_by(CHANNEL_BLOCK) {
                let rows = CHANNEL_BLOCK.min(group_out - channel);
                let weights = &weights[(first + channel) * taps..(first + channel + rows) * taps];
                let (words, panels) = (&pass.kernels.words, &pass.pairs[..sixteens * stride]);
                match self.sums {
                    Sums::Blocks(block) => {
                        let totals = pass.totals.chunks_exact_mut(rows * WIDE);
                        for (panel, totals) in panels.chunks_exact(stride).zip(totals) {
                            (words.blocks)(weights, taps, rows, taps, block as usize, panel, totals);
                        }
                    }
                    _ => {
                        let sums = &mut pass.sums[..sixteens * rows * WIDE];
                        (words.tile)(weights, taps, rows, taps, panels, stride, sums);
                    }
                }
                let at = base + channel * pixels + from;
                self.finish(rows, first + channel, at, count, sixteens, pass);
            }
        }
    }

    /// Where a channel's parameters, and those of the channels after it, are.
    fn place(&self, channel: usize) -> usize {
        if self.scale.alike() {
            0
        } else {
            channel
        }
    }

    /// Rescales the sums of `rows` channels at `count` pixels and stores them.
    #[inline(never)]
    fn finish(&self, rows: usize, channel: usize, at: usize, count: usize, sixteens: usize, pass: &mut Pass<'_, '_>) {
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let sums = &mut pass.sums[..sixteens * rows * WIDE];
        let pixels = self.shape.slide.out[0] * self.shape.slide.out[1];
        let to = tensor::Rows {
            start: at,
            stride: pixels,
            columns: count,
        };
        let at = self.place(channel);
        match self.channels.get(at..at + rows) {
            Some(channels) => pass.out.store_rows(sums, channels, (low, high), to, pass.kernels),
            None => {
                let mut channels = [Channel::default(); CHANNEL_BLOCK];
                for (i, c) in channels[..rows].iter_mut().enumerate() {
                    *c = self.scale.wide_channel(channel + i);
                }
                let totals = &pass.totals[..sums.len()];
                (pass.kernels.ends.wide_rows)(totals, &channels[..rows], low, high, sums);
                pass.out.store_panels(sums, rows, to, pass.kernels);
            }
        }
    }

    /// A channel of one image. Where rows are next to each other in the padded image, so are the pixels of several rows, with a
    /// few between them that belong to none.
    #[inline(never)]
    fn tap_by_tap(&self, source: &[i16], channel: usize, base: usize, pass: &mut Pass<'_, '_>) {
        let slide = &self.shape.slide;
        let ([out_h, out_w], [stride_h, stride_w]) = (slide.out, slide.strides);
        let weights = &mut pass.pairs[..self.shape.taps];
        match &self.weights {
            Rows::I8(rows) => {
                for (y, w) in weights.iter_mut().zip(rows.row(channel)) {
                    *y = i16::from(*w);
                }
            }
            Rows::I16(rows) => weights.copy_from_slice(&rows[channel * self.shape.taps..][..self.shape.taps]),
        }
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let (offsets, kernels) = (pass.offsets, pass.kernels);
        if let (Some(channel), ViewMut::I16(out)) = (self.channels.get(self.place(channel)), &mut *pass.out) {
            let rows = DepthwiseRows {
                source,
                offsets,
                weights,
                step: stride_w,
                // A stride beyond the image leads to no other row, and may be larger than 32-bit machines can count.
                pitch: stride_h.wrapping_mul(slide.padded[1]),
                columns: columns(slide),
            };
            return (kernels.depthwise_to)(rows, channel, low, high, &mut out[base..base + out_h * out_w]);
        }
        let mut sum = |start: usize, count: usize, sums: &mut [i32]| {
            let all = count.next_multiple_of(WIDE);
            match self.channels.get(self.place(channel)) {
                Some(end) => {
                    (kernels.depthwise)(source, start, offsets, stride_w, weights, &mut sums[..count]);
                    (kernels.ends.rows)(&mut sums[..all], &[*end], low, high);
                }
                None => {
                    let totals = &mut pass.totals[..all];
                    (kernels.depthwise_wide)(source, start, offsets, stride_w, weights, &mut totals[..count]);
                    let end = [self.scale.wide_channel(channel)];
                    (kernels.ends.wide_rows)(totals, &end, low, high, &mut sums[..all]);
                }
            }
        };
        let pitch = slide.padded[1];
        if joined(slide) && pitch <= SUMS {
            let at_once = SUMS / pitch;
            for first in (0..out_h).step_by(at_once) {
                let rows = at_once.min(out_h - first);
                sum(first * pitch, (rows - 1) * pitch + out_w, pass.sums);
                for (r, sums) in pass.sums.chunks(pitch).take(rows).enumerate() {
                    pass.out
                        .store_run(base + (first + r) * out_w, &sums[..out_w], pass.kernels);
                }
            }
            return;
        }
        for row in 0..out_h {
            for from in (0..out_w).step_by(SUMS) {
                let count = SUMS.min(out_w - from);
                sum(row * stride_h * pitch + from * stride_w, count, pass.sums);
                pass.out
                    .store_run(base + row * out_w + from, &pass.sums[..count], pass.kernels);
            }
        }
    }

    /// Sums in 64 bits: by lines of pixels, or pixel by pixel where lines are short.
    #[inline(never)]
    fn wide<'a, X, W>(&'a self, x: &[X], row: impl Fn(usize) -> &'a [W], out: &mut ViewMut<'_>)
    where
        X: Copy + Into<i64>,
        W: Copy + Into<i64> + 'a,
    {
        let s = &self.shape;
        let (out_h, out_w) = (s.slide.out[0], s.slide.out[1]);
        let group_out = s.channels / s.groups;
        let image = (s.in_channels / s.groups) * s.slide.image[0] * s.slide.image[1];
        let mut sums = [0i64; CHUNK];
        for batch in 0..s.batch {
            for i in 0..out_h {
                let rows = s.slide.inside(0, i);
                for from in (0..out_w).step_by(CHUNK) {
                    let sums = &mut sums[..CHUNK.min(out_w - from)];
                    for o in 0..s.channels {
                        let x = &x[(batch * s.groups + o / group_out) * image..][..image];
                        match out_w < SHORT {
                            true => self.wide_pixels(x, row(o), i, rows, sums),
                            false => self.wide_line(x, row(o), i, rows, from, sums),
                        }
                        let at = ((batch * s.channels + o) * out_h + i) * out_w + from;
                        for (j, sum) in sums.iter().enumerate() {
                            out.store(at + j, &[self.scale.apply(o, *sum)]);
                        }
                    }
                }
            }
        }
    }

    /// Sums of neighbouring pixels of line i from `from` on, tap by tap, of a group's channels. Taps of rows `u0..u1` lie on the image.
    ///
    /// Functions of their own, this and the next one: compiled to Wasm, a VM may cap the locals of one function.
    #[inline(never)]
    fn wide_line<X, W>(&self, x: &[X], weights: &[W], i: usize, (u0, u1): (usize, usize), from: usize, sums: &mut [i64])
    where
        X: Copy + Into<i64>,
        W: Copy + Into<i64>,
    {
        let slide = &self.shape.slide;
        let ([height, width], [kernel_h, kernel_w]) = (slide.image, slide.kernel);
        let (stride, before) = (slide.strides[1], slide.before[1]);
        sums.fill(0);
        for v in 0..kernel_w {
            // Of the pixels, those whose tap lies on the image.
            let tap = v * slide.dilations[1];
            let first = before.saturating_sub(tap).div_ceil(stride).max(from);
            let end = (width + before)
                .saturating_sub(tap)
                .div_ceil(stride)
                .min(from + sums.len());
            if first >= end {
                continue;
            }
            let sums = &mut sums[first - from..end - from];
            let column = first * stride + tap - before;
            for (x, weights) in x
                .chunks_exact(height * width)
                .zip(weights.chunks_exact(kernel_h * kernel_w))
            {
                for u in u0..u1 {
                    let row = i * slide.strides[0] + u * slide.dilations[0] - slide.before[0];
                    let w: i64 = weights[u * kernel_w + v].into();
                    let line = &x[row * width + column..];
                    // Every partial sum is below 2^46 (the certificate).
                    if stride == 1 {
                        for (sum, x) in sums.iter_mut().zip(line) {
                            *sum = sum.wrapping_add((*x).into().wrapping_mul(w));
                        }
                    } else {
                        for (sum, x) in sums.iter_mut().zip(line.iter().step_by(stride)) {
                            *sum = sum.wrapping_add((*x).into().wrapping_mul(w));
                        }
                    }
                }
            }
        }
    }

    /// The same for all pixels of line i, each by itself.
    #[inline(never)]
    fn wide_pixels<X, W>(&self, x: &[X], weights: &[W], i: usize, (u0, u1): (usize, usize), sums: &mut [i64])
    where
        X: Copy + Into<i64>,
        W: Copy + Into<i64>,
    {
        let slide = &self.shape.slide;
        let ([height, width], [kernel_h, kernel_w]) = (slide.image, slide.kernel);
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = 0;
            let (v0, v1) = match kernel_w == 1 && slide.before[1] == 0 {
                true => (0, 1),
                false => slide.inside(1, j),
            };
            // A window may miss the image altogether: then it is all padding.
            if u0 >= u1 || v0 >= v1 {
                continue;
            }
            let row = i * slide.strides[0] + u0 * slide.dilations[0] - slide.before[0];
            let column = j * slide.strides[1] + v0 * slide.dilations[1] - slide.before[1];
            let pixel = row * width + column;
            // Every partial sum is below 2^46 (the certificate).
            if kernel_h * kernel_w == 1 {
                let pixels = x[pixel..].iter().step_by(height * width);
                *sum = pixels.zip(weights).fold(0i64, |sum, (x, w)| {
                    sum.wrapping_add((*x).into().wrapping_mul((*w).into()))
                });
                continue;
            }
            for (x, weights) in x
                .chunks_exact(height * width)
                .zip(weights.chunks_exact(kernel_h * kernel_w))
            {
                for u in u0..u1 {
                    let line = x[pixel + (u - u0) * slide.dilations[0] * width..].iter();
                    let weights = &weights[u * kernel_w + v0..u * kernel_w + v1];
                    for (w, x) in weights.iter().zip(line.step_by(slide.dilations[1])) {
                        *sum = sum.wrapping_add((*x).into().wrapping_mul((*w).into()));
                    }
                }
            }
        }
    }
}

/// Copies channels into the middle of zero-padded ones. The border of `padded` is zero already.
fn pad(x: &[i16], slide: &Slide, padded: &mut [i16]) {
    let [height, width] = slide.image;
    let [padded_h, padded_w] = slide.padded;
    for (x, padded) in x
        .chunks_exact(height * width)
        .zip(padded.chunks_exact_mut(padded_h * padded_w))
    {
        if width == padded_w {
            padded[slide.before[0] * width..][..x.len()].copy_from_slice(x);
            continue;
        }
        let rows = padded.chunks_exact_mut(padded_w).skip(slide.before[0]);
        for (x, row) in x.chunks_exact(width).zip(rows) {
            copy_row(x, &mut row[slide.before[1]..slide.before[1] + width]);
        }
    }
}

/// Copies a row, a few elements at a time, of which the last overlap those before: of a length that the compiler knows, where a
/// call for every row would take longer than what it does.
#[inline(always)]
fn copy_row(x: &[i16], y: &mut [i16]) {
    match x.len() {
        64.. => y.copy_from_slice(x),
        WIDE.. => overlapping::<WIDE>(x, y),
        8.. => overlapping::<8>(x, y),
        4.. => overlapping::<4>(x, y),
        _ => y.iter_mut().zip(x).for_each(|(y, x)| *y = *x),
    }
}

/// Of N elements or more.
#[inline(always)]
fn overlapping<const N: usize>(x: &[i16], y: &mut [i16]) {
    for (x, y) in x.chunks_exact(N).zip(y.chunks_exact_mut(N)) {
        y.copy_from_slice(x);
    }
    if let (Some(x), Some(y)) = (x.last_chunk::<N>(), y.last_chunk_mut::<N>()) {
        *y = *x;
    }
}

/// Up to 16 neighbouring pixels of the result.
struct Pixels {
    /// Where the window of the first starts in the padded image.
    start: usize,
    /// Whether the windows of all 16 start next to each other.
    neighbours: bool,
    /// Runs of pixels in one row of the result: where they start in the padded image and how many they are.
    runs: [(usize, usize); WIDE],
    count: usize,
    /// Where the window of each starts.
    places: [usize; WIDE],
    pixels: usize,
    step: usize,
}

impl Pixels {
    fn new(slide: &Slide, from: usize, count: usize) -> Self {
        let out_w = slide.out[1];
        let step = slide.strides[1];
        let mut pixels = Pixels {
            start: 0,
            neighbours: count == WIDE && step == 1,
            runs: [(0, 0); WIDE],
            count: 0,
            places: [0; WIDE],
            pixels: count,
            step,
        };
        let (mut at, end) = (from, from + count);
        for run in &mut pixels.runs {
            if at == end {
                break;
            }
            let (i, j) = (at / out_w, at % out_w);
            let length = (out_w - j).min(end - at);
            let place = i * slide.strides[0] * slide.padded[1] + j * step;
            if pixels.count == 0 {
                pixels.start = place;
            }
            pixels.neighbours &= place == pixels.start + at - from;
            *run = (place, length);
            for (i, start) in pixels.places[at - from..][..length].iter_mut().enumerate() {
                *start = place + i * step;
            }
            pixels.count += 1;
            at += length;
        }
        pixels
    }

    /// Copies the pixels of up to 64 taps next to each other. What a line holds beyond them is of no value.
    fn gather(&self, source: &[i16], offsets: &[i32], lines: &mut [Line; GATHERED]) {
        if self.count > PIECES || self.step > 2 {
            for (offset, line) in offsets.iter().zip(lines) {
                let source = &source[*offset as usize..];
                for (y, place) in line.iter_mut().zip(&self.places[..self.pixels]) {
                    *y = source[*place];
                }
            }
            return;
        }
        for (offset, line) in offsets.iter().zip(lines) {
            let mut rest = &mut line[..];
            for (place, length) in &self.runs[..self.count] {
                let source = &source[place + *offset as usize..];
                // Of a length that the compiler knows, where there is room for it; the next run overwrites what is too much.
                let sixteen = rest.first_chunk_mut::<WIDE>();
                match (self.step, sixteen) {
                    (1, Some(sixteen)) if source.len() >= WIDE => sixteen.copy_from_slice(&source[..WIDE]),
                    (2, Some(sixteen)) if source.len() >= 2 * WIDE => {
                        let source = &source[..2 * WIDE];
                        for (i, y) in sixteen.iter_mut().enumerate() {
                            *y = source[2 * i];
                        }
                    }
                    (step, _) => {
                        let source = source.iter().step_by(step);
                        rest.iter_mut().zip(source).take(*length).for_each(|(y, x)| *y = *x);
                    }
                }
                rest = &mut rest[*length..];
            }
        }
    }

    /// The taps of the pixels as the kernels want them beside 8-bit weights.
    fn pack(
        &self,
        source: &[i16],
        offsets: &[i32],
        width: Width,
        lines: &mut [Line; GATHERED],
        words: &mut [i32],
        kernels: &Kernels,
    ) {
        if self.neighbours {
            (kernels.bytes.pack_pixels)(source, self.start, offsets, width, 0, words);
            return;
        }
        // Lanes beyond the pixels hold what was there before; their sums are not stored.
        for (i, offsets) in offsets.chunks(GATHERED).enumerate() {
            self.gather(source, offsets, lines);
            let (lines, places) = (lines.as_flattened(), &GATHERED_OFFSETS[..offsets.len()]);
            (kernels.bytes.pack_pixels)(lines, 0, places, width, i * GATHERED / QUAD, words);
        }
    }

    /// The same beside 16-bit weights: taps in pairs.
    fn pair(&self, source: &[i16], offsets: &[i32], panel: &mut [i16], kernels: &Kernels) {
        let pack = kernels.words.pack_pairs;
        if self.neighbours {
            return pack(source, self.start, offsets, panel);
        }
        let mut lines = [[0; 2 * WIDE]; GATHERED];
        for (offsets, panel) in offsets.chunks(GATHERED).zip(panel.chunks_mut(GATHERED * WIDE)) {
            self.gather(source, offsets, &mut lines);
            pack(lines.as_flattened(), 0, &GATHERED_OFFSETS[..offsets.len()], panel);
        }
    }
}
