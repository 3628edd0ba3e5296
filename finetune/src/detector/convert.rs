//! `finetune detector convert`: released weights to a detector's folder.

use std::path::PathBuf;

use finetune_regions::detector::{Detector, names};
use serde_json::{Value, json};

use super::Error;
use super::settings::detector_settings;

/// Makes a detector's folder of what maskrcnn-benchmark and VinVL's extractor save.
#[derive(Debug, Clone)]
pub struct Convert {
    /// .pth, or .safetensors of the same names.
    pub from: PathBuf,
    /// Names of the classes, one a line, background not among them.
    pub classes: PathBuf,
    /// Names of the attributes, one a line.
    pub attributes: Option<PathBuf>,
    /// Settings whose section `training.detector` says what the detector is; without them VinVL's as released.
    pub config: Option<PathBuf>,
    /// The folder to write.
    pub to: PathBuf,
}

impl Convert {
    /// Writes the folder, whole or not at all; what is in it.
    ///
    /// # Errors
    /// Weights that are no such detector's, with all tensors that are missing or surplus; other numbers of names; a folder
    /// that is there.
    pub fn run(&self) -> Result<Value, Error> {
        let settings = detector_settings(self.config.as_deref())?;
        let attributes = match (&self.attributes, &settings.attributes) {
            (Some(path), Some(_)) => names(path)?,
            (None, None) => Vec::new(),
            (None, Some(_)) => {
                let problem = "the detector has a branch for attributes; give their names with --attributes";
                return Err(Error::Usage { problem: problem.to_owned() });
            }
            (Some(_), None) => {
                let problem = "the settings have no branch for attributes; leave --attributes out";
                return Err(Error::Usage { problem: problem.to_owned() });
            }
        };
        let detector = Detector::import(settings, [names(&self.classes)?, attributes], &self.from)?;
        detector.save(&self.to)?;
        Ok(json!({
            "to": self.to.display().to_string(),
            "classes": detector.class_names().len(),
            "attributes": detector.attribute_names().len(),
            "parameters": detector.parameters()?,
            "fingerprint": detector.fingerprint()?,
        }))
    }
}
