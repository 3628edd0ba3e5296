//! The command line of retrieval.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use finetune::explain;
use finetune::question::{ImageQuery, TextQuery};
use finetune_harness::DeviceChoice;
use finetune_retrieval::{Direction, Eval, Predict, Retrieved, Selection, train};
use serde_json::json;

use super::Output;
use super::precision::PrecisionArgument;
use super::question::Seeing;
use super::task::{TrainArguments, nothing_asked};
use crate::Exit;
use crate::progress::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum Retrieval<Q: Sought> {
    /// Learn from shards; the run's folder gets checkpoints, figures and the model
    Train(TrainArguments),
    /// Recall of every picture against every caption, equal to that which `finetune score retrieval` gives its predictions
    Eval {
        #[command(flatten)]
        asked: Asked,
        /// Search each N pictures for themselves, and count all queries (the 1K protocol: 1000)
        #[arg(long, value_name = "N")]
        fold: Option<usize>,
        #[command(flatten)]
        output: Output,
    },
    /// The best partners of each query with the probabilities that they belong together, in a data set or beside it
    Predict {
        /// Fine-tuned model folder, of either direction
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Data set with captions
        #[arg(long, value_name = "SHARDS", required_unless_present = "sought", conflicts_with = "sought")]
        data: Option<PathBuf>,
        #[command(flatten)]
        sought: Q,
        #[command(flatten)]
        seeing: Seeing,
        #[command(flatten)]
        among: Among,
        /// Only the picture of this key; where pictures are looked for, its captions, or the caption of this id
        #[arg(long, requires = "data")]
        key: Option<String>,
        /// Partners that are told of each query
        #[arg(long, value_name = "N", default_value_t = 10)]
        top: usize,
        /// The file of all scores to write, pictures x captions: .npy or .json, as `finetune score retrieval` reads them
        #[arg(long, value_name = "FILE", requires = "data")]
        out: Option<PathBuf>,
        /// A picture to write: what the words of each caption look at in the picture that fits best
        #[arg(long, value_name = "PNG", requires = "key")]
        explain: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Fine-tuned model folder, of either direction
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Data set with captions
    #[arg(long, value_name = "SHARDS")]
    data: PathBuf,
    #[command(flatten)]
    among: Among,
}

#[derive(Debug, Args)]
pub(crate) struct Among {
    /// Only the pictures of this file, one id a line, in its order
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Score only the N partners of each query that share the rarest words with it
    #[arg(long, value_name = "N")]
    shortlist: Option<usize>,
    /// Pairs that are computed at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// What products are computed in
    #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
    precision: PrecisionArgument,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
}

impl<Q: Sought> Retrieval<Q> {
    /// Does what was asked for.
    pub(crate) fn run(self, direction: Direction) -> anyhow::Result<(String, Exit)> {
        match self {
            Self::Train(arguments) => arguments.run(|asked, shown| train(asked, direction, shown)),
            Self::Eval { asked, fold, output } => {
                let shown = Shown::uninterrupted();
                let eval = Eval { selection: asked.into(), fold };
                let scores = eval.run(direction, &|done, total| shown.pairs(done, total))?;
                let text = if output.json {
                    serde_json::to_string(&scores.all)?
                } else {
                    finetune::score::as_table(&json!(scores.all))
                };
                Ok((text.trim_end().to_owned(), Exit::Done))
            }
            Self::Predict { model, data: None, sought, seeing, among, top, output, .. } => {
                Ok((sought.seek(model, &seeing, &among, top, output)?, Exit::Done))
            }
            Self::Predict { model, data: Some(data), among, key, top, out, explain, output, .. } => {
                let asked = Asked { model, data, among };
                let shown = Shown::uninterrupted();
                let predict = Predict { selection: asked.into(), key, top, out };
                let retrieved = predict.run(direction, &|done, total| shown.pairs(done, total))?;
                if let Some(path) = explain {
                    let explained = predict.explain(direction, &|done, total| shown.pairs(done, total))?;
                    explain::write(&explained, &path)?;
                }
                let text = if output.json {
                    serde_json::to_string(&retrieved)?
                } else {
                    retrieved.iter().map(lines).collect::<Vec<_>>().join("\n")
                };
                Ok((text, Exit::Done))
            }
        }
    }
}

/// A text that pictures are looked for by.
#[derive(Debug, Args)]
#[group(id = "sought", multiple = true)]
pub(crate) struct ByText {
    /// A text to look for pictures by, instead of a data set
    #[arg(long, value_name = "TEXT", requires = "images")]
    query: Option<String>,
    /// The folder of these pictures; --regions is then a folder of JSON files, one for each picture
    #[arg(long, value_name = "DIR", requires = "query")]
    images: Option<PathBuf>,
    /// A picture to write: those that were found, the best first
    #[arg(long, value_name = "PNG", requires = "query")]
    sheet: Option<PathBuf>,
}

/// A picture that texts are looked for by.
#[derive(Debug, Args)]
#[group(id = "sought", multiple = true)]
pub(crate) struct ByPicture {
    /// A picture to look for texts by, instead of a data set
    #[arg(long, value_name = "FILE", requires = "texts")]
    image: Option<PathBuf>,
    /// These texts, one a line
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
}

/// What is looked for beside a data set.
pub(crate) trait Sought: Args {
    /// Looks for it.
    fn seek(
        self,
        model: PathBuf,
        seeing: &Seeing,
        among: &Among,
        top: usize,
        output: Output,
    ) -> anyhow::Result<String>;
}

impl Sought for ByText {
    fn seek(
        self,
        model: PathBuf,
        seeing: &Seeing,
        among: &Among,
        top: usize,
        output: Output,
    ) -> anyhow::Result<String> {
        let (Some(query), Some(images)) = (self.query, self.images) else {
            return Err(nothing_asked().into());
        };
        let (detector, grid) = seeing.detector();
        let (regions, sheet, micro) = (seeing.regions(), self.sheet, among.batch);
        let found = ImageQuery {
            model,
            images,
            detector,
            grid,
            regions,
            query,
            top,
            sheet,
            micro,
            precision: among.precision.into(),
            device: among.device,
        }
        .run()?;
        seeing.pictures(&found, output)
    }
}

impl Sought for ByPicture {
    fn seek(
        self,
        model: PathBuf,
        seeing: &Seeing,
        among: &Among,
        top: usize,
        output: Output,
    ) -> anyhow::Result<String> {
        let Some(texts) = self.texts else { return Err(nothing_asked().into()) };
        let (image, looking, micro) = (self.image, seeing.looking(), among.batch);
        let found = TextQuery {
            model,
            image,
            looking,
            texts,
            top,
            micro,
            precision: among.precision.into(),
            device: among.device,
        }
        .run()?;
        seeing.texts(&found, output)
    }
}

impl From<Asked> for Selection {
    fn from(asked: Asked) -> Self {
        let Asked { model, data, among: Among { keys, shortlist, batch, precision, device } } = asked;
        let precision = precision.into();
        Self { model, data, keys, shortlist, micro: batch, precision, device, any: false }
    }
}

fn lines(retrieved: &Retrieved) -> String {
    let named = |key: &str, id: &Option<String>, text: &Option<String>| {
        [Some(key), id.as_deref(), text.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let mut text = named(&retrieved.key, &retrieved.id, &retrieved.text);
    for found in &retrieved.found {
        let name = named(&found.key, &found.id, &found.text);
        text.push_str(&format!("\n  {:5.1} %  {name}", 100.0 * found.confidence));
    }
    text
}
