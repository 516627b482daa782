//! Convolutions: pixels of the result become the columns of a matrix product, sixteen at a time.

use alloc::vec::Vec;

use super::Scale;
use crate::infer::{ConvShape, Sums};
use crate::kernels::{Kernels, WIDE};
use crate::plan::Room;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// Output channels that go through a panel together.
pub(crate) const CHANNEL_BLOCK: usize = 48;

/// `y[b, o, i, j] = rescale(bias[o] + sum over c, u, v of w[o, c, u, v] * x[b, .., i * stride + u * dilation - pad, ..])`.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub shape: ConvShape,
    /// `[O, taps]`
    pub weights: Vec<i16>,
    pub scale: Scale,
    pub sums: Sums,
}

/// Scratch space: a padded image, where the taps lie in it, and a panel.
pub(crate) fn scratch(shape: &ConvShape, sums: Sums) -> Room {
    if sums == Sums::I64 {
        return Room::default();
    }
    let slide = &shape.slide;
    let image = (shape.in_channels / shape.groups) as u64 * slide.padded[0] as u64 * slide.padded[1] as u64;
    let padded = if slide.pads() { image } else { 0 };
    let taps = shape.taps as u64;
    Room {
        i16: padded + taps.next_multiple_of(2) * WIDE as u64,
        i32: taps,
        i64: 0,
    }
}

impl Conv {
    #[inline(never)]
    pub fn run(&self, x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch) {
        match (x, self.sums) {
            (View::I16(x), Sums::I32) => self.panels(x, None, out, kernels, scratch),
            (View::I16(x), Sums::Blocks(block)) => self.panels(x, Some(block as usize), out, kernels, scratch),
            (View::I16(x), Sums::I64) => self.wide(x, out),
            (View::I32(x), _) => self.wide(x, out),
        }
    }

    fn panels(&self, x: &[i16], block: Option<usize>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch) {
        let s = &self.shape;
        let slide = &s.slide;
        let per_group = s.in_channels / s.groups;
        let group_out = s.channels / s.groups;
        let image = slide.image[0] * slide.image[1];
        let pixels = slide.out[0] * slide.out[1];
        let padded_len = if slide.pads() {
            per_group * slide.padded[0] * slide.padded[1]
        } else {
            0
        };
        let panel_len = s.taps.next_multiple_of(2) * WIDE;
        let (padded, panel) = scratch.i16[..padded_len + panel_len].split_at_mut(padded_len);
        // Its border stays zero.
        padded.fill(0);
        let offsets = &mut scratch.i32[..s.taps];
        self.tap_offsets(offsets);
        for (index, x) in x.chunks_exact(per_group * image).enumerate() {
            // Groups of an image follow one another, in x as in y.
            let group = index % s.groups;
            let first = group * group_out;
            let weights = &self.weights[first * s.taps..(first + group_out) * s.taps];
            let base = index * group_out * pixels;
            let source = if slide.pads() {
                pad(x, slide, padded);
                &*padded
            } else {
                x
            };
            for from in (0..pixels).step_by(WIDE) {
                let count = WIDE.min(pixels - from);
                pack(source, slide, offsets, from, count, panel);
                for (chunk, weights) in weights.chunks(CHANNEL_BLOCK * s.taps).enumerate() {
                    let channel = first + chunk * CHANNEL_BLOCK;
                    let at = base + chunk * CHANNEL_BLOCK * pixels + from;
                    match block {
                        None => self.narrow(weights, channel, panel, at, count, out, kernels),
                        Some(block) => self.blocks(weights, channel, panel, block, at, count, out, kernels),
                    }
                }
            }
        }
    }

    /// Where each tap lies in the padded image relative to the window's first.
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

    /// Up to 48 channels of up to 16 pixels, sums in 32 bits.
    #[allow(clippy::too_many_arguments)]
    fn narrow(
        &self,
        weights: &[i16],
        channel: usize,
        panel: &[i16],
        at: usize,
        count: usize,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
    ) {
        let (taps, pixels) = (self.shape.taps, self.shape.slide.out[0] * self.shape.slide.out[1]);
        let (low, high) = (self.scale.rescale.low, self.scale.rescale.high);
        let rows = weights.len() / taps;
        let mut acc = [0i32; CHANNEL_BLOCK * WIDE];
        let acc = &mut acc[..rows * WIDE];
        (kernels.i16.wide)(weights, taps, rows, taps, panel, acc);
        for (r, acc) in acc.chunks_exact_mut(WIDE).enumerate() {
            (kernels.rescale_row)(acc, self.scale.narrow(channel + r), low, high);
            out.store(at + r * pixels, &acc[..count]);
        }
    }

    /// The same with sums of blocks in 64 bits.
    #[allow(clippy::too_many_arguments)]
    fn blocks(
        &self,
        weights: &[i16],
        channel: usize,
        panel: &[i16],
        block: usize,
        at: usize,
        count: usize,
        out: &mut ViewMut<'_>,
        kernels: &Kernels,
    ) {
        let (taps, pixels) = (self.shape.taps, self.shape.slide.out[0] * self.shape.slide.out[1]);
        let rows = weights.len() / taps;
        let mut sums = [0i64; CHANNEL_BLOCK * WIDE];
        let sums = &mut sums[..rows * WIDE];
        (kernels.i16.wide_blocks)(weights, taps, rows, taps, block, panel, sums);
        let mut row = [0i32; WIDE];
        for (r, sums) in sums.chunks_exact(WIDE).enumerate() {
            for (y, sum) in row.iter_mut().zip(sums) {
                *y = self.scale.apply(channel + r, *sum);
            }
            out.store(at + r * pixels, &row[..count]);
        }
    }

    /// Sums in 64 bits, tap by tap.
    fn wide<X: Copy + Into<i64>>(&self, x: &[X], out: &mut ViewMut<'_>) {
        let s = &self.shape;
        let slide = &s.slide;
        let (per_group, group_out) = (s.in_channels / s.groups, s.channels / s.groups);
        let [height, width] = slide.image;
        let mut at = 0;
        for batch in 0..s.batch {
            for (o, weights) in self.weights.chunks_exact(s.taps).enumerate() {
                let first = batch * s.in_channels + o / group_out * per_group;
                for i in 0..slide.out[0] {
                    let (u0, u1) = slide.inside(0, i);
                    for j in 0..slide.out[1] {
                        let (v0, v1) = slide.inside(1, j);
                        let mut sum = 0i64;
                        // A window may miss the image altogether: then it is all padding.
                        for c in (0..per_group).take_while(|_| u0 < u1 && v0 < v1) {
                            for u in u0..u1 {
                                let row = i * slide.strides[0] + u * slide.dilations[0] - slide.before[0];
                                let col = j * slide.strides[1] + v0 * slide.dilations[1] - slide.before[1];
                                let line = &x[((first + c) * height + row) * width + col..];
                                let taps = (c * slide.kernel[0] + u) * slide.kernel[1];
                                let weights = &weights[taps + v0..taps + v1];
                                for (w, x) in weights.iter().zip(line.iter().step_by(slide.dilations[1])) {
                                    // Every partial sum is below 2^46 (the certificate).
                                    sum = sum.wrapping_add((*x).into().wrapping_mul(i64::from(*w)));
                                }
                            }
                        }
                        out.store(at, &[self.scale.apply(o, sum)]);
                        at += 1;
                    }
                }
            }
        }
    }
}

/// Copies channels into the middle of zero-padded ones. The border of `padded` is zero already.
fn pad(x: &[i16], slide: &crate::shape::Slide, padded: &mut [i16]) {
    let [height, width] = slide.image;
    let [padded_h, padded_w] = slide.padded;
    for (x, padded) in x
        .chunks_exact(height * width)
        .zip(padded.chunks_exact_mut(padded_h * padded_w))
    {
        let rows = padded.chunks_exact_mut(padded_w).skip(slide.before[0]);
        for (x, row) in x.chunks_exact(width).zip(rows) {
            row[slide.before[1]..slide.before[1] + width].copy_from_slice(x);
        }
    }
}

/// The taps of `count` pixels from `from` on as a panel of 16 columns, taps in pairs.
fn pack(source: &[i16], slide: &crate::shape::Slide, offsets: &[i32], from: usize, count: usize, panel: &mut [i16]) {
    let out_w = slide.out[1];
    let place = |pixel: usize| pixel / out_w * slide.strides[0] * slide.padded[1] + pixel % out_w * slide.strides[1];
    let (row, end) = (from / out_w, (from + count - 1) / out_w);
    if count == WIDE && row == end && slide.strides[1] == 1 {
        let start = place(from);
        for (pair, panel) in offsets.chunks(2).zip(panel.chunks_exact_mut(2 * WIDE)) {
            let first = &source[start + pair[0] as usize..][..WIDE];
            let second = pair
                .get(1)
                .map_or(first, |offset| &source[start + *offset as usize..][..WIDE]);
            for ((both, a), b) in panel.chunks_exact_mut(2).zip(first).zip(second) {
                both[0] = *a;
                both[1] = *b;
            }
        }
        return;
    }
    // Lanes beyond `count` repeat the first pixel; their sums are not stored.
    let mut starts = [place(from); WIDE];
    for (c, start) in starts[..count].iter_mut().enumerate() {
        *start = place(from + c);
    }
    for (pair, panel) in offsets.chunks(2).zip(panel.chunks_exact_mut(2 * WIDE)) {
        for (half, offset) in pair.iter().enumerate() {
            for (c, start) in starts.iter().enumerate() {
                panel[2 * c + half] = source[start + *offset as usize];
            }
        }
    }
}
