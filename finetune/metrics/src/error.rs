use std::path::PathBuf;

/// What can go wrong when scores are computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON, or JSON of another layout.
    #[error("{path} is not {expected}: {problem} (line {line}, column {column})", path = path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout that was looked for.
        expected: &'static str,
        /// What the parser met instead.
        problem: String,
        /// The line where it stopped, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// A file is readable, but does not hold what it should.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An id that has no place in the other file.
    #[error("{path}: id {id} is not in {other}; remove it, or score against the references it belongs to", path = path.display())]
    SurplusId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
        /// Where it should have been.
        other: &'static str,
    },
    /// An id without the entry that the official evaluator asks for.
    #[error("{path}: no entry for id {id}; {hint}", path = path.display())]
    MissingId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
        /// What to do.
        hint: &'static str,
    },
    /// An id that may stand once only.
    #[error("{path}: id {id} stands there more than once; keep one entry", path = path.display())]
    DoubledId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// A caption or answer that is not a string.
    #[error("{path}: the {field} of id {id} is {found}, not a string; write it in quotes", path = path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
        /// `caption`, `answer` or the like.
        field: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A pickle that cannot be read.
    #[error("cannot read the pickle: {source}")]
    Pickle {
        /// The reader's reason; it names the file.
        #[from]
        source: torch_files::Error,
    },
}
