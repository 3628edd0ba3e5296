//! The command line of `finetune backbone`.

mod question;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use finetune::backbone::{
    Bench, BenchMode, Cam, CamNetwork, DataFormat, Eval, Export, Forward, Scale, Summarise, Train,
};
use finetune_backbones::training::Evaluation;
use finetune_backbones::{Architecture, Flavour};
use serde_json::json;

use question::QuestionArguments;

use super::Output;
use super::precision::PrecisionArgument;
use crate::Exit;
use crate::progress::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum Backbone {
    /// Logits and all five stages of pictures, for comparison with timm and torchvision
    Forward {
        /// timm's name: efficientnet_b0, tf_efficientnet_b3, resnext50_32x4d ...
        #[arg(long, value_name = "NAME")]
        arch: Architecture,
        /// Weights of timm or torchvision: .safetensors or .pth
        #[arg(long, value_name = "FILE")]
        weights: PathBuf,
        /// A .safetensors with x: f32 [b, 3, h, w], normalised
        #[arg(long, value_name = "FILE")]
        inputs: PathBuf,
        /// The .safetensors to write: logits, stage1 ... stage5
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Whose weights they are, where name and keys leave it open: padding and epsilon depend on it
        #[arg(long)]
        flavour: Option<FlavourArgument>,
        /// Numbers that the network computes with
        #[arg(long, default_value = "f32")]
        precision: PrecisionArgument,
        #[command(flatten)]
        output: Output,
    },
    /// Learn to classify pictures
    Train {
        /// Settings in TOML; finetune/configs has some
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Another value for a setting
        #[arg(long, value_name = "SECTION.KEY=VALUE")]
        set: Vec<String>,
        /// The run's folder: checkpoints, figures, settings
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Go on from the newest good checkpoint
        #[arg(long)]
        resume: bool,
        /// Ranks, as threads; they share the micro-batches of each batch
        #[arg(long, value_name = "N", default_value_t = 1)]
        ranks: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Top-1, top-5 and confusion of a run's newest checkpoint
    Eval {
        /// The run's folder
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
        /// Labelled pictures; without it those that the run held out
        #[arg(long, value_name = "PATH")]
        data: Option<PathBuf>,
        /// How they lie there; without it as the run's
        #[arg(long)]
        format: Option<FormatArgument>,
        /// The last weights, where there are averages
        #[arg(long)]
        last: bool,
        /// The JSON to write: which classes are taken for which
        #[arg(long, value_name = "FILE")]
        confusion: Option<PathBuf>,
        /// Numbers that the network computes with
        #[arg(long, default_value = "f32")]
        precision: PrecisionArgument,
        #[command(flatten)]
        output: Output,
    },
    /// Weights of a run's newest checkpoint, for timm, torchvision and `pipeline build`
    Export {
        /// The run's folder
        #[arg(long, value_name = "DIR")]
        run: PathBuf,
        /// The .safetensors to write; a description is put beside it as .json
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Whose names
        #[arg(long, default_value = "timm")]
        names: NamesArgument,
        /// The last weights, where there are averages
        #[arg(long)]
        last: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Where in a picture a class is seen: the class activation map over it
    Cam {
        /// A run's folder; its newest checkpoint is taken
        #[arg(long, value_name = "DIR", conflicts_with_all = ["arch", "weights", "flavour"])]
        #[arg(required_unless_present = "weights")]
        run: Option<PathBuf>,
        /// The last weights, where there are averages
        #[arg(long, requires = "run")]
        last: bool,
        /// timm's name, for --weights
        #[arg(long, value_name = "NAME", requires = "weights")]
        arch: Option<Architecture>,
        /// Weights of timm or torchvision: .safetensors or .pth
        #[arg(long, value_name = "FILE", requires = "arch")]
        weights: Option<PathBuf>,
        /// Whose weights they are, where name and keys leave it open: padding and epsilon depend on it
        #[arg(long)]
        flavour: Option<FlavourArgument>,
        /// The picture
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
        /// A class; without it the likeliest
        #[arg(long, value_name = "NAME|N")]
        class: Option<String>,
        /// Height and width of the pictures that the network was trained with; without it the run's, that of
        /// the description beside the weights, or 224
        #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
        size: Option<u16>,
        /// The PNG to write: the picture, and beside it the same under its map
        #[arg(long, value_name = "PNG")]
        out: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Compound scaling: train networks of other depth, width and resolution, and compare them
    Scale {
        /// Settings of one training in TOML; its network and side are the base
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Another value for a setting
        #[arg(long, value_name = "SECTION.KEY=VALUE")]
        set: Vec<String>,
        /// The study's folder: settings, a run for each network, results as JSON, table and SVG
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        question: QuestionArguments,
        /// Only say what would be trained, and what it costs
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Exact parameters and multiplications, layer by layer
    Summary {
        /// timm's name: efficientnet_b0, tf_efficientnet_b3, resnext50_32x4d ...
        #[arg(long, value_name = "NAME")]
        arch: Architecture,
        /// Height and width of the picture
        #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
        size: u16,
        #[command(flatten)]
        output: Output,
    },
    /// The speed of a network on made-up pictures, to be put beside other programs
    Bench {
        /// timm's name: efficientnet_b0, tf_efficientnet_b3, resnext50_32x4d ...
        #[arg(long, value_name = "NAME")]
        arch: Architecture,
        /// Pictures at once
        #[arg(long, default_value_t = 8)]
        batch: usize,
        /// Height and width of a picture
        #[arg(long, value_name = "PIXELS", default_value_t = 224)]
        size: u16,
        /// Numbers of inference
        #[arg(long, default_value = "f32")]
        dtype: PrecisionArgument,
        /// Logits, or whole training steps
        #[arg(long, default_value = "forward")]
        mode: ModeArgument,
        /// Threads; without it one a core
        #[arg(long)]
        threads: Option<usize>,
        /// Batches that are measured
        #[arg(long, default_value_t = 20)]
        repeats: usize,
        #[command(flatten)]
        output: Output,
    },
}

fn usage(problem: &str) -> anyhow::Error {
    finetune::backbone::Error::Usage { problem: problem.to_owned() }.into()
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FlavourArgument {
    Timm,
    Tf,
    Torchvision,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArgument {
    Folder,
    Tars,
    Shards,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum NamesArgument {
    Timm,
    Torchvision,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArgument {
    Forward,
    Train,
}

impl From<ModeArgument> for BenchMode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Forward => Self::Forward,
            ModeArgument::Train => Self::Train,
        }
    }
}

impl From<FormatArgument> for DataFormat {
    fn from(argument: FormatArgument) -> Self {
        match argument {
            FormatArgument::Folder => Self::Folder,
            FormatArgument::Tars => Self::Tars,
            FormatArgument::Shards => Self::Shards,
        }
    }
}

impl From<NamesArgument> for Flavour {
    fn from(argument: NamesArgument) -> Self {
        match argument {
            NamesArgument::Timm => Self::Timm,
            NamesArgument::Torchvision => Self::Torchvision,
        }
    }
}

impl From<FlavourArgument> for Flavour {
    fn from(argument: FlavourArgument) -> Self {
        match argument {
            FlavourArgument::Timm => Self::Timm,
            FlavourArgument::Tf => Self::Tf,
            FlavourArgument::Torchvision => Self::Torchvision,
        }
    }
}

impl Backbone {
    /// Does what was asked for; the text to print, and how the process ends.
    pub(crate) fn run(self) -> anyhow::Result<(String, Exit)> {
        let table = |done: serde_json::Value, output: Output| {
            if output.json { done.to_string() } else { finetune::score::as_table(&done) }
        };
        let text = match self {
            Self::Forward { arch, weights, inputs, out, flavour, precision, output } => {
                let (flavour, precision) = (flavour.map(Flavour::from), precision.into());
                table(Forward { architecture: arch, weights, inputs, out, flavour, precision }.run()?, output)
            }
            Self::Train { config, set, out, resume, ranks, output } => {
                let shown = Shown::start()?;
                let outcome = Train { config, set, out, resume, ranks }.run(&shown)?;
                let scores = outcome.evaluation.as_ref().map(scores);
                let done = json!({ "step": outcome.step, "is_done": outcome.is_done, "scores": scores });
                let exit = match shown.signal() {
                    Some(signal) if !outcome.is_done => Exit::Interrupted(signal),
                    _ => Exit::Done,
                };
                return Ok((table(done, output), exit));
            }
            Self::Eval { run, data, format, last, confusion, precision, output } => {
                let format = format.map(DataFormat::from);
                let precision = precision.into();
                let (step, evaluation) = Eval { run, data, format, last, confusion, precision }.run()?;
                let mut done = scores(&evaluation);
                done["step"] = json!(step);
                if output.json {
                    done["confusion"] = json!(evaluation.confusion);
                    done.to_string()
                } else {
                    format!("{}\n{}", finetune::score::as_table(&done), evaluation.confusion.table())
                }
            }
            Self::Export { run, out, names, last, output } => {
                table(Export { run, out, names: names.into(), last }.run()?, output)
            }
            Self::Bench { arch, batch, size, dtype, mode, threads, repeats, output } => {
                let (precision, mode) = (dtype.into(), mode.into());
                let bench = Bench { architecture: arch, batch, size: size.into(), precision, mode, repeats };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build()?;
                table(
                    serde_json::to_value(pool.install(|| bench.run().map_err(anyhow::Error::from))?)?,
                    output,
                )
            }
            Self::Cam { run, last, arch, weights, flavour, image, class, size, out, output } => {
                let network = match (run, arch, weights) {
                    (Some(run), ..) => CamNetwork::Run { run, last },
                    (None, Some(architecture), Some(weights)) => {
                        CamNetwork::Weights { architecture, weights, flavour: flavour.map(Flavour::from) }
                    }
                    _ => return Err(usage("give --run, or --arch and --weights")),
                };
                let size = size.map(u32::from);
                let mut done = serde_json::to_value(Cam { network, image, class, size, out }.run()?)?;
                if let Some(map) = done["map"].as_array().filter(|_| !output.json) {
                    let columns = map.first().and_then(|row| row.as_array()).map_or(0, Vec::len);
                    done["map"] = json!(format!("{} x {columns} cells, all with --json", map.len()));
                }
                table(done, output)
            }
            Self::Scale { config, set, out, question, dry_run, output } => {
                let shown = Shown::start()?;
                let question = question.question()?;
                let Some(report) = Scale { config, set, out, question, dry_run }.run(&shown)? else {
                    let exit = shown.signal().map_or(Exit::Runtime, Exit::Interrupted);
                    return Ok((String::new(), exit));
                };
                if output.json { serde_json::to_string(&report)? } else { report.table() }
            }
            Self::Summary { arch, size, output } => {
                let summarise = Summarise { architecture: arch, size: size.into() };
                let summary = summarise.run();
                if output.json {
                    serde_json::to_string(&summary).expect("numbers and names are always JSON")
                } else {
                    summarise.table(&summary)
                }
            }
        };
        Ok((text, Exit::Done))
    }
}

fn scores(evaluation: &Evaluation) -> serde_json::Value {
    let Evaluation { pictures, unreadable, top1, top5, loss, .. } = evaluation;
    json!({ "pictures": pictures, "unreadable": unreadable, "top1": top1, "top5": top5, "loss": loss })
}
