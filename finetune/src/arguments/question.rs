//! The command line of single questions.

use std::path::PathBuf;

use clap::Args;
use finetune::question::{Answered, Captioned, Found, FoundPictures, FoundTexts, Looking, Question, Timings};
use finetune_harness::DeviceChoice;
use serde::Serialize;

use super::Output;
use super::precision::PrecisionArgument;

/// How the picture of a question is looked at.
#[derive(Debug, Args)]
pub(crate) struct Seeing {
    /// The detector that looks at pictures: one that the model learned from
    #[arg(long, value_name = "DIR", conflicts_with = "regions")]
    detector: Option<PathBuf>,
    /// Look at the cells of the detector's map instead of what it finds: for a model that learned from such
    #[arg(long, requires = "detector")]
    grid: bool,
    /// Regions from elsewhere in JSON, one file a picture: docs/own-pictures.md shows it
    #[arg(long, value_name = "JSON")]
    regions: Vec<PathBuf>,
    /// Say how many seconds decoding, looking and the model took
    #[arg(long)]
    timings: bool,
}

/// A question about a picture.
#[derive(Debug, Args)]
#[group(id = "asking", multiple = true)]
pub(crate) struct OnePicture {
    /// A picture to ask about, instead of a data set
    #[arg(long, value_name = "FILE", requires = "question")]
    image: Option<PathBuf>,
    /// The question about it
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
}

/// A statement about two pictures.
#[derive(Debug, Args)]
#[group(id = "asking", multiple = true)]
pub(crate) struct TwoPictures {
    /// The left picture to ask about, instead of a data set
    #[arg(long, value_name = "FILE", requires_all = ["right", "statement"])]
    left: Option<PathBuf>,
    /// The right picture
    #[arg(long, value_name = "FILE", requires_all = ["left", "statement"])]
    right: Option<PathBuf>,
    /// The statement about them
    #[arg(long, value_name = "TEXT")]
    statement: Option<String>,
}

/// A text with the pictures that it is about.
pub(crate) struct Asking {
    pub(crate) images: Vec<Option<PathBuf>>,
    pub(crate) words: String,
    /// What the command line calls the words.
    pub(crate) key: &'static str,
}

/// What a task is asked beside a data set.
pub(crate) trait Asked: Args {
    /// The question, if there is one.
    fn asking(self) -> Option<Asking>;
}

impl Asked for OnePicture {
    fn asking(self) -> Option<Asking> {
        self.question.map(|words| Asking { images: vec![self.image], words, key: "--question" })
    }
}

impl Asked for TwoPictures {
    fn asking(self) -> Option<Asking> {
        let images = vec![self.left, self.right];
        self.statement.map(|words| Asking { images, words, key: "--statement" })
    }
}

impl Seeing {
    /// Where regions come from.
    pub(crate) fn looking(&self) -> Looking {
        Looking { detector: self.detector.clone(), grid: self.grid, regions: self.regions.clone() }
    }

    /// The detector that is given, and whether the cells of its map are asked for.
    pub(crate) fn detector(&self) -> (Option<PathBuf>, bool) {
        (self.detector.clone(), self.grid)
    }

    /// The file, or the folder of files, that is given for pictures of a folder.
    pub(crate) fn regions(&self) -> Option<PathBuf> {
        self.regions.first().cloned()
    }

    /// A question that a model answers in this precision on this device.
    pub(crate) fn question(
        &self,
        model: PathBuf,
        images: Vec<Option<PathBuf>>,
        (precision, device): (PrecisionArgument, DeviceChoice),
    ) -> Question {
        Question { model, images, looking: self.looking(), precision: precision.into(), device }
    }

    /// A caption as text.
    pub(crate) fn captioned(&self, found: &Captioned, output: Output) -> anyhow::Result<String> {
        let mut lines = vec![format!("{} ({:.1} %)", found.caption, 100.0 * found.confidence)];
        let others =
            found.others.iter().map(|(text, confidence)| format!("{text} ({:.1} %)", 100.0 * confidence));
        lines.extend(others);
        lines.push(tags(&found.tags));
        self.shown(found, &found.timings, lines, output)
    }

    /// An answer as text.
    pub(crate) fn answered(&self, found: &Answered, output: Output) -> anyhow::Result<String> {
        let mut lines = vec![format!("{} {} ({:.1} %)", found.text, found.answer, 100.0 * found.confidence)];
        lines.extend(found.tags.iter().map(|seen| tags(seen)));
        self.shown(found, &found.timings, lines, output)
    }

    /// Pictures as text.
    pub(crate) fn pictures(&self, found: &FoundPictures, output: Output) -> anyhow::Result<String> {
        let mut lines: Vec<String> = found.found.iter().map(ranked).collect();
        lines.extend(found.refused.iter().map(|(_, why)| format!("refused: {why}")));
        self.shown(found, &found.timings, lines, output)
    }

    /// Texts as text.
    pub(crate) fn texts(&self, found: &FoundTexts, output: Output) -> anyhow::Result<String> {
        let mut lines: Vec<String> = found.found.iter().map(ranked).collect();
        lines.push(tags(&found.tags));
        self.shown(found, &found.timings, lines, output)
    }

    fn shown(
        &self,
        found: &impl Serialize,
        timings: &Timings,
        mut lines: Vec<String>,
        output: Output,
    ) -> anyhow::Result<String> {
        if output.json {
            let mut value = serde_json::to_value(found)?;
            if let Some(value) = value.as_object_mut().filter(|_| !self.timings) {
                value.remove("timings");
            }
            return Ok(value.to_string());
        }
        if self.timings {
            let Timings { decode, load, detect, model } = timings;
            lines.push(format!("seconds: decode {decode:.3}, load the detector {load:.3}, detect {detect:.3}, model {model:.3}"));
        }
        Ok(lines.join("\n"))
    }
}

fn tags(seen: &[(String, Option<f32>)]) -> String {
    let told = seen.iter().map(|(name, score)| match score {
        Some(score) => format!("{name} {score:.2}"),
        None => name.clone(),
    });
    let told: Vec<String> = told.collect();
    format!("seen: {}", if told.is_empty() { "nothing that has a name".to_owned() } else { told.join(", ") })
}

fn ranked(found: &Found) -> String {
    format!("{:5.1} %  {}", 100.0 * found.confidence, found.name)
}
