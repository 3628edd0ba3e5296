//! Section `task` of the settings.

use std::path::PathBuf;

use finetune_harness::{Error, Layout, Result};
use serde::{Deserialize, Serialize};

use crate::decoding::{BeamSettings, GreedySettings, SamplingSettings};
use crate::sequence::Room;

/// What is learnt, and how captions are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Captioning {
    /// Tokens of a caption that is learnt, `[CLS]` and `[SEP]` counted: tags stand behind them. The rest of
    /// `data.layout.max_tokens` is the tags'.
    pub caption_tokens: usize,
    /// Share of a caption's tokens that is asked for.
    pub mask_probability: f64,
    /// How many at most.
    pub max_masked_tokens: usize,
    /// Of these, the share that becomes `[MASK]`.
    pub masked_share: f64,
    /// And the share that becomes any token; the others stay.
    pub random_share: f64,
    /// What the label gives to all other tokens together.
    pub label_smoothing: f64,
    /// Share of a micro-batch's asked tokens, those of the largest loss, that are left out.
    pub drop_worst_ratio: f64,
    /// Updates before that begins.
    pub drop_worst_after: u64,
    /// Whether logits are products with the word embeddings, or with a matrix of their own.
    pub tie_weights: bool,
    /// Whether word embeddings stay as they are.
    pub freeze_embedding: bool,
    /// How captions are written: for the choice of the best model, and by `eval` and `predict`.
    pub decoding: Decoding,
    /// Self-critical training; without it, training by hidden tokens.
    pub self_critical: Option<SelfCritical>,
}

/// How captions are written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Decoding {
    /// The likeliest token at every step.
    Greedy(GreedySettings),
    /// Tokens drawn under the seed 0; captions a picture are `samples`.
    Sampling(SamplingSettings),
    /// Several captions side by side.
    Beam(BeamSettings),
}

/// Section `task.self_critical` (Paper: 1612.00563).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfCritical {
    /// Drawn captions of a picture.
    pub samples: usize,
    /// Tokens of a drawn caption at most, `[CLS]` and `[SEP]` counted.
    pub max_length: usize,
    /// What a drawn caption's score is compared with.
    pub baseline: BaselineKind,
    /// Where document frequencies of the score come from.
    pub document_frequencies: FrequencySource,
}

/// What a drawn caption's score is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaselineKind {
    /// That of the greedy caption.
    Greedy,
    /// The mean of the picture's other drawn captions.
    Sample,
}

/// Where document frequencies come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrequencySource {
    /// All captions of the training set.
    Corpus,
    /// The references of a micro-batch.
    Batch,
    /// This file: the original's pickle, or what `finetune score document-frequencies --eos` writes.
    File(PathBuf),
}

impl Default for Captioning {
    fn default() -> Self {
        Self {
            caption_tokens: 40,
            mask_probability: 0.15,
            max_masked_tokens: 3,
            masked_share: 0.8,
            random_share: 0.1,
            label_smoothing: 0.0,
            drop_worst_ratio: 0.0,
            drop_worst_after: 0,
            tie_weights: true,
            freeze_embedding: false,
            decoding: Decoding::Beam(BeamSettings::default()),
            self_critical: None,
        }
    }
}

impl Default for SelfCritical {
    fn default() -> Self {
        Self {
            samples: 5,
            max_length: 20,
            baseline: BaselineKind::Greedy,
            document_frequencies: FrequencySource::Corpus,
        }
    }
}

impl Decoding {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// The setting.
    pub fn validate(&self) -> crate::Result<()> {
        match self {
            Self::Greedy(settings) => settings.validate(),
            Self::Sampling(settings) => settings.validate(),
            Self::Beam(settings) => settings.validate(),
        }
    }

    /// Tokens of a caption at most.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Greedy(settings) => settings.max_length,
            Self::Sampling(settings) => settings.max_length,
            Self::Beam(settings) => settings.max_length,
        }
    }
}

impl Captioning {
    /// Refuses what cannot be meant, before anything is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key.
    pub fn validate(&self, layout: &Layout) -> Result<()> {
        let room = layout.max_tokens.saturating_sub(self.caption_tokens);
        let least = if layout.tags { 2 } else { 0 };
        let fits =
            (3..=512).contains(&self.caption_tokens) && self.caption_tokens + least <= layout.max_tokens;
        let hint = "from 3, and so that data.layout.max_tokens has room for tags behind it";
        require("task.caption_tokens", fits, self.caption_tokens, hint)?;
        let shares = [("mask_probability", self.mask_probability), ("masked_share", self.masked_share)];
        for (key, share) in shares.into_iter().chain([("random_share", self.random_share)]) {
            require(&format!("task.{key}"), (0.0..=1.0).contains(&share), share, "from 0 to 1")?;
        }
        let shares = self.masked_share + self.random_share;
        require("task.random_share", shares <= 1.0, self.random_share, "at most 1 with task.masked_share")?;
        require("task.max_masked_tokens", self.max_masked_tokens > 0, self.max_masked_tokens, "at least 1")?;
        for (key, value) in
            [("label_smoothing", self.label_smoothing), ("drop_worst_ratio", self.drop_worst_ratio)]
        {
            require(&format!("task.{key}"), (0.0..1.0).contains(&value), value, "from 0, below 1")?;
        }
        self.decoding.validate()?;
        if let Some(drawn) = &self.self_critical {
            let hint = "from 2, for [CLS] and [SEP], to 512; published captions have 20";
            let key = "task.self_critical.max_length";
            require(key, (2..=512).contains(&drawn.max_length), drawn.max_length, hint)?;
            let least = if drawn.baseline == BaselineKind::Sample { 2 } else { 1 };
            let hint = "at least 1; with the other samples as baseline at least 2";
            require("task.self_critical.samples", drawn.samples >= least, drawn.samples, hint)?;
            let rows = 2 * drawn.samples * (drawn.max_length - 1) + room + layout.max_regions;
            let hint = "fewer or shorter samples: two tokens each a step, tags and regions are at most 1024";
            require("task.self_critical.samples", rows <= 1024, drawn.samples, hint)?;
        }
        Ok(())
    }

    /// Where the tokens of a sequence stand, beside captions of up to `max_length` tokens. As published, tags stand behind the
    /// longest caption that is learnt, or written where that is longer.
    pub(crate) fn room(&self, layout: &Layout, max_length: usize) -> Room {
        Room {
            caption: self.caption_tokens,
            tags: (layout.max_tokens - self.caption_tokens).max(1),
            first_tag: self.caption_tokens.max(max_length) as u32,
        }
    }
}

fn require(key: &str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Setting { key: key.to_owned(), problem: format!("is {value}"), hint: hint.to_owned() })
}
