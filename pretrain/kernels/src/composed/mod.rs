//! The operations of transformers as compositions of candle's own, for tensors that are not on the CPU.
//!
//! Each has the formula of its fused counterpart, and gradients by candle's backward passes; what candle's own layers do to
//! gradients does not matter, as none of them is used. Differences: sums are formed in the tensors' type by the device's
//! kernels, not in f64 and in a fixed order, so that bits depend on the device; intermediate results are kept for
//! backward, a layer's some 10 of them. What is drawn, and what is an index, is made on the host by the generator that the
//! fused operations ask, and copied over: a device drops what the CPU drops.
//!
//! There are no kernels over nothing on CUDA, and candle's operations forget the gradients of what meets an empty tensor:
//! such tensors are refused (`check_anywhere`), and none is made here of arguments that are not.
//!
//! No GPU has run this yet: it is compared with the fused operations, values and gradients, on the CPU.

mod attention;
mod attention_over;
mod dropout;
mod elementwise;
mod layer_norm;
mod linear;
mod losses;
mod rows;

#[cfg(test)]
mod tests;

use candle_core::Tensor;

pub(crate) use attention::attention;
pub(crate) use attention_over::attention_over;
pub(crate) use dropout::dropout;
pub(crate) use elementwise::{relu, sigmoid, softmax, tanh};
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::{linear, linear_gelu};
pub(crate) use losses::{cross_entropy, soft_cross_entropy, vocabulary_cross_entropy};
pub(crate) use rows::embedding;

/// Whether an operation over `tensor` is to be composed: the fused ones know the CPU only.
pub(crate) fn is_needed(tensor: &Tensor) -> bool {
    !tensor.device().is_cpu() || is_demanded()
}

#[cfg(not(feature = "composed-on-demand"))]
fn is_demanded() -> bool {
    false
}

#[cfg(feature = "composed-on-demand")]
use demand::is_demanded;

#[cfg(feature = "composed-on-demand")]
pub use demand::composed_on_demand;

#[cfg(feature = "composed-on-demand")]
mod demand {
    use std::cell::Cell;

    thread_local! {
        static DEMANDED: Cell<bool> = const { Cell::new(false) };
    }

    /// Calls `act`, in which this thread composes all operations that can be composed, on the CPU, too: a test of a whole
    /// network compares it with itself.
    pub fn composed_on_demand<R>(act: impl FnOnce() -> R) -> R {
        struct Reset(bool);
        impl Drop for Reset {
            fn drop(&mut self) {
                DEMANDED.set(self.0);
            }
        }
        let _reset = Reset(DEMANDED.replace(true));
        act()
    }

    pub(crate) fn is_demanded() -> bool {
        DEMANDED.get()
    }
}
