//! Rescaling of sums of 32 bits, sixteen lanes at a time.

use core::arch::x86_64::*;

use super::super::{Channel, Lanes, Target, WIDE};

/// Any parameters of 16 lanes, the even and odd ones apart as 64-bit lanes.
#[derive(Clone, Copy)]
pub(super) struct Any {
    bias: __m512i,
    /// Low halves count.
    multiplier: [__m512i; 2],
    shift: [__m512i; 2],
    /// `r` of the formula.
    half: [__m512i; 2],
}

impl Any {
    /// From 32-bit lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn new(bias: __m512i, multiplier: __m512i, shift: __m512i) -> Self {
        let low = _mm512_and_si512(shift, _mm512_set1_epi64(0xffff_ffff));
        let shift = [low, _mm512_srli_epi64::<32>(shift)];
        let half = |shift| _mm512_srli_epi64::<1>(_mm512_sllv_epi64(_mm512_set1_epi64(1), shift));
        Any {
            bias,
            multiplier: [multiplier, _mm512_srli_epi64::<32>(multiplier)],
            shift,
            half: [half(shift[0]), half(shift[1])],
        }
    }

    /// Sixteen lanes: `clamp(((acc + bias) * multiplier + r) >> shift, low, high)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn apply(&self, acc: __m512i, low: __m512i, high: __m512i) -> __m512i {
        let acc = _mm512_add_epi32(acc, self.bias);
        let rescaled = |acc: __m512i, odd: usize| {
            let product = _mm512_mul_epi32(acc, self.multiplier[odd]);
            let y = _mm512_srav_epi64(_mm512_add_epi64(product, self.half[odd]), self.shift[odd]);
            _mm512_max_epi64(_mm512_min_epi64(y, high), low)
        };
        let even = rescaled(acc, 0);
        let odd = rescaled(_mm512_srli_epi64::<32>(acc), 1);
        _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, _mm512_slli_epi64::<32>(odd))
    }
}

/// Parameters of 16 lanes whose results are the high words of 64-bit products: the shift is 32 or more, or the multiplier, being
/// below half of `2^shift`, is multiplied by what is missing. The even and odd lanes apart.
#[derive(Clone, Copy)]
pub(super) struct High {
    /// Low halves count.
    multiplier: [__m512i; 2],
    /// `bias * multiplier + r`.
    addend: [__m512i; 2],
    /// What is left to shift, as 32-bit lanes.
    down: __m512i,
}

impl High {
    /// Of 32-bit lanes. None where a lane's result is not in the high word.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn new(bias: __m512i, multiplier: __m512i, shift: __m512i) -> Option<Self> {
        let all = _mm512_set1_epi32(32);
        // 2^(shift - 1), of shifts from 1 to 31.
        let half = _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_sub_epi32(shift, _mm512_set1_epi32(1)));
        let below = _mm512_cmpgt_epi32_mask(half, multiplier)
            & _mm512_cmpgt_epi32_mask(multiplier, _mm512_sub_epi32(_mm512_setzero_si512(), half));
        let long = _mm512_cmpgt_epi32_mask(shift, _mm512_set1_epi32(31));
        let none = _mm512_testn_epi32_mask(multiplier, multiplier);
        if below | long | none != u16::MAX {
            return None;
        }
        // Below 2^31 in magnitude: as the multiplier where nothing is missing, and below half of 2^32 else.
        let zero = _mm512_setzero_si512();
        let multiplier = _mm512_sllv_epi32(multiplier, _mm512_max_epi32(_mm512_sub_epi32(all, shift), zero));
        let down = _mm512_max_epi32(_mm512_sub_epi32(shift, all), zero);
        let odd = |x| _mm512_srli_epi64::<32>(x);
        let addend = |bias, multiplier, down| {
            let half = _mm512_sllv_epi64(_mm512_set1_epi64(1 << 31), down);
            _mm512_add_epi64(_mm512_mul_epi32(bias, multiplier), half)
        };
        let even = _mm512_and_si512(down, _mm512_set1_epi64(0xffff_ffff));
        Some(High {
            multiplier: [multiplier, odd(multiplier)],
            addend: [
                addend(bias, multiplier, even),
                addend(odd(bias), odd(multiplier), odd(down)),
            ],
            down,
        })
    }

    /// Sixteen lanes: `((acc + bias) * multiplier + r) >> shift`, which fits 32 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn apply(&self, acc: __m512i) -> __m512i {
        let sum = |acc, i: usize| _mm512_add_epi64(_mm512_mul_epi32(acc, self.multiplier[i]), self.addend[i]);
        let (even, odd) = (sum(acc, 0), sum(_mm512_srli_epi64::<32>(acc), 1));
        let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0b0101_0101_0101_0101, even);
        _mm512_srav_epi32(high, self.down)
    }
}

/// What 16 lanes go through.
pub(super) enum Parameters {
    High(High),
    Any(Any),
}

impl Parameters {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn of_lanes(lanes: &Lanes<i32>) -> Self {
        // SAFETY: each list has 16 elements.
        let (bias, multiplier, shift) = unsafe {
            (
                _mm512_loadu_si512(lanes.bias.as_ptr().cast()),
                _mm512_loadu_si512(lanes.multiplier.as_ptr().cast()),
                _mm512_cvtepu8_epi32(_mm_loadu_si128(lanes.shift.as_ptr().cast())),
            )
        };
        Parameters::new(bias, multiplier, shift)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub fn of_channel(channel: &Channel<i32>) -> Self {
        match &channel.high {
            Some(high) => Parameters::High(High {
                multiplier: [_mm512_set1_epi32(high.multiplier); 2],
                addend: [_mm512_set1_epi64(high.addend); 2],
                down: _mm512_set1_epi32(high.down.into()),
            }),
            None => Parameters::Any(Any::new(
                _mm512_set1_epi32(channel.bias),
                _mm512_set1_epi32(channel.multiplier),
                _mm512_set1_epi32(channel.shift.into()),
            )),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn new(bias: __m512i, multiplier: __m512i, shift: __m512i) -> Self {
        match High::new(bias, multiplier, shift) {
            Some(high) => Parameters::High(high),
            None => Parameters::Any(Any::new(bias, multiplier, shift)),
        }
    }

    /// Changes every sixteen of some elements, clamped.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn change<'a>(&self, low: i32, high: i32, sixteens: impl Iterator<Item = &'a mut [i32]>) {
        match self {
            Parameters::High(vectors) => {
                let (low, high) = (_mm512_set1_epi32(low), _mm512_set1_epi32(high));
                sixteens.for_each(|acc| {
                    change(acc, |acc| {
                        _mm512_max_epi32(_mm512_min_epi32(vectors.apply(acc), high), low)
                    });
                });
            }
            Parameters::Any(vectors) => {
                let (low, high) = (_mm512_set1_epi64(low.into()), _mm512_set1_epi64(high.into()));
                sixteens.for_each(|acc| change(acc, |acc| vectors.apply(acc, low, high)));
            }
        }
    }
}

/// Changes sixteen elements in place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn change(sixteen: &mut [i32], f: impl Fn(__m512i) -> __m512i) {
    assert_eq!(sixteen.len(), WIDE);
    let at = sixteen.as_mut_ptr();
    // SAFETY: 16 elements.
    unsafe { _mm512_storeu_si512(at.cast(), f(_mm512_loadu_si512(at.cast()))) };
}

/// Panels of rows of 16 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn rescale_columns(acc: &mut [i32], lanes: &[Lanes<i32>], low: i32, high: i32) {
    let panel = acc.len() / lanes.len().max(1);
    for (panel, lanes) in acc.chunks_exact_mut(panel.max(1)).zip(lanes) {
        Parameters::of_lanes(lanes).change(low, high, panel.chunks_exact_mut(WIDE));
    }
}

/// The same with a channel for each row.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn rescale_rows(acc: &mut [i32], channels: &[Channel<i32>], low: i32, high: i32) {
    for (r, channel) in channels.iter().enumerate() {
        let rows = acc.chunks_exact_mut(channels.len() * WIDE);
        Parameters::of_channel(channel).change(low, high, rows.map(|panel| &mut panel[r * WIDE..(r + 1) * WIDE]));
    }
}

/// Panels of rows of 16 columns, stored.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn rescale_columns_to(sums: &[i32], lanes: &[Lanes<i32>], low: i32, high: i32, target: Target<'_>) {
    let panel = (sums.len() / lanes.len().max(1)).max(1);
    let store = Store::new(target, panel / WIDE, lanes.len());
    for (p, (panel, lanes)) in sums.chunks_exact(panel).zip(lanes).enumerate() {
        let rows = panel.chunks_exact(WIDE).enumerate();
        // SAFETY: as many rows and panels as were announced.
        unsafe { store.rescaled(Parameters::of_lanes(lanes), low, high, rows.map(|(r, row)| (p, r, row))) };
    }
}

/// The same with a channel for each row.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn rescale_rows_to(sums: &[i32], channels: &[Channel<i32>], low: i32, high: i32, target: Target<'_>) {
    let panel = (channels.len() * WIDE).max(1);
    let store = Store::new(target, channels.len(), sums.len() / panel);
    for (r, channel) in channels.iter().enumerate() {
        let panels = sums.chunks_exact(panel).enumerate();
        let rows = panels.map(|(p, panel)| (p, r, &panel[r * WIDE..][..WIDE]));
        // SAFETY: as above.
        unsafe { store.rescaled(Parameters::of_channel(channel), low, high, rows) };
    }
}

/// The low halves of panels of rows of 16 columns, stored.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn narrow_columns(values: &[i32], rows: usize, target: Target<'_>) {
    let panel = (rows * WIDE).max(1);
    let store = Store::new(target, rows, values.len() / panel);
    for (p, panel) in values.chunks_exact(panel).enumerate() {
        for (r, row) in panel.chunks_exact(WIDE).enumerate() {
            // SAFETY: 16 elements; as many rows and panels as were announced.
            unsafe { store.row(p, r, _mm512_cvtepi32_epi16(_mm512_loadu_si512(row.as_ptr().cast()))) };
        }
    }
}

/// Stores rows of 16 columns of panels.
struct Store {
    out: *mut i16,
    stride: usize,
    /// Columns of the last panel.
    last: (usize, __mmask16),
}

impl Store {
    /// Panics unless the target holds so many rows of its columns, and the panels all of them.
    fn new(target: Target<'_>, rows: usize, panels: usize) -> Self {
        let Target { out, stride, columns } = target;
        assert!(columns <= panels * WIDE && (panels == 0 || columns > (panels - 1) * WIDE));
        assert!(rows == 0 || (rows - 1) * stride + columns <= out.len());
        let last = panels.saturating_sub(1);
        Store {
            out: out.as_mut_ptr(),
            stride,
            last: (
                last,
                u16::MAX.unbounded_shr((WIDE - columns.saturating_sub(last * WIDE)) as u32),
            ),
        }
    }

    /// Rescales and stores rows of 16 elements, given their panels and numbers.
    ///
    /// # Safety
    /// AVX-512; panels and rows are among those announced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn rescaled<'a>(
        &self,
        parameters: Parameters,
        low: i32,
        high: i32,
        rows: impl Iterator<Item = (usize, usize, &'a [i32])>,
    ) {
        let load = |row: &[i32]| {
            assert_eq!(row.len(), WIDE);
            // SAFETY: 16 elements.
            unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
        };
        match parameters {
            Parameters::High(vectors) => {
                // The ends may lie beyond what 16 bits hold, the elements do not.
                let [low, high] = [low, high].map(|v| v.clamp(i16::MIN.into(), i16::MAX.into()));
                let (low, high) = (_mm256_set1_epi16(low as i16), _mm256_set1_epi16(high as i16));
                for (p, r, row) in rows {
                    self.row(p, r, narrow(vectors.apply(load(row)), low, high));
                }
            }
            Parameters::Any(vectors) => {
                let (low, high) = (_mm512_set1_epi64(low.into()), _mm512_set1_epi64(high.into()));
                for (p, r, row) in rows {
                    self.row(p, r, _mm512_cvtepi32_epi16(vectors.apply(load(row), low, high)));
                }
            }
        }
    }

    /// # Safety
    /// AVX-512; panel and row are among those announced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn row(&self, panel: usize, row: usize, values: __m256i) {
        let at = row.wrapping_mul(self.stride).wrapping_add(panel.wrapping_mul(WIDE));
        let mask = if panel == self.last.0 { self.last.1 } else { u16::MAX };
        _mm256_mask_storeu_epi16(self.out.add(at), mask, values);
    }
}

/// Elements of 16 bits, clamped.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn narrow(values: __m512i, low: __m256i, high: __m256i) -> __m256i {
    _mm256_max_epi16(_mm256_min_epi16(_mm512_cvtsepi32_epi16(values), high), low)
}
