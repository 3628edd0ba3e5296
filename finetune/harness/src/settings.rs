//! Everything that a fine-tuning is told, as one TOML tree.

use std::path::PathBuf;

use pretrain::data::VerifyShards;
use pretrain::model::RegionGeometry;
use pretrain::train::{BatchSettings, OptimiserSettings, PrecisionName, Sizes};
use pretrain::{DeviceChoice, Error, Result};
use pretrain_kernels::Precision;
use pretrain_training::{Decay, Schedule};
use serde::{Deserialize, Serialize};

/// The tree; `T` is the section `task`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings<T> {
    /// Of everything that is drawn.
    #[serde(default = "published_seed")]
    pub seed: u64,
    /// What is trained.
    #[serde(default)]
    pub model: ModelSettings,
    /// On what.
    pub data: DataSettings,
    /// What is asked, and by which head.
    pub task: T,
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

/// Section `model`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Model folder to start from: pre-trained, fine-tuned, or BERT's. Without it weights are drawn.
    pub from: Option<PathBuf>,
    /// Folder with `tokenizer.json` or `vocab.txt`; without it the one in `from`.
    pub tokenizer: Option<PathBuf>,
    /// Sizes of a network that is drawn; with `from` they must be those of the folder.
    pub sizes: Option<Sizes>,
    /// What products are computed in, here and in evaluations of the run: `f32`, or `bf16`, where
    /// parameters, sums, losses and updates stay f32. Processors without AVX-512's bf16 instructions compute in f32 anyway.
    #[serde(with = "PrecisionName")]
    pub precision: Precision,
    /// In which order the last two of a region's six numbers stand, where `from` does not say.
    pub region_geometry: RegionGeometry,
    /// Dropout of embeddings, of what a layer adds, and of what the head reads; without it that of `from`.
    pub drop_out: Option<f64>,
    /// Whether a head of `from` that has other answers or another form is drawn anew; otherwise it is an error.
    pub replace_head: bool,
}

/// Section `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// How a sample is laid out.
    pub layout: Layout,
    /// When the hashes of shards are compared.
    #[serde(default)]
    pub verify: VerifyShards,
    /// Threads that make examples. What they make does not depend on it.
    #[serde(default = "two")]
    pub threads: usize,
    /// Micro-batches made ahead of the training, over all threads.
    #[serde(default = "eight")]
    pub read_ahead: usize,
    /// What is trained on; `--data` puts its folder here.
    #[serde(default)]
    pub train: Vec<SetSettings>,
    /// What the best model is chosen by; without any the last model is kept.
    #[serde(default)]
    pub held_out: Vec<SetSettings>,
}

/// How a text lies beside its pictures: part of what the model has learnt, so it is kept beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Tokens of a sequence at most, `[CLS]` and `[SEP]` counted.
    pub max_tokens: usize,
    /// Regions of a picture at most: the first ones in stored order. 0 tells what a model knows without seeing.
    pub max_regions: usize,
    /// Whether tags stand beside the text.
    pub tags: bool,
    /// Origins whose tags are read; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_origins: Option<Vec<String>>,
}

/// One data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSettings {
    /// Its folder, which `pipeline build` wrote. A relative path starts at the current folder.
    pub path: PathBuf,
    /// Splits whose rows are read; without it all.
    pub splits: Option<Vec<String>>,
}

/// Section `schedule`. Update k, from 0, takes the rate of step k + 1, as in the published fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Passes over the data.
    pub epochs: u64,
    /// The largest learning rate.
    pub peak: f64,
    /// Updates until it is reached.
    #[serde(default)]
    pub warm_up: u64,
    /// How it falls.
    pub decay: Decay,
}

/// Section `run`: how it is done, not what comes out (but for `evaluate_every`, at which updates a model can be chosen).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Updates between lines of figures.
    pub log_every: u64,
    /// Updates between evaluations on the held-out sets; without it each epoch ends with one.
    pub evaluate_every: Option<u64>,
    /// Updates between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: u64,
    /// Where the network computes: `cpu`, `cuda` or `cuda:N`. With `cuda` each rank takes the GPU that has its number.
    pub device: DeviceChoice,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            log_every: 20,
            evaluate_every: None,
            checkpoint_every: 1000,
            keep: 2,
            device: DeviceChoice::Cpu,
        }
    }
}

fn published_seed() -> u64 {
    88
}

fn two() -> usize {
    2
}

fn eight() -> usize {
    8
}

/// Keys that may differ when a run is resumed.
pub(crate) const FREE: [&str; 8] = [
    "run.log_every",
    "run.checkpoint_every",
    "run.keep",
    "run.device",
    "data.verify",
    "data.threads",
    "data.read_ahead",
    "optimiser.zero",
];

impl<T> Settings<T> {
    /// Refuses what cannot be meant, before anything is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key.
    pub fn validate(&self) -> Result<()> {
        self.data.layout.validate()?;
        let BatchSettings { size, micro } = self.batch;
        require("batch.micro", micro > 0 && micro <= size, micro, "at least 1 and at most batch.size")?;
        require("batch.size", size < 1 << 17, size, "below 131,072")?;
        let ScheduleSettings { epochs, peak, .. } = self.schedule;
        require("schedule.epochs", (1..1 << 20).contains(&epochs), epochs, "at least 1 and below 2^20")?;
        require("schedule.peak", peak > 0.0 && peak.is_finite(), peak, "above 0")?;
        let decay = self.optimiser.weight_decay;
        require("optimiser.weight_decay", decay >= 0.0 && decay.is_finite(), decay, "at least 0")?;
        if let Some(clip) = self.optimiser.clip {
            require("optimiser.clip", clip > 0.0, clip, "above 0; leave it out for none")?;
        }
        if let Some(rate) = self.model.drop_out {
            require("model.drop_out", (0.0..1.0).contains(&rate), rate, "at least 0 and below 1")?;
        }
        for (key, value) in [
            ("run.log_every", self.run.log_every),
            ("run.evaluate_every", self.run.evaluate_every.unwrap_or(1)),
            ("run.checkpoint_every", self.run.checkpoint_every),
            ("run.keep", self.run.keep),
            ("data.threads", self.data.threads as u64),
            ("data.read_ahead", self.data.read_ahead as u64),
        ] {
            require(key, value > 0, value, "at least 1")?;
        }
        if self.data.train.is_empty() {
            require("data.train", false, "empty", "name the folder of a data set by --data")?;
        }
        if self.model.from.is_none() && self.model.sizes.is_none() {
            require("model", false, "without any network", "give --model DIR, or the table model.sizes")?;
        }
        if self.model.from.is_none() && self.model.tokenizer.is_none() {
            let hint = "give a folder with vocab.txt or tokenizer.json; `pipeline vocabulary` makes one";
            require("model.tokenizer", false, "not set", hint)?;
        }
        Ok(())
    }

    /// The learning rate of every step of a run of `total` updates.
    pub fn rates(&self, total: u64) -> Schedule {
        let ScheduleSettings { peak, warm_up, ref decay, .. } = self.schedule;
        Schedule { peak, warm_up, warm_up_from: 0.0, total, decay: decay.clone() }
    }
}

impl Layout {
    /// Refuses what no sample can be laid out by.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key.
    pub fn validate(&self) -> Result<()> {
        let Self { max_tokens, max_regions, .. } = *self;
        let hint = "5 at least ([CLS], one token of a, [SEP], one of b, [SEP]), and 1024 at most";
        require("data.layout.max_tokens", (5..=1024).contains(&max_tokens), max_tokens, hint)?;
        require("data.layout.max_regions", max_regions <= 1019, max_regions, "0 to 1019")
    }
}

pub(crate) fn require(key: &str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Setting { key: key.to_owned(), problem: format!("is {value}"), hint: hint.to_owned() })
}
