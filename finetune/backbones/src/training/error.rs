/// Why a training or an evaluation came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used.
    #[error("{key} {problem}; {hint}")]
    Setting {
        /// Section and key.
        key: &'static str,
        /// What is wrong.
        problem: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// The classes of the pictures are not those of the network.
    #[error("{what} {found} classes, the network has {expected}: {hint}")]
    Classes {
        /// Which pictures or weights.
        what: String,
        /// Their classes.
        found: usize,
        /// The network's.
        expected: usize,
        /// What to do.
        hint: &'static str,
    },
    /// More pictures cannot be read than is allowed.
    #[error(
        "{unreadable} of {pictures} pictures cannot be read, more than the share of {allowed} that run.unreadable allows; \
         the last one is {last}"
    )]
    Unreadable {
        /// How many.
        unreadable: usize,
        /// Of how many.
        pictures: u64,
        /// The allowed share.
        allowed: f64,
        /// Name and reason of the last one.
        last: String,
    },
    /// NaN or infinity.
    #[error(
        "step {step}: {loss} is the loss, and the first numbers that are not finite come to {layer}; nothing was updated. \
         Lower schedule.peak, set optimiser.clip, or look at the pictures of this step; the last checkpoint is good"
    )]
    NotFinite {
        /// The update that was not made.
        step: u64,
        /// The loss.
        loss: f64,
        /// The normalisation that saw them first, or the classifier.
        layer: String,
    },
    /// The network refused.
    #[error(transparent)]
    Backbone(#[from] crate::Error),
    /// Optimiser, checkpoints, settings, figures.
    #[error(transparent)]
    Training(#[from] pretrain_training::Error),
    /// A file of the run.
    #[error(transparent)]
    File(#[from] data_specs::Error),
    /// The ranks did not come together.
    #[error(transparent)]
    Ranks(#[from] pretrain_comm::Error),
    /// A kernel refused.
    #[error(transparent)]
    Kernel(#[from] pretrain_kernels::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A result with this module's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether it is only what a rank says when another one has failed.
    pub fn is_echo(&self) -> bool {
        matches!(self, Self::Ranks(_) | Self::Training(pretrain_training::Error::Ranks(_)))
    }
}
