//! Section `model`: what is trained.

use std::path::PathBuf;

use pretrain_kernels::Precision;
use serde::{Deserialize, Serialize};

use crate::model::{ModelConfig, RegionGeometry};
use crate::{Error, Result};

/// Section `model`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Model folder to start from: BERT's, or a pre-trained one. Without it weights are drawn.
    pub from: Option<PathBuf>,
    /// Folder with `tokenizer.json` or `vocab.txt`; without it the one in `from`.
    pub tokenizer: Option<PathBuf>,
    /// Whether only the inputs of layers are kept and layers are computed again for their gradients: less memory, a
    /// third more time.
    #[serde(default)]
    pub recompute: bool,
    /// What products are computed in: `f32`, or `bf16`, where parameters, sums, losses and updates stay f32.
    /// Processors without AVX-512's bf16 instructions compute in f32 anyway.
    #[serde(default, with = "PrecisionName")]
    pub precision: Precision,
    /// In which order the last two of a region's six numbers stand.
    #[serde(default)]
    pub region_geometry: RegionGeometry,
    /// Sizes of a network that is drawn; with `from` they must be those of the folder.
    pub sizes: Option<Sizes>,
}

/// How a precision is written: `#[serde(with = "PrecisionName")]`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "lowercase")]
pub enum PrecisionName {
    /// 32 bits.
    F32,
    /// bfloat16.
    Bf16,
}

/// Section `model.sizes`, with the names of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// h
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// i
    pub intermediate_size: usize,
    /// Longest text.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Whether regions are normalised, as in Oscar+.
    #[serde(default)]
    pub use_img_layernorm: bool,
    /// Dropout of embeddings and of what a layer adds.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout of attention.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
}

/// A network's sides that its data decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSizes {
    /// Words of the tokenizer.
    pub vocab_size: usize,
    /// Numbers of a region, its place included.
    pub img_feature_dim: usize,
    /// Classes of the contrastive head.
    pub num_contrast_classes: usize,
}

fn positions() -> usize {
    512
}

fn tenth() -> f64 {
    0.1
}

impl Sizes {
    /// The config of a network of these sizes.
    ///
    /// # Errors
    /// Sizes that cannot be.
    pub fn config(&self, data: DataSizes, region_geometry: RegionGeometry) -> Result<ModelConfig> {
        let config = ModelConfig {
            vocab_size: data.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            hidden_act: "gelu".to_owned(),
            hidden_dropout_prob: self.hidden_dropout_prob,
            attention_probs_dropout_prob: self.attention_probs_dropout_prob,
            max_position_embeddings: self.max_position_embeddings,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            img_feature_dim: data.img_feature_dim,
            use_img_layernorm: Some(self.use_img_layernorm),
            img_layer_norm_eps: 1e-12,
            num_contrast_classes: data.num_contrast_classes,
            region_geometry,
            other: serde_json::Map::from_iter([
                ("model_type".to_owned(), "bert".into()),
                ("img_feature_type".to_owned(), "faster_r-cnn".into()),
                ("tie_weights".to_owned(), true.into()),
            ]),
        };
        config.validate()?;
        Ok(config)
    }

    /// Refuses a model folder of other sizes.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first size that differs.
    pub fn require(&self, config: &ModelConfig) -> Result<()> {
        for (key, own, theirs) in [
            ("hidden_size", self.hidden_size, config.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers, config.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads, config.num_attention_heads),
            ("intermediate_size", self.intermediate_size, config.intermediate_size),
        ] {
            if own != theirs {
                return Err(Error::Setting {
                    key: format!("model.sizes.{key}"),
                    problem: format!("is {own}, that of model.from is {theirs}"),
                    hint: "take another preset, or another model to start from".to_owned(),
                });
            }
        }
        Ok(())
    }
}
