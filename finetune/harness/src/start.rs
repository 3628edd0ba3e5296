//! What a fine-tuning starts from: tokenizer, sizes, first weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use data_specs::{Manifest, Tokenizer};
use pretrain::data::PLACE_NUMBERS;
use pretrain::model::{ModelConfig, ModelFolder, Shapes, initialise};
use pretrain::train::DataSizes;
use pretrain::{Error, Result};

use crate::settings::{ModelSettings, SetSettings};

/// The encoder that a fine-tuning starts from, before it has a head.
#[derive(Debug)]
pub struct Network {
    /// Of the folder, or of the sizes.
    pub config: ModelConfig,
    /// Of the texts.
    pub tokenizer: Tokenizer,
    /// Weights of the folder.
    loaded: Option<(PathBuf, BTreeMap<String, Tensor>)>,
}

/// First weights, and where they come from.
#[derive(Debug)]
pub struct FirstWeights {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// What the folder does not have.
    pub drawn: Vec<String>,
    /// What the folder has for something else.
    pub left_out: Vec<String>,
}

/// Tensors that a folder may lack: BERT knows no regions.
const MAY_BE_DRAWN: [&str; 2] = ["bert.img_embedding.", "bert.LayerNorm."];

impl Network {
    /// Opens tokenizer and model folder, each checked against the other; a network that is drawn reads regions as wide as
    /// those of the first data set.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy.
    pub fn open(settings: &ModelSettings, sets: &[SetSettings]) -> Result<Self> {
        let from = settings.from.as_deref();
        let folder = settings.tokenizer.as_deref().or(from).ok_or_else(|| not_set("model.tokenizer"))?;
        let tokenizer = Tokenizer::open(folder)?;
        let first = &sets.first().ok_or_else(|| not_set("data.train"))?.path;
        let img_feature_dim = Manifest::latest(first)?.features.width as usize + PLACE_NUMBERS;
        let (mut config, loaded) = match from {
            Some(path) => {
                let folder = ModelFolder::open_untied(path)?;
                let mut config = folder.config;
                if let Some(sizes) = settings.sizes {
                    sizes.require(&config)?;
                }
                if !folder.tensors.contains_key("bert.img_embedding.weight") {
                    config.img_feature_dim = img_feature_dim;
                    config.region_geometry = settings.region_geometry;
                    let norm = settings.sizes.is_some_and(|sizes| sizes.use_img_layernorm);
                    config.use_img_layernorm = Some(norm);
                }
                (config, Some((path.to_owned(), folder.tensors)))
            }
            None => {
                let sizes = settings.sizes.ok_or_else(|| not_set("model.sizes"))?;
                let of_data =
                    DataSizes { vocab_size: tokenizer.len(), img_feature_dim, num_contrast_classes: 2 };
                (sizes.config(of_data, settings.region_geometry)?, None)
            }
        };
        if config.vocab_size < tokenizer.len() {
            return Err(Error::Unfit {
                path: folder.to_owned(),
                field: "tokenizer".to_owned(),
                problem: format!("has {} tokens, the model {}", tokenizer.len(), config.vocab_size),
                hint: "take the tokenizer that belongs to the model".to_owned(),
            });
        }
        if let Some(rate) = settings.drop_out {
            config.hidden_dropout_prob = rate;
        }
        config.validate()?;
        Ok(Self { config, tokenizer, loaded })
    }

    /// The folder that weights come from.
    pub fn folder(&self) -> Option<&Path> {
        self.loaded.as_ref().map(|(path, _)| path.as_path())
    }

    /// Weights of the folder, to be called otherwise before they are compared; none where the network is drawn.
    pub fn loaded(&mut self) -> Option<&mut BTreeMap<String, Tensor>> {
        self.loaded.as_mut().map(|(_, tensors)| tensors)
    }

    /// Weights of `shapes`, which are the encoder's and those of a head whose names begin with `head`. A head that is not
    /// there is drawn; another one is an error unless `replace`.
    ///
    /// # Errors
    /// Another head; tensors of the encoder that are missing or of another shape.
    pub fn first_weights(
        &self,
        shapes: &Shapes,
        head: &str,
        replace: bool,
        seed: u64,
    ) -> Result<FirstWeights> {
        let mut tensors = initialise(shapes, &self.config, seed)?;
        let Some((path, loaded)) = &self.loaded else {
            return Ok(FirstWeights { tensors, drawn: Vec::new(), left_out: Vec::new() });
        };
        let fits =
            |name: &str, shape: &[usize]| loaded.get(name).is_some_and(|tensor| tensor.dims() == shape);
        let wanted: BTreeMap<&str, &[usize]> = shapes.iter().collect();
        let of_head = |name: &&str| name.starts_with(head);
        let has_head = loaded.keys().any(|name| name.starts_with(head));
        let same_head =
            wanted.iter().filter(|(name, _)| of_head(name)).all(|(name, shape)| fits(name, shape))
                && loaded
                    .keys()
                    .filter(|name| name.starts_with(head))
                    .all(|name| wanted.contains_key(name.as_str()));
        if has_head && !same_head && !replace {
            let shown = |names: Vec<(&str, &[usize])>| {
                names.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ")
            };
            let theirs = loaded.iter().filter(|(name, _)| name.starts_with(head));
            return Err(Error::Unfit {
                path: path.clone(),
                field: "the head".to_owned(),
                problem: format!(
                    "is another one: {}; the task's is {}",
                    shown(theirs.map(|(name, tensor)| (name.as_str(), tensor.dims())).collect()),
                    shown(wanted.iter().filter(|(name, _)| of_head(name)).map(|(n, s)| (*n, *s)).collect())
                ),
                hint: "take the answers and the classifier that the model was trained with, or draw a new head by \
                       --set model.replace_head=true"
                    .to_owned(),
            });
        }
        let (mut drawn, mut missing) = (Vec::new(), Vec::new());
        for (name, shape) in &wanted {
            let is_head = of_head(name);
            if fits(name, shape) && !(is_head && replace) {
                tensors.insert((*name).to_owned(), loaded[*name].clone());
            } else if is_head
                || MAY_BE_DRAWN.iter().any(|part| name.starts_with(part)) && !loaded.contains_key(*name)
            {
                drawn.push((*name).to_owned());
            } else {
                missing.push(match loaded.get(*name) {
                    Some(tensor) => format!("{name} is {:?}, not {shape:?}", tensor.dims()),
                    None => format!("{name} is missing"),
                });
            }
        }
        if !missing.is_empty() {
            return Err(Error::Unfit {
                path: path.join("model.safetensors"),
                field: format!("{} tensors", missing.len()),
                problem: format!("do not fit config.json: {}", missing.join("; ")),
                hint: "config and weights must be of one model".to_owned(),
            });
        }
        let others = loaded.keys().filter(|name| !wanted.contains_key(name.as_str()));
        Ok(FirstWeights { tensors, drawn, left_out: others.cloned().collect() })
    }
}

fn not_set(key: &str) -> Error {
    Error::Setting {
        key: key.to_owned(),
        problem: "is not set".to_owned(),
        hint: "docs/tasks.md lists all settings".to_owned(),
    }
}
