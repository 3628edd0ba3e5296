//! Everything that can be wrong with a file.

/// Why a file was refused. Every variant names the file, and where in it the reader stood.
///
/// `position` is a byte offset: in the file for plain pickles and legacy archives, in the inflated entry where
/// `file` ends in `!<entry>`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{file}: cannot {action}: {source}")]
    #[expect(missing_docs, reason = "the message says it")]
    Io { file: String, action: &'static str, source: std::io::Error },

    /// Not a kind of file that this crate reads.
    #[error("{file}: {what}; {hint}")]
    #[expect(missing_docs, reason = "the message says it")]
    Format { file: String, what: String, hint: &'static str },

    /// A length points past the end.
    #[error(
        "{file}: byte {position}: needs {needed} bytes and {available} are left: cut short, or a false length"
    )]
    #[expect(missing_docs, reason = "the message says it")]
    Truncated { file: String, position: u64, needed: u64, available: u64 },

    /// An opcode that is unknown, or that plain data never needs.
    #[error("{file}: byte {position}: opcode {opcode:#04x} {what}")]
    #[expect(missing_docs, reason = "the message says it")]
    Opcode { file: String, position: u64, opcode: u8, what: &'static str },

    /// An opcode that does not fit what stands before it.
    #[error("{file}: byte {position}: opcode {opcode:#04x}: {what}")]
    #[expect(missing_docs, reason = "the message says it")]
    Malformed { file: String, position: u64, opcode: u8, what: String },

    /// A class or function outside the list of plain data. Nothing was imported or called.
    #[error("{file}: byte {position}: `{global}` is not plain data; {hint}")]
    #[expect(missing_docs, reason = "the message says it")]
    Global { file: String, position: u64, global: String, hint: &'static str },

    /// One of [`Limits`](crate::Limits) was reached.
    #[error("{file}: byte {position}: more than {allowed} allowed by Limits::{limit}")]
    #[expect(missing_docs, reason = "the message says it")]
    Limit { file: String, position: u64, limit: &'static str, allowed: u64 },

    /// A container that holds itself.
    #[error("{file}: a container holds itself, so it is no tree of values")]
    #[expect(missing_docs, reason = "the message says it")]
    Cycle { file: String },

    /// A dictionary key or set member that is there twice, or that Python could not have hashed.
    #[error("{file}: {what}")]
    #[expect(missing_docs, reason = "the message says it")]
    Key { file: String, what: String },

    /// Two different places in the file give their tensor the same dotted name.
    #[error("{file}: two tensors are both named `{name}`; re-save with unambiguous keys")]
    #[expect(missing_docs, reason = "the message says it")]
    Name { file: String, name: String },

    /// An archive entry that is missing, doubled, overlapping, encrypted or of a false size.
    #[error("{file}: entry `{entry}`: {what}")]
    #[expect(missing_docs, reason = "the message says it")]
    Entry { file: String, entry: String, what: String },

    /// A storage that is missing or whose size disagrees with the file.
    #[error("{file}: storage `{key}`: {what}")]
    #[expect(missing_docs, reason = "the message says it")]
    Storage { file: String, key: String, what: String },
}
