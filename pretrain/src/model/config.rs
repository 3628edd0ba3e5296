//! `config.json`: BERT's keys and those that Oscar added.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The shape of a network. Keys that are not ours are kept as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// v
    pub vocab_size: usize,
    /// h
    pub hidden_size: usize,
    /// Layers of the encoder.
    pub num_hidden_layers: usize,
    /// Heads; each has h / heads numbers of a token.
    pub num_attention_heads: usize,
    /// i
    pub intermediate_size: usize,
    /// `gelu`, the exact one: the only activation of any published model.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Dropout of embeddings and of what a layer adds.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout of attention.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Longest text.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Segments of a text.
    #[serde(default = "segments")]
    pub type_vocab_size: usize,
    /// Deviation of first weights.
    #[serde(default = "deviation")]
    pub initializer_range: f64,
    /// Of every layer norm but that of regions.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Id whose row of the word embeddings no gradient of a text reaches.
    #[serde(default)]
    pub pad_token_id: u32,
    /// d: the numbers of a region and six for its place.
    #[serde(default = "region_numbers")]
    pub img_feature_dim: usize,
    /// Whether regions are normalised; where a file does not say, it is whether the weights are there.
    #[serde(default, deserialize_with = "flag", skip_serializing_if = "Option::is_none")]
    pub use_img_layernorm: Option<bool>,
    /// Of the layer norm of regions.
    #[serde(default = "epsilon")]
    pub img_layer_norm_eps: f64,
    /// 2: do words, tags and regions belong together; 3: or which of them does not.
    #[serde(default = "classes")]
    pub num_contrast_classes: usize,
    /// In which order a region's last two numbers stand.
    #[serde(default)]
    pub region_geometry: RegionGeometry,
    /// All other keys.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The last two numbers of a region's place. Both orders are in circulation for VinVL's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionGeometry {
    /// Width, height: Oscar's first features.
    #[default]
    Wh,
    /// Height, width.
    Hw,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn tenth() -> f64 {
    0.1
}

fn positions() -> usize {
    512
}

fn segments() -> usize {
    2
}

fn deviation() -> f64 {
    0.02
}

fn epsilon() -> f64 {
    1e-12
}

fn region_numbers() -> usize {
    2054
}

fn classes() -> usize {
    2
}

/// Published files have 0 and 1 for false and true.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Word(bool),
        Number(u8),
    }
    Ok(Option::<Flag>::deserialize(deserializer)?.map(|flag| match flag {
        Flag::Word(word) => word,
        Flag::Number(number) => number != 0,
    }))
}

impl ModelConfig {
    /// Whether regions are normalised.
    pub fn has_region_norm(&self) -> bool {
        self.use_img_layernorm == Some(true)
    }

    /// Refuses what no network can be made of.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key: &str, problem: String, hint: &str| {
            Err(Error::Setting { key: key.to_owned(), problem, hint: hint.to_owned() })
        };
        for (key, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if value == 0 {
                return refuse(key, "is 0".to_owned(), "it is at least 1");
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let problem = format!("is {} for {} heads", self.hidden_size, self.num_attention_heads);
            return refuse("hidden_size", problem, "every head has the same width: a multiple of the heads");
        }
        if self.hidden_act != "gelu" {
            return refuse("hidden_act", format!("is `{}`", self.hidden_act), "`gelu` is the only one");
        }
        if self.img_feature_dim <= 6 {
            let problem = format!("is {}", self.img_feature_dim);
            return refuse("img_feature_dim", problem, "it counts the six numbers of a region's place, too");
        }
        if !(2..=3).contains(&self.num_contrast_classes) {
            let problem = format!("is {}", self.num_contrast_classes);
            return refuse("num_contrast_classes", problem, "2 or 3");
        }
        if let Some(kind) = self.other.get("img_feature_type").and_then(Value::as_str)
            && kind.starts_with("dis_code")
        {
            let hint = "discrete codes are in no published model; use features of a detector";
            return refuse("img_feature_type", format!("is `{kind}`"), hint);
        }
        for (key, rate) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&rate) {
                return refuse(key, format!("is {rate}"), "a rate is at least 0 and below 1");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: &str = r#"{"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 96, "use_img_layernorm": 1, "label_smoothing": 0.1}"#;

    #[test]
    fn unknown_keys_stay_and_numbers_are_flags() {
        let config: ModelConfig = serde_json::from_str(BERT).unwrap();
        assert!(config.has_region_norm());
        assert_eq!((config.img_feature_dim, config.layer_norm_eps), (2054, 1e-12));
        let written: Value = serde_json::to_value(&config).unwrap();
        assert_eq!(written["label_smoothing"], 0.1);
        assert_eq!(written["region_geometry"], "wh");
        assert_eq!(serde_json::from_value::<ModelConfig>(written).unwrap(), config);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let config: ModelConfig = serde_json::from_str(BERT).unwrap();
        config.validate().unwrap();
        let broken: [(&str, ModelConfig); 5] = [
            ("hidden_size", ModelConfig { hidden_size: 25, ..config.clone() }),
            ("hidden_act", ModelConfig { hidden_act: "relu".to_owned(), ..config.clone() }),
            ("num_contrast_classes", ModelConfig { num_contrast_classes: 4, ..config.clone() }),
            ("img_feature_dim", ModelConfig { img_feature_dim: 6, ..config.clone() }),
            ("num_hidden_layers", ModelConfig { num_hidden_layers: 0, ..config.clone() }),
        ];
        for (key, config) in broken {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        }
    }
}
