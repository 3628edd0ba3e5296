//! Section `data`.

use std::path::PathBuf;

use data_specs::{TextKind, Verify};
use serde::{Deserialize, Serialize};

use crate::objectives::{ObjectiveSettings, WrongTags};
use crate::{Error, Result};

/// Which data sets are read, and what of them a sample holds. The defaults are those of Oscar's paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
    /// Tokens of a sample at most, `[CLS]` and `[SEP]` counted.
    pub max_tokens: usize,
    /// Regions of a sample at most: the first ones in stored order.
    pub max_regions: usize,
    /// Whether samples have a b at all: tags, or for questions their answer. False is the paper's baseline without tags.
    pub tags: bool,
    /// Whether samples have regions.
    pub regions: bool,
    /// When the hashes of shards are compared.
    pub verify: VerifyShards,
    /// Threads that make examples. What they make does not depend on it.
    pub threads: usize,
    /// Micro-batches made ahead of the training, over all threads.
    pub read_ahead: usize,
    /// Samples of the held-out sets that are looked at, evenly spread; without it all.
    pub held_out_limit: Option<u64>,
    /// What is trained on.
    pub train: Vec<SetSettings>,
    /// What is evaluated on.
    pub held_out: Vec<SetSettings>,
}

/// One data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSettings {
    /// Its folder, which `pipeline build` wrote. A relative path starts at the current folder.
    pub path: PathBuf,
    /// How often samples are of this set, in proportion to the weights of the others; its size does not enter. Only for
    /// training.
    #[serde(default = "one")]
    pub weight: f64,
    /// Splits whose rows are read; without it all.
    pub splits: Option<Vec<String>>,
    /// Kinds of texts that are read; without it all but labels. Statements that are false of their picture are never read.
    pub kinds: Option<Vec<TextKind>>,
    /// Origins whose tags are read; without it all.
    pub tags: Option<Vec<String>>,
}

/// When the hash of a shard is compared with the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyShards {
    /// Before the first row of it is trained on.
    #[default]
    First,
    /// Never: only sizes and numbers of rows are compared.
    Never,
}

fn one() -> f64 {
    1.0
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            max_tokens: 35,
            max_regions: 50,
            tags: true,
            regions: true,
            verify: VerifyShards::default(),
            threads: 2,
            read_ahead: 8,
            held_out_limit: None,
            train: Vec::new(),
            held_out: Vec::new(),
        }
    }
}

impl DataSettings {
    /// Refuses what cannot be meant, alone or together with the objectives, before anything is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key and what to write.
    pub fn validate(&self, objectives: &ObjectiveSettings) -> Result<()> {
        objectives.validate(self.tags)?;
        let hint = "5 at least ([CLS], one token of a, [SEP], one of b, [SEP]), and 32768 at most";
        require("max_tokens", (5..=1 << 15).contains(&self.max_tokens), self.max_tokens, hint)?;
        let hint = "1 at least; for samples without regions set data.regions = false";
        require("max_regions", self.max_regions > 0, self.max_regions, hint)?;
        require("threads", (1..=1024).contains(&self.threads), self.threads, "1 to 1024")?;
        require("read_ahead", self.read_ahead > 0, self.read_ahead, "1 at least")?;
        let hint = "1 at least; leave it out for all samples";
        require("held_out_limit", self.held_out_limit != Some(0), 0, hint)?;
        if !self.tags && !self.regions && objectives.pollution > 0.0 {
            let hint =
                "words alone belong to nothing: set data.tags or data.regions, or objectives.pollution = 0";
            require("regions", false, "false, and so is data.tags", hint)?;
        }
        require(
            "train",
            !self.train.is_empty(),
            "empty",
            "add a table [[data.train]] with the `path` of a data set",
        )?;
        for (role, sets) in [("train", &self.train), ("held_out", &self.held_out)] {
            for (number, set) in sets.iter().enumerate() {
                set.validate(&format!("{role}[{number}]"))?;
            }
            let reads_questions = sets.is_empty() || sets.iter().any(|set| set.takes(TextKind::Question));
            if objectives.textb_sample_mode == WrongTags::Answers && !reads_questions {
                let hint = "objectives.textb_sample_mode = \"answers\" takes answers from questions: add \"question\" \
                            to the `kinds` of a set that has them";
                require(role, false, "without any set that reads questions", hint)?;
            }
        }
        Ok(())
    }
}

impl SetSettings {
    fn validate(&self, place: &str) -> Result<()> {
        let hint = "a weight is a number above 0; leave the table out to leave the data set out";
        require(&format!("{place}.weight"), self.weight > 0.0 && self.weight.is_finite(), self.weight, hint)?;
        for (key, is_empty) in [
            ("splits", self.splits.as_ref().is_some_and(Vec::is_empty)),
            ("kinds", self.kinds.as_ref().is_some_and(Vec::is_empty)),
            ("tags", self.tags.as_ref().is_some_and(Vec::is_empty)),
        ] {
            let hint = "leave the key out for all of them; data.tags = false reads no tags";
            require(&format!("{place}.{key}"), !is_empty, "an empty list", hint)?;
        }
        Ok(())
    }

    /// Whether texts of this kind are read.
    pub(super) fn takes(&self, kind: TextKind) -> bool {
        self.kinds.as_ref().map_or(kind != TextKind::Label, |kinds| kinds.contains(&kind))
    }

    /// Whether rows of this split are read.
    pub(super) fn takes_split(&self, split: &str) -> bool {
        self.splits.as_ref().is_none_or(|splits| splits.iter().any(|known| known == split))
    }

    /// Whether tags of this origin are read.
    pub(super) fn takes_tags_of(&self, origin: &str) -> bool {
        self.tags.as_ref().is_none_or(|origins| origins.iter().any(|known| known == origin))
    }
}

impl From<VerifyShards> for Verify {
    fn from(verify: VerifyShards) -> Verify {
        match verify {
            VerifyShards::First => Verify::First,
            VerifyShards::Never => Verify::Never,
        }
    }
}

fn require(key: &str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    let (key, problem) = (format!("data.{key}"), format!("is {value}"));
    Err(Error::Setting { key, problem, hint: hint.to_owned() })
}
