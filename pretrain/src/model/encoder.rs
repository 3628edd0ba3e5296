//! The encoder: post-norm transformer layers (Paper: 1706.03762, section 3.1), and BERT's pooler.

use candle_core::Tensor;
use pretrain_kernels::{
    Attention, AttentionMask, Dropout, Sequences, attention, attention_sublayer, concatenate,
    feed_forward_sublayer, layer_norm, residual_layer_norm, tanh,
};

use super::batch::Batch;
use super::config::ModelConfig;
use super::embeddings::Embeddings;
use super::heads::Linear;
use super::parameters::Tensors;
use super::pass::{Pass, Place};
use crate::Result;

/// `bert.*` of a model folder.
#[derive(Debug, Clone)]
pub struct Encoder {
    pub(crate) embeddings: Embeddings,
    pub(crate) layers: Vec<Layer>,
    pub(crate) pooler: Linear,
}

impl Encoder {
    /// A network over tensors, which stay those of the caller: it computes with what they hold at the time.
    ///
    /// # Errors
    /// A config that cannot be; a tensor that is missing or of another shape.
    pub fn new(config: &ModelConfig, tensors: Tensors<'_>) -> Result<Self> {
        config.validate()?;
        let layers = (0..config.num_hidden_layers).map(|number| Layer::new(number, config, tensors));
        Ok(Self {
            embeddings: Embeddings::new(config, tensors)?,
            layers: layers.collect::<Result<_>>()?,
            pooler: tensors.linear("bert.pooler.dense", config.hidden_size, config.hidden_size)?,
        })
    }

    /// The last layer's output.
    ///
    /// # Shapes
    /// - result: \[t, h\], rows as they lie in the batch
    ///
    /// # Errors
    /// Those of the operations.
    pub fn forward(&self, batch: &Batch, pass: Pass) -> Result<Tensor> {
        let x_th = self.embed(batch, pass)?;
        (0..self.layers.len()).try_fold(x_th, |x_th, layer| self.layer(layer, &x_th, batch, pass))
    }

    /// Layers of the encoder.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// What the first layer reads. \[t, h\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn embed(&self, batch: &Batch, pass: Pass) -> Result<Tensor> {
        self.embeddings.forward(batch, pass)
    }

    /// One layer. \[t, h\] to \[t, h\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn layer(&self, number: usize, x_th: &Tensor, batch: &Batch, pass: Pass) -> Result<Tensor> {
        self.layers[number].forward(x_th, batch, pass)
    }

    /// `tanh(W x + b)` of every sample's first token.
    ///
    /// # Shapes
    /// - `hidden_th`: \[t, h\]; result: \[b, h\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn pool(&self, hidden_th: &Tensor, batch: &Batch) -> Result<Tensor> {
        let first_bh = rows(hidden_th, &batch.first_rows)?;
        Ok(tanh(&self.pooler.forward(&first_bh)?)?)
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) fn word_embeddings(&self) -> &Tensor {
        &self.embeddings.word_vh
    }
}

/// Layer norm over h.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) weight_h: Tensor,
    pub(crate) bias_h: Tensor,
    pub(crate) eps: f64,
}

impl Norm {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight_h, &self.bias_h, self.eps)?)
    }
}

/// Rows of a matrix, with gradient.
pub(crate) fn rows(x_th: &Tensor, rows: &[u32]) -> Result<Tensor> {
    Ok(x_th.index_select(&Tensor::from_slice(rows, rows.len(), x_th.device())?, 0)?)
}

#[derive(Debug, Clone)]
pub(crate) struct Layer {
    number: usize,
    pub(super) heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
    hidden_rate: f64,
    attention_rate: f64,
}

impl Layer {
    fn new(number: usize, config: &ModelConfig, tensors: Tensors<'_>) -> Result<Self> {
        let (h, i, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let name = |part: &str| format!("bert.encoder.layer.{number}.{part}");
        Ok(Self {
            number,
            heads: config.num_attention_heads,
            query: tensors.linear(&name("attention.self.query"), h, h)?,
            key: tensors.linear(&name("attention.self.key"), h, h)?,
            value: tensors.linear(&name("attention.self.value"), h, h)?,
            attention_output: tensors.linear(&name("attention.output.dense"), h, h)?,
            attention_norm: tensors.norm(&name("attention.output.LayerNorm"), h, eps)?,
            intermediate: tensors.linear(&name("intermediate.dense"), i, h)?,
            output: tensors.linear(&name("output.dense"), h, i)?,
            output_norm: tensors.norm(&name("output.LayerNorm"), h, eps)?,
            hidden_rate: config.hidden_dropout_prob,
            attention_rate: config.attention_probs_dropout_prob,
        })
    }

    pub(super) fn n_heads(&self) -> usize {
        self.heads
    }

    pub(super) fn query_and_key(&self) -> [&Linear; 2] {
        [&self.query, &self.key]
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> &Linear {
        &self.value
    }

    fn forward(&self, x_th: &Tensor, batch: &Batch, pass: Pass) -> Result<Tensor> {
        let numbers = &batch.numbers.packed;
        let drop = |place, rate| pass.dropout(place, rate, numbers);
        self.compute(x_th, (&batch.sequences, batch.attention_mask()), None, &drop)
    }

    /// The layer's output of all rows, or of those in `only`, which saves the work on the others that no row needs.
    pub(super) fn compute(
        &self,
        x_th: &Tensor,
        (sequences, mask): (&Sequences, Option<AttentionMask<'_>>),
        only: Option<&[u32]>,
        drop: &dyn Fn(Place, f64) -> Option<Dropout>,
    ) -> Result<Tensor> {
        let qkv = self.qkv()?;
        let dropout = drop(Place::Attention(self.number), self.attention_rate);
        let how = Attention {
            heads: self.heads,
            sequences,
            mask,
            dropout: dropout.as_ref(),
            precision: self.query.precision,
        };
        if let Some(only) = only {
            let seen_th = attention(&qkv.forward(x_th)?, &how)?;
            return self.after_attention(&rows(&seen_th, only)?, &rows(x_th, only)?, drop);
        }
        let dropout = drop(Place::AttentionOutput(self.number), self.hidden_rate);
        let end = self.attention_output.end(&self.attention_norm, dropout.as_ref());
        self.feed_forward(&attention_sublayer(x_th, qkv.parameters(), &how, &end)?, drop)
    }

    /// One product that makes queries, keys and values.
    pub(super) fn qkv(&self) -> Result<Linear> {
        let parts = [&self.query, &self.key, &self.value];
        Ok(Linear {
            w_oi: concatenate(parts.map(|part| &part.w_oi))?,
            bias_o: concatenate(parts.map(|part| &part.bias_o))?,
            precision: self.query.precision,
        })
    }

    /// What follows attention: `seen_th` is what it gave for `x_th`.
    pub(super) fn after_attention(
        &self,
        seen_th: &Tensor,
        x_th: &Tensor,
        drop: &dyn Fn(Place, f64) -> Option<Dropout>,
    ) -> Result<Tensor> {
        let y_th = self.attention_output.forward(seen_th)?;
        let dropout = drop(Place::AttentionOutput(self.number), self.hidden_rate);
        let norm = &self.attention_norm;
        let x_th =
            residual_layer_norm(&y_th, x_th, dropout.as_ref(), &norm.weight_h, &norm.bias_h, norm.eps)?;

        self.feed_forward(&x_th, drop)
    }

    fn feed_forward(&self, x_th: &Tensor, drop: &dyn Fn(Place, f64) -> Option<Dropout>) -> Result<Tensor> {
        let dropout = drop(Place::Output(self.number), self.hidden_rate);
        let end = self.output.end(&self.output_norm, dropout.as_ref());
        Ok(feed_forward_sublayer(x_th, self.intermediate.parameters(), &end)?)
    }
}
