//! Everything that `pretrain run` is told, as one TOML tree.

use std::collections::BTreeMap;
use std::path::Path;

use pretrain_comm::Collective;
use pretrain_training::config::{Resolved, load};
use pretrain_training::optimiser::Rule;
use pretrain_training::{Decay, Group, Optimiser, Parameter, Parameters, Schedule};
use serde::{Deserialize, Serialize};

use super::sizes::ModelSettings;
use crate::data::DataSettings;
use crate::objectives::ObjectiveSettings;
use crate::{DeviceChoice, Error, Result};

/// The tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// What is trained.
    pub model: ModelSettings,
    /// On what.
    pub data: DataSettings,
    /// What is hidden and exchanged.
    #[serde(default)]
    pub objectives: ObjectiveSettings,
    /// How many samples at once.
    pub batch: BatchSettings,
    /// How parameters are moved.
    pub optimiser: OptimiserSettings,
    /// How far.
    pub schedule: ScheduleSettings,
    /// What is written when.
    #[serde(default)]
    pub run: RunSettings,
}

/// Section `batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// Samples of one update, over all ranks.
    pub size: u64,
    /// Samples that are computed at once; ranks share the micro-batches of a batch.
    pub micro: u64,
}

/// Section `optimiser`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// The rule and its constants; `oscar_adamw` is the published one.
    pub rule: Rule,
    /// Decay of all but biases and layer norms.
    #[serde(default)]
    pub weight_decay: f64,
    /// The largest norm of all gradients together; without it they are as they are.
    pub clip: Option<f64>,
    /// Whether each rank remembers only its part of the rule's state (Paper: 1910.02054, stage 1): less memory, the same
    /// numbers.
    #[serde(default)]
    pub zero: bool,
}

/// Section `schedule`. Update k, from 0, takes the rate of step k, as in the published pre-training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Updates of the whole run.
    pub steps: u64,
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

/// Section `run`: how it is done, not what comes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Updates between lines of figures.
    pub log_every: u64,
    /// Updates between evaluations on the held-out sets.
    pub evaluate_every: u64,
    /// Updates between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: u64,
    /// Where the network computes: `cpu`, `cuda` or `cuda:N`. With `cuda` each rank takes the GPU that has its number.
    pub device: DeviceChoice,
    /// Groups of words whose share of right guesses is told apart, by a name: `colours = ["red", "blue"]`. Each word is one
    /// token of the vocabulary.
    pub probes: BTreeMap<String, Vec<String>>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            log_every: 20,
            evaluate_every: 1000,
            checkpoint_every: 1000,
            keep: 2,
            device: DeviceChoice::Cpu,
            probes: BTreeMap::new(),
        }
    }
}

/// Keys that may differ when a run is resumed.
pub(super) const FREE: [&str; 10] = [
    "run.log_every",
    "run.evaluate_every",
    "run.checkpoint_every",
    "run.keep",
    "run.device",
    "data.verify",
    "data.threads",
    "data.read_ahead",
    "model.recompute",
    "optimiser.zero",
];

impl Settings {
    /// Reads and checks a tree before anything else is opened.
    ///
    /// # Errors
    /// Keys that are unknown or missing, values that cannot be meant.
    pub fn load(file: &Path, overrides: &[String]) -> Result<Resolved<Self>> {
        if !file.is_file() {
            return Err(Error::Setting {
                key: "CONFIG".to_owned(),
                problem: format!("{} is no file", file.display()),
                hint: "pretrain/configs has presets; a run keeps its settings in config.toml".to_owned(),
            });
        }
        let resolved: Resolved<Self> = load(file, overrides)?;
        resolved.settings.validate()?;
        Ok(resolved)
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key.
    pub fn validate(&self) -> Result<()> {
        self.data.validate(&self.objectives)?;
        let BatchSettings { size, micro } = self.batch;
        require("batch.micro", micro > 0 && micro <= size, micro, "at least 1 and at most batch.size")?;
        require("batch.size", size < 1 << 18, size, "below 262,144")?;
        let ScheduleSettings { steps, peak, warm_up, .. } = self.schedule;
        let hint = "at least 1 and below 2^32 - 1";
        require("schedule.steps", steps > 0 && steps < u64::from(u32::MAX), steps, hint)?;
        require("schedule.peak", peak > 0.0 && peak.is_finite(), peak, "above 0")?;
        require("schedule.warm_up", warm_up <= steps, warm_up, "at most schedule.steps")?;
        let decay = self.optimiser.weight_decay;
        require("optimiser.weight_decay", decay >= 0.0 && decay.is_finite(), decay, "at least 0")?;
        if let Some(clip) = self.optimiser.clip {
            require("optimiser.clip", clip > 0.0, clip, "above 0; leave it out for none")?;
        }
        for (key, value) in [
            ("run.log_every", self.run.log_every),
            ("run.evaluate_every", self.run.evaluate_every),
            ("run.checkpoint_every", self.run.checkpoint_every),
            ("run.keep", self.run.keep),
        ] {
            require(key, value > 0, value, "at least 1")?;
        }
        if self.model.from.is_none() && self.model.sizes.is_none() {
            let hint = "give model.from, a model folder, or the table model.sizes";
            require("model", false, "without any network", hint)?;
        }
        if self.model.from.is_none() && self.model.tokenizer.is_none() {
            let hint = "give a folder with vocab.txt or tokenizer.json; `pipeline vocabulary` makes one";
            require("model.tokenizer", false, "not set", hint)?;
        }
        Ok(())
    }

    /// The learning rate of every update.
    pub fn rates(&self) -> Schedule {
        let ScheduleSettings { steps, peak, warm_up, warm_up_from, ref decay } = self.schedule;
        Schedule { peak, warm_up, warm_up_from, total: steps, decay: decay.clone() }
    }
}

impl OptimiserSettings {
    /// The rule at work on `parameters`, with its memory split over `ranks` if that is asked for.
    pub fn of(&self, parameters: &Parameters, ranks: &dyn Collective) -> Optimiser {
        let group = |parameter: &Parameter| self.group(parameter);
        if self.zero {
            Optimiser::split(self.rule, parameters, group, ranks)
        } else {
            Optimiser::new(self.rule, parameters, group)
        }
    }

    /// How a parameter is treated: what is called bias or `LayerNorm` does not decay. A layer norm inside of a task's head has
    /// another name and decays, as published.
    pub fn group(&self, parameter: &Parameter) -> Group {
        let decays = !parameter.name().ends_with("bias") && !parameter.name().contains("LayerNorm");
        Group { weight_decay: if decays { self.weight_decay } else { 0.0 }, rate_factor: 1.0 }
    }
}

fn require(key: &str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Setting { key: key.to_owned(), problem: format!("is {value}"), hint: hint.to_owned() })
}
