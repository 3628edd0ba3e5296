//! Convolution in two dimensions: dense, grouped and depthwise, with gradients for all arguments.
//!
//! `y[b, o, p, q] = bias[o] + Σ_i,kh,kw w[o, i, kh, kw] x[b, g(o) + i, p s_h + kh d_h - top, q s_w + kw d_w - left]`
//!
//! Legend: b batch, i and o channels, h and w rows and columns, k a kernel's element. Three ways, chosen by the shape
//! of the weight: `pointwise` (1 x 1), `narrow` (depthwise, small groups), `columns` (the rest).
//!
//! Every sum is formed by one thread in an order that the sizes of one sample fix, so neither the number of threads
//! nor the neighbours in a batch change a bit. Derivatives of the gradients are not there.

mod columns;
mod geometry;
mod narrow;
mod pointwise;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

pub use geometry::{ConvGeometry, Padding};

use crate::Result;
use crate::element::{Element, by_dtype, check, check_vector, dims, elements, slice};
use geometry::{OP, Sizes, Way};

/// Convolution of f32 or f64 maps with gradients to all arguments.
///
/// # Shapes
/// - `x_bihw`: \[b, groups · i, h, w\]
/// - `w_oihw`: \[o, i, kernel h, kernel w\], PyTorch's order
/// - `bias_o`: \[o\]
/// - result: \[b, o, (h + top + bottom - (kernel h - 1) dilation - 1) / stride + 1, the same of w\]
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn conv2d(
    x_bihw: &Tensor,
    w_oihw: &Tensor,
    bias_o: Option<&Tensor>,
    geometry: &ConvGeometry,
) -> Result<Tensor> {
    let x = dims(OP, "x", "[b, i, h, w]", x_bihw)?;
    let w = dims(OP, "w", "[o, i, h, w]", w_oihw)?;
    let sizes = Sizes::new(x, w, geometry)?;
    check(OP, &[("x", x_bihw), ("w", w_oihw)])?;
    let (x_bihw, w_oihw) = (x_bihw.contiguous()?, w_oihw.contiguous()?);
    let Some(bias_o) = bias_o else {
        return Ok(x_bihw.apply_op2(&w_oihw, Convolution(sizes))?);
    };
    check(OP, &[("x", &x_bihw), ("bias", bias_o)])?;
    check_vector(OP, "bias", bias_o, w[0])?;
    Ok(x_bihw.apply_op3(&w_oihw, &bias_o.contiguous()?, Convolution(sizes))?)
}

struct Convolution(Sizes);

impl Convolution {
    fn forward<T: Element>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> (CpuStorage, Shape) {
        let sizes = &self.0;
        let shape = Shape::from(&sizes.output_shape());
        let mut y = vec![T::ZERO; shape.elem_count()];
        match sizes.way() {
            Way::Pointwise => pointwise::forward(sizes, x, w, &mut y),
            Way::Narrow => narrow::forward(sizes, x, w, &mut y),
            Way::Columns => columns::forward(sizes, x, w, &mut y),
        }
        if let Some(bias) = bias {
            y.par_chunks_mut(sizes.output_area()).enumerate().for_each(|(plane, y)| {
                y.iter_mut().for_each(|y| *y += bias[plane % bias.len()]);
            });
        }
        (T::to_cpu_storage_owned(y), shape)
    }

    /// Gradients to x and w, where they are asked for.
    fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let d_x = x.track_op().then(|| self.input_gradient::<T>(x, w, &d_y)).transpose()?;
            let d_w = w.track_op().then(|| self.weight_gradient::<T>(x, w, &d_y)).transpose()?;
            Ok((d_x, d_w))
        })
    }

    fn input_gradient<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let sizes = &self.0;
        let mut d_x = vec![T::ZERO; x.elem_count()];
        let (w, d_y) = (w.storage_and_layout(), d_y.storage_and_layout());
        let (w, d_y) = (elements::<T>(&w)?, elements::<T>(&d_y)?);
        match sizes.way() {
            Way::Pointwise => pointwise::input_gradient(sizes, w, d_y, &mut d_x),
            Way::Narrow => narrow::input_gradient(sizes, w, d_y, &mut d_x),
            Way::Columns => columns::input_gradient(sizes, w, d_y, &mut d_x),
        }
        Tensor::from_vec(d_x, x.shape(), x.device())
    }

    fn weight_gradient<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let sizes = &self.0;
        let mut d_w = vec![T::ZERO; w.elem_count()];
        let (x, d_y) = (x.storage_and_layout(), d_y.storage_and_layout());
        let (x, d_y) = (elements::<T>(&x)?, elements::<T>(&d_y)?);
        match sizes.way() {
            Way::Pointwise => pointwise::weight_gradient(sizes, x, d_y, &mut d_w),
            Way::Narrow if sizes.has_few_pairs() => narrow::weight_gradient(sizes, x, d_y, &mut d_w),
            Way::Narrow | Way::Columns => columns::weight_gradient(sizes, x, d_y, &mut d_w),
        }
        Tensor::from_vec(d_w, w.shape(), w.device())
    }

    /// `d_bias[o] = Σ_bpq d_y[b, o, p, q]`, in f64.
    fn bias_gradient<T: Element>(&self, bias: &Tensor, d_y: &Tensor) -> candle_core::Result<Tensor> {
        let (area, channels) = (self.0.output_area(), bias.elem_count());
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        let d_y = elements::<T>(&d_y)?;
        let d_bias: Vec<T> = (0..channels)
            .into_par_iter()
            .map(|channel| {
                let planes = d_y.chunks(area).skip(channel).step_by(channels);
                T::from_f64(planes.map(crate::sums::sum).sum())
            })
            .collect();
        Tensor::from_vec(d_bias, bias.shape(), bias.device())
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => Ok(self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, None)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, d_y)
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        OP
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
            let bias = slice(bias, bias_layout)?;
            Ok(self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, Some(bias)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (d_x, d_w) = self.backward(x, w, d_y)?;
        let d_bias = bias.track_op().then(|| by_dtype!(x.dtype(), T => self.bias_gradient::<T>(bias, d_y)));
        Ok((d_x, d_w, d_bias.transpose()?))
    }
}
