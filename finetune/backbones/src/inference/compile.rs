//! From layers with weights to what computes them.

use candle_core::{DType, Tensor};
use pretrain_kernels::ConvGeometry;
use pretrain_kernels::image::{Activation, Convolution, Depthwise, Excitation, Number};

use super::block::Layer;
use crate::Result;
use crate::modules::{self, BatchNorm, Linear};

/// A convolution with its normalisation folded in.
pub(crate) struct Folded {
    w_oihw: Vec<f32>,
    dims: [usize; 4],
    bias_o: Vec<f32>,
    conv: [usize; 3],
    rule: modules::PaddingRule,
}

impl Folded {
    /// In f64, rounded once.
    pub(crate) fn new(conv: &modules::Convolution, norm: &BatchNorm) -> Result<Self> {
        let (o, i, h, w) = conv.w_oihw.dims4()?;
        let doubles = |tensor: &Tensor| -> Result<Vec<f64>> {
            Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?)
        };
        let (weight, bias) = (doubles(&norm.weight_c)?, doubles(&norm.bias_c)?);
        let (mean, variance) = (doubles(&norm.mean_c)?, doubles(&norm.variance_c)?);
        let scale: Vec<f64> = weight
            .iter()
            .zip(&variance)
            .map(|(weight, variance)| weight / (variance + norm.epsilon).sqrt())
            .collect();
        let bias_o = (0..o).map(|o| (bias[o] - mean[o] * scale[o]) as f32).collect();
        let mut w_oihw = conv.w_oihw.flatten_all()?.to_vec1::<f32>()?;
        for (rows, scale) in w_oihw.chunks_exact_mut(i * h * w).zip(&scale) {
            rows.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
        }
        let rule = conv.padding;
        Ok(Self { w_oihw, dims: [o, i, h, w], bias_o, conv: [h, conv.stride, conv.groups], rule })
    }

    pub(crate) fn layer<N: Number>(self, activation: Activation) -> Layer<Convolution<N>> {
        let [_, stride, groups] = self.conv;
        let geometry = ConvGeometry { stride: [stride; 2], groups, ..ConvGeometry::default() };
        let conv = Convolution::new(&self.w_oihw, self.dims, &self.bias_o, &geometry, activation);
        self.around(conv)
    }

    /// The first layer, of pictures.
    pub(crate) fn stem<N: Number>(self, activation: Activation) -> Layer<Convolution<N>> {
        let [_, stride, _] = self.conv;
        let conv =
            Convolution::over_whole_pixels(&self.w_oihw, self.dims, &self.bias_o, [stride; 2], activation);
        self.around(conv)
    }

    pub(crate) fn depthwise(self, activation: Activation) -> Layer<Depthwise> {
        let ([channels, _, h, w], [_, stride, _]) = (self.dims, self.conv);
        let conv = Depthwise::new(&self.w_oihw, [channels, h, w], &self.bias_o, [stride; 2], activation);
        self.around(conv)
    }

    fn around<C>(&self, conv: C) -> Layer<C> {
        let [kernel, stride, _] = self.conv;
        Layer { conv, kernel, stride, rule: self.rule }
    }
}

/// Squeeze and excitation of two 1 x 1 convolutions.
pub(crate) fn excitation(reduce: &modules::Convolution, excite: &modules::Convolution) -> Result<Excitation> {
    let numbers = |tensor: &Tensor| -> Result<Vec<f32>> { Ok(tensor.flatten_all()?.to_vec1::<f32>()?) };
    let bias = |conv: &modules::Convolution| match &conv.bias_o {
        Some(bias) => numbers(bias),
        None => Ok(vec![0.0; conv.w_oihw.dims4()?.0]),
    };
    Ok(Excitation::new(&numbers(&reduce.w_oihw)?, &bias(reduce)?, &numbers(&excite.w_oihw)?, &bias(excite)?))
}

/// The classifier, of maps of one pixel.
pub(crate) fn classifier<N: Number>(linear: &Linear) -> Result<Convolution<N>> {
    let (o, i) = linear.w_oi.dims2()?;
    let w_oi = linear.w_oi.flatten_all()?.to_vec1::<f32>()?;
    let bias_o = linear.bias_o.to_vec1::<f32>()?;
    Ok(Convolution::new(&w_oi, [o, i, 1, 1], &bias_o, &ConvGeometry::default(), Activation::None))
}
