//! Everything that a training of a detector is told, one section a subject.

use std::path::PathBuf;

use pretrain_training::optimiser::Rule;
use pretrain_training::{Decay, Group, Parameter, Schedule};
use serde::{Deserialize, Serialize};

use super::matcher::Matcher;
use super::sampler::Sampler;
use crate::Error;
use crate::detector::DetectorSettings;

/// What is trained, how, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// Pictures of one update, over all ranks.
    pub pictures: u64,
    /// Weights of the network to start from, by timm's names: what `finetune backbone export` writes. Without them, and
    /// without `start`, they are drawn.
    pub backbone: Option<PathBuf>,
    /// A detector's folder to start from: all its weights, or of those for classes and attributes none where the names
    /// differ.
    pub start: Option<PathBuf>,
    /// Stages that stay as they are: 1 is the stem, 2 the stem and the first stage.
    #[serde(default)]
    pub frozen_stages: usize,
    /// What normalisation does.
    #[serde(default)]
    pub norm: Norm,
    /// Short sides that pictures are brought to, drawn for each sample; without them the detector's.
    #[serde(default)]
    pub short_sides: Vec<u32>,
    /// The detector.
    pub detector: DetectorSettings,
    /// What is learned from.
    #[serde(default)]
    pub samples: SampleSettings,
    /// What counts how much.
    #[serde(default)]
    pub losses: LossSettings,
    /// How weights are moved.
    pub optimiser: OptimiserSettings,
    /// How far.
    pub schedule: ScheduleSettings,
    /// What is written when.
    #[serde(default)]
    pub run: RunSettings,
}

/// What normalisation does in training. In inference it always takes the running statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Running statistics, weight and bias stay as they are: the published detectors.
    #[default]
    Frozen,
    /// Running statistics stay; weight and bias are learned.
    Affine,
    /// The statistics of a picture, or of its regions; the running ones follow. For training from nothing.
    Batch,
}

/// Section `samples`: what is learned from. The defaults are Faster R-CNN's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSettings {
    /// Anchors of a picture.
    pub anchors: Sampler,
    /// From this overlap on an anchor belongs to an object.
    pub anchor_high: f32,
    /// Below it belongs to the ground.
    pub anchor_low: f32,
    /// Whether anchors that reach out of the picture are left out, as the legacy code has it.
    pub inside_only: bool,
    /// Proposals of a picture.
    pub proposals: Sampler,
    /// From this overlap on a proposal belongs to an object; below, to the ground.
    pub proposal_overlap: f32,
    /// The best anchors that are looked at.
    pub before: usize,
    /// Proposals that are left, from which are drawn; the objects themselves are added.
    pub after: usize,
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self {
            anchors: Sampler { count: 256, objects: 0.5 },
            anchor_high: 0.7,
            anchor_low: 0.3,
            inside_only: false,
            proposals: Sampler { count: 512, objects: 0.25 },
            proposal_overlap: 0.5,
            before: 12_000,
            after: 2_000,
        }
    }
}

/// Section `losses`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSettings {
    /// Width within which steps of anchors count by their square.
    pub anchor_beta: f64,
    /// As much for steps of proposals; maskrcnn-benchmark has 1, torchvision 1/9.
    pub box_beta: f64,
    /// Weight of the attributes.
    pub attributes: f64,
}

impl Default for LossSettings {
    fn default() -> Self {
        Self { anchor_beta: 1.0 / 9.0, box_beta: 1.0, attributes: 0.5 }
    }
}

/// Section `optimiser`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// The rule and its constants.
    pub rule: Rule,
    /// Weight decay of all but biases and normalisation.
    #[serde(default)]
    pub weight_decay: f64,
    /// What the rate of the network, trunk and head, is multiplied by.
    #[serde(default = "one")]
    pub network_rate: f64,
    /// What the rate of biases is multiplied by; maskrcnn-benchmark has 2.
    #[serde(default = "one")]
    pub bias_rate: f64,
    /// The largest norm of all gradients together; without it they are as they are.
    pub clip: Option<f64>,
    /// Share of the old average of weights that is kept, after a ramp; without it the last weights are used.
    pub average: Option<f64>,
}

/// Section `schedule`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Updates of the whole run.
    pub updates: u64,
    /// The largest learning rate.
    pub peak: f64,
    /// Updates until it is reached.
    #[serde(default)]
    pub warm_up: u64,
    /// The rate at the start of the warm-up.
    #[serde(default)]
    pub warm_up_from: f64,
    /// How it falls.
    pub decay: Decay,
}

/// Section `run`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Updates between lines of figures.
    pub log_every: u64,
    /// Updates between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: u64,
    /// Share of pictures that may be unreadable.
    pub unreadable: f64,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { log_every: 20, checkpoint_every: 500, keep: 2, unreadable: 0.01 }
    }
}

fn one() -> f64 {
    1.0
}

impl TrainingSettings {
    /// Checks what can be checked before anything is opened.
    ///
    /// # Errors
    /// Values that cannot be meant.
    pub fn validate(&self) -> Result<(), Error> {
        self.detector.validate()?;
        let require = |key, holds: bool, value: String, hint: &str| {
            if holds { Ok(()) } else { Err(Error::setting(key, format!("is {value}; {hint}"))) }
        };
        let above = |key, value: f64| {
            require(key, value > 0.0 && value.is_finite(), value.to_string(), "it is above 0")
        };
        let at_least_0 = |key, value: f64| {
            require(key, value >= 0.0 && value.is_finite(), value.to_string(), "it is at least 0")
        };
        let share = |key, value: f64| {
            require(key, (0.0..=1.0).contains(&value), value.to_string(), "it is from 0 to 1")
        };
        let count = |key, value: u64| require(key, value > 0, value.to_string(), "it is at least 1");
        count("pictures", self.pictures)?;
        require(
            "frozen_stages",
            self.frozen_stages <= 5,
            self.frozen_stages.to_string(),
            "there are 5 at most",
        )?;
        let both = self.backbone.is_some() && self.start.is_some();
        require("start", !both, "set beside backbone".to_owned(), "weights come from one of them")?;
        for side in &self.short_sides {
            require("short_sides", (1..=8192).contains(side), side.to_string(), "sides are from 1 to 8192")?;
        }
        let samples = &self.samples;
        for (key, sampler) in [("samples.anchors", samples.anchors), ("samples.proposals", samples.proposals)]
        {
            count(key, sampler.count as u64)?;
            share(key, sampler.objects)?;
        }
        let (low, high) = (samples.anchor_low, samples.anchor_high);
        require(
            "samples.anchor_low",
            0.0 <= low && low <= high && high <= 1.0,
            low.to_string(),
            "0 <= anchor_low <= anchor_high <= 1",
        )?;
        share("samples.proposal_overlap", f64::from(samples.proposal_overlap))?;
        count("samples.before", samples.before as u64)?;
        count("samples.after", samples.after as u64)?;
        at_least_0("losses.anchor_beta", self.losses.anchor_beta)?;
        at_least_0("losses.box_beta", self.losses.box_beta)?;
        above("losses.attributes", self.losses.attributes)?;
        at_least_0("optimiser.weight_decay", self.optimiser.weight_decay)?;
        above("optimiser.network_rate", self.optimiser.network_rate)?;
        above("optimiser.bias_rate", self.optimiser.bias_rate)?;
        if let Some(clip) = self.optimiser.clip {
            above("optimiser.clip", clip)?;
        }
        if let Some(average) = self.optimiser.average {
            require(
                "optimiser.average",
                (0.0..1.0).contains(&average),
                average.to_string(),
                "it is at least 0 and below 1",
            )?;
        }
        count("schedule.updates", self.schedule.updates)?;
        above("schedule.peak", self.schedule.peak)?;
        let warm_up = self.schedule.warm_up;
        require(
            "schedule.warm_up",
            warm_up <= self.schedule.updates,
            warm_up.to_string(),
            "it is at most schedule.updates",
        )?;
        count("run.log_every", self.run.log_every)?;
        count("run.checkpoint_every", self.run.checkpoint_every)?;
        count("run.keep", self.run.keep)?;
        share("run.unreadable", self.run.unreadable)
    }

    /// The learning rate of every update.
    pub(crate) fn rates(&self) -> Schedule {
        let ScheduleSettings { updates, peak, warm_up, warm_up_from, decay } = self.schedule.clone();
        Schedule { peak, warm_up, warm_up_from, total: updates, decay }
    }

    /// How a parameter is treated.
    pub(crate) fn group(&self, parameter: &Parameter) -> Group {
        let OptimiserSettings { weight_decay, network_rate, bias_rate, .. } = self.optimiser;
        let is_vector = parameter.tensor().rank() == 1;
        let of_network =
            if crate::detector::tensors::timms(parameter.name()).is_some() { network_rate } else { 1.0 };
        let of_bias = if parameter.name().ends_with(".bias") { bias_rate } else { 1.0 };
        Group { weight_decay: if is_vector { 0.0 } else { weight_decay }, rate_factor: of_network * of_bias }
    }

    pub(crate) fn anchor_matcher(&self) -> Matcher {
        Matcher { high: self.samples.anchor_high, low: self.samples.anchor_low, best_of_each: true }
    }

    pub(crate) fn proposal_matcher(&self) -> Matcher {
        let overlap = self.samples.proposal_overlap;
        Matcher { high: overlap, low: overlap, best_of_each: false }
    }
}
