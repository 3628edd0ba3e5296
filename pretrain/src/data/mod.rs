//! From shards to examples.
//!
//! ```text
//! shards -> table of texts      once: every usable text of every data set, tokenised; a file with an index
//!        -> order of samples    a function of (seed, number of the sample): which data set, which of its texts
//!        -> examples            regions from the shards, words and tags from the table, exchanged and hidden
//!        -> loader              in other threads, ahead of the training
//! ```
//! A sample is one text with its row's picture: a triple (w, q, v). Words w are called a, tags or answer q are called b, as
//! in the published code.

mod examples;
mod feed;
mod held_out;
mod loader;
mod order;
mod record;
mod regions;
mod scan;
mod settings;
mod summary;
mod table;
mod training;
mod triples;

pub use feed::Feed;
pub use held_out::{HeldOut, HeldOutBatches};
pub use loader::{Loader, MicroBatch, Share};
pub use order::Standing;
pub use regions::{PLACE_NUMBERS, append as append_regions};
pub use settings::{DataSettings, SetSettings, VerifyShards};
pub use summary::SetSummary;
pub use training::TrainingData;
pub use triples::ModelInput;

#[cfg(test)]
pub(crate) mod tests;
