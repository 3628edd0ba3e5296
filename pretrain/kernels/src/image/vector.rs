//! 16 numbers at a time, whatever the instructions; and the plain way of it.

/// 16 numbers of f32.
///
/// # Safety
///
/// All functions need the instructions that the implementing type stands for. Pointers are to 16 numbers.
pub(crate) trait Vector: Copy {
    /// Rows of sums that stand in registers beside one, two and three vectors of columns, and half of them.
    const TILES: Tiles;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + term`.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// `self * factor - term`.
    unsafe fn mul_sub(self, factor: Self, term: Self) -> Self;
    /// The larger one; NaN of `other` passes.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller one; NaN of `other` passes.
    unsafe fn min(self, other: Self) -> Self;
    /// The larger one, or NaN where either is.
    unsafe fn max_or_nan(self, other: Self) -> Self;
    /// `then` where this is larger than `than`, `otherwise` elsewhere and where either is NaN.
    unsafe fn where_greater(self, than: Self, then: Self, otherwise: Self) -> Self;
    /// `then` where both are the same number, `otherwise` elsewhere.
    unsafe fn where_equal(self, to: Self, then: Self, otherwise: Self) -> Self;
    /// To the nearest integer.
    unsafe fn round(self) -> Self;
    /// `self * 2^n` for integers -126 <= n <= 127.
    unsafe fn scale(self, n: Self) -> Self;
    /// `1 / self` of numbers from 1 to 2^127.
    unsafe fn reciprocal(self) -> Self;
    /// Has the second cache read a line of 64 bytes, wherever it is.
    unsafe fn fetch(line: *const u32);

    /// `self - other`, rounded once.
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller vouches for the instructions.
        unsafe { other.mul_add(Self::splat(-1.0), self) }
    }

    /// `1 / (1 + e^-x)`: `e^-x = 2^n 2^f`, and the polynomial that is nearest to 2^f for |f| <= 1/2: off by 7.5e-8 of it.
    #[inline(always)]
    unsafe fn sigmoid(self) -> Self {
        const POWERS: [f32; 6] =
            [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_2];
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let log2_e = Self::splat(-std::f32::consts::LOG2_E);
            let x = Self::splat(-87.0).max(self);
            let x = Self::splat(87.0).min(x);
            let n = x.mul(log2_e).round();
            let f = x.mul_sub(log2_e, n);
            let mut power = Self::splat(POWERS[5]);
            for coefficient in POWERS[..5].iter().rev() {
                power = power.mul_add(f, Self::splat(*coefficient));
            }
            power.scale(n).add(Self::splat(1.0)).reciprocal()
        }
    }
}

/// How many rows of sums fit into registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tiles {
    /// 28 x 1, 14 x 2, 9 x 3 vectors.
    Wide,
    /// 6 x 1.
    Middle,
    /// 2 x 1.
    Few,
}

/// 16 numbers that are stored as N, and products of words: 32 bits of one or two numbers of N.
///
/// # Safety
///
/// As of [`Vector`].
pub(crate) trait Lanes<N>: Vector {
    /// 16 words.
    type Words: Copy;

    unsafe fn load_numbers(from: *const N) -> Self;
    unsafe fn store_numbers(self, to: *mut N);
    /// 16 times the word at `from`, which need not be aligned.
    unsafe fn word(from: *const N) -> Self::Words;
    /// 16 words side by side.
    unsafe fn words(from: *const u32) -> Self::Words;
    /// The words of 16 numbers, from the first lane on.
    unsafe fn own_words(from: *const N) -> Self::Words;
    /// Lane l of the result is lane `order[l]`, one of the same eight; 16 lanes of order.
    unsafe fn pick(words: Self::Words, order: *const u32) -> Self::Words;
    /// `self + Σ a b` over the numbers of a word.
    unsafe fn add_products(self, a: Self::Words, b: Self::Words) -> Self;
}

/// Plain arrays.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 16]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Vector for Portable {
    const TILES: Tiles = Tiles::Few;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 16])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for 16 numbers.
        Self(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, term: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    unsafe fn max_or_nan(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b || a.is_nan() { a } else { b })
    }

    #[inline(always)]
    unsafe fn where_greater(self, than: Self, then: Self, otherwise: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] > than.0[i] { then.0[i] } else { otherwise.0[i] }))
    }

    #[inline(always)]
    unsafe fn where_equal(self, to: Self, then: Self, otherwise: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] == to.0[i] { then.0[i] } else { otherwise.0[i] }))
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves an integer
        Self(self.0.map(|x| (x + ROUND) - ROUND))
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        self.zip(n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        Self(self.0.map(|x| 1.0 / x))
    }

    #[inline(always)]
    unsafe fn fetch(_: *const u32) {}
}

impl Lanes<f32> for Portable {
    type Words = Self;

    #[inline(always)]
    unsafe fn load_numbers(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn store_numbers(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { self.store(to) };
    }

    #[inline(always)]
    unsafe fn word(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self([unsafe { *from }; 16])
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> Self {
        // SAFETY: the caller's; the words are numbers of f32.
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
        let order = unsafe { order.cast::<[u32; 16]>().read_unaligned() };
        Self(order.map(|lane| words.0[lane as usize % 16]))
    }

    #[inline(always)]
    unsafe fn add_products(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { a.mul_add(b, self) }
    }
}
