//! Rescaling of sums of 32 bits, eight lanes at a time.

use core::arch::x86_64::*;

use super::super::{Channel, HighWord, Lanes, Target, WIDE};

/// Any parameters of 8 lanes, the even and odd ones apart as 64-bit lanes.
#[derive(Clone, Copy)]
pub(super) struct Any {
    bias: __m256i,
    /// Low halves count.
    multiplier: [__m256i; 2],
    shift: [__m256i; 2],
    /// `2^62 + r`: makes the product non-negative, so that a logical shift rounds down.
    lift: [__m256i; 2],
    /// `2^62 >> shift`, taken off again; exact, as shifts are at most 62.
    drop: [__m256i; 2],
    /// Whether no lane can leave 32 bits before it is clamped: sums are below 2^31, and no multiplier is above `2^shift`.
    shrinks: bool,
}

/// Parameters of 8 lanes whose results are the high words of 64-bit products: the shift is 32 or more, or the multiplier, being below
/// half of `2^shift`, is multiplied by what is missing. The even and odd lanes apart.
#[derive(Clone, Copy)]
pub(super) struct High {
    /// Low halves count.
    multiplier: [__m256i; 2],
    /// `bias * multiplier + r`.
    addend: [__m256i; 2],
    /// What is left to shift, as 32-bit lanes.
    down: __m256i,
}

impl High {
    /// Of 32-bit lanes. None where a lane's result is not in the high word.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(bias: __m256i, multiplier: __m256i, shift: __m256i) -> Option<Self> {
        let all = _mm256_set1_epi32(32);
        // 2^(shift - 1), of shifts from 1 to 31.
        let half = _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(shift, _mm256_set1_epi32(1)));
        let below = _mm256_and_si256(
            _mm256_cmpgt_epi32(half, multiplier),
            _mm256_cmpgt_epi32(multiplier, _mm256_sub_epi32(_mm256_setzero_si256(), half)),
        );
        let long = _mm256_cmpgt_epi32(shift, _mm256_set1_epi32(31));
        let none = _mm256_cmpeq_epi32(multiplier, _mm256_setzero_si256());
        let suits = _mm256_or_si256(_mm256_or_si256(below, long), none);
        if _mm256_movemask_epi8(suits) != -1 {
            return None;
        }
        // Below 2^31 in magnitude: as the multiplier where nothing is missing, and below half of 2^32 else.
        let up = _mm256_max_epi32(_mm256_sub_epi32(all, shift), _mm256_setzero_si256());
        let multiplier = _mm256_sllv_epi32(multiplier, up);
        let down = _mm256_max_epi32(_mm256_sub_epi32(shift, all), _mm256_setzero_si256());
        let odd = |x| _mm256_srli_epi64::<32>(x);
        let addend = |bias, multiplier, down| {
            let half = _mm256_sllv_epi64(_mm256_set1_epi64x(1 << 31), down);
            _mm256_add_epi64(_mm256_mul_epi32(bias, multiplier), half)
        };
        let even = _mm256_and_si256(down, _mm256_set1_epi64x(0xffff_ffff));
        Some(High {
            multiplier: [multiplier, odd(multiplier)],
            addend: [
                addend(bias, multiplier, even),
                addend(odd(bias), odd(multiplier), odd(down)),
            ],
            down,
        })
    }

    #[target_feature(enable = "avx2")]
    pub fn of_lanes(lanes: &Lanes<i32>, first: usize) -> Option<Self> {
        let (bias, multiplier, shift) = (
            &lanes.bias[first..first + 8],
            &lanes.multiplier[first..first + 8],
            &lanes.shift[first..first + 8],
        );
        // SAFETY: 8 elements each.
        unsafe {
            High::new(
                _mm256_loadu_si256(bias.as_ptr().cast()),
                _mm256_loadu_si256(multiplier.as_ptr().cast()),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(shift.as_ptr().cast())),
            )
        }
    }

    /// The same for all lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn of_channel(channel: &HighWord) -> Self {
        High {
            multiplier: [_mm256_set1_epi32(channel.multiplier); 2],
            addend: [_mm256_set1_epi64x(channel.addend); 2],
            down: _mm256_set1_epi32(channel.down.into()),
        }
    }

    /// Eight lanes: `((acc + bias) * multiplier + r) >> shift`, which fits 32 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn apply(&self, acc: __m256i) -> __m256i {
        let sum = |acc, i: usize| _mm256_add_epi64(_mm256_mul_epi32(acc, self.multiplier[i]), self.addend[i]);
        let (even, odd) = (sum(acc, 0), sum(_mm256_srli_epi64::<32>(acc), 1));
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        _mm256_srav_epi32(high, self.down)
    }
}

/// The range that results are clamped to.
#[derive(Clone, Copy)]
pub(super) struct Range {
    /// As 32-bit lanes.
    narrow: [__m256i; 2],
    /// As 64-bit lanes.
    wide: [__m256i; 2],
}

impl Range {
    #[target_feature(enable = "avx2")]
    pub fn new(low: i32, high: i32) -> Self {
        Range {
            narrow: [low, high].map(|v| _mm256_set1_epi32(v)),
            wide: [low, high].map(|v| _mm256_set1_epi64x(v.into())),
        }
    }
}

/// Whether a sum below 2^31 stays so.
fn shrinks(multiplier: i32, shift: u8) -> bool {
    u64::from(multiplier.unsigned_abs()) <= 1 << (shift & 63)
}

impl Any {
    #[target_feature(enable = "avx2")]
    pub fn of_lanes(lanes: &Lanes<i32>, first: usize) -> Self {
        let b = |i: usize| lanes.bias[first + i];
        let of = |odd: usize| {
            let m = |i: usize| i64::from(lanes.multiplier[first + 2 * i + odd]);
            let s = |i: usize| i64::from(lanes.shift[first + 2 * i + odd]);
            (
                _mm256_setr_epi64x(m(0), m(1), m(2), m(3)),
                _mm256_setr_epi64x(s(0), s(1), s(2), s(3)),
            )
        };
        let (even, odd) = (of(0), of(1));
        let all = lanes.multiplier[first..first + 8].iter().zip(&lanes.shift[first..]);
        Any::of(
            _mm256_setr_epi32(b(0), b(1), b(2), b(3), b(4), b(5), b(6), b(7)),
            [even.0, odd.0],
            [even.1, odd.1],
            all.fold(true, |all, (m, s)| all & shrinks(*m, *s)),
        )
    }

    /// The same for all lanes.
    #[target_feature(enable = "avx2")]
    pub fn of_channel(channel: &Channel<i32>) -> Self {
        Any::of(
            _mm256_set1_epi32(channel.bias),
            [_mm256_set1_epi64x(channel.multiplier.into()); 2],
            [_mm256_set1_epi64x(channel.shift.into()); 2],
            shrinks(channel.multiplier, channel.shift),
        )
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(bias: __m256i, multiplier: [__m256i; 2], shift: [__m256i; 2], shrinks: bool) -> Self {
        let one = _mm256_set1_epi64x(1);
        let top = _mm256_set1_epi64x(1 << 62);
        let lift = |shift: __m256i| _mm256_add_epi64(top, _mm256_srli_epi64::<1>(_mm256_sllv_epi64(one, shift)));
        Any {
            bias,
            multiplier,
            shift,
            lift: [lift(shift[0]), lift(shift[1])],
            drop: [_mm256_srlv_epi64(top, shift[0]), _mm256_srlv_epi64(top, shift[1])],
            shrinks,
        }
    }

    /// Eight lanes: `clamp(((acc + bias) * multiplier + r) >> shift, low, high)`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn apply(&self, acc: __m256i, range: &Range) -> __m256i {
        let acc = _mm256_add_epi32(acc, self.bias);
        let half = |acc: __m256i, odd: usize| {
            let product = _mm256_mul_epi32(acc, self.multiplier[odd]);
            let lifted = _mm256_srlv_epi64(_mm256_add_epi64(product, self.lift[odd]), self.shift[odd]);
            _mm256_sub_epi64(lifted, self.drop[odd])
        };
        let (even, odd) = (half(acc, 0), half(_mm256_srli_epi64::<32>(acc), 1));
        let join = |even: __m256i, odd: __m256i| _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
        if self.shrinks {
            let [low, high] = range.narrow;
            return _mm256_max_epi32(_mm256_min_epi32(join(even, odd), high), low);
        }
        let [low, high] = range.wide;
        let clamp = |y: __m256i| {
            let y = _mm256_blendv_epi8(y, high, _mm256_cmpgt_epi64(y, high));
            _mm256_blendv_epi8(y, low, _mm256_cmpgt_epi64(low, y))
        };
        join(clamp(even), clamp(odd))
    }
}

/// Changes eight elements in place.
#[inline]
#[target_feature(enable = "avx2")]
fn change(eight: &mut [i32], f: impl Fn(__m256i) -> __m256i) {
    assert_eq!(eight.len(), 8);
    let at = eight.as_mut_ptr().cast::<__m256i>();
    // SAFETY: 8 elements.
    unsafe { _mm256_storeu_si256(at, f(_mm256_loadu_si256(at))) };
}

/// Panels of rows of 16 columns.
#[target_feature(enable = "avx2")]
pub(super) fn rescale_columns(acc: &mut [i32], lanes: &[Lanes<i32>], low: i32, high: i32) {
    let range = Range::new(low, high);
    let panel = acc.len() / lanes.len().max(1);
    for (panel, lanes) in acc.chunks_exact_mut(panel.max(1)).zip(lanes) {
        let vectors = [Any::of_lanes(lanes, 0), Any::of_lanes(lanes, 8)];
        for row in panel.chunks_exact_mut(WIDE) {
            for (eight, vectors) in row.chunks_exact_mut(8).zip(&vectors) {
                change(eight, |acc| vectors.apply(acc, &range));
            }
        }
    }
}

/// The same with a channel for each row.
#[target_feature(enable = "avx2")]
pub(super) fn rescale_rows(acc: &mut [i32], channels: &[Channel<i32>], low: i32, high: i32) {
    let range = Range::new(low, high);
    for (r, channel) in channels.iter().enumerate() {
        let vectors = Any::of_channel(channel);
        for panel in acc.chunks_exact_mut(channels.len() * WIDE) {
            for eight in panel[r * WIDE..(r + 1) * WIDE].chunks_exact_mut(8) {
                change(eight, |acc| vectors.apply(acc, &range));
            }
        }
    }
}

/// Panels of rows of 16 columns, stored.
#[target_feature(enable = "avx2")]
pub(super) fn rescale_columns_to(sums: &[i32], lanes: &[Lanes<i32>], low: i32, high: i32, target: Target<'_>) {
    let range = Range::new(low, high);
    let panel = (sums.len() / lanes.len().max(1)).max(1);
    let store = Store::new(target, panel / WIDE, lanes.len(), low, high);
    for (p, (panel, lanes)) in sums.chunks_exact(panel).zip(lanes).enumerate() {
        match [High::of_lanes(lanes, 0), High::of_lanes(lanes, 8)] {
            [Some(first), Some(second)] => rows_of(panel, |r, [a, b]| {
                // SAFETY: as many rows and panels as were announced.
                unsafe { store.row(p, r, first.apply(a), second.apply(b)) }
            }),
            _ => {
                let (first, second) = (Any::of_lanes(lanes, 0), Any::of_lanes(lanes, 8));
                rows_of(panel, |r, [a, b]| {
                    // SAFETY: as above.
                    unsafe { store.row(p, r, first.apply(a, &range), second.apply(b, &range)) }
                });
            }
        }
    }
}

/// Calls `each` with the number and the elements of every row of 16 columns.
#[inline]
#[target_feature(enable = "avx2")]
fn rows_of(panel: &[i32], each: impl Fn(usize, [__m256i; 2])) {
    for (r, row) in panel.chunks_exact(WIDE).enumerate() {
        // SAFETY: 16 elements.
        each(r, unsafe { sixteen(row.as_ptr()) });
    }
}

/// # Safety
/// AVX2; `row` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sixteen(row: *const i32) -> [__m256i; 2] {
    [_mm256_loadu_si256(row.cast()), _mm256_loadu_si256(row.add(8).cast())]
}

/// The same with a channel for each row.
#[target_feature(enable = "avx2")]
pub(super) fn rescale_rows_to(sums: &[i32], channels: &[Channel<i32>], low: i32, high: i32, target: Target<'_>) {
    let range = Range::new(low, high);
    let panel = (channels.len() * WIDE).max(1);
    let panels = sums.len() / panel;
    let store = Store::new(target, channels.len(), panels, low, high);
    for (r, channel) in channels.iter().enumerate() {
        let row = |p: usize| sums[p * panel + r * WIDE..][..WIDE].as_ptr();
        match &channel.high {
            Some(high) => {
                let vectors = High::of_channel(high);
                for p in 0..panels {
                    // SAFETY: 16 elements; as many rows and panels as were announced.
                    unsafe {
                        let [a, b] = sixteen(row(p));
                        store.row(p, r, vectors.apply(a), vectors.apply(b));
                    }
                }
            }
            None => {
                let vectors = Any::of_channel(channel);
                for p in 0..panels {
                    // SAFETY: as above.
                    unsafe {
                        let [a, b] = sixteen(row(p));
                        store.row(p, r, vectors.apply(a, &range), vectors.apply(b, &range));
                    }
                }
            }
        }
    }
}

/// Stores rows of 16 columns of panels, clamped.
struct Store {
    out: *mut i16,
    stride: usize,
    columns: usize,
    range: [__m256i; 2],
}

impl Store {
    /// Panics unless the target holds so many rows of its columns, and the panels all of them.
    #[target_feature(enable = "avx2")]
    fn new(target: Target<'_>, rows: usize, panels: usize, low: i32, high: i32) -> Self {
        let Target { out, stride, columns } = target;
        assert!(columns <= panels * WIDE && (panels == 0 || columns > (panels - 1) * WIDE));
        assert!(rows == 0 || (rows - 1) * stride + columns <= out.len());
        Store {
            out: out.as_mut_ptr(),
            stride,
            columns,
            range: range_of_16(low, high),
        }
    }

    /// # Safety
    /// AVX2; panel and row are among those announced.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn row(&self, panel: usize, row: usize, first: __m256i, second: __m256i) {
        let sixteen = _mm256_permute4x64_epi64::<0b11_01_10_00>(narrow(first, second, self.range));
        let from = panel.wrapping_mul(WIDE);
        let out = self.out.add(row.wrapping_mul(self.stride).wrapping_add(from));
        match self.columns.wrapping_sub(from) {
            WIDE.. => _mm256_storeu_si256(out.cast(), sixteen),
            count => store_some(sixteen, count, out),
        }
    }
}

/// A range of elements that fit 16 bits; its ends may lie beyond.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn range_of_16(low: i32, high: i32) -> [__m256i; 2] {
    [low, high].map(|v| _mm256_set1_epi16(v.clamp(i16::MIN.into(), i16::MAX.into()) as i16))
}

/// Elements of 16 bits, clamped: fours of the first and the second in turn.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn narrow(first: __m256i, second: __m256i, [low, high]: [__m256i; 2]) -> __m256i {
    _mm256_max_epi16(_mm256_min_epi16(_mm256_packs_epi32(first, second), high), low)
}

/// Stores less than 16 elements.
///
/// # Safety
/// AVX2; `out` is writable for `count` elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_some(sixteen: __m256i, count: usize, out: *mut i16) {
    let (mut rest, mut out) = (_mm256_castsi256_si128(sixteen), out);
    if count & 8 != 0 {
        _mm_storeu_si128(out.cast(), rest);
        (rest, out) = (_mm256_extracti128_si256::<1>(sixteen), out.add(8));
    }
    if count & 4 != 0 {
        _mm_storel_epi64(out.cast(), rest);
        (rest, out) = (_mm_srli_si128::<8>(rest), out.add(4));
    }
    if count & 2 != 0 {
        out.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(rest));
        (rest, out) = (_mm_srli_si128::<4>(rest), out.add(2));
    }
    if count & 1 != 0 {
        *out = _mm_cvtsi128_si32(rest) as i16;
    }
}
