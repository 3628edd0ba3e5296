//! What the processor could do: the rate of its multiply-add instructions, measured.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::precision::Precision;

/// Operations a second (a multiply-add is two) with the widest vectors on all threads of the current pool: the best of
/// several short runs in registers. Where there are no instructions for bf16, those of f32 are measured.
pub fn measured_peak(precision: Precision) -> f64 {
    let threads = rayon::current_num_threads();
    let (run, lanes): (fn(), _) = match precision.here() {
        Precision::F32 => (multiply_add, LANES),
        Precision::Bf16 => (multiply_add_pairs, 2 * LANES),
    };
    let best = (0..RUNS).map(|_| {
        let started = Instant::now();
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| run());
        started.elapsed().as_secs_f64()
    });
    (threads * ROUNDS * CHAINS * lanes * 2) as f64 / best.fold(f64::INFINITY, f64::min)
}

const RUNS: usize = 5;
const ROUNDS: usize = 1 << 20;
/// Independent chains, more than units times latency.
const CHAINS: usize = 12;
#[cfg(target_arch = "x86_64")]
const LANES: usize = 16;
#[cfg(not(target_arch = "x86_64"))]
const LANES: usize = 4;

fn multiply_add() {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions, as was just asked.
            return unsafe { wide() };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { fused() };
        }
    }
    chains(|x, y, z| x * y + z);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide() {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let factor = _mm512_set1_ps(black_box(0.999));
    let mut sums = [_mm512_set1_ps(black_box(1.0)); CHAINS];
    for _ in 0..ROUNDS {
        sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(*sum, factor, factor));
    }
    black_box(sums);
}

fn multiply_add_pairs() {
    #[cfg(target_arch = "x86_64")]
    if crate::bf16::is_available() {
        // SAFETY: the processor has the instructions, as was just asked.
        unsafe { pairs() }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs() {
    use std::arch::x86_64::{_mm512_dpbf16_ps, _mm512_set1_ps};
    let factor = _mm512_set1_ps(black_box(0.5));
    // SAFETY: both are 64 bytes of any value: 32 times 0.5 and 0.
    let factor =
        unsafe { std::mem::transmute::<std::arch::x86_64::__m512, std::arch::x86_64::__m512bh>(factor) };
    let mut sums = [_mm512_set1_ps(black_box(1.0)); CHAINS];
    for _ in 0..ROUNDS {
        sums.iter_mut().for_each(|sum| *sum = _mm512_dpbf16_ps(*sum, factor, factor));
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fused() {
    chains(f32::mul_add);
}

#[inline(always)]
fn chains(step: impl Fn(f32, f32, f32) -> f32) {
    let factor = black_box(0.999);
    let mut sums = [[black_box(1.0f32); LANES]; CHAINS];
    for _ in 0..ROUNDS {
        sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = step(*sum, factor, factor));
    }
    black_box(sums);
}
