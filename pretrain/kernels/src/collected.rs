//! Gradients of parameters, added up where the caller wants them instead of in candle's store.
//!
//! candle adds each gradient to an array of zeros and hands it out as a tensor of its own, which then has to be added to the
//! sum over micro-batches: for a model of n parameters 16 n bytes written and 20 n read. Here the operations that own large
//! parameters (linear layers, embeddings, the vocabulary's losses) add to the sum itself: 4 n read, 4 n written, no memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, TensorId};

use crate::element::Element;

/// Gradients of a loss in which some parameters' have been added to `sums` already.
#[derive(Debug)]
pub struct Collected {
    /// All others, those of the parameters included whose operations do not collect.
    pub store: GradStore,
    /// For every parameter whether anything was added to its sums.
    pub reached: Vec<bool>,
}

/// `loss.backward()`, where gradients of `parameters` are added to their ranges of `sums` by the operations that can: then
/// they are not in the store.
///
/// # Errors
/// Those of the operations.
///
/// # Panics
/// Where a range is no range of `sums`.
pub fn backward_into(
    loss: &Tensor,
    parameters: &[(TensorId, Range<usize>)],
    sums: &mut Vec<f32>,
) -> candle_core::Result<Collected> {
    let slots = parameters.iter().cloned().enumerate().map(|(number, (id, range))| (id, (number, range)));
    let active =
        Active { slots: slots.collect(), sums: std::mem::take(sums), reached: vec![false; parameters.len()] };
    ACTIVE.set(Some(active));
    let mut back = Back { sums, reached: Vec::new() };
    let store = loss.backward();
    back.fetch();
    Ok(Collected { store: store?, reached: std::mem::take(&mut back.reached) })
}

thread_local! {
    /// Of the backward pass that this thread is in.
    static ACTIVE: RefCell<Option<Active>> = const { RefCell::new(None) };
}

struct Active {
    slots: HashMap<TensorId, (usize, Range<usize>)>,
    sums: Vec<f32>,
    reached: Vec<bool>,
}

/// Gives the sums back, also where an operation panics.
struct Back<'a> {
    sums: &'a mut Vec<f32>,
    reached: Vec<bool>,
}

impl Back<'_> {
    fn fetch(&mut self) {
        if let Some(active) = ACTIVE.take() {
            *self.sums = active.sums;
            self.reached = active.reached;
        }
    }
}

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.fetch();
    }
}

/// Calls `add` with the sums of a parameter, if they are collected; an operation then returns no gradient for it.
pub(crate) fn collect<T: Element, R>(parameter: &Tensor, add: impl FnOnce(&mut [T]) -> R) -> Option<R> {
    ACTIVE.with_borrow_mut(|active| {
        let active = active.as_mut()?;
        let (number, range) = active.slots.get(&parameter.id())?.clone();
        let sums = T::of_f32(&mut active.sums[range])?;
        active.reached[number] = true;
        Some(add(sums))
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::{linear, softmax};

    #[test]
    fn added_to_what_is_there_and_not_in_the_store() {
        let x = Var::from_tensor(&Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap()).unwrap();
        let w = Var::from_tensor(&Tensor::new(&[[1f32, 0.5]], &Device::Cpu).unwrap()).unwrap();
        let loss = linear(&x, &w, None).unwrap().sum_all().unwrap();
        let mut sums = vec![7.0, 10.0, 20.0, 7.0];
        let collected = backward_into(&loss, &[(w.id(), 1..3)], &mut sums).unwrap();
        assert_eq!(sums, [7.0, 14.0, 26.0, 7.0]);
        assert_eq!(collected.reached, [true]);
        assert!(collected.store.get(&w).is_none());
        let d_x = collected.store.get(&x).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(d_x, [[1.0, 0.5], [1.0, 0.5]]);

        // an operation that does not collect, and another loss afterwards: as ever
        let loss = softmax(&w).unwrap().sum_all().unwrap();
        let collected = backward_into(&loss, &[(w.id(), 1..3)], &mut sums).unwrap();
        assert!(collected.store.get(&w).is_some() && !collected.reached[0]);
        let loss = linear(&x, &w, None).unwrap().sum_all().unwrap();
        assert!(loss.backward().unwrap().get(&w).is_some());
    }

    #[test]
    fn other_types_are_not_collected_and_errors_give_the_sums_back() {
        let w = Var::ones((1, 2), DType::F64, &Device::Cpu).unwrap();
        let loss = linear(&w, &w, None).unwrap().sum_all().unwrap();
        let mut sums = vec![1.0; 2];
        let collected = backward_into(&loss, &[(w.id(), 0..2)], &mut sums).unwrap();
        assert!(collected.store.get(&w).is_some());
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let w = Var::ones((1, 2), DType::F32, &Device::Cpu).unwrap();
            let loss = linear(&w, &w, None).unwrap().sum_all().unwrap();
            let _ = backward_into(&loss, &[(w.id(), 0..9)], &mut sums);
        }));
        assert!(end.is_err());
        assert_eq!(sums, [1.0; 2]);
    }
}
