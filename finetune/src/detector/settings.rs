//! The settings of a detector's training: a TOML tree whose section `training.detector` says what the detector is.

use std::path::Path;

use finetune_regions::detector::DetectorSettings;
use finetune_regions::detector::training::TrainingSettings;
use pretrain_training::config::load;
use serde::{Deserialize, Serialize};

use super::Error;

/// The tree, as far as those read it who do not train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetectorTrainSettings {
    /// What is learned from; read by whoever trains.
    #[serde(default)]
    data: toml::Table,
    /// The detector and its training.
    pub(crate) training: TrainingSettings,
}

/// VinVL's, which `convert` takes when no settings are named.
const RELEASED: &str = include_str!("../../configs/detector-x152c4.toml");

/// What a detector is, from a file of settings or, without one, as VinVL released it.
///
/// # Errors
/// A file that cannot be read; values that cannot be meant.
pub(crate) fn detector_settings(config: Option<&Path>) -> Result<DetectorSettings, Error> {
    let settings = match config {
        Some(path) => load::<DetectorTrainSettings>(path, &[])?.settings,
        None => toml::from_str(RELEASED).map_err(|error| Error::Usage {
            problem: format!("the built-in settings cannot be read: {error}; please report this"),
        })?,
    };
    settings.training.detector.validate()?;
    Ok(settings.training.detector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> DetectorTrainSettings {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(name);
        load(&path, &[]).expect("a preset").settings
    }

    #[test]
    fn presets_can_be_meant() {
        for name in ["detector-x152c4.toml", "detector-small.toml"] {
            preset(name).training.validate().expect("a preset");
        }
        assert_eq!(
            detector_settings(None).expect("built in"),
            preset("detector-x152c4.toml").training.detector
        );
    }

    /// Nothing is allocated: the numbers follow from names and shapes.
    #[test]
    fn the_released_detector_has_148_037_055_weights() {
        let settings = preset("detector-x152c4.toml").training.detector;
        let names = finetune_regions::detector::Names { classes: 1594, attributes: 524 };
        let counted = settings.parameters(names).expect("counts");
        assert_eq!(counted.total, 148_037_055, "{counted:?}");
        assert_eq!(counted.attributes, 1_857_805);
    }
}
