//! What can go wrong with files of the contract.

use std::io;
use std::path::{Path, PathBuf};

/// An error of reading or writing files of the contract.
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
    /// A file is there but is not what the contract says.
    #[error("{}: {what}\n  hint: {hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// arrow or parquet refused a file of ours.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's answer.
        source: parquet::errors::ParquetError,
    },
    /// A folder holds no manifest.
    #[error("{} is not a data set: it has no manifest\n  hint: a build that was interrupted is finished by the same `pipeline build` command", path.display())]
    NoManifest {
        /// The folder.
        path: PathBuf,
    },
    /// A specification, override or option that cannot be used.
    #[error("{place}: {what}\n  hint: {hint}")]
    Spec {
        /// File and key, or the option.
        place: String,
        /// What is wrong.
        what: String,
        /// What to write instead.
        hint: String,
    },
    /// A tokenizer or vocabulary cannot be used.
    #[error("{}: {what}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Error {
    /// Names the operation and the file of an I/O error.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { op, path, source }
    }

    /// Names the file of a Parquet error; an I/O error inside keeps its kind.
    pub fn parquet(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
        let path = path.to_path_buf();
        move |source| match source {
            parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => Error::Io { op: "use", path, source: *source },
                Err(inner) => Error::Parquet { path, source: parquet::errors::ParquetError::External(inner) },
            },
            source => Error::Parquet { path, source },
        }
    }

    /// Whether the same command may succeed later without anything being mended here.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Error::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::Interrupted
        ))
    }
}
