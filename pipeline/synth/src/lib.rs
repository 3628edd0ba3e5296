//! A drawn corpus: pictures whose content is known, in the layouts of the corpora that people use.

mod baselines;
mod chance;
mod corpus;
mod drawing;
mod error;
mod layouts;
mod questions;
mod scene;
mod sheet;
mod texts;
mod world;

pub use baselines::{Baselines, CaptionFigures, Pixels, Retrieval, WordsAlone, measure, record};
pub use corpus::{CorpusOptions, Report, Watch, write};
pub use error::Error;
pub use sheet::{SheetScene, sheet};
pub use world::World;
