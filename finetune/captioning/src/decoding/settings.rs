//! What a caller chooses. The defaults are the published ones.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Tokens of a caption at most. BERT has positions for 512.
const LONGEST: usize = 512;

/// The most likely token at every step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GreedySettings {
    /// Tokens of a caption at most, `[CLS]` and `[SEP]` counted.
    pub max_length: usize,
    /// What a token's logit is divided by (multiplied, where it is negative) if the caption has it already. 1 does nothing.
    pub repetition_penalty: f32,
}

/// Tokens drawn as the model thinks them likely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingSettings {
    /// Tokens of a caption at most, `[CLS]` and `[SEP]` counted.
    pub max_length: usize,
    /// As in [`GreedySettings`].
    pub repetition_penalty: f32,
    /// What logits are divided by after that: above 1 unlikely tokens come more often.
    pub temperature: f32,
    /// Only so many tokens, the likeliest, can come (more, where several are equal to the last of them). 0 lets all.
    pub top_k: usize,
    /// Only the likeliest tokens can come whose probabilities together just exceed this (Paper: 1904.09751, section 3.1).
    /// 1 lets all.
    pub top_p: f32,
    /// Captions a picture.
    pub samples: usize,
}

/// Several captions side by side, of which the best is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeamSettings {
    /// Tokens of a caption at most, `[CLS]` and `[SEP]` counted.
    pub max_length: usize,
    /// As in [`GreedySettings`].
    pub repetition_penalty: f32,
    /// Open captions a picture.
    pub beams: usize,
    /// Power of the length by which a sum of log-probabilities is divided: above 1 favours long captions.
    pub length_penalty: f64,
    /// Captions a picture that are returned, the best first.
    pub keep: usize,
}

impl Default for GreedySettings {
    fn default() -> Self {
        Self { max_length: 20, repetition_penalty: 1.0 }
    }
}

impl Default for SamplingSettings {
    fn default() -> Self {
        let GreedySettings { max_length, repetition_penalty } = GreedySettings::default();
        Self { max_length, repetition_penalty, temperature: 1.0, top_k: 0, top_p: 1.0, samples: 5 }
    }
}

impl Default for BeamSettings {
    fn default() -> Self {
        let GreedySettings { max_length, repetition_penalty } = GreedySettings::default();
        Self { max_length, repetition_penalty, beams: 5, length_penalty: 1.0, keep: 1 }
    }
}

impl GreedySettings {
    /// Refuses what cannot be meant.
    pub fn validate(&self) -> Result<()> {
        fits(self.max_length)?;
        penalty(self.repetition_penalty)
    }
}

impl SamplingSettings {
    /// Refuses what cannot be meant.
    pub fn validate(&self) -> Result<()> {
        fits(self.max_length)?;
        penalty(self.repetition_penalty)?;
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse(
                "temperature",
                self.temperature,
                "a number above 0; greedy decoding is its limit at 0",
            );
        }
        if !(0.0..=1.0).contains(&self.top_p) {
            return refuse("top_p", self.top_p, "a probability; 1 lets every token come");
        }
        at_least_one("samples", self.samples)
    }
}

impl BeamSettings {
    /// Refuses what cannot be meant.
    pub fn validate(&self) -> Result<()> {
        fits(self.max_length)?;
        penalty(self.repetition_penalty)?;
        at_least_one("beams", self.beams)?;
        if !(self.length_penalty > 0.0 && self.length_penalty.is_finite()) {
            return refuse(
                "length_penalty",
                self.length_penalty,
                "a number above 0; 1 is the mean over the tokens",
            );
        }
        if self.keep == 0 || self.keep > self.beams {
            return refuse("keep", self.keep, "at least 1, and not more than `beams`");
        }
        Ok(())
    }
}

pub(crate) fn fits(max_length: usize) -> Result<()> {
    match max_length {
        2..=LONGEST => Ok(()),
        _ => refuse(
            "max_length",
            max_length,
            "from 2, for [CLS] and [SEP], to 512; published captions have 20",
        ),
    }
}

pub(crate) fn at_least_one(field: &'static str, value: usize) -> Result<()> {
    if value == 0 { refuse(field, value, "at least 1") } else { Ok(()) }
}

fn penalty(value: f32) -> Result<()> {
    if value >= 1.0 && value.is_finite() {
        return Ok(());
    }
    refuse("repetition_penalty", value, "a number from 1 on; 1 does nothing")
}

fn refuse<T>(field: &'static str, value: impl ToString, hint: &'static str) -> Result<T> {
    Err(Error::Setting { field, value: value.to_string(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_nonsense_is_named() {
        GreedySettings::default().validate().unwrap();
        SamplingSettings::default().validate().unwrap();
        BeamSettings::default().validate().unwrap();
        let sampling = |text: &str| toml::from_str::<SamplingSettings>(text).unwrap().validate();
        for (field, text) in [
            ("max_length", "max_length = 1"),
            ("max_length", "max_length = 513"),
            ("repetition_penalty", "repetition_penalty = 0.9"),
            ("repetition_penalty", "repetition_penalty = nan"),
            ("temperature", "temperature = 0.0"),
            ("temperature", "temperature = nan"),
            ("temperature", "temperature = inf"),
            ("top_p", "top_p = 1.1"),
            ("top_p", "top_p = nan"),
            ("samples", "samples = 0"),
        ] {
            let message = sampling(text).expect_err(text).to_string();
            assert!(message.starts_with(field), "{text}: {message}");
        }
        let beams = |text: &str| toml::from_str::<BeamSettings>(text).unwrap().validate();
        for (field, text) in [
            ("beams", "beams = 0"),
            ("keep", "keep = 0"),
            ("keep", "keep = 6"),
            ("length_penalty", "length_penalty = 0.0"),
        ] {
            let message = beams(text).expect_err(text).to_string();
            assert!(message.starts_with(field), "{text}: {message}");
        }
        assert!(toml::from_str::<BeamSettings>("beam = 5").is_err());
    }
}
