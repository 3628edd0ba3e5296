//! The command line of `finetune detector`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use finetune::detector::{Convert, Eval, Forward, Predict, Predicted, Summarise, SummaryOf, Train};
use serde_json::Value;

use super::Output;
use crate::Exit;
use crate::progress::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum Detector {
    /// Released weights of VinVL or maskrcnn-benchmark to a detector's folder
    Convert {
        /// The weights: .pth, or .safetensors of the same names
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Names of the classes, one a line, background not among them
        #[arg(long, value_name = "FILE")]
        classes: PathBuf,
        /// Names of the attributes, one a line
        #[arg(long, value_name = "FILE")]
        attributes: Option<PathBuf>,
        /// Settings whose section training.detector says what it is; without them VinVL's X152-C4
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Learn to find what people drew boxes around
    Train {
        /// Settings in TOML; finetune/configs has some
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Another value for a setting
        #[arg(long, value_name = "SECTION.KEY=VALUE")]
        set: Vec<String>,
        /// A data set of `pipeline build` with whole pictures and boxes, instead of the settings' sources
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Weights of the network to start from: what `finetune backbone export` writes
        #[arg(long, value_name = "FILE")]
        backbone: Option<PathBuf>,
        /// The run's folder: checkpoints, figures, settings, and in the end the detector
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Go on from the newest good checkpoint
        #[arg(long)]
        resume: bool,
        /// Ranks, as threads; they share the pictures of each update
        #[arg(long, value_name = "N", default_value_t = 1)]
        ranks: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Average precision and recall on pictures with boxes, as pycocotools computes them
    Eval {
        /// The detector's folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Data sets of `pipeline build` with whole pictures and boxes
        #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
        data: Vec<PathBuf>,
        /// Only the first so many pictures
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// What is in pictures: boxes, classes, attributes
    Predict {
        /// The detector's folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// The pictures
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        image: Vec<PathBuf>,
        /// Where to put each picture with its boxes as PNG, and what was found as JSON
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// All that the network says of a prepared picture, for comparison with PyTorch
    Forward {
        /// The detector's folder
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// A .safetensors with x: f32 [1, 3, h, w], prepared
        #[arg(long, value_name = "FILE")]
        inputs: PathBuf,
        /// The .safetensors to write: map, objectness, anchor_steps, proposals, vectors, scores, box_steps, attributes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// How often, to be timed; the first time makes the network ready
        #[arg(long, value_name = "N", default_value_t = 1)]
        repeats: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Weights of each part
    Summary {
        /// A detector's folder
        #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "classes", "attributes"])]
        model: Option<PathBuf>,
        /// Settings in TOML; without them and without a folder VinVL's X152-C4
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Classes, background not counted
        #[arg(long, value_name = "N", default_value_t = 1594)]
        classes: usize,
        /// Attributes
        #[arg(long, value_name = "N", default_value_t = 524)]
        attributes: usize,
        #[command(flatten)]
        output: Output,
    },
}

impl Detector {
    /// Does what was asked for; the text to print, and how the process ends.
    pub(crate) fn run(self) -> anyhow::Result<(String, Exit)> {
        let table = |done: Value, output: Output| {
            if output.json {
                done.to_string()
            } else {
                finetune::score::as_table(&done).trim_end().to_owned()
            }
        };
        let text = match self {
            Self::Convert { from, classes, attributes, config, to, output } => {
                table(Convert { from, classes, attributes, config, to }.run()?, output)
            }
            Self::Train { config, set, data, backbone, out, resume, ranks, output } => {
                let shown = Shown::start()?;
                let trained = Train { config, set, data, backbone, out, resume, ranks }.run(&shown)?;
                let exit = match shown.signal() {
                    Some(signal) if !trained.is_done => Exit::Interrupted(signal),
                    _ => Exit::Done,
                };
                return Ok((table(serde_json::to_value(trained)?, output), exit));
            }
            Self::Eval { model, data, limit, output } => {
                let shown = Shown::uninterrupted();
                let scores = Eval { model, data, limit }.run(&|done, total| shown.pictures(done, total))?;
                table(serde_json::to_value(scores)?, output)
            }
            Self::Predict { model, image, out, output } => {
                let predicted = Predict { model, images: image, out }.run()?;
                if output.json {
                    // straight from the numbers: a `Value` would write f32 with the digits of f64
                    serde_json::to_string(&BTreeMap::from([("images", predicted)]))?
                } else {
                    predicted.iter().map(Predicted::table).collect::<Vec<_>>().join("\n")
                }
            }
            Self::Forward { model, inputs, out, repeats, output } => {
                table(Forward { model, inputs, out, repeats }.run()?, output)
            }
            Self::Summary { model, config, classes, attributes, output } => {
                let of = match model {
                    Some(folder) => SummaryOf::Model(folder),
                    None => SummaryOf::Settings { config, classes, attributes },
                };
                table(Summarise(of).run()?, output)
            }
        };
        Ok((text, Exit::Done))
    }
}
