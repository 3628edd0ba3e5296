//! The head: a classifier over what the encoder says of a text, and its loss.
//!
//! Legend: b samples, s sequences (one or two a sample), h hidden width, m inner width, c labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use pretrain::model::{Batch, Encoder, Linear, ModelConfig, Pass, Shapes, Tensors};
use pretrain::{Example, Result};
use pretrain_kernels::{dropout, layer_norm, relu, soft_cross_entropy};
use serde::{Deserialize, Serialize};

/// Which classifier, and what it is punished for: the keys of a published `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSettings {
    /// One layer or two.
    pub classifier: Form,
    /// The inner width of `mlp`, in hidden widths.
    #[serde(default = "published_scale")]
    pub cls_hidden_scale: usize,
    /// Whether `mlp` has a layer norm behind its relu; without it, where regions have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_layernorm: Option<bool>,
    /// The loss.
    pub loss_type: LossType,
}

/// Form of a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `W x + b`
    Linear,
    /// `W2 LN?(relu(W1 x + b1)) + b2`
    Mlp,
}

/// A loss over logits x and weights t of labels, as a sum over samples; the loop divides by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossType {
    /// `Σ_k log(1 + e^x_k) - t_k x_k`: the published mean over everything, times the number of labels.
    Bce,
    /// `Σ_k t_k (log t_k - log softmax(x)_k)`
    Kl,
    /// `-log softmax(x)_k` of the label of the largest weight, the first of equal ones.
    Ce,
}

/// A head's shape: settings, labels, and sequences of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// As in the settings.
    pub settings: HeadSettings,
    /// c
    pub n_labels: usize,
    /// One, or two whose vectors are put end to end.
    pub n_sequences: usize,
}

/// Encoder and classifier over tensors that stay those of the caller.
#[derive(Debug, Clone)]
pub struct Classifier {
    encoder: Encoder,
    layers: Layers,
    head: Head,
    config: ModelConfig,
}

#[derive(Debug, Clone)]
enum Layers {
    Linear(Linear),
    Mlp { first: Linear, norm: Option<Linear>, last: Linear, eps: f64 },
}

/// All names of a head begin so.
pub(super) const HEAD: &str = "classifier.";

fn published_scale() -> usize {
    2
}

impl Head {
    /// Encoder and head, with published names.
    pub fn shapes(&self, config: &ModelConfig) -> Shapes {
        let mut shapes = Shapes::of_encoder(config);
        let inputs = self.n_sequences * config.hidden_size;
        match self.settings.classifier {
            Form::Linear => shapes.linear("classifier", self.n_labels, inputs),
            Form::Mlp => {
                let inner = self.settings.cls_hidden_scale * config.hidden_size;
                shapes.linear("classifier.0", inner, inputs);
                if self.has_norm(config) {
                    shapes.norm("classifier.2", inner);
                }
                shapes.linear(self.last(config), self.n_labels, inner);
            }
        }
        shapes
    }

    /// Makes the layer norm of a head that was drawn the identity; its name does not say that it is one.
    pub(super) fn set_norm(
        &self,
        config: &ModelConfig,
        tensors: &mut BTreeMap<String, Tensor>,
    ) -> Result<()> {
        if self.settings.classifier == Form::Mlp
            && self.has_norm(config)
            && let Some(weight) = tensors.get_mut("classifier.2.weight")
        {
            *weight = weight.ones_like()?;
        }
        Ok(())
    }

    pub(super) fn has_norm(&self, config: &ModelConfig) -> bool {
        self.settings.use_layernorm.unwrap_or(config.has_region_norm())
    }

    fn last(&self, config: &ModelConfig) -> &'static str {
        if self.has_norm(config) { "classifier.3" } else { "classifier.2" }
    }
}

impl Classifier {
    /// A network over tensors, which say in what precision it computes.
    ///
    /// # Errors
    /// A config that cannot be; a tensor that is missing or of another shape.
    pub fn new(config: &ModelConfig, head: Head, tensors: Tensors<'_>) -> Result<Self> {
        let inputs = head.n_sequences * config.hidden_size;
        let layers = match head.settings.classifier {
            Form::Linear => Layers::Linear(tensors.linear("classifier", head.n_labels, inputs)?),
            Form::Mlp => {
                let inner = head.settings.cls_hidden_scale * config.hidden_size;
                let norm = head.has_norm(config).then(|| {
                    let part = |part: &str| tensors.get(&format!("classifier.2.{part}"), &[inner]);
                    Ok::<_, pretrain::Error>(Linear {
                        w_oi: part("weight")?,
                        bias_o: part("bias")?,
                        precision: tensors.precision(),
                    })
                });
                Layers::Mlp {
                    first: tensors.linear("classifier.0", inner, inputs)?,
                    norm: norm.transpose()?,
                    last: tensors.linear(head.last(config), head.n_labels, inner)?,
                    eps: config.layer_norm_eps,
                }
            }
        };
        Ok(Self { encoder: Encoder::new(config, tensors)?, layers, head, config: config.clone() })
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Logits of samples, whose sequences lie one behind the other.
    ///
    /// # Shapes
    /// - result: \[b, c\]
    ///
    /// # Errors
    /// Samples that the model cannot read; those of the operations.
    pub fn forward(&self, sequences: &[Example], pass: Pass) -> Result<Tensor> {
        let batch = Batch::pack(sequences, &self.config)?;
        let hidden_th = self.encoder.forward(&batch, pass)?;
        let x_sh = self.encoder.pool(&hidden_th, &batch)?;
        let places: Arc<[u32]> = sequences.iter().map(|sequence| sequence.place).collect();
        let x_sh = match pass.of_head(self.config.hidden_dropout_prob, &places) {
            Some(how) => dropout(&x_sh, &how)?,
            None => x_sh,
        };
        let n = self.head.n_sequences;
        let x_bn = x_sh.reshape((sequences.len() / n, n * self.config.hidden_size))?;
        match &self.layers {
            Layers::Linear(layer) => layer.forward(&x_bn),
            Layers::Mlp { first, norm, last, eps } => {
                let x_bm = relu(&first.forward(&x_bn)?)?;
                let x_bm = match norm {
                    Some(norm) => layer_norm(&x_bm, &norm.w_oi, &norm.bias_o, *eps)?,
                    None => x_bm,
                };
                last.forward(&x_bm)
            }
        }
    }

    /// Probabilities: each label's own where labels do not exclude each other, or else all of a sample add up to 1.
    ///
    /// # Shapes
    /// - `logits_bc`, result: \[b, c\]
    ///
    /// # Errors
    /// Those of the operations.
    pub fn probabilities(&self, logits_bc: &Tensor) -> Result<Tensor> {
        Ok(match self.head.settings.loss_type {
            LossType::Bce => pretrain_kernels::sigmoid(logits_bc)?,
            LossType::Kl | LossType::Ce => pretrain_kernels::softmax(logits_bc)?,
        })
    }
}

impl LossType {
    /// The sum over samples.
    ///
    /// # Shapes
    /// - `logits_bc`: \[b, c\]; `targets`: of every sample its labels and their weights; result: one number
    ///
    /// # Errors
    /// Those of the operations.
    pub fn sum(self, logits_bc: &Tensor, targets: &[&[(u32, f32)]]) -> Result<Tensor> {
        let (b, c) = logits_bc.dims2()?;
        let mut t = vec![0f32; b * c];
        for (row, target) in t.chunks_exact_mut(c).zip(targets) {
            match self {
                Self::Bce | Self::Kl => {
                    target.iter().for_each(|(label, weight)| row[*label as usize] = *weight)
                }
                Self::Ce => {
                    let best = target.iter().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
                    best.iter().for_each(|(label, _)| row[*label as usize] = 1.0);
                }
            }
        }
        let entropy: f64 = match self {
            Self::Kl => t.iter().filter(|t| **t > 0.0).map(|t| f64::from(*t) * f64::from(*t).ln()).sum(),
            Self::Bce | Self::Ce => 0.0,
        };
        let t_bc = Tensor::from_vec(t, (b, c), logits_bc.device())?;
        Ok(match self {
            Self::Bce => {
                // log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which does not overflow
                let small = ((logits_bc.abs()?.neg()?.exp()? + 1.0)?).log()?;
                ((logits_bc.relu()? + small)? - (logits_bc * t_bc)?)?.sum_all()?
            }
            Self::Kl | Self::Ce => (soft_cross_entropy(logits_bc, &t_bc)?.sum_all()? + entropy)?,
        })
    }
}
