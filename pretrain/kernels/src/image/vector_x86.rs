//! 16 numbers at a time on x86-64: one vector of AVX-512, or two of AVX2.

use std::arch::x86_64::*;

use half::bf16;

use super::vector::{Lanes, Tiles, Vector};

/// One vector.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// Two vectors.
#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256; 2]);

/// To the nearest, and no exceptions.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

impl Vector for Avx512 {
    const TILES: Tiles = Tiles::Wide;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, term.0)) }
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_fmsub_ps(self.0, factor.0, term.0)) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_min_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn max_or_nan(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            Self(_mm512_mask_mov_ps(_mm512_max_ps(self.0, other.0), is_nan, self.0))
        }
    }

    #[inline(always)]
    unsafe fn where_greater(self, than: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let is_greater = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, than.0);
            Self(_mm512_mask_blend_ps(is_greater, otherwise.0, then.0))
        }
    }

    #[inline(always)]
    unsafe fn where_equal(self, to: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let is_equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, to.0);
            Self(_mm512_mask_blend_ps(is_equal, otherwise.0, then.0))
        }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_roundscale_ps::<NEAREST>(self.0)) }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_scalef_ps(self.0, n.0)) }
    }

    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let near = _mm512_rcp14_ps(self.0);
            // one step of Newton's: 14 bits become 24
            let error = _mm512_fnmadd_ps(self.0, near, _mm512_set1_ps(1.0));
            Self(_mm512_fmadd_ps(near, error, near))
        }
    }

    #[inline(always)]
    unsafe fn fetch(line: *const u32) {
        // SAFETY: no address is wrong for it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
}

impl Lanes<f32> for Avx512 {
    type Words = __m512;

    #[inline(always)]
    unsafe fn load_numbers(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn store_numbers(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { self.store(to) }
    }

    #[inline(always)]
    unsafe fn word(from: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn own_words(from: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn pick(words: __m512, order: *const u32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(order.cast()), words) }
    }

    #[inline(always)]
    unsafe fn add_products(self, a: __m512, b: __m512) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm512_fmadd_ps(a, b, self.0)) }
    }
}

impl Lanes<bf16> for Avx512 {
    type Words = __m512i;

    #[inline(always)]
    unsafe fn load_numbers(from: *const bf16) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
        }
    }

    #[inline(always)]
    unsafe fn store_numbers(self, to: *mut bf16) {
        // SAFETY: the caller's.
        unsafe {
            let bits = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0));
            _mm256_storeu_si256(to.cast(), bits)
        }
    }

    #[inline(always)]
    unsafe fn word(from: *const bf16) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn own_words(from: *const bf16) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_zextsi256_si512(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn pick(words: __m512i, order: *const u32) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_permutexvar_epi32(_mm512_loadu_si512(order.cast()), words) }
    }

    #[inline(always)]
    unsafe fn add_products(self, a: __m512i, b: __m512i) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [a, b] = [a, b].map(|words| std::mem::transmute::<__m512i, __m512bh>(words));
            Self(_mm512_dpbf16_ps(self.0, a, b))
        }
    }
}

impl Avx2 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(__m256, __m256) -> __m256) -> Self {
        Self([f(self.0[0], other.0[0]), f(self.0[1], other.0[1])])
    }
}

impl Vector for Avx2 {
    const TILES: Tiles = Tiles::Middle;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self([_mm256_set1_ps(value); 2]) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(to, self.0[0]);
            _mm256_storeu_ps(to.add(8), self.0[1])
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| _mm256_add_ps(a, b)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| _mm256_mul_ps(a, b)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(std::array::from_fn(|i| _mm256_fmadd_ps(self.0[i], factor.0[i], term.0[i]))) }
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, term: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(std::array::from_fn(|i| _mm256_fmsub_ps(self.0[i], factor.0[i], term.0[i]))) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| _mm256_max_ps(a, b)) }
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| _mm256_min_ps(a, b)) }
    }

    #[inline(always)]
    unsafe fn max_or_nan(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            self.zip(other, |a, b| {
                _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a))
            })
        }
    }

    #[inline(always)]
    unsafe fn where_greater(self, than: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self(std::array::from_fn(|i| {
                let is_greater = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0[i], than.0[i]);
                _mm256_blendv_ps(otherwise.0[i], then.0[i], is_greater)
            }))
        }
    }

    #[inline(always)]
    unsafe fn where_equal(self, to: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self(std::array::from_fn(|i| {
                let is_equal = _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0[i], to.0[i]);
                _mm256_blendv_ps(otherwise.0[i], then.0[i], is_equal)
            }))
        }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(self.0.map(|x| _mm256_round_ps::<NEAREST>(x))) }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            self.zip(n, |x, n| {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
            })
        }
    }

    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(self.0.map(|x| _mm256_div_ps(_mm256_set1_ps(1.0), x))) }
    }

    #[inline(always)]
    unsafe fn fetch(line: *const u32) {
        // SAFETY: no address is wrong for it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
}

impl Lanes<f32> for Avx2 {
    type Words = Self;

    #[inline(always)]
    unsafe fn load_numbers(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn store_numbers(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { self.store(to) }
    }

    #[inline(always)]
    unsafe fn word(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::splat(*from) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn own_words(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn pick(words: Self, order: *const u32) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let halves = [_mm256_loadu_si256(order.cast()), _mm256_loadu_si256(order.add(8).cast())];
            // the instruction looks at the lowest three bits
            Self([
                _mm256_permutevar8x32_ps(words.0[0], halves[0]),
                _mm256_permutevar8x32_ps(words.0[1], halves[1]),
            ])
        }
    }

    #[inline(always)]
    unsafe fn add_products(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { a.mul_add(b, self) }
    }
}
