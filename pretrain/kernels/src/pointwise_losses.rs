//! Losses that are sums over numbers which do not know of one another: objectness of anchors, coordinates of boxes.
//!
//! * Smooth L1 (Paper: 1504.08083, equation 3, with a width): of d = x - t it is `d² / 2β` within β and `|d| - β / 2`
//!   beyond; β = 0 is the absolute value. Gradient `d / β` within, the sign beyond.
//! * Binary cross-entropy of logits: `max(x, 0) - x t + ln(1 + e^-|x|)`, so that nothing overflows. Gradient
//!   `sigmoid(x) - t`.
//!
//! Sums are in f64, in the order of the numbers. Targets have no gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::element::{by_dtype, check, elements, slice};
use crate::{Error, Result};

/// The sum of smooth L1 over all numbers, a scalar with gradient to `x`.
///
/// # Shapes
/// - `x`: any; `targets`: as many numbers
///
/// # Errors
/// Beside types: another number of targets; a width that is negative or not finite.
pub fn smooth_l1(x: &Tensor, targets: &[f32], beta: f64) -> Result<Tensor> {
    const OP: &str = "smooth_l1";
    if !(beta >= 0.0 && beta.is_finite()) {
        let expected = "a width of at least 0";
        return Err(Error::Geometry { op: OP, expected, got: beta.to_string() });
    }
    apply(OP, x, targets, Form::SmoothL1 { beta })
}

/// The sum of binary cross-entropy of logits over all numbers, a scalar with gradient to `x`.
///
/// # Shapes
/// - `x`: any; `targets`: as many numbers, 0 to 1
///
/// # Errors
/// Beside types: another number of targets.
pub fn binary_cross_entropy(x: &Tensor, targets: &[f32]) -> Result<Tensor> {
    apply("binary_cross_entropy", x, targets, Form::BinaryCrossEntropy)
}

fn apply(op: &'static str, x: &Tensor, targets: &[f32], form: Form) -> Result<Tensor> {
    check(op, &[("x", x)])?;
    if x.elem_count() != targets.len() {
        let expected = format!("{} numbers, one a target", targets.len());
        return Err(Error::Shape { op, tensor: "x", expected, got: x.dims().to_vec() });
    }
    Ok(x.contiguous()?.apply_op1(Loss { op, form, targets: targets.to_vec() })?)
}

#[derive(Clone, Copy)]
enum Form {
    SmoothL1 { beta: f64 },
    BinaryCrossEntropy,
}

impl Form {
    fn value(self, x: f64, target: f64) -> f64 {
        match self {
            Self::SmoothL1 { beta } => {
                let apart = (x - target).abs();
                if apart < beta { 0.5 * apart * apart / beta } else { apart - 0.5 * beta }
            }
            Self::BinaryCrossEntropy => x.max(0.0) - x * target + libm::log1p((-x.abs()).exp()),
        }
    }

    fn slope(self, x: f64, target: f64) -> f64 {
        match self {
            Self::SmoothL1 { beta } => {
                let apart = x - target;
                if apart.abs() < beta {
                    apart / beta
                } else if apart == 0.0 {
                    0.0
                } else {
                    apart.signum()
                }
            }
            Self::BinaryCrossEntropy => 1.0 / (1.0 + (-x).exp()) - target,
        }
    }
}

struct Loss {
    op: &'static str,
    form: Form,
    targets: Vec<f32>,
}

impl CustomOp1 for Loss {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let pairs = slice::<T>(x, layout)?.iter().zip(&self.targets);
            let sum: f64 = pairs.map(|(x, target)| self.form.value(x.to_f64(), f64::from(*target))).sum();
            Ok((T::to_cpu_storage_owned(vec![T::from_f64(sum)]), Shape::from(())))
        })
    }

    fn bwd(&self, x: &Tensor, _sum: &Tensor, d_sum: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        by_dtype!(x.dtype(), T => {
            let d_sum = d_sum.to_scalar::<T>()?.to_f64();
            let guard = x.storage_and_layout();
            let pairs = elements::<T>(&guard)?.iter().zip(&self.targets);
            let slope = |(x, target): (&T, &f32)| T::from_f64(d_sum * self.form.slope(x.to_f64(), f64::from(*target)));
            Ok(Some(Tensor::from_vec(pairs.map(slope).collect::<Vec<T>>(), x.shape(), x.device())?))
        })
    }
}
