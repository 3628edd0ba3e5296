use std::path::PathBuf;

use crate::decoding::ModelError;

/// Why there is no caption, or no reward.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used.
    #[error("{field} is {value}\n  hint: {hint}")]
    Setting {
        /// Its name.
        field: &'static str,
        /// Its value.
        value: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// The model failed.
    #[error("the model cannot score the next token at length {length}: {source}")]
    Model {
        /// Tokens that every open caption had, `[CLS]` counted.
        length: usize,
        /// Its own reason.
        source: ModelError,
    },
    /// The model answered with something that is no score.
    #[error("the scores of the next token of picture {image} at length {length} {problem}\n  hint: {hint}")]
    Logits {
        /// Position of the picture in the batch.
        image: usize,
        /// Tokens that the caption had, `[CLS]` counted.
        length: usize,
        /// What they are.
        problem: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of a file, or all of it, that is not what it should be.
    #[error("{path}, line {line}: {problem}\n  hint: {hint}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What stands there.
        problem: String,
        /// What should.
        hint: &'static str,
    },
    /// A class of a detection that the hierarchy of classes lacks.
    #[error("{path}: the class `{class}` is not in the hierarchy\n  hint: take the boxes and the hierarchy of one data set", path = path.display())]
    Class {
        /// The hierarchy.
        path: PathBuf,
        /// In small letters.
        class: String,
    },
    /// Constraints of a picture that cannot be asked for.
    #[error("constraint {constraint}: {problem}\n  hint: {hint}")]
    Constraint {
        /// Its text, or its number from 1.
        constraint: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// Captions that do not fit together.
    #[error("{what} of picture {image}: {problem}\n  hint: {hint}")]
    Captions {
        /// Samples, references or greedy captions.
        what: &'static str,
        /// Position of the picture in the batch.
        image: usize,
        /// What is wrong with them.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The tokenizer refused.
    #[error(transparent)]
    Tokenizer(#[from] data_specs::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<Error> for pretrain::Error {
    fn from(error: Error) -> Self {
        let text = str::to_owned;
        match error {
            Error::Setting { field, value, hint } => {
                Self::Setting { key: text(field), problem: format!("is {value}"), hint: text(hint) }
            }
            Error::Model { length, source } => match source.downcast::<Self>() {
                Ok(own) => *own,
                Err(source) => Self::Tensor(candle_core::Error::wrap(Error::Model { length, source })),
            },
            Error::Logits { .. } => Self::Tensor(candle_core::Error::wrap(error)),
            Error::Read { path, source } => Self::File(data_specs::Error::io("read", &path)(source)),
            Error::Content { path, line, problem, hint } => {
                Self::Unfit { path, field: format!("line {line}"), problem, hint: text(hint) }
            }
            Error::Class { path, class } => Self::Unfit {
                path,
                field: format!("the class `{class}`"),
                problem: text("is not in the hierarchy"),
                hint: text("take the boxes and the hierarchy of one data set"),
            },
            Error::Constraint { constraint, problem, hint } => {
                Self::Setting { key: format!("constraint {constraint}"), problem, hint: text(hint) }
            }
            Error::Captions { what, image, problem, hint } => {
                Self::Setting { key: format!("{what} of picture {image}"), problem, hint: text(hint) }
            }
            Error::Tokenizer(error) => Self::File(error),
        }
    }
}
