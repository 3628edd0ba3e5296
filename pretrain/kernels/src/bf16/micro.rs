//! 8 x 48 sums in registers.

use std::arch::x86_64::{
    __m512, __m512bh, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_dpbf16_ps,
    _mm512_load_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};

use super::panels::{LINES, Pairs};
use crate::product::MatrixMut;

/// Rows of sums: half a panel.
pub(super) const ROWS: usize = 8;
/// Vectors of a row of sums: with the rows 24 of 32 registers, which hide the latency of the instruction.
pub(super) const VECTORS: usize = 3;

/// Where sums go: at most `ROWS` x `VECTORS` · 16 numbers.
pub(super) struct Target {
    pointer: *mut f32,
    row_stride: usize,
    rows: usize,
    columns: usize,
    accumulate: bool,
}

impl Target {
    /// Panics where the place is not in `out`.
    pub(super) fn new(
        out: &mut MatrixMut<'_, f32>,
        [row, column]: [usize; 2],
        [rows, columns]: [usize; 2],
        accumulate: bool,
    ) -> Self {
        assert!(row + rows <= out.row_count() && rows <= ROWS && columns <= VECTORS * LINES);
        assert!(out.row(row).len() >= column + columns);
        let row_stride = out.row_stride();
        Self { pointer: out.row(row)[column..].as_mut_ptr(), row_stride, rows, columns, accumulate }
    }
}

/// `out[r, c] = Σ_k lhs[first_row + r, k] rhs[k, c]`, or adds that. `ahead` is what will be read soon.
///
/// # Safety
///
/// The matrix of the target is still borrowed.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn add_products(
    lhs: &[Pairs],
    first_row: usize,
    rhs: [&[Pairs]; VECTORS],
    ahead: &[&[Pairs]; VECTORS],
    target: Target,
) {
    let n_pairs = lhs.len();
    // where sums go may be far: a gradient is added to what lies in memory
    for row in 0..target.rows {
        for first in (0..target.columns).step_by(LINES) {
            let place = target.pointer.wrapping_add(row * target.row_stride + first);
            _mm_prefetch::<_MM_HINT_T0>(place.cast());
        }
    }
    for pairs in ahead {
        for pairs in *pairs {
            _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(pairs).cast());
        }
    }
    assert!(rhs.iter().all(|rhs| rhs.len() == n_pairs) && first_row + ROWS <= LINES);
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for pair in 0..n_pairs {
        let mut columns = [vector(&rhs[0][0]); VECTORS];
        for (columns, rhs) in columns.iter_mut().zip(&rhs) {
            // SAFETY: all of them have `n_pairs`, as was asserted.
            *columns = vector(unsafe { rhs.get_unchecked(pair) });
        }
        // SAFETY: as above.
        let lines = unsafe { lhs.get_unchecked(pair) };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `first_row + ROWS` lines are there, as was asserted.
            let line = unsafe { *lines.0.get_unchecked(first_row + row) };
            let line = as_bf16(_mm512_set1_epi32(line.cast_signed()));
            for (sum, columns) in sums.iter_mut().zip(columns) {
                *sum = _mm512_dpbf16_ps(*sum, line, columns);
            }
        }
    }
    // Over all of them, whatever the target has: where an index is not known to the compiler it keeps the sums in memory, and
    // writes each back after every product, which takes twice the time.
    for (row, sums) in sums.iter().enumerate() {
        for (number, sum) in sums.iter().enumerate() {
            let first = number * LINES;
            if row >= target.rows || first >= target.columns {
                continue;
            }
            let mask = (0xffff_u32 >> LINES.saturating_sub(target.columns - first)) as u16;
            // SAFETY: the target was checked when it was made; the mask leaves what lies beyond alone.
            unsafe {
                let place = target.pointer.add(row * target.row_stride + first);
                let before: __m512 = match target.accumulate {
                    true => _mm512_maskz_loadu_ps(mask, place),
                    false => _mm512_setzero_ps(),
                };
                _mm512_mask_storeu_ps(place, mask, _mm512_add_ps(before, *sum));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn vector(pairs: &Pairs) -> __m512bh {
    // SAFETY: 64 bytes, aligned to as many.
    as_bf16(unsafe { _mm512_load_si512(std::ptr::from_ref(pairs).cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_bf16(bits: std::arch::x86_64::__m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of any value.
    unsafe { std::mem::transmute(bits) }
}
