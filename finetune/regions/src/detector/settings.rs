//! What a detector is, beside its weights: `detector.toml` of its folder.

use serde::{Deserialize, Serialize};

use finetune_backbones::Architecture;

use super::anchors::Anchors;
use super::boxes::Convention;
use super::filters::Reporting;
use crate::Error;

/// A detector without weights and names. Paper: 1506.01497; the form with the last stage as head is 1512.03385's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSettings {
    /// timm's name of the network, or one of our own.
    pub architecture: String,
    /// What normalisation adds to variances; without it that of the name. VinVL's frozen normalisation adds 0.
    pub epsilon: Option<f64>,
    /// How boxes are measured, and with it all that depends on it.
    #[serde(default)]
    pub convention: Convention,
    /// How pictures come to the network.
    pub input: Input,
    /// Boxes around every cell.
    pub anchors: Anchors,
    /// From anchors to proposals.
    pub proposals: Proposals,
    /// From a proposal to its vector.
    pub regions: Regions,
    /// From a vector to a box.
    pub boxes: Boxes,
    /// What is reported.
    pub report: Reporting,
    /// The branch for attributes, if there is one.
    pub attributes: Option<Attributes>,
}

/// Section `input`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The short side, pixels.
    pub short: u32,
    /// What the long side may have.
    pub long_at_most: u32,
    /// Order of the channels.
    #[serde(default)]
    pub channels: Channels,
    /// What white is before the mean is taken off: 1 or 255.
    #[serde(default = "one")]
    pub white: f32,
    /// Taken off each channel, in their order.
    pub mean: [f32; 3],
    /// What each is divided by.
    pub deviation: [f32; 3],
}

/// Order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as Caffe's networks and their successors.
    Bgr,
}

/// Section `proposals`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposals {
    /// Channels between the two convolutions.
    pub hidden: usize,
    /// The best anchors that are looked at.
    pub before: usize,
    /// Proposals that are left.
    pub after: usize,
    /// Two proposals that overlap by more are one.
    pub overlap: f32,
    /// Shorter sides are left out, pixels of the prepared picture.
    #[serde(default)]
    pub side_at_least: f32,
}

/// Section `regions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regions {
    /// Bins along a side of what is cut out of the map.
    pub bins: usize,
    /// Samples of a bin along a side; 0 takes as many as the bin is long.
    #[serde(default)]
    pub samples: usize,
    /// Whether a pixel's centre is at 1/2.
    #[serde(default)]
    pub aligned: bool,
}

/// Section `boxes`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// Weights of the steps.
    pub weights: [f32; 4],
    /// Whether all classes share one step.
    #[serde(default)]
    pub shared: bool,
    /// Which boxes are reported.
    #[serde(default)]
    pub report: BoxRule,
}

/// Which boxes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxRule {
    /// Those that the classifier's steps lead to.
    #[default]
    Regressed,
    /// The proposals themselves, as VinVL's features have them: a vector is of its own box.
    Proposals,
}

/// Section `attributes`: the branch of bottom-up attention (Paper: 1707.07998, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Numbers of a class's embedding.
    pub embedding: usize,
    /// Numbers of the layer between.
    pub hidden: usize,
    /// Less likely ones are not reported.
    pub score: f32,
    /// Attributes a region at most, reported and learned from.
    #[serde(default = "sixteen")]
    pub at_most: usize,
}

fn one() -> f32 {
    1.0
}

fn sixteen() -> usize {
    16
}

impl DetectorSettings {
    /// Checks what can be checked without weights; the network.
    ///
    /// # Errors
    /// A name that is none, numbers that cannot be meant.
    pub fn validate(&self) -> Result<Architecture, Error> {
        let architecture: Architecture = self.architecture.parse()?;
        let positive = |key, value: usize| require(key, value > 0, value, "it is at least 1");
        let share = |key, value: f32| require(key, (0.0..=1.0).contains(&value), value, "it is from 0 to 1");
        require(
            "detector.architecture",
            architecture.stride() == 32,
            &self.architecture,
            "a network for small pictures has no map of stride 16",
        )?;
        if let Some(epsilon) = self.epsilon {
            require(
                "detector.epsilon",
                (0.0..1.0).contains(&epsilon),
                epsilon,
                "it is at least 0 and small",
            )?;
        }
        let Input { short, long_at_most, white, mean, deviation, .. } = &self.input;
        require("detector.input.short", (1..=8192).contains(short), short, "it is from 1 to 8192")?;
        require(
            "detector.input.long_at_most",
            (1..=16384).contains(long_at_most),
            long_at_most,
            "it is from 1 to 16384",
        )?;
        require("detector.input.white", *white == 1.0 || *white == 255.0, white, "it is 1 or 255")?;
        let usable =
            mean.iter().all(|n| n.is_finite()) && deviation.iter().all(|n| *n > 0.0 && n.is_finite());
        require(
            "detector.input.deviation",
            usable,
            format!("{deviation:?}"),
            "deviations are above 0, means are numbers",
        )?;
        self.anchors.validate()?;
        positive("detector.proposals.hidden", self.proposals.hidden)?;
        positive("detector.proposals.before", self.proposals.before)?;
        positive("detector.proposals.after", self.proposals.after)?;
        share("detector.proposals.overlap", self.proposals.overlap)?;
        let side = self.proposals.side_at_least;
        require(
            "detector.proposals.side_at_least",
            side >= 0.0 && side.is_finite(),
            side,
            "it is at least 0",
        )?;
        let Regions { bins, samples, .. } = self.regions;
        require(
            "detector.regions.bins",
            (1..=64).contains(&bins),
            bins,
            "it is from 1 to 64; 14 as published",
        )?;
        require(
            "detector.regions.samples",
            samples <= 64,
            samples,
            "it is at most 64; 0 adapts it to the region",
        )?;
        let weights = self.boxes.weights;
        require(
            "detector.boxes.weights",
            weights.iter().all(|n| *n > 0.0 && n.is_finite()),
            format!("{weights:?}"),
            "they are above 0",
        )?;
        let Reporting { overlap, score, at_least, at_most, .. } = self.report;
        share("detector.report.overlap", overlap)?;
        share("detector.report.score", score)?;
        require(
            "detector.report.at_most",
            at_most >= at_least.max(1),
            at_most,
            "it is at least report.at_least, and not 0",
        )?;
        if let Some(attributes) = &self.attributes {
            positive("detector.attributes.embedding", attributes.embedding)?;
            positive("detector.attributes.hidden", attributes.hidden)?;
            positive("detector.attributes.at_most", attributes.at_most)?;
            share("detector.attributes.score", attributes.score)?;
        }
        Ok(architecture)
    }
}

fn require(key: &'static str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::setting(key, format!("is {value}; {hint}"))) }
}
