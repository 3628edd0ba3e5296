//! `config.json` of a published model, and what the weights say about it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::names::Named;
use super::{Told, read_text};
use crate::model::{ModelConfig, RegionGeometry};
use crate::{Error, Result};

/// The config as it will be written, as it was, and what was changed.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) model: ModelConfig,
    pub(super) changes: Vec<Told>,
    original: Map<String, Value>,
}

/// Published files have 0 and 1 for false and true.
const FLAGS: [&str; 4] = ["use_img_layernorm", "use_layernorm", "tie_weights", "freeze_embedding"];
const REGIONS: &str = "bert.img_embedding.weight";
const REGION_NORM: &str = "bert.LayerNorm.";
const LAYERS: &str = "bert.encoder.layer.";

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unfit = |problem: String| Error::Unfit {
            path: path.to_owned(),
            field: "config".to_owned(),
            problem,
            hint: "it has the keys of BERT's config.json".to_owned(),
        };
        let mut original: Map<String, Value> =
            serde_json::from_str(&read_text(path)?).map_err(|error| unfit(error.to_string()))?;
        let mut changes = Vec::new();
        for key in FLAGS {
            let flag = match original.get(key).and_then(Value::as_u64) {
                Some(0) => false,
                Some(1) => true,
                _ => continue,
            };
            changes.push(Told::new(key, format!("{}, which is {flag}", original[key])));
            original.insert(key.to_owned(), json!(flag));
        }
        let model: ModelConfig = serde_json::from_value(Value::Object(original.clone()))
            .map_err(|error| unfit(error.to_string()))?;
        model.validate().map_err(|error| match error {
            Error::Setting { key, problem, hint } => {
                Error::Unfit { path: path.to_owned(), field: key, problem, hint }
            }
            other => other,
        })?;
        Ok(Self { path: path.to_owned(), model, changes, original })
    }

    /// What the file says of a key, null being nothing.
    pub(super) fn said(&self, key: &str) -> Option<&Value> {
        self.original.get(key).filter(|value| !value.is_null())
    }

    /// The word under a key, if it is one.
    pub(super) fn word(&self, key: &str) -> Option<&str> {
        self.said(key).and_then(Value::as_str).filter(|word| !word.is_empty())
    }

    /// Sets a key that is not one of the encoder's; told where the file says something else.
    pub(super) fn set(&mut self, key: &str, value: Value, why: &str) {
        match self.said(key) {
            Some(said) if *said == value => {}
            Some(said) => self.changes.push(Told::new(key, format!("{said}, now {value}: {why}"))),
            None => self.changes.push(Told::new(key, format!("{value}: {why}"))),
        }
        self.model.other.insert(key.to_owned(), value);
    }

    /// Takes from the weights what the config leaves open: the width of regions and whether they are normalised.
    ///
    /// # Errors
    /// Another number of layers, sizes that no file of weights has.
    pub(super) fn fit(
        &mut self,
        weights: &Path,
        named: &Named,
        geometry: Option<RegionGeometry>,
    ) -> Result<()> {
        let numbers = named.of(LAYERS).into_iter().filter_map(|name| {
            name[LAYERS.len()..].split('.').next().and_then(|number| number.parse::<usize>().ok())
        });
        let layers = numbers.max().map_or(0, |last| last.saturating_add(1));
        // before anything is made of the number, which nothing bounds
        if layers != self.model.num_hidden_layers {
            return Err(Error::Unfit {
                path: weights.to_owned(),
                field: "bert.encoder.layer".to_owned(),
                problem: format!(
                    "has {layers} layers, num_hidden_layers in {} is {}",
                    self.path.display(),
                    self.model.num_hidden_layers
                ),
                hint: "config and weights must be of one model".to_owned(),
            });
        }
        let found = named.shapes.get(REGIONS).and_then(|shape| shape.get(1)).copied();
        if let (Some(width), None) = (found, self.said("img_feature_dim")) {
            self.changes.push(Told::new("img_feature_dim", format!("{width}: {REGIONS} is so wide")));
            self.model.img_feature_dim = width;
            self.model.validate()?;
        }
        let has_norm = named.has(REGION_NORM);
        match self.model.use_img_layernorm {
            Some(said) if said != has_norm => {
                let there = if has_norm { "is there" } else { "is not there" };
                let why = format!("{said}, now {has_norm}: bert.LayerNorm {there}");
                self.changes.push(Told::new("use_img_layernorm", why));
            }
            _ => {}
        }
        self.model.use_img_layernorm = Some(has_norm);
        if let Some(geometry) = geometry.filter(|asked| *asked != self.model.region_geometry) {
            self.changes.push(Told::new("region_geometry", format!("{}: as asked for", json!(geometry))));
            self.model.region_geometry = geometry;
        }
        Ok(())
    }
}
