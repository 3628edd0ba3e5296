//! A whole corpus: which pictures there are, and every file about them.

mod crops;
pub(crate) mod names;
mod pictures;
mod plan;
mod write;

pub use write::{CorpusOptions, Report, Watch, write};

pub(crate) use pictures::Shown;
pub(crate) use plan::{Pool, Split};
