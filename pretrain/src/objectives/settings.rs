//! Section `objectives`.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The two objectives: what is hidden, what is exchanged. The defaults are those of Oscar's paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveSettings {
    /// Probability that a token of a or b is asked for.
    pub mask_probability: f64,
    /// Share of these that become `[MASK]`.
    pub masked_share: f64,
    /// Share of these that become any token of the vocabulary; the rest stay as they are.
    pub random_share: f64,
    /// Probability that something is exchanged.
    pub pollution: f64,
    /// Probability that the words are exchanged, which is a part of `pollution`: 0 in Oscar, 0.25 in the three-way form of
    /// Oscar+ (`texta_false_prob`). Where a sample has no b its words are exchanged in b's place.
    pub wrong_text: f64,
    /// What an exchanged b is.
    pub textb_sample_mode: WrongTags,
    /// After so many candidates of the sample's own picture one of them is taken all the same. The published code does it
    /// after 10; without a number the exchanged part is always of another picture.
    pub same_picture_after_tries: Option<u32>,
    /// Whether the hidden tokens of an exchanged b are asked for, which they are in the published trainings.
    pub mask_loss_for_unmatched: bool,
}

/// Where an exchanged b comes from; the numbers are those of the published code's option of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongTags {
    /// Mode 0: any text's words or its b, half and half. So half of the "wrong tags" are captions and questions; the
    /// published binary training was done so, though its paper speaks of tags only.
    AnyRow,
    /// Mode 1: any text's b, tags or answer.
    #[default]
    Tags,
    /// Mode 2: the answer to another question, perhaps about the same picture.
    Answers,
}

impl Default for ObjectiveSettings {
    fn default() -> Self {
        Self {
            mask_probability: 0.15,
            masked_share: 0.8,
            random_share: 0.1,
            pollution: 0.5,
            wrong_text: 0.0,
            textb_sample_mode: WrongTags::default(),
            same_picture_after_tries: None,
            mask_loss_for_unmatched: true,
        }
    }
}

impl ObjectiveSettings {
    /// Refuses what cannot be meant; `tags` is `data.tags`.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key and what to write.
    pub fn validate(&self, tags: bool) -> Result<()> {
        for (key, value) in [
            ("mask_probability", self.mask_probability),
            ("masked_share", self.masked_share),
            ("random_share", self.random_share),
            ("pollution", self.pollution),
            ("wrong_text", self.wrong_text),
        ] {
            require(key, (0.0..=1.0).contains(&value), value, "a probability is from 0 to 1")?;
        }
        let hidden = self.masked_share + self.random_share;
        let hint = "masked_share and random_share are together at most 1; the rest stays unchanged";
        require("random_share", hidden <= 1.0 + f64::EPSILON, self.random_share, hint)?;
        let hint = "it is the part of `pollution` that goes to the words, so at most `pollution`";
        require("wrong_text", self.wrong_text <= self.pollution, self.wrong_text, hint)?;
        let hint = "leave it out for another picture always, or 1 and more (10 as published)";
        require("same_picture_after_tries", self.same_picture_after_tries != Some(0), 0, hint)?;
        if !tags && self.textb_sample_mode == WrongTags::Answers {
            let hint = "answers stand in b, which data.tags = false leaves out: set data.tags = true or another mode";
            require("textb_sample_mode", false, "\"answers\" while data.tags is false", hint)?;
        }
        Ok(())
    }

    /// C, the number of classes of the contrastive head: matched; wrong b; wrong words, which is a class of its own where
    /// both can happen, or where there is no b and `wrong_text` leaves the choice open (as published).
    pub fn n_classes(&self, tags: bool) -> usize {
        if self.wrong_text < self.pollution && (self.wrong_text > 0.0 || !tags) { 3 } else { 2 }
    }
}

fn require(key: &str, holds: bool, value: impl std::fmt::Display, hint: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    let (key, problem) = (format!("objectives.{key}"), format!("is {value}"));
    Err(Error::Setting { key, problem, hint: hint.to_owned() })
}
