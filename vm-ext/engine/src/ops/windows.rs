//! Convolutions whose images have few pixels: windows become the rows of a matrix product and output channels its columns, so that
//! no lane is idle; rows of all images go together.

use super::matmul::{self, MatMul, ROW_BLOCK};
use crate::infer::{ConvShape, Storage, Sums};
use crate::kernels::pack::Split;
use crate::kernels::{Kernels, WIDE};
use crate::plan::Room;
use crate::shape::Slide;
use crate::tensor::{View, ViewMut};
use crate::workspace::Scratch;

/// A convolution as the product of windows and weights.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    shape: ConvShape,
    product: MatMul,
}

/// Whether a vector has more lanes than an image pixels, and enough channels to fill it instead.
pub(crate) fn few_pixels(shape: &ConvShape, sums: Sums) -> bool {
    sums != Sums::I64 && shape.groups == 1 && shape.channels >= WIDE && shape.slide.out[0] * shape.slide.out[1] < WIDE
}

/// Windows of all images.
pub(crate) fn rows(shape: &ConvShape) -> u64 {
    // Fewer elements than the result has.
    (shape.batch * shape.slide.out[0] * shape.slide.out[1]) as u64
}

/// Whether each window is all of an image, which is then read where it is.
pub(crate) fn whole(slide: &Slide) -> bool {
    !slide.pads() && slide.kernel == slide.image
}

/// Scratch space: windows, a result of as many rows, and what their product takes.
pub(crate) fn scratch(shape: &ConvShape, narrow: bool, sums: Sums, out: Storage) -> Room {
    let (rows, taps) = (rows(shape), shape.taps as u64);
    let block = rows.min(ROW_BLOCK as u64);
    let windows = if whole(&shape.slide) { 0 } else { block * taps };
    let results = block * shape.channels as u64;
    let (short, long) = match out {
        Storage::I16 => (results, 0),
        Storage::I32 => (0, results),
    };
    let product = matmul::scratch(rows, taps, Split::new(shape.channels), narrow, sums);
    Room {
        i16: windows + short,
        i32: product.i32 + long,
        ..product
    }
}

impl Windows {
    /// Of a product with `[channels, taps]` weights.
    pub fn new(shape: ConvShape, product: MatMul) -> Self {
        Windows { shape, product }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.product.bytes()
    }

    #[inline(never)]
    pub fn run(&self, x: View<'_>, out: &mut ViewMut<'_>, kernels: &Kernels, scratch: &mut Scratch<'_>) {
        // Sums in 64 bits, which other operands take, are not taken this way.
        let View::I16(x) = x else {
            debug_assert!(false, "an operand of 16 bits");
            return;
        };
        let (taps, channels) = (self.shape.taps, self.shape.channels);
        let (rows, whole) = (rows(&self.shape) as usize, whole(&self.shape.slide));
        let block = rows.min(ROW_BLOCK);
        let (windows, short) = scratch.i16.split_at_mut(if whole { 0 } else { block * taps });
        for first in (0..rows).step_by(block) {
            let count = block.min(rows - first);
            let windows = match whole {
                true => &x[first * taps..][..count * taps],
                false => {
                    let windows = &mut windows[..count * taps];
                    for (i, window) in windows.chunks_exact_mut(taps).enumerate() {
                        self.copy(x, first + i, window);
                    }
                    &*windows
                }
            };
            let results = count * channels;
            match out {
                ViewMut::I16(out) => {
                    let results = &mut short[..results];
                    let (i32, i64) = (&mut *scratch.i32, &mut *scratch.i64);
                    self.multiply(windows, ViewMut::I16(results), kernels, i32, i64);
                    self.transpose(results, first, out);
                }
                ViewMut::I32(out) => {
                    let (results, i32) = scratch.i32.split_at_mut(results);
                    self.multiply(windows, ViewMut::I32(results), kernels, i32, scratch.i64);
                    self.transpose(results, first, out);
                }
            }
        }
    }

    fn multiply(&self, windows: &[i16], mut results: ViewMut<'_>, kernels: &Kernels, i32: &mut [i32], i64: &mut [i64]) {
        let mut scratch = Scratch { i16: &mut [], i32, i64 };
        self.product
            .run(View::I16(windows), &mut results, kernels, &mut scratch);
    }

    /// Rows of channels, the first that of pixel `first` of all images, become images of channels.
    fn transpose<T: Copy>(&self, rows: &[T], first: usize, out: &mut [T]) {
        let (channels, pixels) = (self.shape.channels, self.shape.slide.out[0] * self.shape.slide.out[1]);
        for (r, row) in rows.chunks_exact(channels).enumerate() {
            let (image, pixel) = ((first + r) / pixels, (first + r) % pixels);
            let out = &mut out[image * channels * pixels..][..channels * pixels];
            for (y, value) in out[pixel..].iter_mut().step_by(pixels).zip(row) {
                *y = *value;
            }
        }
    }

    /// The window of one pixel of all images, zeros where it lies outside its image.
    #[inline(never)]
    fn copy(&self, x: &[i16], index: usize, window: &mut [i16]) {
        let (shape, slide) = (&self.shape, &self.shape.slide);
        let ([height, width], [kernel_h, kernel_w]) = (slide.image, slide.kernel);
        let [out_h, out_w] = slide.out;
        let (image, i, j) = (index / out_w / out_h, index / out_w % out_h, index % out_w);
        let ((u0, u1), (v0, v1)) = (slide.inside(0, i), slide.inside(1, j));
        if (u0, u1, v0, v1) != (0, kernel_h, 0, kernel_w) {
            window.fill(0);
            // It may miss the image altogether.
            if u0 >= u1 || v0 >= v1 {
                return;
            }
        }
        let row = i * slide.strides[0] + u0 * slide.dilations[0] - slide.before[0];
        let column = j * slide.strides[1] + v0 * slide.dilations[1] - slide.before[1];
        let start = row * width + column;
        // Where it is larger than 32-bit machines can count, there is no other row.
        let (down, across) = (slide.dilations[0].wrapping_mul(width), slide.dilations[1]);
        let image = &x[image * shape.in_channels * height * width..][..shape.in_channels * height * width];
        if kernel_h * kernel_w == 1 {
            for (y, x) in window.iter_mut().zip(image[start..].iter().step_by(height * width)) {
                *y = *x;
            }
            return;
        }
        let channels = image.chunks_exact(height * width);
        for (x, window) in channels.zip(window.chunks_exact_mut(kernel_h * kernel_w)) {
            let lines = window.chunks_exact_mut(kernel_w).take(u1).skip(u0);
            for (u, line) in lines.enumerate() {
                let x = x[start + u * down..].iter().step_by(across);
                for (y, x) in line[v0..v1].iter_mut().zip(x) {
                    *y = *x;
                }
            }
        }
    }
}
