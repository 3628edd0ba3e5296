//! What a run starts from: tokenizer, network, first weights, data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use data_specs::{Manifest, Tokenizer};

use super::settings::Settings;
use super::sizes::DataSizes;
use crate::data::{HeldOut, ModelInput, PLACE_NUMBERS, TrainingData};
use crate::model::{ModelConfig, ModelFolder, Shapes, initialise};
use crate::{Error, Result};

/// Everything that is opened once for all ranks.
#[derive(Debug)]
pub struct Start {
    /// Of the folder that the run starts from, or of the sizes.
    pub config: ModelConfig,
    /// First weights.
    pub tensors: BTreeMap<String, Tensor>,
    /// Tensors that the folder did not have, or had for other classes: they are drawn.
    pub drawn: Vec<String>,
    /// Of the texts.
    pub tokenizer: Tokenizer,
    /// What is learnt from.
    pub data: TrainingData,
    /// What is evaluated on.
    pub held_out: Option<HeldOut>,
}

/// Tensors that a folder may lack: BERT knows no regions, and its sentence head may have other classes.
const MAY_BE_DRAWN: [&str; 3] = ["bert.img_embedding.", "bert.LayerNorm.", "cls.seq_relationship."];

impl Start {
    /// Opens tokenizer, model folder and data sets, each checked against the others; `cache` keeps the table of texts.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy.
    pub fn open(settings: &Settings, cache: &Path) -> Result<Self> {
        let model = &settings.model;
        let from = model.from.as_deref();
        let folder = model.tokenizer.as_deref().or(from).ok_or_else(|| no_network("model.tokenizer"))?;
        let tokenizer = Tokenizer::open(folder)?;
        let first = &settings.data.train.first().ok_or_else(|| no_network("data.train"))?.path;
        let of_data = DataSizes {
            vocab_size: tokenizer.len(),
            img_feature_dim: Manifest::latest(first)?.features.width as usize + PLACE_NUMBERS,
            num_contrast_classes: settings.objectives.n_classes(settings.data.tags),
        };
        let (config, loaded) = match from {
            Some(folder) => Self::network_of(folder, settings, of_data, &tokenizer)?,
            None => {
                let sizes = model.sizes.ok_or_else(|| no_network("model.sizes"))?;
                (sizes.config(of_data, model.region_geometry)?, None)
            }
        };
        let shapes = Shapes::of_pretraining(&config);
        let mut tensors = initialise(&shapes, &config, settings.seed)?;
        let mut drawn = Vec::new();
        if let Some((folder, mut loaded)) = loaded {
            for (name, shape) in shapes.iter() {
                let fits = loaded.tensors.get(name).is_some_and(|tensor| tensor.dims() == shape);
                if !fits && MAY_BE_DRAWN.iter().any(|part| name.starts_with(part)) {
                    drawn.push(name.to_owned());
                    loaded.tensors.insert(name.to_owned(), tensors[name].clone());
                }
            }
            loaded.require(&folder, &shapes)?;
            tensors = loaded.tensors;
        }
        let input = ModelInput {
            region_numbers: config.img_feature_dim,
            vocab_size: config.vocab_size,
            max_positions: config.max_position_embeddings,
            region_geometry: config.region_geometry,
        };
        let (data, objectives, seed) = (&settings.data, &settings.objectives, settings.seed);
        Ok(Self {
            data: TrainingData::open(data, objectives, &input, &tokenizer, seed, cache)?,
            held_out: HeldOut::open(data, objectives, &input, &tokenizer, seed, cache)?,
            config,
            tensors,
            drawn,
            tokenizer,
        })
    }

    /// The network of a folder, with as many classes as the objectives have and regions as wide as the data's where the
    /// folder knows no regions.
    fn network_of(
        path: &Path,
        settings: &Settings,
        of_data: DataSizes,
        tokenizer: &Tokenizer,
    ) -> Result<(ModelConfig, Option<(PathBuf, ModelFolder)>)> {
        let folder = ModelFolder::open(path)?;
        let mut config = folder.config.clone();
        if let Some(sizes) = settings.model.sizes {
            sizes.require(&config)?;
            config.use_img_layernorm = Some(config.has_region_norm() || sizes.use_img_layernorm);
            config.hidden_dropout_prob = sizes.hidden_dropout_prob;
            config.attention_probs_dropout_prob = sizes.attention_probs_dropout_prob;
        }
        if !folder.tensors.contains_key("bert.img_embedding.weight") {
            config.img_feature_dim = of_data.img_feature_dim;
            config.region_geometry = settings.model.region_geometry;
        }
        config.num_contrast_classes = of_data.num_contrast_classes;
        if config.vocab_size < tokenizer.len() {
            return Err(Error::Unfit {
                path: path.to_owned(),
                field: "vocab_size".to_owned(),
                problem: format!("is {}, the tokenizer has {} tokens", config.vocab_size, tokenizer.len()),
                hint: "take the tokenizer that belongs to the model".to_owned(),
            });
        }
        config.validate()?;
        Ok((config, Some((path.to_owned(), folder))))
    }
}

fn no_network(key: &str) -> Error {
    Error::Setting {
        key: key.to_owned(),
        problem: "is not set".to_owned(),
        hint: "docs/pretraining.md lists all settings".to_owned(),
    }
}
