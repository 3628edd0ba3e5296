//! Factors as the products read them: bf16, 16 lines side by side, two numbers of each line together.
//!
//! A line is a row of the left factor or a column of the right one. Panel p holds lines 16 p to 16 p + 15: for every pair
//! of k, 16 times the line's two numbers. Lines and numbers that are missing are 0.

use std::arch::x86_64::{
    __m512bh, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_cvtne2ps_pbh, _mm512_loadu_si512,
    _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};
use std::ops::Range;

use rayon::prelude::*;

use crate::product::{Matrix, written};

/// Lines of a panel.
pub(super) const LINES: usize = 16;

/// Two numbers of each line, the first of them in the low half.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub(super) [u32; LINES]);

/// A factor.
pub(super) struct Panels {
    pairs: Vec<Pairs>,
    n_pairs: usize,
}

impl Panels {
    /// Of all numbers, in parallel. The processor has the instructions. Rows or columns of `lines` lie side by side.
    pub(super) fn new(lines: Matrix<'_, f32>) -> Self {
        let (n_panels, n_pairs) = (lines.row_count().div_ceil(LINES), lines.column_count().div_ceil(2));
        if n_pairs == 0 {
            return Self { pairs: Vec::new(), n_pairs };
        }
        // several panels: what is read of a row is then whole lines of cache
        const PANELS: usize = 4;
        // SAFETY: the tasks are all panels, and each fills its own.
        let pairs = unsafe {
            written(n_panels * n_pairs, |pairs| {
                (0..n_panels.div_ceil(PANELS)).into_par_iter().for_each(|task| {
                    let first = task * PANELS;
                    let length = PANELS.min(n_panels - first) * n_pairs;
                    let mut space = pairs.tile(first * n_pairs, [1, length], length);
                    pack_some(lines, first, 0..n_pairs, space.row(0));
                });
            })
        };
        Self { pairs, n_pairs }
    }

    /// Of some pairs of k, by this thread, in the space of another that is no longer wanted.
    pub(super) fn of_pairs(lines: Matrix<'_, f32>, range: Range<usize>, space: Option<Self>) -> Self {
        let (n_panels, n_pairs) = (lines.row_count().div_ceil(LINES), range.len());
        let mut pairs = space.map(|panels| panels.pairs).unwrap_or_default();
        if pairs.len() < n_panels * n_pairs {
            pairs.resize(n_panels * n_pairs, Pairs([0; LINES]));
        }
        if n_pairs > 0 {
            pack_some(lines, 0, range, &mut pairs[..n_panels * n_pairs]);
        }
        Self { pairs, n_pairs }
    }

    /// Those that another wrote.
    pub(super) fn of_written(pairs: Vec<Pairs>, n_pairs: usize) -> Self {
        Self { pairs, n_pairs }
    }

    /// Some pairs of one panel.
    pub(super) fn part(&self, panel: usize, pairs: Range<usize>) -> &[Pairs] {
        &self.pairs[panel * self.n_pairs..][pairs]
    }
}

/// Panels from `first_panel` on, as many as there is space for.
fn pack_some(lines: Matrix<'_, f32>, first_panel: usize, range: Range<usize>, space: &mut [Pairs]) {
    let [line_stride, k_stride] = lines.strides();
    assert!(line_stride == 1 || k_stride == 1, "neither rows nor columns lie side by side");
    assert!(space.len().is_multiple_of(range.len()) && range.end <= lines.column_count().div_ceil(2));
    let n_panels = space.len() / range.len();
    let first = first_panel * LINES;
    let lines = lines.rows(first, (n_panels * LINES).min(lines.row_count() - first));
    // SAFETY: the processor has the instructions: whoever makes products asked for them.
    unsafe {
        if k_stride == 1 {
            from_rows(lines, range, space);
        } else {
            let length = range.len();
            from_columns(lines, range, space, length);
        }
    }
}

/// Numbers of a line side by side: 16 lines of 32 numbers are rounded, then transposed as 16 x 16 pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn from_rows(lines: Matrix<'_, f32>, range: Range<usize>, space: &mut [Pairs]) {
    let (n_lines, length, [stride, _]) = (lines.row_count(), lines.column_count(), lines.strides());
    let data = lines.data().as_ptr();
    for (panel, space) in space.chunks_exact_mut(range.len()).enumerate() {
        for (block, space) in space.chunks_mut(LINES).enumerate() {
            let k = 2 * (range.start + block * LINES);
            let masks = [mask(length.saturating_sub(k)), mask(length.saturating_sub(k + LINES))];
            let mut bits = [_mm512_setzero_si512(); LINES];
            let here = n_lines - (panel * LINES).min(n_lines);
            for (line, bits) in bits.iter_mut().enumerate().take(here) {
                let place = data.wrapping_add((panel * LINES + line) * stride + k);
                // SAFETY: the masks leave out what is beyond the line, and the line is there.
                let [low, high] = unsafe {
                    [
                        _mm512_maskz_loadu_ps(masks[0], place),
                        _mm512_maskz_loadu_ps(masks[1], place.wrapping_add(LINES)),
                    ]
                };
                // SAFETY: both are 64 bytes of any value.
                *bits = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
            }
            for (to, bits) in space.iter_mut().zip(transposed(bits)) {
                // SAFETY: 64 bytes.
                unsafe { _mm512_storeu_si512(to.0.as_mut_ptr().cast(), bits) };
            }
        }
    }
}

/// Pairs of k that are asked for before they are read.
const AHEAD: usize = 12;

/// Lines side by side: two rows of 16 are rounded and interleaved. Panels of `space` begin `panel_stride` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn from_columns(
    lines: Matrix<'_, f32>,
    range: Range<usize>,
    space: &mut [Pairs],
    panel_stride: usize,
) {
    let (n_lines, length, [_, stride]) = (lines.row_count(), lines.column_count(), lines.strides());
    let data = lines.data().as_ptr();
    let n_panels = n_lines.div_ceil(LINES);
    let mut order = [0u16; 2 * LINES];
    for (place, from) in order.iter_mut().enumerate() {
        *from = (place / 2 + place % 2 * LINES) as u16;
    }
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    for (number, pair) in range.clone().enumerate() {
        // every number of k begins on another page, where no hardware looks ahead
        for k in [2 * (pair + AHEAD), 2 * (pair + AHEAD) + 1] {
            for panel in 0..n_panels {
                let place = data.wrapping_add(k * stride + panel * LINES);
                _mm_prefetch::<_MM_HINT_T0>(place.cast());
            }
        }
        for panel in 0..n_panels {
            let mask_of_lines = mask(n_lines - (panel * LINES).min(n_lines));
            let second = if 2 * pair + 1 < length { mask_of_lines } else { 0 };
            let place = data.wrapping_add(2 * pair * stride + panel * LINES);
            // SAFETY: the masks leave out lines and numbers that are not there.
            let [low, high] = unsafe {
                [
                    _mm512_maskz_loadu_ps(mask_of_lines, place),
                    _mm512_maskz_loadu_ps(second, place.wrapping_add(stride)),
                ]
            };
            // SAFETY: both are 64 bytes of any value.
            let bits = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
            let bits = _mm512_permutexvar_epi16(order, bits);
            // SAFETY: 64 bytes, and the place is inside of the space.
            unsafe { _mm512_storeu_si512(space[panel * panel_stride + number].0.as_mut_ptr().cast(), bits) };
        }
    }
}

/// The first `count` of 16.
fn mask(count: usize) -> u16 {
    (0xffff_u32 >> LINES.saturating_sub(count)) as u16
}

/// 16 x 16 numbers of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; LINES]) -> [__m512i; LINES] {
    let mut twos = rows;
    for i in 0..LINES / 2 {
        let [a, b] = [rows[2 * i], rows[2 * i + 1]];
        twos[2 * i] = _mm512_unpacklo_epi32(a, b);
        twos[2 * i + 1] = _mm512_unpackhi_epi32(a, b);
    }
    let mut fours = twos;
    for i in (0..LINES).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
    }
    // quarter q of fours[4 i + j] is rows 4 i to 4 i + 3 of column 4 q + j
    let mut columns = fours;
    for j in 0..4 {
        let even = [
            _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]),
            _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]),
        ];
        let odd = [
            _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]),
            _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]),
        ];
        columns[j] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}
