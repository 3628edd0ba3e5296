//! Words, tags and regions as vectors.

use candle_core::Tensor;
use pretrain_kernels::{dropout, embedding_sum};

use super::batch::Batch;
use super::config::ModelConfig;
use super::encoder::Norm;
use super::heads::Linear;
use super::parameters::Tensors;
use super::pass::{Pass, Place};
use crate::Result;

/// `LN(word + position + segment)` for tokens, `LN?(W v + b)` for regions.
#[derive(Debug, Clone)]
pub(crate) struct Embeddings {
    pub(crate) word_vh: Tensor,
    position_ph: Tensor,
    segment_sh: Tensor,
    norm: Norm,
    region: Linear,
    region_norm: Option<Norm>,
    padding: u32,
    rate: f64,
}

impl Embeddings {
    pub(crate) fn new(config: &ModelConfig, tensors: Tensors<'_>) -> Result<Self> {
        let h = config.hidden_size;
        let table =
            |name: &str, rows| tensors.get(&format!("bert.embeddings.{name}_embeddings.weight"), &[rows, h]);
        let region_norm = config
            .has_region_norm()
            .then(|| tensors.norm("bert.LayerNorm", h, config.img_layer_norm_eps))
            .transpose()?;
        Ok(Self {
            word_vh: table("word", config.vocab_size)?,
            position_ph: table("position", config.max_position_embeddings)?,
            segment_sh: table("token_type", config.type_vocab_size)?,
            norm: tensors.norm("bert.embeddings.LayerNorm", h, config.layer_norm_eps)?,
            region: tensors.linear("bert.img_embedding", h, config.img_feature_dim)?,
            region_norm,
            padding: config.pad_token_id,
            rate: config.hidden_dropout_prob,
        })
    }

    /// # Shapes
    /// - result: \[t, h\]
    pub(crate) fn forward(&self, batch: &Batch, pass: Pass) -> Result<Tensor> {
        let x_nh = self.tokens(&batch.word_ids, &batch.position_ids, &batch.segment_ids)?;
        let x_nh = dropped(x_nh, pass, Place::Words, self.rate, &batch.numbers.words)?;
        let x_rh = self.regions(&batch.regions_rd)?;
        let x_rh = dropped(x_rh, pass, Place::Regions, self.rate, &batch.numbers.regions)?;
        Ok(Tensor::cat(&[x_nh, x_rh], 0)?
            .index_select(&batch.order_t.to_device(self.word_vh.device())?, 0)?)
    }

    /// Words and tags before dropout. \[n, h\]
    pub(crate) fn tokens(&self, words: &[u32], positions: &[u32], segments: &[u32]) -> Result<Tensor> {
        let x_nh = embedding_sum(
            (&self.word_vh, words, Some(self.padding)),
            (&self.position_ph, positions),
            (&self.segment_sh, segments),
        )?;
        self.norm.forward(&x_nh)
    }

    /// Regions before dropout. \[r, d\] to \[r, h\]
    pub(crate) fn regions(&self, regions_rd: &Tensor) -> Result<Tensor> {
        let x_rh = self.region.forward(&regions_rd.to_device(self.word_vh.device())?)?;
        match &self.region_norm {
            Some(norm) => norm.forward(&x_rh),
            None => Ok(x_rh),
        }
    }
}

fn dropped(
    x: Tensor,
    pass: Pass,
    place: Place,
    rate: f64,
    numbers: &std::sync::Arc<[u32]>,
) -> Result<Tensor> {
    Ok(match pass.dropout(place, rate, numbers) {
        Some(how) => dropout(&x, &how)?,
        None => x,
    })
}
