//! What one operation hands to the next without the tensor library between them.
//!
//! Two operations that are always used together pass their tensor here, and candle sees a token of one number in its place:
//! it orders the backward passes as ever, but makes no array of zeros for the tensor's gradient and adds nothing to it, which
//! takes it one thread and 16 bytes a number in f32.

use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{CpuStorage, Shape, Tensor};

use crate::element::Element;

/// The output of one operation and input of the next, and its gradient on the way back. Nobody else uses either.
#[derive(Default)]
pub(crate) struct Handover {
    values: OnceLock<CpuStorage>,
    gradient: Bypass,
}

/// A gradient that passes by some operations on the way back.
#[derive(Default)]
pub(crate) struct Bypass(Mutex<Option<CpuStorage>>);

impl Bypass {
    pub(crate) fn give_back<T: Element>(&self, gradient: Vec<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(T::to_cpu_storage_owned(gradient));
    }

    /// Once.
    pub(crate) fn take_back<T: Element>(&self) -> candle_core::Result<Vec<T>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(gradient) => T::cpu_storage_data(gradient),
            None => candle_core::bail!("nothing was handed over backward"),
        }
    }
}

impl Handover {
    /// What the first one computed; the token.
    pub(crate) fn give<T: Element>(&self, values: Vec<T>) -> (CpuStorage, Shape) {
        // One forward, one value: an operation is applied once.
        self.values.get_or_init(|| T::to_cpu_storage_owned(values));
        (T::to_cpu_storage_owned(vec![T::ZERO]), Shape::from(1))
    }

    /// What the second one reads, forward and backward.
    pub(crate) fn values<T: Element>(&self) -> candle_core::Result<&[T]> {
        let Some(values) = self.values.get() else { candle_core::bail!("nothing was handed over forward") };
        T::cpu_storage_as_slice(values)
    }

    /// What the second one computed backward; the gradient of the token.
    pub(crate) fn give_back<T: Element>(
        &self,
        gradient: Vec<T>,
        token: &Tensor,
    ) -> candle_core::Result<Tensor> {
        self.gradient.give_back(gradient);
        token.zeros_like()
    }

    /// What the first one reads backward, once.
    pub(crate) fn take_back<T: Element>(&self) -> candle_core::Result<Vec<T>> {
        self.gradient.take_back()
    }
}
