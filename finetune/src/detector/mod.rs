//! `finetune detector`: detectors trained, imported, and seen from outside.

mod convert;
mod eval;
mod forward;
mod predict;
mod settings;
mod summary;
mod train;

use std::path::PathBuf;

pub use convert::Convert;
pub use eval::Eval;
pub use forward::Forward;
pub use predict::{Predict, Predicted};
pub use summary::{Summarise, SummaryOf};
pub use train::{Train, Trained};

/// Why a detector did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Weights, settings, names or pictures do not fit.
    #[error(transparent)]
    Regions(#[from] finetune_regions::Error),
    /// A picture that cannot be looked at.
    #[error("{path}: {source}", path = path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<finetune_regions::Error>,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The inputs are not what the command takes.
    #[error("{path}: {problem}", path = path.display())]
    Inputs {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Options that do not go together.
    #[error("{problem}")]
    Usage {
        /// What is wrong and what to do.
        problem: String,
    },
    /// Settings, or the folder of a run.
    #[error(transparent)]
    Run(#[from] pretrain_training::Error),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] data_specs::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether another command line or other settings would help, rather than other files.
    pub fn is_usage(&self) -> bool {
        use finetune_regions::Error as Inner;
        use pretrain_training::Error as Run;
        match self {
            Self::Usage { .. } | Self::Regions(Inner::Setting { .. } | Inner::Preparation { .. }) => true,
            Self::Run(error) | Self::Regions(Inner::Training(error)) => matches!(
                error,
                Run::Setting { .. } | Run::OtherRun { .. } | Run::RunExists { .. } | Run::NoCheckpoint { .. }
            ),
            Self::Regions(Inner::Backbone(finetune_backbones::Error::UnknownArchitecture { .. })) => true,
            _ => false,
        }
    }

    /// Whether a file is not what it should be.
    pub fn is_data(&self) -> bool {
        use finetune_regions::Error as Inner;
        match self {
            Self::Read { .. } | Self::Inputs { .. } | Self::Picture { .. } => true,
            Self::Regions(error) => matches!(
                error,
                Inner::Detector { .. }
                    | Inner::Sample { .. }
                    | Inner::Samples { .. }
                    | Inner::Data(_)
                    | Inner::Backbone(_)
            ),
            _ => false,
        }
    }

    /// Whether the same command may succeed later without anything being mended here: a full disk.
    pub fn is_temporary(&self) -> bool {
        use finetune_regions::Error as Inner;
        use pretrain_training::Error as Run;
        match self {
            Self::Write(error) | Self::Regions(Inner::Data(error)) => error.is_temporary(),
            Self::Run(error) | Self::Regions(Inner::Training(error)) => {
                matches!(error, Run::File(source) | Run::NotWritten { source, .. } if source.is_temporary())
            }
            _ => false,
        }
    }
}
