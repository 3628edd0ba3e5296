use std::path::PathBuf;

/// Why the model cannot be made, fed or trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used, or that contradicts another one.
    #[error("{key} {problem}\n  hint: {hint}")]
    Setting {
        /// `section.key`.
        key: String,
        /// What is wrong with its value.
        problem: String,
        /// What to write instead.
        hint: String,
    },
    /// A data set, model folder or file that does not fit.
    #[error("{path}: {field} {problem}\n  hint: {hint}", path = path.display())]
    Unfit {
        /// The file or folder.
        path: PathBuf,
        /// Which part of it.
        field: String,
        /// What is wrong, with both numbers where two do not agree.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A torch archive or a pickle that is damaged, too large or no plain data.
    #[error("{source}\n  hint: {hint}")]
    Archive {
        /// Which file, where in it, and what is wrong.
        source: Box<torch_files::Error>,
        /// What to do.
        hint: String,
    },
    /// A tensor of a batch that the model cannot read.
    #[error("{tensor} {problem}\n  hint: {hint}")]
    Input {
        /// Its name.
        tensor: String,
        /// What is wrong.
        problem: String,
        /// What the model reads.
        hint: String,
    },
    /// A file of a data set or of a model folder.
    #[error(transparent)]
    File(#[from] data_specs::Error),
    /// Checkpoints, optimiser, settings.
    #[error(transparent)]
    Training(#[from] pretrain_training::Error),
    /// The ranks did not come together.
    #[error(transparent)]
    Ranks(#[from] pretrain_comm::Error),
    /// The threads that compute.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// An operation of the network.
    #[error(transparent)]
    Kernel(#[from] pretrain_kernels::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether another rank's error is the reason, which that rank tells itself.
    pub fn is_echo(&self) -> bool {
        self.of_ranks().is_some()
    }

    /// What ranks could not do together, if that is it.
    fn of_ranks(&self) -> Option<&pretrain_comm::Error> {
        match self {
            Self::Ranks(error) | Self::Training(pretrain_training::Error::Ranks(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether other settings or another command line are needed.
    pub fn is_usage(&self) -> bool {
        use pretrain_training::Error as Training;
        matches!(
            self,
            Self::Setting { .. }
                | Self::Training(
                    Training::Setting { .. }
                        | Training::OtherRun { .. }
                        | Training::RunExists { .. }
                        | Training::NoCheckpoint { .. }
                        | Training::RanksDiffer { .. }
                )
        ) || matches!(self.of_ranks(), Some(pretrain_comm::Error::Unavailable { .. }))
    }

    /// Whether a file or data set is not what it should be.
    pub fn is_data(&self) -> bool {
        use pretrain_training::Error as Training;
        matches!(
            self,
            Self::Unfit { .. }
                | Self::Archive { .. }
                | Self::Input { .. }
                | Self::File(_)
                | Self::Training(Training::Unfit { .. } | Training::Damaged { .. } | Training::File(_))
        )
    }

    /// Whether the same command with `--resume` goes on: when there is room on the disk, or all ranks are there again.
    pub fn is_temporary(&self) -> bool {
        use pretrain_comm::Error as Ranks;
        let is_lost = |error: &Ranks| {
            matches!(
                error,
                Ranks::Late { .. } | Ranks::Left { .. } | Ranks::Unreachable { .. } | Ranks::Link { .. }
            )
        };
        matches!(self, Self::Training(pretrain_training::Error::NotWritten { .. }))
            || self.of_ranks().is_some_and(is_lost)
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
