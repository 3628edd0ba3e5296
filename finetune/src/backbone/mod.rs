//! `finetune backbone`: networks seen from outside, and trained.

mod bench;
mod cam;
mod eval;
mod export;
mod forward;
mod pictures;
mod scale;
mod settings;
mod summary;
mod train;

use std::path::PathBuf;

pub use bench::{Bench, BenchMode, BenchReport};
pub use cam::{Cam, CamNetwork, CamReport};
pub use eval::Eval;
pub use export::Export;
pub use forward::Forward;
pub use scale::{Question, Scale, ScaleReport, ScaleRow, Score};
pub use settings::{DataFormat, DataSettings, FilterSetting, InputSettings, TrainSettings};
pub use summary::Summarise;
pub use train::Train;

/// Why a backbone did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Name, weights or pictures do not fit.
    #[error(transparent)]
    Backbone(#[from] finetune_backbones::Error),
    /// The inputs cannot be read.
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
    /// Training or evaluation stopped.
    #[error(transparent)]
    Training(#[from] finetune_backbones::training::Error),
    /// Settings, or the folder of a run.
    #[error(transparent)]
    Run(#[from] pretrain_training::Error),
    /// How pictures are prepared.
    #[error(transparent)]
    Regions(#[from] finetune_regions::Error),
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
        use finetune_backbones::training::Error as Loop;
        use pretrain_training::Error as Run;
        match self {
            Self::Usage { .. } | Self::Regions(_) => true,
            Self::Backbone(error) | Self::Training(Loop::Backbone(error)) => is_wrong_name(error),
            Self::Training(Loop::Setting { .. }) | Self::Run(Run::Setting { .. } | Run::OtherRun { .. }) => {
                true
            }
            Self::Training(Loop::Training(Run::RunExists { .. } | Run::NoCheckpoint { .. })) => true,
            _ => false,
        }
    }

    /// Whether the same command may succeed later without anything being mended here: a full disk.
    pub fn is_temporary(&self) -> bool {
        use finetune_backbones::training::Error as Loop;
        use pretrain_training::Error as Run;
        match self {
            Self::Write(error) | Self::Training(Loop::File(error)) => error.is_temporary(),
            Self::Run(error) | Self::Training(Loop::Training(error)) => {
                matches!(error, Run::File(source) | Run::NotWritten { source, .. } if source.is_temporary())
            }
            _ => false,
        }
    }

    /// Whether a file is not what it should be.
    pub fn is_data(&self) -> bool {
        use finetune_backbones::Error as Inner;
        use finetune_backbones::training::Error as Loop;
        match self {
            Self::Read { .. } | Self::Inputs { .. } => true,
            Self::Training(Loop::Classes { .. } | Loop::Unreadable { .. }) => true,
            Self::Backbone(error) | Self::Training(Loop::Backbone(error)) => {
                !is_wrong_name(error) && !matches!(error, Inner::Kernel(_) | Inner::Tensor(_))
            }
            _ => false,
        }
    }
}

fn is_wrong_name(error: &finetune_backbones::Error) -> bool {
    use finetune_backbones::Error as Inner;
    matches!(
        error,
        Inner::UnknownArchitecture { .. }
            | Inner::UnknownTag { .. }
            | Inner::Change { .. }
            | Inner::Flavour { .. }
    )
}
