//! Everything that a training is told, one section a subject.

use std::path::PathBuf;

use pretrain_training::optimiser::Rule;
use pretrain_training::{Decay, Group, Parameter, Schedule};
use serde::{Deserialize, Serialize};

use super::mixing::Mixing;
use super::{Error, Result};
use crate::architecture::Architecture;

/// What is trained, how, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// The network.
    pub network: NetworkSettings,
    /// How many pictures at once.
    pub batch: BatchSettings,
    /// How weights are moved.
    pub optimiser: OptimiserSettings,
    /// How far.
    pub schedule: ScheduleSettings,
    /// What is asked of the classifier.
    #[serde(default)]
    pub loss: LossSettings,
    /// What is written when.
    #[serde(default)]
    pub run: RunSettings,
}

/// Section `network`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// timm's name, or one of our own.
    pub architecture: String,
    /// Weights to start from; without them they are drawn.
    pub weights: Option<PathBuf>,
    /// Whether the classifier of `weights` is drawn anew: other classes.
    #[serde(default)]
    pub new_classifier: bool,
    /// Whether a classifier that is drawn starts at zero instead. EfficientNet's published first classifier is meant for a
    /// thousand classes: with few, its logits are so large that training is slow to begin.
    #[serde(default)]
    pub zero_classifier: bool,
    /// Whether the last normalisation of every block that is drawn starts at zero, so that each block begins as the
    /// identity (Paper: 1706.02677, section 5.1); ResNeXt only.
    #[serde(default)]
    pub zero_residual: bool,
    /// Drop-connect's rate, which the last block comes near to; EfficientNet only.
    #[serde(default)]
    pub drop_connect: f64,
    /// Dropout's rate before the classifier.
    #[serde(default)]
    pub dropout: f64,
    /// Share of a batch's statistics in the running ones; without it that of the flavour.
    pub norm_momentum: Option<f64>,
}

/// Section `batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Pictures of one update, over all ranks.
    pub size: u64,
    /// Pictures over which normalisation takes its statistics, and which are in memory at once; divides `size`. Ranks share
    /// the micro-batches of a batch, so there are at most `size / micro` of them.
    pub micro: u64,
}

/// Section `optimiser`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// The rule and its constants.
    pub rule: Rule,
    /// Weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// What decays.
    #[serde(default)]
    pub decayed: Decayed,
    /// The largest norm of all gradients together; without it they are as they are.
    pub clip: Option<f64>,
    /// Share of the old average of weights that is kept, after a ramp; without it the last weights are used.
    pub average: Option<f64>,
}

/// Which parameters weight decay is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decayed {
    /// Weights of convolutions and products: neither biases nor normalisation.
    #[default]
    Weights,
    /// All but normalisation: EfficientNet's published training.
    AllButNorm,
    /// All: ResNeXt's.
    All,
}

/// Section `schedule`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// How often every picture is seen.
    pub epochs: f64,
    /// The largest learning rate.
    pub peak: f64,
    /// Epochs until it is reached.
    #[serde(default)]
    pub warm_up: f64,
    /// The rate at the start of the warm-up.
    #[serde(default)]
    pub warm_up_from: f64,
    /// How it falls.
    pub decay: Decay,
}

/// Section `loss`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSettings {
    /// Share of a target that is dealt out evenly over all classes.
    pub label_smoothing: f64,
    /// Pictures made of two.
    pub mixing: Mixing,
}

/// Section `run`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Updates between lines of figures.
    pub log_every: u64,
    /// Epochs between evaluations; there is one at the end in any case.
    pub evaluate_every: f64,
    /// Updates between checkpoints; there is one at the end in any case.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: u64,
    /// The share of pictures that may be unreadable.
    pub unreadable: f64,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { log_every: 10, evaluate_every: 1.0, checkpoint_every: 1000, keep: 3, unreadable: 0.01 }
    }
}

impl Settings {
    /// Refuses what cannot be meant, before anything is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key and what to write.
    pub fn validate(&self) -> Result<Architecture> {
        let architecture: Architecture = self.network.architecture.parse()?;
        let share = |key, value: f64, hint| require(key, (0.0..1.0).contains(&value), value, hint);
        share("network.drop_connect", self.network.drop_connect, "a rate is at least 0 and below 1")?;
        share("network.dropout", self.network.dropout, "a rate is at least 0 and below 1")?;
        share("loss.label_smoothing", self.loss.label_smoothing, "a share is at least 0 and below 1")?;
        share("run.unreadable", self.run.unreadable, "a share is at least 0 and below 1")?;
        if self.network.drop_connect > 0.0 {
            let hint = "ResNeXt has no drop-connect; leave it out";
            require("network.drop_connect", architecture.is_efficientnet(), self.network.drop_connect, hint)?;
        }
        if self.network.zero_residual && architecture.is_efficientnet() {
            let (key, hint) = ("network.zero_residual", "it is for ResNeXt; leave it out");
            return Err(Error::Setting { key, problem: "is true for an EfficientNet".to_owned(), hint });
        }
        if self.network.zero_residual && !architecture.has_shortcuts() {
            let hint = "without shortcuts a block that begins at zero says nothing for ever; leave it out";
            let problem = "is true for a network without shortcuts".to_owned();
            return Err(Error::Setting { key: "network.zero_residual", problem, hint });
        }
        if let Some(momentum) = self.network.norm_momentum {
            let hint = "it is above 0 and at most 1; leave it out for the flavour's";
            require("network.norm_momentum", momentum > 0.0 && momentum <= 1.0, momentum, hint)?;
        }
        for (key, value) in
            [("loss.mixing.mixup", self.loss.mixing.mixup), ("loss.mixing.cutmix", self.loss.mixing.cutmix)]
        {
            let allowed = value == 0.0 || (0.05..=2.0).contains(&value);
            require(key, allowed, value, "0 for none, or 0.05 to 2")?;
        }
        let BatchSettings { size, micro } = self.batch;
        let divides = micro > 0 && size > 0 && size % micro == 0;
        require("batch.micro", divides, micro, "it divides batch.size, and neither is 0")?;
        let positive =
            |key, value: f64| require(key, value > 0.0 && value.is_finite(), value, "it is above 0");
        positive("schedule.epochs", self.schedule.epochs)?;
        positive("schedule.peak", self.schedule.peak)?;
        positive("run.evaluate_every", self.run.evaluate_every)?;
        let fits = (0.0..=self.schedule.epochs).contains(&self.schedule.warm_up);
        require("schedule.warm_up", fits, self.schedule.warm_up, "it is at most schedule.epochs")?;
        require(
            "optimiser.weight_decay",
            self.optimiser.weight_decay >= 0.0,
            self.optimiser.weight_decay,
            "it is at least 0",
        )?;
        if let Some(clip) = self.optimiser.clip {
            positive("optimiser.clip", clip)?;
        }
        if let Some(average) = self.optimiser.average {
            share("optimiser.average", average, "a share is at least 0 and below 1")?;
        }
        for (key, value) in [
            ("run.log_every", self.run.log_every),
            ("run.checkpoint_every", self.run.checkpoint_every),
            ("run.keep", self.run.keep),
        ] {
            require(key, value > 0, value, "it is at least 1")?;
        }
        Ok(architecture)
    }

    /// Updates of the whole run over `n_pictures`.
    pub fn n_steps(&self, n_pictures: u64) -> u64 {
        (self.schedule.epochs * self.steps_per_epoch(n_pictures)).round().max(1.0) as u64
    }

    /// The learning rate of every update.
    pub fn rates(&self, n_pictures: u64) -> Schedule {
        let steps = self.steps_per_epoch(n_pictures);
        Schedule {
            peak: self.schedule.peak,
            warm_up: (self.schedule.warm_up * steps).round() as u64,
            warm_up_from: self.schedule.warm_up_from,
            total: self.n_steps(n_pictures),
            decay: self.schedule.decay.clone().per_epoch(steps),
        }
    }

    /// How a parameter is treated.
    pub(crate) fn group(&self, parameter: &Parameter) -> Group {
        let is_norm_or_bias = parameter.tensor().rank() == 1;
        // a normalisation's `bias` stands beside a `weight` of one axis, others' beside one of several
        let is_bias_of_weights = parameter.name().ends_with(".bias")
            && ["classifier", "fc", "conv_reduce", "conv_expand"].iter().any(|layer| {
                parameter.name().strip_suffix(".bias").is_some_and(|name| name.ends_with(layer))
            });
        let decays = match self.optimiser.decayed {
            Decayed::Weights => !is_norm_or_bias,
            Decayed::AllButNorm => !is_norm_or_bias || is_bias_of_weights,
            Decayed::All => true,
        };
        let weight_decay = if decays { self.optimiser.weight_decay } else { 0.0 };
        Group { weight_decay, rate_factor: 1.0 }
    }

    pub(crate) fn steps_per_epoch(&self, n_pictures: u64) -> f64 {
        n_pictures as f64 / self.batch.size as f64
    }
}

fn require(key: &'static str, holds: bool, value: impl std::fmt::Display, hint: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Setting { key, problem: format!("is {value}"), hint }) }
}
