//! Activations, and the softmax of rows.

use candle_core::{D, Tensor};

use crate::Result;

/// `max(x, 0)`; NaN stays NaN, the gradient at 0 is 0 (candle's own relu has 1 there).
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    // the comparison must not be part of the graph: candle's backward finds no gradient for it
    let is_below = x.detach().le(0.0)?;
    Ok(is_below.where_cond(&x.zeros_like()?, x)?)
}

/// `1 / (1 + e^-x) = (1 + tanh(x / 2)) / 2`, whose gradient is finite everywhere.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((x * 0.5)?.tanh()?.affine(0.5, 0.5)?)
}

/// The hyperbolic tangent.
pub(crate) fn tanh(x: &Tensor) -> Result<Tensor> {
    Ok(x.tanh()?)
}

/// `e^(x - max x) / Σ e^(x - max x)` of every row. The largest number is a constant: it cancels.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let largest = x.detach().max_keepdim(D::Minus1)?;
    let e = x.broadcast_sub(&largest)?.exp()?;
    Ok(e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?)
}
