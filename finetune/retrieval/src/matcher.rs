//! The network: does a caption belong to a picture?
//!
//! Legend: b samples, h hidden width.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use finetune_harness::Result;
use pretrain::Example;
use pretrain::model::{Batch, Encoder, Linear, ModelConfig, Pass, Shapes, Tensors};
use pretrain_kernels::{cross_entropy, dropout};

use crate::settings::Sight;

/// Encoder and classifier over tensors that stay those of the caller.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    pub(crate) encoder: Encoder,
    classifier: Linear,
    config: ModelConfig,
    pub(crate) sight: Sight,
}

/// All names of the head begin so.
pub(crate) const HEAD: &str = "classifier.";
/// Not together, together.
pub(crate) const CLASSES: usize = 2;

impl Matcher {
    /// Encoder and head, with published names.
    pub(crate) fn shapes(config: &ModelConfig) -> Shapes {
        let mut shapes = Shapes::of_encoder(config);
        shapes.linear("classifier", CLASSES, config.hidden_size);
        shapes
    }

    pub(crate) fn new(config: &ModelConfig, sight: Sight, tensors: Tensors<'_>) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(config, tensors)?,
            classifier: tensors.linear("classifier", CLASSES, config.hidden_size)?,
            config: config.clone(),
            sight,
        })
    }

    /// # Shapes
    /// - result: \[b, 2\]
    pub(crate) fn logits(&self, examples: &[Example], pass: Pass) -> Result<Tensor> {
        let batch = self.batch(examples)?;
        let hidden_th = self.encoder.forward(&batch, pass)?;
        let x_bh = self.encoder.pool(&hidden_th, &batch)?;
        let places: Arc<[u32]> = examples.iter().map(|example| example.place).collect();
        let x_bh = match pass.of_head(self.config.hidden_dropout_prob, &places) {
            Some(how) => dropout(&x_bh, &how)?,
            None => x_bh,
        };
        self.classifier.forward(&x_bh)
    }

    /// Samples whose caption, tags and regions see what they may.
    pub(crate) fn batch(&self, examples: &[Example]) -> Result<Batch> {
        let batch = Batch::pack(examples, &self.config)?;
        if self.sight == Sight::Clr {
            return Ok(batch);
        }
        let ends: Vec<[usize; 2]> = examples.iter().map(ends).collect();
        batch
            .seeing(&|sample, query, key| self.sight.sees(part(ends[sample], query), part(ends[sample], key)))
    }

    /// # Shapes
    /// - `pooled_bh`: \[b, h\]; result: \[b, 2\]
    pub(crate) fn classify(&self, pooled_bh: &Tensor) -> Result<Tensor> {
        self.classifier.forward(pooled_bh)
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> &Device {
        self.classifier.w_oi.device()
    }

    /// h
    pub(crate) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// d
    pub(crate) fn region_width(&self) -> usize {
        self.config.img_feature_dim
    }
}

/// `-½ Σ log softmax(x)_label`: pairs come in twos, right and wrong, so this is a sum over captions whose mean is the
/// published mean over pairs.
///
/// # Shapes
/// - `logits_b2`: \[b, 2\]; `labels`: 1 where caption and picture belong together; result: one number
pub(crate) fn loss(logits_b2: &Tensor, labels: &[i64]) -> Result<Tensor> {
    Ok((cross_entropy(logits_b2, labels)?.sum / CLASSES as f64)?)
}

/// Probabilities that caption and picture belong together, in f64: those near 1 differ where f32 cannot tell them apart.
///
/// # Shapes
/// - `logits_b2`: \[b, 2\]
pub(crate) fn probabilities(logits_b2: &Tensor) -> Result<Vec<f64>> {
    let rows = logits_b2.to_vec2::<f32>()?;
    Ok(rows.iter().map(|row| 1.0 / (1.0 + (f64::from(row[0]) - f64::from(row[1])).exp())).collect())
}

/// Where caption and tags of an example end.
fn ends(example: &Example) -> [usize; 2] {
    let caption = example.segment_ids.iter().filter(|segment| **segment == 0).count();
    [caption, example.token_ids.len()]
}

/// 0 caption, 1 tags, 2 regions.
pub(crate) fn part([caption, tags]: [usize; 2], row: usize) -> usize {
    usize::from(row >= caption) + usize::from(row >= tags)
}
