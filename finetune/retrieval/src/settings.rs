//! What is asked, and by which direction models are chosen.

use std::path::PathBuf;

use finetune_harness::{Error, Result};
use serde::{Deserialize, Serialize};

/// Section `task`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// Which parts of a sample see each other.
    #[serde(default)]
    pub attention: Sight,
    /// Captions of a picture that are read, the first ones; evaluation needs so many of each.
    #[serde(default = "published_captions")]
    pub captions_per_image: usize,
    /// Pictures that are drawn for a negative; the one whose tags are most like the own picture's is taken. 1 is the
    /// published negative, a picture drawn uniformly.
    #[serde(default = "published_negatives")]
    pub hard_negatives: u32,
    /// Candidates of each query while models are chosen: its own partners, and those that are most alike by words. Without
    /// it every pair is scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// A published list of candidate captions of each held-out picture, `minival_caption_indexs_top20.pt`; in the place of
    /// `candidates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minival: Option<PathBuf>,
}

/// Which of caption (C), tags (L, labels) and regions (R) see each other; each part sees itself. The published names of the
/// ablation (Paper: 2004.06165, table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Sight {
    /// All see all.
    #[default]
    Clr,
    /// Caption and tags.
    Cl,
    /// Caption and regions.
    Cr,
    /// Tags and regions.
    Lr,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Pictures, by a caption: `image-retrieval`.
    Images,
    /// Captions, by a picture: `text-retrieval`.
    Texts,
}

fn published_captions() -> usize {
    5
}

fn published_negatives() -> u32 {
    1
}

/// More draws than this are no harder.
const HARDEST: u32 = 4096;

impl Retrieval {
    /// Refuses what cannot be meant.
    pub(crate) fn validate(&self, direction: Direction) -> Result<()> {
        let require = |key: &str, holds: bool, problem: String, hint: &str| {
            if holds {
                return Ok(());
            }
            Err(Error::Setting { key: format!("task.{key}"), problem, hint: hint.to_owned() })
        };
        let n = self.captions_per_image;
        require("captions_per_image", n > 0, format!("is {n}"), "at least 1")?;
        let n = self.hard_negatives;
        require("hard_negatives", (1..=HARDEST).contains(&n), format!("is {n}"), "1 to 4096")?;
        if let Some(n) = self.candidates {
            require(
                "candidates",
                n > self.captions_per_image,
                format!("is {n}"),
                "more than captions_per_image",
            )?;
            let both = "is set, and so is task.candidates".to_owned();
            require("minival", self.minival.is_none(), both, "set one of the two")?;
        }
        let hint = "the file lists captions of pictures: choose text-retrieval, or set task.candidates";
        let fits = self.minival.is_none() || direction == Direction::Texts;
        require("minival", fits, "is set for image-retrieval".to_owned(), hint)
    }
}

impl Sight {
    /// Whether part `a` sees part `b`: 0 caption, 1 tags, 2 regions.
    pub(crate) fn sees(self, a: usize, b: usize) -> bool {
        a == b
            || match self {
                Self::Clr => true,
                Self::Cl => a + b == 1,
                Self::Cr => a + b == 2,
                Self::Lr => a + b == 3,
            }
    }
}

impl Direction {
    /// Its name in commands and in model folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "image-retrieval",
            Self::Texts => "text-retrieval",
        }
    }

    /// The direction of a name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Images, Self::Texts].into_iter().find(|direction| direction.name() == name)
    }

    /// Its name in reports.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Images => "t2i",
            Self::Texts => "i2t",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_see_each_other() {
        let seen = |sight: Sight| {
            let pairs = (0..3).flat_map(|a| (0..3).map(move |b| (a, b)));
            pairs.filter(|(a, b)| a != b && sight.sees(*a, *b)).collect::<Vec<_>>()
        };
        assert_eq!(seen(Sight::Clr).len(), 6);
        assert_eq!(seen(Sight::Cl), [(0, 1), (1, 0)]);
        assert_eq!(seen(Sight::Cr), [(0, 2), (2, 0)]);
        assert_eq!(seen(Sight::Lr), [(1, 2), (2, 1)]);
        let task: Retrieval = toml::from_str("attention = \"CR\"").unwrap();
        assert_eq!((task.attention, task.captions_per_image, task.hard_negatives), (Sight::Cr, 5, 1));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, direction, part) in [
            ("captions_per_image = 0", Direction::Texts, "task.captions_per_image is 0"),
            ("hard_negatives = 0", Direction::Texts, "task.hard_negatives is 0"),
            ("candidates = 5", Direction::Texts, "task.candidates is 5"),
            ("candidates = 9\nminival = \"x.pt\"", Direction::Texts, "task.minival is set, and so"),
            ("minival = \"x.pt\"", Direction::Images, "task.minival is set for image-retrieval"),
        ] {
            let task: Retrieval = toml::from_str(text).unwrap();
            let message = task.validate(direction).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("hint: "), "{message}");
        }
        let task: Retrieval = toml::from_str("minival = \"x.pt\"").unwrap();
        task.validate(Direction::Texts).unwrap();
    }

    #[test]
    fn presets_are_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        for direction in [Direction::Images, Direction::Texts] {
            for (size, peak) in [("base", 2e-5), ("large", 1e-5), ("small", 5e-4)] {
                let name = format!("{}-{size}", direction.name());
                let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
                let settings: finetune_harness::Settings<Retrieval> =
                    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                settings.task.validate(direction).unwrap();
                assert_eq!((settings.schedule.peak, settings.task.candidates), (peak, Some(20)), "{name}");
                for head in ["Hardware: ", "Wall time: ", "Expected score: "] {
                    assert!(text.contains(&format!("\n# {head}")), "{name} does not say {head}");
                }
                assert!(text.contains(&format!("train --config finetune/configs/{name}.toml")), "{name}");
            }
        }
    }
}
