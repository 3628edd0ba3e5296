//! The layers of both families over their weights.
//!
//! b batch, c and i input channels, o output channels, h and w of the map.

use candle_core::Tensor;
use pretrain_kernels::{ConvGeometry, Padding, batch_norm_inference, batch_norm_training, conv2d, linear};

use crate::Result;
use crate::training_pass::TrainingPass;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'p> {
    /// Normalisation with the running statistics; nothing is left out.
    Inference,
    /// Normalisation with the statistics of the batch, which the pass collects; blocks and numbers are left out as it
    /// draws.
    Training(&'p TrainingPass),
}

/// How a convolution sees the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaddingRule {
    /// Half a kernel on each side: PyTorch's way.
    Symmetric,
    /// What the size needs, the odd one below and to the right: TensorFlow's SAME.
    Same,
}

impl PaddingRule {
    /// The zeros around a map of `size` = \[h, w\].
    pub(crate) fn padding(self, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Padding {
        match self {
            Self::Symmetric => Padding::symmetric((kernel[0] - 1) / 2),
            Self::Same => Padding::same(size, kernel, stride, [1, 1]),
        }
    }
}

/// A convolution with a square kernel.
#[derive(Debug)]
pub(crate) struct Convolution {
    pub(crate) w_oihw: Tensor,
    pub(crate) bias_o: Option<Tensor>,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    pub(crate) padding: PaddingRule,
}

impl Convolution {
    /// # Shapes
    /// - `x_bihw`: \[b, i, h, w\]
    /// - result: \[b, o, ceil(h / stride), ceil(w / stride)\]
    pub(crate) fn forward(&self, x_bihw: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x_bihw.dims4()?;
        let (_, _, kernel_h, kernel_w) = self.w_oihw.dims4()?;
        let (kernel, stride, dilation) = ([kernel_h, kernel_w], [self.stride; 2], [1, 1]);
        let padding = self.padding.padding([h, w], kernel, stride);
        let geometry = ConvGeometry { stride, padding, dilation, groups: self.groups };
        Ok(conv2d(x_bihw, &self.w_oihw, self.bias_o.as_ref(), &geometry)?)
    }

    /// A 1 x 1 convolution on averaged maps, where it is a product.
    ///
    /// # Shapes
    /// - `x_bi`: \[b, i\]
    /// - result: \[b, o\]
    pub(crate) fn on_averages(&self, x_bi: &Tensor) -> Result<Tensor> {
        Ok(linear(x_bi, &self.w_oihw.flatten_from(1)?, self.bias_o.as_ref())?)
    }
}

/// Batch normalisation. Paper: 1502.03167.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    pub(crate) name: String,
    pub(crate) weight_c: Tensor,
    pub(crate) bias_c: Tensor,
    pub(crate) mean_c: Tensor,
    pub(crate) variance_c: Tensor,
    pub(crate) epsilon: f64,
}

impl BatchNorm {
    /// # Shapes
    /// - `x_bchw` and the result: \[b, c, h, w\]
    pub(crate) fn forward(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let Self { name, weight_c, bias_c, mean_c, variance_c, epsilon } = self;
        match mode {
            Mode::Training(pass) if !pass.fixes(name) => {
                let (y_bchw, mean_c, variance_c) = batch_norm_training(x_bchw, weight_c, bias_c, *epsilon)?;
                let values = x_bchw.elem_count() / weight_c.elem_count().max(1);
                pass.observe(name, &mean_c, &variance_c, values)?;
                Ok(y_bchw)
            }
            _ => Ok(batch_norm_inference(x_bchw, mean_c, variance_c, weight_c, bias_c, *epsilon)?),
        }
    }
}

/// A product with bias.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) w_oi: Tensor,
    pub(crate) bias_o: Tensor,
}

impl Linear {
    /// # Shapes
    /// - `x_bi`: \[b, i\]
    /// - result: \[b, o\]
    pub(crate) fn forward(&self, x_bi: &Tensor) -> Result<Tensor> {
        Ok(linear(x_bi, &self.w_oi, Some(&self.bias_o))?)
    }
}
