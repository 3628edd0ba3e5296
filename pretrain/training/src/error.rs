use std::path::PathBuf;

/// Why training cannot go on, or not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter that the loss does not depend on, or whose gradient got lost on the way.
    #[error(
        "{parameter} has no gradient: the loss does not reach it; freeze it on purpose, or mend the network"
    )]
    NoGradient {
        /// The parameter's name.
        parameter: String,
    },
    /// NaN or infinity, found before anything was updated.
    #[error(
        "{what} is not finite at step {step}: {tensor}; lower the learning rate, clip gradients, or look at the data"
    )]
    NotFinite {
        /// Loss, gradient, norm, statistics.
        what: &'static str,
        /// Which one.
        tensor: String,
        /// The step that was not taken.
        step: u64,
    },
    /// A tensor of another type, shape or name than the run's.
    #[error("{tensor}: {problem}")]
    Unfit {
        /// The tensor.
        tensor: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A setting that cannot be used.
    #[error("{place}: {problem}\n  hint: {hint}")]
    Setting {
        /// File and key, or the option.
        place: String,
        /// What is wrong.
        problem: String,
        /// What to write instead.
        hint: String,
    },
    /// A run cannot be resumed with these settings.
    #[error(
        "{run} was started with other settings, resuming would mix two runs:\n  {differences}\n  hint: resume with its \
         own settings, or start a new run elsewhere", run = run.display(), differences = differences.join("\n  ")
    )]
    OtherRun {
        /// The run's folder.
        run: PathBuf,
        /// `key: then, now` for every difference.
        differences: Vec<String>,
    },
    /// Ranks that were started with different things, which would train something that neither means.
    #[error(
        "rank {rank} was started with another thing than rank 0: {what}\n  {differences}\n  hint: give all ranks the same \
         command, program and data", differences = differences.join("\n  ")
    )]
    RanksDiffer {
        /// What they differ in.
        what: String,
        /// The first that differs from rank 0.
        rank: usize,
        /// What each of the two has and the other has not.
        differences: Vec<String>,
    },
    /// A run's folder that holds a run already.
    #[error("{run} holds a run already; go on with --resume, or start elsewhere", run = run.display())]
    RunExists {
        /// The folder.
        run: PathBuf,
    },
    /// There is nothing to go on from.
    #[error("{run} holds no checkpoint that is good{damaged}; start without --resume", run = run.display())]
    NoCheckpoint {
        /// The folder.
        run: PathBuf,
        /// What is wrong with those that are there.
        damaged: String,
    },
    /// A checkpoint that is not what was written.
    #[error("{path}: {problem}", path = path.display())]
    Damaged {
        /// The checkpoint or a file of it.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint could not be written; those before it are untouched.
    #[error("checkpoint {path} was not written: {source}; the checkpoints before it are good", path = path.display())]
    NotWritten {
        /// Where it would have been.
        path: PathBuf,
        /// The system's reason.
        source: data_specs::Error,
    },
    /// A file of the run.
    #[error(transparent)]
    File(#[from] data_specs::Error),
    /// The ranks did not come together.
    #[error(transparent)]
    Ranks(#[from] pretrain_comm::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
