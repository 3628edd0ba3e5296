//! `finetune detector summary`: the trainable numbers of a detector, part by part.

use std::path::PathBuf;

use finetune_regions::detector::{Detector, Names};
use serde_json::{Value, json};

use super::Error;
use super::settings::detector_settings;

/// Which detector.
#[derive(Debug, Clone)]
pub enum SummaryOf {
    /// One that is there.
    Model(PathBuf),
    /// One of these settings (without them VinVL's), with so many names. Nothing is allocated.
    Settings {
        /// Settings in TOML.
        config: Option<PathBuf>,
        /// Classes.
        classes: usize,
        /// Attributes.
        attributes: usize,
    },
}

/// Counts a detector.
#[derive(Debug, Clone)]
pub struct Summarise(
    /// Which.
    pub SummaryOf,
);

impl Summarise {
    /// The counts.
    ///
    /// # Errors
    /// A folder or settings that cannot be read.
    pub fn run(&self) -> Result<Value, Error> {
        let (settings, names, more) = match &self.0 {
            SummaryOf::Model(folder) => {
                let detector = Detector::open(folder)?;
                let (classes, attributes) = (detector.class_names().len(), detector.attribute_names().len());
                let more =
                    json!({ "fingerprint": detector.fingerprint()?, "selection": detector.selection() });
                (detector.settings().clone(), Names { classes, attributes }, Some(more))
            }
            SummaryOf::Settings { config, classes, attributes } => {
                let names = Names { classes: *classes, attributes: *attributes };
                (detector_settings(config.as_deref())?, names, None)
            }
        };
        let mut summary = json!({
            "architecture": settings.architecture,
            "classes": names.classes,
            "attributes": names.attributes,
            "parameters": settings.parameters(names)?,
        });
        if let (Some(summary), Some(Value::Object(more))) = (summary.as_object_mut(), more) {
            summary.extend(more);
        }
        Ok(summary)
    }
}
