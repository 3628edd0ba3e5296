//! The command line of `finetune backbone`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use finetune::backbone::{Error, Forward, Summarise};
use finetune_backbones::{Architecture, Flavour};

use super::Output;

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
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FlavourArgument {
    Timm,
    Tf,
    Torchvision,
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
    /// Does what was asked for; the text to print.
    pub(crate) fn run(self) -> Result<String, Error> {
        match self {
            Self::Forward { arch, weights, inputs, out, flavour, output } => {
                let flavour = flavour.map(Flavour::from);
                let done = Forward { architecture: arch, weights, inputs, out, flavour }.run()?;
                Ok(if output.json { done.to_string() } else { finetune::score::as_table(&done) })
            }
            Self::Summary { arch, size, output } => {
                let summarise = Summarise { architecture: arch, size: size.into() };
                let summary = summarise.run();
                Ok(if output.json {
                    serde_json::to_string(&summary).expect("numbers and names are always JSON")
                } else {
                    summarise.table(&summary)
                })
            }
        }
    }
}
