//! Heads: what is asked of the encoder's output.

use candle_core::Tensor;
use pretrain_kernels::{
    Affine, CrossEntropy, Dropout, Precision, SublayerEnd, linear_gelu_in, linear_in,
    vocabulary_cross_entropy_in,
};

use super::config::ModelConfig;
use super::encoder::Norm;
use super::parameters::Tensors;
use crate::Result;

/// `x Wᵀ + b`
#[derive(Debug, Clone)]
pub struct Linear {
    /// Weight, as PyTorch stores it.
    pub w_oi: Tensor,
    /// Bias.
    pub bias_o: Tensor,
    /// What its products are computed in.
    pub precision: Precision,
}

/// `x = LN(gelu(W h + b))`, then logits `x Eᵀ + bias` with the word embeddings E.
#[derive(Debug, Clone)]
pub struct MaskedTokenHead {
    transform: Linear,
    norm: Norm,
    decoder_vh: Tensor,
    bias_v: Tensor,
}

impl Linear {
    /// # Shapes
    /// - `x_bi`: \[b, i\]; result: \[b, o\]
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x_bi: &Tensor) -> Result<Tensor> {
        Ok(linear_in(self.precision, x_bi, &self.w_oi, Some(&self.bias_o))?)
    }

    pub(super) fn parameters(&self) -> Affine<'_> {
        Affine { w_oi: &self.w_oi, bias_o: &self.bias_o }
    }

    /// As the last product of a sublayer.
    pub(super) fn end<'a>(&'a self, norm: &'a Norm, dropout: Option<&'a Dropout>) -> SublayerEnd<'a> {
        SublayerEnd {
            precision: self.precision,
            output: self.parameters(),
            dropout,
            weight_n: &norm.weight_h,
            bias_n: &norm.bias_h,
            eps: norm.eps,
        }
    }

    /// `gelu(x Wᵀ + b)`
    pub(crate) fn forward_gelu(&self, x_bi: &Tensor) -> Result<Tensor> {
        Ok(linear_gelu_in(self.precision, x_bi, &self.w_oi, &self.bias_o)?)
    }
}

impl MaskedTokenHead {
    /// `cls.predictions.*`, whose decoder is the word embeddings or a matrix of its own.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn new(config: &ModelConfig, tensors: Tensors<'_>, decoder_vh: &Tensor) -> Result<Self> {
        let h = config.hidden_size;
        Ok(Self {
            transform: tensors.linear("cls.predictions.transform.dense", h, h)?,
            norm: tensors.norm("cls.predictions.transform.LayerNorm", h, config.layer_norm_eps)?,
            decoder_vh: decoder_vh.clone(),
            bias_v: tensors.get("cls.predictions.bias", &[config.vocab_size])?,
        })
    }

    /// # Shapes
    /// - `x_kh`: \[k, h\], the rows that are asked; result: \[k, v\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn logits(&self, x_kh: &Tensor) -> Result<Tensor> {
        let precision = self.transform.precision;
        Ok(linear_in(precision, &self.transform(x_kh)?, &self.decoder_vh, Some(&self.bias_v))?)
    }

    /// The sum of `-log p(label)` over the rows, without keeping their logits.
    ///
    /// # Shapes
    /// - `x_kh`: \[k, h\]; `labels`: k numbers below v
    ///
    /// # Errors
    /// Those of the operations.
    pub fn loss(&self, x_kh: &Tensor, labels: &[i64]) -> Result<CrossEntropy> {
        let precision = self.transform.precision;
        let x_kh = self.transform(x_kh)?;
        Ok(vocabulary_cross_entropy_in(precision, &x_kh, &self.decoder_vh, &self.bias_v, labels)?)
    }

    fn transform(&self, x_kh: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.transform.forward_gelu(x_kh)?)
    }
}
