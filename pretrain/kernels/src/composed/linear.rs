//! Products with weights, and GELU. Paper: 1606.08415, section 2.
//!
//! Legend: b rows, i inputs, o outputs.

use candle_core::{DType, Tensor};

use crate::Result;
use crate::precision::Precision;

/// The product of two matrices or of two stacks of them.
///
/// In bf16 the factors of f32 tensors are rounded to bf16, and so is the product before it is f32 again: candle's product of
/// bf16 adds up in f32 and returns bf16. Gradients of the factors are rounded in the same way. Weights stay f32, which is
/// what is trained.
pub(super) fn product(precision: Precision, lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    if precision == Precision::Bf16 && lhs.dtype() == DType::F32 {
        let [lhs, rhs] = [lhs, rhs].map(|factor| factor.to_dtype(DType::BF16));
        return Ok(lhs?.matmul(&rhs?)?.to_dtype(DType::F32)?);
    }
    Ok(lhs.matmul(rhs)?)
}

/// `x wᵀ + bias`.
///
/// # Shapes
/// - `x_bi`: \[b, i\]; `w_oi`: \[o, i\]; `bias_o`: \[o\]; result: \[b, o\]
pub(crate) fn linear(
    precision: Precision,
    x_bi: &Tensor,
    w_oi: &Tensor,
    bias_o: Option<&Tensor>,
) -> Result<Tensor> {
    let y_bo = product(precision, x_bi, &w_oi.t()?)?;
    Ok(match bias_o {
        Some(bias_o) => y_bo.broadcast_add(bias_o)?,
        None => y_bo,
    })
}

/// `gelu(x wᵀ + bias)`, `gelu(z) = z (1 + erf(z / √2)) / 2`. Not candle's `gelu_erf`: the constant of its gradient has six
/// digits.
pub(crate) fn linear_gelu(
    precision: Precision,
    x_bi: &Tensor,
    w_oi: &Tensor,
    bias_o: &Tensor,
) -> Result<Tensor> {
    let z_bo = linear(precision, x_bi, w_oi, Some(bias_o))?;
    let below_bo = (&z_bo * std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
    Ok((z_bo * below_bo)?)
}
