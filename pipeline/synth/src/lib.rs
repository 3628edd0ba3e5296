//! A drawn corpus: pictures whose content is known, in the layouts of the corpora that people use.

mod chance;
mod corpus;
mod drawing;
mod error;
mod layouts;
mod questions;
mod scene;
mod texts;
mod world;

pub use corpus::{CorpusOptions, Report, Watch, write};
pub use error::Error;
pub use world::World;
