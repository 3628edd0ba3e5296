//! `finetune backbone`: networks seen from outside.

mod forward;
mod summary;

use std::path::PathBuf;

pub use forward::Forward;
pub use summary::Summarise;

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
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[from] data_specs::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether another command line would help, rather than other files.
    pub fn is_usage(&self) -> bool {
        use finetune_backbones::Error as Inner;
        let Self::Backbone(error) = self else { return false };
        matches!(error, Inner::UnknownArchitecture { .. } | Inner::UnknownTag { .. } | Inner::Flavour { .. })
    }

    /// Whether a file is not what it should be.
    pub fn is_data(&self) -> bool {
        use finetune_backbones::Error as Inner;
        match self {
            Self::Read { .. } | Self::Inputs { .. } => true,
            Self::Backbone(error) => {
                !self.is_usage() && !matches!(error, Inner::Kernel(_) | Inner::Tensor(_))
            }
            _ => false,
        }
    }
}
