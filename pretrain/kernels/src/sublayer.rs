//! The two sublayers of a post-norm transformer layer. Paper: 1706.03762, sections 3.1 to 3.3.
//!
//! `y = LN(dropout(z w_oᵀ + b_o) + x)`, where z is either what attention gives for `x w_qkvᵀ + b_qkv`, or
//! `gelu(x w_iᵀ + b_i)`.
//!
//! They are [`linear_in`](crate::linear_in), [`attention`](crate::attention), [`linear_gelu_in`](crate::linear_gelu_in) and
//! [`residual_layer_norm`](crate::residual_layer_norm) one after the other, to the bit. The gradients to what lies between
//! them (queries, keys and values, z, and what is added to x), and the one to x from where it is added, are handed on directly
//! instead of through candle's store.

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

use crate::attention::{Attention, SelfAttention, attention};
use crate::dropout::Dropout;
use crate::element::{by_dtype, check_anywhere, check_vector, dims, elements, slice};
use crate::handover::{Bypass, Handover};
use crate::layer_norm::{LayerNorm, affine, check_arguments, residual_layer_norm};
use crate::linear::{Linear, linear_in};
use crate::linear_gelu::{Gaussian, LinearGelu, linear_gelu_in};
use crate::precision::Precision;
use crate::{Error, Result, composed};

/// A linear layer's parameters.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Weight, in PyTorch's order.
    pub w_oi: &'a Tensor,
    /// Bias.
    pub bias_o: &'a Tensor,
}

/// How a sublayer ends, and what its products are computed in.
#[derive(Debug, Clone, Copy)]
pub struct SublayerEnd<'a> {
    /// Of all products with weights.
    pub precision: Precision,
    /// From z to what is added to x.
    pub output: Affine<'a>,
    /// Of that.
    pub dropout: Option<&'a Dropout>,
    /// The layer norm's weight.
    pub weight_n: &'a Tensor,
    /// The layer norm's bias.
    pub bias_n: &'a Tensor,
    /// The layer norm's ε.
    pub eps: f64,
}

/// Self-attention, with gradients to x and all parameters.
///
/// # Shapes
/// - `x_tn` and the result: \[t, n\]; `qkv`: \[3·heads·d, n\], rows of queries, then of keys, then of values;
///   `end.output`: \[n, heads·d\]
///
/// # Errors
/// Those of the operations that it consists of.
pub fn attention_sublayer(
    x_tn: &Tensor,
    qkv: Affine<'_>,
    how: &Attention<'_>,
    end: &SublayerEnd<'_>,
) -> Result<Tensor> {
    if composed::is_needed(x_tn) {
        let qkv_t3w = linear_in(end.precision, x_tn, qkv.w_oi, Some(qkv.bias_o))?;
        return end.apart(&attention(&qkv_t3w, how)?, x_tn);
    }
    let linear = checked("attention_sublayer", end.precision, x_tn, qkv)?;
    let attention = SelfAttention::new("attention_sublayer", [linear.rows, linear.outputs], how)?;
    let width = attention.width();
    end.joined(Attended { linear, attention, qkv: OnceLock::new() }, width, x_tn, qkv)
}

/// The position-wise feed-forward network, with gradients to x and all parameters.
///
/// # Shapes
/// - `x_tn` and the result: \[t, n\]; `inner`: \[i, n\]; `end.output`: \[n, i\]
///
/// # Errors
/// Those of the operations that it consists of.
pub fn feed_forward_sublayer(x_tn: &Tensor, inner: Affine<'_>, end: &SublayerEnd<'_>) -> Result<Tensor> {
    if composed::is_needed(x_tn) {
        return end.apart(&linear_gelu_in(end.precision, x_tn, inner.w_oi, inner.bias_o)?, x_tn);
    }
    let linear = checked("feed_forward_sublayer", end.precision, x_tn, inner)?;
    let tracked = [x_tn, inner.w_oi, inner.bias_o].iter().any(|tensor| tensor.track_op());
    let width = linear.outputs;
    end.joined(LinearGelu::new(linear, tracked), width, x_tn, inner)
}

fn checked(op: &'static str, precision: Precision, x_tn: &Tensor, of: Affine<'_>) -> Result<Linear> {
    let linear = Linear::new(op, precision, x_tn, of.w_oi)?;
    check_anywhere(op, &[("x", x_tn), ("bias", of.bias_o)])?;
    check_vector(op, "bias", of.bias_o, linear.outputs)?;
    Ok(linear)
}

impl SublayerEnd<'_> {
    /// From z, one operation after the other.
    fn apart(&self, z: &Tensor, x_tn: &Tensor) -> Result<Tensor> {
        let y_tn = linear_in(self.precision, z, self.output.w_oi, Some(self.output.bias_o))?;
        residual_layer_norm(&y_tn, x_tn, self.dropout, self.weight_n, self.bias_n, self.eps)
    }

    /// From x, where `first` makes z of `width` numbers a row; nothing between them is seen by candle.
    fn joined<F: First + 'static>(
        &self,
        first: F,
        width: usize,
        x_tn: &Tensor,
        of_first: Affine<'_>,
    ) -> Result<Tensor> {
        const OP: &str = "sublayer";
        let Affine { w_oi, bias_o } = self.output;
        let [rows, outputs] = dims(OP, "x", "[t, n]", x_tn)?;
        if w_oi.dims() != [outputs, width] {
            let expected = format!("[{outputs}, {width}]");
            return Err(Error::Shape { op: OP, tensor: "output.w", expected, got: w_oi.dims().to_vec() });
        }
        check_anywhere(OP, &[("x", x_tn), ("output.w", w_oi), ("output.bias", bias_o)])?;
        check_vector(OP, "output.bias", bias_o, outputs)?;
        check_arguments(x_tn, self.weight_n, self.bias_n)?;
        self.dropout.map_or(Ok(()), |dropout| dropout.check(OP, rows, 1))?;
        let linear = Linear { precision: self.precision, rows, inputs: width, outputs };
        let dropout = self.dropout.filter(|dropout| dropout.rate > 0.0).cloned();
        let norm = LayerNorm::new(self.eps, dropout);
        let [z, y] = [(); 2].map(|()| Arc::new(Handover::default()));

        let x_tn = x_tn.contiguous()?;
        let residual = Arc::new(Bypass::default());
        let begin = Begin { first, to: z.clone(), residual: residual.clone() };
        let token = x_tn.apply_op3(&of_first.w_oi.contiguous()?, &of_first.bias_o.contiguous()?, begin)?;
        let output = Output { linear, from: z, to: y.clone() };
        let token = token.apply_op3(&w_oi.contiguous()?, &bias_o.contiguous()?, output)?;
        let end = End { norm, from: y, residual };
        Ok(token.apply_op3(&x_tn, &affine(self.weight_n, self.bias_n)?, end)?)
    }
}

/// What makes z.
trait First: Send + Sync {
    fn forward<T: Gaussian>(&self, x: &[T], w: &[T], bias: &[T]) -> Vec<T>;
    /// `residual` is added to the gradient to x.
    fn backward<T: Gaussian>(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        d_z: Vec<T>,
        residual: &[T],
    ) -> candle_core::Result<[Option<Tensor>; 3]>;
}

/// Attention, and the product that makes its queries, keys and values.
struct Attended {
    linear: Linear,
    attention: SelfAttention,
    qkv: OnceLock<CpuStorage>,
}

impl First for Attended {
    fn forward<T: Gaussian>(&self, x: &[T], w: &[T], bias: &[T]) -> Vec<T> {
        let qkv = self.linear.forward(x, w, Some(bias), |_, _, _| {});
        let z = self.attention.forward(&qkv);
        // One forward, one value: an operation is applied once.
        self.qkv.get_or_init(|| T::to_cpu_storage_owned(qkv));
        z
    }

    fn backward<T: Gaussian>(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        d_z: Vec<T>,
        residual: &[T],
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let Some(qkv) = self.qkv.get() else { candle_core::bail!("attention backward before forward") };
        let d_qkv = self.attention.backward(T::cpu_storage_as_slice(qkv)?, &d_z);
        drop(d_z);
        let d_qkv = self.linear.output_gradient(&d_qkv);
        self.linear.backward(x, w, Some(bias), &d_qkv, Some(residual))
    }
}

impl First for LinearGelu {
    fn forward<T: Gaussian>(&self, x: &[T], w: &[T], bias: &[T]) -> Vec<T> {
        self.forward(x, w, bias)
    }

    fn backward<T: Gaussian>(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        d_y: Vec<T>,
        residual: &[T],
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let d_z = self.d_z(&d_y)?;
        drop(d_y);
        self.linear.backward(x, w, Some(bias), &d_z, Some(residual))
    }
}

/// From x, weight and bias to z.
struct Begin<F> {
    first: F,
    to: Arc<Handover>,
    /// The gradient to x from where it is added.
    residual: Arc<Bypass>,
}

impl<F: First> CustomOp3 for Begin<F> {
    fn name(&self) -> &'static str {
        "sublayer_begin"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let (w, bias) = (slice::<T>(w, w_layout)?, slice(bias, bias_layout)?);
            Ok(self.to.give(self.first.forward(slice(x, x_layout)?, w, bias)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _token: &Tensor,
        _d_token: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let (d_z, residual) = (self.to.take_back()?, self.residual.take_back::<T>()?);
            Ok(self.first.backward(x, w, bias, d_z, &residual)?.into())
        })
    }
}

/// From z, weight and bias to what is added to x.
struct Output {
    linear: Linear,
    from: Arc<Handover>,
    to: Arc<Handover>,
}

impl CustomOp3 for Output {
    fn name(&self) -> &'static str {
        "sublayer_output"
    }

    fn cpu_fwd(
        &self,
        token: &CpuStorage,
        _: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(token.dtype(), T => {
            let (w, bias) = (slice::<T>(w, w_layout)?, slice(bias, bias_layout)?);
            Ok(self.to.give(self.linear.forward(self.from.values()?, w, Some(bias), |_, _, _| {})))
        })
    }

    fn bwd(
        &self,
        token: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        _d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(token.dtype(), T => {
            let d_y: Vec<T> = self.to.take_back()?;
            let d_y = self.linear.output_gradient(&d_y);
            let d_token = || {
                let w = w.storage_and_layout();
                self.from.give_back(self.linear.input_gradient(elements::<T>(&w)?, &d_y, None), token)
            };
            let d_token = token.track_op().then(d_token).transpose()?;
            let [d_w, d_bias] =
                self.linear.parameter_gradients(self.from.values::<T>()?, w, Some(bias), &d_y)?;
            Ok((d_token, d_w, d_bias))
        })
    }
}

/// From what is added to x, x, and the norm's parameters to y.
struct End {
    norm: LayerNorm,
    from: Arc<Handover>,
    /// Where the gradient to x goes.
    residual: Arc<Bypass>,
}

impl CustomOp3 for End {
    fn name(&self) -> &'static str {
        "sublayer_end"
    }

    fn cpu_fwd(
        &self,
        token: &CpuStorage,
        _: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(token.dtype(), T => {
            let residual = slice::<T>(residual, residual_layout)?;
            let y = self.norm.forward(self.from.values()?, Some(residual), slice(affine, affine_layout)?);
            Ok((T::to_cpu_storage_owned(y), residual_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        token: &Tensor,
        residual: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        by_dtype!(token.dtype(), T => {
            let (residual_guard, affine_guard) = (residual.storage_and_layout(), affine.storage_and_layout());
            let d_y = d_y.storage_and_layout();
            let (d_s, d_x, d_affine) = self.norm.backward::<T>(
                self.from.values()?,
                Some(elements(&residual_guard)?),
                elements(&affine_guard)?,
                elements(&d_y)?,
            );
            let d_token = self.from.give_back(d_x.unwrap_or_else(|| d_s.clone()), token)?;
            self.residual.give_back(d_s);
            let d_affine = Tensor::from_vec(d_affine, affine.shape(), affine.device())?;
            Ok((Some(d_token), None, Some(d_affine)))
        })
    }
}
