//! The command line of a task.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use finetune::explain;
use finetune_harness::classification::{Classification, Eval, Predict, Prediction};
use finetune_harness::{DeviceChoice, Outcome, Train};
use serde_json::json;

use super::Output;
use super::precision::PrecisionArgument;
use super::question::{Asked, Asking, Seeing};
use crate::Exit;
use crate::progress::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum Task<Q: Asked> {
    /// Learn from shards; the run's folder gets checkpoints, figures and the model
    Train(TrainArguments),
    /// Scores of a model on annotated shards, equal to those that `finetune score` gives its predictions
    Eval {
        /// Fine-tuned model folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Data set with annotations
        #[arg(long, value_name = "SHARDS")]
        data: PathBuf,
        /// Texts that are computed at once
        #[arg(long, value_name = "N", default_value_t = 32)]
        batch: usize,
        /// What products are computed in
        #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
        precision: PrecisionArgument,
        /// cpu, cuda or cuda:N
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        #[command(flatten)]
        output: Output,
    },
    /// Answers of a model with their probabilities, about a data set or about a picture
    Predict {
        /// Fine-tuned model folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Data set, with or without annotations
        #[arg(long, value_name = "SHARDS", required_unless_present = "asking", conflicts_with = "asking")]
        data: Option<PathBuf>,
        #[command(flatten)]
        asked: Q,
        #[command(flatten)]
        seeing: Seeing,
        /// Only the row of this key
        #[arg(long, requires = "data")]
        key: Option<String>,
        /// The result file to write, in the layout of the official evaluator
        #[arg(long, value_name = "FILE", requires = "data")]
        out: Option<PathBuf>,
        /// A picture to write: what the words of the texts look at, in the pictures and among the tags
        #[arg(long, value_name = "PNG", requires = "key")]
        explain: Option<PathBuf>,
        /// Texts that are computed at once
        #[arg(long, value_name = "N", default_value_t = 32)]
        batch: usize,
        /// What products are computed in
        #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
        precision: PrecisionArgument,
        /// cpu, cuda or cuda:N
        #[arg(long, default_value_t)]
        device: DeviceChoice,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Settings in TOML; finetune/configs has presets
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Data set to learn from; without it the settings' data.train
    #[arg(long, value_name = "SHARDS")]
    data: Option<PathBuf>,
    /// Model folder to start from: pre-trained, fine-tuned or BERT's; without it the settings' model.from or model.sizes
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Another value for a setting
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the newest good checkpoint
    #[arg(long)]
    resume: bool,
    /// cpu, cuda or cuda:N; without it the settings' run.device. With `cuda` each rank takes the GPU of its number
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Ranks, as threads; they share the micro-batches of each batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    ranks: usize,
    #[command(flatten)]
    output: Output,
}

impl TrainArguments {
    /// Trains by `run`, and tells how it ended.
    pub(crate) fn run(
        self,
        run: impl FnOnce(&Train, &Shown) -> finetune_harness::Result<Outcome>,
    ) -> anyhow::Result<(String, Exit)> {
        let Self { config, data, model, mut set, out, resume, device, ranks, output } = self;
        set.extend(device.map(|device| format!("run.device={device}")));
        let shown = Shown::start()?;
        let train = Train { config, set, data, model, out: out.clone(), resume, ranks };
        let outcome = run(&train, &shown)?;
        let text = if output.json {
            serde_json::to_string(&outcome)?
        } else {
            let best = outcome.best.as_ref();
            let best = best.map(|best| format!("; the best, {}, after {}", best.score, best.step));
            let model = out.join("model");
            format!("{} updates{}; {}", outcome.step, best.unwrap_or_default(), model.display())
        };
        let interrupted = shown.signal().filter(|_| !outcome.is_done);
        Ok((text, interrupted.map_or(Exit::Done, Exit::Interrupted)))
    }
}

impl<Q: Asked> Task<Q> {
    /// Does what was asked for.
    pub(crate) fn run<C: Classification>(self) -> anyhow::Result<(String, Exit)> {
        match self {
            Self::Train(train) => train.run(|train, shown| train.run::<C>(shown)),
            Self::Eval { model, data, batch, precision, device, output } => {
                let eval = Eval { model, data, micro: batch, precision: precision.into(), device };
                let scores = eval.run::<C>()?;
                let text = if output.json {
                    serde_json::to_string(&scores.all)?
                } else {
                    finetune::score::as_table(&json!(scores.figures))
                };
                Ok((text.trim_end().to_owned(), Exit::Done))
            }
            Self::Predict { model, data: None, asked, seeing, precision, device, output, .. } => {
                let Asking { images, words, key } = asked.asking().ok_or_else(nothing_asked)?;
                let question = seeing.question(model, images, (precision, device));
                let answered = question.answer::<C>(&words, key)?;
                Ok((seeing.answered(&answered, output)?, Exit::Done))
            }
            Self::Predict {
                model,
                data: Some(data),
                key,
                out,
                explain,
                batch,
                precision,
                device,
                output,
                ..
            } => {
                let precision = precision.into();
                let predict = Predict { model, data, key, out, micro: batch, precision, device };
                let predictions = predict.run::<C>()?;
                if let Some(path) = explain {
                    explain::write(&predict.explain::<C>()?, &path)?;
                }
                let text = if output.json {
                    serde_json::to_string(&predictions)?
                } else {
                    predictions.iter().map(line).collect::<Vec<_>>().join("\n")
                };
                Ok((text, Exit::Done))
            }
        }
    }
}

/// The command line asks for a text or a data set, so this is a pair of pictures of which one is missing.
pub(crate) fn nothing_asked() -> finetune_harness::Error {
    finetune_harness::Error::Setting {
        key: "the question".to_owned(),
        problem: "is missing".to_owned(),
        hint: "give a picture with what is asked of it, or --data".to_owned(),
    }
}

fn line(prediction: &Prediction) -> String {
    let Prediction { key, id, text, answer, confidence } = prediction;
    format!("{key} {id}: {text} {answer} ({:.1} %)", 100.0 * confidence)
}
