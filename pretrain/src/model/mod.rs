//! The network: BERT over words, tags and regions (Paper: 2004.06165, section 3; BERT: 1810.04805).
//!
//! ```text
//! words and tags: word + position + segment, layer norm, dropout ----.
//!                                                                     > encoder > hidden_th > masked-token head
//! regions: projection of D + 6 (layer norm by option), dropout ------'            [CLS]   > pooler > contrastive head
//! ```
//!
//! Samples lie end to end ([`Batch`]): there is no padding to compute. Regions have neither position nor segment, their
//! place is in the six numbers.
//!
//! Legend of shape letters: b samples, l tokens of a padded text, r regions, n tokens of all texts, t tokens and regions
//! of all samples, h hidden width, i inner width of a layer, v vocabulary, c classes, d numbers of a region.

mod attention_weights;
mod batch;
mod config;
mod embeddings;
mod encoder;
mod folder;
mod heads;
mod incremental;
mod operations;
mod parameters;
mod parts;
mod pass;
mod pretraining;

pub use batch::{Batch, PaddedBatch, Targets};
pub use config::{ModelConfig, RegionGeometry};
pub use encoder::Encoder;
pub(crate) use encoder::rows;
pub use folder::ModelFolder;
pub use heads::{Linear, MaskedTokenHead};
pub use incremental::{Incremental, Memory, NewTokens};
pub use operations::training_operations;
pub use parameters::{Shapes, Tensors, initialise};
pub use parts::Joined;
pub use pass::Pass;
pub(crate) use pretraining::labelled;
pub use pretraining::{Losses, PretrainingModel};

#[cfg(test)]
pub(crate) mod tests;
