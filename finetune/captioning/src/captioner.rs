//! The network: the encoder, and BERT's masked-token head over a vocabulary.

use std::collections::BTreeMap;

use candle_core::Tensor;
use pretrain::Result;
use pretrain::model::{Encoder, MaskedTokenHead, ModelConfig, Pass, Shapes, Tensors};
use pretrain_kernels::Precision;

use crate::sequence::{Laid, pack};

/// Encoder and head over tensors that stay those of the caller.
#[derive(Debug, Clone)]
pub struct Captioner {
    pub(crate) encoder: Encoder,
    pub(crate) head: MaskedTokenHead,
    pub(crate) config: ModelConfig,
    tensors: BTreeMap<String, Tensor>,
    precision: Precision,
}

pub(crate) const WORDS: &str = "bert.embeddings.word_embeddings.weight";
pub(crate) const DECODER: &str = "cls.predictions.decoder.weight";
pub(crate) const HEAD: &str = "cls.predictions.";

/// Tensors of a captioner, by published names; a decoder of its own unless it is tied to the word embeddings.
pub(crate) fn shapes(config: &ModelConfig, tied: bool) -> Shapes {
    let h = config.hidden_size;
    let mut shapes = Shapes::of_encoder(config);
    shapes.add("cls.predictions.bias".to_owned(), &[config.vocab_size]);
    shapes.linear("cls.predictions.transform.dense", h, h);
    shapes.norm("cls.predictions.transform.LayerNorm", h);
    if !tied {
        shapes.add(DECODER.to_owned(), &[config.vocab_size, h]);
    }
    shapes
}

impl Captioner {
    /// A network over tensors, whose products are computed in `precision`; its decoder is the word embeddings where there is none of its own.
    ///
    /// # Errors
    /// A config that cannot be; a tensor that is missing or of another shape.
    pub fn new(config: &ModelConfig, named: &BTreeMap<String, Tensor>, precision: Precision) -> Result<Self> {
        let name = if named.contains_key(DECODER) { DECODER } else { WORDS };
        let tensors = Tensors::new(named).computing_in(precision);
        let decoder_vh = tensors.get(name, &[config.vocab_size, config.hidden_size])?;
        Ok(Self {
            encoder: Encoder::new(config, tensors)?,
            head: MaskedTokenHead::new(config, tensors, &decoder_vh)?,
            config: config.clone(),
            tensors: named.clone(),
            precision,
        })
    }

    /// The network over the same numbers, without memory of what it computes.
    pub(crate) fn forgetful(&self) -> Result<Self> {
        let detached = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach()));
        Self::new(&self.config, &detached.collect(), self.precision)
    }

    /// What the encoder says of some tokens of samples.
    ///
    /// # Shapes
    /// - `asked`: of every sample, which of its tokens; result: \[k, h\], sample after sample
    pub(crate) fn hidden(&self, samples: &[Laid], asked: &[Vec<usize>], pass: Pass) -> Result<Tensor> {
        let batch = pack(samples, &self.config)?;
        let hidden_th = self.encoder.forward(&batch, pass)?;
        let mut rows = Vec::new();
        let mut first = 0;
        for (sample, asked) in samples.iter().zip(asked) {
            rows.extend(asked.iter().map(|token| batch.token_rows()[first + token]));
            first += sample.example.token_ids.len();
        }
        let n = rows.len();
        Ok(hidden_th.index_select(&Tensor::from_vec(rows, n, hidden_th.device())?, 0)?)
    }
}
