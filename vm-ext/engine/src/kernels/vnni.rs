//! AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte to each lane of 32 bits, without
//! saturating. Activations become unsigned bytes: those of 8 bits by adding 128 where they have a sign, those of 16 as a low
//! byte and a high one plus 128; what this adds to a sum is known from the sum of its weights and taken off again, modulo
//! 2^32, in which the result fits (the caller's certificate).
//!
//! As in [`super::avx512`], every function checks its slices before it takes pointers into them, and the set is handed out only
//! where the machine has what it needs.

use core::arch::x86_64::*;

use super::ahead::Ahead;
use super::{avx512, Bytes, Kernels, PanelsOf8, RowsOf8, Width, QUAD, WIDE};

/// The set, where the machine has AVX-512 (F, BW, DQ and VL) and VNNI.
pub(super) fn kernels() -> Option<Kernels> {
    // Leaf 7 exists: features of AVX-512 are told there.
    let vnni = || __cpuid_count(7, 0).ecx & (1 << 11) != 0;
    avx512::kernels().is_some_and(|_| vnni()).then_some(KERNELS)
}

const KERNELS: Kernels = Kernels {
    name: "avx512vnni",
    bytes: Bytes {
        pack_rows,
        columns,
        pack_pixels,
        rows,
        ..avx512::KERNELS.bytes
    },
    words: avx512::VNNI_WORDS,
    depthwise: avx512::VNNI_DEPTHWISE,
    ..avx512::KERNELS
};

/// How many bytes an activation takes.
fn planes(width: Width) -> usize {
    match width {
        Width::I8 | Width::U8 => 1,
        Width::I16 => 2,
    }
}

/// What a sum has too much for each unit of its weights.
fn excess(width: Width) -> i32 {
    match width {
        Width::I8 => 128,
        Width::U8 => 0,
        Width::I16 => 128 << 8,
    }
}

/// What makes the lowest (or only) byte of an activation unsigned.
fn flip(width: Width) -> u16 {
    match width {
        Width::I8 => 0x80,
        Width::U8 => 0,
        Width::I16 => 0x8000,
    }
}

/// A quad of a row: a word of low bytes and, of 16 bits, one of high bytes.
fn pack_rows(x: &[i16], stride: usize, rows: usize, k: usize, width: Width, words: &mut [i32]) {
    let planes = planes(width);
    let row_words = k.div_ceil(QUAD) * planes;
    for (r, words) in words.chunks_exact_mut(row_words).take(rows).enumerate() {
        let row = &x[r * stride..r * stride + k];
        // SAFETY: the machine has AVX-512; the row of words holds all quads of k.
        unsafe { pack_row(row, planes, flip(width), words.as_mut_ptr()) };
    }
}

/// # Safety
/// AVX-512; `words` is writable for `planes` words for every quad of x.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn pack_row(x: &[i16], planes: usize, flip: u16, mut words: *mut i32) {
    let flip = _mm512_set1_epi16(flip as i16);
    // Words in turn: l0 h0 l1 h1 ..
    let order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    let bytes = |x: __m512i| {
        let x = _mm512_xor_si512(x, flip);
        let low = _mm512_cvtepi16_epi8(x);
        if planes == 1 {
            return _mm512_castsi256_si512(low);
        }
        let high = _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(x));
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        _mm512_permutexvar_epi32(order, both)
    };
    let chunks = x.chunks_exact(32);
    let rest = chunks.remainder();
    for x in chunks {
        let packed = bytes(_mm512_loadu_si512(x.as_ptr().cast()));
        match planes {
            1 => _mm256_storeu_si256(words.cast(), _mm512_castsi512_si256(packed)),
            _ => _mm512_storeu_si512(words.cast(), packed),
        }
        words = words.add(32 / QUAD * planes);
    }
    if !rest.is_empty() {
        // Whole words: those that begin within k.
        let packed = bytes(_mm512_maskz_loadu_epi16(u32::MAX >> (32 - rest.len()), rest.as_ptr()));
        let mask = u16::MAX >> (16 - rest.len().div_ceil(QUAD) * planes);
        _mm512_mask_storeu_epi32(words, mask, packed);
    }
}

/// A quad of 16 pixels: 16 words of low bytes and, of 16 bits, 16 of high bytes.
fn pack_pixels(source: &[i16], start: usize, offsets: &[i32], width: Width, from: usize, words: &mut [i32]) {
    let planes = planes(width);
    let furthest = offsets.iter().copied().max().unwrap_or(0);
    let words = &mut words[from * planes * WIDE..];
    assert!(offsets.iter().all(|offset| *offset >= 0));
    assert!(source[start..].len() >= furthest as usize + WIDE);
    assert!(words.len() >= offsets.len().div_ceil(QUAD) * planes * WIDE);
    // SAFETY: the machine has AVX-512; the extents have just been measured.
    unsafe { pack_quads(source.as_ptr().add(start), offsets, width, words.as_mut_ptr()) };
}

/// # Safety
/// AVX-512; `source` is readable for 16 elements from every offset on, and `words` writable for 16 for every plane and quad.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn pack_quads(source: *const i16, offsets: &[i32], width: Width, mut words: *mut i32) {
    // Pixels' words of two bytes in turn: the first two taps, the other two.
    let order = _mm512_cvtepi8_epi16(_mm256_setr_epi8(
        0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46,
        15, 47,
    ));
    let join = |first: __m256i, second: __m256i, flip: i8| {
        let (first, second) = (_mm512_castsi256_si512(first), _mm512_castsi256_si512(second));
        let taps = _mm512_permutex2var_epi16(first, order, second);
        _mm512_xor_si512(taps, _mm512_set1_epi8(flip))
    };
    // Of two words, the low bytes (or the high ones) in one.
    let bytes = _mm256_set1_epi16(0xff);
    let low = |a, b| _mm256_ternarylogic_epi32::<0xca>(bytes, a, _mm256_slli_epi16::<8>(b));
    let high = |a, b| _mm256_ternarylogic_epi32::<0xca>(bytes, _mm256_srli_epi16::<8>(a), b);
    for quad in offsets.chunks(QUAD) {
        let mut x = [_mm256_setzero_si256(); QUAD];
        for (x, offset) in x.iter_mut().zip(quad) {
            *x = _mm256_loadu_si256(source.add(*offset as usize).cast());
        }
        let [a, b, c, d] = x;
        let flip = if width == Width::I8 { -128 } else { 0 };
        _mm512_storeu_si512(words.cast(), join(low(a, b), low(c, d), flip));
        words = words.add(WIDE);
        if width == Width::I16 {
            _mm512_storeu_si512(words.cast(), join(high(a, b), high(c, d), -128));
            words = words.add(WIDE);
        }
    }
}

/// Panels of weights are signed, activations broadcast.
fn columns(words: &[i32], rows: usize, quads: usize, width: Width, panels: PanelsOf8<'_>, out: &mut [i32]) {
    let planes = planes(width);
    let (panel, count) = (rows * WIDE, out.len() / (rows * WIDE).max(1));
    assert!(words.len() >= rows * quads * planes && panels.sums.len() >= count * WIDE);
    assert!(count == 0 || panels.data.len() >= (count - 1) * panels.stride + quads * QUAD * WIDE);
    let excess = excess(width).wrapping_neg();
    let mut p = 0;
    while p < count {
        // A single row reads the panels as one stream.
        let two = rows > 1 && count - p >= 2;
        // SAFETY: the machine has VNNI; what the tiles read and write of two panels, or one, has been measured.
        unsafe {
            let tiles = Tiles {
                quads,
                a: words.as_ptr().cast(),
                stride: quads * planes,
                b: panels.data.as_ptr().add(p * panels.stride).cast(),
                next: panels.stride / QUAD,
                columns: panels.sums.as_ptr().add(p * WIDE),
                rows: core::ptr::null(),
                excess,
                out: out.as_mut_ptr().add(p * panel),
                panel,
            };
            match (planes, two) {
                (1, true) => tiles.run::<2, 1, 1, true>(rows),
                (1, false) => tiles.run::<1, 1, 1, true>(rows),
                (_, true) => tiles.run::<2, 2, 1, true>(rows),
                (_, false) => tiles.run::<1, 2, 1, true>(rows),
            }
        }
        p += if two { 2 } else { 1 };
    }
}

/// Pixels are unsigned, weights broadcast.
fn rows(weights: RowsOf8<'_>, pixels: &[i32], stride: usize, quads: usize, width: Width, out: &mut [i32]) {
    let planes = planes(width);
    let rows = weights.sums.len();
    let (panel, count) = (rows * WIDE, out.len() / (rows * WIDE).max(1));
    assert!(weights.stride.is_multiple_of(QUAD));
    assert!(rows == 0 || weights.data.len() >= (rows - 1) * weights.stride + quads * QUAD);
    assert!(count == 0 || pixels.len() >= (count - 1) * stride + quads * planes * WIDE);
    let excess = excess(width).wrapping_neg();
    let mut p = 0;
    while p < count {
        let two = count - p >= 2;
        // SAFETY: as above.
        unsafe {
            let tiles = Tiles {
                quads,
                a: weights.data.as_ptr().cast(),
                stride: weights.stride / QUAD,
                b: pixels.as_ptr().add(p * stride),
                next: stride,
                columns: core::ptr::null(),
                rows: weights.sums.as_ptr(),
                excess,
                out: out.as_mut_ptr().add(p * panel),
                panel,
            };
            match (planes, two) {
                (1, true) => tiles.run::<2, 1, 1, false>(rows),
                (1, false) => tiles.run::<1, 1, 1, false>(rows),
                (_, true) => tiles.run::<2, 1, 2, false>(rows),
                (_, false) => tiles.run::<1, 1, 2, false>(rows),
            }
        }
        p += if two { 2 } else { 1 };
    }
}

/// Rows of quads, broadcast, against one or two panels of 16 columns of quads. All in words.
struct Tiles {
    quads: usize,
    a: *const i32,
    /// From row to row.
    stride: usize,
    b: *const i32,
    /// From panel to panel.
    next: usize,
    /// Sums of the weights of each column, or of each row.
    columns: *const i32,
    rows: *const i32,
    /// What is added for each unit of these sums.
    excess: i32,
    out: *mut i32,
    /// From panel to panel.
    panel: usize,
}

impl Tiles {
    /// P panels, A bytes of an element of a row and B of one of a column; SIGNED columns and unsigned rows, or the other way
    /// round.
    ///
    /// # Safety
    /// VNNI. `a` is readable for A words a quad at each of the rows, `b` for B times 16 a quad of each panel, `out` writable for
    /// `rows` times 16 of each panel; `columns` (if SIGNED) is readable for 16 elements for each panel, `rows` (if not) for one a row.
    unsafe fn run<const P: usize, const A: usize, const B: usize, const SIGNED: bool>(&self, rows: usize) {
        let mut r = 0;
        while r < rows {
            r += match (A * B, rows - r) {
                (1, 12..) => self.tile::<12, P, A, B, SIGNED, 1>(r),
                (1, 8..) => self.tile::<8, P, A, B, SIGNED, 1>(r),
                (_, 6..) => self.tile::<6, P, A, B, SIGNED, 1>(r),
                (_, 4..) => self.tile::<4, P, A, B, SIGNED, 1>(r),
                (_, 2..) => self.tile::<2, P, A, B, SIGNED, 2>(r),
                _ => self.tile::<1, P, A, B, SIGNED, 8>(r),
            };
        }
    }

    /// R rows from `first` on, summed in U parts: a single one would wait for its own last addition. Gives R.
    ///
    /// # Safety
    /// As for `run`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn tile<
        const R: usize,
        const P: usize,
        const A: usize,
        const B: usize,
        const SIGNED: bool,
        const U: usize,
    >(
        &self,
        first: usize,
    ) -> usize {
        let (mut a, mut b) = (self.a.add(first * self.stride), self.b);
        let mut sums = [[[[_mm512_setzero_si512(); P]; R]; 2]; U];
        // Weights are the columns where those are signed.
        let mut ahead = Ahead::<R, P>::new(self.b, self.next, first);
        for _ in 0..self.quads / U {
            for sums in &mut sums {
                step::<R, P, A, B, SIGNED>((a, self.stride), (b, self.next), sums);
                if SIGNED && P == 2 {
                    ahead.step();
                }
                (a, b) = (a.add(A), b.add(B * WIDE));
            }
        }
        let [total, others @ ..] = &mut sums[..] else {
            return R;
        };
        for _ in 0..self.quads % U {
            step::<R, P, A, B, SIGNED>((a, self.stride), (b, self.next), total);
            (a, b) = (a.add(A), b.add(B * WIDE));
        }
        let mut excess = [_mm512_setzero_si512(); P];
        if SIGNED {
            for (p, excess) in excess.iter_mut().enumerate() {
                let sums = _mm512_loadu_si512(self.columns.add(p * WIDE).cast());
                *excess = _mm512_mullo_epi32(sums, _mm512_set1_epi32(self.excess));
            }
        }
        for r in 0..R {
            for p in 0..P {
                let mut plane = [total[0][r][p], total[1][r][p]];
                for other in others.iter() {
                    plane[0] = _mm512_add_epi32(plane[0], other[0][r][p]);
                    if A * B > 1 {
                        plane[1] = _mm512_add_epi32(plane[1], other[1][r][p]);
                    }
                }
                let mut sum = plane[0];
                if A * B > 1 {
                    sum = _mm512_add_epi32(sum, _mm512_slli_epi32::<8>(plane[1]));
                }
                sum = _mm512_add_epi32(
                    sum,
                    match SIGNED {
                        true => excess[p],
                        false => _mm512_set1_epi32((*self.rows.add(first + r)).wrapping_mul(self.excess)),
                    },
                );
                _mm512_storeu_si512(self.out.add(p * self.panel + (first + r) * WIDE).cast(), sum);
            }
        }
        R
    }
}

/// One quad: sums of low bytes and of high ones. Rows and panels are some words apart.
///
/// # Safety
/// As for `Tiles::run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn step<const R: usize, const P: usize, const A: usize, const B: usize, const SIGNED: bool>(
    (a, stride): (*const i32, usize),
    (b, next): (*const i32, usize),
    sums: &mut [[[__m512i; P]; R]; 2],
) {
    let mut columns = [[_mm512_setzero_si512(); P]; B];
    for (plane, columns) in columns.iter_mut().enumerate() {
        for (p, columns) in columns.iter_mut().enumerate() {
            *columns = _mm512_loadu_si512(b.add(plane * WIDE).add(p.wrapping_mul(next)).cast());
        }
    }
    for r in 0..R {
        let row = a.add(r.wrapping_mul(stride));
        for plane in 0..A {
            let x = _mm512_set1_epi32(row.add(plane).read_unaligned());
            for (other, columns) in columns.iter().enumerate() {
                let sums = &mut sums[plane + other][r];
                for (sum, columns) in sums.iter_mut().zip(columns) {
                    *sum = match SIGNED {
                        true => _mm512_dpbusd_epi32(*sum, x, *columns),
                        false => _mm512_dpbusd_epi32(*sum, *columns, x),
                    };
                }
            }
        }
    }
}
