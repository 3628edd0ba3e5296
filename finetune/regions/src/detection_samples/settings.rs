//! What is learned from, and how often.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a detector learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleSettings {
    /// Data sets of `pipeline build`.
    pub sources: Vec<SampleSource>,
    /// What boxes are called.
    #[serde(default)]
    pub classes: NamesSettings,
    /// What boxes are like; nothing without it.
    #[serde(default)]
    pub attributes: Option<NamesSettings>,
    /// Attributes that are learned of a box, the first ones of the list.
    #[serde(default = "most_attributes")]
    pub most_attributes: usize,
    /// Chance that a picture is mirrored left to right.
    #[serde(default = "half")]
    pub flip: f64,
    /// The short side of a picture is drawn from these, in pixels; empty: a picture stays as it is, for a trainer that
    /// resizes.
    #[serde(default)]
    pub short_sides: Vec<u32>,
    /// What the long side may have then.
    #[serde(default = "long_side")]
    pub long_side: u32,
}

/// One data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleSource {
    /// Its folder.
    pub path: PathBuf,
    /// Splits to take; all if absent.
    #[serde(default)]
    pub splits: Option<Vec<String>>,
    /// Origins of tags to take (`annotated`, `openimages`, ...); all if absent.
    #[serde(default)]
    pub origins: Option<Vec<String>>,
    /// How often an epoch shows each picture. VinVL mixes COCO and Visual Genome 8 times, Objects365 2 times, OpenImages
    /// once (Paper: 2101.00529).
    #[serde(default = "once")]
    pub copies: u32,
    /// Boxes of every class that an epoch shows at least, by showing pictures of rare classes again: 2,000 in VinVL's
    /// OpenImages and Objects365; 0 leaves it.
    #[serde(default)]
    pub least_of_class: u64,
}

/// A list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesSettings {
    /// One name a line, or several that mean the same, with commas between; without it the data's own are counted.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Boxes that a counted name has at least; VinVL asks 30 of Visual Genome's classes.
    #[serde(default = "least_boxes")]
    pub least_boxes: u64,
}

impl Default for NamesSettings {
    fn default() -> Self {
        Self { file: None, least_boxes: least_boxes() }
    }
}

impl SampleSettings {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Preparation`] with the key.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |holds: bool, problem: &str| {
            if holds { Ok(()) } else { Err(Error::Preparation { problem: format!("data.{problem}") }) }
        };
        check(!self.sources.is_empty(), "sources: is empty; name a data set")?;
        let shown = self.sources.iter().all(|source| source.copies > 0);
        check(shown, "sources.copies: is 0; leave the source out")?;
        check((0.0..=1.0).contains(&self.flip), "flip: a chance is from 0 to 1")?;
        let fits = self.short_sides.iter().all(|&side| side > 0 && side <= self.long_side);
        check(fits, "short_sides: pixels above 0, none above long_side")?;
        let attributes = self.attributes.is_none() || self.most_attributes > 0;
        check(attributes, "most_attributes: is 0; leave attributes out")
    }
}

fn most_attributes() -> usize {
    16
}

fn half() -> f64 {
    0.5
}

fn long_side() -> u32 {
    1000
}

fn once() -> u32 {
    1
}

fn least_boxes() -> u64 {
    30
}
