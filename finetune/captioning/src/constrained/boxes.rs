//! What a detector saw, picture by picture.

use std::path::Path;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::lines::Lines;
use crate::Result;

/// A thing that was seen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Detection {
    /// x1, y1, x2, y2 in pixels.
    pub rect: [f64; 4],
    /// Name of its class; capitals do not matter.
    pub class: String,
    /// Confidence of the detector; boxes of 0 are padding.
    #[serde(rename = "conf")]
    pub confidence: f64,
}

/// Detections by the key of their picture.
#[derive(Debug)]
pub struct ConstraintBoxes {
    by_key: FxHashMap<String, Vec<Detection>>,
}

impl ConstraintBoxes {
    /// Reads lines of a picture's key, a tab, and a JSON list of `{"rect", "class", "conf"}`.
    pub fn read(path: &Path) -> Result<Self> {
        let mut by_key = FxHashMap::default();
        let mut lines = Lines::open(path)?;
        while let Some(line) = lines.next()? {
            let (key, json) = line.pair()?;
            let detections: Vec<Detection> = serde_json::from_str(json).map_err(|error| {
                line.wrong(
                    format!("the boxes of `{key}`: {error}"),
                    r#"write [{"rect", "class", "conf"}, ...]"#,
                )
            })?;
            line.once(by_key.insert(key.to_owned(), detections).is_none(), key)?;
        }
        Ok(Self { by_key })
    }

    /// The detections of a picture, in the order of the file; none where the file does not have the picture.
    pub fn of(&self, key: &str) -> &[Detection] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Pictures in the file.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether it has no picture.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
