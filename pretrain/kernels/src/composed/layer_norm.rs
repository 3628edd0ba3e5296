//! Layer normalisation over the last dimension. Paper: 1607.06450, eq. 3 and 4.

use candle_core::{D, Tensor};

use crate::Result;

/// `(x - mean) / sqrt(variance + eps) weight + bias`, in two passes.
///
/// # Shapes
/// - `x`: \[..., n\]; `weight_n`, `bias_n`: \[n\]; result: that of `x`
pub(crate) fn layer_norm(x: &Tensor, weight_n: &Tensor, bias_n: &Tensor, eps: f64) -> Result<Tensor> {
    let count = weight_n.elem_count() as f64;
    let mean = (x.sum_keepdim(D::Minus1)? / count)?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / count)?;
    let normalised = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    Ok(normalised.broadcast_mul(weight_n)?.broadcast_add(bias_n)?)
}
