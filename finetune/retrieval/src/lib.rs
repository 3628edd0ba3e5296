//! Which caption belongs to a picture, which picture to a caption (Paper: 2004.06165, section 4).
//!
//! One encoder reads a caption beside the tags and the regions of a picture, and a head of two classes says whether they
//! belong together. Training shows every caption beside its picture and beside a wrong partner; evaluation scores every
//! pair. `image-retrieval` and `text-retrieval` are one trainer, which chooses the best model by the one direction or the
//! other.

mod candidates;
mod commands;
mod explaining;
mod gallery;
mod layout;
mod matcher;
mod negatives;
mod pairs;
mod report;
mod retrieving;
mod scoring;
mod settings;
mod similarity;
mod submission;

pub use commands::{Eval, Predict, Ranked, Retrieved, Selection, train};
pub use settings::{Direction, Retrieval, Sight};

#[cfg(test)]
mod tests;
