//! Which vectors the kernels of this folder are compiled for, chosen at run time.

use half::bf16;

use super::vector::{Lanes, Portable};
#[cfg(target_arch = "x86_64")]
use super::vector_x86::{Avx2, Avx512};

/// Instructions that maps are computed with. Results of different ones differ in the last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorPath {
    /// 16 numbers a vector, with fused multiplication and addition.
    Avx512,
    /// 8 numbers a vector, with fused multiplication and addition.
    Avx2,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

impl VectorPath {
    /// The fastest on this processor.
    pub fn here() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|path| path.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }
}

/// Work for any width of vector; `run` is `#[inline(always)]`, so that it is compiled for the caller's instructions.
pub(crate) trait Work<N> {
    fn run<V: Lanes<N>>(self);
}

/// Numbers that maps are stored in, and how work on them is sent on its way.
pub(crate) trait Numbers: Sized {
    /// Whether this processor can work on them along `path`.
    fn can_take(path: VectorPath) -> bool;
    /// Does the work. Panics where [`can_take`](Self::can_take) is false: maps and layers are checked when they are made.
    fn send(path: VectorPath, work: impl Work<Self>);
}

impl Numbers for f32 {
    fn can_take(path: VectorPath) -> bool {
        path.is_available()
    }

    fn send(path: VectorPath, work: impl Work<Self>) {
        assert!(Self::can_take(path), "the processor lacks {path:?}");
        match path {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the instructions, as was just asserted.
            VectorPath::Avx512 => unsafe { with_avx512(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            VectorPath::Avx2 => unsafe { with_avx2(work) },
            _ => work.run::<Portable>(),
        }
    }
}

impl Numbers for bf16 {
    fn can_take(path: VectorPath) -> bool {
        path == VectorPath::Avx512 && path.is_available() && crate::bf16::is_available()
    }

    fn send(path: VectorPath, work: impl Work<Self>) {
        assert!(Self::can_take(path), "the processor has no bf16 on {path:?}");
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as was just asserted.
        unsafe {
            with_avx512_bf16(work);
        }
        #[cfg(not(target_arch = "x86_64"))]
        drop(work);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn with_avx512(work: impl Work<f32>) {
    work.run::<Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
fn with_avx512_bf16(work: impl Work<bf16>) {
    work.run::<Avx512>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(work: impl Work<f32>) {
    work.run::<Avx2>();
}
