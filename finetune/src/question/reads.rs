//! What a model reads, without its weights.

use std::path::{Path, PathBuf};

use data_specs::Manifest;
use finetune_harness::{Description, Error, Result};
use pretrain::data::PLACE_NUMBERS;
use pretrain::model::ModelConfig;
use serde_json::Value;

/// What a fine-tuned model expects of a picture.
pub(super) struct Reads {
    model: PathBuf,
    /// Numbers of a region's vector.
    pub(super) width: usize,
    /// What tags are told to come from, so that the model reads them.
    pub(super) origin: String,
}

/// What tags say where the model reads all.
const ORIGIN: &str = "detector";

impl Reads {
    pub(super) fn of(model: &Path) -> Result<Reads> {
        let path = model.join("config.json");
        let text = std::fs::read(&path).map_err(data_specs::Error::io("read", &path))?;
        let config: ModelConfig = serde_json::from_slice(&text).map_err(|error| Error::Unfit {
            path: path.clone(),
            field: "JSON".to_owned(),
            problem: error.to_string(),
            hint: "name the folder of a fine-tuned model".to_owned(),
        })?;
        let origins = Description::find(model)?.and_then(|found| found.layout.tag_origins);
        let origin = origins.and_then(|origins| origins.into_iter().next());
        Ok(Reads {
            model: model.to_owned(),
            width: config.img_feature_dim.saturating_sub(PLACE_NUMBERS),
            origin: origin.unwrap_or_else(|| ORIGIN.to_owned()),
        })
    }

    /// Refuses vectors of another width than the model's, which come from `source`.
    pub(super) fn require(&self, width: usize, source: &Path) -> Result<()> {
        if width == self.width {
            return Ok(());
        }
        let trained = match self.trained_on() {
            Some(sets) => format!("it was trained on {sets}"),
            None => "config.toml beside its folder, which names the data it was trained on, is not there"
                .to_owned(),
        };
        Err(Error::Unfit {
            path: source.to_owned(),
            field: "vectors".to_owned(),
            problem: format!(
                "are {width} wide; the model {} reads {}, and {trained}",
                self.model.display(),
                self.width
            ),
            hint: "ask with the detector or the features that the model learned from".to_owned(),
        })
    }

    /// The data sets of the run that the model is the result of, with what computed their vectors.
    fn trained_on(&self) -> Option<String> {
        let run = self.model.parent()?.join("config.toml");
        let settings: toml::Table = std::fs::read_to_string(run).ok()?.parse().ok()?;
        let settings = serde_json::to_value(settings).ok()?;
        let sets = settings.pointer("/data/train")?.as_array()?;
        let told: Vec<String> = sets.iter().filter_map(|set| set.get("path")?.as_str()).map(told).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// A data set with what computed its vectors, where it is still there.
fn told(path: &str) -> String {
    let Ok(manifest) = Manifest::latest(Path::new(path)) else { return path.to_owned() };
    let width = manifest.features.width;
    match manifest.computed.and_then(|computed| serde_json::to_value(computed).ok()) {
        Some(Value::Object(computed)) => {
            let word = |key: &str| computed.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{path} ({width} numbers of {}, {})", word("backbone"), word("provider"))
        }
        _ => format!("{path} ({width} imported numbers)"),
    }
}
