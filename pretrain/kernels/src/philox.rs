//! Random words as functions of where they are used.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): ten rounds turn a counter of
//! four words and a key of two into four random words. 20 wide multiplications for 16 bytes; 16 counters side by side,
//! so that the compiler has whole vectors.

/// Four random words.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    side_by_side(counter.map(|word| [word]), key).map(|[word]| word)
}

/// The same of `N` counters; `counters[i]` holds the i-th word of each.
#[inline(always)]
pub(crate) fn side_by_side<const N: usize>(counters: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counters;
    for _ in 0..10 {
        for lane in 0..N {
            let a = u64::from(c0[lane]) * MULTIPLIERS[0];
            let b = u64::from(c2[lane]) * MULTIPLIERS[1];
            c0[lane] = (b >> 32) as u32 ^ c1[lane] ^ key[0];
            c1[lane] = b as u32;
            c2[lane] = (a >> 32) as u32 ^ c3[lane] ^ key[1];
            c3[lane] = a as u32;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    [c0, c1, c2, c3]
}

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
