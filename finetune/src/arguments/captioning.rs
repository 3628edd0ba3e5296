//! The command line of captioning and NoCaps.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use finetune::explain;
use finetune::score::{self, Form};
use finetune_captioning::{Captioned, ConstraintFiles, Write, official_id, train};
use finetune_harness::DeviceChoice;
use finetune_metrics::layouts::{Candidates, Id, ReferenceImage, References};

use super::Output;
use super::precision::PrecisionArgument;
use super::question::Seeing;
use super::task::TrainArguments;
use crate::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum Captioning {
    /// Learn from shards; the run's folder gets checkpoints, figures and the model
    Train(TrainArguments),
    /// Scores of a model on shards with captions, equal to those that `finetune score` gives its predictions
    Eval {
        #[command(flatten)]
        asked: Asked,
        /// METEOR's word data: a METEOR 1.5 folder, or its jar
        #[arg(long, value_name = "DIR|JAR")]
        meteor_data: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Captions of a model with their probabilities, of a data set or of a picture
    Predict(PredictArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoCaps {
    /// Learn from shards, as `finetune captioning train`
    Train(TrainArguments),
    /// Scores by domain, equal to those that `finetune score nocaps` gives its predictions
    Eval {
        #[command(flatten)]
        asked: Asked,
        #[command(flatten)]
        constraints: Constraints,
        /// METEOR's word data: a METEOR 1.5 folder, or its jar
        #[arg(long, value_name = "DIR|JAR")]
        meteor_data: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Captions of a model with their probabilities
    Predict {
        #[command(flatten)]
        predict: PredictArguments,
        #[command(flatten)]
        constraints: Constraints,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Fine-tuned model folder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Data set
    #[arg(long, value_name = "SHARDS")]
    data: PathBuf,
    #[command(flatten)]
    decoding: Decoded,
}

#[derive(Debug, Args)]
pub(crate) struct Decoded {
    /// Another way of decoding than the model's: decoding.beams=3
    #[arg(long, value_name = "DECODING.KEY=VALUE")]
    set: Vec<String>,
    /// Pictures that are computed at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// What products are computed in
    #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
    precision: PrecisionArgument,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// Fine-tuned model folder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Data set
    #[arg(long, value_name = "SHARDS", required_unless_present_any = ["image", "regions"], conflicts_with_all = ["image", "regions"])]
    data: Option<PathBuf>,
    /// A picture to caption, instead of a data set
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    seeing: Seeing,
    #[command(flatten)]
    decoding: Decoded,
    /// Only the row of this key
    #[arg(long, requires = "data")]
    key: Option<String>,
    /// The result file to write: [{image_id, caption}], or, called .tsv, lines of an id and [{caption, conf}]
    #[arg(long, value_name = "FILE", requires = "data")]
    out: Option<PathBuf>,
    /// A picture to write: what the words of the caption look at
    #[arg(long, value_name = "PNG", requires = "key")]
    explain: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// All or none of them.
#[derive(Debug, Args)]
pub(crate) struct Constraints {
    /// Detections: lines of a picture's id and [{rect, class, conf}]; captions then name what was seen
    #[arg(long, value_name = "TSV", requires_all = ["words", "forms", "hierarchy"])]
    boxes: Option<PathBuf>,
    /// Pieces of words: lines of a word and its tokens
    #[arg(long, value_name = "TSV", requires = "boxes")]
    words: Option<PathBuf>,
    /// Forms of words: lines of a token and those that may stand for it
    #[arg(long, value_name = "TSV", requires = "boxes")]
    forms: Option<PathBuf>,
    /// The tree of classes, in the layout of OpenImages
    #[arg(long, value_name = "JSON", requires = "boxes")]
    hierarchy: Option<PathBuf>,
    /// Constraints that a caption must satisfy
    #[arg(long, value_name = "N", default_value_t = 2)]
    satisfy: usize,
}

impl Captioning {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<(String, Exit)> {
        match self {
            Self::Train(arguments) => arguments.run(|asked, shown| train(asked, shown)),
            Self::Eval { asked, meteor_data, output } => {
                let captioned = asked.write(None, None, true).run()?;
                let scorer = score::Captioning { meteor_data, ..score::Captioning::default() };
                compared(&captioned, output, |references, candidates, form| {
                    scorer.compare(references, candidates, form)
                })
            }
            Self::Predict(predict) => predict.run(None),
        }
    }
}

impl NoCaps {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<(String, Exit)> {
        match self {
            Self::Train(arguments) => arguments.run(|asked, shown| train(asked, shown)),
            Self::Eval { asked, constraints, meteor_data, output } => {
                let captioned = asked.write(None, constraints.files(), true).run()?;
                let scorer = score::Captioning { meteor_data, ..score::Captioning::default() };
                let scorer = score::NoCaps(scorer);
                compared(&captioned, output, |references, candidates, form| {
                    scorer.compare(references, candidates, form)
                })
            }
            Self::Predict { predict, constraints } => predict.run(constraints.files()),
        }
    }
}

impl Asked {
    fn write(self, key: Option<String>, constraints: Option<ConstraintFiles>, captioned: bool) -> Write {
        let Self { model, data, decoding: Decoded { set, batch, precision, device } } = self;
        let precision = precision.into();
        Write { model, data, key, set, constraints, captioned, at_once: batch, precision, device }
    }
}

impl PredictArguments {
    fn run(self, constraints: Option<ConstraintFiles>) -> anyhow::Result<(String, Exit)> {
        let Some(data) = self.data else {
            if constraints.is_some() {
                return Err(of_data_sets().into());
            }
            let Decoded { set, precision, device, .. } = self.decoding;
            let captioned =
                self.seeing.question(self.model, vec![self.image], (precision, device)).caption(set)?;
            return Ok((self.seeing.captioned(&captioned, self.output)?, Exit::Done));
        };
        let asked = Asked { model: self.model, data, decoding: self.decoding };
        let write = asked.write(self.key, constraints, false);
        let captioned = write.run()?;
        if let Some(path) = &self.explain {
            explain::write(&write.explain()?, path)?;
        }
        if let Some(path) = &self.out {
            Captioned::write(&captioned, path)?;
        }
        let line =
            |one: &Captioned| format!("{}: {} ({:.1} %)", one.key, one.caption, 100.0 * one.confidence);
        let text = if self.output.json {
            serde_json::to_string(&captioned)?
        } else {
            captioned.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        Ok((text, Exit::Done))
    }
}

/// Constraints come from files of detections, whose lines are of the data set's pictures.
fn of_data_sets() -> finetune_harness::Error {
    finetune_harness::Error::Setting {
        key: "--boxes".to_owned(),
        problem: "has detections of a data set's pictures, and there is none".to_owned(),
        hint: "leave it out, or give --data".to_owned(),
    }
}

impl Constraints {
    fn files(self) -> Option<ConstraintFiles> {
        let Self { boxes, words, forms, hierarchy, satisfy } = self;
        Some(ConstraintFiles { boxes: boxes?, words: words?, forms: forms?, hierarchy: hierarchy?, satisfy })
    }
}

/// Scores of captions against those of their data set, in the order in which files of references are read.
fn compared(
    captioned: &[Captioned],
    output: Output,
    compare: impl FnOnce(&References<'_>, &Candidates<'_>, Form) -> Result<String, score::Error>,
) -> anyhow::Result<(String, Exit)> {
    let mut images: Vec<ReferenceImage<'_>> = captioned
        .iter()
        .map(|one| ReferenceImage {
            id: official_id(&one.image_id),
            captions: one.references.iter().map(|text| text.as_str().into()).collect(),
            domain: one.domain.as_deref().map(Into::into),
        })
        .collect();
    if images.iter().all(|image| matches!(image.id, Id::Number(0..))) {
        images.sort_by(|one, other| one.id.cmp(&other.id));
    }
    let path = std::path::Path::new("the data set");
    let references = References { images, unlisted_captions: 0, path };
    let captions = captioned.iter().map(|one| (official_id(&one.image_id), one.caption.as_str().into()));
    let candidates = Candidates { captions: captions.collect(), path };
    let text = compare(&references, &candidates, output.form())?;
    Ok((text.trim_end().to_owned(), Exit::Done))
}
