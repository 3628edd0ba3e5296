//! `finetune score <task>`: files in, one JSON object or a table out.

mod captioning;
mod detection;
mod document_frequencies;
mod form;
mod questions;
mod retrieval;
mod spice;

use std::path::PathBuf;

pub use captioning::{Captioning, Metric, NoCaps};
pub use detection::Detection;
pub use document_frequencies::DocumentFrequencies;
pub use form::{Form, as_table};
pub use questions::{Gqa, Nlvr2, Vqa};
pub use retrieval::Retrieval;

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is missing, damaged, or does not fit the others.
    #[error(transparent)]
    Data(#[from] finetune_metrics::Error),
    /// Rows and columns of a score matrix do not fit the captions per image.
    #[error("{path} has {rows} rows and {columns} columns; with --captions-per-image {captions_per_image} it needs {wanted}", path = path.display(), wanted = rows * captions_per_image)]
    Shape {
        /// The matrix.
        path: PathBuf,
        /// Its pictures.
        rows: usize,
        /// Its captions.
        columns: usize,
        /// What was asked for.
        captions_per_image: usize,
    },
    /// A metric was asked for whose program or data was not given.
    #[error("{metric} needs {what}")]
    Unavailable {
        /// The metric.
        metric: &'static str,
        /// What to give.
        what: &'static str,
    },
    /// The user's SPICE jar did not do its work.
    #[error("SPICE failed: {problem}; run the jar by hand to see more")]
    Spice {
        /// What happened.
        problem: String,
    },
    /// The result cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}
