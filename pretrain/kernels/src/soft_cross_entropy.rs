//! Cross-entropy of soft targets: `y[b] = Σ_k t[b, k] (log Σ_j e^x[b, j] - x[b, k])`.
//!
//! Legend: b samples, k and j classes. The largest logit is taken off before the exponential, so that none overflows;
//! all sums are in f64. The gradient to x is `d_y[b] (softmax(x)[b, k] Σ_j t[b, j] - t[b, k])`; targets have none.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use crate::element::{Element, by_dtype, check_anywhere, dims, elements, slice};
use crate::{Error, Result, composed};

/// The loss of every sample; nothing is averaged, because only the caller knows by what.
///
/// Targets are weights of the classes: one-hot, smoothed, or mixed; they need not add up to 1.
///
/// # Shapes
/// - `x_bk`, `t_bk`: \[b, k\]
/// - result: \[b\]
///
/// # Errors
/// Shapes, types or devices that do not fit; no classes.
pub fn soft_cross_entropy(x_bk: &Tensor, t_bk: &Tensor) -> Result<Tensor> {
    let x = dims::<2>(OP, "x", "[b, k]", x_bk)?;
    let t = dims::<2>(OP, "t", "[b, k]", t_bk)?;
    if x != t || x[1] == 0 {
        let expected = format!("[{}, {}], with classes", x[0], x[1]);
        return Err(Error::Shape { op: OP, tensor: "t", expected, got: t.to_vec() });
    }
    check_anywhere(OP, &[("x", x_bk), ("t", t_bk)])?;
    if composed::is_needed(x_bk) {
        return composed::soft_cross_entropy(x_bk, t_bk);
    }
    Ok(x_bk.contiguous()?.apply_op2(&t_bk.contiguous()?, SoftCrossEntropy)?)
}

const OP: &str = "soft_cross_entropy";

struct SoftCrossEntropy;

/// The largest, and the sum of `e^(x - largest)`.
fn partition<T: Element>(x: &[T]) -> (f64, f64) {
    let x = || x.iter().map(|x| x.to_f64());
    let largest = x().fold(f64::NEG_INFINITY, f64::max);
    (largest, x().map(|x| (x - largest).exp()).sum())
}

impl CustomOp2 for SoftCrossEntropy {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        t: &CpuStorage,
        t_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (samples, classes) = (x_layout.dims()[0], x_layout.dims()[1]);
        by_dtype!(x.dtype(), T => {
            let (x, t) = (slice::<T>(x, x_layout)?, slice::<T>(t, t_layout)?);
            let losses = x.chunks_exact(classes).zip(t.chunks_exact(classes)).map(|(x, t)| {
                let (largest, sum) = partition(x);
                let log = sum.ln();
                let terms = x.iter().zip(t).map(|(x, t)| t.to_f64() * (log - (x.to_f64() - largest)));
                T::from_f64(terms.sum())
            });
            Ok((T::to_cpu_storage_owned(losses.collect()), Shape::from(samples)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        t: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        if !x.track_op() {
            return Ok((None, None));
        }
        let classes = x.dims()[1];
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let (x_guard, t, d_y) = (x.storage_and_layout(), t.storage_and_layout(), d_y.storage_and_layout());
            let (x_values, t, d_y) = (elements::<T>(&x_guard)?, elements::<T>(&t)?, elements::<T>(&d_y)?);
            let mut d_x = vec![T::ZERO; x_values.len()];
            let samples = x_values.chunks_exact(classes).zip(t.chunks_exact(classes)).zip(d_y);
            for (d_x, ((x, t), d_y)) in d_x.chunks_exact_mut(classes).zip(samples) {
                let (largest, sum) = partition(x);
                let weight: f64 = t.iter().map(|t| t.to_f64()).sum();
                for ((d_x, x), t) in d_x.iter_mut().zip(x).zip(t) {
                    let softmax = (x.to_f64() - largest).exp() / sum;
                    *d_x = T::from_f64(d_y.to_f64() * (softmax * weight - t.to_f64()));
                }
            }
            Ok((Some(Tensor::from_vec(d_x, x.shape(), x.device())?), None))
        })
    }
}
