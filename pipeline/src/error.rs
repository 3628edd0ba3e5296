//! What can go wrong with a whole build; what goes wrong with one row is a [`Reject`](crate::Reject).

use std::io;
use std::path::{Path, PathBuf};

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; `source` says why.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, ...
        op: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An input file as a whole is not what its format promises.
    #[error("{}{}: {what}\n  hint: {hint}", path.display(), line_suffix(*line))]
    Input {
        /// The file.
        path: PathBuf,
        /// 1-based line, where one is to blame.
        line: Option<u64>,
        /// What was found, and what was expected.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// An input file is not the one that was planned.
    #[error(
        "{} changed since the build was planned: {what}\n  hint: put the planned file back, or build into a new folder",
        path.display()
    )]
    InputChanged {
        /// The file.
        path: PathBuf,
        /// Size or time, then and now.
        what: String,
    },
    /// The output folder belongs to another plan.
    #[error(
        "{} holds a build of another plan; these fields differ:\n{}\n  hint: build into a new folder, or remove this one if it is not needed",
        path.display(), fields.join("\n")
    )]
    PlanChanged {
        /// The output folder.
        path: PathBuf,
        /// One line a field: name, planned value, present value.
        fields: Vec<String>,
    },
    /// Another process is building into the same folder.
    #[error("{} is in use by another build ({holder})\n  hint: wait for it, or end it; the same command then continues", path.display())]
    Locked {
        /// The output folder.
        path: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// rows in = out + rejected + deduplicated + filtered does not hold.
    #[error(
        "the accounts of {what} do not balance: {sums}\n  hint: this is a defect of the program; nothing was committed"
    )]
    Accounting {
        /// Which task, or the whole build.
        what: String,
        /// Both sides of the identity.
        sums: String,
    },
    /// The output folder is not a finished data set, or its contents are damaged.
    #[error("{}: {what}\n  hint: {hint}", path.display())]
    Output {
        /// File or folder.
        path: PathBuf,
        /// What was found.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// Some tasks could not be done; the others are committed.
    #[error(
        "{failed} of {tasks} tasks failed; the first: {first}\n  hint: the same command again repeats only these"
    )]
    TasksFailed {
        /// Tasks without a receipt.
        failed: usize,
        /// Tasks in the plan.
        tasks: usize,
        /// Message of the first failure.
        first: String,
    },
    /// A signal asked the build to stop; what is committed stays.
    #[error("interrupted; the same command continues where it stopped")]
    Interrupted {
        /// Signal number (2 or 15).
        signal: i32,
    },
    /// The contract crate refused something.
    #[error(transparent)]
    Data(#[from] data_specs::Error),
}

impl Error {
    /// Names the operation and the file of an I/O error.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { op, path, source }
    }

    /// Whether the same command may succeed later without anything being mended here.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Locked { .. } => true,
            Error::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted
            ),
            Error::Data(error) => error.is_temporary(),
            _ => false,
        }
    }
}

fn line_suffix(line: Option<u64>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}
