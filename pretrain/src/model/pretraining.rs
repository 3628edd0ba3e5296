//! The model that is pre-trained (Paper: 2004.06165, eq. 2 to 4).

use candle_core::Tensor;
use pretrain_kernels::{CrossEntropy, cross_entropy};

use super::batch::{Batch, Targets};
use super::config::ModelConfig;
use super::encoder::{Encoder, rows};
use super::heads::{Linear, MaskedTokenHead};
use super::parameters::Tensors;
use super::pass::Pass;
use crate::Result;

/// Encoder, masked-token head and contrastive head.
#[derive(Debug, Clone)]
pub struct PretrainingModel {
    encoder: Encoder,
    masked_token: MaskedTokenHead,
    contrastive: Linear,
}

/// Both losses as sums, so that they can be divided by the counts of all micro-batches and ranks.
#[derive(Debug, Clone)]
pub struct Losses {
    /// `-Σ log p(h_i | h without i, v)` over hidden tokens: eq. 2.
    pub masked_token: CrossEntropy,
    /// `-Σ log p(y | f(w, q, v))` over samples: eq. 3.
    pub contrastive: CrossEntropy,
}

impl PretrainingModel {
    /// A network over tensors, which stay those of the caller.
    ///
    /// # Errors
    /// A config that cannot be; a tensor that is missing or of another shape.
    pub fn new(config: &ModelConfig, tensors: Tensors<'_>) -> Result<Self> {
        let encoder = Encoder::new(config, tensors)?;
        Ok(Self {
            masked_token: MaskedTokenHead::new(config, tensors, encoder.word_embeddings())?,
            contrastive: tensors.linear(
                "cls.seq_relationship",
                config.num_contrast_classes,
                config.hidden_size,
            )?,
            encoder,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// # Shapes
    /// - `hidden_th`: \[t, h\], what the encoder gave for the batch
    ///
    /// # Errors
    /// Targets of another batch, labels beyond vocabulary or classes.
    pub fn losses(&self, hidden_th: &Tensor, batch: &Batch, targets: &Targets) -> Result<Losses> {
        let (mut asked, mut labels) = labelled(batch, targets);
        if asked.is_empty() {
            // a row that counts nothing: no device computes over nothing
            (asked, labels) = (vec![0], vec![-1]);
        }
        Ok(Losses {
            masked_token: self.masked_token.loss(&rows(hidden_th, &asked)?, &labels)?,
            contrastive: cross_entropy(
                &self.contrastive_logits(hidden_th, batch)?,
                &targets.contrastive_labels,
            )?,
        })
    }

    /// Logits of the labelled tokens, in the order of the texts.
    ///
    /// # Shapes
    /// - result: \[labelled, v\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn masked_token_logits(
        &self,
        hidden_th: &Tensor,
        batch: &Batch,
        targets: &Targets,
    ) -> Result<Tensor> {
        self.masked_token.logits(&rows(hidden_th, &labelled(batch, targets).0)?)
    }

    /// # Shapes
    /// - result: \[b, c\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn contrastive_logits(&self, hidden_th: &Tensor, batch: &Batch) -> Result<Tensor> {
        self.contrastive.forward(&self.encoder.pool(hidden_th, batch)?)
    }

    /// Encodes, then both losses.
    ///
    /// # Errors
    /// Those of the operations.
    pub fn forward(&self, batch: &Batch, targets: &Targets, pass: Pass) -> Result<Losses> {
        self.losses(&self.encoder.forward(batch, pass)?, batch, targets)
    }
}

/// Packed rows of the labelled tokens, and their labels.
pub(crate) fn labelled(batch: &Batch, targets: &Targets) -> (Vec<u32>, Vec<i64>) {
    let rows = batch.token_rows.iter().zip(&targets.token_labels).filter(|(_, label)| **label != -1);
    rows.map(|(row, label)| (*row, *label)).unzip()
}
