//! The command line of retrieval.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use finetune::explain;
use finetune_retrieval::{Direction, Eval, Predict, Retrieved, Selection, train};
use serde_json::json;

use super::Output;
use super::precision::PrecisionArgument;
use super::task::TrainArguments;
use crate::Exit;
use crate::progress::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum Retrieval {
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
    /// The best partners of each query with the probabilities that they belong together
    Predict {
        #[command(flatten)]
        asked: Asked,
        /// Only the picture of this key; where pictures are looked for, its captions, or the caption of this id
        #[arg(long)]
        key: Option<String>,
        /// Partners that are told of each query
        #[arg(long, value_name = "N", default_value_t = 10)]
        top: usize,
        /// The file of all scores to write, pictures x captions: .npy or .json, as `finetune score retrieval` reads them
        #[arg(long, value_name = "FILE")]
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
}

impl Retrieval {
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
            Self::Predict { asked, key, top, out, explain, output } => {
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

impl From<Asked> for Selection {
    fn from(asked: Asked) -> Self {
        let Asked { model, data, keys, shortlist, batch, precision } = asked;
        Self { model, data, keys, shortlist, micro: batch, precision: precision.into() }
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
