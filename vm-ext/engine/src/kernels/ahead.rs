//! Bringing near the weights that come next. The last cache gives them more slowly than one tile uses them up, so every tile of a
//! block of rows asks for a part of the next two panels while it works on these two.

use core::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};

use super::WIDE;
use crate::ops::matmul::ROW_BLOCK;

/// Fewer rows than these in a tile leave no time for it.
const MANY: usize = 6;
/// Bytes that a step takes of a panel: a word of each of its columns.
const STEP: usize = WIDE * size_of::<i32>();

/// Where the part of a tile of R rows and P panels begins, or has been brought near up to.
#[derive(Clone, Copy)]
pub(super) struct Ahead<const R: usize, const P: usize>(*const u8);

impl<const R: usize, const P: usize> Ahead<R, P> {
    /// For a tile of the rows from `first` on against panels at `b`, of which the next one is `stride` elements away.
    #[inline(always)]
    pub fn new<T>(b: *const T, stride: usize, first: usize) -> Self {
        let panel = stride * size_of::<T>();
        Ahead(b.cast::<u8>().wrapping_add(2 * panel + P * panel / ROW_BLOCK * first))
    }

    /// As the tile takes a step. Nothing is read: what is asked for need not be there.
    #[inline(always)]
    pub fn step(&mut self) {
        if R >= MANY {
            // SAFETY: a prefetch touches no memory that the program sees, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.0.cast()) };
            self.0 = self.0.wrapping_add(P * STEP * R / ROW_BLOCK);
        }
    }
}
